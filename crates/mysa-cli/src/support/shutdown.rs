//! Orderly shutdown on Ctrl-C and SIGTERM.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use mysa_tokio::Client;

use crate::support::exit::{Exit, Failure, Result};

/// Clients that are open. Each one sends DISCONNECT before the program ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenClients(Arc<Mutex<Vec<Client>>>);

impl OpenClients {
    pub(crate) fn add(&self, client: &Client) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(client.clone());
    }

    /// Resolves open commands, sends DISCONNECT and closes the connections.
    async fn close_all(&self) {
        let clients = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // No time limit: each shutdown is bounded, and a process that got no processor time meanwhile would skip
        // DISCONNECT. A second signal ends the wait.
        join_all(clients.iter().map(Client::shutdown)).await;
    }
}

/// Runs `work` to its end, or until Ctrl-C or SIGTERM. A signal cancels the work and closes the clients; a second
/// signal ends the program at once.
pub(crate) async fn until_signal(
    work: impl Future<Output = Result<()>>,
    open_clients: &OpenClients,
) -> Result<()> {
    let failure = tokio::select! {
        // The signal is polled first, so that the handlers are installed before the work starts.
        biased;
        failure = signal_received() => failure,
        result = work => return result,
    };
    tokio::select! {
        () = open_clients.close_all() => {}
        _ = signal_received() => {}
    }
    Err(failure)
}

/// Waits for Ctrl-C or SIGTERM. The failure names the signal.
pub(crate) async fn signal_received() -> Failure {
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
