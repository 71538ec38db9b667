use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::rest::{DeviceList, DeviceStateEntry, DeviceStates, Reading, StructuredState};
use mysa_proto::{
    AutoSetpoints, Body, Brightness, Change, Changes, DeviceId, Message, Now, Observation, Source, Topic,
    TopicKind, UnixTime,
};

use crate::commands::book::{Answered, Confirmed, Decided};
use crate::commands::verdict::Evidence;
use crate::context::Context;
use crate::devices::{Device, Devices};
use crate::rest::{Outcome, Purpose};
use crate::session::Session;
use crate::{ConfirmBy, Event, HttpAnswer, HttpResult, RequestError, Response};

/// When a list from which somebody is missing is read again.
const SECOND_LIST: Duration = Duration::from_secs(30);
/// Time a thermostat that has just started needs before it takes a request for live reports.
const AFTER_BOOT: Duration = Duration::from_secs(3);

impl Devices {
    /// Takes a message of a thermostat. True if there is something to be done about it soon.
    pub(crate) fn take_message(
        &mut self,
        cx: &mut Context,
        topic: &[u8],
        payload: &[u8],
        decided: &mut Vec<(DeviceId, Decided)>,
    ) -> bool {
        let Some(Topic { device: id, kind }) = Topic::parse(topic) else { return false };
        if kind == TopicKind::In {
            return false;
        }
        // Of others, such as a wildcard may bring, nothing is wanted.
        let Some(device) = self.find_mut(id) else { return false };
        if cx.settings.raw_messages {
            cx.event(Event::Message { device: id, kind, payload: payload.into() });
        }
        let now = cx.mono();
        device.hear(now);
        let woken = device.stale;
        // By reference, since a message is large, and so is an observation.
        let message = Message::decode(kind, payload);
        let Ok(message) = &message else {
            cx.event(Event::Unreadable { device: id, len: payload.len() });
            return woken;
        };
        if !message.is_about(id) {
            return woken;
        }
        let received = cx.received();
        let family = device.family();
        let mut work = woken;
        if matches!(message.body, Body::Boot(_) | Body::Firmware(_)) && cx.settings.live_reports {
            // It has forgotten that it was asked to report live.
            let jitter = cx.entropy.up_to(AFTER_BOOT);
            device.lease_at = Some(now.saturating_add(AFTER_BOOT + jitter));
            device.lease_until = Duration::ZERO;
            work = true;
        }
        let before = decided.len();
        let seen = if device.wishes.is_empty() {
            device.state.observe_message(message, &cx.settings.modes, family, received)
        } else {
            let observation = Observation::from_message(message, &cx.settings.modes, family, received);
            observation.map(|seen| device.take_answer(message, &seen, cx.settings.confirm_by, decided))
        };
        let Some(changes) = seen else { return work };
        device.tell(cx, changes, false);
        contradicts(device, cx);
        work || decided.len() != before
    }
}

impl Device {
    /// Merges what a message says that may be about a command under way.
    fn take_answer(
        &mut self,
        message: &Message<'_>,
        observation: &Observation,
        confirm_by: ConfirmBy,
        decided: &mut Vec<(DeviceId, Decided)>,
    ) -> Changes {
        let received = observation.received;
        let mut own = Vec::new();
        let seen = change_of(observation);
        let confirmed = match &message.body {
            Body::Ack(ack) => {
                // One that answers no command of ours proves nothing about ours.
                message.envelope.resp_id.and_then(|stamp| stamp.as_u64()).and_then(|stamp| {
                    let answered = Answered { stamp, success: ack.success };
                    let confirms = confirm_by == ConfirmBy::Ack;
                    self.wishes.acknowledged(answered, &seen, confirms, received.mono, &mut own)
                })
            }
            _ => self.wishes.seen(&seen, observation.usable_at(), Evidence::Status, received.mono, &mut own),
        };
        decided.extend(own.into_iter().map(|one| (self.id(), one)));
        let changes = self.state.observe(observation);
        match confirmed {
            Some(confirmed) => changes.union(confirm(self, &confirmed, observation.usable_at(), received)),
            None => changes,
        }
    }
}

fn confirm(device: &mut Device, confirmed: &Confirmed, at: Option<UnixTime>, received: Now) -> Changes {
    device.state.confirm(&Observation::from_change(&confirmed.change, at, received), confirmed.since)
}

fn contradicts(device: &mut Device, cx: &mut Context) {
    let contradicts = device.state.contradiction().is_some();
    if contradicts && !device.contradicts {
        cx.event(Event::Contradiction { device: device.id() });
    }
    device.contradicts = contradicts;
}

