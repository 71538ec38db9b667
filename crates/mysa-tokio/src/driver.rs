use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::rest::{ReadRequest, SettingsWrite};
use mysa_proto::{Change, DeviceId, Model};
use mysa_session::{
    Busy, CommandId, ConnId, Diagnosis, Dial, Event, HttpAnswer, HttpFailure, HttpId, HttpRequest,
    HttpResult, Level, Output, Preview, Refused, RequestId, Response, Revocation, StoreResult, Verdict,
};
use mysa_sigv4::PresignedUrl;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_rustls::rustls::ClientConfig;

use crate::clock::Clock;
use crate::driven_session::Session;
use crate::error::Error;
use crate::log;
use crate::resources::Gauges;
use crate::snapshot::Shared;
use crate::store::{Ended, Store, Written};
use crate::token_file::{Saved, TokenFile};
use crate::transport::{
    CloseReason, Connector, DialFailure, HttpClient, HttpReply, Link, Outgoing, Received, close, dial, link,
    relay,
};

/// Request of a handle to the driver.
#[derive(Debug)]
pub(crate) enum Request {
    Command {
        device: DeviceId,
        change: Change,
        deadline: Option<Duration>,
        /// Time on the clock of the client after which nothing is sent.
        not_after: Option<Duration>,
        verdict: oneshot::Sender<Result<Verdict, Busy>>,
    },
    CommandMany {
        devices: Vec<DeviceId>,
        change: Change,
        deadline: Option<Duration>,
        verdicts: mpsc::UnboundedSender<(DeviceId, Result<Verdict, Error>)>,
    },
    AssumeDevices {
        known: Vec<(DeviceId, Model, Option<String>)>,
    },
    Preview {
        device: DeviceId,
        change: Change,
        preview: oneshot::Sender<Result<Preview, Refused>>,
    },
    Read {
        request: ReadRequest,
        response: oneshot::Sender<Result<Response, Error>>,
    },
    DescribeThing {
        device: DeviceId,
        response: oneshot::Sender<Result<Response, Error>>,
    },
    WriteSettings {
        write: SettingsWrite,
        response: oneshot::Sender<Result<Response, Error>>,
    },
    AnswerChallenge {
        answer: Secret,
    },
    Presign {
        url: oneshot::Sender<PresignedUrl>,
    },
    Diagnose {
        diagnosis: oneshot::Sender<Diagnosis>,
    },
    SignOut {
        revoked: oneshot::Sender<Revocation>,
    },
    Shutdown,
    Abort,
}

/// Report of a running task that holds a socket.
#[derive(Debug)]
enum IoEvent {
    /// The connection for a request is established, and its body is needed.
    Connected(HttpId, oneshot::Sender<Option<Secret>>),
    Opened(ConnId),
    Received(ConnId, Received),
    Closed(ConnId),
}

/// Report of a task at its end.
enum Outcome {
    Http(HttpId, Result<HttpReply, HttpFailure>),
    Refused(ConnId, DialFailure),
    /// The connection has ended, and its end was reported if necessary.
    Gone,
}

/// Purpose of a task.
enum Subject {
    Http(HttpId, AbortHandle),
    Connection(ConnId),
}

/// Receiver of the verdict on a command.
enum Waiter {
    One(oneshot::Sender<Result<Verdict, Busy>>),
    Many(mpsc::UnboundedSender<(DeviceId, Result<Verdict, Error>)>),
}

/// Connection as seen by the driver.
struct Connection {
    link: Link,
    /// `true` if it was reported to the session that bytes wait to be written.
    blocked: bool,
}

