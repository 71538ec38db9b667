use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde_json::{Map, Value};

use crate::{Celsius, Mode, SetpointRange};

/// Capabilities of an air conditioner in each mode: `SupportedCaps` of its device record.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..AcCapabilities::default()` fills the rest")]
pub struct AcCapabilities {
    /// `tempRange`: lowest and highest setpoint, as the record has them.
    pub temperature_range: Option<(Celsius, Celsius)>,
    /// `temperatureStep`.
    pub temperature_step: Option<Celsius>,
    /// `modes` (or `SupportedModes` of the record), in the order of the record.
    pub modes: Vec<AcModeCapabilities>,
    /// `fanSpeeds` of the whole device; empty if it has none, `None` if the record has no list.
    pub fan_speeds: Option<Vec<FanSpeed>>,
    /// `verticalSwing` of the whole device.
    pub vertical_swing: Option<Vec<Swing>>,
    /// `horizontalSwing` of the whole device.
    pub horizontal_swing: Option<Vec<Swing>>,
    /// `modifiedKeys` of the record: the keys that the remote control has; empty if it has all.
    pub modified_keys: Vec<u8>,
    /// `CodeNum` of the record: number of the remote control.
    pub code_number: Option<String>,
}

/// Capabilities of an air conditioner in one mode. A list that is `None` is absent from the record or cannot be read, so
/// that nothing is known; an empty one means that there are none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data; `..AcModeCapabilities::default()` fills the rest")]
pub struct AcModeCapabilities {
    /// Number of the mode in MQTT messages.
    pub number: i64,
    /// Valid setpoints; a list of two is the lowest and the highest.
    pub temperatures: Option<Vec<Celsius>>,
    /// Available fan speeds.
    pub fan_speeds: Option<Vec<FanSpeed>>,
    /// Available vertical directions.
    pub vertical_swing: Option<Vec<Swing>>,
    /// Available horizontal directions.
    pub horizontal_swing: Option<Vec<Swing>>,
}

impl AcCapabilities {
    /// Reads `SupportedCaps`, `modifiedKeys` and `CodeNum` of the record of an air conditioner; `SupportedModes`
    /// replaces missing modes and lists. `None` if the record has neither `SupportedCaps` nor `SupportedModes`.
    ///
    /// Invalid numbers are left out of the lists. A list of which nothing can be read counts as absent.
    ///
    /// ```
    /// use mysa_proto::{FanSpeed, AcCapabilities};
    /// use serde_json::json;
    ///
    /// let record = json!({
    ///     "Model": "AC-V1-0",
    ///     "SupportedCaps": {"tempRange": [16, 30], "modes": {"4": {"temperatures": [16, 17], "fanSpeeds": [1, 2]}}},
    /// });
    /// let ac = record.as_object().and_then(AcCapabilities::from_record).ok_or("no list")?;
    /// assert_eq!(ac.fan_speeds(None, Some(4)).len(), 2);
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn from_record(record: &Map<String, Value>) -> Option<Self> {
        let ac = record.get("SupportedCaps").and_then(Value::as_object);
        let supported_modes = record.get("SupportedModes").and_then(Value::as_object);
        if ac.is_none() && supported_modes.is_none() {
            return None;
        }
        let field = |name: &str| ac.and_then(|ac| ac.get(name));
        let modes = field("modes").and_then(Value::as_object).filter(|modes| !modes.is_empty());
        let read = |modes: Option<&Map<String, Value>>| -> Vec<_> {
            modes.into_iter().flatten().filter_map(AcModeCapabilities::read).collect()
        };
        let more = read(supported_modes);
        let mut modes = read(modes);
        for mode in &mut modes {
            if let Some(more) = more.iter().find(|more| more.number == mode.number) {
                mode.fill_from(more);
            }
        }
        Some(Self {
            temperature_range: match list(field("tempRange"), celsius).as_deref() {
                Some([min, max]) => Some((*min, *max)),
                _ => None,
            },
            temperature_step: field("temperatureStep").and_then(celsius),
            modes: if modes.is_empty() { more } else { modes },
            fan_speeds: list(field("fanSpeeds"), fan_speed),
            vertical_swing: list(field("verticalSwing"), swing),
            horizontal_swing: list(field("horizontalSwing"), swing),
            modified_keys: list(record.get("modifiedKeys"), code).unwrap_or_default(),
            code_number: match record.get("CodeNum") {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            },
        })
    }

