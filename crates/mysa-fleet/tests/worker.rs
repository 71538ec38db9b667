//! Rules of a worker, against a store in memory.

use std::time::Duration;

use mysa_fleet::{
    Action, Bucket, Entry, Operation, Output, RefusedRequest, Reply, Retry, Revision, Settings, StopReason,
    Worker, WorkerId,
};
use mysa_proto::{Now, UnixTime};
use mysa_session::VerdictKind;

mod harness;
use harness::{Deed, Harness, account, command};

fn outcome(reply: &Reply) -> VerdictKind {
    match reply {
        Reply::Decided { decision, .. } => decision.outcome,
        other => panic!("{other:?} is not a verdict"),
    }
}

#[test]
fn accounts_are_shared_by_all_workers() {
    let harness = Harness::new(4, 200);
    for number in 0..4 {
        let share = harness.owners().values().filter(|owner| **owner == number).count();
        assert!((25..=75).contains(&share), "worker {number} has {share} of 200");
    }
}

#[test]
fn the_accounts_of_a_worker_that_is_killed_are_owned_within_twice_the_lease() {
    let mut harness = Harness::new(3, 30);
    harness.kill(1);
    assert!(harness.owners().len() < 30);
    harness.run(60);
    assert_eq!(harness.owners().len(), 30);
    assert!(harness.owners().values().all(|owner| *owner != 1));
}

#[test]
fn a_worker_that_was_stopped_lets_go_before_it_does_anything() {
    let mut harness = Harness::new(2, 10);
    harness.nodes[0].stopped = true;
    harness.run(60);
    assert_eq!(harness.owners().len(), 10, "the other worker has all");
    let before = harness.deeds.len();
    harness.nodes[0].stopped = false;
    let name = (0..10).map(|n| format!("a{n}")).find(|name| {
        harness.nodes[0].worker.as_ref().is_some_and(|worker| worker.owner_of(&account(name)).is_some())
    });
    // The first thing that reaches it is a request that waited.
    harness.request(0, 1, &name.unwrap(), "c1", "20");
    assert_eq!(harness.replies_to(1), [&Reply::Retry(Retry::NotOwner)]);
    harness.owners();
    let deeds = &harness.deeds[before..];
    assert!(
        deeds.iter().all(|(_, deed)| matches!(deed, Deed::Stop(0, _, StopReason::LeaseOver))),
        "{deeds:?}"
    );
}

#[test]
fn a_worker_that_cannot_reach_the_store_stops_before_another_starts() {
    let mut harness = Harness::new(2, 10);
    harness.nodes[0].cut_off = true;
    let cut_at = harness.mono;
    harness.run(70);
    assert_eq!(harness.owners().len(), 10);
    let stops = harness.deeds.iter().filter(|(at, deed)| *at > cut_at && matches!(deed, Deed::Stop(0, ..)));
    let last_stop = stops.map(|(at, _)| *at).max().unwrap();
    let starts = harness.deeds.iter().filter(|(at, deed)| *at > cut_at && matches!(deed, Deed::Start(1, ..)));
    let first_start = starts.map(|(at, _)| *at).min().unwrap();
    assert!(
        first_start >= last_stop + Duration::from_secs(4),
        "the margin lies between {last_stop:?} and {first_start:?}"
    );
    // It returns, and gets accounts again, after some time.
    harness.nodes[0].cut_off = false;
    harness.run(400);
    assert_eq!(harness.owners().len(), 10);
    assert!(harness.owners().values().any(|owner| *owner == 0));
}

#[test]
fn a_store_that_answers_nobody_stops_everything_and_ownership_returns_with_it() {
    let mut harness = Harness::new(3, 30);
    for node in &mut harness.nodes {
        node.cut_off = true;
    }
    harness.run(26);
    assert_eq!(harness.owners().len(), 0);
    for node in &mut harness.nodes {
        node.cut_off = false;
    }
    harness.run(60);
    assert_eq!(harness.owners().len(), 30);
}

#[test]
fn lost_answers_lose_nothing_that_was_written() {
    let mut harness = Harness::new(1, 3);
    harness.nodes[0].loses_answers = true;
    // The renewals are seen by the watch.
    harness.run(300);
    assert_eq!(harness.owners().len(), 3);
    assert!(!harness.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Stop(..))), "{:?}", harness.deeds);
}

