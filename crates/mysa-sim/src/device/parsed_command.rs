use alloc::string::String;

use serde_json::{Map, Value, json};

use crate::device::family::{Family, Mode};
use crate::math::round;

/// Brightness of the display, as in `br` and the device record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Brightness {
    pub(crate) auto: i64,
    pub(crate) active: i64,
    pub(crate) idle: i64,
    pub(crate) active_secs: i64,
    pub(crate) idle_secs: i64,
}

impl Brightness {
    pub(crate) fn to_json(self) -> Value {
        json!({
            "a_b": self.auto, "a_br": self.active, "i_br": self.idle, "a_dr": self.active_secs, "i_dr": self.idle_secs
        })
    }

    /// Brightness in use and idle, %.
    pub(crate) fn percents(self) -> (u8, u8) {
        let percent = |value: i64| u8::try_from(value).unwrap_or(100);
        (percent(self.active), percent(self.idle))
    }

    fn from_json(value: &Value) -> Option<Self> {
        let field = |name: &str| value.get(name).and_then(Value::as_i64);
        let percent = |name: &str| field(name).filter(|value| (0..=100).contains(value));
        Some(Self {
            auto: field("a_b").filter(|value| matches!(value, 0 | 1))?,
            active: percent("a_br")?,
            idle: percent("i_br")?,
            active_secs: field("a_dr").unwrap_or(60),
            idle_secs: field("i_dr").unwrap_or(30),
        })
    }
}

/// Changes that a command requests: the members of a `cmd` object, parsed and validated.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParsedCommand {
    /// Hundredths of a degree.
    pub(crate) setpoint: Option<i32>,
    pub(crate) mode: Option<Mode>,
    /// 1: follow the schedule, or hold until `until`; 2: hold.
    pub(crate) hold: Option<i64>,
    /// End of a hold in Unix seconds.
    pub(crate) until: Option<i64>,
    pub(crate) lock: Option<bool>,
    pub(crate) brightness: Option<Brightness>,
    pub(crate) proximity: Option<bool>,
    pub(crate) tracked: Option<i64>,
    pub(crate) fan: Option<i64>,
    pub(crate) swing: Option<i64>,
    pub(crate) swing_sideways: Option<i64>,
    pub(crate) climate_plus: Option<bool>,
    /// Setpoints of central HVAC for cooling and for its automatic mode, in hundredths. No message contains them.
    pub(crate) cool: Option<i32>,
    pub(crate) auto_heat: Option<i32>,
    pub(crate) auto_cool: Option<i32>,
}

impl ParsedCommand {
    /// Parses `cmd`, an array of objects, or the same in a JSON string for thermostats that understand that. The inner
    /// error means that the thermostat understands the command but refuses it.
    pub(crate) fn read(cmd: &Value, family: Family) -> Option<Result<Self, ()>> {
        let profile = family.profile();
        let parsed;
        let list = match cmd {
            Value::Array(list) => list,
            Value::String(text) if profile.reads_text_cmd => {
                parsed = serde_json::from_str::<Value>(text).ok()?;
                parsed.as_array()?
            }
            _ => return None,
        };
        let mut wanted = Self::default();
        for object in list {
            if wanted.take(object.as_object()?, family).is_none() {
                return Some(Err(()));
            }
        }
        Some(Ok(wanted))
    }

    fn take(&mut self, cmd: &Map<String, Value>, family: Family) -> Option<()> {
        let profile = family.profile();
        let conditioner = family == Family::AirConditioner;
        let mut until = None;
        for (name, value) in cmd {
            match name.as_str() {
                "tm" => until = Some(value.as_i64()?).filter(|&until| until > 0),
                "sp" => self.setpoint = Some(checked_setpoint(value.as_f64()?, profile.setpoint)?),
                "md" => {
                    let mode = Mode::from_wire(value.as_i64()?)?;
                    self.mode = Some(mode).filter(|mode| profile.modes.contains(mode));
                    self.mode?;
                }
                "ho" => self.hold = Some(value.as_i64().filter(|hold| matches!(hold, 1 | 2))?),
                "lk" => self.lock = Some(flag(value)?),
                "br" => self.brightness = Some(Brightness::from_json(value)?),
                "pr" => self.proximity = Some(flag(value)?),
                "tr" if family == Family::Floor => {
                    self.tracked = Some(value.as_i64().filter(|tracked| matches!(tracked, 3 | 5))?);
                }
                "fn" if conditioner => self.fan = Some(in_range(value, 1..=12)?),
                "ss" if conditioner => self.swing = Some(in_range(value, 0..=12)?),
                "ssh" if conditioner => self.swing_sideways = Some(in_range(value, 0..=12)?),
                "it" if conditioner => self.climate_plus = Some(flag(value)?),
                "tr" | "fn" | "ss" | "ssh" | "it" => return None,
                // One client also sends `stpt` and `a_sp`, which are ignored like unknown members.
                _ => {}
            }
        }
        // `tm` belongs to the `ho` of the same object.
        if let Some(hold) = cmd.get("ho").and(self.hold) {
            self.until = until.filter(|_| hold == 1);
        }
        Some(())
    }

