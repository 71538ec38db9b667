//! MQTT 3.1.1 client of a local broker as a state machine. No I/O, no clock.
//!
//! A [`Client`] keeps one connection to a broker. Retained messages are state: [`Client::retain`] sets what
//! the broker should hold, only the newest payload of a topic is kept, and each new connection sends all of
//! them again, because a broker may have lost them. All other messages are sent at most once over all
//! connections ([`Client::publish`]).
//!
//! ```
//! use core::time::Duration;
//! use mysa_bridge::client::{Client, Output, QoS, Settings};
//!
//! let now = Duration::ZERO;
//! let mut client = Client::new(Settings::new("example"), [7; 32], now)?;
//! client.retain(0, "home/temperature", b"20.5".to_vec(), QoS::AtMostOnce);
//! let Some(Output::Dial(link)) = client.poll_output(now) else { panic!() };
//! // The driver opens a TCP connection, and CONNECT is sent.
//! client.handle_opened(link, now);
//! let Some(Output::Send { bytes, .. }) = client.poll_output(now) else { panic!() };
//! assert_eq!(bytes[0], 0x10);
//! // The broker accepts: the message follows.
//! client.handle_written(link, now);
//! client.handle_bytes(link, &[0x20, 2, 0, 0], now);
//! let Some(Output::Send { bytes, .. }) = client.poll_output(now) else { panic!() };
//! assert!(bytes.ends_with(b"20.5"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - Calls in any order are harmless. Input for a connection that has ended has no effect.
//! - A lost connection is detected: every state that waits has a time limit.
//! - Everything is bounded: at most one batch of bytes is with the driver, 256 messages wait, 20 are unacknowledged.
//! - The session is clean and subscriptions have QoS 0: the broker keeps nothing for a client that is away, and delivers
//!   no message twice.

mod outgoing;
mod oversize;
mod retained;
mod settings;

pub use mysa_mqtt_codec::QoS;
pub use settings::{InvalidSettings, Login, Settings, Will};

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::time::Duration;

use mysa_mqtt_codec::{
    ConnAck, ConnectRefusal, DISCONNECT, DecodeError, Delivery, Inbound, PINGREQ, Publish, Stream,
    SubscribeReturn, puback,
};
use mysa_session::{Backoff, Entropy};

use self::outgoing::Outgoing;
use self::oversize::{Part, Splitter};
use self::settings::SUBSCRIBE_ID;

/// Client of one broker. See the [module](self).
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    entropy: Entropy,
    backoff: Backoff,
    now: Duration,
    phase: Phase,
    link: LinkId,
    outgoing: Outgoing,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
    /// Packets without content of their own: CONNECT, SUBSCRIBE, PINGREQ, PUBACK.
    control: Vec<u8>,
    /// Time limit of the batch that the driver writes.
    writing_until: Option<Duration>,
    subscribed_until: Option<Duration>,
    next_ping: Duration,
    ping_until: Option<Duration>,
    splitter: Splitter,
    stream: Stream,
    /// Number of messages that were dropped because the owner does not read the events.
    dropped: u64,
}

/// Number of a connection, which distinguishes it from earlier ones.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Waiting {
        dial_at: Duration,
    },
    Dialling {
        until: Duration,
    },
    Connecting {
        until: Duration,
    },
    Live {
        since: Duration,
    },
    /// Sends what is left, then DISCONNECT.
    Leaving {
        until: Duration,
        sent_disconnect: bool,
    },
    Ended,
}

/// Instruction for the driver.
#[derive(Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver that misses one must not compile")]
pub enum Output {
    /// Open a connection to the broker, then call [`Client::handle_opened`] or [`Client::handle_closed`].
    Dial(LinkId),
    /// Write these bytes, then call [`Client::handle_written`]. There are no others before.
    Send {
        /// Connection to write to.
        link: LinkId,
        /// Complete packets.
        bytes: Vec<u8>,
    },
    /// Close the connection.
    Close(LinkId),
}

/// Event for the owner of a client.
#[derive(Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "an owner that misses one must not compile")]
pub enum Event {
    /// The broker accepted the connection.
    Up,
    /// The connection ended, or could not be opened.
    Down {
        /// Reason.
        reason: DownReason,
        /// Time of the next attempt.
        retry_at: Duration,
    },
    /// A message arrived.
    Message(Message),
    /// The broker refused a subscription; its messages do not arrive.
    SubscriptionRefused {
        /// Filter.
        filter: String,
    },
    /// A message above [`Settings::max_message`] arrived and was skipped.
    Skipped {
        /// Length of topic and payload in bytes.
        len: u32,
    },
    /// Messages were dropped: of [`Client::publish`], because too many waited or one was invalid, or received ones,
    /// because the owner does not read the events.
    Dropped {
        /// Number of messages.
        count: u64,
    },
}

