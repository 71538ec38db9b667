//! Exit codes, and the failure that carries one.

use std::fmt;

/// Exit code of a command that did not succeed. `mysa --help` and the README document them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// A failure without a code of its own.
    Failed = 1,
    /// The command line is invalid.
    Usage = 2,
    /// No session is stored, or the sign-in was refused.
    SignIn = 4,
    /// The thermostat is offline or silent.
    DeviceSilent = 5,
    /// The command was sent, but its effect is unknown.
    Unconfirmed = 6,
    /// The command was refused: by this program, by the account's policy, or by the thermostat.
    Refused = 7,
    /// The network or the cloud is down.
    Unreachable = 8,
    /// The time limit has passed.
    TimedOut = 9,
    /// Interrupted from the keyboard.
    Interrupted = 130,
    /// Terminated by SIGTERM, for example by a service manager.
    Terminated = 143,
}

/// Order in which a command for several thermostats chooses its exit code: the first of these that occurred. Certain
/// failures come before unknown effects.
const SEVERITY: [Exit; 8] = [
    Exit::SignIn,
    Exit::Unreachable,
    Exit::Failed,
    Exit::Usage,
    Exit::Refused,
    Exit::TimedOut,
    Exit::DeviceSilent,
    Exit::Unconfirmed,
];

impl Exit {
    /// Returns the exit code of a failure that another process of this program reported. `None` for 0, success.
    #[cfg(unix)]
    pub(crate) fn from_code(code: i64) -> Option<Self> {
        let known = SEVERITY.into_iter().find(|known| *known as i64 == code);
        (code != 0).then(|| known.unwrap_or(Self::Failed))
    }

    /// Returns the worst of several codes, by [`SEVERITY`]. `None` if all succeeded.
    pub(crate) fn worst(codes: impl IntoIterator<Item = Self>) -> Option<Self> {
        let rank = |code: &Self| SEVERITY.iter().position(|listed| listed == code).unwrap_or(0);
        codes.into_iter().min_by_key(rank)
    }
}

/// Text with the failure, its cause and the remedy; and the exit code.
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

/// Converts an error of a lower layer, with its chain of causes.
impl<E: std::error::Error> From<(Exit, E)> for Failure {
    fn from((exit, error): (Exit, E)) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some errors repeat their cause in their own text.
            if !message.contains(&cause_text) {
                message.push_str(": ");
                message.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self { exit, message }
    }
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_code_is_the_first_in_the_documented_order() {
        assert_eq!(Exit::worst([]), None);
        assert_eq!(Exit::worst([Exit::Unconfirmed, Exit::Refused, Exit::DeviceSilent]), Some(Exit::Refused));
        assert_eq!(Exit::worst([Exit::Unconfirmed, Exit::TimedOut]), Some(Exit::TimedOut));
        assert_eq!(Exit::worst([Exit::Refused, Exit::SignIn, Exit::Unreachable]), Some(Exit::SignIn));
    }
}
