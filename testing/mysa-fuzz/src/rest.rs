use mysa_proto::DeviceId;
use mysa_proto::iot::{Endpoint, Thing};
use mysa_proto::rest::{
    self, Bootstrap, Capabilities, DeviceList, DeviceRecord, DeviceStateEntry, DeviceStates, Failure,
    Firmware, History, HoldCreated, HoldState, Homes, LegacySchedule, LiveStream, RetryAfter, Scenes,
    Schedules, SetpointHistory, StateBatch, StateHistory, StoredReadings, StructuredState, UpdateAvailable,
    User, Value,
};
use serde_json::json;

use crate::script::Script;

const GOOD: &str = "a0b1c2d3e4f6";

/// Bodies of the REST service, and failures.
///
/// Input: a byte that selects one of 24 decoders, or with its highest bit a status of a failure; then the body.
///
/// The same bytes decode to the same value. An invalid record does not affect a valid one beside it. The text of a failure is
/// short, and only a status other than 2xx is one.
///
/// ```
/// mysa_fuzz::rest(b"\0{\"DevicesObj\":{}}");
/// ```
pub fn rest(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    let body = script.rest();
    if choice & 0x80 != 0 {
        let statuses = [200, 204, 302, 400, 401, 403, 404, 408, 409, 415, 429, 500, 502, 503, 700, 0];
        let status = statuses[usize::from(choice & 0x0f)];
        let header = core::str::from_utf8(body).ok();
        let failure = Failure::of(status, header, body);
        assert_eq!(failure.is_none(), (200..300).contains(&status));
        if let Some(failure) = failure {
            assert!(failure.message.as_ref().is_none_or(|text| text.chars().count() <= 200), "{failure:?}");
            assert!(!failure.to_string().is_empty());
        }
        let _ = header.and_then(RetryAfter::parse);
        let _ = header.and_then(rest::http_date);
        return;
    }
    if choice == 22 {
        return iot_control(body);
    }
    macro_rules! decoders {
        ($($number:literal => $ty:ty,)*) => {
            match choice {
                $($number => assert_eq!(
                    format!("{:?}", <$ty>::decode(body)),
                    format!("{:?}", <$ty>::decode(body)),
                    "the same for the same bytes"
                ),)*
                _ => beside_a_good_one(body),
            }
        };
    }
    decoders! {
        0 => DeviceList, 1 => DeviceStates, 2 => DeviceRecord, 3 => DeviceStateEntry, 4 => Homes, 5 => User,
        6 => Firmware, 7 => UpdateAvailable, 8 => Capabilities, 9 => StructuredState, 10 => History,
        11 => HoldCreated, 12 => HoldState, 13 => LegacySchedule, 14 => LiveStream, 15 => Scenes, 16 => Schedules,
        17 => SetpointHistory, 18 => StateBatch, 19 => StateHistory, 20 => StoredReadings, 21 => Bootstrap,
    }
}

/// Answers of the control plane of AWS IoT. Only a host of AWS IoT is an endpoint, and a serial number is short text.
fn iot_control(body: &[u8]) {
    if let Ok(endpoint) = Endpoint::decode(body, "us-east-1") {
        let host = endpoint.host();
        let zone = host.strip_suffix(".cn").unwrap_or(host);
        let name = zone.strip_suffix(".iot.us-east-1.amazonaws.com").unwrap_or_else(|| panic!("{host}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{host}");
        assert!(
            mysa_sigv4::Authority::new(host, None).is_ok_and(|authority| authority.host_header() == host)
        );
    }
    if let Ok(thing) = Thing::decode(body) {
        for text in [&thing.name, &thing.serial].into_iter().flatten() {
            assert!((1..=Thing::MAX_SERIAL_LEN).contains(&text.len()), "{text:?}");
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}

/// Checks that a valid record and a valid state decode beside any value.
fn beside_a_good_one(body: &[u8]) {
    let Ok(other) = rest::value(body) else { return };
    let Some(good) = DeviceId::new(GOOD) else { return };
    let record = json!({ "Id": GOOD, "Model": "BB-V2-0", "Name": "Hall", "MaxSetpoint": 30 });
    let state = json!({ "Device": GOOD, "Duty": { "v": 47, "t": 1_767_323_040 }, "SetPoint": { "v": 20.5, "t": 1_767_323_040 } });
    let names_itself_good =
        ["Id", "Device"].iter().any(|key| other[*key].as_str().and_then(DeviceId::new) == Some(good));
    let texts = [
        json!({ "DevicesObj": { GOOD: record, "b0b1c2d3e4f6": other }, "DeviceStatesObj": { GOOD: state, "b0b1c2d3e4f6": other } }),
        json!({ "DevicesObj": { "not an id": other, GOOD: record }, "DeviceStatesObj": { "not an id": other, GOOD: state } }),
        json!({ "Devices": [other, record], "DeviceStates": [other, state] }),
    ];
    for (index, text) in texts.iter().map(Value::to_string).enumerate() {
        if index == 2 && names_itself_good {
            continue;
        }
        let list = DeviceList::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        let found = list.devices.get(&good).unwrap_or_else(|| panic!("lost in {text}"));
        assert_eq!(
            (found.model.as_deref(), found.name.as_deref()),
            (Some("BB-V2-0"), Some("Hall")),
            "{text}"
        );
        let states = DeviceStates::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        let found = states.states.get(&good).unwrap_or_else(|| panic!("lost in {text}"));
        assert_eq!(found.setpoint.map(|reading| reading.value.as_degrees()), Some(20.5), "{text}");
        assert!(
            list.devices.len() + list.rejected.len() <= 2 && states.states.len() + states.rejected.len() <= 2
        );
    }
}
