use alloc::vec::Vec;

use crate::command::validate::{setpoint, validate};
use crate::json::writer::{self, Object};
use crate::{
    AutoSetpoints, Celsius, Change, Channel, Family, FanSpeed, InvalidCommand, Limits, Mode, ModeTable, Model,
};

/// Body of `POST /state/{dev}/update`, the command channel of the structured service, checked against the model.
///
/// It has its own sections and mode numbers: heat is 4 here and 3 over MQTT. An answer of 200 does not mean that the
/// thermostat applied it; only a `reported` section of the state shows that. (mysa_client.)
///
/// ```
/// use mysa_proto::{Celsius, Change, Limits, Mode, Model, StructuredUpdate};
///
/// let change = Change { mode: Some(Mode::Heat), setpoint: Celsius::from_degrees(21.0), ..Change::default() };
/// let update = StructuredUpdate::new(&Model::parse("BB-V2-0-L"), &Limits::default(), change)?;
/// let mut body = Vec::new();
/// update.encode(&mut body);
/// assert_eq!(body, br#"{"source":3,"modes":{"mode":4},"targetHeat":{"setpoint":21}}"#);
/// # Ok::<(), mysa_proto::InvalidCommand>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StructuredUpdate {
    family: Family,
    change: Change,
    /// `modes.mode`: the requested mode, or the present one if a fan speed requires it.
    mode_number: Option<i64>,
    fan_mode: Option<i64>,
    target: Option<(Target, Celsius)>,
}

/// The section a setpoint belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Target {
    Heat,
    Cool,
}

impl StructuredUpdate {
    /// Checks a change and turns it into an update, by the rules of [`Command::new`](crate::Command::new) with the
    /// controls and modes of this channel. Holds have a route of their own.
    ///
    /// # Errors
    ///
    /// The [`InvalidCommand`] names the valid values.
    pub fn new(model: &Model, limits: &Limits<'_>, change: Change) -> Result<Self, InvalidCommand> {
        let (family, change) = validate(Channel::Structured, model, limits, &ModeTable::OBSERVED, change)?;
        let mode = change.mode.or(limits.mode);
        let target = match change.setpoint {
            Some(setpoint) => Some((target(family, mode)?, setpoint)),
            None => None,
        };
        let auto_setpoints = match change.auto_setpoints {
            Some(pair) => Some(validate_pair(pair, family, &limits.of(family))?),
            None => None,
        };
        if let Some(asked) = change.temperature_offset {
            let step = Celsius::from_hundredths(50);
            if !(asked.as_hundredths().unsigned_abs() <= 500 && asked.is_on_step(step)) {
                return Err(InvalidCommand::OffsetOutOfRange { asked });
            }
        }
        if let Some(brightness) = change.brightness {
            let both = brightness.active.is_some() && brightness.idle.is_some();
            let more = brightness.auto.is_some()
                || brightness.active_seconds.is_some()
                || brightness.idle_seconds.is_some();
            if !both || more {
                return Err(InvalidCommand::BrightnessNeedsBoth);
            }
        }
        let mut mode_number = change.mode.and_then(Mode::to_structured);
        let fan_mode = match change.fan {
            Some(fan) => {
                // The service rejects a fan speed without a mode.
                let mode = mode.filter(|mode| family.modes().contains(mode));
                mode_number = mode.and_then(Mode::to_structured);
                if mode_number.is_none() {
                    return Err(InvalidCommand::FanNeedsMode);
                }
                Some(fan_mode(fan, family)?)
            }
            None => None,
        };
        Ok(Self { family, change: Change { auto_setpoints, ..change }, mode_number, fan_mode, target })
    }

    /// Family that the settings were checked against.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Requested settings, with setpoints on the model's step.
    #[must_use]
    pub const fn change(&self) -> &Change {
        &self.change
    }

