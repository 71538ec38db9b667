//! Judge of a fleet. It knows which clients ran, what reached the thermostats, and what callers were told, and nothing of
//! the rules by which the workers decide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mysa_fleet::{Decision, Reply};
use mysa_session::VerdictKind;

use super::FleetViolation;

/// Account and command.
pub(super) type CommandName = (String, String);

/// A process: the number of a worker, and how often it was started.
pub(super) type Process = (usize, u32);

#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Clients that run, by account.
    clients: BTreeMap<String, Vec<Client>>,
    /// Accounts whose clients changed at this moment.
    changed: BTreeSet<String>,
    /// Processes that are stopped by a signal: they do nothing.
    stopped: BTreeSet<Process>,
    /// Processes that ran again a moment ago, which still have the clients from before.
    resumed: BTreeMap<Process, Duration>,
    /// Newest token of a client that was started.
    newest: BTreeMap<String, u64>,
    sent: BTreeMap<CommandName, u32>,
    verdicts: BTreeMap<CommandName, Decision>,
    /// Requests that a process has, and have no reply.
    requests: BTreeMap<u64, OpenRequest>,
    starts: BTreeMap<usize, VecDeque<Duration>>,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    process: Process,
    token: u64,
}

#[derive(Clone, Debug)]
struct OpenRequest {
    process: Process,
    command: CommandName,
    /// `true` if the name was used for another command before.
    reuses_name: bool,
    at: Duration,
}

/// Numbers of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) starts: u64,
    pub(super) sent: u64,
    pub(super) outcomes: BTreeMap<&'static str, u64>,
    pub(super) owner_lost: u64,
    pub(super) retries: u64,
}

/// Time for which a process that ran again may still have the clients from before. It sends nothing by them: that is
/// another rule.
const RESUME: Duration = Duration::from_secs(2);
/// Time in which a process that lives answers a request. It covers the limit of a command, its verdict, and a store that
/// does not answer.
const REPLY_LIMIT: Duration = Duration::from_secs(150);

fn text((account, command): &CommandName) -> String {
    format!("{account}.{command}")
}

