//! Differences between the families of thermostats: limits, intervals, control, and status format.

mod air_conditioner;
mod baseboard_v1;
mod baseboard_v2;
mod baseboard_v3;
mod central;
mod floor;
mod lite;

use alloc::string::String;
use core::time::Duration;

use mysa_proto::DeviceId;

use crate::device::room::Drive;
use crate::math::quantise;

/// Mode of a thermostat.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the modes the simulated thermostats have")]
pub enum Mode {
    /// The heater stays off.
    Off,
    /// An air conditioner that heats or cools as needed.
    Auto,
    /// Heating; for a floor, by the floor sensor.
    Heat,
    /// Cooling.
    Cool,
    /// Fan only; for a floor, heating by the room sensor.
    FanOnly,
    /// Drying.
    Dry,
}

impl Mode {
    /// Number in messages, states and schedules (`md`, `TstatMode`, message 30).
    #[must_use]
    pub const fn wire(self) -> u8 {
        match self {
            Self::Off => 1,
            Self::Auto => 2,
            Self::Heat => 3,
            Self::Cool => 4,
            Self::FanOnly => 5,
            Self::Dry => 6,
        }
    }

    pub(crate) const fn from_wire(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Off,
            2 => Self::Auto,
            3 => Self::Heat,
            4 => Self::Cool,
            5 => Self::FanOnly,
            6 => Self::Dry,
            _ => return None,
        })
    }

    /// Number in the structured service (`modes.mode`).
    pub(crate) const fn structured(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Auto => 1,
            Self::Cool => 3,
            Self::Heat => 4,
            Self::FanOnly => 7,
            Self::Dry => 8,
        }
    }

    pub(crate) const fn from_structured(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Off,
            1 => Self::Auto,
            3 => Self::Cool,
            4 => Self::Heat,
            7 => Self::FanOnly,
            8 => Self::Dry,
            _ => return None,
        })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Heat => "heat",
            Self::Cool => "cool",
            Self::FanOnly => "fan_only",
            Self::Dry => "dry",
        }
    }
}

/// The simulated families of thermostats.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Family {
    /// Baseboard V1, `BB-V1-0` and `BB-V1-1`: pulses its heater in hundredths of a minute, measures the current.
    BaseboardV1,
    /// Baseboard V2, `BB-V2-0`: a relay that is on or off.
    BaseboardV2,
    /// Baseboard V2 Lite, `BB-V2-0-L`: a relay in tenths of a five-minute period; senses only temperature and humidity.
    Lite,
    /// Floor heating, `INF-V1-0`: a relay controlled by the floor sensor.
    Floor,
    /// Air conditioner, `AC-V1-0`: whole degrees, fan and swing.
    AirConditioner,
    /// Baseboard V3, `BB-V3-0`: a relay that only the structured service reaches.
    BaseboardV3,
    /// Central HVAC, `ST-V1-0`: heats and cools, by named shadows and the structured service.
    CentralHvac,
    /// Any other model: listed by the REST service, silent on MQTT, takes no commands.
    Silent,
}

impl Family {
    /// Family of a model string of a device record.
    #[must_use]
    pub fn of(model: &str) -> Self {
        match model.trim().to_ascii_uppercase().as_str() {
            "BB-V1-0" | "BB-V1-1" | "V1-0" | "V1-1" | "V1" => Self::BaseboardV1,
            "BB-V2-0" | "BB-V2" | "V2-0" | "V2" => Self::BaseboardV2,
            "BB-V2-0-L" | "BB-V2-0-LTE" | "V2-0-L" | "V2-0-LTE" | "V2-L" => Self::Lite,
            "INF-V1-0" | "INF-V1" => Self::Floor,
            "AC-V1-0" | "AC-V1-1" | "AC-V1" => Self::AirConditioner,
            "BB-V3-0" => Self::BaseboardV3,
            "ST-V1-0" | "ST-V1" | "LV" => Self::CentralHvac,
            _ => Self::Silent,
        }
    }

