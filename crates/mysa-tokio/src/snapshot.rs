use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysa_cognito::StoredSession;
use mysa_proto::{Change, DeviceId, DeviceState, Load, LoadCurrent, Model, Power, Source, Watts};
use mysa_session::{ChallengeNeeded, Device, Event, Level, Link, Reason, Service, Session};
use tokio::sync::watch;

use crate::error::NotReady;
use crate::events::{Events, Subscriber, subscription};
use crate::resources::Gauges;
use crate::token_file::TokenFileError;

/// A thermostat of the account, and all that was known of it at one moment. Cheap to clone: what is large is shared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceView {
    /// Its id.
    pub id: DeviceId,
    /// The name its owner gave it.
    pub name: Option<Arc<str>>,
    /// Id of the home it is in.
    pub home: Option<Arc<str>>,
    /// What it is.
    pub model: Model,
    /// Everything it was observed to say, each field with its source and age.
    pub state: Arc<DeviceState>,
    /// How its state comes, if it comes at all.
    pub link: Link,
    /// How long ago it was last heard of, as of [`DeviceView::taken_at`], which may be longer than the client has run.
    /// `None` if never.
    pub heard: Option<Duration>,
    /// Whether nothing was heard of it for longer than it may be silent. What is known of it may no longer hold.
    pub stale: bool,
    /// What was asked of it and has no verdict yet.
    pub pending: Change,
    /// Time since the client was started, on the clock that the ages are counted on.
    pub taken_at: Duration,
    /// When it was last heard of, in milliseconds of the same clock; negative before the start.
    heard_at: Option<i128>,
    /// Number of the session's input that it was made after.
    revision: u64,
}

impl DeviceView {
    fn new(device: &Device, now: Duration, revision: u64, last: Option<&Self>) -> Self {
        Self {
            id: device.id(),
            name: shared(device.name(), last.and_then(|last| last.name.as_ref())),
            home: shared(device.home(), last.and_then(|last| last.home.as_ref())),
            model: device.model().clone(),
            state: Arc::new(device.state().clone()),
            link: device.link(),
            heard: device.heard_ago(now),
            stale: device.is_stale(),
            pending: device.pending(),
            taken_at: now,
            heard_at: heard_at(device, now),
            revision,
        }
    }

    /// Its name, or its id if it has none.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.as_deref().map_or_else(|| self.id.to_string(), str::to_owned)
    }

    /// What it draws, and how that is known. `rated` is the power of the heater as its owner gave it, which thermostats
    /// that do not measure a current need.
    #[must_use]
    pub fn power(&self, rated: Option<Watts>) -> Power {
        let Some(family) = self.model.family() else { return Power::Unknown };
        // A current of message 0 flows now; the REST state tells that of the last time the heater was on.
        let current = self.state.current().map(|field| match field.source {
            Source::Status => LoadCurrent::Live(field.value),
            _ => LoadCurrent::WhileOn(field.value),
        });
        let load = Load {
            current,
            voltage: self.state.voltage().map(|field| field.value),
            duty: self.state.duty().map(|field| field.value),
            relay: self.state.heating().map(|field| field.value),
            rated,
        };
        Power::of(family, &load)
    }
}

/// When it was last heard of, the same whenever it is asked.
fn heard_at(device: &Device, now: Duration) -> Option<i128> {
    let millis = |time: Duration| i128::try_from(time.as_millis()).unwrap_or(i128::MAX);
    device.heard_ago(now).map(|ago| millis(now) - millis(ago))
}

/// The text of the last view again, if it is the same.
fn shared(text: Option<&str>, last: Option<&Arc<str>>) -> Option<Arc<str>> {
    let text = text?;
    Some(last.filter(|last| last.as_ref() == text).map_or_else(|| Arc::from(text), Arc::clone))
}

/// What the driver shows to every handle.
pub(crate) struct Shared {
    pub(crate) gauges: Gauges,
    snapshot: Mutex<Snapshot>,
    changes: watch::Sender<()>,
}

pub(crate) struct Snapshot {
    pub(crate) devices: BTreeMap<DeviceId, DeviceView>,
    pub(crate) service: Service,
    pub(crate) stored: Option<StoredSession>,
    pub(crate) store_failure: Option<Arc<TokenFileError>>,
    challenge: Option<ChallengeNeeded>,
    /// Whoever waited was told that the cloud cannot be reached, and why; to wait again is to wait for other news.
    told_offline: bool,
    closed: bool,
    subscribers: Vec<Subscriber>,
}

impl Snapshot {
    /// Makes a new view of a device, unless there is one from this `revision` of the session already.
    fn refresh(&mut self, id: DeviceId, device: Option<&Device>, now: Duration, revision: u64) {
        let Some(device) = device else {
            self.devices.remove(&id);
            return;
        };
        let last = self.devices.get(&id);
        if last.is_none_or(|last| last.revision != revision) {
            let view = DeviceView::new(device, now, revision, last);
            self.devices.insert(id, view);
        }
    }
}

impl Shared {
    pub(crate) fn new(session: &Session, stored: Option<StoredSession>, gauges: Gauges) -> Self {
        let snapshot = Snapshot {
            devices: BTreeMap::new(),
            service: *session.service(),
            stored,
            store_failure: None,
            challenge: None,
            told_offline: false,
            closed: false,
            subscribers: Vec::new(),
        };
        Self { gauges, snapshot: Mutex::new(snapshot), changes: watch::Sender::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // Every change below is whole by itself.
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.lock())
    }

