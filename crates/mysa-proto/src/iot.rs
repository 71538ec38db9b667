//! Requests to the control plane of AWS IoT at `iot.{region}.amazonaws.com`, and the bodies of its answers.
//!
//! Mysa's devices are things of AWS IoT. Two calls are of use to a client; both are signed with the account's AWS
//! credentials for the service `iot`, and whether an account is allowed either is up to its policy:
//!
//! - [`describe_endpoint`], which gives the host of the MQTT broker ([`Endpoint`]; the design document's look-up);
//! - [`describe_thing`], which gives a thermostat's serial number ([`Thing`]; three client projects).
//!
//! ```
//! use mysa_proto::DeviceId;
//! use mysa_proto::iot::{self, Endpoint, Thing};
//!
//! let device = DeviceId::new("a0b1c2d3e4f6").ok_or("an invalid id")?;
//! assert_eq!(iot::describe_thing(device).target(), "/things/a0b1c2d3e4f6");
//! let thing = Thing::decode(br#"{"thingName":"a0b1c2d3e4f6","attributes":{"Serial":"000000"}}"#)?;
//! assert_eq!(thing.serial.as_deref(), Some("000000"));
//!
//! let body = br#"{"endpointAddress":"a1b2c3-ats.iot.us-east-1.amazonaws.com"}"#;
//! assert_eq!(Endpoint::decode(body, "us-east-1")?.host(), "a1b2c3-ats.iot.us-east-1.amazonaws.com");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A status outside 200 to 299 goes to [`Failure::of`](crate::rest::Failure::of), as for the REST service.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use serde_json::Value;

use crate::DeviceId;
use crate::rest::{self, BodyError};

/// Name of the service in a signature.
pub const SERVICE: &str = "iot";

/// Request to the control plane: a GET without a body.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct IotRequest {
    target: String,
}

impl IotRequest {
    /// Method on the request line.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        "GET"
    }

    /// Path and query, as on the request line.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// `DescribeEndpoint` for the data endpoint with a certificate of Amazon Trust Services; [`Endpoint`].
#[must_use]
pub fn describe_endpoint() -> IotRequest {
    IotRequest { target: "/endpoint?endpointType=iot%3AData-ATS".to_owned() }
}

/// `DescribeThing`. The name of the thing is the id of the thermostat (two clients); [`Thing`].
#[must_use]
pub fn describe_thing(device: DeviceId) -> IotRequest {
    IotRequest { target: format!("/things/{device}") }
}

/// Host of the MQTT broker: the answer to [`describe_endpoint`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    host: String,
}

impl Endpoint {
    /// Decodes the body. Only a host of AWS IoT in `region` is valid, `{name}.iot.{region}.amazonaws.com` or `.com.cn`,
    /// since a client opens a connection to it with a signed URL. Any case is accepted.
    ///
    /// # Errors
    /// The body is not JSON, or `endpointAddress` is missing or something other than such a host.
    pub fn decode(body: &[u8], region: &str) -> Result<Self, BodyError> {
        let body = rest::value(body)?;
        let address = body.get("endpointAddress").unwrap_or(&body);
        let host = address.as_str().and_then(|text| host(text, region));
        host.map(|host| Self { host }).ok_or_else(|| {
            BodyError::wrong_shape("endpointAddress: a host of AWS IoT in this region", address)
        })
    }

    /// The host, in lower case, without a port: it is 443.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

fn host(text: &str, region: &str) -> Option<String> {
    let lower = (text.len() <= MAX_HOST_LEN).then(|| text.to_ascii_lowercase())?;
    let zone = lower.strip_suffix(".cn").unwrap_or(&lower);
    let name = zone.strip_suffix(".amazonaws.com")?.strip_suffix(region)?.strip_suffix(".iot.")?;
    let valid = (1..=MAX_LABEL_LEN).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    valid.then_some(lower)
}

/// Length of the longest host name, in bytes [RFC 1035, 2.3.4].
const MAX_HOST_LEN: usize = 253;
const MAX_LABEL_LEN: usize = 63;

/// Registration of a thermostat at AWS IoT: the answer to [`describe_thing`].
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Thing {
    /// `thingName`.
    pub name: Option<String>,
    /// `attributes.Serial`: the serial number, in any case of the name, as text or number. `None` if it is empty, longer
    /// than [`Thing::MAX_SERIAL_LEN`] or contains a control character.
    pub serial: Option<String>,
}

impl Thing {
    /// Length of the longest valid serial number, in bytes.
    pub const MAX_SERIAL_LEN: usize = 128;

    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let body = rest::value(body)?;
        let Some(members) = body.as_object() else {
            return Err(BodyError::wrong_shape("an object", &body));
        };
        let attributes = members.get("attributes").and_then(Value::as_object);
        let serial = attributes
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.eq_ignore_ascii_case("serial"))
            .find_map(|(_, value)| short_text(value));
        Ok(Self { name: members.get("thingName").and_then(short_text), serial })
    }
}

