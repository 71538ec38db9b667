use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_proto::DeviceId;

use crate::Mode;
use crate::device::thermostat::DeviceFaults;
use crate::endpoint::Endpoint;

/// Faults and incidents with their times, which run from the start of the cloud.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FaultPlan {
    /// Faults that last for a while.
    pub windows: Vec<Window>,
    /// Incidents and their times.
    pub events: Vec<(Duration, Incident)>,
}

impl FaultPlan {
    /// Adds a fault that lasts from `from` until `until`.
    #[must_use]
    pub fn with(mut self, from: Duration, until: Duration, fault: Fault) -> Self {
        self.windows.push(Window::new(from, until, fault));
        self
    }

    /// Adds an incident at its time.
    #[must_use]
    pub fn with_event(mut self, at: Duration, incident: Incident) -> Self {
        self.events.push((at, incident));
        self
    }
}

/// A fault and the window of time in which it applies.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Window {
    /// Start of the window, from the start of the cloud.
    pub from: Duration,
    /// End of the window, exclusive.
    pub until: Duration,
    /// Maximum number of times it applies; `None` means no limit. Only faults that answer a request are counted.
    pub times: Option<u32>,
    /// The fault.
    pub fault: Fault,
    /// Name of the fault, if it was given by name, see [`NamedFault`](crate::NamedFault).
    pub name: Option<&'static str>,
}

/// Id of a fault or a planned incident of a running cloud.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FaultId(u64);

impl FaultId {
    /// Returns the id with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Number of the id.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Window {
    /// Creates a fault that applies whenever it can within its window.
    #[must_use]
    pub const fn new(from: Duration, until: Duration, fault: Fault) -> Self {
        Self { from, until, times: None, fault, name: None }
    }

    /// Creates a fault that applies from now on, at most `times` times.
    #[must_use]
    pub const fn times(times: u32, fault: Fault) -> Self {
        Self { from: Duration::ZERO, until: Duration::MAX, times: Some(times), fault, name: None }
    }

    fn covers(&self, at: Duration) -> bool {
        self.from <= at && at < self.until && self.times != Some(0)
    }
}

