use crate::json::field::{self, fields};
use crate::{Celsius, DutyCycle, RelativeHumidity, Volts};

fields! { 'a;
    /// `msg` 40: status of a baseboard V2 or Lite. (Every witness.)
    ///
    /// It tells neither mode nor current. The fields may also stand one level deeper, in `reading` (mysa_client), and
    /// those of an in-floor thermostat have been expected here (mysa-js-sdk).
    #[non_exhaustive]
    pub struct Status {
        /// `ambTemp`: room temperature, corrected for the heat of the thermostat itself.
        pub ambient: Celsius = "ambTemp" => field::celsius,
        /// `hum` of the room.
        pub humidity: RelativeHumidity = "hum" => field::humidity,
        /// `stpt`.
        pub setpoint: Celsius = "stpt" => field::celsius,
        /// `dtyCycle`: mostly exactly 0 or 1.
        pub duty: DutyCycle = "dtyCycle" => field::duty,
        /// `flrSnsrTemp`: temperature of the floor probe.
        pub floor: Celsius = "flrSnsrTemp" => field::celsius,
        /// `heatStat`: whether the relay conducts.
        pub heating: bool = "heatStat" => field::flag,
        /// `trackedSnsr`: 3 floor, 5 room.
        pub tracked_sensor: i64 = "trackedSnsr" => field::integer,
        /// `lineVtg`.
        pub line_voltage: Volts = "lineVtg" => field::volts,
    }
}
