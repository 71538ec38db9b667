//! Plan of a change: the requested values, and the values sent to a thermostat for them.

use mysa_proto::{
    Brightness, Celsius, Family, FanSpeed, Hold, InvalidCommand, Limits, Mode, ModeTable, Swing,
    TrackedSensor,
};
use mysa_tokio::{Change, DeviceView, Error, Preview, Refused};

use crate::args::{Change as ChangeArgs, Sensor};
use crate::output::record::{Record, Value};
use crate::output::temperature::{self, Amount};
use crate::output::timefmt;
use crate::output::view;
use crate::support::cloud::Cloud;
use crate::support::config::Unit;
use crate::support::exit::{Exit, Failure, Result};
use crate::support::homes::LocalTime;
use crate::support::moment::Moment;
use crate::support::time_zone::Zone;

/// Parsed options of `mysa set`, before the thermostat is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Request {
    temperature: Option<Amount>,
    change: Change,
    /// End of a hold.
    hold_end: Option<Moment>,
    /// `true` if the fan speed was given by name, and not by number.
    is_fan_named: bool,
    /// Unit of the typed temperature; without one, that of the settings.
    pub(crate) unit: Unit,
}

impl Request {
    pub(crate) fn parse(args: &ChangeArgs, unit: Unit) -> Result<Self> {
        let typed = args.temp.as_deref().map(|text| temperature::parse(text, unit)).transpose()?;
        let (hold, hold_end) = match args.hold.as_deref() {
            None => (None, None),
            Some("on") => (Some(Hold::Permanent), None),
            Some("off") => (Some(Hold::FollowSchedule), None),
            Some(time) => (None, Some(hold_end(time)?)),
        };
        let change = Change {
            mode: args.mode.as_deref().map(mode).transpose()?,
            hold,
            lock: args.lock.map(|lock| lock.is_on()),
            brightness: args
                .brightness
                .map(|active| Brightness { active: Some(active), ..Brightness::default() }),
            proximity: args.proximity.map(|proximity| proximity.is_on()),
            fan: args.fan.as_deref().map(fan).transpose()?,
            swing_vertical: args.swing.as_deref().map(swing).transpose()?,
            swing_horizontal: args.swing_horizontal.as_deref().map(swing).transpose()?,
            climate_plus: args.climate_plus.map(|climate| climate.is_on()),
            tracked_sensor: args.sensor.map(|sensor| match sensor {
                Sensor::Floor => TrackedSensor::Floor,
                Sensor::Room => TrackedSensor::Ambient,
            }),
            ..Change::default()
        };
        Ok(Self {
            temperature: typed.map(|typed| typed.amount),
            change,
            hold_end,
            is_fan_named: args.fan.as_deref().is_some_and(|fan| fan.parse::<u8>().is_err()),
            unit: typed.map_or(unit, |typed| typed.unit),
        })
    }
}

impl Request {
    /// Requested fields. Only their presence matters, not the values.
    pub(crate) fn fields(&self) -> Change {
        let anything = Celsius::from_hundredths(0);
        let hold = self.change.hold.or(self.hold_end.map(|_| Hold::Permanent));
        Change { setpoint: self.temperature.map(|_| anything), hold, ..self.change }
    }

    /// Returns `true` if a hold was requested.
    pub(crate) fn is_hold(&self) -> bool {
        self.fields().hold.is_some()
    }

    /// Requested values that do not depend on the thermostat: all but a relative setpoint and
    /// the end of a hold.
    pub(crate) fn values(&self) -> Change {
        let setpoint = match self.temperature {
            Some(Amount::To(celsius)) => Some(celsius),
            Some(Amount::By(_)) | None => None,
        };
        Change { setpoint, ..self.change }
    }
}

/// Request for one thermostat: its present values, the requested values, and what the session would send for them.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) view: DeviceView,
    pub(crate) unit: Unit,
    /// Time zone of the thermostat, if a hold was requested.
    zone: Option<Zone>,
    /// Present values of the requested fields, as far as they are known.
    pub(crate) before: Change,
    pub(crate) asked: Change,
    /// Change given to the session: equal to `asked`, except that a relative setpoint is already on a step of the
    /// device.
    pub(crate) command: Change,
    /// Values that are sent, with a setpoint on a step of the device; or the reason why the session refuses the change.
    pub(crate) preview: std::result::Result<Preview, Refused>,
}

