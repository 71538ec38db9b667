//! The control plane of AWS IoT: its two calls, and the signatures it refuses.

mod harness;

use std::time::Duration;

use harness::{Harness, IOT, LEGACY_POOL, MODERN_POOL, WALL, id};
use mysa_cognito::Step;
use mysa_proto::iot::{self, Endpoint, Thing};
use mysa_sigv4::{Credentials, HeaderSigner, Request};
use mysa_sim::{CloudSpec, Endpoint as At, Fault, HttpFault, HttpReply, Window};
use serde_json::Value;
use time::OffsetDateTime;

const CONTROL: &str = "iot.us-east-1.amazonaws.com";

fn credentials(harness: &mut Harness, pool: &str) -> Credentials {
    let tokens =
        if pool == MODERN_POOL { harness.sign_in_as(harness::MODERN_CLIENT) } else { harness.sign_in() };
    let lent = harness.credentials(pool, &tokens);
    Credentials::new(lent.access_key_id.as_str(), lent.secret_key.expose(), Some(lent.session_token.expose()))
}

/// Sends a signed request, with the headers changed by `change` after signing.
fn ask(
    harness: &mut Harness,
    signer: &HeaderSigner,
    credentials: &Credentials,
    (method, target): (&str, &str),
    change: impl Fn(&mut Vec<(String, String)>),
) -> HttpReply {
    let request = Request { method, target, headers: &[("host", CONTROL)] };
    let time = OffsetDateTime::from_unix_timestamp(WALL + harness.now.as_secs() as i64).expect("a time");
    let signed = signer.sign(credentials, &request, b"", time).expect("signable");
    let mut headers: Vec<(String, String)> =
        signed.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    change(&mut headers);
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    harness.http(CONTROL, method, target, &headers, "")
}

fn get(harness: &mut Harness, credentials: &Credentials, target: &str) -> HttpReply {
    ask(harness, &HeaderSigner::new("us-east-1", "iot"), credentials, ("GET", target), |_| {})
}

/// The type of an error, in AWS's form: in a header, with a message in the body.
fn error(reply: &HttpReply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (reply.status, reply.header("x-amzn-errortype").expect("a type").to_owned())
}

#[test]
fn the_endpoint_is_the_host_of_the_broker() {
    let mut harness = Harness::demo();
    for pool in [LEGACY_POOL, MODERN_POOL] {
        let credentials = credentials(&mut harness, pool);
        let reply = get(&mut harness, &credentials, iot::describe_endpoint().target());
        let endpoint = Endpoint::decode(&reply.body, "us-east-1").expect("an endpoint");
        assert_eq!((reply.status, endpoint.host()), (200, IOT));
        for target in
            ["/endpoint", "/endpoint?endpointType=iot%3AJobs", "/endpoint?endpointtype=iot%3AData-ATS"]
        {
            let reply = get(&mut harness, &credentials, target);
            assert_eq!(error(&reply), (400, "InvalidRequestException".into()), "{target}");
        }
    }
}

#[test]
fn a_serial_number_is_given_only_to_the_owner_of_the_thermostat() {
    let mut harness = Harness::demo();
    let credentials = credentials(&mut harness, LEGACY_POOL);
    let reply = get(&mut harness, &credentials, iot::describe_thing(id("f6")).target());
    let thing = Thing::decode(&reply.body).expect("a thing");
    assert_eq!((reply.status, thing.name.as_deref()), (200, Some("a0b1c2d3e4f6")));
    assert!(thing.serial.is_some_and(|serial| serial.starts_with("SN")));

    let reply = get(&mut harness, &credentials, "/things/ffffffffffff");
    assert_eq!(error(&reply), (403, "AccessDeniedException".into()));
    for target in ["/", "/things", "/things/", "/things/a0b1c2d3e4f6/x", "/endpoints"] {
        let reply = get(&mut harness, &credentials, target);
        assert_eq!(error(&reply), (404, "UnknownOperationException".into()), "{target}");
    }
    let signer = HeaderSigner::new("us-east-1", "iot");
    let reply = ask(&mut harness, &signer, &credentials, ("DELETE", "/things/a0b1c2d3e4f6"), |_| {});
    assert_eq!(error(&reply), (404, "UnknownOperationException".into()));
    harness.now = Duration::from_secs(3_601);
    let expired = get(&mut harness, &credentials, "/things/a0b1c2d3e4f6");
    assert_eq!(
        error(&expired),
        (403, "UnrecognizedClientException".into()),
        "credentials expire after one hour"
    );
}

