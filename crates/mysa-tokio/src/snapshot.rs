use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mysa_cognito::StoredSession;
use mysa_proto::{
    Change, DeviceId, DeviceState, DutyCycle, Family, Field, Limits, Load, LoadCurrent, Model, Power, Source,
    Watts,
};
use mysa_session::{ChallengeNeeded, Device, Event, Level, Link, Reason, RecordFacts, Service, Session};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::NotReady;
use crate::events::{Events, Subscriber, subscription};
use crate::resources::Gauges;
use crate::token_file::TokenFileError;

/// Snapshot of a thermostat of the account. It does not change while the application holds it. Cheap to clone, because large
/// parts are shared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceView {
    /// Device id.
    pub id: DeviceId,
    /// Name that the owner gave to the thermostat.
    pub name: Option<Arc<str>>,
    /// Id of the home.
    pub home: Option<Arc<str>>,
    /// Model by the most reliable evidence.
    pub model: Model,
    /// Model in the thermostat's record.
    pub record_model: Model,
    /// Limits and line voltage in the thermostat's record.
    pub record: Arc<RecordFacts>,
    /// State: every field observed so far, with its source and age.
    pub state: Arc<DeviceState>,
    /// Source of its state.
    pub link: Link,
    /// Time from the latest sign of life to [`DeviceView::taken_at`]; it may be longer than the client has run. `None`
    /// if there was none.
    pub last_seen_ago: Option<Duration>,
    /// `true` if there was no sign of life for longer than the allowed silence. The state may be outdated.
    pub stale: bool,
    /// Requested fields that have no verdict yet.
    pub pending: Change,
    /// Time of the snapshot since the start of the client, on the clock that ages are counted on.
    pub taken_at: Duration,
    /// Time of the latest sign of life in milliseconds on the same clock; negative before the start.
    last_seen_at: Option<i128>,
    /// Revision of the session that the snapshot was made from.
    revision: u64,
}

impl DeviceView {
    fn new(device: &Device, now: Duration, revision: u64) -> Self {
        Self {
            id: device.id(),
            name: device.name().map(Arc::from),
            home: device.home().map(Arc::from),
            model: device.model().clone(),
            record_model: device.record_model().clone(),
            record: Arc::clone(device.record()),
            state: Arc::new(device.state().clone()),
            link: device.link(),
            last_seen_ago: device.last_seen_ago(now),
            stale: device.is_stale(),
            pending: device.pending(),
            taken_at: now,
            last_seen_at: last_seen_at(device, now),
            revision,
        }
    }

    /// Brings the view up to date. Without allocation, unless a text or the set of known fields changed, or the
    /// application holds the state.
    fn update(&mut self, device: &Device, now: Duration, revision: u64) {
        update_text(&mut self.name, device.name());
        update_text(&mut self.home, device.home());
        update(&mut self.model, device.model());
        update(&mut self.record_model, device.record_model());
        if !Arc::ptr_eq(&self.record, device.record()) {
            self.record = Arc::clone(device.record());
        }
        // A state that the application holds stays as it is.
        match Arc::get_mut(&mut self.state) {
            Some(state) => state.clone_from(device.state()),
            None => self.state = Arc::new(device.state().clone()),
        }
        self.link = device.link();
        self.last_seen_ago = device.last_seen_ago(now);
        self.stale = device.is_stale();
        self.pending = device.pending();
        self.taken_at = now;
        self.last_seen_at = last_seen_at(device, now);
        self.revision = revision;
    }

    /// Returns the name of the thermostat, or its id if it has none.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.as_deref().map_or_else(|| self.id.to_string(), str::to_owned)
    }

    /// Returns the limits for commands in the present state.
    #[must_use]
    pub fn limits(&self) -> Limits<'_> {
        self.record.limits(&self.state)
    }

    /// Returns the duty cycle as reported, or 0 or 1 by the relay of in-floor heating. `None` if neither is known.
    #[must_use]
    pub fn duty(&self) -> Option<Field<DutyCycle>> {
        let field = self.state.heating().filter(|_| self.model.family() == Some(Family::InFloor));
        let relay = field.and_then(|field| {
            let value = DutyCycle::from_fraction(if field.value { 1.0 } else { 0.0 })?;
            Some(field.with(value))
        });
        relay.or(self.state.duty())
    }

    /// Returns the power draw and how it is known. `rated` is the heater's power as given by its owner, needed for
    /// thermostats that do not measure the current.
    #[must_use]
    pub fn power(&self, rated: Option<Watts>) -> Power {
        let Some(family) = self.model.family() else { return Power::Unknown };
        // A current from message 0 flows now; the one in REST is that of the last time the heater was on.
        let current = self.state.current().map(|field| match field.source {
            Source::Status => LoadCurrent::Live(field.value),
            _ => LoadCurrent::WhileOn(field.value),
        });
        let load = Load {
            current,
            voltage: self.state.voltage().map(|field| field.value).or(self.record.line_voltage),
            duty: self.state.duty().map(|field| field.value),
            relay: self.state.heating().map(|field| field.value),
            rated,
        };
        Power::of(family, &load)
    }
}

