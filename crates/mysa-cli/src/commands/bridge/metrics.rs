//! Metrics of a bridge in Prometheus' text format, version 0.0.4.

use std::time::Duration;

use mysa_tokio::Level;

use super::status::{Row, Status};
use crate::output::prometheus::{Text, number, one_if};

/// Service levels and their names in labels.
pub(crate) const LEVELS: [(Level, &str); 6] = [
    (Level::Live, "live"),
    (Level::Partial, "partly_live"),
    (Level::ReadOnly, "read_only"),
    (Level::RestOnly, "rest_only"),
    (Level::Offline, "offline"),
    (Level::SignInNeeded, "sign_in_needed"),
];

impl Status {
    /// Formats the metrics. A value that is unknown is absent.
    pub(super) fn metrics(&self, now: Duration) -> String {
        let mut text = Text::default();
        text.gauge("mysa_build_info", "Version of the bridge; always 1.");
        text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        text.gauge("mysa_uptime_seconds", "Time since the bridge started.");
        text.sample(&[], now.as_secs_f64());
        text.gauge(
            "mysa_healthy",
            "1 if /healthz answers 200. A silent thermostat does not make the bridge unhealthy.",
        );
        text.sample(&[], one_if(self.fault(now).is_none()));
        self.connections(&mut text, now);
        text.counter("mysa_commands_total", "Commands from the broker, by outcome.");
        for (outcome, count) in self.outcomes() {
            text.sample(&[("outcome", outcome)], number(count));
        }
        text.counter("mysa_messages_ignored_total", "Messages from the broker that were ignored, by reason.");
        for (reason, count) in self.ignored() {
            text.sample(&[("reason", reason)], number(count));
        }
        text.counter(
            "mysa_messages_dropped_total",
            "Messages to the broker that were dropped because too many waited.",
        );
        text.sample(&[], number(self.dropped));
        self.thermostats(&mut text, now);
        text.finish()
    }

    fn connections(&self, text: &mut Text, now: Duration) {
        text.gauge("mysa_broker_connected", "1 if the broker has accepted the connection.");
        text.sample(&[], one_if(self.broker.is_up));
        text.counter("mysa_broker_connections_total", "Connections that the broker accepted.");
        text.sample(&[], number(self.broker.connections));
        let accounts = || {
            // Numbers, because the names of accounts are addresses of people.
            self.accounts.iter().enumerate().map(|(index, account)| ((index + 1).to_string(), account))
        };
        text.gauge("mysa_service_level", "1 for the present service level of the account's cloud.");
        for (name, account) in accounts() {
            for (level, level_name) in LEVELS {
                text.sample(&[("account", &name), ("level", level_name)], one_if(account.level == level));
            }
        }
        text.gauge("mysa_service_level_age_seconds", "Time since the service level changed.");
        for (name, account) in accounts() {
            text.sample(&[("account", &name)], now.saturating_sub(account.since).as_secs_f64());
        }
        text.counter("mysa_cloud_connections_total", "Times that the cloud began to push statuses.");
        for (name, account) in accounts() {
            text.sample(&[("account", &name)], number(account.connections));
        }
    }

    fn thermostats(&self, text: &mut Text, now: Duration) {
        text.gauge("mysa_thermostat_info", "Model of the thermostat; always 1.");
        for (id, row) in &self.thermostats {
            text.sample(&[("id", id.as_str()), ("name", &row.name), ("model", &row.model)], 1.0);
        }
        text.gauge("mysa_thermostat_available", "1 if the thermostat is published as available.");
        self.rows(text, |row| row.is_available.map(one_if));
        text.gauge("mysa_thermostat_report_age_seconds", "Time since the latest report of the thermostat.");
        self.rows(text, |row| row.report_age(now).map(|age| age.as_secs_f64()));
        text.gauge("mysa_thermostat_temperature_celsius", "Temperature of the room.");
        self.rows(text, |row| row.temperature);
        text.gauge("mysa_thermostat_setpoint_celsius", "Confirmed setpoint.");
        self.rows(text, |row| row.setpoint);
        text.gauge("mysa_thermostat_humidity_ratio", "Relative humidity, 0 to 1.");
        self.rows(text, |row| row.humidity);
        text.gauge("mysa_thermostat_duty_ratio", "Duty cycle of the heater, 0 to 1.");
        self.rows(text, |row| row.duty);
        text.gauge("mysa_thermostat_power_watts", "Power of the heater, measured or estimated.");
        for (id, row) in &self.thermostats {
            if let Some(power) = row.power {
                let labels = [("id", id.as_str()), ("name", &row.name), ("basis", row.power_basis)];
                text.sample(&labels, power);
            }
        }
    }

