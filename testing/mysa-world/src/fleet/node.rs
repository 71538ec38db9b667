//! Process of a worker: its clocks, its link to the store, and the clients that it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_fleet::{AccountId, CommandId, Revision, Settings, Worker, WorkerId};
use mysa_proto::Now;

use super::{EPOCH, Event, ProcessEvent};

#[derive(Debug)]
pub(super) struct Node {
    number: usize,
    starts: u32,
    pub(super) worker: Option<Worker>,
    /// Parts in a million by which the clock advances in a true microsecond.
    rate: u64,
    /// Reading of the clock at the true time zero.
    base: Duration,
    pub(super) wall_offset: i64,
    pub(super) is_stopped: bool,
    /// Events for the process while it is stopped.
    pub(super) waiting: Vec<ProcessEvent>,
    pub(super) link: Link,
    pub(super) link_trouble: u32,
    /// Messages on a link that is cut.
    pub(super) held: Vec<Event>,
    pub(super) clients: Clients,
    pub(super) wake_at: Option<Duration>,
    pub(super) restart_after: Option<Duration>,
}

/// State of the link between a worker and the store.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Link {
    pub(super) is_cut: bool,
    pub(super) loses_answers: bool,
    pub(super) reorders: bool,
}

/// Clients of a process, by account.
#[derive(Debug, Default)]
pub(super) struct Clients(BTreeMap<AccountId, Client>);

/// Client of an account, with its undecided commands.
#[derive(Debug)]
struct Client {
    token: Revision,
    commands: BTreeMap<CommandId, OpenCommand>,
}

#[derive(Debug)]
struct OpenCommand {
    deadline: Duration,
    was_sent: bool,
}

impl Node {
    pub(super) fn new(number: usize, rate: u64) -> Self {
        Self {
            number,
            starts: 0,
            worker: None,
            rate,
            base: Duration::from_secs(1_000 * number as u64 + 7),
            wall_offset: 0,
            is_stopped: false,
            waiting: Vec::new(),
            link: Link::default(),
            link_trouble: 0,
            held: Vec::new(),
            clients: Clients::default(),
            wake_at: None,
            restart_after: None,
        }
    }

    pub(super) fn process(&self) -> (usize, u32) {
        (self.number, self.starts)
    }

    /// Reading of both clocks at a true time.
    pub(super) fn now(&self, at: Duration) -> Now {
        let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let passed = u128::from(micros) * u128::from(self.rate) / 1_000_000;
        let mono = self.base + Duration::from_micros(u64::try_from(passed).unwrap_or(u64::MAX));
        let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
        Now { mono, wall: EPOCH.plus_millis(millis.saturating_add(self.wall_offset)) }
    }

    /// First true time at which the monotonic clock shows this time or a later one.
    pub(super) fn true_time(&self, mono: Duration) -> Duration {
        let passed = mono.saturating_sub(self.base).as_nanos().div_ceil(1_000);
        let micros = (passed * 1_000_000).div_ceil(u128::from(self.rate));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    pub(super) fn start(&mut self, settings: Settings, seed: [u8; 32], at: Duration) {
        self.starts += 1;
        let now = self.now(at);
        let name = WorkerId::new(&format!("w{}", self.number));
        self.worker = name.ok().and_then(|name| Worker::new(name, settings, seed, now).ok());
        self.wake_at = None;
    }

    pub(super) fn kill(&mut self) {
        self.worker = None;
        self.is_stopped = false;
        self.waiting.clear();
        self.clients.0.clear();
        self.restart_after = None;
    }
}

impl Clients {
    pub(super) fn start(&mut self, account: AccountId, token: Revision) {
        self.0.insert(account, Client { token, commands: BTreeMap::new() });
    }

    pub(super) fn has(&self, account: &AccountId) -> bool {
        self.0.contains_key(account)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives a command to a client. `false` if the client of this token does not run.
    pub(super) fn add(
        &mut self,
        account: &AccountId,
        token: Revision,
        id: &CommandId,
        deadline: Duration,
    ) -> bool {
        let Some(client) = self.0.get_mut(account).filter(|client| client.token == token) else {
            return false;
        };
        client.commands.insert(id.clone(), OpenCommand { deadline, was_sent: false });
        true
    }

    /// `Some(true)` if the client sends a command now, `Some(false)` if its time is over.
    pub(super) fn take(
        &mut self,
        account: &AccountId,
        token: Revision,
        id: &CommandId,
        mono: Duration,
    ) -> Option<bool> {
        let client = self.0.get_mut(account).filter(|client| client.token == token)?;
        let command = client.commands.get_mut(id).filter(|command| !command.was_sent)?;
        if mono < command.deadline {
            command.was_sent = true;
            return Some(true);
        }
        client.commands.remove(id);
        Some(false)
    }

    /// Records that a command is decided. `false` if it was before.
    pub(super) fn decide(&mut self, account: &AccountId, id: &CommandId) -> bool {
        self.0.get_mut(account).is_some_and(|client| client.commands.remove(id).is_some())
    }

    /// Ends a client. Returns its undecided commands, and whether each was sent.
    pub(super) fn end(&mut self, account: &AccountId, token: Revision) -> Vec<(CommandId, bool)> {
        match self.0.get(account) {
            Some(client) if client.token == token => {
                let client = self.0.remove(account);
                let commands = client.into_iter().flat_map(|client| client.commands);
                commands.map(|(id, command)| (id, command.was_sent)).collect()
            }
            _ => Vec::new(),
        }
    }
}
