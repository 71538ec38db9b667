//! Ledger of all commands asked for and all their transmissions, and the rules that relate them.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_proto::{Change, DeviceId};
use mysa_session::{CommandId, HttpId, Refused, Verdict};

use crate::violation::Violation;
use crate::writes::{Asked, Setting, Settings, WireValue};

/// Fresh message ids that a command may use over MQTT: the first, and three repeats.
const MOST_IDS: usize = 4;
/// Requests that a command may use over REST: the first, and repeats after answers that rule out that it was carried
/// out.
const MOST_REQUESTS: usize = 3;
/// Number of commands remembered per thermostat.
const REMEMBERED: usize = 64;
/// Time from which bytes that are sent cannot be recalled by a verdict: the broker's answers need time as well.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// Time for which a change may be in transit to a thermostat.
pub(crate) const IN_TRANSIT: Duration = Duration::from_secs(5);

/// Commands of the client that is running now.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    devices: BTreeMap<DeviceId, Vec<Issued>>,
    owners: BTreeMap<CommandId, DeviceId>,
    /// REST writes whose answer has not reached the client.
    unanswered: BTreeMap<HttpId, Unanswered>,
    /// Writes that the test expects and that are not commands.
    expected: Vec<Expected>,
    transmissions: u64,
    /// Number of commands without a verdict that were transmitted. `waiting` counts those that were not.
    pub(crate) in_flight: usize,
    pub(crate) waiting: usize,
}

/// A command that the application asked for.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) id: CommandId,
    pub(crate) change: Change,
    pub(crate) at: Duration,
    pub(crate) deadline: Duration,
    pub(crate) decided: Option<Decided>,
    decided_at: Duration,
    /// Numbers of the transmissions that carried the command.
    transmissions: Vec<u64>,
    /// Time at which its first byte left the client.
    pub(crate) sent: Option<Duration>,
    settings: Vec<Wanted>,
    /// Ids of the messages that carried the command.
    ids: Vec<u64>,
    /// Outcomes of the requests that carried the command.
    requests: Vec<RequestOutcome>,
    /// `true` if the thermostat has held the whole command at some moment since it was asked for.
    held_since_asked: bool,
    /// `true` if the thermostat has held the whole command at some moment since its first byte was sent.
    held_since_sent: bool,
    /// `true` if the host's clock was set back since: the client then cannot know how much time has passed.
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
    /// `true` if a newer command asks for the same setting.
    overtaken: bool,
    /// Time at which it was first sent, perhaps without other settings of its command.
    sent: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RequestOutcome {
    /// No answer yet.
    Unanswered(HttpId),
    /// The answer rules out that the write was carried out.
    NotDone,
    /// The write was carried out, or may have been.
    MayBeDone,
}

#[derive(Debug)]
struct Unanswered {
    /// Thermostat of a command.
    device: Option<DeviceId>,
    /// Path of a write that is not a command.
    path: Option<String>,
}

#[derive(Debug)]
struct Expected {
    path: String,
    /// Requests that the write may still use.
    left: u32,
    requests: u32,
}

/// Carrier of one transmission from the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier {
    /// PUBLISH with this id in its envelope, sent for the first time or with DUP.
    Message(u64),
    /// Request to the structured service.
    Request(HttpId),
}

impl Carrier {
    /// Returns `true` if the structured service requires a mode in a request with these settings, which may be one that nobody
    /// requested.
    pub(crate) fn requires_mode(self, settings: &Settings) -> bool {
        matches!(self, Self::Request(_)) && settings.iter().any(|(setting, _)| *setting == Setting::Fan)
    }
}

/// Mode that a thermostat held for a time, by its MQTT number. `until` is `None` if the thermostat holds it now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModeHeld {
    pub(crate) mode: i64,
    pub(crate) from: Duration,
    pub(crate) until: Option<Duration>,
}

/// Actual settings of a thermostat at one moment. No client can see them directly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Truth {
    pub(crate) setpoint: i64,
    pub(crate) mode: i64,
    pub(crate) lock: bool,
    /// Fan speed and vertical and horizontal swing, which only an air conditioner has.
    pub(crate) fan: i64,
    pub(crate) swing: (i64, i64),
}

