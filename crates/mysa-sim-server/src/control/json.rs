//! The cloud's state and events as JSON. Names have their unit at the end.

use mysa_proto::DeviceId;
use mysa_sim::{
    AccountView, Closing, Cloud, CommandRecord, ConnectionView, Counters, Event, EventKind, Family, FaultId,
    HeldSettings, HomeView, Incident, Mode, Origin, Window,
};
use serde_json::{Map, Value, json};

/// A temperature, a power or an energy, rounded to its significant digits.
fn rounded(value: f64) -> Value {
    json!((value * 1_000.0).round() / 1_000.0)
}

fn seconds(time: std::time::Duration) -> Value {
    rounded(time.as_secs_f64())
}

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "off",
        Mode::Auto => "auto",
        Mode::Heat => "heat",
        Mode::Cool => "cool",
        Mode::FanOnly => "fan",
        Mode::Dry => "dry",
    }
}

pub(super) fn parse_mode(name: &str) -> Option<Mode> {
    [Mode::Off, Mode::Auto, Mode::Heat, Mode::Cool, Mode::FanOnly, Mode::Dry]
        .into_iter()
        .find(|mode| mode_name(*mode) == name)
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::BaseboardV1 => "baseboard-v1",
        Family::BaseboardV2 => "baseboard-v2",
        Family::Lite => "lite",
        Family::Floor => "floor",
        Family::AirConditioner => "air-conditioner",
        Family::BaseboardV3 => "baseboard-v3",
        Family::CentralHvac => "central-hvac",
        _ => "silent",
    }
}

fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Mqtt { .. } => "mqtt",
        Origin::Rest => "rest",
        Origin::Button => "button",
        Origin::Schedule => "schedule",
        Origin::OtherApp => "other-app",
        Origin::Record => "record",
        _ => "unknown",
    }
}

fn closing_name(closing: Closing) -> String {
    match closing {
        Closing::Cut => "cut".into(),
        Closing::Frame(None) => "close-frame".into(),
        Closing::Frame(Some(code)) => format!("close-frame-{code}"),
    }
}

pub(super) fn account(cloud: &Cloud, account: &AccountView) -> Value {
    let homes: Vec<String> =
        cloud.homes().filter(|home| home.account == account.email).map(|home| home.id).collect();
    json!({
        "email": account.email, "user_id": account.user_id, "status": format!("{:?}", account.status).to_lowercase(),
        "homes": homes,
    })
}

pub(super) fn home(home: &HomeView) -> Value {
    let devices: Vec<String> = home.devices.iter().map(DeviceId::to_string).collect();
    json!({
        "id": home.id, "name": home.name, "account": home.account, "time_zone": home.time_zone,
        "utc_offset_s": home.utc_offset, "outdoors_c": rounded(home.outdoors), "devices": devices,
        "weather": {
            "mean_c": home.weather.mean, "season_k": home.weather.season, "day_k": home.weather.day,
            "variation_k": home.weather.variation,
        },
    })
}

pub(super) fn device(cloud: &Cloud, id: DeviceId) -> Option<Value> {
    let (truth, place, held) = (cloud.truth(id)?, cloud.place(id)?, cloud.held(id)?);
    let messages = truth.messages;
    Some(json!({
        "id": id.to_string(), "name": place.name, "model": place.model, "family": family_name(truth.family),
        "home": place.home, "account": place.account, "removed": place.removed, "unpaired": truth.unpaired,
        "online": place.online, "connected": place.connected, "last_seen_unix_s": place.last_seen_at.as_secs(),
        "firmware": place.firmware, "firmware_offer": place.firmware_offer,
        "room_c": rounded(truth.room), "floor_c": truth.floor.map(rounded), "outdoors_c": rounded(truth.outdoors),
        "setpoint_c": truth.setpoint.as_degrees(), "mode": mode_name(truth.mode), "heating": truth.heating,
        "watts": rounded(truth.watts), "rated_watts": truth.rated_watts, "energy_kwh": rounded(truth.energy),
        "locked": truth.locked, "hold": held.hold, "live": truth.live, "boots": truth.boots,
        "commands": truth.commands,
        "messages": {
            "commands": messages.commands, "ignored": messages.ignored, "live_requests": messages.live_requests,
            "echoes": messages.echoes, "settings_checks": messages.settings_checks,
            "dangerous": messages.dangerous, "other": messages.other,
        },
    }))
}

