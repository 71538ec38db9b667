//! Every rule of the bridge, under virtual time, against a broker in memory.

mod harness;

use std::time::Duration;

use mysa_bridge::{Bridge, Event, IgnoredReason, Settings, Unit};
use mysa_mqtt_codec::ConnectRefusal;
use mysa_proto::{
    Amperes, Celsius, Change, DeviceId, DutyCycle, Hold, Mode, Now, Observation, Power, Source, UnixTime,
    Volts, Watts,
};
use mysa_session::{DeliveryStage, Effect, Evidence, Expired, Link, Refused, Verdict};
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::home::{Known, Node, START, at, celsius, home, list, living_room, starting};
use crate::harness::schema::check_discovery;

const LIVING: &str = "a0b1c2d3e4f6";
const CONFIG: &str = "homeassistant/device/mysa_a0b1c2d3e4f6/config";
const STATE: &str = "mysa/a0b1c2d3e4f6/state";
const ATTRIBUTES: &str = "mysa/a0b1c2d3e4f6/attributes";
const AVAILABILITY: &str = "mysa/a0b1c2d3e4f6/availability";
const BRIDGE: &str = "mysa/bridge/availability";
const BRIDGE_STATE: &str = "mysa/bridge/state";
const INSTANCE: &str = "mysa/bridge/instance";
const SET_SETPOINT: &str = "mysa/a0b1c2d3e4f6/set/setpoint";
const SET_MODE: &str = "mysa/a0b1c2d3e4f6/set/mode";
const BIRTH: &str = "homeassistant/status";

fn settings() -> Settings {
    Settings::new("mysa-bridge")
}

fn one_room() -> Harness<Node> {
    home(settings(), &[living_room()])
}

fn changes(harness: &Harness<Node>) -> Vec<Change> {
    harness.peer.commands.iter().map(|(_, _, change)| *change).collect()
}

fn setpoint(degrees: f64) -> Change {
    Change::setpoint(celsius(degrees))
}

fn confirmed() -> Verdict {
    Verdict::Confirmed { by: Evidence::Ack, after: Duration::from_millis(1_200), effect: Effect::Changed }
}

fn unconfirmed() -> Verdict {
    let reached = DeliveryStage::Thermostat;
    Verdict::Unconfirmed { reached, seen: Change::default(), after: Duration::from_secs(30) }
}

fn decide(harness: &mut Harness<Node>, number: usize, verdict: &Verdict) {
    let (request, ..) = harness.peer.commands[number];
    let now = at(harness.now);
    harness.peer.bridge.handle_verdict(request, verdict, now);
    harness.settle();
}

fn outcomes(harness: &Harness<Node>) -> Vec<(u64, String)> {
    harness.results(LIVING).into_iter().map(|(number, _, outcome, _)| (number, outcome)).collect()
}

// Discovery and state.

#[test]
fn discovery_has_every_entity_of_a_baseboard_and_is_valid() {
    let harness = one_room();
    let config = harness.json(CONFIG);
    check_discovery(&config).unwrap();
    assert_eq!(config["device"]["name"], "Living room");
    assert_eq!(config["device"]["identifiers"], json!(["mysa_a0b1c2d3e4f6"]));
    assert_eq!(config["origin"]["name"], "mysa-bridge");
    assert_eq!(config["availability_mode"], "all");
    assert_eq!(config["availability"], json!([{ "topic": BRIDGE }, { "topic": AVAILABILITY }]));
    let components: Vec<&str> =
        config["components"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        components,
        [
            "brightness_active",
            "brightness_idle",
            "climate",
            "connected",
            "duty_cycle",
            "firmware",
            "hold_until",
            "humidity",
            "last_seen",
            "lock",
            "mode_sensor",
            "power",
            "setpoint_sensor",
            "signal",
            "temperature",
        ]
    );
    let climate = &config["components"]["climate"];
    assert_eq!(climate["default_entity_id"], "climate.living_room");
    assert_eq!(climate["unique_id"], "mysa_a0b1c2d3e4f6_climate");
    assert_eq!(climate["modes"], json!(["off", "heat"]));
    assert_eq!(
        (&climate["min_temp"], &climate["max_temp"], &climate["temp_step"]),
        (&json!(5.0), &json!(30.0), &json!(0.5))
    );
    assert_eq!(climate["temperature_command_topic"], SET_SETPOINT);
    assert_eq!(climate["preset_modes"], json!(["schedule", "hold"]));
    assert_eq!(
        climate["preset_mode_value_template"],
        r#"{{ value_json.preset_mode if value_json.preset_mode in ["schedule","hold"] else 'None' }}"#
    );
    assert_eq!(climate["optimistic"], false);
    assert!(!config.to_string().contains("object_id\""));
}

#[test]
fn discovery_of_every_family_is_valid() {
    for model in
        ["BB-V1-1", "BB-V2-0", "BB-V2-0-L", "INF-V1-0", "AC-V1-0", "BB-V3-0", "XX-V9", "ST-V1-0", "CS-V1-0"]
    {
        for unit in [Unit::Celsius, Unit::Fahrenheit] {
            let mut settings = settings();
            settings.unit = unit;
            let mut known = Known::new(LIVING, "Room", model);
            known.observe(Duration::ZERO, |seen| seen.temperature = Some(celsius(20.0)));
            let harness = home(settings, &[known]);
            if let Err(error) = check_discovery(&harness.json(CONFIG)) {
                panic!("{model}: {error}");
            }
        }
    }
}

