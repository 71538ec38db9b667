use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Now;

/// Signs the tokens of the user pool. This crate has HS256; a server adds RS256, which third-party programs check
/// against the pool's published keys.
pub trait TokenSigner: fmt::Debug + Send {
    /// `kid` of the tokens' header.
    fn key_id(&self) -> &str;

    /// `alg` of the tokens' header.
    fn algorithm(&self) -> &str;

    /// Signature over `header.payload`.
    fn sign(&self, message: &[u8]) -> Vec<u8>;

    /// The document at `/.well-known/jwks.json`.
    fn jwks(&self) -> String;
}

/// HS256 with a private key, for tests in which only the cloud itself checks signatures.
pub(crate) struct HmacSigner {
    key: [u8; 32],
}

impl HmacSigner {
    pub(crate) const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }
}

impl fmt::Debug for HmacSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSigner(..)")
    }
}

impl TokenSigner for HmacSigner {
    fn key_id(&self) -> &'static str {
        "simulated"
    }

    fn algorithm(&self) -> &'static str {
        "HS256"
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        // HMAC accepts a key of any length.
        Hmac::<Sha256>::new_from_slice(&self.key)
            .map(|mut mac| {
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            })
            .unwrap_or_default()
    }

    fn jwks(&self) -> String {
        json!({ "keys": [] }).to_string()
    }
}

/// Use of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TokenUse {
    Id,
    Access,
}

/// An issued token.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) account: usize,
    pub(crate) client: String,
    pub(crate) token_use: TokenUse,
    /// Sign-in that it originates from.
    pub(crate) origin: u64,
    /// Its `exp` claim, seconds since the Unix epoch.
    exp: i64,
    /// `true` if the token was revoked.
    void: bool,
}

/// All issued tokens that may still be valid.
#[derive(Debug)]
pub(crate) struct TokenIssuer {
    signer: Box<dyn TokenSigner>,
    issued: BTreeMap<[u8; 32], Issued>,
}

/// Maximum number of stored tokens; above it, expired ones are removed.
const REMEMBERED: usize = 4_096;

impl TokenIssuer {
    pub(crate) fn new(signer: Box<dyn TokenSigner>) -> Self {
        Self { signer, issued: BTreeMap::new() }
    }

    pub(crate) fn jwks(&self) -> String {
        self.signer.jwks()
    }

    /// Signs `claims` and stores the token.
    pub(crate) fn issue(&mut self, claims: &Value, issued: Issued, now: Now) -> String {
        let header = json!({ "kid": self.signer.key_id(), "alg": self.signer.algorithm() });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.signer.sign(message.as_bytes()));
        let token = format!("{message}.{signature}");
        if self.issued.len() >= REMEMBERED {
            self.issued.retain(|_, issued| issued.is_good(now));
            if self.issued.len() >= REMEMBERED {
                self.issued.pop_first();
            }
        }
        self.issued.insert(digest(&token), issued);
        token
    }

    /// Returns the record of `token`, if it was issued here and its `exp` has not passed.
    pub(crate) fn check(&self, token: &str, now: Now) -> Option<&Issued> {
        self.issued.get(&digest(token)).filter(|issued| issued.is_good(now))
    }

    /// Returns `true` if the token was issued here, expired or not.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.issued.contains_key(&digest(token))
    }

    pub(crate) fn void(&mut self, which: impl Fn(&Issued) -> bool) {
        self.issued.retain(|_, issued| !which(issued));
    }

    /// Revokes all tokens. A client cannot predict this, because `exp` is in the future.
    pub(crate) fn expire_all(&mut self) {
        for issued in self.issued.values_mut() {
            issued.void = true;
        }
    }
}

impl Issued {
    pub(crate) fn new(account: usize, client: &str, token_use: TokenUse, origin: u64, exp: i64) -> Self {
        Self { account, client: client.to_string(), token_use, origin, exp, void: false }
    }

    const fn is_good(&self, now: Now) -> bool {
        now.wall.as_secs() < self.exp && !self.void
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
