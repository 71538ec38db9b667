//! Thermostats, their rooms, and the cloud's copy of their state.

pub(crate) mod agenda;
pub(crate) mod command_record;
pub(crate) mod energy;
pub(crate) mod family;
pub(crate) mod message;
pub(crate) mod parsed_command;
pub(crate) mod remote;
pub(crate) mod room;
pub(crate) mod settings;
pub(crate) mod thermostat;
pub(crate) mod weather;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use serde_json::{Map, Value, json};

use crate::Now;
use crate::device::agenda::Agenda;
use crate::device::command_record::Origin;
use crate::device::energy::{Bucket, Past};
use crate::device::family::{Family, Mode, Seen};
use crate::device::parsed_command::number;
use crate::device::settings::{SettingTimes, Settings};
use crate::device::thermostat::{ShadowUpdate, Thermostat};
use crate::shadow::document::is_equal;
use crate::shadow::{self, NamedShadow};
use crate::spec::DeviceSpec;

/// A thermostat as the cloud keeps it: the device itself, its record, and the cloud's copy of its state.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) thermostat: Thermostat,
    pub(crate) record: Map<String, Value>,
    pub(crate) home: usize,
    pub(crate) account: usize,
    /// Time since which the cloud knows it, in Unix seconds.
    pub(crate) known_since: i64,
    /// `true` if it has left its account.
    pub(crate) removed: bool,
    pub(crate) shadow: Shadow,
    /// Values that were requested from the structured service and not reported yet: section to members and time.
    pub(crate) desired: Map<String, Value>,
    /// Times of the last changes of fields of the record, by their names.
    pub(crate) recorded_at: BTreeMap<String, i64>,
    /// Its named shadows, if it is controlled by them.
    pub(crate) shadows: BTreeMap<String, NamedShadow>,
    pub(crate) changes: VecDeque<Change>,
    /// Its schedule.
    pub(crate) agenda: Agenda,
    /// Time at which the timer of the thermostat or the next event of its schedule is due in the cloud's agenda.
    pub(crate) due: core::time::Duration,
    /// Number of its commands that are in the journal.
    pub(crate) journaled: u64,
    /// Its energy before the start of the cloud.
    past: Past,
    /// Model that it was paired as, independent of its record.
    paired_model: String,
    odd_state: Map<String, Value>,
    odd_telemetry: Map<String, Value>,
    /// Newer version of its firmware that the cloud offers.
    pub(crate) firmware_offer: Option<String>,
}

/// The cloud's copy of the state of a device, as of its last message.
#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    /// Device timestamp of its last readings, in seconds.
    pub(crate) readings_at: i64,
    /// Device timestamp of its last readings that contain its setpoint.
    pub(crate) setpoint_read_at: i64,
    /// Time of the arrival of its last message by the cloud's clock, in seconds.
    pub(crate) last_seen_at: i64,
    pub(crate) seen: Seen,
    /// Bits of `hvacState` of central HVAC.
    pub(crate) activity: i64,
    pub(crate) settings: Settings,
    pub(crate) times: SettingTimes,
}

/// A change of setpoint or mode that the cloud saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) at: i64,
    pub(crate) setpoint: (f64, f64),
    pub(crate) mode: (Mode, Mode),
    /// 3: the app, 1: a button, 0: the schedule.
    pub(crate) source: u8,
}

/// `source` of a change by the schedule, for which no number is known.
pub(crate) const SCHEDULE: u8 = 0;

const CHANGES: usize = 512;

