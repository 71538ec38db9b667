//! Connection failures by their names in the catalogue: F1 to F8, and F19.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::time::Duration;

use common::{AC, ALL, Drive, HOUR, LITE, V1, V2, demo, device, live, live_with, secs, set};
use mysa_cognito::Secret;
use mysa_session::Start;
use mysa_session::{CommandChannel, DeliveryStage, Level, Link, Reason, Settings, Verdict};
use mysa_sim::{Closing, CloudSpec, Endpoint, Fault, HttpFault, Incident, Window};
use mysa_world::{NetSpec, Trouble, World};
use wire::{
    all_well, commands_only, connects, dials, dials_since, each_dial_is_signed_anew, lite, lites, query,
    subscribes, trouble,
};

const DAY: Duration = Duration::from_secs(86_400);

/// To the session, a reset is an end of the connection without a close frame.
#[test]
fn f01_publish_not_permitted_is_detected_and_never_repeated() {
    for closing in [Closing::Frame(None), Closing::Frame(Some(1_000)), Closing::Cut] {
        let mut settings = commands_only();
        settings.channel = CommandChannel::Mqtt;
        let mut world = live(settings, 1);
        world.fault(DAY, Fault::CloseOnPublish(closing));
        let start = connects(&world).len();
        for n in 1..=3 {
            let id = world.ask(V2, set(20.0 + f64::from(n)));
            world.go(secs(90));
            // One attempt, which is not repeated on the new connection.
            assert_eq!(world.commands_on_the_wire(), u64::try_from(n).unwrap(), "{closing:?}");
            assert!(
                matches!(world.verdict_on(id), Verdict::Unconfirmed { reached: DeliveryStage::Wire(_), .. }),
                "{closing:?}: {:?}",
                world.verdict_on(id)
            );
            assert_eq!(connects(&world).len(), start + usize::try_from(n).unwrap(), "{closing:?}");
        }
        assert_eq!((world.level(), world.reason()), (Level::ReadOnly, Reason::PublishNotPermitted));
        // Statuses and REST continue, nothing is published any more, and the application got one event.
        world.press(device(V1), &set(17.5));
        world.ask(V1, set(23.0));
        world.go(5 * HOUR);
        assert_eq!(world.reports_of(Level::ReadOnly), 1, "{closing:?}");
        assert_eq!((world.commands_on_the_wire(), world.level()), (3, Level::ReadOnly), "{closing:?}");
        assert!(ALL.iter().all(|id| world.session.is_subscribed(device(id))), "{closing:?}");
        world.press(device(AC), &set(24.0));
        world.go(secs(120));
        assert_eq!(world.shown(AC), Some(24.0), "{closing:?}");
    }
}

#[test]
fn f01_publish_not_permitted_by_silence_is_detected_without_losing_the_connection() {
    let mut settings = commands_only();
    settings.channel = CommandChannel::Mqtt;
    let mut world = live(settings, 2);
    world.fault(DAY, Fault::DropPublishes);
    let start = connects(&world).len();
    for n in 1..=3 {
        let id = world.ask(V2, set(20.0 + f64::from(n)));
        world.go(secs(60));
        assert!(matches!(world.verdict_on(id), Verdict::Unconfirmed { reached: DeliveryStage::Wire(_), .. }));
    }
    assert_eq!((world.level(), world.reason()), (Level::ReadOnly, Reason::PublishNotPermitted));
    assert_eq!((world.reports_of(Level::ReadOnly), connects(&world).len()), (1, start));
}

