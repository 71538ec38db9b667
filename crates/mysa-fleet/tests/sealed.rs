//! Sealed tokens: vectors, what is bound to a token, keys and their rotation, and errors.
#![allow(clippy::unwrap_used, reason = "tests")]

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use mysa_cognito::Secret;
use mysa_fleet::{
    AccountId, FleetId, InvalidKeys, InvalidSealed, KeyId, Keyring, OpenError, SealError, SealedToken,
    SealingKey,
};
use proptest::prelude::*;

/// Key with the bytes 0 to 31.
const KEY: &str = "2026-11 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEXT: &str = "next ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// "a refresh token" of account home-1 in fleet north, by key 2026-11 and the nonce of bytes 100 to 123. Made by libsodium
/// (PyNaCl 1.6.2) from the associated data that the docs of `SealedToken` describe.
const SEALED: &str = "mysa-sealed-1.north.home-1.2026-11.ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7.\
                      HVOL1Zlc7PHvEOlQzQrTRcFoNLjahxl5wUrf7EZPJA";

/// Appendix A.3.1 of draft-irtf-cfrg-xchacha-03.
#[test]
fn the_cipher_agrees_with_its_draft() {
    let key: [u8; 32] = core::array::from_fn(|at| 0x80 + at as u8);
    let nonce: [u8; 24] = core::array::from_fn(|at| 0x40 + at as u8);
    let msg = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                sunscreen would be it.";
    let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
    let sealed =
        XChaCha20Poly1305::new(&key.into()).encrypt(&nonce.into(), Payload { msg, aad: &aad }).unwrap();
    assert_eq!(
        hex::encode(sealed),
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
         ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
         21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49"
    );
}

#[test]
fn another_implementation_of_the_format_makes_the_same_text() {
    let sealed =
        keys(KEY).seal(&fleet("north"), &account("home-1"), &Secret::from("a refresh token"), nonce());
    assert_eq!(sealed.unwrap().to_string(), SEALED);
    let opened = keys(KEY).open(&fleet("north"), &account("home-1"), &SEALED.parse().unwrap());
    assert_eq!(opened.unwrap().expose(), "a refresh token");
}

#[test]
fn a_token_is_opened_for_its_own_account_alone() {
    let sealed: SealedToken = SEALED.parse().unwrap();
    let wrong = |of: &str, name: &str| keys(KEY).open(&fleet(of), &account(name), &sealed).unwrap_err();
    assert!(matches!(wrong("north", "home-2"), OpenError::WrongAccount { .. }));
    assert_eq!(
        wrong("south", "home-1").to_string(),
        "the token is sealed for account home-1 of fleet north, not for account home-1 of fleet south; add the \
         account again"
    );
    // Names that are changed in the text too: the associated data has them.
    for (of, name, key) in [
        ("north", "home-2", "2026-11"),
        ("south", "home-1", "2026-11"),
        // The same bytes in another division.
        ("nort", "hhome-1", "2026-11"),
        ("north", "home-1", "other"),
    ] {
        let text = SEALED.replace("north.home-1.2026-11", &format!("{of}.{name}.{key}"));
        let ring = keys(&KEY.replace("2026-11", key));
        let error = ring.open(&fleet(of), &account(name), &text.parse().unwrap()).unwrap_err();
        assert_eq!(error, OpenError::Damaged { key: KeyId::new(key).unwrap() }, "{text}");
    }
}

