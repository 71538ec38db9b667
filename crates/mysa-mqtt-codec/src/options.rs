//! Settings of a decoder.

/// Largest remaining length that four bytes can express (2.2.3): 256 MiB less one byte.
pub const MAX_REMAINING_LENGTH: u32 = 268_435_455;

/// Size limit and tolerances of a decoder.
///
/// A plain number converts into options with that limit: `decode(&mut input, 4_096)`.
///
/// ```
/// use mysa_mqtt_codec::{DecodeError, DecodeOptions, decode};
///
/// let dup_with_qos_0 = [0x38, 4, 0, 1, b'a', b'x'];
/// assert_eq!(decode(&mut &dup_with_qos_0[..], 64), Err(DecodeError::DupAtMostOnce));
/// let options = DecodeOptions::new(64).tolerate_dup_at_most_once();
/// assert!(decode(&mut &dup_with_qos_0[..], options)?.is_some());
/// # Ok::<(), DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DecodeOptions {
    pub(crate) limit: u32,
    pub(crate) dup_at_most_once: bool,
}

impl DecodeOptions {
    /// Strict options. `limit` is the size of the largest packet accepted, in bytes, its fixed header included. It is
    /// checked as soon as the length is known, before anything is stored.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { limit, dup_at_most_once: false }
    }

    /// Accepts a PUBLISH with QoS 0 whose DUP flag is set, against \[MQTT-3.3.1-2\]. Some servers set it on messages sent
    /// again from a persistent session, and some clients keep the connection when they see it.
    #[must_use]
    pub const fn tolerate_dup_at_most_once(mut self) -> Self {
        self.dup_at_most_once = true;
        self
    }
}

impl From<u32> for DecodeOptions {
    fn from(limit: u32) -> Self {
        Self::new(limit)
    }
}
