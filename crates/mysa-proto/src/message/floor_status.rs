use crate::json::field::{self, fields};
use crate::{Celsius, DutyCycle, RelativeHumidity, Volts};

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
        /// `heatStat`: whether the relay conducts. The only sign of heating; some firmware writes it beside the body.
        pub heating: bool = "heatStat" => field::flag,
        /// `trackedSnsr`: 3 floor, 5 room.
        pub tracked_sensor: i64 = "trackedSnsr" => field::integer,
        /// `lineVtg`; some firmware writes it beside the body.
        pub line_voltage: Volts = "lineVtg" => field::volts,
        /// `dutyCycle`: the same value whatever the relay does. Not to be believed.
        pub untrusted_duty: DutyCycle = "dutyCycle" => field::duty,
    }
}
