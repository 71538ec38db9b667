//! A session on smol: the same state machine on another runtime.
//!
//! `smol NAME DEGREES` requests a setpoint of a thermostat and prints the verdict.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_util::StreamExt as _;
use mysa_examples::{
    Account, Answer, Clock, Error, Input, SendBody, SetpointTask, refusal, request_bytes, upgrade,
};
use mysa_session::{Dial, Environment, HttpFailure, HttpRequest, Output, Session, Settings, StoreResult};
use rustix::net::sockopt::set_socket_linger;
use rustls::pki_types::ServerName;
use smol::channel::{self, Receiver, Sender};
use smol::future::FutureExt as _;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::TcpStream;
use smol::{Timer, future};
use tungstenite::Message;

#[derive(Clone)]
struct Network {
    account: Arc<Account>,
    tls: TlsConnector,
}

pub(crate) fn main() -> Result<(), Error> {
    smol::block_on(run())
}

async fn run() -> Result<(), Error> {
    let mut task = SetpointTask::from_args()?;
    let account = Arc::new(Account::from_env()?);
    let network = Network { tls: account.tls()?.into(), account };
    let (clock, mut seed) = (Clock::start(), [0; 32]);
    getrandom::fill(&mut seed)?;
    let mut session =
        Session::new(Settings::default(), Environment::mysa(), network.account.start(), seed, clock.now());
    let (to_session, inputs) = channel::bounded::<Input>(64);
    let (mut sockets, mut writes) = (HashMap::new(), HashMap::new());

    loop {
        while let Some(output) = session.poll_output() {
            let (network, to_session) = (network.clone(), to_session.clone());
            match output {
                Output::Http(request) => {
                    let (id, writes_later) = (request.id, request.body.ready().is_none());
                    let task = smol::spawn(async move {
                        let timeout = async {
                            Timer::after(request.timeout).await;
                            Err(HttpFailure::Timeout)
                        };
                        // A request that the session withdraws has no result to report.
                        let exchange = http(&network, &request, &to_session).or(timeout);
                        if let Some(result) = exchange.await.transpose() {
                            let _ = to_session.send(Input::Http(request.id, result)).await;
                        }
                    });
                    if writes_later {
                        writes.retain(|_, task: &mut smol::Task<()>| !task.is_finished());
                        writes.insert(id, task);
                    } else {
                        task.detach();
                    }
                }
                Output::Dial(dial) => {
                    // The session bounds the bytes queued for one connection.
                    let (to_socket, outgoing) = channel::unbounded();
                    let conn = dial.conn;
                    let task = smol::spawn(websocket(network, dial, to_session, outgoing));
                    sockets.insert(conn, (to_socket, task));
                }
                Output::Send { conn, bytes } => {
                    let _ = sockets.get(&conn).map(|(socket, _)| socket.try_send(bytes.into()));
                }
                // The task sends what is queued, and ends.
                Output::Close { conn } => {
                    if let Some((_, task)) = sockets.remove(&conn) {
                        task.detach();
                    }
                }
                // Dropping the task drops its socket.
                Output::Abort { conn } => drop(sockets.remove(&conn)),
                Output::AbortHttp { id } => drop(writes.remove(&id)),
                // A real program stores the session in a file, to resume without a password.
                Output::Store(_) => session.handle_store_result(clock.now(), StoreResult::Stored),
                Output::Forget => {}
                Output::Load => session.handle_stored(clock.now(), None),
                Output::Event(event) => {
                    if let Some(verdict) = task.take(&mut session, clock.now(), event)? {
                        println!("{verdict}");
                        return if verdict.is_confirmed() { Ok(()) } else { Err("not confirmed".into()) };
                    }
                }
            }
        }
        let input = async { inputs.recv().await.ok() };
        let due = async {
            Timer::after(clock.until_due(&session)).await;
            None
        };
        match input.or(due).await {
            Some(input) => input.give(&mut session, clock.now()),
            None => session.handle_timeout(clock.now()),
        }
    }
}

