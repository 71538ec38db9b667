//! Framing: the fixed header (2.2) and the length of a packet.

use crate::error::DecodeError;
use crate::options::DecodeOptions;

/// Packets of one direction and their decoder.
pub trait Incoming<'a>: Sized {
    /// Checks the first byte, and the remaining length once it is known.
    fn check_head(first: u8, remaining: Option<u32>, options: DecodeOptions) -> Result<(), DecodeError>;

    /// Fast path: decodes a valid packet of a frequent type. `None` for everything else, including every error, which
    /// [`decode`](Self::decode) then names. Small enough to be inlined into the caller's `match`, so that the packet
    /// stays in registers.
    fn decode_fast(first: u8, body: &'a [u8]) -> Option<Self>;

    fn decode(first: u8, body: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError>;
}

/// Takes the first packet off `input`; `None`, with `input` unchanged, if it is incomplete.
#[inline(always)]
pub(crate) fn decode<'a, P: Incoming<'a>>(
    input: &mut &'a [u8],
    options: DecodeOptions,
) -> Result<Option<P>, DecodeError> {
    let (first, body, rest) = match Frame::cut_fast(input, options) {
        Some(Frame { first, body, rest }) => (first, body, rest),
        None => match Frame::cut::<P>(input, options)? {
            Some(Frame { first, body, rest }) => (first, body, rest),
            None => return Ok(None),
        },
    };
    if let Some(packet) = P::decode_fast(first, body) {
        *input = rest;
        return Ok(Some(packet));
    }
    let packet = P::decode(first, body, options)?;
    *input = rest;
    Ok(Some(packet))
}

/// A complete packet, split from the input.
pub(crate) struct Frame<'a> {
    pub(crate) first: u8,
    pub(crate) body: &'a [u8],
    pub(crate) rest: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Fast path: `None` if the packet is longer than 16 KiB, incomplete or beyond the limit.
    #[inline(always)]
    pub(crate) fn cut_fast(input: &'a [u8], options: DecodeOptions) -> Option<Self> {
        let (header, remaining) = match *input {
            [_, a, ..] if a < 0x80 => (2, u32::from(a)),
            [_, a, b, ..] if b < 0x80 => (3, u32::from(a & 0x7f) | u32::from(b) << 7),
            _ => return None,
        };
        if header as u32 + remaining > options.limit {
            return None;
        }
        Self::at(input, header, remaining)
    }

    #[inline(never)]
    fn cut<'p, P: Incoming<'p>>(
        input: &'a [u8],
        options: DecodeOptions,
    ) -> Result<Option<Self>, DecodeError> {
        match Head::read::<P>(input, options)? {
            Head::Known { header, remaining } => Ok(Self::at(input, header, remaining)),
            Head::Partial => Ok(None),
        }
    }

    /// The packet whose header has been read, if it is complete.
    #[inline(always)]
    pub(crate) fn at(input: &'a [u8], header: usize, remaining: u32) -> Option<Self> {
        let (packet, rest) = input.split_at_checked(header + remaining as usize)?;
        Some(Self { first: *packet.first()?, body: packet.get(header..)?, rest })
    }
}

/// The fixed header at the front of the input.
pub(crate) enum Head {
    /// Lengths of header and body in bytes.
    Known {
        header: usize,
        remaining: u32,
    },
    Partial,
}

impl Head {
    /// Reads the header and checks it as early as possible, so that an invalid packet fails before its body arrives.
    #[inline]
    pub(crate) fn read<'a, P: Incoming<'a>>(
        input: &[u8],
        options: DecodeOptions,
    ) -> Result<Self, DecodeError> {
        let Some((&first, length)) = input.split_first() else { return Ok(Self::Partial) };
        let mut remaining = 0;
        for (at, &byte) in length.iter().take(4).enumerate() {
            remaining |= u32::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                let header = at + 2;
                if remaining.saturating_add(header as u32) <= options.limit {
                    return P::check_head(first, Some(remaining), options)
                        .map(|()| Self::Known { header, remaining });
                }
                return P::check_head(first, None, options).and(Err(DecodeError::OverLimit));
            }
        }
        P::check_head(first, None, options)?;
        if length.len() < 4 { Ok(Self::Partial) } else { Err(DecodeError::RemainingLength) }
    }
}
