use std::collections::BTreeSet;

use mysa_mqtt_codec::{Delivery, Filter, Inbound, Outbound, PacketId, QoS};

use super::{Harness, at};
use crate::script::Script;

/// Client of one connection.
#[derive(Debug, Default)]
pub(super) struct Client {
    filters: BTreeSet<String>,
    /// Messages that it has not acknowledged.
    owed: Vec<PacketId>,
    /// Ids of the messages with QoS 1 that it has got.
    ids: BTreeSet<PacketId>,
    /// Number of messages that it has got.
    pub(super) received: usize,
    /// `true` once it has sent arbitrary bytes, which may hold anything.
    pub(super) is_raw: bool,
}

impl Client {
    /// Takes a packet of the broker.
    pub(super) fn receive(&mut self, packet: &Inbound<'_>) {
        let Inbound::Publish(publish) = packet else { return };
        // [MQTT-3.10.4-3] The broker completes a delivery that began before the end of the subscription.
        let is_repeated = publish.dup && publish.delivery.id().is_some_and(|id| self.ids.contains(&id));
        let is_wanted =
            |filter: &String| Filter::new(filter).is_ok_and(|filter| filter.matches(publish.topic));
        assert!(
            self.is_raw || is_repeated || self.filters.iter().any(is_wanted),
            "nobody asked for {}",
            publish.topic
        );
        self.received += 1;
        if let Delivery::AtLeastOnce(id) = publish.delivery {
            self.owed.push(id);
            self.ids.insert(id);
        }
    }
}

impl Harness {
    pub(super) fn subscribe(&mut self, script: &mut Script<'_>, op: u8) {
        let conn = self.some_conn(script);
        let filter = self.filter(script, op);
        let (Ok(name), Some(id)) = (Filter::new(&filter), PacketId::new(u16::from(op))) else { return };
        let filters = [(name, QoS::AtLeastOnce)];
        self.clients.entry(conn).or_default().filters.insert(filter.clone());
        self.send(conn, &Outbound::Subscribe { id, filters: &filters });
    }

    pub(super) fn unsubscribe(&mut self, script: &mut Script<'_>) {
        let conn = self.some_conn(script);
        let op = script.byte();
        let filter = self.filter(script, op);
        let (Ok(name), Some(id)) = (Filter::new(&filter), PacketId::new(7)) else { return };
        self.send(conn, &Outbound::Unsubscribe { id, filters: &[name] });
        self.drain();
        // A fault may keep the broker from reading it.
        if let Some(client) = self.clients.get_mut(&conn).filter(|_| !self.is_disturbed) {
            client.filters.remove(&filter);
        }
    }

    /// Acknowledges the messages that a client has got, or one that it has not.
    pub(super) fn acknowledge(&mut self, script: &mut Script<'_>) {
        let conn = self.some_conn(script);
        let other = script.option(Script::u16).and_then(PacketId::new);
        let client = self.clients.entry(conn).or_default();
        for id in core::mem::take(&mut client.owed).into_iter().chain(other) {
            self.send(conn, &Outbound::PubAck(id));
        }
    }

    fn filter(&self, script: &mut Script<'_>, op: u8) -> String {
        match op & 3 {
            0 => script.text(),
            1 => "/v1/dev/+/out".into(),
            3 if op & 4 != 0 => format!("$aws/things/{}/shadow/name/+/#", self.device(script)),
            _ => format!("/v1/dev/{}/out", self.device(script)),
        }
    }

    fn send(&mut self, conn: u64, packet: &Outbound<'_>) {
        let mut bytes = Vec::new();
        if packet.encode(&mut bytes).is_ok() {
            self.cloud.handle_ws_bytes(at(self.mono), conn, &bytes);
        }
    }
}
