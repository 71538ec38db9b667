use mysa_sigv4::{
    Authority, Credentials, HeaderSigner, HeaderVerifier, PresignedUrl, Presigner, Request, TokenRule,
    Verifier, VerifyError,
};
use time::OffsetDateTime;

use crate::script::Script;

const NOW: i64 = 1_767_323_045;

/// Text that may be a presigned URL.
///
/// Input: the text.
///
/// An accepted URL is inspected the same way twice, and prints nothing of its query. A verifier that knows the key accepts no
/// signature that it did not make, neither at the time of signing nor now.
///
/// ```
/// mysa_fuzz::presigned_url(b"wss://a1-ats.iot.us-east-1.amazonaws.com/mqtt?X-Amz-Signature=00");
/// ```
pub fn presigned_url(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let credentials = Credentials::new("AKIDEXAMPLE", "a key that the input does not hold", Some("token"));
    let now = moment(NOW);
    let verifier = Verifier::iot("us-east-1");
    let headers = [("Host", "example.org"), ("Connection", "upgrade")];
    let target = match PresignedUrl::parse(text) {
        Ok(url) => {
            let inspection = url.inspect().unwrap_or_else(|error| panic!("{error} after parsing"));
            let again = PresignedUrl::parse(url.as_str()).and_then(|url| url.inspect());
            assert_eq!(again.as_ref(), Ok(&inspection));
            assert!(inspection.expires_at >= inspection.signed_at);
            assert!(url.target().starts_with('/'), "{}", url.target());
            let query = url.target().split_once('?').map_or("", |(_, query)| query);
            assert!(query.len() < 8 || !format!("{url:?}").contains(query), "a secret is printed");
            // At the time of signing, only the signature can be wrong.
            let request = Request { method: "GET", target: url.target(), headers: &headers };
            let verdict = verifier.verify(&request, inspection.signed_at, |_| Some(&credentials));
            assert!(verdict.is_err(), "a forged signature was accepted");
            url.target().to_owned()
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            text.to_owned()
        }
    };
    let request = Request { method: "GET", target: &target, headers: &headers };
    let verdict = verifier.verify(&request, now, |_| Some(&credentials));
    assert!(verdict.is_err(), "a forged signature was accepted");
    if verifier.explain(&request).is_err() {
        assert_ne!(verdict, Err(VerifyError::Signature), "what cannot be explained is malformed");
    }
}

/// Presigner and verifier of URLs.
///
/// Input: host, port, time of validity, place of the token, time, a byte to change and how, key id, token and secret.
///
/// A signed URL verifies from its time until it expires. It does not verify with one byte of it changed, or with another host, key
/// or token.
///
/// ```
/// mysa_fuzz::presign(b"\0\0\0\0\0\0\0\0\x07\0\x01\x04AKIDsecret");
/// ```
pub fn presign(data: &[u8]) {
    let mut script = Script::new(data);
    let host = script.pick(&["a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com", "localhost", "10.0.0.7"]);
    let port = script.option(Script::u16);
    let expires = script.option(|script| u32::from(script.u16()));
    let rule = if script.flag() { TokenRule::Signed } else { TokenRule::AfterSigning };
    let time = moment(i64::from(script.u32()) + 946_684_800);
    let (at, flip) = (script.u16(), script.byte());
    let key_id = script.text();
    let token = script.option(Script::text);
    let secret = String::from_utf8_lossy(script.rest()).into_owned();

    let credentials = Credentials::new(key_id.as_str(), secret.as_str(), token.as_deref());
    let Ok(authority) = Authority::new(host, port) else { return };
    let presigner = Presigner::iot("us-east-1");
    let Ok(url) = presigner.presign(&credentials, &authority, "/mqtt", time, expires, rule) else { return };

    let verifier = Verifier::iot("us-east-1").with_token_rule(rule);
    let lookup = |asked: &str| (asked == credentials.access_key_id()).then_some(&credentials);
    let verify = |target: &str, host: &str, now| {
        let request = Request { method: "GET", target, headers: &[("host", host)] };
        verifier.verify(&request, now, lookup)
    };
    let host_header = authority.host_header();
    match verify(url.target(), host_header, time) {
        Ok(verified) => {
            assert_eq!((verified.access_key_id.as_str(), verified.signed_at), (key_id.as_str(), time));
            let late = verified.valid_until + time::Duration::SECOND;
            assert_eq!(verify(url.target(), host_header, late), Err(VerifyError::Expired));
        }
        Err(refusal) => {
            // The target is too long, or the scope is invalid.
            assert!(
                refusal == VerifyError::TooLong || key_id.is_empty(),
                "{refusal:?} for what was just signed: {key_id:?} {token:?}"
            );
            return;
        }
    }
    let inspection = PresignedUrl::parse(url.as_str()).and_then(|url| url.inspect());
    let inspection = inspection.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((inspection.access_key_id.as_str(), inspection.expires), (key_id.as_str(), expires));
    assert_eq!(inspection.has_session_token, token.as_ref().is_some_and(|token| !token.is_empty()));

    let mut flipped = url.target().as_bytes().to_vec();
    let at = usize::from(at) % flipped.len();
    flipped[at] ^= flip.max(1);
    let (was, is) = (url.target().as_bytes()[at], flipped[at]);
    if let Ok(flipped) = core::str::from_utf8(&flipped)
        && verify(flipped, host_header, time).is_ok()
    {
        // Only the case of a percent sequence may differ.
        let escape = at >= 1 && flipped.as_bytes()[at.saturating_sub(2)..at].contains(&b'%');
        assert!(
            escape && was.eq_ignore_ascii_case(&is),
            "{} for {} at {at}",
            char::from(is),
            char::from(was)
        );
    }
    assert!(verify(url.target(), "example.org", time).is_err(), "another host");
    let other = Credentials::new(key_id.as_str(), format!("{secret}x"), token.as_deref());
    let request = Request { method: "GET", target: url.target(), headers: &[("host", host_header)] };
    assert!(verifier.verify(&request, time, |_| Some(&other)).is_err(), "another key");
    let other = Credentials::new(key_id.as_str(), secret.as_str(), Some("another token, for sure"));
    assert!(verifier.verify(&request, time, |_| Some(&other)).is_err(), "another token");
}

