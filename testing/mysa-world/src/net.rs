use std::collections::BTreeMap;
use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_session::{ConnId, HttpFailure, HttpId};
use mysa_sim::{Closing, HttpReply};

use crate::Rng;

/// Behaviour of the network between a home and the cloud.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..NetSpec::default()` fills the rest")]
pub struct NetSpec {
    /// Shortest delay in each direction. Default: 20 ms.
    pub latency: Duration,
    /// Longest random delay added to the latency. Default: 30 ms.
    pub jitter: Duration,
    /// Framing of the bytes of a WebSocket. Default: whole.
    pub framing: Framing,
    /// Lasting troubles. Default: none.
    pub troubles: Vec<NetTrouble>,
}

impl Default for NetSpec {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(30),
            framing: Framing::Whole,
            troubles: Vec::new(),
        }
    }
}

/// Framing of the bytes of a WebSocket by the network. MQTT sees a stream in every case.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "plain data")]
pub enum Framing {
    /// Frames as they were sent.
    #[default]
    Whole,
    /// Each byte in a frame of its own.
    Bytes,
    /// Cuts at random places.
    Random,
}

/// A trouble of the network and the time it lasts, counted from the start of the simulation.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct NetTrouble {
    /// First moment of the trouble.
    pub from: Duration,
    /// First moment after the trouble.
    pub until: Duration,
    /// Kind of trouble.
    pub kind: Trouble,
}

/// Kind of network trouble.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "plain data")]
pub enum Trouble {
    /// No route: requests and dials fail at once, and open connections are reset at the start.
    Down,
    /// All bytes vanish silently in both directions.
    BlackHole,
    /// Bytes from the cloud vanish.
    BlackHoleOut,
    /// Bytes from the home vanish.
    BlackHoleIn,
    /// Bytes from the home on open connections are held back and arrive when the trouble ends.
    HeldBack,
    /// Bytes from the home on open connections, and requests that change something, wait in a buffer of the host, as they do
    /// for the next attempt after a lost packet. They leave when the trouble ends, unless their connection is aborted before.
    Unsent,
    /// Requests that change something are held back and arrive when the trouble ends.
    WritesHeldBack,
    /// Connections for requests that change something take up to half a minute to open.
    ConnectsSlowly,
}

/// A packet in transit.
#[derive(Debug)]
pub(crate) enum Packet {
    Request(Request),
    /// The connection for a request, which was made at this time, is open, and its body can be written.
    Connected(Box<mysa_session::HttpRequest>, Duration),
    Answer(HttpId, HttpReply),
    Failure(HttpId, HttpFailure),
    Upgrade(Box<mysa_session::Dial>),
    Opened(ConnId),
    Refused(ConnId, Option<Box<HttpReply>>),
    ToCloud(ToCloud),
    ToClient(ConnId, Vec<u8>),
    /// The client closed a connection.
    ClientClosed(ConnId),
    /// The cloud closed a connection.
    CloudClosed(ConnId, Closing),
    /// The connection broke for the client alone; the cloud does not notice.
    Reset(ConnId),
}

/// A request to the cloud.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) http: Box<mysa_session::HttpRequest>,
    /// Command that it carries, with the number of the transmission.
    pub(crate) command: Option<(DeviceId, u64)>,
    /// Time at which the client sends it, and at which it leaves its host.
    pub(crate) sent: Duration,
    pub(crate) leaves: Duration,
}

/// Bytes on a connection to the cloud.
#[derive(Debug)]
pub(crate) struct ToCloud {
    pub(crate) conn: ConnId,
    pub(crate) bytes: Vec<u8>,
    /// Commands they carry: each thermostat with the number of the transmission.
    pub(crate) commands: Vec<(DeviceId, u64)>,
    /// Time at which the client sends them, and at which they leave its host.
    pub(crate) sent: Duration,
    pub(crate) leaves: Duration,
}

/// Maximum number of bytes that wait on one connection for a host that sleeps: a TCP window without scaling [RFC 9293, 3.1].
/// A host that sleeps acknowledges nothing, so its peer cannot send more.
const WINDOW: usize = 65_535;

/// Packets in order of arrival.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) spec: NetSpec,
    in_transit: BTreeMap<(Duration, u64), Packet>,
    /// Packets for a host that sleeps.
    held: Vec<Packet>,
    /// Bytes sent on each connection to a host that sleeps.
    held_bytes: BTreeMap<ConnId, usize>,
    sent: u64,
    /// Last arrival in each direction of a connection; a stream keeps its order.
    last: BTreeMap<(ConnId, bool), Duration>,
    rng: Rng,
}

impl Net {
    pub(crate) fn new(spec: NetSpec, rng: Rng) -> Self {
        Self {
            spec,
            in_transit: BTreeMap::new(),
            held: Vec::new(),
            held_bytes: BTreeMap::new(),
            sent: 0,
            last: BTreeMap::new(),
            rng,
        }
    }

    /// Trouble in force that loses packets.
    pub(crate) fn trouble(&self, at: Duration) -> Option<Trouble> {
        let covers = |trouble: &&NetTrouble| {
            let delays = matches!(
                trouble.kind,
                Trouble::HeldBack | Trouble::Unsent | Trouble::WritesHeldBack | Trouble::ConnectsSlowly
            );
            trouble.from <= at && at < trouble.until && !delays
        };
        self.spec.troubles.iter().find(covers).map(|trouble| trouble.kind)
    }