#[test]
fn a_worker_that_restarts_waits_for_the_end_of_its_earlier_session() {
    let mut harness = Harness::new(1, 5);
    harness.kill(0);
    harness.start(0);
    harness.run(29);
    assert_eq!(harness.owners().len(), 0, "the earlier process may be stopped, not dead");
    harness.run(30);
    assert_eq!(harness.owners().len(), 5);
}

/// Its creation is carried out, but not answered, and the watch begins again and again.
#[test]
fn a_session_that_was_left_is_deleted_once_until_the_store_answers() {
    let now = |secs| Now { mono: Duration::from_secs(secs), wall: UnixTime::from_secs(1_767_323_045) };
    let name = WorkerId::new("w0").unwrap();
    let mut worker = Worker::new(name, Settings::default(), [7; 32], now(0)).unwrap();
    let operations = |worker: &mut Worker| -> Vec<Operation> {
        let outputs = core::iter::from_fn(|| worker.poll_output());
        outputs.filter_map(|output| if let Output::Store(it) = output { Some(it) } else { None }).collect()
    };
    let creation = operations(&mut worker).remove(0);
    let Action::Create { value } = creation.action else { panic!("{creation:?} creates no session") };
    let left = Entry { key: creation.key, revision: Revision::new(1), value: Some(value) };
    worker.handle_timeout(now(60));
    operations(&mut worker);
    let mut deletions = |at| {
        worker.handle_timeout(now(at));
        worker.handle_entry(Bucket::Workers, &left, now(at));
        let deleted = Action::Delete { revision: left.revision };
        operations(&mut worker).into_iter().filter(|it| it.key == left.key && it.action == deleted).count()
    };
    assert_eq!([deletions(60), deletions(60), deletions(61)], [1, 0, 0]);
    // No answer is lost for ever.
    assert_eq!(deletions(70), 1);
}

/// Each session has a name of its own, so its marker would be there for ever.
#[test]
fn the_marker_of_a_session_that_ended_is_forgotten_later() {
    let mut harness = Harness::new(3, 30);
    let markers = |harness: &Harness| {
        let of_sessions = |((bucket, _), entry): (&(Bucket, String), &Entry)| {
            *bucket == Bucket::Workers && entry.value.is_none()
        };
        harness.store.iter().filter(|entry| of_sessions(*entry)).count()
    };
    harness.kill(1);
    harness.run(60);
    harness.drain(2);
    harness.run(60);
    assert_eq!(markers(&harness), 2);
    // One that starts later sees them too, and forgets those of which it has the turn.
    harness.start(1);
    harness.run(3_400);
    assert_eq!(markers(&harness), 2);
    harness.run(400);
    assert_eq!(markers(&harness), 0);
    assert_eq!(harness.owners().len(), 30);
    let live = harness.store.keys().filter(|(bucket, _)| *bucket == Bucket::Workers).count();
    assert_eq!(live, 2, "the sessions of those that live stay");
}

#[test]
fn a_worker_that_drains_hands_over_within_seconds() {
    let mut harness = Harness::new(3, 60);
    harness.drain(2);
    harness.run(5);
    assert_eq!(harness.owners().len(), 60);
    assert!(harness.owners().values().all(|owner| *owner != 2));
    assert!(harness.nodes[2].worker.as_ref().is_some_and(mysa_fleet::Worker::is_ended));
    assert_eq!(harness.nodes[2].worker.as_ref().and_then(mysa_fleet::Worker::poll_timeout), None);
    let sessions = harness
        .store
        .iter()
        .filter(|((bucket, _), entry)| *bucket == Bucket::Workers && entry.value.is_some());
    assert_eq!(sessions.count(), 2);
}

/// The claims of all that it may hand over at once can be deleted after the last of their clients has ended.
#[test]
fn a_worker_that_drains_hands_over_more_than_it_may_at_once() {
    for at_once in [1, 2, 20] {
        let mut settings = Settings::default();
        settings.drain_hand_overs = at_once;
        let mut harness = Harness::with(settings, 2, 120);
        harness.drain(1);
        harness.run(30);
        assert_eq!(harness.owners().len(), 120, "{at_once} at once");
        assert!(harness.owners().values().all(|owner| *owner == 0), "{at_once} at once");
        assert!(harness.nodes[1].worker.as_ref().is_some_and(mysa_fleet::Worker::is_ended));
    }
}

