//! Helpers shared by the tests of named failures.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it; a failing helper fails its test"
)]

use std::time::Duration;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::{Celsius, Change, DeviceId};
use mysa_session::{CommandId, Event, Level, Reason, Settings, Start, Verdict};
use mysa_sim::{CloudSpec, DeviceFault, Fault, Incident, Window};
use mysa_world::{NetSpec, Violation, World};

/// The thermostats of [`CloudSpec::demo`], by family.
pub(crate) const V1: &str = "a0b1c2d3e4f5";
pub(crate) const V2: &str = "a0b1c2d3e4f6";
pub(crate) const LITE: &str = "a0b1c2d3e4f7";
pub(crate) const FLOOR: &str = "a0b1c2d3e4f8";
pub(crate) const AC: &str = "a0b1c2d3e4f9";
pub(crate) const ALL: [&str; 5] = [V1, V2, LITE, FLOOR, AC];

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn device(id: &str) -> DeviceId {
    DeviceId::new(id).unwrap()
}

pub(crate) fn set(degrees: f64) -> Change {
    Change::setpoint(Celsius::from_degrees(degrees).unwrap())
}

/// The demo home without history.
pub(crate) fn demo() -> CloudSpec {
    let mut spec = CloudSpec::demo();
    spec.history_days = 0;
    spec
}

/// A world in which the demo home is live.
pub(crate) fn live(settings: Settings, seed: u64) -> World {
    live_with(demo(), settings, seed)
}

pub(crate) fn live_with(spec: CloudSpec, settings: Settings, seed: u64) -> World {
    let mut world = World::new(spec, NetSpec::default(), settings, seed);
    world.go(secs(30));
    assert_eq!(world.session.service().level, Level::Live, "{}", world.session.service());
    world
}

/// Settings that pass on every message in raw form.
pub(crate) fn raw() -> Settings {
    let mut settings = Settings::default();
    settings.raw_messages = true;
    settings
}

/// Status of a V2 thermostat, or of the floor heater, with these fields in its body.
pub(crate) fn status(world: &World, id: &str, body: &str) -> String {
    let (time, number) = (world.wall().as_secs(), if id == FLOOR { 17 } else { 40 });
    format!(
        r#"{{"ver":"1.0","src":{{"type":1,"ref":"{id}"}},"time":{time},"msg":{number},"id":7,"body":{{{body}}}}}"#
    )
}

/// Silences a thermostat, so that only the test's messages arrive from it.
pub(crate) fn silence(world: &mut World, id: &str) {
    world.fault(1_000 * HOUR, Fault::Device(Some(device(id)), DeviceFault::DropStatuses));
    world.fault(1_000 * HOUR, Fault::FreezeStates);
}

/// Start from the session that the last run stored.
pub(crate) fn resume(world: &World, password: Option<&str>) -> Start {
    Start::Resume { stored: world.stored().unwrap().clone(), password: password.map(Secret::from) }
}

pub(crate) fn resume_stored(stored: &StoredSession, password: Option<&str>) -> Start {
    Start::Resume { stored: stored.clone(), password: password.map(Secret::from) }
}

/// Test actions on a world; each fails with the world's history if an invariant is broken.
pub(crate) trait Drive {
    fn go(&mut self, time: Duration);
    /// Runs while `wait` holds, for at most `limit`. Returns `true` if `wait` ended before the limit.
    fn go_while(&mut self, limit: Duration, wait: impl Fn(&World) -> bool) -> bool;
    fn ask(&mut self, id: &str, change: Change) -> CommandId;
    fn fault(&mut self, time: Duration, fault: Fault);
    fn publish_from(&mut self, id: &str, payload: impl Into<Vec<u8>>);
    fn level(&self) -> Level;
    fn reason(&self) -> Reason;
    /// Number of events that reported this service level.
    fn reports_of(&self, level: Level) -> usize;
    fn shown(&self, id: &str) -> Option<f64>;
    fn verdict_on(&self, id: CommandId) -> &Verdict;
}

fn held<T>(world: &World, result: Result<T, Violation>) -> T {
    result.unwrap_or_else(|violation| {
        for line in world.history() {
            println!("{line}");
        }
        panic!("{violation}")
    })
}

impl Drive for World {
    fn go(&mut self, time: Duration) {
        let result = self.run_for(time);
        held(self, result);
    }

    fn go_while(&mut self, limit: Duration, wait: impl Fn(&World) -> bool) -> bool {
        let result = self.run_while(limit, wait);
        held(self, result)
    }

    fn ask(&mut self, id: &str, change: Change) -> CommandId {
        let result = self.command(device(id), change, None);
        held(self, result).unwrap()
    }

    /// Adds a fault for `time` from now on.
    fn fault(&mut self, time: Duration, fault: Fault) {
        let now = self.now();
        self.cloud.add_fault(Window::new(now, now + time, fault));
    }

    /// Publishes a payload unchanged on a thermostat's `/out`.
    fn publish_from(&mut self, id: &str, payload: impl Into<Vec<u8>>) {
        self.happen(Incident::Publish(format!("/v1/dev/{id}/out"), payload.into()));
    }

    fn level(&self) -> Level {
        self.session.service().level
    }

    fn reason(&self) -> Reason {
        self.session.service().reason
    }

    fn reports_of(&self, level: Level) -> usize {
        self.events()
            .iter()
            .filter(|(_, event)| matches!(event, Event::Service(service) if service.level == level))
            .count()
    }

    fn shown(&self, id: &str) -> Option<f64> {
        let setpoint = self.session.state(device(id))?.setpoint()?;
        Some(f64::from(setpoint.value.as_hundredths()) / 100.0)
    }

    fn verdict_on(&self, id: CommandId) -> &Verdict {
        self.verdict(id).unwrap_or_else(|| panic!("no verdict on {id}"))
    }
}
