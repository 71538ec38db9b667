//! CONNECT and CONNACK.

use core::fmt;

use crate::error::{DecodeError, EncodeError};
use crate::packet::{QoS, kind};
use crate::read::Fields;
use crate::text::{ClientId, Text};
use crate::topic::Topic;
use crate::write::{self, Packet, Sink};

/// First packet of a client (3.1). Protocol name and level are always those of MQTT 3.1.1.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Connect<'a> {
    /// Name of the session.
    pub client_id: ClientId<'a>,
    /// Longest time between two packets of the client, in seconds; 0 disables the check.
    pub keep_alive: u16,
    /// True to discard earlier session state and to keep none after the connection.
    pub clean_session: bool,
    /// Message that the server publishes if the connection ends without DISCONNECT.
    pub will: Option<Will<'a>>,
    /// User name, with or without a password.
    pub login: Option<Login<'a>>,
}

/// Message that a server publishes if a connection ends without DISCONNECT (3.1.2.5).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Will<'a> {
    /// Topic it is published to. A valid topic name, since a server could not publish it otherwise.
    pub topic: Topic<'a>,
    /// Payload, at most 65 535 bytes.
    pub payload: &'a [u8],
    /// The quality of service it is published with.
    pub qos: QoS,
    /// True to retain it for later subscribers.
    pub retain: bool,
}

/// User name and password (3.1.2.8). A password requires a user name \[MQTT-3.1.2-22\]. An empty password differs from an
/// absent one.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Login<'a> {
    /// The user name.
    pub user_name: Text<'a>,
    /// Password: any bytes, at most 65 535. Never printed.
    pub password: Option<&'a [u8]>,
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.map(|_| format_args!("Secret(..)"));
        f.debug_struct("Login").field("user_name", &self.user_name).field("password", &password).finish()
    }
}

impl<'a> Connect<'a> {
    /// A CONNECT with a clean session, without will and login. `keep_alive` is in seconds.
    #[must_use]
    pub const fn new(client_id: ClientId<'a>, keep_alive: u16) -> Self {
        Self { client_id, keep_alive, clean_session: true, will: None, login: None }
    }

    /// Accepts an empty client id without a clean session: the server must answer it by a CONNACK with
    /// [`ConnectRefusal::ClientId`] \[MQTT-3.1.3-8\].
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body);
        let name = fields.prefixed()?;
        if name != PROTOCOL_NAME && name != OLD_PROTOCOL_NAME {
            return Err(DecodeError::ProtocolName);
        }
        let level = fields.byte()?;
        if level != PROTOCOL_LEVEL {
            return Err(DecodeError::ProtocolLevel(level));
        }
        if name != PROTOCOL_NAME {
            return Err(DecodeError::ProtocolName);
        }
        let flags = fields.byte()?;
        check_flags(flags)?;
        let keep_alive = fields.word()?;
        let client_id = ClientId::from_wire(fields.prefixed()?)?;
        let will = if flags & WILL != 0 {
            Some(Will {
                topic: Topic::from_bytes(fields.prefixed()?)?,
                payload: fields.prefixed()?,
                qos: QoS::from_byte(flags >> WILL_QOS_SHIFT & 3).ok_or(DecodeError::WillQosThree)?,
                retain: flags & WILL_RETAIN != 0,
            })
        } else {
            None
        };
        let login = if flags & USER_NAME != 0 {
            let user_name = Text::from_wire(fields.prefixed()?)?;
            let password = if flags & PASSWORD != 0 { Some(fields.prefixed()?) } else { None };
            Some(Login { user_name, password })
        } else {
            None
        };
        fields.end()?;
        Ok(Self { client_id, keep_alive, clean_session: flags & CLEAN_SESSION != 0, will, login })
    }

    fn flags(&self) -> u8 {
        let mut flags = if self.clean_session { CLEAN_SESSION } else { 0 };
        if let Some(will) = &self.will {
            flags |= WILL | will.qos.to_byte() << WILL_QOS_SHIFT | if will.retain { WILL_RETAIN } else { 0 };
        }
        if let Some(login) = &self.login {
            flags |= USER_NAME | if login.password.is_some() { PASSWORD } else { 0 };
        }
        flags
    }
}

fn check_flags(flags: u8) -> Result<(), DecodeError> {
    let has_will = flags & WILL != 0;
    let will_qos = flags >> WILL_QOS_SHIFT & 3;
    if flags & 1 != 0 {
        Err(DecodeError::ConnectReservedFlag)
    } else if !has_will && will_qos != 0 {
        Err(DecodeError::WillQosWithoutWill)
    } else if will_qos == 3 {
        Err(DecodeError::WillQosThree)
    } else if !has_will && flags & WILL_RETAIN != 0 {
        Err(DecodeError::WillRetainWithoutWill)
    } else if flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        Err(DecodeError::PasswordWithoutUserName)
    } else {
        Ok(())
    }
}

