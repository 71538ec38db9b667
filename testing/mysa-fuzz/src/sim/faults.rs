use core::time::Duration;
use std::collections::BTreeSet;

use mysa_sim::{CloseReason, EventKind, FaultId, NamedFault};

use super::{Harness, at};
use crate::script::Script;

/// Entries of the journal since the script asked for it.
#[derive(Debug, Default)]
pub(super) struct Followed {
    is_on: bool,
    /// Connections that it has named as open.
    open: BTreeSet<u64>,
    added: Vec<FaultId>,
    ended: Vec<FaultId>,
    incidents: usize,
}

impl Harness {
    /// Starts any fault that has a name, or plans it.
    pub(super) fn fault(&mut self, script: &mut Script<'_>) {
        let all = NamedFault::all();
        let fault = &all[usize::from(script.byte()) % all.len()];
        let device = script.option(|script| self.device(script).parse().ok()).flatten();
        let delay = script.option(|script| Duration::from_secs(script.byte().into())).unwrap_or_default();
        let lasts = script.option(|script| Duration::from_millis(script.u16().into()));
        let now = at(self.mono);
        self.cloud.handle_timeout(now);
        self.drain();
        // Incidents that were planned for this time are not those of this fault.
        self.asked_for();
        let started = self.cloud.start_named_fault(now, fault.name(), device, delay, lasts);
        // A rule, a fault or an incident changes what the cloud answers, for good if it is a rule or has voided tokens.
        self.is_disturbed |= started.is_ok();
        let (added, incidents) = self.asked_for();
        match started {
            Ok(ids) => {
                assert_eq!(added, if self.followed.is_on { ids.clone() } else { Vec::new() });
                let is_at_once = fault.happens_once() && delay.is_zero();
                assert!(!is_at_once || !self.followed.is_on || incidents > 0, "{} is not told", fault.name());
                let known: BTreeSet<FaultId> = self.fault_ids().collect();
                assert!(lasts == Some(Duration::ZERO) || ids.iter().all(|id| known.contains(id)), "{ids:?}");
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!((added, incidents), (Vec::new(), 0), "{}", fault.name());
            }
        }
    }

    /// Ends all faults, one of them, or one that does not exist.
    pub(super) fn end_fault(&mut self, script: &mut Script<'_>) {
        let now = at(self.mono);
        self.cloud.handle_timeout(now);
        self.drain();
        self.asked_for();
        let ids: Vec<FaultId> = self.fault_ids().collect();
        let ended = match script.byte() {
            0xff => {
                self.cloud.end_faults(now);
                assert_eq!(self.fault_ids().count(), 0);
                ids
            }
            choice => {
                let id = ids.get(usize::from(choice)).copied();
                let ended = self.cloud.end_fault(now, id.unwrap_or_else(|| FaultId::new(u64::MAX)));
                assert_eq!(ended, id.is_some(), "{id:?}");
                id.into_iter().collect()
            }
        };
        self.poll_journal();
        assert_eq!(
            core::mem::take(&mut self.followed.ended),
            if self.followed.is_on { ended } else { Vec::new() }
        );
    }

    fn fault_ids(&self) -> impl Iterator<Item = FaultId> {
        let lasting = self.cloud.faults().map(|(id, _)| id);
        lasting.chain(self.cloud.planned_incidents().map(|(id, ..)| id))
    }

    /// Follows the journal from now on.
    pub(super) fn follow(&mut self) {
        if !self.followed.is_on {
            self.cloud.record_events(true);
            self.followed.is_on = true;
            self.followed.open = self.streams.keys().copied().collect();
        }
    }

    /// Takes the faults and incidents that the journal has named since the last call.
    fn asked_for(&mut self) -> (Vec<FaultId>, usize) {
        self.poll_journal();
        (core::mem::take(&mut self.followed.added), core::mem::take(&mut self.followed.incidents))
    }

    /// Reads the journal. A connection is opened once and ends once.
    pub(super) fn poll_journal(&mut self) {
        let mut last = Duration::ZERO;
        while let Some(event) = self.cloud.poll_event() {
            assert!(self.followed.is_on, "nobody asked for {event}");
            assert!(!event.to_string().is_empty() && event.at.mono >= last, "{event}");
            last = event.at.mono;
            let followed = &mut self.followed;
            match event.kind {
                EventKind::Opened { conn, .. } => assert!(followed.open.insert(conn), "{conn} opened twice"),
                EventKind::Closed { conn, by_broker, reason } => {
                    assert!(followed.open.remove(&conn), "{conn} ended twice");
                    let by_client = matches!(reason, CloseReason::Lost | CloseReason::Disconnect);
                    assert!(by_client || by_broker.is_some(), "{conn} ended by {reason:?}");
                }
                EventKind::FaultAdded { id } => followed.added.push(id),
                EventKind::FaultEnded { id } => followed.ended.push(id),
                EventKind::Incident { .. } => followed.incidents += 1,
                _ => {}
            }
            // An event that was dropped may be the missing one.
            if self.cloud.dropped_events() > 0 {
                self.followed.open = self.streams.keys().copied().collect();
            }
        }
    }
}
