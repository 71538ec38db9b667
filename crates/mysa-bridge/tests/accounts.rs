//! Several accounts on one bridge.

mod rig;

use std::time::Duration;

use mysa_bridge::{AccountIndex, Bridge, InvalidSettings, Settings};
use mysa_proto::{Change, Mode};
use mysa_session::{Level, Reason};
use serde_json::json;

use crate::rig::Rig;
use crate::rig::home::{FIRST, Known, Node, at, celsius, list_of, living_room, starting};

const SECOND: AccountIndex = AccountIndex::new(1);
const LIVING: &str = "mysa/a0b1c2d3e4f6";
const CABIN: &str = "mysa/b0b1c2d3e4f6";
const BRIDGE: &str = "mysa/bridge/availability";
const BRIDGE_STATE: &str = "mysa/bridge/state";

fn two_accounts() -> Rig<Node> {
    let mut settings = Settings::new("mysa-bridge");
    settings.accounts = 2;
    starting(settings)
}

fn cabin() -> Known {
    let mut known = Known::new("b0b1c2d3e4f6", "Cabin", "BB-V2-0");
    known.observe(Duration::ZERO, |seen| seen.mode = Some(Mode::Heat));
    known
}

fn service(rig: &mut Rig<Node>, account: AccountIndex, level: Level, reason: Reason) {
    let now = at(rig.now);
    let no_source_for = (level == Level::Offline).then_some(Duration::ZERO);
    rig.peer.bridge.handle_service(account, level, reason, no_source_for, now);
    rig.settle();
}

fn availability<'a>(rig: &'a Rig<Node>, device: &str) -> Option<&'a str> {
    rig.broker.retained(&format!("{device}/availability"))
}

fn lines(rig: &Rig<Node>) -> Vec<String> {
    rig.peer.events.iter().map(ToString::to_string).collect()
}

#[test]
fn availability_depends_on_the_cloud_of_the_own_account_alone() {
    let mut rig = two_accounts();
    list_of(&mut rig, FIRST, &[living_room()]);
    list_of(&mut rig, SECOND, &[cabin()]);
    rig.secs(1);
    for (lost, kept, account) in [(LIVING, CABIN, FIRST), (CABIN, LIVING, SECOND)] {
        service(&mut rig, account, Level::Offline, Reason::Unreachable);
        rig.secs(24);
        assert_eq!((availability(&rig, lost), availability(&rig, kept)), (Some("online"), Some("online")));
        rig.secs(1);
        assert_eq!((availability(&rig, lost), availability(&rig, kept)), (Some("offline"), Some("online")));
        assert_eq!(rig.broker.retained(BRIDGE), Some("online"));
        service(&mut rig, account, Level::Live, Reason::Healthy);
        assert_eq!(availability(&rig, lost), Some("online"));
    }
    assert!(lines(&rig).contains(&"cloud of account 2: offline: the cloud cannot be reached".to_owned()));
}

#[test]
fn an_account_that_needs_a_sign_in_stops_no_other() {
    let mut rig = two_accounts();
    // Left by an earlier run that ended without a word.
    rig.broker.publish(&format!("{CABIN}/availability"), b"online", true);
    service(&mut rig, SECOND, Level::SignInNeeded, Reason::NoCredentials);
    rig.secs(1);
    assert_eq!(rig.broker.retained(BRIDGE), Some("offline"), "nothing is listed");
    list_of(&mut rig, FIRST, &[living_room()]);
    rig.settle();
    assert_eq!(rig.broker.retained(BRIDGE), Some("online"));
    assert_eq!((availability(&rig, LIVING), availability(&rig, CABIN)), (Some("online"), Some("offline")));
    let state = rig.json(BRIDGE_STATE);
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
    list_of(&mut rig, SECOND, &[cabin()]);
    rig.settle();
    assert_eq!(availability(&rig, CABIN), Some("online"));
    assert_eq!(rig.json(BRIDGE_STATE)["cloud"], "live");
}

