//! Availability failures: slow readers, silent thermostats, devices that come and go, HTTP failures, and proof that no
//! trouble ends the session (F45 to F49).
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;

use std::time::Duration;

use common::{
    AC, ALL, Drive as _, FLOOR, HOUR, LITE, V1, V2, demo, device, live, raw, secs, set, silence, status,
};
use mysa_session::{Event, Level, Settings, Verdict};
use mysa_sim::{Closing, DeviceFault, Endpoint, Fault, HttpFault, Incident};
use mysa_world::{Framing, NetSpec, NetTrouble, Rng, Trouble, World};

#[test]
fn f45_a_reader_that_stalls_for_an_hour_misses_only_intermediate_states() {
    let mut world = live(raw(), 45);
    silence(&mut world, V2);
    let connects = world.cloud.counters().connects;
    let read = world.events().len();
    world.stall_reader(true);
    let id = world.ask(V1, set(22.0));
    for n in 0..36_000_u32 {
        let text = status(&world, V2, &format!(r#""stpt":{:?}"#, 10.0 + f64::from(n % 40) / 2.0));
        world.publish_from(V2, text);
        world.go(Duration::from_millis(100));
    }
    let text = status(&world, V2, r#""stpt":17.5"#);
    world.publish_from(V2, text);
    world.go(secs(1));
    assert_eq!(world.events().len(), read, "no event was read");
    // Only the one replacement before the credentials expire; pings continued.
    assert!(world.cloud.counters().connects <= connects + 1);
    assert_eq!(world.cloud.clients().count(), 1);
    let size = format!("{:?}", world.session).len();
    assert!(size < 200_000, "{size}");
    world.stall_reader(false);
    world.go(secs(30));
    assert!(world.verdict_on(id).is_confirmed(), "{}", world.verdict_on(id));
    let events = &world.events()[read..];
    assert!(events.len() < 200, "{}", events.len());
    let dropped: u64 =
        events.iter().map(|(_, event)| if let Event::Dropped { count } = event { *count } else { 0 }).sum();
    assert!(dropped > 30_000, "{dropped}");
    let skipped = events.iter().find_map(|(_, event)| match event {
        Event::Device { device: of, skipped, .. } if *of == device(V2) => Some(*skipped),
        _ => None,
    });
    assert!(skipped.is_some_and(|skipped| skipped > 30_000), "{skipped:?}");
    assert_eq!(world.shown(V2), Some(17.5), "the latest");
}

#[test]
fn f46_a_thermostat_without_power_is_stale_and_nothing_else_is() {
    let mut world = live(Settings::default(), 46);
    let off = |id| Fault::Device(id, DeviceFault::Powerless);
    world.fault(3 * HOUR, off(Some(device(V2))));
    world.go(2 * HOUR);
    assert_eq!((world.level(), world.reports_of(Level::Live)), (Level::Live, 1));
    for known in world.session.devices() {
        assert_eq!(known.is_stale(), known.id() == device(V2), "{}", known.label());
    }
    world.go(2 * HOUR);
    assert!(world.session.devices().all(|device| !device.is_stale()), "it came back");
    // All thermostats are silent while REST answers: the service is healthy and the thermostats are stale.
    world.fault(2 * HOUR, off(None));
    world.go(2 * HOUR - secs(60));
    assert_eq!((world.level(), world.reports_of(Level::Live)), (Level::Live, 1));
    assert!(world.session.devices().all(mysa_session::Device::is_stale));
    assert_eq!(world.cloud.counters().sign_ins, 1);
    // Neither REST nor MQTT works, and the service level reports it.
    world.fault(HOUR, Fault::Http(Endpoint::Rest, HttpFault::Hang));
    world.fault(HOUR, Fault::RefuseUpgrade(503));
    world.happen(Incident::CloseAll(Closing::Cut));
    world.go(secs(1_200));
    assert_eq!(world.level(), Level::Offline, "{}", world.session.service());
    world.go(2 * HOUR);
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
}

fn announced(world: &World, id: &str) -> (usize, usize) {
    let id = device(id);
    let count =
        |wanted: &dyn Fn(&Event) -> bool| world.events().iter().filter(|(_, event)| wanted(event)).count();
    (
        count(&|event| matches!(event, Event::DeviceAdded { device } if *device == id)),
        count(&|event| matches!(event, Event::DeviceRemoved { device } if *device == id)),
    )
}

#[test]
fn f47_added_and_removed_devices_are_reported_once() {
    let mut spec = demo();
    // Present from the start, but listed only after an hour.
    spec.faults = spec.faults.with(Duration::ZERO, HOUR, Fault::OmitDevice(device(LITE)));
    // Listed, but without a state for two hours.
    spec.faults = spec.faults.with(Duration::ZERO, 2 * HOUR, Fault::OmitState(device(FLOOR)));
    let mut world = World::new(spec, NetSpec::default(), Settings::default(), 47);
    world.go(secs(60));
    assert_eq!((world.level(), announced(&world, LITE)), (Level::Live, (0, 0)));
    assert_eq!(world.session.devices().len(), 4);
    let ghost = world.ask(LITE, set(20.0));
    world.go(secs(5));
    assert!(
        matches!(world.verdict_on(ghost), Verdict::Refused(_)),
        "a state without a list entry is not a device"
    );
    world.go(3 * HOUR);
    assert_eq!(world.session.devices().len(), 5);
    assert!(world.session.is_subscribed(device(LITE)));
    // One list without the device, among many with it, does not remove it.
    for _ in 0..3 {
        world.fault(secs(20), Fault::OmitDevice(device(V1)));
        world.go(HOUR);
    }
    world.happen(Incident::Remove(device(AC)));
    world.go(2 * HOUR);
    assert_eq!(world.session.devices().len(), 4);
    for (id, expected) in [(V1, (1, 0)), (V2, (1, 0)), (LITE, (1, 0)), (FLOOR, (1, 0)), (AC, (1, 1))] {
        assert_eq!(announced(&world, id), expected, "{id}");
    }
    assert_eq!(world.level(), Level::Live);
}

#[test]
fn a_session_whose_last_thermostat_has_left_rests() {
    // The broker refuses the subscriptions first, so that states have been read by REST.
    let mut spec = demo();
    spec.faults = spec.faults.with(Duration::ZERO, HOUR, Fault::GrantFirst(0));
    let mut world = World::new(spec, NetSpec::default(), Settings::default(), 51);
    world.go(secs(120));
    assert_eq!(world.level(), Level::RestOnly);
    for id in ALL {
        world.happen(Incident::Remove(device(id)));
    }
    world.go(HOUR);
    assert_eq!(world.session.devices().len(), 0);
    let before = world.steps();
    world.go(HOUR);
    assert!(world.steps() - before < 2_000, "{} steps within an hour", world.steps() - before);
    // A thermostat that joins the account again is found.
    world.happen(Incident::Restore(device(V2)));
    world.happen(Incident::Rename(device(V2), "Study".into()));
    world.go(HOUR);
    let found = world.session.device(device(V2)).unwrap();
    assert_eq!(found.name(), Some("Study"));
    assert!(world.session.is_subscribed(device(V2)));
}

/// All ways in which an endpoint can fail.
fn http_faults() -> Vec<HttpFault> {
    let mut faults: Vec<_> =
        [400, 401, 403, 404, 408, 409, 418, 500, 501, 502, 503, 504].map(HttpFault::Status).to_vec();
    faults.extend([200, 302, 403, 502].map(HttpFault::Html));
    faults.extend([
        HttpFault::Throttle(7),
        HttpFault::Hang,
        HttpFault::Reset,
        HttpFault::Body(200, b"[".to_vec()),
    ]);
    faults
}

#[test]
fn f48_the_session_recovers_from_every_failure_of_every_endpoint() {
    let endpoints = [
        Endpoint::SignIn,
        Endpoint::Respond,
        Endpoint::Identity,
        Endpoint::Credentials,
        Endpoint::Path("/devices".into()),
        Endpoint::Path("/devices/state".into()),
        Endpoint::Rest,
        Endpoint::Any,
    ];
    for endpoint in &endpoints {
        for fault in http_faults() {
            let case = format!("{endpoint:?} {fault:?}");
            let mut spec = demo();
            let lasting = Fault::Http(endpoint.clone(), fault);
            spec.faults = spec.faults.with(Duration::ZERO, secs(300), lasting);
            let mut world = World::new(spec, NetSpec::default(), Settings::default(), 48);
            world.go(secs(300));
            // Five minutes of failures cause less than one request in three seconds.
            assert!(world.requests().len() < 100, "{case}: {}", world.requests().len());
            assert_eq!(world.reports_of(Level::SignInNeeded), 0, "{case}: the password was not refused");
            world.go(secs(900));
            assert_eq!(world.level(), Level::Live, "{case}: {}", world.session.service());
            let bound = if matches!(endpoint, Endpoint::Respond | Endpoint::Any) { 30 } else { 20 };
            assert!(world.cloud.counters().sign_ins <= bound, "{case}: {}", world.cloud.counters().sign_ins);
        }
    }
}

#[test]
fn f48_a_requested_pause_is_kept() {
    let mut world = live(Settings::default(), 48);
    world.fault(secs(60), Fault::Http(Endpoint::Path("/devices/state".into()), HttpFault::Throttle(1_800)));
    world.happen(Incident::CloseAll(Closing::Cut));
    world.fault(2 * HOUR, Fault::RefuseUpgrade(503));
    let polls = |world: &World| {
        let states = |request: &str| request.contains("/devices/state");
        world.requests().iter().filter(|(_, request)| states(request)).map(|(at, _)| *at).collect::<Vec<_>>()
    };
    let began = world.now();
    world.go(HOUR);
    let after: Vec<Duration> = polls(&world).into_iter().filter(|at| *at > began).collect();
    assert!(after.len() > 2, "{after:?}");
    assert!(after[1] - after[0] >= secs(1_800), "{after:?}");
}

#[test]
fn f49_no_trouble_ends_the_session() {
    let faults = [
        Fault::RefuseUpgrade(403),
        Fault::RefuseUpgrade(500),
        Fault::HangUpgrade,
        Fault::RefuseConnect(5),
        Fault::IgnoreConnect,
        Fault::CloseAfterConnect { after: Duration::from_millis(40), closing: Closing::Frame(None) },
        Fault::CloseOnBurst { packets: 2, closing: Closing::Cut },
        Fault::CloseOnSubscribe { suffix: String::new(), closing: Closing::Frame(Some(1008)) },
        Fault::DropPublishes,
        Fault::DropPubacks,
        Fault::DropSubacks,
        Fault::SubackCodes(vec![0, 0x80, 0, 0, 0, 0, 0, 0, 0, 1]),
        Fault::SubackCodes(vec![0x80]),
        Fault::SubackWrongId,
        Fault::DropPings,
        Fault::BlackholeIn,
        Fault::BlackholeOut,
        Fault::Duplicate,
        Fault::RaiseQos,
        Fault::DenyPublish,
        Fault::Http(Endpoint::Any, HttpFault::Reset),
        Fault::Http(Endpoint::Any, HttpFault::Html(200)),
        Fault::Device(None, DeviceFault::Truncate),
        Fault::Device(None, DeviceFault::Replace("\u{0}{{{{".into())),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let mut world = World::new(
            demo(),
            NetSpec { framing: Framing::Random, ..NetSpec::default() },
            Settings::default(),
            n as u64,
        );
        world.go(secs(30));
        world.fault(secs(900), fault.clone());
        world.happen(Incident::CloseAll(Closing::Cut));
        world.go(secs(300));
        let id = world.ask(V2, set(22.0));
        world.happen(Incident::CloseAll(Closing::Frame(None)));
        world.go(secs(600));
        _ = world.verdict_on(id);
        let reported = world.events().iter().rev().find_map(|(_, event)| match event {
            Event::Service(service) => Some(service.level),
            _ => None,
        });
        assert_eq!(
            reported,
            Some(world.level()),
            "{fault:?}: the last event does not show the present level"
        );
        world.go(HOUR);
        // Where publishing was denied, the session tries it again only after hours.
        let well = matches!(world.level(), Level::Live | Level::ReadOnly);
        assert!(well, "{fault:?}: {}", world.session.service());
        assert!(world.session.devices().all(|device| !device.is_stale()), "{fault:?}");
    }
}

#[test]
fn f49_the_session_survives_a_network_with_many_faults() {
    let kinds = [Trouble::Down, Trouble::BlackHole, Trouble::BlackHoleOut, Trouble::BlackHoleIn];
    let mut world = live(raw(), 49);
    let mut rng = Rng::new(49);
    let (mut from, mut troubles) = (world.now() + secs(10), Vec::new());
    for n in 0..200 {
        let until = from + Duration::from_millis(rng.between(1, 90_000));
        troubles.push(NetTrouble { from, until, kind: kinds[n % kinds.len()] });
        from = until + Duration::from_millis(rng.between(1, 60_000));
    }
    world.set_net(NetSpec { troubles, framing: Framing::Bytes, ..NetSpec::default() });
    while world.now() < from {
        world.ask(
            ALL[usize::try_from(rng.below(4)).unwrap()],
            set(20.0 + f64::from(u8::try_from(rng.below(10)).unwrap())),
        );
        world.go(secs(60));
    }
    world.go(900 * secs(1));
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
    assert_eq!(world.cloud.counters().sign_ins, 1);
}
