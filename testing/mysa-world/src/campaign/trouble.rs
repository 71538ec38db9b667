//! Effects of each kind of trouble on a run.

use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_sim::{Closing, DeviceFault, Endpoint, Fault, HttpFault, Incident, Window};

use crate::Rng;
use crate::coverage::TroubleKind;
use crate::net::{NetTrouble, Trouble};

use super::plan::{Action, EMAIL, Plan, change, setpoint};

/// Time for which the requests that fill the queue hang.
const LINE_HANGS: Duration = Duration::from_secs(60);

impl Plan {
    /// Adds one occurrence of a kind of trouble.
    pub(crate) fn add_trouble(&mut self, rng: &mut Rng, kind: TroubleKind) {
        use TroubleKind as Kind;
        self.troubles += 1;
        let (near, device) = self.moment_near_command(rng);
        match kind {
            Kind::NetDown => self.add_net(rng, kind, Trouble::Down),
            Kind::BlackHole => self.add_net(rng, kind, Trouble::BlackHole),
            Kind::BlackHoleOut => self.add_net(rng, kind, Trouble::BlackHoleOut),
            Kind::BlackHoleIn => self.add_net(rng, kind, Trouble::BlackHoleIn),
            Kind::HeldBack => self.add_net(rng, kind, Trouble::HeldBack),
            Kind::Unsent => self.add_net(rng, kind, Trouble::Unsent),
            Kind::WriteLate => self.add_net(rng, kind, Trouble::WritesHeldBack),
            Kind::ConnectsSlowly => self.add_net(rng, kind, Trouble::ConnectsSlowly),
            Kind::TokensRevoked => self.act(near, Action::Happen(kind, Incident::RevokeTokens(EMAIL.into()))),
            Kind::TokensExpire => self.act(near, Action::Happen(kind, Incident::ExpireTokens)),
            Kind::CredentialsExpire => self.act(near, Action::Happen(kind, Incident::ExpireCredentials)),
            Kind::AllClosed => self.act(near, Action::Happen(kind, Incident::CloseAll(closing(rng)))),
            Kind::Person => self.act(near, Action::Press(device, change(rng))),
            Kind::Schedule => {
                let incident = Incident::Schedule(device, setpoint(rng).as_degrees(), mode(rng));
                self.act(near, Action::Happen(kind, incident));
            }
            Kind::OtherApp => {
                let degrees = (!rng.one_in(4)).then(|| setpoint(rng).as_degrees());
                let mode = if degrees.is_none() { Some(mysa_sim::Mode::Off) } else { mode(rng) };
                self.act(near, Action::Happen(kind, Incident::OtherApp(device, degrees, mode)));
            }
            Kind::ClockStep => {
                self.act(near, Action::StepClock((rng.below(60) as i64 - 30) * 60_000));
            }
            Kind::Suspend => self.act(near, Action::Suspend(sleep(rng))),
            Kind::Freeze => self.act(near, Action::Freeze(sleep(rng))),
            Kind::SecondProcess => self.act(near, Action::SecondProcess),
            Kind::Restart => {
                self.act(near, Action::Restart { stored: !rng.one_in(3), shut_down: rng.one_in(2) });
            }
            Kind::FullDisk => {
                let (from, until) = self.window(rng);
                self.windows.push((from, until, kind));
                self.act(from, Action::DiskFull(true));
                self.act(until, Action::DiskFull(false));
            }
            Kind::FullLine => {
                self.windows.push((near, near + LINE_HANGS, kind));
                let hang = Fault::Http(Endpoint::Path("/capabilities/".into()), HttpFault::Hang);
                self.add_fault(near, near + LINE_HANGS, hang);
                self.act(near, Action::FillRequestLine(device));
            }
            Kind::TokensAway => {
                // The service is away for hours, and the tokens expire in the middle of a command.
                let until = near + Duration::from_secs(rng.between(600, 5 * 3_600));
                let fault = *rng.pick(&[0, 1, 2]).unwrap_or(&0);
                let fault = [HttpFault::Status(500), HttpFault::Hang, HttpFault::Reset][fault].clone();
                let endpoint = if rng.one_in(3) { Endpoint::UserPool } else { Endpoint::Refresh };
                self.windows.push((near, until.min(self.length), kind));
                self.add_fault(near, until, Fault::Http(endpoint, fault));
                self.act(near, Action::Happen(kind, Incident::ExpireTokens));
            }
            Kind::LastingDevice | Kind::LastingRoute => self.add_lasting(rng, kind),
            _ => {
                let (from, until) = self.window(rng);
                self.windows.push((from, until, kind));
                let fault = self.fault(rng, kind);
                self.add_fault(from, until, fault);
            }
        }
    }

