//! The faults of the simulated cloud by name.

use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_sim::{Closing, CloudSpec, DeviceFault, Endpoint, Fault, HttpFault, Incident, Mode, Rules};

use crate::support::exit::{Failure, Result};

enum Kind {
    /// Lasts from its time on.
    Lasting(fn() -> Fault),
    /// Happens once, at its time.
    Once(fn(&CloudSpec) -> Vec<Incident>),
    /// Lasts from the start to the end.
    Rule(fn(&mut Rules)),
}

const DAY: i64 = 86_400;

/// A fault of writes to the structured service.
const fn of_writes(fault: HttpFault) -> Fault {
    Fault::Http(Endpoint::StructuredWrite, fault)
}

/// A fault of the answer after a write was carried out.
fn after_writes(fault: HttpFault) -> Fault {
    of_writes(HttpFault::AfterServing(Box::new(fault)))
}

/// One incident for each thermostat.
fn of_each_device(spec: &CloudSpec, incident: impl Fn(DeviceId) -> Incident) -> Vec<Incident> {
    let homes = spec.accounts.iter().flat_map(|account| &account.homes);
    homes.flat_map(|home| &home.devices).map(|device| incident(device.id)).collect()
}

const ALL: &[(&str, &str, Kind)] = &[
    (
        "sign-in-throttled",
        "the user pool answers TooManyRequestsException",
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
        "refresh-down",
        "token refresh is answered with 503",
        Kind::Lasting(|| Fault::Http(Endpoint::Refresh, HttpFault::Status(503))),
    ),
    (
        "refresh-hang",
        "token refresh is never answered",
        Kind::Lasting(|| Fault::Http(Endpoint::Refresh, HttpFault::Hang)),
    ),
    (
        "write-401",
        "writes to the structured service are answered with 401",
        Kind::Lasting(|| of_writes(HttpFault::Status(401))),
    ),
    (
        "write-403",
        "writes to the structured service are answered with 403",
        Kind::Lasting(|| of_writes(HttpFault::Status(403))),
    ),
    (
        "write-503",
        "writes to the structured service are answered with 503",
        Kind::Lasting(|| of_writes(HttpFault::Status(503))),
    ),
    (
        "write-hang",
        "writes to the structured service are never answered, nor carried out",
        Kind::Lasting(|| of_writes(HttpFault::Hang)),
    ),
    (
        "write-reset",
        "the connection of a write to the structured service is reset; it is not carried out",
        Kind::Lasting(|| of_writes(HttpFault::Reset)),
    ),
    (
        "write-lost-answer",
        "writes to the structured service are carried out and never answered",
        Kind::Lasting(|| after_writes(HttpFault::Hang)),
    ),
    (
        "write-reset-after",
        "writes to the structured service are carried out, then the connection is reset",
        Kind::Lasting(|| after_writes(HttpFault::Reset)),
    ),
    (
        "write-503-after",
        "writes to the structured service are carried out and answered with 503",
        Kind::Lasting(|| after_writes(HttpFault::Status(503))),
    ),
    (
        "desired-only",
        "writes to the structured service are accepted and reach no thermostat",
        Kind::Lasting(|| Fault::DesiredOnly),
    ),
    (
        "legacy-host-gone",
        "the older REST host answers 410",
        Kind::Lasting(|| Fault::Http(Endpoint::LegacyHost, HttpFault::Status(410))),
    ),
    (
        "backend-host-gone",
        "the newer REST host answers 410",
        Kind::Lasting(|| Fault::Http(Endpoint::BackendHost, HttpFault::Status(410))),
    ),
    (
        "date-behind",
        "the Date header of every host is a day behind",
        Kind::Lasting(|| Fault::DateShift(Endpoint::Any, -DAY)),
    ),
    (
        "date-ahead",
        "the Date header of every host is nine hours ahead",
        Kind::Lasting(|| Fault::DateShift(Endpoint::Any, 9 * 3_600)),
    ),
    (
        "date-behind-one-host",
        "the Date header of the older REST host is a day behind",
        Kind::Lasting(|| Fault::DateShift(Endpoint::LegacyHost, -DAY)),
    ),
    (
        "date-ahead-one-host",
        "the Date header of the newer REST host is nine hours ahead",
        Kind::Lasting(|| Fault::DateShift(Endpoint::BackendHost, 9 * 3_600)),
    ),
    (
        "cached",
        "REST answers come from a cache, first made nine hours ago, with an Age header",
        Kind::Lasting(|| Fault::Http(Endpoint::Rest, HttpFault::Cached(Duration::from_secs(9 * 3_600)))),
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
        "the broker answers CONNECT with 3, server unavailable",
        Kind::Lasting(|| Fault::RefuseConnect(3)),
    ),
    (
        "slow-handshake",
        "TLS handshakes take eight seconds",
        Kind::Lasting(|| Fault::SlowHandshake(Duration::from_secs(8))),
    ),
    ("hang-upgrade", "WebSocket upgrades are never answered", Kind::Lasting(|| Fault::HangUpgrade)),
    (
        "refuse-connect",
        "the broker answers CONNECT with 5, not authorized",
        Kind::Lasting(|| Fault::RefuseConnect(5)),
    ),
    (
        "close-on-connect",
        "the broker ends a connection at its CONNECT, without a CONNACK",
        Kind::Lasting(|| Fault::CloseOnConnect(Closing::Cut)),
    ),
    ("ignore-connect", "the broker never answers a CONNECT", Kind::Lasting(|| Fault::IgnoreConnect)),
    (
        "deny-publish",
        "the policy denies every publish, as that of the newer apps",
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
    (
        "grant-first",
        "only the first filter of each SUBSCRIBE is granted",
        Kind::Lasting(|| Fault::GrantFirst(1)),
    ),
    (
        "deliver-nothing",
        "subscriptions are granted, but no message is delivered",
        Kind::Lasting(|| Fault::DeliverNothing(None)),
    ),
    (
        "retained-status",
        "each subscription is followed by a retained status of yesterday",
        Kind::Lasting(|| Fault::Retained(Some(Duration::from_secs(DAY.unsigned_abs())))),
    ),
    (
        "retained-timeless",
        "each subscription is followed by a retained status whose time is 0",
        Kind::Lasting(|| Fault::Retained(None)),
    ),
    (
        "drop-bursts",
        "commands within 4 s of one to another thermostat are acknowledged and dropped",
        Kind::Lasting(|| Fault::DropBursts(Duration::from_secs(4))),
    ),
    ("stop-reading", "the broker reads nothing that clients send", Kind::Lasting(|| Fault::StopReading)),
    ("eat-pings", "pings are not answered", Kind::Lasting(|| Fault::EatPings)),
    ("blackhole", "nothing the broker sends arrives", Kind::Lasting(|| Fault::BlackholeOut)),
    ("blackhole-in", "nothing that clients send arrives", Kind::Lasting(|| Fault::BlackholeIn)),
    ("raise-qos", "messages to clients that ask for QoS 1 have QoS 1", Kind::Lasting(|| Fault::RaiseQos)),
    ("duplicate", "every message comes twice", Kind::Lasting(|| Fault::Duplicate)),
    ("offline", "the thermostats have no Wi-Fi", Kind::Lasting(|| Fault::Device(None, DeviceFault::Offline))),
    (
        "powerless",
        "the thermostats have no power",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::Powerless)),
    ),
    (
        "ignore-commands",
        "the thermostats ignore commands",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::IgnoreCommands)),
    ),
    (
        "ignore-live",
        "the thermostats ignore requests for live reporting",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::IgnoreLive)),
    ),
    (
        "delay-acks",
        "the thermostats' acknowledgements are ten seconds late",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::DelayAcks(Duration::from_secs(10)))),
    ),
    (
        "reorder",
        "commands and acknowledgements arrive out of order",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::Reorder)),
    ),
    (
        "refuse-commands",
        "the thermostats refuse commands",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::Refuse)),
    ),
    (
        "drop-acks",
        "the thermostats' acknowledgements are lost",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::DropAcks)),
    ),
    (
        "drop-statuses",
        "the thermostats' statuses are lost",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::DropStatuses)),
    ),
    (
        "ack-without-applying",
        "the thermostats acknowledge commands without applying them",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::AckWithoutApplying)),
    ),
    ("truncate", "statuses are cut short", Kind::Lasting(|| Fault::Device(None, DeviceFault::Truncate))),
    (
        "clock-shift",
        "the thermostats' clocks are an hour ahead",
        Kind::Lasting(|| Fault::Device(None, DeviceFault::ClockShift(3_600))),
    ),
    ("cut", "every connection is cut, once", Kind::Once(|_| vec![Incident::CloseAll(Closing::Cut)])),
    (
        "close",
        "every connection is closed with a close frame, once",
        Kind::Once(|_| vec![Incident::CloseAll(Closing::Frame(Some(1_000)))]),
    ),
    ("expire-tokens", "id and access tokens expire", Kind::Once(|_| vec![Incident::ExpireTokens])),
    ("expire-credentials", "AWS credentials expire", Kind::Once(|_| vec![Incident::ExpireCredentials])),
    (
        "revoke",
        "all tokens of all accounts become invalid",
        Kind::Once(|spec| {
            spec.accounts.iter().map(|account| Incident::RevokeTokens(account.email.clone())).collect()
        }),
    ),
    ("reboot", "every thermostat starts anew", Kind::Once(|spec| of_each_device(spec, Incident::Reboot))),
    (
        "press",
        "a person sets every thermostat to 16 degrees",
        Kind::Once(|spec| of_each_device(spec, |id| Incident::Press(id, 16.0))),
    ),
    (
        "press-off",
        "a person switches every thermostat off",
        Kind::Once(|spec| of_each_device(spec, |id| Incident::PressMode(id, Mode::Off))),
    ),
    (
        "schedule",
        "the schedule service sets every thermostat to 17 degrees",
        Kind::Once(|spec| of_each_device(spec, |id| Incident::Schedule(id, 17.0, None))),
    ),
    (
        "other-app",
        "another app sets every thermostat to 22 degrees",
        Kind::Once(|spec| of_each_device(spec, |id| Incident::OtherApp(id, Some(22.0), None))),
    ),
    ("rotate-tokens", "each refresh replaces the refresh token", Kind::Rule(|rules| rules.rotation = true)),
];

