use alloc::string::String;
use core::time::Duration;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::types::device_record::tracked_sensor;
use crate::rest::{BodyError, DisplayUnit, Reading, body};
use crate::{
    Amperes, Celsius, DeviceId, DutyCycle, FanSpeed, Mode, RelativeHumidity, Swing, TrackedSensor, UnixTime,
    Volts, Watts,
};

/// Section of a [`StructuredState`]. Only reported values are evidence; desired values are requests.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Section<T> {
    /// Desired values.
    pub desired: Option<T>,
    /// Values that the thermostat reports.
    pub reported: Option<T>,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $read:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            /// `timestamp` of the desired or reported values.
            pub at: Option<UnixTime>,
            $($(#[$field_doc])* pub $field: Option<$type>,)*
            /// Unknown members, and known ones whose value could not be read.
            pub extra: Map<String, Value>,
        }

        impl $name {
            fn of(mut fields: Fields) -> Self {
                Self {
                    at: fields.time("timestamp"),
                    $($field: {
                        let read: fn(&mut Fields) -> Option<$type> = $read;
                        read(&mut fields)
                    },)*
                    extra: fields.rest(),
                }
            }
        }
    };
}

section! {
    /// `targetHeat` or `targetCool`.
    Target {
        /// `setpoint`.
        setpoint: Celsius = |fields| fields.celsius("setpoint"),
        /// `lockoutMin`: lowest setpoint that the buttons allow.
        min: Celsius = |fields| fields.celsius("lockoutMin"),
        /// `lockoutMax`: highest setpoint that the buttons allow.
        max: Celsius = |fields| fields.celsius("lockoutMax"),
    }
}
section! {
    /// `targetAuto`.
    AutoTarget {
        /// `heatSetpoint`.
        heat: Celsius = |fields| fields.celsius("heatSetpoint"),
        /// `coolSetpoint`.
        cool: Celsius = |fields| fields.celsius("coolSetpoint"),
        /// `enabled`.
        enabled: bool = |fields| fields.flag("enabled"),
        /// `deadband`, a difference.
        deadband: Celsius = |fields| fields.celsius("deadband"),
    }
}
section! {
    /// `modes`.
    Modes {
        /// `mode`, by the structured table.
        mode: Mode = |fields| fields.integer("mode").map(Mode::from_structured),
        /// `fan_mode`: for air conditioners see [`FanSpeed::from_structured`]; otherwise 0 is off, 1 to 7 are speeds, 8
        /// is sleep and 9 automatic.
        fan_mode: i64 = |fields| fields.integer("fan_mode"),
        /// `hvacStates`, or `hvacState`.
        activity: HvacActivity = |fields| fields.take(&["hvacStates", "hvacState"], fields::integer).map(HvacActivity::from_number),
        /// `verticalSwingState`.
        swing_vertical: Swing = |fields| fields.take(&["verticalSwingState"], swing),
        /// `horizontalSwingState`.
        swing_horizontal: Swing = |fields| fields.take(&["horizontalSwingState"], swing),
    }
}
section! {
    /// `physicalInterface`.
    Interface {
        /// `lockout`: locked if it is 3.
        locked: bool = |fields| fields.integer("lockout").map(|lockout| lockout == 3),
        /// `activeIntensity` in percent.
        active_brightness: u8 = |fields| fields.percent("activeIntensity"),
        /// `idleIntensity` in percent.
        idle_brightness: u8 = |fields| fields.percent("idleIntensity"),
        /// `format`.
        display_unit: DisplayUnit = |fields| fields.take(&["format"], |format| DisplayUnit::parse(format.as_str()?)),
        /// `intensityMode`.
        intensity_mode: i64 = |fields| fields.integer("intensityMode"),
    }
}
section! {
    /// `tracking`.
    Tracking {
        /// `ambientOffset`, a difference of −5 to 5 in steps of 0.5.
        offset: Celsius = |fields| fields.celsius("ambientOffset"),
        /// `tracking`: 0 room, 1 floor probe, 2 remote sensor.
        tracking: i64 = |fields| fields.integer("tracking"),
        /// `remoteTTL`.
        remote_ttl: i64 = |fields| fields.integer("remoteTTL"),
        /// `TrackedSensor`, if present.
        tracked_sensor: TrackedSensor = |fields| fields.take(&["TrackedSensor"], tracked_sensor),
    }
}
section! {
    /// `identity`.
    Identity {
        /// `family`: `BB`, `AC`, `LV` and so on.
        family: String = |fields| fields.text("family"),
        /// `model`.
        model: String = |fields| fields.text("model"),
        /// `fw`, the firmware's version.
        firmware: String = |fields| fields.text("fw"),
    }
}
section! {
    /// `power`. All zeros for a thermostat without a sensor, such as a Lite.
    PowerSection {
        /// `voltage`.
        voltage: Volts = |fields| fields.volts("voltage"),
        /// `current`.
        current: Amperes = |fields| fields.amperes("current"),
        /// `wattage`.
        power: Watts = |fields| fields.take(&["wattage"], watts),
        /// `dutyCycle`.
        duty: DutyCycle = |fields| fields.take(&["dutyCycle"], fields::duty),
    }
}
section! {
    /// `hvacConfig`.
    HvacConfig {
        /// `advFanAlwaysOn`.
        fan_always_on: bool = |fields| fields.flag("advFanAlwaysOn"),
        /// `advFanRuntimeSeconds`.
        fan_runtime: Duration = |fields| fields.take(&["advFanRuntimeSeconds"], fields::count).map(Duration::from_secs),
        /// `advFanRuntimePeriodSeconds`.
        fan_period: Duration = |fields| fields.take(&["advFanRuntimePeriodSeconds"], fields::count).map(Duration::from_secs),
    }
}
section! {
    /// `drState`: demand response. Without desired and reported values.
    DemandResponse {
        /// `inEvent`.
        in_event: bool = |fields| fields.flag("inEvent"),
        /// `state`.
        state: String = |fields| fields.text("state"),
    }
}
section! {
    /// `latestTelemetry.reading`: last measurements. Their time is [`Telemetry::at`].
    Telemetry {
        /// `deviceId`.
        device: DeviceId = |fields| fields.take(&["deviceId"], |device| DeviceId::new(device.as_str()?)),
        /// `rawTemperature`: temperature inside the case.
        raw_temperature: Celsius = |fields| fields.celsius("rawTemperature"),
        /// `roomTemperature`.
        temperature: Celsius = |fields| fields.celsius("roomTemperature"),
        /// `humidity`.
        humidity: RelativeHumidity = |fields| fields.take(&["humidity"], fields::humidity),
        /// `heatSetpoint`.
        heat_setpoint: Celsius = |fields| fields.celsius("heatSetpoint"),
        /// `coolSetpoint`.
        cool_setpoint: Celsius = |fields| fields.celsius("coolSetpoint"),
        /// `effectiveSetpoint`.
        setpoint: Celsius = |fields| fields.celsius("effectiveSetpoint"),
        /// `mode`, by [`ModeTable`](crate::ModeTable), not by the structured table.
        mode_number: i64 = |fields| fields.integer("mode"),
        /// `dutyCycle`.
        duty: DutyCycle = |fields| fields.take(&["dutyCycle"], fields::duty),
        /// `coreTemperature`: temperature of the hot core.
        core_temperature: Celsius = |fields| fields.celsius("coreTemperature"),
        /// `rssi` in dBm.
        signal: i64 = |fields| fields.integer("rssi").filter(|signal| *signal < -1),
        /// `voltage`.
        voltage: Volts = |fields| fields.volts("voltage"),
        /// `freeHeap` in bytes.
        free_heap: i64 = |fields| fields.integer("freeHeap"),
        /// `hvacState`.
        activity: HvacActivity = |fields| fields.integer("hvacState").map(HvacActivity::from_number),
        /// `timestampEstimated`: true if the service estimated the time.
        time_estimated: bool = |fields| fields.flag("timestampEstimated"),
    }
}

