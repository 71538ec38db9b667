//! Values from the cloud that a client has to check: dates, tokens and their lifetimes, retained messages and
//! granted subscriptions (F61, F68 to F70, F80, F81).
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;

use std::time::Duration;

use common::{ALL, Drive as _, HOUR, V2, demo, device, live, live_with, resume, secs, set};
use mysa_cognito::RefreshFlow;
use mysa_session::{Event, Level, Link, Reason, Settings};
use mysa_sim::{Closing, CloudSpec, DeviceFault, Endpoint, Fault, HttpFault, Incident};
use mysa_world::{NetSpec, World};

/// Number of events that report a wrong host clock.
fn clock_warnings(world: &World) -> usize {
    world.events().iter().filter(|(_, event)| matches!(event, Event::ClockOff { .. })).count()
}

fn demo_with(faults: &[Fault]) -> CloudSpec {
    let mut spec = demo();
    for fault in faults {
        spec.faults = spec.faults.with(Duration::ZERO, 24 * HOUR, fault.clone());
    }
    spec
}

#[test]
fn f68_a_date_from_a_cache_or_of_one_host_does_not_move_the_clock() {
    let cached = |secs| Fault::Http(Endpoint::Rest, HttpFault::Cached(Duration::from_secs(secs)));
    for (name, fault) in [
        ("cached for 9 h", cached(9 * 3_600)),
        ("cached for 3 min", cached(180)),
        ("older host a day behind", Fault::DateShift(Endpoint::LegacyHost, -86_400)),
        ("older host an hour ahead", Fault::DateShift(Endpoint::LegacyHost, 3_600)),
        ("user pool a day ahead", Fault::DateShift(Endpoint::UserPool, 86_400)),
        ("broker a day behind", Fault::DateShift(Endpoint::Broker, -86_400)),
    ] {
        for from_the_start in [false, true] {
            // No other host can be asked before the first sign-in, whose proof contains the time.
            if from_the_start && name.starts_with("user pool") {
                continue;
            }
            let mut world = if from_the_start {
                World::new(
                    demo_with(std::slice::from_ref(&fault)),
                    NetSpec::default(),
                    Settings::default(),
                    68,
                )
            } else {
                live(Settings::default(), 68)
            };
            if !from_the_start {
                world.fault(20 * HOUR, fault.clone());
            }
            world.go(secs(1_900));
            let case = format!("{name}, from the start: {from_the_start}");
            assert_eq!(world.level(), Level::Live, "{case}: {}", world.session.service());
            assert_eq!(clock_warnings(&world), 0, "{case}");
            // Signatures made with a wrong clock would be refused.
            world.happen(Incident::CloseAll(Closing::Cut));
            world.go(secs(90));
            assert_eq!(world.level(), Level::Live, "{case}: {}", world.session.service());
            assert_eq!(world.cloud.counters().refused_upgrades, 0, "{case}");
            let id = world.ask(V2, set(22.0));
            world.go(secs(40));
            assert!(world.verdict_on(id).is_confirmed(), "{case}: {}", world.verdict_on(id));
        }
    }
}

/// Event in the life of a store that two processes share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Full,
    Room,
    Other,
    Renew,
    Restart,
}

#[test]
fn f69_the_newest_token_that_the_pool_accepts_is_kept() {
    use Step::{Full, Other, Renew, Restart, Room};
    for steps in [
        vec![Other, Renew],
        vec![Renew, Other, Renew, Other, Renew],
        vec![Full, Renew, Room, Renew],
        vec![Full, Renew, Renew, Room, Renew, Restart, Renew],
        vec![Full, Renew, Other, Renew],
        vec![Other, Full, Renew, Room, Renew, Other, Renew],
        vec![Renew, Restart, Other, Renew],
        vec![Full, Room, Other, Other, Renew, Restart, Renew],
    ] {
        for rotation in [true, false] {
            let mut settings = Settings::default();
            let mut spec = demo();
            spec.rules.rotation = rotation;
            if rotation {
                settings.refresh_flow = RefreshFlow::GetTokensFromRefreshToken;
            }
            let mut world = live_with(spec, settings, 69);
            for (n, step) in steps.iter().enumerate() {
                match step {
                    Full => world.fill_disk(true),
                    Room => world.fill_disk(false),
                    Other => world.second_process_renews(),
                    Renew => world.happen(Incident::ExpireTokens),
                    Restart => {
                        let start = resume(&world, Some(CloudSpec::DEMO_PASSWORD));
                        world.restart(start, n as u64);
                    }
                }
                world.go(secs(700));
                let case = format!("{steps:?}, step {n}, rotation {rotation}");
                assert_eq!(world.level(), Level::Live, "{case}: {}", world.session.service());
                assert_eq!(world.cloud.counters().sign_ins, 1, "{case}: the password was needed");
            }
        }
    }
}

