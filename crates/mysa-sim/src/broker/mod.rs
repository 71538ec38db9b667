//! The MQTT broker.

pub(crate) mod connection;
pub(crate) mod subscriptions;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec::server::{Inbound, Outbound, Subscribe};
use mysa_mqtt_codec::{
    ConnAck, Connect, ConnectRefusal, DecodeError, Delivery, Filter, PINGRESP, PacketId, Publish, QoS,
    ReturnCodes, SubAck, Topic, puback, unsuback,
};
use mysa_proto::{DeviceId, TopicKind};

use crate::auth::identity_pool::Reach;
use crate::broker::connection::{Connection, InFlight};
use crate::broker::subscriptions::{Absent, BACKLOG};
use crate::device::Device;
use crate::fault::{Closing, DeliveryFaults, Fault, Faults};
use crate::spec::{Denial, Rules};

/// Something the cloud wants done on a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a server that misses one must not compile")]
pub enum Output {
    /// These bytes, as one binary frame or however the transport likes.
    Send {
        /// The connection, by the number it was announced with.
        conn: u64,
        /// Whole MQTT packets.
        bytes: Vec<u8>,
    },
    /// End it. The cloud has forgotten it already.
    Close {
        /// The connection.
        conn: u64,
        /// How the client sees it end.
        closing: Closing,
    },
}

/// Who may use which topic.
pub(crate) struct Policy<'a> {
    pub(crate) devices: &'a [Device],
    pub(crate) by_id: &'a BTreeMap<DeviceId, usize>,
}

impl Policy<'_> {
    fn owns(&self, account: usize, device: DeviceId) -> bool {
        let device = self.by_id.get(&device).and_then(|&index| self.devices.get(index));
        device.is_some_and(|device| device.account == account && !device.removed)
    }

    /// The topic, if it is one of the account's own, letter for letter.
    fn own(&self, account: usize, text: &str) -> Option<mysa_proto::Topic> {
        let topic = mysa_proto::Topic::parse(text.as_bytes())?;
        (self.owns(account, topic.device) && topic.to_string() == text).then_some(topic)
    }
}

/// How often each thing has happened at the broker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BrokerCounts {
    pub(crate) connects: u64,
    pub(crate) kicked: u64,
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
    /// What clients published and may: connection, topic and payload, for the cloud to pass on.
    published: Vec<(u64, String, Vec<u8>)>,
    last_connect: BTreeMap<String, Duration>,
    /// Granted subscriptions that a retained message is to follow: connection, device, age of the message.
    retained: Vec<(u64, DeviceId, Option<Duration>)>,
    /// Clients that are to be remembered while they are away.
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
/// Messages kept for a client go out at ten a second.
const BACKLOG_PACE: Duration = Duration::from_millis(100);
/// Outputs that may wait for a driver; more are lost, as in a socket nobody reads.
const MAX_OUTPUTS: usize = 65_536;
const MAX_CLIENTS: usize = 1_024;
/// Bytes of one client that wait while the broker reads nothing.
const MAX_HELD: usize = 1 << 20;

