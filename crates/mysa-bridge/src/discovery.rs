use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mysa_proto::{Category, Celsius, Entity, Span};
use serde_json::{Value, json};

use crate::Thermostat;
use crate::settings::Unit;
use crate::state::{Document, version, whole_fahrenheit};
use crate::topics::Topics;

/// Builds the discovery message of Home Assistant for a device with all its entities.
///
/// Sources: the pages "MQTT", "MQTT climate (HVAC)" and those of the other platforms in Home Assistant's documentation.
pub(crate) fn config(
    thermostat: &Thermostat<'_>,
    entities: &[Entity],
    topics: &Topics<'_>,
    unit: Unit,
) -> Vec<u8> {
    let id = thermostat.id;
    let name = device_name(thermostat);
    let builder = Builder { thermostat, entities, topics, unit, slug: slug(&name) };
    let mut device = Document::default();
    device.put("identifiers", json!([format!("mysa_{}", id.as_str())]));
    device.put("name", name.as_str()).put("manufacturer", "Mysa").put("model", thermostat.model.as_str());
    device.put("serial_number", id.as_str());
    if let Some(installed) = thermostat.firmware.and_then(|firmware| version(firmware.installed)) {
        device.put("sw_version", installed);
    }
    let mut origin = Document::default();
    origin.put("name", "mysa-bridge").put("sw_version", env!("CARGO_PKG_VERSION"));
    let mut config = Document::default();
    config.put("device", device.into_value()).put("origin", origin.into_value());
    config.put(
        "availability",
        json!([available(&topics.bridge_availability()), available(&topics.availability(id))]),
    );
    config.put("availability_mode", "all").put("state_topic", topics.state(id));
    config.put("components", builder.components());
    config.into_bytes()
}

/// Longest name of a device that is passed on, in characters.
const MAX_NAME: usize = 120;

fn device_name(thermostat: &Thermostat<'_>) -> String {
    let name: String = thermostat.name.unwrap_or_default().trim().chars().take(MAX_NAME).collect();
    if name.is_empty() { format!("Mysa {}", thermostat.id.as_str()) } else { name }
}

/// Form of a name in an entity id: lower case, `_` between words. `None` if it has other letters than those of ASCII, which
/// Home Assistant transliterates itself.
fn slug(name: &str) -> Option<String> {
    if !name.is_ascii() {
        return None;
    }
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_ascii_lowercase).collect();
    (!words.is_empty()).then(|| words.join("_"))
}

fn available(topic: &str) -> Value {
    json!({ "topic": topic })
}

fn value(key: &str) -> String {
    format!("{{{{ value_json.{key} }}}}")
}

struct Builder<'a> {
    thermostat: &'a Thermostat<'a>,
    entities: &'a [Entity],
    topics: &'a Topics<'a>,
    unit: Unit,
    slug: Option<String>,
}