    /// Formats the `cmd` object that a cloud service sends for these changes.
    pub(crate) fn to_cmd(&self) -> Value {
        let mut cmd = Map::new();
        cmd.insert("tm".into(), json!(self.until.unwrap_or(-1)));
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                cmd.insert(name.into(), value);
            }
        };
        put("sp", self.setpoint.map(|setpoint| number(f64::from(setpoint) / 100.0)));
        put("md", self.mode.map(|mode| json!(mode.wire())));
        put("ho", self.hold.map(|hold| json!(hold)));
        put("lk", self.lock.map(|lock| json!(u8::from(lock))));
        put("br", self.brightness.map(Brightness::to_json));
        put("pr", self.proximity.map(|on| json!(u8::from(on))));
        put("tr", self.tracked.map(|tracked| json!(tracked)));
        put("fn", self.fan.map(|fan| json!(fan)));
        put("ss", self.swing.map(|swing| json!(swing)));
        put("ssh", self.swing_sideways.map(|swing| json!(swing)));
        put("it", self.climate_plus.map(|on| json!(u8::from(on))));
        Value::Object(cmd)
    }
}

/// Accepts a setpoint in hundredths if it is in range and on the grid `(lowest, highest, step)`.
pub(crate) fn checked_setpoint(degrees: f64, (low, high, step): (i32, i32, i32)) -> Option<i32> {
    let hundredths = i32::try_from(round(degrees * 100.0)).ok()?;
    let exact = (f64::from(hundredths) - degrees * 100.0).abs() < 1e-6;
    (exact && (low..=high).contains(&hundredths) && (hundredths - low) % step == 0).then_some(hundredths)
}

/// A JSON number, without a fraction if it is whole.
pub(crate) fn number(value: f64) -> Value {
    let whole = round(value);
    if (whole as f64 - value).abs() < 1e-9 { json!(whole) } else { json!(value) }
}

fn flag(value: &Value) -> Option<bool> {
    match value.as_i64() {
        Some(0) => Some(false),
        Some(1) => Some(true),
        _ => value.as_bool(),
    }
}

fn in_range(value: &Value, range: core::ops::RangeInclusive<i64>) -> Option<i64> {
    value.as_i64().filter(|value| range.contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setpoints_off_the_grid_or_out_of_range_are_refused() {
        let grid = Family::BaseboardV2.profile().setpoint;
        assert_eq!(checked_setpoint(21.5, grid), Some(2_150));
        for bad in [21.3, 4.5, 30.5, f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(checked_setpoint(bad, grid), None, "{bad}");
        }
        let whole = Family::AirConditioner.profile().setpoint;
        assert_eq!((checked_setpoint(22.0, whole), checked_setpoint(22.5, whole)), (Some(2_200), None));
    }

    #[test]
    fn a_lite_does_not_read_the_string_form() {
        let text = json!("[{\"tm\":-1,\"sp\":20}]");
        assert_eq!(ParsedCommand::read(&text, Family::Lite), None);
        let wanted = ParsedCommand { setpoint: Some(2_000), ..ParsedCommand::default() };
        assert_eq!(ParsedCommand::read(&text, Family::BaseboardV2), Some(Ok(wanted)));
    }

    #[test]
    fn a_time_is_the_end_of_the_hold_beside_it() {
        for (cmd, hold, until) in [
            (json!([{ "tm": -1, "ho": 1 }]), Some(1), None),
            (json!([{ "tm": -1, "ho": 2 }]), Some(2), None),
            (json!([{ "tm": 1_767_330_000, "ho": 1 }]), Some(1), Some(1_767_330_000)),
            (json!([{ "ho": 1, "tm": 1_767_330_000 }]), Some(1), Some(1_767_330_000)),
            (json!([{ "tm": 1_767_330_000, "ho": 2 }]), Some(2), None),
            (json!([{ "tm": 1_767_330_000, "sp": 20 }]), None, None),
            (json!([{ "tm": 1_767_330_000, "ho": 1 }, { "tm": -1, "sp": 20 }]), Some(1), Some(1_767_330_000)),
            (json!([{ "tm": 1_767_330_000, "ho": 1 }, { "tm": -1, "ho": 1 }]), Some(1), None),
        ] {
            let wanted = ParsedCommand::read(&cmd, Family::BaseboardV2).unwrap().unwrap();
            assert_eq!((wanted.hold, wanted.until), (hold, until), "{cmd}");
        }
        for bad in [json!([{ "tm": -1, "ho": 3 }]), json!([{ "tm": "soon", "ho": 1 }])] {
            assert_eq!(ParsedCommand::read(&bad, Family::BaseboardV2), Some(Err(())), "{bad}");
        }
    }

    #[test]
    fn a_thermostat_reads_the_command_of_the_service() {
        let wanted = ParsedCommand {
            setpoint: Some(2_200),
            mode: Some(Mode::Cool),
            hold: Some(2),
            fan: Some(4),
            swing: Some(3),
            climate_plus: Some(true),
            ..ParsedCommand::default()
        };
        let cmd = json!([wanted.to_cmd()]);
        assert_eq!(ParsedCommand::read(&cmd, Family::AirConditioner), Some(Ok(wanted)));
        assert_eq!(ParsedCommand::read(&cmd, Family::BaseboardV2), Some(Err(())), "a baseboard cannot cool");
    }
}