/// Message from the broker.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// `true` if the broker had retained it before the subscription.
    pub retained: bool,
}

/// Reason why there is no connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DownReason {
    /// The connection could not be opened.
    Unreachable,
    /// The connection was not opened, or CONNECT not answered, in time.
    NoAnswer,
    /// The broker refused the connection.
    Refused(ConnectRefusal),
    /// The connection was closed or broke.
    Closed,
    /// A ping was not answered in time.
    Silent,
    /// The broker does not read, or does not acknowledge what it was sent.
    NotAcknowledged,
    /// The host was suspended, so bytes that it received before may be old.
    Suspended,
    /// The broker broke the protocol.
    Protocol(Option<DecodeError>),
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the broker cannot be reached"),
            Self::NoAnswer => f.write_str("the broker does not answer in time"),
            Self::Refused(refusal) => write!(f, "the broker refused the connection: {refusal}"),
            Self::Closed => f.write_str("the broker closed the connection"),
            Self::Silent => f.write_str("the broker does not answer pings"),
            Self::NotAcknowledged => f.write_str("the broker does not acknowledge messages"),
            Self::Suspended => f.write_str("the computer was suspended, or its clock was set"),
            Self::Protocol(Some(error)) => write!(f, "the broker broke the protocol: {error}"),
            Self::Protocol(None) => f.write_str("the broker sent a packet that does not belong there"),
        }
    }
}

/// Length at which a batch of packets is complete.
const BATCH: usize = 32 * 1_024;
/// Longest backlog of control packets: 4,096 PUBACKs.
const MAX_CONTROL: usize = 16 * 1_024;
/// Maximum number of events that wait. Further messages are dropped.
const MAX_EVENTS: usize = 1_024;
/// Age of a connection from which on its end does not count as a failed attempt.
const LASTING: Duration = Duration::from_secs(30);
/// Longest fixed header and length of a topic, above [`Settings::max_message`].
const OVERHEAD: u32 = 7;

impl Client {
    /// Creates a client that dials at once. `seed` must be random and not be used twice.
    ///
    /// # Errors
    /// A setting cannot be sent to a broker.
    pub fn new(settings: Settings, seed: [u8; 32], now: Duration) -> Result<Self, InvalidSettings> {
        settings.connect()?;
        settings.subscribe()?;
        let limit = settings.max_message.saturating_add(2);
        let mut client = Self {
            splitter: Splitter::new(limit),
            stream: Stream::new(limit.saturating_add(OVERHEAD)),
            settings,
            entropy: Entropy::new(seed),
            backoff: Backoff::default(),
            now,
            phase: Phase::Waiting { dial_at: now },
            link: LinkId::default(),
            outgoing: Outgoing::default(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            control: Vec::new(),
            writing_until: None,
            subscribed_until: None,
            next_ping: Duration::MAX,
            ping_until: None,
            dropped: 0,
        };
        client.handle_timeout(now);
        Ok(client)
    }

    /// Sets a retained message. Messages of a lower rank are sent first; a topic always has the same rank. An empty payload
    /// removes the message from the broker. QoS 2 is sent as QoS 1. Returns `true` if the message was another before.
    pub fn retain(&mut self, rank: u8, topic: impl Into<String>, payload: Vec<u8>, qos: QoS) -> bool {
        self.outgoing.retained.set((rank, topic.into()), payload, qos)
    }

    /// Sends a retained message again, although it did not change.
    pub fn send_again(&mut self, rank: u8, topic: &str) {
        self.outgoing.retained.send_again(&(rank, topic.into()));
    }

    /// Sends all retained messages again.
    pub fn send_all_again(&mut self) {
        self.outgoing.retained.send_all_again();
    }

    /// Payload of a retained message as the broker should hold it; empty while it is being removed.
    #[must_use]
    pub fn wanted(&self, rank: u8, topic: &str) -> Option<&[u8]> {
        self.outgoing.retained.wanted(&(rank, topic.into()))
    }

    /// Payload of a retained message, if the present connection has sent it.
    #[must_use]
    pub fn sent(&self, rank: u8, topic: &str) -> Option<&[u8]> {
        if self.is_live() { self.outgoing.retained.held(&(rank, topic.into())) } else { None }
    }

    /// Publishes a message that is not retained, with QoS 1. It is sent once: if the connection ends before the broker
    /// acknowledges it, it may be lost, but it is never repeated. Without a connection it waits for one. If more than 256
    /// wait, the oldest are dropped; [`Event::Dropped`] counts them.
    pub fn publish(&mut self, topic: impl Into<String>, payload: Vec<u8>) {
        self.outgoing.publish(topic.into(), payload);
    }

    /// `true` while the broker has accepted the connection.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. } | Phase::Leaving { .. })
    }

