use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use mysa_cognito::{Secret, StoredSession};
use mysa_proto::rest::{ReadRequest, SettingsWrite};
use mysa_proto::{Change, DeviceId, UnixTime};
use mysa_session::{
    Busy, CommandId, ConnId, Diagnosis, Dial, Event, HttpAnswer, HttpFailure, HttpId, HttpRequest,
    HttpResult, Now, Output, RequestId, Response, Session, Verdict,
};
use mysa_sigv4::PresignedUrl;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ClientConfig;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::client::AskError;
use crate::shared::Shared;
use crate::token_file::{Loaded, TokenFile};
use crate::transport::{DialFailure, HttpClient, HttpReply, Route, WebSocket, dial};

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Ask {
    Command {
        device: DeviceId,
        change: Change,
        deadline: Option<Duration>,
        verdict: oneshot::Sender<Result<Verdict, Busy>>,
    },
    Request {
        request: ReadRequest,
        response: oneshot::Sender<Result<Response, AskError>>,
    },
    WriteSettings {
        write: SettingsWrite,
        response: oneshot::Sender<Result<Response, AskError>>,
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
    SignOut,
    Shutdown,
}

/// What the tasks that hold sockets tell the driver.
enum FromWorld {
    Http(HttpId, Result<HttpReply, HttpFailure>),
    Opened(ConnId),
    Refused(ConnId, DialFailure),
    Bytes(ConnId, bytes::Bytes),
    Closed(ConnId),
}

enum ToServer {
    Bytes(Vec<u8>),
    Close,
}

/// Both clocks of this host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = UnixTime::from_millis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX));
        Now { mono: self.origin.elapsed(), wall }
    }

    fn instant(self, mono: Duration) -> tokio::time::Instant {
        // A deadline too far for the clock is none: another input comes first.
        let far = self.origin + Duration::from_secs(86_400 * 365);
        self.origin.checked_add(mono).map_or(far, |at| at.min(far)).into()
    }
}

/// The loop between one session and the world. It moves bytes, keeps the time, and decides nothing.
pub(crate) struct Driver {
    session: Session,
    clock: Clock,
    transport: Transport,
    token_file: Option<TokenFile>,
    shared: Arc<Shared>,
    asks: mpsc::Receiver<Ask>,
    to_driver: mpsc::Sender<FromWorld>,
    from_world: mpsc::Receiver<FromWorld>,
    /// Every task that holds a socket. They end with the driver.
    tasks: JoinSet<()>,
    connections: BTreeMap<ConnId, mpsc::UnboundedSender<ToServer>>,
    verdicts: BTreeMap<CommandId, oneshot::Sender<Result<Verdict, Busy>>>,
    /// HTTP requests under way.
    exchanges: usize,
    /// Set once somebody signs out: when to end, answered or not.
    leave_at: Option<tokio::time::Instant>,
    responses: BTreeMap<RequestId, oneshot::Sender<Result<Response, AskError>>>,
    /// Who waits for something to sign a URL with.
    presigns: Vec<oneshot::Sender<PresignedUrl>>,
}

/// The way to the world, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    pub(crate) http: HttpClient,
    pub(crate) route: Route,
    pub(crate) tls: Arc<ClientConfig>,
}

/// Inputs from outside that may wait for the driver; then the sockets do.
const FROM_WORLD: usize = 64;
/// How long revoking the refresh token may take.
const SIGN_OUT_LIMIT: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(3);

impl Driver {
    pub(crate) fn new(
        session: Session,
        clock: Clock,
        transport: Transport,
        token_file: Option<TokenFile>,
        shared: Arc<Shared>,
        asks: mpsc::Receiver<Ask>,
    ) -> Self {
        let (to_driver, from_world) = mpsc::channel(FROM_WORLD);
        Self {
            session,
            clock,
            transport,
            token_file,
            shared,
            asks,
            to_driver,
            from_world,
            tasks: JoinSet::new(),
            connections: BTreeMap::new(),
            exchanges: 0,
            leave_at: None,
            verdicts: BTreeMap::new(),
            responses: BTreeMap::new(),
            presigns: Vec::new(),
        }
    }

