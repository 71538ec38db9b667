//! Output of `mysa set`: the plan, the verdicts, and the exit code.

use mysa_proto::{Channel, DeviceId, InvalidCommand};
use mysa_tokio::{
    Change, Client, DeliveryStage, DeviceView, Effect, Expired, Level, Preview, Reason, Refused, Verdict,
};

use super::plan::{self, Plan, Request};
use crate::args::Targets;
use crate::output::record::{self, Record, Value, printable};
use crate::output::temperature;
use crate::output::terminal::Terminal;
use crate::output::view::{self, Link};
use crate::support::cloud::Cloud;
use crate::support::config::Unit;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::resolve;

/// Printer of the verdicts as they arrive. Failures go to standard error, so nothing is printed twice; with `--json`,
/// one document at the end has everything.
pub(crate) struct SetReport<'a> {
    terminal: &'a Terminal,
    cloud: &'a Cloud,
    /// `true` if one thermostat was named, so that the document is its result and not a list.
    is_single: bool,
    no_wait: bool,
    results: Vec<Record>,
    failures: Vec<Failure>,
}

impl<'a> SetReport<'a> {
    pub(crate) fn new(terminal: &'a Terminal, cloud: &'a Cloud, is_single: bool, no_wait: bool) -> Self {
        Self { terminal, cloud, is_single, no_wait, results: Vec::new(), failures: Vec::new() }
    }

    /// Prints the requested and the sent values.
    pub(crate) fn plan(&self, plan: &Plan) -> Result<()> {
        if self.terminal.json {
            return Ok(());
        }
        self.terminal.line(format!("{} ({})", plan.label(), printable(plan.view.model.as_str())))?;
        plan.lines().iter().try_for_each(|line| self.terminal.line(format!("  {line}")))
    }

    /// Prints the outcome of one command.
    pub(crate) fn verdict(&mut self, plan: &Plan, verdict: &Verdict) -> Result<()> {
        let Decided { record, outcome, held } = decided(&self.cloud.client, plan, verdict, self.no_wait);
        self.results.push(record);
        let sent = plan.sent().filter(|_| was_sent(verdict));
        // A failure goes to another stream than the plan, so it repeats the requested and the sent values.
        let amounts = describe_amounts(plan, sent, &held, outcome.exit.is_some());
        let text = match outcome.name {
            // A field that the thermostat does not have holds no value.
            _ if plan.is_beyond_model() => outcome.text,
            "sent" => format!("{}; so far {amounts}", outcome.text),
            _ => format!("{}; {amounts}{}", outcome.text, outcome.hint),
        };
        match outcome.exit {
            None => self.good(&plan.view, &text),
            Some(exit) => self.bad(&plan.view, Failure::new(exit, text)),
        }
    }

    /// Prints the reason why there is no plan for a thermostat, so that nothing was sent.
    pub(crate) fn no_plan(&mut self, view: &DeviceView, request: &Request, failure: Failure) -> Result<()> {
        let record = document(view);
        self.results.push(without_plan(record, request, &plan::held(view, &request.fields()), &failure));
        self.bad(view, failure)
    }

    /// Prints the reason why a planned command has no verdict.
    pub(crate) fn failure(&mut self, plan: &Plan, failure: Failure) -> Result<()> {
        let view = &plan.view;
        let mut record = document(view);
        let latest = self.cloud.client.state(&view.id).unwrap_or_else(|| view.clone());
        let held = plan::held_by(&latest, plan, true);
        // It is unknown whether the command was sent.
        put_amounts(&mut record, plan, None);
        record.put("held", plan::record(&held, &plan.asked, plan.style()));
        let amounts = describe_amounts(plan, None, &held, true);
        let failure = Failure::new(failure.exit, format!("{failure}; {amounts}"));
        put_failure(&mut record, &failure);
        self.results.push(record);
        self.bad(view, failure)
    }

