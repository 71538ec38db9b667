use alloc::vec::Vec;

use crate::command::validate::{fan_speeds, horizontal_swing, modes_on, vertical_swing};
use crate::{
    Change, Channel, Control, Family, FanSpeed, Hold, Limits, Mode, ModeTable, Model, Sensor, SetpointRange,
    Swing, TrackedSensor,
};

/// Entity of a thermostat in a home-automation system: its kind, unit, range and access. The terms are those of Home
/// Assistant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entity {
    /// Component and key, such as `sensor.temperature`; unique within a device and never changed.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// `device_class`, if there is one.
    pub device_class: Option<&'static str>,
    /// Unit of the value, if it has one. Temperatures are always in °C.
    pub unit: Option<&'static str>,
    /// `state_class`: `measurement` or `total_increasing`.
    pub state_class: Option<&'static str>,
    /// `entity_category`; `None` for entities of daily use.
    pub category: Option<Category>,
    /// Range and step of a writable number.
    pub range: Option<Span>,
    /// Options of a select, in display order.
    pub choices: Vec<Choice>,
    /// True if it can be written.
    pub writable: bool,
    /// True if the entity is enabled by default.
    pub enabled: bool,
}

impl Entity {
    /// The part of the id before the dot: `sensor`, `climate`, `switch`…
    #[must_use]
    pub fn component(&self) -> &'static str {
        self.id.split_once('.').map_or(self.id, |(component, _)| component)
    }

    /// The part of the id after the dot.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.id.split_once('.').map_or(self.id, |(_, key)| key)
    }
}

/// `entity_category` of an [`Entity`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are only these two")]
pub enum Category {
    /// A setting of the device.
    Config,
    /// Diagnostic of the device rather than of the room.
    Diagnostic,
}

/// Range of a number, in the unit of its entity.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Span {
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
    /// Step between two values.
    pub step: f64,
}

impl From<SetpointRange> for Span {
    fn from(range: SetpointRange) -> Self {
        Self { min: range.min.as_degrees(), max: range.max.as_degrees(), step: range.step.as_degrees() }
    }
}

/// Option of a select.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// Name, in lower case.
    pub name: &'static str,
    /// Change that the option requests; `None` if the entity cannot be written.
    pub change: Option<Change>,
}

/// Facts about a device, observed or given by its owner, that decide which entities it has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..EntityFacts::default()` fills the rest")]
pub struct EntityFacts {
    /// It has reported a humidity. The capability document is unreliable: that of a Lite denies it.
    pub humidity: bool,
    /// It has reported a current, in a status or in batch readings.
    pub current: bool,
    /// It has reported a line voltage.
    pub voltage: bool,
    /// Its owner has entered the rated power of the heater.
    pub rated_power: bool,
    /// The cloud has an energy history for it.
    pub energy_history: bool,
}

/// Returns the entities of a thermostat.
///
/// A device of unknown model has no writable entities, and no entity reboots, pairs or updates a device. Power exists
/// only if it is measured or a rated power is known.
///
/// ```
/// use mysa_proto::{EntityFacts, Limits, Model, ModeTable, entities};
///
/// let model = Model::parse("BB-V2-0-L");
/// let list = entities(&model, &Limits::default(), &ModeTable::OBSERVED, &EntityFacts::default());
/// let setpoint = list.iter().find(|entity| entity.id == "climate.setpoint").ok_or("no setpoint")?;
/// assert_eq!(setpoint.range.map(|range| (range.min, range.max, range.step)), Some((5.0, 30.0, 0.5)));
/// assert!(setpoint.writable && list.iter().all(|entity| entity.id != "sensor.power"));
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn entities(model: &Model, limits: &Limits<'_>, table: &ModeTable, facts: &EntityFacts) -> Vec<Entity> {
    let mut list = Vec::new();
    let family = model.family();
    list.push(measured("sensor.temperature", "Temperature", "temperature", "°C"));
    if facts.humidity {
        list.push(measured("sensor.humidity", "Humidity", "humidity", "%"));
    }
    if let Some(family) = family {
        climate(family, &limits.of(family), table, &mut list);
        electrical(family, facts, &mut list);
    }
    list.push(Entity {
        enabled: false,
        category: Some(Category::Diagnostic),
        ..measured("sensor.signal", "Signal", "signal_strength", "dBm")
    });
    let diagnostic = |id, name, class| Entity {
        device_class: Some(class),
        category: Some(Category::Diagnostic),
        ..shown(id, name)
    };
    list.push(diagnostic("sensor.last_seen", "Last seen", "timestamp"));
    list.push(diagnostic("binary_sensor.connected", "Connected", "connectivity"));
    list.push(diagnostic("update.firmware", "Firmware", "firmware"));
    list
}

