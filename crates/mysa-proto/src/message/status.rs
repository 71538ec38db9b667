use crate::json::field::{self, fields};
use crate::{Celsius, DutyCycle, JsonStr, RelativeHumidity, Volts};

fields! { 'a;
    /// `msg` 40: status of a baseboard V2 or Lite. (Every witness.)
    ///
    /// It contains neither mode nor current. The fields may also be nested in `reading` (mysa_client), and mysa-js-sdk
    /// expects those of an in-floor thermostat here.
    #[non_exhaustive]
    pub struct Status {
        /// `ambTemp`: room temperature, corrected for the thermostat's own heat.
        pub ambient: Celsius = "ambTemp" => field::celsius,
        /// `hum` of the room.
        pub humidity: RelativeHumidity = "hum" => field::humidity,
        /// `stpt`.
        pub setpoint: Celsius = "stpt" => field::celsius,
        /// `dtyCycle`: usually exactly 0 or 1.
        pub duty: DutyCycle = "dtyCycle" => field::duty,
        /// `flrSnsrTemp`: temperature of the floor probe.
        pub floor: Celsius = "flrSnsrTemp" => field::celsius,
        /// `heatStat`: true if the relay conducts.
        pub heating: bool = "heatStat" => field::flag,
        /// `trackedSnsr`: 3 floor, 5 room.
        pub tracked_sensor: i64 = "trackedSnsr" => field::integer,
        /// `lineVtg`.
        pub line_voltage: Volts = "lineVtg" => field::volts,
    }
}

fields! { 'a;
    /// `msg` 17: status of an in-floor thermostat. (mysa-js-sdk by capture, mysotherm.)
    #[non_exhaustive]
    pub struct FloorStatus {
        /// `ambTemp`: room temperature.
        pub ambient: Celsius = "ambTemp" => field::celsius,
        /// `flrSnsrTemp`: temperature of the floor probe.
        pub floor: Celsius = "flrSnsrTemp" => field::celsius,
        /// `hum` of the room.
        pub humidity: RelativeHumidity = "hum" => field::humidity,
        /// `stpt`.
        pub setpoint: Celsius = "stpt" => field::celsius,
        /// `heatStat`: true if the relay conducts. The only sign of heating; some firmware writes it beside the body.
        pub heating: bool = "heatStat" => field::flag,
        /// `trackedSnsr`: 3 floor, 5 room.
        pub tracked_sensor: i64 = "trackedSnsr" => field::integer,
        /// `lineVtg`; some firmware writes it beside the body.
        pub line_voltage: Volts = "lineVtg" => field::volts,
        /// `dutyCycle`: constant, independent of the relay. Do not use it.
        pub untrusted_duty: DutyCycle = "dutyCycle" => field::duty,
    }
}

fields! { 'a;
    /// `msg` 16: line report of an in-floor thermostat, without a time. (mysotherm.)
    #[non_exhaustive]
    pub struct FloorLine {
        /// `prevLnVolt`.
        pub previous_line_voltage: Volts = "prevLnVolt" => field::volts,
        /// `currLnVolt`.
        pub line_voltage: Volts = "currLnVolt" => field::volts,
        /// `currAveMVolt`, in millivolts. Its meaning is unknown.
        pub average_millivolts: f64 = "currAveMVolt" => field::quantity,
        /// `gfciStatus`: ground fault interrupter.
        pub gfci_status: i64 = "gfciStatus" => field::integer,
        /// `dutyCycle`: about 0.52, independent of the relay. Do not use it.
        pub untrusted_duty: DutyCycle = "dutyCycle" => field::duty,
    }
}

fields! { 'a;
    /// `msg` 30: status of an air conditioner. (mysa-js-sdk, Mysa_HA.) Mysa_HA also saw the numbered keys of
    /// [`AcState`](crate::AcState) in it.
    #[non_exhaustive]
    pub struct AcStatus {
        /// `ambTemp`: room temperature.
        pub ambient: Celsius = "ambTemp" => field::celsius,
        /// `hum` of the room.
        pub humidity: RelativeHumidity = "hum" => field::humidity,
        /// `stpt`; 0 °C in modes without a setpoint.
        pub setpoint: Celsius = "stpt" | "3" => field::celsius,
        /// `mode`, by number.
        pub mode: i64 = "mode" | "2" => field::integer,
        /// `4`: fan speed, by number.
        pub fan: i64 = "4" => field::integer,
        /// `5`: vertical swing, by number.
        pub swing: i64 = "5" => field::integer,
    }
}

fields! { 'a;
    /// `msg` 31: settings of an air conditioner under numbered keys, often only the mode. (Only Mysa_HA.)
    #[non_exhaustive]
    pub struct AcState {
        /// `1`: power, by number.
        pub power: i64 = "1" => field::integer,
        /// `2`: mode, by number.
        pub mode: i64 = "2" => field::integer,
        /// `3`: setpoint.
        pub setpoint: Celsius = "3" => field::celsius,
        /// `4`: fan speed, by number.
        pub fan: i64 = "4" => field::integer,
        /// `5`: vertical swing, by number.
        pub swing: i64 = "5" => field::integer,
    }
}

fields! { 'a;
    /// `msg` 61: firmware version, sent after a start. (mysotherm; Mysa_HA reads it beside the body.)
    #[non_exhaustive]
    pub struct FirmwareReport<'a> {
        /// `fw` of the body, or `version` beside it.
        pub version: JsonStr<'a> = "fw" => field::text,
    }
}