    /// Prints the payload that would be sent.
    pub(crate) fn dry_run(&mut self, plan: &Plan, preview: &Preview) -> Result<()> {
        let to = match preview.channel {
            Channel::Mqtt => format!("/v1/dev/{}/in", plan.view.id),
            Channel::Structured => format!("POST /state/{}/update", plan.view.id),
        };
        let text = preview.payload.as_str();
        let mut record = document(&plan.view);
        put_amounts(&mut record, plan, Some(&preview.change));
        let held = plan::held(&plan.view, &plan.asked);
        record.put("held", plan::record(&held, &plan.asked, plan.style()));
        record.put("dry_run", true).put("to", to.as_str()).put("payload", text);
        self.results.push(record);
        if self.terminal.json {
            return Ok(());
        }
        let held = plan::summary(&held, &plan.asked, plan.style());
        self.terminal.line(format!("  it holds {held}"))?;
        self.terminal.line(format!("  would be sent to {to}:\n  {}", printable(text)))?;
        self.terminal.say("nothing was sent");
        Ok(())
    }

    fn good(&self, view: &DeviceView, text: &str) -> Result<()> {
        if self.terminal.json {
            return Ok(());
        }
        self.terminal.progress("");
        match self.is_single {
            true => self.terminal.line(format!("  {text}")),
            false => self.terminal.line(format!("{}: {text}", view::label(view))),
        }
    }

    /// Prints one failure of several at once. A single failure ends the program, which prints it then.
    fn bad(&mut self, view: &DeviceView, failure: Failure) -> Result<()> {
        if self.is_single {
            self.failures.push(failure);
        } else {
            let exit = failure.exit;
            self.terminal.error(&Failure::new(exit, format!("{}: {failure}", view::label(view))));
            self.failures.push(Failure::new(exit, ""));
        }
        Ok(())
    }

    /// Prints the document and ends with the worst exit code.
    pub(crate) fn finish(mut self) -> Result<()> {
        let worst = Exit::worst(self.failures.iter().map(|failure| failure.exit));
        if self.terminal.json {
            let document = if self.is_single {
                self.results.pop().unwrap_or_else(record::document)
            } else {
                let mut document = record::document();
                document.put("exit_code", worst.map_or(0, |exit| exit as u8));
                let results = self.results.into_iter().map(|result| {
                    let mut device = Record::new();
                    for (name, value) in result.into_fields().filter(|(name, _)| name != "schema") {
                        device.put(&name, value);
                    }
                    Value::Record(device)
                });
                document.put("devices", results.collect::<Vec<_>>());
                document
            };
            self.terminal.line(document.to_json())?;
        }
        match worst {
            None => Ok(()),
            Some(worst) => {
                let at = self.failures.iter().position(|failure| failure.exit == worst).unwrap_or(0);
                Err(self.failures.swap_remove(at))
            }
        }
    }
}

/// Prints the document of a command that failed for all thermostats before there were plans. Returns the failure.
pub(crate) fn all_without_plan(
    terminal: &Terminal,
    targets: &Targets,
    request: &Request,
    failure: Failure,
) -> Failure {
    if !terminal.json {
        return failure;
    }
    let result = |typed: &String| {
        let id = resolve::as_id(typed);
        let mut record = Record::new();
        record
            .put("id", id.as_ref().map(DeviceId::as_str))
            .put("name", id.is_none().then_some(typed.as_str()));
        without_plan(record, request, &Change::default(), &failure)
    };
    let mut document = record::document();
    if let (false, [only]) = (targets.all, targets.devices.as_slice()) {
        for (name, value) in result(only).into_fields() {
            document.put(&name, value);
        }
    } else {
        let results = targets.devices.iter().map(|typed| Value::Record(result(typed)));
        document.put("exit_code", failure.exit as u8).put("message", failure.to_string());
        document.put("devices", results.collect::<Vec<_>>());
    }
    match terminal.line(document.to_json()) {
        Ok(()) => failure,
        Err(unwritten) => unwritten,
    }
}

/// A decided command, as it is reported.
pub(crate) struct Decided {
    /// Document for programs.
    pub(crate) record: Record,
    outcome: Outcome,
    /// Values that the thermostat holds in the requested fields.
    held: Change,
}

