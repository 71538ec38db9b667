//! World of a fleet: workers with clocks of their own, a store, the clients of the accounts, and callers.

mod campaign;
mod judge;
mod node;
mod store;
mod violation;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use mysa_fleet::{
    AccountId, Answer, Bucket, CommandId, Decision, Entry, Operation, OperationId, Output, Reply, ReplyTo,
    Request, Revision, Settings, StopReason,
};
use mysa_proto::{DeviceId, UnixTime};
use mysa_session::VerdictKind;

pub use campaign::{FleetFailure, FleetReport, FleetTrouble, fleet_campaign};
use judge::{CommandName, Judge};
use node::{Link, Node};
use store::Store;
pub use violation::FleetViolation;

use crate::Rng;

/// Workers, accounts and a store under virtual time. The true time is that of the world; each worker has clocks of its own.
#[derive(Debug)]
pub struct FleetWorld {
    settings: Settings,
    now: Duration,
    rng: Rng,
    nodes: Vec<Node>,
    store: Store,
    judge: Judge,
    queue: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    /// Time of the way of each message from or to a store that is slow.
    slow: Duration,
    /// Accounts of the fleet, and when each came or went.
    accounts: BTreeMap<String, (bool, Duration)>,
    commands: Vec<Command>,
    requests: u64,
    replies: BTreeMap<u64, (usize, bool)>,
    digest: u64,
    steps: u64,
    history: VecDeque<String>,
}

/// Command of a caller, who repeats the request until there is a verdict.
#[derive(Debug)]
struct Command {
    name: CommandName,
    account: AccountId,
    id: CommandId,
    change: u32,
}

#[derive(Debug, Eq, PartialEq)]
struct Due {
    at: Duration,
    sequence: u64,
    event: Event,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Something that happens. Events for a process name its number and how often it was started: others are too late.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Event {
    /// An operation arrives at the store.
    Operation { process: (usize, u32), operation: Operation },
    /// A write is shown to all watches.
    Written(Bucket, Rc<Entry>),
    /// The caller of a command sends a request, the same again or with another change.
    Ask { command: usize, reuses_name: bool },
    /// For a process.
    Process((usize, u32), ProcessEvent),
    /// A process runs again after a stop.
    Resume((usize, u32)),
    /// A worker starts again.
    Restart(usize),
    /// The link of a worker is as it should be again.
    Heal(usize),
    /// The store runs again, or is no longer slow.
    StoreHeals,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum ProcessEvent {
    Wake,
    /// The watches begin, with all entries.
    Sync,
    Watch(Bucket, Rc<Entry>),
    Answer(OperationId, Answer),
    Request {
        to: u64,
        request: Request,
    },
    /// The client of an account has stopped.
    Stopped {
        account: AccountId,
        token: Revision,
    },
    /// The client sends a command, if it may.
    Send {
        account: AccountId,
        token: Revision,
        id: CommandId,
    },
    /// The thermostat has answered, or the time for it is over.
    Verdict {
        account: AccountId,
        id: CommandId,
        outcome: VerdictKind,
    },
}

/// Time of the way of a message.
const WAY: Duration = Duration::from_millis(2);
/// Time after which a caller repeats a request that has no verdict.
const REPEAT: Duration = Duration::from_secs(8);
/// Steps at one moment that show that the workers do not come to rest.
const AT_ONE_MOMENT: u32 = 2_000_000;
const HISTORY: usize = 400;
/// 2026-01-02T03:04:05Z.
const EPOCH: UnixTime = UnixTime::from_secs(1_767_323_045);

impl FleetWorld {
    /// Creates a world. Nothing has started.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            now: Duration::ZERO,
            rng: Rng::new(seed),
            nodes: Vec::new(),
            store: Store::default(),
            judge: Judge::default(),
            queue: BinaryHeap::new(),
            sequence: 0,
            slow: Duration::ZERO,
            accounts: BTreeMap::new(),
            commands: Vec::new(),
            requests: 0,
            replies: BTreeMap::new(),
            digest: 0,
            steps: 0,
            history: VecDeque::new(),
        }
    }

    /// Adds a worker, and returns its number. The rate of its clock is up to 7 % from the true one.
    pub fn add_worker(&mut self) -> usize {
        let number = self.nodes.len();
        // Half of the clocks are as wrong as they can be.
        let rate = match self.rng.below(4) {
            0 => 930_000,
            1 => 1_070_000,
            _ => self.rng.between(930_000, 1_070_000),
        };
        self.nodes.push(Node::new(number, rate));
        self.start(number);
        number
    }