impl Plan {
    /// Resolves a relative value against the present setpoint and asks the session what it would send.
    ///
    /// # Errors
    /// A requested value cannot be resolved.
    pub(crate) async fn new(
        cloud: &Cloud,
        request: &Request,
        view: DeviceView,
        local: Option<LocalTime>,
    ) -> Result<Self> {
        let asked = asked(request, &view, local.as_ref())?;
        let command = command(request, &view, asked);
        let preview = match cloud.client.preview(&view.id, command).await {
            Ok(preview) => Ok(preview),
            Err(Error::Refused(refused)) => Err(refused),
            Err(error) => return Err((Exit::Failed, error).into()),
        };
        let present = held(&view, &asked);
        let before = match &preview {
            // The session does not read the hold by REST.
            Ok(preview) => Change { hold: present.hold, ..preview.before },
            Err(_) => present,
        };
        if let (Some(Amount::By(_)), Ok(preview), Some(present)) =
            (request.temperature, &preview, view.state.setpoint())
            && preview.change.setpoint == Some(present.value)
        {
            let at = temperature::show_exactly(present.value, request.unit);
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "refused: the setpoint cannot move from {at} in this direction; it holds setpoint {at}"
                ),
            ));
        }
        let zone = local.map(|local| local.zone);
        Ok(Self { before, view, unit: request.unit, zone, asked, command, preview })
    }

    /// Form of its values.
    pub(crate) fn style(&self) -> Style<'_> {
        Style { unit: self.unit, zone: self.zone.as_ref() }
    }

    pub(crate) fn label(&self) -> String {
        view::label(&self.view)
    }

    /// Values that the session would send; `None` if it refuses.
    pub(crate) fn sent(&self) -> Option<&Change> {
        self.preview.as_ref().ok().map(|preview| &preview.change)
    }

    /// Returns `true` if the thermostat does not have a requested field.
    pub(crate) fn is_beyond_model(&self) -> bool {
        matches!(&self.preview, Err(Refused::Model(why)) if matches!(**why, InvalidCommand::NoControl { .. }))
    }

    /// One line per field: `setpoint: 20.5 °C → 20.3 °C, sent as 20.5 °C`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let before = texts(&self.before, self.style());
        // Nothing is sent for a change that the session refuses.
        let sent = self.sent().copied().unwrap_or_default();
        texts(&self.asked, self.style())
            .into_iter()
            .zip(before)
            .zip(texts(&sent, self.style()))
            .filter_map(|(((name, asked), (_, before)), (_, sent))| {
                let before = before.unwrap_or_else(|| "unknown".into());
                let sent = sent.map_or_else(String::new, |sent| format!(", sent as {sent}"));
                Some(format!("{name}: {before} → {}{sent}", asked?))
            })
            .collect()
    }
}

/// Form of values: the unit of temperatures and, where it is known, the time zone of times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style<'a> {
    unit: Unit,
    zone: Option<&'a Zone>,
}

impl From<Unit> for Style<'_> {
    fn from(unit: Unit) -> Self {
        Self { unit, zone: None }
    }
}

/// Present values of a thermostat in the fields of a plan. The hold that REST showed before counts while nothing was
/// sent, because the session does not read it.
pub(crate) fn held_by(view: &DeviceView, plan: &Plan, was_sent: bool) -> Change {
    let held = held(view, &plan.asked);
    let known = held.hold.filter(|hold| *hold != Hold::FollowOrUntil);
    Change { hold: if was_sent { held.hold } else { known.or(plan.before.hold) }, ..held }
}

/// Present values of a thermostat in the fields that `asked` has.
pub(crate) fn held(view: &DeviceView, asked: &Change) -> Change {
    /// Present value of a field, if it was requested.
    macro_rules! present {
        ($asked:ident, $state:ident) => {
            asked.$asked.and_then(|_| view.state.$state().map(|field| field.value))
        };
    }
    let brightness = present!(brightness, brightness)
        .map(|brightness| Brightness { active: brightness.active, ..Brightness::default() });
    Change {
        setpoint: present!(setpoint, setpoint),
        mode: present!(mode, mode),
        hold: present!(hold, hold),
        lock: present!(lock, lock),
        brightness: brightness.filter(|brightness| brightness.active.is_some()),
        proximity: present!(proximity, proximity),
        fan: present!(fan, fan),
        swing_vertical: present!(swing_vertical, swing_vertical),
        swing_horizontal: present!(swing_horizontal, swing_horizontal),
        climate_plus: present!(climate_plus, climate_plus),
        tracked_sensor: present!(tracked_sensor, tracked_sensor),
        ..Change::default()
    }
}

