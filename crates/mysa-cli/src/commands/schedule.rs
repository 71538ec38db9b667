//! `mysa schedule`: the weekly schedule of a thermostat. It is only read.

use mysa_proto::rest::{self, LegacySchedule, ReadRequest, ResourceId, Schedules};
use mysa_proto::{Celsius, Family, Mode, ModeTable, RawJson, UnixTime};
use mysa_tokio::{DeviceView, Response};
use serde_json::{Map, Value as Json};

use crate::args::Schedule;
use crate::commands::{hold, raw};
use crate::output::record::{self, Record, Value, printable};
use crate::output::redact::Redaction;
use crate::output::table;
use crate::output::temperature;
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view;
use crate::support::cloud::{Cloud, Context, is_missing, unreadable};
use crate::support::config::Unit;
use crate::support::exit::Result;
use crate::support::homes::HomeDirectory;
use crate::support::time_zone::Zone;

/// A schedule as it is shown.
#[derive(Debug)]
struct Shown {
    id: Option<String>,
    name: Option<String>,
    events: Vec<Event>,
    /// Further members, for programs.
    more: Record,
}

/// An event of a schedule.
#[derive(Debug, Default)]
struct Event {
    /// 0 for Sunday to 6.
    weekday: Option<u8>,
    second_of_day: Option<u32>,
    setpoint: Option<Celsius>,
    cool_setpoint: Option<Celsius>,
    mode: Option<Mode>,
    /// Further members, for programs.
    more: Record,
    /// Last time that it was due, and the next one.
    last: Option<UnixTime>,
    next: Option<UnixTime>,
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    args: &Schedule,
    redaction: &mut Redaction,
) -> Result<()> {
    let mut settings = context.settings();
    settings.live_reports = false;
    let table = settings.modes;
    let cloud = context.connect(terminal, settings).await?;
    let result = show(terminal, &cloud, &args.device, (context.config.unit, &table), redaction).await;
    cloud.close(terminal).await;
    result
}

async fn show(
    terminal: &Terminal,
    cloud: &Cloud,
    device: &str,
    (unit, table): (Unit, &ModeTable),
    redaction: &mut Redaction,
) -> Result<()> {
    let view = cloud.only(device)?;
    let mut schedules = read(cloud, &view, table, redaction).await?;
    let zone = HomeDirectory::local_time_of(terminal, cloud, &view).await.zone;
    // Without an answer, the schedule is still shown.
    let hold = match hold::has_hold(&view) {
        true => hold::read(cloud, &view).await.unwrap_or_else(|failure| {
            terminal.say(format!("the hold cannot be read, and may suspend the schedule: {failure}"));
            None
        }),
        false => None,
    };
    let now = timefmt::now();
    let marks = place(&mut schedules, &zone, now);
    if terminal.json {
        let mut document = record::document();
        document.put("id", view.id.as_str()).put("name", view.name.as_deref());
        document.put("time_zone", zone.name()).put("now", zone.iso(now));
        if hold::has_hold(&view) {
            hold::put(&mut document, hold, &zone);
        }
        let schedules = schedules.iter().map(|schedule| Value::Record(record(schedule, &zone, marks)));
        document.put("schedules", schedules.collect::<Vec<_>>());
        return terminal.line(document.to_json());
    }
    let label = format!("{} ({})", view::label(&view), printable(view.model.as_str()));
    if schedules.is_empty() {
        return terminal.line(format!("{label}: no schedule"));
    }
    for schedule in &schedules {
        let name = schedule.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("schedule");
        terminal.line(format!("{label}: {}, times in {}", printable(name), zone.name()))?;
        let rows: Vec<Vec<String>> =
            schedule.events.iter().map(|event| row(event, &zone, marks, unit)).collect();
        for line in table::render(&["DAY", "TIME", "SET", "MODE", ""], &rows, terminal.table_width()) {
            terminal.line(line)?;
        }
    }
    match hold.map(|field| field.value) {
        Some(held @ (mysa_proto::Hold::Permanent | mysa_proto::Hold::Until(_))) => {
            terminal.line(format!("the schedule is suspended by a hold: {}", view::hold(held, Some(&zone))))
        }
        _ => Ok(()),
    }
}

