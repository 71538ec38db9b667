//! The same written the usual way: reqwest, aws-sigv4, tokio-tungstenite, rumqttc's packets, `serde_json::Value` and a map
//! of states. It does what a healthy day needs: no reconnect, no renewal, no check of values.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SessionTokenMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::BytesMut;
use futures_util::{SinkExt as _, StreamExt as _};
use mysa_proto::{Celsius, DeviceId};
use rumqttc::{Packet, QoS};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::program::{Account, Config, Order, Reports, clock};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Socket = WebSocketStream<TlsStream<TcpStream>>;

const BROKER: &str = "a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com";
const USER_POOL: &str = "cognito-idp.us-east-1.amazonaws.com";
const IDENTITY_POOL: &str = "cognito-identity.us-east-1.amazonaws.com";
const REST: &str = "app-prod.mysa.cloud";
const PING: Duration = Duration::from_secs(45);
const LIVE_REPORT: Duration = Duration::from_secs(150);
const MAX_PACKET: usize = 160_000;

/// What all accounts share.
struct Shared {
    http: reqwest::Client,
    tls: TlsConnector,
    config: Config,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct State {
    time: i64,
    temperature: Option<f64>,
    humidity: Option<f64>,
    setpoint: Option<f64>,
    duty: Option<f64>,
}

type States = Arc<Mutex<HashMap<String, State>>>;

/// A command and its waiting caller.
struct Command {
    device: DeviceId,
    setpoint: Celsius,
    acknowledged: oneshot::Sender<()>,
}

pub(crate) async fn run(config: Config, reports: Reports, mut orders: UnboundedReceiver<Order>) {
    let shared = match shared(config) {
        Ok(shared) => Arc::new(shared),
        Err(error) => return reports.failed(&error),
    };
    let mut commands = Vec::new();
    for number in 0..shared.config.accounts.len() {
        let (sender, received) = unbounded_channel();
        commands.push(sender);
        let (shared, reports) = (Arc::clone(&shared), reports.clone());
        tokio::spawn(async move {
            if let Err(error) = account(&shared, &shared.config.accounts[number], received, &reports).await {
                reports.failed(&error);
            }
        });
    }
    while let Some(Order { account, device, setpoint }) = orders.recv().await {
        let (acknowledged, answer) = oneshot::channel();
        let (sender, reports): (UnboundedSender<Command>, _) = (commands[account].clone(), reports.clone());
        tokio::spawn(async move {
            let given = clock();
            let _ = sender.send(Command { device, setpoint, acknowledged });
            match tokio::time::timeout(Duration::from_secs(30), answer).await {
                Ok(Ok(())) => reports.acknowledged(given),
                _ => reports.failed(&"no acknowledgement"),
            }
        });
    }
}

fn shared(config: Config) -> Result<Shared, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(config.authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut http = reqwest::Client::builder().tls_backend_preconfigured(tls.clone());
    for host in [USER_POOL, IDENTITY_POOL, REST] {
        http = http.resolve(host, config.address);
    }
    Ok(Shared { http: http.build()?, tls: TlsConnector::from(Arc::new(tls)), config })
}

async fn account(
    shared: &Shared,
    account: &Account,
    commands: UnboundedReceiver<Command>,
    reports: &Reports,
) -> Result<(), Error> {
    let tokens = aws(
        shared,
        USER_POOL,
        "AWSCognitoIdentityProviderService.InitiateAuth",
        &json!({
            "AuthFlow": "REFRESH_TOKEN_AUTH", "ClientId": shared.config.client_id,
            "AuthParameters": { "REFRESH_TOKEN": account.refresh_token },
        }),
    )
    .await?;
    let id_token = text(&tokens["AuthenticationResult"]["IdToken"])?;
    let states = States::default();
    let devices = rest(shared, &id_token, "/devices").await?;
    let shown = rest(shared, &id_token, "/devices/state").await?;
    let devices: Vec<String> =
        devices["DevicesObj"].as_object().ok_or("no devices")?.keys().cloned().collect();
    for device in &devices {
        let state = &shown["DeviceStatesObj"][device];
        let value = |name: &str| state[name]["v"].as_f64();
        let state = State {
            time: state["Timestamp"].as_i64().unwrap_or(0),
            temperature: value("CorrectedTemp"),
            humidity: value("Humidity"),
            setpoint: value("SetPoint"),
            duty: value("Duty"),
        };
        states.lock().unwrap().insert(device.clone(), state);
    }
    let (events, changed) = mpsc::channel(1_024);
    tokio::spawn(follow(changed, Arc::clone(&states), reports.clone()));

    let socket = dial(shared, &credentials(shared, &id_token).await?).await?;
    Client {
        socket,
        read: BytesMut::new(),
        written: BytesMut::new(),
        states,
        events,
        waiting: Vec::new(),
        packet_id: 0,
    }
    .run(&devices, commands, reports)
    .await
}

/// The application: reads the events of an account and looks at the thermostats.
async fn follow(mut events: mpsc::Receiver<String>, states: States, reports: Reports) {
    let mut setpoints: HashMap<String, f64> = HashMap::new();
    while let Some(device) = events.recv().await {
        let state = states.lock().unwrap().get(&device).copied();
        if let Some(setpoint) = state.and_then(|state| state.setpoint)
            && setpoints.get(&device) != Some(&setpoint)
            && let (Some(id), Some(shown)) = (DeviceId::new(&device), Celsius::from_degrees(setpoint))
        {
            setpoints.insert(device, setpoint);
            reports.event(id, shown);
        }
    }
}

async fn aws(shared: &Shared, host: &str, target: &str, body: &Value) -> Result<Value, Error> {
    let request = shared.http.post(format!("https://{host}/")).header("X-Amz-Target", target);
    let request = request.header("Content-Type", "application/x-amz-json-1.1").body(body.to_string());
    Ok(request.send().await?.error_for_status()?.json().await?)
}

async fn rest(shared: &Shared, id_token: &str, path: &str) -> Result<Value, Error> {
    let request = shared.http.get(format!("https://{REST}{path}")).header("Authorization", id_token);
    Ok(request.send().await?.error_for_status()?.json().await?)
}

async fn credentials(shared: &Shared, id_token: &str) -> Result<Credentials, Error> {
    let logins = json!({ "cognito-idp.us-east-1.amazonaws.com/us-east-1_GUFWfhI7g": id_token });
    let pool = "us-east-1:ebd95d52-9995-45da-b059-56b865a18379";
    let get_id = json!({ "IdentityPoolId": pool, "Logins": logins });
    let identity = aws(shared, IDENTITY_POOL, "AWSCognitoIdentityService.GetId", &get_id).await?;
    let get = json!({ "IdentityId": identity["IdentityId"], "Logins": logins });
    let target = "AWSCognitoIdentityService.GetCredentialsForIdentity";
    let given = aws(shared, IDENTITY_POOL, target, &get).await?;
    let given = &given["Credentials"];
    Ok(Credentials::new(
        text(&given["AccessKeyId"])?,
        text(&given["SecretKey"])?,
        Some(text(&given["SessionToken"])?),
        None,
        "benchmark",
    ))
}

fn text(value: &Value) -> Result<String, Error> {
    Ok(value.as_str().ok_or("no text")?.to_owned())
}

/// Opens a WebSocket with a presigned URL.
async fn dial(shared: &Shared, credentials: &Credentials) -> Result<Socket, Error> {
    let identity = credentials.clone().into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(300));
    settings.session_token_mode = SessionTokenMode::Exclude;
    let params = SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("iotdevicegateway")
        .time(SystemTime::now())
        .settings(settings)
        .build()?
        .into();
    let uri = format!("https://{BROKER}/mqtt");
    let host = [("host", BROKER)];
    let request = SignableRequest::new("GET", &uri, host.into_iter(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(request, &params)?.into_parts();
    let mut request = http::Request::get(&uri).body(())?;
    instructions.apply_to_request_http1x(&mut request);
    let url = request.uri().to_string().replacen("https", "wss", 1);
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));

