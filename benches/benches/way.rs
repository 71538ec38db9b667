//! A status on its whole way, from the payload of a WebSocket frame to the news that a thermostat has changed, beside
//! the same work done the usual way.

use mysa_benches::Contest;
use mysa_benches::way::{Home, Ours, Usual};

fn main() {
    for (title, acknowledged) in [("status, QoS 0", false), ("status, QoS 1 and its PUBACK", true)] {
        let (mut ours, mut usual) = (Ours::new(), Usual::default());
        let (mut home, mut same_home) = (Home::new(acknowledged), Home::new(acknowledged));
        for _ in 0..100 {
            let (one, other) = (ours.take(home.speak()), usual.take(same_home.speak()));
            assert_eq!((one.news, one.degrees, one.sent), (1, other.degrees, other.sent));
        }
        let table = Contest::new(title, "status")
            .entry("mysa-session", 1, || ours.take(home.speak()))
            .entry("rumqttc's codec, serde_json::Value, HashMap", 1, || usual.take(same_home.speak()))
            .run();
        print!("{table}");
    }
}
