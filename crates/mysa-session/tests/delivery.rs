//! Detection of a broker that grants subscriptions and delivers nothing.

mod rig;

use mysa_session::{Event, Level, Reason};
use rig::{Rig, secs};

fn reasons(rig: &Rig) -> Vec<Reason> {
    let service = |event: &Event| match event {
        Event::Service(service) => Some(service.reason),
        _ => None,
    };
    rig.events.iter().filter_map(|(_, event)| service(event)).collect()
}

#[test]
fn a_broker_that_delivers_nothing_is_reported_although_its_connections_are_cut() {
    let mut rig = Rig::new();
    rig.cloud.sends_at_ping = false;
    for _ in 0..40 {
        rig.run(secs(60));
        rig.cut();
    }
    assert!(reasons(&rig).contains(&Reason::NothingDelivered), "{:?}", reasons(&rig));
}

/// Each connection before the outage is too short for a message.
#[test]
fn an_outage_does_not_count_as_time_in_which_nothing_was_delivered() {
    for seconds in 0..60 {
        let mut rig = Rig::live();
        rig.cloud.upgrade = Some(503);
        rig.cut();
        rig.run(secs(3_600 + seconds));
        rig.cloud.upgrade = None;
        rig.run(secs(70));
        assert_eq!(rig.session.service().level, Level::Live, "{seconds}: {}", rig.session.service());
        assert!(!reasons(&rig).contains(&Reason::NothingDelivered), "{seconds}: {:?}", reasons(&rig));
    }
}
