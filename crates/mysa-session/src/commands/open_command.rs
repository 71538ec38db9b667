use core::time::Duration;

use mysa_proto::{Change, Channel, DeviceId, Now, UnixTime};

use crate::commands::book::Confirmed;
use crate::commands::transmission::SentAt;
use crate::commands::verdict::{CommandId, DeliveryStage, Effect, Evidence, Expired, Refused, Verdict};
use crate::now::{millis, plus};

/// Remaining time below which a command is not sent any more.
const TOO_LATE: Duration = Duration::from_secs(2);

/// Command without a verdict.
#[derive(Debug)]
pub(crate) struct OpenCommand {
    pub(crate) id: CommandId,
    pub(crate) device: DeviceId,
    /// Requested fields, without those that a newer command has taken over on the wire.
    pub(crate) change: Change,
    pub(crate) asked: Now,
    pub(crate) deadline: CommandDeadline,
    /// `true` if the thermostat was known to hold the whole change when it was requested.
    pub(crate) already_so: bool,
    pub(crate) next: NextStep,
    /// Fields that newer commands have requested since this one was sent, regardless of the outcome of those.
    /// They are not sent for this command again.
    pub(crate) overtaken: Change,
    pub(crate) first_sent: Option<SentAt>,
    pub(crate) reached: Option<DeliveryStage>,
    /// Number of times the command was sent again with a new id.
    pub(crate) repeats: u8,
    /// Time at which the command is sent again, unless the thermostat answers before.
    pub(crate) repeat_at: Option<Duration>,
    pub(crate) structured: StructuredAttempt,
    /// `true` if a message carried the command, so that the thermostat may have received it whatever the structured service answers.
    pub(crate) published: bool,
    /// `true` if the thermostat refused the command as a message.
    pub(crate) refused_by_device: bool,
    /// `true` if a publish of the command was followed by the end of the connection, or by no acknowledgement.
    pub(crate) mqtt_failed: bool,
}

/// Deadline of a command by two clocks. The monotonic clock may stand still while the host sleeps, and the wall clock
/// may be set; the earlier one applies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandDeadline {
    pub(crate) mono: Duration,
    pub(crate) wall: UnixTime,
    /// Time before the deadline within which nothing is sent any more, because the effect could not be observed in
    /// time.
    pub(crate) margin: Duration,
}

impl CommandDeadline {
    pub(crate) fn has_passed(&self, now: Now) -> bool {
        self.mono <= now.mono || self.wall <= now.wall
    }

    pub(crate) fn is_too_late_to_send(&self, now: Now) -> bool {
        self.last_send() <= now.mono || self.wall.plus_millis(-millis(self.margin)) <= now.wall
    }

    pub(crate) const fn last_send(&self) -> Duration {
        self.mono.saturating_sub(self.margin)
    }
}

/// Next step of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NextStep {
    /// The command waits for a transmission.
    Transmit,
    /// The transmission with this serial waits for the transport.
    Queued(u64),
    /// The command waits for evidence.
    Observe,
}

/// Use of the structured service for a command. It is tried once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StructuredAttempt {
    No,
    /// The service refused the token, and nothing was done. One more request is made with a new token.
    TokenRefused,
    Made,
    /// The service refused the request, and nothing was done.
    Refused,
}

impl OpenCommand {
    pub(crate) fn new(
        id: CommandId,
        device: DeviceId,
        change: Change,
        already_so: bool,
        asked: Now,
        time: Duration,
    ) -> Self {
        Self {
            id,
            device,
            change,
            asked,
            deadline: CommandDeadline {
                mono: asked.mono.saturating_add(time),
                wall: plus(asked.wall, time),
                // Short deadlines get a smaller margin, so they can be sent at all.
                margin: TOO_LATE.min(time / 4),
            },
            already_so,
            next: NextStep::Transmit,
            overtaken: Change::default(),
            first_sent: None,
            reached: None,
            repeats: 0,
            repeat_at: None,
            structured: StructuredAttempt::No,
            published: false,
            refused_by_device: false,
            mqtt_failed: false,
        }
    }

    /// Returns the command to the waiting state, without the fields that newer commands have requested.
    pub(crate) fn transmit_again(&mut self) {
        // If newer commands took over every field, nothing is left to send, and evidence or the deadline decides.
        let left = self.change.without(&self.overtaken);
        if !left.is_empty() {
            self.change = left;
            self.overtaken = Change::default();
            self.next = NextStep::Transmit;
        }
    }

    pub(crate) fn may_be_asked_again(&self, now: Now, times: u8) -> bool {
        self.next == NextStep::Observe
            && self.overtaken.is_empty()
            && !self.mqtt_failed
            && self.repeats < times
            && self.reached == Some(DeliveryStage::Service(Channel::Mqtt))
            && !self.deadline.is_too_late_to_send(now)
    }

    /// Returns `true` if a message has carried it, and the thermostat has not refused it.
    pub(crate) const fn may_be_carried_out_by_mqtt(&self) -> bool {
        self.published && !self.refused_by_device
    }

    pub(crate) fn confirmed(
        &self,
        by: Evidence,
        at: Option<UnixTime>,
        now: Duration,
    ) -> (Verdict, Option<Confirmed>) {
        let effect = if self.already_so { Effect::AlreadyHeld } else { Effect::Changed };
        let verdict = Verdict::Confirmed { by, after: now.saturating_sub(self.asked.mono), effect };
        let since = self.first_sent.map(|sent| Now { mono: sent.mono, wall: sent.wall });
        (verdict, since.map(|since| Confirmed { change: self.change, since, at }))
    }

    pub(crate) fn given_up(&self, why: Expired, seen: Change, now: Now) -> Verdict {
        if self.structured == StructuredAttempt::TokenRefused && !self.may_be_carried_out_by_mqtt() {
            // The only known fact is that the service did not accept the command.
            return Verdict::Refused(Refused::Service { status: 401, retry_after: None });
        }
        match self.reached {
            None => Verdict::Expired(why),
            Some(reached) => {
                let after = now.mono.saturating_sub(self.asked.mono);
                Verdict::Unconfirmed { reached, seen: seen.within(&self.change), after }
            }
        }
    }
}
