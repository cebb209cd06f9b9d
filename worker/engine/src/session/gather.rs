//! The next bytes of a queue as slices for one `writev(2)`: small packets are copied side by side, large ones are
//! written from where they are, so a payload that goes to a thousand clients exists once.

use std::io::IoSlice;

use engineioxide_core::Str;

use super::item::{Item, Packet};

/// A payload of at least this many bytes is not copied. Below it the copy costs less than `writev(2)` with one slice more.
const BORROW_MIN: usize = 16 * 1024;
/// Slices in one write.
pub(crate) const SLICES_MAX: usize = 32;
/// Bytes after which a write takes no further packet: more than a default socket buffer takes at once.
const BYTES_MAX: usize = 256 * 1024;

/// Texts of one write whose frames are kept for the next recipient.
pub(crate) const FRAMES_MAX: usize = 8;

/// A thread's buffer for the frames of one write, side by side. The frames of broadcasts stay in it from one recipient to
/// the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    /// The texts whose frames `bytes` are. Holding them keeps their memory from becoming another's.
    framed: Vec<Str>,
}

impl Scratch {
    /// The frames of items that are texts, and not large.
    pub(crate) fn frames_of<'i>(&mut self, items: impl Iterator<Item = &'i Item> + Clone) -> Option<&[u8]> {
        let place = |text: &Str| std::ptr::from_ref::<str>(text);
        let texts = items.map(|item| match item {
            Item::Text(text) if text.len() < BORROW_MIN => Some(text),
            _ => None,
        });
        if !texts.clone().map(|text| text.map(place)).eq(self.framed.iter().map(|text| Some(place(text)))) {
            self.empty();
            for text in texts {
                let text = text?;
                let payload = Packet::Text(Some('4'), text).put_front(&mut self.bytes);
                self.bytes.extend_from_slice(payload);
                self.framed.push(text.clone());
            }
        }
        Some(&self.bytes)
    }

    /// The buffer, for something else.
    pub(crate) fn empty(&mut self) -> &mut Vec<u8> {
        self.framed.clear();
        self.bytes.clear();
        &mut self.bytes
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_kept_for_the_same_texts_only() {
        let mut scratch = Scratch::default();
        let [x, y] = ["x", "y"].map(|letter| Item::Text(Str::from(letter.repeat(200))));
        for items in [&[&x][..], &[&x], &[&y], &[&x, &y], &[&x, &y], &[&x], &[&y, &x], &[&x, &y, &x]] {
            let mut fresh = Vec::new();
            let mut gather = Gather::new(&mut fresh, 0);
            items.iter().flat_map(|item| item.packets()).for_each(|packet| assert!(gather.push(packet)));
            assert_eq!(scratch.frames_of(items.iter().copied()), Some(&*fresh));
        }
        let large = Item::Text(Str::from("z".repeat(BORROW_MIN)));
        for other in [&large, &Item::Ping] {
            assert_eq!(scratch.frames_of([&x, other].into_iter()), None);
            assert_eq!(scratch.frames_of([&x].into_iter()).map(<[u8]>::len), Some(4 + 1 + 200));
        }
    }
}
