//! Handlers for the packets of a client.

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_mqtt_codec::server::{Inbound, Outbound, Subscribe};
use mysa_mqtt_codec::{
    ConnAck, Connect, ConnectRefusal, Delivery, Filter, PINGRESP, PacketId, Publish, QoS, ReturnCodes,
    SubAck, puback, unsuback,
};
use mysa_proto::TopicKind;

use super::connection::Connection;
use super::subscriptions::Absent;
use super::{
    BACKLOG_PACE, Broker, ConnectionEnd, Context, MAX_CLIENT_ID, MAX_CLIENTS, MAX_FILTERS, MAX_PUBLISHES,
    MAX_SLASHES, MAX_TOPIC,
};
use crate::auth::identity_pool::Reach;
use crate::fault::{Closing, Fault};
use crate::journal::{CloseReason, EventKind, excerpt};
use crate::spec::Denial;

impl Broker {
    /// Handles a packet. An error states how the connection is closed.
    pub(super) fn handle_packet(
        &mut self,
        cx: &mut Context<'_>,
        conn: u64,
        connection: &mut Connection,
        packet: Inbound<'_>,
    ) -> Result<(), ConnectionEnd> {
        const RULE: ConnectionEnd = ConnectionEnd::by_rule(CloseReason::Protocol);
        connection.packets = connection.packets.saturating_add(1);
        let young = cx.now < connection.opened + Duration::from_secs(1);
        let burst = cx.faults.apply(cx.now, |fault| match fault {
            Fault::CloseOnBurst { packets, closing } if young && connection.packets > *packets => {
                Some(*closing)
            }
            _ => None,
        });
        if let Some(closing) = burst {
            return Err(ConnectionEnd::by_fault(closing));
        }
        if let Inbound::Connect(connect) = packet {
            return self.connect(cx, conn, connection, &connect);
        }
        if connection.client.is_none() {
            return Err(RULE);
        }
        match packet {
            Inbound::Publish(publish) => {
                let before = self.published.len();
                let result = self.take(cx, conn, connection, &publish);
                let accepted = self.published.len() > before;
                cx.journal.add(cx.at, || EventKind::Published {
                    conn,
                    topic: publish.topic.as_str().into(),
                    qos: qos(publish.delivery),
                    payload: excerpt(publish.payload),
                    accepted,
                });
                result
            }
            Inbound::PubAck(id) => {
                connection.in_flight.remove(&id);
                Ok(())
            }
            Inbound::Subscribe(subscribe) => self.subscribe(cx, conn, connection, subscribe),
            Inbound::Unsubscribe(unsubscribe) => {
                if unsubscribe.filters().count() > MAX_FILTERS {
                    return Err(ConnectionEnd::by_rule(CloseReason::TooManyFilters));
                }
                for filter in unsubscribe.filters() {
                    connection.subscriptions.remove(filter.as_str());
                }
                self.send(cx, conn, &unsuback(unsubscribe.id));
                Ok(())
            }
            Inbound::PingReq => {
                if !cx.faults.applies(cx.now, &Fault::DropPings) {
                    self.send(cx, conn, &PINGRESP);
                }
                Ok(())
            }
            Inbound::Disconnect => Err(ConnectionEnd::by_rule(CloseReason::Disconnect)),
            Inbound::Connect(_) | Inbound::PubRec(_) | Inbound::PubRel(_) | Inbound::PubComp(_) => Err(RULE),
        }
    }