/// What the broker has beside itself while it decides.
pub(crate) struct Context<'a> {
    pub(crate) now: Duration,
    pub(crate) faults: &'a mut Faults,
    pub(crate) rules: &'a Rules,
    pub(crate) policy: Policy<'a>,
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

    /// Sends a message with the RETAIN flag to one connection.
    pub(crate) fn send_retained(&mut self, cx: &mut Context<'_>, conn: u64, topic: &str, payload: &[u8]) {
        let Ok(topic) = Topic::new(topic) else { return };
        let publish = Publish { retain: true, ..Publish::new(topic, payload, Delivery::AtMostOnce) };
        let mut bytes = Vec::new();
        if publish.encode(&mut bytes).is_ok() {
            self.output(cx, Output::Send { conn, bytes });
        }
    }

    /// Handles what clients sent while nothing was read. Whoever sent more than the broker holds is cut.
    pub(crate) fn read_again(&mut self, cx: &mut Context<'_>) {
        let waiting = |connection: &Connection| !connection.held.is_empty();
        let conns = self.connections.iter().filter(|(_, connection)| waiting(connection));
        for conn in conns.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            let held = core::mem::take(&mut connection.held);
            if held.len() > MAX_HELD {
                self.counts.closed += 1;
                self.close(cx, conn, Closing::Cut);
            } else {
                self.handle_bytes(cx, conn, &held);
            }
        }
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

    /// The client is gone; if it is to be remembered, then for so long.
    pub(crate) fn forget(&mut self, conn: u64, until: Duration) {
        if let Some(connection) = self.connections.remove(&conn) {
            self.remember(connection, until);
        }
    }

    fn remember(&mut self, connection: Connection, until: Duration) {
        let room = self.absent.len() < MAX_CLIENTS;
        self.absent.extend(connection.into_absent(until).filter(|_| room));
    }

    pub(crate) fn close_all(&mut self, cx: &mut Context<'_>, closing: Closing) {
        for conn in self.connections.keys().copied().collect::<Vec<_>>() {
            self.close(cx, conn, closing);
        }
    }

    pub(crate) fn handle_bytes(&mut self, cx: &mut Context<'_>, conn: u64, bytes: &[u8]) {
        if cx.faults.strikes(cx.now, &Fault::BlackholeIn) {
            return;
        }
        let Some(mut connection) = self.connections.remove(&conn) else {
            // It was closed here, and its client does not know yet.
            self.output(cx, Output::Close { conn, closing: Closing::Cut });
            return;
        };
        if cx.faults.holds(cx.now, |fault| *fault == Fault::StopReading) {
            // One byte more than the bound is kept: that is how an overflow is known afterwards.
            let room = (MAX_HELD + 1).saturating_sub(connection.held.len()).min(bytes.len());
            connection.held.extend_from_slice(bytes.get(..room).unwrap_or_default());
            self.connections.insert(conn, connection);
            return;
        }
        let mut input = bytes;
        // The decoder is taken out while what it lends is looked at.
        let empty = mysa_mqtt_codec::server::Stream::new(0);
        let mut stream = core::mem::replace(&mut connection.stream, empty);
        loop {
            match stream.next(&mut input) {
                Ok(Some(packet)) => {
                    connection.heard = cx.now;
                    if let Err(closing) = self.handle_packet(cx, conn, &mut connection, packet) {
                        self.counts.closed += 1;
                        self.remember(connection, cx.now + cx.rules.session_life);
                        self.output(cx, Output::Close { conn, closing });
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
                    self.output(cx, Output::Close { conn, closing: Closing::Frame(None) });
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
                // Who is not listened to is not silent.
                connection.heard = cx.now;
                if connection.client.is_none() {
                    connection.ends = cx.now + cx.rules.for_client(CONNECT_WITHIN);
                }
            }
            let silent =
                connection.heard.saturating_add(connection.keep_alive + connection.keep_alive / 2) <= cx.now;
            if let Some((_, closing)) = connection.doomed.filter(|(at, _)| *at <= cx.now) {
                self.counts.closed += 1;
                self.close(cx, conn, closing);
            } else if silent || connection.ends <= cx.now {
                self.counts.closed += 1;
                self.close(cx, conn, Closing::Frame(None));
            } else {
                self.resend(cx, conn);
            }
        }
    }

    /// Sends a message to whoever wants it and may have it.
    pub(crate) fn publish(&mut self, cx: &mut Context<'_>, topic: &str, payload: &[u8], at_least_once: bool) {
        let Some(own) = mysa_proto::Topic::parse(topic.as_bytes()) else { return };
        let DeliveryFaults { raise_qos: raise, duplicate, nothing } =
            cx.faults.of_delivery(cx.now, own.device);
        if nothing {
            return;
        }
        let copies = if duplicate { 2 } else { 1 };
        let mut sends = Vec::new();
        for (&conn, connection) in &mut self.connections {
            let welcome = connection.reach == Reach::Full && cx.policy.owns(connection.account, own.device);
            let Some(wanted) =
                connection.subscriptions.wants(topic).filter(|_| welcome && connection.client.is_some())
            else {
                continue;
            };
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
        for (conn, bytes) in sends {
            self.counts.delivered += 1;
            self.output(cx, Output::Send { conn, bytes });
        }
        if !(at_least_once || raise) {
            return;
        }
        self.absent.retain(|_, absent| cx.now < absent.until);
        for absent in self.absent.values_mut() {
            let welcome = absent.reach == Reach::Full && cx.policy.owns(absent.account, own.device);
            if welcome && absent.subscriptions.wants(topic) == Some(true) {
                if absent.backlog.len() < BACKLOG {
                    absent.backlog.push_back((topic.into(), payload.into()));
                } else {
                    self.counts.dropped += 1;
                }
            }
        }
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
            waiting.resend_at =
                cx.now + cx.rules.for_client(cx.rules.redelivery).max(Duration::from_millis(100));
            sends.extend(packet(&waiting.topic, &waiting.payload, Delivery::AtLeastOnce(*id), true));
        }
        for bytes in sends {
            self.output(cx, Output::Send { conn, bytes });
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, conn: u64, closing: Closing) {
        self.forget(conn, cx.now + cx.rules.session_life);
        self.output(cx, Output::Close { conn, closing });
    }

    /// Queues an output, unless the network loses it.
    fn output(&mut self, cx: &mut Context<'_>, output: Output) {
        if cx.faults.strikes(cx.now, &Fault::BlackholeOut) {
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

    /// The error is how the connection ends.
    fn handle_packet(
        &mut self,
        cx: &mut Context<'_>,
        conn: u64,
        connection: &mut Connection,
        packet: Inbound<'_>,
    ) -> Result<(), Closing> {
        const RULE: Closing = Closing::Frame(None);
        connection.packets = connection.packets.saturating_add(1);
        let young = cx.now < connection.opened + Duration::from_secs(1);
        let burst = cx.faults.strike(cx.now, |fault| match fault {
            Fault::CloseOnBurst { packets, closing } if young && connection.packets > *packets => {
                Some(*closing)
            }
            _ => None,
        });
        if let Some(closing) = burst {
            return Err(closing);
        }
        if let Inbound::Connect(connect) = packet {
            return self.connect(cx, conn, connection, &connect);
        }
        if connection.client.is_none() {
            return Err(RULE);
        }
        match packet {
            Inbound::Publish(publish) => self.take(cx, conn, connection, &publish),
            Inbound::PubAck(id) => {
                connection.in_flight.remove(&id);
                Ok(())
            }
            Inbound::Subscribe(subscribe) => self.subscribe(cx, conn, connection, subscribe),
            Inbound::Unsubscribe(unsubscribe) => {
                if unsubscribe.filters().count() > MAX_FILTERS {
                    return Err(RULE);
                }
                for filter in unsubscribe.filters() {
                    connection.subscriptions.remove(filter.as_str());
                }
                self.send(cx, conn, &unsuback(unsubscribe.id));
                Ok(())
            }
            Inbound::PingReq => {
                if !cx.faults.strikes(cx.now, &Fault::EatPings) {
                    self.send(cx, conn, &PINGRESP);
                }
                Ok(())
            }
            Inbound::Disconnect
            | Inbound::Connect(_)
            | Inbound::PubRec(_)
            | Inbound::PubRel(_)
            | Inbound::PubComp(_) => Err(RULE),
        }
    }

    fn connect(
        &mut self,
        cx: &mut Context<'_>,
        conn: u64,
        connection: &mut Connection,
        connect: &Connect<'_>,
    ) -> Result<(), Closing> {
        let rule = Closing::Frame(None);
        if connection.client.is_some() || connect.client_id.as_str().len() > MAX_CLIENT_ID {
            return Err(rule);
        }
        if cx.faults.strikes(cx.now, &Fault::IgnoreConnect) {
            return Ok(());
        }
        let closing = cx.faults.strike(cx.now, |fault| match fault {
            Fault::CloseOnConnect(closing) => Some(*closing),
            _ => None,
        });
        if let Some(closing) = closing {
            return Err(closing);
        }
        if connect.client_id.as_str().is_empty() && !connect.clean_session {
            // [MQTT-3.1.3-8]
            self.send(cx, conn, &ConnAck::Refused(ConnectRefusal::ClientId).to_bytes());
            return Err(rule);
        }
        let code = cx.faults.strike(cx.now, |fault| match fault {
            Fault::RefuseConnect(code) => Some(*code),
            _ => None,
        });
        if let Some(code) = code {
            let refusal = match code {
                1 => ConnectRefusal::ProtocolLevel,
                2 => ConnectRefusal::ClientId,
                3 => ConnectRefusal::Unavailable,
                4 => ConnectRefusal::BadLogin,
                _ => ConnectRefusal::NotAuthorized,
            };
            self.send(cx, conn, &ConnAck::Refused(refusal).to_bytes());
            return Err(rule);
        }
        let name = match connect.client_id.as_str() {
            "" => alloc::format!("anonymous-{conn}"),
            name => name.to_string(),
        };
        let second = Duration::from_secs(1);
        if self.last_connect.get(&name).is_some_and(|&last| cx.now < last.saturating_add(second)) {
            self.counts.too_fast += 1;
            return Err(rule);
        }
        if self.last_connect.len() >= MAX_CLIENTS {
            self.last_connect.retain(|_, last| cx.now < last.saturating_add(second));
        }
        self.last_connect.insert(name.clone(), cx.now);
        let older = self.connections.iter().find(|(_, other)| other.client.as_ref() == Some(&name));
        if let Some(older) = older.map(|(older, _)| *older) {
            self.counts.kicked += 1;
            self.close(cx, older, rule);
        }
        let kept = self.absent.remove(&name).filter(|absent| {
            !connect.clean_session && absent.account == connection.account && cx.now < absent.until
        });
        let session_present = kept.is_some();
        if let Some(Absent { subscriptions, backlog, .. }) = kept {
            (connection.subscriptions, connection.backlog) = (subscriptions, backlog);
            connection.backlog_at = cx.now + BACKLOG_PACE;
        }
        connection.lasting = !connect.clean_session;
        connection.client = Some(name);
        let keep_alive = match connect.keep_alive {
            0 | 1_201.. => 1_200,
            asked => asked.max(30),
        };
        connection.keep_alive = cx.rules.for_client(Duration::from_secs(keep_alive.into()));
        connection.ends = connection.opened.saturating_add(cx.rules.connection_life);
        connection.doomed = cx.faults.strike(cx.now, |fault| match fault {
            Fault::CloseAfterConnect { after, closing } => Some((cx.now + *after, *closing)),
            _ => None,
        });
        self.counts.connects += 1;
        self.send(cx, conn, &ConnAck::Accepted { session_present }.to_bytes());
        Ok(())
    }

    fn take(
        &mut self,
        cx: &mut Context<'_>,
        conn: u64,
        connection: &mut Connection,
        publish: &Publish<'_>,
    ) -> Result<(), Closing> {
        let rule = Closing::Frame(None);
        let topic = publish.topic.as_str();
        self.counts.publishes += 1;
        let second = cx.now.as_secs();
        let (window, count) = &mut connection.publishes;
        (*window, *count) = if *window == second { (second, *count + 1) } else { (second, 1) };
        let exact = matches!(publish.delivery, Delivery::ExactlyOnce(_));
        if exact || *count > MAX_PUBLISHES || is_too_long(topic) || publish.payload.len() > 128 * 1024 {
            return Err(rule);
        }
        let closing = cx.faults.strike(cx.now, |fault| match fault {
            Fault::CloseOnPublish(closing) => Some(*closing),
            _ => None,
        });
        if let Some(closing) = closing {
            return Err(closing);
        }
        if cx.faults.strikes(cx.now, &Fault::EatPublishes) {
            return Ok(());
        }
        let own = cx.policy.own(connection.account, topic).is_some_and(|topic| topic.kind == TopicKind::In);
        if connection.reach != Reach::Full || !own || cx.faults.strikes(cx.now, &Fault::DenyPublish) {
            return match cx.rules.denied_publish {
                Denial::Disconnect => Err(rule),
                Denial::Refuse | Denial::Silence => Ok(()),
            };
        }
        self.published.push((conn, topic.into(), publish.payload.into()));
        if let (Delivery::AtLeastOnce(id), false) =
            (publish.delivery, cx.faults.strikes(cx.now, &Fault::EatPubacks))
        {
            self.send(cx, conn, &puback(id));
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        cx: &mut Context<'_>,
        conn: u64,
        connection: &mut Connection,
        subscribe: Subscribe<'_>,
    ) -> Result<(), Closing> {
        let rule = Closing::Frame(None);
        if subscribe.filters().count() > MAX_FILTERS {
            return Err(rule);
        }
        let granted_at_most = cx.faults.strike(cx.now, |fault| match fault {
            Fault::GrantFirst(count) => Some(*count),
            _ => None,
        });
        let mut codes = Vec::new();
        let mut silent = false;
        let mut retained = Vec::new();
        for (filter, qos) in subscribe.filters() {
            let closing = cx.faults.strike(cx.now, |fault| match fault {
                Fault::CloseOnSubscribe { suffix, closing } if filter.as_str().ends_with(&**suffix) => {
                    Some(*closing)
                }
                _ => None,
            });
            if let Some(closing) = closing {
                return Err(closing);
            }
            if qos == QoS::ExactlyOnce || is_too_long(filter.as_str()) {
                return Err(rule);
            }
            let allowed = granted_at_most.is_none_or(|count| codes.len() < count)
                && may_subscribe(cx, connection, filter);
            let granted = match (allowed, cx.rules.denied_subscribe) {
                (true, _) => connection.subscriptions.add(filter, qos == QoS::AtLeastOnce),
                (false, Denial::Refuse) => false,
                (false, Denial::Disconnect) => return Err(rule),
                (false, Denial::Silence) => {
                    silent = true;
                    false
                }
            };
            codes.push(if granted { qos.to_byte() } else { 0x80 });
            let topic = mysa_proto::Topic::parse(filter.as_str().as_bytes());
            retained.extend(topic.filter(|topic| granted && topic.kind == TopicKind::Out));
        }
        for topic in retained {
            let age = cx.faults.strike(cx.now, |fault| match fault {
                Fault::Retained(age) => Some(*age),
                _ => None,
            });
            self.retained.extend(age.map(|age| (conn, topic.device, age)));
        }
        if silent || cx.faults.strikes(cx.now, &Fault::EatSubacks) {
            return Ok(());
        }
        let forced = cx.faults.strike(cx.now, |fault| match fault {
            Fault::SubackCodes(codes) => Some(codes.clone()),
            _ => None,
        });
        let codes = forced.unwrap_or(codes);
        let wrong = cx.faults.strikes(cx.now, &Fault::SubackWrongId);
        let id = if wrong {
            PacketId::new(subscribe.id.get() ^ 0x4000).unwrap_or(PacketId::MAX)
        } else {
            subscribe.id
        };
        let mut bytes = Vec::new();
        match ReturnCodes::new(&codes) {
            // Room enough for any number of filters.
            Ok(codes) => _ = Outbound::SubAck(SubAck { id, codes }).encode(&mut bytes),
            // A fault may ask for codes that no SUBACK has.
            Err(_) => {
                let codes = codes.get(..codes.len().min(100)).unwrap_or_default();
                bytes.extend_from_slice(&[0x90, 2 + u8::try_from(codes.len()).unwrap_or(0)]);
                bytes.extend_from_slice(&id.get().to_be_bytes());
                bytes.extend_from_slice(codes);
            }
        }
        self.send(cx, conn, &bytes);
        Ok(())
    }
}

fn may_subscribe(cx: &mut Context<'_>, connection: &Connection, filter: Filter<'_>) -> bool {
    let text = filter.as_str();
    if filter.has_wildcard() {
        let ours = ["/v1/dev/+/out", "/v1/dev/+/in", "/v1/dev/+/batch", "/v1/dev/#"];
        return cx.rules.wildcards && ours.contains(&text);
    }
    let Some(topic) = cx.policy.own(connection.account, text) else { return false };
    !cx.faults.strikes(cx.now, &Fault::RefuseDevice(topic.device))
}

fn is_too_long(topic: &str) -> bool {
    topic.len() > MAX_TOPIC || topic.bytes().filter(|&byte| byte == b'/').count() > MAX_SLASHES
}

fn packet(topic: &str, payload: &[u8], delivery: Delivery, dup: bool) -> Option<Vec<u8>> {
    let publish = Publish { dup, ..Publish::new(Topic::new(topic).ok()?, payload, delivery) };
    let mut bytes = Vec::with_capacity(payload.len() + topic.len() + 8);
    publish.encode(&mut bytes).ok()?;
    Some(bytes)
}
