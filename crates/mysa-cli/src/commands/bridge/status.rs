//! Facts about a running bridge, for its metrics and its health. Times are those since its start.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_bridge::{Event, IgnoredReason, Thermostat};
use mysa_proto::DeviceId;
use mysa_tokio::{Level, Reason, VerdictKind};

use crate::output::record::printable;

/// Facts about a running bridge.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// Latest turn of the event loop.
    turned: Duration,
    pub(super) broker: Broker,
    /// Accounts, in the order of the settings.
    pub(super) accounts: Vec<Account>,
    pub(super) thermostats: BTreeMap<DeviceId, Row>,
    /// Number of decided commands by outcome.
    outcomes: [u64; VerdictKind::ALL.len()],
    /// Number of ignored messages by reason.
    ignored: [u64; IGNORED.len()],
    /// Number of messages that were dropped because too many waited.
    pub(super) dropped: u64,
    /// First part of the topics, while a second bridge publishes to them.
    contested: Option<String>,
}

/// Connection to the broker.
#[derive(Clone, Debug, Default)]
pub(super) struct Broker {
    pub(super) is_up: bool,
    /// Time of the latest change of `is_up`.
    since: Duration,
    /// Number of connections that the broker has accepted.
    pub(super) connections: u64,
}

/// Account and the service of its cloud.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) level: Level,
    reason: Reason,
    /// Start of the level.
    pub(super) since: Duration,
    /// Number of times that statuses began to be pushed.
    pub(super) connections: u64,
}

/// Latest snapshot of a thermostat.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Name, without characters that act on a terminal.
    pub(super) name: String,
    pub(super) model: String,
    pub(super) temperature: Option<f64>,
    pub(super) setpoint: Option<f64>,
    pub(super) humidity: Option<f64>,
    pub(super) duty: Option<f64>,
    pub(super) power: Option<f64>,
    pub(super) power_basis: &'static str,
    /// Age of the latest report, and the time at which it had that age.
    report: Option<(Duration, Duration)>,
    /// Availability as published; `None` until it is.
    pub(super) is_available: Option<bool>,
}

const IGNORED: [(IgnoredReason, &str); 4] = [
    (IgnoredReason::Retained, "retained"),
    (IgnoredReason::TooLong, "too_long"),
    (IgnoredReason::UnknownTopic, "unknown_topic"),
    (IgnoredReason::Stopping, "stopping"),
];

/// Time without a turn of the event loop after which it counts as stuck. It turns at least every [`TURN_INTERVAL`].
const STUCK: Duration = Duration::from_secs(60);
/// Time between two turns of the event loop when nothing else happens.
pub(super) const TURN_INTERVAL: Duration = Duration::from_secs(5);
/// Time for which the broker or the cloud may be away. Routers and clouds restart within it.
const AWAY: Duration = Duration::from_secs(300);
/// Maximum number of characters of a name.
const MAX_NAME: usize = 100;

impl Status {
    /// Records a turn of the event loop.
    pub(super) fn turn(&mut self, now: Duration) {
        self.turned = now;
    }

    /// Records the service level of an account by its index.
    pub(super) fn service(&mut self, account: usize, level: Level, reason: Reason, now: Duration) {
        if self.accounts.len() <= account {
            let starting =
                Account { level: Level::Offline, reason: Reason::Starting, since: now, connections: 0 };
            self.accounts.resize(account + 1, starting);
        }
        let Some(known) = self.accounts.get_mut(account) else { return };
        if is_pushed(level) && !is_pushed(known.level) {
            known.connections += 1;
        }
        if known.level != level {
            known.since = now;
        }
        (known.level, known.reason) = (level, reason);
    }

    /// Records a snapshot of a thermostat and the age of its latest report.
    pub(super) fn thermostat(&mut self, thermostat: &Thermostat<'_>, age: Option<Duration>, now: Duration) {
        let state = thermostat.state;
        let name = thermostat.name.unwrap_or(thermostat.id.as_str());
        let known = self.thermostats.get(&thermostat.id);
        let row = Row {
            name: printable(&name.chars().take(MAX_NAME).collect::<String>()),
            model: printable(&thermostat.model.as_str().chars().take(MAX_NAME).collect::<String>()),
            temperature: state.temperature().map(|field| field.value.as_degrees()),
            setpoint: state.setpoint().map(|field| field.value.as_degrees()),
            humidity: state.humidity().map(|field| field.value.as_percent() / 100.0),
            duty: thermostat.duty.map(mysa_proto::DutyCycle::as_fraction),
            power: thermostat.power.watts().map(mysa_proto::Watts::as_watts),
            power_basis: thermostat.power.basis(),
            report: age.map(|age| (age, now)),
            is_available: known.and_then(|known| known.is_available),
        };
        self.thermostats.insert(thermostat.id, row);
    }

