use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::rest::{DeviceList, DeviceStates, StructuredState, User};
use mysa_proto::{
    Ack, Body, BodyType, Change, Changes, DeviceId, Family, Hold, Message, Model, Observation, Source, Topic,
    TopicKind, UnixTime,
};

use crate::commands::book::{Acknowledgement, CommandBook, Confirmed, Decision, RestWitness};
use crate::commands::open_command::OpenCommand;
use crate::commands::verdict::Evidence;
use crate::context::Context;
use crate::devices::{Device, Devices, Hardware, KnownFacts};
use crate::{ConfirmBy, Event};

/// Minimum time after a thermostat's boot before it is asked for live reports.
const AFTER_BOOT: Duration = Duration::from_secs(3);

/// MQTT message as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// `true` for a retained message, which may be of any age.
    pub(crate) retained: bool,
}

impl Devices {
    /// Processes a message. Returns `true` if other parts have something to do soon.
    pub(crate) fn handle_message(
        &mut self,
        cx: &mut Context,
        commands: &mut CommandBook,
        incoming: Incoming<'_>,
        decisions: &mut Vec<Decision>,
    ) -> bool {
        let Incoming { topic, payload, retained } = incoming;
        let Some(Topic { device: id, kind }) = Topic::parse(topic) else { return false };
        // `/in` carries requests, which contain no state.
        if kind == TopicKind::In {
            return false;
        }
        // A wildcard subscription may deliver messages of thermostats that are not in the list.
        let Some(device) = self.find_mut(id) else { return false };
        if cx.raw_messages {
            cx.event(Event::Message { device: id, kind, payload: payload.into() });
        }
        if retained {
            device.handle_retained(cx, kind, payload);
            return false;
        }
        // Even a message that cannot be decoded shows that the broker delivers.
        let woken = device.deliver(cx.mono());
        // Passed by reference, because messages and observations are large.
        let message = Message::decode(kind, payload);
        let Ok(message) = &message else {
            cx.event(Event::Unreadable { device: id, len: payload.len() });
            return woken;
        };
        if !message.is_about(id) {
            return woken;
        }
        if let Body::Ack(ack) = &message.body {
            device.learn_from_ack(cx, ack);
        }
        let received = cx.received();
        let family = device.family();
        let mut work = woken;
        if matches!(message.body, Body::Boot(_) | Body::Firmware(_)) && cx.settings.live_reports {
            // A restart ends live reporting.
            // A power failure restarts all thermostats of a home at once.
            let jitter = cx.entropy.up_to(AFTER_BOOT);
            device.lease_at = Some(cx.after(AFTER_BOOT + jitter));
            device.lease_until = Duration::ZERO;
            work = true;
        }
        let before = decisions.len();
        // Without open commands the message is merged directly, which is the fast path of nearly every message.
        let changes = if commands.is_empty() || !commands.has_open(id) {
            device.state.observe_message(message, &cx.settings.modes, family, received)
        } else {
            let observation = Observation::from_message(message, &cx.settings.modes, family, received);
            observation.map(|seen| device.handle_answer(cx, commands, message, &seen, decisions))
        };
        let Some(changes) = changes else { return work };
        device.notify(cx, changes, false);
        contradicts(device, cx);
        work || decisions.len() != before
    }
}

impl Device {
    /// Merges a message while commands to the thermostat are undecided, and judges them by it.
    fn handle_answer(
        &mut self,
        cx: &Context,
        commands: &mut CommandBook,
        message: &Message<'_>,
        observation: &Observation,
        decisions: &mut Vec<Decision>,
    ) -> Changes {
        let now = observation.received.mono;
        let changes = self.state.observe(observation);
        // An acknowledgement of another client's command proves no more than any message.
        if let Body::Ack(ack) = &message.body
            && let Some(serial) = message.envelope.resp_id.and_then(|id| id.as_u64())
        {
            let confirms = cx.settings.confirm_by == ConfirmBy::Ack;
            let ack = Acknowledgement { serial, success: ack.success, at: observation.usable_at(), confirms };
            commands.acknowledged(self.id(), ack, &observation.settings(), now, decisions);
        }
        commands.judge(self.id(), &self.state, None, now, decisions);
        changes
    }

