use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use mysa_cognito::Secret;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::token::{MAX_SECRET, NONCE, SealedToken, TAG};
use crate::{AccountId, FleetId, KeyId};

/// Key that seals tokens, and its name. It is wiped on drop, and [`fmt::Debug`] shows the name alone.
#[derive(Clone)]
pub struct SealingKey {
    id: KeyId,
    bytes: Zeroizing<[u8; KEY]>,
}

/// Length of a key, in bytes.
const KEY: usize = 32;
/// Maximum length of the name of a key in a text of keys, in bytes.
const MAX_ID: usize = 32;
/// Maximum number of keys.
const MAX_KEYS: usize = 32;
/// Maximum length of a text of keys, in bytes.
const MAX_TEXT: usize = 64 << 10;

impl SealingKey {
    /// Names a key. Draw the bytes from the operating system: they are the only secret that protects the tokens.
    #[must_use]
    pub fn new(id: KeyId, mut bytes: [u8; KEY]) -> Self {
        let key = Self { id, bytes: Zeroizing::new(bytes) };
        bytes.zeroize();
        key
    }

    /// Name of the key.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Line of the key in a text for [`Keyring::parse`], without a newline. It holds the key: store it where only its owner can
    /// read it.
    #[must_use]
    pub fn to_line(&self) -> Zeroizing<String> {
        // With its whole length at once, because a text that grows leaves copies behind.
        let mut line =
            Zeroizing::new(String::with_capacity(self.id.as_str().len() + 1 + KEY.div_ceil(3) * 4));
        line.push_str(self.id.as_str());
        line.push(' ');
        BASE64.encode_string(self.bytes.as_slice(), &mut line);
        line
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Keys of a fleet. The first one seals, and each opens what it has sealed.
///
/// Text: a line `ID BASE64` for each key, with a name of at most 32 bytes and 32 bytes in base64; empty lines and lines that begin with `#` are ignored. To change
/// the key without a time in which a worker cannot open a token: add the new key as the last line for all workers, then
/// move it to the first line, seal all tokens again, and remove the old line.
///
/// ```
/// use mysa_cognito::Secret;
/// use mysa_fleet::{AccountId, FleetId, Keyring, SealedToken};
///
/// let (fleet, account) = (FleetId::new("north")?, AccountId::new("home-1")?);
/// let old = Keyring::parse("2026 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")?;
/// let nonce = [9; 24]; // from the operating system, never used twice
/// let text = old.seal(&fleet, &account, &Secret::from("a token"), nonce)?.to_string();
///
/// let sealed: SealedToken = text.parse()?;
/// let new = Keyring::parse(
///     "2027 ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n2026 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
/// )?;
/// assert_eq!(new.open(&fleet, &account, &sealed)?.expose(), "a token");
/// assert!(!new.is_newest(&sealed), "to be sealed again");
/// assert!(new.open(&fleet, &AccountId::new("home-2")?, &sealed).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Keyring {
    first: SealingKey,
    others: Vec<SealingKey>,
}

/// Error in the text of a keyring. It shows no part of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidKeys {
    /// There is no key.
    Empty,
    /// The text is too long, or has too many keys.
    TooLong,
    /// A line is not a name and a key.
    Form {
        /// Number of the line, from 1.
        line: usize,
    },
    /// The name of a key is invalid.
    Name {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A key is not 32 bytes in base64.
    Key {
        /// Number of the line, from 1.
        line: usize,
        /// Name of the key.
        key: KeyId,
    },
    /// Two keys have one name.
    DuplicateName {
        /// Number of the second line, from 1.
        line: usize,
        /// Name of the keys.
        key: KeyId,
    },
    /// Two names have one key, so that a change from one to the other would change nothing.
    DuplicateKey {
        /// Number of the second line, from 1.
        line: usize,
        /// Name of the second key.
        key: KeyId,
        /// Name of the first key.
        first: KeyId,
    },
}

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no key: expected a line `ID BASE64` for each key"),
            Self::TooLong => write!(f, "too long: expected at most {MAX_KEYS} keys"),
            Self::Form { line } => {
                write!(
                    f,
                    "line {line}: expected `ID BASE64`: the name of a key, a space, and {KEY} bytes in base64"
                )
            }
            // The text may be a key without a name.
            Self::Name { line } => {
                write!(
                    f,
                    "line {line}: invalid name of a key: expected 1 to {MAX_ID} of A-Z, a-z, 0-9, - and _"
                )
            }
            Self::Key { line, key } => {
                write!(f, "line {line}: invalid key '{key}': expected {KEY} bytes in base64")
            }
            Self::DuplicateName { line, key } => write!(f, "line {line}: duplicate name of a key '{key}'"),
            Self::DuplicateKey { line, key, first } => {
                write!(f, "line {line}: the key '{key}' is the same as '{first}'")
            }
        }
    }
}

