//! Names for the faults of the simulated cloud.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_proto::DeviceId;

use crate::cloud::Cloud;
use crate::fault::{Closing, DeviceFault, Fault, FaultId, HttpFault, Incident, Window};
use crate::spec::{CloudSpec, Rules};
use crate::{Endpoint, Mode, Now};

/// A fault with a name, for command lines and the control endpoint.
#[derive(Debug)]
pub struct NamedFault {
    name: &'static str,
    description: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A fault that lasts from its time on.
    Lasting(fn() -> Fault),
    /// Faults that last from their time on, together.
    Together(fn() -> Vec<Fault>),
    /// A fault for each thermostat, which lasts from its time on.
    LastingOfEach(fn(DeviceId) -> Fault),
    /// Incidents that happen once, at their time.
    Once(fn(&Affected) -> Vec<Incident>),
    /// A rule in force from the start of the cloud to its end.
    Rule(fn(&mut Rules)),
}

/// The accounts and thermostats that an incident affects.
#[derive(Debug)]
struct Affected {
    emails: Vec<String>,
    devices: Vec<DeviceId>,
}

/// Reason why a fault cannot be started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidFault {
    /// No fault has this name.
    UnknownName,
    /// No thermostat has this id.
    UnknownDevice,
    /// A time is not a number of seconds.
    Time,
    /// The end is not after the start.
    End,
    /// The fault happens once and has no end.
    HappensOnce,
    /// The fault lasts as long as the cloud and has no times.
    LastsForever,
    /// The fault does not affect single thermostats.
    NotOfDevices,
    /// The cloud has as many faults as it can hold.
    TooMany,
}

impl fmt::Display for InvalidFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownName => "there is no fault of this name",
            Self::UnknownDevice => "there is no thermostat of this id",
            Self::Time => "expected times in seconds, as in cut@60 or offline@60-120",
            Self::End => "expected an end after the start",
            Self::HappensOnce => "the fault happens once; expected one time, as in cut@60",
            Self::LastsForever => "the fault lasts from the start of the cloud to its end; expected no time",
            Self::NotOfDevices => "the fault does not affect single thermostats; expected no device",
            Self::TooMany => "too many faults; end some first",
        })
    }
}

impl core::error::Error for InvalidFault {}

/// Maximum number of faults and planned incidents of a running cloud.
const MAX_FAULTS: usize = 256;

const DAY: i64 = 86_400;

/// A fault of writes to the structured service.
const fn of_writes(fault: HttpFault) -> Fault {
    Fault::Http(Endpoint::StructuredWrite, fault)
}

/// A fault of the answer after a write was carried out.
fn after_writes(fault: HttpFault) -> Fault {
    of_writes(HttpFault::AfterServing(Box::new(fault)))
}

const fn lasting(name: &'static str, description: &'static str, fault: fn() -> Fault) -> NamedFault {
    NamedFault { name, description, kind: Kind::Lasting(fault) }
}

const fn once(
    name: &'static str,
    description: &'static str,
    incidents: fn(&Affected) -> Vec<Incident>,
) -> NamedFault {
    NamedFault { name, description, kind: Kind::Once(incidents) }
}

/// One incident for each thermostat.
fn of_each_device(affected: &Affected, incident: impl Fn(DeviceId) -> Incident) -> Vec<Incident> {
    affected.devices.iter().map(|&device| incident(device)).collect()
}

const fn together(name: &'static str, description: &'static str, faults: fn() -> Vec<Fault>) -> NamedFault {
    NamedFault { name, description, kind: Kind::Together(faults) }
}

const fn lasting_of_each(
    name: &'static str,
    description: &'static str,
    fault: fn(DeviceId) -> Fault,
) -> NamedFault {
    NamedFault { name, description, kind: Kind::LastingOfEach(fault) }
}

