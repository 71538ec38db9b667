//! Packet, dial and topic failures by their names in the catalogue: F16 to F22, except F19.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{ALL, Drive, HOUR, V1, V2, demo, device, live, secs, set};
use mysa_session::{CommandChannel, ConnId, Level, Reason, Settings, Subscriptions};
use mysa_sim::{Closing, Fault, Incident};
use mysa_world::{Framing, NetSpec, Trouble, Wire, World};
use wire::{all_well, commands_only, connects, dials, dials_since, lite, lites, subscribes, trouble};

const DAY: Duration = Duration::from_secs(86_400);

/// Unit tests of mysa-session cover ids that wrap past 65,535 around those still in use.
#[test]
fn f16_packet_id_collisions_leave_no_permanent_wait() {
    let mut settings = commands_only();
    settings.pace = Duration::from_millis(20);
    settings.command_capacity = 200;
    settings.channel = CommandChannel::Mqtt;
    settings.device_spacing = Duration::from_millis(20);
    // Fifty unanswered publishes must not stop publishing in this test.
    settings.read_only_after = u8::MAX;
    let mut world = World::new(lites(50), NetSpec::default(), settings, 41);
    world.go(secs(60));
    let mut asked = Vec::new();
    world.fault(secs(20), Fault::DropPublishes);
    for n in 0..50 {
        asked.push(world.ask(&lite(n), set(21.0)));
    }
    world.go(secs(10));
    world.happen(Incident::CloseAll(Closing::Cut));
    world.go(secs(60));
    assert!(asked.iter().all(|id| world.verdict(*id).is_some()));
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
    // The window is free again: commands to the whole home go through.
    let asked: Vec<_> = (0..50).map(|n| world.ask(&lite(n), set(22.0))).collect();
    world.go(secs(40));
    let confirmed = asked.iter().filter(|id| world.verdict_on(**id).is_confirmed()).count();
    assert_eq!(confirmed, 50);
    // No id is reused before it is free: each first transmission has an id of its own on its connection.
    let mut used: BTreeSet<(ConnId, u16)> = BTreeSet::new();
    for (at, conn, wire) in world.wire() {
        if let Wire::Publish { packet, dup: false, .. } = wire {
            assert!(used.insert((*conn, *packet)), "{packet} twice on {conn} at {at:?}");
        }
    }
}

#[test]
fn f17_reframing_of_the_stream_changes_nothing() {
    let run = |framing| {
        let net = NetSpec { framing, jitter: Duration::ZERO, ..NetSpec::default() };
        let mut settings = Settings::default();
        settings.raw_messages = true;
        let mut world = World::new(demo(), net, settings, 42);
        world.go(secs(40));
        world.ask(V2, set(22.0));
        world.press(device(V1), &set(18.0));
        world.go(secs(300));
        world.events().iter().map(|(at, event)| format!("{at:?} {event:?}")).collect::<Vec<_>>()
    };
    let whole = run(Framing::Whole);
    assert!(whole.len() > 50);
    for framing in [Framing::Bytes, Framing::Random] {
        assert_eq!(run(framing), whole, "{framing:?}");
    }
}

/// A text frame never reaches the session: the driver knows the type of each frame and closes the connection.
#[test]
fn f17_bad_and_oversized_packets_end_the_connection_and_claims_cost_no_memory() {
    let cases: [(&str, &[u8], bool); 7] = [
        ("nothing", &[], false),
        ("a remaining length of five bytes", &[0x30, 0xff, 0xff, 0xff, 0xff, 0x01], true),
        ("a claim of 256 MB", &[0x30, 0xff, 0xff, 0xff, 0x7f], true),
        ("a claim of 1 MB", &[0x30, 0x80, 0x80, 0x40], true),
        ("a reserved packet type", &[0xf0, 0], true),
        ("a topic longer than its packet", &[0x30, 4, 0xff, 0xff, 0, 0], true),
        ("PUBLISH with both bits of QoS", &[0x36, 3, 0, 1, b'a'], true),
    ];
    for (case, bytes, ends) in cases {
        let mut world = live(commands_only(), 43);
        let (conn, known) = (connects(&world)[0].1, dials(&world).len());
        let printed = format!("{:?}", world.session).len();
        world.call(|session, now| session.handle_ws_bytes(now, conn, bytes)).unwrap();
        assert!(format!("{:?}", world.session).len() < printed + 2_000, "{case}");
        world.go(secs(60));
        assert_eq!(dials(&world).len() - known, usize::from(ends), "{case}");
        assert!(all_well(&world), "{case}: {}", world.session.service());
    }
}

