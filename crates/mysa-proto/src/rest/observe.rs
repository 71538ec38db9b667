//! Conversion of REST bodies to observations for [`DeviceState::observe`](crate::DeviceState::observe). Each field
//! keeps the time that the service gives for it, so a body becomes one observation for each time in it.
//! [`Observation::settings`] returns the settings among them.

use alloc::vec::Vec;

use super::{DeviceRecord, DeviceStateEntry, Reading, StructuredState};
use crate::command::structured::NUMBERED_SPEEDS;
use crate::{
    AutoSetpoints, Brightness, Family, FanSpeed, ModeTable, Model, Now, Observation, Source, TrackedSensor,
    UnixTime, Volts,
};

/// Observations of one source, one for each distinct time.
struct ByTime {
    source: Source,
    received: Now,
    all: Vec<Observation>,
}

impl ByTime {
    const fn new(source: Source, received: Now) -> Self {
        Self { source, received, all: Vec::new() }
    }

    fn put<T>(&mut self, reading: Option<Reading<T>>, set: impl FnOnce(&mut Observation, T)) {
        if let Some(Reading { value, at }) = reading {
            self.set(at, |to| set(to, value));
        }
    }

    fn set(&mut self, at: Option<UnixTime>, set: impl FnOnce(&mut Observation)) {
        if let Some(there) = self.all.iter_mut().find(|there| there.at == at) {
            return set(there);
        }
        let mut new = Observation::new(self.source, at, self.received);
        set(&mut new);
        self.all.push(new);
    }

    /// Adds the connection as an observation of its own: it is the cloud's view and must not count as a sign of life of
    /// the thermostat, as other fields may.
    fn finish(mut self, connected: Option<Reading<bool>>, family: Option<Family>) -> Vec<Observation> {
        if let Some(Reading { value, at }) = connected {
            let new = Observation::new(self.source, at, self.received);
            self.all.push(Observation { connected: Some(value), ..new });
        }
        for observation in &mut self.all {
            *observation = observation.only_of(family);
        }
        self.all
    }
}

impl DeviceStateEntry {
    /// Observations in the entry, one for each time, and one for [`Observation::connected`] alone. A value without its
    /// own time has that of the entry, because it cannot be later.
    ///
    /// Not included: fields that the family does not have, such as the duty cycle of in-floor heating, whose
    /// number in the state is meaningless; a voltage of 0 V; the current, which is that of the last heating;
    /// the brightness, which may be active or idle; and schedule and hold, which are unreliable.
    #[must_use]
    pub fn observations(&self, table: &ModeTable, family: Option<Family>, received: Now) -> Vec<Observation> {
        let mut by_time = ByTime::new(Source::RestState, received);
        macro_rules! put {
            ($($from:ident => $to:ident $(, $map:expr)?;)*) => {$(
                by_time.put(dated(self.$from, self.at), |to, value| {
                    $( let value = $map(value); )?
                    to.$to = Some(value);
                });
            )*};
        }
        put! {
            temperature => temperature;
            sensor_temperature => sensor_temperature;
            floor_temperature => floor_temperature;
            humidity => humidity;
            setpoint => setpoint;
            mode_number => mode, |number| table.mode_of(number, family);
            duty => duty;
            locked => lock;
            fan => fan;
            swing_vertical => swing_vertical;
            swing_horizontal => swing_horizontal;
            climate_plus => climate_plus;
            tracked_sensor => tracked_sensor;
        }
        by_time.put(dated(self.signal, self.at), |to, value| to.signal = i16::try_from(value).ok());
        let voltage = self.voltage.filter(|reading| is_measured(reading.value));
        by_time.put(dated(voltage, self.at), |to, value| to.voltage = Some(value));
        by_time.finish(dated(self.connected, self.at), family)
    }
}

impl DeviceRecord {
    /// Observation of the settings in the record, which has no time, as far as the model has them.
    ///
    /// Not included: voltage and current, which are configured or measured long ago.
    #[must_use]
    pub fn observation(&self, received: Now) -> Observation {
        let brightness = Brightness {
            auto: self.auto_brightness,
            active: self.max_brightness,
            idle: self.min_brightness,
            ..Brightness::default()
        };
        Observation {
            lock: self.locked,
            brightness: present(brightness),
            proximity: self.proximity,
            climate_plus: self.climate_plus,
            tracked_sensor: self.tracked_sensor,
            temperature_offset: self.temperature_offset,
            ..Observation::new(Source::RestRecord, None, received)
        }
        .only_of(self.model.as_deref().and_then(|model| Model::parse(model).family()))
    }
}