    let stream = TcpStream::connect(shared.config.address).await?;
    stream.set_nodelay(true)?;
    let stream = shared.tls.connect(ServerName::try_from(BROKER)?, stream).await?;
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

/// An MQTT connection.
struct Client {
    socket: Socket,
    read: BytesMut,
    written: BytesMut,
    states: States,
    events: mpsc::Sender<String>,
    /// Commands without an acknowledgement, and their ids.
    waiting: Vec<(i64, Command)>,
    packet_id: u16,
}

impl Client {
    async fn run(
        mut self,
        devices: &[String],
        mut commands: UnboundedReceiver<Command>,
        reports: &Reports,
    ) -> Result<(), Error> {
        let mut connect = rumqttc::Connect::new(format!("usual-{}-{}", std::process::id(), devices.join("")));
        connect.keep_alive = 60;
        connect.write(&mut self.written)?;
        self.flush().await?;
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
        let mut live = tokio::time::interval(LIVE_REPORT);
        let mut is_subscribed = false;
        loop {
            tokio::select! {
                message = self.socket.next() => match message.ok_or("the connection ended")?? {
                    Message::Binary(bytes) => self.read.extend_from_slice(&bytes),
                    Message::Close(_) => return Err("the broker closed the connection".into()),
                    _ => {}
                },
                Some(command) = commands.recv() => self.command(command)?,
                _ = ping.tick() => rumqttc::PingReq.write(&mut self.written).map(|_| ())?,
                _ = live.tick(), if is_subscribed => self.ask_for_live_reports(devices)?,
            }
            while let Ok(packet) = Packet::read(&mut self.read, MAX_PACKET) {
                match packet {
                    Packet::ConnAck(_) => {
                        let filter = |device: &String| rumqttc::SubscribeFilter {
                            path: format!("/v1/dev/{device}/out"),
                            qos: QoS::AtLeastOnce,
                        };
                        let mut subscribe = rumqttc::Subscribe::new_many(devices.iter().map(filter));
                        subscribe.pkid = self.next_packet_id();
                        subscribe.write(&mut self.written)?;
                    }
                    Packet::SubAck(_) => {
                        is_subscribed = true;
                        reports.live();
                    }
                    Packet::Publish(publish) => self.handle(&publish).await?,
                    _ => {}
                }
            }
            self.flush().await?;
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        if !self.written.is_empty() {
            self.socket.send(Message::Binary(self.written.split().freeze())).await?;
        }
        Ok(())
    }

    fn next_packet_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }

