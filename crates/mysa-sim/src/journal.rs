//! Journal of the events in the cloud, for people and test programs to follow.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use mysa_proto::{DeviceId, UnixTime};

use crate::device::command_record::{CommandRecord, Origin};
use crate::fault::{Closing, FaultId};
use crate::{Cloud, Now};

/// An event in the cloud.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Time of the event, by the cloud's clocks.
    pub at: Now,
    /// Kind and details of the event.
    pub kind: EventKind,
}

/// Kind and details of an event. Tokens, passwords and queries are left out.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// An HTTP request was handled.
    Request {
        /// Service, and action or method with path; ids are replaced by `{id}`.
        route: String,
        /// Path of the request, at most 200 bytes of it.
        path: String,
        /// Status of the answer; `None` if a fault gave none.
        status: Option<u16>,
    },
    /// A client signed in with a password.
    SignedIn,
    /// A client renewed its tokens with a refresh token.
    TokensRefreshed,
    /// A client was given AWS credentials.
    CredentialsIssued,
    /// A WebSocket connection was accepted.
    Opened {
        /// Number of the connection.
        conn: u64,
        /// Account whose credentials signed the request.
        account: String,
        /// Time of the signature in the presigned URL.
        signed_at: UnixTime,
    },
    /// A WebSocket connection was refused.
    UpgradeRefused {
        /// Status of the answer; `None` if a fault gave none.
        status: Option<u16>,
    },
    /// A client connected to the broker.
    Connected {
        /// Number of the connection.
        conn: u64,
        /// Its client id.
        client: String,
        /// Keep-alive that it asked for, in seconds.
        keep_alive: u16,
        /// `true` if it asked for a clean session.
        clean_session: bool,
    },
    /// A connection ended.
    Closed {
        /// Number of the connection.
        conn: u64,
        /// Way in which the broker closed it; `None` if the client or the network closed it.
        by_broker: Option<Closing>,
        /// Cause of the end.
        reason: CloseReason,
    },
    /// A client subscribed.
    Subscribed {
        /// Number of the connection.
        conn: u64,
        /// Each filter, and `true` if it was granted.
        filters: Vec<(String, bool)>,
    },
    /// A client published a message.
    Published {
        /// Number of the connection.
        conn: u64,
        /// Topic.
        topic: String,
        /// Quality of service, from 0 to 2.
        qos: u8,
        /// Payload, at most 1024 bytes of it.
        payload: Vec<u8>,
        /// `true` if the broker accepted it. It may be `false` because a fault lost the message or the policy denied
        /// it.
        accepted: bool,
    },
    /// A message reached subscribers.
    Delivered {
        /// Topic.
        topic: String,
        /// Payload, at most 1024 bytes of it.
        payload: Vec<u8>,
        /// Number of packets to clients.
        packets: usize,
    },
    /// A thermostat applied or refused a command or a press of its buttons.
    Command {
        /// The thermostat.
        device: DeviceId,
        /// The command, its origin and its outcome.
        record: CommandRecord,
    },
    /// A fault was started or planned while the cloud ran.
    FaultAdded {
        /// Its id.
        id: FaultId,
    },
    /// A fault was ended by [`Cloud::end_fault`] or [`Cloud::end_faults`].
    FaultEnded {
        /// Its id.
        id: FaultId,
    },
    /// An incident happened.
    Incident {
        /// Description, such as `reboot` or `a person sets 16 °C`.
        what: String,
        /// Thermostat that is affected, if the incident affects a single one.
        device: Option<DeviceId>,
    },
    /// The temperature of a room was set.
    RoomSet {
        /// Thermostat in the room.
        device: DeviceId,
        /// Temperature, °C.
        celsius: f64,
    },
    /// The weather of a home was changed.
    WeatherSet {
        /// Id of the home.
        home: String,
    },
    /// A newer firmware was offered, or is no longer.
    FirmwareOffered {
        /// Thermostat.
        device: DeviceId,
        /// Version; `None` if none is offered any more.
        version: Option<String>,
    },
}

