//! Sign-in to Cognito as a chain of values.

use std::sync::{Mutex, PoisonError};

use mysa_cognito::{
    AwaitAnswer, AwaitChallenge, AwaitCredentials, AwaitIdentity, AwaitRevoked, AwaitTokens, Error,
    HttpRequest, Pool as CorePool, Recovery, RefreshFlow, RefreshToken, Secret as CoreSecret, Service,
    SignIn, Step as CoreStep, get_credentials as core_get_credentials, get_id as core_get_id,
    refresh as core_refresh, revoke as core_revoke, srp, timestamp,
};
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::Payload;
use crate::entropy::{entropy, unix_time};
use crate::errors::{Class, invalid};
use crate::secret::{Secret, SecretText};

/// User pool of Cognito, with the app client that signs in to it.
#[pyclass(frozen, module = "mysa.protocol", name = "Pool")]
#[derive(Debug)]
pub(crate) struct Pool(CorePool);

#[pymethods]
impl Pool {
    #[new]
    #[pyo3(signature = (region="us-east-1", pool_id="us-east-1_GUFWfhI7g", client_id="19efs8tgqe942atbqmot5m36t3", client_secret=None))]
    fn new(region: &str, pool_id: &str, client_id: &str, client_secret: Option<SecretText>) -> Self {
        let pool = CorePool::new(region, pool_id, client_id);
        Self(match client_secret {
            Some(secret) => pool.with_client_secret(secret.0),
            None => pool,
        })
    }

    #[getter]
    fn region(&self) -> &str {
        &self.0.region
    }

    #[getter]
    fn pool_id(&self) -> &str {
        &self.0.pool_id
    }

    #[getter]
    fn client_id(&self) -> &str {
        &self.0.client_id
    }

    fn __repr__(&self) -> String {
        format!(
            "Pool(region='{}', pool_id='{}', client_id='{}')",
            self.0.region, self.0.pool_id, self.0.client_id
        )
    }
}

fn pool(pool: Option<&Bound<'_, Pool>>) -> CorePool {
    pool.map_or_else(
        || CorePool::new("us-east-1", "us-east-1_GUFWfhI7g", "19efs8tgqe942atbqmot5m36t3"),
        |pool| pool.get().0.clone(),
    )
}

/// Request to POST over TLS.
#[pyclass(frozen, module = "mysa.protocol", name = "HttpRequest")]
#[derive(Debug)]
pub(crate) struct Request {
    request: HttpRequest,
    region: String,
}

#[pymethods]
impl Request {
    /// `POST`.
    #[getter]
    fn method(&self) -> &'static str {
        "POST"
    }

    /// `user_pool` or `identity_pool`.
    #[getter]
    fn service(&self) -> &'static str {
        match self.request.service {
            Service::UserPool => "user_pool",
            Service::IdentityPool => "identity_pool",
        }
    }

    /// AWS's own URL of the service.
    #[getter]
    fn url(&self) -> String {
        format!("https://{}/", self.request.service.host(&self.region))
    }

    /// Headers to send.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in self.request.headers() {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// Body to send; it contains secrets.
    #[getter]
    fn body(&self) -> Secret {
        Secret(self.request.body.clone())
    }

    fn __repr__(&self) -> String {
        format!(
            "HttpRequest(service='{}', target='{}', body=Secret(..))",
            self.service(),
            self.request.target
        )
    }
}

/// Answer that a step waits for.
enum Awaited {
    Challenge(Box<AwaitChallenge>),
    Answer(AwaitAnswer),
    Tokens(AwaitTokens),
    Revoked(AwaitRevoked),
    Identity(AwaitIdentity),
    Credentials(AwaitCredentials),
}

/// Step: a request to send, and the reader of its answer.
#[pyclass(frozen, module = "mysa.protocol", name = "Step")]
pub(crate) struct Step {
    request: Py<Request>,
    region: String,
    /// Taken by the answer.
    awaited: Mutex<Option<Awaited>>,
}

