//! Readers of field values. A value that is absent, `null`, -1, of the wrong type or out of range becomes `None` and
//! does not affect other fields. An error means that the text is not JSON, never that a value is unexpected.

use core::hint::cold_path;

use crate::json::key::Key;
use crate::json::plain_number::PlainNumber;
use crate::json::reader::{Reader, Stop};
use crate::{Amperes, Celsius, DutyCycle, JsonNumber, JsonStr, MessageId, RelativeHumidity, UnixTime, Volts};

pub(crate) type Read<T> = Result<Option<T>, Stop>;

/// Destination of the members of an object, by their keys.
pub(crate) trait ReadMembers<'a> {
    /// Reads the member whose key was read before as `known`, or else is next. Returns `false` and consumes nothing if the
    /// key is unknown or, while it is next, not in its usual form. The last value of a repeated key wins.
    // Implementations are inlined where they are called, except on bare targets: there, two copies of each are too large.
    fn by_key(&mut self, known: Option<Key>, reader: &mut Reader<'a>) -> Result<bool, Stop>;

    /// Reads members in any order, with any white space, up to the end of their object. `before_key` tells whether a key is
    /// next.
    #[inline(always)]
    fn any_order(&mut self, before_key: bool, reader: &mut Reader<'a>) -> Result<(), Stop> {
        if before_key {
            reader.peek();
        } else if !reader.next_key()? {
            return Ok(());
        }
        loop {
            if !self.by_key(None, reader)? {
                self.by_any_key(reader)?;
            }
            if !reader.next_key()? {
                return Ok(());
            }
        }
    }

    /// Reads the next member, whose key is unknown or not in its usual form.
    // A function of its own, so that the one for usual keys stays small.
    #[cold]
    #[inline(never)]
    fn by_any_key(&mut self, reader: &mut Reader<'a>) -> Result<(), Stop> {
        let key = reader.any_key()?;
        if !self.by_key(Some(key), reader)? {
            reader.skip_value()?;
        }
        Ok(())
    }
}

/// Struct whose fields are read from the members of an object.
pub(crate) trait ReadFields<'a>: ReadMembers<'a> + Default {
    /// Keys that [`ReadMembers::by_key`] knows.
    const KEYS: &'static [&'static str];

    /// Fast path: reads members while they are in the order of [`ReadFields::KEYS`]; any of them may be missing. Begins
    /// before a key. Returns `true` if it ends before a key, and `false` if it ends behind a value that no comma follows.
    ///
    /// A device always writes the keys of a message in the same order, so one comparison identifies each key. Without
    /// `BLANKS`, white space ends it too: devices write none.
    #[inline(always)]
    fn in_order<const BLANKS: bool>(&mut self, _reader: &mut Reader<'a>) -> Result<bool, Stop> {
        Ok(true)
    }

    /// Reads an object. Any other value, such as `null`, reads as an empty object.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Stop> {
        let mut fields = Self::default();
        fields.fill(reader)?;
        Ok(fields)
    }

    /// Like [`ReadFields::read`], into fields that are still empty.
    #[inline(always)]
    fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Stop> {
        self.fill_in_order::<false>(reader)
    }

    /// Like [`ReadFields::fill`], in a message that has white space so far if it has `BLANKS`.
    #[inline(always)]
    fn fill_in_order<const BLANKS: bool>(&mut self, reader: &mut Reader<'a>) -> Result<(), Stop> {
        match reader.open_object::<BLANKS>() {
            None => return reader.skip_value().map(drop),
            Some(false) => return Ok(()),
            Some(true) => {}
        }
        let before_key = self.in_order::<BLANKS>(reader)?;
        if !before_key && reader.close_object::<BLANKS>() {
            return Ok(());
        }
        cold_path();
        self.fill_rest(before_key, !BLANKS && reader.is_blank(), reader)
    }

    /// Like [`ReadFields::fill`], in a message whose members are not in their usual order.
    #[inline(always)]
    fn fill_in_any_order(&mut self, reader: &mut Reader<'a>) -> Result<(), Stop> {
        match reader.open_object::<true>() {
            None => reader.skip_value().map(drop),
            Some(false) => Ok(()),
            Some(true) => self.fill_rest(true, false, reader),
        }
    }

    /// Reads the members from the first that is not in its usual place or has white space before it; `in_order` tells
    /// whether they are probably in the usual order.
    // A function of its own, so that the fast path stays small.
    #[inline(never)]
    fn fill_rest(
        &mut self,
        mut before_key: bool,
        in_order: bool,
        reader: &mut Reader<'a>,
    ) -> Result<(), Stop> {
        if before_key && in_order {
            reader.peek();
            before_key = self.in_order::<true>(reader)?;
        }
        self.any_order(before_key, reader)
    }
}

