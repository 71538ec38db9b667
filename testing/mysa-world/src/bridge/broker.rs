//! Broker of the home, which shares no code with the client under test: its packets are read and written by `mqttbytes`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, PingResp, PubAck, Publish, SubAck, SubscribeReasonCode, read,
};
use mqttbytes::{Error, QoS, matches};

/// Largest packet that the broker accepts.
const MAX_PACKET: usize = 256 << 10;

/// Message on its way through the broker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) retain: bool,
}

/// Output of the broker on a connection.
#[derive(Debug)]
pub(crate) enum Output {
    Send { conn: u64, bytes: Vec<u8> },
    Close { conn: u64 },
}

/// Retained messages that survive a restart of the broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Store {
    /// All of them.
    Kept,
    /// Those of the last time the broker saved them.
    Old,
    /// None.
    Lost,
}

/// Connection without a network: the smart home's own.
const LOCAL: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) retained: BTreeMap<String, Bytes>,
    saved: BTreeMap<String, Bytes>,
    clients: BTreeMap<u64, Client>,
    /// Wills that are published late.
    wills: BTreeMap<(Duration, u64), Message>,
    is_running: bool,
    /// Bytes are accepted and nothing is answered.
    hangs: bool,
    /// Refuses every login with this code.
    pub(crate) refuses: Option<ConnectReturnCode>,
    /// Publishes the will of a connection that another one replaces this long after the new one is accepted.
    pub(crate) will_delay: Duration,
    /// Time after which it acknowledges messages and subscriptions.
    pub(crate) ack_delay: Duration,
    /// Time after which a subscription gets the retained messages, as from a store that is read in the background.
    pub(crate) retained_delay: Duration,
    /// Packets that are sent late, and their connections.
    late: BTreeMap<(Duration, u64), (u64, Vec<u8>)>,
    late_count: u64,
    outputs: VecDeque<Output>,
    /// Messages for the smart home.
    pub(crate) inbox: VecDeque<Message>,
    /// Messages published since the log was last taken: of connections, and wills.
    pub(crate) log: Vec<Message>,
    will_count: u64,
}

#[derive(Debug)]
struct Client {
    buffer: BytesMut,
    session: Option<ClientSession>,
    last_received: Duration,
    /// The peer has closed the connection, which a broker that hangs has not noticed.
    is_closed: bool,
}

#[derive(Debug)]
struct ClientSession {
    client_id: String,
    filters: Vec<String>,
    will: Option<Message>,
    keep_alive: Duration,
}

