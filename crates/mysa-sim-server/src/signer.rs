use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mysa_sim::TokenSigner;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

/// Signs the tokens of the simulated user pool with RS256, and publishes the public key.
///
/// The private key is part of this crate. It proves nothing except to programs that trust the simulated cloud, and a
/// fixed key saves generating one at each start.
#[derive(Debug)]
pub(crate) struct Rs256 {
    key: RsaKeyPair,
}

impl Rs256 {
    pub(crate) fn new() -> Self {
        let key = RsaKeyPair::from_pkcs8(include_bytes!("token_key.pk8"));
        Self { key: key.expect("the key beside this file is a PKCS #8 RSA key; a test signs with it") }
    }
}

impl TokenSigner for Rs256 {
    fn key_id(&self) -> &'static str {
        "mysa-sim-1"
    }

    fn algorithm(&self) -> &'static str {
        "RS256"
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("the buffer has the length of the modulus");
        signature
    }

    fn jwks(&self) -> String {
        let public = PublicKeyComponents::<Vec<u8>>::from(self.key.public());
        format!(
            r#"{{"keys":[{{"alg":"RS256","e":"{}","kid":"{}","kty":"RSA","n":"{}","use":"sig"}}]}}"#,
            URL_SAFE_NO_PAD.encode(public.e),
            self.key_id(),
            URL_SAFE_NO_PAD.encode(public.n),
        )
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_signature_verifies_with_the_published_key() {
        let signer = Rs256::new();
        let signature = signer.sign(b"header.claims");
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, signer.key.public());
        assert!(public.verify(b"header.claims", &signature).is_ok());
        assert!(public.verify(b"header.other", &signature).is_err());
    }

    #[test]
    fn the_key_set_is_json_with_one_key() {
        let keys: serde_json::Value = serde_json::from_str(&Rs256::new().jwks()).unwrap();
        assert_eq!(keys["keys"][0]["kid"], "mysa-sim-1");
        assert_eq!(keys["keys"][0]["e"], "AQAB");
    }
}
