//! `mysa set` and `mysa mode`: several thermostats, amounts, channels, and time limits.

use mysa_sim::{CloudSpec, DeviceFault, Endpoint, Fault, HttpFault, Mode};
use serde_json::Value;

use crate::bench::{BEDROOM, Bench, LIVING, OFFICE};

#[test]
fn several_thermostats_get_one_verdict_each() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["set", "living", "bedroom", "--temp", "21", "--json"]).ok();
    let documents = ran.json();
    assert_eq!(documents.len(), 1, "{ran:?}");
    let devices = documents[0]["devices"].as_array().unwrap();
    assert_eq!((&documents[0]["schema"], &documents[0]["exit_code"]), (&1.into(), &0.into()));
    let mut ids: Vec<&str> = devices.iter().map(|device| device["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [LIVING, BEDROOM]);
    assert!(devices.iter().all(|device| device["verdict"] == "confirmed"), "{ran:?}");
    assert_eq!((bench.setpoint(LIVING), bench.setpoint(BEDROOM)), (21.0, 21.0));

    // Each verdict is printed once: the success with the data, the failure as an error.
    bench.device_fault(BEDROOM, DeviceFault::Refuse);
    let ran = bench.run(&["set", "living", "bedroom", "--temp", "20"]).fails(7);
    assert_eq!(ran.out.matches("Living room: confirmed").count(), 1, "{ran:?}");
    assert_eq!(ran.err.matches("Bedroom: refused").count(), 1, "{ran:?}");
    assert!(!ran.out.contains("refused") && ran.err.lines().count() == 1, "{ran:?}");
    assert_eq!((bench.setpoint(LIVING), bench.setpoint(BEDROOM)), (20.0, 21.0));
}

#[test]
fn all_thermostats_are_changed_by_one_command() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["mode", "--all", "off", "--json"]).ok();
    assert_eq!(ran.json()[0]["devices"].as_array().map(Vec::len), Some(5), "{ran:?}");
    assert!([LIVING, BEDROOM, OFFICE].iter().all(|id| bench.mode(id) == Mode::Off));
    bench.run(&["mode", "living", "bedroom", "heat"]).ok();
    assert_eq!((bench.mode(LIVING), bench.mode(OFFICE)), (Mode::Heat, Mode::Off));
    for args in [
        &["mode", "living"][..],
        &["mode", "--all"],
        &["mode", "--all", "living", "off"],
        &["set", "living", "--all", "--temp", "20"],
        &["set", "--temp", "20"],
        &["set", "living", "bedroom"],
        &["set", "living", "nowhere", "--temp", "23"],
    ] {
        bench.run(args).fails(2);
    }
    assert_eq!(bench.setpoint(LIVING), 20.5);
}

/// Values before, requested, sent and held.
fn amounts(document: &Value) -> [f64; 4] {
    ["before", "requested", "sent", "held"].map(|name| document[name]["setpoint_c"].as_f64().unwrap())
}

