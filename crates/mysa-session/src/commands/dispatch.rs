use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{
    Brightness, Change, Channel, Command, DeviceId, InvalidCommand, Limits, Mode, StructuredUpdate,
};

use crate::auth::Identity;
use crate::commands::book::{CommandBook, Decision};
use crate::commands::transmission::Payload;
use crate::commands::verdict::Refused;
use crate::context::Context;
use crate::devices::{Device, Devices};
use crate::mqtt::pool::ConnectionPool;
use crate::now::earlier;
use crate::outbox::Work;
use crate::rest::Rest;
use crate::{CommandChannel, Deadline, Level, Wake};

/// Maximum time a command waits for an MQTT connection before it uses the structured service; at most a third of its
/// own time.
const MQTT_WAIT: Duration = Duration::from_secs(8);

/// Routes to the thermostats, and the state of each channel.
#[derive(Debug)]
pub(crate) struct Routes<'a> {
    pub(crate) auth: &'a Identity,
    pub(crate) rest: &'a Rest,
    pub(crate) mqtt: &'a mut ConnectionPool,
    pub(crate) devices: &'a Devices,
    pub(crate) level: Level,
    /// `true` if the structured service failed the last write.
    pub(crate) structured_failed: bool,
    /// `true` if the session has only a captured URL, and so no REST.
    pub(crate) captured: bool,
}

impl Routes<'_> {
    /// Returns `true` if a thermostat can be commanded by the structured service as well as by MQTT.
    pub(crate) fn has_second_channel(&self, cx: &Context, device: DeviceId) -> bool {
        cx.settings.channel == CommandChannel::Auto
            && self.devices.find(device).is_some_and(|device| self.reaches_structured(device))
    }

    fn reaches_structured(&self, device: &Device) -> bool {
        !self.captured && device.family().is_some_and(|family| family.is_reached_by(Channel::Structured))
    }

    /// Returns the channel for a command to a thermostat. `waited` is `true` once the command has waited for MQTT in
    /// vain, and `must` once MQTT has failed it.
    fn channel(&self, cx: &Context, device: &Device, waited: bool, must: bool) -> Result<Channel, Refused> {
        let permission = &self.mqtt.permission;
        let by_mqtt = device.family().is_none_or(|family| family.is_reached_by(Channel::Mqtt));
        match cx.settings.channel {
            CommandChannel::Mqtt if permission.is_denied_to_commands() => Err(Refused::NotPermitted),
            CommandChannel::Mqtt => Ok(Channel::Mqtt),
            CommandChannel::Structured => Ok(Channel::Structured),
            CommandChannel::Auto if self.reaches_structured(device) => {
                // Waiting is pointless once MQTT has been unavailable for the grace period, or CONNECT is refused.
                let mqtt_unusable = (self.level == Level::RestOnly && !self.mqtt.is_live())
                    || self.mqtt.is_connecting_refused();
                let missing = self.mqtt.connection_for(device.id()).is_none() && (waited || mqtt_unusable);
                // If both channels have failed, suspicion of MQTT must not last forever, because only its use can end
                // it.
                let mqtt_suspect =
                    permission.is_denied_to_commands() || permission.is_suspect() && !self.structured_failed;
                let mqtt = by_mqtt && !must && !missing && !mqtt_suspect;
                Ok(if mqtt { Channel::Mqtt } else { Channel::Structured })
            }
            CommandChannel::Auto if by_mqtt && !permission.is_denied_to_commands() => Ok(Channel::Mqtt),
            CommandChannel::Auto => Err(Refused::NotPermitted),
        }
    }

    /// Returns the change as the thermostat takes it by a channel, rounded to its own steps, or the reason why it does
    /// not. `mode` is requested and not yet part of the state. By the previous mode, a fan speed would be sent together with that
    /// mode, and a setpoint to its section.
    fn payload(
        &self,
        cx: &Context,
        commands: &CommandBook,
        device: &Device,
        change: Change,
        channel: Channel,
        mode: Option<Mode>,
    ) -> Result<Payload, InvalidCommand> {
        let change = with_known_brightness(device, change, channel);
        match channel {
            Channel::Mqtt => {
                let time = cx.time();
                let limits = device.limits();
                let limits = Limits { mode: mode.or(limits.mode), ..limits };
                Command::new(device.id(), device.model(), &limits, &cx.settings.modes, change, time).map(
                    |command| {
                        let app_ref = cx.settings.app_ref.or(self.auth.user()).unwrap_or("mysa-session");
                        Payload::Mqtt { command, time, app_ref: app_ref.to_owned().into_boxed_str() }
                    },
                )
            }
            Channel::Structured => {
                let limits = commands.structured_limits(device, &change, mode, cx.mono());
                StructuredUpdate::new(device.model(), &limits, change).map(Payload::Structured)
            }
        }
    }

    /// Validates a change, and returns it as it would be sent now.
    pub(crate) fn check(
        &self,
        cx: &Context,
        commands: &CommandBook,
        device: DeviceId,
        change: Change,
    ) -> Result<Payload, Refused> {
        if cx.settings.read_only {
            return Err(Refused::ReadOnlyByChoice);
        }
        let device = self.devices.find(device).ok_or(Refused::UnknownDevice)?;
        let channel = self.channel(cx, device, false, false)?;
        self.payload(cx, commands, device, change, channel, device.pending().mode)
            .map_err(|refusal| Refused::Model(Box::new(refusal)))
    }
}

