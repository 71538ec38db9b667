//! Framing: the fixed header (2.2) and the length of a packet.

use crate::error::DecodeError;
use crate::options::DecodeOptions;

/// Packets of one direction and their decoder.
pub trait Incoming<'a>: Sized {
    /// Checks the first byte, and the remaining length once it is known.
    fn check_head(first: u8, remaining: Option<u32>, options: DecodeOptions) -> Result<(), DecodeError>;

    /// Any packet that sets every byte of its type.
    const FILLED: Self;

    /// Fast path: decodes a valid packet of a frequent type. `None` for everything else, including every error, which
    /// [`decode`](Self::decode) then names. Small enough to be inlined into the caller's `match`, so that the packet
    /// stays in registers.
    ///
    /// `packet` is [`FILLED`](Self::FILLED). A short variant overwrites part of it; bytes that it left undefined would be
    /// carried from packet to packet through the caller's loop, which costs a PUBLISH six stores.
    fn decode_fast(first: u8, body: &'a [u8], packet: &mut Self) -> Option<()>;

    fn decode(first: u8, body: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError>;
}

/// Takes the first packet off `input`; `None`, with `input` unchanged, if it is incomplete.
#[inline(always)]
pub(crate) fn decode<'a, P: Incoming<'a>>(
    input: &mut &'a [u8],
    options: DecodeOptions,
) -> Result<Option<P>, DecodeError> {
    let mut packet = P::FILLED;
    if let Ok(Frame { first, body, rest }) = Frame::cut_fast(input, options)
        && P::decode_fast(first, body, &mut packet).is_some()
    {
        *input = rest;
        return Ok(Some(packet));
    }
    // `input` is passed by value, so that it stays in registers.
    let (packet, rest) = decode_slow(input, options)?;
    *input = rest;
    Ok(packet)
}

/// Slow path: a packet that is large, incomplete, invalid or of a rare type.
#[cold]
#[inline(never)]
fn decode_slow<'a, P: Incoming<'a>>(
    input: &'a [u8],
    options: DecodeOptions,
) -> Result<(Option<P>, &'a [u8]), DecodeError> {
    let Some(Frame { first, body, rest }) = Frame::cut::<P>(input, options)? else {
        return Ok((None, input));
    };
    P::decode(first, body, options).map(|packet| (Some(packet), rest))
}

/// A complete packet, split from the input.
pub(crate) struct Frame<'a> {
    pub(crate) first: u8,
    pub(crate) body: &'a [u8],
    pub(crate) rest: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Fast path. The error holds the header of a packet that is incomplete, or `None` if the packet is longer than
    /// 16 KiB, beyond the limit, or its header is incomplete.
    #[inline(always)]
    pub(crate) fn cut_fast(input: &'a [u8], options: DecodeOptions) -> Result<Self, Option<Head>> {
        let (header, remaining) = match *input {
            [_, a, ..] if a < 0x80 => (2, usize::from(a)),
            [_, a, b, ..] if b < 0x80 => (3, usize::from(a & 0x7f) | usize::from(b) << 7),
            _ => return Err(None),
        };
        if header + remaining > options.limit as usize {
            return Err(None);
        }
        let head = Head { header, remaining };
        Self::at(input, head).ok_or(Some(head))
    }

    fn cut<'p, P: Incoming<'p>>(
        input: &'a [u8],
        options: DecodeOptions,
    ) -> Result<Option<Self>, DecodeError> {
        Ok(Head::read::<P>(input, options)?.and_then(|head| Self::at(input, head)))
    }

    /// The packet whose header has been read, if it is complete.
    #[inline(always)]
    pub(crate) fn at(input: &'a [u8], Head { header, remaining }: Head) -> Option<Self> {
        let (packet, rest) = input.split_at_checked(header + remaining)?;
        Some(Self { first: *packet.first()?, body: packet.get(header..)?, rest })
    }
}

/// Lengths that a fixed header gives.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// Length of the header in bytes.
    pub(crate) header: usize,
    /// Length of the body in bytes.
    pub(crate) remaining: usize,
}

impl Head {
    /// Reads the header and checks it as early as possible, so that an invalid packet fails before its body arrives.
    /// `None` if it is incomplete.
    #[inline]
    pub(crate) fn read<'a, P: Incoming<'a>>(
        input: &[u8],
        options: DecodeOptions,
    ) -> Result<Option<Self>, DecodeError> {
        let Some((&first, length)) = input.split_first() else { return Ok(None) };
        let mut remaining = 0;
        for (at, &byte) in length.iter().take(4).enumerate() {
            remaining |= u32::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                let header = at + 2;
                if remaining.saturating_add(header as u32) <= options.limit {
                    return P::check_head(first, Some(remaining), options)
                        .map(|()| Some(Self { header, remaining: remaining as usize }));
                }
                return P::check_head(first, None, options).and(Err(DecodeError::OverLimit));
            }
        }
        P::check_head(first, None, options)?;
        if length.len() < 4 { Ok(None) } else { Err(DecodeError::RemainingLength) }
    }
}
