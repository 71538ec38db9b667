//! An ordinary day of an ordinary client.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod harness;

use std::time::Duration;

use harness::*;
use mysa_cognito::{RefreshFlow, refresh, revoke};
use mysa_proto::Celsius;
use mysa_sim::{CloudSpec, Mode, Upgrade};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_client_signs_in_lists_devices_watches_and_sets_a_temperature() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    assert_eq!(tokens.claims.sub, "11111111-1111-4111-8111-111111111111");
    let devices = harness.get(&tokens, "/devices");
    assert_eq!(devices["DevicesObj"].as_object().unwrap().len(), 5);
    assert_eq!(devices["DevicesObj"]["a0b1c2d3e4f7"]["Model"], "BB-V2-0-L");

    harness.connect(1);
    let topics: Vec<String> = (5..10).map(|n| format!("/v1/dev/a0b1c2d3e4f{n}/out")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    assert_eq!(harness.subscribe(1, &topics), [1; 5]);
    for last in ["f5", "f6", "f7", "f8", "f9"] {
        harness.live(1, id(last), 180);
    }
    harness.pass(60 * SECOND);
    for topic in &topics {
        let statuses = harness.inbox.iter().filter(|message| message.topic == **topic).count();
        assert!((11..=14).contains(&statuses), "{topic}: {statuses} in a minute of live reporting");
    }

    harness.inbox.clear();
    let puback = harness.command(1, id("f6"), 4, 1_767_323_045_678, &json!({ "tm": -1, "sp": 21.5 }));
    assert_eq!(harness.pubacks.last(), Some(&puback), "the broker must acknowledge the command");
    assert_eq!(
        harness.cloud.truth(id("f6")).unwrap().setpoint,
        Celsius::from_degrees(19.0).unwrap(),
        "the device must not have applied it yet"
    );
    harness.pass(2 * SECOND);
    let ack = harness.inbox.iter().map(Received::json).find(|message| message["msg"] == 44).unwrap();
    assert_eq!(ack["resp_id"], 1_767_323_045_678_u64);
    assert_eq!(
        ack["body"],
        json!({
            "success": 1, "trig_src": 3, "type": 4, "state": { "md": 3, "sp": 21.5, "lk": 0, "ho": 1, "br": 90 }
        })
    );
    let truth = harness.cloud.truth(id("f6")).unwrap();
    assert_eq!((truth.setpoint.as_degrees(), truth.heating, truth.watts), (21.5, true, 1_250.0));
    harness.command(1, id("f6"), 4, 2, &json!({ "tm": -1, "md": 1 }));
    harness.pass(2 * SECOND);
    let truth = harness.cloud.truth(id("f6")).unwrap();
    assert_eq!(
        (truth.mode, truth.heating, truth.watts),
        (Mode::Off, false, 0.0),
        "off must take effect at once"
    );
    assert_eq!(harness.cloud.command_records(id("f6")).count(), 2);
}

#[test]
fn a_command_is_acknowledged_at_once_if_messages_take_no_time() {
    let mut spec = CloudSpec::demo();
    spec.rules.instant_delivery = true;
    let mut harness = Harness::new(spec);
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f6/out"]);
    harness.command(1, id("f6"), 4, 9, &json!({ "tm": -1, "sp": 22 }));
    harness.pass(Duration::ZERO);
    let acks = harness.inbox.iter().filter(|message| message.json()["resp_id"] == 9);
    assert_eq!(acks.map(|message| message.at).collect::<Vec<_>>(), [harness.now]);
}

#[test]
fn a_command_with_a_wrong_type_is_acknowledged_by_the_broker_alone() {
    let mut harness = Harness::demo();
    harness.connect(1);
    harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f7/out"]);
    let puback = harness.command(1, id("f7"), 4, 9, &json!({ "tm": -1, "sp": 22 }));
    assert_eq!(harness.pubacks, [puback]);
    harness.pass(10 * SECOND);
    assert!(harness.inbox.iter().all(|message| message.json()["msg"] != 44));
    let truth = harness.cloud.truth(id("f7")).unwrap();
    assert_eq!((truth.setpoint.as_degrees(), truth.messages.ignored, truth.messages.commands), (18.0, 1, 0));
}

