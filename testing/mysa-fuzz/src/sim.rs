use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use mysa_cognito::{AwsCredentials, Pool, Secret, SignIn, Step, Tokens, get_credentials, get_id};
use mysa_mqtt_codec::{ClientId, Connect, Delivery, Filter, Outbound, PacketId, Publish, QoS, Stream, Topic};
use mysa_proto::UnixTime;
use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};
use mysa_sim::{Cloud, CloudSpec, HttpAnswer, HttpRequest, Now, Output, Upgrade};

use crate::mutate;
use crate::script::Script;

const WALL: i64 = 1_767_323_045;
const IDP: &str = "cognito-idp.us-east-1.amazonaws.com";
const IDENTITY: &str = "cognito-identity.us-east-1.amazonaws.com";
const IOT: &str = "a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com";
const IDENTITY_POOL: &str = "us-east-1:ebd95d52-9995-45da-b059-56b865a18379";
const CLIENT: &str = "19efs8tgqe942atbqmot5m36t3";
const HOSTS: [&str; 6] =
    ["app-prod.mysa.cloud", "mysa-backend.mysa.cloud", IDP, IDENTITY, IOT, "example.org"];

/// Simulated cloud with any clients.
///
/// Input: a byte that selects whether a client has signed in, then a script of requests, upgrades, bytes and time.
///
/// It sends valid JSON and MQTT, and nothing on a closed connection. Thermostats stay within their settings and obey no client
/// that has not signed in. Its queues are bounded.
///
/// ```
/// // An hour passes, and somebody asks without a token.
/// mysa_fuzz::sim(&[0, 0x07, 0xff, 0xff, 0x30, 0, 0, 0, 0, 0, 0]);
/// ```
pub fn sim(data: &[u8]) {
    mutate::begin(sim, data);
    let mut script = Script::new(data);
    let mut harness = Harness::new(script.flag());
    for _ in 0..64 {
        if script.is_empty() {
            break;
        }
        mutate::step(script.rest().len());
        harness.step(&mut script);
        harness.drain();
    }
    harness.check();
}

struct Harness {
    cloud: Cloud,
    mono: Duration,
    streams: BTreeMap<u64, Stream>,
    next_conn: u64,
    signed_in: Option<(Tokens, Option<AwsCredentials>)>,
}

impl Harness {
    fn new(sign_in: bool) -> Self {
        if !sign_in {
            // Without schedules every command is one of a client.
            return Self::with(CloudSpec::demo().without_schedules());
        }
        let mut harness = Self::with(CloudSpec::demo());
        harness.signed_in = harness.sign_in().map(|tokens| (tokens, None));
        assert!(harness.signed_in.is_some(), "the right password");
        harness
    }

    fn with(spec: CloudSpec) -> Self {
        Self {
            cloud: Cloud::new(spec, 7, at(Duration::ZERO)),
            mono: Duration::ZERO,
            streams: BTreeMap::new(),
            next_conn: 1,
            signed_in: None,
        }
    }

    fn http(&mut self, request: &HttpRequest<'_>) -> Option<(u16, Vec<u8>)> {
        match self.cloud.handle_http(at(self.mono), request) {
            HttpAnswer::Reply(reply) => {
                assert!((100..600).contains(&reply.status), "{}", reply.status);
                assert!(reply.header("date").is_some() && reply.body.len() < 4 << 20);
                if reply.header("content-type").is_some_and(|kind| kind.contains("json"))
                    && !reply.body.is_empty()
                {
                    let json = serde_json::from_slice::<serde_json::Value>(&reply.body);
                    assert!(json.is_ok(), "{json:?} to {request:?}");
                }
                Some((reply.status, reply.body))
            }
            _ => None,
        }
    }

    fn aws(&mut self, host: &str, target: &str, body: &str) -> Option<(u16, Vec<u8>)> {
        let headers = [("X-Amz-Target", target)];
        let request = HttpRequest {
            host,
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        };
        self.http(&request)
    }

