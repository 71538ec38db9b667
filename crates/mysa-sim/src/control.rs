//! Observation and manual control of the simulator: rooms, weather, faults, connections and routes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_proto::{Celsius, DeviceId, UnixTime};
use serde_json::Value;

use crate::Now;
use crate::cloud::Cloud;
use crate::device::family::Mode;
use crate::device::weather::Weather;
use crate::fault::{FaultId, Incident, Window};
use crate::journal::EventKind;
use crate::spec::AccountStatus;

/// An account of the cloud, without its secrets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AccountView {
    /// Name for sign-in.
    pub email: String,
    /// UUID of the user.
    pub user_id: String,
    /// State at the user pool.
    pub status: AccountStatus,
}

/// A home of the cloud.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HomeView {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Name for sign-in of its account.
    pub account: String,
    /// Name of its time zone.
    pub time_zone: String,
    /// Local time less UTC, in seconds.
    pub utc_offset: i64,
    /// Climate.
    pub weather: Weather,
    /// Outdoor temperature at the last call, °C.
    pub outdoors: f64,
    /// Its thermostats.
    pub devices: Vec<DeviceId>,
}

/// Place and name of a thermostat.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DevicePlace {
    /// Name in its record.
    pub name: String,
    /// Model in its record.
    pub model: String,
    /// Id of its home.
    pub home: String,
    /// Name for sign-in of its account.
    pub account: String,
    /// `true` if it has left its account.
    pub removed: bool,
    /// `true` if it has Wi-Fi and power.
    pub online: bool,
    /// `true` if the cloud considers it connected. The cloud notices a lost device late.
    pub connected: bool,
    /// Time of its last message, by the cloud's clock.
    pub last_seen_at: UnixTime,
    /// Version of its firmware.
    pub firmware: &'static str,
    /// Newer version that the cloud offers.
    pub firmware_offer: Option<String>,
}

/// A connection at the broker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConnectionView {
    /// Number of the connection.
    pub conn: u64,
    /// Name for sign-in of the account whose credentials opened it.
    pub account: String,
    /// Client id, after CONNECT.
    pub client: Option<String>,
    /// Time at which it was opened, on the monotonic clock.
    pub opened: Duration,
    /// Its subscriptions.
    pub filters: Vec<String>,
    /// Messages that wait for their PUBACK.
    pub in_flight: usize,
}

/// Reason why a manual change is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidChange {
    /// No thermostat has this id.
    UnknownDevice,
    /// No home has this id.
    UnknownHome,
    /// The temperature is not a number from -60 to 60 °C.
    Temperature,
    /// A value of the weather is not a number from -60 to 60.
    Weather,
    /// The setpoint is out of the thermostat's range, or between two of its steps.
    Setpoint,
    /// The thermostat does not have this mode.
    Mode,
    /// The version of a firmware is empty or longer than 64 bytes.
    Firmware,
    /// The thermostat is locked, restarting or without power.
    Unresponsive,
}

impl fmt::Display for InvalidChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownDevice => "unknown thermostat: no thermostat has this id",
            Self::UnknownHome => "unknown home: no home has this id",
            Self::Temperature => "expected a temperature from -60 to 60 °C",
            Self::Weather => "expected weather values from -60 to 60",
            Self::Setpoint => "the setpoint is out of the thermostat's range or between two of its steps",
            Self::Mode => "the thermostat does not have this mode",
            Self::Firmware => "expected a version of 1 to 64 bytes",
            Self::Unresponsive => "the thermostat is locked, restarting or without power",
        })
    }
}

impl core::error::Error for InvalidChange {}

/// Buttons of a thermostat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Button {
    /// One step warmer.
    Up,
    /// One step colder.
    Down,
}

/// Longest version of a firmware, in bytes.
const MAX_VERSION: usize = 64;

fn is_bearable(value: f64) -> bool {
    (-60.0..=60.0).contains(&value)
}

impl Cloud {
    /// Sets the temperature of the room around a thermostat, °C, as an open window would. The thermostat notices when
    /// it next reads its sensor. A heated floor keeps its temperature.
    ///
    /// # Errors
    /// No thermostat has this id, or the temperature is not from -60 to 60 °C.
    pub fn set_room(&mut self, now: Now, device: DeviceId, celsius: f64) -> Result<(), InvalidChange> {
        self.advance(now);
        let now = self.now;
        let index = self.index(device)?;
        if !is_bearable(celsius) {
            return Err(InvalidChange::Temperature);
        }
        let room = &mut self.devices[index].thermostat.room;
        room.advance(now);
        room.set_temperature(celsius);
        self.journal.add(now, || EventKind::RoomSet { device, celsius });
        Ok(())
    }

