use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mysa_proto::DeviceId;
use serde_json::Value;

use crate::client::Message;

/// Retained messages of mysa2mqtt at a broker, which stay there after it has ended, and Home Assistant's entities with them.
///
/// A driver subscribes to [`Leftovers::filters`] and passes in what arrives. A message counts only if it proves where it
/// comes from:
///
/// - `<discovery prefix>/<component>/<name>/<unique id>/config`, if the payload names mysa2mqtt as its origin and holds the
///   unique id of the topic;
/// - `<prefix>/<component>/<name>/<unique id>/<value>`, a topic below the prefix of mysa2mqtt.
///
/// In both, the unique id and the component are a pair that mysa2mqtt has: `mysa_<device id>_climate` and `climate`, for
/// example. Messages of a [`Bridge`](crate::Bridge) and of other programs never count. Source of the topics: mysa2mqtt 3
/// and mqtt2ha, `Discoverable`.
///
/// ```
/// use mysa_bridge::Leftovers;
/// use mysa_bridge::client::Message;
///
/// let mut leftovers = Leftovers::new("homeassistant", Leftovers::PREFIX);
/// leftovers.observe(&Message {
///     topic: "mysa2mqtt/climate/Hall/mysa_a0b1c2d3e4f6_climate/mode_state".into(),
///     payload: "heat".into(),
///     retained: true,
/// });
/// assert_eq!(leftovers.topics().count(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Leftovers {
    discovery_prefix: String,
    prefix: String,
    /// Topics, and whether Home Assistant discovers an entity by them.
    found: BTreeMap<String, bool>,
    is_truncated: bool,
    is_running: bool,
}

/// Components and ends of the unique ids of mysa2mqtt.
const ENTITIES: [(&str, &str); 6] = [
    ("climate", "climate"),
    ("sensor", "temperature"),
    ("sensor", "floor_temperature"),
    ("select", "temperature_source"),
    ("sensor", "humidity"),
    ("sensor", "power"),
];

/// Maximum number of topics, more than 300 thermostats have.
const MAX_TOPICS: usize = 8_192;

impl Leftovers {
    /// First part of the topics of mysa2mqtt, unless its owner chose another.
    pub const PREFIX: &'static str = "mysa2mqtt";
    /// Payload that asks Home Assistant to unload an entity that was discovered by a topic, and to keep its settings for
    /// another discovery message with the same unique id. Source: "Migration from single component to device-based
    /// discovery" on the page "MQTT" of Home Assistant's documentation.
    pub const UNLOAD: &'static [u8] = br#"{"migrate_discovery": true}"#;

