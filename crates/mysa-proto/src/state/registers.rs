use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;
use core::time::Duration;

use crate::state::field_set::FieldSet;
use crate::state::packed::Packed;
use crate::state::provenance::{Clock, Provenance};
use crate::{Now, Source, StateField, UnixTime};

/// Last-writer-wins map: the latest value of each field by each clock.
///
/// Compact, because most (field, clock) slots of a device stay empty, an account can have thousands of devices, and
/// many values share a provenance.
#[derive(Default)]
pub(crate) struct LwwMap {
    /// Sorted by field, then by clock.
    entries: Vec<Entry>,
    /// Provenances, each shared by all entries of one observation.
    batches: Vec<Batch>,
    /// Fields that have an entry.
    present: FieldSet,
    /// Index of a batch that is later than every other one, if that is known: mostly that of the latest status. Its
    /// successor is compared with nothing else, so the other batches, cold in a process of many devices, stay untouched.
    newest: Option<u8>,
}

/// Value of a field by a clock, and the index of its provenance.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    bits: u64,
    tag: u8,
    field: StateField,
    clock: Clock,
    /// Index of its batch.
    batch: u8,
}

/// Provenance of the entries of one observation that no later one has replaced, packed into 32 bytes: the cloud sends many
/// fields with a time of their own, so batches are numerous.
#[derive(Clone, Copy)]
struct Batch {
    /// Arrival by the monotonic clock, in nanoseconds; the maximum for a later one, in 584 years.
    mono: u64,
    /// Arrival by the wall clock.
    wall: UnixTime,
    /// Time of the values; without meaning if they are not dated.
    at: UnixTime,
    is_dated: bool,
    source: Source,
    /// Fields of its entries. An empty batch can be reused.
    fields: FieldSet,
}

impl Batch {
    #[inline(always)]
    fn new(provenance: Provenance, fields: FieldSet) -> Self {
        let Provenance { received: Now { mono, wall }, at, source } = provenance;
        let nanos = mono.as_secs().saturating_mul(1_000_000_000).saturating_add(mono.subsec_nanos().into());
        Self { mono: nanos, wall, at: at.unwrap_or(wall), is_dated: at.is_some(), source, fields }
    }

    #[inline(always)]
    const fn provenance(&self) -> Provenance {
        let Self { mono, wall, at, is_dated, source, .. } = *self;
        let received = Now { mono: Duration::from_nanos(mono), wall };
        Provenance { received, at: if is_dated { Some(at) } else { None }, source }
    }

    /// True if an observation of the same fields by the same clock is later, also by its place among all clocks.
    #[inline(always)]
    fn is_followed_by(&self, fields: FieldSet, provenance: &Provenance) -> bool {
        let before = self.provenance();
        // The messages of a device are placed at their arrival.
        let is_placed_later = if provenance.source.is_device() {
            provenance.received.mono >= before.received.mono
        } else {
            provenance.placed() >= before.placed()
        };
        self.fields == fields
            && before.clock() == provenance.clock()
            && provenance.cmp_on_clock(&before).is_gt()
            && is_placed_later
    }
}

/// Writes an observation into an [`LwwMap`], field by field. Fields must be in order, so that the entries are searched
/// only once.
pub(crate) struct BatchWriter {
    provenance: Provenance,
    /// Index of the batch, once an entry has needed it.
    index: Option<u8>,
    /// Entries before this index belong to earlier fields.
    from: usize,
}

impl BatchWriter {
    pub(crate) const fn new(provenance: Provenance) -> Self {
        Self { provenance, index: None, from: 0 }
    }
}

impl Entry {
    #[inline]
    pub(crate) const fn value(&self) -> Packed {
        Packed { tag: self.tag, bits: self.bits }
    }

    /// Replaces the value. Returns true if it differs from the previous one.
    #[inline]
    pub(crate) fn set(&mut self, value: Packed) -> bool {
        let changed = self.value() != value;
        (self.tag, self.bits) = (value.tag, value.bits);
        changed
    }
}

impl Clone for LwwMap {
    fn clone(&self) -> Self {
        let Self { entries, batches, present, newest } = self;
        Self { entries: entries.clone(), batches: batches.clone(), present: *present, newest: *newest }
    }

    /// Keeps the allocations of `self`.
    fn clone_from(&mut self, source: &Self) {
        let Self { entries, batches, present, newest } = source;
        self.entries.clone_from(entries);
        self.batches.clone_from(batches);
        (self.present, self.newest) = (*present, *newest);
    }
}

impl LwwMap {
    /// Empty map with capacity for the fields of a status and of an acknowledgement.
    pub(crate) fn with_capacity() -> Self {
        Self { entries: Vec::with_capacity(12), batches: Vec::with_capacity(3), ..Self::default() }
    }