/// Cause of the end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client or the network ended it, without DISCONNECT.
    Lost,
    /// The client sent DISCONNECT.
    Disconnect,
    /// Another connection with the same client id took its place.
    TakenOver,
    /// The client sent CONNECT within a second of the last one with the same client id.
    EarlyConnect,
    /// A SUBSCRIBE or UNSUBSCRIBE had more than eight filters.
    TooManyFilters,
    /// The policy denied a subscription or a publish.
    Denied,
    /// The client sent nothing for one and a half times its keep-alive.
    Silent,
    /// The client sent no CONNECT in time.
    NoConnect,
    /// The connection reached the end of its life.
    Aged,
    /// The client sent something that MQTT or AWS IoT does not permit.
    Protocol,
    /// A fault or an incident of the simulation.
    Fault,
}

impl CloseReason {
    /// Name, such as `taken-over`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Disconnect => "disconnect",
            Self::TakenOver => "taken-over",
            Self::EarlyConnect => "early-connect",
            Self::TooManyFilters => "too-many-filters",
            Self::Denied => "denied",
            Self::Silent => "silent",
            Self::NoConnect => "no-connect",
            Self::Aged => "aged",
            Self::Protocol => "protocol",
            Self::Fault => "fault",
        }
    }
}

/// One line for people: the time since the start of the monotonic clock, and what happened.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s {}", self.at.mono.as_secs_f64(), self.kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Request { route, status: Some(status), .. } => write!(f, "request {route}: {status}"),
            Self::Request { route, status: None, .. } => write!(f, "request {route}: no answer"),
            Self::SignedIn => f.write_str("signed in with a password"),
            Self::TokensRefreshed => f.write_str("tokens refreshed"),
            Self::CredentialsIssued => f.write_str("credentials issued"),
            Self::Opened { conn, account, .. } => write!(f, "connection {conn} opened for {account}"),
            Self::UpgradeRefused { status: Some(status) } => write!(f, "connection refused with {status}"),
            Self::UpgradeRefused { status: None } => f.write_str("connection not answered"),
            Self::Connected { conn, client, .. } => write!(f, "connection {conn} connected as {client}"),
            Self::Closed { conn, by_broker: None, .. } => write!(f, "connection {conn} closed by the client"),
            Self::Closed { conn, by_broker: Some(_), reason } => {
                write!(f, "connection {conn} closed by the broker: {}", reason.name())
            }
            Self::Subscribed { conn, filters } => {
                write!(f, "connection {conn} subscribed")?;
                for (filter, granted) in filters {
                    write!(f, " {filter}{}", if *granted { "" } else { " (refused)" })?;
                }
                Ok(())
            }
            Self::Published { conn, topic, payload, accepted, .. } => {
                let lost = if *accepted { "" } else { " (not accepted)" };
                write!(f, "connection {conn} published on {topic}{lost}: {}", text(payload))
            }
            Self::Delivered { topic, payload, packets } => {
                write!(f, "message on {topic} to {packets}: {}", text(payload))
            }
            Self::Command { device, record } => {
                let outcome = if record.applied { "applied" } else { "refused" };
                let origin = match record.origin {
                    Origin::Mqtt { conn } => {
                        return write!(f, "command of connection {conn} {outcome} by {device}");
                    }
                    Origin::Rest => "REST",
                    Origin::Button => "a person",
                    Origin::Schedule => "the schedule",
                    Origin::OtherApp => "another app",
                    Origin::Record => "the device record",
                };
                write!(f, "command of {origin} {outcome} by {device}")
            }
            Self::FaultAdded { id } => write!(f, "fault {} added", id.get()),
            Self::FaultEnded { id } => write!(f, "fault {} ended", id.get()),
            Self::Incident { what, device: Some(device) } => write!(f, "incident at {device}: {what}"),
            Self::Incident { what, device: None } => write!(f, "incident: {what}"),
            Self::RoomSet { device, celsius } => write!(f, "room of {device} set to {celsius} °C"),
            Self::WeatherSet { home } => write!(f, "weather of home {home} changed"),
            Self::FirmwareOffered { device, version: Some(version) } => {
                write!(f, "firmware {version} offered for {device}")
            }
            Self::FirmwareOffered { device, version: None } => write!(f, "no firmware offered for {device}"),
        }
    }
}