impl Truth {
    pub(crate) fn value(&self, setting: Setting) -> Option<WireValue> {
        match setting {
            Setting::Setpoint => Some(WireValue::Number(self.setpoint)),
            Setting::Mode => Some(WireValue::Number(self.mode)),
            Setting::Lock => Some(WireValue::Number(self.lock.into())),
            Setting::Fan => Some(WireValue::Number(self.fan)),
            Setting::SwingVertical => Some(WireValue::Number(self.swing.0)),
            Setting::SwingHorizontal => Some(WireValue::Number(self.swing.1)),
            _ => None,
        }
    }
}

impl Issued {
    /// `true` if the command was decided before any of its bytes were sent, so that none may be sent any more.
    const fn is_void(&self) -> bool {
        self.decided.is_some() && self.sent.is_none()
    }

    /// Returns `true` if a message carried the command.
    pub(crate) const fn has_message(&self) -> bool {
        !self.ids.is_empty()
    }

    fn wanted(&self, setting: Setting) -> Option<&Wanted> {
        self.settings.iter().find(|wanted| wanted.setting == setting)
    }

    fn asks(&self, setting: Setting) -> Option<&Asked> {
        self.wanted(setting).map(|wanted| &wanted.asked)
    }

    /// Returns the time at which a setting of this command was first sent.
    fn sent(&self, setting: Setting) -> Option<Duration> {
        self.wanted(setting)?.sent
    }

    fn accepts(&self, setting: Setting, value: &WireValue) -> bool {
        self.asks(setting).is_some_and(|asked| asked.accepts(value))
    }

    /// Settings of this command that no newer command asks for.
    pub(crate) fn newest_settings(&self) -> impl Iterator<Item = (Setting, &Asked)> {
        self.settings.iter().filter(|wanted| !wanted.overtaken).map(|wanted| (wanted.setting, &wanted.asked))
    }

    fn is_true_of(&self, truth: &Truth) -> bool {
        self.newest_settings()
            .all(|(setting, asked)| truth.value(setting).is_none_or(|value| asked.accepts(&value)))
    }
}

impl Ledger {
    /// Records a command that the application asked for.
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
            .map(|(setting, asked)| Wanted { setting, asked, overtaken: false, sent: None })
            .collect();
        let issued = Issued {
            id,
            change,
            at,
            deadline,
            decided: None,
            decided_at: Duration::MAX,
            transmissions: Vec::new(),
            sent: None,
            settings,
            ids: Vec::new(),
            requests: Vec::new(),
            held_since_asked: false,
            held_since_sent: false,
            clock_set_back: false,
        };
        let all = self.devices.entry(device).or_default();
        // Undecided commands are kept, because their verdicts must still be matched with them.
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

    /// Marks the settings of older commands as overtaken, once the client has accepted the command `id`.
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

    /// Records the verdict on a command and returns the command, or the violation if the verdict is not allowed.
    pub(crate) fn decide(
        &mut self,
        now: Duration,
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
        let says_unsent = match verdict {
            Verdict::Expired(_) | Verdict::Superseded { reached: None, .. } => true,
            Verdict::Refused(refused) => !matches!(refused, Refused::Device | Refused::Service { .. }),
            _ => false,
        };
        if says_unsent && !issued.transmissions.is_empty() {
            return Err(Violation::FalselyUnsent(what()));
        }
        issued.decided = Some(match verdict {
            Verdict::Confirmed { .. } => Decided::Confirmed,
            Verdict::Refused(_) => Decided::Refused,
            _ => Decided::Otherwise,
        });
        issued.decided_at = now;
        if issued.sent.is_some() {
            self.in_flight -= 1;
        } else {
            self.waiting -= 1;
        }
        Ok((device, issued))
    }

    /// Returns `true` if the thermostat held a confirmed command at some moment since it was sent. For a command that
    /// was confirmed without being sent, because its settings were in force already, the moment may lie anywhere since
    /// it was asked for.
    pub(crate) const fn was_true(issued: &Issued) -> bool {
        if issued.sent.is_some() { issued.held_since_sent } else { issued.held_since_asked }
    }

