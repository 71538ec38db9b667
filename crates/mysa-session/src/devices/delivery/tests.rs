//! Every test names the state of a few thermostats by times in seconds before the judgement.

use alloc::format;
use alloc::vec::Vec;

use mysa_proto::{DeviceId, Model};

use super::*;
use crate::context::test_context;

const NOW: u64 = 100_000;
/// Limit of the silence of a thermostat that does not report live.
const QUIET: u64 = 35 * 60;

/// Thermostat whose subscription was granted, messages delivered, and statuses made that REST shows, this long ago.
#[derive(Clone, Copy)]
struct Seen {
    granted: u64,
    delivered: Option<u64>,
    polled: Option<u64>,
    live: bool,
}

/// A thermostat that reports live, for which nothing was delivered since the grant.
const fn undelivered(granted: u64) -> Seen {
    Seen { granted, delivered: None, polled: None, live: true }
}

impl Seen {
    const fn delivered(self, ago: u64) -> Self {
        Self { delivered: Some(ago), ..self }
    }

    const fn polled(self, ago: u64) -> Self {
        Self { polled: Some(ago), ..self }
    }

    const fn quiet(self) -> Self {
        Self { live: false, ..self }
    }
}

fn at(ago: u64) -> Duration {
    Duration::from_secs(NOW - ago)
}

fn context() -> Context {
    let mut cx = test_context();
    cx.now.mono = at(0);
    cx
}

fn devices(seen: &[Seen]) -> Devices {
    let mut devices = Devices::default();
    for (number, seen) in seen.iter().enumerate() {
        let id = DeviceId::new(&format!("a0b1c2d3e4{number:02x}")).unwrap();
        let mut device = Device::new(id, Model::parse("BB-V1-1"), Duration::ZERO);
        device.granted = Some(at(seen.granted));
        device.delivered = seen.delivered.map(at);
        device.polled = seen.polled.map(|ago| Moment::of(at(ago)));
        device.lease_until = at(0) + Duration::from_secs(u64::from(seen.live));
        devices.add(device);
    }
    devices
}

fn judge(seen: &[Seen]) -> Delivery {
    devices(seen).delivery(&context())
}

#[test]
fn nothing_is_expected_before_two_minutes_of_live_reporting() {
    assert_eq!(judge(&[]), Delivery::Flows);
    assert_eq!(judge(&[undelivered(119)]), Delivery::Flows);
    assert_eq!(judge(&[undelivered(120)]), Delivery::Suspect);
    assert_eq!(judge(&[undelivered(119).polled(0)]), Delivery::Flows);
    assert_eq!(judge(&[undelivered(QUIET - 1).quiet()]), Delivery::Flows);
    assert_eq!(judge(&[undelivered(QUIET).quiet()]), Delivery::Silent);
    // A delivered message restarts the wait.
    assert_eq!(judge(&[undelivered(9_000).delivered(119)]), Delivery::Flows);
    assert_eq!(judge(&[undelivered(9_000).delivered(120)]), Delivery::Suspect);
}

#[test]
fn a_status_ninety_seconds_newer_in_rest_counts_as_withheld() {
    assert_eq!(judge(&[undelivered(200).polled(110)]), Delivery::Suspect);
    assert_eq!(judge(&[undelivered(200).polled(109)]), Delivery::Withheld);
    assert_eq!(judge(&[undelivered(9_000).delivered(200).polled(110)]), Delivery::Suspect);
    assert_eq!(judge(&[undelivered(9_000).delivered(200).polled(109)]), Delivery::Withheld);
}

#[test]
fn one_thermostat_alone_is_not_enough_until_eight_minutes_have_passed() {
    let other = undelivered(60);
    assert_eq!(judge(&[undelivered(479).polled(0), other]), Delivery::Suspect);
    assert_eq!(judge(&[undelivered(480).polled(0), other]), Delivery::Withheld);
    assert_eq!(judge(&[undelivered(130).polled(0), undelivered(140).polled(0), other]), Delivery::Withheld);
    assert_eq!(judge(&[undelivered(130).polled(0)]), Delivery::Withheld, "nobody else is waited for");
}

