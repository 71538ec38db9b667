//! Stand-in for Home Assistant: knows only what discovery messages tell it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::broker::{Broker, Message};
use crate::Rng;

/// Filters of the subscriptions. Topics of the bridge count only if a discovery message names them.
const FILTERS: [&str; 2] = ["homeassistant/#", "mysa/#"];
const CONFIG: &str = "homeassistant/device/";

#[derive(Debug, Default)]
pub(crate) struct HomeAssistant {
    /// Discovery messages by their topics.
    configs: BTreeMap<String, Value>,
    /// Latest payload of each topic.
    values: BTreeMap<String, Bytes>,
    /// Time from which on it tries to connect; `None` while it is stopped.
    connect_at: Option<Duration>,
    /// Time since which it is connected.
    connected: Option<Duration>,
    pub(crate) birth_is_retained: bool,
    /// Births so far.
    pub(crate) births: u64,
}

/// Time between attempts to connect.
const RETRY: Duration = Duration::from_secs(5);

/// A command, and the time until it is published.
#[derive(Clone, Debug)]
pub(crate) struct Press {
    pub(crate) after: Duration,
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) retain: bool,
}

impl HomeAssistant {
    pub(crate) fn start(&mut self, at: Duration) {
        self.connect_at = Some(at);
    }

    /// Ends the process, which forgets everything that it learned by MQTT.
    pub(crate) fn stop(&mut self, broker: &mut Broker) {
        *self = Self { birth_is_retained: self.birth_is_retained, births: self.births, ..Self::default() };
        broker.detach();
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.connect_at.filter(|_| self.connected.is_none())
    }

    /// Time since which it is connected to the broker.
    pub(crate) const fn connected_since(&self) -> Option<Duration> {
        self.connected
    }

    /// Reads its messages, and connects if it is time. Returns `true` if anything happened.
    pub(crate) fn work(&mut self, broker: &mut Broker, now: Duration) -> bool {
        let mut worked = false;
        if self.connected.is_some() && !broker.is_attached() {
            self.connected = None;
            self.connect_at = Some(now + RETRY);
        }
        if self.connected.is_none() && self.connect_at.is_some_and(|at| at <= now) {
            worked = true;
            if broker.attach(&FILTERS) {
                self.connected = Some(now);
                self.births += 1;
                let birth = Message {
                    topic: "homeassistant/status".into(),
                    payload: Bytes::from_static(b"online"),
                    retain: self.birth_is_retained,
                };
                broker.publish_local(birth);
            } else {
                self.connect_at = Some(now + RETRY);
            }
        }
        while let Some(message) = broker.inbox.pop_front() {
            worked = true;
            self.take(message);
        }
        worked
    }

    fn take(&mut self, message: Message) {
        if message.topic.starts_with(CONFIG) {
            match serde_json::from_slice(&message.payload) {
                Ok(config) => _ = self.configs.insert(message.topic, config),
                // An empty message removes the device.
                Err(_) => _ = self.configs.remove(&message.topic),
            }
        } else {
            self.values.insert(message.topic, message.payload);
        }
    }

    pub(crate) fn config(&self, id: &str) -> Option<&Value> {
        self.configs.get(&format!("{CONFIG}mysa_{id}/config"))
    }

