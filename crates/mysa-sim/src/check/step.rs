//! Steps of the script: the action of the simulator, and the judgement of the client's reaction.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{DeviceId, TopicKind};

use super::message::Message;
use super::rule::{
    MAX_COPIES, MAX_DENIED, MAX_DENIED_COPIES, MAX_REFUSED_FILTERS, MAX_REFUSED_UPGRADES, MAX_RENEWALS,
    MAX_SLOW_REQUESTS, MAX_STORM_CONNECTIONS, MAX_UNAUTHORIZED, Rule, Step,
};
use super::standing::{count, is_rest};
use super::{Action, Check, Phase, list, quote};
use crate::endpoint::Endpoint;
use crate::fault::{Closing, DeviceFault, Fault, HttpFault, Incident};
use crate::journal::{CloseReason, EventKind};

/// Requests and messages of a step since the simulator acted.
#[derive(Debug, Default)]
pub(super) struct StepRecord {
    began: Duration,
    /// `true` once a client has sent something.
    came: bool,
    upgrades: u32,
    refused_upgrades: u32,
    connected: Option<Duration>,
    /// Connections that the client ended.
    left: u32,
    sign_ins: u32,
    refreshes: u32,
    grants: u32,
    unauthorized: u32,
    /// REST requests by path.
    requests: BTreeMap<String, u32>,
    /// Paths answered with 429: the time, and the requests that came too soon after it.
    throttled: BTreeMap<String, (Duration, u32)>,
    /// Commands by thermostat and content.
    copies: BTreeMap<(DeviceId, String), u32>,
    /// Denied publishes by their content.
    denied: BTreeMap<String, u32>,
    refused_filters: u32,
}

/// Delay of slow REST answers, in seconds of the client's clock.
const SLOW_S: f64 = 8.0;
/// `Retry-After` of throttled REST answers, in seconds.
const RETRY_AFTER_S: u32 = 5;
/// Time between a CONNACK and the end of its connection in a storm, in seconds of the client's clock.
const STORM_S: f64 = 0.05;

/// Largest number of paths, commands or messages that a step counts separately.
const MAX_KINDS: usize = 256;

impl Step {
    /// Returns `true` if the step disturbs a connection, and waits for one first.
    pub(super) const fn needs_connection(self) -> bool {
        !matches!(self, Self::Connect | Self::Subscribe | Self::Commands | Self::Recovery)
    }
}

fn topic_of(filter: &str, kind: TopicKind) -> Option<DeviceId> {
    let topic = mysa_proto::Topic::parse(filter.as_bytes())?;
    (topic.kind == kind).then_some(topic.device)
}

fn is_of(filter: &str, device: DeviceId) -> bool {
    mysa_proto::Topic::parse(filter.as_bytes()).is_some_and(|topic| topic.device == device)
}

impl Check {
    /// Starts the trouble of the present step.
    pub(super) fn begin(&mut self) {
        let filters = self.filters();
        // A step may begin while the client is not complete yet.
        if filters.is_superset(&self.wanted) {
            self.wanted = filters;
        }
        self.seen.began = self.now;
        let actions = self.trouble();
        self.actions.extend(actions);
        // A person may take long to start the client.
        let wait = if self.step == Step::Connect { self.settings.limit } else { self.settings.step_wait };
        self.phase = Phase::Waiting { until: self.now.saturating_add(wait) };
        if self.step == Step::Recovery {
            self.end_if(self.is_complete_again());
        }
    }

    fn trouble(&mut self) -> Vec<Action> {
        let cut = || Action::Perform(Incident::CloseAll(Closing::Cut));
        let rest = |fault| Action::Start(Fault::Http(Endpoint::Rest, fault));
        match self.step {
            Step::Connect | Step::Subscribe | Step::Commands | Step::Recovery => Vec::new(),
            Step::DroppedAcks => vec![Action::Start(Fault::Device(None, DeviceFault::DropAcks))],
            Step::Cut => vec![cut()],
            Step::Storm => {
                let closing = Closing::Frame(None);
                let after = self.settings.scaled(STORM_S);
                vec![
                    Action::Start(Fault::CloseAfterConnect { after, closing }),
                    Action::Perform(Incident::CloseAll(closing)),
                ]
            }
            Step::RefusedSubscription => {
                let device = self.wanted.iter().find_map(|filter| topic_of(filter, TopicKind::Out));
                self.refused_device = device;
                let fault = device.map(|device| Action::Start(Fault::RefuseDevice(device)));
                fault.into_iter().chain([cut()]).collect()
            }
            Step::DeniedPublish => vec![Action::Start(Fault::DenyPublish)],
            Step::ExpiredTokens => vec![Action::Perform(Incident::ExpireTokens)],
            Step::ExpiredCredentials => vec![Action::Perform(Incident::ExpireCredentials), cut()],
            Step::SlowRest => vec![rest(HttpFault::Delay(self.settings.scaled(SLOW_S)))],
            Step::Unauthorized => vec![rest(HttpFault::Status(401))],
            Step::Throttled => vec![rest(HttpFault::Throttle(RETRY_AFTER_S))],
        }
    }

