//! Every command that was asked for and every transmission of it, and the rules between the two.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_proto::{Change, DeviceId};
use mysa_session::{CommandId, HttpId, Verdict};

use crate::violation::Violation;
use crate::writes::{Asked, Setting, Settings, WireValue};

/// Fresh ids a command may go by over MQTT: the first, and three times asked again.
const MOST_IDS: usize = 4;
/// Requests a command may go by over REST: the first, and repeats after answers that say it was not carried out.
const MOST_REQUESTS: usize = 3;
/// Commands of one thermostat that are remembered.
const REMEMBERED: usize = 64;

/// The commands of the client that runs now.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    devices: BTreeMap<DeviceId, Vec<Issued>>,
    owners: BTreeMap<CommandId, DeviceId>,
    /// Writes by REST whose answer has not reached the client.
    unanswered: BTreeMap<HttpId, Unanswered>,
    /// Writes that are no commands, and that the test asked for.
    expected: Vec<Expected>,
    transmissions: u64,
    /// Commands without a verdict: those that were transmitted, and those that were not.
    pub(crate) in_flight: usize,
    pub(crate) waiting: usize,
}

/// A command that was asked for.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) id: CommandId,
    pub(crate) change: Change,
    pub(crate) at: Duration,
    pub(crate) deadline: Duration,
    pub(crate) decided: Option<Decided>,
    /// When its first byte left the client.
    pub(crate) sent: Option<Duration>,
    settings: Vec<Wanted>,
    /// Ids of the messages it went by.
    ids: Vec<u64>,
    /// What became of the requests it went by.
    requests: Vec<RequestOutcome>,
    /// The thermostat held all of it at some moment since it was asked for.
    held_since_asked: bool,
    /// The same since its first byte left.
    held_since_sent: bool,
    /// The host's clock was set back since: no client can know how much time has passed.
    clock_set_back: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decided {
    Confirmed,
    Refused,
    Otherwise,
}

#[derive(Debug)]
struct Wanted {
    setting: Setting,
    asked: Asked,
    /// A newer command asks for the same setting.
    overtaken: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RequestOutcome {
    /// No answer yet.
    Unanswered(HttpId),
    /// The answer says that it was not carried out.
    NotDone,
    /// It was carried out, or may have been.
    MayBeDone,
}

#[derive(Debug)]
struct Unanswered {
    /// Its thermostat, if it is a command.
    device: Option<DeviceId>,
    /// Its path, if it is none.
    path: Option<String>,
}

#[derive(Debug)]
struct Expected {
    path: String,
    /// Requests it may still take.
    left: u32,
    requests: u32,
}

/// How one transmission leaves the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier {
    /// A PUBLISH with this id in its envelope, for the first time or with DUP.
    Message(u64),
    /// A request to the structured service.
    Request(HttpId),
}

/// What a thermostat is set to at a moment, which no client can see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Truth {
    pub(crate) setpoint: i64,
    pub(crate) mode: i64,
    pub(crate) lock: bool,
}

impl Truth {
    pub(crate) fn value(&self, setting: Setting) -> Option<WireValue> {
        match setting {
            Setting::Setpoint => Some(WireValue::Number(self.setpoint)),
            Setting::Mode => Some(WireValue::Number(self.mode)),
            Setting::Lock => Some(WireValue::Number(self.lock.into())),
            _ => None,
        }
    }
}

impl Issued {
    /// Whether nothing of it may be seen on the wire any more, and nothing of it ever was.
    const fn is_void(&self) -> bool {
        self.decided.is_some() && self.sent.is_none()
    }

    fn asks(&self, setting: Setting) -> Option<&Asked> {
        self.settings.iter().find(|wanted| wanted.setting == setting).map(|wanted| &wanted.asked)
    }

    fn accepts(&self, setting: Setting, value: &WireValue) -> bool {
        self.asks(setting).is_some_and(|asked| asked.accepts(value))
    }

    /// What it asks for and no newer command does.
    pub(crate) fn newest_settings(&self) -> impl Iterator<Item = (Setting, &Asked)> {
        self.settings.iter().filter(|wanted| !wanted.overtaken).map(|wanted| (wanted.setting, &wanted.asked))
    }

    fn is_true_of(&self, truth: &Truth) -> bool {
        self.newest_settings()
            .all(|(setting, asked)| truth.value(setting).is_none_or(|value| asked.accepts(&value)))
    }
}

impl Ledger {
    /// A command was asked for.
    pub(crate) fn issue(
        &mut self,
        id: CommandId,
        device: DeviceId,
        change: Change,
        settings: Vec<(Setting, Asked)>,
        (at, deadline): (Duration, Duration),
    ) {
        let settings: Vec<Wanted> = settings
            .into_iter()
            .map(|(setting, asked)| Wanted { setting, asked, overtaken: false })
            .collect();
        let issued = Issued {
            id,
            change,
            at,
            deadline,
            decided: None,
            sent: None,
            settings,
            ids: Vec::new(),
            requests: Vec::new(),
            held_since_asked: false,
            held_since_sent: false,
            clock_set_back: false,
        };
        let all = self.devices.entry(device).or_default();
        if all.len() >= REMEMBERED
            && let Some(at) = all.iter().position(|old| old.decided.is_some())
        {
            let old = all.remove(at);
            self.owners.remove(&old.id);
        }
        all.push(issued);
        self.owners.insert(id, device);
        self.waiting += 1;
    }