#[test]
fn f02_repeated_closes_after_connack_stay_within_backoff_and_memory() {
    let mut world = World::new(demo(), NetSpec::default(), Settings::default(), 3);
    for (n, after) in [(0, 20), (1, 40), (2, 60)] {
        let fault = Fault::CloseAfterConnect {
            after: Duration::from_millis(after),
            closing: if n == 1 { Closing::Cut } else { Closing::Frame(None) },
        };
        world.cloud.add_fault(Window::new(2 * HOUR * n, 2 * HOUR * (n + 1), fault));
    }
    world.go(HOUR);
    let printed = format!("{:?}", world.session).len();
    world.go(5 * HOUR);
    // Full jitter below a cap of one minute: on average one CONNECT per half minute.
    let connects = connects(&world);
    assert!((360..1_000).contains(&connects.len()), "{}", connects.len());
    let grown = format!("{:?}", world.session).len();
    assert!(grown < printed + printed / 4, "{printed} grew to {grown}");
    world.go(secs(60 + 30));
    assert_eq!(world.level(), Level::Live, "{}", world.session.service());
    assert!(ALL.iter().all(|id| world.session.is_subscribed(device(id))));
}

#[test]
fn f02_pacing_avoids_bursts() {
    // CONNECT and then one packet per 350 ms: at most four packets in the first second.
    let mut spec = lites(30);
    spec.faults = spec.faults.with(
        Duration::ZERO,
        DAY,
        Fault::CloseOnBurst { packets: 4, closing: Closing::Frame(None) },
    );
    let mut world = live_with(spec, Settings::default(), 4);
    world.go(HOUR);
    assert!(all_well(&world), "{}", world.session.service());
    assert_eq!(world.reason(), Reason::Healthy);
    let sent: Vec<_> =
        world.wire().iter().filter(|(_, _, wire)| !matches!(wire, mysa_world::Wire::PubAck(_))).collect();
    for (n, (at, conn, wire)) in sent.iter().enumerate() {
        let first_second = sent[..n].iter().filter(|(then, on, _)| on == conn && *at - *then < secs(1));
        assert!(first_second.count() <= 4, "{wire:?} at {at:?}");
    }
}

#[test]
fn f03_credentials_expire_during_backoff_and_the_next_handshake_has_new_ones() {
    for refresh_is_down in [false, true] {
        let mut world = live(Settings::default(), 5);
        world.go(secs(90));
        let key = |world: &World| {
            let dials = dials(world);
            query(&dials.last().unwrap().1, "X-Amz-Credential").to_owned()
        };
        let (old, down) = (key(&world), world.now());
        trouble(&mut world, secs(61 * 60), Trouble::Down);
        let up = down + secs(61 * 60);
        if refresh_is_down {
            let fault = Fault::Http(Endpoint::Refresh, HttpFault::Status(500));
            world.cloud.add_fault(Window::new(Duration::ZERO, up + secs(330), fault));
        }
        world.run_until(up).unwrap();
        // Pauses between sign-in requests are drawn up to five minutes.
        world.go(secs(325));
        assert_eq!(world.level() == Level::Live, !refresh_is_down, "{}", world.session.service());
        if refresh_is_down {
            assert_eq!(world.reason(), Reason::ServerTrouble { status: 500 });
        }
        world.go(secs(330));
        assert_eq!(world.level(), Level::Live, "{}", world.session.service());
        assert!(dials_since(&world, up).iter().all(|(_, url)| query(url, "X-Amz-Credential") != old));
        assert_ne!(key(&world), old);
        each_dial_is_signed_anew(&world);
        // The tokens were still valid, so there is no second sign-in.
        assert_eq!(world.cloud.counters().sign_ins, 1);
    }
}

#[test]
fn f04_a_connection_is_replaced_before_the_limit_of_24_hours() {
    // The limit is reached by hourly renewal of credentials, or by the age of the connection alone.
    for by_credentials in [true, false] {
        let mut settings = Settings::default();
        settings.replace_before_credentials_expire = by_credentials;
        let mut world = live(settings, 6);
        let from = world.events().len();
        world.go(25 * HOUR);
        let lost = world.events()[from..]
            .iter()
            .filter(|(_, event)| matches!(event, mysa_session::Event::Service(_)));
        assert_eq!(lost.count(), 0, "by credentials: {by_credentials}");
        assert!(all_well(&world));
        let ages: Vec<_> = connects(&world).windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(!ages.is_empty() && ages.iter().all(|age| *age < 24 * HOUR), "{ages:?}");
    }
}

