//! Limits of the listener for slow clients, too many clients, and clients that do not read.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::sync::Arc;
use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_sim::{CloudSpec, Endpoint, EventKind, Fault, HttpFault, Names, Window};
use mysa_sim_server::{Authority, Certificate, Limits, Notice, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

struct Bench {
    server: Server,
    tls: TlsConnector,
}

impl Bench {
    async fn new(limits: Limits) -> Self {
        let certificate = Certificate::for_cloud(&Names::default()).unwrap();
        let authority = certificate.authority_pem().unwrap().to_owned();
        Self::trusting(&authority, certificate, limits).await
    }

    async fn trusting(authority: &str, certificate: Certificate, limits: Limits) -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        let mut spec = CloudSpec::demo();
        // Heaters are off for days in summer.
        spec.accounts[0].homes[0].weather.season = 0.0;
        let server = Server::start_with(address, certificate, spec, 1, 1.0, limits).await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { server, tls: TlsConnector::from(Arc::new(config)) }
    }

    async fn try_dial(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.server.address()).await?;
        self.tls.connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    async fn dial(&self) -> TlsStream<TcpStream> {
        self.try_dial().await.unwrap()
    }

    /// Sends `request` and reads until the listener closes.
    async fn answer(&self, request: &str) -> String {
        let mut stream = self.dial().await;
        // The listener may have closed already, where its time limit is short.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

const GET: &str = "GET /devices HTTP/1.1\r\nHost: app-prod.mysa.cloud\r\nConnection: close\r\n\r\n";

fn limits() -> Limits {
    Limits::default()
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let mut limits = limits();
    limits.header = Duration::from_millis(50);
    let bench = Bench::new(limits).await;
    assert_eq!(bench.answer("GET /devices HTTP/1.1\r\nHost: app").await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408() {
    let mut limits = limits();
    // From the head of the request on, which has its own limit.
    limits.body = Duration::from_millis(50);
    let bench = Bench::new(limits).await;
    let head = "POST /devices HTTP/1.1\r\nHost: app-prod.mysa.cloud\r\nContent-Length: 10\r\n\r\n{";
    let answer = bench.answer(head).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("did not arrive in time"), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends_the_connection() {
    let mut limits = limits();
    limits.handshake = Duration::from_millis(50);
    let bench = Bench::new(limits).await;
    let mut stream = TcpStream::connect(bench.server.address()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_refused_until_another_ends() {
    let mut limits = limits();
    limits.connections = 2;
    let bench = Bench::new(limits).await;
    let (first, second) = (bench.dial().await, bench.dial().await);
    let answer = bench.answer(GET).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too many connections"), "{answer}");
    drop((first, second));
    while !bench.answer(GET).await.starts_with("HTTP/1.1 401") {}
}

#[tokio::test]
async fn a_connection_beyond_the_refusals_is_dropped() {
    let mut limits = limits();
    limits.connections = 1;
    let bench = Bench::new(limits).await;
    let admitted = bench.dial().await;
    let mut refused = Vec::new();
    for _ in 0..16 {
        refused.push(bench.dial().await);
    }
    let mut stream = TcpStream::connect(bench.server.address()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "it is closed before the handshake");
    drop((admitted, refused));
    while bench.try_dial().await.is_err() {}
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_with_413() {
    let bench = Bench::new(limits()).await;
    let body = "x".repeat((1 << 20) + 1);
    let length = body.len();
    let answer = bench
        .answer(&format!(
            "POST /devices HTTP/1.1\r\nHost: app-prod.mysa.cloud\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("the body is too large"), "{answer}");
}

#[tokio::test]
async fn date_and_age_headers_of_a_fault_reach_the_client() {
    let bench = Bench::new(limits()).await;
    let fault = Fault::DateShift(Endpoint::LegacyHost, -86_400 * 400);
    let dated = |answer: &str| {
        let line = answer.lines().find(|line| line.starts_with("date: ")).map(str::to_owned);
        line.unwrap()
    };
    let true_date = dated(&bench.answer(GET).await);
    bench.server.with_cloud(|cloud, _| cloud.add_fault(Window::new(Duration::ZERO, Duration::MAX, fault)));
    let wrong = dated(&bench.answer(GET).await);
    assert_ne!(true_date.split(' ').nth(4), wrong.split(' ').nth(4), "another year: {true_date} {wrong}");
    let reset = Fault::Http(Endpoint::Any, HttpFault::Reset);
    bench.server.with_cloud(|cloud, _| cloud.add_fault(Window::times(1, reset)));
    assert_eq!(bench.answer(GET).await, "");
}

#[tokio::test]
async fn the_clock_can_be_moved_forward() {
    let bench = Bench::new(limits()).await;
    let id = DeviceId::new("a0b1c2d3e4f5").unwrap();
    let seen = || bench.server.with_cloud(|cloud, now| (now.mono, now.wall, cloud.truth(id).unwrap().energy));
    let (mono, wall, before) = seen();
    bench.server.advance(Duration::from_secs(86_400));
    let (later_mono, later_wall, after) = seen();
    assert!(later_mono >= mono + Duration::from_secs(86_400));
    assert!(later_wall.as_secs() >= wall.as_secs() + 86_400);
    assert!(after > before + 1.0, "a day of heating: {before} kWh, {after} kWh");
}

#[tokio::test]
async fn a_client_that_trusts_a_kept_authority_trusts_the_next_run() {
    let authority = Authority::generate().unwrap();
    let kept = Authority::from_pem(authority.certificate_pem(), &authority.key_pem()).unwrap();
    for authority in [&authority, &kept] {
        let certificate = Certificate::signed_by(authority, &Names::default()).unwrap();
        let trusted = kept.certificate_pem();
        let bench = Bench::trusting(trusted, certificate, limits()).await;
        assert!(bench.answer(GET).await.starts_with("HTTP/1.1 401"));
    }
}

#[tokio::test]
async fn a_network_that_is_down_accepts_no_connection() {
    let bench = Bench::new(Limits::default()).await;
    let start = |name| {
        bench.server.with_cloud(|cloud, now| cloud.start_named_fault(now, name, None, Duration::ZERO, None))
    };
    let ids = start("network-down").unwrap();
    assert!(bench.try_dial().await.is_err());
    assert!(bench.server.with_cloud(|cloud, now| cloud.end_fault(now, ids[0])));
    let answer =
        bench.answer("GET /devices HTTP/1.1\r\nHost: app-prod.mysa.cloud\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test]
async fn a_request_that_is_late_is_carried_out_without_its_client() {
    let bench = Bench::new(Limits::default()).await;
    let mut events = bench.server.events();
    let late = Fault::Http(Endpoint::Any, HttpFault::Late(Duration::from_secs(1)));
    bench.server.with_cloud(|cloud, _| cloud.add_fault(Window::times(1, late)));
    let mut stream = bench.dial().await;
    let request = "GET /late HTTP/1.1\r\nHost: app-prod.mysa.cloud\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    // Only a request that has arrived is late, and nothing shows that it has but the use of the fault.
    while bench.server.with_cloud(|cloud, _| cloud.faults().count()) == 1 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    loop {
        let Some(Notice::Event(event)) = events.next().await else { panic!("the request is lost") };
        if let EventKind::Request { path, status, .. } = event.kind {
            assert_eq!((path.as_str(), status), ("/late", Some(401)));
            return;
        }
    }
}
