//! Commands: the record that makes a command happen at most once, and its verdict.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{DeviceId, Now};
use mysa_session::VerdictKind;

use crate::ownership::{AccountIndex, Local};
use crate::store::{Action, Answer, Bucket, OperationId, Revision};
use crate::value::{CommandValue, command_key, command_of, decode_command, encode_command};
use crate::worker::{Purpose, Timer, Worker};
use crate::{AccountId, CommandId, Decision, Event, Output, RefusedRequest, Reply, ReplyTo, Request, Retry};

/// Name of a command among those of this worker.
pub(crate) type CommandKey = (AccountIndex, CommandId);

/// Undecided command.
#[derive(Debug)]
pub(crate) struct Command {
    device: DeviceId,
    change: String,
    /// End of the time in which it may be sent.
    deadline: Duration,
    /// Claim under which it was accepted.
    token: Revision,
    step: Step,
    operation: Option<OperationId>,
    /// Requests that wait for the verdict.
    waiting: Vec<ReplyTo>,
    /// Time at which they get an answer in any case.
    reply_by: Duration,
    timer: Option<Duration>,
}

#[derive(Debug)]
enum Step {
    /// Its record is being created.
    Create(CommandValue),
    /// A record with its name exists, or has changed, and is being read. With its verdict, if it has one.
    Read(Option<Decision>),
    /// A record that this worker created, without knowing it, is being written again: the read may be older than a verdict.
    Adopt { value: CommandValue, revision: Revision },
    /// The client has it.
    Sent { value: CommandValue, revision: Revision },
    /// Its verdict is being recorded.
    Record { value: CommandValue, revision: Revision },
}

/// Maximum length of a change, in bytes.
const MAX_CHANGE: usize = 4_096;
/// Maximum length of a recorded reason, in bytes.
const MAX_REASON: usize = 512;
/// Maximum number of requests that wait for one command.
const MAX_WAITING: usize = 16;
/// Maximum number of undecided commands of one account.
const MAX_PER_ACCOUNT: usize = 32;

impl Worker {
    /// Handles a request. Its answer is one [`Output::Reply`] with the number `to`.
    pub fn handle_request(&mut self, to: ReplyTo, request: &Request, now: Now) {
        self.advance(now);
        if let Err(reply) = self.accept(to, request) {
            self.output(Output::Reply { to, reply });
        }
        self.step();
    }

    /// Handles the verdict on a command. The first one counts.
    pub fn handle_verdict(&mut self, account: &AccountId, id: &CommandId, decision: &Decision, now: Now) {
        self.advance(now);
        if let Some(index) = self.accounts_by_id.get(account) {
            self.decide(&(*index, id.clone()), decision);
        }
        self.step();
    }

    fn accept(&mut self, to: ReplyTo, request: &Request) -> Result<(), Reply> {
        if request.change.len() > MAX_CHANGE {
            return Err(Reply::Refused(RefusedRequest::TooLong));
        }
        let now = self.mono();
        let not_owner = Reply::Retry(Retry::NotOwner);
        let index = *self.accounts_by_id.get(&request.account).ok_or(not_owner.clone())?;
        let key = (index, request.id.clone());
        let reply_by = self.after(self.settings.answer_limit.saturating_mul(4));
        if let Some(command) = self.commands.get_mut(&key) {
            if command.change != request.change || command.device != request.device {
                return Err(Reply::Refused(RefusedRequest::IdReused));
            }
            if command.waiting.len() >= MAX_WAITING {
                return Err(Reply::Retry(Retry::Busy));
            }
            command.waiting.push(to);
            // A verdict that could not be recorded in time for the first request may be for this one.
            command.reply_by = command.reply_by.max(reply_by);
            let again = command.timer;
            self.set_command_timer(&key, again);
            return Ok(());
        }
        let token = match self.account(index).map(|account| &account.local) {
            Some(Local::Running { token, .. }) => *token,
            Some(
                Local::Waiting { .. }
                | Local::Quiescing { .. }
                | Local::Stopping { owned: true, .. }
                | Local::Releasing { .. },
            ) => {
                return Err(Reply::Retry(Retry::Moving));
            }
            _ => return Err(not_owner),
        };
        if self.commands.len() >= self.settings.max_commands || self.count_commands(index) >= MAX_PER_ACCOUNT
        {
            return Err(Reply::Retry(Retry::Busy));
        }
        let left = request.expires_at.since(self.now.wall).unwrap_or_default();
        let limit = request.time_limit.min(self.settings.command_limit).min(left);
        let lease_end = self.lease.until().unwrap_or(now);
        let deadline = now.saturating_add(limit).min(lease_end);
        let mut value = CommandValue::new(request.device, &request.change, token, self.now.wall);
        if deadline <= now {
            // Recorded without being sent, unless the first request with its name has another verdict.
            value = value.decided(&Decision::new(VerdictKind::Expired, "its time was over when it arrived"));
        }
        let reply_by = deadline.saturating_add(self.settings.answer_limit.saturating_mul(4));
        let command = Command {
            device: request.device,
            change: request.change.clone(),
            deadline,
            token,
            step: Step::Create(value),
            operation: None,
            waiting: [to].into(),
            reply_by,
            timer: None,
        };
        self.commands.insert(key.clone(), command);
        self.write(&key);
        Ok(())
    }

