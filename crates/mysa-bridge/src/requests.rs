use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Change, DeviceId};
use mysa_session::{Verdict, VerdictKind};

use crate::client::Message;
use crate::command::{self, MAX_PAYLOAD};
use crate::context::Context;
use crate::devices::Devices;
use crate::event::{Event, IgnoredReason, Output, RequestId};
use crate::state::Document;
use crate::topics::rank;

/// Undecided commands. Each is decided exactly once, by [`Requests::decide`] alone.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: BTreeMap<RequestId, Request>,
    last: u64,
    ended: bool,
}

#[derive(Debug)]
struct Request {
    device: DeviceId,
    field: String,
    change: Change,
    received: Duration,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Held back until this time, in case a newer value arrives.
    Held { until: Duration },
    /// Handed to the driver.
    Sent { until: Duration },
}

/// Maximum number of undecided commands.
const MAX_REQUESTS: usize = 128;

impl Requests {
    /// Handles a message to a `set` topic: refuses it, or sends it to its thermostat, at once or when the newest value is
    /// known.
    pub(crate) fn handle_set(
        &mut self,
        cx: &mut Context,
        devices: &Devices,
        device: DeviceId,
        field: &str,
        message: &Message,
    ) {
        if message.payload.is_empty() {
            // The removal of a retained message.
            return;
        }
        if message.retained {
            return cx.ignore(&message.topic, IgnoredReason::Retained);
        }
        if self.ended {
            return cx.ignore(&message.topic, IgnoredReason::Stopping);
        }
        self.last += 1;
        let number = RequestId(self.last);
        let parsed = match devices.entities(device) {
            None => Err("no account has such a thermostat".to_string()),
            Some(_) if message.payload.len() > MAX_PAYLOAD => Err("the value is too long".to_string()),
            Some(entities) => {
                command::parse(field, &message.payload, entities, cx.now.wall).map_err(|error| error.text())
            }
        };
        let parsed = parsed.and_then(|change| {
            if self.open.len() < MAX_REQUESTS {
                Ok(change)
            } else {
                Err("too many commands are undecided".into())
            }
        });
        let change = match parsed {
            Ok(change) => change,
            Err(reason) => {
                publish_result(cx, number, device, field, None, cx.mono(), VerdictKind::Refused, &reason);
                return;
            }
        };
        cx.event(Event::Requested { request: number, device, change });
        // A newer value of a slider takes over the place of one that is held back, and its time.
        let mut until = cx.mono();
        if command::is_number(field) {
            until = cx.after(cx.settings.debounce);
            let held = self.open.iter().find_map(|(&number, request)| match request.stage {
                Stage::Held { until } if request.device == device && same_setting(&request.field, field) => {
                    Some((number, until))
                }
                _ => None,
            });
            if let Some((older, held_until)) = held {
                until = held_until;
                self.decide(cx, older, VerdictKind::Superseded, "superseded by a newer value");
            }
        } else {
            // Commands to a thermostat keep their order.
            for number in self.held(Some(device)) {
                self.send(cx, devices, number);
            }
        }
        let stage = Stage::Held { until };
        let request = Request { device, field: field.into(), change, received: cx.mono(), stage };
        self.open.insert(number, request);
        if until <= cx.mono() {
            self.send(cx, devices, number);
        }
    }

    /// Handles the verdict on a command. The first report on a command counts.
    pub(crate) fn handle_verdict(&mut self, cx: &mut Context, request: RequestId, verdict: &Verdict) {
        let reason = match verdict {
            Verdict::Refused(refused) => refused.to_string(),
            verdict => verdict.to_string(),
        };
        self.decide(cx, request, verdict.kind(), &reason);
    }

    /// Records that a command was not sent, and why.
    pub(crate) fn handle_not_sent(&mut self, cx: &mut Context, request: RequestId, reason: &str) {
        self.decide(cx, request, VerdictKind::Expired, &format!("not sent: {reason}"));
    }

    /// Decides the commands that no driver has: those that are held back, and those that the driver has not taken.
    pub(crate) fn handle_suspend(&mut self, cx: &mut Context) {
        let mut old = Vec::new();
        cx.outputs.retain(|output| match output {
            Output::Command { request, .. } => {
                old.push(*request);
                false
            }
            _ => true,
        });
        old.extend(self.held(None));
        for number in old {
            self.decide(
                cx,
                number,
                VerdictKind::Expired,
                "not sent: the computer was suspended, or its clock was set",
            );
        }
    }

