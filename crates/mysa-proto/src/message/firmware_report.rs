use crate::JsonStr;
use crate::json::field::{self, fields};

fields! { 'a;
    /// `msg` 61: firmware version, sent after a start. (mysotherm; Mysa_HA reads it beside the body.)
    #[non_exhaustive]
    pub struct FirmwareReport<'a> {
        /// `fw` of the body, or `version` beside it.
        pub version: JsonStr<'a> = "fw" => field::text,
    }
}
