//! `mysa fleet accounts` and `mysa fleet key`: sealed sessions at a real NATS server, and workers that take them from there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mysa_sim::CloudSpec;
use mysa_testkit::NatsServer;
use serde_json::{Value, json};

use crate::bench::{Bench, signal};
use crate::common::Ran;
use crate::fleet::Fleet;

/// A cloud of three accounts, and a NATS server.
struct Place {
    bench: Bench,
    nats: NatsServer,
}

impl Place {
    fn start() -> Option<Self> {
        let bench = Bench::with(CloudSpec::demo().with_accounts(3));
        let nats = NatsServer::start(&bench.home.path(""), "")?;
        Some(Self { bench, nats })
    }

    fn accounts(&self, args: &[&str]) -> Ran {
        self.bench.run(&[&["fleet", "accounts"], args, &["--nats", &self.nats.url()]].concat())
    }

    fn add(&self, name: &str, user: u32) -> Ran {
        let email = format!("user{user}@example.com");
        self.accounts(&["add", &email, "--name", name, "--keys", "keys", "--password-file", "password"])
    }

    fn worker(&self, name: &str) -> Fleet {
        let (url, control) = (self.nats.url(), format!("{name}.sock"));
        let options =
            ["fleet", "worker", "--nats", &url, "--worker", name, "--keys", "keys", "--control", &control];
        let pace = ["--start-rate", "1000", "--lease", "20", "--settle", "600", "--metrics", ":0"];
        Fleet::start_with(&self.bench, &[&options[..], &pace].concat())
    }

    fn listed(&self, keys: &[&str]) -> Value {
        let ran = self.accounts(&[&["list", "--json"], keys].concat()).ok();
        serde_json::from_str::<Value>(&ran.out).unwrap()["accounts"].clone()
    }

    /// Everything that the server has stored.
    fn stored(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        collect(&self.bench.home.path("nats"), &mut bytes);
        bytes
    }
}

