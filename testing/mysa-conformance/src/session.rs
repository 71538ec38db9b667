use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::rest::{ReadRequest, SettingsWrite};
use mysa_proto::{Change, DeviceId, Model};
use mysa_session::{
    Busy, CommandId, ConnId, Deadline, Environment, Event, HttpBody, HttpId, HttpResult, NoChallenge, Now,
    Output, Preview, Refused, RequestId, Settings, Start, StoreResult, Wake,
};
use mysa_sigv4::PresignedUrl;

use crate::ledger::{Ledger, report};
use crate::record::{Call, Record};

/// A [`mysa_session::Session`] that checks its driver. It has the same methods and behaves the same; getters are those of
/// the session inside.
///
/// Dropping it panics if the driver broke a rule and nobody has read the [`Ledger`].
#[derive(Debug)]
pub struct Session {
    inner: mysa_session::Session,
    ledger: Ledger,
    /// Requests whose body is asked for later.
    deferred: Vec<HttpId>,
}

/// Default of [`Ledger::set_lateness`].
const LATENESS: Duration = Duration::from_secs(120);

impl Deref for Session {
    type Target = mysa_session::Session;

    fn deref(&self) -> &mysa_session::Session {
        &self.inner
    }
}

impl Session {
    /// Begins a session: [`mysa_session::Session::new`].
    #[must_use]
    pub fn new(
        settings: Settings,
        environment: impl Into<Arc<Environment>>,
        start: Start,
        seed: [u8; 32],
        now: Now,
    ) -> Self {
        let origin = Instant::now();
        let record = Record::new(move || origin.elapsed() + now.mono, now.mono, LATENESS);
        let inner = mysa_session::Session::new(settings, environment, start, seed, now);
        Self { inner, ledger: Ledger(Arc::new(Mutex::new(record))), deferred: Vec::new() }
    }