    /// Signs in as the demo account. The client's side is constant, so it is computed once.
    fn sign_in(&mut self) -> Option<Tokens> {
        static SECOND: OnceLock<String> = OnceLock::new();
        let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", CLIENT);
        let password = Secret::from(CloudSpec::DEMO_PASSWORD);
        static FIRST: OnceLock<String> = OnceLock::new();
        if FIRST.get().is_none() {
            let (request, wait) = SignIn::start(&pool, CloudSpec::DEMO_EMAIL, password, [3; 32]);
            let _ = FIRST.set(request.body().to_owned());
            let mut cloud = Self::with(CloudSpec::demo());
            let (status, body) = cloud.aws(IDP, request.target, request.body())?;
            let Ok(Step::Continue(request, _)) = wait.reply(status, &body, WALL) else { return None };
            let _ = SECOND.set(request.body().to_owned());
        }
        self.aws(IDP, "AWSCognitoIdentityProviderService.InitiateAuth", FIRST.get()?)?;
        let second = "AWSCognitoIdentityProviderService.RespondToAuthChallenge";
        let (status, body) = self.aws(IDP, second, SECOND.get()?)?;
        let token = mysa_cognito::RefreshToken::new(Secret::from("r"));
        let (_, wait) = mysa_cognito::refresh(&pool, &token, mysa_cognito::RefreshFlow::InitiateAuth);
        wait.reply(status, &body).ok()
    }

