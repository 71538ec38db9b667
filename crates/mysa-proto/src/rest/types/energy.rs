use alloc::string::String;

use serde_json::{Value, json};

use crate::UnixTime;

/// Period of an answer of the energy routes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "only these scopes were observed")]
pub enum Scope {
    /// The day that contains the time.
    Day,
    /// The week that contains the time.
    Week,
    /// The month that contains the time.
    Month,
}

/// Length of the buckets of an answer of the energy routes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "only these resolutions were observed")]
pub enum Resolution {
    /// 30 minutes.
    HalfHour,
    /// 60 minutes.
    OneHour,
    /// One day.
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
    /// Length of the buckets.
    pub resolution: Resolution,
    /// Time inside the scope.
    pub at: UnixTime,
    /// Time zone of the thermostat, a name of the tz database. It is also sent as the time zone of the phone.
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
