//! Files that are written completely or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Mode of a file that only its owner may read.
pub(crate) const OWNER_ONLY: u32 = 0o600;
/// Mode of a file that everybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file through a temporary file and a rename. Creates missing folders.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mysa-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    // In the same folder, because only then is the rename atomic.
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
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
    fn a_failed_write_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, "text", PUBLIC).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