    /// Sends the operation of the present step.
    fn write(&mut self, key: &CommandKey) {
        let Some(account) = self.account(key.0).map(|account| account.id.clone()) else { return };
        let Some(command) = self.commands.get(key) else { return };
        let action = match &command.step {
            Step::Create(value) => Action::Create { value: encode_command(value) },
            Step::Read(_) => Action::Read,
            // Nothing to write; a repeat may still wait for a reply.
            Step::Sent { .. } => return self.set_command_timer(key, None),
            Step::Adopt { value, revision } | Step::Record { value, revision } => {
                Action::Update { value: encode_command(value), revision: *revision }
            }
        };
        let purpose = Purpose::Command(key.clone());
        let id = self.operate(Bucket::Verdicts, command_key(&account, &key.1), action, purpose);
        if let Some(command) = self.commands.get_mut(key) {
            command.operation = Some(id);
        }
        self.set_command_timer(key, None);
    }

    /// Sets the timer of a command: the end of the time for its reply, or the next attempt.
    fn set_command_timer(&mut self, key: &CommandKey, again: Option<Duration>) {
        let Some(command) = self.commands.get_mut(key) else { return };
        let reply_by = (!command.waiting.is_empty()).then_some(command.reply_by);
        let at = again.into_iter().chain(reply_by).min();
        let before = core::mem::replace(&mut command.timer, at);
        match at {
            Some(at) => self.set_timer(before, at, Timer::Command(key.clone())),
            None => self.clear_timer(before, Timer::Command(key.clone())),
        }
    }

    pub(crate) fn command_due(&mut self, key: &CommandKey) {
        let now = self.mono();
        let Some(command) = self.commands.get_mut(key) else { return };
        command.timer = None;
        if command.reply_by <= now {
            // The verdict may be recorded or not; a repeat of the request tells.
            self.reply_all(key, &Reply::Retry(Retry::StoreSilent));
        }
        let Some(command) = self.commands.get(key) else { return };
        let is_current =
            self.account(key.0).is_some_and(|account| account.local.token() == Some(command.token));
        let may_forget = match command.step {
            // It was not given to the client, and a repeat finds out whether there is a record.
            Step::Create(_) | Step::Read(None) | Step::Adopt { .. } => {
                command.deadline <= now && command.waiting.is_empty()
            }
            // Never while the claim is valid: a repeat would take the record for one that was not sent.
            Step::Sent { .. } => false,
            Step::Record { .. } | Step::Read(Some(_)) => command.reply_by <= now && !is_current,
        };
        if may_forget {
            return self.forget_command(key);
        }
        if command.operation.is_none() {
            self.write(key);
        } else {
            self.set_command_timer(key, None);
        }
    }

