use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mysa_sim::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::control::event_json;

/// Events of the cloud for all subscribers.
pub(crate) struct Feed {
    inner: Mutex<Inner>,
}

struct Inner {
    sender: broadcast::Sender<Arc<Entry>>,
    /// The last events, for subscribers that begin in the past.
    recent: VecDeque<Arc<Entry>>,
    last: u64,
}

/// An event with its number, from 1.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) event: Event,
    /// The event as one line of JSON.
    pub(crate) json: String,
}

/// Maximum number of events that wait for a subscriber. A slower one loses the oldest.
const QUEUE: usize = 1_024;
/// Number of past events that are kept.
const RECENT: usize = 256;

impl Default for Feed {
    fn default() -> Self {
        let (sender, _) = broadcast::channel(QUEUE);
        Self { inner: Mutex::new(Inner { sender, recent: VecDeque::new(), last: 0 }) }
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before the next can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, event: Event) {
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        let entry = Arc::new(Entry { number, json: event_json(number, &event), event });
        if inner.recent.len() == RECENT {
            inner.recent.pop_front();
        }
        inner.recent.push_back(Arc::clone(&entry));
        // An error only means that there are no subscribers.
        let _ = inner.sender.send(entry);
    }

    /// Subscribes to future events, and returns the kept events after this number, if one is given.
    pub(crate) fn subscribe(&self, since: Option<u64>) -> (Vec<Arc<Entry>>, broadcast::Receiver<Arc<Entry>>) {
        let inner = self.lock();
        let since = since.unwrap_or(u64::MAX);
        let past = inner.recent.iter().filter(|entry| entry.number > since).cloned().collect();
        (past, inner.sender.subscribe())
    }

    /// Number of the last event.
    pub(crate) fn last(&self) -> u64 {
        self.lock().last
    }
}

/// The events of a cloud, from [`Server::events`](crate::Server::events).
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: broadcast::Receiver<Arc<Entry>>,
}

/// An item of [`Events`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// Something happened.
    Event(Box<Event>),
    /// This many events were lost, because the reader was too slow. At most 1024 wait.
    Lost(u64),
}

impl Events {
    /// The next event, as soon as there is one; `None` after the server was dropped.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.receiver.recv().await {
            Ok(entry) => Some(Notice::Event(Box::new(entry.event.clone()))),
            Err(RecvError::Lagged(count)) => Some(Notice::Lost(count)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next event as one line of JSON, as the control endpoint sends it; `None` after the server was dropped.
    pub async fn next_json(&mut self) -> Option<String> {
        match self.receiver.recv().await {
            Ok(entry) => Some(entry.json.clone()),
            Err(RecvError::Lagged(count)) => Some(lost_json(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// The line that reports lost events.
pub(crate) fn lost_json(count: u64) -> String {
    format!("{{\"event\":\"lost\",\"count\":{count}}}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mysa_proto::UnixTime;
    use mysa_sim::{CloudSpec, Now};

    use super::*;

    fn some_event() -> Event {
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let mut cloud = mysa_sim::Cloud::new(CloudSpec::demo(), 1, now);
        cloud.record_events(true);
        cloud.act(now, mysa_sim::Incident::ExpireTokens);
        cloud.poll_event().unwrap()
    }

    #[tokio::test]
    async fn a_slow_subscriber_loses_the_oldest_events_and_gets_their_count() {
        let feed = Feed::default();
        let mut events = Events { receiver: feed.subscribe(None).1 };
        for _ in 0..1_030 {
            feed.publish(some_event());
        }
        assert_eq!(events.next().await, Some(Notice::Lost(6)));
        let json = events.next_json().await.unwrap();
        assert!(json.contains("\"number\":7,"), "{json}");
        assert_eq!(events.next().await, Some(Notice::Event(Box::new(some_event()))));
        drop(feed);
        let mut left = 0;
        while events.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, 1_022);
    }

    #[test]
    fn a_subscriber_may_begin_in_the_past() {
        let feed = Feed::default();
        for _ in 0..300 {
            feed.publish(some_event());
        }
        let numbers = |since| feed.subscribe(since).0.iter().map(|entry| entry.number).collect::<Vec<_>>();
        assert_eq!(numbers(Some(298)), [299, 300]);
        assert_eq!(numbers(Some(0)).len(), RECENT);
        assert_eq!((numbers(None), feed.last()), (Vec::new(), 300));
    }
}
