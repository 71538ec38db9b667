//! Decisions of the verifier beyond the vectors.

use mysa_sigv4::{
    Authority, Credentials, MAX_EXPIRES, MAX_TARGET_LEN, PresignError, PresignedUrl, Presigner, Request,
    TokenRule, UrlError, Verifier, VerifyError,
};
use time::OffsetDateTime;

const HOST: &str = "a1-ats.iot.us-east-1.amazonaws.com";
const NOW: i64 = 1_767_323_045;

/// The signature is that of awscrt 0.36.1 for the upgrade request of AWS's device SDK, which signs `Connection` too.
#[test]
fn a_request_is_verified_by_the_headers_that_it_lists_as_signed() {
    let credentials = credentials(Some("t0ken/+="));
    let target = query(&[
        ("X-Amz-SignedHeaders", "connection%3Bhost"),
        ("X-Amz-Security-Token", "t0ken%2F%2B%3D"),
        ("X-Amz-Signature", "dfe476b3dafb77b569d89c87da32a22498afc2aea6f45690864ea7d25ca59f01"),
    ]);
    let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Host", HOST)];
    assert_eq!(verify(&target, &upgrade, NOW, Some(&credentials)), Ok(()));
    let other = [("Connection", "close"), ("Host", HOST)];
    assert_eq!(verify(&target, &other, NOW, Some(&credentials)), Err(VerifyError::Signature));
    for (connection, canonical) in [
        ("Upgrade", "connection:Upgrade\n"),
        ("  Upgrade ", "connection:Upgrade\n"),
        ("keep-alive,  Upgrade", "connection:keep-alive, Upgrade\n"),
    ] {
        let headers = [("Host", HOST), ("Connection", connection), ("Upgrade", "websocket")];
        let request = Request { method: "GET", target: &target, headers: &headers };
        let explained = Verifier::iot("us-east-1").explain(&request).expect(connection);
        let end = format!(
            "\n{canonical}host:{HOST}\n\nconnection;host\n\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(explained.canonical_request().ends_with(&end), "{explained:?}");
    }
    let two = [("connection", "a"), ("HOST", HOST), ("Connection", "b")];
    let request = Request { method: "GET", target: &target, headers: &two };
    let explained = Verifier::iot("us-east-1").explain(&request).expect("well formed");
    assert!(explained.canonical_request().contains("\nconnection:a,b\nhost:"), "{explained:?}");
    assert_eq!(verify(&target, &two, NOW, Some(&credentials)), Err(VerifyError::Signature));
    assert_eq!(verify(&target, &[("Host", HOST)], NOW, Some(&credentials)), Err(VerifyError::SignedHeaders));
}

#[test]
fn every_malformed_query_has_its_own_reason() {
    let long = "x".repeat(MAX_TARGET_LEN);
    let credential = |scope: &str| format!("AKID%2F{}", scope.replace('/', "%2F"));
    for (name, value, refusal) in [
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", VerifyError::Algorithm),
        ("X-Amz-Algorithm", "", VerifyError::Algorithm),
        ("X-Amz-Credential", "", VerifyError::CredentialScope),
        (
            "X-Amz-Credential",
            &credential("/us-east-1/iotdevicegateway/aws4_request"),
            VerifyError::DateMismatch,
        ),
        (
            "X-Amz-Credential",
            &credential("20260101/us-east-1/iotdevicegateway/aws4_request"),
            VerifyError::DateMismatch,
        ),
        (
            "X-Amz-Credential",
            &credential("20260102//iotdevicegateway/aws4_request"),
            VerifyError::CredentialScope,
        ),
        ("X-Amz-Credential", &credential("20260102/us-east-1//aws4_request"), VerifyError::CredentialScope),
        (
            "X-Amz-Credential",
            &credential("20260102/us-east-1/iotdevicegateway/AWS4_REQUEST"),
            VerifyError::CredentialScope,
        ),
        ("X-Amz-Credential", "%FF%2F20260102%2Fr%2Fs%2Faws4_request", VerifyError::CredentialScope),
        (
            "X-Amz-Credential",
            &credential("20260102/eu-west-1/iotdevicegateway/aws4_request"),
            VerifyError::Region,
        ),
        ("X-Amz-Credential", &credential("20260102/us-east-1/iotdata/aws4_request"), VerifyError::Service),
        ("X-Amz-Date", "20260102T030460Z", VerifyError::Date),
        ("X-Amz-Date", "20261302T030405Z", VerifyError::Date),
        ("X-Amz-SignedHeaders", "", VerifyError::SignedHeaders),
        ("X-Amz-SignedHeaders", "Host", VerifyError::SignedHeaders),
        ("X-Amz-SignedHeaders", "connection", VerifyError::SignedHeaders),
        ("X-Amz-SignedHeaders", "host%3Bconnection", VerifyError::SignedHeaders),
        ("X-Amz-SignedHeaders", "host%3Bhost", VerifyError::SignedHeaders),
        ("X-Amz-SignedHeaders", "host%3B", VerifyError::SignedHeaders),
        ("X-Amz-SignedHeaders", "host%0Ax", VerifyError::SignedHeaders),
        ("X-Amz-Expires", "", VerifyError::Expires),
        ("X-Amz-Expires", "-1", VerifyError::Expires),
        ("X-Amz-Expires", " 60", VerifyError::Expires),
        ("X-Amz-Expires", "99999999999999999999", VerifyError::Expires),
        ("X-Amz-Expires", "%D9%A1", VerifyError::Expires),
        ("X-Amz-Signature", "", VerifyError::Signature),
        ("X-Amz-Signature", "%", VerifyError::Encoding),
        ("%58-Amz-Date", "20260102T030405Z", VerifyError::DuplicateParameter),
        ("pad", &long, VerifyError::TooLong),
    ] {
        let mut changes = vec![("X-Amz-Signature", "00")];
        changes.push((name, value));
        let outcome = verify(&query(&changes), &[("Host", HOST)], NOW, Some(&credentials(None)));
        assert_eq!(outcome, Err(refusal), "{name}={value}");
    }
    for missing in
        ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"]
    {
        let target = query(&[("X-Amz-Signature", "00")]).replace(missing, "x");
        let outcome = verify(&target, &[("Host", HOST)], NOW, None);
        assert_eq!(outcome, Err(VerifyError::MissingParameter(missing)));
    }
}

#[test]
fn there_must_be_one_host_header() {
    let target = signed(None, None);
    let credentials = credentials(None);
    assert_eq!(verify(&target, &[("hOsT", HOST)], NOW, Some(&credentials)), Ok(()));
    assert_eq!(verify(&target, &[], NOW, Some(&credentials)), Err(VerifyError::Host));
    assert_eq!(
        verify(&target, &[("Host", HOST), ("host", HOST)], NOW, Some(&credentials)),
        Err(VerifyError::Host)
    );
    assert_eq!(verify(&target, &[("Host", "")], NOW, Some(&credentials)), Err(VerifyError::Signature));
}

#[test]
fn the_session_token_must_belong_to_the_key() {
    let host = [("Host", HOST)];
    for (sent, known, outcome) in [
        (None, None, Ok(())),
        (Some("t"), Some("t"), Ok(())),
        (None, Some("t"), Err(VerifyError::TokenMissing)),
        (Some("t"), None, Err(VerifyError::TokenUnexpected)),
        (Some("t"), Some("T"), Err(VerifyError::TokenWrong)),
        (Some("t"), Some("tt"), Err(VerifyError::TokenWrong)),
    ] {
        assert_eq!(
            verify(&signed(sent, None), &host, NOW, Some(&credentials(known))),
            outcome,
            "{sent:?} {known:?}"
        );
    }
    assert_eq!(verify(&signed(None, None), &host, NOW, None), Err(VerifyError::UnknownAccessKey));
}

#[test]
fn a_url_is_valid_from_the_skew_before_to_its_lifetime_after_both_included() {
    let (host, credentials) = ([("Host", HOST)], credentials(None));
    for (expires, last) in [(None, 300), (Some(1), 1), (Some(600), 600), (Some(MAX_EXPIRES), 604_800)] {
        let target = signed(None, expires);
        for (offset, outcome) in [
            (-301, Err(VerifyError::NotYetValid)),
            (-300, Ok(())),
            (0, Ok(())),
            (last, Ok(())),
            (last + 1, Err(VerifyError::Expired)),
        ] {
            assert_eq!(
                verify(&target, &host, NOW + offset, Some(&credentials)),
                outcome,
                "{expires:?} {offset}"
            );
        }
    }
}

#[test]
fn an_unsignable_url_is_refused() {
    let (credentials, authority) = (credentials(None), Authority::new(HOST, None).expect("a host"));
    let presign = |presigner: Presigner, path, expires| {
        presigner.presign(&credentials, &authority, path, at(NOW), expires, TokenRule::AfterSigning).map(drop)
    };
    let iot = || Presigner::iot("us-east-1");
    for seconds in [0, MAX_EXPIRES + 1, u32::MAX] {
        assert_eq!(presign(iot(), "/mqtt", Some(seconds)), Err(PresignError::Expires(seconds)));
    }
    for path in
        ["", "mqtt", "//", "/a//b", "/.", "/a/../b", "/a b", "/a%20b", "/mqtt?x=y", "/mqtt#x", "/é", "/a\nb"]
    {
        assert_eq!(presign(iot(), path, None), Err(PresignError::Path), "{path:?}");
    }
    for region in ["", "us/east", "us\neast"] {
        assert_eq!(presign(Presigner::iot(region), "/mqtt", None), Err(PresignError::Scope), "{region:?}");
    }
    let year_0 = OffsetDateTime::from_unix_timestamp(-62_167_219_201).expect("a time");
    let days = iot().into_cached(credentials.clone(), authority.clone(), "/mqtt", TokenRule::AfterSigning);
    assert_eq!(days.expect("a plain path").presign(year_0, None).map(drop), Err(PresignError::Date));
}

#[test]
fn a_url_without_a_signature_is_refused() {
    let good = format!("wss://{HOST}{}", signed(Some("t"), None));
    assert!(PresignedUrl::parse(&format!(" {good}\n")).is_ok_and(|url| url.as_str() == good));
    assert!(PresignedUrl::parse(&good.replace("wss:", "HTTPS:")).is_ok());
    let with_port = PresignedUrl::parse(&good.replace(".com/", ".com:443/")).expect("a port may be written");
    assert_eq!(with_port.inspect().map(|seen| seen.authority.host_header().to_owned()), Ok(HOST.to_owned()));
    for (url, error) in [
        (String::new(), UrlError::Scheme),
        (good.replace("wss://", ""), UrlError::Scheme),
        (good.replace("wss:", "ws:"), UrlError::Scheme),
        (good.replace("wss:", "file:"), UrlError::Scheme),
        (format!("wss://{HOST}/mqtt"), UrlError::Query(VerifyError::MissingParameter("X-Amz-Algorithm"))),
        (format!("{good}#x"), UrlError::Query(VerifyError::Encoding)),
        (good.replace("X-Amz-Date", "X-Amz- Date"), UrlError::Query(VerifyError::Encoding)),
        (format!("{good}&X-Amz-Date=20260102T030405Z"), UrlError::Query(VerifyError::DuplicateParameter)),
    ] {
        assert_eq!(PresignedUrl::parse(&url).err(), Some(error), "{url}");
    }
    for host in ["", "user:secret@h", "h:x", "h\\x"] {
        let url = good.replace(HOST, host);
        assert!(matches!(PresignedUrl::parse(&url), Err(UrlError::Authority(_))), "{host}");
    }
}

fn credentials(token: Option<&str>) -> Credentials {
    Credentials::new("AKID", "secret", token)
}

fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).expect("a time")
}

/// Valid request target.
fn signed(token: Option<&str>, expires: Option<u32>) -> String {
    let authority = Authority::new(HOST, None).expect("a host");
    Presigner::iot("us-east-1")
        .presign(&credentials(token), &authority, "/mqtt", at(NOW), expires, TokenRule::AfterSigning)
        .expect("signable")
        .target()
        .to_owned()
}

/// A request target with some parameters replaced or added.
fn query(changes: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", "AKID%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request"),
        ("X-Amz-Date", "20260102T030405Z"),
        ("X-Amz-SignedHeaders", "host"),
    ];
    for change in changes {
        match parameters.iter_mut().find(|(name, _)| *name == change.0) {
            Some(parameter) => *parameter = *change,
            None => parameters.push(*change),
        }
    }
    let parameters: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("/mqtt?{}", parameters.join("&"))
}

fn verify(
    target: &str,
    headers: &[(&str, &str)],
    now: i64,
    known: Option<&Credentials>,
) -> Result<(), VerifyError> {
    let request = Request { method: "GET", target, headers };
    Verifier::iot("us-east-1").verify(&request, at(now), |_| known).map(drop)
}