/// To the session, an HTML page in place of the upgrade is the status it came with.
#[test]
fn f18_permanently_refused_upgrade_leads_to_rest_only_and_slow_retries() {
    for (status, fault) in [
        (403, Fault::RefuseUpgrade(403)),
        (426, Fault::RefuseUpgrade(426)),
        (404, Fault::RefuseUpgrade(404)),
        (200, Fault::UpgradePage(200)),
    ] {
        let mut spec = lites(4);
        spec.faults = spec.faults.with(Duration::ZERO, DAY, fault);
        let mut world = World::new(spec, NetSpec::default(), Settings::default(), 44);
        world.go(secs(3_000));
        let case = format!("{status}: {}", world.session.service());
        assert_eq!(world.level(), Level::RestOnly, "{case}");
        assert_eq!(world.reason(), Reason::UpgradeRefused { status: Some(status) }, "{case}");
        assert_eq!(
            world.reports_of(Level::RestOnly),
            2,
            "{case}: one event when states were fetched, one with the reason"
        );
        // Changes are read by REST and shown within its poll interval.
        world.press(device(&lite(2)), &set(17.5));
        world.go(secs(90));
        assert_eq!(world.shown(&lite(2)), Some(17.5), "{case}");
        assert!(world.session.devices().all(|device| !device.is_stale()), "{case}");
        // The session tries four to eight times an hour.
        let start = world.now();
        world.go(6 * HOUR);
        let dials = dials_since(&world, start).len();
        assert!((6..=60).contains(&dials), "{case}: {dials} dials");
        assert_eq!(world.reports_of(Level::RestOnly), 2, "{case}: no event per dial");
        // Once the broker accepts the upgrade, the session is live.
        world.cloud.clear_faults();
        world.go(secs(20 * 60));
        assert_eq!(world.level(), Level::Live, "{case}");
    }
}

#[test]
fn f20_backoff_is_reset_after_a_stable_connection() {
    let settings = Settings::default();
    for seed in 45..50 {
        let mut world = live(commands_only(), seed);
        let closing = Closing::Frame(None);
        world.fault(DAY, Fault::CloseAfterConnect { after: Duration::from_millis(40), closing });
        world.happen(Incident::CloseAll(closing));
        assert!(world.go_while(5 * HOUR, |world| dials(world).len() < 100), "{seed}");
        let gaps: Vec<Duration> = dials(&world).windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let late = &gaps[50..];
        let mean = late.iter().sum::<Duration>() / u32::try_from(late.len()).unwrap();
        assert!((secs(18)..secs(42)).contains(&mean), "{seed}: {mean:?}");
        assert!(late.iter().all(|gap| *gap <= settings.backoff_cap + secs(2)), "{seed}: {late:?}");
        world.cloud.clear_faults();
        world.go(secs(660));
        assert_eq!(world.level(), Level::Live, "{seed}");
        let (start, known) = (world.now(), dials(&world).len());
        world.happen(Incident::CloseAll(closing));
        assert!(world.go_while(secs(60), |world| dials(world).len() == known));
        let pause = world.now() - start;
        assert!(pause <= settings.backoff_first + Duration::from_millis(100), "{seed}: {pause:?}");
    }
}

#[test]
fn f20_backoff_has_jitter_so_that_clients_do_not_reconnect_together() {
    // Sixty clients lose their connections at one moment; each third attempt falls anywhere below its bound.
    let mut quarters = [0_u32; 4];
    for seed in 100..160 {
        let mut world = live(commands_only(), seed);
        let (start, known) = (world.now(), dials(&world).len());
        world.fault(DAY, Fault::RefuseUpgrade(503));
        world.happen(Incident::CloseAll(Closing::Cut));
        assert!(world.go_while(secs(60), |world| dials(world).len() < known + 2));
        let after: Vec<Duration> = dials_since(&world, start).into_iter().map(|(at, _)| at).collect();
        let pause = after[1] - after[0];
        // The bound of the second pause is four seconds.
        assert!(pause <= Duration::from_millis(4_200), "{seed}: {pause:?}");
        quarters[usize::try_from(pause.as_millis() / 1_050).unwrap().min(3)] += 1;
    }
    // Two dials are at least 1.1 s apart, which lifts the first quarter into the second.
    assert_eq!(quarters[0], 0, "{quarters:?}");
    assert!(quarters[1..].iter().all(|count| *count >= 6), "{quarters:?}");
}

