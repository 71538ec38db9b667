use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::rest;
use mysa_proto::{Change, Channel, Command, DeviceId, EnvelopeMeta, InvalidCommand, StructuredUpdate};

use crate::commands::verdict::{CommandId, Expired, Refused, Verdict};
use crate::devices::Device;
use crate::mqtt::connection::Publishing;
use crate::now::earlier;
use crate::rest::{Outcome, Purpose};
use crate::session::Session;
use crate::{CommandChannel, Deadline, Level, Wake};

/// When the REST state is read for a command by MQTT that nothing was heard of, counted from sending it.
const SECOND_LOOK: Duration = Duration::from_secs(6);
/// Pauses between readings of what the structured service reports after a command.
const STATE_POLL_DELAYS: [Duration; 4] =
    [Duration::from_millis(1_500), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(6)];

impl Session {
    /// Takes a wish, or refuses it.
    pub(crate) fn wish(
        &mut self,
        id: CommandId,
        device: DeviceId,
        change: Change,
        deadline: Option<Duration>,
    ) {
        let verdict = match self.check(device, change) {
            Ok(change) => {
                let now = self.cx.mono();
                let deadline = now.saturating_add(deadline.unwrap_or(self.cx.settings.command_deadline));
                let mut decided = Vec::new();
                if let Some(device) = self.devices.find_mut(device) {
                    for stamp in device.wishes.overtaken(&change) {
                        self.mqtt.give_up(stamp);
                    }
                    device.wishes.add(id, change, now, deadline, &mut decided);
                }
                self.tell(decided.into_iter().map(|one| (device, one)).collect());
                return;
            }
            Err(verdict) => verdict,
        };
        self.tell(alloc::vec![(device, (id, verdict))]);
    }

    /// The change as the thermostat will take it, on its own step.
    fn check(&self, id: DeviceId, change: Change) -> Result<Change, Verdict> {
        if self.ended {
            return Err(Verdict::Expired(Expired::ShutDown));
        }
        if self.cx.settings.read_only {
            return Err(Verdict::Refused(Refused::ReadOnlyByChoice));
        }
        let Some(device) = self.devices.find(id) else {
            return Err(Verdict::Refused(Refused::UnknownDevice));
        };
        let channel = self.channel(device).map_err(Verdict::Refused)?;
        self.fit(device, change, channel)
            .map_err(|refusal| Verdict::Refused(Refused::Model(Box::new(refusal))))
    }

    fn fit(&self, device: &Device, change: Change, channel: Channel) -> Result<Change, InvalidCommand> {
        match channel {
            Channel::Mqtt => {
                let (modes, now) = (&self.cx.settings.modes, self.cx.time());
                Command::new(device.id(), device.model(), &device.limits(), modes, change, now)
                    .map(|command| *command.change())
            }
            Channel::Structured => {
                StructuredUpdate::new(device.model(), &device.limits(), change).map(|update| *update.change())
            }
        }
    }

    /// The channel commands to a thermostat take at present.
    pub(crate) fn channel(&self, device: &Device) -> Result<Channel, Refused> {
        let family = device.family();
        let by_mqtt = family.is_none_or(|family| family.is_reached_by(Channel::Mqtt));
        let structured =
            !self.captured && family.is_some_and(|family| family.is_reached_by(Channel::Structured));
        match self.cx.settings.channel {
            CommandChannel::Mqtt => {
                if self.mqtt.permission.is_denied_to_commands() {
                    Err(Refused::NotPermitted)
                } else {
                    Ok(Channel::Mqtt)
                }
            }
            CommandChannel::Structured => Ok(Channel::Structured),
            CommandChannel::Auto => {
                let missing = self.service.level == Level::RestOnly && !self.mqtt.is_live();
                if missing && structured && self.mqtt.route(device.id()).is_none() {
                    Ok(Channel::Structured)
                } else if by_mqtt && !self.mqtt.permission.is_denied() {
                    Ok(Channel::Mqtt)
                } else if structured {
                    Ok(Channel::Structured)
                } else if by_mqtt && !self.mqtt.permission.is_denied_to_commands() {
                    Ok(Channel::Mqtt)
                } else {
                    Err(Refused::NotPermitted)
                }
            }
        }
    }

