//! Whether what was sent arrived: once, in order, nothing missing. Pure; one [`Receipts`] for each client.

use std::ops::AddAssign;

/// Numbers that one stream remembers as missing at most: a server that loses more is lossy enough.
const MISSING_MAX: usize = 4096;

/// What went wrong, in deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Never came.
    pub lost: u64,
    /// Came again.
    pub doubled: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// From a sender whom this client must not hear, or with a number that was never sent.
    pub strange: u64,
}

impl Faults {
    /// Nothing went wrong.
    pub fn is_none(&self) -> bool {
        *self == Faults::default()
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Faults) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.strange += other.strange;
    }
}

/// What one client got, by sender. A sender numbers its messages from 0.
#[derive(Debug, Default)]
pub struct Receipts {
    // A client hears few senders, so a list is the fastest map.
    streams: Vec<(u32, Stream)>,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Stream {
    next: u64,
    /// Numbers that were overtaken and have not come yet, in ascending order.
    missing: Vec<u64>,
}

impl Receipts {
    /// Message `number` of `sender` came; true if it is the first time.
    pub fn received(&mut self, sender: u32, number: u64) -> bool {
        let stream = match self.streams.iter_mut().find(|(other, _)| *other == sender) {
            Some((_, stream)) => stream,
            None => {
                self.streams.push((sender, Stream::default()));
                // Just pushed.
                let Some((_, stream)) = self.streams.last_mut() else { return false };
                stream
            }
        };
        if number == stream.next {
            stream.next += 1;
            return true;
        }
        if number > stream.next {
            let room = MISSING_MAX - stream.missing.len();
            let overtaken = stream.next..number;
            // What does not fit is lost for good.
            self.faults.lost += (number - stream.next).saturating_sub(room as u64);
            stream.missing.extend(overtaken.take(room));
            stream.next = number + 1;
            return true;
        }
        match stream.missing.binary_search(&number) {
            Ok(at) => {
                stream.missing.remove(at);
                self.faults.reordered += 1;
                true
            }
            Err(_) => {
                self.faults.doubled += 1;
                false
            }
        }
    }

    /// The end: `sent` tells how many messages of a sender this client should have got, for each of the senders
    /// that it hears.
    pub fn finish(mut self, sent: impl Iterator<Item = (u32, u64)>) -> Faults {
        for (sender, count) in sent {
            let Some(at) = self.streams.iter().position(|(other, _)| *other == sender) else {
                self.faults.lost += count;
                continue;
            };
            let (_, stream) = self.streams.swap_remove(at);
            self.faults.lost += stream.missing.len() as u64 + count.saturating_sub(stream.next);
            self.faults.strange += stream.next.saturating_sub(count);
        }
        self.faults.strange += self.streams.iter().map(|(_, stream)| stream.next).sum::<u64>();
        self.faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(numbers: &[u64], sent: u64) -> Faults {
        let mut receipts = Receipts::default();
        numbers.iter().for_each(|number| {
            receipts.received(7, *number);
        });
        receipts.finish([(7, sent)].into_iter())
    }

    #[test]
    fn what_comes_once_and_in_order_is_no_fault() {
        assert!(faults(&[0, 1, 2, 3], 4).is_none());
        assert!(faults(&[], 0).is_none());
    }

    #[test]
    fn a_gap_is_a_loss_wherever_it_is() {
        for numbers in [&[1, 2, 3][..], &[0, 2, 3], &[0, 1, 2]] {
            assert_eq!(faults(numbers, 4), Faults { lost: 1, ..Faults::default() }, "{numbers:?}");
        }
        assert_eq!(faults(&[], 4).lost, 4);
    }

    #[test]
    fn a_second_copy_is_counted_each_time() {
        assert_eq!(faults(&[0, 0, 1, 1, 1], 2), Faults { doubled: 3, ..Faults::default() });
    }

    #[test]
    fn one_that_was_overtaken_is_reordered_and_not_lost() {
        assert_eq!(faults(&[0, 2, 1, 3], 4), Faults { reordered: 1, ..Faults::default() });
        assert_eq!(faults(&[0, 2, 1, 1, 3], 4), Faults { reordered: 1, doubled: 1, ..Faults::default() });
    }

    #[test]
    fn senders_do_not_mix() {
        let mut receipts = Receipts::default();
        for (sender, number) in [(1, 0), (2, 0), (1, 1), (3, 0)] {
            assert!(receipts.received(sender, number));
        }
        let faults = receipts.finish([(1, 2), (2, 2)].into_iter());
        assert_eq!(faults, Faults { lost: 1, strange: 1, ..Faults::default() });
    }

    #[test]
    fn a_number_that_was_never_sent_is_strange() {
        assert_eq!(faults(&[0, 1, 2], 2), Faults { strange: 1, ..Faults::default() });
    }

    #[test]
    fn a_wild_number_costs_no_memory() {
        let far = u64::MAX / 2;
        let mut receipts = Receipts::default();
        receipts.received(1, far);
        assert_eq!(receipts.streams[0].1.missing.len(), MISSING_MAX);
        assert_eq!(receipts.faults.lost, far - MISSING_MAX as u64);
    }
}
