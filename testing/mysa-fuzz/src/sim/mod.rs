mod account;
mod app;
mod faults;
mod packets;

use core::time::Duration;
use std::collections::BTreeMap;

use mysa_cognito::{AwsCredentials, Pool, Secret, Tokens, get_credentials, get_id};
use mysa_mqtt_codec::{ClientId, Connect, Delivery, Outbound, PacketId, Publish, Stream, Topic};
use mysa_proto::UnixTime;
use mysa_sigv4::{Authority, Credentials, HeaderSigner, Presigner, Request as Signed, TokenRule};
use mysa_sim::{Cloud, CloudSpec, HttpAnswer, HttpRequest, Now, Origin, Output, Upgrade};
use serde_json::{Value, json};

use crate::mutate;
use crate::script::Script;
use app::{AppRequest, Ids};
use faults::Followed;
use packets::Client;

const WALL: i64 = 1_767_323_045;
const IDP: &str = "cognito-idp.us-east-1.amazonaws.com";
const IDENTITY: &str = "cognito-identity.us-east-1.amazonaws.com";
const IOT: &str = "a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com";
const IDENTITY_POOL: &str = "us-east-1:ebd95d52-9995-45da-b059-56b865a18379";
const CLIENT: &str = "19efs8tgqe942atbqmot5m36t3";
/// A thermostat that no account has.
const NOBODY: &str = "b0b1c2d3e4ff";
const IOT_CONTROL: &str = "iot.us-east-1.amazonaws.com";
const ENDPOINT_QUERY: &str = "/endpoint?endpointType=iot%3AData-ATS";
const HOSTS: [&str; 6] =
    ["app-prod.mysa.cloud", "mysa-backend.mysa.cloud", IDP, IDENTITY, IOT, "example.org"];

/// Simulated cloud with any clients.
///
/// Input: a byte that selects the setup and whether a client has signed in, then a script of requests, sign-ins, upgrades, bytes,
/// faults, restarts and time.
///
/// It sends valid JSON and MQTT, and nothing on a closed connection. A client gets only messages to which it has subscribed.
/// Thermostats stay within their settings and obey no client that has not signed in. Only the right password and the right answer
/// to a challenge sign in; the tokens of an earlier cloud only with its secret, until they expire. Without a fault, no request of
/// an app ends in a server error. The journal has every fault, incident and end of a connection once. The queues are bounded.
///
/// ```
/// // An hour passes, and somebody asks without a token.
/// mysa_fuzz::sim(&[0, 0x07, 0xff, 0xff, 0x30, 0, 0, 0, 0, 0, 0]);
/// ```
pub fn sim(data: &[u8]) {
    mutate::begin(sim, data);
    let mut script = Script::new(data);
    let mut harness = Harness::new(script.byte());
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
    spec: CloudSpec,
    streams: BTreeMap<u64, Stream>,
    /// Subscriptions of the client of each connection, and messages that it has to acknowledge.
    clients: BTreeMap<u64, Client>,
    next_conn: u64,
    signed_in: Option<(Tokens, Option<AwsCredentials>)>,
    /// True if the id token is sent as `Bearer …`.
    bearer: bool,
    /// Ids of the home and its zone, once an app has read them.
    home: Option<(String, String)>,
    /// Password of the account.
    password: String,
    /// Number of sign-ins by a password in the script.
    sign_ins: usize,
    /// Latest challenge of the user pool.
    challenge: Option<Value>,
    /// Time at which the latest tokens expire.
    expires: Duration,
    /// `true` once a fault or an incident was asked for.
    is_disturbed: bool,
    followed: Followed,
}

