use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Changes, Channel, encode_live_report};

use crate::context::Context;
use crate::devices::{Device, Devices};
use crate::mqtt::pool::ConnectionPool;
use crate::mqtt::subscription::TopicFilter;
use crate::now::earlier;
use crate::{Deadline, Settings, Wake};

/// Time over which the requests for live reports on a new connection are spread.
const SPREAD: Duration = Duration::from_secs(2);

impl Devices {
    /// Records a granted subscription, and schedules the request for live reports, whose answers now arrive.
    pub(crate) fn subscription_granted(&mut self, cx: &mut Context, granted: TopicFilter) {
        for device in self.iter_mut() {
            let covered = match granted {
                TopicFilter::Everything => true,
                TopicFilter::Device(id, kind) => id == device.id() && kind == mysa_proto::TopicKind::Out,
            };
            if covered {
                device.grant(cx.mono());
                let spread = cx.entropy.up_to(SPREAD);
                device.lease_at = leases(&cx.settings, device).then(|| cx.after(spread));
                device.notify(cx, Changes::default(), true);
            }
        }
    }

    /// Requests live reports that are due, as the pace of their connection allows.
    pub(crate) fn ask_live_reports(&mut self, cx: &mut Context, mqtt: &mut ConnectionPool) {
        let now = cx.mono();
        if mqtt.permission.is_denied() && mqtt.permission.probe_at().is_none_or(|probe_at| probe_at > now) {
            return;
        }
        // The vendor's app asks for 180 s (mysotherm, mysa_client), mysa-js-sdk for 300 s; longer times are untested.
        let seconds = u32::try_from(cx.settings.live_report.as_secs()).unwrap_or(180).clamp(1, 300);
        for device in self.iter_mut() {
            if device.lease_at.is_none_or(|at| at > now) {
                continue;
            }
            let Some(connection) =
                mqtt.connection_for(device.id()).and_then(|at| mqtt.connections.get_mut(at))
            else {
                continue;
            };
            if !connection.may_send(cx) {
                continue;
            }
            let mut payload = Vec::with_capacity(96);
            if encode_live_report(device.id(), seconds, cx.time(), &mut payload).is_err() {
                continue;
            }
            // If the driver does not keep up, the next step of the connection notices.
            let _ = connection.publish_live_report(cx, device.id(), &payload);
            // Jitter spreads the requests of a home, which all started together.
            let early = cx.entropy.up_to(cx.settings.live_report_renewal / 10);
            device.lease_at = Some(cx.after(cx.settings.live_report_renewal).saturating_sub(early));
            if mqtt.permission.is_denied() {
                // One publish is enough to test whether publishing is possible again.
                mqtt.permission.probed(cx.after(cx.settings.read_only_probe));
                return;
            }
        }
    }

    /// Returns the time of the next request for live reports that can be sent.
    pub(crate) fn lease_due(&self, mqtt: &ConnectionPool) -> Option<Deadline> {
        let denied = mqtt.permission.is_denied();
        let probe_at = mqtt.permission.probe_at();
        let mut due = None;
        for device in self.iter() {
            // The search for a connection is worth its time only for an earlier request.
            let Some(lease_at) = device.lease_at.filter(|at| due.is_none_or(|due: Deadline| *at < due.at))
            else {
                continue;
            };
            let Some(connection) = mqtt.connection_for(device.id()).and_then(|at| mqtt.connections.get(at))
            else {
                continue;
            };
            if !connection.is_ready() {
                continue;
            }
            let at = lease_at.max(connection.next_send);
            let at = if denied { at.max(probe_at.unwrap_or(Duration::MAX)) } else { at };
            due = earlier(due, Some(Deadline::new(at, Wake::Lease)));
        }
        due
    }
}

/// Returns `true` if a thermostat is to be asked for live reports.
fn leases(settings: &Settings, device: &Device) -> bool {
    settings.live_reports && device.family().is_some_and(|family| family.is_reached_by(Channel::Mqtt))
}
