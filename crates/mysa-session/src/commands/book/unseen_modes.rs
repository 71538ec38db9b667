//! Modes that commands without a confirmation may have set, and what they mean for settings that are sent with a mode.

use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Change, DeviceId, Limits, Mode};

use super::CommandBook;
use crate::commands::open_command::OpenCommand;
use crate::devices::Device;

/// Time after the end of a command by which its mode has taken effect or never will. A request may be carried out late, and a
/// report may have been made before that.
const MODE_SETTLES: Duration = Duration::from_secs(30);
/// Time after the end of a command after which the mode in the state counts again, even if only the cloud shows it.
const MODE_UNSEEN_FOR: Duration = Duration::from_secs(60 * 60);

/// Mode that a command may have set although its verdict does not say so.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnseenMode {
    pub(super) device: DeviceId,
    /// `None` if several commands may have set different modes.
    mode: Option<Mode>,
    /// Time of the verdict, or of the newer command that took the mode over.
    ended: Duration,
}

impl CommandBook {
    /// Returns `true` if a thermostat may have another mode than its state shows: a command that is not confirmed may have set it,
    /// and the thermostat has reported none since.
    fn is_mode_unseen(&self, device: &Device, now: Duration) -> bool {
        let state = device.state();
        let Some(unseen) = self.unseen_modes.iter().find(|unseen| unseen.device == device.id()) else {
            return false;
        };
        let reported = state.settings(|provenance| {
            provenance.source.is_device()
                && provenance.received.mono >= unseen.ended.saturating_add(MODE_SETTLES)
        });
        now < unseen.ended.saturating_add(MODE_UNSEEN_FOR)
            && reported.mode.is_none()
            && (unseen.mode.is_none() || device.limits().mode != unseen.mode)
    }

    /// Returns the limits for a change by the structured service. `mode` is requested and not yet part of the state.
    ///
    /// The service sets the mode together with a fan speed. The mode from before a command that may have switched the device off
    /// would switch it on again.
    pub(crate) fn structured_limits<'a>(
        &self,
        device: &'a Device,
        change: &Change,
        mode: Option<Mode>,
        now: Duration,
    ) -> Limits<'a> {
        let limits = device.limits();
        let is_unknown = change.fan.is_some() && self.is_mode_unseen(device, now);
        Limits { mode: mode.or(limits.mode.filter(|_| !is_unknown)), ..limits }
    }
}

/// Notes the mode of a sent command that ends without a confirmation.
pub(super) fn note_unseen_mode(modes: &mut Vec<UnseenMode>, command: &OpenCommand, ended: Duration) {
    let Some(mode) = command.change.mode else { return };
    modes.retain(|unseen| unseen.ended.saturating_add(MODE_UNSEEN_FOR) > ended);
    match modes.iter_mut().find(|unseen| unseen.device == command.device) {
        Some(unseen) => {
            unseen.mode = unseen.mode.filter(|earlier| *earlier == mode);
            unseen.ended = ended;
        }
        None => modes.push(UnseenMode { device: command.device, mode: Some(mode), ended }),
    }
}
