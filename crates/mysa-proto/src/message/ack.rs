use crate::json::field::{self, fields};
use crate::{ControlState, DeviceId, Trigger};

fields! { 'a;
    /// `msg` 44, from a device: what it has done with a command, and the settings it has now. Also sent unasked after
    /// a button was pressed. (Every witness.)
    #[non_exhaustive]
    pub struct Ack {
        /// `success`: whether it was applied.
        pub success: bool = "success" => field::flag,
        /// `trig_src` as it came; see [`Ack::trigger`].
        pub trigger_source: i64 = "trig_src" => field::integer,
        /// `type`: the one of the command, repeated.
        pub body_type: i64 = "type" => field::integer,
        /// `state`: the settings now.
        pub state: ControlState = "state" => field::nested,
    }
}

impl Ack {
    /// Who made the device change.
    #[must_use]
    pub fn trigger(&self) -> Option<Trigger> {
        self.trigger_source.map(Trigger::from_number)
    }
}

/// A command that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct SentCommand {
    /// Where it was sent.
    pub device: DeviceId,
    /// The `id` it carried.
    pub id: u64,
    /// What it asked for.
    pub asked: ControlState,
}

/// What a message says about a [`SentCommand`]; see [`Message::answers`](crate::Message::answers).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a new verdict must not be missed")]
pub enum Answer {
    /// The device has applied it, and shows every field that was asked for.
    Confirmed,
    /// The device refused it.
    Rejected,
    /// The device answered, but does not say or does not show that it applied it.
    Unconfirmed,
    /// An acknowledgement, but of another command, of another device, or of none.
    NotThisRequest,
    /// No acknowledgement: a status, or the command itself as it is seen on `/in`.
    NotAnAck,
}
