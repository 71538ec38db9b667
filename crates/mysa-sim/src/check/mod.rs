//! Conformance check of a client: a script of faults, the rules that the client must keep, and a report.
//!
//! A [`Check`] reads the events of a [`Cloud`], starts and ends faults in it, and judges what the client does.
//! These events are its only source of information about the client.

mod message;
mod report;
mod rule;
mod standing;
mod step;

use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{DeviceId, UnixTime};

pub use report::{CheckFacts, CheckReport, CheckResult, Finding, StepReport};
pub use rule::CheckRule;

use crate::cloud::Cloud;
use crate::device::family::Family;
use crate::fault::{FaultId, Incident, Window};
use crate::journal::Event;
use crate::{Fault, Now};
use message::ClientCommand;
use rule::{RULES, Rule, Step};
use step::StepRecord;

/// Times of a check. All are virtual; see [`CheckSettings::at_speed`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CheckSettings {
    /// Longest time for which a step waits for the client.
    pub step_wait: Duration,
    /// Time for which a step watches the client once it has begun to react.
    pub watch: Duration,
    /// Age that a connection has when a step disturbs it. A client that connects again within a second would break a limit
    /// of the broker because of the script.
    pub settle: Duration,
    /// Longest time of the whole check.
    pub limit: Duration,
    /// Virtual seconds in which the clock of the client advances by one.
    factor: f64,
}

impl Default for CheckSettings {
    /// One minute to wait for a reaction, 20 seconds to watch it, half an hour in all.
    fn default() -> Self {
        Self {
            step_wait: Duration::from_secs(60),
            watch: Duration::from_secs(20),
            settle: Duration::from_secs(3),
            limit: Duration::from_secs(1_800),
            factor: 1.0,
        }
    }
}

impl CheckSettings {
    /// Converts times of the client's clock to those of a cloud that runs `speed` times as fast. A slower cloud gives
    /// the client no less time.
    #[must_use]
    pub fn at_speed(self, speed: f64) -> Self {
        let factor = if speed.is_finite() { speed.clamp(1.0, 10_000.0) } else { 1.0 };
        Self {
            step_wait: self.step_wait.mul_f64(factor),
            watch: self.watch.mul_f64(factor),
            settle: self.settle.mul_f64(factor),
            limit: self.limit.mul_f64(factor),
            factor,
        }
    }

    fn scaled(&self, secs: f64) -> Duration {
        Duration::from_secs_f64(secs * self.factor)
    }
}

/// A conformance check in progress.
///
/// Call [`Check::handle_event`] for each event of the cloud, [`Check::handle_timeout`] when [`Check::poll_timeout`] is
/// due, and [`Check::act`] after each of them.
#[derive(Debug)]
pub struct Check {
    settings: CheckSettings,
    families: BTreeMap<DeviceId, Family>,
    started: Duration,
    now: Duration,
    finished: bool,
    findings: Vec<Judged>,
    times: Vec<(Option<Duration>, Option<Duration>)>,
    facts: CheckFacts,
    step: Step,
    phase: Phase,
    seen: StepRecord,
    actions: Vec<Action>,
    faults: Vec<FaultId>,
    connections: BTreeMap<u64, ClientConnection>,
    /// Filters that a complete client has, as of the last quiet moment.
    wanted: BTreeSet<String>,
    /// Thermostat whose subscriptions the script refuses or has refused.
    refused_device: Option<DeviceId>,
    all_filters: BTreeSet<String>,
    history: History,
    missed: u64,
}

#[derive(Clone, Debug)]
struct Judged {
    result: CheckResult,
    observed: String,
}

/// Progress of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The step begins once a connection is old enough.
    Settling { until: Duration },
    /// The simulator has acted; the client has not reacted yet.
    Waiting { until: Duration },
    /// The client has reacted and is being watched.
    Watching { until: Duration },
}

/// Change of the cloud that a step needs.
#[derive(Clone, Debug)]
enum Action {
    Start(Fault),
    Perform(Incident),
    EndFaults,
}

