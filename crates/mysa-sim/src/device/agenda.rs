//! Weekly schedule of a thermostat, as the schedule service runs it.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::{Map, Value};

use crate::Now;
use crate::zone::Zone;

/// Events of a thermostat's schedules and the time of the next one.
///
/// The service sends the values of an event as a command. A thermostat that it cannot reach gets those in force later.
#[derive(Debug)]
pub(crate) struct Agenda {
    /// Sorted by their time.
    events: Vec<AgendaEvent>,
    /// Next event in Unix seconds.
    next: Option<i64>,
    /// Its time on the monotonic clock.
    due: Duration,
    /// `true` if the thermostat was unreachable when the values in force were due to be sent.
    pub(crate) missed: bool,
}

#[derive(Debug)]
struct AgendaEvent {
    /// Second of the local week, which begins on Sunday.
    second: i64,
    /// `state` of the event, as in a request to the structured service.
    state: Map<String, Value>,
}

const WEEK: i64 = 7 * 86_400;
/// The epoch was a Thursday.
const EPOCH_SECOND: i64 = 4 * 86_400;
/// Maximum number of events; more are ignored.
const EVENTS: usize = 512;

impl Agenda {
    pub(crate) const fn new() -> Self {
        Self { events: Vec::new(), next: None, due: Duration::MAX, missed: false }
    }

    /// Replaces the events by those of these schedules, in the form of the list. Events that cannot be read are ignored.
    pub(crate) fn plan<'a>(&mut self, now: Now, zone: &Zone, schedules: impl Iterator<Item = &'a Value>) {
        let events = schedules.filter_map(|schedule| schedule.get("events")?.as_array()).flatten();
        self.events = events.filter_map(AgendaEvent::read).take(EVENTS).collect();
        self.events.sort_by_key(|event| event.second);
        self.missed &= !self.events.is_empty();
        self.look_ahead(now, zone);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Time of the next event on the monotonic clock.
    pub(crate) const fn due(&self) -> Duration {
        self.due
    }

    /// Returns `true` once for each event, from its time on.
    pub(crate) fn take_due(&mut self, now: Now, zone: &Zone) -> bool {
        if now.mono < self.due {
            return false;
        }
        let is_due = self.next.is_some_and(|next| next <= now.wall.as_secs());
        self.look_ahead(now, zone);
        is_due
    }

    /// Values in force now: those of the last event, which may be one of the previous week.
    pub(crate) fn in_force(&self, now: Now, zone: &Zone) -> Option<&Map<String, Value>> {
        let second = second_of_week(now.wall.as_secs(), zone);
        let past = self.events.iter().rev().find(|event| event.second <= second);
        past.or(self.events.last()).map(|event| &event.state)
    }

    fn look_ahead(&mut self, now: Now, zone: &Zone) {
        let wall = now.wall.as_secs();
        self.next = self.events.iter().map(|event| event.next(wall, zone)).min();
        self.due = self.next.map_or(Duration::MAX, |next| until(now, next));
    }
}

/// Moment of a Unix time on the monotonic clock; now if it has passed.
pub(crate) fn until(now: Now, secs: i64) -> Duration {
    let millis = secs.saturating_mul(1_000).saturating_sub(now.wall.as_millis());
    now.mono.saturating_add(Duration::from_millis(millis.max(0).unsigned_abs()))
}

fn second_of_week(secs: i64, zone: &Zone) -> i64 {
    (secs + zone.offset(secs) + EPOCH_SECOND).rem_euclid(WEEK)
}

impl AgendaEvent {
    /// Next time of the event after `now`, both in Unix seconds. A time that a clock change skips is moved to
    /// the same distance after the change.
    fn next(&self, now: i64, zone: &Zone) -> i64 {
        let wait = (self.second - second_of_week(now, zone)).rem_euclid(WEEK);
        let at = now + if wait == 0 { WEEK } else { wait };
        // The clock may change before then.
        let shifted = at + zone.offset(now) - zone.offset(at);
        if shifted > now && second_of_week(shifted, zone) == self.second { shifted } else { at }
    }

    fn read(event: &Value) -> Option<Self> {
        let day = event.get("dayOfWeek")?;
        let day = day.as_i64().or_else(|| day.as_str()?.parse().ok()).filter(|day| (0..7).contains(day))?;
        let mut clock = event.get("executionTime")?.as_str()?.split(':').map(|part| part.parse::<i64>().ok());
        let (hour, minute) = (clock.next()??, clock.next()??);
        let second = clock.next().unwrap_or(Some(0))?;
        let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
        let state = event.get("state")?.as_object()?.clone();
        is_time.then(|| Self { second: day * 86_400 + hour * 3_600 + minute * 60 + second, state })
    }
}

