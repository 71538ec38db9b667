use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec::PacketId;
use mysa_proto::DeviceId;

use crate::Now;
use crate::context::Context;
use crate::now::plus;

/// Publishes of a connection that wait for an acknowledgement, and those of commands that the broker may still have to read.
///
/// The publishes, their copies and the pings are numbered in the order in which they are sent. The broker reads in order, so its
/// answer to one proves that it has read everything before.
#[derive(Debug, Default)]
pub(crate) struct Publishes {
    in_flight: Vec<InFlight>,
    /// Publishes of commands that wait for no acknowledgement, and whose latest copy the broker may still have to read.
    unread: Vec<Unread>,
    /// Position of the latest packet that the broker answers.
    position: u64,
    /// Position of the latest ping.
    pinged: u64,
    /// Position up to which the broker has read everything.
    read: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Publishing {
    Command { device: DeviceId, serial: u64 },
    LiveReport { device: DeviceId },
}

impl Publishing {
    fn is_command(self, number: u64) -> bool {
        matches!(self, Self::Command { serial, .. } if serial == number)
    }
}

/// Step that is due for a publish without an acknowledgement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    Repeat(PacketId),
    /// The publish is given up, although the connection is alive.
    Unanswered(Publishing),
}

/// Publish that waits for its acknowledgement. The bytes are not kept: those of a command are encoded again for each
/// repeat, if the command is still undecided.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    packet: PacketId,
    what: Publishing,
    sent: Duration,
    until: Duration,
    /// Number of repeats left.
    retries: u8,
    /// Position of the first copy, which the acknowledgement proves to be read.
    first: u64,
    latest: Sent,
    /// `true` if one of the commands that the publish carries has a verdict: the bytes must not arrive any more.
    decided: bool,
}

/// Copy of a publish: its time, and its position among the packets that the broker answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    at: Now,
    position: u64,
}

#[derive(Clone, Copy, Debug)]
struct Unread {
    /// Its acknowledgement may still arrive, and proves that the first copy is read.
    packet: PacketId,
    first: u64,
    device: DeviceId,
    serial: u64,
    latest: Sent,
    decided: bool,
}

/// Maximum number of unacknowledged publishes. AWS IoT allows 100.
const WINDOW: usize = 50;
/// Time within which the broker must have read a publish whose command is decided. Later, its bytes may wait in a buffer of
/// this host, for a peer that reads nothing or for the next attempt after a lost packet, whatever arrives meanwhile.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(2);
/// Time from a publish to the ping that asks whether the broker has read it, unless it is acknowledged. It leaves the answer
/// one second until [`READ_WITHIN`].
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(1);

impl Sent {
    /// Time by which the broker must have read the copy, once a command that it carries has a verdict.
    const fn read_by(self) -> Duration {
        self.at.mono.saturating_add(READ_WITHIN)
    }

    /// Returns `true` once that time has passed, by either clock: the monotonic one may stand still while the host sleeps.
    pub(crate) fn is_overdue(self, now: Now) -> bool {
        self.read_by() <= now.mono || plus(self.at.wall, READ_WITHIN) <= now.wall
    }
}

impl Publishes {
    /// Returns `true` if none waits for an acknowledgement.
    pub(crate) const fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    pub(crate) const fn have_room(&self) -> bool {
        self.in_flight.len() < WINDOW
    }

    pub(crate) fn use_id(&self, packet: PacketId) -> bool {
        let in_flight = self.in_flight.iter().map(|waiting| waiting.packet);
        in_flight.chain(self.unread.iter().map(|unread| unread.packet)).any(|used| used == packet)
    }

    pub(crate) fn add(&mut self, cx: &Context, packet: PacketId, what: Publishing, retries: u8) {
        self.position += 1;
        let latest = Sent { at: cx.now, position: self.position };
        let until = cx.after(cx.settings.puback_timeout);
        let first = latest.position;
        self.in_flight.push(InFlight {
            packet,
            what,
            sent: latest.at.mono,
            until,
            retries,
            first,
            latest,
            decided: false,
        });
    }

    /// Returns the serial of the command whose publish has this packet id and is unacknowledged.
    pub(crate) fn command(&self, packet: PacketId) -> Option<u64> {
        let waiting = self.in_flight.iter().find(|waiting| waiting.packet == packet)?;
        match waiting.what {
            Publishing::Command { serial, .. } => Some(serial),
            Publishing::LiveReport { .. } => None,
        }
    }

    /// Records that a repeat is sent.
    pub(crate) fn repeated(&mut self, packet: PacketId, now: Now) {
        self.position += 1;
        let latest = Sent { at: now, position: self.position };
        if let Some(waiting) = self.in_flight.iter_mut().find(|waiting| waiting.packet == packet) {
            waiting.latest = latest;
        }
    }

    /// Returns the latest one that waits for its acknowledgement, if it was sent less than `time` ago.
    pub(crate) fn latest_within(&self, time: Duration, now: Duration) -> Option<Publishing> {
        let recent = |waiting: &&InFlight| waiting.sent.saturating_add(time) > now;
        self.in_flight.iter().rfind(recent).map(|waiting| waiting.what)
    }

    /// Releases a packet id. Returns what was acknowledged; `None` if the publish was released before.
    pub(crate) fn acknowledge(&mut self, packet: PacketId) -> Option<Publishing> {
        if let Some(unread) = self.unread.iter().find(|unread| unread.packet == packet) {
            self.prove(unread.first);
            return None;
        }
        let at = self.in_flight.iter().position(|waiting| waiting.packet == packet)?;
        let acknowledged = self.in_flight.swap_remove(at);
        if self.in_flight.is_empty() {
            self.in_flight = Vec::new();
        }
        self.prove(acknowledged.first);
        // A repeat may have left before the acknowledgement of the first copy arrived.
        self.watch(&acknowledged);
        Some(acknowledged.what)
    }