    /// Checks one transmission of a command, on either channel, first or repeated. `held` are the modes that the thermostat
    /// has held, required for a mode beside a fan speed. Returns the number of the transmission; numbers rise in the order in
    /// which transmissions leave the client.
    pub(crate) fn transmit(
        &mut self,
        now: Duration,
        device: DeviceId,
        carrier: Carrier,
        settings: &Settings,
        held: &[ModeHeld],
    ) -> Result<u64, Violation> {
        let all = self.devices.entry(device).or_default();
        let with_fan = carrier.requires_mode(settings);
        let mut carried: Vec<(CommandId, Setting)> = Vec::new();
        let mut same_mode = None;
        for (setting, value) in settings {
            // Newest first: only the newest command that asks for a setting may carry it.
            let mut candidates =
                all.iter().rev().filter(|one| !one.is_void() && one.asks(*setting).is_some()).peekable();
            if *setting == Setting::Mode && with_fan {
                let is_known = check_mode_with_fan(all, device, value, held);
                match candidates.peek() {
                    Some(newest)
                        if newest.decided.is_none()
                            && newest.sent(*setting).is_none()
                            && newest.accepts(*setting, value) =>
                    {
                        // If the fan speed has this mode anyway, the command for it may still wait.
                        if is_known.is_ok() {
                            same_mode = Some(newest.id);
                        } else {
                            carried.push((newest.id, *setting));
                        }
                    }
                    // A command that was sent before is not sent again by this request.
                    _ => is_known?,
                }
                continue;
            }
            let Some(newest) = candidates.peek() else {
                return Err(unrequested(all, device, *setting, value));
            };
            if newest.decided.is_none() && newest.accepts(*setting, value) {
                carried.push((newest.id, *setting));
                continue;
            }
            let newest = newest.id;
            let Some(owner) = candidates.find(|one| one.accepts(*setting, value)) else {
                return Err(unrequested(all, device, *setting, value));
            };
            let (command, setting) = (owner.id.to_string(), format!("{setting:?}"));
            // The newest command may ask for this very value and have its verdict already.
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
        for issued in all.iter_mut().filter(|issued| carried.iter().any(|(id, _)| *id == issued.id)) {
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
            issued.transmissions.push(self.transmissions);
        }
        carried.extend(same_mode.map(|id| (id, Setting::Mode)));
        for (id, setting) in carried {
            let Some(issued) = all.iter_mut().find(|issued| issued.id == id) else { continue };
            if let Some(wanted) = issued.settings.iter_mut().find(|wanted| wanted.setting == setting) {
                wanted.sent.get_or_insert(now);
            }
            if issued.sent.is_none() {
                issued.sent = Some(now);
                self.waiting -= 1;
                self.in_flight += 1;
            }
        }
        Ok(self.transmissions)
    }

    /// Checks the time at which a transmission leaves the host. The client cannot see it, but it must not leave one to chance
    /// after the verdict.
    pub(crate) fn left(&self, number: u64, sent: Duration, leaves: Duration) -> Result<(), Violation> {
        let carried = |issued: &&Issued| issued.transmissions.contains(&number);
        for issued in self.devices.values().flatten().filter(carried) {
            if leaves > issued.decided_at && leaves > sent + READ_WITHIN {
                let after = leaves - issued.decided_at;
                return Err(Violation::LeftAfterVerdict { command: issued.id.to_string(), after });
            }
        }
        Ok(())
    }

    /// Checks the time at which a request leaves the host. The request of a confirmed command may leave until the deadline: the
    /// next command for its thermostat waits for its answer.
    pub(crate) fn left_in_time(&self, number: u64, leaves: Duration) -> Result<(), Violation> {
        let carried = |issued: &&Issued| issued.transmissions.contains(&number);
        for issued in self.devices.values().flatten().filter(carried) {
            let late = leaves.saturating_sub(issued.at + issued.deadline);
            if late > Duration::ZERO && !issued.clock_set_back {
                return Err(Violation::TooLate { command: issued.id.to_string(), late });
            }
            if leaves > issued.decided_at && issued.decided != Some(Decided::Confirmed) {
                let after = leaves - issued.decided_at;
                return Err(Violation::LeftAfterVerdict { command: issued.id.to_string(), after });
            }
        }
        Ok(())
    }

    /// Expects a write that is not a command: one request to this path, repeated only after an answer that rules out
    /// that it was carried out.
    pub(crate) fn expect(&mut self, path: &str) {
        let path = path.trim_end_matches('/').to_owned();
        self.expected.push(Expected { path, left: 1, requests: 0 });
    }

    /// Checks a write that is not a command.
    pub(crate) fn write(&mut self, id: HttpId, path: &str) -> Result<(), Violation> {
        let expected = self.expected.iter_mut().find(|expected| expected.path == path && expected.left > 0);
        let Some(expected) = expected else {
            let before = self.expected.iter().any(|expected| expected.path == path && expected.requests > 0);
            let what = path.to_owned();
            return Err(if before {
                Violation::RepeatedAfterOpenEnd { what }
            } else {
                Violation::UnrequestedCall { what }
            });
        };
        expected.left -= 1;
        expected.requests += 1;
        self.unanswered.insert(id, Unanswered { device: None, path: Some(path.to_owned()) });
        Ok(())
    }

    /// Records that the answer to a request reached the client. `done` is `false` if the answer rules out that the
    /// write was carried out.
    pub(crate) fn answered(&mut self, id: HttpId, done: bool) {
        let Some(Unanswered { device, path }) = self.unanswered.remove(&id) else { return };
        if let Some(path) = path
            && !done
            && let Some(expected) =
                self.expected.iter_mut().find(|expected| expected.path == path && expected.requests > 0)
            // Three requests in all, as for a command (see `MOST_REQUESTS`).
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

    /// Returns `true` while a REST write is in flight.
    pub(crate) fn writes_by_rest(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Collects the thermostats with an undecided command that they have not yet been seen to hold.
    pub(crate) fn to_be_sampled(&self, into: &mut Vec<DeviceId>) {
        into.clear();
        if self.in_flight + self.waiting == 0 {
            return;
        }
        let open = |issued: &Issued| issued.decided.is_none() && !Self::was_true(issued);
        into.extend(self.devices.iter().filter(|(_, all)| all.iter().any(open)).map(|(device, _)| *device));
    }

    /// Compares the actual settings of a thermostat with its undecided commands.
    pub(crate) fn sample(&mut self, device: DeviceId, truth: &Truth) {
        for issued in self.devices.get_mut(&device).into_iter().flatten() {
            if issued.decided.is_none() && issued.is_true_of(truth) {
                issued.held_since_asked = true;
                issued.held_since_sent |= issued.sent.is_some();
            }
        }
    }

    /// Records that the host's clock was set back.
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

    /// Returns `true` unless a newer command that was transmitted asks for the same setting.
    pub(crate) fn is_newest(&self, id: CommandId, setting: Setting) -> bool {
        let Some((device, _)) = self.find(id) else { return false };
        let Some(all) = self.devices.get(&device) else { return false };
        let newest = all.iter().rev().find(|one| one.sent.is_some() && one.asks(setting).is_some());
        newest.is_none_or(|newest| newest.id == id)
    }
}

/// Violation for a value that no open command asks for. A command that was decided before it was sent may still ask for
/// it.
fn unrequested(all: &[Issued], device: DeviceId, setting: Setting, value: &WireValue) -> Violation {
    let decided = all.iter().rev().find(|one| one.is_void() && one.accepts(setting, value));
    let setting = format!("{setting:?}");
    match decided {
        Some(decided) => Violation::AfterVerdict { command: decided.id.to_string(), setting },
        None => Violation::Unrequested { device, setting, value: format!("{value:?}") },
    }
}

/// Checks the mode that a request contains because it contains a fan speed. If a command for the mode was sent, and not
/// refused, the mode is that of the newest one unless this one ended without a confirmation, or one that the thermostat has
/// held since. Any other could undo that command: switch on a device that it has switched off.
fn check_mode_with_fan(
    all: &[Issued],
    device: DeviceId,
    value: &WireValue,
    held: &[ModeHeld],
) -> Result<(), Violation> {
    let mut held = held.iter().filter(|held| WireValue::Number(held.mode) == *value);
    let may_be_done = |one: &&Issued| one.decided != Some(Decided::Refused);
    let newest = all.iter().rev().filter(may_be_done).find_map(|one| Some((one, one.sent(Setting::Mode)?)));
    let Some((newest, sent)) = newest else {
        return match held.next() {
            Some(_) => Ok(()),
            None => Err(unrequested(all, device, Setting::Mode, value)),
        };
    };
    let is_its_own = newest.decided != Some(Decided::Otherwise) && newest.accepts(Setting::Mode, value);
    // The mode from before is held until the command arrives. One that is held for longer is that of a thermostat which has not
    // carried the command out, and which may say so while there is no verdict; but until then the command counts.
    let was_held = held.any(|held| {
        held.from > sent
            || newest.decided.is_some() && held.until.is_none_or(|until| until > sent + IN_TRANSIT)
    });
    if is_its_own || was_held {
        return Ok(());
    }
    let (command, mode) = (newest.id.to_string(), format!("{value:?}"));
    Err(Violation::OldModeWithFan { device, command, mode })
}

#[cfg(test)]
mod tests;
