use core::time::Duration;

use mysa_proto::{Changes, Family};

use crate::context::Context;
use crate::devices::{Device, Devices};
use crate::now::earlier;
use crate::{Deadline, Settings, Wake};

impl Devices {
    /// Updates the stale mark of every thermostat.
    pub(crate) fn update_staleness(&mut self, cx: &mut Context) {
        let now = cx.mono();
        for device in self.iter_mut() {
            let stale = device.stale_at(silence_limit(&cx.settings, device, now)) <= now;
            if stale != device.stale {
                device.stale = stale;
                device.notify(cx, Changes::default(), true);
            }
        }
    }

    /// Returns the time at which the stale mark of a thermostat changes.
    pub(crate) fn staleness_due(&self, cx: &Context) -> Option<Deadline> {
        let now = cx.mono();
        let mut due = None;
        for device in self.iter() {
            let limit = silence_limit(&cx.settings, device, now);
            if !device.stale {
                due = earlier(due, Some(Deadline::new(device.stale_at(limit), Wake::Staleness)));
                if device.lease_until > now {
                    due = earlier(due, Some(Deadline::new(device.lease_until, Wake::Staleness)));
                }
            } else if device.last_seen.is_some() && device.stale_at(limit) > now {
                due = earlier(due, Some(Deadline::new(now, Wake::Staleness)));
            }
        }
        due
    }
}

/// Returns the allowed silence of a thermostat. An air conditioner may be silent for minutes even while it reports
/// live.
pub(super) fn silence_limit(settings: &Settings, device: &Device, now: Duration) -> Duration {
    if device.lease_until > now && device.family() != Some(Family::AirConditioner) {
        settings.stale_after
    } else {
        settings.stale_after_quiet
    }
}