    /// Records an event of the bridge.
    pub(super) fn event(&mut self, event: &Event, now: Duration) {
        match event {
            Event::BrokerUp => {
                self.broker = Broker { is_up: true, since: now, connections: self.broker.connections + 1 };
            }
            Event::BrokerDown { .. } if self.broker.is_up => {
                self.broker = Broker { is_up: false, since: now, ..self.broker };
            }
            Event::Availability { device, online } => {
                if let Some(row) = self.thermostats.get_mut(device) {
                    row.is_available = Some(*online);
                }
            }
            Event::Removed { device } => drop(self.thermostats.remove(device)),
            Event::Decided { outcome, .. } => {
                count(&mut self.outcomes, VerdictKind::ALL.iter().position(|known| known == outcome));
            }
            Event::Ignored { reason, .. } => {
                count(&mut self.ignored, IGNORED.iter().position(|(known, _)| known == reason));
            }
            Event::OtherBridge { prefix } => self.contested = Some(printable(prefix)),
            Event::OtherBridgeGone => self.contested = None,
            Event::Dropped { count } => self.dropped = self.dropped.saturating_add(*count),
            _ => {}
        }
    }

    /// Numbers of decided commands, by the name of the outcome.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        VerdictKind::ALL.iter().map(|outcome| outcome.name()).zip(self.outcomes)
    }

    /// Numbers of ignored messages, by the name of the reason.
    pub(super) fn ignored(&self) -> impl Iterator<Item = (&'static str, u64)> {
        IGNORED.iter().map(|(_, name)| *name).zip(self.ignored)
    }

    /// Describes the bridge in one line, without values that change all the time.
    pub(super) fn summary(&self, now: Duration) -> String {
        let clouds = self.accounts.iter().map(|account| account.level.to_string());
        let clouds: Vec<String> = clouds.collect();
        let available = self.thermostats.values().filter(|row| row.is_available == Some(true)).count();
        let broker = if self.broker.is_up { "connected" } else { "away" };
        let sign_in = self.accounts.iter().any(|account| account.level == Level::SignInNeeded);
        // The reason of any other fault has a time, and its part of the line says as much.
        let needs_person = sign_in || self.contested.is_some();
        let hint =
            self.fault(now).filter(|_| needs_person).map(|fault| format!("; {fault}")).unwrap_or_default();
        format!(
            "broker {broker}, cloud {}, {available} of {} thermostats available{hint}",
            clouds.join(", "),
            self.thermostats.len()
        )
    }

    /// Returns the reason why the bridge is unhealthy, in one line. A thermostat that is silent is none, as long as the
    /// cloud answers: the remedy is not a restart.
    pub(super) fn fault(&self, now: Duration) -> Option<String> {
        let for_secs = |since: Duration| now.saturating_sub(since).as_secs();
        if now.saturating_sub(self.turned) > STUCK {
            return Some(format!("the event loop has not turned for {} s", for_secs(self.turned)));
        }
        if self.accounts.iter().any(|account| account.level == Level::SignInNeeded) {
            return Some("sign-in needed: run `mysa login`".to_owned());
        }
        if let Some(prefix) = &self.contested {
            return Some(format!("another bridge publishes below {prefix}: stop one of them"));
        }
        let is_away = |since: Duration| now.saturating_sub(since) > AWAY;
        if let Some(away) =
            self.accounts.iter().find(|account| account.level == Level::Offline && is_away(account.since))
        {
            return Some(format!("the cloud is away for {} s: {}", for_secs(away.since), away.reason));
        }
        if !self.broker.is_up && is_away(self.broker.since) {
            return Some(format!("the broker is away for {} s", for_secs(self.broker.since)));
        }
        None
    }
}

impl Row {
    /// Age of the latest report.
    pub(super) fn report_age(&self, now: Duration) -> Option<Duration> {
        self.report.map(|(age, at)| age + now.saturating_sub(at))
    }
}

fn count(counts: &mut [u64], index: Option<usize>) {
    if let Some(count) = index.and_then(|index| counts.get_mut(index)) {
        *count += 1;
    }
}

/// `true` if the cloud pushes statuses.
const fn is_pushed(level: Level) -> bool {
    matches!(level, Level::Live | Level::Partial | Level::ReadOnly)
}

