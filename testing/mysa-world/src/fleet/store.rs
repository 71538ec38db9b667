//! Store with conditional writes, as the workers of a fleet see it.

use std::collections::BTreeMap;
use std::rc::Rc;

use mysa_fleet::{Action, Answer, Bucket, Entry, Operation, Revision};

/// Key-value store that keeps its content and revisions over a restart.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeMap<(Bucket, String), Rc<Entry>>,
    /// State of each key before its newest write, for reads from a replica that lags.
    older: BTreeMap<(Bucket, String), Rc<Entry>>,
    revision: u64,
    pub(super) is_down: bool,
}

impl Store {
    /// Carries out an operation. Returns the answer and, for a write, what the watches show.
    pub(super) fn apply(&mut self, operation: &Operation, stale: bool) -> (Answer, Option<Rc<Entry>>) {
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
                return (Answer::Entry(older.or(present).map(|entry| (**entry).clone())), None);
            }
            Action::List => {
                let first = (operation.bucket, format!("{}.", operation.key));
                let listed = self
                    .entries
                    .range(first.clone()..)
                    .take_while(|((bucket, key), _)| *bucket == first.0 && key.starts_with(&first.1));
                return (
                    Answer::Entries(listed.take(1_000).map(|(_, entry)| (**entry).clone()).collect()),
                    None,
                );
            }
        };
        let entry = self.write(operation.bucket, &operation.key, value);
        (Answer::Written(entry.revision), Some(entry))
    }

    /// Writes a key without a condition.
    pub(super) fn write(&mut self, bucket: Bucket, key: &str, value: Option<String>) -> Rc<Entry> {
        self.revision += 1;
        let entry = Rc::new(Entry { key: key.into(), revision: Revision::new(self.revision), value });
        if let Some(older) = self.entries.insert((bucket, key.into()), Rc::clone(&entry)) {
            self.older.insert((bucket, key.into()), older);
        }
        entry
    }

    /// All entries of a bucket, with the markers of deleted keys.
    pub(super) fn bucket(&self, bucket: Bucket) -> Vec<Rc<Entry>> {
        let first = (bucket, String::new());
        self.entries
            .range(first..)
            .take_while(|((other, _), _)| *other == bucket)
            .map(|(_, entry)| Rc::clone(entry))
            .collect()
    }
}
