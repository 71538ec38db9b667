use core::fmt;

/// Error of [`explain`](crate::explain) and [`explain_as`](crate::explain_as): the input as a whole is unusable. Parts that
/// cannot be decoded are no error; their records have a field `error`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ExplainError {
    /// The input is empty.
    Empty,
    /// The input is not UTF-8, but a capture is text.
    NotText,
    /// The input is text, but not a capture.
    NotCapture,
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the input is empty",
            Self::NotText => "not a capture: the input is not UTF-8",
            Self::NotCapture => {
                "not a capture: expected a HAR file, JSON lines with topic and payload, or the output of mosquitto_sub -v"
            }
        })
    }
}

impl core::error::Error for ExplainError {}
