use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mysa_cognito::StoredSession;

/// One account's stored session in a file of its own, readable by its owner alone.
///
/// Writing goes through a temporary file, `fsync` and a rename, so a crash at any moment leaves the old content or the
/// new one. Every access holds a lock beside the file, so two processes of the same account do not write over each
/// other. The file is named after the account, and says itself whose it is.
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

/// What a token file held.
#[derive(Debug)]
#[non_exhaustive]
pub enum Loaded {
    /// No file: nobody signed in, or they signed out.
    Nothing,
    /// A session of this account.
    Session(Box<StoredSession>),
    /// What was there could not be read as a session of this account; it was moved to this path, out of the way.
    SetAside(PathBuf),
}

/// Why a token file could not be used.
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
            Self::Io { path, .. } => write!(f, "cannot read or write {}", path.display()),
        }
    }
}

impl std::error::Error for TokenFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Exposed { .. } => None,
            Self::Io { error, .. } => Some(error),
        }
    }
}

/// A stored session is about 3 KB; whatever is longer is none.
const MAX_LEN: u64 = 256 << 10;

impl TokenFile {
    /// The file of `account` in the folder `dir`. Touches nothing yet.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>, account: &str) -> Self {
        Self { path: dir.as_ref().join(format!("{}.json", file_name(account))), account: account.to_owned() }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the session. A file that is corrupt, or of another account, is set aside.
    ///
    /// # Errors
    /// [`TokenFileError::Exposed`] if others can read the file: its owner must decide. [`TokenFileError::Io`] if the
    /// system refuses.
    pub fn load(&self) -> Result<Loaded, TokenFileError> {
        let _lock = match self.lock() {
            Ok(lock) => lock,
            Err(TokenFileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Loaded::Nothing);
            }
            Err(error) => return Err(error),
        };
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Nothing),
            Err(error) => return Err(self.io(error)),
        };
        self.check_owner_only(&file)?;
        let mut text = Vec::new();
        let read =
            Read::by_ref(&mut file).take(MAX_LEN).read_to_end(&mut text).map_err(|error| self.io(error))?;
        match StoredSession::from_json(&text) {
            Ok(session) if (read as u64) < MAX_LEN && session.account.eq_ignore_ascii_case(&self.account) => {
                Ok(Loaded::Session(Box::new(session)))
            }
            _ => self.set_aside().map(Loaded::SetAside),
        }
    }

    /// Writes the session, in one step as far as any reader can see.
    ///
    /// # Errors
    /// [`TokenFileError::Io`] if the system refuses; the old content is then still there.
    pub fn save(&self, session: &StoredSession) -> Result<(), TokenFileError> {
        let dir = self.dir();
        owner_only_dir(dir).map_err(|error| TokenFileError::Io { path: dir.to_owned(), error })?;
        let _lock = self.lock()?;
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
        sync_dir(dir).map_err(|error| self.io(error))
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
        let lock = |path: &Path| {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            file.lock()?;
            Ok(file)
        };
        lock(&path).map_err(|error| TokenFileError::Io { path, error })
    }

    fn set_aside(&self) -> Result<PathBuf, TokenFileError> {
        let mut to = self.path.with_extension("corrupt");
        for number in 1_u32.. {
            if !to.exists() {
                break;
            }
            to = self.path.with_extension(format!("corrupt-{number}"));
        }
        fs::rename(&self.path, &to).map_err(|error| self.io(error))?;
        Ok(to)
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
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// A rename is durable only once its folder is.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
