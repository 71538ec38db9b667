//! Entities of each model for a bridge; every choice of a writable entity is a valid command.
#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::collections::BTreeSet;

use mysa_proto::{
    AcCapabilities, AcModeCapabilities, Brightness, Celsius, Change, Channel, Command, DeviceId, Entity,
    EntityFacts, Family, FanSpeed, Limits, Mode, ModeTable, Model, StructuredUpdate, Swing, UnixTime,
    entities,
};

const EVERYTHING: EntityFacts =
    EntityFacts { humidity: true, current: true, voltage: true, rated_power: true, energy_history: true };

#[test]
fn each_family_has_the_expected_entities() {
    let common = "binary_sensor.connected sensor.last_seen sensor.signal sensor.temperature update.firmware";
    let sets = "climate.action climate.mode climate.setpoint sensor.mode sensor.setpoint";
    let heats = format!("{sets} switch.lock");
    let brightness = "number.brightness_active number.brightness_idle";
    let holds = "climate.preset_mode sensor.hold_until";
    for (model, own) in [
        ("BB-V1-1", format!("{heats} sensor.current sensor.duty_cycle sensor.energy sensor.power")),
        ("BB-V2-0", format!("{heats} {holds} {brightness} sensor.duty_cycle")),
        ("BB-V2-0-L", format!("{heats} sensor.duty_cycle")),
        ("BB-V3-0", format!("{heats} sensor.duty_cycle")),
        (
            "INF-V1-0",
            format!("{heats} {holds} select.tracked_sensor sensor.floor_temperature sensor.voltage"),
        ),
        ("AC-V1-0", format!("{sets} climate.fan_mode climate.swing_mode climate.swing_horizontal_mode")),
        ("ST-V1-0", format!("{heats} climate.fan_mode")),
        ("CS-V1-0", String::new()),
        ("XX-V9-9", String::new()),
    ] {
        let list = of(model, &Limits::default(), &EntityFacts::default());
        let ids: BTreeSet<_> = list.iter().map(|entity| entity.id).collect();
        let expected: BTreeSet<_> = common.split_whitespace().chain(own.split_whitespace()).collect();
        assert_eq!(ids, expected, "{model}");
        assert_eq!(ids.len(), list.len(), "{model}: duplicate id");
    }
}

#[test]
fn humidity_power_and_energy_exist_only_if_they_can_be_known() {
    for (model, facts, expected) in [
        (
            "BB-V2-0",
            EntityFacts { rated_power: true, ..EntityFacts::default() },
            "sensor.power sensor.energy",
        ),
        ("BB-V2-0", EntityFacts { energy_history: true, ..EntityFacts::default() }, "sensor.energy"),
        ("AC-V1-0", EntityFacts { rated_power: true, ..EntityFacts::default() }, ""),
        ("BB-V2-0-L", EntityFacts { humidity: true, ..EntityFacts::default() }, "sensor.humidity"),
        (
            "BB-V2-0",
            EntityFacts { current: true, voltage: true, ..EntityFacts::default() },
            "sensor.current sensor.voltage",
        ),
    ] {
        let before = of(model, &Limits::default(), &EntityFacts::default());
        let after = of(model, &Limits::default(), &facts);
        let new: Vec<_> =
            after.iter().filter(|entity| !before.contains(entity)).map(|entity| entity.id).collect();
        let mut new = new.join(" ");
        if new == "sensor.energy sensor.power" {
            new = "sensor.power sensor.energy".into();
        }
        assert_eq!(new, expected, "{model}");
    }
}

#[test]
fn every_value_of_a_writable_entity_is_a_valid_command() {
    let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
    let now = UnixTime::from_secs(1_767_323_045);
    let ac = ac();
    for info in Model::known() {
        let model = Model::Known(info);
        for ac in [None, Some(&ac)] {
            for mode in [None, Some(Mode::Off), Some(Mode::Heat), Some(Mode::Cool), Some(Mode::Dry)] {
                if mode.is_some_and(|mode| !info.family.modes().contains(&mode)) {
                    continue;
                }
                let limits = Limits { ac, mode, ..Limits::default() };
                for entity in entities(&model, &limits, &ModeTable::OBSERVED, &EVERYTHING) {
                    let names: BTreeSet<_> = entity.choices.iter().map(|choice| choice.name).collect();
                    assert_eq!(names.len(), entity.choices.len(), "{} {}: {names:?}", info.model, entity.id);
                    for choice in &entity.choices {
                        assert_eq!(choice.change.is_some(), entity.writable, "{} {}", info.model, entity.id);
                        let Some(change) = choice.change else { continue };
                        assert!(
                            can(device, &model, &limits, change, now),
                            "{} {mode:?} {change}",
                            info.model
                        );
                    }
                    if let Some(change) = setting(entity.id) {
                        assert!(
                            can(device, &model, &limits, change, now),
                            "{} {mode:?} {change}",
                            info.model
                        );
                    }
                    // A central system takes a setpoint for heating or cooling only.
                    if entity.id == "climate.setpoint" && model.family() != Some(Family::Central) {
                        for degrees in entity.range.iter().flat_map(|range| [range.min, range.max]) {
                            let change = Change::setpoint(Celsius::from_degrees(degrees).unwrap());
                            assert!(can(device, &model, &limits, change, now), "{} {change}", info.model);
                        }
                    }
                }
            }
        }
    }
}

