use core::cmp::Ordering;
use core::time::Duration;

use crate::{Now, Observation, Source, UnixTime};

/// Source and times of a value, shared by all values of one observation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Provenance {
    /// The source.
    pub source: Source,
    /// Time of the value by the clock of the source, if that clock is plausible.
    pub at: Option<UnixTime>,
    /// Time of its arrival.
    pub received: Now,
}

/// Clock by which values are ordered. The latest value of each clock is kept.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Clock {
    CloudArrival,
    Cloud,
    DeviceArrival,
    Device,
}

impl Provenance {
    pub(crate) fn of(observation: &Observation) -> Self {
        let Observation { source, received, .. } = *observation;
        Self { received, at: observation.usable_at(), source }
    }

    pub(crate) const fn clock(&self) -> Clock {
        match (self.source.is_device(), self.at.is_some()) {
            (true, true) => Clock::Device,
            (true, false) => Clock::DeviceArrival,
            (false, true) => Clock::Cloud,
            (false, false) => Clock::CloudArrival,
        }
    }

    /// Order of two values of the same clock.
    pub(crate) fn cmp_on_clock(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at).then_with(|| {
            let (by_source, by_arrival) =
                (self.source.cmp(&other.source), self.received.cmp(&other.received));
            if self.at.is_some() { by_source.then(by_arrival) } else { by_arrival.then(by_source) }
        })
    }

    /// Order of the times alone of two values of the same clock. Values without a time have that of their arrival.
    pub(crate) fn cmp_time(&self, other: &Self) -> Ordering {
        let arrival = if self.at.is_some() { Ordering::Equal } else { self.received.cmp(&other.received) };
        self.at.cmp(&other.at).then(arrival)
    }

    /// Sort key among the provenances of all clocks.
    pub(crate) fn placed(&self) -> (i64, Clock) {
        // A device record has no times: it shows what was configured at some time in the past, so a value of any other
        // source is newer, whenever the record arrived.
        let undated = matches!(self.source, Source::RestRecord) && self.at.is_none();
        (if undated { i64::MIN } else { self.mono_nanos() }, self.clock())
    }

    /// Time of the value in nanoseconds of the host's monotonic clock: its arrival minus the age stated by the cloud.
    pub(crate) fn mono_nanos(&self) -> i64 {
        let age = match self.at {
            Some(at) if !self.source.is_device() => self.received.wall.since(at).unwrap_or_default(),
            _ => Duration::ZERO,
        };
        nanos(self.received.mono).saturating_sub(nanos(age))
    }
}

pub(crate) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
