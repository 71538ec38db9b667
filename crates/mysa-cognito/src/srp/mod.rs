//! Secure Remote Password as in Cognito user pools: SRP-6a with the 3072-bit group and SHA-256, and a signature instead
//! of the usual proof. `tests/vectors.rs` checks it against other implementations.

pub(crate) mod modp_group;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_bigint::{NonZero, U256, U6144};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use self::modp_group::{Element, N, Number, generator_to, power};

/// Invalid value from the pool, for which no password proof is computed.
///
/// A user pool never sends such a value. No proof was sent, so nothing was revealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SrpError {
    /// A number is not hexadecimal, is empty, or is too long.
    BadHex {
        /// Name of the number.
        field: &'static str,
    },
    /// The secret block is not base64.
    BadSecretBlock,
    /// The peer's public value is a multiple of N, which would determine the key without a password.
    PublicValueZero,
    /// The scrambling parameter u is zero.
    ScramblerZero,
}

impl fmt::Display for SrpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadHex { field } => write!(f, "{field} is not a hexadecimal number"),
            Self::BadSecretBlock => f.write_str("SECRET_BLOCK is not base64"),
            Self::PublicValueZero => f.write_str("the public value is a multiple of N"),
            Self::ScramblerZero => f.write_str("the scrambling parameter is zero"),
        }
    }
}

impl core::error::Error for SrpError {}

/// Client side of an exchange: a secret exponent and the public value `A` computed from it.
///
/// ```
/// use mysa_cognito::srp::Ephemeral;
///
/// let ephemeral = Ephemeral::new(&[7; 32]).ok_or("not random at all")?;
/// assert_eq!(ephemeral.public_hex().len(), 768);
/// # Ok::<(), &str>(())
/// ```
pub struct Ephemeral {
    secret: Zeroizing<Number>,
    bits: u32,
    public: Number,
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ephemeral").field("secret", &"Secret(..)").finish_non_exhaustive()
    }
}

impl Ephemeral {
    /// Computes `A` from up to 383 random bytes; 32 are enough. `None` for more, and if all are zero.
    #[must_use]
    pub fn new(random: &[u8]) -> Option<Self> {
        let bits = u32::try_from(random.len()).ok()?.checked_mul(8)?;
        // One byte less than N, so that adding `u x` later cannot overflow.
        if bits > Number::BITS - 8 || random.iter().all(|&byte| byte == 0) {
            return None;
        }
        let secret = Zeroizing::new(wide(random));
        let public = generator_to(&*secret, bits).retrieve();
        // 2^a is never a multiple of an odd N, so A mod N is not zero.
        Some(Self { secret, bits, public })
    }

    /// `A` for the user pool: lower-case hexadecimal without leading zeros.
    #[must_use]
    pub fn public_hex(&self) -> String {
        unpadded_hex(&self.public)
    }

    /// Computes the key that proves knowledge of the password.
    ///
    /// `user_id` is `USER_ID_FOR_SRP` of the challenge, not the typed name; `salt` and `b` are hexadecimal.
    ///
    /// # Errors
    /// The pool's values are not safe to answer.
    pub fn claim_key(
        &self,
        pool_name: &str,
        user_id: &str,
        password: &str,
        salt: &str,
        b: &str,
    ) -> Result<ClaimKey, SrpError> {
        let b = number("SRP_B", b)?;
        let b_element = element(&b)?;
        let u = scrambler(&self.public.to_be_bytes(), &b)?;
        let x = private_key(pool_name, user_id, password, salt)?;
        // (B - k g^x) ^ (a + u x); the subtraction is modular, so the base cannot be negative.
        let base = b_element - multiplier() * generator_to(&*x, U256::BITS);
        let product: Zeroizing<crypto_bigint::U512> = Zeroizing::new(u.concatenating_mul(&*x));
        let exponent = Zeroizing::new(self.secret.wrapping_add(&product.resize()));
        let bits = self.bits.max(crypto_bigint::U512::BITS).saturating_add(1).min(Number::BITS);
        let mut shared = power(&base, &exponent, bits).retrieve();
        let key = ClaimKey::derive(&shared, &u);
        shared.zeroize();
        Ok(key)
    }
}

/// Key of 16 bytes, equal on both sides if they use the same password.
pub struct ClaimKey(Zeroizing<[u8; 16]>);

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimKey(Secret(..))")
    }
}

impl ClaimKey {
    pub(crate) fn derive(shared: &Number, u: &U256) -> Self {
        let shared = Zeroizing::new(pad(&shared.to_be_bytes()));
        let prk = hmac(&pad(&u.to_be_bytes()), &[&shared]);
        let block = hmac(prk.as_slice(), &[b"Caldera Derived Key", &[1]]);
        let mut key = Zeroizing::new([0; 16]);
        for (to, from) in key.iter_mut().zip(block.as_slice()) {
            *to = *from;
        }
        Self(key)
    }

