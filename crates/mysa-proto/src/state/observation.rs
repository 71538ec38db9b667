use crate::{
    Amperes, AutoSetpoints, Body, Brightness, Celsius, ControlState, DutyCycle, Family, FanSpeed, Hold,
    Message, Mode, ModeTable, Now, RelativeHumidity, StateField, Status, Swing, TopicKind, TrackedSensor,
    UnixTime, Volts, Watts,
};

/// Source of an observation. Of two from the same clock and the same second, the later in this list wins.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "the merge must order every source")]
pub enum Source {
    /// Boot messages and log lines, which show only that the device is alive.
    Boot,
    /// A status: `MsgType` 0, `msg` 16, 17, 30, 31 or 40.
    Status,
    /// `MsgType` 1.
    SetpointChange,
    /// `msg` 44 from the device.
    Ack,
    /// Retained message of the broker. It may be of any age, so it is ordered by its time, like a REST answer.
    Retained,
    /// The device record of the REST service (`GET /devices`).
    RestRecord,
    /// The device state of the REST service (`GET /devices/state`).
    RestState,
    /// The structured state service.
    Structured,
}

impl Source {
    /// True if its times are read from the clock of the device; otherwise they are the cloud's.
    #[must_use]
    pub const fn is_device(self) -> bool {
        matches!(self, Self::Boot | Self::Status | Self::SetpointChange | Self::Ack)
    }
}

/// Declares the fields of a device's state, both for observations and for the state.
macro_rules! for_each_field {
    ($do:ident) => {
        $do! {
            /// Room temperature, corrected for the thermostat's own heat.
            temperature: Celsius, Temperature;
            /// Uncorrected temperature of the thermostat's sensor.
            sensor_temperature: Celsius, SensorTemperature;
            /// Temperature of the floor probe.
            floor_temperature: Celsius, FloorTemperature;
            /// Relative humidity of the room.
            humidity: RelativeHumidity, Humidity;
            /// Target temperature.
            setpoint: Celsius, Setpoint;
            /// Operating mode.
            mode: Mode, Mode;
            /// Duty cycle of the element.
            duty: DutyCycle, Duty;
            /// True if the relay conducts, on devices that report this instead of a duty cycle.
            heating: bool, Heating;
            /// Power, if the cloud reports it.
            power: Watts, Power;
            /// Instantaneous current through the element.
            current: Amperes, Current;
            /// Line voltage.
            voltage: Volts, Voltage;
            /// Buttons locked.
            lock: bool, Lock;
            /// Brightness of the display.
            brightness: Brightness, Brightness;
            /// Display wakes when somebody approaches.
            proximity: bool, Proximity;
            /// Hold of the setpoint against the schedule.
            hold: Hold, Hold;
            /// Fan speed.
            fan: FanSpeed, Fan;
            /// Vertical direction of the louvres.
            swing_vertical: Swing, SwingVertical;
            /// Horizontal direction of the louvres.
            swing_horizontal: Swing, SwingHorizontal;
            /// Climate+.
            climate_plus: bool, ClimatePlus;
            /// Sensor that an in-floor thermostat follows.
            tracked_sensor: TrackedSensor, TrackedSensor;
            /// Both targets of automatic mode, if the cloud reports them.
            auto_setpoints: AutoSetpoints, AutoSetpoints;
            /// Correction added to the room temperature, if the cloud reports it.
            temperature_offset: Celsius, TemperatureOffset;
            /// True if the device is connected to the cloud.
            connected: bool, Connected;
            /// Strength of the Wi-Fi signal in dBm.
            signal: i16, Signal;
        }
    };
}
pub(crate) use for_each_field;

