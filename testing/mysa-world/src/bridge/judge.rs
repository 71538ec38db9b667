//! Checks of what crosses the wire of the local broker, against the requests, the thermostats and the cloud's wire. It
//! reads packets by `mqttbytes` and never asks the bridge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use mqttbytes::QoS;
use mqttbytes::v4::{Packet, Publish, read};
use mysa_proto::{Brightness, Celsius, Change, DeviceId, Hold, Mode};
use mysa_sim::{Cloud, Family};
use serde_json::Value;

use super::violation::BridgeViolation;
use crate::ledger::Truth;
use crate::writes::{self, Asked, Setting, WireValue, mode_number, plain_mode};

/// Largest packet that the bridge sends.
const MAX_PACKET: usize = 256 << 10;
/// Largest batch that the bridge has with its driver, and one packet.
const MAX_BATCH: usize = 96 << 10;
/// Largest age at which a request is still handed to the session: the connection ends after a silence of 16 s, and
/// numbers are held back for less than a second.
const MAX_AGE: Duration = Duration::from_secs(30);
/// Time for a result, on the clock of the host: the bridge's own limit, and some seconds.
const RESULT_BOUND: Duration = Duration::from_secs(95);
/// Time for the state to follow a result.
const SNAP_BACK: Duration = Duration::from_secs(5);
/// Number of decided requests that are remembered.
const REMEMBERED: usize = 64;

#[derive(Debug)]
struct Request {
    device: DeviceId,
    field: String,
    payload: String,
    /// Time at which the broker sent it.
    sent_at: Duration,
    /// Reading of the host's monotonic clock at its arrival.
    received: Duration,
    /// Settings that it asks for; `None` if the payload is not a value.
    settings: Option<Vec<(Setting, Asked)>>,
    is_handed_over: bool,
}

#[derive(Debug, Default)]
struct Track {
    revision: Option<u64>,
    /// Values that the thermostat has held, and until when; `None` for those in force.
    values: BTreeMap<(Setting, i64), Option<Duration>>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Undecided requests of this process, in the order of their arrival, which is that of their numbers.
    open: BTreeMap<u64, Request>,
    decided: VecDeque<Request>,
    received: u64,
    tracks: BTreeMap<DeviceId, Track>,
    /// Latest time at which the cloud lacked a setting that a thermostat holds.
    unreported: BTreeMap<(DeviceId, Setting), Duration>,
    /// Thermostats whose state has to be published again, and since when.
    unrepeated: BTreeMap<DeviceId, Duration>,
    /// Thermostats whose state this process has published.
    shown: BTreeSet<DeviceId>,
    energy: BTreeMap<DeviceId, f64>,
    /// Thermostats whose energy may be unknown again, because the file with it was damaged.
    energy_lost: BTreeSet<DeviceId>,
    /// Thermostats that may report values that they do not hold.
    pub(crate) unreliable: BTreeSet<DeviceId>,
    /// Results by their outcome.
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) states: u64,
}

impl Judge {
    /// A new process knows no request.
    pub(crate) fn restarted(&mut self) {
        self.open.clear();
        self.decided.clear();
        self.received = 0;
        self.unrepeated.clear();
        self.shown.clear();
    }

    /// Number of requests that the session has not got, and that it has, without a result.
    pub(crate) fn undecided(&self) -> (usize, usize) {
        let sent = self.open.values().filter(|request| request.is_handed_over).count();
        (self.open.len() - sent, sent)
    }

    /// Records one packet for the bridge. Returns the number of the request that it carries.
    pub(crate) fn received(
        &mut self,
        cloud: &Cloud,
        mono: Duration,
        bytes: &[u8],
        sent_at: Duration,
    ) -> Option<u64> {
        let Ok(Packet::Publish(publish)) = read(&mut BytesMut::from(bytes), MAX_PACKET) else { return None };
        if publish.retain || publish.payload.is_empty() {
            return None;
        }
        let (id, field) = publish.topic.strip_prefix("mysa/")?.split_once("/set/")?;
        let device = DeviceId::new(id)?;
        let payload = String::from_utf8_lossy(&publish.payload).into_owned();
        let family = cloud.truth(device).map(|truth| truth.family);
        let settings = asked(field, &payload, family);
        self.received += 1;
        let request = Request {
            device,
            field: field.to_owned(),
            payload,
            sent_at,
            received: mono,
            settings,
            is_handed_over: false,
        };
        self.open.insert(self.received, request);
        Some(self.received)
    }

