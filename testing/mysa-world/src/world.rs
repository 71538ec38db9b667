use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use mysa_cognito::{Secret, StoredSession};
use mysa_proto::{Change, DeviceId, Source, Topic, TopicKind, UnixTime};
use mysa_session::{CommandId, ConnId, Environment, Event, HttpId, Now, Session, Settings, Start, Verdict};
use mysa_sim::{Closing, Cloud, CloudSpec};
use sha2::{Digest as _, Sha256};

use crate::Rng;
use crate::check::{HttpKind, Settled, own_mode, truth_of};
use crate::coverage::{Coverage, TroubleKind};
use crate::ledger::Ledger;
use crate::net::{Net, NetSpec, Packet, ToCloud, Trouble};
use crate::observer::Observer;
use crate::pace::Pace;
use crate::violation::Violation;
use crate::writes::{self, Setting};

/// One client, one cloud, the network between them, and one clock for all. Time jumps from one deadline to the next, so
/// a simulated day takes milliseconds. The invariants are checked after every step.
#[derive(Debug)]
pub struct World {
    /// The client.
    pub session: Session,
    /// The cloud.
    pub cloud: Cloud,
    pub(crate) settings: Settings,
    pub(crate) net: Net,
    pub(crate) host: Host,
    pub(crate) now: Duration,
    pub(crate) start_time: UnixTime,
    pub(crate) observer: Observer,
    pub(crate) conns: BTreeMap<ConnId, Link>,
    pub(crate) ledger: Ledger,
    /// Confirmed settings that have not been changed since.
    pub(crate) settled: BTreeMap<(DeviceId, Setting), Settled>,
    /// Thermostats at which an older command arrived after a newer one; cleared when the next command is sent.
    pub(crate) overtaken: BTreeSet<DeviceId>,
    /// Writes of this process.
    pub(crate) pace: Pace,
    /// Time of the last change of each thermostat by another client or a person.
    pub(crate) foreign_at: BTreeMap<DeviceId, Duration>,
    /// Mode of each thermostat at the start, by its MQTT number.
    pub(crate) first_modes: BTreeMap<DeviceId, i64>,
    /// Number of the newest transmission that has reached the cloud for each thermostat.
    pub(crate) arrivals: BTreeMap<DeviceId, u64>,
    /// HTTP requests whose answer has not reached the client.
    pub(crate) http: BTreeMap<HttpId, HttpKind>,
    /// Times of the HTTP requests within the last minute.
    pub(crate) requests_at: VecDeque<Duration>,
    /// Last `Authorization` header of the client.
    pub(crate) authorization: String,
    /// `true` while the refresh token last given to the client, or stored by it, is valid.
    pub(crate) tokens_good: bool,
    /// Requests whose answer is in transit to the client and contains valid tokens.
    pub(crate) tokens_in_transit: BTreeSet<HttpId>,
    pub(crate) forbids_unnecessary_sign_ins: bool,
    /// `true` where each refresh token can be used once.
    pub(crate) rotation: bool,
    pub(crate) disk_full: bool,
    /// Number of connections that the client has dialled and not closed.
    pub(crate) dialled: usize,
    pub(crate) open_devices: Vec<DeviceId>,
    /// Revision of each thermostat's settings when they were last sampled.
    pub(crate) sampled: BTreeMap<DeviceId, u64>,
    pub(crate) coverage: Coverage,
    pub(crate) records_coverage: bool,
    /// Start and end of each lasting trouble, and its kind.
    pub(crate) planned: Vec<(Duration, Duration, TroubleKind)>,
    pub(crate) verdicts: Vec<(Duration, CommandId, Verdict)>,
    /// Number of verdicts of earlier clients, whose commands have the same ids.
    pub(crate) old_verdicts: usize,
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) stored: Option<StoredSession>,
    /// Time at which each thermostat's last message reached the client.
    pub(crate) last_message: BTreeMap<DeviceId, Duration>,
    pub(crate) field_times: BTreeMap<(DeviceId, &'static str, Source), UnixTime>,
    /// `true` where any thermostat may acknowledge commands that it does not carry out.
    pub(crate) ignore_commands: bool,
    /// Thermostats that may acknowledge commands that they do not carry out.
    pub(crate) ignoring: BTreeSet<DeviceId>,
    /// Thermostats whose messages overtake each other. Their final settings prove nothing.
    pub(crate) reordered: BTreeSet<DeviceId>,
    pub(crate) printed_at: Duration,
    /// Time of the last successful REST answer, or of the client's start.
    pub(crate) answered_at: Duration,
    pub(crate) dials: VecDeque<Duration>,
    pub(crate) sign_ins: VecDeque<Duration>,
    pub(crate) secrets: Vec<String>,
    pub(crate) digest: Sha256,
    pub(crate) history: VecDeque<String>,
    pub(crate) steps: u64,
    pub(crate) at_this_moment: u32,
    pub(crate) keep_events: bool,
    /// `true` while the application reads no events.
    pub(crate) reader_stalls: bool,
    pub(crate) reader_back: Option<Duration>,
    pub(crate) requests: Vec<(Duration, String)>,
    pub(crate) dials_ever: u64,
    pub(crate) duplicate_clients: u64,
    pub(crate) checked_at: Duration,
    /// Events since the last reading of the tap; `None` if nobody reads them.
    pub(crate) tap: Option<Tap>,
}

