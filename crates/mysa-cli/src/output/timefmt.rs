//! Times and durations for people.

use std::time::Duration;

pub(crate) use mysa_explain::{civil, iso};
use mysa_proto::UnixTime;

use crate::support::exit::{Failure, Result};

/// Formats seconds in a suitable unit.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Parses a number of seconds of the command line.
pub(crate) fn seconds(seconds: f64, option: &str) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|span| *span <= Duration::from_secs(366 * 86_400))
        .ok_or_else(|| Failure::usage(format!("invalid {option} {seconds}: expected a number of seconds")))
}

/// Returns the present time of the system clock.
pub(crate) fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_suitable_unit() {
        let texts = [5, 119, 120, 7_199, 7_200, 172_800].map(span);
        assert_eq!(texts, ["5 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }
}
