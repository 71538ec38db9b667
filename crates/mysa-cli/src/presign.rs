//! `mysa presign`.

use std::io::Read as _;

use mysa_proto::UnixTime;
use mysa_sigv4::{Inspection, PresignedUrl};

use crate::exit::{Exit, Failure, Result};
use crate::record::Record;
use crate::terminal::Terminal;
use crate::when::{civil, span};

/// Reads a presigned URL that was given as an argument, or from standard input for `-`, where it stays out of the list
/// of processes and the history of the shell.
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

/// Explains a captured URL. The signature and the token are never shown.
pub(crate) fn inspect(terminal: &Terminal, argument: &str, now: UnixTime) -> Result<()> {
    let seen = read_url(argument)?.inspect().map_err(|error| Failure::from((Exit::Usage, error)))?;
    terminal.document(&record(&seen, now))
}

fn record(seen: &Inspection, now: UnixTime) -> Record {
    let left = seen.lapses_at.unix_timestamp().saturating_sub(now.as_secs());
    let mut record = Record::document();
    record.put("endpoint", seen.authority.host_header()).put("path", seen.path.as_str());
    record.put("access_key_id", seen.access_key_id.as_str());
    record.put("region", seen.region.as_str()).put("service", seen.service.as_str());
    record.put("signed_at", civil(seen.signed_at)).put("lapses_at", civil(seen.lapses_at));
    record.put("lapsed", left < 0);
    record.put(
        "standing",
        if left < 0 {
            format!("lapsed {} ago; AWS will answer 403", span(left.saturating_neg()))
        } else {
            format!("good for another {}, if its credentials are; AWS gives five to ten minutes, whatever it states", span(left))
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
    fn what_is_shown_of_a_url_holds_neither_signature_nor_token() {
        let seen = PresignedUrl::parse(URL).unwrap().inspect().unwrap();
        let shown = record(&seen, UnixTime::from_secs(1_767_323_105)).to_json();
        assert!(shown.contains("ASIAEXAMPLE") && shown.contains("2026-01-02T03:04:05Z"), "{shown}");
        assert!(shown.contains("\"lapsed\":false") && shown.contains("another 4 min"), "{shown}");
        assert!(!shown.contains("1fe633a0") && !shown.contains("canary"), "{shown}");
        let shown = record(&seen, UnixTime::from_secs(1_767_333_045)).to_json();
        assert!(shown.contains("\"lapsed\":true") && shown.contains("lapsed 2 h ago"), "{shown}");
    }
}