impl Broker {
    pub(crate) fn new() -> Self {
        Self {
            retained: BTreeMap::new(),
            saved: BTreeMap::new(),
            clients: BTreeMap::new(),
            wills: BTreeMap::new(),
            is_running: true,
            hangs: false,
            refuses: None,
            will_delay: Duration::ZERO,
            ack_delay: Duration::ZERO,
            retained_delay: Duration::ZERO,
            late: BTreeMap::new(),
            late_count: 0,
            outputs: VecDeque::new(),
            inbox: VecDeque::new(),
            log: Vec::new(),
            will_count: 0,
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// `true` if it has accepted a connection of the network that has not ended.
    pub(crate) fn has_session(&self) -> bool {
        self.clients.iter().any(|(conn, client)| *conn != LOCAL && client.session.is_some())
    }

    /// `true` if it will publish, or has published since its start, the will of a connection.
    pub(crate) fn has_will(&self) -> bool {
        !self.wills.is_empty() || self.has_session()
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.is_running
    }

    /// Time of the last bytes of a connection of the network that has a session.
    pub(crate) fn last_received(&self) -> Option<Duration> {
        let network =
            self.clients.iter().filter(|(conn, client)| **conn != LOCAL && client.session.is_some());
        network.map(|(_, client)| client.last_received).max()
    }

    /// `true` if it answers: it runs, does not hang and accepts logins.
    pub(crate) const fn is_well(&self) -> bool {
        self.is_running && !self.hangs && self.refuses.is_none()
    }

    /// Opens a connection. Returns `false` if the broker does not run.
    pub(crate) fn open(&mut self, conn: u64, now: Duration) -> bool {
        if self.is_running {
            let client =
                Client { buffer: BytesMut::new(), session: None, last_received: now, is_closed: false };
            self.clients.insert(conn, client);
        }
        self.is_running
    }

    /// Records that a peer has closed its connection.
    pub(crate) fn handle_closed(&mut self, conn: u64, now: Duration) {
        if self.hangs {
            if let Some(client) = self.clients.get_mut(&conn) {
                client.is_closed = true;
            }
        } else {
            self.end(conn, now);
        }
    }

    pub(crate) fn handle_bytes(&mut self, conn: u64, bytes: &[u8], now: Duration) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.buffer.extend_from_slice(bytes);
        if !self.hangs {
            self.work(conn, now);
        }
    }

    /// Starts or ends a time in which the broker answers nothing. At its end, everything that waited is handled.
    pub(crate) fn hang(&mut self, hangs: bool, now: Duration) {
        if !std::mem::replace(&mut self.hangs, hangs) || hangs {
            return;
        }
        let conns: Vec<u64> = self.clients.keys().copied().collect();
        for conn in conns {
            self.work(conn, now);
            if self.clients.get(&conn).is_some_and(|client| client.is_closed) {
                self.end(conn, now);
            }
        }
    }

    /// Saves the retained messages, as brokers do from time to time.
    pub(crate) fn save(&mut self) {
        self.saved.clone_from(&self.retained);
    }

    /// Ends the process. No will is published, and every connection is closed.
    pub(crate) fn stop(&mut self, store: Store) {
        self.is_running = false;
        self.hangs = false;
        for conn in std::mem::take(&mut self.clients).into_keys().filter(|conn| *conn != LOCAL) {
            self.outputs.push_back(Output::Close { conn });
        }
        self.wills.clear();
        self.late.clear();
        self.inbox.clear();
        match store {
            Store::Kept => {}
            Store::Old => self.retained.clone_from(&self.saved),
            Store::Lost => self.retained.clear(),
        }
        self.save();
    }

    pub(crate) const fn start(&mut self) {
        self.is_running = true;
    }

    /// Closes every connection of the network.
    pub(crate) fn kick_all(&mut self, now: Duration) {
        let conns: Vec<u64> = self.clients.keys().copied().filter(|conn| *conn != LOCAL).collect();
        for conn in conns {
            self.outputs.push_back(Output::Close { conn });
            self.end(conn, now);
        }
    }

    /// Connects the smart home with these filters. Retained messages follow. Returns `false` if the broker is not well.
    pub(crate) fn attach(&mut self, filters: &[&str]) -> bool {
        if !self.is_well() {
            return false;
        }
        let filters: Vec<String> = filters.iter().map(|&filter| filter.to_owned()).collect();
        let session = ClientSession {
            client_id: "home".into(),
            filters: filters.clone(),
            will: None,
            keep_alive: Duration::MAX,
        };
        let client = Client {
            buffer: BytesMut::new(),
            session: Some(session),
            last_received: Duration::ZERO,
            is_closed: false,
        };
        self.clients.insert(LOCAL, client);
        for filter in filters {
            self.send_retained(LOCAL, &filter, Duration::ZERO);
        }
        true
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.clients.contains_key(&LOCAL)
    }

    pub(crate) fn detach(&mut self) {
        self.clients.remove(&LOCAL);
        self.inbox.clear();
    }

    /// Publishes a message of the smart home. Returns `false` if it is not connected.
    pub(crate) fn publish_local(&mut self, message: Message) -> bool {
        let reaches = self.is_attached() && !self.hangs;
        if reaches {
            self.publish(message);
        }
        reaches
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        if !self.is_running || self.hangs {
            return None;
        }
        let silent = self.clients.values().filter_map(Client::silent_at).min();
        let late = self.late.keys().next().map(|(at, _)| *at);
        self.wills.keys().next().map(|(at, _)| *at).into_iter().chain(late).chain(silent).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        if !self.is_running || self.hangs {
            return;
        }
        while let Some(entry) = self.wills.first_entry()
            && entry.key().0 <= now
        {
            let will = entry.remove();
            self.publish(will);
        }
        while let Some(entry) = self.late.first_entry()
            && entry.key().0 <= now
        {
            let (conn, bytes) = entry.remove();
            if self.clients.contains_key(&conn) {
                self.outputs.push_back(Output::Send { conn, bytes });
            }
        }
        let silent = |client: &Client| client.silent_at().is_some_and(|at| at <= now);
        let conns: Vec<u64> =
            self.clients.iter().filter(|(_, client)| silent(client)).map(|(conn, _)| *conn).collect();
        for conn in conns {
            self.outputs.push_back(Output::Close { conn });
            self.end(conn, now);
        }
    }

    /// Handles the packets that have arrived on a connection.
    fn work(&mut self, conn: u64, now: Duration) {
        loop {
            let Some(client) = self.clients.get_mut(&conn) else { return };
            client.last_received = now;
            match read(&mut client.buffer, MAX_PACKET) {
                Ok(packet) => self.packet(conn, packet, now),
                Err(Error::InsufficientBytes(_)) => return,
                Err(_) => {
                    self.outputs.push_back(Output::Close { conn });
                    return self.end(conn, now);
                }
            }
        }
    }

    fn packet(&mut self, conn: u64, packet: Packet, now: Duration) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        match (packet, &mut client.session) {
            (Packet::Connect(connect), None) => self.connect(conn, connect, now),
            (Packet::Publish(publish), Some(_)) => {
                if publish.qos == QoS::AtLeastOnce {
                    self.acknowledge(conn, now, |out| PubAck::new(publish.pkid).write(out));
                }
                let Publish { topic, payload, retain, .. } = publish;
                self.publish(Message { topic, payload, retain });
            }
            (Packet::Subscribe(subscribe), Some(session)) => {
                let filters: Vec<String> =
                    subscribe.filters.iter().map(|filter| filter.path.clone()).collect();
                session.filters.extend(filters.iter().cloned());
                let codes = vec![SubscribeReasonCode::Success(QoS::AtMostOnce); filters.len()];
                self.acknowledge(conn, now, |out| SubAck::new(subscribe.pkid, codes).write(out));
                for filter in filters {
                    self.send_retained(conn, &filter, now + self.retained_delay);
                }
            }
            (Packet::PingReq, Some(_)) => self.send(conn, |out| PingResp.write(out)),
            (Packet::PubAck(_), Some(_)) => {}
            (Packet::Disconnect, Some(session)) => {
                session.will = None;
                self.outputs.push_back(Output::Close { conn });
                self.end(conn, now);
            }
            _ => {
                self.outputs.push_back(Output::Close { conn });
                self.end(conn, now);
            }
        }
    }