    /// The client took the command on: it overtakes the older ones for the same settings.
    pub(crate) fn overtake(&mut self, id: CommandId) {
        let Some(all) = self.owners.get(&id).and_then(|device| self.devices.get_mut(device)) else { return };
        let Some(at) = all.iter().position(|issued| issued.id == id) else { return };
        let (older, newer) = all.split_at_mut(at);
        let Some(newer) = newer.first().filter(|newer| newer.decided != Some(Decided::Refused)) else {
            return;
        };
        for old in older {
            for wanted in &mut old.settings {
                wanted.overtaken |= newer.asks(wanted.setting).is_some();
            }
        }
    }

    fn find(&self, id: CommandId) -> Option<(DeviceId, &Issued)> {
        let device = *self.owners.get(&id)?;
        let issued = self.devices.get(&device)?.iter().find(|issued| issued.id == id)?;
        Some((device, issued))
    }

    /// A command is decided. Returns it, and whether it may be.
    pub(crate) fn decide(
        &mut self,
        id: CommandId,
        verdict: &Verdict,
    ) -> Result<(DeviceId, &Issued), Violation> {
        let what = || format!("{id}: {verdict}");
        let device = *self.owners.get(&id).ok_or_else(|| Violation::ForeignVerdict(what()))?;
        let issued = self.devices.get_mut(&device).and_then(|all| all.iter_mut().find(|one| one.id == id));
        let issued = issued.ok_or_else(|| Violation::ForeignVerdict(what()))?;
        if issued.decided.is_some() {
            return Err(Violation::SecondVerdict(what()));
        }
        issued.decided = Some(match verdict {
            Verdict::Confirmed { .. } => Decided::Confirmed,
            Verdict::Refused(_) => Decided::Refused,
            _ => Decided::Otherwise,
        });
        if issued.sent.is_some() {
            self.in_flight -= 1;
        } else {
            self.waiting -= 1;
        }
        Ok((device, issued))
    }

    /// Whether a confirmed command was true of the thermostat at some moment since it was sent; since it was asked for,
    /// if the client confirms without sending because it is so already.
    pub(crate) const fn was_true(issued: &Issued) -> bool {
        if issued.sent.is_some() { issued.held_since_sent } else { issued.held_since_asked }
    }

    /// Checks one transmission of a command, whatever the channel and whichever time it is. Returns its number, in the
    /// order in which all of them leave the client.
    pub(crate) fn transmit(
        &mut self,
        now: Duration,
        device: DeviceId,
        carrier: Carrier,
        settings: &Settings,
    ) -> Result<u64, Violation> {
        let all = self.devices.entry(device).or_default();
        let has_fan = settings.iter().any(|(setting, _)| *setting == Setting::Fan);
        let mut carried: Vec<CommandId> = Vec::new();
        for (setting, value) in settings {
            let mut candidates =
                all.iter().rev().filter(|one| !one.is_void() && one.asks(*setting).is_some()).peekable();
            let Some(newest) = candidates.peek() else {
                // The structured service wants the present mode beside a fan speed.
                if *setting == Setting::Mode && has_fan && matches!(carrier, Carrier::Request(_)) {
                    continue;
                }
                return Err(unasked(all, device, *setting, value));
            };
            if newest.decided.is_none() && newest.accepts(*setting, value) {
                carried.push(newest.id);
                continue;
            }
            let newest = newest.id;
            let Some(owner) = candidates.find(|one| one.accepts(*setting, value)) else {
                return Err(unasked(all, device, *setting, value));
            };
            let (command, setting) = (owner.id.to_string(), format!("{setting:?}"));
            return Err(if owner.id == newest {
                Violation::AfterVerdict { command, setting }
            } else {
                Violation::OlderAfterNewer { command, newer: newest.to_string(), setting }
            });
        }
        self.transmissions += 1;
        if let Carrier::Request(id) = carrier {
            if self.unanswered.values().any(|other| other.device == Some(device)) {
                return Err(Violation::ParallelWrites { device });
            }
            self.unanswered.insert(id, Unanswered { device: Some(device), path: None });
        }
        for issued in all.iter_mut().filter(|issued| carried.contains(&issued.id)) {
            let command = issued.id.to_string();
            let late = now.saturating_sub(issued.at + issued.deadline);
            if late > Duration::ZERO && !issued.clock_set_back {
                return Err(Violation::TooLate { command, late });
            }
            match carrier {
                Carrier::Message(id) => {
                    if !issued.requests.is_empty() {
                        return Err(Violation::SwitchedBack { command });
                    }
                    if !issued.ids.contains(&id) {
                        issued.ids.push(id);
                        if issued.ids.len() > MOST_IDS {
                            return Err(Violation::AskedTooOften { command, times: issued.ids.len() });
                        }
                    }
                }
                Carrier::Request(id) => {
                    if issued.requests.iter().any(|before| *before != RequestOutcome::NotDone) {
                        return Err(Violation::RepeatedAfterOpenEnd { what: command });
                    }
                    issued.requests.push(RequestOutcome::Unanswered(id));
                    if issued.requests.len() > MOST_REQUESTS {
                        return Err(Violation::AskedTooOften { command, times: issued.requests.len() });
                    }
                }
            }
            if issued.sent.is_none() {
                issued.sent = Some(now);
                self.waiting -= 1;
                self.in_flight += 1;
            }
        }
        Ok(self.transmissions)
    }

