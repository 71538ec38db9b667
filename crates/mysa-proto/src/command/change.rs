use core::fmt;

use super::setting::{AutoSetpoints, Brightness, Hold, List, Setting, Shown, TrackedSensor};
use crate::{
    Celsius, Control, DeviceState, FanSpeed, Mode, Now, Observation, Provenance, Source, Swing, UnixTime,
};

/// The table of settings. Everything that handles each setting is generated from it.
macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $type:ty, $control:ident, $label:literal;)*) => {
        /// Requested settings of a thermostat: any number of fields, sent as one command.
        ///
        /// A change is unchecked: [`Command::new`](crate::Command::new) checks it against the model.
        ///
        /// ```
        /// use mysa_proto::{Celsius, Change, Mode};
        ///
        /// let change = Change { mode: Some(Mode::Heat), setpoint: Celsius::from_degrees(21.5), ..Change::default() };
        /// assert_eq!(change.to_string(), "mode heat, setpoint 21.5 °C");
        /// ```
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
        #[expect(clippy::exhaustive_structs, reason = "plain data; `..Change::default()` fills the rest")]
        pub struct Change {
            $(
                $(#[$doc])*
                #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
                pub $field: Option<$type>,
            )*
        }

        impl Change {
            /// Controls that the change sets, each once.
            pub fn controls(&self) -> impl Iterator<Item = Control> {
                let touched = [$( self.$field.is_some().then_some(Control::$control) ),*];
                let mut last = None;
                // Settings of one control are adjacent in the table.
                touched.into_iter().flatten().filter(move |&control| last.replace(control) != Some(control))
            }

            /// This change, overridden by the fields of `later`.
            #[must_use]
            pub fn then(self, later: Self) -> Self {
                Self { $( $field: later.$field.or(self.$field), )* }
            }

            /// This change without the fields that `other` sets.
            #[must_use]
            pub fn without(self, other: &Self) -> Self {
                Self { $( $field: if other.$field.is_some() { None } else { self.$field }, )* }
            }

            /// The fields of this change that `other` sets too.
            #[must_use]
            pub fn within(self, other: &Self) -> Self {
                Self { $( $field: if other.$field.is_some() { self.$field } else { None }, )* }
            }

            /// Compares the requested settings with the observed ones.
            ///
            /// This is the only rule by which a command counts as applied. Values must be equal, with three
            /// exceptions: temperatures may differ by 0.01 °C, an end of a hold that was not reported is not
            /// compared, and only the observed parts of the brightness are compared, of which the active one
            /// is required.
            ///
            /// ```
            /// use mysa_proto::{Celsius, Change, Mode};
            ///
            /// let asked = Change { mode: Some(Mode::Heat), ..Change::setpoint(Celsius::from_hundredths(2_150)) };
            /// let comparison = asked.compare(&Change::setpoint(Celsius::from_hundredths(2_151)));
            /// assert_eq!((comparison.unmet, comparison.differs), (Change::mode(Mode::Heat), false));
            /// ```
            #[must_use]
            pub fn compare(&self, seen: &Self) -> Comparison {
                let mut comparison = Comparison { unmet: *self, differs: false };
                $(
                    if let (Some(asked), Some(seen)) = (self.$field, seen.$field) {
                        if asked.is_met_by(seen) {
                            comparison.unmet.$field = None;
                        } else {
                            comparison.differs = true;
                        }
                    }
                )*
                comparison
            }
        }

        impl fmt::Display for Change {
            /// Text such as `mode heat, setpoint 21.5 °C`, or `nothing`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut list = List { f, first: true };
                $( list.field($label, self.$field.map(Shown))?; )*
                if list.first { list.f.write_str("nothing") } else { Ok(()) }
            }
        }

        impl Observation {
            /// Observation of a command that the device has confirmed, for [`DeviceState::confirm`]. `at` is the time
            /// of the confirming message by the clock of the device, if it had one.
            #[must_use]
            pub const fn from_change(change: &Change, at: Option<UnixTime>, received: Now) -> Self {
                Self { $( $field: change.$field, )* ..Self::new(Source::Ack, at, received) }
            }

            /// Settings in the observation.
            #[must_use]
            pub const fn settings(&self) -> Change {
                Change { $( $field: self.$field, )* }
            }
        }

        impl DeviceState {
            /// Settings in the state whose provenance satisfies `counts`.
            pub fn settings(&self, counts: impl Fn(&Provenance) -> bool) -> Change {
                Change {
                    $( $field: self.$field().filter(|field| counts(&field.provenance())).map(|field| field.value), )*
                }
            }

            /// Provenance of the settings that `of` sets, in the order of [`Change`]'s fields.
            pub fn provenance_of(&self, of: &Change) -> impl Iterator<Item = Provenance> {
                let all = [$( of.$field.and_then(|_| self.$field()).map(|field| field.provenance()) ),*];
                all.into_iter().flatten()
            }
        }
    };
}

