//! Thermostats whose record names the wrong model.

mod harness;

use harness::{Harness, LITE, device, secs};
use mysa_proto::{Change, Family};
use mysa_session::{Evidence, Settings, Verdict};
use mysa_testkit::Ack;

/// Thermostat with the record of a Baseboard V2, which accepts only commands of its own type.
fn recorded_as_v2(own_type: i64, paired: Option<&str>) -> Harness {
    let mut harness = Harness::resume(Settings::default());
    harness.cloud.devices = vec![(LITE.into(), "BB-V2-0".into())];
    harness.cloud.body_types = [(LITE.into(), own_type)].into();
    harness.cloud.user = paired.map(|model| {
        format!(
            r#"{{"Id":"u","DevicesPaired":{{"State":{{"BB":{{"{LITE}":{{"deviceType":"{model}"}}}}}}}}}}"#
        )
    });
    harness.run(secs(10));
    harness
}

fn models(harness: &Harness) -> (&str, &str) {
    let device = harness.session.device(device(LITE)).expect("it is listed");
    (device.model().as_str(), device.record_model().as_str())
}

/// Returns `true` if a command is confirmed at its first transmission.
fn confirms_at_once(harness: &mut Harness) -> bool {
    let before = harness.commands().len();
    let id = harness.set(LITE, 21.5);
    harness.run(secs(5));
    let confirmed = matches!(harness.verdicts(id)[..], [Verdict::Confirmed { by: Evidence::Ack, .. }]);
    confirmed && harness.commands().len() == before + 1
}

#[test]
fn a_lite_recorded_as_v2_is_recognised_by_its_pairing() {
    let mut harness = recorded_as_v2(5, Some("BB-V2-0-L"));
    assert_eq!(models(&harness), ("BB-V2-0-L", "BB-V2-0"));
    assert_eq!(harness.session.device(device(LITE)).unwrap().family(), Some(Family::BaseboardLite));
    assert!(confirms_at_once(&mut harness));
    let proximity = Change { proximity: Some(true), ..Change::default() };
    let refused = harness.session.preview(harness.now(), device(LITE), proximity);
    assert!(refused.is_err(), "a Lite has no proximity sensor: {refused:?}");
    harness.run(secs(7_200));
    assert_eq!(harness.asked("GET /users"), 1, "the user record is read once");
    assert_eq!(models(&harness), ("BB-V2-0-L", "BB-V2-0"), "a later device list must not revert it");
}

#[test]
fn a_lite_recorded_as_v2_is_recognised_by_its_acknowledgements() {
    let mut harness = recorded_as_v2(5, None);
    assert_eq!(models(&harness), ("BB-V2-0", "BB-V2-0"));
    // A button press causes an unsolicited acknowledgement.
    let ack = Ack { resp_id: None, ..Ack::new(LITE, harness.truth_secs(), 0, 20.0) };
    harness.publish_from(LITE, &ack.to_string(), secs(1));
    harness.run(secs(3));
    assert_eq!(models(&harness), ("BB-V2-0-L", "BB-V2-0"));
    assert!(confirms_at_once(&mut harness));
}

#[test]
fn a_refused_command_is_no_evidence_of_the_model() {
    let mut harness = recorded_as_v2(4, None);
    let ack = Ack { success: false, resp_id: None, ..Ack::new(LITE, harness.truth_secs(), 0, 20.0) };
    harness.publish_from(LITE, &ack.to_string(), secs(1));
    harness.run(secs(3));
    assert_eq!(models(&harness), ("BB-V2-0", "BB-V2-0"));
}

#[test]
fn a_real_v2_keeps_its_model() {
    for paired in [None, Some("BB-V2-0"), Some("something else")] {
        let mut harness = recorded_as_v2(4, paired);
        assert_eq!(models(&harness), ("BB-V2-0", "BB-V2-0"), "{paired:?}");
        assert!(confirms_at_once(&mut harness), "{paired:?}");
    }
}

#[test]
fn the_model_in_an_acknowledgement_overrides_the_paired_one() {
    let mut harness = recorded_as_v2(4, Some("BB-V2-0-L"));
    let ack = Ack { resp_id: None, body_type: 4, ..Ack::new(LITE, harness.truth_secs(), 0, 20.0) };
    harness.publish_from(LITE, &ack.to_string(), secs(1));
    harness.run(secs(3));
    assert_eq!(models(&harness), ("BB-V2-0", "BB-V2-0"));
    assert!(confirms_at_once(&mut harness));
}

#[test]
fn the_user_record_is_read_only_if_a_model_is_uncertain() {
    let mut harness = Harness::live();
    harness.run(secs(3_600));
    assert_eq!(harness.asked("GET /users"), 0);
}

#[test]
fn a_missing_user_record_is_not_an_error() {
    let mut harness = recorded_as_v2(4, None);
    assert!(harness.session.service().level == mysa_session::Level::Live, "{:?}", harness.session.service());
    assert!(confirms_at_once(&mut harness));
    harness.run(secs(60));
    assert_eq!(harness.asked("GET /users"), 1);
}
