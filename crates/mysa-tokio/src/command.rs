use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use mysa_proto::{Change, DeviceId};
use mysa_session::Verdict;
use tokio::sync::{mpsc, oneshot};

use crate::driver::Request;
use crate::error::Error;

/// A command that waits to be awaited.
#[must_use = "a command is sent when it is awaited"]
pub struct Pending {
    requests: mpsc::Sender<Request>,
    device: DeviceId,
    change: Change,
    deadline: Option<Duration>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("change", &self.change).finish_non_exhaustive()
    }
}

impl Pending {
    pub(crate) fn new(requests: mpsc::Sender<Request>, device: DeviceId, change: Change) -> Self {
        Self { requests, device, change, deadline: None }
    }

    /// How long the command may take until its verdict; the default is the session's.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

impl IntoFuture for Pending {
    type Output = Result<Verdict, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (verdict, answer) = oneshot::channel();
            let Self { requests, device, change, deadline } = self;
            let request = Request::Command { device, change, deadline, verdict };
            requests.send(request).await.map_err(|_| Error::Closed)?;
            answer.await.map_err(|_| Error::Closed)?.map_err(Error::from)
        })
    }
}

/// One change for several thermostats, with one verdict each, in the order in which they are decided.
///
/// Its futures may be dropped at any moment: no verdict is lost, and the next call goes on. Commands that were handed
/// over, which the first call does for all at once, go on even if this is dropped; their verdicts still come as events.
#[must_use = "nothing is sent before the first verdict is awaited"]
pub struct PendingMany {
    requests: mpsc::Sender<Request>,
    change: Change,
    deadline: Option<Duration>,
    /// Those that have no verdict yet.
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

    /// How long the commands may take until their verdicts; the default is the session's.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The next verdict, or `None` once there is one for each thermostat. The error of one that was not asked is
    /// [`Error::Busy`] or [`Error::Closed`].
    pub async fn next(&mut self) -> Option<(DeviceId, Result<Verdict, Error>)> {
        if self.open.is_empty() {
            return None;
        }
        if self.verdicts.is_none()
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
            None => self.open.pop().map(|device| (device, Err(Error::Closed))),
        }
    }

    /// Every verdict, once all are there.
    pub async fn all(mut self) -> Vec<(DeviceId, Result<Verdict, Error>)> {
        let mut all = Vec::with_capacity(self.open.len());
        while let Some(next) = self.next().await {
            all.push(next);
        }
        all
    }
}
