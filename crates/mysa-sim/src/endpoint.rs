//! Endpoints: the HTTP requests that a fault applies to.

use alloc::string::String;

use serde_json::Value;

use crate::http::HttpRequest;
use crate::rest::{is_structured, is_write};

/// The HTTP requests that a fault applies to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Endpoint {
    /// Every request.
    Any,
    /// The user pool.
    UserPool,
    /// The first step of a sign-in with a password.
    SignIn,
    /// An answer to a challenge, including the password's proof.
    Respond,
    /// Token refresh, by either action.
    Refresh,
    /// The identity pool.
    IdentityPool,
    /// `GetId`.
    Identity,
    /// `GetCredentialsForIdentity`.
    Credentials,
    /// Requests to the broker's host other than accepted upgrades.
    Broker,
    /// The control plane of AWS IoT: `DescribeEndpoint` and `DescribeThing`.
    IotControl,
    /// Both REST hosts.
    Rest,
    /// The older REST host only.
    LegacyHost,
    /// The newer REST host only.
    BackendHost,
    /// REST paths with this prefix.
    Path(String),
    /// Structured routes only.
    Structured,
    /// Writing REST requests of both services.
    Write,
    /// Writing requests to the structured service.
    StructuredWrite,
}

/// Service behind a host name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    UserPool,
    IdentityPool,
    Rest { backend: bool },
    Broker,
    IotControl,
    Unknown,
}

impl Service {
    /// Returns `true` for services of AWS, which have AWS's error format.
    pub(crate) const fn is_aws(self) -> bool {
        matches!(self, Self::UserPool | Self::IdentityPool | Self::Broker | Self::IotControl)
    }
}

/// The properties of a request by which faults select it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) service: Service,
    /// The action named by `X-Amz-Target`; empty without one.
    pub(crate) action: &'a str,
    refreshes: bool,
    method: &'a str,
    path: &'a str,
}

impl<'a> Target<'a> {
    pub(crate) fn new(service: Service, request: &HttpRequest<'a>, body: &Value) -> Self {
        let action = request.header("x-amz-target").and_then(|target| target.split_once('.'));
        let action = action.map_or("", |(_, action)| action);
        let refreshes = action == "GetTokensFromRefreshToken"
            || action == "InitiateAuth"
                && body.get("AuthFlow").and_then(Value::as_str) != Some("USER_SRP_AUTH");
        Self { service, action, refreshes, method: request.method, path: request.path }
    }

    pub(crate) fn is_at(&self, endpoint: &Endpoint) -> bool {
        let Self { service, action, refreshes, method, path } = *self;
        let rest = matches!(service, Service::Rest { .. });
        match endpoint {
            Endpoint::Any => true,
            Endpoint::UserPool => service == Service::UserPool,
            Endpoint::SignIn => service == Service::UserPool && action == "InitiateAuth" && !refreshes,
            Endpoint::Respond => service == Service::UserPool && action == "RespondToAuthChallenge",
            Endpoint::Refresh => service == Service::UserPool && refreshes,
            Endpoint::IdentityPool => service == Service::IdentityPool,
            Endpoint::Identity => service == Service::IdentityPool && action == "GetId",
            Endpoint::Credentials => {
                service == Service::IdentityPool && action == "GetCredentialsForIdentity"
            }
            Endpoint::Broker => service == Service::Broker,
            Endpoint::IotControl => service == Service::IotControl,
            Endpoint::Rest => rest,
            Endpoint::LegacyHost => service == Service::Rest { backend: false },
            Endpoint::BackendHost => service == Service::Rest { backend: true },
            Endpoint::Path(prefix) => rest && path.starts_with(&**prefix),
            Endpoint::Structured => rest && is_structured(path),
            Endpoint::Write => rest && is_write(method, path),
            Endpoint::StructuredWrite => rest && is_structured(path) && is_write(method, path),
        }
    }
}
