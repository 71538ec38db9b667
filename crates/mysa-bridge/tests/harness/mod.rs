//! A client and a broker in memory, under virtual time.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod broker;
pub(crate) mod home;
pub(crate) mod schema;

use std::time::Duration;

use mysa_bridge::client::{Client, LinkId, Output};

use self::broker::Broker;

/// State machine with one connection to the broker.
pub(crate) trait Peer {
    fn opened(&mut self, link: LinkId, now: Duration);
    fn closed(&mut self, link: LinkId, now: Duration);
    fn written(&mut self, link: LinkId, now: Duration);
    fn bytes(&mut self, link: LinkId, bytes: &[u8], now: Duration);
    fn timeout(&mut self, now: Duration);
    fn next_output(&mut self, now: Duration) -> Option<Output>;
    fn next_timeout(&self) -> Option<Duration>;
}

impl Peer for Client {
    fn opened(&mut self, link: LinkId, now: Duration) {
        self.handle_opened(link, now);
    }

    fn closed(&mut self, link: LinkId, now: Duration) {
        self.handle_closed(link, now);
    }

    fn written(&mut self, link: LinkId, now: Duration) {
        self.handle_written(link, now);
    }

    fn bytes(&mut self, link: LinkId, bytes: &[u8], now: Duration) {
        self.handle_bytes(link, bytes, now);
    }

    fn timeout(&mut self, now: Duration) {
        self.handle_timeout(now);
    }

    fn next_output(&mut self, now: Duration) -> Option<Output> {
        self.poll_output(now)
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.poll_timeout()
    }
}

/// Network between a peer and the broker.
#[derive(Debug)]
pub(crate) struct Harness<P> {
    pub(crate) peer: P,
    pub(crate) broker: Broker,
    pub(crate) now: Duration,
    /// Open connection and its number at the broker.
    pub(crate) open: Option<(LinkId, u64)>,
    connections: u64,
    /// New connections fail.
    pub(crate) unreachable: bool,
    /// Bytes are lost in both directions, without an error on either side.
    black_hole: bool,
    /// The peer's bytes are never written.
    pub(crate) stalled: bool,
    /// Times of all attempts to connect.
    pub(crate) dials: Vec<Duration>,
    /// Largest chunk that arrives at once.
    pub(crate) chunk: usize,
}

impl<P: Peer> Harness<P> {
    pub(crate) fn new(peer: P) -> Self {
        Self {
            peer,
            broker: Broker::default(),
            now: Duration::ZERO,
            open: None,
            connections: 0,
            unreachable: false,
            black_hole: false,
            stalled: false,
            dials: Vec::new(),
            chunk: usize::MAX,
        }
    }

    /// Exchanges everything that can be exchanged at this moment.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut idle = true;
            while let Some(output) = self.peer.next_output(self.now) {
                idle = false;
                match output {
                    Output::Dial(link) => self.dial(link),
                    Output::Send { link, bytes } => {
                        if let Some((open, number)) = self.open
                            && open == link
                            && !self.black_hole
                            && !self.stalled
                        {
                            self.broker.receive(number, &bytes);
                        }
                        if !self.stalled {
                            self.peer.written(link, self.now);
                        }
                    }
                    Output::Close(link) => {
                        if let Some((open, number)) = self.open
                            && open == link
                        {
                            self.broker.drop_connection(number);
                            self.open = None;
                        }
                    }
                }
            }
            if let Some((link, number)) = self.open
                && !self.black_hole
            {
                let (bytes, closed) = self.broker.take(number);
                idle &= bytes.is_empty() && !closed;
                for chunk in bytes.chunks(self.chunk) {
                    self.peer.bytes(link, chunk, self.now);
                }
                if closed {
                    self.open = None;
                    self.peer.closed(link, self.now);
                }
            }
            if idle {
                return;
            }
        }
        panic!("the exchange does not end");
    }

    fn dial(&mut self, link: LinkId) {
        self.dials.push(self.now);
        if self.unreachable {
            return self.peer.closed(link, self.now);
        }
        self.connections += 1;
        self.broker.open(self.connections);
        self.open = Some((link, self.connections));
        self.peer.opened(link, self.now);
    }

    /// Advances by `time`, stopping at each deadline.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.settle();
            match self.peer.next_timeout() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.peer.timeout(self.now);
                }
                _ => {
                    self.now = end;
                    self.peer.timeout(self.now);
                    self.settle();
                    return;
                }
            }
        }
        panic!("a deadline stays due");
    }

    pub(crate) fn secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    /// Ends the connection as a lost network does: the broker notices at once.
    pub(crate) fn cut(&mut self) {
        if let Some((link, number)) = self.open.take() {
            self.broker.drop_connection(number);
            self.peer.closed(link, self.now);
        }
    }

    /// Starts or ends the loss of all bytes. A connection that lost bytes is closed at the end.
    pub(crate) fn set_black_hole(&mut self, on: bool) {
        if self.black_hole && !on {
            self.cut();
        }
        self.black_hole = on;
    }

    /// Stops and starts the broker.
    pub(crate) fn restart_broker(&mut self, keeps_retained: bool) {
        self.broker.restart(keeps_retained);
        if let Some((link, _)) = self.open.take() {
            self.peer.closed(link, self.now);
        }
    }
}
