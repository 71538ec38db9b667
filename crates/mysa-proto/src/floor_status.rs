use crate::lenient::{self, fields};
use crate::{Celsius, DutyCycle, RelativeHumidity, Volts};

fields! { 'a;
    /// `msg` 17: status of an in-floor thermostat. (mysa-js-sdk by capture, mysotherm.)
    #[non_exhaustive]
    pub struct FloorStatus {
        /// `ambTemp`: room temperature.
        pub ambient: Celsius = "ambTemp" => lenient::celsius,
        /// `flrSnsrTemp`: temperature of the floor probe.
        pub floor: Celsius = "flrSnsrTemp" => lenient::celsius,
        /// `hum` of the room.
        pub humidity: RelativeHumidity = "hum" => lenient::humidity,
        /// `stpt`.
        pub setpoint: Celsius = "stpt" => lenient::celsius,
        /// `heatStat`: whether the relay conducts. The only sign of heating; some firmware writes it beside the body.
        pub heating: bool = "heatStat" => lenient::flag,
        /// `trackedSnsr`: 3 floor, 5 room.
        pub tracked_sensor: i64 = "trackedSnsr" => lenient::integer,
        /// `lineVtg`; some firmware writes it beside the body.
        pub line_voltage: Volts = "lineVtg" => lenient::volts,
        /// `dutyCycle`: the same value whatever the relay does. Not to be believed.
        pub untrusted_duty: DutyCycle = "dutyCycle" => lenient::duty,
    }
}
