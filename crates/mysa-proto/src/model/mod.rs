pub(crate) mod ac;
mod limits;
mod mode;

pub use ac::{AcCapabilities, AcModeCapabilities, FanSpeed, Swing};
pub use limits::{IgnoredLimit, Limits};
pub use mode::{Mode, ModeTable, UnknownModeName};

use alloc::string::String;
use core::convert::Infallible;
use core::fmt;
use core::str::FromStr;

use crate::{Celsius, Channel};

/// Family of models with the same wiring, sensors and commands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Family {
    /// Baseboard V1: triac, humidity and current sensor.
    BaseboardV1,
    /// Baseboard V2: relay, humidity, proximity, ambient light.
    BaseboardV2,
    /// Baseboard Lite: V2 without proximity and ambient light.
    BaseboardLite,
    /// Baseboard V3: structured service only. (Known from the vendor's app.)
    BaseboardV3,
    /// In-floor: floor probe, leak breaker, line voltage.
    InFloor,
    /// Mini-split air conditioner, driven by infrared.
    AirConditioner,
    /// Central heating and cooling: structured service only. (Known from the vendor's app.)
    Central,
    /// Climate sensor without controls.
    ClimateSensor,
}

impl Family {
    /// Short code, such as `BB2` or `LITE`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BaseboardV1 => "BB1",
            Self::BaseboardV2 => "BB2",
            Self::BaseboardLite => "LITE",
            Self::BaseboardV3 => "BB3",
            Self::InFloor => "INF",
            Self::AirConditioner => "AC",
            Self::Central => "HVAC",
            Self::ClimateSensor => "SENSOR",
        }
    }

    /// Name for people, such as `Baseboard V2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BaseboardV1 => "Baseboard V1",
            Self::BaseboardV2 => "Baseboard V2",
            Self::BaseboardLite => "Baseboard Lite",
            Self::BaseboardV3 => "Baseboard V3",
            Self::InFloor => "In-floor V1",
            Self::AirConditioner => "Mini-split AC V1",
            Self::Central => "Central HVAC",
            Self::ClimateSensor => "Climate sensor",
        }
    }

    /// `body.type` of a command, or `None` if the family accepts no commands.
    #[must_use]
    pub const fn body_type(self) -> Option<BodyType> {
        match self {
            Self::BaseboardV1 => Some(BodyType::BaseboardV1),
            Self::AirConditioner => Some(BodyType::AirConditioner),
            Self::InFloor => Some(BodyType::InFloor),
            Self::BaseboardV2 => Some(BodyType::BaseboardV2),
            Self::BaseboardLite => Some(BodyType::BaseboardLite),
            Self::BaseboardV3 | Self::Central | Self::ClimateSensor => None,
        }
    }

    /// True if the family accepts commands on the channel.
    #[must_use]
    pub const fn is_reached_by(self, channel: Channel) -> bool {
        !self.controls_on(channel).is_empty()
    }

    /// Range of the setpoint, or `None` for a family without one. The device's own limits narrow it.
    #[must_use]
    pub const fn setpoint_range(self) -> Option<SetpointRange> {
        let (min, max, step) = match self {
            Self::BaseboardV1 | Self::BaseboardV2 | Self::BaseboardLite | Self::BaseboardV3 => {
                (500, 3_000, 50)
            }
            Self::InFloor => (500, 4_000, 50),
            Self::AirConditioner => (1_600, 3_100, 100),
            Self::Central => (500, 3_700, 50),
            Self::ClimateSensor => return None,
        };
        Some(SetpointRange {
            min: Celsius::from_hundredths(min),
            max: Celsius::from_hundredths(max),
            step: Celsius::from_hundredths(step),
        })
    }

    /// Modes of the family, [`Mode::Off`] first. Empty for a sensor.
    #[must_use]
    pub const fn modes(self) -> &'static [Mode] {
        match self {
            Self::BaseboardV1
            | Self::BaseboardV2
            | Self::BaseboardLite
            | Self::BaseboardV3
            | Self::InFloor => &[Mode::Off, Mode::Heat],
            Self::AirConditioner => {
                &[Mode::Off, Mode::Auto, Mode::Heat, Mode::Cool, Mode::FanOnly, Mode::Dry]
            }
            Self::Central => {
                &[Mode::Off, Mode::Auto, Mode::Heat, Mode::Cool, Mode::FanOnly, Mode::EmergencyHeat]
            }
            Self::ClimateSensor => &[],
        }
    }

    /// Controls of the family on a channel. Empty if it accepts no commands there.
    #[must_use]
    pub const fn controls_on(self, channel: Channel) -> &'static [Control] {
        use Control::{
            AutoSetpoints, Brightness, ClimatePlus, Fan, Hold, Lock, Mode, Proximity, Setpoint, Swing,
            TemperatureOffset, TrackedSensor,
        };
        match channel {
            // A control is listed for the families on which a witness has seen it work.
            Channel::Mqtt => match self {
                Self::BaseboardV1 | Self::BaseboardLite => &[Mode, Setpoint, Lock],
                Self::BaseboardV2 => &[Mode, Setpoint, Hold, Lock, Brightness, Proximity],
                Self::InFloor => &[Mode, Setpoint, Hold, Lock, TrackedSensor],
                Self::AirConditioner => &[Mode, Setpoint, Fan, Swing, ClimatePlus],
                Self::BaseboardV3 | Self::Central | Self::ClimateSensor => &[],
            },
            Channel::Structured => match self {
                Self::BaseboardV2 | Self::BaseboardLite | Self::BaseboardV3 => {
                    &[Mode, Setpoint, Lock, Brightness, TemperatureOffset]
                }
                Self::InFloor => &[Mode, Setpoint, Lock, Brightness, TrackedSensor, TemperatureOffset],
                Self::AirConditioner => {
                    &[Mode, Setpoint, AutoSetpoints, Lock, Brightness, Fan, Swing, TemperatureOffset]
                }
                Self::Central => &[Mode, Setpoint, AutoSetpoints, Lock, Brightness, Fan, TemperatureOffset],
                Self::BaseboardV1 | Self::ClimateSensor => &[],
            },
        }
    }

    /// Quantities that the family measures and reports.
    #[must_use]
    pub const fn sensors(self) -> &'static [Sensor] {
        use Sensor::{Current, Duty, Floor, Humidity, Relay, Temperature, Voltage};
        match self {
            Self::BaseboardV1 => &[Temperature, Humidity, Current, Duty],
            Self::BaseboardV2 | Self::BaseboardLite | Self::BaseboardV3 => &[Temperature, Humidity, Duty],
            Self::InFloor => &[Temperature, Humidity, Floor, Voltage, Relay],
            Self::AirConditioner | Self::Central | Self::ClimateSensor => &[Temperature, Humidity],
        }
    }

    /// True if the family has the control on the channel.
    #[must_use]
    pub fn has(self, control: Control, channel: Channel) -> bool {
        self.controls_on(channel).contains(&control)
    }

    /// True if the family has the sensor.
    #[must_use]
    pub fn senses(self, sensor: Sensor) -> bool {
        self.sensors().contains(&sensor)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `body.type` of a command. A thermostat silently ignores a command of another type.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a type that was never seen to work must not be sent")]
pub enum BodyType {
    /// 1.
    BaseboardV1,
    /// 2.
    AirConditioner,
    /// 3.
    InFloor,
    /// 4.
    BaseboardV2,
    /// 5.
    BaseboardLite,
}

impl BodyType {
    /// Number on the wire, 1 to 5.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::BaseboardV1 => 1,
            Self::AirConditioner => 2,
            Self::InFloor => 3,
            Self::BaseboardV2 => 4,
            Self::BaseboardLite => 5,
        }
    }

    /// Converts from the number on the wire. `None` outside 1 to 5.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::BaseboardV1,
            2 => Self::AirConditioner,
            3 => Self::InFloor,
            4 => Self::BaseboardV2,
            5 => Self::BaseboardLite,
            _ => return None,
        })
    }
}