    /// Decides the commands that are held back for a thermostat that left its account. One that is under way still gets
    /// its verdict.
    pub(crate) fn handle_removed(&mut self, cx: &mut Context, device: DeviceId) {
        for number in self.held(Some(device)) {
            self.decide(cx, number, VerdictKind::Refused, "the thermostat left the account");
        }
    }

    /// Sends the commands whose time has come, and decides those without a verdict in time.
    pub(crate) fn step(&mut self, cx: &mut Context, devices: &Devices) {
        for (number, stage) in self.stages(|request| request.stage.until() <= cx.mono()) {
            match stage {
                Stage::Held { .. } => self.send(cx, devices, number),
                Stage::Sent { .. } => {
                    self.decide(cx, number, VerdictKind::Unconfirmed, "there was no verdict in time");
                }
            }
        }
    }

    /// Time of the next call of [`Requests::step`].
    pub(crate) fn due(&self) -> Option<Duration> {
        self.open.values().map(|request| request.stage.until()).min()
    }

    /// Decides all commands, and ignores those that arrive later.
    pub(crate) fn end(&mut self, cx: &mut Context) {
        self.ended = true;
        for (number, stage) in self.stages(|_| true) {
            match stage {
                Stage::Held { .. } => {
                    self.decide(cx, number, VerdictKind::Expired, "not sent: the bridge stopped");
                }
                Stage::Sent { .. } => {
                    self.decide(
                        cx,
                        number,
                        VerdictKind::Unconfirmed,
                        "the bridge stopped before the verdict",
                    );
                }
            }
        }
    }

    fn stages(&self, selects: impl Fn(&Request) -> bool) -> Vec<(RequestId, Stage)> {
        let selected = self.open.iter().filter(|(_, request)| selects(request));
        selected.map(|(&number, request)| (number, request.stage)).collect()
    }

    /// Commands that are held back, for one thermostat or all.
    fn held(&self, device: Option<DeviceId>) -> Vec<RequestId> {
        let is_held = |request: &Request| {
            device.is_none_or(|device| request.device == device)
                && matches!(request.stage, Stage::Held { .. })
        };
        self.open.iter().filter(|(_, request)| is_held(request)).map(|(&number, _)| number).collect()
    }

    fn send(&mut self, cx: &mut Context, devices: &Devices, number: RequestId) {
        let until = cx.after(cx.settings.verdict_limit);
        let Some(request) = self.open.get_mut(&number) else { return };
        let Request { device, change, .. } = *request;
        // The held commands of a thermostat that left are decided.
        let Some(account) = devices.owner(device) else { return };
        request.stage = Stage::Sent { until };
        cx.outputs.push_back(Output::Command { request: number, account, device, change });
    }

    /// Publishes the result of a command, and the state again, so that a reader that shows the requested value returns to
    /// the real one.
    fn decide(&mut self, cx: &mut Context, number: RequestId, outcome: VerdictKind, reason: &str) {
        let Some(Request { device, field, change, received, .. }) = self.open.remove(&number) else {
            return;
        };
        publish_result(cx, number, device, &field, Some(change), received, outcome, reason);
    }
}

impl Stage {
    const fn until(self) -> Duration {
        match self {
            Self::Held { until } | Self::Sent { until } => until,
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a result")]
fn publish_result(
    cx: &mut Context,
    number: RequestId,
    device: DeviceId,
    field: &str,
    change: Option<Change>,
    received: Duration,
    outcome: VerdictKind,
    reason: &str,
) {
    let after = cx.mono().saturating_sub(received);
    let mut json = Document::default();
    json.put("id", number.0).put("field", field);
    json.put("requested", change.map(|change| change.to_string()));
    json.put("outcome", outcome.name()).put("reason", reason);
    json.put("ms", u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    let topics = cx.topics();
    let (result, state) = (topics.result(device), topics.state(device));
    cx.client.publish(result, json.into_bytes());
    cx.client.send_again(rank::STATE, &state);
    cx.event(Event::Decided { request: number, device, outcome, reason: reason.into() });
}

/// `true` if two fields are the same setting in two units.
fn same_setting(one: &str, other: &str) -> bool {
    let setting = |field| if field == "setpoint_f" { "setpoint" } else { field };
    setting(one) == setting(other)
}
