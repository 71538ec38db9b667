//! The control plane of AWS IoT: its two calls, and the signatures it refuses.

mod rig;

use std::time::Duration;

use mysa_cognito::Step;
use mysa_proto::iot::{self, Endpoint, Thing};
use mysa_sigv4::{Credentials, HeaderSigner, Request};
use mysa_sim::{CloudSpec, Endpoint as At, Fault, HttpFault, HttpReply, Window};
use rig::{IOT, LEGACY_POOL, MODERN_POOL, Rig, WALL, id};
use serde_json::Value;
use time::OffsetDateTime;

const CONTROL: &str = "iot.us-east-1.amazonaws.com";

fn credentials(rig: &mut Rig, pool: &str) -> Credentials {
    let tokens = if pool == MODERN_POOL { rig.sign_in_as(rig::MODERN_CLIENT) } else { rig.sign_in() };
    let lent = rig.credentials(pool, &tokens);
    Credentials::new(lent.access_key_id.as_str(), lent.secret_key.expose(), Some(lent.session_token.expose()))
}

/// Sends a signed request, with the headers changed by `change` after signing.
fn ask(
    rig: &mut Rig,
    signer: &HeaderSigner,
    credentials: &Credentials,
    (method, target): (&str, &str),
    change: impl Fn(&mut Vec<(String, String)>),
) -> HttpReply {
    let request = Request { method, target, headers: &[("host", CONTROL)] };
    let time = OffsetDateTime::from_unix_timestamp(WALL + rig.now.as_secs() as i64).expect("a time");
    let signed = signer.sign(credentials, &request, b"", time).expect("signable");
    let mut headers: Vec<(String, String)> =
        signed.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    change(&mut headers);
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    rig.http(CONTROL, method, target, &headers, "")
}

fn get(rig: &mut Rig, credentials: &Credentials, target: &str) -> HttpReply {
    ask(rig, &HeaderSigner::new("us-east-1", "iot"), credentials, ("GET", target), |_| {})
}

/// The type of an error, in AWS's form: in a header, with a message in the body.
fn error(reply: &HttpReply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (reply.status, reply.header("x-amzn-errortype").expect("a type").to_owned())
}

#[test]
fn the_endpoint_is_the_host_of_the_broker() {
    let mut rig = Rig::demo();
    for pool in [LEGACY_POOL, MODERN_POOL] {
        let credentials = credentials(&mut rig, pool);
        let reply = get(&mut rig, &credentials, iot::describe_endpoint().target());
        let endpoint = Endpoint::decode(&reply.body, "us-east-1").expect("an endpoint");
        assert_eq!((reply.status, endpoint.host()), (200, IOT));
        for target in
            ["/endpoint", "/endpoint?endpointType=iot%3AJobs", "/endpoint?endpointtype=iot%3AData-ATS"]
        {
            let reply = get(&mut rig, &credentials, target);
            assert_eq!(error(&reply), (400, "InvalidRequestException".into()), "{target}");
        }
    }
}

#[test]
fn a_serial_number_is_given_only_to_the_owner_of_the_thermostat() {
    let mut rig = Rig::demo();
    let credentials = credentials(&mut rig, LEGACY_POOL);
    let reply = get(&mut rig, &credentials, iot::describe_thing(id("f6")).target());
    let thing = Thing::decode(&reply.body).expect("a thing");
    assert_eq!((reply.status, thing.name.as_deref()), (200, Some("a0b1c2d3e4f6")));
    assert!(thing.serial.is_some_and(|serial| serial.starts_with("SN")));

    let reply = get(&mut rig, &credentials, "/things/ffffffffffff");
    assert_eq!(error(&reply), (403, "AccessDeniedException".into()));
    for target in ["/", "/things", "/things/", "/things/a0b1c2d3e4f6/x", "/endpoints"] {
        let reply = get(&mut rig, &credentials, target);
        assert_eq!(error(&reply), (404, "UnknownOperationException".into()), "{target}");
    }
    let signer = HeaderSigner::new("us-east-1", "iot");
    let reply = ask(&mut rig, &signer, &credentials, ("DELETE", "/things/a0b1c2d3e4f6"), |_| {});
    assert_eq!(error(&reply), (404, "UnknownOperationException".into()));
    rig.now = Duration::from_secs(3_601);
    let expired = get(&mut rig, &credentials, "/things/a0b1c2d3e4f6");
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
    let mut rig = Rig::new(spec);
    let step = rig.try_sign_in(rig::LEGACY_CLIENT, "other@example.com", "Another-Horse-2");
    let Ok(Step::Done(tokens)) = step else { panic!("{step:?}") };
    let lent = rig.credentials(LEGACY_POOL, &tokens);
    let credentials = Credentials::new(
        lent.access_key_id.as_str(),
        lent.secret_key.expose(),
        Some(lent.session_token.expose()),
    );
    let reply = get(&mut rig, &credentials, "/things/a0b1c2d3e4f6");
    assert_eq!(error(&reply), (403, "AccessDeniedException".into()));
}

