//! The command against a simulated cloud behind real TLS: every subcommand and every exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod aedes;
mod bench;
mod bridge;
mod bridge_energy;
mod bridge_operation;
mod bridge_settings;
mod check;
#[path = "../common/mod.rs"]
mod common;
mod control_plane;
mod doctor;
mod energy;
mod errors;
mod examples;
mod files;
#[cfg(unix)]
mod fleet;
#[cfg(all(unix, feature = "nats"))]
mod fleet_accounts;
#[cfg(all(unix, feature = "nats"))]
mod fleet_worker;
mod history;
mod hold;
mod homes;
mod json;
mod migrate;
mod mosquitto;
mod odd_homes;
mod outage;
mod presign;
mod schedule;
mod second_channel;
mod set;
mod signals;
mod stalled;
mod template;
#[cfg(unix)]
mod terminal;
mod text;
mod without_topics;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use bench::{BEDROOM, Bench, HANG_SECONDS, LIVING, Sim, signal, wait_until};
use common::{HANG_LIMIT, Home, finish};
use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{ChallengeSpec, CloudSpec, DeviceFault, Endpoint, Fault, HttpFault, Incident};

#[test]
fn the_main_job_from_sign_in_to_sign_out() {
    let bench = Bench::new();
    let ran = bench.log_in().ok();
    assert!(ran.out.is_empty() && ran.err.contains("thermostats: 5"), "{ran:?}");
    let session = bench.home.path(".local/state/mysa/user@example.com.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&session).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let stored = std::fs::read_to_string(&session).unwrap();
    assert!(!stored.contains(CloudSpec::DEMO_PASSWORD));

    let devices = bench.run(&["devices", "--json"]).ok().json().remove(0);
    let names: Vec<_> = devices["devices"].as_array().unwrap().iter().map(|device| &device["name"]).collect();
    assert_eq!(devices["schema"], 1);
    assert_eq!(names.len(), 5);
    assert!(bench.run(&["devices"]).ok().out.contains("Living room"));

    // From here on names work without the cloud.
    bench.home.run(&["config", "set-watts", "Bedroom", "1000"]).ok();

    let status = bench.run(&["status", "--wait", HANG_SECONDS, "--json"]).ok().json().remove(0);
    assert_eq!(status["service"], "live", "{status}");
    assert!(!status.to_string().contains("user@"), "{status}");
    let bedroom =
        status["devices"].as_array().unwrap().iter().find(|device| device["id"] == BEDROOM).unwrap();
    assert_eq!(
        (&bedroom["power_basis"], &bedroom["link"]),
        (&"estimated".into(), &"live".into()),
        "{bedroom}"
    );
    let field = &bedroom["fields"]["temperature_c"];
    assert!(field["source"] == "mqtt" && field["age_s"].as_f64().is_some_and(|age| age < 30.0), "{bedroom}");
    assert!(bedroom["temperature_c"].is_number() && bedroom["power_w"].is_number(), "{bedroom}");

    let ran = bench.run(&["set", "living", "--temp", "22.5"]).ok();
    assert!(ran.out.contains("20.5 °C → 22.5 °C") && ran.out.contains("confirmed by"), "{ran:?}");
    assert_eq!(bench.setpoint(LIVING), 22.5);
    let ran = bench.run(&["set", "living", "--temp", "-1", "--json"]).ok().json().remove(0);
    assert_eq!(
        (&ran["verdict"], &ran["requested"]["setpoint_c"]),
        (&"confirmed".into(), &21.5.into()),
        "{ran}"
    );
    assert_eq!(bench.setpoint(LIVING), 21.5);
    let ran = bench.run(&["mode", "bedroom", "off"]).ok();
    assert!(ran.out.contains("mode: heat → off"), "{ran:?}");
    assert_eq!(bench.mode(BEDROOM), mysa_sim::Mode::Off);

    let raw = bench.run(&["raw", "/devices", "--json"]).ok().out;
    assert!(raw.contains("DevicesObj") && !raw.contains(LIVING) && raw.contains("dev-1"), "{raw}");
    assert!(bench.run(&["raw", "/devices", "--show-private"]).ok().out.contains(LIVING));
    bench.run(&["raw", "/no/such/route"]).fails(1);
    bench.run(&["raw", "/iot-token"]).fails(2);

    let ran = bench.run(&["logout", "--json"]).ok();
    assert!(ran.err.contains("signed out") && ran.json()[0]["revoked"] == true, "{ran:?}");
    assert!(!session.exists());
    bench.run(&["status"]).fails(4);
}

#[test]
fn energy_comes_as_chart_csv_json_and_svg() {
    let bench = Bench::signed_in();
    let chart = bench.run(&["energy"]).ok().out;
    assert!(chart.contains('█') && chart.contains("total") && chart.lines().count() == 16, "{chart}");
    let months = bench.run(&["energy", "living", "--by", "month", "--json"]).ok().json().remove(0);
    let values = months["devices"][0]["energy"].as_array().unwrap();
    assert_eq!(values.len(), 12);
    // A month that has just begun has no energy yet.
    assert!(
        values[..11].iter().all(|month| month["energy_kwh"].as_f64().is_some_and(|energy| energy >= 0.0)),
        "{months}"
    );
    let ran = bench.run(&["energy", "--csv", "-", "--svg", "chart.svg"]).ok();
    let rows: Vec<&str> = ran.out.split("\r\n").collect();
    assert_eq!(rows.len(), 16, "a head, 14 days and the end: {}", ran.out);
    assert_eq!(rows[0].matches("kWh").count(), 5);
    let svg = std::fs::read_to_string(bench.home.path("chart.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("Living room"));
    bench.run(&["energy", "--csv", "-", "--json"]).fails(2);
    bench.run(&["energy", "--from", "2026-02-30"]).fails(2);
    bench.run(&["energy", "--from", "2026-02-02", "--to", "2026-02-01"]).fails(2);
}

#[test]
fn watching_shows_changes_and_ends_at_a_signal() {
    let bench = Bench::signed_in();
    let ran = bench.watch_changes(&["--count", "8", "--json"]).ok();
    let devices: Vec<_> = ran.json().into_iter().filter(|event| event["event"] == "device").collect();
    assert_eq!(devices.len(), 8);
    assert!(
        devices.iter().all(|event| event["schema"] == 1 && event["temperature_c"].is_number()),
        "{ran:?}"
    );
    let lines = bench.watch_changes(&["living", "--count", "2"]).ok().out;
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.contains("Living room") && lines.contains("power"), "{lines}");
    // The time is up before the requested changes.
    bench.run(&["watch", "living", "--count", "10000", "--timeout", "2"]).fails(9);
    // The time is up, and nothing else was requested.
    bench.watch_for_a_time(&["living"]).ok();
    bench.run(&["watch", "nobody"]).fails(2);
    bench.run(&["watch", "--count", "0"]).fails(2);
}

/// Of this model only a live report has the power. On a machine that is too slow for one within eight seconds, what REST
/// shows is printed.
#[test]
fn one_change_has_the_power_that_a_live_report_has() {
    let bench = Bench::signed_in();
    for _ in 0..20 {
        let ran = bench.run(&["watch", "living", "--count", "1", "--json"]).ok();
        let events = ran.json();
        let devices: Vec<_> = events.iter().filter(|event| event["event"] == "device").collect();
        let [shown] = devices[..] else { panic!("{ran:?}") };
        assert!(shown["temperature_c"].is_number() && shown["setpoint_c"].is_number(), "{shown}");
        if shown["link"] == "live" {
            assert_eq!(shown["power_basis"], "measured", "{shown}");
            return;
        }
    }
    panic!("no live report ever came in time");
}

#[test]
fn a_capture_can_be_decoded() {
    let bench = Bench::signed_in();
    let mut child =
        bench.command(&["watch", "--capture", "session.jsonl"]).stdout(Stdio::null()).spawn().unwrap();
    let captured = || std::fs::read_to_string(bench.home.path("session.jsonl")).unwrap_or_default();
    wait_until("a status of each generation", || {
        [LIVING, BEDROOM].iter().all(|id| captured().contains(&format!("/v1/dev/{id}/out")))
    });
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let shown = bench.home.run(&["decode", "session.jsonl", "--json"]).ok();
    let kinds: Vec<_> = shown.json().into_iter().map(|message| message["message"].clone()).collect();
    assert!(kinds.contains(&"v1_status".into()) && kinds.contains(&"status".into()), "{kinds:?}");
    assert!(!shown.out.contains(LIVING), "{}", shown.out);
}

#[test]
fn watching_survives_a_cut_and_reports_it() {
    let bench = Bench::signed_in();
    let mut child = bench.watching();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let live = |line: &str| line.contains("\"service\":\"live\"");
    assert!(lines.by_ref().map(Result::unwrap).any(|line| live(&line)));
    bench.server().cut_connections();
    bench.server().with_cloud(|cloud, now| {
        cloud.press(now, DeviceId::new(LIVING).unwrap(), Celsius::from_degrees(17.0), None)
    });
    let pressed = |line: &String| line.contains(LIVING) && line.contains("\"setpoint_c\":17.0");
    assert!(lines.by_ref().map(Result::unwrap).any(|line| pressed(&line)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn verbose_logs_to_standard_error_and_twice_verbose_logs_every_message() {
    let bench = Bench::signed_in();
    let quiet = bench.run(&["set", "living", "--temp", "22"]).ok();
    let verbose = bench.run(&["-v", "set", "living", "--temp", "22.5"]).ok();
    let all = bench.run(&["-vv", "set", "living", "--temp", "23"]).ok();
    for ran in [&verbose, &all] {
        assert!(ran.err.contains("live") && ran.err.contains("setpoint"), "{ran:?}");
        assert!(ran.err.contains("Living room: confirmed by "), "{ran:?}");
        assert_eq!(ran.out.lines().count(), quiet.out.lines().count(), "{ran:?}");
    }
    assert!(!verbose.err.contains(" bytes") && !quiet.err.contains("changed"), "{verbose:?} {quiet:?}");
    assert!(all.err.contains(&format!("/v1/dev/{LIVING}/out  ")), "{all:?}");
}

#[test]
fn a_dry_run_shows_the_payload_and_sends_nothing() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["set", "living", "--temp", "23", "--mode", "heat", "--dry-run"]).ok();
    assert!(ran.out.contains(&format!("/v1/dev/{LIVING}/in")) && ran.out.contains("\"sp\":23"), "{ran:?}");
    let json = bench.run(&["set", "living", "--temp", "23", "--dry-run", "--json"]).ok().json().remove(0);
    assert_eq!(json["dry_run"], true);
    let args = ["set", "bedroom", "--temp", "22.8", "--dry-run", "--channel", "rest", "--json"];
    let json = bench.run(&args).ok().json().remove(0);
    assert_eq!(json["to"], format!("POST /state/{BEDROOM}/update"), "{json}");
    assert_eq!(json["sent"]["setpoint_c"], 23.0, "{json}");
    assert_eq!(bench.setpoint(LIVING), 20.5);
    bench.run(&["set", "living", "--temp", "99", "--dry-run"]).fails(7);
}

#[test]
fn no_wait_says_sent() {
    let bench = Bench::signed_in();
    bench.device_fault(BEDROOM, DeviceFault::IgnoreCommands);
    // The broker has a moment to accept the command, which is not enough on a slow machine.
    let mut ran = bench.run(&["set", "bedroom", "--temp", "23", "--no-wait"]);
    wait_until("an accepted command", || {
        let is_late = ran.code == 6;
        if is_late {
            ran = bench.run(&["set", "bedroom", "--temp", "23", "--no-wait"]);
        }
        !is_late
    });
    let ran = ran.ok();
    assert!(ran.out.contains("sent without waiting for the effect"), "{ran:?}");
}

#[test]
fn a_refusal_by_the_thermostat_or_the_model_exits_with_seven() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["set", "living", "--temp", "45"]).fails(7);
    assert!(ran.err.contains("refused"), "{ran:?}");
    bench.run(&["mode", "living", "cool"]).fails(7);
    bench.run(&["set", "living", "--fan", "low"]).fails(7);
    bench.device_fault(BEDROOM, DeviceFault::Refuse);
    let ran = bench.run(&["set", "bedroom", "--temp", "19", "--json"]).fails(7);
    assert_eq!(ran.json()[0]["verdict"], "refused");
    assert_eq!(bench.setpoint(LIVING), 20.5);
}

#[test]
fn a_command_without_an_answer_ends_with_six() {
    let bench = Bench::signed_in();
    bench.device_fault(LIVING, DeviceFault::IgnoreCommands);
    let ran = bench.ends_unconfirmed(&["set", "living", "--temp", "23", "--json"]);
    let document = &ran.json()[0];
    assert_eq!(document["verdict"], "unconfirmed", "{ran:?}");
    assert!(document["after_s"].as_f64().is_some_and(|after| after > 0.0), "{ran:?}");
    assert!(ran.err.contains("unconfirmed after "), "{ran:?}");
}

#[test]
fn a_thermostat_that_is_gone_ends_with_five() {
    let mut spec = CloudSpec::demo();
    let offline = Fault::Device(DeviceId::new(LIVING), DeviceFault::Offline);
    spec.faults = spec.faults.with(Duration::ZERO, Duration::MAX, offline);
    let bench = Bench::with(spec);
    // The cloud needs many minutes to notice.
    bench.server().advance(Duration::from_secs(1_600));
    bench.log_in().ok();
    let ran = bench.status(&["living"]).fails(5);
    assert!(ran.err.contains("Living room is"), "{ran:?}");
    // Without names, silent thermostats are shown in the table and do not change the exit code.
    bench.status(&[]).ok();
}

#[test]
fn refused_sign_in_ends_with_four() {
    let bench = Bench::new();
    bench.run(&["devices"]).fails(4);
    bench.home.write("wrong", "not it\n");
    let ran = bench.run(&["login", CloudSpec::DEMO_EMAIL, "--password-file", "wrong"]).fails(4);
    assert!(
        ran.err.contains("wrong user name or password")
            && !ran.err.contains("mysa login")
            && !ran.err.contains("not it"),
        "{ran:?}"
    );
    bench.log_in().ok();
    bench.run(&["login", CloudSpec::DEMO_EMAIL, "--password-file", "wrong"]).fails(4);
    bench.run(&["devices"]).ok();
    bench
        .server()
        .with_cloud(|cloud, now| cloud.act(now, Incident::RevokeTokens(CloudSpec::DEMO_EMAIL.into())));
    let ran = bench.run(&["devices"]).fails(4);
    assert!(ran.err.contains("mysa login"), "{ran:?}");
}

#[test]
fn the_password_comes_from_standard_input_too_and_never_from_an_argument() {
    let bench = Bench::new();
    let args = ["login", CloudSpec::DEMO_EMAIL, "--password-stdin"];
    finish(bench.command(&args), format!("{}\r\n", CloudSpec::DEMO_PASSWORD).as_bytes()).ok();
    bench.run(&["login", CloudSpec::DEMO_EMAIL, "--password", "x"]).fails(2);
    // There is no terminal for the prompt.
    bench.run(&["login", CloudSpec::DEMO_EMAIL]).fails(2);
    finish(bench.command(&args), b"\n").fails(2);
}

#[test]
fn a_code_is_asked_for_where_the_account_has_one() {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].challenges = vec![ChallengeSpec::Sms("246810".into())];
    let bench = Bench::with(spec);
    let args = ["login", CloudSpec::DEMO_EMAIL, "--password-file", "password"];
    let ran = finish(bench.command(&args), b"000000\n246810\n").ok();
    assert!(ran.err.contains("Code from the text message") && ran.err.contains("Wrong code"), "{ran:?}");
    bench.run(&["devices"]).ok();
}

