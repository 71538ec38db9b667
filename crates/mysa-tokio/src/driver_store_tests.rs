//! Tests of the driver while a write of its token file waits. Virtual time then stands still unless a test moves it.

use futures_util::FutureExt as _;

use super::*;
use crate::held_file::{ACCOUNT, HeldFile, session};
use crate::token_file::TokenFileError;

/// Runs a driver whose token file is being written.
async fn writing(start: Start) -> (Harness, HeldFile) {
    let mut held = HeldFile::new();
    let mut parts = Parts::with(start, Some(held.file.clone()));
    parts.driver.store.as_mut().expect("a token file").save(session("second", 1));
    let harness = Harness::run(parts);
    held.is_awaited().await;
    (harness, held)
}

fn captured_start() -> Start {
    Start::Captured { url: captured(), devices: vec![(kitchen(), Model::parse("BB-V2-0"))] }
}

/// Start without a token: a sign-out has nothing to revoke.
fn signed_out() -> Start {
    Start::Resume { stored: mysa_cognito::StoredSession::new(ACCOUNT, "client"), password: None }
}

/// Moves time on, and lets every task do what is due.
async fn pass(secs: u64) {
    for _ in 0..secs {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Returns the output of a future for which only tasks have to run, no time and no disk.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    for _ in 0..1_000 {
        if let Some(output) = future.as_mut().now_or_never() {
            return output;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what} waits for the write");
}

#[tokio::test(start_paused = true)]
async fn everything_but_the_store_goes_on_during_a_write() {
    let (mut harness, mut held) = writing(captured_start()).await;
    let client = harness.client.clone();
    let mut events = client.events();
    let mut broker = soon("a dial", harness.accept()).await;
    soon("a packet", broker.grant()).await.expect("a subscription");
    broker.status(1_767_323_100).await.expect("a connection");
    let setpoint = || client.state(&kitchen()).and_then(|view| view.state.setpoint());
    let status = async {
        while setpoint().is_none() {
            events.next().await.expect("the client keeps running");
        }
    };
    soon("an event", status).await;

    // The broker does not answer the command, so its connection is ended.
    let command = client.set_setpoint(&kitchen(), Celsius::from_degrees(23.0).expect("a temperature"));
    let command = tokio::spawn(command.deadline(Duration::from_secs(5)).into_future());
    let published = async {
        while let Some(Ok(Message::Binary(frame))) = broker.socket.next().await {
            if frame.windows(3).any(|part| part == b"/in") {
                return;
            }
        }
        panic!("the connection is closed");
    };
    // Commands keep a distance from the request to report live.
    pass(2).await;
    soon("a command", published).await;
    pass(8).await;
    let verdict = soon("a verdict", command).await.expect("no panic").expect("a verdict");
    assert!(matches!(verdict, Verdict::Unconfirmed { .. }), "{verdict}");
    soon("the end of a connection", async { while let Some(Ok(_)) = broker.socket.next().await {} }).await;

    let mut next = soon("a dial", harness.accept()).await;
    soon("a packet", next.grant()).await.expect("a subscription");
    let pinged = tokio::spawn(async move { next.pong().await });
    pass(60).await;
    soon("a ping", pinged).await.expect("no panic").expect("a connection");
    assert_eq!(held.token().as_deref(), Some("first"), "the write must still wait");
    held.release();
    client.shutdown().await;
    assert_eq!(held.token().as_deref(), Some("second"));
    assert!(client.store_failure().is_none(), "{:?}", client.store_failure());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_the_connections_and_waits_for_the_write() {
    let (mut harness, mut held) = writing(captured_start()).await;
    let mut broker = soon("a dial", harness.accept()).await;
    soon("a packet", broker.grant()).await.expect("a subscription");
    let client = harness.client.clone();
    let shutdown = tokio::spawn(async move { client.shutdown().await });
    soon("the end of a connection", async { while let Some(Ok(_)) = broker.socket.next().await {} }).await;
    drop(broker);
    pass(1).await;
    assert!(!shutdown.is_finished(), "the write has not ended");
    held.release();
    shutdown.await.expect("no panic");
    assert_eq!(held.token().as_deref(), Some("second"));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_up_a_disk_that_hangs_after_ten_seconds() {
    let (harness, held) = writing(captured_start()).await;
    let client = harness.client.clone();
    let shutdown = tokio::spawn(async move { client.shutdown().await });
    pass(9).await;
    assert!(!shutdown.is_finished());
    pass(2).await;
    assert!(shutdown.is_finished());
    let failure = harness.client.store_failure();
    assert!(matches!(failure.as_deref(), Some(TokenFileError::Unfinished { .. })), "{failure:?}");
    assert_eq!(held.token().as_deref(), Some("first"));
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_during_a_write_ends_after_the_file_is_removed() {
    let (harness, mut held) = writing(signed_out()).await;
    let client = harness.client.clone();
    let mut events = client.events();
    let sign_out = tokio::spawn(async move { client.sign_out().await });
    // Longer than the session waits for the content of the file.
    pass(7).await;
    assert!(!sign_out.is_finished(), "the file is not removed");
    while let Some(Some(event)) = events.next().now_or_never() {
        assert!(!matches!(event, Event::SignedOut { .. }));
    }
    held.release();
    assert_eq!(sign_out.await.expect("no panic").ok(), Some(Revocation::NothingToRevoke));
    assert!(!held.file.path().exists(), "the write must not bring the file back");
    let mut rest = Vec::new();
    while let Some(event) = events.next().await {
        rest.push(event);
    }
    assert!(rest.iter().any(|event| matches!(event, Event::SignedOut { .. })), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_gives_up_a_disk_that_hangs_and_returns_its_outcome() {
    let (harness, held) = writing(signed_out()).await;
    let client = harness.client.clone();
    let sign_out = tokio::spawn(async move { client.sign_out().await });
    pass(21).await;
    assert!(sign_out.is_finished());
    assert_eq!(sign_out.await.expect("no panic").ok(), Some(Revocation::NothingToRevoke));
    let failure = harness.client.store_failure();
    assert!(matches!(failure.as_deref(), Some(TokenFileError::Unfinished { .. })), "{failure:?}");
    assert_eq!(held.token().as_deref(), Some("first"));
}
