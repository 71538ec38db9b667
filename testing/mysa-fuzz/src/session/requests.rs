use core::time::Duration;
use std::collections::BTreeMap;

use mysa_proto::rest::{self, DisplayUnit, SettingsWrite};
use mysa_proto::{Celsius, DeviceId, Model};
use mysa_session::{HttpId, HttpRequest, RequestId};
use serde_json::Value;

use super::{DEVICE, Harness, OTHER};
use crate::command::change;
use crate::script::Script;

/// Thermostats that a caller may know, the last of which no account has.
const IDS: [&str; 3] = [DEVICE, OTHER, "c0b1c2d3e4f7"];
const MODELS: [&str; 4] = ["BB-V2-0-L", "AC-V1-0", "INF-V1-0", "XX"];

/// HTTP request that the driver has not answered.
#[derive(Debug)]
pub(super) struct PendingHttp {
    pub(super) id: HttpId,
    /// Method and path, or for AWS the name of the action.
    pub(super) what: String,
    /// Time at which the session gives it up.
    pub(super) given_up: Duration,
    /// Answer to a challenge that it carries.
    pub(super) answer: Option<String>,
    /// Change of settings that it carries, once the driver has fetched the body.
    pub(super) write: Option<Write>,
    /// `true` if it belongs to a sign-in that was given up, so that its answer must have no effect.
    pub(super) is_stale: bool,
}

/// Method with path, and body.
pub(super) type Write = (String, String);

/// Changes of settings that were requested.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Those without an answer for the application.
    undecided: BTreeMap<RequestId, Write>,
    /// Number of times that each may still be written. Two requests may be equal.
    left: BTreeMap<Write, usize>,
}

impl PendingHttp {
    pub(super) fn new(request: &HttpRequest, now: Duration) -> Self {
        let target = request.headers.iter().find(|(name, _)| *name == "x-amz-target");
        let target = target.map_or("", |(_, value)| value.rsplit('.').next().unwrap_or(""));
        let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
        let answer = (target == "RespondToAuthChallenge").then(|| request.body.ready()).flatten();
        Self {
            id: request.id,
            what: format!("{} /{path}{target}", request.method),
            given_up: now + request.timeout + Duration::from_secs(5),
            answer: answer.and_then(answer_of),
            write: None,
            is_stale: false,
        }
    }

    /// `true` for a command by the structured service.
    pub(super) fn is_command(&self) -> bool {
        !self.what.starts_with("GET ") && self.what.contains(" /state/")
    }

    /// `true` for a command or a change of settings.
    pub(super) fn is_write(&self) -> bool {
        self.is_command() || self.what.starts_with("POST /devices/")
    }

    /// `true` for a request to the user pool that may sign in.
    pub(super) fn is_sign_in(&self) -> bool {
        ["/InitiateAuth", "/RespondToAuthChallenge", "/GetTokensFromRefreshToken"]
            .iter()
            .any(|action| self.what.ends_with(action))
    }
}

/// Answer of a person in the response to a challenge. `None` in that to the challenge of the password.
fn answer_of(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    if body["ChallengeName"] == "PASSWORD_VERIFIER" {
        return None;
    }
    let mut responses = body["ChallengeResponses"].as_object()?.iter();
    let (_, answer) = responses.find(|(name, _)| name.ends_with("_CODE") || *name == "ANSWER")?;
    answer.as_str().map(String::from)
}

impl Writes {
    fn request(&mut self, id: RequestId, write: Write) {
        self.allow(write.clone());
        self.undecided.insert(id, write);
    }

    /// Allows a write: a requested one, or one that the service has refused to carry out, which the session may repeat.
    pub(super) fn allow(&mut self, write: Write) {
        *self.left.entry(write).or_default() += 1;
    }