    /// Appends the JSON body of `POST /state/{dev}/update`; `source` 3 is the app.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Object::begin(out);
        body.integer("source", 3);
        self.sections(&mut body);
        body.end();
    }

    /// Appends the sections only, for `state` of `POST /schedule/hold`.
    pub fn encode_state(&self, out: &mut Vec<u8>) {
        let mut body = Object::begin(out);
        self.sections(&mut body);
        body.end();
    }

    fn sections(&self, body: &mut Object<'_>) {
        let change = &self.change;
        let vertical = change.swing_vertical.map(|swing| i64::from(swing.code()));
        let horizontal = change.swing_horizontal.map(|swing| i64::from(swing.code()));
        if self.mode_number.is_some() || vertical.is_some() || horizontal.is_some() {
            let mut modes = Object::begin(body.name("modes"));
            modes.integer_if("mode", self.mode_number);
            modes.integer_if("fan_mode", self.fan_mode);
            modes.integer_if("verticalSwingState", vertical);
            modes.integer_if("horizontalSwingState", horizontal);
            modes.end();
        }
        if let Some((target, setpoint)) = self.target {
            let name = match target {
                Target::Heat => "targetHeat",
                Target::Cool => "targetCool",
            };
            let mut section = Object::begin(body.name(name));
            section.celsius_if("setpoint", Some(setpoint));
            section.end();
        }
        if let Some(AutoSetpoints { heat, cool }) = change.auto_setpoints {
            let mut section = Object::begin(body.name("targetAuto"));
            section.celsius_if("heatSetpoint", Some(heat));
            section.celsius_if("coolSetpoint", Some(cool));
            section.end();
        }
        if change.lock.is_some() || change.brightness.is_some() {
            let mut section = Object::begin(body.name("physicalInterface"));
            section.integer_if("lockout", change.lock.map(|locked| if locked { 3 } else { 0 }));
            let brightness = change.brightness.unwrap_or_default();
            section.integer_if("activeIntensity", brightness.active.map(i64::from));
            section.integer_if("idleIntensity", brightness.idle.map(i64::from));
            section.end();
        }
        if change.tracked_sensor.is_some() || change.temperature_offset.is_some() {
            let mut section = Object::begin(body.name("tracking"));
            section.integer_if("tracking", change.tracked_sensor.map(|sensor| sensor.to_structured()));
            if let Some(offset) = change.temperature_offset {
                writer::celsius(section.name("ambientOffset"), offset);
            }
            section.end();
        }
    }
}

/// Section of a setpoint: a device that only heats has one; otherwise the mode decides.
fn target(family: Family, mode: Option<Mode>) -> Result<Target, InvalidCommand> {
    if !family.modes().contains(&Mode::Cool) {
        return Ok(Target::Heat);
    }
    match mode {
        Some(Mode::Heat | Mode::EmergencyHeat) => Ok(Target::Heat),
        Some(Mode::Cool) => Ok(Target::Cool),
        _ => Err(InvalidCommand::SetpointNeedsMode { mode }),
    }
}

fn validate_pair(
    pair: AutoSetpoints,
    family: Family,
    limits: &Limits<'_>,
) -> Result<AutoSetpoints, InvalidCommand> {
    let heat = setpoint(Channel::Structured, pair.heat, family, limits, Some(Mode::Heat), None)?;
    let cool = setpoint(Channel::Structured, pair.cool, family, limits, Some(Mode::Cool), None)?;
    if heat > cool {
        return Err(InvalidCommand::AutoSetpointsCross { heat, cool });
    }
    Ok(AutoSetpoints { heat, cool })
}

/// Fan speeds of every device but an air conditioner, as numbered by [`FanSpeed`] and by the structured service: 1 to
/// 7, 8 sleep and 9 automatic.
pub(crate) const NUMBERED_SPEEDS: [(u8, i64); 9] =
    [(1, 9), (3, 1), (5, 2), (7, 3), (8, 4), (9, 5), (10, 6), (11, 7), (12, 8)];

/// An air conditioner numbers its speeds like its remote control; every other device has 1 to 7, 8 sleep and 9
/// automatic.
fn fan_mode(asked: FanSpeed, family: Family) -> Result<i64, InvalidCommand> {
    if family == Family::AirConditioner {
        return asked.to_structured().ok_or_else(|| InvalidCommand::FanNotOffered {
            asked,
            offered: (1..=12).map(FanSpeed::from_code).collect(),
        });
    }
    NUMBERED_SPEEDS.iter().find(|(code, _)| *code == asked.code()).map(|(_, number)| *number).ok_or_else(
        || InvalidCommand::FanNotOffered {
            asked,
            offered: NUMBERED_SPEEDS.iter().map(|(code, _)| FanSpeed::from_code(*code)).collect(),
        },
    )
}