impl CommandBook {
    /// Queues a transmission for every thermostat whose commands are due, as one write each.
    pub(crate) fn dispatch(
        &mut self,
        cx: &mut Context,
        routes: &mut Routes<'_>,
        decisions: &mut Vec<Decision>,
    ) {
        if self.is_empty() {
            return;
        }
        self.ask_again(cx.now, cx.settings.command_repeats);
        for id in self.waiting_devices() {
            let at = self.send_at(id, cx.settings.write_interval(), cx.settings.device_spacing, cx.mono());
            if at <= cx.mono() {
                self.dispatch_to(cx, routes, id, decisions);
            }
        }
    }

    fn dispatch_to(
        &mut self,
        cx: &mut Context,
        routes: &mut Routes<'_>,
        id: DeviceId,
        decisions: &mut Vec<Decision>,
    ) {
        let Some(device) = routes.devices.find(id) else { return };
        let Some((first, own)) = self.first_waiting(id) else { return };
        let channel = match routes.channel(cx, device, self.has_waited(cx, id), self.needs_structured(id)) {
            Ok(channel) => channel,
            Err(refused) => return self.refuse_waiting(id, None, &refused, decisions),
        };
        let mode = self.sent_mode(id);
        // Everything that waits is sent as one change, unless the combination is invalid.
        let (payload, alone) = match routes.payload(cx, self, device, self.waiting_change(id), channel, mode)
        {
            Ok(payload) => (payload, None),
            Err(_) => match routes.payload(cx, self, device, own, channel, mode) {
                Ok(payload) => (payload, Some(first)),
                Err(refusal) => {
                    let refused = Refused::Model(Box::new(refusal));
                    return self.refuse_waiting(id, Some(first), &refused, decisions);
                }
            },
        };
        let change = *payload.change();
        match channel {
            Channel::Mqtt => {
                if self.is_structured_busy(id) {
                    return;
                }
                // Without a connection the command waits; `due` wakes it when it has waited long enough.
                let Some(at) = routes.mqtt.connection_for(id) else { return };
                let Some(connection) =
                    routes.mqtt.connections.get_mut(at).filter(|connection| connection.may_send(cx))
                else {
                    return;
                };
                // The slot is reserved at queueing, so one step queues at most one publish per connection.
                connection.next_send = cx.after(cx.settings.pace);
                let (conn, serial) = (connection.id, self.next_serial(cx.time()));
                routes.mqtt.end_contradicting(cx, id, Some(conn), |older| self.contradicts(older, &change));
                self.queue(serial, id, alone, payload, Some(conn), cx.mono());
                cx.outbox.push(Work::Publish { conn, serial });
            }
            Channel::Structured => {
                let at = routes.rest.command_at().filter(|_| routes.auth.id_token(cx).is_some());
                if at.is_none_or(|at| at > cx.mono()) || self.is_structured_busy(id) {
                    return;
                }
                routes.mqtt.end_contradicting(cx, id, None, |older| self.contradicts(older, &change));
                let serial = self.next_serial(cx.time());
                self.queue(serial, id, alone, payload, None, cx.mono());
                cx.outbox.push(Work::Update { serial });
            }
        }
    }

