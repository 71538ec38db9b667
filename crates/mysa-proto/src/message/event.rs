use crate::message::legacy::legacy_body;

legacy_body! { 'a;
    /// `MsgType` 6, to a device: do something. (mysotherm, mysa-js-sdk, Mysa_HA, mysa_client.)
    pub struct Event {
        /// `EventType` as it came; see [`Event::kind`].
        pub event_type: i64 = "EventType" => event_type,
        /// `EchoID`, with [`EventKind::Echo`].
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}

/// What an [`Event`] asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// 0: read the settings again from the cloud.
    SettingsCheck,
    /// 2: look for a firmware update and install it.
    FirmwareTrigger,
    /// 4294967295: answer with `MsgType` 5. Harmless.
    Echo,
    /// A number that no witness names.
    Other(i64),
}

impl Event {
    /// What is asked for.
    #[must_use]
    pub fn kind(&self) -> Option<EventKind> {
        self.event_type.map(|number| match number {
            0 => EventKind::SettingsCheck,
            2 => EventKind::FirmwareTrigger,
            0xFFFF_FFFF => EventKind::Echo,
            other => EventKind::Other(other),
        })
    }
}