impl Step {
    fn new(py: Python<'_>, request: HttpRequest, region: &str, awaited: Awaited) -> PyResult<Self> {
        let request = Py::new(py, Request { request, region: region.into() })?;
        Ok(Self { request, region: region.into(), awaited: Mutex::new(Some(awaited)) })
    }
}

#[pymethods]
impl Step {
    #[getter]
    fn request(&self, py: Python<'_>) -> Py<Request> {
        self.request.clone_ref(py)
    }

    /// Reads the answer to the request.
    #[pyo3(signature = (status, body, *, now=None))]
    fn reply<'py>(
        &self,
        py: Python<'py>,
        status: u16,
        body: Payload<'_>,
        now: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let now = unix_time(py, now)?.as_secs();
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(awaited) = awaited else {
            return Err(PyRuntimeError::new_err("the answer of this step was read already: start again"));
        };
        let body = body.as_bytes();
        let failed = |error: Error| refused(py, &error);
        match awaited {
            Awaited::Challenge(step) => {
                // The proof takes milliseconds.
                let next = py.detach(|| step.reply(status, body, now)).map_err(failed)?;
                self.next(py, next)
            }
            Awaited::Answer(step) => self.next(py, step.reply(status, body).map_err(failed)?),
            Awaited::Tokens(step) => {
                let tokens = step.reply(status, body).map_err(failed)?;
                Tokens { tokens, region: self.region.clone() }.into_bound_py_any(py)
            }
            Awaited::Revoked(step) => step.reply(status, body).map_err(failed)?.into_bound_py_any(py),
            Awaited::Identity(step) => step.reply(status, body).map_err(failed)?.into_bound_py_any(py),
            Awaited::Credentials(step) => {
                Credentials(step.reply(status, body).map_err(failed)?).into_bound_py_any(py)
            }
        }
    }

    fn __repr__(&self) -> String {
        format!("Step(request={})", self.request.get().__repr__())
    }
}

impl Step {
    fn next<'py>(&self, py: Python<'py>, next: CoreStep) -> PyResult<Bound<'py, PyAny>> {
        match next {
            CoreStep::Continue(request, answer) => {
                Self::new(py, request, &self.region, Awaited::Answer(answer))?.into_bound_py_any(py)
            }
            CoreStep::Challenge(challenge) => {
                Challenge { challenge, region: self.region.clone() }.into_bound_py_any(py)
            }
            CoreStep::Done(tokens) => Tokens { tokens, region: self.region.clone() }.into_bound_py_any(py),
            CoreStep::Unsupported { name } => Err(Class::Auth.error(
                py,
                format!("Cognito asks for the challenge {name}, which this package cannot answer: use the vendor's app"),
            )),
        }
    }
}

/// Challenge that a person must answer.
#[pyclass(frozen, module = "mysa.protocol", name = "Challenge")]
pub(crate) struct Challenge {
    challenge: mysa_cognito::Challenge,
    region: String,
}

#[pymethods]
impl Challenge {
    #[getter]
    fn kind(&self) -> &'static str {
        self.challenge.kind.name()
    }

    #[getter]
    fn destination(&self) -> Option<&str> {
        self.challenge.destination.as_deref()
    }

    #[getter]
    fn choices(&self) -> Vec<String> {
        self.challenge.choices.clone()
    }

    /// Answers with a code or one of the choices.
    fn answer(&self, py: Python<'_>, answer: SecretText) -> PyResult<Step> {
        let (request, step) = self.challenge.answer(answer.0.expose());
        Step::new(py, request, &self.region, Awaited::Answer(step))
    }

    fn __repr__(&self) -> String {
        format!("Challenge(kind='{}')", self.kind())
    }
}

/// Tokens of a user.
#[pyclass(frozen, module = "mysa.protocol", name = "Tokens")]
pub(crate) struct Tokens {
    tokens: mysa_cognito::Tokens,
    region: String,
}

#[pymethods]
impl Tokens {
    #[getter]
    fn id_token(&self) -> Secret {
        Secret(self.tokens.id.clone())
    }

