//! Requests as values.

use alloc::format;
use alloc::string::String;

use crate::Secret;
use crate::json::Json;

/// Cognito service that a request is for.
#[expect(clippy::exhaustive_enums, reason = "there are only two, and a caller must have an address for each")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Service {
    /// The user pool (`cognito-idp`): passwords and tokens.
    UserPool,
    /// The identity pool (`cognito-identity`): AWS credentials.
    IdentityPool,
}

impl Service {
    /// AWS's own host name for the service, such as `cognito-idp.us-east-1.amazonaws.com`.
    #[must_use]
    pub fn host(self, region: &str) -> String {
        let name = match self {
            Self::UserPool => "cognito-idp",
            Self::IdentityPool => "cognito-identity",
        };
        format!("{name}.{region}.amazonaws.com")
    }
}

/// Unsigned request, to POST to `/` of its [`Service`] over TLS.
///
/// The sender passes status and body of the answer to the step that came with the request. If there is no answer, the
/// sender drops the step or sends the same request again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HttpRequest {
    /// Service that it is sent to.
    pub service: Service,
    /// Value of `X-Amz-Target`.
    pub target: &'static str,
    /// Body: JSON that contains secrets.
    pub body: Secret,
}

impl HttpRequest {
    pub(crate) fn new(service: Service, target: &'static str, body: &Json<'_>) -> Self {
        Self { service, target, body: body.to_secret() }
    }

    /// Headers that Cognito requires.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, &'static str); 2] {
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", self.target)]
    }

    /// Body to send, which is a secret.
    #[must_use]
    pub fn body(&self) -> &str {
        self.body.expose()
    }
}