#[test]
fn every_family_applies_its_own_commands_and_refuses_those_of_others() {
    let cases = [
        ("f5", 1, json!({ "tm": -1, "sp": 22, "md": 3 }), true),
        (
            "f6",
            4,
            json!({ "tm": -1, "br": { "a_b": 1, "a_br": 80, "i_br": 20, "a_dr": 60, "i_dr": 30 } }),
            true,
        ),
        ("f7", 5, json!({ "tm": -1, "lk": 1 }), true),
        ("f8", 3, json!({ "tm": -1, "md": 5, "tr": 5 }), true),
        ("f9", 2, json!({ "tm": -1, "md": 4, "sp": 24, "fn": 5, "ss": 5 }), true),
        ("f5", 1, json!({ "tm": -1, "sp": 21.3 }), false),
        ("f6", 4, json!({ "tm": -1, "md": 4 }), false),
        ("f7", 5, json!({ "tm": -1, "tr": 3 }), false),
        ("f8", 3, json!({ "tm": -1, "sp": 41 }), false),
        ("f9", 2, json!({ "tm": -1, "sp": 22.5 }), false),
    ];
    for (n, (last, kind, cmd, accepted)) in cases.into_iter().enumerate() {
        let mut harness = Harness::demo();
        harness.connect(1);
        harness.subscribe(1, &[&format!("/v1/dev/a0b1c2d3e4{last}/out")]);
        harness.command(1, id(last), kind, 77, &cmd);
        harness.pass(3 * SECOND);
        let ack = harness.inbox.iter().map(Received::json).find(|message| message["msg"] == 44);
        let ack = ack.unwrap_or_else(|| panic!("case {n}: no acknowledgement"));
        assert_eq!(
            (ack["resp_id"].as_u64(), ack["body"]["success"] == 1),
            (Some(77), accepted),
            "case {n} {cmd}"
        );
        for (name, value) in cmd.as_object().unwrap().iter().filter(|(name, _)| accepted && *name != "tm") {
            assert_eq!(&ack["body"]["state"][name], value, "case {n}: {name}");
        }
    }
}

#[test]
fn tokens_are_refreshed_in_both_ways_and_revoked() {
    let mut harness = Harness::demo();
    let pool = mysa_cognito::Pool::new("us-east-1", "us-east-1_GUFWfhI7g", LEGACY_CLIENT);
    let tokens = harness.sign_in();
    let first = tokens.refresh.clone().unwrap();
    for way in [RefreshFlow::InitiateAuth, RefreshFlow::GetTokensFromRefreshToken] {
        let (request, wait) = refresh(&pool, &first, way);
        let (status, body) = harness.aws(&request);
        let fresh = wait.reply(status, &body).unwrap();
        assert!(harness.get(&fresh, "/homes")["Homes"].is_array(), "{way:?}");
    }
    harness.now = Duration::from_secs(3_601);
    assert_eq!(
        harness.rest(&tokens, LEGACY, "GET", "/devices", None).0,
        401,
        "a token expires after one hour"
    );
    let (request, wait) = revoke(&pool, &first);
    let (status, body) = harness.aws(&request);
    wait.reply(status, &body).unwrap();
    let (request, wait) = refresh(&pool, &first, RefreshFlow::InitiateAuth);
    let (status, body) = harness.aws(&request);
    assert!(wait.reply(status, &body).is_err_and(|error| error.needs_sign_in()));
}

