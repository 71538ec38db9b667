//! Energy in a home with a bridge: the file of the bridge and its faults, and checks of what is published.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mysa_bridge::energy::{Answer, Meters, Query, Reading};
use mysa_proto::rest::{self, History, UsageQuery};
use mysa_proto::{DeviceId, KilowattHours, Now};
use mysa_session::{RequestError, Response};
use mysa_sim::Cloud;

use super::BridgeHome;
use super::violation::BridgeViolation;
use crate::Rng;

/// The file in which the bridge keeps the energy, and what was in it. It survives the bridge.
#[derive(Debug)]
pub(crate) struct EnergyFile {
    rng: Rng,
    /// `true` if it may be unwritable, slow or damaged.
    pub(crate) has_faults: bool,
    text: Option<String>,
    /// Text that is being written, and the time at which that ends and succeeds or fails.
    writing: Option<Writing>,
    /// Time of the last fault.
    pub(crate) fault_at: Duration,
    /// Time since which the totals of an earlier run are lost, until each is known again.
    lost_at: Option<Duration>,
    /// True energy of the thermostats within the last hours, kWh.
    truths: BTreeMap<DeviceId, VecDeque<(Duration, f64)>>,
    /// Energy from before the start of the simulation that the cloud's history has, kWh.
    past: BTreeMap<DeviceId, f64>,
    sampled_at: Duration,
}

#[derive(Debug)]
struct Writing {
    text: String,
    done_at: Duration,
    succeeds: bool,
}

/// Interval between samples of the true energy.
const SAMPLE_EVERY: Duration = Duration::from_secs(300);
/// Time for which samples are kept.
const KEPT: Duration = Duration::from_secs(4 * 3_600);
/// Largest delay of the published energy: the history is read every 33 min and stored every 5 min, and samples of the truth
/// are 5 min apart.
pub(super) const LAG: Duration = Duration::from_secs(45 * 60);
/// Time without trouble after which the published energy must be right: a reading or a storage that failed is repeated
/// within half an hour.
pub(super) const SETTLES: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Rounding of the history, kWh.
const ROUNDING: f64 = 0.01;
/// Largest error of the host's clock with which the energy is checked. A clock that is behind reads a history that ends
/// earlier.
const MAX_CLOCK_ERROR: Duration = Duration::from_secs(60);

impl EnergyFile {
    pub(super) fn new(rng: Rng, cloud: &Cloud) -> Self {
        let past = cloud.device_ids().filter_map(|id| Some((id, cloud.past_energy(id)?))).collect();
        let mut file = Self {
            rng,
            has_faults: false,
            text: None,
            writing: None,
            fault_at: Duration::ZERO,
            lost_at: None,
            truths: BTreeMap::new(),
            past,
            sampled_at: Duration::ZERO,
        };
        file.sample(Duration::ZERO, cloud);
        file
    }

    /// Reads the file at the start of a bridge.
    fn read(&mut self, now: Duration) -> Meters {
        let Some(text) = &self.text else { return Meters::default() };
        let is_damaged = self.has_faults && self.rng.one_in(6);
        let read = if is_damaged { &text[..text.len() / 2] } else { text.as_str() };
        Meters::parse(read).unwrap_or_else(|_| {
            self.fault_at = now;
            self.lost_at = Some(now);
            // The loss is known from the file from now on.
            let lost = Meters::lost();
            self.text = Some(lost.to_text());
            lost
        })
    }

    /// Starts to write. The file has one text or the other at any moment.
    fn write(&mut self, now: Duration, text: String) {
        let (mut after, mut succeeds) = (Duration::from_millis(50), true);
        if self.has_faults {
            succeeds = !self.rng.one_in(6);
            after = match self.rng.below(8) {
                0 => Duration::from_secs(self.rng.between(1, 120)),
                _ => Duration::from_millis(self.rng.between(1, 3_000)),
            };
            if !succeeds || after > Duration::from_secs(3) {
                self.fault_at = now + after;
            }
        }
        self.writing = Some(Writing { text, done_at: now + after, succeeds });
    }

    /// Ends the process that writes. A file that was being replaced may be replaced already.
    pub(super) fn kill(&mut self, in_order: bool) {
        let Some(writing) = self.writing.take() else { return };
        if in_order || self.rng.one_in(2) {
            self.finish(writing);
        }
    }

    /// Ends a write. Returns `true` if it succeeded.
    fn finish(&mut self, writing: Writing) -> bool {
        if writing.succeeds {
            self.text = Some(writing.text);
        }
        writing.succeeds
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.writing.as_ref().map(|writing| writing.done_at)
    }

    /// Result of a write that has ended.
    pub(super) fn written(&mut self, now: Duration) -> Option<bool> {
        let writing = self.writing.take_if(|writing| writing.done_at <= now)?;
        Some(self.finish(writing))
    }

    /// Corrects the present day downwards, as a cloud does whose first figure was an estimate. The next reading is right.
    /// Not after a loss of the file: the history is the only source of the total then.
    pub(super) fn correct(&mut self, now: Now, days: &mut [Reading]) {
        if self.has_faults
            && self.lost_at.is_none()
            && self.rng.one_in(4)
            && let Some(newest) = days.iter_mut().max_by_key(|day| day.start)
            && now.wall.since(newest.start).is_some_and(|age| age < DAY)
            && let Some(half) = KilowattHours::from_kilowatt_hours(newest.energy.as_kilowatt_hours() / 2.0)
        {
            newest.energy = half;
            self.fault_at = now.mono;
        }
    }