impl StructuredState {
    /// Observations in the reported values, one for each time, and one for [`Observation::connected`] alone.
    ///
    /// Not included: desired values, which are requests; mode and setpoint of the telemetry, which the sections have
    /// more precisely; fields that the family does not have; the power section of a thermostat without a sensor, which
    /// contains only zeros; and a power of 0 W beside a current.
    #[must_use]
    pub fn observations(&self, family: Option<Family>, received: Now) -> Vec<Observation> {
        let mut by_time = ByTime::new(Source::Structured, received);
        by_time.put(self.setpoint(), |to, value| to.setpoint = Some(value));
        if let Some(target) = self.target_auto.as_ref().and_then(|section| section.reported.as_ref())
            && let (Some(heat), Some(cool)) = (target.heat, target.cool)
        {
            by_time.set(target.at, |to| to.auto_setpoints = Some(AutoSetpoints { heat, cool }));
        }
        if let Some(modes) = self.modes.as_ref().and_then(|section| section.reported.as_ref()) {
            by_time.set(modes.at, |to| {
                to.mode = modes.mode;
                to.fan = modes.fan_mode.and_then(|number| fan(number, family));
                to.swing_vertical = modes.swing_vertical;
                to.swing_horizontal = modes.swing_horizontal;
            });
        }
        if let Some(interface) = self.interface.as_ref().and_then(|section| section.reported.as_ref()) {
            by_time.set(interface.at, |to| {
                to.lock = interface.locked;
                to.brightness = present(Brightness {
                    active: interface.active_brightness,
                    idle: interface.idle_brightness,
                    ..Brightness::default()
                });
            });
        }
        if let Some(tracking) = self.tracking.as_ref().and_then(|section| section.reported.as_ref()) {
            // Every family reports the number, but only an in-floor thermostat has two sensors.
            let number = tracking.tracking.filter(|_| family == Some(Family::InFloor));
            by_time.set(tracking.at, |to| {
                to.tracked_sensor =
                    tracking.tracked_sensor.or_else(|| TrackedSensor::from_structured(number?));
                to.temperature_offset = tracking.offset;
            });
        }
        if let Some(power) = self.power.as_ref().and_then(|section| section.reported.as_ref())
            && power.voltage.is_some_and(is_measured)
        {
            by_time.set(power.at, |to| {
                let draws = power.current.is_some_and(|current| current.as_amperes() > 0.0);
                (to.voltage, to.current) = (power.voltage, power.current);
                to.power = power.power.filter(|watts| !draws || watts.as_watts() > 0.0);
            });
        }
        if let Some(telemetry) = &self.telemetry {
            by_time.set(telemetry.at, |to| {
                to.temperature = telemetry.temperature;
                to.sensor_temperature = telemetry.raw_temperature;
                to.humidity = telemetry.humidity;
                to.duty = telemetry.duty;
                to.signal = telemetry.signal.and_then(|signal| i16::try_from(signal).ok());
                to.voltage = telemetry.voltage.filter(|&voltage| is_measured(voltage)).or(to.voltage);
            });
        }
        by_time.finish(self.connected.map(|value| Reading { value, at: self.last_connected }), family)
    }
}

fn dated<T>(reading: Option<Reading<T>>, at: Option<UnixTime>) -> Option<Reading<T>> {
    reading.map(|reading| Reading { at: reading.at.or(at), ..reading })
}

fn present(brightness: Brightness) -> Option<Brightness> {
    (brightness != Brightness::default()).then_some(brightness)
}

/// False for 0 V, which a thermostat without a sensor reports.
fn is_measured(voltage: Volts) -> bool {
    voltage.as_volts() > 0.0
}