    /// Returns the list of broken rules.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    fn note(&self, call: Call, now: Now) {
        self.ledger.lock().call(call, now.mono);
    }

    /// See [`mysa_session::Session::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        self.note(Call::Timeout, now);
        self.inner.handle_timeout(now);
    }

    /// See [`mysa_session::Session::handle_http`].
    pub fn handle_http(&mut self, now: Now, id: HttpId, result: HttpResult<'_>) {
        self.note(Call::Io("handle_http"), now);
        let deferred = self.deferred.contains(&id);
        self.deferred.retain(|waiting| *waiting != id);
        let mut record = self.ledger.lock();
        record.failed_to_connect(id, &result, deferred);
        record.answered(id, &result);
        drop(record);
        self.inner.handle_http(now, id, result);
    }

    /// See [`mysa_session::Session::handle_stored`].
    pub fn handle_stored(&mut self, now: Now, stored: Option<StoredSession>) {
        self.note(Call::Any("handle_stored"), now);
        self.ledger.lock().loaded();
        self.inner.handle_stored(now, stored);
    }

    /// See [`mysa_session::Session::handle_store_result`].
    pub fn handle_store_result(&mut self, now: Now, result: StoreResult) {
        self.note(Call::Any("handle_store_result"), now);
        self.ledger.lock().stored();
        self.inner.handle_store_result(now, result);
    }

    /// See [`mysa_session::Session::handle_ws_opened`].
    pub fn handle_ws_opened(&mut self, now: Now, conn: ConnId) {
        self.note(Call::Io("handle_ws_opened"), now);
        self.ledger.lock().opened(conn);
        self.inner.handle_ws_opened(now, conn);
    }

    /// See [`mysa_session::Session::handle_ws_refused`].
    pub fn handle_ws_refused(&mut self, now: Now, conn: ConnId, status: Option<u16>, date: Option<&str>) {
        self.note(Call::Io("handle_ws_refused"), now);
        self.ledger.lock().lost(conn);
        self.inner.handle_ws_refused(now, conn, status, date);
    }

    /// See [`mysa_session::Session::handle_ws_bytes`].
    pub fn handle_ws_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        self.note(Call::Io("handle_ws_bytes"), now);
        self.ledger.lock().received(conn, bytes);
        self.inner.handle_ws_bytes(now, conn, bytes);
    }

    /// See [`mysa_session::Session::handle_ws_closed`].
    pub fn handle_ws_closed(&mut self, now: Now, conn: ConnId) {
        // A driver that fails to carry out an `Output::Send` reports the end of the connection while it takes outputs.
        self.note(Call::Any("handle_ws_closed"), now);
        self.ledger.lock().lost(conn);
        self.inner.handle_ws_closed(now, conn);
    }

    /// See [`mysa_session::Session::handle_ws_blocked`].
    pub fn handle_ws_blocked(&mut self, now: Now, conn: ConnId, blocked: bool) {
        self.note(Call::Any("handle_ws_blocked"), now);
        self.inner.handle_ws_blocked(now, conn, blocked);
    }

    /// See [`mysa_session::Session::command`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn command(
        &mut self,
        now: Now,
        device: DeviceId,
        change: Change,
        deadline: Option<Duration>,
    ) -> Result<CommandId, Busy> {
        self.note(Call::Any("command"), now);
        let id = self.inner.command(now, device, change, deadline)?;
        self.ledger.lock().commanded(id);
        Ok(id)
    }

    /// See [`mysa_session::Session::command_many`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn command_many(
        &mut self,
        now: Now,
        devices: &[DeviceId],
        change: Change,
        deadline: Option<Duration>,
    ) -> Result<Vec<CommandId>, Busy> {
        self.note(Call::Any("command_many"), now);
        let ids = self.inner.command_many(now, devices, change, deadline)?;
        for id in &ids {
            self.ledger.lock().commanded(*id);
        }
        Ok(ids)
    }

    /// See [`mysa_session::Session::preview`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn preview(&mut self, now: Now, device: DeviceId, change: Change) -> Result<Preview, Refused> {
        self.note(Call::Any("preview"), now);
        self.inner.preview(now, device, change)
    }

    /// See [`mysa_session::Session::cancel`].
    pub fn cancel(&mut self, now: Now, id: CommandId) {
        self.note(Call::Any("cancel"), now);
        self.inner.cancel(now, id);
    }

    /// See [`mysa_session::Session::answer_challenge`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn answer_challenge(&mut self, now: Now, answer: &str) -> Result<(), NoChallenge> {
        self.note(Call::Any("answer_challenge"), now);
        self.inner.answer_challenge(now, answer)
    }

    /// See [`mysa_session::Session::sign_in`].
    pub fn sign_in(&mut self, now: Now, password: Secret) {
        self.note(Call::Any("sign_in"), now);
        self.inner.sign_in(now, password);
    }

    /// See [`mysa_session::Session::sign_out`].
    pub fn sign_out(&mut self, now: Now) {
        self.note(Call::Any("sign_out"), now);
        self.inner.sign_out(now);
    }

    /// See [`mysa_session::Session::request`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn request(&mut self, now: Now, request: ReadRequest) -> Result<RequestId, Busy> {
        self.note(Call::Any("request"), now);
        self.inner.request(now, request)
    }

    /// See [`mysa_session::Session::write_settings`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write_settings(&mut self, now: Now, write: SettingsWrite) -> Result<RequestId, Busy> {
        self.note(Call::Any("write_settings"), now);
        self.inner.write_settings(now, write)
    }

    /// See [`mysa_session::Session::describe_thing`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn describe_thing(&mut self, now: Now, device: DeviceId) -> Result<RequestId, Busy> {
        self.note(Call::Any("describe_thing"), now);
        self.inner.describe_thing(now, device)
    }

    /// See [`mysa_session::Session::assume_devices`].
    pub fn assume_devices(
        &mut self,
        now: Now,
        known: impl IntoIterator<Item = (DeviceId, Model, Option<String>)>,
    ) {
        self.note(Call::Any("assume_devices"), now);
        self.inner.assume_devices(now, known);
    }

    /// See [`mysa_session::Session::network_changed`].
    pub fn network_changed(&mut self, now: Now) {
        self.note(Call::Any("network_changed"), now);
        self.inner.network_changed(now);
    }

    /// See [`mysa_session::Session::shutdown`].
    pub fn shutdown(&mut self, now: Now) {
        self.note(Call::Any("shutdown"), now);
        self.ledger.lock().shut_down();
        self.inner.shutdown(now);
    }

    /// See [`mysa_session::Session::presign`].
    pub fn presign(&mut self, now: Now) -> Option<PresignedUrl> {
        self.note(Call::Any("presign"), now);
        self.inner.presign(now)
    }

    /// See [`mysa_session::Session::deferred_body`].
    pub fn deferred_body(&mut self, now: Now, id: HttpId) -> Option<Secret> {
        self.note(Call::Any("deferred_body"), now);
        self.ledger.lock().asks_body(id);
        let body = self.inner.deferred_body(now, id);
        self.ledger.lock().has_body(id, body.is_some());
        body
    }

    /// See [`mysa_session::Session::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.poll_io().or_else(|| self.poll_event().map(Output::Event))
    }

    /// See [`mysa_session::Session::poll_io`].
    pub fn poll_io(&mut self) -> Option<Output> {
        let mut record = self.ledger.lock();
        let output = self.inner.poll_io();
        match &output {
            Some(output) => {
                record.took(output);
                if let Output::Http(request) = output
                    && matches!(request.body, HttpBody::Deferred)
                {
                    self.deferred.push(request.id);
                }
            }
            None => record.drained(due(self.inner.poll_timeout())),
        }
        output
    }

    /// See [`mysa_session::Session::poll_event`].
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.inner.poll_event()?;
        self.ledger.lock().took_event(&event);
        Some(event)
    }
}

fn due(deadline: Option<Deadline>) -> Option<Duration> {
    deadline.filter(|deadline| deadline.wake != Wake::Output).map(|deadline| deadline.at)
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut record = self.ledger.lock();
        record.dropped();
        let unread = !record.read && !record.violations.is_empty() && !thread::panicking();
        let text = report(&record.violations);
        drop(record);
        assert!(!unread, "{text}");
    }
}
