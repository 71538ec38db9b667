use mysa_sigv4::{
    Authority, Credentials, PresignedUrl, Presigner, Request, TokenRule, Verifier, VerifyError,
};
use time::OffsetDateTime;

use crate::script::Script;

const NOW: i64 = 1_767_323_045;

/// Text that may be a presigned URL. An accepted URL is inspected the same way twice and prints nothing of its query; a
/// verifier that knows the key never accepts a forged signature.
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
            assert!(query.len() < 8 || !format!("{url:?}").contains(query), "a secret prints");
            // At the time of signing, only the signature can be wrong.
            let request = Request { method: "GET", target: url.target(), headers: &headers };
            let verdict = verifier.verify(&request, inspection.signed_at, |_| Some(&credentials));
            assert!(verdict.is_err(), "a forgery is taken");
            url.target().to_owned()
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            text.to_owned()
        }
    };
    let request = Request { method: "GET", target: &target, headers: &headers };
    let verdict = verifier.verify(&request, now, |_| Some(&credentials));
    assert!(verdict.is_err(), "a forgery is taken");
    if verifier.explain(&request).is_err() {
        assert_ne!(verdict, Err(VerifyError::Signature), "what cannot be explained is malformed");
    }
}

/// Presigner and verifier. A signed URL verifies until it expires, but not with one byte of it or of the host changed,
/// nor with another key or token.
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

fn moment(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