/// A fault that lasts for a while.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// An HTTP endpoint misbehaves.
    Http(Endpoint, HttpFault),
    /// No connection can be opened, and those that are open are cut.
    NetworkDown,
    /// TLS handshakes are delayed by this time.
    SlowHandshake(Duration),
    /// WebSocket upgrades are answered with this status.
    RefuseUpgrade(u16),
    /// WebSocket upgrades are answered with this status and the page of a proxy or a captive portal.
    UpgradePage(u16),
    /// WebSocket upgrades are never answered.
    HangUpgrade,
    /// CONNECT is answered with this return code, and the connection closed.
    RefuseConnect(u8),
    /// CONNECT is never answered.
    IgnoreConnect,
    /// CONNECT ends the connection without a CONNACK, as AWS is reported to do where `iot:Connect` is denied.
    CloseOnConnect(Closing),
    /// Each connection is closed this long after its CONNACK.
    CloseAfterConnect {
        /// Time after the CONNACK.
        after: Duration,
        /// Way in which the connection is closed.
        closing: Closing,
    },
    /// A connection that sends more than `packets` within its first second is closed.
    CloseOnBurst {
        /// Packets allowed, CONNECT included.
        packets: u32,
        /// Way in which the connection is closed.
        closing: Closing,
    },
    /// The first PUBLISH of a client closes its connection; the message is not passed on.
    CloseOnPublish(Closing),
    /// A SUBSCRIBE to a topic with this end, such as `/batch`, closes the connection.
    CloseOnSubscribe {
        /// End of the topic filter; empty for every one.
        suffix: String,
        /// Way in which the connection is closed.
        closing: Closing,
    },
    /// Publishes of clients are dropped without a PUBACK.
    DropPublishes,
    /// Publishes of clients are delivered, but PUBACK is not sent.
    DropPubacks,
    /// SUBSCRIBE takes effect, but SUBACK is not sent.
    DropSubacks,
    /// SUBACK carries these codes for any request; there may be too few or too many.
    SubackCodes(Vec<u8>),
    /// SUBACK carries another packet id than the SUBSCRIBE.
    SubackWrongId,
    /// Subscriptions to this device's topics are answered with 0x80.
    RefuseDevice(DeviceId),
    /// Only this many filters of each SUBSCRIBE are granted, the first ones; the others are answered with 0x80.
    GrantFirst(usize),
    /// Subscriptions are granted, but no message of this device is delivered; `None` means all devices.
    DeliverNothing(Option<DeviceId>),
    /// A granted subscription to a thermostat's `/out` topic is followed by a retained status of this age, with a
    /// setpoint one degree higher and a room one degree colder than now; `None` is a status whose `time` is 0.
    Retained(Option<Duration>),
    /// A command that follows one to another device of the account within this time is dropped: PUBACK is sent, and
    /// neither the device nor a subscriber receives it. The time counts from the last command that was delivered.
    DropBursts(Duration),
    /// The broker reads nothing: bytes of clients wait until the fault ends. Messages to clients are sent, and no
    /// client is disconnected for silence.
    StopReading,
    /// PINGREQ is not answered.
    DropPings,
    /// Bytes from clients are lost, while the connection stays open.
    BlackholeIn,
    /// Bytes from the broker are lost, while the connection stays open.
    BlackholeOut,
    /// Each message to clients is sent twice.
    Duplicate,
    /// Messages to clients that ask for QoS 1 are sent with QoS 1, regardless of the thermostat's QoS.
    RaiseQos,
    /// The policy denies every publish by clients, as that of the modern identity pool does.
    DenyPublish,
    /// A thermostat misbehaves; `None` means all thermostats.
    Device(Option<DeviceId>, DeviceFault),
    /// REST lists leave out this device.
    OmitDevice(DeviceId),
    /// REST states leave out this device.
    OmitState(DeviceId),
    /// REST states stay as they were when the fault began.
    FreezeStates,
    /// The structured service accepts updates and does not apply them.
    DesiredOnly,
    /// The `Date` header of these answers is wrong by this many seconds.
    DateShift(Endpoint, i64),
}

/// A fault of a thermostat.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DeviceFault {
    /// The thermostat has no Wi-Fi and continues to heat.
    Offline,
    /// The thermostat has no power. It boots when power returns.
    Powerless,
    /// The thermostat ignores commands.
    IgnoreCommands,
    /// The thermostat ignores requests for live reporting.
    IgnoreLive,
    /// The thermostat applies commands, but its acknowledgements are lost.
    DropAcks,
    /// Statuses of the thermostat are lost.
    DropStatuses,
    /// The thermostat acknowledges commands but does not apply them.
    AckWithoutApplying,
    /// The thermostat acknowledges commands with `success` 0.
    Refuse,
    /// Acknowledgements are delayed by this time.
    DelayAcks(Duration),
    /// Messages to the thermostat and its acknowledgements may arrive out of order.
    Reorder,
    /// The clock of the thermostat is wrong by this many seconds.
    ClockShift(i64),
    /// Statuses are truncated after `"body":`.
    Truncate,
    /// Each status is replaced by this text.
    Replace(String),
}

/// A fault of an HTTP endpoint.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HttpFault {
    /// This status with a body of JSON: `{"error":…,"message":…}`.
    Status(u16),
    /// Status 429 with `Retry-After` in seconds.
    Throttle(u32),
    /// An error in AWS's format: status 400 and this `__type`.
    Exception(String),
    /// This status with the HTML page of a proxy or a captive portal.
    Html(u16),
    /// This status with this `Location`.
    Redirect(u16, String),
    /// This status with this body.
    Body(u16, Vec<u8>),
    /// No answer, ever.
    Hang,
    /// The connection is reset.
    Reset,
    /// The answer is correct and delayed by this time.
    Delay(Duration),
    /// The request is carried out late by this time, and answered then, even if the client has given up. A driver asks
    /// [`Cloud::request_delay`](crate::Cloud::request_delay).
    Late(Duration),
    /// The request is carried out, and this fault applies to its answer.
    AfterServing(Box<HttpFault>),
    /// Successful answers to GET come from a cache: the first one is kept and repeated while the fault lasts. Its
    /// `Date` and `Age` state that it had this age when it was kept.
    Cached(Duration),
}