/// Describes the verdict on a planned command.
pub(crate) fn decided(client: &Client, plan: &Plan, verdict: &Verdict, no_wait: bool) -> Decided {
    let latest = client.state(&plan.view.id).unwrap_or_else(|| plan.view.clone());
    let service = client.service();
    let outcome =
        Outcome::of(verdict, no_wait, Link::of(&latest), (service.level, service.reason), plan.unit);
    let held = plan::held_by(&latest, plan, was_sent(verdict));
    let mut record = document(&plan.view);
    put_amounts(&mut record, plan, plan.sent().filter(|_| was_sent(verdict)));
    record.put("held", plan::record(&held, &plan.asked, plan.style()));
    record.put("verdict", outcome.name).put("message", outcome.text.as_str());
    if let Verdict::Confirmed { after, .. } | Verdict::Unconfirmed { after, .. } = verdict {
        record.put("after_s", (after.as_secs_f64() * 1_000.0).round() / 1_000.0);
    }
    if let Verdict::Confirmed { effect, .. } = verdict {
        record.put("already_so", *effect == Effect::AlreadyHeld);
    }
    if let Verdict::Unconfirmed { seen, reached, .. } = verdict {
        record.put("reached", reached.name());
        record.put("seen", plan::record(seen, &plan.asked, plan.style()));
    }
    record.put("link", Link::of(&latest).name());
    record.put("exit_code", outcome.exit.map_or(0, |exit| exit as u8));
    Decided { record, outcome, held }
}

/// Document of a command for one thermostat that failed before it was handed over.
pub(crate) fn not_planned(view: Option<&DeviceView>, request: &Request, failure: &Failure) -> Record {
    let held = view.map(|view| plan::held(view, &request.fields())).unwrap_or_default();
    without_plan(view.map_or_else(record::document, document), request, &held, failure)
}

/// Adds the members of a result without a plan, the same as those of other results.
fn without_plan(mut record: Record, request: &Request, held: &Change, failure: &Failure) -> Record {
    let (fields, unit) = (request.fields(), request.unit);
    record.put("before", plan::record(held, &fields, unit));
    record.put("requested", plan::record(&request.values(), &fields, unit));
    record.put("sent", Value::Null);
    record.put("held", plan::record(held, &fields, unit));
    put_failure(&mut record, failure);
    record
}

fn put_failure(record: &mut Record, failure: &Failure) {
    let verdict = if failure.exit == Exit::Refused { "refused" } else { "failed" };
    record.put("verdict", verdict).put("message", failure.to_string());
    record.put("exit_code", failure.exit as u8);
}

fn document(view: &DeviceView) -> Record {
    let mut document = record::document();
    document.put("id", view.id.as_str()).put("name", view.name.as_deref());
    document
}

/// Adds `before`, `requested` and `sent`. Nothing was sent if `sent` is `None`.
fn put_amounts(record: &mut Record, plan: &Plan, sent: Option<&Change>) {
    record.put("before", plan::record(&plan.before, &plan.asked, plan.style()));
    record.put("requested", plan::record(&plan.asked, &plan.asked, plan.style()));
    record.put("sent", sent.map(|sent| plan::record(sent, &plan.asked, plan.style())));
}

/// Formats the requested, sent and held values: `asked for setpoint 20.3 °C, sent setpoint 20.5 °C; it holds …`. Without
/// `in_full`, only the held values.
fn describe_amounts(plan: &Plan, sent: Option<&Change>, held: &Change, in_full: bool) -> String {
    let of = |change: &Change| plan::summary(change, &plan.asked, plan.style());
    let mut text = String::new();
    if in_full {
        text = format!("asked for {}", of(&plan.asked));
        if let Some(sent) = sent {
            text.push_str(&format!(", sent {}", of(sent)));
        }
        text.push_str("; ");
    }
    text + &format!("it holds {}", of(held))
}

/// Returns `true` if the bytes of the command left this computer.
fn was_sent(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Confirmed { .. }
        | Verdict::Unconfirmed { .. }
        | Verdict::Refused(Refused::Device | Refused::Service { .. }) => true,
        Verdict::Superseded { reached, .. } => reached.is_some(),
        Verdict::Refused(_) | Verdict::Expired(_) => false,
    }
}

/// Outcome of a command, in the form it is reported.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Name for programs.
    name: &'static str,
    text: String,
    /// Advice or explanation.
    hint: String,
    /// Exit code; `None` for success.
    exit: Option<Exit>,
}

