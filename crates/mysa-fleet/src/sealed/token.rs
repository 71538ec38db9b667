use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{AccountId, FleetId, KeyId};

/// Secret of an account, encrypted and authenticated. Only a [`Keyring`](crate::Keyring) with its key opens it, and only for the
/// account and the fleet that it was sealed for.
///
/// Text: `mysa-sealed-1.FLEET.ACCOUNT.KEY.NONCE.CIPHERTEXT`. Names are as they are, since a key of a bucket shows them too; nonce (24
/// bytes) and ciphertext are base64url without padding. A text has one form: [`fmt::Display`] returns what was parsed.
///
/// The encryption is XChaCha20-Poly1305. Its associated data is, each preceded by its length in bytes (64 bits,
/// big-endian): `mysa-sealed-1`, fleet, account, key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealedToken {
    pub(super) fleet: FleetId,
    pub(super) account: AccountId,
    pub(super) key: KeyId,
    pub(super) nonce: [u8; NONCE],
    /// With the tag of 16 bytes at its end.
    pub(super) ciphertext: Vec<u8>,
}

/// Length of a nonce, in bytes.
pub(super) const NONCE: usize = 24;
/// Length of the tag, in bytes.
pub(super) const TAG: usize = 16;
/// Format and its version, in the text and in the associated data.
pub(super) const FORMAT: &str = "mysa-sealed-1";
/// Maximum length of a secret, in bytes. A session with a refresh token of a user pool has about 2,000.
pub(super) const MAX_SECRET: usize = 8 << 10;

/// Error: a text is not a sealed token.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidSealed {
    /// The text has another form.
    Form,
    /// A later version of this crate sealed the token.
    Newer {
        /// Version of the format.
        version: u32,
    },
    /// A part of the text is invalid.
    Part {
        /// Name of the part.
        part: &'static str,
    },
}

impl fmt::Display for InvalidSealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "not a sealed token: expected mysa-sealed-1.FLEET.ACCOUNT.KEY.NONCE.CIPHERTEXT; add the account again",
            ),
            Self::Newer { version } => {
                write!(f, "the sealed token has format {version}, this program knows 1; update it")
            }
            Self::Part { part } => write!(f, "the {part} of the sealed token is damaged; add the account again"),
        }
    }
}

impl core::error::Error for InvalidSealed {}

impl SealedToken {
    /// Fleet that it was sealed for, according to its text. [`Keyring::open`](crate::Keyring::open) verifies it.
    #[must_use]
    pub const fn fleet(&self) -> &FleetId {
        &self.fleet
    }

    /// Account that it was sealed for, according to its text. [`Keyring::open`](crate::Keyring::open) verifies it.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// Key that it was sealed with.
    #[must_use]
    pub const fn key(&self) -> &KeyId {
        &self.key
    }

    /// Associated data: what a change to any of the names changes. With the lengths, no two lists of names have the
    /// same bytes.
    pub(super) fn associated_data(fleet: &FleetId, account: &AccountId, key: &KeyId) -> Vec<u8> {
        let mut data = Vec::new();
        for part in [FORMAT, fleet.as_str(), account.as_str(), key.as_str()] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

impl fmt::Display for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fleet, account, key, nonce, ciphertext } = self;
        let [nonce, ciphertext] = [&nonce[..], ciphertext].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        write!(f, "{FORMAT}.{fleet}.{account}.{key}.{nonce}.{ciphertext}")
    }
}

impl FromStr for SealedToken {
    type Err = InvalidSealed;

    /// Parses the text of a sealed token. It is not opened, so it may still be damaged.
    ///
    /// # Errors
    /// The text has another form, another version, or a part that cannot be.
    fn from_str(text: &str) -> Result<Self, InvalidSealed> {
        let (format, rest) = text.split_once('.').ok_or(InvalidSealed::Form)?;
        if format != FORMAT {
            let number = format.strip_prefix("mysa-sealed-").filter(|number| !number.starts_with(['+', '0']));
            let version = number.and_then(|number| number.parse().ok()).ok_or(InvalidSealed::Form)?;
            return Err(InvalidSealed::Newer { version });
        }
        let parts: Vec<&str> = rest.splitn(PARTS + 1, '.').collect();
        let Ok([fleet, account, key, nonce, ciphertext]) = <[&str; PARTS]>::try_from(parts) else {
            return Err(InvalidSealed::Form);
        };
        let part = |part| move |_| InvalidSealed::Part { part };
        let ciphertext = decode(ciphertext, MAX_SECRET + TAG).filter(|bytes| bytes.len() >= TAG);
        let nonce = decode(nonce, NONCE).and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            fleet: FleetId::new(fleet).map_err(part("fleet"))?,
            account: AccountId::new(account).map_err(part("account"))?,
            key: KeyId::new(key).map_err(part("key"))?,
            nonce: nonce.ok_or(InvalidSealed::Part { part: "nonce" })?,
            ciphertext: ciphertext.ok_or(InvalidSealed::Part { part: "ciphertext" })?,
        })
    }
}

/// Parts of the text after the format.
const PARTS: usize = 5;

/// Decodes base64url of at most so many bytes.
fn decode(text: &str, max: usize) -> Option<Vec<u8>> {
    // Before decoding, so that a long text costs nothing.
    if text.len() > max.div_ceil(3) * 4 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() <= max)
}