#[test]
fn a_bad_signature_is_refused_by_the_name_that_aws_has_for_it() {
    const THING: (&str, &str) = ("GET", "/things/a0b1c2d3e4f6");
    let mut rig = Rig::demo();
    let good = credentials(&mut rig, LEGACY_POOL);
    let signer = HeaderSigner::new("us-east-1", "iot");
    assert_eq!(ask(&mut rig, &signer, &good, THING, |_| {}).status, 200);

    let without = |name: &'static str| {
        move |headers: &mut Vec<(String, String)>| headers.retain(|(sent, _)| sent != name)
    };
    let reply = ask(&mut rig, &signer, &good, THING, without("authorization"));
    assert_eq!(error(&reply), (403, "MissingAuthenticationTokenException".into()));
    let reply = ask(&mut rig, &signer, &good, THING, without("x-amz-date"));
    assert_eq!(error(&reply), (403, "IncompleteSignatureException".into()));
    let reply = ask(&mut rig, &signer, &good, THING, |headers| headers[0].1 = "Bearer x".into());
    assert_eq!(error(&reply), (403, "IncompleteSignatureException".into()));

    let invalid = (403, String::from("InvalidSignatureException"));
    let reply = ask(&mut rig, &signer, &good, THING, |headers| headers[0].1 = flipped(&headers[0].1));
    assert_eq!(error(&reply), invalid);
    for signer in [HeaderSigner::new("us-west-2", "iot"), HeaderSigner::new("us-east-1", "iotdata")] {
        assert_eq!(error(&ask(&mut rig, &signer, &good, THING, |_| {})), invalid, "{signer:?}");
    }
    let key = good.access_key_id();
    let unknown = (403, String::from("UnrecognizedClientException"));
    let other_secret = Credentials::new(key, "another", None);
    assert_eq!(error(&get(&mut rig, &other_secret, THING.1)), invalid);
    let stranger = Credentials::new("ASIAUNKNOWN", "another", None);
    assert_eq!(error(&get(&mut rig, &stranger, THING.1)), unknown);

    let request = Request { method: "GET", target: THING.1, headers: &[("host", CONTROL)] };
    let time = OffsetDateTime::from_unix_timestamp(WALL).expect("a time");
    let signed = signer.sign(&good, &request, b"", time).expect("signable");
    let headers: Vec<(&str, &str)> = signed.iter().collect();
    assert_eq!(error(&rig.http(CONTROL, "GET", THING.1, &headers, "{}")), invalid, "the body is signed");
    assert_eq!(error(&rig.http(CONTROL, "GET", "/things/a0b1c2d3e4f6?x", &headers, "")), invalid);

    // Signed with a clock that is wrong by ten minutes.
    for off in [-600, 600] {
        let time = OffsetDateTime::from_unix_timestamp(WALL + off).expect("a time");
        let signed = signer.sign(&good, &request, b"", time).expect("signable");
        let headers: Vec<(&str, &str)> = signed.iter().collect();
        assert_eq!(error(&rig.http(CONTROL, "GET", THING.1, &headers, "")), invalid, "{off}");
    }
}

#[test]
fn faults_of_the_control_plane_leave_the_rest_alone() {
    let mut rig = Rig::demo();
    let credentials = credentials(&mut rig, LEGACY_POOL);
    rig.cloud.add_fault(Window::times(1, Fault::Http(At::IotControl, HttpFault::Status(403))));
    let reply = get(&mut rig, &credentials, "/things/a0b1c2d3e4f6");
    assert_eq!(error(&reply), (403, "ForbiddenException".into()));
    rig.sign_in();
}

/// Returns the text with its last hexadecimal digit changed.
fn flipped(text: &str) -> String {
    let (rest, last) = text.split_at(text.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}