#[test]
fn set_names_the_requested_sent_and_held_values() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["set", "living", "--temp", "20.8"]).ok();
    assert!(ran.out.contains("setpoint: 20.5 °C → 20.8 °C, sent as 21.0 °C"), "{ran:?}");
    assert!(ran.out.contains("it holds setpoint 21.0 °C"), "{ran:?}");
    let ran = bench.run(&["set", "living", "--temp", "20.3", "--json"]).ok();
    assert_eq!(amounts(&ran.json()[0]), [21.0, 20.3, 20.5, 20.5], "{ran:?}");
    let ran = bench.run(&["set", "living", "--temp", "+0.3", "--json"]).ok();
    assert_eq!(amounts(&ran.json()[0]), [20.5, 20.8, 21.0, 21.0], "{ran:?}");
    // Each thermostat takes a step from its own setpoint.
    let ran = bench.run(&["set", "living", "office", "bedroom", "--temp", "+1", "--json"]).ok();
    let devices = ran.json()[0]["devices"].as_array().unwrap().iter().map(amounts).collect::<Vec<_>>();
    let held = [LIVING, BEDROOM, OFFICE].map(|id| bench.setpoint(id));
    assert_eq!(devices.len(), 3);
    for [before, requested, sent, held] in devices {
        assert!(requested == before + 1.0 && sent == requested && held == sent, "{ran:?}");
    }
    assert_eq!((held[0], held[2]), (22.0, 22.0));
    // A step smaller than that of the thermostat moves the setpoint by one step in its own direction.
    let ran = bench.run(&["set", "living", "--temp", "+0.2", "--dry-run"]).ok();
    assert!(ran.out.contains("setpoint: 22.0 °C → 22.2 °C, sent as 22.5 °C"), "{ran:?}");
    let ran = bench.run(&["set", "office", "--temp", "-0.5", "--json"]).ok();
    assert_eq!(amounts(&ran.json()[0]), [22.0, 21.5, 21.0, 21.0], "{ran:?}");
    // A step beyond the range cannot move the setpoint.
    bench.run(&["set", "living", "--temp", "30"]).ok();
    let ran = bench.run(&["set", "living", "--temp", "+0.5", "--json"]).fails(7);
    let document = &ran.json()[0];
    assert!(document["sent"].is_null() && document["held"]["setpoint_c"] == 30.0, "{ran:?}");
    assert_eq!(bench.setpoint(LIVING), 30.0);
}

#[test]
fn a_dry_run_sends_no_message_to_any_thermostat() {
    let bench = Bench::signed_in();
    for args in
        [["set", "living", "--temp", "21", "--dry-run"], ["mode", "living", "office", "heat", "--dry-run"]]
    {
        bench.run(&args).ok();
    }
    for id in [LIVING, BEDROOM, OFFICE] {
        assert_eq!(bench.messages(id), mysa_sim::MessageCounts::default(), "{id}");
    }
    bench.run(&["set", "living", "--temp", "21"]).ok();
    assert_eq!(bench.messages(LIVING).commands, 1);
}

#[test]
fn fahrenheit_is_answered_in_fahrenheit() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["set", "living", "--temp", "70F"]).ok();
    assert!(ran.out.contains("68.9 °F → 70.0 °F, sent as 69.8 °F"), "{ran:?}");
    assert!(ran.out.contains("it holds setpoint 69.8 °F") && !ran.out.contains("°C"), "{ran:?}");
    let ran = bench.run(&["set", "living", "--temp", "120F"]).fails(7);
    assert!(ran.err.contains("120.0 °F is out of range") && !ran.err.contains("°C"), "{ran:?}");
    let document = bench.run(&["set", "living", "--temp", "68F", "--json"]).ok().json().remove(0);
    assert_eq!(
        (&document["held"]["setpoint_f"], &document["held"]["setpoint_c"]),
        (&68.0.into(), &20.0.into()),
        "{document}"
    );
}

#[test]
fn without_waiting_only_an_accepted_command_counts_as_sent() {
    let bench = Bench::signed_in();
    bench.fault(Fault::DropPublishes);
    let ran = bench.run(&["set", "bedroom", "--temp", "23", "--no-wait", "--channel", "mqtt"]).fails(6);
    assert!(ran.err.contains("but not accepted yet"), "{ran:?}");
    assert!(!ran.out.contains("sent; "), "{ran:?}");
}

