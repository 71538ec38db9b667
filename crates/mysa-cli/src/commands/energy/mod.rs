//! `mysa energy`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mysa_proto::rest::{self, History, UsageQuery};
use mysa_proto::{DeviceId, KilowattHours};
use mysa_tokio::{DeviceView, Error, RequestError};
use time::{Date, Duration};

use crate::args::{Energy, Period};
use crate::commands::raw;
use crate::output::chart::{self, Bar, Series};
use crate::output::record::{self, Record, Value, printable};
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::support::atomic_file;
use crate::support::cloud::{Cloud, Context, is_missing, is_web_page, unreadable};
use crate::support::exit::{Exit, Failure, Result};
use crate::support::homes::{HomeDirectory, Rate};
use crate::support::time_zone::Zone;

mod period;

pub(crate) use period::{Span, parse_date};

use period::Slot;

/// Energy of several thermostats.
pub(crate) struct EnergyReport {
    by: Period,
    slots: Vec<Slot>,
    meters: Vec<Meter>,
}

/// Energy of one thermostat.
struct Meter {
    id: DeviceId,
    name: String,
    home: Option<Place>,
    zone: Zone,
    /// `true` if the zone is not that of the thermostat's record, which cannot be read.
    is_zone_assumed: bool,
    /// Energy by local hour, day, week or month. Slots without an entry have no data.
    energy: BTreeMap<Slot, KilowattHours>,
}

/// Home of a thermostat.
#[derive(Clone, Debug)]
struct Place {
    id: String,
    name: String,
    rate: Option<Rate>,
}

pub(crate) async fn run(terminal: &Terminal, context: &Context, args: &Energy) -> Result<()> {
    let span = Span::parse(args)?;
    let to_output = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
    if [to_output(&args.csv), to_output(&args.svg), terminal.json].into_iter().filter(|on| *on).count() > 1 {
        return Err(Failure::usage("only one of --json, --csv and --svg can go to standard output"));
    }
    let mut settings = context.settings();
    settings.live_reports = false;
    let cloud = context.connect(terminal, settings).await?;
    let chosen = cloud.choose(&args.devices)?;
    let report = EnergyReport::read(terminal, &cloud, &chosen, args.by, span).await;
    cloud.close(terminal).await;
    let report = report?;
    if let Some(path) = &args.csv {
        write(terminal, path, &report.csv())?;
    }
    if let Some(path) = &args.svg {
        write(terminal, path, &report.svg())?;
    }
    if terminal.json {
        return terminal.line(report.document().to_json());
    }
    if args.csv.is_some() || args.svg.is_some() {
        return Ok(());
    }
    terminal.print(&report.drawn(terminal.width()))
}

/// Days in one request. Answers with half hours are longer.
const DAYS_AT_ONCE: i64 = 366;
const DAYS_AT_ONCE_BY_HOUR: i64 = 31;

impl EnergyReport {
    /// Reads the energy of each thermostat. A thermostat without a history has none; an error is returned only if there
    /// is no data at all.
    pub(crate) async fn read(
        terminal: &Terminal,
        cloud: &Cloud,
        chosen: &[DeviceId],
        by: Period,
        span: Span,
    ) -> Result<Self> {
        let directory = HomeDirectory::read(terminal, cloud).await;
        let now = timefmt::now();
        let mut meters = Vec::new();
        let mut slots = BTreeSet::new();
        let (mut failed, mut is_over) = (None, false);
        for (number, id) in chosen.iter().enumerate() {
            let Some(view) = cloud.client.state(id) else { continue };
            terminal.progress(&format!("reading {} ({} of {})", view.label(), number + 1, chosen.len()));
            let mut meter = Meter::new(terminal, &directory, &view);
            let (from, to) = span.days(by, meter.zone.day(now));
            slots.extend(by.slots(from, to, &meter.zone));
            if !is_over {
                match meter.read(cloud, by, from, to).await {
                    Ok(()) => {}
                    Err(Unread::One(failure)) => failed = Some(failure),
                    Err(Unread::All(failure)) => (failed, is_over) = (Some(failure), true),
                }
            }
            meters.push(meter);
        }
        terminal.progress("");
        match failed {
            Some(failure) if meters.iter().all(|meter| meter.energy.is_empty()) => return Err(failure),
            Some(failure) => terminal.say(format!("the energy of some thermostats is missing: {failure}")),
            None => {}
        }
        Ok(Self { by, slots: slots.into_iter().collect(), meters })
    }

