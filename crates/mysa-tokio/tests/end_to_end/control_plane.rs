//! The control plane of AWS IoT, which verifies the signature of every request.

use mysa_sim::{CloudSpec, Endpoint, Fault, HttpFault, Window};
use mysa_tokio::{DeviceId, EndpointLookup, Error, RequestError, Settings};

use crate::harness::{Cloud, becomes_live, check_that_presses_arrive, kitchen, short_pauses};

const OTHER_HOST: &str = "a1b2c3-ats.iot.us-east-1.amazonaws.com";

fn looking_up() -> Settings {
    let mut settings = short_pauses();
    settings.lookup_endpoint = true;
    settings
}

async fn lookup(client: &mysa_tokio::Client) -> (String, EndpointLookup) {
    let seen = client.diagnosis().await.expect("a diagnosis");
    (seen.broker.host().to_owned(), seen.endpoint_lookup)
}

#[tokio::test]
async fn a_broker_at_another_host_than_configured_is_looked_up() {
    let mut spec = CloudSpec::demo();
    spec.names.iot_host = OTHER_HOST.into();
    let cloud = Cloud::start(spec).await;
    let client = cloud.client_with(looking_up()).await;
    becomes_live(&client).await;
    assert_eq!(lookup(&client).await, (OTHER_HOST.into(), EndpointLookup::Found));
    check_that_presses_arrive(&cloud, &client, 21.5).await;
    client.shutdown().await;
}

#[tokio::test]
async fn a_refused_or_hanging_lookup_does_not_affect_the_session() {
    for (fault, expected) in [
        (HttpFault::Status(403), EndpointLookup::Refused { status: 403 }),
        (HttpFault::Status(503), EndpointLookup::Failed),
        (HttpFault::Html(200), EndpointLookup::Unusable),
        (HttpFault::Reset, EndpointLookup::Failed),
        (HttpFault::Hang, EndpointLookup::Failed),
    ] {
        let cloud = Cloud::start(CloudSpec::demo()).await;
        let name = format!("{fault:?}");
        let hangs = matches!(fault, HttpFault::Hang);
        let fault = Fault::Http(Endpoint::IotControl, fault);
        cloud.server.with_cloud(|cloud, _| cloud.add_fault(Window::times(u32::MAX, fault)));
        let client = cloud.client_with(looking_up()).await;
        becomes_live(&client).await;
        if hangs {
            // It is live before the look-up has had its time.
            let (_, lookup) = lookup(&client).await;
            assert!(matches!(lookup, EndpointLookup::Waiting | EndpointLookup::Failed), "{lookup:?}");
        } else {
            let host = mysa_sim::Names::default().iot_host;
            assert_eq!(lookup(&client).await, (host, expected), "{name}");
        }
        check_that_presses_arrive(&cloud, &client, 21.5).await;
        client.shutdown().await;
    }
}

#[tokio::test]
async fn a_thermostat_has_a_serial_number() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.client().await;
    let thing = client.describe_thing(&kitchen()).await.expect("a thing");
    assert_eq!(thing.name.as_deref(), Some(kitchen().as_str()));
    assert!(thing.serial.is_some_and(|serial| serial.starts_with("SN")));

    let unknown = DeviceId::new("ffffffffffff").expect("an id");
    let refused = client.describe_thing(&unknown).await.expect_err("not of this account");
    assert!(matches!(refused, Error::Request(RequestError::Refused { status: 403, .. })), "{refused}");

    let fault = Fault::Http(Endpoint::IotControl, HttpFault::Html(200));
    cloud.server.with_cloud(|cloud, _| cloud.add_fault(Window::times(1, fault)));
    let page = client.read_only().describe_thing(&kitchen()).await.expect_err("a page");
    assert!(matches!(page, Error::Decode(_)), "{page}");
    becomes_live(&client).await;
    client.shutdown().await;
    assert!(client.describe_thing(&kitchen()).await.is_err(), "the client has ended");
}