fn collect(path: &Path, into: &mut Vec<u8>) {
    if path.is_dir() {
        let mut parts: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|part| part.unwrap().path()).collect();
        parts.sort();
        parts.iter().for_each(|part| collect(part, into));
    } else if let Ok(bytes) = fs::read(path) {
        into.extend(bytes);
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn accounts_at_nats_are_sealed_and_come_and_go_while_a_worker_runs() {
    let Some(place) = Place::start() else { return };
    let bench = &place.bench;
    bench.run(&["fleet", "key", "new", "k1", "--keys", "keys"]).ok();
    assert_eq!(fs::metadata(bench.home.path("keys")).unwrap().permissions().mode() & 0o777, 0o600);
    place.add("one", 1).ok();
    let mut worker = place.worker("w1");
    worker.wait_until_live("one");
    // Added while it runs; from the session of `mysa login`, too.
    place.add("two", 2).ok();
    worker.wait_until_live("two");
    let again = place.add("two", 2).fails(2);
    assert!(again.err.contains("--replace"), "{again:?}");
    // Nothing that the server stores, and nothing that is printed, has a token or an address.
    let session = bench.run(&["login", "user3@example.com", "--password-file", "password"]).ok();
    let path = session.err.split_once("stored in ").unwrap().1.split_once(';').unwrap().0.to_owned();
    let file = fs::read_to_string(path).unwrap();
    let stored: Value = serde_json::from_str(&file).unwrap();
    let token = stored["refresh_token"].as_str().unwrap();
    place.accounts(&["add", "user3@example.com", "--name", "three", "--keys", "keys"]).ok();
    worker.wait_until_live("three");
    let bytes = place.stored();
    assert!(has(&bytes, "mysa-sealed-1.fleet.three.k1."), "the text of a sealed token is what it is");
    for secret in [token, "user1@example.com", "user3@example.com", "refresh_token"] {
        assert!(!has(&bytes, secret), "{secret} is at NATS");
        assert!(!worker.log().contains(token) && !session.out.contains(token));
    }
    // A worker that takes over needs nothing but the keys.
    let mut second = place.worker("w2");
    second.wait_for_log("worker \"w1.");
    assert_eq!(worker.end().0, Some(143));
    for name in ["one", "two", "three"] {
        second.wait_until_live(name);
    }
    let ran = place.accounts(&["remove", "two"]).ok();
    assert!(ran.err.contains("removed"), "{ran:?}");
    second.event("two is stopped", |event| event["account"] == "two" && event["state"] == "stopped");
    place.accounts(&["remove", "two"]).fails(1);
    let accounts = place.listed(&["--keys", "keys"]);
    assert_eq!(accounts.as_array().unwrap().len(), 2, "{accounts}");
    let one = json!({"account": "one", "key": "k1", "email": "user1@example.com", "session": "usable"});
    assert_eq!(accounts[0], one);
    // Without keys, no address is shown.
    assert_eq!(place.listed(&[])[0], json!({"account": "one", "key": "k1"}));
    assert_eq!(second.end().0, Some(143));
}

#[test]
fn keys_are_changed_while_a_worker_runs() {
    let Some(place) = Place::start() else { return };
    let bench = &place.bench;
    bench.run(&["fleet", "key", "new", "old", "--keys", "keys"]).ok();
    place.add("one", 1).ok();
    place.add("two", 2).ok();
    let mut worker = place.worker("w1");
    worker.wait_until_live("one");
    worker.wait_until_live("two");
    let added = bench.run(&["fleet", "key", "new", "new", "--keys", "keys"]).ok();
    assert!(added.err.contains("move the line of 'new' to the top"), "{added:?}");
    let text = fs::read_to_string(bench.home.path("keys")).unwrap();
    let (old, new) = text.trim_end().split_once('\n').unwrap();
    // Sealed with a key that the worker does not have: what runs goes on.
    private(bench, "reversed", &format!("{new}\n{old}\n"));
    let ran = place.accounts(&["rotate", "--keys", "reversed"]).ok();
    assert_eq!(ran.out, "accounts: 2; sealed again with key 'new': 2; left: 0\n");
    let ran = place.accounts(&["rotate", "--keys", "reversed"]).ok();
    assert_eq!(ran.out, "accounts: 2; sealed again with key 'new': 0; left: 0\n");
    private(bench, "keys", &format!("{new}\n{old}\n"));
    signal(&worker.child, "HUP");
    worker.wait_for_log("'new' seals; keys: 2");
    // The old key is not needed any more, also not by a worker that starts.
    private(bench, "keys", &format!("{new}\n"));
    let mut second = place.worker("w2");
    second.wait_for_log("worker \"w1.");
    let (code, rest) = worker.end();
    assert_eq!(code, Some(143));
    let restarts = rest.iter().filter(|event| event["state"] == "starting").count();
    assert_eq!(restarts, 0, "a new seal starts no client again: {rest:?}");
    second.wait_until_live("one");
    second.wait_until_live("two");
    // Without the key, everything is said to be left.
    private(bench, "keys", &format!("{old}\n"));
    let ran = place.accounts(&["rotate", "--keys", "keys"]).fails(1);
    assert!(
        ran.out.contains("left: 2") && ran.err.contains("key 'new', which is not among the keys: old"),
        "{ran:?}"
    );
    assert_eq!(second.end().0, Some(143));
}

#[test]
fn a_session_that_is_replaced_at_nats_is_used_at_once() {
    let Some(place) = Place::start() else { return };
    place.bench.run(&["fleet", "key", "new", "k1", "--keys", "keys"]).ok();
    let mut child = place.bench.command(&[
        "fleet",
        "accounts",
        "add",
        "user1@example.com",
        "--name",
        "one",
        "--keys",
        "keys",
        "--refresh-token-stdin",
        "--nats",
        &place.nats.url(),
    ]);
    child.stdin(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"no token of this cloud\n").unwrap();
    assert!(child.wait().unwrap().success());
    let mut worker = place.worker("w1");
    worker.wait_for_log("accounts add user1@example.com --name one --replace");
    let email = "user1@example.com";
    let args = ["add", email, "--name", "one", "--replace", "--keys", "keys", "--password-file", "password"];
    place.accounts(&args).ok();
    worker.wait_until_live("one");
    assert_eq!(worker.end().0, Some(143));
}

#[test]
fn wrong_keys_and_arguments_are_explained() {
    let bench = Bench::with(CloudSpec::demo());
    let run = |args: &[&str], code: i32| bench.run(args).fails(code).err;
    let none = run(&["fleet", "accounts", "rotate", "--nats", "nats://127.0.0.1:1"], 2);
    assert!(none.contains("the keys are missing"), "{none}");
    let none = run(&["fleet", "worker", "--nats", "nats://127.0.0.1:1"], 2);
    assert!(none.contains("the accounts are missing"), "{none}");
    let line = bench.run(&["fleet", "key", "new", "k"]).ok().out;
    assert!(line.starts_with("k ") && line.len() == "k ".len() + 44 + 1, "{line:?}");
    private(&bench, "keys", &line);
    fs::set_permissions(bench.home.path("keys"), fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = run(&["fleet", "key", "list", "--keys", "keys"], 1);
    assert!(exposed.contains("can be read by others (mode 644), and holds keys"), "{exposed}");
    private(&bench, "keys", "k canary\n");
    let invalid = run(&["fleet", "key", "list", "--keys", "keys"], 2);
    assert!(invalid.contains("line 1: invalid key 'k'") && !invalid.contains("canary"), "{invalid}");
    private(&bench, "keys", &line);
    let listed = bench.run(&["fleet", "key", "list", "--key-command", "cat keys"]).ok();
    assert_eq!(listed.out, "k  seals and opens\n");
    let failed = run(&["fleet", "key", "list", "--key-command", "exit 3"], 4);
    assert!(failed.contains("the key command") && failed.contains("exit status: 3"), "{failed}");
    let twice = run(&["fleet", "key", "new", "k", "--keys", "keys"], 2);
    assert!(twice.contains("has a key 'k' already"), "{twice}");
}

fn private(bench: &Bench, name: &str, text: &str) {
    let path = bench.home.write(name, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
