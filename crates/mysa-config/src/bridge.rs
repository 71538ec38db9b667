use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use url::{Host, Url};

use crate::listen::{LISTEN, ListenAddress};
use crate::{ConfigError, normalize_account};

/// Settings of `mysa bridge`. A password is never one of them: it is read from a file or from the environment.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BridgeConfig {
    /// Accounts that the bridge serves, each once and as [`normalize_account`](crate::normalize_account) returns it. The
    /// first one serves a thermostat that several have. Empty: the account of the command.
    pub accounts: Vec<String>,
    /// URL of the broker, see [`BrokerUrl`].
    pub broker: Option<String>,
    /// User name.
    pub user: Option<String>,
    /// File with the password.
    pub password_file: Option<String>,
    /// File with the certificate authorities of the broker, PEM. Without it, those of the system are trusted.
    pub broker_ca: Option<String>,
    /// File with the client's certificate chain, PEM.
    pub client_certificate: Option<String>,
    /// File with the client's private key, PEM.
    pub client_key: Option<String>,
    /// MQTT client id.
    pub client_id: Option<String>,
    /// First part of the bridge's topics.
    pub prefix: Option<String>,
    /// First part of Home Assistant's discovery topics; `none` publishes no discovery.
    pub discovery_prefix: Option<String>,
    /// Address for metrics and health, see [`ListenAddress`](crate::ListenAddress).
    pub metrics: Option<String>,
    /// Format of the log: `text` or `json`.
    pub log_format: Option<String>,
}

impl BridgeConfig {
    /// Names and values of all fields that are texts, named as in the settings file.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Option<&str>); 11] {
        [
            ("broker", self.broker.as_deref()),
            ("user", self.user.as_deref()),
            ("password-file", self.password_file.as_deref()),
            ("broker-ca", self.broker_ca.as_deref()),
            ("client-certificate", self.client_certificate.as_deref()),
            ("client-key", self.client_key.as_deref()),
            ("client-id", self.client_id.as_deref()),
            ("prefix", self.prefix.as_deref()),
            ("discovery-prefix", self.discovery_prefix.as_deref()),
            ("metrics", self.metrics.as_deref()),
            ("log-format", self.log_format.as_deref()),
        ]
    }

    /// Accounts from a text in which commas separate them.
    pub(crate) fn parse_accounts(text: &str) -> Result<Vec<String>, ConfigError> {
        let parsed = text.split(',').filter(|account| !account.trim().is_empty());
        parsed.map(normalized).collect()
    }

    /// Normalizes the names of the accounts, and checks the form of every value.
    pub(crate) fn check(&mut self) -> Result<(), ConfigError> {
        for account in &mut self.accounts {
            *account = normalized(account)?;
        }
        let repeated =
            |(at, account): &(usize, &String)| self.accounts.iter().take(*at).any(|other| other == *account);
        if let Some((_, account)) = self.accounts.iter().enumerate().find(repeated) {
            let (name, value) = ("accounts", account.clone());
            return Err(ConfigError::InvalidBridge { name, value, expected: "each account once" });
        }
        for (name, value) in self.fields() {
            let Some(value) = value else { continue };
            let expected = match name {
                "broker" => value.parse::<BrokerUrl>().map(drop).map_err(|InvalidBrokerUrl| BROKER),
                "metrics" => value.parse::<ListenAddress>().map(drop).map_err(|_| LISTEN),
                "log-format" if !matches!(value, "text" | "json") => Err("text or json"),
                "prefix" | "discovery-prefix" if value.contains(['+', '#']) => Err(TOPIC),
                _ if value.is_empty() || value.contains(char::is_control) => Err(TEXT),
                _ => Ok(()),
            };
            // A URL may hold a password, which no message repeats.
            let quoted = if name == "broker" && value.contains('@') { "…@…" } else { value };
            expected.map_err(|expected| ConfigError::InvalidBridge {
                name,
                value: quoted.to_owned(),
                expected,
            })?;
        }
        Ok(())
    }
}

fn normalized(account: &str) -> Result<String, ConfigError> {
    normalize_account(account).ok_or_else(|| ConfigError::InvalidBridge {
        name: "accounts",
        value: account.to_owned(),
        expected: "e-mail addresses",
    })
}

const BROKER: &str = "a URL such as mqtt://localhost:1883, mqtts://broker.example.org or ws://localhost:9001/mqtt, without user and password";
const TOPIC: &str = "a topic without + and #";
const TEXT: &str = "a text of at least one character, without control characters";

/// Address of an MQTT broker: `mqtt://HOST[:PORT]` for plain TCP (port 1883) or `mqtts://HOST[:PORT]` for TLS (port 8883);
/// over WebSocket, `ws://HOST[:PORT][/PATH]` (port 80) or `wss://HOST[:PORT][/PATH]` for TLS (port 443). Many brokers expect
/// the path `/mqtt`.
///
/// ```
/// use mysa_config::BrokerUrl;
///
/// let url: BrokerUrl = "mqtts://broker.example.org".parse()?;
/// assert_eq!((url.host.as_str(), url.port, url.tls), ("broker.example.org", 8883, true));
/// let url: BrokerUrl = "wss://broker.example.org:9001/mqtt".parse()?;
/// assert_eq!((url.port, url.tls, url.path.as_deref()), (9001, true, Some("/mqtt")));
/// # Ok::<(), mysa_config::InvalidBrokerUrl>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct BrokerUrl {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `true` for TLS.
    pub tls: bool,
    /// Path of the WebSocket, from its `/` on; `None` for MQTT without WebSocket.
    pub path: Option<String>,
}

