use alloc::collections::VecDeque;

use mysa_proto::UnixTime;

use crate::Now;
use crate::device::family::Family;
use crate::device::room::RoomSpec;
use crate::device::thermostat::Thermostat;
use crate::device::weather::Weather;

/// Length of a bucket of the meter, s.
pub(crate) const BUCKET_SECS: i64 = 1_800;

/// Readings of one half hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    /// Start, in seconds since the epoch.
    pub(crate) start: i64,
    /// Electrical energy, J.
    pub(crate) joules: f64,
    /// Time the heater was on, s.
    pub(crate) on_secs: f64,
    /// Sum of the room temperature over the samples, °C.
    pub(crate) temperature_sum: f64,
    /// Sum of the humidity over the samples, %.
    pub(crate) humidity_sum: f64,
    /// Sum of the floor temperature over the samples, °C.
    pub(crate) floor_sum: f64,
    /// Setpoint at the last sample, °C.
    pub(crate) setpoint: f64,
    pub(crate) samples: u32,
}

impl Bucket {
    pub(crate) fn add(&mut self, other: &Self) {
        self.joules += other.joules;
        self.on_secs += other.on_secs;
        self.temperature_sum += other.temperature_sum;
        self.humidity_sum += other.humidity_sum;
        self.floor_sum += other.floor_sum;
        if other.samples > 0 {
            self.setpoint = other.setpoint;
        }
        self.samples = self.samples.saturating_add(other.samples);
    }

    pub(crate) fn kilowatt_hours(&self) -> f64 {
        self.joules / 3.6e6
    }

    /// Mean of a sum over the samples; 0 without samples.
    pub(crate) fn mean(&self, sum: f64) -> f64 {
        if self.samples == 0 { 0.0 } else { sum / f64::from(self.samples) }
    }
}

/// The meter of one heater: half hours for two months, and the total since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    buckets: VecDeque<Bucket>,
    total_joules: f64,
}

impl Meter {
    /// Maximum number of half hours: 62 days.
    const CAPACITY: usize = 62 * 48;

    /// Adds energy and on-time to the half hour that holds `wall_secs`.
    pub(crate) fn record(&mut self, wall_secs: i64, joules: f64, on_secs: f64) {
        self.total_joules += joules;
        let bucket = self.bucket(wall_secs);
        bucket.joules += joules;
        bucket.on_secs += on_secs;
    }

    /// Adds a sample to the half hour of its `start`, which may be any time in it.
    pub(crate) fn sample(&mut self, sample: &Bucket) {
        self.bucket(sample.start).add(sample);
    }

    pub(crate) const fn total_joules(&self) -> f64 {
        self.total_joules
    }

    /// The half hour that starts at `start`, if it is still stored.
    pub(crate) fn at(&self, start: i64) -> Option<&Bucket> {
        self.buckets
            .binary_search_by_key(&start, |bucket| bucket.start)
            .ok()
            .and_then(|at| self.buckets.get(at))
    }

    fn bucket(&mut self, wall_secs: i64) -> &mut Bucket {
        let start = wall_secs.div_euclid(BUCKET_SECS) * BUCKET_SECS;
        // If the clock was set back, the newest half hour continues, because the buckets must stay in order.
        if self.buckets.back().is_none_or(|last| last.start < start) {
            if self.buckets.len() == Self::CAPACITY {
                self.buckets.pop_front();
            }
            self.buckets.push_back(Bucket { start, ..Bucket::default() });
        }
        let last = self.buckets.len() - 1;
        &mut self.buckets[last]
    }
}

/// Computes the half hours before the start of the cloud from what was in force then. It keeps values of its own, because a
/// later change of a setting or of the weather does not change the past.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    /// First and last time of the past, in seconds since the epoch.
    span: (i64, i64),
    family: Family,
    room: RoomSpec,
    rated_watts: f64,
    has_floor: bool,
    setpoint: f64,
    weather: Weather,
    climate_seed: u64,
}

