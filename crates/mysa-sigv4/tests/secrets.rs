//! Canaries in every secret, searched for in everything that can be printed.

use std::fmt::{Debug, Write as _};

use mysa_sigv4::{
    Authority, Credentials, HeaderSigner, HeaderVerifier, PresignedUrl, Presigner, Request, TokenRule,
    Verifier,
};
use time::OffsetDateTime;

const SECRET: &str = "canarysecretkey";
const TOKEN: &str = "canarysessiontoken";

#[test]
fn nothing_that_prints_shows_a_secret() {
    let credentials = Credentials::new("AKIDEXAMPLE", SECRET, Some(TOKEN));
    let others = Credentials::new("AKIDEXAMPLE", SECRET, Some("canaryothertoken"));
    let authority = Authority::new("example.amazonaws.com", None).expect("a host");
    let time = OffsetDateTime::from_unix_timestamp(1_440_938_160).expect("a time");
    let presigner = Presigner::iot("us-east-1");
    let mut printed = Printed(String::new());
    printed.add(&credentials);
    printed.add(&presigner);

    for rule in [TokenRule::AfterSigning, TokenRule::Signed] {
        let url = presigner.presign(&credentials, &authority, "/mqtt", time, None, rule).expect("signable");
        let signature = url
            .as_str()
            .split_once("X-Amz-Signature=")
            .and_then(|(_, rest)| rest.get(..64))
            .expect("a signature");
        assert!(url.as_str().contains(TOKEN), "the URL must contain the canary");
        printed.add(&url);
        printed.add(&PresignedUrl::parse(url.as_str()));
        printed.add(&url.inspect());
        printed.add(&presigner.explain(&credentials, &authority, "/mqtt", time, None, rule));
        printed.add(&presigner.presign(&credentials, &authority, "/mqtt", time, Some(0), rule));
        printed.add(&presigner.presign(&credentials, &authority, SECRET, time, None, rule));

        let mut days = presigner
            .clone()
            .into_cached(credentials.clone(), authority.clone(), "/mqtt", rule)
            .expect("a plain path");
        printed.add(&days.presign(time, None));
        printed.add(&days);

        let headers = [("Host", authority.host_header()), ("Cookie", SECRET)];
        let request = Request { method: "GET", target: url.target(), headers: &headers };
        printed.add(&request);
        for accepted in [TokenRule::AfterSigning, TokenRule::Signed] {
            let verifier = Verifier::iot("us-east-1").with_token_rule(accepted);
            printed.add(&verifier);
            printed.add(&verifier.explain(&request));
            for known in [Some(&credentials), Some(&others), None] {
                let outcome = verifier.verify(&request, time, |_| known);
                printed.add(&outcome);
                if let Err(refusal) = outcome {
                    let _ = write!(printed.0, "{refusal}");
                }
            }
        }
        for broken in ["%", "&X-Amz-Security-Token=x", "&X-Amz-Date=canarydate"] {
            let error = PresignedUrl::parse(&format!("{}{broken}", url.as_str())).expect_err("broken");
            printed.add(&error);
            let _ = write!(printed.0, "{error}");
        }
        for secret in ["canary", signature] {
            assert!(!printed.0.contains(secret), "{secret} is in {}", printed.0);
        }
    }
    // A presigned URL has no password before the host, but a pasted URL may.
    let pasted = PresignedUrl::parse("wss://user:canary@example.amazonaws.com/mqtt?x");
    assert!(!format!("{pasted:?}").contains("canary"));
    assert!(printed.0.contains("AKIDEXAMPLE") && printed.0.contains("Secret(..)"), "{}", printed.0);
}

#[test]
fn nothing_that_prints_shows_a_secret_of_signed_headers() {
    let credentials = Credentials::new("AKIDEXAMPLE", SECRET, Some(TOKEN));
    let time = OffsetDateTime::from_unix_timestamp(1_440_938_160).expect("a time");
    let mut headers = vec![("host", "iot.us-east-1.amazonaws.com"), ("cookie", SECRET)];
    let request = Request { method: "GET", target: "/things/a1b2", headers: &headers };
    let signer = HeaderSigner::new("us-east-1", "iot");
    let signed = signer.sign(&credentials, &request, b"", time).expect("signable");
    assert_eq!(signed.security_token(), Some(TOKEN));
    let signature = signed.authorization().rsplit('=').next().expect("a signature").to_owned();
    let mut printed = Printed(String::new());
    printed.add(&signer);
    printed.add(&signed);
    printed.add(&signer.explain(&credentials, &request, b"", time));
    printed.add(&signer.sign(&Credentials::new(SECRET, "", Some("canary\n")), &request, b"", time));
    let verifier = HeaderVerifier::new("us-east-1", "iot");
    printed.add(&verifier);
    printed.add(&verifier.verify(&request, b"", time, |_| Some(&credentials)));
    headers.extend(signed.iter());
    let request = Request { method: "GET", target: "/things/a1b2", headers: &headers };
    printed.add(&request);
    printed.add(&verifier.verify(&request, b"", time, |_| Some(&credentials)));
    for secret in ["canary", &signature] {
        assert!(!printed.0.contains(secret), "{secret} is in {}", printed.0);
    }
}

struct Printed(String);

impl Printed {
    fn add(&mut self, value: &dyn Debug) {
        let _ = write!(self.0, "{value:?}\n{value:#?}\n");
    }
}