/// Resolves the request for one thermostat: a relative value becomes a temperature, and a local time an instant.
fn asked(request: &Request, view: &DeviceView, local: Option<&LocalTime>) -> Result<Change> {
    let setpoint = match request.temperature {
        None => None,
        Some(Amount::To(celsius)) => Some(celsius),
        Some(Amount::By(hundredths)) => {
            let present = view.state.setpoint().map(|field| field.value).ok_or_else(|| {
                Failure::new(
                    Exit::DeviceSilent,
                    "the setpoint is not known, so a step cannot be applied to it",
                )
            })?;
            Some(step(present, hundredths)?)
        }
    };
    let hold = match (request.hold_end, local) {
        (Some(end), Some(local)) => Some(Hold::Until(end.resolve_in(local, timefmt::now())?)),
        _ => request.change.hold,
    };
    Ok(Change { setpoint, hold, ..request.change })
}

/// Returns the setpoint `by` hundredths from the present one.
fn step(present: Celsius, by: i32) -> Result<Celsius> {
    let hundredths = present.as_hundredths().checked_add(by);
    hundredths
        .and_then(|hundredths| Celsius::from_degrees(f64::from(hundredths) / 100.0))
        .ok_or_else(|| Failure::usage("the step leads to no temperature"))
}

/// Returns the change to give to the session. The session rounds a setpoint to the nearest step of the device, and half
/// a step up; a relative setpoint moves by at least one step, and half a step rounds in its own direction.
fn command(request: &Request, view: &DeviceView, asked: Change) -> Change {
    let limits = view.limits();
    let mode = asked.mode.or(limits.mode);
    let family = view.model.family();
    let present = view.state.setpoint().map(|field| field.value);
    let setpoint = match (request.temperature, present, family) {
        (Some(Amount::By(by)), Some(present), Some(family)) => Some(limits.step(family, mode, present, by)),
        _ => asked.setpoint,
    };
    let fan = asked.fan.map(|fan| if request.is_fan_named { fan_of(&limits, mode, fan) } else { fan });
    Change { setpoint, fan, ..asked }
}

/// Returns the speed that the air conditioner offers under the name of `fan`. Two generations of remote controls have
/// different numbers for the same names.
fn fan_of(limits: &Limits<'_>, mode: Option<Mode>, fan: FanSpeed) -> FanSpeed {
    let Some(ac) = limits.ac else { return fan };
    let number = mode.and_then(|mode| ModeTable::OBSERVED.number_of(mode, Family::AirConditioner, None));
    let offered = ac.fan_speeds(mode, number);
    let same = offered.iter().find(|speed| speed.name() == fan.name());
    same.copied().filter(|_| !offered.contains(&fan)).unwrap_or(fan)
}

/// Fields of a change as texts. The list always has the same names in the same order.
fn texts(change: &Change, Style { unit, zone }: Style<'_>) -> [(&'static str, Option<String>); 11] {
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let percent = |brightness: Brightness| Some(format!("{} %", brightness.active?));
    [
        ("setpoint", change.setpoint.map(|celsius| temperature::show_exactly(celsius, unit))),
        ("mode", change.mode.map(|mode| mode.to_string())),
        ("hold", change.hold.map(|hold| view::hold(hold, zone))),
        ("lock", change.lock.map(on)),
        ("brightness", change.brightness.and_then(percent)),
        ("proximity", change.proximity.map(on)),
        ("fan", change.fan.map(|fan| fan.to_string())),
        ("vertical swing", change.swing_vertical.map(|swing| swing.to_string())),
        ("horizontal swing", change.swing_horizontal.map(|swing| swing.to_string())),
        ("Climate+", change.climate_plus.map(on)),
        ("sensor", change.tracked_sensor.map(|sensor| view::sensor_name(sensor).to_owned())),
    ]
}

