//! Lookup of the broker's host, and of serial numbers, at the control plane of AWS IoT. The harness verifies the signature
//! of every request to it.

mod harness;

use std::time::Duration;

use mysa_proto::iot::Thing;
use mysa_session::{
    EndpointLookup, Environment, Event, HttpFailure, Level, RequestError, RequestId, Response, Settings,
    Start,
};

use harness::{FOUND, Harness, LATENCY, LITE, Reply, device, secs};

const FORBIDDEN: Reply = Reply::Status(403, r#"{"message":"not authorized to perform iot:DescribeThing"}"#);

fn looking_up() -> Harness {
    let mut settings = Settings::default();
    settings.lookup_endpoint = true;
    Harness::resume(settings)
}

fn configured() -> String {
    Environment::mysa().broker.host().to_owned()
}

/// Returns the dialled hosts, in order.
fn dialled(harness: &Harness) -> Vec<String> {
    let host = |url: &String| url.split('/').nth(2).unwrap_or_default().to_owned();
    harness.log.dials.iter().map(|(_, url)| host(url)).collect()
}

/// Returns the times of the requests to the control plane.
fn asked(harness: &Harness) -> Vec<Duration> {
    harness.log.http.iter().filter(|(_, what)| what.starts_with("IOT ")).map(|(at, _)| *at).collect()
}

fn is_live(harness: &Harness) -> bool {
    harness.session.service().level == Level::Live
}

fn lookup(harness: &Harness) -> EndpointLookup {
    harness.session.diagnosis(harness.now()).endpoint_lookup
}

fn describe(harness: &mut Harness, id: &str) -> RequestId {
    let now = harness.now();
    let id = harness.session.describe_thing(now, device(id)).expect("a free slot");
    harness.drain();
    id
}

fn response(harness: &Harness, wanted: RequestId) -> Option<&Result<Response, RequestError>> {
    harness.events.iter().find_map(|(_, event)| match event {
        Event::Response { id, result } if *id == wanted => Some(result),
        _ => None,
    })
}

#[test]
fn the_control_plane_is_asked_only_for_the_settings_or_a_caller() {
    let mut harness = Harness::live();
    harness.run(secs(2 * 3_600));
    assert!(asked(&harness).is_empty());
    assert_eq!(lookup(&harness), EndpointLookup::Off);
    assert_eq!(harness.session.diagnosis(harness.now()).broker.host(), configured());
    assert!(dialled(&harness).iter().all(|host| *host == configured()), "{:?}", dialled(&harness));
}

#[test]
fn the_host_that_was_looked_up_is_dialled() {
    let mut harness = looking_up();
    harness.run(secs(10));
    assert!(is_live(&harness), "{}", harness.session.service());
    assert_eq!(dialled(&harness), [FOUND]);
    assert_eq!((lookup(&harness), asked(&harness).len()), (EndpointLookup::Found, 1));
    assert_eq!(harness.session.diagnosis(harness.now()).broker.host(), FOUND);
    // The host has accepted a connection before, so later failures do not disqualify it.
    harness.cloud.upgrade = Some(503);
    harness.cut();
    harness.run(secs(60));
    harness.cloud.upgrade = None;
    harness.run(secs(120));
    assert!(is_live(&harness), "{}", harness.session.service());
    assert!(
        dialled(&harness).len() > 2 && dialled(&harness).iter().all(|host| host == FOUND),
        "{:?}",
        dialled(&harness)
    );
    assert_eq!(asked(&harness).len(), 1);
}

#[test]
fn any_other_answer_leaves_the_configured_host_in_use() {
    let mut plain = Harness::new();
    plain.run(secs(10));
    let usual = plain.log.dials[0].0;
    let unusable = [
        "",
        "{}",
        "<html></html>",
        r#"{"endpointAddress":"example.org"}"#,
        r#"{"endpointAddress":"a1-ats.iot.us-west-2.amazonaws.com"}"#,
        r#"{"endpointAddress":"wss://a1-ats.iot.us-east-1.amazonaws.com/mqtt"}"#,
        r#"{"endpointAddress":"u@a1-ats.iot.us-east-1.amazonaws.com"}"#,
    ];
    let answers = unusable.map(|body| (Reply::Status(200, body), EndpointLookup::Unusable));
    let refusals = [
        (FORBIDDEN, EndpointLookup::Refused { status: 403 }),
        (Reply::Status(301, ""), EndpointLookup::Refused { status: 301 }),
        (Reply::Status(429, ""), EndpointLookup::Failed),
        (Reply::Status(500, "<html></html>"), EndpointLookup::Failed),
        (Reply::Timeout, EndpointLookup::Failed),
    ];
    for (answer, expected) in answers.into_iter().chain(refusals) {
        let mut harness = looking_up();
        harness.cloud.iot = answer;
        harness.run(secs(60));
        assert!(is_live(&harness), "{answer:?}: {}", harness.session.service());
        assert_eq!(lookup(&harness), expected, "{answer:?}");
        assert_eq!((dialled(&harness), asked(&harness).len()), (vec![configured()], 1), "{answer:?}");
        let hold = if answer == Reply::Timeout { secs(3) } else { LATENCY };
        assert_eq!(harness.log.dials[0].0, usual + hold, "{answer:?}");

        // A failed lookup is repeated, a refused one is not. No connection is closed for it.
        harness.cloud.iot = Reply::Good;
        harness.run(secs(1_200));
        let again = if expected == EndpointLookup::Failed { 2 } else { 1 };
        assert_eq!((asked(&harness).len(), harness.log.dials.len()), (again, 1), "{answer:?}");
        harness.cut();
        harness.run(secs(60));
        let host = if again == 2 { FOUND } else { &configured() };
        assert_eq!(dialled(&harness)[1], host, "{answer:?}");
    }
}

#[test]
fn a_looked_up_host_that_accepts_no_connection_is_rejected() {
    let mut harness = looking_up();
    harness.cloud.refused_host = Some(FOUND);
    harness.run(secs(60));
    assert!(is_live(&harness), "{}", harness.session.service());
    assert_eq!(
        (dialled(&harness), lookup(&harness)),
        (vec![FOUND.into(), configured()], EndpointLookup::Rejected)
    );
    harness.run(secs(16 * 60));
    assert_eq!((asked(&harness).len(), dialled(&harness).len()), (2, 2));
    assert!(is_live(&harness), "{}", harness.session.service());
}

#[test]
fn a_late_answer_applies_to_the_next_dial() {
    let mut harness = looking_up();
    harness.cloud.iot_takes = secs(8);
    harness.run(secs(20));
    assert!(is_live(&harness), "{}", harness.session.service());
    assert_eq!((dialled(&harness), lookup(&harness)), (vec![configured()], EndpointLookup::Found));
    harness.cut();
    harness.run(secs(20));
    assert_eq!(dialled(&harness), [configured(), FOUND.into()]);
}

#[test]
fn a_thing_has_the_serial_number_of_its_thermostat() {
    let mut harness = Harness::live();
    let id = describe(&mut harness, LITE);
    harness.run(secs(1));
    let Some(Ok(response)) = response(&harness, id) else { panic!("{:?}", response(&harness, id)) };
    assert_eq!(response.status, 200);
    assert_eq!(Thing::decode(&response.body).unwrap().serial, Some(format!("S-{LITE}")));
    assert_eq!(asked(&harness).len(), 1);
    assert!(is_live(&harness));
}

#[test]
fn a_refused_or_unanswered_request_for_a_thing_affects_nothing_else() {
    for (answer, expected) in [
        (FORBIDDEN, RequestError::Refused { status: 403, body: Vec::new(), retry_after: None }),
        (Reply::Status(500, ""), RequestError::Refused { status: 500, body: Vec::new(), retry_after: None }),
        (Reply::Timeout, RequestError::Failed(HttpFailure::Timeout)),
    ] {
        let mut harness = Harness::live();
        let dials = harness.log.dials.len();
        harness.cloud.iot = answer;
        let id = describe(&mut harness, LITE);
        harness.run(secs(60));
        match (response(&harness, id), &expected) {
            (
                Some(Err(RequestError::Refused { status, body, .. })),
                RequestError::Refused { status: wanted, .. },
            ) => {
                let Reply::Status(_, sent) = answer else { panic!("{answer:?}") };
                assert_eq!((status, body.as_slice()), (wanted, sent.as_bytes()));
            }
            (Some(Err(error)), expected) => assert_eq!(error, expected),
            (other, _) => panic!("{answer:?}: {other:?}"),
        }
        assert_eq!((asked(&harness).len(), harness.log.dials.len()), (1, dials), "{answer:?}");
        assert!(is_live(&harness), "{answer:?}: {}", harness.session.service());
    }
}

#[test]
fn requests_for_things_are_bounded_and_each_is_answered() {
    let mut harness = Harness::live();
    harness.cloud.iot_takes = secs(1);
    let ids: Vec<_> = (0..24).map(|_| describe(&mut harness, LITE)).collect();
    let now = harness.now();
    assert!(harness.session.describe_thing(now, device(LITE)).is_err());
    assert!(harness.session.request(now, mysa_proto::rest::homes()).is_err());
    assert_eq!(asked(&harness).len(), 4);
    harness.run(secs(20));
    assert!(ids.iter().all(|id| matches!(response(&harness, *id), Some(Ok(_)))));
    let times = asked(&harness);
    assert!((4..24).all(|at| times[at] >= times[at - 4] + secs(1)), "{times:?}");
}

#[test]
fn an_account_without_thermostats_can_ask_too() {
    let mut harness = Harness::new();
    harness.cloud.devices.clear();
    harness.run(secs(5));
    assert_eq!(harness.asked("GetCredentials"), 0);
    let id = describe(&mut harness, LITE);
    harness.run(secs(5));
    assert!(matches!(response(&harness, id), Some(Ok(_))), "{:?}", response(&harness, id));
}

#[test]
fn without_credentials_a_request_ends_unsent() {
    let mut harness = Harness::new();
    harness.cloud.credentials = Reply::Status(400, r#"{"__type":"NotAuthorizedException"}"#);
    harness.run(secs(5));
    let id = describe(&mut harness, LITE);
    harness.run(secs(59));
    assert_eq!(response(&harness, id), None);
    harness.run(secs(2));
    assert_eq!(response(&harness, id), Some(&Err(RequestError::NotSent)));
    assert!(asked(&harness).is_empty());

    let signed = Harness::live().session.presign(Harness::live().now()).unwrap();
    let start = Start::Captured { url: signed, devices: Vec::new() };
    let mut settings = Settings::default();
    settings.lookup_endpoint = true;
    let mut captured = Harness::with(settings, start, 0);
    let id = describe(&mut captured, LITE);
    captured.run(secs(5));
    assert_eq!(response(&captured, id), Some(&Err(RequestError::NotSignedIn)));
    assert_eq!((asked(&captured), lookup(&captured)), (vec![], EndpointLookup::Off));
}

#[test]
fn signing_out_and_shutting_down_answer_waiting_callers() {
    for sign_out in [true, false] {
        let mut harness = Harness::live();
        harness.cloud.iot = Reply::Timeout;
        let ids: Vec<_> = (0..6).map(|_| describe(&mut harness, LITE)).collect();
        let now = harness.now();
        if sign_out {
            harness.session.sign_out(now);
        } else {
            harness.session.shutdown(now);
        }
        harness.drain();
        for id in ids {
            assert_eq!(response(&harness, id), Some(&Err(RequestError::NotSignedIn)), "{sign_out}");
        }
    }
}
