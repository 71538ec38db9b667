//! `mysa set` and `mysa mode`.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use mysa_proto::rest::{self, DeviceList};
use mysa_proto::{
    AcCapabilities, Brightness, Celsius, Channel, Command, EnvelopeForm, EnvelopeMeta, FanSpeed, Hold,
    Limits, Mode, StructuredUpdate, Swing, TrackedSensor,
};
use mysa_tokio::{Change, DeviceView, Expired, Level, Refused, Verdict};

use crate::args::{Change as Wanted, Sending, Sensor};
use crate::output::record::{Record, printable};
use crate::output::temperature::{self, Wanted as WantedTemperature};
use crate::output::terminal::Terminal;
use crate::output::timefmt;
use crate::output::view::Link;
use crate::support::cloud::{Cloud, Context};
use crate::support::config::Unit;
use crate::support::exit::{Exit, Failure, Result};

pub(crate) async fn run(
    terminal: &Terminal,
    context: &Context,
    device: &str,
    wanted: &Wanted,
    sending: &Sending,
) -> Result<()> {
    let wait = timefmt::seconds(sending.wait, "--wait")?;
    // What can be refused without the cloud is refused before anything is asked of it.
    let typed = typed(wanted, context.config.unit)?;
    let cloud = context.connect(terminal, context.settings()).await?;
    cloud.one(device)?;
    cloud.known(wait.min(Duration::from_secs(10))).await;
    let view = cloud.one(device)?;
    let change = resolve(&typed, &view)?;
    let steps = steps(&view, &change, context.config.unit);
    if !terminal.json {
        terminal.line(format!("{} ({})", view.label(), view.model))?;
        for step in &steps {
            terminal.line(format!("  {}: {} → {}", step.name, step.before, step.after))?;
        }
    }
    if sending.dry_run {
        let shown = dry_run(terminal, context, &cloud, &view, change).await;
        cloud.close(terminal).await;
        return shown;
    }
    terminal.progress("waiting for the thermostat");
    // An answer can only be heard once the thermostat is listened to. Where that cannot be had, the command goes out all
    // the same, with the time that is left.
    let until = Instant::now() + wait;
    cloud.live((wait / 2).min(Duration::from_secs(10))).await;
    let within = if sending.no_wait { NO_WAIT } else { until.saturating_duration_since(Instant::now()) };
    let verdict = send(&cloud, &view, change, within).await;
    terminal.progress("");
    let latest = cloud.client.state(&view.id).unwrap_or_else(|| view.clone());
    let level = cloud.client.service().level;
    cloud.close(terminal).await;
    tell(terminal, &latest, &change, &verdict?, level, sending.no_wait)
}

/// Long enough for the broker to take a command, too short for a thermostat that is slow.
const NO_WAIT: Duration = Duration::from_millis(1_500);

async fn send(cloud: &Cloud, view: &DeviceView, change: Change, within: Duration) -> Result<Verdict> {
    let unfinished = Unfinished(view.label());
    let verdict = cloud.client.command(&view.id, change).deadline(within).await;
    unfinished.finished();
    verdict.map_err(|error| (Exit::Failed, error).into())
}

/// Warns if the wait for a verdict is broken off: the command may have its effect all the same.
struct Unfinished(String);

impl Unfinished {
    fn finished(mut self) {
        self.0.clear();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let name = printable(&self.0);
            let _ = writeln!(
                io::stderr(),
                "\nmysa: broken off before a verdict: the command may take effect on {name}"
            );
        }
    }
}

/// What was typed, before the thermostat is known.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Typed {
    temperature: Option<WantedTemperature>,
    change: Change,
}

fn typed(wanted: &Wanted, unit: Unit) -> Result<Typed> {
    let temperature = wanted.temp.as_deref().map(|text| temperature::parse(text, unit)).transpose()?;
    let change = Change {
        mode: wanted.mode.as_deref().map(mode).transpose()?,
        hold: wanted.hold.map(|hold| if hold.is_on() { Hold::Permanent } else { Hold::FollowSchedule }),
        lock: wanted.lock.map(|lock| lock.is_on()),
        brightness: wanted
            .brightness
            .map(|active| Brightness { active: Some(active), ..Brightness::default() }),
        proximity: wanted.proximity.map(|proximity| proximity.is_on()),
        fan: wanted.fan.as_deref().map(fan).transpose()?,
        swing_vertical: wanted.swing.as_deref().map(swing).transpose()?,
        swing_horizontal: wanted.swing_horizontal.as_deref().map(swing).transpose()?,
        climate_plus: wanted.climate_plus.map(|climate| climate.is_on()),
        tracked_sensor: wanted.sensor.map(|sensor| match sensor {
            Sensor::Floor => TrackedSensor::Floor,
            Sensor::Room => TrackedSensor::Ambient,
        }),
        ..Change::default()
    };
    Ok(Typed { temperature, change })
}

