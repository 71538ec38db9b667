use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use mysa_cognito::StoredSession;
use mysa_mqtt_codec::PacketId;
use mysa_proto::DeviceId;

use crate::{ConnId, Event, HttpId, Output, Packets};

/// Queue for the driver: first work for the network, then events in order.
///
/// The queue is bounded. Bytes for one connection are joined and limited; each thermostat, and the service level, has
/// at most one entry; verdicts and responses are limited where they originate; of all other events the oldest is
/// dropped and counted.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Outbox {
    /// Oldest event. Most events find the queue empty, and need no other memory.
    first: Option<QueuedEvent>,
    dropped: u64,
    store: Option<Box<StoreOp>>,
    load: bool,
    work: VecDeque<Work>,
    /// Events after the first.
    queue: VecDeque<QueuedEvent>,
    droppable: usize,
    verdicts: usize,
    responses: usize,
    next_http: u64,
}

/// Work item for the network.
#[derive(Debug)]
pub(crate) enum Work {
    Output(Output),
    /// First transmission of a command. Its bytes are encoded when the driver takes it.
    Publish {
        conn: ConnId,
        serial: u64,
    },
    /// Repeat of an unacknowledged publish.
    Repeat {
        conn: ConnId,
        packet: PacketId,
    },
    /// Transmission by the structured service.
    Update {
        serial: u64,
    },
}

#[derive(Debug)]
enum StoreOp {
    Store(StoredSession),
    Forget,
}

/// Queued event, or a marker that a thermostat or the service level has something to report.
#[derive(Debug)]
pub(crate) enum QueuedEvent {
    Device(DeviceId),
    Service,
    Kept(Box<Event>),
    Other(Box<Event>),
}

/// Capacity for events that is kept while there are none, so frequent events do not allocate.
const EVENTS_KEPT: usize = 4;
/// Capacity for work that is kept while there is none: enough for the acknowledgement of a status.
const WORK_KEPT: usize = 1;
/// Maximum number of bytes queued for one connection. Beyond it, the driver is considered to have stopped sending.
const SEND_LIMIT: usize = 256 * 1024;

impl Outbox {
    pub(crate) fn has_work(&self) -> bool {
        !self.work.is_empty() || self.store.is_some() || self.load
    }

    pub(crate) fn http_id(&mut self) -> HttpId {
        self.next_http += 1;
        HttpId(self.next_http)
    }

    pub(crate) fn push(&mut self, work: Work) {
        self.work.push_back(work);
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.push(Work::Output(output));
    }

    /// Appends bytes to those queued for the same connection. Returns `false` if the driver does not keep up: the
    /// connection is then unusable.
    #[must_use]
    #[inline]
    pub(crate) fn append(&mut self, conn: ConnId, more: &[u8]) -> bool {
        match self.last(conn) {
            Some(bytes) => {
                bytes.extend_from_slice(more);
                bytes.len() <= SEND_LIMIT
            }
            None => {
                self.output(Output::Send { conn, bytes: Packets::copied(more) });
                true
            }
        }
    }

    /// As [`Outbox::append`], for encoders that write to a `Vec`.
    #[must_use]
    pub(crate) fn send(&mut self, conn: ConnId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        match self.last(conn) {
            Some(bytes) => {
                bytes.append_by(write);
                bytes.len() <= SEND_LIMIT
            }
            None => {
                self.output(Output::Send { conn, bytes: Packets::with(write) });
                true
            }
        }
    }

    /// Returns the last item if it is bytes for this connection: packets for one connection share a frame, because MQTT is a
    /// byte stream over WebSocket [MQTT-6.0.0-4]. Only the last item is extended, which keeps the order with other outputs.
    #[inline]
    fn last(&mut self, conn: ConnId) -> Option<&mut Packets> {
        match self.work.back_mut() {
            Some(Work::Output(Output::Send { conn: last, bytes })) if *last == conn => Some(bytes),
            _ => None,
        }
    }