/// Range of valid setpoints: multiples of `step` from `min` to `max`, inclusive.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct SetpointRange {
    /// Lowest.
    pub min: Celsius,
    /// Highest.
    pub max: Celsius,
    /// Step: 0.5 °C, or 1 °C for an air conditioner.
    pub step: Celsius,
}

impl SetpointRange {
    /// Intersection of this range with two optional bounds.
    #[must_use]
    pub fn narrowed(self, min: Option<Celsius>, max: Option<Celsius>) -> Self {
        Self {
            min: min.map_or(self.min, |min| min.max(self.min)),
            max: max.map_or(self.max, |max| max.min(self.max)),
            step: self.step,
        }
    }

    /// Valid setpoint nearest to `asked`; halfway rounds up. `None` if `asked` is outside the range, or if the range
    /// contains no multiple of the step.
    ///
    /// ```
    /// use mysa_proto::{Celsius, Family};
    ///
    /// let range = Family::BaseboardV2.setpoint_range().ok_or("no setpoint")?;
    /// let celsius = |degrees| Celsius::from_degrees(degrees).ok_or("not a temperature");
    /// assert_eq!(range.nearest(celsius(21.3)?), Some(celsius(21.5)?));
    /// assert_eq!(range.nearest(celsius(30.1)?), None);
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn nearest(self, asked: Celsius) -> Option<Celsius> {
        if asked < self.min || asked > self.max {
            return None;
        }
        let step = self.step.as_hundredths().max(1);
        let lowest = -(-self.min.as_hundredths()).div_euclid(step) * step;
        let highest = self.max.as_hundredths().div_euclid(step) * step;
        let nearest = asked.to_step(self.step).as_hundredths();
        (lowest <= highest).then(|| Celsius::from_hundredths(nearest.clamp(lowest, highest)))
    }

