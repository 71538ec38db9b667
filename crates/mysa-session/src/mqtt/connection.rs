use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec as mqtt;
use mysa_mqtt_codec::{
    BrokerLimits, ClientId, ConnAck, Connect, ConnectRefusal, Delivery, Filter, Inbound, Outbound, PacketId,
    Publish, QoS, Stream, SubscribeReturn,
};
use mysa_proto::{DeviceId, Topic, TopicKind};

use crate::context::Context;
use crate::devices::Incoming;
use crate::mqtt::packets::Packets;
use crate::mqtt::publishes::{Due, Publishes, Publishing};
use crate::mqtt::subscription::{Subscription, SubscriptionState, TopicFilter};
use crate::now::earlier;
use crate::outbox::Work;
use crate::{ConnId, Deadline, Now, Wake};

/// MQTT connection, from dialling to its end. What every message reads or writes comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    next_packet: u16,
    /// `true` while the driver holds bytes that the peer does not accept.
    blocked: bool,
    /// `true` if its host was looked up, not configured.
    pub(crate) looked_up: bool,
    pub(crate) phase: Phase,
    stream: Stream,
    last_received: Duration,
    next_ping: Duration,
    ping_until: Option<Duration>,
    /// Index of the shard of subscriptions that the connection carries.
    pub(crate) shard: usize,
    pub(crate) subscriptions: Vec<Subscription>,
    unwanted: Vec<TopicFilter>,
    pub(crate) publishes: Publishes,
    /// Time at which the connection is replaced.
    pub(crate) replace_at: Duration,
    /// Deadline for leaving, once the connection has been replaced. It leaves earlier if nothing is in flight.
    pub(crate) leave_at: Option<Duration>,
    /// Earliest time of the next packet; see [`Settings::pace`](crate::Settings::pace).
    pub(crate) next_send: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Dialling { until: Duration },
    Connecting { until: Duration },
    Live { since: Duration },
}

/// Event on a connection that concerns other parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConnectionEvent {
    Live,
    ConnectRefused(ConnectRefusal),
    Granted(TopicFilter),
    Denied(TopicFilter),
    /// No SUBACK arrived in time.
    NoAnswer(TopicFilter),
    Acknowledged(Publishing),
    /// No PUBACK arrived in time, although the connection was alive.
    Unanswered(Publishing),
    /// The connection is unusable.
    Dead,
}

const FILTERS: usize = BrokerLimits::AWS_IOT.max_filters;
const SUBACK_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from CONNACK until a suspected filter is requested alone. A connection that ends sooner ended for another
/// reason.
pub(crate) const SUSPECT_DELAY: Duration = Duration::from_secs(2);

impl Connection {
    pub(crate) fn new(cx: &Context, id: ConnId, shard: usize, replace_at: Duration) -> Self {
        Self {
            id,
            shard,
            phase: Phase::Dialling { until: cx.after(cx.settings.connect_timeout) },
            subscriptions: Vec::new(),
            unwanted: Vec::new(),
            publishes: Publishes::default(),
            replace_at,
            leave_at: None,
            next_send: Duration::ZERO,
            stream: Stream::new(cx.settings.max_packet),
            next_packet: 1,
            blocked: false,
            last_received: cx.mono(),
            next_ping: Duration::MAX,
            ping_until: None,
            looked_up: cx.broker.get(&cx.environment.broker).1,
        }
    }

