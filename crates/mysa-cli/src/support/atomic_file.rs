//! Files that are written as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Mode of a file that only its owner may read.
pub(crate) const OWNER_ONLY: u32 = 0o600;
/// Mode of a file that everybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file through a temporary file and a rename, and creates missing folders.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    // A name that no other process uses, in the same folder so that the rename is atomic.
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

/// Creates an empty file. An existing file is removed first, so that its permissions do not carry over.
fn create(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_mode(&mut options, mode);
    options.open(path)
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
        let path = std::env::temp_dir().join(format!("mysa-atomic-file-{}", std::process::id()));
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
