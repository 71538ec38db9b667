//! Lookup of the broker's host, and of serial numbers, at the control plane of AWS IoT. The rig verifies the signature
//! of every request to it.

mod rig;

use std::time::Duration;

use mysa_proto::iot::Thing;
use mysa_session::{
    EndpointLookup, Environment, Event, HttpFailure, Level, RequestError, RequestId, Response, Settings,
    Start,
};

use rig::{FOUND, LATENCY, LITE, Reply, Rig, device, secs};

const FORBIDDEN: Reply = Reply::Status(403, r#"{"message":"not authorized to perform iot:DescribeThing"}"#);

fn looking_up() -> Rig {
    let mut settings = Settings::default();
    settings.lookup_endpoint = true;
    Rig::resume(settings)
}

fn configured() -> String {
    Environment::mysa().broker.host().to_owned()
}

/// Returns the dialled hosts, in order.
fn dialled(rig: &Rig) -> Vec<String> {
    let host = |url: &String| url.split('/').nth(2).unwrap_or_default().to_owned();
    rig.log.dials.iter().map(|(_, url)| host(url)).collect()
}

/// Returns the times of the requests to the control plane.
fn asked(rig: &Rig) -> Vec<Duration> {
    rig.log.http.iter().filter(|(_, what)| what.starts_with("IOT ")).map(|(at, _)| *at).collect()
}

fn is_live(rig: &Rig) -> bool {
    rig.session.service().level == Level::Live
}

fn lookup(rig: &Rig) -> EndpointLookup {
    rig.session.diagnosis(rig.now()).endpoint_lookup
}

fn describe(rig: &mut Rig, id: &str) -> RequestId {
    let now = rig.now();
    let id = rig.session.describe_thing(now, device(id)).expect("a free slot");
    rig.drain();
    id
}

fn response(rig: &Rig, wanted: RequestId) -> Option<&Result<Response, RequestError>> {
    rig.events.iter().find_map(|(_, event)| match event {
        Event::Response { id, result } if *id == wanted => Some(result),
        _ => None,
    })
}

#[test]
fn the_control_plane_is_asked_only_for_the_settings_or_a_caller() {
    let mut rig = Rig::live();
    rig.run(secs(2 * 3_600));
    assert!(asked(&rig).is_empty());
    assert_eq!(lookup(&rig), EndpointLookup::Off);
    assert_eq!(rig.session.diagnosis(rig.now()).broker.host(), configured());
    assert!(dialled(&rig).iter().all(|host| *host == configured()), "{:?}", dialled(&rig));
}

#[test]
fn the_host_that_was_looked_up_is_dialled() {
    let mut rig = looking_up();
    rig.run(secs(10));
    assert!(is_live(&rig), "{}", rig.session.service());
    assert_eq!(dialled(&rig), [FOUND]);
    assert_eq!((lookup(&rig), asked(&rig).len()), (EndpointLookup::Found, 1));
    assert_eq!(rig.session.diagnosis(rig.now()).broker.host(), FOUND);
    // The host has accepted a connection before, so later failures do not disqualify it.
    rig.cloud.upgrade = Some(503);
    rig.cut();
    rig.run(secs(60));
    rig.cloud.upgrade = None;
    rig.run(secs(120));
    assert!(is_live(&rig), "{}", rig.session.service());
    assert!(dialled(&rig).len() > 2 && dialled(&rig).iter().all(|host| host == FOUND), "{:?}", dialled(&rig));
    assert_eq!(asked(&rig).len(), 1);
}

#[test]
fn any_other_answer_leaves_the_configured_host_in_use() {
    let mut plain = Rig::new();
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
        let mut rig = looking_up();
        rig.cloud.iot = answer;
        rig.run(secs(60));
        assert!(is_live(&rig), "{answer:?}: {}", rig.session.service());
        assert_eq!(lookup(&rig), expected, "{answer:?}");
        assert_eq!((dialled(&rig), asked(&rig).len()), (vec![configured()], 1), "{answer:?}");
        let hold = if answer == Reply::Timeout { secs(3) } else { LATENCY };
        assert_eq!(rig.log.dials[0].0, usual + hold, "{answer:?}");

        // A failed lookup is repeated, a refused one is not. No connection is closed for it.
        rig.cloud.iot = Reply::Good;
        rig.run(secs(1_200));
        let again = if expected == EndpointLookup::Failed { 2 } else { 1 };
        assert_eq!((asked(&rig).len(), rig.log.dials.len()), (again, 1), "{answer:?}");
        rig.cut();
        rig.run(secs(60));
        let host = if again == 2 { FOUND } else { &configured() };
        assert_eq!(dialled(&rig)[1], host, "{answer:?}");
    }
}

#[test]
fn a_looked_up_host_that_accepts_no_connection_is_rejected() {
    let mut rig = looking_up();
    rig.cloud.refused_host = Some(FOUND);
    rig.run(secs(60));
    assert!(is_live(&rig), "{}", rig.session.service());
    assert_eq!((dialled(&rig), lookup(&rig)), (vec![FOUND.into(), configured()], EndpointLookup::Rejected));
    rig.run(secs(16 * 60));
    assert_eq!((asked(&rig).len(), dialled(&rig).len()), (2, 2));
    assert!(is_live(&rig), "{}", rig.session.service());
}

