//! Comparison with AWS's own signer for Rust, on random input.
//!
//! `aws-sigv4` always states a lifetime when it presigns; URLs without one are left to the vectors.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as AwsCredentials;
use aws_sigv4::http_request::{
    SessionTokenMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use mysa_sigv4::{
    Authority, Credentials, HeaderSigner, HeaderVerifier, MAX_EXPIRES, PresignedUrl, Presigner, Request,
    TokenRule, Verifier, VerifyError,
};
use proptest::prelude::*;
use time::OffsetDateTime;

const YEAR_2100: i64 = 4_102_444_800;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn signatures_equal_those_of_aws_sigv4_and_verify(job in job()) {
        for rule in [TokenRule::AfterSigning, TokenRule::Signed] {
            let url = job.presign(rule);
            let (signature, parameters) = job.by_aws(rule);
            let needle = format!("&X-Amz-Signature={signature}");
            prop_assert!(url.as_str().contains(&needle), "{} lacks {needle}", url.as_str());

            let mut days = Presigner::iot(&job.region)
                .into_cached(job.credentials(), job.authority.clone(), &job.path, rule)
                .expect("a plain path");
            for time in [job.time - time::Duration::DAY, job.time, job.time] {
                let _ = days.presign(time, Some(job.expires)).expect("signable");
            }
            let by_days = days.presign(job.time, Some(job.expires)).expect("signable");
            prop_assert_eq!(by_days.as_str(), url.as_str());

            prop_assert_eq!(job.verify(rule, url.target()), Ok(()));
            // In AWS's order and encoding, too.
            prop_assert_eq!(job.verify(rule, &format!("{}?{parameters}", job.path)), Ok(()));
        }
    }

    /// The verifier rejects every change of a signed URL, unless the change does not alter its meaning.
    #[test]
    fn a_changed_byte_is_refused_or_equivalent(job in job(), at in any::<prop::sample::Index>(), to in 0x21_u8..0x7f) {
        let url = job.presign(TokenRule::AfterSigning);
        let mut target = url.target().as_bytes().to_vec();
        let at = at.index(target.len());
        let from = std::mem::replace(&mut target[at], to);
        let target = String::from_utf8(target).expect("ASCII");
        if job.verify(TokenRule::AfterSigning, &target).is_ok() {
            // Hexadecimal digits of an escape may be in lower case.
            prop_assert!(from == to || from.eq_ignore_ascii_case(&to), "{} for {} at {at}", char::from(to), char::from(from));
            prop_assert!(from == to || target[..at].ends_with('%') || target[..at - 1].ends_with('%'));
        }
    }

    /// Queries have no plus: `aws-sigv4` reads it as a space, this crate as a plus.
    #[test]
    fn header_signatures_equal_those_of_aws_sigv4_and_verify(
        job in job(),
        token in proptest::option::of("[!-~]{1,300}"),
        key_id in "[A-Z0-9]{1,24}",
        query in proptest::option::of("([a-zA-Z0-9_.~-]{1,6}|%[2-7][0-9A-F])=([a-zA-Z0-9_.~:/-]|%[2-7][0-9A-F]){0,12}(&[a-z]{1,4}=[a-z0-9]{0,4}){0,3}"),
        more in proptest::collection::btree_map("[b-gi-z][a-z0-9-]{0,8}", "[!-~ ]{0,20}", 0..4),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let target = query.map_or_else(|| job.path.clone(), |query| format!("{}?{query}", job.path));
        let mut headers = vec![("host", job.authority.host_header())];
        headers.extend(
            more.iter().filter(|(name, _)| !name.starts_with("user-agent")).map(|(name, value)| (&**name, &**value)),
        );
        let credentials = Credentials::new(&key_id, &job.secret, token.as_deref());
        let identity = AwsCredentials::from_keys(&key_id, &job.secret, token.clone()).into();
        for rule in [TokenRule::AfterSigning, TokenRule::Signed] {
            let request = Request { method: "POST", target: &target, headers: &headers };
            let signer = HeaderSigner::new(&job.region, "iot").with_token_rule(rule);
            let signed = signer.sign(&credentials, &request, &body, job.time).expect("signable");

            let mut settings = SigningSettings::default();
            settings.session_token_mode = match rule {
                TokenRule::Signed => SessionTokenMode::Include,
                TokenRule::AfterSigning => SessionTokenMode::Exclude,
            };
            let params = SigningParams::builder()
                .identity(&identity)
                .region(&job.region)
                .name("iot")
                .time(SystemTime::UNIX_EPOCH + Duration::from_secs(job.time.unix_timestamp().unsigned_abs()))
                .settings(settings)
                .build()
                .expect("complete parameters")
                .into();
            let uri = format!("https://{}{target}", job.authority);
            let theirs = SignableRequest::new("POST", &uri, headers.iter().copied(), SignableBody::Bytes(&body));
            let (theirs, _) = sign(theirs.expect("a request"), &params).expect("signable").into_parts();
            let theirs: Vec<(&str, &str)> = theirs.headers().collect();
            for (name, value) in signed.iter() {
                prop_assert_eq!(theirs.iter().find(|(theirs, _)| *theirs == name).map(|(_, value)| *value), Some(value));
            }
            prop_assert_eq!(theirs.len(), signed.iter().count());

            let mut sent = headers.clone();
            sent.extend(signed.iter());
            sent.push(("user-agent", "unsigned"));
            let verifier = HeaderVerifier::new(&job.region, "iot").with_token_rule(rule);
            let request = Request { headers: &sent, ..request };
            let verified = verifier.verify(&request, &body, job.time, |id| (id == key_id).then_some(&credentials));
            prop_assert!(verified.is_ok(), "{verified:?}");
            let swapped = sent.iter().map(|(name, value)| if *name == "host" { ("host", "other.test") } else { (*name, *value) });
            let swapped: Vec<_> = swapped.collect();
            let request = Request { headers: &swapped, ..request };
            let refused = verifier.verify(&request, &body, job.time, |_| Some(&credentials));
            prop_assert_eq!(refused, Err(VerifyError::Signature));
        }
    }

    #[test]
    fn arbitrary_requests_are_decided_without_a_panic(
        query in "(&?(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Security-Token)|[a-z%+é]{0,3})=?[ -~é]{0,40}){0,9}",
        value in ".{0,20}",
    ) {
        let credentials = Credentials::new("k", "s", None);
        let target = format!("/mqtt?{query}");
        let request = Request { method: "GET", target: &target, headers: &[("Host", &value)] };
        let refused = Verifier::iot("r").verify(&request, OffsetDateTime::UNIX_EPOCH, |_| Some(&credentials));
        prop_assert!(refused.is_err());
        let headers = [("Host", "h"), ("Authorization", &*value), ("X-Amz-Date", &*value)];
        let request = Request { method: "GET", target: &target, headers: &headers };
        let refused =
            HeaderVerifier::new("r", "s").verify(&request, b"", OffsetDateTime::UNIX_EPOCH, |_| Some(&credentials));
        prop_assert!(refused.is_err());
        let _ = PresignedUrl::parse(&format!("wss://h{target}"));
        let _ = PresignedUrl::parse(&query);
        let _ = Authority::parse(&value);
    }
}

