use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mysa_mqtt_codec::{
    ClientId, Connect, Delivery, Filter, Inbound, Outbound, PacketId, Publish, QoS, Stream, Topic, puback,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Minimal V2 thermostat on the broker's plain port.
pub(crate) struct Thermostat {
    id: &'static str,
    tcp: TcpStream,
    stream: Stream,
    unread: Vec<u8>,
}

/// Command received on `/in`.
pub(crate) struct ReceivedCommand {
    id: u64,
    pub(crate) setpoint: f64,
}

enum Packet {
    ConnAck,
    SubAck,
    Message(Vec<u8>),
    Other,
}

impl Thermostat {
    pub(crate) async fn connect(broker: SocketAddr, id: &'static str) -> Self {
        let tcp = TcpStream::connect(broker).await.expect("the broker listens");
        let mut thermostat = Self { id, tcp, stream: Stream::new(160_000), unread: Vec::new() };
        let client_id = ClientId::new("thermostat").expect("an id");
        thermostat.send(Outbound::Connect(Connect::new(client_id, 0))).await;
        assert!(matches!(thermostat.packet().await, Packet::ConnAck));
        let filter = format!("/v1/dev/{id}/in");
        let filters = [(Filter::new(&filter).expect("a filter"), QoS::AtLeastOnce)];
        let packet = PacketId::new(1).expect("not 0");
        thermostat.send(Outbound::Subscribe { id: packet, filters: &filters }).await;
        assert!(matches!(thermostat.packet().await, Packet::SubAck));
        thermostat
    }

    /// Publishes a status with this setpoint.
    pub(crate) async fn report(&mut self, setpoint: f64) {
        let body = json!({ "ambTemp": 18.5, "hum": 45, "stpt": setpoint, "dtyCycle": 0.5 });
        self.publish(&json!({ "ver": "1.0", "src": self.source(), "time": now(), "msg": 40, "body": body }))
            .await;
    }

    /// Waits for the next command; everything else on `/in` is ignored.
    pub(crate) async fn command(&mut self) -> ReceivedCommand {
        loop {
            let Packet::Message(payload) = self.packet().await else { continue };
            let message: Value = serde_json::from_slice(&payload).expect("JSON");
            if message["msg"] == 44 {
                let id = message["id"].as_u64().expect("an id");
                let setpoint = message["body"]["cmd"][0]["sp"].as_f64().expect("a setpoint");
                return ReceivedCommand { id, setpoint };
            }
        }
    }

    /// Acknowledges a command as carried out.
    pub(crate) async fn acknowledge(&mut self, received: &ReceivedCommand) {
        let body =
            json!({ "success": 1, "type": 4, "trig_src": 3, "state": { "sp": received.setpoint, "md": 3 } });
        let answer = json!({
            "ver": "1.0", "src": self.source(), "time": now(), "msg": 44, "id": 7, "resp_id": received.id, "body": body,
        });
        self.publish(&answer).await;
    }

    fn source(&self) -> Value {
        json!({ "type": 1, "ref": self.id })
    }

    async fn publish(&mut self, message: &Value) {
        let (topic, payload) = (format!("/v1/dev/{}/out", self.id), message.to_string());
        let topic = Topic::new(&topic).expect("a topic");
        self.send(Outbound::Publish(Publish::new(topic, payload.as_bytes(), Delivery::AtMostOnce))).await;
    }

    async fn send(&mut self, packet: Outbound<'_>) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).expect("a packet");
        self.tcp.write_all(&bytes).await.expect("the broker is running");
    }

    /// Waits for the next packet; the time limit only ends a test that has failed.
    async fn packet(&mut self) -> Packet {
        loop {
            let mut rest = self.unread.as_slice();
            let (packet, answer) = match self.stream.next(&mut rest).expect("valid packets") {
                None => (None, None),
                Some(Inbound::ConnAck(_)) => (Some(Packet::ConnAck), None),
                Some(Inbound::SubAck(_)) => (Some(Packet::SubAck), None),
                Some(Inbound::Publish(publish)) => {
                    let answer = match publish.delivery {
                        Delivery::AtLeastOnce(id) => Some(puback(id)),
                        _ => None,
                    };
                    (Some(Packet::Message(publish.payload.to_vec())), answer)
                }
                Some(_) => (Some(Packet::Other), None),
            };
            let used = self.unread.len() - rest.len();
            self.unread.drain(..used);
            if let Some(answer) = answer {
                self.tcp.write_all(&answer).await.expect("the broker is running");
            }
            if let Some(packet) = packet {
                return packet;
            }
            let read = self.tcp.read_buf(&mut self.unread);
            let read =
                tokio::time::timeout(Duration::from_secs(300), read).await.expect("a packet from the broker");
            assert_ne!(read.expect("a connection"), 0, "the broker closed the connection");
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
