//! Several accounts on one bridge.

mod harness;

use std::time::Duration;

use mysa_bridge::{AccountIndex, Bridge, InvalidSettings, Settings};
use mysa_proto::{Change, Mode};
use mysa_session::{Level, Reason};
use serde_json::json;

use crate::harness::Harness;
use crate::harness::home::{FIRST, Known, Node, at, celsius, list_of, living_room, starting};

const SECOND: AccountIndex = AccountIndex::new(1);
const LIVING: &str = "mysa/a0b1c2d3e4f6";
const CABIN: &str = "mysa/b0b1c2d3e4f6";
const BRIDGE: &str = "mysa/bridge/availability";
const BRIDGE_STATE: &str = "mysa/bridge/state";

fn two_accounts() -> Harness<Node> {
    let mut settings = Settings::new("mysa-bridge");
    settings.accounts = 2;
    starting(settings)
}

fn cabin() -> Known {
    let mut known = Known::new("b0b1c2d3e4f6", "Cabin", "BB-V2-0");
    known.observe(Duration::ZERO, |seen| seen.mode = Some(Mode::Heat));
    known
}

fn service(harness: &mut Harness<Node>, account: AccountIndex, level: Level, reason: Reason) {
    let now = at(harness.now);
    let no_source_for = (level == Level::Offline).then_some(Duration::ZERO);
    harness.peer.bridge.handle_service(account, level, reason, no_source_for, now);
    harness.settle();
}

fn availability<'a>(harness: &'a Harness<Node>, device: &str) -> Option<&'a str> {
    harness.broker.retained(&format!("{device}/availability"))
}

fn lines(harness: &Harness<Node>) -> Vec<String> {
    harness.peer.events.iter().map(ToString::to_string).collect()
}

#[test]
fn availability_depends_on_the_cloud_of_the_own_account_alone() {
    let mut harness = two_accounts();
    list_of(&mut harness, FIRST, &[living_room()]);
    list_of(&mut harness, SECOND, &[cabin()]);
    harness.secs(1);
    for (lost, kept, account) in [(LIVING, CABIN, FIRST), (CABIN, LIVING, SECOND)] {
        service(&mut harness, account, Level::Offline, Reason::Unreachable);
        harness.secs(24);
        assert_eq!(
            (availability(&harness, lost), availability(&harness, kept)),
            (Some("online"), Some("online"))
        );
        harness.secs(1);
        assert_eq!(
            (availability(&harness, lost), availability(&harness, kept)),
            (Some("offline"), Some("online"))
        );
        assert_eq!(harness.broker.retained(BRIDGE), Some("online"));
        service(&mut harness, account, Level::Live, Reason::Healthy);
        assert_eq!(availability(&harness, lost), Some("online"));
    }
    assert!(lines(&harness).contains(&"cloud of account 2: offline: the cloud cannot be reached".to_owned()));
}

#[test]
fn an_account_that_needs_a_sign_in_stops_no_other() {
    let mut harness = two_accounts();
    // Left by an earlier run that ended without a word.
    harness.broker.publish(&format!("{CABIN}/availability"), b"online", true);
    service(&mut harness, SECOND, Level::SignInNeeded, Reason::NoCredentials);
    harness.secs(1);
    assert_eq!(harness.broker.retained(BRIDGE), Some("offline"), "nothing is listed");
    list_of(&mut harness, FIRST, &[living_room()]);
    harness.settle();
    assert_eq!(harness.broker.retained(BRIDGE), Some("online"));
    assert_eq!(
        (availability(&harness, LIVING), availability(&harness, CABIN)),
        (Some("online"), Some("offline"))
    );
    let state = harness.json(BRIDGE_STATE);
    assert_eq!((&state["cloud"], &state["devices"]), (&json!("sign_in_needed"), &json!(1)));
    let since = "2026-01-02T03:04:05Z";
    assert_eq!(
        state["accounts"],
        json!([
            { "account": 1, "cloud": "live", "reason": "nothing is wrong", "since": "2026-01-02T03:04:06Z", "devices": 1, "available": 1 },
            { "account": 2, "cloud": "sign_in_needed", "reason": Reason::NoCredentials.to_string(), "since": since, "devices": 0, "available": 0 },
        ])
    );
    // Signed in later.
    list_of(&mut harness, SECOND, &[cabin()]);
    harness.settle();
    assert_eq!(availability(&harness, CABIN), Some("online"));
    assert_eq!(harness.json(BRIDGE_STATE)["cloud"], "live");
}