#[test]
fn a_discovery_message_that_home_assistant_would_refuse_fails_the_schema() {
    let harness = one_room();
    let valid = harness.json(CONFIG);
    let mut broken: Vec<Value> = Vec::new();
    for change in [
        |config: &mut Value| config["components"]["climate"]["object_id"] = json!("x"),
        |config: &mut Value| config["components"]["climate"]["precision"] = json!(0.2),
        |config: &mut Value| config["components"]["climate"]["modes"] = json!(["warm"]),
        |config: &mut Value| {
            drop(config["components"]["climate"].as_object_mut().unwrap().remove("unique_id"))
        },
        |config: &mut Value| config["components"]["lock"]["platform"] = json!("toggle"),
        |config: &mut Value| {
            drop(config["components"]["mode_sensor"].as_object_mut().unwrap().remove("options"))
        },
        |config: &mut Value| drop(config.as_object_mut().unwrap().remove("origin")),
        |config: &mut Value| config["device"]["identifiers"] = json!([]),
    ] {
        let mut config = valid.clone();
        change(&mut config);
        broken.push(config);
    }
    for config in broken {
        assert!(check_discovery(&config).is_err(), "{config}");
    }
}

#[test]
fn the_state_has_confirmed_values_and_null_for_unknown_ones() {
    let harness = one_room();
    assert_eq!(
        harness.json(STATE),
        json!({
            "temperature": 18.9,
            "temperature_f": 66.1,
            "floor_temperature": null,
            "humidity": 44.5,
            "setpoint": 20.5,
            "setpoint_f": 69,
            "mode": "heat",
            "action": "heating",
            "preset_mode": null,
            "hold_until": null,
            "fan_mode": null,
            "swing_mode": null,
            "swing_horizontal_mode": null,
            "duty_cycle": 50.0,
            "current": null,
            "voltage": null,
            "power": 750.0,
            "power_basis": "estimated",
            "lock": false,
            "brightness_active": null,
            "brightness_idle": null,
            "tracked_sensor": null,
            "signal": -61,
            "connected": true,
        })
    );
    let attributes = harness.json(ATTRIBUTES);
    assert_eq!(attributes["last_seen"], "2026-01-02T03:04:05Z");
    assert_eq!(attributes["pending"], Value::Null);
}

#[test]
fn the_firmware_is_an_update_that_cannot_be_installed() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    let versions = |harness: &Harness<Node>| {
        let attributes = harness.json(ATTRIBUTES);
        (attributes["firmware"].clone(), attributes["firmware_newest"].clone())
    };
    assert_eq!(versions(&harness), (Value::Null, Value::Null));
    assert_eq!(harness.json(CONFIG)["device"]["sw_version"], Value::Null);
    let component = harness.json(CONFIG)["components"]["firmware"].clone();
    assert_eq!(component["platform"], "update");
    assert_eq!(component["state_topic"], ATTRIBUTES);
    assert!(component["command_topic"].is_null() && component["payload_install"].is_null());
    known.firmware = Some(("3.17.4.1".into(), None));
    harness.show(&known);
    assert_eq!(versions(&harness), (json!("3.17.4.1"), Value::Null));
    assert_eq!(harness.json(CONFIG)["device"]["sw_version"], "3.17.4.1");
    check_discovery(&harness.json(CONFIG)).unwrap();
    known.firmware = Some(("3.17.4.1".into(), Some("3.17.5.13".into())));
    harness.show(&known);
    assert_eq!(versions(&harness), (json!("3.17.4.1"), json!("3.17.5.13")));
    // Neither is a command.
    harness.set("mysa/a0b1c2d3e4f6/set/firmware", "install");
    assert_eq!((changes(&harness), outcomes(&harness)), (vec![], vec![(1, "refused".into())]));
    // A text from the cloud that is no version is not passed on.
    known.firmware = Some(("1.0\n{{ states }}".into(), Some("9".repeat(65))));
    harness.show(&known);
    assert_eq!(versions(&harness), (Value::Null, Value::Null));
}

#[test]
fn the_source_of_the_state_is_an_attribute() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    for (link, source) in [
        (Link::Live, json!("mqtt")),
        (Link::Rest, json!("rest")),
        (Link::Unreachable, Value::Null),
        (Link::Silent, Value::Null),
        (Link::Unseen, Value::Null),
    ] {
        known.link = link;
        harness.show(&known);
        assert_eq!(harness.json(ATTRIBUTES)["source"], source, "{link:?}");
    }
    // Readings by REST beside the messages publish nothing.
    known.link = Link::Live;
    harness.show(&known);
    let count = |harness: &Harness<Node>| {
        harness.broker.log.iter().filter(|publish| publish.topic == ATTRIBUTES).count()
    };
    let before = count(&harness);
    for poll in 0..100 {
        harness.secs(1);
        let received = harness::home::at(harness.now);
        let temperature = known.state.temperature().map(|field| field.value);
        let source = if poll % 2 == 0 { Source::RestState } else { Source::Status };
        known
            .state
            .observe(&Observation { temperature, ..Observation::new(source, Some(received.wall), received) });
        harness.show(&known);
    }
    assert_eq!(count(&harness), before);
}

#[test]
fn the_action_is_heating_or_idle() {
    let action = |mode, duty: Option<f64>| {
        let mut known = Known::new(LIVING, "Room", "BB-V2-0");
        known.observe(Duration::ZERO, |seen| {
            seen.mode = mode;
            seen.duty = duty.and_then(DutyCycle::from_fraction);
        });
        home(settings(), &[known]).json(STATE)["action"].clone()
    };
    assert_eq!(action(Some(Mode::Heat), Some(0.1)), "heating");
    assert_eq!(action(Some(Mode::Heat), Some(0.0)), "idle");
    assert_eq!(action(Some(Mode::Heat), None), Value::Null);
    assert_eq!(action(Some(Mode::Off), Some(0.0)), "off");
    assert_eq!(action(Some(Mode::Off), Some(0.5)), "off", "a duty cycle lags behind the mode");
    assert_eq!(action(None, Some(0.5)), Value::Null);
}

