//! `mysa history`.

use mysa_proto::rest::{self, SetpointHistory, StateHistory};
use mysa_proto::{Celsius, DeviceId, Mode, RawJson, UnixTime};
use mysa_tokio::{DeviceView, Error, RequestError};
use serde_json::{Map, Value as Json};
use time::{Date, Duration};

use crate::args::History;
use crate::commands::energy::parse_date;
use crate::commands::raw;
use crate::output::record::{self, Record, Value};
use crate::output::table;
use crate::output::temperature;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::cloud::{Cloud, Context, is_web_page, unreadable};
use crate::support::config::Unit;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::homes::{HomeDirectory, LocalTime};

/// Number of days without an option.
const DEFAULT_DAYS: u16 = 7;
/// Maximum days on the older route, which needs one request per day.
const MAX_SINGLE_DAYS: i64 = 31;
/// The cloud may count the newest change to a second that this computer has not reached.
const AHEAD_SECS: i64 = 60;

/// Source of a history.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Route {
    /// All settings, with the authors by name.
    State,
    /// Setpoints only, with the authors by number.
    Setpoints,
}

/// A change of one setting.
#[derive(Clone, Debug, PartialEq)]
struct SettingChange {
    at: Option<UnixTime>,
    /// Name of the setting; one that this program does not know has the name of the service.
    setting: String,
    before: Option<SettingValue>,
    after: Option<SettingValue>,
    /// Author as the service names it.
    source: Option<Json>,
    author: Option<&'static str>,
    extra: Map<String, Json>,
}

/// Value of a setting.
#[derive(Clone, Debug, PartialEq)]
enum SettingValue {
    Setpoint(Celsius),
    Mode(Mode),
    Other(Json),
}

pub(crate) async fn run(terminal: &Terminal, context: &Context, args: &History) -> Result<()> {
    let since = match args.since.as_deref() {
        Some(text) => Some(
            parse_date(text)
                .ok_or_else(|| Failure::usage(format!("invalid day '{text}': expected YYYY-MM-DD")))?,
        ),
        None => None,
    };
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    let view = cloud.only(&args.device)?;
    let local = HomeDirectory::local_time_of(terminal, &cloud, &view).await;
    let now = timefmt::now();
    let days = i64::from(args.days.unwrap_or(DEFAULT_DAYS)) - 1;
    let from = since.unwrap_or_else(|| local.zone.day(now).saturating_sub(Duration::days(days)));
    let found = read(terminal, &cloud, &view.id, &local, from, now).await;
    cloud.close(terminal).await;
    let (route, changes) = found?;
    if terminal.json {
        return terminal.line(document(&view, &local, from, route, &changes).to_json());
    }
    if changes.is_empty() {
        terminal.say(format!("{}: no changes since {from}", view.label()));
        return Ok(());
    }
    let rows: Vec<Vec<String>> =
        changes.iter().map(|change| change.row(&local, context.config.unit)).collect();
    for line in table::render(&["TIME", "SETTING", "BEFORE", "AFTER", "BY"], &rows, terminal.table_width()) {
        terminal.line(line)?;
    }
    Ok(())
}

/// Reads the changes since the start of a local day, oldest first. If the newer host does not have them, the older route
/// has the setpoints.
async fn read(
    terminal: &Terminal,
    cloud: &Cloud,
    id: &DeviceId,
    local: &LocalTime,
    from: Date,
    now: UnixTime,
) -> Result<(Route, Vec<SettingChange>)> {
    let start = local.zone.start(from);
    let end = UnixTime::from_secs(now.as_secs() + AHEAD_SECS);
    if start > end {
        return Err(Failure::usage(format!("{from} is in the future")));
    }
    let answer = cloud.client.request(rest::state_history(*id, start, end)).await;
    let missing = match answer {
        Ok(response) => match StateHistory::decode(&response.body) {
            Ok(history) => return Ok((Route::State, of_state(history, start))),
            // A web page answers every route.
            Err(error) => match unreadable(&response.body, error) {
                failure if failure.exit == Exit::Unreachable => return Err(failure),
                failure => failure.to_string(),
            },
        },
        Err(Error::Request(RequestError::Refused { status, body, .. }))
            if !matches!(status, 401 | 429) && !is_web_page(&body) =>
        {
            format!("HTTP {status}")
        }
        Err(error) => return Err(raw::failure(error)),
    };
    let today = local.zone.day(now);
    let first = from.max(today.saturating_sub(Duration::days(MAX_SINGLE_DAYS - 1)));
    terminal.say(format!(
        "the history of all settings cannot be read ({missing}); setpoints since {first} follow"
    ));
    let mut changes = Vec::new();
    let mut day = first;
    while day <= today {
        terminal.progress(&format!("reading {day}"));
        let noon = UnixTime::from_secs(local.zone.start(day).as_secs() + 12 * 3_600);
        let body = cloud.read(rest::energy_setpoints(*id, noon, local.zone.name())).await?;
        let history = SetpointHistory::decode(&body).map_err(|error| unreadable(&body, error))?;
        changes.extend(of_setpoints(history));
        let next = day.saturating_add(Duration::DAY);
        if next <= day {
            break;
        }
        day = next;
    }
    terminal.progress("");
    changes.sort_by_key(|change| change.at);
    Ok((Route::Setpoints, changes))
}

