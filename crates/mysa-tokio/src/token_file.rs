use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysa_cognito::{StoredError, StoredSession};

/// File with the stored session of one account, readable by its owner only.
///
/// A write uses a temporary file, `fsync` and a rename, so a crash at any moment leaves either the old or the new
/// content. Writers hold a lock file and compare generations before they write, so of two processes of one account
/// neither overwrites a newer session with an older one. Reading takes no lock and changes nothing, so it works on a
/// read-only file system. The file is named after the account, and its content names the account too.
///
/// A write blocks its thread: it waits for the disk, and up to three seconds for a process that holds the lock. A
/// [`Client`](crate::Client) uses the file on a blocking thread of the runtime, one operation at a time, and goes on meanwhile,
/// also if the disk hangs.
///
/// ```
/// use mysa_tokio::TokenFile;
///
/// let file = TokenFile::new("/var/lib/mysa", "ann@example.org");
/// assert_eq!(file.path().file_name().and_then(|name| name.to_str()), Some("ann@example.org.json"));
/// ```
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
    account: String,
    waits: Option<WaitNotice>,
}

/// Called when a write waits for the lock.
#[derive(Clone)]
struct WaitNotice(Arc<dyn Fn(&Path) + Send + Sync>);

impl fmt::Debug for WaitNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitNotice(..)")
    }
}

/// Outcome of [`TokenFile::save`].
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there are only these two outcomes")]
pub enum Saved {
    /// The session was written.
    Written,
    /// The file still holds this session, which the other one [may not replace](StoredSession::may_replace).
    NewerKept(Box<StoredSession>),
}

/// Reason why a token file could not be used. The file is left unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// Users other than the owner can read the file, so its content may no longer be secret.
    #[error(
        "{} can be read by others (mode {mode:03o}); sign out and in again if it was exposed, or run: chmod 600 {}",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Permission bits of the file.
        mode: u32,
    },
    /// Users other than the owner can write to the folder, and so replace the file.
    #[error(
        "others can write to {} (mode {mode:03o}) and replace the session; run: chmod 700 {}",
        path.display(), path.display()
    )]
    ExposedFolder {
        /// The folder.
        path: PathBuf,
        /// Permission bits of the folder.
        mode: u32,
    },
    /// The folder belongs to another user, who can replace the file.
    #[error(
        "{} belongs to another user (uid {owner}), who can replace the session; choose another folder",
        path.display()
    )]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
    },
    /// The file does not hold a session.
    #[error("{} is damaged: it does not hold a session; sign in again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of this program.
    #[error(
        "{} has version {version}, which a later version of this program wrote; update this one",
        path.display()
    )]
    LaterVersion {
        /// The file.
        path: PathBuf,
        /// Version that the file states.
        version: u32,
    },
    /// The file holds the session of another account.
    #[error("{} holds the session of another account; move it away", path.display())]
    OtherAccount {
        /// The file.
        path: PathBuf,
    },
    /// Another process has held the lock for longer than any write takes.
    #[error("another process keeps {} locked; end it and try again", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The client has ended before the file was written or removed, because the disk did not respond.
    #[error("the disk with {} does not respond; the last change of the session may not be stored", path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// The system failed to read or write.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the system.
        #[source]
        error: io::Error,
    },
}

/// Maximum length of a token file in bytes. A stored session has about 3 KB.
const MAX_LEN: u64 = 256 << 10;
/// Time to wait for the lock. Its holder writes one small file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// Wait for the lock that is worth a notice. Two processes that store at once wait for a few milliseconds.
const NOTICED_WAIT: Duration = Duration::from_millis(500);