    /// Runs until every handle is gone, or one asks for the end.
    pub(crate) async fn run(mut self) {
        loop {
            self.drain();
            if self.leave_at.is_some() && self.exchanges == 0 {
                break;
            }
            let deadline = self.session.poll_timeout().map(|deadline| self.clock.instant(deadline.at));
            tokio::select! {
                input = self.from_world.recv() => if let Some(input) = input { self.handle(input) },
                ask = self.asks.recv() => match ask {
                    Some(Ask::Shutdown) | None => break,
                    Some(ask) => self.ask(ask),
                },
                () = sleep_until(deadline) => self.session.handle_timeout(self.clock.now()),
                () = sleep_until(self.leave_at) => break,
                Some(_) = self.tasks.join_next() => {}
            }
        }
        self.session.shutdown(self.clock.now());
        self.drain();
        // The last words (DISCONNECT, the closing handshake) are given a moment to reach the wire.
        self.connections.clear();
        let goodbye = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(SHUTDOWN_LIMIT, goodbye).await;
    }

    fn handle(&mut self, input: FromWorld) {
        let now = self.clock.now();
        match input {
            FromWorld::Http(id, result) => self.answered(id, result),
            FromWorld::Opened(conn) => self.session.handle_ws_opened(now, conn),
            FromWorld::Refused(conn, failure) => {
                self.connections.remove(&conn);
                let (status, date) = match &failure {
                    DialFailure::Refused { status, date } => (Some(*status), date.as_deref()),
                    DialFailure::Untrusted | DialFailure::Unreachable => (None, None),
                };
                self.session.handle_ws_refused(now, conn, status, date);
            }
            FromWorld::Bytes(conn, bytes) => self.session.handle_ws_bytes(now, conn, &bytes),
            FromWorld::Closed(conn) => {
                self.connections.remove(&conn);
                self.session.handle_ws_closed(now, conn);
            }
        }
    }

    fn answered(&mut self, id: HttpId, result: Result<HttpReply, HttpFailure>) {
        self.exchanges -= 1;
        let result = match &result {
            Ok(reply) => HttpResult::Answer(HttpAnswer {
                status: reply.status,
                date: reply.date.as_deref(),
                age: reply.age.as_deref(),
                retry_after: reply.retry_after.as_deref(),
                body: &reply.body,
            }),
            Err(failure) => HttpResult::Failed(*failure),
        };
        self.session.handle_http(self.clock.now(), id, result);
    }

    fn ask(&mut self, ask: Ask) {
        let now = self.clock.now();
        match ask {
            Ask::Command { device, change, deadline, verdict } => {
                match self.session.command(now, device, change, deadline) {
                    Ok(id) => drop(self.verdicts.insert(id, verdict)),
                    Err(busy) => drop(verdict.send(Err(busy))),
                }
            }
            Ask::Request { request, response } => {
                let begun = self.session.request(now, request);
                self.await_response(begun, response);
            }
            Ask::WriteSettings { write, response } => {
                let begun = self.session.write_settings(now, write);
                self.await_response(begun, response);
            }
            Ask::AnswerChallenge { answer } => {
                // An answer to a challenge that has gone meanwhile changes nothing.
                let _ = self.session.answer_challenge(now, answer.expose());
            }
            Ask::Presign { url } => {
                self.presigns.retain(|waiting| !waiting.is_closed());
                self.presigns.push(url);
            }
            Ask::Diagnose { diagnosis } => drop(diagnosis.send(self.session.diagnosis(now))),
            Ask::SignOut => {
                self.session.sign_out(now);
                // The refresh token is revoked by a last exchange; then this is over.
                self.leave_at = Some(tokio::time::Instant::now() + SIGN_OUT_LIMIT);
            }
            Ask::Shutdown => {}
        }
    }

    fn await_response(
        &mut self,
        begun: Result<RequestId, Busy>,
        response: oneshot::Sender<Result<Response, AskError>>,
    ) {
        match begun {
            Ok(id) => drop(self.responses.insert(id, response)),
            Err(Busy) => drop(response.send(Err(AskError::Busy))),
        }
    }

