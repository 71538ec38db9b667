//! Bytes of decided commands: when a connection ends so that they do not leave, and what becomes of the other commands on it.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{Harness, LITE, by, device, secs, setpoint};
use mysa_proto::Change;
use mysa_session::{CommandChannel, Now, Output, Verdict};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Home in which neither the broker nor a thermostat answers a command.
fn unanswered() -> Harness {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.run(secs(10));
    harness.cloud.broker.puback = false;
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    harness
}

/// Runs while reports arrive and nothing that is sent is read.
fn reports_only(harness: &mut Harness, time: Duration) {
    for _ in 0..time.as_millis() / 100 {
        harness.run(millis(100));
        if harness.open_sockets() > 0 {
            harness.retained(LITE, "{}");
        }
    }
}

#[test]
fn an_unread_publish_whose_command_is_decided_ends_a_blocked_connection() {
    let mut harness = unanswered();
    let now = harness.now();
    let sent = harness.session.command(now, device(LITE), setpoint(20.0), Some(secs(60))).unwrap();
    harness.run(Duration::from_millis(10));
    let (now, conn) = (harness.now(), harness.log.subscribes[0].1);
    harness.session.handle_ws_blocked(now, conn, true);
    // A status shows that the connection lives. From then on the broker reads nothing, pings included.
    harness.status(LITE, 19.0);
    harness.run(Duration::from_millis(500));
    harness.cloud.dead = true;
    // After three times five seconds without PUBACK, the publish counts as unread.
    harness.run(Duration::from_millis(15_000));
    assert_eq!((harness.log.aborts, harness.verdicts(sent)), (0, vec![]));
    let now = harness.now();
    harness.session.cancel(now, sent);
    harness.run(Duration::from_millis(10));
    assert!(matches!(harness.verdict(sent), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(sent));
    assert_eq!(harness.log.aborts, 1);
}

/// The operating system accepts bytes for a peer that has stopped reading, so nothing shows that the
/// connection is blocked.
#[test]
fn a_decided_command_ends_a_connection_on_which_the_peer_is_silent_since() {
    for (dead, aborts) in [(true, 1), (false, 0)] {
        let mut harness = unanswered();
        harness.cloud.dead = dead;
        let now = harness.now();
        let id = harness.session.command(now, device(LITE), setpoint(20.0), Some(secs(9))).unwrap();
        harness.run(Duration::from_millis(8_900));
        assert_eq!((harness.log.aborts, harness.verdicts(id)), (0, vec![]), "dead: {dead}");
        harness.run(Duration::from_millis(200));
        assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(id));
        assert_eq!(harness.log.aborts, aborts, "dead: {dead}");
    }
}

/// A report that was on its way when the connection broke proves nothing about the command.
#[test]
fn a_report_just_after_a_command_does_not_keep_a_silent_connection() {
    let mut harness = unanswered();
    let now = harness.now();
    let id = harness.session.command(now, device(LITE), setpoint(20.0), Some(secs(9))).unwrap();
    harness.run(Duration::from_millis(100));
    harness.status(LITE, 19.0);
    harness.run(Duration::from_millis(100));
    harness.cloud.dead = true;
    harness.run(Duration::from_millis(8_700));
    assert_eq!((harness.log.aborts, harness.verdicts(id)), (0, vec![]));
    harness.run(Duration::from_millis(200));
    assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(id));
    assert_eq!(harness.log.aborts, 1);
}

/// A lost packet is sent again after a pause that grows, in each direction for itself: reports may arrive for seconds while the
/// command still waits.
#[test]
fn reports_do_not_keep_a_connection_that_loses_what_is_sent() {
    let mut harness = unanswered();
    harness.cloud.dead = true;
    let now = harness.now();
    let id = harness.session.command(now, device(LITE), setpoint(20.0), Some(secs(9))).unwrap();
    for _ in 0..89 {
        harness.run(Duration::from_millis(100));
        harness.retained(LITE, "{}");
    }
    assert_eq!((harness.log.aborts, harness.verdicts(id)), (0, vec![]));
    harness.run(Duration::from_millis(200));
    assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(id));
    assert_eq!(harness.log.aborts, 1);
}