impl Builder<'_> {
    fn components(&self) -> Value {
        let mut components = Document::default();
        if let Some(climate) = self.climate() {
            components.put("climate", climate);
        }
        for entity in self.entities.iter().filter(|entity| entity.component() != "climate") {
            components.put(&component_key(entity), self.component(entity));
        }
        components.into_value()
    }

    fn entity(&self, id: &str) -> Option<&Entity> {
        self.entities.iter().find(|entity| entity.id == id)
    }

    /// Parts that every component has.
    fn head(&self, platform: &str, key: &str, suffix: Option<&str>) -> Document {
        let mut head = Document::default();
        head.put("platform", platform)
            .put("unique_id", format!("mysa_{}_{key}", self.thermostat.id.as_str()));
        if let Some(slug) = &self.slug {
            let suffix = suffix.map(|suffix| format!("_{suffix}")).unwrap_or_default();
            head.put("default_entity_id", format!("{platform}.{slug}{suffix}"));
        }
        head
    }

    fn set(&self, field: &str) -> String {
        self.topics.set(self.thermostat.id, field)
    }

    /// The climate entity, which has the name of the device. `None` if the thermostat has no modes.
    fn climate(&self) -> Option<Value> {
        let modes = self.entity("climate.mode")?;
        let state = self.topics.state(self.thermostat.id);
        let mut climate = self.head("climate", "climate", None);
        climate.put("name", Value::Null).put("optimistic", false);
        climate.put("json_attributes_topic", self.topics.attributes(self.thermostat.id));
        let read = |climate: &mut Document, name: &str, template: &str, key: &str| {
            climate.put(&format!("{name}_topic"), state.as_str()).put(template, value(key));
        };
        // A mode that Home Assistant has no name for is shown as unknown.
        let names = modes.choices.iter().map(|choice| choice.name);
        let choices: Vec<&str> = names.filter(|name| is_known(name)).collect();
        climate.put("modes", json!(choices));
        read(&mut climate, "mode_state", "mode_state_template", "mode");
        if modes.writable {
            climate.put("mode_command_topic", self.set("mode"));
        }
        read(&mut climate, "action", "action_template", "action");
        let fahrenheit = self.unit == Unit::Fahrenheit;
        let (room, setpoint) =
            if fahrenheit { ("temperature_f", "setpoint_f") } else { ("temperature", "setpoint") };
        climate.put("temperature_unit", if fahrenheit { "F" } else { "C" }).put("precision", 0.1);
        read(&mut climate, "current_temperature", "current_temperature_template", room);
        if self.entity("sensor.humidity").is_some() {
            read(&mut climate, "current_humidity", "current_humidity_template", "humidity");
        }
        // In a mode without a setpoint there is no range, and no target is shown.
        if let Some(range) = self.entity("climate.setpoint").and_then(|setpoint| setpoint.range) {
            let (min, max, step) = limits(range, fahrenheit);
            climate.put("min_temp", min).put("max_temp", max).put("temp_step", step);
            climate.put("temperature_command_topic", self.set(setpoint));
            read(&mut climate, "temperature_state", "temperature_state_template", setpoint);
        }
        for (key, list, template) in [
            ("fan_mode", "fan_modes", "fan_mode_state_template"),
            ("swing_mode", "swing_modes", "swing_mode_state_template"),
            ("swing_horizontal_mode", "swing_horizontal_modes", "swing_horizontal_mode_state_template"),
            ("preset_mode", "preset_modes", "preset_mode_value_template"),
        ] {
            let entity =
                self.entities.iter().find(|entity| entity.component() == "climate" && entity.key() == key);
            if let Some(entity) = entity.filter(|entity| entity.writable) {
                let choices: Vec<&str> = entity.choices.iter().map(|choice| choice.name).collect();
                // A value that the present mode does not offer, as just after a change of mode, is shown as unknown.
                let choices = json!(choices);
                let value =
                    format!("{{{{ value_json.{key} if value_json.{key} in {choices} else 'None' }}}}");
                climate.put(list, choices).put(&format!("{key}_command_topic"), self.set(key));
                climate.put(&format!("{key}_state_topic"), state.as_str()).put(template, value);
            }
        }
        Some(climate.into_value())
    }

    fn component(&self, entity: &Entity) -> Value {
        let (platform, key) = (entity.component(), entity.key());
        let mut component = self.head(platform, &component_key(entity), Some(key));
        component.put("name", entity.name).put("value_template", value(key));
        if let Some(class) = entity.device_class {
            component.put("device_class", class);
        }
        if let Some(unit) = entity.unit {
            component.put("unit_of_measurement", unit);
        }
        if let Some(class) = entity.state_class {
            component.put("state_class", class);
        }
        match entity.category {
            Some(Category::Config) => drop(component.put("entity_category", "config")),
            Some(Category::Diagnostic) => drop(component.put("entity_category", "diagnostic")),
            None => {}
        }
        if !entity.enabled {
            component.put("enabled_by_default", false);
        }
        if let ("sensor", Some("temperature" | "humidity" | "power" | "voltage")) =
            (platform, entity.device_class)
        {
            let digits = if entity.device_class == Some("temperature") { 1 } else { 0 };
            component.put("suggested_display_precision", digits);
        }
        if entity.writable {
            component.put("command_topic", self.set(key)).put("optimistic", false);
        }
        let choices: Vec<&str> = entity.choices.iter().map(|choice| choice.name).collect();
        match platform {
            "binary_sensor" => drop(component.put("payload_on", "True").put("payload_off", "False")),
            "switch" => {
                component.put("payload_on", "ON").put("payload_off", "OFF");
                component.put("state_on", "True").put("state_off", "False");
            }
            "number" => {
                if let Some(Span { min, max, step }) = entity.range {
                    component.put("min", min).put("max", max).put("step", step);
                }
            }
            "select" | "sensor" if !choices.is_empty() => drop(component.put("options", json!(choices))),
            _ => {}
        }
        if matches!(entity.id, "sensor.last_seen" | "update.firmware") {
            component.put("state_topic", self.topics.attributes(self.thermostat.id));
        }
        if entity.id == "update.firmware" {
            component.put("value_template", FIRMWARE_TEMPLATE);
        }
        if entity.id == "sensor.power" {
            component.put("json_attributes_topic", self.topics.state(self.thermostat.id));
            component.put("json_attributes_template", "{{ {'basis': value_json.power_basis} | tojson }}");
        }
        if matches!(entity.id, "sensor.last_seen" | "binary_sensor.connected") {
            // They show why a thermostat is unavailable, so they stay available meanwhile.
            component.put("availability", json!([available(&self.topics.bridge_availability())]));
        }
        component.into_value()
    }
}