settings! {
    /// Operating mode.
    mode: Mode, Mode, "mode";
    /// Target temperature. It is moved to the nearest step of the model.
    setpoint: Celsius, Setpoint, "setpoint";
    /// Hold or resume.
    hold: Hold, Hold, "hold";
    /// Button lock: `true` locks.
    lock: bool, Lock, "button lock";
    /// Display brightness.
    brightness: Brightness, Brightness, "brightness";
    /// Wake the display when a person approaches.
    proximity: bool, Proximity, "proximity";
    /// Fan speed.
    fan: FanSpeed, Fan, "fan";
    /// Vertical direction of the louvres.
    swing_vertical: Swing, Swing, "vertical swing";
    /// Horizontal direction of the louvres.
    swing_horizontal: Swing, Swing, "horizontal swing";
    /// Climate+: let the thermostat's own sensor drive the air conditioner.
    climate_plus: bool, ClimatePlus, "Climate+";
    /// Sensor that an in-floor thermostat follows.
    tracked_sensor: TrackedSensor, TrackedSensor, "tracked sensor";
    /// Both targets of automatic mode. Structured service only.
    auto_setpoints: AutoSetpoints, AutoSetpoints, "setpoints";
    /// Correction added to the room temperature, -5 to 5 °C in steps of 0.5. Structured service only.
    temperature_offset: Celsius, TemperatureOffset, "temperature offset";
}

impl Change {
    /// Change of the setpoint only.
    #[must_use]
    pub fn setpoint(setpoint: Celsius) -> Self {
        Self { setpoint: Some(setpoint), ..Self::default() }
    }

    /// Change of the mode only.
    #[must_use]
    pub fn mode(mode: Mode) -> Self {
        Self { mode: Some(mode), ..Self::default() }
    }

    /// Change of the setpoint only, to `present` plus `by`, which may be negative. `None` if the sum is below absolute
    /// zero or too large for [`Celsius`].
    #[must_use]
    pub fn setpoint_moved(present: Celsius, by: Celsius) -> Option<Self> {
        let sum = present.as_hundredths().checked_add(by.as_hundredths())?;
        Celsius::from_degrees(f64::from(sum) / 100.0).map(Self::setpoint)
    }

    /// True if no field is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Result of [`Change::compare`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Comparison {
    /// Requested fields that were not observed with the requested value.
    pub unmet: Change,
    /// True if one of these was observed with another value.
    pub differs: bool,
}

