mod store;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mysa_fleet::{
    AccountId, Answer, Bucket, CommandId, Decision, Entry, Operation, OperationId, Output, Reply, ReplyTo,
    Request, Revision, Settings, Worker, WorkerId,
};
use mysa_proto::{DeviceId, Now, UnixTime};
use mysa_session::VerdictKind;
use serde_json::json;

use crate::mutate;
use crate::script::Script;
use store::Store;

/// Worker of a fleet with any sequence of inputs: time, operations on a store that are carried out late or without an
/// answer, watched entries late and twice, other workers, requests, verdicts, and entries and answers that no store gives.
///
/// A command goes only to the client that runs, with a deadline within the lease. Each request has at most one reply, and
/// exactly one in the end, even if the store is silent. The worker becomes idle; its output and its operations are bounded.
///
/// While the store keeps its rules: a client runs only under the claim that the store has, and only as long as the newest
/// write of the session allows; a command is given to a client at most once; a reply has the verdict that is recorded, and
/// that verdict agrees with what the client got and reported; a worker that drains ends.
pub fn worker(data: &[u8]) {
    mutate::begin(worker, data);
    let mut script = Script::new(data);
    let mut harness = Harness::new(script.byte());
    harness.settle();
    for _ in 0..96 {
        if script.is_empty() {
            break;
        }
        mutate::step(script.rest().len());
        harness.step(&mut script);
        harness.settle();
    }
    harness.finish();
}

const WALL: i64 = 1_767_323_045;
const NAME: &str = "w1";
const ACCOUNTS: [&str; 4] = ["home-1", "home-2", "home-3", "home-4"];
const COMMANDS: [&str; 3] = ["c1", "c2", "c3"];
const CHANGES: [&str; 3] = ["20.5", "21", "off"];
const DEVICES: [&str; 2] = ["a0b1c2d3e4f6", "b0b1c2d3e4f6"];
const PEERS: [&str; 2] = ["w0", "w2"];
const WATCHED: [Bucket; 3] = [Bucket::Accounts, Bucket::Workers, Bucket::Claims];

type CommandName = (AccountId, CommandId);

struct Harness {
    worker: Worker,
    settings: Settings,
    mono: Duration,
    store: Store,
    /// Entries that the watches have not shown yet.
    inbox: Vec<(Bucket, Entry)>,
    /// Operations that are not carried out, and the time at which each was sent.
    operations: Vec<(Operation, Duration)>,
    /// Answers that are on their way.
    answers: Vec<(OperationId, Answer)>,
    past: Vec<OperationId>,
    /// Time until which the worker may act under each of its sessions, by the writes that the store has.
    leases: BTreeMap<String, Duration>,
    running: BTreeMap<AccountId, Revision>,
    /// Clients that are stopped, without a report.
    stopped: Vec<(AccountId, Revision)>,
    /// Commands that a client got.
    given: BTreeSet<CommandName>,
    /// Those of them without a verdict.
    open: Vec<CommandName>,
    reported: BTreeMap<CommandName, VerdictKind>,
    requests: Vec<Request>,
    replied: BTreeSet<u64>,
    /// Number in the name of the session of each other worker.
    incarnations: [u64; 2],
    /// `true` once something came that no store gives.
    is_raw: bool,
}

impl Harness {
    fn new(choice: u8) -> Self {
        let mut settings = Settings::default();
        settings.capacity = 3;
        settings.max_commands = 6;
        if choice & 1 != 0 {
            settings.lease = Duration::from_secs(6);
            settings.margin = Duration::from_secs(1);
            settings.answer_limit = Duration::from_secs(1);
        }
        settings.starts_per_second = if choice & 2 == 0 { 1_000.0 } else { 1.0 };
        let name = WorkerId::new(NAME).expect("a name");
        let worker =
            Worker::new(name, settings.clone(), [choice; 32], at(Duration::ZERO)).expect("valid settings");
        let mut harness = Self {
            worker,
            settings,
            mono: Duration::ZERO,
            store: Store::default(),
            inbox: Vec::new(),
            operations: Vec::new(),
            answers: Vec::new(),
            past: Vec::new(),
            leases: BTreeMap::new(),
            running: BTreeMap::new(),
            stopped: Vec::new(),
            given: BTreeSet::new(),
            open: Vec::new(),
            reported: BTreeMap::new(),
            requests: Vec::new(),
            replied: BTreeSet::new(),
            incarnations: [0; 2],
            is_raw: false,
        };
        if choice & 4 == 0 {
            for account in &ACCOUNTS[..2] {
                harness.write(Bucket::Accounts, account, Some("{}".into()));
            }
            harness.show_all();
            harness.synchronize();
        }
        harness
    }

