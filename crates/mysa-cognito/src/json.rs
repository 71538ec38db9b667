//! Writer of request bodies and reader of replies. A body is written into one buffer of the final size, so that growing
//! leaves no copy of a secret on the heap.

use alloc::string::String;
use core::fmt;
use core::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::{Error, Fault, Secret};

/// JSON value of a request body.
pub(crate) enum Json<'a> {
    Text(&'a str),
    Object(&'a [(&'a str, Json<'a>)]),
    /// Member that is left out.
    Absent,
}

impl<'a> Json<'a> {
    pub(crate) fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }

    pub(crate) fn to_secret(&self) -> Secret {
        let mut length = 0;
        self.write(&mut |part| length += part.len());
        let mut out = String::with_capacity(length);
        self.write(&mut |part| out.push_str(part));
        Secret::from(out)
    }

    fn write(&self, out: &mut impl FnMut(&str)) {
        match self {
            Self::Text(text) => write_text(text, out),
            Self::Object(members) => {
                out("{");
                let present = members.iter().filter(|(_, value)| !matches!(value, Self::Absent));
                for (at, (name, value)) in present.enumerate() {
                    if at > 0 {
                        out(",");
                    }
                    write_text(name, out);
                    out(":");
                    value.write(out);
                }
                out("}");
            }
            Self::Absent => out("null"),
        }
    }
}

fn write_text(text: &str, out: &mut impl FnMut(&str)) {
    out("\"");
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out(&text[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => out("\\\""),
            b'\\' => out("\\\\"),
            _ => {
                const DIGITS: &str = "0123456789abcdef";
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out("\\u00");
                out(&DIGITS[high..=high]);
                out(&DIGITS[low..=low]);
            }
        }
    }
    out(&text[plain_from..]);
    out("\"");
}

/// Value that is read from a JSON object only. A derived `Deserialize` alone would also take an array, whose items are the fields in
/// their order.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// Reads the body of a successful reply.
pub(crate) fn read<'de, T: Deserialize<'de>>(status: u16, body: &'de [u8]) -> Result<T, Error> {
    let read = serde_json::from_slice(body).map(|Object(value)| value);
    read.map_err(|error| {
        let fault = match error.classify() {
            _ if body.trim_ascii().is_empty() => Fault::Empty,
            serde_json::error::Category::Eof => Fault::Truncated,
            serde_json::error::Category::Data => return Error::Malformed { field: "reply" },
            _ => Fault::NotJson,
        };
        Error::Transport { status, fault }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn an_array_is_no_object() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Body {
            name: Option<String>,
        }
        let malformed = Err(Error::Malformed { field: "reply" });
        let truncated = Err(Error::Transport { status: 200, fault: Fault::Truncated });
        assert_eq!(read::<Body>(200, br#" {"name":"a"}"#), Ok(Body { name: Some("a".into()) }));
        for body in [&br#"["a"]"#[..], b"\n [null]", b"[]", b"[", b"\"a\"", b"7", b"null"] {
            assert_eq!(read::<Body>(200, body), malformed, "{body:?}");
        }
        for body in [&br#"{"name":"a""#[..], b"{", b"\"a", b"nul"] {
            assert_eq!(read::<Body>(200, body), truncated, "{body:?}");
        }
    }

    #[test]
    fn every_text_is_read_back_by_serde_json() {
        let every_low: String = (0_u8..=0x7f).map(char::from).collect();
        for text in ["", "plain", "a\"b\\c", "pässwörd ሴ 🔑", &every_low] {
            let body =
                Json::Object(&[("a", Json::Text(text)), ("no", Json::Absent), ("b", Json::Text(text))])
                    .to_secret();
            let back: alloc::collections::BTreeMap<String, String> =
                serde_json::from_str(body.expose()).expect("valid JSON");
            assert_eq!(back.get("a").map(String::as_str), Some(text));
            assert_eq!(back.get("b").map(String::as_str), Some(text));
            assert_eq!(back.len(), 2);
        }
    }
}
