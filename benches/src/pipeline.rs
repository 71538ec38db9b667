//! Processing of a status, from the payload of a WebSocket frame to the event that a thermostat has changed.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use mysa_mqtt_codec::PacketId;
use mysa_proto::{DeviceId, Model, UnixTime};
use mysa_session::{ConnId, Event, Now, Output, Session, Settings, Start};
use mysa_sigv4::PresignedUrl;
use mysa_testkit::{BrokerBehavior, BrokerConnection, V2Status, publish, publish_at_least_once};
use serde_json::Value;

const HOME: [&str; 4] = ["a0b1c2d3e4f0", "a0b1c2d3e4f1", "a0b1c2d3e4f2", "a0b1c2d3e4f3"];
const BIRTH: i64 = 1_767_323_045;
/// URL that is valid for longer than a benchmark runs.
const URL: &str = "wss://example.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=3a9c4d1b5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809";

/// Frames of four thermostats in turn, each with a different temperature every time.
#[derive(Clone, Debug)]
pub struct Frames {
    /// One PUBLISH per thermostat, and the offset of the digit that changes.
    packets: Vec<(Vec<u8>, usize)>,
    sent: usize,
}

impl Frames {
    /// Creates frames with QoS 0, or with QoS 1, which require an acknowledgement.
    ///
    /// # Panics
    ///
    /// Never: the frames are constant.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the values are constants")]
    pub fn new(acknowledged: bool) -> Self {
        let packet = |id: &&str| {
            let topic = format!("/v1/dev/{id}/out");
            let status = V2Status {
                id: 7_100_200_300_400_500_611,
                temperature: 18.0,
                humidity: 44.5,
                duty_cycle: 1.0,
                ..V2Status::new(id, BIRTH)
            };
            let payload = status.to_string();
            let out = if acknowledged {
                publish_at_least_once(PacketId::new(10).expect("not zero"), &topic, payload.as_bytes())
            } else {
                publish(&topic, payload.as_bytes())
            };
            let digit = out.windows(4).position(|part| part == b"18.0").expect("the temperature") + 3;
            (out, digit)
        };
        Self { packets: HOME.iter().map(packet).collect(), sent: 0 }
    }

    /// Returns the next frame.
    pub fn next_frame(&mut self) -> &[u8] {
        let rounds = self.sent / self.packets.len();
        let at = self.sent % self.packets.len();
        self.sent += 1;
        let (packet, digit) = &mut self.packets[at];
        packet[*digit] = b'0' + (rounds % 10) as u8;
        packet
    }
}

/// Live session of this project.
#[derive(Debug)]
pub struct SessionPipeline {
    session: Session,
    conn: ConnId,
    now: Now,
}

impl Default for SessionPipeline {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionPipeline {
    /// Starts a session and waits until it has connected and subscribed.
    ///
    /// # Panics
    ///
    /// The session does not connect.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a session that does not connect is not worth timing")]
    pub fn new() -> Self {
        let mut now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(BIRTH) };
        let model = Model::parse("BB-V2-0");
        let devices = HOME.iter().map(|id| (DeviceId::new(id).expect("an id"), model.clone())).collect();
        let start = Start::Captured { url: PresignedUrl::parse(URL).expect("a presigned URL"), devices };
        let mut settings = Settings::default();
        settings.live_reports = false;
        let environment = mysa_session::Environment::mysa();
        let mut session = Session::new(settings, environment, start, [7; 32], now);

        let mut broker = BrokerConnection::new();
        let mut dialled = None;
        for _ in 0..40 {
            while let Some(output) = session.poll_output() {
                match output {
                    Output::Dial(dial) => {
                        dialled = Some(dial.conn);
                        session.handle_ws_opened(now, dial.conn);
                    }
                    Output::Send { conn, bytes } => {
                        let exchange = broker.receive(&BrokerBehavior::default(), &bytes);
                        session.handle_ws_bytes(now, conn, &exchange.reply);
                    }
                    _ => {}
                }
            }
            now = later(now, Duration::from_millis(100));
            session.handle_timeout(now);
        }
        let conn = dialled.expect("a dial");
        for id in HOME {
            assert!(session.is_subscribed(DeviceId::new(id).expect("an id")), "{id} is not subscribed");
        }
        Self { session, conn, now }
    }

