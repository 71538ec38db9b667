//! Workers and a store in memory, under virtual time. Everything works at once unless a test breaks it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysa_fleet::{
    AccountId, Action, Answer, Bucket, CommandId, Decision, Entry, Event, Operation, Output, Reply, ReplyTo,
    Request, Revision, Settings, StopReason, Worker, WorkerId,
};
use mysa_proto::{DeviceId, Now, UnixTime};
use mysa_session::VerdictKind;

/// What a worker did, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deed {
    Start(usize, AccountId, Revision),
    Stop(usize, AccountId, StopReason),
    Command(usize, AccountId, CommandId),
}

pub(crate) struct Node {
    pub(crate) worker: Option<Worker>,
    /// A stopped worker does nothing, and its operations and watches wait.
    pub(crate) stopped: bool,
    /// Operations of it have no effect and no answer.
    pub(crate) cut_off: bool,
    /// Operations of it are carried out, and have no answer.
    pub(crate) loses_answers: bool,
    /// Claims that it watches wait.
    pub(crate) sees_no_claims: bool,
    /// Its client does not answer commands.
    pub(crate) silent: bool,
    running: BTreeMap<AccountId, Revision>,
    inbox: Vec<(Bucket, Entry)>,
}

pub(crate) struct Harness {
    pub(crate) mono: Duration,
    pub(crate) settings: Settings,
    pub(crate) nodes: Vec<Node>,
    pub(crate) store: BTreeMap<(Bucket, String), Entry>,
    /// Reads that are older than the newest write, before one that is not.
    pub(crate) stale_reads: usize,
    older: BTreeMap<(Bucket, String), Entry>,
    pub(crate) deeds: Vec<(Duration, Deed)>,
    pub(crate) replies: Vec<(u64, Reply)>,
    pub(crate) open: BTreeSet<(usize, AccountId, CommandId)>,
    revision: u64,
    seed: u8,
}

pub(crate) fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

pub(crate) fn command(name: &str) -> CommandId {
    CommandId::new(name).unwrap()
}

impl Harness {
    /// Creates a fleet and waits until the accounts `a0`, `a1`, … are owned.
    pub(crate) fn new(workers: usize, accounts: usize) -> Self {
        let mut settings = Settings::default();
        settings.starts_per_second = 100.0;
        Self::with(settings, workers, accounts)
    }

    pub(crate) fn with(settings: Settings, workers: usize, accounts: usize) -> Self {
        let mut harness = Self {
            mono: Duration::ZERO,
            settings,
            nodes: Vec::new(),
            store: BTreeMap::new(),
            stale_reads: 0,
            older: BTreeMap::new(),
            deeds: Vec::new(),
            replies: Vec::new(),
            open: BTreeSet::new(),
            revision: 0,
            seed: 0,
        };
        for number in 0..accounts {
            harness.register(&format!("a{number}"), true);
        }
        for _ in 0..workers {
            harness.add();
        }
        harness.run(20);
        assert_eq!(harness.owners().len(), accounts.min(workers * accounts));
        harness
    }

    pub(crate) fn now(&self) -> Now {
        let millis = i64::try_from(self.mono.as_millis()).unwrap();
        Now { mono: self.mono, wall: UnixTime::from_secs(1_767_323_045).plus_millis(millis) }
    }

    /// Adds a worker and returns its number.
    pub(crate) fn add(&mut self) -> usize {
        let number = self.nodes.len();
        self.nodes.push(Node {
            worker: None,
            stopped: false,
            cut_off: false,
            loses_answers: false,
            sees_no_claims: false,
            silent: false,
            running: BTreeMap::new(),
            inbox: Vec::new(),
        });
        self.start(number);
        number
    }

