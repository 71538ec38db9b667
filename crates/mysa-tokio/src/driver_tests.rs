//! Tests of the driver over pipes in memory, on tokio's paused clock: an hour takes a moment, and nothing depends on
//! the speed of the machine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use mysa_conformance::{Ledger, Rule};
use mysa_proto::{Celsius, Mode, Model};
use mysa_session::{Environment, Expired, Refused, Settings, Start};
use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};
use mysa_testkit::{BrokerBehavior, BrokerConnection, Received, V2Status};
use time::OffsetDateTime;
use tokio::io::DuplexStream;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response as Upgrade};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use futures_util::{SinkExt as _, StreamExt as _};

use super::*;
use crate::client::Client;
use crate::events::Events;
use crate::monitor::Monitor;

#[path = "driver_store_tests.rs"]
mod store;

const KITCHEN: &str = "a0b1c2d3e4f6";

/// Client of one thermostat with a captured URL, and the peers' ends of its connections. At its end, the driver must have
/// kept the rules of the run loop.
struct Harness {
    client: Client,
    peers: mpsc::UnboundedReceiver<DuplexStream>,
    suspended: Arc<Mutex<Duration>>,
    ledger: Ledger,
}

impl Drop for Harness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut violations = self.ledger.violations();
        // Nobody is on time in a suspend.
        if !self.suspended.lock().expect("no panic").is_zero() {
            violations.retain(|violation| !matches!(violation.rule, Rule::Deadline | Rule::Output));
        }
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

fn kitchen() -> DeviceId {
    DeviceId::new(KITCHEN).expect("an id")
}

fn captured() -> PresignedUrl {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token"));
    let authority = Authority::new("broker.example.org", None).expect("a host");
    let now = OffsetDateTime::from_unix_timestamp(1_767_323_045).expect("a time");
    Presigner::iot("us-east-1")
        .presign(&credentials, &authority, "/mqtt", now, Some(86_400), TokenRule::AfterSigning)
        .expect("a URL")
}

/// Driver that does not run, and what its harness needs of it.
struct Parts {
    driver: Driver,
    to_driver: mpsc::Sender<crate::driver::Request>,
    peers: mpsc::UnboundedReceiver<DuplexStream>,
    suspended: Arc<Mutex<Duration>>,
    ledger: Ledger,
}

impl Parts {
    fn new() -> Self {
        let start = Start::Captured { url: captured(), devices: vec![(kitchen(), Model::parse("BB-V2-0"))] };
        Self::with(start, None)
    }

    fn with(start: Start, token_file: Option<TokenFile>) -> Self {
        let (to_peers, peers) = mpsc::unbounded_channel();
        let suspended = Arc::default();
        let clock = Clock::paused(&suspended);
        let session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], clock.now());
        let ledger = session.ledger();
        let reference = clock.clone();
        ledger.set_clock(move || reference.now().mono);
        ledger.set_lateness(LONGEST_SLEEP);
        let gauges = Gauges::default();
        let shared = Arc::new(Shared::new(&session, None, gauges.clone(), clock.clone()));
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let connector = Connector::in_memory(to_peers, gauges.sockets.clone());
        let transport = Transport::new(connector, Arc::new(tls), gauges);
        let (to_driver, requests) = mpsc::channel(64);
        let driver = Driver::new(session, clock, transport, token_file, shared, requests);
        Self { driver, to_driver, peers, suspended, ledger }
    }
}

impl Harness {
    fn start() -> Self {
        Self::run(Parts::new())
    }

    fn run(Parts { driver, to_driver, peers, suspended, ledger }: Parts) -> Self {
        let client = Client::new(Monitor::new(Arc::clone(&driver.shared), to_driver));
        tokio::spawn(driver.run());
        Self { client, peers, suspended, ledger }
    }

    async fn accept(&mut self) -> Broker {
        let stream = self.peers.recv().await.expect("the client keeps running");
        Broker::accept(stream, &self.ledger).await.expect("an upgrade")
    }
}

/// Broker that grants and acknowledges everything, behind a WebSocket.
struct Broker {
    socket: WebSocketStream<DuplexStream>,
    mqtt: BrokerConnection,
    /// Path and query of the upgrade, by which the ledger knows the connection.
    target: String,
    ledger: Ledger,
}