    /// Returns `true` if the script refuses this filter.
    pub(super) fn is_refused_by_script(&self, filter: &str) -> bool {
        self.refused_device.is_some_and(|device| is_of(filter, device))
    }

    /// Notes an event of the present step.
    pub(super) fn observe(&mut self, kind: &EventKind) {
        if matches!(self.phase, Phase::Settling { .. }) {
            return;
        }
        let now = self.now;
        let retry_after = self.settings.scaled(RETRY_AFTER_S.into());
        let seen = &mut self.seen;
        match kind {
            EventKind::Opened { .. } => seen.upgrades += 1,
            EventKind::UpgradeRefused { .. } => seen.refused_upgrades += 1,
            EventKind::Connected { .. } => _ = seen.connected.get_or_insert(now),
            EventKind::Closed { reason: CloseReason::Lost | CloseReason::Disconnect, .. } => seen.left += 1,
            EventKind::SignedIn => seen.sign_ins += 1,
            EventKind::TokensRefreshed => seen.refreshes += 1,
            EventKind::CredentialsIssued => seen.grants += 1,
            EventKind::Request { route, path, status } if is_rest(route) => {
                if seen.requests.len() < MAX_KINDS {
                    *seen.requests.entry(path.clone()).or_default() += 1;
                }
                if let Some((at, early)) = seen.throttled.get_mut(path)
                    && now < *at + retry_after
                {
                    *early += 1;
                }
                match status {
                    Some(401) => seen.unauthorized += 1,
                    Some(429) if seen.throttled.len() < MAX_KINDS => {
                        _ = seen.throttled.entry(path.clone()).or_insert((now, 0));
                    }
                    _ => {}
                }
            }
            EventKind::Subscribed { filters, .. } => {
                let refused = filters.iter().filter(|(_, granted)| !granted).count();
                seen.refused_filters += u32::try_from(refused).unwrap_or(u32::MAX);
            }
            EventKind::Published { topic, payload, accepted, .. } => {
                if let Some(device) = topic_of(topic, TopicKind::In) {
                    seen.publish(Message::read(device, payload), device, *accepted);
                }
            }
            _ => {}
        }
        self.react(kind);
    }

    /// Moves the step on, if the event is the one that it waits for.
    fn react(&mut self, kind: &EventKind) {
        let is_rest_answer = |expected: u16| matches!(kind, EventKind::Request { route, status: Some(status), .. } if is_rest(route) && *status == expected);
        let is_waiting = matches!(self.phase, Phase::Waiting { .. });
        let has_begun = match self.step {
            Step::Connect => {
                if !self.seen.came
                    && matches!(kind, EventKind::Request { .. } | EventKind::UpgradeRefused { .. })
                {
                    self.seen.came = true;
                    self.phase = Phase::Waiting { until: self.now.saturating_add(self.settings.step_wait) };
                }
                return self.end_if(matches!(kind, EventKind::Connected { .. }));
            }
            Step::Subscribe => matches!(kind, EventKind::Subscribed { .. }),
            Step::Commands => matches!(kind, EventKind::Command { .. }) && self.facts.commands > 0,
            Step::DroppedAcks => !self.seen.copies.is_empty(),
            Step::Cut | Step::Recovery | Step::ExpiredCredentials => {
                return self.end_if(self.is_complete_again());
            }
            Step::Storm => self.seen.upgrades > 0,
            // How long a client takes to subscribe is not judged, so the time to watch begins once it has finished.
            Step::RefusedSubscription => self.seen.refused_filters > 0 && self.missing_others().is_empty(),
            Step::DeniedPublish => !self.seen.denied.is_empty(),
            Step::ExpiredTokens => {
                let is_refused = self.seen.unauthorized > MAX_UNAUTHORIZED || self.seen.sign_ins > 0;
                let is_renewed = self.seen.refreshes > 0
                    && matches!(kind, EventKind::Request { route, status: Some(200..=299), .. } if is_rest(route));
                return self.end_if(is_refused || is_renewed);
            }
            Step::SlowRest => !self.seen.requests.is_empty(),
            Step::Unauthorized => is_rest_answer(401),
            Step::Throttled => is_rest_answer(429),
        };
        if is_waiting && has_begun {
            let span = match self.step {
                Step::SlowRest => self.settings.watch + self.settings.scaled(SLOW_S),
                Step::Throttled => self.settings.scaled(RETRY_AFTER_S.into()),
                Step::Subscribe | Step::Commands => self.settings.settle,
                _ => self.settings.watch,
            };
            self.phase = Phase::Watching { until: self.now.saturating_add(span) };
        }
    }