    /// Time at which a trouble of this kind releases the packets it holds back now.
    pub(crate) fn held_until(&self, at: Duration, kind: Trouble) -> Option<Duration> {
        let held = |trouble: &&NetTrouble| trouble.kind == kind && trouble.from <= at && at < trouble.until;
        self.spec.troubles.iter().filter(held).map(|trouble| trouble.until).max()
    }

    /// Returns `true` if the bytes of a command are in transit on this connection.
    pub(crate) fn carries_command(&self, conn: ConnId) -> bool {
        let carries = |packet: &Packet| matches!(packet, Packet::ToCloud(sent) if sent.conn == conn && !sent.commands.is_empty());
        self.in_transit.values().chain(&self.held).any(carries)
    }

    /// Largest number of bytes that wait on one connection to the cloud.
    pub(crate) fn most_bytes_to_cloud(&self) -> usize {
        let mut sums: BTreeMap<ConnId, usize> = BTreeMap::new();
        for packet in self.in_transit.values() {
            if let Packet::ToCloud(sent) = packet {
                *sums.entry(sent.conn).or_default() += sent.bytes.len();
            }
        }
        sums.into_values().max().unwrap_or(0)
    }

    /// Next moment at which a trouble begins.
    pub(crate) fn next_trouble(&self, after: Duration) -> Option<Duration> {
        self.spec.troubles.iter().map(|trouble| trouble.from).filter(|&from| from > after).min()
    }

    fn delay(&mut self) -> Duration {
        let jitter = u64::try_from(self.spec.jitter.as_micros()).unwrap_or(0);
        self.spec.latency + Duration::from_micros(self.rng.below(jitter + 1))
    }

    /// Time that a connection for a write takes to open.
    pub(crate) fn connect_delay(&mut self, now: Duration) -> Duration {
        match self.held_until(now, Trouble::ConnectsSlowly) {
            Some(_) => Duration::from_millis(self.rng.below(30_000)),
            None => Duration::ZERO,
        }
    }

    pub(crate) fn send_after(&mut self, at: Duration, packet: Packet) {
        self.sent += 1;
        self.in_transit.insert((at, self.sent), packet);
    }

    pub(crate) fn send(&mut self, now: Duration, packet: Packet) {
        let at = now + self.delay();
        self.send_after(at, packet);
    }

    /// Sends a packet along a connection, behind all packets sent earlier in the same direction.
    pub(crate) fn stream(&mut self, now: Duration, conn: ConnId, to_cloud: bool, packet: Packet) {
        let delay = self.delay();
        let held = if to_cloud {
            self.held_until(now, Trouble::HeldBack).max(self.held_until(now, Trouble::Unsent))
        } else {
            None
        };
        let last = self.last.entry((conn, to_cloud)).or_default();
        *last = (*last).max(now.max(held.unwrap_or_default()) + delay);
        let at = *last;
        self.send_after(at, packet);
    }

    /// Discards the bytes on a connection that have not left the host.
    pub(crate) fn discard_unsent(&mut self, now: Duration, conn: ConnId) {
        self.in_transit.retain(
            |_, packet| !matches!(packet, Packet::ToCloud(sent) if sent.conn == conn && sent.leaves > now),
        );
    }

    /// Discards a request that has not left the host.
    pub(crate) fn discard_request(&mut self, now: Duration, id: HttpId) {
        self.in_transit.retain(
            |_, packet| !matches!(packet, Packet::Request(sent) if sent.http.id == id && sent.leaves > now),
        );
    }

    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.last.remove(&(conn, true));
        self.last.remove(&(conn, false));
    }

    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.in_transit.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn arrived(&mut self, now: Duration) -> Option<Packet> {
        let entry = self.in_transit.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Keeps a packet until its host wakes. Bytes beyond the window of their connection are lost. Returns the connection
    /// whose window these bytes are the first to exceed.
    pub(crate) fn hold(&mut self, packet: Packet) -> Option<ConnId> {
        if let Packet::ToClient(conn, bytes) = &packet {
            let sent = self.held_bytes.entry(*conn).or_default();
            let was_open = *sent <= WINDOW;
            *sent += bytes.len();
            if *sent > WINDOW {
                return was_open.then_some(*conn);
            }
        }
        self.held.push(packet);
        None
    }

    /// Delivers the packets that were kept for a host that has woken.
    pub(crate) fn release_held(&mut self, now: Duration) {
        self.held_bytes.clear();
        for packet in std::mem::take(&mut self.held) {
            self.send_after(now, packet);
        }
    }

    /// Removes and returns all packets in transit in order, because one end no longer exists.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Packet> + use<> {
        self.last.clear();
        std::mem::take(&mut self.in_transit).into_values()
    }

    pub(crate) fn len(&self) -> usize {
        self.in_transit.len() + self.held.len()
    }

    /// Cuts bytes into frames.
    pub(crate) fn pieces<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        match self.spec.framing {
            Framing::Whole => vec![bytes],
            Framing::Bytes => bytes.chunks(1).collect(),
            Framing::Random => {
                let mut pieces = Vec::new();
                let mut rest = bytes;
                while !rest.is_empty() {
                    let most = rest.len().min(64) as u64;
                    let at = usize::try_from(self.rng.between(1, most)).unwrap_or(1);
                    let (piece, after) = rest.split_at(at);
                    pieces.push(piece);
                    rest = after;
                }
                pieces
            }
        }
    }
}