impl TokenFile {
    /// Returns the token file of `account` in the folder `dir`, without touching it. Case and surrounding blanks of the
    /// account make no difference.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>, account: &str) -> Self {
        let path = dir.as_ref().join(format!("{}.json", file_name(account)));
        Self { path, account: account.to_owned(), waits: None }
    }

    /// Calls `waits` with the path of the lock file when a write has waited half a second for the process that holds the
    /// lock. The write goes on waiting, at most three seconds in all.
    ///
    /// ```
    /// # use mysa_tokio::TokenFile;
    /// let file = TokenFile::new("/var/lib/mysa", "ann@example.org")
    ///     .on_wait(|lock| eprintln!("waiting for the process that holds {}", lock.display()));
    /// ```
    #[must_use]
    pub fn on_wait(mut self, waits: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        self.waits = Some(WaitNotice(Arc::new(waits)));
        self
    }

    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the session and changes nothing. `None` if there is no file: nobody has signed in, or the user has signed
    /// out.
    ///
    /// # Errors
    /// [`TokenFileError::Exposed`] if other users can read the file, [`TokenFileError::ExposedFolder`] or
    /// [`TokenFileError::ForeignFolder`] if they can write to its folder: its owner has to decide.
    /// [`TokenFileError::Damaged`], [`TokenFileError::LaterVersion`] and [`TokenFileError::OtherAccount`] if the
    /// content is something else. [`TokenFileError::Io`] if the system fails.
    pub fn load(&self) -> Result<Option<StoredSession>, TokenFileError> {
        self.check_folder()?;
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        // Checked on the open file, so the file cannot be exchanged between check and read.
        self.check_owner_only(&file)?;
        let mut text = Vec::new();
        Read::by_ref(&mut file).take(MAX_LEN).read_to_end(&mut text).map_err(|error| self.io(error))?;
        match StoredSession::from_json(&text) {
            Ok(session) if session.belongs_to(&self.account) => Ok(Some(session)),
            Ok(_) => Err(TokenFileError::OtherAccount { path: self.path.clone() }),
            Err(StoredError::Newer { version }) => {
                Err(TokenFileError::LaterVersion { path: self.path.clone(), version })
            }
            Err(_) => Err(TokenFileError::Damaged { path: self.path.clone() }),
        }
    }

    /// Writes the session in one atomic step, if it may replace the stored one. A damaged file is kept beside it under
    /// another name.
    ///
    /// # Errors
    /// Those of [`TokenFile::load`], and [`TokenFileError::Locked`]. The old content is then unchanged, unless the
    /// system fails after the write.
    pub fn save(&self, session: &StoredSession) -> Result<Saved, TokenFileError> {
        self.write(session, false)
    }

    /// Writes a session of a new sign-in, in place of any stored session of the account. It becomes the
    /// newest one, which processes with an older one adopt.
    ///
    /// # Errors
    /// Those of [`TokenFile::save`].
    pub fn replace(&self, session: &StoredSession) -> Result<(), TokenFileError> {
        self.write(session, true).map(|_| ())
    }

    fn write(&self, session: &StoredSession, newest: bool) -> Result<Saved, TokenFileError> {
        if !session.belongs_to(&self.account) {
            return Err(TokenFileError::OtherAccount { path: self.path.clone() });
        }
        let dir = self.dir();
        owner_only_dir(dir).map_err(|error| TokenFileError::Io { path: dir.to_owned(), error })?;
        self.check_folder()?;
        // Reading, comparing and writing happen under one lock.
        let _lock = self.lock()?;
        let mut session = session.clone();
        match self.load() {
            // A higher generation makes other processes adopt this session.
            Ok(Some(kept)) if newest => {
                session.generation = session.generation.max(kept.generation.saturating_add(1));
            }
            Ok(Some(kept)) if !session.may_replace(&kept) => return Ok(Saved::NewerKept(Box::new(kept))),
            Ok(_) => {}
            Err(TokenFileError::Damaged { .. }) => self.set_aside()?,
            Err(error) => return Err(error),
        }
        self.remove_leftovers();
        let text = session.to_json();
        // The process id in the name separates writers even on a file system whose locks do not work.
        let temporary = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let written = owner_only_file(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &self.path));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(self.io(error));
        }
        sync_dir(dir).map_err(|error| self.io(error))?;
        Ok(Saved::Written)
    }

    /// Removes the file. A missing file is not an error.
    ///
    /// # Errors
    /// [`TokenFileError::Io`] if the system fails.
    pub fn remove(&self) -> Result<(), TokenFileError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.io(error)),
            _ => Ok(()),
        }
    }

    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Takes the lock, which is held until the returned file is dropped; the system releases it if the process dies.
    fn lock(&self) -> Result<File, TokenFileError> {
        // The lock has its own file, because the token file is replaced by a rename.
        let path = self.path.with_extension("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        owner_only(&mut options);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) => return Err(TokenFileError::Io { path, error }),
        };
        if let Err(error) = make_owner_only(&file) {
            return Err(TokenFileError::Io { path, error });
        }
        // The standard library has no lock with a time limit.
        let begun = Instant::now();
        let mut notice = self.waits.as_ref();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_TIMEOUT => {
                    if begun.elapsed() >= NOTICED_WAIT
                        && let Some(WaitNotice(waits)) = notice.take()
                    {
                        waits(&path);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => return Err(TokenFileError::Locked { path }),
                Err(TryLockError::Error(error)) => return Err(TokenFileError::Io { path, error }),
            }
        }
    }

    /// Renames a damaged file, so nothing is lost.
    fn set_aside(&self) -> Result<(), TokenFileError> {
        let mut to = self.path.with_extension("corrupt");
        for number in 1_u32.. {
            if !to.exists() {
                break;
            }
            to = self.path.with_extension(format!("corrupt-{number}"));
        }
        fs::rename(&self.path, &to).map_err(|error| self.io(error))
    }

    /// Removes temporary files of processes that were killed while writing, because they may hold tokens.
    /// Under the lock, no other process is writing.
    fn remove_leftovers(&self) {
        let Some(stem) = self.path.file_stem().and_then(|stem| stem.to_str()) else { return };
        for entry in fs::read_dir(self.dir()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix(".tmp"));
            if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn io(&self, error: io::Error) -> TokenFileError {
        TokenFileError::Io { path: self.path.clone(), error }
    }

    /// In a folder with the sticky bit, such as `/tmp`, others cannot replace a file.
    #[cfg(unix)]
    fn check_folder(&self) -> Result<(), TokenFileError> {
        use std::os::unix::fs::MetadataExt;

        let dir = self.dir();
        // A missing folder exposes nothing.
        let Ok(metadata) = fs::metadata(dir) else { return Ok(()) };
        let (mode, owner) = (metadata.mode(), metadata.uid());
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            return Err(TokenFileError::ExposedFolder { path: dir.to_owned(), mode: mode & 0o777 });
        }
        if is_foreign(owner, rustix::process::geteuid().as_raw()) {
            return Err(TokenFileError::ForeignFolder { path: dir.to_owned(), owner });
        }
        Ok(())
    }

    #[cfg(not(unix))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "only the owner has access to the profile folder"
    )]
    fn check_folder(&self) -> Result<(), TokenFileError> {
        Ok(())
    }

    #[cfg(unix)]
    fn check_owner_only(&self, file: &File) -> Result<(), TokenFileError> {
        use std::os::unix::fs::PermissionsExt;

        let mode = file.metadata().map_err(|error| self.io(error))?.permissions().mode() & 0o777;
        if mode & 0o077 == 0 {
            Ok(())
        } else {
            Err(TokenFileError::Exposed { path: self.path.clone(), mode })
        }
    }

    #[cfg(not(unix))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "only the owner has access to the profile folder"
    )]
    fn check_owner_only(&self, _: &File) -> Result<(), TokenFileError> {
        Ok(())
    }
}

