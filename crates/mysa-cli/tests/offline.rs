//! The command run as a program without a cloud.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::io::Read as _;
use std::process::Stdio;

use common::{Home, finish};
use serde_json::Value;

fn vectors(name: &str) -> Vec<Value> {
    let text =
        std::fs::read_to_string(format!("{}/tests/data/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

/// All vectors in one run, as a captured session.
fn capture(vectors: &[Value]) -> String {
    let line = |vector: &Value| match vector.get("payload_hex") {
        Some(hex) => serde_json::json!({ "topic": vector["topic"], "payload_hex": hex }).to_string(),
        None => serde_json::json!({ "topic": vector["topic"], "payload": vector["payload"] }).to_string(),
    };
    vectors.iter().map(|vector| line(vector) + "\n").collect()
}

#[test]
fn every_known_message_is_explained_by_its_name() {
    let vectors = vectors("messages");
    let shown = Home::new().run_with(&["decode", "--json", "--show-private"], capture(&vectors)).ok().json();
    assert_eq!(shown.len(), vectors.len());
    for (vector, shown) in vectors.iter().zip(&shown) {
        let (name, expect) = (&vector["name"], &vector["expect"]);
        assert_eq!(shown["schema"], 1, "{name}");
        assert_eq!(shown["topic"], vector["topic"], "{name}");
        assert_eq!(shown["number"], expect["type"], "{name}: {shown}");
        if let Some(device) = expect["device"].as_str() {
            assert_eq!(shown["device"], device, "{name}");
        }
        for (ours, theirs) in [
            ("setpoint_c", "setpoint_c"),
            ("temperature_c", "ambient_c"),
            ("humidity_pct", "humidity_pct"),
            ("current_a", "current_a"),
            ("floor_temperature_c", "floor_c"),
            ("success", "success"),
        ] {
            let expected = &expect["fields"][theirs];
            if !expected.is_null() && !shown[ours].is_null() {
                assert_eq!(shown[ours], *expected, "{name}: {ours}");
            }
        }
        if expect["kind"] == "unknown" {
            assert_eq!(shown["message"], "unknown", "{name}");
            assert!(!shown["raw"].is_null() || !shown["raw_body"].is_null(), "{name}: {shown}");
        }
        assert!(expect["danger"].is_null() || shown["danger"].is_string(), "{name}: {shown}");
    }
}

#[test]
fn a_payload_alone_is_explained_like_one_with_its_topic() {
    let home = Home::new();
    for vector in vectors("messages").iter().filter(|vector| vector["expect"]["kind"] == "status").take(2) {
        let payload = vector["payload"].as_str().unwrap();
        let alone = home.run_with(&["decode", "--json"], payload).ok().json().remove(0);
        assert_eq!(alone["message"], "status", "{alone}");
        assert_eq!(alone["temperature_c"], vector["expect"]["fields"]["ambient_c"], "{alone}");
        let text = home.run_with(&["decode"], payload).ok().out;
        assert!(text.contains(" °C\n") && !text.contains("_c "), "{text}");
    }
}

#[test]
fn payloads_that_are_hardly_json_are_explained_or_shown_raw() {
    for vector in vectors("json_quirks") {
        let home = Home::new();
        let ran = home.run_with(&["decode", "--json"], capture(std::slice::from_ref(&vector)));
        let shown = ran.json();
        assert_eq!(shown.len(), 1, "{}: {ran:?}", vector["name"]);
        match &vector["expect"]["ok"] {
            Value::Bool(true) => assert_eq!(ran.code, 0, "{}: {ran:?}", vector["name"]),
            Value::Bool(false) => {
                assert_eq!(ran.code, 1, "{}: {ran:?}", vector["name"]);
                assert!(shown[0]["error"].is_string(), "{}", shown[0]);
                assert!(
                    shown[0]["raw"].is_string()
                        || shown[0]["raw_hex"].is_string()
                        || !shown[0]["raw"].is_null(),
                    "{}",
                    shown[0]
                );
            }
            _ => {}
        }
    }
}

#[test]
fn packets_in_hex_are_explained_in_both_directions() {
    let home = Home::new();
    let mut seen = 0;
    for vector in vectors("mqtt_packets") {
        let (Some(hex), Some(name)) = (vector["hex"].as_str(), vector["expect"]["packet"].as_str()) else {
            continue;
        };
        let shown = home.run_with(&["decode", "--json", "--show-private"], hex).json();
        assert_eq!(shown[0]["packet"], name, "{}: {shown:?}", vector["name"]);
        for field in ["topic", "packet_id", "client_id", "qos"] {
            let expected = &vector["expect"][field];
            if !expected.is_null() {
                assert_eq!(shown[0][field], *expected, "{}: {field} in {}", vector["name"], shown[0]);
            }
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    let together = home.run_with(&["decode", "--json"], "20 02 00 00\nc0:00 0xd0,00 > e0 00").ok().json();
    let names: Vec<_> = together.iter().map(|packet| packet["packet"].as_str().unwrap()).collect();
    assert_eq!(names, ["CONNACK", "PINGREQ", "PINGRESP", "DISCONNECT"]);
    let cut = home.run_with(&["decode", "--json"], "20020000 3005").fails(1).json();
    assert_eq!((cut[0]["packet"].as_str(), cut[1]["raw_hex"].as_str()), (Some("CONNACK"), Some("3005")));
}

#[test]
fn batch_readings_are_explained_alone_and_inside_their_message() {
    let home = Home::new();
    for vector in vectors("batch") {
        let (name, expect) = (&vector["name"], &vector["expect"]);
        let (Some(hex), Some(records)) = (vector["hex"].as_str(), expect["records"].as_array()) else {
            continue;
        };
        let ran = home.run_with(&["decode", "--json", "--as", "batch"], hex);
        let shown = ran.json();
        let readings: Vec<_> = shown.iter().filter(|record| record["error"].is_null()).collect();
        assert_eq!(readings.len(), records.len(), "{name}: {ran:?}");
        assert_eq!(ran.code, i32::from(readings.len() != shown.len()), "{name}");
        for (ours, theirs) in readings.iter().zip(records) {
            assert_eq!(
                (&ours["batch_version"], &ours["temperature_c"]),
                (&theirs["version"], &theirs["ambient_c"]),
                "{name}"
            );
        }
        if let (Some(payload), Some(base64)) = (vector["payload"].as_str(), vector["readings_b64"].as_str()) {
            let inside = home.run_with(&["decode", "--json"], payload).ok().json().remove(0);
            assert_eq!(inside["readings"].as_array().map(Vec::len), Some(records.len()), "{name}");
            let alone = home.run_with(&["decode", "--json", "--as", "batch"], base64).json();
            assert_eq!(alone.len(), shown.len(), "{name}");
        }
    }
    let found = home.run_with(&["decode", "--json"], "yqAATTNXaecAzADNACYAAAAsASABZBs5AKA=").ok().json();
    assert_eq!(found[0]["batch_version"], 0, "the first bytes must identify a record");
}

#[test]
fn captures_of_three_tools_are_recognised() {
    let home = Home::new();
    let payload =
        r#"{"Device":"a0b1c2d3e4f7","MsgType":1,"Next":17,"Prev":18.5,"Source":1,"Timestamp":1767323045}"#;
    let mut packet = vec![0x30, 0, 0, 24];
    packet.extend_from_slice(b"/v1/dev/a0b1c2d3e4f7/out");
    packet.extend_from_slice(payload.as_bytes());
    packet[1] = u8::try_from(packet.len() - 2).unwrap();
    use base64::Engine as _;
    let data = base64::prelude::BASE64_STANDARD.encode(&packet);
    let har = serde_json::json!({"log": {"entries": [{}, {"_webSocketMessages": [
        {"type": "receive", "time": 1767323045.5, "opcode": 2, "data": data}]}]}});
    let mosquitto = format!("/v1/dev/a0b1c2d3e4f7/out {payload}\n");
    let lines = format!("{{\"topic\":\"/v1/dev/a0b1c2d3e4f7/out\",\"payload\":{payload}}}\n");
    let list = format!("[{}]", lines.trim());
    for (name, text) in [
        ("HAR", har.to_string()),
        ("mosquitto_sub", mosquitto.clone() + &mosquitto),
        ("lines", lines.clone() + &lines),
        ("list", list),
        ("base64 of a packet", data.clone()),
    ] {
        let shown = home.run_with(&["decode", "--json"], &text).ok().json();
        let message = if shown[0]["payload"].is_object() { &shown[0]["payload"] } else { &shown[0] };
        assert_eq!(message["message"], "setpoint_change", "{name}: {shown:?}");
        assert_eq!(message["setpoint_c"], 17.0, "{name}");
        assert!(!text.is_empty() && !shown[0].to_string().contains("a0b1c2d3e4f7"), "{name}: {}", shown[0]);
    }
    let damaged = home.run_with(&["decode", "--json"], lines + "{\"topic\":\n").fails(1);
    assert_eq!(damaged.json().len(), 2);
    let binary = home.run_with(&["decode", "--json"], &packet).ok().json();
    assert_eq!(binary[0]["packet"], "PUBLISH");
}

#[test]
fn private_things_are_replaced_unless_asked_for() {
    let home = Home::new();
    let payload = "{\"Device\":\"a0b1c2d3e4f6\",\"Timestamp\":1767323045,\"MsgType\":4,\"Level\":\"INFO\",\
                   \"Message\":\"Local IP: 192.0.2.17\nDevice Serial: SN00000000 \u{1b}[2J\",\"mail\":\"ann@example.org\"}";
    for args in [&["decode"][..], &["decode", "--json"]] {
        let shown = home.run_with(args, payload).ok().out;
        for gone in ["a0b1c2d3e4f6", "192.0.2.17", "SN00000000", "ann@example", "\u{1b}"] {
            assert!(!shown.contains(gone), "{gone} in {shown}");
        }
        assert!(shown.contains("dev-1"), "{shown}");
    }
    let shown = home.run_with(&["decode", "--show-private"], payload).ok().out;
    assert!(shown.contains("a0b1c2d3e4f6") && shown.contains("192.0.2.17"), "{shown}");
}

#[test]
fn a_captured_url_is_explained_without_its_secrets() {
    let url = "wss://a1-ats.iot.us-east-1.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=ASIAEXAMPLE%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request\
        &X-Amz-Date=20260102T030405Z&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=1fe633a074b36e4d8c61d883dd7a15f69abbed73dc2ffde30680297bae6e616d&X-Amz-Security-Token=canary";
    let home = Home::new();
    let from_stdin = home.run_with(&["presign", "--inspect", "-", "--json"], url).ok();
    let from_argument = home.run(&["presign", "--inspect", url, "--json"]).ok();
    for ran in [&from_stdin, &from_argument] {
        let shown = &ran.json()[0];
        assert_eq!(shown["access_key_id"], "ASIAEXAMPLE");
        assert_eq!(
            (&shown["expired"], &shown["has_session_token"]),
            (&Value::Bool(true), &Value::Bool(true))
        );
        assert!(!ran.out.contains("canary") && !ran.out.contains("1fe6"), "{}", ran.out);
    }
    let ran = home.run(&["presign", "--inspect", "https://example.org/?X-Amz-Signature=canary"]).fails(2);
    assert!(!ran.err.contains("canary"), "{}", ran.err);
}

#[test]
fn keys_in_the_environment_sign_a_url_without_an_account() {
    let home = Home::new();
    let endpoint = "a1b2-ats.iot.eu-west-1.amazonaws.com";
    let args = ["presign", "--endpoint", endpoint, "--print"];
    home.run(&args).fails(2);
    let keys = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "canary-key");
        command.env("AWS_SESSION_TOKEN", "canary+token");
        finish(command, b"")
    };
    let ran = keys(&args).ok();
    assert!(!ran.out.contains("canary-key") && !ran.err.contains("canary"), "{ran:?}");
    let seen = home.run_with(&["presign", "--inspect", "-", "--json"], &ran.out).ok().json().remove(0);
    assert_eq!((&seen["endpoint"], &seen["region"]), (&endpoint.into(), &"eu-west-1".into()));
    assert_eq!((&seen["expired"], &seen["has_session_token"]), (&Value::Bool(false), &Value::Bool(true)));
    let ran = keys(&["presign", "--endpoint", "iot.example.org", "--out", "url.txt"]).fails(2);
    assert!(ran.err.contains("--region"), "{ran:?}");
    keys(&["presign", "--endpoint", "iot.example.org", "--region", "us-east-1", "--out", "url.txt"]).ok();
    keys(&["presign", "--endpoint", "x y", "--region", "us-east-1", "--print"]).fails(2);
}

#[test]
fn every_command_has_its_manual_page() {
    let home = Home::new();
    let page = home.run(&["man"]).ok().out;
    assert!(
        page.starts_with(".ie")
            && page.contains(".SH EXAMPLES")
            && page.contains(".TH MYSA 1")
            && page.contains("mysa\\-doctor(1)"),
        "{page}"
    );
    let page = home.run(&["man", "set"]).ok().out;
    assert!(page.contains(".TH MYSA-SET 1") && page.contains("dry\\-run"), "{page}");
    home.run(&["man", "dance"]).fails(2);
    home.run(&["man", "--dir", "pages"]).ok();
    for name in ["mysa", "mysa-watch", "mysa-config-set-watts"] {
        assert!(home.path(format!("pages/{name}.1")).exists(), "{name}");
    }
    home.write("file", "");
    home.run(&["man", "--dir", "file"]).fails(1);
}

#[test]
fn files_follow_the_xdg_rules() {
    let home = Home::new();
    let shown = home.run(&["config", "path", "--json"]).ok().json().remove(0);
    assert_eq!(shown["settings"], home.path(".config/mysa/config.toml").to_str().unwrap());
    assert_eq!(shown["sessions"], home.path(".local/state/mysa").to_str().unwrap());

    let mut command = home.command(&["config", "path"]);
    command.env("XDG_CONFIG_HOME", home.path("c")).env("XDG_STATE_HOME", "relative/is/ignored");
    let shown = finish(command, b"").ok().out;
    assert!(shown.contains(home.path("c/mysa/config.toml").to_str().unwrap()), "{shown}");
    assert!(shown.contains(home.path(".local/state/mysa").to_str().unwrap()), "{shown}");

    let elsewhere = home.path("elsewhere.toml");
    let mut command = home.command(&["config", "set", "unit", "fahrenheit"]);
    command.env("MYSA_CONFIG", &elsewhere);
    finish(command, b"").ok();
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "unit = \"fahrenheit\"\n");
    let flag = ["config", "show", "--json", "--config", elsewhere.to_str().unwrap()];
    assert_eq!(home.run(&flag).ok().json()[0]["unit"], "fahrenheit");
}

#[test]
fn rated_watts_are_kept_by_name_and_by_id() {
    let home = Home::new();
    let ran = home.run(&["config", "set-watts", "living", "1500"]).fails(2);
    assert!(ran.err.contains("sign in"), "{}", ran.err);
    home.run(&["config", "set-watts", "A0B1C2D3E4F6", "1000"]).ok();

    home.write(
        ".local/state/mysa/ann@example.org.devices.json",
        r#"{"schema":1,"devices":[{"id":"a0b1c2d3e4f5","name":"Living room","model":"BB-V1-0"},
            {"id":"a0b1c2d3e4f6","name":"Bedroom","model":"BB-V2-0-L"},
            {"id":"a0b1c2d3e4f7","name":"Bed two","model":"BB-V2-0"}]}"#,
    );
    home.run(&["config", "set-watts", "LIVING", "1500"]).ok();
    let ran = home.run(&["config", "set-watts", "bed", "1500"]).fails(2);
    assert!(ran.err.contains("a0b1c2d3e4f6") && ran.err.contains("a0b1c2d3e4f7"), "{}", ran.err);
    home.run(&["config", "set-watts", "cellar", "1500"]).fails(2);

    let shown = home.run(&["config", "show", "--json"]).ok().json().remove(0);
    let watts: Vec<_> = shown["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|device| (device["name"].as_str().unwrap(), device["rated_power_w"].as_i64().unwrap()))
        .collect();
    assert_eq!(watts, [("Living room", 1_500), ("Bedroom", 1_000)]);
    home.run(&["config", "set-watts", "Bedroom", "0"]).ok();
    assert!(!home.run(&["config", "show"]).ok().out.contains("1000"));
}

#[test]
fn an_invalid_setting_is_refused_and_changes_nothing() {
    let home = Home::new();
    let file = home.write(".config/mysa/config.toml", "# mine\nunit = \"celsius\"\n");
    for (name, value) in
        [("colour", "red"), ("unit", "kelvin"), ("devices.x/y.rated-watts", "3"), ("account.sub", "x")]
    {
        home.run(&["config", "set", name, value]).fails(2);
    }
    home.run(&["config", "set", "account", "ann@example.org"]).ok();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "# mine\nunit = \"celsius\"\naccount = \"ann@example.org\"\n"
    );
    let shown = home.run(&["config", "show"]).ok().out;
    assert!(!shown.contains("ann@"), "{shown}");
    assert!(home.run(&["config", "show", "--show-private"]).ok().out.contains("ann@example.org"));
    home.write(".config/mysa/config.toml", "unit = 7\n");
    let ran = home.run(&["config", "show"]).fails(1);
    assert!(ran.err.contains("config.toml") && ran.out.is_empty(), "{ran:?}");
}

#[test]
fn every_shell_gets_its_completions() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).ok().out;
        assert!(script.contains("mysa") && script.contains("decode"), "{shell}");
    }
    home.run(&["completions", "tcsh"]).fails(2);
}

#[test]
fn wrong_usage_ends_with_two_and_help_with_zero() {
    let home = Home::new();
    for args in
        [&[][..], &["frobnicate"], &["decode", "--as", "poem"], &["decode", "--topic", "x"], &["--json"]]
    {
        let ran = home.run(args).fails(2);
        assert!(ran.out.is_empty(), "{ran:?}");
    }
    home.run(&["decode", "no/such/file"]).fails(1);
    home.run_with(&["decode"], " \n").fails(2);
    let help = home.run(&["--help"]).ok().out;
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    assert!(home.run(&["--version"]).ok().out.starts_with("mysa "));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    let line = r#"{"topic":"/v1/dev/a0b1c2d3e4f7/out","payload":{"Device":"a0b1c2d3e4f7","MsgType":0}}"#;
    let file = home.write("long", format!("{line}\n").repeat(20_000));
    let mut child = home
        .command(&["decode", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 16];
    out.read_exact(&mut first).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
