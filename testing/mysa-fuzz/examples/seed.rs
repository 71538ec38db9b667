//! Writes the seeds of the corpora from the vectors of the crates:
//! `fuzz/unpack && cargo run -p mysa-fuzz --example seed && fuzz/pack`.
//!
//! Replaces the files named `seed-` and a number; inputs that the fuzzer found stay.

#![allow(clippy::unwrap_used, reason = "run by hand, from the repository")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn main() {
    let mut seeds = Seeds::default();
    mqtt(&mut seeds);
    messages(&mut seeds);
    rest(&mut seeds);
    sign_in(&mut seeds);
    presign(&mut seeds);
    sealed(&mut seeds);
    config(&mut seeds);
    scripts(&mut seeds);
    seeds.write();
}

#[derive(Default)]
struct Seeds(Vec<(&'static str, Vec<u8>)>);

impl Seeds {
    fn add(&mut self, target: &'static str, parts: &[&[u8]]) {
        let bytes = parts.concat();
        let known = self.0.iter().any(|(name, seed)| *name == target && *seed == bytes);
        if bytes.len() <= 16 * 1024 && !known {
            self.0.push((target, bytes));
        }
    }

    fn write(&self) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (target, _) in mysa_fuzz::TARGETS {
            let dir = corpus.join(target);
            let entries = fs::read_dir(&dir);
            // An empty folder would be packed as a corpus of seeds alone.
            for entry in entries.unwrap_or_else(|_| panic!("{} is absent: run fuzz/unpack", dir.display())) {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with("seed-") {
                    fs::remove_file(path).unwrap();
                }
            }
            for (number, (_, seed)) in self.0.iter().filter(|(name, _)| name == target).enumerate() {
                fs::write(dir.join(format!("seed-{number:03}")), seed).unwrap();
            }
        }
    }
}

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates").join(path)
}

fn vectors(path: &str) -> Value {
    serde_json::from_slice(&fs::read(data(path)).unwrap()).unwrap()
}

/// Collects every text under one of these names, at any depth.
fn texts<'a>(value: &'a Value, names: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if names.contains(&name.as_str()) => found.push(text),
                    _ => texts(value, names, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, names, found)),
        _ => {}
    }
}

fn mqtt(seeds: &mut Seeds) {
    let files =
        ["mysa-mqtt-codec/tests/data/mqtt311_vectors.json", "mysa-mqtt-codec/tests/data/mqtt_packets.json"];
    for file in files.map(vectors) {
        let mut found = Vec::new();
        texts(&file, &["hex"], &mut found);
        for wire in found.into_iter().filter_map(|hex| hex::decode(hex).ok()) {
            let to_server = matches!(wire.first().unwrap_or(&0) >> 4, 1 | 8 | 10 | 12 | 14);
            if !to_server {
                seeds.add("mqtt_from_server", &[&[0, 3], &wire]);
            }
            if to_server || (3..8).contains(&(wire.first().unwrap_or(&0) >> 4)) {
                seeds.add("mqtt_from_client", &[&[0, 3], &wire]);
            }
        }
    }
}

fn messages(seeds: &mut Seeds) {
    for name in ["messages", "json_quirks", "ack_matching", "batch"] {
        let file = vectors(&format!("mysa-proto/tests/data/{name}.json"));
        for case in file["vectors"].as_array().unwrap() {
            let Some(payload) = case["payload"].as_str() else { continue };
            let kind = match case["topic"].as_str().unwrap_or_default().rsplit('/').next() {
                Some("in") => 1,
                Some("batch") => 2,
                _ => 0,
            };
            seeds.add("message", &[&[kind], payload.as_bytes()]);
            seeds.add("json", &[payload.as_bytes()]);
            if let Some(bytes) = case["hex"].as_str().and_then(|hex| hex::decode(hex).ok()) {
                seeds.add("batch", &[&bytes]);
            }
        }
    }
}

