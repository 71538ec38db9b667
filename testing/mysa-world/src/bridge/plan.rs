//! Plan of a run with a bridge: the cloud's trouble by the session's own plan, and trouble of the home on top.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysa_bridge::{Settings, Unit};
use mysa_proto::DeviceId;

use super::coverage::LocalTrouble;
use crate::Rng;
use crate::campaign::plan::{Action, Plan};
use crate::coverage::TroubleKind;

/// An action in a run with a bridge.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// An action of the session's plan.
    Cloud(Action),
    /// A person, or an automation, uses a thermostat's card.
    Press(DeviceId),
    /// A trouble begins, for a time and perhaps a thermostat.
    Begin(LocalTrouble, Duration, DeviceId),
    /// A trouble ends.
    End(LocalTrouble, DeviceId),
}

#[derive(Debug)]
pub(crate) struct LocalPlan {
    pub(crate) mix: Vec<LocalTrouble>,
    pub(crate) steps: BTreeMap<(Duration, usize), Step>,
    pub(crate) settings: Settings,
    pub(crate) presses: usize,
}

/// Largest number of kinds of local trouble in a run.
const LARGEST_MIX: u64 = 12;

/// Draws the plan of the cloud and that of the home.
pub(crate) fn draw(rng: &mut Rng, length: Duration) -> (Plan, LocalPlan) {
    let (has_cloud, has_local) = match rng.below(6) {
        0 => (true, false),
        1..4 => (false, true),
        _ => (true, true),
    };
    let mut mix = BTreeSet::new();
    for _ in 0..if has_cloud { rng.between(1, 6) } else { 0 } {
        // Trouble that never ends is the session's business.
        let lasting = [TroubleKind::LastingDevice, TroubleKind::LastingRoute];
        mix.extend(rng.pick(TroubleKind::ALL).filter(|kind| !lasting.contains(kind)));
    }
    let mut cloud = Plan::draw_with_mix(rng, length, Some(mix.into_iter().collect()));
    let mut local = BTreeSet::new();
    for _ in 0..if has_local { rng.between(1, LARGEST_MIX) } else { 0 } {
        local.extend(rng.pick(LocalTrouble::ALL));
    }
    let mut settings = Settings::new("mysa-bridge");
    if rng.one_in(3) {
        settings.unit = Unit::Fahrenheit;
    }
    let mut plan =
        LocalPlan { mix: local.into_iter().copied().collect(), steps: BTreeMap::new(), settings, presses: 0 };
    for ((at, _), action) in std::mem::take(&mut cloud.actions) {
        match action {
            Action::Command { device, .. } => plan.press(at, device),
            // The bridge cancels nothing.
            Action::Cancel(_) => {}
            other => plan.add(at, Step::Cloud(other)),
        }
    }
    for kind in plan.mix.clone() {
        for _ in 0..rng.between(1, 3) {
            plan.add_trouble(rng, &cloud, kind, length);
        }
    }
    (cloud, plan)
}

impl LocalPlan {
    fn add(&mut self, at: Duration, step: Step) {
        let number = self.steps.len();
        self.steps.insert((at, number), step);
    }

    fn press(&mut self, at: Duration, device: DeviceId) {
        self.presses += 1;
        self.add(at, Step::Press(device));
    }

    fn add_trouble(&mut self, rng: &mut Rng, cloud: &Plan, kind: LocalTrouble, length: Duration) {
        let (mut at, device) = cloud.moment_near_command(rng);
        if rng.one_in(10) {
            // During the start.
            at = Duration::from_millis(rng.below(4_000));
        }
        let at = at.min(length);
        let time = match rng.below(4) {
            0 => Duration::from_millis(rng.between(100, 5_000)),
            1 | 2 => Duration::from_secs(rng.between(5, 120)),
            _ => Duration::from_secs(rng.between(120, 5_400)),
        };
        self.add(at, Step::Begin(kind, time, device));
        // People try again, and troubles meet.
        if rng.one_in(3) {
            let after = Duration::from_millis(rng.below(20_000));
            self.press(at + after, device);
        }
        if rng.one_in(4)
            && let Some(other) = rng.pick(LocalTrouble::ALL)
        {
            let after = Duration::from_millis(rng.below(40_000));
            let time = Duration::from_secs(rng.between(1, 60));
            self.add(at + after, Step::Begin(*other, time, device));
        }
    }
}
