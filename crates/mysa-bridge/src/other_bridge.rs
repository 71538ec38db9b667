use alloc::string::String;
use core::time::Duration;

use crate::client::{Message, QoS};
use crate::context::Context;
use crate::event::Event;
use crate::topics::rank;

/// Detection of a second bridge with the same prefix.
///
/// Each run of a bridge has an identity, which it publishes. An identity that another run published since this one
/// started belongs to a bridge that runs beside it: with another client id, its message arrives; with the same one, the
/// broker disconnects one of the two at a time, and each finds the identity of the other when it is back.
#[derive(Debug)]
pub(crate) struct OtherBridge {
    own: String,
    /// `true` once the broker has returned the own identity, so that it holds it unless another run has published one.
    is_held: bool,
    /// Latest foreign identity.
    suspected: Option<Suspected>,
    /// Time until which another bridge counts as present, while one does.
    until: Option<Duration>,
    /// Answers to foreign identities: the number within the present window, and its end.
    answers: (u32, Duration),
    /// Time of the next publication while another bridge is present.
    repeat_at: Duration,
}

/// A foreign identity. Bytes of an earlier run may arrive late, and a broker may fall back to an old store.
#[derive(Debug)]
struct Suspected {
    identity: String,
    seen_at: Duration,
    /// Number of times that it was seen.
    count: u32,
}

/// Number of times that an identity must be seen to be that of another bridge.
const SURE: u32 = 3;
/// Time after which another bridge that shows no sign counts as gone.
const GONE: Duration = Duration::from_secs(900);
/// Time between two publications while another bridge is present.
const REPEAT: Duration = Duration::from_secs(300);
/// Number of answers within a window, and its length: as many as the other bridge must see.
const ANSWERS: u32 = SURE;
const WINDOW: Duration = Duration::from_secs(60);
/// Longest identity, in bytes.
const MAX_IDENTITY: usize = 64;

impl OtherBridge {
    /// Creates the detection with the identity of this run.
    pub(crate) const fn new(own: String) -> Self {
        Self {
            own,
            is_held: false,
            suspected: None,
            until: None,
            answers: (0, Duration::ZERO),
            repeat_at: Duration::ZERO,
        }
    }

    /// Publishes the identity. The broker forgets it at the end of the bridge.
    pub(crate) fn publish(&self, cx: &mut Context, is_ending: bool) {
        let topic = cx.topics().instance();
        let payload = if is_ending { "" } else { self.own.as_str() };
        cx.client.retain(rank::INSTANCE, topic, payload.into(), QoS::AtMostOnce);
    }

    /// Handles an identity. Returns `true` if another bridge is present that was not before.
    pub(crate) fn handle_message(&mut self, cx: &mut Context, message: &Message) -> bool {
        let Ok(identity) = core::str::from_utf8(&message.payload) else { return false };
        if identity == self.own {
            self.is_held = true;
            return false;
        }
        if identity.len() > MAX_IDENTITY {
            return false;
        }
        if identity.is_empty() {
            // Another bridge has ended in order, and the broker has forgotten the identity of this one too.
            let now = cx.mono();
            self.until = self.until.map(|until| until.min(now));
            self.answer(cx, now);
            return false;
        }
        // Before the broker has the own one, it is that of an earlier run.
        if message.retained && !self.is_held {
            return false;
        }
        let now = cx.mono();
        self.answer(cx, now);
        let known = self
            .suspected
            .take()
            .filter(|known| known.identity == identity && now <= known.seen_at.saturating_add(GONE));
        let count = known.map_or(1, |known| known.count.saturating_add(1));
        self.suspected = Some(Suspected { identity: identity.into(), seen_at: now, count });
        if count < SURE {
            return false;
        }
        let is_new = self.until.replace(now.saturating_add(GONE)).is_none();
        if is_new {
            self.repeat_at = now.saturating_add(REPEAT);
            cx.event(Event::OtherBridge { prefix: cx.settings.prefix.clone() });
        }
        is_new
    }

    /// Publishes the identity again, so that the other bridge learns of this one.
    fn answer(&mut self, cx: &mut Context, now: Duration) {
        let (count, until) = self.answers;
        let (count, until) = if now < until { (count, until) } else { (0, now.saturating_add(WINDOW)) };
        if count < ANSWERS {
            cx.client.send_again(rank::INSTANCE, &cx.topics().instance());
        }
        self.answers = (count.saturating_add(1), until);
    }

    /// Handles the timers. Returns `true` if the other bridge is gone.
    pub(crate) fn step(&mut self, cx: &mut Context) -> bool {
        let now = cx.mono();
        if self.until.take_if(|until| *until <= now).is_some() {
            self.suspected = None;
            cx.event(Event::OtherBridgeGone);
            return true;
        }
        if self.until.is_some() && self.repeat_at <= now {
            self.repeat_at = now.saturating_add(REPEAT);
            cx.client.send_again(rank::INSTANCE, &cx.topics().instance());
        }
        false
    }

    /// Time of the next call of [`OtherBridge::step`].
    pub(crate) fn due(&self) -> Option<Duration> {
        self.until.map(|until| until.min(self.repeat_at))
    }

    /// `true` while another bridge is present.
    pub(crate) const fn is_present(&self) -> bool {
        self.until.is_some()
    }
}