    fn connect(
        &mut self,
        cx: &mut Context<'_>,
        conn: u64,
        connection: &mut Connection,
        connect: &Connect<'_>,
    ) -> Result<(), ConnectionEnd> {
        let rule = ConnectionEnd::by_rule(CloseReason::Protocol);
        if connection.client.is_some() || connect.client_id.as_str().len() > MAX_CLIENT_ID {
            return Err(rule);
        }
        if cx.faults.applies(cx.now, &Fault::IgnoreConnect) {
            return Ok(());
        }
        let closing = cx.faults.apply(cx.now, |fault| match fault {
            Fault::CloseOnConnect(closing) => Some(*closing),
            _ => None,
        });
        if let Some(closing) = closing {
            return Err(ConnectionEnd::by_fault(closing));
        }
        if connect.client_id.as_str().is_empty() && !connect.clean_session {
            // [MQTT-3.1.3-8]
            self.send(cx, conn, &ConnAck::Refused(ConnectRefusal::ClientId).to_bytes());
            return Err(rule);
        }
        let code = cx.faults.apply(cx.now, |fault| match fault {
            Fault::RefuseConnect(code) => Some(*code),
            _ => None,
        });
        if let Some(code) = code {
            let refusal = match code {
                1 => ConnectRefusal::ProtocolLevel,
                2 => ConnectRefusal::ClientId,
                3 => ConnectRefusal::Unavailable,
                4 => ConnectRefusal::BadLogin,
                _ => ConnectRefusal::NotAuthorized,
            };
            self.send(cx, conn, &ConnAck::Refused(refusal).to_bytes());
            return Err(ConnectionEnd::by_rule(CloseReason::Fault));
        }
        let name = match connect.client_id.as_str() {
            "" => alloc::format!("anonymous-{conn}"),
            name => name.to_string(),
        };
        // AWS IoT accepts one CONNECT per second and client id.
        let second = Duration::from_secs(1);
        if self.last_connect.get(&name).is_some_and(|&last| cx.now < last.saturating_add(second)) {
            self.counts.too_fast += 1;
            return Err(ConnectionEnd::by_rule(CloseReason::EarlyConnect));
        }
        if self.last_connect.len() >= MAX_CLIENTS {
            self.last_connect.retain(|_, last| cx.now < last.saturating_add(second));
        }
        self.last_connect.insert(name.clone(), cx.now);
        // [MQTT-3.1.4-2] The newer connection takes over the client id.
        let older = self.connections.iter().find(|(_, other)| other.client.as_ref() == Some(&name));
        if let Some(older) = older.map(|(older, _)| *older) {
            self.counts.taken_over += 1;
            self.close(cx, older, Closing::Frame(None), CloseReason::TakenOver);
        }
        // A stored session is resumed only by its own account, and ends with any other CONNECT of its client id.
        let kept = self.absent.remove(&name).filter(|absent| {
            !connect.clean_session && absent.account == connection.account && cx.now < absent.until
        });
        let session_present = kept.is_some();
        if let Some(Absent { subscriptions, backlog, .. }) = kept {
            (connection.subscriptions, connection.backlog) = (subscriptions, backlog);
            connection.backlog_at = cx.now + BACKLOG_PACE;
        }
        connection.lasting = !connect.clean_session;
        connection.client = Some(name);
        // The keep-alive of AWS IoT is 30 to 1200 seconds, and 0 means 1200.
        let keep_alive = match connect.keep_alive {
            0 | 1_201.. => 1_200,
            asked => asked.max(30),
        };
        connection.keep_alive = cx.rules.for_client(Duration::from_secs(keep_alive.into()));
        connection.ends = connection.opened.saturating_add(cx.rules.connection_life);
        connection.close_at = cx.faults.apply(cx.now, |fault| match fault {
            Fault::CloseAfterConnect { after, closing } => Some((cx.now + *after, *closing)),
            _ => None,
        });
        self.counts.connects += 1;
        let client = connection.client.as_deref().unwrap_or_default();
        cx.journal.add(cx.at, || EventKind::Connected {
            conn,
            client: client.into(),
            keep_alive: connect.keep_alive,
            clean_session: connect.clean_session,
        });
        self.send(cx, conn, &ConnAck::Accepted { session_present }.to_bytes());
        Ok(())
    }

