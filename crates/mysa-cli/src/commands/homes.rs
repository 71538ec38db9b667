//! `mysa homes`.

use std::collections::BTreeSet;

use mysa_proto::rest::Home;
use mysa_proto::{DeviceId, RawJson};
use mysa_tokio::DeviceView;

use crate::output::record::{self, Record, Value};
use crate::output::redact::Redaction;
use crate::output::table;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::cloud::{Cloud, Context};
use crate::support::exit::Result;
use crate::support::homes::{HomeDirectory, Rate};
use crate::support::time_zone::Zone;

/// Zone of a home with its thermostats. `None` for the thermostats that are in no zone.
struct Group<'a> {
    zone: Option<&'a mysa_proto::rest::Zone>,
    devices: Vec<&'a DeviceView>,
}

pub(crate) async fn run(terminal: &Terminal, context: &Context, redaction: &mut Redaction) -> Result<()> {
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    let views = cloud.client.devices();
    let directory = read(terminal, &cloud).await;
    cloud.close(terminal).await;
    let directory = directory?;
    let zones = directory.time_zones(views.iter().map(|view| &view.id));
    for name in zones.into_iter().filter(|name| Zone::named(name).is_none()) {
        terminal.say(format!("the time zone '{name}' is unknown"));
    }
    if terminal.json {
        return terminal.line(document(&directory, &views, redaction).to_json());
    }
    for line in table::render(&HEADS, &rows(&directory, &views), terminal.table_width()) {
        terminal.line(line)?;
    }
    if !directory.homes.rejected.is_empty() {
        terminal.say(format!("homes that could not be read: {}; see --json", directory.homes.rejected.len()));
    }
    Ok(())
}

async fn read(terminal: &Terminal, cloud: &Cloud) -> Result<HomeDirectory> {
    let mut directory = HomeDirectory::default();
    directory.read_homes(cloud).await?;
    if let Err(failure) = directory.read_records(cloud).await {
        terminal.say(format!("the time zones cannot be read: {failure}"));
    }
    Ok(directory)
}

const HEADS: [&str; 5] = ["HOME", "TIME ZONE", "RATE", "ZONE", "THERMOSTATS"];

fn rows(directory: &HomeDirectory, views: &[DeviceView]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for home in &directory.homes.homes {
        let mut first = vec![
            home.name.clone().unwrap_or_else(|| home.id.to_string()),
            or_dash(time_zones(directory, home, views).join(", ")),
            Rate::of(home).map_or_else(|| "-".into(), |rate| rate.describe()),
        ];
        let mut groups = groups(directory, home, views);
        if groups.is_empty() {
            groups.push(Group { zone: None, devices: Vec::new() });
        }
        for group in groups {
            let mut row = std::mem::replace(&mut first, vec![String::new(); 3]);
            let name =
                |zone: &mysa_proto::rest::Zone| zone.name.clone().unwrap_or_else(|| zone.id.to_string());
            row.push(group.zone.map_or_else(|| "-".into(), name));
            row.push(names(&group.devices));
            rows.push(row);
        }
    }
    let without_home = without_home(directory, views);
    if !without_home.is_empty() {
        let zones = directory.time_zones(without_home.iter().map(|view| &view.id)).join(", ");
        rows.push(vec!["-".into(), or_dash(zones), "-".into(), "-".into(), names(&without_home)]);
    }
    rows
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

fn names(devices: &[&DeviceView]) -> String {
    or_dash(devices.iter().map(|view| view.label()).collect::<Vec<_>>().join(", "))
}

/// Thermostats whose home is not among those of the account.
fn without_home<'a>(directory: &HomeDirectory, views: &'a [DeviceView]) -> Vec<&'a DeviceView> {
    views.iter().filter(|view| directory.home_of(&view.id).is_none()).collect()
}

fn of_home<'a>(directory: &HomeDirectory, home: &Home, views: &'a [DeviceView]) -> Vec<&'a DeviceView> {
    views.iter().filter(|view| directory.home_of(&view.id).is_some_and(|of| of.id == home.id)).collect()
}

fn time_zones<'a>(directory: &'a HomeDirectory, home: &Home, views: &'a [DeviceView]) -> Vec<&'a str> {
    directory.time_zones(of_home(directory, home, views).into_iter().map(|view| &view.id))
}

