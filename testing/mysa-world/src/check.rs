//! Invariants that must hold after every step.

use std::time::Duration;

use mysa_mqtt_codec::{Inbound, decode};
use mysa_proto::{DeviceId, Field, Mode, Source, Topic, UnixTime};
use mysa_session::{CommandId, Event, HttpId, Reason, Refused, Verdict};
use sha2::Digest as _;

use crate::World;
use crate::coverage::SessionState;
use crate::ledger::{Carrier, IN_TRANSIT, Ledger, ModeHeld, Truth};
use crate::violation::Violation;
use crate::writes::{self, Asked, Request, Setting};

/// Time by which a verdict may be late.
const VERDICT_SLACK: Duration = Duration::from_secs(2);
/// Interval between checks of the costlier invariants.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Time by which a report of staleness may be late.
const STALENESS_SLACK: Duration = Duration::from_secs(120);
/// Interval between printing the whole session to search it for secrets.
const PRINT_EVERY: Duration = Duration::from_secs(3_600);
/// Bytes that may wait on one connection to the cloud.
const MOST_BYTES: usize = 256 << 10;
/// Longest silence of the client on a connection that it has not closed; it pings at least every 45 s.
const SILENCE: Duration = Duration::from_secs(180);
/// Time that others leave a write by REST to open its connection.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);
/// HTTP requests allowed within a minute.
const MOST_REQUESTS: usize = 300;

/// A confirmed setting that has not been changed since.
#[derive(Debug)]
pub(crate) struct Settled {
    command: CommandId,
    asked: Asked,
}

/// Kind of an HTTP request in flight, as far as the checks need it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HttpKind {
    SignIn,
    Renewal,
    Other,
}

impl World {
    /// Checks a command on a connection.
    pub(crate) fn check_command(
        &mut self,
        command: &crate::observer::ObservedCommand,
    ) -> Result<u64, Violation> {
        self.note(format_args!(
            "sent to {} as {}: {:?}{}",
            command.device,
            command.id,
            command.settings,
            if command.again { " (DUP)" } else { "" }
        ));
        if !command.again {
            self.pace.write(self.now, command.device, false, &self.settings)?;
        }
        self.transmit(command.device, Carrier::Message(command.id), &command.settings)
    }

    fn transmit(
        &mut self,
        device: DeviceId,
        carrier: Carrier,
        settings: &writes::Settings,
    ) -> Result<u64, Violation> {
        if self.settings.read_only {
            return Err(Violation::WriteWhileReadOnly(format!("{device}: {settings:?}")));
        }
        let held = if carrier.requires_mode(settings) { self.modes_held(device) } else { Vec::new() };
        let number = self.ledger.transmit(self.now, device, carrier, settings, &held)?;
        if let Some(tap) = &mut self.tap {
            tap.writes.push((device, settings.clone()));
        }
        for (setting, _) in settings {
            self.settled.remove(&(device, *setting));
        }
        self.overtaken.remove(&device);
        self.sample(device);
        Ok(number)
    }

    /// Counts an HTTP request of the session.
    pub(crate) fn count_request(&mut self) -> Result<(), Violation> {
        const WINDOW: Duration = Duration::from_secs(60);
        while self.requests_at.front().is_some_and(|at| *at + WINDOW < self.now) {
            self.requests_at.pop_front();
        }
        self.requests_at.push_back(self.now);
        if self.requests_at.len() > MOST_REQUESTS {
            return Err(Violation::RequestStorm { requests: self.requests_at.len() });
        }
        Ok(())
    }

