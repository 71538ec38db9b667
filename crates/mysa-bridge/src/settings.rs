use alloc::format;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use mysa_mqtt_codec::{InvalidText, Topic};
use mysa_proto::ModeTable;

use crate::client;

/// Settings of a [`Bridge`](crate::Bridge).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Client id, login and time limits of the connection to the broker. The bridge sets the will and the filters.
    pub broker: client::Settings,
    /// First part of the bridge's topics. One bridge owns everything below it. Default: `mysa`.
    pub prefix: String,
    /// First part of Home Assistant's discovery topics; `None` publishes no discovery. Default: `homeassistant`.
    pub discovery_prefix: Option<String>,
    /// Number of accounts, 1 to 32. Default: 1.
    pub accounts: usize,
    /// Unit of the climate entity. With the unit that Home Assistant shows, a setpoint that is typed there is the one that
    /// is shown after it is confirmed. Default: Celsius.
    pub unit: Unit,
    /// Table of mode numbers. Default: [`ModeTable::OBSERVED`].
    pub modes: ModeTable,
    /// Time after which an unchanged state is published again. Default: 5 min.
    pub refresh: Duration,
    /// Time for which a number is held back, so that only the last position of a slider is sent. Default: 600 ms.
    pub debounce: Duration,
    /// Time limit for the verdict on a command, after which its result is `unconfirmed`. It must be longer than the
    /// session's own limit. Default: 90 s.
    pub verdict_limit: Duration,
    /// Time without a source of states before the thermostats are unavailable, counted from the last proof of a source.
    /// A connection that is replaced within it does not show. Default: 25 s.
    pub cloud_grace: Duration,
    /// Longest time for which a thermostat that has just been listed, and has shown no sign of life, is waited for before it is
    /// published as unavailable. Until then the messages of an earlier run stay at the broker. Default: 15 s.
    pub start_limit: Duration,
    /// Time after which a thermostat that an earlier run has published and no account has is removed from the broker.
    /// Home Assistant then forgets its entities, so a list of thermostats that lacks one by mistake must not be enough;
    /// the session reads several within this time. Default: 1 h.
    pub forget_after: Duration,
    /// Shortest and longest pause between the birth message of Home Assistant and the answer to it. Default: 1 s to 8 s.
    pub birth_pause: (Duration, Duration),
}

/// Unit of temperatures in the climate entity.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "people use these two")]
pub enum Unit {
    /// °C
    #[default]
    Celsius,
    /// °F: whole degrees, each of which has a half degree Celsius of its own.
    Fahrenheit,
}

/// Error: a setting of a bridge is invalid.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// A prefix cannot be part of a topic.
    Prefix {
        /// The prefix.
        prefix: String,
        /// The rule that it breaks; `None` if it begins or ends with `/`, is empty, or is longer than 100 bytes.
        error: Option<InvalidText>,
    },
    /// The number of accounts is not 1 to 32.
    Accounts(usize),
    /// A setting of the connection to the broker.
    Broker(client::InvalidSettings),
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { prefix, error: Some(error) } => {
                write!(f, "invalid topic prefix {prefix:?}: {error}")
            }
            Self::Prefix { prefix, error: None } => {
                write!(f, "invalid topic prefix {prefix:?}: expected 1 to 100 bytes without / at either end")
            }
            Self::Accounts(count) => {
                write!(f, "invalid number of accounts {count}: expected 1 to {MAX_ACCOUNTS}")
            }
            Self::Broker(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for InvalidSettings {}

const MAX_PREFIX: usize = 100;
const MAX_ACCOUNTS: usize = 32;

impl Settings {
    /// Creates settings with the defaults. See [`client::Settings::client_id`].
    pub fn new(client_id: impl Into<String>) -> Self {
        let secs = Duration::from_secs;
        Self {
            broker: client::Settings::new(client_id),
            prefix: "mysa".into(),
            discovery_prefix: Some("homeassistant".into()),
            accounts: 1,
            unit: Unit::default(),
            modes: ModeTable::OBSERVED,
            refresh: secs(300),
            debounce: Duration::from_millis(600),
            verdict_limit: secs(90),
            cloud_grace: secs(25),
            start_limit: secs(15),
            forget_after: secs(3_600),
            birth_pause: (secs(1), secs(8)),
        }
    }

    /// Sets the time limits of the account's session so that the loss and the return of the cloud are noticed within half
    /// a minute, and that of a thermostat within a minute of the cloud's notice. The defaults of a session suit a
    /// command; they are gentler on the cloud, and slower.
    pub fn tune(session: &mut mysa_session::Settings) {
        let secs = Duration::from_secs;
        // A connection that falls silent is given up after 18 s, which leaves 7 s of the grace for another one.
        session.ping_interval = Some(secs(10));
        session.ping_timeout = secs(8);
        // REST is asked as soon as a connection is not replaced at once.
        session.grace = secs(4);
        // Without MQTT, an unreachable cloud shows by a missing answer only.
        session.poll_rest_only = secs(20);
        session.rest_life = Some(secs(25));
        // The cloud's own view of a thermostat's connection comes by REST alone.
        session.poll_live = secs(60);
        // A cloud that returns is noticed within a dial or a request that began before, and a pause.
        session.connect_timeout = secs(10);
        session.http_timeout = secs(15);
        session.backoff_cap = secs(12);
        session.http_backoff_cap = secs(12);
    }

    pub(crate) fn check(&self) -> Result<(), InvalidSettings> {
        if !(1..=MAX_ACCOUNTS).contains(&self.accounts) {
            return Err(InvalidSettings::Accounts(self.accounts));
        }
        [Some(&self.prefix), self.discovery_prefix.as_ref()].into_iter().flatten().try_for_each(|prefix| {
            let invalid = |error| InvalidSettings::Prefix { prefix: prefix.clone(), error };
            Topic::new(prefix).map_err(|error| invalid(Some(error)))?;
            let is_plain = !prefix.starts_with('/') && !prefix.ends_with('/') && prefix.len() <= MAX_PREFIX;
            if is_plain { Ok(()) } else { Err(invalid(None)) }
        })
    }

    /// Topic on which Home Assistant announces that it has started.
    pub(crate) fn birth_topic(&self) -> Option<String> {
        self.discovery_prefix.as_ref().map(|prefix| format!("{prefix}/status"))
    }
}
