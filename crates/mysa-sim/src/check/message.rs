//! Messages of a client to a thermostat, as the check sees them.

use alloc::string::{String, ToString as _};

use mysa_proto::DeviceId;
use serde_json::{Map, Value};

/// A message on a thermostat's `/in` topic.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    Command(ClientCommand),
    /// A message that no client should send, and its name.
    Dangerous(String),
    /// Any other, by its kind.
    Other(String),
}

/// Command of a client.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ClientCommand {
    pub(super) device: DeviceId,
    pub(super) id: Option<u64>,
    pub(super) body_type: Option<i64>,
    /// `true` if `src` names a user and `dest` the thermostat.
    pub(super) is_addressed: bool,
    pub(super) cmd: Value,
}

impl Message {
    /// Reads a payload. Payloads that are not JSON are of the kind `unreadable`.
    pub(super) fn read(device: DeviceId, payload: &[u8]) -> Self {
        let Ok(message) = serde_json::from_slice::<Value>(payload) else {
            return Self::Other("unreadable".into());
        };
        let number = |name: &str| message.get(name).and_then(Value::as_i64);
        match (number("msg"), number("MsgType")) {
            (Some(44), _) => Self::Command(ClientCommand::read(device, &message)),
            (Some(34), _) => Self::Dangerous("msg 34".into()),
            (Some(other), _) => Self::Other(alloc::format!("msg {other}")),
            (None, Some(kind @ (5 | 7 | 40))) => Self::Dangerous(alloc::format!("MsgType {kind}")),
            (None, Some(6)) if number("EventType") == Some(2) => {
                Self::Dangerous("MsgType 6 with EventType 2".into())
            }
            (None, Some(kind)) => Self::Other(alloc::format!("MsgType {kind}")),
            (None, None) => Self::Other("unknown".into()),
        }
    }
}

impl ClientCommand {
    fn read(device: DeviceId, message: &Value) -> Self {
        let end = |name: &str| {
            let end = message.get(name);
            let kind = end.and_then(|end| end.get("type")).and_then(Value::as_i64);
            let reference = end.and_then(|end| end.get("ref")).and_then(Value::as_str).unwrap_or_default();
            (kind, reference.to_string())
        };
        let ((from, user), (to, thermostat)) = (end("src"), end("dest"));
        let body = message.get("body");
        let is_addressed = from == Some(100)
            && !user.is_empty()
            && to == Some(1)
            && thermostat.eq_ignore_ascii_case(device.as_str());
        Self {
            device,
            id: message.get("id").and_then(Value::as_u64),
            body_type: body.and_then(|body| body.get("type")).and_then(Value::as_i64),
            is_addressed,
            cmd: body.and_then(|body| body.get("cmd")).cloned().unwrap_or(Value::Null),
        }
    }

    /// Returns `true` if both commands change the same setting.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let theirs = other.members();
        self.members().keys().any(|name| name != "tm" && theirs.contains_key(name))
    }

    fn members(&self) -> Map<String, Value> {
        // Two forms are known: an array of objects, and the same as text.
        let parsed = self.cmd.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let list = parsed.as_ref().unwrap_or(&self.cmd).as_array();
        let mut members = Map::new();
        for object in list.into_iter().flatten().filter_map(Value::as_object) {
            members.extend(object.clone());
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn device() -> DeviceId {
        DeviceId::new("a0b1c2d3e4f6").unwrap()
    }

    fn read(message: &Value) -> Message {
        Message::read(device(), message.to_string().as_bytes())
    }

    fn command(dest: &str, cmd: &Value) -> ClientCommand {
        let message = json!({
            "src": { "type": 100, "ref": "u" }, "dest": { "type": 1, "ref": dest }, "msg": 44, "id": 7,
            "body": { "ver": 1, "type": 4, "cmd": cmd },
        });
        match read(&message) {
            Message::Command(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_command_has_its_id_type_and_ends() {
        let cmd = json!([{ "tm": -1, "sp": 21 }]);
        let good = command("a0b1c2d3e4f6", &cmd);
        assert_eq!((good.id, good.body_type, good.is_addressed), (Some(7), Some(4), true));
        assert!(!command("a0b1c2d3e4f5", &cmd).is_addressed);
        let bare = read(&json!({ "msg": 44 }));
        let Message::Command(bare) = bare else { panic!("{bare:?}") };
        assert_eq!((bare.id, bare.body_type, bare.is_addressed), (None, None, false));
    }

    #[test]
    fn commands_overlap_where_they_change_the_same_setting() {
        let to = "a0b1c2d3e4f6";
        let setpoint = command(to, &json!([{ "tm": -1, "sp": 21 }]));
        let text = command(to, &json!("[{\"tm\":-1,\"sp\":19}]"));
        let mode = command(to, &json!([{ "tm": -1, "md": 1 }]));
        assert!(setpoint.overlaps(&text) && text.overlaps(&setpoint));
        assert!(!setpoint.overlaps(&mode));
    }

    #[test]
    fn dangerous_messages_are_recognised() {
        for message in [
            json!({ "MsgType": 5 }),
            json!({ "MsgType": 7 }),
            json!({ "MsgType": 40 }),
            json!({ "MsgType": 6, "EventType": 2 }),
            json!({ "msg": 34 }),
        ] {
            assert!(matches!(read(&message), Message::Dangerous(_)), "{message}");
        }
        for message in
            [json!({ "MsgType": 11 }), json!({ "MsgType": 6, "EventType": 0 }), json!({ "msg": 40 })]
        {
            assert!(matches!(read(&message), Message::Other(_)), "{message}");
        }
        assert_eq!(Message::read(device(), b"\xff"), Message::Other("unreadable".into()));
    }
}