    /// Changes the climate of a home from now on. The past does not change.
    ///
    /// # Errors
    /// No home has this id, or a value is not from -60 to 60.
    pub fn set_weather(&mut self, now: Now, home: &str, weather: Weather) -> Result<(), InvalidChange> {
        self.advance(now);
        let now = self.now;
        let place = self.homes.iter().position(|one| one.id == home).ok_or(InvalidChange::UnknownHome)?;
        let Weather { mean, season, day, variation } = weather;
        if ![mean, season, day, variation].into_iter().all(is_bearable) {
            return Err(InvalidChange::Weather);
        }
        self.homes[place].weather = weather;
        for device in self.devices.iter_mut().filter(|device| device.home == place) {
            device.thermostat.room.advance(now);
            device.thermostat.room.set_weather(weather);
        }
        self.journal.add(now, || EventKind::WeatherSet { home: home.into() });
        Ok(())
    }

    /// Offers a newer firmware for a thermostat, or none. A client sees it when it next asks. Any text is a version, because
    /// clients must handle any. Nothing is installed.
    ///
    /// # Errors
    /// No thermostat has this id, or the version is empty or longer than 64 bytes.
    pub fn offer_firmware(
        &mut self,
        now: Now,
        device: DeviceId,
        version: Option<&str>,
    ) -> Result<(), InvalidChange> {
        self.advance(now);
        let now = self.now;
        let index = self.index(device)?;
        if version.is_some_and(|version| version.is_empty() || version.len() > MAX_VERSION) {
            return Err(InvalidChange::Firmware);
        }
        self.devices[index].firmware_offer = version.map(String::from);
        self.journal.add(now, || EventKind::FirmwareOffered { device, version: version.map(String::from) });
        Ok(())
    }

    /// Changes the setpoint, the mode, or both, like a person at the thermostat.
    ///
    /// # Errors
    /// No thermostat has this id, it does not have the setpoint or mode, or its buttons have no effect.
    pub fn turn(
        &mut self,
        now: Now,
        device: DeviceId,
        setpoint: Option<Celsius>,
        mode: Option<Mode>,
    ) -> Result<(), InvalidChange> {
        self.advance(now);
        let index = self.index(device)?;
        let thermostat = &self.devices[index].thermostat;
        if let Some(setpoint) = setpoint {
            let grid = thermostat.setpoints(mode.unwrap_or(thermostat.settings.mode));
            let checked = crate::device::parsed_command::checked_setpoint(setpoint.as_degrees(), grid);
            checked.ok_or(InvalidChange::Setpoint)?;
        }
        if mode.is_some_and(|mode| !thermostat.has_mode(mode)) {
            return Err(InvalidChange::Mode);
        }
        if self.press(now, device, setpoint, mode) { Ok(()) } else { Err(InvalidChange::Unresponsive) }
    }

    /// Presses a button of a thermostat once: the setpoint moves by one step, and stays at the end of its range.
    ///
    /// # Errors
    /// No thermostat has this id, or its buttons have no effect.
    pub fn press_button(&mut self, now: Now, device: DeviceId, button: Button) -> Result<(), InvalidChange> {
        self.advance(now);
        let thermostat = &self.devices[self.index(device)?].thermostat;
        let (low, high, step) = thermostat.setpoints(thermostat.settings.mode);
        let step = match button {
            Button::Up => step,
            Button::Down => -step,
        };
        let setpoint = thermostat.settings.in_force().saturating_add(step).clamp(low, high);
        self.turn(now, device, Some(Celsius::from_hundredths(setpoint)), None)
    }

    /// Starts a fault, or plans it if its window begins later. Returns its id.
    pub fn start_fault(&mut self, now: Now, window: Window) -> FaultId {
        self.advance(now);
        let id = self.faults.add(window);
        self.journal.add(self.now, || EventKind::FaultAdded { id });
        self.handle_edge(self.now);
        id
    }

