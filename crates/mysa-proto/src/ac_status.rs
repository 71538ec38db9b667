use crate::lenient::{self, fields};
use crate::{Celsius, RelativeHumidity};

fields! { 'a;
    /// `msg` 30: status of an air conditioner. (mysa-js-sdk, Mysa_HA.) Mysa_HA also saw the numbered keys of
    /// [`AcState`](crate::AcState) in it.
    #[non_exhaustive]
    pub struct AcStatus {
        /// `ambTemp`: room temperature.
        pub ambient: Celsius = "ambTemp" => lenient::celsius,
        /// `hum` of the room.
        pub humidity: RelativeHumidity = "hum" => lenient::humidity,
        /// `stpt`; 0 °C in modes that have none.
        pub setpoint: Celsius = "stpt" | "3" => lenient::celsius,
        /// `mode`, by number.
        pub mode: i64 = "mode" | "2" => lenient::integer,
        /// `4`: fan speed, by number.
        pub fan: i64 = "4" => lenient::integer,
        /// `5`: vertical swing, by number.
        pub swing: i64 = "5" => lenient::integer,
    }
}