/// Reads the schedules of a thermostat, by the structured service or else by the legacy route.
async fn read(
    cloud: &Cloud,
    view: &DeviceView,
    table: &ModeTable,
    redaction: &mut Redaction,
) -> Result<Vec<Shown>> {
    let home = view.home.as_deref().and_then(ResourceId::new);
    if let Some(home) = home
        && let Some(response) = ask(cloud, rest::schedules(&home)).await?
    {
        let all = Schedules::decode(&response.body).map_err(|error| unreadable(&response.body, error))?;
        let attached = all.schedules.into_iter().filter(|one| one.devices.contains(&view.id));
        let shown: Vec<Shown> = attached.map(|one| structured(one, redaction)).collect();
        if !shown.is_empty() {
            return Ok(shown);
        }
    }
    match ask(cloud, rest::schedules_v2(view.id)).await? {
        Some(response) => {
            let schedule =
                LegacySchedule::decode(&response.body).map_err(|error| unreadable(&response.body, error))?;
            Ok(vec![legacy(schedule, view.model.family(), table, redaction)])
        }
        None => Ok(Vec::new()),
    }
}

/// Reads a route; `None` if it has nothing, which it answers with 404.
async fn ask(cloud: &Cloud, request: ReadRequest) -> Result<Option<Response>> {
    match cloud.client.request(request).await {
        Ok(response) => Ok(Some(response)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(raw::failure(error)),
    }
}

fn structured(schedule: rest::Schedule, redaction: &mut Redaction) -> Shown {
    let mut more = Record::new();
    more.put_some("reusable", schedule.reusable).put_some("device_type", schedule.device_type);
    more.put_some("created", schedule.created.map(timefmt::iso));
    more.put_some("updated", schedule.updated.map(timefmt::iso));
    put_unknown(&mut more, "other", schedule.extra, redaction);
    let events = schedule.events.into_iter().map(|event| {
        let mut more = Record::new();
        more.put_some("client_key", event.client_key);
        put_unknown(&mut more, "state", event.state, redaction);
        put_unknown(&mut more, "other", event.extra, redaction);
        Event {
            weekday: event.weekday,
            second_of_day: event.second_of_day,
            setpoint: event.heat_setpoint,
            cool_setpoint: event.cool_setpoint,
            mode: event.mode,
            more,
            ..Event::default()
        }
    });
    let events = events.collect();
    Shown { id: Some(schedule.id.as_str().to_owned()), name: schedule.name, events, more }
}

fn legacy(
    schedule: LegacySchedule,
    family: Option<Family>,
    table: &ModeTable,
    redaction: &mut Redaction,
) -> Shown {
    let mut more = Record::new();
    more.put_some("version", schedule.version);
    put_unknown(&mut more, "other", schedule.extra, redaction);
    let events = schedule.events.into_iter().map(|event| {
        let mode = event.mode(table, family);
        let mut more = Record::new();
        more.put("key", event.key);
        more.put_some("fan", event.fan).put_some("brightness", event.brightness);
        more.put_some("tracked_sensor", event.tracking);
        more.put_some("lower_c", event.lower.map(Celsius::as_degrees));
        more.put_some("upper_c", event.upper.map(Celsius::as_degrees));
        Event {
            weekday: Some(event.weekday),
            second_of_day: Some(u32::from(event.minute) * 60),
            setpoint: event.setpoint,
            mode,
            more,
            ..Event::default()
        }
    });
    let events = events.collect();
    Shown { id: schedule.id.map(|id| id.as_str().to_owned()), name: None, events, more }
}

/// Adds members that this program does not know, as far as they are not private.
fn put_unknown(record: &mut Record, name: &str, members: Map<String, Json>, redaction: &mut Redaction) {
    if members.is_empty() {
        return;
    }
    let text = Json::Object(members).to_string();
    if let Ok(json) = RawJson::new(&text) {
        let mut wrapper = Record::new();
        wrapper.put(name, Value::from_raw(json));
        for (name, value) in redaction.record(wrapper).into_fields() {
            record.put(&name, value);
        }
    }
}

/// Times of the events in force and next.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    in_force: Option<UnixTime>,
    next: Option<UnixTime>,
}

