use mysa_cognito::Secret;
use mysa_fleet::{AccountId, FleetId, KeyId, Keyring, SealedToken, SealingKey};

use crate::script::Script;

/// Sealed tokens and key files of a fleet.
///
/// Input: a byte that selects the text of a sealed token, the text of a key file, or a sealed token with a changed byte.
///
/// A token is written as it was read. Nothing is opened that no key has sealed, or that was changed. An error in a key file shows
/// no key.
///
/// ```
/// mysa_fuzz::sealed(b"\x012026-11 not a key");
/// ```
pub fn sealed(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 3 {
        0 => token(rest),
        1 => keys(rest),
        _ => changed(rest),
    }
}

fn token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<SealedToken>() {
        Ok(sealed) => {
            assert_eq!(sealed.to_string(), text);
            // The key has the name that the text gives, so that the cipher decides.
            let ring = Keyring::new(SealingKey::new(sealed.key().clone(), [0x5A; 32]));
            match ring.open(sealed.fleet(), sealed.account(), &sealed) {
                Ok(_) => panic!("opened although no key has sealed it: {text}"),
                Err(error) => assert!(error.to_string().len() < 400, "{error}"),
            }
        }
        Err(error) => assert!(error.to_string().len() < 200, "{error}"),
    }
}

fn keys(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Keyring::parse(text) {
        Ok(ring) => {
            let ids: Vec<&KeyId> = ring.ids().collect();
            assert_eq!(ids.first(), Some(&ring.newest()));
            assert!(ids.iter().all(|id| text.contains(id.as_str())));
        }
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(error.to_string().len() < 300, "{shown}");
            // The first word of a line of two is a name, which is shown.
            let keys = text.lines().filter_map(|line| line.split_ascii_whitespace().nth(1));
            for key in keys.filter(|key| key.len() > 40 && !text.contains(&format!("{key} "))) {
                assert!(!shown.contains(key), "a key is shown: {shown}");
            }
        }
    }
}

fn changed(data: &[u8]) {
    let mut script = Script::new(data);
    let (at, with) = (script.u16(), script.byte());
    let secret = format!("a token and {:?}", script);
    let name = |text| AccountId::new(text).unwrap_or_else(|error| panic!("{error}"));
    let (Ok(fleet), Ok(key)) = (FleetId::new("north"), KeyId::new("k")) else { return };
    let ring = Keyring::new(SealingKey::new(key, [0xA5; 32]));
    let sealed = ring.seal(&fleet, &name("home-1"), &Secret::from(secret.as_str()), [script.byte(); 24]);
    let Ok(sealed) = sealed else { return };
    assert_eq!(ring.open(&fleet, &name("home-1"), &sealed).map(|opened| opened.expose() == secret), Ok(true));
    assert!(ring.open(&fleet, &name("home-2"), &sealed).is_err());
    let mut text = sealed.to_string().into_bytes();
    let at = usize::from(at) % text.len();
    if with == 0 {
        return;
    }
    text[at] ^= with;
    let Some(other) = str::from_utf8(&text).ok().and_then(|text| text.parse::<SealedToken>().ok()) else {
        return;
    };
    assert!(ring.open(&fleet, &name("home-1"), &other).is_err(), "opened although byte {at} is another");
    assert!(
        ring.open(other.fleet(), other.account(), &other).is_err(),
        "opened although byte {at} is another"
    );
}