    fn connect(&mut self, conn: u64, connect: Connect, now: Duration) {
        if let Some(code) = self.refuses {
            self.send(conn, |out| ConnAck::new(code, false).write(out));
            self.outputs.push_back(Output::Close { conn });
            self.clients.remove(&conn);
            return;
        }
        // A newer connection of a client replaces the older one.
        let same = |client: &Client| {
            client.session.as_ref().is_some_and(|session| session.client_id == connect.client_id)
        };
        let older: Vec<u64> =
            self.clients.iter().filter(|(_, client)| same(client)).map(|(conn, _)| *conn).collect();
        for old in older {
            self.outputs.push_back(Output::Close { conn: old });
            self.end(old, now);
        }
        let will = connect.last_will.map(|will| Message {
            topic: will.topic,
            payload: will.message,
            retain: will.retain,
        });
        let keep_alive = match connect.keep_alive {
            0 => Duration::MAX,
            secs => Duration::from_secs(secs.into()),
        };
        if let Some(client) = self.clients.get_mut(&conn) {
            client.session =
                Some(ClientSession { client_id: connect.client_id, filters: Vec::new(), will, keep_alive });
        }
        self.send(conn, |out| ConnAck::new(ConnectReturnCode::Success, false).write(out));
    }

    /// Removes a connection, and publishes its will if it did not disconnect.
    fn end(&mut self, conn: u64, now: Duration) {
        let Some(client) = self.clients.remove(&conn) else { return };
        let Some(will) = client.session.and_then(|session| session.will) else { return };
        if self.will_delay.is_zero() {
            self.publish(will);
        } else {
            self.will_count += 1;
            self.wills.insert((now + self.will_delay, self.will_count), will);
        }
    }

