use crate::StateField;

/// Set of [`StateField`]s. There are fewer than 32 fields.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub(crate) struct FieldSet(u32);

impl FieldSet {
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn contains(self, field: StateField) -> bool {
        self.0 & Self::bit(field) != 0
    }

    /// True if the sets have a field in common.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn insert(&mut self, field: StateField) {
        self.0 |= Self::bit(field);
    }

    pub(crate) const fn remove(&mut self, field: StateField) {
        self.0 &= !Self::bit(field);
    }

    const fn bit(field: StateField) -> u32 {
        1 << field as u32
    }
}