fn rest(seeds: &mut Seeds) {
    let mut files: Vec<_> = fs::read_dir(data("mysa-proto/tests/data/rest"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let body = fs::read(&file).unwrap();
        let decoder = match name.split(['.', '_']).next().unwrap() {
            "devices" if name.contains("state") => 1,
            "devices" => 0,
            "device" if name.contains("state") => 3,
            "device" => 2,
            "homes" => 4,
            "users" => 5,
            "firmware" => 6,
            "update" => 7,
            "capabilities" => 8,
            "state" if name.contains("batch") => 18,
            "state" if name.contains("history") => 19,
            "state" => 9,
            "energy" if name.contains("setpoints") => 17,
            "energy" | "usage" => 10,
            "hold" => 12,
            "schedules" => 13,
            "live" => 14,
            "scenes" => 15,
            "schedule" => 16,
            "batch" => 20,
            "bootstrap" => 21,
            _ => 22,
        };
        seeds.add("rest", &[&[decoder], &body]);
        seeds.add("rest", &[&[22], &body]);
        seeds.add("json", &[&body]);
    }
    seeds.add("rest", &[&[0x86], br#"{"error":"Not Found","message":"no such device"}"#]);
    seeds.add("rest", &[&[0x8a], b"120"]);
    seeds.add("rest", &[&[0x8d], b"Fri, 02 Jan 2026 03:04:05 GMT"]);
}

fn sign_in(seeds: &mut Seeds) {
    for name in ["cognito", "identity"] {
        let file = vectors(&format!("mysa-cognito/tests/data/{name}.json"));
        for case in file["vectors"].as_array().unwrap() {
            let response = &case["response"];
            let status = match response["status"].as_u64() {
                Some(200) | None => 0,
                Some(400) => 1,
                Some(429) => 5,
                _ => 6,
            };
            let body = match &response["body"] {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                body => body.to_string(),
            };
            let target = case["request"]["headers"]["x-amz-target"].as_str().unwrap_or_default();
            let step = match target.rsplit('.').next() {
                Some("RespondToAuthChallenge") => 1,
                Some("GetTokensFromRefreshToken") => 3,
                Some("GetId") => 4,
                Some("GetCredentialsForIdentity") => 5,
                Some("RevokeToken") => 6,
                _ if case["name"].as_str().unwrap_or_default().contains("refresh") => 2,
                _ => 0,
            };
            seeds.add("cognito", &[&[step, status], body.as_bytes()]);
        }
    }
    let stored = json!({
        "version": 1, "account": "ann@example.org", "client_id": "19efs8tgqe942atbqmot5m36t3",
        "refresh_token": "eyJjdHkiOiJKV1QiLCJlbmMiOiJBMjU2R0NNIn0.abc.def", "identity_id": "us-east-1:1",
        "refused": null, "not_before": 1_767_323_045,
    });
    seeds.add("stored", &[stored.to_string().as_bytes()]);
    for (name, value) in [
        ("version", json!(2)),
        ("version", json!(0)),
        ("refresh_token", Value::Null),
        ("refused", json!("NotAuthorizedException")),
        ("account", json!("Ånn \"quoted\"\n")),
        ("not_before", json!(-1)),
        ("later", json!([1, {"a": 2}])),
    ] {
        let mut other = stored.clone();
        other[name] = value;
        seeds.add("stored", &[other.to_string().as_bytes()]);
    }
}

fn presign(seeds: &mut Seeds) {
    for name in ["iot_presign_vectors", "iot_verify_vectors", "sigv4"] {
        let file = vectors(&format!("mysa-sigv4/tests/data/{name}.json"));
        let mut found = Vec::new();
        texts(&file, &["url", "target", "expected", "final_url", "signed_url"], &mut found);
        let mut urls: Vec<_> = found.into_iter().filter(|text| text.contains("X-Amz-")).collect();
        urls.truncate(24);
        urls.into_iter().for_each(|url| seeds.add("presigned_url", &[url.as_bytes()]));
    }
    let key = b"\x13AKIDEXAMPLE00000001";
    let token = b"\x01\x14a/token+with==signs!";
    let secret = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let time = (1_767_323_045_u32 - 946_684_800).to_le_bytes();
    for (port, expires, rule, flip) in [
        (&b"\0"[..], &b"\0"[..], 0, [10, 0, 1]),
        (b"\x01\xbb\x01", b"\x01\x2c\x01", 0, [200, 0, 0x20]),
        (b"\0", b"\x01\x2c\x01", 1, [90, 1, 2]),
    ] {
        seeds.add("presign", &[&[0], port, expires, &[rule], &time, &flip, key, token, secret]);
        seeds.add("presign", &[&[1], port, expires, &[rule], &time, &flip, key, b"\0", secret]);
    }
}

/// Sealed tokens, key files, and changes to a sealed token.
fn sealed(seeds: &mut Seeds) {
    let token = "mysa-sealed-1.north.home-1.2026-11.ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7.\
                 HVOL1Zlc7PHvEOlQzQrTRcFoNLjahxl5wUrf7EZPJA";
    for (from, to) in
        [("", ""), ("sealed-1", "sealed-2"), ("home-1", "home 1"), ("PJA", "PJB"), ("2026-11", "")]
    {
        seeds.add("sealed", &[&[0], token.replacen(from, to, 1).as_bytes()]);
    }
    let key = "2026-11 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let next = "next ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";
    for text in [
        format!("# keys\n{key}\n\n{next}\n"),
        format!("{key}\n{key}"),
        key.replace(' ', ""),
        format!("{key}="),
    ] {
        seeds.add("sealed", &[&[1], text.as_bytes()]);
    }
    for at in [0, 14, 20, 30, 40, 80, 120_u8] {
        seeds.add("sealed", &[&[2, at, 0, 1], b"a refresh token"]);
    }
}

/// Hand-written settings and homes.
fn config(seeds: &mut Seeds) {
    for (change, text) in [
        ([1, 0, 4, 200], "# mine\naccount = \"ann@example.org\" # me\nunit = \"fahrenheit\"\n"),
        ([1, 6, 5, 0], "[devices] # all\n[devices.A0B1C2D3E4F5] # this\nrated-watts = 1500 # label\n"),
        ([2, 7, 6, 9], "devices.a0b1c2d3e4f5.rated-watts = 1\ndevices.a1.rated-watts = 2\n"),
        (
            [2, 3, 4, 9],
            "environment = { region = \"us-east-1\", iot-endpoint = \"a1-ats.iot.example.org\" }\n",
        ),
        ([3, 2, 3, 0], "mode-table = 'observed'\n\n[environment]\n# none\nuser-pool = \"us-east-1_x\"\n"),
        ([3, 1, 1, 7], "unit = \"kelvin\""),
        ([1, 11, 0, 1], "devices = {}\r\n# end"),
    ] {
        seeds.add("config", &[&change, text.as_bytes()]);
    }
    let home = "history-days = 30\n[[account]]\nemail = \"ann@example.org\"\npassword = \"secret\"\nsms-code = \"1\"\n\
                [[account.home]]\nname = \"Cottage\"\ntime-zone = \"America/Halifax\"\nutc-offset-s = -14400\n\
                mean-outdoor-c = 4.5\n[[account.home.device]]\nid = \"a0b1c2d3e4f5\"\nmodel = \"BB-V1-1\"\n\
                name = \"Hall\"\nrated-w = 1500\nsetpoint-c = 18\nroom-c = 17.5\nmode = \"off\"\n";
    for (from, to) in
        [("x", "x"), ("1500", "nan"), ("\"off\"", "\"dry\""), ("BB-V1-1", "AC-V1-0"), ("4.5", "inf")]
    {
        seeds.add("config", &[&[0], home.replace(from, to).as_bytes()]);
    }
}

/// Hand-written sequences of choices.
fn scripts(seeds: &mut Seeds) {
    let setpoint: &[u8] = &[1, 0x34, 0x08];
    for model in 0..14 {
        seeds.add("command", &[&[model], setpoint, &[1, 2, 1, 1, 1, 1], &[0; 16], b"user"]);
        seeds.add("command", &[&[model], &[0, 1, 0, 0, 1, 1], &[0; 24]]);
        seeds.add("command", &[&[model], &[0, 0, 0, 0, 0, 0, 1, 3, 1, 4], &[0; 24]]);
        // A pair of setpoints with and without its mode, and an offset: the last choices, behind limits, form, id and name.
        let pair: &[u8] = &[1, 0x6c, 0x09, 0xb8, 0x0b];
        for last in [
            &[0, 1, 0x6c, 0x09, 0xb8, 0x0b, 0][..],
            &[0, 0, 1, 0x8a, 0x02],
            &[&[1, 0], pair, &[1, 0x5e, 0x01]].concat(),
        ] {
            seeds.add("command", &[&[model], &[0; 10], &[0; 11], last]);
            seeds.add("command", &[&[model], &[0, 1, 1], &[0; 8], &[0; 11], last]);
        }
        let narrow: &[u8] = &[1, 0xd0, 0x09, 1, 0xc4, 0x0a];
        seeds.add("command", &[&[model], &[0, 1, 1], &[0; 8], narrow, &[0; 9], &[0], pair]);
        let crossed: &[u8] = &[1, 0xb8, 0x0b, 0x6c, 0x09];
        seeds.add("command", &[&[model], &[0, 1, 1], &[0; 8], &[0; 11], &[0], crossed, &[1, 0xff, 0xff]]);
    }
    let word = |kind: u8, source: u8, at: u8, arrival: u8, degrees: u8| {
        [
            kind,
            source,
            1,
            at,
            arrival,
            0,
            1,
            degrees,
            1,
            degrees & 1,
            1,
            degrees,
            0,
            1,
            1,
            arrival.saturating_sub(1),
        ]
    };
    seeds.add("state", &[&word(0, 1, 110, 11, 1), &word(0, 3, 109, 12, 2), &word(0, 5, 60, 20, 3)]);
    seeds.add("state", &[&word(0, 1, 110, 11, 1), &word(7, 3, 112, 13, 2), &word(0, 1, 111, 14, 1)]);
    seeds.add(
        "state",
        &[&word(7, 6, 250, 11, 1), &word(7, 4, 0, 13, 2), &word(0, 0, 255, 14, 1), &word(1, 2, 1, 1, 0)],
    );
    // All parts of the brightness, then the active one alone: in a message, and in a confirmed command.
    let whole: &[u8] = &[8, 1, 1, 110, 11, 0, 0, 0, 0, 0, 0, 0x3f, 2, 1];
    seeds.add("state", &[whole, &[8, 3, 1, 112, 12, 0, 0, 0, 0, 0, 0, 4, 1, 0]]);
    seeds.add("state", &[whole, &[15, 3, 1, 112, 13, 0, 0, 0, 0, 0, 0, 12, 4, 1, 0], whole]);

    // Resume, answer requests, open, act as a correct broker, command, act as a correct broker.
    let live: &[u8] = &[0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x70, 0x98, 0x9f, 0x98, 0x18, 0x30, 0x30, 0x98];
    let command: &[u8] = &[0xc8, 0, 0, 1, 0xc4, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let status: &[u8] = &[0xd8, 160, 0, 0];
    let ack: &[u8] = &[0xd9, 160, 1, 1, 3, 0, 0];
    for choice in [2, 3, 1, 0, 6, 0x12, 0x3a, 10] {
        seeds.add(
            "session",
            &[&[choice], live, command, &[0x98], status, &[0x98], ack, &[0x18, 0x98, 0x07, 0xff, 0xff]],
        );
    }
    seeds.add("session", &[&[2], live, command, command, &[0xe8, 0], &[0xc0, 0], &[0x18], live, status]);
    seeds.add("session", &[&[2], live, &[0xfa], status, command, status, &[0xfa], &[0x07, 0xff, 0xff], live]);
    seeds.add(
        "session",
        &[&[2, 0x60, 0, 1, 0, 0, 4], b"null", live, &[0x68, 0, 0], &[0xf0, 0, 0, 9], live, &[0xff]],
    );
    seeds.add(
        "session",
        &[&[1, 0x70, 0x98], command, &[0x98], status, &[0xb8, 0, 4, 0xd0, 0, 0x20, 1], command],
    );
    seeds.add("session", &[&[2], live, &[0xec, 1, 0x30, 0xf4, 0xf6, 0xf8, 1, b'1', 0xfe], live]);
    // With a lookup of the broker's host. Registrations: that of the thermostat, a refusal, and a sign-out before the answer.
    seeds.add(
        "session",
        &[
            &[0x42],
            live,
            &[0x54, 0, 0x30, 0x54, 0xff, 0x60, 0, 4, 0, 0, 0, 0, 0, 0x5d, 0, 0x5d, 0xff],
            &[0x54, 0, 0xfe],
        ],
    );
    // A preview alone and with its command; a change that the thermostat does not have; one for another thermostat.
    let change = &command[3..];
    let fan: &[u8] = &[0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0];
    seeds.add(
        "session",
        &[&[2], live, &[0x50, 0], change, &[0, 0x50, 0], change, &[1, 0x98], status, &[0x50, 0], fan, &[1]],
    );
    seeds.add("session", &[&[2], live, &[0x50, 0xff], change, &[1, 0xff, 0x50, 0], change, &[1]]);
    // A pool that replaces refresh tokens. The new one cannot be stored, then another process has stored a newer one. The pool
    // refuses a token: the same is stored, or another.
    let renew: &[u8] = &[0x82, 0x30, 0x58, 1, 0x18, 0x58, 2, 1, 9];
    seeds.add("session", &[renew, live, &[0x07, 0xff, 0xff, 0x18, 0x18, 0x30, 0x58, 0]]);
    let body: &[u8] = br#"{"__type":"NotAuthorizedException"}"#;
    let refuse: &[u8] = &[&[0x60, 0, 2, 0, 0, 0, body.len() as u8], body, &[0]].concat();
    seeds.add("session", &[&[0x82, 0xfa, 0], refuse, &[0xfa, 1, 1, 0x30, 0x58, 0], live]);
    seeds.add(
        "session",
        &[&[0x82, 0xfa, 0], refuse, &[0xfa, 1, 0, 0x18, 0x18, 0xfa, 1, 1], refuse, &[0xfa, 0, 0x18, 0xfa, 0]],
    );
    // Commands on a connection whose bytes wait in the driver.
    seeds.add(
        "session",
        &[&[2], live, &[0x5a, 0], command, &[0x07, 0xff, 0x0f, 0x5c, 0, 0x98], status, ack, &[0x5a, 0, 0xff]],
    );

    // Challenges: the password's, and a code that is wrong before it is right; a choice of the method; one that only the vendor's
    // app can answer, then a code whose answer is lost; refusals of codes; a sign-out instead of an answer.
    let (wrong, right, method): (&[u8], &[u8], &[u8]) = (&[0x49, 1], &[0x49, 0], &[0x49, 2]);
    seeds
        .add("session", &[&[0, 0x48, 5, 0x48, 0], wrong, &[0x30], right, &[0x30], live, command, &[0x4e, 0]]);
    seeds.add("session", &[&[0, 0x48, 3], wrong, &[0x30], method, &[0x30, 0x49, 3, 0x30], live, command]);
    seeds.add(
        "session",
        &[&[0, 0x48, 4], right, &[0xf6, 0x18, 0x48, 1], right, &[0x68, 0, 0], right, &[0x30], live],
    );
    for refusal in 6..12 {
        let again: &[u8] = &[0x18, 0x18, 0x48, 2];
        seeds.add(
            "session",
            &[&[3, 0x48, 8, 0x18, 0x48, 2], right, &[0x48, refusal], again, right, &[0x30], live],
        );
    }
    seeds
        .add("session", &[&[0, 0x48, 0, 0xfe], right, &[0x18, 0xf6, 0x18, 0x48, 0], wrong, &[0x48, 6, 0xff]]);

    // Thermostats that the caller knows, of which the account has one more, or not; commands to all of them.
    let assume: &[u8] = &[0x4a, 3, 0, 0, 0, 1, 1, 1, 1, b'x', 2, 2, 0];
    let all: &[u8] = &[&[0x4c, 4, 0, 1, 2, 0, 0], change].concat();
    let later: &[u8] = &[0x18, 0x18, 0x18, 0x98];
    for choice in [1, 2] {
        seeds
            .add("session", &[&[choice], assume, &[0x70, 0x98], live, all, later, &[0x4e, 0], later, assume]);
        seeds.add(
            "session",
            &[&[choice, 0x4d], live, all, later, &[0x4e, 1], later, all, all, all, &[0x4d], live],
        );
    }
    // Changes of settings: each once, with an answer, a refused token, no connection, and by a session that only reads.
    let settings: &[u8] = &[
        0x4b, 0, 0, 4, b'H', b'a', b'l', b'l', 0x4b, 0, 1, 1, 0x4b, 1, 2, 10, 80, 0x4b, 2, 3, 1, 0x4b, 0, 4,
        10, 60,
    ];
    let refused: &[u8] = &[0x60, 0, 3, 0, 0, 0, 0, 0];
    seeds.add("session", &[&[2], live, settings, &[0x30; 6], settings, refused, &[0x30; 6], live]);
    seeds.add(
        "session",
        &[&[2], live, settings, &[0x68, 0, 1, 0x68, 0, 0], refused, refused, &[0x30; 4], refused],
    );
    seeds.add("session", &[&[0x3a], live, settings, all, &[0x30; 4]]);

    let join: &[u8] = &[0x70, 0xb2, 0, 0];
    let set: &[u8] = &[0xca, 0, 0, 1, 2, 3, 4, 1, 0xd0, 0x03, 3];
    seeds.add("sim", &[&[1], join, set, &[0x20, 0x20, 0x03, 0xff, 0xff]]);
    seeds.add("sim", &[&[1], join, &[0xc9, 0, 0, 0x2c, 1], &[0x07, 0xff, 0xff, 0x20], set]);
    seeds.add("sim", &[&[1, 0x30, 0, 0, 0, 1, 0, 6, 1, 0, 0x30, 1, 0, 0, 2, 0, 6, 1, 0, 0x90, 0], join, set]);
    seeds.add(
        "sim",
        &[&[0, 0x30, 2, 1, 0, 0, 0, 0, 0, 0, 40], br#"{"AuthFlow":"USER_SRP_AUTH","ClientId":"x"}"#],
    );
    seeds.add("sim", &[&[0, 0x60, 3], b"a=b", &[1, 0xa0, 1, 2, 0xc0, 0], set]);
    seeds.add("sim", &[&[1], join, &[0x72, 0xa0, 0, 3, 0xc0, 0, 0, 0xf9, 0xa0, 0, 2, 0xe0, 0], set]);
    let update = br#"{"state":{"mode":{"mode":"heat"},"targetHeat":{"setpoint":21}}}"#;
    seeds.add("sim", &[&[1, 0x30, 1, 1, 0, 8, 0, 6, 1, update.len() as u8], update, join]);

    // Every request of an app, for a thermostat of each kind: route, time, what the route reads, and no change of the body.
    for device in 0..8 {
        let requests = (0..29).flat_map(|route| {
            let choices: &[u8] = match route {
                0 => &[1],
                6 => &[1, 1, 0],
                7 => &[0x2c, 1],
                8 | 9 => &[8, 30, 1, 3, 116, 3, 0],
                12 => &[18, 200, 0, device & 1, 3, 116, 3],
                16 => &[1, 100, 0, 0],
                17 => &[0],
                18 => &[0, 0, 0, 0],
                19 => &[1, 2, 3, 1],
                20 => &[0],
                23 | 26 => &[1, b'x', 1],
                27 => &[0, 1],
                28 => &[1 << (device & 7), 116, 4],
                10 | 22 | 25 => &[0],
                _ => &[],
            };
            [&[0x48, device, route, 10, 0], choices, &[0, 0]].concat()
        });
        // Three minutes later, when a hold has begun.
        let requests: Vec<u8> = requests.collect();
        let later: &[u8] = &[0x03, 0xff, 0x57, 0x48, device, 13, 0, 0, 0, 0];
        // At most 64 steps are taken.
        seeds.add("sim", &[&[3], &requests, later, &[0x5c, device, 0, 0x5c, device, 1]]);
    }
    let heat: &[u8] = &[3, 116, 4];
    let shadows: &[u8] =
        &[0xcf, 0, 5, 0, 0, 2, 3, 116, 3, 0xcf, 0, 5, 1, 1, 2, 3, 116, 3, 9, 0xcf, 0, 5, 0, 1, 0, 0x20, 0x20];
    seeds.add(
        "sim",
        &[&[11], join, &[0xb7, 0, 5], shadows, &[0xcf, 0, 6, 2, 0, 0], &[0x48, 6, 28, 0, 0], heat],
    );
    seeds.add(
        "sim",
        &[&[7, 0x48, 0, 2, 0, 0, 0, 0, 0x48, 2, 28, 0, 0], heat, &[0, 0, 0x48, 0, 2, 0, 0, 0, 1]],
    );
    for choice in [1, 17] {
        let token = [5, 4, 0, 3, 2, 1].map(|action| [0xf8, action]).concat();
        seeds.add("sim", &[&[choice], &token, &[0x48, 0, 2, 0, 0, 0, 0], join]);
    }

    // Every fault by its name, with a journal: at once, and after three seconds for eight.
    for first in (0..104).step_by(8) {
        let faults = (first..first + 8).flat_map(|fault| {
            let planned: &[u8] = &[0x28, fault, 1, fault & 7, 1, 3, 1, 0x40, 0x1f];
            [&[0x28, fault, 0, 0, 0], set, planned, &[0x20, 0x48, 0, 1, 0, 0, 0, 0, 0x29, 0]].concat()
        });
        let faults: Vec<u8> = faults.collect();
        seeds.add("sim", &[&[1, 0x2a], join, &faults, &[0x07, 0xff, 0x0f, 0x29, 0xff]]);
    }
    // Wrong passwords until the account is locked; challenges, answered wrongly and rightly.
    let (wrong, right): (&[u8], &[u8]) = (&[0x99, 0], &[0x99, 1]);
    seeds.add("sim", &[&[0, 0x98, 0, 0x98, 0, 0x98, 1], join, set]);
    for choice in [0x41, 0x81, 0xc1] {
        seeds.add(
            "sim",
            &[&[choice], wrong, right, right, right, join, set, &[0x98, 1], wrong, wrong, wrong, right],
        );
    }
    seeds.add(
        "sim",
        &[&[0xc0, 0x98, 1], right, right, &[0x98, 1, 0x98, 0], right, &[0x07, 0xff, 0x0f], right],
    );
    // The next cloud knows the tokens, or not, or they have expired.
    for choice in [0x21, 0x25, 1] {
        seeds.add(
            "sim",
            &[&[choice], join, set, &[0x9a], join, set, &[0x5c, 0, 0, 0xf8, 5, 0x07, 0xff, 0xff, 0x9a]],
        );
    }
    // A client that acknowledges, one that does not, and one that ends its subscriptions.
    let minute: &[u8] = &[0x00, 0x60, 0xea];
    seeds.add(
        "sim",
        &[&[9], join, set, minute, &[0x9b, 0, 0], set, &[0x9b, 0, 1, 9, 0, 0x9c, 0, 2, 0], set, minute],
    );
    seeds.add(
        "sim",
        &[&[11], join, &[0xb1, 0, 0x9c, 0, 1, 0x9c, 0, 7, 5], set, &minute.repeat(3), &[0x9b, 9, 0]],
    );

    let up: &[u8] = &[0, 0, 2, 0, 4, 0, 2, 0, 12, 0, 2, 0];
    let home: &[u8] = &[6, 0, 1, 2, 0x80, 1, 1, 1, b'a', 0, 1, 1, 0, 0, 0, 0, 7, 1, 1, 0];
    let off: &[u8] = &[9, 0, 0, 2, 1, 0];
    let warmer: &[u8] = &[9, 0, 0, 0, 0, 0];
    seeds.add("bridge", &[&[7], up, home, off, &[14, 0, 0, 2, 0, 5, 0xff, 0xff]]);
    seeds.add("bridge", &[&[7], home, up, warmer, warmer, &[5, 200, 0, 1, 0, 5, 0xff, 0xff], up, off]);
    seeds.add("bridge", &[&[7], up, home, off, &[13, 2, 5, 0xff, 0x7f, 15, 0xff, 2, 0]]);
    seeds.add(
        "bridge",
        &[&[7], up, &[3, 0, 6, 0x30, 4, 0, 1, b'x', b'y', 11, 0, 0, 2, 1, 1], home, &[8, 201, 1, 0]],
    );

    // Histories of energy, which are corrected downwards and cannot be stored. A minute passes between, with pings and their answers.
    // The end of the last time of the thermostat, the list of thermostats, and a service that is live; acknowledgements.
    let live: &[u8] = &[0, 0, 7, 1, 0, 0, 13, 0, 10, 0, 10, 0];
    let minute: &[u8] = &[5, 0xe8, 0x03, 10, 0].repeat(8);
    seeds.add("bridge", &[&[6, 15, 0x3e], up, home, live, minute, &[15, 6], minute, &[15, 0x46], minute]);
    // The broker returns each message of the bridge, as it was, empty, or of another; of another thermostat, which is removed.
    let returned = |kind: u8, other: &[u8]| {
        (0..8).flat_map(|at| [&[15, 0x80, at, kind], other, &[1]].concat()).collect::<Vec<u8>>()
    };
    for kind in [0, 1, 3, 4] {
        seeds.add(
            "bridge",
            &[
                &[6],
                up,
                home,
                live,
                &returned(kind, &[0]),
                &[10, 0],
                &returned(kind, &[1, 2]),
                &[10, 0],
                minute,
            ],
        );
    }

    // The broker has the identity of this bridge, then that of another; then a thermostat that no account has, and five minutes.
    let identity = |kind: u8| [15, 0x80, 5, kind, 0, 0];
    let other = [identity(0), identity(4), identity(4), identity(4)].concat();
    let wait: &[u8] = &[&[5, 0xff, 0x7f, 10, 0].repeat(3)[..], up].concat();
    seeds.add("bridge", &[&[6], up, home, live, &other, &[15, 0x80, 2, 2, 1, 2, 1], wait, &identity(1), off]);

    // Power without a history, with a gap and an impossible power, and the total after a restart; then a history.
    let listed: &[u8] = &[7, 1, 1, 0, 13, 0];
    let power: &[u8] = &[0xf0, 0, 0xdc, 0x05, 0, 150];
    let rest: &[u8] = &[0xf0, 0, 0, 0, 2, 150, 0xf0, 0, 0xff, 0xff, 0, 100, 0xf5, 0x00, 0x20];
    seeds.add(
        "bridge",
        &[&[6], listed, power, power, rest, power, &[0xf4], listed, power, &[15, 0x3e], power, minute],
    );
    seeds.add(
        "bridge",
        &[&[7], &[7, 1, 0, 0, 0, 13, 0, 0], &[0xf0, 0, 0xdc, 0x05, 1, 150, 0], &[15, 0x42, 0xf4]],
    );
    // Holds: each value for each field.
    let holds: Vec<u8> = (0..26).flat_map(|at| [0xf3, 0, at & 1, at / 2, 0]).collect();
    seeds.add("bridge", &[&[6], listed, power, &holds, &[0xf5, 0, 8, 0xf4], &holds]);
    // Home Assistant starts, twice within the pause; the connection ends before the answer.
    let birth: &[u8] = &[0xf1, 0, 0, 0xf1, 0, 0, 0xf1, 0, 1];
    seeds.add("bridge", &[&[6], listed, power, birth, &[0xf5, 160, 0], birth, &[1, 0, 0xf5, 160, 0]]);
    // Thermostats that no account has: of an earlier run, and one that the broker names again after its removal.
    let orphan: &[u8] = &[0xf2, 2, 0, 0];
    let hour: &[u8] = &[0xf5, 0xff, 0xff];
    seeds.add(
        "bridge",
        &[&[6], orphan, listed, power, &[0xf5, 0, 1], orphan, hour, orphan, birth, &[0xf5, 0xff, 0], power],
    );
    seeds.add(
        "bridge",
        &[
            &[6],
            listed,
            power,
            &[0xf0, 1, 1, 0, 0, 9],
            &[0xf4, 7, 0, 1, 0, 13, 0],
            hour,
            &[0xf2, 0, 2, 0],
            hour,
        ],
    );

    // Exchange with the store, and time until two clients run; requests; verdicts; the other workers.
    let run: &[u8] = &[0x30, 0x10, 0x30, 0x10, 0x30, 0x10, 0x30];
    let ask: &[u8] = &[0xa8, 0, 0, 0, 0, 0x10, 0x27, 20];
    let again: &[u8] = &[0xa8, 0, 1, 0, 0, 0x10, 0x27, 20];
    let verdict: &[u8] = &[0x30, 0xc8, 0, 0, 0x30];
    let rival: &[u8] = &[0x90, 0, 9, 0x30];
    seeds.add("worker", &[&[0], run, ask, ask, again, verdict, ask, &[0x30, 0xe0, 0x30]]);
    seeds.add("worker", &[&[1], run, ask, &[0x30], rival, &[0x03, 0xff, 0x0f, 0x93, 0x94, 0, 0, 0x30], ask]);
    seeds.add(
        "worker",
        &[&[0], run, ask, &[0x61, 0, 0x10, 0x10, 0x30], verdict, again, &[0x62, 0, 0x10, 0x30]],
    );
    seeds.add("worker", &[&[6], &[0x88, 0, 0x8a, 1, 0xe4], rival, run, &[0x89, 0, 0x30, 0xd8, 0, 0x30], run]);
    seeds.add("worker", &[&[0], rival, &[0x94, 0, 0, 0x97, 0, 0, 0, 0x92, 0], run, run, ask, verdict]);
    seeds.add("worker", &[&[0], run, ask, &[0xf0, 0, 0, 0, 0xf8, 0, 1], run, &[0xf2, 0x80, 1, b'x', 2, 0]]);
    seeds.add("worker", &[&[3], run, ask, &[0x65, 0, 0x66, 0, 0x70, 0, 0x79, 0, 0xe8, 0xd9, 0, 0x30], again]);
}
