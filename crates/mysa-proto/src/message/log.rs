use crate::JsonStr;
use crate::message::legacy::legacy_body;

legacy_body! { 'a;
    /// `MsgType` 4: a line of the device's log. (mysotherm, mysa-js-sdk, Mysa_HA.)
    pub struct Log<'a> {
        /// `Level`: `INFO`, `WARN`, `ERROR`, `DEBUG`.
        pub level: JsonStr<'a> = "Level" => level,
        /// `Message`: may span lines; devices write the line feeds raw.
        pub message: JsonStr<'a> = "Message" => message,
    }
}

impl<'a> Log<'a> {
    /// The firmware version, where the line tells it: `api got version 3.17.5.13`.
    #[must_use]
    pub fn firmware(&self) -> Option<&'a str> {
        self.word_after("version ")
            .filter(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// The address on the local network, where the line tells it: `Local IP: 192.0.2.17`.
    #[must_use]
    pub fn ip(&self) -> Option<&'a str> {
        self.word_after("Local IP: ")
    }

    /// The serial number, where the line tells it: `Device Serial: SN00000000`.
    #[must_use]
    pub fn serial(&self) -> Option<&'a str> {
        self.word_after("Device Serial: ")
    }

    /// What follows `label` up to white space, raw or escaped.
    fn word_after(&self, label: &str) -> Option<&'a str> {
        let (_, rest) = self.message?.as_raw().split_once(label)?;
        let word = rest.split(|c: char| c.is_whitespace() || c.is_control() || c == '\\').next()?;
        (!word.is_empty()).then_some(word)
    }
}
