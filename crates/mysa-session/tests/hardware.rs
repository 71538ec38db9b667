//! Thermostats whose record names the wrong model.

mod rig;

use mysa_proto::{Change, Family};
use mysa_session::{Evidence, Settings, Verdict};
use mysa_testkit::Ack;
use rig::{LITE, Rig, device, secs};

/// Thermostat with the record of a Baseboard V2, which accepts only commands of its own type.
fn recorded_as_v2(own_type: i64, paired: Option<&str>) -> Rig {
    let mut rig = Rig::resume(Settings::default());
    rig.cloud.devices = vec![(LITE.into(), "BB-V2-0".into())];
    rig.cloud.body_types = [(LITE.into(), own_type)].into();
    rig.cloud.user = paired.map(|model| {
        format!(
            r#"{{"Id":"u","DevicesPaired":{{"State":{{"BB":{{"{LITE}":{{"deviceType":"{model}"}}}}}}}}}}"#
        )
    });
    rig.run(secs(10));
    rig
}

fn models(rig: &Rig) -> (&str, &str) {
    let device = rig.session.device(device(LITE)).expect("it is listed");
    (device.model().as_str(), device.record_model().as_str())
}

/// Returns `true` if a command is confirmed at its first transmission.
fn confirms_at_once(rig: &mut Rig) -> bool {
    let before = rig.commands().len();
    let id = rig.set(LITE, 21.5);
    rig.run(secs(5));
    let confirmed = matches!(rig.verdicts(id)[..], [Verdict::Confirmed { by: Evidence::Ack, .. }]);
    confirmed && rig.commands().len() == before + 1
}

#[test]
fn a_lite_recorded_as_v2_is_recognised_by_its_pairing() {
    let mut rig = recorded_as_v2(5, Some("BB-V2-0-L"));
    assert_eq!(models(&rig), ("BB-V2-0-L", "BB-V2-0"));
    assert_eq!(rig.session.device(device(LITE)).unwrap().family(), Some(Family::BaseboardLite));
    assert!(confirms_at_once(&mut rig));
    let proximity = Change { proximity: Some(true), ..Change::default() };
    let refused = rig.session.preview(rig.now(), device(LITE), proximity);
    assert!(refused.is_err(), "a Lite has no proximity sensor: {refused:?}");
    rig.run(secs(7_200));
    assert_eq!(rig.asked("GET /users"), 1, "the user record is read once");
    assert_eq!(models(&rig), ("BB-V2-0-L", "BB-V2-0"), "a later device list must not revert it");
}

#[test]
fn a_lite_recorded_as_v2_is_recognised_by_its_acknowledgements() {
    let mut rig = recorded_as_v2(5, None);
    assert_eq!(models(&rig), ("BB-V2-0", "BB-V2-0"));
    // A button press causes an unsolicited acknowledgement.
    let ack = Ack { resp_id: None, ..Ack::new(LITE, rig.truth_secs(), 0, 20.0) };
    rig.publish_from(LITE, &ack.to_string(), secs(1));
    rig.run(secs(3));
    assert_eq!(models(&rig), ("BB-V2-0-L", "BB-V2-0"));
    assert!(confirms_at_once(&mut rig));
}

#[test]
fn a_refused_command_is_no_evidence_of_the_model() {
    let mut rig = recorded_as_v2(4, None);
    let ack = Ack { success: false, resp_id: None, ..Ack::new(LITE, rig.truth_secs(), 0, 20.0) };
    rig.publish_from(LITE, &ack.to_string(), secs(1));
    rig.run(secs(3));
    assert_eq!(models(&rig), ("BB-V2-0", "BB-V2-0"));
}

#[test]
fn a_real_v2_keeps_its_model() {
    for paired in [None, Some("BB-V2-0"), Some("something else")] {
        let mut rig = recorded_as_v2(4, paired);
        assert_eq!(models(&rig), ("BB-V2-0", "BB-V2-0"), "{paired:?}");
        assert!(confirms_at_once(&mut rig), "{paired:?}");
    }
}

#[test]
fn the_model_in_an_acknowledgement_overrides_the_paired_one() {
    let mut rig = recorded_as_v2(4, Some("BB-V2-0-L"));
    let ack = Ack { resp_id: None, body_type: 4, ..Ack::new(LITE, rig.truth_secs(), 0, 20.0) };
    rig.publish_from(LITE, &ack.to_string(), secs(1));
    rig.run(secs(3));
    assert_eq!(models(&rig), ("BB-V2-0", "BB-V2-0"));
    assert!(confirms_at_once(&mut rig));
}

#[test]
fn the_user_record_is_read_only_if_a_model_is_uncertain() {
    let mut rig = Rig::live();
    rig.run(secs(3_600));
    assert_eq!(rig.asked("GET /users"), 0);
}

#[test]
fn a_missing_user_record_is_not_an_error() {
    let mut rig = recorded_as_v2(4, None);
    assert!(rig.session.service().level == mysa_session::Level::Live, "{:?}", rig.session.service());
    assert!(confirms_at_once(&mut rig));
    rig.run(secs(60));
    assert_eq!(rig.asked("GET /users"), 1);
}