/// Declares a struct of optional fields with the key and reader of each.
macro_rules! fields {
    (
        $lt:lifetime;
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$gen:lifetime>)? {
            $( $(#[$doc:meta])* $fvis:vis $field:ident: $ty:ty = $($key:literal)|+ => $read:path, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        $vis struct $name $(<$gen>)? { $( $(#[$doc])* $fvis $field: Option<$ty>, )* }

        impl<$lt> $crate::json::field::ReadMembers<$lt> for $name $(<$gen>)? {
            #[cfg_attr(not(target_os = "none"), inline(always))]
            fn by_key(
                &mut self,
                known: Option<$crate::json::key::Key>,
                reader: &mut $crate::json::reader::Reader<$lt>,
            ) -> Result<bool, $crate::json::reader::Stop> {
                $crate::json::field::by_key! {
                    reader, known; $($field: $($key)|+ => self.$field = $read(reader)?;)*
                }
            }
        }

        impl<$lt> $crate::json::field::ReadFields<$lt> for $name $(<$gen>)? {
            const KEYS: &'static [&'static str] = &[$($($key),+),*];

            #[inline(always)]
            fn in_order<const BLANKS: bool>(
                &mut self,
                reader: &mut $crate::json::reader::Reader<$lt>,
            ) -> Result<bool, $crate::json::reader::Stop> {
                let mut before_key = true;
                $crate::json::field::members! { reader, before_key, BLANKS; $($($key => self.$field = $read(reader)?;)+)* }
                Ok(before_key)
            }
        }
    };
}
pub(crate) use fields;

/// Body of [`ReadFields::in_order`]: reads members that come in this order; each may be missing.
macro_rules! members {
    ($reader:ident, $before_key:ident, $blanks:ident; $($key:literal => $read:expr;)*) => {$(
        if $before_key && $reader.consume_key::<$blanks, _>($crate::json::field::quoted!($key)) {
            $read;
            $before_key = $reader.comma::<$blanks>();
        }
    )*};
}
pub(crate) use members;

/// Body of [`ReadMembers::by_key`]: looks the next key up by its first three bytes in a table, which is made at compile time,
/// and compares it with the key found there. Each key has a name, which need not be its own.
///
/// The processor predicts the jump to the right comparison from the members before, so the order of the members costs
/// little as long as senders keep to it.
macro_rules! by_key {
    ($reader:ident, $known:ident; $($name:ident: $($key:literal)|+ => $read:expr;)*) => {{
        #[allow(non_camel_case_types, reason = "the names of fields")]
        #[derive(Clone, Copy)]
        enum Name { $($name,)* Nothing }
        const NAMES: &[($crate::json::key::Key, Name)] =
            &[$($(($crate::json::key::Key::new($key), Name::$name)),+),*];
        const SLOTS: usize = $crate::json::key::slots(NAMES.len());
        // The first of two keys that share a slot is found there, the other one as `known`.
        const TABLE: [Name; SLOTS] = {
            let mut table = [Name::Nothing; SLOTS];
            let mut left = NAMES.len();
            while left > 0 {
                left -= 1;
                table[NAMES[left].0.slot::<SLOTS>()] = NAMES[left].1;
            }
            table
        };
        let name = match $known {
            None => $reader.slot::<SLOTS>().map(|slot| TABLE[slot]),
            Some(known) => NAMES.iter().find(|(key, _)| *key == known).map(|(_, name)| *name),
        };
        match name.unwrap_or(Name::Nothing) {
            $(Name::$name => {
                let found = $known.is_some() $(|| $reader.consume_key::<true, _>($crate::json::field::quoted!($key)))+;
                if found {
                    $read;
                }
                Ok(found)
            })*
            Name::Nothing => Ok(false),
        }
    }};
}
pub(crate) use by_key;

/// Key in its usual form: in quotes, followed by a colon.
macro_rules! quoted {
    ($key:literal) => {
        const {
            const TEXT: &str = concat!("\"", $key, "\":");
            match TEXT.as_bytes().first_chunk::<{ TEXT.len() }>() {
                Some(key) => key,
                None => unreachable!(),
            }
        }
    };
}
pub(crate) use quoted;

/// Slow path: reads a number in any notation, or a string that contains one. Booleans are not numbers.
#[cold]
#[inline(never)]
fn parse_slow<'a, T>(reader: &mut Reader<'a>, make: fn(JsonNumber<'a>) -> Option<T>) -> Read<T> {
    let number = match reader.peek() {
        Some(b'-' | b'0'..=b'9') => reader.number()?,
        Some(b'"') => reader.string()?.as_plain().and_then(JsonNumber::new),
        _ => {
            reader.skip_value()?;
            None
        }
    };
    Ok(number.and_then(make))
}

/// Finite number other than -1, which the cloud sends for a missing value.
#[inline(always)]
pub(crate) fn quantity(reader: &mut Reader<'_>) -> Read<f64> {
    match reader.hundredths() {
        Some(hundredths) => Ok(Some(f64::from(hundredths) / 100.0)),
        None => unusual_quantity(reader),
    }
}

#[cold]
#[inline(never)]
fn unusual_quantity(reader: &mut Reader<'_>) -> Read<f64> {
    reader.peek();
    match reader.plain_number(PlainNumber::to_f64) {
        Some(value) => Ok(known(value)),
        None => parse_slow(reader, |number| number.to_f64().and_then(known)),
    }
}

#[expect(clippy::float_cmp, reason = "-1 is exact")]
fn known(value: f64) -> Option<f64> {
    (value != -1.0).then_some(value)
}

/// Temperature in °C. A value outside -60 to 130 comes from a broken sensor.
#[inline(always)]
pub(crate) fn celsius(reader: &mut Reader<'_>) -> Read<Celsius> {
    match reader.hundredths() {
        // Always below 100 °C.
        Some(hundredths) => Ok(Some(Celsius::from_hundredths(hundredths.into()))),
        None => unusual_celsius(reader),
    }
}

#[cold]
#[inline(never)]
fn unusual_celsius(reader: &mut Reader<'_>) -> Read<Celsius> {
    reader.peek();
    match reader.plain_number(PlainNumber::to_hundredths) {
        Some(-100) => Ok(None),
        Some(hundredths @ -6_000..=13_000) => Ok(Some(Celsius::from_hundredths(hundredths))),
        Some(_) => Ok(None),
        None => parse_slow(reader, |number| {
            let degrees = number.to_f64().and_then(known)?;
            (-60.0..=130.0).contains(&degrees).then(|| Celsius::from_degrees(degrees))?
        }),
    }
}

#[inline(always)]
pub(crate) fn humidity(reader: &mut Reader<'_>) -> Read<RelativeHumidity> {
    Ok(quantity(reader)?.and_then(RelativeHumidity::from_percent))
}

#[inline(always)]
pub(crate) fn duty(reader: &mut Reader<'_>) -> Read<DutyCycle> {
    Ok(quantity(reader)?.and_then(DutyCycle::from_fraction))
}

pub(crate) fn volts(reader: &mut Reader<'_>) -> Read<Volts> {
    Ok(quantity(reader)?.and_then(Volts::from_volts))
}

#[inline(always)]
pub(crate) fn amperes(reader: &mut Reader<'_>) -> Read<Amperes> {
    Ok(quantity(reader)?.and_then(Amperes::from_amperes))
}

/// Integer other than -1.
#[inline(always)]
pub(crate) fn integer(reader: &mut Reader<'_>) -> Read<i64> {
    match reader.small_whole() {
        Some(small) => Ok(Some(small.into())),
        None => large_integer(reader),
    }
}

#[cold]
#[inline(never)]
fn large_integer(reader: &mut Reader<'_>) -> Read<i64> {
    reader.peek();
    match reader.plain_whole() {
        Some(value) => Ok(i64::try_from(value).ok()),
        None => parse_slow(reader, |number| number.to_i64().filter(|&value| value != -1)),
    }
}

/// Integer including -1, which has a meaning in the field `tm`.
pub(crate) fn any_integer(reader: &mut Reader<'_>) -> Read<i64> {
    parse_slow(reader, JsonNumber::to_i64)
}

/// Percentage from 0 to 100, without a fraction.
pub(crate) fn percent(reader: &mut Reader<'_>) -> Read<u8> {
    Ok(integer(reader)?.and_then(|value| u8::try_from(value).ok()).filter(|&value| value <= 100))
}

/// Number of seconds.
pub(crate) fn seconds(reader: &mut Reader<'_>) -> Read<u32> {
    Ok(integer(reader)?.and_then(|value| u32::try_from(value).ok()))
}

/// Number of seconds in a display setting.
pub(crate) fn seconds16(reader: &mut Reader<'_>) -> Read<u16> {
    Ok(integer(reader)?.and_then(|value| u16::try_from(value).ok()))
}

/// 0 or 1, or a boolean.
#[inline(always)]
pub(crate) fn flag(reader: &mut Reader<'_>) -> Read<bool> {
    match reader.small_whole() {
        Some(number) => Ok(bit(number.into())),
        None => unusual_flag(reader),
    }
}

#[cold]
#[inline(never)]
fn unusual_flag(reader: &mut Reader<'_>) -> Read<bool> {
    match reader.peek() {
        Some(b't' | b'f') => Ok(match reader.value()? {
            crate::Json::Bool(value) => Some(value),
            _ => None,
        }),
        _ => Ok(large_integer(reader)?.and_then(bit)),
    }
}

fn bit(number: i64) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Time in seconds or milliseconds, possibly with a fraction.
#[inline(always)]
pub(crate) fn time(reader: &mut Reader<'_>) -> Read<UnixTime> {
    match reader.ten_whole() {
        Some(value) => Ok(i64::try_from(value).ok().and_then(UnixTime::from_wire)),
        None => unusual_time(reader),
    }
}

#[cold]
#[inline(never)]
fn unusual_time(reader: &mut Reader<'_>) -> Read<UnixTime> {
    reader.peek();
    match reader.plain_whole() {
        Some(value) => Ok(i64::try_from(value).ok().and_then(UnixTime::from_wire)),
        None => parse_slow(reader, |number| number.to_i64_floor().and_then(UnixTime::from_wire)),
    }
}

pub(crate) fn id(reader: &mut Reader<'_>) -> Read<MessageId> {
    match reader.plain_whole() {
        Some(id) => Ok(Some(MessageId::new(id))),
        None => parse_slow(reader, MessageId::from_number),
    }
}

#[inline(always)]
pub(crate) fn text<'a>(reader: &mut Reader<'a>) -> Read<JsonStr<'a>> {
    if reader.peek() == Some(b'"') {
        return reader.string().map(Some);
    }
    reader.skip_value()?;
    Ok(None)
}

/// Nested object. `None` for any other value.
pub(crate) fn nested<'a, T: ReadFields<'a>>(reader: &mut Reader<'a>) -> Read<T> {
    let mut found = None;
    nested_into(&mut found, reader, T::fill)?;
    Ok(found)
}

/// Like [`nested`], into its place and by `fill`: a copy right after the stores stalls the processor.
#[inline(always)]
pub(crate) fn nested_into<'a, T: ReadFields<'a>>(
    found: &mut Option<T>,
    reader: &mut Reader<'a>,
    fill: impl FnOnce(&mut T, &mut Reader<'a>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    *found = None;
    if reader.peek() == Some(b'{') {
        return fill(found.insert(T::default()), reader);
    }
    reader.skip_value().map(drop)
}
