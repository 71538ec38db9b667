//! Packets of either direction, decoded and encoded again.

pub(crate) mod spec;

use mysa_mqtt_codec::{DecodeError, DecodeOptions, Inbound, decode, server};

/// Result of one of the two decoders at the beginning of `input`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Packet<'a> {
    FromServer(Inbound<'a>),
    FromClient(server::Inbound<'a>),
}

/// The decoder whose direction the packet type belongs to; PUBLISH and its answers are read by both, and must agree.
pub(crate) fn read<'a>(
    input: &mut &'a [u8],
    options: impl Into<DecodeOptions>,
) -> Result<Option<Packet<'a>>, DecodeError> {
    let options = options.into();
    let mut second = *input;
    match decode(input, options) {
        Err(DecodeError::WrongDirection) => {
            let read = server::decode(&mut second, options)?;
            *input = second;
            Ok(read.map(Packet::FromClient))
        }
        read => {
            let mirror = server::decode(&mut second, options);
            if mirror != Err(DecodeError::WrongDirection) {
                assert_eq!(mirror.map(|packet| packet.is_some()), read.map(|packet| packet.is_some()));
            }
            Ok(read?.map(Packet::FromServer))
        }
    }
}

impl Packet<'_> {
    pub(crate) fn spec(&self) -> spec::Spec {
        match *self {
            Self::FromServer(packet) => packet.into(),
            Self::FromClient(packet) => packet.into(),
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match *self {
            Self::FromServer(packet) => {
                let packet = match packet {
                    Inbound::ConnAck(it) => server::Outbound::ConnAck(it),
                    Inbound::Publish(it) => server::Outbound::Publish(it),
                    Inbound::PubAck(id) => server::Outbound::PubAck(id),
                    Inbound::PubRec(id) => server::Outbound::PubRec(id),
                    Inbound::PubRel(id) => server::Outbound::PubRel(id),
                    Inbound::PubComp(id) => server::Outbound::PubComp(id),
                    Inbound::SubAck(it) => server::Outbound::SubAck(it),
                    Inbound::UnsubAck(id) => server::Outbound::UnsubAck(id),
                    Inbound::PingResp => server::Outbound::PingResp,
                };
                packet.encode(&mut out).unwrap();
                assert_eq!(packet.encoded_len(), Ok(out.len()));
            }
            Self::FromClient(packet) => {
                use mysa_mqtt_codec::Outbound;
                let (wanted, unwanted): (Vec<_>, Vec<_>);
                let packet = match packet {
                    server::Inbound::Connect(it) => Outbound::Connect(it),
                    server::Inbound::Publish(it) => Outbound::Publish(it),
                    server::Inbound::PubAck(id) => Outbound::PubAck(id),
                    server::Inbound::PubRec(id) => Outbound::PubRec(id),
                    server::Inbound::PubRel(id) => Outbound::PubRel(id),
                    server::Inbound::PubComp(id) => Outbound::PubComp(id),
                    server::Inbound::Subscribe(it) => {
                        wanted = it.filters().collect();
                        Outbound::Subscribe { id: it.id, filters: &wanted }
                    }
                    server::Inbound::Unsubscribe(it) => {
                        unwanted = it.filters().collect();
                        Outbound::Unsubscribe { id: it.id, filters: &unwanted }
                    }
                    server::Inbound::PingReq => Outbound::PingReq,
                    server::Inbound::Disconnect => Outbound::Disconnect,
                };
                packet.encode(&mut out).unwrap();
                let mut slice = vec![0; out.len()];
                assert_eq!(packet.encode_into(&mut slice), Ok(out.len()));
                assert_eq!(slice, out);
            }
        }
        out
    }
}

/// A packet with a length that fits its body.
pub(crate) fn with_length(first: u8, body: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    let mut left = body.len();
    loop {
        let more = if left > 0x7f { 0x80 } else { 0 };
        wire.push(left as u8 & 0x7f | more);
        left >>= 7;
        if more == 0 {
            break;
        }
    }
    wire.extend_from_slice(body);
    wire
}
