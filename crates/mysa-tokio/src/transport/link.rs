use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::resources::{Gauge, Held};

/// Driver's end of the send queue of one connection. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<LinkState>,
}

/// Connection's end of the send queue.
#[derive(Debug)]
pub(crate) struct Outgoing {
    shared: Arc<LinkState>,
}

#[derive(Debug)]
struct LinkState {
    queue: Mutex<SendQueue>,
    /// Wakes the connection when there is something to send.
    more: Notify,
    /// Wakes the connection when the driver ends it.
    ended: Notify,
    /// Wakes the driver when everything is written.
    written: Arc<Notify>,
}

#[derive(Debug)]
struct SendQueue {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes in `chunks`, and those that the connection has taken and not yet written.
    unwritten: Held,
    end: Option<LinkEnd>,
}

/// Way in which the driver ends a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LinkEnd {
    /// Queued bytes are sent first, if the peer accepts them within [`CLOSE_LIMIT`](super::relay::CLOSE_LIMIT).
    Close,
    /// Nothing more is sent.
    Abort,
}

/// Error: the send queue is full, because the peer does not read.
#[derive(Debug)]
pub(crate) struct Overflow;

/// Maximum number of bytes queued for one connection.
pub(crate) const SEND_LIMIT: usize = 256 * 1024;
/// Largest chunk in bytes; each chunk becomes one WebSocket frame. Longer data is split, since packets and frames need
/// not coincide [MQTT-6.0.0-4].
pub(super) const MAX_CHUNK: usize = 64 * 1024;
/// Memory overhead of a chunk in bytes, so many small ones count.
const CHUNK_OVERHEAD: usize = 64;

/// Returns both ends of a send queue. `written` is notified whenever it becomes empty.
pub(crate) fn link(to_send: &Gauge, written: &Arc<Notify>) -> (Link, Outgoing) {
    let queue = SendQueue { chunks: VecDeque::new(), unwritten: to_send.hold(0), end: None };
    let shared = Arc::new(LinkState {
        queue: Mutex::new(queue),
        more: Notify::new(),
        ended: Notify::new(),
        written: Arc::clone(written),
    });
    (Link { shared: Arc::clone(&shared) }, Outgoing { shared })
}

impl LinkState {
    fn lock(&self) -> MutexGuard<'_, SendQueue> {
        // Every change under the lock is complete by itself, so a panic leaves nothing inconsistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: LinkEnd) {
        let mut queue = self.lock();
        if end == LinkEnd::Abort {
            queue.chunks.clear();
            queue.unwritten.set(0);
        }
        // The first end applies: the drop that follows an abort must not turn it into a close.
        queue.end = queue.end.or(Some(end));
        drop(queue);
        // `notify_one` stores a permit, so a connection that is not waiting yet does not miss it.
        self.more.notify_one();
        self.ended.notify_one();
    }
}

impl Link {
    /// Queues bytes.
    ///
    /// # Errors
    /// [`Overflow`] if the queue is full. The connection is then aborted.
    pub(crate) fn send(&self, bytes: Vec<u8>) -> Result<(), Overflow> {
        let mut queue = self.shared.lock();
        let chunks = bytes.len().div_ceil(MAX_CHUNK);
        let unwritten = queue.unwritten.amount() + bytes.len() + chunks * CHUNK_OVERHEAD;
        // A peer this far behind does not recover; dropping the connection bounds the memory.
        if unwritten > SEND_LIMIT {
            drop(queue);
            self.shared.end(LinkEnd::Abort);
            return Err(Overflow);
        }
        queue.unwritten.set(unwritten);
        if bytes.len() <= MAX_CHUNK {
            queue.chunks.push_back(bytes);
        } else {
            queue.chunks.extend(bytes.chunks(MAX_CHUNK).map(<[u8]>::to_vec));
        }
        drop(queue);
        self.shared.more.notify_one();
        Ok(())
    }

    /// Ends the connection without sending what is queued.
    pub(crate) fn abort(&self) {
        self.shared.end(LinkEnd::Abort);
    }

    /// Returns `true` if anything queued is not written yet.
    pub(crate) fn is_blocked(&self) -> bool {
        self.shared.lock().unwritten.amount() > 0
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.end(LinkEnd::Close);
    }
}

impl Outgoing {
    /// Returns the next chunk to write, once there is one. Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(chunk) = self.take() {
                return chunk;
            }
            self.shared.more.notified().await;
        }
    }

    /// Returns the next chunk to write, if there is one.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        self.shared.lock().chunks.pop_front()
    }

    /// Records that every chunk taken so far is written.
    pub(crate) fn written(&self) {
        let mut queue = self.shared.lock();
        let waiting: usize = queue.chunks.iter().map(|chunk| chunk.len() + CHUNK_OVERHEAD).sum();
        if queue.unwritten.amount() == waiting {
            return;
        }
        queue.unwritten.set(waiting);
        drop(queue);
        if waiting == 0 {
            self.shared.written.notify_one();
        }
    }

    /// Waits until the driver ends the connection.
    pub(crate) async fn ended(&self) -> LinkEnd {
        loop {
            if let Some(end) = self.shared.lock().end {
                return end;
            }
            self.shared.ended.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Gauges;

    #[tokio::test]
    async fn a_queue_that_overflows_is_emptied_and_aborts_its_connection() {
        let (gauges, written) = (Gauges::default(), Arc::default());
        let (link, outgoing) = link(&gauges.to_send, &written);
        let mut taken = 0;
        while link.send(vec![0; 2]).is_ok() {
            taken += 1;
            assert!(gauges.read().bytes_to_send <= SEND_LIMIT);
        }
        assert_eq!(taken, SEND_LIMIT / (2 + CHUNK_OVERHEAD), "small chunks count with their overhead");
        assert_eq!(outgoing.ended().await, LinkEnd::Abort);
        assert_eq!((outgoing.take(), gauges.read().bytes_to_send), (None, 0));
        drop(link);
        assert_eq!(outgoing.ended().await, LinkEnd::Abort, "the first end applies");
    }

    #[tokio::test]
    async fn a_connection_is_blocked_until_what_it_took_is_written() {
        let (gauges, written) = (Gauges::default(), Arc::<Notify>::default());
        let (link, outgoing) = link(&gauges.to_send, &written);
        assert!(!link.is_blocked());
        link.send(vec![1]).expect("there is room");
        link.send(vec![2]).expect("there is room");
        assert_eq!(outgoing.next().await, [1]);
        outgoing.written();
        assert_eq!(outgoing.next().await, [2]);
        assert!(link.is_blocked(), "a chunk that was taken is not written yet");
        outgoing.written();
        written.notified().await;
        assert!(!link.is_blocked());
        drop(link);
        assert_eq!(outgoing.ended().await, LinkEnd::Close);
    }
}
