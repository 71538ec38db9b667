//! `mysa fleet`: several accounts in one process, against a simulated cloud.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use mysa_sim::{CloudSpec, DeviceFault, Endpoint, Fault, HttpFault, Incident};
use serde_json::{Value, json};

use crate::bench::{Bench, HANG_SECONDS, KITCHEN, signal, wait_until};
use crate::bridge_operation::{get, value};
use crate::common::{HANG_LIMIT, Ran};

/// Kitchen of the second and of the third account.
pub(crate) const KITCHEN_2: &str = "a0b1c2d3e5f6";
pub(crate) const KITCHEN_3: &str = "a0b1c2d3e6f6";

/// Three accounts, `user1@example.com` to `user3@example.com`, each with five thermostats.
fn three() -> Bench {
    Bench::with(CloudSpec::demo().with_accounts(3))
}

/// Text of an accounts file: name, number of the user, and the line of the secret.
pub(crate) fn file(accounts: &[(&str, u32, &str)]) -> String {
    let one = |(name, user, secret): &(&str, u32, &str)| {
        format!("[[account]]\nname = \"{name}\"\nemail = \"user{user}@example.com\"\n{secret}\n\n")
    };
    accounts.iter().map(one).collect()
}

pub(crate) const BY_FILE: &str = "password-file = \"password\"";

fn write_accounts(bench: &Bench, text: &str) {
    write_accounts_to(bench, "accounts.toml", text);
}

pub(crate) fn write_accounts_to(bench: &Bench, name: &str, text: &str) {
    let path = bench.home.write(name, text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A fleet in the background.
pub(crate) struct Fleet {
    pub(crate) child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
    log: Arc<Mutex<String>>,
}

impl Fleet {
    fn start(bench: &Bench, args: &[&str]) -> Self {
        Self::start_with(
            bench,
            &[&["fleet", "--accounts", "accounts.toml", "--start-rate", "1000"], args].concat(),
        )
    }

    pub(crate) fn start_with(bench: &Bench, all: &[&str]) -> Self {
        let fleet = Self::begin_with(bench, all);
        fleet.wait_for_log("commands at ");
        fleet
    }

    /// Starts it, and does not wait until it takes commands.
    pub(crate) fn begin_with(bench: &Bench, all: &[&str]) -> Self {
        // By the home alone, because the bench adds a time limit to changes.
        let mut child = bench.command(all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, events) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let _ = sender.send(event);
            }
        });
        let log = Arc::new(Mutex::new(String::new()));
        let (err, to) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                to.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, events, seen: Vec::new(), log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text} in the log: {}", self.log()), || self.log().contains(text));
    }

    /// Waits for an event, of those before too.
    #[track_caller]
    pub(crate) fn event(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(seen) = self.seen.iter().find(|event| is_it(event)) {
            return seen.clone();
        }
        loop {
            let next = self.events.recv_timeout(HANG_LIMIT);
            let event = next.unwrap_or_else(|error| panic!("never: {what}: {error}; {}", self.log()));
            self.seen.push(event.clone());
            if is_it(&event) {
                return event;
            }
        }
    }

    #[track_caller]
    pub(crate) fn wait_until_live(&mut self, account: &str) {
        self.event(&format!("{account} is live"), |event| {
            event["event"] == "service" && event["account"] == account && event["service"] == "live"
        });
    }

    /// Ends it by SIGTERM and returns its exit code and the rest of its events.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<Value>) {
        signal(&self.child, "TERM");
        let code = self.child.wait().unwrap().code();
        let rest = self.events.iter().collect();
        (code, rest)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set(bench: &Bench, args: &[&str]) -> Ran {
    bench.run(&[&["fleet", "set"], args].concat())
}

fn socket(bench: &Bench) -> UnixStream {
    UnixStream::connect(bench.home.path(".local/state/mysa/fleet.sock")).unwrap()
}