    /// Sends what is due, of each thermostat as one write.
    pub(crate) fn send_orders(&mut self) {
        let interval = self.cx.settings.write_interval();
        let due: Vec<DeviceId> = self
            .devices
            .iter()
            .filter(|device| device.wishes.send_at(interval).is_some_and(|at| at <= self.cx.mono()))
            .map(Device::id)
            .collect();
        for id in due {
            self.expire(id);
            self.send_order(id);
        }
    }

    fn send_order(&mut self, id: DeviceId) {
        let Some(device) = self.devices.find(id) else { return };
        let Some((first, own)) = device.wishes.first_waiting() else { return };
        let channel = match self.channel(device) {
            Ok(channel) => channel,
            Err(refused) => return self.refuse_waiting(id, None, &refused),
        };
        // All that waits goes as one, unless together it makes no sense.
        let (change, alone) = match self.fit(device, device.wishes.waiting(), channel) {
            Ok(change) => (change, None),
            Err(_) => match self.fit(device, own, channel) {
                Ok(change) => (change, Some(first)),
                Err(refusal) => {
                    let refused = Refused::Model(Box::new(refusal));
                    return self.refuse_waiting(id, Some(first), &refused);
                }
            },
        };
        match channel {
            Channel::Mqtt => self.publish_order(id, change, alone),
            Channel::Structured => self.request_order(id, change, alone),
        }
    }

    fn refuse_waiting(&mut self, id: DeviceId, alone: Option<CommandId>, refused: &Refused) {
        let mut decided = Vec::new();
        if let Some(device) = self.devices.find_mut(id) {
            device.wishes.refuse_waiting(alone, refused, &mut decided);
        }
        self.tell(decided.into_iter().map(|one| (id, one)).collect());
    }

    /// A number no other command of this session has; the clock in milliseconds, as the vendor's app has it.
    fn next_stamp(&mut self) -> u64 {
        let clock = u64::try_from(self.cx.time().as_millis()).unwrap_or(0);
        self.stamp = clock.max(self.stamp + 1);
        self.stamp
    }

    fn publish_order(&mut self, id: DeviceId, change: Change, alone: Option<CommandId>) {
        let Some(at) = self.mqtt.route(id) else { return };
        if !self.mqtt.connections.get(at).is_some_and(|connection| connection.may_send(&self.cx)) {
            return;
        }
        let stamp = self.next_stamp();
        let Self { cx, identity, mqtt, devices, .. } = self;
        let Some(device) = devices.find_mut(id) else { return };
        let time = cx.time();
        let Ok(command) =
            Command::new(id, device.model(), &device.limits(), &cx.settings.modes, change, time)
        else {
            return;
        };
        let app_ref = cx.settings.app_ref.or(identity.user()).unwrap_or("mysa-session");
        let mut payload = Vec::with_capacity(320);
        command.encode(&EnvelopeMeta { id: stamp, time, app_ref, form: cx.settings.envelope }, &mut payload);
        for older in device.wishes.overtaken(&change) {
            mqtt.give_up(older);
        }
        let Some(connection) = mqtt.connections.get_mut(at) else { return };
        let what = Publishing::Command { device: id, stamp };
        let retries = cx.settings.publish_retries;
        let kept_up = connection.publish(cx, id, &payload, what, retries);
        let mut decided = Vec::new();
        device.wishes.sent(alone, stamp, Channel::Mqtt, cx.mono(), time, &mut decided);
        if !self.captured {
            self.rest.schedule_states_no_later_than(self.cx.after(SECOND_LOOK));
        }
        self.tell(decided.into_iter().map(|one| (id, one)).collect());
        if !kept_up {
            self.mqtt.apply_events(
                &mut self.cx,
                at,
                &mut alloc::vec![crate::mqtt::connection::ConnectionEvent::Dead],
            );
        }
    }

