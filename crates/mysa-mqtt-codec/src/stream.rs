//! Reassembly: packets out of chunks that end anywhere.

use core::fmt;
use core::marker::PhantomData;

use crate::buffer::Buffer;
use crate::error::DecodeError;
use crate::frame::{Frame, Head, Incoming as _};
use crate::options::DecodeOptions;
use crate::publish::Publish;
use crate::role::Role;

/// Incremental decoder: takes a byte stream in chunks of any size and yields its packets.
///
/// A packet that lies whole within a chunk borrows from the chunk. The body of a packet that straddles chunks is copied into
/// a buffer, which grows with the bytes received: it is never longer than twice as many and 256 more, and never holds a packet
/// beyond the limit of the [`DecodeOptions`].
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
    partial: Partial,
    buffer: Buffer,
    role: PhantomData<R>,
}

impl<R> fmt::Debug for PacketStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The buffered bytes stay out: part of a CONNECT may be its password.
        f.debug_struct("PacketStream")
            .field("options", &self.options)
            .field("partial", &self.partial)
            .finish_non_exhaustive()
    }
}

/// Packet of which the front has arrived. Its body is in the buffer.
#[derive(Clone, Copy, Debug)]
struct Partial {
    /// Length of the body; 0 if there is no partial packet. The buffer may still be borrowed by the packet returned last.
    length: u32,
    /// Bytes of the body that have arrived. The rest is computed, because this is the only number that each chunk changes:
    /// a second one would have to wait for memory too.
    held: u32,
    first: u8,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between packets or within a body.
    Body,
    /// This many bytes of a fixed header have arrived, and it is incomplete.
    Header([u8; 5], u8),
    /// A rule was broken; every further call returns this error.
    Failed(DecodeError),
}

impl Partial {
    const NONE: Self = Self { length: 0, held: 0, first: 0, state: State::Body };

    /// In a rare state, these numbers lead to [`PacketStream::resume`] without a test of their own: no chunk completes a body so
    /// long, and no buffer has room at its end.
    const fn in_state(state: State) -> Self {
        Self { length: u32::MAX, held: u32::MAX / 2, first: 0, state }
    }
}

impl<R: Role> PacketStream<R> {
    /// An empty stream. A plain number is the limit in bytes, see [`DecodeOptions::new`].
    pub fn new(options: impl Into<DecodeOptions>) -> Self {
        Self { options: options.into(), partial: Partial::NONE, buffer: Buffer::default(), role: PhantomData }
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
        let (first, body): (u8, &'p [u8]) = if self.partial.length == 0 {
            match Frame::cut_fast(input, self.options) {
                Ok(Frame { first, body, rest }) => {
                    *input = rest;
                    (first, body)
                }
                Err(Some(head)) => {
                    self.hold(input, head)?;
                    *input = &[];
                    return Ok(None);
                }
                // `input` is passed by value: kept in registers, the loop over a chunk's packets is a third faster.
                Err(None) => match self.begin(input)? {
                    Some(Frame { first, body, rest }) => {
                        *input = rest;
                        (first, body)
                    }
                    None => {
                        *input = &[];
                        return Ok(None);
                    }
                },
            }
        } else {
            let Partial { length, held, .. } = self.partial;
            let missing = length - held;
            let length = match input.get(missing as usize..) {
                // A single byte, the usual case of byte-wise transports, costs the others one test.
                _ if let [byte] = **input
                    && self.buffer.write_byte_fast(held, byte).is_some() =>
                {
                    *input = &[];
                    if missing > 1 {
                        self.partial.held = held + 1;
                        return Ok(None);
                    }
                    length
                }
                Some(later) if self.buffer.write_fast(held, input, missing).is_some() => {
                    *input = later;
                    length
                }
                None if self.buffer.write_fast(held, input, input.len() as u32).is_some() => {
                    self.partial.held = held + input.len() as u32;
                    *input = &[];
                    return Ok(None);
                }
                _ => match self.resume(input)? {
                    (later, Some(length)) => {
                        *input = later;
                        length
                    }
                    (later, None) => {
                        *input = later;
                        return Ok(None);
                    }
                },
            };
            self.partial.length = 0;
            let Some(body) = self.buffer.front(length) else { return Ok(None) };
            (self.partial.first, body)
        };
        let mut packet = R::Inbound::FILLED;
        if R::Inbound::decode_fast(first, body, &mut packet).is_some() {
            return Ok(Some(packet));
        }
        R::Inbound::decode(first, body, self.options)
            .map(Some)
            .inspect_err(|&error| self.partial = Partial::in_state(State::Failed(error)))
    }