    fn end_if(&mut self, is_over: bool) {
        if is_over {
            self.conclude();
            self.next();
        }
    }

    /// Returns `true` if the client has connected since the trouble, and has all its filters again.
    fn is_complete_again(&self) -> bool {
        let is_connected = self.step == Step::Recovery || self.seen.connected.is_some();
        let has_connection = self.connections.values().any(|connection| connection.connected.is_some());
        is_connected && has_connection && self.filters().is_superset(&self.wanted)
    }

    /// Seconds of the client's clock since the simulator acted.
    fn since_began(&self, at: Duration) -> f64 {
        at.saturating_sub(self.seen.began).as_secs_f64() / self.settings.factor
    }

    /// Judges the present step at its end.
    pub(super) fn conclude(&mut self) {
        if matches!(self.phase, Phase::Settling { .. }) {
            return;
        }
        match self.step {
            Step::Connect | Step::Subscribe | Step::Commands => {}
            Step::DroppedAcks => self.judge_dropped_acks(),
            Step::Cut => self.judge_cut(),
            Step::Storm => {
                let upgrades = self.seen.upgrades;
                if upgrades > 0 {
                    let secs = self.since_began(self.now);
                    let observed = format!("{} in {secs:.0} s", count(upgrades.into(), "connection"));
                    self.judge(Rule::Backoff, upgrades <= MAX_STORM_CONNECTIONS, observed);
                }
            }
            Step::RefusedSubscription => self.judge_refused_subscription(),
            Step::DeniedPublish => self.judge_denied_publish(),
            Step::ExpiredTokens => self.judge_expired_tokens(),
            Step::ExpiredCredentials => self.judge_expired_credentials(),
            Step::SlowRest => self.judge_slow_rest(),
            Step::Unauthorized => self.judge_unauthorized(),
            Step::Throttled => {
                let early: u32 =
                    self.seen.throttled.values().map(|(_, early)| (*early).saturating_sub(1)).sum();
                if !self.seen.throttled.is_empty() {
                    // One request of each path may have been in transit.
                    let observed = match early {
                        0 => format!("no request of the same path within {RETRY_AFTER_S} s"),
                        _ => format!(
                            "{} of the same path within {RETRY_AFTER_S} s",
                            count(early.into(), "request")
                        ),
                    };
                    self.judge(Rule::RetryAfter, early == 0, observed);
                }
            }
            Step::Recovery => {
                let is_complete = self.is_complete_again();
                let observed = match is_complete {
                    true => format!("connected, with {}", count(self.filters().len() as u64, "filter")),
                    false => self.incomplete(),
                };
                // A client that was never connected cannot recover its connection.
                if self.facts.connects > 0 {
                    self.judge(Rule::Recovery, is_complete, observed);
                }
            }
        }
    }

    /// Describes what the client lacks.
    fn incomplete(&self) -> String {
        if self.connections.values().all(|connection| connection.connected.is_none()) {
            return format!("not connected after {:.0} s", self.since_began(self.now));
        }
        let present = self.filters();
        let missing: BTreeSet<String> = self.wanted.difference(&present).cloned().collect();
        format!("missing after {:.0} s: {}", self.since_began(self.now), list(missing.iter()))
    }

    fn judge_dropped_acks(&mut self) {
        let Some(most) = self.seen.copies.values().copied().max() else { return };
        let observed = format!("the same command {most} times at most");
        self.judge(Rule::LostAckRepeats, most <= MAX_COPIES, observed);
        self.judge_kept(Rule::LostAckConnection);
    }

    /// Judges that the client did not end its connections. One end may have a reason of its own.
    fn judge_kept(&mut self, id: Rule) {
        let left = self.seen.left;
        self.judge(id, left <= 1, format!("the client ended {}", count(left.into(), "connection")));
    }

    fn judge_cut(&mut self) {
        match self.seen.connected {
            Some(at) => {
                self.pass(Rule::Reconnect, format!("connected again after {:.1} s", self.since_began(at)))
            }
            None => self.fail(Rule::Reconnect, self.incomplete()),
        }
        if self.seen.connected.is_some() && !self.wanted.is_empty() {
            let is_complete = self.is_complete_again();
            let observed = match is_complete {
                true => format!("{} granted again", count(self.wanted.len() as u64, "filter")),
                false => self.incomplete(),
            };
            self.judge(Rule::Resubscribe, is_complete, observed);
        }
    }

