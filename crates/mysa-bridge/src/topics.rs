use alloc::format;
use alloc::string::String;

use mysa_proto::DeviceId;

use crate::settings::Settings;

/// Names of the topics below a prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topics<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) discovery: Option<&'a str>,
}

/// Topic of a message that the bridge receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Incoming<'a> {
    /// `<prefix>/<id>/set/<field>`
    Set { device: DeviceId, field: &'a str },
    /// `<prefix>/<id>/availability`
    Availability { device: DeviceId },
    /// `<prefix>/bridge/availability`
    BridgeAvailability,
    /// `<prefix>/bridge/instance`
    Instance,
}

/// Second part of the topics of the bridge itself. No thermostat has this id.
const BRIDGE: &str = "bridge";

/// Ranks of the retained messages: a reader learns of a device, then its state, then that it is available.
pub(crate) mod rank {
    pub(crate) const CONFIG: u8 = 0;
    pub(crate) const STATE: u8 = 1;
    pub(crate) const AVAILABILITY: u8 = 2;
    pub(crate) const BRIDGE_STATE: u8 = 3;
    pub(crate) const INSTANCE: u8 = 4;
    pub(crate) const BRIDGE_AVAILABILITY: u8 = 5;
}

/// Payloads of the availability.
pub(crate) const ONLINE: &str = "online";
pub(crate) const OFFLINE: &str = "offline";

impl<'a> Topics<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self { prefix: &settings.prefix, discovery: settings.discovery_prefix.as_deref() }
    }
}

impl Topics<'_> {
    pub(crate) fn bridge_availability(&self) -> String {
        format!("{}/{BRIDGE}/availability", self.prefix)
    }

    pub(crate) fn instance(&self) -> String {
        format!("{}/{BRIDGE}/instance", self.prefix)
    }

    pub(crate) fn bridge_state(&self) -> String {
        format!("{}/{BRIDGE}/state", self.prefix)
    }

    pub(crate) fn availability(&self, device: DeviceId) -> String {
        self.of(device, "availability")
    }

    pub(crate) fn state(&self, device: DeviceId) -> String {
        self.of(device, "state")
    }

    pub(crate) fn attributes(&self, device: DeviceId) -> String {
        self.of(device, "attributes")
    }

    pub(crate) fn result(&self, device: DeviceId) -> String {
        self.of(device, "result")
    }

    pub(crate) fn set(&self, device: DeviceId, field: &str) -> String {
        format!("{}/{}/set/{field}", self.prefix, device.as_str())
    }

    fn of(&self, device: DeviceId, what: &str) -> String {
        format!("{}/{}/{what}", self.prefix, device.as_str())
    }

    pub(crate) fn config(&self, device: DeviceId) -> Option<String> {
        Some(format!("{}/device/mysa_{}/config", self.discovery?, device.as_str()))
    }

    /// Retained messages of a thermostat: their ranks and topics.
    pub(crate) fn retained(&self, device: DeviceId) -> impl Iterator<Item = (u8, String)> + use<> {
        let others = [
            (rank::STATE, self.state(device)),
            (rank::STATE, self.attributes(device)),
            (rank::AVAILABILITY, self.availability(device)),
        ];
        self.config(device).map(|topic| (rank::CONFIG, topic)).into_iter().chain(others)
    }

    pub(crate) fn filters(&self) -> [String; 3] {
        [format!("{}/+/set/+", self.prefix), format!("{}/+/availability", self.prefix), self.instance()]
    }

    /// Parses the topic of a message. `None` for any other topic, and for an id that no thermostat can have.
    pub(crate) fn parse<'t>(&self, topic: &'t str) -> Option<Incoming<'t>> {
        let mut levels = topic.strip_prefix(self.prefix)?.strip_prefix('/')?.split('/');
        let (id, kind, field) = (levels.next()?, levels.next()?, levels.next());
        if levels.next().is_some() {
            return None;
        }
        match (id, kind, field) {
            (BRIDGE, "availability", None) => Some(Incoming::BridgeAvailability),
            (BRIDGE, "instance", None) => Some(Incoming::Instance),
            (id, "availability", None) => Some(Incoming::Availability { device: DeviceId::new(id)? }),
            (id, "set", Some(field)) if id != BRIDGE && !field.is_empty() && field.len() <= MAX_FIELD => {
                Some(Incoming::Set { device: DeviceId::new(id)?, field })
            }
            _ => None,
        }
    }
}

const MAX_FIELD: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_commands_and_availability_are_parsed_and_nothing_else() {
        let topics = Topics { prefix: "home/mysa", discovery: None };
        let device = DeviceId::new("a0b1c2d3e4f6").unwrap();
        let set = Some(Incoming::Set { device, field: "mode" });
        assert_eq!(topics.parse("home/mysa/a0b1c2d3e4f6/set/mode"), set);
        assert_eq!(topics.parse("home/mysa/A0B1C2D3E4F6/set/mode"), set);
        assert_eq!(topics.parse(&topics.set(device, "mode")), set);
        assert_eq!(topics.parse(&topics.availability(device)), Some(Incoming::Availability { device }));
        assert_eq!(topics.parse(&topics.bridge_availability()), Some(Incoming::BridgeAvailability));
        assert_eq!(topics.parse(&topics.instance()), Some(Incoming::Instance));
        for other in [
            "",
            "mysa/a0b1c2d3e4f6/set/mode",
            "home/mysa",
            "home/mysa/",
            "home/mysax/a0b1c2d3e4f6/set/mode",
            "home/mysa/a0b1c2d3e4f6/set",
            "home/mysa/a0b1c2d3e4f6/set/",
            "home/mysa/a0b1c2d3e4f6/set/mode/x",
            "home/mysa/bridge/set/mode",
            "home/mysa/a0b1c2d3e4f6/instance",
            "home/mysa/a0 b1/set/mode",
            "home/mysa//set/mode",
            "home/mysa/a0b1c2d3e4f6/state",
            "home/mysa/a0b1c2d3e4f6/set/0123456789012345678901234567890123456789x",
        ] {
            assert_eq!(topics.parse(other), None, "{other}");
        }
    }
}
