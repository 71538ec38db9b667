//! Packets out of chunks that end anywhere.

use alloc::vec::Vec;

use crate::client::{Inbound, check_head};
use crate::frame::{CheckHead, Frame, Head};
use crate::malformed::Malformed;
use crate::rules::Rules;

/// Cuts the packets a server sends out of a byte stream that arrives in any pieces.
///
/// A packet that lies whole within a chunk is lent from the chunk; one that straddles chunks is collected first, in memory
/// that grows with the bytes received and never beyond the limit.
///
/// ```
/// use mysa_mqtt_codec::{Inbound, Malformed, Stream};
///
/// let mut stream = Stream::new(64);
/// for chunk in [&[0xd0][..], &[0, 0xd0, 0, 0x40, 2, 0], &[7]] {
///     let mut chunk = chunk;
///     while let Some(packet) = stream.next(&mut chunk)? {
///         println!("{packet:?}");
///     }
/// }
/// # Ok::<(), Malformed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream(Carry);

impl Stream {
    /// An empty stream; see [`Rules::new`] for the limit.
    pub fn new(rules: impl Into<Rules>) -> Self {
        Self(Carry::new(rules.into()))
    }

    /// Takes the next packet off `input`. `Ok(None)` if `input` is used up: call again with the next chunk.
    ///
    /// # Errors
    /// The rule broken, now and at every further call: close the connection.
    #[inline]
    pub fn next<'p, 'i: 'p>(&'p mut self, input: &mut &'i [u8]) -> Result<Option<Inbound<'p>>, Malformed> {
        self.0.next(input, check_head, Inbound::decode_body)
    }
}

/// The part of a packet that came in earlier chunks.
#[derive(Clone, Debug)]
pub(crate) struct Carry {
    rules: Rules,
    state: State,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing is carried.
    Clear,
    /// The carried bytes do not yet tell the packet's length.
    Header,
    /// The body of the carried packet begins at `header`, and `missing` bytes are to come.
    Body { header: u8, missing: u32 },
    /// The carried packet has been handed out and is still borrowed until the next call.
    Lent,
    /// A rule was broken.
    Failed(Malformed),
}

impl Carry {
    pub(crate) const fn new(rules: Rules) -> Self {
        Self { rules, state: State::Clear, bytes: Vec::new() }
    }

    #[inline(always)]
    pub(crate) fn next<'p, 'i: 'p, P>(
        &'p mut self,
        input: &mut &'i [u8],
        check: CheckHead,
        decode: impl FnOnce(u8, &'p [u8], Rules) -> Result<P, Malformed>,
    ) -> Result<Option<P>, Malformed> {
        let Self { rules, state, bytes } = self;
        if !matches!(state, State::Clear) && !collect(*rules, state, bytes, input, check)? {
            return Ok(None);
        }
        let decoded = if matches!(state, State::Clear) {
            match Frame::cut(input, *rules, check) {
                Ok(Frame::Whole { first, body, rest }) => {
                    *input = rest;
                    decode(first, body, *rules)
                }
                Ok(Frame::Partial) => {
                    carry(*rules, state, bytes, input, check);
                    return Ok(None);
                }
                Err(error) => Err(error),
            }
        } else if let State::Body { header, .. } = *state
            && let (Some(&first), Some(body)) = (bytes.first(), bytes.get(usize::from(header)..))
        {
            *state = State::Lent;
            decode(first, body, *rules)
        } else {
            return Ok(None);
        };
        decoded.map(Some).inspect_err(|&error| *state = State::Failed(error))
    }
}

/// Begins to carry a packet that is not all there.
#[inline(never)]
fn carry(rules: Rules, state: &mut State, bytes: &mut Vec<u8>, input: &mut &[u8], check: CheckHead) {
    bytes.clear();
    bytes.extend_from_slice(input);
    *state = match Head::read(input, rules, check) {
        _ if input.is_empty() => State::Clear,
        Ok(Head::Known { header, remaining }) => {
            State::Body { header: header as u8, missing: remaining - (input.len() - header) as u32 }
        }
        Ok(Head::Partial) => State::Header,
        Err(error) => State::Failed(error),
    };
    *input = &[];
}

/// Moves bytes over to the carried packet. True if it is complete, or if nothing is carried any more.
#[inline]
fn collect(
    rules: Rules,
    state: &mut State,
    bytes: &mut Vec<u8>,
    input: &mut &[u8],
    check: CheckHead,
) -> Result<bool, Malformed> {
    loop {
        match state {
            State::Clear => return Ok(true),
            State::Failed(error) => return Err(*error),
            State::Lent => {
                bytes.clear();
                *state = State::Clear;
            }
            State::Header => {
                let Some((&byte, rest)) = input.split_first() else { return Ok(false) };
                bytes.push(byte);
                *input = rest;
                match Head::read(bytes, rules, check) {
                    Ok(Head::Known { header, remaining }) => {
                        *state = State::Body { header: header as u8, missing: remaining };
                    }
                    Ok(Head::Partial) => {}
                    Err(error) => {
                        *state = State::Failed(error);
                        return Err(error);
                    }
                }
            }
            State::Body { missing: 0, .. } => return Ok(true),
            State::Body { missing, .. } => {
                if let [byte] = **input {
                    bytes.push(byte);
                    *missing -= 1;
                    *input = &[];
                } else {
                    let take = input.len().min(*missing as usize);
                    let (now, later) = input.split_at(take);
                    bytes.extend_from_slice(now);
                    *missing -= take as u32;
                    *input = later;
                }
                return Ok(*missing == 0);
            }
        }
    }
}