#[test]
fn f04_a_close_at_24_hours_keeps_the_level_and_decides_the_open_command() {
    let mut settings = Settings::default();
    settings.replace_before_credentials_expire = false;
    settings.connection_life = 30 * HOUR;
    let mut world = live(settings, 7);
    let opened = connects(&world)[0].0;
    world.run_until(opened + 24 * HOUR - secs(2)).unwrap();
    let from = world.events().len();
    // The acknowledgement is lost, so the close finds the command undecided. The three-minute leases are renewed by
    // age, so some are about to expire at any moment.
    world.fault(secs(3), Fault::Device(Some(device(V2)), mysa_sim::DeviceFault::DropAcks));
    world.fault(secs(3), Fault::Device(Some(device(V2)), mysa_sim::DeviceFault::DropStatuses));
    let id = world.ask(V2, set(22.5));
    world.go(secs(60));
    assert!(connects(&world).len() == 2, "{:?}", connects(&world));
    assert!(world.verdict_on(id).is_confirmed(), "{:?}", world.verdict_on(id));
    assert_eq!(world.commands_on_the_wire(), 1);
    let levels: Vec<Level> = world.events()[from..]
        .iter()
        .filter_map(|(_, event)| match event {
            mysa_session::Event::Service(service) => Some(service.level),
            _ => None,
        })
        .collect();
    assert!(levels.iter().all(|level| *level == Level::Live), "{levels:?}");
    assert!(all_well(&world));
}

#[test]
fn f05_half_open_connections_are_found_within_one_and_a_half_keep_alives() {
    let settings = Settings::default();
    let limit = settings.keep_alive * 3 / 2 + settings.backoff_first;
    for (kind, seed) in [(Trouble::BlackHole, 8), (Trouble::BlackHoleOut, 9), (Trouble::BlackHoleIn, 10)] {
        for wait in [0, 17, 44] {
            let mut world = live(settings.clone(), seed);
            world.go(secs(wait));
            let (start, known) = (world.now(), dials(&world).len());
            trouble(&mut world, secs(600), kind);
            assert!(world.go_while(limit, |world| dials(world).len() == known), "{kind:?} after {wait} s");
            world.run_until(start + secs(600)).unwrap();
            world.go(secs(120));
            assert!(all_well(&world), "{kind:?}: {}", world.session.service());
            each_dial_is_signed_anew(&world);
        }
    }
}

#[test]
fn f05_the_session_recovers_after_a_laptop_slept() {
    // During sleep the monotonic clock stops on some systems and continues on others.
    for counted in [false, true] {
        for hours in [1, 3, 30] {
            let mut world = live(Settings::default(), 11);
            world.go(secs(100));
            if counted {
                world.freeze(HOUR * hours);
            } else {
                world.suspend(HOUR * hours);
            }
            world.go(HOUR * hours + secs(120));
            assert!(all_well(&world), "{hours} h, counted {counted}: {}", world.session.service());
            let id = world.ask(V2, set(21.5));
            world.go(secs(20));
            assert!(world.verdict_on(id).is_confirmed(), "{hours} h: {:?}", world.verdict_on(id));
            each_dial_is_signed_anew(&world);
        }
    }
}

/// The broker, which reads nothing and so misses no ping, sends a hundred unacknowledged messages again every five seconds.
#[test]
fn f05_a_connection_that_a_sleeping_host_does_not_read_ends_when_its_window_is_full() {
    let mut world = live(Settings::default(), 12);
    for fault in [Fault::StopReading, Fault::RaiseQos, Fault::Duplicate] {
        world.fault(HOUR, fault);
    }
    world.suspend(2 * HOUR);
    world.go(HOUR - secs(1));
    assert_eq!(world.cloud.clients().count(), 0);
    world.go(HOUR + secs(121));
    assert!(all_well(&world), "{}", world.session.service());
    each_dial_is_signed_anew(&world);
}

