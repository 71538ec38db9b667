use core::fmt;

/// Account of a bridge, by its place in the order of the accounts. [`Settings::accounts`](crate::Settings::accounts) is
/// their number.
///
/// `Display` is `account 1` for the first one. No address of an account reaches the broker.
///
/// ```
/// use mysa_bridge::AccountIndex;
///
/// assert_eq!(AccountIndex::new(1).to_string(), "account 2");
/// assert_eq!(AccountIndex::FIRST.index(), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountIndex(usize);

impl AccountIndex {
    /// The first account, and the only one of most bridges.
    pub const FIRST: Self = Self(0);

    /// Account at a place, from 0. A bridge ignores what concerns an account that it does not have.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Place, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }

    /// Number for people and for the broker, from 1.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0.saturating_add(1)
    }
}

impl fmt::Display for AccountIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account {}", self.number())
    }
}
