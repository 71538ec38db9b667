//! Readers of the wire log for the tests of connections.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::collections::BTreeSet;
use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_session::{ConnId, Level, Settings};
use mysa_sim::{AccountSpec, CloudSpec, DeviceSpec, HomeSpec};
use mysa_world::{NetSpec, NetTrouble, Trouble, Wire, World};

/// All dials, each with its time and URL.
pub(crate) fn dials(world: &World) -> Vec<(Duration, String)> {
    let dial = |(at, _, wire): &(Duration, ConnId, Wire)| match wire {
        Wire::Dial { url } => Some((*at, url.clone())),
        _ => None,
    };
    world.wire().iter().filter_map(dial).collect()
}

pub(crate) fn dials_since(world: &World, since: Duration) -> Vec<(Duration, String)> {
    dials(world).into_iter().filter(|(at, _)| *at >= since).collect()
}

/// All CONNECTs, each with its time, connection and client id.
pub(crate) fn connects(world: &World) -> Vec<(Duration, ConnId, String)> {
    let connect = |(at, conn, wire): &(Duration, ConnId, Wire)| match wire {
        Wire::Connect { client_id } => Some((*at, *conn, client_id.clone())),
        _ => None,
    };
    world.wire().iter().filter_map(connect).collect()
}

/// All SUBSCRIBEs, each with its time and filters.
pub(crate) fn subscribes(world: &World) -> Vec<(Duration, Vec<String>)> {
    let subscribe = |(at, _, wire): &(Duration, ConnId, Wire)| match wire {
        Wire::Subscribe(filters) => Some((*at, filters.clone())),
        _ => None,
    };
    world.wire().iter().filter_map(subscribe).collect()
}

/// All publishes that are not commands, each with its time, connection and topic.
pub(crate) fn live_requests(world: &World) -> Vec<(Duration, ConnId, String)> {
    let request = |(at, conn, wire): &(Duration, ConnId, Wire)| match wire {
        Wire::Publish { topic, command: false, .. } => Some((*at, *conn, topic.clone())),
        _ => None,
    };
    world.wire().iter().filter_map(request).collect()
}

/// Parameter in the query of a presigned URL.
pub(crate) fn query<'a>(url: &'a str, name: &str) -> &'a str {
    let at = url.find(&format!("{name}=")).unwrap() + name.len() + 1;
    url[at..].split('&').next().unwrap()
}

/// Signing time of a URL, in seconds from the birth of the world, which is on the 2nd of January at 03:04:05.
pub(crate) fn signed_at(url: &str) -> i64 {
    let date = query(url, "X-Amz-Date");
    let number = |range: std::ops::Range<usize>| date[range].parse::<i64>().unwrap();
    assert_eq!(&date[..6], "202601", "{date}");
    let seconds = number(9..11) * 3_600 + number(11..13) * 60 + number(13..15);
    (number(6..8) - 2) * 86_400 + seconds - (3 * 3_600 + 4 * 60 + 5)
}

/// Checks that no two dials share a signature and that each was signed at the moment it was made.
pub(crate) fn each_dial_is_signed_anew(world: &World) {
    let dials = dials(world);
    let signatures: BTreeSet<&str> = dials.iter().map(|(_, url)| query(url, "X-Amz-Signature")).collect();
    assert_eq!(signatures.len(), dials.len(), "a signature was used twice");
    for (at, url) in &dials {
        let late = i64::try_from(at.as_secs()).unwrap() - signed_at(url);
        assert!((-2..=2).contains(&late), "signed {late} s before the dial at {at:?}");
    }
}

/// Adds a trouble of the network for a time from now on.
pub(crate) fn trouble(world: &mut World, time: Duration, kind: Trouble) {
    let from = world.now();
    let troubles = vec![NetTrouble { from, until: from + time, kind }];
    world.set_net(NetSpec { troubles, ..NetSpec::default() });
}

/// A home of `count` Lites.
pub(crate) fn lites(count: u64) -> CloudSpec {
    let ids = (0..count).map(|n| DeviceId::new(&format!("a0b1c2d3{n:04x}")).unwrap());
    let mut account = AccountSpec::new(CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD);
    let mut home = HomeSpec::new("Maple Street 12");
    home.devices = ids.map(|id| DeviceSpec::new(id, "BB-V2-0-L", "Room")).collect();
    account.homes = vec![home];
    let mut spec = CloudSpec::demo();
    spec.accounts = vec![account];
    spec.history_days = 0;
    spec
}

pub(crate) fn lite(n: u64) -> String {
    format!("a0b1c2d3{n:04x}")
}

/// Settings under which only commands are published.
pub(crate) fn commands_only() -> Settings {
    let mut settings = Settings::default();
    settings.live_reports = false;
    settings
}

/// Returns `true` if every device is subscribed and fresh.
pub(crate) fn all_well(world: &World) -> bool {
    world.session.service().level == Level::Live
        && world
            .session
            .devices()
            .all(|device| world.session.is_subscribed(device.id()) && !device.is_stale())
}