#[test]
fn a_key_is_changed_without_a_token_that_cannot_be_opened() {
    let (fleet, account) = (fleet("north"), account("home-1"));
    let both = keys(&format!("{NEXT}\n# the old one\n\n{KEY}\n"));
    assert_eq!(both.ids().map(KeyId::as_str).collect::<Vec<_>>(), ["next", "2026-11"]);
    let old: SealedToken = SEALED.parse().unwrap();
    assert!(!both.is_newest(&old));
    let secret = both.open(&fleet, &account, &old).unwrap();
    let new = both.seal(&fleet, &account, &secret, [7; 24]).unwrap();
    assert!(both.is_newest(&new));
    assert_eq!(both.newest().as_str(), "next");
    assert_eq!(keys(NEXT).open(&fleet, &account, &new).unwrap(), secret);
    assert_eq!(
        keys(KEY).open(&fleet, &account, &new).unwrap_err().to_string(),
        "the token is sealed with key 'next', which is not among the keys: 2026-11"
    );
    // A worker that knows the new key, but does not seal with it yet.
    assert_eq!(keys(&format!("{KEY}\n{NEXT}")).open(&fleet, &account, &new).unwrap(), secret);
}

#[test]
fn another_key_of_the_same_name_opens_nothing() {
    let other = keys(&NEXT.replace("next", "2026-11"));
    let error = other.open(&fleet("north"), &account("home-1"), &SEALED.parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("another key that is named '2026-11' too"), "{error}");
}

#[test]
fn an_invalid_text_is_explained() {
    let error = |text: &str| text.parse::<SealedToken>().unwrap_err();
    for text in ["", "x", "mysa-sealed-1", "mysa-sealed-x.a.b.c.d.e", "mysa-sealed-01.a", "mysa-sealed-+1.a"]
    {
        assert_eq!(error(text), InvalidSealed::Form, "{text}");
    }
    assert_eq!(error(&format!("{SEALED}.more")), InvalidSealed::Form);
    assert_eq!(error(&SEALED.replace("mysa-sealed-1", "mysa-sealed-2")), InvalidSealed::Newer { version: 2 });
    let part = |from: &str, to: &str| match error(&SEALED.replace(from, to)) {
        InvalidSealed::Part { part } => part,
        error => panic!("{error}"),
    };
    assert_eq!(part("north", ""), "fleet");
    assert_eq!(part("home-1", "home 1"), "account");
    assert_eq!(part("2026-11", "*"), "key");
    assert_eq!(part("eXp7", "eXp"), "nonce");
    assert_eq!(part("EZPJA", "EZPJA="), "ciphertext");
    // Bits after the last byte, which would give one token two texts.
    assert_eq!(part("EZPJA", "EZPJB"), "ciphertext");
    assert_eq!(part("HVOL1Zlc7PHvEOlQzQrTRcFoNLjahxl5wUrf7EZPJA", "HVOL1Zlc7PHvEOlQzQrT"), "ciphertext");
    assert_eq!(part("EZPJA", &"A".repeat(20_000)), "ciphertext");
}

#[test]
fn an_invalid_key_file_is_explained_without_its_keys() {
    let error = |text: &str| {
        let error = Keyring::parse(text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("AAEC") && !shown.contains("canary"), "{shown}");
        error
    };
    assert_eq!(error("# nothing\n \n"), InvalidKeys::Empty);
    let bytes = KEY.split_once(' ').unwrap().1;
    // A key without a name is no name, and is not shown as one.
    assert_eq!(error(bytes), InvalidKeys::Form { line: 1 });
    let unpadded = bytes.trim_end_matches('=');
    for name in [bytes, unpadded, &"x".repeat(33), "a.b"] {
        assert_eq!(error(&format!("\n{name} {bytes}")), InvalidKeys::Name { line: 2 });
    }
    assert_eq!(error(&format!("{KEY} canary")), InvalidKeys::Form { line: 1 });
    let id = |id: &str| KeyId::new(id).unwrap();
    for bad in ["canary", "AAEC", &*format!("{bytes}A"), &*bytes.replace('A', "!"), &bytes[1..]] {
        assert_eq!(error(&format!("a {bad}")), InvalidKeys::Key { line: 1, key: id("a") }, "{bad}");
    }
    assert_eq!(error(&format!("{KEY}\n{KEY}")), InvalidKeys::DuplicateName { line: 2, key: id("2026-11") });
    assert_eq!(
        error(&format!("{KEY}\nb {bytes}")).to_string(),
        "line 2: the key 'b' is the same as '2026-11'"
    );
    let line = |at: usize| SealingKey::new(id(&format!("k{at}")), [at as u8; 32]).to_line().to_string();
    let many = |count| (0..count).map(line).collect::<Vec<_>>().join("\n");
    assert_eq!(keys(&many(32)).ids().count(), 32);
    assert_eq!(error(&many(33)), InvalidKeys::TooLong);
    assert_eq!(error(&"#".repeat(70_000)), InvalidKeys::TooLong);
    // Unpadded, as some programs print it.
    assert_eq!(keys(KEY.trim_end_matches('=')).ids().count(), 1);
}

