use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{DeviceId, KilowattHours, Now, Watts};
use mysa_session::Entropy;

use crate::energy::{Answer, Meter, Meters, Query};

/// Meters of the account, the reading of their histories, and their storage.
///
/// A total is published once it is stored. A process that is killed therefore goes on from a total that is not below what
/// was published.
#[derive(Debug)]
pub(crate) struct Metering {
    meters: Meters,
    /// Totals as they are stored.
    stored: BTreeMap<DeviceId, KilowattHours>,
    schedule: BTreeMap<DeviceId, Turn>,
    reading: Option<Reading>,
    /// `true` if the meters differ from the stored ones.
    is_dirty: bool,
    /// Earliest time of the next storage.
    store_at: Duration,
    storing: Option<Storing>,
    /// Thermostats whose messages are being removed from the broker.
    clearing: BTreeSet<DeviceId>,
}

/// Instruction for the driver.
#[derive(Debug)]
pub(crate) enum Instruction {
    Read { device: DeviceId, query: Query },
    Store { text: String },
}

/// Turn of a thermostat at reading its history.
#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Duration,
    failures: u32,
}

#[derive(Debug)]
struct Reading {
    device: DeviceId,
    query: Query,
    until: Duration,
}

/// Storage in progress: the totals of the stored text.
#[derive(Debug)]
struct Storing {
    totals: BTreeMap<DeviceId, KilowattHours>,
    until: Duration,
}

/// Interval between two readings of a history. The cloud has new values every half hour.
const READ_INTERVAL: Duration = Duration::from_secs(1_800);
/// The same for a thermostat whose history has no energy.
const SLOW_INTERVAL: Duration = Duration::from_secs(6 * 3_600);
/// Pause between two readings, and before the first one, so that a start does not ask for everything at once.
const SPACING: Duration = Duration::from_secs(2);
/// First and longest pause after a reading that failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(60), READ_INTERVAL);
/// Time limit for the driver's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// Time between two storages: few enough for a memory card. A total that becomes known is stored sooner.
const STORE_INTERVAL: Duration = Duration::from_secs(300);
/// Pause between a change and its storage, so that several changes are stored at once.
const STORE_PAUSE: Duration = Duration::from_secs(2);

impl Metering {
    pub(crate) fn new(meters: Meters) -> Self {
        let stored = totals(&meters);
        Self {
            meters,
            stored,
            schedule: BTreeMap::new(),
            reading: None,
            is_dirty: false,
            store_at: Duration::ZERO,
            storing: None,
            clearing: BTreeSet::new(),
        }
    }

    /// Total that may be published.
    pub(crate) fn published(&self, device: DeviceId) -> Option<KilowattHours> {
        self.stored.get(&device).copied()
    }

    pub(crate) fn has_history(&self, device: DeviceId) -> bool {
        self.meters.meters.get(&device).is_some_and(Meter::has_history)
    }

    /// Adds a sample of the power, `None` if it is unknown or the thermostat is unavailable.
    pub(crate) fn sample(&mut self, device: DeviceId, power: Option<Watts>, now: Duration) {
        let Some(meter) = self.meters.of(device) else { return };
        let before = meter.total();
        meter.add_power(now, power);
        let after = meter.total();
        if after != before {
            self.changed(now, before.is_none());
        }
        let turn = Turn { at: now.saturating_add(SPACING), failures: 0 };
        self.schedule.entry(device).or_insert(turn);
    }

    /// Discards the time since the last samples: the host was suspended.
    pub(crate) fn interrupt(&mut self, now: Duration) {
        for meter in self.meters.meters.values_mut() {
            meter.add_power(now, None);
        }
    }

    /// Notes that a thermostat is published, soon in the stored state too.
    pub(crate) fn note_published(&mut self, device: DeviceId, now: Duration) {
        self.clearing.remove(&device);
        if self.meters.add_published(device) {
            self.changed(now, true);
        }
    }

    /// Notes that the messages of a thermostat are being removed from the broker. It stays in the stored state until
    /// [`Metering::note_cleared`] finds that they are, so that the next run goes on if this one is killed before.
    pub(crate) fn note_clearing(&mut self, device: DeviceId) {
        if self.meters.published.contains(&device) {
            self.clearing.insert(device);
        }
    }

    /// Notes the thermostats whose messages the broker has removed.
    pub(crate) fn note_cleared(&mut self, is_cleared: impl Fn(DeviceId) -> bool, now: Duration) {
        let before = self.meters.published.len();
        let Self { clearing, meters, .. } = self;
        clearing.retain(|&device| {
            let is_cleared = is_cleared(device);
            if is_cleared {
                meters.published.remove(&device);
            }
            !is_cleared
        });
        if self.meters.published.len() != before {
            self.changed(now, false);
        }
    }

    /// Thermostats that this run or an earlier one has published.
    pub(crate) fn published_devices(&self) -> impl Iterator<Item = DeviceId> {
        self.meters.published.iter().copied()
    }

    pub(crate) fn remove(&mut self, device: DeviceId) {
        self.schedule.remove(&device);
        if let Some(meter) = self.meters.meters.get_mut(&device) {
            // It may come back, so its total stays.
            meter.add_power(Duration::ZERO, None);
        }
    }

