//! What REST answers say about a thermostat, as observations for the merge. Each field keeps the time the service
//! gives for it, so one answer makes one observation for each time in it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{DeviceRecord, DeviceStateEntry, Reading, StructuredState};
use crate::{Family, Mode, ModeTable, Now, Observation, Source, UnixTime};

struct ByTime {
    source: Source,
    received: Now,
    at: BTreeMap<Option<UnixTime>, Observation>,
}

impl ByTime {
    const fn new(source: Source, received: Now) -> Self {
        Self { source, received, at: BTreeMap::new() }
    }

    fn put<T>(&mut self, reading: Option<Reading<T>>, set: impl FnOnce(&mut Observation, T)) {
        if let Some(Reading { value, at }) = reading {
            set(self.entry(at), value);
        }
    }

    fn entry(&mut self, at: Option<UnixTime>) -> &mut Observation {
        self.at.entry(at).or_insert_with(|| Observation::new(self.source, at, self.received))
    }

    fn finish(self) -> Vec<Observation> {
        self.at.into_values().collect()
    }
}

impl DeviceStateEntry {
    /// What it says, one observation for each time in it. The current is left out: it is that of the last heating, not
    /// of now.
    #[must_use]
    pub fn observations(&self, table: &ModeTable, family: Option<Family>, received: Now) -> Vec<Observation> {
        let mut by_time = ByTime::new(Source::RestState, received);
        by_time.put(self.temperature, |to, value| to.temperature = Some(value));
        by_time.put(self.sensor_temperature, |to, value| to.sensor_temperature = Some(value));
        by_time.put(self.floor_temperature, |to, value| to.floor_temperature = Some(value));
        by_time.put(self.humidity, |to, value| to.humidity = Some(value));
        by_time.put(self.setpoint, |to, value| to.setpoint = Some(value));
        by_time.put(self.mode_number, |to, value| to.mode = Some(table.mode_of(value, family)));
        by_time.put(self.duty, |to, value| to.duty = Some(value));
        by_time.put(self.voltage, |to, value| to.voltage = Some(value));
        by_time.put(self.locked, |to, value| to.lock = Some(value));
        by_time.put(self.fan, |to, value| to.fan = Some(value));
        by_time.put(self.swing_vertical, |to, value| to.swing_vertical = Some(value));
        by_time.put(self.swing_horizontal, |to, value| to.swing_horizontal = Some(value));
        by_time.put(self.climate_plus, |to, value| to.climate_plus = Some(value));
        by_time.put(self.tracked_sensor, |to, value| to.tracked_sensor = Some(value));
        by_time.put(self.connected, |to, value| to.connected = Some(value));
        by_time.put(self.signal, |to, value| to.signal = i16::try_from(value).ok());
        by_time.finish()
    }
}

impl DeviceRecord {
    /// What it says of the thermostat's present state: lock, proximity, Climate+ and tracked sensor. A record has no
    /// time.
    #[must_use]
    pub const fn observation(&self, received: Now) -> Observation {
        Observation {
            lock: self.locked,
            proximity: self.proximity,
            climate_plus: self.climate_plus,
            tracked_sensor: self.tracked_sensor,
            ..Observation::new(Source::RestRecord, None, received)
        }
    }
}

impl StructuredState {
    /// What it reports, one observation for each time in it. Wishes are left out, and so are voltage and current,
    /// whose zeros mean no sensor.
    #[must_use]
    pub fn observations(&self, received: Now) -> Vec<Observation> {
        let mut by_time = ByTime::new(Source::Structured, received);
        by_time.put(self.mode(), |to, value: Mode| to.mode = Some(value));
        by_time.put(self.setpoint(), |to, value| to.setpoint = Some(value));
        by_time.put(self.fan(), |to, value| to.fan = Some(value));
        if let Some(modes) = self.modes.as_ref().and_then(|section| section.reported.as_ref()) {
            let to = by_time.entry(modes.at);
            to.swing_vertical = modes.swing_vertical;
            to.swing_horizontal = modes.swing_horizontal;
        }
        if let Some(interface) = self.interface.as_ref().and_then(|section| section.reported.as_ref()) {
            by_time.entry(interface.at).lock = interface.locked;
        }
        if let Some(telemetry) = &self.telemetry {
            let to = by_time.entry(telemetry.at);
            to.temperature = telemetry.temperature;
            to.sensor_temperature = telemetry.raw_temperature;
            to.humidity = telemetry.humidity;
            to.duty = telemetry.duty;
            to.signal = telemetry.signal.and_then(|signal| i16::try_from(signal).ok());
        }
        if let Some(connected) = self.connected {
            by_time.entry(self.last_connected).connected = Some(connected);
        }
        by_time.finish()
    }
}