/// Returns the time of the latest sign of life, which does not depend on `now`.
fn last_seen_at(device: &Device, now: Duration) -> Option<i128> {
    let millis = |time: Duration| i128::try_from(time.as_millis()).unwrap_or(i128::MAX);
    device.last_seen_ago(now).map(|ago| millis(now) - millis(ago))
}

fn update_text(shown: &mut Option<Arc<str>>, text: Option<&str>) {
    if shown.as_deref() != text {
        *shown = text.map(Arc::from);
    }
}

fn update<T: Clone + PartialEq>(shown: &mut T, value: &T) {
    if shown != value {
        shown.clone_from(value);
    }
}

/// State that the driver shares with every handle.
pub(crate) struct Shared {
    pub(crate) gauges: Gauges,
    pub(crate) clock: Clock,
    snapshot: Mutex<Snapshot>,
    changes: watch::Sender<()>,
}

pub(crate) struct Snapshot {
    pub(crate) devices: BTreeMap<DeviceId, DeviceView>,
    pub(crate) service: Service,
    pub(crate) stored: Option<StoredSession>,
    pub(crate) store_failure: Option<Arc<TokenFileError>>,
    challenge: Option<ChallengeNeeded>,
    /// `true` once a waiter got the result that the cloud cannot be reached; waiting again then means waiting
    /// for another result.
    offline_reported: bool,
    closed: bool,
    subscribers: Vec<Subscriber>,
}

impl Snapshot {
    /// Makes a new view of a device, unless one of this `revision` exists.
    fn refresh(&mut self, id: DeviceId, device: Option<&Device>, now: Duration, revision: u64) {
        let Some(device) = device else {
            self.devices.remove(&id);
            return;
        };
        match self.devices.entry(id) {
            Entry::Vacant(entry) => drop(entry.insert(DeviceView::new(device, now, revision))),
            // Several events of one input share a view, which saves a copy of the state.
            Entry::Occupied(mut entry) if entry.get().revision != revision => {
                entry.get_mut().update(device, now, revision);
            }
            Entry::Occupied(_) => {}
        }
    }
}

impl Shared {
    pub(crate) fn new(
        session: &Session,
        stored: Option<StoredSession>,
        gauges: Gauges,
        clock: Clock,
    ) -> Self {
        let snapshot = Snapshot {
            devices: BTreeMap::new(),
            service: *session.service(),
            stored,
            store_failure: None,
            challenge: None,
            offline_reported: false,
            closed: false,
            subscribers: Vec::new(),
        };
        Self { gauges, clock, snapshot: Mutex::new(snapshot), changes: watch::Sender::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // Every change under the lock is complete by itself, so a panic leaves nothing inconsistent.
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.lock())
    }

    /// Applies an event to the snapshot and passes it on to the subscribers.
    pub(crate) fn publish(&self, session: &Session, now: Duration, revision: u64, event: &Event) {
        let mut snapshot = self.lock();
        snapshot.service.no_source_since = session.service().no_source_since;
        match event {
            Event::DeviceAdded { device } | Event::Device { device, .. } | Event::Verdict { device, .. } => {
                snapshot.refresh(*device, session.device(*device), now, revision);
            }
            Event::DeviceRemoved { device } => drop(snapshot.devices.remove(device)),
            Event::Service(service) => {
                snapshot.service = *service;
                // A new level or reason is worth reporting again.
                snapshot.offline_reported = false;
                // Any other level means that the challenge was answered or replaced.
                if service.level != Level::SignInNeeded {
                    snapshot.challenge = None;
                }
            }
            Event::Challenge(challenge) => snapshot.challenge = Some(ChallengeNeeded::clone(challenge)),
            _ => {}
        }
        snapshot.subscribers.retain(|subscriber| subscriber.push(event));
    }

    /// Makes new views of the devices that sent a message without new values, so their ages are right.
    pub(crate) fn refresh_last_seen(&self, session: &Session, now: Duration, revision: u64) {
        let mut snapshot = self.lock();
        for device in session.devices() {
            let last = snapshot.devices.get(&device.id());
            if last.is_some_and(|last| last.last_seen_at != last_seen_at(device, now)) {
                snapshot.refresh(device.id(), Some(device), now, revision);
            }
        }
    }

    /// Wakes every waiter.
    pub(crate) fn announce(&self) {
        self.changes.send_replace(());
    }