    /// Creates an empty collection. The prefixes are those that are set in mysa2mqtt; see [`Leftovers::PREFIX`].
    pub fn new(discovery_prefix: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            discovery_prefix: discovery_prefix.into(),
            prefix: prefix.into(),
            found: BTreeMap::new(),
            is_truncated: false,
            is_running: false,
        }
    }

    /// Filters of the subscriptions.
    #[must_use]
    pub fn filters(&self) -> [String; 2] {
        [format!("{}/+/+/+/config", self.discovery_prefix), format!("{}/+/+/+/+", self.prefix)]
    }

    /// Handles a message. An empty retained payload removes its topic, as the broker does. Returns `true` if the topic has
    /// the form of those of mysa2mqtt.
    pub fn observe(&mut self, message: &Message) -> bool {
        let topic = message.topic.as_str();
        let Some((unique_id, is_discovery)) = self.parse(topic) else { return false };
        if message.payload.is_empty() {
            self.found.remove(topic);
        } else if !is_discovery || is_of_mysa2mqtt(&message.payload, unique_id) {
            // It never ends without "offline", its will.
            let is_online = topic.ends_with("/availability") && message.payload == b"online";
            self.is_running |= is_online || !message.retained;
            if !message.retained || self.found.contains_key(topic) {
                return true;
            }
            if self.found.len() < MAX_TOPICS {
                self.found.insert(topic.into(), is_discovery);
            } else {
                self.is_truncated = true;
            }
        }
        true
    }

    /// Unique id of a topic that has the form of those of mysa2mqtt, and whether Home Assistant discovers an entity by it.
    fn parse<'t>(&self, topic: &'t str) -> Option<(&'t str, bool)> {
        let below = |prefix: &str| topic.strip_prefix(prefix)?.strip_prefix('/');
        let (levels, is_discovery) = match (below(&self.discovery_prefix), below(&self.prefix)) {
            (Some(levels), _) if levels.ends_with("/config") => (levels, true),
            (_, Some(levels)) => (levels, false),
            _ => return None,
        };
        let levels: Vec<&str> = levels.split('/').collect();
        let [component, name, unique_id, value] = levels[..] else { return None };
        if name.is_empty() || value.is_empty() {
            return None;
        }
        let (device, end) = unique_id.strip_prefix("mysa_")?.split_once('_')?;
        DeviceId::new(device)?;
        ENTITIES.contains(&(component, end)).then_some((unique_id, is_discovery))
    }

    /// Topics of the retained messages, those of values first: as long as a discovery message is left, it names its values.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.values().chain(self.entities())
    }

    /// Topics of values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.found.iter().filter(|(_, is_discovery)| !**is_discovery).map(|(topic, _)| topic.as_str())
    }

    /// Topics by which Home Assistant discovers entities.
    pub fn entities(&self) -> impl Iterator<Item = &str> {
        self.found.iter().filter(|(_, is_discovery)| **is_discovery).map(|(topic, _)| topic.as_str())
    }

    /// Topics of the entities whose unique ids a [`Bridge`](crate::Bridge) has too. Home Assistant keeps their settings and
    /// history if it gets [`Leftovers::UNLOAD`] there before the message is removed; without it, it deletes the entity.
    pub fn shared_entities(&self) -> impl Iterator<Item = &str> {
        self.entities().filter(|topic| !topic.ends_with("_temperature_source/config"))
    }

    /// `true` if there are more topics than are held, 8,192.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// `true` if mysa2mqtt seems to run: it says that it is available, or it has published since the subscription. It
    /// would publish again what is removed.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.is_running
    }
}