/// The verdict falls within two seconds of the command, and the acknowledgement is missing.
#[test]
fn a_connection_ends_soon_after_the_verdict_unless_the_broker_reads() {
    for (dead, aborts) in [(true, 1), (false, 0)] {
        let mut harness = unanswered();
        harness.cloud.dead = dead;
        let now = harness.now();
        let id = harness.session.command(now, device(LITE), setpoint(20.0), Some(secs(9))).unwrap();
        harness.run(Duration::from_millis(500));
        let now = harness.now();
        harness.session.cancel(now, id);
        harness.run(Duration::from_millis(1_400));
        assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(id));
        assert_eq!(harness.log.aborts, 0, "dead: {dead}");
        harness.run(Duration::from_millis(200));
        assert_eq!(harness.log.aborts, aborts, "dead: {dead}");
    }
}

/// A repeat that is not sent, because it is too late for it, is no copy: the bytes of the first one are older than two seconds.
#[test]
fn a_repeat_that_is_not_sent_gives_the_first_copy_no_more_time() {
    let mut harness = unanswered();
    harness.cloud.dead = true;
    let now = harness.now();
    let id = harness.session.command(now, device(LITE), setpoint(20.0), Some(millis(6_500))).unwrap();
    reports_only(&mut harness, millis(6_400));
    assert_eq!((harness.log.aborts, harness.verdicts(id)), (0, vec![]));
    harness.run(millis(150));
    assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(id));
    assert_eq!(harness.log.aborts, 1);
}

/// Two commands leave in one publish. One of them is decided, by its deadline or by its caller.
#[test]
fn bytes_shared_with_an_undecided_command_do_not_outlive_a_verdict() {
    for cancels in [false, true] {
        let mut harness = unanswered();
        harness.cloud.broker.puback = true;
        harness.set(LITE, 23.0);
        harness.run(millis(100));
        let now = harness.now();
        let decided = harness.session.command(now, device(LITE), setpoint(20.0), Some(secs(8))).unwrap();
        let lock = Change { lock: Some(true), ..Change::default() };
        let open = harness.session.command(now, device(LITE), lock, Some(secs(60))).unwrap();
        harness.cloud.dead = true;
        reports_only(&mut harness, millis(7_900));
        assert_eq!((harness.log.aborts, harness.verdicts(decided)), (0, vec![]), "cancels: {cancels}");
        if cancels {
            let now = harness.now();
            harness.session.cancel(now, decided);
        }
        harness.run(millis(if cancels { 10 } else { 200 }));
        let verdict = harness.verdict(decided);
        assert!(matches!(verdict, Verdict::Unconfirmed { .. }), "cancels: {cancels}: {verdict}");
        assert_eq!((harness.log.aborts, harness.verdicts(open)), (1, vec![]), "cancels: {cancels}");
    }
}

fn packets(harness: &mut Harness) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    while let Some(output) = harness.session.poll_io() {
        if let Output::Send { bytes, .. } = output {
            let bytes: &[u8] = &bytes;
            sent.push(bytes.to_vec());
        }
    }
    sent
}

/// Packet id of a PUBLISH with QoS 1, and its DUP flag.
fn packet_id(bytes: &[u8]) -> Option<([u8; 2], bool)> {
    if bytes[0] >> 4 != 3 {
        return None;
    }
    let mut at = 1;
    while bytes[at] & 0x80 != 0 {
        at += 1;
    }
    at += 1;
    let topic = usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1]);
    let id = at + 2 + topic;
    Some(([bytes[id], bytes[id + 1]], bytes[0] & 8 != 0))
}

const OTHER: &str = "a0b1c2d3e4f8";

