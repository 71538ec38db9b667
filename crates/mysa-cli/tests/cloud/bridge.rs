//! `mysa bridge` between the simulated cloud and mosquitto.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use mysa_proto::DeviceId;
use mysa_sim::{AccountSpec, CloudSpec, DeviceFault, DeviceSpec, HomeSpec};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::aedes::Aedes;
use crate::bench::{Bench, KITCHEN, LIVING, signal, wait_until};
use crate::common::Home;
use crate::mosquitto::{Mosquitto, Observer};

#[path = "../../../mysa-bridge/tests/harness/schema.rs"]
mod schema;

const BRIDGE: &str = "mysa/bridge/availability";
pub(crate) const ANYBODY: &str = "allow_anonymous true";

pub(crate) fn topic(id: &str, what: &str) -> String {
    format!("mysa/{id}/{what}")
}

/// `mysa bridge` in the background, and its log.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub(crate) fn start(bench: &Bench, args: &[&str]) -> Self {
        Self::spawn(bench.command(&[&["bridge"], args].concat()))
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, shared) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        // Ends with the process.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                shared.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    pub(crate) fn says(&self, text: &str) -> bool {
        self.line(text).is_some()
    }

    /// First line of the log with this text.
    pub(crate) fn line(&self, text: &str) -> Option<String> {
        self.log.lock().unwrap().iter().find(|line| line.contains(text)).cloned()
    }

    /// The log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(text, || self.says(text));
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Number of commands that thermostats have received.
fn commands(bench: &Bench) -> u64 {
    bench.server().with_cloud(|cloud, _| {
        cloud.device_ids().filter_map(|id| cloud.truth(id)).map(|truth| truth.messages.commands).sum()
    })
}

pub(crate) fn url(broker: &Mosquitto) -> String {
    format!("mqtt://{}", broker.address)
}

#[track_caller]
fn wait_for_outcome(observer: &Observer, id: &str, number: usize, outcome: &str) {
    let results = topic(id, "result");
    wait_until(&format!("result {number}"), || observer.live(&results).len() >= number);
    let all = observer.live(&results);
    assert_eq!(all.len(), number, "one result each: {all:?}");
    assert_eq!(all[number - 1]["outcome"], outcome, "{all:?}");
}

/// Broker that a test kills and starts again.
trait Restart {
    /// Address for MQTT by TCP.
    fn address(&self) -> SocketAddr;
    fn kill(&mut self);
    /// Starts it where it was. It has forgotten everything.
    fn run(&mut self) -> bool;
}

impl Restart for Mosquitto {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn run(&mut self) -> bool {
        self.run()
    }
}

