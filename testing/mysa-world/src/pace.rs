use std::collections::BTreeMap;
use std::time::Duration;

use mysa_proto::DeviceId;
use mysa_session::Settings;

use crate::violation::Violation;

/// Distances in time between the writes of one client, by either channel.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: BTreeMap<DeviceId, Write>,
}

/// Last write to a thermostat.
#[derive(Debug)]
struct Write {
    at: Duration,
    delayed: bool,
}

impl Pace {
    /// Records a write and checks its distance to the earlier ones. A write is `delayed` if its connection took long to open:
    /// it is then sent at once, and those to other thermostats keep no distance to it.
    pub(crate) fn write(
        &mut self,
        now: Duration,
        device: DeviceId,
        delayed: bool,
        settings: &Settings,
    ) -> Result<(), Violation> {
        for (other, write) in &self.last {
            let after = now.saturating_sub(write.at);
            if *other == device && after < settings.write_interval {
                return Err(Violation::TooFast { device, after });
            }
            if *other != device && !delayed && !write.delayed && after < settings.device_spacing {
                return Err(Violation::Unpaced { device, after });
            }
        }
        self.last.insert(device, Write { at: now, delayed });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Result of the last of these writes, each given with its time in milliseconds, its thermostat, and `true` if it is delayed.
    fn last(writes: &[(u64, &str, bool)]) -> Result<(), Violation> {
        let (mut pace, settings) = (Pace::default(), Settings::default());
        let mut last = Ok(());
        for (at, id, delayed) in writes {
            last = pace.write(Duration::from_millis(*at), DeviceId::new(id).unwrap(), *delayed, &settings);
        }
        last
    }

    #[test]
    fn writes_that_are_too_close_are_detected() {
        const ONE: &str = "a0b1c2d3e4f6";
        const TWO: &str = "a0b1c2d3e4f7";
        for delayed in [false, true] {
            assert!(matches!(
                last(&[(0, ONE, false), (2_499, ONE, delayed)]),
                Err(Violation::TooFast { .. })
            ));
            assert!(matches!(
                last(&[(0, ONE, delayed), (2_499, ONE, false)]),
                Err(Violation::TooFast { .. })
            ));
            assert_eq!(last(&[(0, ONE, delayed), (2_500, ONE, delayed)]), Ok(()));
        }
        assert!(matches!(last(&[(0, ONE, false), (999, TWO, false)]), Err(Violation::Unpaced { .. })));
        // Another write in between makes no difference.
        let between = [(0, ONE, false), (2_000, TWO, false), (2_400, ONE, false)];
        assert!(matches!(last(&between), Err(Violation::TooFast { .. })));
        assert_eq!(last(&[(0, ONE, false), (1_000, TWO, false)]), Ok(()));
        assert_eq!(last(&[(0, ONE, true), (1, TWO, false)]), Ok(()));
        assert_eq!(last(&[(0, ONE, false), (1, TWO, true)]), Ok(()));
    }
}