#[test]
fn each_pool_gives_what_the_protocol_describes() {
    for (client, pool, expected) in [
        (LEGACY_CLIENT, LEGACY_POOL, true),
        (MODERN_CLIENT, LEGACY_POOL, true),
        (MODERN_CLIENT, MODERN_POOL, false),
    ] {
        let mut harness = Harness::demo();
        harness.connect_with(1, pool, client, "c");
        assert_eq!(harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out"]), [1], "{pool}");
        harness.live(1, id("f5"), 60);
        harness.pass(10 * SECOND);
        assert_eq!(!harness.inbox.is_empty(), expected, "{pool}");
        assert_eq!(harness.closed.is_empty(), expected, "{pool}: a denied publish must close the connection");
    }
    let mut harness = Harness::demo();
    let tokens = harness.sign_in_as(LEGACY_CLIENT);
    let (request, wait) = mysa_cognito::get_id(MODERN_POOL, &tokens);
    let (status, body) = harness.aws(&request);
    assert!(wait.reply(status, &body).is_err(), "the modern pool must refuse a legacy token");
}

#[test]
fn an_upgrade_needs_signature_subprotocol_and_fresh_credentials() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    let credentials = harness.credentials(LEGACY_POOL, &tokens);
    let target = harness.presign(&credentials);
    let status = |upgrade: Upgrade| match upgrade {
        Upgrade::Refuse(reply) => reply.status,
        other => panic!("{other:?}"),
    };
    assert_eq!(status(harness.upgrade(1, &target, "chat")), 426);
    assert_eq!(
        status(harness.upgrade(2, &target.replace("X-Amz-Date=2026", "X-Amz-Date=2025"), "mqtt")),
        403
    );
    assert_eq!(status(harness.upgrade(3, "/mqtt", "mqtt")), 400);
    assert_eq!(harness.upgrade(4, &target, "mqtt"), Upgrade::Accept);
    harness.now = Duration::from_secs(301);
    assert_eq!(status(harness.upgrade(5, &target, "mqtt")), 403, "a URL expires after five minutes");
    harness.now = Duration::from_secs(3_601);
    let target = harness.presign(&credentials);
    assert_eq!(status(harness.upgrade(6, &target, "mqtt")), 403, "credentials expire after one hour");
}

#[test]
fn head_is_answered_as_get_and_a_browser_may_ask_before_it_signs_in() {
    let mut harness = Harness::demo();
    let tokens = harness.sign_in();
    assert_eq!(harness.rest(&tokens, LEGACY, "HEAD", "/devices", None).0, 200);
    assert_eq!(harness.rest(&tokens, LEGACY, "HEAD", "/nothing", None).0, 404);
    for host in [IDP, IDENTITY] {
        let reply = harness.http(host, "OPTIONS", "/", &[("Origin", "https://example.org")], "");
        assert_eq!(reply.status, 200, "{host}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{host}");
        assert!(reply.header("access-control-allow-headers").is_some_and(|all| all.contains("x-amz-target")));
    }
    assert_ne!(
        harness.http(LEGACY, "OPTIONS", "/devices", &[], "").status,
        200,
        "the REST hosts must refuse a preflight"
    );
}

#[test]
fn another_account_sees_nothing() {
    let mut spec = CloudSpec::demo();
    spec.accounts.push(mysa_sim::AccountSpec::new("other@example.com", "Another-Horse-2"));
    let mut harness = Harness::new(spec);
    let step = harness.try_sign_in(LEGACY_CLIENT, "other@example.com", "Another-Horse-2").unwrap();
    let mysa_cognito::Step::Done(tokens) = step else { panic!() };
    assert_eq!(harness.get(&tokens, "/devices"), json!({ "DevicesObj": {} }));
    assert_eq!(harness.rest(&tokens, LEGACY, "GET", "/devices/a0b1c2d3e4f5", None).0, 404);
    assert_eq!(harness.rest(&tokens, BACKEND, "GET", "/state/a0b1c2d3e4f5", None).0, 404);
    let credentials = harness.credentials(LEGACY_POOL, &tokens);
    let target = harness.presign(&credentials);
    assert_eq!(harness.upgrade(1, &target, "mqtt"), Upgrade::Accept);
    harness.send(1, &connect("spy", 60));
    assert_eq!(harness.subscribe(1, &["/v1/dev/a0b1c2d3e4f5/out", "/v1/dev/+/out", "#"]), [0x80; 3]);
    harness.command(1, id("f5"), 1, 5, &json!({ "tm": -1, "sp": 30 }));
    assert_eq!(harness.closed.len(), 1);
    harness.pass(5 * SECOND);
    assert_eq!(harness.cloud.truth(id("f5")).unwrap().messages.commands, 0);
}
