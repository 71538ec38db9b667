use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use crate::StateField;
use crate::packed::Packed;
use crate::stamp::{Clock, Stamp};

/// The latest word of each clock about each field, in little room: a device is one of thousands, says much at a time and
/// is never heard on most of the eighty-eight things it could be heard on.
#[derive(Clone, Default)]
pub(crate) struct Words {
    /// In the order of fields, those about one field in the order of clocks.
    words: Vec<Word>,
    /// Who said it and when, shared by all that was said at once.
    stamps: Vec<Stamp>,
}

/// A value, and where the rest about it is found.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    bits: u64,
    tag: u8,
    field: StateField,
    clock: Clock,
    stamp: u8,
}

/// What is said at once, on its way into [`Words`] field by field. Fields are handed in in their order, so that the words
/// are walked through once for all of them.
pub(crate) struct Telling {
    stamp: Stamp,
    clock: Clock,
    /// The place of the stamp, once a word has needed it.
    place: Option<u8>,
    /// The place of the stamp it was last compared with, and how.
    compared: Option<(u8, Ordering)>,
    /// The place of a stamp that is earlier, and of its own: what was said at once is often replaced at once.
    replaces: Option<(u8, u8)>,
    /// The words before this place are about earlier fields.
    from: usize,
}

impl Telling {
    pub(crate) fn new(stamp: Stamp) -> Self {
        Self { clock: stamp.clock(), stamp, place: None, compared: None, replaces: None, from: 0 }
    }

    /// How it stands to a word of the same clock.
    fn cmp_with(&mut self, place: u8, stamps: &[Stamp]) -> Ordering {
        if let Some((compared, order)) = self.compared
            && compared == place
        {
            return order;
        }
        let order =
            stamps.get(usize::from(place)).map_or(Ordering::Greater, |other| self.stamp.cmp_on_clock(other));
        self.compared = Some((place, order));
        order
    }
}

impl Word {
    pub(crate) const fn value(&self) -> Packed {
        Packed { tag: self.tag, bits: self.bits }
    }
}

impl Words {
    /// None, with room for what a status and an acknowledgement say.
    pub(crate) fn with_room() -> Self {
        Self { words: Vec::with_capacity(12), stamps: Vec::with_capacity(3) }
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

    /// Takes a word about the next field of a telling where there is but one word about it, of the same clock. True if
    /// the value is another than before; `None`, and nothing done, where it is not so.
    pub(crate) fn replace_only(
        &mut self,
        field: StateField,
        value: Packed,
        telling: &mut Telling,
    ) -> Option<bool> {
        let at = loop {
            let word = self.words.get(telling.from)?;
            if word.field >= field {
                break telling.from;
            }
            telling.from += 1;
        };
        if self.words.get(at + 1).is_some_and(|next| next.field == field) {
            return None;
        }
        let only =
            self.words.get_mut(at).filter(|only| only.field == field && only.clock == telling.clock)?;
        match telling.replaces {
            Some((stamp, by)) if only.stamp == stamp => {
                let changed = only.value() != value;
                *only = Word { bits: value.bits, tag: value.tag, stamp: by, ..*only };
                Some(changed)
            }
            _ => Some(self.replace(at, value, telling)),
        }
    }

    /// Replaces a word of the same clock if it is earlier. True if the value is another than before.
    #[inline(never)]
    fn replace(&mut self, at: usize, value: Packed, telling: &mut Telling) -> bool {
        let Some(&word) = self.words.get(at) else { return false };
        let order = telling.cmp_with(word.stamp, &self.stamps);
        if order.then_with(|| value.cmp(&word.value())).is_le() {
            return false;
        }
        let stamp = self.place_of(telling);
        if order.is_gt() {
            telling.replaces = Some((word.stamp, stamp));
        }
        if let Some(place) = self.words.get_mut(at) {
            *place = Word { bits: value.bits, tag: value.tag, stamp, ..word };
        }
        word.value() != value
    }

    fn find(&self, field: StateField, from: usize) -> Range<usize> {
        let mut later = self.words.iter().enumerate().skip(from);
        let start = later.find(|(_, word)| word.field >= field);
        let start = start.map_or(self.words.len(), |(at, _)| at);
        let about = self.words.get(start..).unwrap_or_default();
        start..start + about.iter().take_while(|word| word.field == field).count()
    }

    pub(crate) fn stamp(&self, word: &Word) -> Option<&Stamp> {
        self.stamps.get(usize::from(word.stamp))
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
        let clock = telling.clock;
        let earlier = self.at(places.clone()).iter().take_while(|word| word.clock < clock).count();
        let at = places.start + earlier;
        if self.words.get(at).is_some_and(|word| places.contains(&at) && word.clock == clock) {
            self.replace(at, value, telling);
            return places;
        }
        let stamp = self.place_of(telling);
        self.words.reserve_exact(1);
        self.words.insert(at, Word { bits: value.bits, tag: value.tag, field, clock, stamp });
        places.start..places.end + 1
    }

    fn place_of(&mut self, telling: &mut Telling) -> u8 {
        match telling.place {
            Some(place) => place,
            None => *telling.place.insert(self.place(&telling.stamp)),
        }
    }

    /// The place of a stamp: where it is already, where one stood that is not needed any more, or a new one. There are
    /// never more than words, of which there are fewer than 256.
    fn place(&mut self, stamp: &Stamp) -> u8 {
        let Self { words, stamps } = self;
        let place = stamps.iter().rposition(|other| other == stamp).or_else(|| {
            let free =
                (0_u8..).zip(stamps.iter_mut()).find(|(at, _)| words.iter().all(|word| word.stamp != *at));
            free.map(|(at, place)| {
                *place = *stamp;
                usize::from(at)
            })
        });
        let place = place.unwrap_or_else(|| {
            stamps.reserve_exact(1);
            stamps.push(*stamp);
            stamps.len() - 1
        });
        u8::try_from(place).unwrap_or(u8::MAX)
    }
}
