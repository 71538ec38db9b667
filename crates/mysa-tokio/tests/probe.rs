//! Probing a host, and presigning a URL for another program, against the simulated cloud behind real TLS.

use std::time::Duration;

use mysa_sim::{CloudSpec, Names};
use mysa_sim_server::{Certificate, Server};
use mysa_tokio::{Client, ClientBuilder, Environment, Handshake, Model, ProbeError, Publishes, Subscribed};

const HOST: &str = "app-prod.mysa.cloud";
/// Ends only a test that hangs; nothing depends on its length.
const LIMIT: Duration = Duration::from_secs(300);

async fn cloud() -> (Server, String) {
    let certificate = Certificate::for_cloud(&Names::default()).expect("a certificate");
    let authority = certificate.authority_pem().expect("made here").to_owned();
    let at = ([127, 0, 0, 1], 0).into();
    (Server::start(at, certificate, CloudSpec::demo(), 7, 1.0).await.expect("a free port"), authority)
}

fn builder(server: &Server) -> ClientBuilder {
    Client::builder(Environment::mysa()).connect_to(server.address())
}

#[tokio::test]
async fn each_failing_step_has_its_own_error() {
    let (server, authority) = cloud().await;
    let trusting = builder(&server).extra_ca(authority.clone()).prober().expect("TLS");
    let probe = trusting.probe(HOST, 443, LIMIT).await.expect("the host is reachable");
    assert_eq!(probe.addresses, 1);
    assert!(matches!(trusting.probe("another.example", 443, LIMIT).await, Err(ProbeError::Untrusted(_))));
    let trusting_others = builder(&server).extra_ca(other_authority()).prober().expect("TLS");
    assert!(matches!(trusting_others.probe(HOST, 443, LIMIT).await, Err(ProbeError::Untrusted(_))));

    let nowhere = Client::builder(Environment::mysa()).extra_ca(authority.clone());
    let nowhere = nowhere.connect_to(([127, 0, 0, 1], 1).into()).prober().expect("TLS");
    assert!(matches!(nowhere.probe(HOST, 443, LIMIT).await, Err(ProbeError::Connect(_))));
    let prober = Client::builder(Environment::mysa()).extra_ca(authority).prober().expect("TLS");
    assert!(matches!(prober.probe("no.such.name.invalid", 443, LIMIT).await, Err(ProbeError::Name(_))));
}

fn other_authority() -> String {
    let other = Certificate::for_cloud(&Names::default()).expect("a certificate");
    other.authority_pem().expect("made here").to_owned()
}

#[tokio::test]
async fn a_url_signed_for_another_program_opens_a_connection_of_its_own() {
    let (server, authority) = cloud().await;
    let password = |builder: ClientBuilder| builder.password(CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD);
    let client = password(builder(&server).extra_ca(authority.clone())).connect().await.expect("a client");
    let url = tokio::time::timeout(LIMIT, client.presign()).await.expect("in time").expect("a URL");

    let device = client.devices()[0].id;
    let devices = vec![(device, Model::parse("BB-V1-1"))];
    let other = builder(&server).extra_ca(authority).captured(url.clone(), devices).start().expect("started");
    let mut events = other.events();
    let live = async {
        while !other.is_live() {
            events.next().await.expect("the client keeps running");
        }
    };
    tokio::time::timeout(LIMIT, live).await.expect("live with the URL");
    let again = other.presign().await.expect("a URL");
    assert_eq!(again.as_str(), url.as_str(), "a client with a captured URL returns that one");

    let seen = other.diagnosis().await.expect("the client keeps running");
    assert_eq!((seen.handshake, seen.signed_in), (Handshake::Accepted, false));
    assert_eq!(seen.subscriptions, [(device, Subscribed::Granted)]);
    assert_ne!(seen.publishing, Publishes::Denied);
    client.shutdown().await;
    assert!(client.presign().await.is_err() && client.diagnosis().await.is_err());
}