/// The observer checks every packet against 8 filters and every connection against 50; this test checks that no topic
/// is left out. A thermostat has two topics to listen to; the third, `/in`, is for commands.
#[test]
fn f06_more_than_eight_filters_and_more_than_fifty_are_spread() {
    for batch in [false, true] {
        for count in [1, 4, 5, 8, 9, 25, 26, 49, 50, 51, 100, 101, 200] {
            let mut settings = commands_only();
            settings.subscriptions.batch = batch;
            let mut world = World::new(lites(count), NetSpec::default(), settings, count);
            world.go(secs(60));
            let case = format!("{count} devices, batch {batch}");
            let filters = count * if batch { 2 } else { 1 };
            assert_eq!(world.level(), Level::Live, "{case}");
            assert_eq!(connects(&world).len() as u64, filters.div_ceil(50), "{case}");
            assert_eq!(world.cloud.subscriptions() as u64, filters, "{case}");
            assert!(subscribes(&world).iter().all(|(_, filters)| filters.len() <= 8), "{case}");
        }
    }
}

#[test]
fn f06_unsubscribing_keeps_to_eight_filters_too() {
    let mut world = World::new(lites(40), NetSpec::default(), commands_only(), 12);
    world.go(secs(60));
    for n in 0..20 {
        world.happen(Incident::Remove(device(&lite(n))));
    }
    world.go(HOUR);
    let given_up: Vec<usize> = world
        .wire()
        .iter()
        .filter_map(|(_, _, wire)| match wire {
            mysa_world::Wire::Unsubscribe(filters) => Some(filters.len()),
            _ => None,
        })
        .collect();
    assert_eq!((given_up.iter().sum::<usize>(), given_up.iter().max()), (20, Some(&8)), "{given_up:?}");
    assert_eq!((world.session.devices().len(), world.cloud.subscriptions()), (20, 20));
}

#[test]
fn f07_a_partial_suback_concerns_its_device_only() {
    let cases = [
        ("one of three refused", Fault::SubackCodes(vec![1, 0x80, 1]), vec![true, false, true]),
        ("too short", Fault::SubackCodes(vec![1]), vec![true, false, false]),
        ("too long", Fault::SubackCodes(vec![1, 1, 1, 1, 1]), vec![true, true, true]),
        ("another packet's", Fault::SubackWrongId, vec![true, true, true]),
        ("never", Fault::DropSubacks, vec![true, true, true]),
    ];
    for (case, fault, expected) in cases {
        let mut world = World::new(lites(3), NetSpec::default(), Settings::default(), 13);
        world.cloud.add_fault(Window::times(1, fault));
        world.go(secs(60));
        let granted =
            |world: &World| (0..3).map(|n| world.session.is_subscribed(device(&lite(n)))).collect::<Vec<_>>();
        assert_eq!(granted(&world), expected, "{case}");
        let all = if expected == [true; 3] { Level::Live } else { Level::Partial };
        assert_eq!(world.level(), all, "{case}: {}", world.session.service());
        let (subscribes, dials) = (world.subscribes_on_the_wire(), dials(&world).len());
        assert!(dials <= 2, "{case}");
        // The refused filter is tried again, slowly and without disturbing the others.
        world.go(secs(400));
        assert_eq!(world.subscribes_on_the_wire(), subscribes, "{case}");
        world.go(secs(300));
        assert_eq!((granted(&world), world.level()), (vec![true; 3], Level::Live), "{case}");
        assert_eq!(wire::dials(&world).len(), dials, "{case}");
    }
}

