//! A small part of the random campaign; `simulate` runs all of it.

use std::time::Duration;

use mysa_session::Settings;
use mysa_sim::{CloudSpec, Fault, FaultPlan};
use mysa_world::{NetSpec, World, campaign};

#[test]
fn random_homes_recover_from_random_trouble() {
    for seed in 1..=16 {
        if let Err(failure) = campaign(seed, 6) {
            panic!("{failure}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 17] {
        let (one, other) = (campaign(seed, 4).unwrap(), campaign(seed, 4).unwrap());
        assert_eq!(one, other);
    }
    assert_ne!(campaign(3, 4).unwrap().digest, campaign(17, 4).unwrap().digest);
}

#[test]
fn replacements_that_cannot_subscribe_are_dialled_at_growing_intervals() {
    // Credentials expire after an hour, so the session dials a replacement before that while the old connection lives
    // on.
    let hour = Duration::from_secs(3_600);
    let mut spec = CloudSpec::demo();
    spec.faults = FaultPlan::default().with(hour / 2, 2 * hour, Fault::DropSubacks);
    let mut world = World::new(spec, NetSpec::default(), Settings::default(), 1);
    world.run_for(hour / 2).unwrap();
    let before = world.cloud.counters().upgrades;
    world.run_for(hour).unwrap();
    let dials = world.cloud.counters().upgrades - before;
    assert!((2..=70).contains(&dials), "{dials} connections in an hour");
}
