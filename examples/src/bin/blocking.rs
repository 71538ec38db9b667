//! A session on threads, with std, rustls and tungstenite, and without a runtime.
//!
//! `blocking NAME DEGREES` requests a setpoint of a thermostat and prints the verdict. One thread holds the session;
//! each HTTP request and each WebSocket has its own. Writing blocks, so a peer that accepts nothing for a second loses its
//! connection, in place of a report by `handle_ws_blocked`.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mysa_examples::{
    Account, Answer, Clock, Error, Input, SendBody, SetpointTask, refusal, request_bytes, upgrade,
};
use mysa_session::{Dial, Environment, HttpFailure, HttpRequest, Output, Session, Settings, StoreResult};
use rustix::net::sockopt::set_socket_linger;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tungstenite::Message;

#[derive(Clone)]
struct Network {
    account: Account,
    tls: Arc<ClientConfig>,
}

pub(crate) fn main() -> Result<(), Error> {
    let mut task = SetpointTask::from_args()?;
    let account = Account::from_env()?;
    let network = Network { tls: account.tls()?, account };
    let (clock, mut seed) = (Clock::start(), [0; 32]);
    getrandom::fill(&mut seed)?;
    let mut session =
        Session::new(Settings::default(), Environment::mysa(), network.account.start(), seed, clock.now());
    let (to_session, inputs) = mpsc::channel::<Input>();
    let (mut sockets, mut requests) = (HashMap::new(), HashMap::new());

    loop {
        while let Some(output) = session.poll_output() {
            let (network, to_session) = (network.clone(), to_session.clone());
            match output {
                Output::Http(request) => {
                    let aborted = Arc::new(AtomicBool::new(false));
                    requests.insert(request.id, Arc::clone(&aborted));
                    thread::spawn(move || http(&network, &request, &to_session, &aborted));
                }
                Output::Dial(dial) => {
                    let (to_socket, outgoing) = mpsc::channel();
                    let aborted = Arc::new(AtomicBool::new(false));
                    sockets.insert(dial.conn, (to_socket, Arc::clone(&aborted)));
                    thread::spawn(move || websocket(&network, &dial, &to_session, &outgoing, &aborted));
                }
                Output::Send { conn, bytes } => {
                    // A thread that has ended reports its closed socket itself.
                    let _ = sockets.get(&conn).map(|(socket, _)| socket.send(bytes.into()));
                }
                Output::Close { conn } => drop(sockets.remove(&conn)),
                Output::Abort { conn } => {
                    if let Some((_, aborted)) = sockets.remove(&conn) {
                        aborted.store(true, Ordering::Relaxed);
                    }
                }
                Output::AbortHttp { id } => {
                    if let Some(aborted) = requests.remove(&id) {
                        aborted.store(true, Ordering::Relaxed);
                    }
                }
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
        match inputs.recv_timeout(clock.until_due(&session)) {
            Ok(input) => {
                if let Input::Http(id, _) = &input {
                    requests.remove(id);
                }
                input.give(&mut session, clock.now());
            }
            Err(_) => session.handle_timeout(clock.now()),
        }
    }
}

fn connect(
    network: &Network,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Error> {
    let mut tcp = TcpStream::connect_timeout(&network.account.address(host, port)?, limit)?;
    // A thread that waits forever would never report its failure.
    tcp.set_read_timeout(Some(limit))?;
    tcp.set_nodelay(true)?;
    // Bytes that are unsent when a connection is given up must never be sent, because they may be an old command.
    set_socket_linger(&tcp, Some(Duration::ZERO))?;
    let mut connection =
        ClientConnection::new(Arc::clone(&network.tls), ServerName::try_from(host.to_owned())?)?;
    // The session gives the body of a command once it can be written at once, which is after the handshake.
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(connection, tcp))
}

fn http(network: &Network, request: &HttpRequest, to_session: &mpsc::Sender<Input>, aborted: &AtomicBool) {
    // A request that the session withdraws or aborts has no result to report.
    let Some(result) = exchange(network, request, to_session, aborted).transpose() else { return };
    let _ = to_session.send(Input::Http(request.id, result));
}

fn exchange(
    network: &Network,
    request: &HttpRequest,
    to_session: &mpsc::Sender<Input>,
    aborted: &AtomicBool,
) -> Result<Option<Answer>, HttpFailure> {
    let begun = Instant::now();
    let (host, _) = request_bytes(request, "").ok_or(HttpFailure::Unreachable)?;
    let mut stream = connect(network, host, 443, request.timeout).map_err(|_| HttpFailure::Unreachable)?;
    let deferred;
    let body = match request.body.ready() {
        Some(body) => body,
        None => {
            let (sender, body) = mpsc::channel();
            let send = SendBody::new(move |body| drop(sender.send(body)));
            to_session.send(Input::Connected(request.id, send)).map_err(|_| HttpFailure::Unreachable)?;
            let Ok(Some(body)) = body.recv() else { return Ok(None) };
            deferred = body;
            deferred.expose()
        }
    };
    let (_, bytes) = request_bytes(request, body).ok_or(HttpFailure::Unreachable)?;
    // From here on the request may have reached the service, and the session does not repeat what may have been done.
    stream.write_all(&bytes).map_err(|_| HttpFailure::Broken)?;
    // Reading returns from time to time, so that the request can be aborted and ends in time.
    let _ = stream.sock.set_read_timeout(Some(Duration::from_millis(20)));
    let mut received = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = match stream.read(&mut part) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if aborted.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                if begun.elapsed() > request.timeout {
                    return Err(HttpFailure::Timeout);
                }
                continue;
            }
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

fn websocket(
    network: &Network,
    dial: &Dial,
    to_session: &mpsc::Sender<Input>,
    outgoing: &mpsc::Receiver<Vec<u8>>,
    aborted: &AtomicBool,
) {
    let conn = dial.conn;
    let opened = || -> Result<_, (Option<u16>, Option<String>)> {
        let stream = connect(network, dial.authority.host(), dial.authority.port(), dial.timeout)
            .map_err(|_| (None, None))?;
        match tungstenite::client(upgrade(dial).map_err(|_| (None, None))?, stream) {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(refusal(&error)),
            Err(tungstenite::HandshakeError::Interrupted(_)) => Err((None, None)),
        }
    };
    let mut socket = match opened() {
        Ok(socket) => socket,
        Err((status, date)) => {
            let _ = to_session.send(Input::Refused(conn, status, date));
            return;
        }
    };
    // One thread reads and writes, so reading must return from time to time.
    let _ = socket.get_ref().sock.set_read_timeout(Some(Duration::from_millis(20)));
    let _ = socket.get_ref().sock.set_write_timeout(Some(Duration::from_secs(1)));
    let _ = to_session.send(Input::Opened(conn));
    loop {
        loop {
            if aborted.load(Ordering::Relaxed) {
                return;
            }
            match outgoing.try_recv() {
                Ok(bytes) => {
                    if socket.send(Message::binary(bytes)).is_err() {
                        let _ = to_session.send(Input::Closed(conn));
                        return;
                    }
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => {
                    // The session has closed the connection. Without linger, the system sends what is written.
                    let _ = set_socket_linger(&socket.get_ref().sock, None);
                    let _ = socket.close(None).and_then(|()| socket.flush());
                    return;
                }
            }
        }
        match socket.read() {
            Ok(Message::Binary(bytes)) => drop(to_session.send(Input::Bytes(conn, bytes.into()))),
            // MQTT uses binary frames only [MQTT-6.0.0-1].
            Ok(Message::Text(_)) => {
                let _ = to_session.send(Input::Closed(conn));
                return;
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => {
                let _ = to_session.send(Input::Closed(conn));
                return;
            }
        }
    }
}
