//! Stream of events: JSON lines on standard output, written by a thread of its own.
//!
//! A reader that is slow or stops reading holds up that thread alone. The queue to it is bounded; while it is full, the
//! accounts wait with their events, and each client merges what it has to report, so that the latest state is not lost.

use std::io;

use mysa_proto::UnixTime;
use tokio::sync::{mpsc, oneshot};

#[cfg(feature = "nats")]
use super::events::Publisher;
use crate::output::record::{self, Record};
use crate::output::timefmt;

/// Maximum number of lines that wait for the reader.
const CAPACITY: usize = 1_024;

/// Sender of lines. Cheap to clone; the thread ends with the last one.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    lines: mpsc::Sender<String>,
    /// Events for other machines.
    #[cfg(feature = "nats")]
    publisher: Option<std::sync::Arc<Publisher>>,
}

/// Reason why the thread has ended: all lines are written, or the reader is gone.
pub(super) type Ended = oneshot::Receiver<io::Result<()>>;

impl Stream {
    /// Starts the thread.
    pub(super) fn open() -> io::Result<(Self, Ended)> {
        Self::open_to(io::stdout())
    }

    fn open_to(mut out: impl io::Write + Send + 'static) -> io::Result<(Self, Ended)> {
        let (lines, mut waiting) = mpsc::channel::<String>(CAPACITY);
        let (end, ended) = oneshot::channel();
        let mut write = move || {
            let mut buffer = Vec::new();
            while let Some(line) = waiting.blocking_recv() {
                buffer.clear();
                buffer.extend_from_slice(line.as_bytes());
                // Lines that wait are written at once, and flushed, so that a reader behind a pipe gets them.
                while let Ok(line) = waiting.try_recv() {
                    buffer.extend_from_slice(line.as_bytes());
                }
                out.write_all(&buffer)?;
                out.flush()?;
            }
            Ok(())
        };
        std::thread::Builder::new().name("events".into()).spawn(move || drop(end.send(write())))?;
        let stream = Self {
            lines,
            #[cfg(feature = "nats")]
            publisher: None,
        };
        Ok((stream, ended))
    }

    /// Gives the events to a publisher too.
    #[cfg(feature = "nats")]
    pub(super) fn publish_to(&mut self, publisher: std::sync::Arc<Publisher>) {
        self.publisher = Some(publisher);
    }

    /// Publishes an event. Does not wait.
    fn publish(&self, event: &Record) {
        #[cfg(feature = "nats")]
        if let Some(publisher) = &self.publisher {
            publisher.take(event);
        }
        #[cfg(not(feature = "nats"))]
        let _ = event;
    }

    /// Writes an event. Waits while the queue is full; has no effect after the reader is gone.
    pub(super) async fn send(&self, event: &Record) {
        self.publish(event);
        let _ = self.lines.send(format!("{}\n", event.to_json())).await;
    }

    /// Writes an event if there is room for it.
    pub(super) fn offer(&self, event: &Record) {
        self.publish(event);
        let _ = self.lines.try_send(format!("{}\n", event.to_json()));
    }
}

/// Starts an event of an account.
pub(super) fn event(name: &str, account: &str) -> Record {
    event_at(name, account, timefmt::now())
}

fn event_at(name: &str, account: &str, now: UnixTime) -> Record {
    let mut record = record::document();
    record.put("event", name).put("time", timefmt::iso(now)).put("account", account);
    record
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar, Mutex};

    use super::*;

    /// Writer that waits until it is opened, and then keeps what it gets.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Written>, Condvar)>);

    #[derive(Default)]
    struct Written {
        is_open: bool,
        bytes: Vec<u8>,
    }

    impl Gate {
        fn open(&self) {
            self.0.0.lock().unwrap().is_open = true;
            self.0.1.notify_all();
        }
    }

    impl io::Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let guard = self.0.0.lock().unwrap();
            let mut guard = self.0.1.wait_while(guard, |written| !written.is_open).unwrap();
            guard.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_stops_fills_a_bounded_queue_and_loses_nothing_of_it() {
        let gate = Gate::default();
        let (stream, ended) = Stream::open_to(gate.clone()).unwrap();
        let mut sent = 0;
        // The thread holds at most one batch beside the queue.
        while sent < 3 * CAPACITY && stream.lines.try_send(format!("{sent}\n")).is_ok() {
            sent += 1;
            tokio::task::yield_now().await;
        }
        assert!((CAPACITY..3 * CAPACITY).contains(&sent), "{sent}");
        gate.open();
        drop(stream);
        ended.await.unwrap().unwrap();
        let written = String::from_utf8(gate.0.0.lock().unwrap().bytes.clone()).unwrap();
        let expected: Vec<String> = (0..sent).map(|number| number.to_string()).collect();
        assert_eq!(written.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        let mut event = event_at("device", "a", UnixTime::from_secs(1_767_323_045));
        event.put("name", "Hall\n\u{1b}[2J\u{202e}");
        let line = event.to_json();
        assert!(!line.contains(['\n', '\u{1b}', '\u{202e}']), "{line}");
        assert!(line.starts_with(r#"{"schema":1,"event":"device","time":"2026-01-02T"#), "{line}");
    }
}
