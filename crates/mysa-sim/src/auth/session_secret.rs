//! Tokens and credentials that outlive a cloud: the next one with the same secret accepts them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::auth::identity_pool::Reach;

/// Secret by which a cloud recognises tokens and credentials of an earlier one.
///
/// A token of a cloud with a secret contains its own meaning and a code that only the secret can make. Clouds with the same
/// secret, accounts and names are one cloud to a client that keeps its session.
#[derive(Clone)]
pub struct SessionSecret([u8; 32]);

impl SessionSecret {
    /// Creates the secret from 32 random bytes, or from the hash of something that is kept.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn code(&self, purpose: &str, text: &str) -> [u8; 32] {
        // HMAC accepts a key of any length.
        Hmac::<Sha256>::new_from_slice(&self.0)
            .map(|mut mac| {
                // The purpose ends with a byte that no purpose contains, so that two never run into each other.
                mac.update(purpose.as_bytes());
                mac.update(&[0]);
                mac.update(text.as_bytes());
                mac.finalize().into_bytes().into()
            })
            .unwrap_or_default()
    }

    /// Key for the signatures of tokens.
    pub(crate) fn signing_key(&self) -> [u8; 32] {
        self.code("signature", "")
    }

    /// A UUID that only the secret makes of `text`.
    pub(crate) fn uuid(&self, purpose: &str, text: &str) -> String {
        let code = self.code(purpose, text);
        let mut number = u128::from_be_bytes(code.first_chunk().copied().unwrap_or_default());
        // Version 4, variant 1.
        number = number & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{number:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }

    /// Text with a code that only the secret makes of it.
    pub(crate) fn close(&self, purpose: &str, content: &Value) -> String {
        let text = URL_SAFE_NO_PAD.encode(format!("{content}"));
        let code = URL_SAFE_NO_PAD.encode(self.code(purpose, &text));
        format!("{text}.{code}")
    }

    /// Content of a text that this secret has closed for this purpose.
    pub(crate) fn open(&self, purpose: &str, closed: &str) -> Option<Value> {
        let (text, code) = closed.rsplit_once('.')?;
        if URL_SAFE_NO_PAD.encode(self.code(purpose, text)) != code {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    /// Access key id for a member of an identity pool: `ASIA` and 16 characters that tell whose it is and until when it
    /// is valid, in Unix seconds.
    pub(crate) fn access_key_id(&self, grant: &Grant, user_id: &str, noise: u64) -> String {
        let reach = u64::from(grant.reach == Reach::Full);
        let expires = grant.expires.clamp(0, (1 << 33) - 1).cast_unsigned();
        let account = u64::try_from(grant.account).unwrap_or(u64::MAX) & 0x3fff;
        let content = account << 42 | reach << 41 | expires << 8 | noise & 0xff;
        let number = u128::from(content) << 24 | u128::from(self.check(content, user_id));
        let letter = |place: u32| {
            let value = usize::try_from(number >> (75 - 5 * place) & 0x1f).unwrap_or(0);
            char::from(BASE32.get(value).copied().unwrap_or(b'A'))
        };
        let letters: String = (0..16).map(letter).collect();
        format!("ASIA{letters}")
    }

    /// Returns the meaning of an access key id, if this secret has made it for one of these users.
    pub(crate) fn grant(&self, access_key_id: &str, user_ids: &[String]) -> Option<Grant> {
        let letters = access_key_id.strip_prefix("ASIA").filter(|letters| letters.len() == 16)?;
        let mut number = 0_u128;
        for letter in letters.bytes() {
            let value = BASE32.iter().position(|&known| known == letter)?;
            number = number << 5 | value as u128;
        }
        let content = u64::try_from(number >> 24).ok()?;
        let account = usize::try_from(content >> 42).ok()?;
        if u128::from(self.check(content, user_ids.get(account)?)) != number & 0xff_ffff {
            return None;
        }
        Some(Grant {
            account,
            reach: if content >> 41 & 1 == 1 { Reach::Full } else { Reach::SubscribeOnly },
            expires: (content >> 8 & ((1 << 33) - 1)).cast_signed(),
        })
    }

    fn check(&self, content: u64, user_id: &str) -> u32 {
        let code = self.code("access-key", &format!("{content} {user_id}"));
        u32::from_be_bytes([0, code[0], code[1], code[2]])
    }

    /// Secret key and session token that belong to an access key id. Real ones contain characters that a URL must
    /// escape, and so do these.
    pub(crate) fn secret_key(&self, access_key_id: &str) -> (String, String) {
        let secret = STANDARD_NO_PAD.encode(self.code("secret-key", access_key_id));
        let secret: String = secret.chars().chain("/+".chars()).take(40).collect();
        let codes: Vec<u8> =
            (0..20).flat_map(|part| self.code("session-token", &format!("{part} {access_key_id}"))).collect();
        (secret, format!("IQoJb3JpZ2luX2VjE//+=/{}==", STANDARD_NO_PAD.encode(codes)))
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(..)")
    }
}

/// Permission of AWS credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Grant {
    pub(crate) account: usize,
    pub(crate) reach: Reach,
    /// Unix seconds.
    pub(crate) expires: i64,
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_sealed_text_opens_only_with_its_secret_and_purpose() {
        let (one, other) = (SessionSecret::new([1; 32]), SessionSecret::new([2; 32]));
        let closed = one.close("refresh", &json!({ "a": 1 }));
        assert_eq!(one.open("refresh", &closed), Some(json!({ "a": 1 })));
        assert_eq!((other.open("refresh", &closed), one.open("id", &closed)), (None, None));
        assert_eq!((one.open("refresh", ""), one.open("refresh", "a.b")), (None, None));
        let mut changed = closed.into_bytes();
        changed[0] ^= 1;
        assert_eq!(one.open("refresh", &String::from_utf8(changed).unwrap()), None);
        assert_eq!(alloc::format!("{one:?}"), "SessionSecret(..)");
    }

    #[test]
    fn an_access_key_id_identifies_its_account() {
        let secret = SessionSecret::new([1; 32]);
        let users = vec!["u-1".to_string(), "u-2".to_string()];
        let grant = Grant { account: 1, reach: Reach::SubscribeOnly, expires: 1_767_326_645 };
        let key = secret.access_key_id(&grant, "u-2", 77);
        assert!(key.len() == 20 && key.starts_with("ASIA"), "{key}");
        assert_eq!(secret.grant(&key, &users), Some(grant));
        assert_ne!(key, secret.access_key_id(&grant, "u-2", 78));
        let full = Grant { account: 0, reach: Reach::Full, expires: 5 };
        assert_eq!(secret.grant(&secret.access_key_id(&full, "u-1", 0), &users), Some(full));
        assert_eq!(secret.grant(&key, &users[..1]), None, "there is no such account");
        assert_eq!(SessionSecret::new([2; 32]).grant(&key, &users), None);
        let many: Vec<String> = (0..1_000).map(|number| format!("u-{number}")).collect();
        let last = Grant { account: 999, ..full };
        assert_eq!(secret.grant(&secret.access_key_id(&last, "u-999", 0), &many), Some(last));
        for bad in ["", "ASIA", "AKIAAAAAAAAAAAAAAAAA", "ASIA1111111111111111", "ASIAAAAAAAAAAAAAAAAA"] {
            assert_eq!(secret.grant(bad, &users), None, "{bad}");
        }
        let (secret_key, token) = secret.secret_key(&key);
        assert_eq!((secret_key.len(), secret.secret_key(&key).1 == token), (40, true));
        let uuid = secret.uuid("jti", "x");
        assert!(uuid.len() == 36 && uuid.as_bytes()[14] == b'4', "{uuid}");
    }
}