async fn connect(network: &Network, host: &str, port: u16) -> Result<TlsStream<TcpStream>, Error> {
    let (account, name) = (Arc::clone(&network.account), host.to_owned());
    // Name resolution blocks, so it runs on smol's thread pool.
    let address = smol::unblock(move || account.address(&name, port)).await?;
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    // Bytes that are unsent when a connection is given up must never be sent, because they may be an old command.
    set_socket_linger(&tcp, Some(Duration::ZERO))?;
    Ok(network.tls.connect(ServerName::try_from(host.to_owned())?, tcp).await?)
}

async fn http(
    network: &Network,
    request: &HttpRequest,
    to_session: &Sender<Input>,
) -> Result<Option<Answer>, HttpFailure> {
    let (host, _) = request_bytes(request, "").ok_or(HttpFailure::Unreachable)?;
    let mut stream = connect(network, host, 443).await.map_err(|_| HttpFailure::Unreachable)?;
    let deferred;
    let body = match request.body.ready() {
        Some(body) => body,
        None => {
            let (sender, body) = channel::bounded(1);
            let send = SendBody::new(move |body| drop(sender.try_send(body)));
            let connected = Input::Connected(request.id, send);
            to_session.send(connected).await.map_err(|_| HttpFailure::Unreachable)?;
            let Ok(Some(body)) = body.recv().await else { return Ok(None) };
            deferred = body;
            deferred.expose()
        }
    };
    let (_, bytes) = request_bytes(request, body).ok_or(HttpFailure::Unreachable)?;
    // From here on the request may have reached the service, and the session does not repeat what may have been done.
    stream.write_all(&bytes).await.map_err(|_| HttpFailure::Broken)?;
    stream.flush().await.map_err(|_| HttpFailure::Broken)?;
    let mut received = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = match stream.read(&mut part).await {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(_) => return Err(HttpFailure::Broken),
        };
        received.extend_from_slice(&part[..count]);
        match Answer::parse(&received, count == 0) {
            Some(answer) => return Ok(Some(answer)),
            None if count == 0 => return Err(HttpFailure::Broken),
            None => {}
        }
    }
}

async fn open(
    network: &Network,
    dial: &Dial,
) -> Result<(WebSocketStream<TlsStream<TcpStream>>, TcpStream), Input> {
    let refused = |(status, date)| Input::Refused(dial.conn, status, date);
    let dialling = async {
        let stream = connect(network, dial.authority.host(), dial.authority.port())
            .await
            .map_err(|_| refused((None, None)))?;
        let tcp = stream.get_ref().0.clone();
        let request = upgrade(dial).map_err(|_| refused((None, None)))?;
        let opened = async_tungstenite::client_async(request, stream).await;
        opened.map(|(socket, _)| (socket, tcp)).map_err(|error| refused(refusal(&error)))
    };
    let timeout = async {
        Timer::after(dial.timeout).await;
        Err(refused((None, None)))
    };
    dialling.or(timeout).await
}

async fn websocket(network: Network, dial: Dial, to_session: Sender<Input>, outgoing: Receiver<Vec<u8>>) {
    let conn = dial.conn;
    let (socket, tcp) = match open(&network, &dial).await {
        Ok(opened) => opened,
        Err(refused) => return drop(to_session.send(refused).await),
    };
    let _ = to_session.send(Input::Opened(conn)).await;
    let (mut sink, mut stream) = socket.split();
    let reading = async {
        while let Some(Ok(message)) = stream.next().await {
            match message {
                Message::Binary(bytes) => drop(to_session.send(Input::Bytes(conn, bytes.into())).await),
                // MQTT uses binary frames only [MQTT-6.0.0-1].
                Message::Text(_) => return,
                _ => {}
            }
        }
    };
    let writing = async {
        while let Ok(bytes) = outgoing.recv().await {
            if sink.send(Message::binary(bytes)).await.is_err() {
                return;
            }
        }
        // Without linger, the system sends what is written.
        let _ = set_socket_linger(&tcp, None);
        let _ = sink.close(None).await;
    };
    future::or(reading, writing).await;
    let _ = to_session.send(Input::Closed(conn)).await;
}