    /// Buffers the front of a packet whose header is complete and whose body is not.
    #[inline(always)]
    fn hold(&mut self, input: &[u8], head: Head) -> Result<(), DecodeError> {
        if let Some(&first) = input.first()
            && Publish::is_first(first)
            && let Some(body) = input.get(head.header..)
            && self.buffer.set_fast(body).is_some()
        {
            self.partial.first = first;
            self.partial.held = body.len() as u32;
            self.partial.length = head.remaining as u32;
            return Ok(());
        }
        self.hold_slow(input, head)
    }

    /// Slow path: a packet of another type, a longer piece, or a buffer that has to grow.
    #[inline(never)]
    fn hold_slow(&mut self, input: &[u8], Head { header, remaining }: Head) -> Result<(), DecodeError> {
        let (Some(&first), Some(body)) = (input.first(), input.get(header..)) else { return Ok(()) };
        if let Err(error) = R::Inbound::check_head(first, Some(remaining as u32), self.options) {
            return self.fail(error);
        }
        let held = body.len() as u32;
        self.partial = Partial { length: remaining as u32, held, first, state: State::Body };
        self.buffer.write(0, body);
        Ok(())
    }

    /// Slow path: a packet that is large or invalid, or whose header is incomplete and has to be kept.
    #[cold]
    #[inline(never)]
    fn begin<'i>(&mut self, input: &'i [u8]) -> Result<Option<Frame<'i>>, DecodeError> {
        if input.is_empty() {
            return Ok(None);
        }
        match Head::read::<R::Inbound<'_>>(input, self.options) {
            Ok(Some(head)) => match Frame::at(input, head) {
                Some(frame) => Ok(Some(frame)),
                None => self.hold_slow(input, head).map(|()| None),
            },
            Ok(None) => {
                let mut header = [0; 5];
                header.iter_mut().zip(input).for_each(|(to, &byte)| *to = byte);
                self.partial = Partial::in_state(State::Header(header, input.len() as u8));
                Ok(None)
            }
            Err(error) => self.fail(error),
        }
    }

    /// Slow path: takes the rest of a partial packet off `input`, and returns the length of its body if it is complete.
    #[inline(never)]
    fn resume<'i>(&mut self, mut input: &'i [u8]) -> Result<(&'i [u8], Option<u32>), DecodeError> {
        match self.partial.state {
            State::Body => {}
            State::Failed(error) => return Err(error),
            State::Header(..) => match self.resume_header(input)? {
                Some(later) => input = later,
                None => return Ok((&[], None)),
            },
        }
        let Partial { length, held, .. } = self.partial;
        let missing = (length - held) as usize;
        let (now, later) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.buffer.write(held, now);
        self.partial.held = held + now.len() as u32;
        Ok((later, (now.len() == missing).then_some(length)))
    }

    /// Takes the rest of a header off `input`; `None` if there is not enough.
    fn resume_header<'i>(&mut self, mut input: &'i [u8]) -> Result<Option<&'i [u8]>, DecodeError> {
        while let State::Header(bytes, count) = &mut self.partial.state
            && let Some((&byte, later)) = input.split_first()
            && let Some(to) = bytes.get_mut(usize::from(*count))
        {
            *to = byte;
            *count += 1;
            input = later;
            // The first byte was checked when it arrived, so only the last byte of the length can decide, or one too many.
            if byte >= 0x80 && *count < 5 {
                continue;
            }
            let first = bytes[0];
            let known = bytes.get(..usize::from(*count)).unwrap_or_default();
            match Head::read::<R::Inbound<'_>>(known, self.options) {
                Ok(Some(Head { remaining, .. })) => {
                    self.partial = Partial { length: remaining as u32, held: 0, first, state: State::Body };
                    return Ok(Some(input));
                }
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
        Ok(None)
    }

    #[cold]
    fn fail<T>(&mut self, error: DecodeError) -> Result<T, DecodeError> {
        self.partial = Partial::in_state(State::Failed(error));
        Err(error)
    }
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
        assert!(
            stream.buffer.front(stream.partial.held).unwrap().ends_with(b"canar"),
            "the buffer must contain the canary"
        );
        let shown = std::format!("{stream:?}");
        let bytes = std::format!("{:?}", b"canar");
        assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
}
