use mysa_proto::{Agreement, Brightness, Celsius, Change, Hold};

macro_rules! each_field {
    ($with:ident) => {
        $with! { setpoint mode hold lock brightness proximity fan swing_vertical swing_horizontal climate_plus tracked_sensor
            auto_setpoints temperature_offset }
    };
}

/// `change` without the fields that `other` sets.
pub(crate) fn without(change: &Change, other: &Change) -> Change {
    macro_rules! build {
        ($($field:ident)*) => {
            Change { $($field: if other.$field.is_some() { None } else { change.$field }),* }
        };
    }
    each_field!(build)
}

/// Only the fields of `change` that `other` sets as well.
pub(crate) fn within(change: &Change, other: &Change) -> Change {
    macro_rules! build {
        ($($field:ident)*) => {
            Change { $($field: if other.$field.is_some() { change.$field } else { None }),* }
        };
    }
    each_field!(build)
}

/// The fields of `wish` that `seen` does not show to hold, and whether any of them was seen to hold something else.
pub(crate) fn compare(wish: &Change, seen: &Change) -> (Change, Agreement) {
    let mut open = *wish;
    let mut differs = false;
    macro_rules! record_failure {
        ($($field:ident)*) => {
            $(if let (Some(wished), Some(found)) = (wish.$field, seen.$field) {
                if Same::same(&wished, &found) { open.$field = None } else { differs = true }
            })*
        };
    }
    each_field!(record_failure);
    let agreement = if differs {
        Agreement::Differs
    } else if open.is_empty() {
        Agreement::Agrees
    } else {
        Agreement::NotSeen
    };
    (open, agreement)
}

trait Same {
    fn same(&self, other: &Self) -> bool;
}

impl Same for Celsius {
    /// Some firmware prints 21.504 for 21.5.
    fn same(&self, other: &Self) -> bool {
        self.as_hundredths().abs_diff(other.as_hundredths()) <= 1
    }
}

impl Same for Hold {
    /// A temporary hold is reported by the same number as following the schedule.
    fn same(&self, other: &Self) -> bool {
        (*self == Self::Permanent) == (*other == Self::Permanent)
    }
}

impl Same for Brightness {
    /// The brightness in use, if one was asked for; else nothing seen may contradict.
    fn same(&self, seen: &Self) -> bool {
        fn free<T: PartialEq>(wish: Option<T>, seen: Option<T>) -> bool {
            wish.is_none() || seen.is_none() || wish == seen
        }
        (self.active.is_none() || self.active == seen.active)
            && free(self.auto, seen.auto)
            && free(self.idle, seen.idle)
            && free(self.active_seconds, seen.active_seconds)
            && free(self.idle_seconds, seen.idle_seconds)
    }
}

macro_rules! same_if_equal {
    ($($name:ty),*) => {
        $(impl Same for $name {
            fn same(&self, other: &Self) -> bool {
                self == other
            }
        })*
    };
}
same_if_equal!(
    bool,
    mysa_proto::AutoSetpoints,
    mysa_proto::Mode,
    mysa_proto::FanSpeed,
    mysa_proto::Swing,
    mysa_proto::TrackedSensor
);

#[cfg(test)]
mod tests {
    use mysa_proto::Mode;

    use super::*;

    fn heat_to(hundredths: i32) -> Change {
        Change { mode: Some(Mode::Heat), ..Change::setpoint(Celsius::from_hundredths(hundredths)) }
    }

    #[test]
    fn fields_seen_to_hold_are_struck_off_one_by_one() {
        let (open, agreement) = compare(&heat_to(2_150), &Change::setpoint(Celsius::from_hundredths(2_151)));
        assert_eq!((open, agreement), (Change::mode(Mode::Heat), Agreement::NotSeen));
        assert_eq!(compare(&open, &heat_to(1)), (Change::default(), Agreement::Agrees));
        assert_eq!(compare(&open, &Change::mode(Mode::Off)).1, Agreement::Differs);
    }

    #[test]
    fn a_newer_wish_takes_only_its_own_fields() {
        let newer = Change::setpoint(Celsius::from_hundredths(2_000));
        assert_eq!(without(&heat_to(2_150), &newer), Change::mode(Mode::Heat));
        assert_eq!(within(&heat_to(2_150), &newer), Change::setpoint(Celsius::from_hundredths(2_150)));
    }
}
