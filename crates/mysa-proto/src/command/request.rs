//! Harmless messages to a thermostat besides commands. The message numbers are constants and never arguments: messages
//! 5, 7 and 40 reboot or unpair a thermostat and event 2 updates its firmware, so none of them can be built.

use alloc::vec::Vec;

use crate::json::writer::Object;
use crate::{DeviceId, InvalidCommand, UnixTime};

/// Appends message 11, which requests a report about every five seconds for `seconds`, 1 to 300. Publish it to `/in`
/// with QoS 1. The vendor's app requests 180 s and renews after 150 s. (mysa_client; mysa-js-sdk requests 300 s.)
///
/// # Errors
///
/// [`InvalidCommand::LiveReportOutOfRange`] for any other duration; nothing is appended.
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

/// Appends message 6 with event 0, which makes the thermostat fetch its settings from the cloud. Publish it to `/in`
/// with QoS 1 after settings were written by REST. (mysotherm, mysa-js-sdk, Mysa_HA.)
pub fn encode_settings_nudge(device: DeviceId, time: UnixTime, out: &mut Vec<u8>) {
    let mut message = begin(device, 6, time, out);
    message.integer("EventType", 0);
    message.end();
}

/// Appends message 6 with event 4294967295, which the thermostat answers with message 5 and the same `EchoID`, without
/// any other effect. Publish it to `/in` with QoS 1. (mysa_client, live on two Lites.)
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