/// Way in which a connection is closed, as seen by the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a network that misses one must not compile")]
pub enum Closing {
    /// A WebSocket close frame with this code, or without a code (reported as 1005).
    Frame(Option<u16>),
    /// The TCP connection is cut without a close frame (reported as 1006).
    Cut,
}

/// An event that happens once.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Incident {
    /// Every connection is closed.
    CloseAll(Closing),
    /// All id, access and refresh tokens of this account become invalid.
    RevokeTokens(String),
    /// Id and access tokens of all accounts expire.
    ExpireTokens,
    /// All AWS credentials expire. Open connections are kept.
    ExpireCredentials,
    /// The password is changed, and all tokens become invalid.
    ChangePassword(String, String),
    /// A thermostat restarts.
    Reboot(DeviceId),
    /// A person sets a thermostat to this temperature, °C.
    Press(DeviceId, f64),
    /// A person switches a thermostat to this mode.
    PressMode(DeviceId, Mode),
    /// The schedule service sends a thermostat a command with this setpoint, °C, and this mode, if any.
    Schedule(DeviceId, f64, Option<Mode>),
    /// Another app of the account sends a thermostat a command with a setpoint, °C, a mode, or both.
    OtherApp(DeviceId, Option<f64>, Option<Mode>),
    /// These bytes are published on this topic; on an `/in` topic, on behalf of another app.
    Publish(String, Vec<u8>),
    /// The device leaves its account.
    Remove(DeviceId),
    /// The device joins its account again.
    Restore(DeviceId),
    /// The owner gives the device this name.
    Rename(DeviceId, String),
}

impl Incident {
    /// Thermostat that is affected, if the incident affects a single one.
    #[must_use]
    pub const fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Reboot(id)
            | Self::Press(id, _)
            | Self::PressMode(id, _)
            | Self::Schedule(id, ..)
            | Self::OtherApp(id, ..)
            | Self::Remove(id)
            | Self::Restore(id)
            | Self::Rename(id, _) => Some(*id),
            _ => None,
        }
    }
}

/// Short description for people, without secrets.
impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CloseAll(_) => f.write_str("all connections are closed"),
            Self::RevokeTokens(email) => write!(f, "tokens of {email} are revoked"),
            Self::ExpireTokens => f.write_str("tokens expire"),
            Self::ExpireCredentials => f.write_str("credentials expire"),
            Self::ChangePassword(email, _) => write!(f, "the password of {email} is changed"),
            Self::Reboot(_) => f.write_str("reboot"),
            Self::Press(_, degrees) => write!(f, "a person sets {degrees} °C"),
            Self::PressMode(_, mode) => write!(f, "a person sets {}", mode.name()),
            Self::Schedule(_, degrees, _) => write!(f, "the schedule sets {degrees} °C"),
            Self::OtherApp(_, Some(degrees), _) => write!(f, "another app sets {degrees} °C"),
            Self::OtherApp(_, None, Some(mode)) => write!(f, "another app sets {}", mode.name()),
            Self::OtherApp(_, None, None) => f.write_str("another app sends an empty command"),
            Self::Publish(topic, _) => write!(f, "a message on {topic}"),
            Self::Remove(_) => f.write_str("it leaves its account"),
            Self::Restore(_) => f.write_str("it joins its account again"),
            Self::Rename(_, name) => write!(f, "it is renamed to {name:?}"),
        }
    }
}

/// Faults of the delivery of messages to clients.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeliveryFaults {
    pub(crate) raise_qos: bool,
    pub(crate) duplicate: bool,
    pub(crate) nothing: bool,
}

/// The faults of a running cloud.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    windows: Vec<Active>,
    /// Planned incidents, the next one last.
    events: Vec<Planned>,
    born: Duration,
    last_id: u64,
}