/// Activity of a central system, by the bits of `hvacStates`, known from one client that read the app.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum HvacActivity {
    /// 0.
    Idle,
    /// 256 or 512.
    Heating,
    /// 1024 or 2048.
    Cooling,
    /// 4096.
    Auxiliary,
    /// 8192 alone.
    Fan,
    /// Any other number or combination of bits. Another project reads 4 as active.
    Other(i64),
}

impl HvacActivity {
    /// Converts from the number in `hvacStates`.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        const HEAT: i64 = 256 | 512;
        const COOL: i64 = 1_024 | 2_048;
        const AUXILIARY: i64 = 4_096;
        const FAN: i64 = 8_192;
        if number == 0 {
            return Self::Idle;
        }
        if number < 0 || number & !(HEAT | COOL | AUXILIARY | FAN) != 0 {
            return Self::Other(number);
        }
        match (number & HEAT != 0, number & COOL != 0, number & AUXILIARY != 0) {
            (true, true, _) | (_, true, true) => Self::Other(number),
            (_, _, true) => Self::Auxiliary,
            (true, ..) => Self::Heating,
            (_, true, _) => Self::Cooling,
            _ => Self::Fan,
        }
    }
}

/// State of a thermostat in the structured service. Every section has its own time.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StructuredState {
    /// `latestTelemetry.isConnected`; may be true although the readings are stale.
    pub connected: Option<bool>,
    /// `latestTelemetry.lastConnected`.
    pub last_connected: Option<UnixTime>,
    /// `latestTelemetry.reading`.
    pub telemetry: Option<Telemetry>,
    /// `targetHeat`.
    pub target_heat: Option<Section<Target>>,
    /// `targetCool`.
    pub target_cool: Option<Section<Target>>,
    /// `targetAuto`.
    pub target_auto: Option<Section<AutoTarget>>,
    /// `modes`.
    pub modes: Option<Section<Modes>>,
    /// `physicalInterface`.
    pub interface: Option<Section<Interface>>,
    /// `tracking`.
    pub tracking: Option<Section<Tracking>>,
    /// `identity`.
    pub identity: Option<Section<Identity>>,
    /// `power`.
    pub power: Option<Section<PowerSection>>,
    /// `hvacConfig`.
    pub hvac_config: Option<Section<HvacConfig>>,
    /// `drState`.
    pub demand_response: Option<DemandResponse>,
    /// `bbConfig.reported.controlType`, the heater profile: 8 fan-forced, 9 baseboard.
    pub heater_profile: Option<i64>,
    /// Unknown sections, and known ones with another structure.
    pub extra: Map<String, Value>,
}

