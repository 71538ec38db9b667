//! Sign-in to AWS Cognito as the Mysa app does it, and the exchange of tokens for AWS credentials. No I/O, no clock,
//! no random numbers.
//!
//! Each step is a value. It returns the [`HttpRequest`] to send, takes the response by value, and yields the next step.
//! Time and entropy are arguments, so the whole chain can be replayed, tested and fuzzed.
//!
//! | step | begins with | response is passed to |
//! | --- | --- | --- |
//! | sign in with a password | [`SignIn::start`] | [`AwaitChallenge::reply`], then [`AwaitAnswer::reply`] |
//! | answer a code challenge | [`Challenge::answer`] | [`AwaitAnswer::reply`] |
//! | renew tokens | [`refresh`] | [`AwaitTokens::reply`] |
//! | sign out | [`revoke`] | [`AwaitRevoked::reply`] |
//! | learn the identity | [`get_id`] | [`AwaitIdentity::reply`] |
//! | get AWS credentials | [`get_credentials`] | [`AwaitCredentials::reply`] |
//!
//! ```
//! use mysa_cognito::{Pool, Secret, SignIn, Step};
//!
//! let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", "19efs8tgqe942atbqmot5m36t3");
//! let entropy = [7; 32]; // from the operating system, never used twice
//! let (request, challenge) = SignIn::start(&pool, "user@example.com", Secret::from("Correct-Horse-1"), entropy);
//! assert_eq!(request.target, "AWSCognitoIdentityProviderService.InitiateAuth");
//!
//! // … the caller POSTs `request.body()` and passes the response, with the wall clock in Unix seconds.
//! let answer = br#"{"__type":"TooManyRequestsException","message":"Rate exceeded"}"#;
//! match challenge.reply(400, answer, 1_767_323_045) {
//!     Ok(Step::Continue(request, answer)) => { /* send the password claim */ }
//!     Ok(_) => unreachable!(),
//!     Err(error) => assert_eq!(error.recovery(), mysa_cognito::Recovery::Wait),
//! }
//! ```
//!
//! The caller sends and repeats requests, stores the [`StoredSession`], and verifies the signatures of tokens if
//! necessary: claims are read without verification ([`IdClaims`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod challenge;
mod error;
mod http;
mod identity;
mod json;
mod pool;
mod refresh;
mod secret;
#[cfg(feature = "server")]
pub mod server;
mod session_store;
mod sign_in;
pub mod srp;
mod timestamp;
mod tokens;

pub use challenge::{Challenge, ChallengeKind};
pub use error::{Error, Fault, Recovery, Refusal, RefusalKind};
pub use http::{HttpRequest, Service};
pub use identity::{AwaitCredentials, AwaitIdentity, AwsCredentials, get_credentials, get_id};
pub use pool::Pool;
pub use refresh::{AwaitRevoked, AwaitTokens, RefreshFlow, refresh, revoke};
pub use secret::Secret;
pub use session_store::{StoredError, StoredSession};
pub use sign_in::{AwaitAnswer, AwaitChallenge, SignIn, Step};
pub use timestamp::timestamp;
pub use tokens::{IdClaims, RefreshToken, Tokens};
