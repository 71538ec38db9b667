pub(crate) mod change;
mod error;
mod request;
pub(crate) mod setting;
pub(crate) mod structured;
pub(crate) mod validate;

pub use change::{Change, Comparison};
pub use error::{Channel, InvalidCommand};
pub use request::{encode_echo, encode_live_report, encode_settings_nudge};
pub use setting::{AutoSetpoints, Brightness, Hold, TrackedSensor};
pub use structured::StructuredUpdate;

use alloc::vec::Vec;

use crate::command::validate::validate;
use crate::json::writer::{self, Object};
use crate::{BodyType, Celsius, DeviceId, Family, Limits, ModeTable, Model, UnixTime};

/// Message 44 to a thermostat, checked against its model.
///
/// ```
/// use mysa_proto::{
///     Celsius, Change, Command, DeviceId, EnvelopeForm, Limits, Mode, Model, ModeTable, EnvelopeMeta, UnixTime,
/// };
///
/// let device = DeviceId::new("a0b1c2d3e4f6").ok_or("not a device id")?;
/// let model = Model::parse("BB-V2-0");
/// let change = Change { mode: Some(Mode::Heat), setpoint: Celsius::from_degrees(21.5), ..Change::default() };
/// let now = UnixTime::from_millis(1_767_323_045_678);
/// let command = Command::new(device, &model, &Limits::default(), &ModeTable::OBSERVED, change, now)?;
///
/// let stamp = EnvelopeMeta { id: 1_767_323_045_678, time: now, app_ref: "me", form: EnvelopeForm::Observed };
/// let mut payload = Vec::new();
/// command.encode(&stamp, &mut payload);
/// assert!(String::from_utf8(payload)?.ends_with(r#""cmd":[{"tm":-1,"sp":21.5,"md":3}]}}"#));
///
/// let absurd = Change::setpoint(Celsius::from_degrees(90.0).ok_or("not a temperature")?);
/// let refusal = Command::new(device, &model, &Limits::default(), &ModeTable::OBSERVED, absurd, now).unwrap_err();
/// assert_eq!(
///     refusal.to_string(),
///     "setpoint 90 °C is out of range: allowed are 5 to 30 °C in steps of 0.5",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    device: DeviceId,
    family: Family,
    body_type: BodyType,
    change: Change,
    mode_number: Option<i64>,
}

impl Command {
    /// Checks a change and turns it into a command. The setpoint is rounded to the nearest step of the model; halfway
    /// rounds up.
    ///
    /// `table` is the mode table that the account's thermostats use, normally [`ModeTable::OBSERVED`]; `now` is the
    /// present time, after which a hold must end.
    ///
    /// # Errors
    ///
    /// The [`InvalidCommand`] names the valid values. Every change for an unknown model is invalid.
    pub fn new(
        device: DeviceId,
        model: &Model,
        limits: &Limits<'_>,
        table: &ModeTable,
        change: Change,
        now: UnixTime,
    ) -> Result<Self, InvalidCommand> {
        let (family, change) = validate(Channel::Mqtt, model, limits, table, change)?;
        let Some(own_type) = family.body_type() else {
            return Err(InvalidCommand::NoChannel { family, channel: Channel::Mqtt });
        };
        match change.hold {
            // The wire format has whole seconds.
            Some(Hold::Until(end)) if UnixTime::from_secs(end.as_secs()) <= now => {
                return Err(InvalidCommand::HoldEndsInPast { end, now });
            }
            Some(Hold::FollowOrUntil) => return Err(InvalidCommand::HoldUndecided),
            _ => {}
        }
        let tracked = change.tracked_sensor.or(limits.tracked_sensor);
        let mode_number = change.mode.and_then(|mode| table.number_of(mode, family, tracked));
        Ok(Self { device, family, body_type: limits.body_type.unwrap_or(own_type), change, mode_number })
    }

    /// Thermostat that the command is for.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Family that the settings were checked against.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Requested settings, with the setpoint on the model's step.
    #[must_use]
    pub const fn change(&self) -> &Change {
        &self.change
    }

    /// The `cmd` object, which the acknowledgement repeats.
    #[must_use]
    pub fn fields(&self) -> CmdFields {
        let change = &self.change;
        let (until, hold) = match change.hold {
            Some(Hold::FollowSchedule) => (None, Some(1)),
            Some(Hold::Permanent) => (None, Some(2)),
            Some(Hold::Until(end)) => (Some(end.as_secs()), Some(1)),
            // Refused by `new`.
            Some(Hold::FollowOrUntil) | None => (None, None),
        };
        CmdFields {
            tm: until.unwrap_or(-1),
            sp: change.setpoint,
            md: self.mode_number,
            ho: hold,
            lk: change.lock.map(i64::from),
            br: change.brightness,
            pr: change.proximity.map(i64::from),
            fn_: change.fan.map(|fan| fan.code().into()),
            ss: change.swing_vertical.map(|swing| swing.code().into()),
            ssh: change.swing_horizontal.map(|swing| swing.code().into()),
            it: change.climate_plus.map(i64::from),
            tr: change.tracked_sensor.map(|sensor| sensor.number()),
        }
    }

