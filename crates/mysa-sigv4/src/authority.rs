use alloc::string::String;
use core::fmt::{self, Write as _};
use core::str::FromStr;

use crate::InvalidAuthority;

/// Host and port of an endpoint: the value that is signed and that the handshake must send as its `Host` header.
///
/// Lower case, without the port if it is 443. Client and server both sign this text. A WebSocket library that adds
/// `:443` itself breaks the signature: set the header to [`host_header`](Self::host_header).
///
/// ```
/// use mysa_sigv4::Authority;
///
/// assert_eq!(Authority::new("Broker.Example", Some(443))?.host_header(), "broker.example");
/// assert_eq!(Authority::new("broker.example", Some(8443))?.host_header(), "broker.example:8443");
/// assert!(Authority::new("broker.example/mqtt", None).is_err());
/// # Ok::<(), mysa_sigv4::InvalidAuthority>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Authority {
    text: String,
    host_len: usize,
}

impl Authority {
    /// Takes a host name, an IPv4 address or an IPv6 address in brackets, and the port of the connection.
    ///
    /// # Errors
    ///
    /// The host is empty, longer than 255 bytes, not ASCII (use Punycode), or contains something else, such as a port.
    pub fn new(host: &str, port: Option<u16>) -> Result<Self, InvalidAuthority> {
        if !is_host(host) {
            return Err(InvalidAuthority);
        }
        let mut text = String::with_capacity(host.len() + ":65535".len());
        text.push_str(host);
        text.make_ascii_lowercase();
        if let Some(port) = port.filter(|port| *port != 443) {
            // Writing to a `String` cannot fail.
            let _ = write!(text, ":{port}");
        }
        Ok(Self { text, host_len: host.len() })
    }

    /// Parses `host` or `host:port`, as in a URL.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), or the port is not a number from 0 to 65535.
    pub fn parse(text: &str) -> Result<Self, InvalidAuthority> {
        let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
            return Self::new(text, None);
        };
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidAuthority);
        }
        Self::new(host, Some(port.parse().map_err(|_| InvalidAuthority)?))
    }

    /// Value of the `Host` header in the upgrade request, byte for byte.
    #[must_use]
    pub fn host_header(&self) -> &str {
        &self.text
    }

    /// Host in lower case, for the DNS lookup and the certificate check.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.get(..self.host_len).unwrap_or(&self.text)
    }

    /// Port to connect to; 443 by default.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.text.get(self.host_len + 1..).and_then(|port| port.parse().ok()).unwrap_or(443)
    }
}

impl FromStr for Authority {
    type Err = InvalidAuthority;

    fn from_str(text: &str) -> Result<Self, InvalidAuthority> {
        Self::parse(text)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_host(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let allowed: fn(u8) -> bool = if inside.is_some() {
        |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
    } else {
        |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
    };
    let body = inside.unwrap_or(host);
    !body.is_empty() && host.len() <= 255 && body.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_are_read_from_a_url_and_given_back() {
        for (text, host, port, header) in [
            ("broker.test", "broker.test", 443, "broker.test"),
            ("Broker.Test:443", "broker.test", 443, "broker.test"),
            ("broker.test:80", "broker.test", 80, "broker.test:80"),
            ("[2001:DB8::1]", "[2001:db8::1]", 443, "[2001:db8::1]"),
            ("[::1]:8443", "[::1]", 8443, "[::1]:8443"),
        ] {
            let authority = Authority::parse(text).unwrap();
            assert_eq!(
                (authority.host(), authority.port(), authority.host_header()),
                (host, port, header),
                "{text}"
            );
        }
    }

    #[test]
    fn text_that_is_not_a_host_is_rejected() {
        let long = "a".repeat(256);
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "user@a",
            "a\r\nX: y",
            "a%41",
            "a:b",
            "a:+80",
            "a:65536",
            "a:",
            "::1",
            "[::1",
            "[]",
            "[g]",
            "bücher.example",
            "a:80:80",
            &long,
        ] {
            assert_eq!(Authority::parse(text), Err(InvalidAuthority), "{text:?}");
        }
    }
}
