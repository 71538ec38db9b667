//! Homes of the account, and the home and local time of each thermostat.

use std::collections::BTreeMap;

use mysa_proto::DeviceId;
use mysa_proto::rest::{self, DeviceList, DeviceRecord, Home, Homes};
use mysa_tokio::DeviceView;

use crate::output::terminal::Terminal;
use crate::support::cloud::{Cloud, unreadable};
use crate::support::exit::Result;
use crate::support::time_zone::Zone;

/// Homes and device records of the account, as far as they could be read.
#[derive(Debug, Default)]
pub(crate) struct HomeDirectory {
    pub(crate) homes: Homes,
    records: BTreeMap<DeviceId, DeviceRecord>,
}

/// Price of a kilowatt-hour in a home.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) per_kwh: f64,
    /// Sign or code of the currency, if the cloud gives one.
    pub(crate) currency: Option<String>,
}

/// Time zone of a thermostat.
#[derive(Clone, Debug)]
pub(crate) struct LocalTime {
    /// Zone to use.
    pub(crate) zone: Zone,
    /// Name that the cloud gives, if the zone is not that of the name.
    pub(crate) unread: Option<Option<String>>,
}

impl HomeDirectory {
    /// Reads the homes.
    ///
    /// # Errors
    /// The request fails, or the answer has no homes.
    pub(crate) async fn read_homes(&mut self, cloud: &Cloud) -> Result<()> {
        let body = cloud.read(rest::homes()).await?;
        self.homes = Homes::decode(&body).map_err(|error| unreadable(&body, error))?;
        Ok(())
    }

    /// Reads the device records, which name the time zones.
    ///
    /// # Errors
    /// The request fails, or the answer has no records.
    pub(crate) async fn read_records(&mut self, cloud: &Cloud) -> Result<()> {
        let body = cloud.read(rest::devices()).await?;
        let list = DeviceList::decode(&body).map_err(|error| unreadable(&body, error))?;
        self.records = list.devices;
        Ok(())
    }

    /// Reads the device records, and reports on standard error if they cannot be read.
    pub(crate) async fn read_zones(terminal: &Terminal, cloud: &Cloud) -> Self {
        let mut directory = Self::default();
        if let Err(failure) = directory.read_records(cloud).await {
            terminal.say(format!("the time zones of the thermostats cannot be read: {failure}"));
        }
        directory
    }

    /// Reads both, and reports on standard error what cannot be read.
    pub(crate) async fn read(terminal: &Terminal, cloud: &Cloud) -> Self {
        let mut directory = Self::read_zones(terminal, cloud).await;
        if let Err(failure) = directory.read_homes(cloud).await {
            terminal.say(format!("the homes cannot be read: {failure}"));
        }
        directory
    }

    /// Reads the time zone of a thermostat, and reports on standard error if it cannot be read.
    pub(crate) async fn local_time_of(terminal: &Terminal, cloud: &Cloud, view: &DeviceView) -> LocalTime {
        let local = Self::read(terminal, cloud).await.local_time(&view.id);
        local.report(terminal, view);
        local
    }

    pub(crate) fn record(&self, id: &DeviceId) -> Option<&DeviceRecord> {
        self.records.get(id)
    }

    /// Returns the home of a thermostat: the one in its record, or else the one with a zone that lists it.
    pub(crate) fn home_of(&self, id: &DeviceId) -> Option<&Home> {
        let named = self.records.get(id).and_then(|record| record.home.as_ref());
        let listed = |home: &&Home| {
            home.zones.iter().any(|zone| zone.devices.as_ref().is_some_and(|list| list.contains(id)))
        };
        let homes = || self.homes.homes.iter();
        homes().find(|home| named == Some(&home.id)).or_else(|| homes().find(listed))
    }