    /// Bytes of the key, for comparison with published vectors.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn mac(
        &self,
        pool_name: &str,
        user_id: &str,
        secret_block: &str,
        timestamp: &str,
    ) -> Result<Zeroizing<[u8; 32]>, SrpError> {
        let block = STANDARD.decode(secret_block).map_err(|_| SrpError::BadSecretBlock)?;
        Ok(hmac(&*self.0, &[pool_name.as_bytes(), user_id.as_bytes(), &block, timestamp.as_bytes()]))
    }

    /// `PASSWORD_CLAIM_SIGNATURE` in base64, for the challenge's secret block (base64) and a
    /// [`timestamp`](crate::timestamp).
    ///
    /// # Errors
    /// The secret block is not base64.
    pub fn sign(
        &self,
        pool_name: &str,
        user_id: &str,
        secret_block: &str,
        timestamp: &str,
    ) -> Result<String, SrpError> {
        Ok(STANDARD.encode(self.mac(pool_name, user_id, secret_block, timestamp)?))
    }
}

/// `k` = H(pad(N) ‖ pad(2)), a constant.
pub(crate) fn multiplier() -> Element {
    let digest = Sha256::new().chain_update([0]).chain_update(N.to_be_bytes()).chain_update([2]).finalize();
    Element::new(&wide(&digest))
}

/// `x` = H(pad(salt) ‖ H(pool name ‖ user id ‖ ":" ‖ password)). The salt is read as a number, as in AWS's libraries.
pub(crate) fn private_key(
    pool_name: &str,
    user_id: &str,
    password: &str,
    salt: &str,
) -> Result<Zeroizing<U256>, SrpError> {
    let salt = number("SALT", salt)?;
    let mut inner = Sha256::new();
    for part in [pool_name, user_id, ":", password] {
        inner.update(part.as_bytes());
    }
    let mut inner = inner.finalize();
    let mut outer = Sha256::new().chain_update(pad(&salt)).chain_update(inner).finalize();
    let x = Zeroizing::new(U256::from_be_slice(&outer));
    inner.zeroize();
    outer.zeroize();
    Ok(x)
}

/// `u` = H(pad(A) ‖ pad(B)).
pub(crate) fn scrambler(a: &[u8], b: &[u8]) -> Result<U256, SrpError> {
    let digest = Sha256::new().chain_update(pad(a)).chain_update(pad(b)).finalize();
    let u = U256::from_be_slice(&digest);
    if u == U256::ZERO { Err(SrpError::ScramblerZero) } else { Ok(u) }
}

/// Reduces a public value modulo N. A multiple of N is an error.
pub(crate) fn element(number: &[u8]) -> Result<Element, SrpError> {
    let mut bytes = [0; U6144::BYTES];
    let (_, low) = bytes.split_at_mut(U6144::BYTES.saturating_sub(number.len()));
    for (to, from) in low.iter_mut().zip(number) {
        *to = *from;
    }
    let modulus = NonZero::new(N).expect("N is not zero");
    // The value is public, so variable time is safe.
    let reduced = U6144::from_be_slice(&bytes).rem_vartime(&modulus);
    if reduced == Number::ZERO { Err(SrpError::PublicValueZero) } else { Ok(Element::new(&reduced)) }
}

/// Parses a hexadecimal number with an even or odd number of digits.
pub(crate) fn number(field: &'static str, text: &str) -> Result<Vec<u8>, SrpError> {
    let bad = SrpError::BadHex { field };
    if text.is_empty() || text.len() > U6144::BYTES * 2 {
        return Err(bad);
    }
    let digit =
        |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(bad);
    let (odd, even) = text.as_bytes().split_at(text.len() % 2);
    let mut bytes = Vec::with_capacity(text.len() / 2 + 1);
    for &byte in odd {
        bytes.push(digit(byte)?);
    }
    for pair in even.chunks_exact(2) {
        let mut value = 0;
        for &byte in pair {
            value = value << 4 | digit(byte)?;
        }
        bytes.push(value);
    }
    Ok(bytes)
}

/// Bytes of a non-negative number as in Java's `BigInteger`: the shortest form, with a leading zero byte if the top bit
/// is set. Not padded to the size of N.
pub(crate) fn pad(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|&byte| byte != 0).unwrap_or(number.len());
    let digits = number.get(start..).unwrap_or_default();
    let mut padded = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|&first| first & 0x80 != 0) {
        padded.push(0);
    }
    padded.extend_from_slice(digits);
    padded
}

pub(crate) fn unpadded_hex(number: &Number) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = number.to_be_bytes();
    let nibbles = bytes.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = nibbles
        .skip_while(|&nibble| nibble == 0)
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)).copied().map(char::from))
        .collect();
    if hex.is_empty() { "0".into() } else { hex }
}

/// Number from at most 384 big-endian bytes.
pub(crate) fn wide(bytes: &[u8]) -> Number {
    let mut full = Zeroizing::new([0; Number::BYTES]);
    let start = Number::BYTES.saturating_sub(bytes.len());
    for (to, from) in full.iter_mut().skip(start).zip(bytes) {
        *to = *from;
    }
    Number::from_be_slice(&*full)
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}