/// Sends lines to the control socket, closes that side, and returns the answers.
fn ask(bench: &Bench, lines: &[Value]) -> Vec<Value> {
    let mut stream = socket(bench);
    for line in lines {
        writeln!(stream, "{line}").unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn several_accounts_are_served_changed_and_reread_in_one_process() {
    let bench = three();
    bench.home.write("ask", "#!/bin/sh\ncat \"$HOME/password\"\n");
    std::fs::set_permissions(bench.home.path("ask"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let command = format!("password-command = [{:?}]", bench.home.path("ask"));
    write_accounts(&bench, &file(&[("one", 1, BY_FILE), ("two", 2, &command)]));
    let mut fleet = Fleet::start(&bench, &["--metrics", ":0"]);
    fleet.wait_until_live("one");
    fleet.wait_until_live("two");

    // Each state is of its account.
    let kitchen = fleet.event("the kitchen of two", |event| {
        event["event"] == "device" && event["id"] == KITCHEN_2 && event["temperature_c"].is_number()
    });
    assert_eq!(
        (&kitchen["account"], &kitchen["name"], &kitchen["schema"]),
        (&json!("two"), &json!("Kitchen"), &json!(1))
    );
    assert!(kitchen["changed"].as_array().is_some_and(|changed| !changed.is_empty()), "{kitchen}");

    // A command reaches the thermostat of the named account and no other.
    let ran = set(&bench, &["two/kitchen", "--temp", "22.5"]).ok();
    assert!(ran.out.starts_with("two/kitchen: confirmed"), "{ran:?}");
    assert_eq!((bench.setpoint(KITCHEN_2), bench.setpoint(KITCHEN)), (22.5, 19.0));
    let verdict = fleet.event("its verdict", |event| event["event"] == "verdict");
    assert_eq!(
        (&verdict["account"], &verdict["id"], &verdict["verdict"]),
        (&json!("two"), &json!(KITCHEN_2), &json!("confirmed"))
    );
    let ran = set(&bench, &["one/kitchen", "--temp", "+1", "--json"]).ok().json().remove(0);
    assert_eq!(
        (&ran["verdict"], &ran["account"], &ran["requested"]["setpoint_c"]),
        (&json!("confirmed"), &json!("one"), &json!(20.0))
    );

    // The status by people and by programs.
    let status = bench.run(&["fleet", "status"]).ok().out;
    assert!(status.lines().all(|line| line.contains("running  live  thermostats: 5")), "{status}");
    let status = bench.run(&["fleet", "status", "two", "--json"]).ok().json().remove(0);
    assert_eq!(status["devices"].as_array().unwrap().len(), 5, "{status}");
    assert!(bench.run(&["fleet", "status", "two"]).ok().out.contains("Kitchen"), "{status}");

    // The sessions are stored as those of `mysa login`, for their owner alone; the socket too.
    for path in [".local/state/mysa/user1@example.com.json", ".local/state/mysa/fleet.sock"] {
        let mode = std::fs::metadata(bench.home.path(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path}");
    }

    // Metrics of the fleet have a fixed number of series, without names.
    let line = fleet.log();
    let at = line.split_once("metrics at http://").unwrap().1.split_once("/metrics").unwrap().0.to_owned();
    let text = get(&at, "/metrics");
    assert!(
        !text.contains("example.com") && !text.contains("account=\"") && !text.contains(KITCHEN_2),
        "{text}"
    );
    assert_eq!(value(&at, r#"mysa_fleet_accounts{stage="running"}"#), Some(2.0));
    assert_eq!(value(&at, r#"mysa_fleet_service_levels{level="live"}"#), Some(2.0));
    assert_eq!(value(&at, r#"mysa_commands_total{outcome="confirmed"}"#), Some(2.0));
    assert!(get(&at, "/healthz").ends_with("\r\n\r\nok\n"));

    // An invalid file changes nothing; a valid one adds, removes and restarts.
    write_accounts(&bench, "[[account]]\nemail = 5\n");
    signal(&fleet.child, "HUP");
    fleet.wait_for_log("the accounts stay as they are: accounts.toml: line 2");
    assert!(set(&bench, &["two/kitchen", "--temp", "21"]).ok().out.contains("confirmed"));
    write_accounts(&bench, &file(&[("zwei", 2, BY_FILE), ("three", 3, BY_FILE)]));
    signal(&fleet.child, "HUP");
    fleet.wait_for_log("added: 2, removed: 2, changed: 0");
    fleet.wait_until_live("three");
    fleet.wait_until_live("zwei");
    let ran = set(&bench, &["two/kitchen", "--temp", "20"]).fails(2);
    assert!(ran.err.contains("no account has the name 'two'"), "{ran:?}");
    set(&bench, &["three/kitchen", "--temp", "23"]).ok();
    assert_eq!((bench.setpoint(KITCHEN_2), bench.setpoint(KITCHEN_3)), (21.0, 23.0));

    // No secret is in any output.
    let (code, rest) = fleet.end();
    assert_eq!(code, Some(143));
    assert!(rest.iter().filter(|event| event["state"] == "stopped").count() >= 2, "{rest:?}");
    assert!(!bench.home.path(".local/state/mysa/fleet.sock").exists());
    assert!(!format!("{rest:?}").contains(CloudSpec::DEMO_PASSWORD));
    bench.run(&["fleet", "status"]).fails(8);
}

#[test]
fn a_request_with_an_id_is_carried_out_once_and_each_has_one_verdict() {
    let bench = three();
    write_accounts(&bench, &file(&[("one", 1, BY_FILE)]));
    let mut fleet = Fleet::start(&bench, &[]);
    fleet.wait_until_live("one");
    let ask_for = |request: &str, temp: f64| json!({ "op": "set", "request": request, "account": "one", "device": "kitchen", "change": { "temp": temp }, "wait_s": 600 });
    // Twice at once, and once again after the verdict.
    let answers = ask(&bench, &[ask_for("a", 21.0), ask_for("a", 21.0)]);
    let before = bench.messages(KITCHEN).commands;
    let again = ask(&bench, &[ask_for("a", 21.0)]);
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(answers.iter().chain(&again).all(|answer| *answer == answers[0]), "{answers:?} {again:?}");
    assert_eq!((&answers[0]["verdict"], &answers[0]["request"]), (&json!("confirmed"), &json!("a")));
    assert_eq!(bench.messages(KITCHEN).commands, before);
    fleet.event("the verdict", |event| event["event"] == "verdict");
    // The same id for something else is a mistake of the caller, and nothing is sent.
    let other = ask(&bench, &[ask_for("a", 22.0)]).remove(0);
    assert_eq!((&other["verdict"], &other["exit_code"]), (&json!("refused"), &json!(7)), "{other}");
    assert_eq!((bench.setpoint(KITCHEN), bench.messages(KITCHEN).commands), (21.0, before));

    // Of two commands for one field, the newer one wins, and both have a verdict.
    bench.device_fault(KITCHEN, DeviceFault::IgnoreCommands);
    let mut stream = socket(&bench);
    writeln!(stream, "{}", ask_for("b", 23.0)).unwrap();
    wait_until("a first transmission", || bench.messages(KITCHEN).commands > before);
    writeln!(stream, "{}", ask_for("c", 24.0)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let superseded: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&superseded["request"], &superseded["verdict"]), (&json!("b"), &json!("superseded")));
    // A drain decides what is open, and the caller hears it.
    signal(&fleet.child, "TERM");
    let unconfirmed: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(unconfirmed["request"], "c", "{unconfirmed}");
    assert!(["unconfirmed", "expired"].contains(&unconfirmed["verdict"].as_str().unwrap()), "{unconfirmed}");
    assert!(lines.next().is_none());
    let (code, rest) = fleet.end();
    assert_eq!(code, Some(143));
    for (request, count) in [("a", 0), ("c", 1)] {
        let of = |event: &&Value| event["event"] == "verdict" && event["request"] == request;
        assert_eq!(rest.iter().filter(of).count(), count, "{request}: {rest:?}");
    }
}

#[test]
fn wrong_requests_are_answered_and_change_nothing() {
    let bench = three();
    write_accounts(&bench, &file(&[("one", 1, BY_FILE)]));
    let mut fleet = Fleet::start(&bench, &[]);
    fleet.wait_until_live("one");
    let before = bench.messages(KITCHEN).commands;
    for (args, code, text) in [
        (&["kitchen", "--temp", "20"][..], 2, "expected ACCOUNT/THERMOSTAT"),
        (&["one/cellar", "--temp", "20"], 2, "no thermostat matches 'cellar'"),
        (&["one/kitchen", "--temp", "warm"], 2, "warm"),
        (&["one/kitchen"], 2, "required"),
        (&["one/kitchen", "--temp", "99"], 7, "out of range"),
        (&["one/kitchen", "--fan", "low"], 7, "refused"),
    ] {
        let ran = set(&bench, args).fails(code);
        assert!(ran.err.contains(text), "{args:?}: {ran:?}");
    }
    let set = |members: Value| {
        let mut request =
            json!({ "op": "set", "account": "one", "device": "kitchen", "change": { "temp": 20 } });
        request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        request
    };
    for (request, text) in [
        (json!({ "op": "reboot" }), "unknown variant `reboot`"),
        (json!([]), "invalid request"),
        (set(json!({ "wait_s": -1 })), "invalid wait"),
        (set(json!({ "wait_s": 1e9 })), "invalid wait"),
        (set(json!({ "change": { "password": "x" } })), "unexpected argument '--password'"),
        (set(json!({ "account": "\u{1b}[2J" })), "no account has the name"),
    ] {
        let answers = ask(&bench, std::slice::from_ref(&request));
        let [answer] = &answers[..] else { panic!("{request}: {answers:?}") };
        assert_eq!(
            (&answer["verdict"], &answer["exit_code"]),
            (&json!("failed"), &json!(2)),
            "{request}: {answer}"
        );
        assert!(answer["message"].as_str().unwrap().contains(text), "{request}: {answer}");
    }
    // Garbage, and a line without an end that is too long, cost their connection alone.
    let mut stream = socket(&bench);
    let _ = stream.write_all(&[b'x'; 1 << 20]);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.contains("longer than"), "{answer}");
    assert_eq!(bench.messages(KITCHEN).commands, before);
    assert!(bench.run(&["fleet", "status"]).ok().out.contains("running  live"));
}

#[test]
fn an_account_that_cannot_sign_in_does_not_hold_up_the_others() {
    let bench = three();
    bench.home.write("wrong", "not it\n");
    let text = file(&[("a", 1, ""), ("b", 2, "password-file = \"wrong\""), ("c", 3, BY_FILE)]);
    write_accounts(&bench, &text);
    let mut fleet = Fleet::start(&bench, &["--sign-ins", "1", "--series", "thermostat", "--metrics", ":0"]);
    fleet.wait_until_live("c");
    let failed =
        fleet.event("a has no session", |event| event["account"] == "a" && event["state"] == "failed");
    assert!(failed["message"].as_str().unwrap().contains("run `mysa login user1@example.com`"), "{failed}");
    let refused = fleet.event("b is refused", |event| {
        event["account"] == "b" && event["event"] == "service" && event["service"] == "sign-in needed"
    });
    assert!(refused["reason"].as_str().unwrap().contains("wrong user name or password"), "{refused}");
    fleet.wait_for_log("fleet: b: sign-in needed");
    let ran = set(&bench, &["a/kitchen", "--temp", "20"]).fails(8);
    assert!(ran.err.contains("does not run yet") && ran.err.contains("nothing was sent"), "{ran:?}");
    assert!(!fleet.log().contains("not it"));
    let line = fleet.log();
    let at = line.split_once("metrics at http://").unwrap().1.split_once("/metrics").unwrap().0.to_owned();
    assert_eq!(value(&at, r#"mysa_fleet_accounts{stage="failed"}"#), Some(1.0));
    assert_eq!(value(&at, r#"mysa_account_thermostats{account="c"}"#), Some(5.0));
    let series =
        format!(r#"mysa_thermostat_setpoint_celsius{{account="c",id="{KITCHEN_3}",name="Kitchen"}}"#);
    assert_eq!(value(&at, &series), Some(bench.setpoint(KITCHEN_3)));
    assert!(
        get(&at, "/healthz").starts_with("HTTP/1.1 200"),
        "a person has to act, and a restart does not help"
    );
}

#[test]
fn a_request_before_the_thermostats_are_listed_can_be_repeated() {
    let bench = three();
    write_accounts(&bench, &file(&[("a", 1, BY_FILE)]));
    bench.fault(Fault::Http(Endpoint::Rest, HttpFault::Hang));
    let mut fleet = Fleet::start(&bench, &[]);
    fleet.event("a runs", |event| event["account"] == "a" && event["state"] == "running");
    let ran = set(&bench, &["a/kitchen", "--temp", "20"]).fails(8);
    assert!(ran.err.contains("not listed yet; nothing was sent"), "{ran:?}");
}

#[test]
fn a_refresh_token_starts_an_account() {
    let bench = three();
    bench.run(&["login", "user1@example.com", "--password-file", "password"]).ok();
    let session = bench.home.path(".local/state/mysa/user1@example.com.json");
    let stored: Value = serde_json::from_slice(&std::fs::read(&session).unwrap()).unwrap();
    let token = stored["refresh_token"].as_str().unwrap();
    let text = format!(
        "sessions = {:?}\n{}",
        bench.home.path("sessions"),
        file(&[("one", 1, &format!("refresh-token = \"{token}\""))])
    );
    write_accounts(&bench, &text);
    let listed = bench.run(&["fleet", "check", "--accounts", "accounts.toml"]).ok().out;
    assert_eq!(listed, "one  user1@example.com  session: none  secret: refresh token\n");
    let mut fleet = Fleet::start(&bench, &[]);
    fleet.wait_until_live("one");
    assert!(bench.home.path("sessions/user1@example.com.json").exists());
    let all = format!("{}{:?}", fleet.log(), fleet.seen);
    assert!(!all.contains(token));
    // What the cloud revokes needs a person, and the fleet goes on.
    bench
        .server()
        .with_cloud(|cloud, now| cloud.act(now, Incident::RevokeTokens("user1@example.com".into())));
    assert_eq!(fleet.end().0, Some(143));
}

#[test]
fn an_accounts_file_and_a_socket_are_checked_before_anything_starts() {
    let bench = three();
    let run = |args: &[&str]| bench.run(&[&["fleet"], args].concat());
    let ran = run(&[]).fails(2);
    assert!(ran.err.contains("name it with --accounts"), "{ran:?}");
    run(&["--accounts", "missing.toml"]).fails(1);
    write_accounts(&bench, &file(&[("one", 1, BY_FILE), ("one", 2, BY_FILE)]));
    let ran = run(&["--accounts", "accounts.toml"]).fails(2);
    assert!(ran.err.contains("accounts.toml: line 7, column 8: duplicate account one"), "{ran:?}");
    run(&["check", "--accounts", "accounts.toml"]).fails(2);
    let path = bench.home.write("accounts.toml", file(&[("one", 1, BY_FILE)]));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = run(&["--accounts", "accounts.toml"]).fails(1);
    assert!(ran.err.contains("can be read by others (mode 644)") && ran.err.contains("chmod 600"), "{ran:?}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for args in [
        &["--start-rate", "0"][..],
        &["--start-rate", "nan"],
        &["--start-rate", "-1"],
        &["--sign-ins", "0"],
        &["--metrics", "nowhere"],
        &["--series", "all"],
    ] {
        run(&[&["--accounts", "accounts.toml"], args].concat()).fails(2);
    }
    bench.home.write("taken", "precious");
    let ran = run(&["--accounts", "accounts.toml", "--control", "taken"]).fails(1);
    assert!(ran.err.contains("not a socket"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(bench.home.path("taken")).unwrap(), "precious");

    // Two fleets never share a socket; that of a killed one is replaced.
    let mut first = Fleet::start(&bench, &[]);
    let ran = run(&["--accounts", "accounts.toml"]).fails(1);
    assert!(ran.err.contains("another fleet listens there"), "{ran:?}");
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let mut second = Fleet::start(&bench, &[]);
    second.wait_until_live("one");
    assert!(
        set(&bench, &["one/kitchen", "--temp", "20", "--wait", HANG_SECONDS]).ok().out.contains("confirmed")
    );
}
