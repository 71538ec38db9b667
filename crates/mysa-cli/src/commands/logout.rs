//! `mysa logout`.

use std::time::Duration;

use mysa_tokio::{Revocation, TokenFile, TokenFileError};
use tokio::time::timeout;

use crate::args::Logout;
use crate::output::record;
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::support::cloud::{Cloud, Context};
use crate::support::device_cache;
use crate::support::exit::{Exit, Failure, Result};

/// Time limit for revoking the session, longer than that of the client with a disk that does not respond.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit for removing the file.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    args: &Logout,
    redaction: &Redaction,
) -> Result<()> {
    let account = context.account()?;
    let file = context.token_file(&account);
    let mut revoked = Revocation::NothingToRevoke;
    if args.local {
        remove(file).await.map_err(|error| Failure::from((Exit::Failed, error)))?;
        terminal.say("the session was removed from this computer; it was not revoked");
    } else {
        let mut settings = context.settings();
        settings.live_reports = false;
        let builder = context.builder(settings)?.token_file(file.clone());
        let cloud = Cloud::start(builder, account.clone(), &context.open_clients)?;
        let ended = timeout(REVOKE_TIMEOUT, cloud.client.sign_out()).await;
        revoked = match ended {
            Ok(Ok(revoked)) => revoked,
            Ok(Err(_)) | Err(_) => Revocation::NotReached,
        };
        if revoked == Revocation::NotReached {
            report(terminal, redaction.email(&account), "not-reached", "stored")?;
            return Err(Failure::new(
                Exit::Unreachable,
                "the cloud did not revoke the session, which is still valid and still stored; run `mysa logout` again, \
                 or `mysa logout --local` to remove it from this computer alone",
            ));
        }
        if let Err(error) = remove(file).await {
            report(terminal, redaction.email(&account), outcome(args.local, revoked), "stored")?;
            let done = match revoked {
                Revocation::Revoked => "the session was revoked",
                _ => "no session was revoked",
            };
            return Err(Failure::new(
                Exit::Failed,
                format!("{done}, but its file cannot be removed: {}", Failure::from((Exit::Failed, error))),
            ));
        }
        match revoked {
            Revocation::NothingToRevoke => terminal.say("there was no valid session to revoke"),
            Revocation::Refused => {}
            _ => terminal.say(format!("signed out {}", redaction.email(&account))),
        }
    }
    device_cache::forget(&context.paths, &account);
    report(terminal, redaction.email(&account), outcome(args.local, revoked), "removed")?;
    if revoked == Revocation::Refused {
        return Err(Failure::new(
            Exit::Unreachable,
            "the session was removed from this computer, but the cloud refused to revoke it: a person who has a copy can use \
             it until it expires; changing the password in the app may end it",
        ));
    }
    Ok(())
}

/// Removes the file. The client has removed it already, except one that holds another sign-in.
async fn remove(file: TokenFile) -> std::result::Result<(), TokenFileError> {
    let path = file.path().to_owned();
    let removal = tokio::task::spawn_blocking(move || file.remove());
    match timeout(REMOVE_TIMEOUT, removal).await {
        Ok(removed) => removed
            .unwrap_or_else(|error| Err(TokenFileError::Io { path, error: std::io::Error::other(error) })),
        Err(_) => Err(TokenFileError::Unfinished { path }),
    }
}

/// Returns the name of an outcome, for programs.
const fn outcome(local: bool, revoked: Revocation) -> &'static str {
    match revoked {
        _ if local => "not-tried",
        Revocation::Revoked => "revoked",
        Revocation::Refused => "refused",
        Revocation::NotReached => "not-reached",
        Revocation::NothingToRevoke => "nothing-to-revoke",
    }
}

/// Prints the outcome as JSON, if requested: `session` shows whether the session is still stored.
fn report(terminal: &Terminal, account: String, outcome: &str, session: &str) -> Result<()> {
    if !terminal.json {
        return Ok(());
    }
    let mut record = record::document();
    record.put("account", account).put("revoked", outcome == "revoked");
    record.put("revocation", outcome).put("session", session);
    terminal.line(record.to_json())
}
