mod field_set;
mod observation;
mod packed;
mod provenance;
mod registers;

pub use observation::{Observation, Source};
pub use provenance::Provenance;

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::state::field_set::FieldSet;
use crate::state::observation::for_each_field;
use crate::state::packed::{Pack, Packed};
use crate::state::provenance::{Clock, nanos};
use crate::state::registers::{Telling, Word, Words};
use crate::{
    Amperes, AutoSetpoints, Body, Brightness, Celsius, DutyCycle, Family, FanSpeed, Hold, Message, Mode,
    ModeTable, Now, RelativeHumidity, Swing, TopicKind, TrackedSensor, UnixTime, Volts, Watts,
};

/// A field of a device's state: its value, and whose word that is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Field<T> {
    /// The value.
    pub value: T,
    /// Who said so.
    pub source: Source,
    /// When, by the clock of the source, if that can be believed.
    pub at: Option<UnixTime>,
    /// When it arrived here.
    pub received: Now,
}

impl<T> Field<T> {
    /// How long ago it arrived.
    #[must_use]
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.received.mono)
    }

    /// Its source and times.
    #[must_use]
    pub const fn provenance(&self) -> Provenance {
        Provenance { source: self.source, at: self.at, received: self.received }
    }
}

/// The signal that something is wrong with the mode: the element draws power although the device is said to be off.
/// Either the device ignored the command, or the wrong [`ModeTable`](crate::ModeTable) is in use.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Contradiction {
    /// The latest duty cycle, if the device tells one and not only that its relay conducts.
    pub duty: Option<DutyCycle>,
    /// Monotonic time of the first observation that contradicted.
    pub since: Duration,
    /// Monotonic time of the latest.
    pub latest: Duration,
}

impl Contradiction {
    /// For how long heating must be observed while the mode says off: longer than a command takes to be obeyed, and
    /// than the few statuses that were under way.
    pub const AFTER: Duration = Duration::from_secs(60);
}

/// Time after a confirmed command during which an unstamped answer of the REST service is taken for older than it.
/// (Mysa_HA.)
const SETTLE: Duration = Duration::from_secs(90);

