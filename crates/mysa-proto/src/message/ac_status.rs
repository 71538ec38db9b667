use crate::json::field::{self, fields};
use crate::{Celsius, RelativeHumidity};

fields! { 'a;
    /// `msg` 30: status of an air conditioner. (mysa-js-sdk, Mysa_HA.) Mysa_HA also saw the numbered keys of
    /// [`AcState`](crate::AcState) in it.
    #[non_exhaustive]
    pub struct AcStatus {
        /// `ambTemp`: room temperature.
        pub ambient: Celsius = "ambTemp" => field::celsius,
        /// `hum` of the room.
        pub humidity: RelativeHumidity = "hum" => field::humidity,
        /// `stpt`; 0 °C in modes that have none.
        pub setpoint: Celsius = "stpt" | "3" => field::celsius,
        /// `mode`, by number.
        pub mode: i64 = "mode" | "2" => field::integer,
        /// `4`: fan speed, by number.
        pub fan: i64 = "4" => field::integer,
        /// `5`: vertical swing, by number.
        pub swing: i64 = "5" => field::integer,
    }
}
