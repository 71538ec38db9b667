use core::time::Duration;

use mysa_proto::{Changes, Family, UnixTime};

use crate::context::Context;
use crate::devices::staleness::silence_limit;
use crate::devices::{Device, Devices, Moment};
use crate::now::earlier;
use crate::{Deadline, Level, Now, Settings, Wake};

/// Source of a thermostat's state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a caller that shows the link must handle each value")]
pub enum Link {
    /// MQTT delivers its messages: the latest came within the allowed silence.
    Live,
    /// REST shows a recent state. MQTT delivers nothing, or nothing yet.
    Rest,
    /// Both sources have been silent about it for longer than allowed.
    Silent,
    /// Its last sign of life is recent enough, but neither MQTT nor REST is available now.
    Unreachable,
    /// There was never a sign of life.
    Unseen,
}

/// Judgement on the broker's delivery of messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    /// Messages arrive, or it is too early to expect one.
    Flows,
    /// Messages are due and none arrives. REST has to show whether the thermostats report.
    Suspect,
    /// No thermostat has sent a message for long. REST has to show whether they report.
    Silent,
    /// REST shows statuses that MQTT did not deliver.
    Withheld,
}

/// Silence after which a newer status in REST proves that messages of a thermostat are not delivered, while it reports
/// live, every five seconds.
const PROMPT: Duration = Duration::from_secs(120);
/// Minimum time by which a status in REST must be newer than the last message to count as undelivered. The clock of a
/// thermostat is assumed to be less than this ahead.
const NEWER: Duration = Duration::from_secs(90);
/// Time that other thermostats have to prove that the broker delivers, if a single thermostat suggests otherwise. Air
/// conditioners report every seven minutes.
const SECOND_WITNESS: Duration = Duration::from_secs(480);

impl Device {
    /// Records a delivered message. Returns `true` if the link or the service level may change.
    pub(super) fn deliver(&mut self, now: Duration) -> bool {
        self.last_seen = self.last_seen.max(Some(Moment::of(now)));
        self.delivered = Some(now);
        self.link != Link::Live
    }

    /// Records a status in REST that the thermostat made at `at`.
    pub(super) fn record_rest_status(&mut self, at: UnixTime, received: Now) {
        self.polled = self.polled.max(Some(Moment::made(at, received)));
    }

    /// Records the grant of its subscription. If nothing was delivered since the previous grant, the wait for a message
    /// continues, less the time without a subscription: otherwise connections that break again and again would never
    /// prove anything.
    pub(super) fn grant(&mut self, now: Duration) {
        self.refused = false;
        let lost = self.interrupted.take().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        self.granted = match self.granted {
            // Nothing was delivered since the last grant: the wait continues.
            Some(granted) if self.delivered < self.granted => Some(granted.saturating_add(lost)),
            _ => Some(now),
        };
    }

    /// Records the loss of its subscription with the connection.
    pub(crate) fn interrupt(&mut self, now: Duration) {
        if self.granted.is_some() && self.interrupted.is_none() {
            self.interrupted = Some(now);
        }
    }

    /// Returns the time since which a message is due.
    fn due_since(&self) -> Option<Duration> {
        self.delivered.max(self.granted)
    }

    /// Returns `true` if REST shows a status that should have been delivered since then.
    fn is_overtaken(&self, since: Duration) -> bool {
        self.polled.is_some_and(|polled| polled > Moment::of(since.saturating_add(NEWER)))
    }

    /// Returns the silence on MQTT after which a newer status in REST counts.
    fn allowed_silence(&self, settings: &Settings, now: Duration) -> Duration {
        let prompt = self.lease_until > now && self.family() != Some(Family::AirConditioner);
        if prompt { PROMPT.min(settings.stale_after) } else { settings.stale_after_quiet }
    }

    fn is_delivered(&self, settings: &Settings, now: Duration) -> bool {
        let (Some(delivered), Some(since)) = (self.delivered, self.due_since()) else { return false };
        let withheld =
            self.is_overtaken(since) && now.saturating_sub(since) >= self.allowed_silence(settings, now);
        !self.refused && !withheld && now.saturating_sub(delivered) < silence_limit(settings, self, now)
    }
}

impl Devices {
    /// Judges delivery by all thermostats whose subscriptions are granted.
    pub(crate) fn delivery(&self, cx: &Context) -> Delivery {
        let now = cx.mono();
        let mut newest: Option<Duration> = None;
        let (mut waiting, mut withheld) = (0_u32, 0_u32);
        let (mut suspect, mut silent, mut proved) = (None, None, None);
        for device in self.iter().filter(|device| !device.refused) {
            let Some(since) = device.due_since() else { continue };
            newest = newest.max(device.delivered);
            let (lasted, allowed_silence) =
                (now.saturating_sub(since), device.allowed_silence(&cx.settings, now));
            if lasted < allowed_silence {
                waiting += 1;
            } else if device.is_overtaken(since) {
                withheld += 1;
                proved = proved.max(Some(since));
            } else {
                suspect = suspect.max(Some(since));
            }
            if lasted >= cx.settings.stale_after_quiet {
                silent = silent.max(Some(since));
            }
        }
        // If messages of other thermostats arrived since, the fault is with this thermostat.
        let alone = |since: &Duration| newest.is_none_or(|newest| newest <= since.saturating_add(NEWER));
        if let Some(since) = proved.filter(alone) {
            // A single thermostat may have a fault of its own, so other thermostats get time to show that the
            // broker delivers.
            let settled = withheld > 1 || waiting == 0 || now.saturating_sub(since) >= SECOND_WITNESS;
            return if settled { Delivery::Withheld } else { Delivery::Suspect };
        }
        if waiting == 0 && silent.filter(alone).is_some() {
            return Delivery::Silent;
        }
        if suspect.filter(alone).is_some() { Delivery::Suspect } else { Delivery::Flows }
    }

    /// Returns the time at which delivery has to be judged again.
    pub(crate) fn delivery_due(&self, cx: &Context) -> Option<Deadline> {
        let now = cx.mono();
        let mut due = None;
        for device in self.iter() {
            let Some(since) = device.due_since() else { continue };
            let Settings { stale_after, stale_after_quiet, .. } = cx.settings;
            // The judgement can change only when one of these limits is reached.
            for limit in [PROMPT, SECOND_WITNESS, stale_after, stale_after_quiet] {
                let at = since.saturating_add(limit);
                if at > now {
                    due = earlier(due, Some(Deadline::new(at, Wake::Staleness)));
                }
            }
        }
        due
    }

    /// Updates the link of each thermostat. `mqtt` is `true` while a connection is up, or its loss is not reported yet.
    pub(crate) fn update_links(&mut self, cx: &mut Context, level: Level, mqtt: bool) {
        let now = cx.mono();
        for device in self.iter_mut() {
            let link = if device.last_seen.is_none() {
                Link::Unseen
            } else if device.stale {
                Link::Silent
            } else if mqtt && device.is_delivered(&cx.settings, now) {
                Link::Live
            } else if level <= Level::RestOnly {
                Link::Rest
            } else {
                Link::Unreachable
            };
            if link != device.link {
                device.link = link;
                device.notify(cx, Changes::default(), true);
            }
        }
    }
}

#[cfg(test)]
mod tests;