    /// Returns one bar for each slot: the sum of all thermostats.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let sum = |slot: &Slot| {
            let values: Vec<f64> = self.meters.iter().filter_map(|meter| meter.at(slot)).collect();
            (!values.is_empty()).then(|| values.iter().sum())
        };
        self.slots.iter().map(|slot| Bar { label: slot.label(self.by), value: sum(slot) }).collect()
    }

    fn title(&self) -> String {
        let names: Vec<&str> = self.meters.iter().map(|meter| meter.name.as_str()).collect();
        printable(&format!("Energy: {}", names.join(", ")))
    }

    fn svg(&self) -> String {
        // The legend names several thermostats.
        let title = if self.meters.len() > 1 { "Energy".to_owned() } else { self.title() };
        let labels: Vec<String> = self.slots.iter().map(|slot| slot.label(self.by)).collect();
        let values = |meter: &Meter| self.slots.iter().map(|slot| meter.at(slot)).collect();
        let series: Vec<Series> = self
            .meters
            .iter()
            .map(|meter| Series { name: meter.name.clone(), values: values(meter) })
            .collect();
        chart::svg(&title, &labels, &series, "kWh")
    }

    /// Draws a chart with the total and its cost below it.
    pub(crate) fn drawn(&self, width: usize) -> String {
        let mut text = format!("{}\n", self.title());
        text.push_str(&chart::terminal(&self.bars(), "kWh", width));
        let total = self.meters.iter().filter_map(Meter::total).reduce(|sum, energy| sum + energy);
        match total {
            // The bars show hundredths.
            Some(total) if total < 1.0 => text.push_str(&format!("total {total:.2} kWh")),
            Some(total) => text.push_str(&format!("total {total:.1} kWh")),
            None => text.push_str("total: nothing recorded"),
        }
        let homes = self.homes();
        let cost = |home: &HomeTotal| match (&home.place.rate, home.cost()) {
            (Some(rate), Some(cost)) => {
                format!("cost {} at {}", rate.show(&format!("{cost:.2}")), rate.describe())
            }
            _ => "no rate".to_owned(),
        };
        match homes.as_slice() {
            _ if total.is_none() => {}
            [] => {}
            [only] if only.place.rate.is_none() => {}
            [only] => text.push_str(&format!(", {}", cost(only))),
            several => {
                for home in several {
                    let energy = home.energy.unwrap_or(0.0);
                    text.push_str(&format!("; {}: {energy:.1} kWh, {}", home.place.name, cost(home)));
                }
            }
        }
        let mut text = printable_lines(&text);
        text.push('\n');
        text
    }

    /// Returns the total of each home, in the order of the thermostats.
    fn homes(&self) -> Vec<HomeTotal> {
        let mut totals: Vec<HomeTotal> = Vec::new();
        for meter in &self.meters {
            let Some(place) = &meter.home else { continue };
            let at = totals.iter().position(|total| total.place.id == place.id).unwrap_or_else(|| {
                totals.push(HomeTotal { place: place.clone(), energy: None });
                totals.len() - 1
            });
            if let Some(energy) = meter.total() {
                totals[at].energy = Some(totals[at].energy.unwrap_or(0.0) + energy);
            }
        }
        totals
    }

    /// Returns the time zone of all thermostats, if they have only one.
    fn common_zone(&self) -> Option<&Zone> {
        let first = &self.meters.first()?.zone;
        self.meters.iter().all(|meter| meter.zone.name() == first.name()).then_some(first)
    }

    /// Formats one row per slot and one column per thermostat, then the costs of those whose home has a rate. A slot
    /// without data is an empty cell, not a zero.
    fn csv(&self) -> String {
        let mut text = self.by.name().to_owned();
        let name = |meter: &Meter| format!("{} ({})", meter.name, meter.id);
        for meter in &self.meters {
            text.push_str(&format!(",{}", quoted(&printable(&format!("{} kWh", name(meter))))));
        }
        let priced: Vec<(&Meter, &Rate)> =
            self.meters.iter().filter_map(|meter| Some((meter, meter.rate()?))).collect();
        for (meter, rate) in &priced {
            let currency =
                rate.currency.as_deref().map_or_else(String::new, |currency| format!(" {currency}"));
            text.push_str(&format!(",{}", quoted(&printable(&format!("{} cost{currency}", name(meter))))));
        }
        text.push_str("\r\n");
        let zone = self.common_zone();
        for slot in &self.slots {
            text.push_str(&slot.key(self.by, zone));
            for meter in &self.meters {
                text.push(',');
                if let Some(energy) = meter.at(slot) {
                    text.push_str(&format!("{energy:.3}"));
                }
            }
            for (meter, rate) in &priced {
                text.push(',');
                if let Some(energy) = meter.at(slot) {
                    text.push_str(&format!("{:.4}", energy * rate.per_kwh));
                }
            }
            text.push_str("\r\n");
        }
        text
    }

    fn document(&self) -> Record {
        let mut document = record::document();
        document.put("by", self.by.name());
        let devices = self.meters.iter().map(|meter| {
            let mut device = Record::new();
            device.put("id", meter.id.as_str()).put("name", meter.name.as_str());
            device.put("home_id", meter.home.as_ref().map(|home| home.id.as_str()));
            device.put("time_zone", meter.zone.name()).put("time_zone_known", !meter.is_zone_assumed);
            device.put("rate_per_kwh", meter.rate().map(|rate| rate.per_kwh));
            device.put("currency", meter.rate().and_then(|rate| rate.currency.as_deref()));
            device.put("total_energy_kwh", meter.total().map(|energy| rounded(energy, 1e3)));
            device.put("total_cost", meter.cost(meter.total()));
            let values = self.slots.iter().map(|slot| {
                let mut value = Record::new();
                let energy = meter.at(slot);
                value.put("period", slot.key(self.by, Some(&meter.zone)));
                value.put("energy_kwh", energy.map(|energy| rounded(energy, 1e3)));
                value.put("cost", meter.cost(energy));
                Value::Record(value)
            });
            device.put("energy", values.collect::<Vec<_>>());
            Value::Record(device)
        });
        document.put("devices", devices.collect::<Vec<_>>());
        let total = self.meters.iter().filter_map(Meter::total).reduce(|sum, energy| sum + energy);
        document.put("total_energy_kwh", total.map(|energy| rounded(energy, 1e3)));
        let homes = self.homes();
        let homes = homes.iter().map(|home| {
            let mut record = Record::new();
            record.put("id", home.place.id.as_str()).put("name", home.place.name.as_str());
            record.put("total_energy_kwh", home.energy.map(|energy| rounded(energy, 1e3)));
            record.put("rate_per_kwh", home.place.rate.as_ref().map(|rate| rate.per_kwh));
            record.put("currency", home.place.rate.as_ref().and_then(|rate| rate.currency.as_deref()));
            record.put("total_cost", home.cost().map(|cost| rounded(cost, 1e4)));
            Value::Record(record)
        });
        document.put("homes", homes.collect::<Vec<_>>());
        document
    }
}