/// The repeat leaves behind a publish whose acknowledgement says nothing about it.
#[test]
fn an_acknowledgement_proves_nothing_about_a_repeat_that_leaves_later() {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.cloud.devices.push((OTHER.into(), "BB-V2-0-L".into()));
    harness.run(secs(10));
    harness.cloud.broker.puback = false;
    harness.cloud.device_acks = false;
    harness.cloud.device_applies = false;
    let now = harness.now();
    let repeated = harness.session.command(now, device(LITE), setpoint(20.0), Some(secs(9))).unwrap();
    harness.run(millis(4_999));
    harness.cloud.dead = true;
    harness.mono += millis(1);
    let now = harness.now();
    let conn = harness.log.subscribes[0].1;
    // The repeat is due now, and another thermostat's command is requested in the same moment.
    harness.session.command(now, device(OTHER), setpoint(21.0), Some(secs(60))).unwrap();
    let sent = packets(&mut harness);
    let ids: Vec<_> = sent.iter().filter_map(|bytes| packet_id(bytes)).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(!ids[0].1 && ids[1].1, "the repeat is the second: {ids:?}");
    // The broker has read the first of the two.
    harness.mono += millis(40);
    let now = harness.now();
    harness.session.handle_ws_bytes(now, conn, &[0x40, 2, ids[0].0[0], ids[0].0[1]]);
    reports_only(&mut harness, millis(4_100));
    assert!(
        matches!(harness.verdict(repeated), Verdict::Unconfirmed { .. }),
        "{:?}",
        harness.verdict(repeated)
    );
    assert_eq!(harness.log.aborts, 1);
}

