//! Work of the driver of `mysa bridge` between the session and the bridge.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_bridge::client::LinkId;
use mysa_bridge::energy::Reading;
use mysa_bridge::{AccountIndex, Bridge, RequestId, Thermostat};
use mysa_proto::{DeviceId, DutyCycle, Family, Load, LoadCurrent, Now, Power, Source, Watts};
use mysa_session::{CommandId, Device, Event, Link, Reason};
use serde_json::Value;

use super::energy::{self, EnergyFile};
use crate::World;

/// Interval of the snapshots of all thermostats.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(30);
/// Rated power of each heater, W.
const RATED: f64 = 1_500.0;

/// The only account.
const ACCOUNT: AccountIndex = AccountIndex::FIRST;

/// A bridge and what its driver keeps.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) bridge: Bridge,
    pub(crate) is_listed: bool,
    /// Commands without a verdict.
    pub(crate) commands: BTreeMap<CommandId, RequestId>,
    /// Readings of energy without an answer.
    pub(crate) readings: BTreeMap<mysa_session::RequestId, DeviceId>,
    pub(crate) is_leaving: bool,
    /// Time since which the broker has a session of it, as far as the broker is concerned.
    pub(crate) connected: Option<Duration>,
    /// Request that is being delivered, and its connection.
    pub(crate) last_received: Option<(LinkId, u64)>,
    snapshot_at: Duration,
}

impl Process {
    pub(crate) fn new(bridge: Bridge, world: &World) -> Self {
        let mut process = Self {
            bridge,
            is_listed: false,
            commands: BTreeMap::new(),
            readings: BTreeMap::new(),
            is_leaving: false,
            connected: None,
            last_received: None,
            snapshot_at: world.host_now().mono + SNAPSHOT_INTERVAL,
        };
        process.service(world);
        process.show_all(world);
        process
    }

    /// Time, on the world's clock, at which it is due.
    pub(crate) fn due(&self, world: &World) -> Option<Duration> {
        let snapshot = (!self.is_leaving).then_some(self.snapshot_at);
        let due = self.bridge.poll_timeout().into_iter().chain(snapshot).min()?;
        Some(world.at_mono(due))
    }

    /// Does what is due.
    pub(crate) fn work(&mut self, world: &World) {
        let now = world.host_now();
        if self.bridge.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.bridge.handle_timeout(now);
        }
        if !self.is_leaving && self.snapshot_at <= now.mono {
            self.snapshot_at = now.mono + SNAPSHOT_INTERVAL;
            self.show_all(world);
        }
    }

    /// Handles an event of the session. While it leaves, it reads none.
    pub(crate) fn handle_event(&mut self, event: &Event, world: &World, energy: Option<&mut EnergyFile>) {
        if self.is_leaving {
            return;
        }
        if let Event::Verdict { id, verdict, .. } = event
            && let Some(request) = self.commands.remove(id)
        {
            self.bridge.handle_verdict(request, verdict, world.host_now());
        }
        if let Event::Response { id, result } = event
            && let Some(device) = self.readings.remove(id)
        {
            let now = world.host_now();
            let correct = |days: &mut [Reading]| {
                if let Some(file) = energy {
                    file.correct(Now { mono: world.now, wall: world.wall() }, days);
                }
            };
            energy::with_answer(result, correct, |answer| self.bridge.handle_energy(device, answer, now));
        }
        match event {
            Event::Device { device, .. } | Event::Verdict { device, .. } if self.is_listed => {
                self.service(world);
                self.show(world, *device);
            }
            Event::Service(_) => {
                self.service(world);
                self.show_all(world);
            }
            Event::Device { .. }
            | Event::DeviceAdded { .. }
            | Event::DeviceRemoved { .. }
            | Event::Dropped { .. } => self.show_all(world),
            _ => {}
        }
    }

    fn service(&mut self, world: &World) {
        let (service, now) = (world.session.service(), world.host_now());
        let no_source_for = service.no_source_since.map(|at| now.mono.saturating_sub(at));
        self.bridge.handle_service(ACCOUNT, service.level, service.reason, no_source_for, now);
    }

    fn show_all(&mut self, world: &World) {
        let ids: Vec<DeviceId> = world.session.devices().map(Device::id).collect();
        self.is_listed |= !ids.is_empty() || world.session.service().reason == Reason::NoDevices;
        if !self.is_listed {
            return;
        }
        for id in &ids {
            self.show(world, *id);
        }
        self.bridge.handle_list(ACCOUNT, &ids, world.host_now());
    }

    fn show(&mut self, world: &World, id: DeviceId) {
        let Some(device) = world.session.device(id) else { return };
        let now = world.host_now();
        let last_seen_ago = device.last_seen_ago(now.mono);
        let age = last_seen_ago.and_then(|age| i64::try_from(age.as_millis()).ok());
        let thermostat = Thermostat {
            id,
            name: device.name(),
            model: device.model(),
            limits: device.limits(),
            state: device.state(),
            duty: duty(device),
            power: power(device),
            has_rated_power: true,
            is_current: match device.link() {
                Link::Live | Link::Rest => true,
                Link::Unreachable => last_seen_ago.is_some() && !device.is_stale(),
                Link::Silent | Link::Unseen => false,
            },
            link: device.link(),
            firmware: None,
            last_seen: age.map(|age| now.wall.plus_millis(-age)),
            pending: device.pending(),
        };
        self.bridge.handle_thermostat(ACCOUNT, &thermostat, now);
    }
}

fn duty(device: &Device) -> Option<DutyCycle> {
    let state = device.state();
    let relay = state.heating().filter(|_| device.family() == Some(Family::InFloor));
    let relay = relay.and_then(|field| DutyCycle::from_fraction(if field.value { 1.0 } else { 0.0 }));
    relay.or(state.duty().map(|field| field.value))
}

fn power(device: &Device) -> Power {
    let Some(family) = device.family() else { return Power::Unknown };
    let state = device.state();
    let current = state.current().map(|field| match field.source {
        Source::Status => LoadCurrent::Live(field.value),
        _ => LoadCurrent::WhileOn(field.value),
    });
    let load = Load {
        current,
        voltage: state.voltage().map(|field| field.value).or(device.record().line_voltage),
        duty: state.duty().map(|field| field.value),
        relay: state.heating().map(|field| field.value),
        rated: Watts::from_watts(RATED),
    };
    Power::of(family, &load)
}

/// First value in which a published state differs from what the session knows.
pub(crate) fn difference(json: &Value, device: &Device) -> Option<String> {
    let state = device.state();
    let number = |key: &str, known: Option<f64>| {
        let shown = json[key].as_f64();
        let is_same = match (shown, known) {
            (Some(shown), Some(known)) => (shown - known).abs() < 0.06,
            (shown, known) => shown.is_none() == known.is_none(),
        };
        (!is_same).then(|| format!("{key} is shown as {shown:?} and is {known:?}"))
    };
    let mode = state.mode().map(|field| field.value.name());
    number("temperature", state.temperature().map(|field| field.value.as_degrees()))
        .or_else(|| number("setpoint", state.setpoint().map(|field| field.value.as_degrees())))
        .or_else(|| {
            let shown = json["mode"].as_str();
            (shown != mode).then(|| format!("mode is shown as {shown:?} and is {mode:?}"))
        })
        .or_else(|| {
            let (shown, known) = (json["lock"].as_bool(), state.lock().map(|field| field.value));
            (shown != known).then(|| format!("lock is shown as {shown:?} and is {known:?}"))
        })
}
