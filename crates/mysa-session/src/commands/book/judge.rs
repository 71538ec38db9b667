//! Verdicts by evidence: acknowledgements, states and the passing of time.

use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Change, Channel, DeviceId, DeviceState, Now, Source, UnixTime};

use super::{CommandBook, Decision};
use crate::commands::open_command::{NextStep, OpenCommand, StructuredAttempt};
use crate::commands::transmission::{TransmissionState, evidence};
use crate::commands::verdict::{CommandId, DeliveryStage, Evidence, Expired, Refused, Verdict};

/// Confirmed fields, and the time they were first sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmed {
    pub(crate) change: Change,
    pub(crate) since: Now,
    /// Time at which the device showed the values, by its own clock, if the evidence came from the device.
    pub(crate) at: Option<UnixTime>,
}

/// Acknowledgement of a command by a thermostat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) serial: u64,
    pub(crate) success: Option<bool>,
    pub(crate) at: Option<UnixTime>,
    /// `true` if the acknowledgement can confirm; `false` if a later status is required.
    pub(crate) confirms: bool,
}

/// Facts about a thermostat in a REST body, besides its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestWitness {
    pub(crate) by: Evidence,
    /// Time at which the cloud last received a status of the device, if known.
    pub(crate) status_at: Option<UnixTime>,
    /// Settings that the body shows.
    pub(crate) shown: Change,
}

impl CommandBook {
    /// Applies an acknowledgement that showed `seen`. Returns `true` if it answers a transmission of this session.
    pub(crate) fn acknowledged(
        &mut self,
        device: DeviceId,
        ack: Acknowledgement,
        seen: &Change,
        now: Duration,
        decisions: &mut Vec<Decision>,
    ) -> bool {
        let Some(transmission) =
            self.transmissions.iter().find(|one| one.serial == ack.serial && one.device == device)
        else {
            return false;
        };
        let ids = transmission.commands.clone();
        for command in self.commands.iter_mut().filter(|command| ids.contains(&command.id)) {
            // The thermostat has answered, so no repeat is needed, regardless of the answer.
            command.repeat_at = None;
            command.refused_by_device |= ack.success == Some(false);
            if command.first_sent.is_some() {
                command.reached = Some(DeliveryStage::Thermostat);
            }
            // The command has arrived, so another channel is needed only if the thermostat did not apply it.
            if command.next == NextStep::Transmit && ack.success != Some(false) {
                command.next = NextStep::Observe;
            }
        }
        self.decide(decisions, |command| {
            if !ids.contains(&command.id) {
                return None;
            }
            if ack.success == Some(false) {
                // The structured service may still carry out its request for the same command.
                let refused = command.structured != StructuredAttempt::Made;
                return refused.then_some((Verdict::Refused(Refused::Device), None));
            }
            let shown = command.change.compare(seen).is_met();
            (ack.confirms && ack.success == Some(true) && shown)
                .then(|| command.confirmed(Evidence::Ack, ack.at, now))
        });
        true
    }

    /// Judges the commands of a thermostat by its state, after an observation.
    ///
    /// A command is confirmed when one state shows every field of it, each observed after the first transmission. A
    /// later contradiction cancels earlier agreement, because the state follows it.
    pub(crate) fn judge(
        &mut self,
        device: DeviceId,
        state: &DeviceState,
        witness: Option<&RestWitness>,
        now: Duration,
        decisions: &mut Vec<Decision>,
    ) {
        let requested = self.unanswered_requests(device);
        self.decide(decisions, |command| {
            if command.device != device {
                return None;
            }
            let sent = command.first_sent?;
            // A value that the thermostat held before the service answered proves nothing about the request.
            if command.already_so && requested.contains(&command.id) {
                return None;
            }
            // Another client's acknowledgement echoes that client's command and is not evidence, unless the cloud may
            // have sent that command on behalf of this session.
            let forwarded = command.structured == StructuredAttempt::Made;
            let shown = state.settings(|provenance| {
                (forwarded || provenance.source != Source::Ack) && sent.is_before(provenance)
            });
            if command.change.compare(&shown).is_met() {
                let newest =
                    state.provenance_of(&command.change).max_by_key(|provenance| provenance.received)?;
                // Only the device's own clock dates the setting; the cloud's stamp may be that of the request.
                let at = newest.at.filter(|_| newest.source.is_device());
                return Some(command.confirmed(evidence(&newest), at, now));
            }
            // A value that already holds gets no new time stamp in REST. A status received since the sending, with the
            // value still shown, is equivalent evidence, but only for fields that a status contains. For a mode or a
            // lock, the cloud shows the last acknowledgement that it received.
            let recent = witness.filter(|witness| witness.status_at.is_some_and(|at| at >= sent.latest))?;
            let holds = |shown: &Change| command.change.compare(shown).is_met();
            let in_status = Change { setpoint: None, ..command.change }.is_empty();
            (command.already_so && in_status && holds(&recent.shown) && holds(&state.settings(|_| true)))
                .then(|| command.confirmed(recent.by, None, now))
        });
    }

    /// Returns the commands of a thermostat whose request the structured service has not answered.
    fn unanswered_requests(&self, device: DeviceId) -> Vec<CommandId> {
        let unanswered = self.transmissions.iter().filter(|transmission| {
            transmission.device == device
                && transmission.payload.channel() == Channel::Structured
                && transmission.state == TransmissionState::Sent
        });
        unanswered.flat_map(|transmission| transmission.commands.iter().copied()).collect()
    }

    /// Decides the commands whose time is over.
    pub(crate) fn expire(
        &mut self,
        now: Now,
        seen: impl Fn(&OpenCommand) -> Change,
        decisions: &mut Vec<Decision>,
    ) {
        self.decide(decisions, |command| {
            let expired = match command.first_sent {
                // A command is never too late at the moment it is requested, however short its deadline.
                None => {
                    command.deadline.has_passed(now)
                        || (command.deadline.is_too_late_to_send(now) && now.mono > command.asked.mono)
                }
                Some(_) => command.deadline.has_passed(now),
            };
            expired.then(|| (command.given_up(Expired::Deadline, seen(command), now), None))
        });
        for command in self.commands.iter_mut() {
            if command.next == NextStep::Transmit && command.deadline.is_too_late_to_send(now) {
                command.next = NextStep::Observe;
            }
        }
    }

    /// Decides the selected commands at once: unconfirmed if they were sent, otherwise expired.
    pub(crate) fn give_up(
        &mut self,
        chosen: impl Fn(&OpenCommand) -> bool,
        why: Expired,
        now: Now,
        seen: impl Fn(&OpenCommand) -> Change,
        decisions: &mut Vec<Decision>,
    ) {
        self.decide(decisions, |command| {
            chosen(command).then(|| (command.given_up(why, seen(command), now), None))
        });
    }

    /// Refuses what waits for a thermostat, or only the command `alone`, because it cannot be sent at all.
    pub(crate) fn refuse_waiting(
        &mut self,
        device: DeviceId,
        alone: Option<CommandId>,
        refused: &Refused,
        decisions: &mut Vec<Decision>,
    ) {
        for command in self.commands.iter_mut().filter(|command| {
            command.device == device
                && command.next == NextStep::Transmit
                && command.first_sent.is_some()
                && alone.is_none_or(|id| id == command.id)
        }) {
            // The command was sent before, and evidence may still arrive.
            command.next = NextStep::Observe;
        }
        self.decide(decisions, |command| {
            let ours = command.device == device
                && command.next == NextStep::Transmit
                && alone.is_none_or(|id| id == command.id);
            ours.then(|| (Verdict::Refused(refused.clone()), None))
        });
    }
}
