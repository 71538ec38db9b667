use core::time::Duration;

use crate::entropy::Entropy;

/// Exponential back-off with full jitter: the bound doubles up to a cap, and each pause is drawn between zero and the
/// bound, so clients that failed together do not return together.
///
/// ```
/// use core::time::Duration;
/// use mysa_session::{Backoff, Entropy};
///
/// let (first, cap) = (Duration::from_secs(1), Duration::from_secs(60));
/// let mut entropy = Entropy::new([7; 32]);
/// let mut backoff = Backoff::default();
/// assert!(backoff.next(first, cap, &mut entropy) <= first);
/// assert!(backoff.next(first, cap, &mut entropy) <= first * 2);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Returns the pause after one more failure.
    pub fn next(&mut self, first: Duration, cap: Duration, entropy: &mut Entropy) -> Duration {
        // The cap is reached long before the shift could overflow.
        let bound = first.saturating_mul(1 << self.failures.min(20)).min(cap);
        self.failures = self.failures.saturating_add(1);
        entropy.up_to(bound)
    }

    /// Number of failures since the last reset.
    #[must_use]
    pub const fn failures(self) -> u32 {
        self.failures
    }

    /// Resets the bound. The caller does so once an attempt has proved lasting, not when it has merely succeeded.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(2);
    const CAP: Duration = Duration::from_secs(60);

    #[test]
    fn pauses_grow_to_the_cap_and_begin_small_after_a_reset() {
        let mut entropy = Entropy::new([7; 32]);
        let mut backoff = Backoff::default();
        for attempt in 0..100_u32 {
            let pause = backoff.next(FIRST, CAP, &mut entropy);
            assert!(pause <= FIRST.saturating_mul(1 << attempt.min(20)).min(CAP), "{attempt}: {pause:?}");
        }
        backoff.reset();
        assert!(backoff.next(FIRST, CAP, &mut entropy) <= FIRST);
    }

    #[test]
    fn pauses_at_the_cap_are_spread_over_the_whole_of_it() {
        let mut quarters = [0; 4];
        for seed in 0..200 {
            let mut entropy = Entropy::new([seed; 32]);
            let mut backoff = Backoff { failures: 10 };
            let pause = backoff.next(FIRST, CAP, &mut entropy).as_secs() / 15;
            quarters[usize::try_from(pause).unwrap().min(3)] += 1;
        }
        assert!(quarters.iter().all(|&count| count > 25), "{quarters:?}");
    }
}
