use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mysa_cognito::{StoredError, StoredSession};

/// One account's stored session in a file of its own, readable by its owner alone.
///
/// Writing goes through a temporary file, `fsync` and a rename, so a crash at any moment leaves the old content or the
/// new one. Writers hold a lock beside the file and compare before they write, so of two processes of the same account
/// neither overwrites a newer session with an older one. Reading needs no lock and changes nothing, so it works on a
/// read-only file system. The file is named after the account, and says itself whose it is.
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
}

/// What became of [`TokenFile::save`].
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "it is written or it is not")]
pub enum Saved {
    /// The session is in the file.
    Written,
    /// The file holds this session still, which the other one [may not replace](StoredSession::may_replace).
    NewerKept(Box<StoredSession>),
}

/// Why a token file could not be used. The file is left as it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokenFileError {
    /// Others than the owner can read the file, so what it holds can no longer be trusted to be secret.
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold a session.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program wrote the file.
    LaterVersion {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        version: u32,
    },
    /// The file holds the session of another account.
    OtherAccount {
        /// The file.
        path: PathBuf,
    },
    /// Another process has locked the file for longer than any writing takes.
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The system refused to read or write.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { path, mode } => write!(
                f,
                "{} can be read by others (mode {mode:03o}); sign out and in again if it was exposed, or run: chmod 600 {}",
                path.display(),
                path.display()
            ),
            Self::Damaged { path } => {
                write!(f, "{} is damaged: it does not hold a session; sign in again", path.display())
            }
            Self::LaterVersion { path, version } => write!(
                f,
                "{} has version {version}, which a later version of this program wrote; update this one",
                path.display()
            ),
            Self::OtherAccount { path } => {
                write!(f, "{} holds the session of another account; move it away", path.display())
            }
            Self::Locked { path } => {
                write!(f, "another process keeps {} locked; end it and try again", path.display())
            }
            Self::Io { path, .. } => write!(f, "cannot read or write {}", path.display()),
        }
    }
}

impl std::error::Error for TokenFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// A stored session is about 3 KB; whatever is longer is none.
const MAX_LEN: u64 = 256 << 10;
/// Time to wait for the lock. Whoever holds it writes one small file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

impl TokenFile {
    /// The file of `account` in the folder `dir`. Touches nothing yet. Case and blanks around the account do not make
    /// another file.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>, account: &str) -> Self {
        Self { path: dir.as_ref().join(format!("{}.json", file_name(account))), account: account.to_owned() }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the session, and changes nothing. `None` if there is no file: nobody signed in, or they signed out.
    ///
    /// # Errors
    /// [`TokenFileError::Exposed`] if others can read the file: its owner must decide. [`TokenFileError::Damaged`],
    /// [`TokenFileError::LaterVersion`] and [`TokenFileError::OtherAccount`] if it holds something else.
    /// [`TokenFileError::Io`] if the system refuses.
    pub fn load(&self) -> Result<Option<StoredSession>, TokenFileError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
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

    /// Writes the session, in one step as far as any reader can see, if it may replace what is there. A damaged file
    /// is kept beside it under another name.
    ///
    /// # Errors
    /// As [`TokenFile::load`]; and [`TokenFileError::Locked`]. The old content is then still there, unless the system
    /// refused after the writing.
    pub fn save(&self, session: &StoredSession) -> Result<Saved, TokenFileError> {
        self.write(session, false)
    }

    /// Writes a session that a person has just signed in, whatever session of the account is there. It becomes the newest:
    /// processes that use the old one go over to it.
    ///
    /// # Errors
    /// As [`TokenFile::save`].
    pub fn replace(&self, session: &StoredSession) -> Result<(), TokenFileError> {
        self.write(session, true).map(|_| ())
    }

    fn write(&self, session: &StoredSession, newest: bool) -> Result<Saved, TokenFileError> {
        if !session.belongs_to(&self.account) {
            return Err(TokenFileError::OtherAccount { path: self.path.clone() });
        }
        let dir = self.dir();
        owner_only_dir(dir).map_err(|error| TokenFileError::Io { path: dir.to_owned(), error })?;
        let _lock = self.lock()?;
        let mut session = session.clone();
        match self.load() {
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
        // Kept apart by the process id even on a file system whose locks do nothing.
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

    /// Removes the file. Nothing there is as good as removed.
    ///
    /// # Errors
    /// [`TokenFileError::Io`] if the system refuses.
    pub fn remove(&self) -> Result<(), TokenFileError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.io(error)),
            _ => Ok(()),
        }
    }

    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Held until the file is dropped; the system releases it if the process dies.
    fn lock(&self) -> Result<File, TokenFileError> {
        let path = self.path.with_extension("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        owner_only(&mut options);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) => return Err(TokenFileError::Io { path, error }),
        };
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => return Err(TokenFileError::Locked { path }),
                Err(TryLockError::Error(error)) => return Err(TokenFileError::Io { path, error }),
            }
        }
    }

    /// Moves a damaged file out of the way, whole.
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

    /// Removes what processes that were killed while writing have left: it may hold tokens. Under the lock, nobody else
    /// is writing.
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
        reason = "the profile folder is the owner's alone"
    )]
    fn check_owner_only(&self, _: &File) -> Result<(), TokenFileError> {
        Ok(())
    }
}

/// The account, case folded, with every byte a file system may dislike written as `%` and two hex digits.
fn file_name(account: &str) -> String {
    let mut name = String::new();
    for byte in account.trim().to_lowercase().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'@' | b'-' | b'_' | b'+' => name.push(char::from(byte)),
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

/// A new file, never one that somebody put there before.
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

/// A rename is durable only once its folder is.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
