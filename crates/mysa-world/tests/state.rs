//! Failures of state: what is known of a thermostat, how old it is, and who is told (F34 to F39, F45 to F49).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use common::{AC, ALL, Drive as _, FLOOR, HOUR, LITE, V1, V2, demo, device, live, secs, set};
use mysa_proto::{
    Amperes, Celsius, EnergyMeter, Family, KilowattHours, Load, LoadCurrent, Power, Volts, Watts,
};
use mysa_session::{Event, Level, Settings, Verdict};
use mysa_sim::{Closing, DeviceFault, Endpoint, Fault, Happening, HttpFault};
use mysa_world::{Framing, NetSpec, NetTrouble, Rng, Trouble, World};

fn raw() -> Settings {
    let mut settings = Settings::default();
    settings.raw_messages = true;
    settings
}

/// A status of a V2 thermostat, or of the floor's, with this in its body.
fn status(world: &World, id: &str, body: &str) -> String {
    let (time, number) = (world.wall().as_secs(), if id == FLOOR { 17 } else { 40 });
    format!(
        r#"{{"ver":"1.0","src":{{"type":1,"ref":"{id}"}},"time":{time},"msg":{number},"id":7,"body":{{{body}}}}}"#
    )
}

/// A thermostat that says only what the test says in its stead.
fn mute(world: &mut World, id: &str) {
    world.fault(1_000 * HOUR, Fault::Device(Some(device(id)), DeviceFault::DropStatuses));
    world.fault(1_000 * HOUR, Fault::FreezeStates);
}

/// The messages that came in a while, the first of each kind and thermostat.
fn corpus(world: &mut World) -> Vec<(String, Vec<u8>)> {
    for id in ALL {
        world.ask(id, set(if id == AC { 22.0 } else { 25.0 }));
        world.happen(Happening::Reboot(device(id)));
    }
    world.go(HOUR);
    let mut found = BTreeMap::new();
    for (_, event) in world.events() {
        if let Event::Message { device, payload, .. } = event {
            let text = String::from_utf8_lossy(payload);
            let kind = text.find("\"msg\":").or_else(|| text.find("\"MsgType\":"));
            let kind = kind.map(|at| text.get(at..at + 12).unwrap_or_default().to_owned());
            found.entry((device.to_string(), kind)).or_insert_with(|| payload.clone());
        }
    }
    assert!(found.len() > 12, "{}", found.len());
    found.into_iter().map(|((id, _), payload)| (id, payload)).collect()
}

