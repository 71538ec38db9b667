use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use mysa_cognito::{HttpRequest, Pool, Secret, SignIn, Step};
use mysa_proto::{Celsius, DeviceId};
use mysa_sim::{AccountSpec, Cloud, CloudSpec, DeviceSpec, HomeSpec, HttpAnswer, Now};
use mysa_sim_server::{Certificate, Limits, Server};
use tokio::runtime::Runtime;

/// Client of the user pool that this project and the usual way use.
pub(crate) const CLIENT_ID: &str = "19efs8tgqe942atbqmot5m36t3";
/// Client that mysa-client uses. A refresh token belongs to one client.
pub(crate) const PEER_CLIENT_ID: &str = "6cktj934gasnc72f7jo2cmf6rt";
const PASSWORD: &str = "Correct-Horse-1";
const THERMOSTATS: usize = 5;

/// The simulated cloud with the homes of all accounts.
pub(crate) struct Homes {
    pub(crate) server: Server,
    pub(crate) authority: String,
    pub(crate) accounts: Vec<Account>,
    /// Refresh tokens of all accounts for each client of the user pool.
    tokens: RefCell<HashMap<&'static str, Vec<String>>>,
    /// Number of setpoints pressed at each thermostat.
    presses: RefCell<HashMap<DeviceId, i32>>,
    _runtime: Runtime,
}

/// An account of the cloud.
pub(crate) struct Account {
    pub(crate) email: String,
    pub(crate) devices: Vec<DeviceId>,
}

impl Homes {
    /// Starts the cloud.
    pub(crate) fn start(count: usize) -> Self {
        let mut spec = CloudSpec::default();
        spec.accounts = (0..count).map(account).collect();
        // The contestants begin with a refresh of their tokens, all at once.
        spec.rules.sign_in_rate = u32::MAX;
        spec.rules.instant_delivery = true;
        let names = spec.accounts.iter().map(|spec| (spec.email.clone(), devices(spec)));
        let names: Vec<(String, Vec<DeviceId>)> = names.collect();
        let certificate = Certificate::for_cloud(&spec.names).unwrap();
        let authority = certificate.authority_pem().unwrap().to_owned();
        let mut limits = Limits::default();
        limits.connections = 16_384;
        limits.handshake = Duration::from_secs(60);
        let runtime = Runtime::new().unwrap();
        let address = ([127, 0, 0, 1], 0).into();
        let server =
            runtime.block_on(Server::start_with(address, certificate, spec, 1, 1.0, limits)).unwrap();
        Self {
            accounts: names.into_iter().map(|(email, devices)| Account { email, devices }).collect(),
            tokens: RefCell::default(),
            server,
            authority,
            presses: RefCell::default(),
            _runtime: runtime,
        }
    }

    /// Refresh tokens of all accounts for a client. The first call signs every account in, in memory.
    pub(crate) fn refresh_tokens(&self, client: &'static str) -> Vec<String> {
        let sign_in = |(number, account): (usize, &Account)| {
            self.server.with_cloud(|cloud, now| sign_in(cloud, now, client, &account.email, number))
        };
        let mut tokens = self.tokens.borrow_mut();
        tokens
            .entry(client)
            .or_insert_with(|| self.accounts.iter().enumerate().map(sign_in).collect())
            .clone()
    }

    /// The next setpoint to press at a thermostat: those from 5 to 14.5 °C in turn, so that it differs from the last one and
    /// from those of commands.
    pub(crate) fn next_setpoint(&self, device: DeviceId) -> Celsius {
        let mut presses = self.presses.borrow_mut();
        let presses = presses.entry(device).or_default();
        *presses += 1;
        Celsius::from_hundredths(500 + 50 * (*presses % 20))
    }

    /// Changes a setpoint at the thermostat, which reports it at once.
    pub(crate) fn press(&self, device: DeviceId, setpoint: Celsius) {
        let pressed = self.server.with_cloud(|cloud, now| cloud.press(now, device, Some(setpoint), None));
        assert!(pressed, "{device} takes no setpoint");
    }

    /// Number of messages that were sent to clients.
    pub(crate) fn delivered(&self) -> u64 {
        self.server.with_cloud(|cloud, _| cloud.counters().delivered)
    }

    /// Number of connections at the broker.
    pub(crate) fn connections(&self) -> usize {
        self.server.with_cloud(|cloud, _| cloud.connections().count())
    }
}

fn account(number: usize) -> AccountSpec {
    let mut account = AccountSpec::new(&format!("user{number}@example.com"), PASSWORD);
    let mut home = HomeSpec::new("Home");
    for place in 0..THERMOSTATS {
        let id = format!("a0b1{:08x}", number * THERMOSTATS + place);
        let id = DeviceId::new(&id).unwrap();
        // The only model that all contestants command by MQTT.
        home.devices.push(DeviceSpec::new(id, "BB-V2-0-L", &format!("Room {place}")));
    }
    account.homes.push(home);
    account
}

fn devices(account: &AccountSpec) -> Vec<DeviceId> {
    account.homes.iter().flat_map(|home| &home.devices).map(|device| device.id).collect()
}

/// Signs in without a network and returns the refresh token.
fn sign_in(cloud: &mut Cloud, now: Now, client: &str, email: &str, number: usize) -> String {
    let pool = Pool::new("us-east-1", "us-east-1_GUFWfhI7g", client);
    let mut entropy = [7; 32];
    entropy[..8].copy_from_slice(&number.to_le_bytes());
    let (request, challenge) = SignIn::start(&pool, email, Secret::from(PASSWORD), entropy);
    let (status, body) = ask(cloud, now, &request);
    let Step::Continue(request, answer) = challenge.reply(status, &body, now.wall.as_secs()).unwrap() else {
        panic!("no challenge");
    };
    let (status, body) = ask(cloud, now, &request);
    let Step::Done(tokens) = answer.reply(status, &body).unwrap() else { panic!("no tokens") };
    tokens.refresh.unwrap().expose().to_owned()
}

fn ask(cloud: &mut Cloud, now: Now, request: &HttpRequest) -> (u16, Vec<u8>) {
    let request = mysa_sim::HttpRequest {
        host: &request.service.host("us-east-1"),
        method: "POST",
        path: "/",
        query: "",
        headers: &[("X-Amz-Target", request.target)],
        body: request.body().as_bytes(),
    };
    match cloud.handle_http(now, &request) {
        HttpAnswer::Reply(reply) => (reply.status, reply.body),
        other => panic!("{other:?}"),
    }
}
