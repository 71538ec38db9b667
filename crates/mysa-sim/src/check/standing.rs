//! Rules that hold during the whole check.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use mysa_proto::TopicKind;

use super::message::{ClientCommand, Message};
use super::rule::{MAX_REFUSED_UPGRADES, MAX_SIGN_INS, MAX_UNAUTHORIZED, Rule, Step};
use super::{Check, ClientConnection, KEPT_COMMANDS, quote};
use crate::device::command_record::Origin;
use crate::device::family::Family;
use crate::journal::{CloseReason, EventKind};

/// Most credentials within a minute.
const MAX_GRANTS: usize = 10;
/// Least time between commands to different thermostats, in seconds of the client's clock.
const SPACING_S: f64 = 0.35;

/// `1 sign-in`, `2 sign-ins`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Returns `true` for a route of one of the REST hosts.
pub(super) fn is_rest(route: &str) -> bool {
    route.starts_with("rest ") || route.starts_with("backend ")
}

impl Check {
    pub(super) fn judge_always(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Request { route, status, .. } if is_rest(route) => self.judge_rest(route, *status),
            EventKind::SignedIn => {
                self.facts.sign_ins += 1;
                let sign_ins = self.facts.sign_ins;
                self.judge(Rule::SignIn, sign_ins <= MAX_SIGN_INS, count(sign_ins, "sign-in"));
            }
            EventKind::TokensRefreshed => self.facts.refreshes += 1,
            EventKind::CredentialsIssued => self.judge_grant(),
            EventKind::Opened { conn, signed_at, .. } => {
                self.facts.upgrades += 1;
                self.history.refused_upgrades = 0;
                let last = self.history.signature.replace((*signed_at, self.now));
                self.history.signatures += 1;
                // Two connections within the same second have the same time of signature.
                let reused = last.is_some_and(|(at, when)| {
                    at == *signed_at && self.now >= when + self.settings.scaled(2.0)
                });
                let observed = match reused {
                    true => "two connections seconds apart had the same signature".into(),
                    false => count(self.history.signatures, "accepted signature"),
                };
                self.judge(Rule::Signature, !reused, observed);
                let connection = ClientConnection {
                    connected: None,
                    keep_alive: Duration::ZERO,
                    filters: Default::default(),
                };
                self.connections.insert(*conn, connection);
            }
            EventKind::UpgradeRefused { status } => {
                self.facts.refused_upgrades += 1;
                self.history.refused_upgrades += 1;
                let refused = self.history.refused_upgrades;
                if *status == Some(403)
                    && self.step != Step::ExpiredCredentials
                    && refused >= MAX_REFUSED_UPGRADES
                {
                    self.fail(Rule::Signature, format!("{refused} upgrades in a row were refused with 403"));
                }
            }
            EventKind::Connected { conn, client, keep_alive, clean_session } => {
                self.facts.connects += 1;
                self.judge_connect(*conn, client, *keep_alive, *clean_session);
            }
            EventKind::Closed { conn, reason, .. } => self.judge_end(*conn, *reason),
            EventKind::Subscribed { conn, filters } => self.judge_subscribe(*conn, filters),
            EventKind::Published { topic, qos, payload, .. } => {
                let own = mysa_proto::Topic::parse(topic.as_bytes());
                let device = own.filter(|own| own.kind == TopicKind::In).map(|own| own.device);
                match device.map(|device| Message::read(device, payload)) {
                    Some(Message::Command(command)) => self.judge_command(command, *qos),
                    Some(Message::Dangerous(what)) => self.fail(Rule::Dangerous, format!("sent {what}")),
                    Some(Message::Other(_)) | None => {}
                }
            }
            EventKind::Command { device, record } if matches!(record.origin, Origin::Mqtt { .. }) => {
                let (is_kept, outcome) = match record.applied {
                    true => (true, "applied".into()),
                    false => (false, format!("thermostat {device} refused a value")),
                };
                self.judge(Rule::CommandValues, is_kept, outcome);
            }
            _ => {}
        }
        self.judge_pings();
    }

    fn judge_rest(&mut self, route: &str, status: Option<u16>) {
        self.facts.rest_requests += 1;
        match status {
            Some(200..=299) => {
                self.history.unauthorized = 0;
                self.pass(
                    Rule::Rest,
                    format!(
                        "{}, the last of them {}",
                        count(self.facts.rest_requests, "request"),
                        quote(route)
                    ),
                );
            }
            Some(401) if !matches!(self.step, Step::ExpiredTokens | Step::Unauthorized) => {
                self.history.unauthorized += 1;
                let refused = self.history.unauthorized;
                if refused >= MAX_UNAUTHORIZED {
                    self.fail(Rule::Rest, format!("{refused} requests in a row were answered with 401"));
                }
            }
            _ => {}
        }
    }

    fn judge_grant(&mut self) {
        self.facts.credentials += 1;
        let since = self.now.saturating_sub(self.settings.scaled(60.0));
        self.history.grants.retain(|at| *at >= since);
        self.history.grants.push(self.now);
        let recent = self.history.grants.len();
        let observed = match recent > MAX_GRANTS {
            true => format!("{recent} credentials within a minute"),
            false => format!("{} of credentials", count(self.facts.credentials, "set")),
        };
        self.judge(Rule::Credentials, recent <= MAX_GRANTS, observed);
    }

    fn judge_connect(&mut self, conn: u64, client: &str, keep_alive: u16, clean_session: bool) {
        let shown = quote(client);
        self.pass(Rule::ClientId, format!("the last client id is {shown}"));
        self.pass(Rule::ConnectRate, count(self.facts.connects, "CONNECT packet"));
        self.pass(Rule::Packets, count(self.facts.connects, "connection"));
        let is_kept = (30..=1_200).contains(&keep_alive);
        self.judge(Rule::KeepAlive, is_kept, format!("{keep_alive} s"));
        let observed = if clean_session { "a clean session" } else { "a session that is kept" };
        self.judge(Rule::CleanSession, clean_session, observed.to_string());
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.connected = Some(self.now);
            let effective = match keep_alive {
                0 | 1_201.. => 1_200,
                asked => asked.max(30),
            };
            connection.keep_alive = self.settings.scaled(effective.into());
        }
    }

    fn judge_end(&mut self, conn: u64, reason: CloseReason) {
        match reason {
            CloseReason::TakenOver => {
                self.fail(Rule::ClientId, "a second connection had the client id of an open one".into());
            }
            CloseReason::EarlyConnect => {
                self.fail(Rule::ConnectRate, "two CONNECT packets within a second".into());
            }
            CloseReason::TooManyFilters => {
                self.fail(Rule::Filters, "more than eight filters in one packet".into());
            }
            CloseReason::Silent => {
                self.fail(Rule::Pings, "silent for longer than the keep-alive allows".into())
            }
            CloseReason::NoConnect => self.fail(Rule::Packets, "no CONNECT within ten seconds".into()),
            CloseReason::Protocol => {
                self.fail(
                    Rule::Packets,
                    "the broker closed because of a packet that is not permitted".into(),
                );
            }
            _ => {}
        }
        self.connections.remove(&conn);
    }

    /// Passes the rule of pings once a connection has lived longer than it could without them.
    fn judge_pings(&mut self) {
        let now = self.now;
        let proven = self.connections.values().any(|connection| {
            let span = connection.keep_alive + connection.keep_alive / 2;
            connection.connected.is_some_and(|at| now > at + span)
        });
        if proven {
            self.pass(Rule::Pings, "a connection outlived one and a half times its keep-alive".into());
        }
    }

    fn judge_subscribe(&mut self, conn: u64, filters: &[(String, bool)]) {
        let number = filters.len() as u64;
        self.facts.largest_subscribe = self.facts.largest_subscribe.max(number);
        self.pass(
            Rule::Filters,
            format!("at most {} in one SUBSCRIBE", count(self.facts.largest_subscribe, "filter")),
        );
        for (filter, granted) in filters {
            let has_wildcard = filter.contains(['+', '#']);
            if *granted {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.filters.insert(filter.clone());
                }
                self.all_filters.insert(filter.clone());
            }
            if has_wildcard || !granted && !self.is_refused_by_script(filter) {
                self.fail(
                    Rule::OwnTopics,
                    format!("the filter {} was refused or has a wildcard", quote(filter)),
                );
            }
        }
        self.facts.filters = self.all_filters.len() as u64;
        self.facts.devices = self.all_filters.iter().filter(|filter| filter.ends_with("/out")).count() as u64;
        let (devices, known) = (self.facts.devices, self.families.len());
        let total = count(self.facts.filters, "filter");
        self.pass(Rule::OwnTopics, format!("{total}, statuses of {devices} of {known} thermostats"));
    }

    fn judge_command(&mut self, command: ClientCommand, qos: u8) {
        self.facts.commands += 1;
        let device = command.device;
        let family = self.families.get(&device).copied().unwrap_or(Family::Silent);
        if family != Family::Silent {
            let expected = family.profile().body_type;
            let given = command.body_type.map_or_else(|| "none".to_string(), |given| given.to_string());
            let is_kept = command.body_type == Some(expected);
            let observed = match is_kept {
                true => format!("body.type {given} for {device}"),
                false => format!("body.type {given} for {device}, which needs {expected}"),
            };
            self.judge(Rule::CommandType, is_kept, observed);
        }
        self.judge(Rule::CommandQos, qos == 1, format!("QoS {qos}"));
        let observed =
            if command.is_addressed { "src and dest are complete" } else { "src or dest is incomplete" };
        self.judge(Rule::CommandSource, command.is_addressed, observed.to_string());
        // The absence of dangerous messages is reported together with the number of commands; a single
        // dangerous message fails the rule for good.
        self.pass(Rule::Dangerous, format!("none among {}", count(self.facts.commands, "command")));
        if let Some((other, at)) = self.history.last_command.replace((device, self.now))
            && other != device
        {
            let gap = self.now.saturating_sub(at);
            let is_kept = gap >= self.settings.scaled(SPACING_S);
            let ms = gap.as_secs_f64() / self.settings.factor * 1_000.0;
            self.judge(Rule::CommandSpacing, is_kept, format!("{ms:.0} ms between two thermostats"));
        }
        self.judge_order(command);
    }

    /// Compares a command with the earlier ones for its thermostat.
    fn judge_order(&mut self, command: ClientCommand) {
        let Some(id) = command.id else {
            self.fail(Rule::CommandId, "a command has no id".into());
            return;
        };
        let known = self.history.commands.entry(command.device).or_default();
        let Some(place) = known.iter().position(|one| one.id == Some(id)) else {
            if known.len() == KEPT_COMMANDS {
                known.remove(0);
            }
            let follows = !known.is_empty();
            known.push(command);
            self.pass(Rule::CommandId, format!("the last id is {id}"));
            if follows {
                self.pass(Rule::CommandOrder, "no older command after a newer one".into());
            }
            return;
        };
        let is_same = known[place].cmd == command.cmd;
        let is_outdated = known[place + 1..].iter().any(|newer| newer.overlaps(&command));
        if !is_same {
            self.fail(Rule::CommandId, format!("the id {id} was used for two different commands"));
        } else if is_outdated {
            self.fail(Rule::CommandOrder, format!("the command {id} was sent again after a newer one"));
        }
    }
}