    /// Checks an HTTP request, which the session made at `asked`, as its bytes are sent. Returns the command it carries, as its
    /// thermostat and the number of the transmission, and whether the request changes anything.
    pub(crate) fn check_request(
        &mut self,
        request: &mysa_session::HttpRequest,
        asked: Duration,
    ) -> Result<(Option<(DeviceId, u64)>, bool), Violation> {
        let header = |name: &str| {
            request.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_ref())
        };
        let body = request.body.ready().unwrap_or_default();
        let class = writes::classify(request.method, &request.url, header("x-amz-target"), body);
        let kind = match &class {
            Request::SignIn { .. } => HttpKind::SignIn,
            Request::Refresh | Request::Credentials => HttpKind::Renewal,
            _ => HttpKind::Other,
        };
        self.http.insert(request.id, kind);
        if let Some(token) = header("authorization") {
            token.clone_into(&mut self.authorization);
        }
        let read_only = |path: &str| Violation::WriteWhileReadOnly(path.to_owned());
        match class {
            Request::SignIn { first: true } => {
                self.count_sign_in()?;
                if self.forbids_unnecessary_sign_ins && std::mem::take(&mut self.tokens_good) {
                    return Err(Violation::UnnecessarySignIn);
                }
            }
            Request::Update(device) => {
                if self.settings.read_only {
                    return Err(read_only(&request.url));
                }
                let settings = writes::from_update(body.as_bytes())?;
                self.note(format_args!("requested of {device}: {settings:?}"));
                let delayed = self.now.saturating_sub(asked) > CONNECTS_WITHIN;
                self.pace.write(self.now, device, delayed, &self.settings)?;
                let number = self.transmit(device, Carrier::Request(request.id), &settings)?;
                return Ok((Some((device, number)), true));
            }
            Request::Write(path) => {
                if self.settings.read_only {
                    return Err(read_only(path));
                }
                self.ledger.write(request.id, path)?;
                return Ok((None, true));
            }
            Request::Foreign => return Err(Violation::UnrequestedCall { what: request.url.clone() }),
            _ => {}
        }
        Ok((None, false))
    }

    /// Records that a request has its answer, or will have none.
    pub(crate) fn check_answer(&mut self, id: HttpId, status: Result<u16, bool>) {
        self.http.remove(&id);
        let done = match status {
            // These answers rule out that a write was carried out; after any other answer it may have been.
            Ok(status) => !matches!(status, 300..=399 | 401 | 403 | 404 | 405 | 410 | 429),
            Err(may_be_done) => may_be_done,
        };
        self.ledger.answered(id, done);
    }

    /// Records that a command reaches the cloud. If a newer command overtook it in transit, it undoes the
    /// newer one, which no client can prevent.
    pub(crate) fn arrived(&mut self, device: DeviceId, number: u64) {
        let newest = self.arrivals.entry(device).or_default();
        if number < *newest {
            self.settled.retain(|(of, _), _| *of != device);
            self.overtaken.insert(device);
        }
        *newest = number.max(*newest);
    }

    /// Records that another client or a person changes a thermostat.
    pub(crate) fn foreign(&mut self, device: DeviceId) {
        self.foreign_at.insert(device, self.now);
        self.settled.retain(|(of, _), _| *of != device);
    }

    /// Actual settings of a thermostat.
    pub(crate) fn truth(&self, device: DeviceId) -> Option<Truth> {
        self.cloud.held(device).map(|held| truth_of(&held))
    }

    /// Modes that a thermostat has held, the oldest first.
    fn modes_held(&self, device: DeviceId) -> Vec<ModeHeld> {
        let first = self.first_modes.get(&device).map(|mode| (Duration::ZERO, *mode));
        let later = self
            .cloud
            .command_records(device)
            .map(|record| (record.at.mono, i64::from(record.held.mode.wire())));
        let mut modes: Vec<ModeHeld> = Vec::new();
        for (from, mode) in first.into_iter().chain(later) {
            match modes.last_mut() {
                Some(last) if last.mode == mode => continue,
                Some(last) => last.until = Some(from),
                None => {}
            }
            modes.push(ModeHeld { mode, from, until: None });
        }
        modes
    }

    /// Samples the settings of a thermostat, including those in between: two commands may take effect in one step of
    /// the world.
    pub(crate) fn sample(&mut self, device: DeviceId) {
        let Some(held) = self.cloud.held(device) else { return };
        let seen = self.sampled.insert(device, held.revision).unwrap_or_default();
        if held.revision > seen + 1 {
            let between = |record: &&mysa_sim::CommandRecord| record.held.revision > seen;
            let states: Vec<Truth> = self
                .cloud
                .command_records(device)
                .filter(between)
                .map(|record| truth_of(&record.held))
                .collect();
            for truth in &states {
                self.ledger.sample(device, truth);
            }
        }
        self.ledger.sample(device, &truth_of(&held));
    }

    /// Samples the thermostats with undecided commands.
    pub(crate) fn sample_all(&mut self) {
        let mut open = std::mem::take(&mut self.open_devices);
        self.ledger.to_be_sampled(&mut open);
        for device in &open {
            self.sample(*device);
        }
        self.open_devices = open;
    }

    pub(crate) fn event(&mut self, event: Event) -> Result<(), Violation> {
        match &event {
            Event::Verdict { id, device, verdict } => {
                self.digest.update(format!("{id}{verdict:?}"));
                self.note(format_args!("verdict on {id} for {device}: {verdict}"));
                // A button may have been pressed since the last step.
                self.sample(*device);
                self.check_verdict(*id, verdict)?;
                self.verdicts.push((self.now, *id, verdict.clone()));
            }
            Event::Device { device, .. } => self.check_times(*device)?,
            // Its state is gone with the device, so its times may start again.
            Event::DeviceRemoved { device } => self.field_times.retain(|(of, ..), _| of != device),
            Event::Service(service) => self.note(format_args!("service: {service}")),
            _ => {}
        }
        if let Some(tap) = &mut self.tap {
            tap.events.push(event.clone());
        }
        if self.keep_events {
            self.events.push((self.now, event));
        }
        Ok(())
    }

    fn check_verdict(&mut self, id: CommandId, verdict: &Verdict) -> Result<(), Violation> {
        let (device, issued) = self.ledger.decide(self.now, id, verdict)?;
        if matches!(verdict, Verdict::Refused(Refused::Service { .. })) && issued.has_message() {
            return Err(Violation::RefusedAfterMessage(format!("{id}: {verdict}")));
        }
        let late = self.now > issued.at + issued.deadline + VERDICT_SLACK;
        let (at, sent, change) = (issued.at, issued.sent, issued.change);
        let was_true = Ledger::was_true(issued);
        let settled: Vec<(Setting, Asked)> =
            issued.newest_settings().map(|(setting, asked)| (setting, asked.clone())).collect();
        if late && !self.was_asleep_since(at) {
            return Err(Violation::NoVerdict(format!("{id} came late: {verdict}")));
        }
        if !verdict.is_confirmed() || self.may_ignore(device) {
            return Ok(());
        }
        let Some(truth) = self.truth(device) else { return Ok(()) };
        if !was_true {
            return Err(Violation::FalseConfirmation {
                device,
                command: format!("{id}: {change}"),
                truth: format!("{truth:?}"),
            });
        }
        // A foreign change may have been in transit when the command was sent. The order of arrival is then unknown, so
        // the thermostat may end at either value.
        let touched =
            self.foreign_at.get(&device).is_some_and(|then| *then + IN_TRANSIT >= sent.unwrap_or(at));
        for (setting, asked) in settled {
            let followed = !touched && !self.reordered.contains(&device) && !self.overtaken.contains(&device);
            if followed && truth.value(setting).is_some() && self.ledger.is_newest(id, setting) {
                self.settled.insert((device, setting), Settled { command: id, asked });
            }
        }
        Ok(())
    }

    /// Returns `true` if the thermostat may acknowledge commands that it does not carry out.
    fn may_ignore(&self, device: DeviceId) -> bool {
        self.ignore_commands || self.ignoring.contains(&device)
    }

    /// Checks that the time of no field goes back within its source.
    fn check_times(&mut self, device: DeviceId) -> Result<(), Violation> {
        let Some(state) = self.session.state(device) else { return Ok(()) };
        fn stamp<T>(field: Option<Field<T>>) -> Option<(Source, UnixTime)> {
            field.and_then(|field| Some((field.source, field.at?)))
        }
        for (field, known) in [
            ("temperature", stamp(state.temperature())),
            ("setpoint", stamp(state.setpoint())),
            ("mode", stamp(state.mode())),
            ("duty", stamp(state.duty())),
        ] {
            let Some((source, at)) = known else { continue };
            let newest = self.field_times.entry((device, field, source)).or_insert(at);
            if at < *newest {
                return Err(Violation::WentBack { device, field });
            }
            *newest = at;
        }
        Ok(())
    }

    /// Records which thermostats the cloud forwards messages from, independently of the session.
    pub(crate) fn read_messages(&mut self, mut bytes: &[u8]) {
        while let Ok(Some(packet)) = decode(&mut bytes, 1 << 20) {
            if let Inbound::Publish(publish) = packet
                && let Some(topic) = Topic::parse(publish.topic.as_bytes())
            {
                self.last_message.insert(topic.device, self.now);
            }
        }
    }

    /// Checks the invariants after a step; the costlier ones once per interval.
    pub(crate) fn check(&mut self) -> Result<(), Violation> {
        self.sample_all();
        if self.records_coverage {
            self.note_coverage();
        }
        if self.now < self.checked_at + CHECK_EVERY {
            return Ok(());
        }
        self.check_now()
    }

    /// Checks all invariants, however recently that was done.
    ///
    /// # Errors
    /// The first invariant that was broken.
    pub fn check_now(&mut self) -> Result<(), Violation> {
        self.checked_at = self.now;
        if let Some((device, issued)) = self.ledger.undecided().find(|(_, issued)| {
            self.now > issued.at + issued.deadline + VERDICT_SLACK && !self.was_asleep_since(issued.at)
        }) {
            return Err(Violation::NoVerdict(format!("{} for {device}: {}", issued.id, issued.change)));
        }
        if self.net.len() > 20_000 {
            return Err(Violation::Unbounded { place: "network", size: self.net.len() });
        }
        let bytes = self.net.most_bytes_to_cloud();
        if bytes > MOST_BYTES {
            return Err(Violation::Unbounded { place: "bytes on one connection", size: bytes });
        }
        self.check_connections()?;
        self.check_settled()?;
        self.check_staleness()?;
        if self.now >= self.printed_at + PRINT_EVERY {
            self.printed_at = self.now;
            let printed = format!("{:?}", self.session);
            if printed.len() > 4 << 20 {
                return Err(Violation::Unbounded { place: "the session", size: printed.len() });
            }
            if self.secrets.iter().any(|secret| !secret.is_empty() && printed.contains(secret.as_str())) {
                return Err(Violation::SecretPrinted { place: "the session" });
            }
        }
        Ok(())
    }

    /// Checks that the client closes connections it no longer uses.
    fn check_connections(&self) -> Result<(), Violation> {
        // A hundred filters and more for each device, fifty on a connection, and each may be in the middle of being
        // replaced.
        let most = 4 + self.cloud.device_ids().count() / 8;
        if self.dialled > most {
            return Err(Violation::Unbounded { place: "connections", size: self.dialled });
        }
        let keep_alive = self.settings.keep_alive.clamp(Duration::from_secs(30), Duration::from_secs(1_200));
        let silence = SILENCE.max(keep_alive * 2);
        if let Some((conn, at)) = self.observer.most_silent()
            && !self.was_asleep_since(at)
            && self.now.saturating_sub(at) > silence
        {
            let silent = self.now.saturating_sub(at);
            return Err(Violation::NotClosed { conn: conn.to_string(), silent });
        }
        Ok(())
    }

    /// Checks that each thermostat holds the newest confirmed command, unless another client or a person
    /// changed it.
    fn check_settled(&self) -> Result<(), Violation> {
        for ((device, setting), Settled { command, asked }) in &self.settled {
            let Some(truth) = self.truth(*device) else { continue };
            let Some(value) = truth.value(*setting) else { continue };
            if !asked.accepts(&value) && !self.may_ignore(*device) {
                return Err(Violation::Undone {
                    device: *device,
                    setting: format!("{setting:?}"),
                    what: format!("{command} asked for {asked:?}, but the thermostat holds {value:?}"),
                });
            }
        }
        Ok(())
    }

    /// Checks that a thermostat is shown as live only while messages from it, or REST answers, arrive.
    fn check_staleness(&self) -> Result<(), Violation> {
        if self.session.service().reason == Reason::ShutDown {
            return Ok(());
        }
        let limit = self.settings.stale_after_quiet + STALENESS_SLACK;
        for device in self.session.devices().filter(|device| !device.is_stale()) {
            let id = device.id();
            let last = self.last_message.get(&id).copied().unwrap_or_default();
            let silent = self.now - last.max(self.answered_at).max(self.awake_since());
            if silent > limit {
                return Err(Violation::FalselyLive { device: id, silent });
            }
        }
        Ok(())
    }

    /// Forgets the commands of the previous client, because a new one runs now.
    pub(crate) fn forget_commands(&mut self) {
        self.ledger = Ledger::default();
        self.settled.clear();
        self.http.clear();
        // The new client learns everything again, perhaps from an older source.
        self.field_times.clear();
    }

    /// States of the session, as bits of [`SessionState`].
    pub(crate) fn states(&self) -> u128 {
        if self.is_asleep() {
            return SessionState::Asleep.bit();
        }
        let mut states = 0;
        let mut set = |holds: bool, state: SessionState| states |= if holds { state.bit() } else { 0 };
        let http = |kind: HttpKind| self.http.values().any(|other| *other == kind);
        let phases = self.observer.phases();
        let commands = self.ledger.waiting + self.ledger.in_flight > 0;
        set(http(HttpKind::SignIn), SessionState::SigningIn);
        set(http(HttpKind::Renewal), SessionState::Renewing);
        set(self.dialled > 0 && self.conns.values().any(|link| !link.open), SessionState::Dialling);
        set(phases.connecting, SessionState::Connecting);
        set(phases.subscribing, SessionState::Subscribing);
        set(phases.live && !phases.subscribing && !commands, SessionState::LiveIdle);
        set(self.ledger.waiting > 0, SessionState::CommandWaiting);
        set(self.ledger.in_flight > 0, SessionState::CommandInFlight);
        set(self.ledger.writes_by_rest(), SessionState::WriteByRest);
        set(self.conns.is_empty(), SessionState::Backoff);
        states
    }
}

pub(crate) fn truth_of(held: &mysa_sim::HeldSettings) -> Truth {
    Truth {
        setpoint: held.setpoint.as_hundredths().into(),
        mode: held.mode.wire().into(),
        lock: held.lock,
        fan: held.fan,
        swing: held.swing,
    }
}

/// Converts a mode to the simulated cloud's own type.
pub(crate) fn own_mode(mode: Mode) -> mysa_sim::Mode {
    match mode {
        Mode::Off => mysa_sim::Mode::Off,
        Mode::Cool => mysa_sim::Mode::Cool,
        Mode::Auto => mysa_sim::Mode::Auto,
        Mode::FanOnly => mysa_sim::Mode::FanOnly,
        Mode::Dry => mysa_sim::Mode::Dry,
        _ => mysa_sim::Mode::Heat,
    }
}