    /// Ids of the devices that it shows.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &str> {
        self.configs
            .keys()
            .filter_map(|topic| topic.strip_prefix(CONFIG)?.strip_prefix("mysa_")?.strip_suffix("/config"))
    }

    /// Latest payload of a topic.
    pub(crate) fn value(&self, topic: &str) -> Option<&[u8]> {
        self.values.get(topic).map(AsRef::as_ref)
    }

    /// `true` if the entities of a device are available: every topic of its discovery message is `online`.
    pub(crate) fn is_available(&self, id: &str) -> bool {
        let Some(list) = self.config(id).and_then(|config| config["availability"].as_array()) else {
            return false;
        };
        list.iter().all(|entry| {
            let topic = entry["topic"].as_str().unwrap_or_default();
            self.values.get(topic).is_some_and(|payload| payload.as_ref() == b"online")
        })
    }

    /// State of a device.
    pub(crate) fn state(&self, id: &str) -> Option<Value> {
        let topic = self.config(id)?["state_topic"].as_str()?;
        serde_json::from_slice(self.values.get(topic)?).ok()
    }

    /// Draws what a person or an automation does with a device. Empty if it shows no card of it.
    pub(crate) fn command(&self, id: &str, rng: &mut Rng) -> Vec<Press> {
        let Some(components) = self.config(id).and_then(|config| config["components"].as_object()) else {
            return Vec::new();
        };
        let climate = components.get("climate");
        let topic = |name: &str| climate.and_then(|climate| climate[name].as_str());
        let one = |topic: &str, payload: String| {
            vec![Press { after: Duration::ZERO, topic: topic.into(), payload, retain: false }]
        };
        let number = |name: &str| climate.and_then(|climate| climate[name].as_f64());
        let target = |rng: &mut Rng| {
            let (min, max) = (number("min_temp")?, number("max_temp")?);
            let step = number("temp_step").unwrap_or(1.0);
            let steps = ((max - min) / step) as u64;
            Some((min, step, rng.below(steps + 1), steps))
        };
        match rng.below(16) {
            // A target temperature that is typed.
            0..4 => {
                let Some((topic, (min, step, at, _))) = topic("temperature_command_topic").zip(target(rng))
                else {
                    return Vec::new();
                };
                one(topic, format!("{:.1}", min + step * at as f64))
            }
            // A slider that is dragged.
            4..7 => {
                let Some((topic, (min, step, at, steps))) =
                    topic("temperature_command_topic").zip(target(rng))
                else {
                    return Vec::new();
                };
                let mut after = Duration::ZERO;
                (0..rng.between(2, 9))
                    .map(|n| {
                        after += Duration::from_millis(rng.between(20, 700));
                        let value = min + step * ((at + n) % (steps + 1)) as f64;
                        Press { after, topic: topic.into(), payload: format!("{value:.1}"), retain: false }
                    })
                    .collect()
            }
            7..10 => {
                let Some(topic) = topic("mode_command_topic") else { return Vec::new() };
                let modes = climate.and_then(|climate| climate["modes"].as_array());
                let mode = modes.and_then(|modes| rng.pick(modes)).and_then(Value::as_str);
                one(topic, mode.unwrap_or("heat").into())
            }
            // An automation that publishes a retained command.
            10 | 11 => {
                let Some(topic) = topic("mode_command_topic") else { return Vec::new() };
                let payload = if rng.one_in(2) { "off" } else { "heat" };
                vec![Press {
                    after: Duration::ZERO,
                    topic: topic.into(),
                    payload: payload.into(),
                    retain: true,
                }]
            }
            12 => {
                let Some(topic) = topic("preset_mode_command_topic") else { return Vec::new() };
                one(topic, if rng.one_in(2) { "hold" } else { "schedule" }.into())
            }
            // A value that is none.
            13 => {
                let Some(topic) = topic("temperature_command_topic") else { return Vec::new() };
                one(topic, (*rng.pick(&["warm", "NaN", "1e9", "99"]).unwrap_or(&"warm")).into())
            }
            // Any other entity.
            _ => {
                let written: Vec<&Value> = components
                    .iter()
                    .filter(|(name, component)| *name != "climate" && component["command_topic"].is_string())
                    .map(|(_, component)| component)
                    .collect();
                let Some(component) = rng.pick(&written) else { return Vec::new() };
                let topic = component["command_topic"].as_str().unwrap_or_default();
                match component["platform"].as_str() {
                    Some("switch") => one(topic, if rng.one_in(2) { "ON" } else { "OFF" }.into()),
                    Some("number") => one(topic, rng.between(1, 100).to_string()),
                    Some("select") => {
                        let options = component["options"].as_array();
                        let option = options.and_then(|options| rng.pick(options)).and_then(Value::as_str);
                        one(topic, option.unwrap_or_default().into())
                    }
                    _ => Vec::new(),
                }
            }
        }
    }
}