/// Events and writes for a second checker, of an application on top of the session.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    pub(crate) events: Vec<Event>,
    /// Commands whose bytes left the client, each with the settings that they ask for.
    pub(crate) writes: Vec<(DeviceId, writes::Settings)>,
}

/// The machine on which the client runs.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// Milliseconds by which its wall clock is ahead of the true time.
    ahead_ms: i64,
    /// Time it has slept that its monotonic clock did not count.
    slept: Duration,
    asleep: Option<Sleep>,
    woke: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Sleep {
    from: Duration,
    until: Duration,
    /// `true` if the monotonic clock keeps running.
    counted: bool,
}

#[derive(Debug)]
pub(crate) struct Link {
    /// Number of the connection in the cloud.
    pub(crate) number: u64,
    pub(crate) open: bool,
    /// `true` while the client holds a socket for the connection.
    pub(crate) held: bool,
}

/// Lines of history kept for the report of a violation.
const HISTORY: usize = 400;
/// Steps allowed while no time passes.
const AT_ONE_MOMENT: u32 = 20_000;

impl World {
    /// Creates a world in which the client signs in with the password of the spec's first account.
    #[must_use]
    pub fn new(spec: CloudSpec, net: NetSpec, settings: Settings, seed: u64) -> Self {
        let account = spec.accounts.first();
        let start = Start::Password {
            username: account.map(|account| account.email.clone()).unwrap_or_default(),
            password: Secret::from(account.map(|account| account.password.as_str()).unwrap_or_default()),
        };
        Self::with_start(spec, net, settings, start, seed, 0)
    }

    /// Creates a world whose client starts with `start`, on a host whose wall clock is `ahead_ms` ahead of the true
    /// time. The thermostats have no schedules: their events would undo commands, which the ledger does not expect.
    #[must_use]
    pub fn with_start(
        spec: CloudSpec,
        net: NetSpec,
        settings: Settings,
        start: Start,
        seed: u64,
        ahead_ms: i64,
    ) -> Self {
        let mut rng = Rng::new(seed);
        // 2026-01-02T03:04:05Z. A fixed start makes signatures, and so the digest, the same in every run.
        let start_time = UnixTime::from_secs(1_767_323_045);
        let secrets = spec.accounts.iter().map(|account| account.password.clone()).collect();
        let host = Host { ahead_ms, ..Host::default() };
        let host_now = Now { mono: Duration::ZERO, wall: start_time.plus_millis(ahead_ms) };
        let session = Session::new(settings.clone(), Environment::mysa(), start, rng.bytes(), host_now);
        let rotation = spec.rules.rotation;
        let cloud = Cloud::new(
            spec.without_schedules(),
            rng.next(),
            mysa_sim::Now { mono: Duration::ZERO, wall: start_time },
        );
        let first_modes = cloud
            .device_ids()
            .filter_map(|device| Some((device, truth_of(&cloud.held(device)?).mode)))
            .collect();
        Self {
            session,
            cloud,
            settings,
            net: Net::new(net, Rng::new(rng.next())),
            host,
            now: Duration::ZERO,
            start_time,
            observer: Observer::default(),
            conns: BTreeMap::new(),
            ledger: Ledger::default(),
            settled: BTreeMap::new(),
            overtaken: BTreeSet::new(),
            pace: Pace::default(),
            foreign_at: BTreeMap::new(),
            first_modes,
            arrivals: BTreeMap::new(),
            http: BTreeMap::new(),
            requests_at: VecDeque::new(),
            authorization: String::new(),
            tokens_good: false,
            tokens_in_transit: BTreeSet::new(),
            forbids_unnecessary_sign_ins: false,
            rotation,
            disk_full: false,
            dialled: 0,
            open_devices: Vec::new(),
            sampled: BTreeMap::new(),
            coverage: Coverage::default(),
            records_coverage: false,
            planned: Vec::new(),
            verdicts: Vec::new(),
            old_verdicts: 0,
            events: Vec::new(),
            stored: None,
            last_message: BTreeMap::new(),
            field_times: BTreeMap::new(),
            dials: VecDeque::new(),
            sign_ins: VecDeque::new(),
            secrets,
            digest: Sha256::new(),
            history: VecDeque::new(),
            steps: 0,
            at_this_moment: 0,
            keep_events: true,
            reader_stalls: false,
            reader_back: None,
            requests: Vec::new(),
            dials_ever: 0,
            duplicate_clients: 0,
            checked_at: Duration::ZERO,
            tap: None,
            ignoring: BTreeSet::new(),
            reordered: BTreeSet::new(),
            ignore_commands: false,
            printed_at: Duration::ZERO,
            answered_at: Duration::ZERO,
        }
    }

