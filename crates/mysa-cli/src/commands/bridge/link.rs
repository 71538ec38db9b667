//! Connections to the broker: TCP, and TLS and WebSocket on top of it.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use mysa_bridge::client::{LinkId, Output};
use mysa_config::BrokerUrl;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::commands::bridge::plan::{Plan, read};
use crate::commands::bridge::websocket;
use crate::support::exit::{Exit, Failure, Result};

/// Broker and the way to connect to it.
pub(crate) struct Broker {
    url: BrokerUrl,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Broker {
    /// Reads the certificates of a plan.
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        let tls = if plan.url.tls {
            let name = ServerName::try_from(plan.url.host.clone()).map_err(|_| {
                Failure::usage(format!("invalid --broker: no certificate is for {}", plan.url.host))
            })?;
            Some((TlsConnector::from(Arc::new(tls_config(plan)?)), name))
        } else {
            None
        };
        Ok(Self { url: plan.url.clone(), tls })
    }
}

fn tls_config(plan: &Plan) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &plan.broker_ca {
        for certificate in certificates("broker-ca", path)? {
            roots.add(certificate).map_err(|error| {
                Failure::usage(format!("invalid --broker-ca {}: {error}", path.display()))
            })?;
        }
    } else {
        // Unusable certificates in the system store are skipped; the remaining ones decide.
        for certificate in rustls_native_certs::load_native_certs().certs {
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err(Failure::new(
                Exit::Failed,
                "no trusted root certificates: install the system's CA bundle, or set --broker-ca",
            ));
        }
    }
    let library = |error| Failure::from((Exit::Failed, error));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(library)?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &plan.identity else { return Ok(config.with_no_client_auth()) };
    let chain = certificates("client-certificate", certificate)?;
    let parsed = PrivateKeyDer::from_pem_slice(&read("client-key", key)?)
        .map_err(|error| Failure::usage(format!("invalid --client-key {}: {error}", key.display())))?;
    config.with_client_auth_cert(chain, parsed).map_err(|error| {
        Failure::usage(format!("--client-certificate and --client-key cannot be used: {error}"))
    })
}

fn certificates(option: &str, path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(option, path)?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let invalid = |why: &str| Failure::usage(format!("invalid --{option} {}: {why}", path.display()));
    let found = found.map_err(|error| invalid(&error.to_string()))?;
    // A file without a certificate is most likely the wrong file, which must not pass silently.
    if found.is_empty() { Err(invalid("expected PEM certificates")) } else { Ok(found) }
}

/// Event of a connection to the broker.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    Opened,
    Received(Vec<u8>),
    Written,
    /// The connection could not be opened, or has ended, and why.
    Closed(Option<String>),
}

/// Driver of the connections that a client asks for, of which at most one is open.
pub(crate) struct Links {
    broker: Arc<Broker>,
    open: Option<Open>,
    events: mpsc::Receiver<(LinkId, LinkEvent)>,
    sender: mpsc::Sender<(LinkId, LinkEvent)>,
}

struct Open {
    link: LinkId,
    /// A client has one batch with its driver at a time.
    batches: mpsc::UnboundedSender<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Number of events that wait for the client. A full queue stops reading, and so slows the broker.
const EVENTS: usize = 8;
const READ_BUFFER: usize = 16 * 1_024;

impl Links {
    pub(crate) fn new(broker: Broker) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        Self { broker: Arc::new(broker), open: None, events, sender }
    }

    /// Carries out an instruction.
    pub(crate) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Dial(link) => {
                let (batches, to_write) = mpsc::unbounded_channel();
                let connection = connect(Arc::clone(&self.broker), link, to_write, self.sender.clone());
                self.open = Some(Open { link, batches, task: tokio::spawn(connection) });
            }
            Output::Send { link, bytes } => {
                if let Some(open) = self.open.as_ref().filter(|open| open.link == link) {
                    // An ended connection has reported its end.
                    let _ = open.batches.send(bytes);
                }
            }
            Output::Close(link) => drop(self.open.take_if(|open| open.link == link)),
        }
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> (LinkId, LinkEvent) {
        match self.events.recv().await {
            Some(event) => event,
            // This value holds a sender.
            None => std::future::pending().await,
        }
    }
}

async fn connect(
    broker: Arc<Broker>,
    link: LinkId,
    to_write: mpsc::UnboundedReceiver<Vec<u8>>,
    events: mpsc::Sender<(LinkId, LinkEvent)>,
) {
    let ended = async {
        let url = &broker.url;
        let tcp = TcpStream::connect((url.host.as_str(), url.port)).await?;
        // Batches are complete: there is nothing to wait for.
        tcp.set_nodelay(true)?;
        match &broker.tls {
            None => carry(url, tcp, link, to_write, &events).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await?;
                carry(url, tls, link, to_write, &events).await
            }
        }
    };
    let error: io::Result<()> = ended.await;
    let why = error.err().map(|error| describe(&error));
    let _ = events.send((link, LinkEvent::Closed(why))).await;
}

/// Describes an error with its causes.
fn describe(error: &io::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.get_ref().and_then(|inner| inner.source());
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// Carries MQTT on an open stream until it ends, with WebSocket if the URL says so.
async fn carry(
    url: &BrokerUrl,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    link: LinkId,
    to_write: mpsc::UnboundedReceiver<Vec<u8>>,
    events: &mpsc::Sender<(LinkId, LinkEvent)>,
) -> io::Result<()> {
    let opened = (link, LinkEvent::Opened);
    if url.path.is_none() {
        return if events.send(opened).await.is_ok() {
            relay(stream, link, to_write, events).await
        } else {
            Ok(())
        };
    }
    let socket = websocket::open(url, stream).await?;
    if events.send(opened).await.is_ok() {
        websocket::relay(socket, link, to_write, events).await
    } else {
        Ok(())
    }
}

async fn relay(
    stream: impl AsyncRead + AsyncWrite,
    link: LinkId,
    to_write: mpsc::UnboundedReceiver<Vec<u8>>,
    events: &mpsc::Sender<(LinkId, LinkEvent)>,
) -> io::Result<()> {
    let (reader, writer) = tokio::io::split(stream);
    // A broker that does not read must not stop us from reading.
    tokio::select! {
        ended = receive(reader, link, events) => ended,
        ended = send(writer, to_write, link, events) => ended,
    }
}

async fn receive(
    mut reader: ReadHalf<impl AsyncRead>,
    link: LinkId,
    events: &mpsc::Sender<(LinkId, LinkEvent)>,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let len = reader.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        if events.send((link, LinkEvent::Received(bytes.to_vec()))).await.is_err() {
            return Ok(());
        }
    }
}

async fn send(
    mut writer: WriteHalf<impl AsyncWrite>,
    mut to_write: mpsc::UnboundedReceiver<Vec<u8>>,
    link: LinkId,
    events: &mpsc::Sender<(LinkId, LinkEvent)>,
) -> io::Result<()> {
    while let Some(bytes) = to_write.recv().await {
        writer.write_all(&bytes).await?;
        writer.flush().await?;
        if events.send((link, LinkEvent::Written)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