#[test]
fn f70_lifetimes_of_any_length_cause_bounded_requests() {
    let century = Duration::from_secs(100 * 365 * 86_400);
    for life in [Duration::ZERO, secs(1), secs(5), secs(59), secs(301), secs(86_400), century] {
        for credentials in [false, true] {
            let mut spec = demo();
            if credentials {
                spec.rules.credential_life = life;
            } else {
                spec.rules.token_life = life;
            }
            let mut world = World::new(spec, NetSpec::default(), Settings::default(), 70);
            world.go(2 * HOUR);
            let counters = world.cloud.counters();
            let case = format!("{life:?}, of credentials: {credentials}: {counters:?}");
            // Fewer than one request per half minute.
            let asked = counters.refreshes + counters.grants + counters.sign_ins;
            assert!(asked < 260, "{case}");
            assert!(counters.http_requests < 2_400, "{case}");
            if life >= secs(301) {
                assert_eq!(world.level(), Level::Live, "{case}: {}", world.session.service());
            }
        }
    }
}

#[test]
fn f80_an_old_retained_message_is_not_shown_as_the_present_state() {
    let ages = [Some(secs(90)), Some(HOUR), Some(24 * HOUR), Some(400 * 24 * HOUR), None];
    for age in ages {
        for later in [false, true] {
            let mut world = if later {
                let mut world = live(Settings::default(), 80);
                world.fault(24 * HOUR, Fault::Retained(age));
                world.happen(Incident::CloseAll(Closing::Cut));
                world
            } else {
                World::new(demo_with(&[Fault::Retained(age)]), NetSpec::default(), Settings::default(), 80)
            };
            let case = format!("{age:?}, later {later}");
            // The retained status has a setpoint one degree above the true one.
            world.go_while(secs(120), |world| {
                for id in ALL {
                    let truth = world.cloud.truth(device(id)).unwrap().setpoint.as_hundredths();
                    let shown = world.shown(id);
                    assert!(
                        shown.is_none_or(|shown| shown == f64::from(truth) / 100.0),
                        "{case}: {id} shows {shown:?}, but the true setpoint is {truth}"
                    );
                }
                true
            });
            assert_eq!(world.level(), Level::Live, "{case}: {}", world.session.service());
        }
    }
}

/// Link of each thermostat, in the order of `ALL`.
fn links(world: &World) -> Vec<Link> {
    ALL.iter().map(|id| world.session.device(device(id)).unwrap().link()).collect()
}