fn climate(family: Family, limits: &Limits<'_>, table: &ModeTable, list: &mut Vec<Entity>) {
    let Some(channel) =
        [Channel::Mqtt, Channel::Structured].into_iter().find(|channel| family.is_reached_by(*channel))
    else {
        return;
    };
    // The present mode of an air conditioner may have no setpoint.
    let number = limits.mode.and_then(|mode| table.number_of(mode, family, None));
    let listed = limits.ac.zip(number).and_then(|(ac, number)| ac.mode(number)?.temperatures.as_deref());
    let without_setpoint = limits.mode != Some(Mode::Off) && listed.is_some_and(<[_]>::is_empty);
    list.push(Entity {
        device_class: Some("temperature"),
        unit: Some("°C"),
        range: limits.range(family, limits.mode, number).filter(|_| !without_setpoint).map(Span::from),
        writable: !without_setpoint,
        ..shown("climate.setpoint", "Setpoint")
    });
    let modes = modes_on(family, channel, limits, table);
    list.push(choice("climate.mode", "Mode", modes.iter().map(|mode| (mode.name(), Change::mode(*mode)))));
    list.push(Entity { choices: actions(&modes), ..shown("climate.action", "Action") });
    if family.has(Control::Fan, channel) {
        let speeds = fan_speeds(family, limits, limits.mode, number);
        let named = speeds.iter().filter_map(|speed| Some((fan_name(*speed, &speeds)?, *speed)));
        list.push(choice(
            "climate.fan_mode",
            "Fan",
            named.map(|(name, speed)| (name, Change { fan: Some(speed), ..Change::default() })),
        ));
    }
    if family.has(Control::Swing, channel) {
        let vertical = vertical_swing(limits, number);
        list.push(choice(
            "climate.swing_mode",
            "Vertical swing",
            named(&vertical)
                .map(|(name, swing)| (name, Change { swing_vertical: Some(swing), ..Change::default() })),
        ));
        let horizontal = horizontal_swing(limits, number);
        list.push(choice(
            "climate.swing_horizontal_mode",
            "Horizontal swing",
            named(&horizontal)
                .map(|(name, swing)| (name, Change { swing_horizontal: Some(swing), ..Change::default() })),
        ));
    }
    if family.has(Control::Hold, channel) {
        let holds = [("schedule", Hold::FollowSchedule), ("hold", Hold::Permanent)];
        list.push(choice(
            "climate.preset_mode",
            "Preset",
            holds.map(|(name, hold)| (name, Change { hold: Some(hold), ..Change::default() })),
        ));
        list.push(Entity { device_class: Some("timestamp"), ..shown("sensor.hold_until", "Hold until") });
    }
    list.push(Entity { enabled: false, ..measured("sensor.setpoint", "Setpoint", "temperature", "°C") });
    list.push(Entity {
        device_class: Some("enum"),
        choices: modes.iter().map(|mode| Choice { name: mode.name(), change: None }).collect(),
        enabled: false,
        ..shown("sensor.mode", "Mode")
    });
    if family.senses(Sensor::Floor) {
        list.push(measured("sensor.floor_temperature", "Floor temperature", "temperature", "°C"));
    }
    let setting = |id, name| Entity { category: Some(Category::Config), writable: true, ..shown(id, name) };
    if family.has(Control::Lock, channel) {
        list.push(setting("switch.lock", "Button lock"));
    }
    // The structured service takes both numbers or none, so one of them can be set by MQTT only.
    if channel == Channel::Mqtt && family.has(Control::Brightness, channel) {
        for (id, name) in [
            ("number.brightness_active", "Display brightness in use"),
            ("number.brightness_idle", "Display brightness idle"),
        ] {
            let range = Some(Span { min: 0.0, max: 100.0, step: 1.0 });
            list.push(Entity { unit: Some("%"), range, ..setting(id, name) });
        }
    }
    if family.has(Control::TrackedSensor, channel) {
        let sensors = [("ambient", TrackedSensor::Ambient), ("floor", TrackedSensor::Floor)];
        let changes = sensors
            .map(|(name, sensor)| (name, Change { tracked_sensor: Some(sensor), ..Change::default() }));
        list.push(Entity {
            category: Some(Category::Config),
            ..choice("select.tracked_sensor", "Tracked sensor", changes)
        });
    }
}

