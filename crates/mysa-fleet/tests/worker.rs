//! Rules of a worker, against a store in memory.

use std::time::Duration;

use mysa_fleet::{Bucket, Outcome, RefusedRequest, Reply, Retry, Settings, StopReason};

mod rig;
use rig::{Deed, Rig, account, command};

fn outcome(reply: &Reply) -> Outcome {
    match reply {
        Reply::Decided { decision, .. } => decision.outcome,
        other => panic!("{other:?} is not a verdict"),
    }
}

#[test]
fn accounts_are_shared_by_all_workers() {
    let rig = Rig::new(4, 200);
    for number in 0..4 {
        let share = rig.owners().values().filter(|owner| **owner == number).count();
        assert!((25..=75).contains(&share), "worker {number} has {share} of 200");
    }
}

#[test]
fn the_accounts_of_a_worker_that_is_killed_are_owned_within_twice_the_lease() {
    let mut rig = Rig::new(3, 30);
    rig.kill(1);
    assert!(rig.owners().len() < 30);
    rig.run(60);
    assert_eq!(rig.owners().len(), 30);
    assert!(rig.owners().values().all(|owner| *owner != 1));
}

#[test]
fn a_worker_that_was_stopped_lets_go_before_it_does_anything() {
    let mut rig = Rig::new(2, 10);
    rig.nodes[0].stopped = true;
    rig.run(60);
    assert_eq!(rig.owners().len(), 10, "the other worker has all");
    let before = rig.deeds.len();
    rig.nodes[0].stopped = false;
    let name = (0..10).map(|n| format!("a{n}")).find(|name| {
        rig.nodes[0].worker.as_ref().is_some_and(|worker| worker.owner_of(&account(name)).is_some())
    });
    // The first thing that reaches it is a request that waited.
    rig.request(0, 1, &name.unwrap(), "c1", "20");
    assert_eq!(rig.replies_to(1), [&Reply::Retry(Retry::NotOwner)]);
    rig.owners();
    let deeds = &rig.deeds[before..];
    assert!(
        deeds.iter().all(|(_, deed)| matches!(deed, Deed::Stop(0, _, StopReason::LeaseOver))),
        "{deeds:?}"
    );
}

#[test]
fn a_worker_that_cannot_reach_the_store_stops_before_another_starts() {
    let mut rig = Rig::new(2, 10);
    rig.nodes[0].cut_off = true;
    let cut_at = rig.mono;
    rig.run(70);
    assert_eq!(rig.owners().len(), 10);
    let stops = rig.deeds.iter().filter(|(at, deed)| *at > cut_at && matches!(deed, Deed::Stop(0, ..)));
    let last_stop = stops.map(|(at, _)| *at).max().unwrap();
    let starts = rig.deeds.iter().filter(|(at, deed)| *at > cut_at && matches!(deed, Deed::Start(1, ..)));
    let first_start = starts.map(|(at, _)| *at).min().unwrap();
    assert!(
        first_start >= last_stop + Duration::from_secs(4),
        "the margin lies between {last_stop:?} and {first_start:?}"
    );
    // It returns, and gets accounts again, after some time.
    rig.nodes[0].cut_off = false;
    rig.run(400);
    assert_eq!(rig.owners().len(), 10);
    assert!(rig.owners().values().any(|owner| *owner == 0));
}

#[test]
fn a_store_that_answers_nobody_stops_everything_and_ownership_returns_with_it() {
    let mut rig = Rig::new(3, 30);
    for node in &mut rig.nodes {
        node.cut_off = true;
    }
    rig.run(26);
    assert_eq!(rig.owners().len(), 0);
    for node in &mut rig.nodes {
        node.cut_off = false;
    }
    rig.run(60);
    assert_eq!(rig.owners().len(), 30);
}