#[test]
fn messages_of_another_thermostat_show_that_the_fault_is_not_the_brokers() {
    let reporting = |ago| undelivered(9_000).delivered(ago);
    assert_eq!(judge(&[undelivered(600).polled(0), reporting(510)]), Delivery::Withheld);
    assert_eq!(judge(&[undelivered(600).polled(0), reporting(509)]), Delivery::Suspect);
    assert_eq!(judge(&[undelivered(600), reporting(30)]), Delivery::Flows);
    assert_eq!(judge(&[undelivered(QUIET), reporting(QUIET - 91)]), Delivery::Suspect);
    assert_eq!(judge(&[undelivered(QUIET).quiet(), reporting(30)]), Delivery::Flows);
}

#[test]
fn silence_of_all_thermostats_differs_from_silence_of_some() {
    assert_eq!(judge(&[undelivered(QUIET), undelivered(QUIET + 60)]), Delivery::Silent);
    assert_eq!(judge(&[undelivered(QUIET), undelivered(60)]), Delivery::Suspect);
    assert_eq!(judge(&[undelivered(QUIET - 1)]), Delivery::Suspect);
}

#[test]
fn refused_subscriptions_do_not_count() {
    let mut refused = devices(&[undelivered(600).polled(0)]);
    refused.iter_mut().for_each(|device| device.refused = true);
    assert_eq!(refused.delivery(&context()), Delivery::Flows);
}

#[test]
fn messages_of_a_thermostat_are_delivered_unless_it_is_refused_overtaken_or_silent() {
    let settings = Settings::default();
    let delivered = |seen: Seen| devices(&[seen]).iter().next().unwrap().is_delivered(&settings, at(0));
    let limit = settings.stale_after.as_secs();
    assert!(!delivered(undelivered(10)), "nothing was delivered");
    assert!(delivered(undelivered(9_000).delivered(limit - 1)));
    assert!(!delivered(undelivered(9_000).delivered(limit)));
    assert!(delivered(undelivered(9_000).delivered(QUIET - 1).quiet()));
    assert!(!delivered(undelivered(9_000).delivered(QUIET).quiet()));
    assert!(delivered(undelivered(9_000).delivered(119).polled(0)));
    assert!(!delivered(undelivered(9_000).delivered(120).polled(0)));
    assert!(delivered(undelivered(9_000).delivered(120).polled(0).quiet()), "REST is newer, but it is early");
    // A message before the grant, and a wait since the grant.
    assert!(delivered(undelivered(100).delivered(500).polled(0)));
}

#[test]
fn the_judgement_is_due_again_at_each_limit() {
    let settings = Settings::default();
    let dues = |granted| -> Option<u64> {
        let due = devices(&[undelivered(granted)]).delivery_due(&context())?;
        Some((due.at - at(granted)).as_secs())
    };
    let (stale, quiet) = (settings.stale_after.as_secs(), settings.stale_after_quiet.as_secs());
    let limits: Vec<_> = [0, 119, 120, 479, 480, stale - 1, stale, quiet - 1, quiet].map(dues).into();
    let expected = [120, 120, 480, 480, stale, stale, quiet, quiet].map(Some);
    assert_eq!(limits[..8], expected);
    assert_eq!(limits[8], None);
}

#[test]
fn a_new_grant_continues_the_wait_less_the_time_without_a_subscription() {
    let mut devices = devices(&[undelivered(500)]);
    let device = devices.iter_mut().next().unwrap();
    device.interrupt(at(400));
    device.interrupt(at(300));
    device.grant(at(250));
    assert_eq!(device.granted, Some(at(350)), "a hundred seconds of waiting, until 250 seconds ago");
    device.delivered = Some(at(350));
    device.interrupt(at(200));
    device.grant(at(100));
    assert_eq!(device.granted, Some(at(100)), "a message was delivered since the last grant");
}
