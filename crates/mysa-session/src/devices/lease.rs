use alloc::vec::Vec;
use core::time::Duration;

use mysa_proto::{Changes, Channel, Family, encode_live_report};

use crate::devices::Device;
use crate::mqtt::connection::{ConnectionEvent, Publishing};
use crate::mqtt::subscription::TopicFilter;
use crate::now::earlier;
use crate::session::Session;
use crate::{Deadline, Level, Reason, Service, Settings, Wake};

/// Time over which the requests for live reports of a new connection are spread.
const SPREAD: Duration = Duration::from_secs(2);

impl Session {
    /// Passes on what happened on connections.
    pub(crate) fn apply_connection_events(&mut self, events: &[ConnectionEvent]) {
        for one in events {
            match *one {
                ConnectionEvent::Granted(wanted) => self.granted(wanted),
                ConnectionEvent::Denied(TopicFilter::Everything)
                | ConnectionEvent::NoAnswer(TopicFilter::Everything) => {
                    self.want_devices();
                }
                ConnectionEvent::Denied(TopicFilter::Device(id, _))
                | ConnectionEvent::NoAnswer(TopicFilter::Device(id, _)) => {
                    let Self { cx, devices, .. } = self;
                    if let Some(device) = devices.find_mut(id) {
                        device.notify(cx, Changes::default(), true);
                    }
                }
                ConnectionEvent::Acknowledged(Publishing::Command { serial, .. }) => {
                    let (now, after) = (self.cx.mono(), self.cx.settings.command_repeat_after);
                    self.commands.accepted_by_broker(serial, now, after);
                }
                ConnectionEvent::Unanswered(Publishing::Command { serial, .. }) => {
                    self.publish_failed(serial);
                }
                ConnectionEvent::Acknowledged(Publishing::LiveReport { device }) => {
                    let until = self.cx.after(self.cx.settings.live_report);
                    if let Some(device) = self.devices.find_mut(device) {
                        device.lease_until = until;
                    }
                }
                ConnectionEvent::Live
                | ConnectionEvent::ConnectRefused(_)
                | ConnectionEvent::Unanswered(Publishing::LiveReport { .. })
                | ConnectionEvent::Dead => {}
            }
        }
        if self.mqtt.wildcard_refused() && self.cx.settings.subscriptions.wildcard {
            self.cx.settings.subscriptions.wildcard = false;
            self.want_devices();
        }
    }

    /// A subscription holds, so that live reports would be heard.
    fn granted(&mut self, wanted: TopicFilter) {
        let Self { cx, devices, .. } = self;
        for device in devices.iter_mut() {
            let covered = match wanted {
                TopicFilter::Everything => true,
                TopicFilter::Device(id, kind) => id == device.id() && kind == mysa_proto::TopicKind::Out,
            };
            if covered {
                let spread = cx.entropy.up_to(SPREAD);
                device.lease_at = leases(&cx.settings, device).then(|| cx.after(spread));
                device.notify(cx, Changes::default(), true);
            }
        }
    }

    /// Asks thermostats to report live, as the pace of their connection allows.
    pub(crate) fn ask_live_reports(&mut self) {
        let now = self.cx.mono();
        if self.mqtt.permission.is_denied()
            && self.mqtt.permission.probe_at().is_none_or(|probe_at| probe_at > now)
        {
            return;
        }
        let seconds = u32::try_from(self.cx.settings.live_report.as_secs()).unwrap_or(180).clamp(1, 300);
        let Self { cx, mqtt, devices, .. } = self;
        for device in devices.iter_mut() {
            if device.lease_at.is_none_or(|at| at > now) {
                continue;
            }
            let Some(connection) = mqtt.route(device.id()).and_then(|at| mqtt.connections.get_mut(at)) else {
                continue;
            };
            if !connection.may_send(cx) {
                continue;
            }
            let mut payload = Vec::with_capacity(96);
            if encode_live_report(device.id(), seconds, cx.time(), &mut payload).is_err() {
                continue;
            }
            // A driver that does not keep up is found out by the next step of the connection.
            let _ = connection.publish_live_report(cx, device.id(), &payload);
            let early = cx.entropy.up_to(cx.settings.live_report_renewal / 10);
            device.lease_at = Some(cx.after(cx.settings.live_report_renewal).saturating_sub(early));
            if mqtt.permission.is_denied() {
                // One is enough to see whether publishing is possible again.
                mqtt.permission.probed(cx.after(cx.settings.read_only_probe));
                return;
            }
        }
    }

    /// Marks thermostats that have been silent for too long, and those that are not any more.
    pub(crate) fn find_stale(&mut self) {
        let now = self.cx.mono();
        let Self { cx, devices, .. } = self;
        for device in devices.iter_mut() {
            let stale = device.stale_at(patience(&cx.settings, device, now)) <= now;
            if stale != device.stale {
                device.stale = stale;
                device.notify(cx, Changes::default(), true);
            }
        }
    }

