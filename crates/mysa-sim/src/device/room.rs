use core::time::Duration;

use crate::Now;
use crate::device::energy::{BUCKET_SECS, Meter};
use crate::device::weather::Weather;
use crate::math::decay;

/// Thermal model of a room: one heat capacity behind a wall, and for floor heating a slab in between.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct RoomSpec {
    /// Heat loss through the walls, W per kelvin between inside and outside.
    pub heat_loss: f64,
    /// Heat capacity of the room, J/K.
    pub capacity: f64,
    /// Heat from people, lamps and the sun, W.
    pub gain: f64,
    /// Temperature at the start, °C.
    pub temperature: f64,
}

impl Default for RoomSpec {
    /// A room of 14 m² in an old house: it loses 55 W/K and cools with a time constant of 4.5 hours.
    fn default() -> Self {
        Self { heat_loss: 55.0, capacity: 0.9e6, gain: 80.0, temperature: 19.0 }
    }
}

/// Power of the heater from now on: it draws `electric` watts and delivers `heat` watts (negative for cooling) until
/// `until`, and nothing after that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drive {
    pub(crate) electric: f64,
    pub(crate) heat: f64,
    pub(crate) until: Duration,
}

impl Drive {
    pub(crate) const OFF: Self = Self { electric: 0.0, heat: 0.0, until: Duration::ZERO };

    /// A resistance heater: all electric power becomes heat.
    pub(crate) const fn heater(watts: f64, until: Duration) -> Self {
        Self { electric: watts, heat: watts, until }
    }

    pub(crate) fn is_on(&self, at: Duration) -> bool {
        at < self.until && self.electric > 0.0
    }

    /// Electrical power at this moment, W.
    pub(crate) fn watts(&self, at: Duration) -> f64 {
        if at < self.until { self.electric } else { 0.0 }
    }
}

/// A room, its heater and its meter. Only [`Room::advance`] advances its time, with a result that does not depend on
/// the size of the steps.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    spec: RoomSpec,
    weather: Weather,
    seed: u64,
    slab: Option<f64>,
    temperature: f64,
    drive: Drive,
    at: Duration,
    /// Hour of the last computed outdoor temperature, and that temperature.
    outside: (i64, f64),
    pub(crate) meter: Meter,
}

/// Heat capacity of a heated floor of 8 m², J/K, and its conductance to the room, W/K.
const SLAB_CAPACITY: f64 = 0.45e6;
const SLAB_COUPLING: f64 = 90.0;
/// Longest step in which the room's temperature counts as constant for the slab.
const SLAB_STEP: Duration = Duration::from_secs(60);

impl Room {
    pub(crate) fn new(spec: RoomSpec, weather: Weather, seed: u64, with_slab: bool, at: Duration) -> Self {
        // Values of the spec are clamped to where the arithmetic is meaningful.
        let positive = |value: f64, or: f64| if value.is_finite() && value > 0.0 { value } else { or };
        let usual = RoomSpec::default();
        let spec = RoomSpec {
            heat_loss: positive(spec.heat_loss, usual.heat_loss),
            capacity: positive(spec.capacity, usual.capacity),
            gain: if spec.gain.is_finite() { spec.gain } else { usual.gain },
            temperature: if spec.temperature.is_finite() { spec.temperature } else { usual.temperature },
        };
        Self {
            temperature: spec.temperature,
            slab: with_slab.then_some(spec.temperature + 3.0),
            spec,
            weather,
            seed,
            drive: Drive::OFF,
            at,
            outside: (i64::MIN, 0.0),
            meter: Meter::default(),
        }
    }

    /// Room temperature when time was last advanced, °C.
    pub(crate) const fn temperature(&self) -> f64 {
        self.temperature
    }

    /// Floor temperature, where the floor is heated, °C.
    pub(crate) const fn floor(&self) -> Option<f64> {
        self.slab
    }

    /// Returns the room as of `now` and leaves this one unchanged. The meter of the result contains only the energy
    /// used in between.
    pub(crate) fn at(&self, now: Now) -> Self {
        let mut room = Self {
            spec: self.spec,
            weather: self.weather,
            seed: self.seed,
            slab: self.slab,
            temperature: self.temperature,
            drive: self.drive,
            at: self.at,
            outside: self.outside,
            meter: Meter::default(),
        };
        room.advance(now);
        room
    }

    /// Sets the temperature from the time of the last advance, °C.
    pub(crate) const fn set_temperature(&mut self, celsius: f64) {
        self.temperature = celsius;
    }

