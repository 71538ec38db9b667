//! Encoding of commands at the moment a transport takes them. Bytes exist nowhere before.

use alloc::vec::Vec;
use core::time::Duration;

use mysa_cognito::Secret;
use mysa_mqtt_codec::PacketId;
use mysa_proto::rest;

use crate::auth::Identity;
use crate::commands::book::{CommandBook, Decision};
use crate::commands::transmission::{Payload, SentAt};
use crate::context::Context;
use crate::devices::Devices;
use crate::mqtt::connection::Connection;
use crate::mqtt::pool::ConnectionPool;
use crate::rest::Rest;
use crate::{ConnId, HttpRequest, Packets};

/// Length that the payload of most commands does not exceed, in bytes.
const PAYLOAD: usize = 320;

impl CommandBook {
    /// Returns the packet of a command that its connection takes now. `None` if the command may not be sent.
    pub(crate) fn publish(
        &mut self,
        cx: &Context,
        mqtt: &mut ConnectionPool,
        conn: ConnId,
        serial: u64,
        decisions: &mut Vec<Decision>,
    ) -> Option<Packets> {
        let connection = mqtt
            .position(conn)
            .and_then(|at| mqtt.connections.get_mut(at))
            .filter(|connection| connection.is_live() && connection.is_ready());
        let Some(connection) = connection else {
            self.unqueue(serial);
            return None;
        };
        let (device, payload) = self.take(serial, SentAt::now(cx), cx.now, decisions)?;
        let mut body = Vec::with_capacity(PAYLOAD);
        payload.encode_mqtt(serial, cx, &mut body);
        Some(connection.publish_command(cx, device, &body, serial, cx.settings.publish_retries))
    }

    /// Returns the packet of a publish that is repeated now. `None` if its command may not be sent any more.
    pub(crate) fn republish(
        &mut self,
        cx: &Context,
        mqtt: &mut ConnectionPool,
        conn: ConnId,
        packet: PacketId,
    ) -> Option<Packets> {
        let connection = mqtt.position(conn).and_then(|at| mqtt.connections.get_mut(at))?;
        let serial = connection.publishes.command(packet).filter(|_| !connection.is_blocked())?;
        let (device, payload) = self.repeat(serial, cx.now)?;
        let mut body = Vec::with_capacity(PAYLOAD);
        payload.encode_mqtt(serial, cx, &mut body);
        // Only now: a repeat that is not sent is no copy, and the position is that of the wire.
        connection.publishes.repeated(packet, cx.now);
        Some(Connection::repeated(device, &body, packet))
    }

    /// Returns the request of a command by the structured service, without its body. [`CommandBook::body`] encodes the
    /// body once the connection is established.
    pub(crate) fn request(
        &mut self,
        cx: &mut Context,
        auth: &Identity,
        rest: &mut Rest,
        serial: u64,
    ) -> Option<HttpRequest> {
        let token = auth.id_token(cx).map(Secret::from);
        let (Some(token), Some(request)) = (token, self.structured_request(serial, cx.now)) else {
            self.unqueue(serial);
            return None;
        };
        let until = self.earliest_deadline(serial).unwrap_or(Duration::MAX);
        Some(rest.update(cx, &token, &request, serial, self.is_token_retry(serial), until))
    }

    /// Returns the body of a command by the structured service, as it is sent now. `None` if the command may not be sent, or would
    /// be sent in another way by now.
    pub(crate) fn body(
        &mut self,
        cx: &Context,
        devices: &Devices,
        serial: u64,
        decisions: &mut Vec<Decision>,
    ) -> Option<Secret> {
        // While the connection was established, the mode may have changed, or its command may have ended.
        if !self.is_current(devices, serial, cx.mono()) {
            self.unqueue(serial);
            return None;
        }
        let (device, payload) = self.take(serial, SentAt::now(cx), cx.now, decisions)?;
        let Payload::Structured(update) = payload else { return None };
        rest::update_state(device, &update).as_request().body().map(Secret::from)
    }
}
