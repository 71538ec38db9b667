use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use crate::state::field_set::FieldSet;
use crate::state::packed::Packed;
use crate::state::provenance::{Clock, Provenance};
use crate::{Now, Source, StateField, UnixTime};

/// The latest word of each clock about each field, in little room: a device is one of thousands, says much at a time and
/// is never heard on most of the eighty-eight things it could be heard on.
#[derive(Clone, Default)]
pub(crate) struct Words {
    /// In the order of fields, those about one field in the order of clocks.
    words: Vec<Word>,
    /// Who said it and when, shared by all that was said at once.
    sayings: Vec<Saying>,
}

/// A value, and where the rest about it is found.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    bits: u64,
    tag: u8,
    field: StateField,
    clock: Clock,
    /// The place of its saying.
    saying: u8,
}

/// What was said at once, as far as nothing later has replaced it. A stamp and its fields in the room of a stamp: the cloud
/// says each of many fields at a time of its own.
#[derive(Clone, Copy)]
struct Saying {
    received: Now,
    at: Option<UnixTime>,
    source: Source,
    /// The fields of its words. A saying without any is room for another.
    fields: FieldSet,
}

impl Saying {
    #[inline(always)]
    const fn new(stamp: Provenance, fields: FieldSet) -> Self {
        let Provenance { received, at, source } = stamp;
        Self { received, at, source, fields }
    }

    #[inline(always)]
    const fn stamp(&self) -> Provenance {
        let Self { received, at, source, .. } = *self;
        Provenance { received, at, source }
    }
}

/// What is said at once, on its way into [`Words`] field by field. Fields are handed in in their order, so that the words
/// are walked through once for all of them.
pub(crate) struct Telling {
    stamp: Provenance,
    /// The place of the saying, once a word has needed it.
    place: Option<u8>,
    /// The words before this place are about earlier fields.
    from: usize,
}

impl Telling {
    pub(crate) const fn new(stamp: Provenance) -> Self {
        Self { stamp, place: None, from: 0 }
    }
}

impl Word {
    #[inline]
    pub(crate) const fn value(&self) -> Packed {
        Packed { tag: self.tag, bits: self.bits }
    }

    /// True if the value is another than before.
    #[inline]
    pub(crate) fn set(&mut self, value: Packed) -> bool {
        let changed = self.value() != value;
        (self.tag, self.bits) = (value.tag, value.bits);
        changed
    }
}

impl Words {
    /// None, with room for what a status and an acknowledgement say.
    pub(crate) fn with_room() -> Self {
        Self { words: Vec::with_capacity(12), sayings: Vec::with_capacity(3) }
    }

    /// Replaces the words of one saying by those of a later one about the same fields, which is how most statuses follow
    /// each other. They are returned in the order of fields, to be given their values. `None`, and nothing done, if there
    /// is no such saying, or if words of another clock come after either; or if one of the two does not count.
    #[inline(always)]
    pub(crate) fn follow(
        &mut self,
        fields: FieldSet,
        stamp: &Provenance,
        counts: impl Fn(&Provenance) -> bool,
    ) -> Option<impl Iterator<Item = &mut Word>> {
        let Self { words, sayings } = self;
        let clock = stamp.clock();
        let (mut follows, mut latest) = (None, None);
        for (place, saying) in sayings.iter().enumerate() {
            let other = saying.stamp();
            if other.clock() != clock {
                if saying.fields.meets(fields) {
                    latest = latest.max(Some(other.placed()));
                }
            } else if saying.fields == fields {
                follows = Some(place);
            } else if other == *stamp {
                // What is said at once is one saying.
                return None;
            }
        }
        let place = follows?;
        let saying = sayings.get_mut(place)?;
        let before = saying.stamp();
        if stamp.cmp_on_clock(&before).is_le()
            || latest.is_some_and(|latest| latest > before.placed() || latest > stamp.placed())
            || !counts(&before)
            || !counts(stamp)
        {
            return None;
        }
        *saying = Saying::new(*stamp, fields);
        Some(words.iter_mut().filter(move |word| usize::from(word.saying) == place))
    }

    /// Whether anything was said about a field.
    #[inline]
    pub(crate) fn mention(&self, field: StateField) -> bool {
        self.sayings.iter().any(|saying| saying.fields.contains(field))
    }

    /// All that was said about a field.
    pub(crate) fn about(&self, field: StateField) -> &[Word] {
        self.at(self.find(field, 0))
    }

    /// The places of what was said about the next field of a telling.
    pub(crate) fn find_next(&self, field: StateField, telling: &mut Telling) -> Range<usize> {
        let places = self.find(field, telling.from);
        telling.from = places.start;
        places
    }