    /// Fast path: replaces a batch by a later one of the same fields and clock, as most statuses require. Returns the
    /// entries in field order, for the caller to set their values. `None` and no change if there is no such batch, if
    /// entries of another clock are later than either, or if a barrier excludes one of the two.
    #[inline(always)]
    pub(crate) fn update_in_place(
        &mut self,
        fields: FieldSet,
        provenance: &Provenance,
        counts: impl Fn(&Provenance) -> bool,
    ) -> Option<impl Iterator<Item = &mut Entry>> {
        let follows_newest = self.newest.and_then(|newest| self.batches.get_mut(usize::from(newest)));
        let index = match follows_newest {
            Some(newest) if newest.is_followed_by(fields, provenance) => {
                if !counts(&newest.provenance()) || !counts(provenance) {
                    return None;
                }
                *newest = Batch::new(*provenance, fields);
                usize::from(self.newest?)
            }
            _ => self.follow(fields, provenance, counts)?,
        };
        Some(self.entries.iter_mut().filter(move |entry| usize::from(entry.batch) == index))
    }

    /// Replaces a batch as [`LwwMap::update_in_place`] does, and returns its index.
    #[inline(never)]
    fn follow(
        &mut self,
        fields: FieldSet,
        provenance: &Provenance,
        counts: impl Fn(&Provenance) -> bool,
    ) -> Option<usize> {
        let clock = provenance.clock();
        let (mut follows, mut latest, mut latest_of_all) = (None, None, None);
        for (index, batch) in self.batches.iter().enumerate() {
            let other = batch.provenance();
            if other.clock() == clock && batch.fields == fields {
                follows = Some(index);
                continue;
            }
            let placed = Some(other.placed());
            latest_of_all = latest_of_all.max(placed);
            if other.clock() != clock {
                if batch.fields.meets(fields) {
                    latest = latest.max(placed);
                }
            } else if other == *provenance {
                // The batch would have to be merged with an existing one of the same provenance.
                return None;
            }
        }
        let index = follows?;
        let batch = self.batches.get_mut(index)?;
        let before = batch.provenance();
        if provenance.cmp_on_clock(&before).is_le()
            || latest.is_some_and(|latest| latest > before.placed() || latest > provenance.placed())
            || !counts(&before)
            || !counts(provenance)
        {
            return None;
        }
        *batch = Batch::new(*provenance, fields);
        let is_newest = latest_of_all.is_none_or(|latest| latest < provenance.placed());
        self.newest = if is_newest { u8::try_from(index).ok() } else { None };
        Some(index)
    }

    /// True if there is an entry of the field.
    #[inline]
    pub(crate) const fn contains(&self, field: StateField) -> bool {
        self.present.contains(field)
    }

    /// Removes the entries of a field.
    pub(crate) fn remove(&mut self, field: StateField) {
        self.entries.retain(|entry| entry.field != field);
        self.present.remove(field);
        for batch in &mut self.batches {
            batch.fields.remove(field);
        }
    }

    /// Entries of a field, one for each clock.
    pub(crate) fn get(&self, field: StateField) -> &[Entry] {
        self.at(self.find(field, 0))
    }

    /// Range of the entries of a writer's next field.
    pub(crate) fn find_next(&self, field: StateField, writer: &mut BatchWriter) -> Range<usize> {
        let range = self.find(field, writer.from);
        writer.from = range.start;
        range
    }

    pub(crate) fn at(&self, range: Range<usize>) -> &[Entry] {
        self.entries.get(range).unwrap_or_default()
    }

    fn find(&self, field: StateField, from: usize) -> Range<usize> {
        let mut later = self.entries.iter().enumerate().skip(from);
        let start = later.find(|(_, entry)| entry.field >= field);
        let start = start.map_or(self.entries.len(), |(at, _)| at);
        let about = self.entries.get(start..).unwrap_or_default();
        start..start + about.iter().take_while(|entry| entry.field == field).count()
    }

    #[inline]
    pub(crate) fn provenance(&self, entry: &Entry) -> Option<Provenance> {
        self.batches.get(usize::from(entry.batch)).map(Batch::provenance)
    }

    /// Inserts a value of the field whose entries are in `range`, unless the same clock has a later one. Returns the
    /// new range.
    pub(crate) fn insert(
        &mut self,
        field: StateField,
        range: Range<usize>,
        value: Packed,
        writer: &mut BatchWriter,
    ) -> Range<usize> {
        let clock = writer.provenance.clock();
        let earlier = self.at(range.clone()).iter().take_while(|entry| entry.clock < clock).count();
        let at = range.start + earlier;
        if let Some(&entry) = self.entries.get(at).filter(|entry| range.contains(&at) && entry.clock == clock)
        {
            let order = self.provenance(&entry).map_or(Ordering::Greater, |before| {
                let (new, old) = (&writer.provenance, entry.value());
                // Times are whole seconds, so an unclear value of the same time may be the older one.
                new.cmp_time(&before)
                    .then_with(|| value.is_clear(field).cmp(&old.is_clear(field)))
                    .then_with(|| new.cmp_on_clock(&before))
            });
            if order.then_with(|| value.cmp(&entry.value())).is_gt() {
                if let Some(before) = self.batches.get_mut(usize::from(entry.batch)) {
                    before.fields.remove(field);
                }
                let batch = self.add_to_batch(field, writer);
                if let Some(entry) = self.entries.get_mut(at) {
                    *entry = Entry { bits: value.bits, tag: value.tag, field, clock, batch };
                }
            }
            return range;
        }
        let batch = self.add_to_batch(field, writer);
        self.present.insert(field);
        self.entries.reserve_exact(1);
        self.entries.insert(at, Entry { bits: value.bits, tag: value.tag, field, clock, batch });
        range.start..range.end + 1
    }