impl StateField {
    /// True if the thermostats of a family have the field. Other values of it are meaningless, such as the
    /// duty cycle that the REST service keeps for in-floor heating.
    #[must_use]
    pub const fn is_of(self, family: Family) -> bool {
        use Family::{
            AirConditioner, BaseboardLite, BaseboardV1, BaseboardV2, BaseboardV3, Central, ClimateSensor,
            InFloor,
        };
        match self {
            Self::Temperature
            | Self::SensorTemperature
            | Self::Humidity
            | Self::TemperatureOffset
            | Self::Connected
            | Self::Signal => true,
            Self::Setpoint | Self::Mode | Self::Hold | Self::Lock | Self::Brightness => {
                !matches!(family, ClimateSensor)
            }
            Self::FloorTemperature | Self::Heating | Self::TrackedSensor => matches!(family, InFloor),
            Self::Duty => matches!(family, BaseboardV1 | BaseboardV2 | BaseboardLite | BaseboardV3),
            Self::Power | Self::Current => matches!(family, BaseboardV1 | BaseboardV2 | BaseboardV3),
            Self::Voltage => matches!(family, BaseboardV1 | BaseboardV2 | BaseboardV3 | InFloor),
            Self::Proximity => matches!(family, BaseboardV2 | BaseboardV3),
            Self::Fan | Self::AutoSetpoints => matches!(family, AirConditioner | Central),
            Self::SwingVertical | Self::SwingHorizontal | Self::ClimatePlus => {
                matches!(family, AirConditioner)
            }
        }
    }
}