fn electrical(family: Family, facts: &EntityFacts, list: &mut Vec<Entity>) {
    let diagnostic = Some(Category::Diagnostic);
    if family.senses(Sensor::Duty) {
        list.push(Entity {
            unit: Some("%"),
            state_class: Some("measurement"),
            category: diagnostic,
            ..shown("sensor.duty_cycle", "Duty cycle")
        });
    }
    if family.senses(Sensor::Current) || facts.current {
        list.push(measured("sensor.current", "Current", "current", "A"));
    }
    if family.senses(Sensor::Voltage) || facts.voltage {
        list.push(Entity { category: diagnostic, ..measured("sensor.voltage", "Voltage", "voltage", "V") });
    }
    let power = match family {
        Family::BaseboardV1 => true,
        Family::BaseboardV2 | Family::BaseboardLite | Family::InFloor => facts.rated_power,
        _ => false,
    };
    if power {
        list.push(measured("sensor.power", "Power", "power", "W"));
    }
    if power || facts.energy_history {
        list.push(Entity {
            state_class: Some("total_increasing"),
            ..measured("sensor.energy", "Energy", "energy", "kWh")
        });
    }
}

/// Activities of a thermostat, derived from its modes.
fn actions(modes: &[Mode]) -> Vec<Choice> {
    let by_mode = [
        (Mode::Off, "off"),
        (Mode::Heat, "heating"),
        (Mode::Cool, "cooling"),
        (Mode::Dry, "drying"),
        (Mode::FanOnly, "fan"),
    ];
    let names = by_mode.into_iter().filter(|(mode, _)| modes.contains(mode)).map(|(_, name)| name);
    names.chain(["idle"]).map(|name| Choice { name, change: None }).collect()
}

/// Name of a speed in the list `among`: with its number if two speeds share the plain name.
fn fan_name(speed: FanSpeed, among: &[FanSpeed]) -> Option<&'static str> {
    let name = speed.name()?;
    let twice = among.iter().any(|other| *other != speed && other.name() == Some(name));
    Some(match (twice, speed.code()) {
        (true, 3) => "speed_1",
        (true, 5) => "speed_2",
        (true, 7) => "speed_3",
        _ => name,
    })
}

fn named(swings: &[Swing]) -> impl Iterator<Item = (&'static str, Swing)> {
    swings.iter().filter_map(|swing| Some((swing.name()?, *swing)))
}

fn shown(id: &'static str, name: &'static str) -> Entity {
    Entity {
        id,
        name,
        device_class: None,
        unit: None,
        state_class: None,
        category: None,
        range: None,
        choices: Vec::new(),
        writable: false,
        enabled: true,
    }
}

fn measured(id: &'static str, name: &'static str, class: &'static str, unit: &'static str) -> Entity {
    Entity {
        device_class: Some(class),
        unit: Some(unit),
        state_class: Some("measurement"),
        ..shown(id, name)
    }
}

/// Writable select, or `None` if it has no options.
fn choice(
    id: &'static str,
    name: &'static str,
    choices: impl IntoIterator<Item = (&'static str, Change)>,
) -> Entity {
    let choices: Vec<_> =
        choices.into_iter().map(|(name, change)| Choice { name, change: Some(change) }).collect();
    Entity { writable: !choices.is_empty(), choices, ..shown(id, name) }
}
