//! Rendezvous hashing (highest random weight): each account belongs to the worker with the highest score for it. A worker
//! that joins takes an equal share from all others, and the accounts of one that leaves go to all others; nothing else moves.

/// Hash of a name (FNV-1a, with a final mix). The same on every machine and in every version: all workers must agree.
pub(crate) fn hash(name: &str) -> u64 {
    let fnv = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// Score of a worker for an account, from the hashes of their names.
pub(crate) const fn score(account: u64, worker: u64) -> u64 {
    mix(account ^ worker.rotate_left(32))
}

/// Finalizer of SplitMix64: every bit of the input changes half of the output.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    fn owner(account: u64, workers: &[u64]) -> Option<u64> {
        workers.iter().copied().max_by_key(|worker| score(account, *worker))
    }

    #[test]
    fn accounts_are_spread_evenly_and_few_move() {
        let accounts: Vec<u64> = (0..10_000).map(|n| hash(&format!("account-{n}"))).collect();
        let mut workers: Vec<u64> = (0..20).map(|n| hash(&format!("worker-{n}"))).collect();
        let before: Vec<_> = accounts.iter().map(|account| owner(*account, &workers)).collect();
        for worker in &workers {
            let share = before.iter().filter(|owner| **owner == Some(*worker)).count();
            assert!((400..=600).contains(&share), "500 are fair, {share} are assigned");
        }
        let gone = workers.pop();
        for (account, old) in accounts.iter().zip(before) {
            let new = owner(*account, &workers);
            assert!(new == old || old == gone, "only the accounts of the worker that left move");
        }
    }
}
