use crate::message::legacy::legacy_body;
use crate::{Amperes, Celsius, RelativeHumidity};

legacy_body! { 'a;
    /// `MsgType` 0: status of a baseboard V1. (mysotherm, mysa-js-sdk, hubitat.)
    pub struct V1Status {
        /// `MainTemp`: room temperature, corrected for the heat of the thermostat itself.
        pub ambient: Celsius = "MainTemp" => main_temp,
        /// `ComboTemp`: temperature of the sensor, uncorrected.
        pub sensor: Celsius = "ComboTemp" => combo_temp,
        /// `ThermistorTemp`: 0 °C on units without the part.
        pub thermistor: Celsius = "ThermistorTemp" => thermistor_temp,
        /// `Humidity` of the room.
        pub humidity: RelativeHumidity = "Humidity" => humidity,
        /// `Current`: at this moment, so 0 while the triac is off.
        pub current: Amperes = "Current" => current,
        /// `SetPoint`.
        pub setpoint: Celsius = "SetPoint" => set_point,
        /// `Stream`: 1 in every capture.
        pub stream: i64 = "Stream" => stream,
    }
}
