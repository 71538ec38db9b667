use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Agreement, Change, Channel, Now, UnixTime};

use crate::commands::fields;
use crate::commands::verdict::{CommandId, DeliveryStage, Evidence, Expired, Refused, Verdict};

/// The commands of one thermostat that have no verdict yet. For each field there is one wish: the newest.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    wishes: Vec<Wish>,
    last_write: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) id: CommandId,
    /// What is still to be done, or to be seen.
    pub(crate) change: Change,
    asked: Duration,
    deadline: Duration,
    sent: Option<Sent>,
}

#[derive(Clone, Debug)]
struct Sent {
    /// The `id` it carried, or the number of the REST request.
    stamp: u64,
    at: Duration,
    wall: UnixTime,
    reached: DeliveryStage,
    seen: Change,
}

/// A verdict and whose it is.
pub(crate) type Decided = (CommandId, Verdict);

/// Fields now known to hold, and when they had been asked for on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmed {
    pub(crate) change: Change,
    pub(crate) since: Now,
}

/// What the device answered to a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) stamp: u64,
    pub(crate) success: Option<bool>,
}

/// Stamps have whole seconds, and clocks differ a little.
const SLACK_MS: i64 = 2_000;
/// A command with less time left than this is too late to send: there would be nobody to see what became of it.
const TOO_LATE: Duration = Duration::from_secs(2);

