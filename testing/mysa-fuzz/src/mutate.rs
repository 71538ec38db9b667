//! Mutations that keep the structure of an input: steps of a script, packets of an MQTT stream.
//!
//! A fuzzer that changes bytes alone shifts everything behind an inserted or deleted byte, so that the rest of a script means
//! something else. These functions insert, delete, repeat, exchange and change whole steps or packets. Half of the calls leave
//! the work to the fuzzer, whose dictionary and comparisons find values.
//!
//! They know no fuzzer: `fuzz/fuzz_targets/session.rs` shows their use with libFuzzer.

use std::cell::RefCell;
use std::collections::HashMap;

use mysa_testkit::codec::{ConnectFields, Packet, packet_size};

use crate::Target;

/// Greatest number of inputs whose steps are kept: at most 4 MiB with inputs of 4 KiB.
const KNOWN: usize = 1_024;

/// Address of a target, and its input.
type Ran = (usize, Vec<u8>);
/// Offsets at which the steps of an input begin.
type Steps = Vec<usize>;

thread_local! {
    /// The target and the input that ran last, and the steps that began so far.
    static LAST: RefCell<(Ran, Steps)> = RefCell::default();
    /// Steps of inputs that a target had to run for them, mostly those of a corpus.
    static RAN: RefCell<HashMap<Ran, Steps>> = RefCell::default();
}

/// Notes that `target` begins to run `data`.
pub(crate) fn begin(target: Target, data: &[u8]) {
    LAST.with_borrow_mut(|((last, input), steps)| {
        *last = target as usize;
        input.clear();
        input.extend_from_slice(data);
        steps.clear();
    });
}

/// Notes that the next step begins, with `left` bytes of the input before it.
pub(crate) fn step(left: usize) {
    LAST.with_borrow_mut(|((_, input), steps)| steps.push(input.len() - left));
}

/// Offsets at which the steps of a script begin, then the end of the last. A fuzzer mostly changes the input that it ran last,
/// whose steps are known; otherwise the target runs it, once.
fn steps(target: Target, data: &[u8]) -> Steps {
    let last = || LAST.with_borrow(|(_, steps)| bounds(steps.iter().copied().chain([data.len()])));
    let key = (target as usize, data.to_vec());
    if LAST.with_borrow(|(input, _)| *input == key) {
        return last();
    }
    if let Some(steps) = RAN.with_borrow(|ran| ran.get(&key).cloned()) {
        return steps;
    }
    target(data);
    let steps = last();
    RAN.with_borrow_mut(|ran| {
        if ran.len() == KNOWN {
            ran.clear();
        }
        ran.insert(key, steps.clone());
    });
    steps
}

/// Offsets without repetitions.
fn bounds(offsets: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut bounds: Vec<usize> = offsets.collect();
    bounds.dedup();
    bounds
}

/// Offsets at which the packets of a stream begin, behind the two bytes that select options, then the end of the last that is
/// complete.
fn packets(data: &[u8]) -> Vec<usize> {
    let mut bounds = vec![data.len().min(2)];
    let mut at = data.len().min(2);
    while let Some(size) = packet_size(&data[at..])
        && at + size <= data.len()
    {
        at += size;
        bounds.push(at);
    }
    bounds
}

/// Changes the first `size` bytes of `data`, a script of `target`, and returns their new number, at most `max_size`. The same
/// seed makes the same change. `otherwise` is the fuzzer's own mutation, with the same arguments and result.
///
/// ```
/// // A script of the target `session` in the first bytes of a buffer.
/// let mut data = [2, 0x30, 0x30, 0x70, 0x98, 0, 0, 0];
/// let size = mysa_fuzz::mutate::script(mysa_fuzz::session, &mut data, 5, 8, 7, |_, size, _| size);
/// assert!(size <= 8);
/// ```
pub fn script(
    target: Target,
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    otherwise: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let new = |random: &mut Random| random.bytes(1, 12);
    mutate(data, size, max_size, seed, otherwise, |data| steps(target, data), new)
}

