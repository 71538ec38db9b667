use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysa_proto::UnixTime;
use mysa_sim::{Closing, Cloud, CloudSpec, Now, Output};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use crate::accept::accept;
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::control;
use crate::error::StartError;
use crate::feed::{Events, Feed};
use crate::limits::Limits;
use crate::serve::serve;
use crate::signer::Rs256;

/// The simulated cloud behind one TLS listener that answers for every host of the real one.
///
/// Dropping it closes the listener and every connection.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) seed: u64,
    /// Address of the listener.
    pub(crate) address: SocketAddr,
    state: Mutex<State>,
    pub(crate) feed: Feed,
    /// The cloud's next deadline may have moved.
    moved: Notify,
    /// `true` while the broker reads its sockets.
    pub(crate) reading: watch::Sender<bool>,
}

pub(crate) struct State {
    pub(crate) cloud: Cloud,
    next_connection: u64,
    pub(crate) connections: HashMap<u64, Outgoing>,
}

impl State {
    fn deliver(&mut self, conn: u64, message: ToClient) {
        let Some(outgoing) = self.connections.get(&conn) else { return };
        // Full: the client does not read. Closed: the client is gone, and its own task reports that to the cloud.
        if outgoing.queue.try_send(message).is_err() {
            self.connections.remove(&conn);
        }
    }
}

/// Sending side to a client. Dropping it cuts the connection, even if a write is blocked.
pub(crate) struct Outgoing {
    queue: mpsc::Sender<ToClient>,
    _cut: watch::Sender<()>,
}

/// Receiving side of [`Outgoing`].
pub(crate) struct FromCloud {
    pub(crate) queue: mpsc::Receiver<ToClient>,
    pub(crate) cut: watch::Receiver<()>,
}

pub(crate) enum ToClient {
    Bytes(Vec<u8>),
    /// A close frame with this code, or without a code.
    Close(Option<u16>),
}

/// Maximum number of messages that wait for one client. A client that does not read is then cut.
const MAX_QUEUE: usize = 4_096;

impl Server {
    /// Starts to listen on a loopback address; port 0 selects a free one. `speed` is the number of virtual seconds per
    /// real second. The broker's time limits for clients grow by the same factor, since their clocks do not run faster.
    ///
    /// # Errors
    /// If the address is not a loopback address or is in use, or the certificate cannot be used.
    pub async fn start(
        address: SocketAddr,
        certificate: Certificate,
        spec: CloudSpec,
        seed: u64,
        speed: f64,
    ) -> Result<Self, StartError> {
        Self::start_with(address, certificate, spec, seed, speed, Limits::default()).await
    }

    /// Starts with the given limits, see [`Server::start`].
    ///
    /// # Errors
    /// If the address is not a loopback address or is in use, or the certificate cannot be used.
    pub async fn start_with(
        address: SocketAddr,
        certificate: Certificate,
        mut spec: CloudSpec,
        seed: u64,
        speed: f64,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let (chain, key) = certificate.into_parts();
        let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(StartError::Tls)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(StartError::Tls)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec(), b"x-amzn-http-ca".to_vec()];
        let (listener, address) = listen(address).await?;