fn fan(number: i64, family: Option<Family>) -> Option<FanSpeed> {
    match family {
        None | Some(Family::AirConditioner) => FanSpeed::from_structured(number),
        Some(Family::Central) => {
            let (code, _) = NUMBERED_SPEEDS.iter().find(|(_, structured)| *structured == number)?;
            Some(FanSpeed::from_code(*code))
        }
        // Other families have no fan and report 0.
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use core::time::Duration;

    use super::*;
    use crate::{Amperes, Celsius, Change, DeviceState, Mode, StateField, Watts};

    const NOW: Now = Now { mono: Duration::from_secs(1_000), wall: UnixTime::from_secs(1_767_323_045) };

    fn time(secs_ago: i64) -> Option<UnixTime> {
        Some(NOW.wall.plus_millis(-1_000 * secs_ago))
    }

    fn one(observations: &[Observation], at: Option<UnixTime>) -> Observation {
        let found: Vec<_> = observations.iter().filter(|seen| seen.at == at).collect();
        assert_eq!(found.len(), 1, "{observations:?}");
        *found[0]
    }

    #[test]
    fn every_section_of_a_structured_state_keeps_its_time() {
        let body = br#"{
            "targetHeat":{"reported":{"setpoint":20.5,"timestamp":1767323035}},
            "targetAuto":{"reported":{"heatSetpoint":19,"coolSetpoint":25,"timestamp":1767323034},
                "desired":{"heatSetpoint":5,"coolSetpoint":35,"timestamp":1767323044}},
            "modes":{"reported":{"mode":4,"fan_mode":5,"timestamp":1767323033}},
            "physicalInterface":{"reported":{"lockout":3,"activeIntensity":80,"timestamp":1767323032}},
            "tracking":{"reported":{"ambientOffset":-1.5,"tracking":1,"timestamp":1767323031}},
            "power":{"reported":{"voltage":240.5,"current":0,"wattage":0,"timestamp":1767323030}},
            "latestTelemetry":{"isConnected":true,"lastConnected":1767323029,
                "reading":{"roomTemperature":21.2,"dutyCycle":0.25,"rssi":-61,"timestamp":1767323028}}
        }"#;
        let state = StructuredState::decode(body).unwrap();
        let seen = state.observations(Some(Family::InFloor), NOW);
        assert_eq!(seen.len(), 8);
        assert!(seen.iter().all(|seen| seen.source == Source::Structured && seen.received == NOW));
        let at = |secs_ago| one(&seen, time(secs_ago));
        let celsius = |hundredths| Some(Celsius::from_hundredths(hundredths));
        assert_eq!(at(10).settings(), Change::setpoint(Celsius::from_hundredths(2_050)));
        let pair =
            AutoSetpoints { heat: Celsius::from_hundredths(1_900), cool: Celsius::from_hundredths(2_500) };
        assert_eq!(at(11).auto_setpoints, None, "a floor has one setpoint");
        let ac = state.observations(Some(Family::AirConditioner), NOW);
        assert_eq!(one(&ac, time(11)).auto_setpoints, Some(pair));
        assert_eq!((at(12).mode, at(12).fan), (Some(Mode::Heat), None));
        let brightness = Brightness { active: Some(80), ..Brightness::default() };
        assert_eq!((at(13).lock, at(13).brightness), (Some(true), Some(brightness)));
        assert_eq!(at(14).tracked_sensor, Some(TrackedSensor::Floor));
        assert_eq!(at(14).temperature_offset, celsius(-150));
        let power = (Volts::from_volts(240.5), Amperes::from_amperes(0.0), Watts::from_watts(0.0));
        assert_eq!((at(15).voltage, at(15).current, at(15).power), (power.0, None, None));
        let baseboard = one(&state.observations(Some(Family::BaseboardV2), NOW), time(15));
        assert_eq!((baseboard.voltage, baseboard.current, baseboard.power), power);
        assert_eq!(
            at(16),
            Observation { connected: Some(true), ..Observation::new(Source::Structured, time(16), NOW) }
        );
        assert_eq!((at(17).temperature, at(17).signal), (celsius(2_120), Some(-61)));

        let mut merged = DeviceState::new();
        for seen in &ac {
            merged.observe(seen);
        }
        assert_eq!(merged.auto_setpoints().map(|pair| pair.at), Some(time(11)));
        assert_eq!(merged.settings(|_| true).temperature_offset, celsius(-150));
    }

    #[test]
    fn family_specific_fields_are_read_by_family() {
        let body = br#"{"modes":{"reported":{"mode":4,"fan_mode":9}},
            "tracking":{"reported":{"tracking":0,"timestamp":1767323031}},
            "power":{"reported":{"voltage":0,"current":0,"wattage":0,"timestamp":1767323030}}}"#;
        let state = StructuredState::decode(body).unwrap();
        let fan_of = |family| one(&state.observations(family, NOW), None).fan.map(FanSpeed::code);
        assert_eq!(fan_of(Some(Family::Central)), Some(1));
        assert_eq!(fan_of(Some(Family::AirConditioner)), Some(10));
        assert_eq!(fan_of(Some(Family::BaseboardV2)), None);
        let lite = state.observations(Some(Family::BaseboardLite), NOW);
        assert_eq!(one(&lite, time(14)), Observation::new(Source::Structured, time(14), NOW));
        assert!(lite.iter().all(|seen| seen.at != time(15)), "zeros of a missing sensor");
    }

    #[test]
    fn fields_of_another_family_are_not_observed() {
        let entry = br#"{"Device":"a0b1c2d3e4f8","Timestamp":1767323040,"TstatMode":{"v":1,"t":1767323040},
            "Duty":{"v":0.55,"t":1767323040},"Voltage":{"v":0,"t":1767323040},"Infloor":{"v":24.1,"t":1767323040},
            "FanSpeed":{"v":2,"t":1767323040},"TrackedSensor":{"v":3,"t":1767323040}}"#;
        let entry = DeviceStateEntry::decode(entry).unwrap();
        let structured =
            br#"{"latestTelemetry":{"reading":{"roomTemperature":21.2,"dutyCycle":0.55,"voltage":0,
            "timestamp":1767323028}}}"#;
        let structured = StructuredState::decode(structured).unwrap();
        let half = crate::DutyCycle::from_fraction(0.55);
        for (family, duty, floor, fan) in [
            (Family::InFloor, None, true, false),
            (Family::AirConditioner, None, false, true),
            (Family::Central, None, false, true),
            (Family::ClimateSensor, None, false, false),
            (Family::BaseboardV2, half, false, false),
        ] {
            let rest = one(&entry.observations(&ModeTable::OBSERVED, Some(family), NOW), time(5));
            assert_eq!((rest.duty, rest.voltage), (duty, None), "{family}");
            assert_eq!(
                (rest.floor_temperature.is_some(), rest.tracked_sensor.is_some()),
                (floor, floor),
                "{family}"
            );
            assert_eq!(rest.fan.is_some(), fan, "{family}");
            let structured = one(&structured.observations(Some(family), NOW), time(17));
            assert_eq!((structured.duty, structured.voltage), (duty, None), "{family}");
        }
        let unknown = one(&entry.observations(&ModeTable::OBSERVED, None, NOW), time(5));
        assert!(unknown.duty.is_some() && unknown.fan.is_some(), "all values of an unknown model are kept");
    }

    #[test]
    fn a_power_of_0_w_beside_a_current_is_not_observed() {
        let body = |current| {
            format!(
                r#"{{"power":{{"reported":{{"voltage":240,"current":{current},"wattage":0,"timestamp":1767323030}}}}}}"#
            )
        };
        for (current, power) in [("5.2", None), ("0", Watts::from_watts(0.0))] {
            let state = StructuredState::decode(body(current).as_bytes()).unwrap();
            let seen = one(&state.observations(Some(Family::BaseboardV2), NOW), time(15));
            assert_eq!((seen.power, seen.voltage), (power, Volts::from_volts(240.0)));
        }
    }

    #[test]
    fn a_state_entry_is_observed_by_time_with_its_connection_apart() {
        let body = br#"{"Device":"a0b1c2d3e4f6","Timestamp":1767323040,"SetPoint":{"v":20.5,"t":1767323040},
            "CorrectedTemp":21.5,"Connected":{"v":true,"t":1767323040},"Rssi":{"v":-60,"t":1767323039},
            "Current":{"v":6.1,"t":1767323040}}"#;
        let entry = DeviceStateEntry::decode(body).unwrap();
        let seen = entry.observations(&ModeTable::OBSERVED, Some(Family::BaseboardV1), NOW);
        let [first, signal, connected] = seen[..] else { panic!("{seen:?}") };
        let own = Observation::new(Source::RestState, time(5), NOW);
        let celsius = |hundredths| Some(Celsius::from_hundredths(hundredths));
        assert_eq!(first, Observation { setpoint: celsius(2_050), temperature: celsius(2_150), ..own });
        assert_eq!((signal.at, signal.signal), (time(6), Some(-60)));
        assert_eq!(connected, Observation { connected: Some(true), ..own });
    }

    #[test]
    fn a_device_record_is_observed_with_its_settings() {
        let body = br#"{"Id":"a0b1c2d3e4f6","ButtonState":"Locked","ProximityMode":true,"MinBrightness":20,
            "MaxBrightness":90,"AutoBrightness":false,"UserTempOffset":0.5,"Voltage":240,"Current":5}"#;
        let seen = DeviceRecord::decode(body).unwrap().observation(NOW);
        let brightness =
            Brightness { auto: Some(false), active: Some(90), idle: Some(20), ..Brightness::default() };
        let expected = Change {
            lock: Some(true),
            proximity: Some(true),
            brightness: Some(brightness),
            temperature_offset: Some(Celsius::from_hundredths(50)),
            ..Change::default()
        };
        assert_eq!((seen.settings(), seen.source, seen.at), (expected, Source::RestRecord, None));
        assert_eq!((seen.voltage, seen.current), (None, None));
        let mut state = DeviceState::new();
        assert!(state.observe(&seen).contains(StateField::TemperatureOffset));
        let empty = DeviceRecord::decode(br#"{"Id":"a0b1c2d3e4f6"}"#).unwrap().observation(NOW);
        assert_eq!(empty, Observation::new(Source::RestRecord, None, NOW));
    }
}
