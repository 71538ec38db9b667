//! Flat fields of all `MsgType` messages. The message number may come after the fields that it gives a
//! meaning to, so one pass reads the fields of every message.

use crate::json::field::{self, fields};
use crate::{Amperes, Celsius, JsonStr, RelativeHumidity, Trigger, UnixTime, Volts};

fields! { 'a;
    pub(crate) struct Flat<'a> {
        pub(crate) msg_type: i64 = "MsgType" => field::integer,
        pub(crate) timestamp: UnixTime = "Timestamp" | "timestamp" => field::time,
        pub(crate) device: JsonStr<'a> = "Device" | "device" => field::text,
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
        // Not fields of `MsgType` messages: some firmware writes them beside the body of other messages.
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
    /// `MsgType` 10: report of a start. (Mysa_HA, mysa-js-sdk, mysa_client.)
    pub struct Boot<'a> {
        /// `bootTime`.
        pub time: UnixTime = "bootTime" => boot_time,
        /// `bootCount`: number of starts.
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
    /// According to one witness, message 5 *to* a device resets its pairing, so it is never sent.
    pub struct EchoReply {
        /// `EchoID` of the request.
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}

legacy_body! { 'a;
    /// `MsgType` 6 to a device: a request of the kind in `EventType`. (mysotherm, mysa-js-sdk, Mysa_HA, mysa_client.)
    pub struct Event {
        /// `EventType` as received; see [`Event::kind`].
        pub event_type: i64 = "EventType" => event_type,
        /// `EchoID`, with [`EventKind::Echo`].
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}

/// Kind of request in an [`Event`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// 0: fetch the settings from the cloud again.
    SettingsCheck,
    /// 2: check for a firmware update and install it.
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
    /// `MsgType` 11 to a device: request to report every few seconds for a limited time. (mysotherm, mysa-js-sdk,
    /// mysa_client, Mysa_HA.)
    pub struct LiveReport {
        /// `Timeout`: duration in seconds. No message that stops it earlier is known.
        pub timeout_secs: u32 = "Timeout" => timeout,
    }
}

legacy_body! { 'a;
    /// `MsgType` 4: a line of the device's log. (mysotherm, mysa-js-sdk, Mysa_HA.)
    pub struct Log<'a> {
        /// `Level`: `INFO`, `WARN`, `ERROR`, `DEBUG`.
        pub level: JsonStr<'a> = "Level" => level,
        /// `Message`: may have several lines; devices write line feeds without escaping them.
        pub message: JsonStr<'a> = "Message" => message,
    }
}

impl<'a> Log<'a> {
    /// Firmware version in a line such as `api got version 3.17.5.13`.
    #[must_use]
    pub fn firmware(&self) -> Option<&'a str> {
        self.word_after("version ")
            .filter(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// Address on the local network in a line such as `Local IP: 192.0.2.17`.
    #[must_use]
    pub fn ip(&self) -> Option<&'a str> {
        self.word_after("Local IP: ")
    }

    /// Serial number in a line such as `Device Serial: SN00000000`.
    #[must_use]
    pub fn serial(&self) -> Option<&'a str> {
        self.word_after("Device Serial: ")
    }

    /// Text after `label` up to white space, raw or escaped.
    fn word_after(&self, label: &str) -> Option<&'a str> {
        let (_, rest) = self.message?.as_raw().split_once(label)?;
        let word = rest.split(|c: char| c.is_whitespace() || c.is_control() || c == '\\').next()?;
        (!word.is_empty()).then_some(word)
    }
}

legacy_body! { 'a;
    /// `MsgType` 40 to a device: **unpairs it from its account**; it restarts in pairing mode about 30 seconds later.
    ///
    /// Decoded so that the message of another client is recognised. This crate cannot write one. (mysotherm.)
    pub struct PairingReset {
        /// `EchoID`.
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}

legacy_body! { 'a;
    /// `MsgType` 1: change of the setpoint, with its trigger. (mysotherm, mysa-js-sdk, hubitat.)
    pub struct SetpointChange {
        /// `Prev`.
        pub previous: Celsius = "Prev" => prev,
        /// `Next`.
        pub next: Celsius = "Next" => next,
        /// `Source` as received; see [`SetpointChange::trigger`].
        pub source: i64 = "Source" => source,
    }
}

impl SetpointChange {
    /// Trigger of the change, by the labels of mysotherm (3 app, 1 button). An older enumeration in the vendor's app
    /// has 0 for manual and 1 for schedule.
    #[must_use]
    pub fn trigger(&self) -> Option<Trigger> {
        self.source.map(Trigger::from_number)
    }
}

legacy_body! { 'a;
    /// `MsgType` 0: status of a baseboard V1. (mysotherm, mysa-js-sdk, hubitat.)
    pub struct V1Status {
        /// `MainTemp`: room temperature, corrected for the thermostat's own heat.
        pub ambient: Celsius = "MainTemp" => main_temp,
        /// `ComboTemp`: uncorrected temperature of the sensor.
        pub sensor: Celsius = "ComboTemp" => combo_temp,
        /// `ThermistorTemp`: 0 °C on units without the part.
        pub thermistor: Celsius = "ThermistorTemp" => thermistor_temp,
        /// `Humidity` of the room.
        pub humidity: RelativeHumidity = "Humidity" => humidity,
        /// `Current`: instantaneous current, 0 while the triac is off.
        pub current: Amperes = "Current" => current,
        /// `SetPoint`.
        pub setpoint: Celsius = "SetPoint" => set_point,
        /// `Stream`: 1 in every capture.
        pub stream: i64 = "Stream" => stream,
    }
}
