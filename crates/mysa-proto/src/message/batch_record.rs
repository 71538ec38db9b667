use alloc::vec::Vec;
use core::time::Duration;

use crate::{Amperes, Celsius, DutyCycle, RelativeHumidity, UnixTime, Volts};

/// First bytes of a record.
pub(crate) const MAGIC: [u8; 2] = [0xCA, 0xA0];

/// Layout of a [`BatchRecord`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum BatchVersion {
    /// 0: baseboard, first generation.
    V0,
    /// 1: in-floor heating (mysotherm; a preliminary second generation according to another project).
    V1,
    /// 3: baseboard, second generation and Lite.
    V3,
}

impl BatchVersion {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
            Self::V3 => 3,
        }
    }

    /// Length of a record with magic and checksum, in bytes.
    #[must_use]
    pub const fn record_len(self) -> usize {
        match self {
            Self::V0 => 26,
            Self::V1 => 28,
            Self::V3 => 33,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            3 => Some(Self::V3),
            _ => None,
        }
    }
}

/// One sample.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct BatchRecord {
    /// Part that every version has.
    pub common: BatchCommon,
    /// Part that its version adds.
    pub tail: BatchTail,
}

/// Part that a version adds to [`BatchCommon`], in the units of the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BatchTail {
    /// Nothing.
    V0,
    /// Version 1.
    V1 {
        /// Line voltage in volts.
        volts: i16,
    },
    /// Version 3.
    V3 {
        /// Line voltage in volts.
        volts: i16,
        /// Current in units of 10 mA.
        centiamperes: i16,
        /// Three bytes of unknown meaning, usually 0.
        opaque: [u8; 3],
    },
}

/// Part of a sample that every version has. Fields are in the units of the wire; methods return typed values.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the layout of the wire")]
pub struct BatchCommon {
    /// Seconds since the Unix epoch.
    pub secs: u32,
    /// Temperature inside the case, tenths of a degree Celsius.
    pub sensor_tenths: i16,
    /// Temperature of the room, tenths of a degree Celsius.
    pub ambient_tenths: i16,
    /// Setpoint, tenths of a degree Celsius.
    pub setpoint_tenths: i16,
    /// Relative humidity, percent.
    pub humidity_percent: i8,
    /// Duty cycle, percent.
    pub duty_percent: i8,
    /// Time it conducted, in units of 100 ms.
    pub on_tenths: i16,
    /// Time it did not conduct, in units of 100 ms.
    pub off_tenths: i16,
    /// Temperature of the heat sink, tenths of a degree Celsius.
    pub heat_sink_tenths: i16,
    /// Free memory, units of 10 bytes.
    pub free_heap_tens: u16,
    /// Signal strength in dBm with the sign inverted; 1 on a second generation means unknown.
    pub rssi_negated: i8,
    /// True if it conducts, 0 or 1.
    pub on: i8,
}

impl BatchCommon {
    /// Time of the sample. `None` if the device had no clock.
    #[must_use]
    pub fn time(&self) -> Option<UnixTime> {
        UnixTime::from_wire(self.secs.into())
    }

    /// Temperature inside the case.
    #[must_use]
    pub fn sensor(&self) -> Option<Celsius> {
        tenths(self.sensor_tenths)
    }

    /// Temperature of the room.
    #[must_use]
    pub fn ambient(&self) -> Option<Celsius> {
        tenths(self.ambient_tenths)
    }

    /// Setpoint.
    #[must_use]
    pub fn setpoint(&self) -> Option<Celsius> {
        tenths(self.setpoint_tenths)
    }

    /// Temperature of the heat sink.
    #[must_use]
    pub fn heat_sink(&self) -> Option<Celsius> {
        tenths(self.heat_sink_tenths)
    }

    /// Relative humidity; `None` outside 0 to 100.
    #[must_use]
    pub fn humidity(&self) -> Option<RelativeHumidity> {
        RelativeHumidity::from_percent(self.humidity_percent.into())
    }

    /// Duty cycle; `None` outside 0 to 100 %.
    #[must_use]
    pub fn duty(&self) -> Option<DutyCycle> {
        DutyCycle::from_fraction(f64::from(self.duty_percent) / 100.0)
    }

    /// Time it conducted in the sample's period.
    #[must_use]
    pub fn on_time(&self) -> Option<Duration> {
        u64::try_from(self.on_tenths).ok().map(|tenths| Duration::from_millis(tenths * 100))
    }

    /// Time it did not conduct in the sample's period.
    #[must_use]
    pub fn off_time(&self) -> Option<Duration> {
        u64::try_from(self.off_tenths).ok().map(|tenths| Duration::from_millis(tenths * 100))
    }

    /// Free memory in bytes.
    #[must_use]
    pub fn free_heap(&self) -> u32 {
        u32::from(self.free_heap_tens) * 10
    }

