//! Decisions of the verifier of signed headers beyond the vectors, and refusals of the signer.

use mysa_sigv4::{
    Credentials, HeaderSigner, HeaderVerifier, MAX_TARGET_LEN, Request, SignError, TokenRule, VerifyError,
};
use time::{Duration, OffsetDateTime};

const HOST: (&str, &str) = ("host", "iot.us-east-1.amazonaws.com");
const NOW: i64 = 1_767_323_045;
/// 2026-11-29T03:00:30Z
const BOTO3_TIME: i64 = 1_795_921_230;
const THING: &str = "/things/a1b2?x=1";

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).expect("a time")
}

fn credentials(token: Option<&str>) -> Credentials {
    Credentials::new("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
}

/// The headers of a signed request, to be changed.
fn signed(token: Option<&str>, rule: TokenRule) -> Vec<(String, String)> {
    let request = Request { method: "GET", target: THING, headers: &[HOST, ("x-amz-user-agent", "test")] };
    let signer = HeaderSigner::new("us-east-1", "iot").with_token_rule(rule);
    let signed = signer.sign(&credentials(token), &request, b"", at(NOW)).expect("signable");
    let own = [HOST, ("x-amz-user-agent", "test")];
    own.into_iter().chain(signed.iter()).map(|(name, value)| (name.into(), value.into())).collect()
}

fn verify_at(
    target: &str,
    headers: &[(String, String)],
    now: OffsetDateTime,
    known: Option<&Credentials>,
) -> Result<(), VerifyError> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = Request { method: "GET", target, headers: &headers };
    HeaderVerifier::new("us-east-1", "iot").verify(&request, b"", now, |_| known).map(|_| ())
}

fn verify(headers: &[(String, String)]) -> Result<(), VerifyError> {
    verify_at(THING, headers, at(NOW), Some(&credentials(Some("t/+="))))
}

/// The signed headers with every `from` in the value of one of them replaced.
fn replaced(name: &str, from: &str, to: &str) -> Vec<(String, String)> {
    let mut headers = signed(Some("t/+="), TokenRule::Signed);
    let value = &mut headers.iter_mut().find(|(sent, _)| sent == name).expect(name).1;
    assert!(value.contains(from), "{value} lacks {from}");
    *value = value.replace(from, to);
    headers
}

/// Both are requests of boto3 1.43.11 to the control plane of AWS IoT.
#[test]
fn the_requests_of_boto3_are_signed_identically_and_verified() {
    let known = credentials(Some("IQoJb3JpZ2luX2VjE+/=="));
    let time = at(BOTO3_TIME);
    for (target, signature) in [
        ("/things/a0b1c2d3e4f6", "ed5a5cc16dbdef27252e9c5e609e6d79dcfbdc43e57630c315a114099127f82b"),
        (
            "/endpoint?endpointType=iot%3AData-ATS",
            "816bbee7d1680d628477dc530da73b6da592da0636c0751150e241c9bbcb573d",
        ),
    ] {
        let request = Request { method: "GET", target, headers: &[HOST] };
        let signed = HeaderSigner::new("us-east-1", "iot").sign(&known, &request, b"", time).expect(target);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20261129/us-east-1/iot/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-security-token, Signature={signature}"
        );
        assert_eq!((signed.authorization(), signed.date()), (authorization.as_str(), "20261129T030030Z"));
        let headers = [
            ("Host", HOST.1),
            ("User-Agent", "Boto3/1.43.11"),
            ("X-Amz-Date", "20261129T030030Z"),
            ("X-Amz-Security-Token", "IQoJb3JpZ2luX2VjE+/=="),
            ("Authorization", authorization.as_str()),
            ("amz-sdk-invocation-id", "a194a616-1bea-461a-a0a5-5be2a950dd6b"),
            ("amz-sdk-request", "attempt=1"),
        ];
        let request = Request { method: "GET", target, headers: &headers };
        let verified = HeaderVerifier::new("us-east-1", "iot").verify(&request, b"", time, |_| Some(&known));
        assert!(verified.is_ok(), "{target}: {verified:?}");
    }
}

