use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_cognito::Secret;
use mysa_proto::{Observation, UnixTime};

use crate::auth::retry_after;
use crate::clock::CloudClock;
use crate::control_plane::BrokerHost;
use crate::entropy::Entropy;
use crate::outbox::Outbox;
use crate::{
    Environment, Event, HttpAnswer, HttpBody, HttpId, HttpRequest, Now, Output, RequestError, Settings,
};

/// Context shared by the parts of a session: the time of the call, the settings, and the queue for the driver.
// The fields that every message reads or writes come first, next to each other; see `Session`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Context {
    pub(crate) now: Now,
    /// [`Settings::raw_messages`].
    pub(crate) raw_messages: bool,
    pub(crate) outbox: Outbox,
    pub(crate) clock: CloudClock,
    pub(crate) settings: Settings,
    pub(crate) entropy: Entropy,
    pub(crate) broker: BrokerHost,
    pub(crate) environment: Arc<Environment>,
}

impl Context {
    pub(crate) const fn mono(&self) -> Duration {
        self.now.mono
    }

    /// Returns the estimate of the cloud's time.
    pub(crate) const fn time(&self) -> UnixTime {
        self.clock.time(self.now)
    }

    /// Returns the cloud's time if several answers agree on it, otherwise the latest time that is possible. One wrong
    /// answer must not make an old state look new.
    pub(crate) fn latest_time(&self) -> UnixTime {
        if self.clock.is_corroborated() { self.time() } else { self.clock.bounds(self.now).1 }
    }

    pub(crate) const fn received(&self) -> Now {
        // Observations carry the cloud's time, so they compare with the time stamps of devices.
        Now { mono: self.now.mono, wall: self.time() }
    }

    /// Takes the sleep since the time of an observation out of its age, because the state orders the values of the cloud
    /// by the monotonic time of their arrival and their age. A change during a suspend that the monotonic clock did not
    /// count would otherwise be older than a status from before.
    pub(crate) fn without_sleep(&self, mut observation: Observation) -> Observation {
        if let Some(at) = observation.at {
            let wall = &mut observation.received.wall;
            *wall = wall.plus_millis(self.clock.asleep_ms_since(at).saturating_neg());
        }
        observation
    }

    /// Returns the monotonic time at which something that begins now and may take `time` is given up.
    pub(crate) fn after(&self, time: Duration) -> Duration {
        self.now.mono.saturating_add(time)
    }

    /// Returns the error for an answer that refuses a caller's request.
    pub(crate) fn refused(&self, answer: HttpAnswer<'_>) -> RequestError {
        RequestError::Refused {
            status: answer.status,
            body: answer.body.into(),
            retry_after: self.wait_of(answer),
        }
    }

    /// Returns the time to wait that an answer states.
    pub(crate) fn wait_of(&self, answer: HttpAnswer<'_>) -> Option<Duration> {
        Some(retry_after(answer.retry_after, self)).filter(|wait| !wait.is_zero())
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outbox.event(event, self.settings.event_capacity);
    }

    /// Builds a request with a new id and the configured time limit. The caller sends it at once.
    pub(crate) fn http_request(
        &mut self,
        method: &'static str,
        url: alloc::string::String,
        headers: Vec<(&'static str, Cow<'static, str>)>,
        body: HttpBody,
    ) -> HttpRequest {
        let (id, timeout) = (self.outbox.http_id(), self.settings.http_timeout);
        HttpRequest { id, method, url, headers, body, timeout }
    }

    /// Queues a request, and returns the id that its answer will carry.
    pub(crate) fn http(
        &mut self,
        method: &'static str,
        url: alloc::string::String,
        headers: Vec<(&'static str, Cow<'static, str>)>,
        body: Option<Secret>,
    ) -> HttpId {
        let request = self.http_request(method, url, headers, body.into());
        let id = request.id;
        self.outbox.output(Output::Http(request));
        id
    }
}

/// Time after a request's own time limit within which the driver must report the request as failed.
pub(crate) const HTTP_SLACK: Duration = Duration::from_secs(5);

/// Returns a context for unit tests: at the start of the monotonic clock, with default settings.
#[cfg(test)]
pub(crate) fn test_context() -> Context {
    Context {
        settings: Settings::default(),
        raw_messages: false,
        environment: Environment::mysa().into(),
        broker: BrokerHost::default(),
        now: Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) },
        entropy: Entropy::new([1; 32]),
        clock: CloudClock::default(),
        outbox: Outbox::default(),
    }
}
