//! Control plane of AWS IoT: the two calls that clients make, `DescribeEndpoint` for the host of the broker and
//! `DescribeThing` for a thermostat's serial number.

use alloc::format;
use alloc::string::String;

use mysa_sigv4::{HeaderVerifier, Request, VerifyError};
use serde_json::json;
use time::OffsetDateTime;

use crate::Now;
use crate::cloud::{Cloud, access_key_id};
use crate::endpoint::Service;
use crate::http::{HttpRequest, Reply, decoded, header};

impl Cloud {
    /// Answers a request to the control plane, whose signature in the `Authorization` header must be valid.
    pub(crate) fn iot_control(&mut self, now: Now, request: &HttpRequest<'_>) -> Reply {
        let credential = header(request.headers, "authorization")
            .and_then(|sent| sent.split_once("Credential="))
            .and_then(|(_, credential)| access_key_id(credential));
        if let Some(key) = credential {
            self.find_credentials(now, key);
        }
        let account = match self.signer(now, request) {
            Ok(account) => account,
            Err(refusal) => return refused(refusal),
        };
        if request.method != "GET" {
            return unknown_operation();
        }
        match request.path.strip_prefix("/things/") {
            Some(name) if !name.is_empty() && !name.contains('/') => {
                self.describe_thing(account, &decoded(name))
            }
            None if request.path == "/endpoint" => self.describe_endpoint(request.query),
            _ => unknown_operation(),
        }
    }

    /// Returns the account whose credentials signed the request.
    fn signer(&self, now: Now, request: &HttpRequest<'_>) -> Result<usize, VerifyError> {
        let mut headers = request.headers.to_vec();
        if header(request.headers, "host").is_none() {
            headers.push(("host", request.host));
        }
        let target = match request.query {
            "" => String::from(request.path),
            query => format!("{}?{query}", request.path),
        };
        let signed = Request { method: request.method, target: &target, headers: &headers };
        let at =
            OffsetDateTime::from_unix_timestamp(now.wall.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let lent = |key: &str| self.identities.lent(key, now.mono);
        let verified = HeaderVerifier::new(self.names.region.as_str(), "iot").verify(
            &signed,
            request.body,
            at,
            |key| lent(key).map(|lent| &lent.credentials),
        )?;
        lent(&verified.access_key_id).map(|lent| lent.account).ok_or(VerifyError::UnknownAccessKey)
    }

    fn describe_endpoint(&self, query: &str) -> Reply {
        let kind = query.split('&').find_map(|part| part.strip_prefix("endpointType=")).map(decoded);
        match kind.as_deref() {
            Some("iot:Data-ATS") => Reply::ok(&json!({ "endpointAddress": self.names.iot_host })),
            _ => error(400, "InvalidRequestException", "only endpointType iot:Data-ATS is simulated"),
        }
    }

    fn describe_thing(&self, account: usize, name: &str) -> Reply {
        let Some(index) = self.owned(account, name) else {
            return error(403, "AccessDeniedException", "not authorized to perform iot:DescribeThing");
        };
        let thermostat = &self.devices[index].thermostat;
        let id = thermostat.id.as_str();
        Reply::ok(&json!({
            "attributes": { "Serial": thermostat.serial },
            "defaultClientId": id,
            "thingArn": format!("arn:aws:iot:{}:000000000000:thing/{id}", self.names.region),
            "thingName": id,
            "version": 1,
        }))
    }
}

fn error(status: u16, name: &str, message: &str) -> Reply {
    Reply::aws_error(Service::IotControl, status, name, message)
}

fn unknown_operation() -> Reply {
    error(404, "UnknownOperationException", "only DescribeEndpoint and DescribeThing are simulated")
}

/// Error that AWS answers to a request whose signature is invalid. Its message names the failed check.
fn refused(refusal: VerifyError) -> Reply {
    let name = match refusal {
        VerifyError::MissingHeader("authorization") => "MissingAuthenticationTokenException",
        VerifyError::MissingHeader(_)
        | VerifyError::DuplicateHeader(_)
        | VerifyError::Authorization
        | VerifyError::Algorithm
        | VerifyError::CredentialScope
        | VerifyError::SignedHeaders
        | VerifyError::Date => "IncompleteSignatureException",
        VerifyError::UnknownAccessKey
        | VerifyError::TokenMissing
        | VerifyError::TokenUnexpected
        | VerifyError::TokenWrong => "UnrecognizedClientException",
        _ => "InvalidSignatureException",
    };
    error(403, name, &format!("{refusal}"))
}
