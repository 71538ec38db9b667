//! Errors that name their cause.

use mysa_sim::{AccountStatus, CloudSpec, Endpoint, Fault, HttpFault};

use crate::bench::{Bench, LIVING};
use crate::common::{Ran, finish};

/// Checks that standard error has exactly one line.
#[track_caller]
fn is_reported_once(ran: &Ran) {
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
}

#[test]
fn each_refusal_of_the_sign_in_has_its_own_message() {
    for (status, words) in [
        (AccountStatus::ResetRequired, "password reset is required"),
        (AccountStatus::Unconfirmed, "account is not confirmed"),
    ] {
        let mut spec = CloudSpec::demo();
        spec.accounts[0].status = status;
        let ran = Bench::with(spec).log_in().fails(4);
        assert!(ran.err.contains(words), "{ran:?}");
        is_reported_once(&ran);
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
    is_reported_once(&ran);

    let mut command = bench.command(&["devices"]);
    command.env_remove("MYSA_CA");
    let ran = finish(command, b"").fails(8);
    assert!(ran.err.contains("certificate is not trusted"), "{ran:?}");
    is_reported_once(&ran);

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
fn a_pause_that_the_cloud_asks_for_is_reported_with_its_length() {
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
    bench
        .home
        .write("wrong.toml", "unit = \"celsius\"\n[environment]\niot-endpoint = \"wss://a1.example.org\"\n");
    for args in [&["devices"][..], &["config", "get", "unit"], &["config", "show"]] {
        let ran = bench.home.run(&[args, &["--config", "wrong.toml"]].concat()).fails(1);
        assert!(ran.err.contains("line 3, column 16: invalid environment.iot-endpoint 'wss://"), "{ran:?}");
    }
    bench.home.run(&["config", "set", "environment.user-pool-url", "https://idp.example.org"]).ok();
    assert_eq!(get("environment.user-pool-url").ok().out, "https://idp.example.org\n");
    let shown = bench.home.run(&["config", "get", "environment.region", "--json"]).fails(1);
    assert!(shown.json()[0]["value"].is_null());
    let shown = bench.home.run(&["config", "show", "--json"]).ok().json().remove(0);
    assert_eq!(shown["environment"]["user_pool_url"], "https://idp.example.org");
}

/// Body of an answer with status 200.
fn answers(body: &str) -> HttpFault {
    HttpFault::Body(200, body.as_bytes().to_vec())
}

#[test]
fn a_rest_host_that_has_vanished_is_replaced_by_the_other() {
    for fault in [
        HttpFault::Status(410),
        HttpFault::Status(403),
        HttpFault::Html(404),
        HttpFault::Html(200),
        HttpFault::Reset,
        HttpFault::Redirect(301, "https://example.org/devices".into()),
    ] {
        for host in [Endpoint::LegacyHost, Endpoint::BackendHost] {
            let bench = Bench::signed_in();
            bench.fault(Fault::Http(host, fault.clone()));
            let ran = bench.run(&["devices"]).ok();
            assert!(ran.out.contains("Living room") && ran.err.is_empty(), "{fault:?}: {ran:?}");
        }
    }
}

#[test]
fn a_page_in_place_of_the_service_is_reported_as_one() {
    let bench = Bench::signed_in();
    bench.fault(Fault::Http(Endpoint::Any, HttpFault::Html(200)));
    for ran in [bench.run(&["devices"]), bench.run(&["set", "living", "--temp", "21"]), bench.log_in()] {
        let ran = ran.fails(8);
        assert!(ran.err.contains("a web page answered in place of the service"), "{ran:?}");
        is_reported_once(&ran);
    }
}

#[test]
fn a_service_that_does_not_answer_in_time_is_reported_as_such() {
    let bench = Bench::signed_in();
    bench.fault(Fault::Http(Endpoint::UserPool, HttpFault::Hang));
    let ran = bench.run(&["devices"]).fails(8);
    assert!(ran.err.contains("does not answer in time"), "{ran:?}");
    is_reported_once(&ran);
}

#[test]
fn a_challenge_that_only_the_app_can_answer_is_reported_by_name() {
    let bench = Bench::new();
    let body = r#"{"ChallengeName":"NEW_PASSWORD_REQUIRED","Session":"s","ChallengeParameters":{}}"#;
    bench.fault(Fault::Http(Endpoint::SignIn, answers(body)));
    let ran = bench.log_in().fails(4);
    assert!(ran.err.contains("(NEW_PASSWORD_REQUIRED)"), "{ran:?}");
    is_reported_once(&ran);
}

#[test]
fn a_malformed_challenge_is_no_pause_and_a_disabled_user_no_wrong_password() {
    let bench = Bench::new();
    let body = r#"{"ChallengeName":"PASSWORD_VERIFIER","ChallengeParameters":{"USER_ID_FOR_SRP":"u"}}"#;
    bench.fault(Fault::Http(Endpoint::SignIn, answers(body)));
    let ran = bench.log_in().fails(8);
    assert!(ran.err.contains("answer of the sign-in service is invalid"), "{ran:?}");

    bench.server().with_cloud(|cloud, _| cloud.clear_faults());
    let body = r#"{"__type":"NotAuthorizedException","message":"User is disabled."}"#;
    bench.fault(Fault::Http(Endpoint::SignIn, HttpFault::Body(400, body.as_bytes().to_vec())));
    let ran = bench.log_in().fails(4);
    assert!(ran.err.contains("user disabled"), "{ran:?}");
    is_reported_once(&ran);
}

#[test]
fn an_identity_pool_that_refuses_is_named_while_rest_serves() {
    let bench = Bench::signed_in();
    let refusal = HttpFault::Exception("InvalidIdentityPoolConfigurationException".into());
    bench.fault(Fault::Http(Endpoint::IdentityPool, refusal));
    let ran = bench.status(&["--json"]).ok().json().remove(0);
    assert_eq!(ran["service"], "REST only", "{ran}");
    assert_eq!(ran["reason"], "the pool is misconfigured", "{ran}");
}

#[test]
fn a_broker_that_closes_at_connect_is_not_permitted_to_connect() {
    let bench = Bench::signed_in();
    bench.fault(Fault::CloseOnConnect(mysa_sim::Closing::Cut));
    let ran = bench.status(&[]).ok();
    assert!(ran.out.contains("REST only") && ran.out.contains("not permitted to connect"), "{ran:?}");
}

#[test]
fn with_rest_down_alone_a_command_goes_by_mqtt_with_the_stored_list() {
    for fault in [HttpFault::Status(503), HttpFault::Html(200), HttpFault::Hang] {
        let bench = Bench::signed_in();
        bench.fault(Fault::Http(Endpoint::Rest, fault.clone()));
        let ran = bench.run(&["set", "living", "--temp", "21"]).ok();
        assert!(ran.out.contains("confirmed by"), "{fault:?}: {ran:?}");
        assert!(ran.err.contains("using the stored list of thermostats"), "{fault:?}: {ran:?}");
        is_reported_once(&ran);
        assert_eq!(bench.setpoint(LIVING), 21.0, "{fault:?}");
    }
}

#[test]
fn a_sign_out_that_did_not_reach_the_cloud_is_reported_in_every_output() {
    let bench = Bench::signed_in();
    bench.fault(Fault::Http(Endpoint::UserPool, HttpFault::Status(503)));
    let ran = bench.run(&["logout", "--json"]).fails(8);
    let document = &ran.json()[0];
    assert_eq!((&document["revoked"], &document["session"]), (&false.into(), &"stored".into()), "{ran:?}");
    assert_eq!(document["revocation"], "not-reached");
    bench.server().with_cloud(|cloud, _| cloud.clear_faults());
    bench.run(&["devices"]).ok();
    let ran = bench.run(&["logout", "--json"]).ok();
    let document = &ran.json()[0];
    assert_eq!((&document["revocation"], &document["session"]), (&"revoked".into(), &"removed".into()));

    let bench = Bench::signed_in();
    let ran = bench.run(&["logout", "--local", "--json"]).ok();
    assert_eq!(ran.json()[0]["revocation"], "not-tried", "{ran:?}");
}

#[test]
fn a_session_that_cannot_be_used_is_named_and_left_alone() {
    let bench = Bench::signed_in();
    let path = bench.home.path(".local/state/mysa/user@example.com.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut later: serde_json::Value = serde_json::from_str(&kept).unwrap();
    later["version"] = 99.into();
    bench.home.write(".local/state/mysa/user@example.com.json", later.to_string());
    for args in [&["devices"][..], &["devices", "--account", "user@example.com"]] {
        let ran = bench.run(args);
        assert!(ran.code != 0 && ran.err.contains("has version 99"), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), later.to_string());
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let bench = Bench::signed_in();
    let folder = bench.home.path(".local/state/mysa");
    let set = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o777, 0o770, 0o702] {
        set(mode);
        let ran = bench.run(&["devices"]);
        assert!(ran.code == 1 && ran.err.contains("others can write to"), "{mode:o}: {ran:?}");
        let ran = bench.log_in();
        assert!(ran.code == 1 && ran.err.contains("others can write to"), "{mode:o}: {ran:?}");
    }
    set(0o755);
    bench.run(&["devices"]).ok();
}

#[test]
fn a_page_or_a_pause_on_a_single_route_is_reported() {
    let bench = Bench::signed_in();
    for (args, route) in [
        (&["homes"][..], "/homes"),
        (&["energy", "living"], "/telemetry"),
        (&["energy"], "/telemetry"),
        (&["history", "living"], "/state/history"),
        (&["hold", "kitchen"], "/schedule/hold"),
        (&["schedule", "kitchen"], "/schedule"),
        (&["raw", "/users"], "/users"),
    ] {
        for (fault, words) in [
            (HttpFault::Html(200), "a web page answered in place of the service"),
            (HttpFault::Html(404), "a web page answered in place of the service"),
            (HttpFault::Throttle(300), "too many requests: try again in 300 s"),
        ] {
            // Its answer is shown as it is.
            if args[0] == "raw" && fault == HttpFault::Html(200) {
                continue;
            }
            bench.server().with_cloud(|cloud, _| cloud.clear_faults());
            bench.fault(Fault::Http(Endpoint::Path(route.into()), fault.clone()));
            let ran = bench.run(args).fails(8);
            assert!(ran.err.contains(words), "{args:?} {fault:?}: {ran:?}");
            is_reported_once(&ran);
        }
    }
}

#[test]
fn a_pause_for_a_command_by_rest_is_reported_with_its_length() {
    let bench = Bench::signed_in();
    bench.fault(Fault::Http(Endpoint::Path("/state/".into()), HttpFault::Throttle(300)));
    let ran = bench.run(&["set", "bedroom", "--temp", "21", "--channel", "rest"]).fails(8);
    assert!(ran.err.contains("refused: too many requests (HTTP 429): try again in 300 s"), "{ran:?}");
    is_reported_once(&ran);
}

#[test]
fn a_pause_of_the_sign_in_is_reported_with_its_length() {
    let bench = Bench::new();
    bench.fault(Fault::Http(Endpoint::SignIn, HttpFault::Throttle(300)));
    let ran = bench.log_in().fails(8);
    assert!(ran.err.contains("too many requests: try again in "), "{ran:?}");
    is_reported_once(&ran);
}