#[test]
fn every_malformed_authorization_has_its_own_reason() {
    assert_eq!(verify(&signed(Some("t/+="), TokenRule::Signed)), Ok(()));
    let authorization = |from: &str, to: &str| verify(&replaced("authorization", from, to));
    assert_eq!(authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), Err(VerifyError::Algorithm));
    let bare = |value: &str| {
        let mut headers = signed(Some("t/+="), TokenRule::Signed);
        headers.retain(|(name, _)| name != "authorization");
        headers.push(("authorization".into(), value.into()));
        verify(&headers)
    };
    assert_eq!(bare("AWS4-HMAC-SHA256"), Err(VerifyError::Authorization));
    assert_eq!(bare("Bearer x.y.z"), Err(VerifyError::Algorithm));
    for (from, to) in [
        ("Signature=", "Signed="),
        ("Signature=", "SignedHeaders=host, Signature="),
        (", Signature=", ", "),
        (", SignedHeaders=", " SignedHeaders="),
        ("Credential=", "Credential"),
    ] {
        assert_eq!(authorization(from, to), Err(VerifyError::Authorization), "{from}");
    }
    for (from, to) in
        [("/aws4_request", ""), ("/aws4_request", "/aws4"), ("/iot/", "//"), ("ASIAEXAMPLE", "")]
    {
        assert_eq!(authorization(from, to), Err(VerifyError::CredentialScope), "{to}");
    }
    assert_eq!(authorization("/us-east-1/", "/us-west-2/"), Err(VerifyError::Region));
    assert_eq!(authorization("/iot/", "/iotdevicegateway/"), Err(VerifyError::Service));
    assert_eq!(authorization("/20260102/", "/20260103/"), Err(VerifyError::DateMismatch));
    for to in ["Host;", "x-amz-date;host;", "", "host;x-amz-a;"] {
        let refused = authorization("SignedHeaders=host;", &format!("SignedHeaders={to}"));
        assert_eq!(refused, Err(VerifyError::SignedHeaders), "{to}");
    }
    // Spaces after the commas are optional.
    assert_eq!(authorization(", ", ","), Ok(()));
    assert_eq!(authorization("Signature=", "Signature=0"), Err(VerifyError::Signature));
}

#[test]
fn headers_that_are_missing_repeated_or_unsigned_are_refused() {
    let all = signed(Some("t/+="), TokenRule::Signed);
    for (name, missing, twice) in [
        ("host", VerifyError::Host, VerifyError::Host),
        (
            "authorization",
            VerifyError::MissingHeader("authorization"),
            VerifyError::DuplicateHeader("authorization"),
        ),
        ("x-amz-date", VerifyError::MissingHeader("x-amz-date"), VerifyError::DuplicateHeader("x-amz-date")),
        (
            "x-amz-security-token",
            VerifyError::SignedHeaders,
            VerifyError::DuplicateHeader("x-amz-security-token"),
        ),
        ("x-amz-user-agent", VerifyError::SignedHeaders, VerifyError::Signature),
    ] {
        let mut headers = all.clone();
        headers.retain(|(sent, _)| sent != name);
        assert_eq!(verify(&headers), Err(missing), "{name}");
        let mut headers = all.clone();
        let again = all.iter().find(|(sent, _)| sent == name).expect(name).clone();
        headers.push((again.0.to_ascii_uppercase(), again.1));
        assert_eq!(verify(&headers), Err(twice), "{name}");
    }
    let mut headers = all.clone();
    headers.push(("X-Amz-Target".into(), "unsigned".into()));
    assert_eq!(verify(&headers), Err(VerifyError::SignedHeaders));
    let mut headers = all;
    headers.push(("accept".into(), "unsigned".into()));
    assert_eq!(verify(&headers), Ok(()));
}

#[test]
fn a_signature_is_valid_only_for_its_request_its_time_and_its_key() {
    let headers = signed(None, TokenRule::Signed);
    let (known, long) = (credentials(None), "/x".repeat(MAX_TARGET_LEN));
    let check = |target, now, known| verify_at(target, &headers, now, known);
    for (seconds, expected) in [
        (NOW - 301, Err(VerifyError::NotYetValid)),
        (NOW - 300, Ok(())),
        (NOW + 300, Ok(())),
        (NOW + 301, Err(VerifyError::Expired)),
    ] {
        assert_eq!(check(THING, at(seconds), Some(&known)), expected, "{seconds}");
    }
    for target in ["/things/a1b3?x=1", "/things/a1b2?x=2", "/things/a1b2", "/things/a1b2?x=1&y"] {
        assert_eq!(check(target, at(NOW), Some(&known)), Err(VerifyError::Signature), "{target}");
    }
    assert_eq!(check("/things/a1b2?%78=%31", at(NOW), Some(&known)), Ok(()));
    assert_eq!(check("/things/../a1b2", at(NOW), Some(&known)), Err(VerifyError::Path));
    assert_eq!(check("/things/a1b2?%", at(NOW), Some(&known)), Err(VerifyError::Encoding));
    assert_eq!(check(&long, at(NOW), Some(&known)), Err(VerifyError::TooLong));
    assert_eq!(check(THING, at(NOW), None), Err(VerifyError::UnknownAccessKey));
    let other = Credentials::new("ASIAEXAMPLE", "other", None);
    assert_eq!(check(THING, at(NOW), Some(&other)), Err(VerifyError::Signature));

    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let verifier = HeaderVerifier::new("us-east-1", "iot").with_skew(Duration::minutes(10));
    let get = Request { method: "GET", target: THING, headers: &headers };
    let verified = verifier.verify(&get, b"", at(NOW + 600), |_| Some(&known)).expect("within ten minutes");
    assert_eq!(verified.access_key_id, "ASIAEXAMPLE");
    assert_eq!((verified.signed_at, verified.valid_until), (at(NOW), at(NOW + 600)));
    let verify =
        |request: Request<'_>, body: &[u8]| verifier.verify(&request, body, at(NOW), |_| Some(&known));
    assert_eq!(verify(Request { method: "POST", ..get }, b""), Err(VerifyError::Signature));
    assert_eq!(verify(get, b"{}"), Err(VerifyError::Signature));
}

