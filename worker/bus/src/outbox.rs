//! What one client still has to be sent, and whether it owes too much. Pure: time is an argument, the connection writes.
//!
//! Messages come as shared frames and are never copied for a subscriber; replies to the client's own commands are
//! collected in a tail. Both leave in the order in which they came.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use crate::settings::OutputLimit;

/// What a queued frame costs beside its bytes: its handle, and its share of the allocation's own header.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// An emptied queue keeps room for this many frames, and gives back what a burst made it take.
const FRAMES_KEPT: usize = 256;

/// A tail with more room than this is given back once it is sent.
const TAIL_KEPT_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Outbox {
    frames: VecDeque<Bytes>,
    /// Replies after the last frame.
    tail: BytesMut,
    bytes: usize,
    limit: OutputLimit,
    /// Since when the soft limit has been reached without a break.
    soft_since: Option<Instant>,
}

/// Which of its limits a client reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Excess {
    Hard,
    Soft,
}

impl Outbox {
    pub(crate) fn new(limit: OutputLimit) -> Self {
        Self { frames: VecDeque::new(), tail: BytesMut::new(), bytes: 0, limit, soft_since: None }
    }

    /// Queues a frame that others may share.
    pub(crate) fn push(&mut self, frame: &Bytes) {
        if !self.tail.is_empty() {
            self.frames.push_back(self.tail.split().freeze());
        }
        self.bytes += frame.len();
        self.frames.push_back(frame.clone());
    }

    /// Lets `write` append a reply.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.bytes += self.tail.len() - before;
    }

    /// Which limit is reached at `now`; to be asked after each addition and at [`Outbox::soft_deadline`].
    pub(crate) fn excess(&mut self, now: Instant) -> Option<Excess> {
        let owed = self.owed_bytes();
        if owed >= self.limit.hard_bytes {
            return Some(Excess::Hard);
        }
        if owed < self.limit.soft_bytes {
            self.soft_since = None;
            return None;
        }
        let since = *self.soft_since.get_or_insert(now);
        (now.saturating_duration_since(since) >= self.limit.soft_for).then_some(Excess::Soft)
    }

    /// When the soft limit runs out if nothing is sent until then.
    pub(crate) fn soft_deadline(&self) -> Option<Instant> {
        self.soft_since.map(|since| since + self.limit.soft_for)
    }

    /// What the limits are compared with.
    pub(crate) fn owed_bytes(&self) -> usize {
        self.bytes + self.frames.len() * FRAME_OVERHEAD_BYTES
    }

    pub(crate) fn queued_frames(&self) -> usize {
        self.frames.len() + usize::from(!self.tail.is_empty())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Fills `slices` from the head of the queue; returns how many are filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let mut filled = 0;
        for (slice, bytes) in slices.iter_mut().zip(self.frames.iter().map(|frame| &frame[..]).chain(tail)) {
            *slice = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Takes `sent` bytes off the head.
    pub(crate) fn consume(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while let Some(frame) = self.frames.front_mut() {
            if sent < frame.len() {
                frame.advance(sent);
                return;
            }
            sent -= frame.len();
            self.frames.pop_front();
        }
        self.tail.advance(sent);
        if self.bytes == 0 {
            self.soft_since = None;
            self.frames.shrink_to(FRAMES_KEPT);
            if self.tail.capacity() > TAIL_KEPT_BYTES {
                self.tail = BytesMut::new();
            }
        } else if self.owed_bytes() < self.limit.soft_bytes {
            self.soft_since = None;
        }
    }

    /// Forgets everything: the client is being cut and its memory is wanted back now.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMIT: OutputLimit =
        OutputLimit { hard_bytes: 1000, soft_bytes: 500, soft_for: Duration::from_secs(10) };

    fn written(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outbox.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn frames_and_replies_leave_in_order_whatever_the_sizes_of_the_writes() {
        for step in 1..8 {
            let mut outbox = Outbox::new(LIMIT);
            outbox.append(|tail| tail.extend_from_slice(b"+OK"));
            outbox.append(|tail| tail.extend_from_slice(b"\r\n"));
            outbox.push(&Bytes::from_static(b"one"));
            outbox.push(&Bytes::from_static(b"two"));
            outbox.append(|tail| tail.extend_from_slice(b":1"));
            let mut all = Vec::new();
            while !outbox.is_empty() {
                let mut next = written(&outbox);
                next.truncate(step);
                outbox.consume(next.len());
                all.extend(next);
            }
            assert_eq!(all, b"+OK\r\nonetwo:1");
            assert_eq!(outbox.owed_bytes(), 0);
        }
    }

    #[test]
    fn a_frame_is_shared_and_not_copied() {
        let frame = Bytes::from(vec![1u8; 100]);
        let mut outbox = Outbox::new(LIMIT);
        outbox.push(&frame);
        let mut slices = [IoSlice::new(&[]); 1];
        outbox.slices(&mut slices);
        assert_eq!(slices[0].as_ptr(), frame.as_ptr());
    }

    #[test]
    fn the_hard_limit_cuts_at_once() {
        let now = Instant::now();
        let mut outbox = Outbox::new(LIMIT);
        outbox.push(&Bytes::from(vec![0; 1000 - FRAME_OVERHEAD_BYTES - 1]));
        assert_eq!(outbox.excess(now), None);
        outbox.append(|tail| tail.extend_from_slice(b"x"));
        assert_eq!(outbox.excess(now), Some(Excess::Hard));
    }

    #[test]
    fn the_soft_limit_cuts_only_after_its_time_without_a_break() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut outbox = Outbox::new(LIMIT);
        outbox.append(|tail| tail.extend_from_slice(&[0; 500]));
        assert_eq!(outbox.excess(at(0)), None);
        assert_eq!(outbox.excess(at(9)), None);
        outbox.consume(1);
        assert_eq!(outbox.soft_deadline(), None);
        outbox.append(|tail| tail.extend_from_slice(&[0; 1]));
        assert_eq!(outbox.excess(at(11)), None);
        assert_eq!(outbox.soft_deadline(), Some(at(21)));
        assert_eq!(outbox.excess(at(21)), Some(Excess::Soft));
    }
}