    pub(crate) fn command_answered(&mut self, key: &CommandKey, id: OperationId, answer: &Answer) {
        let Some(command) = self.commands.get_mut(key) else { return };
        if command.operation != Some(id) {
            return;
        }
        command.operation = None;
        match (&command.step, answer) {
            (Step::Create(value) | Step::Adopt { value, .. }, Answer::Written(revision)) => {
                let (value, revision) = (value.clone(), *revision);
                self.recorded(key, value, revision);
            }
            (Step::Record { value, .. }, Answer::Written(_)) => {
                let value = value.clone();
                self.finish(key, &value);
            }
            (Step::Create(_) | Step::Adopt { .. }, Answer::Conflict) => {
                command.step = Step::Read(None);
                self.write(key);
            }
            (Step::Record { value, .. }, Answer::Conflict) => {
                command.step = Step::Read(value.decision());
                self.write(key);
            }
            (Step::Read(_), Answer::Entry(Some(entry))) => {
                let value = entry.value.as_deref().map(decode_command);
                let revision = entry.revision;
                match value {
                    Some(Some(value)) => self.found(key, value, revision),
                    Some(None) => {
                        self.event(Event::Unreadable { key: entry.key.clone() });
                        self.refuse(key, RefusedRequest::IdReused);
                    }
                    None => self.create_again(key),
                }
            }
            (Step::Read(_), Answer::Entry(None)) => self.create_again(key),
            _ => {
                let again = self.after(self.settings.answer_limit / 4);
                self.set_command_timer(key, Some(again));
            }
        }
    }

    /// Creates a record that was not found when it was read: it expired, or the read was old.
    fn create_again(&mut self, key: &CommandKey) {
        let wall = self.now.wall;
        let again = self.after(self.settings.answer_limit / 4);
        let Some(command) = self.commands.get_mut(key) else { return };
        let value = CommandValue::new(command.device, &command.change, command.token, wall);
        let value = match &command.step {
            Step::Read(Some(decision)) => value.decided(decision),
            _ => value,
        };
        command.step = Step::Create(value);
        self.set_command_timer(key, Some(again));
    }

    /// Handles a record that exists: the own one, or one of an earlier request or owner.
    fn found(&mut self, key: &CommandKey, value: CommandValue, revision: Revision) {
        let Some(command) = self.commands.get(key) else { return };
        let token = command.token;
        let decided = if let Step::Read(decision) = &command.step { decision.clone() } else { None };
        if !value.is_for(command.device, &command.change) {
            self.refuse(key, RefusedRequest::IdReused);
        } else if value.decision().is_some() {
            self.finish(key, &value);
        } else if let Some(decision) = decided {
            // The read is old, or somebody else wrote to it.
            self.record(key, value.decided(&decision), revision);
        } else if value.owner() == token {
            if let Some(command) = self.commands.get_mut(key) {
                command.step = Step::Adopt { value, revision };
            }
            self.write(key);
        } else if value.owner() < token {
            // Its owner is gone, and cannot send it any more.
            let decision = owner_lost();
            self.record(key, value.decided(&decision), revision);
        } else {
            self.reply_all(key, &Reply::Retry(Retry::NotOwner));
            self.forget_command(key);
        }
    }

    /// Gives a recorded command to the client, if it may still be sent.
    fn recorded(&mut self, key: &CommandKey, value: CommandValue, revision: Revision) {
        let now = self.mono();
        let lease_end = self.lease.until().unwrap_or(now);
        let Some(command) = self.commands.get_mut(key) else { return };
        if value.decision().is_some() {
            return self.finish(key, &value);
        }
        let deadline = command.deadline.min(lease_end);
        let (device, change, token) = (command.device, command.change.clone(), command.token);
        let Some(account) = self.account(key.0) else { return };
        let runs = matches!(account.local, Local::Running { token: running, .. }
            | Local::Quiescing { token: running, .. } if running == token);
        if !runs || deadline <= now {
            let reason = if runs {
                "it could not be recorded in time"
            } else {
                "the account moved before it was sent"
            };
            let decision = Decision::new(VerdictKind::Expired, reason);
            return self.record(key, value.decided(&decision), revision);
        }
        let account = account.id.clone();
        if let Some(command) = self.commands.get_mut(key) {
            command.step = Step::Sent { value, revision };
        }
        self.set_command_timer(key, None);
        let id = key.1.clone();
        self.output(Output::Command { account, owner: token, id, device, change, deadline });
    }

    fn decide(&mut self, key: &CommandKey, decision: &Decision) {
        let Some(command) = self.commands.get(key) else { return };
        let Step::Sent { value, revision } = &command.step else { return };
        let mut reason = decision.reason.clone();
        let end = (0..=MAX_REASON).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        reason.truncate(end);
        let decided = value.clone().decided(&Decision { reason, ..decision.clone() });
        let revision = *revision;
        self.record(key, decided, revision);
    }

