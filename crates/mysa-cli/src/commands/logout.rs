//! `mysa logout`.

use std::time::Duration;

use mysa_tokio::Revocation;
use tokio::time::timeout;

use crate::args::Logout;
use crate::output::record::Record;
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::support::cloud::{Cloud, Context};
use crate::support::device_cache;
use crate::support::exit::{Exit, Failure, Result};

/// Time limit for revoking the session.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(20);

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
        file.remove().map_err(|error| Failure::from((Exit::Failed, error)))?;
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
            return Err(Failure::new(
                Exit::Unreachable,
                "the cloud did not revoke the session, which is still valid and still stored; run `mysa logout` again, \
                 or `mysa logout --local` to remove it from this computer alone",
            ));
        }
        file.remove().map_err(|error| Failure::from((Exit::Failed, error)))?;
        match revoked {
            Revocation::NothingToRevoke => terminal.say("there was no valid session to revoke"),
            Revocation::Refused => {}
            _ => terminal.say(format!("signed out {}", redaction.email(&account))),
        }
    }
    device_cache::forget(&context.paths, &account);
    if terminal.json {
        let mut record = Record::document();
        record.put("account", redaction.email(&account)).put("revoked", revoked == Revocation::Revoked);
        terminal.line(record.to_json())?;
    }
    if revoked == Revocation::Refused {
        return Err(Failure::new(
            Exit::Unreachable,
            "the session was removed from this computer, but the cloud refused to revoke it: whoever has a copy can use \
             it until it expires; changing the password in the app may end it",
        ));
    }
    Ok(())
}