#[test]
fn f34_variants_of_messages_keep_what_is_known() {
    let mut world = live(raw(), 34);
    mute(&mut world, FLOOR);
    mute(&mut world, V2);
    let connects = world.cloud.counters().connects;
    for (n, (id, body)) in [
        (FLOOR, r#""ambTemp":19.5,"stpt":{},"heatStat":1"#),
        (FLOOR, r#""ambTemp":19.5,"stpt":{},"heatStat":1.0"#),
        (FLOOR, r#""ambTemp":19.5,"stpt":{},"heatStat":"1""#),
        (FLOOR, r#""ambTemp":19.5,"stpt":{},"heatStat":{"odd":true}"#),
        (FLOOR, r#""stpt":"{}","ambTemp":"19.5""#),
        (V2, r#""stpt":{},"ambTemp":"warm","hum":[],"new":{"a":[1,2,{"b":null}]}"#),
        (V2, r#""new":1,"stpt":{}"#),
        (V2, r#""stpt":{},"stptnew":{},"dtyCycle":"0.5""#),
    ]
    .into_iter()
    .enumerate()
    {
        let degrees = 20.0 + f64::from(u8::try_from(n).unwrap()) / 2.0;
        let text = status(&world, id, &body.replace("{}", &degrees.to_string()));
        world.say(id, text);
        world.go(secs(2));
        assert_eq!(world.shown(id), Some(degrees), "{body}");
    }
    // Unknown messages are handed on whole.
    let before = world.shown(V2);
    let strange = r#"{"ver":"9.9","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1,"msg":999,"id":1,"body":{"stpt":11.0}}"#;
    for text in [strange, r#"{"MsgType":12345,"SetPoint":11.0}"#, r#"{}"#, r#"{"hello":"world"}"#] {
        world.say(V2, text);
        world.go(secs(2));
        let whole =
            |event: &Event| matches!(event, Event::Message { payload, .. } if payload == text.as_bytes());
        assert!(world.events().iter().any(|(_, event)| whole(event)), "{text}");
        assert_eq!(world.shown(V2), before, "{text}");
    }
    assert_eq!((world.level(), world.cloud.counters().connects), (Level::Live, connects));
}

#[test]
fn f34_a_corpus_of_recordings_survives_mutation() {
    let mut world = live(raw(), 34);
    let corpus = corpus(&mut world);
    let connects = world.cloud.counters().connects;
    let mut rng = Rng::new(34);
    for _ in 0..300 {
        for (id, payload) in &corpus {
            let mut bytes = payload.clone();
            for _ in 0..rng.between(1, 4) {
                let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
                match rng.below(4) {
                    0 => bytes[at] = u8::try_from(rng.below(256)).unwrap(),
                    1 => _ = bytes.remove(at),
                    2 => bytes.insert(at, b"0123456789-.eE\"{}[],:"[usize::try_from(rng.below(20)).unwrap()]),
                    _ => {
                        let (piece, to) =
                            (bytes[at..].to_vec(), usize::try_from(rng.below(at as u64 + 1)).unwrap());
                        bytes.truncate(to);
                        bytes.extend(piece);
                    }
                }
                if bytes.is_empty() {
                    break;
                }
            }
            world.say(id, bytes);
        }
        world.go(Duration::from_millis(200));
    }
    world.go(secs(600));
    assert_eq!((world.level(), world.cloud.counters().connects), (Level::Live, connects));
    assert!(world.session.devices().all(|device| !device.is_stale()));
}

#[test]
fn f35_broken_json_is_reported_and_the_connection_stays() {
    let mut world = live(raw(), 35);
    let corpus = corpus(&mut world);
    let connects = world.cloud.counters().connects;
    let unreadable = |world: &World| {
        world.events().iter().filter(|(_, event)| matches!(event, Event::Unreadable { .. })).count()
    };
    let mut expected = unreadable(&world);
    for (id, payload) in &corpus {
        for end in 0..payload.len() {
            world.say(id, &payload[..end]);
            // The broker keeps a hundred messages for a client that has not acknowledged them.
            if end % 50 == 0 {
                world.go(secs(1));
            }
        }
        world.go(secs(1));
        expected += payload.len();
        assert_eq!(unreadable(&world), expected, "each cut of {}", String::from_utf8_lossy(payload));
    }
    mute(&mut world, V2);
    // Control characters raw in strings, as logs have them, do not cost the fields beside them.
    for byte in 0..0x20_u8 {
        let degrees = 20.0 + f64::from(byte % 2) / 2.0;
        let text = status(&world, V2, &format!(r#""note":"a{}b","stpt":{degrees:?}"#, char::from(byte)));
        world.say(V2, text);
        world.go(secs(2));
        assert_eq!(world.shown(V2), Some(degrees), "{byte:#04x}");
    }
    assert_eq!(unreadable(&world), expected);
    let mut bad = status(&world, V2, r#""note":"@","stpt":22.5"#).into_bytes();
    let at = bad.iter().position(|byte| *byte == b'@').unwrap();
    bad[at] = 0xff;
    let doubled = status(&world, V2, r#""stpt":21.0,"stpt":23.5"#);
    let huge = status(&world, V2, &format!(r#""pad":"{}","stpt":24.5"#, "x".repeat(100_000)));
    let deep =
        status(&world, V2, &format!(r#""pad":{}{},"stpt":24.5"#, "[".repeat(5_000), "]".repeat(5_000)));
    for (name, text) in
        [("not UTF-8", bad), ("doubled", doubled.into()), ("huge", huge.into()), ("deep", deep.into())]
    {
        world.say(V2, text);
        world.go(secs(2));
        assert_eq!((world.level(), world.cloud.counters().connects), (Level::Live, connects), "{name}");
    }
    assert_eq!(world.shown(V2), Some(24.5), "the huge one was read");
}

#[test]
fn f36_sentinels_become_nothing_or_a_valid_number() {
    let mut world = live(Settings::default(), 36);
    mute(&mut world, V2);
    mute(&mut world, FLOOR);
    let values = [
        "null",
        "\"\"",
        "NaN",
        "-Infinity",
        "-1",
        "0",
        "0.0",
        "1e9",
        "-1e9",
        "1e999",
        "\"x\"",
        "true",
        "[]",
        "{}",
    ];
    for id in [V2, FLOOR] {
        for field in ["ambTemp", "hum", "stpt", "dtyCycle", "flrSnsrTemp", "lineVtg"] {
            for value in values {
                let good = status(&world, id, r#""ambTemp":20.5,"hum":40.0,"stpt":21.5,"dtyCycle":0.5"#);
                world.say(id, good);
                world.go(secs(1));
                let text = status(&world, id, &format!(r#""{field}":{value},"marker":1"#));
                world.say(id, text);
                world.go(secs(1));
                let case = format!("{id} {field} {value}");
                let state = world.session.state(device(id)).unwrap();
                let temperature = state.temperature().unwrap().value.as_degrees();
                let setpoint = state.setpoint().unwrap().value.as_degrees();
                let humidity = state.humidity().unwrap().value.as_percent();
                let zero = matches!(value, "0" | "0.0");
                match field {
                    "ambTemp" if zero => assert_eq!(temperature, 0.0, "{case}: frost is a value"),
                    "hum" if zero => assert_eq!(humidity, 0.0, "{case}"),
                    "dtyCycle" if zero && id == V2 => {
                        assert_eq!(state.duty().unwrap().value.as_fraction(), 0.0, "{case}");
                    }
                    "ambTemp" if value == "-1" => {
                        assert!(temperature == 20.5 || temperature == -1.0, "{case}")
                    }
                    _ => {
                        assert_eq!((temperature, humidity), (20.5, 40.0), "{case}");
                        assert!(
                            setpoint == 21.5 || (field == "stpt" && zero && setpoint == 0.0),
                            "{case}: {setpoint}"
                        );
                        let duty = state.duty().map(|duty| duty.value.as_fraction());
                        assert!(duty.is_none_or(|duty| (0.0..=1.0).contains(&duty)), "{case}: {duty:?}");
                    }
                }
                let floor = state.floor_temperature().map(|floor| floor.value.as_degrees());
                assert!(floor.is_none_or(|floor| (0.0..=60.0).contains(&floor)), "{case}: {floor:?}");
                let volts = state.voltage().map(|volts| volts.value.as_volts());
                assert!(volts.is_none_or(|volts| (0.0..=400.0).contains(&volts)), "{case}: {volts:?}");
            }
        }
    }
}

#[test]
fn f36_drying_has_no_setpoint() {
    let mut world = live(Settings::default(), 36);
    let id = world.ask(AC, mysa_proto::Change::mode(mysa_proto::Mode::Dry));
    world.go(secs(120));
    assert!(world.verdict_on(id).is_confirmed());
    assert_ne!(world.shown(AC), Some(0.0));
}

#[test]
fn f37_what_is_typed_in_either_unit_is_what_is_shown() {
    let mut world = live(Settings::default(), 37);
    for fahrenheit in 41..=86 {
        let wish = Celsius::from_fahrenheit(f64::from(fahrenheit)).unwrap();
        let id = world.ask(V2, mysa_proto::Change::setpoint(wish));
        world.go(secs(10));
        assert!(world.verdict_on(id).is_confirmed(), "{fahrenheit} °F: {}", world.verdict_on(id));
        let shown = world.session.state(device(V2)).unwrap().setpoint().unwrap().value;
        assert!((shown.to_fahrenheit() - f64::from(fahrenheit)).abs() < 0.5, "{fahrenheit} °F: {shown}");
        assert_eq!(shown, world.cloud.truth(device(V2)).unwrap().setpoint);
    }
    for halves in 10..=60 {
        let id = world.ask(V2, set(f64::from(halves) / 2.0));
        world.go(secs(10));
        assert!(world.verdict_on(id).is_confirmed(), "{halves}: {}", world.verdict_on(id));
        assert_eq!(world.shown(V2), Some(f64::from(halves) / 2.0));
    }
    // Limits are the record's: a floor goes to 40 °C, a baseboard does not, an air conditioner begins at 16 °C.
    for (id, degrees, taken) in [
        (FLOOR, 39.5, true),
        (V2, 30.5, false),
        (V1, 30.0, true),
        (AC, 16.0, true),
        (AC, 15.0, false),
        (LITE, 31.0, false),
    ] {
        let command = world.ask(id, set(degrees));
        world.go(secs(20));
        let verdict = world.verdict_on(command);
        assert_eq!(matches!(verdict, Verdict::Refused(_)), !taken, "{id} {degrees}: {verdict}");
    }
}

#[test]
fn f38_a_clock_in_the_future_does_not_freeze_anything() {
    for (name, shift, lasts) in [
        ("five years ahead, once", 5 * 365 * 86_400, secs(6)),
        ("a day ahead, for an hour", 86_400, HOUR),
        ("five years behind", -5 * 365 * 86_400, HOUR),
        ("ten minutes ahead", 600, secs(300)),
        ("ten minutes behind", -600, 24 * HOUR),
    ] {
        let mut world = live(Settings::default(), 38);
        world.go(secs(60));
        world.fault(lasts, Fault::Device(Some(device(V2)), DeviceFault::ClockShift(shift)));
        world.go(lasts.min(secs(120)));
        world.press(device(V2), &set(23.5));
        // A clock that is set back looks like an old message sent again. REST has the cloud's own stamp, and tells at
        // its next turn.
        world.go(if shift < 0 { Settings::default().poll_live + secs(60) } else { secs(30) });
        assert_eq!(world.shown(V2), Some(23.5), "{name}: while the clock is wrong");
        world.go(lasts + secs(60));
        world.press(device(V2), &set(16.5));
        world.go(secs(30));
        assert_eq!(world.shown(V2), Some(16.5), "{name}: once it is right");
        let at = world.session.state(device(V2)).unwrap().setpoint().unwrap().at;
        if let Some(at) = at {
            let ahead = at.as_millis() - world.wall().as_millis();
            assert!(ahead < 120_000, "{name}: {ahead} ms ahead passes for a time");
        }
        let id = world.ask(V2, set(21.0));
        world.go(secs(40));
        assert!(world.verdict_on(id).is_confirmed(), "{name}: {}", world.verdict_on(id));
        assert_eq!(world.shown(V2), Some(21.0), "{name}");
    }
}

#[test]
fn f38_milliseconds_and_seconds_are_one_clock() {
    let mut world = live(Settings::default(), 38);
    mute(&mut world, V2);
    for n in 0..10_i32 {
        let (wall, degrees) = (world.wall(), 18.0 + f64::from(n) / 2.0);
        let time = if n % 2 == 0 { wall.as_secs() } else { wall.as_millis() };
        world.say(
            V2,
            format!(
                r#"{{"ver":"1.0","src":{{"type":1,"ref":"{V2}"}},"time":{time},"msg":40,"id":7,"body":{{"stpt":{degrees:?}}}}}"#
            ),
        );
        world.go(secs(5));
        assert_eq!(world.shown(V2), Some(degrees), "{time}");
    }
}

#[test]
fn f39_power_is_measured_estimated_or_unknown_and_adds_up() {
    let mut world = live(Settings::default(), 39);
    world.go(secs(60));
    let rated = BTreeMap::from([(V1, 1_500.0), (V2, 1_250.0), (LITE, 1_000.0)]);
    let families = [(V1, Family::BaseboardV1), (V2, Family::BaseboardV2), (LITE, Family::BaseboardLite)];
    let power = |world: &World, id: &'static str, family, watts: Option<f64>| {
        let state = world.session.state(device(id)).unwrap();
        let current: Option<Amperes> = state.current().map(|field| field.value);
        Power::of(
            family,
            &Load {
                current: current.map(LoadCurrent::Live),
                voltage: state.voltage().map(|field| field.value).or(Volts::from_volts(240.0)),
                duty: state.duty().map(|field| field.value),
                relay: state.heating().map(|field| field.value),
                rated: watts.and_then(Watts::from_watts),
            },
        )
    };
    let meters: RefCell<BTreeMap<_, _>> = families
        .map(|(id, _)| (id, EnergyMeter::new(secs(90))))
        .into_iter()
        .collect::<BTreeMap<_, _>>()
        .into();
    let used = |world: &World, id: &str| world.cloud.truth(device(id)).unwrap().energy;
    let at_start = families.map(|(id, _)| used(&world, id));
    let time = world.now();
    world.go_while(6 * HOUR, |world| {
        for (id, family) in families {
            let now = power(world, id, family, Some(rated[id]));
            meters.borrow_mut().get_mut(id).unwrap().observe(world.now() - time, now);
        }
        true
    });
    for ((id, family), before) in families.into_iter().zip(at_start) {
        let measured = meters.borrow()[id].total().as_kilowatt_hours();
        let truth = used(&world, id) - before;
        assert!(truth > 0.5, "{id}: {truth}");
        let off = (measured - truth).abs() / truth;
        assert!(off < 0.01, "{id}: {measured} kWh of {truth} kWh");
        match family {
            Family::BaseboardV1 => {
                assert!(matches!(power(&world, id, family, None), Power::Measured(_)), "{id}")
            }
            _ => {
                assert_eq!(power(&world, id, family, None), Power::Unknown, "{id}: no rated power, no guess");
                assert!(matches!(power(&world, id, family, Some(1_000.0)), Power::Estimated(_)), "{id}");
            }
        }
    }
    // A gap is not filled, and a restart counts on.
    let total = meters.borrow()[V1].total();
    let mut again = EnergyMeter::resume(total, secs(90));
    let watts = Power::Measured(Watts::from_watts(1_500.0).unwrap());
    for at in [0, 5_000, 5_060] {
        again.observe(secs(at), watts);
    }
    let grown = again.total().as_kilowatt_hours() - total.as_kilowatt_hours();
    let minute = KilowattHours::of(Watts::from_watts(1_500.0).unwrap(), secs(60)).as_kilowatt_hours();
    assert!((grown - minute).abs() < 1e-6, "{grown}");
}

#[test]
fn f45_a_reader_that_stalls_for_an_hour_costs_nothing_but_the_steps_between() {
    let mut world = live(raw(), 45);
    mute(&mut world, V2);
    let connects = world.cloud.counters().connects;
    let read = world.events().len();
    world.stall_reader(true);
    let id = world.ask(V1, set(22.0));
    for n in 0..36_000_u32 {
        let text = status(&world, V2, &format!(r#""stpt":{:?}"#, 10.0 + f64::from(n % 40) / 2.0));
        world.say(V2, text);
        world.go(Duration::from_millis(100));
    }
    let text = status(&world, V2, r#""stpt":17.5"#);
    world.say(V2, text);
    world.go(secs(1));
    assert_eq!(world.events().len(), read, "nobody read");
    // The one replacement of the hour, before the credentials lapse; pings went on.
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
    assert_eq!((world.level(), world.told(Level::Live)), (Level::Live, 1));
    for known in world.session.devices() {
        assert_eq!(known.is_stale(), known.id() == device(V2), "{}", known.label());
    }
    world.go(2 * HOUR);
    assert!(world.session.devices().all(|device| !device.is_stale()), "it came back");
    // All are silent while REST answers: the service is well, the thermostats are not.
    world.fault(2 * HOUR, off(None));
    world.go(2 * HOUR - secs(60));
    assert_eq!((world.level(), world.told(Level::Live)), (Level::Live, 1));
    assert!(world.session.devices().all(mysa_session::Device::is_stale));
    assert_eq!(world.cloud.counters().sign_ins, 1);
    // Neither REST nor MQTT: that is said.
    world.fault(HOUR, Fault::Http(Endpoint::Rest, HttpFault::Hang));
    world.fault(HOUR, Fault::RefuseUpgrade(503));
    world.happen(Happening::CloseAll(Closing::Cut));
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
fn f47_devices_that_come_and_go_are_announced_once() {
    let mut spec = demo();
    // There from the start, but in the list only after an hour.
    spec.faults = spec.faults.with(Duration::ZERO, HOUR, Fault::OmitDevice(device(LITE)));
    // In the list, but without a state for two hours.
    spec.faults = spec.faults.with(Duration::ZERO, 2 * HOUR, Fault::OmitState(device(FLOOR)));
    let mut world = World::new(spec, NetSpec::default(), Settings::default(), 47);
    world.go(secs(60));
    assert_eq!((world.level(), announced(&world, LITE)), (Level::Live, (0, 0)));
    assert_eq!(world.session.devices().len(), 4);
    let ghost = world.ask(LITE, set(20.0));
    world.go(secs(5));
    assert!(matches!(world.verdict_on(ghost), Verdict::Refused(_)), "a state alone makes no device");
    world.go(3 * HOUR);
    assert_eq!(world.session.devices().len(), 5);
    assert!(world.session.is_subscribed(device(LITE)));
    // A hole in one list of many is no removal.
    for _ in 0..3 {
        world.fault(secs(20), Fault::OmitDevice(device(V1)));
        world.go(HOUR);
    }
    world.happen(Happening::Remove(device(AC)));
    world.go(2 * HOUR);
    assert_eq!(world.session.devices().len(), 4);
    for (id, expected) in [(V1, (1, 0)), (V2, (1, 0)), (LITE, (1, 0)), (FLOOR, (1, 0)), (AC, (1, 1))] {
        assert_eq!(announced(&world, id), expected, "{id}");
    }
    assert_eq!(world.level(), Level::Live);
}

/// Every way an endpoint can fail.
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
fn f48_every_failure_of_every_endpoint_passes() {
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
            let strikes = Fault::Http(endpoint.clone(), fault);
            spec.faults = spec.faults.with(Duration::ZERO, secs(300), strikes);
            let mut world = World::new(spec, NetSpec::default(), Settings::default(), 48);
            world.go(secs(300));
            // Five minutes of failures, politely: not even one request in three seconds.
            assert!(world.requests().len() < 100, "{case}: {}", world.requests().len());
            assert_eq!(world.told(Level::SignInNeeded), 0, "{case}: no refusal of the password");
            world.go(secs(900));
            assert_eq!(world.level(), Level::Live, "{case}: {}", world.session.service());
            let bound = if matches!(endpoint, Endpoint::Respond | Endpoint::Any) { 30 } else { 20 };
            assert!(world.cloud.counters().sign_ins <= bound, "{case}: {}", world.cloud.counters().sign_ins);
        }
    }
}

#[test]
fn f48_a_pause_that_is_asked_for_is_kept() {
    let mut world = live(Settings::default(), 48);
    world.fault(secs(60), Fault::Http(Endpoint::Path("/devices/state".into()), HttpFault::Throttle(1_800)));
    world.happen(Happening::CloseAll(Closing::Cut));
    world.fault(2 * HOUR, Fault::RefuseUpgrade(503));
    let polls = |world: &World| {
        let states = |request: &str| request.contains("/devices/state");
        world.requests().iter().filter(|(_, request)| states(request)).map(|(at, _)| *at).collect::<Vec<_>>()
    };
    let struck = world.now();
    world.go(HOUR);
    let after: Vec<Duration> = polls(&world).into_iter().filter(|at| *at > struck).collect();
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
        Fault::EatPublishes,
        Fault::EatPubacks,
        Fault::EatSubacks,
        Fault::SubackCodes(vec![0, 0x80, 0, 0, 0, 0, 0, 0, 0, 1]),
        Fault::SubackCodes(vec![0x80]),
        Fault::SubackWrongId,
        Fault::EatPings,
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
        world.happen(Happening::CloseAll(Closing::Cut));
        world.go(secs(300));
        let id = world.ask(V2, set(22.0));
        world.happen(Happening::CloseAll(Closing::Frame(None)));
        world.go(secs(600));
        _ = world.verdict_on(id);
        let told = world.events().iter().rev().find_map(|(_, event)| match event {
            Event::Service(service) => Some(service.level),
            _ => None,
        });
        assert_eq!(told, Some(world.level()), "{fault:?}: what is the case was told");
        world.go(HOUR);
        // Where publishing was denied it is tried again only after hours.
        let well = matches!(world.level(), Level::Live | Level::ReadOnly);
        assert!(well, "{fault:?}: {}", world.session.service());
        assert!(world.session.devices().all(|device| !device.is_stale()), "{fault:?}");
    }
}

#[test]
fn f49_a_network_in_shreds_is_lived_through() {
    let kinds = [Trouble::Down, Trouble::BlackHole, Trouble::Deaf, Trouble::Mute];
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