impl Device {
    pub(crate) fn new(
        spec: &DeviceSpec,
        thermostat: Thermostat,
        record: Map<String, Value>,
        (home, account): (usize, usize),
        now: Now,
        history_days: u32,
    ) -> Self {
        let at = now.wall.as_secs();
        let shadow = Shadow {
            readings_at: at,
            setpoint_read_at: at,
            last_seen_at: at,
            seen: thermostat.seen(now),
            activity: thermostat.activity(),
            settings: thermostat.settings.clone(),
            times: SettingTimes::new(at),
        };
        let mut device = Self {
            shadows: shadow::of_thermostat(&thermostat, now),
            past: Past::new(&thermostat, history_days, now),
            thermostat,
            record,
            home,
            account,
            known_since: at,
            removed: false,
            shadow,
            desired: Map::new(),
            recorded_at: BTreeMap::new(),
            changes: VecDeque::new(),
            agenda: Agenda::new(),
            due: core::time::Duration::MAX,
            journaled: 0,
            paired_model: spec.model.clone(),
            odd_state: spec.state.clone(),
            odd_telemetry: spec.telemetry.clone(),
            firmware_offer: spec.firmware_offer.clone(),
        };
        device.record.insert("Name".into(), json!(spec.name));
        device
    }

    /// Stores fields of the record. A field that keeps its value keeps its time.
    pub(crate) fn store(&mut self, now: Now, fields: impl IntoIterator<Item = (String, Value)>) {
        for (name, value) in fields {
            if !self.record.get(&name).is_some_and(|known| is_equal(known, &value)) {
                self.recorded_at.insert(name.clone(), now.wall.as_secs());
            }
            self.record.insert(name, value);
        }
    }

    /// Updates the cloud's copy with the contents of a message.
    pub(crate) fn update_shadow(&mut self, now: Now, update: ShadowUpdate, clock_shift: i64) {
        let at = now.wall.as_secs();
        match update {
            ShadowUpdate::None => return,
            ShadowUpdate::Readings | ShadowUpdate::Status => {
                self.shadow.seen = self.thermostat.seen(now);
                self.shadow.activity = self.thermostat.activity();
                self.shadow.readings_at = at + clock_shift;
                if self.tells_setpoint() {
                    self.shadow.setpoint_read_at = self.shadow.readings_at;
                }
                let known = self.told(update);
                if known != self.shadow.settings {
                    self.note_change(at, &known);
                    self.shadow.times.update(at, &self.shadow.settings, &known);
                    self.shadow.settings = known;
                }
            }
            ShadowUpdate::Settings => {}
        }
        self.shadow.last_seen_at = at;
        if update == ShadowUpdate::Settings && self.thermostat.settings != self.shadow.settings {
            let settings = self.thermostat.settings.clone();
            self.note_change(at, &settings);
            self.shadow.times.update(at, &self.shadow.settings, &settings);
            // The change is newer than any earlier desired value, regardless of its author.
            self.desired.clear();
            self.shadow.seen.setpoint = settings.degrees();
            self.shadow.seen.mode = settings.mode;
            self.shadow.settings = settings;
        }
    }

    /// Returns `true` if its readings contain its setpoint. Those of a thermostat with shadows never do, and an air conditioner that
    /// dries has none.
    fn tells_setpoint(&self) -> bool {
        let Thermostat { family, settings, .. } = &self.thermostat;
        !family.has_shadows() && (*family != Family::AirConditioner || settings.mode != Mode::Dry)
    }

    /// Settings as the cloud knows them after readings. Of all settings, these contain the setpoint; a status of an air conditioner
    /// contains its mode as well, and one of a heated floor the sensor that it follows.
    fn told(&self, update: ShadowUpdate) -> Settings {
        let held = &self.thermostat.settings;
        let mut known = self.shadow.settings.clone();
        if self.tells_setpoint() {
            known.setpoint = held.setpoint;
        }
        match self.thermostat.family {
            Family::AirConditioner if update == ShadowUpdate::Status => known.mode = held.mode,
            Family::Floor if update == ShadowUpdate::Status => known.tracked = held.tracked,
            _ => {}
        }
        known
    }

    /// Adds a change of setpoint or mode to the history, with the author of the last command that set either.
    fn note_change(&mut self, at: i64, settings: &Settings) {
        let before = &self.shadow.settings;
        if before.in_force() == settings.in_force() && before.mode == settings.mode {
            return;
        }
        if self.changes.len() == CHANGES {
            self.changes.pop_front();
        }
        let mut newest = self.thermostat.command_records.iter().rev();
        let cause =
            newest.find(|record| record.applied && (record.setpoint.is_some() || record.mode.is_some()));
        self.changes.push_back(Change {
            at,
            setpoint: (before.degrees(), settings.degrees()),
            mode: (before.mode, settings.mode),
            source: match cause.map(|record| record.origin) {
                Some(Origin::Button) => 1,
                Some(Origin::Schedule) => SCHEDULE,
                _ => 3,
            },
        });
    }