    /// Notes a change that is to be stored: soon for one that is rare, such as a total that has become known.
    fn changed(&mut self, now: Duration, is_rare: bool) {
        let soon = now.saturating_add(STORE_PAUSE);
        if !self.is_dirty {
            self.is_dirty = true;
            self.store_at = self.store_at.max(soon);
        }
        if is_rare {
            self.store_at = self.store_at.min(soon);
        }
    }

    /// Handles the answer to [`Instruction::Read`].
    pub(crate) fn handle_answer(
        &mut self,
        device: DeviceId,
        answer: Answer<'_>,
        now: Duration,
        entropy: &mut Entropy,
    ) {
        let Some(Reading { query, .. }) = self.reading.take_if(|reading| reading.device == device) else {
            return;
        };
        self.finish(device, query, answer, now, entropy);
    }

    fn finish(
        &mut self,
        device: DeviceId,
        query: Query,
        answer: Answer<'_>,
        now: Duration,
        entropy: &mut Entropy,
    ) {
        let Some(meter) = self.meters.of(device) else { return };
        let before = meter.clone();
        let more = match answer {
            Answer::Days(days) => meter.add_history(query, days),
            Answer::NoHistory => {
                meter.add_no_history();
                false
            }
            Answer::Failed => false,
        };
        let is_changed = *meter != before;
        let has_new_total = before.total().is_none() && meter.total().is_some();
        let interval = if meter.has_history() { READ_INTERVAL } else { SLOW_INTERVAL };
        // Years of which some are not read yet are not stored.
        if is_changed && !more {
            self.changed(now, has_new_total);
        }
        let Some(turn) = self.schedule.get_mut(&device) else { return };
        let (failures, pause) = match answer {
            Answer::Failed => {
                let longest = RETRY.0.saturating_mul(1 << turn.failures.min(10)).min(RETRY.1);
                (turn.failures.saturating_add(1), longest / 2 + entropy.up_to(longest / 2))
            }
            _ if more => (0, SPACING),
            // Bridges that started together do not read together.
            _ => (0, interval + entropy.up_to(interval / 10)),
        };
        *turn = Turn { at: now.saturating_add(pause), failures };
        for turn in self.schedule.values_mut() {
            turn.at = turn.at.max(now.saturating_add(SPACING));
        }
    }

    /// Handles the result of [`Instruction::Store`]. Returns the thermostats whose published total changes.
    pub(crate) fn handle_stored(&mut self, stored: bool, now: Duration) -> Vec<DeviceId> {
        let Some(Storing { totals, .. }) = self.storing.take() else { return Vec::new() };
        if !stored {
            self.changed(now, false);
            return Vec::new();
        }
        let changed =
            totals.iter().filter(|(id, total)| self.stored.get(id) != Some(*total)).map(|(&id, _)| id);
        let changed = changed.collect();
        self.stored = totals;
        changed
    }

    /// Next instruction for the driver. `may_read` selects the thermostats whose cloud can be reached.
    pub(crate) fn step(
        &mut self,
        may_read: impl Fn(DeviceId) -> bool,
        now: Now,
        entropy: &mut Entropy,
    ) -> Option<Instruction> {
        if let Some(lost) = self.reading.take_if(|reading| reading.until <= now.mono) {
            self.finish(lost.device, lost.query, Answer::Failed, now.mono, entropy);
        }
        if self.storing.as_ref().is_some_and(|storing| storing.until <= now.mono) {
            self.storing = None;
            self.changed(now.mono, false);
        }
        if self.is_dirty && self.storing.is_none() && self.store_at <= now.mono {
            return Some(self.store(now.mono));
        }
        if self.reading.is_some() {
            return None;
        }
        let due = self.schedule.iter().filter(|(id, turn)| turn.at <= now.mono && may_read(**id));
        let (&device, _) = due.min_by_key(|(_, turn)| turn.at)?;
        let Some(query) = self.meters.of(device).and_then(|meter| meter.next_query(now.wall)) else {
            // The clock is wrong.
            if let Some(turn) = self.schedule.get_mut(&device) {
                turn.at = now.mono.saturating_add(RETRY.0);
            }
            return None;
        };
        self.reading = Some(Reading { device, query, until: now.mono.saturating_add(ANSWER_LIMIT) });
        Some(Instruction::Read { device, query })
    }

    fn store(&mut self, now: Duration) -> Instruction {
        self.is_dirty = false;
        self.store_at = now.saturating_add(STORE_INTERVAL);
        self.storing =
            Some(Storing { totals: totals(&self.meters), until: now.saturating_add(ANSWER_LIMIT) });
        Instruction::Store { text: self.meters.to_text() }
    }

    /// Last storage, at the end.
    pub(crate) fn end(&mut self, now: Duration) -> Option<Instruction> {
        self.schedule.clear();
        self.is_dirty.then(|| self.store(now))
    }

    /// Time of the next call of [`Metering::step`].
    pub(crate) fn due(&self, may_read: impl Fn(DeviceId) -> bool) -> Option<Duration> {
        let store = match &self.storing {
            Some(storing) => Some(storing.until),
            None => self.is_dirty.then_some(self.store_at),
        };
        let read = match &self.reading {
            Some(reading) => Some(reading.until),
            None => self.schedule.iter().filter(|(id, _)| may_read(**id)).map(|(_, turn)| turn.at).min(),
        };
        [store, read].into_iter().flatten().min()
    }
}

fn totals(meters: &Meters) -> BTreeMap<DeviceId, KilowattHours> {
    meters.meters.iter().filter_map(|(&id, meter)| Some((id, meter.total()?))).collect()
}
