//! Named device shadows: the topics of AWS IoT by which clients read and change thermostats that have no topics of
//! their own.

pub(crate) mod document;
pub(crate) mod section;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use mysa_proto::DeviceId;
use serde_json::{Map, Value, json};

use crate::Now;
use crate::cloud::Cloud;
use crate::device::Device;
use crate::device::command_record::Origin;
use crate::device::family::Family;
use crate::device::parsed_command::ParsedCommand;
use crate::device::thermostat::Thermostat;

use self::document::{Rejection, Section, ShadowDocument, token_of_get, token_of_refused};

/// Maximum number of shadows of a thermostat; clients may create more than it has at the start.
const MAX_SHADOWS: usize = 16;

/// A shadow, and the origin of its last requested change.
#[derive(Debug)]
pub(crate) struct NamedShadow {
    pub(crate) document: ShadowDocument,
    origin: Origin,
}

/// A topic of a named shadow: `$aws/things/{device}/shadow/name/{name}/{request}`, with or without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ShadowTopic<'a> {
    pub(crate) device: DeviceId,
    name: &'a str,
    request: Request,
    /// `true` for a topic of an answer or a notification, on which only the cloud publishes.
    is_answer: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Request {
    Get,
    Update,
}

impl Request {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
        }
    }
}

impl<'a> ShadowTopic<'a> {
    /// Parses a topic without wildcards. Other topics of shadows, such as those that delete one, are not used
    /// by Mysa.
    pub(crate) fn parse(topic: &'a str) -> Option<Self> {
        let (device, rest) = topic.strip_prefix("$aws/things/")?.split_once("/shadow/name/")?;
        let (name, end) = rest.split_once('/')?;
        let (request, is_answer) = match end {
            "get" => (Request::Get, false),
            "get/accepted" | "get/rejected" => (Request::Get, true),
            "update" => (Request::Update, false),
            "update/accepted" | "update/rejected" | "update/delta" | "update/documents" => {
                (Request::Update, true)
            }
            _ => return None,
        };
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b':' | b'_' | b'-');
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(letter);
        // Names of things are case-sensitive.
        let id = DeviceId::new(device).filter(|id| is_name && id.as_str() == device)?;
        Some(Self { device: id, name, request, is_answer })
    }

    /// Returns `true` if a client may publish here.
    pub(crate) const fn is_request(&self) -> bool {
        !self.is_answer
    }
}

/// Shadows of a new thermostat: the desired values equal its settings.
pub(crate) fn of_thermostat(thermostat: &Thermostat, now: Now) -> BTreeMap<String, NamedShadow> {
    let shadow = |name: &'static str| {
        let values = thermostat.section(name)?;
        let mut document = ShadowDocument::default();
        let payload = json!({ "state": { "desired": section::desirable(&values), "reported": values } });
        document.update(format!("{payload}").as_bytes(), now.wall.as_secs()).ok()?;
        Some((name.into(), NamedShadow { document, origin: Origin::Rest }))
    };
    section::names(thermostat.family).filter_map(shadow).collect()
}

impl Device {
    /// Sections of the structured service, in degrees and with their times: name, desired and reported values.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (String, Value, Value)> {
        self.shadows.iter().map(|(name, shadow)| {
            let section = |section: &Section, more: Option<&Map<String, Value>>| {
                let mut values = section::from_shadow(&section.values);
                // The service does not show the source of a change.
                values.remove(section::SOURCE);
                values.extend(more.cloned().unwrap_or_default());
                // Desired and reported values have times of their own: a request says nothing about the values in force.
                let more_at = more.and_then(|more| more.get("timestamp")?.as_i64());
                if let Some(at) = section.newest().max(more_at) {
                    values.insert("timestamp".into(), json!(at));
                }
                Value::Object(values)
            };
            // A fault may have left values that are not in the shadow.
            let only_desired = self.desired.get(name).and_then(Value::as_object);
            let ShadowDocument { desired, reported, .. } = &shadow.document;
            (name.clone(), section(desired, only_desired), section(reported, None))
        })
    }

    /// Returns `true` if clients reach it by the topics of its shadows. Those of a baseboard V3 are only a model of the
    /// structured service, because no source shows topics for it.
    pub(crate) const fn has_shadow_topics(&self) -> bool {
        matches!(self.thermostat.family, Family::CentralHvac)
    }
}

