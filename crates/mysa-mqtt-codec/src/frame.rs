//! Where a packet ends: the fixed header (2.2).

use crate::malformed::Malformed;
use crate::rules::Rules;

/// A whole packet cut from the input, or how far it goes.
pub(crate) enum Frame<'a> {
    Whole { first: u8, body: &'a [u8], rest: &'a [u8] },
    Partial,
}

/// Which packets flow one way, and what each one's first byte and length must be.
pub(crate) type CheckHead = fn(first: u8, remaining: Option<u32>, rules: Rules) -> Result<(), Malformed>;

/// The fixed header at the front of the input.
pub(crate) enum Head {
    /// Header and body together take this many bytes.
    Known {
        header: usize,
        remaining: u32,
    },
    Partial,
}

impl Head {
    /// Reads the header, and judges the packet by it as soon as it can.
    pub(crate) fn read(input: &[u8], rules: Rules, check: CheckHead) -> Result<Self, Malformed> {
        let Some((&first, length)) = input.split_first() else { return Ok(Self::Partial) };
        check(first, None, rules)?;
        let mut remaining = 0;
        for (at, &byte) in length.iter().take(4).enumerate() {
            remaining |= u32::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                let header = at + 2;
                if remaining.saturating_add(header as u32) > rules.limit {
                    return Err(Malformed::OverLimit);
                }
                check(first, Some(remaining), rules)?;
                return Ok(Self::Known { header, remaining });
            }
        }
        if length.len() < 4 { Ok(Self::Partial) } else { Err(Malformed::RemainingLength) }
    }
}

impl<'a> Frame<'a> {
    /// Cuts the first packet off. The quick way is for packets that are all there; whatever is not goes the careful way.
    #[inline(always)]
    pub(crate) fn cut(input: &'a [u8], rules: Rules, check: CheckHead) -> Result<Self, Malformed> {
        let (header, remaining) = match *input {
            [_, a, ..] if a < 0x80 => (2, u32::from(a)),
            [_, a, b, ..] if b < 0x80 => (3, u32::from(a & 0x7f) | u32::from(b) << 7),
            _ => return Self::cut_carefully(input, rules, check),
        };
        if remaining + header as u32 <= rules.limit
            && let Some((packet, rest)) = input.split_at_checked(header + remaining as usize)
            && let Some((&first, _)) = packet.split_first()
            && let Some(body) = packet.get(header..)
        {
            return Ok(Self::Whole { first, body, rest });
        }
        Self::cut_carefully(input, rules, check)
    }

    #[inline(never)]
    fn cut_carefully(input: &'a [u8], rules: Rules, check: CheckHead) -> Result<Self, Malformed> {
        let Head::Known { header, remaining } = Head::read(input, rules, check)? else {
            return Ok(Self::Partial);
        };
        let Some((packet, rest)) = input.split_at_checked(header + remaining as usize) else {
            return Ok(Self::Partial);
        };
        Ok(Self::Whole { first: packet[0], body: &packet[header..], rest })
    }
}