#[test]
fn the_token_is_compared_and_must_be_signed_by_the_rule() {
    let with = signed(Some("t/+="), TokenRule::Signed);
    let after = signed(Some("t/+="), TokenRule::AfterSigning);
    let without = signed(None, TokenRule::Signed);
    let known = credentials(Some("t/+="));
    let check =
        |headers: &[(String, String)], known: &Credentials| verify_at(THING, headers, at(NOW), Some(known));
    assert_eq!(check(&with, &known), Ok(()));
    assert_eq!(check(&after, &known), Err(VerifyError::TokenNotSigned));
    assert_eq!(check(&without, &known), Err(VerifyError::TokenMissing));
    assert_eq!(check(&with, &credentials(None)), Err(VerifyError::TokenUnexpected));
    assert_eq!(check(&with, &credentials(Some("t/+"))), Err(VerifyError::TokenWrong));
    let headers: Vec<_> = with.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let verifier = HeaderVerifier::new("us-east-1", "iot").with_token_rule(TokenRule::AfterSigning);
    let request = Request { method: "GET", target: THING, headers: &headers };
    let refused = verifier.verify(&request, b"", at(NOW), |_| Some(&known));
    assert_eq!(refused, Err(VerifyError::TokenWasSigned));
}

#[test]
fn an_unsignable_request_is_refused_with_a_reason() {
    let sign = |credentials: &Credentials, target, headers: &[(&str, &str)], time| {
        let request = Request { method: "GET", target, headers };
        HeaderSigner::new("us-east-1", "iot").sign(credentials, &request, b"", time).map(|_| ())
    };
    let good = credentials(None);
    assert_eq!(sign(&good, "/", &[HOST], at(NOW)), Ok(()));
    for target in ["", "x", "//", "/a/../b", "/%41", "/é", "/a b"] {
        assert_eq!(sign(&good, target, &[HOST], at(NOW)), Err(SignError::Path), "{target}");
    }
    assert_eq!(sign(&good, "/?a=%4", &[HOST], at(NOW)), Err(SignError::Query));
    for headers in [
        &[][..],
        &[HOST, HOST],
        &[("Host", HOST.1)],
        &[HOST, ("Accept", "x")],
        &[HOST, ("accept", "a\r\nb: c")],
        &[HOST, ("a b", "x")],
        &[HOST, ("x-amz-date", "20260102T030405Z")],
        &[HOST, ("authorization", "x")],
        &[HOST, ("x-amz-security-token", "x")],
    ] {
        assert_eq!(sign(&good, "/", headers, at(NOW)), Err(SignError::Headers), "{headers:?}");
    }
    for (key, token) in [
        ("", None),
        ("AS IA", None),
        ("AS,IA", None),
        ("ASIA\n", None),
        ("ASIA", Some("a\nb")),
        ("ASIA", Some("é")),
    ] {
        let bad = Credentials::new(key, "secret", token);
        assert_eq!(sign(&bad, "/", &[HOST], at(NOW)), Err(SignError::Credentials), "{key:?} {token:?}");
    }
    assert_eq!(sign(&good, "/", &[HOST], at(-62_167_219_201)), Err(SignError::Date));
    for (region, service) in [("", "iot"), ("us-east-1", ""), ("us/east", "iot"), ("us-east-1", "i\not")] {
        let request = Request { method: "GET", target: "/", headers: &[HOST] };
        let refused = HeaderSigner::new(region, service).sign(&good, &request, b"", at(NOW));
        assert_eq!(refused.err(), Some(SignError::Scope), "{region:?} {service:?}");
    }
}