/// Changes the first `size` bytes of `data`, an input of `mqtt_from_server` or `mqtt_from_client`, like [`script`]. New packets
/// come from the encoder, and one byte of every second is broken.
pub fn mqtt(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    otherwise: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    mutate(data, size, max_size, seed, otherwise, packets, |random| {
        let mut wire = packet(random).encode();
        if random.below(2) == 0 {
            let at = random.below(wire.len());
            wire[at] = random.byte();
        }
        wire
    })
}

/// Leaves every second mutation to the fuzzer. The others change whole parts, which begin at `bounds` of the input; `new` makes
/// another part.
fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    otherwise: impl FnOnce(&mut [u8], usize, usize) -> usize,
    bounds: impl FnOnce(&[u8]) -> Vec<usize>,
    new: impl FnOnce(&mut Random) -> Vec<u8>,
) -> usize {
    let mut random = Random::new(seed);
    let max_size = max_size.min(data.len());
    // The first bytes of an input select options; without them there are no parts.
    if random.below(2) == 0 || size < 2 {
        return otherwise(data, size, max_size);
    }
    let bounds = bounds(&data[..size]);
    let changed = change(&data[..size], &bounds, &mut random, new);
    put(&changed, data, max_size)
}

/// Joins the beginning of one script with the end of another, both whole steps, into `out`, and returns their number of bytes. If
/// `out` is too short, the end is cut off.
pub fn splice_scripts(target: Target, one: &[u8], two: &[u8], out: &mut [u8], seed: u32) -> usize {
    splice((one, two), |data| steps(target, data), out, seed)
}

/// Joins the beginning of one MQTT stream with the end of another, both whole packets, into `out`, like [`splice_scripts`].
pub fn splice_mqtt(one: &[u8], two: &[u8], out: &mut [u8], seed: u32) -> usize {
    splice((one, two), packets, out, seed)
}

fn splice(
    (one, two): (&[u8], &[u8]),
    bounds: impl Fn(&[u8]) -> Vec<usize>,
    out: &mut [u8],
    seed: u32,
) -> usize {
    let mut random = Random::new(seed);
    let head = &one[..random.pick(&bounds(one))];
    let tail = &two[random.pick(&bounds(two))..];
    put(&[head, tail].concat(), out, out.len())
}

fn put(bytes: &[u8], data: &mut [u8], max_size: usize) -> usize {
    let size = bytes.len().min(max_size);
    data[..size].copy_from_slice(&bytes[..size]);
    size
}

/// Makes one change to an input whose parts begin at `bounds`. The last of these is the end of the last part.
fn change(
    data: &[u8],
    bounds: &[usize],
    random: &mut Random,
    new: impl FnOnce(&mut Random) -> Vec<u8>,
) -> Vec<u8> {
    let parts = bounds.len() - 1;
    let part = |at: usize| &data[bounds[at]..bounds[at + 1]];
    let between = random.below(parts + 1);
    let (before, after) = data.split_at(bounds[between]);
    let kind = if parts == 0 { 0 } else { random.below(6) };
    match kind {
        // A new part.
        0 => [before, &new(random), after].concat(),
        // A part again, elsewhere.
        1 => [before, part(random.below(parts)), after].concat(),
        // Without some parts.
        2 => {
            let (from, count) = (random.below(parts), 1 + random.below(3));
            let to = (from + count).min(parts);
            [&data[..bounds[from]], &data[bounds[to]..]].concat()
        }
        // Two parts exchanged.
        3 => {
            let (one, two) = (random.below(parts), random.below(parts));
            let (one, two) = (one.min(two), one.max(two));
            if one == two {
                return [before, part(one), after].concat();
            }
            let middle = &data[bounds[one + 1]..bounds[two]];
            [&data[..bounds[one]], part(two), middle, part(one), &data[bounds[two + 1]..]].concat()
        }
        // Some parts repeated.
        4 => {
            let (from, count) = (random.below(parts), 1 + random.below(4));
            let to = (from + count).min(parts);
            let run = &data[bounds[from]..bounds[to]];
            [&data[..bounds[to]], run, &data[bounds[to]..]].concat()
        }
        // One byte of a part.
        _ => {
            let mut changed = data.to_vec();
            let at = random.below(parts);
            let at = bounds[at] + random.below(bounds[at + 1] - bounds[at]);
            changed[at] = match random.below(3) {
                0 => changed[at] ^ (1 << random.below(8)),
                1 => changed[at].wrapping_add(1),
                _ => random.byte(),
            };
            changed
        }
    }
}

