mod brightness;
mod contradiction;
mod field_set;
mod observation;
mod packed;
mod provenance;
mod registers;

pub use contradiction::Contradiction;
pub use observation::{Observation, Source};
pub use provenance::Provenance;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::state::brightness::ReplacedBrightness;
use crate::state::field_set::FieldSet;
use crate::state::observation::for_each_field;
use crate::state::packed::{Pack, Packed};
use crate::state::provenance::{Clock, nanos};
use crate::state::registers::{BatchWriter, Entry, LwwMap};
use crate::{
    Amperes, AutoSetpoints, Body, Brightness, Celsius, DutyCycle, Family, FanSpeed, Hold, Message, Mode,
    ModeTable, Now, RelativeHumidity, Swing, TopicKind, TrackedSensor, UnixTime, Volts, Watts,
};

/// Field of a device's state: its value and provenance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Field<T> {
    /// The value.
    pub value: T,
    /// The source of the value.
    pub source: Source,
    /// Time of the value by the clock of the source, if that clock is plausible.
    pub at: Option<UnixTime>,
    /// Time of its arrival here.
    pub received: Now,
}

impl<T> Field<T> {
    /// Time since it arrived.
    #[must_use]
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.received.mono)
    }

    /// Another value with the same source and times.
    #[must_use]
    pub fn with<U>(self, value: U) -> Field<U> {
        Field { value, source: self.source, at: self.at, received: self.received }
    }

    /// Source and times of the value.
    #[must_use]
    pub const fn provenance(&self) -> Provenance {
        Provenance { source: self.source, at: self.at, received: self.received }
    }
}

/// Time after a confirmed command during which a REST answer without a time counts as older than the command, because
/// the cloud lags behind a device. (Mysa_HA.)
const SETTLE: Duration = Duration::from_secs(90);