impl Wishes {
    pub(crate) fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.wishes.len()
    }

    /// The fields somebody has asked for and that are not decided.
    pub(crate) fn pending(&self) -> Change {
        self.wishes.iter().fold(Change::default(), |all, wish| all.then(wish.change))
    }

    /// Takes a new wish. It takes over its fields from older ones that wait; those that keep none are superseded.
    pub(crate) fn add(
        &mut self,
        id: CommandId,
        change: Change,
        now: Duration,
        deadline: Duration,
        decided: &mut Vec<Decided>,
    ) {
        self.wishes.retain_mut(|wish| {
            if wish.sent.is_some() {
                return true;
            }
            wish.change = fields::without(&wish.change, &change);
            if wish.change.is_empty() {
                decided.push((wish.id, Verdict::Superseded { by: id, reached: None }));
                return false;
            }
            true
        });
        self.wishes.push(Wish { id, change, asked: now, deadline, sent: None });
    }

    /// Stamps of sent commands that this change overtakes: they must not be repeated on the wire.
    pub(crate) fn overtaken(&self, change: &Change) -> impl Iterator<Item = u64> + '_ {
        let change = *change;
        self.wishes
            .iter()
            .filter(move |wish| !fields::within(&wish.change, &change).is_empty())
            .filter_map(|wish| wish.sent.as_ref().map(|sent| sent.stamp))
    }

    /// When something may be sent, if anything waits.
    pub(crate) fn send_at(&self, interval: Duration) -> Option<Duration> {
        self.wishes
            .iter()
            .any(|wish| wish.sent.is_none())
            .then(|| self.last_write.map_or(Duration::ZERO, |last| last.saturating_add(interval)))
    }

    /// All that waits, as one change.
    pub(crate) fn waiting(&self) -> Change {
        self.wishes
            .iter()
            .filter(|wish| wish.sent.is_none())
            .fold(Change::default(), |all, wish| all.then(wish.change))
    }

    /// The oldest that waits, alone.
    pub(crate) fn first_waiting(&self) -> Option<(CommandId, Change)> {
        self.wishes.iter().find(|wish| wish.sent.is_none()).map(|wish| (wish.id, wish.change))
    }

    /// Everything that waits, or only `alone`, has been handed to a channel. What had been sent before for the same
    /// fields can no longer be judged: it is superseded.
    pub(crate) fn sent(
        &mut self,
        alone: Option<CommandId>,
        stamp: u64,
        channel: Channel,
        now: Duration,
        wall: UnixTime,
        decided: &mut Vec<Decided>,
    ) {
        let goes = |wish: &Wish| wish.sent.is_none() && alone.is_none_or(|id| id == wish.id);
        let mut going: Vec<(CommandId, Change)> = Vec::new();
        going.extend(self.wishes.iter().filter(|wish| goes(wish)).map(|wish| (wish.id, wish.change)));
        self.last_write = Some(now);
        self.wishes.retain_mut(|wish| {
            if goes(wish) {
                let (reached, seen) = (DeliveryStage::Wire(channel), Change::default());
                wish.sent = Some(Sent { stamp, at: now, wall, reached, seen });
                return true;
            }
            let Some(before) = &wish.sent else { return true };
            for (by, change) in &going {
                wish.change = fields::without(&wish.change, change);
                if wish.change.is_empty() {
                    decided.push((wish.id, Verdict::Superseded { by: *by, reached: Some(before.reached) }));
                    return false;
                }
            }
            true
        });
    }

    /// The broker, or the REST service, has taken it.
    pub(crate) fn taken(&mut self, stamp: u64, channel: Channel) {
        for sent in self.wishes.iter_mut().filter_map(|wish| wish.sent.as_mut()) {
            if sent.stamp == stamp {
                sent.reached = sent.reached.max(DeliveryStage::Service(channel));
            }
        }
    }

    /// The service said no.
    pub(crate) fn refused(&mut self, stamp: u64, refused: &Refused, decided: &mut Vec<Decided>) {
        self.wishes.retain(|wish| {
            let ours = wish.sent.as_ref().is_some_and(|sent| sent.stamp == stamp);
            if ours {
                decided.push((wish.id, Verdict::Refused(refused.clone())));
            }
            !ours
        });
    }

    /// What waits cannot be sent at all.
    pub(crate) fn refuse_waiting(
        &mut self,
        alone: Option<CommandId>,
        refused: &Refused,
        decided: &mut Vec<Decided>,
    ) {
        self.wishes.retain(|wish| {
            let ours = wish.sent.is_none() && alone.is_none_or(|id| id == wish.id);
            if ours {
                decided.push((wish.id, Verdict::Refused(refused.clone())));
            }
            !ours
        });
    }

    /// The device acknowledged a command, and showed `seen`. Returns what is confirmed by it.
    pub(crate) fn acknowledged(
        &mut self,
        answered: Answered,
        seen: &Change,
        confirms: bool,
        now: Duration,
        decided: &mut Vec<Decided>,
    ) -> Option<Confirmed> {
        let mut confirmed = Change::default();
        let mut since = Now { mono: now, wall: UnixTime::from_secs(0) };
        self.wishes.retain_mut(|wish| {
            let Some(sent) = wish.sent.as_mut().filter(|sent| sent.stamp == answered.stamp) else {
                return true;
            };
            if answered.success == Some(false) {
                decided.push((wish.id, Verdict::Refused(Refused::Device)));
                return false;
            }
            sent.reached = DeliveryStage::Thermostat;
            sent.seen = sent.seen.then(fields::within(seen, &wish.change));
            if !confirms || answered.success != Some(true) {
                return true;
            }
            if fields::compare(&wish.change, seen).1 == Agreement::Agrees {
                confirmed = confirmed.then(wish.change);
                since = Now { mono: sent.at, wall: sent.wall };
                let after = now.saturating_sub(wish.asked);
                decided.push((wish.id, Verdict::Confirmed { by: Evidence::Ack, after }));
                return false;
            }
            true
        });
        (!confirmed.is_empty()).then_some(Confirmed { change: confirmed, since })
    }

    /// A state was seen. `at` is when it was made, by its own clock, if that is known. Returns what is confirmed by it.
    pub(crate) fn seen(
        &mut self,
        seen: &Change,
        at: Option<UnixTime>,
        by: Evidence,
        now: Duration,
        decided: &mut Vec<Decided>,
    ) -> Option<Confirmed> {
        let mut confirmed = Change::default();
        let mut since = Now { mono: now, wall: UnixTime::from_secs(0) };
        self.wishes.retain_mut(|wish| {
            let Some(sent) = &mut wish.sent else { return true };
            let later = match at {
                Some(at) => at.plus_millis(SLACK_MS) >= sent.wall,
                // Without a clock, only the device's own messages are known to be new.
                None => by == Evidence::Status && now > sent.at,
            };
            if !later {
                return true;
            }
            let (open, _) = fields::compare(&wish.change, seen);
            sent.seen = sent.seen.then(fields::within(seen, &wish.change));
            confirmed = confirmed.then(fields::without(&wish.change, &open));
            since = Now { mono: sent.at, wall: sent.wall };
            wish.change = open;
            if open.is_empty() {
                let after = now.saturating_sub(wish.asked);
                decided.push((wish.id, Verdict::Confirmed { by, after }));
                return false;
            }
            true
        });
        (!confirmed.is_empty()).then_some(Confirmed { change: confirmed, since })
    }

    /// Decides what has had its time.
    pub(crate) fn expire(&mut self, now: Duration, decided: &mut Vec<Decided>) {
        self.wishes.retain(|wish| {
            let Some(sent) = &wish.sent else {
                let left = wish.deadline.saturating_sub(now);
                let late = TOO_LATE.min(wish.deadline.saturating_sub(wish.asked) / 4);
                if wish.deadline <= now || (left <= late && now > wish.asked) {
                    decided.push((wish.id, Verdict::Expired(Expired::Deadline)));
                    return false;
                }
                return true;
            };
            if wish.deadline > now {
                return true;
            }
            decided.push((wish.id, wish.unconfirmed(sent, now)));
            false
        });
    }

    /// Decides one at once, or all: what was sent is unconfirmed, what was not is not sent.
    pub(crate) fn resolve(
        &mut self,
        only: Option<CommandId>,
        why: Expired,
        now: Duration,
        decided: &mut Vec<Decided>,
    ) {
        self.wishes.retain(|wish| {
            if only.is_some_and(|id| id != wish.id) {
                return true;
            }
            let verdict = match &wish.sent {
                None => Verdict::Expired(why),
                Some(sent) => wish.unconfirmed(sent, now),
            };
            decided.push((wish.id, verdict));
            false
        });
    }

    /// When the next one has had its time.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.wishes
            .iter()
            .map(|wish| match wish.sent {
                Some(_) => wish.deadline,
                None => {
                    wish.deadline.saturating_sub(TOO_LATE.min(wish.deadline.saturating_sub(wish.asked) / 4))
                }
            })
            .min()
    }

    /// The oldest sent command that nobody has answered, and when it was sent by which channel.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (Duration, Channel)> + '_ {
        self.wishes.iter().filter_map(|wish| {
            let sent = wish.sent.as_ref()?;
            match sent.reached {
                DeliveryStage::Wire(channel) | DeliveryStage::Service(channel) => Some((sent.at, channel)),
                DeliveryStage::Thermostat => Some((sent.at, Channel::Mqtt)),
            }
        })
    }
}