const ALL: &[NamedFault] = &[
    lasting("sign-in-throttled", "the user pool answers TooManyRequestsException", || {
        Fault::Http(Endpoint::UserPool, HttpFault::Exception("TooManyRequestsException".into()))
    }),
    lasting("user-pool-down", "the user pool answers 503", || {
        Fault::Http(Endpoint::UserPool, HttpFault::Status(503))
    }),
    lasting("identity-pool-down", "the identity pool answers 503", || {
        Fault::Http(Endpoint::IdentityPool, HttpFault::Status(503))
    }),
    lasting("rest-down", "the REST service answers 503", || {
        Fault::Http(Endpoint::Rest, HttpFault::Status(503))
    }),
    lasting("rest-hang", "the REST service never answers", || Fault::Http(Endpoint::Rest, HttpFault::Hang)),
    lasting("rest-throttled", "the REST service answers 429", || {
        Fault::Http(Endpoint::Rest, HttpFault::Throttle(30))
    }),
    lasting("iot-control-denied", "the control plane of AWS IoT denies every request with 403", || {
        Fault::Http(Endpoint::IotControl, HttpFault::Status(403))
    }),
    lasting("iot-control-hang", "the control plane of AWS IoT never answers", || {
        Fault::Http(Endpoint::IotControl, HttpFault::Hang)
    }),
    lasting("refresh-down", "token refresh is answered with 503", || {
        Fault::Http(Endpoint::Refresh, HttpFault::Status(503))
    }),
    lasting("refresh-hang", "token refresh is never answered", || {
        Fault::Http(Endpoint::Refresh, HttpFault::Hang)
    }),
    lasting("write-401", "writes to the structured service are answered with 401", || {
        of_writes(HttpFault::Status(401))
    }),
    lasting("write-403", "writes to the structured service are answered with 403", || {
        of_writes(HttpFault::Status(403))
    }),
    lasting("write-503", "writes to the structured service are answered with 503", || {
        of_writes(HttpFault::Status(503))
    }),
    lasting("write-hang", "writes to the structured service are neither answered nor carried out", || {
        of_writes(HttpFault::Hang)
    }),
    lasting(
        "write-reset",
        "the connection of a write to the structured service is reset; it is not carried out",
        || of_writes(HttpFault::Reset),
    ),
    lasting(
        "write-lost-answer",
        "writes to the structured service are carried out but never answered",
        || after_writes(HttpFault::Hang),
    ),
    lasting(
        "write-reset-after",
        "writes to the structured service are carried out, then the connection is reset",
        || after_writes(HttpFault::Reset),
    ),
    lasting(
        "write-503-after",
        "writes to the structured service are carried out and answered with 503",
        || after_writes(HttpFault::Status(503)),
    ),
    lasting("write-late", "writes to the structured service are carried out a minute late", || {
        of_writes(HttpFault::Late(Duration::from_secs(60)))
    }),
    lasting("desired-only", "writes to the structured service are accepted but reach no thermostat", || {
        Fault::DesiredOnly
    }),
    lasting("legacy-host-gone", "the older REST host answers 410", || {
        Fault::Http(Endpoint::LegacyHost, HttpFault::Status(410))
    }),
    lasting("backend-host-gone", "the newer REST host answers 410", || {
        Fault::Http(Endpoint::BackendHost, HttpFault::Status(410))
    }),
    lasting("date-behind", "the Date header of every host is a day behind", || {
        Fault::DateShift(Endpoint::Any, -DAY)
    }),
    lasting("date-ahead", "the Date header of every host is nine hours ahead", || {
        Fault::DateShift(Endpoint::Any, 9 * 3_600)
    }),
    lasting("date-behind-one-host", "the Date header of the older REST host is a day behind", || {
        Fault::DateShift(Endpoint::LegacyHost, -DAY)
    }),
    lasting("date-ahead-one-host", "the Date header of the newer REST host is nine hours ahead", || {
        Fault::DateShift(Endpoint::BackendHost, 9 * 3_600)
    }),
    lasting(
        "cached",
        "REST answers come from a cache, first made nine hours ago, with an Age header",
        || Fault::Http(Endpoint::Rest, HttpFault::Cached(Duration::from_secs(9 * 3_600))),
    ),
    lasting("portal", "a captive portal answers everything with a page", || {
        Fault::Http(Endpoint::Any, HttpFault::Html(200))
    }),
    lasting("network-down", "no connection can be opened, and open ones are cut", || Fault::NetworkDown),
    together("network-blackhole", "all bytes are lost, and no connection breaks", || {
        vec![
            Fault::Http(Endpoint::Any, HttpFault::Hang),
            Fault::HangUpgrade,
            Fault::BlackholeIn,
            Fault::BlackholeOut,
        ]
    }),
    together("network-blackhole-out", "all bytes to clients are lost; requests are carried out", || {
        let unanswered = HttpFault::AfterServing(Box::new(HttpFault::Hang));
        vec![Fault::Http(Endpoint::Any, unanswered), Fault::HangUpgrade, Fault::BlackholeOut]
    }),
    together("network-blackhole-in", "all bytes from clients are lost", || {
        vec![Fault::Http(Endpoint::Any, HttpFault::Hang), Fault::HangUpgrade, Fault::BlackholeIn]
    }),
    lasting("http-down", "every service answers 503", || Fault::Http(Endpoint::Any, HttpFault::Status(503))),
    lasting("http-garbage", "every service answers 200 with a body that is cut off", || {
        Fault::Http(Endpoint::Any, HttpFault::Body(200, b"{\"Dev".to_vec()))
    }),
    lasting("rest-slow", "answers of the REST service are ten seconds late", || {
        Fault::Http(Endpoint::Rest, HttpFault::Delay(Duration::from_secs(10)))
    }),
    lasting("rest-redirect", "the REST service redirects to another host", || {
        Fault::Http(Endpoint::Rest, HttpFault::Redirect(302, "https://portal.example/".into()))
    }),
    lasting("credentials-down", "requests for AWS credentials are answered with 503", || {
        Fault::Http(Endpoint::Credentials, HttpFault::Status(503))
    }),
    lasting("structured-down", "the structured service answers 503", || {
        Fault::Http(Endpoint::Structured, HttpFault::Status(503))
    }),
    lasting_of_each("omit-device", "REST lists leave out the thermostats", Fault::OmitDevice),
    lasting_of_each("omit-state", "REST states leave out the thermostats", Fault::OmitState),
    lasting("http-reset", "every HTTP connection is reset", || Fault::Http(Endpoint::Any, HttpFault::Reset)),
    lasting("freeze-states", "REST states stay as they were", || Fault::FreezeStates),
    lasting("refuse-upgrade", "WebSocket upgrades are answered with 403", || Fault::RefuseUpgrade(403)),
    lasting("upgrade-page", "WebSocket upgrades are answered with a proxy's page", || {
        Fault::UpgradePage(200)
    }),
    lasting("broker-unavailable", "the broker answers CONNECT with code 3, server unavailable", || {
        Fault::RefuseConnect(3)
    }),
    lasting("slow-handshake", "TLS handshakes take eight seconds", || {
        Fault::SlowHandshake(Duration::from_secs(8))
    }),
    lasting("hang-upgrade", "WebSocket upgrades are never answered", || Fault::HangUpgrade),
    lasting("refuse-connect", "the broker answers CONNECT with code 5, not authorized", || {
        Fault::RefuseConnect(5)
    }),
    lasting("close-on-connect", "the broker ends a connection at its CONNECT, without a CONNACK", || {
        Fault::CloseOnConnect(Closing::Cut)
    }),
    lasting("ignore-connect", "the broker never answers a CONNECT", || Fault::IgnoreConnect),
    lasting("close-after-connect", "each connection is cut five seconds after its CONNACK", || {
        Fault::CloseAfterConnect { after: Duration::from_secs(5), closing: Closing::Cut }
    }),
    lasting("close-on-burst", "more than eight packets within the first second end a connection", || {
        Fault::CloseOnBurst { packets: 8, closing: Closing::Cut }
    }),
    lasting("close-on-subscribe", "a SUBSCRIBE to batch readings ends the connection", || {
        Fault::CloseOnSubscribe { suffix: "/batch".into(), closing: Closing::Cut }
    }),
    lasting_of_each(
        "refuse-subscription",
        "subscriptions to the thermostats are answered with 0x80",
        Fault::RefuseDevice,
    ),
    lasting("suback-short", "each SUBACK has one code, whatever was asked for", || {
        Fault::SubackCodes(vec![1])
    }),
    lasting("suback-wrong-id", "each SUBACK has another packet id than its SUBSCRIBE", || {
        Fault::SubackWrongId
    }),
    lasting("deny-publish", "the policy denies every publish, like that of the newer apps", || {
        Fault::DenyPublish
    }),
    lasting("close-on-publish", "a client's first publish closes its connection", || {
        Fault::CloseOnPublish(Closing::Cut)
    }),
    lasting("drop-publishes", "publishes of clients are lost", || Fault::DropPublishes),
    lasting("drop-pubacks", "publishes arrive, but PUBACK is not sent", || Fault::DropPubacks),
    lasting("drop-subacks", "subscriptions take effect, but SUBACK is not sent", || Fault::DropSubacks),
    lasting("grant-first", "only the first filter of each SUBSCRIBE is granted", || Fault::GrantFirst(1)),
    lasting("deliver-nothing", "subscriptions are granted, but no message is delivered", || {
        Fault::DeliverNothing(None)
    }),
    lasting("retained-status", "each subscription is followed by a retained status from yesterday", || {
        Fault::Retained(Some(Duration::from_secs(DAY.unsigned_abs())))
    }),
    lasting(
        "retained-timeless",
        "each subscription is followed by a retained status whose time is 0",
        || Fault::Retained(None),
    ),
    lasting(
        "drop-bursts",
        "commands within 4 s of one to another thermostat are acknowledged and dropped",
        || Fault::DropBursts(Duration::from_secs(4)),
    ),
    lasting("stop-reading", "the broker stops reading from clients", || Fault::StopReading),
    lasting("drop-pings", "pings are not answered", || Fault::DropPings),
    lasting("blackhole", "bytes from the broker are lost", || Fault::BlackholeOut),
    lasting("blackhole-in", "bytes from clients are lost", || Fault::BlackholeIn),
    lasting("raise-qos", "messages to clients that ask for QoS 1 are sent with QoS 1", || Fault::RaiseQos),
    lasting("duplicate", "every message is sent twice", || Fault::Duplicate),
    lasting("offline", "the thermostats have no Wi-Fi", || Fault::Device(None, DeviceFault::Offline)),
    lasting("powerless", "the thermostats have no power", || Fault::Device(None, DeviceFault::Powerless)),
    lasting("ignore-commands", "the thermostats ignore commands", || {
        Fault::Device(None, DeviceFault::IgnoreCommands)
    }),
    lasting("ignore-live", "the thermostats ignore requests for live reporting", || {
        Fault::Device(None, DeviceFault::IgnoreLive)
    }),
    lasting("delay-acks", "the thermostats' acknowledgements are ten seconds late", || {
        Fault::Device(None, DeviceFault::DelayAcks(Duration::from_secs(10)))
    }),
    lasting("reorder", "commands and acknowledgements arrive out of order", || {
        Fault::Device(None, DeviceFault::Reorder)
    }),
    lasting("refuse-commands", "the thermostats refuse commands", || {
        Fault::Device(None, DeviceFault::Refuse)
    }),
    lasting("drop-acks", "the thermostats' acknowledgements are lost", || {
        Fault::Device(None, DeviceFault::DropAcks)
    }),
    lasting("drop-statuses", "the thermostats' statuses are lost", || {
        Fault::Device(None, DeviceFault::DropStatuses)
    }),
    lasting("ack-without-applying", "the thermostats acknowledge commands without applying them", || {
        Fault::Device(None, DeviceFault::AckWithoutApplying)
    }),
    lasting("truncate", "the thermostats' statuses are truncated", || {
        Fault::Device(None, DeviceFault::Truncate)
    }),
    lasting("garbage", "the thermostats' statuses are not JSON", || {
        Fault::Device(None, DeviceFault::Replace("\u{1}{status".into()))
    }),
    lasting("clock-shift", "the thermostats' clocks are an hour ahead", || {
        Fault::Device(None, DeviceFault::ClockShift(3_600))
    }),
    once("cut", "every connection is cut, once", |_| vec![Incident::CloseAll(Closing::Cut)]),
    once("close", "every connection is closed with a close frame, once", |_| {
        vec![Incident::CloseAll(Closing::Frame(Some(1_000)))]
    }),
    once("expire-tokens", "id and access tokens expire", |_| vec![Incident::ExpireTokens]),
    once("expire-credentials", "AWS credentials expire", |_| vec![Incident::ExpireCredentials]),
    once("revoke", "all tokens of all accounts become invalid", |affected| {
        affected.emails.iter().cloned().map(Incident::RevokeTokens).collect()
    }),
    once(
        "change-password",
        "the passwords of all accounts become New-Horse-2, and all tokens invalid",
        |affected| {
            let changed = |email: &String| Incident::ChangePassword(email.clone(), "New-Horse-2".into());
            affected.emails.iter().map(changed).collect()
        },
    ),
    once("remove", "the thermostats leave their accounts", |affected| {
        of_each_device(affected, Incident::Remove)
    }),
    once("restore", "thermostats that have left their accounts join them again", |affected| {
        of_each_device(affected, Incident::Restore)
    }),
    once("rename", "the owners rename every thermostat to Renamed", |affected| {
        of_each_device(affected, |id| Incident::Rename(id, "Renamed".into()))
    }),
    once("publish", "a message of an unknown kind arrives from every thermostat", |affected| {
        of_each_device(affected, |id| {
            Incident::Publish(format!("/v1/dev/{id}/out"), br#"{"msg":99}"#.to_vec())
        })
    }),
    once("reboot", "every thermostat restarts", |affected| of_each_device(affected, Incident::Reboot)),
    once("press", "a person sets every thermostat to 16 degrees", |affected| {
        of_each_device(affected, |id| Incident::Press(id, 16.0))
    }),
    once("press-off", "a person switches every thermostat off", |affected| {
        of_each_device(affected, |id| Incident::PressMode(id, Mode::Off))
    }),
    once("schedule", "the schedule service sets every thermostat to 17 degrees", |affected| {
        of_each_device(affected, |id| Incident::Schedule(id, 17.0, None))
    }),
    once("other-app", "another app sets every thermostat to 22 degrees", |affected| {
        of_each_device(affected, |id| Incident::OtherApp(id, Some(22.0), None))
    }),
    NamedFault {
        name: "rotate-tokens",
        description: "each refresh replaces the refresh token",
        kind: Kind::Rule(|rules| rules.rotation = true),
    },
    NamedFault {
        name: "remember-devices",
        description: "a refresh needs the key of the device that signed in",
        kind: Kind::Rule(|rules| rules.device_keys = true),
    },
];

impl NamedFault {
    /// All faults with a name.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        ALL
    }

    /// Returns the fault of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|fault| fault.name == name)
    }

    /// Name, such as `drop-acks`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// One-line description of the effect.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        self.description
    }

    /// Returns `true` if the fault happens once instead of lasting for a while.
    #[must_use]
    pub const fn happens_once(&self) -> bool {
        matches!(self.kind, Kind::Once(_))
    }

    /// Faults that last, of these thermostats if they are of thermostats.
    fn faults(&self, devices: &[DeviceId]) -> Vec<Fault> {
        match self.kind {
            Kind::Lasting(fault) => vec![fault()],
            Kind::Together(faults) => faults(),
            Kind::LastingOfEach(fault) => devices.iter().map(|&device| fault(device)).collect(),
            Kind::Once(_) | Kind::Rule(_) => Vec::new(),
        }
    }

    /// Window in which the fault applies, for one thermostat if `device` is given.
    fn window(
        &self,
        fault: Fault,
        device: Option<DeviceId>,
        from: Duration,
        until: Duration,
    ) -> Result<Window, InvalidFault> {
        if until <= from {
            return Err(InvalidFault::End);
        }
        let mut fault = fault;
        match (&mut fault, device) {
            (Fault::Device(whose, _) | Fault::DeliverNothing(whose), Some(_)) => *whose = device,
            (_, Some(_)) => return Err(InvalidFault::NotOfDevices),
            (_, None) => {}
        }
        Ok(Window { name: Some(self.name), ..Window::new(from, until, fault) })
    }
}