    /// Adds a field to the batch of the writer and returns the index of the batch.
    fn add_to_batch(&mut self, field: StateField, writer: &mut BatchWriter) -> u8 {
        let index = *writer.index.get_or_insert_with(|| self.batch_index(writer.provenance));
        if let Some(batch) = self.batches.get_mut(usize::from(index)) {
            batch.fields.insert(field);
        }
        index
    }

    /// Index of a batch with this provenance: an existing one, a reused empty one, or a new one. There are at most as
    /// many batches as entries, fewer than 256.
    fn batch_index(&mut self, provenance: Provenance) -> u8 {
        let batches = &mut self.batches;
        let there =
            batches.iter().position(|batch| batch.provenance() == provenance && !batch.fields.is_empty());
        let index = there.or_else(|| batches.iter().position(|batch| batch.fields.is_empty()));
        let index = index.unwrap_or(batches.len());
        if there.is_none() {
            self.newest = None;
            let batch = Batch::new(provenance, FieldSet::default());
            match batches.get_mut(index) {
                Some(room) => *room = batch,
                None => {
                    batches.reserve_exact(1);
                    batches.push(batch);
                }
            }
        }
        u8::try_from(index).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status of a device between two others is older than an answer of the cloud that arrived meanwhile.
    #[test]
    fn a_status_is_compared_with_other_clocks_again_after_one_of_them_has_changed() {
        let provenance = |source, seconds: i64| {
            let time = UnixTime::from_secs(1_767_323_045 + seconds);
            let received = Now { mono: Duration::from_secs(seconds.unsigned_abs()), wall: time };
            Provenance { received, at: Some(time), source }
        };
        let mut fields = FieldSet::default();
        fields.insert(StateField::Temperature);
        let mut map = LwwMap::default();
        let insert = |map: &mut LwwMap, provenance: Provenance| {
            let mut writer = BatchWriter::new(provenance);
            let range = map.find_next(StateField::Temperature, &mut writer);
            map.insert(StateField::Temperature, range, Packed { tag: 0, bits: 1 }, &mut writer);
        };
        let follows = |map: &mut LwwMap, seconds| {
            map.update_in_place(fields, &provenance(Source::Status, seconds), |_| true).is_some()
        };
        insert(&mut map, provenance(Source::RestState, 1));
        insert(&mut map, provenance(Source::Status, 2));
        assert!(follows(&mut map, 3));
        assert_eq!(map.newest, Some(1));
        assert!(follows(&mut map, 4));
        insert(&mut map, provenance(Source::RestState, 10));
        assert_eq!((follows(&mut map, 5), map.newest), (false, None));
    }

    /// Merges answers of the cloud, whose fields have times of their own.
    #[test]
    fn values_of_one_time_share_one_timestamp() {
        const FIELDS: [StateField; 4] =
            [StateField::Temperature, StateField::Setpoint, StateField::Mode, StateField::Signal];
        let mut entries = LwwMap::default();
        for poll in 0..50 {
            let time = UnixTime::from_secs(1_767_323_045 + poll);
            let received = Now { mono: Duration::from_secs(poll.unsigned_abs()), wall: time };
            let provenance = Provenance { received, at: Some(time), source: Source::RestState };
            for field in FIELDS {
                let mut fields = FieldSet::default();
                fields.insert(field);
                let value = Packed { tag: 0, bits: poll.unsigned_abs() };
                if let Some(mut follow) = entries.update_in_place(fields, &provenance, |_| true) {
                    assert!(follow.next().is_some_and(|entry| entry.set(value)));
                    continue;
                }
                let mut writer = BatchWriter::new(provenance);
                let range = entries.find_next(field, &mut writer);
                entries.insert(field, range, value, &mut writer);
            }
            let provenances: Vec<_> = entries.entries.iter().map(|entry| entries.provenance(entry)).collect();
            assert_eq!(provenances, [Some(provenance); FIELDS.len()]);
            // The batch of the previous answer is reused for the next.
            assert!(entries.batches.len() <= 2, "{poll}");
        }
    }
}
