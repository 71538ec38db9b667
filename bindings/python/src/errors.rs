//! The errors of the package, which are classes of `mysa.errors`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Class of `mysa.errors`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    Auth,
    Challenge,
    Closed,
    Decode,
    InvalidValue,
    Refused,
    Store,
    Transport,
}

impl Class {
    const fn name(self) -> &'static str {
        match self {
            Self::Auth => "AuthError",
            Self::Challenge => "ChallengeError",
            Self::Closed => "ClosedError",
            Self::Decode => "DecodeError",
            Self::InvalidValue => "InvalidValueError",
            Self::Refused => "RefusedError",
            Self::Store => "StoreError",
            Self::Transport => "TransportError",
        }
    }

    /// Creates an error of this class.
    pub(crate) fn error(self, py: Python<'_>, message: impl ToString) -> PyErr {
        self.with(py, message, |_| Ok(()))
    }

    /// Creates an error of this class with attributes.
    pub(crate) fn with(
        self,
        py: Python<'_>,
        message: impl ToString,
        attributes: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
    ) -> PyErr {
        let make = || {
            let details = PyDict::new(py);
            attributes(&details)?;
            let class = py.import("mysa.errors")?.getattr(self.name())?;
            class.call((message.to_string(),), Some(&details))
        };
        make().map_or_else(|error| error, PyErr::from_value)
    }
}

/// Text of an error with its causes, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// `ValueError` of the package, for a value that the caller gave.
pub(crate) fn invalid(py: Python<'_>, message: impl ToString) -> PyErr {
    Class::InvalidValue.error(py, message)
}