    /// Drops the work for a connection that has ended.
    pub(crate) fn drop_sends(&mut self, ended: ConnId) {
        self.work.retain(|work| match work {
            Work::Output(Output::Send { conn, .. })
            | Work::Publish { conn, .. }
            | Work::Repeat { conn, .. } => *conn != ended,
            _ => true,
        });
    }

    /// Queues a session to store, in place of one that waits.
    pub(crate) fn store(&mut self, stored: StoredSession) {
        self.store = Some(Box::new(StoreOp::Store(stored)));
    }

    pub(crate) fn forget(&mut self) {
        self.store = Some(Box::new(StoreOp::Forget));
    }

    /// Queues a reading of the stored session, after any store that is queued.
    pub(crate) fn load(&mut self) {
        self.load = true;
    }

    /// Queues the marker of a thermostat. The caller marks each thermostat at most once.
    pub(crate) fn device(&mut self, device: DeviceId) {
        self.enqueue(QueuedEvent::Device(device));
    }

    pub(crate) fn service(&mut self) {
        if !self.first.iter().chain(&self.queue).any(|queued| matches!(queued, QueuedEvent::Service)) {
            self.enqueue(QueuedEvent::Service);
        }
    }

    fn enqueue(&mut self, event: QueuedEvent) {
        if self.first.is_none() && self.queue.is_empty() {
            self.first = Some(event);
        } else {
            self.queue.push_back(event);
        }
    }

    /// Number of verdicts that were not fetched yet.
    pub(crate) const fn unread_verdicts(&self) -> usize {
        self.verdicts
    }

    /// Number of responses that were not fetched yet.
    pub(crate) const fn unread_responses(&self) -> usize {
        self.responses
    }

    /// Queues an event that is never dropped. Its originator bounds the number.
    pub(crate) fn keep(&mut self, event: Event) {
        match event {
            Event::Verdict { .. } => self.verdicts += 1,
            Event::Response { .. } => self.responses += 1,
            _ => {}
        }
        self.enqueue(QueuedEvent::Kept(Box::new(event)));
    }

    pub(crate) fn event(&mut self, event: Event, capacity: usize) {
        // Only droppable events count towards the capacity.
        if self.droppable >= capacity.max(1) {
            let oldest = match self.first.take_if(|first| matches!(first, QueuedEvent::Other(_))) {
                None => self.queue.iter().position(|queued| matches!(queued, QueuedEvent::Other(_))),
                Some(_) => None,
            };
            if let Some(oldest) = oldest {
                self.queue.remove(oldest);
            }
            self.droppable -= 1;
            self.dropped += 1;
        }
        self.droppable += 1;
        self.enqueue(QueuedEvent::Other(Box::new(event)));
    }

    /// Returns the next work item if it is the only one and sends bytes, as the acknowledgement of a status mostly is. A work
    /// item is large, and moving it costs more than the rest of an acknowledgement.
    #[inline]
    pub(crate) fn only_send(&mut self) -> Option<(ConnId, Packets)> {
        if self.work.len() != 1 || self.store.is_some() {
            return None;
        }
        let Some(Work::Output(Output::Send { conn, bytes })) = self.work.front_mut() else { return None };
        let only = (*conn, core::mem::replace(bytes, Packets::new()));
        self.work.clear();
        Some(only)
    }

    /// Returns the next work item.
    pub(crate) fn next_work(&mut self) -> Option<Work> {
        // The store comes first: a new refresh token exists nowhere else.
        if let Some(keep) = self.store.take() {
            return Some(Work::Output(match *keep {
                StoreOp::Store(stored) => Output::Store(stored),
                StoreOp::Forget => Output::Forget,
            }));
        }
        if let Some(work) = self.work.pop_front() {
            return Some(work);
        }
        // The queue is empty most of the time, and an output is large.
        if self.work.capacity() > WORK_KEPT {
            self.work.shrink_to(WORK_KEPT);
        }
        core::mem::take(&mut self.load).then_some(Work::Output(Output::Load))
    }

