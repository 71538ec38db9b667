//! `mysa presign`.

use std::env;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use mysa_proto::UnixTime;
use mysa_sigv4::{Authority, Credentials, Inspection, PresignedUrl, Presigner, TokenRule};
use mysa_tokio::Level;
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::args::Presign;
use crate::output::record::{self, Record};
use crate::output::terminal::Terminal;
use crate::output::timefmt::{civil, now as clock, span};
use crate::support::atomic_file;
use crate::support::cloud::Context;
use crate::support::exit::{Exit, Failure, Result};

/// Time limit for the AWS credentials after the sign-in.
const SIGN_TIMEOUT: Duration = Duration::from_secs(20);

/// Parses a presigned URL from an argument, or from standard input for `-`, which keeps it out of the process list and
/// the history of the shell.
pub(crate) fn read_url(argument: &str) -> Result<PresignedUrl> {
    let mut text = argument.to_owned();
    if argument == "-" {
        text.clear();
        std::io::stdin()
            .lock()
            .take(64 << 10)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot read standard input: {error}")))?;
    }
    PresignedUrl::parse(&text).map_err(|error| (Exit::Usage, error).into())
}

/// Explains a URL, or signs one with AWS keys of the environment. Needs no account.
pub(crate) fn offline(terminal: &Terminal, args: &Presign, now: UnixTime) -> Result<()> {
    if let Some(argument) = &args.inspect {
        // The signature and the token are never printed.
        let seen = read_url(argument)?.inspect().map_err(|error| Failure::from((Exit::Usage, error)))?;
        return terminal.document(&record(&seen, now));
    }
    let endpoint = args.endpoint.as_deref().unwrap_or_default();
    let key = |name: &str| {
        env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
            Failure::usage(format!("{name} is not set: with --endpoint, AWS keys come from the environment"))
        })
    };
    let token = env::var("AWS_SESSION_TOKEN").ok();
    let credentials =
        Credentials::new(key("AWS_ACCESS_KEY_ID")?, key("AWS_SECRET_ACCESS_KEY")?, token.as_deref());
    let region = match (&args.region, region_in(endpoint)) {
        (Some(region), _) => region.clone(),
        (None, Some(region)) => region.to_owned(),
        (None, None) => {
            return Err(Failure::usage(format!("no AWS region in '{endpoint}': add --region")));
        }
    };
    let authority = Authority::parse(endpoint)
        .map_err(|error| Failure::usage(format!("--endpoint {endpoint}: {error}")))?;
    let time = OffsetDateTime::from_unix_timestamp(now.as_secs())
        .map_err(|_| Failure::new(Exit::Failed, "the clock of this computer has no valid date"))?;
    let url = Presigner::iot(region)
        .presign(&credentials, &authority, "/mqtt", time, None, TokenRule::AfterSigning)
        .map_err(|error| Failure::from((Exit::Usage, error)))?;
    give(terminal, args, &url)
}

/// Returns `us-east-1` for `a1b2-ats.iot.us-east-1.amazonaws.com`.
fn region_in(endpoint: &str) -> Option<&str> {
    endpoint.split_once(".iot.")?.1.split_once(".amazonaws.com").map(|(region, _)| region)
}

/// Signs a URL for the account that is signed in.
pub(crate) async fn online(terminal: &Terminal, context: &Context, args: &Presign) -> Result<()> {
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    if cloud.client.devices().is_empty() {
        cloud.close(terminal).await;
        return Err(Failure::new(
            Exit::Failed,
            "the account has no thermostats, so there is nothing to subscribe to",
        ));
    }
    terminal.progress("waiting for credentials");
    let signed = timeout(SIGN_TIMEOUT, cloud.client.presign()).await;
    terminal.progress("");
    let service = cloud.client.service();
    cloud.close(terminal).await;
    match signed {
        Ok(Ok(url)) => give(terminal, args, &url),
        Ok(Err(ended)) => Err((Exit::Failed, ended).into()),
        Err(_) => {
            let exit = if service.level == Level::SignInNeeded { Exit::SignIn } else { Exit::Unreachable };
            Err(Failure::new(exit, format!("no credentials to sign with: {service}")))
        }
    }
}

/// Writes a URL to the destination that the arguments name.
fn give(terminal: &Terminal, args: &Presign, url: &PresignedUrl) -> Result<()> {
    let seen = url.inspect().map_err(|error| Failure::from((Exit::Failed, error)))?;
    let mut record = record(&seen, clock());
    let Some(path) = &args.out else {
        terminal.say(format!(
            "this URL is a secret: anyone who has it can connect as this account until {}",
            civil(seen.expires_at)
        ));
        if terminal.json {
            record.put("url", url.as_str());
            return terminal.line(record.to_json());
        }
        return terminal.line(url.as_str());
    };
    if path == Path::new("-") {
        return Err(Failure::usage("--out needs a file; use --print for standard output"));
    }
    atomic_file::write(path, &format!("{}\n", url.as_str()), atomic_file::OWNER_ONLY)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))?;
    record.put("file", path.display().to_string());
    terminal.document(&record)
}

fn record(seen: &Inspection, now: UnixTime) -> Record {
    let left = seen.expires_at.unix_timestamp().saturating_sub(now.as_secs());
    let mut record = record::document();
    record.put("endpoint", seen.authority.host_header()).put("path", seen.path.as_str());
    record.put("access_key_id", seen.access_key_id.as_str());
    record.put("region", seen.region.as_str()).put("service", seen.service.as_str());
    record.put("signed_at", civil(seen.signed_at)).put("expires_at", civil(seen.expires_at));
    record.put("expired", left < 0);
    record.put(
        "standing",
        if left < 0 {
            format!("expired {} ago; AWS answers 403", span(left.saturating_neg()))
        } else {
            format!("valid for another {}, if its credentials are; AWS accepts it for five to ten minutes, whatever it states", span(left))
        },
    );
    record.put("stated_lifetime_s", seen.expires).put("signed_headers", seen.signed_headers.as_str());
    record.put("has_session_token", seen.has_session_token);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "wss://a1-ats.iot.us-east-1.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=ASIAEXAMPLE%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request\
        &X-Amz-Date=20260102T030405Z&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=1fe633a074b36e4d8c61d883dd7a15f69abbed73dc2ffde30680297bae6e616d\
        &X-Amz-Security-Token=canary";

    #[test]
    fn an_explained_url_shows_neither_signature_nor_token() {
        let seen = PresignedUrl::parse(URL).unwrap().inspect().unwrap();
        let shown = record(&seen, UnixTime::from_secs(1_767_323_105)).to_json();
        assert!(shown.contains("ASIAEXAMPLE") && shown.contains("2026-01-02T03:04:05Z"), "{shown}");
        assert!(shown.contains("\"expired\":false") && shown.contains("another 4 min"), "{shown}");
        assert!(!shown.contains("1fe633a0") && !shown.contains("canary"), "{shown}");
        let shown = record(&seen, UnixTime::from_secs(1_767_333_045)).to_json();
        assert!(shown.contains("\"expired\":true") && shown.contains("expired 2 h ago"), "{shown}");
    }

    #[test]
    fn the_region_is_in_the_host_name_of_the_broker() {
        assert_eq!(region_in("a1b2-ats.iot.eu-west-1.amazonaws.com:443"), Some("eu-west-1"));
        assert_eq!(region_in("iot.example.org"), None);
    }
}
