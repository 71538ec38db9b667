//! The harmless messages besides commands. The numbers are written out here and nowhere taken from a caller: messages 5,
//! 7 and 40 to a thermostat reboot or unpair it, and event 2 updates its firmware, so nothing can build them.

use alloc::vec::Vec;

use crate::json::writer::Object;
use crate::{DeviceId, InvalidCommand, UnixTime};

/// Appends message 11: report live, about every five seconds, for `seconds` from 1 to 300. To be published to `/in` with
/// QoS 1. The vendor's app asks for 180 s and renews after 150 s. (mysa_client; mysa-js-sdk asks for 300 s.)
///
/// # Errors
///
/// [`InvalidCommand::LiveReportOutOfRange`] for any other length; nothing is appended.
pub fn encode_live_report(
    device: DeviceId,
    seconds: u32,
    time: UnixTime,
    out: &mut Vec<u8>,
) -> Result<(), InvalidCommand> {
    if !(1..=300).contains(&seconds) {
        return Err(InvalidCommand::LiveReportOutOfRange { asked: seconds });
    }
    let mut message = begin(device, 11, time, out);
    message.integer("Timeout", seconds.into());
    message.end();
    Ok(())
}

/// Appends message 6 with event 0: read your settings from the cloud again. To be published to `/in` with QoS 1 after
/// settings were written by REST. (mysotherm, mysa-js-sdk, Mysa_HA.)
pub fn encode_settings_nudge(device: DeviceId, time: UnixTime, out: &mut Vec<u8>) {
    let mut message = begin(device, 6, time, out);
    message.integer("EventType", 0);
    message.end();
}

/// Appends message 6 with event 4294967295: answer with message 5 and this `EchoID`, and do nothing else. To be
/// published to `/in` with QoS 1. (mysa_client, live on two Lites.)
pub fn encode_echo(device: DeviceId, echo_id: u32, time: UnixTime, out: &mut Vec<u8>) {
    let mut message = begin(device, 6, time, out);
    message.integer("EventType", u32::MAX.into());
    message.integer("EchoID", echo_id.into());
    message.end();
}

fn begin(device: DeviceId, number: i64, time: UnixTime, out: &mut Vec<u8>) -> Object<'_> {
    let mut message = Object::begin(out);
    message.string("Device", device.as_str());
    message.integer("Timestamp", time.as_secs());
    message.integer("MsgType", number);
    message
}
