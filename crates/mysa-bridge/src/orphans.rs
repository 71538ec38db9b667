use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::DeviceId;

use crate::accounts::Accounts;
use crate::client::QoS;
use crate::context::Context;
use crate::devices::Devices;
use crate::metering::Metering;
use crate::topics::{OFFLINE, ONLINE, rank};

/// Thermostats that are published and no account has.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    /// Those of an earlier run that no account has, as far as is known, and the time at which each was seen at the broker or
    /// in the stored state.
    seen: BTreeMap<DeviceId, Duration>,
    /// Those that this run has removed.
    removed: BTreeSet<DeviceId>,
}

/// Maximum number of thermostats of other accounts that are noted.
const MAX_ORPHANS: usize = 256;

impl Orphans {
    /// Adds a thermostat that an earlier run has published, by its stored state. The broker may have lost it, but not
    /// its readers.
    pub(crate) fn add(&mut self, cx: &Context, id: DeviceId) {
        let is_own = cx.client.wanted(rank::AVAILABILITY, &cx.topics().availability(id)).is_some();
        if !is_own && self.seen.len() < MAX_ORPHANS {
            self.seen.insert(id, cx.mono());
        }
    }

    /// Handles the availability of a thermostat as the broker has it. Returns `true` if the thermostat is a new orphan.
    pub(crate) fn handle_availability(
        &mut self,
        cx: &mut Context,
        id: DeviceId,
        payload: &[u8],
        is_retained: bool,
    ) -> bool {
        let topic = cx.topics().availability(id);
        if cx.client.wanted(rank::AVAILABILITY, &topic).is_some() {
            cx.defend(rank::AVAILABILITY, &topic, payload);
            if let Some(since) = self.seen.get_mut(&id).filter(|_| payload == ONLINE.as_bytes()) {
                // Another client publishes it.
                *since = cx.mono();
            }
            return false;
        }
        if is_retained && self.removed.contains(&id) {
            // It is from before the removal, or the broker has fallen back to an older store.
            cx.clear(id);
            return false;
        }
        let is_new = !payload.is_empty() && self.seen.len() < MAX_ORPHANS;
        if is_new {
            self.seen.insert(id, cx.mono());
        }
        is_new
    }

    /// Notes that a thermostat has left, and its messages are removed.
    pub(crate) fn note_removed(&mut self, id: DeviceId) {
        // It may have come and gone before the first list, while it was still noted as one of an earlier run.
        self.seen.remove(&id);
        if self.removed.len() < MAX_ORPHANS {
            self.removed.insert(id);
        }
    }

    /// Removes the thermostats again that this run has removed. Home Assistant may have been away when their messages were
    /// removed, and the broker does not keep a removal for it: it would show them for ever.
    pub(crate) fn remove_again(&self, cx: &mut Context, devices: &Devices) {
        for &id in self.removed.iter().filter(|id| !devices.contains(**id)) {
            cx.clear_again(id);
        }
    }

    /// Publishes that the thermostats that no account has are offline, and removes those that no account has had for
    /// [`Settings::forget_after`](crate::Settings::forget_after).
    pub(crate) fn step(
        &mut self,
        cx: &mut Context,
        accounts: &Accounts,
        devices: &Devices,
        mut metering: Option<&mut Metering>,
    ) {
        if !accounts.is_settled() {
            return;
        }
        self.seen.retain(|id, _| !devices.contains(*id));
        self.removed.retain(|id| !devices.contains(*id));
        for &id in self.seen.keys() {
            let topic = cx.topics().availability(id);
            cx.client.retain(rank::AVAILABILITY, topic, OFFLINE.into(), QoS::AtLeastOnce);
        }
        if !accounts.is_complete() {
            return;
        }
        let due_since = |since: &Duration| since.saturating_add(cx.settings.forget_after) <= cx.mono();
        let due = self.seen.iter().filter(|(_, since)| due_since(since)).map(|(&id, _)| id);
        for id in due.collect::<Vec<_>>() {
            self.note_removed(id);
            cx.clear(id);
            if let Some(metering) = metering.as_deref_mut() {
                metering.note_clearing(id);
            }
        }
    }

    /// Time of the next call of [`Orphans::step`].
    pub(crate) fn due(&self, cx: &Context, accounts: &Accounts) -> Option<Duration> {
        let oldest = accounts.is_complete().then(|| self.seen.values().min()).flatten()?;
        Some(oldest.saturating_add(cx.settings.forget_after))
    }
}
