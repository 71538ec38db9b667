//! Replaces private values in output that people paste into bug reports.

use std::collections::BTreeMap;

use mysa_proto::DeviceId;

use crate::output::record::{Record, Value};

/// Replaces private values by stable stand-ins: the first thermostat is `dev-1` wherever it occurs, and an e-mail address
/// keeps its first letter and its top-level domain.
#[derive(Debug, Default)]
pub(crate) struct Redaction {
    off: bool,
    devices: BTreeMap<DeviceId, usize>,
    uuids: BTreeMap<String, usize>,
}

impl Redaction {
    /// Creates a redaction. With `show_private`, it replaces only secrets.
    pub(crate) fn new(show_private: bool) -> Self {
        Self { off: show_private, ..Self::default() }
    }

    pub(crate) fn device(&mut self, id: &DeviceId) -> String {
        if self.off {
            return id.to_string();
        }
        let next = self.devices.len() + 1;
        format!("dev-{}", self.devices.entry(*id).or_insert(next))
    }

    pub(crate) fn email(&self, address: &str) -> String {
        if self.off {
            return address.to_owned();
        }
        let first = address.chars().next().map(String::from).unwrap_or_default();
        let ending = address.rsplit_once('.').map_or("", |(_, ending)| ending);
        format!("{first}…@….{ending}")
    }

    /// Redacts free text, such as a log line or a payload. Twelve hex digits on their own count as a device id, a dotted
    /// quad as an IP address, a word with `@` as an e-mail address; UUIDs, MAC addresses, serial numbers, keys, signatures
    /// and tokens are recognized by their form.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '@' | '_' | '+' | '-' | ':');
        let mut rest = text;
        while !rest.is_empty() {
            let word_end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            if word_end == 0 {
                let skip = rest.find(is_part).unwrap_or(rest.len());
                out.push_str(&rest[..skip]);
                rest = &rest[skip..];
            } else {
                out.push_str(&self.word(&rest[..word_end], &out));
                rest = &rest[word_end..];
            }
        }
        out
    }

    /// Redacts every text of a record, and every value under a private name.
    pub(crate) fn record(&mut self, record: Record) -> Record {
        match self.value(Value::Record(record)) {
            Value::Record(record) => record,
            _ => Record::new(),
        }
    }

    fn value(&mut self, value: Value) -> Value {
        match value {
            Value::Text(text) => Value::Text(self.text(&text)),
            Value::List(list) => Value::List(list.into_iter().map(|item| self.value(item)).collect()),
            Value::Record(record) => {
                let mut out = Record::new();
                for (name, value) in record.into_fields() {
                    let value = match value {
                        Value::Text(_) if is_named(&name, SECRET) => Value::Text("(secret)".into()),
                        Value::Text(_) | Value::Int(_) | Value::Number(_)
                            if !self.off && is_named(&name, PRIVATE) =>
                        {
                            Value::Text("(private)".into())
                        }
                        other => self.value(other),
                    };
                    out.put(&self.text(&name), value);
                }
                Value::Record(out)
            }
            other => other,
        }
    }

    fn word(&mut self, word: &str, before: &str) -> String {
        let trimmed = word.trim_end_matches([':', '.']);
        let tail = &word[trimmed.len()..];
        let bare: String = trimmed.chars().filter(|&c| c != ':' && c != '-').collect();
        let hex = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_secret(trimmed, before) || (hex && bare.len() == 64) {
            return "(secret)".into();
        }
        if self.off {
            return word.to_owned();
        }
        let is_mac = hex && bare.len() == 12 && trimmed.len() == 17;
        if let Some(id) = DeviceId::new(if is_mac { &bare } else { trimmed })
            && (is_mac
                || self.devices.contains_key(&id)
                || (hex && trimmed.len() == 12 && trimmed.bytes().any(|byte| byte.is_ascii_alphabetic())))
        {
            return self.device(&id) + tail;
        }
        if hex && bare.len() == 32 && trimmed.len() == 36 {
            let next = self.uuids.len() + 1;
            let number = self.uuids.entry(trimmed.to_ascii_lowercase()).or_insert(next);
            return format!("uuid-{number}{tail}");
        }
        if trimmed.contains('@') {
            return self.email(trimmed) + tail;
        }
        if trimmed.split(':').next().is_some_and(|host| host.parse::<std::net::Ipv4Addr>().is_ok()) {
            return format!("x.x.x.x{tail}");
        }
        if trimmed.matches(':').count() >= 2
            && trimmed.contains(|c: char| c.is_ascii_alphabetic())
            && trimmed.parse::<std::net::Ipv6Addr>().is_ok()
        {
            return format!("x:x{tail}");
        }
        if before.to_ascii_lowercase().trim_end().ends_with("serial:") {
            return "(serial)".into();
        }
        word.to_owned()
    }
}