impl core::error::Error for InvalidKeys {}

/// Error: a secret cannot be sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SealError {
    /// The secret is empty or too long.
    Length {
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Length { len } = self;
        write!(f, "cannot seal a secret of {len} bytes: expected 1 to {MAX_SECRET}")
    }
}

impl core::error::Error for SealError {}

/// Error: a sealed token cannot be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OpenError {
    /// The token was sealed for another account or another fleet.
    WrongAccount {
        /// Fleet and account that it was sealed for.
        sealed_for: (FleetId, AccountId),
        /// Fleet and account that it was to be opened for.
        opened_for: (FleetId, AccountId),
    },
    /// The keyring does not have the key.
    UnknownKey {
        /// Name of the key.
        key: KeyId,
        /// Names of the keys that the keyring has.
        known: Vec<KeyId>,
    },
    /// The token is damaged, or the key of this name is another one than the token was sealed with.
    Damaged {
        /// Name of the key.
        key: KeyId,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongAccount { sealed_for, opened_for } => write!(
                f,
                "the token is sealed for account {} of fleet {}, not for account {} of fleet {}; add the account again",
                sealed_for.1, sealed_for.0, opened_for.1, opened_for.0
            ),
            Self::UnknownKey { key, known } => {
                write!(f, "the token is sealed with key '{key}', which is not among the keys:")?;
                for (at, known) in known.iter().enumerate() {
                    write!(f, "{} {known}", if at == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Damaged { key } => write!(
                f,
                "the sealed token is damaged, or was sealed with another key that is named '{key}' too; \
                 add the account again"
            ),
        }
    }
}

impl core::error::Error for OpenError {}

impl Keyring {
    /// Keyring with one key.
    #[must_use]
    pub const fn new(key: SealingKey) -> Self {
        Self { first: key, others: Vec::new() }
    }

    /// Parses the text of a key file. The first key seals.
    ///
    /// # Errors
    /// The first invalid line, or there is no key. The text of the error shows no part of a key.
    pub fn parse(text: &str) -> Result<Self, InvalidKeys> {
        if text.len() > MAX_TEXT {
            return Err(InvalidKeys::TooLong);
        }
        let mut keys: Vec<SealingKey> = Vec::with_capacity(MAX_KEYS);
        for (line, text) in (1..).zip(text.lines()) {
            let mut words = text.split_ascii_whitespace();
            let Some(id) = words.next().filter(|word| !word.starts_with('#')) else { continue };
            let (Some(key), None) = (words.next(), words.next()) else {
                return Err(InvalidKeys::Form { line });
            };
            // A key that stands in the place of its name is longer.
            let id = KeyId::new(id)
                .ok()
                .filter(|id| id.as_str().len() <= MAX_ID)
                .ok_or(InvalidKeys::Name { line })?;
            let Some(bytes) = decode(key) else { return Err(InvalidKeys::Key { line, key: id }) };
            let key = SealingKey { id, bytes };
            if keys.iter().any(|known| known.id == key.id) {
                return Err(InvalidKeys::DuplicateName { line, key: key.id });
            }
            if let Some(known) = keys.iter().find(|known| known.bytes.ct_eq(&*key.bytes).into()) {
                return Err(InvalidKeys::DuplicateKey { line, key: key.id, first: known.id.clone() });
            }
            // The list never grows beyond its first size, which would leave copies of the keys behind.
            if keys.len() == MAX_KEYS {
                return Err(InvalidKeys::TooLong);
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(InvalidKeys::Empty)?;
        Ok(Self { first, others: keys.collect() })
    }

    /// Name of the key that seals.
    #[must_use]
    pub const fn newest(&self) -> &KeyId {
        &self.first.id
    }

    /// Names of the keys. The first one seals.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys().map(SealingKey::id)
    }

    /// `true` if the key that seals has sealed this token, so that it need not be sealed again.
    #[must_use]
    pub fn is_newest(&self, sealed: &SealedToken) -> bool {
        sealed.key == self.first.id
    }

    /// Seals a secret of an account with the first key. `nonce` is random, from the operating system: a nonce that is used twice
    /// with one key breaks the encryption of both secrets.
    ///
    /// # Errors
    /// The secret is empty, or longer than 8 KiB.
    pub fn seal(
        &self,
        fleet: &FleetId,
        account: &AccountId,
        secret: &Secret,
        nonce: [u8; NONCE],
    ) -> Result<SealedToken, SealError> {
        let secret = secret.expose().as_bytes();
        let error = SealError::Length { len: secret.len() };
        if !(1..=MAX_SECRET).contains(&secret.len()) {
            return Err(error);
        }
        let key = &self.first;
        // With room for the tag: a list that grows leaves a copy of the secret behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(secret.len() + TAG));
        buffer.extend_from_slice(secret);
        let data = SealedToken::associated_data(fleet, account, &key.id);
        // The only error of the cipher is a message that is longer than 256 GiB.
        key.cipher().encrypt_in_place((&nonce).into(), &data, &mut *buffer).map_err(|_| error)?;
        Ok(SealedToken {
            fleet: fleet.clone(),
            account: account.clone(),
            key: key.id.clone(),
            nonce,
            ciphertext: core::mem::take(&mut *buffer),
        })
    }

    /// Opens the sealed secret of an account.
    ///
    /// # Errors
    /// It was sealed for another account, its key is not here, or it was not sealed with this key: it is damaged.
    pub fn open(
        &self,
        fleet: &FleetId,
        account: &AccountId,
        sealed: &SealedToken,
    ) -> Result<Secret, OpenError> {
        // For a clear error. What is verified is the associated data, which has the names of the caller.
        if (&sealed.fleet, &sealed.account) != (fleet, account) {
            return Err(OpenError::WrongAccount {
                sealed_for: (sealed.fleet.clone(), sealed.account.clone()),
                opened_for: (fleet.clone(), account.clone()),
            });
        }
        let Some(key) = self.keys().find(|key| key.id == sealed.key) else {
            return Err(OpenError::UnknownKey {
                key: sealed.key.clone(),
                known: self.ids().cloned().collect(),
            });
        };
        let damaged = || OpenError::Damaged { key: key.id.clone() };
        let mut buffer = Zeroizing::new(sealed.ciphertext.clone());
        let data = SealedToken::associated_data(fleet, account, &key.id);
        key.cipher().decrypt_in_place((&sealed.nonce).into(), &data, &mut *buffer).map_err(|_| damaged())?;
        let text = str::from_utf8(&buffer).map_err(|_| damaged())?;
        Ok(Secret::from(text))
    }

    fn keys(&self) -> impl Iterator<Item = &SealingKey> {
        core::iter::once(&self.first).chain(&self.others)
    }
}

/// Standard base64, as `openssl rand -base64 32` prints it. The padding may be absent.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn decode(text: &str) -> Option<Zeroizing<[u8; KEY]>> {
    // The decoder wants room for whole groups of three bytes.
    let mut bytes = Zeroizing::new([0; KEY + 1]);
    let len = BASE64.decode_slice(text, &mut *bytes).ok()?;
    let (key, _) = bytes.split_at_checked(len)?;
    Some(Zeroizing::new(key.try_into().ok()?))
}
