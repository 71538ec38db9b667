//! Harness for comparisons: all contestants run in one process, in interleaved rounds, and the table shows medians and
//! ratios, because wall time on a shared machine drifts.

pub mod pipeline;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use mysa_mqtt_codec::{Delivery, PINGRESP, PacketId, Publish, Topic, puback};
use mysa_testkit::codec::Codec;

/// Topic of a device's messages.
pub const TOPIC: &str = "/v1/dev/a0b1c2d3e4f5/out";

/// Comparison of several implementations of the same work.
///
/// ```
/// let table = mysa_benches::Comparison::new("adding up", "number")
///     .rounds(3)
///     .entry("loop", 1, || (0..1_000_u64).sum::<u64>())
///     .entry("formula", 1, || 1_000_u64 * 999 / 2)
///     .run();
/// assert!(table.contains("formula"));
/// ```
#[expect(missing_debug_implementations, reason = "holds closures")]
pub struct Comparison<'a> {
    title: &'a str,
    unit: &'a str,
    rounds: usize,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    name: &'a str,
    /// Number of units that one call handles.
    units: u64,
    run: Box<dyn FnMut() + 'a>,
    nanos: Vec<f64>,
}

impl<'a> Comparison<'a> {
    /// Creates a comparison. `unit` names what the table counts, such as a packet, a URL or a sign-in.
    #[must_use]
    pub fn new(title: &'a str, unit: &'a str) -> Self {
        Self { title, unit, rounds: 41, entries: Vec::new() }
    }

    /// Number of interleaved rounds; 41 by default.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds.max(1);
        self
    }

    /// Adds a contestant whose call handles `units` units. Ratios refer to the first contestant.
    #[must_use]
    pub fn entry<T>(mut self, name: &'a str, units: u64, mut run: impl FnMut() -> T + 'a) -> Self {
        let run = Box::new(move || {
            black_box(run());
        });
        self.entries.push(Entry { name, units: units.max(1), run, nanos: Vec::new() });
        self
    }

    /// Adds an MQTT codec that gets these chunks as from a socket. They must hold `packets` packets.
    #[must_use]
    pub fn codec<C: Codec + 'a>(
        self,
        name: &'a str,
        mut codec: C,
        packets: u64,
        chunks: &'a [&'a [u8]],
    ) -> Self {
        self.entry(name, packets, move || {
            let found: u64 = black_box(chunks).iter().map(|chunk| codec.feed(chunk)).sum();
            assert_eq!(found, packets, "{} in {} chunks", C::NAME, chunks.len());
        })
    }

    /// Runs all rounds and returns the table. Each entry takes about two milliseconds a round.
    #[must_use]
    pub fn run(mut self) -> String {
        let calls: Vec<u32> = self.entries.iter_mut().map(|entry| calls_per_round(&mut entry.run)).collect();
        for round in 0..self.rounds {
            for turn in 0..self.entries.len() {
                let at = (round + turn) % self.entries.len();
                let (entry, calls) = (&mut self.entries[at], calls[at]);
                let start = Instant::now();
                for _ in 0..calls {
                    (entry.run)();
                }
                let nanos = start.elapsed().as_nanos() as f64;
                entry.nanos.push(nanos / f64::from(calls) / entry.units as f64);
            }
        }
        self.table()
    }

    fn table(&mut self) -> String {
        let medians: Vec<f64> = self.entries.iter_mut().map(|entry| median(&mut entry.nanos)).collect();
        let mut out =
            format!("\n## {}\n\n| | ns/{} | ratio |\n| --- | ---: | ---: |\n", self.title, self.unit);
        for (entry, nanos) in self.entries.iter().zip(&medians) {
            let _ = writeln!(out, "| {} | {:.1} | {:.2} |", entry.name, nanos, nanos / medians[0]);
        }
        out
    }
}

fn calls_per_round(run: &mut dyn FnMut()) -> u32 {
    const ROUND: Duration = Duration::from_millis(2);
    let mut calls = 1_u32;
    loop {
        let start = Instant::now();
        for _ in 0..calls {
            run();
        }
        let took = start.elapsed();
        if took >= ROUND || calls >= 1 << 24 {
            let each = took.as_nanos().max(1) / u128::from(calls);
            return u32::try_from(ROUND.as_nanos() / each.max(1)).unwrap_or(u32::MAX).max(1);
        }
        calls *= 2;
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// PUBLISH as devices send it: a payload of `size` bytes on the device's topic, with QoS 1.
///
/// # Panics
/// `size` is more than a packet holds.
#[must_use]
pub fn status(size: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    let id = PacketId::new(10).expect("not zero");
    let payload = payload(size);
    Publish::new(Topic::new(TOPIC).expect("a topic"), &payload, Delivery::AtLeastOnce(id))
        .encode(&mut wire)
        .expect("a packet");
    wire
}

/// Payload of such a message: `size` bytes of JSON.
#[must_use]
pub fn payload(size: usize) -> Vec<u8> {
    let mut payload =
        br#"{"ver":"1.0","msg":40,"src":{"type":1,"ref":"a0b1c2d3e4f5"},"time":1767323045,"#.to_vec();
    payload.resize(size, b' ');
    payload
}

/// Nearly 64 KiB of traffic of a client that publishes as often as it receives, in 700 packets: a status, an answer, a shorter
/// status, an answer.
#[must_use]
pub fn stream_of_700() -> (Vec<u8>, u64) {
    let mut wire = Vec::new();
    let acknowledged = puback(PacketId::new(7).expect("not zero"));
    for _ in 0..175 {
        wire.extend_from_slice(&status(180));
        wire.extend_from_slice(&acknowledged);
        wire.extend_from_slice(&status(126));
        wire.extend_from_slice(&PINGRESP);
    }
    assert_eq!(wire.len() / 1_024, 63, "the stream is nearly 64 KiB");
    (wire, 700)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
