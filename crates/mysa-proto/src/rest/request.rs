use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::DeviceId;

/// HTTP method of a [`RestRequest`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the methods of the routes that are offered")]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`; used by writes and by many reads.
    Post,
    /// `DELETE`; only to end a hold.
    Delete,
}

impl Method {
    /// Name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Host of the REST service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the hosts an environment names")]
pub enum RestHost {
    /// `app-prod.mysa.cloud`, the apps up to 3.x.
    Legacy,
    /// `mysa-backend.mysa.cloud`: the legacy routes and the structured services.
    Backend,
}

/// Form of the id token in the `Authorization` header.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "only these two forms were observed")]
pub enum Auth {
    /// The bare id token, as in five client projects. One of them found that the prefix is refused.
    #[default]
    Raw,
    /// `Bearer ` and the id token, as in the design document.
    Bearer,
}

impl Auth {
    /// Value of the header. It contains the token: do not print it.
    #[must_use]
    pub fn header_value(self, id_token: &str) -> String {
        match self {
            Self::Raw => id_token.to_owned(),
            Self::Bearer => format!("Bearer {id_token}"),
        }
    }
}

/// Id of a home, zone, user or schedule: 1 to 128 bytes without control characters, except `.` and `..`, so that it is
/// always one segment of a path.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResourceId(String);

impl ResourceId {
    /// Length of the longest valid id, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks an id. `None` if it is invalid.
    #[must_use]
    pub fn new(id: &str) -> Option<Self> {
        let fits = !id.is_empty() && id.len() <= Self::MAX_LEN && id != "." && id != "..";
        (fits && !id.chars().any(char::is_control)).then(|| Self(id.to_owned()))
    }

    /// Id as the service writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Wire description of one request to the REST service, without its authorization.
///
/// It is the content of a [`ReadRequest`](super::ReadRequest), a [`SettingsWrite`](super::SettingsWrite) or a
/// [`HeaterWrite`](super::HeaterWrite). Only the functions of [`rest`](super) build those, and none of them updates
/// firmware, edits the model, claims or deletes a thermostat, or changes access.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RestRequest {
    pub(super) method: Method,
    pub(super) host: RestHost,
    pub(super) hosts: Hosts,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Hosts {
    /// This host only.
    One,
    /// Both.
    Both,
    /// Both, but the backend requires a trailing slash.
    BothSlashOnBackend,
}

impl RestRequest {
    pub(super) const fn new(method: Method, host: RestHost, hosts: Hosts, path: String) -> Self {
        Self { method, host, hosts, path, query: String::new(), body: None }
    }

    /// HTTP method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Host that the request is sent to.
    #[must_use]
    pub const fn host(&self) -> RestHost {
        self.host
    }

    /// Path, percent-encoded, with its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Query, percent-encoded, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        (!self.query.is_empty()).then_some(&*self.query)
    }

    /// Path and query, as on the request line.
    #[must_use]
    pub fn target(&self) -> String {
        match self.query() {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// JSON body.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// Headers to send besides `Authorization`, `Host` and a user agent.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        [("accept", "application/json")]
            .into_iter()
            .chain(self.body.is_some().then_some(("content-type", "application/json")))
    }

    /// The same request for the other host. `None` if only one host has the route.
    #[must_use]
    pub fn on_other_host(&self) -> Option<Self> {
        let mut other = self.clone();
        other.host = match self.host {
            RestHost::Legacy => RestHost::Backend,
            RestHost::Backend => RestHost::Legacy,
        };
        match (self.hosts, other.host) {
            (Hosts::One, _) => return None,
            (Hosts::Both, _) => {}
            (Hosts::BothSlashOnBackend, RestHost::Backend) => other.path.push('/'),
            (Hosts::BothSlashOnBackend, RestHost::Legacy) => {
                other.path.pop();
            }
        }
        Some(other)
    }

    pub(super) fn with_body(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(alloc::string::ToString::to_string(body));
        self
    }

    pub(super) fn with_query(mut self, name: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(name);
        self.query.push('=');
        push_encoded(&mut self.query, value);
        self
    }
}

/// Builds a path from fixed segments and ids.
pub(super) fn path(parts: &[Segment<'_>]) -> String {
    let mut path = String::new();
    for part in parts {
        path.push('/');
        match part {
            Segment::Fixed(text) => path.push_str(text),
            Segment::Device(device) => path.push_str(device.as_str()),
            Segment::Id(id) => push_encoded(&mut path, id.as_str()),
        }
    }
    path
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Segment<'a> {
    Fixed(&'static str),
    Device(DeviceId),
    Id(&'a ResourceId),
}

/// Percent-encodes everything but the unreserved characters [RFC 3986 §2.3].
fn push_encoded(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0')));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_segment() {
        for (id, encoded) in [
            ("22222222-2222-4222-8222-222222222222", "22222222-2222-4222-8222-222222222222"),
            ("a/../b?c#d", "a%2F..%2Fb%3Fc%23d"),
            ("é %", "%C3%A9%20%25"),
        ] {
            let id = ResourceId::new(id).unwrap();
            assert_eq!(path(&[Segment::Fixed("homes"), Segment::Id(&id)]), format!("/homes/{encoded}"));
        }
        for bad in ["", ".", "..", "a\nb", &"x".repeat(129)] {
            assert_eq!(ResourceId::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_token_has_no_prefix_by_default() {
        assert_eq!(Auth::default().header_value("x.y.z"), "x.y.z");
        assert_eq!(Auth::Bearer.header_value("x.y.z"), "Bearer x.y.z");
    }
}