#[derive(Debug)]
struct Job {
    key_id: String,
    secret: String,
    token: Option<String>,
    region: String,
    authority: Authority,
    path: String,
    time: OffsetDateTime,
    expires: u32,
}

fn job() -> impl Strategy<Value = Job> {
    // Every kind of byte that is encoded, and secrets longer than a block of SHA-256. No slash in a path's middle:
    // empty segments are refused.
    let key_id = "[A-Z0-9+/=~ é]{1,24}";
    let secret = "[ -~é]{0,100}";
    let token = proptest::option::of("[ -~é]{1,300}");
    let authority =
        ("[a-z0-9]([a-zA-Z0-9-]{0,20}[a-z0-9])?(\\.[a-z]{2,5}){0,3}", proptest::option::of(1_u16..));
    let path = "/|(/[A-Za-z0-9_~-]{1,9}){1,3}/?";
    (key_id, secret, token, "[a-z]{2}-[a-z]{4,9}-[1-9]", authority, path, 0..YEAR_2100, 1..=MAX_EXPIRES)
        .prop_map(|(key_id, secret, token, region, (host, port), path, time, expires)| Job {
            key_id,
            secret,
            token,
            region,
            authority: Authority::new(&host, port).expect("a host"),
            path,
            time: OffsetDateTime::from_unix_timestamp(time).expect("a time"),
            expires,
        })
}

impl Job {
    fn credentials(&self) -> Credentials {
        Credentials::new(&self.key_id, &self.secret, self.token.as_deref())
    }

    fn presign(&self, rule: TokenRule) -> PresignedUrl {
        Presigner::iot(&self.region)
            .presign(&self.credentials(), &self.authority, &self.path, self.time, Some(self.expires), rule)
            .expect("signable")
    }

    /// The signature, and the query as `aws-sigv4` puts it together.
    fn by_aws(&self, rule: TokenRule) -> (String, String) {
        let identity = AwsCredentials::from_keys(&self.key_id, &self.secret, self.token.clone()).into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(self.expires.into()));
        settings.session_token_mode = match rule {
            TokenRule::Signed => SessionTokenMode::Include,
            TokenRule::AfterSigning => SessionTokenMode::Exclude,
        };
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("iotdevicegateway")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(self.time.unix_timestamp().unsigned_abs()))
            .settings(settings)
            .build()
            .expect("complete parameters")
            .into();
        let uri = format!("https://{}{}", self.authority, self.path);
        let host = [("host", self.authority.host_header())];
        let request =
            SignableRequest::new("GET", &uri, host.into_iter(), SignableBody::Bytes(&[])).expect("a request");
        let (instructions, signature) = sign(request, &params).expect("signable").into_parts();
        let parameters: Vec<String> = instructions
            .params()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace('%', "%25").replace('&', "%26")))
            .collect();
        (signature, parameters.join("&"))
    }

    fn verify(&self, rule: TokenRule, target: &str) -> Result<(), VerifyError> {
        let credentials = self.credentials();
        let upper = self.authority.host_header().to_ascii_uppercase();
        let request =
            Request { method: "GET", target, headers: &[("HOST", &upper), ("Upgrade", "websocket")] };
        Verifier::iot(&self.region)
            .with_path(&self.path)
            .with_token_rule(rule)
            .verify(&request, self.time, |id| (id == self.key_id).then_some(&credentials))
            .map(|verified| assert_eq!(verified.signed_at, self.time))
    }
}
