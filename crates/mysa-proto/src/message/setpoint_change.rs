use crate::message::legacy::legacy_body;
use crate::{Celsius, Trigger};

legacy_body! { 'a;
    /// `MsgType` 1: the setpoint was changed, and by whom. (mysotherm, mysa-js-sdk, hubitat.)
    pub struct SetpointChange {
        /// `Prev`.
        pub previous: Celsius = "Prev" => prev,
        /// `Next`.
        pub next: Celsius = "Next" => next,
        /// `Source` as it came; see [`SetpointChange::trigger`].
        pub source: i64 = "Source" => source,
    }
}

impl SetpointChange {
    /// Who changed it, by the labels of mysotherm (3 app, 1 button). An older enumeration in the vendor's app reads 0
    /// as the device by hand and 1 as the device by schedule.
    #[must_use]
    pub fn trigger(&self) -> Option<Trigger> {
        self.source.map(Trigger::from_number)
    }
}
