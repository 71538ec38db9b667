//! What is kept between runs, where several processes of one account share it.
//!
//! With rotation each use of a refresh token ends it, and the process that used it keeps the next. So what is kept is
//! read again before it is used; and once more when it was refused, since another process may have used it in between.

use core::time::Duration;

use mysa_cognito::{RefusalKind, StoredSession};

use super::Identity;
use crate::context::Context;

/// How far what is held is known to be what is kept.
#[derive(Debug, Default)]
pub(super) struct SessionStore {
    state: State,
    /// The token held was refused, for this reason, and what is kept has been looked at so often since.
    doubt: Option<(RefusalKind, u8)>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unread,
    /// The driver was asked to read it.
    Asked { until: Duration },
    /// It was read just now, and goes for the latest until then.
    Read { until: Duration },
}

/// Time a driver has to read a small file.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// After a refusal, time for another process to keep what it was given for the same token, before the second look.
const SECOND_LOOK: Duration = Duration::from_secs(3);

impl SessionStore {
    pub(super) const fn asked_until(&self) -> Option<Duration> {
        match self.state {
            State::Asked { until } => Some(until),
            State::Unread | State::Read { .. } => None,
        }
    }

    /// Whether it was read for the use that is about to be made. The next one needs another reading.
    pub(super) fn take_read(&mut self, now: Duration) -> bool {
        matches!(core::mem::take(&mut self.state), State::Read { until } if until > now)
    }
}

impl Identity {
    /// Asks for what is kept.
    pub(super) fn look(&mut self, cx: &mut Context) {
        self.session_store.state = State::Asked { until: cx.after(READ_TIMEOUT) };
        cx.outbox.load();
    }

    /// The refresh token was refused: is there another by now?
    pub(super) fn doubt(&mut self, cx: &mut Context, why: RefusalKind) {
        self.session_store.doubt = Some((why, 0));
        self.look(cx);
    }

    /// Takes what is kept, if it was asked for.
    pub(crate) fn handle_stored(&mut self, cx: &mut Context, stored: Option<StoredSession>) {
        if self.session_store.asked_until().is_none() {
            return;
        }
        self.session_store.state = State::Read { until: cx.after(READ_TIMEOUT) };
        let other = stored.filter(|other| {
            other.account.eq_ignore_ascii_case(&self.stored.account)
                && other.client_id == self.stored.client_id
                && other.refresh_token.is_some()
                && other.refresh_token != self.stored.refresh_token
        });
        match (other, self.session_store.doubt.take()) {
            (Some(other), _) => {
                self.stored = other;
                self.retry_at = cx.mono();
            }
            (None, Some((why, 0))) => {
                self.session_store = SessionStore { state: State::Unread, doubt: Some((why, 1)) };
                self.retry_at = cx.after(SECOND_LOOK);
            }
            (None, Some((why, _))) => self.refresh_refused(cx, why),
            (None, None) => {}
        }
    }
}
