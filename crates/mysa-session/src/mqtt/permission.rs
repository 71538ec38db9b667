use core::time::Duration;

use mysa_proto::UnixTime;

use crate::Publishes;

/// Whether this account may publish: learnt, since nobody tells. A broker that denies a publish ends the connection or
/// says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Permission {
    failures: u8,
    /// The last publish that was followed by anything was acknowledged.
    shown: bool,
    denied: Option<Denied>,
    /// When a publish failed that may have been denied. It is kept for the next run, and decides nothing in this one.
    suspected_at: Option<UnixTime>,
}

#[derive(Clone, Copy, Debug)]
struct Denied {
    at: UnixTime,
    probe_at: Duration,
    /// Whether a command of this session was among what was denied, not only requests for live reports.
    by_command: bool,
}

impl Permission {
    /// MQTT is known to be read-only.
    pub(crate) const fn is_denied(&self) -> bool {
        self.denied.is_some()
    }

    /// The last publish failed, or commands are known to be denied: another channel is the surer one.
    pub(crate) const fn is_doubtful(&self) -> bool {
        self.denied.is_some() || self.failures > 0
    }

    /// Whether there is anything to keep for the next run: an acknowledgement, a denial or a suspicion.
    pub(crate) const fn is_known(&self) -> bool {
        self.shown || self.denied.is_some() || self.suspected_at.is_some()
    }

    /// When it was found, or suspected, that publishing is denied, by the cloud's time.
    pub(crate) const fn denied_at(&self) -> Option<UnixTime> {
        match self.denied {
            Some(denied) => Some(denied.at),
            None => self.suspected_at,
        }
    }

    /// The other channel did a command after a publish had failed: it was not lost with the network.
    pub(crate) const fn suspect(&mut self, at: UnixTime) {
        if self.suspected_at.is_none() {
            self.suspected_at = Some(at);
        }
    }

    /// Publishing is denied: an earlier run of the program found out, or the other channel did a command that MQTT had
    /// failed, which is `by_command`.
    pub(crate) const fn deny(&mut self, at: UnixTime, probe_at: Duration, by_command: bool) {
        match &mut self.denied {
            Some(denied) => denied.by_command |= by_command,
            None => self.denied = Some(Denied { at, probe_at, by_command }),
        }
        self.shown = false;
    }

    /// Present knowledge, for a report.
    pub(crate) const fn known(&self) -> Publishes {
        match (self.denied, self.shown) {
            (Some(_), _) => Publishes::Denied,
            (None, true) => Publishes::Acknowledged,
            (None, false) => Publishes::Unknown,
        }
    }

    /// Commands too were tried in vain, by this session.
    pub(crate) const fn is_denied_to_commands(&self) -> bool {
        matches!(self.denied, Some(Denied { by_command: true, .. }))
    }

    /// When one harmless publish may be tried to see whether that has changed.
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

    /// The broker acknowledged a publish.
    pub(crate) const fn granted(&mut self) {
        self.failures = 0;
        self.shown = true;
        self.denied = None;
        self.suspected_at = None;
    }

    /// A publish was followed by the end of the connection, or by nothing although the connection was alive.
    pub(crate) fn record_failure(&mut self, command: bool, limit: u8, at: UnixTime, probe_at: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.shown = false;
        match &mut self.denied {
            Some(denied) => denied.by_command |= command,
            None if self.failures >= limit.max(1) => {
                self.denied = Some(Denied { at, probe_at, by_command: command });
            }
            None => {}
        }
    }
}
