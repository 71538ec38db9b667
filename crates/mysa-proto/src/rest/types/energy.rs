use alloc::string::String;

use serde_json::{Value, json};

use crate::UnixTime;

/// Period that one answer of the energy routes covers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the scopes witnessed")]
pub enum Scope {
    /// The day that holds the time.
    Day,
    /// Its week.
    Week,
    /// Its month.
    Month,
}

/// Length of the buckets of an answer of the energy routes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the resolutions witnessed")]
pub enum Resolution {
    /// 30 minutes.
    HalfHour,
    /// 60 minutes.
    OneHour,
    /// A day.
    Day,
}

impl Scope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
        }
    }
}

impl Resolution {
    const fn as_str(self) -> &'static str {
        match self {
            Self::HalfHour => "halfHour",
            Self::OneHour => "oneHour",
            Self::Day => "Day",
        }
    }
}

/// Query of the energy routes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct EnergyQuery {
    /// Period of the answer.
    pub scope: Scope,
    /// In buckets of which length.
    pub resolution: Resolution,
    /// A time inside the scope.
    pub at: UnixTime,
    /// Time zone of the thermostat, a name of the tz database; it is sent as that of the phone as well.
    pub time_zone: String,
}

impl EnergyQuery {
    pub(in crate::rest) fn body(&self, id: &str) -> Value {
        json!({
            "Id": id,
            "Scope": self.scope.as_str(),
            "Res": self.resolution.as_str(),
            "Timestamp": self.at.as_secs(),
            "TimeZone": self.time_zone,
            "PhoneTimezone": self.time_zone,
        })
    }
}