    /// Settles the degree of service.
    pub(crate) fn update_service(&mut self) {
        let now = self.cx.mono();
        let (level, reason) = self.level();
        self.lost_at = match level {
            Level::Live | Level::ReadOnly => None,
            _ => self.lost_at.or(Some(now)),
        };
        let graceful = matches!(self.service.level, Level::Live | Level::ReadOnly)
            && matches!(level, Level::RestOnly | Level::Offline)
            && self.lost_at.is_some_and(|lost_at| now < lost_at.saturating_add(self.cx.settings.grace))
            && !self.ended;
        if graceful {
            return;
        }
        let other = level != self.service.level;
        if !other && reason == self.service.reason {
            return;
        }
        // Reasons of a lasting degree may alternate; who was told of the degree need not hear of each. But that it has
        // only just begun is no reason to leave anybody with.
        let telling = other
            || matches!(level, Level::Offline | Level::SignInNeeded)
            || self.service.reason == Reason::Starting;
        let (since, since_wall) =
            if other { (now, self.cx.time()) } else { (self.service.since, self.service.since_wall) };
        let came_back = other && self.service.level == Level::Live || level == Level::RestOnly;
        self.service = Service { level, reason, since, since_wall };
        if telling {
            self.cx.outbox.service();
        }
        if came_back && other && !self.captured {
            self.rest.schedule_states_no_later_than(now);
        }
    }

    fn level(&self) -> (Level, Reason) {
        if self.ended {
            return (Level::Offline, Reason::ShutDown);
        }
        if let Some(reason) = self.sign_in_reason() {
            return (Level::SignInNeeded, reason);
        }
        if self.mqtt.is_live() {
            return if self.cx.settings.read_only {
                (Level::ReadOnly, Reason::ReadOnlyByChoice)
            } else if self.mqtt.permission.is_denied() {
                (Level::ReadOnly, Reason::PublishNotPermitted)
            } else {
                (Level::Live, Reason::Healthy)
            };
        }
        let every = self.cx.settings.poll_rest_only.max(Duration::from_secs(30));
        let fetched = self.rest.read_at.is_some_and(|at| at.saturating_add(every * 3) > self.cx.mono());
        if self.listed && !self.captured && self.devices.len() == 0 && self.rest.trouble().is_none() {
            return (Level::RestOnly, Reason::NoDevices);
        }
        let trouble = self.mqtt.trouble();
        if fetched {
            return (Level::RestOnly, trouble.unwrap_or(Reason::Starting));
        }
        let reason = self.rest.trouble().or(self.identity.trouble()).or(trouble);
        (Level::Offline, reason.unwrap_or(Reason::Starting))
    }

    pub(crate) fn watch_due(&self) -> Option<Deadline> {
        let now = self.cx.mono();
        let denied = self.mqtt.permission.is_denied();
        let probe_at = self.mqtt.permission.probe_at();
        let mut due = None;
        for device in self.devices.iter() {
            if !device.stale {
                let at = device.stale_at(patience(&self.cx.settings, device, now));
                due = earlier(due, Some(Deadline::new(at, Wake::Staleness)));
                if device.lease_until > now {
                    due = earlier(due, Some(Deadline::new(device.lease_until, Wake::Staleness)));
                }
            } else if device
                .heard
                .is_some_and(|at| at.saturating_add(patience(&self.cx.settings, device, now)) > now)
            {
                due = earlier(due, Some(Deadline::new(now, Wake::Staleness)));
            }
            let Some(lease_at) = device.lease_at else { continue };
            let Some(connection) = self.mqtt.route(device.id()).and_then(|at| self.mqtt.connections.get(at))
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
        if let Some(lost_at) = self.lost_at
            && matches!(self.service.level, Level::Live | Level::ReadOnly)
        {
            let at = lost_at.saturating_add(self.cx.settings.grace);
            due = earlier(due, Some(Deadline::new(at, Wake::Service)));
        }
        if self.service.level == Level::RestOnly
            && let Some(read_at) = self.rest.read_at
        {
            let every = self.cx.settings.poll_rest_only.max(Duration::from_secs(30));
            due = earlier(due, Some(Deadline::new(read_at.saturating_add(every * 3), Wake::Service)));
        }
        due
    }
}

/// Whether a thermostat is to be asked to report live.
fn leases(settings: &Settings, device: &Device) -> bool {
    settings.live_reports && device.family().is_some_and(|family| family.is_reached_by(Channel::Mqtt))
}

/// How long a thermostat may be silent. An air conditioner may be for minutes even while it reports live.
fn patience(settings: &Settings, device: &Device, now: Duration) -> Duration {
    if device.lease_until > now && device.family() != Some(Family::AirConditioner) {
        settings.stale_after
    } else {
        settings.stale_after_quiet
    }
}
