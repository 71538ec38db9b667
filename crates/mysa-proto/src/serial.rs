//! `serde` implementations of types with an invariant. Each value is checked when it is deserialised.

use alloc::format;
use alloc::string::String;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Amperes, Celsius, DeviceId, DutyCycle, FanSpeed, KilowattHours, Mode, Model, RelativeHumidity, Swing,
    Topic, UnixTime, Volts, Watts,
};

/// Implements both traits by conversion to and from a number.
macro_rules! numbers {
    ($($name:ident: $number:ty, $to:expr, $from:expr;)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $to(*self).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = <$number>::deserialize(deserializer)?;
                $from(number).ok_or_else(|| {
                    D::Error::custom(format!(concat!("{} is out of range for ", stringify!($name)), number))
                })
            }
        }
    )*};
}

numbers! {
    Amperes: f64, Amperes::as_amperes, Amperes::from_amperes;
    Celsius: f64, Celsius::as_degrees, Celsius::from_degrees;
    DutyCycle: f64, DutyCycle::as_fraction, DutyCycle::from_fraction;
    FanSpeed: u8, FanSpeed::code, |code| Some(FanSpeed::from_code(code));
    KilowattHours: f64, KilowattHours::as_kilowatt_hours, KilowattHours::from_kilowatt_hours;
    RelativeHumidity: f64, RelativeHumidity::as_percent, RelativeHumidity::from_percent;
    Swing: u8, Swing::code, |code| Some(Swing::from_code(code));
    UnixTime: i64, UnixTime::as_millis, |millis| Some(UnixTime::from_millis(millis));
    Volts: f64, Volts::as_volts, Volts::from_volts;
    Watts: f64, Watts::as_watts, Watts::from_watts;
}

/// Implements both traits by conversion to and from text.
macro_rules! texts {
    ($($name:ident: $parse:expr;)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text)
                    .ok_or_else(|| D::Error::custom(format!(concat!("{:?} is not a valid ", stringify!($name)), text)))
            }
        }
    )*};
}

texts! {
    DeviceId: DeviceId::new;
    Model: |text| Some(Model::parse(text));
    Topic: |text: &str| Topic::parse(text.as_bytes());
}

/// A name, or the digits of [`Mode::Other`]. Text in both cases, so that formats that do not describe themselves work.
impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Other(number) => serializer.collect_str(number),
            named => serializer.serialize_str(named.name()),
        }
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse() {
            Ok(number) => Ok(Self::Other(number)),
            Err(_) => text.parse().map_err(D::Error::custom),
        }
    }
}
