//! Unusual input, and bounds on what it may cost.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{Harness, LITE, device, secs, stored};
use mysa_cognito::{RefreshToken, Secret};
use mysa_proto::{Celsius, Change, Mode, Model, UnixTime};
use mysa_session::{
    CommandId, ConnId, Environment, Event, HttpAnswer, HttpFailure, HttpId, HttpResult, Level, Now, Output,
    Reason, Session, Settings, Start, Verdict,
};
use mysa_sigv4::PresignedUrl;
use mysa_testkit::{Ack, V2Status};
use proptest::prelude::*;

fn captured() -> Start {
    let url = "wss://a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=ASIAEXAMPLE%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request\
        &X-Amz-Date=20260102T030405Z&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
        &X-Amz-Security-Token=CANARY";
    let devices = vec![(device(LITE), Model::parse("BB-V2-0-L"))];
    Start::Captured { url: PresignedUrl::parse(url).unwrap(), devices }
}

#[test]
fn a_captured_url_suffices_for_statuses_and_commands() {
    let mut harness = Harness::with(Settings::default(), captured(), 0);
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    assert_eq!(harness.log.http.len(), 0);
    let id = harness.set(LITE, 21.0);
    harness.run(secs(5));
    assert!(harness.verdict(id).is_confirmed());
}

#[test]
fn a_session_with_a_captured_url_takes_further_thermostats() {
    let Start::Captured { url, devices } = captured() else { panic!("a captured URL") };
    let mut harness = Harness::with(Settings::default(), Start::Captured { url, devices: Vec::new() }, 0);
    harness.run(secs(10));
    let now = harness.now();
    harness.session.assume_devices(now, devices.into_iter().map(|(id, model)| (id, model, None)));
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
    let id = harness.set(LITE, 21.0);
    harness.run(secs(5));
    assert!(harness.verdict(id).is_confirmed());
}

#[test]
fn a_captured_url_that_has_expired_is_reported_as_expired() {
    let mut harness = Harness::with(Settings::default(), captured(), 0);
    harness.run(secs(3_600));
    assert_eq!(harness.session.service().level, Level::Live, "the connection outlives the URL");
    harness.cut();
    harness.run(secs(120));
    assert_eq!(harness.session.service().level, Level::SignInNeeded);
    assert_eq!(harness.session.service().reason, Reason::CapturedUrlExpired);
    assert_eq!(harness.log.dials.len(), 1);
}

#[test]
fn a_session_recovers_after_the_host_slept_for_two_hours() {
    for clock_runs_while_asleep in [false, true] {
        let mut harness = Harness::live();
        // The broker closed the connection during the sleep, and the close was lost.
        harness.cut_unnoticed();
        // `CLOCK_BOOTTIME` runs during a suspend, `CLOCK_MONOTONIC` does not.
        if clock_runs_while_asleep {
            harness.mono += secs(7_200);
        } else {
            harness.host_ahead_ms += 7_200_000;
            harness.truth_ahead_secs += 7_200;
        }
        harness.run(secs(90));
        assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
        assert_eq!(harness.log.connects.len(), 2);
    }
}

#[test]
fn a_change_during_a_suspend_is_shown_even_if_the_monotonic_clock_stood_still() {
    for clock_runs_while_asleep in [false, true] {
        let mut harness = Harness::live();
        harness.cloud.sends_at_ping = false;
        harness.status(LITE, 20.0);
        harness.run(secs(10));
        let shown = |harness: &Harness| {
            let state = harness.session.state(device(LITE)).unwrap();
            state.setpoint().unwrap().value.as_degrees()
        };
        assert_eq!(shown(&harness), 20.0);
        if clock_runs_while_asleep {
            harness.mono += secs(7_200);
        } else {
            harness.host_ahead_ms += 7_200_000;
            harness.truth_ahead_secs += 7_200;
        }
        // Somebody changed it an hour ago, and only REST shows that.
        let changed = harness.truth_secs() - 3_600;
        harness.cloud.setpoints.insert(LITE.into(), (23.0, changed));
        harness.run(secs(30));
        assert_eq!(shown(&harness), 23.0, "{clock_runs_while_asleep}");
        harness.run(secs(1_200));
        assert_eq!(shown(&harness), 23.0, "{clock_runs_while_asleep}");
    }
}