impl CloudSpec {
    /// Adds a fault by its name. Accepts `NAME`, `NAME@FROM` and `NAME@FROM-UNTIL`, with times in virtual seconds from
    /// the start.
    ///
    /// # Errors
    /// No fault has this name, or its times are invalid.
    pub fn add_named_fault(&mut self, text: &str) -> Result<(), InvalidFault> {
        let (name, times) = text.split_once('@').map_or((text, None), |(name, times)| (name, Some(times)));
        let found = NamedFault::find(name).ok_or(InvalidFault::UnknownName)?;
        let (from, until) = match times.map(|times| times.split_once('-').unwrap_or((times, ""))) {
            None => (Duration::ZERO, None),
            Some((from, "")) if !text.ends_with('-') => (seconds(from)?, None),
            Some((from, until)) => (seconds(from)?, Some(seconds(until)?)),
        };
        match found.kind {
            Kind::Lasting(_) | Kind::Together(_) | Kind::LastingOfEach(_) => {
                let homes = self.accounts.iter().flat_map(|account| &account.homes);
                let devices: Vec<DeviceId> =
                    homes.flat_map(|home| &home.devices).map(|device| device.id).collect();
                for fault in found.faults(&devices) {
                    let window = found.window(fault, None, from, until.unwrap_or(Duration::MAX))?;
                    self.faults.windows.push(window);
                }
            }
            Kind::Once(_) if until.is_some() => return Err(InvalidFault::HappensOnce),
            Kind::Once(incidents) => {
                let homes = self.accounts.iter().flat_map(|account| &account.homes);
                let affected = Affected {
                    devices: homes.flat_map(|home| &home.devices).map(|device| device.id).collect(),
                    emails: self.accounts.iter().map(|account| account.email.clone()).collect(),
                };
                self.faults.events.extend(incidents(&affected).into_iter().map(|incident| (from, incident)));
            }
            Kind::Rule(_) if times.is_some() => return Err(InvalidFault::LastsForever),
            Kind::Rule(change) => change(&mut self.rules),
        }
        Ok(())
    }
}

