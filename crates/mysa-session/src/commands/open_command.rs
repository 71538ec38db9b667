use core::time::Duration;

use mysa_proto::{Change, Channel, DeviceId, Now, UnixTime};

use crate::commands::book::Confirmed;
use crate::commands::transmission::SentAt;
use crate::commands::verdict::{CommandId, DeliveryStage, Effect, Evidence, Expired, Refused, Verdict};

/// A command with less time left than this is too late to send.
const TOO_LATE: Duration = Duration::from_secs(2);

/// A command without a verdict.
#[derive(Debug)]
pub(crate) struct OpenCommand {
    pub(crate) id: CommandId,
    pub(crate) device: DeviceId,
    /// The fields that are asked for and that no newer command has taken over on the wire.
    pub(crate) change: Change,
    pub(crate) asked: Now,
    pub(crate) deadline: Deadline,
    /// The thermostat was known to hold all of it when it was asked for.
    pub(crate) already_so: bool,
    pub(crate) next: NextStep,
    /// The fields that newer commands have asked for since it was sent, whatever became of those: they are not
    /// transmitted for this one again.
    pub(crate) overtaken: Change,
    pub(crate) first_sent: Option<SentAt>,
    pub(crate) reached: Option<DeliveryStage>,
    /// Times it was asked again with a fresh id.
    pub(crate) repeats: u8,
    /// When it is asked again, unless something is heard of it.
    pub(crate) repeat_at: Option<Duration>,
    pub(crate) structured: StructuredAttempt,
    /// Its transmission by MQTT was followed by the end of the connection, or by nothing at all.
    pub(crate) mqtt_failed: bool,
}

/// When a command is too late, by either clock. The monotonic clock may stand still while the host sleeps, and the wall
/// clock may be set: whichever says so first counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) mono: Duration,
    pub(crate) wall: UnixTime,
    /// Time before the deadline within which nothing is sent any more: nobody would see what came of it.
    pub(crate) margin: Duration,
}

impl Deadline {
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
    /// It waits for a transmission.
    Transmit,
    /// The transmission of this number waits for the transport.
    Queued(u64),
    /// Evidence.
    Observe,
}

/// Whether the structured service was tried for a command: it is tried once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StructuredAttempt {
    No,
    /// The service refused the token, so that nothing was done. It is asked once more with a new one.
    TokenRefused,
    Made,
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
            deadline: Deadline {
                mono: asked.mono.saturating_add(time),
                wall: asked.wall.plus_millis(millis(time)),
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
            mqtt_failed: false,
        }
    }

    /// Lets what is left of it wait for a transmission: what nobody newer has asked for.
    pub(crate) fn transmit_again(&mut self) {
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

    pub(crate) fn confirmed(
        &self,
        by: Evidence,
        at: Option<UnixTime>,
        now: Duration,
    ) -> (Verdict, Option<Confirmed>) {
        let effect = if self.already_so { Effect::AlreadySo } else { Effect::Changed };
        let verdict = Verdict::Confirmed { by, after: now.saturating_sub(self.asked.mono), effect };
        let since = self.first_sent.map(|sent| Now { mono: sent.mono, wall: sent.wall });
        (verdict, since.map(|since| Confirmed { change: self.change, since, at }))
    }

    pub(crate) fn given_up(&self, why: Expired, seen: Change, now: Now) -> Verdict {
        if self.structured == StructuredAttempt::TokenRefused && !self.mqtt_failed && self.repeats == 0 {
            // The one thing that is known of it: the service did not take it.
            return Verdict::Refused(Refused::Service { status: 401 });
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

/// Whole milliseconds. Saturates.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
