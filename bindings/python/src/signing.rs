//! Presigned URLs.

use mysa_sigv4::{Authority, Credentials, PresignedUrl, Presigner, TokenRule};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use time::OffsetDateTime;

use crate::entropy::unix_time;
use crate::errors::invalid;
use crate::secret::{Secret, SecretText};

/// Signs the URL of a WebSocket to AWS IoT. See `mysa.protocol.presign`.
#[pyfunction]
#[pyo3(signature = (host, access_key_id, secret_key, session_token=None, *, region="us-east-1", port=None, path="/mqtt", time=None, expires_s=None))]
#[expect(clippy::too_many_arguments, reason = "they are keyword arguments in Python")]
pub(crate) fn presign(
    py: Python<'_>,
    host: &str,
    access_key_id: &str,
    secret_key: SecretText,
    session_token: Option<SecretText>,
    region: &str,
    port: Option<u16>,
    path: &str,
    time: Option<f64>,
    expires_s: Option<u32>,
) -> PyResult<Secret> {
    let credentials = Credentials::new(
        access_key_id,
        secret_key.0.expose(),
        session_token.as_ref().map(|token| token.0.expose()),
    );
    let authority = Authority::new(host, port).map_err(|error| invalid(py, error))?;
    let time = OffsetDateTime::from_unix_timestamp(unix_time(py, time)?.as_secs())
        .map_err(|_| invalid(py, "the time is out of range"))?;
    let url = Presigner::iot(region)
        .presign(&credentials, &authority, path, time, expires_s, TokenRule::AfterSigning)
        .map_err(|error| invalid(py, error))?;
    Ok(Secret(url.as_str().into()))
}

/// Reads the public parts of a presigned URL. See `mysa.protocol.inspect`.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, url: SecretText) -> PyResult<Bound<'_, PyDict>> {
    let url = PresignedUrl::parse(url.0.expose()).map_err(|error| invalid(py, error))?;
    let seen = url.inspect().map_err(|error| invalid(py, error))?;
    let dict = PyDict::new(py);
    dict.set_item("host", seen.authority.host())?;
    dict.set_item("port", seen.authority.port())?;
    dict.set_item("host_header", seen.authority.host_header())?;
    dict.set_item("path", &seen.path)?;
    dict.set_item("access_key_id", &seen.access_key_id)?;
    dict.set_item("region", &seen.region)?;
    dict.set_item("service", &seen.service)?;
    dict.set_item("signed_at", seen.signed_at.unix_timestamp())?;
    dict.set_item("expires_s", seen.expires)?;
    dict.set_item("expires_at", seen.expires_at.unix_timestamp())?;
    dict.set_item("signed_headers", &seen.signed_headers)?;
    dict.set_item("has_session_token", seen.has_session_token)?;
    Ok(dict)
}