impl Cloud {
    /// Starts a fault by its name, or plans it. It affects one thermostat or all, starts `delay` after now and lasts
    /// for `lasts`; `None` means until it is ended.
    ///
    /// Returns the ids by which [`Cloud::end_fault`] ends the fault; none for an incident that happens at once.
    ///
    /// # Errors
    /// No fault or thermostat has this name or id, or the fault cannot have this time or affect a single thermostat.
    pub fn start_named_fault(
        &mut self,
        now: Now,
        name: &str,
        device: Option<DeviceId>,
        delay: Duration,
        lasts: Option<Duration>,
    ) -> Result<Vec<FaultId>, InvalidFault> {
        self.advance(now);
        let found = NamedFault::find(name).ok_or(InvalidFault::UnknownName)?;
        if device.is_some_and(|device| !self.by_id.contains_key(&device)) {
            return Err(InvalidFault::UnknownDevice);
        }
        let from = self.age().saturating_add(delay);
        match found.kind {
            Kind::Lasting(_) | Kind::Together(_) | Kind::LastingOfEach(_) => {
                let until = lasts.map_or(Duration::MAX, |lasts| from.saturating_add(lasts));
                let is_of_each = matches!(found.kind, Kind::LastingOfEach(_));
                let devices: Vec<DeviceId> = match device {
                    Some(device) => vec![device],
                    None => self.device_ids().collect(),
                };
                let device = device.filter(|_| !is_of_each);
                let windows: Result<Vec<Window>, _> = found
                    .faults(&devices)
                    .into_iter()
                    .map(|fault| found.window(fault, device, from, until))
                    .collect();
                let windows = windows?;
                self.room_for_faults(windows.len())?;
                Ok(windows.into_iter().map(|window| self.start_fault(now, window)).collect())
            }
            Kind::Once(_) if lasts.is_some() => Err(InvalidFault::HappensOnce),
            Kind::Once(incidents) => {
                let emails = self.pool.accounts.iter().map(|account| account.email.clone()).collect();
                let devices = match device {
                    Some(device) => vec![device],
                    None => self.device_ids().collect(),
                };
                let incidents = incidents(&Affected { emails, devices });
                let is_of_devices = incidents.iter().all(|incident| incident.device().is_some());
                if device.is_some() && !is_of_devices {
                    return Err(InvalidFault::NotOfDevices);
                }
                if delay.is_zero() {
                    for incident in incidents {
                        self.act(now, incident);
                    }
                    return Ok(Vec::new());
                }
                self.room_for_faults(incidents.len())?;
                Ok(incidents.into_iter().map(|incident| self.plan_incident(from, incident)).collect())
            }
            Kind::Rule(_) if device.is_some() => Err(InvalidFault::NotOfDevices),
            Kind::Rule(_) if !delay.is_zero() || lasts.is_some() => Err(InvalidFault::LastsForever),
            Kind::Rule(change) => {
                change(&mut self.rules);
                Ok(Vec::new())
            }
        }
    }

