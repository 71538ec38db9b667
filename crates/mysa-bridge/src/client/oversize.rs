use mysa_mqtt_codec::QoS;

/// Splits a broker's byte stream so that a PUBLISH above the size limit is skipped instead of ending the connection.
///
/// Any client of the broker may leave a retained message of many megabytes below a topic that the client subscribes to. A decoder with a
/// limit rejects it, and the broker sends it again after every reconnect. Such a message is never of use here.
#[derive(Debug)]
pub(super) struct Splitter {
    limit: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Bytes of a fixed header so far: the first byte and up to four of the length.
    Header { bytes: [u8; 5], len: u8 },
    /// Bytes left of a packet that is passed on.
    Pass { left: u32 },
    /// Bytes left of a packet that is skipped.
    Skip { left: u32 },
}

/// Part of the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part<'a> {
    /// Bytes for the decoder.
    Bytes(&'a [u8]),
    /// Fixed header for the decoder; the first `len` bytes count.
    Header { bytes: [u8; 5], len: u8 },
    /// A packet of this remaining length is skipped.
    Skipped(u32),
}

const NO_HEADER: State = State::Header { bytes: [0; 5], len: 0 };
const PUBLISH: u8 = 3;

impl Splitter {
    /// Creates a splitter for a new connection. `limit` is the remaining length of the largest PUBLISH passed on.
    pub(super) const fn new(limit: u32) -> Self {
        Self { limit, state: NO_HEADER }
    }

    /// Takes the next part off `input`. `None` if `input` is used up.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Part<'a>> {
        loop {
            match &mut self.state {
                State::Header { bytes, len } => {
                    let (&byte, rest) = input.split_first()?;
                    *input = rest;
                    if let Some(place) = bytes.get_mut(usize::from(*len)) {
                        *place = byte;
                    }
                    *len += 1;
                    let (bytes, len) = (*bytes, *len);
                    // A length of more than four bytes is invalid; the decoder reports it.
                    let ends = len > 1 && byte < 0x80;
                    if !ends && len < 5 {
                        continue;
                    }
                    let left = bytes.iter().take(usize::from(len)).skip(1).rev();
                    let left = left.fold(0, |sum: u32, byte| sum << 7 | u32::from(byte & 0x7f));
                    // The packet id of a higher quality of service must be acknowledged, so the decoder rejects those.
                    let qos = QoS::from_byte(bytes[0] >> 1 & 3);
                    if ends && left > self.limit && bytes[0] >> 4 == PUBLISH && qos == Some(QoS::AtMostOnce) {
                        self.state = State::Skip { left };
                        return Some(Part::Skipped(left));
                    }
                    self.state = if left == 0 { NO_HEADER } else { State::Pass { left } };
                    return Some(Part::Header { bytes, len });
                }
                State::Pass { left } | State::Skip { left } if *left == 0 => self.state = NO_HEADER,
                State::Pass { left } => {
                    let part = take(input, left)?;
                    return Some(Part::Bytes(part));
                }
                State::Skip { left } => {
                    take(input, left)?;
                }
            }
        }
    }
}

/// Takes up to `left` bytes off `input`. `None` if it is empty.
fn take<'a>(input: &mut &'a [u8], left: &mut u32) -> Option<&'a [u8]> {
    if input.is_empty() {
        return None;
    }
    let len = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    let (part, rest) = input.split_at(len);
    *input = rest;
    // `len` is at most `left`.
    *left -= u32::try_from(len).unwrap_or(*left);
    Some(part)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use mysa_mqtt_codec::{Delivery, PacketId, Publish, Topic};

    use super::*;

    /// Bytes passed on and lengths skipped, fed in chunks of `size`.
    fn split(wire: &[u8], size: usize) -> (Vec<u8>, Vec<u32>) {
        let mut splitter = Splitter::new(20);
        let (mut passed, mut skipped) = (Vec::new(), Vec::new());
        for mut chunk in wire.chunks(size) {
            while let Some(part) = splitter.next(&mut chunk) {
                match part {
                    Part::Bytes(bytes) => passed.extend_from_slice(bytes),
                    Part::Header { bytes, len } => passed.extend_from_slice(&bytes[..usize::from(len)]),
                    Part::Skipped(len) => skipped.push(len),
                }
            }
        }
        (passed, skipped)
    }

    fn publish(payload: usize, delivery: Delivery) -> Vec<u8> {
        let mut wire = Vec::new();
        let payload = std::vec![b'x'; payload];
        Publish::new(Topic::new("a").unwrap(), &payload, delivery).encode(&mut wire).unwrap();
        wire
    }

    #[test]
    fn a_large_publish_is_skipped_and_everything_around_it_passes() {
        let small = publish(17, Delivery::AtMostOnce);
        let (large, huge) = (publish(18, Delivery::AtMostOnce), publish(70_000, Delivery::AtMostOnce));
        let ping = [0xd0, 0];
        let wire = [&small[..], &large, &ping, &huge, &huge, &small, &ping].concat();
        let expected = [&small[..], &ping, &small, &ping].concat();
        for size in [1, 2, 3, 7, 64, 1_000, wire.len()] {
            assert_eq!(split(&wire, size), (expected.clone(), std::vec![21, 70_003, 70_003]), "{size}");
        }
    }

    #[test]
    fn malformed_packets_can_be_encoded() {
        let id = PacketId::new(7).unwrap();
        for wire in [
            publish(100, Delivery::AtLeastOnce(id)),
            // Reserved packet type; length of five bytes.
            [&[0xf0, 0x64][..], &[0; 100]].concat(),
            std::vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0],
        ] {
            for size in [1, 3, wire.len()] {
                assert_eq!(split(&wire, size), (wire.clone(), Vec::new()), "{wire:?}");
            }
        }
    }
}
