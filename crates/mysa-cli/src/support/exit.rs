//! How the program ends.

use std::fmt;
use std::process::ExitCode;

/// How the command ended, for scripts. Documented in `mysa --help` and in the README.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Something went wrong that has no code of its own.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Nobody is signed in, or the sign-in was refused.
    SignIn = 4,
    /// The thermostat is offline, or has not spoken for too long.
    DeviceSilent = 5,
    /// The command was sent, and nothing shows what it achieved.
    Unconfirmed = 6,
    /// The command was refused: by us, by the account's policy, or by the thermostat.
    Refused = 7,
    /// The network or the cloud is down.
    Unreachable = 8,
    /// The time given was not enough.
    TimedOut = 9,
    /// Interrupted from the keyboard.
    Interrupted = 130,
    /// Told to end, as a service manager does.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure as the user reads it: what happened and what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error of the layers below, with the causes it names.
impl<E: std::error::Error> From<(Exit, E)> for Failure {
    fn from((exit, error): (Exit, E)) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { exit, message }
    }
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;