#[test]
fn a_new_worker_gets_its_share_a_few_at_once() {
    let mut harness = Harness::new(2, 40);
    let before = harness.deeds.len();
    harness.add();
    harness.run(59);
    assert_eq!(harness.deeds.len(), before, "not before the workers have been the same for a minute");
    harness.run(120);
    let share = harness.owners().values().filter(|owner| **owner == 2).count();
    assert!((5..=22).contains(&share), "{share} of 40");
    assert_eq!(harness.owners().len(), 40);
    let moved = harness.deeds[before..].iter().filter(|(_, deed)| matches!(deed, Deed::Stop(..))).count();
    assert_eq!(moved, share, "nothing else moves");
}

#[test]
fn accounts_come_and_go() {
    let mut harness = Harness::new(2, 4);
    harness.register("new", true);
    harness.register("a0", false);
    harness.run(10);
    let owners = harness.owners();
    assert!(owners.contains_key(&account("new")) && !owners.contains_key(&account("a0")));
    assert!(harness.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Stop(_, _, StopReason::Removed))));
    harness.register("a0", true);
    harness.run(20);
    assert_eq!(harness.owners().len(), 5);
}

#[test]
fn starts_are_limited() {
    let mut settings = Settings::default();
    settings.starts_per_second = 2.0;
    let mut harness = Harness::with(settings, 1, 8);
    for number in 0..60 {
        harness.register(&format!("b{number}"), true);
    }
    let before = harness.mono;
    harness.run(10);
    let started =
        harness.deeds.iter().filter(|(at, deed)| *at > before && matches!(deed, Deed::Start(..))).count();
    assert!((13..=30).contains(&started), "{started} in 10 s");
}

#[test]
fn a_full_worker_takes_no_more() {
    let mut settings = Settings::default();
    settings.capacity = 3;
    settings.starts_per_second = 100.0;
    let mut harness = Harness::with(settings, 3, 8);
    harness.register("a8", true);
    harness.register("a9", true);
    harness.run(30);
    assert_eq!(harness.owners().len(), 9, "three each; one account has no owner");
}

/// Claims that were written without an answer are not counted before the watch shows them.
#[test]
fn a_worker_gives_back_what_it_owns_beyond_its_capacity() {
    let mut settings = Settings::default();
    settings.capacity = 3;
    settings.starts_per_second = 100.0;
    let mut harness = Harness::with(settings, 1, 0);
    for number in 0..9 {
        harness.register(&format!("a{number}"), true);
    }
    let claimed = |harness: &Harness| {
        let claims = harness.store.iter().filter(|((bucket, _), _)| *bucket == Bucket::Claims);
        claims.filter(|(_, entry)| entry.value.is_some()).count()
    };
    let node = &mut harness.nodes[0];
    (node.loses_answers, node.sees_no_claims) = (true, true);
    harness.run(15);
    assert!(claimed(&harness) > 3, "too many, of which the worker does not know");
    let node = &mut harness.nodes[0];
    (node.loses_answers, node.sees_no_claims) = (false, false);
    for _ in 0..30 {
        harness.run(1);
        assert!(harness.owners().len() <= 3);
    }
    assert_eq!((harness.owners().len(), claimed(&harness)), (3, 3));
}

#[test]
fn a_command_is_sent_once_and_repeats_get_its_verdict() {
    let mut harness = Harness::new(2, 2);
    let owner = harness.owner("a0");
    harness.request(owner, 1, "a0", "c1", "20.5");
    harness.run(1);
    assert_eq!(harness.replies_to(1).into_iter().map(outcome).collect::<Vec<_>>(), [VerdictKind::Confirmed]);
    harness.request(owner, 2, "a0", "c1", "20.5");
    harness.run(1);
    assert_eq!(harness.replies_to(2), harness.replies_to(1));
    // And from the next owner.
    harness.kill(owner);
    harness.run(60);
    let next = harness.owner("a0");
    harness.request(next, 3, "a0", "c1", "20.5");
    harness.run(1);
    assert_eq!(harness.replies_to(3), harness.replies_to(1));
    assert_eq!(harness.commands_sent(), 1);
}

