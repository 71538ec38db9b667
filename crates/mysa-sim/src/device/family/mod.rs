//! What tells one kind of thermostat from another: limits, pace, control, and how it words a status.

mod air_conditioner;
mod baseboard_v1;
mod baseboard_v2;
mod floor;
mod lite;

use alloc::string::String;
use core::time::Duration;

use mysa_proto::DeviceId;

use crate::device::room::Drive;
use crate::math::quantise;

/// What a thermostat is set to do.
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
    /// The fan alone; sent to a floor, heating by the room sensor.
    FanOnly,
    /// Drying.
    Dry,
}

impl Mode {
    /// The number messages, states and schedules have for it (`md`, `TstatMode`, message 30).
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

    /// The number the structured service has for it (`modes.mode`).
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

/// The kinds of thermostat that are simulated.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Family {
    /// Baseboard V1, `BB-V1-0` and `BB-V1-1`: pulses its heater in hundredths of a minute, measures the current.
    BaseboardV1,
    /// Baseboard V2, `BB-V2-0`: a relay that is on or off.
    BaseboardV2,
    /// Baseboard V2 Lite, `BB-V2-0-L`: a relay in tenths of a five-minute period, no sensors but two.
    Lite,
    /// Floor heating, `INF-V1-0`: a relay led by the floor's own sensor.
    Floor,
    /// Air conditioner, `AC-V1-0`: whole degrees, fan and swing.
    AirConditioner,
    /// Any other model: listed by the REST service, silent on MQTT, not to be commanded.
    Silent,
}

impl Family {
    /// The family of a model as device records spell it.
    #[must_use]
    pub fn of(model: &str) -> Self {
        match model.trim().to_ascii_uppercase().as_str() {
            "BB-V1-0" | "BB-V1-1" | "V1-0" | "V1-1" | "V1" => Self::BaseboardV1,
            "BB-V2-0" | "BB-V2" | "V2-0" | "V2" => Self::BaseboardV2,
            "BB-V2-0-L" | "BB-V2-0-LTE" | "V2-0-L" | "V2-0-LTE" | "V2-L" => Self::Lite,
            "INF-V1-0" | "INF-V1" => Self::Floor,
            "AC-V1-0" | "AC-V1-1" | "AC-V1" => Self::AirConditioner,
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
        }
    }

    /// What the heater is to do from now on, or `None` to leave it as it is.
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
            Self::Lite | Self::Silent => control.pulse(now, seen, forced, &lite::PULSE),
            Self::BaseboardV2 => Some(baseboard_v2::control(control, seen)),
            Self::Floor => Some(floor::control(control, seen)),
            Self::AirConditioner => Some(air_conditioner::control(control, seen)),
        }
    }

    /// Writes the family's own status message, envelope and all. Nothing for a silent one.
    pub(crate) fn write_status(self, out: &mut String, stamp: &Stamp, seen: &Seen) {
        match self {
            Self::BaseboardV1 => baseboard_v1::write_status(out, stamp, seen),
            Self::BaseboardV2 => baseboard_v2::write_status(out, stamp, seen),
            Self::Lite => lite::write_status(out, stamp, seen),
            Self::Floor => floor::write_status(out, stamp, seen),
            Self::AirConditioner => air_conditioner::write_status(out, stamp, seen),
            Self::Silent => {}
        }
    }
}

/// The constants of a family.
#[derive(Debug)]
pub(crate) struct Profile {
    /// `body.type` of its commands; any other is ignored without a word.
    pub(crate) body_type: i64,
    /// Time between two looks at the sensors.
    pub(crate) sample: Duration,
    /// Time between two statuses that nobody asked for.
    pub(crate) idle_status: Duration,
    /// Time between two statuses while live reporting runs.
    pub(crate) live_status: Duration,
    /// Record version of its batch readings.
    pub(crate) batch_version: Option<u8>,
    /// Range of the setpoint and its step, in hundredths of a degree.
    pub(crate) setpoint: (i32, i32, i32),
    pub(crate) modes: &'static [Mode],
    /// Whether it announces a new setpoint by `MsgType` 1.
    pub(crate) reports_setpoint: bool,
    /// Whether it understands `cmd` written as a JSON string.
    pub(crate) reads_text_cmd: bool,
    /// Firmware it runs.
    pub(crate) firmware: &'static str,
}

/// Who speaks, and when: what every envelope begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) device: DeviceId,
    /// The device's own idea of the time, in seconds.
    pub(crate) time: i64,
    pub(crate) id: u64,
}

/// What a thermostat sees and is set to, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Corrected room temperature, °C.
    pub(crate) room: f64,
    /// What the sensor in the warm case reads, °C.
    pub(crate) sensor: f64,
    pub(crate) floor: Option<f64>,
    /// Largest floor temperature allowed, °C.
    pub(crate) floor_limit: f64,
    /// %.
    pub(crate) humidity: f64,
    /// °C.
    pub(crate) setpoint: f64,
    pub(crate) mode: Mode,
    /// Whether the heater conducts at this moment.
    pub(crate) on: bool,
    /// Part of the control period in which it conducts.
    pub(crate) duty: f64,
    /// Current while it conducts, A.
    pub(crate) amperes: f64,
    pub(crate) volts: f64,
    /// Rated power, W.
    pub(crate) rated: f64,
    /// 3: the floor leads, 5: the room does.
    pub(crate) tracked: i64,
}

/// How a heater that cannot be dimmed is made to give a part of its power.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) period: Duration,
    /// Duty per kelvin of error.
    pub(crate) gain: f64,
    /// Equal parts a period is cut into.
    pub(crate) steps: f64,
}

/// Memory of the controller between two looks at the sensors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    /// Duty in force, `0.0..=1.0`.
    pub(crate) duty: f64,
    integral: f64,
    period_ends: Duration,
    pub(crate) on: bool,
}

impl Control {
    fn rest(&mut self) {
        *self = Self::default();
    }

    /// Proportional and integral control of the share of a period.
    fn pulse(&mut self, now: Duration, seen: &Seen, forced: bool, pulse: &Pulse) -> Option<Drive> {
        if now < self.period_ends && !forced {
            return None;
        }
        let error = seen.setpoint - seen.room;
        // A quarter of an hour of one kelvin of error is worth as much as the kelvin itself. Far from the setpoint the
        // integral is left alone, or it would overshoot by hours.
        if error.abs() < 1.0 {
            let weight = pulse.period.as_secs_f64() / 900.0;
            self.integral = (self.integral + error * weight).clamp(0.0, 1.0 / pulse.gain);
        }
        self.duty = quantise((pulse.gain * (error + self.integral)).clamp(0.0, 1.0), pulse.steps);
        self.period_ends = now + pulse.period;
        Some(Drive::heater(seen.rated, now + pulse.period.mul_f64(self.duty)))
    }

    /// On below the setpoint, off above it, and as before in between.
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
            "an inverted table heats when told to stop"
        );
    }

    #[test]
    fn a_model_of_tomorrow_is_silent() {
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
