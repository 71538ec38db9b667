//! Harness for comparisons: all contestants run in one process, in interleaved rounds, and the table shows medians and
//! ratios, because wall time on a shared machine drifts.

pub mod pipeline;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

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