#[test]
fn a_clock_that_is_set_while_running_does_not_break_signing() {
    for set_ms in [-1_200_000, 1_200_000] {
        let mut harness = Harness::live();
        harness.host_ahead_ms += set_ms;
        harness.run(secs(5));
        harness.cut();
        harness.run(secs(30));
        assert_eq!(harness.session.service().level, Level::Live);
        let date = harness.log.dials.last().unwrap().1.split("X-Amz-Date=").nth(1).unwrap()[..13].to_owned();
        assert_eq!(date, "20260102T0304", "{set_ms}");
    }
}

#[test]
fn a_reader_that_stalls_for_an_hour_misses_no_verdict_and_not_the_latest_state() {
    let mut harness = Harness::live();
    let mut settings_received = 0;
    harness.paused = true;
    let id = harness.set(LITE, 21.0);
    for tick in 0..3_600 {
        harness.status(LITE, if tick % 2 == 0 { 20.0 } else { 21.0 });
        harness.run(secs(1));
    }
    harness.paused = false;
    harness.run(secs(1));
    for (_, event) in &harness.events {
        if let Event::Device { skipped, .. } = event {
            settings_received = settings_received.max(*skipped);
        }
    }
    assert!(settings_received > 3_000, "{settings_received}");
    assert!(harness.verdict(id).is_confirmed());
    assert!(harness.events.len() < 300, "{}", harness.events.len());
    assert_eq!(harness.session.service().level, Level::Live, "pings must continue");
}

#[test]
fn a_status_from_before_a_command_does_not_roll_it_back() {
    let mut harness = Harness::live();
    harness.status(LITE, 19.0);
    harness.run(secs(5));
    let old = harness.truth_secs() - 3;
    let id = harness.set(LITE, 22.0);
    harness.run(secs(2));
    assert!(harness.verdict(id).is_confirmed());
    let status = V2Status { setpoint: 19.0, ..V2Status::new(LITE, old) };
    harness.publish_from(LITE, &status.to_string(), Duration::ZERO);
    harness.run(secs(2));
    let setpoint = harness.session.state(device(LITE)).unwrap().setpoint().unwrap().value;
    assert_eq!(setpoint, Celsius::from_hundredths(2_200));
}

#[test]
fn an_acknowledgement_without_resp_id_leaves_the_command_open() {
    let mut harness = Harness::live();
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let id = harness.set(LITE, 21.5);
    harness.run(secs(2));
    let at = harness.truth_secs();
    let ack = Ack::new(LITE, at, 12_345, 21.5);
    // The first is unsolicited, the second answers another client's command.
    for ack in [Ack { resp_id: None, ..ack }, ack] {
        harness.publish_from(LITE, &ack.to_string(), Duration::ZERO);
    }
    harness.run(secs(2));
    assert_eq!(harness.verdicts(id), []);
}

#[test]
fn unreadable_messages_are_reported_and_the_connection_stays() {
    let mut harness = Harness::live();
    // mysotherm has seen payloads that end after `"body":`.
    for message in ["", "{\"msg\":40,\"body\":", "\u{1}", "[]", "{\"msg\":\"x\"}"] {
        harness.publish_from(LITE, message, Duration::ZERO);
    }
    harness.status(LITE, 23.0);
    harness.run(secs(2));
    assert_eq!(harness.log.connects.len(), 1);
    assert!(harness.events.iter().any(|(_, event)| matches!(event, Event::Unreadable { .. })));
    assert_eq!(harness.session.state(device(LITE)).unwrap().setpoint().unwrap().value.as_degrees(), 23.0);
}

#[test]
fn a_read_only_session_refuses_each_command() {
    let mut settings = Settings::default();
    settings.read_only = true;
    let mut harness = Harness::resume(settings);
    harness.run(secs(10));
    assert_eq!(harness.session.service().level, Level::ReadOnly);
    let id = harness.set(LITE, 21.0);
    harness.run(secs(1));
    assert!(matches!(harness.verdict(id), Verdict::Refused(_)));
}