/// Loop between one session and the network. It moves bytes, keeps the time, and decides nothing.
pub(crate) struct Driver {
    session: Session,
    clock: Clock,
    transport: Transport,
    /// Token file, if there is one.
    store: Option<Store>,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    to_driver: mpsc::Sender<IoEvent>,
    from_tasks: mpsc::Receiver<IoEvent>,
    /// Tasks that hold a socket, and their purpose. They end with the driver.
    tasks: JoinSet<Outcome>,
    subjects: BTreeMap<Id, Subject>,
    connections: BTreeMap<ConnId, Connection>,
    /// Notified when a connection has written everything.
    written: Arc<Notify>,
    /// Number of inputs of the session, each of which may change its state.
    revision: u64,
    verdicts: BTreeMap<CommandId, Waiter>,
    /// Time at which the driver ends after a sign-out, answered or not.
    leave_at: Option<tokio::time::Instant>,
    /// Receivers of the outcome of a sign-out.
    sign_outs: Vec<oneshot::Sender<Revocation>>,
    /// Outcome of the sign-out, published once the token file is removed: the program may end then.
    revoked: Option<Revocation>,
    signed_out: bool,
    responses: BTreeMap<RequestId, oneshot::Sender<Result<Response, Error>>>,
    /// Receivers of a presigned URL, waiting for credentials.
    presigns: Vec<oneshot::Sender<PresignedUrl>>,
}

/// Access to the network, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    pub(crate) http: HttpClient,
    pub(crate) connector: Connector,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) gauges: Gauges,
}

impl Transport {
    pub(crate) fn new(connector: Connector, tls: Arc<ClientConfig>, gauges: Gauges) -> Self {
        Self { http: HttpClient::new(connector.clone(), &tls), connector, tls, gauges }
    }
}

/// Maximum number of events of connections that wait for the driver; beyond it the connections wait.
const IO_EVENTS: usize = 64;
/// Longest sleep while deadlines matter. Timers of tokio use the monotonic clock, which stands still in suspend, while
/// deadlines use a clock that runs on. A sleep that spans a suspend therefore ends late by up to this much, and before
/// a resume nothing could be noticed anyway.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// Time limit for revoking the refresh token, and for removing the token file.
const SIGN_OUT_LIMIT: Duration = Duration::from_secs(10);
/// Time for which the end of the driver waits for the token file. Another process holds its lock for three seconds at most; a
/// disk may hang for ever.
const STORE_LIMIT: Duration = Duration::from_secs(10);

impl Driver {
    pub(crate) fn new(
        session: Session,
        clock: Clock,
        transport: Transport,
        token_file: Option<TokenFile>,
        shared: Arc<Shared>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let (to_driver, from_tasks) = mpsc::channel(IO_EVENTS);
        Self {
            session,
            clock,
            transport,
            store: token_file.map(Store::new),
            shared,
            requests,
            to_driver,
            from_tasks,
            tasks: JoinSet::new(),
            subjects: BTreeMap::new(),
            connections: BTreeMap::new(),
            written: Arc::default(),
            revision: 0,
            leave_at: None,
            sign_outs: Vec::new(),
            revoked: None,
            signed_out: false,
            verdicts: BTreeMap::new(),
            responses: BTreeMap::new(),
            presigns: Vec::new(),
        }
    }

    /// Runs until every handle is dropped, or one requests the end.
    pub(crate) async fn run(mut self) {
        loop {
            self.drain();
            if self.signed_out {
                break;
            }
            let sleep = self.sleep();
            tokio::select! {
                // Every branch is cancel-safe: whichever wins, the dropped futures of the others lose nothing.
                event = self.from_tasks.recv() => if let Some(event) = event { self.handle(event) },
                Some(ended) = self.tasks.join_next_with_id() => self.task_ended(ended),
                request = self.requests.recv() => match request {
                    // `None`: the last handle was dropped.
                    Some(Request::Shutdown) | None => break,
                    Some(Request::Abort) => {
                        self.abort_connections();
                        break;
                    }
                    Some(request) => self.handle_request(request),
                },
                () = sleep_for(sleep) => self.session.handle_timeout(self.clock.now()),
                () = sleep_until(self.leave_at) => break,
                ended = ended(&mut self.store) => self.store_ended(ended),
                () = self.written.notified() => {}
            }
        }
        self.session.shutdown(self.clock.now());
        self.drain();
        let store_until = tokio::time::Instant::now() + STORE_LIMIT;
        // Every command is decided now. HTTP requests that have not been sent yet must not be sent any more.
        for subject in self.subjects.values() {
            if let Subject::Http(_, task) = subject {
                task.abort();
            }
        }
        // Each connection sends DISCONNECT and completes the closing handshake within its own limit, which begins when its
        // task runs. A limit here would also end tasks that have not run yet, on a machine with little time for them.
        self.connections.clear();
        // Nothing reads events any more, so no task may wait for room. Closed after the links, because a connection that
        // cannot deliver what it read is aborted.
        self.from_tasks.close();
        while self.tasks.join_next().await.is_some() {}
        self.finish_store(store_until).await;
    }