impl Restart for Aedes {
    fn address(&self) -> SocketAddr {
        self.plain
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn run(&mut self) -> bool {
        self.run()
    }
}

#[test]
fn the_bridge_publishes_commands_and_survives_a_restart_of_each_part() {
    let bench = Bench::signed_in();
    let Some(broker) = Mosquitto::start(&bench.home.path("."), ANYBODY) else { return };
    let url = url(&broker);
    survives_a_restart_of_each_part(&bench, broker, &url);
}

#[test]
fn the_bridge_works_with_aedes() {
    let Some(broker) = Aedes::start(None) else { return };
    let url = format!("mqtt://{}", broker.plain);
    survives_a_restart_of_each_part(&Bench::signed_in(), broker, &url);
}

#[test]
fn the_bridge_works_by_web_socket() {
    let Some(broker) = Aedes::start(None) else { return };
    let url = format!("ws://{}/mqtt", broker.websocket);
    survives_a_restart_of_each_part(&Bench::signed_in(), broker, &url);
}

#[test]
fn check_connects_by_web_socket_with_tls_and_names_what_is_no_web_socket() {
    let bench = Bench::signed_in();
    write_certificates(&bench.home);
    let files = ["broker.pem", "broker.key"].map(|name| bench.home.path(name));
    let Some(broker) = Aedes::start(Some(files)) else { return };
    let url = format!("wss://localhost:{}/mqtt", broker.websocket.port());
    let check = |args: &[&str]| bench.run(&[&["bridge", "check"], args].concat());
    let ran = check(&["--broker", &url, "--broker-ca", "broker-ca.pem"]).ok();
    assert!(ran.out.contains("accepts the connection") && ran.out.contains(&url), "{}", ran.out);
    let ran = check(&["--broker", &url]).fails(8);
    assert!(ran.err.contains("certificate"), "{ran:?}");
    // The listener for MQTT without WebSocket, and the simulated cloud, which answers by HTTP.
    let ran = check(&["--broker", &format!("ws://{}/mqtt", broker.plain)]).fails(8);
    assert!(ran.err.contains("WebSocket"), "{ran:?}");
    let cloud = format!("wss://localhost:{}/mqtt", bench.server().address().port());
    let ran = check(&["--broker", &cloud, "--broker-ca", "broker-ca.pem"]).fails(8);
    assert!(ran.err.contains("certificate"), "{ran:?}");
}

fn survives_a_restart_of_each_part(bench: &Bench, mut broker: impl Restart, url: &str) {
    let mut bridge = Running::start(bench, &["--broker", url]);

    // Discovery and state.
    let mut observer = Observer::connect(broker.address(), None);
    observer.wait_for(BRIDGE, "online");
    let configs =
        observer.topics().into_iter().filter(|topic| topic.starts_with("homeassistant/device/mysa_"));
    let configs: Vec<String> = configs.collect();
    assert_eq!(configs.len(), 5, "{configs:?}");
    for config in &configs {
        schema::check_discovery(&observer.json(config).unwrap()).unwrap();
    }
    observer.wait_for(&topic(LIVING, "availability"), "online");
    let state = |observer: &Observer| observer.json(&topic(LIVING, "state")).unwrap();
    wait_until("a state", || state(&observer)["setpoint"].as_f64() == Some(bench.setpoint(LIVING)));
    let before = commands(bench);

    // A set.
    let set = topic(LIVING, "set/setpoint");
    observer.publish(&set, "22.5", false);
    wait_for_outcome(&observer, LIVING, 1, "confirmed");
    assert_eq!(bench.setpoint(LIVING), 22.5);
    wait_until("the new state", || state(&observer)["setpoint"] == 22.5);
    assert!(bridge.says("setpoint 22.5 °C"));

    // Failures: a value that the model refuses, and a thermostat that reports a failure.
    observer.publish(&set, "99", false);
    wait_for_outcome(&observer, LIVING, 2, "refused");
    bench.device_fault(KITCHEN, DeviceFault::Refuse);
    observer.publish(&topic(KITCHEN, "set/setpoint"), "23", false);
    wait_for_outcome(&observer, KITCHEN, 1, "refused");
    assert_eq!(bench.setpoint(LIVING), 22.5);

    // Restarts of the broker, which forgets everything, of Home Assistant, and of the bridge, which finds a retained
    // command: nothing is sent.
    let sent = commands(bench);
    assert!(sent > before);
    broker.kill();
    bridge.wait_for("trying again");
    assert!(broker.run());
    let mut observer = Observer::connect(broker.address(), None);
    observer.wait_for(BRIDGE, "online");
    wait_until("the state", || observer.json(&topic(LIVING, "state")).is_some());
    observer.publish("homeassistant/status", "online", false);
    bridge.wait_for("Home Assistant has started");
    bridge.kill();
    observer.wait_for(BRIDGE, "offline");
    observer.publish(&topic(LIVING, "set/mode"), "off", true);
    let mut bridge = Running::start(bench, &["--broker", url]);
    bridge.wait_for("a retained command is not obeyed");
    observer.wait_for(BRIDGE, "online");
    observer.wait_for(&topic(LIVING, "availability"), "online");

    assert_eq!(commands(bench), sent, "nobody asked for a command");
    assert!(observer.live(&topic(LIVING, "result")).is_empty());

    // The cloud cuts every connection: the next command is obeyed on a new one.
    bench.server().cut_connections();
    observer.publish(&set, "21", false);
    wait_for_outcome(&observer, LIVING, 1, "confirmed");
    assert_eq!(bench.setpoint(LIVING), 21.0);

    // The end.
    signal(&bridge.child, "TERM");
    assert_eq!(bridge.child.wait().unwrap().code(), Some(143));
    observer.wait_for(BRIDGE, "offline");
    bridge.wait_for("bridge: stopped");
}

const BOB: &str = "bob@example.com";
const CABIN: &str = "b0b1c2d3e4f5";

/// A cloud with a second account, whose password is that of the first one and which has a thermostat of its own.
fn two_accounts() -> CloudSpec {
    let mut spec = CloudSpec::demo();
    let mut home = HomeSpec::new("Cabin");
    home.devices = vec![DeviceSpec::new(DeviceId::new(CABIN).unwrap(), "BB-V2-0", "Cabin")];
    let mut bob = AccountSpec::new(BOB, CloudSpec::DEMO_PASSWORD);
    bob.homes = vec![home];
    spec.accounts.push(bob);
    spec
}

#[test]
fn two_accounts_share_one_connection_and_one_that_is_not_signed_in_joins_later() {
    let bench = Bench::with(two_accounts());
    bench.log_in().ok();
    let Some(broker) = Mosquitto::start(&bench.home.path("."), ANYBODY) else { return };
    let url = url(&broker);
    let accounts = ["--account", CloudSpec::DEMO_EMAIL, "--account", BOB];
    let bridge = Running::start(&bench, &[&["--broker", &url], &accounts[..]].concat());
    bridge.wait_for("account 2 is not signed in");
    let mut observer = Observer::connect(broker.address, None);
    observer.wait_for(BRIDGE, "online");
    observer.wait_for(&topic(LIVING, "availability"), "online");
    let state = |observer: &Observer| observer.json("mysa/bridge/state").unwrap();
    wait_until("the level", || state(&observer)["accounts"][0]["cloud"] == "live");
    assert_eq!(state(&observer)["accounts"][1]["cloud"], "sign_in_needed");
    observer.publish(&topic(CABIN, "set/mode"), "off", false);
    wait_for_outcome(&observer, CABIN, 1, "refused");

    bench.run(&["login", BOB, "--password-file", "password"]).ok();
    bridge.wait_for("account 2 is signed in");
    observer.wait_for(&topic(CABIN, "availability"), "online");
    wait_until("the level", || state(&observer)["accounts"][1]["cloud"] == "live");
    assert_eq!(state(&observer)["devices"], 6);
    for (number, id) in [(2, CABIN), (1, LIVING)] {
        observer.publish(&topic(id, "set/setpoint"), "22.5", false);
        wait_for_outcome(&observer, id, number, "confirmed");
        assert_eq!(bench.setpoint(id), 22.5);
    }
    let published = observer.topics().into_iter().filter_map(|topic| observer.latest(&topic));
    assert!(published.into_iter().all(|payload| !payload.contains("@example.com")));
    assert!(!bridge.says("@example.com"));
}

#[test]
fn accounts_come_from_the_option_the_variable_or_the_settings_file_in_this_order() {
    let bench = Bench::with(two_accounts());
    bench.log_in().ok();
    let Some(broker) = Mosquitto::start(&bench.home.path("."), ANYBODY) else { return };
    let url = url(&broker);
    let accounts = |args: &[&str], variable: Option<&str>| {
        let check = ["bridge", "check", "--json", "--show-private", "--broker", &url];
        let mut command = bench.command(&[&check[..], args].concat());
        command.envs(variable.map(|value| ("MYSA_ACCOUNT", value)));
        let ran = crate::common::finish(command, b"");
        let list = ran.json().remove(0)["accounts"].as_array().unwrap().clone();
        let list = list.into_iter().map(|account| {
            format!("{} {}", account["email"].as_str().unwrap(), account["signed_in"].as_bool().unwrap())
        });
        (ran, list.collect::<Vec<_>>())
    };
    let (ann, bob, eve) = ("user@example.com true", "bob@example.com false", "eve@example.com false");
    let (ran, list) = accounts(&[], None);
    assert_eq!(list, [ann], "the only one");
    ran.ok();
    bench.run(&["config", "set", "bridge.accounts", "bob@example.com,user@example.com"]).ok();
    let (ran, list) = accounts(&[], None);
    assert_eq!(list, [bob, ann]);
    assert!(ran.fails(4).err.contains("run `mysa login bob@example.com`"));
    assert_eq!(accounts(&[], Some("eve@example.com,user@example.com")).1, [eve, ann]);
    let option = ["--account", "user@example.com", "--account", "bob@example.com"];
    assert_eq!(accounts(&option, Some("eve@example.com")).1, [ann, bob]);

    let twice = ["bridge", "check", "--broker", &url, "--account", BOB, "--account", BOB];
    assert!(bench.run(&twice).fails(2).err.contains("named twice"));
    let other = bench.run(&[&["devices"], &option[..]].concat()).fails(2);
    assert!(other.err.contains("only `mysa bridge` takes several accounts"), "{other:?}");
    // Nobody is signed in.
    let none = ["bridge", "--broker", &url, "--account", BOB, "--account", "eve@example.com"];
    bench.run(&none).fails(4);
}

/// Certificates of a broker and a client, signed by one authority, in a home: `broker-ca.pem`, `broker.pem`,
/// `broker.key`, `client.pem` and `client.key`.
fn write_certificates(home: &Home) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
    authority.distinguished_name.push(DnType::CommonName, "test authority");
    let key = KeyPair::generate().unwrap();
    home.write("broker-ca.pem", authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    for (name, host) in [("broker", "localhost"), ("client", "mysa-bridge")] {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![host.into()]).unwrap().signed_by(&key, &issuer).unwrap();
        home.write(&format!("{name}.pem"), certificate.pem());
        home.write(&format!("{name}.key"), key.serialize_pem());
    }
}

