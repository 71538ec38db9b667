//! Metrics and health of a fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use mysa_tokio::{Level, Watts};

use super::account::{Account, Stage};
use super::fleet::{Fleet, WeakFleet};
use crate::args::fleet::Series;
use crate::commands::bridge::metrics::LEVELS;
use crate::output::prometheus::{Text, number, one_if};
use crate::output::record::printable;
use crate::output::view::Link;
use crate::support::http_server::Report;

/// Facts about a running fleet, for its HTTP server. It does not keep the fleet alive.
#[derive(Clone)]
pub(super) struct Monitor {
    fleet: WeakFleet,
    series: Series,
}

/// Time without a turn of the main loop after which it counts as stuck. It turns every [`TURN_INTERVAL`].
const STUCK: Duration = Duration::from_secs(60);
/// Time between two turns of the main loop.
pub(super) const TURN_INTERVAL: Duration = Duration::from_secs(5);
/// Time for which the cloud may be away.
const AWAY: Duration = Duration::from_secs(300);
/// States of the links to thermostats.
const LINKS: [Link; 6] =
    [Link::Live, Link::Rest, Link::Silent, Link::Offline, Link::Unseen, Link::Unreachable];
/// Maximum number of characters of a name in a label.
const MAX_NAME: usize = 100;

impl Monitor {
    pub(super) fn new(fleet: &Fleet, series: Series) -> Self {
        Self { fleet: fleet.weak(), series }
    }
}

impl Report for Monitor {
    fn metrics(&self) -> String {
        self.fleet.upgrade().map_or_else(String::new, |fleet| metrics(&fleet, self.series))
    }

    fn fault(&self) -> Option<String> {
        fault(&self.fleet.upgrade()?)
    }
}

/// Reason why the fleet is unhealthy, such that a restart may help. An account that has to sign in is none.
fn fault(fleet: &Fleet) -> Option<String> {
    let since = fleet.since_turn();
    if since > STUCK {
        return Some(format!("the main loop has not turned for {} s", since.as_secs()));
    }
    #[cfg(feature = "nats")]
    if let Some(worker) = &fleet.shared().worker {
        let worker = worker.status.read();
        if worker.turned.elapsed() > STUCK {
            return Some(format!("the worker has not turned for {} s", worker.turned.elapsed().as_secs()));
        }
        if let Some(without) = worker.without_lease.map(|since| since.elapsed()).filter(|since| *since > AWAY)
        {
            return Some(format!("the worker has had no lease at NATS for {} s", without.as_secs()));
        }
    }
    let services = fleet.accounts().into_iter().filter_map(|account| account.client());
    let mut away = services.map(|client| {
        let service = client.service();
        let lasts = client.elapsed().saturating_sub(service.since);
        (service.level == Level::Offline && lasts > AWAY).then_some(lasts)
    });
    // Of no account it is true as well.
    let first = away.next()??;
    let shortest = away.try_fold(first, |shortest, away| away.map(|lasts| lasts.min(shortest)))?;
    Some(format!("the cloud is away for {} s for every account", shortest.as_secs()))
}

