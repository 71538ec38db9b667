//! This project: a client of `mysa-tokio` for each account.

use std::collections::HashMap;

use mysa_proto::{Celsius, DeviceId};
use mysa_tokio::{Client, Environment, Event, Events, Level, RefreshToken, Secret, StoredSession, Tls};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::program::{Account, Config, Order, Reports, clock};

pub(crate) async fn run(config: Config, reports: Reports, mut orders: UnboundedReceiver<Order>) {
    let tls = match Tls::new(&[config.authority.clone().into()]) {
        Ok(tls) => tls,
        Err(error) => return reports.failed(&error),
    };
    let mut clients = Vec::new();
    for account in &config.accounts {
        let client = match start(&config, &tls, account) {
            Ok(client) => client,
            Err(error) => return reports.failed(&error),
        };
        tokio::spawn(follow(client.clone(), client.events(), account.devices.len(), reports.clone()));
        clients.push(client);
    }
    while let Some(Order { account, device, setpoint }) = orders.recv().await {
        let (client, reports) = (clients[account].clone(), reports.clone());
        tokio::spawn(async move {
            let given = clock();
            match client.set_setpoint(&device, setpoint).await {
                Ok(verdict) if verdict.is_confirmed() => reports.acknowledged(given),
                Ok(verdict) => reports.failed(&verdict),
                Err(error) => reports.failed(&error),
            }
        });
    }
}

fn start(config: &Config, tls: &Tls, account: &Account) -> Result<Client, mysa_tokio::Error> {
    let mut stored = StoredSession::new(&account.email, &config.client_id);
    stored.refresh_token = Some(RefreshToken::new(Secret::from(account.refresh_token.as_str())));
    Client::builder(Environment::mysa()).stored(stored, None).tls(tls).connect_to(config.address).start()
}

/// The application: reads the events of an account and looks at the thermostats.
async fn follow(client: Client, mut events: Events, thermostats: usize, reports: Reports) {
    let mut setpoints: HashMap<DeviceId, Celsius> = HashMap::new();
    let mut is_live = false;
    while let Some(event) = events.next().await {
        if !is_live && client.service().level == Level::Live {
            let devices = client.devices();
            is_live = devices.len() == thermostats
                && devices.iter().all(|device| device.state.temperature().is_some());
            if is_live {
                reports.live();
            }
        }
        if let Event::Device { device, .. } = event
            && let Some(view) = client.state(&device)
            && let Some(setpoint) = view.state.setpoint()
            && setpoints.insert(device, setpoint.value) != Some(setpoint.value)
        {
            reports.event(device, setpoint.value);
        }
    }
    reports.failed(&"a client ended");
}