impl Cloud {
    /// Handles a message that a client published on a topic of a shadow, and publishes the answer.
    pub(crate) fn handle_shadow_request(&mut self, now: Now, origin: Origin, topic: &str, payload: &[u8]) {
        self.with_broker(now.mono, |broker, cx| broker.publish(cx, topic, payload, true));
        let Some(parsed) = ShadowTopic::parse(topic).filter(ShadowTopic::is_request) else { return };
        let Some(&index) = self.by_id.get(&parsed.device) else { return };
        let at = now.wall.as_secs();
        let refused = match parsed.request {
            Request::Get => match token_of_get(payload) {
                Ok(token) => match self.devices[index].shadows.get(parsed.name) {
                    Some(shadow) => {
                        let mut shown = shadow.document.get(at);
                        if let Some(token) = token {
                            shown["clientToken"] = token.into();
                        }
                        self.publish_shadow(now, index, parsed.name, "get/accepted", &shown);
                        return;
                    }
                    None => (404, format!("No shadow exists with name: '{}'", parsed.name), token),
                },
                Err(Rejection { code, message }) => (code, message.into(), token_of_refused(payload)),
            },
            Request::Update => match self.update_shadow(now, index, parsed.name, payload, Some(origin)) {
                Ok(()) => return,
                Err(Rejection { code, message }) => (code, message.into(), token_of_refused(payload)),
            },
        };
        let (code, message, token) = refused;
        let mut body = json!({ "code": code, "message": message, "timestamp": at });
        if let Some(token) = token {
            body["clientToken"] = token.into();
        }
        let end = format!("{}/rejected", parsed.request.name());
        self.publish_shadow(now, index, parsed.name, &end, &body);
    }

    /// Updates a shadow, publishes what follows, and sends the difference to the thermostat. Without an origin, the
    /// update is a report of the thermostat itself.
    pub(crate) fn update_shadow(
        &mut self,
        now: Now,
        index: usize,
        name: &str,
        payload: &[u8],
        origin: Option<Origin>,
    ) -> Result<(), Rejection> {
        let at = now.wall.as_secs();
        let shadows = &mut self.devices[index].shadows;
        let full = shadows.len() >= MAX_SHADOWS;
        let (shadow, accepted) = match shadows.get_mut(name) {
            Some(shadow) => {
                let accepted = shadow.document.update(payload, at)?;
                (shadow, accepted)
            }
            None if full => return Err(Rejection { code: 403, message: "Forbidden" }),
            None => {
                let mut document = ShadowDocument::default();
                let accepted = document.update(payload, at)?;
                let origin = origin.unwrap_or(Origin::Rest);
                (shadows.entry(name.into()).or_insert(NamedShadow { document, origin }), accepted)
            }
        };
        let difference = shadow.document.delta();
        if let Some(origin) = origin {
            shadow.origin = origin;
            if let Some((wanted, _)) = difference {
                self.devices[index].thermostat.deliver_delta(now, origin, name, wanted);
                self.reschedule(index);
            }
        }
        self.publish_shadow(now, index, name, "update/accepted", &accepted.accepted);
        self.publish_shadow(now, index, name, "update/documents", &accepted.documents);
        if let Some(delta) = accepted.delta {
            self.publish_shadow(now, index, name, "update/delta", &delta);
        }
        Ok(())
    }

    /// Sends the outstanding differences to a thermostat that has reconnected.
    pub(crate) fn deliver_differences(&mut self, now: Now, index: usize) {
        let Device { thermostat, shadows, .. } = &mut self.devices[index];
        for (name, shadow) in shadows {
            if let Some((wanted, _)) = shadow.document.delta() {
                thermostat.deliver_delta(now, shadow.origin, name, wanted);
            }
        }
    }

    /// Asks a thermostat for the values of a command by its shadows, on behalf of a service or an app.
    pub(crate) fn desire(&mut self, now: Now, origin: Origin, index: usize, wanted: &ParsedCommand) {
        let source = if origin == Origin::Schedule { section::SYSTEM } else { section::APP };
        let aimed = self.devices[index].thermostat.aimed(wanted);
        for (name, values) in section::of_command(&aimed) {
            self.desire_section(now, origin, index, name, values, source);
        }
    }

    /// Sets desired values of one shadow, in its units.
    pub(crate) fn desire_section(
        &mut self,
        now: Now,
        origin: Origin,
        index: usize,
        name: &str,
        mut values: Map<String, Value>,
        source: i64,
    ) {
        values.insert(section::SOURCE.into(), json!(source));
        let payload = json!({ "state": { "desired": values } });
        // A document at its size limit refuses updates of the cloud like those of a client.
        let _ = self.update_shadow(now, index, name, format!("{payload}").as_bytes(), Some(origin));
    }

    fn publish_shadow(&mut self, now: Now, index: usize, name: &str, end: &str, payload: &Value) {
        let device = &self.devices[index];
        if !device.has_shadow_topics() || device.removed {
            return;
        }
        let topic = format!("$aws/things/{}/shadow/name/{name}/{end}", device.thermostat.id);
        let payload = format!("{payload}");
        self.with_broker(now.mono, |broker, cx| broker.publish(cx, &topic, payload.as_bytes(), true));
    }
}
