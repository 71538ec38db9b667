use time::OffsetDateTime;

/// Formats Unix seconds as the value of a `Date` header, `Fri, 02 Jan 2026 03:04:05 GMT` (RFC 9110, 5.6.7).
///
/// # Panics
///
/// The year is outside -9999 to 9999.
#[must_use]
pub fn http_date(secs: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(secs).expect("Unix seconds of a year up to 9999");
    // Both enums print their English names.
    let day = &format!("{:?}", date.weekday())[..3];
    let month = &format!("{:?}", date.month())[..3];
    let (hour, minute, second) = date.to_hms();
    format!("{day}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", date.day(), date.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_of_rfc_9110() {
        assert_eq!(http_date(1_767_323_045), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
