use crate::message::legacy::legacy_body;

legacy_body! { 'a;
    /// `MsgType` 11, to a device: report every few seconds for a while. (mysotherm, mysa-js-sdk, mysa_client, Mysa_HA.)
    pub struct LiveReport {
        /// `Timeout`: for how many seconds. No message that stops it is known.
        pub timeout_secs: u32 = "Timeout" => timeout,
    }
}