    pub(crate) const fn profile(self) -> &'static Profile {
        match self {
            Self::BaseboardV1 => &baseboard_v1::PROFILE,
            Self::BaseboardV2 => &baseboard_v2::PROFILE,
            Self::Lite | Self::Silent => &lite::PROFILE,
            Self::Floor => &floor::PROFILE,
            Self::AirConditioner => &air_conditioner::PROFILE,
            Self::BaseboardV3 => &baseboard_v3::PROFILE,
            Self::CentralHvac => &central::PROFILE,
        }
    }

    /// Range of the setpoint in this mode and its step, in hundredths of a degree.
    pub(crate) const fn setpoints(self, mode: Mode) -> (i32, i32, i32) {
        match (self, mode) {
            (Self::CentralHvac, Mode::Cool) => central::COOLING,
            _ => self.profile().setpoint,
        }
    }

    /// Returns `true` if it publishes and receives messages on topics of its own.
    pub(crate) const fn has_topics(self) -> bool {
        !matches!(self, Self::BaseboardV3 | Self::CentralHvac | Self::Silent)
    }

    /// Returns `true` if it is controlled by shadows, which the structured service shows as sections.
    pub(crate) const fn has_shadows(self) -> bool {
        matches!(self, Self::BaseboardV3 | Self::CentralHvac)
    }

    /// Returns the new power of the heater, or `None` to keep the present power.
    pub(crate) fn control(
        self,
        control: &mut Control,
        now: Duration,
        seen: &Seen,
        forced: bool,
    ) -> Option<Drive> {
        if seen.mode == Mode::Off {
            control.rest();
            return Some(Drive::OFF);
        }
        match self {
            Self::BaseboardV1 => control.pulse(now, seen, forced, &baseboard_v1::PULSE),
            Self::Lite | Self::BaseboardV3 | Self::Silent => control.pulse(now, seen, forced, &lite::PULSE),
            Self::BaseboardV2 => Some(baseboard_v2::control(control, seen)),
            Self::Floor => Some(floor::control(control, seen)),
            Self::AirConditioner => Some(air_conditioner::control(control, seen)),
            Self::CentralHvac => Some(central::control(control, seen)),
        }
    }

    /// Writes the family's status message with its envelope; writes nothing for a family without topics.
    pub(crate) fn write_status(self, out: &mut String, stamp: &Stamp, seen: &Seen) {
        match self {
            Self::BaseboardV1 => baseboard_v1::write_status(out, stamp, seen),
            Self::BaseboardV2 => baseboard_v2::write_status(out, stamp, seen),
            Self::Lite => lite::write_status(out, stamp, seen),
            Self::Floor => floor::write_status(out, stamp, seen),
            Self::AirConditioner => air_conditioner::write_status(out, stamp, seen),
            Self::BaseboardV3 | Self::CentralHvac | Self::Silent => {}
        }
    }
}

/// Constants of a family.
#[derive(Debug)]
pub(crate) struct Profile {
    /// `body.type` of its commands; any other is ignored silently.
    pub(crate) body_type: i64,
    /// Interval between two sensor readings.
    pub(crate) sample: Duration,
    /// Interval between two statuses without live reporting.
    pub(crate) idle_status: Duration,
    /// Interval between two statuses with live reporting.
    pub(crate) live_status: Duration,
    /// Record version of its batch readings.
    pub(crate) batch_version: Option<u8>,
    /// Range of the setpoint and its step, in hundredths of a degree.
    pub(crate) setpoint: (i32, i32, i32),
    pub(crate) modes: &'static [Mode],
    /// `true` if it announces a new setpoint by `MsgType` 1.
    pub(crate) reports_setpoint: bool,
    /// `true` if it understands `cmd` written as a JSON string.
    pub(crate) reads_text_cmd: bool,
    /// Firmware version.
    pub(crate) firmware: &'static str,
}

/// Device, time and id at the start of every envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) device: DeviceId,
    /// Time by the device's clock, in seconds.
    pub(crate) time: i64,
    pub(crate) id: u64,
}

/// Readings and settings of a thermostat at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Corrected room temperature, °C.
    pub(crate) room: f64,
    /// Reading of the sensor in the warm case, °C.
    pub(crate) sensor: f64,
    pub(crate) floor: Option<f64>,
    /// Maximum floor temperature, °C.
    pub(crate) floor_limit: f64,
    /// Relative humidity, %.
    pub(crate) humidity: f64,
    /// Setpoint, °C.
    pub(crate) setpoint: f64,
    /// Setpoint for cooling, °C. Only for central HVAC it differs from the setpoint for heating.
    pub(crate) cool_setpoint: f64,
    pub(crate) mode: Mode,
    /// `true` if the heater is on now.
    pub(crate) on: bool,
    /// Share of the control period in which it is on.
    pub(crate) duty: f64,
    /// Current while it is on, A.
    pub(crate) amperes: f64,
    pub(crate) volts: f64,
    /// Rated power, W.
    pub(crate) rated: f64,
    /// 3: floor sensor, 5: room sensor.
    pub(crate) tracked: i64,
}

