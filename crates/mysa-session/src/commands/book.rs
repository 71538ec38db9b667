use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::rest::{self, RestRequest};
use mysa_proto::{Change, Channel, DeviceId, Mode, Now, StructuredUpdate, UnixTime};

use crate::ConnId;
use crate::commands::open_command::{NextStep, OpenCommand, StructuredAttempt};
use crate::commands::transmission::{Payload, SentAt, Transmission, TransmissionState};
use crate::commands::verdict::{CommandId, DeliveryStage, Refused, Verdict};
use crate::devices::Devices;

mod judge;
mod unseen_modes;

pub(crate) use judge::{Acknowledgement, Confirmed, RestWitness};
use unseen_modes::{UnseenMode, note_unseen_mode};

/// Command book: every undecided command of the account, and every transmission made for one.
/// Only the book decides what may be written. Other queues hold the serial of a transmission, never its
/// bytes: a part that is about to hand bytes to a transport asks the book first, and gets nothing once a
/// command is decided, overtaken or too late.
#[derive(Debug, Default)]
pub(crate) struct CommandBook {
    /// Commands in the order in which they were requested.
    commands: Vec<OpenCommand>,
    transmissions: Vec<Transmission>,
    /// Time of the last write to each thermostat, kept as long as it may delay another write.
    writes: Vec<(DeviceId, Duration)>,
    /// Modes that commands without a confirmation may have set, at most one for each thermostat.
    unseen_modes: Vec<UnseenMode>,
    last_command: u64,
    last_serial: u64,
    /// `true` if the structured service refused the last write, or did not answer.
    structured_failed: bool,
}

/// Verdict of a command, and the settings that it confirms.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) id: CommandId,
    pub(crate) device: DeviceId,
    pub(crate) verdict: Verdict,
    pub(crate) confirmed: Option<Confirmed>,
    /// `true` if the structured service may have carried it out.
    pub(crate) by_structured: bool,
    /// `true` if MQTT had failed the command.
    pub(crate) mqtt_failed: bool,
}

/// Answer of the structured service to a request for a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StructuredAnswer {
    Accepted,
    /// The token was refused, and nothing was done.
    TokenRefused,
    Refused {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// The outcome is unknown.
    Open,
    /// The session ended the request, so the outcome is unknown, and says nothing about the service.
    Aborted,
    /// Nothing was sent.
    NotSent,
}

/// Time for which a write is remembered: longer than any minimum distance between writes.
const WRITES_KEPT: Duration = Duration::from_secs(3_600);

/// Pauses between readings of the structured service's reported state after a command. A thermostat reacts
/// within seconds.
const STATE_POLL_DELAYS: [Duration; 4] =
    [Duration::from_millis(1_500), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(6)];