    fn publish(&mut self, device: &str, message: &Value) -> Result<(), Error> {
        let topic = format!("/v1/dev/{device}/in");
        let mut publish = rumqttc::Publish::new(topic, QoS::AtLeastOnce, message.to_string());
        publish.pkid = self.next_packet_id();
        publish.write(&mut self.written)?;
        Ok(())
    }

    fn ask_for_live_reports(&mut self, devices: &[String]) -> Result<(), Error> {
        for device in devices {
            let ask =
                json!({ "Device": device, "MsgType": 11, "Timeout": 180, "Timestamp": unix().as_secs() });
            self.publish(device, &ask)?;
        }
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<(), Error> {
        let (device, now) = (command.device.to_string(), unix());
        let id = now.as_micros() as i64;
        let message = json!({
            "ver": "1.0", "src": { "type": 100, "ref": "user" }, "dest": { "type": 1, "ref": device },
            "time": now.as_secs(), "msg": 44, "id": id, "resp": 2,
            "body": { "ver": 1, "type": 5, "cmd": [{ "tm": -1, "sp": command.setpoint.as_degrees() }] },
        });
        self.waiting.push((id, command));
        self.publish(&device, &message)
    }

    async fn handle(&mut self, publish: &rumqttc::Publish) -> Result<(), Error> {
        if publish.qos == QoS::AtLeastOnce {
            rumqttc::PubAck::new(publish.pkid).write(&mut self.written)?;
        }
        let device = publish.topic.strip_prefix("/v1/dev/").and_then(|rest| rest.strip_suffix("/out"));
        let (Some(device), Ok(message)) = (device, serde_json::from_slice::<Value>(&publish.payload)) else {
            return Ok(());
        };
        let body = &message["body"];
        let seen = match (message["msg"].as_i64(), message["MsgType"].as_i64()) {
            (Some(40), _) => State {
                time: message["time"].as_i64().unwrap_or(0),
                temperature: body["ambTemp"].as_f64(),
                humidity: body["hum"].as_f64(),
                setpoint: body["stpt"].as_f64(),
                duty: body["dtyCycle"].as_f64(),
            },
            (Some(44), _) => {
                let id = message["resp_id"].as_i64();
                if let Some(at) = self.waiting.iter().position(|(waiting, _)| Some(*waiting) == id) {
                    let _ = self.waiting.swap_remove(at).1.acknowledged.send(());
                }
                let (time, setpoint) = (message["time"].as_i64().unwrap_or(0), body["state"]["sp"].as_f64());
                State { time, setpoint, ..State::default() }
            }
            (_, Some(1)) => {
                let (time, setpoint) = (message["Timestamp"].as_i64().unwrap_or(0), message["Next"].as_f64());
                State { time, setpoint, ..State::default() }
            }
            _ => return Ok(()),
        };
        let is_new = {
            let mut states = self.states.lock().unwrap();
            let state = states.entry(device.to_owned()).or_default();
            let merged = State {
                time: seen.time,
                temperature: seen.temperature.or(state.temperature),
                humidity: seen.humidity.or(state.humidity),
                setpoint: seen.setpoint.or(state.setpoint),
                duty: seen.duty.or(state.duty),
            };
            seen.time >= state.time && std::mem::replace(state, merged) != merged
        };
        if is_new {
            self.events.send(device.to_owned()).await?;
        }
        Ok(())
    }
}

fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
