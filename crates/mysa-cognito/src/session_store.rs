//! Session that is stored between runs.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::json::Object;
use crate::{RefreshToken, Secret};

/// Stored session, with which the next start needs no password. Frequent sign-ins could lock the account.
///
/// ```
/// use mysa_cognito::{RefreshToken, Secret, StoredSession};
///
/// let mut session = StoredSession::new("ann@example.org", "19efs8tgqe942atbqmot5m36t3");
/// session.refresh_token = Some(RefreshToken::new(Secret::from("a refresh token")));
/// let text = session.to_json();
/// assert_eq!(StoredSession::from_json(text.as_bytes())?, session);
/// # Ok::<(), mysa_cognito::StoredError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredSession {
    /// User name, as typed.
    pub account: String,
    /// App client that the refresh token belongs to.
    pub client_id: String,
    /// Refresh token. `None` after it was refused.
    pub refresh_token: Option<RefreshToken>,
    /// Generation of the refresh token: each new token has a higher one than all earlier tokens. 0 in sessions of
    /// earlier versions.
    pub generation: u64,
    /// Fingerprint of the last refresh token that the pool refused, by [`RefreshToken::fingerprint`].
    pub refused_token: Option<String>,
    /// The user's id in the identity pool.
    pub identity_id: Option<String>,
    /// Name of a final refusal. While it is set, nothing is tried until a person signs in.
    pub refused: Option<String>,
    /// Time before which no sign-in is allowed after a lock-out or throttling, in Unix seconds.
    pub not_before: Option<i64>,
    /// Time at which the broker last denied publishing, in Unix seconds. `None` if it never did, or permitted it since.
    /// Permissions can change, so an old time means little.
    pub publish_denied_at: Option<i64>,
}

impl fmt::Debug for StoredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSession")
            .field("refresh_token", &self.refresh_token)
            .field("generation", &self.generation)
            .field("refused", &self.refused)
            .field("not_before", &self.not_before)
            .field("publish_denied_at", &self.publish_denied_at)
            .finish_non_exhaustive()
    }
}

/// Error in the text of a stored session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoredError {
    /// The text is not the JSON of a session.
    Unreadable,
    /// A later version of this crate wrote the session.
    Newer {
        /// Version of the format.
        version: u32,
    },
}

impl fmt::Display for StoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the stored session is invalid: sign in again"),
            Self::Newer { version } => {
                write!(
                    f,
                    "the stored session has version {version}, this program knows {VERSION}; update it or sign in again"
                )
            }
        }
    }
}

impl core::error::Error for StoredError {}

/// Normalised account name, for comparison.
fn normalized(account: &str) -> impl Iterator<Item = char> {
    account.trim().chars().flat_map(char::to_lowercase)
}

const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    account: &'a str,
    client_id: &'a str,
    refresh_token: Option<&'a str>,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_token: Option<&'a str>,
    identity_id: Option<&'a str>,
    refused: Option<&'a str>,
    not_before: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish_denied_at: Option<i64>,
}

#[derive(Deserialize)]
struct Read {
    account: String,
    client_id: String,
    #[serde(default, deserialize_with = "crate::secret::optional")]
    refresh_token: Option<Secret>,
    #[serde(default)]
    generation: u64,
    #[serde(default)]
    refused_token: Option<String>,
    #[serde(default)]
    identity_id: Option<String>,
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    not_before: Option<i64>,
    #[serde(default)]
    publish_denied_at: Option<i64>,
}

impl StoredSession {
    /// Empty session of an account.
    #[must_use]
    pub fn new(account: &str, client_id: &str) -> Self {
        Self {
            account: account.into(),
            client_id: client_id.into(),
            refresh_token: None,
            generation: 0,
            refused_token: None,
            identity_id: None,
            refused: None,
            not_before: None,
            publish_denied_at: None,
        }
    }

    /// True if the session belongs to this account. Case and surrounding white space are ignored.
    #[must_use]
    pub fn belongs_to(&self, account: &str) -> bool {
        normalized(&self.account).eq(normalized(account))
    }

    /// True if the session may replace `kept` in a store that several processes share. Check this under the store's
    /// lock: an older refresh token must not overwrite a newer one of another process, and a refusal deletes only the
    /// refused token.
    ///
    /// False for another account. A session of another app client is replaced by any session with a refresh token.
    #[must_use]
    pub fn may_replace(&self, kept: &Self) -> bool {
        if !self.belongs_to(&kept.account) {
            return false;
        }
        if self.client_id != kept.client_id {
            return self.refresh_token.is_some();
        }
        match self.generation.cmp(&kept.generation) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => match (&self.refresh_token, &kept.refresh_token) {
                (_, None) => true,
                (Some(new), Some(old)) => new == old,
                (None, Some(old)) => self.refused_token.as_ref() == Some(&old.fingerprint()),
            },
        }
    }

    /// JSON that contains the refresh token: store it where only its owner can read it.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        let written = Written {
            version: VERSION,
            account: &self.account,
            client_id: &self.client_id,
            refresh_token: self.refresh_token.as_ref().map(RefreshToken::expose),
            generation: self.generation,
            refused_token: self.refused_token.as_deref(),
            identity_id: self.identity_id.as_deref(),
            refused: self.refused.as_deref(),
            not_before: self.not_before,
            publish_denied_at: self.publish_denied_at,
        };
        Zeroizing::new(serde_json::to_string(&written).expect("text and numbers are always JSON"))
    }

    /// Parses the text of [`StoredSession::to_json`]. Unknown members are ignored.
    ///
    /// # Errors
    /// The text is invalid or of a later version.
    pub fn from_json(text: &[u8]) -> Result<Self, StoredError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Object(Version { version }) =
            serde_json::from_slice(text).map_err(|_| StoredError::Unreadable)?;
        match version {
            VERSION => {}
            0 => return Err(StoredError::Unreadable),
            version => return Err(StoredError::Newer { version }),
        }
        let Object::<Read>(read) = serde_json::from_slice(text).map_err(|_| StoredError::Unreadable)?;
        Ok(Self {
            account: read.account,
            client_id: read.client_id,
            refresh_token: read.refresh_token.map(RefreshToken::new),
            generation: read.generation,
            refused_token: read.refused_token,
            identity_id: read.identity_id,
            refused: read.refused,
            not_before: read.not_before,
            publish_denied_at: read.publish_denied_at,
        })
    }
}
