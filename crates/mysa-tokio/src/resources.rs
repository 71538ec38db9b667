use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Resources of the host that a client holds at one moment. Each number has a bound that no peer can raise.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Resources {
    /// TCP sockets, including those that are connecting. An account uses one WebSocket, a second one while a connection
    /// is replaced or closed, and a few pooled HTTP connections.
    pub sockets: usize,
    /// Tasks that hold a connection or an HTTP request. Each has a fixed number of timers.
    pub tasks: usize,
    /// Bytes that wait to be written to WebSockets. At most 256 KiB per connection.
    pub bytes_to_send: usize,
    /// Bytes that were received on WebSockets and not processed yet. At most 1 MiB per connection.
    pub bytes_received: usize,
}

/// Counters behind [`Resources`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) sockets: Gauge,
    pub(crate) tasks: Gauge,
    pub(crate) to_send: Gauge,
    pub(crate) received: Gauge,
}

impl Gauges {
    pub(crate) fn read(&self) -> Resources {
        Resources {
            sockets: self.sockets.read(),
            tasks: self.tasks.read(),
            bytes_to_send: self.to_send.read(),
            bytes_received: self.received.read(),
        }
    }
}

/// Counter that rises while something is held, and falls when it is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<AtomicUsize>);

impl Gauge {
    pub(crate) fn hold(&self, amount: usize) -> Held {
        self.0.fetch_add(amount, Ordering::Relaxed);
        Held { gauge: self.clone(), amount }
    }

    fn read(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Amount held in a [`Gauge`].
#[derive(Debug)]
pub(crate) struct Held {
    gauge: Gauge,
    amount: usize,
}

impl Held {
    pub(crate) const fn amount(&self) -> usize {
        self.amount
    }

    /// Changes the amount.
    pub(crate) fn set(&mut self, amount: usize) {
        if amount > self.amount {
            self.gauge.0.fetch_add(amount - self.amount, Ordering::Relaxed);
        } else {
            self.gauge.0.fetch_sub(self.amount - amount, Ordering::Relaxed);
        }
        self.amount = amount;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}