#[test]
fn a_thermostat_that_keeps_heating_while_off_is_shown_as_heating() {
    let mut known = Known::new(LIVING, "Room", "BB-V2-0");
    for minutes in 0..60 {
        known.observe(Duration::from_secs(60 * minutes), |seen| {
            seen.mode = Some(Mode::Off);
            seen.duty = DutyCycle::from_fraction(0.5);
        });
    }
    assert!(known.state.contradiction().is_some());
    assert_eq!(home(settings(), &[known]).json(STATE)["action"], "heating");
}

#[test]
fn holds_are_presets_with_their_end() {
    let state = |hold| {
        let mut known = Known::new(LIVING, "Room", "BB-V2-0");
        known.observe(Duration::ZERO, |seen| seen.hold = Some(hold));
        let json = home(settings(), &[known]).json(STATE);
        (json["preset_mode"].clone(), json["hold_until"].clone())
    };
    assert_eq!(state(Hold::FollowSchedule), (json!("schedule"), Value::Null));
    assert_eq!(state(Hold::Permanent), (json!("hold"), Value::Null));
    assert_eq!(
        state(Hold::Until(UnixTime::from_secs(START))),
        (json!("hold"), json!("2026-01-02T03:04:05Z"))
    );
    assert_eq!(state(Hold::FollowOrUntil), (Value::Null, Value::Null));
}

#[test]
fn ten_thousand_equal_statuses_are_one_publication_and_a_periodic_refresh() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    let minutes = 10_000 / 60;
    for _ in 0..10_000 {
        harness.secs(1);
        known.last_seen = harness.now;
        harness.show(&known);
    }
    let refreshes = minutes / 5;
    for topic in [STATE, ATTRIBUTES] {
        let count = harness.broker.published(topic).len();
        assert!((refreshes..=refreshes + 2).contains(&count), "{topic}: {count}");
    }
    assert_eq!(harness.broker.published(CONFIG).len(), 1);
    assert_eq!(harness.broker.published(AVAILABILITY).len(), 1);
    // The refresh has the time of the last sign of life.
    let seen = harness.json(ATTRIBUTES)["last_seen"].as_str().unwrap().to_owned();
    assert!(seen.as_str() > "2026-01-02T05:40", "{seen}");
}

#[test]
fn a_fast_thermostat_clock_does_not_put_its_last_message_in_the_future() {
    let mut known = living_room();
    known.last_seen = Duration::from_secs(86_400);
    let harness = home(settings(), &[known]);
    assert_eq!(harness.json(ATTRIBUTES)["last_seen"], "2026-01-02T03:04:05Z");
}

#[test]
fn a_sensor_that_was_seen_once_keeps_its_entity() {
    let mut known = living_room();
    known.observe(Duration::ZERO, |seen| {
        seen.current = Amperes::from_amperes(6.25);
        seen.voltage = Volts::from_volts(240.0);
    });
    let mut harness = home(settings(), &[known.clone()]);
    known.state = mysa_proto::DeviceState::new();
    harness.show(&known);
    for key in ["humidity", "current", "voltage"] {
        assert!(harness.json(CONFIG)["components"][key].is_object(), "{key}");
    }
    assert_eq!(harness.json(STATE)["humidity"], Value::Null);
}

#[test]
fn power_exists_only_if_it_can_be_known() {
    let mut known = living_room();
    known.power = Power::Unknown;
    let harness = home(settings(), &[known]);
    assert!(harness.json(CONFIG)["components"]["power"].is_null());
    assert_eq!(harness.json(STATE)["power"], Value::Null);
}

#[test]
fn two_thermostats_of_one_name_have_topics_of_their_own() {
    let (one, other) = (living_room(), Known::new("b0b1c2d3e4f6", "Living room", "BB-V2-0"));
    let harness = home(settings(), &[one, other]);
    assert!(harness.broker.retained(CONFIG).is_some());
    assert!(harness.broker.retained("homeassistant/device/mysa_b0b1c2d3e4f6/config").is_some());
    assert!(harness.broker.retained("mysa/b0b1c2d3e4f6/state").is_some());
}

#[test]
fn a_rename_keeps_topics_and_ids() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    let before = harness.json(CONFIG);
    let topics: Vec<String> = harness.broker.retained.keys().cloned().collect();
    known.name = "salón".into();
    harness.show(&known);
    let after = harness.json(CONFIG);
    check_discovery(&after).unwrap();
    assert_eq!(after["device"]["name"], "salón");
    assert_eq!(before["components"]["climate"]["unique_id"], after["components"]["climate"]["unique_id"]);
    assert_eq!(harness.broker.retained.keys().cloned().collect::<Vec<_>>(), topics);
}