    /// Capabilities in the mode with this number. `None` if the record does not list the mode.
    #[must_use]
    pub fn mode(&self, number: i64) -> Option<&AcModeCapabilities> {
        self.modes.iter().find(|mode| mode.number == number)
    }

    /// Fan speeds of a mode, which is also given by its number. Both are `None` if the mode is unknown.
    ///
    /// The first of these that exists: the list of the mode, the list of the device, the speeds of all modes, and the
    /// list that mysa-js-sdk found for the remote control, 1/2/4/6 for code 1117 and 1/3/5/7/8 for any other. In dry
    /// mode the fan is automatic, unless a list leaves that out. Speeds without a key in `modifiedKeys` are left out.
    #[must_use]
    pub fn fan_speeds(&self, mode: Option<Mode>, number: Option<i64>) -> Vec<FanSpeed> {
        let mut offered = self.fan_speeds_by_list(number);
        if mode == Some(Mode::Dry) && offered.contains(&FanSpeed::AUTO) {
            offered = alloc::vec![FanSpeed::AUTO];
        }
        if !self.modified_keys.is_empty() {
            offered.retain(|speed| fan_key(*speed).is_none_or(|key| self.modified_keys.contains(&key)));
        }
        offered
    }

    fn fan_speeds_by_list(&self, number: Option<i64>) -> Vec<FanSpeed> {
        let known = self.listed(number, |mode| mode.fan_speeds.as_ref(), self.fan_speeds.as_ref());
        if let Some(known) = known {
            return known;
        }
        let codes: &[u8] =
            if self.code_number.as_deref() == Some("1117") { &[1, 2, 4, 6] } else { &[1, 3, 5, 7, 8] };
        codes.iter().copied().map(FanSpeed::from_code).collect()
    }

    /// Vertical directions of the mode with this number: the first that exists of the list of the mode, the list of the
    /// device, and the directions of all modes. If the record has none of them, every direction that a unit is known to
    /// have.
    #[must_use]
    pub fn vertical_swing(&self, number: Option<i64>) -> Vec<Swing> {
        let device = self.vertical_swing.as_ref();
        self.swing(number, &[12, 39, 40, 47], |mode| mode.vertical_swing.as_ref(), device)
    }

    /// Horizontal directions of the mode with this number, by the same rule.
    #[must_use]
    pub fn horizontal_swing(&self, number: Option<i64>) -> Vec<Swing> {
        let device = self.horizontal_swing.as_ref();
        self.swing(number, &[15, 41, 42], |mode| mode.horizontal_swing.as_ref(), device)
    }

    fn swing(
        &self,
        number: Option<i64>,
        keys: &[u8],
        of_mode: impl Fn(&AcModeCapabilities) -> Option<&Vec<Swing>>,
        of_device: Option<&Vec<Swing>>,
    ) -> Vec<Swing> {
        if !self.modified_keys.is_empty() && !keys.iter().any(|key| self.modified_keys.contains(key)) {
            return Vec::new();
        }
        self.listed(number, of_mode, of_device).unwrap_or_else(Swing::all)
    }

    /// Entry of the record for a mode; `None` if there is none.
    fn listed<T: Copy + PartialEq>(
        &self,
        number: Option<i64>,
        of_mode: impl Fn(&AcModeCapabilities) -> Option<&Vec<T>>,
        of_device: Option<&Vec<T>>,
    ) -> Option<Vec<T>> {
        let own = number.and_then(|number| self.mode(number)).and_then(&of_mode);
        if let Some(known) = own.or(of_device) {
            return Some(known.clone());
        }
        let mut union: Option<Vec<T>> = None;
        for item in self.modes.iter().filter_map(of_mode) {
            let union = union.get_or_insert_default();
            for item in item {
                if !union.contains(item) {
                    union.push(*item);
                }
            }
        }
        union
    }
}

impl AcModeCapabilities {
    fn read((number, mode): (&String, &Value)) -> Option<Self> {
        Some(Self {
            number: number.parse().ok()?,
            temperatures: list(mode.get("temperatures"), celsius),
            fan_speeds: list(mode.get("fanSpeeds"), fan_speed),
            vertical_swing: list(mode.get("verticalSwing"), swing),
            horizontal_swing: list(mode.get("horizontalSwing"), swing),
        })
    }

