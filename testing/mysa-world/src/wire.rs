use std::time::Duration;

use mysa_mqtt_codec::{ClientId, Connect};
use mysa_session::ConnId;
use mysa_sim::{Cloud, HttpRequest, Upgrade};

/// An action of the client on a connection, as the observer saw it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Wire {
    /// The client dialled a presigned URL.
    Dial {
        /// The whole URL; it is a secret of this world only.
        url: String,
    },
    /// The client sent CONNECT.
    Connect {
        /// The client id that it gave.
        client_id: String,
    },
    /// The client asked for these filters.
    Subscribe(Vec<String>),
    /// The client gave up these filters.
    Unsubscribe(Vec<String>),
    /// The client published a message.
    Publish {
        /// Packet id.
        packet: u16,
        /// Topic of the message.
        topic: String,
        /// `true` if DUP was set.
        dup: bool,
        /// `true` for a command, `false` for a request for live reports.
        command: bool,
    },
    /// The client acknowledged the message with this packet id.
    PubAck(u16),
    /// The client sent PINGREQ.
    Ping,
    /// The client sent DISCONNECT.
    Disconnect,
}

/// Entry of [`World::wire`](crate::World::wire): time, connection and action.
pub type Seen = (Duration, ConnId, Wire);

/// First number of connections of duplicate clients, far from the numbers of the client's own connections.
const DUPLICATE_CLIENTS: u64 = 1 << 40;

impl crate::World {
    /// Actions of the client on its connections in order, recorded while events are kept.
    #[must_use]
    pub fn wire(&self) -> &[Seen] {
        &self.observer.log
    }

    /// Connects another program under this client id, with the client's own signature, and lets it send
    /// nothing more. Returns `true` if the broker accepted the connection.
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