/// Reason why the energy of a thermostat is missing.
enum Unread {
    One(Failure),
    /// The others would fail in the same way: the cloud asks for a pause, or a web page answers.
    All(Failure),
}

/// Energy of the thermostats of one home.
struct HomeTotal {
    place: Place,
    energy: Option<f64>,
}

impl HomeTotal {
    fn cost(&self) -> Option<f64> {
        Some(self.energy? * self.place.rate.as_ref()?.per_kwh)
    }
}

impl Meter {
    /// A meter without readings. Reports on standard error a time zone that cannot be read.
    fn new(terminal: &Terminal, directory: &HomeDirectory, view: &DeviceView) -> Self {
        let local = directory.local_time(&view.id);
        local.report(terminal, view);
        let home = directory.home_of(&view.id).map(|home| Place {
            id: home.id.to_string(),
            name: home.name.clone().unwrap_or_else(|| home.id.to_string()),
            rate: Rate::of(home),
        });
        Self {
            id: view.id,
            name: view.label(),
            home,
            is_zone_assumed: local.unread.is_some(),
            zone: local.zone,
            energy: BTreeMap::new(),
        }
    }

    /// Reads the energy of the local days from `from` to `to`. A thermostat without a history has none.
    async fn read(
        &mut self,
        cloud: &Cloud,
        by: Period,
        from: Date,
        to: Date,
    ) -> std::result::Result<(), Unread> {
        let at_once = if by == Period::Hour { DAYS_AT_ONCE_BY_HOUR } else { DAYS_AT_ONCE };
        let mut first = from;
        while first <= to {
            let last = first.saturating_add(Duration::days(at_once - 1)).min(to);
            let next = last.saturating_add(Duration::DAY);
            let query = UsageQuery {
                time_zone: self.zone.name().to_owned(),
                start: self.zone.start(first),
                end: self.zone.start(next),
                buckets: by == Period::Hour,
                raw: false,
            };
            match cloud.client.request(rest::usage(self.id, &query)).await {
                Ok(response) => {
                    let history = History::decode(&response.body).map_err(|error| {
                        let failure = unreadable(&response.body, error);
                        let is_page = failure.exit == Exit::Unreachable;
                        if is_page { Unread::All(failure) } else { Unread::One(failure) }
                    })?;
                    self.add(&history, by, from, to);
                }
                Err(error) if is_missing(&error) => return Ok(()),
                Err(Error::Request(RequestError::Refused { status, body, retry_after }))
                    if status == 429 || is_web_page(&body) =>
                {
                    let refused = RequestError::Refused { status, body, retry_after };
                    return Err(Unread::All(raw::failure(Error::Request(refused))));
                }
                Err(error) => return Err(Unread::One(raw::failure(error))),
            }
            if next <= last {
                return Ok(());
            }
            first = next;
        }
        Ok(())
    }