#[test]
fn a_thermostat_of_another_account_is_denied() {
    let mut spec = CloudSpec::demo();
    spec.accounts.push(mysa_sim::AccountSpec::new("other@example.com", "Another-Horse-2"));
    let mut harness = Harness::new(spec);
    let step = harness.try_sign_in(harness::LEGACY_CLIENT, "other@example.com", "Another-Horse-2");
    let Ok(Step::Done(tokens)) = step else { panic!("{step:?}") };
    let lent = harness.credentials(LEGACY_POOL, &tokens);
    let credentials = Credentials::new(
        lent.access_key_id.as_str(),
        lent.secret_key.expose(),
        Some(lent.session_token.expose()),
    );
    let reply = get(&mut harness, &credentials, "/things/a0b1c2d3e4f6");
    assert_eq!(error(&reply), (403, "AccessDeniedException".into()));
}

#[test]
fn a_bad_signature_is_refused_by_the_name_that_aws_has_for_it() {
    const THING: (&str, &str) = ("GET", "/things/a0b1c2d3e4f6");
    let mut harness = Harness::demo();
    let good = credentials(&mut harness, LEGACY_POOL);
    let signer = HeaderSigner::new("us-east-1", "iot");
    assert_eq!(ask(&mut harness, &signer, &good, THING, |_| {}).status, 200);

    let without = |name: &'static str| {
        move |headers: &mut Vec<(String, String)>| headers.retain(|(sent, _)| sent != name)
    };
    let reply = ask(&mut harness, &signer, &good, THING, without("authorization"));
    assert_eq!(error(&reply), (403, "MissingAuthenticationTokenException".into()));
    let reply = ask(&mut harness, &signer, &good, THING, without("x-amz-date"));
    assert_eq!(error(&reply), (403, "IncompleteSignatureException".into()));
    let reply = ask(&mut harness, &signer, &good, THING, |headers| headers[0].1 = "Bearer x".into());
    assert_eq!(error(&reply), (403, "IncompleteSignatureException".into()));

    let invalid = (403, String::from("InvalidSignatureException"));
    let reply = ask(&mut harness, &signer, &good, THING, |headers| headers[0].1 = flipped(&headers[0].1));
    assert_eq!(error(&reply), invalid);
    for signer in [HeaderSigner::new("us-west-2", "iot"), HeaderSigner::new("us-east-1", "iotdata")] {
        assert_eq!(error(&ask(&mut harness, &signer, &good, THING, |_| {})), invalid, "{signer:?}");
    }
    let key = good.access_key_id();
    let unknown = (403, String::from("UnrecognizedClientException"));
    let other_secret = Credentials::new(key, "another", None);
    assert_eq!(error(&get(&mut harness, &other_secret, THING.1)), invalid);
    let stranger = Credentials::new("ASIAUNKNOWN", "another", None);
    assert_eq!(error(&get(&mut harness, &stranger, THING.1)), unknown);

    let request = Request { method: "GET", target: THING.1, headers: &[("host", CONTROL)] };
    let time = OffsetDateTime::from_unix_timestamp(WALL).expect("a time");
    let signed = signer.sign(&good, &request, b"", time).expect("signable");
    let headers: Vec<(&str, &str)> = signed.iter().collect();
    assert_eq!(error(&harness.http(CONTROL, "GET", THING.1, &headers, "{}")), invalid, "the body is signed");
    assert_eq!(error(&harness.http(CONTROL, "GET", "/things/a0b1c2d3e4f6?x", &headers, "")), invalid);

    // Signed with a clock that is wrong by ten minutes.
    for off in [-600, 600] {
        let time = OffsetDateTime::from_unix_timestamp(WALL + off).expect("a time");
        let signed = signer.sign(&good, &request, b"", time).expect("signable");
        let headers: Vec<(&str, &str)> = signed.iter().collect();
        assert_eq!(error(&harness.http(CONTROL, "GET", THING.1, &headers, "")), invalid, "{off}");
    }
}

#[test]
fn faults_of_the_control_plane_leave_the_rest_alone() {
    let mut harness = Harness::demo();
    let credentials = credentials(&mut harness, LEGACY_POOL);
    harness.cloud.add_fault(Window::times(1, Fault::Http(At::IotControl, HttpFault::Status(403))));
    let reply = get(&mut harness, &credentials, "/things/a0b1c2d3e4f6");
    assert_eq!(error(&reply), (403, "ForbiddenException".into()));
    harness.sign_in();
}

/// Returns the text with its last hexadecimal digit changed.
fn flipped(text: &str) -> String {
    let (rest, last) = text.split_at(text.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}