/// Error of [`BrokerUrl::from_str`]: the text is not a URL of a broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to add")]
pub struct InvalidBrokerUrl;

impl fmt::Display for InvalidBrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {BROKER}")
    }
}

impl std::error::Error for InvalidBrokerUrl {}

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBrokerUrl> {
        let url = Url::parse(text).map_err(|_| InvalidBrokerUrl)?;
        let (tls, web, port) = match url.scheme() {
            "mqtt" => (false, false, 1_883),
            "mqtts" => (true, false, 8_883),
            "ws" => (false, true, 80),
            "wss" => (true, true, 443),
            _ => return Err(InvalidBrokerUrl),
        };
        // `url` silently removes white space and tabs, but later users of the text do not. For the schemes that it knows, it
        // also repairs slashes.
        let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\');
        let has_host = text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with('/'));
        let is_bare = (web || matches!(url.path(), "" | "/"))
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = match url.host() {
            // The host of a scheme that `url` does not know is not checked.
            Some(Host::Domain(name)) => {
                let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                Some(name.to_owned()).filter(|name| !name.is_empty() && name.chars().all(is_host))
            }
            Some(Host::Ipv4(address)) => Some(address.to_string()),
            Some(Host::Ipv6(address)) => Some(address.to_string()),
            None => None,
        };
        match host {
            Some(host) if is_plain && has_host && is_bare => {
                let path = web.then(|| url.path().to_owned());
                Ok(Self { host, port: url.port().unwrap_or(port), tls, path })
            }
            _ => Err(InvalidBrokerUrl),
        }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (&self.path, self.tls) {
            (None, false) => "mqtt",
            (None, true) => "mqtts",
            (Some(_), false) => "ws",
            (Some(_), true) => "wss",
        };
        let Self { host, port, path, .. } = self;
        let path = path.as_deref().unwrap_or_default();
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}{path}")
        } else {
            write!(f, "{scheme}://{host}:{port}{path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_brokers_have_a_default_port() {
        for (text, shown) in [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtt://localhost:1884/", "mqtt://localhost:1884"),
            ("mqtts://192.0.2.1", "mqtts://192.0.2.1:8883"),
            ("mqtts://[2001:db8::1]:8884", "mqtts://[2001:db8::1]:8884"),
            ("mqtt://core-mosquitto", "mqtt://core-mosquitto:1883"),
            ("mqtt://my_broker.local", "mqtt://my_broker.local:1883"),
            ("ws://localhost", "ws://localhost:80/"),
            ("ws://localhost:9001", "ws://localhost:9001/"),
            ("ws://my_broker:80/mqtt", "ws://my_broker:80/mqtt"),
            ("wss://broker.example.org/a/b%20c", "wss://broker.example.org:443/a/b%20c"),
            ("WSS://[2001:db8::1]:8084/mqtt/", "wss://[2001:db8::1]:8084/mqtt/"),
        ] {
            assert_eq!(text.parse::<BrokerUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_no_url_of_a_broker() {
        for text in [
            "",
            "localhost",
            "localhost:1883",
            "tcp://localhost",
            "http://localhost",
            "mqtt://",
            "mqtt://ann:secret@localhost",
            "mqtt://ann@localhost",
            "mqtt://localhost/path",
            "mqtt://localhost?x",
            "mqtt://localhost#x",
            "mqtt://localhost:port",
            "mqtt://localhost:99999",
            "mqtt://local host",
            " mqtt://localhost",
            "mqtt:localhost",
            "ws:localhost",
            "ws:/localhost",
            "ws:///localhost",
            "ws:\\\\localhost",
            "ws://localhost\\mqtt",
            "ws://ann:secret@localhost/mqtt",
            "ws://localhost/mqtt?token=x",
            "ws://localhost/mqtt#x",
            "ws://local%20host/",
            "ws://localhost:0x50",
            "ws://",
        ] {
            assert_eq!(text.parse::<BrokerUrl>(), Err(InvalidBrokerUrl), "{text}");
        }
    }

    #[test]
    fn every_field_has_its_form() {
        let mut config = BridgeConfig { prefix: Some("mysa/+".into()), ..BridgeConfig::default() };
        let error = config.check().unwrap_err().to_string();
        assert_eq!(error, "invalid bridge.prefix 'mysa/+': expected a topic without + and #");
        config.prefix = Some(String::new());
        assert!(config.check().is_err());
        config = BridgeConfig { user: Some("a\nb".into()), ..BridgeConfig::default() };
        assert!(config.check().unwrap_err().to_string().starts_with("invalid bridge.user"));
        config = BridgeConfig { broker: Some("mqtt://ann:canary@x".into()), ..BridgeConfig::default() };
        let error = config.check().unwrap_err().to_string();
        assert!(error.starts_with("invalid bridge.broker") && !error.contains("canary"), "{error}");
        config = BridgeConfig {
            accounts: vec!["ann@example.org\r".into(), "bob@example.org".into()],
            ..BridgeConfig::default()
        };
        config.check().unwrap();
        assert_eq!(config.accounts, ["ann@example.org", "bob@example.org"]);
        config.accounts.push(" ann@example.org".into());
        let error = config.check().unwrap_err().to_string();
        assert_eq!(error, "invalid bridge.accounts 'ann@example.org': expected each account once");
        config.accounts = vec!["\t".into()];
        assert!(config.check().unwrap_err().to_string().ends_with("expected e-mail addresses"));
        assert_eq!(BridgeConfig::default().check(), Ok(()));
    }
}