/// The name of a mode; `fan` means fan only.
pub(crate) fn mode(text: &str) -> Result<Mode> {
    let text = if text.eq_ignore_ascii_case("fan") { "fan_only" } else { text };
    text.parse().map_err(|_| {
        Failure::usage(format!(
            "'{text}' is no mode; there are off and heat, and for air conditioners auto, cool, dry and fan"
        ))
    })
}

fn fan(text: &str) -> Result<FanSpeed> {
    let by_number = text.parse().ok().map(FanSpeed::from_code).filter(|speed| speed.is_witnessed());
    let named =
        || (1..=12).map(FanSpeed::from_code).find(|speed| speed.name() == Some(&*text.to_ascii_lowercase()));
    by_number.or_else(named).ok_or_else(|| {
        let names: Vec<&str> =
            [1, 2, 4, 6, 8].iter().filter_map(|&code| FanSpeed::from_code(code).name()).collect();
        Failure::usage(format!("'{text}' is no fan speed; there are {}, and 1 to 12", names.join(", ")))
    })
}

fn swing(text: &str) -> Result<Swing> {
    let number: Option<u8> = text.parse().ok();
    number.map(Swing::from_code).filter(|swing| swing.is_witnessed()).ok_or_else(|| {
        Failure::usage(format!(
            "'{text}' is no swing; give the number the air conditioner has for it, such as 1"
        ))
    })
}

/// Steps become values, from where the thermostat stands.
fn resolve(typed: &Typed, view: &DeviceView) -> Result<Change> {
    let setpoint = match typed.temperature {
        None => None,
        Some(WantedTemperature::To(celsius)) => Some(celsius),
        Some(WantedTemperature::By(hundredths)) => {
            let present = view.state.setpoint().ok_or_else(|| {
                Failure::new(
                    Exit::DeviceSilent,
                    format!("the setpoint of {} is not known, so it cannot be moved by a step", view.label()),
                )
            })?;
            let by = Celsius::from_hundredths(hundredths);
            let moved = Change::setpoint_moved(present.value, by);
            moved.ok_or_else(|| Failure::usage("the step leads nowhere"))?.setpoint
        }
    };
    Ok(Change { setpoint, ..typed.change })
}

struct Step {
    name: &'static str,
    before: String,
    after: String,
}

/// Before and after, for every field that is asked for.
fn steps(view: &DeviceView, change: &Change, unit: Unit) -> Vec<Step> {
    let state = &view.state;
    let mut steps = Vec::new();
    let mut step = |name, before: Option<String>, after: Option<String>| {
        if let Some(after) = after {
            steps.push(Step { name, before: before.unwrap_or_else(|| "unknown".into()), after });
        }
    };
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let degrees = |celsius| temperature::show(celsius, unit);
    step("setpoint", state.setpoint().map(|field| degrees(field.value)), change.setpoint.map(degrees));
    step("mode", state.mode().map(|field| field.value.to_string()), change.mode.map(|mode| mode.to_string()));
    step("hold", state.hold().map(|field| field.value.to_string()), change.hold.map(|hold| hold.to_string()));
    step("lock", state.lock().map(|field| on(field.value)), change.lock.map(on));
    step(
        "brightness",
        state.brightness().and_then(|field| field.value.active).map(|active| format!("{active} %")),
        change.brightness.and_then(|brightness| brightness.active).map(|active| format!("{active} %")),
    );
    step("proximity", state.proximity().map(|field| on(field.value)), change.proximity.map(on));
    step("fan", state.fan().map(|field| field.value.to_string()), change.fan.map(|fan| fan.to_string()));
    step(
        "vertical swing",
        state.swing_vertical().map(|field| field.value.to_string()),
        change.swing_vertical.map(|swing| swing.to_string()),
    );
    step(
        "horizontal swing",
        state.swing_horizontal().map(|field| field.value.to_string()),
        change.swing_horizontal.map(|swing| swing.to_string()),
    );
    step("Climate+", state.climate_plus().map(|field| on(field.value)), change.climate_plus.map(on));
    step(
        "sensor",
        state.tracked_sensor().map(|field| field.value.to_string()),
        change.tracked_sensor.map(|sensor| sensor.to_string()),
    );
    steps
}

