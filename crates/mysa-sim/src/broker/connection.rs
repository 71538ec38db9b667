use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec::PacketId;
use mysa_mqtt_codec::server::Stream;

use crate::auth::identity_pool::Reach;
use crate::broker::subscriptions::{Absent, Subscriptions};
use crate::fault::Closing;

/// Maximum packet size: 128 KiB of payload plus the topic.
const MAX_PACKET: u32 = 128 * 1024 + 1_024;

/// One WebSocket connection at the broker.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) account: usize,
    pub(crate) reach: Reach,
    pub(crate) stream: Stream,
    /// Client id, after CONNECT.
    pub(crate) client: Option<String>,
    pub(crate) keep_alive: Duration,
    pub(crate) opened: Duration,
    pub(crate) last_received: Duration,
    /// End of the connection's life, or the deadline for CONNECT.
    pub(crate) ends: Duration,
    /// Time at which a fault closes it.
    pub(crate) close_at: Option<(Duration, Closing)>,
    pub(crate) packets: u32,
    pub(crate) publishes: (u64, u32),
    pub(crate) in_flight: BTreeMap<PacketId, InFlight>,
    pub(crate) subscriptions: Subscriptions,
    /// `true` if its session is kept, because it did not ask for a clean one.
    pub(crate) lasting: bool,
    /// Messages stored while it was disconnected, and the time at which the next one is sent.
    pub(crate) backlog: VecDeque<(String, Vec<u8>)>,
    pub(crate) backlog_at: Duration,
    /// Bytes received while the broker reads nothing.
    pub(crate) held: Vec<u8>,
    last_id: u16,
}

/// A message that waits for its PUBACK.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) resend_at: Duration,
    pub(crate) give_up_at: Duration,
}

impl Connection {
    /// `connect_by` is the deadline for CONNECT.
    pub(crate) fn new(account: usize, reach: Reach, now: Duration, connect_by: Duration) -> Self {
        Self {
            account,
            reach,
            stream: Stream::new(MAX_PACKET),
            client: None,
            // Longer than the time until `connect_by`, which thus ends a connection without CONNECT.
            keep_alive: connect_by.saturating_sub(now),
            opened: now,
            last_received: now,
            ends: connect_by,
            close_at: None,
            packets: 0,
            publishes: (0, 0),
            in_flight: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            lasting: false,
            backlog: VecDeque::new(),
            backlog_at: Duration::ZERO,
            held: Vec::new(),
            last_id: 0,
        }
    }

    /// Next deadline, unless the client sends something.
    pub(crate) fn deadline(&self) -> Duration {
        let silence = self.last_received.saturating_add(self.keep_alive + self.keep_alive / 2);
        let resend = self.in_flight.values().map(|waiting| waiting.resend_at).min().unwrap_or(Duration::MAX);
        let close_at = self.close_at.map_or(Duration::MAX, |(at, _)| at);
        let backlog = if self.backlog.is_empty() { Duration::MAX } else { self.backlog_at };
        self.ends.min(silence).min(resend).min(close_at).min(backlog)
    }

    /// Returns an unused packet id.
    pub(crate) fn next_id(&mut self) -> Option<PacketId> {
        for _ in 0..=self.in_flight.len() + 1 {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if let Some(id) = PacketId::new(self.last_id).filter(|id| !self.in_flight.contains_key(id)) {
                return Some(id);
            }
        }
        None
    }

    /// Session to keep after its end; `None` for a clean session.
    pub(crate) fn into_absent(self, until: Duration) -> Option<(String, Absent)> {
        let client = self.client.filter(|_| self.lasting)?;
        // Unacknowledged messages are sent again.
        let sent = self.in_flight.into_values().map(|waiting| (waiting.topic, waiting.payload));
        let Self { account, reach, subscriptions, .. } = self;
        Some((
            client,
            Absent { account, reach, subscriptions, backlog: sent.chain(self.backlog).collect(), until },
        ))
    }
}