macro_rules! state {
    ($($(#[$doc:meta])* $field:ident: $ty:ty, $name:ident;)*) => {
        /// Name of a field of a device's state.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
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

        /// Everything that is known about a device, merged from all that was observed.
        ///
        /// For each field the last word counts. What is last is decided by the times the observations carry and never
        /// by the order in which they are handed over, so any interleaving of the same observations gives the same
        /// state, and handing one over twice is the same as once:
        ///
        /// 1. Two words from the same clock are ordered by that clock: statuses, setpoint changes and acknowledgements
        ///    by the device's, REST answers by the cloud's. A time more than [`Observation::MAX_AHEAD_SECS`] ahead of
        ///    the host is no clock. In the same second [`Source`] decides, then the arrival, then the value.
        /// 2. Words without a usable time are ordered by arrival.
        /// 3. The clock of a device cannot be compared with another, since it may be wrong. So the latest word of each
        ///    clock is placed at its arrival here, which for a message of a device is the moment it was said; that of
        ///    the cloud, whose answers may be old when they are fetched, at its arrival less the age it claims.
        /// 4. A word from before a confirmed command has no say over the fields of that command; see
        ///    [`DeviceState::confirm`].
        ///
        /// Time of a clock never goes back: an old word, redelivered or late, changes nothing.
        #[derive(Clone, Default)]
        pub struct DeviceState {
            /// The latest word of each clock about each field. Both this and the floors are maxima of what was ever
            /// handed in, which is why the order of handing in does not matter.
            words: Words,
            /// The latest confirmed command of each field that was ever commanded.
            floors: Vec<(StateField, Floor)>,
            /// By how much, in milliseconds, the device's clock was at most ahead of the host's.
            lead: i64,
            watch: Option<Contradiction>,
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

            /// Merges an observation of the fields that were observed together last time too, as of most statuses.
            /// `None`, and nothing done, if anything about it is out of the ordinary.
            #[inline(always)]
            fn follow(&mut self, observation: &Observation) -> Option<Changes> {
                let stamp = Provenance::of(observation);
                let mut told = FieldSet::default();
                $( if observation.$field.is_some() { told.insert(StateField::$name); } )*
                let lead = self.lead_with(&stamp);
                let Self { words, floors, .. } = self;
                // The lead matters beside confirmed commands alone.
                if lead != self.lead && !floors.is_empty() {
                    return None;
                }
                let mut words = words.follow(told, &stamp, |stamp| {
                    let mut floors = floors.iter().filter(|(field, _)| told.contains(*field));
                    floors.all(|(_, floor)| floor.leaves_a_say(stamp, lead))
                })?;
                let mut changes = Changes::default();
                $(
                    if let Some(value) = observation.$field
                        && let Some(word) = words.next()
                        && word.set(value.pack())
                    {
                        changes.insert(StateField::$name);
                    }
                )*
                drop(words);
                self.lead = lead;
                self.watch = self.watched(&stamp, observation.duty.is_some(), observation.heating.is_some());
                Some(changes)
            }

            fn merge(&mut self, observation: &Observation, floor: Option<Floor>) -> Changes {
                let stamp = Provenance::of(observation);
                let lead = self.lead;
                self.lead = self.lead_with(&stamp);
                let moved = self.lead != lead && !self.floors.is_empty();
                let mut telling = Telling::new(stamp);
                let mut changes = Changes::default();
                $(
                    let value = observation.$field.map(Pack::pack);
                    if (value.is_some() || moved)
                        && self.merge_field(StateField::$name, value, &mut telling, floor.as_ref(), lead)
                    {
                        changes.insert(StateField::$name);
                    }
                )*
                self.watch = self.watched(&stamp, observation.duty.is_some(), observation.heating.is_some());
                changes
            }
        }
    };
}
for_each_field!(state);

impl DeviceState {
    /// A device of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self { words: Words::with_room(), ..Self::default() }
    }

    /// Merges one observation, and says which fields have another value than before. Allocates nothing, unless a field
    /// is heard of for the first time.
    pub fn observe(&mut self, observation: &Observation) -> Changes {
        self.follow(observation).unwrap_or_else(|| self.merge(observation, None))
    }

    /// Merges what a message says about the device that sent it, and says which fields have another value than before.
    /// `None` if it says nothing. The same as [`DeviceState::observe`] after [`Observation::from_message`], which see, but
    /// for the observation that is not made: a status costs half.
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
        // Most messages are statuses. What those do not tell is not asked for.
        if let (Body::Status(status), TopicKind::Out) = (&message.body, message.envelope.topic) {
            let followed =
                self.follow(&Observation::from_status(status, message.envelope.time, family, received));
            if followed.is_some() {
                return followed;
            }
        }
        Observation::from_message(message, table, family, received).map(|seen| self.merge(&seen, None))
    }

    /// Merges a command that the device is known to have taken; see [`Observation::from_change`]. From then on, no word
    /// from before the command has a say over its fields:
    ///
    /// - of the device: what is stamped before `confirmed.at`, or, if that is not known, before `sent` once the clock
    ///   of the device is corrected by as much as it has ever been ahead; what has no stamp and arrived before the
    ///   confirmation;
    /// - of the cloud: what is stamped before `sent`; what has no stamp and arrived sooner than 90 seconds after the
    ///   confirmation, since the cloud follows a device with some delay.
    pub fn confirm(&mut self, confirmed: &Observation, sent: Now) -> Changes {
        self.merge(confirmed, Some(Floor { sent, received: confirmed.received, at: confirmed.usable_at() }))
    }

    /// The signal that the device heats although it is said to be off, once that was observed for
    /// [`Contradiction::AFTER`] on end.
    ///
    /// Unlike the rest of the state this depends on the order of arrival: it is about what was seen without
    /// interruption.
    #[must_use]
    pub fn contradiction(&self) -> Option<Contradiction> {
        self.watch.filter(|watch| watch.latest.saturating_sub(watch.since) >= Contradiction::AFTER)
    }

    fn field<T: Pack>(&self, name: StateField) -> Option<Field<T>> {
        let word = self.last_word(name, self.words.about(name), self.lead)?;
        let Provenance { source, at, received } = self.words.stamp(word)?;
        Some(Field { value: T::unpack(word.value())?, source, at, received })
    }

    /// The last word of those about a field that have a say.
    fn last_word<'a>(&self, name: StateField, about: &'a [Word], lead: i64) -> Option<&'a Word> {
        // Most fields are spoken of by one clock, and were never commanded.
        if let ([only], true) = (about, self.floors.is_empty()) {
            return Some(only);
        }
        let floor = self.floors.iter().find(|(field, _)| *field == name).map(|(_, floor)| floor);
        let stamped = about.iter().filter_map(|word| Some((word, self.words.stamp(word)?)));
        let heard = stamped.filter(|(_, stamp)| floor.is_none_or(|floor| floor.leaves_a_say(stamp, lead)));
        let last = heard.reduce(|last, next| if next.1.placed() >= last.1.placed() { next } else { last });
        last.map(|(word, _)| word)
    }

    /// Takes a word about a field, if there is one. True if the value is another than it was with `lead`.
    fn merge_field(
        &mut self,
        name: StateField,
        value: Option<Packed>,
        telling: &mut Telling,
        floor: Option<&Floor>,
        lead: i64,
    ) -> bool {
        let mut places = self.words.find_next(name, telling);
        let before = self.last_word(name, self.words.at(places.clone()), lead).map(Word::value);
        if let Some(value) = value {
            places = self.words.keep(name, places, value, telling);
            self.raise(name, floor);
        }
        self.last_word(name, self.words.at(places), self.lead).map(Word::value) != before
    }

    fn raise(&mut self, name: StateField, floor: Option<&Floor>) {
        let Some(&floor) = floor else { return };
        match self.floors.iter_mut().find(|(field, _)| *field == name) {
            Some((_, latest)) => *latest = floor.max(*latest),
            None => self.floors.push((name, floor)),
        }
    }

    /// By how much the device's clock was at most ahead, this stamp included.
    fn lead_with(&self, stamp: &Provenance) -> i64 {
        match stamp.at {
            Some(at) if stamp.source.is_device() => {
                self.lead.max(at.as_millis().saturating_sub(stamp.received.wall.as_millis()))
            }
            _ => self.lead,
        }
    }

    /// What is to be thought of the contradiction after something was told.
    #[inline(always)]
    fn watched(&self, told: &Provenance, duty_told: bool, heating_told: bool) -> Option<Contradiction> {
        // Most thermostats do not tell their mode of themselves.
        if self.words.mention(StateField::Mode) { self.weigh(told, duty_told, heating_told) } else { None }
    }

    #[inline(never)]
    fn weigh(&self, told: &Provenance, duty_told: bool, heating_told: bool) -> Option<Contradiction> {
        let off = self.mode().filter(|mode| mode.value == Mode::Off)?;
        let duty = self.duty().filter(|duty| duty.value.as_fraction() > 0.0);
        let heating = self.heating().filter(|heating| heating.value);
        if duty.is_none() && heating.is_none() {
            return None;
        }
        // Only news counts: neither what has lost to a later word, nor an unstamped answer of the cloud, which may
        // repeat an old one for ever.
        let said = |stamp: Provenance| {
            let news = stamp.received == told.received && (stamp.at.is_some() || told.source.is_device());
            news.then(|| stamp.said())
        };
        let duty_said = duty.filter(|_| duty_told).and_then(|duty| said(duty.provenance()));
        let heating_said = heating.filter(|_| heating_told).and_then(|heating| said(heating.provenance()));
        let Some(latest) = duty_said.max(heating_said) else { return self.watch };
        let latest = Duration::from_nanos(latest.try_into().unwrap_or(0));
        let began = latest.max(off.received.mono);
        let watch = self.watch.unwrap_or(Contradiction { duty: None, since: began, latest });
        let duty = duty.map(|duty| duty.value);
        Some(Contradiction { duty, since: watch.since, latest: watch.latest.max(latest) })
    }
}

