//! A small client made of the protocol crates, with the steps that every test needs first.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::time::Duration;

use mysa_cognito::{
    AwsCredentials, HttpRequest as AwsRequest, Pool, Secret, SignIn, Step, Tokens, get_credentials, get_id,
};
use mysa_mqtt_codec::{
    ClientId, Connect, Delivery, Filter, Inbound, Outbound, PacketId, Publish, QoS, Stream, Topic, puback,
};
use mysa_proto::{DeviceId, UnixTime};
use mysa_sigv4::{Authority, Credentials, Presigner};
use mysa_sim::{Closing, Cloud, CloudSpec, HttpAnswer, HttpReply, HttpRequest, Now, Output, Upgrade};
use serde_json::Value;

pub const WALL: i64 = 1_767_323_045;
pub const LEGACY: &str = "app-prod.mysa.cloud";
pub const BACKEND: &str = "mysa-backend.mysa.cloud";
pub const IDP: &str = "cognito-idp.us-east-1.amazonaws.com";
pub const IDENTITY: &str = "cognito-identity.us-east-1.amazonaws.com";
pub const IOT: &str = "a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com";
pub const LEGACY_POOL: &str = "us-east-1:ebd95d52-9995-45da-b059-56b865a18379";
pub const MODERN_POOL: &str = "us-east-1:e27f246e-ad23-41ce-ac80-eda86f8be424";
pub const LEGACY_CLIENT: &str = "19efs8tgqe942atbqmot5m36t3";
pub const MODERN_CLIENT: &str = "6cktj934gasnc72f7jo2cmf6rt";

pub fn at(mono: Duration) -> Now {
    Now { mono, wall: UnixTime::from_secs(WALL).plus_millis(mono.as_millis() as i64) }
}

pub fn id(last: &str) -> DeviceId {
    DeviceId::new(&format!("a0b1c2d3e4{last}")).unwrap()
}

/// A message that the client received.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub at: Duration,
    pub topic: String,
    pub payload: Vec<u8>,
    pub dup: bool,
    pub qos1: bool,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}

pub struct Harness {
    pub cloud: Cloud,
    pub now: Duration,
    pub inbox: Vec<Received>,
    pub subacks: Vec<(u16, Vec<u8>)>,
    pub pubacks: Vec<u16>,
    pub connacks: u32,
    pub pongs: u32,
    pub closed: Vec<(u64, Closing)>,
    pub answers_qos1: bool,
    pub bytes: Vec<u8>,
    /// Answers of AWS's services.
    pub answers: Vec<Value>,
    streams: std::collections::BTreeMap<u64, Stream>,
    next: u16,
}

impl Harness {
    pub fn new(spec: CloudSpec) -> Self {
        Self::seeded(spec, 7)
    }

    pub fn seeded(spec: CloudSpec, seed: u64) -> Self {
        Self {
            cloud: Cloud::new(spec, seed, at(Duration::ZERO)),
            now: Duration::ZERO,
            inbox: Vec::new(),
            subacks: Vec::new(),
            pubacks: Vec::new(),
            connacks: 0,
            pongs: 0,
            closed: Vec::new(),
            answers_qos1: true,
            bytes: Vec::new(),
            answers: Vec::new(),
            streams: Default::default(),
            next: 0,
        }
    }

    pub fn demo() -> Self {
        Self::new(CloudSpec::demo())
    }

