use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mysa_cognito::StoredSession;
use tokio::task::JoinHandle;

use crate::token_file::{Saved, TokenFile, TokenFileError};

/// Token file of a driver. An operation waits for the disk and for other processes, so it has a blocking thread. There is one
/// thread at a time; further operations wait.
pub(crate) struct Store {
    file: TokenFile,
    running: Option<JoinHandle<Ended>>,
    /// Write that waits. A later one replaces it, because it would replace its result. The thread that runs carries it out,
    /// even if the driver has ended.
    waiting: Arc<Mutex<Option<Write>>>,
    /// `true` until every write has ended.
    is_writing: bool,
    /// `true` if a read waits. It comes after the write.
    load: bool,
}

enum Write {
    Save(Box<StoredSession>),
    Remove,
}

/// Outcomes of the operations of a thread.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Outcome of the read, which came first.
    pub(crate) loaded: Option<Result<Option<StoredSession>, TokenFileError>>,
    /// Outcome of the last write, unless another write waits.
    pub(crate) written: Option<Written>,
}

#[derive(Debug)]
pub(crate) enum Written {
    Saved(Result<Saved, TokenFileError>),
    Removed(Result<(), TokenFileError>),
}

impl Store {
    pub(crate) fn new(file: TokenFile) -> Self {
        Self { file, running: None, waiting: Arc::default(), is_writing: false, load: false }
    }

    pub(crate) fn save(&mut self, stored: StoredSession) {
        self.write(Write::Save(Box::new(stored)));
    }

    pub(crate) fn remove(&mut self) {
        self.write(Write::Remove);
    }

    fn write(&mut self, write: Write) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(write);
        self.is_writing = true;
        self.start();
    }

    pub(crate) fn load(&mut self) {
        self.load = true;
        self.start();
    }

    /// Returns `true` until every write has ended.
    pub(crate) const fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// Error: the operation that runs has not ended in time.
    pub(crate) fn unfinished(&self) -> TokenFileError {
        TokenFileError::Unfinished { path: self.file.path().to_owned() }
    }

    /// Waits for the end of the thread that runs, and starts the next one. Never ends without an operation. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Ended {
        let Some(thread) = &mut self.running else { return pending().await };
        let ended = thread.await;
        self.running = None;
        let mut ended = ended.unwrap_or_else(|error| {
            // A panic has been printed on stderr. The runtime cancels a thread that it has not started.
            let error =
                TokenFileError::Io { path: self.file.path().to_owned(), error: io::Error::other(error) };
            Ended { written: Some(Written::Saved(Err(error))), ..Ended::default() }
        });
        self.is_writing = is_some(&self.waiting);
        if self.is_writing {
            ended.written = None;
        }
        if self.load {
            ended.loaded = None;
        }
        self.start();
        ended
    }

    /// Starts the thread, unless it runs or nothing waits.
    fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let writes = is_some(&self.waiting);
        let loads = !writes && std::mem::take(&mut self.load);
        if !writes && !loads {
            return;
        }
        let (file, waiting) = (self.file.clone(), Arc::clone(&self.waiting));
        self.running = Some(tokio::task::spawn_blocking(move || {
            let loaded = loads.then(|| file.load());
            let mut written = None;
            while let Some(write) = take(&waiting) {
                written = Some(match write {
                    Write::Save(stored) => Written::Saved(file.save(&stored)),
                    Write::Remove => Written::Removed(file.remove()),
                });
            }
            Ended { loaded, written }
        }));
    }
}

fn is_some(waiting: &Mutex<Option<Write>>) -> bool {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Takes the write that waits. A function of its own, so that the lock is not held during the write.
fn take(waiting: &Mutex<Option<Write>>) -> Option<Write> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held_file::{HeldFile, session};

    /// Outcomes of the operations, in order: their kind, and the token that was read.
    async fn outcomes(store: &mut Store) -> Vec<(&'static str, Option<String>)> {
        let mut outcomes = Vec::new();
        while store.running.is_some() {
            let Ended { loaded, written } = store.ended().await;
            if let Some(loaded) = loaded {
                let token = loaded.expect("a readable file").and_then(|stored| stored.refresh_token);
                outcomes.push(("loaded", token.map(|token| token.expose().to_owned())));
            }
            match written {
                Some(Written::Saved(saved)) => {
                    assert!(matches!(saved, Ok(Saved::Written)), "{saved:?}");
                    outcomes.push(("saved", None));
                }
                Some(Written::Removed(removed)) => {
                    removed.expect("a removable file");
                    outcomes.push(("removed", None));
                }
                None => {}
            }
        }
        outcomes
    }

    #[tokio::test]
    async fn the_last_write_counts_and_a_read_comes_after_it() {
        let mut held = HeldFile::new();
        let mut store = Store::new(held.file.clone());
        for number in 1..=3 {
            store.load();
            store.save(session(&format!("token {number}"), number));
        }
        assert!(store.is_writing());
        held.release();
        let third = Some("token 3".to_owned());
        assert_eq!(outcomes(&mut store).await, [("saved", None), ("loaded", third)]);
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
        assert_eq!(outcomes(&mut store).await, [("removed", None)]);
        assert_eq!(held.token(), None);
    }

    /// The driver has given up a disk that hangs, which then recovers.
    #[test]
    fn a_write_that_waits_is_carried_out_after_the_end_of_the_driver() {
        for removes in [false, true] {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let mut held = HeldFile::new();
            runtime.block_on(async {
                let mut store = Store::new(held.file.clone());
                store.save(session("second", 1));
                held.is_awaited().await;
                if removes {
                    store.remove();
                } else {
                    store.save(session("third", 2));
                }
            });
            held.release();
            // Waits for the thread.
            drop(runtime);
            assert_eq!(held.token().as_deref(), if removes { None } else { Some("third") });
        }
    }
}