    /// Learns the model from the `type` in an acknowledgement. A thermostat ignores commands of another type, so it
    /// names its own.
    #[inline(never)]
    fn learn_from_ack(&mut self, cx: &mut Context, ack: &Ack) {
        let family = match ack.body_type.and_then(BodyType::from_number) {
            Some(BodyType::BaseboardLite) if ack.success != Some(false) => Family::BaseboardLite,
            Some(BodyType::BaseboardV2) if ack.success != Some(false) => Family::BaseboardV2,
            _ => return,
        };
        if self.learn_hardware(Hardware::Acknowledges(family)) {
            self.notify(cx, Changes::default(), true);
        }
    }

    /// Merges a retained message. It counts from its own time and is not a sign of life now; without a time it is
    /// discarded.
    fn handle_retained(&mut self, cx: &mut Context, kind: TopicKind, payload: &[u8]) {
        let Ok(message) = Message::decode(kind, payload) else { return };
        if !message.is_about(self.id()) {
            return;
        }
        let received = cx.received();
        let observation = Observation::from_message(&message, &cx.settings.modes, self.family(), received);
        let Some((observation, at)) = observation.and_then(|seen| Some((seen, seen.usable_at()?))) else {
            return;
        };
        self.record_sign_of_life(at, received);
        let changes = self.state.observe(&Observation { source: Source::Retained, ..observation });
        self.notify(cx, changes, false);
        contradicts(self, cx);
    }

    /// Merges fields that a command is known to have set.
    pub(crate) fn confirm(&mut self, cx: &mut Context, confirmed: &Confirmed) {
        let received = cx.received();
        let observation = Observation::from_change(&confirmed.change, confirmed.at, received);
        let changes = self.state.confirm(&observation, confirmed.since);
        self.notify(cx, changes, false);
    }

    /// Returns the settings that the thermostat is known to hold.
    pub(crate) fn held(&self) -> Change {
        self.state.settings(|_| true)
    }

    /// Returns `true` if the thermostat is known to hold every field of a change.
    pub(crate) fn holds(&self, change: &Change) -> bool {
        // A report that omits the end of a hold agrees with several holds and proves none of them.
        let held = self.held();
        let hold = held.hold.filter(|hold| *hold != Hold::FollowOrUntil);
        change.compare(&Change { hold, ..held }).is_met()
    }
}

impl Devices {
    /// Returns the settings that a thermostat has shown since a command was sent.
    pub(crate) fn seen_since(&self, command: &OpenCommand) -> Change {
        match (self.find(command.device), command.first_sent) {
            (Some(device), Some(sent)) => device.state.settings(|provenance| sent.is_before(provenance)),
            _ => Change::default(),
        }
    }
}

fn contradicts(device: &mut Device, cx: &mut Context) {
    let contradicts = device.state.contradiction().is_some();
    if contradicts && !device.contradicts {
        cx.event(Event::Contradiction { device: device.id() });
    }
    device.contradicts = contradicts;
}

impl Device {
    /// Records changes for the application. One queued event covers all of them.
    pub(crate) fn notify(&mut self, cx: &mut Context, changes: Changes, about: bool) {
        if changes.is_empty() && !about {
            return;
        }
        let notice = &mut self.notice;
        notice.changes = notice.changes.union(changes);
        notice.about |= about;
        if notice.queued {
            notice.skipped = notice.skipped.saturating_add(1);
        } else {
            notice.queued = true;
            cx.outbox.device(self.id());
        }
    }
}

/// Effects of a new device list on the other parts of the session.
#[derive(Debug, Default)]
pub(crate) struct ListChanges {
    /// Thermostats that are gone.
    pub(crate) removed: Vec<DeviceId>,
    /// `true` if a thermostat is missing: the service has returned lists with holes.
    pub(crate) is_incomplete: bool,
}