/// State of the update entity: an object of versions. A version that is not known must be left out, because `null` is refused;
/// an empty text changes nothing.
const FIRMWARE_TEMPLATE: &str = "{% set installed, newest = value_json.firmware, value_json.firmware_newest %}\
     {% if installed and newest %}{{ {'installed_version': installed, 'latest_version': newest} | tojson }}\
     {% elif installed %}{{ {'installed_version': installed} | tojson }}{% endif %}";

/// Key of a component within a device. A key that two platforms share has its platform as well.
fn component_key(entity: &Entity) -> String {
    match entity.id {
        "sensor.setpoint" | "sensor.mode" => format!("{}_{}", entity.key(), entity.component()),
        _ => entity.key().to_string(),
    }
}

/// Modes of Home Assistant's climate entities.
fn is_known(mode: &str) -> bool {
    matches!(mode, "off" | "auto" | "heat" | "cool" | "fan_only" | "dry")
}

/// Lowest and highest setpoint and step, in °C or in whole °F within the range.
fn limits(range: Span, fahrenheit: bool) -> (f64, f64, f64) {
    if !fahrenheit {
        return (range.min, range.max, range.step);
    }
    let degree = |value: f64| Celsius::from_degrees(value).map_or(0, whole_fahrenheit);
    let (min, max) = (degree(range.min), degree(range.max));
    // A limit that is rounded beyond the range would be refused.
    let inside = |degree: i32| {
        let celsius = Celsius::from_fahrenheit(f64::from(degree)).map(|celsius| celsius.as_degrees());
        celsius.is_some_and(|celsius| (range.min..=range.max).contains(&celsius))
    };
    let min = if inside(min) { min } else { min + 1 };
    let max = if inside(max) { max } else { max - 1 };
    (f64::from(min), f64::from(max), 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_an_entity_id_only_if_it_is_ascii() {
        assert_eq!(slug("Living Room (2)").as_deref(), Some("living_room_2"));
        assert_eq!(slug("salón"), None);
        assert_eq!(slug("--"), None);
    }

    #[test]
    fn limits_in_fahrenheit_are_whole_and_inside() {
        let span = |min, max| Span { min, max, step: 0.5 };
        assert_eq!(limits(span(5.0, 30.0), true), (41.0, 86.0, 1.0));
        assert_eq!(limits(span(5.5, 29.5), true), (42.0, 85.0, 1.0));
        assert_eq!(limits(span(8.0, 27.0), true), (47.0, 80.0, 1.0));
        assert_eq!(limits(span(5.5, 29.5), false), (5.5, 29.5, 0.5));
    }
}