/// Shows the payload, after every check that would be made of the real one.
async fn dry_run(
    terminal: &Terminal,
    context: &Context,
    cloud: &Cloud,
    view: &DeviceView,
    change: Change,
) -> Result<()> {
    // The limits of the account's record: the user's range, and what an air conditioner offers.
    let record = match cloud.client.request(rest::devices()).await {
        Ok(response) => DeviceList::decode(&response.body)
            .ok()
            .and_then(|list| list.devices.into_values().find(|record| record.id == view.id)),
        Err(_) => None,
    };
    let ac: Option<AcCapabilities> = record.as_ref().and_then(|record| record.ac_capabilities.clone());
    let limits = Limits {
        min_setpoint: record.as_ref().and_then(|record| record.min_setpoint),
        max_setpoint: record.as_ref().and_then(|record| record.max_setpoint),
        ac: ac.as_ref(),
        mode: view.state.mode().map(|field| field.value),
        tracked_sensor: view.state.tracked_sensor().map(|field| field.value),
        ..Limits::default()
    };
    let mut payload = Vec::new();
    let refused =
        |refusal: mysa_proto::InvalidCommand| Failure::new(Exit::Refused, format!("refused: {refusal}"));
    let by_mqtt = view.model.family().is_none_or(|family| family.is_reached_by(Channel::Mqtt));
    let to = if by_mqtt {
        let table = context.config.mode_table.table();
        let now = timefmt::now();
        let command = Command::new(view.id, &view.model, &limits, &table, change, now).map_err(refused)?;
        let id = u64::try_from(now.as_millis()).unwrap_or_default();
        command.encode(
            &EnvelopeMeta { id, time: now, app_ref: "USER-ID", form: EnvelopeForm::Observed },
            &mut payload,
        );
        format!("/v1/dev/{}/in", view.id)
    } else {
        StructuredUpdate::new(&view.model, &limits, change).map_err(refused)?.encode(&mut payload);
        format!("POST /state/{}/update", view.id)
    };
    let payload = String::from_utf8_lossy(&payload);
    if terminal.json {
        let mut document = document(view, &change);
        document.put("dry_run", true).put("to", to).put("payload", payload.as_ref());
        return terminal.line(document.to_json());
    }
    terminal.line(format!("  would be sent to {to}:\n  {payload}"))?;
    terminal.say("nothing was sent");
    Ok(())
}

fn document(view: &DeviceView, change: &Change) -> Record {
    let mut document = Record::document();
    document
        .put("id", view.id.as_str())
        .put("name", view.name.as_deref())
        .put("requested", requested(change));
    document
}

fn requested(change: &Change) -> Record {
    let mut record = Record::new();
    record.put_some("setpoint_c", change.setpoint.map(Celsius::as_degrees));
    record.put_some("mode", change.mode.map(|mode| mode.to_string()));
    record.put_some("hold", change.hold.map(|hold| hold.to_string()));
    record.put_some("locked", change.lock);
    record.put_some("brightness_active_pct", change.brightness.and_then(|brightness| brightness.active));
    record.put_some("proximity", change.proximity);
    record.put_some("fan", change.fan.map(|fan| fan.to_string()));
    record.put_some("vertical_swing", change.swing_vertical.map(|swing| swing.to_string()));
    record.put_some("horizontal_swing", change.swing_horizontal.map(|swing| swing.to_string()));
    record.put_some("climate_plus", change.climate_plus);
    record.put_some("tracked_sensor", change.tracked_sensor.map(|sensor| sensor.to_string()));
    record
}