impl Comparison {
    /// True if every requested field was observed with the requested value.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.unmet.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_later_change_wins_field_by_field() {
        let first = Change { mode: Some(Mode::Heat), ..Change::setpoint(Celsius::from_hundredths(2_000)) };
        let both =
            first.then(Change { lock: Some(true), ..Change::setpoint(Celsius::from_hundredths(2_150)) });
        assert_eq!(both.to_string(), "mode heat, setpoint 21.5 °C, button lock on");
        assert_eq!(Change::default().to_string(), "nothing");
        assert!(Change::default().then(Change::default()).is_empty());
    }

    fn hundredths(hundredths: i32) -> Celsius {
        Celsius::from_hundredths(hundredths)
    }

    fn heat_to(setpoint: i32) -> Change {
        Change { mode: Some(Mode::Heat), ..Change::setpoint(hundredths(setpoint)) }
    }

    #[test]
    fn observed_fields_are_removed_from_the_unmet_ones() {
        let asked = heat_to(2_150);
        let first = asked.compare(&Change::setpoint(hundredths(2_151)));
        assert_eq!(first, Comparison { unmet: Change::mode(Mode::Heat), differs: false });
        assert!(!first.is_met());
        assert!(first.unmet.compare(&heat_to(1)).is_met());
        let other = first.unmet.compare(&Change::mode(Mode::Off));
        assert_eq!(other, Comparison { unmet: Change::mode(Mode::Heat), differs: true });
        assert!(asked.compare(&Change::setpoint(hundredths(2_152))).differs);
    }

    #[test]
    fn a_later_change_takes_only_its_own_fields() {
        let later = Change::setpoint(hundredths(2_000));
        assert_eq!(heat_to(2_150).without(&later), Change::mode(Mode::Heat));
        assert_eq!(heat_to(2_150).within(&later), Change::setpoint(hundredths(2_150)));
    }

    #[test]
    fn the_end_of_a_hold_is_compared_where_it_is_reported() {
        let hold = |hold| Change { hold: Some(hold), ..Change::default() };
        let until = Hold::Until(UnixTime::from_secs(1_767_323_045));
        let later = Hold::Until(UnixTime::from_secs(1_767_323_046));
        for (asked, seen, met) in [
            (until, until, true),
            (Hold::Until(UnixTime::from_millis(1_767_323_045_999)), until, true),
            (until, later, false),
            (until, Hold::FollowOrUntil, true),
            (until, Hold::FollowSchedule, false),
            (until, Hold::Permanent, false),
            (Hold::FollowSchedule, Hold::FollowSchedule, true),
            (Hold::FollowSchedule, Hold::FollowOrUntil, true),
            (Hold::FollowSchedule, until, false),
            (Hold::FollowSchedule, Hold::Permanent, false),
            (Hold::Permanent, Hold::Permanent, true),
            (Hold::Permanent, Hold::FollowSchedule, false),
            (Hold::Permanent, Hold::FollowOrUntil, false),
        ] {
            assert_eq!(hold(asked).compare(&hold(seen)).is_met(), met, "{asked} {seen}");
        }
    }

    #[test]
    fn the_active_brightness_must_be_observed() {
        let part = |active, idle| Brightness { active, idle, ..Brightness::default() };
        for (asked, seen, met) in [
            (part(Some(80), Some(20)), part(Some(80), None), true),
            (part(Some(80), None), part(None, Some(20)), false),
            (part(None, Some(20)), part(Some(80), None), true),
            (part(Some(80), Some(20)), part(Some(80), Some(30)), false),
        ] {
            assert_eq!(asked.is_met_by(seen), met, "{asked} / {seen}");
        }
    }

    #[test]
    fn both_directions_of_the_louvres_are_one_control() {
        let change = Change {
            swing_vertical: Some(Swing::AUTO),
            swing_horizontal: Some(Swing::AUTO),
            ..heat_to(2_100)
        };
        assert!(change.controls().eq([Control::Mode, Control::Setpoint, Control::Swing]));
    }

    #[test]
    fn an_observation_contains_every_setting_of_its_change() {
        let change = Change {
            hold: Some(Hold::Permanent),
            lock: Some(true),
            auto_setpoints: Some(AutoSetpoints { heat: hundredths(1_900), cool: hundredths(2_500) }),
            temperature_offset: Some(hundredths(-50)),
            ..heat_to(2_100)
        };
        let now = Now { mono: core::time::Duration::ZERO, wall: UnixTime::from_secs(1_767_323_045) };
        let observation = Observation::from_change(&change, None, now);
        assert_eq!(observation.settings(), change);
        let mut state = DeviceState::new();
        state.observe(&observation);
        assert_eq!(state.settings(|_| true), change);
        assert_eq!(state.settings(|provenance| provenance.at.is_some()), Change::default());
        let setpoint = Change::setpoint(hundredths(0));
        assert!(state.provenance_of(&setpoint).eq([Provenance {
            source: Source::Ack,
            at: None,
            received: now
        }]));
    }

    #[test]
    fn a_relative_setpoint_stays_within_the_range_of_the_type() {
        let half = Celsius::from_hundredths(50);
        let moved = Change::setpoint_moved(Celsius::from_hundredths(2_100), half).unwrap();
        assert_eq!(moved.setpoint, Some(Celsius::from_hundredths(2_150)));
        assert_eq!(Change::setpoint_moved(Celsius::from_hundredths(i32::MAX), half), None);
        assert_eq!(
            Change::setpoint_moved(Celsius::from_hundredths(-27_315), Celsius::from_hundredths(-1)),
            None
        );
    }

    #[test]
    fn two_setpoints_are_met_only_by_both() {
        let pair = |heat, cool| {
            let (heat, cool) = (Celsius::from_hundredths(heat), Celsius::from_hundredths(cool));
            Change { auto_setpoints: Some(AutoSetpoints { heat, cool }), ..Change::default() }
        };
        let asked = pair(2_000, 2_500);
        assert!(asked.compare(&pair(2_000, 2_501)).is_met());
        assert!(!asked.compare(&pair(2_000, 2_600)).is_met());
        assert!(!asked.compare(&pair(1_900, 2_500)).is_met());
        assert!(!asked.compare(&Change::default()).is_met());
    }

    #[test]
    fn the_text_of_a_change_contains_every_value() {
        let (heat, cool) = (Celsius::from_hundredths(2_000), Celsius::from_hundredths(2_500));
        let brightness = Brightness { active: Some(80), auto: Some(true), ..Brightness::default() };
        let change = Change {
            auto_setpoints: Some(AutoSetpoints { heat, cool }),
            hold: Some(Hold::Permanent),
            brightness: Some(brightness),
            ..Change::default()
        };
        let text = change.to_string();
        for part in ["heat 20 °C and cool 25 °C", "permanent", "active % 80, auto on"] {
            assert!(text.contains(part), "{text}: {part}");
        }
        assert_eq!(Hold::FollowSchedule.to_string(), "follow schedule");
        assert_eq!(TrackedSensor::Ambient.to_string(), "ambient");
    }

    #[test]
    fn the_structured_service_numbers_the_sensors_from_zero() {
        for (sensor, number) in [(TrackedSensor::Ambient, 0), (TrackedSensor::Floor, 1)] {
            assert_eq!(sensor.to_structured(), number);
            assert_eq!(TrackedSensor::from_structured(number), Some(sensor));
        }
        for other in [-1, 2, 3, 5] {
            assert_eq!(TrackedSensor::from_structured(other), None);
        }
    }
}
