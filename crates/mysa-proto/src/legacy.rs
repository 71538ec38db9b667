//! The flat fields of all `MsgType` messages together. In these the number may stand behind the fields it explains, so
//! that one pass has to read them all.

use crate::lenient::{self, fields};
use crate::{Amperes, Celsius, JsonStr, RelativeHumidity, UnixTime, Volts};

fields! { 'a;
    pub(crate) struct Flat<'a> {
        pub(crate) main_temp: Celsius = "MainTemp" => lenient::celsius,
        pub(crate) combo_temp: Celsius = "ComboTemp" => lenient::celsius,
        pub(crate) thermistor_temp: Celsius = "ThermistorTemp" => lenient::celsius,
        pub(crate) humidity: RelativeHumidity = "Humidity" => lenient::humidity,
        pub(crate) current: Amperes = "Current" => lenient::amperes,
        pub(crate) set_point: Celsius = "SetPoint" => lenient::celsius,
        pub(crate) stream: i64 = "Stream" => lenient::integer,
        pub(crate) prev: Celsius = "Prev" => lenient::celsius,
        pub(crate) next: Celsius = "Next" => lenient::celsius,
        pub(crate) source: i64 = "Source" => lenient::integer,
        pub(crate) level: JsonStr<'a> = "Level" => lenient::text,
        pub(crate) message: JsonStr<'a> = "Message" => lenient::text,
        pub(crate) echo_id: i64 = "EchoID" => lenient::integer,
        pub(crate) event_type: i64 = "EventType" => lenient::integer,
        pub(crate) boot_time: UnixTime = "bootTime" => lenient::time,
        pub(crate) boot_count: i64 = "bootCount" => lenient::integer,
        pub(crate) ip: JsonStr<'a> = "ip" => lenient::text,
        pub(crate) timeout: u32 = "Timeout" => lenient::seconds,
        // Not of `MsgType` messages: what some firmware writes beside the body of others.
        pub(crate) version: JsonStr<'a> = "version" => lenient::text,
        pub(crate) heat_stat: bool = "heatStat" => lenient::flag,
        pub(crate) line_voltage: Volts = "lineVtg" => lenient::volts,
        pub(crate) readings: JsonStr<'a> = "readings" => lenient::text,
    }
}

/// Declares the body of a `MsgType` message as a selection of the flat fields.
macro_rules! legacy_body {
    (
        $lt:lifetime;
        $(#[$meta:meta])*
        pub struct $name:ident $(<$gen:lifetime>)? {
            $( $(#[$doc:meta])* pub $field:ident: $ty:ty = $key:literal => $slot:ident, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name $(<$gen>)? { $( $(#[$doc])* pub $field: Option<$ty>, )* }

        impl<$lt> $name $(<$gen>)? {
            pub(crate) const KEYS: &'static [&'static str] = &[$($key),*];

            pub(crate) fn from_flat(_flat: &$crate::legacy::Flat<$lt>) -> Self {
                Self { $( $field: _flat.$slot, )* }
            }
        }
    };
}
pub(crate) use legacy_body;
