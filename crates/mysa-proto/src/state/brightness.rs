use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::Brightness;
use crate::state::packed::Pack as _;
use crate::state::provenance::Provenance;

/// Values of the brightness with an idle part that a later one without has replaced: the latest of each clock.
///
/// An acknowledgement may contain the active brightness alone. The other parts are then those of an earlier report, which
/// the acknowledgement does not contradict. Most thermostats never need this.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplacedBrightness(Option<Box<Entries>>);

#[derive(Clone, Debug, Default)]
struct Entries(Vec<(Provenance, Brightness)>);

impl ReplacedBrightness {
    /// Adds a value with an idle part, unless its clock has a later one.
    pub(super) fn insert(&mut self, provenance: Provenance, value: Brightness) {
        let Entries(list) = &mut **self.0.get_or_insert_default();
        match list.iter_mut().find(|(known, _)| known.clock() == provenance.clock()) {
            Some((known, before)) => {
                let order = provenance.cmp_time(known).then_with(|| provenance.cmp_on_clock(known));
                if order.then_with(|| value.pack().cmp(&before.pack())).is_gt() {
                    (*known, *before) = (provenance, value);
                }
            }
            None => {
                list.reserve_exact(1);
                list.push((provenance, value));
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Provenance, Brightness)> {
        self.0.iter().flat_map(|entries| entries.0.iter().copied())
    }
}

/// Adds to a report the parts that it does not have, from an earlier one.
pub(super) fn complete(latest: Brightness, known: Brightness) -> Brightness {
    Brightness {
        auto: latest.auto.or(known.auto),
        active: latest.active.or(known.active),
        idle: latest.idle.or(known.idle),
        active_seconds: latest.active_seconds.or(known.active_seconds),
        idle_seconds: latest.idle_seconds.or(known.idle_seconds),
    }
}
