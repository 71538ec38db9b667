//! Baseboard V2 Lite: a relay switched in tenths of a period of ten samples. It has no electrical measurements.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use super::{Mode, Profile, Pulse, Seen, Stamp};
use crate::device::message::{Hundredths, open_mcm};

pub(super) const PROFILE: Profile = Profile {
    body_type: 5,
    sample: Duration::from_secs(31),
    idle_status: Duration::from_secs(1_200),
    live_status: Duration::from_secs(5),
    batch_version: Some(3),
    setpoint: (500, 3_000, 50),
    modes: &[Mode::Off, Mode::Heat],
    reports_setpoint: true,
    reads_text_cmd: false,
    firmware: "3.17.5.13",
};

pub(super) const PULSE: Pulse = Pulse { period: Duration::from_secs(310), gain: 0.6, steps: 10.0 };

pub(super) fn write_status(out: &mut String, stamp: &Stamp, seen: &Seen) {
    open_mcm(out, stamp, stamp.time, 40, None);
    let _ = write!(
        out,
        "\"body\":{{\"ambTemp\":{},\"hum\":{},\"stpt\":{},\"dtyCycle\":{}}}}}",
        Hundredths::of(seen.room),
        Hundredths::of(seen.humidity),
        Hundredths::of(seen.setpoint),
        Hundredths::of(seen.duty),
    );
}