    fn room_for_faults(&self, more: usize) -> Result<(), InvalidFault> {
        let held = self.faults().count() + self.planned_incidents().count();
        if held + more > MAX_FAULTS { Err(InvalidFault::TooMany) } else { Ok(()) }
    }
}

fn seconds(text: &str) -> Result<Duration, InvalidFault> {
    let parsed = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.ok_or(InvalidFault::Time)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use mysa_proto::UnixTime;

    use super::*;

    const START: Now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };

    fn read(texts: &[&str]) -> Result<CloudSpec, InvalidFault> {
        let mut spec = CloudSpec::demo();
        texts.iter().try_for_each(|text| spec.add_named_fault(text))?;
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
    fn an_invalid_fault_is_refused() {
        for (text, why) in [
            ("rain", InvalidFault::UnknownName),
            ("", InvalidFault::UnknownName),
            ("cut@x", InvalidFault::Time),
            ("offline@-3", InvalidFault::Time),
            ("offline@5-", InvalidFault::Time),
            ("offline@5-3", InvalidFault::End),
            ("cut@1-2", InvalidFault::HappensOnce),
            ("rotate-tokens@5", InvalidFault::LastsForever),
        ] {
            assert_eq!(read(&[text]).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn every_name_is_used_once_and_works() {
        let unique: BTreeSet<&str> = NamedFault::all().iter().map(NamedFault::name).collect();
        assert_eq!(unique.len(), NamedFault::all().len());
        for name in unique {
            let spec = read(&[name]).unwrap();
            let does_something = !spec.faults.windows.is_empty() || !spec.faults.events.is_empty();
            assert!(does_something || spec.rules.rotation || spec.rules.device_keys, "{name}");
        }
    }

    /// The variant of a fault, as text.
    fn variant(fault: &impl fmt::Debug) -> String {
        let text = format!("{fault:?}");
        text.split(['(', ' ', '{']).next().unwrap_or_default().into()
    }

    #[test]
    fn every_fault_and_incident_has_a_name() {
        let id = DeviceId::new("a0b1c2d3e4f5").unwrap();
        let mut named = BTreeSet::new();
        for fault in NamedFault::all() {
            for fault in fault.faults(&[id]) {
                match &fault {
                    Fault::Http(_, HttpFault::AfterServing(inner)) => {
                        named.insert(format!("AfterServing {}", variant(inner)));
                    }
                    Fault::Http(_, fault) => _ = named.insert(format!("Http {}", variant(fault))),
                    Fault::Device(_, fault) => _ = named.insert(format!("Device {}", variant(fault))),
                    fault => _ = named.insert(variant(fault)),
                }
            }
            if let Kind::Once(incidents) = fault.kind {
                let affected = Affected { emails: vec!["a".into()], devices: vec![id] };
                named.extend(incidents(&affected).iter().map(variant));
            }
        }
        let source = include_str!("fault.rs");
        let mut expected = BTreeSet::new();
        for (name, prefix) in
            [("Fault", ""), ("DeviceFault", "Device "), ("HttpFault", "Http "), ("Incident", "")]
        {
            let (_, body) = source.split_once(&format!("\npub enum {name} {{\n")).unwrap();
            let (body, _) = body.split_once("\n}\n").unwrap();
            let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
            let variants = variants.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
            for line in variants {
                let variant = line.split(['(', ' ', '{', ',']).next().unwrap();
                if !["Http", "Device", "AfterServing"].contains(&variant) {
                    expected.insert(format!("{prefix}{variant}"));
                }
            }
        }
        assert!(expected.len() > 50, "{expected:?}");
        let missing: Vec<&String> = expected.difference(&named).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_fault_of_a_running_cloud_starts_now_and_can_be_for_one_thermostat() {
        let mut cloud = Cloud::new(CloudSpec::demo(), 1, START);
        let now = START.at(Duration::from_secs(100));
        let id = DeviceId::new("a0b1c2d3e4f5").unwrap();
        let minute = Duration::from_secs(60);
        let ids = cloud.start_named_fault(now, "drop-acks", Some(id), minute, Some(minute)).unwrap();
        let (found, window) = cloud.faults().next().unwrap();
        assert_eq!((ids.as_slice(), window.name), ([found].as_slice(), Some("drop-acks")));
        assert_eq!((window.from, window.until), (Duration::from_secs(160), Duration::from_secs(220)));
        assert_eq!(window.fault, Fault::Device(Some(id), DeviceFault::DropAcks));
        assert!(cloud.end_fault(now, found));
        assert!(!cloud.end_fault(now, found), "it has ended");

        let before = cloud.truth(id).unwrap().commands;
        assert_eq!(cloud.start_named_fault(now, "press", Some(id), Duration::ZERO, None).unwrap(), []);
        assert_eq!(cloud.truth(id).unwrap().setpoint.as_degrees(), 16.0);
        assert_eq!(cloud.truth(id).unwrap().commands, before + 1);
        let planned = cloud.start_named_fault(now, "reboot", None, minute, None).unwrap();
        assert_eq!((planned.len(), cloud.planned_incidents().count()), (5, 5));
        assert!(cloud.end_fault(now, planned[0]));
        cloud.handle_timeout(START.at(Duration::from_secs(200)));
        let boots = cloud.device_ids().filter(|&id| cloud.truth(id).unwrap().boots == 2).count();
        assert_eq!(boots, 4, "the first was taken from the plan");
    }

    #[test]
    fn a_fault_that_cannot_be_so_is_refused() {
        let mut cloud = Cloud::new(CloudSpec::demo(), 1, START);
        let id = DeviceId::new("a0b1c2d3e4f5");
        let minute = Duration::from_secs(60);
        let zero = Duration::ZERO;
        for (name, device, delay, lasts, why) in [
            ("rain", None, zero, None, InvalidFault::UnknownName),
            ("offline", DeviceId::new("ffffffffffff"), zero, None, InvalidFault::UnknownDevice),
            ("offline", id, zero, Some(zero), InvalidFault::End),
            ("rest-down", id, zero, None, InvalidFault::NotOfDevices),
            ("cut", id, zero, None, InvalidFault::NotOfDevices),
            ("cut", None, zero, Some(minute), InvalidFault::HappensOnce),
            ("rotate-tokens", None, minute, None, InvalidFault::LastsForever),
        ] {
            assert_eq!(
                cloud.start_named_fault(START, name, device, delay, lasts).unwrap_err(),
                why,
                "{name}"
            );
        }
        assert_eq!((cloud.faults().count(), cloud.planned_incidents().count()), (0, 0));
        for _ in 0..MAX_FAULTS {
            cloud.start_named_fault(START, "rest-down", None, zero, None).unwrap();
        }
        let more = cloud.start_named_fault(START, "rest-down", None, zero, None);
        assert_eq!(more, Err(InvalidFault::TooMany));
    }
}