/// Formats `setpoint 20.5 °C, mode heat`; fields of `asked` with unknown values are named as unknown.
pub(crate) fn summary<'a>(change: &Change, asked: &Change, style: impl Into<Style<'a>>) -> String {
    let style = style.into();
    let values = texts(change, style).into_iter().zip(texts(asked, style));
    let parts = values.filter_map(|((name, value), (_, asked))| {
        asked.map(|_| format!("{name} {}", value.unwrap_or_else(|| "unknown".into())))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Fields of a change for programs. Every field of `asked` is included; an unknown value is `null`.
pub(crate) fn record<'a>(change: &Change, asked: &Change, style: impl Into<Style<'a>>) -> Record {
    let Style { unit, zone } = style.into();
    let fields: [(&str, bool, Value); 11] = [
        ("setpoint_c", asked.setpoint.is_some(), change.setpoint.map(Celsius::as_degrees).into()),
        ("mode", asked.mode.is_some(), change.mode.map(|mode| mode.to_string()).into()),
        ("hold", asked.hold.is_some(), change.hold.map(|hold| view::hold(hold, None)).into()),
        ("locked", asked.lock.is_some(), change.lock.into()),
        (
            "brightness_active_pct",
            asked.brightness.is_some(),
            change.brightness.and_then(|brightness| brightness.active).into(),
        ),
        ("proximity", asked.proximity.is_some(), change.proximity.into()),
        ("fan", asked.fan.is_some(), change.fan.map(|fan| fan.to_string()).into()),
        (
            "vertical_swing",
            asked.swing_vertical.is_some(),
            change.swing_vertical.map(|swing| swing.to_string()).into(),
        ),
        (
            "horizontal_swing",
            asked.swing_horizontal.is_some(),
            change.swing_horizontal.map(|swing| swing.to_string()).into(),
        ),
        ("climate_plus", asked.climate_plus.is_some(), change.climate_plus.into()),
        (
            "tracked_sensor",
            asked.tracked_sensor.is_some(),
            change.tracked_sensor.map(view::sensor_name).into(),
        ),
    ];
    let mut record = Record::new();
    for (name, _, value) in fields.into_iter().filter(|(_, is_asked, _)| *is_asked) {
        record.put(name, value);
        if name == "setpoint_c" && unit == Unit::Fahrenheit {
            let fahrenheit = change.setpoint.map(|celsius| (celsius.to_fahrenheit() * 10.0).round() / 10.0);
            record.put("setpoint_f", fahrenheit);
        }
        if let ("hold", Some(Hold::Until(end))) = (name, change.hold) {
            record.put("hold_end", zone.map_or_else(|| timefmt::iso(end), |zone| zone.iso(end)));
        }
    }
    record
}

/// Parses the value of `--hold` that is neither `on` nor `off`.
fn hold_end(text: &str) -> Result<Moment> {
    Moment::parse(text).map_err(|_| {
        Failure::usage(format!(
            "invalid --hold '{text}': expected on, off, or the end of the hold such as 22:30, 2026-11-29T22:30 or +2h"
        ))
    })
}

/// Parses the name of a mode; `fan` means fan only.
pub(crate) fn mode(text: &str) -> Result<Mode> {
    let name = if text.eq_ignore_ascii_case("fan") { "fan_only" } else { text };
    name.parse().map_err(|_| {
        Failure::usage(format!(
            "invalid mode '{text}': expected off or heat, and for air conditioners also auto, cool, dry or fan"
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
        Failure::usage(format!(
            "invalid fan speed '{text}': expected {} or a number from 1 to 12",
            names.join(", ")
        ))
    })
}

fn swing(text: &str) -> Result<Swing> {
    let number: Option<u8> = text.parse().ok();
    number.map(Swing::from_code).filter(|swing| swing.is_witnessed()).ok_or_else(|| {
        Failure::usage(format!("invalid swing '{text}': expected a number of the air conditioner such as 1"))
    })
}

#[cfg(test)]
mod tests {
    use mysa_proto::AcCapabilities;

    use super::*;

    fn celsius(hundredths: i32) -> Celsius {
        Celsius::from_hundredths(hundredths)
    }

    #[test]
    fn a_step_that_leaves_the_scale_is_refused() {
        assert_eq!(step(celsius(2_050), -70).ok(), Some(celsius(1_980)));
        assert_eq!(step(celsius(i32::MAX), 50).unwrap_err().exit, Exit::Usage);
        assert_eq!(step(celsius(-27_300), -100).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_speed_by_name_is_the_one_that_the_unit_has() {
        let ac = |speeds: &[u8]| AcCapabilities {
            fan_speeds: Some(speeds.iter().copied().map(FanSpeed::from_code).collect()),
            ..AcCapabilities::default()
        };
        for (speeds, name, code) in [
            (&[1, 2, 4, 6][..], "low", 2),
            (&[1, 3, 5, 7, 8], "low", 3),
            (&[1, 3, 5, 7, 8], "high", 7),
            (&[1, 3, 5, 7, 8], "sleep", 12),
            (&[], "low", 2),
        ] {
            let ac = ac(speeds);
            let limits = Limits { ac: Some(&ac), ..Limits::default() };
            let speed = fan_of(&limits, Some(Mode::Cool), fan(name).unwrap());
            assert_eq!(speed.code(), code, "{name} {speeds:?}");
        }
        assert_eq!(fan_of(&Limits::default(), None, fan("low").unwrap()).code(), 2);
    }

    #[test]
    fn records_name_every_field_that_was_asked() {
        let asked = Change { lock: Some(true), ..Change::setpoint(celsius(2_056)) };
        let known = Change::setpoint(celsius(2_050));
        assert_eq!(record(&known, &asked, Unit::Celsius).to_json(), r#"{"setpoint_c":20.5,"locked":null}"#);
        assert_eq!(
            record(&known, &asked, Unit::Fahrenheit).to_json(),
            r#"{"setpoint_c":20.5,"setpoint_f":68.9,"locked":null}"#
        );
        assert_eq!(summary(&known, &asked, Unit::Fahrenheit), "setpoint 68.9 °F, lock unknown");
        assert_eq!(summary(&asked, &asked, Unit::Celsius), "setpoint 20.56 °C, lock on", "as it was asked");
    }

    #[test]
    fn a_hold_is_shown_with_its_end() {
        let asked = Change { hold: Some(Hold::Permanent), ..Change::default() };
        let until = Hold::Until(mysa_proto::UnixTime::from_secs(1_767_323_045));
        let held = Change { hold: Some(until), ..Change::default() };
        let zone = Zone::named("America/Halifax");
        let style = Style { unit: Unit::Celsius, zone: zone.as_ref() };
        assert_eq!(summary(&held, &asked, style), "hold until 2026-01-01 23:04:05 -04:00");
        assert_eq!(summary(&held, &asked, Unit::Celsius), "hold until 2026-01-02T03:04:05Z");
        assert_eq!(
            record(&held, &asked, style).to_json(),
            r#"{"hold":"until 2026-01-02T03:04:05Z","hold_end":"2026-01-01T23:04:05-04:00"}"#
        );
        assert_eq!(record(&asked, &asked, style).to_json(), r#"{"hold":"permanent"}"#);
        let parse = |hold: &str| {
            Request::parse(&ChangeArgs { hold: Some(hold.into()), ..ChangeArgs::default() }, Unit::Celsius)
        };
        assert_eq!(parse("off").ok().and_then(|request| request.change.hold), Some(Hold::FollowSchedule));
        assert!(parse("+2h").is_ok_and(|request| request.is_hold() && request.values().hold.is_none()));
        assert!(
            parse("maybe").unwrap_err().to_string().starts_with("invalid --hold 'maybe': expected on, off")
        );
    }

    #[test]
    fn modes_and_fan_speeds_are_parsed_by_name_and_number() {
        assert_eq!(mode("FAN").ok(), Some(Mode::FanOnly));
        assert_eq!(fan("high").ok(), Some(FanSpeed::from_code(6)));
        assert_eq!(fan("12").ok(), Some(FanSpeed::from_code(12)));
        for bad in ["hurricane", "0", "13", ""] {
            assert!(fan(bad).is_err() && swing(bad).is_err() && mode(bad).is_err(), "{bad}");
        }
    }
}