#[test]
fn lost_answers_lose_nothing_that_was_written() {
    let mut rig = Rig::new(1, 3);
    rig.nodes[0].loses_answers = true;
    // The renewals are seen by the watch.
    rig.run(300);
    assert_eq!(rig.owners().len(), 3);
    assert!(!rig.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Stop(..))), "{:?}", rig.deeds);
}

#[test]
fn a_worker_that_restarts_waits_for_the_end_of_its_earlier_session() {
    let mut rig = Rig::new(1, 5);
    rig.kill(0);
    rig.start(0);
    rig.run(29);
    assert_eq!(rig.owners().len(), 0, "the earlier process may be stopped, not dead");
    rig.run(30);
    assert_eq!(rig.owners().len(), 5);
}

#[test]
fn a_worker_that_drains_hands_over_within_seconds() {
    let mut rig = Rig::new(3, 60);
    rig.drain(2);
    rig.run(5);
    assert_eq!(rig.owners().len(), 60);
    assert!(rig.owners().values().all(|owner| *owner != 2));
    assert!(rig.nodes[2].worker.as_ref().is_some_and(mysa_fleet::Worker::is_ended));
    assert_eq!(rig.nodes[2].worker.as_ref().and_then(mysa_fleet::Worker::poll_timeout), None);
    let sessions =
        rig.store.iter().filter(|((bucket, _), entry)| *bucket == Bucket::Workers && entry.value.is_some());
    assert_eq!(sessions.count(), 2);
}

#[test]
fn a_new_worker_gets_its_share_a_few_at_once() {
    let mut rig = Rig::new(2, 40);
    let before = rig.deeds.len();
    rig.add();
    rig.run(59);
    assert_eq!(rig.deeds.len(), before, "not before the workers have been the same for a minute");
    rig.run(120);
    let share = rig.owners().values().filter(|owner| **owner == 2).count();
    assert!((5..=22).contains(&share), "{share} of 40");
    assert_eq!(rig.owners().len(), 40);
    let moved = rig.deeds[before..].iter().filter(|(_, deed)| matches!(deed, Deed::Stop(..))).count();
    assert_eq!(moved, share, "nothing else moves");
}

#[test]
fn accounts_come_and_go() {
    let mut rig = Rig::new(2, 4);
    rig.register("new", true);
    rig.register("a0", false);
    rig.run(10);
    let owners = rig.owners();
    assert!(owners.contains_key(&account("new")) && !owners.contains_key(&account("a0")));
    assert!(rig.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Stop(_, _, StopReason::Removed))));
    rig.register("a0", true);
    rig.run(20);
    assert_eq!(rig.owners().len(), 5);
}

#[test]
fn starts_are_limited() {
    let mut settings = Settings::default();
    settings.starts_per_second = 2.0;
    let mut rig = Rig::with(settings, 1, 8);
    for number in 0..60 {
        rig.register(&format!("b{number}"), true);
    }
    let before = rig.mono;
    rig.run(10);
    let started =
        rig.deeds.iter().filter(|(at, deed)| *at > before && matches!(deed, Deed::Start(..))).count();
    assert!((13..=30).contains(&started), "{started} in 10 s");
}

#[test]
fn a_full_worker_takes_no_more() {
    let mut settings = Settings::default();
    settings.capacity = 3;
    settings.starts_per_second = 100.0;
    let mut rig = Rig::with(settings, 3, 8);
    rig.register("a8", true);
    rig.register("a9", true);
    rig.run(30);
    assert_eq!(rig.owners().len(), 9, "three each; one account has no owner");
}

#[test]
fn a_command_is_sent_once_and_repeats_get_its_verdict() {
    let mut rig = Rig::new(2, 2);
    let owner = rig.owner("a0");
    rig.request(owner, 1, "a0", "c1", "20.5");
    rig.run(1);
    assert_eq!(rig.replies_to(1).into_iter().map(outcome).collect::<Vec<_>>(), [Outcome::Confirmed]);
    rig.request(owner, 2, "a0", "c1", "20.5");
    rig.run(1);
    assert_eq!(rig.replies_to(2), rig.replies_to(1));
    // And from the next owner.
    rig.kill(owner);
    rig.run(60);
    let next = rig.owner("a0");
    rig.request(next, 3, "a0", "c1", "20.5");
    rig.run(1);
    assert_eq!(rig.replies_to(3), rig.replies_to(1));
    assert_eq!(rig.commands_sent(), 1);
}

