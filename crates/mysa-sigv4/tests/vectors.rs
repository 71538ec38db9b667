//! Published and computed vectors, every case of every file.

use mysa_sigv4::{
    Authority, Credentials, Explanation, HeaderSigner, HeaderVerifier, Method, PresignedUrl, Presigner,
    Request, SignError, TokenRule, Verifier, VerifyError,
};
use serde_json::Value;
use time::OffsetDateTime;

const IOT: TokenRule = TokenRule::AfterSigning;

#[test]
fn both_presigners_reproduce_the_iot_presign_vectors() {
    let file = read(include_str!("data/iot_presign_vectors.json"));
    for case in list(&file["cases"]) {
        let name = text(&case["id"]);
        let job = Job::read(&case["input"]);
        let expected = &case["expected"];
        assert_eq!(job.authority.host_header(), text(&expected["host_header"]), "{name}");
        job.check(name, IOT, expected);
        if case["expected_token_signed"].is_object() {
            job.check(name, TokenRule::Signed, &case["expected_token_signed"]);
        } else {
            assert_eq!(job.url(TokenRule::Signed).as_str(), text(&expected["url"]), "{name}");
        }
        let url = job.url(IOT);
        assert!(url.as_str().contains(&format!("&X-Amz-Date={}", text(&expected["amz_date"]))), "{name}");
        let scope = text(&expected["credential_scope"]).replace('/', "%2F");
        assert!(url.as_str().contains(&format!("%2F{scope}&")), "{name}");
    }
}

#[test]
fn iot_presign_vectors_are_inspected_and_verified() {
    let file = read(include_str!("data/iot_presign_vectors.json"));
    for case in list(&file["cases"]) {
        let name = text(&case["id"]);
        let job = Job::read(&case["input"]);
        let url = PresignedUrl::parse(text(&case["expected"]["url"])).expect(name);
        let seen = url.inspect().expect(name);
        assert_eq!(seen.authority, job.authority, "{name}");
        assert_eq!(seen.access_key_id, job.credentials.access_key_id(), "{name}");
        assert_eq!((seen.region.as_str(), seen.service.as_str()), (job.region, job.service), "{name}");
        assert_eq!((seen.path.as_str(), seen.signed_headers.as_str()), (job.path, "host"), "{name}");
        assert_eq!((seen.signed_at, seen.expires), (job.time, job.expires), "{name}");
        assert_eq!(
            (seen.expires_at - job.time).whole_seconds(),
            i64::from(job.expires.unwrap_or(300)),
            "{name}"
        );
        assert_eq!(seen.has_session_token, job.credentials.has_session_token(), "{name}");

        assert_eq!(job.verify(IOT, url.target()), Ok(()), "{name}");
        let explained = job.verifier(IOT).explain(&get(url.target(), &job.headers())).expect(name);
        assert_eq!(explained.canonical_request(), text(&case["expected"]["canonical_request"]), "{name}");
        assert_eq!(explained.string_to_sign(), text(&case["expected"]["string_to_sign"]), "{name}");

        let Some(signed) = case["expected_token_signed"]["url"].as_str() else { continue };
        let signed = PresignedUrl::parse(signed).expect(name);
        assert_eq!(job.verify(TokenRule::Signed, signed.target()), Ok(()), "{name}");
        assert_eq!(job.verify(IOT, signed.target()), Err(VerifyError::TokenWasSigned), "{name}");
        assert_eq!(job.verify(TokenRule::Signed, url.target()), Err(VerifyError::TokenNotSigned), "{name}");
    }
}