    /// Takes the lists that are absent here.
    fn fill_from(&mut self, other: &Self) {
        fn fill<T: Clone>(list: &mut Option<Vec<T>>, other: &Option<Vec<T>>) {
            if list.is_none() {
                list.clone_from(other);
            }
        }
        fill(&mut self.temperatures, &other.temperatures);
        fill(&mut self.fan_speeds, &other.fan_speeds);
        fill(&mut self.vertical_swing, &other.vertical_swing);
        fill(&mut self.horizontal_swing, &other.horizontal_swing);
    }

    /// Setpoints of the mode as far as they are usable: `None` if the record has no list, or one of values that are all
    /// outside the range of the family, such as -1 or degrees Fahrenheit.
    pub(crate) fn setpoints(&self, family: SetpointRange) -> Option<Setpoints<'_>> {
        let inside = |value: &Celsius| family.min <= *value && *value <= family.max;
        match self.temperatures.as_deref()? {
            [] => Some(Setpoints::List(&[])),
            [one, other] if inside(one) || inside(other) => {
                Some(Setpoints::Range((*one).min(*other), (*one).max(*other)))
            }
            list => list.iter().any(inside).then_some(Setpoints::List(list)),
        }
    }
}

/// Setpoints that an air conditioner lists for a mode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Setpoints<'a> {
    /// From the first to the second.
    Range(Celsius, Celsius),
    /// These and no other.
    List(&'a [Celsius]),
}

/// Reads the items of a list. `None` if it is absent, or has items of which none can be read.
fn list<T>(value: Option<&Value>, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let items = value.and_then(Value::as_array)?;
    let known: Vec<T> = items.iter().filter_map(read).collect();
    (items.is_empty() || !known.is_empty()).then_some(known)
}

fn fan_speed(value: &Value) -> Option<FanSpeed> {
    code(value).map(FanSpeed::from_code)
}

fn swing(value: &Value) -> Option<Swing> {
    code(value).map(Swing::from_code)
}

/// Reads a number, or a string that contains one.
fn celsius(value: &Value) -> Option<Celsius> {
    Celsius::from_degrees(match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    })
}

/// Reads a code from 0 to 255. `None` for -1, which means a missing value.
fn code(value: &Value) -> Option<u8> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => u8::try_from(other.as_i64()?).ok(),
    }
}

/// Infrared key of a speed. (mysa_client.)
const fn fan_key(speed: FanSpeed) -> Option<u8> {
    Some(match speed.code() {
        1 => 8,
        2 | 3 => 9,
        4 | 5 => 10,
        6 | 7 => 11,
        8 => 16,
        9 => 17,
        10 => 18,
        11 => 19,
        12 => 20,
        _ => return None,
    })
}

/// Fan speed of an air conditioner, by its number in `fn` of a command and in the device record.
///
/// There are two generations of remote controls: 1/2/4/6 are auto, low, medium and high; 1/3/5/7/8 are auto and four
/// numbered speeds. The four witnesses name them differently; [`FanSpeed::name`] follows the two that agree
/// (mysa-js-sdk, mysa_client). The speeds of a unit are in its [`AcCapabilities`](crate::AcCapabilities).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FanSpeed(u8);

impl FanSpeed {
    /// 1: automatic, according to every witness.
    pub const AUTO: Self = Self(1);

    /// Converts from the number on the wire.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// Number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// True if a witness has seen the number: 1 to 12.
    #[must_use]
    pub const fn is_witnessed(self) -> bool {
        matches!(self.0, 1..=12)
    }

    /// Name in lower case: `auto`, `low`, `medium`, `high`, `max`, `speed_5` to `speed_7`, `sleep`. `None` for a number
    /// without a known name. The generations share names (2 and 3 are both `low`); no unit is known to mix them.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "auto",
            2 | 3 => "low",
            4 | 5 => "medium",
            6 | 7 => "high",
            8 => "max",
            9 => "speed_5",
            10 => "speed_6",
            11 => "speed_7",
            12 => "sleep",
            _ => return None,
        })
    }

    /// `modes.fan_mode` of the structured service for an air conditioner. `None` for a number that the service cannot
    /// express. (mysa_client.)
    #[must_use]
    pub const fn to_structured(self) -> Option<i64> {
        Some(match self.0 {
            1 => 0,
            2 => 1,
            4 => 2,
            6 => 3,
            3 => 4,
            5 => 5,
            7 => 6,
            8 => 7,
            9 => 8,
            10 => 9,
            11 => 10,
            12 => 11,
            _ => return None,
        })
    }

    /// Converts from `modes.fan_mode` of an air conditioner; the inverse of [`FanSpeed::to_structured`].
    #[must_use]
    pub fn from_structured(number: i64) -> Option<Self> {
        (1..=12).map(Self).find(|speed| speed.to_structured() == Some(number))
    }
}