    fn add(&mut self, history: &History, by: Period, from: Date, to: Date) {
        for day in &history.days {
            if by == Period::Hour {
                for bucket in &day.buckets {
                    let (Some(start), Some(energy)) = (bucket.start, bucket.energy) else { continue };
                    let hour = self.zone.hour(start);
                    if (from..=to).contains(&hour.day) {
                        self.add_to(Slot::Hour(hour), energy);
                    }
                }
                continue;
            }
            let (Some(start), Some(energy)) = (day.summary.start, day.summary.energy) else { continue };
            // The service may know other clock changes than this computer, but not by half a day.
            let date = self.zone.day(start.plus_millis(12 * 3_600_000));
            if (from..=to).contains(&date) {
                self.add_to(Slot::Days(by.first_day(date)), energy);
            }
        }
    }

    fn add_to(&mut self, slot: Slot, energy: KilowattHours) {
        let before = self.energy.get(&slot).map_or(0.0, |energy| energy.as_kilowatt_hours());
        // Adding to 0.0 removes the sign of a negative zero.
        let sum = KilowattHours::from_kilowatt_hours(before + energy.as_kilowatt_hours());
        self.energy.insert(slot, sum.unwrap_or(energy));
    }

    fn at(&self, slot: &Slot) -> Option<f64> {
        self.energy.get(slot).map(|energy| energy.as_kilowatt_hours())
    }

    fn total(&self) -> Option<f64> {
        self.energy.values().map(|energy| energy.as_kilowatt_hours()).reduce(|sum, energy| sum + energy)
    }

    fn rate(&self) -> Option<&Rate> {
        self.home.as_ref()?.rate.as_ref()
    }

    fn cost(&self, energy: Option<f64>) -> Option<f64> {
        Some(rounded(energy? * self.rate()?.per_kwh, 1e4))
    }
}

/// Rounds to a fraction of one, so that sums have no floating-point noise.
fn rounded(value: f64, fraction: f64) -> f64 {
    (value * fraction).round() / fraction
}