#[test]
fn the_channel_can_be_chosen() {
    let bench = Bench::signed_in();
    bench.fault(Fault::RefuseUpgrade(503));
    bench.run(&["set", "bedroom", "--temp", "19", "--channel", "rest"]).ok();
    assert_eq!(bench.setpoint(BEDROOM), 19.0);
    let ran = bench.run(&["set", "bedroom", "--temp", "22", "--channel", "mqtt", "--wait", "2"]);
    assert!(ran.code != 0 && bench.setpoint(BEDROOM) == 19.0, "{ran:?}");
    bench.home.run(&["config", "set", "channel", "rest"]).ok();
    bench.run(&["set", "bedroom", "--temp", "20"]).ok();
    assert_eq!(bench.setpoint(BEDROOM), 20.0);
    bench.home.run(&["config", "set", "channel", "smoke"]).fails(2);
    bench.run(&["set", "bedroom", "--temp", "20", "--channel", "smoke"]).fails(2);
}

#[test]
fn the_time_limit_ends_a_command() {
    for fault in [
        Fault::Http(Endpoint::Any, HttpFault::Hang),
        Fault::Http(Endpoint::Rest, HttpFault::Hang),
        Fault::HangUpgrade,
        Fault::IgnoreConnect,
    ] {
        let bench = Bench::with(CloudSpec::demo());
        bench.log_in().ok();
        bench.fault(fault.clone());
        let ran = bench.run(&["set", "living", "--temp", "22", "--channel", "mqtt", "--wait", "2"]).fails(9);
        assert_eq!(ran.err.lines().count(), 1, "{fault:?}: {ran:?}");
        assert_eq!(bench.setpoint(LIVING), 20.5, "{fault:?}");
    }
}

#[test]
fn a_value_already_in_force_is_reported_as_such() {
    let bench = Bench::signed_in();
    bench.run(&["set", "living", "--temp", "22"]).ok();
    let ran = bench.run(&["set", "living", "--temp", "22"]).ok();
    assert!(ran.out.contains("it held these values already"), "{ran:?}");
    let document = bench.run(&["set", "living", "--temp", "22", "--json"]).ok().json().remove(0);
    assert_eq!(document["already_so"], true, "{document}");
    let document = bench.run(&["set", "living", "--temp", "21", "--json"]).ok().json().remove(0);
    assert_eq!(document["already_so"], false, "{document}");
}

#[test]
fn the_doctor_shows_what_was_learned_of_the_permission_to_publish() {
    let bench = Bench::signed_in();
    let learned = |bench: &Bench| {
        let document = bench.run(&["doctor", "--json"]).json().remove(0);
        let steps = document["steps"].as_array().unwrap().clone();
        let step = steps.into_iter().find(|step| step["step"] == "publish permission, as learned").unwrap();
        (step["result"].as_str().unwrap().to_owned(), step["found"].as_str().unwrap().to_owned())
    };
    assert_eq!(learned(&bench).0, "ok");
    bench.fault(Fault::DenyPublish);
    bench.run(&["set", "bedroom", "--temp", "19"]).ok();
    assert_eq!(bench.setpoint(BEDROOM), 19.0);
    let (result, found) = learned(&bench);
    let commands = |how: &str| format!("commands {how}: publishing was denied ");
    assert!(result == "warning" && found.starts_with(&commands("go by the REST service")), "{found}");
    assert!(found.contains(" ago; tried again in "), "{found}");
    let shown = bench.run(&["status"]).ok().out;
    assert!(shown.contains(&found[..40]) && shown.contains("setting `channel`: auto"), "{shown}");
    let shown = bench.run(&["status", "--json"]).ok().json().remove(0);
    assert!(shown["publish_denied_at"].is_string(), "{shown}");
    // With the setting that allows only MQTT, MQTT is still used, and the doctor reports this.
    bench.home.run(&["config", "set", "channel", "mqtt"]).ok();
    assert!(learned(&bench).1.starts_with(&commands("still go by MQTT")));
    let before = bench.server().with_cloud(|cloud, _| cloud.counters()).publishes;
    bench.ends_unconfirmed(&["set", "bedroom", "--temp", "20"]);
    assert!(bench.server().with_cloud(|cloud, _| cloud.counters()).publishes > before);
    bench.run(&["set", "bedroom", "--temp", "20", "--channel", "auto"]).ok();
    assert_eq!(bench.setpoint(BEDROOM), 20.0);
}

