//! Signing key and hashes of SigV4. Values that depend on the secret are wiped on drop.

use core::str;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// SHA-256 of the empty payload: an upgrade request has no body.
pub(crate) const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Only algorithm of SigV4 with shared keys.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Last part of every scope.
pub(crate) const TERMINATOR: &str = "aws4_request";

/// 32 bytes in lower-case hexadecimal.
pub(crate) struct Hex([u8; 64]);

impl Hex {
    pub(crate) fn of_hash(hash: Sha256) -> Self {
        Self::of(&hash.finalize().into())
    }

    fn of(bytes: &[u8; 32]) -> Self {
        let mut text = [0; 64];
        // Arithmetic compiles to vector instructions, a table does not: the `hex` crate took a tenth of the time of a
        // cached URL.
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *pair = [digit(byte >> 4), digit(byte & 0xf)];
        }
        Self(text)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Signing key of a day, region and service, with both HMAC pads already hashed.
#[derive(Clone)]
pub(crate) struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    pub(crate) fn derive(aws4_secret: &[u8], day: &str, region: &str, service: &str) -> Self {
        let mut key = hmac(aws4_secret, day);
        for part in [region, service, TERMINATOR] {
            key = hmac(&*key, part);
        }
        Self(keyed(&*key))
    }

    /// Signs the string to sign, given in pieces.
    pub(crate) fn sign(&self, pieces: &[impl AsRef<[u8]>]) -> Hex {
        let mut mac = self.0.clone();
        update_all(pieces, |bytes| mac.update(bytes));
        Hex::of(&mac.finalize().into_bytes().into())
    }
}

/// Passes small pieces to `update` as few large ones. A hash processes whole blocks in place but buffers partial ones,
/// which for pieces this small costs as much as hashing.
pub(crate) fn update_all(pieces: &[impl AsRef<[u8]>], mut update: impl FnMut(&[u8])) {
    let mut buffer = [0; 256];
    let mut filled = 0;
    for piece in pieces.iter().map(AsRef::as_ref) {
        if buffer.len() - filled < piece.len() {
            update(&buffer[..filled]);
            filled = 0;
        }
        match buffer.get_mut(filled..filled + piece.len()) {
            Some(room) => {
                room.copy_from_slice(piece);
                filled += piece.len();
            }
            None => update(piece),
        }
    }
    update(&buffer[..filled]);
}

fn hmac(key: &[u8], message: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = keyed(key);
    mac.update(message.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of any length")]
    Hmac::new_from_slice(key).expect("any length is a key")
}