impl StructuredState {
    /// Decodes the answer to [`structured_state`](crate::rest::structured_state()), bare or under `data`.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut map = body::object(body)?;
        Ok(match map.remove("data") {
            Some(Value::Object(state)) => Self::of(state),
            Some(other) => {
                map.insert("data".into(), other);
                Self::of(map)
            }
            None => Self::of(map),
        })
    }

    pub(in crate::rest) fn of(map: Map<String, Value>) -> Self {
        let mut fields = Fields::from(map);
        let mut latest = fields.take_object("latestTelemetry").unwrap_or_default();
        let heater_profile = fields.take(&["bbConfig"], |config| {
            config.get("reported")?.get("controlType").and_then(fields::integer)
        });
        Self {
            connected: latest.flag("isConnected"),
            last_connected: latest.time("lastConnected"),
            telemetry: latest.take_object("reading").map(Telemetry::of),
            target_heat: section(&mut fields, "targetHeat", Target::of),
            target_cool: section(&mut fields, "targetCool", Target::of),
            target_auto: section(&mut fields, "targetAuto", AutoTarget::of),
            modes: section(&mut fields, "modes", Modes::of),
            interface: section(&mut fields, "physicalInterface", Interface::of),
            tracking: section(&mut fields, "tracking", Tracking::of),
            identity: section(&mut fields, "identity", Identity::of),
            power: section(&mut fields, "power", PowerSection::of),
            hvac_config: section(&mut fields, "hvacConfig", HvacConfig::of),
            demand_response: fields.take_object("drState").map(DemandResponse::of),
            heater_profile,
            extra: fields.rest(),
        }
    }

    /// Reported mode, with the time of its section.
    #[must_use]
    pub fn mode(&self) -> Option<Reading<Mode>> {
        let modes = self.modes.as_ref()?.reported.as_ref()?;
        Some(Reading { value: modes.mode?, at: modes.at })
    }

    /// Reported setpoint: of cooling in mode cool, otherwise of heating. `None` in mode auto, which has two
    /// ([`StructuredState::target_auto`]).
    #[must_use]
    pub fn setpoint(&self) -> Option<Reading<Celsius>> {
        let reported = |section: &Option<Section<Target>>| {
            let target = section.as_ref()?.reported.as_ref()?;
            Some(Reading { value: target.setpoint?, at: target.at })
        };
        match self.mode().map(|mode| mode.value) {
            Some(Mode::Auto) if self.target_auto.is_some() => None,
            Some(Mode::Cool) => reported(&self.target_cool),
            _ => reported(&self.target_heat).or_else(|| reported(&self.target_cool)),
        }
    }

    /// True if the duty cycle of the telemetry is above zero. `None` if it is missing.
    #[must_use]
    pub fn is_heating(&self) -> Option<bool> {
        self.telemetry.as_ref()?.duty.map(|duty| duty.as_fraction() > 0.0)
    }

    /// Reported fan speed of an air conditioner.
    #[must_use]
    pub fn fan(&self) -> Option<Reading<FanSpeed>> {
        let modes = self.modes.as_ref()?.reported.as_ref()?;
        Some(Reading { value: FanSpeed::from_structured(modes.fan_mode?)?, at: modes.at })
    }

    /// True if the telemetry has a time that is not ahead of `now`. Other sections have their own times.
    #[must_use]
    pub fn is_measurement_fresh(&self, now: UnixTime) -> bool {
        self.telemetry
            .as_ref()
            .is_some_and(|telemetry| Reading { value: (), at: telemetry.at }.usable_time(now).is_some())
    }
}

fn section<T>(fields: &mut Fields, name: &str, read: fn(Fields) -> T) -> Option<Section<T>> {
    let mut sides = fields.take_object(name)?;
    if !sides.has("desired") && !sides.has("reported") {
        // A section without `desired` and `reported` could be either.
        fields.put(name, sides);
        return None;
    }
    Some(Section {
        desired: sides.take_object("desired").map(read),
        reported: sides.take_object("reported").map(read),
    })
}

fn swing(value: &Value) -> Option<Swing> {
    fields::integer(value).and_then(|code| u8::try_from(code).ok()).map(Swing::from_code)
}

fn watts(value: &Value) -> Option<Watts> {
    fields::number(value).and_then(Watts::from_watts)
}
