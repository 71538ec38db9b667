use core::time::Duration;

use crate::{KilowattHours, Power, Watts};

/// Energy meter: integrates observed power over time. Unobserved time is not counted.
///
/// Each power applies until the next observation. If that comes later than [`EnergyMeter::max_gap`], or the power was
/// unknown, the time between is left out of the sum and added to [`EnergyMeter::left_out`]. The sum never decreases.
///
/// ```
/// use core::time::Duration;
/// use mysa_proto::{EnergyMeter, KilowattHours, Power, Watts};
///
/// let heating = Power::Estimated(Watts::from_watts(1500.0).ok_or("not a power")?);
/// let mut meter = EnergyMeter::new(Duration::from_secs(120));
/// for minute in 0..=60 {
///     meter.observe(Duration::from_secs(60 * minute), heating);
/// }
/// assert_eq!(meter.total(), KilowattHours::from_kilowatt_hours(1.5).ok_or("not an energy")?);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug)]
pub struct EnergyMeter {
    /// Watt-seconds since `base`.
    joules: f64,
    base: KilowattHours,
    last: Option<(Duration, Option<Watts>)>,
    max_gap: Duration,
    left_out: Duration,
}

impl EnergyMeter {
    /// Meter that starts at zero. In live mode a status comes every 5 s, so a `max_gap` of one or two minutes is
    /// suitable.
    #[must_use]
    pub fn new(max_gap: Duration) -> Self {
        Self::resume(KilowattHours::ZERO, max_gap)
    }

    /// Meter that continues from a stored sum. The time since then is not counted.
    #[must_use]
    pub fn resume(total: KilowattHours, max_gap: Duration) -> Self {
        Self { joules: 0.0, base: total, last: None, max_gap, left_out: Duration::ZERO }
    }

    /// Observes the power at a monotonic time. A time before the last one is ignored.
    pub fn observe(&mut self, at: Duration, power: Power) {
        if let Some((since, watts)) = self.last {
            let Some(elapsed) = at.checked_sub(since) else { return };
            match watts {
                Some(watts) if elapsed <= self.max_gap => {
                    self.joules += watts.as_watts() * elapsed.as_secs_f64();
                }
                _ => self.left_out = self.left_out.saturating_add(elapsed),
            }
        }
        self.last = Some((at, power.watts()));
    }

    /// Total energy.
    #[must_use]
    pub fn total(&self) -> KilowattHours {
        let sum = self.base.as_kilowatt_hours() + KilowattHours::from_joules(self.joules).as_kilowatt_hours();
        KilowattHours::from_kilowatt_hours(sum).unwrap_or(self.base)
    }

    /// Time that was left out of the sum.
    #[must_use]
    pub const fn left_out(&self) -> Duration {
        self.left_out
    }

    /// Longest time for which one observation applies.
    #[must_use]
    pub const fn max_gap(&self) -> Duration {
        self.max_gap
    }
}

impl KilowattHours {
    /// Energy of a load over a duration: seconds × watts / 3.6 million. (mysa_client, from the usage history.)
    ///
    /// ```
    /// use core::time::Duration;
    /// use mysa_proto::{KilowattHours, Watts};
    ///
    /// let rated = Watts::from_watts(1250.0).ok_or("not a power")?;
    /// assert_eq!(KilowattHours::of(rated, Duration::from_secs(5400)).as_kilowatt_hours(), 1.875);
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn of(power: Watts, on_time: Duration) -> Self {
        Self::from_joules(power.as_watts() * on_time.as_secs_f64())
    }

    /// Converts joules that are not negative. Saturates.
    fn from_joules(joules: f64) -> Self {
        const MOST: f64 = 1e9;
        let sum = (joules / 3.6e6).min(MOST);
        // The value is within the range of the type, so this never fails.
        Self::from_kilowatt_hours(sum).unwrap_or(Self::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watts(watts: f64) -> Power {
        Power::Measured(Watts::from_watts(watts).unwrap())
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_gap_is_left_out_and_reported() {
        let mut meter = EnergyMeter::new(MINUTE);
        meter.observe(Duration::ZERO, watts(3_600.0));
        meter.observe(MINUTE, watts(3_600.0));
        meter.observe(61 * MINUTE, watts(3_600.0));
        meter.observe(62 * MINUTE, watts(0.0));
        assert_eq!(meter.total().as_kilowatt_hours(), 0.12);
        assert_eq!(meter.left_out(), 60 * MINUTE);
    }

    #[test]
    fn an_unknown_power_is_a_gap() {
        let mut meter = EnergyMeter::new(MINUTE);
        meter.observe(Duration::ZERO, Power::Unknown);
        meter.observe(MINUTE, watts(3_600.0));
        meter.observe(2 * MINUTE, Power::Unknown);
        assert_eq!(meter.total().as_kilowatt_hours(), 0.06);
        assert_eq!(meter.left_out(), MINUTE);
    }

    #[test]
    fn time_that_runs_backwards_is_not_counted() {
        let mut meter = EnergyMeter::resume(KilowattHours::from_kilowatt_hours(7.0).unwrap(), MINUTE);
        meter.observe(2 * MINUTE, watts(3_600.0));
        meter.observe(MINUTE, watts(3_600.0));
        meter.observe(3 * MINUTE, watts(3_600.0));
        meter.observe(3 * MINUTE, watts(3_600.0));
        assert_eq!(meter.total().as_kilowatt_hours(), 7.06);
    }

    #[test]
    fn the_sum_stays_within_its_type() {
        let mut meter = EnergyMeter::resume(KilowattHours::from_kilowatt_hours(1e9).unwrap(), Duration::MAX);
        meter.observe(Duration::ZERO, watts(1e6));
        meter.observe(Duration::MAX, watts(1e6));
        assert_eq!(meter.total().as_kilowatt_hours(), 1e9);
    }
}
