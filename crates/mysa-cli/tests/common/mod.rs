//! Runs of the command in a temporary home.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A temporary home folder.
#[derive(Debug)]
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    /// Creates an empty home.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder to test in"))
    }

    /// Path of a file or folder in the home.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in the home, with missing folders.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The command in this home, without the variables of the environment that affect it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mysa"));
        for variable in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "NO_COLOR", "COLUMNS", "RUST_LOG"] {
            command.env_remove(variable);
        }
        for (variable, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("MYSA_") || name.starts_with("AWS_"))
        {
            command.env_remove(variable);
        }
        command.args(args).env("HOME", self.0.path()).current_dir(self.0.path());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    /// Runs the command with this text on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
        finish(self.command(args), input.as_ref())
    }
}

impl Ran {
    /// Result of a process that has ended.
    pub(crate) fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("output is UTF-8"),
            err: String::from_utf8(output.stderr).expect("messages are UTF-8"),
        }
    }
}

/// Result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    /// Lines of standard output as JSON.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parsed = self.out.lines().map(serde_json::from_str);
        parsed.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error} in {}", self.out))
    }

    /// Returns itself if the run succeeded; panics otherwise.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Returns itself if the run failed with this code and wrote to standard error; panics otherwise.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.is_empty(), "{self:?}");
        self
    }
}

/// Longer than any command takes on a slow machine; it only ends a hang.
pub(crate) const HANG_LIMIT: std::time::Duration = std::time::Duration::from_secs(600);

/// Runs a prepared command.
pub(crate) fn finish(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    // A hanging command fails its own test and not the whole run.
    let id = child.id().to_string();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(HANG_LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
    });
    let output = child.wait_with_output().expect("the command ends");
    drop(done);
    watchdog.join().expect("the watchdog ends");
    writer.join().expect("the writer ends");
    Ran::of(output)
}
