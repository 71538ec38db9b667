//! The client's MQTT against third-party brokers: mosquitto, and aedes with one byte in each WebSocket frame.
//!
//! A small proxy terminates TLS; WebSocket and MQTT are the broker's. A minimal thermostat connects to the broker over
//! plain TCP. The tests of a broker that is not installed are skipped with a message.

mod foreign;

use std::io::Write as _;
use std::time::Duration;

use foreign::{Broker, Proxy, Thermostat};
use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};
use mysa_tokio::{
    Celsius, Client, DeliveryStage, DeviceId, Environment, Level, Model, PresignedUrl, Verdict,
};
use time::OffsetDateTime;

const HOST: &str = "broker.example.org";
const KITCHEN: &str = "a0b1c2d3e4f6";

fn kitchen() -> DeviceId {
    DeviceId::new(KITCHEN).expect("an id")
}

fn celsius(degrees: f64) -> Celsius {
    Celsius::from_degrees(degrees).expect("a temperature")
}

/// Reports a skipped test; with `REQUIRE_BROKERS` set, as in CI, fails it.
fn skipped(what: &str) {
    assert!(std::env::var_os("REQUIRE_BROKERS").is_none(), "{what}");
    // Bypasses the test harness, which hides the output of passing tests.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

fn captured() -> PresignedUrl {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token"));
    let authority = Authority::new(HOST, None).expect("a host");
    Presigner::iot("us-east-1")
        .presign(&credentials, &authority, "/mqtt", OffsetDateTime::now_utc(), None, TokenRule::AfterSigning)
        .expect("a URL")
}

fn client(proxy: &Proxy) -> Client {
    Client::builder(Environment::mysa())
        .captured(captured(), vec![(kitchen(), Model::parse("BB-V2-0"))])
        .extra_ca(proxy.authority())
        .connect_to(proxy.address())
        .start()
        .expect("a client")
}

/// Waits until `so` holds; the time limit only ends a test that has failed.
async fn until(client: &Client, what: &str, so: impl Fn(&Client) -> bool) {
    let mut events = client.events();
    let wait = async {
        while !so(client) {
            events.next().await.expect("the client keeps running");
        }
    };
    tokio::time::timeout(Duration::from_secs(300), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn setpoint(client: &Client) -> Option<Celsius> {
    Some(client.state(&kitchen())?.state.setpoint()?.value)
}

/// Checks the main functions: statuses arrive, a command reaches the broker and the thermostat, and each verdict names
/// the stage that the command reached.
async fn check_main_functions(broker: &Broker) {
    let proxy = Proxy::start(HOST, broker.websocket()).await;
    let client = client(&proxy);
    until(&client, "live", |client| client.service().level == Level::Live).await;

    let mut thermostat = Thermostat::connect(broker.plain(), KITCHEN).await;
    thermostat.report(19.0).await;
    until(&client, "a status", |client| setpoint(client) == Some(celsius(19.0))).await;

    let unanswered = client.set_setpoint(&kitchen(), celsius(20.0)).deadline(Duration::from_secs(1));
    let (received, verdict) = tokio::join!(thermostat.command(), unanswered);
    assert_eq!(received.setpoint, 20.0);
    let verdict = verdict.expect("a verdict");
    let taken = DeliveryStage::Service(mysa_proto::Channel::Mqtt);
    assert!(
        matches!(verdict, Verdict::Unconfirmed { reached, .. } if reached == taken),
        "the broker accepted the command and the thermostat was silent: {verdict:?}"
    );

    let answered = async {
        let received = thermostat.command().await;
        assert_eq!(received.setpoint, 21.5);
        thermostat.acknowledge(&received).await;
    };
    let ((), verdict) = tokio::join!(answered, client.set_setpoint(&kitchen(), celsius(21.5)));
    let verdict = verdict.expect("a verdict");
    assert!(verdict.is_confirmed(), "{verdict:?}");
    assert_eq!(setpoint(&client), Some(celsius(21.5)));
    client.shutdown().await;
}

#[tokio::test]
async fn mosquitto_carries_statuses_and_commands() {
    let Some(broker) = Broker::mosquitto().await else {
        return skipped("mosquitto is not installed (apt-get install mosquitto)");
    };
    check_main_functions(&broker).await;
}

#[tokio::test]
async fn packets_that_arrive_byte_by_byte_from_aedes_are_reassembled() {
    let Some(broker) = Broker::aedes().await else {
        return skipped("aedes is not installed (.ci/interop/fetch)");
    };
    check_main_functions(&broker).await;
}

#[tokio::test]
async fn mosquitto_may_restart() {
    let Some(mut broker) = Broker::mosquitto().await else {
        return skipped("mosquitto is not installed (apt-get install mosquitto)");
    };
    let proxy = Proxy::start(HOST, broker.websocket()).await;
    let client = client(&proxy);
    until(&client, "live", |client| client.service().level == Level::Live).await;
    let mut thermostat = Thermostat::connect(broker.plain(), KITCHEN).await;
    thermostat.report(19.0).await;
    until(&client, "a status", |client| setpoint(client) == Some(celsius(19.0))).await;

    broker.restart().await;
    let mut thermostat = Thermostat::connect(broker.plain(), KITCHEN).await;
    // A status sent before the client has reconnected is lost, so it is repeated as a thermostat would.
    let repeated = async {
        loop {
            thermostat.report(22.0).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = repeated => {}
        () = until(&client, "a status after the restart", |client| setpoint(client) == Some(celsius(22.0))) => {}
    }
    let answered = async {
        let received = thermostat.command().await;
        thermostat.acknowledge(&received).await;
    };
    let ((), verdict) = tokio::join!(answered, client.set_setpoint(&kitchen(), celsius(17.0)));
    assert!(verdict.as_ref().is_ok_and(Verdict::is_confirmed), "{verdict:?}");
}
