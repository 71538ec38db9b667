use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use mysa_session::Event;

/// What happens on an account, as a stream.
///
/// It is bounded: where the reader is slow, the news of one thermostat is merged into one event that says how many it
/// stands for, and what cannot be merged is dropped from the oldest on and counted by an [`Event::Dropped`].
/// [`Monitor::state`](crate::Monitor::state) has the latest state at any time. The stream ends with the client.
#[derive(Debug)]
pub struct Events {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Event>,
    dropped: u64,
    ended: bool,
    waker: Option<Waker>,
}

/// The driver's end of an [`Events`].
#[derive(Debug)]
pub(crate) struct Subscriber {
    queue: Weak<Mutex<Queue>>,
}

const CAPACITY: usize = 1_024;

pub(crate) fn subscription() -> (Subscriber, Events) {
    let queue = Arc::new(Mutex::new(Queue::default()));
    (Subscriber { queue: Arc::downgrade(&queue) }, Events { queue })
}

impl Subscriber {
    /// Hands over an event; `false` if the reader is gone.
    pub(crate) fn push(&self, event: &Event) -> bool {
        self.with(|queue| queue.push(event))
    }

    pub(crate) fn end(&self) {
        self.with(|queue| queue.ended = true);
    }

    fn with(&self, change: impl FnOnce(&mut Queue)) -> bool {
        let Some(queue) = self.queue.upgrade() else { return false };
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut queue);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Queue {
    fn push(&mut self, event: &Event) {
        if !self.merge(event) {
            if self.waiting.len() >= CAPACITY {
                self.waiting.pop_front();
                self.dropped += 1;
            }
            self.waiting.push_back(event.clone());
        }
    }

    /// Lets an event that waits already stand for this one too.
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
            Event::Service(service) => match self.waiting.back_mut() {
                Some(Event::Service(waiting)) => {
                    *waiting = *service;
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
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
    /// The next event, or `None` once the client has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        futures_util::StreamExt::next(self).await
    }
}
