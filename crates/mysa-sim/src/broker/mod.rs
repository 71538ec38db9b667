//! The MQTT broker.

pub(crate) mod connection;
mod packets;
pub(crate) mod subscriptions;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec::{ConnAck, ConnectRefusal, DecodeError, Delivery, Publish, Topic};
use mysa_proto::{DeviceId, TopicKind};

use crate::Now;
use crate::auth::identity_pool::Reach;
use crate::broker::connection::{Connection, InFlight};
use crate::broker::subscriptions::{Absent, BACKLOG};
use crate::device::Device;
use crate::fault::{Closing, DeliveryFaults, Fault, Faults};
use crate::journal::{CloseReason, EventKind, Journal, excerpt};
use crate::shadow::ShadowTopic;
use crate::spec::Rules;

/// Instruction of the cloud for a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a server that misses one must not compile")]
pub enum Output {
    /// Send these bytes in one or several binary frames.
    Send {
        /// Number of the connection.
        conn: u64,
        /// Whole MQTT packets.
        bytes: Vec<u8>,
    },
    /// Close the connection. The cloud has already removed it.
    Close {
        /// Number of the connection.
        conn: u64,
        /// Way in which it is closed.
        closing: Closing,
    },
}

/// Topic permissions of accounts.
pub(crate) struct Policy<'a> {
    pub(crate) devices: &'a [Device],
    pub(crate) by_id: &'a BTreeMap<DeviceId, usize>,
}

impl Policy<'_> {
    fn owns(&self, account: usize, device: DeviceId) -> bool {
        self.owner(device) == Some(account)
    }

    /// Returns the account that a device belongs to.
    fn owner(&self, device: DeviceId) -> Option<usize> {
        let device = self.by_id.get(&device).and_then(|&index| self.devices.get(index));
        device.filter(|device| !device.removed).map(|device| device.account)
    }

    /// Parses a topic of one of the account's own devices; it must match exactly.
    fn own<'t>(&self, account: usize, text: &'t str) -> Option<OwnTopic<'t>> {
        let topic = OwnTopic::parse(text)?;
        let has_topic = match topic {
            OwnTopic::Device(topic) => topic.to_string() == text,
            OwnTopic::Shadow(topic) => self.has_shadows(topic.device),
        };
        (has_topic && self.owns(account, topic.device())).then_some(topic)
    }

    /// Returns `true` if a filter, which may have wildcards, is for shadows of one of the account's own devices.
    fn owns_shadows(&self, account: usize, filter: &str) -> bool {
        let device = filter.strip_prefix("$aws/things/").and_then(|rest| rest.split_once("/shadow/name/"));
        let device = device.and_then(|(device, _)| DeviceId::new(device));
        device.is_some_and(|device| self.owns(account, device) && self.has_shadows(device))
    }

    fn has_shadows(&self, device: DeviceId) -> bool {
        let device = self.by_id.get(&device).and_then(|&index| self.devices.get(index));
        device.is_some_and(Device::has_shadow_topics)
    }
}

/// A topic that belongs to one device.
#[derive(Clone, Copy, Debug)]
enum OwnTopic<'t> {
    Device(mysa_proto::Topic),
    Shadow(ShadowTopic<'t>),
}

impl<'t> OwnTopic<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        match mysa_proto::Topic::parse(text.as_bytes()) {
            Some(topic) => Some(Self::Device(topic)),
            None => ShadowTopic::parse(text).map(Self::Shadow),
        }
    }

    const fn device(&self) -> DeviceId {
        match self {
            Self::Device(topic) => topic.device,
            Self::Shadow(topic) => topic.device,
        }
    }

    /// Returns `true` for a topic on which clients publish.
    fn is_of_clients(&self) -> bool {
        match self {
            Self::Device(topic) => topic.kind == TopicKind::In,
            Self::Shadow(topic) => topic.is_request(),
        }
    }
}

/// Counters of the broker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BrokerCounts {
    pub(crate) connects: u64,
    pub(crate) taken_over: u64,
    pub(crate) closed: u64,
    pub(crate) publishes: u64,
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    pub(crate) too_fast: u64,
    pub(crate) peak: usize,
}

/// The MQTT broker, as strict as AWS IoT Core.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    connections: BTreeMap<u64, Connection>,
    outputs: VecDeque<Output>,
    /// Permitted publishes of clients for the cloud to deliver: connection, topic and payload.
    published: Vec<(u64, String, Vec<u8>)>,
    last_connect: BTreeMap<String, Duration>,
    /// Granted subscriptions to be followed by a retained message: connection, device, age of the message.
    retained: Vec<(u64, DeviceId, Option<Duration>)>,
    /// Kept sessions of disconnected clients.
    absent: BTreeMap<String, Absent>,
    pub(crate) counts: BrokerCounts,
}

