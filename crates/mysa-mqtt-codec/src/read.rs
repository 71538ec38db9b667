//! Field readers shared by all packets. None can read past the packet's body.

use crate::error::DecodeError;
use crate::packet::PacketId;

/// Unread rest of a packet's body.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    #[inline(always)]
    pub(crate) const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    #[inline(always)]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(byte)
    }

    #[inline(always)]
    pub(crate) fn word(&mut self) -> Result<u16, DecodeError> {
        let (word, rest) = self.0.split_first_chunk::<2>().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*word))
    }

    #[inline(always)]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.word()?).ok_or(DecodeError::ZeroPacketId)
    }

    /// Reads a field with a two-byte length prefix (1.5.3).
    #[inline(always)]
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.word()?);
        let (field, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(field)
    }

    /// The unread rest.
    #[inline(always)]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails if bytes are left over.
    #[inline(always)]
    pub(crate) const fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}

/// Reads a body that consists of a packet id.
#[inline(always)]
pub(crate) fn only_packet_id(body: &[u8]) -> Result<PacketId, DecodeError> {
    let mut fields = Fields::new(body);
    let id = fields.packet_id()?;
    fields.end().map(|()| id)
}