/// Escapes a text line by line.
fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// Quotes a cell so that no spreadsheet reads it as a formula.
fn quoted(cell: &str) -> String {
    let shield = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{shield}{}\"", cell.replace('"', "\"\""))
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
    use super::period::date;
    use super::*;

    fn day(text: &str) -> Date {
        parse_date(text).unwrap()
    }

    fn meter(name: &str, zone: &str, days: &[(&str, f64)]) -> Meter {
        let energy = days.iter().map(|(text, energy)| {
            (Slot::Days(day(text)), KilowattHours::from_kilowatt_hours(*energy).unwrap())
        });
        Meter {
            id: DeviceId::new("a0b1c2d3e4f5").unwrap(),
            name: name.into(),
            home: None,
            zone: Zone::named(zone).unwrap(),
            is_zone_assumed: false,
            energy: energy.collect(),
        }
    }

    fn priced(mut meter: Meter, per_kwh: f64, currency: Option<&str>) -> Meter {
        let rate = Some(Rate { per_kwh, currency: currency.map(str::to_owned) });
        meter.home = Some(Place { id: "h".into(), name: "Home".into(), rate });
        meter
    }

    fn report(by: Period, from: &str, to: &str, meters: Vec<Meter>) -> EnergyReport {
        let slots: BTreeSet<Slot> =
            meters.iter().flat_map(|meter| by.slots(day(from), day(to), &meter.zone)).collect();
        EnergyReport { by, slots: slots.into_iter().collect(), meters }
    }

    fn keys(by: Period, from: &str, to: &str) -> Vec<String> {
        let zone = Zone::named("America/Halifax").unwrap();
        by.slots(day(from), day(to), &zone).into_iter().map(|slot| slot.key(by, Some(&zone))).collect()
    }

    #[test]
    fn periods_follow_each_other_without_gaps() {
        assert_eq!(
            keys(Period::Day, "2028-02-27", "2028-03-01"),
            ["2028-02-27", "2028-02-28", "2028-02-29", "2028-03-01"]
        );
        assert_eq!(
            keys(Period::Month, "2027-11-30", "2028-02-01"),
            ["2027-11", "2027-12", "2028-01", "2028-02"]
        );
        // The last days of a year may be in the first week of the next one.
        assert_eq!(
            keys(Period::Week, "2026-12-20", "2027-01-04"),
            ["2026-W51", "2026-W52", "2026-W53", "2027-W01"]
        );
        let hours = keys(Period::Hour, "2026-10-31", "2026-11-01");
        assert_eq!(hours.len(), 24 + 25);
        assert_eq!(
            hours[24..28],
            [
                "2026-11-01T00:00-03:00",
                "2026-11-01T01:00-03:00",
                "2026-11-01T01:00-04:00",
                "2026-11-01T02:00-04:00"
            ]
        );
        assert_eq!(keys(Period::Hour, "2026-03-08", "2026-03-08").len(), 23);
    }

    #[test]
    fn half_hours_are_added_to_their_local_hour() {
        let mut meter = meter("a", "America/Halifax", &[]);
        // From midnight of 1 November 2026, UTC-3, a day on which 1:00 occurs twice.
        let buckets: Vec<String> = (0..50)
            .map(|half| format!(r#"{{"T":{},"a":{{"k":{}}}}}"#, 1_793_502_000 + half * 1_800, half))
            .collect();
        let body =
            format!(r#"[{{"T":1793502000,"aggregatedReadings":[{}],"summary":{{}}}}]"#, buckets.join(","));
        let history = History::decode(body.as_bytes()).unwrap();
        meter.add(&history, Period::Hour, day("2026-11-01"), day("2026-11-01"));
        let report = report(Period::Hour, "2026-11-01", "2026-11-01", vec![meter]);
        let values: Vec<_> = report.bars().into_iter().map(|bar| bar.value.unwrap()).collect();
        assert_eq!(values.len(), 25);
        assert_eq!(values[..4], [1.0, 5.0, 9.0, 13.0]);
        let labels: Vec<_> = report.bars().into_iter().map(|bar| bar.label).collect();
        assert_eq!(labels[1..3], ["Sun 2026-11-01 01:00", "Sun 2026-11-01 01:00 again"]);
    }

    #[test]
    fn a_day_belongs_to_its_date_from_utc_11_to_utc_14() {
        // Midnights of 2 January 2026; the last two as computed by a service with other rules for the zone.
        for (zone, midnight) in [
            ("Pacific/Pago_Pago", 1_767_351_600),
            ("Pacific/Honolulu", 1_767_348_000),
            ("Europe/London", 1_767_312_000),
            ("Asia/Kathmandu", 1_767_291_300),
            ("Pacific/Auckland", 1_767_265_200),
            ("Pacific/Kiritimati", 1_767_261_600),
            ("Europe/London", 1_767_308_400),
            ("Europe/London", 1_767_315_600),
        ] {
            let mut meter = meter("a", zone, &[]);
            let body = format!(r#"[{{"T":{midnight},"summary":{{"a":{{"k":1.5}}}}}}]"#);
            let history = History::decode(body.as_bytes()).unwrap();
            meter.add(&history, Period::Day, day("2025-12-30"), day("2026-01-05"));
            let days: Vec<Slot> = meter.energy.into_keys().collect();
            assert_eq!(days, [Slot::Days(day("2026-01-02"))], "{zone}");
        }
    }

    #[test]
    fn a_period_without_data_is_not_zero() {
        let meters = vec![
            meter("a, \"b\"", "UTC", &[("2026-01-01", 2.0), ("2026-01-03", 0.0)]),
            meter("=c", "UTC", &[("2026-01-01", 1.5)]),
        ];
        let report = report(Period::Day, "2026-01-01", "2026-01-03", meters);
        let values: Vec<_> = report.bars().into_iter().map(|bar| bar.value).collect();
        assert_eq!(values, [Some(3.5), None, Some(0.0)]);
        let text = report.csv();
        assert!(
            text.starts_with("day,\"a, \"\"b\"\" (a0b1c2d3e4f5) kWh\",\"'=c (a0b1c2d3e4f5) kWh\"\r\n"),
            "{text}"
        );
        assert!(text.contains("2026-01-01,2.000,1.500\r\n2026-01-02,,\r\n2026-01-03,0.000,\r\n"), "{text}");
        let json = report.document().to_json();
        assert!(json.contains(r#"{"period":"2026-01-02","energy_kwh":null,"cost":null}"#), "{json}");
    }

    #[test]
    fn amounts_have_no_digits_of_floating_point_and_no_negative_zero() {
        let mut first = priced(meter("a", "UTC", &[]), 0.075, Some("$"));
        let body = br#"[{"T":1767225600,"summary":{"a":{"k":-0.0}}},{"T":1767312000,"summary":{"a":{"k":1.0000000000000002}}},
            {"T":1767398400,"summary":{"a":{"k":0.1}}},{"T":1767484800,"summary":{"a":{"k":0.2}}}]"#;
        let history = History::decode(body).unwrap();
        first.add(&history, Period::Day, day("2026-01-01"), day("2026-01-04"));
        let report = report(Period::Day, "2026-01-01", "2026-01-04", vec![first]);
        let json = report.document().to_json();
        assert!(json.contains(r#"{"period":"2026-01-01","energy_kwh":0.0,"cost":0.0}"#), "{json}");
        assert!(json.contains(r#"{"period":"2026-01-02","energy_kwh":1.0,"cost":0.075}"#), "{json}");
        assert!(json.contains(r#""total_energy_kwh":1.3,"total_cost":0.0975"#), "{json}");
        for text in [json, report.csv(), report.svg(), report.drawn(80)] {
            assert!(!text.contains("-0.0") && !text.contains("0000000"), "{text}");
        }
        assert!(
            report.drawn(80).ends_with("\ntotal 1.3 kWh, cost $0.10 at $0.075 per kWh\n"),
            "{}",
            report.drawn(80)
        );
        assert!(report.csv().contains("2026-01-02,1.000,0.0750\r\n"), "{}", report.csv());
    }

    #[test]
    fn each_home_has_its_own_cost() {
        let mut other = priced(meter("b", "Asia/Tokyo", &[("2026-01-01", 3.0)]), 30.0, Some("¥"));
        other.home.as_mut().unwrap().id = "i".into();
        other.home.as_mut().unwrap().name = "Cabin\u{1b}[2J".into();
        let first = priced(meter("a", "UTC", &[("2026-01-01", 2.0)]), 0.5, None);
        let report = report(Period::Day, "2026-01-01", "2026-01-01", vec![first, other]);
        let last = report.drawn(80).lines().last().unwrap().to_owned();
        assert_eq!(
            last,
            "total 5.0 kWh; Home: 2.0 kWh, cost 1.00 at 0.5 per kWh; \
             Cabin\\u{1b}[2J: 3.0 kWh, cost ¥90.00 at ¥30 per kWh"
        );
    }

    #[test]
    fn an_invalid_day_is_refused() {
        for bad in ["2026-13-01", "2026-02-30", "yesterday", "26-01-01", "2026-1", ""] {
            assert!(date(bad).is_err(), "{bad}");
        }
    }
}
