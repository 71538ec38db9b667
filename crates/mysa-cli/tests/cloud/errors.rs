//! Errors that name their cause.

use mysa_sim::{AccountStatus, CloudSpec, Endpoint, Fault, HttpFault};

use crate::bench::Bench;
use crate::common::{Ran, finish};

/// Checks that standard error has exactly one line.
#[track_caller]
fn is_said_once(ran: &Ran) {
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
}

#[test]
fn refusals_of_the_sign_in_have_their_own_words() {
    for (status, words) in [
        (AccountStatus::ResetRequired, "password reset is required"),
        (AccountStatus::Unconfirmed, "account is not confirmed"),
    ] {
        let mut spec = CloudSpec::demo();
        spec.accounts[0].status = status;
        let ran = Bench::with(spec).log_in().fails(4);
        assert!(ran.err.contains(words), "{ran:?}");
        is_said_once(&ran);
    }
    let bench = Bench::new();
    for (exception, words) in
        [("UserNotFoundException", "user not found"), ("ResourceNotFoundException", "wrong app client")]
    {
        bench.server().with_cloud(|cloud, _| cloud.clear_faults());
        bench.fault(Fault::Http(Endpoint::UserPool, HttpFault::Exception(exception.into())));
        let ran = bench.log_in().fails(4);
        assert!(ran.err.contains(words), "{exception}: {ran:?}");
    }
}

#[test]
fn each_way_of_not_reaching_the_cloud_is_named() {
    let bench = Bench::signed_in();
    let mut command = bench.command(&["devices"]);
    command.env("MYSA_CONNECT_TO", "127.0.0.1:1");
    let ran = finish(command, b"").fails(8);
    assert!(ran.err.contains("connection refused"), "{ran:?}");
    is_said_once(&ran);

    let mut command = bench.command(&["devices"]);
    command.env_remove("MYSA_CA");
    let ran = finish(command, b"").fails(8);
    assert!(ran.err.contains("certificate is not trusted"), "{ran:?}");
    is_said_once(&ran);

    bench.home.run(&["config", "set", "environment.rest-host", "mysa.invalid"]).ok();
    for host in ["user-pool-url", "identity-pool-url"] {
        bench.home.run(&["config", "set", &format!("environment.{host}"), "https://mysa.invalid"]).ok();
    }
    let mut command = bench.command(&["devices"]);
    command.env_remove("MYSA_CONNECT_TO");
    let ran = finish(command, b"").fails(8);
    assert!(ran.err.contains("mysa.invalid: DNS failure"), "{ran:?}");
}

#[test]
fn a_pause_that_the_cloud_asks_for_is_told_with_its_length() {
    let bench = Bench::signed_in();
    bench.fault(Fault::Http(Endpoint::Any, HttpFault::Throttle(300)));
    let ran = bench.run(&["devices"]).fails(8);
    assert!(ran.err.contains("too many requests: try again in ") && ran.err.contains(" s"), "{ran:?}");
}

#[test]
fn a_settings_file_that_was_named_has_to_exist() {
    let bench = Bench::signed_in();
    for args in [&["devices", "--config", "none.toml"][..], &["config", "show", "--config", "none.toml"]] {
        let ran = bench.run(args).fails(2);
        assert!(ran.err.contains("none.toml does not exist"), "{ran:?}");
    }
    bench.home.run(&["config", "set", "unit", "celsius", "--config", "new.toml"]).ok();
    bench.run(&["devices", "--config", "new.toml"]).ok();
}

#[test]
fn another_account_is_refused_with_those_that_are_signed_in() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["devices", "--account", "bob@example.com"]).fails(4);
    assert!(ran.err.contains("bob@example.com is not signed in; signed in: user@example.com"), "{ran:?}");
    bench.run(&["devices", "--account", "\r\n"]).fails(2);
}

#[test]
fn white_space_around_an_account_does_not_cost_the_session() {
    let bench = Bench::signed_in();
    let folder = bench.home.path(".local/state/mysa");
    let files = || {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    let before = files();
    for account in ["user@example.com\r", " user@example.com \n", "User@Example.com\r\n"] {
        let mut command = bench.command(&["devices"]);
        command.env("MYSA_ACCOUNT", account);
        finish(command, b"").ok();
        bench.home.write(".config/mysa/config.toml", format!("account = {account:?}\n"));
        bench.run(&["devices"]).ok();
        assert_eq!(files(), before, "{account:?}");
    }
}

#[test]
fn config_get_prints_the_value_in_force_and_config_set_checks_urls() {
    let bench = Bench::new();
    let get = |name: &str| bench.home.run(&["config", "get", name]);
    assert_eq!(get("unit").ok().out, "celsius\n");
    assert_eq!(get("channel").ok().out, "auto\n");
    assert!(get("account").fails(1).err.contains("account is not set"));
    get("colour").fails(2);
    for (name, value) in [
        ("environment.iot-endpoint", "wss://a1-ats.iot.us-east-1.amazonaws.com/mqtt"),
        ("environment.user-pool-url", "cognito-idp.us-east-1.amazonaws.com"),
        ("environment.identity-pool-url", "http://example.org"),
        ("environment.rest-host", "https://example.org"),
    ] {
        let ran = bench.home.run(&["config", "set", name, value]).fails(2);
        assert!(ran.err.contains("expected"), "{ran:?}");
    }
    bench.home.run(&["config", "set", "environment.user-pool-url", "https://idp.example.org"]).ok();
    assert_eq!(get("environment.user-pool-url").ok().out, "https://idp.example.org\n");
    let shown = bench.home.run(&["config", "get", "environment.region", "--json"]).fails(1);
    assert!(shown.json()[0]["value"].is_null());
    let shown = bench.home.run(&["config", "show", "--json"]).ok().json().remove(0);
    assert_eq!(shown["environment"]["user_pool_url"], "https://idp.example.org");
}
