use alloc::string::String;
use alloc::vec::Vec;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::{DeviceId, Model};
use mysa_sigv4::PresignedUrl;

/// The way a session begins.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the ways there are")]
pub enum Start {
    /// Sign in with a password that a person has just given. A refusal in an earlier run does not count.
    Password {
        /// E-mail address, as typed.
        username: String,
        /// Password, as typed: nothing is trimmed.
        password: Secret,
    },
    /// Go on from a stored session. The password, if one is kept, is used once when the refresh token is refused, and
    /// not at all if the stored session says that a sign-in was refused for good: somebody has to act first.
    Resume {
        /// The content of the last [`Output::Store`](crate::Output::Store).
        stored: StoredSession,
        /// A password kept for the account.
        password: Option<Secret>,
    },
    /// Connect with a presigned URL that was captured elsewhere, and nothing else: no sign-in, no REST. It lasts until
    /// the URL lapses or the connection ends.
    Captured {
        /// The URL.
        url: PresignedUrl,
        /// The thermostats to listen to, and what they are: there is no list to ask for.
        devices: Vec<(DeviceId, Model)>,
    },
}