impl Packet for Connect<'_> {
    fn first(&self) -> u8 {
        kind::CONNECT << 4
    }

    fn body_len(&self) -> Result<usize, EncodeError> {
        if self.client_id.as_str().is_empty() && !self.clean_session {
            return Err(EncodeError::EmptyClientId);
        }
        let mut len = 10 + write::prefixed_len(self.client_id.as_str().as_bytes())?;
        if let Some(will) = &self.will {
            len += write::prefixed_len(will.topic.as_bytes())? + write::prefixed_len(will.payload)?;
        }
        if let Some(login) = &self.login {
            len += write::prefixed_len(login.user_name.as_str().as_bytes())?;
            len += login.password.map_or(Ok(0), write::prefixed_len)?;
        }
        Ok(len)
    }

    fn write_body(&self, out: &mut impl Sink) {
        let [high, low] = self.keep_alive.to_be_bytes();
        out.put_array([0, 4, b'M', b'Q', b'T', b'T', PROTOCOL_LEVEL, self.flags(), high, low]);
        write::prefixed(self.client_id.as_str().as_bytes(), out);
        if let Some(will) = &self.will {
            write::prefixed(will.topic.as_bytes(), out);
            write::prefixed(will.payload, out);
        }
        if let Some(login) = &self.login {
            write::prefixed(login.user_name.as_str().as_bytes(), out);
            if let Some(password) = login.password {
                write::prefixed(password, out);
            }
        }
    }
}

/// Answer of a server to CONNECT (3.2). A refusal cannot report a session \[MQTT-3.2.2-4\].
// In `Inbound`, this alignment keeps its two bytes from overlapping the packet id of the other packets.
#[repr(align(4))]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard reserves everything else")]
pub enum ConnAck {
    /// Connected.
    Accepted {
        /// True if the server has session state for this client id.
        session_present: bool,
    },
    /// Not connected; the server closes the connection \[MQTT-3.2.2-5\].
    Refused(ConnectRefusal),
}

/// Return code of a CONNACK that refuses the connection (3.2.2.3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard reserves all other codes")]
pub enum ConnectRefusal {
    /// 1: the server does not support this protocol level.
    ProtocolLevel = 1,
    /// 2: the server rejects the client id.
    ClientId = 2,
    /// 3: the service is unavailable.
    Unavailable = 3,
    /// 4: the user name or password is malformed.
    BadLogin = 4,
    /// 5: the client is not authorised.
    NotAuthorized = 5,
}

impl ConnectRefusal {
    /// The code on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for ConnectRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProtocolLevel => "protocol level not supported by the server",
            Self::ClientId => "client id refused by the server",
            Self::Unavailable => "service unavailable",
            Self::BadLogin => "bad user name or password",
            Self::NotAuthorized => "not authorised",
        })
    }
}

impl core::error::Error for ConnectRefusal {}

impl ConnAck {
    /// The whole packet.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        match self {
            Self::Accepted { session_present } => [kind::CONNACK << 4, 2, session_present as u8, 0],
            Self::Refused(refusal) => [kind::CONNACK << 4, 2, 0, refusal as u8],
        }
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body);
        let (flags, code) = (fields.byte()?, fields.byte()?);
        fields.end()?;
        if flags > 1 {
            return Err(DecodeError::ConnAckFlags);
        }
        let refusal = match code {
            0 => return Ok(Self::Accepted { session_present: flags == 1 }),
            1 => ConnectRefusal::ProtocolLevel,
            2 => ConnectRefusal::ClientId,
            3 => ConnectRefusal::Unavailable,
            4 => ConnectRefusal::BadLogin,
            5 => ConnectRefusal::NotAuthorized,
            _ => return Err(DecodeError::ConnAckCode),
        };
        if flags == 0 { Ok(Self::Refused(refusal)) } else { Err(DecodeError::SessionPresentOnRefusal) }
    }
}

const PROTOCOL_NAME: &[u8] = b"MQTT";
/// Protocol name of MQTT 3.1. It is accepted, so that the error reports its protocol level 3.
const OLD_PROTOCOL_NAME: &[u8] = b"MQIsdp";
const PROTOCOL_LEVEL: u8 = 4;
const CLEAN_SESSION: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let user_name = Text::new("user").unwrap();
        let login = Login { user_name, password: Some(b"canary") };
        let mut connect = Connect::new(ClientId::new("c").unwrap(), 60);
        connect.login = Some(login);
        let shown = std::format!("{connect:?} {login:#?}");
        assert!(shown.contains("Secret(..)") && !shown.contains("canary"), "{shown}");
        let bytes = std::format!("{:?}", b"canary");
        assert!(!shown.contains(&bytes), "{shown}");
    }
}
