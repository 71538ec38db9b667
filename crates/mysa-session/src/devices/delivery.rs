use core::time::Duration;

use mysa_proto::{Changes, Family, UnixTime};

use crate::context::Context;
use crate::devices::staleness::silence_limit;
use crate::devices::{Device, Devices, Moment};
use crate::now::earlier;
use crate::{Deadline, Level, Now, Settings, Wake};

/// Source of a thermostat's state, if there is one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "who shows the link must know all of them")]
pub enum Link {
    /// MQTT delivers its messages: one came within the time in which one must come.
    Live,
    /// REST shows its state, and that is recent. MQTT delivers nothing of it, or nothing yet.
    Rest,
    /// Neither source has had a word of it for longer than it may be silent.
    Silent,
    /// It was heard of within that time, but neither MQTT nor REST is to be had now.
    Unreachable,
    /// Nothing was ever heard of it.
    Unheard,
}

/// Judgement of the broker by the messages that come and those that do not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    /// Messages come, or it is too early to expect one.
    Flows,
    /// It is time for messages, and none comes. REST has to show whether the thermostats report.
    Doubtful,
    /// No thermostat is heard for long. Whether they report is for REST to say.
    Silent,
    /// REST shows statuses that MQTT did not deliver.
    Withheld,
}

/// Silence of a thermostat that reports live, every five seconds, after which a newer status at REST proves that its
/// messages are not delivered.
const PROMPT: Duration = Duration::from_secs(120);
/// By how much a status at REST must be newer than the last message to be one that was not delivered. The clock of a
/// thermostat may be ahead by less than this.
const NEWER: Duration = Duration::from_secs(90);
/// Time in which an air conditioner, or a thermostat that does not report live, may prove that the broker delivers, where
/// one thermostat alone says otherwise. Air conditioners report every seven minutes.
const SECOND_WITNESS: Duration = Duration::from_secs(480);

impl Device {
    /// A message was delivered. True if that is news to the link or to the service.
    pub(super) fn deliver(&mut self, now: Duration) -> bool {
        self.heard = self.heard.max(Some(Moment::of(now)));
        self.delivered = Some(now);
        self.link != Link::Live
    }

    /// REST shows a status that it made at `at`.
    pub(super) fn poll(&mut self, at: UnixTime, received: Now) {
        self.polled = self.polled.max(Some(Moment::made(at, received)));
    }

    /// Its subscription is granted. Where nothing was delivered before, the wait for a message goes on, less the time
    /// without a subscription: connections that are cut again and again would otherwise never prove anything.
    pub(super) fn grant(&mut self, now: Duration) {
        self.refused = false;
        let lost = self.interrupted.take().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        self.granted = match self.granted {
            Some(granted) if self.delivered < self.granted => Some(granted.saturating_add(lost)),
            _ => Some(now),
        };
    }

    /// Its subscription is lost with the connection.
    pub(crate) fn interrupt(&mut self, now: Duration) {
        if self.granted.is_some() && self.interrupted.is_none() {
            self.interrupted = Some(now);
        }
    }

    /// Since when a message is due.
    fn due_since(&self) -> Option<Duration> {
        self.delivered.max(self.granted)
    }

    /// Whether REST shows a status that ought to have been delivered since then.
    fn is_overtaken(&self, since: Duration) -> bool {
        self.polled.is_some_and(|polled| polled > Moment::of(since.saturating_add(NEWER)))
    }

    /// Silence on MQTT after which it counts if REST shows more.
    fn patience(&self, settings: &Settings, now: Duration) -> Duration {
        let prompt = self.lease_until > now && self.family() != Some(Family::AirConditioner);
        if prompt { PROMPT.min(settings.stale_after) } else { settings.stale_after_quiet }
    }

    fn is_delivered(&self, settings: &Settings, now: Duration) -> bool {
        let (Some(delivered), Some(since)) = (self.delivered, self.due_since()) else { return false };
        let withheld = self.is_overtaken(since) && now.saturating_sub(since) >= self.patience(settings, now);
        !self.refused && !withheld && now.saturating_sub(delivered) < silence_limit(settings, self, now)
    }
}

impl Devices {
    /// Judges delivery over all thermostats whose subscriptions are granted.
    pub(crate) fn delivery(&self, cx: &Context) -> Delivery {
        let now = cx.mono();
        let mut newest: Option<Duration> = None;
        let (mut waiting, mut withheld) = (0_u32, 0_u32);
        let (mut doubted, mut silent, mut proved) = (None, None, None);
        for device in self.iter().filter(|device| !device.refused) {
            let Some(since) = device.due_since() else { continue };
            newest = newest.max(device.delivered);
            let (lasted, patience) = (now.saturating_sub(since), device.patience(&cx.settings, now));
            if lasted < patience {
                waiting += 1;
            } else if device.is_overtaken(since) {
                withheld += 1;
                proved = proved.max(Some(since));
            } else {
                doubted = doubted.max(Some(since));
            }
            if lasted >= cx.settings.stale_after_quiet {
                silent = silent.max(Some(since));
            }
        }
        // Where others were delivered since, the trouble is with the thermostat.
        let alone = |since: &Duration| newest.is_none_or(|newest| newest <= since.saturating_add(NEWER));
        if let Some(since) = proved.filter(alone) {
            let settled = withheld > 1 || waiting == 0 || now.saturating_sub(since) >= SECOND_WITNESS;
            return if settled { Delivery::Withheld } else { Delivery::Doubtful };
        }
        if waiting == 0 && silent.filter(alone).is_some() {
            return Delivery::Silent;
        }
        if doubted.filter(alone).is_some() { Delivery::Doubtful } else { Delivery::Flows }
    }

    /// When what is delivered has to be judged anew.
    pub(crate) fn delivery_due(&self, cx: &Context) -> Option<Deadline> {
        let now = cx.mono();
        let mut due = None;
        for device in self.iter() {
            let Some(since) = device.due_since() else { continue };
            let Settings { stale_after, stale_after_quiet, .. } = cx.settings;
            for limit in [PROMPT, SECOND_WITNESS, stale_after, stale_after_quiet] {
                let at = since.saturating_add(limit);
                if at > now {
                    due = earlier(due, Some(Deadline::new(at, Wake::Staleness)));
                }
            }
        }
        due
    }

    /// Settles how the state of each thermostat comes. `mqtt` is set while a connection is up, or its loss not yet told.
    pub(crate) fn update_links(&mut self, cx: &mut Context, level: Level, mqtt: bool) {
        let now = cx.mono();
        for device in self.iter_mut() {
            let link = if device.heard.is_none() {
                Link::Unheard
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
