//! Files of the simulator's certificate authority.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use mysa_sim_server::Authority;

use crate::support::atomic_file;
use crate::support::exit::{Exit, Failure, Result};

/// File in the current folder for the authority's certificate, unless `--ca` names one.
const DEFAULT: &str = "mysa-sim-ca.pem";
/// Maximum number of simulators that run in one folder without `--ca`.
const MAX_DEFAULTS: u32 = 99;

/// File with the authority's certificate. As long as this exists, no other simulator overwrites it.
#[derive(Debug)]
pub(super) struct TrustFile {
    pub(super) path: PathBuf,
    _locked: File,
}

/// Writes the certificate for other programs to trust: to the given file, or to one in the current folder that no
/// running simulator has.
pub(super) fn publish(wanted: Option<&Path>, pem: &str) -> Result<TrustFile> {
    let failed = |path: &Path, error: &io::Error| {
        Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
    };
    if let Some(path) = wanted {
        return match claim(path, pem).map_err(|error| failed(path, &error))? {
            Some(file) => Ok(file),
            None => Err(Failure::new(
                Exit::Failed,
                format!("{} belongs to another running simulator; give another --ca", path.display()),
            )),
        };
    }
    for number in 1..=MAX_DEFAULTS {
        let path = match number {
            1 => PathBuf::from(DEFAULT),
            number => PathBuf::from(DEFAULT).with_file_name(format!("mysa-sim-ca-{number}.pem")),
        };
        if let Some(file) = claim(&path, pem).map_err(|error| failed(&path, &error))? {
            return Ok(file);
        }
    }
    Err(Failure::new(Exit::Failed, "too many simulators run in this folder; give a file with --ca"))
}

/// Writes the file and locks it; `None` if another simulator has locked it.
fn claim(path: &Path, pem: &str) -> io::Result<Option<TrustFile>> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    atomic_file::set_mode(&mut options, atomic_file::PUBLIC);
    let mut file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    file.set_len(0)?;
    // One write, so that a reader who waits for the file finds the whole certificate.
    file.write_all(pem.as_bytes())?;
    // Locks of Windows keep others from reading.
    #[cfg(windows)]
    file.unlock()?;
    Ok(Some(TrustFile { path: path.to_owned(), _locked: file }))
}

/// File in `--ca-dir` with the key and the certificate of the authority.
const KEPT: &str = "authority-key.pem";
/// File in `--ca-dir` with the certificate alone.
const CERTIFICATE: &str = "ca.pem";
const CERTIFICATE_START: &str = "-----BEGIN CERTIFICATE-----";

/// Reads the authority that is kept in a folder, or makes one. Returns the file to trust, too. Simulators with the same
/// folder share its authority.
pub(super) fn keep(folder: &Path) -> Result<(Authority, PathBuf)> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Failed, format!("cannot use --ca-dir {}: {error}", folder.display()))
    };
    let path = folder.join(KEPT);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(failed)?;
            let made = Authority::generate().map_err(|error| Failure::from((Exit::Failed, error)))?;
            create(&path, &format!("{}{}", made.key_pem(), made.certificate_pem())).map_err(failed)?;
            // Another simulator may have written the file in the meantime.
            fs::read_to_string(&path).map_err(failed)?
        }
        Err(error) => return Err(failed(error)),
    };
    let split = text.find(CERTIFICATE_START).unwrap_or(text.len());
    let (key, certificate) = text.split_at(split);
    let authority = Authority::from_pem(certificate, key)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))?;
    let trust = folder.join(CERTIFICATE);
    // Every simulator writes the same content.
    atomic_file::write(&trust, authority.certificate_pem(), atomic_file::PUBLIC).map_err(failed)?;
    Ok((authority, trust))
}

/// Writes a private file as a whole, unless it exists.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // A temporary file is private from the start.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_of_a_running_simulator_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ca.pem");
        let first = publish(Some(&path), "first").unwrap();
        let why = publish(Some(&path), "second").unwrap_err().to_string();
        assert!(why.contains("another running simulator"), "{why}");
        assert_eq!(fs::read_to_string(&first.path).unwrap(), "first");
        drop(first);
        publish(Some(&path), "2nd").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2nd", "shorter than before");
    }

    #[test]
    fn an_authority_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("kept");
        let (first, trust) = keep(&folder).unwrap();
        let (second, _) = keep(&folder).unwrap();
        assert_eq!(first.certificate_pem(), second.certificate_pem());
        assert_eq!(fs::read_to_string(&trust).unwrap(), first.certificate_pem());
        create(&folder.join(KEPT), "other").unwrap();
        assert_eq!(keep(&folder).unwrap().0.certificate_pem(), first.certificate_pem(), "not overwritten");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.join(KEPT)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "only its owner reads the key");
        }
        fs::write(folder.join(KEPT), "nonsense").unwrap();
        assert!(keep(&folder).is_err());
    }
}