    /// Lets thermostats acknowledge commands that they do not carry out. A confirmation then proves nothing in this
    /// world.
    #[must_use]
    pub fn with_thermostats_that_ignore_commands(mut self) -> Self {
        self.ignore_commands = true;
        self
    }

    /// Time since when the host has been awake; the present time while it sleeps.
    pub(crate) fn awake_since(&self) -> Duration {
        if self.host.asleep.is_some() { self.now } else { self.host.woke.unwrap_or_default() }
    }

    /// Returns `true` if the host was asleep, or the application read no events, at some time since `at`, so that no
    /// verdict could be taken.
    pub(crate) fn was_asleep_since(&self, at: Duration) -> bool {
        self.host.woke.is_some_and(|woke| woke >= at)
            || self.host.asleep.is_some()
            || self.reader_stalls
            || self.reader_back.is_some_and(|back| back >= at)
    }

    /// Keeps no list of events, for long runs.
    #[must_use]
    pub fn without_events(mut self) -> Self {
        self.keep_events = false;
        self.observer.keeps_no_log = true;
        self
    }

    /// Kills the client and starts another in its place, from its stored session or with the password.
    pub fn restart(&mut self, start: Start, seed: u64) {
        self.note("the client is restarted");
        self.record_trouble(TroubleKind::Restart);
        self.answered_at = self.now;
        // A new process cannot know when its predecessor last wrote.
        self.pace = Pace::default();
        // A machine that boots is awake.
        self.wake();
        // Bytes already sent still arrive, and answers find no recipient. The next client's numbers start again.
        for packet in self.net.take_all() {
            match packet {
                Packet::Request(request) => _ = self.ask_cloud(&request.http),
                Packet::ToCloud(ToCloud { conn, bytes, .. }) => {
                    if let Some(link) = self.conns.get(&conn) {
                        let (number, now) = (link.number, self.cloud_now());
                        self.cloud.handle_ws_bytes(now, number, &bytes);
                    }
                }
                _ => {}
            }
        }
        for (conn, link) in std::mem::take(&mut self.conns) {
            let now = self.cloud_now();
            self.cloud.handle_ws_closed(now, link.number);
            self.observer.closed(conn);
        }
        self.drain_cloud();
        self.dialled = 0;
        self.old_verdicts = self.verdicts.len();
        self.tokens_good = false;
        self.tokens_in_transit.clear();
        self.forget_commands();
        let now = self.host_now();
        self.session =
            Session::new(self.settings.clone(), Environment::mysa(), start, Rng::new(seed).bytes(), now);
    }

    /// Time since the start of the simulation.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// True civil time.
    #[must_use]
    pub fn wall(&self) -> UnixTime {
        self.start_time.plus_millis(millis(self.now))
    }

    /// Readings of both clocks of the client's host.
    #[must_use]
    pub fn host_now(&self) -> Now {
        Now {
            mono: self.now.saturating_sub(self.host.slept),
            wall: self.wall().plus_millis(self.host.ahead_ms),
        }
    }

    pub(crate) fn cloud_now(&self) -> mysa_sim::Now {
        mysa_sim::Now { mono: self.now, wall: self.wall() }
    }

