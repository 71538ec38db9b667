//! Server side of SRP, for simulated clouds and tests.

use alloc::string::String;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_bigint::U256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::srp::modp_group::{Element, Number, generator_to, power};
use crate::srp::{
    ClaimKey, SrpError, element, multiplier, number, private_key, scrambler, unpadded_hex, wide,
};
use crate::timestamp;

/// Verifier that a pool stores instead of a password.
#[derive(Clone)]
pub struct Verifier {
    pool_name: String,
    user_id: String,
    salt: String,
    verifier: Number,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Computes `v = g^x` from a password, as a pool does at sign-up. `salt` is hexadecimal, usually sixteen random
    /// bytes.
    ///
    /// # Errors
    /// The salt is not hexadecimal.
    pub fn new(pool_name: &str, user_id: &str, password: &str, salt: &str) -> Result<Self, SrpError> {
        let x = private_key(pool_name, user_id, password, salt)?;
        let verifier = generator_to(&*x, U256::BITS).retrieve();
        Ok(Self { pool_name: pool_name.into(), user_id: user_id.into(), salt: salt.into(), verifier })
    }

    /// Salt, sent as `SALT`.
    #[must_use]
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// `USER_ID_FOR_SRP`.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// `v` in hexadecimal, for comparison with published vectors.
    #[must_use]
    pub fn verifier_hex(&self) -> String {
        unpadded_hex(&self.verifier)
    }

    /// Answers a client's `A` with a `B` computed from up to 384 random bytes; 32 are enough.
    ///
    /// # Errors
    /// `A` is not hexadecimal, or is a multiple of N.
    pub fn challenge(&self, a: &str, random: &[u8]) -> Result<Exchange, SrpError> {
        let a = number("SRP_A", a)?;
        let a_element = element(&a)?;
        let secret = Zeroizing::new(wide(random));
        let bits = u32::try_from(random.len()).unwrap_or(u32::MAX).saturating_mul(8).min(Number::BITS);
        let verifier = Element::new(&self.verifier);
        let b = (multiplier() * verifier + generator_to(&*secret, bits)).retrieve();
        let u = scrambler(&a, &b.to_be_bytes())?;
        // (A v^u)^b
        let wide_u = wide(&u.to_be_bytes());
        let shared =
            Zeroizing::new(power(&(a_element * power(&verifier, &wide_u, 256)), &secret, bits).retrieve());
        Ok(Exchange {
            pool_name: self.pool_name.clone(),
            user_id: self.user_id.clone(),
            b,
            key: ClaimKey::derive(&shared, &u),
        })
    }
}

/// Exchange that waits for the client's claim.
#[derive(Debug)]
pub struct Exchange {
    pool_name: String,
    user_id: String,
    b: Number,
    key: ClaimKey,
}

/// Error of a password claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClaimError {
    /// The signature does not match the password.
    WrongSignature,
    /// The time stamp does not have the form `Fri Jan 2 03:04:05 UTC 2026`.
    BadTimestamp,
    /// The time stamp is more than five minutes from the server's clock.
    Skewed,
    /// The signature or the secret block is not base64.
    BadEncoding,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongSignature => "the signature does not match the password",
            Self::BadTimestamp => "the time stamp cannot be read",
            Self::Skewed => "the time stamp is too far from the server's clock",
            Self::BadEncoding => "signature or secret block is not base64",
        })
    }
}

impl core::error::Error for ClaimError {}

impl Exchange {
    /// `SRP_B`.
    #[must_use]
    pub fn public_hex(&self) -> String {
        unpadded_hex(&self.b)
    }

    /// Key, for comparison with published vectors.
    #[must_use]
    pub fn key(&self) -> &ClaimKey {
        &self.key
    }

    /// Checks `PASSWORD_CLAIM_SIGNATURE` at `now`, in Unix seconds. The comparison takes constant time.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(
        &self,
        secret_block: &str,
        stamp: &str,
        signature: &str,
        now: i64,
    ) -> Result<(), ClaimError> {
        let at = timestamp::parse(stamp).ok_or(ClaimError::BadTimestamp)?;
        if now.abs_diff(at) > 300 {
            return Err(ClaimError::Skewed);
        }
        let sent = STANDARD.decode(signature).map_err(|_| ClaimError::BadEncoding)?;
        let right = self
            .key
            .mac(&self.pool_name, &self.user_id, secret_block, stamp)
            .map_err(|_| ClaimError::BadEncoding)?;
        if bool::from(right.as_slice().ct_eq(&sent)) { Ok(()) } else { Err(ClaimError::WrongSignature) }
    }
}