/// A connection, from its upgrade on.
#[derive(Clone, Debug)]
struct ClientConnection {
    connected: Option<Duration>,
    keep_alive: Duration,
    filters: BTreeSet<String>,
}

/// State that earlier events leave for later ones.
#[derive(Debug, Default)]
struct History {
    /// Time of the last signature, and of its connection.
    signature: Option<(UnixTime, Duration)>,
    signatures: u64,
    refused_upgrades: u32,
    unauthorized: u32,
    grants: Vec<Duration>,
    /// Commands of each thermostat, the newest last.
    commands: BTreeMap<DeviceId, Vec<ClientCommand>>,
    last_command: Option<(DeviceId, Duration)>,
}

/// Commands that are kept for each thermostat.
const KEPT_COMMANDS: usize = 64;
/// Longest quotation of a client's text, in characters.
const MAX_QUOTE: usize = 60;

impl Check {
    /// Creates a check of the clients of `cloud`, which begins now.
    #[must_use]
    pub fn new(cloud: &Cloud, settings: CheckSettings, now: Now) -> Self {
        let families = cloud.device_ids().filter_map(|id| Some((id, cloud.truth(id)?.family))).collect();
        Self::of_families(families, settings, now.mono)
    }

    fn of_families(families: BTreeMap<DeviceId, Family>, settings: CheckSettings, now: Duration) -> Self {
        let mut check = Self {
            settings,
            families,
            started: now,
            now,
            finished: false,
            findings: RULES
                .iter()
                .map(|_| Judged { result: CheckResult::NotSeen, observed: String::new() })
                .collect(),
            times: Step::ALL.iter().map(|_| (None, None)).collect(),
            facts: CheckFacts::default(),
            step: Step::Connect,
            phase: Phase::Waiting { until: now },
            seen: StepRecord::default(),
            actions: Vec::new(),
            faults: Vec::new(),
            connections: BTreeMap::new(),
            wanted: BTreeSet::new(),
            refused_device: None,
            all_filters: BTreeSet::new(),
            history: History::default(),
            missed: 0,
        };
        check.enter(Step::Connect);
        check
    }

    /// Handles an event of the cloud.
    pub fn handle_event(&mut self, event: &Event) {
        self.advance(event.at.mono);
        if self.finished {
            return;
        }
        self.judge_always(&event.kind);
        self.observe(&event.kind);
    }

    /// Notes that events were lost before they could be handled.
    pub const fn handle_missed(&mut self, count: u64) {
        self.missed += count;
    }

