//! Messages of thermostats, formatted as in captures.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::device::family::Stamp;
use crate::math::round;

/// A number with at most two decimals in the shortest form, as thermostats write it: `19.65`, `20.5`, `21`.
pub(crate) struct Hundredths(i64);

impl Hundredths {
    pub(crate) fn of(value: f64) -> Self {
        Self(round(value * 100.0))
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_char('-')?;
        }
        let (whole, part) = (self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100);
        write!(f, "{whole}")?;
        match (part / 10, part % 10) {
            (0, 0) => Ok(()),
            (tenths, 0) => write!(f, ".{tenths}"),
            (tenths, hundredths) => write!(f, ".{tenths}{hundredths}"),
        }
    }
}

/// Opens an envelope of the newer form, up to and including the comma after the ids.
pub(crate) fn open_mcm(out: &mut String, stamp: &Stamp, time: i64, number: u32, answers: Option<u64>) {
    let _ = write!(
        out,
        "{{\"ver\":\"1.0\",\"src\":{{\"type\":1,\"ref\":\"{}\"}},\"time\":{time},\"msg\":{number},\"id\":{},",
        stamp.device.as_str(),
        stamp.id
    );
    if let Some(request) = answers {
        let _ = write!(out, "\"resp_id\":{request},");
    }
}

/// `MsgType` 1: a change of the setpoint by the app (3) or at the thermostat (1).
pub(crate) fn write_setpoint_change(out: &mut String, stamp: &Stamp, before: f64, after: f64, source: u8) {
    let _ = write!(
        out,
        "{{\"Device\":\"{}\",\"MsgType\":1,\"Next\":{},\"Prev\":{},\"Source\":{source},\"Timestamp\":{}}}",
        stamp.device.as_str(),
        Hundredths::of(after),
        Hundredths::of(before),
        stamp.time
    );
}

/// `MsgType` 4: a log line. Line feeds are raw, which is not valid JSON, as in captures.
pub(crate) fn write_log(out: &mut String, stamp: &Stamp, message: &str) {
    let _ = write!(
        out,
        "{{\"Device\": \"{}\", \"Timestamp\": {}, \"MsgType\": 4, \"Level\": \"INFO\", \"Message\": \"{message}\"}}",
        stamp.device.as_str(),
        stamp.time
    );
}

/// `MsgType` 5: the answer to an echo request.
pub(crate) fn write_echo(out: &mut String, stamp: &Stamp, echo: i64) {
    let _ = write!(
        out,
        "{{\"Device\":\"{}\",\"Timestamp\":{},\"MsgType\":5,\"EchoID\":{echo}}}",
        stamp.device.as_str(),
        stamp.time
    );
}

/// `MsgType` 10: boot. Here `device` and `timestamp` are in lower case.
pub(crate) fn write_boot(out: &mut String, stamp: &Stamp, booted: i64, count: u32, firmware: &str, ip: &str) {
    let _ = write!(
        out,
        "{{\"device\":\"{}\",\"timestamp\":{},\"MsgType\":10,\"bootTime\":{booted},\"bootCount\":{count},\
         \"version\":\"{firmware}\",\"ip\":\"{ip}\"}}",
        stamp.device.as_str(),
        stamp.time
    );
}

/// Message 61: firmware at boot. The thermostat has no time yet and sends 0.
pub(crate) fn write_boot_firmware(out: &mut String, stamp: &Stamp, firmware: &str) {
    open_mcm(out, stamp, 0, 61, None);
    let _ = write!(out, "\"body\":{{\"fw\":\"{firmware}\"}}}}");
}

/// Message 16: the line voltage of a heated floor. Has no time.
pub(crate) fn write_floor_line(out: &mut String, stamp: &Stamp, before: i64, volts: i64, millivolts: i64) {
    open_mcm(out, stamp, 0, 16, None);
    let _ = write!(
        out,
        "\"body\":{{\"dutyCycle\":0.5187,\"prevLnVolt\":{before},\"currLnVolt\":{volts},\"currAveMVolt\":{millivolts},\
         \"gfciStatus\":0}}}}"
    );
}