#[test]
fn f07_a_device_that_stays_refused_is_reported_and_the_others_are_live() {
    let mut world = World::new(lites(3), NetSpec::default(), Settings::default(), 14);
    world.cloud.add_fault(Window::new(Duration::ZERO, DAY, Fault::RefuseDevice(device(&lite(1)))));
    world.go(23 * HOUR);
    assert_eq!((world.level(), world.reports_of(Level::Partial)), (Level::Partial, 1));
    for known in world.session.devices() {
        let link = if known.id() == device(&lite(1)) { Link::Rest } else { Link::Live };
        assert_eq!(known.link(), link, "{}", known.label());
    }
    assert!(!world.session.is_subscribed(device(&lite(1))));
    let asked = subscribes(&world)
        .iter()
        .filter(|(_, filters)| filters.iter().any(|name| name.contains(&lite(1))))
        .count();
    assert!((4..40).contains(&asked), "asked {asked} times");
    world.go(25 * HOUR);
    assert!(world.session.is_subscribed(device(&lite(1))));
    assert_eq!(world.level(), Level::Live);
}

#[test]
fn f08_missing_pubacks_delay_the_whole_home_by_one_deadline() {
    let mut spec = lites(20);
    spec.faults = spec.faults.with(Duration::ZERO, DAY, Fault::DropPublishes);
    let mut world = World::new(spec, NetSpec::default(), Settings::default(), 15);
    world.go(secs(10));
    assert_eq!(world.session.devices().len(), 20);
    assert!((0..20).all(|n| world.session.is_subscribed(device(&lite(n)))));
    // Telemetry is not delayed.
    world.press(device(&lite(7)), &set(17.0));
    world.go(secs(5));
    assert_eq!(world.shown(&lite(7)), Some(17.0));
    world.go(secs(30));
    assert_eq!((world.level(), world.reason()), (Level::ReadOnly, Reason::PublishNotPermitted));
    assert_eq!(connects(&world).len(), 1);
    // Exactly twenty requests, each with its retries.
    let publishes = world.publishes_on_the_wire();
    assert!(publishes <= 60, "{publishes}");
    world.go(5 * HOUR);
    assert_eq!(world.publishes_on_the_wire(), publishes);
}

#[test]
fn f19_a_wrong_clock_of_the_host_is_corrected_for() {
    for minutes in [-20, 20] {
        let start = Start::Password {
            username: CloudSpec::DEMO_EMAIL.into(),
            password: Secret::from(CloudSpec::DEMO_PASSWORD),
        };
        let mut world =
            World::with_start(demo(), NetSpec::default(), Settings::default(), start, 16, minutes * 60_000);
        world.go(secs(30));
        assert_eq!(world.level(), Level::Live, "{minutes} min: {}", world.session.service());
        let reported = world.events().iter().filter_map(|(_, event)| match event {
            mysa_session::Event::ClockOff { ahead_ms } => Some(*ahead_ms),
            _ => None,
        });
        let reported: Vec<i64> = reported.collect();
        assert!(
            reported.len() == 1 && (reported[0] + minutes * 60_000).abs() < 2_000,
            "{minutes} min: {reported:?}"
        );
        // The lifetime of a token counts from its receipt, so the session renews as if the clock were right.
        world.go(10 * HOUR);
        assert!(world.cloud.counters().refreshes <= 12, "{}", world.cloud.counters().refreshes);
        assert_eq!(world.cloud.counters().refused_upgrades, 0, "{minutes} min");
        each_dial_is_signed_anew(&world);
    }
}

#[test]
fn f19_a_clock_that_is_set_while_running_breaks_no_signature() {
    for minutes in [-20, 20] {
        let mut world = live(Settings::default(), 17);
        world.go(secs(100));
        world.step_clock(minutes * 60_000);
        world.happen(Incident::CloseAll(Closing::Cut));
        world.go(secs(90));
        assert!(all_well(&world), "{minutes} min: {}", world.session.service());
        let id = world.ask(LITE, set(21.0));
        world.go(secs(20));
        assert!(world.verdict_on(id).is_confirmed());
        world.go(5 * HOUR);
        assert!(all_well(&world), "{minutes} min: {}", world.session.service());
        assert!(world.cloud.counters().refreshes <= 7, "{}", world.cloud.counters().refreshes);
        assert!(world.cloud.counters().refused_upgrades <= 1, "{minutes} min");
    }
}
