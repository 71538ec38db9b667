use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use mysa_proto::{Change, DeviceId};
use mysa_session::Verdict;
use tokio::sync::{mpsc, oneshot};

use crate::driver::Request;
use crate::error::Error;

/// Command that is sent when it is awaited.
#[must_use = "a command is sent when it is awaited"]
pub struct Pending {
    requests: mpsc::Sender<Request>,
    device: DeviceId,
    change: Change,
    deadline: Option<Duration>,
    not_after: Option<Duration>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("change", &self.change).finish_non_exhaustive()
    }
}

impl Pending {
    pub(crate) fn new(requests: mpsc::Sender<Request>, device: DeviceId, change: Change) -> Self {
        Self { requests, device, change, deadline: None, not_after: None }
    }

    /// Sets the time limit of the command. Default: [`Settings::command_deadline`](crate::Settings::command_deadline).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets the time, as [`Monitor::elapsed`](crate::Monitor::elapsed) counts it, after which no byte of the command is
    /// sent. [`Pending::deadline`] counts from the moment at which the client takes the command, so a process that is
    /// stopped before that moment has the whole time left; this time does not move.
    pub fn not_after(mut self, elapsed: Duration) -> Self {
        self.not_after = Some(elapsed);
        self
    }
}

impl IntoFuture for Pending {
    type Output = Result<Verdict, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (verdict, answer) = oneshot::channel();
            let Self { requests, device, change, deadline, not_after } = self;
            let request = Request::Command { device, change, deadline, not_after, verdict };
            requests.send(request).await.map_err(|_| Error::Closed)?;
            answer.await.map_err(|_| Error::Closed)?.map_err(Error::from)
        })
    }
}

/// Commands to several thermostats, one verdict each, in the order in which they are decided.
///
/// The futures may be dropped at any time: no verdict is lost, and the next call continues. The first call hands over
/// all commands at once; they continue even if this value is dropped, and their verdicts still arrive as events.
#[must_use = "nothing is sent before the first verdict is awaited"]
pub struct PendingMany {
    requests: mpsc::Sender<Request>,
    change: Change,
    deadline: Option<Duration>,
    /// Thermostats without a verdict.
    open: Vec<DeviceId>,
    verdicts: Option<mpsc::UnboundedReceiver<(DeviceId, Result<Verdict, Error>)>>,
}

impl fmt::Debug for PendingMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingMany")
            .field("change", &self.change)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl PendingMany {
    pub(crate) fn new(requests: mpsc::Sender<Request>, devices: &[DeviceId], change: Change) -> Self {
        let mut open = Vec::with_capacity(devices.len());
        for device in devices {
            if !open.contains(device) {
                open.push(*device);
            }
        }
        Self { requests, change, deadline: None, open, verdicts: None }
    }

    /// Sets the time limit of the first command; each further one has
    /// [`Settings::device_spacing`](crate::Settings::device_spacing) more. Default:
    /// [`Settings::command_deadline`](crate::Settings::command_deadline).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Returns the next verdict, or `None` once every thermostat has one. The error is [`Error::Busy`] or
    /// [`Error::Closed`] if a command was not handed over.
    pub async fn next(&mut self) -> Option<(DeviceId, Result<Verdict, Error>)> {
        if self.open.is_empty() {
            return None;
        }
        if self.verdicts.is_none()
            // A slot is reserved first: if this future is dropped while waiting, nothing was handed over yet.
            && let Ok(place) = self.requests.reserve().await
        {
            let (verdicts, receiver) = mpsc::unbounded_channel();
            let Self { change, deadline, .. } = *self;
            place.send(Request::CommandMany { devices: self.open.clone(), change, deadline, verdicts });
            self.verdicts = Some(receiver);
        }
        let next = match &mut self.verdicts {
            Some(verdicts) => verdicts.recv().await,
            None => None,
        };
        match next {
            Some((device, verdict)) => {
                self.open.retain(|open| *open != device);
                Some((device, verdict))
            }
            // The driver has ended without deciding the rest.
            None => self.open.pop().map(|device| (device, Err(Error::Closed))),
        }
    }

    /// Waits for all verdicts and returns them.
    pub async fn all(mut self) -> Vec<(DeviceId, Result<Verdict, Error>)> {
        let mut all = Vec::with_capacity(self.open.len());
        while let Some(next) = self.next().await {
            all.push(next);
        }
        all
    }
}