/// Signer and verifier of headers.
///
/// Input: time, a byte of the signature to change and how, place of the token, key id, secret, token, target, a header, then the
/// body.
///
/// A signed request verifies, and five minutes later it does not. It does not verify with another signature, target, body or key.
/// Every request that can be signed can be explained.
///
/// ```
/// mysa_fuzz::signed_headers(b"\0\0\0\0\0\0\x01\0\x04AKID\x06secret\0\x07devices\0\0body");
/// ```
pub fn signed_headers(data: &[u8]) {
    let mut script = Script::new(data);
    let time = moment(i64::from(script.u32()) + 946_684_800);
    let (at, flip) = (usize::from(script.u16()), script.byte().max(1));
    let rule = if script.flag() { TokenRule::Signed } else { TokenRule::AfterSigning };
    let (key_id, secret) = (script.text(), script.text());
    let token = script.option(Script::text);
    let (target, name, value) = (format!("/{}", script.text()), script.text(), script.text());
    let body = script.rest();

    let credentials = Credentials::new(key_id.as_str(), secret.as_str(), token.as_deref());
    let mut headers = vec![("host", "iot.us-east-1.amazonaws.com"), (name.as_str(), value.as_str())];
    if name.is_empty() {
        headers.pop();
    }
    let request = Request { method: "GET", target: &target, headers: &headers };
    let signer = HeaderSigner::new("us-east-1", "iot").with_token_rule(rule);
    let explained = signer.explain(&credentials, &request, body, time);
    let signed = match signer.sign(&credentials, &request, body, time) {
        Ok(signed) => signed,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(explained.err(), Some(error));
            return;
        }
    };
    assert!(explained.is_ok(), "what is signed can be explained");
    let verifier = HeaderVerifier::new("us-east-1", "iot").with_token_rule(rule);
    let mut sent = headers.clone();
    sent.extend(signed.iter());
    let verify = |target: &str, headers: &[(&str, &str)], body: &[u8], now, known: &Credentials| {
        let request = Request { method: "GET", target, headers };
        verifier.verify(&request, body, now, |asked| (asked == key_id).then_some(known))
    };
    let minutes = |minutes| time + time::Duration::minutes(minutes);
    let verdict = verify(&target, &sent, body, time, &credentials);
    // A header of the caller may be one that AWS reserves, and a request line may be too long.
    if verdict.is_err() {
        assert!(target.len() > mysa_sigv4::MAX_TARGET_LEN, "{verdict:?} for what was just signed: {sent:?}");
        return;
    }
    assert_eq!(verify(&target, &sent, body, minutes(6), &credentials), Err(VerifyError::Expired));
    assert_eq!(verify(&target, &sent, body, minutes(-6), &credentials), Err(VerifyError::NotYetValid));
    let other = Credentials::new(key_id.as_str(), format!("{secret}x"), token.as_deref());
    assert_eq!(verify(&target, &sent, body, time, &other), Err(VerifyError::Signature));
    assert!(verify(&format!("{target}x"), &sent, body, time, &credentials).is_err(), "another target");
    let longer = [body, b"x"].concat();
    assert_eq!(verify(&target, &sent, &longer, time, &credentials), Err(VerifyError::Signature));

    // The signature with one byte changed.
    let mut flipped = signed.authorization().as_bytes().to_vec();
    let at = flipped.len() - 1 - at % 64;
    flipped[at] ^= flip;
    if let Ok(flipped) = core::str::from_utf8(&flipped) {
        let changed = |&(name, value)| if name == "authorization" { (name, flipped) } else { (name, value) };
        let changed: Vec<(&str, &str)> = sent.iter().map(changed).collect();
        assert!(
            verify(&target, &changed, body, time, &credentials).is_err(),
            "a forged signature was accepted"
        );
    }
}

fn moment(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