    fn now(&self) -> Now {
        at(self.mono)
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let op = script.byte();
        let now = self.now();
        match op {
            0..0x10 => {
                self.mono += Duration::from_millis(u64::from(script.u16()) << (op & 7));
                self.worker.handle_timeout(self.now());
            }
            0x10..0x30 => {
                let Some(due) = self.worker.poll_timeout() else { return };
                self.mono = self.mono.max(due);
                self.worker.handle_timeout(self.now());
            }
            0x30..0x60 => self.exchange(),
            0x60..0x70 => {
                let Some(place) = chosen(script, self.operations.len()) else { return };
                let (operation, sent_at) = self.operations.remove(place);
                let (id, kind) = (operation.id, op & 7);
                // Neither carried out nor answered, or answered by an error.
                let answer = match kind {
                    3 => Answer::Lost,
                    4 => return,
                    _ => self.carry_out(&operation, sent_at, kind == 6),
                };
                match kind {
                    1 => {}
                    2 => self.worker.handle_answer(id, &Answer::Lost, now),
                    5 => self.answers.push((id, answer)),
                    _ => self.worker.handle_answer(id, &answer, now),
                }
            }
            0x70..0x78 => {
                let Some(place) = chosen(script, self.answers.len()) else { return };
                let (id, answer) = self.answers.remove(place);
                self.worker.handle_answer(id, &answer, now);
            }
            0x78..0x88 => {
                let Some(place) = chosen(script, self.inbox.len()) else { return };
                let (bucket, entry) = self.inbox[place].clone();
                if op & 1 == 0 {
                    self.inbox.remove(place);
                }
                self.worker.handle_entry(bucket, &entry, now);
            }
            0x88..0x90 => {
                let value = (op & 1 == 0).then(|| "{}".into());
                self.write(Bucket::Accounts, script.pick(&ACCOUNTS), value);
            }
            0x90..0xa8 => self.peer(script, op & 7),
            0xa8..0xc8 => self.request(script),
            0xc8..0xd8 => {
                let Some(place) = chosen(script, self.open.len()) else { return };
                let name = self.open.remove(place);
                self.report(&name, script.pick(&VerdictKind::ALL));
            }
            0xd8..0xe0 => {
                if op & 1 == 0 {
                    let Some(place) = chosen(script, self.stopped.len()) else { return };
                    let (account, token) = self.stopped.remove(place);
                    self.worker.handle_stopped(&account, token, now);
                } else {
                    // A client that ends by itself.
                    let Some(place) = chosen(script, self.running.len()) else { return };
                    let client = self.running.iter().nth(place);
                    let Some((account, token)) = client.map(|(id, token)| (id.clone(), *token)) else {
                        return;
                    };
                    self.running.remove(&account);
                    self.worker.handle_stopped(&account, token, now);
                }
            }
            0xe0..0xe4 => self.worker.drain(now),
            0xe4..0xe8 => self.synchronize(),
            0xe8..0xf0 => self.show_all(),
            0xf0..0xf8 => {
                self.is_raw = true;
                let bucket =
                    script.pick(&[Bucket::Accounts, Bucket::Workers, Bucket::Claims, Bucket::Verdicts]);
                let entry = self.raw_entry(script);
                self.worker.handle_entry(bucket, &entry, now);
            }
            0xf8..=0xff => self.raw_answer(script),
        }
    }

    fn synchronize(&mut self) {
        for bucket in WATCHED {
            self.worker.handle_synced(bucket, self.now());
            self.drain();
        }
    }

    /// Watches that begin again show all entries.
    fn show_all(&mut self) {
        let now = self.now();
        for ((bucket, _), entry) in &self.store.entries {
            self.worker.handle_entry(*bucket, entry, now);
        }
        self.drain();
    }

    fn write(&mut self, bucket: Bucket, key: &str, value: Option<String>) {
        let entry = self.store.write(bucket, key, value, self.mono);
        self.watch(bucket, entry);
    }

    fn watch(&mut self, bucket: Bucket, entry: Entry) {
        if bucket != Bucket::Verdicts {
            self.inbox.push((bucket, entry));
        }
    }

    fn carry_out(&mut self, operation: &Operation, sent_at: Duration, stale: bool) -> Answer {
        let (answer, written) = self.store.apply(operation, stale, self.mono);
        if let Some(entry) = written {
            if operation.bucket == Bucket::Workers && entry.value.is_some() && operation.key.starts_with(NAME)
            {
                let until = sent_at + self.settings.lease - self.settings.margin;
                self.leases.insert(operation.key.clone(), until);
            }
            self.watch(operation.bucket, entry);
        }
        answer
    }

