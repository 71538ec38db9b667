//! The capabilities document of a device.

use alloc::vec::Vec;

use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::device::family::{Family, Mode};

impl Cloud {
    pub(crate) fn capabilities(&self, index: usize) -> Value {
        let device = &self.devices[index];
        let family = device.thermostat.family;
        let thermostat = &device.thermostat;
        let (low, high, step) = thermostat.setpoints(Mode::Heat);
        let values = |low: i32, high: i32, step: i32| {
            (0..=(high - low) / step).map(|n| f64::from(low + n * step) / 100.0).collect::<Vec<f64>>()
        };
        let modes: Vec<&str> = family
            .profile()
            .modes
            .iter()
            .filter(|mode| thermostat.has_mode(**mode))
            .map(|mode| mode.name())
            .collect();
        let full = family == Family::BaseboardV2;
        let probe = family == Family::Floor;
        // A Lite reports humidity, although its document denies it.
        let humidity = family != Family::Lite;
        let chosen = |name: &str, allowed: Value| json!({ "userControllable": true, "type": name, "validValues": allowed });
        let mut offset = chosen("float", json!(values(-500, 500, 50)));
        offset["value"] = json!(0);
        let mut document = json!({
            "version": "1.0",
            "hardware": {
                "sensors": {
                    "internalTemperatureSensor": true, "externalTemperatureProbeConnector": probe,
                    "humiditySensor": humidity, "proximitySensor": full, "ambientLightSensor": full,
                },
                "communication": { "bluetoothModule": true, "wifiModule": true, "nfcChip": true },
            },
            "features": {
                "climateControl": {
                    "mode": chosen("enum", json!(modes)),
                    "heat": { "stages": 1, "setpoint": chosen("float", json!(values(low, high, step))) },
                    "advancedConfig": { "baseboardHeating": { "controlType": chosen("integer", json!([8, 9])) } },
                },
                "sensing": {
                    "temperature": {
                        "sensors": { "internal": true, "externalProbe": probe, "remote": false },
                        "trackingSensor": chosen("enum", if probe { json!(["internal", "externalProbe"]) } else { json!(["internal"]) }),
                        "temperatureOffset": offset,
                    },
                    "humidity": humidity,
                },
                "interface": {
                    "wakeOnApproach": { "userControllable": full, "type": "boolean" },
                    "lockout": chosen("integer", json!([0, 3])),
                    "brightness": { "userControllable": true, "type": "integer" },
                    "unit": chosen("enum", json!(["C", "F"])),
                },
                "connectivity": {
                    "bluetooth": true, "wifi": true, "nfc": true, "matter": family.has_shadows(), "homekit": family == Family::Lite,
                    "googleHome": true, "amazonAlexa": true,
                },
                "smart": {
                    "energyReporting": family != Family::Lite, "scheduling": true, "zoning": false, "geofence": true,
                    "earlyOn": false, "shortcuts": true, "savedSchedules": false,
                },
            },
            "system": {
                "deviceId": device.thermostat.id.as_str(), "model": device.model(), "firmwareVersion": device.firmware(),
            },
        });
        if family == Family::CentralHvac {
            let (low, high, step) = thermostat.setpoints(Mode::Cool);
            let control = &mut document["features"]["climateControl"];
            control["cool"] =
                json!({ "stages": 1, "setpoint": chosen("float", json!(values(low, high, step))) });
            control["advancedConfig"] = json!({});
        }
        document
    }
}
