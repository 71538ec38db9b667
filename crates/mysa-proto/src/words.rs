use alloc::vec::Vec;

use crate::state::{Clock, is_later};
use crate::{
    Amperes, Brightness, Celsius, DutyCycle, FanSpeed, Field, Hold, Mode, Received, RelativeHumidity, Source,
    StateField, Swing, TrackedSensor, UnixTime, Volts, Watts,
};

/// The latest word of each clock about each field, in little room: a device is one of thousands, says much at a time and
/// is never heard on most of the eighty-eight things it could be heard on.
#[derive(Clone, Default)]
pub(crate) struct Words {
    words: Vec<Word>,
    /// Who said it and when, shared by all that was said at once.
    stamps: Vec<Stamp>,
}

/// A value in nine bytes, and where the rest about it is found.
#[derive(Clone, Copy)]
struct Word {
    bits: u64,
    tag: u8,
    field: StateField,
    clock: Clock,
    stamp: u8,
}

#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    source: Source,
    at: Option<UnixTime>,
    received: Received,
}

impl Words {
    /// None, with room for what a status and an acknowledgement say.
    pub(crate) fn with_room() -> Self {
        Self { words: Vec::with_capacity(12), stamps: Vec::with_capacity(3) }
    }

    /// All that was said about a field.
    pub(crate) fn about<T: Packed>(&self, field: StateField) -> impl Iterator<Item = Field<T>> + '_ {
        self.words.iter().filter(move |word| word.field == field).filter_map(|word| self.read(word))
    }

    fn read<T: Packed>(&self, word: &Word) -> Option<Field<T>> {
        let stamp = self.stamps.get(usize::from(word.stamp))?;
        let value = T::unpack(word.tag, word.bits)?;
        Some(Field { value, source: stamp.source, at: stamp.at, received: stamp.received })
    }

    /// Keeps a word if it is later than the one it would replace.
    pub(crate) fn insert<T: Packed>(&mut self, name: StateField, field: Field<T>) {
        let clock = Clock::of(&field);
        let place = self.words.iter().position(|word| word.field == name && word.clock == clock);
        if let Some(latest) = place.and_then(|at| self.words.get(at)).and_then(|word| self.read(word))
            && !is_later(&field, &latest)
        {
            return;
        }
        let stamp = self.stamp(Stamp { source: field.source, at: field.at, received: field.received });
        let (tag, bits) = field.value.pack();
        let word = Word { bits, tag, field: name, clock, stamp };
        match place.and_then(|at| self.words.get_mut(at)) {
            Some(latest) => *latest = word,
            None => {
                self.words.reserve_exact(1);
                self.words.push(word);
            }
        }
    }

    /// The place of a stamp: where it is already, where one stood that is not needed any more, or a new one. There are
    /// never more than words, of which there are fewer than 256.
    fn stamp(&mut self, stamp: Stamp) -> u8 {
        let Self { words, stamps } = self;
        let place = stamps.iter().rposition(|other| *other == stamp).or_else(|| {
            let mut needed = [false; 256];
            words.iter().for_each(|word| needed[usize::from(word.stamp)] = true);
            let free = needed.iter().take(stamps.len()).position(|needed| !needed)?;
            if let Some(place) = stamps.get_mut(free) {
                *place = stamp;
            }
            Some(free)
        });
        let place = place.unwrap_or_else(|| {
            stamps.reserve_exact(1);
            stamps.push(stamp);
            stamps.len() - 1
        });
        u8::try_from(place).unwrap_or(u8::MAX)
    }
}

/// A value that fits into nine bytes and comes out as it went in.
pub(crate) trait Packed: Copy + PartialOrd {
    fn pack(self) -> (u8, u64);
    fn unpack(tag: u8, bits: u64) -> Option<Self>;
}

macro_rules! pack_as_float {
    ($($name:ident $to:ident $from:ident,)*) => {$(
        impl Packed for $name {
            fn pack(self) -> (u8, u64) {
                (0, self.$to().to_bits())
            }

            fn unpack(_: u8, bits: u64) -> Option<Self> {
                Self::$from(f64::from_bits(bits))
            }
        }
    )*};
}
pack_as_float! {
    DutyCycle as_fraction from_fraction,
    RelativeHumidity as_percent from_percent,
    Watts as_watts from_watts,
    Amperes as_amperes from_amperes,
    Volts as_volts from_volts,
}