    /// Sets the host's wall clock to `ahead_ms` ahead of the true time.
    pub fn step_clock(&mut self, ahead_ms: i64) {
        self.note(format_args!("the host's clock is {ahead_ms} ms ahead"));
        self.record_trouble(TroubleKind::ClockStep);
        if ahead_ms < self.host.ahead_ms {
            self.ledger.clock_set_back();
        }
        self.host.ahead_ms = ahead_ms;
    }

    /// Puts the host to sleep. Nothing on it runs, and its monotonic clock stops.
    pub fn suspend(&mut self, time: Duration) {
        self.sleep(time, false);
    }

    /// Puts the host to sleep on a system whose monotonic clock counts sleep. Nothing on it runs.
    pub fn freeze(&mut self, time: Duration) {
        self.sleep(time, true);
    }

    fn sleep(&mut self, time: Duration, counted: bool) {
        if self.host.asleep.is_none() {
            self.note(format_args!("the host sleeps for {time:?}, counted: {counted}"));
            self.record_trouble(if counted { TroubleKind::Freeze } else { TroubleKind::Suspend });
            self.host.asleep = Some(Sleep { from: self.now, until: self.now + time, counted });
        }
    }

    pub(crate) const fn is_asleep(&self) -> bool {
        self.host.asleep.is_some()
    }

    /// Wakes the host if it is asleep.
    pub fn wake(&mut self) {
        if let Some(sleep) = self.host.asleep.take() {
            self.host.woke = Some(self.now);
            if !sleep.counted {
                self.host.slept += self.now - sleep.from;
            }
            self.net.release_held(self.now);
        }
    }

    /// Replaces the behaviour of the network. The times of troubles count from the start of the simulation.
    pub fn set_net(&mut self, net: NetSpec) {
        self.net.spec = net;
    }

    /// Asks for a change, as an application would. Returns `None` if the session has no room for it or the host is
    /// asleep.
    ///
    /// # Errors
    /// The invariant that this broke.
    pub fn command(
        &mut self,
        device: DeviceId,
        change: Change,
        deadline: Option<Duration>,
    ) -> Result<Option<CommandId>, Violation> {
        if self.host.asleep.is_some() {
            return Ok(None);
        }
        let now = self.host_now();
        self.note(format_args!("command: {device} {change}"));
        let id = match self.session.command(now, device, change, deadline) {
            Ok(id) => id,
            Err(_) => return Ok(None),
        };
        let deadline = deadline.unwrap_or(self.settings.command_deadline);
        let family = self.family(device);
        let settings = writes::asked(&change, family);
        self.ledger.issue(id, device, change, settings, (self.now, deadline));
        self.sample(device);
        self.drain_session()?;
        self.ledger.overtake(id);
        Ok(Some(id))
    }

    /// Family of a thermostat.
    pub(crate) fn family(&self, device: DeviceId) -> Option<mysa_sim::Family> {
        self.cloud.truth(device).map(|truth| truth.family)
    }

    /// Cancels a command, as an application would.
    ///
    /// # Errors
    /// The invariant that this broke.
    pub fn cancel(&mut self, id: CommandId) -> Result<(), Violation> {
        if self.host.asleep.is_some() {
            return Ok(());
        }
        self.note(format_args!("cancelled: {id}"));
        self.call(|session, now| session.cancel(now, id))
    }

    /// Expects one write to this path that is not a command.
    pub fn expect_write(&mut self, path: &str) {
        self.ledger.expect(path);
    }

    /// Calls the client as an application would and processes its outputs: `world.call(|session, now| …)`.
    ///
    /// # Errors
    /// The invariant that this broke.
    pub fn call<T>(&mut self, act: impl FnOnce(&mut Session, Now) -> T) -> Result<T, Violation> {
        let now = self.host_now();
        let result = act(&mut self.session, now);
        self.drain_session()?;
        Ok(result)
    }