/// Zones of a home with their thermostats, in the order of the cloud.
fn groups<'a>(directory: &HomeDirectory, home: &'a Home, views: &'a [DeviceView]) -> Vec<Group<'a>> {
    let inside = of_home(directory, home, views);
    let mut placed: BTreeSet<DeviceId> = BTreeSet::new();
    let mut groups = Vec::new();
    for zone in &home.zones {
        let is_in = |view: &&DeviceView| match &zone.devices {
            Some(listed) => listed.contains(&view.id),
            None => directory.record(&view.id).and_then(|record| record.zone.as_ref()) == Some(&zone.id),
        };
        let devices: Vec<&DeviceView> = inside.iter().copied().filter(is_in).collect();
        placed.extend(devices.iter().map(|view| view.id));
        groups.push(Group { zone: Some(zone), devices });
    }
    let rest: Vec<&DeviceView> = inside.into_iter().filter(|view| !placed.contains(&view.id)).collect();
    if !rest.is_empty() {
        groups.push(Group { zone: None, devices: rest });
    }
    groups
}

fn document(directory: &HomeDirectory, views: &[DeviceView], redaction: &mut Redaction) -> Record {
    let mut document = record::document();
    let homes = directory.homes.homes.iter().map(|home| {
        let mut record = Record::new();
        record.put("id", home.id.as_str()).put("name", home.name.as_deref());
        let zones = time_zones(directory, home, views);
        // Thermostats of one home can be in two time zones only by mistake.
        let single = if let [only] = zones.as_slice() { Some(*only) } else { None };
        let local = single.and_then(Zone::named);
        record.put("time_zone", single);
        record.put_some("time_zones", (zones.len() > 1).then(|| texts(&zones)));
        record.put("local_time", local.map(|zone| zone.iso(timefmt::now())));
        record.put("rate_per_kwh", home.energy_rate).put("currency", home.currency.as_deref());
        let groups = groups(directory, home, views);
        let zones = groups.iter().filter_map(|group| {
            let zone = group.zone?;
            let mut record = Record::new();
            record.put("id", zone.id.as_str()).put("name", zone.name.as_deref());
            record.put("devices", devices(&group.devices));
            put_extra(&mut record, &zone.extra, redaction);
            Some(Value::Record(record))
        });
        record.put("zones", zones.collect::<Vec<_>>());
        let outside = groups.iter().filter(|group| group.zone.is_none()).flat_map(|group| &group.devices);
        record.put("devices_without_zone", devices(&outside.copied().collect::<Vec<_>>()));
        put_extra(&mut record, &home.extra, redaction);
        Value::Record(record)
    });
    document.put("homes", homes.collect::<Vec<_>>());
    document.put("devices_without_home", devices(&without_home(directory, views)));
    if !directory.homes.rejected.is_empty() {
        let rejected = directory.homes.rejected.iter().map(|value| private(value, redaction));
        document.put("unreadable", rejected.collect::<Vec<_>>());
    }
    put_extra(&mut document, &directory.homes.extra, redaction);
    document
}

fn devices(views: &[&DeviceView]) -> Vec<Value> {
    let device = |view: &&DeviceView| {
        let mut record = Record::new();
        record.put("id", view.id.as_str()).put("name", view.name.as_deref());
        Value::Record(record)
    };
    views.iter().map(device).collect()
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::from(*text)).collect()
}

/// Adds the members that this version does not know, under `extra`.
fn put_extra(
    record: &mut Record,
    extra: &serde_json::Map<String, serde_json::Value>,
    redaction: &mut Redaction,
) {
    if !extra.is_empty() {
        record.put("extra", private(&serde_json::Value::Object(extra.clone()), redaction));
    }
}

/// Converts JSON of the cloud, with private values replaced.
fn private(value: &serde_json::Value, redaction: &mut Redaction) -> Value {
    let text = value.to_string();
    let Ok(raw) = RawJson::new(&text) else { return Value::Null };
    let mut wrapper = Record::new();
    wrapper.put("value", Value::from_raw(raw));
    redaction.record(wrapper).into_fields().next().map_or(Value::Null, |(_, value)| value)
}