    /// Returns the names of the time zones in the records of a home's thermostats, each once.
    pub(crate) fn time_zones<'a>(&'a self, devices: impl Iterator<Item = &'a DeviceId>) -> Vec<&'a str> {
        let mut names: Vec<&str> =
            devices.filter_map(|id| self.records.get(id)?.time_zone.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns the time zone of a thermostat. If that of its record cannot be read, it is that of another thermostat of
    /// the home, or else UTC.
    pub(crate) fn local_time(&self, id: &DeviceId) -> LocalTime {
        let name = self.records.get(id).and_then(|record| record.time_zone.clone());
        if let Some(zone) = name.as_deref().and_then(Zone::named) {
            return LocalTime { zone, unread: None };
        }
        let home = self.home_of(id).map(|home| &home.id);
        let neighbours = self
            .records
            .keys()
            .filter(|other| home.is_some() && self.home_of(other).map(|home| &home.id) == home);
        let of_home = self.time_zones(neighbours).into_iter().find_map(Zone::named);
        LocalTime { zone: of_home.unwrap_or_else(Zone::utc), unread: Some(name) }
    }
}

impl Rate {
    pub(crate) fn of(home: &Home) -> Option<Self> {
        Some(Self { per_kwh: home.energy_rate?, currency: home.currency.clone() })
    }

    /// Formats an amount of money: `$1.85`, `1.85 CAD`, or `1.85` in an unknown currency.
    pub(crate) fn show(&self, amount: &str) -> String {
        match self.currency.as_deref() {
            Some(code) if code.chars().all(char::is_alphabetic) => format!("{amount} {code}"),
            Some(sign) => format!("{sign}{amount}"),
            None => amount.to_owned(),
        }
    }

    /// Formats the price, such as `$0.15 per kWh`.
    pub(crate) fn describe(&self) -> String {
        format!("{} per kWh", self.show(&self.per_kwh.to_string()))
    }
}

impl LocalTime {
    /// Reports that the time zone could not be read, and the one that is used.
    pub(crate) fn report(&self, terminal: &Terminal, view: &DeviceView) {
        let Some(name) = &self.unread else { return };
        let cause = match name {
            Some(name) => format!("the time zone '{name}' is unknown"),
            None => "the cloud gives no time zone".to_owned(),
        };
        terminal.say(format!("{}: {cause}; its days are those of {}", view.label(), self.zone.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(zones: [Option<&str>; 2], homes: [Option<&str>; 2]) -> HomeDirectory {
        let record = |id: &str, zone: Option<&str>, home: Option<&str>| {
            let body = serde_json::json!({ "Id": id, "TimeZone": zone, "Home": home });
            let record = DeviceRecord::decode(body.to_string().as_bytes()).unwrap();
            (record.id, record)
        };
        let ids = ["a0b1c2d3e4f5", "a0b1c2d3e4f6"];
        let body = br#"{"Homes":[
            {"Id":"h1","ERate":"$0.07","Zones":[{"Id":"z","DeviceIds":["a0b1c2d3e4f5","a0b1c2d3e4f6"]}]},
            {"Id":"h2","Zones":[]}]}"#;
        HomeDirectory {
            homes: Homes::decode(body).unwrap(),
            records: (0..2).map(|at| record(ids[at], zones[at], homes[at])).collect(),
        }
    }

    #[test]
    fn a_zone_that_cannot_be_read_is_that_of_the_home_or_utc() {
        let id = DeviceId::new("a0b1c2d3e4f5").unwrap();
        let of = |zones, homes| {
            let local = directory(zones, homes).local_time(&id);
            (local.zone.name().to_owned(), local.unread)
        };
        let here = [Some("h1"), Some("h1")];
        let unknown = || Some(Some("Mars/Olympus".to_owned()));
        assert_eq!(of([Some("Asia/Tokyo"), None], here), ("Asia/Tokyo".into(), None));
        assert_eq!(of([None, Some("Asia/Tokyo")], here), ("Asia/Tokyo".into(), Some(None)));
        assert_eq!(of([Some("Mars/Olympus"), Some("Asia/Tokyo")], here), ("Asia/Tokyo".into(), unknown()));
        assert_eq!(
            of([Some("Mars/Olympus"), Some("Asia/Tokyo")], [Some("h1"), Some("h2")]),
            ("UTC".into(), unknown())
        );
        assert_eq!(of([None, None], here), ("UTC".into(), Some(None)));
    }

    #[test]
    fn the_home_of_a_thermostat_is_that_of_its_record_or_of_its_zone() {
        let id = DeviceId::new("a0b1c2d3e4f5").unwrap();
        let of =
            |home| directory([None; 2], [home, None]).home_of(&id).map(|home| home.id.as_str().to_owned());
        assert_eq!(of(Some("h2")).as_deref(), Some("h2"));
        assert_eq!(of(None).as_deref(), Some("h1"));
        assert_eq!(of(Some("gone")).as_deref(), Some("h1"));
    }

    #[test]
    fn amounts_have_their_currency_where_it_is_usual() {
        let show = |currency: Option<&str>| {
            Rate { per_kwh: 0.15, currency: currency.map(str::to_owned) }.show("1.85")
        };
        assert_eq!([show(Some("$")), show(Some("CAD")), show(None)], ["$1.85", "1.85 CAD", "1.85"]);
    }
}
