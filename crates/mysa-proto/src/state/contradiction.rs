use alloc::boxed::Box;
use core::time::Duration;

use crate::state::packed::Pack as _;
use crate::state::provenance::Provenance;
use crate::{DeviceState, DutyCycle, Mode, StateField};

/// Contradiction between mode and heating: the element draws power although the mode is off. Either the device ignored
/// the command, or the wrong [`ModeTable`](crate::ModeTable) is in use.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Contradiction {
    /// Latest duty cycle; `None` if the device reports only the state of its relay.
    pub duty: Option<DutyCycle>,
    /// Monotonic time of the first contradicting observation.
    pub since: Duration,
    /// Monotonic time of the latest contradicting observation.
    pub latest: Duration,
}

impl Contradiction {
    /// Time for which heating must be observed while the mode is off: longer than a device takes to apply a
    /// command, and longer than statuses in transit take to arrive.
    pub const AFTER: Duration = Duration::from_secs(60);
}

impl DeviceState {
    /// Updates the contradiction by an observation, which may contain duty cycle and heating.
    #[inline(always)]
    pub(super) fn track_contradiction(&mut self, observed: &Provenance, has_duty: bool, has_heating: bool) {
        // Checked first because this runs for every status, and most thermostats never report their mode unprompted.
        let found = if self.registers.contains(StateField::Mode) {
            self.judge_contradiction(observed, has_duty, has_heating)
        } else {
            None
        };
        match (&mut self.contradicted, found) {
            (None, None) => {}
            (Some(before), Some(found)) => **before = found,
            (before, found) => *before = found.map(Box::new),
        }
    }

    #[inline(never)]
    fn judge_contradiction(
        &self,
        observed: &Provenance,
        has_duty: bool,
        has_heating: bool,
    ) -> Option<Contradiction> {
        // The value alone is enough in most cases.
        let entries = self.registers.get(StateField::Mode);
        let latest = self.latest_entry(StateField::Mode, entries, self.clock_skew)?;
        if latest.value() != Mode::Off.pack() {
            return None;
        }
        let off = self.mode()?;
        let duty = self.duty().filter(|duty| duty.value.as_fraction() > 0.0);
        let heating = self.heating().filter(|heating| heating.value);
        if duty.is_none() && heating.is_none() {
            return None;
        }
        // Values that lost to a later entry do not count. Neither do cloud answers without a time, which may repeat an
        // old value forever.
        let reported = |provenance: Provenance| {
            let is_new = provenance.received == observed.received
                && (provenance.at.is_some() || observed.source.is_device());
            is_new.then(|| provenance.mono_nanos())
        };
        let duty_at = duty.filter(|_| has_duty).and_then(|duty| reported(duty.provenance()));
        let heating_at = heating.filter(|_| has_heating).and_then(|heating| reported(heating.provenance()));
        let before = self.contradicted.as_deref().copied();
        let Some(latest) = duty_at.max(heating_at) else { return before };
        let latest = Duration::from_nanos(latest.try_into().unwrap_or(0));
        let began = latest.max(off.received.mono);
        let before = before.unwrap_or(Contradiction { duty: None, since: began, latest });
        let duty = duty.map(|duty| duty.value);
        Some(Contradiction { duty, since: before.since, latest: before.latest.max(latest) })
    }
}