#[test]
fn a_late_answer_applies_to_the_next_dial() {
    let mut rig = looking_up();
    rig.cloud.iot_takes = secs(8);
    rig.run(secs(20));
    assert!(is_live(&rig), "{}", rig.session.service());
    assert_eq!((dialled(&rig), lookup(&rig)), (vec![configured()], EndpointLookup::Found));
    rig.cut();
    rig.run(secs(20));
    assert_eq!(dialled(&rig), [configured(), FOUND.into()]);
}

#[test]
fn a_thing_has_the_serial_number_of_its_thermostat() {
    let mut rig = Rig::live();
    let id = describe(&mut rig, LITE);
    rig.run(secs(1));
    let Some(Ok(response)) = response(&rig, id) else { panic!("{:?}", response(&rig, id)) };
    assert_eq!(response.status, 200);
    assert_eq!(Thing::decode(&response.body).unwrap().serial, Some(format!("S-{LITE}")));
    assert_eq!(asked(&rig).len(), 1);
    assert!(is_live(&rig));
}

#[test]
fn a_refused_or_unanswered_request_for_a_thing_affects_nothing_else() {
    for (answer, expected) in [
        (FORBIDDEN, RequestError::Refused { status: 403, body: Vec::new(), retry_after: None }),
        (Reply::Status(500, ""), RequestError::Refused { status: 500, body: Vec::new(), retry_after: None }),
        (Reply::Timeout, RequestError::Failed(HttpFailure::Timeout)),
    ] {
        let mut rig = Rig::live();
        let dials = rig.log.dials.len();
        rig.cloud.iot = answer;
        let id = describe(&mut rig, LITE);
        rig.run(secs(60));
        match (response(&rig, id), &expected) {
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
        assert_eq!((asked(&rig).len(), rig.log.dials.len()), (1, dials), "{answer:?}");
        assert!(is_live(&rig), "{answer:?}: {}", rig.session.service());
    }
}

#[test]
fn requests_for_things_are_bounded_and_each_is_answered() {
    let mut rig = Rig::live();
    rig.cloud.iot_takes = secs(1);
    let ids: Vec<_> = (0..24).map(|_| describe(&mut rig, LITE)).collect();
    let now = rig.now();
    assert!(rig.session.describe_thing(now, device(LITE)).is_err());
    assert!(rig.session.request(now, mysa_proto::rest::homes()).is_err());
    assert_eq!(asked(&rig).len(), 4);
    rig.run(secs(20));
    assert!(ids.iter().all(|id| matches!(response(&rig, *id), Some(Ok(_)))));
    let times = asked(&rig);
    assert!((4..24).all(|at| times[at] >= times[at - 4] + secs(1)), "{times:?}");
}

#[test]
fn an_account_without_thermostats_can_ask_too() {
    let mut rig = Rig::new();
    rig.cloud.devices.clear();
    rig.run(secs(5));
    assert_eq!(rig.asked("GetCredentials"), 0);
    let id = describe(&mut rig, LITE);
    rig.run(secs(5));
    assert!(matches!(response(&rig, id), Some(Ok(_))), "{:?}", response(&rig, id));
}

#[test]
fn without_credentials_a_request_ends_unsent() {
    let mut rig = Rig::new();
    rig.cloud.credentials = Reply::Status(400, r#"{"__type":"NotAuthorizedException"}"#);
    rig.run(secs(5));
    let id = describe(&mut rig, LITE);
    rig.run(secs(59));
    assert_eq!(response(&rig, id), None);
    rig.run(secs(2));
    assert_eq!(response(&rig, id), Some(&Err(RequestError::NotSent)));
    assert!(asked(&rig).is_empty());

    let signed = Rig::live().session.presign(Rig::live().now()).unwrap();
    let start = Start::Captured { url: signed, devices: Vec::new() };
    let mut settings = Settings::default();
    settings.lookup_endpoint = true;
    let mut captured = Rig::with(settings, start, 0);
    let id = describe(&mut captured, LITE);
    captured.run(secs(5));
    assert_eq!(response(&captured, id), Some(&Err(RequestError::NotSignedIn)));
    assert_eq!((asked(&captured), lookup(&captured)), (vec![], EndpointLookup::Off));
}

#[test]
fn signing_out_and_shutting_down_answer_waiting_callers() {
    for sign_out in [true, false] {
        let mut rig = Rig::live();
        rig.cloud.iot = Reply::Timeout;
        let ids: Vec<_> = (0..6).map(|_| describe(&mut rig, LITE)).collect();
        let now = rig.now();
        if sign_out {
            rig.session.sign_out(now);
        } else {
            rig.session.shutdown(now);
        }
        rig.drain();
        for id in ids {
            assert_eq!(response(&rig, id), Some(&Err(RequestError::NotSignedIn)), "{sign_out}");
        }
    }
}