    /// Filters that the client lacks, without those that the script refuses.
    fn missing_others(&self) -> BTreeSet<String> {
        let present = self.filters();
        let lacks = |filter: &&String| !self.is_refused_by_script(filter) && !present.contains(*filter);
        self.wanted.iter().filter(lacks).cloned().collect()
    }

    fn judge_refused_subscription(&mut self) {
        let (asked, left) = (self.seen.refused_filters, self.seen.left);
        let Some(device) = self.refused_device.filter(|_| asked > 0) else { return };
        let observed = format!("asked for a refused filter {}", count(asked.into(), "time"));
        self.judge(Rule::RefusedFilter, asked <= MAX_REFUSED_FILTERS, observed);
        let missing = self.missing_others();
        // A good client asks for the refused ones again after minutes, so that later steps do not wait for them.
        self.wanted.retain(|filter| !is_of(filter, device));
        let number = self.wanted.len();
        if left > 1 {
            let observed = format!("the client ended {}", count(left.into(), "connection"));
            self.fail(Rule::OtherFilters, observed);
        } else if !missing.is_empty() {
            self.fail(Rule::OtherFilters, format!("missing: {}", list(missing.iter())));
        } else if number > 0 {
            self.pass(
                Rule::OtherFilters,
                format!("{} granted beside the refused ones", count(number as u64, "filter")),
            );
        }
    }

    fn judge_denied_publish(&mut self) {
        let total: u32 = self.seen.denied.values().sum();
        let Some((what, most)) = self.seen.denied.iter().max_by_key(|(_, copies)| **copies) else { return };
        let is_kept = *most <= MAX_DENIED_COPIES && total <= MAX_DENIED;
        let observed =
            format!("denied publishes: {total}; {} was sent {}", quote(what), count((*most).into(), "time"));
        self.judge(Rule::DeniedPublish, is_kept, observed);
    }

    fn judge_expired_tokens(&mut self) {
        let StepRecord { sign_ins, refreshes, unauthorized, .. } = self.seen;
        let refused = format!("{} answered with 401", count(unauthorized.into(), "request"));
        if sign_ins > 0 {
            self.fail(Rule::TokenRefresh, format!("signed in with the password again; {refused}"));
        } else if refreshes > 0 {
            self.judge(Rule::TokenRefresh, unauthorized <= MAX_UNAUTHORIZED, format!("renewed; {refused}"));
        } else if unauthorized > 0 {
            self.fail(Rule::TokenRefresh, format!("no renewal; {refused}"));
        }
    }

    fn judge_expired_credentials(&mut self) {
        let StepRecord { grants, refused_upgrades, connected, .. } = self.seen;
        let asked = count(grants.into(), "new set");
        let refused = count(refused_upgrades.into(), "refused upgrade");
        let is_kept = connected.is_some() && refused_upgrades <= MAX_REFUSED_UPGRADES;
        self.judge(Rule::FreshCredentials, is_kept, format!("{asked} of credentials, {refused}"));
    }

    fn judge_slow_rest(&mut self) {
        let Some((path, most)) = self.seen.requests.iter().max_by_key(|(_, number)| **number) else { return };
        let (most, secs) = (*most, self.since_began(self.now));
        let observed = format!(
            "at most {} of one path in {secs:.0} s, of {}",
            count(most.into(), "request"),
            quote(path)
        );
        self.judge(Rule::SlowRest, most <= MAX_SLOW_REQUESTS, observed);
        self.judge_kept(Rule::SlowRestConnection);
    }

    fn judge_unauthorized(&mut self) {
        let StepRecord { sign_ins, refreshes, unauthorized, .. } = self.seen;
        if unauthorized == 0 {
            return;
        }
        let observed = format!(
            "{}, {} and {}",
            count(unauthorized.into(), "answer"),
            count(refreshes.into(), "renewal"),
            count(sign_ins.into(), "sign-in")
        );
        let is_kept = unauthorized <= 2 * MAX_UNAUTHORIZED && refreshes + sign_ins <= MAX_RENEWALS;
        self.judge(Rule::Unauthorized, is_kept, observed);
    }
}

impl StepRecord {
    fn publish(&mut self, message: Message, device: DeviceId, is_accepted: bool) {
        let what = match message {
            Message::Command(command) => {
                let content: Box<str> = format!("{}", command.cmd).into();
                let name = match command.id {
                    Some(id) => format!("the command {id}"),
                    None => format!("the command {content}"),
                };
                if self.copies.len() < MAX_KINDS {
                    *self.copies.entry((device, content.into())).or_default() += 1;
                }
                name
            }
            Message::Dangerous(what) | Message::Other(what) => format!("{what} to {device}"),
        };
        if !is_accepted && self.denied.len() < MAX_KINDS {
            *self.denied.entry(what).or_default() += 1;
        }
    }
}
