use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::DeviceId;

use crate::accounts::Accounts;
use crate::client::QoS;
use crate::context::Context;
use crate::devices::Devices;
use crate::metering::Metering;
use crate::topics::{OFFLINE, ONLINE, rank};

/// Thermostats that an earlier run has published and no account has, as far as is known, and the time at which each was
/// seen at the broker or in the stored state.
#[derive(Debug, Default)]
pub(crate) struct Orphans(BTreeMap<DeviceId, Duration>);

/// Maximum number of thermostats of other accounts that are noted.
const MAX_ORPHANS: usize = 256;

impl Orphans {
    /// Adds a thermostat that an earlier run has published, by its stored state. The broker may have lost it, but not
    /// its readers.
    pub(crate) fn add(&mut self, cx: &Context, id: DeviceId) {
        let is_own = cx.client.wanted(rank::AVAILABILITY, &cx.topics().availability(id)).is_some();
        if !is_own && self.0.len() < MAX_ORPHANS {
            self.0.insert(id, cx.mono());
        }
    }

    /// Handles the availability of a thermostat as the broker has it. Returns `true` if the thermostat is a new orphan.
    pub(crate) fn handle_availability(&mut self, cx: &mut Context, id: DeviceId, payload: &[u8]) -> bool {
        let topic = cx.topics().availability(id);
        if cx.client.wanted(rank::AVAILABILITY, &topic).is_some() {
            cx.defend(rank::AVAILABILITY, &topic, payload);
            if let Some(since) = self.0.get_mut(&id).filter(|_| payload == ONLINE.as_bytes()) {
                // Another client publishes it.
                *since = cx.mono();
            }
            return false;
        }
        let is_new = !payload.is_empty() && self.0.len() < MAX_ORPHANS;
        if is_new {
            self.0.insert(id, cx.mono());
        }
        is_new
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
        self.0.retain(|id, _| !devices.contains(*id));
        for &id in self.0.keys() {
            let topic = cx.topics().availability(id);
            cx.client.retain(rank::AVAILABILITY, topic, OFFLINE.into(), QoS::AtLeastOnce);
        }
        if !accounts.is_complete() {
            return;
        }
        let due_since = |since: &Duration| since.saturating_add(cx.settings.forget_after) <= cx.mono();
        let due = self.0.iter().filter(|(_, since)| due_since(since)).map(|(&id, _)| id);
        for id in due.collect::<Vec<_>>() {
            self.0.remove(&id);
            cx.clear(id);
            if let Some(metering) = metering.as_deref_mut() {
                metering.note_removed(id, cx.mono());
            }
        }
    }

    /// Time of the next call of [`Orphans::step`].
    pub(crate) fn due(&self, cx: &Context, accounts: &Accounts) -> Option<Duration> {
        let oldest = accounts.is_complete().then(|| self.0.values().min()).flatten()?;
        Some(oldest.saturating_add(cx.settings.forget_after))
    }
}