#[test]
fn check_connects_by_tls_with_a_password_and_a_client_certificate() {
    let bench = Bench::signed_in();
    let home = &bench.home;
    write_certificates(home);
    // The password is "broker secret", hashed as mosquitto_passwd does it.
    let hash = "$7$101$MTIzNDU2Nzg5MDEy$j/iy6SQvM9sbFUQYV1tClyAqVBaVjlIu06silQVqLy3rYtEBcQtc3A8Vzr5vfwKghByL9mNGa5YWlwR/9P3jyQ==";
    home.write("passwords", format!("mysa:{hash}\n"));
    home.write("broker-password", "broker secret\n");
    home.write("wrong-password", "canary\n");
    let file = |name: &str| home.path(name).display().to_string();
    let lines = format!(
        "user root\nallow_anonymous false\npassword_file {}\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        file("passwords"),
        file("broker-ca.pem"),
        file("broker.pem"),
        file("broker.key"),
    );
    let listener = Mosquitto::start_at(Ipv4Addr::LOCALHOST, &home.path("."), &lines);
    let Some(broker) = listener else { return };
    let url = format!("mqtts://localhost:{}", broker.address.port());
    let trust = ["--broker", &url, "--broker-ca", "broker-ca.pem"];
    let client = ["--client-certificate", "client.pem", "--client-key", "client.key"];
    let login = ["--user", "mysa", "--password-file", "broker-password"];
    let check = |args: &[&[&str]]| bench.run(&[&["bridge", "check", "--json"][..], &args.concat()].concat());

    let ran = check(&[&trust, &client, &login]).ok();
    let report = ran.json().remove(0);
    assert_eq!(report["broker_answer"], "accepts the connection and the subscriptions", "{report}");
    assert!(!ran.out.contains("broker secret"));

    let ran = check(&[&trust, &client, &["--user", "mysa", "--password-file", "wrong-password"]]).fails(7);
    assert!(ran.err.contains("the broker refused the connection: "), "{ran:?}");
    assert!(!ran.err.contains("canary") && !ran.out.contains("canary"));
    check(&[&trust, &login]).fails(8);
    let ran = check(&[&["--broker", &url], &client, &login]).fails(8);
    assert!(ran.err.contains("certificate"), "{ran:?}");

    // All of it from the settings file, and the password from the environment.
    for (name, value) in [
        ("broker", url.as_str()),
        ("broker-ca", "broker-ca.pem"),
        ("client-certificate", "client.pem"),
        ("client-key", "client.key"),
        ("user", "mysa"),
    ] {
        bench.run(&["config", "set", &format!("bridge.{name}"), value]).ok();
    }
    let mut command = bench.command(&["bridge", "check"]);
    command.env("MYSA_BRIDGE_PASSWORD", "broker secret");
    let ran = crate::common::finish(command, b"").ok();
    assert!(ran.out.contains("broker-ca.pem (settings file)"), "{}", ran.out);
    assert!(!ran.out.contains("broker secret") && !ran.err.contains("broker secret"), "{ran:?}");
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    let home = Home::new();
    home.write("password", "secret\n");
    for (args, reason) in [
        (&["--broker", "http://x"][..], "invalid --broker"),
        (&["--broker", "mqtt://ann:canary@x"], "invalid --broker"),
        (&["--password-file", "password"], "needs a --user"),
        (&["--password-file", "missing", "--user", "mysa"], "missing: cannot read the password"),
        (&["--client-key", "password", "--broker", "mqtts://x"], "belong together"),
        (&["--broker-ca", "password"], "use mqtts:// or wss://"),
        (&["--broker-ca", "password", "--broker", "ws://x/mqtt"], "use mqtts:// or wss://"),
        (&["--broker", "ws://ann:canary@x/mqtt"], "invalid --broker"),
        (&["--broker-ca", "password", "--broker", "mqtts://x"], "expected PEM certificates"),
        (&["--prefix", "mysa/#"], "invalid topic prefix"),
        (&["--discovery-prefix", ""], "invalid topic prefix"),
    ] {
        let ran = home.run(&[&["bridge", "check"], args].concat());
        assert_ne!(ran.code, 0, "{args:?}");
        assert!(ran.err.contains(reason), "{args:?}: {ran:?}");
        assert!(!ran.err.contains("canary"), "{ran:?}");
    }
    home.run(&["bridge", "--broker", "mqtt://localhost:1"]).fails(4);
}