        spec.rules.time_factor *= speed.max(1.0);
        let clock = Clock::start(speed);
        let cloud = Cloud::with_signer(spec, seed, now(&clock), Box::new(Rs256::new()));
        let state = Mutex::new(State { cloud, next_connection: 0, connections: HashMap::new() });
        let shared = Arc::new(Shared {
            clock,
            limits,
            seed,
            address,
            state,
            feed: Feed::default(),
            moved: Notify::new(),
            reading: watch::Sender::new(true),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_time(Arc::clone(&shared)));
        let (tls, served) = (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&shared));
        tasks.spawn(accept(listener, shared.limits.connections, move |stream, place| {
            serve(stream, tls.clone(), Arc::clone(&served), Arc::new(place))
        }));
        Ok(Self { address, shared, tasks })
    }

    /// Address of the listener.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls `visit` with the cloud, to read its state or to change it: press a button, add a fault.
    pub fn with_cloud<T>(&self, visit: impl FnOnce(&mut Cloud, Now) -> T) -> T {
        self.shared.visit(visit)
    }

    /// Moves the cloud's clock forward by `by` of virtual time, and handles everything that falls due in its order.
    ///
    /// Clocks of clients do not move, so the broker may disconnect a client for silence.
    pub fn advance(&self, by: Duration) {
        self.shared.advance(by);
    }

    /// Stops the cloud's clock. Thermostats and timers stand still until [`Server::advance`] or [`Server::resume`];
    /// requests are answered. Messages to and from thermostats take some of the cloud's time, so that none arrives.
    pub fn freeze(&self) {
        self.shared.set_frozen(true);
    }

    /// Lets the clock run again.
    pub fn resume(&self) {
        self.shared.set_frozen(false);
    }

    /// Follows everything that happens in the cloud from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared.record_events();
        Events { receiver: self.shared.feed.subscribe(None).1 }
    }

    /// Opens the control endpoint on a loopback address: HTTP and JSON, and a web page at `/`. Port 0 selects a free
    /// one. Returns its address. Any client that reaches it controls the cloud; requests of other web sites
    /// are refused.
    ///
    /// # Errors
    /// If the address is not a loopback address or is in use.
    pub async fn open_control(&mut self, address: SocketAddr) -> Result<SocketAddr, StartError> {
        let (listener, address) = listen(address).await?;
        self.shared.record_events();
        self.tasks.spawn(control::serve(listener, address, Arc::clone(&self.shared)));
        Ok(address)
    }

    /// Real time at which the virtual time is `at`; `None` while the clock stands still before it.
    pub(crate) fn real(&self, at: Duration) -> Option<std::time::Instant> {
        self.shared.clock.real(at)
    }

    /// Cuts every connection without a close frame, as a network failure does.
    pub fn cut_connections(&self) {
        self.shared.cut_connections();
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    if !address.ip().is_loopback() {
        return Err(StartError::NotLoopback(address));
    }
    let failed = |error| StartError::Bind(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cut_connections();
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held is reported by its task; the cloud itself stays valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocates the number of a new connection, and the queue from the cloud to it.
    pub(crate) fn announce(&self) -> (u64, FromCloud) {
        let (sender, queue) = mpsc::channel(MAX_QUEUE);
        let (cut_sender, cut) = watch::channel(());
        let mut state = self.lock();
        state.next_connection += 1;
        let conn = state.next_connection;
        state.connections.insert(conn, Outgoing { queue: sender, _cut: cut_sender });
        (conn, FromCloud { queue, cut })
    }

    pub(crate) fn record_events(&self) {
        self.visit(|cloud, _| cloud.record_events(true));
    }

    pub(crate) fn cut_connections(&self) {
        self.lock().connections.clear();
    }

    pub(crate) fn set_frozen(&self, is_frozen: bool) {
        self.clock.set_frozen(is_frozen);
        self.moved.notify_one();
    }

    /// Moves the clock forward and handles everything that falls due, each at its own time.
    pub(crate) fn advance(&self, by: Duration) {
        let target = self.clock.elapsed() + by;
        loop {
            let next = self.lock().cloud.poll_timeout().filter(|&at| at < target);
            self.clock.skip_to(next.unwrap_or(target));
            self.visit(|cloud, now| cloud.handle_timeout(now));
            if next.is_none() {
                return;
            }
        }
    }

    /// Passes one input to the cloud and delivers its outputs.
    pub(crate) fn visit<T>(&self, visit: impl FnOnce(&mut Cloud, Now) -> T) -> T {
        let mut state = self.lock();
        let answer = visit(&mut state.cloud, now(&self.clock));
        while let Some(output) = state.cloud.poll_output() {
            let (conn, message) = match output {
                Output::Send { conn, bytes } => (conn, ToClient::Bytes(bytes)),
                // No output follows it, so the client is removed when it has taken this.
                Output::Close { conn, closing: Closing::Frame(code) } => (conn, ToClient::Close(code)),
                Output::Close { conn, closing: Closing::Cut } => {
                    state.connections.remove(&conn);
                    continue;
                }
            };
            state.deliver(conn, message);
        }
        while let Some(event) = state.cloud.poll_event() {
            self.feed.publish(event);
        }
        let reads = state.cloud.is_reading();
        drop(state);
        self.reading.send_if_modified(|known| std::mem::replace(known, reads) != reads);
        self.moved.notify_one();
        answer
    }
}

pub(crate) fn now(clock: &Clock) -> Now {
    let mono = clock.elapsed();
    Now { mono, wall: UnixTime::from_millis(clock.unix_millis(mono)) }
}

async fn keep_time(shared: Arc<Shared>) {
    loop {
        let deadline = shared.lock().cloud.poll_timeout();
        match deadline.and_then(|at| shared.clock.real(at)) {
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => shared.visit(|cloud, now| cloud.handle_timeout(now)),
                    () = shared.moved.notified() => {}
                }
            }
            None => shared.moved.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use mysa_sim::{Fault, Window};
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::serve::relay;

    fn shared() -> Arc<Shared> {
        let clock = Clock::start(1.0);
        let cloud = Cloud::new(CloudSpec::demo(), 1, now(&clock));
        let state = Mutex::new(State { cloud, next_connection: 0, connections: HashMap::new() });
        let reading = watch::Sender::new(true);
        Arc::new(Shared {
            clock,
            limits: Limits::default(),
            seed: 1,
            address: ([127, 0, 0, 1], 0).into(),
            state,
            feed: Feed::default(),
            moved: Notify::new(),
            reading,
        })
    }

    /// A relay on a connection that the cloud does not know: any bytes make the cloud cut it.
    async fn relayed(shared: &Arc<Shared>) -> (u64, DuplexStream, JoinHandle<()>) {
        let (client, server) = duplex(64);
        let (conn, from_cloud) = shared.announce();
        let socket = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let shared = Arc::clone(shared);
        let task = tokio::spawn(async move { relay(socket, conn, from_cloud, &shared).await });
        (conn, client, task)
    }

    /// A masked binary frame of one byte.
    const FRAME: [u8; 7] = [0x82, 0x81, 0, 0, 0, 0, 0xc0];

    // The clock is paused: it moves only while every task waits, so the time limit ends when nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn a_broker_that_stops_reading_leaves_the_bytes_in_the_socket() {
        let shared = shared();
        let fault = Window::new(Duration::ZERO, Duration::MAX, Fault::StopReading);
        shared.visit(|cloud, _| cloud.add_fault(fault));
        let (_, mut client, mut task) = relayed(&shared).await;
        client.write_all(&FRAME).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), &mut task).await;
        assert!(early.is_err(), "nothing was read, so nobody was cut");
        shared.visit(|cloud, _| cloud.clear_faults());
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_can_be_cut() {
        let shared = shared();
        let (conn, client, task) = relayed(&shared).await;
        // More than the socket holds: the relay blocks in its write.
        shared.lock().deliver(conn, ToClient::Bytes(vec![0; 10_000]));
        tokio::task::yield_now().await;
        shared.lock().connections.remove(&conn);
        task.await.unwrap();
        drop(client);
    }

    #[tokio::test]
    async fn the_queue_of_a_client_that_reads_nothing_is_bounded() {
        let shared = shared();
        let (conn, _client, task) = relayed(&shared).await;
        for _ in 0..2 * MAX_QUEUE {
            shared.lock().deliver(conn, ToClient::Bytes(vec![0; 100]));
        }
        assert!(shared.lock().connections.is_empty());
        task.await.unwrap();
    }
}