#[test]
fn iot_verify_vectors_are_decided_as_expected() {
    let file = read(include_str!("data/iot_verify_vectors.json"));
    let credentials: Vec<Credentials> = file["credentials"]
        .as_object()
        .expect("credentials")
        .iter()
        .map(|(id, key)| Credentials::new(id, text(&key["secret_access_key"]), key["session_token"].as_str()))
        .collect();
    let verifier = Verifier::iot(text(&file["policy"]["region"]));
    for case in list(&file["cases"]) {
        let name = format!("{} {}", text(&case["id"]), text(&case["name"]));
        let request = Request {
            method: text(&case["method"]),
            target: text(&case["target"]),
            headers: &[("Host", text(&case["host_header"]))],
        };
        let outcome = verifier.verify(&request, at(&case["now"]), |id| {
            credentials.iter().find(|key| key.access_key_id() == id)
        });
        let outcome = match outcome {
            Ok(_) => "ok",
            // The file has one name for a wrong method and a wrong path.
            Err(VerifyError::Method | VerifyError::Path) => "bad-request-line",
            Err(refusal) => refusal.reason(),
        };
        assert_eq!(outcome, text(&case["expect"]), "{name}");
    }
}

#[test]
fn worked_examples_are_reproduced_and_wrong_examples_are_not() {
    let file = read(include_str!("data/sigv4.json"));
    for case in list(&file["vectors"]) {
        let job = Job::read(&case["input"]);
        job.check(text(&case["name"]), IOT, &case["expect"]);
    }
    for case in list(&file["negative"]) {
        let (name, wrong) = (text(&case["name"]), &case["wrong"]);
        // The URL that Mysa's endpoint expects, regardless of the mistake in the case.
        let job = Job::read(&case["input"]);
        let right = Presigner::iot(job.region)
            .presign(&job.credentials, &job.authority, job.path, job.time, job.expires, IOT)
            .expect(name);
        assert_ne!(right.as_str(), text(&wrong["url"]), "{name}");
        assert!(!right.as_str().contains(text(&wrong["signature"])), "{name}");
        let target = text(&wrong["url"]).split_once(".com").expect(name).1.trim_start_matches(":443");
        let refusal = Verifier::iot(job.region)
            .verify(&get(target, &job.headers()), job.time, |_| Some(&job.credentials))
            .expect_err(name);
        let expected = match name {
            "token-inside-the-signature" => VerifyError::TokenWasSigned,
            "host-with-port" => VerifyError::Signature,
            "wrong-service-name" => VerifyError::Service,
            other => panic!("say how {other} is to be refused"),
        };
        assert_eq!(refusal, expected, "{name}");
    }
    // Each mistake, reproduced here, gives the wrong signature of the file.
    let [token, _, service] = &list(&file["negative"])[..] else { panic!("three wrong variants") };
    Job::read(&token["input"]).check("token", TokenRule::Signed, &token["wrong"]);
    Job::read(&service["input"]).check("service", IOT, &service["wrong"]);
}

