use alloc::string::String;

use serde_json::{Map, Value};

use crate::rest::fields::{self, Fields};
use crate::rest::types::schedule::member;
use crate::rest::{BodyError, ResourceId, body};
use crate::{Celsius, DeviceId, Hold, Mode, Now, Observation, Source, UnixTime};

/// Active hold: the answer to [`hold`](crate::rest::hold()). The structure is that of the request, because the answer
/// is unknown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HoldState {
    /// `holdId` or `id`.
    pub id: Option<ResourceId>,
    /// `deviceId`.
    pub device: Option<DeviceId>,
    /// `holdType` is `permanent`; `None` if it is neither that nor `temporary`.
    pub permanent: Option<bool>,
    /// `startTime`.
    pub start: Option<UnixTime>,
    /// `endTime`.
    pub end: Option<UnixTime>,
    /// `state.modes.mode`.
    pub mode: Option<Mode>,
    /// `state.targetHeat.setpoint`.
    pub heat_setpoint: Option<Celsius>,
    /// `state.targetCool.setpoint`.
    pub cool_setpoint: Option<Celsius>,
    /// The whole `state`.
    pub state: Map<String, Value>,
    /// Unknown members.
    pub extra: Map<String, Value>,
}

impl HoldState {
    /// Decodes the body, bare or under `hold` or `data`.
    ///
    /// # Errors
    /// The body is not JSON or not an object.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut fields = Fields::from(body::object(body)?);
        if let Some(inner) = ["hold", "data"].iter().find_map(|name| fields.take_object(name)) {
            fields = inner;
        }
        let state = fields.take_object("state").map(Fields::rest).unwrap_or_default();
        Ok(Self {
            id: fields.id("holdId").or_else(|| fields.id("id")),
            device: fields.take(&["deviceId"], |device| DeviceId::new(device.as_str()?)),
            permanent: fields.take(&["holdType"], |kind| match kind.as_str()? {
                "permanent" => Some(true),
                "temporary" => Some(false),
                _ => None,
            }),
            start: fields.time("startTime"),
            end: fields.time("endTime"),
            mode: member(&state, "modes", "mode").and_then(fields::integer).map(Mode::from_structured),
            heat_setpoint: member(&state, "targetHeat", "setpoint").and_then(fields::celsius),
            cool_setpoint: member(&state, "targetCool", "setpoint").and_then(fields::celsius),
            state,
            extra: fields.rest(),
        })
    }
}

impl HoldState {
    /// Hold against the schedule. `None` if the kind of the hold is unknown, or a temporary hold has no end.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        match (self.permanent?, self.end) {
            (true, _) => Some(Hold::Permanent),
            (false, end) => end.map(Hold::Until),
        }
    }

    /// Observation of the hold. It has no time: a hold keeps that of its start, however new the answer is.
    #[must_use]
    pub fn observation(&self, received: Now) -> Observation {
        Observation { hold: self.hold(), ..Observation::new(Source::Structured, None, received) }
    }

    /// Observation of an answer with status 404: no hold exists.
    #[must_use]
    pub const fn none(received: Now) -> Observation {
        Observation {
            hold: Some(Hold::FollowSchedule),
            ..Observation::new(Source::Structured, None, received)
        }
    }
}

/// Answer to a new hold.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HoldCreated {
    /// `holdId`.
    pub id: ResourceId,
}

impl HoldCreated {
    /// Decodes the body.
    ///
    /// # Errors
    /// The body is not JSON or has no `holdId`.
    pub fn decode(body: &[u8]) -> Result<Self, BodyError> {
        let mut fields = Fields::from(body::object(body)?);
        match fields.id("holdId") {
            Some(id) => Ok(Self { id }),
            None => Err(BodyError::wrong_shape("holdId", &Value::Object(fields.rest()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::DeviceState;

    #[test]
    fn the_hold_route_reports_whether_and_when_a_hold_ends() {
        let at = |secs| Now { mono: Duration::from_secs(secs), wall: UnixTime::from_secs(1_767_323_045) };
        let end = UnixTime::from_secs(1_767_330_000);
        let start =
            r#""holdId":"99999999-9999-4999-8999-999999999999","startTime":"2026-01-01T00:00:00.000Z""#;
        for (rest, hold) in [
            (r#""holdType":"permanent","reason":"away""#, Some(Hold::Permanent)),
            (r#""holdType":"temporary","endTime":"2026-01-02T05:00:00.000Z""#, Some(Hold::Until(end))),
            (r#""holdType":"temporary""#, None),
            (r#""holdType":"seasonal","endTime":"2026-01-02T05:00:00.000Z""#, None),
        ] {
            let body = alloc::format!("{{{start},{rest}}}");
            let answer = HoldState::decode(body.as_bytes()).unwrap();
            assert_eq!(answer.hold(), hold, "{body}");
            let mut state = DeviceState::new();
            let unclear = Observation::new(Source::Ack, Some(UnixTime::from_secs(1_767_323_045)), at(5));
            state.observe(&Observation { hold: Some(Hold::FollowOrUntil), ..unclear });
            state.observe(&answer.observation(at(6)));
            assert_eq!(state.hold().map(|field| field.value), hold.or(Some(Hold::FollowOrUntil)));
            state.observe(&HoldState::none(at(7)));
            assert_eq!(state.hold().map(|field| field.value), Some(Hold::FollowSchedule));
        }
        let odd = HoldState::decode(br#"{"holdType":"seasonal","reason":"away"}"#).unwrap();
        assert_eq!((odd.extra.len(), odd.permanent), (2, None), "unknown members are kept");
    }
}