    /// Signal strength in dBm; `None` for −1 dBm and above, which no receiver has.
    #[must_use]
    pub fn signal(&self) -> Option<i16> {
        (self.rssi_negated > 1).then(|| -i16::from(self.rssi_negated))
    }

    /// True if it conducts.
    #[must_use]
    pub const fn is_on(&self) -> Option<bool> {
        match self.on {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(crate) fn read(wire: &mut Wire<'_>) -> Option<Self> {
        Some(Self {
            secs: u32::from_le_bytes(wire.take()?),
            sensor_tenths: i16::from_le_bytes(wire.take()?),
            ambient_tenths: i16::from_le_bytes(wire.take()?),
            setpoint_tenths: i16::from_le_bytes(wire.take()?),
            humidity_percent: i8::from_le_bytes(wire.take()?),
            duty_percent: i8::from_le_bytes(wire.take()?),
            on_tenths: i16::from_le_bytes(wire.take()?),
            off_tenths: i16::from_le_bytes(wire.take()?),
            heat_sink_tenths: i16::from_le_bytes(wire.take()?),
            free_heap_tens: u16::from_le_bytes(wire.take()?),
            rssi_negated: i8::from_le_bytes(wire.take()?),
            on: i8::from_le_bytes(wire.take()?),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.secs.to_le_bytes());
        for tenths in [self.sensor_tenths, self.ambient_tenths, self.setpoint_tenths] {
            out.extend_from_slice(&tenths.to_le_bytes());
        }
        out.extend_from_slice(&self.humidity_percent.to_le_bytes());
        out.extend_from_slice(&self.duty_percent.to_le_bytes());
        for tenths in [self.on_tenths, self.off_tenths, self.heat_sink_tenths] {
            out.extend_from_slice(&tenths.to_le_bytes());
        }
        out.extend_from_slice(&self.free_heap_tens.to_le_bytes());
        out.extend_from_slice(&self.rssi_negated.to_le_bytes());
        out.extend_from_slice(&self.on.to_le_bytes());
    }
}

impl BatchRecord {
    /// Its layout.
    #[must_use]
    pub const fn version(&self) -> BatchVersion {
        match self.tail {
            BatchTail::V0 => BatchVersion::V0,
            BatchTail::V1 { .. } => BatchVersion::V1,
            BatchTail::V3 { .. } => BatchVersion::V3,
        }
    }

    /// Line voltage, if the version has it.
    #[must_use]
    pub fn voltage(&self) -> Option<Volts> {
        match self.tail {
            BatchTail::V0 => None,
            BatchTail::V1 { volts } | BatchTail::V3 { volts, .. } => Volts::from_volts(volts.into()),
        }
    }

    /// Current, if the version has it. A Lite has no sensor and reports 0.
    #[must_use]
    pub fn current(&self) -> Option<Amperes> {
        match self.tail {
            BatchTail::V3 { centiamperes, .. } => Amperes::from_amperes(f64::from(centiamperes) / 100.0),
            _ => None,
        }
    }

    /// Appends the record, magic and checksum included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(self.version().number());
        self.common.write(out);
        match self.tail {
            BatchTail::V0 => {}
            BatchTail::V1 { volts } => out.extend_from_slice(&volts.to_le_bytes()),
            BatchTail::V3 { volts, centiamperes, opaque } => {
                out.extend_from_slice(&volts.to_le_bytes());
                out.extend_from_slice(&centiamperes.to_le_bytes());
                out.extend_from_slice(&opaque);
            }
        }
        out.push(out.get(start..).map_or(0, xor));
    }

    /// Record at the front of `bytes`. `None` if it is incomplete, of an unknown version, or has a wrong checksum.
    pub(crate) fn at_front(bytes: &[u8]) -> Option<Self> {
        let version = BatchVersion::from_number(*bytes.strip_prefix(&MAGIC)?.first()?)?;
        let record = bytes.get(..version.record_len())?;
        if xor(record) != 0 {
            return None;
        }
        let mut wire = Wire(record.get(3..)?);
        let common = BatchCommon::read(&mut wire)?;
        let tail = match version {
            BatchVersion::V0 => BatchTail::V0,
            BatchVersion::V1 => BatchTail::V1 { volts: i16::from_le_bytes(wire.take()?) },
            BatchVersion::V3 => BatchTail::V3 {
                volts: i16::from_le_bytes(wire.take()?),
                centiamperes: i16::from_le_bytes(wire.take()?),
                opaque: wire.take()?,
            },
        };
        Some(Self { common, tail })
    }
}

fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

fn tenths(tenths: i16) -> Option<Celsius> {
    Celsius::from_degrees(f64::from(tenths) / 10.0)
}

/// Reader of the fields of a record.
pub(crate) struct Wire<'a>(pub(crate) &'a [u8]);

impl Wire<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}