    /// Adds an account to the fleet, or removes it.
    pub fn set_account(&mut self, name: &str, present: bool) {
        self.accounts.insert(name.into(), (present, self.now));
        self.note(format_args!("account {name} {}", if present { "added" } else { "removed" }));
        let entry = self.store.write(Bucket::Accounts, name, present.then(|| "{}".into()));
        self.push(WAY, Event::Written(Bucket::Accounts, entry));
    }

    /// Runs for a time.
    ///
    /// # Errors
    /// The invariant that was broken.
    pub fn run_for(&mut self, time: Duration) -> Result<(), FleetViolation> {
        let end = self.now + time;
        let mut at_this_moment = 0;
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= end) {
            let Some(Reverse(due)) = self.queue.pop() else { break };
            if due.at > self.now {
                self.judge.advance(due.at)?;
                at_this_moment = 0;
            }
            at_this_moment += 1;
            if at_this_moment > AT_ONE_MOMENT {
                return Err(FleetViolation::Livelock { at: self.now });
            }
            self.now = due.at.max(self.now);
            self.steps += 1;
            self.happen(due.event)?;
        }
        self.now = end;
        self.check_bounds()?;
        self.judge.check_replies(end)
    }

    fn check_bounds(&self) -> Result<(), FleetViolation> {
        let capacity = usize::try_from(self.settings.capacity).unwrap_or(usize::MAX);
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(counts) = node.worker.as_ref().map(mysa_fleet::Worker::counts) else { continue };
            let what = if counts.owned > capacity {
                "accounts"
            } else if counts.commands > self.settings.max_commands {
                "commands"
            } else {
                continue;
            };
            return Err(FleetViolation::Unbounded { worker: number, what });
        }
        Ok(())
    }

    /// Checks that every account has an owner, and that no other one has. Call it at twice the lease after the last failure.
    ///
    /// # Errors
    /// An account has no owner, or has one although it left the fleet.
    pub fn check_owners(&self) -> Result<(), FleetViolation> {
        let settled = |since: &Duration| *since + 2 * self.settings.lease <= self.now;
        for (account, (present, since)) in &self.accounts {
            let owners = self.judge.owners(account);
            if *present && owners == 0 && settled(since) {
                return Err(FleetViolation::NotOwned { account: account.clone() });
            }
            if !present && owners > 0 && settled(since) {
                return Err(FleetViolation::StillOwned { account: account.clone() });
            }
        }
        Ok(())
    }

    /// Checks that every command has a verdict, in the store too. Call it when the callers have had time to repeat their
    /// requests.
    ///
    /// # Errors
    /// A command has no verdict.
    pub fn check_verdicts(&self) -> Result<(), FleetViolation> {
        let open = self.commands.iter().find(|command| !self.judge.has_verdict(&command.name));
        if let Some(command) = open {
            let command = format!("{}.{}", command.name.0, command.name.1);
            return Err(FleetViolation::NoVerdict { command });
        }
        let records = self.store.bucket(Bucket::Verdicts);
        match records
            .iter()
            .find(|entry| !entry.value.as_ref().is_some_and(|value| value.contains("\"outcome\"")))
        {
            Some(entry) => Err(FleetViolation::NoVerdict { command: entry.key.clone() }),
            None => Ok(()),
        }
    }

    /// Number of clients that were started.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.judge.counts.starts
    }

    /// Number of accounts whose client runs.
    #[must_use]
    pub fn running(&self) -> usize {
        self.accounts.keys().filter(|account| self.judge.owners(account) > 0).count()
    }

    /// Gives a command to a thermostat of an account. The caller repeats it until there is a verdict.
    pub fn command(&mut self, account: &str) {
        let number = self.commands.len();
        let name = (account.to_owned(), format!("c{number}"));
        if let (Ok(account), Ok(id)) = (AccountId::new(account), CommandId::new(&name.1)) {
            let change = u32::try_from(number % 7).unwrap_or_default();
            self.commands.push(Command { name, account, id, change });
            self.push(Duration::ZERO, Event::Ask { command: number, reuses_name: false });
        }
    }

    fn note(&mut self, line: fmt::Arguments<'_>) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(format!("{:>10.3} {line}", self.now.as_secs_f64()));
        for byte in self.history.back().into_iter().flat_map(|line| line.bytes()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn push(&mut self, delay: Duration, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Due { at: self.now + delay, sequence: self.sequence, event }));
    }

    /// Starts the process of a worker.
    fn start(&mut self, number: usize) {
        let seed = self.rng.bytes();
        let (settings, now) = (self.settings.clone(), self.now);
        let Some(node) = self.nodes.get_mut(number) else { return };
        node.start(settings, seed, now);
        let process = node.process();
        self.note(format_args!("worker {number} started"));
        self.push(5 * WAY, Event::Process(process, ProcessEvent::Sync));
        self.push(Duration::ZERO, Event::Process(process, ProcessEvent::Wake));
    }

    /// Kills the process of a worker, and starts it again after a time.
    pub fn kill(&mut self, number: usize, down: Option<Duration>) {
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.worker.is_some()) else { return };
        let process = node.process();
        node.kill();
        self.judge.killed(process);
        self.note(format_args!("worker {number} killed"));
        if let Some(down) = down {
            self.push(down, Event::Restart(number));
        }
    }

    /// Stops the process of a worker for a time. Its clock runs on, and messages for it wait.
    pub fn stop(&mut self, number: usize, time: Duration) {
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.worker.is_some() && !node.is_stopped)
        else {
            return;
        };
        node.is_stopped = true;
        let process = node.process();
        self.judge.stopped(process);
        self.note(format_args!("worker {number} stopped for {time:?}"));
        self.push(time, Event::Resume(process));
    }

    /// Cuts a worker from the store for a time. Messages are lost, or arrive when the link heals.
    pub fn cut(&mut self, number: usize, time: Duration) {
        self.set_link(number, Link { is_cut: true, ..Link::default() }, time, "cut off");
    }

    /// Loses half of the answers of the store to a worker for a time.
    pub fn lose_answers(&mut self, number: usize, time: Duration) {
        self.set_link(number, Link { loses_answers: true, ..Link::default() }, time, "loses answers");
    }

    /// Delays and reorders what a worker watches for a time, and its operations too.
    pub fn reorder(&mut self, number: usize, time: Duration) {
        self.set_link(number, Link { reorders: true, ..Link::default() }, time, "sees entries late");
    }

    fn set_link(&mut self, number: usize, link: Link, time: Duration, what: &str) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        node.link = link;
        node.link_trouble += 1;
        self.note(format_args!("worker {number} {what} for {time:?}"));
        self.push(time, Event::Heal(number));
    }

    /// Steps the wall clock of a worker.
    pub fn step_clock(&mut self, number: usize, millis: i64) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.wall_offset += millis;
            self.note(format_args!("wall clock of worker {number} stepped by {millis} ms"));
        }
    }

    /// Stops the store for a time. It keeps its content.
    pub fn restart_store(&mut self, time: Duration) {
        self.store.is_down = true;
        self.note(format_args!("the store is down for {time:?}"));
        self.push(time, Event::StoreHeals);
    }

    /// Makes the store slow for a time: each message takes up to `delay`.
    pub fn slow_store(&mut self, delay: Duration, time: Duration) {
        self.slow = delay;
        self.note(format_args!("the store is slow by {delay:?} for {time:?}"));
        self.push(time, Event::StoreHeals);
    }

    /// Drains a worker. It starts again a time after it has ended.
    pub fn drain(&mut self, number: usize, down: Option<Duration>) -> Result<(), FleetViolation> {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(number).filter(|node| !node.is_stopped) else { return Ok(()) };
        let time = node.now(now);
        let Some(worker) = node.worker.as_mut() else { return Ok(()) };
        worker.drain(time);
        node.restart_after = down;
        self.note(format_args!("worker {number} drains"));
        self.work(number)
    }

    /// Ends all trouble.
    fn heal(&mut self) {
        self.store.is_down = false;
        self.slow = Duration::ZERO;
        for number in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(number) else { continue };
            let process = node.process();
            node.link_trouble = 0;
            let (is_stopped, is_dead) = (node.is_stopped, node.worker.is_none());
            self.push(Duration::ZERO, Event::Heal(number));
            if is_stopped {
                self.push(Duration::ZERO, Event::Resume(process));
            }
            if is_dead {
                self.push(Duration::ZERO, Event::Restart(number));
            }
        }
        self.note(format_args!("all trouble ends"));
    }

    fn happen(&mut self, event: Event) -> Result<(), FleetViolation> {
        match event {
            Event::Operation { process, operation } => self.operation(process, &operation),
            Event::Written(bucket, entry) => return self.written(bucket, &entry),
            Event::Ask { command, reuses_name } => self.ask(command, reuses_name),
            Event::Process(process, event) => {
                let Some(node) = self.nodes.get_mut(process.0) else { return Ok(()) };
                if node.process() != process || node.worker.is_none() {
                    return Ok(());
                }
                if node.is_stopped {
                    if event != ProcessEvent::Wake {
                        node.waiting.push(event);
                    }
                    return Ok(());
                }
                return self.process_event(process.0, event);
            }
            Event::Resume(process) => return self.resume(process),
            Event::Restart(number) => {
                if self.nodes.get(number).is_some_and(|node| node.worker.is_none()) {
                    self.start(number);
                }
            }
            Event::Heal(number) => self.heal_link(number),
            Event::StoreHeals => {
                self.store.is_down = false;
                self.slow = Duration::ZERO;
                self.note(format_args!("the store is well"));
            }
        }
        Ok(())
    }

    /// Passes a process what waited for it, in any order, once it runs again.
    fn resume(&mut self, process: (usize, u32)) -> Result<(), FleetViolation> {
        let Some(node) = self.nodes.get_mut(process.0) else { return Ok(()) };
        if node.process() != process || !node.is_stopped {
            return Ok(());
        }
        node.is_stopped = false;
        let mut waiting = std::mem::take(&mut node.waiting);
        waiting.push(ProcessEvent::Wake);
        self.judge.resumed(self.now, process);
        self.note(format_args!("worker {} runs again", process.0));
        while !waiting.is_empty() {
            let at = usize::try_from(self.rng.below(waiting.len() as u64)).unwrap_or_default();
            let event = waiting.swap_remove(at);
            let delay = Duration::from_micros(self.rng.below(20_000));
            self.push(delay, Event::Process(process, event));
        }
        Ok(())
    }

    fn heal_link(&mut self, number: usize) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        node.link_trouble = node.link_trouble.saturating_sub(1);
        if node.link_trouble > 0 {
            return;
        }
        node.link = Link::default();
        let process = node.process();
        let held = std::mem::take(&mut node.held);
        self.note(format_args!("link of worker {number} is well"));
        // Late messages arrive, in any order; the watches begin again.
        for event in held {
            let delay = Duration::from_millis(self.rng.below(1_500));
            self.push(delay, event);
        }
        let delay = Duration::from_millis(self.rng.below(500));
        self.push(delay, Event::Process(process, ProcessEvent::Sync));
    }

    /// Time of the way between a worker and the store.
    fn way(&mut self, number: usize) -> Duration {
        let slow =
            Duration::from_micros(self.rng.below(u64::try_from(self.slow.as_micros()).unwrap_or_default()));
        let reorders = self.nodes.get(number).is_some_and(|node| node.link.reorders);
        let late = if reorders { Duration::from_millis(self.rng.below(6_000)) } else { Duration::ZERO };
        WAY + slow + late
    }

    /// Sends a message between a worker and the store, in either direction.
    fn transmit(&mut self, number: usize, event: Event, is_answer: bool) {
        let lost = self.rng.one_in(2);
        let Some(node) = self.nodes.get_mut(number) else { return };
        if node.link.is_cut {
            if !lost && node.held.len() < 10_000 {
                node.held.push(event);
            }
        } else if !(node.link.loses_answers && is_answer && lost) {
            let way = self.way(number);
            self.push(way, event);
        }
    }

    fn operation(&mut self, process: (usize, u32), operation: &Operation) {
        if self.store.is_down {
            return;
        }
        let stale = self.rng.one_in(4);
        let (answer, written) = self.store.apply(operation, stale);
        if let Some(entry) = written {
            self.note(format_args!(
                "{} {} = {:?} at {}",
                operation.bucket.name(),
                entry.key,
                entry.value,
                entry.revision
            ));
            let slow = Duration::from_micros(
                self.rng.below(u64::try_from(self.slow.as_micros()).unwrap_or_default()),
            );
            if operation.bucket != Bucket::Verdicts {
                self.push(WAY + slow, Event::Written(operation.bucket, entry));
            }
        }
        self.transmit(process.0, Event::Process(process, ProcessEvent::Answer(operation.id, answer)), true);
    }

    /// Shows a write to all watches.
    fn written(&mut self, bucket: Bucket, entry: &Rc<Entry>) -> Result<(), FleetViolation> {
        for number in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(number).filter(|node| node.worker.is_some()) else { continue };
            let event = ProcessEvent::Watch(bucket, Rc::clone(entry));
            if node.link == Link::default() && !node.is_stopped {
                self.process_event(number, event)?;
            } else {
                let event = Event::Process(node.process(), event);
                self.transmit(number, event, false);
            }
        }
        Ok(())
    }

    /// Sends a request to every worker that takes requests for the account.
    fn ask(&mut self, number: usize, reuses_name: bool) {
        let Some(command) = self.commands.get(number) else { return };
        let name = command.name.clone();
        if self.judge.has_verdict(&name) && !reuses_name {
            return;
        }
        let change = if reuses_name { command.change + 100 } else { command.change };
        let Some(device) = DeviceId::new("a0b1c2d3e4f6") else { return };
        let request = Request {
            id: command.id.clone(),
            account: command.account.clone(),
            device,
            change: format!("setpoint {change}"),
            time_limit: Duration::from_secs(10),
            expires_at: EPOCH
                .plus_millis(i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX).saturating_add(10_000)),
        };
        let takers: Vec<_> =
            self.nodes.iter().filter(|node| node.clients.has(&request.account)).map(Node::process).collect();
        for process in takers {
            // Sometimes a request arrives twice, or late.
            for _ in 0..=u8::from(self.rng.one_in(8)) {
                self.requests += 1;
                let to = self.requests;
                self.replies.insert(to, (number, reuses_name));
                let late = if self.rng.one_in(8) { self.rng.below(5_000) } else { 1 };
                let event = ProcessEvent::Request { to, request: request.clone() };
                self.push(Duration::from_millis(late), Event::Process(process, event));
            }
        }
        if !reuses_name {
            self.push(REPEAT, Event::Ask { command: number, reuses_name: false });
        }
    }

    /// Passes an event to a worker, and carries out what it wants.
    fn process_event(&mut self, number: usize, event: ProcessEvent) -> Result<(), FleetViolation> {
        let true_now = self.now;
        let Some(node) = self.nodes.get_mut(number) else { return Ok(()) };
        let (now, process) = (node.now(true_now), node.process());
        let Some(worker) = &mut node.worker else { return Ok(()) };
        match event {
            ProcessEvent::Wake => worker.handle_timeout(now),
            ProcessEvent::Sync => {
                if self.store.is_down || node.link.is_cut {
                    self.push(Duration::from_millis(500), Event::Process(process, ProcessEvent::Sync));
                    return Ok(());
                }
                for bucket in [Bucket::Accounts, Bucket::Workers, Bucket::Claims] {
                    for entry in self.store.bucket(bucket) {
                        worker.handle_entry(bucket, &entry, now);
                    }
                }
                for bucket in [Bucket::Accounts, Bucket::Workers, Bucket::Claims] {
                    worker.handle_synced(bucket, now);
                }
            }
            ProcessEvent::Watch(bucket, entry) => worker.handle_entry(bucket, &entry, now),
            ProcessEvent::Answer(id, answer) => worker.handle_answer(id, &answer, now),
            ProcessEvent::Request { to, request } => {
                let name = (request.account.to_string(), request.id.to_string());
                let reuses_name = self.replies.get(&to).is_some_and(|(_, reuses_name)| *reuses_name);
                self.judge.received(true_now, to, process, &name, reuses_name);
                worker.handle_request(ReplyTo(to), &request, now);
            }
            ProcessEvent::Stopped { account, token } => {
                let open = node.clients.end(&account, token);
                self.judge.ended(process, account.as_str(), token.number());
                for (id, was_sent) in open {
                    let decision = if was_sent {
                        Decision::new(VerdictKind::Unconfirmed, "the session ended after it was sent")
                    } else {
                        Decision::new(VerdictKind::Expired, "the session ended before it was sent")
                    };
                    worker.handle_verdict(&account, &id, &decision, now);
                }
                worker.handle_stopped(&account, token, now);
            }
            ProcessEvent::Send { account, token, id } => {
                // The session's own rule: no byte after the deadline.
                match node.clients.take(&account, token, &id, now.mono) {
                    None => {}
                    Some(false) => {
                        let decision = Decision::new(VerdictKind::Expired, "it could not be sent in time");
                        worker.handle_verdict(&account, &id, &decision, now);
                    }
                    Some(true) => {
                        let name = (account.to_string(), id.to_string());
                        self.judge.sent(&name, token.number())?;
                        self.note(format_args!("{account}.{id} reaches the thermostat, by worker {number}"));
                        let outcome = if self.rng.one_in(4) {
                            VerdictKind::Unconfirmed
                        } else {
                            VerdictKind::Confirmed
                        };
                        let delay = Duration::from_millis(self.rng.below(3_000));
                        let event = ProcessEvent::Verdict { account, id, outcome };
                        self.push(delay, Event::Process(process, event));
                        return Ok(());
                    }
                }
            }
            ProcessEvent::Verdict { account, id, outcome } => {
                if node.clients.decide(&account, &id) {
                    worker.handle_verdict(&account, &id, &Decision::new(outcome, "by the thermostat"), now);
                }
            }
        }
        self.work(number)
    }

    /// Carries out what a worker wants.
    fn work(&mut self, number: usize) -> Result<(), FleetViolation> {
        let true_now = self.now;
        loop {
            let Some(node) = self.nodes.get_mut(number) else { return Ok(()) };
            let process = node.process();
            let Some(worker) = &mut node.worker else { return Ok(()) };
            let Some(output) = worker.poll_output() else { break };
            match output {
                Output::Store(operation) => {
                    self.transmit(number, Event::Operation { process, operation }, false);
                }
                Output::Start { account, owner } => {
                    node.clients.start(account.clone(), owner);
                    let rate = self.settings.starts_per_second;
                    self.note(format_args!("worker {number} starts {account} with token {owner}"));
                    self.judge.started(true_now, process, account.as_str(), owner.number(), rate)?;
                }
                Output::Stop { account, owner, reason } => {
                    self.note(format_args!("worker {number} stops {account}: {reason}"));
                    // An abort takes a moment, an orderly end longer.
                    let most = if reason == StopReason::LeaseOver { 500 } else { 1_500 };
                    let delay = Duration::from_millis(self.rng.below(most));
                    let event = ProcessEvent::Stopped { account, token: owner };
                    self.push(delay, Event::Process(process, event));
                }
                Output::Command { account, owner, id, deadline, .. } => {
                    if node.clients.add(&account, owner, &id, deadline) {
                        let delay = Duration::from_millis(self.rng.below(2_000));
                        let event = ProcessEvent::Send { account, token: owner, id };
                        self.push(delay, Event::Process(process, event));
                    } else {
                        // The client of this token does not run.
                        let now = node.now(true_now);
                        let decision = Decision::new(VerdictKind::Refused, "the client does not run");
                        if let Some(worker) = &mut node.worker {
                            worker.handle_verdict(&account, &id, &decision, now);
                        }
                    }
                }
                Output::Reply { to, reply } => self.reply(to.0, &reply)?,
                Output::Event(_) => {}
            }
        }
        let Some(node) = self.nodes.get_mut(number) else { return Ok(()) };
        let Some(worker) = &node.worker else { return Ok(()) };
        if worker.is_ended() {
            let down = node.restart_after.take();
            let (process, is_empty) = (node.process(), node.clients.is_empty());
            node.kill();
            self.judge.killed(process);
            self.note(format_args!("worker {number} has ended"));
            if let Some(down) = down {
                self.push(down, Event::Restart(number));
            }
            return if is_empty { Ok(()) } else { Err(FleetViolation::NotDrained { worker: number }) };
        }
        if let Some(due) = worker.poll_timeout() {
            let at = node.true_time(due).max(true_now);
            if node.wake_at.is_none_or(|wake_at| wake_at > at || wake_at <= true_now) {
                node.wake_at = Some(at);
                let process = node.process();
                self.push(at - true_now, Event::Process(process, ProcessEvent::Wake));
            }
        }
        Ok(())
    }

    fn reply(&mut self, to: u64, reply: &Reply) -> Result<(), FleetViolation> {
        let Some((number, reuses_name)) = self.replies.get(&to).copied() else { return Ok(()) };
        let Some(command) = self.commands.get(number) else { return Ok(()) };
        let name = command.name.clone();
        self.note(format_args!("{}.{}: {reply:?}", name.0, name.1));
        let is_first = !self.judge.has_verdict(&name);
        self.judge.replied(to, &name, reply)?;
        if is_first && self.judge.has_verdict(&name) {
            // Some callers ask again, or use the name for another command.
            if self.rng.one_in(4) {
                let delay = Duration::from_millis(self.rng.below(60_000));
                self.push(delay, Event::Ask { command: number, reuses_name: true });
            }
        } else if matches!(reply, Reply::Retry(_)) && !reuses_name {
            let delay = Duration::from_millis(500 + self.rng.below(1_000));
            self.push(delay, Event::Ask { command: number, reuses_name: false });
        }
        Ok(())
    }
}
