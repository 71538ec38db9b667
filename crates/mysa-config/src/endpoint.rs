use url::{Host, Url};

const ID: &str = "a name of letters, digits and . : _ -";
const HOST: &str = "a host name with an optional port, such as host.example.org or host.example.org:8443";
const URL: &str = "a URL such as https://host.example.org, without path, query or password";

/// Checks the value of an `environment` setting by the name of the setting.
///
/// # Errors
/// The form that the setting needs.
pub(crate) fn check(name: &str, value: &str) -> Result<(), &'static str> {
    if name.ends_with("-url") {
        return base_url(value).map(drop).ok_or(URL);
    }
    if name.ends_with("-host") || name == "iot-endpoint" {
        return host(value).map(drop).ok_or(HOST);
    }
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-');
    if !value.is_empty() && value.chars().all(is_id) { Ok(()) } else { Err(ID) }
}

/// Parses an HTTPS URL of a host and nothing else.
fn base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    // `url` silently removes white space and tabs, but later users of the text do not.
    let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    (url.scheme() == "https"
        && is_bare
        && is_plain
        && matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_))))
    .then_some(url)
}

/// Parses a host with an optional port and no scheme.
fn host(text: &str) -> Option<Url> {
    if text.contains(['/', '\\', '@', '?', '#']) {
        return None;
    }
    base_url(&format!("https://{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_no_scheme_path_or_password() {
        for good in
            ["a1b2-ats.iot.us-east-1.amazonaws.com", "localhost:8443", "192.0.2.1", "[2001:db8::1]:443"]
        {
            assert_eq!(check("iot-endpoint", good), Ok(()), "{good}");
            assert_eq!(check("rest-host", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "wss://iot.example.org/mqtt",
            "https://iot.example.org",
            "iot.example.org/mqtt",
            "ann:secret@iot.example.org",
            "iot.example.org:port",
            "iot.example.org:99999",
            "iot example.org",
            "iot.example.org\n",
            "iot.example.org?x",
        ] {
            assert_eq!(check("iot-endpoint", bad), Err(HOST), "{bad}");
        }
    }

    #[test]
    fn urls_are_https_and_only_a_host() {
        for good in ["https://cognito-idp.us-east-1.amazonaws.com", "https://localhost:8443/"] {
            assert_eq!(check("user-pool-url", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "cognito-idp.us-east-1.amazonaws.com",
            "http://example.org",
            "https://example.org/path",
            "https://example.org?x=1",
            "https://ann:secret@example.org",
            "https://",
            " https://example.org",
        ] {
            assert_eq!(check("identity-pool-url", bad), Err(URL), "{bad}");
        }
    }

    #[test]
    fn ids_are_plain_names() {
        assert_eq!(check("identity-pool", "us-east-1:11111111-2222-4333-8444-555555555555"), Ok(()));
        assert_eq!(check("region", "us-east-1"), Ok(()));
        for bad in ["", "us east 1", "us-east-1/x", "https://example.org"] {
            assert_eq!(check("region", bad), Err(ID), "{bad}");
        }
    }
}