    /// Starts a worker, or starts it again after its process was killed.
    pub(crate) fn start(&mut self, number: usize) {
        self.seed += 1;
        let now = self.now();
        let name = WorkerId::new(&format!("w{number}")).unwrap();
        let mut worker = Worker::new(name, self.settings.clone(), [self.seed; 32], now).unwrap();
        for ((bucket, _), entry) in &self.store {
            worker.handle_entry(*bucket, entry, now);
        }
        for bucket in [Bucket::Accounts, Bucket::Workers, Bucket::Claims] {
            worker.handle_synced(bucket, now);
        }
        let node = &mut self.nodes[number];
        node.inbox.clear();
        node.running.clear();
        node.worker = Some(worker);
        self.open.retain(|(other, ..)| *other != number);
    }

    pub(crate) fn kill(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.worker = None;
        node.running.clear();
    }

    pub(crate) fn register(&mut self, name: &str, present: bool) {
        self.write(Bucket::Accounts, name, present.then(|| "{}".into()));
    }

    fn write(&mut self, bucket: Bucket, key: &str, value: Option<String>) -> Revision {
        self.revision += 1;
        let revision = Revision::new(self.revision);
        let entry = Entry { key: key.into(), revision, value };
        if let Some(older) = self.store.insert((bucket, key.into()), entry.clone()) {
            self.older.insert((bucket, key.into()), older);
        }
        for node in &mut self.nodes {
            node.inbox.push((bucket, entry.clone()));
        }
        revision
    }

    fn carry_out(&mut self, operation: &Operation) -> Answer {
        let key = (operation.bucket, operation.key.clone());
        let present = self.store.get(&key).cloned();
        let live = present.as_ref().filter(|entry| entry.value.is_some());
        match &operation.action {
            Action::Create { value } if live.is_none() => {
                Answer::Written(self.write(key.0, &key.1, Some(value.clone())))
            }
            Action::Update { value, revision } if live.is_some_and(|entry| entry.revision == *revision) => {
                Answer::Written(self.write(key.0, &key.1, Some(value.clone())))
            }
            Action::Delete { revision } if live.is_some_and(|entry| entry.revision == *revision) => {
                Answer::Written(self.write(key.0, &key.1, None))
            }
            Action::Forget { revision }
                if live.is_none() && present.as_ref().is_some_and(|entry| entry.revision == *revision) =>
            {
                self.store.remove(&key);
                Answer::Written(*revision)
            }
            Action::Create { .. } | Action::Update { .. } | Action::Delete { .. } | Action::Forget { .. } => {
                Answer::Conflict
            }
            Action::Read if self.stale_reads > 0 => {
                self.stale_reads -= 1;
                Answer::Entry(self.older.get(&key).cloned())
            }
            Action::Read => Answer::Entry(present),
            Action::List => {
                let prefix = format!("{}.", key.1);
                let is_listed = |entry: &&Entry| entry.key.starts_with(&prefix);
                let entries = self.store.iter().filter(|((bucket, _), _)| *bucket == key.0);
                Answer::Entries(entries.map(|(_, entry)| entry).filter(is_listed).cloned().collect())
            }
        }
    }