/// The presigner must agree with the cases marked `core`; the verifier must agree with every path and query
/// that it supports.
#[test]
fn aws_sigv4_suite_is_signed_and_verified() {
    let file = read(include_str!("data/aws_sigv4_suite.json"));
    let (mut signed, mut verified) = (0, 0);
    for case in list(&file["cases"]) {
        let name = text(&case["name"]);
        let (context, expected) = (&case["context"], &case["query"]);
        let relevance = text(&case["presigner_relevance"]);
        let method = if text(&case["request"]["method"]) == "POST" { Method::Post } else { Method::Get };
        let rule = if context["omit_session_token"] == true { IOT } else { TokenRule::Signed };
        let credentials = Credentials::new(
            text(&context["access_key_id"]),
            text(&context["secret_access_key"]),
            context["session_token"].as_str(),
        );
        assert_eq!(context["timestamp"], "2015-08-30T12:36:00Z", "{name}");
        let time = OffsetDateTime::from_unix_timestamp(1_440_938_160).expect(name);
        let expires = context["expiration_in_seconds"].as_u64().and_then(|s| u32::try_from(s).ok());
        let authority = Authority::new("example.amazonaws.com", None).expect(name);
        if relevance == "core" {
            let presigner =
                Presigner::new(text(&context["region"]), text(&context["service"])).with_method(method);
            let explained =
                presigner.explain(&credentials, &authority, "/", time, expires, rule).expect(name);
            compare(name, &explained, expected);
            let url = presigner.presign(&credentials, &authority, "/", time, expires, rule).expect(name);
            let signature = format!("&X-Amz-Signature={}", text(&expected["signature"]));
            assert!(url.as_str().contains(&signature), "{name}");
            signed += 1;
        }

        // The request as AWS's library signed it, read by the verifier: all but signed bodies, and paths that the
        // library normalised on the way.
        let raw = text(&expected["signed_request"]);
        let (head, _) = raw.split_once("\n\n").unwrap_or((raw, ""));
        let (line, headers) = head.split_once('\n').expect(name);
        let (_, target) = line.trim_end_matches(" HTTP/1.1").split_once(' ').expect(name);
        let path = target.split('?').next().expect(name);
        let as_sent = text(&expected["canonical_request"]).split('\n').nth(1) == Some(path);
        if context["sign_body"] == true || !as_sent || name == "get-header-value-multiline" {
            continue;
        }
        let headers: Vec<_> = headers.lines().map(|line| line.split_once(':').expect(name)).collect();
        let verifier = Verifier::new(text(&context["region"]), text(&context["service"]))
            .with_method(method)
            .with_path(path)
            .with_token_rule(rule);
        let request = Request { method: method.as_str(), target, headers: &headers };
        compare(name, &verifier.explain(&request).expect(name), expected);
        assert!(verifier.verify(&request, time, |_| Some(&credentials)).is_ok(), "{name}");
        verified += 1;
    }
    assert!(signed >= 5 && verified >= 20, "{signed} signed, {verified} verified");
}

/// Paths that need normalising or encoding are refused, by signer and verifier; both must agree with all
/// other cases.
#[test]
fn aws_sigv4_suite_is_signed_by_headers_and_verified() {
    let file = read(include_str!("data/aws_sigv4_suite.json"));
    let (mut signed, mut refused) = (0, 0);
    for case in list(&file["cases"]) {
        let name = text(&case["name"]);
        let (context, expected, request) = (&case["context"], &case["header"], &case["request"]);
        let rule = if context["omit_session_token"] == true { IOT } else { TokenRule::Signed };
        let credentials = Credentials::new(
            text(&context["access_key_id"]),
            text(&context["secret_access_key"]),
            context["session_token"].as_str(),
        );
        let time = OffsetDateTime::from_unix_timestamp(1_440_938_160).expect(name);
        let (region, service) = (text(&context["region"]), text(&context["service"]));
        let signer = HeaderSigner::new(region, service).with_token_rule(rule);
        let verifier = HeaderVerifier::new(region, service).with_token_rule(rule);
        let body = text(&request["body"]).as_bytes();
        let body = if context["sign_body"] == true { body } else { b"" };
        // A sender unfolds a header before it sends it (RFC 9112, 5.2).
        let mut headers: Vec<(String, String)> = list(&request["headers"])
            .iter()
            .map(|header| (text(&header[0]).to_ascii_lowercase(), text(&header[1]).replace('\n', " ")))
            .collect();
        // The library adds it when it signs the body.
        if context["sign_body"] == true {
            let hash = text(&expected["canonical_request"]).lines().last().expect(name);
            headers.push(("x-amz-content-sha256".into(), hash.into()));
        }
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (method, target) = (text(&request["method"]), text(&request["target"]));
        let unsigned = Request { method, target, headers: &headers };

        if ["get-relative", "get-slash", "get-space", "get-utf8"].iter().any(|path| name.starts_with(path)) {
            assert_eq!(signer.explain(&credentials, &unsigned, body, time), Err(SignError::Path), "{name}");
            assert_eq!(
                signer.sign(&credentials, &unsigned, body, time).err(),
                Some(SignError::Path),
                "{name}"
            );
            let refusal = verifier.verify(&unsigned, body, time, |_| Some(&credentials));
            assert_eq!(refusal, Err(VerifyError::Path), "{name}");
            refused += 1;
            continue;
        }
        compare(name, &signer.explain(&credentials, &unsigned, body, time).expect(name), expected);
        let out = signer.sign(&credentials, &unsigned, body, time).expect(name);
        let line = format!("Authorization:{}", out.authorization());
        assert!(text(&expected["signed_request"]).lines().any(|sent| sent == line), "{name}: {line}");
        assert_eq!(
            (out.date(), out.security_token()),
            ("20150830T123600Z", context["session_token"].as_str())
        );

        headers.extend(out.iter());
        let sent = Request { method, target, headers: &headers };
        let verified = verifier.verify(&sent, body, time, |id| (id == "AKIDEXAMPLE").then_some(&credentials));
        assert!(verified.is_ok(), "{name}: {verified:?}");
        signed += 1;
    }
    assert_eq!((signed, refused), (23, 15));
}