    /// Waits for the writes of the token file, which the next start resumes from.
    async fn finish_store(&mut self, until: tokio::time::Instant) {
        while let Some(store) = self.store.as_mut().filter(|store| store.is_writing()) {
            let Ok(ended) = tokio::time::timeout_at(until, store.ended()).await else {
                // The thread goes on, and stores the newest session if the disk recovers.
                self.shared.note_store(Some(store.unfinished()));
                break;
            };
            self.store_ended(ended);
            // The session may store a newer token in place of the one it found.
            self.drain();
        }
        self.end_sign_out();
    }

    /// Returns the time to sleep without further input.
    fn sleep(&self) -> Option<Duration> {
        let due =
            self.session.poll_timeout().map(|deadline| deadline.at.saturating_sub(self.clock.now().mono));
        // With an open command or a live connection, a suspend must be noticed soon after the resume. Otherwise a late
        // wake-up costs nothing.
        let attentive = !self.verdicts.is_empty() || self.session.service().level <= Level::ReadOnly;
        if attentive { Some(due.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)) } else { due }
    }

    fn handle(&mut self, event: IoEvent) {
        let now = self.clock.now();
        match event {
            IoEvent::Connected(id, body) => drop(body.send(self.session.deferred_body(now, id))),
            IoEvent::Opened(conn) => {
                log::connection(conn, "WebSocket opened");
                self.session.handle_ws_opened(now, conn);
            }
            IoEvent::Received(conn, received) => self.session.handle_ws_bytes(now, conn, &received.bytes),
            IoEvent::Closed(conn) => self.closed(conn),
        }
    }

    fn closed(&mut self, conn: ConnId) {
        log::connection(conn, "WebSocket closed");
        self.connections.remove(&conn);
        self.session.handle_ws_closed(self.clock.now(), conn);
    }

    fn task_ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let subject = self.subjects.remove(&id);
        match (ended, subject) {
            (Ok((_, Outcome::Http(id, result))), _) => self.answered(id, result),
            (Ok((_, Outcome::Refused(conn, failure))), _) => self.refused(conn, &failure),
            (Ok((_, Outcome::Gone)), _) | (Err(_), None) => {}
            // A panicked task has printed its panic on stderr. The session treats it as a broken socket and continues.
            (Err(_), Some(Subject::Http(id, _))) => self.answered(id, Err(HttpFailure::Broken)),
            (Err(_), Some(Subject::Connection(conn))) => self.closed(conn),
        }
    }

    fn refused(&mut self, conn: ConnId, failure: &DialFailure) {
        self.connections.remove(&conn);
        let (status, date) = match failure {
            DialFailure::Refused { status, date } => (Some(*status), date.as_deref()),
            DialFailure::Untrusted | DialFailure::Unreachable => (None, None),
        };
        log::connection(conn, "WebSocket not opened");
        self.session.handle_ws_refused(self.clock.now(), conn, status, date);
    }

    fn answered(&mut self, id: HttpId, result: Result<HttpReply, HttpFailure>) {
        let result = match &result {
            Ok(reply) => HttpResult::Answer(HttpAnswer {
                status: reply.status,
                date: reply.date.as_deref(),
                age: reply.age.as_deref(),
                retry_after: reply.retry_after.as_deref(),
                location: reply.location.as_deref(),
                body: &reply.body,
            }),
            Err(failure) => HttpResult::Failed(*failure),
        };
        self.session.handle_http(self.clock.now(), id, result);
    }

    fn handle_request(&mut self, request: Request) {
        let now = self.clock.now();
        match request {
            Request::Command { device, change, deadline, not_after, verdict } => {
                let left = not_after.map(|not_after| not_after.saturating_sub(now.mono));
                let deadline = match (deadline, left) {
                    (Some(deadline), Some(left)) => Some(deadline.min(left)),
                    (deadline, left) => deadline.or(left),
                };
                match self.session.command(now, device, change, deadline) {
                    Ok(id) => drop(self.verdicts.insert(id, Waiter::One(verdict))),
                    Err(busy) => drop(verdict.send(Err(busy))),
                }
            }
            Request::CommandMany { devices, change, deadline, verdicts } => {
                match self.session.command_many(now, &devices, change, deadline) {
                    Ok(ids) => {
                        let waiters = ids.into_iter().map(|id| (id, Waiter::Many(verdicts.clone())));
                        self.verdicts.extend(waiters);
                    }
                    Err(Busy) => {
                        // Nothing was queued, so every thermostat of the group gets the same error.
                        for device in devices {
                            let _ = verdicts.send((device, Err(Error::Busy)));
                        }
                    }
                }
            }
            Request::AssumeDevices { known } => self.session.assume_devices(now, known),
            Request::Preview { device, change, preview } => {
                drop(preview.send(self.session.preview(now, device, change)));
            }
            Request::Read { request, response } => {
                let begun = self.session.request(now, request);
                self.await_response(begun, response);
            }
            Request::DescribeThing { device, response } => {
                let begun = self.session.describe_thing(now, device);
                self.await_response(begun, response);
            }
            Request::WriteSettings { write, response } => {
                let begun = self.session.write_settings(now, write);
                self.await_response(begun, response);
            }
            Request::AnswerChallenge { answer } => {
                // An answer to a challenge that has ended has no effect.
                let _ = self.session.answer_challenge(now, answer.expose());
            }
            Request::Presign { url } => {
                // Callers that gave up are dropped, so repeated calls with a timeout do not accumulate.
                self.presigns.retain(|waiting| !waiting.is_closed());
                self.presigns.push(url);
            }
            Request::Diagnose { diagnosis } => drop(diagnosis.send(self.session.diagnosis(now))),
            Request::SignOut { revoked } => {
                self.session.sign_out(now);
                self.sign_outs.push(revoked);
                // A second sign-out does not extend the time limit of the first.
                self.leave_at.get_or_insert_with(|| tokio::time::Instant::now() + SIGN_OUT_LIMIT);
            }
            Request::Shutdown | Request::Abort => {}
        }
    }

    /// Ends every connection with the bytes that it has not written, before the session can add some.
    fn abort_connections(&mut self) {
        for connection in std::mem::take(&mut self.connections).into_values() {
            connection.link.abort();
        }
        for subject in self.subjects.values() {
            if let Subject::Http(_, task) = subject {
                task.abort();
            }
        }
    }

    fn await_response(
        &mut self,
        begun: Result<RequestId, Busy>,
        response: oneshot::Sender<Result<Response, Error>>,
    ) {
        match begun {
            Ok(id) => drop(self.responses.insert(id, response)),
            Err(Busy) => drop(response.send(Err(Error::Busy))),
        }
    }

    /// Performs everything the session asks for, the network first. Events are taken at once too, since commands and
    /// requests wait for theirs; a slow reader of [`Events`](crate::Events) has its own bounded queue, which
    /// delays nothing else.
    fn drain(&mut self) {
        self.presign();
        while self.work() || self.report_blocked() {}
        if !self.store.as_ref().is_some_and(Store::is_writing) {
            self.end_sign_out();
        }
        self.shared.refresh_last_seen(&self.session, self.clock.now().mono, self.revision);
        // Waiters are woken last, because a partial list of thermostats is of no use to them.
        self.shared.announce();
    }

    /// Performs what the session asks for. Returns `false` if there was nothing.
    fn work(&mut self) -> bool {
        let mut any = false;
        self.revision += 1;
        // Handling an output may produce further ones, so the queue is drained until it is empty.
        while let Some(output) = self.session.poll_output() {
            any = true;
            match output {
                Output::Http(request) => self.exchange(request),
                Output::Dial(target) => self.dial(target),
                Output::Send { conn, bytes } => self.send(conn, bytes.into()),
                Output::Close { conn } => drop(self.connections.remove(&conn)),
                Output::Abort { conn } => {
                    if let Some(connection) = self.connections.remove(&conn) {
                        connection.link.abort();
                    }
                }
                Output::AbortHttp { id } => self.abort_exchange(id),
                Output::Store(stored) => {
                    self.shared.set_stored(Some(stored.clone()));
                    match &mut self.store {
                        Some(store) => store.save(stored),
                        None => self.stored(StoreResult::Stored),
                    }
                }
                Output::Forget => {
                    self.shared.set_stored(None);
                    if let Some(store) = &mut self.store {
                        store.remove();
                    }
                }
                Output::Load => match &mut self.store {
                    Some(store) => store.load(),
                    None => self.loaded(None),
                },
                Output::Event(Event::SignedOut { revoked }) => {
                    self.revoked = self.revoked.or(Some(revoked));
                }
                Output::Event(event) => self.publish(event),
            }
        }
        any
    }

    /// Reports connections that became blocked or unblocked to the session. Returns `false` if none did.
    fn report_blocked(&mut self) -> bool {
        let mut changed = Vec::new();
        for (conn, connection) in &mut self.connections {
            let blocked = connection.link.is_blocked();
            if std::mem::replace(&mut connection.blocked, blocked) != blocked {
                changed.push((*conn, blocked));
            }
        }
        for (conn, blocked) in &changed {
            // While a connection is blocked, the session encodes no commands for it: bytes queued here could not be
            // withdrawn.
            self.session.handle_ws_blocked(self.clock.now(), *conn, *blocked);
        }
        !changed.is_empty()
    }

    /// Handles the end of operations on the token file.
    fn store_ended(&mut self, Ended { loaded, written }: Ended) {
        if let Some(loaded) = loaded {
            let kept = loaded.unwrap_or_else(|error| {
                self.shared.note_store(Some(error));
                None
            });
            self.loaded(kept);
        }
        match written {
            Some(Written::Saved(saved)) => {
                let (result, failure) = match saved {
                    Ok(Saved::Written) => (StoreResult::Stored, None),
                    Ok(Saved::NewerKept(kept)) => (StoreResult::Newer(kept), None),
                    Err(error) => (StoreResult::Failed, Some(error)),
                };
                self.shared.note_store(failure);
                self.stored(result);
            }
            Some(Written::Removed(removed)) => self.shared.note_store(removed.err()),
            None => {}
        }
    }

    fn stored(&mut self, result: StoreResult) {
        self.session.handle_store_result(self.clock.now(), result);
        self.revision += 1;
    }

    fn loaded(&mut self, kept: Option<StoredSession>) {
        self.session.handle_stored(self.clock.now(), kept);
        self.revision += 1;
    }

    /// Publishes the outcome of a sign-out, if there is one.
    fn end_sign_out(&mut self) {
        if let Some(revoked) = self.revoked.take() {
            self.publish(Event::SignedOut { revoked });
        }
    }

    fn presign(&mut self) {
        if self.presigns.is_empty() {
            return;
        }
        let Some(url) = self.session.presign(self.clock.now()) else { return };
        for waiting in self.presigns.drain(..) {
            let _ = waiting.send(url.clone());
        }
    }

    /// Publishes the event to every handle before its requester is answered, so the requester sees the new state.
    fn publish(&mut self, event: Event) {
        // A response belongs to its caller; other readers of events have no use for it.
        if !matches!(event, Event::Response { .. }) {
            self.shared.publish(&self.session, self.clock.now().mono, self.revision, &event);
        }
        log::event(&event);
        match event {
            Event::Verdict { id, device, verdict } => match self.verdicts.remove(&id) {
                Some(Waiter::One(waiting)) => drop(waiting.send(Ok(verdict))),
                Some(Waiter::Many(waiting)) => drop(waiting.send((device, Ok(verdict)))),
                None => {}
            },
            Event::Response { id, result } => {
                if let Some(waiting) = self.responses.remove(&id) {
                    let _ = waiting.send(result.map_err(Error::Request));
                }
            }
            Event::SignedOut { revoked } => {
                self.signed_out = true;
                for waiting in self.sign_outs.drain(..) {
                    let _ = waiting.send(revoked);
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        // A connection whose task has ended reports that itself.
        let Some(connection) = self.connections.get(&conn) else { return };
        if connection.link.send(bytes).is_err() {
            self.closed(conn);
            self.revision += 1;
        }
    }

    fn exchange(&mut self, request: HttpRequest) {
        let id = request.id;
        let http = self.transport.http.clone();
        // Counted until the task ends, even by an abort.
        let held = self.transport.gauges.tasks.hold(1);
        let to_driver = self.to_driver.clone();
        let task = self.tasks.spawn(async move {
            let _held = held;
            let body = async {
                let (answer, body) = oneshot::channel();
                to_driver.send(IoEvent::Connected(id, answer)).await.ok()?;
                body.await.ok()?
            };
            match http.send(request, body).await {
                Ok(Some(reply)) => Outcome::Http(id, Ok(reply)),
                Ok(None) => Outcome::Gone,
                Err(failure) => Outcome::Http(id, Err(failure)),
            }
        });
        self.subjects.insert(task.id(), Subject::Http(id, task));
    }

    /// Ends a request. Dropping its task resets the connection, which discards the bytes that have not left this host.
    fn abort_exchange(&mut self, id: HttpId) {
        self.subjects.retain(|_, subject| match subject {
            Subject::Http(of, task) if *of == id => {
                task.abort();
                false
            }
            Subject::Http(..) | Subject::Connection(_) => true,
        });
    }

    fn dial(&mut self, target: Dial) {
        let (conn, gauges) = (target.conn, &self.transport.gauges);
        let (link, outgoing) = link(&gauges.to_send, &self.written);
        self.connections.insert(conn, Connection { link, blocked: false });
        let held = gauges.tasks.hold(1);
        let (transport, to_driver) = (self.transport.clone(), self.to_driver.clone());
        let task = self.tasks.spawn(async move {
            let _held = held;
            connection(transport, target, outgoing, to_driver).await
        });
        self.subjects.insert(task.id(), Subject::Connection(conn));
    }
}

/// Runs one WebSocket from dialling to its end.
async fn connection(
    transport: Transport,
    target: Dial,
    outgoing: Outgoing,
    to_driver: mpsc::Sender<IoEvent>,
) -> Outcome {
    let conn = target.conn;
    let dialled = tokio::select! {
        dialled = dial(&transport.connector, &transport.tls, &target) => dialled,
        // Nothing is sent before the connection is open, so there is nothing to finish.
        _ = outgoing.ended() => return Outcome::Gone,
    };
    let socket = match dialled {
        Ok(socket) => socket,
        Err(failure) => return Outcome::Refused(conn, failure),
    };
    if to_driver.send(IoEvent::Opened(conn)).await.is_err() {
        return Outcome::Gone;
    }
    let wrap = |received| IoEvent::Received(conn, received);
    let (ending, sink, source) = relay(socket, &outgoing, &transport.gauges.received, &to_driver, wrap).await;
    // The driver knows about an end that it caused itself.
    if matches!(ending, CloseReason::ClosedByPeer | CloseReason::Broken) {
        let _ = to_driver.send(IoEvent::Closed(conn)).await;
    }
    close(ending, sink, source, &outgoing).await;
    Outcome::Gone
}

impl Drop for Driver {
    /// Wakes every waiter, however the loop ended, even with its runtime.
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Waits for the end of an operation on the token file. Never ends without a file.
async fn ended(store: &mut Option<Store>) -> Ended {
    match store {
        Some(store) => store.ended().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