    /// Carries out and answers everything, and shows what the watches have.
    fn exchange(&mut self) {
        for _ in 0..8 {
            let (operations, answers) =
                (core::mem::take(&mut self.operations), core::mem::take(&mut self.answers));
            let inbox = core::mem::take(&mut self.inbox);
            if operations.is_empty() && answers.is_empty() && inbox.is_empty() {
                return;
            }
            for (id, answer) in answers {
                self.worker.handle_answer(id, &answer, self.now());
                self.drain();
            }
            for (operation, sent_at) in operations {
                let answer = self.carry_out(&operation, sent_at, false);
                self.worker.handle_answer(operation.id, &answer, self.now());
                self.drain();
            }
            for (bucket, entry) in inbox {
                self.worker.handle_entry(bucket, &entry, self.now());
                self.drain();
            }
            self.settle();
        }
    }

    fn request(&mut self, script: &mut Script<'_>) {
        let choice = script.byte();
        let change = if choice == 0xff { "x".repeat(4_097) } else { script.pick(&CHANGES).into() };
        let now = self.now();
        let request = Request {
            id: CommandId::new(script.pick(&COMMANDS)).expect("a name"),
            account: account(script.pick(&ACCOUNTS)),
            device: DeviceId::new(DEVICES[usize::from(choice & 1)]).expect("an id"),
            change,
            time_limit: Duration::from_millis(u64::from(script.u16()) * 2),
            expires_at: now.wall.plus_millis(i64::from(script.byte()) * 1_000 - 2_000),
        };
        let to = self.requests.len() as u64;
        self.requests.push(request.clone());
        self.worker.handle_request(ReplyTo(to), &request, now);
    }

    fn report(&mut self, name: &CommandName, outcome: VerdictKind) {
        self.reported.insert(name.clone(), outcome);
        let decision = Decision::new(outcome, "by the client").with_code(7);
        self.worker.handle_verdict(&name.0, &name.1, &decision, self.now());
    }

    /// Another worker does something that the rules of a fleet allow.
    fn peer(&mut self, script: &mut Script<'_>, kind: u8) {
        let number = usize::from(script.byte() & 1);
        let name = PEERS[number];
        let session = session_key(name, self.incarnations[number]);
        let lives = self.store.value(Bucket::Workers, &session).is_some();
        match kind {
            0 | 1 => {
                // A session that was ended does not return.
                if !lives && self.store.has(Bucket::Workers, &session) {
                    self.incarnations[number] += 1;
                }
                let session = session_key(name, self.incarnations[number]);
                let value = json!({"number": 0, "capacity": script.byte(), "held": 1, "draining": kind == 1});
                self.write(Bucket::Workers, &session, Some(value.to_string()));
            }
            2 => self.write(Bucket::Workers, &session, None),
            3 => {
                // Ends the sessions of this worker that it has seen unchanged for a lease.
                let old = self.mono.checked_sub(self.settings.lease);
                let keys: Vec<String> = self.leases.keys().cloned().collect();
                for key in keys {
                    let written_at = self.store.written_at.get(&(Bucket::Workers, key.clone()));
                    if written_at <= old.as_ref() && self.store.value(Bucket::Workers, &key).is_some() {
                        self.write(Bucket::Workers, &key, None);
                    }
                }
            }
            4 | 5 => {
                let account = script.pick(&ACCOUNTS);
                if lives && self.is_free(account) {
                    let incarnation = format!("{:016x}", self.incarnations[number]);
                    let value = json!({"worker": name, "incarnation": incarnation}).to_string();
                    self.write(Bucket::Claims, account, Some(value));
                }
            }
            6 => {
                let account = script.pick(&ACCOUNTS);
                if self.store.holder(account).is_some_and(|holder| holder == session) {
                    self.write(Bucket::Claims, account, None);
                }
            }
            _ => {
                // Accepts a command, or closes one that an earlier owner left undecided.
                let (account, command) = (script.pick(&ACCOUNTS), script.pick(&COMMANDS));
                let claim = self.store.entries.get(&(Bucket::Claims, account.into()));
                let Some(token) = claim.map(|entry| entry.revision.number()) else { return };
                if self.store.holder(account).is_none_or(|holder| holder != session) {
                    return;
                }
                let key = format!("{account}.{command}");
                let record = match self.store.record(&key) {
                    None => json!({"device": DEVICES[0], "change": CHANGES[0], "owner": token, "at": 0}),
                    Some(mut record) if record["outcome"].is_null() => {
                        record["outcome"] = json!("unconfirmed");
                        record["reason"] = json!("owner lost");
                        record
                    }
                    Some(_) => return,
                };
                self.write(Bucket::Verdicts, &key, Some(record.to_string()));
            }
        }
    }

