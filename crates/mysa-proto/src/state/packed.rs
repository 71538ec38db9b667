use crate::{
    Amperes, AutoSetpoints, Brightness, Celsius, DeviceState, DutyCycle, FanSpeed, Hold, Mode,
    RelativeHumidity, StateField, Swing, TrackedSensor, UnixTime, Volts, Watts,
};

/// Value of any field, packed into nine bytes. Packed values of one field have the equality and the order of the
/// values, except the order of [`Brightness`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Packed {
    pub(crate) tag: u8,
    pub(crate) bits: u64,
}

impl Packed {
    /// True if the value is complete. Only a hold can be reported in part.
    pub(crate) fn is_clear(self, field: StateField) -> bool {
        field != StateField::Hold || self != UNCLEAR_HOLD
    }
}

/// [`Hold::FollowOrUntil`].
const UNCLEAR_HOLD: Packed = tagged(0);

/// Value that can be packed without loss.
pub(crate) trait Pack: Sized {
    fn pack(self) -> Packed;
    fn unpack(packed: Packed) -> Option<Self>;

    /// This value with the parts that its report did not contain and the state has.
    fn complete(self, _: &DeviceState) -> Self {
        self
    }
}

/// Bits of a signed number, in the same order.
const fn ordered(number: i64) -> u64 {
    number.cast_unsigned() ^ SIGN
}

const fn number(bits: u64) -> i64 {
    (bits ^ SIGN).cast_signed()
}

const SIGN: u64 = 1 << 63;

const fn ordered_half(number: i32) -> u32 {
    number.cast_unsigned() ^ (1 << 31)
}

const fn half(bits: u32) -> i32 {
    (bits ^ (1 << 31)).cast_signed()
}

const fn tagged(tag: u8) -> Packed {
    Packed { tag, bits: 0 }
}

const fn plain(bits: u64) -> Packed {
    Packed { tag: 0, bits }
}