#[cfg(test)]
mod tests {
    use mysa_proto::UnixTime;
    use serde_json::json;

    use super::*;

    const HALIFAX: Zone = Zone::Fixed(-4 * 3_600);

    /// The moment this many seconds after Thursday, 1 January 2026, 23:04:05 in Halifax.
    fn at(secs: u64) -> Now {
        let wall = UnixTime::from_secs(1_767_323_045 + secs.cast_signed());
        Now { mono: Duration::from_secs(100 + secs), wall }
    }

    fn event(day: Value, time: &str, degrees: i64) -> Value {
        json!({ "dayOfWeek": day, "executionTime": time, "state": { "targetHeat": { "setpoint": degrees } } })
    }

    fn setpoint(agenda: &Agenda, now: Now) -> i64 {
        agenda.in_force(now, &HALIFAX).unwrap()["targetHeat"]["setpoint"].as_i64().unwrap()
    }

    #[test]
    fn each_event_is_due_once_at_its_local_time() {
        let events = json!({ "events": [
            event(json!("5"), "06:30:00", 21), event(json!(4), "20:00", 17), event(json!(5), "06:30:00", 22),
            event(json!(0), "00:00:00", 18), event(json!(7), "00:00:00", 1), event(json!(1), "24:00:00", 2), json!("?"),
        ] });
        let mut agenda = Agenda::new();
        agenda.plan(at(0), &HALIFAX, [&events].into_iter());
        assert_eq!(setpoint(&agenda, at(0)), 17, "Thursday, 20:00");
        let half_past_six = 7 * 3_600 + 25 * 60 + 55;
        assert_eq!(agenda.due(), at(half_past_six).mono);
        assert!(!agenda.take_due(at(half_past_six - 1), &HALIFAX));
        assert!(
            agenda.take_due(at(half_past_six), &HALIFAX) && !agenda.take_due(at(half_past_six), &HALIFAX)
        );
        assert_eq!(setpoint(&agenda, at(half_past_six)), 22, "the last of one time");
        let sunday = half_past_six + 41 * 3_600 + 1_800;
        assert_eq!(agenda.due(), at(sunday).mono);
        assert!(agenda.take_due(at(sunday + 5), &HALIFAX), "late, but not lost");
        assert_eq!((setpoint(&agenda, at(sunday - 1)), setpoint(&agenda, at(sunday))), (22, 18));
        let thursday = 7 * 86_400 - (3 * 3_600 + 4 * 60 + 5);
        assert_eq!(agenda.due(), at(thursday).mono);
        // A wall clock behind the monotonic one delays the event.
        agenda.plan(at(0), &HALIFAX, [&events].into_iter());
        let behind = Now { wall: at(0).wall, ..at(half_past_six) };
        assert!(!agenda.take_due(behind, &HALIFAX) && agenda.due() > behind.mono);
        agenda.plan(at(0), &HALIFAX, core::iter::empty());
        assert!(
            agenda.is_empty() && agenda.due() == Duration::MAX && agenda.in_force(at(0), &HALIFAX).is_none()
        );
    }

    #[test]
    fn events_keep_their_local_time_through_clock_changes() {
        let zone = Zone::named("America/Halifax").unwrap();
        let due = |day: i64, time: &str, secs: i64| {
            let events = json!({ "events": [event(json!(day), time, 20)] });
            let now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(secs) };
            let mut agenda = Agenda::new();
            agenda.plan(now, &zone, [&events].into_iter());
            secs + agenda.due().as_secs().cast_signed()
        };
        // Sunday, 8 March 2026: from 2:00 to 3:00. The day before, at noon.
        let spring = 1_772_899_200;
        assert_eq!(due(0, "08:00", spring), spring + 19 * 3_600);
        assert_eq!(due(0, "01:30", spring), spring + 13 * 3_600 + 1_800);
        assert_eq!(due(0, "02:30", spring), spring + 14 * 3_600 + 1_800, "3:30 by the new time");
        // Sunday, 1 November 2026: from 2:00 to 1:00. The day before, at noon.
        let autumn = 1_793_458_800;
        assert_eq!(due(0, "08:00", autumn), autumn + 21 * 3_600);
        assert_eq!(due(0, "01:30", autumn), autumn + 13 * 3_600 + 1_800, "the first of two");
        assert_eq!(due(0, "08:00", autumn + 21 * 3_600), autumn + 21 * 3_600 + WEEK);
    }

    #[test]
    fn a_time_that_has_passed_is_now() {
        assert_eq!(until(at(0), 0), at(0).mono);
        assert_eq!(until(at(0), at(9).wall.as_secs()), at(9).mono);
    }
}