    #[getter]
    fn access_token(&self) -> Secret {
        Secret(self.tokens.access.clone())
    }

    #[getter]
    fn refresh_token(&self) -> Option<Secret> {
        self.tokens.refresh.as_ref().map(|token| Secret(CoreSecret::from(token.expose())))
    }

    #[getter]
    fn expires_in_s(&self) -> f64 {
        self.tokens.expires_in.as_secs_f64()
    }

    #[getter]
    fn user_id(&self) -> &str {
        &self.tokens.claims.sub
    }

    #[getter]
    fn claims<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let claims = &self.tokens.claims;
        let dict = PyDict::new(py);
        dict.set_item("sub", &claims.sub)?;
        dict.set_item("iss", &claims.iss)?;
        dict.set_item("email", &claims.email)?;
        dict.set_item("aud", &claims.aud)?;
        dict.set_item("exp", claims.exp)?;
        dict.set_item("iat", claims.iat)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("Tokens(user_id='{}', id_token=Secret(..))", self.tokens.claims.sub)
    }
}

/// Temporary AWS credentials.
#[pyclass(frozen, module = "mysa.protocol", name = "Credentials")]
pub(crate) struct Credentials(mysa_cognito::AwsCredentials);

#[pymethods]
impl Credentials {
    #[getter]
    fn identity_id(&self) -> &str {
        &self.0.identity_id
    }

    #[getter]
    fn access_key_id(&self) -> &str {
        &self.0.access_key_id
    }

    #[getter]
    fn secret_key(&self) -> Secret {
        Secret(self.0.secret_key.clone())
    }

    #[getter]
    fn session_token(&self) -> Secret {
        Secret(self.0.session_token.clone())
    }

    /// Time of expiry in seconds since the Unix epoch.
    #[getter]
    fn expires_at(&self) -> f64 {
        crate::convert::seconds(mysa_proto::UnixTime::from_millis(self.0.expires_at_ms))
    }

    fn __repr__(&self) -> String {
        format!("Credentials(access_key_id='{}', secret_key=Secret(..))", self.0.access_key_id)
    }
}

#[pyfunction]
#[pyo3(signature = (username, password, *, pool=None, entropy=None))]
pub(crate) fn start_sign_in(
    py: Python<'_>,
    username: &str,
    password: SecretText,
    pool: Option<&Bound<'_, Pool>>,
    entropy: Option<&[u8]>,
) -> PyResult<Step> {
    let pool = self::pool(pool);
    let entropy = self::entropy(py, entropy)?;
    let (request, step) = py.detach(|| SignIn::start(&pool, username, password.0, entropy));
    Step::new(py, request, &pool.region, Awaited::Challenge(Box::new(step)))
}

fn flow(py: Python<'_>, name: &str) -> PyResult<RefreshFlow> {
    match name {
        "initiate_auth" => Ok(RefreshFlow::InitiateAuth),
        "get_tokens_from_refresh_token" => Ok(RefreshFlow::GetTokensFromRefreshToken),
        _ => Err(invalid(
            py,
            format!("invalid flow '{name}': expected initiate_auth or get_tokens_from_refresh_token"),
        )),
    }
}

#[pyfunction]
#[pyo3(signature = (refresh_token, *, pool=None, flow="initiate_auth"))]
pub(crate) fn refresh_tokens(
    py: Python<'_>,
    refresh_token: SecretText,
    pool: Option<&Bound<'_, Pool>>,
    flow: &str,
) -> PyResult<Step> {
    let pool = self::pool(pool);
    let (request, step) = core_refresh(&pool, &RefreshToken::new(refresh_token.0), self::flow(py, flow)?);
    Step::new(py, request, &pool.region, Awaited::Tokens(step))
}

