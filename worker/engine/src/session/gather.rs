//! The next bytes of a queue as slices for one `writev(2)`: small packets are copied side by side, large ones are
//! written from where they are, so a payload that goes to a thousand clients exists once.

use std::io::IoSlice;

use super::item::Packet;

/// A payload of at least this many bytes is not copied. Below it the copy costs less than `writev(2)` with one slice more.
const BORROW_MIN: usize = 16 * 1024;
/// Slices in one write.
pub(crate) const SLICES_MAX: usize = 32;
/// Bytes after which a write takes no further packet: more than a default socket buffer takes at once.
const BYTES_MAX: usize = 256 * 1024;

/// Where the bytes of one write are.
pub(crate) struct Gather<'s, 'q> {
    scratch: &'s mut Vec<u8>,
    cuts: [Cut<'q>; SLICES_MAX],
    used: usize,
    bytes: usize,
    /// How many bytes of the first packet were written before.
    skip: usize,
}

#[derive(Clone, Copy)]
enum Cut<'q> {
    /// `start..end` of the scratch buffer.
    Copied(usize, usize),
    Borrowed(&'q [u8]),
}

impl<'s, 'q> Gather<'s, 'q> {
    /// `skip`: the bytes at the front of the queue that have been written already.
    pub(crate) fn new(scratch: &'s mut Vec<u8>, skip: usize) -> Self {
        scratch.clear();
        Self { scratch, cuts: [Cut::Copied(0, 0); SLICES_MAX], used: 0, bytes: 0, skip }
    }

    /// Adds a packet; false if there is no room for it (or for all of it).
    pub(crate) fn push(&mut self, packet: Packet<'q>) -> bool {
        // A packet takes two slices at most: its front and its payload.
        if self.used + 2 > SLICES_MAX || self.bytes >= BYTES_MAX {
            return false;
        }
        let start = self.scratch.len();
        let payload = packet.put_front(self.scratch);
        if payload.len() < BORROW_MIN {
            self.scratch.extend_from_slice(payload);
            self.copied(start);
        } else {
            self.copied(start);
            let skipped = self.skip.min(payload.len());
            self.skip -= skipped;
            // What was written before must not take a slice, or a long group would find no end.
            if skipped < payload.len() {
                self.bytes += payload.len() - skipped;
                self.cuts[self.used] = Cut::Borrowed(&payload[skipped..]);
                self.used += 1;
            }
        }
        true
    }

    /// Accounts for what was put into the scratch buffer from `start` on, less what is skipped.
    fn copied(&mut self, start: usize) {
        let end = self.scratch.len();
        let skipped = self.skip.min(end - start);
        self.skip -= skipped;
        let start = start + skipped;
        if start == end {
            return;
        }
        self.bytes += end - start;
        match self.used.checked_sub(1).map(|last| &mut self.cuts[last]) {
            Some(Cut::Copied(_, last_end)) if *last_end == start => *last_end = end,
            _ => {
                self.cuts[self.used] = Cut::Copied(start, end);
                self.used += 1;
            }
        }
    }

    /// Bytes in all.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Hands the slices to `write`.
    pub(crate) fn write<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        for (slice, cut) in slices.iter_mut().zip(&self.cuts[..self.used]) {
            *slice = IoSlice::new(match cut {
                Cut::Copied(start, end) => &self.scratch[*start..*end],
                Cut::Borrowed(payload) => payload,
            });
        }
        write(&slices[..self.used])
    }
}
