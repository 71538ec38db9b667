use std::fmt;
use std::ops::Range;

/// What is wrong with a file, or with a change to it. One line, with no more of the file than a few words.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not TOML, or holds what it may not hold.
    Toml {
        /// Line, from 1; 0 if it is about the whole file.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A group of `devices` is not named after a device.
    NoDeviceId(String),
    /// Two groups of `devices`, or two thermostats of a home, have the same id.
    DeviceTwice(String),
    /// There is no setting of this name.
    NoSetting(String),
    /// A setting that has one of a few values cannot have this one.
    NoValue {
        /// The setting.
        name: &'static str,
        /// What it was to be.
        value: String,
        /// What it can be.
        values: &'static [&'static str],
    },
    /// Something stands where a group of settings is meant to be.
    NotAGroup(String),
    /// Rated power is a whole number of watts.
    NotWatts(String),
    /// A number of a home file is outside the range it can have.
    OutOfRange {
        /// Its name in the file.
        name: &'static str,
        /// Whose it is.
        of: String,
        /// The number.
        value: String,
    },
    /// No mode of this name.
    NoMode(String),
    /// The home file names nobody.
    NoAccount,
    /// Two accounts have the same e-mail address.
    AccountTwice(String),
}

/// More of a text is not repeated.
const WORDS: usize = 60;

impl ConfigError {
    pub(crate) fn toml(text: &str, span: Option<Range<usize>>, why: &str) -> Self {
        let before = span.and_then(|span| text.get(..span.start));
        let line = before.map_or(0, |before| before.bytes().filter(|&byte| byte == b'\n').count() + 1);
        Self::Toml { line, why: short(why, 2 * WORDS) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toml { line: 0, why } => f.write_str(why),
            Self::Toml { line, why } => write!(f, "line {line}: {why}"),
            Self::NoDeviceId(name) => {
                write!(f, "devices.{} is not named after a device id", short(name, WORDS))
            }
            Self::DeviceTwice(id) => write!(f, "{} is there twice", short(id, WORDS)),
            Self::NoSetting(name) => write!(
                f,
                "'{}' is no setting; there are account, unit, mode-table, devices.ID.rated-watts, and environment. with \
                 region, user-pool, client-id, identity-pool, iot-endpoint, rest-host or backend-host",
                short(name, WORDS)
            ),
            Self::NoValue { name, value, values } => {
                write!(f, "{name} cannot be '{}': it is {}", short(value, WORDS), values.join(" or "))
            }
            Self::NotAGroup(name) => write!(f, "{} is not a group of settings", short(name, WORDS)),
            Self::NotWatts(text) => write!(f, "'{}' is not a whole number of watts", short(text, WORDS)),
            Self::OutOfRange { name, of, value } => {
                write!(f, "{name} of '{}' is out of range: {}", short(of, WORDS), short(value, WORDS))
            }
            Self::NoMode(name) => {
                write!(f, "'{}' is no mode; there are off, heat, auto, cool, fan and dry", short(name, WORDS))
            }
            Self::NoAccount => f.write_str("there is no [[account]]"),
            Self::AccountTwice(email) => write!(f, "the account {} is there twice", short(email, WORDS)),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The first line of a text, and not too much of it.
fn short(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    line.chars().take(most).chain(['…']).collect()
}
