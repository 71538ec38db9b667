//! `mysa login`.

use std::time::Duration;

use mysa_config::normalize_account;
use mysa_tokio::{ChallengeKind, ChallengeNeeded, NotReady, Revocation, Secret, TokenFile, TokenFileError};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::args::Login;
use crate::output::record;
use crate::output::redact::Redaction;
use crate::output::terminal::{PasswordSource, Terminal, prompt, read_password};
use crate::support::cloud::{Cloud, Context, no_answer};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::reachability::describe_reason;

/// Number of codes that may be tried. The service also closes the challenge after a few.
const MAX_ATTEMPTS: usize = 5;
/// Time limit for revoking a session that cannot be stored.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(20);

/// E-mail address and password as typed.
pub(crate) struct Credentials {
    email: String,
    password: Zeroizing<String>,
}

/// Reads the e-mail address and the password from the sources that the arguments name.
pub(crate) fn read_credentials(context: &Context, args: &Login) -> Result<Credentials> {
    let email = match args.email.as_ref().or(context.account.as_ref()).or(context.config.account.as_ref()) {
        Some(email) => email.clone(),
        None if args.password_stdin => {
            return Err(Failure::usage("the e-mail address is missing: `mysa login EMAIL`"));
        }
        None => normalize_account(&prompt("E-mail address")?)
            .ok_or_else(|| Failure::usage("invalid e-mail address"))?,
    };
    let source = match &args.password_file {
        Some(path) => PasswordSource::File(path),
        None if args.password_stdin => PasswordSource::Stdin,
        None => PasswordSource::Prompt,
    };
    Ok(Credentials { email, password: read_password(&source)? })
}

pub(crate) async fn login(
    terminal: &Terminal,
    context: &Context,
    credentials: Credentials,
    redaction: &Redaction,
) -> Result<()> {
    let Credentials { email, password } = credentials;
    let file = context.token_file(&email);
    // A session of the account is replaced, and a damaged file is set aside; any other existing file is left alone.
    match file.load() {
        Ok(_) | Err(TokenFileError::Damaged { .. }) => {}
        Err(error) => return Err((Exit::Failed, error).into()),
    }
    let mut settings = context.settings();
    settings.live_reports = false;
    let builder = context.builder(settings)?.password(&email, Secret::from(password.as_str()));
    // The client does not use the file, so a mistyped password does not cost the stored session.
    let cloud = Cloud::start(builder, email, &context.open_clients)?;
    terminal.progress("signing in");
    let signed_in = wait_until_signed_in(context, &cloud, terminal).await;
    terminal.progress("");
    signed_in?;
    cloud.cache_devices(context, terminal);
    let count = cloud.client.devices().len();
    let account = redaction.email(&cloud.account);
    let path = file.path().display().to_string();
    let kept = match store(&cloud, file).await {
        Ok(()) => Ok(()),
        Err(failure) => Err(revoke(&cloud, failure).await),
    };
    cloud.close(terminal).await;
    kept?;
    if terminal.json {
        let mut record = record::document();
        record.put("account", account).put("devices", i64::try_from(count).unwrap_or(i64::MAX));
        record.put("session", path);
        return terminal.line(record.to_json());
    }
    terminal.say(format!("signed in as {account}; thermostats: {count}"));
    terminal.say(format!("the session is stored in {path}; the password is not stored"));
    Ok(())
}

/// Signs in by password, and returns the session instead of storing it.
#[cfg(feature = "nats")]
pub(crate) async fn session_of(
    terminal: &Terminal,
    context: &Context,
    email: &str,
    password: &str,
) -> Result<mysa_tokio::StoredSession> {
    let mut settings = context.settings();
    settings.live_reports = false;
    let builder = context.builder(settings)?.password(email, Secret::from(password));
    let cloud = Cloud::start(builder, email.to_owned(), &context.open_clients)?;
    terminal.progress("signing in");
    let signed_in = wait_until_signed_in(context, &cloud, terminal).await;
    terminal.progress("");
    signed_in?;
    let stored = cloud.client.stored_session();
    cloud.close(terminal).await;
    stored.ok_or_else(|| Failure::new(Exit::Failed, "the cloud returned no session"))
}

/// Stores the session.
///
/// # Errors
/// The cloud returned none, or the file cannot be written.
async fn store(cloud: &Cloud, file: TokenFile) -> Result<()> {
    let stored = cloud.client.stored_session();
    let stored =
        stored.ok_or_else(|| Failure::new(Exit::Failed, "the cloud returned no session to store"))?;
    // On a blocking thread, so that Ctrl-C works while another process holds the lock.
    tokio::task::spawn_blocking(move || file.replace(&stored))
        .await
        .map_err(|error| Failure::from((Exit::Failed, error)))?
        .map_err(|error| Failure::from((Exit::Failed, error)))
}

/// Revokes a session that was not stored, because nothing could end it later. Adds the outcome to the failure.
async fn revoke(cloud: &Cloud, failure: Failure) -> Failure {
    let outcome = match timeout(REVOKE_TIMEOUT, cloud.client.sign_out()).await {
        Ok(Ok(Revocation::Revoked)) => "the session was revoked",
        Ok(Ok(Revocation::NothingToRevoke)) => return failure,
        _ => "the session could not be revoked; it ends when it expires",
    };
    Failure::new(Exit::Failed, format!("{failure}; {outcome}"))
}

/// Waits for the sign-in and prompts for codes on the way.
async fn wait_until_signed_in(context: &Context, cloud: &Cloud, terminal: &Terminal) -> Result<()> {
    let mut answers = 0;
    loop {
        match timeout(Duration::from_secs(60), cloud.client.ready()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(NotReady::Challenge(challenge))) if answers < MAX_ATTEMPTS => {
                answers += 1;
                terminal.progress("");
                // On a blocking thread, so that Ctrl-C still works.
                let question = question(&challenge);
                let answer = tokio::task::spawn_blocking(move || prompt(&question))
                    .await
                    .map_err(|error| Failure::from((Exit::Failed, error)))??;
                let ended = |error| Failure::from((Exit::Failed, error));
                cloud.client.answer_challenge(&answer).await.map_err(ended)?;
            }
            Ok(Err(NotReady::Challenge(_))) => {
                return Err(Failure::new(Exit::SignIn, "too many wrong codes"));
            }
            Ok(Err(NotReady::SignInNeeded(reason))) => {
                let reason = describe_reason(reason);
                return Err(Failure::new(Exit::SignIn, format!("sign-in refused: {reason}")));
            }
            Ok(Err(why)) => return Err(context.explain(&cloud.client, &why).await),
            Err(_) => return Err(no_answer()),
        }
    }
}

fn question(challenge: &ChallengeNeeded) -> String {
    let again = if challenge.again { "Wrong code. " } else { "" };
    let to = challenge.destination.as_ref().map(|place| format!(" sent to {place}")).unwrap_or_default();
    match challenge.kind {
        ChallengeKind::SmsMfa => format!("{again}Code from the text message{to}"),
        ChallengeKind::EmailOtp | ChallengeKind::EmailMfa => format!("{again}Code from the e-mail{to}"),
        ChallengeKind::SoftwareTokenMfa => format!("{again}Code from the authenticator app"),
        ChallengeKind::SelectMfaType => format!("{again}Method ({})", challenge.choices.join(", ")),
        _ => format!("{again}Answer{to}"),
    }
}