const MAX_FILTERS: usize = 8;
const MAX_TOPIC: usize = 256;
const MAX_SLASHES: usize = 7;
const MAX_CLIENT_ID: usize = 128;
const MAX_IN_FLIGHT: usize = 100;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const MAX_PUBLISHES: u32 = 100;
const RESEND_FOR: Duration = Duration::from_secs(3_600);
/// Stored messages are sent at ten per second.
const BACKLOG_PACE: Duration = Duration::from_millis(100);
/// Maximum number of undelivered outputs; more are dropped.
const MAX_OUTPUTS: usize = 65_536;
const MAX_CLIENTS: usize = 1_024;
/// Maximum number of unread bytes of one client while the broker reads nothing.
const MAX_HELD: usize = 1 << 20;

/// End of a connection that a packet of the client causes.
#[derive(Clone, Copy, Debug)]
struct ConnectionEnd {
    closing: Closing,
    reason: CloseReason,
}

impl ConnectionEnd {
    /// The broker closes the connection for this reason, with a close frame without a code.
    const fn by_rule(reason: CloseReason) -> Self {
        Self { closing: Closing::Frame(None), reason }
    }

    const fn by_fault(closing: Closing) -> Self {
        Self { closing, reason: CloseReason::Fault }
    }
}

/// Arguments shared by the broker's handlers.
pub(crate) struct Context<'a> {
    pub(crate) now: Duration,
    /// The same moment by both clocks, for the journal.
    pub(crate) at: Now,
    pub(crate) faults: &'a mut Faults,
    pub(crate) rules: &'a Rules,
    pub(crate) policy: Policy<'a>,
    pub(crate) journal: &'a mut Journal,
}

