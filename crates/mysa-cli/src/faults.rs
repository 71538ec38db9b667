//! The faults of the simulated cloud by name.

use std::time::Duration;

use mysa_sim::{Closing, CloudSpec, DeviceFault, Endpoint, Fault, FaultPlan, Happening, HttpFault};

use crate::support::exit::{Failure, Result};

enum Kind {
    /// Lasts from its time on.
    Lasting(fn() -> Fault),
    /// Happens once, at its time.
    Once(fn(&CloudSpec) -> Vec<Happening>),
}

const ALL: &[(&str, &str, Kind)] = &[
    (
        "sign-in-throttled",
        "the user pool answers that it was asked too often",
        Kind::Lasting(|| {
            Fault::Http(Endpoint::UserPool, HttpFault::Exception("TooManyRequestsException".into()))
        }),
    ),
    (
        "user-pool-down",
        "the user pool answers 503",
        Kind::Lasting(|| Fault::Http(Endpoint::UserPool, HttpFault::Status(503))),
    ),
    (
        "identity-pool-down",
        "the identity pool answers 503",
        Kind::Lasting(|| Fault::Http(Endpoint::IdentityPool, HttpFault::Status(503))),
    ),
    (
        "rest-down",
        "the REST service answers 503",
        Kind::Lasting(|| Fault::Http(Endpoint::Rest, HttpFault::Status(503))),
    ),
    (
        "rest-hang",
        "the REST service never answers",
        Kind::Lasting(|| Fault::Http(Endpoint::Rest, HttpFault::Hang)),
    ),
    (
        "rest-throttled",
        "the REST service answers 429",
        Kind::Lasting(|| Fault::Http(Endpoint::Rest, HttpFault::Throttle(30))),
    ),
    (
        "portal",
        "a captive portal answers everything with a page",
        Kind::Lasting(|| Fault::Http(Endpoint::Any, HttpFault::Html(200))),
    ),
    (
        "http-reset",
        "every HTTP connection is reset",
        Kind::Lasting(|| Fault::Http(Endpoint::Any, HttpFault::Reset)),
    ),
    ("freeze-states", "REST states stay as they were", Kind::Lasting(|| Fault::FreezeStates)),
    (
        "refuse-upgrade",
        "WebSocket upgrades are answered with 403",
        Kind::Lasting(|| Fault::RefuseUpgrade(403)),
    ),
    (
        "upgrade-page",
        "WebSocket upgrades are answered with a proxy's page",
        Kind::Lasting(|| Fault::UpgradePage(200)),
    ),
    (
        "broker-unavailable",
        "the broker answers CONNECT that it is out of service",
        Kind::Lasting(|| Fault::RefuseConnect(3)),
    ),
    ("hang-upgrade", "WebSocket upgrades are never answered", Kind::Lasting(|| Fault::HangUpgrade)),
    (
        "refuse-connect",
        "the broker does not authorise the connection",
        Kind::Lasting(|| Fault::RefuseConnect(5)),
    ),
    (
        "deny-publish",
        "the policy allows no publish, as the newer apps' does",
        Kind::Lasting(|| Fault::DenyPublish),
    ),
    (
        "close-on-publish",
        "a client's first publish closes its connection",
        Kind::Lasting(|| Fault::CloseOnPublish(Closing::Cut)),
    ),
    ("eat-publishes", "what clients publish vanishes", Kind::Lasting(|| Fault::EatPublishes)),
    ("eat-pubacks", "publishes arrive, their PUBACK does not", Kind::Lasting(|| Fault::EatPubacks)),
    ("eat-subacks", "subscriptions hold, their SUBACK does not arrive", Kind::Lasting(|| Fault::EatSubacks)),
    ("eat-pings", "pings are not answered", Kind::Lasting(|| Fault::EatPings)),
    ("blackhole", "nothing the broker sends arrives", Kind::Lasting(|| Fault::BlackholeOut)),
    ("duplicate", "every message comes twice", Kind::Lasting(|| Fault::Duplicate)),
    ("offline", "the thermostats have no Wi-Fi", Kind::Lasting(|| Fault::Device(None, DeviceFault::Offline))),
    (
        "powerless",
        "the thermostats have no power",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::Powerless)),
    ),
    (
        "ignore-commands",
        "the thermostats pay no heed to commands",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::IgnoreCommands)),
    ),
    (
        "refuse-commands",
        "the thermostats answer commands with no",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::Refuse)),
    ),
    (
        "drop-acks",
        "the thermostats' answers are lost",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::DropAcks)),
    ),
    (
        "drop-statuses",
        "the thermostats' statuses are lost",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::DropStatuses)),
    ),
    (
        "ack-without-applying",
        "the thermostats answer yes and do nothing",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::AckWithoutApplying)),
    ),
    ("truncate", "statuses are cut short", Kind::Lasting(|| Fault::Device(None, DeviceFault::Truncate))),
    (
        "clock-shift",
        "the thermostats' clocks are an hour ahead",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::ClockShift(3_600))),
    ),
    ("cut", "every connection is cut, once", Kind::Once(|_| vec![Happening::CloseAll(Closing::Cut)])),
    (
        "close",
        "every connection is closed properly, once",
        Kind::Once(|_| vec![Happening::CloseAll(Closing::Frame(Some(1_000)))]),
    ),
    ("expire-tokens", "id and access tokens expire", Kind::Once(|_| vec![Happening::ExpireTokens])),
    ("expire-credentials", "AWS credentials expire", Kind::Once(|_| vec![Happening::ExpireCredentials])),
    (
        "revoke",
        "every token of every account is void",
        Kind::Once(|spec| {
            spec.accounts.iter().map(|account| Happening::RevokeTokens(account.email.clone())).collect()
        }),
    ),
    (
        "reboot",
        "every thermostat starts anew",
        Kind::Once(|spec| {
            let homes = spec.accounts.iter().flat_map(|account| &account.homes);
            homes.flat_map(|home| &home.devices).map(|device| Happening::Reboot(device.id)).collect()
        }),
    ),
];