    /// Releases the packet id of a command that has a verdict. Returns its latest copy, unless the broker has
    /// read it.
    pub(crate) fn release(&mut self, serial: u64) -> Option<Sent> {
        if let Some(at) = self.in_flight.iter().position(|waiting| waiting.what.is_command(serial)) {
            let released = self.in_flight.swap_remove(at);
            self.watch(&released);
        }
        self.decide(serial)
    }

    /// Records that one of the commands that a publish carries has a verdict. Returns its latest copy, unless the
    /// broker has read it.
    pub(crate) fn decide(&mut self, serial: u64) -> Option<Sent> {
        if let Some(unread) = self.unread.iter_mut().find(|unread| unread.serial == serial) {
            unread.decided = true;
            return Some(unread.latest);
        }
        let waiting = self.in_flight.iter_mut().find(|waiting| waiting.what.is_command(serial))?;
        waiting.decided = true;
        (waiting.latest.position > self.read).then_some(waiting.latest)
    }

    /// Watches a publish that waits for no acknowledgement, unless the broker has read its latest copy.
    fn watch(&mut self, publish: &InFlight) {
        let &InFlight { packet, first, latest, decided, .. } = publish;
        let Publishing::Command { device, serial } = publish.what else { return };
        if latest.position > self.read {
            self.unread.push(Unread { packet, first, device, serial, latest, decided });
        }
    }

    fn prove(&mut self, position: u64) {
        self.read = self.read.max(position);
        let read = self.read;
        self.unread.retain(|unread| unread.latest.position > read);
    }

    /// Records that a ping is sent.
    pub(crate) const fn pinged(&mut self) {
        self.position += 1;
        self.pinged = self.position;
    }

    /// Records the answer to the latest ping.
    pub(crate) fn ping_answered(&mut self) {
        self.prove(self.pinged);
    }

    /// Thermostats and serials of the commands that the broker may still have to read.
    pub(crate) fn unread_commands(&self) -> impl Iterator<Item = (DeviceId, u64)> {
        let in_flight = self.in_flight.iter().filter_map(|waiting| match waiting.what {
            Publishing::Command { device, serial } if waiting.latest.position > self.read => {
                Some((device, serial))
            }
            _ => None,
        });
        in_flight.chain(self.unread.iter().map(|unread| (unread.device, unread.serial)))
    }

    /// Latest copies of decided commands that the broker may still have to read.
    fn decided(&self) -> impl Iterator<Item = Sent> {
        let in_flight =
            self.in_flight.iter().filter(|waiting| waiting.decided && waiting.latest.position > self.read);
        let unread = self.unread.iter().filter(|unread| unread.decided);
        in_flight.map(|waiting| waiting.latest).chain(unread.map(|unread| unread.latest))
    }

    /// Returns `true` if the broker may still have to read the bytes of a decided command.
    pub(crate) fn hold_decided(&self) -> bool {
        self.decided().next().is_some()
    }

    /// Returns `true` if the broker has not read the bytes of a decided command in time.
    pub(crate) fn is_overdue(&self, now: Now) -> bool {
        self.decided().any(|copy| copy.is_overdue(now))
    }

    /// Reports what is due for publishes without an acknowledgement. Returns `true` if a ping must show whether the connection is
    /// alive.
    pub(crate) fn step(
        &mut self,
        now: Duration,
        timeout: Duration,
        last_received: Duration,
        mut report: impl FnMut(Due),
    ) -> bool {
        let mut is_suspect = false;
        let mut given_up = Vec::new();
        self.in_flight.retain_mut(|waiting| {
            if waiting.until > now {
                return true;
            }
            is_suspect |= last_received <= waiting.sent;
            if waiting.retries == 0 {
                if last_received > waiting.sent {
                    report(Due::Unanswered(waiting.what));
                    given_up.push(*waiting);
                    return false;
                }
                // Nothing at all arrived since the publish, so a dead connection is as likely as a denial. The ping
                // shows which.
                waiting.until = now.saturating_add(timeout);
                return true;
            }
            waiting.retries -= 1;
            waiting.until = now.saturating_add(timeout);
            report(Due::Repeat(waiting.packet));
            true
        });
        for publish in &given_up {
            self.watch(publish);
        }
        is_suspect || !given_up.is_empty()
    }

    /// Returns the time of the next ping that asks whether the broker has read a command.
    pub(crate) fn probe_at(&self) -> Option<Duration> {
        let commands =
            self.in_flight.iter().filter(|waiting| matches!(waiting.what, Publishing::Command { .. }));
        let in_flight = commands.map(|waiting| (waiting.latest, PROBE_AFTER));
        let unread = self.unread.iter().map(|unread| (unread.latest, Duration::ZERO));
        let unasked = in_flight.chain(unread).filter(|(latest, _)| latest.position > self.pinged);
        unasked.map(|(latest, after)| latest.at.mono.saturating_add(after)).min()
    }

    /// Returns the time of the next call of [`Publishes::step`], or at which the connection is overdue.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let in_flight = self.in_flight.iter().map(|waiting| waiting.until);
        in_flight.chain(self.decided().map(Sent::read_by)).min()
    }
}

#[cfg(test)]
impl Publishes {
    /// Packet ids in use.
    pub(crate) fn ids(&self) -> Vec<PacketId> {
        self.in_flight.iter().map(|waiting| waiting.packet).collect()
    }
}
