use std::future::pending;
use std::io;

use mysa_cognito::StoredSession;
use tokio::task::{JoinError, JoinHandle};

use crate::token_file::{Saved, TokenFile, TokenFileError};

/// Token file of a driver. An operation waits for the disk and for other processes, so it has a blocking thread. There is one
/// operation at a time; the others wait.
pub(crate) struct Store {
    file: TokenFile,
    running: Option<Running>,
    /// Write that waits. A later one replaces it, because it would replace its result.
    write: Option<Write>,
    /// `true` if a read waits. It comes after the write.
    load: bool,
}

enum Write {
    Save(Box<StoredSession>),
    Remove,
}

enum Running {
    Save(JoinHandle<Result<Saved, TokenFileError>>),
    Remove(JoinHandle<Result<(), TokenFileError>>),
    Load(JoinHandle<Result<Option<StoredSession>, TokenFileError>>),
}

/// End of an operation.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    /// `true` if an operation that waited repeats this one, so that only its outcome counts.
    pub(crate) superseded: bool,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Saved(Result<Saved, TokenFileError>),
    Removed(Result<(), TokenFileError>),
    Loaded(Result<Option<StoredSession>, TokenFileError>),
}

impl Store {
    pub(crate) const fn new(file: TokenFile) -> Self {
        Self { file, running: None, write: None, load: false }
    }

    pub(crate) fn save(&mut self, stored: StoredSession) {
        self.write = Some(Write::Save(Box::new(stored)));
        self.start();
    }

    pub(crate) fn remove(&mut self) {
        self.write = Some(Write::Remove);
        self.start();
    }

    pub(crate) fn load(&mut self) {
        self.load = true;
        self.start();
    }

    /// Returns `true` until every operation has ended.
    pub(crate) const fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Returns `true` until every write has ended.
    pub(crate) const fn is_writing(&self) -> bool {
        self.write.is_some() || matches!(self.running, Some(Running::Save(_) | Running::Remove(_)))
    }

    /// Error: the operation that runs has not ended in time.
    pub(crate) fn unfinished(&self) -> TokenFileError {
        TokenFileError::Unfinished { path: self.file.path().to_owned() }
    }

    /// Waits for the end of the operation that runs, and starts the next one. Never ends without an operation. Cancel-safe.
    pub(crate) async fn finished(&mut self) -> Finished {
        let outcome = match &mut self.running {
            Some(Running::Save(task)) => {
                Outcome::Saved(task.await.unwrap_or_else(|error| failed(&self.file, error)))
            }
            Some(Running::Remove(task)) => {
                Outcome::Removed(task.await.unwrap_or_else(|error| failed(&self.file, error)))
            }
            Some(Running::Load(task)) => {
                Outcome::Loaded(task.await.unwrap_or_else(|error| failed(&self.file, error)))
            }
            None => pending().await,
        };
        self.running = None;
        let superseded = match outcome {
            Outcome::Saved(_) | Outcome::Removed(_) => self.write.is_some(),
            Outcome::Loaded(_) => self.load,
        };
        self.start();
        Finished { outcome, superseded }
    }

    /// Starts the next operation, unless one runs.
    fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let file = self.file.clone();
        self.running = match self.write.take() {
            Some(Write::Save(stored)) => {
                Some(Running::Save(tokio::task::spawn_blocking(move || file.save(&stored))))
            }
            Some(Write::Remove) => Some(Running::Remove(tokio::task::spawn_blocking(move || file.remove()))),
            None => std::mem::take(&mut self.load)
                .then(|| Running::Load(tokio::task::spawn_blocking(move || file.load()))),
        };
    }
}

/// Result of an operation that panicked. It has printed its panic on stderr.
fn failed<T>(file: &TokenFile, error: JoinError) -> Result<T, TokenFileError> {
    Err(TokenFileError::Io { path: file.path().to_owned(), error: io::Error::other(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held_file::{HeldFile, session};

    /// Ends of the operations, in order: their kind, the token that was read, and whether the outcome is superseded.
    async fn ends(store: &mut Store) -> Vec<(&'static str, Option<String>, bool)> {
        let mut ends = Vec::new();
        while store.is_busy() {
            let Finished { outcome, superseded } = store.finished().await;
            let (kind, token) = match outcome {
                Outcome::Saved(saved) => {
                    assert!(matches!(saved, Ok(Saved::Written)), "{saved:?}");
                    ("saved", None)
                }
                Outcome::Removed(removed) => {
                    removed.expect("a removable file");
                    ("removed", None)
                }
                Outcome::Loaded(loaded) => {
                    let token = loaded.expect("a readable file").and_then(|stored| stored.refresh_token);
                    ("loaded", token.map(|token| token.expose().to_owned()))
                }
            };
            ends.push((kind, token, superseded));
        }
        ends
    }

    #[tokio::test]
    async fn the_last_write_counts_and_a_read_comes_after_it() {
        let mut held = HeldFile::new();
        let mut store = Store::new(held.file.clone());
        for number in 1..=3 {
            store.load();
            store.save(session(&format!("token {number}"), number));
        }
        assert!(store.is_busy() && store.is_writing());
        held.release();
        let third = Some("token 3".to_owned());
        let first = Some("first".to_owned());
        assert_eq!(
            ends(&mut store).await,
            [("loaded", first, true), ("saved", None, false), ("loaded", third, false)]
        );
        assert!(!store.is_writing());
    }

    #[tokio::test]
    async fn a_removal_waits_for_the_write_that_runs() {
        let mut held = HeldFile::new();
        let mut store = Store::new(held.file.clone());
        store.save(session("second", 1));
        held.is_awaited().await;
        store.save(session("third", 2));
        store.remove();
        assert_eq!(held.token().as_deref(), Some("first"));
        held.release();
        assert_eq!(ends(&mut store).await, [("saved", None, true), ("removed", None, false)]);
        assert_eq!(held.token(), None);
    }
}
