//! Network between the bridge and the broker of the home.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysa_bridge::client::LinkId;

use crate::Rng;

/// Packet on its way.
#[derive(Debug)]
pub(crate) enum Packet {
    Dial(LinkId, u64),
    Opened(LinkId),
    ToBroker(u64, Vec<u8>),
    /// Bytes for the bridge, and the time at which the broker sent them.
    ToBridge(LinkId, Vec<u8>, Duration),
    /// The broker's end is closed, or a dial has failed.
    BrokerClosed(LinkId),
    /// The bridge's end is closed.
    BridgeClosed(u64),
}

impl Packet {
    /// `true` if it is on its way to the bridge.
    const fn is_for_bridge(&self) -> bool {
        matches!(self, Self::Opened(_) | Self::ToBridge(..) | Self::BrokerClosed(_))
    }
}

#[derive(Debug)]
pub(crate) struct Link {
    in_transit: BTreeMap<(Duration, u64), Packet>,
    /// Packets for a host that sleeps.
    held: Vec<Packet>,
    sent: u64,
    /// Latest arrival in each direction; a stream keeps its order.
    last: [Duration; 2],
    conns: BTreeMap<LinkId, u64>,
    links: BTreeMap<u64, LinkId>,
    dialled: u64,
    /// Connections whose bytes vanish without an error on either side.
    dead: BTreeSet<u64>,
    /// Longest delay of a packet.
    pub(crate) delay: Duration,
    /// Everything waits until this time.
    pub(crate) stalled_until: Duration,
    /// New connections vanish as well.
    pub(crate) loses_all: bool,
    rng: Rng,
}

/// Longest delay of a packet in a home without trouble.
pub(crate) const DELAY: Duration = Duration::from_millis(20);

impl Link {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            in_transit: BTreeMap::new(),
            held: Vec::new(),
            sent: 0,
            last: [Duration::ZERO; 2],
            conns: BTreeMap::new(),
            links: BTreeMap::new(),
            dialled: 0,
            dead: BTreeSet::new(),
            delay: DELAY,
            stalled_until: Duration::ZERO,
            loses_all: false,
            rng,
        }
    }

    fn send(&mut self, now: Duration, packet: Packet) {
        let delay = u64::try_from(self.delay.as_micros()).unwrap_or(0);
        let delay = Duration::from_micros(self.rng.between(1, delay.max(1)));
        let last = &mut self.last[usize::from(packet.is_for_bridge())];
        *last = (*last).max(now.max(self.stalled_until) + delay);
        self.sent += 1;
        self.in_transit.insert((*last, self.sent), packet);
    }

    pub(crate) fn dial(&mut self, now: Duration, link: LinkId) {
        self.dialled += 1;
        let conn = self.dialled;
        self.conns.insert(link, conn);
        self.links.insert(conn, link);
        if self.loses_all {
            self.dead.insert(conn);
        } else {
            self.send(now, Packet::Dial(link, conn));
        }
    }

    pub(crate) fn send_to_broker(&mut self, now: Duration, link: LinkId, bytes: Vec<u8>) {
        if let Some(&conn) = self.conns.get(&link)
            && !self.dead.contains(&conn)
        {
            self.send(now, Packet::ToBroker(conn, bytes));
        }
    }

    pub(crate) fn send_to_bridge(&mut self, now: Duration, conn: u64, bytes: Vec<u8>) {
        if let Some(&link) = self.links.get(&conn)
            && !self.dead.contains(&conn)
        {
            self.send(now, Packet::ToBridge(link, bytes, now));
        }
    }

    pub(crate) fn opened(&mut self, now: Duration, link: LinkId) {
        self.send(now, Packet::Opened(link));
    }

    /// The broker closes its end, or no broker listens.
    pub(crate) fn broker_closes(&mut self, now: Duration, conn: u64) {
        if let Some(&link) = self.links.get(&conn)
            && !self.dead.contains(&conn)
        {
            self.send(now, Packet::BrokerClosed(link));
        }
    }

    /// The bridge closes its end. Nothing arrives for it any more.
    pub(crate) fn bridge_closes(&mut self, now: Duration, link: LinkId) {
        if let Some(conn) = self.conns.remove(&link) {
            self.links.remove(&conn);
            if !self.dead.contains(&conn) {
                self.send(now, Packet::BridgeClosed(conn));
            }
        }
    }

    /// The process or the machine of the bridge ends; `closes` if its connections are closed, not lost.
    pub(crate) fn bridge_gone(&mut self, now: Duration, closes: bool) {
        // The next process numbers its connections anew, and gets nothing of those that this one has closed either.
        self.held.clear();
        self.in_transit.retain(|_, packet| !packet.is_for_bridge());
        for (link, conn) in std::mem::take(&mut self.conns) {
            if closes {
                self.conns.insert(link, conn);
                self.bridge_closes(now, link);
            }
            self.links.remove(&conn);
        }
    }

    /// Breaks the connection at both ends.
    pub(crate) fn cut(&mut self, now: Duration) {
        let open: Vec<(LinkId, u64)> = self.conns.iter().map(|(link, conn)| (*link, *conn)).collect();
        for (link, conn) in open {
            if !self.dead.contains(&conn) {
                self.in_transit.retain(|_, packet| match packet {
                    Packet::ToBroker(of, _) => *of != conn,
                    Packet::ToBridge(of, ..) | Packet::Opened(of) => *of != link,
                    _ => true,
                });
                self.send(now, Packet::BrokerClosed(link));
                self.send(now, Packet::BridgeClosed(conn));
                self.dead.insert(conn);
            }
        }
    }

    /// Lets the bytes of the open connection vanish from now on.
    pub(crate) fn kill(&mut self) {
        self.dead.extend(self.conns.values().copied());
        self.in_transit.clear();
    }

    /// Link of a connection, if the bridge still has it.
    pub(crate) fn is_held(&self, link: LinkId) -> bool {
        self.conns.contains_key(&link)
    }

    /// `true` if the bridge has a connection, open or not.
    pub(crate) fn has_link(&self) -> bool {
        !self.conns.is_empty()
    }

    /// `true` if packets are late or lost.
    pub(crate) fn has_trouble(&self, now: Duration) -> bool {
        let is_dead = self.conns.values().any(|conn| self.dead.contains(conn));
        is_dead || self.loses_all || self.stalled_until > now || self.delay > DELAY
    }

    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.in_transit.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn arrived(&mut self, now: Duration, asleep: bool) -> Option<Packet> {
        loop {
            let entry = self.in_transit.first_entry()?;
            if entry.key().0 > now {
                return None;
            }
            let packet = entry.remove();
            if !(asleep && packet.is_for_bridge()) {
                return Some(packet);
            }
            self.held.push(packet);
        }
    }

    /// Delivers the packets that arrived while the host slept.
    pub(crate) fn release_held(&mut self, now: Duration) {
        for packet in std::mem::take(&mut self.held) {
            self.sent += 1;
            self.in_transit.insert((now, self.sent), packet);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.in_transit.len() + self.held.len()
    }

    /// Forgets that a connection was cut off, once both ends are gone.
    pub(crate) fn forget_dead(&mut self) {
        let links = &self.links;
        self.dead.retain(|conn| links.contains_key(conn));
    }
}
