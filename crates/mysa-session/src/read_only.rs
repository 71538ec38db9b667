use alloc::sync::Arc;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::DeviceId;
use mysa_proto::rest::ReadRequest;
use mysa_sigv4::PresignedUrl;

use crate::{
    Busy, ConnId, Deadline, Environment, Event, HttpId, HttpResult, NoChallenge, Now, Output, RequestId,
    Session, Settings, Start, StoreResult,
};

/// [`Session`] that cannot write. It has no method that takes a command or a write, so no mistake of its caller can
/// change a heater.
///
/// All other methods are those of [`Session`], and [`ReadOnlySession::get`] gives access to its getters. The only
/// message it publishes is the request for live reports, which [`Settings::live_reports`] turns off.
///
/// ```
/// # use core::time::Duration;
/// # use mysa_proto::UnixTime;
/// # use mysa_session::{Environment, Now, ReadOnlySession, Settings, Start};
/// let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
/// let start = Start::Password { username: "ann@example.org".into(), password: "correct horse".into() };
/// let session = ReadOnlySession::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
/// assert!(session.get().settings().read_only);
/// ```
///
/// ```compile_fail
/// # use mysa_session::{Now, ReadOnlySession};
/// # fn write(session: &mut ReadOnlySession, now: Now, device: mysa_proto::DeviceId) {
/// session.command(now, device, mysa_proto::Change::default(), None);
/// # }
/// ```
///
/// ```compile_fail
/// # use mysa_session::{Now, ReadOnlySession};
/// # fn write(session: &mut ReadOnlySession, now: Now, device: mysa_proto::DeviceId) {
/// session.request(now, mysa_proto::rest::set_lock(device, true));
/// # }
/// ```
#[derive(Debug)]
pub struct ReadOnlySession(Session);

macro_rules! delegate {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, $($arg: $type),*) $(-> $result)? {
            self.0.$name($($arg),*)
        }
    )*};
}

impl ReadOnlySession {
    /// Begins a session; see [`Session::new`]. [`Settings::read_only`] is always set.
    #[must_use]
    pub fn new(
        settings: Settings,
        environment: impl Into<Arc<Environment>>,
        start: Start,
        seed: [u8; 32],
        now: Now,
    ) -> Self {
        let mut settings = settings;
        settings.read_only = true;
        Self(Session::new(settings, environment, start, seed, now))
    }

    /// Returns the session, for its getters.
    #[must_use]
    pub const fn get(&self) -> &Session {
        &self.0
    }

    delegate! {
        /// See [`Session::handle_timeout`].
        fn handle_timeout(now: Now);
        /// See [`Session::handle_http`].
        fn handle_http(now: Now, id: HttpId, result: HttpResult<'_>);
        /// See [`Session::handle_stored`].
        fn handle_stored(now: Now, stored: Option<StoredSession>);
        /// See [`Session::handle_store_result`].
        fn handle_store_result(now: Now, result: StoreResult);
        /// See [`Session::handle_ws_opened`].
        fn handle_ws_opened(now: Now, conn: ConnId);
        /// See [`Session::handle_ws_refused`].
        fn handle_ws_refused(now: Now, conn: ConnId, status: Option<u16>, date: Option<&str>);
        /// See [`Session::handle_ws_bytes`].
        fn handle_ws_bytes(now: Now, conn: ConnId, bytes: &[u8]);
        /// See [`Session::handle_ws_blocked`].
        fn handle_ws_blocked(now: Now, conn: ConnId, blocked: bool);
        /// See [`Session::handle_ws_closed`].
        fn handle_ws_closed(now: Now, conn: ConnId);
        /// See [`Session::answer_challenge`].
        ///
        /// # Errors
        ///
        /// [`NoChallenge`] if no challenge waits, or the one that did has ended.
        fn answer_challenge(now: Now, answer: &str) -> Result<(), NoChallenge>;
        /// See [`Session::sign_in`].
        fn sign_in(now: Now, password: Secret);
        /// See [`Session::sign_out`].
        fn sign_out(now: Now);
        /// See [`Session::request`].
        ///
        /// # Errors
        ///
        /// [`Busy`] if too many requests are in flight or too many responses unread.
        fn request(now: Now, request: ReadRequest) -> Result<RequestId, Busy>;
        /// See [`Session::describe_thing`].
        ///
        /// # Errors
        ///
        /// [`Busy`] if too many requests are in flight or too many responses unread.
        fn describe_thing(now: Now, device: DeviceId) -> Result<RequestId, Busy>;
        /// See [`Session::network_changed`].
        fn network_changed(now: Now);
        /// See [`Session::shutdown`].
        fn shutdown(now: Now);
        /// See [`Session::presign`].
        fn presign(now: Now) -> Option<PresignedUrl>;
        /// See [`Session::poll_output`].
        fn poll_output() -> Option<Output>;
        /// See [`Session::poll_io`].
        fn poll_io() -> Option<Output>;
        /// See [`Session::poll_event`].
        fn poll_event() -> Option<Event>;
    }

    /// See [`Session::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }

    /// See [`Session::prefetch`].
    pub fn prefetch(&self) {
        self.0.prefetch();
    }
}