/// Names and descriptions of all faults.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALL.iter().map(|(name, what, _)| (*name, *what))
}

/// Adds faults to a cloud. Reads `NAME`, `NAME@FROM` and `NAME@FROM-UNTIL`, times in virtual seconds from the start.
pub(crate) fn plan(wanted: &[String], spec: &mut CloudSpec) -> Result<()> {
    for text in wanted {
        let (name, times) =
            text.split_once('@').map_or((text.as_str(), None), |(name, times)| (name, Some(times)));
        let (from, until) = match times.map(|times| times.split_once('-').unwrap_or((times, ""))) {
            None => (Duration::ZERO, None),
            Some((from, "")) if !text.ends_with('-') => (seconds(from, text)?, None),
            Some((from, until)) => (seconds(from, text)?, Some(seconds(until, text)?)),
        };
        let (_, _, kind) = ALL.iter().find(|(known, ..)| *known == name).ok_or_else(|| {
            Failure::usage(format!("unknown fault '{name}': `mysa sim --fault list` prints all names"))
        })?;
        match kind {
            Kind::Lasting(fault) => {
                let until = until.unwrap_or(Duration::MAX);
                if until <= from {
                    return Err(Failure::usage(format!(
                        "invalid --fault '{text}': expected an end after the start"
                    )));
                }
                spec.faults = std::mem::take(&mut spec.faults).with(from, until, fault());
            }
            Kind::Once(_) if until.is_some() => {
                return Err(Failure::usage(format!(
                    "invalid --fault: '{name}' happens once; expected one time, as in {name}@60"
                )));
            }
            Kind::Once(incidents) => {
                for incident in incidents(spec) {
                    spec.faults = std::mem::take(&mut spec.faults).with_event(from, incident);
                }
            }
            Kind::Rule(_) if times.is_some() => {
                return Err(Failure::usage(format!(
                    "invalid --fault: '{name}' always lasts from start to end; expected no time"
                )));
            }
            Kind::Rule(change) => change(&mut spec.rules),
        }
    }
    Ok(())
}