#[test]
fn a_command_is_for_the_account_of_its_thermostat() {
    let mut rig = two_accounts();
    list_of(&mut rig, FIRST, &[living_room()]);
    list_of(&mut rig, SECOND, &[cabin()]);
    rig.settle();
    rig.set(&format!("{CABIN}/set/mode"), "off");
    rig.set(&format!("{LIVING}/set/mode"), "off");
    assert_eq!(rig.peer.accounts, [SECOND, FIRST]);
    assert!(rig.peer.commands.iter().all(|(.., change)| *change == Change::mode(Mode::Off)));
    rig.set("mysa/ffffffffffff/set/mode", "off");
    assert_eq!(rig.results("ffffffffffff")[0].3, "no account has such a thermostat");
}

#[test]
fn a_list_of_one_account_removes_nothing_of_another() {
    let mut rig = two_accounts();
    list_of(&mut rig, FIRST, &[living_room()]);
    list_of(&mut rig, SECOND, &[cabin()]);
    list_of(&mut rig, FIRST, &[]);
    rig.settle();
    assert_eq!((availability(&rig, LIVING), availability(&rig, CABIN)), (None, Some("online")));
    assert_eq!(rig.broker.retained(&format!("{LIVING}/state")), None);
    list_of(&mut rig, SECOND, &[]);
    rig.settle();
    assert_eq!(availability(&rig, CABIN), None);
}

#[test]
fn a_thermostat_of_two_accounts_belongs_to_the_first() {
    let mut rig = two_accounts();
    let (mut seen_by_first, mut seen_by_second) = (living_room(), living_room());
    seen_by_first.observe(Duration::from_secs(1), |seen| seen.temperature = Some(celsius(18.0)));
    seen_by_second.observe(Duration::from_secs(1), |seen| seen.temperature = Some(celsius(25.0)));
    let shown = |rig: &Rig<Node>| rig.json(&format!("{LIVING}/state"))["temperature"].clone();

    // The second one is listed first, and serves it until the first one is there.
    list_of(&mut rig, SECOND, &[seen_by_second.clone()]);
    rig.settle();
    assert_eq!(shown(&rig), json!(25.0));
    for _ in 0..3 {
        list_of(&mut rig, FIRST, &[seen_by_first.clone()]);
        list_of(&mut rig, SECOND, &[seen_by_second.clone()]);
        rig.settle();
        assert_eq!(shown(&rig), json!(18.0));
    }
    rig.set(&format!("{LIVING}/set/mode"), "off");
    assert_eq!(rig.peer.accounts, [FIRST]);
    let line = "a0b1c2d3e4f6: it is in account 1 and account 2; account 1 serves it";
    assert_eq!(lines(&rig).iter().filter(|logged| *logged == line).count(), 1, "{:?}", lines(&rig));
    // The cloud of the other account does not count.
    service(&mut rig, SECOND, Level::Offline, Reason::Unreachable);
    rig.secs(60);
    assert_eq!(availability(&rig, LIVING), Some("online"));
    service(&mut rig, SECOND, Level::Live, Reason::Healthy);

    // It leaves the first account, and the second one serves it.
    list_of(&mut rig, FIRST, &[]);
    list_of(&mut rig, SECOND, &[seen_by_second]);
    rig.settle();
    assert_eq!((shown(&rig), availability(&rig, LIVING)), (json!(25.0), Some("online")));
    assert_eq!(rig.peer.bridge.account_of(living_room().id), Some(SECOND));
    rig.set(&format!("{LIVING}/set/mode"), "heat");
    assert_eq!(rig.peer.accounts, [FIRST, SECOND]);
    list_of(&mut rig, SECOND, &[]);
    rig.settle();
    assert_eq!(availability(&rig, LIVING), None);
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
    let mut rig = two_accounts();
    list_of(&mut rig, AccountIndex::new(2), &[living_room()]);
    list_of(&mut rig, AccountIndex::new(usize::MAX), &[living_room()]);
    rig.settle();
    assert_eq!((availability(&rig, LIVING), rig.broker.retained(BRIDGE)), (None, Some("offline")));
}
