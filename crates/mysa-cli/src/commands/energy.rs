//! `mysa energy`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mysa_proto::rest::{self, DeviceList, History, UsageQuery};
use mysa_proto::{DeviceId, KilowattHours, UnixTime};
use time::{Date, Duration, Month, OffsetDateTime};

use crate::args::{Energy, Period};
use crate::commands::raw;
use crate::output::chart::{self, Bar, Series};
use crate::output::record::{Record, Value, printable};
use crate::output::terminal::Terminal;
use crate::support::atomic_file;
use crate::support::cloud::{Cloud, Context};
use crate::support::exit::{Exit, Failure, Result};

/// Daily energy of one thermostat.
pub(crate) struct Meter {
    pub(crate) id: DeviceId,
    pub(crate) name: String,
    /// Energy by local day. A day without an entry was not recorded.
    pub(crate) days: BTreeMap<Date, KilowattHours>,
}

pub(crate) async fn run(terminal: &Terminal, context: &Context, args: &Energy) -> Result<()> {
    let (from, to) = span(args)?;
    let to_output = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
    if [to_output(&args.csv), to_output(&args.svg), terminal.json].into_iter().filter(|on| *on).count() > 1 {
        return Err(Failure::usage("only one of --json, --csv and --svg can go to standard output"));
    }
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    let chosen = cloud.choose(&args.devices)?;
    let meters = read(terminal, &cloud, &chosen, from, to).await;
    cloud.close(terminal).await;
    let meters = meters?;
    let periods = periods(args.by, from, to);
    if let Some(path) = &args.csv {
        write(terminal, path, &csv(&meters, &periods, args.by))?;
    }
    if let Some(path) = &args.svg {
        // The legend names several thermostats.
        let title = if meters.len() > 1 { "Energy".to_owned() } else { title(&meters) };
        let labels: Vec<String> = bars(&meters, &periods, args.by).into_iter().map(|bar| bar.label).collect();
        write(terminal, path, &chart::svg(&title, &labels, &series(&meters, &periods, args.by), "kWh"))?;
    }
    if terminal.json {
        return terminal.line(document(&meters, &periods, args.by).to_json());
    }
    if args.csv.is_some() || args.svg.is_some() {
        return Ok(());
    }
    terminal.print(&drawn(&meters, &bars(&meters, &periods, args.by), terminal.width()))
}

/// Returns the first and the last day of the report.
fn span(args: &Energy) -> Result<(Date, Date)> {
    let today = OffsetDateTime::from_unix_timestamp(crate::output::timefmt::now().as_secs())
        .map_or(Date::MIN, |now| now.date());
    let to = args.to.as_deref().map(date).transpose()?.unwrap_or(today);
    let usual = match args.by {
        Period::Day => to.saturating_sub(Duration::days(13)),
        Period::Month => {
            let year_before = to.year() - 1;
            Date::from_calendar_date(year_before, to.month(), 1).map_or(to, next_month)
        }
    };
    let from = args.from.as_deref().map(date).transpose()?.unwrap_or(usual);
    if from > to {
        return Err(Failure::usage(format!("the first day, {from}, is after the last, {to}")));
    }
    if (to - from).whole_days() > 3_660 {
        return Err(Failure::usage("the time span is longer than ten years"));
    }
    Ok((from, to))
}

fn date(text: &str) -> Result<Date> {
    let parts: Vec<&str> = text.split('-').collect();
    let parsed = match parts.as_slice() {
        [year, month, day] if year.len() == 4 => {
            year.parse::<i32>().ok().zip(month.parse::<u8>().ok()).zip(day.parse::<u8>().ok())
        }
        _ => None,
    };
    parsed
        .and_then(|((year, month), day)| {
            Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()
        })
        .ok_or_else(|| Failure::usage(format!("invalid day '{text}': expected YYYY-MM-DD")))
}

fn next_month(day: Date) -> Date {
    let first = day.replace_day(1).unwrap_or(day);
    first.saturating_add(Duration::days(31)).replace_day(1).unwrap_or(first)
}

/// Returns the days or months from `from` to `to`, each by its first day.
pub(crate) fn periods(by: Period, from: Date, to: Date) -> Vec<Date> {
    let mut at = match by {
        Period::Day => from,
        Period::Month => from.replace_day(1).unwrap_or(from),
    };
    let mut periods = Vec::new();
    while at <= to {
        periods.push(at);
        at = match by {
            Period::Day => at.saturating_add(Duration::days(1)),
            Period::Month => next_month(at),
        };
    }
    periods
}