    /// Returns the number of events dropped since the last call.
    pub(crate) const fn take_dropped(&mut self) -> u64 {
        core::mem::replace(&mut self.dropped, 0)
    }

    pub(crate) fn next_event(&mut self) -> Option<QueuedEvent> {
        let event = match self.first.take() {
            Some(first) => first,
            None => self.queue.pop_front()?,
        };
        if self.queue.is_empty() && self.queue.capacity() > EVENTS_KEPT {
            self.queue.shrink_to(EVENTS_KEPT);
        }
        match &event {
            QueuedEvent::Device(_) | QueuedEvent::Service => {}
            QueuedEvent::Kept(event) => match **event {
                Event::Verdict { .. } => self.verdicts -= 1,
                Event::Response { .. } => self.responses -= 1,
                _ => {}
            },
            QueuedEvent::Other(_) => self.droppable -= 1,
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_droppable_event_is_dropped_and_counted() {
        let mut outbox = Outbox::default();
        for ahead_ms in 0..10 {
            outbox.event(Event::ClockOff { ahead_ms }, 4);
        }
        assert_eq!((outbox.take_dropped(), outbox.take_dropped()), (6, 0));
        let Some(QueuedEvent::Other(oldest)) = outbox.next_event() else { panic!("four are left") };
        assert!(matches!(*oldest, Event::ClockOff { ahead_ms: 6 }));
    }

    #[test]
    fn events_keep_their_order_and_the_service_has_one_marker() {
        let mut outbox = Outbox::default();
        let device = DeviceId::new("a0b1c2d3e4f0").unwrap();
        outbox.service();
        outbox.device(device);
        outbox.service();
        assert!(matches!(outbox.next_event(), Some(QueuedEvent::Service)));
        // The queue still has an event, so the next one must not overtake it.
        outbox.service();
        assert!(matches!(outbox.next_event(), Some(QueuedEvent::Device(next)) if next == device));
        assert!(matches!(outbox.next_event(), Some(QueuedEvent::Service)));
        assert!(outbox.next_event().is_none());
    }

    #[test]
    fn bytes_for_one_connection_are_joined_and_limited() {
        let mut outbox = Outbox::default();
        assert!(outbox.send(ConnId(1), |bytes| bytes.extend([1, 2])));
        assert!(outbox.append(ConnId(1), &[3]));
        assert!(!outbox.send(ConnId(1), |bytes| bytes.resize(SEND_LIMIT + 1, 0)));
        assert!(matches!(outbox.next_work(), Some(Work::Output(Output::Send { .. }))));
        assert!(!outbox.has_work());
    }

    #[test]
    fn bytes_that_are_alone_are_returned_at_once_and_keep_their_order_otherwise() {
        let mut outbox = Outbox::default();
        assert!(outbox.append(ConnId(1), &[1, 2, 3, 4]));
        assert!(outbox.append(ConnId(1), &[5]));
        let (conn, bytes) = outbox.only_send().unwrap();
        assert_eq!((conn, &bytes[..], outbox.has_work()), (ConnId(1), &[1, 2, 3, 4, 5][..], false));
        assert!(outbox.append(ConnId(1), &[1]) && outbox.append(ConnId(2), &[2]));
        assert!(outbox.only_send().is_none());
        assert!(matches!(outbox.next_work(), Some(Work::Output(Output::Send { conn: ConnId(1), .. }))));
        outbox.forget();
        assert!(outbox.only_send().is_none(), "the store comes first");
        assert!(matches!(outbox.next_work(), Some(Work::Output(Output::Forget))));
        assert!(outbox.only_send().is_some_and(|(conn, _)| conn == ConnId(2)));
        outbox.push(Work::Update { serial: 1 });
        assert!(outbox.only_send().is_none(), "no bytes");
    }
}