pub(super) fn devices(cloud: &Cloud) -> Value {
    cloud.device_ids().filter_map(|id| device(cloud, id)).collect()
}

pub(super) fn connection(connection: &ConnectionView) -> Value {
    json!({
        "conn": connection.conn, "account": connection.account, "client": connection.client,
        "opened_s": seconds(connection.opened), "filters": connection.filters, "in_flight": connection.in_flight,
    })
}

pub(super) fn counters(cloud: &Cloud) -> Value {
    let Counters {
        http_requests,
        sign_ins,
        wrong_passwords,
        refreshes,
        grants,
        rest_requests,
        settings_writes,
        structured_updates,
        dangerous_requests,
        upgrades,
        refused_upgrades,
        connects,
        early_connects,
        taken_over,
        closed,
        publishes,
        delivered,
        dropped,
        dropped_bursts,
        most_connections,
        ..
    } = cloud.counters();
    let routes: Map<String, Value> =
        cloud.routes().map(|(route, count)| (route.to_owned(), json!(count))).collect();
    json!({
        "http_requests": http_requests, "sign_ins": sign_ins, "wrong_passwords": wrong_passwords,
        "refreshes": refreshes, "grants": grants, "rest_requests": rest_requests,
        "settings_writes": settings_writes, "structured_updates": structured_updates,
        "dangerous_requests": dangerous_requests, "upgrades": upgrades, "refused_upgrades": refused_upgrades,
        "connects": connects, "early_connects": early_connects, "taken_over": taken_over, "closed": closed,
        "publishes": publishes, "delivered": delivered, "dropped": dropped, "dropped_bursts": dropped_bursts,
        "most_connections": most_connections, "subscriptions": cloud.subscriptions(), "routes": routes,
    })
}

fn held(held: &HeldSettings) -> Value {
    json!({
        "setpoint_c": held.setpoint.as_degrees(), "mode": mode_name(held.mode), "locked": held.lock,
        "hold": held.hold, "fan": held.fan, "swing": [held.swing.0, held.swing.1],
        "brightness": [held.brightness.0, held.brightness.1],
    })
}

/// A command: its origin, the requested values, and its outcome.
pub(super) fn command(device: DeviceId, record: &CommandRecord) -> Map<String, Value> {
    let mut wanted = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            wanted.insert(name.into(), value);
        }
    };
    put("setpoint_c", record.setpoint.map(|setpoint| json!(setpoint.as_degrees())));
    put("mode", record.mode.map(|mode| json!(mode_name(mode))));
    put("locked", record.lock.map(|lock| json!(lock)));
    put("brightness", record.brightness.map(|(active, idle)| json!([active, idle])));
    let conn = match record.origin {
        Origin::Mqtt { conn } => Some(conn),
        _ => None,
    };
    let mut shown = Map::new();
    shown.insert("device".into(), json!(device.to_string()));
    shown.insert("at_s".into(), seconds(record.at.mono));
    shown.insert("taken_at_s".into(), seconds(record.taken_at.mono));
    shown.insert("origin".into(), json!(origin_name(record.origin)));
    shown.insert("conn".into(), json!(conn));
    shown.insert("request".into(), json!(record.request));
    shown.insert("outcome".into(), json!(if record.applied { "applied" } else { "refused" }));
    shown.insert("wanted".into(), Value::Object(wanted));
    shown.insert("held".into(), held(&record.held));
    shown
}