    /// Does all that the session asks for, the network first. Events are taken at once too, since commands and requests
    /// wait for theirs; a slow reader of [`Events`](crate::Events) has a bounded queue of its own, which nobody waits on.
    fn drain(&mut self) {
        self.presign();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Http(request) => self.exchange(request),
                Output::Dial(target) => self.dial(target),
                Output::Send { conn, bytes } => self.tell(conn, ToServer::Bytes(bytes.into())),
                Output::Close { conn } => {
                    self.tell(conn, ToServer::Close);
                    self.connections.remove(&conn);
                }
                Output::Store(stored) => {
                    let result = self.token_file.as_ref().map(|file| file.save(&stored));
                    self.shared.note_store(result.and_then(Result::err));
                    self.shared.set_stored(Some(stored));
                }
                Output::Forget => {
                    let result = self.token_file.as_ref().map(TokenFile::remove);
                    self.shared.note_store(result.and_then(Result::err));
                    self.shared.set_stored(None);
                }
                Output::Load => {
                    let kept = self.kept();
                    self.session.handle_stored(self.clock.now(), kept);
                }
                Output::Event(event) => self.publish(event),
            }
        }
        // Only now: half a list of thermostats is of no use to who waits for it.
        self.shared.announce();
    }

    /// What the token file holds, if there is one.
    fn kept(&self) -> Option<StoredSession> {
        match self.token_file.as_ref()?.load() {
            Ok(Loaded::Session(stored)) => Some(*stored),
            Ok(Loaded::Nothing | Loaded::SetAside(_)) => None,
            Err(error) => {
                self.shared.note_store(Some(error));
                None
            }
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

    /// Shows the event to every handle before whoever asked for it is answered, and may look.
    fn publish(&mut self, event: Event) {
        if !matches!(event, Event::Response { .. }) {
            self.shared.publish(&self.session, self.clock.now().mono, &event);
        }
        match event {
            Event::Verdict { id, verdict, .. } => {
                if let Some(waiting) = self.verdicts.remove(&id) {
                    let _ = waiting.send(Ok(verdict));
                }
            }
            Event::Response { id, result } => {
                if let Some(waiting) = self.responses.remove(&id) {
                    let _ = waiting.send(result.map_err(AskError::Request));
                }
            }
            _ => {}
        }
    }

    fn tell(&self, conn: ConnId, what: ToServer) {
        // A connection whose task has ended reports that itself.
        if let Some(connection) = self.connections.get(&conn) {
            let _ = connection.send(what);
        }
    }

    fn exchange(&mut self, request: HttpRequest) {
        self.exchanges += 1;
        let (http, to_driver) = (self.transport.http.clone(), self.to_driver.clone());
        self.tasks.spawn(async move {
            let id = request.id;
            let result = http.send(request).await;
            let _ = to_driver.send(FromWorld::Http(id, result)).await;
        });
    }

    fn dial(&mut self, target: Dial) {
        let (to_connection, from_driver) = mpsc::unbounded_channel();
        self.connections.insert(target.conn, to_connection);
        let (transport, to_driver) = (self.transport.clone(), self.to_driver.clone());
        self.tasks.spawn(connection(transport, target, from_driver, to_driver));
    }
}

/// One WebSocket from dialling to its end.
async fn connection(
    transport: Transport,
    target: Dial,
    mut from_driver: mpsc::UnboundedReceiver<ToServer>,
    to_driver: mpsc::Sender<FromWorld>,
) {
    let conn = target.conn;
    let dialled = tokio::select! {
        dialled = dial(transport.route, &transport.tls, &target) => dialled,
        // Nothing is sent before the connection is open, so this is its end.
        _ = from_driver.recv() => return,
    };
    match dialled {
        Ok(socket) => {
            if to_driver.send(FromWorld::Opened(conn)).await.is_ok() {
                relay(socket, conn, from_driver, &to_driver).await;
                let _ = to_driver.send(FromWorld::Closed(conn)).await;
            }
        }
        Err(failure) => drop(to_driver.send(FromWorld::Refused(conn, failure)).await),
    }
}

impl Drop for Driver {
    /// However the loop ended, even with its runtime, nobody waits for it in vain.
    fn drop(&mut self) {
        self.shared.end();
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Carries bytes both ways until either side ends it.
async fn relay(
    mut socket: WebSocket,
    conn: ConnId,
    mut from_driver: mpsc::UnboundedReceiver<ToServer>,
    to_driver: &mpsc::Sender<FromWorld>,
) {
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if to_driver.send(FromWorld::Bytes(conn, bytes)).await.is_err() {
                        return;
                    }
                }
                // Text is no MQTT: the connection is of no further use.
                Some(Ok(Message::Text(_) | Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            word = from_driver.recv() => match word {
                Some(ToServer::Bytes(bytes)) => {
                    if socket.send(Message::Binary(bytes.into())).await.is_err() {
                        return;
                    }
                }
                Some(ToServer::Close) | None => {
                    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                    let _ = socket.close(Some(frame)).await;
                    return;
                }
            },
        }
    }
}
