use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// Where connections go: to the addresses of the host's name, or all to one address, whatever the name says.
///
/// The second kind is for a simulated cloud or a gateway: server name indication, certificate check and `Host` header
/// keep the real name, so nothing but the way is different.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    to: Option<SocketAddr>,
}

impl Route {
    pub(crate) const fn new(to: Option<SocketAddr>) -> Self {
        Self { to }
    }

    pub(crate) async fn resolve(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.to {
            Some(to) => Ok(vec![to]),
            None => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
        }
    }
}

impl Service<Name> for Route {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: Name) -> Self::Future {
        let route = *self;
        // Port 0 is filled in from the URL by the connector.
        Box::pin(async move { route.resolve(host.as_str(), 0).await.map(Vec::into_iter) })
    }
}