#[test]
fn a_read_only_session_writes_no_settings() {
    use mysa_proto::rest;
    use mysa_session::RequestError;

    for (read_only, sent) in [(true, 0), (false, 1)] {
        let mut settings = Settings::default();
        settings.read_only = read_only;
        let mut harness = Harness::resume(settings);
        harness.run(secs(10));
        let now = harness.now();
        let write = harness.session.write_settings(now, rest::set_lock(device(LITE), true)).unwrap();
        harness.run(secs(2));
        assert_eq!(harness.asked(&format!("/devices/{LITE}")), sent);
        let refused = harness.events.iter().any(|(_, event)| {
            matches!(event, Event::Response { id, result: Err(RequestError::ReadOnly) } if *id == write)
        });
        assert_eq!(refused, read_only);
    }
}

#[test]
fn nothing_secret_prints() {
    let mut harness = Harness::live();
    harness.status(LITE, 20.0);
    harness.run(secs(1));
    let printed = format!("{:?} {:?} {:?}", harness.session, harness.events, harness.stored);
    assert!(!printed.contains("CANARY"), "{printed}");
    let start = Start::Password { username: "CANARY@example.org".into(), password: "CANARY".into() };
    let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1) };
    let mut session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
    let mut printed = format!("{session:?}");
    while let Some(output) = session.poll_output() {
        printed.push_str(&format!("{output:?}"));
    }
    assert!(!printed.contains("CANARY"), "{printed}");
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut harness = Harness::new();
        harness.run(secs(3_600));
        harness.set(LITE, 21.0);
        harness.cut();
        harness.run(secs(3_600));
        (harness.log.dials, harness.log.publishes, format!("{:?}", harness.events))
    };
    assert_eq!(run(), run());
}

#[test]
fn a_status_does_not_allocate() {
    let mut harness = Harness::live();
    harness.status(LITE, 20.0);
    harness.run(secs(1));
    harness.keep_bytes = true;
    harness.status(LITE, 20.5);
    harness.run(secs(1));
    let (conn, bytes) = harness.kept.pop().unwrap();
    let now = harness.now();
    // Repeated once, so queues reach their size before the measurement.
    harness.session.handle_ws_bytes(now, conn, &bytes);
    while harness.session.poll_output().is_some() {}
    let setpoint = bytes.windows(4).position(|four| four == b"20.5").unwrap();
    let mut other = bytes.clone();
    other[setpoint + 1] = b'1';
    let mut events = 0;
    let cost = allocation_counter::measure(|| {
        harness.session.handle_ws_bytes(now, conn, &other);
        while let Some(Output::Event(Event::Device { .. })) = harness.session.poll_output() {
            events += 1;
        }
    });
    assert_eq!((events, cost.count_total), (1, 0));
}

#[test]
fn a_session_uses_little_memory() {
    let held = |count: u32| {
        let mut harness = Harness::new();
        harness.cloud.devices =
            (0..count).map(|n| (format!("a0b1c2d3{n:04x}"), "BB-V2-0-L".into())).collect();
        harness.run(secs(1_800));
        for n in 0..count {
            harness.status(&format!("a0b1c2d3{n:04x}"), 20.0);
        }
        harness.run(secs(2));
        let session = harness.session;
        let heap = allocation_counter::measure(|| drop(session)).bytes_current;
        i64::try_from(size_of::<Session>()).unwrap() - heap
    };
    let (five, fifty) = (held(5), held(50));
    let each = (fifty - five) / 45;
    println!("{five} bytes with 5 thermostats, {each} for each further one");
    assert!(five - 5 * each < 8 * 1_024, "{}", five - 5 * each);
    assert!(each <= 1_024, "{each}");
}

