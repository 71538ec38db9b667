use mysa_proto::UnixTime;

use crate::math::{cos_turn, floor};
use crate::rng::{hash, unit};

/// Climate of a home. The outdoor temperature is a pure function of the climate, a seed and the hour.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Weather {
    /// Mean over the year, °C.
    pub mean: f64,
    /// Amplitude over the year in kelvins: July is this much warmer than the mean, January this much colder.
    pub season: f64,
    /// Amplitude over the day in kelvins: the afternoon is this much warmer than the mean, the night this much colder.
    pub day: f64,
    /// Largest deviation by the weather, in kelvins. Changes within half a day.
    pub variation: f64,
}

impl Default for Weather {
    /// A cold maritime climate: -5 °C on a January day, 19 °C on one in July.
    fn default() -> Self {
        Self { mean: 7.0, season: 12.0, day: 4.0, variation: 5.0 }
    }
}

impl Weather {
    /// Outdoor temperature in °C during the hour that holds `at`. Constant within each hour of UTC.
    #[must_use]
    pub fn outdoors(&self, seed: u64, at: UnixTime) -> f64 {
        let hour = at.as_secs().div_euclid(3_600);
        let hours = hour as f64;
        // Coldest near 20 January and, in the Atlantic time zone, at 09:00 UTC.
        let season = -self.season * cos_turn((hours / 24.0 - 19.0) / 365.25);
        let day = -self.day * cos_turn((hours - 9.0) / 24.0);
        let knot = floor(hours / 12.0);
        let part = hours / 12.0 - knot;
        let departure = |knot: f64| unit(hash(seed, knot as i64 as u64)) * 2.0 - 1.0;
        let variation = self.variation * (departure(knot) * (1.0 - part) + departure(knot + 1.0) * part);
        self.mean + season + day + variation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn winter_is_cold_and_the_afternoon_is_warm() {
        let calm = Weather { variation: 0.0, ..Weather::default() };
        let at = |secs| calm.outdoors(1, UnixTime::from_secs(secs));
        let (january_night, january_day, july_day) =
            (at(1_768_899_600), at(1_768_942_800), at(1_784_581_200));
        assert!(january_night < january_day && january_day < july_day);
        assert!((-10.0..-7.0).contains(&january_night), "{january_night}");
    }

    #[test]
    fn the_weather_of_an_hour_does_not_change() {
        let weather = Weather::default();
        let hour = 1_767_322_800;
        assert_eq!(
            weather.outdoors(9, UnixTime::from_secs(hour)),
            weather.outdoors(9, UnixTime::from_millis((hour + 3_600) * 1_000 - 1))
        );
        assert_ne!(
            weather.outdoors(9, UnixTime::from_secs(hour)),
            weather.outdoors(8, UnixTime::from_secs(hour))
        );
    }
}