    /// Advances time. Early, late and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now.mono);
    }

    /// Time of the next call of [`Check::handle_timeout`], on the monotonic clock; `None` once the script has ended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.finished {
            return None;
        }
        let limit = self.started.saturating_add(self.settings.limit);
        let next = match self.phase {
            Phase::Settling { until } => self.settled_at().unwrap_or(until).min(until),
            Phase::Waiting { until } | Phase::Watching { until } => until,
        };
        Some(next.min(limit))
    }

    /// Carries out the changes of the cloud that the script has reached.
    pub fn act(&mut self, cloud: &mut Cloud, now: Now) {
        for action in core::mem::take(&mut self.actions) {
            match action {
                Action::Start(fault) => {
                    let window = Window::new(Duration::ZERO, Duration::MAX, fault);
                    self.faults.push(cloud.start_fault(now, window));
                }
                Action::Perform(incident) => cloud.act(now, incident),
                Action::EndFaults => {
                    for id in core::mem::take(&mut self.faults) {
                        cloud.end_fault(now, id);
                    }
                }
            }
        }
    }

    /// Returns `true` once the script has ended.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Name of the present step, and the action of the simulator in it.
    #[must_use]
    pub const fn step(&self) -> (&'static str, &'static str) {
        (self.step.name(), self.step.did())
    }

    /// Report of the steps so far.
    #[must_use]
    pub fn report(&self) -> CheckReport {
        let since = |at: Option<Duration>| at.map(|at| at.saturating_sub(self.started));
        let steps = Step::ALL.into_iter().zip(&self.times).map(|(step, &(began, ended))| StepReport {
            name: step.name(),
            did: step.did(),
            began: since(began),
            ended: since(ended),
            findings: RULES
                .iter()
                .zip(&self.findings)
                .filter(|(rule, _)| rule.step == step)
                .map(|(rule, judged)| Finding {
                    rule,
                    result: judged.result,
                    observed: judged.observed.clone(),
                })
                .collect(),
        });
        CheckReport {
            finished: self.finished,
            facts: self.facts,
            steps: steps.collect(),
            missed_events: self.missed,
        }
    }

    /// Ends phases and steps that are due, each at its own time.
    fn advance(&mut self, to: Duration) {
        let to = self.now.max(to);
        while let Some(due) = self.poll_timeout().filter(|&due| due <= to) {
            self.now = self.now.max(due);
            if self.now >= self.started.saturating_add(self.settings.limit) {
                self.conclude();
                self.leave();
                self.finish();
                break;
            }
            self.expire();
        }
        self.now = to;
    }

    fn expire(&mut self) {
        match self.phase {
            Phase::Settling { .. } => {
                if self.settled_at().is_some_and(|at| at <= self.now) {
                    self.begin();
                } else {
                    // Without a connection there is nothing to disturb.
                    self.next();
                }
            }
            Phase::Waiting { .. } | Phase::Watching { .. } => {
                self.conclude();
                self.next();
            }
        }
    }

    fn next(&mut self) {
        self.leave();
        match Step::ALL.get(self.step as usize + 1) {
            Some(&step) => self.enter(step),
            None => self.finish(),
        }
    }

    fn leave(&mut self) {
        self.times[self.step as usize].1 = Some(self.now);
        self.actions.push(Action::EndFaults);
    }

    const fn finish(&mut self) {
        self.finished = true;
    }

    fn enter(&mut self, step: Step) {
        self.step = step;
        self.seen = StepRecord::default();
        self.times[step as usize].0 = Some(self.now);
        if step.needs_connection() {
            self.phase = Phase::Settling { until: self.now.saturating_add(self.settings.step_wait) };
            return;
        }
        self.begin();
    }

    /// Time at which all connections are old enough to be disturbed; `None` without one that has CONNECT.
    fn settled_at(&self) -> Option<Duration> {
        let newest = self.connections.values().filter_map(|connection| connection.connected).max()?;
        Some(newest.saturating_add(self.settings.settle))
    }

    /// Filters of all connections.
    fn filters(&self) -> BTreeSet<String> {
        self.connections.values().flat_map(|connection| connection.filters.iter().cloned()).collect()
    }

    fn judged(&mut self, id: Rule) -> &mut Judged {
        // Every rule is in the table, see its test.
        let place = RULES.iter().position(|rule| rule.id == id).unwrap_or_default();
        &mut self.findings[place]
    }

    fn pass(&mut self, id: Rule, observed: String) {
        let judged = self.judged(id);
        if judged.result != CheckResult::Fail {
            *judged = Judged { result: CheckResult::Pass, observed };
        }
    }

    /// Notes that a rule was broken. The first time is kept.
    fn fail(&mut self, id: Rule, observed: String) {
        let judged = self.judged(id);
        if judged.result != CheckResult::Fail {
            *judged = Judged { result: CheckResult::Fail, observed };
        }
    }

    /// Passes or fails a rule.
    fn judge(&mut self, id: Rule, is_kept: bool, observed: String) {
        if is_kept { self.pass(id, observed) } else { self.fail(id, observed) }
    }
}

/// Text of the client, cut.
fn quote(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTE {
        return text.to_owned();
    }
    text.chars().take(MAX_QUOTE).chain(['…']).collect()
}

/// A list of texts, the first few of them.
fn list<'a>(items: impl Iterator<Item = &'a String>) -> String {
    let all: Vec<&String> = items.collect();
    let mut text = String::new();
    for item in all.iter().take(3) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&quote(item));
    }
    if all.len() > 3 {
        text.push_str(&alloc::format!(" and {} more", all.len() - 3));
    }
    text
}

#[cfg(test)]
mod tests;