impl Broker {
    async fn accept(stream: DuplexStream, ledger: &Ledger) -> Option<Self> {
        let mut target = String::new();
        #[expect(clippy::result_large_err, reason = "the library requires this signature")]
        let mqtt = |request: &Request, mut answer: Upgrade| -> Result<Upgrade, ErrorResponse> {
            target = request.uri().to_string();
            answer.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
            Ok(answer)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, mqtt).await.ok()?;
        Some(Self { socket, mqtt: BrokerConnection::new(), target, ledger: ledger.clone() })
    }

    /// Answers until the subscription is granted.
    async fn grant(&mut self) -> Option<()> {
        while !matches!(self.answer().await?[..], [.., Received::Subscribe { .. }]) {}
        Some(())
    }

    /// Answers until a ping is answered.
    async fn pong(&mut self) -> Option<()> {
        while !matches!(self.answer().await?[..], [.., Received::PingReq]) {}
        Some(())
    }

    /// Answers the packets of one frame, and returns them.
    async fn answer(&mut self) -> Option<Vec<Received>> {
        let Some(Ok(Message::Binary(frame))) = self.socket.next().await else { return None };
        self.ledger.peer_received(&self.target, &frame);
        let exchange = self.mqtt.receive(&BrokerBehavior::default(), &frame);
        if !exchange.reply.is_empty() {
            self.send(exchange.reply).await?;
        }
        Some(exchange.received)
    }

    /// Sends a status of the thermostat.
    async fn status(&mut self, time: i64) -> Option<()> {
        let status = V2Status { setpoint: 21.5, ..V2Status::new(KITCHEN, time) };
        let topic = format!("/v1/dev/{KITCHEN}/out");
        self.send(mysa_testkit::publish(&topic, status.to_string().as_bytes())).await
    }

    async fn send(&mut self, packets: Vec<u8>) -> Option<()> {
        self.ledger.peer_sent(&self.target, &packets);
        self.socket.send(Message::Binary(packets.into())).await.ok()
    }