impl Devices {
    /// Applies the device list of the account.
    pub(crate) fn handle_list(&mut self, cx: &mut Context, list: &DeviceList) -> ListChanges {
        let now = cx.mono();
        let unreadable = |id: DeviceId| {
            list.rejected.iter().any(|(key, _)| key.as_deref().and_then(DeviceId::new) == Some(id))
        };
        let mut changes = ListChanges::default();
        for device in self.iter_mut() {
            let missing = !list.devices.contains_key(&device.id()) && !unreadable(device.id());
            // A thermostat is removed only when two consecutive lists lack it.
            if missing && device.missing {
                changes.removed.push(device.id());
            }
            device.missing = missing;
            changes.is_incomplete |= missing;
        }
        // Most records name the same home and the same limits, which are stored once and shared.
        let mut met = KnownFacts::default();
        for (id, record) in list.devices.iter().take(cx.settings.max_devices) {
            if self.find(*id).is_none() {
                let model = Model::parse(record.model.as_deref().unwrap_or_default());
                self.add(Device::new(*id, model, now));
                cx.event(Event::DeviceAdded { device: *id });
            }
            if let Some(device) = self.find_mut(*id) {
                let described = device.describe(record, &mut met);
                // A record has no time stamps, so it fills only the gaps that better sources leave.
                let known = device.state.settings(|known| known.source != Source::RestRecord);
                let record = record.observation(cx.received()).only_of(device.family());
                let changes = device.state.observe(&Observation {
                    source: Source::RestRecord,
                    ..Observation::from_change(&record.settings().without(&known), None, record.received)
                });
                device.notify(cx, changes, described);
            }
        }
        changes
    }

    /// Applies the models as they were paired, which remain true when a record is edited.
    pub(crate) fn handle_user(&mut self, cx: &mut Context, user: &User) {
        for device in self.iter_mut() {
            let paired = user.paired.get(&device.id()).and_then(|paired| paired.model.as_deref());
            let family =
                paired.and_then(|model| Model::parse(model).family()).or(device.record_model().family());
            if let Some(family) = family
                && device.learn_hardware(Hardware::Paired(family))
            {
                device.notify(cx, Changes::default(), true);
            }
        }
    }

    /// Applies the states of all thermostats, and judges commands by them.
    pub(crate) fn handle_states(
        &mut self,
        cx: &mut Context,
        commands: &mut CommandBook,
        states: &DeviceStates,
        decisions: &mut Vec<Decision>,
    ) {
        let received = cx.received();
        let modes = cx.settings.modes;
        for (id, entry) in &states.states {
            let Some(device) = self.find_mut(*id) else { continue };
            let family = device.family();
            let mut changes = Changes::default();
            let mut newest: Option<UnixTime> = None;
            let mut status_at: Option<UnixTime> = None;
            let mut shown = Change::default();
            for observation in entry.observations(&modes, family, received) {
                // The connection flag is the cloud's statement and no sign of life.
                if observation.connected.is_none() {
                    newest = newest.max(observation.usable_at());
                }
                // Every status contains a temperature; the other fields have other origins too.
                if observation.temperature.is_some() {
                    status_at = observation.usable_at();
                }
                shown = shown.then(observation.settings());
                changes = changes.union(device.state.observe(&cx.without_sleep(observation)));
            }
            if let Some(at) = newest {
                device.record_sign_of_life(at, received);
            }
            if let Some(at) = status_at {
                device.record_rest_status(at, received);
            }
            if commands.has_open(*id) {
                let witness = RestWitness { by: Evidence::Rest, status_at, shown };
                commands.judge(*id, &device.state, Some(&witness), received.mono, decisions);
            }
            device.notify(cx, changes, false);
            contradicts(device, cx);
        }
    }

    /// Applies the structured state of one thermostat, and judges commands by it. Only the `reported` part is evidence;
    /// a `desired` value may stay unapplied forever.
    pub(crate) fn handle_reported(
        &mut self,
        cx: &mut Context,
        commands: &mut CommandBook,
        id: DeviceId,
        state: &StructuredState,
        decisions: &mut Vec<Decision>,
    ) {
        let received = cx.received();
        let Some(device) = self.find_mut(id) else { return };
        let mut changes = Changes::default();
        let mut shown = Change::default();
        for observation in state.observations(device.family(), received) {
            // The connection flag is the cloud's statement and no sign of life.
            if let (Some(at), None) = (observation.usable_at(), observation.connected) {
                device.record_sign_of_life(at, received);
            }
            shown = shown.then(observation.settings());
            changes = changes.union(device.state.observe(&cx.without_sleep(observation)));
        }
        let status_at = state.telemetry.as_ref().and_then(|telemetry| telemetry.at);
        let witness = RestWitness { by: Evidence::Reported, status_at, shown };
        commands.judge(id, &device.state, Some(&witness), received.mono, decisions);
        device.notify(cx, changes, false);
        contradicts(device, cx);
    }
}

#[cfg(test)]
mod tests;
