//! Files that are written completely or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

/// Mode of a file that only its owner may read.
pub(crate) const OWNER_ONLY: u32 = 0o600;
/// Mode of a file that everybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Start and end of the name of a temporary file, and the number of random characters between them.
const TEMPORARY: (&str, usize, &str) = (".mysa-", 6, ".tmp");
/// Age at which a temporary file belongs to a process that was killed while writing. A write takes less than a second.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// Writes a file through a temporary file and a rename. Creates missing folders.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).rand_bytes(TEMPORARY.1).suffix(TEMPORARY.2);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    remove_abandoned(folder);
    // In the same folder, because only then is the rename atomic.
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Removes temporary files of processes that were killed while writing.
fn remove_abandoned(folder: &Path) {
    let (start, random, end) = TEMPORARY;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let middle = name.to_str().and_then(|name| name.strip_prefix(start)?.strip_suffix(end));
        let is_ours = middle.is_some_and(|middle| {
            middle.len() == random && middle.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let modified =
            entry.metadata().ok().filter(fs::Metadata::is_file).and_then(|file| file.modified().ok());
        let age = modified.and_then(|modified| modified.elapsed().ok());
        if is_ours && age.is_some_and(|age| age >= ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Sets the mode that a file gets when it is created.
pub(crate) fn set_mode(options: &mut OpenOptions, mode: u32) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
    #[cfg(not(unix))]
    let _ = (options, mode);
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_others_could_read_is_replaced_by_a_private_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write(&path, "old", OWNER_ONLY).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, "new", OWNER_ONLY).unwrap();
        assert_eq!((mode(), fs::read_to_string(&path).unwrap()), (0o600, "new".into()));
        write(&path, "newer", PUBLIC).unwrap();
        assert_eq!((mode() & 0o604, fs::read_to_string(&path).unwrap()), (0o604, "newer".into()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn only_the_temporary_file_of_a_killed_process_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::now() - 2 * ABANDONED;
        let make = |name: &str, is_old: bool| {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            if is_old {
                file.set_modified(old).unwrap();
            }
        };
        make(".mysa-a1B2c3.tmp", true);
        make(".mysa-a1B2c4.tmp", false);
        for name in [".mysa-notes.tmp", ".mysa-a1B2c3", "mysa-a1B2c3.tmp", ".mysa-.tmp"] {
            make(name, true);
        }
        write(&folder.path().join("file"), "text", OWNER_ONLY).unwrap();
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        assert_eq!(
            left,
            [".mysa-.tmp", ".mysa-a1B2c3", ".mysa-a1B2c4.tmp", ".mysa-notes.tmp", "file", "mysa-a1B2c3.tmp"]
        );
    }

    #[test]
    fn a_failed_write_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, "text", PUBLIC).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
