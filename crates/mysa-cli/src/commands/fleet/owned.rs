//! Accounts that the core of a worker starts and stops.

use std::sync::{Arc, Weak};

use mysa_fleet::Decision;
use mysa_tokio::{StoredSession, VerdictKind};

use super::account::{Account, Stop};
use super::ask::{self, Set};
use super::fleet::{Bounds, Fleet};
use super::remote;
use super::worker::Offered;
use crate::output::record::{Record, Value};
use crate::support::exit::Failure;

impl Fleet {
    /// Starts the client of an account that this worker owns by this token.
    pub(super) fn start_owned(&self, name: &str, offered: &Offered, owner: u64) {
        let account = Account::new(offered.settings.clone(), offered.sessions.clone(), Some(owner));
        let mut members = self.members();
        if let Some(before) = members.accounts.insert(name.to_owned(), Arc::new(account)) {
            before.stop(Stop::InOrder);
            members.leaving.push(Arc::downgrade(&before));
        }
        self.run_new(&mut members);
    }

    /// `true` if the client of an account uses a session that this one at NATS replaces.
    pub(super) fn is_replaced(&self, name: &str, session: &StoredSession) -> bool {
        let account = self.members().accounts.get(name).cloned();
        let used = account.and_then(|account| account.client()).and_then(|client| client.stored_session());
        // What the client itself has written is not newer than what it has.
        used.is_some_and(|used| {
            let is_other = session.refresh_token != used.refresh_token;
            is_other && session.refresh_token.is_some() && session.may_replace(&used)
        })
    }

    /// Starts the client of an account again, with other settings, if it runs here.
    pub(super) fn restart_owned(&self, name: &str, offered: &Offered) {
        let owner = self.members().accounts.get(name).and_then(|account| account.owner);
        if let Some(owner) = owner {
            self.start_owned(name, offered, owner);
        }
    }

    /// Stops the client of an account, and waits until it is closed.
    pub(super) async fn stop_owned(&self, name: &str, owner: u64, how: Stop) {
        let task = {
            let mut members = self.members();
            let is_it = members.accounts.get(name).is_some_and(|account| account.owner == Some(owner));
            let Some(account) = is_it.then(|| members.accounts.remove(name)).flatten() else { return };
            account.stop(how);
            // The task keeps the account until the client is closed.
            members.leaving.push(Arc::downgrade(&account));
            members.tasks.remove(&account.settings.email.to_lowercase())
        };
        if let Some(task) = task {
            let _ = task.await;
        }
    }

    /// Ends the clients of all accounts at once, also of those that are being closed in order.
    pub(super) fn abort_owned(&self) {
        let mut members = self.members();
        members.leaving.retain(|account| account.strong_count() > 0);
        let leaving = members.leaving.iter().filter_map(Weak::upgrade);
        for account in leaving.chain(members.accounts.values().cloned()) {
            account.stop(Stop::AtOnce);
        }
    }

    /// Carries out a command that is recorded, and returns its verdict for the record.
    pub(super) async fn carry_out(&self, set: &Set, bounds: &Bounds) -> Decision {
        let decided = self.decide(set, Some(bounds)).await;
        let outcome = match decided.outcome {
            Some(outcome) => outcome,
            // It failed before anything was sent.
            None if !decided.may_be_sent => VerdictKind::Expired,
            None => VerdictKind::Unconfirmed,
        };
        let answer = self.report(set, decided, Some(bounds.owner));
        let member =
            |name: &str| answer.fields().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let message = match member("message") {
            Some(Value::Text(message)) => message,
            _ => String::new(),
        };
        let code = match member("exit_code") {
            Some(Value::Int(code)) => u8::try_from(code).unwrap_or(0),
            _ => 0,
        };
        Decision::new(outcome, message).with_code(code)
    }

    /// Hands a request to the worker that owns its account.
    pub(super) async fn forward(&self, mut set: Set) -> Record {
        let Some(access) = &self.shared().worker else { return Record::new() };
        if set.request.is_none() {
            set.request = Some(remote::random_id());
        }
        let id = set.request.clone();
        let answered = async {
            let wait = super::fleet::time_limit(&set)?;
            let answer = remote::request(&access.nats, &set, wait).await?;
            let answer: serde_json::Value = serde_json::from_str(&answer)
                .map_err(|error| Failure::usage(format!("the worker gave no valid answer: {error}")))?;
            Ok::<_, Failure>(record_of(&answer))
        };
        answered.await.unwrap_or_else(|failure| ask::failed(id.as_deref(), &failure))
    }
}

fn record_of(object: &serde_json::Value) -> Record {
    let mut record = Record::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        record.put(name, value_of(value));
    }
    record
}

fn value_of(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;

    match json {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| number.as_f64().map_or(Value::Null, Value::Number), Value::Int)
        }
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(list) => Value::List(list.iter().map(value_of).collect()),
        Json::Object(_) => Value::Record(record_of(json)),
    }
}