    fn publish(&mut self, message: Message) {
        if message.retain {
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else {
                self.retained.insert(message.topic.clone(), message.payload.clone());
            }
        }
        let reads = |client: &Client| {
            client
                .session
                .as_ref()
                .is_some_and(|session| session.filters.iter().any(|filter| matches(&message.topic, filter)))
        };
        let readers: Vec<u64> =
            self.clients.iter().filter(|(_, client)| reads(client)).map(|(conn, _)| *conn).collect();
        for conn in readers {
            // A message to an existing subscription is not marked as retained [MQTT-3.3.1-9].
            self.deliver(conn, Message { retain: false, ..message.clone() }, Duration::ZERO);
        }
        self.log.push(message);
    }

    /// Sends the retained messages of a filter, not before `at`.
    fn send_retained(&mut self, conn: u64, filter: &str, at: Duration) {
        let found: Vec<Message> = self
            .retained
            .iter()
            .filter(|(topic, _)| matches(topic, filter))
            .map(|(topic, payload)| Message { topic: topic.clone(), payload: payload.clone(), retain: true })
            .collect();
        let at = if self.retained_delay.is_zero() { Duration::ZERO } else { at };
        for message in found {
            self.deliver(conn, message, at);
        }
    }

    fn deliver(&mut self, conn: u64, message: Message, at: Duration) {
        if conn == LOCAL {
            self.inbox.push_back(message);
            return;
        }
        let mut publish = Publish::from_bytes(message.topic, QoS::AtMostOnce, message.payload);
        publish.retain = message.retain;
        if at.is_zero() {
            self.send(conn, |out| publish.write(out));
        } else {
            self.send_late(conn, at, |out| publish.write(out));
        }
    }

    fn acknowledge(
        &mut self,
        conn: u64,
        now: Duration,
        write: impl FnOnce(&mut BytesMut) -> Result<usize, Error>,
    ) {
        if self.ack_delay.is_zero() {
            self.send(conn, write);
        } else {
            self.send_late(conn, now + self.ack_delay, write);
        }
    }

    fn send_late(
        &mut self,
        conn: u64,
        at: Duration,
        write: impl FnOnce(&mut BytesMut) -> Result<usize, Error>,
    ) {
        let mut out = BytesMut::new();
        if write(&mut out).is_ok() {
            self.late_count += 1;
            self.late.insert((at, self.late_count), (conn, out.to_vec()));
        }
    }

    fn send(&mut self, conn: u64, write: impl FnOnce(&mut BytesMut) -> Result<usize, Error>) {
        let mut out = BytesMut::new();
        if write(&mut out).is_ok() {
            self.outputs.push_back(Output::Send { conn, bytes: out.to_vec() });
        }
    }
}

impl Client {
    /// Time at which the client has been silent for too long [MQTT-3.1.2-24].
    fn silent_at(&self) -> Option<Duration> {
        let keep_alive = self.session.as_ref().map_or(Duration::from_secs(20), |session| session.keep_alive);
        (keep_alive != Duration::MAX).then(|| self.last_received + keep_alive * 3 / 2)
    }
}
