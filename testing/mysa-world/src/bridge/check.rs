//! Checks of what Home Assistant shows, of time limits and of sizes.

use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_session::Level;

use super::coverage::BridgeState;
use super::energy::SETTLES;
use super::violation::BridgeViolation;
use super::{AVAILABILITY_BOUND, BridgeHome, CLOUD_LOST_BOUND, SILENCE_BOUND, driver};
use crate::net::{NetTrouble, Trouble};

/// Time without trouble of the cloud after which thermostats must be available.
const CLOUD_SETTLES: Duration = Duration::from_secs(3_600);
/// Largest age of a shown value while there is no trouble: live reports are five seconds apart, other statuses minutes.
const STATE_BOUND: Duration = Duration::from_secs(660);
/// Time within which the smart home shows what the session knows.
const PASS_ON: Duration = Duration::from_secs(35);
/// Delay of acknowledgements above which the broker counts as in trouble.
const SLOW: Duration = Duration::from_secs(1);
/// Messages of the bridge that are allowed within a minute, and for each thermostat.
const MESSAGES: (u64, u64) = (200, 60);

impl BridgeHome {
    /// States of the bridge, as bits of [`BridgeState`].
    pub(super) fn states(&self) -> u128 {
        let bit = BridgeState::bit;
        let Some(process) = &self.process else { return bit(BridgeState::Off) };
        if self.world.is_asleep() {
            return bit(BridgeState::Asleep);
        }
        let (held, sent) = self.judge.undecided();
        let is_connected = process.connected.is_some();
        let has_link = self.link.has_link();
        let is_idle = is_connected && process.is_listed && held + sent == 0;
        let is_away = matches!(self.world.session.service().level, Level::Offline | Level::SignInNeeded);
        let after_birth = self.now() < self.births_seen.1 + Duration::from_secs(10) && is_connected;
        [
            (process.is_leaving, BridgeState::Leaving),
            (!process.is_listed, BridgeState::Starting),
            (!has_link, BridgeState::Waiting),
            (has_link && !is_connected, BridgeState::Connecting),
            (is_idle, BridgeState::Idle),
            (held > 0, BridgeState::CommandHeld),
            (sent > 0, BridgeState::CommandSent),
            (after_birth, BridgeState::Birth),
            (is_away, BridgeState::CloudAway),
        ]
        .into_iter()
        .fold(0, |all, (holds, state)| if holds { all | bit(state) } else { all })
    }

    /// Checks what Home Assistant shows, time limits and sizes.
    pub(super) fn check(&mut self) -> Result<(), BridgeViolation> {
        let now = self.now();
        self.note_states();
        self.judge.note_reports(now, &self.world.cloud);
        if let Some(file) = &mut self.energy {
            file.sample(now, &self.world.cloud);
        }
        if self.link.len() > 5_000 {
            return Err(BridgeViolation::Unbounded { place: "the local network", size: self.link.len() });
        }
        let devices = self.world.session.devices().len() as u64;
        if self.minute.1 > MESSAGES.0 + MESSAGES.1 * devices {
            let size = usize::try_from(self.minute.1).unwrap_or(usize::MAX);
            return Err(BridgeViolation::Unbounded { place: "batches within a minute", size });
        }
        if let Some(process) = &self.process
            && now.as_secs().is_multiple_of(600)
        {
            let size = format!("{:?}", process.bridge).len();
            self.largest = self.largest.max(size);
            let limit = (256 << 10) + (64 << 10) * usize::try_from(devices).unwrap_or(0);
            if size > limit {
                return Err(BridgeViolation::Unbounded { place: "the bridge", size });
            }
        }
        if self.process.is_some() && !self.world.is_asleep() {
            let connected = self.process.as_ref().and_then(|process| process.connected);
            let connected =
                connected.map_or(Duration::ZERO, |since| now.saturating_sub(since.max(self.local_since)));
            self.judge.check(now, self.world.host_now().mono, connected)?;
        }
        self.check_bridge_availability()?;
        self.check_thermostats()
    }

    /// Notes since when the parts have been well, and which troubles meet which states.
    fn note_states(&mut self) {
        let now = self.now();
        let states = self.states();
        self.lasting.retain(|(until, _)| *until > now);
        let local = self.lasting.iter().fold(0, |all, (_, kind)| all | kind.bit());
        self.coverage.see(local, states);
        let active = self.world.planned.iter().filter(|(from, until, _)| *from <= now && now < *until);
        let cloud = active.fold(0, |all, (_, _, kind)| all | kind.bit());
        self.cloud_coverage.see(cloud, states);
        if cloud != 0 || self.world.net.trouble(now).is_some() {
            self.cloud_trouble_at = now;
        }
        if !self.broker.is_well() || self.home.connected_since().is_none() {
            self.disturb_home();
        }
        let runs = self.process.as_ref().is_some_and(|process| !process.is_leaving);
        let is_cut_off = self.link.loses_all || self.link.stalled_until > now;
        if self.world.is_asleep() || !runs || is_cut_off {
            self.disturb();
            self.away_since.get_or_insert(now);
        } else {
            self.away_since = None;
        }
        if self.broker.has_will() {
            self.orphaned = false;
        }
        // The bridge waits for acknowledgements, and gives up a connection that has none.
        let is_slow = self.broker.ack_delay > SLOW;
        if self.link.has_trouble(now) || self.reads_nothing_until > now || is_slow {
            self.disturb();
        }
        if let Some(process) = &mut self.process {
            process.connected = match (self.broker.has_session(), process.connected) {
                (true, since) => Some(since.unwrap_or(now)),
                (false, _) => None,
            };
        }
    }

