//! Failures, redirects and invalid answers of the two REST hosts.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod harness;

use harness::{Harness, Reply, secs};
use mysa_session::{Environment, Event, Level, Reason, RequestError};

const PAGE: &str = "<!DOCTYPE html><html><body>Sign in to the guest network</body></html>";

/// Returns the level and the reason after a start where both hosts answer with `reply`.
fn reason(reply: Reply) -> (Level, Reason) {
    let mut harness = Harness::new();
    harness.cloud.rest = reply;
    harness.run(secs(10));
    let service = harness.session.service();
    (service.level, service.reason)
}

#[test]
fn when_the_legacy_host_fails_the_other_host_is_asked_at_once_and_from_then_on() {
    for reply in [
        Reply::Status(301, ""),
        Reply::Status(403, r#"{"message":"Forbidden"}"#),
        Reply::Status(404, PAGE),
        Reply::Status(410, ""),
        Reply::Status(200, PAGE),
        Reply::Status(503, PAGE),
    ] {
        let mut harness = Harness::new();
        harness.cloud.legacy = Some(reply);
        harness.run(secs(5));
        assert_eq!(
            harness.session.service().reason,
            Reason::Healthy,
            "{reply:?}: {}",
            harness.session.service()
        );
        let legacy = |harness: &Harness| {
            let host = Environment::mysa().legacy_url;
            harness.log.urls.iter().filter(|url| url.starts_with(&host)).count()
        };
        // Only the first poll asks the failing host.
        assert_eq!(legacy(&harness), 1, "{reply:?}: {:?}", harness.log.urls);
        let (before, asked) = (harness.log.urls.len(), legacy(&harness));
        harness.run(secs(3_600));
        // The host is tried again from time to time, at the cost of one request each.
        let (all, again) = (harness.log.urls.len() - before, legacy(&harness) - asked);
        assert!(again >= 1 && again * 3 < all, "{reply:?}: {again} of {all}");
    }
}

#[test]
fn a_hanging_host_is_replaced_by_the_other() {
    let mut harness = Harness::new();
    harness.cloud.legacy = Some(Reply::Timeout);
    harness.run(secs(30));
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn when_both_hosts_fail_the_reason_is_reported() {
    assert_eq!(reason(Reply::Status(200, PAGE)), (Level::Offline, Reason::WebPage));
    assert_eq!(reason(Reply::Status(302, PAGE)), (Level::Offline, Reason::WebPage));
    assert_eq!(reason(Reply::Status(410, "")), (Level::Offline, Reason::ServerTrouble { status: 410 }));
    // Error page of a load balancer.
    assert_eq!(reason(Reply::Status(503, PAGE)), (Level::Offline, Reason::ServerTrouble { status: 503 }));
    assert_eq!(reason(Reply::Status(200, "[]")), (Level::Offline, Reason::ServerTrouble { status: 200 }));
}

#[test]
fn a_pause_that_the_cloud_asks_for_holds_for_both_hosts() {
    let mut harness = Harness::new();
    harness.cloud.rest = Reply::Status(429, "");
    harness.cloud.retry_after = Some("120");
    harness.run(secs(100));
    assert_eq!(harness.session.service().reason, Reason::Throttled);
    assert_eq!(harness.log.urls.len(), 1, "{:?}", harness.log.urls);
}

#[test]
fn a_redirect_to_a_host_of_the_service_is_followed() {
    let backend = Environment::mysa().backend_url;
    let location: &'static str = format!("{backend}/devices/moved").leak();
    let mut harness = Harness::new();
    harness.cloud.legacy = Some(Reply::Status(308, ""));
    harness.cloud.location = Some(location);
    harness.run(secs(2));
    assert!(harness.log.urls.iter().any(|url| url == location), "{:?}", harness.log.urls);
}

#[test]
fn no_token_is_sent_to_a_foreign_host() {
    let environment = Environment::mysa();
    let lookalike: &'static str = format!("{}.example.org/devices", environment.legacy_url).leak();
    let user: &'static str = format!("{}@example.org/devices", environment.legacy_url).leak();
    let plain: &'static str = environment.backend_url.replace("https", "http").leak();
    for location in
        [lookalike, user, plain, "https://example.org/devices", "//example.org/devices", "devices", ""]
    {
        let mut harness = Harness::new();
        harness.cloud.legacy = Some(Reply::Status(302, ""));
        harness.cloud.location = Some(location);
        harness.run(secs(600));
        let hosts = [format!("{}/", environment.legacy_url), format!("{}/", environment.backend_url)];
        let foreign = harness.log.urls.iter().filter(|url| !hosts.iter().any(|host| url.starts_with(host)));
        assert_eq!(foreign.count(), 0, "{location}: {:?}", harness.log.urls);
        assert_eq!(harness.session.service().level, Level::Live, "{location}");
    }
}

#[test]
fn a_redirect_loop_ends() {
    let mut harness = Harness::new();
    harness.cloud.legacy = Some(Reply::Status(301, ""));
    harness.cloud.location = Some("/devices");
    harness.run(secs(60));
    assert!(harness.log.urls.len() < 20, "{:?}", harness.log.urls);
    assert_eq!(harness.session.service().level, Level::Live, "{}", harness.session.service());
}

#[test]
fn a_valid_token_authorises_requests_although_it_cannot_be_renewed() {
    let mut harness = Harness::live();
    harness.cloud.accepted = Some(Vec::new());
    // The renewal is refused before the token expires.
    for _ in 0..360 {
        if harness.session.service().level == Level::SignInNeeded {
            break;
        }
        harness.run(secs(10));
    }
    assert_eq!(harness.session.service().level, Level::SignInNeeded);
    let now = harness.now();
    let id = harness.session.request(now, mysa_proto::rest::users()).unwrap();
    harness.run(secs(5));
    // The harness does not have this route; only the request itself matters.
    let answered = harness.events.iter().any(|(_, event)| {
        let Event::Response { id: of, result } = event else { return false };
        *of == id && matches!(result, Err(RequestError::Refused { status: 404, .. }))
    });
    assert!(answered, "{:?}", harness.events);
}

#[test]
fn a_refused_request_reports_its_retry_after() {
    for (header, wait) in [
        (Some("120"), Some(secs(120))),
        (Some("86400"), Some(secs(3_600))),
        (Some("0"), None),
        (Some("soon"), None),
        (None, None),
    ] {
        let mut harness = Harness::live();
        harness.cloud.retry_after = header;
        let now = harness.now();
        let id = harness.session.request(now, mysa_proto::rest::users()).unwrap();
        harness.run(secs(5));
        let error = harness.events.iter().find_map(|(_, event)| match event {
            Event::Response { id: of, result: Err(error) } if *of == id => Some(error.clone()),
            _ => None,
        });
        let Some(RequestError::Refused { retry_after, .. }) = &error else { panic!("{header:?}: {error:?}") };
        assert_eq!(*retry_after, wait, "{header:?}");
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(text.contains("try again in 120 s"), wait == Some(secs(120)), "{text}");
    }
}
