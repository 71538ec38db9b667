use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mysa_cognito::Secret;
use mysa_mqtt_codec::{
    ClientId, Connect, EncodeError, Filter, InvalidText, Login as WireLogin, Outbound, PacketId, QoS, Text,
    Topic, Will as WireWill,
};

/// Settings of a [`Client`](super::Client).
///
/// With the defaults, a client is connected again at most 30 s after a broker can be reached, regardless of
/// earlier failures.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Client id. A broker closes the older of two connections with the same id, so every client of a broker has its own,
    /// and the same one after each restart: the broker then publishes the will of a connection that was lost before it
    /// accepts the next one, never after it.
    pub client_id: String,
    /// User name and password. Default: none.
    pub login: Option<Login>,
    /// Message that the broker publishes, retained, if the connection ends without DISCONNECT. Default: none.
    pub will: Option<Will>,
    /// Filters to subscribe to, with QoS 0: each message arrives at most once, so no command can be repeated. At most
    /// 64. Default: none.
    pub filters: Vec<String>,
    /// Longest time in which the client sends nothing, 1 s to 18 h, in whole seconds. A connection whose broker is silent
    /// ends after three quarters of this time and [`Settings::ping_timeout`]. Default: 15 s.
    pub keep_alive: Duration,
    /// Time limit for opening a connection, from dialling to CONNACK. Default: 8 s.
    pub connect_timeout: Duration,
    /// Time limit for the answer to a ping. Default: 5 s.
    pub ping_timeout: Duration,
    /// Time limit for the answers to SUBSCRIBE and PUBLISH, and for the driver to write what it took. Default: 10 s.
    pub ack_timeout: Duration,
    /// Longest pause before the first attempt to reconnect. Default: 1 s.
    pub backoff_first: Duration,
    /// Longest pause before any attempt to reconnect. Default: 10 s.
    pub backoff_cap: Duration,
    /// Largest message accepted, in bytes of topic and payload. Larger ones are skipped. Default: 16 KiB.
    pub max_message: u32,
}

/// User name and password for a broker.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Login {
    /// User name.
    pub user_name: String,
    /// Password, if the broker requires one.
    pub password: Option<Secret>,
}

/// Retained message that a broker publishes when a connection is lost.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Will {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
}

/// Error: a setting cannot be sent to a broker.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// The client id is invalid.
    ClientId(InvalidText),
    /// The user name is invalid.
    UserName(InvalidText),
    /// The topic of the will is invalid.
    WillTopic(InvalidText),
    /// A filter is invalid.
    Filter {
        /// The filter.
        filter: String,
        /// The rule that it breaks.
        error: InvalidText,
    },
    /// There are too many filters.
    TooManyFilters,
    /// The keep-alive is below one second or above 65,535 seconds.
    KeepAlive,
    /// A value is too long for its packet.
    TooLong(EncodeError),
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientId(error) => write!(f, "invalid client id: {error}"),
            Self::UserName(error) => write!(f, "invalid user name: {error}"),
            Self::WillTopic(error) => write!(f, "invalid topic of the will: {error}"),
            Self::Filter { filter, error } => write!(f, "invalid filter {filter:?}: {error}"),
            Self::TooManyFilters => write!(f, "too many filters: at most {MAX_FILTERS}"),
            Self::KeepAlive => f.write_str("invalid keep-alive: expected 1 to 65535 s"),
            Self::TooLong(error) => write!(f, "a setting is too long: {error}"),
        }
    }
}

impl core::error::Error for InvalidSettings {}

const MAX_FILTERS: usize = 64;
/// Packet id of SUBSCRIBE. Publishes use the ids above it.
pub(super) const SUBSCRIBE_ID: u16 = 1;

impl Settings {
    /// Creates settings with the defaults.
    pub fn new(client_id: impl Into<String>) -> Self {
        let secs = Duration::from_secs;
        Self {
            client_id: client_id.into(),
            login: None,
            will: None,
            filters: Vec::new(),
            keep_alive: secs(15),
            connect_timeout: secs(8),
            ping_timeout: secs(5),
            ack_timeout: secs(10),
            backoff_first: secs(1),
            backoff_cap: secs(10),
            max_message: 16 * 1_024,
        }
    }

    /// Encodes CONNECT. The session is always clean: a broker must not keep commands for a client that is away.
    pub(super) fn connect(&self) -> Result<Vec<u8>, InvalidSettings> {
        let client_id = ClientId::new(&self.client_id).map_err(InvalidSettings::ClientId)?;
        let keep_alive = u16::try_from(self.keep_alive.as_secs()).ok().filter(|secs| *secs > 0);
        let mut connect = Connect::new(client_id, keep_alive.ok_or(InvalidSettings::KeepAlive)?);
        if let Some(login) = &self.login {
            let user_name = Text::new(&login.user_name).map_err(InvalidSettings::UserName)?;
            let password = login.password.as_ref().map(|password| password.expose().as_bytes());
            connect.login = Some(WireLogin { user_name, password });
        }
        if let Some(will) = &self.will {
            let topic = Topic::new(&will.topic).map_err(InvalidSettings::WillTopic)?;
            connect.will =
                Some(WireWill { topic, payload: &will.payload, qos: QoS::AtLeastOnce, retain: true });
        }
        let mut packet = Vec::new();
        Outbound::Connect(connect).encode(&mut packet).map_err(InvalidSettings::TooLong)?;
        Ok(packet)
    }

    /// Encodes SUBSCRIBE; empty without filters.
    pub(super) fn subscribe(&self) -> Result<Vec<u8>, InvalidSettings> {
        if self.filters.len() > MAX_FILTERS {
            return Err(InvalidSettings::TooManyFilters);
        }
        let mut filters = Vec::with_capacity(self.filters.len());
        for filter in &self.filters {
            let valid = Filter::new(filter)
                .map_err(|error| InvalidSettings::Filter { filter: filter.clone(), error })?;
            filters.push((valid, QoS::AtMostOnce));
        }
        let mut packet = Vec::new();
        if let (Some(id), false) = (PacketId::new(SUBSCRIBE_ID), filters.is_empty()) {
            let subscribe = Outbound::Subscribe { id, filters: &filters };
            subscribe.encode(&mut packet).map_err(InvalidSettings::TooLong)?;
        }
        Ok(packet)
    }
}
