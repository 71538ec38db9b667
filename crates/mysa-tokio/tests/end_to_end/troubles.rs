//! Faults: a broker that refuses, a silent cloud, a network that cuts connections.

use std::time::Duration;

use mysa_sim::{CloudSpec, Fault, Window};
use mysa_tokio::{
    Client, CommandChannel, ConnectError, Environment, Event, Expired, Level, NotReady, Reason, Settings,
    Verdict,
};
use tokio::net::TcpListener;

use crate::harness::{Cloud, becomes_live, celsius, check_that_presses_arrive, kitchen, short_pauses, until};
use crate::wire::{Cut, Wire};

/// Returns a fault window without an end.
fn lasting(fault: Fault) -> Window {
    Window::new(Duration::ZERO, Duration::MAX, fault)
}

/// Checks a refused upgrade: commands use the structured service, and MQTT returns when it can.
async fn upgrade_is_refused(fault: Fault, status: Option<u16>) {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    cloud.server.with_cloud(|cloud, _| cloud.add_fault(lasting(fault)));
    let mut settings = short_pauses();
    settings.connect_timeout = Duration::from_millis(300);
    let client = cloud.client_with(settings).await;
    until(&client, "REST only, and why", |client| {
        let service = client.service();
        service.level == Level::RestOnly && service.reason == Reason::UpgradeRefused { status }
    })
    .await;

    let command = tokio::spawn(client.set_setpoint(&kitchen(), celsius(21.5)).into_future());
    cloud.until("the command, by REST", |cloud| cloud.counters().structured_updates == 1).await;
    cloud.server.with_cloud(|cloud, _| cloud.clear_faults());
    let verdict = command.await.expect("no panic").expect("a verdict");
    assert!(verdict.is_confirmed(), "{verdict}");

    becomes_live(&client).await;
    check_that_presses_arrive(&cloud, &client, 23.0).await;
    let counters = cloud.server.with_cloud(|cloud, _| cloud.counters());
    assert_eq!((counters.structured_updates, counters.sign_ins), (1, 1));
}

#[tokio::test]
async fn an_upgrade_that_is_forbidden_leaves_rest() {
    upgrade_is_refused(Fault::RefuseUpgrade(403), Some(403)).await;
}

#[tokio::test]
async fn an_upgrade_that_is_not_found_leaves_rest() {
    upgrade_is_refused(Fault::RefuseUpgrade(404), Some(404)).await;
}

#[tokio::test]
async fn an_upgrade_that_is_answered_with_a_web_page_leaves_rest() {
    upgrade_is_refused(Fault::UpgradePage(200), Some(200)).await;
}

#[tokio::test]
async fn an_upgrade_that_is_never_answered_leaves_rest() {
    upgrade_is_refused(Fault::HangUpgrade, None).await;
}

#[tokio::test]
async fn a_command_whose_connection_opens_after_its_deadline_is_never_written() {
    // The cloud's clock runs ten times as fast, so a handshake takes three seconds here.
    let cloud = Cloud::start_at(CloudSpec::demo(), 10.0).await;
    let mut settings = short_pauses();
    settings.channel = CommandChannel::Structured;
    let client = cloud.client_with(settings).await;
    let slow = Fault::SlowHandshake(Duration::from_secs(30));
    let begun = cloud.server.with_cloud(|cloud, now| {
        cloud.add_fault(lasting(slow));
        now.mono
    });
    let command = client.set_setpoint(&kitchen(), celsius(21.5)).deadline(Duration::from_secs(1));
    let verdict = command.await.expect("a verdict");
    assert_eq!(verdict, Verdict::Expired(Expired::Deadline));
    until(&client, "the end of the handshake", |_| {
        cloud.server.with_cloud(|_, now| now.mono > begun + Duration::from_secs(60))
    })
    .await;
    let counters = cloud.server.with_cloud(|cloud, _| cloud.counters());
    assert_eq!(counters.structured_updates, 0);
}

/// Counts the reports of a read-only service level until the client ends.
async fn count_read_only(client: &Client) -> tokio::task::JoinHandle<u32> {
    let mut events = client.events();
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(event) = events.next().await {
            count += u32::from(matches!(event, Event::Service(service) if service.level == Level::ReadOnly));
        }
        count
    })
}

