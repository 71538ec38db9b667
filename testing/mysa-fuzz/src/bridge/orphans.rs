use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mysa_proto::DeviceId;

/// Time for which a thermostat that no account has stays at the broker.
const FORGET_AFTER: Duration = Duration::from_secs(3_600);

/// Thermostats and messages that the bridge may remove from the broker.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Thermostats that an account had at any time, in this run of the bridge or an earlier one.
    published: BTreeSet<DeviceId>,
    /// Those in this run, which are removed at once when they leave.
    listed: BTreeSet<DeviceId>,
    /// Time at which each availability was first seen at the broker or in the stored state. `None` once it was removed, which
    /// happens at once if the broker names it again.
    seen: BTreeMap<DeviceId, Option<Duration>>,
    /// Those that were seen since they were removed, or never removed.
    removable: BTreeSet<DeviceId>,
    /// Topics of availabilities on which an empty message was sent and not acknowledged.
    sent: BTreeSet<String>,
    /// Topics on which the broker has an empty message, and has named nothing else since.
    empty: BTreeSet<String>,
    /// `true` once Home Assistant has started: after a pause, what was removed is removed again.
    has_birth: bool,
}

impl Orphans {
    pub(super) fn list(&mut self, ids: &[DeviceId]) {
        self.published.extend(ids);
        self.listed.extend(ids);
        ids.iter().for_each(|id| self.forget_empty(*id));
    }

    /// Notes a message of the broker on any topic.
    pub(super) fn see(&mut self, topic: &str, now: Duration) {
        let id = topic.strip_prefix("mysa/").and_then(|topic| topic.strip_suffix("/availability"));
        let Some(id) = id.and_then(DeviceId::new) else { return };
        self.seen.entry(id).or_insert(Some(now));
        self.removable.insert(id);
        self.forget_empty(id);
    }

    /// Another run of the bridge, which knows the earlier ones by their stored state.
    pub(super) fn restart(&mut self, now: Duration) {
        let published = self.published.clone();
        *self = Self {
            seen: published.iter().map(|id| (*id, Some(now))).collect(),
            removable: published.clone(),
            published,
            ..Self::default()
        };
    }

    /// The bridge removes a thermostat.
    pub(super) fn remove(&mut self, id: DeviceId, now: Duration) {
        if self.listed.contains(&id) {
            return;
        }
        assert!(self.removable.remove(&id), "{id} was removed twice, or never seen");
        if let Some(since) = self.seen.insert(id, None).flatten() {
            assert!(now >= since + FORGET_AFTER, "{id} was seen at {since:?} and removed at {now:?}");
        }
    }

    /// Home Assistant has started.
    pub(super) const fn note_birth(&mut self) {
        self.has_birth = true;
    }

    /// The bridge empties a topic. That of a state may be emptied again, since the result of a command repeats it.
    pub(super) fn publish_empty(&mut self, topic: &str) {
        if !topic.ends_with("/availability") {
            return;
        }
        assert!(self.has_birth || !self.empty.contains(topic), "{topic} was emptied twice");
        self.sent.insert(topic.to_owned());
    }

    /// Messages that were sent have no acknowledgement, and are sent again on a new connection.
    pub(super) fn expect_again(&mut self) {
        self.sent.clear();
    }

    /// Returns the topics of `sent`.
    pub(super) fn sent(&self) -> BTreeSet<String> {
        self.sent.clone()
    }

    /// The broker has acknowledged the empty messages on these topics.
    pub(super) fn acknowledge(&mut self, topics: &BTreeSet<String>) {
        self.empty.extend(topics.intersection(&self.sent).cloned());
        self.sent.retain(|topic| !topics.contains(topic));
    }

    fn forget_empty(&mut self, id: DeviceId) {
        self.empty.retain(|topic| !topic.contains(id.as_str()));
        self.sent.retain(|topic| !topic.contains(id.as_str()));
    }
}
