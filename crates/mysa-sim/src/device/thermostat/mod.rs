mod inbound;
mod outbound;
mod twin;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Celsius, DeviceId, TopicKind, UnixTime};
use serde_json::{Map, Value};

use crate::Now;
use crate::device::agenda;
use crate::device::command_record::{CommandRecord, HeldSettings, MessageCounts, Origin};
use crate::device::energy::Bucket;
use crate::device::family::{Control, Family, Mode, Profile, Seen};
use crate::device::message::Record;
use crate::device::parsed_command::{Brightness, ParsedCommand};
use crate::device::remote::AcRemote;
use crate::device::room::{Drive, Room};
use crate::device::settings::{CentralSetpoints, Settings};
use crate::device::weather::Weather;
use crate::math::{floor, round};
use crate::rng::{Rng, hash, unit};
use crate::spec::DeviceSpec;

use self::inbound::Delivery;
use self::outbound::BATCH_PERIOD;
use self::twin::{Delta, FAN_AUTO, Twin};

/// Active faults of a thermostat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeviceFaults {
    pub(crate) offline: bool,
    pub(crate) powerless: bool,
    pub(crate) ignores_commands: bool,
    pub(crate) ignores_live: bool,
    pub(crate) drops_acks: bool,
    pub(crate) drops_statuses: bool,
    pub(crate) acks_without_applying: bool,
    pub(crate) refuses_commands: bool,
    pub(crate) ack_delay: Duration,
    pub(crate) reorders: bool,
    pub(crate) clock_shift: i64,
}

/// Output of a thermostat: a message, or a request to the cloud.
#[derive(Debug)]
pub(crate) enum Emission {
    Publish {
        kind: TopicKind,
        at_least_once: bool,
        payload: String,
        update: ShadowUpdate,
    },
    /// The thermostat reads its settings from the device record.
    ReadSettings,
    /// Readings for the structured service, sent on a channel that clients cannot observe.
    Readings,
    /// Reported values of a section, in the units of its shadow, and values that it also sets as desired.
    Report {
        section: &'static str,
        desired: Map<String, Value>,
        reported: Map<String, Value>,
        update: ShadowUpdate,
    },
    /// The thermostat asks for the desired values that it has not reported.
    ReadShadows,
}

/// Part of the cloud's copy of the device state that a message updates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ShadowUpdate {
    None,
    /// Readings, and the setpoint unless the thermostat has shadows.
    Readings,
    /// Readings, and the settings that the family's status contains.
    Status,
    Settings,
}

#[derive(Debug)]
enum Job {
    Deliver(Box<Delivery>),
    Publish(Emission),
    TakeDelta(Box<Delta>),
    Report,
    Boot,
    Hello,
    Unpair,
}

/// A thermostat with its heater and its room.
#[derive(Debug)]
pub(crate) struct Thermostat {
    pub(crate) id: DeviceId,
    pub(crate) family: Family,
    /// Remote control that an air conditioner imitates; no effect on other families.
    pub(crate) remote: AcRemote,
    pub(crate) room: Room,
    pub(crate) settings: Settings,
    pub(crate) messages: MessageCounts,
    pub(crate) command_records: VecDeque<CommandRecord>,
    pub(crate) record_count: u64,
    revision: u64,
    pub(crate) boots: u32,
    pub(crate) volts: f64,
    pub(crate) rated: f64,
    pub(crate) unpaired: bool,
    pub(crate) ip: String,
    pub(crate) serial: String,
    floor_limit: f64,
    control: Control,
    powered: bool,
    booting: bool,
    boot_at: i64,
    live_until: Duration,
    /// End of a hold on the monotonic clock.
    hold_due: Option<Duration>,
    /// `true` if it has begun to follow the schedule and waits for the setpoint in force.
    resumed: bool,
    next_sample: Duration,
    next_status: Duration,
    next_batch: Duration,
    jobs: BTreeMap<(Duration, u64), Job>,
    sequence: u64,
    /// Arrival of the last message in transit, and sending time of the last acknowledgement. Later ones keep their
    /// order.
    last_delivery: Duration,
    last_ack: Duration,
    records: VecDeque<Record>,
    /// Its side of its shadows, if it has any.
    twin: Option<Twin>,
    /// `true` if messages to and from it take no time.
    pub(crate) instant: bool,
    seed: u64,
    rng: Rng,
}

