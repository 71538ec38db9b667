//! Presigning a URL for AWS IoT, compared with other signers and with the floor: the SHA-256 compressions that the
//! algorithm requires.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    SessionTokenMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use mysa_benches::Comparison;
use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};
use reqsign_core::{Context, SignRequest as _};
use time::OffsetDateTime;

const KEY_ID: &str = "ASIAQWERTYUIOP234567";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const HOST: &str = "a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com";
const URI: &str = "https://a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com/mqtt";
const REGION: &str = "us-east-1";
const SERVICE: &str = "iotdevicegateway";
const UNIX: i64 = 1_767_323_045;
const EXPIRES: u32 = 300;

/// SHA-256 compressions of a whole signing: 16 for the key, 6 for the string to sign and 6 for the canonical request.
const UNCACHED: usize = 28;
/// SHA-256 compressions of a signing with the day's padded key and a hashed head of the canonical request.
const CACHED: usize = 8;

fn main() {
    // As long as tokens of Cognito's identity pools, and base64 like them: one byte in 32 is percent-encoded.
    let token =
        format!("{}==", "IQoJb3JpZ2luX2VjEXAMPLEToken/Made+UpOfLettersAndDigits0123456789".repeat(18));
    let credentials = Credentials::new(KEY_ID, SECRET, Some(&token));
    let authority = Authority::new(HOST, None).unwrap();
    let time = OffsetDateTime::from_unix_timestamp(UNIX).unwrap();
    let presigner = Presigner::iot(REGION);
    let rule = TokenRule::AfterSigning;
    let mut cached =
        presigner.clone().into_cached(credentials.clone(), authority.clone(), "/mqtt", rule).unwrap();
    let whole = || presigner.presign(&credentials, &authority, "/mqtt", time, Some(EXPIRES), rule).unwrap();

    let signature = AwsSigv4::new(&token).sign().0;
    assert!(whole().as_str().contains(&signature), "both signers must return the signature {signature}");
    assert_eq!(cached.presign(time, Some(EXPIRES)).unwrap().as_str(), whole().as_str());

    let aws = AwsSigv4::new(&token);
    let reqsign = Reqsign::new(&token);
    print!(
        "{}",
        Comparison::new("A URL from nothing", "URL")
            .entry("28 bare SHA-256 compressions", 1, compress::<UNCACHED>)
            .entry("mysa-sigv4 `Presigner`", 1, whole)
            .entry("the same, with new `Credentials`", 1, || {
                let credentials = Credentials::new(KEY_ID, SECRET, Some(&token));
                presigner.presign(&credentials, &authority, "/mqtt", time, Some(EXPIRES), rule).unwrap()
            })
            .entry("aws-sigv4, signature alone", 1, || aws.sign())
            .entry("aws-sigv4, whole URL", 1, || aws.url())
            .entry("reqsign-aws-v4 (token signed)", 1, || reqsign.url())
            .entry("rusty-s3 (service s3, token signed)", 1, || rusty_s3(&token))
            .run()
    );
    print!(
        "{}",
        Comparison::new("A further URL on the same day", "URL")
            .entry("8 bare SHA-256 compressions", 1, compress::<CACHED>)
            .entry("mysa-sigv4 `CachedPresigner`", 1, || cached
                .presign(black_box(time), Some(EXPIRES))
                .unwrap())
            .entry("aws-sigv4, signature alone", 1, || aws.sign())
            .entry("aws-sigv4, whole URL", 1, || aws.url())
            .run()
    );
}

fn compress<const N: usize>() -> [u32; 8] {
    let mut state = [1; 8];
    sha2::block_api::compress256(black_box(&mut state), black_box(&[[7; 64]; N]));
    state
}

struct AwsSigv4 {
    identity: aws_credential_types::Credentials,
    time: SystemTime,
}

impl AwsSigv4 {
    fn new(token: &str) -> Self {
        let identity = aws_credential_types::Credentials::from_keys(KEY_ID, SECRET, Some(token.to_owned()));
        Self { identity, time: SystemTime::UNIX_EPOCH + Duration::from_secs(UNIX.unsigned_abs()) }
    }

    fn sign(&self) -> (String, aws_sigv4::http_request::SigningInstructions) {
        let identity = self.identity.clone().into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(EXPIRES.into()));
        settings.session_token_mode = SessionTokenMode::Exclude;
        let params = SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name(SERVICE)
            .time(self.time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let host = [("host", HOST)];
        let uri = URI;
        let request = SignableRequest::new("GET", uri, host.into_iter(), SignableBody::Bytes(&[])).unwrap();
        let (instructions, signature) = sign(request, &params).unwrap().into_parts();
        (signature, instructions)
    }

    fn url(&self) -> http::Uri {
        let mut request = http::Request::get(URI).body(()).unwrap();
        self.sign().1.apply_to_request_http1x(&mut request);
        request.into_parts().0.uri
    }
}

struct Reqsign {
    signer: reqsign_aws_v4::RequestSigner,
    credential: reqsign_aws_v4::Credential,
    context: Context,
}

impl Reqsign {
    fn new(token: &str) -> Self {
        let credential = reqsign_aws_v4::Credential {
            access_key_id: KEY_ID.into(),
            secret_access_key: SECRET.into(),
            session_token: Some(token.into()),
            expires_in: None,
        };
        Self {
            signer: reqsign_aws_v4::RequestSigner::new(SERVICE, REGION),
            credential,
            context: Context::new(),
        }
    }

    fn url(&self) -> http::Uri {
        let mut parts = http::Request::get(URI).body(()).unwrap().into_parts().0;
        let expires = Some(Duration::from_secs(EXPIRES.into()));
        let signing = self.signer.sign_request(&self.context, &mut parts, Some(&self.credential), expires);
        pollster::block_on(signing).unwrap();
        parts.uri
    }
}

fn rusty_s3(token: &str) -> url::Url {
    let none = || std::iter::empty::<(&str, &str)>();
    rusty_s3::signing::sign(
        &jiff::Timestamp::from_second(UNIX).unwrap(),
        rusty_s3::Method::Get,
        URI.parse().unwrap(),
        KEY_ID,
        SECRET,
        Some(token),
        REGION,
        EXPIRES.into(),
        none(),
        none(),
    )
}
