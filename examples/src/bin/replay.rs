//! `replay FILE.har` plays a captured session back, without a network.
//!
//! The file is an export of a browser's developer tools while the web app runs ("Save all as HAR"): it contains the
//! presigned URL, the list of thermostats, and every WebSocket message with its time. The session runs in virtual time,
//! so an evening takes milliseconds, and prints every change of a thermostat.

use std::time::Duration;
use std::{env, fs};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mysa_examples::Error;
use mysa_mqtt_codec::server::{self, Outbound};
use mysa_mqtt_codec::{BrokerLimits, ConnAck, Inbound, Publish, ReturnCodes, Stream, SubAck};
use mysa_proto::rest::DeviceList;
use mysa_proto::{DeviceId, Model, UnixTime};
use mysa_session::{ConnId, Environment, Event, Now, Output, Session, Settings, Start};
use mysa_sigv4::PresignedUrl;
use serde_json::Value;

fn main() -> Result<(), Error> {
    let path = env::args().nth(1).ok_or("expected the path of a HAR file")?;
    let capture = fs::read(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let capture: Value =
        serde_json::from_slice(&capture).map_err(|error| format!("{path} is not a HAR file: {error}"))?;
    let entries = capture["log"]["entries"].as_array().ok_or_else(|| format!("{path} is not a HAR file"))?;
    let with = |start: &str, end: &str| {
        let mut urls = entries.iter().filter_map(|entry| Some((entry, entry["request"]["url"].as_str()?)));
        urls.find(|(_, url)| url.starts_with(start) && url.ends_with(end)).map(|(entry, _)| entry)
    };
    let list = with("https://", "/devices").ok_or("the capture has no list of thermostats")?;
    let list = DeviceList::decode(list["response"]["content"]["text"].as_str().unwrap_or("").as_bytes())?;
    let devices = list
        .devices
        .iter()
        .map(|(id, record)| (*id, Model::parse(record.model.as_deref().unwrap_or(""))))
        .collect();
    let socket = with("wss://", "").ok_or("the capture has no WebSocket")?;
    let url = PresignedUrl::parse(socket["request"]["url"].as_str().unwrap_or(""))?;
    let messages = socket["_webSocketMessages"].as_array().ok_or("the capture has no WebSocket messages")?;
    let begin = messages
        .first()
        .and_then(|message| message["time"].as_f64())
        .ok_or("the capture has no WebSocket messages")?;

    let mut player = Player::new(Start::Captured { url, devices }, begin);
    let mut stream = Stream::new(BrokerLimits::AWS_IOT.decode_options());
    for message in messages.iter().filter(|message| message["type"] == "receive") {
        let data = BASE64_STANDARD.decode(message["data"].as_str().unwrap_or(""))?;
        player.advance(message["time"].as_f64().unwrap_or(begin))?;
        let mut rest = &data[..];
        // Other packets of the broker were for another client; only the thermostats' messages are played back.
        while let Some(packet) = stream.next(&mut rest)? {
            if let Inbound::Publish(publish) = packet {
                player.receive(publish)?;
            }
        }
    }
    Ok(())
}

struct Player {
    session: Session,
    conn: Option<ConnId>,
    broker: server::Stream,
    begin: UnixTime,
    now: Duration,
}

impl Player {
    /// Creates a player. `begin` is in Unix seconds, as in the file.
    fn new(start: Start, begin: f64) -> Self {
        let begin = UnixTime::from_secs(0).plus_millis((begin * 1e3) as i64);
        let now = Now { mono: Duration::ZERO, wall: begin };
        let mut settings = Settings::default();
        settings.read_only = true;
        // A capture cannot answer, so the session sends nothing.
        settings.live_reports = false;
        let session = Session::new(settings, Environment::mysa(), start, [7; 32], now);
        Self { session, conn: None, broker: server::Stream::new(160_000), begin, now: Duration::ZERO }
    }

    fn clock(&self) -> Now {
        Now { mono: self.now, wall: self.begin.plus_millis(self.now.as_millis() as i64) }
    }

    /// Advances virtual time to `to`, handling every deadline on the way.
    fn advance(&mut self, to: f64) -> Result<(), Error> {
        let to = UnixTime::from_secs(0).plus_millis((to * 1e3) as i64).as_millis() - self.begin.as_millis();
        let to = Duration::from_millis(to.try_into()?);
        self.drain()?;
        while let Some(deadline) = self.session.poll_timeout().filter(|deadline| deadline.at <= to) {
            self.now = self.now.max(deadline.at);
            self.session.handle_timeout(self.clock());
            self.drain()?;
        }
        self.now = self.now.max(to);
        Ok(())
    }

    fn receive(&mut self, publish: Publish<'_>) -> Result<(), Error> {
        let Some(conn) = self.conn else { return Ok(()) };
        let mut bytes = Vec::new();
        Outbound::Publish(publish).encode(&mut bytes)?;
        self.session.handle_ws_bytes(self.clock(), conn, &bytes);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Error> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Dial(dial) => {
                    self.conn = Some(dial.conn);
                    self.session.handle_ws_opened(self.clock(), dial.conn);
                }
                Output::Send { conn, bytes } => {
                    let mut answer = Vec::new();
                    let mut rest = &bytes[..];
                    while let Some(packet) = self.broker.next(&mut rest)? {
                        reply(&packet, &mut answer)?;
                    }
                    self.session.handle_ws_bytes(self.clock(), conn, &answer);
                }
                Output::Event(Event::Device { device, .. }) => self.show(device),
                _ => {}
            }
        }
        Ok(())
    }

    fn show(&self, id: DeviceId) {
        let Some(state) = self.session.state(id) else { return };
        let (Some(temperature), Some(setpoint)) = (state.temperature(), state.setpoint()) else { return };
        let (at, temperature, setpoint) = (self.now.as_secs_f64(), temperature.value, setpoint.value);
        println!("{at:>8.1} s  {id}  room {temperature}, setpoint {setpoint}");
    }
}

/// Answers a packet as a broker that grants everything.
fn reply(packet: &server::Inbound<'_>, answer: &mut Vec<u8>) -> Result<(), Error> {
    match packet {
        server::Inbound::Connect(_) => {
            Outbound::ConnAck(ConnAck::Accepted { session_present: false }).encode(answer)?;
        }
        server::Inbound::Subscribe(subscribe) => {
            let codes = vec![1; subscribe.filters().count()];
            let codes = ReturnCodes::new(&codes)?;
            Outbound::SubAck(SubAck { id: subscribe.id, codes }).encode(answer)?;
        }
        server::Inbound::PingReq => Outbound::PingResp.encode(answer)?,
        _ => {}
    }
    Ok(())
}