/// Maximum number of events that wait to be polled; older ones are dropped.
const CAPACITY: usize = 4_096;
/// Maximum number of bytes of a payload in an event.
const MAX_PAYLOAD: usize = 1_024;
/// Maximum number of bytes of a path in an event.
const MAX_PATH: usize = 200;

/// Events that wait to be polled.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    is_on: bool,
    events: VecDeque<Event>,
    dropped: u64,
}

impl Journal {
    /// Adds an event. `kind` is called only while events are recorded.
    pub(crate) fn add(&mut self, at: Now, kind: impl FnOnce() -> EventKind) {
        if !self.is_on {
            return;
        }
        if self.events.len() == CAPACITY {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(Event { at, kind: kind() });
    }
}

/// The first bytes of a payload.
pub(crate) fn excerpt(payload: &[u8]) -> Vec<u8> {
    payload.get(..MAX_PAYLOAD).unwrap_or(payload).to_vec()
}

/// The start of a path.
pub(crate) fn short_path(path: &str) -> String {
    let mut end = path.len().min(MAX_PATH);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    path.get(..end).unwrap_or_default().into()
}

impl Cloud {
    /// Starts or stops the recording of events. It is off at first. Events already recorded can still be polled.
    ///
    /// A caller that turns it on should call [`Cloud::poll_event`] after every call: at most 4096 events wait, and
    /// older ones are dropped.
    pub fn record_events(&mut self, on: bool) {
        self.journal.is_on = on;
        for device in &mut self.devices {
            device.journaled = device.thermostat.record_count;
        }
    }

    /// Returns the next recorded event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.journal.events.pop_front()
    }

    /// Number of events that were dropped because they were not polled in time.
    #[must_use]
    pub const fn dropped_events(&self) -> u64 {
        self.journal.dropped
    }

    /// Records the commands that a thermostat has handled since the last call.
    pub(crate) fn journal_commands(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index) else { return };
        let total = device.thermostat.record_count;
        let fresh = usize::try_from(total.saturating_sub(device.journaled)).unwrap_or(usize::MAX);
        device.journaled = total;
        if !self.journal.is_on {
            return;
        }
        let records = &device.thermostat.command_records;
        for record in records.iter().skip(records.len().saturating_sub(fresh)) {
            let command = || EventKind::Command { device: device.thermostat.id, record: record.clone() };
            self.journal.add(record.at, command);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const START: Now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };

    const fn closed(conn: u64) -> EventKind {
        EventKind::Closed { conn, by_broker: None, reason: CloseReason::Lost }
    }

    #[test]
    fn the_journal_keeps_the_newest_events_and_counts_the_others() {
        let mut journal = Journal { is_on: true, ..Journal::default() };
        for conn in 0..5_000 {
            journal.add(START, || closed(conn));
        }
        assert_eq!((journal.events.len(), journal.dropped), (CAPACITY, 5_000 - 4_096));
        let first = &journal.events.front().unwrap().kind;
        assert_eq!(*first, closed(904));
    }

    #[test]
    fn nothing_is_recorded_before_it_is_asked_for() {
        let mut journal = Journal::default();
        journal.add(START, || panic!("no event is made"));
        assert!(journal.events.is_empty());
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let path = "/é".repeat(100);
        assert_eq!(short_path(&path).len(), 199);
        assert_eq!(excerpt(&[7; 3_000]).len(), 1_024);
        assert_eq!(excerpt(b"{}"), b"{}");
    }
}