impl Broker {
    pub(crate) fn accept(&mut self, conn: u64, account: usize, reach: Reach, now: Duration, rules: &Rules) {
        let connect_by = now + rules.for_client(CONNECT_WITHIN);
        self.connections.insert(conn, Connection::new(account, reach, now, connect_by));
        self.counts.peak = self.counts.peak.max(self.connections.len());
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    pub(crate) fn take_published(&mut self) -> Vec<(u64, String, Vec<u8>)> {
        core::mem::take(&mut self.published)
    }

    pub(crate) fn take_retained(&mut self) -> Vec<(u64, DeviceId, Option<Duration>)> {
        core::mem::take(&mut self.retained)
    }

    /// Sends a message with the RETAIN flag to one connection, if it is still open: the same bytes may have ended it.
    pub(crate) fn send_retained(&mut self, cx: &mut Context<'_>, conn: u64, topic: &str, payload: &[u8]) {
        if !self.connections.contains_key(&conn) {
            return;
        }
        let Ok(topic) = Topic::new(topic) else { return };
        let publish = Publish { retain: true, ..Publish::new(topic, payload, Delivery::AtMostOnce) };
        let mut bytes = Vec::new();
        if publish.encode(&mut bytes).is_ok() {
            self.output(cx, Output::Send { conn, bytes });
        }
    }

    /// Handles the bytes received while nothing was read. A client that sent more than the limit is disconnected.
    pub(crate) fn read_again(&mut self, cx: &mut Context<'_>) {
        let waiting = |connection: &Connection| !connection.held.is_empty();
        let conns = self.connections.iter().filter(|(_, connection)| waiting(connection));
        for conn in conns.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            let held = core::mem::take(&mut connection.held);
            if held.len() > MAX_HELD {
                self.counts.closed += 1;
                self.close(cx, conn, Closing::Cut, CloseReason::Protocol);
            } else {
                self.handle_bytes(cx, conn, &held);
            }
        }
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = (u64, &Connection)> {
        self.connections.iter().map(|(conn, connection)| (*conn, connection))
    }

    /// Client ids of the connections that have sent CONNECT.
    pub(crate) fn clients(&self) -> impl Iterator<Item = (u64, &str)> {
        self.connections.iter().filter_map(|(conn, connection)| Some((*conn, connection.client.as_deref()?)))
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.connections.values().map(|connection| connection.subscriptions.len()).sum()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.connections.values().map(Connection::deadline).min()
    }

    /// Removes a connection and keeps its session, if any, until this time. Returns `false` if there is no such
    /// connection.
    pub(crate) fn forget(&mut self, conn: u64, until: Duration) -> bool {
        let connection = self.connections.remove(&conn);
        let found = connection.is_some();
        if let Some(connection) = connection {
            self.remember(connection, until);
        }
        found
    }

    fn remember(&mut self, connection: Connection, until: Duration) {
        let room = self.absent.len() < MAX_CLIENTS;
        self.absent.extend(connection.into_absent(until).filter(|_| room));
    }

    pub(crate) fn close_all(&mut self, cx: &mut Context<'_>, closing: Closing, reason: CloseReason) {
        for conn in self.connections.keys().copied().collect::<Vec<_>>() {
            self.close(cx, conn, closing, reason);
        }
    }

    pub(crate) fn handle_bytes(&mut self, cx: &mut Context<'_>, conn: u64, bytes: &[u8]) {
        if cx.faults.applies(cx.now, &Fault::BlackholeIn) {
            return;
        }
        let Some(mut connection) = self.connections.remove(&conn) else {
            // The connection was closed here already, and the client may not know yet.
            self.output(cx, Output::Close { conn, closing: Closing::Cut });
            return;
        };
        if cx.faults.holds(cx.now, |fault| *fault == Fault::StopReading) {
            // One byte above the limit is kept to detect the overflow later.
            let room = (MAX_HELD + 1).saturating_sub(connection.held.len()).min(bytes.len());
            connection.held.extend_from_slice(bytes.get(..room).unwrap_or_default());
            self.connections.insert(conn, connection);
            return;
        }
        let mut input = bytes;
        // The decoder is moved out, because packets borrow from it.
        let empty = mysa_mqtt_codec::server::Stream::new(0);
        let mut stream = core::mem::replace(&mut connection.stream, empty);
        loop {
            match stream.next(&mut input) {
                Ok(Some(packet)) => {
                    connection.last_received = cx.now;
                    if let Err(ConnectionEnd { closing, reason }) =
                        self.handle_packet(cx, conn, &mut connection, packet)
                    {
                        self.counts.closed += 1;
                        self.remember(connection, cx.now + cx.rules.session_life);
                        self.finish(cx, conn, closing, reason);
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    if let (DecodeError::ProtocolLevel(_), None) = (error, &connection.client) {
                        // [MQTT-3.1.2-2]
                        let refused = ConnAck::Refused(ConnectRefusal::ProtocolLevel);
                        self.send(cx, conn, &refused.to_bytes());
                    }
                    self.counts.closed += 1;
                    self.remember(connection, cx.now + cx.rules.session_life);
                    self.finish(cx, conn, Closing::Frame(None), CloseReason::Protocol);
                    return;
                }
            }
        }
        connection.stream = stream;
        self.connections.insert(conn, connection);
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        let due: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.deadline() <= cx.now)
            .map(|(conn, _)| *conn)
            .collect();
        let reads = !cx.faults.holds(cx.now, |fault| *fault == Fault::StopReading);
        for conn in due {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            if !reads {
                // A client whose bytes are not read is not considered silent.
                connection.last_received = cx.now;
                if connection.client.is_none() {
                    connection.ends = cx.now + cx.rules.for_client(CONNECT_WITHIN);
                }
            }
            // [MQTT-3.1.2-24] A client may be silent for one and a half times its keep-alive.
            let silent =
                connection.last_received.saturating_add(connection.keep_alive + connection.keep_alive / 2)
                    <= cx.now;
            if let Some((_, closing)) = connection.close_at.filter(|(at, _)| *at <= cx.now) {
                self.counts.closed += 1;
                self.close(cx, conn, closing, CloseReason::Fault);
            } else if silent || connection.ends <= cx.now {
                let reason = match &connection.client {
                    None => CloseReason::NoConnect,
                    Some(_) if silent => CloseReason::Silent,
                    Some(_) => CloseReason::Aged,
                };
                self.counts.closed += 1;
                self.close(cx, conn, Closing::Frame(None), reason);
            } else {
                self.resend(cx, conn);
            }
        }
    }

    /// Sends a message to each client that is subscribed to its topic and permitted to receive it.
    pub(crate) fn publish(&mut self, cx: &mut Context<'_>, topic: &str, payload: &[u8], at_least_once: bool) {
        let Some(own) = OwnTopic::parse(topic) else { return };
        let packets = self.deliver(cx, own.device(), topic, payload, at_least_once);
        // The journal already has what a client published.
        if packets > 0 || !own.is_of_clients() {
            let message = || EventKind::Delivered { topic: topic.into(), payload: excerpt(payload), packets };
            cx.journal.add(cx.at, message);
        }
    }

    /// Returns the number of packets.
    fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        device: DeviceId,
        topic: &str,
        payload: &[u8],
        at_least_once: bool,
    ) -> usize {
        let DeliveryFaults { raise_qos: raise, duplicate, nothing } = cx.faults.of_delivery(cx.now, device);
        if nothing {
            return 0;
        }
        let copies = if duplicate { 2 } else { 1 };
        let mut sends = Vec::new();
        let Some(owner) = cx.policy.owner(device) else { return 0 };
        // Before the filters are looked at: a cloud may have thousands of connections of other accounts.
        let may_receive = |account: usize, reach: Reach| account == owner && reach == Reach::Full;
        for (&conn, connection) in &mut self.connections {
            if !may_receive(connection.account, connection.reach) || connection.client.is_none() {
                continue;
            }
            let Some(wanted) = connection.subscriptions.wants(topic) else { continue };
            for _ in 0..copies {
                let delivery = if wanted && (at_least_once || raise) {
                    if connection.in_flight.len() >= MAX_IN_FLIGHT {
                        self.counts.dropped += 1;
                        continue;
                    }
                    let Some(id) = connection.next_id() else { continue };
                    connection.in_flight.insert(
                        id,
                        InFlight {
                            topic: topic.into(),
                            payload: payload.into(),
                            resend_at: cx.now + cx.rules.for_client(cx.rules.redelivery),
                            give_up_at: cx.now + RESEND_FOR,
                        },
                    );
                    Delivery::AtLeastOnce(id)
                } else {
                    Delivery::AtMostOnce
                };
                if let Some(bytes) = packet(topic, payload, delivery, false) {
                    sends.push((conn, bytes));
                }
            }
        }
        // Sent after the loop, which borrows the connections.
        let packets = sends.len();
        for (conn, bytes) in sends {
            self.counts.delivered += 1;
            self.output(cx, Output::Send { conn, bytes });
        }
        // Messages with QoS 0 are not stored for disconnected clients.
        if !(at_least_once || raise) {
            return packets;
        }
        self.absent.retain(|_, absent| cx.now < absent.until);
        for absent in self.absent.values_mut() {
            let may_receive = may_receive(absent.account, absent.reach);
            if may_receive && absent.subscriptions.wants(topic) == Some(true) {
                if absent.backlog.len() < BACKLOG {
                    absent.backlog.push_back((topic.into(), payload.into()));
                } else {
                    self.counts.dropped += 1;
                }
            }
        }
        packets
    }