#[test]
fn a_removed_thermostat_leaves_nothing_at_the_broker() {
    let other = Known::new("b0b1c2d3e4f6", "Bedroom", "BB-V2-0");
    let mut harness = home(settings(), &[living_room(), other.clone()]);
    harness.set(SET_SETPOINT, "21");
    list(&mut harness, &[other]);
    harness.secs(1);
    let left: Vec<&String> = harness.broker.retained.keys().filter(|topic| topic.contains(LIVING)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(outcomes(&harness), [(1, "refused".into())], "a held command is decided");
    assert!(harness.peer.commands.is_empty());
    harness.restart_broker(true);
    harness.secs(60);
    assert!(!harness.broker.retained.keys().any(|topic| topic.contains(LIVING)));
    // A broker that was killed falls back to the store that it saved last.
    harness.restart_broker(true);
    for topic in [CONFIG, STATE, ATTRIBUTES, AVAILABILITY] {
        harness.broker.publish(topic, b"online", true);
    }
    harness.secs(60);
    assert!(!harness.broker.retained.keys().any(|topic| topic.contains(LIVING)));
}

#[test]
fn a_command_that_is_under_way_when_its_thermostat_leaves_still_gets_its_verdict() {
    let mut harness = one_room();
    harness.set(SET_MODE, "off");
    list(&mut harness, &[]);
    harness.secs(1);
    assert!(outcomes(&harness).is_empty());
    decide(&mut harness, 0, &confirmed());
    assert_eq!(outcomes(&harness), [(1, "confirmed".into())]);
    assert_eq!(harness.broker.retained(STATE), None);
}

#[test]
fn a_mode_that_home_assistant_has_no_name_for_is_unknown() {
    for mode in [Mode::EmergencyHeat, Mode::PreCool, Mode::Sleep, Mode::Other(77)] {
        let mut known = living_room();
        let mut harness = home(settings(), &[known.clone()]);
        harness.secs(1);
        known.observe(harness.now, |seen| seen.mode = Some(mode));
        harness.show(&known);
        let state = harness.json(STATE);
        assert_eq!((&state["mode"], &state["action"]), (&Value::Null, &Value::Null), "{mode}");
    }
}

#[test]
fn without_discovery_only_own_topics_are_published() {
    let mut settings = settings();
    settings.discovery_prefix = None;
    settings.prefix = "house/heat".into();
    let harness = home(settings, &[living_room()]);
    assert!(harness.broker.log.iter().all(|publish| publish.topic.starts_with("house/heat/")));
    assert_eq!(harness.broker.retained("house/heat/a0b1c2d3e4f6/availability"), Some("online"));
}

#[test]
fn names_from_the_cloud_cannot_break_a_message() {
    let mut known = living_room();
    known.name = format!("\"}} \u{0} {{{{ states }}}} {}", "x".repeat(100_000));
    let harness = home(settings(), &[known]);
    let config = harness.json(CONFIG);
    check_discovery(&config).unwrap();
    assert_eq!(config["device"]["name"].as_str().unwrap().chars().count(), 120);
    assert!(harness.broker.retained(CONFIG).unwrap().len() < 10_000);
}

// Commands.

#[test]
fn a_command_is_sent_confirmed_and_has_one_result() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    harness.set(SET_MODE, "off");
    assert_eq!(changes(&harness), [Change::mode(Mode::Off)]);
    known.pending = Change::mode(Mode::Off);
    harness.show(&known);
    assert_eq!(harness.json(STATE)["mode"], "heat", "while a command is undecided, the state stays");
    assert_eq!(harness.json(ATTRIBUTES)["pending"], "mode off");
    harness.secs(1);
    known.pending = Change::default();
    known.observe(harness.now, |seen| seen.mode = Some(Mode::Off));
    harness.show(&known);
    decide(&mut harness, 0, &confirmed());
    decide(&mut harness, 0, &unconfirmed());
    assert_eq!(
        harness.results(LIVING),
        [(1, "mode".into(), "confirmed".into(), "confirmed by the thermostat after 1.2 s".into())]
    );
    assert_eq!(harness.json(STATE)["mode"], "off");
    assert_eq!(harness.json(ATTRIBUTES)["pending"], Value::Null);
}

#[test]
fn every_verdict_has_its_outcome_and_publishes_the_state_again() {
    let mut harness = one_room();
    let verdicts = [
        (confirmed(), "confirmed"),
        (unconfirmed(), "unconfirmed"),
        (Verdict::Refused(Refused::Device), "refused"),
        (Verdict::Expired(Expired::Deadline), "expired"),
    ];
    for (number, (verdict, name)) in verdicts.iter().enumerate() {
        harness.set(SET_MODE, "off");
        let before = harness.broker.published(STATE).len();
        decide(&mut harness, number, verdict);
        let states = harness.broker.published(STATE);
        assert_eq!(states.len(), before + 1, "{name}: the card returns to the real value");
        assert_eq!(states[before], states[before - 1]);
        assert_eq!(outcomes(&harness)[number], (number as u64 + 1, (*name).to_owned()));
    }
    harness.set(SET_MODE, "off");
    let (request, ..) = harness.peer.commands[4];
    let now = at(harness.now);
    harness.peer.bridge.handle_not_sent(request, "the client has ended", now);
    harness.settle();
    let last = harness.results(LIVING).pop().unwrap();
    assert_eq!((last.2.as_str(), last.3.as_str()), ("expired", "not sent: the client has ended"));
}

#[test]
fn an_invalid_command_is_refused_with_a_reason_and_not_sent() {
    let mut harness = one_room();
    for (field, payload, reason) in [
        ("setpoint", "warm", "expected a number"),
        ("mode", "cool", "expected off, heat"),
        ("fan_mode", "low", "no such setting"),
        ("reboot", "now", "no such setting"),
        ("temperature", "20", "no such setting"),
        ("mode", "x".repeat(65).as_str(), "too long"),
    ] {
        harness.set(&format!("mysa/{LIVING}/set/{field}"), payload);
        let (_, of, outcome, why) = harness.results(LIVING).pop().unwrap();
        assert_eq!((of.as_str(), outcome.as_str()), (field, "refused"));
        assert!(why.contains(reason), "{field} {payload}: {why}");
    }
    harness.secs(10);
    assert_eq!(harness.results(LIVING).len(), 6);
    assert!(harness.peer.commands.is_empty());
    harness.set("mysa/ffffffffffff/set/mode", "off");
    assert_eq!(harness.results("ffffffffffff")[0].3, "no account has such a thermostat");
}

#[test]
fn a_retained_command_is_ignored_and_named_in_the_log() {
    let mut harness = starting(settings());
    harness.broker.publish(SET_MODE, b"off", true);
    list(&mut harness, &[living_room()]);
    harness.secs(600);
    harness.restart_broker(true);
    harness.secs(600);
    assert!(harness.peer.commands.is_empty());
    assert!(harness.results(LIVING).is_empty());
    let ignored = Event::Ignored { topic: SET_MODE.into(), reason: IgnoredReason::Retained };
    assert_eq!(harness.peer.events.iter().filter(|event| **event == ignored).count(), 2);
    assert_eq!(harness.broker.retained(SET_MODE), Some("off"), "it is not removed without a request");
}