    /// Samples the true energy.
    pub(super) fn sample(&mut self, now: Duration, cloud: &Cloud) {
        if now < self.sampled_at {
            return;
        }
        self.sampled_at = now + SAMPLE_EVERY;
        for (id, past) in &self.past {
            let Some(truth) = cloud.truth(*id) else { continue };
            let samples = self.truths.entry(*id).or_default();
            samples.push_back((now, past + truth.energy));
            while samples.front().is_some_and(|(at, _)| *at + KEPT < now) {
                samples.pop_front();
            }
        }
    }

    /// Energy of a thermostat at a time, kWh. `None` if the cloud's history began without any: the bridge then integrates
    /// the power until it has.
    fn truth(&self, device: DeviceId, at: Duration) -> Option<f64> {
        self.past.get(&device).filter(|past| **past > 0.0)?;
        let samples = self.truths.get(&device)?;
        samples.iter().rev().find(|(time, _)| *time <= at).map(|(_, energy)| *energy)
    }

    /// Compares a published energy with the truth. `is_well` if there was no trouble for a while.
    pub(super) fn check(
        &self,
        now: Duration,
        device: DeviceId,
        shown: Option<f64>,
        is_well: bool,
    ) -> Result<(), BridgeViolation> {
        let Some(newest) = self.truth(device, now + SAMPLE_EVERY) else { return Ok(()) };
        let wrong = |what: String| Err(BridgeViolation::EnergyWrong { device, what });
        // The sample may be five minutes old.
        let most = newest + 0.3;
        match shown {
            Some(shown) if shown > most => wrong(format!("{shown} kWh of {newest:.3} are shown")),
            Some(shown) if is_well => match self.truth(device, now.saturating_sub(LAG)) {
                Some(least) if shown < least - ROUNDING => {
                    wrong(format!("{shown} kWh are shown, and {least:.3} were used before the last {LAG:?}"))
                }
                _ => Ok(()),
            },
            None if is_well => wrong("it is not known".into()),
            _ => Ok(()),
        }
    }
}

impl BridgeHome {
    /// Lets the bridge keep the energy of the thermostats, in a file whose faults are drawn by a seed, or that has none.
    #[must_use]
    pub fn with_energy(mut self, faults: Option<u64>) -> Self {
        let mut file = EnergyFile::new(Rng::new(faults.unwrap_or_default()), &self.world.cloud);
        file.has_faults = faults.is_some();
        self.energy = Some(file);
        self.start_energy();
        self
    }

    /// Energy of a thermostat that Home Assistant shows, kWh.
    #[must_use]
    pub fn energy(&self, device: DeviceId) -> Option<f64> {
        self.home.state(device.as_str())?["energy"].as_f64()
    }

    pub(super) fn start_energy(&mut self) {
        let now = self.now();
        if let (Some(file), Some(process)) = (&mut self.energy, &mut self.process) {
            let meters = file.read(now);
            if file.lost_at == Some(now) {
                self.judge.energy_lost();
            }
            process.bridge.start_energy(meters, self.world.host_now());
        }
    }

    /// Reads the energy of a thermostat, as the driver does.
    pub(super) fn read_energy(&mut self, device: DeviceId, query: Query) -> Result<(), BridgeViolation> {
        let now = self.world.host_now();
        let end = query.end.min(now.wall).max(query.start.plus_millis(1_000));
        let usage =
            UsageQuery { time_zone: "UTC".into(), start: query.start, end, buckets: false, raw: false };
        let asked = self.world.call(|session, now| session.request(now, rest::usage(device, &usage)))?;
        if let Some(process) = &mut self.process {
            match asked {
                Ok(id) => _ = process.readings.insert(id, device),
                Err(_) => process.bridge.handle_energy(device, Answer::Failed, now),
            }
        }
        self.after_world()
    }

    pub(super) fn store_energy(&mut self, text: String) -> Result<(), BridgeViolation> {
        let now = self.now();
        let Some(file) = &mut self.energy else {
            return Err(BridgeViolation::Protocol("energy is stored unasked".into()));
        };
        // The driver waits for the last one, and for the one before it.
        if let Some(older) = file.writing.take() {
            file.finish(older);
        }
        file.write(now, text);
        Ok(())
    }

    /// `true` if the clock of the host is nearly right.
    pub(super) fn has_right_clock(&self) -> bool {
        let (host, cloud) = (self.world.host_now().wall.as_millis(), self.world.wall().as_millis());
        u128::from(host.abs_diff(cloud)) <= MAX_CLOCK_ERROR.as_millis()
    }
}

/// Passes on the answer to a reading, by the rule of the driver.
pub(super) fn with_answer<T>(
    result: &Result<Response, RequestError>,
    correct: impl FnOnce(&mut [Reading]),
    use_it: impl FnOnce(Answer<'_>) -> T,
) -> T {
    match result {
        Ok(response) => match History::decode(&response.body) {
            Ok(history) => {
                let days = history.days.iter();
                let mut days: Vec<Reading> = days
                    .filter_map(|day| {
                        Some(Reading { start: day.summary.start?, energy: day.summary.energy? })
                    })
                    .collect();
                correct(&mut days);
                use_it(Answer::Days(&days))
            }
            Err(_) => use_it(Answer::Failed),
        },
        Err(RequestError::Refused { status: 400 | 403 | 404 | 410, .. }) => use_it(Answer::NoHistory),
        Err(_) => use_it(Answer::Failed),
    }
}
