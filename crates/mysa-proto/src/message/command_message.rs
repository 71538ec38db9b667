use alloc::borrow::Cow;

use crate::json::field::{self, Fields};
use crate::json::reader::{Reader, Stop};
use crate::{ControlState, Json, RawJson};

/// `msg` 44, to a device: a command, our own or somebody else's, as a client sees it that listens to `/in`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandMessage<'a> {
    /// `type`: kind of device the command is written for.
    pub body_type: Option<i64>,
    /// `cmd`; `None` where it holds no command.
    pub changes: Option<Changeset<'a>>,
}

/// The list in `cmd`: an array in our own commands, one object in sloppy ones, and a string that holds the array in
/// every second one of the vendor's app, which is decoded once more.
#[derive(Clone, Debug, PartialEq)]
pub struct Changeset<'a> {
    json: Cow<'a, str>,
}

impl<'a> Changeset<'a> {
    pub(crate) fn new(cmd: RawJson<'a>) -> Option<Self> {
        let json = match cmd.value() {
            Json::String(text) => text.to_cow(),
            _ => Cow::Borrowed(cmd.as_str()),
        };
        matches!(RawJson::new(&json).ok()?.value(), Json::Array(_) | Json::Object(_)).then_some(Self { json })
    }

    /// The changes, one for each object.
    pub fn iter(&self) -> impl Iterator<Item = CommandEntry> + '_ {
        let json = RawJson::new(&self.json).ok();
        let single = json.filter(|json| matches!(json.value(), Json::Object(_)));
        let list = json.into_iter().flat_map(RawJson::elements);
        single
            .into_iter()
            .chain(list)
            .filter_map(|entry| field::nested::<CommandEntry>(&mut entry.reader()).ok().flatten())
    }
}

/// One object of `cmd`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandEntry {
    /// `tm`: -1 now; else seconds since the epoch, until which (mysotherm) or at which (mysa_client) it holds.
    pub tm: Option<i64>,
    /// What is to change.
    pub control: ControlState,
}

impl<'a> Fields<'a> for CommandEntry {
    const KEYS: &'static [&'static str] = &["tm"];

    fn field(&mut self, key: &str, reader: &mut Reader<'a>) -> Result<bool, Stop> {
        if key == "tm" {
            self.tm = field::any_integer(reader)?;
            return Ok(true);
        }
        self.control.field(key, reader)
    }
}