fn seconds(text: &str, whole: &str) -> Result<Duration> {
    let parsed = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.ok_or_else(|| {
        Failure::usage(format!(
            "invalid --fault '{whole}': expected times in seconds, as in cut@60 or offline@60-120"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<CloudSpec> {
        let mut spec = CloudSpec::demo();
        plan(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), &mut spec)?;
        Ok(spec)
    }

    #[test]
    fn faults_have_times() {
        let spec = read(&["offline@5-7.5", "cut@3", "deny-publish", "reboot@9", "rotate-tokens"]).unwrap();
        let spans: Vec<_> = spec.faults.windows.iter().map(|window| (window.from, window.until)).collect();
        assert_eq!(
            spans,
            [(Duration::from_secs(5), Duration::from_millis(7_500)), (Duration::ZERO, Duration::MAX)]
        );
        assert_eq!(spec.faults.events.len(), 6, "a cut, and a reboot for each thermostat");
        assert!(spec.rules.rotation);
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for text in
            ["rain", "cut@x", "cut@1-2", "offline@-3", "", "offline@5-3", "offline@5-", "rotate-tokens@5"]
        {
            assert!(read(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn every_name_is_used_once_and_works() {
        let names: Vec<&str> = all().map(|(name, _)| name).collect();
        let unique: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len());
        for name in names {
            let spec = read(&[name]).unwrap();
            let does_something = !spec.faults.windows.is_empty() || !spec.faults.events.is_empty();
            assert!(does_something || spec.rules.rotation, "{name}");
        }
    }
}
