use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_mqtt_codec::PacketId;
use mysa_proto::{DeviceId, Topic, TopicKind};

/// Topic filter to subscribe to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum TopicFilter {
    /// `/v1/dev/+/out`.
    Everything,
    /// One topic of one thermostat of the account. No other filter can be expressed.
    Device(DeviceId, TopicKind),
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Everything => f.write_str("/v1/dev/+/out"),
            Self::Device(device, kind) => Topic { device, kind }.fmt(f),
        }
    }
}

/// One filter on one connection, with its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) wanted: TopicFilter,
    pub(crate) state: SubscriptionState,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SubscriptionState {
    Waiting,
    Asked {
        packet: PacketId,
        until: Duration,
    },
    Granted,
    /// Refused, unanswered or suspected. It is not requested again before `retry_at`.
    Refused {
        retry_at: Duration,
    },
}

/// Failures of a filter over all connections. Only filters with failures have an entry.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// Number of times the filter was refused, or was found to end connections.
    refusals: u32,
    /// Number of connections that ended while this was the only filter requested.
    failures: u8,
    /// `true` if the filter was among those requested when a connection ended.
    suspect: bool,
    until: Duration,
}

/// Failure records of filters.
#[derive(Debug, Default)]
pub(crate) struct Records(Vec<(TopicFilter, Record)>);

/// Longest pause before a refused filter is tried again.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Records {
    fn record(&mut self, wanted: TopicFilter) -> &mut Record {
        let at = match self.0.iter().position(|(other, _)| *other == wanted) {
            Some(at) => at,
            None => {
                self.0.push((wanted, Record::default()));
                self.0.len() - 1
            }
        };
        &mut self.0[at].1
    }

    fn find(&self, wanted: TopicFilter) -> Option<&Record> {
        self.0.iter().find(|(other, _)| *other == wanted).map(|(_, record)| record)
    }

    /// Time until which the filter is not to be requested.
    pub(crate) fn blocked_until(&self, wanted: TopicFilter) -> Option<Duration> {
        self.find(wanted).map(|record| record.until).filter(|until| !until.is_zero())
    }

    pub(crate) fn is_suspect(&self, wanted: TopicFilter) -> bool {
        self.find(wanted).is_some_and(|record| record.suspect)
    }

    pub(crate) fn granted(&mut self, wanted: TopicFilter) {
        self.0.retain(|(other, _)| *other != wanted);
    }

    /// Records a refusal, and returns the time at which the filter may be requested again.
    pub(crate) fn refused(&mut self, wanted: TopicFilter, now: Duration, first: Duration) -> Duration {
        let record = self.record(wanted);
        let pause = first.saturating_mul(1 << record.refusals.min(16)).min(LONGEST);
        record.refusals = record.refusals.saturating_add(1);
        // A definite answer replaces the suspicion.
        record.suspect = false;
        record.failures = 0;
        record.until = now.saturating_add(pause);
        record.until
    }

    /// Records that a connection ended while the filter was requested; `alone` if it was the only one.
    pub(crate) fn suspect(&mut self, wanted: TopicFilter, alone: bool, now: Duration, first: Duration) {
        let record = self.record(wanted);
        record.suspect = true;
        if alone {
            record.failures += 1;
            // A filter that was blocked before needs no second proof: each proof costs the connection of the others.
            if record.failures >= 2 || record.refusals > 0 {
                self.refused(wanted, now, first);
                self.record(wanted).suspect = true;
            }
        }
    }

    pub(crate) fn forget(&mut self, keep: impl Fn(TopicFilter) -> bool) {
        self.0.retain(|(wanted, _)| keep(*wanted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(600);

    #[test]
    fn a_filter_that_ends_two_connections_alone_is_blocked_with_growing_pauses() {
        let wanted = TopicFilter::Device(DeviceId::new("a0b1c2d3e4f6").unwrap(), TopicKind::Batch);
        let mut records = Records::default();
        records.suspect(wanted, false, Duration::ZERO, FIRST);
        records.suspect(wanted, true, Duration::ZERO, FIRST);
        assert_eq!((records.blocked_until(wanted), records.is_suspect(wanted)), (None, true));
        records.suspect(wanted, true, Duration::ZERO, FIRST);
        assert_eq!(records.blocked_until(wanted), Some(FIRST));
        // The filter is still requested alone, and one more end is enough.
        assert!(records.is_suspect(wanted));
        records.suspect(wanted, true, FIRST, FIRST);
        assert_eq!(records.blocked_until(wanted), Some(FIRST * 3));
        records.granted(wanted);
        assert_eq!(records.blocked_until(wanted), None);
    }
}