    /// Makes an incident happen in the cloud at the present time.
    pub fn happen(&mut self, incident: mysa_sim::Incident) {
        match &incident {
            mysa_sim::Incident::Publish(topic, payload) => {
                self.note(format_args!(
                    "{topic}: {}",
                    String::from_utf8_lossy(payload.get(..500).unwrap_or(payload))
                ));
            }
            other => self.note(format_args!("{other:?}")),
        }
        let now = self.cloud_now();
        match &incident {
            mysa_sim::Incident::Press(device, _)
            | mysa_sim::Incident::PressMode(device, _)
            | mysa_sim::Incident::Schedule(device, ..)
            | mysa_sim::Incident::OtherApp(device, ..) => {
                self.foreign(*device);
            }
            mysa_sim::Incident::Publish(topic, _) => {
                if let Some(Topic { device, kind: TopicKind::In }) = Topic::parse(topic.as_bytes()) {
                    self.foreign(device);
                }
            }
            mysa_sim::Incident::RevokeTokens(_) | mysa_sim::Incident::ChangePassword(..) => {
                self.tokens_good = false;
                // An answer that was made before the revocation brings tokens that are revoked by then.
                self.tokens_in_transit.clear();
            }
            _ => {}
        }
        self.cloud.act(now, incident);
        self.drain_cloud();
    }

    /// Sets whether the application reads no events while the client's input and output go on. Once it reads again, the
    /// next step delivers all events that wait.
    pub const fn stall_reader(&mut self, stalls: bool) {
        self.reader_stalls = stalls;
        self.reader_back = Some(self.now);
    }

    /// HTTP requests sent, as `METHOD URL`, recorded while events are kept.
    #[must_use]
    pub fn requests(&self) -> &[(Duration, String)] {
        &self.requests
    }

    /// Presses the buttons of a thermostat.
    pub fn press(&mut self, device: DeviceId, change: &Change) {
        self.note(format_args!("pressed: {device} {change}"));
        let now = self.cloud_now();
        self.record_trouble(TroubleKind::Person);
        self.foreign(device);
        self.cloud.press(now, device, change.setpoint, change.mode.map(own_mode));
        self.drain_cloud();
    }

    /// Verdicts so far.
    #[must_use]
    pub fn verdicts(&self) -> &[(Duration, CommandId, Verdict)] {
        &self.verdicts
    }

