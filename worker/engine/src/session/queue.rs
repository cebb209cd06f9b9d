//! What a session still has to say: items in order, what of the first one is written, and the limits of both.
//!
//! A partly written item stays in front with the number of bytes that are gone; its encoding is made again for the next
//! write. So there is no buffer of leftover bytes, and a payload is held by reference until the kernel has it.

use std::collections::VecDeque;

use super::{
    gather::{FRAMES_MAX, Gather},
    item::Item,
};
use crate::proto::payload::Payload;

/// What an item costs beside its bytes: a flood of empty messages must reach a byte budget too.
const ITEM_COST: usize = 64;
/// Room that an empty queue may keep: idle sessions are many.
const KEEP_ITEMS: usize = 4;
/// Answers to WebSocket pings that may wait; RFC 6455 §5.5.3 allows to answer only the latest.
const PONGS_MAX: u32 = 64;

/// The outgoing queue of a session. Its first item is inline, so an idle session that is pinged allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    first: Option<Item>,
    rest: VecDeque<Item>,
    /// The newest volatile item: sent when all others are.
    volatile: Option<Box<Item>>,
    /// Bytes of `first` that are written.
    written: usize,
    /// Emitted items in the queue.
    emitted: u32,
    /// Places promised to permits.
    reserved: u32,
    pongs: u32,
    /// Wire bytes and item costs of all items but the volatile one.
    bytes: usize,
}

/// What left the queue.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub items: u64,
    /// As [`Queue::bytes`] counts them.
    pub bytes: usize,
    /// Bytes that the volatile item brought in.
    pub joined: usize,
}

impl Queue {
    /// Promises a place if fewer than `max` are taken.
    pub(crate) fn reserve(&mut self, max: usize) -> bool {
        let free = (self.emitted as usize + self.reserved as usize) < max;
        self.reserved += u32::from(free);
        free
    }

    /// Gives a promised place back.
    pub(crate) fn release(&mut self) {
        self.reserved -= 1;
    }

    /// Appends an item and returns what it costs.
    pub(crate) fn push(&mut self, item: Item) -> usize {
        if matches!(item, Item::WsPong(_)) {
            if self.pongs == PONGS_MAX {
                return 0;
            }
            self.pongs += 1;
        }
        let cost = cost(&item);
        self.bytes += cost;
        self.emitted += u32::from(item.is_emitted());
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
        cost
    }

    /// Replaces the volatile item.
    pub(crate) fn set_volatile(&mut self, item: Item) {
        self.volatile = Some(Box::new(item));
    }