    fn take(
        &mut self,
        cx: &mut Context<'_>,
        conn: u64,
        connection: &mut Connection,
        publish: &Publish<'_>,
    ) -> Result<(), ConnectionEnd> {
        let rule = ConnectionEnd::by_rule(CloseReason::Protocol);
        let topic = publish.topic.as_str();
        self.counts.publishes += 1;
        let second = cx.now.as_secs();
        let (window, count) = &mut connection.publishes;
        (*window, *count) = if *window == second { (second, *count + 1) } else { (second, 1) };
        // AWS IoT has no QoS 2 and closes the connection at each of these limits.
        let exact = matches!(publish.delivery, Delivery::ExactlyOnce(_));
        if exact || *count > MAX_PUBLISHES || is_too_long(topic) || publish.payload.len() > 128 * 1024 {
            return Err(rule);
        }
        let closing = cx.faults.apply(cx.now, |fault| match fault {
            Fault::CloseOnPublish(closing) => Some(*closing),
            _ => None,
        });
        if let Some(closing) = closing {
            return Err(ConnectionEnd::by_fault(closing));
        }
        if cx.faults.applies(cx.now, &Fault::DropPublishes) {
            return Ok(());
        }
        // The policy permits publishing only on the `/in` topics and the shadows of the account's own devices.
        let own = cx.policy.own(connection.account, topic).is_some_and(|topic| topic.is_of_clients());
        if connection.reach != Reach::Full || !own || cx.faults.applies(cx.now, &Fault::DenyPublish) {
            return match cx.rules.denied_publish {
                Denial::Disconnect => Err(ConnectionEnd::by_rule(CloseReason::Denied)),
                Denial::Refuse | Denial::Silence => Ok(()),
            };
        }
        self.published.push((conn, topic.into(), publish.payload.into()));
        if let (Delivery::AtLeastOnce(id), false) =
            (publish.delivery, cx.faults.applies(cx.now, &Fault::DropPubacks))
        {
            self.send(cx, conn, &puback(id));
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        cx: &mut Context<'_>,
        conn: u64,
        connection: &mut Connection,
        subscribe: Subscribe<'_>,
    ) -> Result<(), ConnectionEnd> {
        let rule = ConnectionEnd::by_rule(CloseReason::Protocol);
        if subscribe.filters().count() > MAX_FILTERS {
            return Err(ConnectionEnd::by_rule(CloseReason::TooManyFilters));
        }
        let granted_at_most = cx.faults.apply(cx.now, |fault| match fault {
            Fault::GrantFirst(count) => Some(*count),
            _ => None,
        });
        let mut codes = Vec::new();
        let mut silent = false;
        let mut retained = Vec::new();
        for (filter, qos) in subscribe.filters() {
            let closing = cx.faults.apply(cx.now, |fault| match fault {
                Fault::CloseOnSubscribe { suffix, closing } if filter.as_str().ends_with(&**suffix) => {
                    Some(*closing)
                }
                _ => None,
            });
            if let Some(closing) = closing {
                return Err(ConnectionEnd::by_fault(closing));
            }
            if qos == QoS::ExactlyOnce || is_too_long(filter.as_str()) {
                return Err(rule);
            }
            let allowed = granted_at_most.is_none_or(|count| codes.len() < count)
                && may_subscribe(cx, connection, filter);
            let granted = match (allowed, cx.rules.denied_subscribe) {
                (true, _) => connection.subscriptions.add(filter, qos == QoS::AtLeastOnce),
                (false, Denial::Refuse) => false,
                (false, Denial::Disconnect) => {
                    return Err(ConnectionEnd::by_rule(CloseReason::Denied));
                }
                (false, Denial::Silence) => {
                    silent = true;
                    false
                }
            };
            codes.push(if granted { qos.to_byte() } else { 0x80 });
            let topic = mysa_proto::Topic::parse(filter.as_str().as_bytes());
            retained.extend(topic.filter(|topic| granted && topic.kind == TopicKind::Out));
        }
        cx.journal.add(cx.at, || {
            let filters = subscribe.filters().map(|(filter, _)| filter.as_str().into());
            let granted = codes.iter().map(|&code| code != 0x80);
            EventKind::Subscribed { conn, filters: filters.zip(granted).collect() }
        });
        for topic in retained {
            let age = cx.faults.apply(cx.now, |fault| match fault {
                Fault::Retained(age) => Some(*age),
                _ => None,
            });
            self.retained.extend(age.map(|age| (conn, topic.device, age)));
        }
        if silent || cx.faults.applies(cx.now, &Fault::DropSubacks) {
            return Ok(());
        }
        let forced = cx.faults.apply(cx.now, |fault| match fault {
            Fault::SubackCodes(codes) => Some(codes.clone()),
            _ => None,
        });
        let codes = forced.unwrap_or(codes);
        let wrong = cx.faults.applies(cx.now, &Fault::SubackWrongId);
        // Any other id serves; a flipped bit always gives one.
        let id = if wrong {
            PacketId::new(subscribe.id.get() ^ 0x4000).unwrap_or(PacketId::MAX)
        } else {
            subscribe.id
        };
        let mut bytes = Vec::new();
        match ReturnCodes::new(&codes) {
            // A packet can hold any number of filters.
            Ok(codes) => _ = Outbound::SubAck(SubAck { id, codes }).encode(&mut bytes),
            // A fault may use codes that MQTT does not define.
            Err(_) => {
                let codes = codes.get(..codes.len().min(100)).unwrap_or_default();
                bytes.extend_from_slice(&[0x90, 2 + u8::try_from(codes.len()).unwrap_or(0)]);
                bytes.extend_from_slice(&id.get().to_be_bytes());
                bytes.extend_from_slice(codes);
            }
        }
        self.send(cx, conn, &bytes);
        Ok(())
    }
}

fn may_subscribe(cx: &mut Context<'_>, connection: &Connection, filter: Filter<'_>) -> bool {
    let text = filter.as_str();
    if filter.has_wildcard() {
        let ours = ["/v1/dev/+/out", "/v1/dev/+/in", "/v1/dev/+/batch", "/v1/dev/#"];
        return cx.rules.wildcards
            && (ours.contains(&text) || cx.policy.owns_shadows(connection.account, text));
    }
    let Some(topic) = cx.policy.own(connection.account, text) else { return false };
    !cx.faults.applies(cx.now, &Fault::RefuseDevice(topic.device()))
}

const fn qos(delivery: Delivery) -> u8 {
    match delivery {
        Delivery::AtMostOnce => 0,
        Delivery::AtLeastOnce(_) => 1,
        Delivery::ExactlyOnce(_) => 2,
    }
}

fn is_too_long(topic: &str) -> bool {
    topic.len() > MAX_TOPIC || topic.bytes().filter(|&byte| byte == b'/').count() > MAX_SLASHES
}
