use std::time::Duration;

use mysa_mqtt_codec::{ClientId, Connect};
use mysa_session::ConnId;
use mysa_sim::{Cloud, HttpRequest, Upgrade};

/// Something a client did on a connection, as the observer saw it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Wire {
    /// It dialled this presigned URL.
    Dial {
        /// The whole of it; it is a secret of this world only.
        url: String,
    },
    /// It sent CONNECT.
    Connect {
        /// The name it gave itself.
        client_id: String,
    },
    /// It asked for these filters.
    Subscribe(Vec<String>),
    /// It gave these filters up.
    Unsubscribe(Vec<String>),
    /// It published.
    Publish {
        /// Packet id.
        packet: u16,
        /// Where to.
        topic: String,
        /// Whether it was marked as sent before.
        dup: bool,
        /// Whether it is a command, and not a request for live reports.
        command: bool,
    },
    /// It acknowledged what it was sent.
    PubAck(u16),
    /// It asked whether the broker is alive.
    Ping,
    /// It said goodbye.
    Disconnect,
}

/// An entry of [`World::wire`](crate::World::wire): when, on which connection, what.
pub type Seen = (Duration, ConnId, Wire);

/// Connections of a duplicate client get numbers far from those of the client.
const DUPLICATE_CLIENTS: u64 = 1 << 40;

impl crate::World {
    /// What the client did on its connections, in order, while events are kept.
    #[must_use]
    pub fn wire(&self) -> &[Seen] {
        &self.observer.log
    }

    /// Another program of the same account, with the client's own signature, connects under this client id, and falls
    /// silent. True if the broker let it in.
    pub fn duplicate_client(&mut self, client_id: &str) -> bool {
        let url = self.observer.log.iter().rev().find_map(|(_, _, wire)| match wire {
            Wire::Dial { url } => Some(url.clone()),
            _ => None,
        });
        let Some((host, target)) =
            url.as_deref().and_then(|url| url.strip_prefix("wss://")).and_then(|rest| rest.split_once('/'))
        else {
            return false;
        };
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let headers = [
            ("host", host),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "mqtt"),
        ];
        let view = HttpRequest { host, method: "GET", path: "/mqtt", query, headers: &headers, body: b"" };
        self.duplicate_clients += 1;
        let (number, now) = (DUPLICATE_CLIENTS + self.duplicate_clients, self.cloud_now());
        if !matches!(self.cloud.handle_upgrade(now, number, &view), Upgrade::Accept) {
            return false;
        }
        self.note(format_args!("a duplicate client connects as {client_id}"));
        let mut bytes = Vec::new();
        let Ok(client_id) = ClientId::new(client_id) else { return false };
        if mysa_mqtt_codec::Outbound::Connect(Connect::new(client_id, 1_200)).encode(&mut bytes).is_err() {
            return false;
        }
        self.cloud.handle_ws_bytes(now, number, &bytes);
        let within = knows(&self.cloud, number);
        self.drain_cloud();
        within
    }
}

fn knows(cloud: &Cloud, number: u64) -> bool {
    cloud.clients().any(|(conn, _)| conn == number)
}