    /// Returns `true` if the commands of a thermostat have waited long enough for MQTT.
    fn has_waited(&self, cx: &Context, device: DeviceId) -> bool {
        self.mqtt_wait_ends(device).is_some_and(|at| at <= cx.mono())
    }

    fn mqtt_wait_ends(&self, device: DeviceId) -> Option<Duration> {
        let (since, until) = self.waiting_since(device)?;
        Some(since.saturating_add(MQTT_WAIT.min(until.saturating_sub(since) / 3)))
    }

    /// Returns the next time at which a command needs attention.
    pub(crate) fn due(&self, cx: &Context, routes: &Routes<'_>) -> Option<Deadline> {
        let mut due = self.deadline().map(|at| Deadline::new(at, Wake::Command));
        for id in self.waiting_devices() {
            let Some(device) = routes.devices.find(id) else { continue };
            let at = self.send_at(id, cx.settings.write_interval(), cx.settings.device_spacing, cx.mono());
            let must = self.needs_structured(id);
            // Without a route there is nothing to send; the wait ends when the command may use the other channel.
            let ready = match routes.channel(cx, device, self.has_waited(cx, id), must) {
                Err(_) => Some(Duration::ZERO),
                Ok(Channel::Structured) => {
                    let ready = routes.auth.id_token(cx).is_some() && !self.is_structured_busy(id);
                    routes.rest.command_at().filter(|_| ready)
                }
                Ok(Channel::Mqtt) if self.is_structured_busy(id) => None,
                Ok(Channel::Mqtt) => {
                    let route = routes.mqtt.connection_for(id).and_then(|at| routes.mqtt.connections.get(at));
                    match route {
                        Some(connection) => connection.is_ready().then_some(connection.next_send),
                        None => self.mqtt_wait_ends(id).filter(|at| *at > cx.mono()),
                    }
                }
            };
            due = earlier(due, ready.map(|ready| Deadline::new(at.max(ready), Wake::Command)));
        }
        due
    }
}

/// Command as it would be sent now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Preview {
    /// Channel of the command.
    pub channel: Channel,
    /// Values that would be sent, rounded to the thermostat's own steps.
    pub change: Change,
    /// Values that the thermostat is known to hold now, in the same fields.
    pub before: Change,
    /// Payload of the publish, or body of the request, with an id and a time of now.
    pub payload: String,
}

/// Adds the known parts of the display's brightness to a change that has some of them. The apps send them all, and a part
/// alone is refused.
fn with_known_brightness(device: &Device, change: Change, channel: Channel) -> Change {
    let Some(asked) = change.brightness else { return change };
    let known = device.state().brightness().map(|field| field.value).unwrap_or_default();
    let mut whole =
        Brightness { active: asked.active.or(known.active), idle: asked.idle.or(known.idle), ..asked };
    if channel == Channel::Mqtt {
        // A person who sets a number wants that number, not the one that follows the light of the room.
        whole.auto = asked.auto.or(Some(false));
        whole.active_seconds = asked.active_seconds.or(known.active_seconds);
        whole.idle_seconds = asked.idle_seconds.or(known.idle_seconds);
    }
    Change { brightness: Some(whole), ..change }
}
