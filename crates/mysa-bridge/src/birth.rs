use core::time::Duration;

use crate::client::Message;
use crate::context::Context;
use crate::event::Event;

/// Answer to the birth message of Home Assistant: all retained messages, after a pause.
#[derive(Debug, Default)]
pub(crate) struct Birth {
    answer_at: Option<Duration>,
}

impl Birth {
    /// Handles a message. Returns `true` if it has the topic of birth messages.
    pub(crate) fn handle_message(&mut self, cx: &mut Context, message: &Message) -> bool {
        if cx.settings.birth_topic().is_none_or(|topic| topic != message.topic) {
            return false;
        }
        // At the subscription, everything is published anyway.
        if message.payload == b"online" && !message.retained && self.answer_at.is_none() {
            let (shortest, longest) = cx.settings.birth_pause;
            let pause = shortest + cx.entropy.up_to(longest.saturating_sub(shortest));
            self.answer_at = Some(cx.after(pause));
            cx.event(Event::HomeAssistantStarted);
        }
        true
    }

    /// Sends all retained messages again, if that is due. Returns `true` then.
    pub(crate) fn step(&mut self, cx: &mut Context) -> bool {
        let is_due = self.answer_at.take_if(|at| *at <= cx.mono()).is_some();
        if is_due {
            cx.client.send_all_again();
        }
        is_due
    }

    /// Time of the next call of [`Birth::step`].
    pub(crate) const fn due(&self) -> Option<Duration> {
        self.answer_at
    }
}
