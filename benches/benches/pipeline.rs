//! The processing of a status, from the payload of a WebSocket frame to the event that a thermostat has changed,
//! compared with common crates.

use mysa_benches::Comparison;
use mysa_benches::pipeline::{Frames, ReferencePipeline, SessionPipeline};

fn main() {
    for (title, acknowledged) in [("status, QoS 0", false), ("status, QoS 1 and its PUBACK", true)] {
        let (mut ours, mut reference) = (SessionPipeline::new(), ReferencePipeline::default());
        let (mut frames, mut same_frames) = (Frames::new(acknowledged), Frames::new(acknowledged));
        for _ in 0..100 {
            let (one, other) = (ours.handle(frames.next_frame()), reference.handle(same_frames.next_frame()));
            assert_eq!((one.events, one.degrees, one.sent), (1, other.degrees, other.sent));
        }
        let table = Comparison::new(title, "status")
            .entry("mysa-session", 1, || ours.handle(frames.next_frame()))
            .entry("rumqttc's codec, serde_json::Value, HashMap", 1, || {
                reference.handle(same_frames.next_frame())
            })
            .run();
        print!("{table}");
    }
}