/// Which fields of a state changed.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Changes(FieldSet);

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Whether this field changed.
    #[must_use]
    pub const fn contains(self, field: StateField) -> bool {
        self.0.contains(field)
    }

    /// The fields that changed.
    pub fn iter(self) -> impl Iterator<Item = StateField> {
        StateField::ALL.iter().copied().filter(move |&field| self.contains(field))
    }

    /// Both together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }

    const fn insert(&mut self, field: StateField) {
        self.0.insert(field);
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A confirmed command, behind which its fields do not go.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Floor {
    sent: Now,
    received: Now,
    at: Option<UnixTime>,
}

impl Floor {
    /// Whether a word counts beside a confirmed command.
    fn leaves_a_say(&self, stamp: &Provenance, lead: i64) -> bool {
        let floor = self;
        match stamp.clock() {
            Clock::Device => match floor.at {
                Some(at) => (stamp.at, stamp.source) >= (Some(at), Source::Ack),
                None => {
                    // Devices stamp whole seconds, so the lead is known to one second.
                    let lead = if lead > 0 { lead.saturating_add(1_000) } else { 0 };
                    stamp.at.is_some_and(|at| at.plus_millis(lead.saturating_neg()) >= floor.sent.wall)
                }
            },
            Clock::DeviceArrival => stamp.received.mono >= floor.received.mono,
            Clock::Cloud => stamp.said() >= nanos(floor.sent.mono),
            Clock::CloudArrival => stamp.received.mono >= floor.received.mono.saturating_add(SETTLE),
        }
    }
}