#[derive(Debug)]
struct Active {
    id: FaultId,
    window: Window,
}

#[derive(Debug)]
struct Planned {
    id: FaultId,
    at: Duration,
    incident: Incident,
}

impl Faults {
    pub(crate) fn new(plan: FaultPlan, born: Duration) -> Self {
        let mut faults = Self { born, ..Self::default() };
        for window in plan.windows {
            faults.add(window);
        }
        for (at, incident) in plan.events {
            faults.plan(at, incident);
        }
        faults
    }

    fn next_id(&mut self) -> FaultId {
        self.last_id += 1;
        FaultId(self.last_id)
    }

    pub(crate) fn add(&mut self, window: Window) -> FaultId {
        let id = self.next_id();
        self.windows.push(Active { id, window });
        id
    }

    /// Plans an incident. It happens after those planned earlier for the same time.
    pub(crate) fn plan(&mut self, at: Duration, incident: Incident) -> FaultId {
        let id = self.next_id();
        let place = self.events.partition_point(|planned| planned.at > at);
        self.events.insert(place, Planned { id, at, incident });
        id
    }

    /// Removes a fault or a planned incident. Returns `false` if nothing has this id.
    pub(crate) fn remove(&mut self, id: FaultId) -> bool {
        let before = self.windows.len() + self.events.len();
        self.windows.retain(|active| active.id != id);
        self.events.retain(|planned| planned.id != id);
        self.windows.len() + self.events.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.windows.clear();
    }

    pub(crate) fn clear_plan(&mut self) {
        self.events.clear();
    }

    /// Faults that have not ended.
    pub(crate) fn lasting(&self, at: Duration) -> impl Iterator<Item = (FaultId, &Window)> {
        let age = self.since_birth(at);
        let lasts = move |window: &Window| age < window.until && window.times != Some(0);
        self.windows
            .iter()
            .filter(move |active| lasts(&active.window))
            .map(|active| (active.id, &active.window))
    }

    /// Planned incidents, the next one first.
    pub(crate) fn planned(&self) -> impl Iterator<Item = (FaultId, Duration, &Incident)> {
        self.events.iter().rev().map(|planned| (planned.id, planned.at, &planned.incident))
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter().map(|active| &active.window)
    }

    pub(crate) fn since_birth(&self, at: Duration) -> Duration {
        at.saturating_sub(self.born)
    }

    /// Removes and returns the next incident, if it is due.
    pub(crate) fn due(&mut self, at: Duration) -> Option<Incident> {
        let age = self.since_birth(at);
        self.events.pop_if(|planned| planned.at <= age).map(|planned| planned.incident)
    }

    /// Time of the next incident, or of the next start or end of a window.
    pub(crate) fn next_edge(&self, at: Duration) -> Option<Duration> {
        let age = self.since_birth(at);
        let edges = self.windows().flat_map(|window| [window.from, window.until]).filter(|&edge| edge > age);
        edges
            .chain(self.events.last().map(|planned| planned.at))
            .min()
            .and_then(|edge| self.born.checked_add(edge))
    }

    /// Returns the first active fault that `matches`, and counts it.
    pub(crate) fn apply<T>(&mut self, at: Duration, matches: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let age = self.since_birth(at);
        for window in
            self.windows.iter_mut().map(|active| &mut active.window).filter(|window| window.covers(age))
        {
            if let Some(found) = matches(&window.fault) {
                window.times = window.times.map(|left| left.saturating_sub(1));
                return Some(found);
            }
        }
        None
    }

    pub(crate) fn applies(&mut self, at: Duration, fault: &Fault) -> bool {
        self.apply(at, |candidate| (candidate == fault).then_some(())).is_some()
    }

    /// Returns `true` if `fault` is active. Does not count it.
    pub(crate) fn holds(&self, at: Duration, matches: impl Fn(&Fault) -> bool) -> bool {
        let age = self.since_birth(at);
        self.windows().any(|window| window.covers(age) && matches(&window.fault))
    }