    fn request_order(&mut self, id: DeviceId, change: Change, alone: Option<CommandId>) {
        if self.identity.id_token(&self.cx).is_none() {
            return;
        }
        let stamp = self.next_stamp();
        let Self { cx, rest, devices, mqtt, .. } = self;
        let Some(device) = devices.find_mut(id) else { return };
        let Ok(update) = StructuredUpdate::new(device.model(), &device.limits(), change) else { return };
        for older in device.wishes.overtaken(&change) {
            mqtt.give_up(older);
        }
        if !rest.ask(rest::update_state(id, &update).into_request(), Purpose::Update { device: id, stamp }) {
            return;
        }
        let mut decided = Vec::new();
        device.wishes.sent(alone, stamp, Channel::Structured, cx.mono(), cx.time(), &mut decided);
        device.judge_at = None;
        device.judged = 0;
        self.tell(decided.into_iter().map(|one| (id, one)).collect());
    }

    /// The structured service has answered a command, or not.
    pub(crate) fn updated(&mut self, id: DeviceId, stamp: u64, outcome: &Outcome) {
        let first = self.cx.after(STATE_POLL_DELAYS[0]);
        let Some(device) = self.devices.find_mut(id) else { return };
        let mut decided = Vec::new();
        match outcome {
            Outcome::Done => device.wishes.taken(stamp, Channel::Structured),
            Outcome::Refused(status @ 400..=499) => {
                device.wishes.refused(stamp, &Refused::Service { status: *status }, &mut decided);
            }
            // It may have had its effect. It is not sent again; what is reported will tell.
            Outcome::Refused(_) | Outcome::Failed | Outcome::Again => {}
        }
        device.judge_at = Some(first);
        device.judged = 0;
        self.tell(decided.into_iter().map(|one| (id, one)).collect());
    }

    /// Looks where the evidence for commands is to be found, and decides those that have had their time.
    pub(crate) fn judge_orders(&mut self) {
        let now = self.cx.mono();
        for id in self.devices.ids() {
            self.expire(id);
            let Some(device) = self.devices.find_mut(id) else { continue };
            if device.judge_at.is_none_or(|at| at > now) {
                continue;
            }
            let waits = device.wishes.unanswered().any(|(_, channel)| channel == Channel::Structured);
            let pause = STATE_POLL_DELAYS
                [usize::from(device.judged.saturating_add(1)).min(STATE_POLL_DELAYS.len() - 1)];
            device.judged = device.judged.saturating_add(1);
            device.judge_at = waits.then(|| now.saturating_add(pause));
            if waits {
                self.rest.ask(rest::structured_state(id).into_request(), Purpose::Reported(id));
            }
        }
    }

    fn expire(&mut self, id: DeviceId) {
        let now = self.cx.mono();
        let mut decided = Vec::new();
        if let Some(device) = self.devices.find_mut(id) {
            device.wishes.expire(now, &mut decided);
        }
        self.tell(decided.into_iter().map(|one| (id, one)).collect());
    }

    /// Resolves one command, or all, at once.
    pub(crate) fn resolve(&mut self, only: Option<CommandId>, why: Expired) {
        let now = self.cx.mono();
        let mut all = Vec::new();
        for device in self.devices.iter_mut() {
            let mut decided = Vec::new();
            device.wishes.resolve(only, why, now, &mut decided);
            let id = device.id();
            all.extend(decided.into_iter().map(|one| (id, one)));
        }
        self.tell(all);
    }

    pub(crate) fn orders_due(&self) -> Option<Deadline> {
        let interval = self.cx.settings.write_interval();
        let mut due = None;
        for device in self.devices.iter().filter(|device| !device.wishes.is_empty()) {
            due = earlier(due, device.wishes.deadline().map(|at| Deadline::new(at, Wake::Command)));
            due = earlier(due, device.judge_at.map(|at| Deadline::new(at, Wake::Command)));
            let Some(at) = device.wishes.send_at(interval) else { continue };
            // Without a way out there is nothing to be woken for.
            let ready = match self.channel(device) {
                Err(_) => Some(Duration::ZERO),
                Ok(Channel::Structured) => self.identity.id_token(&self.cx).map(|_| Duration::ZERO),
                Ok(Channel::Mqtt) => self
                    .mqtt
                    .route(device.id())
                    .and_then(|at| self.mqtt.connections.get(at))
                    .filter(|connection| !connection.is_full())
                    .map(|connection| connection.next_send),
            };
            due = earlier(due, ready.map(|ready| Deadline::new(at.max(ready), Wake::Command)));
        }
        due
    }
}
