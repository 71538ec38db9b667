use crate::message::legacy::legacy_body;
use crate::{JsonStr, UnixTime};

legacy_body! { 'a;
    /// `MsgType` 10: the device has started. (Mysa_HA, mysa-js-sdk, mysa_client.)
    pub struct Boot<'a> {
        /// `bootTime`.
        pub time: UnixTime = "bootTime" => boot_time,
        /// `bootCount`: how often it has started.
        pub count: i64 = "bootCount" => boot_count,
        /// `version` of the firmware.
        pub firmware: JsonStr<'a> = "version" => version,
        /// `ip`: address on the local network.
        pub ip: JsonStr<'a> = "ip" => ip,
    }
}