impl Wish {
    fn unconfirmed(&self, sent: &Sent, now: Duration) -> Verdict {
        Verdict::Unconfirmed { reached: sent.reached, seen: sent.seen, after: now.saturating_sub(self.asked) }
    }
}

#[cfg(test)]
mod tests {
    use mysa_proto::Celsius;

    use super::*;

    const SENT: UnixTime = UnixTime::from_secs(1_767_323_045);
    const LATER: Duration = Duration::from_secs(3);

    fn setpoint(degrees: i32) -> Change {
        Change::setpoint(Celsius::from_hundredths(degrees * 100))
    }

    fn sent() -> Wishes {
        let (mut wishes, mut decided) = (Wishes::default(), Vec::new());
        wishes.add(CommandId(1), setpoint(22), Duration::ZERO, Duration::from_secs(30), &mut decided);
        wishes.sent(None, 7, Channel::Mqtt, Duration::from_secs(1), SENT, &mut decided);
        assert_eq!(decided, []);
        wishes
    }

    #[test]
    fn only_what_was_made_after_the_command_is_evidence() {
        for (at, by, confirms) in [
            (Some(-60), Evidence::Status, false),
            (Some(1), Evidence::Status, true),
            (None, Evidence::Status, true),
            (Some(-60), Evidence::Rest, false),
            (Some(1), Evidence::Rest, true),
            (None, Evidence::Rest, false),
            (None, Evidence::Reported, false),
        ] {
            let (mut wishes, mut decided) = (sent(), Vec::new());
            let at = at.map(|secs: i64| SENT.plus_millis(secs * 1_000));
            let confirmed = wishes.seen(&setpoint(22), at, by, LATER, &mut decided);
            assert_eq!((confirmed.is_some(), decided.len() == 1), (confirms, confirms), "{at:?} {by:?}");
        }
    }

    #[test]
    fn an_acknowledgement_must_say_so_and_show_it() {
        for (success, shows, verdict) in [
            (Some(true), 22, Some(true)),
            (Some(true), 20, None),
            (None, 22, None),
            (Some(false), 22, Some(false)),
        ] {
            let (mut wishes, mut decided) = (sent(), Vec::new());
            let answered = Answered { stamp: 7, success };
            wishes.acknowledged(answered, &setpoint(shows), true, LATER, &mut decided);
            assert_eq!(
                decided.first().map(|(_, verdict)| verdict.is_confirmed()),
                verdict,
                "{success:?} {shows}"
            );
        }
    }

    #[test]
    fn a_status_that_shows_something_else_is_told_with_the_verdict() {
        let (mut wishes, mut decided) = (sent(), Vec::new());
        wishes.seen(&setpoint(19), None, Evidence::Status, LATER, &mut decided);
        wishes.expire(Duration::from_secs(30), &mut decided);
        let Some((_, Verdict::Unconfirmed { seen, .. })) = decided.pop() else { panic!("{decided:?}") };
        assert_eq!(seen, setpoint(19));
    }
}