    fn record(&mut self, key: &CommandKey, value: CommandValue, revision: Revision) {
        let reply_by = self.after(self.settings.answer_limit.saturating_mul(4));
        let Some(command) = self.commands.get_mut(key) else { return };
        command.step = Step::Record { value, revision };
        command.reply_by = command.reply_by.max(reply_by);
        self.write(key);
    }

    /// Answers all requests with the recorded verdict.
    fn finish(&mut self, key: &CommandKey, value: &CommandValue) {
        if let Some(decision) = value.decision() {
            self.reply_all(key, &Reply::Decided { decision, owner: value.owner() });
        }
        self.forget_command(key);
    }

    fn refuse(&mut self, key: &CommandKey, reason: RefusedRequest) {
        self.reply_all(key, &Reply::Refused(reason));
        self.forget_command(key);
    }

    fn reply_all(&mut self, key: &CommandKey, reply: &Reply) {
        let Some(command) = self.commands.get_mut(key) else { return };
        for to in core::mem::take(&mut command.waiting) {
            self.output(Output::Reply { to, reply: reply.clone() });
        }
    }

    fn forget_command(&mut self, key: &CommandKey) {
        let Some(command) = self.commands.remove(key) else { return };
        self.clear_timer(command.timer, Timer::Command(key.clone()));
        self.stop_if_quiet(key.0);
    }

    pub(crate) fn has_commands(&self, index: AccountIndex) -> bool {
        self.count_commands(index) > 0
    }

    fn commands_of(&self, index: AccountIndex) -> impl Iterator<Item = &CommandKey> {
        let first = CommandId::first();
        self.commands.range((index, first)..).map(|(key, _)| key).take_while(move |key| key.0 == index)
    }

    fn count_commands(&self, index: AccountIndex) -> usize {
        self.commands_of(index).count()
    }

    /// Ends the commands that the client of an account had, because it is gone.
    pub(crate) fn client_ended(&mut self, index: AccountIndex, token: Revision) {
        let keys: Vec<CommandKey> = self.commands_of(index).cloned().collect();
        for key in keys {
            if self.commands.get(&key).is_some_and(|command| command.token == token) {
                self.decide(
                    &key,
                    &Decision::new(VerdictKind::Unconfirmed, "the client ended without a verdict"),
                );
            }
        }
    }

    /// Reads the commands that earlier owners of an account left undecided.
    pub(crate) fn list_due(&mut self, index: AccountIndex) {
        let Some(account) = self.account(index) else { return };
        let Some(token) = account.local.token() else { return };
        let key = account.id.as_str().into();
        self.operate(Bucket::Verdicts, key, Action::List, Purpose::List(index, token));
    }

    /// Closes the commands that earlier owners left undecided. They are never sent.
    pub(crate) fn listed(&mut self, index: AccountIndex, token: Revision, answer: &Answer) {
        let Some(account) = self.account(index) else { return };
        if account.local.token() != Some(token) {
            return;
        }
        let Answer::Entries(entries) = answer else {
            let again = self.after(self.settings.answer_limit);
            return self.set_timer(None, again, Timer::List(index));
        };
        let prefix = format!("{}.", account.id);
        for entry in entries {
            let Some(id) = command_of(&entry.key).filter(|_| entry.key.starts_with(&prefix)) else {
                continue;
            };
            let Some(value) = entry.value.as_deref().and_then(decode_command) else { continue };
            let key = (index, id);
            if value.decision().is_some() || value.owner() >= token || self.commands.contains_key(&key) {
                continue;
            }
            let Some((device, change)) = value.command() else { continue };
            if self.commands.len() >= self.settings.max_commands {
                // A repeat of the request closes it.
                return;
            }
            let now = self.mono();
            let command = Command {
                device,
                change,
                deadline: now,
                token,
                step: Step::Read(None),
                operation: None,
                waiting: Vec::new(),
                reply_by: now,
                timer: None,
            };
            self.commands.insert(key.clone(), command);
            self.record(&key, value.decided(&owner_lost()), entry.revision);
        }
    }
}

fn owner_lost() -> Decision {
    Decision::new(VerdictKind::Unconfirmed, "owner lost")
}