    /// Returns `true` if the cloud considers it connected: its last message is at most two of its usual intervals old.
    pub(crate) fn is_connected(&self, now: Now) -> bool {
        let limit = 2 * self.thermostat.family.profile().idle_status.as_secs().cast_signed() + 120;
        self.thermostat.family == Family::Silent || now.wall.as_secs() - self.shadow.last_seen_at < limit
    }

    /// Half hour that starts at `start`: measured, or computed if it lies before the start of the cloud.
    pub(crate) fn half_hour(&self, start: i64) -> Bucket {
        self.thermostat.room.meter.at(start).copied().unwrap_or_else(|| self.past.half_hour(start))
    }

    /// Energy before the start of the cloud, kWh.
    pub(crate) fn past_energy(&self) -> f64 {
        self.past.kilowatt_hours()
    }

    /// A member of `DeviceStatesObj`.
    pub(crate) fn state(&self, now: Now) -> Value {
        let Shadow { readings_at: at, seen, settings, times, .. } = &self.shadow;
        let at = *at;
        let family = self.thermostat.family;
        let mut state = Map::new();
        state.insert("Device".into(), json!(self.thermostat.id.as_str()));
        state.insert("Timestamp".into(), json!(at));
        let mut put = |name: &str, value: Value, t: i64| {
            state.insert(name.into(), json!({ "v": value, "t": t }));
        };
        let on_ms = (31_000.0 * seen.duty) as i64;
        put("OnTime", json!(on_ms), at);
        put("OffTime", json!(31_000 - on_ms), at);
        put("SetPoint", number(settings.degrees()), times.setpoint.max(self.shadow.setpoint_read_at));
        put("Brightness", json!(settings.brightness.idle), times.brightness);
        put("ScheduleMode", json!(settings.hold), times.hold);
        put("HoldTime", json!(settings.until.unwrap_or(-1)), times.hold);
        put("Rssi", json!(-58), at);
        put("TstatMode", json!(settings.mode.wire()), times.mode);
        put("FreeHeap", json!(70_120), at);
        put("SensorTemp", number(seen.sensor), at);
        put("Mode", json!(1), at);
        put("CorrectedTemp", number(seen.room), at);
        put("HeatSink", number(seen.sensor + 6.0), at);
        // Only this field of the state has a time in milliseconds.
        put("Connected", json!(self.is_connected(now)), now.wall.as_millis());
        put("Humidity", number(seen.humidity), at);
        put("Lock", json!(u8::from(settings.lock)), times.lock);
        match family {
            Family::AirConditioner => {
                put("FanSpeed", json!(settings.fan), times.fan);
                put("SwingState", json!(settings.swing), times.swing);
                put("SwingStateHorizontal", json!(settings.swing_sideways), times.swing_sideways);
                put("IsThermostatic", json!(u8::from(settings.climate_plus)), times.climate_plus);
                let power = u8::from(settings.mode != Mode::Off);
                let ac = json!({
                    "1": power, "2": settings.mode.wire(), "3": number(settings.degrees()), "4": settings.fan,
                    "5": settings.swing
                });
                put("ACState", ac, times.setpoint.max(times.modes()));
            }
            Family::CentralHvac => {}
            Family::Floor => {
                put("Duty", json!(0), at);
                put("Infloor", number(seen.floor.unwrap_or(seen.room)), at);
                put("TrackedSensor", json!(settings.tracked), times.tracked);
                put("LineVoltage", number(seen.volts), at);
            }
            _ => {
                put("Duty", number(seen.duty), at);
                put("Voltage", number(seen.volts), at);
                // The last current while the heater was on, so that volts, amperes and duty give the power drawn. A
                // Lite has no electrical measurements.
                let measured = matches!(family, Family::BaseboardV1 | Family::BaseboardV2);
                let amperes = if measured { seen.amperes } else { 0.0 };
                put("Current", number(crate::math::quantise(amperes, 100.0)), at);
            }
        }
        replace(&mut state, &self.odd_state);
        Value::Object(state)
    }