/// Any valid packet.
fn packet(random: &mut Random) -> Packet {
    let id = 1 + (random.next() % 0xffff) as u16;
    match random.below(16) {
        0 => {
            let code = random.below(6) as u8;
            Packet::ConnAck { session_present: code == 0 && random.below(2) == 0, code }
        }
        1 => Packet::PubAck(id),
        2 => Packet::PubRec(id),
        3 => Packet::PubRel(id),
        4 => Packet::PubComp(id),
        5 => Packet::SubAck(id, random.list(|random| random.pick(&[0, 1, 2, 0x80]))),
        6 => Packet::UnsubAck(id),
        7 => Packet::PingResp,
        8 => Packet::PingReq,
        9 => Packet::Disconnect,
        10 => Packet::Subscribe(id, random.list(|random| (random.filter(), random.below(3) as u8))),
        11 => Packet::Unsubscribe(id, random.list(Random::filter)),
        12 | 13 => {
            let client_id = random.text(0);
            let will = (random.text(1), random.bytes(0, 20), random.below(3) as u8, random.below(2) == 0);
            let login = (random.text(0), (random.below(2) == 0).then(|| random.bytes(0, 20)));
            Packet::Connect(ConnectFields {
                clean_session: client_id.is_empty() || random.below(2) == 0,
                client_id,
                keep_alive: random.next() as u16,
                will: (random.below(2) == 0).then_some(will),
                login: (random.below(2) == 0).then_some(login),
            })
        }
        _ => {
            let qos = random.below(3) as u8;
            Packet::Publish {
                topic: random.text(1),
                payload: random.bytes(0, 200),
                qos,
                id: (qos > 0).then_some(id),
                dup: qos > 0 && random.below(2) == 0,
                retain: random.below(2) == 0,
            }
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new(seed: u32) -> Self {
        Self(seed.into())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, least: usize, most: usize) -> Vec<u8> {
        (0..least + self.below(most - least + 1)).map(|_| self.byte()).collect()
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..1 + self.below(4)).map(|_| item(self)).collect()
    }

    /// Text with separators and with characters of each length in UTF-8.
    fn text(&mut self, least: usize) -> String {
        let len = least + self.below(12);
        (0..len)
            .map(|_| self.pick(&['a', 'z', '/', '$', ' ', '\u{7f}', '\u{e9}', '\u{feff}', '\u{1f525}']))
            .collect()
    }

    fn filter(&mut self) -> String {
        match self.below(4) {
            0 => "#".into(),
            1 => "+/a/+".into(),
            2 => self.text(0) + "/+/#",
            _ => self.text(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SESSION: &[u8] = include_bytes!("../../../fuzz/corpus/session.ar");
    const MQTT: &[u8] = include_bytes!("../../../fuzz/corpus/mqtt_from_client.ar");

    #[test]
    fn the_steps_of_a_script_are_those_that_the_target_takes() {
        // Resume, two answers, and a command, which takes what is left.
        let bounds = steps(crate::session, &[2, 0x30, 0x30, 0xc8, 0, 0, 1, 0xc4, 0x09, 0]);
        assert_eq!(bounds, [1, 2, 3, 10]);
        assert_eq!(steps(crate::sim, b""), [0]);
        // Asked again, after a run of another input.
        assert_eq!(steps(crate::session, &[2, 0x30, 0x30, 0xc8, 0, 0, 1, 0xc4, 0x09, 0]), [1, 2, 3, 10]);
        // The same bytes are another script for another target.
        let script = [0, 0x20, 0x01, 0, 0];
        assert_eq!(steps(crate::sim, &script), [1, 2, 5]);
        assert_ne!(steps(crate::bridge, &script), [1, 2, 5]);
    }

    #[test]
    fn every_change_of_a_script_keeps_whole_steps() {
        let seed = crate::corpus::input_named(SESSION, "seed-000");
        let bounds = steps(crate::session, seed);
        assert!(bounds.len() > 16, "{bounds:?}");
        let parts: BTreeSet<&[u8]> = bounds.windows(2).map(|pair| &seed[pair[0]..pair[1]]).collect();
        let mut sizes = BTreeSet::new();
        for number in 0..2_000 {
            let mut random = Random::new(number);
            let changed = change(seed, &bounds, &mut random, |_| vec![0xee; 3]);
            sizes.insert(changed.len());
            assert_eq!(changed[0], seed[0], "the first byte selects the session");
            if changed.len() == seed.len() {
                continue;
            }
            // What is left of the input, or was there twice, is made of its steps.
            let mut rest = &changed[1..];
            while let Some(part) = parts
                .iter()
                .chain([&&[0xee; 3][..]])
                .filter(|part| rest.starts_with(part))
                .max_by_key(|part| part.len())
            {
                rest = &rest[part.len()..];
            }
            assert!(rest.is_empty(), "{rest:02x?} of {changed:02x?}");
        }
        assert!(sizes.len() > 20, "{sizes:?}");
    }

    #[test]
    fn a_mutation_depends_on_its_seed_alone_and_keeps_its_bound() {
        let archive = crate::corpus::inputs(SESSION).expect("an archive");
        for (number, (_, data)) in (0..).zip(archive.into_iter().take(40)) {
            let mutate = || {
                let mut buffer = data.to_vec();
                buffer.resize(data.len() + 5, 0);
                let most = buffer.len();
                let size = script(crate::session, &mut buffer, data.len(), most, number, |_, size, _| size);
                buffer.truncate(size);
                buffer
            };
            assert_eq!(mutate(), mutate());
        }
    }

    #[test]
    fn new_packets_are_valid_unless_a_byte_is_broken() {
        for seed in 0..2_000 {
            let wire = packet(&mut Random::new(seed)).encode();
            assert_eq!(Packet::read(&wire).map(|(_, size)| size), Some(wire.len()));
        }
    }

    #[test]
    fn mutated_streams_hold_whole_packets_and_splices_too() {
        let inputs = crate::corpus::inputs(MQTT).expect("an archive");
        let (mut valid, mut joined) = (0, 0);
        for (seed, pair) in (0..).zip(inputs.windows(2).take(200)) {
            let mut buffer = vec![0; 4_096];
            buffer[..pair[0].1.len()].copy_from_slice(pair[0].1);
            let size = mqtt(&mut buffer, pair[0].1.len(), 4_096, seed, |_, size, _| size);
            valid += usize::from(packets(&buffer[..size]).last() == Some(&size));
            let (one, two) = (pair[0].1, pair[1].1);
            let size = splice_mqtt(one, two, &mut buffer, seed);
            // Whole packets of both, for every seed.
            let at = packets(one).into_iter().filter(|at| buffer[..size].starts_with(&one[..*at]));
            let mut tails = at.map(|at| &buffer[at..size]);
            assert!(
                tails.any(|tail| packets(two).into_iter().any(|from| two[from..] == *tail)),
                "seed {seed}"
            );
            joined += usize::from(size > 0);
            let mut small = [0; 7];
            assert!(splice_scripts(crate::session, one, two, &mut small, seed) <= 7);
        }
        assert!(valid > 100, "{valid}");
        assert_eq!(joined, 200);
    }
}