impl Judge {
    pub(super) fn started(
        &mut self,
        at: Duration,
        process: Process,
        account: &str,
        token: u64,
        starts_per_second: f64,
    ) -> Result<(), FleetViolation> {
        self.clients.entry(account.into()).or_default().push(Client { process, token });
        self.changed.insert(account.into());
        let newest = self.newest.entry(account.into()).or_default();
        *newest = token.max(*newest);
        self.counts.starts += 1;
        let starts = self.starts.entry(process.0).or_default();
        starts.push_back(at);
        while starts.front().is_some_and(|first| *first + Duration::from_secs(1) <= at) {
            starts.pop_front();
        }
        // At least half of the average interval lies between two; the clock of the worker may be fast.
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        if starts.len() as f64 > starts_per_second * 2.0 * 1.2 + 2.0 {
            return Err(FleetViolation::TooManyStarts { worker: process.0, starts: starts.len() });
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, process: Process, account: &str, token: u64) {
        if let Some(clients) = self.clients.get_mut(account) {
            clients.retain(|client| client.process != process || client.token != token);
        }
    }

    pub(super) fn stopped(&mut self, process: Process) {
        self.stopped.insert(process);
    }

    pub(super) fn resumed(&mut self, at: Duration, process: Process) {
        if self.stopped.remove(&process) {
            self.resumed.insert(process, at);
            let has = |clients: &Vec<Client>| clients.iter().any(|client| client.process == process);
            self.changed.extend(
                self.clients.iter().filter(|(_, clients)| has(clients)).map(|(account, _)| account.clone()),
            );
        }
    }

    pub(super) fn killed(&mut self, process: Process) {
        for clients in self.clients.values_mut() {
            clients.retain(|client| client.process != process);
        }
        self.requests.retain(|_, request| request.process != process);
        self.stopped.remove(&process);
    }

    /// Checks the owners before the time goes on.
    pub(super) fn advance(&mut self, now: Duration) -> Result<(), FleetViolation> {
        if self.changed.is_empty() {
            return Ok(());
        }
        self.resumed.retain(|_, at| *at + RESUME > now);
        for account in std::mem::take(&mut self.changed) {
            let Some(clients) = self.clients.get(&account) else { continue };
            let mut running =
                clients.iter().map(|client| client.process).filter(|process| !self.stopped.contains(process));
            let (one, other) = (running.next(), running.next());
            if let (Some(one), Some(other)) = (one, other) {
                if self.resumed.contains_key(&one) || self.resumed.contains_key(&other) {
                    // Looked at again until the time is over.
                    self.changed.insert(account);
                } else {
                    return Err(FleetViolation::TwoOwners { account, workers: (one.0, other.0) });
                }
            }
        }
        Ok(())
    }

    /// A command reached a thermostat.
    pub(super) fn sent(&mut self, command: &CommandName, token: u64) -> Result<(), FleetViolation> {
        self.counts.sent += 1;
        let times = self.sent.entry(command.clone()).or_default();
        *times += 1;
        if *times > 1 {
            return Err(FleetViolation::SecondSending { command: text(command) });
        }
        if self.newest.get(&command.0).is_some_and(|newest| *newest > token) {
            return Err(FleetViolation::SentByOldOwner { command: text(command) });
        }
        match self.verdicts.get(command) {
            Some(decision) => self.compare(command, &decision.clone()),
            None => Ok(()),
        }
    }

    pub(super) fn received(
        &mut self,
        at: Duration,
        to: u64,
        process: Process,
        command: &CommandName,
        reuses_name: bool,
    ) {
        let command = command.clone();
        self.requests.insert(to, OpenRequest { process, command, reuses_name, at });
    }

    /// A caller gets a reply.
    pub(super) fn replied(
        &mut self,
        to: u64,
        command: &CommandName,
        reply: &Reply,
    ) -> Result<(), FleetViolation> {
        let Some(request) = self.requests.remove(&to) else {
            return Err(FleetViolation::SecondReply { command: text(command) });
        };
        let decision = match reply {
            Reply::Decided { .. } if request.reuses_name => {
                return Err(FleetViolation::NameReused { command: text(command) });
            }
            Reply::Decided { decision, .. } => decision,
            Reply::Retry(_) => {
                self.counts.retries += 1;
                return Ok(());
            }
            Reply::Refused(_) => return Ok(()),
        };
        if let Some(first) = self.verdicts.get(command) {
            if first != decision {
                let verdicts = (first.to_string(), decision.to_string());
                return Err(FleetViolation::TwoVerdicts { command: text(command), verdicts });
            }
            return Ok(());
        }
        *self.counts.outcomes.entry(decision.outcome.name()).or_default() += 1;
        self.counts.owner_lost += u64::from(decision.reason == "owner lost");
        self.verdicts.insert(command.clone(), decision.clone());
        self.compare(command, decision)
    }

    pub(super) fn has_verdict(&self, command: &CommandName) -> bool {
        self.verdicts.contains_key(command)
    }

    /// Compares a verdict with what reached the thermostat.
    fn compare(&self, command: &CommandName, decision: &Decision) -> Result<(), FleetViolation> {
        let was_sent = self.sent.contains_key(command);
        let is_right = match decision.outcome {
            VerdictKind::Confirmed => was_sent,
            VerdictKind::Refused | VerdictKind::Superseded | VerdictKind::Expired => !was_sent,
            VerdictKind::Unconfirmed => true,
        };
        if is_right {
            return Ok(());
        }
        Err(FleetViolation::WrongVerdict { command: text(command), verdict: decision.to_string() })
    }

    /// Checks that requests are answered in time. Stopped processes answer when they run again.
    pub(super) fn check_replies(&mut self, now: Duration) -> Result<(), FleetViolation> {
        for request in self.requests.values_mut() {
            if self.stopped.contains(&request.process) {
                request.at = now;
            } else if request.at + REPLY_LIMIT < now {
                return Err(FleetViolation::NoReply { command: text(&request.command) });
            }
        }
        Ok(())
    }

    /// Number of processes that run a client for an account.
    pub(super) fn owners(&self, account: &str) -> usize {
        let is_running = |client: &&Client| !self.stopped.contains(&client.process);
        self.clients.get(account).map_or(0, |clients| clients.iter().filter(is_running).count())
    }
}
