use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Proxy that terminates TLS in front of a broker.
pub(crate) struct Proxy {
    address: SocketAddr,
    authority: String,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(host: &str, broker: SocketAddr) -> Self {
        let made = generate_simple_self_signed([host.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|tls| tls.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
            .expect("a TLS configuration");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), broker));
        Self { address, authority: made.cert.pem(), _tasks: tasks }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, broker: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let tls = tls.clone();
        connections.spawn(async move {
            let Ok(mut client) = tls.accept(stream).await else { return };
            let Ok(mut broker) = TcpStream::connect(broker).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut client, &mut broker).await;
        });
    }
}
