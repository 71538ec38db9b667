//! Timestamps in the format of SigV4.

use core::str;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// UTC time in ISO 8601 basic format, `YYYYMMDD'T'HHMMSS'Z'`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct AmzDate([u8; 16]);

impl AmzDate {
    /// Formats a time without fractions of a second. `None` outside the years 0 to 9999 in UTC, which four
    /// digits cannot express.
    pub(crate) fn new(time: OffsetDateTime) -> Option<Self> {
        let time = time.checked_to_offset(UtcOffset::UTC)?;
        let (year, month, day) = time.date().to_calendar_date();
        let year = u16::try_from(year).ok().filter(|year| *year <= 9999)?;
        let mut text = *b"00000000T000000Z";
        let [century, year] = [year / 100, year % 100].map(|part| part as u8);
        let (hour, minute, second) = time.to_hms();
        for (at, value) in
            [(0, century), (2, year), (4, u8::from(month)), (6, day), (9, hour), (11, minute), (13, second)]
        {
            text[at] += value / 10;
            text[at + 1] += value % 10;
        }
        Some(Self(text))
    }

    /// Parses a timestamp. `None` for another format and for invalid times. Leap seconds are invalid: no
    /// implementation of SigV4 writes one, and rounding would verify a signature over a different text.
    pub(crate) fn parse(text: &[u8]) -> Option<(Self, OffsetDateTime)> {
        let text: [u8; 16] = text.try_into().ok()?;
        if text[8] != b'T' || text[15] != b'Z' {
            return None;
        }
        let two = |at: usize| {
            let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
            Some(digit(text[at])? * 10 + digit(text[at + 1])?)
        };
        let year = i32::from(two(0)?) * 100 + i32::from(two(2)?);
        let date = Date::from_calendar_date(year, Month::try_from(two(4)?).ok()?, two(6)?).ok()?;
        let time = Time::from_hms(two(9)?, two(11)?, two(13)?).ok()?;
        Some((Self(text), PrimitiveDateTime::new(date, time).assume_utc()))
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// `YYYYMMDD`.
    pub(crate) fn day(&self) -> &str {
        self.as_str().get(..8).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `'T'HHMMSS'Z'`.
    pub(crate) fn time_of_day(&self) -> &str {
        self.as_str().get(8..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_exist_are_written_and_read_back() {
        for (unix, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_767_225_599, "20251231T235959Z"),
            (1_767_225_600, "20260101T000000Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
            // The seconds around the leap second 2016-12-31T23:59:60Z, which Unix time does not count.
            (1_483_228_799, "20161231T235959Z"),
            (1_483_228_800, "20170101T000000Z"),
            (253_402_300_799, "99991231T235959Z"),
            (-62_167_219_200, "00000101T000000Z"),
        ] {
            let time = OffsetDateTime::from_unix_timestamp(unix).unwrap();
            let date = AmzDate::new(time).unwrap();
            assert_eq!(date.as_str(), text);
            assert!(AmzDate::parse(text.as_bytes()) == Some((date, time)), "{text}");
        }
    }

    #[test]
    fn an_offset_moves_the_date_and_fractions_are_dropped() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_767_225_599_999_999_999).unwrap();
        let east = time.to_offset(UtcOffset::from_hms(14, 0, 0).unwrap());
        assert_eq!(AmzDate::new(east).map(|date| date.0), Some(*b"20251231T235959Z"));
    }

    #[test]
    fn years_that_four_digits_cannot_write_are_refused() {
        let before_year_0 = OffsetDateTime::from_unix_timestamp(-62_167_219_201).unwrap();
        assert!(AmzDate::new(before_year_0).is_none());
        let last = Date::MAX.with_time(Time::MAX);
        let beyond = last.assume_offset(UtcOffset::from_hms(-1, 0, 0).unwrap());
        assert!(AmzDate::new(beyond).is_none());
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "",
            "20260229T000000Z",
            "21000229T000000Z",
            "20260001T000000Z",
            "20261301T000000Z",
            "20260100T000000Z",
            "20260431T000000Z",
            "20260228T240000Z",
            "20260228T236000Z",
            "20161231T235960Z",
            "20260228T235800",
            "20260228t235800z",
            "20260228 235800Z",
            "2026-02-28T23:58:00Z",
            "20260228T2358+0Z",
            "+2260228T235800Z",
            "20260228T235800ZZ",
            " 0260228T235800Z",
            "２0260228T2358Z",
        ] {
            assert!(AmzDate::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