/// None of these is negative or NaN, so their bits are in the order of the values.
macro_rules! pack_as_float {
    ($($name:ident $to:ident $from:ident,)*) => {$(
        impl Pack for $name {
            fn pack(self) -> Packed {
                plain(self.$to().to_bits())
            }

            fn unpack(packed: Packed) -> Option<Self> {
                Self::$from(f64::from_bits(packed.bits))
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
    ($($type:ty: $value:ident => $pack:expr, $packed:ident => $unpack:expr;)*) => {$(
        impl Pack for $type {
            fn pack(self) -> Packed {
                let $value = self;
                $pack
            }

            fn unpack($packed: Packed) -> Option<Self> {
                $unpack
            }
        }
    )*};
}
pack! {
    bool: value => tagged(u8::from(value)), packed => Some(packed.tag != 0);
    i16: value => plain(ordered(value.into())), packed => number(packed.bits).try_into().ok();
    Celsius: value => plain(ordered(value.as_hundredths().into())),
        packed => number(packed.bits).try_into().ok().map(Self::from_hundredths);
    AutoSetpoints: value => {
            let [heat, cool] = [value.heat, value.cool].map(|celsius| ordered_half(celsius.as_hundredths()));
            plain(u64::from(heat) << 32 | u64::from(cool))
        },
        packed => {
            let [heat, cool] = [(packed.bits >> 32) as u32, packed.bits as u32].map(half).map(Celsius::from_hundredths);
            Some(Self { heat, cool })
        };
    FanSpeed: value => tagged(value.code()), packed => Some(Self::from_code(packed.tag));
    Swing: value => tagged(value.code()), packed => Some(Self::from_code(packed.tag));
    TrackedSensor: value => plain(ordered(value.number())), packed => Self::from_number(number(packed.bits));
    Mode: value => match value {
            Self::Other(code) => Packed { tag: u8::MAX, bits: ordered(code) },
            named => tagged(Self::NAMED.iter().position(|other| *other == named).map_or(u8::MAX, |at| at as u8)),
        },
        packed => match packed.tag {
            u8::MAX => Some(Self::Other(number(packed.bits))),
            tag => Self::NAMED.get(usize::from(tag)).copied(),
        };
    Hold: value => match value {
            Self::FollowOrUntil => UNCLEAR_HOLD,
            Self::FollowSchedule => tagged(1),
            Self::Permanent => tagged(2),
            Self::Until(end) => Packed { tag: 3, bits: ordered(end.as_millis()) },
        },
        packed => match packed.tag {
            0 => Some(Self::FollowOrUntil),
            1 => Some(Self::FollowSchedule),
            2 => Some(Self::Permanent),
            _ => Some(Self::Until(UnixTime::from_millis(number(packed.bits)))),
        };
}

impl Pack for Brightness {
    fn pack(self) -> Packed {
        let Self { auto, active, idle, active_seconds, idle_seconds } = self;
        let present = [
            auto.is_some(),
            active.is_some(),
            idle.is_some(),
            active_seconds.is_some(),
            idle_seconds.is_some(),
        ];
        let tag = present.iter().fold(0, |tag, present| tag << 1 | u8::from(*present));
        let bits = u64::from(auto.unwrap_or_default())
            | u64::from(active.unwrap_or_default()) << 8
            | u64::from(idle.unwrap_or_default()) << 16
            | u64::from(active_seconds.unwrap_or_default()) << 24
            | u64::from(idle_seconds.unwrap_or_default()) << 40;
        Packed { tag, bits }
    }

    fn unpack(packed: Packed) -> Option<Self> {
        let [auto, active, idle, active_low, active_high, idle_low, idle_high, _] = packed.bits.to_le_bytes();
        let has = |bit: u8| packed.tag & bit != 0;
        Some(Self {
            auto: has(16).then_some(auto != 0),
            active: has(8).then_some(active),
            idle: has(4).then_some(idle),
            active_seconds: has(2).then_some(u16::from_le_bytes([active_low, active_high])),
            idle_seconds: has(1).then_some(u16::from_le_bytes([idle_low, idle_high])),
        })
    }

    fn complete(self, state: &DeviceState) -> Self {
        state.with_known_parts(self, state.clock_skew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs values, given in ascending order, and asserts that they are unpacked unchanged and keep their
    /// order.
    fn survive<T: Pack + Copy + PartialEq + core::fmt::Debug>(values: impl IntoIterator<Item = T>) {
        let mut last = None;
        for value in values {
            assert_eq!(T::unpack(value.pack()), Some(value));
            assert!(last < Some(value.pack()), "{value:?}");
            last = Some(value.pack());
        }
    }

    #[test]
    fn packing_keeps_every_kind_of_value_and_its_order() {
        survive([false, true]);
        survive([i16::MIN, -60, 0, i16::MAX]);
        survive([i32::MIN, -1, 0, 2_150, i32::MAX].map(Celsius::from_hundredths));
        let pair = |heat, cool| AutoSetpoints {
            heat: Celsius::from_hundredths(heat),
            cool: Celsius::from_hundredths(cool),
        };
        survive([pair(i32::MIN, i32::MAX), pair(-1, 7), pair(0, -1), pair(0, 0), pair(1_900, 2_500)]);
        survive([0.0, 0.42, 1.0].into_iter().filter_map(DutyCycle::from_fraction));
        survive([0, 1, 255].map(FanSpeed::from_code));
        survive([0, 3, 255].map(Swing::from_code));
        survive([TrackedSensor::Floor, TrackedSensor::Ambient]);
        survive(Mode::NAMED.into_iter().chain([i64::MIN, -1, 0, 255, i64::MAX].map(Mode::Other)));
        let ends = [-1, 0, 1].map(UnixTime::from_millis).map(Hold::Until);
        let others = [Hold::FollowOrUntil, Hold::FollowSchedule, Hold::Permanent];
        survive(others.into_iter().chain(ends));
        for present in 0..32_u8 {
            let has = |bit: u8| present & bit != 0;
            survive([Brightness {
                auto: has(1).then_some(true),
                active: has(2).then_some(100),
                idle: has(4).then_some(255),
                active_seconds: has(8).then_some(u16::MAX),
                idle_seconds: has(16).then_some(1),
            }]);
        }
    }
}