    /// True if the value is a valid setpoint.
    #[must_use]
    pub fn contains(self, value: Celsius) -> bool {
        self.min <= value && value <= self.max && value.is_on_step(self.step)
    }
}

impl fmt::Display for SetpointRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {} °C in steps of {}",
            self.min.as_degrees(),
            self.max.as_degrees(),
            self.step.as_degrees()
        )
    }
}

/// Control of a thermostat.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Control {
    /// Target temperature.
    Setpoint,
    /// Operating mode.
    Mode,
    /// Hold of the setpoint against the schedule.
    Hold,
    /// Button lock.
    Lock,
    /// Display brightness.
    Brightness,
    /// Display wakes when a person approaches.
    Proximity,
    /// Fan speed.
    Fan,
    /// Direction of the louvres.
    Swing,
    /// Climate+, in which the thermostat's own sensor drives the air conditioner.
    ClimatePlus,
    /// Floor probe or room sensor.
    TrackedSensor,
    /// Both targets of automatic mode. Structured service only.
    AutoSetpoints,
    /// Correction added to the room temperature. Structured service only.
    TemperatureOffset,
}

impl Control {
    /// Name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Setpoint => "setpoint",
            Self::Mode => "mode",
            Self::Hold => "hold",
            Self::Lock => "button lock",
            Self::Brightness => "brightness",
            Self::Proximity => "proximity",
            Self::Fan => "fan",
            Self::Swing => "swing",
            Self::ClimatePlus => "Climate+",
            Self::TrackedSensor => "tracked sensor",
            Self::AutoSetpoints => "pair of setpoints",
            Self::TemperatureOffset => "temperature offset",
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Quantity that a thermostat measures.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Sensor {
    /// Room temperature.
    Temperature,
    /// Relative humidity. A Lite reports it, although its capability document denies it.
    Humidity,
    /// Floor temperature.
    Floor,
    /// Current of the load; instantaneous in message 0.
    Current,
    /// Line voltage.
    Voltage,
    /// Reliable duty cycle.
    Duty,
    /// State of the relay (`heatStat`).
    Relay,
}

/// Entry of the table of known models.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Model string in upper case.
    pub model: &'static str,
    /// Family of the model.
    pub family: Family,
}

/// Model of a device: `Model` of its record.
///
/// ```
/// use mysa_proto::{Family, Model};
///
/// assert_eq!(Model::parse(" bb-v2-0-l ").family(), Some(Family::BaseboardLite));
/// assert_eq!(Model::parse("XX-V9-9").family(), None);
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a model is either known or unknown")]
pub enum Model {
    /// Known model.
    Known(&'static ModelInfo),
    /// Any other model string, trimmed. Such a device cannot be commanded.
    Unknown(String),
}

impl Model {
    /// Looks up a model string, ignoring case and surrounding white space.
    #[must_use]
    pub fn parse(model: &str) -> Self {
        let model = model.trim();
        MODELS
            .iter()
            .find(|info| info.model.eq_ignore_ascii_case(model))
            .map_or_else(|| Self::Unknown(model.into()), Self::Known)
    }