    fn credentials(&mut self) -> Option<AwsCredentials> {
        let (tokens, known) = self.signed_in.clone()?;
        if known.is_some() {
            return known;
        }
        let (request, wait) = get_id(IDENTITY_POOL, &tokens);
        let (status, body) = self.aws(IDENTITY, request.target, request.body())?;
        let (request, wait_for_keys) = get_credentials(&wait.reply(status, &body).ok()?, &tokens);
        let (status, body) = self.aws(IDENTITY, request.target, request.body())?;
        let credentials = wait_for_keys.reply(status, &body).ok()?;
        self.signed_in = Some((tokens, Some(credentials.clone())));
        Some(credentials)
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let op = script.byte();
        match op {
            0..0x20 => {
                self.mono += Duration::from_millis(u64::from(script.u16()) << (op & 7));
                self.cloud.handle_timeout(at(self.mono));
            }
            0x20..0x30 => {
                let Some(next) = self.cloud.poll_timeout() else { return };
                self.mono = self.mono.max(next);
                self.cloud.handle_timeout(at(self.mono));
            }
            0x30..0x60 => self.request(script),
            0x60..0x70 => {
                // A forged or empty query.
                let conn = self.conn();
                let query = script.text();
                self.upgrade(conn, "/mqtt", &query, script.flag());
            }
            0x70..0x90 => {
                let Some(credentials) = self.credentials() else { return };
                let Some(target) = presigned(&credentials, self.mono) else { return };
                let conn = self.conn();
                let (path, query) = target.split_once('?').unwrap_or((&target, ""));
                if self.upgrade(conn, path, query, true) && op & 1 == 0 {
                    let name = format!("client-{}", op & 6);
                    let Ok(name) = ClientId::new(&name) else { return };
                    let mut bytes = Vec::new();
                    let _ = Outbound::Connect(Connect::new(name, 60)).encode(&mut bytes);
                    self.cloud.handle_ws_bytes(at(self.mono), conn, &bytes);
                }
            }
            0x90..0xa0 => {
                let conn = self.some_conn(script);
                self.cloud.handle_ws_closed(at(self.mono), conn);
                self.streams.remove(&conn);
            }
            0xa0..0xb0 => {
                let conn = self.some_conn(script);
                self.cloud.handle_ws_bytes(at(self.mono), conn, script.bytes());
            }
            0xb0..0xc8 => {
                let conn = self.some_conn(script);
                let filter = match op & 3 {
                    0 => script.text(),
                    1 => "/v1/dev/+/out".into(),
                    _ => format!("/v1/dev/{}/out", self.device(script)),
                };
                let (Ok(filter), Some(id)) = (Filter::new(&filter), PacketId::new(u16::from(op))) else {
                    return;
                };
                let mut bytes = Vec::new();
                let filters = [(filter, QoS::AtLeastOnce)];
                if (Outbound::Subscribe { id, filters: &filters }).encode(&mut bytes).is_ok() {
                    self.cloud.handle_ws_bytes(at(self.mono), conn, &bytes);
                }
            }
            0xc8..0xf8 => {
                let conn = self.some_conn(script);
                let device = self.device(script);
                let payload = match op & 7 {
                    0 => script.bytes().to_vec(),
                    1 => format!(r#"{{"Device":"{device}","MsgType":11,"Timeout":{},"Timestamp":{WALL}}}"#, script.u16())
                        .into_bytes(),
                    _ => format!(
                        r#"{{"ver":"1.0","src":{{"type":100,"ref":"u"}},"dest":{{"type":1,"ref":"{device}"}},"time":{WALL},"msg":44,"id":{},"resp":2,"body":{{"ver":1,"type":{},"cmd":[{{"sp":{},"md":{},"tm":-1}}]}}}}"#,
                        script.u32(),
                        script.byte() % 8,
                        f64::from(script.u16()) / 16.0 - 40.0,
                        script.byte() % 9,
                    )
                    .into_bytes(),
                };
                let topic = format!("/v1/dev/{device}/in");
                let (Ok(topic), Some(id)) = (Topic::new(&topic), PacketId::new(9)) else { return };
                let mut bytes = Vec::new();
                if Publish::new(topic, &payload, Delivery::AtLeastOnce(id)).encode(&mut bytes).is_ok() {
                    self.cloud.handle_ws_bytes(at(self.mono), conn, &bytes);
                }
            }
            _ => {
                // Repeated or earlier times must be harmless.
                self.cloud.handle_timeout(at(self.mono / 2));
            }
        }
    }

    fn request(&mut self, script: &mut Script<'_>) {
        const PATHS: [&str; 14] = [
            "/",
            "/devices",
            "/devices/state",
            "/homes",
            "/users",
            "/devices/DEVICE",
            "/devices/state/DEVICE",
            "/state/DEVICE",
            "/state/DEVICE/update",
            "/state/batch",
            "/schedule/hold",
            "/devices/firmware/DEVICE",
            "/energy/device/DEVICE",
            "/schedules",
        ];
        let host = script.pick(&HOSTS);
        let method = script.pick(&["GET", "POST", "DELETE", "PUT", "PATCH", "brew"]);
        let device = self.device(script);
        let path = match script.byte() {
            0xff => format!("/{}", script.text()),
            choice => PATHS[usize::from(choice) % PATHS.len()].replace("DEVICE", &device),
        };
        let query = script.text();
        let target = match script.byte() % 8 {
            0 => "AWSCognitoIdentityProviderService.InitiateAuth".to_owned(),
            1 => "AWSCognitoIdentityProviderService.RespondToAuthChallenge".to_owned(),
            2 => "AWSCognitoIdentityProviderService.GetTokensFromRefreshToken".to_owned(),
            3 => "AWSCognitoIdentityProviderService.RevokeToken".to_owned(),
            4 => "AWSCognitoIdentityService.GetId".to_owned(),
            5 => "AWSCognitoIdentityService.GetCredentialsForIdentity".to_owned(),
            6 => String::new(),
            _ => script.text(),
        };
        let token = match (&self.signed_in, script.byte() & 3) {
            (Some((tokens, _)), 1..) => tokens.id.expose().to_owned(),
            _ => script.text(),
        };
        let headers = [
            ("X-Amz-Target", target.as_str()),
            ("authorization", &token),
            ("content-type", "application/json"),
        ];
        let body = script.bytes();
        self.http(&HttpRequest { host, method, path: &path, query: &query, headers: &headers, body });
    }

    fn upgrade(&mut self, conn: u64, path: &str, query: &str, mqtt: bool) -> bool {
        let headers = [("Host", IOT), ("Sec-WebSocket-Protocol", if mqtt { "mqtt" } else { "chat" })];
        let request = HttpRequest { host: IOT, method: "GET", path, query, headers: &headers, body: b"" };
        let accepted = self.cloud.handle_upgrade(at(self.mono), conn, &request) == Upgrade::Accept;
        if accepted {
            assert!(self.signed_in.is_some(), "an upgrade without credentials");
            self.streams.insert(conn, Stream::new(1 << 20));
        }
        accepted
    }

    fn conn(&mut self) -> u64 {
        self.next_conn += 1;
        self.next_conn
    }

    /// Selects a connection that was dialled, open or not, or an unknown one.
    fn some_conn(&self, script: &mut Script<'_>) -> u64 {
        let choice = u64::from(script.byte());
        let open = self.streams.keys().rev().nth(usize::try_from(choice).unwrap_or(0) & 3);
        open.copied().unwrap_or(choice % (self.next_conn + 2))
    }

    fn device(&self, script: &mut Script<'_>) -> String {
        let choice = usize::from(script.byte());
        self.cloud.device_ids().nth(choice).map_or_else(|| "b0b1c2d3e4ff".into(), |id| id.to_string())
    }

    fn drain(&mut self) {
        let mut queued = 0;
        while let Some(output) = self.cloud.poll_output() {
            queued += 1;
            assert!(queued < 5_000, "the queue has no bound");
            match output {
                Output::Send { conn, bytes } => {
                    let Some(stream) = self.streams.get_mut(&conn) else {
                        panic!("sent on {conn}, which is gone")
                    };
                    let mut input = &bytes[..];
                    while stream.next(&mut input).unwrap_or_else(|error| panic!("{error}")).is_some() {}
                }
                Output::Close { conn, .. } => drop(self.streams.remove(&conn)),
            }
        }
        assert!(self.cloud.poll_timeout().is_none_or(|next| next + Duration::from_secs(1) > self.mono));
    }

    fn check(&mut self) {
        let ids: Vec<_> = self.cloud.device_ids().collect();
        for id in ids {
            let Some(truth) = self.cloud.truth(id) else { continue };
            let setpoint = truth.setpoint.as_degrees();
            assert!((5.0..=40.0).contains(&setpoint), "{truth:?}");
            assert!(truth.room.is_finite() && truth.energy.is_finite() && truth.watts >= 0.0, "{truth:?}");
            assert!(truth.watts <= truth.rated_watts.max(4_000.0) * 1.2, "{truth:?}");
            if self.signed_in.is_none() {
                assert_eq!(truth.messages.commands, 0, "a command of an unauthorised client: {truth:?}");
            }
        }
    }
}

fn presigned(credentials: &AwsCredentials, mono: Duration) -> Option<String> {
    let credentials = Credentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_key.expose(),
        Some(credentials.session_token.expose()),
    );
    let time = time::OffsetDateTime::from_unix_timestamp(at(mono).wall.as_secs()).ok()?;
    let authority = Authority::new(IOT, None).ok()?;
    let presigner = Presigner::iot("us-east-1");
    let url =
        presigner.presign(&credentials, &authority, "/mqtt", time, None, TokenRule::AfterSigning).ok()?;
    Some(url.target().to_owned())
}

fn at(mono: Duration) -> Now {
    let millis = i64::try_from(mono.as_millis()).unwrap_or(0);
    Now { mono, wall: UnixTime::from_secs(WALL).plus_millis(millis) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seed_signs_in_connects_and_commands() {
        let seed = crate::corpus::input_named(include_bytes!("../../../fuzz/corpus/sim.ar"), "seed-000");
        let mut script = Script::new(seed);
        let mut harness = Harness::new(script.flag());
        while !script.is_empty() {
            harness.step(&mut script);
            harness.drain();
        }
        let counters = harness.cloud.counters();
        assert_eq!((counters.connects, counters.publishes), (1, 1), "{counters:?}");
        let delivered = harness
            .cloud
            .device_ids()
            .filter_map(|id| harness.cloud.truth(id))
            .map(|truth| truth.messages.commands);
        assert_eq!(delivered.sum::<u64>(), 1);
    }
}
