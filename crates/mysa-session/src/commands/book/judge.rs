//! Evidence: the verdicts that acknowledgements, states and the passing of time lead to.

use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Change, Channel, DeviceId, DeviceState, Now, Source, UnixTime};

use super::{CommandBook, Decision};
use crate::commands::open_command::{NextStep, OpenCommand, StructuredAttempt};
use crate::commands::transmission::{TransmissionState, evidence};
use crate::commands::verdict::{CommandId, DeliveryStage, Evidence, Expired, Refused, Verdict};

/// Fields that are confirmed, and when they were first sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmed {
    pub(crate) change: Change,
    pub(crate) since: Now,
    /// When the device showed it, by its own clock, if it was the device.
    pub(crate) at: Option<UnixTime>,
}

/// Answer of a thermostat to a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) serial: u64,
    pub(crate) success: Option<bool>,
    pub(crate) at: Option<UnixTime>,
    /// Whether it is enough to confirm, or a later status is asked for.
    pub(crate) confirms: bool,
}

/// Facts of a REST body about a thermostat, beside its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestWitness {
    pub(crate) by: Evidence,
    /// When the cloud last heard a status of the device, if it says so.
    pub(crate) status_at: Option<UnixTime>,
    /// The settings that it shows.
    pub(crate) shown: Change,
}

impl CommandBook {
    /// A thermostat has acknowledged a command, and showed `seen`. True if it answers a transmission of this session.
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
            command.repeat_at = None;
            if command.first_sent.is_some() {
                command.reached = Some(DeliveryStage::Thermostat);
            }
            // It has arrived: no other channel is needed, unless it turns out that it was not obeyed.
            if command.next == NextStep::Transmit && ack.success != Some(false) {
                command.next = NextStep::Observe;
            }
        }
        self.decide(decisions, |command| {
            if !ids.contains(&command.id) {
                return None;
            }
            if ack.success == Some(false) {
                return Some((Verdict::Refused(Refused::Device), None));
            }
            let shown = command.change.compare(seen).is_met();
            (ack.confirms && ack.success == Some(true) && shown)
                .then(|| command.confirmed(Evidence::Ack, ack.at, now))
        });
        true
    }

    /// Judges the commands of a thermostat by its state after something was observed.
    ///
    /// A command is confirmed when the state shows every field of it, each as observed after the first transmission:
    /// one state, at one moment. What contradicts later takes back what agreed before, since the state follows it.
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
            // A value that was in force before the service took the request proves nothing about the request.
            if command.already_so && requested.contains(&command.id) {
                return None;
            }
            // What an acknowledgement of somebody else's command echoes is no evidence, unless the cloud may have sent that
            // command for us.
            let forwarded = command.structured == StructuredAttempt::Made;
            let shown = state.settings(|provenance| {
                (forwarded || provenance.source != Source::Ack) && sent.is_before(provenance)
            });
            if command.change.compare(&shown).is_met() {
                let newest =
                    state.provenance_of(&command.change).max_by_key(|provenance| provenance.received)?;
                let at = newest.at.filter(|_| newest.source.is_device());
                return Some(command.confirmed(evidence(&newest), at, now));
            }
            // A value that is in force already gets no new time stamp over REST. That the cloud had a status since the
            // sending, and shows the value still, says as much; but only of what a status carries. Of a mode or a lock,
            // the cloud shows what the last acknowledgement said that it received.
            let recent = witness.filter(|witness| witness.status_at.is_some_and(|at| at >= sent.latest))?;
            let holds = |shown: &Change| command.change.compare(shown).is_met();
            let in_status = Change { setpoint: None, ..command.change }.is_empty();
            (command.already_so && in_status && holds(&recent.shown) && holds(&state.settings(|_| true)))
                .then(|| command.confirmed(recent.by, None, now))
        });
    }

    /// The commands to a thermostat that the structured service was asked for and has not answered.
    fn unanswered_requests(&self, device: DeviceId) -> Vec<CommandId> {
        let unanswered = self.transmissions.iter().filter(|transmission| {
            transmission.device == device
                && transmission.payload.channel() == Channel::Structured
                && transmission.state == TransmissionState::Sent
        });
        unanswered.flat_map(|transmission| transmission.commands.iter().copied()).collect()
    }

    /// Decides what has had its time.
    pub(crate) fn expire(
        &mut self,
        now: Now,
        seen: impl Fn(&OpenCommand) -> Change,
        decisions: &mut Vec<Decision>,
    ) {
        self.decide(decisions, |command| {
            let expired = match command.first_sent {
                // The first moment of a command is no moment too late.
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

    /// Decides the chosen commands at once: what was sent is unconfirmed, what was not is not sent.
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

    /// Refuses what waits for a thermostat, or `alone` of it: it cannot be sent at all.
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
            // It was sent before; evidence may still come.
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