impl Harness {
    fn new(choice: u8) -> Self {
        // Without schedules every command is one of a client. All models include those that have shadows.
        let mut spec = match choice & 3 {
            0 | 2 => CloudSpec::demo().without_schedules(),
            1 => CloudSpec::demo(),
            _ => CloudSpec::all(),
        };
        account::prepare(&mut spec, choice);
        if choice & 1 == 0 {
            return Self::with(spec);
        }
        spec.rules.bearer = choice & 4 != 0;
        spec.rules.wildcards = choice & 8 != 0;
        spec.rules.rotation = choice & 16 != 0;
        let bearer = spec.rules.bearer;
        let mut harness = Self { bearer, ..Self::with(spec) };
        harness.sign_in();
        assert!(harness.signed_in.is_some() || harness.challenge.is_some(), "the right password");
        harness
    }

    fn with(spec: CloudSpec) -> Self {
        Self {
            cloud: Cloud::new(spec.clone(), 7, at(Duration::ZERO)),
            mono: Duration::ZERO,
            spec,
            streams: BTreeMap::new(),
            clients: BTreeMap::new(),
            next_conn: 1,
            signed_in: None,
            bearer: false,
            home: None,
            password: CloudSpec::DEMO_PASSWORD.into(),
            sign_ins: 0,
            challenge: None,
            expires: Duration::ZERO,
            is_disturbed: false,
            followed: Followed::default(),
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
                    let json = serde_json::from_slice::<Value>(&reply.body);
                    assert!(json.is_ok() || self.is_disturbed, "{json:?} to {request:?}");
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
            0x28 => self.fault(script),
            0x29 => self.end_fault(script),
            0x2a => self.follow(),
            0x98 => self.sign_in_again(script),
            0x99 => self.answer_challenge(script),
            0x9a => self.restart(),
            0x9b => self.acknowledge(script),
            0x9c => self.unsubscribe(script),
            0x20..0x30 => {
                let Some(next) = self.cloud.poll_timeout() else { return };
                self.mono = self.mono.max(next);
                self.cloud.handle_timeout(at(self.mono));
            }
            0x30..0x48 => self.request(script),
            0x48..0x5c => self.app_request(script),
            0x5c..0x60 => self.thing(script),
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
                self.clients.entry(conn).or_default().is_raw = true;
                self.cloud.handle_ws_bytes(at(self.mono), conn, script.bytes());
            }
            0xb0..0xc8 => self.subscribe(script, op),
            0xc8..0xf8 => {
                let conn = self.some_conn(script);
                let device = self.device(script);
                let mut topic = format!("/v1/dev/{device}/in");
                let payload = match op & 7 {
                    7 => {
                        let section = script.pick(&["targetHeat", "modes", "targetAuto", "physicalInterface", "x"]);
                        let request = script.pick(&["update", "get"]);
                        topic = format!("$aws/things/{device}/shadow/name/{section}/{request}");
                        shadow_request(script, section)
                    }
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
                let (Ok(topic), Some(id)) = (Topic::new(&topic), PacketId::new(9)) else { return };
                let mut bytes = Vec::new();
                if Publish::new(topic, &payload, Delivery::AtLeastOnce(id)).encode(&mut bytes).is_ok() {
                    self.cloud.handle_ws_bytes(at(self.mono), conn, &bytes);
                }
            }
            0xf8..0xfc => self.user_pool(script),
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

    /// A request that an app makes, with one byte of its body changed or not.
    fn app_request(&mut self, script: &mut Script<'_>) {
        let Some((tokens, _)) = self.signed_in.clone() else { return };
        let token = tokens.id.expose();
        let token = if self.bearer { format!("Bearer {token}") } else { token.to_owned() };
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let app = HttpRequest {
            host: HOSTS[1],
            method: "GET",
            path: "/homes",
            query: "",
            headers: &headers,
            body: b"",
        };
        if self.home.is_none() {
            let homes = self.http(&app).and_then(|(_, body)| serde_json::from_slice::<Value>(&body).ok());
            let id =
                |at: &str| homes.as_ref().and_then(|homes| Some(homes.pointer(at)?.as_str()?.to_owned()));
            self.home = id("/Homes/0/Id").zip(id("/Homes/0/Zones/0/Id"));
        }
        let (home, zone) = self.home.clone().unwrap_or_default();
        let device = self.device(script);
        let ids = Ids { device: &device, home: &home, zone: &zone, schedule: "s1" };
        let AppRequest { method, path, query, body } =
            AppRequest::new(script, &ids, at(self.mono).wall.as_secs());
        let mut body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let changed = script.option(Script::u16);
        if let Some(at) = changed.map(usize::from).filter(|at| *at < body.len()) {
            body[at] = script.byte();
        }
        let host = script.pick(&[HOSTS[1], HOSTS[0]]);
        let request = HttpRequest { host, method, path: &path, query: &query, body: &body, ..app };
        if let Some((status, body)) = self.http(&request) {
            // One answer says that there is no such thermostat in this way.
            let is_known = path.starts_with("/devices/update_available");
            assert!(
                status < 500 || is_known || self.is_disturbed,
                "{status} {} to {request:?}",
                body.escape_ascii()
            );
        }
    }

    /// A request to the control plane of AWS IoT, signed by the credentials of the account.
    fn thing(&mut self, script: &mut Script<'_>) {
        let Some(credentials) = self.credentials() else { return };
        let device = self.device(script);
        let endpoint = script.flag();
        let target = if endpoint { ENDPOINT_QUERY.to_owned() } else { format!("/things/{device}") };
        let host = [("host", IOT_CONTROL)];
        let signed = Signed { method: "GET", target: &target, headers: &host };
        let Ok(time) = time::OffsetDateTime::from_unix_timestamp(at(self.mono).wall.as_secs()) else {
            return;
        };
        let signer = HeaderSigner::new("us-east-1", "iot");
        let Ok(signed) = signer.sign(&signing(&credentials), &signed, b"", time) else { return };
        let headers = [
            ("authorization", signed.authorization()),
            ("x-amz-date", signed.date()),
            ("x-amz-security-token", signed.security_token().unwrap_or_default()),
        ];
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let answer = self.http(&HttpRequest {
            host: IOT_CONTROL,
            method: "GET",
            path,
            query,
            headers: &headers,
            body: b"",
        });
        let now = at(self.mono).wall.as_millis();
        let is_valid = credentials.expires_at_ms > now && (endpoint || device != NOBODY);
        let expected = if is_valid { 200 } else { 403 };
        let status = answer.map(|(status, _)| status);
        assert!(self.is_disturbed || status == Some(expected), "{status:?} to {target}");
    }

    fn upgrade(&mut self, conn: u64, path: &str, query: &str, mqtt: bool) -> bool {
        let headers = [("Host", IOT), ("Sec-WebSocket-Protocol", if mqtt { "mqtt" } else { "chat" })];
        let request = HttpRequest { host: IOT, method: "GET", path, query, headers: &headers, body: b"" };
        let accepted = self.cloud.handle_upgrade(at(self.mono), conn, &request) == Upgrade::Accept;
        if accepted {
            assert!(self.signed_in.is_some(), "an upgrade without credentials");
            self.streams.insert(conn, Stream::new(1 << 20));
            self.clients.insert(conn, Client::default());
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
        self.cloud.device_ids().nth(choice).map_or_else(|| NOBODY.into(), |id| id.to_string())
    }

    fn drain(&mut self) {
        // The limit of the cloud. A client that stays away for an hour is sent the same messages hundreds of times.
        let mut queued = 0;
        while let Some(output) = self.cloud.poll_output() {
            queued += 1;
            assert!(queued <= 65_536, "the queue has no bound");
            match output {
                Output::Send { conn, bytes } => {
                    let Some(stream) = self.streams.get_mut(&conn) else {
                        panic!("sent on {conn}, which is gone")
                    };
                    let client = self.clients.entry(conn).or_default();
                    let mut input = &bytes[..];
                    while let Some(packet) = stream.next(&mut input).unwrap_or_else(|error| panic!("{error}"))
                    {
                        client.receive(&packet);
                    }
                }
                Output::Close { conn, .. } => drop(self.streams.remove(&conn)),
            }
        }
        self.poll_journal();
        assert!(self.cloud.poll_timeout().is_none_or(|next| next + Duration::from_secs(1) > self.mono));
    }

    fn check(&self) {
        for id in self.cloud.device_ids() {
            let Some(truth) = self.cloud.truth(id) else { continue };
            let setpoint = truth.setpoint.as_degrees();
            assert!((5.0..=40.0).contains(&setpoint), "{truth:?}");
            assert!(truth.room.is_finite() && truth.energy.is_finite() && truth.watts >= 0.0, "{truth:?}");
            assert!(truth.watts <= truth.rated_watts.max(4_000.0) * 1.2, "{truth:?}");
            if self.signed_in.is_none() && !self.is_disturbed {
                // The schedules of an account command its thermostats, also while nobody is signed in.
                let records = self.cloud.command_records(id);
                let scheduled = records.filter(|record| record.origin == Origin::Schedule).count();
                assert_eq!(
                    truth.commands, scheduled as u64,
                    "a command of an unauthorised client: {truth:?}"
                );
            }
        }
    }
}

fn presigned(credentials: &AwsCredentials, mono: Duration) -> Option<String> {
    let credentials = signing(credentials);
    let time = time::OffsetDateTime::from_unix_timestamp(at(mono).wall.as_secs()).ok()?;
    let authority = Authority::new(IOT, None).ok()?;
    let presigner = Presigner::iot("us-east-1");
    let url =
        presigner.presign(&credentials, &authority, "/mqtt", time, None, TokenRule::AfterSigning).ok()?;
    Some(url.target().to_owned())
}

fn signing(credentials: &AwsCredentials) -> Credentials {
    Credentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_key.expose(),
        Some(credentials.session_token.expose()),
    )
}

/// Tokens in an answer of the user pool.
fn tokens_of(pool: &Pool, status: u16, body: &[u8]) -> Option<Tokens> {
    let token = mysa_cognito::RefreshToken::new(Secret::from("r"));
    let (_, wait) = mysa_cognito::refresh(pool, &token, mysa_cognito::RefreshFlow::InitiateAuth);
    wait.reply(status, body).ok()
}

/// Payload of a request for a shadow, valid or not.
fn shadow_request(script: &mut Script<'_>, section: &str) -> Vec<u8> {
    match script.byte() % 4 {
        0 => Vec::new(),
        1 => script.bytes().to_vec(),
        choice => {
            let values = app::sections(script).get(section).cloned().unwrap_or_default();
            let mut request = json!({ "state": { "desired": values }, "clientToken": "t" });
            if choice == 3 {
                request["version"] = script.byte().into();
            }
            request.to_string().into_bytes()
        }
    }
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
        let seed = crate::corpus::input_named(include_bytes!("../../../../fuzz/corpus/sim.ar"), "seed-000");
        let mut script = Script::new(seed);
        let mut harness = Harness::new(script.byte());
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

    #[test]
    fn the_seeds_change_states_by_the_structured_service() {
        let archive = crate::corpus::inputs(include_bytes!("../../../../fuzz/corpus/sim.ar")).unwrap();
        // Thermostats of each kinds, and the other form of the token.
        for (choice, expected) in [(3, 6), (7, 1)] {
            let of_app = |data: &&[u8]| data.first() == Some(&choice) && data.get(1) == Some(&0x48);
            let mut updates = 0;
            for data in archive.iter().filter(|(name, _)| name.starts_with("seed-")).map(|(_, data)| *data) {
                let mut script = Script::new(data);
                let mut harness = Harness::new(script.byte());
                while of_app(&data) && !script.is_empty() {
                    harness.step(&mut script);
                    harness.drain();
                }
                updates += harness.cloud.counters().structured_updates;
            }
            assert!(updates >= expected, "{updates} updates with {choice}");
        }
    }
    #[test]
    fn only_the_right_password_and_code_sign_in() {
        let mut harness = after(&[0x40, 0x98, 0]);
        assert!(harness.signed_in.is_none() && harness.challenge.is_none());
        harness.steps(&[0x98, 1, 0x99, 0]);
        assert!(harness.signed_in.is_none() && harness.challenge.is_some());
        harness.steps(&[0x99, 1]);
        assert!(harness.signed_in.is_some());
    }

    #[test]
    fn a_schedule_commands_while_nobody_is_signed_in() {
        // Seven hours, until 06:00. The challenge of the sign-in is not answered.
        let harness = after(&[0x41, 7, 0xff, 0xff, 7, 0xff, 0xff, 7, 0xff, 0xff]);
        assert!(harness.signed_in.is_none());
        assert!(commands(&harness) > 0);
        harness.check();
    }

    #[test]
    #[should_panic(expected = "a command of an unauthorised client")]
    fn a_command_over_mqtt_is_not_one_of_a_schedule() {
        let mut harness = after(&[1, 0x70, 0xca, 0, 0, 1, 2, 3, 4, 1, 0xd0, 0x03, 3, 7, 0xff, 0]);
        assert_eq!(commands(&harness), 1, "no command arrived");
        harness.check();
        harness.signed_in = None;
        harness.check();
    }

    fn commands(harness: &Harness) -> u64 {
        let truths = harness.cloud.device_ids().filter_map(|id| harness.cloud.truth(id));
        truths.map(|truth| truth.commands).sum()
    }

    #[test]
    fn the_next_cloud_knows_the_tokens_only_with_the_secret() {
        // A connection, and a registration by the credentials of before.
        assert!(after(&[0x21, 0x70, 0x9a, 0x70, 0x5c, 0, 0]).signed_in.is_some());
        assert!(after(&[0x01, 0x70, 0x9a, 0x70]).signed_in.is_none());
    }

    #[test]
    fn every_named_fault_is_started_and_is_in_the_journal() {
        let count = u8::try_from(mysa_sim::NamedFault::all().len()).unwrap();
        let started = (0..count).filter(|fault| after(&[1, 0x2a, 0x28, *fault, 0, 0, 0]).is_disturbed);
        assert_eq!(started.count(), usize::from(count));
    }

    #[test]
    fn a_client_that_unsubscribes_gets_nothing_more() {
        let set: &[u8] = &[0xca, 0, 0, 1, 2, 3, 4, 1, 0xd0, 0x03, 3, 0x20, 0x20, 0x20];
        let mut harness = after(&[&[1, 0x70, 0xb2, 0, 0], set].concat());
        let received =
            |harness: &Harness| harness.clients.values().map(|client| client.received).sum::<usize>();
        let before = received(&harness);
        assert!(before > 0);
        harness.steps(&[&[0x9c, 0, 2, 0], set].concat());
        assert_eq!(received(&harness), before);
    }

    #[test]
    fn a_client_acknowledges_what_it_got() {
        let mut names = mysa_sim::NamedFault::all().iter();
        let raise_qos = names.position(|fault| fault.name() == "raise-qos").unwrap();
        let mut harness = after(&[1, 0x28, u8::try_from(raise_qos).unwrap(), 0, 0, 0, 0x70, 0xb2, 0, 0]);
        harness.steps(&[0xca, 0, 0, 1, 2, 3, 4, 1, 0xd0, 0x03, 3, 0x20, 0x20, 0x20]);
        let in_flight =
            |harness: &Harness| harness.cloud.connections().map(|one| one.in_flight).sum::<usize>();
        assert!(in_flight(&harness) > 0);
        harness.steps(&[0x9b, 0, 0]);
        assert_eq!(in_flight(&harness), 0);
    }

    fn after(data: &[u8]) -> Harness {
        let mut script = Script::new(data);
        let mut harness = Harness::new(script.byte());
        harness.steps(script.rest());
        harness
    }

    impl Harness {
        fn steps(&mut self, data: &[u8]) {
            let mut script = Script::new(data);
            while !script.is_empty() {
                self.step(&mut script);
                self.drain();
            }
        }
    }
}