    /// Draws the start and end of a lasting trouble. Half of them begin within seconds of a command.
    pub(crate) fn window(&self, rng: &mut Rng) -> (Duration, Duration) {
        let from = match rng.below(8) {
            // During the sign-in.
            0 => Duration::from_millis(rng.below(3_000)),
            1..4 => self.moment(rng),
            _ => self.moment_near_command(rng).0,
        };
        let lasts = match rng.below(4) {
            0 => Duration::from_secs(rng.between(1, 60)),
            1 | 2 => Duration::from_secs(rng.between(60, 1_800)),
            _ => Duration::from_secs(rng.between(1_800, 4 * 3_600)),
        };
        (from, (from + lasts).min(self.length))
    }

    fn add_net(&mut self, rng: &mut Rng, kind: TroubleKind, trouble: Trouble) {
        let (from, mut until) = self.window(rng);
        if matches!(trouble, Trouble::HeldBack | Trouble::Unsent | Trouble::WritesHeldBack) {
            // A connection whose buffer is full for hours would have been closed long before.
            until = until.min(from + Duration::from_secs(rng.between(3, 300)));
        }
        self.windows.push((from, until, kind));
        self.net.troubles.push(NetTrouble { from, until, kind: trouble });
    }

    pub(crate) fn add_fault(&mut self, from: Duration, until: Duration, fault: Fault) {
        let until = until.min(self.length);
        if let Fault::Device(device, DeviceFault::Offline | DeviceFault::Powerless) = fault {
            self.dead.push((from, until, device));
        }
        self.spec.faults = std::mem::take(&mut self.spec.faults).with(from, until, fault);
    }

    /// Adds trouble of one thermostat or one route that never ends.
    fn add_lasting(&mut self, rng: &mut Rng, kind: TroubleKind) {
        if self.lasting.is_some() {
            return;
        }
        let from = self.moment(rng);
        let fault = if kind == TroubleKind::LastingDevice {
            let device = self.device(rng);
            self.lasting_device = Some(device);
            let of = |fault| Fault::Device(Some(device), fault);
            match rng.below(8) {
                0 => of(DeviceFault::Offline),
                1 => of(DeviceFault::Powerless),
                2 => of(DeviceFault::IgnoreCommands),
                3 => of(DeviceFault::DropStatuses),
                4 => of(DeviceFault::Truncate),
                5 => of(DeviceFault::Refuse),
                6 => Fault::DeliverNothing(Some(device)),
                _ => Fault::RefuseDevice(device),
            }
        } else {
            let endpoint = match rng.below(4) {
                0 => Endpoint::StructuredWrite,
                1 => Endpoint::Path("/capabilities/".into()),
                2 => Endpoint::LegacyHost,
                _ => Endpoint::Structured,
            };
            let fault = match rng.below(4) {
                0 => HttpFault::Hang,
                1 => HttpFault::Reset,
                2 => HttpFault::Status(500),
                _ => HttpFault::Status(404),
            };
            Fault::Http(endpoint, fault)
        };
        self.windows.push((from, Duration::MAX, kind));
        self.add_fault(from, self.length, fault.clone());
        self.lasting = Some(Window::new(Duration::ZERO, Duration::MAX, fault));
    }