/// Sorts the events by their time of the week and finds when each was due and will be due.
fn place(schedules: &mut [Shown], zone: &Zone, now: UnixTime) -> Marks {
    let today = zone.day(now);
    let mut marks = Marks::default();
    for schedule in schedules {
        schedule
            .events
            .sort_by_key(|event| (event.weekday.unwrap_or(u8::MAX), event.second_of_day.unwrap_or(u32::MAX)));
        for event in &mut schedule.events {
            let (Some(weekday), Some(second)) = (event.weekday, event.second_of_day) else { continue };
            // A clock change can move a time past the end of a week.
            let days = (-8..=8).map(|days| today.saturating_add(time::Duration::days(days)));
            let days = days.filter(|day| day.weekday().number_days_from_sunday() == weekday);
            for at in days.map(|day| zone.at(day, second)) {
                if at <= now {
                    event.last = event.last.max(Some(at));
                } else {
                    event.next = Some(event.next.map_or(at, |next| next.min(at)));
                }
            }
            marks.in_force = marks.in_force.max(event.last);
            marks.next = match (marks.next, event.next) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
    marks
}

impl Event {
    fn is_in_force(&self, marks: Marks) -> bool {
        self.last.is_some() && self.last == marks.in_force
    }

    fn is_next(&self, marks: Marks) -> bool {
        self.next.is_some() && self.next == marks.next
    }

    fn time(&self) -> Option<String> {
        let second = self.second_of_day?;
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        Some(match second % 60 {
            0 => format!("{hour:02}:{minute:02}"),
            second => format!("{hour:02}:{minute:02}:{second:02}"),
        })
    }
}

fn row(event: &Event, zone: &Zone, marks: Marks, unit: Unit) -> Vec<String> {
    let shown = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let day = event.weekday.and_then(|day| DAYS.get(usize::from(day))).map(|day| (*day).to_owned());
    let show = |celsius| temperature::show_exactly(celsius, unit);
    let setpoint = match (event.setpoint, event.cool_setpoint) {
        (Some(heat), Some(cool)) if heat != cool => Some(format!("{} to {}", show(heat), show(cool))),
        (heat, cool) => heat.or(cool).map(show),
    };
    let mut notes = Vec::new();
    if event.is_in_force(marks) {
        notes.push("in force now".to_owned());
    }
    if let Some(next) = event.next.filter(|_| event.is_next(marks)) {
        notes.push(format!("next, {}", zone.show(next)));
    }
    vec![
        shown(day),
        shown(event.time()),
        shown(setpoint),
        shown(event.mode.map(|mode| mode.to_string())),
        notes.join("; "),
    ]
}

fn record(schedule: &Shown, zone: &Zone, marks: Marks) -> Record {
    let mut record = Record::new();
    record.put("id", schedule.id.as_deref()).put("name", schedule.name.as_deref());
    let events = schedule.events.iter().map(|event| {
        let mut record = Record::new();
        record.put("weekday", event.weekday).put("time", event.time());
        record.put("setpoint_c", event.setpoint.map(Celsius::as_degrees));
        record.put_some("cool_setpoint_c", event.cool_setpoint.map(Celsius::as_degrees));
        record.put("mode", event.mode.map(|mode| mode.to_string()));
        record.put("in_force", event.is_in_force(marks)).put("is_next", event.is_next(marks));
        record.put("next", event.next.map(|at| zone.iso(at)));
        for (name, value) in event.more.clone().into_fields() {
            record.put(&name, value);
        }
        Value::Record(record)
    });
    record.put("events", events.collect::<Vec<_>>());
    for (name, value) in schedule.more.clone().into_fields() {
        record.put(&name, value);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thursday, 1 January 2026, 23:04:05 in Halifax.
    const NOW: UnixTime = UnixTime::from_secs(1_767_323_045);

    fn schedules(body: &str) -> Vec<Shown> {
        let mut redaction = Redaction::new(false);
        let all = Schedules::decode(body.as_bytes()).unwrap();
        all.schedules.into_iter().map(|one| structured(one, &mut redaction)).collect()
    }

    fn halifax() -> Zone {
        Zone::named("America/Halifax").unwrap()
    }

    #[test]
    fn the_event_in_force_and_the_next_one_are_marked() {
        let mut all = schedules(
            r#"[{"id":"s1","events":[
                {"dayOfWeek":"5","executionTime":"06:30:00","state":{"targetHeat":{"setpoint":21},"modes":{"mode":4}}},
                {"dayOfWeek":4,"executionTime":"22:00:00","state":{"targetHeat":{"setpoint":17}}},
                {"dayOfWeek":"9","executionTime":"06:30:00","state":{}}]},
               {"id":"s2","events":[{"dayOfWeek":0,"executionTime":"08:00:30","state":{}}]}]"#,
        );
        let zone = halifax();
        let marks = place(&mut all, &zone, NOW);
        let rows: Vec<_> = all
            .iter()
            .flat_map(|one| &one.events)
            .map(|event| row(event, &zone, marks, Unit::Celsius))
            .collect();
        assert_eq!(
            rows,
            [
                ["Thu", "22:00", "17.0 °C", "-", "in force now"],
                ["Fri", "06:30", "21.0 °C", "heat", "next, 2026-01-02 06:30:00 -04:00"],
                ["-", "06:30", "-", "-", ""],
                ["Sun", "08:00:30", "-", "-", ""],
            ]
        );
        // A single event is both the last and the next one, a week apart; an event that cannot be read is
        // neither.
        let mut one = schedules(
            r#"[{"id":"s","events":[{"dayOfWeek":4,"executionTime":"23:04:05"},{"executionTime":"soon"}]}]"#,
        );
        let marks = place(&mut one, &zone, NOW);
        assert_eq!(
            (marks.in_force, marks.next),
            (Some(NOW), Some(UnixTime::from_secs(NOW.as_secs() + 604_800)))
        );
        assert!(!one[0].events[1].is_in_force(marks) && !one[0].events[1].is_next(marks));
        assert!(!Event::default().is_next(Marks::default()));
    }

    #[test]
    fn a_clock_change_keeps_the_local_time_of_an_event() {
        // Saturday, 7 March 2026, noon; on Sunday the clock goes from 2:00 to 3:00.
        let now = UnixTime::from_secs(1_772_899_200);
        let mut all = schedules(r#"[{"id":"s","events":[{"dayOfWeek":0,"executionTime":"08:00:00"}]}]"#);
        let marks = place(&mut all, &halifax(), now);
        assert_eq!(marks.next.map(|at| halifax().iso(at)).as_deref(), Some("2026-03-08T08:00:00-03:00"));
        assert_eq!(marks.in_force.map(|at| halifax().iso(at)).as_deref(), Some("2026-03-01T08:00:00-04:00"));
    }

    #[test]
    fn unknown_members_are_kept_and_private_ones_are_not() {
        let mut all = schedules(
            r#"[{"id":"s1","name":"Week","color":"blue","owner":"a0b1c2d3e4f6","events":[
                {"dayOfWeek":1,"executionTime":"07:30:00","clientKey":"app","fade":[2,{"x":null}],
                 "state":{"targetHeat":{"setpoint":20.5},"fog":true}}, "odd"]}]"#,
        );
        let zone = halifax();
        let marks = place(&mut all, &zone, NOW);
        let json = record(&all[0], &zone, marks).to_json();
        for part in [
            r#""weekday":1,"time":"07:30","setpoint_c":20.5,"mode":null,"in_force":true,"is_next":true"#,
            r#""next":"2026-01-05T07:30:00-04:00","client_key":"app""#,
            r#""state":{"fog":true,"targetHeat":{"setpoint":20.5}}"#,
            r#""other":{"fade":[2,{"x":null}]}"#,
            r#""other":{"color":"blue","events":["odd"],"owner":"dev-1"}"#,
        ] {
            assert!(json.contains(part), "{part}: {json}");
        }
    }

    #[test]
    fn a_legacy_schedule_has_the_modes_of_the_table() {
        let body = br#"{"Schedule":{"Id":"s1","Version":"2","Events":{"1":{"420":{"BB2L":"3|20|%|%|%|%|%"},
            "9999":{"BB2L":"3|20"}}}}}"#;
        let schedule = LegacySchedule::decode(body).unwrap();
        let shown = legacy(schedule, None, &ModeTable::OBSERVED, &mut Redaction::new(false));
        let event = &shown.events[0];
        assert_eq!(
            (event.weekday, event.time().as_deref(), event.mode),
            (Some(1), Some("07:00"), Some(Mode::Heat))
        );
        assert!(shown.more.to_json().contains(r#""other":{"1":{"9999":{"BB2L":"3|20"}}}"#), "{shown:?}");
    }
}