    /// Verdict on a command of the client that is running now.
    #[must_use]
    pub fn verdict(&self, id: CommandId) -> Option<&Verdict> {
        self.verdicts
            .iter()
            .skip(self.old_verdicts)
            .find(|(_, of, _)| *of == id)
            .map(|(_, _, verdict)| verdict)
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> &[(Duration, Event)] {
        &self.events
    }

    /// Session that the client last stored.
    #[must_use]
    pub fn stored(&self) -> Option<&StoredSession> {
        self.stored.as_ref()
    }

    /// Number of commands sent; each transmission counts.
    #[must_use]
    pub const fn commands_on_the_wire(&self) -> u64 {
        self.observer.commands
    }

    /// Number of SUBSCRIBE packets sent.
    #[must_use]
    pub const fn subscribes_on_the_wire(&self) -> u64 {
        self.observer.subscribes
    }

    /// Number of PUBLISH packets sent, commands and requests for live reports alike.
    #[must_use]
    pub const fn publishes_on_the_wire(&self) -> u64 {
        self.observer.publishes
    }

    /// Number of steps taken.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Digest of all network traffic and all verdicts.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut text = String::new();
        for byte in self.digest.clone().finalize().iter().take(8) {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Last lines of the history.
    pub fn history(&self) -> impl Iterator<Item = &str> {
        self.history.iter().map(String::as_str)
    }

    pub(crate) fn note(&mut self, line: impl std::fmt::Display) {
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        let now = self.now.as_secs_f64();
        self.history.push_back(format!("{now:>12.3}  {line}"));
    }

    /// Runs for a time.
    ///
    /// # Errors
    /// The first invariant that was broken.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Violation> {
        let until = self.now + time;
        self.run_until(until)
    }

    /// Runs until a moment.
    ///
    /// # Errors
    /// The first invariant that was broken.
    pub fn run_until(&mut self, until: Duration) -> Result<(), Violation> {
        while self.step(until)? {}
        Ok(())
    }

    /// Runs while `wait` holds, for at most `limit`. Returns `true` if `wait` ended.
    ///
    /// # Errors
    /// The first invariant that was broken.
    pub fn run_while(&mut self, limit: Duration, wait: impl Fn(&Self) -> bool) -> Result<bool, Violation> {
        let until = self.now + limit;
        while wait(self) {
            if !self.step(until)? {
                return Ok(!wait(self));
            }
        }
        Ok(true)
    }

    /// Time, on the world's clock, at which the session or its sleeping host is due.
    fn session_due(&self) -> Option<Duration> {
        let due = self.session.poll_timeout().map(|deadline| deadline.at + self.host.slept);
        self.host.asleep.map(|sleep| sleep.until).or(due)
    }

    /// Time, on the world's clock, at which the host's monotonic clock reads `mono`, if the host does not sleep before.
    pub(crate) fn at_mono(&self, mono: Duration) -> Duration {
        mono + self.host.slept
    }

    /// Ends everything that runs on the host for a time, as a loss of power does. A client has to be started again after
    /// it.
    pub(crate) fn power_off(&mut self, time: Duration) {
        self.wake();
        self.note(format_args!("the host has no power for {time:?}"));
        self.host.asleep = Some(Sleep { from: self.now, until: self.now + time, counted: false });
    }

    /// Takes one step: to the next event that is due, but not beyond `until`. Returns `false` once `until` is reached.
    pub(crate) fn step(&mut self, until: Duration) -> Result<bool, Violation> {
        let due = [
            self.session_due(),
            self.cloud.poll_timeout(),
            self.net.next_at(),
            self.net.next_trouble(self.now),
        ];
        let next = due.into_iter().flatten().min().unwrap_or(until).max(self.now);
        if next > until {
            self.now = self.now.max(until);
            return Ok(false);
        }
        self.steps += 1;
        if next > self.now {
            self.at_this_moment = 0;
            let trouble = self.net.trouble(self.now);
            self.now = next;
            let begins = self.net.trouble(self.now);
            if begins == Some(Trouble::Down) && trouble != begins {
                self.reset_links();
            }
        } else {
            self.at_this_moment += 1;
            // A session that is due again and again at one moment would keep a real driver busy forever.
            if self.at_this_moment > AT_ONE_MOMENT {
                let wake = format!("{:?}", self.session.poll_timeout());
                return Err(Violation::Livelock { wake });
            }
        }
        if self.host.asleep.is_some_and(|sleep| sleep.until <= self.now) {
            self.wake();
        }
        if self.host.asleep.is_none() {
            // Packets come before timers, so that a timer never fires for an answer that has already arrived.
            while let Some(packet) = self.net.arrived(self.now) {
                self.deliver(packet)?;
            }
            if self.session_due().is_some_and(|due| due <= self.now) {
                let now = self.host_now();
                self.session.handle_timeout(now);
            }
            self.drain_session()?;
        } else {
            self.deliver_to_cloud_only()?;
        }
        if self.cloud.poll_timeout().is_some_and(|due| due <= self.now) {
            let now = self.cloud_now();
            self.cloud.handle_timeout(now);
        }
        self.drain_cloud();
        self.check()?;
        Ok(true)
    }

    /// Delivers packets to the cloud alone while the host sleeps; packets for the host wait. The cloud ends a connection on
    /// which it can send nothing more, as a server does whose writes time out.
    fn deliver_to_cloud_only(&mut self) -> Result<(), Violation> {
        while let Some(packet) = self.net.arrived(self.now) {
            match packet {
                Packet::Request(..) | Packet::Upgrade(_) | Packet::ToCloud(..) | Packet::ClientClosed(_) => {
                    self.deliver(packet)?;
                }
                other => {
                    let Some(conn) = self.net.hold(other) else { continue };
                    let Some(number) = self.conns.get(&conn).map(|link| link.number) else { continue };
                    self.note(format_args!("the cloud can send nothing more on {conn} and ends it"));
                    let now = self.cloud_now();
                    self.cloud.handle_ws_closed(now, number);
                    self.drain_cloud();
                    self.net.hold(Packet::CloudClosed(conn, Closing::Cut));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn note_coverage(&mut self) {
        let (now, states) = (self.now, self.states());
        let active = self.planned.iter().filter(|(from, until, _)| *from <= now && now < *until);
        let troubles = active.fold(0, |all, (_, _, kind)| all | kind.bit());
        self.coverage.see(troubles, states);
    }

    /// Counts a kind of trouble that happens at one moment.
    pub(crate) fn record_trouble(&mut self, kind: TroubleKind) {
        if self.records_coverage {
            let states = self.states();
            self.coverage.record(kind, states);
        }
    }

    fn reset_links(&mut self) {
        self.note("the network is down");
        let open: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in open {
            self.net.stream(self.now, conn, false, Packet::Reset(conn));
        }
    }
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