fn short_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => format!("{number}"),
        _ => return None,
    };
    let valid = (1..=Thing::MAX_SERIAL_LEN).contains(&text.len()) && !text.chars().any(char::is_control);
    valid.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com";

    fn endpoint(address: &str) -> Option<String> {
        let body = serde_json::to_vec(&serde_json::json!({ "endpointAddress": address })).unwrap();
        Endpoint::decode(&body, "us-east-1").ok().map(|endpoint| endpoint.host)
    }

    #[test]
    fn only_a_host_of_aws_iot_in_the_region_is_an_endpoint() {
        assert_eq!(endpoint(HOST).as_deref(), Some(HOST));
        assert_eq!(endpoint(&HOST.to_uppercase()).as_deref(), Some(HOST));
        let china = HOST.replace(".com", ".com.cn");
        assert_eq!(endpoint(&china).as_deref(), Some(&*china));
        let long = format!("{}.iot.us-east-1.amazonaws.com", "a".repeat(64));
        let longer = format!("{}.iot.us-east-1.amazonaws.com", "a".repeat(100_000));
        for bad in [
            "",
            "example.org",
            ".iot.us-east-1.amazonaws.com",
            "iot.us-east-1.amazonaws.com",
            "a.b.iot.us-east-1.amazonaws.com",
            "-a.iot.us-east-1.amazonaws.com",
            "a-.iot.us-east-1.amazonaws.com",
            "a_b.iot.us-east-1.amazonaws.com",
            "a1-ats.iot.us-west-2.amazonaws.com",
            "a1-ats.iot.us-east-1.amazonaws.com.example.org",
            "a1-ats.iot.us-east-1.amazonaws.com.",
            "a1-ats.iot.us-east-1.amazonaws.com:443",
            "a1-ats.iot.us-east-1.amazonaws.com/mqtt",
            "wss://a1-ats.iot.us-east-1.amazonaws.com",
            "user@a1-ats.iot.us-east-1.amazonaws.com",
            "example.org/a1-ats.iot.us-east-1.amazonaws.com",
            "example.org#a1-ats.iot.us-east-1.amazonaws.com",
            "a1-ats.iot.us-east-1.amazonaws.com\r\nx: y",
            " a1-ats.iot.us-east-1.amazonaws.com",
            "á1-ats.iot.us-east-1.amazonaws.com",
            &long,
            &longer,
        ] {
            assert_eq!(endpoint(bad), None, "{bad:.60}");
        }
    }

    #[test]
    fn an_answer_of_another_structure_is_an_error() {
        for body in
            ["", "<html></html>", "{}", "[]", "null", r#"{"endpointAddress":7}"#, "\"x\"", "\u{0}\u{1}"]
        {
            assert!(Endpoint::decode(body.as_bytes(), "us-east-1").is_err(), "{body}");
        }
        for body in ["", "<html></html>", "[]", "null", "7", "\u{0}\u{1}"] {
            assert!(Thing::decode(body.as_bytes()).is_err(), "{body}");
        }
        let long = alloc::vec![b'['; rest::MAX_BODY_LEN + 1];
        assert!(matches!(Thing::decode(&long), Err(BodyError::TooLong { .. })));
    }

    #[test]
    fn a_serial_number_is_short_text() {
        let serial = |value: &str| {
            Thing::decode(format!(r#"{{"attributes":{{"Serial":{value}}}}}"#).as_bytes()).unwrap().serial
        };
        assert_eq!(serial("\" 0A12-34 \"").as_deref(), Some("0A12-34"));
        assert_eq!(serial("1234").as_deref(), Some("1234"));
        for bad in [
            "\"\"",
            "\"  \"",
            "null",
            "{}",
            "[\"a\"]",
            "true",
            "\"a\\u001bb\"",
            &format!("\"{}\"", "1".repeat(129)),
        ] {
            assert_eq!(serial(bad), None, "{bad}");
        }
        for (body, expected) in [
            (r#"{"thingName":"a1","attributes":{"SERIAL":"7"},"version":3}"#, Some("7")),
            (r#"{"attributes":{"serial":null,"Serial":"7"}}"#, Some("7")),
            (r#"{"attributes":{"SerialNumber":"7"}}"#, None),
            (r#"{"attributes":["Serial"]}"#, None),
            (r#"{"Serial":"7"}"#, None),
        ] {
            assert_eq!(Thing::decode(body.as_bytes()).unwrap().serial.as_deref(), expected, "{body}");
        }
    }
}
