//! Random bytes and the time, for functions whose caller gives none.

use std::time::{SystemTime, UNIX_EPOCH};

use mysa_proto::UnixTime;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// Returns the random bytes of the caller, or else bytes of the operating system.
pub(crate) fn entropy(py: Python<'_>, given: Option<&[u8]>) -> PyResult<[u8; 32]> {
    let mut bytes = [0; 32];
    match given {
        Some(given) => {
            bytes = given.try_into().map_err(|_| {
                crate::errors::invalid(
                    py,
                    "invalid entropy: expected 32 random bytes that are used only once",
                )
            })?
        }
        None => getrandom::fill(&mut bytes)
            .map_err(|_| PyOSError::new_err("the operating system provides no random bytes"))?,
    }
    Ok(bytes)
}

/// Returns the time of the caller, in seconds since the Unix epoch, or else that of the wall clock.
pub(crate) fn unix_time(py: Python<'_>, given: Option<f64>) -> PyResult<UnixTime> {
    let Some(seconds) = given else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return Ok(UnixTime::from_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX)));
    };
    if !(0.0..=253_402_300_799.0).contains(&seconds) {
        return Err(crate::errors::invalid(
            py,
            format!("invalid time {seconds}: expected seconds since the Unix epoch"),
        ));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let millis = (seconds * 1_000.0).round() as i64;
    Ok(UnixTime::from_millis(millis))
}