    /// Records the outcome of a store for [`Monitor::store_failure`](crate::Monitor::store_failure). A failure does not
    /// end the client.
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

    /// Returns the result of waiting for readiness, if there is one. An unreachable cloud is reported once.
    pub(crate) fn readiness(&self) -> Option<Result<(), NotReady>> {
        let mut snapshot = self.lock();
        if snapshot.closed {
            return Some(Err(NotReady::Closed));
        }
        // Tokens that can no longer be renewed do not end a connection that is up, and its messages are valid.
        let has_reported =
            || snapshot.devices.values().any(|device| device.last_seen_ago.is_some() && !device.stale);
        if snapshot.service.level == Level::SignInNeeded && has_reported() {
            return Some(Ok(()));
        }
        if let Some(challenge) = &snapshot.challenge {
            return Some(Err(NotReady::Challenge(Box::new(challenge.clone()))));
        }
        let Service { level, reason, .. } = snapshot.service;
        match (level, reason) {
            // The challenge is answered, and the answer is being sent.
            (Level::SignInNeeded, Reason::ChallengeOpen) => None,
            (Level::SignInNeeded, _) => Some(Err(NotReady::SignInNeeded(reason))),
            (_, Reason::NoDevices) => Some(Ok(())),
            _ if !snapshot.devices.is_empty() => Some(Ok(())),
            (Level::Offline, Reason::Starting) => None,
            (Level::Offline, _) if std::mem::replace(&mut snapshot.offline_reported, true) => None,
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

    /// Client whose refresh token was refused, with a thermostat or without.
    fn refused(device: Option<(Option<Duration>, bool)>) -> Shared {
        let start = Start::Resume { stored: StoredSession::new("ann@example.org", "client"), password: None };
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
        let shared = Shared::new(&session, None, Gauges::default(), Clock::start());
        let mut snapshot = shared.lock();
        snapshot.service.level = Level::SignInNeeded;
        if let Some((last_seen_ago, stale)) = device {
            let id = DeviceId::new("a0b1c2d3e4f6").expect("an id");
            let view = DeviceView {
                id,
                name: None,
                home: None,
                model: Model::parse("BB-V2-0-L"),
                record_model: Model::parse("BB-V2-0-L"),
                record: Arc::default(),
                state: Arc::default(),
                link: if stale { Link::Silent } else { Link::Live },
                last_seen_ago,
                stale,
                pending: mysa_proto::Change::default(),
                taken_at: Duration::ZERO,
                last_seen_at: None,
                revision: 0,
            };
            snapshot.devices.insert(id, view);
        }
        drop(snapshot);
        shared
    }

    #[test]
    fn a_view_is_brought_up_to_date_in_place_and_handed_out_without_a_copy() {
        let id = DeviceId::new("a0b1c2d3e4f6").expect("an id");
        let start = Start::Captured { url: captured(), devices: vec![(id, Model::parse("BB-V2-0-L"))] };
        let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], now);
        let shared = Shared::new(&session, None, Gauges::default(), Clock::start());
        let event =
            Event::Device { device: id, changes: mysa_proto::Changes::default(), about: true, skipped: 0 };
        shared.publish(&session, now.mono, 1, &event);
        let allocations = |work: &dyn Fn()| allocation_counter::measure(work).count_total;
        assert_eq!(allocations(&|| shared.publish(&session, now.mono, 1, &event)), 0, "the view exists");
        assert_eq!(
            allocations(&|| shared.refresh_last_seen(&session, now.mono, 2)),
            0,
            "there was no message"
        );
        assert_eq!(
            allocations(&|| shared.publish(&session, now.mono, 2, &event)),
            0,
            "nobody holds the view"
        );
        let held = shared.read(|snapshot| snapshot.devices.get(&id).cloned()).expect("a view");
        let of_a_state = allocations(&|| shared.publish(&session, now.mono, 3, &event));
        assert!((1..=3).contains(&of_a_state), "{of_a_state}: only the state that is held is replaced");
        assert_eq!(held.revision, 2);
        assert_eq!(
            allocations(&|| shared.publish(&session, now.mono, 4, &event)),
            0,
            "the new state is not held"
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
    fn a_client_that_still_receives_messages_is_ready_although_a_sign_in_is_due() {
        let ready = |device| refused(device).readiness().map(|ready| ready.is_ok());
        assert_eq!(
            ready(Some((Some(Duration::ZERO), false))),
            Some(true),
            "messages arrive on a connection that is up"
        );
        assert_eq!(ready(Some((Some(Duration::ZERO), true))), Some(false), "the last message is too old");
        assert_eq!(ready(Some((None, false))), Some(false), "there was never a message");
        assert_eq!(ready(None), Some(false), "there is no thermostat");
    }
}