impl Device {
    /// Notes what the application has to be told. One entry waits for it, however much changes.
    pub(crate) fn tell(&mut self, cx: &mut Context, changes: Changes, about: bool) {
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

/// The settings an observation shows.
fn change_of(seen: &Observation) -> Change {
    Change {
        setpoint: seen.setpoint,
        mode: seen.mode,
        hold: seen.hold,
        lock: seen.lock,
        brightness: seen.brightness,
        proximity: seen.proximity,
        fan: seen.fan,
        swing_vertical: seen.swing_vertical,
        swing_horizontal: seen.swing_horizontal,
        climate_plus: seen.climate_plus,
        tracked_sensor: seen.tracked_sensor,
        ..Change::default()
    }
}

impl Session {
    /// Takes the answer to a request to the REST service, or the lack of one.
    pub(crate) fn rest_outcome(&mut self, purpose: Purpose, outcome: &Outcome, result: HttpResult<'_>) {
        let (status, body) = match result {
            HttpResult::Answer(HttpAnswer { status, body, .. }) => (status, body),
            HttpResult::Failed(_) => (0, &[][..]),
        };
        match (purpose, outcome) {
            (_, Outcome::Again) => {}
            (Purpose::Devices, Outcome::Done) => match DeviceList::decode(body) {
                Ok(list) => {
                    self.rest.devices_done(&mut self.cx, true);
                    self.list(&list);
                }
                Err(_) => {
                    self.rest.unreadable(&mut self.cx, status);
                    self.rest.devices_done(&mut self.cx, false);
                }
            },
            (Purpose::Devices, _) => self.rest.devices_done(&mut self.cx, false),
            (Purpose::States, Outcome::Done) => {
                let read = DeviceStates::decode(body).map(|states| self.take_states(&states)).is_ok();
                if !read {
                    self.rest.unreadable(&mut self.cx, status);
                }
                let live = self.mqtt.is_live();
                self.rest.states_done(&mut self.cx, read, live);
            }
            (Purpose::States, _) => {
                let live = self.mqtt.is_live();
                self.rest.states_done(&mut self.cx, false, live);
            }
            (Purpose::Reported(id), Outcome::Done) => {
                if let Ok(state) = StructuredState::decode(body) {
                    self.take_reported(id, &state);
                }
            }
            (Purpose::Reported(_), _) => {}
            (Purpose::Update { device, stamp }, outcome) => self.updated(device, stamp, outcome),
            (Purpose::Caller(id), outcome) => {
                let result = match (outcome, result) {
                    (Outcome::Done, _) => Ok(Response { status, body: body.into() }),
                    (_, HttpResult::Answer(_)) => Err(RequestError::Refused { status, body: body.into() }),
                    (_, HttpResult::Failed(failure)) => Err(RequestError::Failed(failure)),
                };
                self.cx.outbox.keep(Event::Response { id, result });
            }
        }
    }

    /// Takes the account's list: whom there is to listen to.
    fn list(&mut self, list: &DeviceList) {
        let now = self.cx.mono();
        let unreadable = |id: DeviceId| {
            list.rejected.iter().any(|(key, _)| key.as_deref().and_then(DeviceId::new) == Some(id))
        };
        let mut gone = Vec::new();
        let mut doubtful = false;
        for device in self.devices.iter_mut() {
            let missing = !list.devices.contains_key(&device.id()) && !unreadable(device.id());
            // The service has sent lists with holes. Only who is missing twice is gone.
            if missing && device.missing {
                gone.push(device.id());
            }
            device.missing = missing;
            doubtful |= missing;
        }
        if doubtful {
            self.rest.schedule_devices_no_later_than(self.cx.after(SECOND_LIST));
        }
        for id in gone {
            if let Some(mut device) = self.devices.remove(id) {
                let mut decided = Vec::new();
                device.wishes.resolve(None, crate::Expired::Cancelled, now, &mut decided);
                self.tell(decided.into_iter().map(|one| (id, one)).collect());
                self.cx.event(Event::DeviceRemoved { device: id });
            }
        }
        let mut homes = Vec::new();
        for (id, record) in list.devices.iter().take(self.cx.settings.max_devices) {
            let known = self.devices.find(*id).is_some();
            if !known {
                let model = mysa_proto::Model::parse(record.model.as_deref().unwrap_or_default());
                self.devices.add(Device::new(*id, model, now));
                self.cx.event(Event::DeviceAdded { device: *id });
            }
            let Self { cx, devices, .. } = self;
            if let Some(device) = devices.find_mut(*id)
                && device.describe(record, &mut homes)
            {
                device.tell(cx, Changes::default(), true);
            }
        }
        if !self.listed {
            self.rest.schedule_states_no_later_than(now);
        }
        self.listed = true;
        self.want_devices();
    }

    fn take_states(&mut self, states: &DeviceStates) {
        let received = self.cx.received();
        let modes = self.cx.settings.modes;
        for (id, entry) in &states.states {
            let mut decided = Vec::new();
            let Self { cx, devices, .. } = self;
            let Some(device) = devices.find_mut(*id) else { continue };
            let family = device.family();
            let mut changes = Changes::default();
            let mut newest: Option<UnixTime> = None;
            each_reading(
                entry,
                received,
                |mode| modes.mode_of(mode, family),
                |observation| {
                    let at = observation.usable_at();
                    // That it is, or was, connected is the cloud's word and no sign of life.
                    if observation.connected.is_none() {
                        newest = newest.max(at);
                    }
                    if !device.wishes.is_empty() && at.is_some() {
                        let seen = change_of(&observation);
                        let confirmed =
                            device.wishes.seen(&seen, at, Evidence::Rest, received.mono, &mut decided);
                        if let Some(confirmed) = confirmed {
                            changes = changes.union(confirm(device, &confirmed, None, received));
                        }
                    }
                    changes = changes.union(device.state.observe(&observation));
                },
            );
            if let Some(age) = newest.map(|at| received.wall.since(at).unwrap_or_default()) {
                device.hear(received.mono.saturating_sub(age));
            }
            device.tell(cx, changes, false);
            contradicts(device, cx);
            self.tell(decided.into_iter().map(|one| (*id, one)).collect());
        }
    }

    /// Only what is reported is evidence; what is desired may sit there unapplied for ever.
    fn take_reported(&mut self, id: DeviceId, state: &StructuredState) {
        let received = self.cx.received();
        let Self { cx, devices, .. } = self;
        let Some(device) = devices.find_mut(id) else { return };
        let mut decided = Vec::new();
        let mut changes = Changes::default();
        for (seen, at) in reported(state) {
            if let Some(confirmed) =
                device.wishes.seen(&seen, at, Evidence::Reported, received.mono, &mut decided)
                && at.is_some()
            {
                changes = changes.union(confirm(device, &confirmed, None, received));
            }
            let observation =
                Observation { source: Source::Structured, ..Observation::from_change(&seen, at, received) };
            changes = changes.union(device.state.observe(&observation));
        }
        device.tell(cx, changes, false);
        self.tell(decided.into_iter().map(|one| (id, one)).collect());
    }
}

/// The sections the device reports, each with its own time.
fn reported(state: &StructuredState) -> Vec<(Change, Option<UnixTime>)> {
    let mut all = Vec::new();
    if let Some(setpoint) = state.setpoint() {
        all.push((Change::setpoint(setpoint.value), setpoint.at));
    }
    if let Some(target) = state.target_auto.as_ref().and_then(|auto| auto.reported.as_ref())
        && let (Some(heat), Some(cool)) = (target.heat, target.cool)
    {
        let pair = Some(AutoSetpoints { heat, cool });
        all.push((Change { auto_setpoints: pair, ..Change::default() }, target.at));
    }
    if let Some(modes) = state.modes.as_ref().and_then(|modes| modes.reported.as_ref()) {
        let change = Change {
            mode: modes.mode,
            fan: state.fan().map(|fan| fan.value),
            swing_vertical: modes.swing_vertical,
            swing_horizontal: modes.swing_horizontal,
            ..Change::default()
        };
        all.push((change, modes.at));
    }
    if let Some(interface) = state.interface.as_ref().and_then(|interface| interface.reported.as_ref()) {
        let (active, idle) = (interface.active_brightness, interface.idle_brightness);
        let brightness = (active.is_some() || idle.is_some()).then(|| Brightness {
            active,
            idle,
            ..Brightness::default()
        });
        all.push((Change { lock: interface.locked, brightness, ..Change::default() }, interface.at));
    }
    if let Some(tracking) = state.tracking.as_ref().and_then(|tracking| tracking.reported.as_ref()) {
        let change = Change {
            tracked_sensor: tracking.tracked_sensor,
            temperature_offset: tracking.offset,
            ..Change::default()
        };
        all.push((change, tracking.at));
    }
    all
}

/// Makes one observation of each reading, since each has its own time.
fn each_reading(
    entry: &DeviceStateEntry,
    received: Now,
    mode_of: impl Fn(i64) -> mysa_proto::Mode,
    mut observe: impl FnMut(Observation),
) {
    macro_rules! one {
        ($($from:ident => $to:ident $(with $map:expr)?;)*) => {$(
            if let Some(Reading { value, at }) = entry.$from {
                let at = at.or(entry.at);
                $(let value = $map(value);)?
                observe(Observation { $to: Some(value), ..Observation::new(Source::RestState, at, received) });
            }
        )*};
    }
    one! {
        temperature => temperature;
        sensor_temperature => sensor_temperature;
        floor_temperature => floor_temperature;
        humidity => humidity;
        setpoint => setpoint;
        mode_number => mode with mode_of;
        duty => duty;
        voltage => voltage;
        locked => lock;
        fan => fan;
        swing_vertical => swing_vertical;
        swing_horizontal => swing_horizontal;
        climate_plus => climate_plus;
        tracked_sensor => tracked_sensor;
        connected => connected;
    }
    if let Some(Reading { value, at }) = entry.signal
        && let Ok(signal) = i16::try_from(value)
    {
        let at = at.or(entry.at);
        observe(Observation { signal: Some(signal), ..Observation::new(Source::RestState, at, received) });
    }
}
