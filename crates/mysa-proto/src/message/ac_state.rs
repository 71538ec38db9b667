use crate::Celsius;
use crate::json::field::{self, fields};

fields! { 'a;
    /// `msg` 31: settings of an air conditioner under numbered keys, often only the mode. (Mysa_HA alone.)
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