#[test]
fn f81_a_link_is_live_only_if_messages_are_delivered() {
    let nothing = Fault::DeliverNothing(None);
    for (name, faults, reason, within) in [
        ("nothing is delivered", vec![nothing.clone()], Reason::NothingDelivered, 300),
        // Live reports cannot be requested, so only those that come every 20 minutes are missing.
        ("newer apps' policy", vec![nothing, Fault::DenyPublish], Reason::NothingDelivered, 2_400),
        ("one filter in five is granted", vec![Fault::GrantFirst(1)], Reason::SomeSubscriptionsRefused, 60),
        ("none is granted", vec![Fault::GrantFirst(0)], Reason::SubscriptionsRefused, 60),
    ] {
        for later in [false, true] {
            let mut world = if later {
                let mut world = live(Settings::default(), 81);
                for fault in &faults {
                    world.fault(24 * HOUR, fault.clone());
                }
                world.happen(Incident::CloseAll(Closing::Cut));
                world
            } else {
                World::new(demo_with(&faults), NetSpec::default(), Settings::default(), 81)
            };
            world.go(secs(within));
            let case = format!("{name}, later {later}: {}", world.session.service());
            assert!(world.level() > Level::Live && world.reason() == reason, "{case}");
            world.go(secs(2_400 - within));
            let case = format!("{name}, later {later}: {}", world.session.service());
            assert!(world.level() > Level::Live && world.reason() == reason, "{case}");
            assert!(links(&world).contains(&Link::Rest), "{case}: {:?}", links(&world));
            let nothing = reason != Reason::SomeSubscriptionsRefused;
            assert_eq!(!links(&world).contains(&Link::Live), nothing, "{case}: {:?}", links(&world));
            assert!(world.reports_of(Level::Live) <= 2, "{case}: the level flaps");
            // Changes that REST brings are still shown.
            world.press(device(V2), &set(23.5));
            world.go(secs(900));
            assert_eq!(world.shown(V2), Some(23.5), "{case}");
        }
    }
}

#[test]
fn f81_a_delivered_message_makes_the_link_live_at_once() {
    let mut world =
        World::new(demo_with(&[Fault::DeliverNothing(None)]), NetSpec::default(), Settings::default(), 81);
    world.go(HOUR);
    assert_eq!((world.level(), world.reason()), (Level::RestOnly, Reason::NothingDelivered));
    // A command still goes by MQTT, and REST shows its effect.
    let id = world.ask(V2, set(24.0));
    world.go(secs(60));
    assert!(world.verdict_on(id).is_confirmed(), "{:?}", world.verdict_on(id));
    world.cloud.clear_faults();
    assert!(world.go_while(secs(30), |world| world.session.service().level > Level::Live));
    assert!(links(&world).contains(&Link::Live), "{:?}", links(&world));
    world.go(secs(480));
    assert_eq!(links(&world), [Link::Live; 5]);
    assert_eq!((world.level(), world.reports_of(Level::Live)), (Level::Live, 2));
}

#[test]
fn f81_a_single_undelivered_thermostat_is_not_live_and_the_home_is() {
    let mut world = live(Settings::default(), 82);
    world.fault(24 * HOUR, Fault::DeliverNothing(Some(device(V2))));
    world.go(secs(2_400));
    assert_eq!(
        (world.level(), world.reports_of(Level::Live)),
        (Level::Live, 1),
        "{}",
        world.session.service()
    );
    let shown = |id| if id == V2 { Link::Rest } else { Link::Live };
    assert_eq!(links(&world), ALL.map(shown));
    // A thermostat without power is silent, which is not evidence against the broker.
    world.fault(24 * HOUR, Fault::Device(Some(device(V2)), DeviceFault::Powerless));
    world.go(HOUR);
    let shown = |id| if id == V2 { Link::Silent } else { Link::Live };
    assert_eq!((links(&world), world.reports_of(Level::Live)), (ALL.map(shown).to_vec(), 1));
    // Nor do all of them without power.
    world.fault(24 * HOUR, Fault::Device(None, DeviceFault::Powerless));
    world.go(HOUR);
    assert_eq!((links(&world), world.reports_of(Level::Live)), (vec![Link::Silent; 5], 1));
}

#[test]
fn f61_a_link_is_live_only_while_a_source_is_available() {
    let mut world = live(Settings::default(), 61);
    world.go(secs(600));
    assert_eq!(links(&world), [Link::Live; 5]);
    world.fault(HOUR, Fault::RefuseUpgrade(503));
    world.happen(Incident::CloseAll(Closing::Cut));
    world.go(secs(120));
    assert_eq!((world.level(), links(&world)), (Level::RestOnly, vec![Link::Rest; 5]));
    world.fault(HOUR, Fault::Http(Endpoint::Rest, HttpFault::Hang));
    world.go(secs(300));
    assert_eq!((world.level(), links(&world)), (Level::Offline, vec![Link::Unreachable; 5]));
    world.go(HOUR + secs(600));
    assert_eq!((world.level(), links(&world)), (Level::Live, vec![Link::Live; 5]));
}