#[test]
fn removing_a_retained_command_is_not_a_command() {
    let mut harness = one_room();
    harness.broker.publish(SET_MODE, b"", true);
    harness.settle();
    assert!(harness.results(LIVING).is_empty() && harness.peer.commands.is_empty());
}

#[test]
fn of_a_slider_only_the_last_position_is_sent_and_each_has_a_result() {
    let mut harness = one_room();
    for (number, degrees) in ["19", "19.5", "20", "20.5", "21"].iter().enumerate() {
        harness.set(SET_SETPOINT, degrees);
        assert_eq!(outcomes(&harness).len(), number);
        harness.run(Duration::from_millis(100));
    }
    assert!(harness.peer.commands.is_empty());
    harness.run(Duration::from_millis(100));
    assert_eq!(changes(&harness), [setpoint(21.0)], "held for the time of the first");
    decide(&mut harness, 0, &confirmed());
    let superseded = |number| (number, "superseded".to_owned());
    let expected = [superseded(1), superseded(2), superseded(3), superseded(4), (5, "confirmed".to_owned())];
    assert_eq!(outcomes(&harness), expected);
}

#[test]
fn a_setpoint_out_of_range_does_not_take_the_place_of_one_that_is_held_back() {
    let mut harness = one_room();
    harness.set(SET_SETPOINT, "21");
    harness.run(Duration::from_millis(100));
    harness.set(SET_SETPOINT, "99");
    assert_eq!(outcomes(&harness), [(2, "refused".to_owned())]);
    let reason = &harness.results(LIVING)[0].3;
    assert_eq!(reason, "setpoint 99 °C is out of range: allowed are 5 to 30 °C in steps of 0.5");
    harness.secs(1);
    assert_eq!(changes(&harness), [setpoint(21.0)]);
}

#[test]
fn a_slider_that_moves_all_the_time_is_sent_at_intervals() {
    let mut harness = one_room();
    for step in 0..100 {
        harness.set(SET_SETPOINT, if step % 2 == 0 { "20" } else { "21" });
        harness.run(Duration::from_millis(100));
    }
    assert!((15..=18).contains(&harness.peer.commands.len()), "{}", harness.peer.commands.len());
}

/// Sleep of the host, as its clocks show it.
#[derive(Clone, Copy, Debug)]
enum Sleep {
    /// Both clocks go on.
    Counted,
    /// The monotonic clock stands still.
    NotCounted,
    /// The monotonic clock stands still, and the wall clock was set back just before.
    SetBack,
}

/// Time after a sleep of eight hours.
fn after_sleep(harness: &mut Harness<Node>, sleep: Sleep) -> Now {
    const HOURS: i64 = 8 * 3_600_000;
    let now = at(harness.now);
    match sleep {
        Sleep::Counted => {
            harness.now += Duration::from_secs(8 * 3_600);
            at(harness.now)
        }
        Sleep::NotCounted => Now { wall: now.wall.plus_millis(HOURS), ..now },
        Sleep::SetBack => Now { wall: now.wall.plus_millis(HOURS - 9 * 3_600_000), ..now },
    }
}

/// A host that sleeps keeps what it received before, and its monotonic clock may stand still.
#[test]
fn commands_from_before_a_suspend_are_not_sent() {
    for sleep in [Sleep::Counted, Sleep::NotCounted, Sleep::SetBack] {
        commands_from_before_a_sleep_are_not_sent(sleep);
    }
}

fn commands_from_before_a_sleep_are_not_sent(sleep: Sleep) {
    // A setpoint is held back when the host is suspended.
    let mut harness = one_room();
    harness.set(SET_SETPOINT, "21");
    let now = after_sleep(&mut harness, sleep);
    harness.peer.bridge.handle_timeout(now);
    harness.secs(60);
    assert_eq!(changes(&harness), []);
    assert_eq!(outcomes(&harness), [(1, "expired".to_owned())]);

    // A command waits in the system's buffer.
    let mut harness = one_room();
    let (link, _) = harness.open.expect("a connection");
    let mut bytes = vec![0x30, 0];
    bytes.extend([0, u8::try_from(SET_MODE.len()).expect("a length")]);
    bytes.extend(SET_MODE.bytes().chain(*b"off"));
    bytes[1] = u8::try_from(bytes.len() - 2).expect("a length");
    let now = after_sleep(&mut harness, sleep);
    harness.peer.bridge.handle_bytes(link, &bytes, now);
    harness.settle();
    assert_eq!((changes(&harness), harness.open), (vec![], None), "the connection is closed");
    harness.secs(60);
    assert!(harness.open.is_some() && changes(&harness).is_empty(), "it is opened again");
    let (link, _) = harness.open.expect("a connection");
    let now = at(harness.now);
    harness.peer.bridge.handle_bytes(link, &bytes, now);
    harness.settle();
    assert_eq!(changes(&harness), [Change::mode(Mode::Off)], "the same bytes in time");
}

#[test]
fn commands_to_a_thermostat_keep_their_order() {
    let mut harness = one_room();
    harness.set(SET_SETPOINT, "21");
    harness.set(&format!("mysa/{LIVING}/set/brightness_active"), "80");
    harness.set(SET_MODE, "off");
    let controls: Vec<String> = changes(&harness).iter().map(ToString::to_string).collect();
    assert_eq!(controls, ["setpoint 21 °C", "brightness active % 80", "mode off"]);
    harness.secs(5);
    assert_eq!(harness.peer.commands.len(), 3);
}

