use crate::lenient::{self, fields};
use crate::{Celsius, DutyCycle, RelativeHumidity, Volts};

fields! { 'a;
    /// `msg` 40: status of a baseboard V2 or Lite. (Every witness.)
    ///
    /// It tells neither mode nor current. The fields may also stand one level deeper, in `reading` (mysa_client), and
    /// those of an in-floor thermostat have been expected here (mysa-js-sdk).
    #[non_exhaustive]
    pub struct Status {
        /// `ambTemp`: room temperature, corrected for the heat of the thermostat itself.
        pub ambient: Celsius = "ambTemp" => lenient::celsius,
        /// `hum` of the room.
        pub humidity: RelativeHumidity = "hum" => lenient::humidity,
        /// `stpt`.
        pub setpoint: Celsius = "stpt" => lenient::celsius,
        /// `dtyCycle`: mostly exactly 0 or 1.
        pub duty: DutyCycle = "dtyCycle" => lenient::duty,
        /// `flrSnsrTemp`: temperature of the floor probe.
        pub floor: Celsius = "flrSnsrTemp" => lenient::celsius,
        /// `heatStat`: whether the relay conducts.
        pub heating: bool = "heatStat" => lenient::flag,
        /// `trackedSnsr`: 3 floor, 5 room.
        pub tracked_sensor: i64 = "trackedSnsr" => lenient::integer,
        /// `lineVtg`.
        pub line_voltage: Volts = "lineVtg" => lenient::volts,
    }
}
