//! Report of the conformance check.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde_json::{Value, json};

use super::rule::CheckRule;

/// Result of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CheckResult {
    /// The client kept the rule wherever it could be seen.
    Pass,
    /// The client broke the rule.
    Fail,
    /// The rule could not be judged, because nothing that it applies to happened.
    NotSeen,
}

impl CheckResult {
    /// Name: `pass`, `fail` or `not seen`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotSeen => "not seen",
        }
    }
}

/// A rule, its result, and what was seen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: &'static CheckRule,
    /// Its result.
    pub result: CheckResult,
    /// Observation of the simulator; empty if there is none. It may quote text of the client.
    pub observed: String,
}

/// A step of the script.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepReport {
    /// Name, such as `cut`.
    pub name: &'static str,
    /// Action of the simulator, as a verb with its object.
    pub did: &'static str,
    /// Virtual time at which it began, from the start of the check; `None` if it did not.
    pub began: Option<Duration>,
    /// Virtual time at which it ended.
    pub ended: Option<Duration>,
    /// The rules that it is about.
    pub findings: Vec<Finding>,
}

/// Counts of a client's requests and messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CheckFacts {
    /// Sign-ins with a password.
    pub sign_ins: u64,
    /// Renewals of the tokens.
    pub refreshes: u64,
    /// AWS credentials that were issued to it.
    pub credentials: u64,
    /// Accepted WebSocket upgrades.
    pub upgrades: u64,
    /// Refused WebSocket upgrades.
    pub refused_upgrades: u64,
    /// Accepted CONNECT packets.
    pub connects: u64,
    /// Filters in the largest SUBSCRIBE that was answered.
    pub largest_subscribe: u64,
    /// Different filters that were granted.
    pub filters: u64,
    /// Thermostats whose statuses it has subscribed to.
    pub devices: u64,
    /// Published commands, repeats included.
    pub commands: u64,
    /// REST requests.
    pub rest_requests: u64,
}

/// Report of a conformance check.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckReport {
    /// `true` if the script has ended.
    pub finished: bool,
    /// Counts of the client's requests and messages.
    pub facts: CheckFacts,
    /// The steps, in their order.
    pub steps: Vec<StepReport>,
    /// Number of events that the check missed, because they came too fast. The results may be wrong then.
    pub missed_events: u64,
}

impl CheckReport {
    /// Number of rules with this result.
    #[must_use]
    pub fn count(&self, result: CheckResult) -> usize {
        self.findings().filter(|finding| finding.result == result).count()
    }

    /// Findings of all steps.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.steps.iter().flat_map(|step| &step.findings)
    }

    /// The finding of a rule; `step` distinguishes rules of the same name.
    #[must_use]
    pub fn finding(&self, step: &str, rule: &str) -> Option<&Finding> {
        let step = self.steps.iter().find(|one| one.name == step)?;
        step.findings.iter().find(|finding| finding.rule.name == rule)
    }

    /// The report as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let seconds = |at: Option<Duration>| at.map(|at| json!(at.as_millis() as f64 / 1_000.0));
        let rule = |finding: &Finding| {
            let CheckRule { name, expects, source, advice, .. } = finding.rule;
            json!({
                "rule": name, "result": finding.result.name(), "observed": finding.observed, "expects": expects,
                "source": source, "advice": advice,
            })
        };
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                json!({
                    "step": step.name, "did": step.did, "began_s": seconds(step.began), "ended_s": seconds(step.ended),
                    "rules": step.findings.iter().map(rule).collect::<Vec<_>>(),
                })
            })
            .collect();
        let CheckFacts {
            sign_ins,
            refreshes,
            credentials,
            upgrades,
            refused_upgrades,
            connects,
            largest_subscribe,
            filters,
            devices,
            commands,
            rest_requests,
        } = self.facts;
        json!({
            "finished": self.finished, "passed": self.count(CheckResult::Pass), "failed": self.count(CheckResult::Fail),
            "not_seen": self.count(CheckResult::NotSeen), "missed_events": self.missed_events,
            "facts": {
                "sign_ins": sign_ins, "refreshes": refreshes, "credentials": credentials, "upgrades": upgrades,
                "refused_upgrades": refused_upgrades, "connects": connects, "largest_subscribe": largest_subscribe,
                "filters": filters, "devices": devices, "commands": commands, "rest_requests": rest_requests,
            },
            "steps": steps,
        })
        .to_string()
    }
}

/// The report as text, a few lines for each step. A broken rule has its source and advice.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let at =
                step.began.map(|began| alloc::format!(" ({:.0} s)", began.as_secs_f64())).unwrap_or_default();
            writeln!(f, "{}{at}: the simulator {}", step.name, step.did)?;
            for finding in &step.findings {
                let CheckRule { name, expects, source, advice, .. } = finding.rule;
                let result = match finding.result {
                    CheckResult::Fail => "FAIL",
                    other => other.name(),
                };
                let seen = if finding.observed.is_empty() { expects } else { finding.observed.as_str() };
                writeln!(f, "  {result:<9} {name:<18} {seen}")?;
                if finding.result == CheckResult::Fail {
                    writeln!(f, "            rule: {expects} ({source})")?;
                    writeln!(f, "            {advice}")?;
                }
            }
        }
        if self.missed_events > 0 {
            writeln!(f, "{} events were missed; the results may be wrong", self.missed_events)?;
        }
        let count = |result| self.count(result);
        write!(
            f,
            "{}{} pass, {} fail, {} not seen",
            if self.finished { "" } else { "interrupted: " },
            count(CheckResult::Pass),
            count(CheckResult::Fail),
            count(CheckResult::NotSeen)
        )
    }
}