#[test]
fn a_command_without_a_verdict_is_unconfirmed_in_time_and_later_verdicts_are_ignored() {
    let mut harness = one_room();
    harness.set(SET_MODE, "off");
    harness.secs(89);
    assert!(outcomes(&harness).is_empty());
    harness.secs(1);
    decide(&mut harness, 0, &confirmed());
    assert_eq!(outcomes(&harness), [(1, "unconfirmed".to_owned())]);
}

#[test]
fn a_result_that_was_decided_while_the_broker_was_away_arrives_once() {
    let mut harness = one_room();
    harness.set(SET_MODE, "off");
    harness.unreachable = true;
    harness.cut();
    harness.secs(5);
    decide(&mut harness, 0, &confirmed());
    harness.unreachable = false;
    harness.secs(30);
    harness.restart_broker(false);
    harness.secs(30);
    assert_eq!(outcomes(&harness), [(1, "confirmed".to_owned())]);
}

#[test]
fn undecided_commands_are_bounded() {
    let mut harness = one_room();
    for _ in 0..200 {
        harness.set(SET_MODE, "off");
    }
    assert_eq!(harness.peer.commands.len(), 128);
    let refused = harness.results(LIVING);
    assert_eq!(refused.len(), 72);
    assert!(refused.iter().all(|(.., reason)| reason == "too many commands are undecided"));
}

#[test]
fn a_typed_temperature_in_fahrenheit_is_the_one_that_is_shown() {
    let mut settings = settings();
    settings.unit = Unit::Fahrenheit;
    let mut known = living_room();
    let mut harness = home(settings, &[known.clone()]);
    let climate = harness.json(CONFIG)["components"]["climate"].clone();
    assert_eq!(climate["temperature_unit"], "F");
    assert_eq!(climate["temperature_state_template"], "{{ value_json.setpoint_f }}");
    let topic = climate["temperature_command_topic"].as_str().unwrap().to_owned();
    let (min, max) = (climate["min_temp"].as_f64().unwrap(), climate["max_temp"].as_f64().unwrap());
    assert_eq!((min, max), (41.0, 86.0));
    let mut typed = min;
    while typed <= max {
        harness.set(&topic, &format!("{typed:.1}"));
        harness.secs(1);
        let asked = changes(&harness).pop().unwrap().setpoint.unwrap();
        // The setpoint that the thermostat holds: the nearest half degree.
        let held = asked.to_step(Celsius::from_hundredths(50));
        known.observe(harness.now, |seen| seen.setpoint = Some(held));
        harness.show(&known);
        let last = harness.peer.commands.len() - 1;
        decide(&mut harness, last, &confirmed());
        assert_eq!(harness.json(STATE)["setpoint_f"].as_f64(), Some(typed));
        typed += 1.0;
    }
}

#[test]
fn messages_to_unknown_topics_are_named_in_the_log_and_have_no_result() {
    let mut harness = one_room();
    let before = harness.broker.log.len();
    for topic in ["mysa/not an id/set/mode", "mysa/bridge/set/mode"] {
        harness.set(topic, "off");
        let ignored = Event::Ignored { topic: topic.into(), reason: IgnoredReason::UnknownTopic };
        assert_eq!(harness.peer.events.last(), Some(&ignored));
    }
    assert_eq!(harness.broker.log.len(), before);
}

#[test]
fn a_huge_message_is_skipped_and_the_next_command_arrives() {
    let mut harness = one_room();
    harness.broker.publish(SET_MODE, &vec![b'x'; 1_000_000], true);
    harness.settle();
    harness.set(SET_MODE, "off");
    assert_eq!(changes(&harness), [Change::mode(Mode::Off)]);
}

// Availability.

#[test]
fn the_bridge_is_available_only_once_its_thermostats_are_listed() {
    let mut harness = starting(settings());
    // Left by a broker that kept it from before its own restart.
    harness.broker.publish(BRIDGE, b"online", true);
    harness.broker.publish(AVAILABILITY, b"online", true);
    harness.secs(1);
    assert_eq!(harness.broker.retained(BRIDGE), Some("offline"));
    let mut silent = living_room();
    silent.is_current = false;
    list(&mut harness, &[silent]);
    harness.settle();
    assert_eq!(harness.broker.retained(BRIDGE), Some("online"));
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("offline"));
    let topics: Vec<&str> = harness.broker.log.iter().map(|publish| publish.topic.as_str()).collect();
    let last = |topic| topics.iter().rposition(|other| *other == topic).unwrap();
    assert!(
        last(CONFIG) < last(STATE) && last(STATE) < last(AVAILABILITY) && last(AVAILABILITY) < last(BRIDGE)
    );
}

#[test]
fn a_thermostat_that_falls_silent_or_loses_its_connection_is_unavailable() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
    known.is_current = false;
    harness.show(&known);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("offline"));
    known.is_current = true;
    harness.show(&known);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
    harness.secs(1);
    known.observe(harness.now, |seen| seen.connected = Some(false));
    harness.show(&known);
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("offline"));
    assert_eq!(harness.json(BRIDGE_STATE)["available"], 0);
}

#[test]
fn a_crash_publishes_offline_and_a_restart_corrects_everything() {
    let mut harness = one_room();
    harness.cut();
    assert_eq!(harness.broker.retained(BRIDGE), Some("offline"), "the will");
    harness.secs(13);
    assert_eq!(harness.broker.retained(BRIDGE), Some("online"));

    // A second process with the same client id takes over. The will of the first one does not follow.
    let mut second = starting(settings());
    std::mem::swap(&mut second.broker, &mut harness.broker);
    second.settle();
    assert_eq!(second.broker.retained(BRIDGE), Some("offline"));
    list(&mut second, &[living_room()]);
    second.secs(1);
    assert_eq!(second.broker.retained(BRIDGE), Some("online"));
}

