//! The capture file of `mysa watch --capture`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use mysa_proto::Topic;

use crate::output::record::Record;
use crate::output::timefmt;
use crate::support::atomic_file;
use crate::support::exit::{Exit, Failure, Result};

/// An open capture file: every message as it arrived, one JSON object per line, for `mysa decode`. Only its owner may
/// read it, because it contains device ids in full.
#[derive(Debug)]
pub(crate) struct Capture {
    file: File,
    path: PathBuf,
}

impl Capture {
    /// Opens a new capture, or appends to an earlier one. Any other existing file is refused and left unchanged.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io_failure = |error| write_failure(path, &error);
        let refuse = |why: &str| {
            let path = path.display();
            Err(Failure::usage(format!("--capture {path}: {why}; choose another file")))
        };
        let mut options = OpenOptions::new();
        options.append(true);
        atomic_file::set_mode(options.create_new(true), atomic_file::OWNER_ONLY);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(io_failure)?;
                let metadata = file.metadata().map_err(io_failure)?;
                // A pipe or a device such as /dev/null has no earlier content.
                if metadata.is_file() {
                    if let Some(mode) = exposed_mode(&metadata) {
                        return refuse(&format!("others can read or write it (mode {mode:03o})"));
                    }
                    let mut first = [0];
                    if file.read(&mut first).map_err(io_failure)? > 0 && first != [b'{'] {
                        return refuse("it exists and is not a capture");
                    }
                    end_last_line(&mut file).map_err(io_failure)?;
                }
                file
            }
            Err(error) => return Err(io_failure(error)),
        };
        Ok(Self { file, path: path.to_owned() })
    }

    pub(crate) fn append(&mut self, topic: Topic, payload: &[u8]) -> Result<()> {
        let mut entry = Record::new();
        entry.put("time", timefmt::iso(timefmt::now())).put("topic", topic.to_string());
        match std::str::from_utf8(payload) {
            Ok(text) => entry.put("payload", text),
            Err(_) => entry.put("payload_hex", hex::encode(payload)),
        };
        // One write per line, so that two processes that append do not mix their lines.
        let line = format!("{}\n", entry.to_json());
        self.file.write_all(line.as_bytes()).map_err(|error| write_failure(&self.path, &error))
    }
}

/// Returns the permission bits of a file that others than its owner can read or write.
#[cfg(unix)]
fn exposed_mode(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o777;
    (mode & 0o066 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn exposed_mode(_: &fs::Metadata) -> Option<u32> {
    None
}

/// Ends a line that a crash left unfinished, so that the next entry starts on its own line.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == [b'\n'] { Ok(()) } else { file.write_all(b"\n") }
}

fn write_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use mysa_proto::{DeviceId, TopicKind};

    use super::*;

    fn topic() -> Topic {
        Topic { device: DeviceId::new("a0b1c2d3e4f5").unwrap(), kind: TopicKind::Out }
    }

    #[test]
    fn a_capture_is_appended_to_and_any_other_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture.jsonl");
        Capture::open(&path).unwrap().append(topic(), b"{\"a\":1}").unwrap();
        let first = fs::read_to_string(&path).unwrap();
        // A crash in the middle of a line.
        fs::write(&path, format!("{first}{{\"time\"")).unwrap();
        Capture::open(&path).unwrap().append(topic(), b"\xff").unwrap();
        let both = fs::read_to_string(&path).unwrap();
        assert!(both.starts_with(&first), "{both}");
        let lines: Vec<&str> = both.lines().collect();
        assert_eq!((lines.len(), lines[1]), (3, "{\"time\""));
        assert!(lines[2].contains("\"payload_hex\":\"ff\""), "{both}");

        fs::write(&path, "my diary\n").unwrap();
        assert_eq!(Capture::open(&path).unwrap_err().exit, Exit::Usage);
        assert_eq!(fs::read_to_string(&path).unwrap(), "my diary\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_capture_is_private_and_an_exposed_one_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture.jsonl");
        Capture::open(&path).unwrap().append(topic(), b"{}").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read_to_string(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Capture::open(&path).unwrap_err();
        assert!(refused.exit == Exit::Usage && refused.to_string().contains("644"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }
}
