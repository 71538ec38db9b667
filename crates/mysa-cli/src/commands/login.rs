//! `mysa login` and `mysa logout`.

use std::time::Duration;

use mysa_tokio::{ChallengeKind, ChallengeNeeded, NotReady, Secret};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::args::{Login, Logout};
use crate::output::record::Record;
use crate::output::redact::Redaction;
use crate::output::terminal::{PasswordSource, Terminal, ask, password};
use crate::support::cloud::{Cloud, Context, not_ready};
use crate::support::device_cache;
use crate::support::exit::{Exit, Failure, Result};

/// More often than this, a person cannot mistype a code by accident.
const ANSWERS: usize = 5;

/// Who signs in, as typed.
pub(crate) struct Who {
    email: String,
    password: Zeroizing<String>,
}

/// Takes e-mail address and password from where the arguments say.
pub(crate) fn ask_who(context: &Context, args: &Login) -> Result<Who> {
    let email = match args.email.as_ref().or(context.account.as_ref()).or(context.config.account.as_ref()) {
        Some(email) => email.clone(),
        None if args.password_stdin => {
            return Err(Failure::usage("give the e-mail address: `mysa login EMAIL`"));
        }
        None => ask("E-mail address")?,
    };
    let source = match &args.password_file {
        Some(path) => PasswordSource::File(path),
        None if args.password_stdin => PasswordSource::Stdin,
        None => PasswordSource::Prompt,
    };
    Ok(Who { email, password: password(&source)? })
}

pub(crate) async fn login(
    terminal: &Terminal,
    context: &Context,
    who: Who,
    redaction: &Redaction,
) -> Result<()> {
    let Who { email, password } = who;
    let file = context.token_file(&email);
    // Whatever was there before is replaced, but a file others can read is not written over in silence.
    if let Err(error) = file.load() {
        return Err((Exit::Failed, error).into());
    }
    let mut settings = context.settings();
    settings.live_reports = false;
    let builder = context.builder(settings)?.password(&email, Secret::from(password.as_str()));
    // Without the file: a password that was mistyped is no reason to lose the session that is there.
    let cloud = Cloud::start(builder, email, &context.goodbyes)?;
    terminal.progress("signing in");
    let signed_in = signed_in(&cloud, terminal).await;
    terminal.progress("");
    signed_in?;
    cloud.keep_list(context, terminal);
    let count = cloud.client.devices().len();
    let account = redaction.email(&cloud.account);
    let stored = cloud.client.stored_session();
    cloud.close(terminal).await;
    let stored = stored.ok_or_else(|| Failure::new(Exit::Failed, "the cloud gave no session to keep"))?;
    file.save(&stored).map_err(|error| Failure::from((Exit::Failed, error)))?;
    if terminal.json {
        let mut record = Record::document();
        record.put("account", account).put("devices", i64::try_from(count).unwrap_or(i64::MAX));
        record.put("session", file.path().display().to_string());
        return terminal.line(record.to_json());
    }
    terminal.say(format!("signed in as {account}; thermostats: {count}"));
    terminal
        .say(format!("the session is kept in {}, for you alone; the password is not", file.path().display()));
    Ok(())
}

async fn signed_in(cloud: &Cloud, terminal: &Terminal) -> Result<()> {
    let mut answers = 0;
    loop {
        match timeout(Duration::from_secs(60), cloud.client.ready()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(NotReady::Challenge(challenge))) if answers < ANSWERS => {
                answers += 1;
                terminal.progress("");
                // On a thread of its own, so that Ctrl-C is heard meanwhile.
                let question = question(&challenge);
                let answer = tokio::task::spawn_blocking(move || ask(&question))
                    .await
                    .map_err(|error| Failure::from((Exit::Failed, error)))??;
                let ended = |error| Failure::from((Exit::Failed, error));
                cloud.client.answer_challenge(&answer).await.map_err(ended)?;
            }
            Ok(Err(NotReady::Challenge(_))) => {
                return Err(Failure::new(Exit::SignIn, "the code was wrong too often"));
            }
            Ok(Err(NotReady::SignInNeeded(reason))) => {
                return Err(Failure::new(Exit::SignIn, format!("sign-in refused: {reason}")));
            }
            Ok(Err(why)) => return Err(not_ready(&why)),
            Err(_) => {
                return Err(Failure::new(Exit::Unreachable, "the cloud did not answer within a minute"));
            }
        }
    }
}

fn question(challenge: &ChallengeNeeded) -> String {
    let again = if challenge.again { "That was not it. " } else { "" };
    let to = challenge.destination.as_ref().map(|place| format!(" sent to {place}")).unwrap_or_default();
    match challenge.kind {
        ChallengeKind::SmsMfa => format!("{again}Code of the text message{to}"),
        ChallengeKind::EmailOtp | ChallengeKind::EmailMfa => format!("{again}Code of the e-mail{to}"),
        ChallengeKind::SoftwareTokenMfa => format!("{again}Code of the authenticator app"),
        ChallengeKind::SelectMfaType => format!("{again}Which way ({})", challenge.choices.join(", ")),
        _ => format!("{again}Answer{to}"),
    }
}

pub(crate) async fn logout(
    terminal: &Terminal,
    context: &Context,
    args: &Logout,
    redaction: &Redaction,
) -> Result<()> {
    let account = context.account()?;
    let file = context.token_file(&account);
    if args.local {
        file.remove().map_err(|error| Failure::from((Exit::Failed, error)))?;
        terminal.say("the session is forgotten here; it was not revoked");
    } else {
        let mut settings = context.settings();
        settings.live_reports = false;
        let builder = context.builder(settings)?.token_file(file.clone());
        let cloud = Cloud::start(builder, account.clone(), &context.goodbyes)?;
        let ended = timeout(Duration::from_secs(20), cloud.client.sign_out()).await;
        if !matches!(ended, Ok(Ok(()))) {
            return Err(Failure::new(
                Exit::Unreachable,
                "the cloud did not answer, so the session may not be revoked; `mysa logout --local` forgets it here alone",
            ));
        }
        file.remove().map_err(|error| Failure::from((Exit::Failed, error)))?;
        terminal.say(format!("signed out {}", redaction.email(&account)));
    }
    device_cache::forget(&context.places, &account);
    if terminal.json {
        let mut record = Record::document();
        record.put("account", redaction.email(&account)).put("revoked", !args.local);
        return terminal.line(record.to_json());
    }
    Ok(())
}
