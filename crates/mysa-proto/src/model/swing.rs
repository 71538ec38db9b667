use core::fmt;

/// Direction of an air conditioner's louvres, as `ss` (vertical) and `ssh` (horizontal) number it.
///
/// 3 is automatic and 4 to 9 are positions, from the top down or from the left to the right. (Mysa_HA on its own unit,
/// mysa_client; one other document counts differently.) The structured service adds 1 off, 2 on and 10 position 7.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Swing(u8);

impl Swing {
    /// 3: the louvres sweep.
    pub const AUTO: Self = Self(3);

    /// A fixed position from 1 (top or left) to 6 (bottom or right). `None` for any other.
    #[must_use]
    pub const fn position(position: u8) -> Option<Self> {
        match position {
            1..=6 => Some(Self(position + 3)),
            _ => None,
        }
    }

    /// Takes a number as it is on the wire.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Whether the number is one that can be commanded without knowing the unit: 1 to 10. 0 is invalid, 11 toggles
    /// (so that sending it twice undoes it), 12 means not applicable.
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
    use super::*;

    #[test]
    fn positions_count_from_four() {
        assert_eq!(Swing::position(1).map(Swing::code), Some(4));
        assert_eq!(Swing::position(6).and_then(Swing::name), Some("position_6"));
        assert_eq!((Swing::position(0), Swing::position(7)), (None, None));
    }
}
