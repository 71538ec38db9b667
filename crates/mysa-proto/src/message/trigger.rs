/// Who made a thermostat change something: `trig_src` of an acknowledgement, `Source` of a setpoint change.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Trigger {
    /// 1: a button of the thermostat. Nobody asked over the network.
    Button,
    /// 3: the app, or a client such as this one.
    App,
    /// A number that no witness names.
    Other(i64),
}

impl Trigger {
    /// Reads the number.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Button,
            3 => Self::App,
            other => Self::Other(other),
        }
    }
}
