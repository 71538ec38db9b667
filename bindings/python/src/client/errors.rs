//! Errors of a client as exceptions.

use mysa_tokio::{Error, NotReady, Reason, Refused, RequestError};
use pyo3::prelude::*;

use crate::errors::{Class, chain};

/// Converts an error where Python is not attached.
pub(super) fn raised(error: Error) -> PyErr {
    Python::attach(|py| failed(py, &error))
}

pub(super) fn failed(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        Error::NothingToStartFrom => Class::Auth.error(py, error),
        Error::TokenFile(_) => Class::Store.error(py, chain(error)),
        Error::Closed => Class::Closed.error(py, error),
        Error::Refused(refused) => self::refused(py, refused),
        Error::Request(request) => match request {
            RequestError::Refused { status, retry_after, .. } => {
                Class::Refused.with(py, request, |details| {
                    details.set_item("status", *status)?;
                    details.set_item("retry_after", retry_after.map(|wait| wait.as_secs_f64()))
                })
            }
            RequestError::NotSignedIn => Class::Auth.error(py, request),
            RequestError::ReadOnly => Class::Refused.error(py, request),
            _ => Class::Transport.error(py, request),
        },
        _ => Class::Transport.error(py, chain(error)),
    }
}

fn refused(py: Python<'_>, refused: &Refused) -> PyErr {
    Class::Refused.with(py, refused, |details| match refused {
        Refused::Service { status, retry_after } => {
            details.set_item("status", *status)?;
            details.set_item("retry_after", retry_after.map(|wait| wait.as_secs_f64()))
        }
        _ => Ok(()),
    })
}

pub(super) fn not_ready(py: Python<'_>, why: &NotReady) -> PyErr {
    match why {
        NotReady::Challenge(challenge) => Class::Challenge.with(py, why, |details| {
            details.set_item("kind", challenge.kind.name())?;
            details.set_item("destination", &challenge.destination)?;
            details.set_item("choices", &challenge.choices)
        }),
        NotReady::SignInNeeded(reason) => Class::Auth.with(py, why, |details| {
            // A person cannot help where the service asks for a pause.
            details.set_item("needs_sign_in", !matches!(reason, Reason::Throttled))
        }),
        NotReady::Closed => Class::Closed.error(py, why),
        _ => Class::Transport.error(py, why),
    }
}