    fn resend(&mut self, cx: &mut Context<'_>, conn: u64) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.in_flight.retain(|_, waiting| waiting.give_up_at > cx.now);
        let mut sends = Vec::new();
        while connection.backlog_at <= cx.now && connection.in_flight.len() < MAX_IN_FLIGHT {
            let (Some((topic, payload)), Some(id)) = (connection.backlog.pop_front(), connection.next_id())
            else {
                break;
            };
            sends.extend(packet(&topic, &payload, Delivery::AtLeastOnce(id), false));
            let resend_at = cx.now + cx.rules.for_client(cx.rules.redelivery).max(BACKLOG_PACE);
            let give_up_at = cx.now + RESEND_FOR;
            connection.in_flight.insert(id, InFlight { topic, payload, resend_at, give_up_at });
            connection.backlog_at = cx.now + BACKLOG_PACE;
        }
        connection.backlog_at = connection.backlog_at.max(cx.now + BACKLOG_PACE);
        for (id, waiting) in
            connection.in_flight.iter_mut().filter(|(_, waiting)| waiting.resend_at <= cx.now)
        {
            // Without a minimum, a redelivery time of 0 would always be due.
            waiting.resend_at =
                cx.now + cx.rules.for_client(cx.rules.redelivery).max(Duration::from_millis(100));
            sends.extend(packet(&waiting.topic, &waiting.payload, Delivery::AtLeastOnce(*id), true));
        }
        for bytes in sends {
            self.output(cx, Output::Send { conn, bytes });
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, conn: u64, closing: Closing, reason: CloseReason) {
        self.forget(conn, cx.now + cx.rules.session_life);
        self.finish(cx, conn, closing, reason);
    }

    /// Closes a connection that was removed.
    fn finish(&mut self, cx: &mut Context<'_>, conn: u64, closing: Closing, reason: CloseReason) {
        cx.journal.add(cx.at, || EventKind::Closed { conn, by_broker: Some(closing), reason });
        self.output(cx, Output::Close { conn, closing });
    }

    /// Queues an output, unless a fault drops it.
    fn output(&mut self, cx: &mut Context<'_>, output: Output) {
        if cx.faults.applies(cx.now, &Fault::BlackholeOut) {
            return;
        }
        if self.outputs.len() >= MAX_OUTPUTS {
            self.counts.dropped += 1;
            return;
        }
        self.outputs.push_back(output);
    }

    fn send(&mut self, cx: &mut Context<'_>, conn: u64, bytes: &[u8]) {
        self.output(cx, Output::Send { conn, bytes: bytes.to_vec() });
    }
}

fn packet(topic: &str, payload: &[u8], delivery: Delivery, dup: bool) -> Option<Vec<u8>> {
    let publish = Publish { dup, ..Publish::new(Topic::new(topic).ok()?, payload, delivery) };
    let mut bytes = Vec::with_capacity(payload.len() + topic.len() + 8);
    publish.encode(&mut bytes).ok()?;
    Some(bytes)
}