#[test]
fn a_change_without_a_plan_has_the_members_of_every_other_result() {
    let has_all = |document: &Value, setpoint: Value| {
        for (name, expected) in [("before", Value::Null), ("requested", setpoint), ("held", Value::Null)] {
            let members = document[name].as_object().unwrap_or_else(|| panic!("{name}: {document}"));
            assert_eq!((members.len(), &members["setpoint_c"]), (2, &expected), "{name}: {document}");
            assert!(members.contains_key("locked"), "{name}: {document}");
        }
        assert!(
            document.as_object().unwrap().contains_key("sent") && document["sent"].is_null(),
            "{document}"
        );
        assert_eq!(document["verdict"], "failed", "{document}");
        assert!(document["message"].as_str().is_some_and(|text| !text.is_empty()), "{document}");
    };
    let bench = Bench::signed_in();
    let unknown = bench.run(&["set", "nowhere", "--temp", "20.5", "--lock", "on", "--json"]).fails(2);
    let document = unknown.json().remove(0);
    has_all(&document, 20.5.into());
    assert_eq!(
        (&document["schema"], &document["name"], &document["id"], &document["exit_code"]),
        (&1.into(), &"nowhere".into(), &Value::Null, &2.into())
    );
    assert_eq!(document["requested"]["locked"], true, "{document}");

    // Several names, of which one is unknown: nothing is sent to any.
    let args = ["set", LIVING, "nowhere", "--temp", "+1", "--lock", "on", "--json"];
    let several = bench.run(&args).fails(2).json().remove(0);
    let devices = several["devices"].as_array().unwrap();
    assert_eq!((devices.len(), &devices[0]["id"]), (2, &LIVING.into()), "{several}");
    devices.iter().for_each(|device| has_all(device, Value::Null));

    let mut command = bench.command(&["set", "living", "--temp", "20.5", "--lock", "on", "--json"]);
    command.env("MYSA_CONNECT_TO", "127.0.0.1:1");
    let ran = crate::common::finish(command, b"").fails(8);
    let document = ran.json().remove(0);
    has_all(&document, 20.5.into());
    assert_eq!((&document["name"], &document["exit_code"]), (&"living".into(), &8.into()));

    // The result of a refused command has the same members.
    let args = ["set", "living", "--temp", "30"];
    bench.run(&args).ok();
    let ran = bench.run(&["set", "living", "--temp", "+1", "--json"]).fails(7);
    let document = ran.json().remove(0);
    assert_eq!(document["verdict"], "refused", "{document}");
    assert_eq!(
        (&document["before"]["setpoint_c"], &document["held"]["setpoint_c"]),
        (&30.0.into(), &30.0.into())
    );
    assert!(document["requested"]["setpoint_c"] == 31.0 && document["sent"].is_null(), "{document}");
}

#[test]
fn the_sensor_of_a_floor_has_one_name() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["set", "bathroom", "--sensor", "room"]).ok();
    assert!(ran.out.contains("sensor: floor → room") && ran.out.contains("sensor room"), "{ran:?}");
    let document = bench.run(&["set", "bathroom", "--sensor", "room", "--json"]).ok().json().remove(0);
    let sensors =
        ["before", "requested", "sent", "held"].map(|name| document[name]["tracked_sensor"].clone());
    assert_eq!(sensors, ["room", "room", "room", "room"], "{document}");
    assert_eq!(document["already_so"], true, "{document}");
    let document = bench.run(&["status", "bathroom", "--json"]).ok().json().remove(0);
    assert_eq!(document["devices"][0]["tracked_sensor"], "room", "{document}");
    let args = ["watch", "bathroom", "--count", "1", "--template", "{tracked_sensor}"];
    assert_eq!(bench.run(&args).ok().out, "room\n");
}