    /// Says that a test asks for a write that is no command: one request to this path, repeated only after an answer
    /// that says it was not carried out.
    pub(crate) fn expect(&mut self, path: &str) {
        let path = path.trim_end_matches('/').to_owned();
        self.expected.push(Expected { path, left: 1, requests: 0 });
    }

    /// Checks a write that is no command.
    pub(crate) fn write(&mut self, id: HttpId, path: &str) -> Result<(), Violation> {
        let expected = self.expected.iter_mut().find(|expected| expected.path == path && expected.left > 0);
        let Some(expected) = expected else {
            let before = self.expected.iter().any(|expected| expected.path == path && expected.requests > 0);
            let what = path.to_owned();
            return Err(if before {
                Violation::RepeatedAfterOpenEnd { what }
            } else {
                Violation::UnaskedRequest { what }
            });
        };
        expected.left -= 1;
        expected.requests += 1;
        self.unanswered.insert(id, Unanswered { device: None, path: Some(path.to_owned()) });
        Ok(())
    }

    /// The answer to a request reached the client; `done` is false if it says that nothing was carried out.
    pub(crate) fn answered(&mut self, id: HttpId, done: bool) {
        let Some(Unanswered { device, path }) = self.unanswered.remove(&id) else { return };
        if let Some(path) = path
            && !done
            && let Some(expected) =
                self.expected.iter_mut().find(|expected| expected.path == path && expected.requests > 0)
            && expected.requests < 3
        {
            expected.left += 1;
        }
        for issued in device.and_then(|device| self.devices.get_mut(&device)).into_iter().flatten() {
            for outcome in &mut issued.requests {
                if *outcome == RequestOutcome::Unanswered(id) {
                    *outcome = if done { RequestOutcome::MayBeDone } else { RequestOutcome::NotDone };
                }
            }
        }
    }

    /// Whether a write by REST is under way.
    pub(crate) fn writes_by_rest(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Thermostats with a command whose truth is still to be seen.
    pub(crate) fn to_be_sampled(&self, into: &mut Vec<DeviceId>) {
        into.clear();
        if self.in_flight + self.waiting == 0 {
            return;
        }
        let open = |issued: &Issued| issued.decided.is_none() && !Self::was_true(issued);
        into.extend(self.devices.iter().filter(|(_, all)| all.iter().any(open)).map(|(device, _)| *device));
    }

    /// What is true of a thermostat now.
    pub(crate) fn sample(&mut self, device: DeviceId, truth: &Truth) {
        for issued in self.devices.get_mut(&device).into_iter().flatten() {
            if issued.decided.is_none() && issued.is_true_of(truth) {
                issued.held_since_asked = true;
                issued.held_since_sent |= issued.sent.is_some();
            }
        }
    }

    /// The host's clock was set back.
    pub(crate) fn clock_set_back(&mut self) {
        for issued in self.devices.values_mut().flatten().filter(|issued| issued.decided.is_none()) {
            issued.clock_set_back = true;
        }
    }

    /// Commands without a verdict.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = (DeviceId, &Issued)> {
        self.devices.iter().flat_map(|(device, all)| {
            all.iter().filter(|issued| issued.decided.is_none()).map(|issued| (*device, issued))
        })
    }

    /// Whether a newer command than this one was transmitted for one of its settings.
    pub(crate) fn is_newest(&self, id: CommandId, setting: Setting) -> bool {
        let Some((device, _)) = self.find(id) else { return false };
        let Some(all) = self.devices.get(&device) else { return false };
        let newest = all.iter().rev().find(|one| one.sent.is_some() && one.asks(setting).is_some());
        newest.is_none_or(|newest| newest.id == id)
    }
}

/// The violation of a value that no open command asks for: perhaps one does that had its verdict before it was sent.
fn unasked(all: &[Issued], device: DeviceId, setting: Setting, value: &WireValue) -> Violation {
    let decided = all.iter().rev().find(|one| one.is_void() && one.accepts(setting, value));
    let setting = format!("{setting:?}");
    match decided {
        Some(decided) => Violation::AfterVerdict { command: decided.id.to_string(), setting },
        None => Violation::Unasked { device, setting, value: format!("{value:?}") },
    }
}

#[cfg(test)]
mod tests;
