//! The accounts file, and the secrets that it names.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mysa_config::{Credential, FleetAccount, FleetAccounts};
use mysa_tokio::{RefreshToken, Secret, StoredSession, TokenFile};
use tokio::time::{Instant, sleep, timeout_at};
use zeroize::Zeroizing;

use crate::output::terminal::{PasswordSource, read_password, without_final_newline};
use crate::support::exit::{Exit, Failure, Result};

/// Reads the accounts file. It may hold tokens, so nobody but its owner may read it.
///
/// # Errors
/// Others can read the file, or it is invalid; the text names the line.
pub(super) fn load(path: &Path) -> Result<FleetAccounts> {
    let text = read_private(path, "--accounts", "may hold tokens")?;
    FleetAccounts::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Reads a file of secrets.
///
/// # Errors
/// It cannot be read, or others can read it.
pub(super) fn read_private(path: &Path, option: &str, why: &str) -> Result<Zeroizing<String>> {
    let shown = path.display();
    let failed = |error| Failure::new(Exit::Failed, format!("cannot read {option} {shown}: {error}"));
    let mut file = fs::File::open(path).map_err(failed)?;
    // Checked on the open file, so that it cannot be exchanged between check and read.
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    // A pipe, such as that of `--accounts <(…)`, has the permissions of its process.
    if metadata.is_file() && !is_private(mode, metadata.uid()) {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{option} {shown} can be read by others (mode {mode:03o}), and {why}; run: chmod 600 {shown}"
            ),
        ));
    }
    // With its length at once: a text that grows leaves copies of its secrets behind.
    let length = usize::try_from(metadata.len()).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(length.saturating_add(1)));
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// `true` if only the owner can read a file. A file of root may be readable by its group: so a container gets its secrets,
/// and the one who made it chose the group.
const fn is_private(mode: u32, owner: u32) -> bool {
    mode & 0o077 == 0 || (owner == 0 && mode & 0o037 == 0)
}

/// Start of a session, and the password to use once if the session is refused.
pub(super) struct Start {
    pub(super) stored: StoredSession,
    pub(super) password: Option<Secret>,
}

/// Reads what an account signs in with: its stored session, or else its secret.
///
/// # Errors
/// There is neither, or the secret cannot be read. The text shows no secret.
pub(super) async fn start(account: &FleetAccount, file: &TokenFile, client_id: &str) -> Result<Start> {
    let of = file.clone();
    let stored = blocking(move || of.load().map_err(|error| Failure::from((Exit::SignIn, error)))).await?;
    let password = match &account.credential {
        None | Some(Credential::RefreshToken(_)) => None,
        Some(Credential::PasswordFile(path)) => {
            let path = PathBuf::from(path);
            let read = move || {
                read_password(&PasswordSource::File(&path))
                    .map_err(|failure| Failure::new(Exit::SignIn, format!("{}: {failure}", path.display())))
            };
            Some(Secret::from(blocking(read).await?.as_str()))
        }
        Some(Credential::PasswordCommand(words)) => Some(ask(words, "password command").await?),
    };
    let stored = match (stored, &account.credential, &password) {
        (Some(stored), ..) => stored,
        (None, Some(Credential::RefreshToken(token)), _) => {
            let mut session = StoredSession::new(&account.email, client_id);
            session.refresh_token = Some(RefreshToken::new(Secret::from(token.as_str())));
            session
        }
        (None, _, Some(_)) => StoredSession::new(&account.email, client_id),
        (None, ..) => {
            let email = &account.email;
            return Err(Failure::new(
                Exit::SignIn,
                format!("not signed in; run `mysa login {email}`, or name its secret in the accounts file"),
            ));
        }
    };
    Ok(Start { stored, password })
}

/// Runs a function that waits for the system on a thread for that.
async fn blocking<T: Send + 'static>(what: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(what).await.map_err(|error| Failure::from((Exit::Failed, error)))?
}