/// A fault that applies now or later. Its times count from the start of the cloud.
pub(super) fn fault(cloud: &Cloud, id: FaultId, window: &Window) -> Value {
    let until = (window.until != std::time::Duration::MAX).then(|| seconds(window.until));
    json!({
        "id": id.get(), "name": window.name, "what": format!("{:?}", window.fault), "from_s": seconds(window.from),
        "until_s": until, "times": window.times, "active": window.from <= cloud.age(),
    })
}

/// A planned incident.
pub(super) fn planned(id: FaultId, at: std::time::Duration, incident: &Incident) -> Value {
    json!({
        "id": id.get(), "what": incident.to_string(), "device": incident.device().map(|id| id.to_string()),
        "from_s": seconds(at), "active": false,
    })
}

/// A payload as text; invalid UTF-8 is replaced.
fn payload(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An event as one line of JSON.
pub(crate) fn event_json(number: u64, event: &Event) -> String {
    let mut shown = Map::new();
    shown.insert("number".into(), json!(number));
    let unix_ms = event.at.wall.as_millis();
    let (name, rest) = match &event.kind {
        EventKind::Request { route, path, status } => {
            ("request", json!({ "route": route, "path": path, "status": status }))
        }
        EventKind::SignedIn => ("signed-in", json!({})),
        EventKind::TokensRefreshed => ("tokens-refreshed", json!({})),
        EventKind::CredentialsIssued => ("credentials-issued", json!({})),
        EventKind::Opened { conn, account, signed_at } => {
            ("opened", json!({ "conn": conn, "account": account, "signed_at_unix_s": signed_at.as_secs() }))
        }
        EventKind::UpgradeRefused { status } => ("upgrade-refused", json!({ "status": status })),
        EventKind::Connected { conn, client, keep_alive, clean_session } => (
            "connected",
            json!({
                "conn": conn, "client": client, "keep_alive_s": keep_alive, "clean_session": clean_session,
            }),
        ),
        EventKind::Closed { conn, by_broker, reason } => (
            "closed",
            json!({ "conn": conn, "by_broker": by_broker.map(closing_name), "reason": reason.name() }),
        ),
        EventKind::Subscribed { conn, filters } => {
            let filters: Vec<Value> = filters
                .iter()
                .map(|(filter, granted)| json!({ "filter": filter, "granted": granted }))
                .collect();
            ("subscribed", json!({ "conn": conn, "filters": filters }))
        }
        EventKind::Published { conn, topic, qos, payload: bytes, accepted } => (
            "published",
            json!({
                "conn": conn, "topic": topic, "qos": qos, "payload": payload(bytes), "accepted": accepted,
            }),
        ),
        EventKind::Delivered { topic, payload: bytes, packets } => {
            ("delivered", json!({ "topic": topic, "payload": payload(bytes), "packets": packets }))
        }
        EventKind::Command { device, record } => ("command", Value::Object(command(*device, record))),
        EventKind::FaultAdded { id } => ("fault-added", json!({ "fault": id.get() })),
        EventKind::FaultEnded { id } => ("fault-ended", json!({ "fault": id.get() })),
        EventKind::Incident { what, device } => {
            ("incident", json!({ "what": what, "device": device.map(|id| id.to_string()) }))
        }
        EventKind::RoomSet { device, celsius } => {
            ("room-set", json!({ "device": device.to_string(), "room_c": celsius }))
        }
        EventKind::WeatherSet { home } => ("weather-set", json!({ "home": home })),
        EventKind::FirmwareOffered { device, version } => {
            ("firmware-offered", json!({ "device": device.to_string(), "offer": version }))
        }
        _ => ("other", json!({})),
    };
    shown.insert("event".into(), json!(name));
    shown.insert("at_s".into(), seconds(event.at.mono));
    shown.insert("unix_ms".into(), json!(unix_ms));
    if let Value::Object(rest) = rest {
        for (name, value) in rest {
            // The event's own time is that of the command.
            shown.entry(name).or_insert(value);
        }
    }
    Value::Object(shown).to_string()
}
