use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use mysa_session::Event;

/// Stream of the events of an account.
///
/// The stream is bounded. For a slow reader, the events of one thermostat are merged into one, which counts the others,
/// so the latest state is never lost; service levels are merged likewise. Of the remaining events the oldest are
/// dropped, verdicts last, and counted by an [`Event::Dropped`]. [`Monitor::state`](crate::Monitor::state) has the
/// latest state at any time. The stream ends with the client.
#[derive(Debug)]
pub struct Events {
    queue: Arc<Mutex<EventQueue>>,
}

#[derive(Debug, Default)]
struct EventQueue {
    waiting: VecDeque<Event>,
    dropped: u64,
    ended: bool,
    waker: Option<Waker>,
}

/// Driver's end of an [`Events`].
#[derive(Debug)]
pub(crate) struct Subscriber {
    queue: Weak<Mutex<EventQueue>>,
}

const CAPACITY: usize = 1_024;

pub(crate) fn subscription() -> (Subscriber, Events) {
    let queue = Arc::new(Mutex::new(EventQueue::default()));
    (Subscriber { queue: Arc::downgrade(&queue) }, Events { queue })
}

impl Subscriber {
    /// Queues an event. Returns `false` if the reader is gone.
    pub(crate) fn push(&self, event: &Event) -> bool {
        self.with(|queue| queue.push(event))
    }

    pub(crate) fn end(&self) {
        self.with(|queue| queue.ended = true);
    }

    fn with(&self, change: impl FnOnce(&mut EventQueue)) -> bool {
        // The reader owns the queue: its memory is freed as soon as the stream is dropped.
        let Some(queue) = self.queue.upgrade() else { return false };
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut queue);
        let waker = queue.waker.take();
        // The reader is woken after the lock is released, so it does not wait for it.
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl EventQueue {
    fn push(&mut self, event: &Event) {
        if !self.merge(event) {
            if self.waiting.len() >= CAPACITY {
                self.drop_one();
            }
            self.waiting.push_back(event.clone());
        }
    }

    /// Merges the event into one that waits, if possible.
    fn merge(&mut self, event: &Event) -> bool {
        match event {
            Event::Device { device, changes, about, skipped } => {
                let waiting = self.waiting.iter_mut().find_map(|waiting| match waiting {
                    Event::Device { device: of, changes, about, skipped } if of == device => {
                        Some((changes, about, skipped))
                    }
                    _ => None,
                });
                let Some((all, any_about, all_skipped)) = waiting else { return false };
                *all = all.union(*changes);
                *any_about |= *about;
                *all_skipped = all_skipped.saturating_add(*skipped).saturating_add(1);
                true
            }
            Event::Service(service) => {
                let waiting = self.waiting.iter_mut().find_map(|waiting| match waiting {
                    Event::Service(waiting) => Some(waiting),
                    _ => None,
                });
                waiting.map(|waiting| *waiting = *service).is_some()
            }
            _ => false,
        }
    }

    /// Drops one event to make room. Merged events stay: there is at most one per thermostat, and one for the service
    /// level.
    fn drop_one(&mut self) {
        let latest = |event: &Event| matches!(event, Event::Device { .. } | Event::Service(_));
        let light = |event: &Event| !latest(event) && !matches!(event, Event::Verdict { .. });
        let oldest = self.waiting.iter().position(light);
        let oldest = oldest.or_else(|| self.waiting.iter().position(|event| !latest(event)));
        if let Some(oldest) = oldest {
            self.waiting.remove(oldest);
            self.dropped += 1;
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // The count comes first, because the dropped events were the oldest.
        let count = std::mem::take(&mut queue.dropped);
        if count > 0 {
            return Poll::Ready(Some(Event::Dropped { count }));
        }
        match queue.waiting.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Events {
    /// Returns the next event, or `None` once the client has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        futures_util::StreamExt::next(self).await
    }
}

#[cfg(test)]
mod tests {
    use mysa_proto::{Changes, DeviceId};

    use super::*;

    fn of(device: u64) -> Event {
        let device = DeviceId::new(&format!("a0b1c2d3{device:04x}")).expect("an id");
        Event::Device { device, changes: Changes::default(), about: true, skipped: 0 }
    }

    async fn read(mut events: Events, subscriber: Subscriber) -> Vec<Event> {
        subscriber.end();
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            all.push(event);
        }
        all
    }

    #[tokio::test]
    async fn a_slow_reader_misses_no_thermostat_and_gets_the_number_of_dropped_events() {
        let (subscriber, events) = subscription();
        for number in 0..2_000 {
            subscriber.push(&of(number % 3));
            subscriber.push(&Event::ClockOff { ahead_ms: number as i64 });
        }
        let all = read(events, subscriber).await;
        assert_eq!(all.len(), 1 + CAPACITY);
        let lost = 2_000 + 3 - CAPACITY as u64;
        assert!(matches!(all[0], Event::Dropped { count } if count == lost), "{:?}", all[0]);
        let skipped: Vec<u32> = all
            .iter()
            .filter_map(|event| match event {
                Event::Device { skipped, .. } => Some(*skipped),
                _ => None,
            })
            .collect();
        assert_eq!(skipped, [666, 666, 665], "one event per thermostat, which counts the others");
        assert!(
            matches!(all.last(), Some(Event::ClockOff { ahead_ms: 1_999 })),
            "the oldest are dropped first"
        );
    }

    #[tokio::test]
    async fn more_thermostats_than_the_queue_holds_are_all_reported() {
        let (subscriber, events) = subscription();
        for _ in 0..2 {
            for number in 0..CAPACITY as u64 + 100 {
                subscriber.push(&of(number));
            }
        }
        let all = read(events, subscriber).await;
        assert_eq!(all.len(), CAPACITY + 100);
    }
}
