use crate::message::legacy::legacy_body;

legacy_body! { 'a;
    /// `MsgType` 40, to a device: **it forgets its account** and restarts in pairing mode about 30 seconds later.
    ///
    /// Decoded so that it is recognised when somebody else sends it. Nothing in this crate can write one. (mysotherm.)
    pub struct PairingReset {
        /// `EchoID`.
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}
