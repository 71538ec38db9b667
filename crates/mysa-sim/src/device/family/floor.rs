//! Floor heating: a relay controlled by the floor sensor, or by the room sensor if so set.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use super::{Control, Mode, Profile, Seen, Stamp};
use crate::device::message::{Hundredths, open_mcm};
use crate::device::room::Drive;

pub(super) const PROFILE: Profile = Profile {
    body_type: 3,
    sample: Duration::from_secs(30),
    idle_status: Duration::from_secs(30),
    live_status: Duration::from_secs(5),
    batch_version: Some(1),
    setpoint: (500, 4_000, 50),
    // Mode 5 means heating by the room sensor here.
    modes: &[Mode::Off, Mode::Heat, Mode::FanOnly],
    reports_setpoint: false,
    reads_text_cmd: true,
    firmware: "1.4.2.0",
};

pub(super) fn control(control: &mut Control, seen: &Seen) -> Drive {
    let floor = seen.floor.unwrap_or(seen.room);
    let measured = if seen.tracked == 5 { seen.room } else { floor };
    let drive = control.bang(seen, measured, 0.3);
    if floor >= seen.floor_limit {
        // The limit protects the floor and overrides the setpoint.
        control.on = false;
        control.duty = 0.0;
        return Drive::OFF;
    }
    drive
}

pub(super) fn write_status(out: &mut String, stamp: &Stamp, seen: &Seen) {
    open_mcm(out, stamp, stamp.time, 17, None);
    // The duty cycle of a heated floor is the same in every capture and has no meaning.
    let _ = write!(
        out,
        "\"body\":{{\"ambTemp\":{},\"flrSnsrTemp\":{},\"hum\":{},\"stpt\":{},\"heatStat\":{},\"trackedSnsr\":{},\
         \"lineVtg\":{},\"dutyCycle\":0.5187}}}}",
        Hundredths::of(seen.room),
        Hundredths::of(seen.floor.unwrap_or(seen.room)),
        Hundredths::of(seen.humidity),
        Hundredths::of(seen.setpoint),
        u8::from(seen.on),
        seen.tracked,
        Hundredths::of(seen.volts),
    );
}