    /// Checks that the bridge is not shown as available while it is away.
    fn check_bridge_availability(&self) -> Result<(), BridgeViolation> {
        let now = self.now();
        let Some(away) = self.away_since.filter(|_| !self.orphaned) else { return Ok(()) };
        // The broker counts the keep-alive from the last bytes that reached it, which the network may have held up.
        // One that leaves closes its connection before that.
        let is_leaving = self.process.as_ref().is_some_and(|process| process.is_leaving);
        let received = self.broker.last_received().filter(|_| !is_leaving).unwrap_or_default();
        let away = now.saturating_sub(away.max(self.shown_since).max(received));
        if away > AVAILABILITY_BOUND
            && self.broker.will_delay.is_zero()
            && self.home.value("mysa/bridge/availability").is_some_and(|payload| payload == b"online")
        {
            let why = format!("it has been away for {} s", away.as_secs());
            return Err(BridgeViolation::Availability { device: None, shown: true, why });
        }
        Ok(())
    }

    /// Thermostats of the account whose models are known.
    fn listed(&self) -> Vec<DeviceId> {
        let known = self.world.session.devices().filter(|device| device.family().is_some());
        known.map(mysa_session::Device::id).filter(|id| !self.exempt.contains(id)).collect()
    }

    /// Time for which a thermostat has been unable to report, if it is.
    fn dead_for(&self, device: DeviceId) -> Option<Duration> {
        let now = self.now();
        let is_it = |of: &Option<DeviceId>| of.is_none_or(|of| of == device);
        let dead = self.dead.iter().filter(|(from, until, of)| is_it(of) && *from <= now && now < *until);
        dead.map(|(from, ..)| now - *from).max()
    }

    /// `true` if a thermostat was unable to report within `time`.
    fn was_dead_within(&self, device: DeviceId, time: Duration) -> bool {
        let now = self.now();
        let is_it = |of: &Option<DeviceId>| of.is_none_or(|of| of == device);
        self.dead.iter().any(|(from, until, of)| is_it(of) && *from <= now && now < *until + time)
    }

    /// Checks the availability and the state of the thermostats that Home Assistant shows.
    fn check_thermostats(&self) -> Result<(), BridgeViolation> {
        let now = self.now();
        let local = now.saturating_sub(self.local_since);
        if local <= AVAILABILITY_BOUND {
            return Ok(());
        }
        let cloud = now.saturating_sub(self.cloud_trouble_at);
        let lost = self.cloud_lost_for();
        for device in self.listed() {
            let id = device.as_str();
            let shown = self.home.is_available(id);
            let wrong = |why: String| BridgeViolation::Availability { device: Some(device), shown, why };
            if let Some(lost) = lost.filter(|lost| *lost > CLOUD_LOST_BOUND && shown) {
                return Err(wrong(format!("the cloud has been unreachable for {} s", lost.as_secs())));
            }
            if let Some(dead) = self.dead_for(device).filter(|dead| *dead > SILENCE_BOUND && shown)
                && cloud > CLOUD_SETTLES
            {
                return Err(wrong(format!("it has reported nothing for {} s", dead.as_secs())));
            }
            let is_well = cloud > CLOUD_SETTLES && !self.was_dead_within(device, CLOUD_SETTLES);
            if is_well && !shown {
                return Err(wrong(format!(
                    "there was no trouble at home for {} s, and of the cloud for {} s",
                    local.as_secs(),
                    cloud.as_secs()
                )));
            }
            self.check_state(device, is_well)?;
            self.check_energy(device, is_well)?;
        }
        Ok(())
    }

    /// Checks the energy that Home Assistant shows.
    fn check_energy(&self, device: DeviceId, is_well: bool) -> Result<(), BridgeViolation> {
        let now = self.now();
        let Some(file) = &self.energy else { return Ok(()) };
        let quiet = now.saturating_sub(self.local_since.max(file.fault_at));
        let is_well = is_well && quiet > SETTLES && self.has_right_clock();
        file.check(now, device, self.energy(device), is_well)
    }

    /// Time for which the network to the cloud has been down or lost everything.
    fn cloud_lost_for(&self) -> Option<Duration> {
        let now = self.now();
        let lost = |trouble: &&NetTrouble| {
            matches!(trouble.kind, Trouble::Down | Trouble::BlackHole)
                && trouble.from <= now
                && now < trouble.until
        };
        let from = self.world.net.spec.troubles.iter().filter(lost).map(|trouble| trouble.from).min()?;
        Some(now.saturating_sub(from.max(self.world.awake_since())))
    }

    fn check_state(&self, device: DeviceId, is_well: bool) -> Result<(), BridgeViolation> {
        let now = self.now();
        let Some(json) = self.home.state(device.as_str()) else { return Ok(()) };
        let changed = self.session_changed.get(&device).copied().unwrap_or_default();
        if now > changed.max(self.local_since) + PASS_ON
            && let Some(known) = self.world.session.device(device)
            && let Some(what) = driver::difference(&json, known)
        {
            return Err(BridgeViolation::Outdated { device, what });
        }
        if is_well
            && !self.judge.unreliable.contains(&device)
            && let Some(what) = self.judge.outdated(now, &self.world.cloud, device, &json, STATE_BOUND)
        {
            let truth = self.world.truth(device);
            let what = format!("{what}; the thermostat holds {truth:?}");
            return Err(BridgeViolation::Outdated { device, what });
        }
        Ok(())
    }
}