#[test]
fn a_will_or_a_foreign_message_that_arrives_late_is_corrected() {
    let mut harness = one_room();
    harness.broker.publish(BRIDGE, b"offline", true);
    harness.settle();
    assert_eq!(harness.broker.retained(BRIDGE), Some("online"));
    harness.broker.publish(AVAILABILITY, b"offline", true);
    harness.settle();
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
}

#[test]
fn a_thermostat_that_left_while_the_bridge_was_away_does_not_stay_available() {
    let mut harness = starting(settings());
    harness.broker.publish("mysa/b0b1c2d3e4f6/availability", b"online", true);
    harness.broker.publish(AVAILABILITY, b"online", true);
    harness.secs(5);
    assert_eq!(
        harness.broker.retained("mysa/b0b1c2d3e4f6/availability"),
        Some("online"),
        "the list is not known yet"
    );
    list(&mut harness, &[living_room()]);
    harness.settle();
    assert_eq!(harness.broker.retained("mysa/b0b1c2d3e4f6/availability"), Some("offline"));
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
    for number in 0..1_000 {
        harness.broker.publish(&format!("mysa/{number:012x}/availability"), b"online", true);
        harness.settle();
    }
    let offline = harness.broker.retained.values().filter(|payload| payload.as_slice() == b"offline").count();
    assert!((200..=256).contains(&offline), "{offline}: bounded");
}

#[test]
fn a_thermostat_that_left_while_the_bridge_was_away_is_removed_after_an_hour() {
    const GONE: [&str; 4] = [
        "homeassistant/device/mysa_b0b1c2d3e4f6/config",
        "mysa/b0b1c2d3e4f6/state",
        "mysa/b0b1c2d3e4f6/attributes",
        "mysa/b0b1c2d3e4f6/availability",
    ];
    for left_as in ["online", "offline"] {
        let mut harness = starting(settings());
        for topic in GONE {
            harness.broker.publish(topic, left_as.as_bytes(), true);
        }
        list(&mut harness, &[living_room()]);
        harness.secs(3_500);
        assert_eq!(harness.broker.retained(GONE[0]), Some(left_as), "a list may be incomplete");
        harness.secs(200);
        assert_eq!(GONE.map(|topic| harness.broker.retained(topic)), [None; 4]);
        assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
    }
}

#[test]
fn a_clean_shutdown_decides_every_command_and_publishes_offline() {
    let mut harness = one_room();
    harness.set(SET_MODE, "off");
    harness.set(SET_SETPOINT, "21");
    let now = at(harness.now);
    harness.peer.bridge.shutdown(now);
    harness.settle();
    assert!(harness.peer.bridge.is_ended());
    assert_eq!(harness.broker.retained(BRIDGE), Some("offline"));
    assert_eq!(outcomes(&harness), [(1, "unconfirmed".to_owned()), (2, "expired".to_owned())]);
    assert_eq!(changes(&harness), [Change::mode(Mode::Off)], "what was held back is not sent");
    harness.secs(100);
    assert_eq!((harness.dials.len(), harness.peer.bridge.poll_timeout()), (1, None));
}

#[test]
fn a_shutdown_ends_in_two_seconds() {
    for case in 0..3 {
        let mut harness = one_room();
        match case {
            0 => harness.set_black_hole(true),
            1 => harness.stalled = true,
            _ => harness.broker.no_puback = true,
        }
        let now = at(harness.now);
        harness.peer.bridge.shutdown(now);
        harness.secs(2);
        assert!(harness.peer.bridge.is_ended(), "{case}");
    }
}

// Restarts.

#[test]
fn the_birth_of_home_assistant_publishes_everything_again_after_a_pause() {
    let mut harness = one_room();
    let before = harness.broker.log.len();
    harness.broker.publish(BIRTH, b"offline", false);
    harness.secs(20);
    assert_eq!(harness.broker.log.len(), before);
    for _ in 0..10 {
        harness.broker.publish(BIRTH, b"online", false);
        harness.settle();
    }
    assert_eq!(harness.broker.log.len(), before, "after a pause, not at once");
    harness.secs(8);
    let again: Vec<&str> =
        harness.broker.log[before..].iter().map(|publish| publish.topic.as_str()).collect();
    assert_eq!(again.len(), 7, "once for ten messages: {again:?}");
    for topic in [CONFIG, STATE, ATTRIBUTES, AVAILABILITY, BRIDGE_STATE, INSTANCE, BRIDGE] {
        assert!(again.contains(&topic), "{topic}");
    }
    assert_eq!(again.last(), Some(&BRIDGE));
    assert_eq!(harness.peer.events.iter().filter(|event| **event == Event::HomeAssistantStarted).count(), 1);
}

/// Home Assistant was away when a thermostat left, so it still shows it.
#[test]
fn the_birth_of_home_assistant_removes_a_thermostat_again_that_has_left() {
    let other = Known::new("b0b1c2d3e4f6", "Bedroom", "BB-V2-0");
    let mut harness = home(settings(), &[living_room(), other.clone()]);
    list(&mut harness, std::slice::from_ref(&other));
    harness.secs(60);
    let removals = |harness: &Harness<Node>| {
        let sent = |topic: &str| {
            let log = harness.broker.log.iter();
            log.filter(|sent| sent.topic == topic && sent.payload.is_empty()).count()
        };
        let told = harness.peer.events.iter().filter(|event| matches!(event, Event::Removed { .. })).count();
        [sent(CONFIG), sent(AVAILABILITY), told]
    };
    assert_eq!(removals(&harness), [1, 1, 1]);
    harness.broker.publish(BIRTH, b"online", false);
    harness.secs(60);
    assert_eq!(removals(&harness), [2, 2, 1]);
    assert!(!harness.broker.retained.keys().any(|topic| topic.contains(LIVING)));

    list(&mut harness, &[living_room(), other]);
    harness.show(&living_room());
    harness.broker.publish(BIRTH, b"online", false);
    harness.secs(60);
    assert_eq!(removals(&harness), [2, 2, 1], "it has come back");
    assert_eq!(harness.broker.retained(AVAILABILITY), Some("online"));
}