/// Says how it went, in words and in the exit code.
fn tell(
    terminal: &Terminal,
    view: &DeviceView,
    change: &Change,
    verdict: &Verdict,
    level: Level,
    no_wait: bool,
) -> Result<()> {
    let sent = no_wait && matches!(verdict, Verdict::Unconfirmed { .. });
    let said = if sent { "sent; its effect was not waited for".to_owned() } else { verdict.to_string() };
    if terminal.json {
        let mut document = document(view, change);
        document.put("verdict", if sent { "sent" } else { name(verdict) }).put("said", said.as_str());
        if let Verdict::Confirmed { after, .. } | Verdict::Unconfirmed { after, .. } = verdict {
            document.put("after_s", (after.as_secs_f64() * 1_000.0).round() / 1_000.0);
        }
        if let Verdict::Unconfirmed { seen, .. } = verdict {
            document.put("seen", requested(seen));
        }
        document.put("link", Link::of(view).name());
        terminal.line(document.to_json())?;
    } else {
        terminal.line(format!("  {said}"))?;
    }
    if sent {
        return Ok(());
    }
    let Some(exit) = exit(verdict, Link::of(view), level) else { return Ok(()) };
    let link = match (exit, Link::of(view)) {
        (Exit::DeviceSilent, link) => format!("; {} is {}", view.label(), link.name()),
        (Exit::Unconfirmed, _) => "; look at it with `mysa status`".into(),
        _ => String::new(),
    };
    Err(Failure::new(exit, format!("{said}{link}")))
}

/// The exit code of a verdict; `None` if all is well.
fn exit(verdict: &Verdict, link: Link, level: Level) -> Option<Exit> {
    Some(match verdict {
        Verdict::Confirmed { .. } => return None,
        Verdict::Unconfirmed { .. } if link != Link::Live => Exit::DeviceSilent,
        Verdict::Unconfirmed { .. } | Verdict::Superseded { .. } => Exit::Unconfirmed,
        Verdict::Refused(Refused::UnknownDevice) => Exit::Usage,
        Verdict::Refused(_) => Exit::Refused,
        Verdict::Expired(Expired::Deadline) if level == Level::SignInNeeded => Exit::SignIn,
        Verdict::Expired(Expired::Deadline) if level > Level::ReadOnly => Exit::Unreachable,
        Verdict::Expired(_) => Exit::TimedOut,
    })
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Confirmed { .. } => "confirmed",
        Verdict::Unconfirmed { .. } => "unconfirmed",
        Verdict::Refused(_) => "refused",
        Verdict::Superseded { .. } => "superseded",
        Verdict::Expired(_) => "expired",
    }
}

#[cfg(test)]
mod tests {
    use mysa_tokio::{DeliveryStage, Evidence};

    use super::*;

    #[test]
    fn every_verdict_has_its_exit_code() {
        let after = Duration::from_secs(1);
        let confirmed = Verdict::Confirmed { by: Evidence::Ack, after };
        let unconfirmed = Verdict::Unconfirmed {
            reached: DeliveryStage::Service(Channel::Mqtt),
            seen: Change::default(),
            after,
        };
        let expired = Verdict::Expired(Expired::Deadline);
        for (verdict, link, level, code) in [
            (&confirmed, Link::Offline, Level::Live, None),
            (&unconfirmed, Link::Live, Level::Live, Some(Exit::Unconfirmed)),
            (&unconfirmed, Link::Offline, Level::Live, Some(Exit::DeviceSilent)),
            (&unconfirmed, Link::Silent, Level::Live, Some(Exit::DeviceSilent)),
            (&Verdict::Refused(Refused::Device), Link::Live, Level::Live, Some(Exit::Refused)),
            (&Verdict::Refused(Refused::NotPermitted), Link::Live, Level::ReadOnly, Some(Exit::Refused)),
            (&expired, Link::Live, Level::Live, Some(Exit::TimedOut)),
            (&expired, Link::Live, Level::RestOnly, Some(Exit::Unreachable)),
            (&expired, Link::Live, Level::Offline, Some(Exit::Unreachable)),
            (&expired, Link::Live, Level::SignInNeeded, Some(Exit::SignIn)),
        ] {
            assert_eq!(exit(verdict, link, level), code, "{verdict}, {}, {level}", link.name());
        }
    }

    #[test]
    fn names_and_numbers_of_modes_and_fans_are_read() {
        assert_eq!(mode("FAN").ok(), Some(Mode::FanOnly));
        assert_eq!(fan("high").ok(), Some(FanSpeed::from_code(6)));
        assert_eq!(fan("12").ok(), Some(FanSpeed::from_code(12)));
        for bad in ["hurricane", "0", "13", ""] {
            assert!(fan(bad).is_err() && swing(bad).is_err() && mode(bad).is_err(), "{bad}");
        }
    }
}