/// One call, with arbitrary arguments.
#[derive(Clone, Debug)]
enum Call {
    Wait(u64),
    Back,
    WallJump(i64),
    Http { status: u16, body: &'static str },
    HttpFailed,
    Opened,
    Refused(Option<u16>),
    Bytes(Vec<u8>),
    ConnAck,
    SubAck(Vec<u8>),
    PubAck(u16),
    Closed,
    Setpoint(i32),
    Mode,
    Cancel,
    SignIn,
    SignOut,
    Challenge,
    Request,
    NetworkChanged,
    OldConnection,
    Stored(Option<&'static str>),
    Drain,
}

fn call() -> impl Strategy<Value = Call> {
    let body = prop_oneof![
        Just(""),
        Just("<html>"),
        Just("{}"),
        Just(r#"{"__type":"NotAuthorizedException","message":"no"}"#),
        Just(r#"{"DevicesObj":{"a0b1c2d3e4f7":{"Model":"BB-V2-0-L"},"a0b1c2d3e4f6":{"Model":"AC-V1-0"}}}"#),
        Just(r#"{"DevicesObj":{}}"#),
        Just(r#"{"DeviceStatesObj":{"a0b1c2d3e4f7":{"SetPoint":{"v":21,"t":1767323045}}}}"#),
        Just(
            r#"{"IdentityId":"x","Credentials":{"AccessKeyId":"A","SecretKey":"S","SessionToken":"T","Expiration":1767329045}}"#
        ),
        Just("TOKENS"),
    ];
    prop_oneof![
        6 => prop_oneof![Just(0_u64), 1..100_u64, 1_000..40_000_u64, 3_600_000..90_000_000_u64].prop_map(Call::Wait),
        1 => Just(Call::Back),
        1 => any::<i64>().prop_map(Call::WallJump),
        12 => (prop_oneof![5 => Just(200_u16), 1 => Just(400), 1 => Just(401), 1 => Just(429), 1 => Just(500)], body)
            .prop_map(|(status, body)| Call::Http { status, body }),
        1 => Just(Call::HttpFailed),
        4 => Just(Call::Opened),
        1 => prop::option::of(any::<u16>()).prop_map(Call::Refused),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Call::Bytes),
        4 => Just(Call::ConnAck),
        3 => prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0x80)], 1..9).prop_map(Call::SubAck),
        3 => (0..20_u16).prop_map(Call::PubAck),
        1 => Just(Call::Closed),
        4 => (-10..50_i32).prop_map(Call::Setpoint),
        1 => Just(Call::Mode),
        1 => Just(Call::Cancel),
        1 => Just(Call::SignIn),
        1 => Just(Call::SignOut),
        1 => Just(Call::Challenge),
        1 => Just(Call::Request),
        1 => Just(Call::NetworkChanged),
        1 => Just(Call::OldConnection),
        3 => prop::option::of(prop_oneof![Just("CANARY-refresh"), Just("another")]).prop_map(Call::Stored),
        6 => Just(Call::Drain),
    ]
}

#[derive(Default)]
struct Received {
    https: Vec<HttpId>,
    conns: Vec<ConnId>,
    verdicts: BTreeMap<CommandId, u32>,
    packets: u16,
}

impl Received {
    fn drain(&mut self, session: &mut Session) {
        let mut outputs = 0;
        while let Some(output) = session.poll_output() {
            outputs += 1;
            assert!(outputs < 5_000, "an endless queue");
            match output {
                Output::Http(request) => self.https.push(request.id),
                Output::Dial(dial) => self.conns.push(dial.conn),
                Output::Send { bytes, .. } => self.packets += u16::from(bytes.first() == Some(&0x82)),
                Output::Event(Event::Verdict { id, .. }) => *self.verdicts.entry(id).or_default() += 1,
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn calls_in_any_order_are_harmless_and_every_command_has_one_verdict(
        calls in prop::collection::vec(call(), 0..120)
    ) {
        let (mut mono, mut wall) = (Duration::from_secs(1), harness::START);
        let at = |mono: Duration, wall: i64| Now { mono, wall: UnixTime::from_millis(wall) };
        let start = Start::Resume { stored: stored(), password: Some("hunter2".into()) };
        let mut session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], at(mono, wall));
        let (mut received, mut given) = (Received::default(), Vec::new());
        for call in calls {
            let now = at(mono, wall);
            let conn = received.conns.last().copied();
            match call {
                Call::Wait(millis) => {
                    mono += Duration::from_millis(millis);
                    wall = wall.saturating_add(i64::try_from(millis).unwrap());
                    session.handle_timeout(at(mono, wall));
                    for _ in 0..50 {
                        received.drain(&mut session);
                        session.handle_timeout(at(mono, wall));
                    }
                    received.drain(&mut session);
                    let due = session.poll_timeout();
                    prop_assert!(due.is_none_or(|due| due.at > mono), "no progress: {due:?} at {mono:?}");
                }
                Call::Back => session.handle_timeout(at(mono / 2, wall)),
                Call::WallJump(by) => wall = harness::START.saturating_add(by / 1_000),
                Call::Http { status, body } => {
                    let body = if body == "TOKENS" { harness::tokens(1) } else { body.into() };
                    let answer = HttpAnswer { status, body: body.as_bytes(), ..HttpAnswer::default() };
                    if let Some(id) = received.https.pop() {
                        session.handle_http(now, id, HttpResult::Answer(answer));
                    }
                }
                Call::HttpFailed => {
                    for id in &received.https {
                        session.handle_http(now, *id, HttpResult::Failed(HttpFailure::Broken));
                    }
                }
                Call::Opened => conn.into_iter().for_each(|conn| session.handle_ws_opened(now, conn)),
                Call::Refused(status) => {
                    conn.into_iter().for_each(|conn| session.handle_ws_refused(now, conn, status, Some("x")));
                }
                Call::Bytes(bytes) => {
                    conn.into_iter().for_each(|conn| session.handle_ws_bytes(now, conn, &bytes));
                }
                Call::ConnAck => {
                    conn.into_iter().for_each(|conn| session.handle_ws_bytes(now, conn, &[0x20, 2, 0, 0]));
                }
                Call::SubAck(codes) => {
                    let len = u8::try_from(codes.len() + 2).unwrap();
                    let [high, low] = received.packets.max(1).to_be_bytes();
                    let mut bytes = vec![0x90, len, high, low];
                    bytes.extend(codes);
                    conn.into_iter().for_each(|conn| session.handle_ws_bytes(now, conn, &bytes));
                }
                Call::PubAck(packet) => {
                    let [high, low] = packet.max(1).to_be_bytes();
                    conn.into_iter()
                        .for_each(|conn| session.handle_ws_bytes(now, conn, &[0x40, 2, high, low]));
                }
                Call::Closed => conn.into_iter().for_each(|conn| session.handle_ws_closed(now, conn)),
                Call::Setpoint(degrees) => {
                    let change = Change::setpoint(Celsius::from_hundredths(degrees * 100));
                    given.extend(session.command(now, device(LITE), change, None));
                }
                Call::Mode => {
                    let change = Change { setpoint: Celsius::from_degrees(20.0), ..Change::mode(Mode::Heat) };
                    given.extend(session.command(now, device(LITE), change, Some(secs(3))));
                }
                Call::Cancel => given.iter().rev().take(2).for_each(|id| session.cancel(now, *id)),
                Call::SignIn => session.sign_in(now, "hunter2".into()),
                Call::SignOut => session.sign_out(now),
                Call::Challenge => drop(session.answer_challenge(now, "123456")),
                Call::Request => drop(session.request(now, mysa_proto::rest::homes())),
                Call::NetworkChanged => session.network_changed(now),
                Call::OldConnection => {
                    if let Some(old) = received.conns.first().copied().filter(|old| Some(*old) != conn) {
                        session.handle_ws_opened(now, old);
                        session.handle_ws_bytes(now, old, &[0x20, 2, 0, 0, 0xff]);
                        session.handle_ws_closed(now, old);
                    }
                }
                Call::Stored(token) => {
                    let kept = token.map(|token| {
                        let mut kept = stored();
                        kept.refresh_token = Some(RefreshToken::new(Secret::from(token)));
                        kept
                    });
                    session.handle_stored(now, kept);
                }
                Call::Drain => received.drain(&mut session),
            }
        }
        session.shutdown(at(mono, wall));
        received.drain(&mut session);
        for id in given {
            prop_assert_eq!(received.verdicts.get(&id), Some(&1), "{:?}", id);
        }
        prop_assert_eq!(session.poll_timeout(), None);
    }
}

#[test]
fn awaited_requests_are_never_dropped_and_are_bounded() {
    let mut harness = Harness::live();
    harness.paused = true;
    let (mut commands, mut requests) = (Vec::new(), Vec::new());
    for n in 0..2_000 {
        let now = harness.now();
        let change = Change::setpoint(Celsius::from_hundredths(1_500 + n % 20 * 50));
        commands.extend(harness.session.command(now, device(LITE), change, None));
        requests.extend(harness.session.request(now, mysa_proto::rest::homes()));
        harness.publish_from(LITE, "{", Duration::ZERO);
        harness.run(secs(1));
    }
    assert!((100..=512).contains(&commands.len()), "{}", commands.len());
    assert!((10..=32).contains(&requests.len()), "{}", requests.len());
    harness.paused = false;
    harness.run(secs(60));
    commands.into_iter().for_each(|id| drop(harness.verdict(id)));
    let answered = harness.events.iter().filter(|(_, event)| matches!(event, Event::Response { .. })).count();
    assert_eq!(answered, requests.len());
    assert!(
        harness.events.iter().any(|(_, event)| matches!(event, Event::Dropped { count } if *count > 1_000))
    );
}

#[test]
fn a_session_is_live_an_hour_after_a_day_of_random_faults() {
    for seed in 0..60_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut harness = Harness::new();
        let mut given = Vec::new();
        for _ in 0..24 * 12 {
            let yes = random(4) == 0;
            match random(14) {
                0 => harness.cloud.http = !yes,
                1 => harness.cloud.upgrade = yes.then_some(403),
                2 => harness.cloud.broker.puback = !yes,
                3 => harness.cloud.broker.close_on_publish = yes,
                4 => harness.cloud.close_after_connack = yes.then_some(Duration::from_millis(30)),
                5 => harness.cloud.broker.suback = !yes,
                6 => harness.cloud.dead = yes,
                7 => harness.cloud.device_acks = !yes,
                8 => {
                    harness.cloud.rest =
                        if yes { harness::Reply::Status(500, "{}") } else { harness::Reply::Good }
                }
                9 => harness.cloud.refresh = if yes { harness::Reply::Timeout } else { harness::Reply::Good },
                10 => harness.cut(),
                11 => harness.host_ahead_ms += i64::try_from(random(7_200_000)).unwrap() - 3_600_000,
                12 => harness.cloud.credentials_life = if yes { 120 } else { 3_600 },
                _ => given.push(harness.set(LITE, 15.0)),
            }
            harness.run(secs(1 + random(600)));
        }
        harness.cloud.http = true;
        harness.cloud.upgrade = None;
        harness.cloud.broker.puback = true;
        harness.cloud.broker.close_on_publish = false;
        harness.cloud.close_after_connack = None;
        harness.cloud.broker.suback = true;
        harness.cloud.dead = false;
        harness.cloud.rest = harness::Reply::Good;
        harness.cloud.refresh = harness::Reply::Good;
        harness.cloud.credentials_life = 3_600;
        harness.run(secs(3_600));
        let level = harness.session.service().level;
        assert!(matches!(level, Level::Live | Level::ReadOnly), "seed {seed}: {}", harness.session.service());
        for id in given {
            assert_eq!(harness.verdicts(id).len(), 1, "seed {seed}");
        }
        for pair in harness.log.connects.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= secs(1), "seed {seed}");
        }
    }
}

#[test]
fn settings_of_zero_do_not_flood_the_cloud() {
    let mut settings = Settings::default();
    for interval in [
        &mut settings.poll_live,
        &mut settings.poll_rest_only,
        &mut settings.poll_devices,
        &mut settings.live_report_renewal,
        &mut settings.quarantine,
        &mut settings.connection_life,
        &mut settings.read_only_probe,
        &mut settings.backoff_first,
        &mut settings.backoff_cap,
        &mut settings.pace,
    ] {
        *interval = Duration::ZERO;
    }
    for connects in [true, false] {
        let start = Start::Password { username: "user@example.com".into(), password: "hunter2".into() };
        let mut harness = Harness::with(settings.clone(), start, 0);
        if !connects {
            harness.cloud.connects = None;
        }
        harness.run(secs(600));
        let (requests, dials) = (harness.log.http.len(), harness.log.dials.len());
        assert!((40..=200).contains(&requests), "{requests} requests in 10 min");
        assert!((5..=400).contains(&dials), "{dials} dials in 10 min");
        assert!(harness.commands().is_empty());
    }
}