    fn rows(&self, text: &mut Text, value: impl Fn(&Row) -> Option<f64>) {
        for (id, row) in &self.thermostats {
            if let Some(value) = value(row) {
                text.sample(&[("id", id.as_str()), ("name", &row.name)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mysa_bridge::{Event, Thermostat};
    use mysa_proto::{Change, DeviceId, DeviceState, DutyCycle, Limits, Model, Power, Watts};
    use mysa_tokio::Link;

    use super::*;

    const ID: &str = "a0b1c2d3e4f5";

    fn with_thermostat(name: &str) -> Status {
        let mut status = Status::default();
        let thermostat = Thermostat {
            id: DeviceId::new(ID).unwrap(),
            name: Some(name),
            model: &Model::parse("BB-V2-0"),
            limits: Limits::default(),
            state: &DeviceState::new(),
            duty: DutyCycle::from_fraction(0.25),
            power: Power::Estimated(Watts::from_watts(375.0).unwrap()),
            has_rated_power: true,
            is_current: true,
            link: Link::Live,
            firmware: None,
            last_seen: None,
            pending: Change::default(),
        };
        status.thermostat(&thermostat, Some(Duration::from_secs(7)), Duration::from_secs(100));
        status
    }

    fn lines(text: &str, name: &str) -> Vec<String> {
        text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }

    #[test]
    fn names_from_the_cloud_stay_inside_their_label() {
        let text = with_thermostat("a\"} 1\nmysa_x\\ \u{1b}[2J").metrics(Duration::from_secs(100));
        let expected =
            format!(r#"mysa_thermostat_duty_ratio{{id="{ID}",name="a\"}} 1\\nmysa_x\\ \\u{{1b}}[2J"}} 0.25"#);
        assert_eq!(lines(&text, "mysa_thermostat_duty_ratio"), [expected]);
        let long = "x".repeat(1_000_000);
        assert!(with_thermostat(&long).metrics(Duration::ZERO).len() < 10_000);
    }

    #[test]
    fn the_age_of_a_report_grows_between_snapshots_and_unknown_values_are_absent() {
        let mut status = with_thermostat("Hall");
        let text = status.metrics(Duration::from_secs(160));
        let age = format!(r#"mysa_thermostat_report_age_seconds{{id="{ID}",name="Hall"}} 67"#);
        assert_eq!(lines(&text, "mysa_thermostat_report_age"), [age]);
        let power = format!(r#"mysa_thermostat_power_watts{{id="{ID}",name="Hall",basis="estimated"}} 375"#);
        assert_eq!(lines(&text, "mysa_thermostat_power_watts"), [power]);
        assert!(lines(&text, "mysa_thermostat_temperature").is_empty());
        assert!(lines(&text, "mysa_thermostat_available").is_empty());

        let device = DeviceId::new(ID).unwrap();
        status.event(&Event::Availability { device, online: false }, Duration::ZERO);
        let text = status.metrics(Duration::from_secs(160));
        assert!(lines(&text, "mysa_thermostat_available")[0].ends_with(" 0"), "{text}");
        // No thermostat reports, and the cloud answers: a restart would not help.
        status.service(0, Level::RestOnly, mysa_tokio::Reason::ConnectionLost, Duration::ZERO);
        assert_eq!(status.fault(Duration::from_secs(50)), None);
        status.event(&Event::Removed { device }, Duration::ZERO);
        assert!(!status.metrics(Duration::from_secs(160)).contains(ID));
    }
}
