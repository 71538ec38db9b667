//! Failures, redirects and invalid answers of the two REST hosts.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod rig;

use mysa_session::{Environment, Event, Level, Reason, RequestError};
use rig::{Reply, Rig, secs};

const PAGE: &str = "<!DOCTYPE html><html><body>Sign in to the guest network</body></html>";

/// Returns the level and the reason after a start where both hosts answer with `reply`.
fn reason(reply: Reply) -> (Level, Reason) {
    let mut rig = Rig::new();
    rig.cloud.rest = reply;
    rig.run(secs(10));
    let service = rig.session.service();
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
        let mut rig = Rig::new();
        rig.cloud.legacy = Some(reply);
        rig.run(secs(5));
        assert_eq!(rig.session.service().reason, Reason::Healthy, "{reply:?}: {}", rig.session.service());
        let legacy = |rig: &Rig| {
            let host = Environment::mysa().legacy_url;
            rig.log.urls.iter().filter(|url| url.starts_with(&host)).count()
        };
        // Only the first poll asks the failing host.
        assert_eq!(legacy(&rig), 1, "{reply:?}: {:?}", rig.log.urls);
        let (before, asked) = (rig.log.urls.len(), legacy(&rig));
        rig.run(secs(3_600));
        // The host is tried again from time to time, at the cost of one request each.
        let (all, again) = (rig.log.urls.len() - before, legacy(&rig) - asked);
        assert!(again >= 1 && again * 3 < all, "{reply:?}: {again} of {all}");
    }
}

#[test]
fn a_hanging_host_is_replaced_by_the_other() {
    let mut rig = Rig::new();
    rig.cloud.legacy = Some(Reply::Timeout);
    rig.run(secs(30));
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
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
    let mut rig = Rig::new();
    rig.cloud.rest = Reply::Status(429, "");
    rig.cloud.retry_after = Some("120");
    rig.run(secs(100));
    assert_eq!(rig.session.service().reason, Reason::Throttled);
    assert_eq!(rig.log.urls.len(), 1, "{:?}", rig.log.urls);
}

#[test]
fn a_redirect_to_a_host_of_the_service_is_followed() {
    let backend = Environment::mysa().backend_url;
    let location: &'static str = format!("{backend}/devices/moved").leak();
    let mut rig = Rig::new();
    rig.cloud.legacy = Some(Reply::Status(308, ""));
    rig.cloud.location = Some(location);
    rig.run(secs(2));
    assert!(rig.log.urls.iter().any(|url| url == location), "{:?}", rig.log.urls);
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
        let mut rig = Rig::new();
        rig.cloud.legacy = Some(Reply::Status(302, ""));
        rig.cloud.location = Some(location);
        rig.run(secs(600));
        let hosts = [format!("{}/", environment.legacy_url), format!("{}/", environment.backend_url)];
        let foreign = rig.log.urls.iter().filter(|url| !hosts.iter().any(|host| url.starts_with(host)));
        assert_eq!(foreign.count(), 0, "{location}: {:?}", rig.log.urls);
        assert_eq!(rig.session.service().level, Level::Live, "{location}");
    }
}

#[test]
fn a_redirect_loop_ends() {
    let mut rig = Rig::new();
    rig.cloud.legacy = Some(Reply::Status(301, ""));
    rig.cloud.location = Some("/devices");
    rig.run(secs(60));
    assert!(rig.log.urls.len() < 20, "{:?}", rig.log.urls);
    assert_eq!(rig.session.service().level, Level::Live, "{}", rig.session.service());
}

#[test]
fn a_valid_token_authorises_requests_although_it_cannot_be_renewed() {
    let mut rig = Rig::live();
    rig.cloud.accepted = Some(Vec::new());
    // The renewal is refused before the token expires.
    for _ in 0..360 {
        if rig.session.service().level == Level::SignInNeeded {
            break;
        }
        rig.run(secs(10));
    }
    assert_eq!(rig.session.service().level, Level::SignInNeeded);
    let now = rig.now();
    let id = rig.session.request(now, mysa_proto::rest::users()).unwrap();
    rig.run(secs(5));
    // The rig does not have this route; only the request itself matters.
    let answered = rig.events.iter().any(|(_, event)| {
        let Event::Response { id: of, result } = event else { return false };
        *of == id && matches!(result, Err(RequestError::Refused { status: 404, .. }))
    });
    assert!(answered, "{:?}", rig.events);
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
        let mut rig = Rig::live();
        rig.cloud.retry_after = header;
        let now = rig.now();
        let id = rig.session.request(now, mysa_proto::rest::users()).unwrap();
        rig.run(secs(5));
        let error = rig.events.iter().find_map(|(_, event)| match event {
            Event::Response { id: of, result: Err(error) } if *of == id => Some(error.clone()),
            _ => None,
        });
        let Some(RequestError::Refused { retry_after, .. }) = &error else { panic!("{header:?}: {error:?}") };
        assert_eq!(*retry_after, wait, "{header:?}");
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(text.contains("try again in 120 s"), wait == Some(secs(120)), "{text}");
    }
}
