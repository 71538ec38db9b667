//! A day without faults in a home.

use std::time::Duration;

use mysa_proto::{Celsius, Change, DeviceId};
use mysa_session::{Level, Settings};
use mysa_sim::CloudSpec;
use mysa_world::{NetSpec, World};

#[test]
fn a_quiet_day_is_live_from_end_to_end() {
    let mut world = World::new(CloudSpec::demo(), NetSpec::default(), Settings::default(), 1);
    world.run_for(Duration::from_secs(30)).unwrap();
    assert_eq!(world.session.service().level, Level::Live, "{}", world.session.service());
    let kitchen = DeviceId::new("a0b1c2d3e4f6").unwrap();
    let change = Change::setpoint(Celsius::from_degrees(22.5).unwrap());
    let id = world.command(kitchen, change, None).unwrap().unwrap();
    world.run_for(Duration::from_secs(60)).unwrap();
    assert!(world.verdict(id).is_some_and(|verdict| verdict.is_confirmed()), "{:?}", world.verdict(id));
    if let Err(violation) = world.run_for(Duration::from_secs(86_400)) {
        for line in world.history() {
            println!("{line}");
        }
        panic!("{violation}");
    }
    println!("{} steps, digest {}", world.steps(), world.digest());
    assert_eq!(world.session.service().level, Level::Live, "{}", world.session.service());
    assert!(world.session.devices().all(|device| !device.is_stale()));
}