#[test]
fn a_cloud_that_is_down_ends_with_eight() {
    let bench = Bench::signed_in();
    bench.fault(Fault::Http(Endpoint::Any, HttpFault::Status(503)));
    bench.run(&["devices"]).fails(8);
    let mut command = bench.command(&["devices"]);
    command.env("MYSA_CONNECT_TO", "127.0.0.1:1");
    finish(command, b"").fails(8);
}

#[test]
fn a_logout_that_revokes_nothing_is_reported_and_exits_with_eight() {
    let bench = Bench::signed_in();
    let mut command = bench.command(&["logout"]);
    command.env("MYSA_CONNECT_TO", "127.0.0.1:1");
    let ran = finish(command, b"").fails(8);
    assert!(ran.err.contains("still valid"), "{ran:?}");
    bench.fault(Fault::Http(Endpoint::UserPool, HttpFault::Status(503)));
    bench.run(&["logout", "--json"]).fails(8);
    bench.server().with_cloud(|cloud, _| cloud.clear_faults());
    // The session is still stored and can be revoked.
    bench.run(&["devices"]).ok();
    bench
        .fault(Fault::Http(Endpoint::UserPool, HttpFault::Exception("UnsupportedTokenTypeException".into())));
    let ran = bench.run(&["logout", "--json"]).fails(8);
    assert!(ran.err.contains("refused to revoke") && ran.json()[0]["revoked"] == false, "{ran:?}");
    bench.run(&["devices"]).fails(4);
}