macro_rules! observation {
    ($($(#[$doc:meta])* $field:ident: $ty:ty, $name:ident;)*) => {
        /// Values of a device from one source at one time: input of
        /// [`DeviceState::observe`](crate::DeviceState::observe).
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[expect(clippy::exhaustive_structs, reason = "plain data; `..Observation::new(…)` fills the rest")]
        pub struct Observation {
            /// The source.
            pub source: Source,
            /// Time by the clock of the source. `None` if it has none.
            pub at: Option<UnixTime>,
            /// Time of arrival.
            pub received: Now,
            $( $(#[$doc])* pub $field: Option<$ty>, )*
        }

        impl Observation {
            /// Observation without values.
            #[must_use]
            pub const fn new(source: Source, at: Option<UnixTime>, received: Now) -> Self {
                Self { source, at, received, $($field: None,)* }
            }

            /// The observation without the fields that the family does not have. Unchanged if the family is unknown.
            #[must_use]
            pub fn only_of(mut self, family: Option<Family>) -> Self {
                let Some(family) = family else { return self };
                $(
                    if !StateField::$name.is_of(family) {
                        self.$field = None;
                    }
                )*
                self
            }
        }
    };
}
for_each_field!(observation);

impl Observation {
    /// Largest plausible lead of a sender's time over the host's, in seconds. A Lite has claimed
    /// 2031. (mysa_client.)
    pub const MAX_AHEAD_SECS: u32 = 60;

    /// Time of the source, if it is plausible.
    #[must_use]
    pub fn usable_at(&self) -> Option<UnixTime> {
        let limit = self.received.wall.plus_millis(i64::from(Self::MAX_AHEAD_SECS) * 1_000);
        self.at.filter(|&at| at <= limit)
    }

    /// Observation in a message of a device, without fields that the family does not have. `None` for messages to
    /// devices and for messages without state.
    ///
    /// The caller checks that the message [is about](Message::is_about) the device of its topic.
    #[must_use]
    pub fn from_message(
        message: &Message<'_>,
        table: &ModeTable,
        family: Option<Family>,
        received: Now,
    ) -> Option<Self> {
        if message.envelope.topic == TopicKind::In {
            return None;
        }
        let at = message.envelope.time;
        // Any message from a device shows that it is connected.
        let seen = |source| Self { connected: Some(true), ..Self::new(source, at, received) };
        let setpoint = |setpoint| Self::plausible_setpoint(setpoint, family);
        let mode = |number: Option<i64>| number.map(|number| table.mode_of(number, family));
        let observation = match &message.body {
            Body::Status(status) => Self::from_status(status, at, family, received),
            Body::FloorStatus(status) => Self {
                temperature: status.ambient,
                floor_temperature: status.floor,
                humidity: status.humidity,
                setpoint: setpoint(status.setpoint),
                heating: status.heating,
                voltage: measured_voltage(status.line_voltage),
                tracked_sensor: status.tracked_sensor.and_then(TrackedSensor::from_number),
                ..seen(Source::Status)
            },
            Body::V1Status(status) => Self {
                temperature: status.ambient,
                sensor_temperature: status.sensor,
                humidity: status.humidity,
                setpoint: setpoint(status.setpoint),
                current: status.current,
                ..seen(Source::Status)
            },
            Body::AcStatus(status) => Self {
                temperature: status.ambient,
                humidity: status.humidity,
                setpoint: setpoint(status.setpoint),
                mode: mode(status.mode),
                fan: code(status.fan).map(FanSpeed::from_code),
                swing_vertical: code(status.swing).map(Swing::from_code),
                ..seen(Source::Status)
            },
            Body::AcState(state) => Self {
                setpoint: setpoint(state.setpoint),
                mode: mode(state.mode),
                fan: code(state.fan).map(FanSpeed::from_code),
                swing_vertical: code(state.swing).map(Swing::from_code),
                ..seen(Source::Status)
            },
            Body::FloorLine(line) => {
                Self { voltage: measured_voltage(line.line_voltage), ..seen(Source::Status) }
            }
            Body::SetpointChange(change) => {
                Self { setpoint: setpoint(change.next), ..seen(Source::SetpointChange) }
            }
            Body::Ack(ack) => {
                let state = ack.state.unwrap_or_default();
                Self { setpoint: setpoint(state.setpoint), ..seen(Source::Ack) }
                    .with_controls(&state, table, family)
            }
            Body::Boot(_) | Body::Firmware(_) | Body::Log(_) => seen(Source::Boot),
            _ => return None,
        };
        Some(observation.only_of(family))
    }

    #[inline(always)]
    pub(crate) fn from_status(
        status: &Status,
        at: Option<UnixTime>,
        family: Option<Family>,
        received: Now,
    ) -> Self {
        Self {
            temperature: status.ambient,
            floor_temperature: status.floor,
            humidity: status.humidity,
            setpoint: Self::plausible_setpoint(status.setpoint, family),
            duty: status.duty,
            heating: status.heating,
            voltage: measured_voltage(status.line_voltage),
            tracked_sensor: status.tracked_sensor.and_then(TrackedSensor::from_number),
            connected: Some(true),
            ..Self::new(Source::Status, at, received)
        }
    }

    /// Setpoint of an air conditioner, which reports 0 °C in modes without one. (mysa-js-sdk, Mysa_HA.)
    fn plausible_setpoint(setpoint: Option<Celsius>, family: Option<Family>) -> Option<Celsius> {
        setpoint.filter(|&setpoint| {
            family != Some(Family::AirConditioner) || setpoint > Celsius::from_hundredths(0)
        })
    }

    fn with_controls(self, state: &ControlState, table: &ModeTable, family: Option<Family>) -> Self {
        Self {
            mode: state.mode.map(|number| table.mode_of(number, family)),
            hold: state.hold(),
            lock: state.lock,
            brightness: state.brightness,
            proximity: state.proximity,
            fan: code(state.fan).map(FanSpeed::from_code),
            swing_vertical: code(state.swing_vertical).map(Swing::from_code),
            swing_horizontal: code(state.swing_horizontal).map(Swing::from_code),
            climate_plus: state.climate_plus,
            tracked_sensor: state
                .tracked_sensor
                .and_then(TrackedSensor::from_number)
                .or_else(|| table.tracked_by(state.mode?, family)),
            ..self
        }
    }
}

/// Line voltage, or `None` for 0 V: the line powers the thermostat, so 0 V means a missing sensor or a relay
/// that is off.
#[inline(always)]
pub(crate) fn measured_voltage(voltage: Option<Volts>) -> Option<Volts> {
    voltage.filter(|voltage| voltage.as_volts() > 0.0)
}

fn code(number: Option<i64>) -> Option<u8> {
    u8::try_from(number?).ok()
}
