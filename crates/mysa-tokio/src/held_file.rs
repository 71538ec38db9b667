//! Token file of a test, whose writes wait for as long as the test wants.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use mysa_cognito::{RefreshToken, Secret, StoredSession};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::token_file::TokenFile;

pub(crate) const ACCOUNT: &str = "ann@example.org";

/// Token file that holds the session `"first"`, in a folder of its own. Its lock is held: a write waits until
/// [`HeldFile::release`], however slow the machine is.
pub(crate) struct HeldFile {
    pub(crate) file: TokenFile,
    folder: PathBuf,
    held: Option<(File, mpsc::Sender<()>)>,
    waiting: UnboundedReceiver<()>,
}

impl HeldFile {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("mysa-held-{}-{number}", std::process::id()));
        let (waits, waiting) = tokio::sync::mpsc::unbounded_channel();
        let (release, released) = mpsc::channel();
        let released = Mutex::new(released);
        let file = TokenFile::new(&folder, ACCOUNT).on_wait(move |_| {
            let _ = waits.send(());
            let _ = released.lock().unwrap_or_else(PoisonError::into_inner).recv();
        });
        file.replace(&session("first", 0)).expect("a writable folder");
        let lock = File::open(file.path().with_extension("lock")).expect("a lock file");
        lock.lock().expect("a free lock");
        Self { file, folder, held: Some((lock, release)), waiting }
    }

    /// Waits until a write waits for the lock.
    pub(crate) async fn is_awaited(&mut self) {
        self.waiting.recv().await.expect("a write");
    }

    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// Returns the token in the file.
    pub(crate) fn token(&self) -> Option<String> {
        let stored = self.file.load().expect("a readable file")?;
        stored.refresh_token.map(|token| token.expose().to_owned())
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        self.release();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn session(token: &str, generation: u64) -> StoredSession {
    let mut session = StoredSession::new(ACCOUNT, "client");
    session.refresh_token = Some(RefreshToken::new(Secret::from(token)));
    session.generation = generation;
    session
}