/// Names and what they mean.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALL.iter().map(|(name, what, _)| (*name, *what))
}

/// Reads `NAME`, `NAME@FROM` and `NAME@FROM-UNTIL`, times in virtual seconds from the start.
pub(crate) fn plan(wanted: &[String], spec: &CloudSpec) -> Result<FaultPlan> {
    let mut plan = FaultPlan::default();
    for text in wanted {
        let (name, times) = text.split_once('@').unwrap_or((text, "0"));
        let (from, until) = match times.split_once('-') {
            Some((from, until)) => (seconds(from, text)?, Some(seconds(until, text)?)),
            None => (seconds(times, text)?, None),
        };
        let (_, _, kind) = ALL.iter().find(|(known, ..)| *known == name).ok_or_else(|| {
            Failure::usage(format!("no fault is called '{name}'; `mysa sim --fault list` shows them"))
        })?;
        plan = match kind {
            Kind::Lasting(fault) => plan.with(from, until.unwrap_or(Duration::MAX), fault()),
            Kind::Once(_) if until.is_some() => {
                return Err(Failure::usage(format!(
                    "'{name}' happens once: give it one time, as in {name}@60"
                )));
            }
            Kind::Once(happenings) => {
                happenings(spec).into_iter().fold(plan, |plan, happening| plan.with_event(from, happening))
            }
        };
    }
    Ok(plan)
}

fn seconds(text: &str, whole: &str) -> Result<Duration> {
    let parsed = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.ok_or_else(|| {
        Failure::usage(format!("'{whole}': a time is in seconds, as in cut@60 or offline@60-120"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<FaultPlan> {
        plan(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), &CloudSpec::demo())
    }

    #[test]
    fn faults_have_times() {
        let plan = read(&["offline@5-7.5", "cut@3", "deny-publish", "reboot@9"]).unwrap();
        let spans: Vec<_> = plan.windows.iter().map(|window| (window.from, window.until)).collect();
        assert_eq!(
            spans,
            [(Duration::from_secs(5), Duration::from_millis(7_500)), (Duration::ZERO, Duration::MAX)]
        );
        assert_eq!(plan.events.len(), 6, "a cut, and a reboot for each thermostat");
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for text in ["rain", "cut@x", "cut@1-2", "offline@-3", ""] {
            assert!(read(&[text]).is_err(), "{text}");
        }
    }
}