    pub(crate) const fn live_since(&self) -> Option<Duration> {
        match self.phase {
            Phase::Live { since } => Some(since),
            _ => None,
        }
    }

    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }

    /// Returns `true` if CONNECT was sent and is not answered yet.
    pub(crate) const fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. })
    }

    /// Sends CONNECT on a WebSocket that has just opened.
    pub(crate) fn opened(&mut self, cx: &mut Context) {
        let Phase::Dialling { until } = self.phase else { return };
        self.phase = Phase::Connecting { until };
        let mut name = [0; 37];
        let client_id = client_id(cx.entropy.bytes(), &mut name);
        let keep_alive = cx.settings.keep_alive_secs();
        let sent = cx.outbox.send(self.id, |out| {
            if let Ok(client_id) = ClientId::new(client_id) {
                // A client id of 37 letters always fits.
                let _ = Outbound::Connect(Connect::new(client_id, keep_alive)).encode(out);
            }
        });
        debug_assert!(sent);
    }

    /// Replaces the set of wanted filters. Filters that stay keep their state.
    pub(crate) fn reconcile(&mut self, wanted: &[TopicFilter]) {
        let Self { subscriptions, unwanted, .. } = self;
        subscriptions.retain(|subscription| {
            let keep = wanted.contains(&subscription.wanted);
            // Only a granted filter needs UNSUBSCRIBE.
            if !keep && subscription.state == SubscriptionState::Granted {
                unwanted.push(subscription.wanted);
            }
            keep
        });
        // One process may hold many sessions, and their subscriptions live long, so spare capacity adds up.
        subscriptions.reserve_exact(wanted.len().saturating_sub(subscriptions.len()));
        for &wanted in wanted {
            if !subscriptions.iter().any(|subscription| subscription.wanted == wanted) {
                subscriptions.push(Subscription { wanted, state: SubscriptionState::Waiting });
            }
            unwanted.retain(|other| *other != wanted);
        }
    }

    pub(crate) fn subscription(&self, wanted: TopicFilter) -> Option<SubscriptionState> {
        // The wildcard filter covers every thermostat.
        let covers = |other: TopicFilter| other == wanted || (other == TopicFilter::Everything);
        self.subscriptions.iter().find(|subscription| covers(subscription.wanted)).map(|found| found.state)
    }

    pub(crate) fn has_granted(&self) -> bool {
        self.subscriptions.iter().any(|found| found.state == SubscriptionState::Granted)
    }

    /// Returns `true` if the subscription to the statuses of any thermostat is refused.
    pub(crate) fn refuses_some(&self) -> bool {
        self.subscriptions.iter().any(|found| {
            matches!(found.wanted, TopicFilter::Device(_, TopicKind::Out))
                && matches!(found.state, SubscriptionState::Refused { .. })
        })
    }

    /// Returns `true` if the connection is live and every subscription is answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_live()
            && self.subscriptions.iter().all(|found| {
                matches!(found.state, SubscriptionState::Granted | SubscriptionState::Refused { .. })
            })
    }

    /// Returns the filters that are requested and not answered.
    pub(crate) fn asked(&self) -> impl Iterator<Item = TopicFilter> + '_ {
        self.subscriptions
            .iter()
            .filter(|found| matches!(found.state, SubscriptionState::Asked { .. }))
            .map(|found| found.wanted)
    }

    pub(crate) fn may_send(&self, cx: &Context) -> bool {
        self.is_live() && self.leave_at.is_none() && self.next_send <= cx.mono() && self.is_ready()
    }

    /// Returns `true` if the connection accepts a publish, apart from its pace.
    pub(crate) fn is_ready(&self) -> bool {
        !self.blocked && self.publishes.have_room()
    }

    pub(crate) const fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    fn packet_id(&mut self) -> PacketId {
        loop {
            let id = PacketId::new(self.next_packet);
            self.next_packet = self.next_packet.wrapping_add(1).max(1);
            // 0 is not a packet id [MQTT-2.3.1-1]. The loop ends, since far fewer than 65 535 ids are in use.
            if let Some(id) = id
                && !self.publishes.use_id(id)
                && !self.subscriptions.iter().any(
                    |found| matches!(found.state, SubscriptionState::Asked { packet, .. } if packet == id),
                )
            {
                return id;
            }
        }
    }

    /// Publishes a request for live reports, with QoS 1. Returns `false` if the driver does not keep up.
    pub(crate) fn publish_live_report(&mut self, cx: &mut Context, device: DeviceId, payload: &[u8]) -> bool {
        let packet = self.packet_id();
        let written = cx.outbox.send(self.id, |out| encode_publish(device, payload, packet, false, out));
        // A lost request is not repeated: the next renewal takes its place.
        self.publishes.add(cx, packet, Publishing::LiveReport { device }, 0);
        self.next_send = cx.after(cx.settings.pace);
        written
    }

    /// Encodes the first transmission of a command. The caller sends the packet at once.
    pub(crate) fn publish_command(
        &mut self,
        cx: &Context,
        device: DeviceId,
        payload: &[u8],
        serial: u64,
        retries: u8,
    ) -> Packets {
        let packet = self.packet_id();
        self.publishes.add(cx, packet, Publishing::Command { device, serial }, retries);
        Packets::with(|out| encode_publish(device, payload, packet, false, out))
    }

    /// Encodes a repeat: the same bytes under the same packet id, with DUP [MQTT-3.3.1-1].
    pub(crate) fn repeated(device: DeviceId, payload: &[u8], packet: PacketId) -> Packets {
        Packets::with(|out| encode_publish(device, payload, packet, true, out))
    }

    /// Releases the packet id of a command that has a verdict. Returns `true` if the connection must end, because the bytes of
    /// the command may still leave this host. Otherwise it ends unless the broker reads them soon; see [`READ_WITHIN`].
    pub(crate) fn release(&mut self, serial: u64, now: Now) -> bool {
        self.publishes.release(serial).is_some_and(|copy| self.blocked || copy.is_overdue(now))
    }

    /// As [`Connection::release`], for a publish that carries undecided commands as well: its acknowledgement is awaited.
    pub(crate) fn decide(&mut self, serial: u64, now: Now) -> bool {
        self.publishes.decide(serial).is_some_and(|copy| self.blocked || copy.is_overdue(now))
    }

    /// Returns `true` if the broker may still have to read a command.
    pub(crate) fn holds_commands(&self) -> bool {
        self.publishes.unread_commands().next().is_some()
    }

    /// Returns `true` if the broker may still have to read a publish to this thermostat, among those whose serial
    /// `contradicts` selects.
    pub(crate) fn may_hold(&self, device: DeviceId, contradicts: impl Fn(u64) -> bool) -> bool {
        self.publishes.unread_commands().any(|(other, serial)| other == device && contradicts(serial))
    }

    /// Time at which the latest bytes arrived, or of the dial.
    pub(crate) const fn last_received(&self) -> Duration {
        self.last_received
    }

    /// Returns `true` while the driver holds bytes that the peer does not accept.
    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Unsubscribes from filters that are no longer wanted, or requests the next ones, at most eight at a time. A
    /// suspected filter is requested alone, after all others. Returns `false` if the driver does not keep up.
    pub(crate) fn subscribe(&mut self, cx: &mut Context, suspect: impl Fn(TopicFilter) -> bool) -> bool {
        if !self.unwanted.is_empty() {
            return self.unsubscribe(cx);
        }
        let now = cx.mono();
        let mut chosen: Vec<TopicFilter> = Vec::new();
        let mut suspects = None;
        for subscription in &mut self.subscriptions {
            if let SubscriptionState::Refused { retry_at } = subscription.state
                && retry_at <= now
            {
                subscription.state = SubscriptionState::Waiting;
            }
            if subscription.state != SubscriptionState::Waiting {
                continue;
            }
            if suspect(subscription.wanted) {
                // One suspect at a time: if the connection ends, the culprit is known.
                suspects = suspects.or(Some(subscription.wanted));
            // AWS IoT closes a connection on more than eight filters in one SUBSCRIBE.
            } else if chosen.len() < FILTERS {
                chosen.push(subscription.wanted);
            }
        }
        if chosen.is_empty() {
            // If the connection ends, only an answer outstanding for one filter alone identifies the culprit.
            let quiet = self.asked().next().is_none();
            let waited = self.live_since().is_some_and(|since| since.saturating_add(SUSPECT_DELAY) <= now);
            match suspects {
                Some(alone) if quiet && waited => chosen.push(alone),
                _ => return true,
            }
        }
        let packet = self.packet_id();
        let names: Vec<_> = chosen.iter().map(|wanted| alloc::format!("{wanted}")).collect();
        let filters: Vec<_> =
            names.iter().filter_map(|name| Some((Filter::new(name).ok()?, QoS::AtLeastOnce))).collect();
        let until = cx.after(SUBACK_TIMEOUT);
        for subscription in &mut self.subscriptions {
            if chosen.contains(&subscription.wanted) {
                subscription.state = SubscriptionState::Asked { packet, until };
            }
        }
        self.next_send = cx.after(cx.settings.pace);
        cx.outbox.send(self.id, |out| {
            // Eight filters are never too long.
            let _ = Outbound::Subscribe { id: packet, filters: &filters }.encode(out);
        })
    }

    fn unsubscribe(&mut self, cx: &mut Context) -> bool {
        let count = self.unwanted.len().min(FILTERS);
        let names: Vec<_> = self.unwanted.drain(..count).map(|wanted| alloc::format!("{wanted}")).collect();
        let filters: Vec<_> = names.iter().filter_map(|name| Filter::new(name).ok()).collect();
        let packet = self.packet_id();
        self.next_send = cx.after(cx.settings.pace);
        cx.outbox.send(self.id, |out| {
            let _ = Outbound::Unsubscribe { id: packet, filters: &filters }.encode(out);
        })
    }

    /// Returns the time at which [`Connection::subscribe`] next has something to do.
    fn subscribe_at(&self, suspect: impl Fn(TopicFilter) -> bool) -> Option<Duration> {
        let mut at = (!self.unwanted.is_empty()).then_some(Duration::ZERO);
        let mut waits = None;
        for found in &self.subscriptions {
            let due = match found.state {
                SubscriptionState::Waiting if suspect(found.wanted) => {
                    waits = Some(self.live_since().unwrap_or_default().saturating_add(SUSPECT_DELAY));
                    continue;
                }
                SubscriptionState::Waiting => Duration::ZERO,
                SubscriptionState::Refused { retry_at } => retry_at,
                SubscriptionState::Asked { .. } | SubscriptionState::Granted => continue,
            };
            at = Some(at.map_or(due, |at| at.min(due)));
        }
        // A suspect has its turn when nothing else is requested or due.
        if self.asked().next().is_none() && at.is_none_or(|at| !at.is_zero()) {
            at = match (at, waits) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        at.map(|at| at.max(self.next_send))
    }

    /// Decodes bytes from the broker. `on_publish` receives every message. Returns `true` if an answer to a ping arrived, which
    /// may change the deadline without any event.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context,
        mut bytes: &[u8],
        events: &mut Vec<ConnectionEvent>,
        mut on_publish: impl FnMut(&mut Context, Incoming<'_>),
    ) -> bool {
        let mut answered = false;
        if !bytes.is_empty() {
            self.last_received = cx.mono();
        }
        loop {
            // A frame may hold several packets, or a part of one.
            let packet = match self.stream.next(&mut bytes) {
                Ok(Some(packet)) => packet,
                Ok(None) => return answered,
                Err(_) => {
                    events.push(ConnectionEvent::Dead);
                    return answered;
                }
            };
            match (packet, self.phase) {
                (Inbound::ConnAck(ConnAck::Accepted { .. }), Phase::Connecting { .. }) => {
                    self.phase = Phase::Live { since: cx.mono() };
                    self.next_ping = cx.after(cx.settings.ping_interval());
                    events.push(ConnectionEvent::Live);
                }
                (Inbound::ConnAck(ConnAck::Refused(refusal)), Phase::Connecting { .. }) => {
                    events.push(ConnectionEvent::ConnectRefused(refusal));
                    return answered;
                }
                (Inbound::Publish(publish), Phase::Live { .. }) => {
                    match publish.delivery {
                        Delivery::AtMostOnce => {}
                        // The acknowledgement is queued before the message is processed: AWS IoT resends an
                        // unacknowledged message for up to an hour.
                        Delivery::AtLeastOnce(packet) => {
                            if !cx.outbox.append(self.id, &mqtt::puback(packet)) {
                                events.push(ConnectionEvent::Dead);
                                return answered;
                            }
                        }
                        // QoS 2 was never requested, and AWS IoT does not support it.
                        Delivery::ExactlyOnce(_) => {
                            events.push(ConnectionEvent::Dead);
                            return answered;
                        }
                    }
                    on_publish(
                        cx,
                        Incoming {
                            topic: publish.topic.as_bytes(),
                            payload: publish.payload,
                            retained: publish.retain,
                        },
                    );
                }
                (Inbound::PubAck(packet), Phase::Live { .. }) => {
                    // An unknown id belongs to a publish that was released meanwhile.
                    if let Some(what) = self.publishes.acknowledge(packet) {
                        events.push(ConnectionEvent::Acknowledged(what));
                    }
                }
                (Inbound::SubAck(suback), Phase::Live { .. }) => {
                    let mut codes = suback.codes.iter();
                    for found in &mut self.subscriptions {
                        let SubscriptionState::Asked { packet, .. } = found.state else { continue };
                        if packet != suback.id {
                            continue;
                        }
                        // A SUBACK with too few codes leaves the other filters unanswered, which counts as refused.
                        let granted = codes.next().is_some_and(|code| code != SubscribeReturn::Failure);
                        found.state = if granted {
                            events.push(ConnectionEvent::Granted(found.wanted));
                            SubscriptionState::Granted
                        } else {
                            events.push(ConnectionEvent::Denied(found.wanted));
                            SubscriptionState::Refused { retry_at: Duration::MAX }
                        };
                    }
                }
                (Inbound::PingResp, Phase::Live { .. }) => {
                    // An answer to no ping proves nothing.
                    if self.ping_until.take().is_some() {
                        self.publishes.ping_answered();
                        answered = true;
                    }
                }
                // Nothing depends on the answer: the filter was forgotten when it was sent.
                (Inbound::UnsubAck(_), Phase::Live { .. }) => {}
                // Protocol violation: a packet before CONNACK, a second CONNACK, or an answer to what was never sent.
                _ => {
                    events.push(ConnectionEvent::Dead);
                    return answered;
                }
            }
        }
    }

    /// Handles the timers of the connection, except for sending new messages.
    pub(crate) fn step(&mut self, cx: &mut Context, events: &mut Vec<ConnectionEvent>) {
        let now = cx.mono();
        match self.phase {
            Phase::Dialling { until } | Phase::Connecting { until } => {
                if until <= now {
                    events.push(ConnectionEvent::Dead);
                }
                return;
            }
            Phase::Live { .. } => {}
        }
        if self.ping_until.is_some_and(|until| until <= now) {
            return events.push(ConnectionEvent::Dead);
        }
        if self.publishes.is_overdue(cx.now) {
            return events.push(ConnectionEvent::Dead);
        }
        let id = self.id;
        let is_suspect =
            self.publishes.step(now, cx.settings.puback_timeout, self.last_received, |due| match due {
                Due::Repeat(packet) => cx.outbox.push(Work::Repeat { conn: id, packet }),
                Due::Unanswered(what) => events.push(ConnectionEvent::Unanswered(what)),
            });
        if self.next_ping <= now || is_suspect {
            self.ping(cx);
        } else if self.probe_at().is_some_and(|at| at <= now) {
            // Its answer is only evidence: a connection is not lost sooner because a command was sent.
            self.send_ping(cx, self.next_ping.saturating_add(cx.settings.ping_timeout));
        }
        for found in &mut self.subscriptions {
            if matches!(found.state, SubscriptionState::Asked { until, .. } if until <= now) {
                found.state = SubscriptionState::Refused { retry_at: Duration::MAX };
                events.push(ConnectionEvent::NoAnswer(found.wanted));
            }
        }
    }

    /// Sends a ping, unless one is in progress. The connection is lost unless the broker answers within the ping's time limit.
    pub(crate) fn ping(&mut self, cx: &mut Context) {
        if !self.is_live() {
            return;
        }
        let until = cx.after(cx.settings.ping_timeout);
        self.next_ping = cx.after(cx.settings.ping_interval());
        match &mut self.ping_until {
            Some(earlier) => *earlier = until.min(*earlier),
            None => self.send_ping(cx, until),
        }
    }

    fn send_ping(&mut self, cx: &mut Context, until: Duration) {
        let sent = cx.outbox.append(self.id, &mqtt::PINGREQ);
        // If the driver does not keep up, the missing answer ends the connection.
        let _ = sent;
        self.ping_until = Some(until);
        self.publishes.pinged();
    }

    /// Returns the time of the next ping that asks whether the broker has read a command. One ping is in progress at a time, so
    /// that its answer is known to be that of the latest.
    fn probe_at(&self) -> Option<Duration> {
        if self.ping_until.is_some() { None } else { self.publishes.probe_at() }
    }

    pub(crate) fn set_refused(&mut self, wanted: TopicFilter, retry_at: Duration) {
        if let Some(found) = self.subscriptions.iter_mut().find(|found| found.wanted == wanted) {
            found.state = SubscriptionState::Refused { retry_at };
        }
    }

    /// Moves the retry of every refused filter to `at`, unless it is due earlier.
    pub(crate) fn schedule_retries_no_later_than(&mut self, at: Duration) {
        for found in &mut self.subscriptions {
            if let SubscriptionState::Refused { retry_at } = &mut found.state {
                *retry_at = at.min(*retry_at);
            }
        }
    }

    pub(crate) fn deadline(&self, suspect: impl Fn(TopicFilter) -> bool) -> Option<Deadline> {
        let mut due = match self.phase {
            Phase::Dialling { until } | Phase::Connecting { until } => {
                return Some(Deadline::new(until, Wake::Handshake));
            }
            Phase::Live { .. } => {
                let at = self.ping_until.unwrap_or(self.next_ping);
                Some(Deadline::new(at, Wake::KeepAlive))
            }
        };
        for at in self.publishes.deadline().into_iter().chain(self.probe_at()) {
            due = earlier(due, Some(Deadline::new(at, Wake::Publish)));
        }
        for found in &self.subscriptions {
            if let SubscriptionState::Asked { until, .. } = found.state {
                due = earlier(due, Some(Deadline::new(until, Wake::Subscribe)));
            }
        }
        // A connection that leaves makes no new requests.
        if let Some(leave_at) = self.leave_at {
            return earlier(due, Some(Deadline::new(leave_at, Wake::Replace)));
        }
        earlier(due, self.subscribe_at(suspect).map(|at| Deadline::new(at, Wake::Subscribe)))
    }
}

fn encode_publish(device: DeviceId, payload: &[u8], packet: PacketId, dup: bool, out: &mut Vec<u8>) {
    let topic = alloc::format!("{}", Topic::incoming(device));
    // 8 bytes hold the fixed header, the length of the topic and the packet id.
    out.reserve_exact(payload.len() + topic.len() + 8);
    if let Ok(topic) = mqtt::Topic::new(&topic) {
        let publish = Publish { dup, ..Publish::new(topic, payload, Delivery::AtLeastOnce(packet)) };
        // The topic of a thermostat and a payload of a few hundred bytes always fit.
        let _ = publish.encode(out);
    }
}

/// Formats a client id, `mysa-` and 32 hex digits. It is random because the broker closes the older of two connections
/// with the same client id.
fn client_id(random: [u8; 16], name: &mut [u8; 37]) -> &str {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (prefix, digits) = name.split_at_mut(5);
    prefix.copy_from_slice(b"mysa-");
    for (pair, byte) in digits.chunks_exact_mut(2).zip(random) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    core::str::from_utf8(name).unwrap_or_default()
}

#[cfg(test)]
mod tests;