#[test]
fn f21_overlapping_requests_make_one_dial() {
    let mut world = live(Settings::default(), 51);
    world.fault(secs(18), Fault::HangUpgrade);
    world.happen(Incident::CloseAll(Closing::Cut));
    let known = dials(&world).len();
    assert!(world.go_while(secs(5), |world| dials(world).len() == known));
    let begun = world.now();
    for n in 0..40_u32 {
        world.ask(ALL[n as usize % 5], set(20.0 + f64::from(n % 3)));
        world.call(|session, now| session.network_changed(now)).unwrap();
        world.call(|session, now| session.handle_timeout(now)).unwrap();
        world.go(Duration::from_millis(400));
    }
    assert_eq!(dials_since(&world, begun).len(), 1);
    world.go(secs(60));
    assert!(all_well(&world), "{}", world.session.service());
}

#[test]
fn f21_overlapping_needs_for_credentials_make_one_request() {
    let mut world = live(Settings::default(), 52);
    let grants = world.cloud.counters().grants;
    trouble(&mut world, secs(2), Trouble::Down);
    world.happen(Incident::ExpireCredentials);
    world.go(secs(65 * 60));
    assert!(all_well(&world));
    let asked = world.requests().iter().filter(|(_, line)| line.contains("cognito-identity")).count();
    assert!(asked <= 6, "{asked}");
    assert!(world.cloud.counters().grants - grants <= 3);
}

#[test]
fn f22_wildcard_or_foreign_topics_are_never_requested() {
    for batch in [false, true] {
        let mut settings = Settings::default();
        settings.subscriptions.batch = batch;
        let mut world = live(settings, 53);
        world.happen(Incident::CloseAll(Closing::Cut));
        world.go(2 * HOUR);
        let mut allowed: BTreeMap<String, u32> = BTreeMap::new();
        for id in ALL {
            allowed.insert(format!("/v1/dev/{id}/out"), 0);
            if batch {
                allowed.insert(format!("/v1/dev/{id}/batch"), 0);
            }
        }
        for (_, filters) in subscribes(&world) {
            for filter in filters {
                *allowed.get_mut(&filter).unwrap_or_else(|| panic!("{filter} was asked for")) += 1;
            }
        }
        assert!(allowed.values().all(|times| *times >= 2), "{allowed:?}");
        for (_, _, wire) in world.wire() {
            if let Wire::Publish { topic, .. } = wire {
                assert!(ALL.iter().any(|id| *topic == format!("/v1/dev/{id}/in")), "{topic}");
            }
        }
    }
}

#[test]
fn f22_a_filter_that_was_followed_by_a_close_twice_is_not_requested() {
    let batch = |world: &World, id: &str| {
        let name = format!("/v1/dev/{id}/batch");
        subscribes(world).iter().filter(|(_, filters)| filters.contains(&name)).count()
    };
    let mut settings = Settings::default();
    settings.subscriptions = Subscriptions::WITH_BATCH;
    let closing = Closing::Frame(None);
    // One thermostat's filter ends connections: one close together with the others, and two alone.
    let mut spec = demo();
    let one = format!("{V2}/batch");
    spec.faults = spec.faults.with(Duration::ZERO, DAY, Fault::CloseOnSubscribe { suffix: one, closing });
    let mut world = World::new(spec, NetSpec::default(), settings.clone(), 54);
    world.go(secs(300));
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
    assert_eq!(connects(&world).len(), 4);
    assert_eq!(batch(&world, V2), 3);
    assert_eq!(world.cloud.subscriptions(), 9);
    // All `/batch` filters end connections.
    let mut spec = demo();
    let every = "/batch".to_owned();
    spec.faults = spec.faults.with(Duration::ZERO, DAY, Fault::CloseOnSubscribe { suffix: every, closing });
    let mut world = World::new(spec, NetSpec::default(), settings, 55);
    world.go(12 * HOUR);
    assert!(ALL.iter().all(|id| world.session.is_subscribed(device(id))), "{}", world.session.service());
    let connects = connects(&world).len();
    assert!(connects <= 60, "{connects} connections in twelve hours");
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
}