#[test]
fn a_command_is_for_the_account_of_its_thermostat() {
    let mut harness = two_accounts();
    list_of(&mut harness, FIRST, &[living_room()]);
    list_of(&mut harness, SECOND, &[cabin()]);
    harness.settle();
    harness.set(&format!("{CABIN}/set/mode"), "off");
    harness.set(&format!("{LIVING}/set/mode"), "off");
    assert_eq!(harness.peer.accounts, [SECOND, FIRST]);
    assert!(harness.peer.commands.iter().all(|(.., change)| *change == Change::mode(Mode::Off)));
    harness.set("mysa/ffffffffffff/set/mode", "off");
    assert_eq!(harness.results("ffffffffffff")[0].3, "no account has such a thermostat");
}

#[test]
fn a_list_of_one_account_removes_nothing_of_another() {
    let mut harness = two_accounts();
    list_of(&mut harness, FIRST, &[living_room()]);
    list_of(&mut harness, SECOND, &[cabin()]);
    list_of(&mut harness, FIRST, &[]);
    harness.settle();
    assert_eq!((availability(&harness, LIVING), availability(&harness, CABIN)), (None, Some("online")));
    assert_eq!(harness.broker.retained(&format!("{LIVING}/state")), None);
    list_of(&mut harness, SECOND, &[]);
    harness.settle();
    assert_eq!(availability(&harness, CABIN), None);
}

#[test]
fn a_thermostat_of_two_accounts_belongs_to_the_first() {
    let mut harness = two_accounts();
    let (mut seen_by_first, mut seen_by_second) = (living_room(), living_room());
    seen_by_first.observe(Duration::from_secs(1), |seen| seen.temperature = Some(celsius(18.0)));
    seen_by_second.observe(Duration::from_secs(1), |seen| seen.temperature = Some(celsius(25.0)));
    let shown = |harness: &Harness<Node>| harness.json(&format!("{LIVING}/state"))["temperature"].clone();

    // The second one is listed first, and serves it until the first one is there.
    list_of(&mut harness, SECOND, &[seen_by_second.clone()]);
    harness.settle();
    assert_eq!(shown(&harness), json!(25.0));
    for _ in 0..3 {
        list_of(&mut harness, FIRST, &[seen_by_first.clone()]);
        list_of(&mut harness, SECOND, &[seen_by_second.clone()]);
        harness.settle();
        assert_eq!(shown(&harness), json!(18.0));
    }
    harness.set(&format!("{LIVING}/set/mode"), "off");
    assert_eq!(harness.peer.accounts, [FIRST]);
    let line = "a0b1c2d3e4f6: it is in account 1 and account 2; account 1 serves it";
    assert_eq!(lines(&harness).iter().filter(|logged| *logged == line).count(), 1, "{:?}", lines(&harness));
    // The cloud of the other account does not count.
    service(&mut harness, SECOND, Level::Offline, Reason::Unreachable);
    harness.secs(60);
    assert_eq!(availability(&harness, LIVING), Some("online"));
    service(&mut harness, SECOND, Level::Live, Reason::Healthy);

    // It leaves the first account, and the second one serves it.
    list_of(&mut harness, FIRST, &[]);
    list_of(&mut harness, SECOND, &[seen_by_second]);
    harness.settle();
    assert_eq!((shown(&harness), availability(&harness, LIVING)), (json!(25.0), Some("online")));
    assert_eq!(harness.peer.bridge.account_of(living_room().id), Some(SECOND));
    harness.set(&format!("{LIVING}/set/mode"), "heat");
    assert_eq!(harness.peer.accounts, [FIRST, SECOND]);
    list_of(&mut harness, SECOND, &[]);
    harness.settle();
    assert_eq!(availability(&harness, LIVING), None);
}

#[test]
fn a_bridge_has_one_to_thirty_two_accounts_and_ignores_others() {
    for count in [0, 33] {
        let mut settings = Settings::new("mysa-bridge");
        settings.accounts = count;
        let error = Bridge::new(settings, [7; 32], at(Duration::ZERO)).unwrap_err();
        assert_eq!(error, InvalidSettings::Accounts(count));
        assert!(error.to_string().contains("expected 1 to 32"), "{error}");
    }
    let mut harness = two_accounts();
    list_of(&mut harness, AccountIndex::new(2), &[living_room()]);
    list_of(&mut harness, AccountIndex::new(usize::MAX), &[living_room()]);
    harness.settle();
    assert_eq!((availability(&harness, LIVING), harness.broker.retained(BRIDGE)), (None, Some("offline")));
}
