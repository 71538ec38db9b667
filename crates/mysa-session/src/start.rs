use alloc::string::String;
use alloc::vec::Vec;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::{DeviceId, Model};
use mysa_sigv4::PresignedUrl;

/// Authentication of a session.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there are only these three ways to authenticate")]
pub enum Start {
    /// Sign in with a password that a person has just entered. A refusal in an earlier run does not count.
    Password {
        /// E-mail address, as typed.
        username: String,
        /// Password, as typed: nothing is trimmed.
        password: Secret,
    },
    /// Resume from a stored session. A stored password is used once when the refresh token is refused. It is not used
    /// if the stored session records that a sign-in was refused for good, because a person has to act first.
    Resume {
        /// The content of the last [`Output::Store`](crate::Output::Store).
        stored: StoredSession,
        /// Stored password of the account.
        password: Option<Secret>,
    },
    /// Connect with a presigned URL that was captured elsewhere, without sign-in and without REST. The session ends
    /// when the URL expires or the connection closes.
    Captured {
        /// Presigned URL.
        url: PresignedUrl,
        /// Thermostats to subscribe to, with their models, because there is no device list to read.
        /// [`Session::assume_devices`](crate::Session::assume_devices) adds further ones.
        devices: Vec<(DeviceId, Model)>,
    },
}