#[test]
fn a_retained_birth_message_is_no_start() {
    let mut harness = starting(settings());
    harness.broker.publish(BIRTH, b"online", true);
    list(&mut harness, &[living_room()]);
    harness.secs(60);
    assert_eq!(harness.broker.published(CONFIG).len(), 1);
    assert!(!harness.peer.events.contains(&Event::HomeAssistantStarted));
}

#[test]
fn a_state_that_changed_is_refreshed_after_the_whole_interval() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    harness.secs(240);
    known.observe(harness.now, |seen| seen.temperature = Some(celsius(25.0)));
    harness.show(&known);
    assert_eq!(harness.broker.published(STATE).len(), 2);
    harness.secs(299);
    assert_eq!(harness.broker.published(STATE).len(), 2);
    harness.secs(1);
    assert_eq!(harness.broker.published(STATE).len(), 3);
}

#[test]
fn pauses_after_a_birth_message_differ_between_bridges() {
    let pause = |seed| {
        let bridge = Bridge::new(settings(), [seed; 32], at(Duration::ZERO)).unwrap();
        let mut harness = Harness::new(Node::new(bridge));
        list(&mut harness, &[living_room()]);
        harness.settle();
        harness.broker.publish(BIRTH, b"online", false);
        let before = harness.broker.log.len();
        while harness.broker.log.len() == before {
            harness.run(Duration::from_millis(10));
        }
        harness.now
    };
    let pauses: Vec<Duration> = (0..20).map(pause).collect();
    assert!(pauses.iter().all(|pause| (1..=9).contains(&pause.as_secs())), "{pauses:?}");
    assert!(
        pauses.iter().max().unwrap().abs_diff(*pauses.iter().min().unwrap()) > Duration::from_secs(3),
        "{pauses:?}"
    );
}

#[test]
fn a_broker_that_lost_its_memory_has_everything_again_within_half_a_minute() {
    let mut harness = one_room();
    let before = harness.broker.retained.clone();
    for keeps in [false, true, false] {
        harness.restart_broker(keeps);
        harness.secs(30);
        assert_eq!(harness.broker.retained, before);
    }
    assert!(harness.peer.commands.is_empty());
}

#[test]
fn changes_while_the_broker_is_away_are_published_as_one() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    harness.unreachable = true;
    harness.cut();
    let before = harness.broker.published(STATE).len();
    for step in 1..=50_u32 {
        harness.secs(1);
        known.observe(harness.now, |seen| seen.temperature = Some(celsius(18.0 + f64::from(step) / 10.0)));
        harness.show(&known);
    }
    harness.unreachable = false;
    harness.secs(20);
    assert_eq!(harness.broker.published(STATE).len(), before + 1);
    assert_eq!(harness.json(STATE)["temperature"], 23.0);
}

#[test]
fn a_refused_login_is_retried_and_named_in_the_log() {
    let mut harness = starting(settings());
    harness.broker.refusal = Some(ConnectRefusal::BadLogin);
    harness.secs(60);
    let line = harness.peer.events[0].to_string();
    assert!(
        line.starts_with("broker: the broker refused the connection: bad user name or password"),
        "{line}"
    );
    harness.broker.refusal = None;
    list(&mut harness, &[living_room()]);
    harness.secs(13);
    assert_eq!(harness.broker.retained(BRIDGE), Some("online"));
}

#[test]
fn the_log_has_one_line_for_each_change_of_state() {
    let mut known = living_room();
    let mut harness = home(settings(), &[known.clone()]);
    for _ in 0..100 {
        harness.secs(10);
        harness.show(&known);
    }
    known.is_current = false;
    harness.show(&known);
    harness.set(SET_MODE, "off");
    decide(&mut harness, 0, &Verdict::Refused(Refused::Device));
    let lines: Vec<String> = harness.peer.events.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "cloud: live: nothing is wrong",
            "a0b1c2d3e4f6: available",
            "broker: connected",
            "a0b1c2d3e4f6: unavailable",
            "a0b1c2d3e4f6: command 1: mode off",
            "a0b1c2d3e4f6: command 1 refused: the thermostat reported a failure",
        ]
    );
    assert!(harness.peer.events.iter().all(|event| !event.to_string().contains('\n')));
    let hostile = Event::Ignored { topic: "a\n\u{1b}[2J".into(), reason: IgnoredReason::UnknownTopic };
    assert!(!hostile.to_string().contains(['\n', '\u{1b}']));
}

#[test]
fn invalid_settings_are_refused() {
    for prefix in ["", "/mysa", "mysa/", "my/+", "#", "a\0", &"x".repeat(101)] {
        let mut settings = settings();
        settings.prefix = prefix.into();
        let error = Bridge::new(settings, [7; 32], at(Duration::ZERO)).unwrap_err().to_string();
        assert!(error.starts_with("invalid topic prefix"), "{error}");
    }
    let mut settings = settings();
    settings.broker.client_id = "\0".into();
    let error = Bridge::new(settings, [7; 32], at(Duration::ZERO)).unwrap_err().to_string();
    assert!(error.starts_with("invalid client id"), "{error}");
}

#[test]
fn an_estimate_is_named_as_one() {
    let mut known = living_room();
    known.power = Power::Measured(Watts::from_watts(1_500.04).unwrap());
    let harness = home(settings(), &[known]);
    let state = harness.json(STATE);
    assert_eq!((&state["power"], &state["power_basis"]), (&json!(1500.0), &json!("measured")));
    assert!(DeviceId::new(LIVING).is_some());
}
