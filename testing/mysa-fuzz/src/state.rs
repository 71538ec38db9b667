use core::time::Duration;

use mysa_proto::{
    Brightness, Celsius, Change, DeviceState, DutyCycle, Mode, Now, Observation, RelativeHumidity, Source,
    UnixTime,
};

use crate::script::Script;

const ORIGIN: i64 = 1_767_323_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Observe(Observation),
    Confirm(Observation, Now),
}

/// Merge of observations.
///
/// Input: up to 40 observations and confirmations, each with its source and times.
///
/// Their order does not matter. Merging twice changes nothing. The reported changes are the visible ones.
///
/// ```
/// mysa_fuzz::state(&[0, 1, 1, 110, 11, 0, 1, 1, 7, 3, 1, 112, 13, 0, 1, 2]);
/// ```
pub fn state(data: &[u8]) {
    let mut script = Script::new(data);
    let mut steps = Vec::new();
    while !script.is_empty() && steps.len() < 40 {
        steps.push(step(&mut script));
    }
    let mut state = DeviceState::new();
    for step in &steps {
        let before = format!("{state:?}");
        if apply(&mut state, step) {
            assert_ne!(format!("{state:?}"), before, "a reported change that is not visible");
        }
    }
    let once = format!("{state:?}");
    for step in &steps {
        assert!(!apply(&mut state, step), "merging twice must change nothing: {step:?}");
    }
    assert_eq!(format!("{state:?}"), once);

    // In reverse, the even before the odd ones, and in an order that depends on the input.
    let sum = data.iter().fold(7_usize, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut shuffled = steps.clone();
    for at in 1..shuffled.len() {
        shuffled.swap(at, sum.rotate_left(at as u32) % (at + 1));
    }
    let (even, odd): (Vec<_>, Vec<_>) = steps.iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let orders = [
        steps.iter().rev().copied().collect(),
        even.into_iter().chain(odd).map(|(_, step)| *step).collect(),
        shuffled,
    ];
    for order in orders {
        let mut other = DeviceState::new();
        order.iter().for_each(|step| {
            apply(&mut other, step);
        });
        assert_eq!(format!("{other:?}"), once, "{order:?}");
    }
}

fn apply(state: &mut DeviceState, step: &Step) -> bool {
    let changes = match step {
        Step::Observe(observation) => state.observe(observation),
        Step::Confirm(confirmed, sent) => state.confirm(confirmed, *sent),
    };
    !changes.is_empty()
}

fn step(script: &mut Script<'_>) -> Step {
    let kind = script.byte();
    let source = script.pick(&[
        Source::Boot,
        Source::Status,
        Source::SetpointChange,
        Source::Ack,
        Source::Retained,
        Source::RestRecord,
        Source::RestState,
        Source::Structured,
    ]);
    // Few distinct values, so that times and values collide, and sometimes a distant one.
    let at = script.option(|script| match i64::from(script.byte()) {
        near @ 0..200 => UnixTime::from_secs(ORIGIN + near - 100),
        far => UnixTime::from_millis((far - 220) << (far - 200)),
    });
    let mut received = received(script.byte());
    received.wall = received.wall.plus_millis(i64::from(script.byte() as i8) / 32 * 1_000);
    let mut change = Change {
        setpoint: script.option(|script| Celsius::from_hundredths(1_800 + i32::from(script.byte() % 4) * 50)),
        mode: script.option(|script| if script.flag() { Mode::Off } else { Mode::Heat }),
        ..Change::default()
    };
    let duty = script.option(Script::byte).and_then(|it| DutyCycle::from_fraction(f64::from(it % 3) / 2.0));
    let humidity =
        script.option(Script::byte).and_then(|it| RelativeHumidity::from_percent(f64::from(it % 3)));
    let connected = script.option(Script::flag);
    let is_confirmed = kind & 7 == 7;
    let sent = if is_confirmed { script.byte() } else { 0 };
    change.brightness = (kind & 8 != 0).then(|| brightness(script));
    let seen =
        Observation { source, duty, humidity, connected, ..Observation::from_change(&change, at, received) };
    if !is_confirmed {
        return Step::Observe(seen);
    }
    // A command is sent before it is confirmed.
    let sent = seen.received.mono.as_secs().min(u64::from(sent));
    let sent = self::received(u8::try_from(sent).unwrap_or(0));
    Step::Confirm(Observation { source: Source::Ack, ..seen }, sent)
}

/// Brightness with any of its parts, as in an acknowledgement. The parts for the idle display come with that for the active one.
fn brightness(script: &mut Script<'_>) -> Brightness {
    let parts = script.byte();
    let part = |bit: u8, value: u8| (parts & bit != 0).then_some(value);
    let (active, idle) = (script.byte() % 3, script.byte() % 3);
    Brightness {
        auto: part(1, 0).map(|_| parts & 2 != 0),
        active: part(4, active),
        idle: part(8, idle),
        active_seconds: part(0x10, active).map(u16::from),
        idle_seconds: part(0x20, idle).map(u16::from),
    }
}

fn received(secs: u8) -> Now {
    let secs = secs % 120;
    Now { mono: Duration::from_secs(secs.into()), wall: UnixTime::from_secs(ORIGIN + i64::from(secs)) }
}