    /// The bridge has closed the connection on which the last request arrived, instead of reading it.
    pub(crate) fn retract(&mut self, number: u64) {
        if number == self.received && self.open.get(&number).is_some_and(|request| !request.is_handed_over) {
            self.open.remove(&number);
            self.received -= 1;
        }
    }

    /// Checks a command that the bridge hands to the session. Its number, which the result has too, tells equal requests
    /// apart.
    pub(crate) fn command(
        &mut self,
        cloud: &Cloud,
        now: Duration,
        number: u64,
        device: DeviceId,
        change: &Change,
    ) -> Result<(), BridgeViolation> {
        let family = cloud.truth(device).map(|truth| truth.family);
        let wanted = writes::asked(change, family);
        let asks = |request: &&mut Request| {
            request.device == device
                && !request.is_handed_over
                && request.settings.as_ref().is_some_and(|settings| same(settings, &wanted))
        };
        let Some(request) = self.open.get_mut(&number).filter(asks) else {
            return Err(BridgeViolation::Unrequested { device, what: change.to_string() });
        };
        request.is_handed_over = true;
        let age = now.saturating_sub(request.sent_at);
        if age > MAX_AGE {
            return Err(BridgeViolation::OldRequest { device, what: request.to_string(), age });
        }
        Ok(())
    }

    /// Checks a command whose bytes have left for the cloud.
    pub(crate) fn write(&self, device: DeviceId, settings: &writes::Settings) -> Result<(), BridgeViolation> {
        let asks = |request: &Request, setting: Setting, value: &WireValue| {
            request.device == device
                && request.is_handed_over
                && request.settings.iter().flatten().any(|(of, asked)| *of == setting && asked.accepts(value))
        };
        for (setting, value) in settings {
            if self.open.values().any(|request| asks(request, *setting, value)) {
                continue;
            }
            let what = format!("{setting:?} {value:?}");
            if self.decided.iter().any(|request| asks(request, *setting, value)) {
                return Err(BridgeViolation::AfterResult { device, what });
            }
            return Err(BridgeViolation::Unrequested { device, what });
        }
        Ok(())
    }

    /// Checks bytes that the bridge gives its driver.
    pub(crate) fn sent(&mut self, now: Duration, bytes: &[u8]) -> Result<(), BridgeViolation> {
        if bytes.len() > MAX_BATCH {
            return Err(BridgeViolation::Unbounded { place: "a batch for the broker", size: bytes.len() });
        }
        let mut stream = BytesMut::from(bytes);
        while !stream.is_empty() {
            match read(&mut stream, MAX_PACKET) {
                Ok(Packet::Publish(publish)) => self.published(now, &publish)?,
                Ok(
                    Packet::Connect(_)
                    | Packet::Subscribe(_)
                    | Packet::PubAck(_)
                    | Packet::PingReq
                    | Packet::Disconnect,
                ) => {}
                Ok(packet) => return Err(BridgeViolation::Protocol(format!("{packet:?}"))),
                Err(error) => return Err(BridgeViolation::Protocol(format!("{error:?}: {bytes:?}"))),
            }
        }
        Ok(())
    }

    fn published(&mut self, now: Duration, publish: &Publish) -> Result<(), BridgeViolation> {
        let topic = publish.topic.as_str();
        if publish.dup || publish.qos == QoS::ExactlyOnce {
            return Err(BridgeViolation::Protocol(format!("{topic}: a repeat, or QoS 2")));
        }
        let Some((id, kind)) = topic.strip_prefix("mysa/").and_then(|rest| rest.split_once('/')) else {
            return Ok(());
        };
        let Some(device) = DeviceId::new(id) else { return Ok(()) };
        match kind {
            "result" => self.result(now, device, publish),
            "state" => self.state(device, publish),
            _ if kind.starts_with("set/") => {
                Err(BridgeViolation::Protocol(format!("{topic}: the bridge sends itself a command")))
            }
            _ => Ok(()),
        }
    }