/// Reads the days of each thermostat. A thermostat without a history has none; an error is returned only if there is no
/// data at all.
pub(crate) async fn read(
    terminal: &Terminal,
    cloud: &Cloud,
    chosen: &[DeviceId],
    from: Date,
    to: Date,
) -> Result<Vec<Meter>> {
    let zones = zones(cloud).await;
    let mut meters = Vec::new();
    let mut failed = None;
    for (number, id) in chosen.iter().enumerate() {
        let Some(view) = cloud.client.state(id) else { continue };
        terminal.progress(&format!("reading {} ({} of {})", view.label(), number + 1, chosen.len()));
        let mut meter = Meter { id: *id, name: view.label(), days: BTreeMap::new() };
        let time_zone = zones.get(id).cloned().unwrap_or_else(|| "UTC".into());
        // One more day at each end, because the days are in the thermostat's time zone.
        let (start, end) = (from.saturating_sub(Duration::days(1)), to.saturating_add(Duration::days(2)));
        let query =
            UsageQuery { time_zone, start: midnight(start), end: midnight(end), buckets: false, raw: false };
        match cloud.client.request(rest::usage(*id, &query)).await {
            Ok(response) => match History::decode(&response.body) {
                Ok(history) => meter.add(&history, from, to),
                Err(error) => failed = Some(Failure::from((Exit::Failed, error))),
            },
            Err(mysa_tokio::Error::Request(mysa_tokio::RequestError::Refused { status: 404, .. })) => {}
            Err(error) => failed = Some(raw::failure(error)),
        }
        meters.push(meter);
    }
    terminal.progress("");
    match failed {
        Some(failure) if meters.iter().all(|meter| meter.days.is_empty()) => Err(failure),
        Some(failure) => {
            terminal.say(format!("the energy of some thermostats is missing: {failure}"));
            Ok(meters)
        }
        None => Ok(meters),
    }
}

/// Time zones in the device records.
async fn zones(cloud: &Cloud) -> BTreeMap<DeviceId, String> {
    let Ok(response) = cloud.client.request(rest::devices()).await else { return BTreeMap::new() };
    let Ok(list) = DeviceList::decode(&response.body) else { return BTreeMap::new() };
    list.devices.into_values().filter_map(|record| Some((record.id, record.time_zone?))).collect()
}

fn midnight(day: Date) -> UnixTime {
    UnixTime::from_secs(day.midnight().assume_utc().unix_timestamp())
}

impl Meter {
    fn add(&mut self, history: &History, from: Date, to: Date) {
        for day in &history.days {
            let (Some(start), Some(energy)) = (day.summary.start, day.summary.energy) else { continue };
            let Some(date) = local_day(start) else { continue };
            if (from..=to).contains(&date) {
                self.days.insert(date, energy);
            }
        }
    }

    fn total(&self, by: Period, period: Date) -> Option<f64> {
        let mut total = None;
        for (day, energy) in &self.days {
            let same = match by {
                Period::Day => *day == period,
                Period::Month => (day.year(), day.month()) == (period.year(), period.month()),
            };
            if same {
                total = Some(total.unwrap_or(0.0) + energy.as_kilowatt_hours());
            }
        }
        total
    }
}

/// Returns the day that starts at this local midnight. Correct for time zones from UTC-10 to UTC+13: midnight is 10:00
/// UTC of the same day in Hawaii, and 11:00 UTC of the previous day in the summer of New Zealand.
fn local_day(midnight: UnixTime) -> Option<Date> {
    let at = OffsetDateTime::from_unix_timestamp(midnight.as_secs()).ok()?;
    Some(at.saturating_add(Duration::hours(13)).date())
}

pub(crate) fn bars(meters: &[Meter], periods: &[Date], by: Period) -> Vec<Bar> {
    let label = |period: &Date| match by {
        Period::Day => format!("{} {period}", &period.weekday().to_string()[..3]),
        Period::Month => format!("{}-{:02}", period.year(), u8::from(period.month())),
    };
    let sum = |period: &Date| {
        let values: Vec<f64> = meters.iter().filter_map(|meter| meter.total(by, *period)).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    };
    periods.iter().map(|period| Bar { label: label(period), value: sum(period) }).collect()
}

/// Returns the values of each thermostat, for a chart that tells them apart.
fn series(meters: &[Meter], periods: &[Date], by: Period) -> Vec<Series> {
    let values = |meter: &Meter| periods.iter().map(|period| meter.total(by, *period)).collect();
    meters.iter().map(|meter| Series { name: meter.name.clone(), values: values(meter) }).collect()
}

fn title(meters: &[Meter]) -> String {
    let names: Vec<&str> = meters.iter().map(|meter| meter.name.as_str()).collect();
    printable(&format!("Energy: {}", names.join(", ")))
}

/// Draws a chart with the total below it.
pub(crate) fn drawn(meters: &[Meter], bars: &[Bar], width: usize) -> String {
    let total: f64 = bars.iter().filter_map(|bar| bar.value).sum();
    let mut text = format!("{}\n", title(meters));
    text.push_str(&chart::terminal(bars, "kWh", width));
    text.push_str(&format!("total {total:.1} kWh\n"));
    text
}