macro_rules! state {
    ($($(#[$doc:meta])* $field:ident: $ty:ty, $name:ident;)*) => {
        /// Name of a field of a device's state.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
        #[non_exhaustive]
        pub enum StateField {
            $( $(#[$doc])* $name, )*
        }

        impl StateField {
            /// Every field.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Name in lower case, such as `floor_temperature`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => stringify!($field), )* }
            }
        }

        /// State of a device, merged from all observations.
        ///
        /// Each field is last-writer-wins by timestamp. The times in the observations decide which value is last, not
        /// the order of the calls: the same observations in any order give the same state, and merging is idempotent.
        ///
        /// 1. Two values from the same clock are ordered by that clock: statuses, setpoint changes and acknowledgements
        ///    by the device's, REST answers by the cloud's. A time more than [`Observation::MAX_AHEAD_SECS`] ahead of
        ///    the host is ignored. Within the same second, [`Source`] decides, then the arrival, then the value; a report
        ///    of a hold without its end ([`Hold::FollowOrUntil`]) gives way to any other.
        /// 2. Values without a usable time are ordered by arrival.
        /// 3. The clock of a device may be wrong, so clocks are not compared. The latest values of the clocks are
        ///    ordered by their arrival instead; a device's message arrives when it is sent. An answer of the cloud may
        ///    be old when it is fetched, so its stated age is subtracted from its arrival.
        /// 4. A value from before a confirmed command does not count for the fields of that command; see
        ///    [`DeviceState::confirm`].
        ///
        /// An old value, redelivered or late, changes nothing. The brightness of an acknowledgement may be the active one
        /// alone; the other parts stay as they were reported last, and the field has the times of the acknowledgement.
        #[derive(Default)]
        pub struct DeviceState {
            /// Latest value of each field by each clock. These and the barriers are maxima over all observations, so
            /// the order of the observations does not matter.
            registers: LwwMap,
            /// Latest confirmed command of each field that was ever commanded.
            barriers: Vec<(StateField, Barrier)>,
            /// Largest observed lead of the device's clock over the host's, in milliseconds.
            clock_skew: i64,
            contradicted: Option<Box<Contradiction>>,
            /// For the parts of the brightness that its latest report does not have.
            replaced_brightness: ReplacedBrightness,
        }

        impl Clone for DeviceState {
            fn clone(&self) -> Self {
                Self {
                    registers: self.registers.clone(),
                    barriers: self.barriers.clone(),
                    clock_skew: self.clock_skew,
                    contradicted: self.contradicted.clone(),
                    replaced_brightness: self.replaced_brightness.clone(),
                }
            }

            /// Keeps the allocations of `self`, so that a copy which is brought up to date again and again allocates
            /// only when the state gets more fields.
            fn clone_from(&mut self, source: &Self) {
                let Self { registers, barriers, clock_skew, contradicted, replaced_brightness } = source;
                self.registers.clone_from(registers);
                self.barriers.clone_from(barriers);
                self.clock_skew = *clock_skew;
                self.contradicted.clone_from(contradicted);
                self.replaced_brightness.clone_from(replaced_brightness);
            }
        }

        impl fmt::Debug for DeviceState {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut fields = f.debug_struct("DeviceState");
                $( if let Some(field) = self.$field() { fields.field(stringify!($field), &field); } )*
                fields.finish_non_exhaustive()
            }
        }

        impl DeviceState {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(&self) -> Option<Field<$ty>> {
                    self.field(StateField::$name)
                }
            )*

            /// Fast path of [`DeviceState::observe`]: merges an observation with the same fields as an earlier one, as
            /// most statuses have. `None` and no change for any other observation.
            #[inline(always)]
            fn observe_in_place(&mut self, observation: &Observation) -> Option<Changes> {
                // It may have to give way to an earlier value, which only the slow path handles.
                if observation.hold == Some(Hold::FollowOrUntil) {
                    return None;
                }
                // Its parts may come from two observations.
                if observation.brightness.is_some() {
                    return None;
                }
                let provenance = Provenance::of(observation);
                let mut fields = FieldSet::default();
                $( if observation.$field.is_some() { fields.insert(StateField::$name); } )*
                let clock_skew = self.clock_skew_with(&provenance);
                let Self { registers, barriers, .. } = self;
                // A new skew can change which values the barriers admit, which only the slow path handles.
                if clock_skew != self.clock_skew && !barriers.is_empty() {
                    return None;
                }
                let mut entries = registers.update_in_place(fields, &provenance, |provenance| {
                    let mut barriers = barriers.iter().filter(|(field, _)| fields.contains(*field));
                    barriers.all(|(_, barrier)| barrier.admits(provenance, clock_skew))
                })?;
                let mut changes = Changes::default();
                $(
                    if let Some(value) = observation.$field
                        && let Some(entry) = entries.next()
                        && entry.set(value.pack())
                    {
                        changes.insert(StateField::$name);
                    }
                )*
                drop(entries);
                self.clock_skew = clock_skew;
                self.track_contradiction(&provenance, observation.duty.is_some(), observation.heating.is_some());
                Some(changes)
            }

            fn merge(&mut self, observation: &Observation, barrier: Option<Barrier>) -> Changes {
                let provenance = Provenance::of(observation);
                let clock_skew = self.clock_skew;
                self.clock_skew = self.clock_skew_with(&provenance);
                let moved = self.clock_skew != clock_skew && !self.barriers.is_empty();
                let mut writer = BatchWriter::new(provenance);
                let mut changes = Changes::default();
                let brightness = observation.brightness;
                let brightness_before =
                    (brightness.is_some() || moved).then(|| self.complete_brightness(clock_skew));
                if brightness.is_some_and(|value| value.idle.is_none()) {
                    self.keep_brightness(&provenance);
                }
                $(
                    let value = observation.$field.map(Pack::pack);
                    if (value.is_some() || moved)
                        && self.merge_field(StateField::$name, value, &mut writer, barrier.as_ref(), clock_skew)
                    {
                        changes.insert(StateField::$name);
                    }
                )*
                if let Some(before) = brightness_before {
                    if let Some(value) = brightness.filter(|value| value.idle.is_some()) {
                        self.keep_late_brightness(provenance, value);
                    }
                    changes.set(StateField::Brightness, self.complete_brightness(self.clock_skew) != before);
                }
                self.track_contradiction(&provenance, observation.duty.is_some(), observation.heating.is_some());
                changes
            }
        }
    };
}
for_each_field!(state);

impl DeviceState {
    /// State of a device without observations.
    #[must_use]
    pub fn new() -> Self {
        Self { registers: LwwMap::with_capacity(), ..Self::default() }
    }

    /// Merges an observation and returns the fields whose value changed. Allocates only if a field is observed for the
    /// first time.
    pub fn observe(&mut self, observation: &Observation) -> Changes {
        self.observe_in_place(observation).unwrap_or_else(|| self.merge(observation, None))
    }

    /// Merges a message of the device and returns the fields whose value changed. `None` if the message contains no
    /// state. Equivalent to [`Observation::from_message`] and [`DeviceState::observe`], but for a status at half the
    /// cost, because no observation is built.
    ///
    /// ```
    /// use core::time::Duration;
    /// use mysa_proto::{DeviceState, Message, ModeTable, Now, StateField, TopicKind, UnixTime};
    ///
    /// let payload = br#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,
    ///     "id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0}}"#;
    /// let message = Message::decode(TopicKind::Out, payload)?;
    /// let received = Now { mono: Duration::from_secs(5), wall: UnixTime::from_secs(1_767_323_046) };
    /// let mut state = DeviceState::new();
    /// let changes = state.observe_message(&message, &ModeTable::OBSERVED, None, received);
    /// assert!(changes.is_some_and(|changes| changes.contains(StateField::Setpoint)));
    /// assert_eq!(state.setpoint().map(|setpoint| setpoint.value.as_degrees()), Some(20.0));
    /// # Ok::<(), mysa_proto::DecodeError>(())
    /// ```
    pub fn observe_message(
        &mut self,
        message: &Message<'_>,
        table: &ModeTable,
        family: Option<Family>,
        received: Now,
    ) -> Option<Changes> {
        // Most messages are statuses. Building the observation in place lets the compiler drop the fields that a status
        // does not have.
        if let (Body::Status(status), TopicKind::Out) = (&message.body, message.envelope.topic) {
            let followed = self.observe_in_place(&Observation::from_status(
                status,
                message.envelope.time,
                family,
                received,
            ));
            if followed.is_some() {
                return followed;
            }
        }
        Observation::from_message(message, table, family, received).map(|seen| self.merge(&seen, None))
    }

    /// Merges a command that the device has confirmed; see [`Observation::from_change`]. From then on, these values
    /// from before the command are ignored for its fields:
    ///
    /// - of the device: values timed before `confirmed.at` or, if that is not known, before `sent` once the clock of the
    ///   device is corrected by as much as it has ever been ahead; values without a time that arrived before the
    ///   confirmation;
    /// - of the cloud: values timed before `sent`; values without a time that arrived less than 90 seconds after the
    ///   confirmation, because the cloud lags behind a device.
    pub fn confirm(&mut self, confirmed: &Observation, sent: Now) -> Changes {
        self.merge(confirmed, Some(Barrier { sent, received: confirmed.received, at: confirmed.usable_at() }))
    }

    /// Removes the fields that the family does not have. For a device that turns out to be of another family.
    pub fn restrict_to(&mut self, family: Family) {
        for field in StateField::ALL.iter().copied().filter(|field| !field.is_of(family)) {
            self.registers.remove(field);
            match field {
                StateField::Duty => self.contradicted = None,
                StateField::Brightness => self.replaced_brightness = ReplacedBrightness::default(),
                _ => {}
            }
        }
    }

    /// Contradiction that the device heats although its mode is off, once it was observed for [`Contradiction::AFTER`]
    /// without interruption.
    ///
    /// Unlike the rest of the state, it depends on the order of arrival.
    #[must_use]
    pub fn contradiction(&self) -> Option<Contradiction> {
        self.contradicted
            .as_deref()
            .copied()
            .filter(|found| found.latest.saturating_sub(found.since) >= Contradiction::AFTER)
    }

    #[inline]
    fn field<T: Pack>(&self, name: StateField) -> Option<Field<T>> {
        let entry = self.latest_entry(name, self.registers.get(name), self.clock_skew)?;
        let Provenance { source, at, received } = self.registers.provenance(entry)?;
        Some(Field { value: T::unpack(entry.value())?.complete(self), source, at, received })
    }

    /// Brightness under a clock skew, with the parts that its latest report does not have.
    fn complete_brightness(&self, clock_skew: i64) -> Option<Brightness> {
        let entries = self.registers.get(StateField::Brightness);
        let latest = self.latest_entry(StateField::Brightness, entries, clock_skew)?;
        Some(self.with_known_parts(Brightness::unpack(latest.value())?, clock_skew))
    }

    /// Adds the parts of the brightness that its latest report does not have, from the latest one that has them.
    fn with_known_parts(&self, latest: Brightness, clock_skew: i64) -> Brightness {
        if latest.idle.is_some() {
            return latest;
        }
        let barrier = self.barrier(StateField::Brightness);
        let counts =
            |provenance: &Provenance| barrier.is_none_or(|barrier| barrier.admits(provenance, clock_skew));
        let known = self.brightness_entries().filter(|(_, value)| value.idle.is_some());
        // What was replaced on a clock is older than what that clock has now.
        let has_entry =
            |clock| self.brightness_entries().any(|(at, value)| at.clock() == clock && value.idle.is_some());
        let replaced = self.replaced_brightness.iter().filter(|(at, _)| !has_entry(at.clock()));
        let known = known.chain(replaced).filter(|(at, _)| counts(at)).max_by_key(|(at, _)| at.placed());
        known.map_or(latest, |(_, known)| brightness::complete(latest, known))
    }

    /// Latest brightness of each clock.
    fn brightness_entries(&self) -> impl Iterator<Item = (Provenance, Brightness)> {
        let entries = self.registers.get(StateField::Brightness).iter();
        entries
            .filter_map(|entry| Some((self.registers.provenance(entry)?, Brightness::unpack(entry.value())?)))
    }

    /// Keeps the brightness of a clock before a report without its idle part may replace it.
    #[inline(never)]
    fn keep_brightness(&mut self, of: &Provenance) {
        let known =
            self.brightness_entries().find(|(at, value)| at.clock() == of.clock() && value.idle.is_some());
        if let Some((at, value)) = known {
            self.replaced_brightness.insert(at, value);
        }
    }

    /// Keeps a brightness with its idle part that arrived after a later one without.
    #[inline(never)]
    fn keep_late_brightness(&mut self, provenance: Provenance, value: Brightness) {
        let is_partial =
            |(at, known): (Provenance, Brightness)| at.clock() == provenance.clock() && known.idle.is_none();
        if self.brightness_entries().any(is_partial) {
            self.replaced_brightness.insert(provenance, value);
        }
    }

    fn barrier(&self, name: StateField) -> Option<&Barrier> {
        self.barriers.iter().find(|(field, _)| *field == name).map(|(_, barrier)| barrier)
    }

    /// Latest entry of a field that its barrier admits.
    fn latest_entry<'a>(&self, name: StateField, about: &'a [Entry], clock_skew: i64) -> Option<&'a Entry> {
        // Most fields have values from one clock and were never commanded.
        if let ([only], true) = (about, self.barriers.is_empty()) {
            return Some(only);
        }
        let barrier = self.barrier(name);
        let dated = about.iter().filter_map(|entry| Some((entry, self.registers.provenance(entry)?)));
        let admitted = dated
            .filter(|(_, provenance)| barrier.is_none_or(|barrier| barrier.admits(provenance, clock_skew)));
        let last = admitted.reduce(|last, next| if next.1.placed() >= last.1.placed() { next } else { last });
        last.map(|(entry, _)| entry)
    }

    /// Inserts a value of a field, if there is one. Returns true if the value of the field differs from its value under
    /// the previous skew, `clock_skew`.
    fn merge_field(
        &mut self,
        name: StateField,
        value: Option<Packed>,
        writer: &mut BatchWriter,
        barrier: Option<&Barrier>,
        clock_skew: i64,
    ) -> bool {
        let mut range = self.registers.find_next(name, writer);
        let before = self.latest_entry(name, self.registers.at(range.clone()), clock_skew).map(Entry::value);
        if let Some(value) = value {
            range = self.registers.insert(name, range, value, writer);
            self.raise_barrier(name, barrier);
        }
        self.latest_entry(name, self.registers.at(range), self.clock_skew).map(Entry::value) != before
    }

    fn raise_barrier(&mut self, name: StateField, barrier: Option<&Barrier>) {
        let Some(&barrier) = barrier else { return };
        match self.barriers.iter_mut().find(|(field, _)| *field == name) {
            Some((_, latest)) => *latest = barrier.max(*latest),
            None => self.barriers.push((name, barrier)),
        }
    }

    /// Clock skew including this provenance.
    fn clock_skew_with(&self, provenance: &Provenance) -> i64 {
        match provenance.at {
            Some(at) if provenance.source.is_device() => {
                self.clock_skew.max(at.as_millis().saturating_sub(provenance.received.wall.as_millis()))
            }
            _ => self.clock_skew,
        }
    }
}