    /// Takes over what an event says, and passes it on.
    pub(crate) fn publish(&self, session: &Session, now: Duration, revision: u64, event: &Event) {
        let mut snapshot = self.lock();
        match event {
            Event::DeviceAdded { device } | Event::Device { device, .. } | Event::Verdict { device, .. } => {
                snapshot.refresh(*device, session.device(*device), now, revision);
            }
            Event::DeviceRemoved { device } => drop(snapshot.devices.remove(device)),
            Event::Service(service) => {
                snapshot.service = *service;
                snapshot.told_offline = false;
                if service.level != Level::SignInNeeded {
                    snapshot.challenge = None;
                }
            }
            Event::Challenge(challenge) => snapshot.challenge = Some(ChallengeNeeded::clone(challenge)),
            _ => {}
        }
        snapshot.subscribers.retain(|subscriber| subscriber.push(event));
    }

    /// Makes new views of the devices that were heard without saying anything new, so that their ages are right.
    pub(crate) fn refresh_heard(&self, session: &Session, now: Duration, revision: u64) {
        let mut snapshot = self.lock();
        for device in session.devices() {
            let last = snapshot.devices.get(&device.id());
            if last.is_some_and(|last| last.heard_at != heard_at(device, now)) {
                snapshot.refresh(device.id(), Some(device), now, revision);
            }
        }
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
        let mut snapshot = self.lock();
        if snapshot.closed {
            subscriber.end();
        } else {
            snapshot.subscribers.push(subscriber);
        }
        events
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether waiting has come to an end, and how. That the cloud cannot be reached is told once.
    pub(crate) fn readiness(&self) -> Option<Result<(), NotReady>> {
        let mut snapshot = self.lock();
        if snapshot.closed {
            return Some(Err(NotReady::Closed));
        }
        // Tokens that can no longer be renewed do not end a connection that is up: what is heard there is good.
        let heard = || snapshot.devices.values().any(|device| device.heard.is_some() && !device.stale);
        if snapshot.service.level == Level::SignInNeeded && heard() {
            return Some(Ok(()));
        }
        if let Some(challenge) = &snapshot.challenge {
            return Some(Err(NotReady::Challenge(Box::new(challenge.clone()))));
        }
        let Service { level, reason, .. } = snapshot.service;
        match (level, reason) {
            // Answered, and the answer is on its way.
            (Level::SignInNeeded, Reason::ChallengeOpen) => None,
            (Level::SignInNeeded, _) => Some(Err(NotReady::SignInNeeded(reason))),
            (_, Reason::NoDevices) => Some(Ok(())),
            _ if !snapshot.devices.is_empty() => Some(Ok(())),
            (Level::Offline, Reason::Starting) => None,
            (Level::Offline, _) if std::mem::replace(&mut snapshot.told_offline, true) => None,
            (Level::Offline, _) => Some(Err(NotReady::Offline(reason))),
            _ => None,
        }
    }

    pub(crate) fn close(&self) {
        let mut snapshot = self.lock();
        snapshot.closed = true;
        for subscriber in snapshot.subscribers.drain(..) {
            subscriber.end();
        }
        drop(snapshot);
        self.changes.send_replace(());
    }

    pub(crate) async fn closed(&self) {
        let mut changes = self.changes();
        while !self.read(|snapshot| snapshot.closed) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mysa_proto::UnixTime;
    use mysa_session::{Environment, Now, Settings, Start};
    use mysa_sigv4::{Authority, Credentials, PresignedUrl, Presigner, TokenRule};
    use time::OffsetDateTime;

    use super::*;

    /// A client whose refresh token was refused, with a thermostat or without.
    fn refused(device: Option<(Option<Duration>, bool)>) -> Shared {
        let start = Start::Resume { stored: StoredSession::new("ann@example.org", "client"), password: None };
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
        let shared = Shared::new(&session, None, Gauges::default());
        let mut snapshot = shared.lock();
        snapshot.service.level = Level::SignInNeeded;
        if let Some((heard, stale)) = device {
            let id = DeviceId::new("a0b1c2d3e4f6").expect("an id");
            let view = DeviceView {
                id,
                name: None,
                home: None,
                model: Model::parse("BB-V2-0-L"),
                state: Arc::default(),
                link: if stale { Link::Silent } else { Link::Live },
                heard,
                stale,
                pending: mysa_proto::Change::default(),
                taken_at: Duration::ZERO,
                heard_at: None,
                revision: 0,
            };
            snapshot.devices.insert(id, view);
        }
        drop(snapshot);
        shared
    }

    #[test]
    fn a_view_is_made_once_for_each_input_and_handed_out_without_a_copy() {
        let id = DeviceId::new("a0b1c2d3e4f6").expect("an id");
        let start = Start::Captured { url: captured(), devices: vec![(id, Model::parse("BB-V2-0-L"))] };
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
        let shared = Shared::new(&session, None, Gauges::default());
        let event =
            Event::Device { device: id, changes: mysa_proto::Changes::default(), about: true, skipped: 0 };
        shared.publish(&session, now.mono, 1, &event);
        let allocations = |work: &dyn Fn()| allocation_counter::measure(work).count_total;
        assert_eq!(allocations(&|| shared.publish(&session, now.mono, 1, &event)), 0, "nothing is new");
        assert_eq!(allocations(&|| shared.refresh_heard(&session, now.mono, 2)), 0, "nothing was heard");
        assert!(
            allocations(&|| shared.publish(&session, now.mono, 2, &event)) <= 3,
            "a state that is shared"
        );
        let look = || drop(shared.read(|snapshot| snapshot.devices.get(&id).cloned()));
        assert_eq!(allocations(&look), 0);
    }

    fn captured() -> PresignedUrl {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None);
        let authority = Authority::new("broker.example.org", None).expect("a host");
        let time = OffsetDateTime::from_unix_timestamp(1_767_323_045).expect("a time");
        Presigner::iot("us-east-1")
            .presign(&credentials, &authority, "/mqtt", time, None, TokenRule::AfterSigning)
            .expect("a URL")
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
