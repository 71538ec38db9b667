//! Baseboard V2: a relay, on below the setpoint and off above it.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use super::{Control, Mode, Profile, Seen, Stamp};
use crate::device::message::{Hundredths, open_mcm};
use crate::device::room::Drive;

pub(super) const PROFILE: Profile = Profile {
    body_type: 4,
    sample: Duration::from_secs(30),
    idle_status: Duration::from_secs(900),
    live_status: Duration::from_secs(5),
    batch_version: Some(3),
    setpoint: (500, 3_000, 50),
    modes: &[Mode::Off, Mode::Heat],
    reports_setpoint: false,
    reads_text_cmd: true,
    firmware: "3.17.4.1",
};

pub(super) fn control(control: &mut Control, seen: &Seen) -> Drive {
    control.bang(seen, seen.room, 0.15)
}

pub(super) fn write_status(out: &mut String, stamp: &Stamp, seen: &Seen) {
    open_mcm(out, stamp, stamp.time, 40, None);
    let _ = write!(
        out,
        "\"body\":{{\"ambTemp\":{},\"hum\":{},\"stpt\":{},\"dtyCycle\":{}}}}}",
        Hundredths::of(seen.room),
        Hundredths::of(seen.humidity),
        Hundredths::of(seen.setpoint),
        if seen.on { "1.0" } else { "0.0" },
    );
}