/// Formats one row per period and one column per thermostat. A period without data is an empty cell, not a zero.
fn csv(meters: &[Meter], periods: &[Date], by: Period) -> String {
    let mut text = match by {
        Period::Day => "day".to_owned(),
        Period::Month => "month".to_owned(),
    };
    for meter in meters {
        text.push_str(&format!(",{}", quoted(&printable(&format!("{} ({}) kWh", meter.name, meter.id)))));
    }
    text.push_str("\r\n");
    for period in periods {
        text.push_str(&key(by, *period));
        for meter in meters {
            text.push(',');
            if let Some(energy) = meter.total(by, *period) {
                text.push_str(&format!("{energy:.3}"));
            }
        }
        text.push_str("\r\n");
    }
    text
}

/// Quotes a cell so that no spreadsheet reads it as a formula.
fn quoted(cell: &str) -> String {
    let shield = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{shield}{}\"", cell.replace('"', "\"\""))
}

fn key(by: Period, period: Date) -> String {
    match by {
        Period::Day => period.to_string(),
        Period::Month => format!("{}-{:02}", period.year(), u8::from(period.month())),
    }
}

fn document(meters: &[Meter], periods: &[Date], by: Period) -> Record {
    let mut document = Record::document();
    document.put("by", if by == Period::Day { "day" } else { "month" });
    let devices = meters.iter().map(|meter| {
        let mut device = Record::new();
        device.put("id", meter.id.as_str()).put("name", meter.name.as_str());
        let values = periods.iter().map(|period| {
            let mut value = Record::new();
            let energy = meter.total(by, *period).map(|energy| (energy * 1_000.0).round() / 1_000.0);
            value.put("period", key(by, *period)).put("energy_kwh", energy);
            Value::Record(value)
        });
        device.put("energy", values.collect::<Vec<_>>());
        Value::Record(device)
    });
    document.put("devices", devices.collect::<Vec<_>>());
    document
}

fn write(terminal: &Terminal, path: &Path, text: &str) -> Result<()> {
    if path == Path::new("-") {
        return terminal.print(text);
    }
    atomic_file::write(path, text, atomic_file::PUBLIC)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))?;
    terminal.say(format!("written to {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        date(text).unwrap()
    }

    fn meter(name: &str, days: &[(&str, f64)]) -> Meter {
        let days = days
            .iter()
            .map(|(text, energy)| (day(text), KilowattHours::from_kilowatt_hours(*energy).unwrap()));
        Meter { id: DeviceId::new("a0b1c2d3e4f5").unwrap(), name: name.into(), days: days.collect() }
    }

    #[test]
    fn days_and_months_follow_each_other_without_gaps() {
        let days = periods(Period::Day, day("2028-02-27"), day("2028-03-01"));
        assert_eq!(days.iter().map(|day| day.day()).collect::<Vec<_>>(), [27, 28, 29, 1]);
        let months = periods(Period::Month, day("2027-11-30"), day("2028-02-01"));
        let months: Vec<String> = months.iter().map(|month| key(Period::Month, *month)).collect();
        assert_eq!(months, ["2027-11", "2027-12", "2028-01", "2028-02"]);
    }

    #[test]
    fn a_local_midnight_belongs_to_the_day_it_begins() {
        // Midnights of 2 January 2026 in Honolulu, Halifax, London, Auckland (summer).
        for secs in [1_767_348_000, 1_767_326_400, 1_767_312_000, 1_767_265_200] {
            assert_eq!(local_day(UnixTime::from_secs(secs)), Some(day("2026-01-02")), "{secs}");
        }
    }

    #[test]
    fn a_period_without_data_is_not_zero() {
        let meters = [
            meter("a, \"b\"", &[("2026-01-01", 2.0), ("2026-01-03", 0.0)]),
            meter("=c", &[("2026-01-01", 1.5)]),
        ];
        let periods = periods(Period::Day, day("2026-01-01"), day("2026-01-03"));
        let values: Vec<_> = bars(&meters, &periods, Period::Day).into_iter().map(|bar| bar.value).collect();
        assert_eq!(values, [Some(3.5), None, Some(0.0)]);
        let text = csv(&meters, &periods, Period::Day);
        assert!(
            text.starts_with("day,\"a, \"\"b\"\" (a0b1c2d3e4f5) kWh\",\"'=c (a0b1c2d3e4f5) kWh\"\r\n"),
            "{text}"
        );
        assert!(text.contains("2026-01-01,2.000,1.500\r\n2026-01-02,,\r\n2026-01-03,0.000,\r\n"), "{text}");
        let json = document(&meters, &periods, Period::Day).to_json();
        assert!(json.contains(r#"{"period":"2026-01-02","energy_kwh":null}"#), "{json}");
    }

    #[test]
    fn an_invalid_day_is_refused() {
        for bad in ["2026-13-01", "2026-02-30", "yesterday", "26-01-01", "2026-1", ""] {
            assert!(date(bad).is_err(), "{bad}");
        }
    }
}
