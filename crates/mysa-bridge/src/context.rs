use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{DeviceId, Now};
use mysa_session::Entropy;

use crate::client::{Client, QoS};
use crate::defence::Defence;
use crate::event::{Event, IgnoredReason, Output};
use crate::settings::Settings;
use crate::topics::Topics;

/// Context shared by the parts of a bridge: the time of the call, the settings, the messages at the broker, and the queue
/// for the driver.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    pub(crate) defence: Defence,
    pub(crate) entropy: Entropy,
    pub(crate) now: Now,
    pub(crate) outputs: VecDeque<Output>,
}

/// Maximum number of events for the log that wait.
const MAX_EVENTS: usize = 1_024;

impl Context {
    pub(crate) const fn mono(&self) -> Duration {
        self.now.mono
    }

    /// Returns the monotonic time at which something that begins now and takes `time` is over.
    pub(crate) const fn after(&self, time: Duration) -> Duration {
        self.now.mono.saturating_add(time)
    }

    pub(crate) fn topics(&self) -> Topics<'_> {
        Topics::new(&self.settings)
    }

    pub(crate) fn event(&mut self, event: Event) {
        // A driver that does not drain loses the newest lines of its log, and nothing else.
        if self.outputs.len() < MAX_EVENTS {
            self.outputs.push_back(Output::Event(event));
        }
    }

    pub(crate) fn ignore(&mut self, topic: &str, reason: IgnoredReason) {
        self.event(Event::Ignored { topic: topic.into(), reason });
    }

    /// Publishes the own availability again if the broker holds another, such as a will that arrived late.
    pub(crate) fn defend(&mut self, rank: u8, topic: &str, seen: &[u8]) {
        self.defence.handle(&mut self.client, rank, topic, seen, self.now.mono);
    }

    /// Removes the messages of a thermostat from the broker.
    pub(crate) fn clear(&mut self, id: DeviceId) {
        self.clear_again(id);
        self.event(Event::Removed { device: id });
    }

    /// Removes the messages of a thermostat that is known to be removed.
    pub(crate) fn clear_again(&mut self, id: DeviceId) {
        for (rank, topic) in Topics::new(&self.settings).retained(id) {
            self.client.retain(rank, topic, Vec::new(), QoS::AtLeastOnce);
        }
    }

    /// `true` if the broker has acknowledged the removal of the messages of a thermostat, or has had none of this run.
    pub(crate) fn is_cleared(&self, id: DeviceId) -> bool {
        self.topics().retained(id).all(|(rank, topic)| self.client.wanted(rank, &topic).is_none())
    }
}