    fn fault(&mut self, rng: &mut Rng, kind: TroubleKind) -> Fault {
        use TroubleKind as Kind;
        let write = |rng: &mut Rng, fault| {
            Fault::Http(if rng.one_in(3) { Endpoint::StructuredWrite } else { Endpoint::Write }, fault)
        };
        match kind {
            Kind::Write401 => write(rng, HttpFault::Status(401)),
            Kind::Write403 => write(rng, HttpFault::Status(403)),
            Kind::Write5xx => {
                let status = *rng.pick(&[500, 502, 503, 504]).unwrap_or(&500);
                write(rng, HttpFault::Status(status))
            }
            Kind::WriteLost => write(rng, HttpFault::Hang),
            Kind::WriteReset => write(rng, HttpFault::Reset),
            Kind::WriteOpenEnd => {
                let end = match rng.below(4) {
                    0 => HttpFault::Reset,
                    1 => HttpFault::Status(500),
                    2 => HttpFault::Html(502),
                    _ => HttpFault::Hang,
                };
                write(rng, HttpFault::AfterServing(Box::new(end)))
            }
            Kind::RestFails => {
                let endpoint = match rng.below(4) {
                    0 => Endpoint::LegacyHost,
                    1 => Endpoint::BackendHost,
                    2 => Endpoint::Structured,
                    _ => Endpoint::Rest,
                };
                Fault::Http(endpoint, http_fault(rng))
            }
            Kind::AnyHttpFails => Fault::Http(Endpoint::Any, http_fault(rng)),
            Kind::CredentialsAway => {
                let endpoint = if rng.one_in(2) { Endpoint::IdentityPool } else { Endpoint::Credentials };
                Fault::Http(endpoint, http_fault(rng))
            }
            Kind::StaleDate => {
                let age = Duration::from_secs(rng.between(60, 40_000));
                Fault::Http(Endpoint::Rest, HttpFault::Cached(age))
            }
            Kind::LyingDate => {
                // The user pool is left out: at the first sign-in no other host can be asked, and the proof contains
                // the time.
                let endpoint = match rng.below(3) {
                    0 => Endpoint::LegacyHost,
                    1 => Endpoint::BackendHost,
                    _ => Endpoint::Rest,
                };
                Fault::DateShift(endpoint, rng.below(180_000) as i64 - 90_000)
            }
            Kind::UpgradeRefused => Fault::RefuseUpgrade(*rng.pick(&[403, 404, 426, 500]).unwrap_or(&403)),
            Kind::UpgradeHangs => Fault::HangUpgrade,
            Kind::ConnectIgnored => Fault::IgnoreConnect,
            Kind::ConnectCloses => Fault::CloseOnConnect(closing(rng)),
            Kind::ClosedAfterConnect => Fault::CloseAfterConnect {
                after: Duration::from_millis(rng.between(1, 30_000)),
                closing: closing(rng),
            },
            Kind::ClosedOnPublish => Fault::CloseOnPublish(closing(rng)),
            Kind::PublishDenied => Fault::DenyPublish,
            Kind::PublishesDropped => Fault::DropPublishes,
            Kind::PubacksDropped => Fault::DropPubacks,
            Kind::SubacksDropped => Fault::DropSubacks,
            Kind::PingsDropped => Fault::DropPings,
            Kind::BrokerBlackHoleIn => Fault::BlackholeIn,
            Kind::BrokerBlackHoleOut => Fault::BlackholeOut,
            Kind::BrokerStopsReading => Fault::StopReading,
            Kind::FewGranted => Fault::GrantFirst(usize::try_from(rng.below(3)).unwrap_or(0)),
            Kind::NothingDelivered => Fault::DeliverNothing(self.some_device(rng)),
            Kind::StatusRetained => {
                Fault::Retained((!rng.one_in(4)).then(|| Duration::from_secs(rng.between(1, 200_000))))
            }
            Kind::Duplicates => Fault::Duplicate,
            Kind::QosRaised => Fault::RaiseQos,
            Kind::BurstDropped => Fault::DropBursts(Duration::from_millis(rng.between(500, 4_000))),
            Kind::StatesFrozen => Fault::FreezeStates,
            Kind::OnlyDesired => Fault::DesiredOnly,
            _ => {
                let device = self.some_device(rng);
                Fault::Device(device, self.device_fault(rng, kind, device))
            }
        }
    }

    fn some_device(&self, rng: &mut Rng) -> Option<DeviceId> {
        if rng.one_in(3) { None } else { Some(self.device(rng)) }
    }

    fn device_fault(&mut self, rng: &mut Rng, kind: TroubleKind, device: Option<DeviceId>) -> DeviceFault {
        use TroubleKind as Kind;
        let concerned = || device.map_or_else(|| self.devices.clone(), |device| vec![device]);
        match kind {
            Kind::DeviceOffline => DeviceFault::Offline,
            Kind::DevicePowerless => DeviceFault::Powerless,
            Kind::CommandsIgnored => DeviceFault::IgnoreCommands,
            Kind::CommandsRefused => DeviceFault::Refuse,
            Kind::AcksDropped => DeviceFault::DropAcks,
            Kind::AcksDelayed => DeviceFault::DelayAcks(Duration::from_secs(rng.between(1, 60))),
            Kind::StatusesDropped => DeviceFault::DropStatuses,
            Kind::DeviceClockWrong => DeviceFault::ClockShift(rng.below(400_000_000) as i64 - 200_000_000),
            Kind::MessagesReordered => {
                let concerned = concerned();
                self.reordered.extend(concerned);
                DeviceFault::Reorder
            }
            Kind::FalseAcks => {
                let concerned = concerned();
                self.ignoring.extend(concerned);
                DeviceFault::AckWithoutApplying
            }
            other => unreachable!("{other:?} is not a fault of a thermostat"),
        }
    }
}

fn http_fault(rng: &mut Rng) -> HttpFault {
    match rng.below(8) {
        0 => HttpFault::Status(500),
        1 => HttpFault::Throttle(u32::try_from(rng.between(1, 120)).unwrap_or(1)),
        2 => HttpFault::Exception("TooManyRequestsException".into()),
        3 => HttpFault::Html(200),
        4 => HttpFault::Hang,
        5 => HttpFault::Reset,
        6 => HttpFault::Body(200, b"{\"Dev".to_vec()),
        _ => HttpFault::Delay(Duration::from_secs(rng.between(1, 30))),
    }
}

fn sleep(rng: &mut Rng) -> Duration {
    Duration::from_secs(if rng.one_in(2) { rng.between(5, 60) } else { rng.between(60, 8 * 3_600) })
}

fn mode(rng: &mut Rng) -> Option<mysa_sim::Mode> {
    match rng.below(4) {
        0 => Some(mysa_sim::Mode::Heat),
        1 => Some(mysa_sim::Mode::Off),
        _ => None,
    }
}

fn closing(rng: &mut Rng) -> Closing {
    match rng.below(4) {
        0 => Closing::Frame(None),
        1 => Closing::Frame(Some(1_000)),
        _ => Closing::Cut,
    }
}
