use core::time::Duration;

use mysa_proto::UnixTime;

use crate::Publishes;

/// Knowledge about the account's permission to publish. It is learnt from failures, because a broker that denies a
/// publish either closes the connection (mysa_client, modern pool) or sends no PUBACK (mysa-js-sdk).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Permission {
    failures: u8,
    /// `true` if the latest publish with a known outcome was acknowledged.
    shown: bool,
    denied: Option<Denied>,
    /// Time of a failed publish that may have been denied. It is stored for the next run, and decides nothing in this
    /// one.
    suspected_at: Option<UnixTime>,
}

#[derive(Clone, Copy, Debug)]
struct Denied {
    at: UnixTime,
    probe_at: Duration,
    /// `true` if a command of this session was denied, not only requests for live reports.
    by_command: bool,
}

impl Permission {
    /// Returns `true` if MQTT is known to be read-only.
    pub(crate) const fn is_denied(&self) -> bool {
        self.denied.is_some()
    }

    /// Returns `true` if the last publish failed or publishing is denied, so another channel is safer.
    pub(crate) const fn is_suspect(&self) -> bool {
        self.denied.is_some() || self.failures > 0
    }

    /// Returns `true` if there is something to store for the next run: an acknowledgement, a denial or a suspicion.
    pub(crate) const fn is_known(&self) -> bool {
        self.shown || self.denied.is_some() || self.suspected_at.is_some()
    }

    /// Cloud time at which publishing was found or suspected to be denied.
    pub(crate) const fn denied_at(&self) -> Option<UnixTime> {
        match self.denied {
            Some(denied) => Some(denied.at),
            None => self.suspected_at,
        }
    }

    /// Records that the other channel executed a command after a publish had failed, so the network was not
    /// at fault.
    pub(crate) const fn suspect(&mut self, at: UnixTime) {
        if self.suspected_at.is_none() {
            self.suspected_at = Some(at);
        }
    }

    /// Records that publishing is denied, because an earlier run of the program found it, or because the
    /// other channel executed a command that had failed by MQTT, in which case `by_command` is `true`.
    pub(crate) const fn deny(&mut self, at: UnixTime, probe_at: Duration, by_command: bool) {
        match &mut self.denied {
            Some(denied) => denied.by_command |= by_command,
            None => self.denied = Some(Denied { at, probe_at, by_command }),
        }
        self.shown = false;
    }

    /// Current knowledge, for a [`Diagnosis`](crate::Diagnosis).
    pub(crate) const fn known(&self) -> Publishes {
        match (self.denied, self.shown) {
            (Some(_), _) => Publishes::Denied,
            (None, true) => Publishes::Acknowledged,
            (None, false) => Publishes::Unknown,
        }
    }

    /// Returns `true` if commands of this session were denied too.
    pub(crate) const fn is_denied_to_commands(&self) -> bool {
        matches!(self.denied, Some(Denied { by_command: true, .. }))
    }

    /// Time at which one harmless publish may test whether publishing is still denied.
    pub(crate) const fn probe_at(&self) -> Option<Duration> {
        match self.denied {
            Some(denied) => Some(denied.probe_at),
            None => None,
        }
    }

    pub(crate) const fn probed(&mut self, next: Duration) {
        if let Some(denied) = &mut self.denied {
            denied.probe_at = next;
        }
    }

    /// Records an acknowledged publish, which clears every failure and denial.
    pub(crate) const fn granted(&mut self) {
        self.failures = 0;
        self.shown = true;
        self.denied = None;
        self.suspected_at = None;
    }

    /// Records a publish that was followed by the end of the connection, or by no answer although the connection was
    /// alive. Publishing counts as denied after `limit` failures in a row.
    pub(crate) fn record_failure(&mut self, command: bool, limit: u8, at: UnixTime, probe_at: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.shown = false;
        match &mut self.denied {
            Some(denied) => denied.by_command |= command,
            // Single failures also have other causes, such as a network that breaks.
            None if self.failures >= limit.max(1) => {
                self.denied = Some(Denied { at, probe_at, by_command: command });
            }
            None => {}
        }
    }
}