impl Outcome {
    fn of(
        verdict: &Verdict,
        no_wait: bool,
        link: Link,
        (level, reason): (Level, Reason),
        unit: Unit,
    ) -> Self {
        if let (true, Verdict::Unconfirmed { reached, .. }) = (no_wait, verdict) {
            return Self::sent(*reached);
        }
        let exit = exit(verdict, link, level, reason);
        let hint = match (exit, link) {
            (Some(Exit::DeviceSilent), link) => format!("; the thermostat is {}", link.name()),
            (Some(Exit::Unconfirmed), _) => "; check with `mysa status`".into(),
            _ => String::new(),
        };
        Self { name: verdict.kind().name(), text: describe(verdict, unit), hint, exit }
    }

    /// Describes the stage that a command reached when the confirmation is not waited for.
    fn sent(reached: DeliveryStage) -> Self {
        let (text, exit) = match reached {
            DeliveryStage::Wire(channel) => {
                (format!("sent by {channel}, but not accepted yet"), Some(Exit::Unconfirmed))
            }
            DeliveryStage::Service(channel) => {
                (format!("sent without waiting for the effect: accepted by {channel}"), None)
            }
            DeliveryStage::Thermostat => {
                ("sent without waiting for the effect: received by the thermostat".to_owned(), None)
            }
        };
        Self { name: "sent", text, hint: String::new(), exit }
    }
}

/// Returns the exit code of a verdict; `None` for success.
fn exit(verdict: &Verdict, link: Link, level: Level, reason: Reason) -> Option<Exit> {
    Some(match verdict {
        Verdict::Confirmed { .. } => return None,
        Verdict::Unconfirmed { .. } if !link.is_current() => Exit::DeviceSilent,
        Verdict::Unconfirmed { .. } | Verdict::Superseded { .. } => Exit::Unconfirmed,
        Verdict::Refused(Refused::UnknownDevice) => Exit::Usage,
        // A pause that the cloud asks for says nothing about the command.
        Verdict::Refused(Refused::Service { status: 429, .. }) => Exit::Unreachable,
        Verdict::Refused(_) => Exit::Refused,
        Verdict::Expired(Expired::Deadline) if level == Level::SignInNeeded => Exit::SignIn,
        // Without a failure so far, the time limit was too short; with one, the cloud is down.
        Verdict::Expired(Expired::Deadline) if level > Level::ReadOnly && reason != Reason::Starting => {
            Exit::Unreachable
        }
        Verdict::Expired(_) => Exit::TimedOut,
    })
}

/// Describes a verdict, with temperatures in the user's unit.
fn describe(verdict: &Verdict, unit: Unit) -> String {
    match verdict {
        Verdict::Refused(Refused::Model(refusal)) => format!("refused: {}", describe_refusal(refusal, unit)),
        verdict => verdict.to_string(),
    }
}