/// Parameters of the control of a heater by duty cycle.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) period: Duration,
    /// Duty per kelvin of error.
    pub(crate) gain: f64,
    /// Number of equal parts of a period.
    pub(crate) steps: f64,
}

/// State of the controller between two sensor readings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    /// Duty in force, `0.0..=1.0`.
    pub(crate) duty: f64,
    integral: f64,
    period_ends: Duration,
    pub(crate) on: bool,
    /// `true` if a central system cools.
    cooling: bool,
}

impl Control {
    fn rest(&mut self) {
        *self = Self::default();
    }

    /// Proportional-integral control of the duty cycle.
    fn pulse(&mut self, now: Duration, seen: &Seen, forced: bool, pulse: &Pulse) -> Option<Drive> {
        if now < self.period_ends && !forced {
            return None;
        }
        let error = seen.setpoint - seen.room;
        // The integral over 15 minutes of one kelvin of error equals the proportional term. Far from the setpoint the
        // integral is frozen, because it would cause an overshoot of hours.
        if error.abs() < 1.0 {
            let weight = pulse.period.as_secs_f64() / 900.0;
            self.integral = (self.integral + error * weight).clamp(0.0, 1.0 / pulse.gain);
        }
        self.duty = quantise((pulse.gain * (error + self.integral)).clamp(0.0, 1.0), pulse.steps);
        self.period_ends = now + pulse.period;
        Some(Drive::heater(seen.rated, now + pulse.period.mul_f64(self.duty)))
    }

    /// Two-point control with hysteresis: on below the setpoint, off above it, unchanged in between.
    fn bang(&mut self, seen: &Seen, measured: f64, band: f64) -> Drive {
        if measured < seen.setpoint - band {
            self.on = true;
        } else if measured > seen.setpoint + band {
            self.on = false;
        }
        self.duty = if self.on { 1.0 } else { 0.0 };
        if self.on { Drive::heater(seen.rated, Duration::MAX) } else { Drive::OFF }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_of_modes_are_read_as_they_are_written() {
        for mode in [Mode::Off, Mode::Auto, Mode::Heat, Mode::Cool, Mode::FanOnly, Mode::Dry] {
            assert_eq!(Mode::from_wire(i64::from(mode.wire())), Some(mode));
            assert_eq!(Mode::from_structured(i64::from(mode.structured())), Some(mode));
        }
        assert_eq!(
            (Mode::Off.wire(), Mode::Heat.wire()),
            (1, 3),
            "an inverted table heats when it is set to stop"
        );
    }

    #[test]
    fn a_thermostat_of_an_unknown_model_is_silent() {
        assert_eq!(Family::of(" bb-v2-0-lte"), Family::Lite);
        assert_eq!(Family::of("BB-V9-0"), Family::Silent);
    }

    #[test]
    fn off_means_off_in_every_family() {
        let seen = Seen {
            room: 5.0,
            sensor: 7.0,
            floor: Some(5.0),
            floor_limit: 28.0,
            humidity: 40.0,
            setpoint: 25.0,
            cool_setpoint: 28.0,
            mode: Mode::Off,
            on: false,
            duty: 0.0,
            amperes: 6.0,
            volts: 240.0,
            rated: 1_500.0,
            tracked: 3,
        };
        for family in [
            Family::BaseboardV1,
            Family::BaseboardV2,
            Family::Lite,
            Family::Floor,
            Family::AirConditioner,
            Family::BaseboardV3,
            Family::CentralHvac,
            Family::Silent,
        ] {
            let mut control = Control { duty: 1.0, on: true, ..Control::default() };
            assert_eq!(
                family.control(&mut control, Duration::ZERO, &seen, false),
                Some(Drive::OFF),
                "{family:?}"
            );
            let heat = Seen { mode: Mode::Heat, ..seen };
            let drive = family.control(&mut control, Duration::ZERO, &heat, true);
            assert!(drive.is_some_and(|drive| drive.is_on(Duration::ZERO)), "{family:?} {drive:?}");
        }
    }
}