/// Time limit of a password command.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Maximum length of the output of a command, in bytes.
const MAX_OUTPUT: u64 = 4_096;
/// Pause between two looks whether a command has ended that has closed its output.
const EXIT_PAUSE: Duration = Duration::from_millis(20);

/// Runs a command that prints a secret, and returns its output without the final newline.
pub(super) async fn ask(words: &[String], role: &str) -> Result<Secret> {
    let name = words.first().cloned().unwrap_or_default();
    let failed = |what: &str| Failure::new(Exit::SignIn, format!("the {role} '{name}' {what}"));
    let mut command = Command::new(&name);
    // What it reports may repeat a secret, and the log is no place for it.
    command.args(words.iter().skip(1)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Killed(command.spawn().map_err(|error| failed(&format!("cannot be started: {error}")))?);
    let Some(output) = child.0.stdout.take() else { return Err(failed("has no output")) };
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Zeroizing::new(Vec::new());
        output.take(MAX_OUTPUT + 1).read_to_end(&mut text).map(|_| text)
    });
    let deadline = Instant::now() + COMMAND_LIMIT;
    let slow = || failed(&format!("did not end within {} s", COMMAND_LIMIT.as_secs()));
    let text = timeout_at(deadline, read).await.map_err(|_| slow())?;
    let text =
        text.map_err(|error| failed(&error.to_string()))?.map_err(|error| failed(&error.to_string()))?;
    let status = loop {
        match child.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => sleep(EXIT_PAUSE).await,
            Ok(None) => return Err(slow()),
            Err(error) => return Err(failed(&error.to_string())),
        }
    };
    if !status.success() {
        return Err(failed(&format!("failed ({status}); run it by hand to see why")));
    }
    let text = std::str::from_utf8(&text).map_err(|_| failed("printed no UTF-8"))?;
    match without_final_newline(text) {
        "" => Err(failed("printed nothing")),
        long if long.len() as u64 > MAX_OUTPUT => Err(failed("printed more than 4096 bytes")),
        password => Ok(Secret::from(password)),
    }
}

/// Process that ends with this value.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_secrets_is_for_its_owner_and_one_of_root_for_its_group_too() {
        for (mode, owner, expected) in [
            (0o600, 1000, true),
            (0o400, 0, true),
            (0o640, 1000, false),
            (0o640, 0, true),
            (0o440, 0, true),
            (0o660, 0, false),
            (0o644, 0, false),
            (0o604, 1000, false),
        ] {
            assert_eq!(is_private(mode, owner), expected, "{mode:o} {owner}");
        }
    }

    async fn asked(script: &str) -> Result<String> {
        let words = ["sh", "-c", script].map(str::to_owned);
        ask(&words, "password command").await.map(|secret| secret.expose().to_owned())
    }

    #[tokio::test]
    async fn a_password_command_prints_the_password_and_its_failure_shows_no_secret() {
        assert_eq!(asked("printf ' a b \\n'").await.unwrap(), " a b ");
        for (script, expected) in [
            ("echo canary; exit 3", "failed (exit status: 3)"),
            ("true", "printed nothing"),
            ("printf '\\377'", "printed no UTF-8"),
            ("head -c 5000 /dev/zero", "printed more than 4096 bytes"),
        ] {
            let error = asked(script).await.unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{error}");
        }
        let error = ask(&["/no/such/program".to_owned()], "password command").await.unwrap_err().to_string();
        assert!(error.contains("cannot be started"), "{error}");
    }

    #[test]
    fn a_file_of_secrets_is_for_its_owner_or_a_group_that_root_chose() {
        for (mode, owner, expected) in [
            (0o600, 1_000, true),
            (0o400, 0, true),
            (0o640, 1_000, false),
            (0o440, 0, true),
            (0o640, 0, true),
            (0o660, 0, false),
            (0o444, 0, false),
            (0o441, 0, false),
        ] {
            assert_eq!(is_private(mode, owner), expected, "{mode:o} of {owner}");
        }
    }
}