    /// Takes the write that the driver carries out.
    fn take(&mut self, what: &str, body: &str) -> Write {
        // The backend has the route with a slash.
        let write = (what.trim_end_matches('/').to_owned(), body.to_owned());
        let left = self.left.get_mut(&write).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("written twice, or not requested: {write:?}")) -= 1;
        write
    }

    /// A request has its answer, so that it is not written any more.
    pub(super) fn end(&mut self, id: RequestId) {
        let Some(write) = self.undecided.remove(&id) else { return };
        let equal = self.undecided.values().filter(|other| **other == write).count();
        self.left.entry(write).and_modify(|left| *left = equal.min(*left));
    }
}

impl Harness {
    /// Connects for a request whose body is deferred. False if the session has withdrawn it.
    pub(super) fn connect(&mut self, request: &mut PendingHttp) -> bool {
        !self.deferred.remove(&request.id) || {
            let body = self.session.deferred_body(self.now(), request.id);
            if let Some(body) = &body {
                if request.is_command() {
                    assert!(self.asked, "a write without a request");
                } else {
                    request.write = Some(self.writes.take(&request.what, body.expose()));
                }
            }
            self.read();
            body.is_some()
        }
    }

    pub(super) fn write_settings(&mut self, script: &mut Script<'_>) {
        let Some(write) = any_write(script) else { return };
        let wire = write.clone().into_request();
        let id = self.session.write_settings(self.now(), write);
        self.requests.extend(id);
        if let (Ok(id), false) = (id, self.session.settings().read_only) {
            let write = (format!("POST {}", wire.path()), wire.body().unwrap_or_default().to_owned());
            self.writes.request(id, write);
        }
    }

    pub(super) fn command_many(&mut self, script: &mut Script<'_>) {
        let devices: Vec<DeviceId> = (0..script.byte() % 5).map(|_| any_device(script)).collect();
        let deadline = script.option(|script| Duration::from_millis(script.u16().into()));
        let change = change(script);
        let mut due = self.mono + deadline.unwrap_or(self.session.settings().command_deadline);
        self.asked = true;
        let Ok(ids) = self.session.command_many(self.now(), &devices, change, deadline) else { return };
        assert_eq!(ids.len(), devices.len());
        for id in ids {
            assert!(self.commands.insert(id, (due, None)).is_none(), "{id:?} given twice");
            due += self.session.settings().device_spacing;
        }
    }

    pub(super) fn assume_devices(&mut self, script: &mut Script<'_>) {
        let assumed: Vec<_> = (0..script.byte() % 4)
            .map(|_| (any_device(script), Model::parse(script.pick(&MODELS)), script.option(Script::text)))
            .collect();
        let known = |harness: &Self| harness.session.devices().map(|device| device.id()).collect::<Vec<_>>();
        let before = known(self);
        self.session.assume_devices(self.now(), assumed.iter().cloned());
        let after = known(self);
        assert!(before.iter().all(|id| after.contains(id)), "{before:?} {after:?}");
        let all_known = assumed.iter().all(|(id, ..)| after.contains(id));
        assert!(all_known || before == after, "some of {assumed:?}: {after:?}");
    }
}

fn any_device(script: &mut Script<'_>) -> DeviceId {
    DeviceId::new(script.pick(&IDS)).expect("an id")
}

fn any_write(script: &mut Script<'_>) -> Option<SettingsWrite> {
    let device = any_device(script);
    match script.byte() % 5 {
        0 => rest::set_name(device, &script.text()).ok(),
        1 => {
            let unit = if script.flag() { DisplayUnit::Celsius } else { DisplayUnit::Fahrenheit };
            Some(rest::set_display_unit(device, unit))
        }
        2 => rest::set_brightness(device, script.byte(), script.byte()).ok(),
        3 => Some(rest::set_lock(device, script.flag())),
        _ => {
            let mut limit = || Celsius::from_hundredths(i32::from(script.byte()) * 50);
            rest::set_setpoint_limits(device, limit(), limit()).ok()
        }
    }
}