    /// Sets the climate from the time of the last advance.
    pub(crate) const fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
        self.outside = (i64::MIN, 0.0);
    }

    pub(crate) const fn drive(&self) -> Drive {
        self.drive
    }

    pub(crate) const fn spec(&self) -> &RoomSpec {
        &self.spec
    }

    /// Climate of the home, and the seed of its weather.
    pub(crate) const fn climate(&self) -> (Weather, u64) {
        (self.weather, self.seed)
    }

    /// Outdoor temperature, °C.
    pub(crate) fn outdoors(&self, now: Now) -> f64 {
        self.weather.outdoors(self.seed, now.wall)
    }

    /// Sets the heater's power from the time of the last advance.
    pub(crate) const fn set_drive(&mut self, drive: Drive) {
        self.drive = drive;
    }

    /// Advances time to `now`. An earlier time has no effect.
    pub(crate) fn advance(&mut self, now: Now) {
        while self.at < now.mono {
            let here = now.at(self.at);
            // The weather and the meter's bucket change on the half hour.
            let into = here.wall.as_millis().rem_euclid(BUCKET_SECS * 1_000);
            let left = u64::try_from(BUCKET_SECS * 1_000 - into).unwrap_or(1);
            let mut end = now.mono.min(self.at + Duration::from_millis(left));
            if self.at < self.drive.until {
                end = end.min(self.drive.until);
            }
            if self.slab.is_some() {
                end = end.min(self.at + SLAB_STEP);
            }
            self.step(here, (end - self.at).as_secs_f64());
            self.at = end;
        }
    }

    fn step(&mut self, here: Now, secs: f64) {
        let on = self.at < self.drive.until;
        let heat = if on { self.drive.heat } else { 0.0 };
        if on && self.drive.electric > 0.0 {
            self.meter.record(here.wall.as_secs(), self.drive.electric * secs, secs);
        }
        // Both equations are solved exactly within the step. For the slab, the room's temperature counts as constant,
        // see `SLAB_STEP`.
        let into_room = match &mut self.slab {
            None => heat,
            Some(slab) => {
                let rest = self.temperature + heat / SLAB_COUPLING;
                let after = rest + (*slab - rest) * decay(secs * SLAB_COUPLING / SLAB_CAPACITY);
                // The slab passed the remaining heat to the room: the two steps conserve energy.
                let moved = heat - (after - *slab) * SLAB_CAPACITY / secs;
                *slab = after;
                moved
            }
        };
        let hour = here.wall.as_secs().div_euclid(3_600);
        if self.outside.0 != hour {
            self.outside = (hour, self.outdoors(here));
        }
        let rest = self.outside.1 + (into_room + self.spec.gain) / self.spec.heat_loss;
        self.temperature =
            rest + (self.temperature - rest) * decay(secs * self.spec.heat_loss / self.spec.capacity);
    }
}

#[cfg(test)]
mod tests {
    use mysa_proto::UnixTime;

    use super::*;

    fn start() -> Now {
        Now { mono: Duration::from_secs(5), wall: UnixTime::from_secs(1_767_323_045) }
    }

    fn room(weather: Weather, with_slab: bool) -> Room {
        Room::new(RoomSpec::default(), weather, 3, with_slab, start().mono)
    }

    const CALM: Weather = Weather { mean: -5.0, season: 0.0, day: 0.0, variation: 0.0 };

    #[test]
    fn without_heat_a_room_cools_towards_the_weather_and_the_gains() {
        let mut room = room(CALM, false);
        let end = start().at(Duration::from_secs(40 * 86_400));
        room.advance(end);
        assert!((room.temperature() - (-5.0 + 80.0 / 55.0)).abs() < 1e-6, "{}", room.temperature());
        assert_eq!(room.meter.total_joules(), 0.0);
    }

    #[test]
    fn the_step_does_not_matter() {
        for with_slab in [false, true] {
            let (mut coarse, mut fine) =
                (room(Weather::default(), with_slab), room(Weather::default(), with_slab));
            let off_at = start().mono + Duration::from_secs(4_321);
            for room in [&mut coarse, &mut fine] {
                room.set_drive(Drive::heater(1_500.0, off_at));
            }
            let end = start().mono + Duration::from_secs(9_000);
            coarse.advance(start().at(end));
            let mut at = start().mono;
            while at < end {
                at += Duration::from_millis(7_321);
                fine.advance(start().at(at.min(end)));
            }
            let apart = (coarse.temperature() - fine.temperature()).abs();
            assert!(apart < if with_slab { 0.02 } else { 1e-9 }, "slab {with_slab}: {apart}");
            assert!((coarse.meter.total_joules() - 1_500.0 * 4_321.0).abs() < 1e-3);
            assert!((fine.meter.total_joules() - 1_500.0 * 4_321.0).abs() < 1e-3);
        }
    }

    #[test]
    fn heat_is_conserved_through_the_slab() {
        let mut room = room(CALM, true);
        room.set_drive(Drive::heater(1_000.0, Duration::MAX));
        room.advance(start().at(Duration::from_secs(60 * 86_400)));
        let expected = -5.0 + 1_080.0 / 55.0;
        assert!((room.temperature() - expected).abs() < 0.01, "{} {expected}", room.temperature());
        let floor = room.floor().unwrap_or_default();
        assert!((floor - (expected + 1_000.0 / SLAB_COUPLING)).abs() < 0.05, "{floor}");
    }

    #[test]
    fn a_spec_of_nonsense_still_gives_numbers() {
        let spec =
            RoomSpec { heat_loss: 0.0, capacity: f64::NAN, gain: f64::INFINITY, temperature: f64::NAN };
        let mut room = Room::new(spec, CALM, 0, false, Duration::ZERO);
        room.advance(Now { mono: Duration::from_secs(3_600), wall: UnixTime::from_secs(1_767_323_045) });
        assert!(room.temperature().is_finite());
    }
}
