use crate::JsonStr;
use crate::json::field::{self, fields};

fields! { 'a;
    /// `msg` 3: readings the device has stored, packed. (mysotherm, Mysa_HA.)
    #[non_exhaustive]
    pub struct BatchMessage<'a> {
        /// `readings`: records in base64.
        pub readings: JsonStr<'a> = "readings" => field::text,
    }
}