    fn result(&mut self, now: Duration, device: DeviceId, publish: &Publish) -> Result<(), BridgeViolation> {
        let text = || format!("{device}: {}", String::from_utf8_lossy(&publish.payload));
        let json: Value =
            serde_json::from_slice(&publish.payload).map_err(|_| BridgeViolation::Protocol(text()))?;
        if publish.retain {
            return Err(BridgeViolation::Protocol(format!("a retained result: {}", text())));
        }
        let request = json["id"].as_u64().and_then(|id| self.open.remove(&id));
        let request = request.filter(|request| {
            request.device == device && Some(request.field.as_str()) == json["field"].as_str()
        });
        let Some(request) = request else { return Err(BridgeViolation::ForeignResult(text())) };
        *self.outcomes.entry(json["outcome"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        self.decided.push_back(request);
        if self.decided.len() > REMEMBERED {
            self.decided.pop_front();
        }
        if self.shown.contains(&device) {
            self.unrepeated.entry(device).or_insert(now);
        }
        Ok(())
    }

    fn state(&mut self, device: DeviceId, publish: &Publish) -> Result<(), BridgeViolation> {
        self.states += 1;
        self.unrepeated.remove(&device);
        if publish.payload.is_empty() {
            self.shown.remove(&device);
            return Ok(());
        }
        self.shown.insert(device);
        let text = || format!("{device}: {}", String::from_utf8_lossy(&publish.payload));
        let json: Value =
            serde_json::from_slice(&publish.payload).map_err(|_| BridgeViolation::Protocol(text()))?;
        self.energy(device, json["energy"].as_f64())?;
        if self.unreliable.contains(&device) {
            return Ok(());
        }
        for (setting, value) in shown(&json) {
            let track = self.tracks.get(&device);
            if track.is_some_and(|track| !track.values.contains_key(&(setting, value))) {
                return Err(BridgeViolation::NeverHeld { device, what: format!("{setting:?} {value}") });
            }
        }
        Ok(())
    }

    /// The totals of earlier runs are lost.
    pub(crate) fn energy_lost(&mut self) {
        self.energy_lost.extend(self.energy.keys());
    }

    fn energy(&mut self, device: DeviceId, energy: Option<f64>) -> Result<(), BridgeViolation> {
        let before = self.energy.get(&device).copied();
        let wrong = |what: &str| Err(BridgeViolation::EnergyWrong { device, what: what.into() });
        match energy {
            Some(energy) if energy <= 0.0 => wrong("it is zero"),
            Some(energy) if before.is_some_and(|before| energy < before) => {
                let what = format!("{} to {energy}", before.unwrap_or_default());
                Err(BridgeViolation::EnergyFell { device, what })
            }
            Some(energy) => {
                self.energy.insert(device, energy);
                self.energy_lost.remove(&device);
                Ok(())
            }
            None if before.is_some() && !self.energy_lost.contains(&device) => {
                wrong("it was known, and is not known any more")
            }
            None => Ok(()),
        }
    }

    /// Checks time limits. `connected` is the time for which the connection to the broker has been open.
    pub(crate) fn check(
        &self,
        now: Duration,
        mono: Duration,
        connected: Duration,
    ) -> Result<(), BridgeViolation> {
        let late = |request: &&Request| mono > request.received + RESULT_BOUND;
        if connected > SNAP_BACK
            && let Some(request) = self.open.values().find(late)
        {
            return Err(BridgeViolation::NoResult(request.to_string()));
        }
        match self.unrepeated.iter().find(|(_, since)| now > **since + SNAP_BACK) {
            Some((device, _)) if connected > SNAP_BACK => Err(BridgeViolation::NoSnapBack(*device)),
            _ => Ok(()),
        }
    }

    /// Records what the thermostats hold now, and in between.
    pub(crate) fn sample(&mut self, now: Duration, cloud: &Cloud) {
        for device in cloud.device_ids() {
            let Some(held) = cloud.held(device) else { continue };
            let track = self.tracks.entry(device).or_default();
            if track.revision == Some(held.revision) {
                continue;
            }
            let family = cloud.truth(device).map(|truth| truth.family);
            let seen = track.revision.replace(held.revision);
            let between = cloud.command_records(device).map(|record| &record.held);
            for held in between.filter(|between| seen.is_some_and(|seen| between.revision > seen)) {
                for (setting, value) in truth_values(family, held) {
                    track.values.insert((setting, value), Some(now));
                }
            }
            for until in track.values.values_mut() {
                until.get_or_insert(now);
            }
            for (setting, value) in truth_values(family, &held) {
                track.values.insert((setting, value), None);
            }
        }
    }

    /// Notes which settings the cloud lacks. One that it learns now is shown a moment later.
    pub(crate) fn note_reports(&mut self, now: Duration, cloud: &Cloud) {
        for device in cloud.device_ids() {
            for setting in [Setting::Mode, Setting::Lock] {
                if !is_reported(cloud, device, setting) {
                    self.unreported.insert((device, setting), now);
                }
            }
        }
    }

    /// Checks that a state shows only what the thermostat has held within `age`. Returns the first value that it has not.
    pub(crate) fn outdated(
        &self,
        now: Duration,
        cloud: &Cloud,
        device: DeviceId,
        json: &Value,
        age: Duration,
    ) -> Option<String> {
        let track = self.tracks.get(&device)?;
        let is_recent = |setting: Setting, value: i64| match track.values.get(&(setting, value)) {
            Some(until) => until.is_none_or(|until| until + age >= now),
            None => false,
        };
        shown(json)
            .into_iter()
            .filter(|(setting, _)| {
                let unreported = self.unreported.get(&(device, *setting));
                is_reported(cloud, device, *setting) && unreported.is_none_or(|at| *at + age < now)
            })
            .find(|(setting, value)| !is_recent(*setting, *value))
            .map(|(setting, value)| format!("{setting:?} {value}"))
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} {:?}", self.device, self.field, self.payload)
    }
}

/// Settings that a message to a `set` topic asks for. Settings whose numbers on the wire do not follow from their names
/// count with any value.
fn asked(field: &str, payload: &str, family: Option<Family>) -> Option<Vec<(Setting, Asked)>> {
    let number = || payload.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let default = Change::default;
    let any = |setting| Some(vec![(setting, Asked::Anything)]);
    let change = match field {
        "setpoint" => Change::setpoint(Celsius::from_degrees(number()?)?),
        "setpoint_f" => Change::setpoint(Celsius::from_degrees((number()? - 32.0) / 1.8)?),
        "mode" => Change::mode(mode(payload)?),
        "lock" => Change { lock: Some(payload == "ON"), ..default() },
        "preset_mode" if payload == "hold" => Change { hold: Some(Hold::Permanent), ..default() },
        "preset_mode" => Change { hold: Some(Hold::FollowSchedule), ..default() },
        "brightness_active" | "brightness_idle" => {
            Change { brightness: Some(Brightness::default()), ..default() }
        }
        "fan_mode" => return any(Setting::Fan),
        "swing_mode" => return any(Setting::SwingVertical),
        "swing_horizontal_mode" => return any(Setting::SwingHorizontal),
        "tracked_sensor" => return any(Setting::TrackedSensor),
        _ => return None,
    };
    Some(writes::asked(&change, family))
}

/// Mode by Home Assistant's name.
fn mode(name: &str) -> Option<Mode> {
    match name {
        "off" => Some(Mode::Off),
        "auto" => Some(Mode::Auto),
        "heat" => Some(Mode::Heat),
        "cool" => Some(Mode::Cool),
        "fan_only" => Some(Mode::FanOnly),
        "dry" => Some(Mode::Dry),
        _ => None,
    }
}

fn same(request: &[(Setting, Asked)], command: &[(Setting, Asked)]) -> bool {
    request.len() == command.len()
        && request.iter().zip(command).all(|((of, asked), (setting, wanted))| {
            of == setting && (*asked == Asked::Anything || asked == wanted)
        })
}

/// Values of a published state that are compared with the thermostat.
fn shown(json: &Value) -> Vec<(Setting, i64)> {
    let setpoint = json["setpoint"].as_f64().map(|degrees| (degrees * 100.0).round() as i64);
    let mode = json["mode"].as_str().and_then(mode).map(mode_number);
    let lock = json["lock"].as_bool().map(i64::from);
    [(Setting::Setpoint, setpoint), (Setting::Mode, mode), (Setting::Lock, lock)]
        .into_iter()
        .filter_map(|(setting, value)| Some((setting, value?)))
        .collect()
}

/// `true` if the cloud has what a thermostat holds. Where an acknowledgement was lost, because the thermostat lost its
/// network or by a fault, nothing tells its mode and its lock until they change again. Statuses tell the setpoint.
pub(crate) fn is_reported(cloud: &Cloud, device: DeviceId, setting: Setting) -> bool {
    let family = cloud.truth(device).map(|truth| truth.family);
    let values = |held: Option<mysa_sim::HeldSettings>| held.map(|held| truth_values(family, &held));
    let value = |values: Option<Vec<(Setting, i64)>>| {
        values.and_then(|values| values.into_iter().find(|(one, _)| *one == setting))
    };
    setting == Setting::Setpoint || value(values(cloud.held(device))) == value(values(cloud.reported(device)))
}

fn truth_values(family: Option<Family>, held: &mysa_sim::HeldSettings) -> Vec<(Setting, i64)> {
    let truth: Truth = crate::check::truth_of(held);
    vec![
        (Setting::Setpoint, truth.setpoint),
        (Setting::Mode, plain_mode(family, truth.mode)),
        (Setting::Lock, truth.lock.into()),
    ]
}
