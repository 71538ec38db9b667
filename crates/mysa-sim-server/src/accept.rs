use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Maximum number of simultaneous connections beyond the limit that are answered with 503; more are dropped.
pub(crate) const MAX_REFUSALS: usize = 16;

/// Permit of a connection, held until the connection, or the WebSocket it became, ends.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    /// `true` beyond the limit, where every request is refused.
    pub(crate) is_full: bool,
}

/// Accepts connections until the future is dropped, which ends all of them. At most `limit` are served at a time.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    limit: usize,
    mut serve: impl FnMut(TcpStream, Place) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(limit));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let admitted = Arc::clone(&room).try_acquire_owned().map(|permit| (permit, false));
                    let admitted =
                        admitted.or_else(|_| Arc::clone(&refusals).try_acquire_owned().map(|permit| (permit, true)));
                    // Without either permit the connection is dropped.
                    if let Ok((permit, is_full)) = admitted {
                        clients.spawn(serve(stream, Place { _permit: permit, is_full }));
                    }
                }
                // Probably out of file descriptors: wait until some connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
}
