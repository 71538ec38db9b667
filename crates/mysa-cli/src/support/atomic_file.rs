//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Mode of a file whose content is nobody else's business.
pub(crate) const OWNER_ONLY: u32 = 0o600;
/// Mode of a file that may be read by all.
pub(crate) const ANYBODY: u32 = 0o644;

/// Writes a file by way of a temporary one, folders included.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = create(&temporary, mode)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// An empty file, in place of what was there: whoever could read that cannot read this because of it.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    let is_file = fs::symlink_metadata(path).is_ok_and(|what| what.is_file());
    if is_file {
        fs::remove_file(path)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_others_could_read_is_replaced_by_one_they_cannot() {
        let path = std::env::temp_dir().join(format!("mysa-whole-file-{}", std::process::id()));
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        create(&path, OWNER_ONLY).unwrap().write_all(b"new").unwrap();
        assert_eq!((mode(), fs::read_to_string(&path).unwrap()), (0o600, "new".into()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, "newer", OWNER_ONLY).unwrap();
        assert_eq!((mode(), fs::read_to_string(&path).unwrap()), (0o600, "newer".into()));
        fs::remove_file(&path).unwrap();
    }
}