impl fmt::Display for FanSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Direction of an air conditioner's louvres, by its number in `ss` (vertical) and `ssh` (horizontal).
///
/// 3 is automatic, and 4 to 9 are positions from top to bottom or from left to right. (Mysa_HA on its own unit,
/// mysa_client; one other document counts differently.) The structured service adds 1 off, 2 on and 10 position 7.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Swing(u8);

impl Swing {
    /// 3: automatic; the louvres sweep.
    pub const AUTO: Self = Self(3);

    /// A fixed position from 1 (top or left) to 6 (bottom or right). `None` for any other.
    #[must_use]
    pub const fn position(position: u8) -> Option<Self> {
        match position {
            1..=6 => Some(Self(position + 3)),
            _ => None,
        }
    }

    /// Converts from the number on the wire.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// Number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Every number that a unit is known to accept.
    pub(crate) fn all() -> Vec<Self> {
        (1..=10).map(Self).collect()
    }

    /// True if every unit accepts the number: 1 to 10. 0 is invalid, 11 toggles, and 12 means not applicable.
    #[must_use]
    pub const fn is_witnessed(self) -> bool {
        matches!(self.0, 1..=10)
    }

    /// Name in lower case: `off`, `on`, `auto`, `position_1` to `position_7`. `None` for any other number.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "off",
            2 => "on",
            3 => "auto",
            4 => "position_1",
            5 => "position_2",
            6 => "position_3",
            7 => "position_4",
            8 => "position_5",
            9 => "position_6",
            10 => "position_7",
            _ => return None,
        })
    }
}

