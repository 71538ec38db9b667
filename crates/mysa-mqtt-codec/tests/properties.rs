//! Properties of generated packets and streams.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;

use common::spec::{Spec, spec};
use common::{Packet, read, with_length};
use mysa_mqtt_codec::{DecodeError, DecodeOptions, Stream, server};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: u32 = 1 << 20;

proptest! {
    #[test]
    fn an_encoded_packet_decodes_to_itself(spec in spec()) {
        let wire = spec.encode();
        let mut input = &wire[..];
        let packet = read(&mut input, LIMIT).unwrap().unwrap();
        prop_assert_eq!(packet.spec(), spec);
        prop_assert!(input.is_empty());
        prop_assert_eq!(packet.write(), wire);
    }

    #[test]
    fn any_split_of_a_stream_gives_the_packets_of_the_whole(
        specs in vec(spec(), 1..12),
        sizes in vec(1..400_usize, 1..8),
    ) {
        let (from_server, from_client): (Vec<_>, Vec<_>) = (
            specs.iter().filter(|spec| spec.is_from_server()).cloned().collect(),
            specs.iter().filter(|spec| spec.is_from_client()).cloned().collect(),
        );
        let wire: Vec<u8> = from_server.iter().flat_map(Spec::encode).collect();
        for sizes in [&sizes[..], &[1], &[2], &[usize::MAX]] {
            let (seen, error) = client_stream(&wire, sizes, LIMIT);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&seen, &from_server);
        }
        let wire: Vec<u8> = from_client.iter().flat_map(Spec::encode).collect();
        for sizes in [&sizes[..], &[1], &[2], &[usize::MAX]] {
            let (seen, error) = server_stream(&wire, sizes, LIMIT);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&seen, &from_client);
        }
    }

    #[test]
    fn any_split_of_a_damaged_stream_fails_at_the_same_packet_with_the_same_error(
        wire in damaged(),
        sizes in vec(1..40_usize, 1..8),
        limit in prop_oneof![Just(LIMIT), 2..300_u32],
    ) {
        let whole = client_stream(&wire, &[usize::MAX], limit);
        prop_assert_eq!(client_stream(&wire, &sizes, limit), whole.clone());
        prop_assert_eq!(client_stream(&wire, &[1], limit), whole);
        let whole = server_stream(&wire, &[usize::MAX], limit);
        prop_assert_eq!(server_stream(&wire, &sizes, limit), whole.clone());
        prop_assert_eq!(server_stream(&wire, &[1], limit), whole);
    }

    #[test]
    fn any_input_is_read_within_its_bounds_and_accepted_packets_round_trip(
        wire in prop_oneof![vec(any::<u8>(), 0..64), damaged()],
        tolerant in any::<bool>(),
    ) {
        let options = if tolerant { DecodeOptions::new(LIMIT).tolerate_dup_at_most_once() } else { DecodeOptions::new(LIMIT) };
        for read in [|input: &mut &[u8], options| mysa_mqtt_codec::decode(input, options).map(|it| it.is_some()),
                     |input: &mut &[u8], options| server::decode(input, options).map(|it| it.is_some())] {
            let mut input = &wire[..];
            let result = read(&mut input, options);
            prop_assert!(wire.ends_with(input));
            prop_assert_eq!(result == Ok(true), input.len() < wire.len(), "only a complete packet is removed");
        }
        if let Ok(Some(packet)) = read(&mut &wire[..], LIMIT)
            && !matches!(packet, Packet::FromClient(server::Inbound::Connect(it))
                if it.client_id.as_str().is_empty() && !it.clean_session)
        {
            let again = packet.write();
            prop_assert_eq!(read(&mut &again[..], LIMIT), Ok(Some(packet)));
        }
    }

    #[test]
    fn a_packet_cut_or_lengthened_by_a_byte_is_refused(spec in spec(), extra in any::<u8>()) {
        let wire = spec.encode();
        let header = 2 + wire[1..].iter().take_while(|&&byte| byte >= 0x80).count();
        let (first, body) = (wire[0], &wire[header..]);
        // One byte of payload or one return code more or less gives another valid packet.
        let (divisible, growable) = match &spec {
            Spec::Publish { payload, .. } => (!payload.is_empty(), true),
            Spec::SubAck(_, codes) => (codes.len() > 1, matches!(extra, 0..=2 | 0x80)),
            _ => (false, false),
        };
        if let [shorter @ .., _] = body {
            let shorter = with_length(first, shorter);
            prop_assert_eq!(read(&mut &shorter[..], LIMIT).is_ok(), divisible);
        }
        let longer = with_length(first, &[body, &[extra]].concat());
        prop_assert_eq!(read(&mut &longer[..], LIMIT).is_ok(), growable);
    }
}

/// Packets of both directions, some bytes of which have been overwritten, or lost at the end.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (vec(spec(), 1..6), damage, any::<prop::sample::Index>()).prop_map(|(specs, damage, end)| {
        let mut wire: Vec<u8> = specs.iter().flat_map(Spec::encode).collect();
        for (at, byte) in damage {
            // Headers and the first fields are where most can go wrong.
            let at = at.index(wire.len().min(64));
            wire[at] = byte;
        }
        wire.truncate(wire.len() - end.index(wire.len().min(16)));
        wire
    })
}

fn client_stream(wire: &[u8], sizes: &[usize], limit: u32) -> (Vec<Spec>, Option<DecodeError>) {
    let (mut stream, mut seen) = (Stream::new(limit), Vec::new());
    for mut chunk in chunks(wire, sizes) {
        loop {
            match stream.next(&mut chunk) {
                Ok(Some(packet)) => seen.push(packet.into()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(stream.next(&mut &[0xd0, 0][..]), Err(error), "an error is final");
                    return (seen, Some(error));
                }
            }
        }
        assert!(chunk.is_empty(), "the chunk is used up");
    }
    (seen, None)
}

fn server_stream(wire: &[u8], sizes: &[usize], limit: u32) -> (Vec<Spec>, Option<DecodeError>) {
    let (mut stream, mut seen) = (server::Stream::new(limit), Vec::new());
    for mut chunk in chunks(wire, sizes) {
        loop {
            match stream.next(&mut chunk) {
                Ok(Some(packet)) => seen.push(packet.into()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(stream.next(&mut &[0xc0, 0][..]), Err(error), "an error is final");
                    return (seen, Some(error));
                }
            }
        }
        assert!(chunk.is_empty(), "the chunk is used up");
    }
    (seen, None)
}

/// `wire` in pieces of these sizes, repeated.
fn chunks<'a>(mut wire: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    sizes.iter().cycle().map_while(move |&size| {
        let (now, later) = wire.split_at(size.min(wire.len()));
        wire = later;
        (!now.is_empty()).then_some(now)
    })
}
