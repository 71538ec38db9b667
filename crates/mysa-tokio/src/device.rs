use std::time::Duration;

use mysa_proto::{Change, DeviceId, DeviceState, Model};
use mysa_session::Device;

/// A thermostat of the account, and all that was known of it at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceView {
    /// Its id.
    pub id: DeviceId,
    /// The name its owner gave it.
    pub name: Option<String>,
    /// Id of the home it is in.
    pub home: Option<String>,
    /// What it is.
    pub model: Model,
    /// Everything it was observed to say, each field with its source and age.
    pub state: DeviceState,
    /// How long ago it was last heard of, as of [`DeviceView::taken_at`]. `None` if never.
    pub heard: Option<Duration>,
    /// Whether nothing was heard of it for longer than it may be silent. What is known of it may no longer hold.
    pub stale: bool,
    /// What was asked of it and has no verdict yet.
    pub pending: Change,
    /// Time since the client was started, on the clock that the ages are counted on.
    pub taken_at: Duration,
}

impl DeviceView {
    pub(crate) fn of(device: &Device, now: Duration) -> Self {
        Self {
            id: device.id(),
            name: device.name().map(str::to_owned),
            home: device.home().map(str::to_owned),
            model: device.model().clone(),
            state: device.state().clone(),
            heard: device.heard().map(|heard| now.saturating_sub(heard)),
            stale: device.is_stale(),
            pending: device.pending(),
            taken_at: now,
        }
    }

    /// Its name, or its id if it has none.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_string())
    }
}
