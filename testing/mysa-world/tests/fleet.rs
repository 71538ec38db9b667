//! Fleets of workers: named failures, a large fleet, and a small part of the random campaign.

use std::time::Duration;

use mysa_fleet::Settings;
use mysa_world::{FleetViolation, FleetWorld, fleet_campaign};

const SECOND: Duration = Duration::from_secs(1);

fn fleet(workers: usize, accounts: usize, starts_per_second: f64) -> Result<FleetWorld, FleetViolation> {
    let mut settings = Settings::default();
    settings.starts_per_second = starts_per_second;
    let mut world = FleetWorld::new(settings, 1);
    for number in 0..accounts {
        world.set_account(&format!("a{number}"), true);
    }
    for _ in 0..workers {
        world.add_worker();
    }
    world.run_for(40 * SECOND)?;
    world.check_owners()?;
    Ok(world)
}

#[test]
fn random_fleets_recover_from_random_trouble() {
    for seed in 1..=12 {
        if let Err(failure) = fleet_campaign(seed, 1) {
            panic!("{failure}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_fleet() {
    let (one, other) = (fleet_campaign(3, 1).unwrap(), fleet_campaign(3, 1).unwrap());
    assert_eq!(one, other);
    assert_ne!(one.digest, fleet_campaign(4, 1).unwrap().digest);
}

#[test]
fn ten_thousand_accounts_on_two_hundred_workers_survive_the_loss_of_fifty() -> Result<(), FleetViolation> {
    let mut world = fleet(200, 10_000, 20.0)?;
    assert_eq!(world.running(), 10_000);
    // Without trouble nothing moves.
    let starts = world.starts();
    for number in 0..100 {
        world.command(&format!("a{}", number * 97));
    }
    world.run_for(60 * SECOND)?;
    world.check_verdicts()?;
    assert_eq!(world.starts(), starts);
    for number in 0..25 {
        world.kill(number * 7, None);
        world.stop(number * 7 + 1, 50 * SECOND);
        world.command(&format!("a{}", number * 89));
    }
    world.run_for(60 * SECOND)?;
    world.check_owners()?;
    assert_eq!(world.running(), 10_000);
    assert!(world.starts() < starts + 10_000, "the accounts of the others do not move");
    world.run_for(30 * SECOND)?;
    world.check_verdicts()
}

#[test]
fn a_worker_that_is_stopped_for_longer_than_its_lease_has_a_successor_and_sends_nothing_when_it_wakes()
-> Result<(), FleetViolation> {
    let mut world = fleet(3, 30, 20.0)?;
    for round in 0..10 {
        for number in 0..30 {
            world.command(&format!("a{number}"));
        }
        // The commands are with the clients, which send within two seconds.
        world.run_for(Duration::from_millis(200 * round))?;
        world.stop(0, 70 * SECOND);
        world.run_for(65 * SECOND)?;
        world.check_owners()?;
        world.run_for(60 * SECOND)?;
        world.check_verdicts()?;
    }
    Ok(())
}

#[test]
fn a_worker_that_drains_leaves_no_account_alone() -> Result<(), FleetViolation> {
    let mut world = fleet(3, 90, 20.0)?;
    for number in 0..90 {
        world.command(&format!("a{number}"));
    }
    world.run_for(SECOND)?;
    world.drain(1, None)?;
    world.run_for(25 * SECOND)?;
    assert_eq!(world.running(), 90);
    world.run_for(60 * SECOND)?;
    world.check_verdicts()
}

#[test]
fn a_store_that_restarts_moves_nothing_if_it_is_away_for_a_short_time() -> Result<(), FleetViolation> {
    let mut world = fleet(4, 80, 20.0)?;
    let starts = world.starts();
    world.restart_store(10 * SECOND);
    world.run_for(120 * SECOND)?;
    assert_eq!(world.starts(), starts);
    world.restart_store(60 * SECOND);
    world.run_for(60 * SECOND)?;
    assert_eq!(world.running(), 0, "nobody can know who owns what");
    world.run_for(60 * SECOND)?;
    world.check_owners()
}