/// Message 31: settings sent to the air conditioner.
pub(crate) fn write_ac_state(out: &mut String, stamp: &Stamp, state: &str) {
    open_mcm(out, stamp, stamp.time, 31, None);
    let _ = write!(out, "\"body\":{state}}}");
}

/// Message 3: batch readings.
pub(crate) fn write_batch(out: &mut String, stamp: &Stamp, records: &[u8]) {
    open_mcm(out, stamp, stamp.time, 3, None);
    out.push_str("\"body\":{\"readings\":\"");
    STANDARD.encode_string(records, out);
    out.push_str("\"}}");
}

/// One record of batch readings, in wire units.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) time: u32,
    /// Tenths of a degree.
    pub(crate) sensor: i16,
    pub(crate) ambient: i16,
    pub(crate) setpoint: i16,
    pub(crate) humidity: i8,
    /// Percent.
    pub(crate) duty: i8,
    /// Tenths of a second.
    pub(crate) on_time: i16,
    pub(crate) off_time: i16,
    pub(crate) heat_sink: i16,
    /// Tens of bytes.
    pub(crate) free_heap: u16,
    /// Negated dBm.
    pub(crate) rssi: i8,
    pub(crate) on: bool,
    pub(crate) volts: i16,
    /// Tens of milliamperes.
    pub(crate) current: i16,
}

impl Record {
    /// Appends the record in the format of `version` 0, 1 or 3; the XOR of all its bytes, including the checksum, is 0.
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0xca, 0xa0, version]);
        out.extend_from_slice(&self.time.to_le_bytes());
        for value in [self.sensor, self.ambient, self.setpoint] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&self.humidity.to_le_bytes());
        out.extend_from_slice(&self.duty.to_le_bytes());
        for value in [self.on_time, self.off_time, self.heat_sink] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&self.free_heap.to_le_bytes());
        out.extend_from_slice(&self.rssi.to_le_bytes());
        out.push(u8::from(self.on));
        if version >= 1 {
            out.extend_from_slice(&self.volts.to_le_bytes());
        }
        if version >= 3 {
            out.extend_from_slice(&self.current.to_le_bytes());
            out.extend_from_slice(&[0; 3]);
        }
        let checksum = out.get(start..).unwrap_or_default().iter().fold(0, |sum, byte| sum ^ byte);
        out.push(checksum);
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn numbers_are_as_short_as_a_thermostat_writes_them() {
        for (value, text) in
            [(19.65, "19.65"), (20.5, "20.5"), (21.0, "21"), (-0.05, "-0.05"), (0.0, "0"), (-12.0, "-12")]
        {
            assert_eq!(format!("{}", Hundredths::of(value)), text);
        }
    }

    #[test]
    fn a_record_is_encoded_as_captured() {
        let record = Record {
            time: 1_767_323_015,
            sensor: 231,
            ambient: 204,
            setpoint: 205,
            humidity: 38,
            duty: 50,
            on_time: 150,
            off_time: 150,
            heat_sink: 288,
            free_heap: 7_012,
            rssi: 57,
            on: true,
            volts: 243,
            current: 612,
        };
        let device = mysa_proto::DeviceId::new("a0b1c2d3e4f6").unwrap();
        let stamp = Stamp { device, time: 1_767_323_045, id: 7_100_200_300_400_500_601 };
        let (mut records, mut text) = (Vec::new(), String::new());
        record.encode(3, &mut records);
        write_batch(&mut text, &stamp, &records);
        assert_eq!(
            text,
            "{\"ver\":\"1.0\",\"src\":{\"type\":1,\"ref\":\"a0b1c2d3e4f6\"},\"time\":1767323045,\"msg\":3,\
             \"id\":7100200300400500601,\"body\":{\"readings\":\"yqADhzVXaecAzADNACYylgCWACABZBs5AfMAZAIAAADk\"}}"
        );
        for (version, len) in [(0, 26), (1, 28), (3, 33)] {
            records.clear();
            record.encode(version, &mut records);
            assert_eq!((records.len(), records.iter().fold(0, |sum, byte| sum ^ byte)), (len, 0));
        }
    }
}