#[test]
fn an_untrusted_certificate_is_refused() {
    let bench = Bench::new();
    let mut command = bench.command(&["login", CloudSpec::DEMO_EMAIL, "--password-file", "password"]);
    command.env_remove("MYSA_CA");
    let ran = finish(command, b"").fails(8);
    assert!(!bench.home.path(".local/state/mysa/user@example.com.json").exists(), "{ran:?}");
}

#[test]
fn an_exposed_session_file_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::signed_in();
    let session = bench.home.path(".local/state/mysa/user@example.com.json");
    std::fs::set_permissions(&session, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = bench.run(&["devices"]).fails(1);
    assert!(ran.err.contains("chmod 600"), "{ran:?}");
}

#[test]
fn a_reader_that_goes_away_ends_the_watch_quietly() {
    let bench = Bench::signed_in();
    let mut child = bench.watching();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 8]).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(0), true), "{output:?}");
}

#[test]
fn a_command_is_sent_whether_or_not_anybody_reads_about_it() {
    let bench = Bench::signed_in();
    let mut command = bench.command(&["set", "living", "--temp", "19"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(bench.setpoint(LIVING), 19.0);
}

#[test]
fn two_accounts_are_kept_apart() {
    let mut spec = CloudSpec::demo();
    let mut other = mysa_sim::AccountSpec::new("bob@example.com", CloudSpec::DEMO_PASSWORD);
    let mut home = mysa_sim::HomeSpec::new("Cottage");
    home.devices.push(mysa_sim::DeviceSpec::new(DeviceId::new("b0b1c2d3e4f5").unwrap(), "BB-V2-0", "Hall"));
    other.homes.push(home);
    spec.accounts.push(other);
    let bench = Bench::with(spec);
    bench.log_in().ok();
    bench.run(&["login", "bob@example.com", "--password-file", "password"]).ok();
    let ran = bench.run(&["devices"]).fails(2);
    assert!(ran.err.contains("bob@example.com") && ran.err.contains("--account"), "{ran:?}");
    assert!(bench.run(&["devices", "--account", "Bob@Example.com"]).ok().out.contains("Hall"));
    bench.home.run(&["config", "set", "account", CloudSpec::DEMO_EMAIL]).ok();
    assert!(bench.run(&["devices"]).ok().out.contains("Kitchen"));
    bench.run(&["set", "hall", "--temp", "20", "--account", "bob@example.com"]).ok();
    assert_eq!(bench.setpoint("b0b1c2d3e4f5"), 20.0);
}

#[test]
fn the_simulated_cloud_shows_how_to_use_it_and_ends_when_interrupted() {
    let home = Home::new();
    home.write(
        "home.toml",
        "[[account]]\nemail = \"ann@example.org\"\npassword = \" pw \"\n[[account.home]]\nname = \"Cottage\"\n\
         [[account.home.device]]\nid = \"a0b1c2d3e4f5\"\nmodel = \"BB-V1-1\"\nname = \"Hall\"\nsetpoint-c = 18\n",
    );
    let mut sim =
        Sim::start(home, &["--home", "home.toml", "--ca", "ca.pem", "--speed", "2", "--fault", "cut@9"]);
    let account = &sim.announced["accounts"][0];
    assert_eq!(
        (account["email"].as_str(), account["password"].as_str()),
        (Some("ann@example.org"), Some(" pw "))
    );
    sim.run(&["login", "ann@example.org", "--password-stdin"], " pw \n").ok();
    let ran = sim.run(&["set", "hall", "--temp", "+0.5"], "").ok();
    assert!(ran.out.contains("18.0 °C → 18.5 °C"), "{ran:?}");
    signal(&sim.child, "INT");
    assert_eq!(sim.child.wait().unwrap().code(), Some(130));
}

#[test]
fn the_authority_is_written_to_the_path_on_the_command_line() {
    for (args, trusted, written) in [
        (&["--ca", "ca.pem"][..], "other.pem", "ca.pem"),
        (&["--ca", "ca.pem"], "ca.pem", "ca.pem"),
        (&[], "ca.pem", "mysa-sim-ca.pem"),
    ] {
        let home = Home::new();
        home.write(trusted, "trusted");
        let sim = Sim::start_in(home, args, &[("MYSA_CA", trusted)]);
        assert_eq!(sim.announced["ca"], written);
        for name in ["ca.pem", "other.pem", "mysa-sim-ca.pem"] {
            let text = std::fs::read_to_string(sim.home.path(name)).unwrap_or_default();
            assert_eq!(text.contains("BEGIN CERTIFICATE"), name == written, "{args:?} {trusted}: {name}");
        }
    }
}

#[test]
fn the_simulated_cloud_is_changed_by_its_control_endpoint() {
    let sim = Sim::start(Home::new(), &["--seed", "7"]);
    assert_eq!(sim.announced["seed"], 7);
    // As it is printed, and without the scheme.
    let control = sim.announced["control"].as_str().unwrap();
    let address = control.strip_prefix("http://").unwrap().trim_end_matches('/');
    let ctl = |args: &[&str]| sim.run(&[&["sim", "ctl", "--control", address], args].concat(), "");
    sim.run(&["sim", "ctl", "--control", control, "status"], "").ok();
    for other in ["https://127.0.0.1:8444/", "http://127.0.0.1:8444/status", "http://localhost"] {
        let refused = sim.run(&["sim", "ctl", "--control", other, "status"], "").fails(2);
        assert!(refused.err.contains("expected an address such as"), "{refused:?}");
    }
    let json = |args: &[&str]| ctl(&[args, &["--json"]].concat()).ok().json().remove(0);
    assert_eq!(json(&["freeze"])["frozen"], true);
    assert_eq!(json(&["status"])["seed"], 7);
    assert_eq!(json(&["room", "kitchen", "-2.5"])["room_c"], -2.5);
    assert_eq!(json(&["setpoint", "kitchen", "21.5"])["setpoint_c"], 21.5);
    assert_eq!(json(&["press", "a0b1c2d3e4f6", "down"])["setpoint_c"], 21.0);
    assert_eq!(json(&["mode", "kitchen", "off"])["mode"], "off");
    assert_eq!(json(&["offline", "kitchen"])["online"], false);
    assert_eq!(json(&["online", "kitchen"])["online"], true);
    let calm = ["weather", "--mean", "-20", "--season", "0", "--day", "0", "--variation", "0"];
    assert_eq!(json(&calm)["outdoors_c"], -20.0);
    let fault = json(&["fault", "drop-acks", "--device", "kitchen", "--after", "5", "--for", "60"]);
    let id = fault["ids"][0].to_string();
    assert!(ctl(&["faults"]).ok().out.contains("drop-acks"));
    ctl(&["end", &id]).ok();
    ctl(&["end", "all"]).ok();
    let before = json(&["status"])["clock"]["unix_ms"].as_i64().unwrap();
    assert_eq!(json(&["advance", "3600"])["unix_ms"].as_i64().unwrap() - before, 3_600_000);
    let first = ctl(&["events", "--since", "0", "--count", "1", "--json"]).ok().json().remove(0);
    assert_eq!((&first["event"], &first["number"]), (&"room-set".into(), &1.into()));
    let line = ctl(&["events", "--since", "0", "--count", "1"]).ok().out;
    assert!(line.contains("room-set") && line.contains("room_c=-2.5"), "{line}");
    let devices = ctl(&["devices"]).ok().out;
    assert!(devices.contains("Kitchen") && devices.contains("SETPOINT_C"), "{devices}");
    assert!(ctl(&["commands", "kitchen"]).ok().out.contains("button"));
    for list in ["accounts", "homes", "connections", "counters"] {
        ctl(&[list]).ok();
    }
    ctl(&["cut"]).ok();
    let why = ctl(&["setpoint", "kitchen", "99"]).fails(2);
    assert!(why.err.contains("range"), "{why:?}");
    ctl(&["fault", "rain"]).fails(2);
    ctl(&["end", "9999"]).fails(2);
    ctl(&["room", "attic", "20"]).fails(2);
}

#[test]
fn the_simulated_cloud_logs_events_as_json() {
    let home = Home::new();
    let mut command = home.command(&["sim", "--listen", "127.0.0.1:0", "-v", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    let started = next();
    let address =
        started["control"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
    home.run(&["sim", "ctl", "--control", &address, "room", "kitchen", "15"]).ok();
    loop {
        let event = next();
        if event["event"] == "room-set" {
            assert_eq!((&event["room_c"], &event["device"]), (&15.0.into(), &"a0b1c2d3e4f6".into()));
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_simulated_cloud_logs_a_line_for_each_request_connection_message_and_command() {
    let home = Home::new();
    let mut command = home.command(&["sim", "--listen", "127.0.0.1:0", "--ca", "ca.pem", "-v"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    printed.read_line(&mut first).unwrap();
    let address = first.trim_start_matches("simulated cloud on ").split(',').next().unwrap().to_owned();
    assert!(first.contains(", seed 1"), "{first}");
    let (to_test, logged) = channel();
    let stderr = child.stderr.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| to_test.send(line))
    });
    let run = |args: &[&str], input: &str| {
        let mut command = home.command(args);
        command.env("MYSA_CONNECT_TO", &address).env("MYSA_CA", "ca.pem");
        finish(command, input.as_bytes()).ok()
    };
    run(&["login", CloudSpec::DEMO_EMAIL, "--password-stdin"], CloudSpec::DEMO_PASSWORD);
    run(&["set", "kitchen", "--temp", "22.5", "--channel", "mqtt", "--wait", HANG_SECONDS], "");
    let mut expected = vec![
        "request user-pool InitiateAuth: 200",
        "signed in with a password",
        "request rest GET /devices: 200",
        "credentials issued",
        "opened for user@example.com",
        "connected as ",
        "subscribed /v1/dev/",
        "/v1/dev/a0b1c2d3e4f6/in",
        "message on /v1/dev/a0b1c2d3e4f6/out to 1: ",
        "applied by a0b1c2d3e4f6",
    ];
    let mut log: Vec<String> = Vec::new();
    // The client can end before the simulated cloud has written its last lines.
    while !expected.is_empty() {
        let Ok(line) = logged.recv_timeout(HANG_LIMIT) else { panic!("{expected:?} missing: {log:#?}") };
        expected.retain(|part| !line.contains(part));
        log.push(line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    log.extend(logged);
    for secret in [CloudSpec::DEMO_PASSWORD, "eyJ", "X-Amz-"] {
        assert!(log.iter().all(|line| !line.contains(secret)), "{secret}: {log:#?}");
    }
}

#[test]
fn the_control_endpoint_can_be_left_out() {
    let sim = Sim::start(Home::new(), &["--no-control"]);
    assert!(sim.announced["control"].is_null());
    let nobody = ["sim", "ctl", "--control", sim.announced["address"].as_str().unwrap(), "status"];
    sim.run(&nobody, "").fails(8);
}

#[cfg(unix)]
#[test]
fn two_simulated_clouds_in_one_folder_do_not_overwrite_each_others_authority() {
    let first = Sim::start(Home::new(), &[]);
    let read = |name: &str| std::fs::read_to_string(first.home.path(name)).unwrap();
    let before = read("mysa-sim-ca.pem");
    let mut command = first.home.command(&["sim", "--listen", "127.0.0.1:0", "--json"]);
    let mut second = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(second.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let announced: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(announced["ca"], "mysa-sim-ca-2.pem");
    assert_eq!(read("mysa-sim-ca.pem"), before);
    assert_ne!(read("mysa-sim-ca-2.pem"), before);
    first.home.run(&["sim", "--listen", "127.0.0.1:0", "--ca", "mysa-sim-ca.pem"]).fails(1);
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn a_kept_authority_is_that_of_the_next_run() {
    let home = Home::new();
    let sim = Sim::start(home, &["--ca-dir", "kept"]);
    assert_eq!(sim.announced["ca"], "kept/ca.pem");
    let first = std::fs::read_to_string(sim.home.path("kept/ca.pem")).unwrap();
    let again = ["sim", "--listen", "127.0.0.1:0", "--ca-dir", "kept", "--json"];
    let mut second = sim.home.command(&again).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(second.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(std::fs::read_to_string(sim.home.path("kept/ca.pem")).unwrap(), first);
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn a_stored_session_outlives_a_simulator_with_a_kept_authority() {
    let first = Sim::start(Home::new(), &["--ca-dir", "kept", "--seed", "1"]);
    std::fs::copy(first.home.path("kept/ca.pem"), first.home.path("ca.pem")).unwrap();
    let log_in = ["login", CloudSpec::DEMO_EMAIL, "--password-stdin"];
    first.run(&log_in, CloudSpec::DEMO_PASSWORD).ok();
    let home = first.into_home();
    // Nothing is left of the first one but its folder. The next one draws other random numbers.
    let second = Sim::start(home, &["--ca-dir", "kept", "--seed", "2"]);
    let ran = second.run(&["set", "living", "--temp", "22.5", "--wait", HANG_SECONDS], "").ok();
    assert!(ran.out.contains("confirmed by"), "{ran:?}");
    let counters = second.ctl(&["counters"]);
    assert_eq!((&counters["sign_ins"], &counters["rest_requests"] == 0), (&0.into(), false), "{counters}");
    let home = second.into_home();
    let other = Sim::start(home, &["--ca-dir", "other"]);
    std::fs::copy(other.home.path("other/ca.pem"), other.home.path("ca.pem")).unwrap();
    other.run(&["devices"], "").fails(4);
}

#[test]
fn the_simulated_cloud_refuses_invalid_options() {
    let home = Home::new();
    home.run(&["sim", "--listen", "0.0.0.0:0"]).fails(2);
    home.run(&["sim", "--fault", "rain"]).fails(2);
    home.run(&["sim", "--speed", "0"]).fails(2);
    home.run(&["sim", "--home", "missing.toml"]).fails(1);
    home.run(&["sim", "--cert", "chain.pem"]).fails(2);
    assert!(home.run(&["sim", "--fault", "list"]).ok().out.contains("drop-acks"));
}

#[test]
fn the_demo_does_the_main_job() {
    let home = Home::new();
    let mut command = home.command(&["demo", "--json"]);
    // The demo does not need a home folder.
    command.env_remove("HOME");
    let ran = finish(command, b"").ok();
    let events = ran.json();
    let verdicts: Vec<_> = events
        .iter()
        .filter(|event| event["what"] == "verdict")
        .map(|event| event["value"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts.len(), 3);
    assert!(verdicts.iter().all(|verdict| verdict.starts_with("confirmed")), "{verdicts:?}");
    let bases: Vec<_> = events.iter().filter_map(|event| event["power_basis"].as_str()).collect();
    assert!(bases.contains(&"measured") && bases.contains(&"estimated"), "{bases:?}");
    assert!(events.iter().any(|event| event["what"] == "recovered after"));
    assert_eq!(events.iter().filter(|event| event["event"] == "energy").count(), 14);
}

#[test]
fn the_log_follows_the_variable_and_has_no_secret() {
    let bench = Bench::signed_in();
    let with = |asked: &str| {
        let mut command = bench.command(&["status", "--wait", HANG_SECONDS, "--json"]);
        command.env("RUST_LOG", asked);
        finish(command, b"")
    };
    assert_eq!(with("").ok().err, "");
    let info = with("mysa_tokio=info").ok();
    assert!(info.err.contains("service level changed") && !info.err.contains('\u{1b}'), "{info:?}");
    assert_eq!(info.json().len(), 1, "standard output holds data alone");
    let all = with("trace").ok();
    assert!(all.err.contains("WebSocket"), "{all:?}");
    for secret in ["X-Amz", "Bearer", "eyJ", CloudSpec::DEMO_EMAIL] {
        assert!(!all.err.contains(secret), "{secret}: {all:?}");
    }
    assert!(with("=,=").fails(2).err.contains("invalid RUST_LOG"));
}