impl fmt::Display for Swing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use serde_json::json;

    use super::*;

    fn read(record: &Value) -> Option<AcCapabilities> {
        AcCapabilities::from_record(record.as_object().unwrap())
    }

    fn codes(speeds: &[FanSpeed]) -> Vec<u8> {
        speeds.iter().map(|speed| speed.code()).collect()
    }

    #[test]
    fn the_list_of_the_mode_precedes_the_list_of_the_device_and_the_union() {
        let modes = json!({"3": {"fanSpeeds": [2, 4]}, "4": {"fanSpeeds": [1, 2]}});
        let ac = read(&json!({"SupportedCaps": {"modes": modes, "fanSpeeds": [1, 3, 5]}})).unwrap();
        assert_eq!(codes(&ac.fan_speeds(Some(Mode::Cool), Some(4))), [1, 2]);
        assert_eq!(codes(&ac.fan_speeds(Some(Mode::FanOnly), Some(5))), [1, 3, 5]);
        let ac = read(&json!({"SupportedModes": modes})).unwrap();
        assert_eq!(codes(&ac.fan_speeds(None, None)), [2, 4, 1]);
    }

    #[test]
    fn an_absent_list_differs_from_an_empty_list() {
        let speeds = |caps: Value| {
            codes(&read(&json!({"SupportedCaps": caps})).unwrap().fan_speeds(Some(Mode::Cool), Some(4)))
        };
        let remote = [1, 3, 5, 7, 8];
        for (caps, offered) in [
            (json!({}), &remote[..]),
            (json!({"modes": {"4": {}}}), &remote),
            (json!({"modes": {"4": {"fanSpeeds": null}}}), &remote),
            (json!({"modes": {"4": {"fanSpeeds": [-1]}}}), &remote),
            (json!({"modes": {"4": {"fanSpeeds": []}}}), &[]),
            (json!({"modes": {"4": {"fanSpeeds": []}}, "fanSpeeds": [1, 2]}), &[]),
            (json!({"modes": {"4": {}}, "fanSpeeds": [1, 2]}), &[1, 2]),
            (json!({"modes": {"4": {}}, "fanSpeeds": []}), &[]),
            (json!({"modes": {"4": {}, "3": {"fanSpeeds": [6]}}}), &[6]),
            (json!({"modes": {"4": {"fanSpeeds": [4]}}, "fanSpeeds": [1, 2]}), &[4]),
        ] {
            assert_eq!(speeds(caps.clone()), offered, "{caps}");
        }
        let both =
            json!({"SupportedCaps": {"modes": {"4": {}}}, "SupportedModes": {"4": {"fanSpeeds": [2]}}});
        assert_eq!(codes(&read(&both).unwrap().fan_speeds(Some(Mode::Cool), Some(4))), [2]);
        let dry = read(&json!({"SupportedCaps": {"modes": {"6": {"fanSpeeds": [2, 4]}}}})).unwrap();
        assert_eq!(codes(&dry.fan_speeds(Some(Mode::Dry), Some(6))), [2, 4]);
    }

    #[test]
    fn absent_directions_allow_every_direction() {
        let vertical = |caps: Value| read(&json!({"SupportedCaps": caps})).unwrap().vertical_swing(Some(4));
        assert_eq!(vertical(json!({})), Swing::all());
        assert_eq!(vertical(json!({"modes": {"4": {"horizontalSwing": [3]}}})), Swing::all());
        assert_eq!(vertical(json!({"modes": {"4": {"verticalSwing": []}}})), []);
        assert_eq!(vertical(json!({"modes": {"4": {}}, "verticalSwing": [3]})), [Swing::AUTO]);
        assert_eq!(vertical(json!({"modes": {"4": {}, "3": {"verticalSwing": [3]}}})), [Swing::AUTO]);
    }

    #[test]
    fn without_any_list_the_remote_control_decides() {
        let old = read(&json!({"SupportedCaps": {}, "CodeNum": "1117"})).unwrap();
        let new = read(&json!({"SupportedCaps": {}, "CodeNum": 1999})).unwrap();
        assert_eq!(codes(&old.fan_speeds(None, None)), [1, 2, 4, 6]);
        assert_eq!(codes(&new.fan_speeds(None, None)), [1, 3, 5, 7, 8]);
        assert_eq!(codes(&new.fan_speeds(Some(Mode::Dry), Some(6))), [1]);
    }

    #[test]
    fn speeds_without_a_key_on_the_remote_control_are_left_out() {
        let modes = json!({"4": {"fanSpeeds": [1, 2, 4, 6], "verticalSwing": [3], "horizontalSwing": [3]}});
        let ac = read(&json!({"SupportedCaps": {"modes": modes}, "modifiedKeys": [8, 9, 12]})).unwrap();
        assert_eq!(codes(&ac.fan_speeds(Some(Mode::Cool), Some(4))), [1, 2]);
        assert_eq!(ac.vertical_swing(Some(4)), [Swing::AUTO]);
        assert_eq!(ac.horizontal_swing(Some(4)), []);
    }

    #[test]
    fn capability_keys_that_are_not_numbers_are_ignored() {
        assert_eq!(read(&json!({"Model": "BB-V1-1", "CodeNum": "1117"})), None);
        assert_eq!(read(&json!({"SupportedCaps": null, "SupportedModes": 7})), None);
        let ac = json!({
            "tempRange": [30, 16],
            "temperatureStep": true,
            "modes": {"4": {"temperatures": ["16", null, 17.5, "x"], "fanSpeeds": [-1, 300, "1", 2.5]}, "x": {}, "5": 3},
        });
        let ac = read(&json!({"SupportedCaps": ac})).unwrap();
        let thirty = Celsius::from_hundredths(3_000);
        let crossed = Some((thirty, Celsius::from_hundredths(1_600)));
        assert_eq!((ac.temperature_range, ac.temperature_step), (crossed, None), "`Limits` ignores them");
        assert_eq!(ac.modes.len(), 2);
        let cool = ac.mode(4).unwrap();
        let celsius = [1_600, 1_750].map(Celsius::from_hundredths);
        assert_eq!(cool.temperatures.as_deref(), Some(&celsius[..]));
        assert_eq!(cool.fan_speeds, Some(vec![FanSpeed::AUTO]));
    }

    #[test]
    fn structured_fan_numbers_convert_back() {
        for code in 0..=u8::MAX {
            let speed = FanSpeed::from_code(code);
            let back = speed.to_structured().and_then(FanSpeed::from_structured);
            assert_eq!(back, speed.is_witnessed().then_some(speed), "{code}");
        }
    }

    #[test]
    fn positions_count_from_four() {
        assert_eq!(Swing::position(1).map(Swing::code), Some(4));
        assert_eq!(Swing::position(6).and_then(Swing::name), Some("position_6"));
        assert_eq!((Swing::position(0), Swing::position(7)), (None, None));
    }
}
