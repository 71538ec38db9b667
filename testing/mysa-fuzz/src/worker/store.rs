use core::time::Duration;
use std::collections::BTreeMap;

use mysa_fleet::{Action, Answer, Bucket, Entry, Operation, Revision};
use serde_json::Value;

/// Store that keeps its rules.
#[derive(Default)]
pub(super) struct Store {
    pub(super) entries: BTreeMap<(Bucket, String), Entry>,
    /// State of each key before its newest write, for reads that are late.
    older: BTreeMap<(Bucket, String), Entry>,
    pub(super) written_at: BTreeMap<(Bucket, String), Duration>,
    pub(super) revision: u64,
}

impl Store {
    pub(super) fn write(&mut self, bucket: Bucket, key: &str, value: Option<String>, now: Duration) -> Entry {
        self.revision += 1;
        let entry = Entry { key: key.into(), revision: Revision::new(self.revision), value };
        let key = (bucket, key.to_owned());
        if let Some(older) = self.entries.insert(key.clone(), entry.clone()) {
            self.older.insert(key.clone(), older);
        }
        self.written_at.insert(key, now);
        entry
    }

    pub(super) fn apply(
        &mut self,
        operation: &Operation,
        stale: bool,
        now: Duration,
    ) -> (Answer, Option<Entry>) {
        let key = (operation.bucket, operation.key.clone());
        let present = self.entries.get(&key);
        let revision = present.filter(|entry| entry.value.is_some()).map(|entry| entry.revision);
        let value = match &operation.action {
            Action::Create { value } if revision.is_none() => Some(value.clone()),
            Action::Update { value, revision: expected } if revision == Some(*expected) => {
                Some(value.clone())
            }
            Action::Delete { revision: expected } if revision == Some(*expected) => None,
            Action::Forget { revision: expected }
                if revision.is_none() && present.is_some_and(|entry| entry.revision == *expected) =>
            {
                self.entries.remove(&key);
                return (Answer::Written(*expected), None);
            }
            Action::Create { .. } | Action::Update { .. } | Action::Delete { .. } | Action::Forget { .. } => {
                return (Answer::Conflict, None);
            }
            Action::Read => {
                let older = self.older.get(&key).filter(|_| stale);
                return (Answer::Entry(older.or(present).cloned()), None);
            }
            Action::List => {
                let prefix = format!("{}.", operation.key);
                let is_listed = |(bucket, key): &(Bucket, String)| {
                    *bucket == operation.bucket && key.starts_with(&prefix)
                };
                let listed = self.entries.iter().filter(|(key, _)| is_listed(key));
                return (Answer::Entries(listed.map(|(_, entry)| entry.clone()).collect()), None);
            }
        };
        let entry = self.write(operation.bucket, &operation.key, value, now);
        (Answer::Written(entry.revision), Some(entry))
    }

    /// `true` if a key exists or existed.
    pub(super) fn has(&self, bucket: Bucket, key: &str) -> bool {
        self.entries.contains_key(&(bucket, key.into()))
    }

    pub(super) fn value(&self, bucket: Bucket, key: &str) -> Option<&str> {
        self.entries.get(&(bucket, key.into()))?.value.as_deref()
    }

    /// Key of the session that a claim names.
    pub(super) fn holder(&self, account: &str) -> Option<String> {
        let claim: Value = serde_json::from_str(self.value(Bucket::Claims, account)?).ok()?;
        Some(format!("{}.{}", claim["worker"].as_str()?, claim["incarnation"].as_str()?))
    }

    pub(super) fn record(&self, key: &str) -> Option<Value> {
        serde_json::from_str(self.value(Bucket::Verdicts, key)?).ok()
    }
}
