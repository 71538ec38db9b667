//! Homes with a bridge: a small part of the random campaign, which `simulate --bridge` runs in full, and days without
//! trouble.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::time::Duration;

use mysa_bridge::Settings as BridgeSettings;
use mysa_proto::DeviceId;
use mysa_session::Settings;
use mysa_sim::CloudSpec;
use mysa_world::{
    BridgeHome, BridgeState, Coverage, LocalTrouble, NetSpec, NetTrouble, Trouble, bridge_campaign,
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Pairs of trouble and state that must meet in the campaign below; otherwise it proves nothing about them.
fn must_meet(trouble: LocalTrouble, state: BridgeState) -> bool {
    use BridgeState as State;
    use LocalTrouble as Kind;
    match state {
        State::Idle => true,
        State::CommandSent => matches!(
            trouble,
            Kind::BrokerRestarts
                | Kind::BrokerDown
                | Kind::BrokerHangs
                | Kind::Cut
                | Kind::HalfOpen
                | Kind::Freeze
                | Kind::PowerCut
                | Kind::HomeRestarts
                | Kind::CloudDown
        ),
        State::Waiting | State::Connecting => matches!(trouble, Kind::BrokerDown | Kind::BrokerHangs),
        State::CloudAway => matches!(trouble, Kind::CloudDown | Kind::HalfOpen | Kind::BrokerHangs),
        _ => false,
    }
}

#[test]
fn random_homes_with_a_bridge_recover_from_random_trouble() {
    let mut coverage: Coverage<LocalTrouble, BridgeState> = Coverage::default();
    for seed in 1..=70 {
        match bridge_campaign(seed, 2) {
            Ok(report) => coverage.merge(&report.coverage),
            Err(failure) => panic!("{failure}"),
        }
    }
    let missing: Vec<_> = coverage.missing().filter(|(trouble, state)| must_meet(*trouble, *state)).collect();
    assert!(missing.is_empty(), "never tried: {missing:?}\n{coverage}");
}

#[test]
fn the_same_seed_gives_the_same_bridge() {
    let (one, other) = (bridge_campaign(5, 1).unwrap(), bridge_campaign(5, 1).unwrap());
    assert_eq!(one, other);
    assert_ne!(one.digest, bridge_campaign(6, 1).unwrap().digest);
}

fn home() -> BridgeHome {
    let (net, bridge) = (NetSpec::default(), BridgeSettings::new("mysa-bridge"));
    BridgeHome::new(CloudSpec::demo(), net, Settings::default(), bridge, 1)
}

fn all(home: &BridgeHome) -> Vec<DeviceId> {
    home.world.cloud.device_ids().collect()
}

/// Bytes that a bridge holds.
fn bytes_of(home: BridgeHome) -> i64 {
    let bridge = home.into_bridge();
    -allocation_counter::measure(|| drop(bridge)).bytes_current
}

/// Bytes that a bridge holds after days with a command each.
fn bytes_after(days: u32) -> i64 {
    // Without live reports, which only take more time to simulate.
    let mut settings = Settings::default();
    settings.live_reports = false;
    let (net, bridge) = (NetSpec::default(), BridgeSettings::new("mysa-bridge"));
    let mut home = BridgeHome::new(CloudSpec::demo(), net, settings, bridge, 1).with_energy(None);
    let devices = all(&home);
    for day in 0..days {
        home.run_for(DAY / 2).unwrap();
        let device = devices[day as usize % devices.len()];
        home.publish(&format!("mysa/{device}/set/mode"), if day % 2 == 0 { "off" } else { "heat" }, false);
        home.run_for(DAY / 2).unwrap();
    }
    assert!(devices.iter().all(|device| home.is_available(*device)));
    bytes_of(home)
}

fn hold_as_much_as_after_a_day(days: u32) {
    let (day, later) = (bytes_after(1), bytes_after(days));
    assert!(day > 10_000, "{day} bytes: nothing is measured");
    assert!(later < day + day / 10, "{day} bytes after a day, {later} after {days} days");
}

#[test]
fn a_bridge_holds_as_much_memory_after_six_days_as_after_one() {
    hold_as_much_as_after_a_day(6);
}

#[test]
#[ignore = "takes minutes; .ci/thorough campaign runs it"]
fn a_bridge_holds_as_much_memory_after_a_month_as_after_a_day() {
    hold_as_much_as_after_a_day(30);
}

/// Energy of a thermostat that a reader must see, kWh: that of the cloud's history and of the time since the start.
fn true_energy(home: &BridgeHome, device: DeviceId) -> f64 {
    let cloud = &home.world.cloud;
    cloud.past_energy(device).unwrap() + cloud.truth(device).unwrap().energy
}

#[test]
fn the_energy_agrees_with_the_cloud_and_goes_on_after_each_end_of_the_bridge() {
    let mut home = home().with_energy(None);
    let devices = all(&home);
    home.run_for(HOUR / 12).unwrap();
    let mut last = vec![0.0; devices.len()];
    for round in 0..24 {
        for (device, last) in devices.iter().zip(&mut last) {
            let (shown, truth) = (home.energy(*device).unwrap(), true_energy(&home, *device));
            // Half an hour of the largest heater, and the rounding.
            assert!(truth - 1.5 < shown && shown < truth + 0.01, "{device}: {shown} of {truth} kWh");
            assert!(shown >= *last && *last >= 0.0);
            *last = shown;
        }
        match round % 3 {
            0 => home.kill(Duration::from_secs(20)),
            1 => home.stop(Duration::from_secs(20)).unwrap(),
            _ => home.cut_power(Duration::from_secs(20)),
        }
        home.run_for(HOUR).unwrap();
    }
    assert!(last.iter().all(|energy| *energy > 100.0), "{last:?}");
}

#[test]
fn the_energy_survives_a_file_that_cannot_be_written_or_is_damaged() {
    for seed in 1..=6 {
        let mut home = home().with_energy(Some(seed));
        let devices = all(&home);
        for _ in 0..12 {
            home.run_for(HOUR / 3).unwrap();
            home.kill(Duration::from_secs(5));
        }
        home.run_for(2 * HOUR).unwrap();
        for device in devices {
            let (shown, truth) = (home.energy(device).unwrap(), true_energy(&home, device));
            assert!(shown > 100.0 && shown < truth + 0.01, "{seed} {device}: {shown} of {truth} kWh");
        }
    }
}

#[test]
fn a_command_from_before_a_restart_is_not_sent_after_it() {
    let mut home = home();
    home.run_for(Duration::from_secs(60)).unwrap();
    let device = all(&home)[0];
    let sent = home.world.commands_on_the_wire();
    // The setpoint is held back when the bridge is killed, and the retained command stays at the broker.
    home.publish(&format!("mysa/{device}/set/setpoint"), "21", false);
    home.run_for(Duration::from_millis(100)).unwrap();
    home.kill(Duration::from_secs(5));
    home.publish(&format!("mysa/{device}/set/mode"), "off", true);
    home.run_for(HOUR).unwrap();
    assert_eq!(home.world.commands_on_the_wire(), sent);
    assert!(home.is_available(device));
}

#[test]
fn thermostats_are_unavailable_while_the_cloud_is_unreachable_and_available_after_it() {
    let mut home = home();
    home.run_for(HOUR).unwrap();
    let devices = all(&home);
    assert!(devices.iter().all(|device| home.is_available(*device)));
    let (from, until) = (home.now(), home.now() + HOUR);
    let troubles = vec![NetTrouble { from, until, kind: Trouble::BlackHole }];
    home.world.set_net(NetSpec { troubles, ..NetSpec::default() });
    home.run_for(HOUR - Duration::from_secs(1)).unwrap();
    assert!(!devices.iter().any(|device| home.is_available(*device)));
    assert_eq!(home.retained("mysa/bridge/availability"), Some(&b"online"[..]));
    home.run_for(HOUR / 4).unwrap();
    assert!(devices.iter().all(|device| home.is_available(*device)));
}

#[test]
fn a_bridge_without_power_is_unavailable_within_half_a_minute() {
    let mut home = home();
    home.run_for(Duration::from_secs(60)).unwrap();
    let device = all(&home)[0];
    home.cut_power(HOUR);
    home.run_for(mysa_world::AVAILABILITY_BOUND).unwrap();
    assert!(!home.is_available(device));
    assert_eq!(home.retained("mysa/bridge/availability"), Some(&b"offline"[..]));
    home.run_for(HOUR + mysa_world::AVAILABILITY_BOUND).unwrap();
    assert!(home.is_available(device));
}