/// Changes of the newer route. The value before is that of the previous change of the same setting.
fn of_state(history: StateHistory, start: UnixTime) -> Vec<SettingChange> {
    let mut changes = Vec::new();
    for (field, mut points) in history.fields {
        points.sort_by_key(|point| point.at);
        let mut before = None;
        for point in points {
            let (setting, after) = amount(&field, point.value);
            if point.at.is_none_or(|at| at >= start) {
                changes.push(SettingChange {
                    at: point.at,
                    setting,
                    before: before.clone(),
                    after: after.clone(),
                    author: point.source.as_deref().and_then(author_by_name),
                    source: point.source.map(Json::from),
                    extra: point.extra,
                });
            }
            before = after;
        }
    }
    changes.sort_by_key(|change| change.at);
    changes
}

fn amount(field: &str, value: Json) -> (String, Option<SettingValue>) {
    let degrees = || {
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
        Celsius::from_degrees(number).map(SettingValue::Setpoint)
    };
    let (setting, known) = match field {
        "heatSetpoint" => ("setpoint", degrees()),
        "coolSetpoint" => ("cool setpoint", degrees()),
        "mode" => ("mode", value.as_i64().map(|number| SettingValue::Mode(Mode::from_structured(number)))),
        other => (other, None),
    };
    (setting.to_owned(), known.or_else(|| (!value.is_null()).then_some(SettingValue::Other(value))))
}

fn of_setpoints(history: SetpointHistory) -> impl Iterator<Item = SettingChange> {
    history.changes.into_iter().map(|change| SettingChange {
        at: change.at,
        setting: "setpoint".to_owned(),
        before: change.previous.map(SettingValue::Setpoint),
        after: change.next.map(SettingValue::Setpoint),
        author: change.source.and_then(author_by_number),
        source: change.source.map(Json::from),
        extra: change.extra,
    })
}

/// Author by the names of the newer route. It does not distinguish apps.
fn author_by_name(source: &str) -> Option<&'static str> {
    match source {
        "app" => Some("app"),
        "device" => Some("thermostat"),
        "schedule" => Some("schedule"),
        "shortcuts" => Some("shortcut"),
        _ => None,
    }
}

/// Author by the numbers of the older route, where the sources agree.
fn author_by_number(source: i64) -> Option<&'static str> {
    match source {
        3 => Some("app"),
        1 => Some("thermostat"),
        _ => None,
    }
}

impl SettingChange {
    fn row(&self, local: &LocalTime, unit: Unit) -> Vec<String> {
        let show =
            |amount: &Option<SettingValue>| amount.as_ref().map_or_else(|| "-".into(), |one| one.show(unit));
        let by = match (self.author, &self.source) {
            (Some(author), _) => author.to_owned(),
            (None, Some(Json::String(source))) => source.clone(),
            (None, Some(source)) => format!("source {source}"),
            (None, None) => "-".to_owned(),
        };
        vec![
            self.at.map_or_else(|| "-".into(), |at| local.zone.show(at)),
            self.setting.clone(),
            show(&self.before),
            show(&self.after),
            by,
        ]
    }

    fn record(&self, local: &LocalTime) -> Record {
        let mut record = Record::new();
        record.put("time", self.at.map(|at| local.zone.iso(at))).put("setting", self.setting.as_str());
        let is_setpoint = self.setting.ends_with("setpoint");
        for (name, amount) in [("before", &self.before), ("after", &self.after)] {
            let name = if is_setpoint { format!("{name}_c") } else { name.to_owned() };
            record.put(&name, amount.as_ref().map_or(Value::Null, SettingValue::value));
        }
        record.put("by", self.author).put("source", self.source.as_ref().map_or(Value::Null, of_json));
        if !self.extra.is_empty() {
            record.put("extra", of_json(&Json::Object(self.extra.clone())));
        }
        record
    }
}