/// Source of a change.
#[derive(Clone, Copy, Debug)]
struct Command {
    request: Option<u64>,
    origin: Origin,
    taken_at: Now,
}

/// Maximum number of command records; the total is counted separately.
const RECORDS: usize = 256;
/// Maximum number of waiting jobs; more are dropped, as a small device's queue does.
const JOBS: usize = 64;
const BATCH_RECORDS: usize = 60;

fn has_mode(family: Family, remote: AcRemote, mode: Mode) -> bool {
    family.profile().modes.contains(&mode) && (family != Family::AirConditioner || remote.has_mode(mode))
}

const fn setpoints(family: Family, remote: AcRemote, mode: Mode) -> (i32, i32, i32) {
    let (low, high, step) = family.setpoints(mode);
    match family {
        Family::AirConditioner => (low, 100 * remote.highest(), step),
        _ => (low, high, step),
    }
}

impl Thermostat {
    pub(crate) fn new(
        spec: &DeviceSpec,
        weather: Weather,
        climate_seed: u64,
        mut rng: Rng,
        now: Now,
    ) -> Self {
        let family = Family::of(&spec.model);
        let profile = family.profile();
        let (low, high, _) = setpoints(family, spec.remote, spec.mode);
        let seed = rng.next();
        let mut room = Room::new(spec.room, weather, climate_seed, family == Family::Floor, now.mono);
        // Timers of different devices start at different phases.
        let phase = |rng: &mut Rng, period: Duration| now.mono + period.mul_f64(rng.unit());
        let next_sample = phase(&mut rng, profile.sample);
        let next_status = phase(&mut rng, profile.idle_status.min(Duration::from_secs(60)));
        let next_batch = phase(&mut rng, BATCH_PERIOD);
        let settings = Settings {
            setpoint: i32::try_from(round(spec.setpoint * 100.0)).unwrap_or(2_000).clamp(low, high),
            mode: Some(spec.mode).filter(|mode| has_mode(family, spec.remote, *mode)).unwrap_or(Mode::Off),
            hold: 1,
            until: None,
            lock: false,
            brightness: Brightness { auto: 0, active: 90, idle: 40, active_secs: 60, idle_secs: 30 },
            proximity: false,
            tracked: 3,
            fan: 1,
            swing: 3,
            swing_sideways: 3,
            climate_plus: true,
            central: None,
        };
        room.advance(now);
        let mut this = Self {
            id: spec.id,
            family,
            remote: spec.remote,
            room,
            settings,
            messages: MessageCounts::default(),
            command_records: VecDeque::new(),
            record_count: 0,
            revision: 0,
            boots: 1,
            volts: 240.0,
            rated: if spec.rated_watts.is_finite() { spec.rated_watts.max(0.0) } else { 1_500.0 },
            unpaired: false,
            ip: alloc::format!("192.0.2.{}", 10 + rng.below(200)),
            serial: alloc::format!("SN{:08}", rng.below(100_000_000)),
            floor_limit: 28.0,
            control: Control::default(),
            powered: true,
            booting: false,
            boot_at: now.wall.as_secs() - 86_400,
            live_until: Duration::ZERO,
            hold_due: None,
            resumed: false,
            next_sample,
            next_status,
            next_batch,
            jobs: BTreeMap::new(),
            sequence: 0,
            last_delivery: Duration::ZERO,
            last_ack: Duration::ZERO,
            records: VecDeque::new(),
            twin: None,
            instant: false,
            seed,
            rng,
        };
        if family == Family::CentralHvac {
            let heat = this.settings.setpoint;
            let cool = heat.saturating_add(400).clamp(1_600, 3_700);
            this.settings.central = Some(CentralSetpoints { cool, auto_heat: heat, auto_cool: cool });
            this.settings.fan = FAN_AUTO;
        }
        this.drive(now, true);
        if family.has_shadows() {
            this.twin = Some(Twin::of(&this));
        }
        this
    }

