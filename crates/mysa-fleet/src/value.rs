//! Values in the store, as JSON. Unknown fields are ignored, so that workers of two versions can run in one fleet.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use mysa_proto::{DeviceId, UnixTime};
use mysa_session::VerdictKind;
use serde::{Deserialize, Serialize};

use crate::{AccountId, CommandId, Decision, Revision, WorkerId};

/// Name of a session: a worker and one of its incarnations. No two sessions have the same name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SessionId {
    pub(crate) worker: WorkerId,
    pub(crate) incarnation: u64,
}

impl SessionId {
    pub(crate) fn to_key(&self) -> String {
        format!("{}.{:016x}", self.worker, self.incarnation)
    }

    pub(crate) fn from_key(key: &str) -> Option<Self> {
        let (worker, incarnation) = key.split_once('.')?;
        let is_hex = incarnation.len() == 16 && incarnation.bytes().all(|byte| byte.is_ascii_hexdigit());
        let incarnation = u64::from_str_radix(incarnation, 16).ok().filter(|_| is_hex)?;
        Some(Self { worker: WorkerId::new(worker).ok()?, incarnation })
    }
}

/// Value of a session.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct SessionValue {
    /// Number of this write among those of the session. It tells the holder which of its writes made a revision.
    pub(crate) number: u64,
    /// Maximum number of accounts.
    pub(crate) capacity: u32,
    /// Accounts that it owns.
    pub(crate) held: u32,
    /// `true` if it takes no more accounts.
    #[serde(default)]
    pub(crate) draining: bool,
    /// `true` if this entry only blocks the name of a session that is over.
    #[serde(default)]
    pub(crate) over: bool,
}

/// Value of a claim.
#[derive(Deserialize, Serialize)]
struct ClaimValue<'a> {
    worker: Cow<'a, str>,
    incarnation: Cow<'a, str>,
}

/// Value of a command.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct CommandValue {
    device: String,
    change: String,
    /// Token of the owner that accepted it.
    owner: u64,
    /// When it was accepted, by the wall clock of that owner, in milliseconds. For people.
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    code: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
const fn is_zero(code: &u8) -> bool {
    *code == 0
}

impl CommandValue {
    pub(crate) fn new(device: DeviceId, change: &str, owner: Revision, at: UnixTime) -> Self {
        Self {
            device: format!("{device}"),
            change: change.into(),
            owner: owner.number(),
            at: at.as_millis(),
            outcome: None,
            reason: None,
            code: 0,
        }
    }

    pub(crate) fn decided(mut self, decision: &Decision) -> Self {
        self.outcome = Some(decision.outcome.name().into());
        self.reason = Some(decision.reason.clone());
        self.code = decision.code;
        self
    }

    pub(crate) fn decision(&self) -> Option<Decision> {
        // An outcome of a later version is not better than unknown.
        let outcome = VerdictKind::from_name(self.outcome.as_deref()?).unwrap_or(VerdictKind::Unconfirmed);
        let decision = Decision::new(outcome, self.reason.clone().unwrap_or_default());
        Some(decision.with_code(self.code))
    }

    pub(crate) const fn owner(&self) -> Revision {
        Revision::new(self.owner)
    }

    /// The command: its thermostat and the requested change.
    pub(crate) fn command(&self) -> Option<(DeviceId, String)> {
        Some((DeviceId::new(&self.device)?, self.change.clone()))
    }

    /// `true` if this is the same command.
    pub(crate) fn is_for(&self, device: DeviceId, change: &str) -> bool {
        self.change == change && self.device == format!("{device}")
    }
}

pub(crate) fn encode_session(value: SessionValue) -> String {
    encode(&value)
}

pub(crate) fn decode_session(text: &str) -> Option<SessionValue> {
    serde_json::from_str(text).ok()
}

pub(crate) fn encode_claim(session: &SessionId) -> String {
    let incarnation = format!("{:016x}", session.incarnation);
    encode(&ClaimValue { worker: session.worker.as_str().into(), incarnation: incarnation.into() })
}

pub(crate) fn decode_claim(text: &str) -> Option<SessionId> {
    let value: ClaimValue<'_> = serde_json::from_str(text).ok()?;
    SessionId::from_key(&format!("{}.{}", value.worker, value.incarnation))
}

pub(crate) fn encode_command(value: &CommandValue) -> String {
    encode(value)
}

pub(crate) fn decode_command(text: &str) -> Option<CommandValue> {
    serde_json::from_str(text).ok()
}

/// Key of a command.
pub(crate) fn command_key(account: &AccountId, id: &CommandId) -> String {
    format!("{account}.{id}")
}

/// Name of the command in a key.
pub(crate) fn command_of(key: &str) -> Option<CommandId> {
    CommandId::new(key.split_once('.')?.1).ok()
}

/// Structs of numbers and texts cannot fail to be encoded.
fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn values_are_read_back() {
        let session = SessionId { worker: WorkerId::new("w-1").unwrap(), incarnation: 0xAB };
        assert_eq!(session.to_key(), "w-1.00000000000000ab");
        assert_eq!(SessionId::from_key(&session.to_key()), Some(session.clone()));
        assert_eq!(decode_claim(&encode_claim(&session)), Some(session));
        let value = SessionValue { number: 3, capacity: 10, held: 2, draining: true, over: false };
        assert_eq!(decode_session(&encode_session(value)), Some(value));
        let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
        let command = CommandValue::new(device, "20.5", Revision::new(7), UnixTime::from_secs(1));
        assert_eq!(command.decision(), None);
        let decided =
            command.decided(&Decision::new(VerdictKind::Confirmed, "by the \"thermostat\"").with_code(9));
        let read = decode_command(&encode_command(&decided)).unwrap();
        assert_eq!(read, decided);
        assert!(read.is_for(device, "20.5") && !read.is_for(device, "21"));
        assert_eq!(read.decision().unwrap().to_string(), "confirmed: by the \"thermostat\"");
        assert_eq!(read.decision().unwrap().code, 9);
    }

    #[test]
    fn foreign_keys_and_values_are_none() {
        for key in ["", "w", "w.", ".00000000000000ab", "w.ab", "w.+0000000000000ab", "w.00000000000000ab.x"]
        {
            assert_eq!(SessionId::from_key(key), None, "{key}");
        }
        for text in ["", "{}", "[]", "null", r#"{"worker":"a b","incarnation":"00000000000000ab"}"#] {
            assert_eq!(decode_claim(text), None, "{text}");
            assert_eq!(decode_command(text), None, "{text}");
            assert_eq!(decode_session(text), None, "{text}");
        }
    }
}