/// One presigning of a vector file; the two files differ in the names of their fields.
struct Job<'a> {
    credentials: Credentials,
    authority: Authority,
    region: &'a str,
    service: &'a str,
    path: &'a str,
    time: OffsetDateTime,
    expires: Option<u32>,
}

impl<'a> Job<'a> {
    fn read(input: &'a Value) -> Self {
        let port = input["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let host = text(&input["host"]);
        let authority = if port.is_some() { Authority::new(host, port) } else { Authority::parse(host) };
        let time = if input["unix_time"].is_null() { &input["unix_s"] } else { &input["unix_time"] };
        let expires = if input["expires_in"].is_null() { &input["expires"] } else { &input["expires_in"] };
        Self {
            credentials: Credentials::new(
                text(&input["access_key_id"]),
                text(&input["secret_access_key"]),
                input["session_token"].as_str(),
            ),
            authority: authority.expect(host),
            region: text(&input["region"]),
            service: text(&input["service"]),
            path: text(&input["path"]),
            time: at(time),
            expires: expires.as_u64().and_then(|seconds| u32::try_from(seconds).ok()),
        }
    }

    fn presigner(&self) -> Presigner {
        Presigner::new(self.region, self.service)
    }

    fn url(&self, rule: TokenRule) -> PresignedUrl {
        self.presigner()
            .presign(&self.credentials, &self.authority, self.path, self.time, self.expires, rule)
            .expect("a vector is signable")
    }

    fn check(&self, name: &str, rule: TokenRule, expected: &Value) {
        assert_eq!(self.url(rule).as_str(), text(&expected["url"]), "{name}");
        let mut days = self
            .presigner()
            .into_cached(self.credentials.clone(), self.authority.clone(), self.path, rule)
            .expect(name);
        for turn in 0..2 {
            let url = days.presign(self.time, self.expires).expect(name);
            assert_eq!(url.as_str(), text(&expected["url"]), "{name}, turn {turn}");
        }
        let explained = self
            .presigner()
            .explain(&self.credentials, &self.authority, self.path, self.time, self.expires, rule)
            .expect(name);
        compare(name, &explained, expected);
    }

    fn verifier(&self, rule: TokenRule) -> Verifier {
        Verifier::new(self.region, self.service).with_path(self.path).with_token_rule(rule)
    }

    fn headers(&self) -> [(&str, &str); 1] {
        [("host", self.authority.host_header())]
    }

    fn verify(&self, rule: TokenRule, target: &str) -> Result<(), VerifyError> {
        self.verifier(rule)
            .verify(&get(target, &self.headers()), self.time, |id| {
                (id == self.credentials.access_key_id()).then_some(&self.credentials)
            })
            .map(|_| ())
    }
}

fn get<'a>(target: &'a str, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
    Request { method: "GET", target, headers }
}

fn compare(name: &str, explained: &Explanation, expected: &Value) {
    assert_eq!(explained.canonical_request(), text(&expected["canonical_request"]), "{name}");
    assert_eq!(explained.string_to_sign(), text(&expected["string_to_sign"]), "{name}");
}

fn read(json: &str) -> Value {
    serde_json::from_str(json).expect("a vector file")
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}"))
}

fn at(value: &Value) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(value.as_i64().expect("seconds")).expect("a time")
}