    /// Delivery faults of `device`, collected in one pass because this runs for every message.
    pub(crate) fn of_delivery(&self, at: Duration, device: DeviceId) -> DeliveryFaults {
        let age = self.since_birth(at);
        let mut found = DeliveryFaults::default();
        for window in self.windows().filter(|window| window.covers(age)) {
            match &window.fault {
                Fault::RaiseQos => found.raise_qos = true,
                Fault::Duplicate => found.duplicate = true,
                Fault::DeliverNothing(whose) if whose.is_none_or(|whose| whose == device) => {
                    found.nothing = true;
                }
                _ => {}
            }
        }
        found
    }

    /// All active faults of `device`.
    pub(crate) fn of_device(&self, at: Duration, device: DeviceId) -> DeviceFaults {
        let age = self.since_birth(at);
        let mut found = DeviceFaults::default();
        for window in self.windows().filter(|window| window.covers(age)) {
            let Fault::Device(whose, fault) = &window.fault else { continue };
            if whose.is_some_and(|whose| whose != device) {
                continue;
            }
            match fault {
                DeviceFault::Offline => found.offline = true,
                DeviceFault::Powerless => found.powerless = true,
                DeviceFault::IgnoreCommands => found.ignores_commands = true,
                DeviceFault::IgnoreLive => found.ignores_live = true,
                DeviceFault::DropAcks => found.drops_acks = true,
                DeviceFault::DropStatuses => found.drops_statuses = true,
                DeviceFault::AckWithoutApplying => found.acks_without_applying = true,
                DeviceFault::Refuse => found.refuses_commands = true,
                DeviceFault::DelayAcks(delay) => found.ack_delay = *delay,
                DeviceFault::Reorder => found.reorders = true,
                DeviceFault::ClockShift(secs) => found.clock_shift = *secs,
                DeviceFault::Truncate | DeviceFault::Replace(_) => {}
            }
        }
        found
    }

    /// Applies the faults that change a status of `device`.
    pub(crate) fn alter_payload(&mut self, at: Duration, device: DeviceId, payload: String) -> String {
        let fault = self.apply(at, |fault| match fault {
            Fault::Device(whose, fault @ (DeviceFault::Truncate | DeviceFault::Replace(_)))
                if whose.is_none_or(|whose| whose == device) =>
            {
                Some(fault.clone())
            }
            _ => None,
        });
        match fault {
            Some(DeviceFault::Replace(text)) => text,
            Some(_) => {
                let end = payload.find("\"body\":").map_or(payload.len() / 2, |start| start + 7);
                payload.get(..end).unwrap_or_default().into()
            }
            None => payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fault_lasts_as_long_as_its_window_and_applies_as_often_as_it_may() {
        let mut faults =
            Faults::new(FaultPlan::default().with(SECOND, 3 * SECOND, Fault::DropPings), 10 * SECOND);
        let mut window = Window::times(2, Fault::DropPubacks);
        window.until = 100 * SECOND;
        faults.add(window);
        for (at, expected) in [(10, false), (11, true), (12, true), (13, false)] {
            assert_eq!(faults.applies(at * SECOND, &Fault::DropPings), expected, "{at}");
        }
        let applied = (0..5).filter(|_| faults.applies(20 * SECOND, &Fault::DropPubacks)).count();
        assert_eq!(applied, 2);
    }

    #[test]
    fn planned_faults_begin_in_order() {
        let plan = FaultPlan::default()
            .with_event(5 * SECOND, Incident::ExpireTokens)
            .with_event(2 * SECOND, Incident::ExpireCredentials);
        let mut faults = Faults::new(plan, SECOND);
        assert_eq!(faults.next_edge(SECOND), Some(3 * SECOND));
        assert_eq!(faults.due(2 * SECOND), None);
        assert_eq!(faults.due(9 * SECOND), Some(Incident::ExpireCredentials));
        assert_eq!(faults.due(9 * SECOND), Some(Incident::ExpireTokens));
        assert_eq!(faults.next_edge(9 * SECOND), None);
    }
}
