//! What must hold after every step.

use std::time::Duration;

use mysa_mqtt_codec::{Inbound, decode};
use mysa_proto::{DeviceId, Field, Mode, Source, Topic, UnixTime};
use mysa_session::{CommandId, Event, Verdict};
use sha2::Digest as _;

use crate::World;
use crate::observer::ObservedCommand;
use crate::violation::Violation;
use crate::world::Given;

/// Time a verdict may come after its deadline.
const VERDICT_SLACK: Duration = Duration::from_secs(2);
/// How often the costlier invariants are looked at.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Time by which staleness may be told too late.
const STALENESS_SLACK: Duration = Duration::from_secs(120);
/// How often everything is printed to look for secrets.
const PRINT_EVERY: Duration = Duration::from_secs(3_600);

impl World {
    /// A command on the wire must be what the newest wish for each of its fields asks for.
    pub(crate) fn check_command(&mut self, command: &ObservedCommand) -> Result<(), Violation> {
        self.note(format_args!(
            "told {} {:?}{}",
            command.device,
            command.fields,
            if command.again { " again" } else { "" }
        ));
        if command.again {
            // The same bytes as before; the observer has seen to it that no newer ones were sent meanwhile.
            return Ok(());
        }
        for (field, value) in &command.fields {
            let wanted = self.wishes.get(&(command.device, *field));
            if wanted != Some(value) {
                return Err(Violation::Unwanted {
                    device: command.device,
                    field,
                    told: value.clone(),
                    wanted: wanted.cloned(),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn event(&mut self, event: Event) -> Result<(), Violation> {
        match &event {
            Event::Verdict { id, device, verdict } => {
                self.digest.update(format!("{id}{verdict:?}"));
                self.note(format_args!("verdict on {id} for {device}: {verdict}"));
                let Some(given) = self.open.remove(id) else {
                    let known = self.verdicts.iter().any(|(_, of, _)| of == id);
                    let what = format!("{id}: {verdict}");
                    return Err(if known {
                        Violation::SecondVerdict(what)
                    } else {
                        Violation::ForeignVerdict(what)
                    });
                };
                if self.now > given.at + given.deadline + VERDICT_SLACK && !self.was_asleep_since(given.at) {
                    return Err(Violation::NoVerdict(format!("{id} came late: {verdict}")));
                }
                self.check_confirmation(*id, &given, verdict)?;
                self.verdicts.push((self.now, *id, verdict.clone()));
            }
            Event::Device { device, .. } => self.check_times(*device)?,
            // Its state is gone with it.
            Event::DeviceRemoved { device } => self.field_times.retain(|(of, ..), _| of != device),
            Event::Service(service) => self.note(format_args!("service: {service}")),
            _ => {}
        }
        if self.keep_events {
            self.events.push((self.now, event));
        }
        Ok(())
    }

    /// What was confirmed must be true, unless somebody changed it since, or the thermostat lies.
    fn check_confirmation(
        &mut self,
        id: CommandId,
        given: &Given,
        verdict: &Verdict,
    ) -> Result<(), Violation> {
        if !verdict.is_confirmed() || self.thermostats_lie {
            return Ok(());
        }
        let newer = self.open.values().any(|other| other.device == given.device);
        let pressed = self.pressed.get(&given.device).is_some_and(|at| *at >= given.at);
        let Some(truth) = self.cloud.truth(given.device) else { return Ok(()) };
        if newer || pressed {
            return Ok(());
        }
        let setpoint_holds = given.change.setpoint.is_none_or(|wish| {
            // The model's own step may have moved it.
            truth.setpoint.as_hundredths().abs_diff(wish.as_hundredths()) <= 50
        });
        let mode_holds = given.change.mode.is_none_or(|wish| truth.mode == own_mode(wish));
        if setpoint_holds && mode_holds {
            return Ok(());
        }
        Err(Violation::FalseConfirmation {
            device: given.device,
            wish: format!("{id}: {}", given.change),
            truth: format!("{:?} at {}", truth.mode, truth.setpoint),
        })
    }

    /// No field's time goes back within its source.
    fn check_times(&mut self, device: DeviceId) -> Result<(), Violation> {
        let Some(state) = self.session.state(device) else { return Ok(()) };
        fn stamp<T>(field: Option<Field<T>>) -> Option<(Source, UnixTime)> {
            field.and_then(|field| Some((field.source, field.at?)))
        }
        for (field, known) in [
            ("temperature", stamp(state.temperature())),
            ("setpoint", stamp(state.setpoint())),
            ("mode", stamp(state.mode())),
            ("duty", stamp(state.duty())),
        ] {
            let Some((source, at)) = known else { continue };
            let newest = self.field_times.entry((device, field, source)).or_insert(at);
            if at < *newest {
                return Err(Violation::WentBack { device, field });
            }
            *newest = at;
        }
        Ok(())
    }

    /// Looks into what the cloud sends, to know by itself of whom something was heard.
    pub(crate) fn hear(&mut self, mut bytes: &[u8]) {
        while let Ok(Some(packet)) = decode(&mut bytes, 1 << 20) {
            if let Inbound::Publish(publish) = packet
                && let Some(topic) = Topic::parse(publish.topic.as_bytes())
            {
                self.heard.insert(topic.device, self.now);
            }
        }
    }

    /// After every step.
    pub(crate) fn check(&mut self) -> Result<(), Violation> {
        if self.now < self.checked_at + CHECK_EVERY {
            return Ok(());
        }
        self.checked_at = self.now;
        if let Some((id, given)) = self.open.iter().find(|(_, given)| {
            self.now > given.at + given.deadline + VERDICT_SLACK && !self.was_asleep_since(given.at)
        }) {
            return Err(Violation::NoVerdict(format!("{id} for {}: {}", given.device, given.change)));
        }
        if self.net.len() > 20_000 {
            return Err(Violation::Unbounded { place: "network", size: self.net.len() });
        }
        self.check_staleness()?;
        if self.now >= self.printed_at + PRINT_EVERY {
            self.printed_at = self.now;
            let printed = format!("{:?}", self.session);
            if printed.len() > 4 << 20 {
                return Err(Violation::Unbounded { place: "the session", size: printed.len() });
            }
            if self.secrets.iter().any(|secret| !secret.is_empty() && printed.contains(secret.as_str())) {
                return Err(Violation::SecretPrinted { place: "the session" });
            }
        }
        Ok(())
    }

    /// A thermostat is shown as live only while something was heard: from it, or of it by REST.
    fn check_staleness(&self) -> Result<(), Violation> {
        let limit = self.settings.stale_after_quiet + STALENESS_SLACK;
        for device in self.session.devices().filter(|device| !device.is_stale()) {
            let id = device.id();
            let heard = self.heard.get(&id).copied().unwrap_or_default();
            let silent = self.now - heard.max(self.answered_at).max(self.awake_since());
            if silent > limit {
                return Err(Violation::FalselyLive { device: id, silent });
            }
        }
        Ok(())
    }

    /// Forgets what an application asked for before: another one runs now.
    pub(crate) fn forget_wishes(&mut self) {
        self.open.clear();
        self.wishes.clear();
        // What it knew it has to learn anew, be it from an older source.
        self.field_times.clear();
    }
}

/// The simulated cloud has its own word for each mode.
pub(crate) fn own_mode(mode: Mode) -> mysa_sim::Mode {
    match mode {
        Mode::Off => mysa_sim::Mode::Off,
        Mode::Cool => mysa_sim::Mode::Cool,
        Mode::Auto => mysa_sim::Mode::Auto,
        Mode::FanOnly => mysa_sim::Mode::FanOnly,
        Mode::Dry => mysa_sim::Mode::Dry,
        _ => mysa_sim::Mode::Heat,
    }
}