    /// All known models.
    #[must_use]
    pub const fn known() -> &'static [ModelInfo] {
        &MODELS
    }

    /// Model string: in upper case if known, otherwise as received.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(info) => info.model,
            Self::Unknown(model) => model,
        }
    }

    /// Family, or `None` if the model is unknown.
    #[must_use]
    pub const fn family(&self) -> Option<Family> {
        match self {
            Self::Known(info) => Some(info.family),
            Self::Unknown(_) => None,
        }
    }
}

impl From<&str> for Model {
    fn from(model: &str) -> Self {
        Self::parse(model)
    }
}

impl FromStr for Model {
    type Err = Infallible;

    fn from_str(model: &str) -> Result<Self, Infallible> {
        Ok(Self::parse(model))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const fn model(model: &'static str, family: Family) -> ModelInfo {
    ModelInfo { model, family }
}

/// A list rather than prefixes: `BB-V2-0-LTE` is a Lite, and the prefix of a future model does not prove its
/// family.
static MODELS: [ModelInfo; 25] = [
    model("BB-V1-0", Family::BaseboardV1),
    model("BB-V1-1", Family::BaseboardV1),
    model("V1-0", Family::BaseboardV1),
    model("V1-1", Family::BaseboardV1),
    model("V1", Family::BaseboardV1),
    model("BB-V2-0", Family::BaseboardV2),
    model("BB-V2", Family::BaseboardV2),
    model("V2-0", Family::BaseboardV2),
    model("V2", Family::BaseboardV2),
    model("BB-V2-0-L", Family::BaseboardLite),
    model("BB-V2-0-LTE", Family::BaseboardLite),
    model("V2-0-L", Family::BaseboardLite),
    model("V2-0-LTE", Family::BaseboardLite),
    model("V2-L", Family::BaseboardLite),
    model("BB-V3-0", Family::BaseboardV3),
    model("INF-V1-0", Family::InFloor),
    model("INF-V1", Family::InFloor),
    model("AC-V1-0", Family::AirConditioner),
    model("AC-V1-1", Family::AirConditioner),
    model("AC-V1", Family::AirConditioner),
    model("ST-V1-0", Family::Central),
    model("ST-V1", Family::Central),
    model("LV", Family::Central),
    model("CS-V1-0", Family::ClimateSensor),
    model("CS-V1", Family::ClimateSensor),
];

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn an_unknown_model_keeps_its_text_and_has_no_family() {
        for other in ["XX-V9-9", "", "BB-V2-1", "BB-V2-0-X", "BB", "AC-V2-0"] {
            let model = Model::parse(other);
            assert_eq!(model, Model::Unknown(other.into()));
            assert_eq!((model.family(), model.as_str()), (None, other));
        }
    }

    #[test]
    fn each_string_is_listed_once_and_reads_back_in_either_case() {
        for info in Model::known() {
            let lower = info.model.to_ascii_lowercase();
            assert_eq!(Model::parse(&format!("\t{lower} ")), Model::Known(info), "{}", info.model);
        }
    }

    #[test]
    fn a_user_limit_between_two_steps_is_not_exceeded() {
        let range = Family::BaseboardV1.setpoint_range().unwrap();
        let range = range.narrowed(Celsius::from_degrees(10.2), Celsius::from_degrees(29.4));
        assert_eq!(range.nearest(Celsius::from_degrees(29.4).unwrap()), Celsius::from_degrees(29.0));
        assert_eq!(range.nearest(Celsius::from_degrees(10.2).unwrap()), Celsius::from_degrees(10.5));
        assert_eq!(range.nearest(Celsius::from_degrees(29.45).unwrap()), None);
        let none = range.narrowed(Celsius::from_degrees(20.1), Celsius::from_degrees(20.4));
        assert_eq!(none.nearest(Celsius::from_degrees(20.2).unwrap()), None);
    }

    #[test]
    fn a_range_can_only_be_narrowed() {
        let range = Family::BaseboardV1.setpoint_range().unwrap();
        assert_eq!(range.narrowed(Celsius::from_degrees(-10.0), Celsius::from_degrees(90.0)), range);
    }
}
