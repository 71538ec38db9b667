//! The flat fields of all `MsgType` messages together. In these the number may stand behind the fields it explains, so
//! that one pass has to read them all.

use crate::json::field::{self, fields};
use crate::{Amperes, Celsius, JsonStr, RelativeHumidity, UnixTime, Volts};

fields! { 'a;
    pub(crate) struct Flat<'a> {
        pub(crate) main_temp: Celsius = "MainTemp" => field::celsius,
        pub(crate) combo_temp: Celsius = "ComboTemp" => field::celsius,
        pub(crate) thermistor_temp: Celsius = "ThermistorTemp" => field::celsius,
        pub(crate) humidity: RelativeHumidity = "Humidity" => field::humidity,
        pub(crate) current: Amperes = "Current" => field::amperes,
        pub(crate) set_point: Celsius = "SetPoint" => field::celsius,
        pub(crate) stream: i64 = "Stream" => field::integer,
        pub(crate) prev: Celsius = "Prev" => field::celsius,
        pub(crate) next: Celsius = "Next" => field::celsius,
        pub(crate) source: i64 = "Source" => field::integer,
        pub(crate) level: JsonStr<'a> = "Level" => field::text,
        pub(crate) message: JsonStr<'a> = "Message" => field::text,
        pub(crate) echo_id: i64 = "EchoID" => field::integer,
        pub(crate) event_type: i64 = "EventType" => field::integer,
        pub(crate) boot_time: UnixTime = "bootTime" => field::time,
        pub(crate) boot_count: i64 = "bootCount" => field::integer,
        pub(crate) ip: JsonStr<'a> = "ip" => field::text,
        pub(crate) timeout: u32 = "Timeout" => field::seconds,
        // Not of `MsgType` messages: what some firmware writes beside the body of others.
        pub(crate) version: JsonStr<'a> = "version" => field::text,
        pub(crate) heat_stat: bool = "heatStat" => field::flag,
        pub(crate) line_voltage: Volts = "lineVtg" => field::volts,
        pub(crate) readings: JsonStr<'a> = "readings" => field::text,
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

            pub(crate) fn from_flat(_flat: &$crate::message::legacy::Flat<$lt>) -> Self {
                Self { $( $field: _flat.$slot, )* }
            }
        }
    };
}
pub(crate) use legacy_body;