#[test]
fn nothing_shows_a_key_or_a_secret() {
    let key = SealingKey::new(KeyId::new("k").unwrap(), [b'x'; 32]);
    assert_eq!(format!("{key:?}"), "SealingKey { id: \"k\", .. }");
    let ring = Keyring::new(key.clone());
    let secret = Secret::from("canary");
    let sealed = ring.seal(&fleet("f"), &account("a"), &secret, nonce()).unwrap();
    let shown = format!("{ring:?} {sealed:?} {sealed}");
    assert!(!shown.contains("canary") && !shown.contains("120, 120"), "{shown}");
    assert_eq!(
        Keyring::parse(&key.to_line()).unwrap().open(&fleet("f"), &account("a"), &sealed).unwrap(),
        secret
    );
}

#[test]
fn a_secret_has_one_byte_to_eight_kibibytes() {
    let seal = |len: usize| {
        let secret = Secret::from("x".repeat(len));
        keys(KEY).seal(&fleet("f"), &account("a"), &secret, nonce())
    };
    assert_eq!(seal(0), Err(SealError::Length { len: 0 }));
    assert_eq!(seal(8_193), Err(SealError::Length { len: 8_193 }));
    let text = seal(8_192).unwrap().to_string();
    // A value of a bucket has at most 16 KiB.
    assert!(text.len() < 11_500, "{}", text.len());
    let opened = keys(KEY).open(&fleet("f"), &account("a"), &text.parse().unwrap()).unwrap();
    assert_eq!(opened.expose().len(), 8_192);
}

proptest! {
    #[test]
    fn a_sealed_secret_is_opened_again(
        name in "[A-Za-z0-9_-]{1,64}", of in "[A-Za-z0-9_-]{1,64}", secret in "\\PC{1,300}", bytes: [u8; 32], nonce: [u8; 24],
    ) {
        let ring = Keyring::new(SealingKey::new(KeyId::new("k").unwrap(), bytes));
        let (fleet, account) = (fleet(&of), account(&name));
        let sealed = ring.seal(&fleet, &account, &Secret::from(secret.as_str()), nonce).unwrap();
        let read: SealedToken = sealed.to_string().parse().unwrap();
        prop_assert_eq!(&read, &sealed);
        let opened = ring.open(&fleet, &account, &read).unwrap();
        prop_assert_eq!(opened.expose(), secret);
    }

    #[test]
    fn a_changed_byte_opens_nothing(at in 0..SEALED.len(), to in any::<u8>()) {
        let mut text = SEALED.as_bytes().to_vec();
        prop_assume!(text[at] != to);
        text[at] = to;
        if let Some(sealed) = String::from_utf8(text).ok().and_then(|text| text.parse::<SealedToken>().ok()) {
            let ring = keys(&format!("{KEY}\n{NEXT}"));
            prop_assert!(ring.open(sealed.fleet(), sealed.account(), &sealed).is_err());
            prop_assert!(ring.open(&fleet("north"), &account("home-1"), &sealed).is_err());
        }
    }
}

fn keys(text: &str) -> Keyring {
    Keyring::parse(text).unwrap()
}

fn fleet(name: &str) -> FleetId {
    FleetId::new(name).unwrap()
}

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn nonce() -> [u8; 24] {
    core::array::from_fn(|at| 100 + at as u8)
}