    /// Advances time from one deadline of the cloud to the next.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.cloud.poll_timeout().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.cloud.handle_timeout(at(self.now));
            self.drain();
        }
        self.now = end;
        self.cloud.handle_timeout(at(end));
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.cloud.poll_output() {
            match output {
                Output::Close { conn, closing } => {
                    self.streams.remove(&conn);
                    self.closed.push((conn, closing));
                }
                Output::Send { conn, bytes } => {
                    self.bytes.extend_from_slice(&bytes);
                    let Some(mut stream) = self.streams.remove(&conn) else {
                        panic!("sent on {conn}, which is gone")
                    };
                    let mut input = &bytes[..];
                    let mut answers = Vec::new();
                    while let Some(packet) = stream.next(&mut input).unwrap() {
                        match packet {
                            Inbound::ConnAck(_) => self.connacks += 1,
                            Inbound::PingResp => self.pongs += 1,
                            Inbound::PubAck(id) => self.pubacks.push(id.get()),
                            Inbound::SubAck(suback) => {
                                self.subacks.push((suback.id.get(), suback.codes.as_bytes().to_vec()));
                            }
                            Inbound::Publish(publish) => {
                                if let Delivery::AtLeastOnce(id) = publish.delivery {
                                    answers.extend_from_slice(&puback(id));
                                }
                                self.inbox.push(Received {
                                    at: self.now,
                                    topic: publish.topic.as_str().into(),
                                    payload: publish.payload.into(),
                                    dup: publish.dup,
                                    qos1: matches!(publish.delivery, Delivery::AtLeastOnce(_)),
                                });
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                    self.streams.insert(conn, stream);
                    if self.answers_qos1 && !answers.is_empty() {
                        self.cloud.handle_ws_bytes(at(self.now), conn, &answers);
                    }
                }
            }
        }
    }

    pub fn http(
        &mut self,
        host: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> HttpReply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = HttpRequest { host, method, path, query, headers, body: body.as_bytes() };
        match self.cloud.handle_http(at(self.now), &request) {
            HttpAnswer::Reply(reply) => reply,
            other => panic!("{target}: {other:?}"),
        }
    }

    pub fn aws(&mut self, request: &AwsRequest) -> (u16, Vec<u8>) {
        let host = request.service.host("us-east-1");
        let reply = self.http(&host, "POST", "/", &[("X-Amz-Target", request.target)], request.body());
        self.answers.extend(serde_json::from_slice::<Value>(&reply.body));
        (reply.status, reply.body)
    }

    pub fn try_sign_in(
        &mut self,
        client: &str,
        email: &str,
        password: &str,
    ) -> Result<Step, mysa_cognito::Error> {
        let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", client);
        let (request, challenge) = SignIn::start(&pool, email, Secret::from(password), [3; 32]);
        let (status, body) = self.aws(&request);
        match challenge.reply(status, &body, at(self.now).wall.as_secs())? {
            Step::Continue(request, answer) => {
                let (status, body) = self.aws(&request);
                answer.reply(status, &body)
            }
            other => Ok(other),
        }
    }

    pub fn sign_in_as(&mut self, client: &str) -> Tokens {
        match self.try_sign_in(client, CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD).unwrap() {
            Step::Done(tokens) => tokens,
            other => panic!("{other:?}"),
        }
    }

    pub fn sign_in(&mut self) -> Tokens {
        self.sign_in_as(LEGACY_CLIENT)
    }

    pub fn credentials(&mut self, pool: &str, tokens: &Tokens) -> AwsCredentials {
        let (request, identity) = get_id(pool, tokens);
        let (status, body) = self.aws(&request);
        let identity = identity.reply(status, &body).unwrap();
        let (request, credentials) = get_credentials(&identity, tokens);
        let (status, body) = self.aws(&request);
        credentials.reply(status, &body).unwrap()
    }

    pub fn rest(
        &mut self,
        tokens: &Tokens,
        host: &str,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let headers = [("Authorization", tokens.id.expose()), ("content-type", "application/json")];
        let body = body.map(Value::to_string).unwrap_or_default();
        let reply = self.http(host, method, target, &headers, &body);
        let date = reply.header("date").unwrap();
        assert!(date.ends_with("GMT"), "{date}");
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }

    pub fn get(&mut self, tokens: &Tokens, target: &str) -> Value {
        let (status, body) = self.rest(tokens, BACKEND, "GET", target, None);
        assert_eq!(status, 200, "{target} {body}");
        body
    }

    pub fn presign(&self, credentials: &AwsCredentials) -> String {
        let credentials = Credentials::new(
            credentials.access_key_id.as_str(),
            credentials.secret_key.expose(),
            Some(credentials.session_token.expose()),
        );
        let time = time::OffsetDateTime::from_unix_timestamp(at(self.now).wall.as_secs()).unwrap();
        let authority = Authority::new(IOT, None).unwrap();
        let url = Presigner::iot("us-east-1")
            .presign(&credentials, &authority, "/mqtt", time, None, mysa_sigv4::TokenRule::AfterSigning)
            .unwrap();
        url.target().to_owned()
    }

    pub fn upgrade(&mut self, conn: u64, target: &str, protocol: &str) -> Upgrade {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = [("Host", IOT), ("Sec-WebSocket-Protocol", protocol)];
        let request = HttpRequest { host: IOT, method: "GET", path, query, headers: &headers, body: b"" };
        let upgrade = self.cloud.handle_upgrade(at(self.now), conn, &request);
        if upgrade == Upgrade::Accept {
            self.streams.insert(conn, Stream::new(200_000));
        }
        upgrade
    }

    /// Dials with fresh credentials.
    pub fn dial(&mut self, conn: u64, pool: &str, client: &str) {
        let tokens = self.sign_in_as(client);
        let credentials = self.credentials(pool, &tokens);
        let target = self.presign(&credentials);
        assert_eq!(self.upgrade(conn, &target, "mqtt"), Upgrade::Accept);
    }

    /// Dials with fresh credentials, sends CONNECT and expects CONNACK.
    pub fn connect_with(&mut self, conn: u64, pool: &str, client: &str, name: &str) {
        self.dial(conn, pool, client);
        self.send(conn, &connect(name, 60));
    }

    /// Dials and connects without asking for a clean session. Returns `true` if the broker has a stored one.
    pub fn connect_again(&mut self, conn: u64, name: &str) -> bool {
        self.dial(conn, LEGACY_POOL, LEGACY_CLIENT);
        let mut bytes = Vec::new();
        let request = Connect { clean_session: false, ..Connect::new(ClientId::new(name).unwrap(), 60) };
        Outbound::Connect(request).encode(&mut bytes).unwrap();
        self.bytes.clear();
        self.send(conn, &bytes);
        match self.bytes[..] {
            [0x20, 2, present, 0] => present == 1,
            ref other => panic!("{other:?}"),
        }
    }

    pub fn connect(&mut self, conn: u64) {
        self.connect_with(conn, LEGACY_POOL, LEGACY_CLIENT, &format!("client-{conn}"));
        assert!(self.connacks > 0);
    }

    pub fn send(&mut self, conn: u64, bytes: &[u8]) {
        self.cloud.handle_ws_bytes(at(self.now), conn, bytes);
        self.drain();
    }

    pub fn id(&mut self) -> PacketId {
        self.next += 1;
        PacketId::new(self.next).unwrap()
    }

    /// Subscribes with QoS 1 and returns the codes.
    pub fn subscribe(&mut self, conn: u64, filters: &[&str]) -> Vec<u8> {
        let id = self.id();
        let filters: Vec<_> = filters.iter().map(|f| (Filter::new(f).unwrap(), QoS::AtLeastOnce)).collect();
        let mut bytes = Vec::new();
        Outbound::Subscribe { id, filters: &filters }.encode(&mut bytes).unwrap();
        self.send(conn, &bytes);
        self.subacks
            .last()
            .filter(|(got, _)| *got == id.get())
            .map(|(_, codes)| codes.clone())
            .unwrap_or_default()
    }

    pub fn publish(&mut self, conn: u64, topic: &str, payload: &[u8]) -> u16 {
        let id = self.id();
        let mut bytes = Vec::new();
        let publish = Publish::new(Topic::new(topic).unwrap(), payload, Delivery::AtLeastOnce(id));
        publish.encode(&mut bytes).unwrap();
        self.send(conn, &bytes);
        id.get()
    }

    pub fn command(&mut self, conn: u64, device: DeviceId, kind: u32, request: u64, cmd: &Value) -> u16 {
        let body = serde_json::json!({
            "ver": "1.0", "src": { "type": 100, "ref": "u" }, "dest": { "type": 1, "ref": device.as_str() },
            "time": WALL, "msg": 44, "id": request, "resp": 2, "body": { "ver": 1, "type": kind, "cmd": [cmd] }
        });
        self.publish(conn, &format!("/v1/dev/{device}/in"), body.to_string().as_bytes())
    }

    pub fn live(&mut self, conn: u64, device: DeviceId, timeout: u32) {
        let body = serde_json::json!({ "Device": device.as_str(), "MsgType": 11, "Timeout": timeout, "Timestamp": WALL });
        self.publish(conn, &format!("/v1/dev/{device}/in"), body.to_string().as_bytes());
    }
}

pub fn connect(name: &str, keep_alive: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let name = ClientId::new(name).unwrap();
    Outbound::Connect(Connect::new(name, keep_alive)).encode(&mut bytes).unwrap();
    bytes
}