/// Returns the file name for an account: case-folded, with every byte that a file system may reject written as `%` and
/// two hex digits.
fn file_name(account: &str) -> String {
    let mut name = String::new();
    for byte in account.trim().to_lowercase().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'@' | b'-' | b'_' | b'+' => name.push(char::from(byte)),
            // A leading dot would hide the file, or name the folder itself.
            b'.' if !name.is_empty() => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

#[cfg(unix)]
fn owner_only_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn owner_only_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(dir)
}

/// Creates a new file; one that existed before is removed, not reused.
fn owner_only_file(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options);
    options.open(path)
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    options.mode(0o600);
}

#[cfg(not(unix))]
const fn owner_only(_: &mut OpenOptions) {}

/// Takes a lock file of an earlier version away from other users, who could hold the lock for ever.
#[cfg(unix)]
fn make_owner_only(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    match file.metadata()?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => file.set_permissions(fs::Permissions::from_mode(0o600)),
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the profile folder is the owner's alone")]
fn make_owner_only(_: &File) -> io::Result<()> {
    Ok(())
}

/// Returns `true` if a folder of `owner` is not safe for the user `me`. The superuser can change every folder anyway, and
/// for itself it uses those of others on purpose.
#[cfg(unix)]
fn is_foreign(owner: u32, me: u32) -> bool {
    owner != me && owner != 0 && me != 0
}

/// Syncs the folder: a rename is durable only then.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::is_foreign;

    #[test]
    fn a_folder_of_another_user_is_foreign() {
        assert!(is_foreign(1_001, 1_000));
        assert!(!is_foreign(1_000, 1_000) && !is_foreign(0, 1_000) && !is_foreign(1_000, 0));
    }
}