    /// `true` while the broker has answered the subscriptions, or there are none. A refused one is an event.
    #[must_use]
    pub const fn is_subscribed(&self) -> bool {
        self.is_live() && self.subscribed_until.is_none()
    }

    /// `true` once [`Client::disconnect`] is complete.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Records that a connection is open.
    pub fn handle_opened(&mut self, link: LinkId, now: Duration) {
        self.now = now;
        if let (true, Phase::Dialling { until }) = (link == self.link, self.phase) {
            self.phase = Phase::Connecting { until };
            // `new` has checked that the settings can be encoded.
            self.control = self.settings.connect().unwrap_or_default();
        }
    }

    /// Records that a connection could not be opened, or has ended.
    pub fn handle_closed(&mut self, link: LinkId, now: Duration) {
        self.now = now;
        if link == self.link {
            match self.phase {
                Phase::Dialling { .. } => self.end(DownReason::Unreachable),
                Phase::Connecting { .. } | Phase::Live { .. } | Phase::Leaving { .. } => {
                    self.end(DownReason::Closed);
                }
                Phase::Waiting { .. } | Phase::Ended => {}
            }
        }
    }

    /// Records that the host was suspended. Closes the connection, because bytes that the system received before are old.
    pub fn handle_suspend(&mut self, now: Duration) {
        self.now = now;
        if let Phase::Dialling { .. } | Phase::Connecting { .. } | Phase::Live { .. } = self.phase {
            self.end(DownReason::Suspended);
        }
    }

    /// Records that the bytes of the last [`Output::Send`] are written.
    pub fn handle_written(&mut self, link: LinkId, now: Duration) {
        self.now = now;
        if link != self.link || self.writing_until.take().is_none() {
            return;
        }
        if let Phase::Leaving { sent_disconnect: true, .. } = self.phase {
            self.outputs.push_back(Output::Close(self.link));
            self.phase = Phase::Ended;
        }
    }

    /// Handles bytes from the broker.
    pub fn handle_bytes(&mut self, link: LinkId, mut bytes: &[u8], now: Duration) {
        self.now = now;
        // A connection that has ended may still deliver, and must not disturb the next one.
        if link != self.link || !self.reads() {
            return;
        }
        // Moved out, because a packet borrows from the stream.
        let (mut splitter, mut stream) = (
            mem::replace(&mut self.splitter, Splitter::new(0)),
            mem::replace(&mut self.stream, Stream::new(0)),
        );
        while link == self.link
            && self.reads()
            && let Some(part) = splitter.next(&mut bytes)
        {
            match part {
                Part::Bytes(part) => self.decode(&mut stream, part),
                Part::Header { bytes, len } => {
                    self.decode(&mut stream, bytes.get(..usize::from(len)).unwrap_or_default());
                }
                Part::Skipped(len) => self.events.push_back(Event::Skipped { len: len.saturating_sub(2) }),
            }
        }
        if self.reads() {
            (self.splitter, self.stream) = (splitter, stream);
        }
    }