#[test]
fn a_read_that_is_older_than_the_verdict_does_not_send_the_command_again() {
    let mut harness = Harness::new(1, 1);
    harness.request(0, 1, "a0", "c1", "20.5");
    harness.run(1);
    assert_eq!(outcome(harness.replies_to(1)[0]), VerdictKind::Confirmed);
    harness.stale_reads = 1;
    harness.request(0, 2, "a0", "c1", "20.5");
    harness.run(1);
    assert_eq!(harness.stale_reads, 0);
    assert_eq!((harness.replies_to(2), harness.commands_sent()), (harness.replies_to(1), 1));
}

#[test]
fn a_name_is_for_one_command() {
    let mut harness = Harness::new(1, 2);
    harness.nodes[0].silent = true;
    harness.request(0, 1, "a0", "c1", "20.5");
    harness.request(0, 2, "a0", "c1", "21");
    assert_eq!(harness.replies_to(2), [&Reply::Refused(RefusedRequest::IdReused)]);
    harness.verdict(0, &account("a0"), &command("c1"), VerdictKind::Confirmed);
    harness.run(1);
    harness.request(0, 3, "a0", "c1", "21");
    harness.run(1);
    assert_eq!(harness.replies_to(3), [&Reply::Refused(RefusedRequest::IdReused)]);
    // Another account has names of its own.
    harness.nodes[0].silent = false;
    harness.request(0, 4, "a1", "c1", "21");
    harness.run(1);
    assert_eq!(outcome(harness.replies_to(4)[0]), VerdictKind::Confirmed);
}

#[test]
fn a_repeat_of_an_undecided_command_waits_for_its_verdict() {
    let mut harness = Harness::new(1, 1);
    harness.nodes[0].silent = true;
    harness.request(0, 1, "a0", "c1", "20.5");
    harness.request(0, 2, "a0", "c1", "20.5");
    assert!(harness.replies.is_empty());
    harness.verdict(0, &account("a0"), &command("c1"), VerdictKind::Refused);
    harness.run(1);
    assert_eq!(harness.replies_to(1), harness.replies_to(2));
    assert_eq!(outcome(harness.replies_to(1)[0]), VerdictKind::Refused);
    assert_eq!(harness.commands_sent(), 1);
}

#[test]
fn a_command_whose_owner_dies_ends_as_unconfirmed_and_is_not_sent_again() {
    let mut harness = Harness::new(2, 2);
    let owner = harness.owner("a0");
    harness.nodes[owner].silent = true;
    harness.request(owner, 1, "a0", "c1", "20.5");
    harness.kill(owner);
    harness.run(60);
    let record = &harness.store[&(Bucket::Verdicts, "a0.c1".into())];
    assert!(record.value.as_deref().is_some_and(|value| value.contains("owner lost")), "{record:?}");
    let next = harness.owner("a0");
    harness.request(next, 2, "a0", "c1", "20.5");
    harness.run(1);
    assert_eq!(outcome(harness.replies_to(2)[0]), VerdictKind::Unconfirmed);
    assert_eq!(harness.commands_sent(), 1);
}

#[test]
fn a_command_whose_record_has_no_answer_is_sent_at_most_once() {
    let mut harness = Harness::new(1, 1);
    harness.nodes[0].loses_answers = true;
    harness.request(0, 1, "a0", "c1", "20.5");
    harness.run(4);
    assert_eq!(harness.commands_sent(), 0, "it is not certain that the record is written");
    harness.nodes[0].loses_answers = false;
    harness.run(5);
    assert_eq!(outcome(harness.replies_to(1)[0]), VerdictKind::Confirmed);
    assert_eq!((harness.commands_sent(), harness.replies_to(1).len()), (1, 1));
}

