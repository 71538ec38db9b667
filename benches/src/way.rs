//! The whole way of a status: from the payload of a WebSocket frame to the news that a thermostat has changed.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use mysa_mqtt_codec::server::{self, Outbound};
use mysa_mqtt_codec::{ConnAck, Delivery, PacketId, Publish, ReturnCodes, SubAck, Topic};
use mysa_proto::{DeviceId, Model, UnixTime};
use mysa_session::{ConnId, Event, Now, Output, Session, Settings, Start};
use mysa_sigv4::PresignedUrl;
use serde_json::Value;

const HOME: [&str; 4] = ["a0b1c2d3e4f0", "a0b1c2d3e4f1", "a0b1c2d3e4f2", "a0b1c2d3e4f3"];
const BIRTH: i64 = 1_767_323_045;
/// Long enough never to lapse while a benchmark runs.
const URL: &str = "wss://example.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=3a9c4d1b5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809";

/// A home of four thermostats that speak in turn; none says the same temperature twice running.
#[derive(Clone, Debug)]
pub struct Home {
    /// One PUBLISH for each thermostat, and where the digit is that changes.
    packets: Vec<(Vec<u8>, usize)>,
    said: usize,
}

impl Home {
    /// A home whose thermostats' messages arrive with QoS 0, or with QoS 1, which wants an answer.
    ///
    /// # Panics
    ///
    /// Never: what it writes is well formed.
    #[must_use]
    #[expect(clippy::expect_used, reason = "constants")]
    pub fn new(acknowledged: bool) -> Self {
        let delivery = if acknowledged {
            Delivery::AtLeastOnce(PacketId::new(10).expect("not zero"))
        } else {
            Delivery::AtMostOnce
        };
        let packet = |id: &&str| {
            let topic = format!("/v1/dev/{id}/out");
            let payload = format!(
                r#"{{"ver":"1.0","src":{{"type":1,"ref":"{id}"}},"time":{BIRTH},"msg":40,"id":7100200300400500611,"body":{{"ambTemp":18.0,"hum":44.5,"stpt":20.0,"dtyCycle":1.0}}}}"#
            );
            let mut out = Vec::new();
            let publish = Publish::new(Topic::new(&topic).expect("a topic"), payload.as_bytes(), delivery);
            Outbound::Publish(publish).encode(&mut out).expect("room");
            let digit = out.windows(4).position(|part| part == b"18.0").expect("the temperature") + 3;
            (out, digit)
        };
        Self { packets: HOME.iter().map(packet).collect(), said: 0 }
    }

    /// The next frame.
    pub fn speak(&mut self) -> &[u8] {
        let rounds = self.said / self.packets.len();
        let at = self.said % self.packets.len();
        self.said += 1;
        let (packet, digit) = &mut self.packets[at];
        packet[*digit] = b'0' + (rounds % 10) as u8;
        packet
    }
}

/// Our way: a live session.
#[derive(Debug)]
pub struct Ours {
    session: Session,
    conn: ConnId,
    now: Now,
}

impl Default for Ours {
    fn default() -> Self {
        Self::new()
    }
}

impl Ours {
    /// Brings a session to life: it dials, connects and subscribes.
    ///
    /// # Panics
    ///
    /// The session does not do what it is known to do.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a session that does not get live is not worth timing")]
    pub fn new() -> Self {
        let mut now = Now { mono: Duration::ZERO, wall: UnixTime::from_secs(BIRTH) };
        let model = Model::parse("BB-V2-0");
        let devices = HOME.iter().map(|id| (DeviceId::new(id).expect("an id"), model.clone())).collect();
        let start = Start::Captured { url: PresignedUrl::parse(URL).expect("a presigned URL"), devices };
        let mut settings = Settings::default();
        settings.live_reports = false;
        let environment = mysa_session::Environment::mysa();
        let mut session = Session::new(settings, environment, start, [7; 32], now);

        let mut broker = server::Stream::new(100_000);
        let mut dialled = None;
        for _ in 0..40 {
            while let Some(output) = session.poll_output() {
                match output {
                    Output::Dial(dial) => {
                        dialled = Some(dial.conn);
                        session.handle_ws_opened(now, dial.conn);
                    }
                    Output::Send { conn, bytes } => {
                        let mut answer = Vec::new();
                        let mut rest = &bytes[..];
                        while let Some(packet) = broker.next(&mut rest).expect("MQTT") {
                            reply(&packet, &mut answer);
                        }
                        session.handle_ws_bytes(now, conn, &answer);
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

    /// Takes a frame, and does what a driver does then. Returns what there was to tell and what was to be sent, in
    /// numbers.
    pub fn take(&mut self, frame: &[u8]) -> Taken {
        self.now = later(self.now, Duration::from_micros(1));
        self.session.handle_ws_bytes(self.now, self.conn, frame);
        let mut taken = Taken::default();
        while let Some(output) = self.session.poll_io() {
            if let Output::Send { bytes, .. } = output {
                taken.sent += bytes.len();
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::Device { device, .. } = event {
                taken.news += 1;
                let state = self.session.state(device);
                let temperature = state.and_then(|state| state.temperature());
                taken.degrees = temperature.map_or(0.0, |field| field.value.as_degrees());
            }
        }
        taken.deadline = self.session.poll_timeout().map(|deadline| deadline.at);
        taken
    }
}

#[expect(clippy::expect_used, reason = "constants")]
fn reply(packet: &server::Inbound<'_>, answer: &mut Vec<u8>) {
    match packet {
        server::Inbound::Connect(_) => {
            Outbound::ConnAck(ConnAck::Accepted { session_present: false }).encode(answer).expect("room");
        }
        server::Inbound::Subscribe(subscribe) => {
            let codes = vec![1; subscribe.filters().count()];
            let codes = ReturnCodes::new(&codes).expect("codes");
            Outbound::SubAck(SubAck { id: subscribe.id, codes }).encode(answer).expect("room");
        }
        _ => {}
    }
}

fn later(now: Now, by: Duration) -> Now {
    let mono = now.mono + by;
    Now { mono, wall: UnixTime::from_secs(BIRTH).plus_millis(mono.as_millis() as i64) }
}

/// What a frame led to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Taken {
    /// Events about a thermostat.
    pub news: usize,
    /// The temperature it has now.
    pub degrees: f64,
    /// Bytes to send.
    pub sent: usize,
    /// When to call again.
    pub deadline: Option<Duration>,
}

/// The usual way: rumqttc's codec, a `Value`, a map of states, an event if one changed.
#[derive(Debug, Default)]
pub struct Usual {
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

impl Usual {
    /// Takes a frame.
    pub fn take(&mut self, frame: &[u8]) -> Taken {
        self.read.extend_from_slice(frame);
        while let Ok(packet) = rumqttc::Packet::read(&mut self.read, 160_000) {
            if let rumqttc::Packet::Publish(publish) = packet {
                self.publish(&publish);
            }
        }
        let mut taken = Taken { sent: self.written.len(), ..Taken::default() };
        self.written.clear();
        while let Some(event) = self.events.pop_front() {
            taken.news += 1;
            taken.degrees = self.states.get(&event.device).and_then(|state| state.temperature).unwrap_or(0.0);
        }
        taken
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