impl Past {
    /// Returns the past of a thermostat as it is at the start of the cloud.
    pub(crate) fn new(thermostat: &Thermostat, days: u32, now: Now) -> Self {
        let start = now.wall.as_secs();
        let (weather, climate_seed) = thermostat.room.climate();
        Self {
            span: (start - i64::from(days) * 86_400, start),
            family: thermostat.family,
            room: *thermostat.room.spec(),
            rated_watts: thermostat.rated,
            has_floor: thermostat.room.floor().is_some(),
            setpoint: thermostat.settings.degrees(),
            weather,
            climate_seed,
        }
    }

    pub(crate) fn kilowatt_hours(&self) -> f64 {
        let (from, until) = self.span;
        let first = bucket_start(UnixTime::from_secs(from));
        let mut sum = Bucket::default();
        for start in (first..until).step_by(BUCKET_SECS as usize) {
            sum.add(&self.half_hour(start));
        }
        sum.kilowatt_hours()
    }

    /// Half hour that starts at `start`. It is empty if it is not wholly in the past.
    pub(crate) fn half_hour(&self, start: i64) -> Bucket {
        if start < self.span.0 || start + BUCKET_SECS > self.span.1 {
            return Bucket { start, ..Bucket::default() };
        }
        // The night setback is two and a half degrees.
        let hour = (start + 20 * 3_600).rem_euclid(86_400) / 3_600;
        let held = self.setpoint.min(22.0) - if hour < 6 { 2.5 } else { 0.0 };
        let outdoors = self.weather.outdoors(self.climate_seed, UnixTime::from_secs(start));
        let needed = ((held - outdoors) * self.room.heat_loss - self.room.gain).max(0.0);
        let (performance, used) = if self.family == Family::AirConditioner { (3.0, 1.0) } else { (1.0, 0.8) };
        let watts = (needed * used / performance).min(self.rated_watts);
        let on = if self.rated_watts > 0.0 { watts / self.rated_watts } else { 0.0 };
        Bucket {
            start,
            joules: watts * BUCKET_SECS as f64,
            on_secs: on * BUCKET_SECS as f64,
            temperature_sum: held * 60.0,
            humidity_sum: 40.0 * 60.0,
            floor_sum: if self.has_floor { (held + 4.0) * 60.0 } else { 0.0 },
            setpoint: held,
            samples: 60,
        }
    }
}

/// Start of the half hour that holds `at`, in seconds since the epoch.
pub(crate) fn bucket_start(at: UnixTime) -> i64 {
    at.as_secs().div_euclid(BUCKET_SECS) * BUCKET_SECS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_energy_history_adds_up() {
        let mut meter = Meter::default();
        for second in 0..7_200 {
            meter.record(1_767_322_800 + second, 1_000.0, 1.0);
        }
        let sum: f64 = (0..4).filter_map(|n| meter.at(1_767_322_800 + n * 1_800)).map(|b| b.joules).sum();
        assert_eq!((sum, meter.total_joules()), (7.2e6, 7.2e6));
        assert_eq!(meter.at(1_767_322_800 + 1_800).map(Bucket::kilowatt_hours), Some(0.5));
    }

    #[test]
    fn a_clock_set_back_does_not_disorder_the_meter() {
        let mut meter = Meter::default();
        meter.record(10_000, 1.0, 0.0);
        meter.record(1_000, 2.0, 0.0);
        assert_eq!(meter.at(9_000).map(|bucket| bucket.joules), Some(3.0));
    }

    #[test]
    fn the_meter_keeps_two_months() {
        let mut meter = Meter::default();
        for n in 0..(Meter::CAPACITY as i64 + 10) {
            meter.record(n * BUCKET_SECS, 1.0, 0.0);
        }
        assert_eq!(
            (meter.buckets.len(), meter.buckets.front().map(|bucket| bucket.start)),
            (Meter::CAPACITY, Some(10 * BUCKET_SECS))
        );
        assert_eq!(meter.total_joules(), Meter::CAPACITY as f64 + 10.0);
    }
}