    /// Owner of each account whose client runs.
    pub(crate) fn owners(&self) -> BTreeMap<AccountId, usize> {
        let mut owners = BTreeMap::new();
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.stopped) {
            for account in node.running.keys() {
                assert_eq!(owners.insert(account.clone(), number), None, "{account} has two owners");
            }
        }
        owners
    }

    pub(crate) fn owner(&self, name: &str) -> usize {
        self.owners()[&account(name)]
    }

    pub(crate) fn request(&mut self, number: usize, to: u64, name: &str, id: &str, change: &str) {
        let now = self.now();
        let request = Request {
            id: command(id),
            account: account(name),
            device: DeviceId::new("a0b1c2d3e4f6").unwrap(),
            change: change.into(),
            time_limit: Duration::from_secs(10),
            expires_at: now.wall.plus_millis(10_000),
        };
        let worker = self.nodes[number].worker.as_mut().unwrap();
        worker.handle_request(ReplyTo(to), &request, now);
        self.exchange();
    }

    pub(crate) fn replies_to(&self, to: u64) -> Vec<&Reply> {
        self.replies.iter().filter(|(number, _)| *number == to).map(|(_, reply)| reply).collect()
    }

    pub(crate) fn commands_sent(&self) -> usize {
        self.deeds.iter().filter(|(_, deed)| matches!(deed, Deed::Command(..))).count()
    }

    pub(crate) fn drain(&mut self, number: usize) {
        let now = self.now();
        if let Some(worker) = &mut self.nodes[number].worker {
            worker.drain(now);
        }
        self.exchange();
    }

    /// Exchanges everything that can be exchanged at this moment.
    pub(crate) fn exchange(&mut self) {
        for _ in 0..10_000 {
            let mut worked = false;
            for number in 0..self.nodes.len() {
                worked |= self.work(number);
            }
            if !worked {
                return;
            }
        }
        panic!("the workers do not come to rest");
    }

    fn work(&mut self, number: usize) -> bool {
        let now = self.now();
        let node = &mut self.nodes[number];
        let (Some(worker), false) = (&mut node.worker, node.stopped) else { return false };
        if !node.cut_off {
            let is_shown =
                |(bucket, _): &mut (Bucket, Entry)| !(node.sees_no_claims && *bucket == Bucket::Claims);
            let shown: Vec<_> = node.inbox.extract_if(.., is_shown).collect();
            for (bucket, entry) in &shown {
                worker.handle_entry(*bucket, entry, now);
            }
            if !shown.is_empty() {
                return true;
            }
        }
        let Some(output) = worker.poll_output() else {
            let is_due = worker.poll_timeout().is_some_and(|at| at <= now.mono);
            if is_due {
                worker.handle_timeout(now);
            }
            return is_due;
        };
        match output {
            Output::Store(operation) => {
                if node.cut_off {
                    return true;
                }
                let loses_answers = node.loses_answers;
                let answer = self.carry_out(&operation);
                if !loses_answers {
                    self.with_worker(number, |worker, now| worker.handle_answer(operation.id, &answer, now));
                }
            }
            Output::Start { account, owner } => {
                node.running.insert(account.clone(), owner);
                self.deeds.push((now.mono, Deed::Start(number, account, owner)));
            }
            Output::Stop { account, owner, reason } => {
                node.running.remove(&account);
                self.deeds.push((now.mono, Deed::Stop(number, account.clone(), reason)));
                self.with_worker(number, |worker, now| worker.handle_stopped(&account, owner, now));
            }
            Output::Command { account, id, owner, deadline, .. } => {
                assert_eq!(node.running.get(&account), Some(&owner), "for the client that runs");
                assert!(deadline > now.mono && Some(deadline) <= worker.lease_until());
                let silent = node.silent;
                self.deeds.push((now.mono, Deed::Command(number, account.clone(), id.clone())));
                self.open.insert((number, account.clone(), id.clone()));
                if !silent {
                    self.verdict(number, &account, &id, VerdictKind::Confirmed);
                }
            }
            Output::Reply { to, reply } => self.replies.push((to.0, reply)),
            Output::Event(Event::Unreadable { key }) => panic!("{key} is unreadable"),
            Output::Event(_) => {}
        }
        true
    }

    pub(crate) fn verdict(
        &mut self,
        number: usize,
        account: &AccountId,
        id: &CommandId,
        outcome: VerdictKind,
    ) {
        assert!(self.open.remove(&(number, account.clone(), id.clone())));
        let decision = Decision::new(outcome, "by the test");
        self.with_worker(number, |worker, now| worker.handle_verdict(account, id, &decision, now));
    }

    fn with_worker(&mut self, number: usize, call: impl FnOnce(&mut Worker, Now)) {
        let now = self.now();
        if let Some(worker) = &mut self.nodes[number].worker {
            call(worker, now);
        }
    }

    /// Runs for some seconds.
    pub(crate) fn run(&mut self, secs: u64) {
        let end = self.mono + Duration::from_secs(secs);
        loop {
            self.exchange();
            let awake = self.nodes.iter().filter(|node| !node.stopped);
            let due = awake.filter_map(|node| node.worker.as_ref()?.poll_timeout()).min();
            match due.filter(|due| *due < end) {
                Some(due) => self.mono = due.max(self.mono),
                None => {
                    self.mono = end;
                    return self.exchange();
                }
            }
        }
    }
}
