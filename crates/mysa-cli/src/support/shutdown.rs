//! An orderly end, whatever asks for it.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mysa_tokio::Client;
use tokio::time::timeout;

use crate::support::exit::{Exit, Failure, Result};

/// The clients at work, each of which has something to say before it ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Goodbyes(Arc<Mutex<Vec<Client>>>);

/// How long the goodbyes may take altogether.
const LIMIT: Duration = Duration::from_secs(2);

impl Goodbyes {
    pub(crate) fn add(&self, client: &Client) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(client.clone());
    }

    /// Resolves open commands, says DISCONNECT, closes.
    async fn say(&self) {
        let clients = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async {
            for client in clients {
                client.shutdown().await;
            }
        };
        let _ = timeout(LIMIT, all).await;
    }
}

/// Works to the end, or until Ctrl-C or SIGTERM; then it is broken off, and says goodbye. A second signal cuts that
/// short.
pub(crate) async fn until_told(work: impl Future<Output = Result<()>>, goodbyes: &Goodbyes) -> Result<()> {
    let failure = tokio::select! {
        // First, so that it listens before anything is done.
        biased;
        failure = told() => failure,
        result = work => return result,
    };
    tokio::select! {
        () = goodbyes.say() => {}
        _ = told() => {}
    }
    Err(failure)
}

async fn told() -> Failure {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Failure::new(Exit::Interrupted, "interrupted"),
        () = terminated() => Failure::new(Exit::Terminated, "terminated"),
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
