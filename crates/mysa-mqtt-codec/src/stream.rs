//! Reassembly: packets out of chunks that end anywhere.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use crate::error::DecodeError;
use crate::frame::{Frame, Head, Incoming};
use crate::options::DecodeOptions;
use crate::role::Role;

/// Incremental decoder: takes a byte stream in chunks of any size and yields its packets.
///
/// A packet that lies whole within a chunk borrows from the chunk. A packet that straddles chunks is copied into a buffer,
/// which grows with the bytes received and never beyond the limit of the [`DecodeOptions`].
///
/// [`Stream`](crate::Stream) reads what a server sends, [`server::Stream`](crate::server::Stream) what a client sends.
///
/// ```
/// use mysa_mqtt_codec::{DecodeError, Inbound, Stream};
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
#[derive(Clone)]
pub struct PacketStream<R> {
    options: DecodeOptions,
    state: State,
    bytes: Vec<u8>,
    role: PhantomData<R>,
}

impl<R> fmt::Debug for PacketStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The buffered bytes stay out: part of a CONNECT may be its password.
        f.debug_struct("PacketStream")
            .field("options", &self.options)
            .field("state", &self.state)
            .field("buffered", &self.bytes.len())
            .finish()
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The buffer holds no partial packet. Its content may still be borrowed by the packet returned last.
    Clear,
    /// The buffered bytes do not contain the whole fixed header yet.
    Header,
    /// The body of the buffered packet begins at `header` and ends at `end`.
    Body { header: u8, end: u32 },
    /// A rule was broken; every further call returns this error.
    Failed(DecodeError),
}

impl<R: Role> PacketStream<R> {
    /// An empty stream. A plain number is the limit in bytes, see [`DecodeOptions::new`].
    pub fn new(options: impl Into<DecodeOptions>) -> Self {
        Self { options: options.into(), state: State::Clear, bytes: Vec::new(), role: PhantomData }
    }

    /// Takes the next packet off `input`. `Ok(None)` means that `input` is used up: call again with the next chunk.
    ///
    /// # Errors
    /// The rule broken, now and at every further call: close the connection \[MQTT-4.8.0-1\].
    #[inline(always)]
    pub fn next<'p, 'i: 'p>(
        &'p mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<R::Inbound<'p>>, DecodeError> {
        let Self { options, state, bytes, .. } = self;
        let (first, body): (u8, &'p [u8]) = match *state {
            State::Clear => match Frame::cut_fast(input, *options) {
                Ok(Frame { first, body, rest }) => {
                    *input = rest;
                    (first, body)
                }
                Err(Some(head)) => {
                    hold::<R::Inbound<'p>>(*options, state, bytes, input, head)?;
                    *input = &[];
                    return Ok(None);
                }
                // `input` is passed by value: kept in registers, the loop over a chunk's packets is a third faster.
                Err(None) => match begin::<R::Inbound<'p>>(*options, state, bytes, input)? {
                    Some(Frame { first, body, rest }) => {
                        *input = rest;
                        (first, body)
                    }
                    None => {
                        *input = &[];
                        return Ok(None);
                    }
                },
            },
            State::Body { .. } | State::Header | State::Failed(_) => {
                if let State::Header | State::Failed(_) = *state {
                    *input = continue_head::<R::Inbound<'p>>(*options, state, bytes, input)?;
                }
                let State::Body { header, end } = *state else { return Ok(None) };
                // Counts the missing bytes instead of parsing the header again for every chunk.
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
                (first, body)
            }
        };
        if let Some(packet) = R::Inbound::decode_fast(first, body) {
            return Ok(Some(packet));
        }
        R::Inbound::decode(first, body, *options)
            .map(Some)
            .inspect_err(|&error| *state = State::Failed(error))
    }
}

/// A single byte, the usual case of byte-wise transports, becomes a plain store.
#[inline(always)]
fn append(bytes: &mut Vec<u8>, new: &[u8]) {
    if let [byte] = *new { bytes.push(byte) } else { bytes.extend_from_slice(new) }
}

/// Buffers the front of a packet whose header is complete and whose body is not.
#[inline(never)]
fn hold<'p, P: Incoming<'p>>(
    options: DecodeOptions,
    state: &mut State,
    bytes: &mut Vec<u8>,
    input: &[u8],
    Head { header, remaining }: Head,
) -> Result<(), DecodeError> {
    let Some(&first) = input.first() else { return Ok(()) };
    if let Err(error) = P::check_head(first, Some(remaining), options) {
        *state = State::Failed(error);
        return Err(error);
    }
    *state = State::Body { header: header as u8, end: header as u32 + remaining };
    bytes.clear();
    bytes.extend_from_slice(input);
    Ok(())
}

/// Slow path: a packet that is large or invalid, or whose header is incomplete and has to be buffered.
#[cold]
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
    match Head::read::<P>(input, options) {
        Ok(Some(head)) => match Frame::at(input, head) {
            Some(frame) => Ok(Some(frame)),
            None => hold::<P>(options, state, bytes, input, head).map(|()| None),
        },
        Ok(None) => {
            *state = State::Header;
            bytes.clear();
            append(bytes, input);
            Ok(None)
        }
        Err(error) => {
            *state = State::Failed(error);
            Err(error)
        }
    }
}

/// Takes the rest of a buffered header off `input`. The buffer holds nothing beyond the header.
#[inline(never)]
fn continue_head<'i, 'p, P: Incoming<'p>>(
    options: DecodeOptions,
    state: &mut State,
    bytes: &mut Vec<u8>,
    mut input: &'i [u8],
) -> Result<&'i [u8], DecodeError> {
    if let State::Failed(error) = *state {
        return Err(error);
    }
    while let Some((&byte, rest)) = input.split_first() {
        bytes.push(byte);
        input = rest;
        // The first byte was checked when it arrived, so only the last byte of the length can decide, or one too many.
        if byte >= 0x80 && bytes.len() < 5 {
            continue;
        }
        match Head::read::<P>(bytes, options) {
            Ok(Some(Head { header, remaining })) => {
                *state = State::Body { header: header as u8, end: header as u32 + remaining };
                break;
            }
            Ok(None) => {}
            Err(error) => {
                *state = State::Failed(error);
                return Err(error);
            }
        }
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use crate::server::Stream;
    use crate::{ClientId, Connect, Login, Outbound, Text};

    #[test]
    fn a_password_that_is_only_partly_received_is_never_printed() {
        let mut connect = Connect::new(ClientId::new("c").unwrap(), 60);
        connect.login = Some(Login { user_name: Text::new("user").unwrap(), password: Some(b"canary") });
        let mut wire = std::vec::Vec::new();
        Outbound::Connect(connect).encode(&mut wire).unwrap();
        let mut stream = Stream::new(64);
        assert_eq!(stream.next(&mut &wire[..wire.len() - 1]), Ok(None));
        assert!(stream.bytes.ends_with(b"canar"), "the buffer must contain the canary");
        let shown = std::format!("{stream:?}");
        let bytes = std::format!("{:?}", b"canar");
        assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
}