/// Returns `true` if a word is a key or token of AWS, or follows the name of one in a URL. No option shows these.
fn is_secret(word: &str, before: &str) -> bool {
    let is_key = ["AKIA", "ASIA"].iter().any(|start| word.starts_with(start)) && word.len() == 20;
    let is_token = ["eyJ", "IQoJ", "FwoG"].iter().any(|start| word.starts_with(start)) && word.len() > 24;
    is_key || is_token || before.ends_with("Security-Token=") || before.ends_with("Signature=")
}

fn is_named(name: &str, names: &[&str]) -> bool {
    let plain: String =
        name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    names.contains(&plain.as_str())
}

const SECRET: &[&str] = &[
    "password",
    "token",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "secret",
    "secretkey",
    "secretaccesskey",
    "sessiontoken",
];

/// Field names of the REST service whose values identify a person or a place.
const PRIVATE: &[&str] = &[
    "email",
    "firstname",
    "lastname",
    "givenname",
    "familyname",
    "phone",
    "phonenumber",
    "address",
    "street",
    "streetaddress",
    "city",
    "zip",
    "zipcode",
    "postalcode",
    "postcode",
    "lat",
    "latitude",
    "lng",
    "lon",
    "long",
    "longitude",
    "ssid",
    "serial",
    "serialnumber",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thermostat_has_the_same_stand_in_everywhere() {
        let mut redaction = Redaction::new(false);
        let id = DeviceId::new("a0b1c2d3e4f6").unwrap();
        assert_eq!(redaction.device(&id), "dev-1");
        assert_eq!(redaction.text("/v1/dev/A0B1C2D3E4F6/out a0b1c2d3e4f7"), "/v1/dev/dev-1/out dev-2");
        assert_eq!(redaction.text("mac A0:B1:C2:D3:E4:F6."), "mac dev-1.");
        let digits = DeviceId::new("001122334455").unwrap();
        assert_eq!(redaction.device(&digits), "dev-3");
        assert_eq!(redaction.text("001122334455 1767323045"), "dev-3 1767323045");
    }

    #[test]
    fn addresses_are_replaced() {
        let mut redaction = Redaction::new(false);
        let text = redaction.text(
            "Local IP: 192.0.2.17, mail ann.lee@example.org; Device Serial: SN00000000, at 192.0.2.18:443 and fe80::1ff:1; \
             but 1767323045 and 12:30:05 stay",
        );
        for gone in ["192.0.2", "lee", "example", "SN0", "fe80"] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
        assert!(text.contains("1767323045") && text.contains("12:30:05"), "{text}");
    }

    #[test]
    fn secrets_and_uuids_are_recognized_by_their_form() {
        let mut redaction = Redaction::new(false);
        let text = redaction.text(
            "wss://h/mqtt?X-Amz-Credential=ASIAABCDEFGHIJKLMNOP%2F&X-Amz-Signature=1fe633a0&X-Amz-Security-Token=canary \
             eyJraWQiOiJhYmNkZWZnaGlqa2xtbm9w.eyJ 77777777-7777-4777-8777-777777777777",
        );
        for gone in ["ASIA", "1fe6", "canary", "eyJ", "7777"] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
        assert!(text.contains("uuid-1"), "{text}");
    }

    #[test]
    fn values_under_private_names_are_hidden() {
        let mut home = Record::new();
        home.put("Latitude", 45.5).put("zip_code", "H2X").put("Name", "Cottage").put("a0b1c2d3e4f6", 1_i64);
        let shown = Redaction::new(false).record(home.clone()).to_json();
        assert_eq!(shown, r#"{"Latitude":"(private)","zip_code":"(private)","Name":"Cottage","dev-1":1}"#);
        assert_eq!(Redaction::new(true).record(home.clone()), home);
    }

    #[test]
    fn secrets_are_replaced_even_when_it_is_off() {
        let mut open = Redaction::new(true);
        assert_eq!(
            open.text("a0b1c2d3e4f6 192.0.2.17 ann@example.org"),
            "a0b1c2d3e4f6 192.0.2.17 ann@example.org"
        );
        assert_eq!(open.text("&X-Amz-Signature=1fe633a0"), "&X-Amz-Signature=(secret)");
        let mut record = Record::new();
        record.put("IdToken", "canary").put("City", "Halifax");
        assert_eq!(open.record(record).to_json(), r#"{"IdToken":"(secret)","City":"Halifax"}"#);
    }
}
