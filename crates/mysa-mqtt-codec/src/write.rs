//! Writers shared by all packets, to a `Vec<u8>` or to a slice.

use alloc::vec::Vec;

use crate::error::EncodeError;
use crate::options::MAX_REMAINING_LENGTH;
use crate::text::MAX_TEXT;

/// Packet whose length is known before it is written.
pub(crate) trait Packet {
    /// The first byte.
    fn first(&self) -> u8;
    /// The remaining length, or the rule that the packet breaks.
    fn body_len(&self) -> Result<usize, EncodeError>;
    /// Writes exactly `body_len` bytes.
    fn write_body(&self, out: &mut impl Sink);
}

/// Destination of bytes. The caller has reserved enough room.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// Like [`put`](Self::put), for fields that are usually 16 to 32 bytes long, as topics are: two stores that overlap cost
    /// less than a call of `memcpy`.
    fn put_short(&mut self, bytes: &[u8]);

    /// A constant length becomes a plain store.
    #[inline(always)]
    fn put_array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.put(&bytes);
    }
}

impl Sink for Vec<u8> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline(always)]
    fn put_short(&mut self, bytes: &[u8]) {
        let Some((front, back)) = overlapping(bytes) else { return self.put(bytes) };
        let end = self.len() + bytes.len();
        self.extend_from_slice(front);
        self.truncate(end - back.len());
        self.extend_from_slice(back);
    }
}

/// First and last 16 bytes of 16 to 32 bytes.
#[inline(always)]
fn overlapping(bytes: &[u8]) -> Option<(&[u8; 16], &[u8; 16])> {
    if bytes.len() > 32 { None } else { Some((bytes.first_chunk()?, bytes.last_chunk()?)) }
}

/// Unwritten rest of a slice.
struct Cursor<'a>(&'a mut [u8]);

impl Sink for Cursor<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        let (front, rest) = core::mem::take(&mut self.0).split_at_mut(bytes.len());
        front.copy_from_slice(bytes);
        self.0 = rest;
    }

    #[inline(always)]
    fn put_short(&mut self, bytes: &[u8]) {
        let Some((front, back)) = overlapping(bytes) else { return self.put(bytes) };
        let (field, rest) = core::mem::take(&mut self.0).split_at_mut(bytes.len());
        if let Some(to) = field.first_chunk_mut() {
            *to = *front;
        }
        if let Some(to) = field.last_chunk_mut() {
            *to = *back;
        }
        self.0 = rest;
    }
}

/// Length of the whole packet in bytes.
pub(crate) fn len(packet: &impl Packet) -> Result<usize, EncodeError> {
    let body = packet.body_len()?;
    Ok(1 + length_len(body)? + body)
}

#[inline(always)]
pub(crate) fn append(packet: &impl Packet, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let body = packet.body_len()?;
    let head = 1 + length_len(body)?;
    out.reserve(head + body);
    write(packet, body, out);
    Ok(())
}

#[inline(always)]
pub(crate) fn fill(packet: &impl Packet, out: &mut [u8]) -> Result<usize, EncodeError> {
    let body = packet.body_len()?;
    let needed = 1 + length_len(body)? + body;
    let out = out.get_mut(..needed).ok_or(EncodeError::BufferTooSmall { needed })?;
    write(packet, body, &mut Cursor(out));
    Ok(needed)
}

/// Writes a packet of constant bytes.
pub(crate) fn copy(packet: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
    let needed = packet.len();
    out.get_mut(..needed).ok_or(EncodeError::BufferTooSmall { needed })?.copy_from_slice(packet);
    Ok(needed)
}

/// Writes a field with a two-byte length prefix. The checked types keep it below 65 536 bytes.
#[inline(always)]
pub(crate) fn prefixed(field: &[u8], out: &mut impl Sink) {
    debug_assert!(field.len() <= MAX_TEXT, "a field longer than its prefix can express");
    out.put_array((field.len() as u16).to_be_bytes());
    out.put_short(field);
}

/// Length of a field with its prefix.
pub(crate) const fn prefixed_len(field: &[u8]) -> Result<usize, EncodeError> {
    if field.len() > MAX_TEXT { Err(EncodeError::FieldTooLong) } else { Ok(2 + field.len()) }
}

#[inline(always)]
fn write(packet: &impl Packet, body: usize, out: &mut impl Sink) {
    let first = packet.first();
    let group = |n: u32| (body >> (7 * n)) as u8;
    match body {
        0..=0x7f => out.put_array([first, group(0)]),
        0x80..=0x3fff => out.put_array([first, group(0) | 0x80, group(1)]),
        0x4000..=0x1f_ffff => out.put_array([first, group(0) | 0x80, group(1) | 0x80, group(2)]),
        _ => out.put_array([first, group(0) | 0x80, group(1) | 0x80, group(2) | 0x80, group(3)]),
    }
    packet.write_body(out);
}

/// Length of the remaining length in its shortest form (2.2.3).
#[inline(always)]
const fn length_len(body: usize) -> Result<usize, EncodeError> {
    match body {
        0..=0x7f => Ok(1),
        0x80..=0x3fff => Ok(2),
        0x4000..=0x1f_ffff => Ok(3),
        _ if body <= MAX_REMAINING_LENGTH as usize => Ok(4),
        _ => Err(EncodeError::PacketTooLong),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// Only its head is ever written.
    struct Claims(usize);

    impl Packet for Claims {
        fn first(&self) -> u8 {
            0x30
        }
        fn body_len(&self) -> Result<usize, EncodeError> {
            Ok(self.0)
        }
        fn write_body(&self, _: &mut impl Sink) {}
    }

    #[test]
    fn a_field_of_any_length_is_written_whole_to_either_sink() {
        let field: [u8; 70] = core::array::from_fn(|at| at as u8 + 1);
        for length in 0..=field.len() {
            let field = &field[..length];
            let expected = [&[0, length as u8], field, &[0xff]].concat();
            let mut vec = std::vec![];
            let mut slice = std::vec![0; expected.len()];
            let mut cursor = Cursor(&mut slice);
            prefixed(field, &mut vec);
            vec.put(&[0xff]);
            prefixed(field, &mut cursor);
            cursor.put(&[0xff]);
            assert!(cursor.0.is_empty(), "{length}");
            assert_eq!((&vec, &slice), (&expected, &expected), "{length}");
        }
    }

    #[test]
    fn a_length_takes_the_shortest_form_at_every_boundary() {
        for (body, expected) in [
            (0, &[0x30, 0][..]),
            (127, &[0x30, 0x7f]),
            (128, &[0x30, 0x80, 1]),
            (16_383, &[0x30, 0xff, 0x7f]),
            (16_384, &[0x30, 0x80, 0x80, 1]),
            (2_097_151, &[0x30, 0xff, 0xff, 0x7f]),
            (2_097_152, &[0x30, 0x80, 0x80, 0x80, 1]),
            (268_435_455, &[0x30, 0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = std::vec::Vec::new();
            write(&Claims(body), body, &mut out);
            assert_eq!(out, expected, "{body}");
            assert_eq!(len(&Claims(body)), Ok(expected.len() + body));
        }
        assert_eq!(len(&Claims(268_435_456)), Err(EncodeError::PacketTooLong));
    }
}