impl SettingValue {
    fn show(&self, unit: Unit) -> String {
        match self {
            Self::Setpoint(celsius) => temperature::show(*celsius, unit),
            Self::Mode(mode) => mode.to_string(),
            Self::Other(Json::String(text)) => text.clone(),
            Self::Other(value) => value.to_string(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Setpoint(celsius) => celsius.as_degrees().into(),
            Self::Mode(mode) => mode.to_string().into(),
            Self::Other(value) => of_json(value),
        }
    }
}

fn of_json(value: &Json) -> Value {
    RawJson::new(&value.to_string()).map_or(Value::Null, Value::from_raw)
}

fn document(
    view: &DeviceView,
    local: &LocalTime,
    from: Date,
    route: Route,
    changes: &[SettingChange],
) -> Record {
    let mut document = record::document();
    document.put("id", view.id.as_str()).put("name", view.name.as_deref());
    document.put("time_zone", local.zone.name()).put("time_zone_known", local.unread.is_none());
    document.put("since", from.to_string());
    let route = match route {
        Route::State => "state-history",
        Route::Setpoints => "setpoints",
    };
    document.put("route", route);
    let changes = changes.iter().map(|change| Value::Record(change.record(local)));
    document.put("changes", changes.collect::<Vec<_>>());
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::time_zone::Zone;

    fn local(zone: &str) -> LocalTime {
        LocalTime { zone: Zone::named(zone).unwrap(), unread: None }
    }

    fn state(body: &str, start: i64) -> Vec<SettingChange> {
        of_state(StateHistory::decode(body.as_bytes()).unwrap(), UnixTime::from_secs(start))
    }

    #[test]
    fn changes_are_in_order_with_the_value_before() {
        let body = r#"{
            "mode":[{"timestamp":1767322245,"value":0,"source":"shortcuts"}],
            "heatSetpoint":[{"timestamp":1767322745,"value":17.5,"source":"schedule"},
                {"timestamp":1767322145,"value":19,"source":"device"},
                {"timestamp":1767322445,"value":"21","source":"app","who":"x"}],
            "eco":[{"timestamp":1767322545,"value":{"on":true},"source":"robot"}]}"#;
        let changes = state(body, 1_767_322_145);
        let rows: Vec<String> = changes
            .iter()
            .map(|change| change.row(&local("America/Halifax"), Unit::Celsius).join(" | "))
            .collect();
        assert_eq!(
            rows,
            [
                "2026-01-01 22:49:05 -04:00 | setpoint | - | 19.0 °C | thermostat",
                "2026-01-01 22:50:45 -04:00 | mode | - | off | shortcut",
                "2026-01-01 22:54:05 -04:00 | setpoint | 19.0 °C | 21.0 °C | app",
                "2026-01-01 22:55:45 -04:00 | eco | - | {\"on\":true} | robot",
                "2026-01-01 22:59:05 -04:00 | setpoint | 21.0 °C | 17.5 °C | schedule",
            ]
        );
        let json = changes[2].record(&local("Pacific/Kiritimati")).to_json();
        assert_eq!(
            json,
            r#"{"time":"2026-01-02T16:54:05+14:00","setting":"setpoint","before_c":19.0,"after_c":21.0,"by":"app","source":"app","extra":{"who":"x"}}"#
        );
        // Changes before the first day only provide the previous value.
        let later = state(body, 1_767_322_700);
        assert_eq!(
            (later.len(), &later[0].before),
            (1, &Some(SettingValue::Setpoint(Celsius::from_hundredths(2_100))))
        );
    }

    #[test]
    fn numbers_of_authors_are_named_where_witnesses_agree() {
        let body = br#"[{"Prev":18,"Next":20.5,"Source":3,"SourceTime":1767315845},
            {"Prev":20.5,"Next":17,"Source":1,"SourceTime":1767319445},{"Prev":17,"Next":19,"Source":0}]"#;
        let changes: Vec<SettingChange> = of_setpoints(SetpointHistory::decode(body).unwrap()).collect();
        let rows = changes.iter().map(|change| change.row(&local("UTC"), Unit::Fahrenheit));
        let rows: Vec<String> = rows.map(|row| row[2..].join(" | ")).collect();
        assert_eq!(
            rows,
            ["64.4 °F | 68.9 °F | app", "68.9 °F | 62.6 °F | thermostat", "62.6 °F | 66.2 °F | source 0"]
        );
        assert_eq!(changes[2].row(&local("UTC"), Unit::Celsius)[0], "-");
    }
}
