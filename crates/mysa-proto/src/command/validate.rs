//! Validation of a change for either channel.

use alloc::vec::Vec;

use crate::model::ac::Setpoints;
use crate::{
    Celsius, Change, Channel, Control, Family, FanSpeed, InvalidCommand, Limits, Mode, ModeTable, Model,
    Swing,
};

/// Checks everything that does not depend on the channel's encoding, and rounds the setpoint to the step.
pub(crate) fn validate(
    channel: Channel,
    model: &Model,
    limits: &Limits<'_>,
    table: &ModeTable,
    change: Change,
) -> Result<(Family, Change), InvalidCommand> {
    let Some(family) = model.family() else {
        return Err(InvalidCommand::UnknownModel { model: model.as_str().into() });
    };
    let controls = family.controls_on(channel);
    if controls.is_empty() {
        return Err(InvalidCommand::NoChannel { family, channel });
    }
    if change.is_empty() || change.brightness.is_some_and(|brightness| brightness == Default::default()) {
        return Err(InvalidCommand::NothingToChange);
    }
    if let Some(control) = change.controls().find(|control| !controls.contains(control)) {
        return Err(InvalidCommand::NoControl { family, control, channel });
    }
    let limits = &limits.of(family);
    // Lists are built only for requested settings, so a command for a setpoint does not allocate.
    if let Some(asked) = change.mode {
        let offered = modes_on(family, channel, limits, table);
        if !offered.contains(&asked) {
            return Err(InvalidCommand::ModeNotOffered { asked, offered });
        }
    }

    // An air conditioner's lists depend on the resulting mode, numbered as in MQTT messages on both channels.
    let mode = change.mode.or(limits.mode);
    let number = mode.and_then(|mode| table.number_of(mode, family, None));
    let setpoint = match change.setpoint {
        Some(asked) => Some(setpoint(channel, asked, family, limits, mode, number)?),
        None => None,
    };
    if let Some(asked) = change.fan {
        let offered = fan_speeds(family, limits, mode, number);
        if !(offered.contains(&asked) && asked.is_witnessed()) {
            return Err(InvalidCommand::FanNotOffered { asked, offered });
        }
    }
    let may_swing = |asked: Option<Swing>, list: fn(&Limits<'_>, Option<i64>) -> Vec<Swing>| {
        let Some(asked) = asked else { return Ok(()) };
        let offered = list(limits, number);
        if offered.contains(&asked) && asked.is_witnessed() {
            return Ok(());
        }
        Err(InvalidCommand::SwingNotOffered { asked, offered })
    };
    may_swing(change.swing_vertical, vertical_swing)?;
    may_swing(change.swing_horizontal, horizontal_swing)?;
    for asked in
        change.brightness.iter().flat_map(|brightness| [brightness.active, brightness.idle]).flatten()
    {
        if asked > 100 {
            return Err(InvalidCommand::BrightnessOutOfRange { asked });
        }
    }
    Ok((family, Change { setpoint, ..change }))
}

/// Fan speeds that can be sent in a mode, which is also given by its number.
pub(crate) fn fan_speeds(
    family: Family,
    limits: &Limits<'_>,
    mode: Option<Mode>,
    number: Option<i64>,
) -> Vec<FanSpeed> {
    let codes: &[u8] = match (limits.ac, family, mode) {
        (Some(ac), _, _) => return ac.fan_speeds(mode, number),
        // The structured service can express every speed only for the generation with numbered speeds.
        (None, Family::Central, _) => &[1, 3, 5, 7, 8, 9, 10, 11, 12],
        (None, _, Some(Mode::Dry)) => &[1],
        (None, _, _) => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    };
    codes.iter().copied().map(FanSpeed::from_code).collect()
}

/// Vertical directions that can be sent.
pub(crate) fn vertical_swing(limits: &Limits<'_>, number: Option<i64>) -> Vec<Swing> {
    limits.ac.map_or_else(Swing::all, |ac| ac.vertical_swing(number))
}

/// Horizontal directions that can be sent.
pub(crate) fn horizontal_swing(limits: &Limits<'_>, number: Option<i64>) -> Vec<Swing> {
    limits.ac.map_or_else(Swing::all, |ac| ac.horizontal_swing(number))
}

/// Modes that can be sent: those of the family that the channel has a number for and that the unit's own list, if any,
/// contains. Off is always among them.
pub(crate) fn modes_on(
    family: Family,
    channel: Channel,
    limits: &Limits<'_>,
    table: &ModeTable,
) -> Vec<Mode> {
    let listed = |mode: Mode| {
        let Some(ac) = limits.ac.filter(|ac| !ac.modes.is_empty()) else { return true };
        let number = ModeTable::OBSERVED.number_of(mode, family, None);
        mode == Mode::Off || number.is_some_and(|number| ac.mode(number).is_some())
    };
    let numbered = |mode: Mode| match channel {
        Channel::Mqtt => table.number_of(mode, family, None).is_some(),
        Channel::Structured => mode.to_structured().is_some(),
    };
    family.modes().iter().copied().filter(|&mode| numbered(mode) && listed(mode)).collect()
}

pub(crate) fn setpoint(
    channel: Channel,
    asked: Celsius,
    family: Family,
    limits: &Limits<'_>,
    mode: Option<Mode>,
    number: Option<i64>,
) -> Result<Celsius, InvalidCommand> {
    let (Some(range), Some(family_range)) = (limits.range(family, mode, number), family.setpoint_range())
    else {
        // A family that has this control on any channel has a range.
        return Err(InvalidCommand::NoControl { family, control: Control::Setpoint, channel });
    };
    let nearest = range.nearest(asked).ok_or(InvalidCommand::SetpointOutOfRange { asked, range })?;
    // Off has no setpoints of its own: the setpoint applies once the unit is switched on.
    let listed = limits.ac.zip(number).and_then(|(ac, number)| ac.mode(number)?.setpoints(family_range));
    match (listed, mode) {
        (Some(Setpoints::List(offered)), Some(mode)) if mode != Mode::Off && !offered.contains(&nearest) => {
            Err(InvalidCommand::SetpointNotOffered { asked: nearest, mode, offered: offered.to_vec() })
        }
        _ => Ok(nearest),
    }
}