#[cfg(test)]
mod tests {
    use mysa_bridge::client::DownReason;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn down() -> Event {
        Event::BrokerDown { reason: DownReason::Closed, retry_in: secs(3) }
    }

    /// A bridge that works, at 1000 s.
    fn working() -> Status {
        let mut status = Status::default();
        status.service(0, Level::Live, Reason::Healthy, secs(1));
        status.event(&Event::BrokerUp, secs(1));
        status.turn(secs(1_000));
        status
    }

    #[test]
    fn a_bridge_that_just_started_is_healthy_until_it_should_have_connected() {
        let mut status = Status::default();
        status.service(0, Level::Offline, Reason::Starting, secs(0));
        assert_eq!(status.fault(secs(1)), None);
        status.turn(secs(301));
        assert!(status.fault(secs(301)).unwrap().starts_with("the cloud is away for 301 s"));
    }

    #[test]
    fn polled_states_are_healthy_and_a_cloud_that_stays_away_is_not() {
        let mut status = working();
        assert_eq!(status.fault(secs(1_000)), None);
        for level in [Level::Partial, Level::ReadOnly, Level::RestOnly] {
            status.service(0, level, Reason::ConnectionLost, secs(2));
            assert_eq!(status.fault(secs(1_000)), None, "{level:?}");
        }
        status.service(0, Level::Offline, Reason::NoAnswer, secs(800));
        // Another reason does not restart the time.
        status.service(0, Level::Offline, Reason::ConnectionLost, secs(900));
        status.turn(secs(1_100));
        assert_eq!(status.fault(secs(1_100)), None);
        status.turn(secs(1_101));
        assert!(status.fault(secs(1_101)).unwrap().starts_with("the cloud is away for 301 s"));
        status.service(0, Level::RestOnly, Reason::ConnectionLost, secs(1_102));
        assert_eq!(status.fault(secs(1_102)), None);
    }

    #[test]
    fn one_account_that_needs_sign_in_is_unhealthy_at_once() {
        let mut status = working();
        status.service(1, Level::Live, Reason::Healthy, secs(2));
        assert_eq!(status.fault(secs(1_000)), None);
        assert_eq!(
            status.summary(secs(1_000)),
            "broker connected, cloud live, live, 0 of 0 thermostats available"
        );
        status.service(1, Level::SignInNeeded, Reason::NoAnswer, secs(1_000));
        assert!(status.summary(secs(1_000)).ends_with("; sign-in needed: run `mysa login`"));
        assert_eq!(status.fault(secs(1_000)).as_deref(), Some("sign-in needed: run `mysa login`"));
    }

    #[test]
    fn a_broker_that_stays_away_is_unhealthy_from_the_first_loss() {
        let mut status = working();
        for at in [1_000, 1_100, 1_200, 1_300] {
            status.event(&down(), secs(at));
            status.turn(secs(at));
            assert_eq!(status.fault(secs(at)), None);
        }
        status.turn(secs(1_301));
        assert_eq!(status.fault(secs(1_301)).as_deref(), Some("the broker is away for 301 s"));
        status.event(&Event::BrokerUp, secs(1_302));
        assert_eq!(status.fault(secs(1_302)), None);
        assert_eq!(status.broker.connections, 2);
    }

    #[test]
    fn a_second_bridge_is_unhealthy_until_it_is_gone() {
        let mut status = working();
        status.event(&Event::OtherBridge { prefix: "home/mysa".into() }, secs(1_000));
        let fault = "another bridge publishes below home/mysa: stop one of them";
        assert_eq!(status.fault(secs(1_000)).as_deref(), Some(fault));
        assert!(status.summary(secs(1_000)).ends_with(fault));
        status.event(&Event::OtherBridgeGone, secs(1_000));
        assert_eq!(status.fault(secs(1_000)), None);
    }

    #[test]
    fn an_event_loop_that_does_not_turn_is_unhealthy() {
        let status = working();
        assert_eq!(status.fault(secs(1_060)), None);
        assert!(status.fault(secs(1_061)).unwrap().contains("not turned for 61 s"));
    }

    #[test]
    fn connections_to_the_cloud_are_counted_when_statuses_begin_to_be_pushed() {
        let mut status = working();
        for level in [Level::ReadOnly, Level::Live, Level::RestOnly, Level::Offline, Level::Live] {
            status.service(0, level, Reason::Healthy, secs(3));
        }
        assert_eq!(status.accounts[0].connections, 2);
    }
}
