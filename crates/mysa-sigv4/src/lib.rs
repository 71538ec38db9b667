//! AWS Signature Version 4: presigned `wss://` URLs for AWS IoT Core, signed headers, and verifiers for both. No I/O, no
//! clock.
//!
//! A browser cannot add headers to a WebSocket upgrade, so AWS accepts the signature in the query: Signature Version 4
//! ([SigV4](https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html)), query form, service
//! `iotdevicegateway`, method GET, path `/mqtt`, with only the `Host` header signed. AWS IoT deviates from the general
//! rule in one point: the session token is appended *after* signing ([`TokenRule::AfterSigning`]).
//!
//! ```
//! use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule, Verifier, Request};
//! use time::OffsetDateTime;
//!
//! let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Some("a/token=="));
//! let authority = Authority::new("example.amazonaws.com", None)?;
//! let now = OffsetDateTime::from_unix_timestamp(1_440_938_160)?;
//!
//! let url = Presigner::iot("us-east-1").presign(
//!     &credentials, &authority, "/mqtt", now, None, TokenRule::AfterSigning,
//! )?;
//! // The handshake must send exactly this `Host`, or the signature does not match.
//! let host = authority.host_header();
//!
//! let request = Request { method: "GET", target: url.target(), headers: &[("Host", host)] };
//! let verified = Verifier::iot("us-east-1").verify(&request, now, |key_id| {
//!     (key_id == credentials.access_key_id()).then_some(&credentials)
//! })?;
//! assert_eq!(verified.signed_at, now);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Services whose requests have headers are signed by [`HeaderSigner`], the general rule of SigV4: its
//! example is a request to the control plane of AWS IoT. [`HeaderVerifier`] verifies such requests.
//! AWS IoT accepts a URL for about five minutes, regardless of its stated lifetime: sign a new one for every
//! connection attempt.
//! [`CachedPresigner`] makes that cheap. Fetching credentials, connecting and retrying are the caller's tasks.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod authority;
mod cached;
mod canonical;
mod credentials;
mod date;
mod error;
mod percent;
mod presign;
mod secret;
mod sign;
mod signing_key;
mod url;
mod verify;
mod verify_headers;

pub use authority::Authority;
pub use cached::CachedPresigner;
pub use credentials::Credentials;
pub use error::{InvalidAuthority, PresignError, SignError, UrlError, VerifyError};
pub use presign::{Explanation, MAX_EXPIRES, Method, Presigner, TokenRule};
pub use sign::{HeaderSigner, SignedHeaders};
pub use url::{DEFAULT_VALIDITY, Inspection, PresignedUrl};
pub use verify::{MAX_TARGET_LEN, Request, Verified, Verifier};
pub use verify_headers::HeaderVerifier;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
