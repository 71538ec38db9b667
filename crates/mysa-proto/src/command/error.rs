use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{Celsius, Control, Family, FanSpeed, Mode, SetpointRange, Swing, UnixTime};

/// Error of a change that cannot become a command. Nothing was sent; the caller asked for something the thermostat does not
/// take, and the text names what it does take.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidCommand {
    /// The change is empty.
    NothingToChange,
    /// The model string is not one we know, so neither the command's type nor the meaning of a mode is.
    UnknownModel {
        /// The string.
        model: String,
    },
    /// The family takes no command on this channel.
    NoChannel {
        /// Whose.
        family: Family,
        /// The channel asked for.
        channel: Channel,
    },
    /// The family has no such control on this channel.
    NoControl {
        /// Whose.
        family: Family,
        /// The missing control.
        control: Control,
        /// The channel asked for.
        channel: Channel,
    },
    /// The setpoint lies outside the range of the model, or of the limits the user set.
    SetpointOutOfRange {
        /// The requested value.
        asked: Celsius,
        /// The valid range, narrowed by the limits.
        range: SetpointRange,
    },
    /// The air conditioner does not take this setpoint in the mode it is, or will be, in.
    SetpointNotOffered {
        /// The requested value, on the step.
        asked: Celsius,
        /// The mode.
        mode: Mode,
        /// The valid values; empty if the mode has no setpoint.
        offered: Vec<Celsius>,
    },
    /// The device has no such mode, or the mode table names no number for it.
    ModeNotOffered {
        /// The requested value.
        asked: Mode,
        /// The valid values.
        offered: Vec<Mode>,
    },
    /// The unit does not offer this fan speed in the mode it is, or will be, in.
    FanNotOffered {
        /// The requested value.
        asked: FanSpeed,
        /// The valid values.
        offered: Vec<FanSpeed>,
    },
    /// The unit does not offer this direction in the mode it is, or will be, in.
    SwingNotOffered {
        /// The requested value.
        asked: Swing,
        /// The valid values.
        offered: Vec<Swing>,
    },
    /// A setpoint belongs to heating or cooling, and the device is, or will be, in neither as far as is known.
    SetpointNeedsMode {
        /// The mode, where known.
        mode: Option<Mode>,
    },
    /// A fan speed must be sent together with the mode, which is not known.
    FanNeedsMode,
    /// The lower of two setpoints is above the higher.
    AutoSetpointsCross {
        /// Heat below.
        heat: Celsius,
        /// Cool above.
        cool: Celsius,
    },
    /// The correction of the room temperature is too large or off its step.
    OffsetOutOfRange {
        /// The requested value.
        asked: Celsius,
    },
    /// The structured service takes the brightness in use and idle together, and nothing else about brightness.
    BrightnessNeedsBoth,
    /// A brightness above 100 %.
    BrightnessOutOfRange {
        /// The requested value, in percent.
        asked: u8,
    },
    /// A hold that would end before it begins, or at a time that cannot be encoded.
    HoldEndsInPast {
        /// When it would end.
        end: UnixTime,
        /// When it was asked for.
        now: UnixTime,
    },
    /// A live report of a length no witness has asked for.
    LiveReportOutOfRange {
        /// The requested value, in seconds.
        asked: u32,
    },
}

/// Channel of a command.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the two there are")]
pub enum Channel {
    /// Message 44 on `/in`.
    Mqtt,
    /// `POST /state/{dev}/update`.
    Structured,
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mqtt => "MQTT",
            Self::Structured => "the structured service",
        })
    }
}

impl fmt::Display for InvalidCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToChange => f.write_str("nothing to change"),
            Self::UnknownModel { model } => {
                write!(f, "unknown model {model:?}: known are ")?;
                list(f, crate::Model::known().iter().map(|info| info.model))
            }
            Self::NoChannel { family, channel } => {
                write!(f, "{family} takes no commands over {channel}")
            }
            Self::NoControl { family, control, channel } => {
                write!(f, "{family} has no {control} over {channel}; it has ")?;
                list(f, family.controls_on(*channel))
            }
            Self::SetpointOutOfRange { asked, range } => {
                write!(f, "setpoint {asked} is out of range: allowed are {range}")
            }
            Self::SetpointNotOffered { mode, offered, .. } if offered.is_empty() => {
                write!(f, "the device takes no setpoint in mode {mode}")
            }
            Self::SetpointNotOffered { asked, mode, offered } => {
                write!(f, "setpoint {asked} is not offered in mode {mode}: allowed are ")?;
                list(f, offered.iter().map(|one| one.as_degrees()))?;
                f.write_str(" °C")
            }
            Self::ModeNotOffered { asked, offered } => {
                write!(f, "{asked} is not a mode of this device: allowed are ")?;
                list(f, offered)
            }
            Self::FanNotOffered { asked, offered } => {
                write!(f, "fan speed {asked} is not offered: allowed are ")?;
                list(f, offered)
            }
            Self::SwingNotOffered { asked, offered } => {
                write!(f, "swing {asked} is not offered: allowed are ")?;
                list(f, offered)
            }
            Self::SetpointNeedsMode { mode: None } => f.write_str(
                "a setpoint belongs to a mode and the present one is not known: give heat or cool with it",
            ),
            Self::SetpointNeedsMode { mode: Some(mode) } => {
                write!(f, "mode {mode} has no single setpoint: allowed are heat and cool")
            }
            Self::FanNeedsMode => f.write_str(
                "a fan speed is sent together with the mode, and the present mode is not known: give the mode as well",
            ),
            Self::AutoSetpointsCross { heat, cool } => {
                write!(f, "heating below {heat} and cooling above {cool} cross: heat must not be above cool")
            }
            Self::OffsetOutOfRange { asked } => write!(
                f,
                "temperature offset {asked} is out of range: allowed are -5 to 5 °C in steps of 0.5"
            ),
            Self::BrightnessNeedsBoth => f.write_str(
                "the structured service takes active and idle brightness together and nothing else of it",
            ),
            Self::BrightnessOutOfRange { asked } => {
                write!(f, "brightness {asked} % is out of range: allowed are 0 to 100 %")
            }
            Self::HoldEndsInPast { end, now } => {
                write!(f, "a hold until {end} must end after the present time {now}")
            }
            Self::LiveReportOutOfRange { asked } => {
                write!(f, "a live report of {asked} s is out of range: allowed are 1 to 300 s")
            }
        }
    }
}

impl core::error::Error for InvalidCommand {}

/// Writes the items with commas between them, or `none`.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    let mut comma = "";
    for item in items {
        write!(f, "{comma}{item}")?;
        comma = ", ";
    }
    if comma.is_empty() { f.write_str("none") } else { Ok(()) }
}