    /// Sends pings for as long as the client reads them, and reads nothing.
    async fn flood(self) {
        // The pings bypass the WebSocket, which would read the answers while it writes.
        let mut stream = self.socket.into_inner();
        let ping = [&[0x89, 125][..], &[b'x'; 125]].concat();
        while tokio::io::AsyncWriteExt::write_all(&mut stream, &ping).await.is_ok() {
            // Lets virtual time pass.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_brokers_that_never_read_uses_two_sockets_and_bounded_memory() {
    let mut harness = Harness::start();
    let client = harness.client.clone();
    let commands = tokio::spawn({
        let client = client.clone();
        async move {
            for degrees in [18.0, 22.0].into_iter().cycle() {
                let setpoint = Celsius::from_degrees(degrees).expect("a temperature");
                let Ok(verdict) = client.set_setpoint(&kitchen(), setpoint).await else { return };
                assert!(!verdict.is_confirmed(), "{verdict}");
                // Once the session considers the account read-only, verdicts arrive at once.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    });
    let dialled = AtomicU32::new(0);
    let brokers = async {
        while let Some(stream) = harness.peers.recv().await {
            let ledger = harness.ledger.clone();
            tokio::spawn(async move {
                let mut broker = Broker::accept(stream, &ledger).await?;
                broker.grant().await?;
                broker.flood().await;
                Some(())
            });
            dialled.fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut most = crate::Resources::default();
    let watch = async {
        for _ in 0..3_600 * 4 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let now = client.resources();
            most.sockets = most.sockets.max(now.sockets);
            most.tasks = most.tasks.max(now.tasks);
            most.bytes_to_send = most.bytes_to_send.max(now.bytes_to_send);
            most.bytes_received = most.bytes_received.max(now.bytes_received);
        }
    };
    tokio::select! {
        () = brokers => panic!("the client has ended"),
        () = watch => {}
    }
    let dialled = dialled.load(Ordering::Relaxed);
    assert!(
        (40..400).contains(&dialled),
        "the connection is given up and dialled again, but not in a loop: {dialled}"
    );
    assert!(most.sockets <= 2 && most.tasks <= 2, "{most:?}");
    assert!(most.bytes_to_send <= 4 * 1_024 && most.bytes_received <= 1_024, "{most:?}");
    let began = tokio::time::Instant::now();
    client.shutdown().await;
    assert!(began.elapsed() <= Duration::from_secs(2), "{:?}", began.elapsed());
    commands.await.expect("no panic");
    assert_eq!(client.resources(), crate::Resources::default());
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_time_passed_in_a_suspend_expires_unsent_soon_after_it() {
    let mut harness = Harness::start();
    let client = harness.client.clone();
    let change = client.set_setpoint(&kitchen(), Celsius::from_degrees(21.0).expect("a temperature"));
    let command = tokio::spawn(change.deadline(Duration::from_secs(600)).into_future());
    // The upgrade is never answered, so the command waits.
    let silent = harness.peers.recv().await.expect("a dial");
    tokio::time::sleep(Duration::from_secs(1)).await;
    *harness.suspended.lock().expect("no panic") += Duration::from_secs(8 * 3_600);
    let resumed = tokio::time::Instant::now();
    let verdict = command.await.expect("no panic").expect("a verdict");
    assert_eq!(verdict, Verdict::Expired(Expired::Deadline));
    assert!(resumed.elapsed() <= Duration::from_secs(15), "{:?}", resumed.elapsed());
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_suspend_is_noticed_while_live_though_no_timer_is_due() {
    let mut harness = Harness::start();
    let mut broker = harness.accept().await;
    broker.grant().await.expect("a subscription");
    // A ping is answered and its time limit is over: nothing is due for half a minute.
    broker.pong().await.expect("a connection");
    assert!(harness.client.is_live());
    tokio::time::sleep(Duration::from_secs(12)).await;
    *harness.suspended.lock().expect("no panic") += Duration::from_secs(8 * 3_600);
    let resumed = tokio::time::Instant::now();
    // The connection is tested at once, or replaced: the client must do either.
    tokio::select! {
        _ = broker.answer() => {}
        _ = harness.peers.recv() => {}
    }
    assert!(resumed.elapsed() <= Duration::from_secs(15), "{:?}", resumed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn disconnect_is_sent_before_the_closing_frame() {
    let mut harness = Harness::start();
    let mut broker = harness.accept().await;
    broker.grant().await.expect("a subscription");
    let client = harness.client.clone();
    let shutdown = tokio::spawn(async move { client.shutdown().await });
    let mut received = Vec::new();
    while let Some(Ok(message)) = broker.socket.next().await {
        received.push(message);
    }
    shutdown.await.expect("no panic");
    let [.., Message::Binary(last), Message::Close(Some(_))] = &received[..] else { panic!("{received:?}") };
    assert!(last.ends_with(&[0xe0, 0]), "DISCONNECT precedes the closing frame: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn an_aborted_client_ends_at_once_and_says_nothing_more() {
    let mut harness = Harness::start();
    let mut broker = harness.accept().await;
    broker.grant().await.expect("a subscription");
    let client = harness.client.clone();
    let began = tokio::time::Instant::now();
    client.abort().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(client.resources(), crate::Resources::default());
    // Neither DISCONNECT nor a closing frame.
    let rest = broker.socket.next().await;
    assert!(matches!(rest, None | Some(Err(_))), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn the_commands_of_an_aborted_client_have_verdicts() {
    let mut harness = Harness::start();
    let mut broker = harness.accept().await;
    broker.grant().await.expect("a subscription");
    let client = harness.client.clone();
    let command = client.set_setpoint(&kitchen(), Celsius::from_degrees(21.0).expect("a temperature"));
    let command = tokio::spawn(command.into_future());
    // The command has reached the broker, which does not answer it.
    let Some(Ok(Message::Binary(publish))) = broker.socket.next().await else { panic!("no command") };
    assert!(publish.windows(3).any(|part| part == b"/in"), "{publish:?}");
    client.abort().await;
    let verdict = command.await.expect("no panic").expect("a verdict");
    assert!(matches!(verdict, Verdict::Unconfirmed { .. }), "{verdict}");
}

/// A request of a session, with its body deferred.
fn deferred_request() -> HttpRequest {
    let start = Start::Password { username: "ann@example.org".into(), password: Secret::from("secret") };
    let now = Clock::paused(&Arc::default()).now();
    let mut session =
        mysa_session::Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
    let mut outputs = std::iter::from_fn(|| session.poll_output());
    let request = outputs.find_map(|output| match output {
        Output::Http(request) => Some(request),
        _ => None,
    });
    let mut request = request.expect("a first request");
    request.body = mysa_session::HttpBody::Deferred;
    request
}

#[tokio::test(start_paused = true)]
async fn an_aborted_request_ends_its_connection_at_once() {
    let Parts { mut driver, mut peers, .. } = Parts::new();
    let begin = tokio::time::Instant::now();
    let request = deferred_request();
    let id = request.id;
    driver.exchange(request);
    let mut peer = peers.recv().await.expect("a connection");
    let Some(IoEvent::Connected(of, body)) = driver.from_tasks.recv().await else {
        panic!("no body is requested")
    };
    assert_eq!(of, id);
    body.send(Some(Secret::from("{}"))).expect("the task waits for it");
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n{}") {
        assert!(tokio::io::AsyncReadExt::read_buf(&mut peer, &mut received).await.expect("bytes") > 0);
    }
    driver.abort_exchange(id);
    let ended = driver.tasks.join_next_with_id().await.expect("a task");
    assert!(ended.is_err() && driver.subjects.is_empty());
    driver.task_ended(ended);
    assert_eq!(tokio::io::AsyncReadExt::read_buf(&mut peer, &mut received).await.expect("an end"), 0);
    assert_eq!(tokio::time::Instant::now(), begin, "nothing waited for a time limit");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_taken_after_its_last_time_expires_unsent() {
    let mut harness = Harness::start();
    let mut broker = harness.accept().await;
    broker.grant().await.expect("a subscription");
    let client = harness.client.clone();
    let last = client.elapsed() + Duration::from_secs(10);
    let command = client.set_setpoint(&kitchen(), Celsius::from_degrees(21.0).expect("a temperature"));
    let command = command.deadline(Duration::from_secs(600)).not_after(last);
    // The process is stopped between the decision to send and the hand-over.
    *harness.suspended.lock().expect("no panic") += Duration::from_secs(60);
    assert_eq!(command.await.expect("a verdict"), Verdict::Expired(Expired::Deadline));
    client.shutdown().await;
    while let Some(Ok(message)) = broker.socket.next().await {
        let Message::Binary(packet) = message else { continue };
        assert!(!packet.windows(3).any(|part| part == b"/in"), "{packet:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_command_is_encoded_for_a_connection_whose_peer_does_not_read() {
    let mut harness = Harness::start();
    let mut broker = harness.accept().await;
    broker.pong().await.expect("a connection");
    // Pongs fill the pipe, which is not read from now on.
    let mut stream = broker.socket.into_inner();
    let ping = [&[0x89, 125][..], &[b'x'; 125]].concat();
    for _ in 0..32 {
        tokio::io::AsyncWriteExt::write_all(&mut stream, &ping).await.expect("the client must read the ping");
    }
    let setpoint =
        harness.client.set_setpoint(&kitchen(), Celsius::from_degrees(21.0).expect("a temperature"));
    let first = tokio::spawn(setpoint.deadline(Duration::from_secs(6)).into_future());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(harness.client.resources().bytes_to_send > 0, "the packet must be stuck");
    let mode = harness.client.set_mode(&kitchen(), Mode::Off).deadline(Duration::from_secs(5)).await;
    assert_eq!(mode.expect("a verdict"), Verdict::Expired(Expired::Deadline));
    let first = first.await.expect("no panic").expect("a verdict");
    assert!(matches!(first, Verdict::Unconfirmed { .. }), "{first}");
    // A peer that reads again right after the verdict finds what was in the pipe, and nothing more.
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(30), read).await.expect("the connection must end");
    assert!(rest.len() <= 1_024, "{} bytes", rest.len());
}

#[tokio::test(start_paused = true)]
async fn a_thermostat_that_repeats_its_status_does_not_become_stale() {
    let mut harness = Harness::start();
    let mut broker = harness.accept().await;
    broker.grant().await.expect("a subscription");
    let mut ages = Vec::new();
    for minute in 1..4 {
        broker.status(1_767_323_045 + 60 * minute).await.expect("a connection");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let view = harness.client.state(&kitchen()).expect("a thermostat");
        assert_eq!(view.state.setpoint().map(|field| field.value), Celsius::from_degrees(21.5));
        ages.push((view.last_seen_ago, view.taken_at));
        let quiet = async { while broker.answer().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(59), quiet).await;
    }
    for (minute, (last_seen_ago, taken_at)) in ages.into_iter().enumerate() {
        assert_eq!((last_seen_ago, taken_at.as_secs()), (Some(Duration::ZERO), 60 * minute as u64));
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_has_one_verdict_each_even_if_futures_are_dropped() {
    let harness = Harness::start();
    let unknown = DeviceId::new("a0b1c2d3e4f7").expect("an id");
    let group = [kitchen(), unknown, kitchen()];
    let change = Change::setpoint(Celsius::from_degrees(21.0).expect("a temperature"));
    let mut many = harness.client.set_many(&group, change).deadline(Duration::from_secs(10));
    let _ = tokio::time::timeout(Duration::ZERO, many.next()).await;
    let (first, refused) = many.next().await.expect("two verdicts");
    assert_eq!((first, refused.expect("asked")), (unknown, Verdict::Refused(Refused::UnknownDevice)));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), many.next()).await.is_err(),
        "the second command must be undecided"
    );
    let (second, expired) = many.next().await.expect("one more");
    assert_eq!((second, expired.expect("asked")), (kitchen(), Verdict::Expired(Expired::Deadline)));
    assert!(many.next().await.is_none());

    harness.client.shutdown().await;
    let all = harness.client.set_many(&group, change).all().await;
    assert!(matches!(&all[..], [(_, Err(Error::Closed)), (_, Err(Error::Closed))]), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn a_preview_returns_the_message_or_the_refusal() {
    let harness = Harness::start();
    let unknown = DeviceId::new("a0b1c2d3e4f7").expect("an id");
    let setpoint = |degrees| Change::setpoint(Celsius::from_degrees(degrees).expect("a temperature"));
    let preview = harness.client.preview(&kitchen(), setpoint(20.3)).await.expect("a preview");
    assert_eq!(preview.change, setpoint(20.5), "the value is rounded to the thermostat's steps");
    assert!(preview.payload.contains("20.5"), "{}", preview.payload);
    let refused = harness.client.preview(&unknown, setpoint(20.3)).await;
    assert!(matches!(refused, Err(Error::Refused(Refused::UnknownDevice))), "{refused:?}");
    harness.client.shutdown().await;
    let closed = harness.client.preview(&kitchen(), setpoint(20.3)).await;
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
}

/// Counts the allocations of a client for each of many statuses. `readers` streams deliver it, then the application looks at
/// the thermostat, and keeps that view until the next status if `keeps`.
fn allocations_of_a_status(readers: usize, keeps: bool) -> f64 {
    const STATUSES: u32 = 200;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let (harness, broker) = runtime.block_on(async {
        let mut harness = Harness::start();
        let mut broker = harness.accept().await;
        broker.grant().await.expect("a subscription");
        (harness, broker)
    });
    let Broker { socket, target, ledger, .. } = broker;
    let (mut stream, client) = (socket.into_inner(), harness.client.clone());
    // The frames are made beforehand, so that only the client allocates.
    let frames: Vec<Vec<u8>> = (0..2 * STATUSES)
        .map(|index| {
            let setpoint = 5.0 + f64::from(index % 50) / 2.0;
            let status =
                V2Status { setpoint, ..V2Status::new(KITCHEN, 1_767_323_045 + i64::from(index / 50)) };
            let publish =
                mysa_testkit::publish(&format!("/v1/dev/{KITCHEN}/out"), status.to_string().as_bytes());
            ledger.peer_sent(&target, &publish);
            let len = u16::try_from(publish.len()).expect("a short message");
            [&[0x82, 126][..], &len.to_be_bytes(), &publish].concat()
        })
        .collect();
    let mut streams: Vec<Events> = (0..readers).map(|_| client.events()).collect();
    let mut kept = None;
    let mut take = |frames: &[Vec<u8>]| {
        runtime.block_on(async {
            for frame in frames {
                tokio::io::AsyncWriteExt::write_all(&mut stream, frame).await.expect("a connection");
                for events in &mut streams {
                    while !matches!(events.next().await.expect("an event"), Event::Device { .. }) {}
                }
                let view = client.state(&kitchen()).expect("a thermostat");
                assert!(view.state.setpoint().is_some());
                kept = Some(view).filter(|_| keeps);
            }
        });
    };
    let (first, second) = frames.split_at(STATUSES as usize);
    take(first);
    let counted = allocation_counter::measure(|| take(second)).count_total;
    counted as f64 / f64::from(STATUSES)
}

#[test]
fn statuses_reach_the_application_without_allocations() {
    assert_eq!(allocations_of_a_status(1, false), 0.0);
    assert_eq!(allocations_of_a_status(3, false), 0.0, "streams share the snapshot");
}

#[test]
fn a_state_that_the_application_keeps_is_copied_once_for_each_change() {
    let counted = allocations_of_a_status(1, true);
    assert!((1.0..=4.0).contains(&counted), "{counted} allocations for each status");
    assert_eq!(allocations_of_a_status(3, true), counted, "streams share the snapshot");
}