#[test]
fn a_read_that_is_older_than_the_verdict_does_not_send_the_command_again() {
    let mut rig = Rig::new(1, 1);
    rig.request(0, 1, "a0", "c1", "20.5");
    rig.run(1);
    assert_eq!(outcome(rig.replies_to(1)[0]), Outcome::Confirmed);
    rig.stale_reads = 1;
    rig.request(0, 2, "a0", "c1", "20.5");
    rig.run(1);
    assert_eq!(rig.stale_reads, 0);
    assert_eq!((rig.replies_to(2), rig.commands_sent()), (rig.replies_to(1), 1));
}

#[test]
fn a_name_is_for_one_command() {
    let mut rig = Rig::new(1, 2);
    rig.nodes[0].silent = true;
    rig.request(0, 1, "a0", "c1", "20.5");
    rig.request(0, 2, "a0", "c1", "21");
    assert_eq!(rig.replies_to(2), [&Reply::Refused(RefusedRequest::IdReused)]);
    rig.verdict(0, &account("a0"), &command("c1"), Outcome::Confirmed);
    rig.run(1);
    rig.request(0, 3, "a0", "c1", "21");
    rig.run(1);
    assert_eq!(rig.replies_to(3), [&Reply::Refused(RefusedRequest::IdReused)]);
    // Another account has names of its own.
    rig.nodes[0].silent = false;
    rig.request(0, 4, "a1", "c1", "21");
    rig.run(1);
    assert_eq!(outcome(rig.replies_to(4)[0]), Outcome::Confirmed);
}

#[test]
fn a_repeat_of_an_undecided_command_waits_for_its_verdict() {
    let mut rig = Rig::new(1, 1);
    rig.nodes[0].silent = true;
    rig.request(0, 1, "a0", "c1", "20.5");
    rig.request(0, 2, "a0", "c1", "20.5");
    assert!(rig.replies.is_empty());
    rig.verdict(0, &account("a0"), &command("c1"), Outcome::Refused);
    rig.run(1);
    assert_eq!(rig.replies_to(1), rig.replies_to(2));
    assert_eq!(outcome(rig.replies_to(1)[0]), Outcome::Refused);
    assert_eq!(rig.commands_sent(), 1);
}

#[test]
fn a_command_whose_owner_dies_ends_as_unconfirmed_and_is_not_sent_again() {
    let mut rig = Rig::new(2, 2);
    let owner = rig.owner("a0");
    rig.nodes[owner].silent = true;
    rig.request(owner, 1, "a0", "c1", "20.5");
    rig.kill(owner);
    rig.run(60);
    let record = &rig.store[&(Bucket::Verdicts, "a0.c1".into())];
    assert!(record.value.as_deref().is_some_and(|value| value.contains("owner lost")), "{record:?}");
    let next = rig.owner("a0");
    rig.request(next, 2, "a0", "c1", "20.5");
    rig.run(1);
    assert_eq!(outcome(rig.replies_to(2)[0]), Outcome::Unconfirmed);
    assert_eq!(rig.commands_sent(), 1);
}

#[test]
fn a_command_whose_record_has_no_answer_is_sent_at_most_once() {
    let mut rig = Rig::new(1, 1);
    rig.nodes[0].loses_answers = true;
    rig.request(0, 1, "a0", "c1", "20.5");
    rig.run(4);
    assert_eq!(rig.commands_sent(), 0, "it is not certain that the record is written");
    rig.nodes[0].loses_answers = false;
    rig.run(5);
    assert_eq!(outcome(rig.replies_to(1)[0]), Outcome::Confirmed);
    assert_eq!((rig.commands_sent(), rig.replies_to(1).len()), (1, 1));
}