/// Checks a broker that closes the connection at the first publish: nothing is published afterwards, and commands use
/// REST.
async fn becomes_read_only(cloud: &Cloud, client: &Client) {
    let read_only = count_read_only(client).await;
    until(client, "read-only", |client| {
        let service = client.service();
        service.level == Level::ReadOnly && service.reason == Reason::PublishNotPermitted
    })
    .await;
    let publishes = cloud.server.with_cloud(|cloud, _| cloud.counters().publishes);
    let verdict = client.set_setpoint(&kitchen(), celsius(21.5)).await.expect("a verdict");
    assert!(verdict.is_confirmed(), "{verdict}");
    let counters = cloud.server.with_cloud(|cloud, _| cloud.counters());
    assert_eq!((counters.publishes, counters.structured_updates), (publishes, 1));
    let truth = cloud.server.with_cloud(|cloud, _| cloud.truth(kitchen())).expect("a thermostat");
    assert_eq!(truth.setpoint, celsius(21.5));
    client.shutdown().await;
    assert_eq!(read_only.await.expect("no panic"), 1, "the level must be reported once");
}

fn read_only_after_one_failure() -> Settings {
    let mut settings = short_pauses();
    settings.read_only_after = 1;
    settings
}

#[tokio::test]
async fn an_account_that_may_not_publish_is_read_only_and_still_receives() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    cloud.server.with_cloud(|cloud, _| cloud.add_fault(lasting(Fault::DenyPublish)));
    let client = cloud.client_with(read_only_after_one_failure()).await;
    let watcher = client.read_only();
    until(&client, "read-only", |client| client.service().level == Level::ReadOnly).await;
    check_that_presses_arrive(&cloud, &client, 23.0).await;
    assert!(watcher.is_live());
    client.shutdown().await;
}

#[tokio::test]
async fn commands_of_an_account_that_may_not_publish_use_rest() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    cloud.server.with_cloud(|cloud, _| cloud.add_fault(lasting(Fault::DenyPublish)));
    becomes_read_only(&cloud, &cloud.client_with(read_only_after_one_failure()).await).await;
}

#[tokio::test]
async fn commands_of_a_member_of_the_modern_identity_pool_use_rest() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.builder_of(Environment::mysa_modern());
    let client = client.password(CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD);
    let client = client.settings(read_only_after_one_failure()).connect().await.expect("a client");
    becomes_read_only(&cloud, &client).await;
}

#[tokio::test]
async fn a_cloud_that_never_answers_is_reported_as_offline_in_time() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let mut settings = short_pauses();
    settings.http_timeout = Duration::from_millis(200);
    let client =
        cloud.signing_in().connect_to(silent.local_addr().expect("an address")).settings(settings).connect();
    // Without the time limit of a request, the client would wait forever.
    let client = tokio::time::timeout(Duration::from_secs(300), client).await.expect("the client gives up");
    assert!(
        matches!(client, Err(ConnectError::NotReady(NotReady::Offline(Reason::NoAnswer), _))),
        "{client:?}"
    );
}

#[tokio::test]
async fn handshakes_that_are_cut_are_retried() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let wire = Wire::to(cloud.server.address()).await;
    wire.cut(Cut::Handshakes);
    let client = cloud.signing_in().connect_to(wire.address()).settings(short_pauses()).connect().await;
    let Err(ConnectError::NotReady(NotReady::Offline(Reason::Unreachable), client)) = client else {
        panic!("{client:?}")
    };
    assert_eq!(
        cloud.server.with_cloud(|cloud, _| cloud.counters().http_requests),
        0,
        "no request may arrive"
    );
    wire.cut(Cut::Nothing);
    client.ready().await.expect("signed in");
    becomes_live(&client).await;
}

#[tokio::test]
async fn a_truncated_frame_is_not_a_message_and_the_connection_is_restored() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let wire = Wire::to(cloud.server.address()).await;
    let client = cloud.signing_in().connect_to(wire.address()).settings(short_pauses()).connect().await;
    let client = client.expect("a client");
    becomes_live(&client).await;
    let mut events = client.events();
    wire.cut(Cut::NextRecord);
    cloud.press(17.0);
    let verdict = client.set_setpoint(&kitchen(), celsius(21.5)).await;
    assert!(verdict.as_ref().is_ok_and(Verdict::is_confirmed), "{verdict:?}");
    assert!(wire.has_cut(), "the connection was cut within a record");
    assert_eq!(cloud.server.with_cloud(|cloud, _| cloud.counters().connects), 2);
    client.shutdown().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Unreadable { .. }), "{event:?}");
    }
}
