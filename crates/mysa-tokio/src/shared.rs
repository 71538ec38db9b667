use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysa_cognito::StoredSession;
use mysa_proto::DeviceId;
use mysa_session::{ChallengeNeeded, Device, Event, Level, Reason, Service, Session};
use tokio::sync::watch;

use crate::client::NotReady;
use crate::device::DeviceView;
use crate::events::{Events, Subscriber, subscription};
use crate::resources::Gauges;
use crate::token_file::TokenFileError;

/// What the driver knows and every handle may look at.
pub(crate) struct Shared {
    pub(crate) gauges: Gauges,
    known: Mutex<Known>,
    changes: watch::Sender<()>,
}

pub(crate) struct Known {
    pub(crate) devices: BTreeMap<DeviceId, DeviceView>,
    pub(crate) service: Service,
    pub(crate) stored: Option<StoredSession>,
    pub(crate) store_failure: Option<Arc<TokenFileError>>,
    challenge: Option<ChallengeNeeded>,
    /// Whoever waited was told that the cloud cannot be reached, and why; to wait again is to wait for other news.
    told_offline: bool,
    ended: bool,
    subscribers: Vec<Subscriber>,
}

impl Known {
    fn look_at(&mut self, id: DeviceId, device: Option<&Device>, now: Duration) {
        match device {
            Some(device) => drop(self.devices.insert(id, DeviceView::of(device, now))),
            None => drop(self.devices.remove(&id)),
        }
    }
}

impl Shared {
    pub(crate) fn new(session: &Session, stored: Option<StoredSession>, gauges: Gauges) -> Self {
        let known = Known {
            devices: BTreeMap::new(),
            service: *session.service(),
            stored,
            store_failure: None,
            challenge: None,
            told_offline: false,
            ended: false,
            subscribers: Vec::new(),
        };
        Self { gauges, known: Mutex::new(known), changes: watch::Sender::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change below is whole by itself.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.lock())
    }

    /// Takes over what an event says, and passes it on.
    pub(crate) fn publish(&self, session: &Session, now: Duration, event: &Event) {
        let mut known = self.lock();
        match event {
            Event::DeviceAdded { device } | Event::Device { device, .. } | Event::Verdict { device, .. } => {
                known.look_at(*device, session.device(*device), now);
            }
            Event::DeviceRemoved { device } => drop(known.devices.remove(device)),
            Event::Service(service) => {
                known.service = *service;
                known.told_offline = false;
                if service.level != Level::SignInNeeded {
                    known.challenge = None;
                }
            }
            Event::Challenge(challenge) => known.challenge = Some(ChallengeNeeded::clone(challenge)),
            _ => {}
        }
        known.subscribers.retain(|subscriber| subscriber.push(event));
    }

    /// Wakes whoever waits for something to be different.
    pub(crate) fn announce(&self) {
        self.changes.send_replace(());
    }

    /// A session that cannot be kept is no reason to end; it is remembered for whoever asks.
    pub(crate) fn note_store(&self, failure: Option<TokenFileError>) {
        self.lock().store_failure = failure.map(Arc::new);
    }

    pub(crate) fn set_stored(&self, stored: Option<StoredSession>) {
        self.lock().stored = stored;
    }

    pub(crate) fn answered(&self) {
        self.lock().challenge = None;
    }

    pub(crate) fn subscribe(&self) -> Events {
        let (subscriber, events) = subscription();
        let mut known = self.lock();
        if known.ended {
            subscriber.end();
        } else {
            known.subscribers.push(subscriber);
        }
        events
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether waiting has come to an end, and how. That the cloud cannot be reached is told once.
    pub(crate) fn readiness(&self) -> Option<Result<(), NotReady>> {
        let mut known = self.lock();
        if known.ended {
            return Some(Err(NotReady::Ended));
        }
        // Tokens that can no longer be renewed do not end a connection that is up: what is heard there is good.
        let heard = || known.devices.values().any(|device| device.heard.is_some() && !device.stale);
        if known.service.level == Level::SignInNeeded && heard() {
            return Some(Ok(()));
        }
        if let Some(challenge) = &known.challenge {
            return Some(Err(NotReady::Challenge(Box::new(challenge.clone()))));
        }
        let Service { level, reason, .. } = known.service;
        match (level, reason) {
            // Answered, and the answer is on its way.
            (Level::SignInNeeded, Reason::ChallengeOpen) => None,
            (Level::SignInNeeded, _) => Some(Err(NotReady::SignInNeeded(reason))),
            (_, Reason::NoDevices) => Some(Ok(())),
            _ if !known.devices.is_empty() => Some(Ok(())),
            (Level::Offline, Reason::Starting) => None,
            (Level::Offline, _) if std::mem::replace(&mut known.told_offline, true) => None,
            (Level::Offline, _) => Some(Err(NotReady::Offline(reason))),
            _ => None,
        }
    }

    pub(crate) fn end(&self) {
        let mut known = self.lock();
        known.ended = true;
        for subscriber in known.subscribers.drain(..) {
            subscriber.end();
        }
        drop(known);
        self.changes.send_replace(());
    }

    pub(crate) async fn ended(&self) {
        let mut changes = self.changes();
        while !self.read(|known| known.ended) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mysa_proto::{DeviceState, Model, UnixTime};
    use mysa_session::{Environment, Now, Settings, Start};

    use super::*;

    /// A client whose refresh token was refused, with a thermostat or without.
    fn refused(device: Option<(Option<Duration>, bool)>) -> Shared {
        let start = Start::Resume { stored: StoredSession::new("ann@example.org", "client"), password: None };
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
        let shared = Shared::new(&session, None, Gauges::default());
        let mut known = shared.lock();
        known.service.level = Level::SignInNeeded;
        if let Some((heard, stale)) = device {
            let id = DeviceId::new("a0b1c2d3e4f6").expect("an id");
            let view = DeviceView {
                id,
                name: None,
                home: None,
                model: Model::parse("BB-V2-0-L"),
                state: DeviceState::new(),
                heard,
                stale,
                pending: mysa_proto::Change::default(),
                taken_at: Duration::ZERO,
            };
            known.devices.insert(id, view);
        }
        drop(known);
        shared
    }

    #[test]
    fn a_client_that_still_hears_its_thermostats_is_ready_though_a_sign_in_is_due() {
        let ready = |device| refused(device).readiness().map(|ready| ready.is_ok());
        assert_eq!(
            ready(Some((Some(Duration::ZERO), false))),
            Some(true),
            "heard on a connection that is up"
        );
        assert_eq!(ready(Some((Some(Duration::ZERO), true))), Some(false), "heard, but not for long");
        assert_eq!(ready(Some((None, false))), Some(false), "never heard");
        assert_eq!(ready(None), Some(false), "not even listed");
    }
}