/// Set of the fields that changed.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Changes(FieldSet);

impl Changes {
    /// True if nothing changed.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// True if this field changed.
    #[must_use]
    pub const fn contains(self, field: StateField) -> bool {
        self.0.contains(field)
    }

    /// The fields that changed.
    pub fn iter(self) -> impl Iterator<Item = StateField> {
        StateField::ALL.iter().copied().filter(move |&field| self.contains(field))
    }

    /// Union of two sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }

    const fn insert(&mut self, field: StateField) {
        self.0.insert(field);
    }

    const fn set(&mut self, field: StateField, changed: bool) {
        if changed { self.0.insert(field) } else { self.0.remove(field) }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Confirmed command: earlier values of its fields are ignored.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Barrier {
    sent: Now,
    received: Now,
    at: Option<UnixTime>,
}

impl Barrier {
    /// True if a value is not older than the confirmed command.
    fn admits(&self, provenance: &Provenance, clock_skew: i64) -> bool {
        let barrier = self;
        match provenance.clock() {
            Clock::Device => match barrier.at {
                Some(at) => (provenance.at, provenance.source) >= (Some(at), Source::Ack),
                None => {
                    // Devices send whole seconds, so the skew is accurate to one second.
                    let clock_skew = if clock_skew > 0 { clock_skew.saturating_add(1_000) } else { 0 };
                    provenance
                        .at
                        .is_some_and(|at| at.plus_millis(clock_skew.saturating_neg()) >= barrier.sent.wall)
                }
            },
            Clock::DeviceArrival => provenance.received.mono >= barrier.received.mono,
            Clock::Cloud => provenance.mono_nanos() >= nanos(barrier.sent.mono),
            Clock::CloudArrival => provenance.received.mono >= barrier.received.mono.saturating_add(SETTLE),
        }
    }
}
