//! Secret texts.

use mysa_cognito::Secret as CoreSecret;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Password, token, key or signed URL: prints as `Secret(..)`, is compared in constant time, cannot be pickled, and is wiped
/// when it is freed.
#[pyclass(frozen, module = "mysa", name = "Secret")]
#[derive(Debug)]
pub(crate) struct Secret(pub(crate) CoreSecret);

#[pymethods]
impl Secret {
    #[new]
    fn new(text: SecretText) -> Self {
        Self(text.0)
    }

    /// Return the text.
    fn expose(&self) -> &str {
        self.0.expose()
    }

    fn __repr__(&self) -> &'static str {
        "Secret(..)"
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0 == self.0)
    }

    /// None: the length of time of a look-up by hash would depend on the text.
    #[classattr]
    fn __hash__() -> Option<bool> {
        None
    }

    fn __bool__(&self) -> bool {
        !self.0.expose().is_empty()
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a secret cannot be pickled or copied: store the text of expose() yourself"))
    }
}

/// Argument that is a secret, or a text that is taken as one.
#[derive(Debug)]
pub(crate) struct SecretText(pub(crate) CoreSecret);

impl<'py> FromPyObject<'_, 'py> for SecretText {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(secret) = value.cast::<Secret>() {
            return Ok(Self(secret.get().0.clone()));
        }
        match value.cast::<pyo3::types::PyString>() {
            Ok(text) => Ok(Self(CoreSecret::from(&*text.to_cow()?))),
            // The value is not quoted: it may be a secret of a wrong type.
            Err(_) => Err(PyTypeError::new_err("expected a str or a Secret")),
        }
    }
}
