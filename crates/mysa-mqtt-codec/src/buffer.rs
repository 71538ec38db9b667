//! Buffer of a packet that arrives in pieces.

use alloc::vec::Vec;

/// Front of a packet's body. The owner knows how many bytes of it have arrived.
///
/// The vector is longer than what has arrived, so that pieces can be copied in blocks of a fixed size, which compile to a few
/// vector instructions; a copy whose length is known only at run time is a call of `memcpy`. A block may write bytes without
/// meaning behind those that have arrived.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Vec<u8>);

/// Size of a block.
const BLOCK: usize = 64;
/// Longest piece that is copied as blocks.
const SHORT: usize = 2 * BLOCK;

impl Buffer {
    /// The first `count` bytes.
    #[inline(always)]
    pub(crate) fn front(&self, count: u32) -> Option<&[u8]> {
        self.0.get(..count as usize)
    }

    /// Fast path of [`write`](Self::write) at the beginning; `None` if it does not apply.
    #[inline(always)]
    pub(crate) fn set_fast(&mut self, piece: &[u8]) -> Option<()> {
        copy_short(piece, self.0.get_mut(..SHORT)?.get_mut(..piece.len())?);
        Some(())
    }

    /// Fast path of [`write`](Self::write) for a single byte; `None` if it does not apply.
    #[inline(always)]
    pub(crate) fn write_byte_fast(&mut self, at: u32, byte: u8) -> Option<()> {
        *self.0.get_mut(at as usize)? = byte;
        Some(())
    }

    /// Fast path of [`write`](Self::write) for the first `count` bytes of `input`; `None` if it does not apply.
    #[inline(always)]
    pub(crate) fn write_fast(&mut self, at: u32, input: &[u8], count: u32) -> Option<()> {
        let Some(front) = input.first_chunk::<BLOCK>() else {
            return self.write_short(at, input.get(..count as usize)?);
        };
        let to = self.0.get_mut(at as usize..at as usize + SHORT)?;
        to[..BLOCK].copy_from_slice(front);
        if count > BLOCK as u32 {
            if count > SHORT as u32 {
                return None;
            }
            // Input of less than two blocks is copied whole, by blocks that overlap.
            let second = BLOCK.min(input.len() - BLOCK);
            to[second..second + BLOCK].copy_from_slice(&input[second..second + BLOCK]);
        }
        Some(())
    }

    #[inline(never)]
    fn write_short(&mut self, at: u32, piece: &[u8]) -> Option<()> {
        copy_short(piece, self.0.get_mut(at as usize..at as usize + BLOCK)?.get_mut(..piece.len())?);
        Some(())
    }

    /// Writes a piece at `at`. The bytes behind it lose their meaning.
    #[inline(never)]
    pub(crate) fn write(&mut self, at: u32, piece: &[u8]) {
        let at = at as usize;
        let end = at + piece.len();
        // Room for the blocks of the next piece; the first few bytes take no more than they need.
        let needed = if end < BLOCK { end } else { end + SHORT };
        if let Some(more) = needed.checked_sub(self.0.len()) {
            self.0.reserve(more);
            self.0.resize(self.0.capacity(), 0);
        }
        self.0[at..end].copy_from_slice(piece);
    }
}

/// Copies up to two blocks between slices of the same length.
#[inline(always)]
fn copy_short(from: &[u8], to: &mut [u8]) {
    let _ = copy_ends::<64>(from, to)
        || copy_ends::<32>(from, to)
        || copy_ends::<16>(from, to)
        || copy_ends::<8>(from, to)
        || copy_ends::<4>(from, to)
        || copy_ends::<2>(from, to)
        || copy_ends::<1>(from, to);
}

/// Copies the first and the last `N` bytes, which are all if there are no more than twice as many. False if there are fewer
/// than `N`.
#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) -> bool {
    let (Some(front), Some(back)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return false };
    if let Some(to) = to.first_chunk_mut::<N>() {
        *to = *front;
    }
    if let Some(to) = to.last_chunk_mut::<N>() {
        *to = *back;
    }
    true
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// Writes by one of the paths.
    fn write(path: usize, buffer: &mut Buffer, at: u32, input: &[u8], count: usize) -> Option<()> {
        match path {
            0 => buffer.write_fast(at, input, count as u32),
            1 if at == 0 => buffer.set_fast(&input[..count]),
            2 if count == 1 => buffer.write_byte_fast(at, input[0]),
            3 => {
                buffer.write(at, &input[..count]);
                Some(())
            }
            _ => None,
        }
    }

    #[test]
    fn each_path_writes_the_piece_and_nothing_before_it() {
        let input: [u8; 300] = core::array::from_fn(|at| at as u8 | 1);
        for at in [0, 1, 63, 64, 200] {
            for len in 0..=input.len() {
                for count in [0, 1, len / 2, len.saturating_sub(1), len] {
                    let count = count.min(len);
                    let mut expected = std::vec![0; at];
                    expected.extend_from_slice(&input[..count]);
                    for (path, room) in (0..4).flat_map(|path| [0, at + count, 328].map(|room| (path, room)))
                    {
                        let mut buffer = Buffer(std::vec![0; room.max(at)]);
                        if write(path, &mut buffer, at as u32, &input[..len], count).is_some() {
                            let written = buffer.front((at + count) as u32);
                            assert_eq!(written, Some(&expected[..]), "{path}: {at}, {len}, {count}");
                        } else {
                            let short = count <= SHORT && (path == 0 || at == 0 && path == 1);
                            assert!(!short || room < at + SHORT, "{path}: {at}, {len}, {count}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_vector_grows_with_what_it_holds() {
        let mut buffer = Buffer::default();
        for at in 0..5_000 {
            buffer.write(at, &[1]);
            let held = at as usize + 1;
            assert!(buffer.0.len() <= 2 * held + 2 * SHORT, "{held}: {}", buffer.0.len());
            assert!(held >= BLOCK || buffer.0.len() <= 2 * held + 8, "{held}: {}", buffer.0.len());
        }
    }
}