#[test]
fn a_command_that_cannot_be_recorded_is_not_sent() {
    let mut rig = Rig::new(1, 1);
    rig.nodes[0].cut_off = true;
    rig.request(0, 1, "a0", "c1", "20.5");
    rig.run(60);
    assert_eq!(rig.replies_to(1), [&Reply::Retry(Retry::StoreSilent)]);
    assert_eq!(rig.commands_sent(), 0);
    rig.nodes[0].cut_off = false;
    rig.run(60);
    rig.request(0, 2, "a0", "c1", "20.5");
    rig.run(1);
    assert_eq!(outcome(rig.replies_to(2)[0]), Outcome::Confirmed);
}

#[test]
fn a_verdict_that_cannot_be_recorded_is_recorded_later_and_the_command_not_sent_again() {
    let mut rig = Rig::new(1, 1);
    rig.nodes[0].silent = true;
    rig.request(0, 1, "a0", "c1", "20.5");
    rig.nodes[0].loses_answers = true;
    rig.verdict(0, &account("a0"), &command("c1"), Outcome::Confirmed);
    rig.run(60);
    assert_eq!(rig.replies_to(1), [&Reply::Retry(Retry::StoreSilent)]);
    rig.nodes[0].loses_answers = false;
    rig.request(0, 2, "a0", "c1", "20.5");
    rig.run(10);
    assert_eq!(outcome(rig.replies_to(2)[0]), Outcome::Confirmed);
    assert_eq!(rig.commands_sent(), 1);
}

#[test]
fn a_request_that_arrives_too_late_is_not_carried_out() {
    let mut rig = Rig::new(1, 1);
    let mut now = rig.now();
    let request = mysa_fleet::Request {
        id: command("c1"),
        account: account("a0"),
        device: mysa_proto::DeviceId::new("a0b1c2d3e4f6").unwrap(),
        change: "20.5".into(),
        time_limit: Duration::from_secs(10),
        expires_at: now.wall,
    };
    now.wall = now.wall.plus_millis(1);
    rig.nodes[0].worker.as_mut().unwrap().handle_request(mysa_fleet::ReplyTo(1), &request, now);
    rig.run(1);
    assert_eq!(outcome(rig.replies_to(1)[0]), Outcome::Expired);
    assert_eq!(rig.commands_sent(), 0);
}

#[test]
fn a_hand_over_waits_for_the_open_commands() {
    let mut rig = Rig::new(2, 2);
    let owner = rig.owner("a0");
    rig.nodes[owner].silent = true;
    rig.request(owner, 1, "a0", "c1", "20.5");
    rig.drain(owner);
    rig.run(3);
    assert_eq!(rig.owner("a0"), owner);
    rig.request(owner, 2, "a0", "c2", "21");
    assert_eq!(rig.replies_to(2), [&Reply::Retry(Retry::Moving)]);
    rig.verdict(owner, &account("a0"), &command("c1"), Outcome::Confirmed);
    rig.run(3);
    assert_eq!(outcome(rig.replies_to(1)[0]), Outcome::Confirmed);
    assert_ne!(rig.owner("a0"), owner);
}

#[test]
fn requests_for_others_and_long_ones_are_answered_at_once() {
    let mut rig = Rig::new(2, 1);
    let other = 1 - rig.owner("a0");
    rig.request(other, 1, "a0", "c1", "20.5");
    assert_eq!(rig.replies_to(1), [&Reply::Retry(Retry::NotOwner)]);
    rig.request(other, 2, "nobody", "c1", "20.5");
    assert_eq!(rig.replies_to(2), [&Reply::Retry(Retry::NotOwner)]);
    rig.request(1 - other, 3, "a0", "c1", &"x".repeat(4_097));
    assert_eq!(rig.replies_to(3), [&Reply::Refused(RefusedRequest::TooLong)]);
}