    /// Handles a frame as a driver does, and counts events and bytes to send.
    pub fn handle(&mut self, frame: &[u8]) -> Handled {
        self.now = later(self.now, Duration::from_micros(1));
        self.session.handle_ws_bytes(self.now, self.conn, frame);
        let mut handled = Handled::default();
        while let Some(output) = self.session.poll_io() {
            if let Output::Send { bytes, .. } = output {
                handled.sent += bytes.len();
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::Device { device, .. } = event {
                handled.events += 1;
                let state = self.session.state(device);
                let temperature = state.and_then(|state| state.temperature());
                handled.degrees = temperature.map_or(0.0, |field| field.value.as_degrees());
            }
        }
        handled.deadline = self.session.poll_timeout().map(|deadline| deadline.at);
        handled
    }
}

fn later(now: Now, by: Duration) -> Now {
    let mono = now.mono + by;
    Now { mono, wall: UnixTime::from_secs(BIRTH).plus_millis(mono.as_millis() as i64) }
}

/// Effects of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Handled {
    /// Events about a thermostat.
    pub events: usize,
    /// Temperature of the thermostat.
    pub degrees: f64,
    /// Bytes to send.
    pub sent: usize,
    /// Time of the next call.
    pub deadline: Option<Duration>,
}

/// Reference for comparison: rumqttc's codec, `serde_json::Value`, a map of states, and an event for each change.
#[derive(Debug, Default)]
pub struct ReferencePipeline {
    read: BytesMut,
    written: BytesMut,
    states: HashMap<String, State>,
    events: VecDeque<Changed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct State {
    time: i64,
    temperature: Option<f64>,
    humidity: Option<f64>,
    setpoint: Option<f64>,
    duty: Option<f64>,
}

#[derive(Debug)]
struct Changed {
    device: String,
}

impl ReferencePipeline {
    /// Handles a frame.
    pub fn handle(&mut self, frame: &[u8]) -> Handled {
        self.read.extend_from_slice(frame);
        while let Ok(packet) = rumqttc::Packet::read(&mut self.read, 160_000) {
            if let rumqttc::Packet::Publish(publish) = packet {
                self.publish(&publish);
            }
        }
        let mut handled = Handled { sent: self.written.len(), ..Handled::default() };
        self.written.clear();
        while let Some(event) = self.events.pop_front() {
            handled.events += 1;
            handled.degrees =
                self.states.get(&event.device).and_then(|state| state.temperature).unwrap_or(0.0);
        }
        handled
    }

    fn publish(&mut self, publish: &rumqttc::Publish) -> Option<()> {
        if publish.qos == rumqttc::QoS::AtLeastOnce {
            rumqttc::PubAck::new(publish.pkid).write(&mut self.written).ok()?;
        }
        let id = publish.topic.strip_prefix("/v1/dev/")?.strip_suffix("/out")?;
        let message: Value = serde_json::from_slice(&publish.payload).ok()?;
        if message["msg"].as_i64()? != 40 || message["src"]["ref"].as_str()? != id {
            return None;
        }
        let time = message["time"].as_i64()?;
        let body = &message["body"];
        let state = self.states.entry(id.to_owned()).or_default();
        if time < state.time {
            return None;
        }
        let seen = State {
            time,
            temperature: body["ambTemp"].as_f64().or(state.temperature),
            humidity: body["hum"].as_f64().or(state.humidity),
            setpoint: body["stpt"].as_f64().or(state.setpoint),
            duty: body["dtyCycle"].as_f64().or(state.duty),
        };
        if seen != *state {
            *state = seen;
            self.events.push_back(Changed { device: id.to_owned() });
        }
        Some(())
    }
}
