use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_cognito::Secret;
use mysa_proto::UnixTime;

use crate::clock::CloudClock;
use crate::entropy::Entropy;
use crate::outbox::Outbox;
use crate::{Environment, Event, HttpId, HttpRequest, Now, Output, Settings};

/// What every part of a session works with: the time of the call, the settings, and the way out.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) environment: Environment,
    pub(crate) now: Now,
    pub(crate) entropy: Entropy,
    pub(crate) clock: CloudClock,
    pub(crate) outbox: Outbox,
}

impl Context {
    pub(crate) const fn mono(&self) -> Duration {
        self.now.mono
    }

    /// The cloud's time.
    pub(crate) const fn time(&self) -> UnixTime {
        self.clock.time(self.now)
    }

    pub(crate) const fn received(&self) -> Now {
        Now { mono: self.now.mono, wall: self.time() }
    }

    /// When something that may take `time` is given up.
    pub(crate) fn after(&self, time: Duration) -> Duration {
        self.now.mono.saturating_add(time)
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outbox.event(event, self.settings.event_capacity);
    }

    pub(crate) fn http(
        &mut self,
        method: &'static str,
        url: alloc::string::String,
        headers: Vec<(&'static str, Cow<'static, str>)>,
        body: Option<Secret>,
    ) -> HttpId {
        let id = self.outbox.http_id();
        let timeout = self.settings.http_timeout;
        self.outbox.work(Output::Http(HttpRequest { id, method, url, headers, body, timeout }));
        id
    }
}

/// Time beyond its own timeout that a driver has to report an HTTP request as failed.
pub(crate) const HTTP_SLACK: Duration = Duration::from_secs(5);
