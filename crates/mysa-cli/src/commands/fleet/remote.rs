//! Requests to the worker that owns an account, by NATS.

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::ask::{Ask, Set};
use super::nats::{Nats, token};
use crate::output::timefmt;
use crate::support::exit::{Exit, Failure, Result};

/// Member `retry` of an answer to a request that was not carried out.
pub(super) const NOT_TAKEN: &str = "not_taken";
/// Member `retry` of an answer to a request that may have been carried out.
pub(super) const UNKNOWN: &str = "unknown";
/// Header of a request with the time after which it is not carried out, in Unix milliseconds.
pub(super) const EXPIRES: &str = "Mysa-Expires";
/// Time after which a request without an answer is repeated. Its owner may be gone, and the next one knows the verdict.
const REPEAT: Duration = Duration::from_secs(8);
/// Pause before a request is repeated that no worker took.
const PAUSE: Duration = Duration::from_millis(500);
/// Time for an account to get an owner. It has none for a moment while it is handed over.
const OWNER_LIMIT: Duration = Duration::from_secs(5);
/// Time after the time limit of a command for its verdict to arrive. If its owner is gone, that of the next one.
const GRACE: Duration = Duration::from_secs(75);

/// End of the text of a failure after which a command has certainly no effect.
const NOTHING_SENT: &str = "; nothing was sent";

/// Answer of a worker to a repeat, as far as the sender acts on it.
enum Outcome {
    /// The answer for the caller.
    Final(String),
    /// There is no verdict yet; a repeat may find one.
    Later { why: String, pause: bool },
}

/// Sends a request, repeats it until there is an answer, and returns the answer.
///
/// # Errors
/// No worker took the request, or there was no answer in time; the text says what may have happened.
pub(super) async fn request(nats: &Nats, set: &Set, wait: Duration) -> Result<String> {
    let account = token(&set.account)
        .ok_or_else(|| Failure::usage(format!("invalid account '{}': too long for NATS", set.account)))?;
    let subject = nats.set_subject(&account);
    let body =
        serde_json::to_vec(&Ask::Set(set.clone())).map_err(|error| Failure::from((Exit::Failed, error)))?;
    let expires = timefmt::now().plus_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    let mut headers = HeaderMap::new();
    headers.insert(EXPIRES, expires.as_millis().to_string());
    let lost = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Unreachable, format!("the connection to NATS has ended: {error}"))
    };
    // One for all repeats, so that the answer to any of them counts.
    let inbox = nats.client.new_inbox();
    let mut answers = nats.client.subscribe(inbox.clone()).await.map_err(|error| lost(&error))?;
    let begun = Instant::now();
    let mut was_taken = false;
    loop {
        nats.client
            .publish_with_reply_and_headers(
                subject.clone(),
                inbox.clone(),
                headers.clone(),
                body.clone().into(),
            )
            .await
            .map_err(|error| lost(&error))?;
        let until = Instant::now() + REPEAT;
        let outcome = match timeout_at(until, answers.next()).await {
            Ok(Some(message)) => read(&message)?,
            Ok(None) => return Err(lost(&"no more answers")),
            Err(_) => Outcome::Later {
                why: format!("the owner of the account does not answer{}", nats.why()),
                pause: false,
            },
        };
        let limit = match outcome {
            Outcome::Final(answer) => return Ok(answer),
            Outcome::Later { .. } if was_taken => wait + GRACE,
            Outcome::Later { pause: true, .. } => wait.min(OWNER_LIMIT),
            Outcome::Later { .. } => {
                was_taken = true;
                wait + GRACE
            }
        };
        if let Outcome::Later { why, pause } = outcome {
            if begun.elapsed() >= limit {
                return Err(given_up(set, &why, was_taken));
            }
            if pause {
                sleep_until(Instant::now() + PAUSE).await;
            }
        }
    }
}

fn given_up(set: &Set, why: &str, was_taken: bool) -> Failure {
    if was_taken {
        let id = set.request.as_deref().unwrap_or_default();
        let text = format!(
            "time-out: {why}, and the command may still take effect; repeat it with --request {id} to learn the verdict"
        );
        Failure::new(Exit::TimedOut, text)
    } else {
        let why = why.trim_end_matches(NOTHING_SENT);
        Failure::new(Exit::Unreachable, format!("{why}{NOTHING_SENT}"))
    }
}

fn read(message: &Message) -> Result<Outcome> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        let why = "no worker serves the account now; it may have another name, or its worker is gone and the next \
                   one takes it after the lease";
        return Ok(Outcome::Later { why: why.to_owned(), pause: true });
    }
    let invalid = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("the worker gave no valid answer: {error}"))
    };
    let text = String::from_utf8(message.payload.to_vec()).map_err(|error| invalid(&error))?;
    let answer: Value = serde_json::from_str(&text).map_err(|error| invalid(&error))?;
    Ok(match answer["retry"].as_str() {
        None => Outcome::Final(text),
        Some(retry) => Outcome::Later {
            why: answer["message"].as_str().unwrap_or("the worker gave no reason").to_owned(),
            pause: retry != UNKNOWN,
        },
    })
}

/// Returns an id for a request whose caller gives none.
pub(super) fn random_id() -> String {
    let mut bytes = [0; 12];
    match getrandom::fill(&mut bytes) {
        Ok(()) => hex::encode(bytes),
        // No system lacks random numbers.
        Err(_) => timefmt::now().as_millis().to_string(),
    }
}
