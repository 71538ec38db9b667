//! State failures: wrong, stale or missing values of a thermostat (F34 to F39).
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use common::{AC, ALL, Drive as _, FLOOR, HOUR, LITE, V1, V2, device, live, raw, secs, set, silence, status};
use mysa_proto::{
    Amperes, Celsius, EnergyMeter, Family, KilowattHours, Load, LoadCurrent, Power, Volts, Watts,
};
use mysa_session::{Event, Level, Settings, Verdict};
use mysa_sim::{DeviceFault, Fault, Incident};
use mysa_world::{Rng, World};

/// First message of each kind from each thermostat.
fn corpus(world: &mut World) -> Vec<(String, Vec<u8>)> {
    for id in ALL {
        world.ask(id, set(if id == AC { 22.0 } else { 25.0 }));
        world.happen(Incident::Reboot(device(id)));
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
fn f34_variants_of_messages_keep_known_values() {
    let mut world = live(raw(), 34);
    silence(&mut world, FLOOR);
    silence(&mut world, V2);
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
        world.publish_from(id, text);
        world.go(secs(2));
        assert_eq!(world.shown(id), Some(degrees), "{body}");
    }
    // Unknown messages are passed on whole.
    let before = world.shown(V2);
    let strange = r#"{"ver":"9.9","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1,"msg":999,"id":1,"body":{"stpt":11.0}}"#;
    for text in [strange, r#"{"MsgType":12345,"SetPoint":11.0}"#, r#"{}"#, r#"{"hello":"world"}"#] {
        world.publish_from(V2, text);
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
            world.publish_from(id, bytes);
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
            world.publish_from(id, &payload[..end]);
            // The broker keeps at most a hundred messages for a client that has not acknowledged them.
            if end % 50 == 0 {
                world.go(secs(1));
            }
        }
        world.go(secs(1));
        expected += payload.len();
        assert_eq!(unreadable(&world), expected, "each cut of {}", String::from_utf8_lossy(payload));
    }
    silence(&mut world, V2);
    // Raw control characters in strings, as logs contain them, must not cost the neighbouring fields.
    for byte in 0..0x20_u8 {
        let degrees = 20.0 + f64::from(byte % 2) / 2.0;
        let text = status(&world, V2, &format!(r#""note":"a{}b","stpt":{degrees:?}"#, char::from(byte)));
        world.publish_from(V2, text);
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
        world.publish_from(V2, text);
        world.go(secs(2));
        assert_eq!((world.level(), world.cloud.counters().connects), (Level::Live, connects), "{name}");
    }
    assert_eq!(world.shown(V2), Some(24.5), "the huge one was read");
}

#[test]
fn f36_sentinels_become_nothing_or_a_valid_number() {
    let mut world = live(Settings::default(), 36);
    silence(&mut world, V2);
    silence(&mut world, FLOOR);
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
                world.publish_from(id, good);
                world.go(secs(1));
                let text = status(&world, id, &format!(r#""{field}":{value},"marker":1"#));
                world.publish_from(id, text);
                world.go(secs(1));
                let case = format!("{id} {field} {value}");
                let state = world.session.state(device(id)).unwrap();
                let temperature = state.temperature().unwrap().value.as_degrees();
                let setpoint = state.setpoint().unwrap().value.as_degrees();
                let humidity = state.humidity().unwrap().value.as_percent();
                let zero = matches!(value, "0" | "0.0");
                match field {
                    "ambTemp" if zero => assert_eq!(temperature, 0.0, "{case}: 0 °C is a value"),
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
fn f37_a_setpoint_typed_in_either_unit_is_shown_unchanged() {
    let mut world = live(Settings::default(), 37);
    for fahrenheit in 41..=86 {
        let change = Celsius::from_fahrenheit(f64::from(fahrenheit)).unwrap();
        let id = world.ask(V2, mysa_proto::Change::setpoint(change));
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
    // The record sets the limits: a floor heater goes to 40 °C, a baseboard does not, an air conditioner starts at 16
    // °C.
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
        // Messages from a clock that was set back look like old messages sent again. REST has the cloud's own timestamp
        // and delivers the change with its next poll.
        world.go(if shift < 0 { Settings::default().poll_live + secs(60) } else { secs(30) });
        assert_eq!(world.shown(V2), Some(23.5), "{name}: while the clock is wrong");
        world.go(lasts + secs(60));
        world.press(device(V2), &set(16.5));
        world.go(secs(30));
        assert_eq!(world.shown(V2), Some(16.5), "{name}: once it is right");
        let at = world.session.state(device(V2)).unwrap().setpoint().unwrap().at;
        if let Some(at) = at {
            let ahead = at.as_millis() - world.wall().as_millis();
            assert!(ahead < 120_000, "{name}: a timestamp {ahead} ms ahead was accepted");
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
    silence(&mut world, V2);
    for n in 0..10_i32 {
        let (wall, degrees) = (world.wall(), 18.0 + f64::from(n) / 2.0);
        let time = if n % 2 == 0 { wall.as_secs() } else { wall.as_millis() };
        world.publish_from(
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
                assert_eq!(
                    power(&world, id, family, None),
                    Power::Unknown,
                    "{id}: without a rated power, the power is unknown"
                );
                assert!(matches!(power(&world, id, family, Some(1_000.0)), Power::Estimated(_)), "{id}");
            }
        }
    }
    // A gap is not filled, and counting continues after a restart.
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
