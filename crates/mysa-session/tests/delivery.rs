//! Detection of a broker that grants subscriptions and delivers nothing.

mod harness;

use harness::{Harness, secs};
use mysa_session::{Event, Level, Reason};

fn reasons(harness: &Harness) -> Vec<Reason> {
    let service = |event: &Event| match event {
        Event::Service(service) => Some(service.reason),
        _ => None,
    };
    harness.events.iter().filter_map(|(_, event)| service(event)).collect()
}

#[test]
fn a_broker_that_delivers_nothing_is_reported_although_its_connections_are_cut() {
    let mut harness = Harness::new();
    harness.cloud.sends_at_ping = false;
    for _ in 0..40 {
        harness.run(secs(60));
        harness.cut();
    }
    assert!(reasons(&harness).contains(&Reason::NothingDelivered), "{:?}", reasons(&harness));
}

/// Each connection before the outage is too short for a message.
#[test]
fn an_outage_does_not_count_as_time_in_which_nothing_was_delivered() {
    for seconds in 0..60 {
        let mut harness = Harness::live();
        harness.cloud.upgrade = Some(503);
        harness.cut();
        harness.run(secs(3_600 + seconds));
        harness.cloud.upgrade = None;
        harness.run(secs(70));
        assert_eq!(harness.session.service().level, Level::Live, "{seconds}: {}", harness.session.service());
        assert!(!reasons(&harness).contains(&Reason::NothingDelivered), "{seconds}: {:?}", reasons(&harness));
    }
}
