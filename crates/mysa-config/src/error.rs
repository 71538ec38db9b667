use std::fmt;
use std::ops::Range;

/// An invalid file, or an invalid change to one. The text is one line and quotes at most a few words of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not TOML, or a value has the wrong type.
    Toml {
        /// Line, from 1; 0 if the error is about the whole file.
        line: usize,
        /// Column, from 1, in characters; 0 if the error is about the whole file.
        column: usize,
        /// Reason that the TOML parser gives.
        why: String,
    },
    /// A table of `devices` is not named after a device id.
    InvalidDeviceId(String),
    /// A device id occurs twice.
    DuplicateDevice(String),
    /// No setting has this name.
    UnknownSetting(String),
    /// The value is not in the list of the setting.
    InvalidValue {
        /// Name of the setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// The valid values.
        values: &'static [&'static str],
    },
    /// The name of an account is empty or contains control characters.
    InvalidAccount(String),
    /// The value of an `environment` setting is not a host or URL of the form it needs.
    InvalidEndpoint {
        /// Name of the setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// Form that the setting needs.
        expected: &'static str,
    },
    /// The value of a `bridge` setting does not have the form that it needs.
    InvalidBridge {
        /// Name of the setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// Form that the setting needs.
        expected: &'static str,
    },
    /// A value has the name of a table.
    NotATable(String),
    /// Rated power is not a whole number of watts from 1 to 1 000 000.
    InvalidWatts(String),
    /// A number of a home file is out of range.
    OutOfRange {
        /// Name in the file.
        name: &'static str,
        /// Name of the home or device.
        of: String,
        /// The number.
        value: String,
    },
    /// No model has this name.
    UnknownModel(String),
    /// A time zone of a home file does not have the form of a name in the time zone database.
    InvalidTimeZone(String),
    /// An invalid value of a file, and its place.
    At {
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
        /// Error of the value.
        error: Box<ConfigError>,
    },
    /// No mode has this name.
    UnknownMode(String),
    /// No remote control of an air conditioner has this code.
    UnknownRemote(String),
    /// Text that names no days of the week.
    InvalidDays(String),
    /// Text that is not a time of day.
    InvalidClock(String),
    /// The home file has no account.
    MissingAccount,
    /// Two accounts have the same e-mail address, or the same name in a fleet.
    DuplicateAccount(String),
    /// The name of an account of a fleet is too long or contains other characters than it may.
    InvalidFleetName(String),
    /// The password command of an account of a fleet names no program.
    EmptyCommand,
    /// An account of a fleet, by its name, has more than one secret.
    SeveralCredentials(String),
}

/// Longest quotation from a file, in characters.
const MAX_QUOTE: usize = 60;

impl ConfigError {
    pub(crate) fn toml(text: &str, span: Option<Range<usize>>, why: &str) -> Self {
        let (line, column) = span.map_or((0, 0), |span| place(text, span));
        Self::Toml { line, column, why: shorten(why, 2 * MAX_QUOTE) }
    }

    /// Adds the place of the invalid value.
    pub(crate) fn at(text: &str, span: Range<usize>, error: Self) -> Self {
        let (line, column) = place(text, span);
        Self::At { line, column, error: Box::new(error) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = |text: &str| shorten(text, MAX_QUOTE);
        match self {
            Self::Toml { line: 0, why, .. } => f.write_str(why),
            Self::Toml { line, column, why } => write!(f, "line {line}, column {column}: {why}"),
            Self::At { line, column, error } => write!(f, "line {line}, column {column}: {error}"),
            Self::InvalidDeviceId(name) => {
                write!(f, "invalid device id '{}': expected twelve hex digits", quote(name))
            }
            Self::UnknownModel(name) => {
                let models = "BB-V1-1, BB-V2-0, BB-V2-0-L, BB-V3-0, INF-V1-0, AC-V1-0 or ST-V1-0";
                write!(f, "unknown model '{}': expected one such as {models}", quote(name))
            }
            Self::InvalidTimeZone(name) => write!(
                f,
                "invalid time zone '{}': expected a name such as America/Halifax or UTC",
                quote(name)
            ),
            Self::DuplicateDevice(id) => write!(f, "duplicate device {}", quote(id)),
            Self::UnknownSetting(name) => {
                write!(f, "unknown setting '{}'; `mysa config --help` lists the settings", quote(name))
            }
            Self::InvalidValue { name, value, values } => {
                write!(f, "invalid {name} '{}': expected {}", quote(value), values.join(" or "))
            }
            Self::InvalidAccount(text) => {
                write!(f, "invalid account {:?}: expected an e-mail address", quote(text))
            }
            Self::InvalidEndpoint { name, value, expected } => {
                write!(f, "invalid environment.{name} '{}': expected {expected}", quote(value))
            }
            Self::InvalidBridge { name, value, expected } => {
                write!(f, "invalid bridge.{name} '{}': expected {expected}", quote(value))
            }
            Self::NotATable(name) => write!(f, "{} is a value, expected a table", quote(name)),
            Self::InvalidWatts(text) => {
                write!(f, "invalid rated power '{}': expected 1 to 1000000 whole watts", quote(text))
            }
            Self::OutOfRange { name, of, value } => {
                write!(f, "{name} of '{}' is out of range: {}", quote(of), quote(value))
            }
            Self::UnknownMode(name) => {
                write!(f, "unknown mode '{}': expected off, heat, auto, cool, fan or dry", quote(name))
            }
            Self::UnknownRemote(code) => write!(f, "unknown remote '{}': expected 2009 or 1117", quote(code)),
            Self::InvalidDays(text) => write!(
                f,
                "invalid days '{}': expected daily, or days such as mon-fri or sat,sun",
                quote(text)
            ),
            Self::InvalidClock(text) => {
                write!(f, "invalid time '{}': expected hours and minutes such as 06:30", quote(text))
            }
            Self::MissingAccount => f.write_str("the file has no [[account]]"),
            Self::DuplicateAccount(email) => write!(f, "duplicate account {}", quote(email)),
            Self::InvalidFleetName(name) => {
                write!(f, "invalid name '{}': expected 1 to 100 letters, digits and . _ - @ +", quote(name))
            }
            Self::EmptyCommand => f.write_str("the command is empty: expected a program and its arguments"),
            Self::SeveralCredentials(name) => write!(
                f,
                "account '{}' has several secrets: expected one of password-file, password-command and refresh-token",
                quote(name)
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Line and column of the start of a span, both from 1.
fn place(text: &str, span: Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

/// The first line of a text, cut to `most` characters.
fn shorten(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    line.chars().take(most).chain(['…']).collect()
}