macro_rules! pack {
    ($($type:ty: $value:ident => $pack:expr, ($tag:ident, $bits:ident) => $unpack:expr;)*) => {$(
        impl Packed for $type {
            fn pack(self) -> (u8, u64) {
                let $value = self;
                $pack
            }

            fn unpack($tag: u8, $bits: u64) -> Option<Self> {
                $unpack
            }
        }
    )*};
}
pack! {
    bool: value => (u8::from(value), 0), (tag, _bits) => Some(tag != 0);
    i16: value => (0, u64::from(value.cast_unsigned())), (_tag, bits) => u16::try_from(bits).ok().map(u16::cast_signed);
    Celsius: value => (0, u64::from(value.as_hundredths().cast_unsigned())),
        (_tag, bits) => u32::try_from(bits).ok().map(|bits| Self::from_hundredths(bits.cast_signed()));
    FanSpeed: value => (value.code(), 0), (tag, _bits) => Some(Self::from_code(tag));
    Swing: value => (value.code(), 0), (tag, _bits) => Some(Self::from_code(tag));
    TrackedSensor: value => (0, value.number().cast_unsigned()),
        (_tag, bits) => Self::from_number(bits.cast_signed());
    Mode: value => match value {
            Self::Other(number) => (u8::MAX, number.cast_unsigned()),
            named => (Self::NAMED.iter().position(|other| *other == named).map_or(u8::MAX, |at| at as u8), 0),
        },
        (tag, bits) => match tag {
            u8::MAX => Some(Self::Other(bits.cast_signed())),
            tag => Self::NAMED.get(usize::from(tag)).copied(),
        };
    Hold: value => match value {
            Self::FollowSchedule => (0, 0),
            Self::Permanent => (1, 0),
            Self::Until(end) => (2, end.as_millis().cast_unsigned()),
        },
        (tag, bits) => match tag {
            0 => Some(Self::FollowSchedule),
            1 => Some(Self::Permanent),
            _ => Some(Self::Until(UnixTime::from_millis(bits.cast_signed()))),
        };
    Brightness: value => {
            let Self { auto, active, idle, active_seconds, idle_seconds } = value;
            let present = [auto.is_some(), active.is_some(), idle.is_some(), active_seconds.is_some(), idle_seconds.is_some()];
            let tag = present.iter().fold(0, |tag, present| tag << 1 | u8::from(*present));
            let bits = u64::from(auto.unwrap_or_default())
                | u64::from(active.unwrap_or_default()) << 8
                | u64::from(idle.unwrap_or_default()) << 16
                | u64::from(active_seconds.unwrap_or_default()) << 24
                | u64::from(idle_seconds.unwrap_or_default()) << 40;
            (tag, bits)
        },
        (tag, bits) => {
            let [auto, active, idle, active_low, active_high, idle_low, idle_high, _] = bits.to_le_bytes();
            let has = |bit: u8| tag & bit != 0;
            Some(Self {
                auto: has(16).then_some(auto != 0),
                active: has(8).then_some(active),
                idle: has(4).then_some(idle),
                active_seconds: has(2).then_some(u16::from_le_bytes([active_low, active_high])),
                idle_seconds: has(1).then_some(u16::from_le_bytes([idle_low, idle_high])),
            })
        };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<T: Packed + core::fmt::Debug>(values: impl IntoIterator<Item = T>) {
        for value in values {
            let (tag, bits) = value.pack();
            assert_eq!(T::unpack(tag, bits), Some(value));
        }
    }

    #[test]
    fn every_kind_of_value_comes_out_as_it_went_in() {
        survives([true, false]);
        survives([i16::MIN, -60, 0, i16::MAX]);
        survives([i32::MIN, -1, 0, 2_150, i32::MAX].map(Celsius::from_hundredths));
        survives([0.0, 0.42, 1.0].into_iter().filter_map(DutyCycle::from_fraction));
        survives([0, 1, 255].map(FanSpeed::from_code));
        survives([0, 3, 255].map(Swing::from_code));
        survives([TrackedSensor::Ambient, TrackedSensor::Floor]);
        survives(Mode::NAMED);
        survives([i64::MIN, -1, 0, 255, i64::MAX].map(Mode::Other));
        survives([Hold::FollowSchedule, Hold::Permanent, Hold::Until(UnixTime::from_millis(-1))]);
        for present in 0..32_u8 {
            let has = |bit: u8| present & bit != 0;
            survives([Brightness {
                auto: has(1).then_some(true),
                active: has(2).then_some(100),
                idle: has(4).then_some(255),
                active_seconds: has(8).then_some(u16::MAX),
                idle_seconds: has(16).then_some(1),
            }]);
        }
    }
}