    /// Makes the volatile item an ordinary one if nothing else waits; returns what it costs.
    pub(crate) fn promote_volatile(&mut self) -> usize {
        match self.first {
            Some(_) => 0,
            None => self.volatile.take().map_or(0, |item| self.push(*item)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.volatile.is_none()
    }

    /// Items that wait, the volatile one not counted.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Wire bytes that wait, with a fixed cost per item.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All items, if they are few and nothing of them is written.
    pub(crate) fn unwritten(&self) -> Option<impl Iterator<Item = &Item> + Clone> {
        (self.written == 0 && self.len() <= FRAMES_MAX).then(|| self.first.iter().chain(&self.rest))
    }

    /// The bytes for the next write to a WebSocket.
    pub(crate) fn gather<'s, 'q>(&'q self, scratch: &'s mut Vec<u8>) -> Gather<'s, 'q> {
        let mut gather = Gather::new(scratch, self.written);
        for packet in self.first.iter().chain(&self.rest).flat_map(Item::packets) {
            if !gather.push(packet) {
                break;
            }
        }
        gather
    }

    /// Takes note that `bytes` more are written.
    pub(crate) fn advance(&mut self, bytes: usize) -> Left {
        let mut left = Left::default();
        self.written += bytes;
        while let Some(first) = &self.first {
            let len = first.wire_len();
            if self.written < len {
                break;
            }
            self.written -= len;
            left.bytes += self.pop();
            left.items += 1;
        }
        left
    }

    /// Moves items into a polling payload of at most `max` bytes; a single item may be longer.
    pub(crate) fn fill(&mut self, payload: &mut Payload, max: usize) -> Left {
        let mut left = Left { joined: self.promote_volatile(), ..Left::default() };
        while let Some(first) = &self.first {
            if !payload.is_empty() && payload.len() + 1 + first.payload_len() > max {
                break;
            }
            first.write_payload(payload);
            left.bytes += self.pop();
            left.items += 1;
            left.joined += self.promote_volatile();
        }
        left
    }

    /// Makes the volatile item an ordinary one, the last: nothing may follow what ends a session. Returns what it costs.
    pub(crate) fn settle_volatile(&mut self) -> usize {
        self.volatile.take().map_or(0, |item| self.push(*item))
    }

    /// Drops everything but an item that has begun to go out: half a frame would turn the next one into noise. Returns the
    /// bytes that waited.
    pub(crate) fn clear_unstarted(&mut self) -> usize {
        let started = (self.written > 0).then(|| self.first.take()).flatten();
        let (written, before) = (self.written, self.bytes);
        self.clear();
        if let Some(started) = started {
            self.push(started);
            self.written = written;
        }
        before - self.bytes
    }

    /// Drops everything; returns the bytes that waited.
    pub(crate) fn clear(&mut self) -> usize {
        let Self { reserved, bytes, .. } = std::mem::take(self);
        self.reserved = reserved;
        bytes
    }

    /// The first item.
    #[cfg(feature = "__test_harness")]
    pub(crate) fn take_first(&mut self) -> Option<Item> {
        self.promote_volatile();
        let first = self.first.take()?;
        self.first = self.rest.pop_front();
        self.bytes -= cost(&first);
        self.emitted -= u32::from(first.is_emitted());
        Some(first)
    }

    fn pop(&mut self) -> usize {
        let Some(item) = std::mem::replace(&mut self.first, self.rest.pop_front()) else { return 0 };
        if self.rest.is_empty() && self.rest.capacity() > KEEP_ITEMS {
            self.rest = VecDeque::new();
        }
        let cost = cost(&item);
        self.bytes -= cost;
        self.emitted -= u32::from(item.is_emitted());
        self.pongs -= u32::from(matches!(item, Item::WsPong(_)));
        cost
    }
}

fn cost(item: &Item) -> usize {
    item.wire_len() + ITEM_COST
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        proto::close::CloseCode,
        session::item::{Group, Head},
    };

    fn item(rng: &mut StdRng) -> Item {
        let len = [0, 3, 125, 126, 4095, 16_384, 20_000][rng.random_range(0..7)];
        let data = bytes::Bytes::from(vec![b'a' + rng.random_range(0..26u8); len]);
        let text = || engineioxide_core::Str::from("x".repeat(len));
        match rng.random_range(0..6) {
            0 => Item::Text(text()),
            1 => Item::Binary(data),
            2 => Item::Ping,
            3 => Item::WsPong(data.slice(..len.min(125))),
            4 => Item::WsClose(CloseCode::NORMAL),
            _ => {
                let attachments = (0..rng.random_range(1..40)).map(|_| data.clone()).collect();
                Item::Group(Box::new(Group { head: Head::Text(text()), attachments }))
            }
        }
    }

    /// Everything in the queue, in writes of what `gather` offers.
    fn drain(queue: &mut Queue, mut accept: impl FnMut(usize) -> usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut scratch = Vec::new();
        while !queue.is_empty() {
            let gather = queue.gather(&mut scratch);
            let taken = accept(gather.len()).min(gather.len());
            let bytes: Vec<u8> = gather.write(|slices| {
                slices.iter().fold(Vec::new(), |mut all, slice| {
                    all.extend_from_slice(slice);
                    all
                })
            });
            assert_eq!(bytes.len(), gather.len());
            out.extend_from_slice(&bytes[..taken]);
            queue.advance(taken);
        }
        out
    }

    #[test]
    fn short_writes_of_any_size_lose_and_repeat_nothing() {
        for seed in 0..100 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut whole = Queue::default();
            let mut short = Queue::default();
            let len = rng.random_range(1..10);
            for queue in [&mut whole, &mut short] {
                let mut same = StdRng::seed_from_u64(seed);
                (0..len).for_each(|_| _ = queue.push(item(&mut same)));
            }
            let want = drain(&mut whole, |len| len);
            let got = drain(&mut short, |_| rng.random_range(1..40_000));
            assert!(want == got, "seed {seed}");
            assert_eq!((short.bytes(), short.emitted, short.pongs, short.written), (0, 0, 0, 0));
        }
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let mut queue = Queue::default();
        let data = bytes::Bytes::from(vec![7; 100_000]);
        queue.push(Item::Binary(data.clone()));
        let mut scratch = Vec::new();
        queue.gather(&mut scratch).write(|slices| assert_eq!(slices[1].as_ptr(), data.as_ptr()));
        assert!(scratch.len() <= 10);
    }

    #[test]
    fn places_are_promised_given_back_and_used_up() {
        let mut queue = Queue::default();
        assert!(queue.reserve(2) && queue.reserve(2) && !queue.reserve(2));
        queue.release();
        assert!(queue.reserve(2));
        queue.release();
        queue.push(Item::Text("a".into()));
        assert!(!queue.reserve(2), "one place is promised, one is taken");
        queue.push(Item::Ping);
        queue.release();
        assert!(queue.reserve(2), "what the engine itself sends takes no place");
    }

    #[test]
    fn a_volatile_item_waits_for_the_others_and_only_the_newest_counts() {
        let mut queue = Queue::default();
        queue.set_volatile(Item::Text("old".into()));
        queue.set_volatile(Item::Text("new".into()));
        queue.push(Item::Text("normal".into()));
        let mut payload = Payload::default();
        queue.fill(&mut payload, 1000);
        assert_eq!(payload.into_text(), "4normal\x1e4new");
        assert!(queue.is_empty());
    }

    #[test]
    fn a_payload_is_filled_up_to_its_limit_and_one_item_may_be_longer() {
        let mut queue = Queue::default();
        for text in ["hello", "world", "a message that is too long"] {
            queue.push(Item::Text(text.into()));
        }
        let mut fill = || {
            let mut payload = Payload::default();
            queue.fill(&mut payload, 10);
            payload.into_text()
        };
        assert_eq!(fill(), "4hello");
        assert_eq!(fill(), "4world");
        assert_eq!(fill(), "4a message that is too long");
    }

    #[test]
    fn an_empty_queue_gives_its_memory_back() {
        let mut queue = Queue::default();
        (0..100).for_each(|_| _ = queue.push(Item::Text("a".into())));
        drain(&mut queue, |len| len);
        assert_eq!(queue.rest.capacity(), 0);
    }

    #[test]
    fn answers_to_pings_are_bounded() {
        let mut queue = Queue::default();
        (0..1000).for_each(|_| _ = queue.push(Item::WsPong(bytes::Bytes::new())));
        assert_eq!(queue.len(), PONGS_MAX as usize);
    }
}