/// The monotonic clock stands still while the host sleeps. The verdict falls by the wall clock.
#[test]
fn sleep_counts_as_time_since_a_command_was_sent() {
    let mut harness = unanswered();
    harness.cloud.dead = true;
    let now = harness.now();
    let id = harness.session.command(now, device(LITE), setpoint(20.0), Some(secs(30))).unwrap();
    harness.run(millis(500));
    harness.host_ahead_ms += 3_600_000;
    harness.truth_ahead_secs += 3_600;
    let now: Now = harness.now();
    harness.session.handle_timeout(now);
    harness.drain();
    assert!(matches!(harness.verdict(id), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(id));
    assert_eq!(harness.log.aborts, 1);
}

/// Answers of a broker to the packets in a frame: PUBACK and PINGRESP.
fn answers(mut bytes: &[u8]) -> Vec<u8> {
    let mut answers = Vec::new();
    while let Some(&kind) = bytes.first() {
        match packet_id(bytes) {
            Some((id, _)) => answers.extend([0x40, 2, id[0], id[1]]),
            None if kind == 0xC0 => answers.extend([0xD0, 0]),
            None => {}
        }
        let long = bytes[1] & 0x80 != 0;
        let length = if long {
            usize::from(bytes[1] & 0x7F) | usize::from(bytes[2]) << 7
        } else {
            usize::from(bytes[1])
        };
        bytes = &bytes[2 + usize::from(long) + length..];
    }
    answers
}

/// Turns a setpoint further every 900 ms, over a path with this round trip, and cancels the command before. Returns the number of
/// connections that are reset.
fn resets_at(round_trip: Duration) -> usize {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.run(secs(10));
    harness.cloud.dead = true;
    let conn = harness.log.subscribes[0].1;
    let mut arriving: BTreeMap<Duration, Vec<u8>> = BTreeMap::new();
    let (mut last, mut resets) = (None, 0);
    for tick in 0..2_000 {
        let now = harness.now();
        if tick % 90 == 0 && tick < 900 {
            if let Some(last) = last {
                harness.session.cancel(now, last);
            }
            let change = setpoint(20.0 + f64::from(tick / 90) / 2.0);
            last = Some(harness.session.command(now, device(LITE), change, Some(secs(30))).unwrap());
        }
        while let Some(first) = arriving.first_entry().filter(|first| *first.key() <= harness.mono) {
            harness.session.handle_ws_bytes(now, conn, &first.remove());
        }
        if harness.session.poll_timeout().is_some_and(|due| due.at <= harness.mono) {
            harness.session.handle_timeout(now);
        }
        while let Some(output) = harness.session.poll_io() {
            match output {
                Output::Send { bytes, .. } => {
                    arriving.entry(harness.mono + round_trip).or_default().extend(answers(&bytes));
                }
                Output::Abort { .. } => resets += 1,
                _ => {}
            }
        }
        harness.mono += millis(10);
    }
    resets
}

#[test]
fn a_connection_on_which_the_broker_reads_is_kept() {
    for round_trip in [20, 950, 1_000, 1_300, 1_900] {
        assert_eq!(resets_at(millis(round_trip)), 0, "{round_trip} ms");
    }
}

/// The verdict on the older command ends the connection at the moment when the newer one is handed to it. The newer one is neither
/// sent nor sent again.
#[test]
fn a_newer_command_is_not_lost_with_the_connection_that_holds_the_older_one() {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.run(secs(10));
    harness.cloud.dead = true;
    let older = harness.set(LITE, 20.0);
    reports_only(&mut harness, millis(1_000));
    let newer = harness.set(LITE, 21.0);
    reports_only(&mut harness, millis(1_600));
    harness.cloud.dead = false;
    harness.run(secs(40));
    assert!(matches!(harness.verdict(older), Verdict::Superseded { .. }), "{:?}", harness.verdict(older));
    let sent = harness.commands().len();
    assert!(
        harness.verdict(newer).is_confirmed(),
        "{}; {} aborts, {sent} sent",
        harness.verdict(newer),
        harness.log.aborts
    );
}

/// As for another thermostat on the same connection, whose command has a minute left.
#[test]
fn the_command_of_another_thermostat_is_not_lost_with_the_connection() {
    let mut harness = Harness::resume(by(CommandChannel::Mqtt));
    harness.cloud.devices.push((OTHER.into(), "BB-V2-0-L".into()));
    harness.run(secs(10));
    harness.cloud.dead = true;
    let cancelled = harness.set(LITE, 20.0);
    reports_only(&mut harness, millis(1_000));
    let now = harness.now();
    let other = harness.session.command(now, device(OTHER), setpoint(21.0), Some(secs(60))).unwrap();
    reports_only(&mut harness, millis(500));
    let now = harness.now();
    harness.session.cancel(now, cancelled);
    reports_only(&mut harness, millis(600));
    harness.cloud.dead = false;
    harness.run(secs(70));
    assert!(harness.verdict(other).is_confirmed(), "{} {}", harness.verdict(other), harness.log.aborts);
}

/// The driver gives the request up at the deadline. The service may be carrying it out all the same.
#[test]
fn a_request_that_ends_with_its_command_keeps_the_next_one_waiting() {
    let mut harness = Harness::resume(by(CommandChannel::Structured));
    harness.run(secs(10));
    harness.cloud.update = harness::Reply::Timeout;
    let now = harness.now();
    let older = harness.session.command(now, device(LITE), setpoint(25.0), Some(secs(6))).unwrap();
    harness.run(secs(7));
    assert!(matches!(harness.verdict(older), Verdict::Unconfirmed { .. }), "{:?}", harness.verdict(older));
    harness.cloud.update = harness::Reply::Good;
    let newer = harness.set(LITE, 18.0);
    harness.run(secs(20));
    let sent: Vec<_> = harness.log.updates.iter().map(|(at, _)| *at).collect();
    let [first, second] = sent[..] else { panic!("{sent:?}") };
    let apart = second - first;
    assert!((secs(20)..secs(21)).contains(&apart), "{apart:?}");
    assert!(harness.verdict(newer).is_confirmed(), "{:?}", harness.verdict(newer));
}

/// Time settings of zero.
#[test]
fn time_limits_of_zero_do_not_spin() {
    let mut settings = by(CommandChannel::Mqtt);
    settings.puback_timeout = Duration::ZERO;
    let mut harness = Harness::resume(settings);
    harness.run(secs(10));
    harness.cloud.dead = true;
    harness.set(LITE, 20.0);
    harness.run(secs(40));
}

/// The next command of a thermostat waits for the answer of the structured service, whichever channel it takes: the service may
/// act on the older one later.
#[test]
fn a_command_by_mqtt_waits_for_an_unanswered_request_too() {
    let mut harness = Harness::live();
    harness.cloud.update = harness::Reply::Timeout;
    harness.cloud.structured_applies = false;
    harness.cloud.upgrade = Some(503);
    harness.cut();
    let older = harness.set(LITE, 25.0);
    while harness.log.updates.is_empty() {
        harness.run(millis(100));
    }
    let written = harness.mono;
    harness.cloud.upgrade = None;
    let before = harness.commands().len();
    while harness.mono < written + secs(18) && !harness.session.is_subscribed(device(LITE)) {
        harness.run(millis(100));
    }
    let newer = harness.set(LITE, 18.0);
    while harness.commands().len() == before && harness.verdicts(newer).is_empty() {
        harness.run(millis(100));
    }
    let sent = harness.mono - written;
    assert!(
        sent >= secs(20),
        "sent after {sent:?}: {:?} {:?}",
        harness.verdicts(older),
        harness.verdicts(newer)
    );
}