fn metrics(fleet: &Fleet, series: Series) -> String {
    let accounts = fleet.accounts();
    let mut text = Text::default();
    text.gauge("mysa_build_info", "Version of the program; always 1.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    text.gauge("mysa_uptime_seconds", "Time since the fleet started.");
    text.sample(&[], fleet.uptime().as_secs_f64());
    text.gauge(
        "mysa_healthy",
        "1 if /healthz answers 200. An account that has to sign in does not make the fleet unhealthy.",
    );
    text.sample(&[], one_if(fault(fleet).is_none()));
    text.gauge("mysa_fleet_accounts", "Accounts by the stage of their client.");
    for stage in Stage::ALL {
        let count = accounts.iter().filter(|account| account.stage() == stage).count();
        text.sample(&[("stage", stage.name())], number(count as u64));
    }
    let mut levels = BTreeMap::new();
    let mut links = BTreeMap::new();
    let mut sockets = 0;
    for client in accounts.iter().filter_map(|account| account.client()) {
        *levels.entry(level_name(client.service().level)).or_insert(0_u64) += 1;
        for view in client.devices() {
            *links.entry(Link::of(&view).name()).or_insert(0_u64) += 1;
        }
        sockets += client.resources().sockets;
    }
    text.gauge("mysa_fleet_service_levels", "Started accounts by the service level of their cloud.");
    for (_, level) in LEVELS {
        text.sample(&[("level", level)], number(levels.get(level).copied().unwrap_or(0)));
    }
    text.gauge("mysa_fleet_thermostats", "Thermostats by the source of their state.");
    for link in LINKS {
        text.sample(&[("link", link.name())], number(links.get(link.name()).copied().unwrap_or(0)));
    }
    text.gauge("mysa_fleet_sockets", "TCP sockets to the cloud.");
    text.sample(&[], number(sockets as u64));
    text.counter("mysa_commands_total", "Commands by outcome.");
    for (outcome, count) in fleet.outcomes() {
        text.sample(&[("outcome", outcome)], number(count));
    }
    #[cfg(feature = "nats")]
    if let Some(worker) = &fleet.shared().worker {
        of_worker(&mut text, &worker.status.read());
    }
    if series >= Series::Account {
        of_accounts(&mut text, &accounts);
    }
    if series >= Series::Thermostat {
        of_thermostats(&mut text, fleet, &accounts);
    }
    text.finish()
}

#[cfg(feature = "nats")]
fn of_worker(text: &mut Text, worker: &super::worker::Snapshot) {
    let counts = [
        (
            "mysa_fleet_nats_connected",
            "1 while the worker is connected to NATS.",
            u64::from(worker.is_connected),
        ),
        ("mysa_fleet_lease_held", "1 while the worker may own accounts.", u64::from(worker.lease.is_some())),
        ("mysa_fleet_registered_accounts", "Accounts of the whole fleet.", worker.counts.accounts as u64),
        ("mysa_fleet_owned_accounts", "Accounts that this worker owns.", worker.counts.owned as u64),
        ("mysa_fleet_workers", "Workers that may be alive, with this one.", worker.counts.workers as u64),
        (
            "mysa_fleet_undecided_commands",
            "Commands of this worker without a verdict.",
            worker.counts.commands as u64,
        ),
        (
            "mysa_fleet_store_operations",
            "Operations at NATS without an answer.",
            worker.counts.operations as u64,
        ),
    ];
    for (name, help, count) in counts {
        text.gauge(name, help);
        text.sample(&[], number(count));
    }
    text.gauge(
        "mysa_fleet_lease_seconds",
        "Time until the lease ends unless it is renewed; 0 without a lease.",
    );
    text.sample(&[], worker.lease.unwrap_or_default().as_secs_f64());
}

fn level_name(level: Level) -> &'static str {
    LEVELS.iter().find(|(known, _)| *known == level).map_or("other", |(_, name)| name)
}

fn of_accounts(text: &mut Text, accounts: &[std::sync::Arc<Account>]) {
    text.gauge("mysa_account_service_level", "1 for the present service level of the account's cloud.");
    for account in accounts {
        let Some(client) = account.client() else { continue };
        let level = level_name(client.service().level);
        text.sample(&[("account", account.name()), ("level", level)], 1.0);
    }
    text.gauge("mysa_account_thermostats", "Thermostats of the account.");
    for account in accounts {
        let Some(client) = account.client() else { continue };
        text.sample(&[("account", account.name())], number(client.devices().len() as u64));
    }
}

fn of_thermostats(text: &mut Text, fleet: &Fleet, accounts: &[std::sync::Arc<Account>]) {
    let mut rows = Vec::new();
    for account in accounts {
        let Some(client) = account.client() else { continue };
        let elapsed = client.elapsed();
        for view in client.devices() {
            let shown: String = view.name.as_deref().unwrap_or_default().chars().take(MAX_NAME).collect();
            let age = view.last_seen_ago.map(|age| age + elapsed.saturating_sub(view.taken_at));
            let power = view.power(fleet.shared().config.rated_watts(&view.id)).watts().map(Watts::as_watts);
            let values = [
                age.map(|age| age.as_secs_f64()),
                view.state.temperature().map(|field| field.value.as_degrees()),
                view.state.setpoint().map(|field| field.value.as_degrees()),
                view.state.humidity().map(|field| field.value.as_percent() / 100.0),
                view.duty().map(|field| field.value.as_fraction()),
                power,
            ];
            rows.push((account.name().to_owned(), view.id, printable(&shown), values));
        }
    }
    for (at, (name, help)) in FAMILIES.into_iter().enumerate() {
        text.gauge(name, help);
        for (account, id, shown, values) in &rows {
            if let Some(value) = values.get(at).copied().flatten() {
                text.sample(&[("account", account), ("id", id.as_str()), ("name", shown)], value);
            }
        }
    }
}

const FAMILIES: [(&str, &str); 6] = [
    ("mysa_thermostat_report_age_seconds", "Time since the latest report of the thermostat."),
    ("mysa_thermostat_temperature_celsius", "Temperature of the room."),
    ("mysa_thermostat_setpoint_celsius", "Confirmed setpoint."),
    ("mysa_thermostat_humidity_ratio", "Relative humidity, 0 to 1."),
    ("mysa_thermostat_duty_ratio", "Duty cycle of the heater, 0 to 1."),
    ("mysa_thermostat_power_watts", "Power of the heater, measured or estimated."),
];