    /// Plans an incident. `at` counts from the start of the cloud, see [`Cloud::age`].
    pub fn plan_incident(&mut self, at: Duration, incident: Incident) -> FaultId {
        let id = self.faults.plan(at, incident);
        self.journal.add(self.now, || EventKind::FaultAdded { id });
        id
    }

    /// Ends a fault, or removes a planned one. Returns `false` if no fault has this id.
    pub fn end_fault(&mut self, now: Now, id: FaultId) -> bool {
        self.advance(now);
        let found = self.faults.remove(id);
        if found {
            self.journal.add(self.now, || EventKind::FaultEnded { id });
            self.handle_edge(self.now);
        }
        found
    }

    /// Ends all faults and removes all planned incidents.
    pub fn end_faults(&mut self, now: Now) {
        self.advance(now);
        let windows: Vec<FaultId> = self.faults().map(|(id, _)| id).collect();
        let planned: Vec<FaultId> = self.planned_incidents().map(|(id, ..)| id).collect();
        self.faults.clear();
        self.faults.clear_plan();
        for id in windows.into_iter().chain(planned) {
            self.journal.add(self.now, || EventKind::FaultEnded { id });
        }
        self.handle_edge(self.now);
    }

    /// Faults that apply now or later.
    pub fn faults(&self) -> impl Iterator<Item = (FaultId, &Window)> {
        self.faults.lasting(self.now.mono)
    }

    /// Planned incidents with their times from the start of the cloud, the next one first.
    pub fn planned_incidents(&self) -> impl Iterator<Item = (FaultId, Duration, &Incident)> {
        self.faults.planned()
    }

    /// Accounts, in the order of the spec.
    pub fn accounts(&self) -> impl Iterator<Item = AccountView> {
        self.pool.accounts.iter().map(|account| AccountView {
            email: account.email.clone(),
            user_id: account.user_id.clone(),
            status: account.status,
        })
    }

    /// Homes, in the order of the spec.
    pub fn homes(&self) -> impl Iterator<Item = HomeView> {
        self.homes.iter().enumerate().map(|(index, home)| HomeView {
            id: home.id.clone(),
            name: home.name.clone(),
            account: self.email(home.account),
            time_zone: home.time_zone.clone(),
            utc_offset: home.local.offset(self.now.wall.as_secs()),
            weather: home.weather,
            outdoors: home.weather.outdoors(home.seed, self.now.wall),
            devices: self
                .devices
                .iter()
                .filter(|device| device.home == index)
                .map(|device| device.thermostat.id)
                .collect(),
        })
    }

    /// Place and name of a thermostat.
    #[must_use]
    pub fn place(&self, id: DeviceId) -> Option<DevicePlace> {
        let device = &self.devices[self.index(id).ok()?];
        let faults = self.faults.of_device(self.now.mono, id);
        let text = |name: &str| device.record.get(name).and_then(Value::as_str).unwrap_or_default().into();
        Some(DevicePlace {
            name: text("Name"),
            model: text("Model"),
            home: self.homes.get(device.home).map(|home| home.id.clone()).unwrap_or_default(),
            account: self.email(device.account),
            removed: device.removed,
            online: !faults.offline && !faults.powerless,
            connected: device.is_connected(self.now),
            last_seen_at: UnixTime::from_secs(device.shadow.last_seen_at),
            firmware: device.firmware(),
            firmware_offer: device.firmware_offer.clone(),
        })
    }

    /// Connections at the broker.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionView> {
        self.broker.connections().map(|(conn, connection)| ConnectionView {
            conn,
            account: self.email(connection.account),
            client: connection.client.clone(),
            opened: connection.opened,
            filters: connection.subscriptions.filters().map(Into::into).collect(),
            in_flight: connection.in_flight.len(),
        })
    }

    /// Numbers of HTTP requests by route: service, and action or method with path, ids replaced by `{id}`. Routes above
    /// 256 are counted together as `other`.
    pub fn routes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.routes.iter().map(|(route, count)| (route.as_str(), *count))
    }

    pub(crate) fn email(&self, account: usize) -> String {
        self.pool.accounts.get(account).map(|account| account.email.clone()).unwrap_or_default()
    }

    fn index(&self, device: DeviceId) -> Result<usize, InvalidChange> {
        self.by_id.get(&device).copied().ok_or(InvalidChange::UnknownDevice)
    }
}