#[pyfunction]
#[pyo3(signature = (refresh_token, *, pool=None))]
pub(crate) fn revoke_token(
    py: Python<'_>,
    refresh_token: SecretText,
    pool: Option<&Bound<'_, Pool>>,
) -> PyResult<Step> {
    let pool = self::pool(pool);
    let (request, step) = core_revoke(&pool, &RefreshToken::new(refresh_token.0));
    Step::new(py, request, &pool.region, Awaited::Revoked(step))
}

#[pyfunction]
#[pyo3(signature = (tokens, identity_pool_id="us-east-1:ebd95d52-9995-45da-b059-56b865a18379"))]
pub(crate) fn get_id(py: Python<'_>, tokens: &Bound<'_, Tokens>, identity_pool_id: &str) -> PyResult<Step> {
    let tokens = tokens.get();
    let (request, step) = core_get_id(identity_pool_id, &tokens.tokens);
    Step::new(py, request, &tokens.region, Awaited::Identity(step))
}

#[pyfunction]
pub(crate) fn get_credentials(
    py: Python<'_>,
    tokens: &Bound<'_, Tokens>,
    identity_id: &str,
) -> PyResult<Step> {
    let tokens = tokens.get();
    let (request, step) = core_get_credentials(identity_id, &tokens.tokens);
    Step::new(py, request, &tokens.region, Awaited::Credentials(step))
}

/// Client side of an exchange by Secure Remote Password, for callers with their own requests.
#[pyclass(frozen, module = "mysa.protocol", name = "Srp")]
pub(crate) struct Srp(srp::Ephemeral);

#[pymethods]
impl Srp {
    #[new]
    #[pyo3(signature = (entropy=None))]
    fn new(py: Python<'_>, entropy: Option<&[u8]>) -> PyResult<Self> {
        let entropy = self::entropy(py, entropy)?;
        py.detach(|| srp::Ephemeral::new(&entropy))
            .map(Self)
            .ok_or_else(|| invalid(py, "invalid entropy: all bytes are zero"))
    }

    #[getter]
    fn public_hex(&self) -> String {
        self.0.public_hex()
    }

    #[expect(clippy::too_many_arguments, reason = "the values of Cognito's challenge")]
    #[pyo3(signature = (pool_id, user_id, password, *, salt, srp_b, secret_block, timestamp))]
    fn sign(
        &self,
        py: Python<'_>,
        pool_id: &str,
        user_id: &str,
        password: SecretText,
        salt: &str,
        srp_b: &str,
        secret_block: &str,
        timestamp: &str,
    ) -> PyResult<String> {
        let pool_name = pool_id.split_once('_').map_or(pool_id, |(_, name)| name);
        py.detach(|| {
            let key = self.0.claim_key(pool_name, user_id, password.0.expose(), salt, srp_b)?;
            key.sign(pool_name, user_id, secret_block, timestamp)
        })
        .map_err(|error| Class::Auth.error(py, error))
    }

    fn __repr__(&self) -> &'static str {
        "Srp(..)"
    }
}

/// Time as Cognito's password claim contains it.
#[pyfunction]
#[pyo3(signature = (now=None))]
pub(crate) fn srp_timestamp(py: Python<'_>, now: Option<f64>) -> PyResult<String> {
    Ok(timestamp(unix_time(py, now)?.as_secs()))
}

/// Error of a step.
fn refused(py: Python<'_>, error: &Error) -> PyErr {
    let recovery = match error.recovery() {
        Recovery::AskForPassword => "ask_for_password",
        Recovery::AskForCode => "ask_for_code",
        Recovery::RenewTokens => "renew_tokens",
        Recovery::ForgetIdentity => "forget_identity",
        Recovery::Retry => "retry",
        Recovery::RetryOnce => "retry_once",
        Recovery::Wait => "wait",
        Recovery::GiveUp => "give_up",
    };
    match error {
        Error::Transport { .. } | Error::Malformed { .. } => Class::Transport.error(py, error),
        _ => Class::Auth.with(py, error, |details| {
            details.set_item("needs_sign_in", error.needs_sign_in())?;
            details.set_item("recovery", recovery)
        }),
    }
}
