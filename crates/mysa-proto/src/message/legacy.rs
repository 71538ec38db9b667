//! The flat fields of all `MsgType` messages together. In these the number may stand behind the fields it explains, so
//! that one pass has to read them all.

use crate::json::field::{self, fields};
use crate::{Amperes, Celsius, JsonStr, RelativeHumidity, Trigger, UnixTime, Volts};

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

legacy_body! { 'a;
    /// `MsgType` 10: the device has started. (Mysa_HA, mysa-js-sdk, mysa_client.)
    pub struct Boot<'a> {
        /// `bootTime`.
        pub time: UnixTime = "bootTime" => boot_time,
        /// `bootCount`: how often it has started.
        pub count: i64 = "bootCount" => boot_count,
        /// `version` of the firmware.
        pub firmware: JsonStr<'a> = "version" => version,
        /// `ip`: address on the local network.
        pub ip: JsonStr<'a> = "ip" => ip,
    }
}

legacy_body! { 'a;
    /// `MsgType` 5: the device's answer to an echo request, and to a pairing reset. (mysa_client live, mysotherm.)
    ///
    /// One witness calls 5 *to* a device a pairing reset, so it is never sent.
    pub struct EchoReply {
        /// `EchoID` of the request.
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}

legacy_body! { 'a;
    /// `MsgType` 6, to a device: do something. (mysotherm, mysa-js-sdk, Mysa_HA, mysa_client.)
    pub struct Event {
        /// `EventType` as it came; see [`Event::kind`].
        pub event_type: i64 = "EventType" => event_type,
        /// `EchoID`, with [`EventKind::Echo`].
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}

/// Request of an [`Event`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// 0: read the settings again from the cloud.
    SettingsCheck,
    /// 2: look for a firmware update and install it.
    FirmwareTrigger,
    /// 4294967295: answer with `MsgType` 5. Harmless.
    Echo,
    /// A number that no witness names.
    Other(i64),
}

impl Event {
    /// The request.
    #[must_use]
    pub fn kind(&self) -> Option<EventKind> {
        self.event_type.map(|number| match number {
            0 => EventKind::SettingsCheck,
            2 => EventKind::FirmwareTrigger,
            0xFFFF_FFFF => EventKind::Echo,
            other => EventKind::Other(other),
        })
    }
}

legacy_body! { 'a;
    /// `MsgType` 11, to a device: report every few seconds for a while. (mysotherm, mysa-js-sdk, mysa_client, Mysa_HA.)
    pub struct LiveReport {
        /// `Timeout`: for how many seconds. No message that stops it is known.
        pub timeout_secs: u32 = "Timeout" => timeout,
    }
}

legacy_body! { 'a;
    /// `MsgType` 4: a line of the device's log. (mysotherm, mysa-js-sdk, Mysa_HA.)
    pub struct Log<'a> {
        /// `Level`: `INFO`, `WARN`, `ERROR`, `DEBUG`.
        pub level: JsonStr<'a> = "Level" => level,
        /// `Message`: may span lines; devices write the line feeds raw.
        pub message: JsonStr<'a> = "Message" => message,
    }
}

impl<'a> Log<'a> {
    /// The firmware version, where the line tells it: `api got version 3.17.5.13`.
    #[must_use]
    pub fn firmware(&self) -> Option<&'a str> {
        self.word_after("version ")
            .filter(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// The address on the local network, where the line tells it: `Local IP: 192.0.2.17`.
    #[must_use]
    pub fn ip(&self) -> Option<&'a str> {
        self.word_after("Local IP: ")
    }

    /// The serial number, where the line tells it: `Device Serial: SN00000000`.
    #[must_use]
    pub fn serial(&self) -> Option<&'a str> {
        self.word_after("Device Serial: ")
    }

    /// The text after `label` up to white space, raw or escaped.
    fn word_after(&self, label: &str) -> Option<&'a str> {
        let (_, rest) = self.message?.as_raw().split_once(label)?;
        let word = rest.split(|c: char| c.is_whitespace() || c.is_control() || c == '\\').next()?;
        (!word.is_empty()).then_some(word)
    }
}

legacy_body! { 'a;
    /// `MsgType` 40, to a device: **it forgets its account** and restarts in pairing mode about 30 seconds later.
    ///
    /// Decoded so that it is recognised when somebody else sends it. Nothing in this crate can write one. (mysotherm.)
    pub struct PairingReset {
        /// `EchoID`.
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}

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
    /// The trigger of the change, by the labels of mysotherm (3 app, 1 button). An older enumeration in the vendor's app reads 0
    /// as the device by hand and 1 as the device by schedule.
    #[must_use]
    pub fn trigger(&self) -> Option<Trigger> {
        self.source.map(Trigger::from_number)
    }
}

legacy_body! { 'a;
    /// `MsgType` 0: status of a baseboard V1. (mysotherm, mysa-js-sdk, hubitat.)
    pub struct V1Status {
        /// `MainTemp`: room temperature, corrected for the heat of the thermostat itself.
        pub ambient: Celsius = "MainTemp" => main_temp,
        /// `ComboTemp`: temperature of the sensor, uncorrected.
        pub sensor: Celsius = "ComboTemp" => combo_temp,
        /// `ThermistorTemp`: 0 °C on units without the part.
        pub thermistor: Celsius = "ThermistorTemp" => thermistor_temp,
        /// `Humidity` of the room.
        pub humidity: RelativeHumidity = "Humidity" => humidity,
        /// `Current`: at this moment, so 0 while the triac is off.
        pub current: Amperes = "Current" => current,
        /// `SetPoint`.
        pub setpoint: Celsius = "SetPoint" => set_point,
        /// `Stream`: 1 in every capture.
        pub stream: i64 = "Stream" => stream,
    }
}
