use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::ops::Deref;

/// Complete MQTT packets that form the payload of one binary WebSocket frame. Dereferences to `[u8]`, and converts into
/// `Vec<u8>` by `into`.
///
/// Up to fifteen bytes need no allocation. Most of what a session sends is the acknowledgement of a status, which has
/// four bytes.
#[derive(Clone)]
pub struct Packets(Bytes);

#[derive(Clone)]
enum Bytes {
    Short([u8; SHORT], u8),
    Long(Vec<u8>),
}

/// Number of bytes that fit beside their length without making the type larger than a `Vec`.
const SHORT: usize = 15;

impl Packets {
    pub(crate) const fn new() -> Self {
        Self(Bytes::Short([0; SHORT], 0))
    }

    /// Creates packets from what `write` appends to an empty `Vec`.
    pub(crate) fn with(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Vec::new();
        write(&mut bytes);
        Self(Bytes::Long(bytes))
    }

    /// Creates packets with these bytes.
    #[inline]
    pub(crate) fn copied(bytes: &[u8]) -> Self {
        // Most packets are acknowledgements. They are written as whole words: the processor stalls if bytes that were
        // written one after the other are read together.
        if let [one, two, three, four] = *bytes {
            return Self(Bytes::Short([one, two, three, four, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4));
        }
        let mut packets = Self::new();
        packets.extend_from_slice(bytes);
        packets
    }

    pub(crate) fn extend_from_slice(&mut self, more: &[u8]) {
        if let Bytes::Short(bytes, len) = &mut self.0 {
            let end = usize::from(*len) + more.len();
            if let (Some(room), Ok(end)) = (bytes.get_mut(usize::from(*len)..end), u8::try_from(end)) {
                match (<&mut [u8; 4]>::try_from(&mut *room), <&[u8; 4]>::try_from(more)) {
                    // Most packets are acknowledgements, and four bytes need no call of `memcpy`.
                    (Ok(room), Ok(more)) => *room = *more,
                    _ => room.copy_from_slice(more),
                }
                *len = end;
                return;
            }
        }
        self.append_by(|bytes| bytes.extend_from_slice(more));
    }

    /// Appends what `write` writes, for encoders that write to a `Vec` only. The bytes move to the heap.
    pub(crate) fn append_by(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::from(mem::replace(self, Self::new()));
        write(&mut bytes);
        self.0 = Bytes::Long(bytes);
    }
}

impl Deref for Packets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(bytes, len) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Packets {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Packets> for Vec<u8> {
    fn from(packets: Packets) -> Self {
        match packets.0 {
            Bytes::Short(..) => packets.to_vec(),
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Packets {
    /// Prints the length only: commands do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packets({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_in_order_when_they_move_to_the_heap() {
        assert_eq!(size_of::<Packets>(), size_of::<Vec<u8>>());
        let (mut packets, mut expected) = (Packets::new(), Vec::new());
        for chunk in [&[][..], &[1, 2, 3, 4], &[5; 11], &[], &[6], &[7; 40]] {
            packets.extend_from_slice(chunk);
            expected.extend_from_slice(chunk);
            assert_eq!(packets[..], expected);
            assert_eq!(matches!(packets.0, Bytes::Short(..)), expected.len() <= SHORT);
        }
        packets.append_by(|bytes| bytes.push(8));
        expected.push(8);
        assert_eq!(Vec::from(packets), expected);
    }
}
