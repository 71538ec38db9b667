use core::time::Duration;
use std::collections::BTreeSet;

use mysa_bridge::client::LinkId;
use mysa_mqtt_codec::PacketId;

use super::{Harness, at};

/// Longest time between the birth message of Home Assistant and the answer to it.
const BIRTH_PAUSE: Duration = Duration::from_secs(8);

/// Packets of the latest connection that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    pub(super) is_open: bool,
    pub(super) connack: bool,
    /// Id of a SUBSCRIBE, and its number of filters.
    pub(super) suback: Option<(PacketId, usize)>,
}

impl Handshake {
    /// Takes the answers of a broker that accepts everything.
    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if core::mem::take(&mut self.connack) {
            bytes.extend([0x20, 2, 0, 0]);
        }
        if let Some((id, count)) = self.suback.take() {
            let [high, low] = id.get().to_be_bytes();
            let len = u8::try_from(2 + count).expect("few filters");
            bytes.extend([0x90, len, high, low]);
            bytes.resize(bytes.len() + count, 0);
        }
        bytes
    }
}

/// Start of Home Assistant, which has to get all retained messages again.
#[derive(Debug)]
pub(super) struct Birth {
    link: LinkId,
    due: Duration,
    /// Topics of the messages that it has not got yet.
    pub(super) missing: BTreeSet<String>,
}

impl Harness {
    pub(super) fn open(&mut self, link: LinkId) {
        self.handshake.is_open |= self.links.last() == Some(&link);
        self.bridge.handle_opened(link, at(self.mono));
    }

    /// Passes on the acknowledgements of what was sent.
    pub(super) fn answer(&mut self, link: LinkId) {
        let bytes = core::mem::take(&mut self.answers);
        // What the bridge sends on these answers waits for the next ones.
        let sent = self.orphans.sent();
        let is_latest = self.links.last() == Some(&link);
        // Before its CONNECT, they are the answers to what an earlier connection sent, and acknowledge nothing.
        let is_connected = self.streams.get(&link).is_some_and(|(_, is_connected)| *is_connected);
        self.feed(link, &bytes);
        self.drain();
        let is_open = self.streams.contains_key(&link);
        if is_latest && is_connected && is_open && !self.is_raw && self.birth.is_none() {
            self.orphans.acknowledge(&sent);
        } else if !is_latest && !bytes.is_empty() {
            // Those of the latest connection are lost on an earlier one.
            self.orphans.expect_again();
        }
    }

    /// Lets time pass with a driver that keeps every deadline and a broker that answers everything at once.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.mono + time;
        let mut calls = 0;
        loop {
            self.serve();
            let due = self.bridge.poll_timeout().map_or(end, |due| due.min(end));
            calls = if due > self.mono { 0 } else { calls + 1 };
            assert!(calls < 1_000, "never idle: due at {due:?}, it is {:?}", self.mono);
            self.mono = self.mono.max(due);
            self.bridge.handle_timeout(at(self.mono));
            self.drain();
            if self.mono == end && self.bridge.poll_timeout().is_none_or(|due| due > end) {
                break;
            }
        }
        self.check_birth();
    }

    /// Opens the latest connection, and exchanges packets until both ends are silent.
    fn serve(&mut self) {
        let Some(&link) = self.links.last() else { return };
        if !self.handshake.is_open {
            self.open(link);
            self.drain();
        }
        for _ in 0..1_000 {
            self.bridge.handle_written(link, at(self.mono));
            self.drain();
            let bytes = if self.links.last() == Some(&link) { self.handshake.take() } else { Vec::new() };
            if bytes.is_empty() && self.answers.is_empty() {
                return;
            }
            self.feed(link, &bytes);
            self.answer(link);
        }
        panic!("the exchange with the broker does not end");
    }

    /// Notes that all messages have to be sent again. The connection may end before, and the next one sends them as well.
    pub(super) fn expect_all_again(&mut self) {
        let Some(&link) = self.links.last() else { return };
        self.birth = Some(Birth { link, due: self.mono + BIRTH_PAUSE, missing: self.held.clone() });
    }

    fn check_birth(&mut self) {
        let Some(birth) = &self.birth else { return };
        let holds = self.links.last() == Some(&birth.link) && self.streams.contains_key(&birth.link);
        if !holds || self.is_raw || self.is_stopping {
            self.birth = None;
        } else if birth.due < self.mono {
            assert!(birth.missing.is_empty(), "not sent again: {:?}", birth.missing);
            self.birth = None;
        }
    }
}
