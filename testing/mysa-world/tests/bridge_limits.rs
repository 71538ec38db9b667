//! Time limits of a session behind a bridge: the loss and the return of the cloud are known within half a minute.

mod common;

use std::time::Duration;

use mysa_session::Settings;
use mysa_sim::{Closing, Fault, Incident};
use mysa_world::{NetSpec, NetTrouble, Trouble, World};

use crate::common::{Drive, HOUR, demo, live, live_with, secs};

/// Time without a source after which the bridge shows the thermostats as unavailable.
const GRACE: Duration = Duration::from_secs(25);

fn tuned() -> Settings {
    let mut settings = Settings::default();
    mysa_bridge::Settings::tune(&mut settings);
    settings
}

fn is_lost(world: &World) -> bool {
    world.session.service().no_source_since.is_some_and(|at| world.now() - at >= GRACE)
}

fn trouble(world: &mut World, time: Duration, kind: Trouble) {
    let from = world.now();
    let troubles = vec![NetTrouble { from, until: from + time, kind }];
    world.set_net(NetSpec { troubles, ..NetSpec::default() });
}

/// Runs for `time` by seconds; returns the time until `wait` first held.
fn time_until(world: &mut World, time: Duration, wait: impl Fn(&World) -> bool) -> Option<Duration> {
    let start = world.now();
    let mut first = None;
    while world.now() < start + time {
        world.go(secs(1));
        first = first.or_else(|| wait(world).then(|| world.now() - start));
    }
    first
}

#[test]
fn the_loss_and_the_return_of_the_cloud_are_known_within_half_a_minute() {
    for kind in [Trouble::Down, Trouble::BlackHole, Trouble::BlackHoleOut, Trouble::BlackHoleIn] {
        for (seed, minutes) in [(1, 1), (2, 3), (3, 20), (4, 90), (5, 400)] {
            let mut world = live(tuned(), seed);
            world.go(secs(37 + seed));
            trouble(&mut world, secs(60 * minutes), kind);
            let lost = time_until(&mut world, secs(60 * minutes), is_lost);
            let lost = lost.unwrap_or_else(|| panic!("{kind:?} {seed}: never lost"));
            // While only the home's bytes vanish, statuses arrive until the connection is given up.
            let pushed = if kind == Trouble::BlackHoleIn { secs(18) } else { Duration::ZERO };
            assert!((secs(14)..=secs(29) + pushed).contains(&lost), "{kind:?} {seed}: lost after {lost:?}");
            let back = time_until(&mut world, secs(60), |world| !is_lost(world));
            let back = back.unwrap_or_else(|| panic!("{kind:?} {seed}: never back"));
            assert!(back <= secs(29), "{kind:?} {seed}: back after {back:?}");
        }
    }
}

#[test]
fn a_cloud_that_only_rest_reaches_is_known_to_be_lost_as_soon() {
    for seed in 1..6 {
        let mut world = World::new(demo(), NetSpec::default(), tuned(), seed);
        world.fault(HOUR, Fault::RefuseUpgrade(403));
        world.go(secs(120 + 7 * seed));
        assert!(!is_lost(&world), "{}", world.session.service());
        trouble(&mut world, secs(600), Trouble::BlackHole);
        let lost = time_until(&mut world, secs(600), is_lost).expect("lost");
        assert!(lost <= secs(29), "{seed}: lost after {lost:?}");
        let back = time_until(&mut world, secs(60), |world| !is_lost(world)).expect("back");
        assert!(back <= secs(30), "{seed}: back after {back:?}");
        // Polls keep up, so nothing flickers.
        assert_eq!(time_until(&mut world, secs(1_800), is_lost), None);
    }
}

#[test]
fn a_connection_that_is_closed_or_lost_for_seconds_does_not_count() {
    for seed in 1..6 {
        let mut world = live(tuned(), seed);
        for _ in 0..20 {
            world.happen(Incident::CloseAll(Closing::Cut));
            assert_eq!(time_until(&mut world, secs(45), is_lost), None, "closed");
            trouble(&mut world, secs(5), Trouble::Down);
            assert_eq!(time_until(&mut world, secs(70), is_lost), None, "down for 5 s");
        }
    }
}

#[test]
fn a_broker_that_stays_away_does_not_count_while_rest_works() {
    let mut world = live_with(demo(), tuned(), 9);
    world.fault(secs(1_200), Fault::RefuseUpgrade(503));
    world.happen(Incident::CloseAll(Closing::Cut));
    assert_eq!(time_until(&mut world, secs(1_200), is_lost), None);
}
