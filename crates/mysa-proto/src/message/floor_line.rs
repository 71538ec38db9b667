use crate::json::field::{self, fields};
use crate::{DutyCycle, Volts};

fields! { 'a;
    /// `msg` 16: line report of an in-floor thermostat. Carries no time. (mysotherm.)
    #[non_exhaustive]
    pub struct FloorLine {
        /// `prevLnVolt`.
        pub previous_line_voltage: Volts = "prevLnVolt" => field::volts,
        /// `currLnVolt`.
        pub line_voltage: Volts = "currLnVolt" => field::volts,
        /// `currAveMVolt`, in millivolts; of what is not known.
        pub average_millivolts: f64 = "currAveMVolt" => field::quantity,
        /// `gfciStatus`: ground fault interrupter.
        pub gfci_status: i64 = "gfciStatus" => field::integer,
        /// `dutyCycle`: about 0.52 whatever the relay does. Not to be believed.
        pub untrusted_duty: DutyCycle = "dutyCycle" => field::duty,
    }
}