/// `true` for a discovery message of mysa2mqtt for the entity with this unique id.
fn is_of_mysa2mqtt(payload: &[u8], unique_id: &str) -> bool {
    let Ok(Value::Object(config)) = serde_json::from_slice(payload) else { return false };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(String::from);
    let origin = config.get("origin").and_then(|origin| text(origin.get("name")));
    origin.as_deref() == Some("mysa2mqtt") && text(config.get("unique_id")).as_deref() == Some(unique_id)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const CONFIG: &str = "homeassistant/climate/Living-20room/mysa_a0b1c2d3e4f6_climate/config";
    const MODE: &str = "mysa2mqtt/climate/Living-20room/mysa_a0b1c2d3e4f6_climate/mode_state";
    const AVAILABILITY: &str = "mysa2mqtt/climate/Living-20room/mysa_a0b1c2d3e4f6_climate/availability";

    fn config(origin: &str, unique_id: &str) -> String {
        format!(r#"{{"component":"climate","origin":{{"name":"{origin}"}},"unique_id":"{unique_id}"}}"#)
    }

    fn retained(topic: &str, payload: &str) -> Message {
        Message { topic: topic.into(), payload: payload.into(), retained: true }
    }

    fn leftovers() -> Leftovers {
        Leftovers::new("homeassistant", Leftovers::PREFIX)
    }

    fn found(messages: &[Message]) -> Vec<String> {
        let mut leftovers = leftovers();
        for message in messages {
            leftovers.observe(message);
        }
        leftovers.topics().map(String::from).collect()
    }

    #[test]
    fn messages_of_mysa2mqtt_are_found_values_first() {
        let own = config("mysa2mqtt", "mysa_a0b1c2d3e4f6_climate");
        let offline = retained(AVAILABILITY, "offline");
        let messages = [retained(CONFIG, &own), retained(MODE, "heat"), offline];
        assert_eq!(found(&messages), [AVAILABILITY, MODE, CONFIG]);
        let mut seen = leftovers();
        for (component, end) in ENTITIES {
            let topic = format!("homeassistant/{component}/Hall/mysa_a0b1c2d3e4f6_{end}/config");
            seen.observe(&retained(&topic, &config("mysa2mqtt", &format!("mysa_a0b1c2d3e4f6_{end}"))));
        }
        assert_eq!((seen.entities().count(), seen.shared_entities().count()), (6, 5));
        for (component, end) in ENTITIES {
            let topic = format!("mysa2mqtt/{component}/Hall/mysa_a0b1c2d3e4f6_{end}/state");
            assert_eq!(found(&[retained(&topic, "None")]), [topic]);
        }
    }

    #[test]
    fn what_does_not_prove_its_origin_is_not_found() {
        let own = config("mysa2mqtt", "mysa_a0b1c2d3e4f6_climate");
        let nested = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
        for (topic, payload) in [
            // Discovery messages of this bridge, of others, and of entities that mysa2mqtt does not have.
            ("homeassistant/device/mysa_a0b1c2d3e4f6/config", own.as_str()),
            (CONFIG, config("mysa-bridge", "mysa_a0b1c2d3e4f6_climate").as_str()),
            (CONFIG, config("mysa2mqtt", "mysa_b0b1c2d3e4f6_climate").as_str()),
            (CONFIG, r#"{"unique_id":"mysa_a0b1c2d3e4f6_climate"}"#),
            (CONFIG, r#"["mysa2mqtt"]"#),
            (CONFIG, "mysa2mqtt"),
            (CONFIG, nested.as_str()),
            ("homeassistant/sensor/Hall/mysa_a0b1c2d3e4f6_climate/config", own.as_str()),
            ("homeassistant/climate/Hall/mysa_a0b1c2d3e4f6_energy/config", own.as_str()),
            ("homeassistant/climate/Hall/0x00158d0001_climate/config", own.as_str()),
            ("homeassistant/climate/mysa_a0b1c2d3e4f6_climate/config", own.as_str()),
            ("homeassistant/climate/Hall/mysa_a0b1c2d3e4f6_climate/other", own.as_str()),
            ("other/climate/Hall/mysa_a0b1c2d3e4f6_climate/config", own.as_str()),
            // Values.
            ("mysa/a0b1c2d3e4f6/state", "{}"),
            ("mysa2mqtt/status", "online"),
            ("mysa2mqtt/climate/Hall/mysa_a0b1c2d3e4f6_climate", "heat"),
            ("mysa2mqtt/climate/Hall/mysa_a0b1c2d3e4f6_climate/mode/x", "heat"),
            ("mysa2mqtt/climate//mysa_a0b1c2d3e4f6_climate/mode", "heat"),
            ("mysa2mqtt/climate/Hall/mysa_nobody!_climate/mode", "heat"),
            ("mysa2mqttx/climate/Hall/mysa_a0b1c2d3e4f6_climate/mode", "heat"),
            ("zigbee2mqtt/climate/Hall/mysa_a0b1c2d3e4f6_climate/mode", "heat"),
        ] {
            assert_eq!(found(&[retained(topic, payload)]), Vec::<String>::new(), "{topic} {payload:.60}");
        }
    }

    #[test]
    fn live_messages_and_availability_show_that_it_runs() {
        let mut seen = leftovers();
        assert!(!seen.observe(&Message { retained: false, ..retained("homeassistant/status", "online") }));
        assert!(seen.observe(&retained(AVAILABILITY, "offline")) && !seen.is_running());
        assert!(seen.observe(&Message { retained: false, ..retained(MODE, "off") }) && seen.is_running());
        assert_eq!(seen.topics().collect::<Vec<_>>(), [AVAILABILITY], "a live message is not retained");
        let mut seen = leftovers();
        assert!(seen.observe(&retained(AVAILABILITY, "online")) && seen.is_running());
    }

    #[test]
    fn a_removed_message_is_gone_and_memory_is_bounded() {
        let mut seen = leftovers();
        seen.observe(&retained(MODE, "heat"));
        seen.observe(&Message { topic: MODE.into(), payload: vec![], retained: false });
        assert_eq!((seen.topics().count(), seen.is_running()), (0, false));
        for number in 0..10_000 {
            seen.observe(&retained(&format!("{MODE}{number}"), "heat"));
        }
        assert_eq!((seen.topics().count(), seen.is_truncated()), (MAX_TOPICS, true));
    }

    #[test]
    fn filters_match_the_topics() {
        let seen = Leftovers::new("ha", "old/prefix");
        assert_eq!(seen.filters(), ["ha/+/+/+/config", "old/prefix/+/+/+/+"]);
        assert!(seen.parse("old/prefix/sensor/Hall/mysa_a0b1c2d3e4f6_power/state").is_some());
        assert!(seen.parse("ha/sensor/Hall/mysa_a0b1c2d3e4f6_power/config").is_some());
    }
}
