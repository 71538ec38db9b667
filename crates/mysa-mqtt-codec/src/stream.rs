//! Packets out of chunks that end anywhere.

use alloc::vec::Vec;

use crate::client::Inbound;
use crate::error::DecodeError;
use crate::frame::{Frame, Head, Incoming};
use crate::options::DecodeOptions;

/// Cuts the packets a server sends out of a byte stream that arrives in any pieces.
///
/// A packet that lies whole within a chunk is lent from the chunk; one that straddles chunks is collected first, in memory
/// that grows with the bytes received and never beyond the limit.
///
/// ```
/// use mysa_mqtt_codec::{Inbound, DecodeError, Stream};
///
/// let mut stream = Stream::new(64);
/// for chunk in [&[0xd0][..], &[0, 0xd0, 0, 0x40, 2, 0], &[7]] {
///     let mut chunk = chunk;
///     while let Some(packet) = stream.next(&mut chunk)? {
///         println!("{packet:?}");
///     }
/// }
/// # Ok::<(), DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream(Carry);

impl Stream {
    /// An empty stream; see [`DecodeOptions::new`] for the limit.
    pub fn new(options: impl Into<DecodeOptions>) -> Self {
        Self(Carry::new(options.into()))
    }

    /// Takes the next packet off `input`. `Ok(None)` if `input` is used up: call again with the next chunk.
    ///
    /// # Errors
    /// The rule broken, now and at every further call: close the connection.
    #[inline(always)]
    pub fn next<'p, 'i: 'p>(&'p mut self, input: &mut &'i [u8]) -> Result<Option<Inbound<'p>>, DecodeError> {
        self.0.next(input)
    }
}

/// The part of a packet that came in earlier chunks.
#[derive(Clone, Debug)]
pub(crate) struct Carry {
    options: DecodeOptions,
    state: State,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing is carried. What is left in the buffer has been handed out and may still be borrowed until the next call.
    Clear,
    /// The carried bytes do not yet tell the packet's length.
    Header,
    /// The body of the carried packet begins at `header` and ends at `end`.
    Body { header: u8, end: u32 },
    /// A rule was broken.
    Failed(DecodeError),
}

impl Carry {
    pub(crate) const fn new(options: DecodeOptions) -> Self {
        Self { options, state: State::Clear, bytes: Vec::new() }
    }

    #[inline(always)]
    pub(crate) fn next<'p, 'i: 'p, P: Incoming<'p>>(
        &'p mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<P>, DecodeError> {
        let Self { options, state, bytes } = self;
        let (first, body): (u8, &'p [u8]) = loop {
            match *state {
                State::Clear => match Frame::cut_fast(input, *options) {
                    Some(Frame { first, body, rest }) => {
                        *input = rest;
                        break (first, body);
                    }
                    // By value: a chunk that stays in registers makes the loop over its packets a third faster.
                    None => match begin::<P>(*options, state, bytes, input)? {
                        Some(Frame { first, body, rest }) => {
                            *input = rest;
                            break (first, body);
                        }
                        None => {
                            *input = &[];
                            return Ok(None);
                        }
                    },
                },
                State::Body { header, end } => {
                    // Nothing but the length of the buffer changes from byte to byte.
                    let missing = end as usize - bytes.len();
                    let Some((now, later)) = input.split_at_checked(missing) else {
                        append(bytes, input);
                        *input = &[];
                        return Ok(None);
                    };
                    append(bytes, now);
                    *input = later;
                    *state = State::Clear;
                    let (Some(&first), Some(body)) = (bytes.first(), bytes.get(usize::from(header)..)) else {
                        return Ok(None);
                    };
                    break (first, body);
                }
                State::Header => {
                    let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
                    bytes.push(byte);
                    *input = rest;
                    find_end::<P>(*options, state, bytes)?;
                }
                State::Failed(error) => return Err(error),
            }
        };
        if let Some(packet) = P::decode_fast(first, body) {
            return Ok(Some(packet));
        }
        P::decode(first, body, *options).map(Some).inspect_err(|&error| *state = State::Failed(error))
    }
}

/// A length known to be one becomes a plain store.
#[inline(always)]
fn append(bytes: &mut Vec<u8>, new: &[u8]) {
    if let [byte] = *new { bytes.push(byte) } else { bytes.extend_from_slice(new) }
}

/// A packet that is larger than most, or is not all there and has to be carried.
#[inline(never)]
fn begin<'i, 'p, P: Incoming<'p>>(
    options: DecodeOptions,
    state: &mut State,
    bytes: &mut Vec<u8>,
    input: &'i [u8],
) -> Result<Option<Frame<'i>>, DecodeError> {
    if input.is_empty() {
        return Ok(None);
    }
    *state = match Head::read::<P>(input, options) {
        Ok(Head::Known { header, remaining }) => {
            if let Some(frame) = Frame::at(input, header, remaining) {
                return Ok(Some(frame));
            }
            State::Body { header: header as u8, end: header as u32 + remaining }
        }
        Ok(Head::Partial) => State::Header,
        Err(error) => {
            *state = State::Failed(error);
            return Err(error);
        }
    };
    bytes.clear();
    append(bytes, input);
    Ok(None)
}

/// Looks whether the carried bytes tell the packet's length by now. They end with its header at most.
#[inline(never)]
fn find_end<'p, P: Incoming<'p>>(
    options: DecodeOptions,
    state: &mut State,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    match Head::read::<P>(bytes, options) {
        Ok(Head::Known { header, remaining }) => {
            *state = State::Body { header: header as u8, end: header as u32 + remaining };
        }
        Ok(Head::Partial) => {}
        Err(error) => {
            *state = State::Failed(error);
            return Err(error);
        }
    }
    Ok(())
}
