//! Baseboard V1: a triac that pulses the heater within each minute, in hundredths; it measures the current.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use super::{Mode, Profile, Pulse, Seen, Stamp};
use crate::device::message::Hundredths;

pub(super) const PROFILE: Profile = Profile {
    body_type: 1,
    sample: Duration::from_secs(30),
    idle_status: Duration::from_secs(600),
    live_status: Duration::from_secs(5),
    batch_version: Some(0),
    setpoint: (500, 3_000, 50),
    modes: &[Mode::Off, Mode::Heat],
    reports_setpoint: true,
    reads_text_cmd: true,
    firmware: "3.16.2.3",
};

pub(super) const PULSE: Pulse = Pulse { period: Duration::from_secs(60), gain: 0.8, steps: 100.0 };

pub(super) fn write_status(out: &mut String, stamp: &Stamp, seen: &Seen) {
    let current = if seen.on { seen.amperes } else { 0.0 };
    let _ = write!(
        out,
        "{{\"ComboTemp\":{},\"Current\":{},\"Device\":\"{}\",\"Humidity\":{},\"MainTemp\":{},\"MsgType\":0,\
         \"SetPoint\":{},\"Stream\":1,\"ThermistorTemp\":0.0,\"Timestamp\":{}}}",
        Hundredths::of(seen.sensor),
        Hundredths::of(current),
        stamp.device.as_str(),
        Hundredths::of(seen.humidity),
        Hundredths::of(seen.room),
        Hundredths::of(seen.setpoint),
        stamp.time,
    );
}
