//! Air conditioner: an inverter controlled by infrared in whole degrees. It measures no power.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use super::{Control, Mode, Profile, Seen, Stamp};
use crate::device::message::{Hundredths, open_mcm};
use crate::device::room::Drive;

pub(super) const PROFILE: Profile = Profile {
    body_type: 2,
    sample: Duration::from_secs(30),
    idle_status: Duration::from_secs(420),
    live_status: Duration::from_secs(5),
    batch_version: None,
    // The remote control may restrict the range.
    setpoint: (1_600, 3_100, 100),
    modes: &[Mode::Off, Mode::Auto, Mode::Heat, Mode::Cool, Mode::FanOnly, Mode::Dry],
    reports_setpoint: false,
    reads_text_cmd: true,
    firmware: "1.0.0",
};

/// Coefficient of performance: heat per electrical energy.
const PERFORMANCE: f64 = 3.0;
const FAN_WATTS: f64 = 40.0;

pub(super) fn control(control: &mut Control, seen: &Seen) -> Drive {
    let short = seen.setpoint - seen.room;
    let wanted = match seen.mode {
        Mode::Heat => short.max(0.0),
        Mode::Cool => short.min(0.0),
        Mode::Auto if short.abs() > 0.7 => short,
        Mode::Dry => -0.3,
        Mode::Off | Mode::Auto | Mode::FanOnly => 0.0,
    };
    // Full power from an error of two kelvins; below a tenth of the power, the compressor is off.
    let part = (wanted / 2.0).clamp(-1.0, 1.0);
    control.duty = part.abs();
    control.on = control.duty > 0.05;
    let compressor = if control.on { part } else { 0.0 };
    Drive {
        electric: seen.rated * compressor.abs() + FAN_WATTS,
        heat: seen.rated * compressor * PERFORMANCE + FAN_WATTS,
        until: Duration::MAX,
    }
}

pub(super) fn write_status(out: &mut String, stamp: &Stamp, seen: &Seen) {
    open_mcm(out, stamp, stamp.time, 30, None);
    // Drying has no setpoint on a remote control, and the message has 0.
    let setpoint = if seen.mode == Mode::Dry { 0.0 } else { seen.setpoint };
    let _ = write!(
        out,
        "\"body\":{{\"ambTemp\":{},\"hum\":{},\"stpt\":{},\"mode\":{}}}}}",
        Hundredths::of(seen.room),
        Hundredths::of(seen.humidity),
        Hundredths::of(setpoint),
        seen.mode.wire(),
    );
}