    pub(crate) fn at(&self, places: Range<usize>) -> &[Word] {
        self.words.get(places).unwrap_or_default()
    }

    fn find(&self, field: StateField, from: usize) -> Range<usize> {
        let mut later = self.words.iter().enumerate().skip(from);
        let start = later.find(|(_, word)| word.field >= field);
        let start = start.map_or(self.words.len(), |(at, _)| at);
        let about = self.words.get(start..).unwrap_or_default();
        start..start + about.iter().take_while(|word| word.field == field).count()
    }

    #[inline]
    pub(crate) fn stamp(&self, word: &Word) -> Option<Provenance> {
        self.sayings.get(usize::from(word.saying)).map(Saying::stamp)
    }

    /// Keeps a word about the field at these places, if it is later than the one it would replace. Returns the places of
    /// what is there now.
    pub(crate) fn keep(
        &mut self,
        field: StateField,
        places: Range<usize>,
        value: Packed,
        telling: &mut Telling,
    ) -> Range<usize> {
        let clock = telling.stamp.clock();
        let earlier = self.at(places.clone()).iter().take_while(|word| word.clock < clock).count();
        let at = places.start + earlier;
        if let Some(&word) = self.words.get(at).filter(|word| places.contains(&at) && word.clock == clock) {
            let order =
                self.stamp(&word).map_or(Ordering::Greater, |stamp| telling.stamp.cmp_on_clock(&stamp));
            if order.then_with(|| value.cmp(&word.value())).is_gt() {
                if let Some(before) = self.sayings.get_mut(usize::from(word.saying)) {
                    before.fields.remove(field);
                }
                let saying = self.say(field, telling);
                if let Some(word) = self.words.get_mut(at) {
                    *word = Word { bits: value.bits, tag: value.tag, field, clock, saying };
                }
            }
            return places;
        }
        let saying = self.say(field, telling);
        self.words.reserve_exact(1);
        self.words.insert(at, Word { bits: value.bits, tag: value.tag, field, clock, saying });
        places.start..places.end + 1
    }

    /// Adds a field to a saying, and says where that is.
    fn say(&mut self, field: StateField, telling: &mut Telling) -> u8 {
        let place = *telling.place.get_or_insert_with(|| self.place(telling.stamp));
        if let Some(saying) = self.sayings.get_mut(usize::from(place)) {
            saying.fields.insert(field);
        }
        place
    }

    /// The place of a saying: where it is already, where one was of which nothing is left, or a new one. There are never
    /// more than words, of which there are fewer than 256.
    fn place(&mut self, stamp: Provenance) -> u8 {
        let sayings = &mut self.sayings;
        let there = sayings.iter().position(|saying| saying.stamp() == stamp && !saying.fields.is_empty());
        let place = there.or_else(|| sayings.iter().position(|saying| saying.fields.is_empty()));
        let place = place.unwrap_or(sayings.len());
        if there.is_none() {
            let saying = Saying::new(stamp, FieldSet::default());
            match sayings.get_mut(place) {
                Some(room) => *room = saying,
                None => {
                    sayings.reserve_exact(1);
                    sayings.push(saying);
                }
            }
        }
        u8::try_from(place).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    /// As the answers of the cloud are merged, field by field.
    #[test]
    fn what_was_said_at_one_time_shares_one_stamp_however_it_came() {
        const FIELDS: [StateField; 4] =
            [StateField::Temperature, StateField::Setpoint, StateField::Mode, StateField::Signal];
        let mut words = Words::default();
        for poll in 0..50 {
            let time = UnixTime::from_secs(1_767_323_045 + poll);
            let received = Now { mono: Duration::from_secs(poll.unsigned_abs()), wall: time };
            let stamp = Provenance { received, at: Some(time), source: Source::RestState };
            for field in FIELDS {
                let mut told = FieldSet::default();
                told.insert(field);
                let value = Packed { tag: 0, bits: poll.unsigned_abs() };
                if let Some(mut follow) = words.follow(told, &stamp, |_| true) {
                    assert!(follow.next().is_some_and(|word| word.set(value)));
                    continue;
                }
                let mut telling = Telling::new(stamp);
                let places = words.find_next(field, &mut telling);
                words.keep(field, places, value, &mut telling);
            }
            let stamps: Vec<_> = words.words.iter().map(|word| words.stamp(word)).collect();
            assert_eq!(stamps, [Some(stamp); FIELDS.len()]);
            // That of the answer before is room for the next.
            assert!(words.sayings.len() <= 2, "{poll}");
        }
    }
}