#[test]
fn a_command_that_cannot_be_recorded_is_not_sent() {
    let mut harness = Harness::new(1, 1);
    harness.nodes[0].cut_off = true;
    harness.request(0, 1, "a0", "c1", "20.5");
    harness.run(60);
    assert_eq!(harness.replies_to(1), [&Reply::Retry(Retry::StoreSilent)]);
    assert_eq!(harness.commands_sent(), 0);
    harness.nodes[0].cut_off = false;
    harness.run(60);
    harness.request(0, 2, "a0", "c1", "20.5");
    harness.run(1);
    assert_eq!(outcome(harness.replies_to(2)[0]), VerdictKind::Confirmed);
}

#[test]
fn a_verdict_that_cannot_be_recorded_is_recorded_later_and_the_command_not_sent_again() {
    let mut harness = Harness::new(1, 1);
    harness.nodes[0].silent = true;
    harness.request(0, 1, "a0", "c1", "20.5");
    harness.nodes[0].loses_answers = true;
    harness.verdict(0, &account("a0"), &command("c1"), VerdictKind::Confirmed);
    harness.run(60);
    assert_eq!(harness.replies_to(1), [&Reply::Retry(Retry::StoreSilent)]);
    harness.nodes[0].loses_answers = false;
    harness.request(0, 2, "a0", "c1", "20.5");
    harness.run(10);
    assert_eq!(outcome(harness.replies_to(2)[0]), VerdictKind::Confirmed);
    assert_eq!(harness.commands_sent(), 1);
}

#[test]
fn a_request_that_arrives_too_late_is_not_carried_out() {
    let mut harness = Harness::new(1, 1);
    let mut now = harness.now();
    let request = mysa_fleet::Request {
        id: command("c1"),
        account: account("a0"),
        device: mysa_proto::DeviceId::new("a0b1c2d3e4f6").unwrap(),
        change: "20.5".into(),
        time_limit: Duration::from_secs(10),
        expires_at: now.wall,
    };
    now.wall = now.wall.plus_millis(1);
    harness.nodes[0].worker.as_mut().unwrap().handle_request(mysa_fleet::ReplyTo(1), &request, now);
    harness.run(1);
    assert_eq!(outcome(harness.replies_to(1)[0]), VerdictKind::Expired);
    assert_eq!(harness.commands_sent(), 0);
}

#[test]
fn a_hand_over_waits_for_the_open_commands() {
    let mut harness = Harness::new(2, 2);
    let owner = harness.owner("a0");
    harness.nodes[owner].silent = true;
    harness.request(owner, 1, "a0", "c1", "20.5");
    harness.drain(owner);
    harness.run(3);
    assert_eq!(harness.owner("a0"), owner);
    harness.request(owner, 2, "a0", "c2", "21");
    assert_eq!(harness.replies_to(2), [&Reply::Retry(Retry::Moving)]);
    harness.verdict(owner, &account("a0"), &command("c1"), VerdictKind::Confirmed);
    harness.run(3);
    assert_eq!(outcome(harness.replies_to(1)[0]), VerdictKind::Confirmed);
    assert_ne!(harness.owner("a0"), owner);
}

#[test]
fn requests_for_others_and_long_ones_are_answered_at_once() {
    let mut harness = Harness::new(2, 1);
    let other = 1 - harness.owner("a0");
    harness.request(other, 1, "a0", "c1", "20.5");
    assert_eq!(harness.replies_to(1), [&Reply::Retry(Retry::NotOwner)]);
    harness.request(other, 2, "nobody", "c1", "20.5");
    assert_eq!(harness.replies_to(2), [&Reply::Retry(Retry::NotOwner)]);
    harness.request(1 - other, 3, "a0", "c1", &"x".repeat(4_097));
    assert_eq!(harness.replies_to(3), [&Reply::Refused(RefusedRequest::TooLong)]);
}

#[test]
fn repeats_that_wait_for_a_client_without_a_verdict_get_a_reply() {
    let mut harness = Harness::new(1, 1);
    harness.nodes[0].silent = true;
    harness.request(0, 1, "a0", "c1", "20.5");
    harness.run(15);
    harness.request(0, 2, "a0", "c1", "20.5");
    harness.run(60);
    for to in [1, 2] {
        assert_eq!(harness.replies_to(to), [&Reply::Retry(Retry::StoreSilent)], "to request {to}");
    }
}