    /// Replaces members of the telemetry of the structured service as specified in [`DeviceSpec`].
    pub(crate) fn with_odd_telemetry(&self, mut reading: Value) -> Value {
        if let Some(reading) = reading.as_object_mut() {
            replace(reading, &self.odd_telemetry);
        }
        reading
    }

    /// Model that it was paired as.
    pub(crate) fn paired_model(&self) -> &str {
        &self.paired_model
    }

    pub(crate) fn model(&self) -> &str {
        self.record.get("Model").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) const fn firmware(&self) -> &'static str {
        self.thermostat.family.profile().firmware
    }
}

/// Replaces members; `null` removes one.
fn replace(members: &mut Map<String, Value>, by: &Map<String, Value>) {
    for (name, value) in by {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

/// Initial record of a device.
pub(crate) fn record(
    spec: &DeviceSpec,
    home: &str,
    zone: &str,
    owner: &str,
    time_zone: &str,
    now: Now,
) -> Map<String, Value> {
    let family = Family::of(&spec.model);
    let mut record = json!({
        "Id": spec.id.as_str(), "Model": spec.record_model.as_ref().unwrap_or(&spec.model), "Name": spec.name, "Home": home, "Zone": zone, "Owner": owner,
        "TimeZone": time_zone, "AllowedUsers": [owner], "Format": "celsius", "MinSetpoint": 5, "MaxSetpoint": 30,
        "MinBrightness": 40, "MaxBrightness": 90, "ButtonState": "Unlocked", "HeaterType": "convection",
        "LastPaired": now.wall.as_secs() - 8_640_000, "Mode": { "Id": 1, "LastUpdated": now.wall.as_millis() },
        "Voltage": 240, "MaxCurrent": 0, "DutyCycleOpt": 0, "ecoMode": "1", "Animation": "none", "ButtonDI": 2010,
        "ButtonAVE": 2, "ButtonPolling": 130, "ButtonLowPower": 10, "ButtonRepeatDelay": 1, "ButtonRepeatStart": 1,
        "ButtonThreshold": 35,
    });
    let amperes = number(crate::math::quantise(spec.rated_watts / 240.0, 100.0));
    let more = match family {
        // One family reports its rated current as text.
        Family::BaseboardV1 => json!({ "MaxCurrent": amperes_text(&amperes) }),
        Family::BaseboardV2 => json!({
            "MaxCurrent": amperes, "DutyCycleOpt": 9, "AutoBrightness": true, "ProximityMode": false, "ButtonState": 0,
            "Brightness": { "a_b": 0, "a_br": 90, "i_br": 40, "a_dr": 60, "i_dr": 30 }, "UserTempOffset": 0,
        }),
        Family::Lite => {
            json!({ "DutyCycleOpt": 8, "ecoMode": 1, "schedGlobalOffset": 0, "UserTempOffset": 0 })
        }
        Family::Floor => json!({
            "MaxSetpoint": 40, "FloorOhms": 10, "FloorType": 1, "IsMysaFloorSensor": true, "MaxFloorTemp": 28,
            "TrackedSensor": 3, "Tracking": 3,
        }),
        Family::AirConditioner => Value::Object(spec.remote.record()),
        Family::BaseboardV3 => json!({ "DutyCycleOpt": 9, "UserTempOffset": 0 }),
        Family::CentralHvac | Family::Silent => json!({}),
    };
    match (record.as_object_mut(), more) {
        (Some(record), Value::Object(more)) => {
            record.extend(more);
            replace(record, &spec.record);
            core::mem::take(record)
        }
        _ => Map::new(),
    }
}

fn amperes_text(amperes: &Value) -> Value {
    use alloc::string::ToString as _;
    json!(amperes.to_string())
}