/// Change of an entity that has a value of its own, other than a setpoint.
fn setting(id: &str) -> Option<Change> {
    let brightness = |brightness| Change { brightness: Some(brightness), ..Change::default() };
    Some(match id {
        "switch.lock" => Change { lock: Some(true), ..Change::default() },
        "number.brightness_active" => brightness(Brightness { active: Some(80), ..Brightness::default() }),
        "number.brightness_idle" => brightness(Brightness { idle: Some(20), ..Brightness::default() }),
        _ => return None,
    })
}

#[test]
fn the_setpoint_range_is_that_of_the_device() {
    let limits = Limits { max_setpoint: Celsius::from_degrees(28.0), ..Limits::default() };
    let list = of("INF-V1-0", &limits, &EVERYTHING);
    let range = entity(&list, "climate.setpoint").range.unwrap();
    assert_eq!((range.min, range.max, range.step), (5.0, 28.0, 0.5));
}

#[test]
fn an_air_conditioner_offers_what_its_record_lists_for_the_mode() {
    let ac = ac();
    let names = |list: &[Entity], id: &str| {
        let choices = entity(list, id).choices.iter();
        choices.map(|choice| choice.name).collect::<Vec<_>>().join(" ")
    };
    let limits = Limits { ac: Some(&ac), mode: Some(Mode::Cool), ..Limits::default() };
    let cooling = of("AC-V1-0", &limits, &EVERYTHING);
    assert_eq!(names(&cooling, "climate.mode"), "off heat cool dry");
    assert_eq!(names(&cooling, "climate.fan_mode"), "auto low medium high");
    assert_eq!(names(&cooling, "climate.swing_mode"), "auto position_1");
    assert_eq!(names(&cooling, "climate.action"), "off heating cooling drying idle");
    assert!(!entity(&cooling, "climate.swing_horizontal_mode").writable);
    assert!(entity(&cooling, "climate.setpoint").writable);
    let drying = of("AC-V1-0", &Limits { mode: Some(Mode::Dry), ..limits }, &EVERYTHING);
    assert_eq!(names(&drying, "climate.fan_mode"), "auto");
    let setpoint = entity(&drying, "climate.setpoint");
    assert_eq!((setpoint.range, setpoint.writable), (None, false));
}

#[test]
fn an_unknown_model_has_no_writable_entity_and_no_model_has_a_button() {
    assert!(of("XX-V9-9", &Limits::default(), &EVERYTHING).iter().all(|entity| !entity.writable));
    for info in Model::known() {
        for entity in of(info.model, &Limits::default(), &EVERYTHING) {
            assert_ne!(entity.component(), "button");
            assert!(!(entity.component() == "update" && entity.writable));
            assert_eq!(format!("{}.{}", entity.component(), entity.key()), entity.id);
        }
    }
}

fn of(model: &str, limits: &Limits<'_>, facts: &EntityFacts) -> Vec<Entity> {
    entities(&Model::parse(model), limits, &ModeTable::OBSERVED, facts)
}

fn entity<'a>(list: &'a [Entity], id: &str) -> &'a Entity {
    list.iter().find(|entity| entity.id == id).unwrap()
}

/// Returns `true` if one of the two channels accepts the change.
fn can(device: DeviceId, model: &Model, limits: &Limits<'_>, change: Change, now: UnixTime) -> bool {
    let mode = limits.mode.or(Some(Mode::Cool)).filter(|_| change.fan.is_some());
    let with_mode = Change { mode: change.mode.or(mode), ..change };
    if model.family().is_some_and(|family| family.is_reached_by(Channel::Mqtt)) {
        Command::new(device, model, limits, &ModeTable::OBSERVED, change, now).is_ok()
    } else {
        StructuredUpdate::new(model, limits, with_mode).is_ok()
    }
}

fn ac() -> AcCapabilities {
    let degrees = (16..=30).map(|degrees| Celsius::from_hundredths(degrees * 100)).collect::<Vec<_>>();
    let speeds = [1, 2, 4, 6].map(FanSpeed::from_code).to_vec();
    let swing = [3, 4].map(Swing::from_code).to_vec();
    let mode = |number, temperatures: &Vec<Celsius>| AcModeCapabilities {
        number,
        temperatures: Some(temperatures.clone()),
        fan_speeds: Some(speeds.clone()),
        vertical_swing: Some(swing.clone()),
        horizontal_swing: Some(Vec::new()),
    };
    AcCapabilities {
        temperature_range: Some((Celsius::from_hundredths(1_600), Celsius::from_hundredths(3_000))),
        modes: vec![mode(3, &degrees), mode(4, &degrees), mode(6, &Vec::new())],
        ..AcCapabilities::default()
    }
}
