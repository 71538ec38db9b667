//! One correct driver, and one broken driver for each way to break a rule. Each is found, by the name of the rule.

mod toy;

use std::collections::BTreeSet;
use std::time::Duration;

use mysa_conformance::{
    CommandChannel, CommandId, Environment, HttpAnswer, HttpResult, Now, Output, Rule, Session, Settings,
    Start, StoreResult,
};
use mysa_proto::{Celsius, Change, DeviceId, UnixTime};
use toy::{Flaw, Toy, minutes};

fn command(toy: &mut Toy, degrees: f64) -> CommandId {
    let kitchen = DeviceId::new("a0b1c2d3e4f6").expect("an id");
    let change = Change::setpoint(Celsius::from_degrees(degrees).expect("a temperature"));
    let now = toy.now();
    toy.session().command(now, kitchen, change, Some(Duration::from_secs(60))).expect("room")
}

/// Three hours at home: a redirect, commands by MQTT and REST, a broker that does not read for a while, a host that cannot
/// be reached, a command that is cancelled before its bytes leave the host, connections that are replaced, and an end while a
/// command is undecided.
fn three_hours(channel: CommandChannel, flaw: Option<Flaw>) -> Toy {
    let mut settings = Settings::default();
    settings.channel = channel;
    settings.replace_before_credentials_expire = true;
    let mut toy = Toy::new(settings, flaw);
    toy.network.redirects = 1;
    toy.run_until(minutes(5));
    command(&mut toy, 21.5);
    toy.run_until(minutes(10));
    toy.network.blocked = true;
    toy.network.unreachable = true;
    command(&mut toy, 19.5);
    toy.run_until(minutes(12));
    toy.network.blocked = false;
    toy.network.unreachable = false;
    toy.run_until(minutes(15));
    toy.network.stalled = true;
    let cancelled = command(&mut toy, 22.5);
    toy.run_until(minutes(15) + Duration::from_secs(3));
    let now = toy.now();
    toy.session().cancel(now, cancelled);
    toy.network.stalled = false;
    toy.run_until(minutes(180));
    command(&mut toy, 20.5);
    toy.end();
    toy
}

#[test]
fn a_driver_that_keeps_the_rules_is_not_reported() {
    for channel in [CommandChannel::Mqtt, CommandChannel::Structured] {
        let toy = three_hours(channel, None);
        toy.ledger.assert_kept();
        // The test would prove nothing if nothing happened.
        let verdicts = format!("{:?}", toy.verdicts);
        assert_eq!(toy.verdicts.len(), 4, "{verdicts}");
        assert!(toy.verdicts[0].is_confirmed() && !toy.verdicts[1].is_confirmed(), "{verdicts}");
        assert!(toy.was_live && toy.network.redirects == 0);
    }
}

#[test]
fn each_broken_driver_is_reported_by_the_rule_that_it_breaks() {
    let mqtt = CommandChannel::Mqtt;
    let mut found = BTreeSet::new();
    for (flaw, channel, rule) in [
        (Flaw::TakesOneOutput, mqtt, Rule::Drain),
        (Flaw::WaitsForStore, mqtt, Rule::Drain),
        (Flaw::IgnoresDeadlines, mqtt, Rule::Deadline),
        (Flaw::ReadsClockBeforeWaiting, mqtt, Rule::Clock),
        (Flaw::DropsRequest, mqtt, Rule::Output),
        (Flaw::DropsDial, mqtt, Rule::Output),
        (Flaw::DropsFrame, mqtt, Rule::Output),
        (Flaw::ForgetsLoad, mqtt, Rule::Output),
        (Flaw::IgnoresClose, mqtt, Rule::Output),
        (Flaw::ReportsTwice, mqtt, Rule::Report),
        (Flaw::LabelsBytesWithNewestConnection, mqtt, Rule::Connection),
        (Flaw::KeepsBufferOfOldConnection, mqtt, Rule::Connection),
        (Flaw::AsksBodyAtOnce, CommandChannel::Structured, Rule::DeferredBody),
        (Flaw::ForgetsStore, mqtt, Rule::Store),
        (Flaw::SendsAfterAbort, mqtt, Rule::Abort),
        (Flaw::SendsAbortedRequest, CommandChannel::Structured, Rule::Abort),
        (Flaw::FollowsRedirects, mqtt, Rule::Redirect),
        (Flaw::RepeatsRequests, mqtt, Rule::Redirect),
        (Flaw::DropsSession, mqtt, Rule::Shutdown),
    ] {
        let violations = three_hours(channel, Some(flaw)).ledger.violations();
        let rules: BTreeSet<Rule> = violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(
            violations.first().map(|violation| violation.rule),
            Some(rule),
            "{flaw:?}: {violations:#?}"
        );
        // What is never taken is never carried out either.
        let follows = flaw == Flaw::TakesOneOutput;
        assert!(follows || rules.len() == 1, "{flaw:?} breaks {rules:?}: {violations:#?}");
        found.insert(rule);
    }
    assert_eq!(found, BTreeSet::from(Rule::ALL), "every rule has a broken driver");
}

/// Signs a refused password out, so that the session asks for a store and then for a load. The clock shows `clock`.
fn refused_and_signed_out(clock: Duration) -> Session {
    let start = Start::Password { username: "ann@example.org".into(), password: "wrong".into() };
    let mut session = Session::new(Settings::default(), Environment::mysa(), start, [7; 32], START);
    session.ledger().set_clock(move || clock);
    let id = outputs(&mut session).iter().find_map(|output| match output {
        Output::Http(request) => Some(request.id),
        _ => None,
    });
    let body = br#"{"__type":"NotAuthorizedException","message":"Incorrect username or password."}"#;
    let answer = HttpAnswer { status: 400, body, ..HttpAnswer::default() };
    session.handle_http(START, id.expect("a request"), HttpResult::Answer(answer));
    assert!(matches!(outputs(&mut session)[..], [Output::Store(_), ..]));
    session.sign_out(START);
    assert!(outputs(&mut session).iter().any(|output| matches!(output, Output::Load)));
    session
}

fn outputs(session: &mut Session) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn broken(session: &Session) -> Vec<Rule> {
    session.ledger().violations().iter().map(|violation| violation.rule).collect()
}

const START: Now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };

/// A sign-out reads the store while a refused password is being recorded in it.
#[test]
fn a_store_that_is_read_before_it_is_written_is_reported() {
    for written_first in [true, false] {
        let mut session = refused_and_signed_out(Duration::ZERO);
        if written_first {
            session.handle_store_result(START, StoreResult::Stored);
        }
        session.handle_stored(START, None);
        assert_eq!(broken(&session), if written_first { vec![] } else { vec![Rule::Store] });
    }
}

/// The disk hangs. The driver leaves out the store that waits, because the session is to be removed.
#[test]
fn a_removal_that_replaces_a_store_breaks_no_rule() {
    let six = Duration::from_secs(6);
    let mut session = refused_and_signed_out(six);
    let later = Now { mono: six, wall: UnixTime::from_secs(1_767_323_051) };
    session.handle_timeout(later);
    let outputs = outputs(&mut session);
    assert!(outputs.iter().any(|output| matches!(output, Output::Forget)), "{outputs:?}");
    session.handle_stored(later, None);
    assert_eq!(broken(&session), []);
}