/// Describes a refusal, with temperatures in the user's unit.
fn describe_refusal(refusal: &InvalidCommand, unit: Unit) -> String {
    let show = |celsius| temperature::show_exactly(celsius, unit);
    match refusal {
        InvalidCommand::SetpointOutOfRange { asked, range } if unit == Unit::Fahrenheit => format!(
            "setpoint {} is out of range: allowed are {} to {} in steps of {:.1} °F",
            show(*asked),
            show(range.min),
            show(range.max),
            range.step.as_degrees() * 1.8
        ),
        InvalidCommand::SetpointNotOffered { asked, mode, offered }
            if unit == Unit::Fahrenheit && !offered.is_empty() =>
        {
            let offered: Vec<String> = offered.iter().map(|one| show(*one)).collect();
            format!(
                "setpoint {} is not offered in mode {mode}: allowed are {}",
                show(*asked),
                offered.join(", ")
            )
        }
        refusal => refusal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mysa_proto::{Celsius, Channel, Family, Mode};
    use mysa_tokio::Evidence;

    use super::*;

    fn unconfirmed(reached: DeliveryStage) -> Verdict {
        Verdict::Unconfirmed { reached, seen: Change::default(), after: Duration::from_secs(1) }
    }

    #[test]
    fn only_an_accepted_command_counts_as_sent() {
        for (stage, exit) in [
            (DeliveryStage::Wire(Channel::Mqtt), Some(Exit::Unconfirmed)),
            (DeliveryStage::Service(Channel::Mqtt), None),
            (DeliveryStage::Service(Channel::Structured), None),
            (DeliveryStage::Thermostat, None),
        ] {
            let outcome = Outcome::sent(stage);
            assert_eq!((outcome.name, outcome.exit), ("sent", exit), "{stage:?}");
        }
        assert!(Outcome::sent(DeliveryStage::Service(Channel::Mqtt)).text.contains("MQTT"));
    }

    #[test]
    fn refusals_are_in_the_unit_that_was_typed() {
        let range = Family::BaseboardV1.setpoint_range().unwrap();
        let refusal = InvalidCommand::SetpointOutOfRange { asked: Celsius::from_hundredths(3_500), range };
        let text = describe_refusal(&refusal, Unit::Fahrenheit);
        assert_eq!(
            text,
            "setpoint 95.0 °F is out of range: allowed are 41.0 °F to 86.0 °F in steps of 0.9 °F"
        );
        assert!(describe_refusal(&refusal, Unit::Celsius).contains("35"), "{refusal}");
        let offered = vec![Celsius::from_hundredths(2_000)];
        let asked = Celsius::from_hundredths(2_100);
        let refusal = InvalidCommand::SetpointNotOffered { asked, mode: Mode::Cool, offered };
        let text = describe_refusal(&refusal, Unit::Fahrenheit);
        assert!(text.contains("69.8 °F") && text.contains("68.0 °F") && !text.contains("°C"), "{text}");
    }

    #[test]
    fn a_command_that_was_never_sent_has_no_sent_amount() {
        assert!(was_sent(&unconfirmed(DeliveryStage::Wire(Channel::Mqtt))));
        assert!(was_sent(&Verdict::Refused(Refused::Device)));
        assert!(!was_sent(&Verdict::Refused(Refused::NotPermitted)));
        assert!(!was_sent(&Verdict::Expired(Expired::Deadline)));
    }

    #[test]
    fn every_verdict_has_its_exit_code() {
        let after = Duration::from_secs(1);
        let confirmed = Verdict::Confirmed { by: Evidence::Ack, after, effect: Effect::Changed };
        let unconfirmed = unconfirmed(DeliveryStage::Service(Channel::Mqtt));
        let expired = Verdict::Expired(Expired::Deadline);
        let refused = |by| Verdict::Refused(by);
        let down = Reason::Unreachable;
        for (verdict, link, (level, reason), code) in [
            (&confirmed, Link::Offline, (Level::Live, Reason::Healthy), None),
            (&unconfirmed, Link::Live, (Level::Live, Reason::Healthy), Some(Exit::Unconfirmed)),
            (&unconfirmed, Link::Rest, (Level::Live, Reason::Healthy), Some(Exit::Unconfirmed)),
            (&unconfirmed, Link::Offline, (Level::Live, Reason::Healthy), Some(Exit::DeviceSilent)),
            (&unconfirmed, Link::Silent, (Level::Live, Reason::Healthy), Some(Exit::DeviceSilent)),
            (&refused(Refused::Device), Link::Live, (Level::Live, Reason::Healthy), Some(Exit::Refused)),
            (&refused(Refused::NotPermitted), Link::Live, (Level::ReadOnly, down), Some(Exit::Refused)),
            (&expired, Link::Live, (Level::Live, Reason::Healthy), Some(Exit::TimedOut)),
            (&expired, Link::Live, (Level::RestOnly, down), Some(Exit::Unreachable)),
            (&expired, Link::Live, (Level::Offline, down), Some(Exit::Unreachable)),
            (&expired, Link::Live, (Level::Offline, Reason::Starting), Some(Exit::TimedOut)),
            (&expired, Link::Live, (Level::SignInNeeded, Reason::NoCredentials), Some(Exit::SignIn)),
        ] {
            assert_eq!(exit(verdict, link, level, reason), code, "{verdict}, {}, {level}", link.name());
        }
    }
}