    const fn reads(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. } | Phase::Live { .. } | Phase::Leaving { .. })
    }

    fn decode(&mut self, stream: &mut Stream, mut part: &[u8]) {
        loop {
            match stream.next(&mut part) {
                Ok(Some(packet)) => self.receive(packet),
                Ok(None) => return,
                Err(error) => return self.end(DownReason::Protocol(Some(error))),
            }
            if !self.reads() {
                return;
            }
        }
    }

    fn receive(&mut self, packet: Inbound<'_>) {
        match (packet, self.phase) {
            (Inbound::ConnAck(ConnAck::Accepted { .. }), Phase::Connecting { .. }) => self.accepted(),
            (Inbound::ConnAck(ConnAck::Refused(refusal)), Phase::Connecting { .. }) => {
                self.end(DownReason::Refused(refusal));
            }
            (_, Phase::Connecting { .. }) => self.end(DownReason::Protocol(None)),
            (Inbound::Publish(publish), _) => self.handle_publish(&publish),
            (Inbound::PubAck(id), _) => {
                if !self.outgoing.handle_puback(id) {
                    self.end(DownReason::Protocol(None));
                }
            }
            (Inbound::SubAck(suback), _)
                if suback.id.get() == SUBSCRIBE_ID && self.subscribed_until.take().is_some() =>
            {
                let returned = suback.codes.iter().zip(&self.settings.filters);
                let refused = returned.filter(|(code, _)| *code == SubscribeReturn::Failure);
                let events = refused.map(|(_, filter)| Event::SubscriptionRefused { filter: filter.clone() });
                self.events.extend(events);
            }
            (Inbound::PingResp, _) => self.ping_until = None,
            _ => self.end(DownReason::Protocol(None)),
        }
    }

    fn accepted(&mut self) {
        self.phase = Phase::Live { since: self.now };
        // `new` has checked that the settings can be encoded.
        let subscribe = self.settings.subscribe().unwrap_or_default();
        self.subscribed_until =
            (!subscribe.is_empty()).then(|| self.now.saturating_add(self.settings.ack_timeout));
        self.control.extend_from_slice(&subscribe);
        self.next_ping = self.now.saturating_add(self.settings.keep_alive * 3 / 4);
        // The broker may have been restarted without its stored state.
        self.outgoing.retained.send_all_again();
        self.events.push_back(Event::Up);
    }

    fn handle_publish(&mut self, publish: &Publish<'_>) {
        match publish.delivery {
            // Subscribed with QoS 0, so no broker sends a higher one; it would count on an answer.
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => {
                self.control.extend_from_slice(&puback(id));
                if self.control.len() > MAX_CONTROL {
                    return self.end(DownReason::NotAcknowledged);
                }
                // A repeat. The session is clean, so the first transmission arrived on this connection.
                if publish.dup {
                    return;
                }
            }
            Delivery::ExactlyOnce(_) => return self.end(DownReason::Protocol(None)),
        }
        if self.events.len() >= MAX_EVENTS {
            self.dropped += 1;
            return;
        }
        self.events.push_back(Event::Message(Message {
            topic: publish.topic.as_str().into(),
            payload: publish.payload.to_vec(),
            retained: publish.retain,
        }));
    }

    /// Handles the timers. Early, late and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        match self.phase {
            Phase::Waiting { dial_at } if dial_at <= now => {
                self.link.0 += 1;
                self.phase = Phase::Dialling { until: now.saturating_add(self.settings.connect_timeout) };
                self.outputs.push_back(Output::Dial(self.link));
            }
            Phase::Dialling { until } | Phase::Connecting { until } if until <= now => {
                self.end(DownReason::NoAnswer);
            }
            Phase::Live { .. } | Phase::Leaving { .. } => self.check_connection(),
            _ => {}
        }
    }

    fn check_connection(&mut self) {
        let now = self.now;
        let due = |until: Option<Duration>| until.is_some_and(|until| until <= now);
        let unanswered = self.outgoing.unacknowledged_at();
        if let Phase::Leaving { until, .. } = self.phase
            && until <= now
        {
            self.outputs.push_back(Output::Close(self.link));
            self.phase = Phase::Ended;
        } else if due(self.ping_until) {
            self.end(DownReason::Silent);
        } else if due(self.writing_until) || due(self.subscribed_until) || due(unanswered) {
            self.end(DownReason::NotAcknowledged);
        } else if self.next_ping <= now {
            self.next_ping = now.saturating_add(self.settings.keep_alive * 3 / 4);
            if self.ping_until.is_none() {
                self.ping_until = Some(now.saturating_add(self.settings.ping_timeout));
                self.control.extend_from_slice(&PINGREQ);
            }
        }
    }

    /// Sends what is left, then DISCONNECT, and closes the connection, all within `limit`. Retained messages set before
    /// this call are still sent. The client does not connect again.
    pub fn disconnect(&mut self, limit: Duration, now: Duration) {
        self.now = now;
        match self.phase {
            Phase::Live { .. } => {
                self.phase = Phase::Leaving { until: now.saturating_add(limit), sent_disconnect: false };
            }
            Phase::Dialling { .. } | Phase::Connecting { .. } => {
                self.outputs.push_back(Output::Close(self.link));
                self.phase = Phase::Ended;
            }
            Phase::Waiting { .. } => self.phase = Phase::Ended,
            Phase::Leaving { .. } | Phase::Ended => {}
        }
    }

    /// Next instruction, or `None` until the next call of a `handle_*` method or a new message. `now` is the time at which
    /// the bytes leave, from which on they are to be written and acknowledged.
    pub fn poll_output(&mut self, now: Duration) -> Option<Output> {
        self.now = now;
        self.outputs.pop_front().or_else(|| self.next_batch())
    }

    /// Next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let dropped = mem::take(&mut self.dropped) + self.outgoing.take_dropped();
        if dropped > 0 {
            return Some(Event::Dropped { count: dropped });
        }
        self.events.pop_front()
    }

    /// Time of the next call of [`Client::handle_timeout`]. Already due while there is output.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if !self.outputs.is_empty() || self.has_batch() { Some(self.now) } else { self.next_timer() }
    }

    /// Time of the next timer, whether or not there is output.
    pub(crate) fn next_timer(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting { dial_at } => Some(dial_at),
            Phase::Dialling { until } | Phase::Connecting { until } => Some(until),
            Phase::Live { .. } | Phase::Leaving { .. } => {
                let leaving = match self.phase {
                    Phase::Leaving { until, .. } => Some(until),
                    _ => None,
                };
                let limits = [leaving, self.ping_until, self.writing_until, self.subscribed_until];
                let limits = limits.into_iter().flatten().chain([self.next_ping]);
                limits.chain(self.outgoing.unacknowledged_at()).min()
            }
            Phase::Ended => None,
        }
    }

    fn has_batch(&self) -> bool {
        if self.writing_until.is_some() {
            return false;
        }
        match self.phase {
            Phase::Connecting { .. } => !self.control.is_empty(),
            Phase::Live { .. } => !self.control.is_empty() || self.outgoing.is_ready(),
            Phase::Leaving { sent_disconnect, .. } => {
                !self.control.is_empty()
                    || self.outgoing.is_ready()
                    || (!sent_disconnect && self.outgoing.is_acknowledged())
            }
            _ => false,
        }
    }

    fn next_batch(&mut self) -> Option<Output> {
        if !self.has_batch() {
            return None;
        }
        let until = self.now.saturating_add(self.settings.ack_timeout);
        let mut bytes = mem::take(&mut self.control);
        if self.is_live() {
            while bytes.len() < BATCH && self.outgoing.is_ready() {
                self.outgoing.encode_next(until, &mut bytes);
            }
            if let Phase::Leaving { sent_disconnect, .. } = &mut self.phase
                && bytes.is_empty()
                && self.outgoing.is_acknowledged()
            {
                *sent_disconnect = true;
                bytes.extend_from_slice(&DISCONNECT);
            }
        }
        if bytes.is_empty() {
            return None;
        }
        self.writing_until = Some(until);
        Some(Output::Send { link: self.link, bytes })
    }

    /// Ends the connection and schedules the next one.
    fn end(&mut self, reason: DownReason) {
        let lasted = match self.phase {
            Phase::Live { since } => self.now.saturating_sub(since) >= LASTING,
            _ => false,
        };
        if lasted {
            self.backoff.reset();
        }
        // The driver does not close a connection that it never opened.
        let before = self.outputs.len();
        self.outputs.retain(|output| *output != Output::Dial(self.link));
        if self.outputs.len() == before {
            self.outputs.push_back(Output::Close(self.link));
        }
        self.control.clear();
        self.outgoing.handle_closed();
        self.writing_until = None;
        self.subscribed_until = None;
        self.ping_until = None;
        self.next_ping = Duration::MAX;
        let limit = self.settings.max_message.saturating_add(2);
        self.splitter = Splitter::new(limit);
        self.stream = Stream::new(limit.saturating_add(OVERHEAD));
        if matches!(self.phase, Phase::Leaving { .. }) {
            self.phase = Phase::Ended;
            return;
        }
        let Settings { backoff_first, backoff_cap, .. } = self.settings;
        let pause = self.backoff.next(backoff_first, backoff_cap, &mut self.entropy);
        let retry_at = self.now.saturating_add(pause);
        self.phase = Phase::Waiting { dial_at: retry_at };
        self.events.push_back(Event::Down { reason, retry_at });
    }
}