    /// Appends the payload to publish to [`Topic::incoming`](crate::Topic::incoming) with QoS 1, not retained.
    pub fn encode(&self, stamp: &EnvelopeMeta<'_>, out: &mut Vec<u8>) {
        let seconds = stamp.time.as_secs();
        let mut envelope = Object::begin(out);
        envelope.string("ver", "1.0");
        address(envelope.name("src"), 100, stamp.app_ref);
        address(envelope.name("dest"), 1, self.device.as_str());
        envelope.integer("time", seconds);
        if stamp.form != EnvelopeForm::DesignDocument {
            envelope.integer("Timestamp", seconds);
        }
        envelope.integer("msg", 44);
        writer::unsigned(envelope.name("id"), stamp.id);
        envelope.integer("resp", 2);
        let mut body = Object::begin(envelope.name("body"));
        body.integer("ver", 1);
        body.integer("type", self.body_type.number());
        let cmd = body.name("cmd");
        if stamp.form == EnvelopeForm::CmdAsString {
            let mut inner = Vec::new();
            self.fields().encode(&mut inner);
            // The text contains only digits, letters and JSON punctuation.
            writer::string(cmd, core::str::from_utf8(&inner).unwrap_or_default());
        } else {
            self.fields().encode(cmd);
        }
        body.end();
        envelope.end();
    }
}

/// Metadata in the envelope of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct EnvelopeMeta<'a> {
    /// Id, unique among the commands of this client; the acknowledgement repeats it as `resp_id`. The vendor's app uses
    /// the clock in milliseconds.
    pub id: u64,
    /// Time of sending; whole seconds on the wire.
    pub time: UnixTime,
    /// Sender: the id of the user (`sub` of the id token).
    pub app_ref: &'a str,
    /// Form of the envelope.
    pub form: EnvelopeForm,
}

/// Form of the envelope of a command.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EnvelopeForm {
    /// With `Timestamp`, as in four projects and a capture of the vendor's app.
    #[default]
    Observed,
    /// Without `Timestamp`, as in the design document and two projects. Works too.
    DesignDocument,
    /// With `cmd` as a JSON string instead of an array, which the vendor's app sends in addition. One Lite ignored it.
    /// (mysa_client.) For experiments.
    CmdAsString,
}

/// Object in the `cmd` array of a command, with the numbers of the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CmdFields {
    /// -1 for now; otherwise the end of a hold in seconds since the epoch.
    pub tm: i64,
    /// Setpoint.
    pub sp: Option<Celsius>,
    /// Number of the mode.
    pub md: Option<i64>,
    /// 1 follow the schedule, or hold until `tm`; 2 permanent hold.
    pub ho: Option<i64>,
    /// Button lock, 0 or 1.
    pub lk: Option<i64>,
    /// Brightness.
    pub br: Option<Brightness>,
    /// Wake on approach, 0 or 1.
    pub pr: Option<i64>,
    /// `fn`: fan speed.
    pub fn_: Option<i64>,
    /// Vertical swing.
    pub ss: Option<i64>,
    /// Horizontal swing.
    pub ssh: Option<i64>,
    /// Climate+, 0 or 1.
    pub it: Option<i64>,
    /// Tracked sensor, 3 floor or 5 ambient.
    pub tr: Option<i64>,
}

impl CmdFields {
    /// Appends an array with this object.
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        let mut cmd = Object::begin(out);
        cmd.integer("tm", self.tm);
        cmd.celsius_if("sp", self.sp);
        cmd.integer_if("md", self.md);
        cmd.integer_if("ho", self.ho);
        cmd.integer_if("lk", self.lk);
        if let Some(brightness) = self.br {
            let mut br = Object::begin(cmd.name("br"));
            br.integer_if("a_b", brightness.auto.map(i64::from));
            br.integer_if("a_br", brightness.active.map(i64::from));
            br.integer_if("i_br", brightness.idle.map(i64::from));
            br.integer_if("a_dr", brightness.active_seconds.map(i64::from));
            br.integer_if("i_dr", brightness.idle_seconds.map(i64::from));
            br.end();
        }
        cmd.integer_if("pr", self.pr);
        cmd.integer_if("fn", self.fn_);
        cmd.integer_if("ss", self.ss);
        cmd.integer_if("ssh", self.ssh);
        cmd.integer_if("it", self.it);
        cmd.integer_if("tr", self.tr);
        cmd.end();
        out.push(b']');
    }
}

fn address(out: &mut Vec<u8>, kind: i64, reference: &str) {
    let mut address = Object::begin(out);
    address.integer("type", kind);
    address.string("ref", reference);
    address.end();
}