impl CommandBook {
    pub(crate) const fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.commands.len()
    }

    pub(crate) fn has_open(&self, device: DeviceId) -> bool {
        self.commands.iter().any(|command| command.device == device)
    }

    /// Returns `true` if any command waits for evidence.
    pub(crate) fn is_observing(&self) -> bool {
        self.commands.iter().any(|command| command.next == NextStep::Observe && command.first_sent.is_some())
    }

    /// Returns the requested and undecided fields of a thermostat.
    pub(crate) fn pending(&self, device: DeviceId) -> Change {
        let of_device = self.commands.iter().filter(|command| command.device == device);
        of_device.fold(Change::default(), |all, command| all.then(command.change))
    }

    pub(crate) const fn next_id(&mut self) -> CommandId {
        self.last_command += 1;
        CommandId(self.last_command)
    }

    /// Returns a serial that no other transmission of this session has: the clock in milliseconds, as in the vendor's
    /// app, increased on collision.
    pub(crate) fn next_serial(&mut self, time: UnixTime) -> u64 {
        let clock = u64::try_from(time.as_millis()).unwrap_or(0);
        self.last_serial = clock.max(self.last_serial + 1);
        self.last_serial
    }

    /// Adds a command. It takes over its fields from older commands that were not sent; an older command without
    /// remaining fields is superseded. Older commands that were sent are not sent again.
    pub(crate) fn add(&mut self, new: OpenCommand, decisions: &mut Vec<Decision>) {
        let (id, device, change) = (new.id, new.device, new.change);
        let mut unqueued = Vec::new();
        for older in self.commands.iter_mut().filter(|command| command.device == device) {
            if older.change.within(&change).is_empty() {
                continue;
            }
            if older.next != NextStep::Observe && older.first_sent.is_some() && change.mode.is_some() {
                note_unseen_mode(&mut self.unseen_modes, older, new.asked.mono);
            }
            match older.next {
                // The older command was sent, and evidence may still arrive until the newer one is sent.
                NextStep::Observe => older.overtaken = older.overtaken.then(change.within(&older.change)),
                NextStep::Transmit => older.change = older.change.without(&change),
                NextStep::Queued(serial) => {
                    older.change = older.change.without(&change);
                    unqueued.push(serial);
                }
            }
        }
        for serial in unqueued {
            self.unqueue(serial);
        }
        self.decide(decisions, |command| {
            (command.device == device && command.change.is_empty())
                .then_some((Verdict::Superseded { by: id, reached: command.reached }, None))
        });
        self.commands.push(new);
    }

    /// Returns the thermostats whose commands wait for a transmission, in the order of their oldest such command.
    pub(crate) fn waiting_devices(&self) -> Vec<DeviceId> {
        let mut devices = Vec::new();
        for command in self.commands.iter().filter(|command| command.next == NextStep::Transmit) {
            if !devices.contains(&command.device) {
                devices.push(command.device);
            }
        }
        devices
    }

    fn waiting(&self, device: DeviceId) -> impl Iterator<Item = &OpenCommand> {
        self.commands
            .iter()
            .filter(move |command| command.device == device && command.next == NextStep::Transmit)
    }

    /// Returns everything that waits for a thermostat, as one change.
    pub(crate) fn waiting_change(&self, device: DeviceId) -> Change {
        self.waiting(device).fold(Change::default(), |all, command| all.then(command.change))
    }

    /// Returns the mode that was last sent to a thermostat by a command without a verdict.
    pub(crate) fn sent_mode(&self, device: DeviceId) -> Option<Mode> {
        let sent = |command: &&OpenCommand| command.device == device && command.first_sent.is_some();
        self.commands.iter().filter(sent).filter_map(|command| command.change.mode).next_back()
    }

    /// Returns the oldest waiting command of a thermostat.
    pub(crate) fn first_waiting(&self, device: DeviceId) -> Option<(CommandId, Change)> {
        self.waiting(device).next().map(|command| (command.id, command.change))
    }

    /// Returns the time since which the oldest waiting command has waited, and the last moment it can be sent.
    pub(crate) fn waiting_since(&self, device: DeviceId) -> Option<(Duration, Duration)> {
        self.waiting(device).next().map(|command| (command.asked.mono, command.deadline.last_send()))
    }

    /// Returns `true` if the waiting commands of a thermostat must use the structured service, because MQTT failed one
    /// or the service refused a token.
    pub(crate) fn needs_structured(&self, device: DeviceId) -> bool {
        self.waiting(device)
            .any(|command| command.mqtt_failed || command.structured == StructuredAttempt::TokenRefused)
    }

    /// Returns `true` if a write to the thermostat by the structured service is unanswered. The next one waits for it,
    /// because the service could apply them in either order.
    pub(crate) fn is_structured_busy(&self, device: DeviceId) -> bool {
        self.transmissions.iter().any(|transmission| {
            transmission.device == device
                && transmission.payload.channel() == Channel::Structured
                && transmission.state != TransmissionState::Answered
        })
    }

    /// Returns the earliest time of a write to the thermostat. Writes to one thermostat keep a minimum distance, and so
    /// do writes to different ones.
    pub(crate) fn send_at(
        &self,
        device: DeviceId,
        interval: Duration,
        spacing: Duration,
        now: Duration,
    ) -> Duration {
        let queued = self
            .transmissions
            .iter()
            .filter(|transmission| transmission.state == TransmissionState::Queued)
            .map(|transmission| (transmission.device, transmission.expected_at(now)));
        // Queued writes count too: they will be sent before this one.
        let after = |(written, at): (DeviceId, Duration)| {
            at.saturating_add(if written == device { interval } else { spacing })
        };
        self.writes.iter().copied().chain(queued).map(after).max().unwrap_or_default()
    }

    /// Queues a transmission for everything that waits for a thermostat, or for the command `alone`. Its bytes are
    /// encoded when the transport takes it.
    pub(crate) fn queue(
        &mut self,
        serial: u64,
        device: DeviceId,
        alone: Option<CommandId>,
        payload: Payload,
        conn: Option<ConnId>,
        now: Duration,
    ) {
        let mut commands = Vec::new();
        let mut token_retry = false;
        for command in self.commands.iter_mut().filter(|command| {
            command.device == device
                && command.next == NextStep::Transmit
                && alone.is_none_or(|id| id == command.id)
        }) {
            command.next = NextStep::Queued(serial);
            token_retry |= command.structured == StructuredAttempt::TokenRefused;
            commands.push(command.id);
        }
        self.transmissions.push(Transmission {
            serial,
            device,
            payload,
            commands,
            conn,
            state: TransmissionState::Queued,
            token_retry,
            queued_at: now,
            read_state_at: None,
            state_reads: 0,
        });
    }

    fn transmission(&self, serial: u64) -> Option<&Transmission> {
        self.transmissions.iter().find(|transmission| transmission.serial == serial)
    }

    fn transmission_mut(&mut self, serial: u64) -> Option<&mut Transmission> {
        self.transmissions.iter_mut().find(|transmission| transmission.serial == serial)
    }

    /// Returns `true` if every command of a transmission is undecided, the newest for its fields, and in time.
    fn is_alive(&self, transmission: &Transmission, now: Now) -> bool {
        transmission.commands.iter().all(|id| {
            self.commands.iter().any(|command| {
                command.id == *id
                    && command.overtaken.is_empty()
                    && !command.deadline.is_too_late_to_send(now)
            })
        })
    }

    /// Returns the thermostat of a transmission.
    pub(crate) fn device_of(&self, serial: u64) -> Option<DeviceId> {
        self.transmission(serial).map(|transmission| transmission.device)
    }

    /// Returns the payload of a transmission that the transport takes for the first time. `None` if it may not be sent
    /// any more.
    pub(crate) fn take(
        &mut self,
        serial: u64,
        sent: SentAt,
        now: Now,
        decisions: &mut Vec<Decision>,
    ) -> Option<(DeviceId, Payload)> {
        let transmission = self.transmission(serial)?;
        if transmission.state != TransmissionState::Queued || !self.is_alive(transmission, now) {
            self.unqueue(serial);
            return None;
        }
        let (device, channel) = (transmission.device, transmission.payload.channel());
        let (payload, change) = (transmission.payload.clone(), *transmission.payload.change());
        let newest = transmission.commands.iter().copied().max()?;
        for command in self.commands.iter_mut().filter(|command| command.next == NextStep::Queued(serial)) {
            if command.reached.is_some() && channel == Channel::Mqtt {
                command.repeats = command.repeats.saturating_add(1);
            }
            command.next = NextStep::Observe;
            // Evidence counts from the first transmission: a repeat has the same effect.
            command.first_sent.get_or_insert(sent);
            command.reached = command.reached.max(Some(DeliveryStage::Wire(channel)));
            command.repeat_at = None;
            match channel {
                Channel::Mqtt => command.published = true,
                Channel::Structured => command.structured = StructuredAttempt::Made,
            }
        }
        if let Some(transmission) = self.transmission_mut(serial) {
            transmission.state = TransmissionState::Sent;
        }
        self.writes.retain(|(written, at)| *written != device && at.saturating_add(WRITES_KEPT) > now.mono);
        self.writes.push((device, now.mono));
        // Older commands for the same fields can no longer be judged once this one is sent.
        let carried = self.transmission(serial).map(|found| found.commands.clone()).unwrap_or_default();
        for command in self.commands.iter_mut() {
            let older =
                command.device == device && command.first_sent.is_some() && !carried.contains(&command.id);
            if older {
                if change.mode.is_some() {
                    note_unseen_mode(&mut self.unseen_modes, command, now.mono);
                }
                command.change = command.change.without(&change);
            }
        }
        self.decide(decisions, |command| {
            (command.device == device && command.change.is_empty())
                .then_some((Verdict::Superseded { by: newest, reached: command.reached }, None))
        });
        Some((device, payload))
    }

    /// Returns the payload of a transmission that the transport repeats with the same id. `None` if one of its commands
    /// is decided, overtaken or too late.
    pub(crate) fn repeat(&self, serial: u64, now: Now) -> Option<(DeviceId, Payload)> {
        let transmission = self.transmission(serial)?;
        let alive = transmission.state == TransmissionState::Sent && self.is_alive(transmission, now);
        // A command that moved to the other channel is not repeated on this one.
        let elsewhere = self
            .commands
            .iter()
            .any(|command| transmission.commands.contains(&command.id) && command.mqtt_failed);
        (alive && !elsewhere).then(|| (transmission.device, transmission.payload.clone()))
    }

    /// Returns the request of a queued transmission by the structured service. `None` if it may not be sent any more.
    pub(crate) fn structured_request(&self, serial: u64, now: Now) -> Option<RestRequest> {
        let transmission = self.transmission(serial)?;
        let Payload::Structured(update) = &transmission.payload else { return None };
        self.is_alive(transmission, now)
            .then(|| rest::update_state(transmission.device, update).into_request())
    }

    /// Returns `true` if a request to the structured service would be the same now. A fan speed is sent together with the mode, and
    /// a setpoint to the section of the mode.
    pub(crate) fn is_current(&self, devices: &Devices, serial: u64, now: Duration) -> bool {
        let Some(transmission) = self.transmission(serial) else { return false };
        let (Payload::Structured(update), Some(device)) =
            (&transmission.payload, devices.find(transmission.device))
        else {
            return false;
        };
        let limits = self.structured_limits(device, update.change(), self.sent_mode(device.id()), now);
        StructuredUpdate::new(device.model(), &limits, *update.change())
            .is_ok_and(|current| current == *update)
    }

    /// Returns the first deadline among the commands of a transmission.
    pub(crate) fn earliest_deadline(&self, serial: u64) -> Option<Duration> {
        let carried = &self.transmission(serial)?.commands;
        let commands = self.commands.iter().filter(|command| carried.contains(&command.id));
        commands.map(|command| command.deadline.mono).min()
    }

    /// Withdraws a transmission that the transport has not taken. Its commands wait again.
    pub(crate) fn unqueue(&mut self, serial: u64) {
        for command in self.commands.iter_mut().filter(|command| command.next == NextStep::Queued(serial)) {
            command.next = NextStep::Transmit;
        }
        self.transmissions.retain(|transmission| {
            transmission.serial != serial || transmission.state != TransmissionState::Queued
        });
    }

    /// Records that the broker accepted a publish.
    pub(crate) fn accepted_by_broker(&mut self, serial: u64, now: Duration, repeat_after: Duration) {
        let Some(transmission) = self.transmission_mut(serial) else { return };
        transmission.state = TransmissionState::Answered;
        let ids = transmission.commands.clone();
        for command in self.commands.iter_mut().filter(|command| ids.contains(&command.id)) {
            command.reached = command.reached.max(Some(DeliveryStage::Service(Channel::Mqtt)));
            // The thermostat's answer can arrive before the broker's acknowledgement.
            if command.next == NextStep::Observe && command.reached < Some(DeliveryStage::Thermostat) {
                command.repeat_at = Some(now.saturating_add(repeat_after));
            }
        }
    }

    /// Ends the commands of an accepted transmission, for a caller that does not wait for their effect.
    pub(crate) fn end_accepted(&mut self, serial: u64, now: Duration) {
        let Some(transmission) = self.transmission(serial) else { return };
        let ids = transmission.commands.clone();
        for command in self.commands.iter_mut().filter(|command| ids.contains(&command.id)) {
            if matches!(command.reached, Some(DeliveryStage::Service(_) | DeliveryStage::Thermostat)) {
                command.deadline.mono = command.deadline.mono.min(now);
            }
        }
    }

    /// Handles the end of a connection: queued commands wait again. Returns the sent transmissions that the broker had
    /// not acknowledged.
    pub(crate) fn connection_ended(&mut self, conn: ConnId) -> Vec<u64> {
        let on_it = |state| {
            move |transmission: &&Transmission| transmission.conn == Some(conn) && transmission.state == state
        };
        let queued: Vec<u64> = self
            .transmissions
            .iter()
            .filter(on_it(TransmissionState::Queued))
            .map(|one| one.serial)
            .collect();
        for serial in queued {
            self.unqueue(serial);
        }
        self.transmissions.iter().filter(on_it(TransmissionState::Sent)).map(|one| one.serial).collect()
    }

    /// Handles a publish that was followed by the end of its connection, or by no acknowledgement. Its commands use the
    /// structured service, once, if they may.
    pub(crate) fn publish_failed(&mut self, serial: u64) {
        let ids = self.publish_ended(serial);
        for command in self.commands.iter_mut().filter(|command| ids.contains(&command.id)) {
            // The structured service is tried once per command.
            if command.next != NextStep::Observe || command.structured != StructuredAttempt::No {
                continue;
            }
            command.mqtt_failed = true;
            command.repeat_at = None;
            command.transmit_again();
        }
    }

    /// Handles a publish without an acknowledgement, and returns the commands that it carried. They wait for evidence.
    pub(crate) fn publish_ended(&mut self, serial: u64) -> Vec<CommandId> {
        let Some(transmission) = self.transmission_mut(serial) else { return Vec::new() };
        transmission.state = TransmissionState::Answered;
        transmission.commands.clone()
    }

    /// Handles a publish whose connection was ended for the sake of another command. Its commands are sent again with a new id, as
    /// if no thermostat had answered, at most `times` each.
    pub(crate) fn publish_again(&mut self, serial: u64, now: Now, times: u8) {
        let ids = self.publish_ended(serial);
        for command in self.commands.iter_mut().filter(|command| ids.contains(&command.id)) {
            if command.next == NextStep::Observe
                && command.overtaken.is_empty()
                && command.repeats < times
                && !command.deadline.is_too_late_to_send(now)
            {
                command.repeat_at = None;
                command.next = NextStep::Transmit;
            }
        }
    }

    /// Handles the answer of the structured service, or its absence.
    pub(crate) fn structured_answered(
        &mut self,
        serial: u64,
        answer: StructuredAnswer,
        now: Duration,
        decisions: &mut Vec<Decision>,
    ) {
        // Nothing was sent, so the commands wait again.
        if answer == StructuredAnswer::NotSent {
            return self.unqueue(serial);
        }
        let Some(transmission) = self.transmission_mut(serial) else { return };
        transmission.state = TransmissionState::Answered;
        transmission.read_state_at = Some(now.saturating_add(STATE_POLL_DELAYS[0]));
        let ids = transmission.commands.clone();
        if answer != StructuredAnswer::Aborted {
            self.structured_failed = answer != StructuredAnswer::Accepted;
        }
        for command in self.commands.iter_mut().filter(|command| ids.contains(&command.id)) {
            match answer {
                StructuredAnswer::Accepted => {
                    command.reached = command.reached.max(Some(DeliveryStage::Service(Channel::Structured)));
                }
                StructuredAnswer::TokenRefused if command.next == NextStep::Observe => {
                    command.structured = StructuredAttempt::TokenRefused;
                    command.transmit_again();
                }
                StructuredAnswer::Refused { .. } => command.structured = StructuredAttempt::Refused,
                StructuredAnswer::TokenRefused
                | StructuredAnswer::Open
                | StructuredAnswer::Aborted
                | StructuredAnswer::NotSent => {}
            }
        }
        if let StructuredAnswer::Refused { status, retry_after } = answer {
            self.decide(decisions, |command| {
                let only_way = ids.contains(&command.id) && !command.may_be_carried_out_by_mqtt();
                only_way.then_some((Verdict::Refused(Refused::Service { status, retry_after }), None))
            });
        }
    }

    /// Returns the serial of the request that carries a command, if its body was sent and it is unanswered.
    pub(crate) fn unanswered_request(&self, id: CommandId) -> Option<u64> {
        let carries = |transmission: &&Transmission| {
            transmission.payload.channel() == Channel::Structured
                && transmission.state == TransmissionState::Sent
                && transmission.commands.contains(&id)
        };
        self.transmissions.iter().find(carries).map(|transmission| transmission.serial)
    }

    /// Returns `true` if the structured service failed the last write.
    pub(crate) const fn structured_failed(&self) -> bool {
        self.structured_failed
    }

    /// Returns `true` if a transmission repeats a request whose token was refused.
    pub(crate) fn is_token_retry(&self, serial: u64) -> bool {
        self.transmission(serial).is_some_and(|transmission| transmission.token_retry)
    }

    /// Stops waiting for answers to requests, because none will arrive.
    pub(crate) fn requests_dropped(&mut self) {
        for transmission in &mut self.transmissions {
            if transmission.payload.channel() == Channel::Structured {
                transmission.state = TransmissionState::Answered;
            }
        }
    }

    /// Queues commands again that the broker accepted and no thermostat answered, at most `times` each.
    pub(crate) fn ask_again(&mut self, now: Now, times: u8) {
        for command in self.commands.iter_mut() {
            let Some(at) = command.repeat_at else { continue };
            if at > now.mono {
                continue;
            }
            command.repeat_at = None;
            if command.may_be_asked_again(now, times) {
                command.next = NextStep::Transmit;
            }
        }
    }

    /// Returns the thermostats whose reported state is to be read now, for a command sent by the structured
    /// service.
    pub(crate) fn due_state_reads(&mut self, now: Duration) -> Vec<DeviceId> {
        let mut devices = Vec::new();
        let Self { commands, transmissions, .. } = self;
        for transmission in transmissions.iter_mut() {
            let Some(at) = transmission.read_state_at else { continue };
            if at > now {
                continue;
            }
            transmission.state_reads = transmission.state_reads.saturating_add(1);
            // The last pause repeats until the command is decided.
            let pause =
                STATE_POLL_DELAYS[usize::from(transmission.state_reads).min(STATE_POLL_DELAYS.len() - 1)];
            let open = commands.iter().any(|command| transmission.commands.contains(&command.id));
            transmission.read_state_at = open.then(|| now.saturating_add(pause));
            if open && !devices.contains(&transmission.device) {
                devices.push(transmission.device);
            }
        }
        devices
    }

    /// Returns `true` if an older transmission asks for other values than `change`. A transmission that is no longer in
    /// the book counts as different, since its values are unknown.
    pub(crate) fn contradicts(&self, serial: u64, change: &Change) -> bool {
        self.transmission(serial).is_none_or(|older| {
            let older = older.payload.change();
            change.within(older) != older.within(change)
        })
    }

    /// Returns the serials of messages that carry undecided commands and others that are decided.
    pub(crate) fn partly_decided(&self) -> Vec<u64> {
        let is_open = |id: &CommandId| self.commands.iter().any(|command| command.id == *id);
        let partly = |transmission: &&Transmission| {
            transmission.payload.channel() == Channel::Mqtt
                && transmission.commands.iter().any(is_open)
                && !transmission.commands.iter().all(is_open)
        };
        self.transmissions.iter().filter(partly).map(|transmission| transmission.serial).collect()
    }

    /// Removes transmissions without undecided commands, and returns their serials, which must not be repeated. An
    /// unanswered request stays, because the next one of its thermostat waits for it.
    pub(crate) fn retire(&mut self) -> Vec<u64> {
        let Self { commands, transmissions, .. } = self;
        let mut retired = Vec::new();
        transmissions.retain(|transmission| {
            let open =
                transmission.commands.iter().any(|id| commands.iter().any(|command| command.id == *id));
            let unanswered = transmission.payload.channel() == Channel::Structured
                && transmission.state == TransmissionState::Sent;
            if !open && !unanswered {
                retired.push(transmission.serial);
            }
            open || unanswered
        });
        retired
    }

    /// Returns the next time at which a command needs attention for its own sake: for a verdict, a repeat, or a reading
    /// of the state.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let verdicts = self.commands.iter().map(|command| match command.first_sent {
            Some(_) => command.deadline.mono,
            None => command.deadline.last_send(),
        });
        let repeats = self.commands.iter().filter_map(|command| command.repeat_at);
        let state_reads = self.transmissions.iter().filter_map(|transmission| transmission.read_state_at);
        verdicts.chain(repeats).chain(state_reads).min()
    }

    fn decide(
        &mut self,
        decisions: &mut Vec<Decision>,
        mut decide: impl FnMut(&OpenCommand) -> Option<(Verdict, Option<Confirmed>)>,
    ) {
        let unseen_modes = &mut self.unseen_modes;
        self.commands.retain(|command| {
            let Some((verdict, confirmed)) = decide(command) else { return true };
            match verdict {
                Verdict::Confirmed { .. } if command.change.mode.is_some() => {
                    unseen_modes.retain(|unseen| unseen.device != command.device);
                }
                Verdict::Unconfirmed { after, .. } => {
                    note_unseen_mode(unseen_modes, command, command.asked.mono.saturating_add(after));
                }
                _ => {}
            }
            decisions.push(Decision {
                id: command.id,
                device: command.device,
                verdict,
                confirmed,
                by_structured: command.structured == StructuredAttempt::Made,
                mqtt_failed: command.mqtt_failed,
            });
            false
        });
    }
}

#[cfg(test)]
mod tests;
