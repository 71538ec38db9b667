//! Every body of `data/rest`, and the requests that ask for them.

#![expect(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod view;

use std::collections::BTreeMap;

use mysa_proto::rest::{self, *};
use mysa_proto::{Change, DeviceId, Family, Limits, Mode, ModeTable, Model, StructuredUpdate, UnixTime};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use serde_json::{Value as Json, json};
use view::*;

const NOW: UnixTime = UnixTime::from_secs(1_767_323_045);

fn id(id: &str) -> DeviceId {
    DeviceId::new(id).unwrap()
}

fn home() -> ResourceId {
    ResourceId::new("22222222-2222-4222-8222-222222222222").unwrap()
}

fn read(file: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// True if the decoded value contains everything that the vector expects. Numbers are compared as numbers.
fn agrees(expected: &Json, found: &Json) -> bool {
    match (expected, found) {
        (Json::Object(expected), Json::Object(found)) => {
            expected.iter().all(|(key, value)| found.get(key).is_some_and(|found| agrees(value, found)))
        }
        (Json::Array(expected), Json::Array(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| agrees(expected, found))
        }
        (Json::Number(_), Json::Number(_)) => {
            (expected.as_f64().unwrap() - found.as_f64().unwrap()).abs() < 1e-9
        }
        _ => expected == found,
    }
}

/// Decodes the answer of a route. `None` if this crate does not decode the answer of that route.
fn decode(endpoint: &str, body: &[u8]) -> Option<Result<Json, BodyError>> {
    let route = endpoint.split('?').next().unwrap();
    Some(match route {
        "GET /devices" => DeviceList::decode(body).map(|list| {
            let devices: BTreeMap<String, Json> =
                list.devices.values().map(|device| (device.id.to_string(), record(device))).collect();
            json!({ "count": devices.len(), "devices": devices })
        }),
        "GET /devices/{id}" => DeviceRecord::decode(body).map(|device| {
            let mut json = record(&device);
            json["id"] = json!(device.id.to_string());
            json
        }),
        "GET /devices/state" => DeviceStates::decode(body).map(|list| {
            let states: BTreeMap<String, Json> =
                list.states.values().map(|entry| (entry.id.to_string(), state(entry))).collect();
            json!({ "count": states.len(), "states": states })
        }),
        "GET /devices/state/{id}" => DeviceStateEntry::decode(body).map(|entry| {
            let mut json = state(&entry);
            json["id"] = json!(entry.id.to_string());
            json
        }),
        "GET /homes" => Homes::decode(body).map(|homes| {
            let zone = |zone: &Zone| {
                let devices: Option<Vec<String>> =
                    zone.devices.as_ref().map(|ids| ids.iter().map(DeviceId::to_string).collect());
                json!({ "id": zone.id.as_str(), "name": zone.name, "device_ids": devices })
            };
            let all: Vec<Json> = homes
                .homes
                .iter()
                .map(|home| {
                    json!({
                        "id": home.id.as_str(), "name": home.name, "erate_per_kwh": number(home.energy_rate),
                        "zones": home.zones.iter().map(zone).collect::<Vec<_>>(),
                    })
                })
                .collect();
            let rates: Vec<Json> = homes.homes.iter().map(|home| number(home.energy_rate)).collect();
            json!({ "count": all.len(), "homes": all, "erates": rates })
        }),
        "GET /users" => User::decode(body).map(|user| {
            let paired: BTreeMap<String, Option<String>> =
                user.paired.iter().map(|(id, paired)| (id.to_string(), paired.model.clone())).collect();
            json!({
                "user_id": user.id.as_str(),
                "allowed_devices": user.allowed_devices.iter().map(DeviceId::to_string).collect::<Vec<_>>(),
                "allowed_homes": user.allowed_homes.iter().map(ResourceId::as_str).collect::<Vec<_>>(),
                "paired_models": paired,
            })
        }),
        "GET /devices/firmware" => Firmware::decode(body).map(|firmware| {
            firmware.installed.iter().map(|(id, version)| (id.to_string(), json!(version))).collect()
        }),
        "GET /devices/update_available/{id}" => UpdateAvailable::decode(body).map(|update| {
            json!({ "update": update.update, "installed": update.installed, "allowed": update.allowed })
        }),
        "POST /energy/device/{id}" | "POST /telemetry/usage/{id}" => history(body),
        "POST /energy/setpoints/device/{id}" => SetpointHistory::decode(body).map(|history| {
            let read = history.changes.iter().filter(|c| c.next.is_some() && c.at.is_some()).count();
            json!({ "count": read })
        }),
        "POST /state/batch" => StateBatch::decode(body).map(|batch| {
            let states: BTreeMap<String, Json> =
                batch.states.iter().map(|(id, state)| (id.to_string(), structured(state))).collect();
            let errors: BTreeMap<String, String> =
                batch.errors.iter().map(|(id, error)| (id.to_string(), error.clone())).collect();
            json!({ "count": states.len(), "states": states, "errors": errors })
        }),
        "GET /state/{id}" => StructuredState::decode(body).map(|state| structured(&state)),
        "GET /capabilities/{id}" => Capabilities::decode(body).map(|capabilities| {
            json!({
                "model": capabilities.model, "modes": capabilities.modes,
                "setpoint": range(capabilities.heat_setpoint), "offset": range(capabilities.offset),
                "lockout": capabilities.lockout, "humidity_flag": capabilities.humidity_flag,
            })
        }),
        "GET /state/history/{id}" => StateHistory::decode(body).map(|history| {
            let fields: BTreeMap<String, usize> =
                history.fields.iter().map(|(name, points)| (name.clone(), points.len())).collect();
            json!({ "fields": fields })
        }),
        "GET /mobile/bootstrap" => Bootstrap::decode(body).map(|bootstrap| {
            let devices: Vec<String> = bootstrap.devices.devices.keys().map(DeviceId::to_string).collect();
            json!({ "home": bootstrap.primary_home.as_ref().map(ResourceId::as_str), "devices": devices })
        }),
        "POST /mysa-legacy/stream/home/{home}" => LiveStream::decode(body).map(|live| {
            let ids = |ids: &[DeviceId]| ids.iter().map(DeviceId::to_string).collect::<Vec<_>>();
            json!({ "streamed": ids(&live.streamed), "skipped": ids(&live.skipped), "failed": ids(&live.failed) })
        }),
        "GET /schedule" => Schedules::decode(body).map(|schedules| {
            let read = |event: &&ScheduleEntry| event.weekday == Some(1) && event.second_of_day.is_some();
            let events: usize = schedules.schedules.iter().map(|s| s.events.iter().filter(read).count()).sum();
            json!({ "count": schedules.schedules.len(), "events": events })
        }),
        "POST /schedule/hold" => HoldCreated::decode(body).map(|hold| json!({ "hold_id": hold.id.as_str() })),
        "POST /schedules/v2/" => LegacySchedule::decode(body).map(|schedule| {
            let event = |event: &LegacyEvent| {
                json!({
                    "weekday": event.weekday, "minute": event.minute, "key": event.key,
                    "mode": event.mode(&ModeTable::OBSERVED, None).map(Mode::name),
                    "setpoint_c": number(event.setpoint.map(|setpoint| setpoint.as_degrees())),
                })
            };
            json!({ "is_request": true, "events": schedule.events.iter().map(event).collect::<Vec<_>>() })
        }),
        "GET /homes/{home}/scenes" => {
            Scenes::decode(body).map(|scenes| json!({ "count": scenes.scenes.len() }))
        }
        _ => return None,
    })
}

#[test]
fn every_answer_decodes_as_its_vector_expects() {
    let vectors: Json = serde_json::from_slice(&read("rest_expect.json")).unwrap();
    let mut unread = Vec::new();
    for case in vectors["files"].as_array().unwrap() {
        let (file, endpoint) = (case["file"].as_str().unwrap(), case["endpoint"].as_str().unwrap());
        let body = read(file);
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        if let Some(failure) = Failure::of(status, None, &body) {
            let part = case["expect"]["message_contains"].as_str().unwrap();
            assert!(failure.message.unwrap().contains(part), "{file}");
            assert_eq!(failure.kind, FailureKind::Server, "{file}");
            continue;
        }
        if case["expect"]["is_request"] == true && !case["expect"].as_object().unwrap().contains_key("events")
        {
            continue;
        }
        let Some(found) = decode(endpoint, &body) else {
            unread.push(file);
            continue;
        };
        let found = found.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(agrees(&case["expect"], &found), "{file}\nexpected {}\nfound    {found}", case["expect"]);
    }
    // Answers to routes that have no builder: an update of the firmware, a new schedule.
    assert_eq!(unread, ["rest/firmware_trigger.response.json", "rest/schedule_create.response.json"]);
}

#[test]
fn every_failure_is_classified_as_its_vector_expects() {
    let vectors: Json = serde_json::from_slice(&read("rest_expect.json")).unwrap();
    for case in vectors["errors"].as_array().unwrap() {
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        let retry_after = case["headers"]["retry-after"].as_str();
        let body = case.get("body").map(Json::to_string).unwrap_or_default();
        let failure = Failure::of(status, retry_after, body.as_bytes()).unwrap();
        let expected = match status {
            401 => (FailureKind::Unauthorized, Retry::WithFreshToken),
            403 => (FailureKind::Forbidden, Retry::No),
            404 => (FailureKind::Absent, Retry::No),
            409 => (FailureKind::Conflict, Retry::No),
            415 => (FailureKind::BodyMissing, Retry::No),
            429 => (FailureKind::Throttled, Retry::After(RetryAfter::parse("30"))),
            500 => (FailureKind::Server, Retry::After(None)),
            400 => (FailureKind::Invalid, Retry::No),
            other => panic!("no expectation for status {other}"),
        };
        assert_eq!((failure.kind, failure.retry()), expected, "{case}");
        assert_eq!(failure.code.as_deref(), case["body"]["code"].as_str(), "{case}");
    }
}

#[test]
fn writes_equal_the_vectors() {
    let (hall, office) = (id("a0b1c2d3e4f6"), id("a0b1c2d3e4f7"));
    let celsius = |degrees| mysa_proto::Celsius::from_degrees(degrees).unwrap();
    let heat = Change { mode: Some(Mode::Heat), ..Change::setpoint(celsius(21.0)) };
    let heat = StructuredUpdate::new(&Model::parse("BB-V2-0-L"), &Limits::default(), heat).unwrap();
    let end = UnixTime::from_secs(1_767_323_055 + 7_200);
    for (file, request) in [
        ("device_settings_brightness", rest::set_brightness(hall, 20, 100).unwrap().into_request()),
        ("device_settings_eco_on", rest::set_eco(hall, true).into_request()),
        ("device_settings_format", rest::set_display_unit(hall, DisplayUnit::Fahrenheit).into_request()),
        (
            "device_settings_limits",
            rest::set_setpoint_limits(hall, celsius(7.0), celsius(25.0)).unwrap().into_request(),
        ),
        ("device_settings_lock_text", rest::set_lock(hall, true).into_request()),
        ("hold_permanent", rest::hold_permanently(office, &heat, NOW).into_request()),
        ("hold_temporary", rest::hold_until(office, &heat, NOW, end).unwrap().into_request()),
        ("state_update_heat_and_setpoint", rest::update_state(office, &heat).into_request()),
    ] {
        let expected: Json = serde_json::from_slice(&read(&format!("rest/{file}.request.json"))).unwrap();
        let found: Json = serde_json::from_str(request.body().unwrap()).unwrap();
        assert!(agrees(&expected, &found) && agrees(&found, &expected), "{file}: {found}");
    }
    assert_eq!(rest::set_brightness(hall, 90, 40), Err(InvalidSetting::Brightness));
    assert_eq!(
        rest::set_setpoint_limits(hall, celsius(25.0), celsius(7.0)),
        Err(InvalidSetting::SetpointLimits)
    );
    assert_eq!(rest::set_name(hall, " "), Err(InvalidSetting::Name));
    assert_eq!(rest::hold_until(office, &heat, NOW, NOW), Err(InvalidSetting::HoldEnd));
}

#[test]
fn requests_equal_the_vectors() {
    let vectors: Json = serde_json::from_slice(&read("rest_expect.json")).unwrap();
    let energy = EnergyQuery {
        scope: Scope::Day,
        resolution: Resolution::HalfHour,
        at: NOW,
        time_zone: "America/Halifax".into(),
    };
    let ids = ["a0b1c2d3e4f7", "a0b1c2d3e4f9", "a0b1c2d3e4fa", "a0b1c2d3e4f5"].map(id);
    let start = UnixTime::from_secs(1_767_312_000);
    let usage = |raw| UsageQuery { time_zone: "America/Halifax".into(), start, end: NOW, buckets: true, raw };
    for (file, request) in [
        ("energy_device_day", rest::energy_device(id("a0b1c2d3e4f6"), &energy).into_request()),
        (
            "energy_setpoints_device",
            rest::energy_setpoints(id("a0b1c2d3e4f6"), NOW, "America/Halifax").into_request(),
        ),
        ("state_batch", rest::state_batch(&ids).into_request()),
        ("usage_expanded", rest::usage(id("a0b1c2d3e4f7"), &usage(true)).into_request()),
        ("live_stream.response", rest::live_stream(&home(), 300).into_request()),
    ] {
        let name = format!("rest/{file}.json");
        let case = vectors["files"].as_array().unwrap().iter().find(|case| case["file"] == *name).unwrap();
        let found: Json = serde_json::from_str(request.body().unwrap()).unwrap();
        assert_eq!(found, case["request"], "{file}");
    }
}

#[test]
fn every_route_has_the_expected_method_host_and_target() {
    let device = id("A0B1C2D3E4F6");
    let home = home();
    let h = "22222222-2222-4222-8222-222222222222";
    let legacy = "includeLegacyBaseboard=true&includeLegacyAc=true&includeLegacyInfloor=true";
    for (request, target, host) in [
        (rest::devices().into_request(), "GET /devices".into(), RestHost::Legacy),
        (rest::device(device).into_request(), "GET /devices/a0b1c2d3e4f6".into(), RestHost::Legacy),
        (rest::devices_state().into_request(), "GET /devices/state".into(), RestHost::Legacy),
        (
            rest::device_state(device).into_request(),
            "GET /devices/state/a0b1c2d3e4f6".into(),
            RestHost::Legacy,
        ),
        (rest::devices_capabilities().into_request(), "GET /devices/capabilities".into(), RestHost::Backend),
        (rest::homes().into_request(), "GET /homes".into(), RestHost::Legacy),
        (rest::home(&home).into_request(), format!("GET /homes/{h}"), RestHost::Legacy),
        (rest::users().into_request(), "GET /users".into(), RestHost::Legacy),
        (rest::firmware().into_request(), "GET /devices/firmware".into(), RestHost::Legacy),
        (
            rest::update_available(device).into_request(),
            "GET /devices/update_available/a0b1c2d3e4f6".into(),
            RestHost::Legacy,
        ),
        (rest::energy_v3_home(&home).into_request(), format!("GET /energy/v3/home/{h}"), RestHost::Legacy),
        (
            rest::energy_v3_device(device).into_request(),
            "GET /energy/v3/device/a0b1c2d3e4f6".into(),
            RestHost::Legacy,
        ),
        (rest::schedules_v1().into_request(), "GET /schedules".into(), RestHost::Legacy),
        (
            rest::schedules_v2(device).into_request(),
            "GET /schedules/v2/a0b1c2d3e4f6".into(),
            RestHost::Legacy,
        ),
        (rest::scenes(&home).into_request(), format!("GET /homes/{h}/scenes"), RestHost::Legacy),
        (
            rest::saved_schedules(&home).into_request(),
            format!("GET /homes/{h}/savedSchedule"),
            RestHost::Legacy,
        ),
        (
            rest::bootstrap(APP_VERSION).into_request(),
            "GET /mobile/bootstrap?versionNumber=4.20.1".into(),
            RestHost::Backend,
        ),
        (rest::structured_state(device).into_request(), "GET /state/a0b1c2d3e4f6".into(), RestHost::Backend),
        (
            rest::state_history(device, UnixTime::from_secs(1_767_000_000), NOW).into_request(),
            "GET /state/history/a0b1c2d3e4f6?startTime=1767000000&endTime=1767323045".into(),
            RestHost::Backend,
        ),
        (
            rest::capabilities(device).into_request(),
            format!("GET /capabilities/a0b1c2d3e4f6?{legacy}"),
            RestHost::Backend,
        ),
        (
            rest::schedules(&home).into_request(),
            format!("GET /schedule?homeId={h}&{legacy}"),
            RestHost::Backend,
        ),
        (rest::hold(device).into_request(), "GET /schedule/hold/a0b1c2d3e4f6".into(), RestHost::Backend),
        (rest::resume(device).into_request(), "DELETE /schedule/hold/a0b1c2d3e4f6".into(), RestHost::Backend),
        (
            rest::live_stream(&home, 300).into_request(),
            format!("POST /mysa-legacy/stream/home/{h}"),
            RestHost::Backend,
        ),
        (rest::set_lock(device, true).into_request(), "POST /devices/a0b1c2d3e4f6".into(), RestHost::Legacy),
    ] {
        assert_eq!(format!("{} {}", request.method(), request.target()), target);
        assert_eq!(request.host(), host, "{target}");
        let other = request.on_other_host();
        assert_eq!(other.is_some(), host == RestHost::Legacy, "{target}");
        assert_eq!(
            other.and_then(|other| other.on_other_host()),
            (host == RestHost::Legacy).then_some(request)
        );
    }
    let settings = rest::set_lock(device, true).as_request().on_other_host().unwrap();
    assert_eq!((settings.host(), settings.path()), (RestHost::Backend, "/devices/a0b1c2d3e4f6/"));
}

#[test]
fn an_invalid_record_does_not_affect_other_records() {
    let body = br#"{"DevicesObj":{"a0b1c2d3e4f5":7,"a/b":{},"a0b1c2d3e4f6":{"Model":["x"],"Name":"Hall"}}}"#;
    let list = DeviceList::decode(body).unwrap();
    assert_eq!((list.devices.len(), list.rejected.len()), (1, 2));
    let hall = &list.devices[&id("a0b1c2d3e4f6")];
    assert_eq!((hall.model.as_deref(), hall.name.as_deref()), (None, Some("Hall")));
    assert_eq!(hall.extra["Model"], json!(["x"]));
    let states =
        DeviceStates::decode(br#"{"DeviceStatesObj":{"a0b1c2d3e4f5":null,"a0b1c2d3e4f6":{"Duty":true}}}"#);
    let states = states.unwrap();
    assert_eq!((states.states.len(), states.rejected.len()), (1, 1));
}

#[test]
fn a_temperature_of_zero_needs_a_recent_time_of_its_own() {
    for (reading, kept) in [
        (r#"{"v":0,"t":1767323000}"#, true),
        (r#"{"v":0,"t":1767000000}"#, false),
        (r#"{"v":0,"t":0}"#, false),
        (r#"{"v":0}"#, false),
        ("0", false),
        (r#"{"v":-1,"t":1767323000}"#, false),
        (r#"{"v":-1.5,"t":1767323000}"#, true),
    ] {
        let body = format!(r#"{{"Device":"a0b1c2d3e4f6","Timestamp":1767323045,"CorrectedTemp":{reading}}}"#);
        let entry = DeviceStateEntry::decode(body.as_bytes()).unwrap();
        assert_eq!(entry.temperature.is_some(), kept, "{reading}");
    }
}

#[test]
fn observations_keep_the_time_of_each_field() {
    let received = mysa_proto::Now { mono: core::time::Duration::ZERO, wall: NOW };
    let states = DeviceStates::decode(&read("rest/devices_state_quirks.json")).unwrap();
    let entry = &states.states[&id("a0b1c2d3e4f6")];
    let seen = entry.observations(&ModeTable::OBSERVED, Some(Family::BaseboardV2), received);
    let at = |secs| seen.iter().find(|seen| seen.at == Some(UnixTime::from_secs(secs)));
    assert_eq!(at(1_767_323_040).unwrap().mode, Some(Mode::Heat));
    assert_eq!(at(1_924_992_000).unwrap().connected, Some(false));
    // A value without a time of its own cannot be later than the entry.
    assert_eq!(entry.temperature.unwrap().at, None);
    let temperature = seen.iter().find(|seen| seen.temperature.is_some()).unwrap();
    assert_eq!((temperature.temperature, temperature.at), (entry.temperature.map(|t| t.value), entry.at));

    let state = StructuredState::decode(&read("rest/state_future_telemetry.json")).unwrap();
    let seen = state.observations(Some(Family::BaseboardLite), received);
    let target = seen.iter().find(|seen| seen.at == Some(UnixTime::from_secs(1_767_322_947))).unwrap();
    assert_eq!((target.mode, target.lock), (Some(Mode::Heat), Some(true)));
    assert!(target.setpoint.is_some() && target.temperature.is_none());
}

const ENDPOINTS: [&str; 21] = [
    "GET /devices",
    "GET /devices/{id}",
    "GET /devices/state",
    "GET /devices/state/{id}",
    "GET /homes",
    "GET /users",
    "GET /devices/firmware",
    "GET /devices/update_available/{id}",
    "POST /energy/device/{id}",
    "POST /energy/setpoints/device/{id}",
    "POST /state/batch",
    "GET /state/{id}",
    "GET /capabilities/{id}",
    "GET /state/history/{id}",
    "GET /mobile/bootstrap",
    "POST /mysa-legacy/stream/home/{home}",
    "GET /schedule",
    "POST /schedule/hold",
    "POST /schedules/v2/",
    "POST /telemetry/usage/{id}",
    "GET /homes/{home}/scenes",
];

fn read_by_all(body: &[u8]) {
    for endpoint in ENDPOINTS {
        assert!(decode(endpoint, body).is_some(), "{endpoint}");
    }
    drop((StoredReadings::decode(body), HoldState::decode(body), Failure::of(500, None, body)));
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        read_by_all(&body);
    }

    // A body of the right shape with one value of the wrong kind.
    #[test]
    fn a_value_of_the_wrong_kind_makes_no_decoder_panic(
        file in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), strange in strange(),
    ) {
        let vectors: Json = serde_json::from_slice(&read("rest_expect.json")).unwrap();
        let files = vectors["files"].as_array().unwrap();
        let mut body: Json = serde_json::from_slice(&read(files[file.index(files.len())]["file"].as_str().unwrap())).unwrap();
        let mut leaves = Vec::new();
        collect_leaves(&mut body, &mut leaves);
        if !leaves.is_empty() {
            let at = place.index(leaves.len());
            *leaves.swap_remove(at) = strange;
        }
        read_by_all(body.to_string().as_bytes());
    }
}

fn strange() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
        Just(json!([])),
        Just(json!({ "v": { "v": -1 }, "t": "x" })),
    ]
}

fn collect_leaves<'a>(value: &'a mut Json, leaves: &mut Vec<&'a mut Json>) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(|item| collect_leaves(item, leaves)),
        Json::Object(map) => map.values_mut().for_each(|item| collect_leaves(item, leaves)),
        leaf => leaves.push(leaf),
    }
}
