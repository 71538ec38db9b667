//! `mysa raw`.

use mysa_proto::RawJson;
use mysa_proto::rest::{ReadRequest, RestHost};
use mysa_tokio::{Error, RequestError};

use crate::args::{Host, Raw};
use crate::output::record::{Record, Value, escape_json, printable};
use crate::output::redact::Redaction;
use crate::output::terminal::Terminal;
use crate::support::cloud::{Context, is_web_page, throttled, web_page};
use crate::support::exit::{Exit, Failure, Result};

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    args: &Raw,
    redaction: &mut Redaction,
) -> Result<()> {
    let host = match args.host {
        Host::Legacy => RestHost::Legacy,
        Host::Backend => RestHost::Backend,
    };
    let request = ReadRequest::get(host, &args.path).ok_or_else(|| {
        Failure::usage(format!(
            "invalid path '{}': expected a path that starts with a slash, has no white space, and returns no credentials",
            args.path
        ))
    })?;
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    let answer = cloud.client.request(request).await;
    cloud.close(terminal).await;
    let response = answer.map_err(failure)?;
    let text = String::from_utf8_lossy(&response.body);
    match RawJson::new(&text) {
        Ok(json) => {
            let mut wrapper = Record::new();
            wrapper.put("body", Value::from_raw(json));
            let shown = redaction.record(wrapper);
            let body = shown.fields().find(|(name, _)| *name == "body").map(|(_, value)| value.clone());
            let body = body.unwrap_or(Value::Null);
            let text = if terminal.json {
                serde_json::to_string(&body)
            } else {
                serde_json::to_string_pretty(&body)
            };
            terminal.line(escape_json(&text.map_err(|error| Failure::from((Exit::Failed, error)))?))
        }
        Err(_) => {
            terminal.say(format!("the answer (HTTP {}) is not JSON", response.status));
            terminal.line(printable(&redaction.text(&text)))
        }
    }
}

/// Maps a failed request to its exit code.
pub(crate) fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::Request(RequestError::Refused { status: 429, retry_after, .. }) => {
            return throttled(*retry_after);
        }
        Error::Request(RequestError::Refused { body, .. }) if is_web_page(body) => return web_page(),
        Error::Request(RequestError::Refused { status: 401, .. } | RequestError::NotSignedIn) => Exit::SignIn,
        Error::Request(RequestError::Refused { status: 500.., .. } | RequestError::Failed(_)) => {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    };
    (exit, error).into()
}