    /// Time of the next call of [`Thermostat::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Duration {
        let job = self.jobs.first_key_value().map_or(Duration::MAX, |((at, _), _)| *at);
        let hold = self.hold_due.unwrap_or(Duration::MAX);
        self.next_sample.min(self.next_status).min(self.next_batch).min(job).min(hold)
    }

    pub(crate) fn is_live(&self, at: Duration) -> bool {
        at < self.live_until
    }

    /// Handles everything that is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Now, faults: &DeviceFaults, out: &mut Vec<Emission>) {
        self.look(now, faults);
        self.look_for_differences(faults, out);
        while let Some(entry) = self.jobs.first_entry() {
            if entry.key().0 > now.mono {
                break;
            }
            let job = entry.remove();
            self.work(now, faults, job, out);
        }
        if self.hold_due.is_some_and(|due| due <= now.mono) {
            self.end_hold(now, faults, out);
        }
        if self.next_sample <= now.mono {
            self.next_sample = now.mono + self.profile().sample;
            self.sample(now, faults);
            self.report_changes(now, faults, out);
        }
        if self.next_status <= now.mono {
            self.report_status(now, faults, out);
        }
        if self.next_batch <= now.mono {
            self.report_batch(now, faults, out);
        }
    }

    /// Applies a press of its buttons. Returns `false`, without any effect, if it is locked or has no power.
    pub(crate) fn press(
        &mut self,
        now: Now,
        wanted: &ParsedCommand,
        faults: &DeviceFaults,
        out: &mut Vec<Emission>,
    ) -> bool {
        self.look(now, faults);
        let Some(wanted) = self.translated(self.aimed(wanted)) else { return false };
        let wanted = &wanted;
        if self.settings.lock || !self.powered || self.booting {
            return false;
        }
        let before = self.settings.degrees();
        self.apply(now, wanted, &Command { request: None, origin: Origin::Button, taken_at: now });
        if faults.offline || self.unpaired {
            return true;
        }
        if self.family.has_shadows() {
            self.report_press(out);
            return true;
        }
        if self.profile().reports_setpoint && wanted.setpoint.is_some() {
            self.report_setpoint(now, faults, before, 1, out);
        }
        if !self.profile().reports_setpoint || wanted.mode.is_some() {
            let state = self.ack_state(&self.settings, wanted);
            out.push(self.ack(now, faults, None, true, Some(1), state));
        }
        true
    }

    pub(crate) fn reboot(&mut self, now: Now) {
        self.schedule(now.mono, Job::Boot);
    }

    /// Applies a change without a message, as the structured service does for a thermostat that MQTT does not reach.
    pub(crate) fn apply_silently(&mut self, now: Now, wanted: &ParsedCommand) {
        self.room.advance(now);
        self.apply(now, wanted, &Command { request: None, origin: Origin::Rest, taken_at: now });
    }

    pub(crate) fn held(&self) -> HeldSettings {
        self.as_held(&self.settings)
    }

    /// Settings in the form that tests compare.
    pub(crate) fn as_held(&self, settings: &Settings) -> HeldSettings {
        HeldSettings {
            setpoint: Celsius::from_hundredths(settings.in_force()),
            mode: settings.mode,
            lock: settings.lock,
            brightness: settings.brightness.percents(),
            hold: settings.hold == 2,
            hold_end: settings.until.map(UnixTime::from_secs),
            fan: settings.fan,
            swing: (settings.swing, settings.swing_sideways),
            revision: self.revision,
        }
    }

    /// Readings as of the last advance of its room.
    pub(crate) fn seen(&self, now: Now) -> Seen {
        let drive = self.room.drive();
        let temperature = self.room.temperature();
        // A V1 reads in steps of 0.05 °C, the others in steps of 0.1 °C.
        let tenth = if self.family == Family::BaseboardV1 { 20.0 } else { 10.0 };
        let reading = |value: f64| round(value * tenth) as f64 / tenth;
        // Humidity is drawn for every six hours and changes to the next value within the hour before it.
        let hours = now.wall.as_secs().div_euclid(3_600);
        let part = now.wall.as_secs().rem_euclid(3_600) as f64 / 3_600.0;
        let humidity_at = |hour: i64| 34.0 + 16.0 * unit(hash(self.seed, hour.div_euclid(6).cast_unsigned()));
        let humidity = humidity_at(hours) * (1.0 - part) + humidity_at(hours + 1) * part;
        Seen {
            room: reading(temperature),
            sensor: reading(temperature + 2.4 + 0.8 * self.control.duty),
            floor: self.room.floor().map(reading),
            floor_limit: self.floor_limit,
            humidity: floor(humidity),
            setpoint: self.settings.degrees(),
            cool_setpoint: match (self.settings.mode, self.settings.central) {
                (Mode::Auto, Some(central)) => f64::from(central.auto_cool) / 100.0,
                _ => self.settings.degrees(),
            },
            mode: self.settings.mode,
            on: drive.is_on(now.mono),
            duty: self.control.duty,
            amperes: self.rated / self.volts,
            volts: self.volts,
            rated: self.rated,
            tracked: self.settings.tracked,
        }
    }

    /// Range of the setpoint in this mode and its step, in hundredths of a degree.
    pub(crate) const fn setpoints(&self, mode: Mode) -> (i32, i32, i32) {
        setpoints(self.family, self.remote, mode)
    }

    pub(crate) fn has_mode(&self, mode: Mode) -> bool {
        has_mode(self.family, self.remote, mode)
    }

    /// Returns the command that an air conditioner applies, or `None` if its remote control cannot express
    /// it.
    fn translated(&self, wanted: ParsedCommand) -> Option<ParsedCommand> {
        if self.family == Family::AirConditioner { self.remote.translate(wanted) } else { Some(wanted) }
    }

    const fn profile(&self) -> &'static Profile {
        self.family.profile()
    }

    /// Advances the room, and handles the loss and return of power.
    fn look(&mut self, now: Now, faults: &DeviceFaults) {
        self.room.advance(now);
        if faults.powerless == self.powered {
            self.powered = !faults.powerless;
            if self.powered {
                self.schedule(now.mono, Job::Boot);
            } else {
                self.room.set_drive(Drive::OFF);
                self.control = Control::default();
                self.live_until = Duration::ZERO;
            }
        }
    }

    /// Returns `true` if messages reach it and its messages reach the cloud.
    pub(crate) const fn is_reachable(&self, faults: &DeviceFaults) -> bool {
        self.powered && !faults.offline && !self.unpaired && !self.booting
    }

    /// Returns `true` once after it has begun to follow the schedule.
    pub(crate) const fn take_resumed(&mut self) -> bool {
        core::mem::replace(&mut self.resumed, false)
    }

    /// Ends a hold at its time, even without power, and reports it as after a press of a button.
    fn end_hold(&mut self, now: Now, faults: &DeviceFaults, out: &mut Vec<Emission>) {
        self.hold_due = None;
        self.settings.until = None;
        self.revision += 1;
        self.resumed = true;
        if self.is_reachable(faults) && self.family.has_topics() {
            let state = self.ack_state(&self.settings, &ParsedCommand::default());
            out.push(self.ack(now, faults, None, true, None, state));
        }
    }

    fn work(&mut self, now: Now, faults: &DeviceFaults, job: Job, out: &mut Vec<Emission>) {
        let reachable = self.is_reachable(faults);
        match job {
            Job::Deliver(delivery) if reachable => self.handle_message(now, faults, &delivery, out),
            Job::Publish(emission) if reachable => out.push(emission),
            Job::TakeDelta(delta) if reachable => self.handle_delta(now, faults, &delta, out),
            Job::Report if reachable => self.report_changes(now, faults, out),
            Job::Deliver(_) | Job::Publish(_) | Job::TakeDelta(_) | Job::Report => {}
            Job::Boot => {
                self.booting = true;
                self.live_until = Duration::ZERO;
                self.control = Control::default();
                self.room.set_drive(Drive::OFF);
                self.schedule(now.mono + Duration::from_secs(4), Job::Hello);
            }
            Job::Hello => {
                self.booting = false;
                if !self.powered {
                    return;
                }
                self.boots = self.boots.saturating_add(1);
                self.boot_at = now.wall.as_secs() - 4;
                self.drive(now, true);
                if !faults.offline && !self.unpaired {
                    self.report_boot(now, faults, out);
                }
            }
            Job::Unpair => self.unpaired = true,
        }
    }

    fn apply(&mut self, now: Now, wanted: &ParsedCommand, command: &Command) {
        let next = self.settings.with(wanted, now.wall);
        self.revision += u64::from(next != self.settings);
        self.settings = next;
        if wanted.hold.is_some() {
            self.hold_due = self.settings.until.map(|until| agenda::until(now, until));
            // A setpoint beside it counts until the next event, like any other.
            self.resumed = !self.settings.holds() && wanted.setpoint.is_none();
        }
        self.note(now, wanted, command, true);
        self.drive(now, true);
    }

    fn note(&mut self, at: Now, wanted: &ParsedCommand, command: &Command, applied: bool) {
        if self.command_records.len() == RECORDS {
            self.command_records.pop_front();
        }
        let Command { request, origin, taken_at } = *command;
        self.command_records.push_back(CommandRecord {
            at,
            taken_at,
            origin,
            request,
            applied,
            setpoint: wanted.setpoint.or(wanted.cool).or(wanted.auto_heat).map(Celsius::from_hundredths),
            mode: wanted.mode,
            lock: wanted.lock,
            brightness: wanted.brightness.map(Brightness::percents),
            held: self.held(),
        });
        self.record_count += 1;
    }

    /// Runs the controller. The room must have been advanced to `now`.
    fn drive(&mut self, now: Now, forced: bool) {
        if !self.powered || self.booting {
            return;
        }
        let seen = self.seen(now);
        if let Some(drive) = self.family.control(&mut self.control, now.mono, &seen, forced) {
            self.room.set_drive(drive);
        }
    }

    fn sample(&mut self, now: Now, faults: &DeviceFaults) {
        if !self.powered || self.booting {
            return;
        }
        self.drive(now, false);
        let seen = self.seen(now);
        self.room.meter.sample(&Bucket {
            start: now.wall.as_secs(),
            temperature_sum: seen.room,
            humidity_sum: seen.humidity,
            floor_sum: seen.floor.unwrap_or(0.0),
            setpoint: seen.setpoint,
            samples: 1,
            ..Bucket::default()
        });
        if self.profile().batch_version.is_none() || self.family == Family::Silent {
            return;
        }
        let tenths = |value: f64| i16::try_from(round(value * 10.0)).unwrap_or(i16::MAX);
        let sensed = matches!(self.family, Family::BaseboardV1 | Family::BaseboardV2);
        let on_tenths = tenths(self.profile().sample.as_secs_f64() * seen.duty);
        if self.records.len() == BATCH_RECORDS {
            self.records.pop_front();
        }
        self.records.push_back(Record {
            time: u32::try_from(now.wall.as_secs() + faults.clock_shift).unwrap_or(u32::MAX),
            sensor: tenths(seen.sensor),
            ambient: tenths(seen.room),
            setpoint: tenths(seen.setpoint),
            humidity: i8::try_from(round(seen.humidity)).unwrap_or(i8::MAX),
            duty: i8::try_from(round(seen.duty * 100.0)).unwrap_or(100),
            on_time: on_tenths,
            off_time: tenths(self.profile().sample.as_secs_f64()) - on_tenths,
            heat_sink: tenths(seen.sensor + 6.0),
            free_heap: 7_012,
            rssi: 58,
            on: seen.on,
            volts: if self.family == Family::Lite { 0 } else { tenths(seen.volts / 10.0) },
            current: if sensed && seen.on { tenths(seen.amperes * 10.0) } else { 0 },
        });
    }

    /// Draws the time that a message takes: at least `least` and less than `spread` more, in milliseconds.
    fn latency(&mut self, least: u64, spread: u64) -> Duration {
        let drawn = Duration::from_millis(least + self.rng.below(spread));
        if self.instant { Duration::ZERO } else { drawn }
    }

    fn schedule(&mut self, at: Duration, job: Job) {
        self.sequence += 1;
        // A lost boot would leave the thermostat off forever, so the queue has spare capacity for these jobs.
        let precious = matches!(job, Job::Boot | Job::Hello | Job::Unpair);
        if self.jobs.len() < JOBS || precious && self.jobs.len() < 2 * JOBS {
            self.jobs.insert((at, self.sequence), job);
        }
    }
}
