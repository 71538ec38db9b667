use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

/// Error: a text cannot name an account, a worker, a command, a fleet or a key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct InvalidName {
    /// The text.
    pub text: String,
}

/// Maximum length of a name, in bytes.
const MAX_NAME: usize = 64;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid name {:?}: expected 1 to {MAX_NAME} of A-Z, a-z, 0-9, -, _ and =", self.text)
    }
}

impl core::error::Error for InvalidName {}

/// Names become parts of the keys of a bucket, between dots, so they have neither dots nor wildcards.
fn check(text: &str) -> Result<Arc<str>, InvalidName> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='));
    if (1..=MAX_NAME).contains(&text.len()) && is_plain {
        Ok(text.into())
    } else {
        // A long text from outside is not repeated in full.
        Err(InvalidName { text: text.chars().take(MAX_NAME).collect() })
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a name: 1 to 64 of `A-Z`, `a-z`, `0-9`, `-`, `_` and `=`.
            ///
            /// # Errors
            /// The text has another length or another character.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                check(text).map(Self)
            }

            /// Text of the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}

names! {
    /// Name of an account, unique in the fleet.
    AccountId;
    /// Name of a worker, unique among the workers that run. Two processes with one name do not endanger the accounts:
    /// each has sessions of its own.
    WorkerId;
    /// Name that the caller gives to a command, unique for its account.
    CommandId;
    /// Name of a fleet, for which a token is sealed.
    FleetId;
    /// Name of a key of a [`Keyring`](crate::Keyring), which is not secret.
    KeyId;
}

impl CommandId {
    /// Lower bound of all names, which is none itself.
    pub(crate) fn first() -> Self {
        Self("".into())
    }
}