    /// `true` if no session that the store has owns an account.
    fn is_free(&self, account: &str) -> bool {
        let holder = self.store.holder(account);
        holder.is_none_or(|session| self.store.value(Bucket::Workers, &session).is_none())
    }

    fn raw_entry(&self, script: &mut Script<'_>) -> Entry {
        let choice = script.byte();
        let known = self.store.entries.iter().nth(usize::from(choice) % self.store.entries.len().max(1));
        let key = match known {
            Some(((_, key), _)) if choice & 0x80 == 0 => key.clone(),
            _ => script.text(),
        };
        let value = match script.byte() & 7 {
            0 => None,
            1 => Some(script.text()),
            2 => Some(r#"{"worker":"w2","incarnation":"0000000000000000"}"#.into()),
            3 => Some(
                json!({"number": script.byte(), "capacity": 9, "held": 1, "over": script.flag()}).to_string(),
            ),
            4 => Some(
                json!({"device": DEVICES[0], "change": "21", "owner": script.byte(), "at": 0}).to_string(),
            ),
            _ => known.and_then(|(_, entry)| entry.value.clone()),
        };
        let revision = match script.byte() {
            0xff => u64::MAX,
            back => (self.store.revision + 8).saturating_sub(back.into()),
        };
        Entry { key, revision: Revision::new(revision), value }
    }

    fn raw_answer(&mut self, script: &mut Script<'_>) {
        let Some(place) = chosen(script, self.past.len()) else { return };
        let id = self.past[self.past.len() - 1 - place];
        let answer = match script.byte() % 6 {
            0 => Answer::Written(self.raw_entry(script).revision),
            1 => Answer::Conflict,
            2 => Answer::Entry(None),
            3 => Answer::Entry(Some(self.raw_entry(script))),
            4 => Answer::Entries((0..script.byte() & 3).map(|_| self.raw_entry(script)).collect()),
            _ => Answer::Lost,
        };
        // It may be lost at any time, even if the store keeps its rules.
        self.is_raw |= answer != Answer::Lost;
        self.worker.handle_answer(id, &answer, self.now());
    }

    /// Drains the worker and advances it to now. It must become idle.
    fn settle(&mut self) {
        for round in 0.. {
            self.drain();
            if self.worker.poll_timeout().is_none_or(|due| due > self.mono) {
                break;
            }
            assert!(round < 200, "never idle: {:?}", self.worker.poll_timeout());
            self.worker.handle_timeout(self.now());
        }
        if !self.is_raw {
            for (account, token) in &self.running {
                let until = self.lease_of(account, *token);
                assert!(until.is_some_and(|until| self.mono < until), "{account} at {token}: {until:?}");
            }
        }
        let counts = self.worker.counts();
        assert!(counts.commands <= self.settings.max_commands && counts.operations <= 256, "{counts:?}");
    }

    fn drain(&mut self) {
        for _ in 0..2_000 {
            let Some(output) = self.worker.poll_output() else { return };
            match output {
                Output::Store(operation) => {
                    self.past.push(operation.id);
                    self.operations.push((operation, self.mono));
                    if self.operations.len() > 256 {
                        self.operations.remove(0);
                    }
                }
                Output::Start { account, owner } => {
                    self.check_owned(&account, owner, self.mono);
                    let before = self.running.insert(account.clone(), owner);
                    assert_eq!(before, None, "{account} is started twice");
                }
                Output::Stop { account, owner, .. } => {
                    assert_eq!(self.running.remove(&account), Some(owner), "{account} does not run");
                    self.stopped.push((account, owner));
                }
                Output::Command { account, owner, id, deadline, .. } => {
                    assert_eq!(self.running.get(&account), Some(&owner), "for the client that runs");
                    assert!(
                        deadline > self.mono && Some(deadline) <= self.worker.lease_until(),
                        "{deadline:?}"
                    );
                    self.check_owned(&account, owner, deadline);
                    let name = (account, id);
                    assert!(self.given.insert(name.clone()) || self.is_raw, "{name:?} is given twice");
                    self.open.push(name);
                }
                Output::Reply { to, reply } => self.check_reply(to, &reply),
                Output::Event(event) => assert!(!event.to_string().contains('\n'), "{event}"),
            }
        }
        panic!("output does not end");
    }

    /// End of the session of this worker that owns an account under a token, by what the store has.
    fn lease_of(&self, account: &AccountId, token: Revision) -> Option<Duration> {
        let claim = self.store.entries.get(&(Bucket::Claims, account.as_str().into()))?;
        let session = self.store.holder(account.as_str()).filter(|_| claim.revision == token)?;
        self.leases.get(&session).copied()
    }

    fn check_owned(&self, account: &AccountId, token: Revision, time: Duration) {
        let until = self.lease_of(account, token);
        assert!(
            self.is_raw || until.is_some_and(|until| self.mono < until && time <= until),
            "{account} at {token} until {time:?}, and the store says {until:?}"
        );
    }

    fn check_reply(&mut self, to: ReplyTo, reply: &Reply) {
        assert!(self.replied.insert(to.0), "{to:?} has two replies");
        let place = usize::try_from(to.0).expect("a small number");
        let request = self.requests.get(place).expect("a request");
        assert!(request.change.len() <= 4_096 || matches!(reply, Reply::Refused(_)), "{reply:?}");
        let Reply::Decided { decision, owner } = reply else { return };
        if self.is_raw {
            return;
        }
        let record = self.store.record(&format!("{}.{}", request.account, request.id)).expect("a record");
        let recorded = [&record["outcome"], &record["reason"]];
        assert_eq!(recorded, [decision.outcome.name(), decision.reason.as_str()], "{record}");
        assert_eq!(record["owner"], owner.number(), "{record}");
        assert_eq!(record["change"], request.change.as_str(), "another command: {record}");
        assert_eq!(record["device"], request.device.to_string(), "another command: {record}");
        let name = (request.account.clone(), request.id.clone());
        let reported = self.reported.get(&name);
        let is_right = match decision.outcome {
            VerdictKind::Unconfirmed => true,
            VerdictKind::Expired => reported == Some(&VerdictKind::Expired) || !self.given.contains(&name),
            outcome => reported == Some(&outcome),
        };
        assert!(is_right, "{decision} after {reported:?}");
    }

    fn finish(mut self) {
        // Without an answer of the store, and with clients that neither decide nor stop.
        let end = self.mono + Duration::from_secs(120);
        while let Some(due) = self.worker.poll_timeout()
            && due < end
        {
            self.mono = self.mono.max(due);
            self.worker.handle_timeout(self.now());
            self.settle();
        }
        let without = (0..self.requests.len() as u64).find(|to| !self.replied.contains(to));
        assert_eq!(without, None, "a request has no reply");

        self.worker.drain(self.now());
        self.settle();
        for _ in 0..200 {
            if self.worker.is_ended() || self.is_raw {
                break;
            }
            for (account, token) in core::mem::take(&mut self.stopped) {
                self.worker.handle_stopped(&account, token, self.now());
                self.settle();
            }
            for name in core::mem::take(&mut self.open) {
                self.report(&name, VerdictKind::Unconfirmed);
                self.settle();
            }
            self.exchange();
            if let Some(due) = self.worker.poll_timeout() {
                self.mono = self.mono.max(due);
                self.worker.handle_timeout(self.now());
                self.settle();
            }
        }
        assert!(self.worker.is_ended() || self.is_raw, "the drain does not end: {:?}", self.worker.counts());
        if self.worker.is_ended() {
            assert!(self.running.is_empty(), "{:?}", self.running);
            assert_eq!(self.worker.poll_timeout(), None);
        }
    }
}

fn session_key(name: &str, incarnation: u64) -> String {
    format!("{name}.{incarnation:016x}")
}

fn account(name: &str) -> AccountId {
    AccountId::new(name).expect("a name")
}

fn chosen(script: &mut Script<'_>, count: usize) -> Option<usize> {
    usize::from(script.byte()).checked_rem(count)
}

fn at(mono: Duration) -> Now {
    let millis = i64::try_from(mono.as_millis()).expect("a short time");
    Now { mono, wall: UnixTime::from_secs(WALL).plus_millis(millis) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: &[u8] = include_bytes!("../../../../fuzz/corpus/worker.ar");

    #[test]
    fn the_first_seed_starts_two_clients_and_decides_a_command() {
        let seed = crate::corpus::input_named(CORPUS, "seed-000");
        let mut script = Script::new(seed);
        let mut harness = Harness::new(script.byte());
        harness.settle();
        let mut most = 0;
        while !script.is_empty() {
            harness.step(&mut script);
            harness.settle();
            most = most.max(harness.running.len());
        }
        assert_eq!(most, 2);
        assert_eq!((harness.given.len(), harness.replied.len(), harness.requests.len()), (1, 4, 4));
        let record = harness.store.record("home-1.c1").expect("a record");
        assert_eq!(record["outcome"], "confirmed");
    }
}
