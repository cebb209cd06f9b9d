//! The other boxes, as far as their announcements tell. Pure, and without a clock: time is counted in the words of our
//! own box.
//!
//! Our own announcements come back by the same way. A box is gone when our own box was heard some times since its last
//! word: so nobody is gone because Redis is, or because nobody here listens.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use oxherd_contract::ids::BoxId;

use super::announcement::{Announcement, Word};

/// Boxes of a cluster at most, this one not counted.
const BOXES_MAX: usize = 256;

/// Boxes that are gone and still known, so that an old message of theirs is known to be old.
const GONE_MAX: usize = 1024;

/// Words of our own box, one a second, without one of another until that is gone.
const SILENCES_MAX: u8 = 3;

/// All boxes that were ever heard, up to a limit.
#[derive(Debug)]
pub(super) struct Known {
    me: BoxId,
    living: HashMap<BoxId, Living>,
    gone: HashMap<BoxId, u64>,
    /// In the order in which they went.
    graves: VecDeque<BoxId>,
    /// The highest sequence of our own box: an old message of it must not make others look silent.
    own_sequence: u64,
}

#[derive(Debug)]
struct Living {
    sequence: u64,
    address: Option<SocketAddr>,
    /// Since its last word.
    silences: u8,
    /// A connection to it failed since its last word.
    fails: bool,
}

/// What a message told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing new.
    None,
    /// A box that was not there, or is at another address.
    Came(BoxId, Option<SocketAddr>),
    /// It said goodbye.
    Left(BoxId),
    /// Our own box lives; these others do not.
    Silent(Silent),
    /// Somebody wants to know who is there.
    Asked,
    /// A message that is older than one that was heard before.
    Replayed,
    /// One box more than there may be.
    TooMany,
}

/// How many fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silent(pub usize);

/// What is known of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    At(SocketAddr),
    /// It is gone, or cannot be reached.
    Nowhere,
    /// It was never heard.
    Unheard,
}

impl Known {
    pub fn new(me: BoxId) -> Self {
        Known { me, living: HashMap::new(), gone: HashMap::new(), graves: VecDeque::new(), own_sequence: 0 }
    }

    pub fn hear(&mut self, announcement: Announcement) -> News {
        let Announcement { box_id, sequence, word } = announcement;
        match word {
            Word::Who => News::Asked, // any worker asks, so their order means nothing
            _ if box_id == self.me => self.hear_own(sequence),
            _ if self.is_old(box_id, sequence) => News::Replayed,
            Word::Here(address) => self.hear_living(box_id, sequence, address),
            Word::Gone if self.living.remove(&box_id).is_some() => {
                self.bury(box_id, sequence);
                News::Left(box_id)
            }
            Word::Gone => {
                self.bury(box_id, sequence);
                News::None
            }
        }
    }

    /// Where a box is.
    pub fn whereabouts(&self, box_id: BoxId) -> Whereabouts {
        match self.living.get(&box_id) {
            Some(Living { address: Some(address), fails: false, .. }) => Whereabouts::At(*address),
            Some(_) => Whereabouts::Nowhere,
            None if self.gone.contains_key(&box_id) => Whereabouts::Nowhere,
            None => Whereabouts::Unheard,
        }
    }

    /// A connection to it failed: it is nowhere until it says something.
    pub fn fails(&mut self, box_id: BoxId) {
        if let Some(living) = self.living.get_mut(&box_id) {
            living.fails = true;
        }
    }

    /// It was waited for and did not say a word: if it ever lived, it is gone.
    pub fn give_up(&mut self, box_id: BoxId) {
        if self.whereabouts(box_id) == Whereabouts::Unheard {
            self.bury(box_id, 0);
        }
    }

    /// How many others live.
    pub fn len(&self) -> usize {
        self.living.len()
    }

    fn is_old(&self, box_id: BoxId, sequence: u64) -> bool {
        let last = self.living.get(&box_id).map(|living| living.sequence);
        last.or_else(|| self.gone.get(&box_id).copied()).is_some_and(|last| sequence <= last)
    }

    fn hear_own(&mut self, sequence: u64) -> News {
        if sequence <= self.own_sequence {
            return News::Replayed;
        }
        self.own_sequence = sequence;
        self.living.values_mut().for_each(|living| living.silences += 1);
        let silent = |(box_id, living): (&BoxId, &Living)| {
            (living.silences > SILENCES_MAX).then_some((*box_id, living.sequence))
        };
        let silent: Vec<_> = self.living.iter().filter_map(silent).collect();
        for (box_id, sequence) in &silent {
            self.living.remove(box_id);
            self.bury(*box_id, *sequence);
        }
        if silent.is_empty() { News::None } else { News::Silent(Silent(silent.len())) }
    }

    fn hear_living(&mut self, box_id: BoxId, sequence: u64, address: Option<SocketAddr>) -> News {
        let known = self.living.get(&box_id).map(|living| living.address);
        if known.is_none() && self.living.len() >= BOXES_MAX {
            return News::TooMany;
        }
        self.gone.remove(&box_id);
        self.living.insert(box_id, Living { sequence, address, silences: 0, fails: false });
        if known == Some(address) { News::None } else { News::Came(box_id, address) }
    }

    fn bury(&mut self, box_id: BoxId, sequence: u64) {
        if self.gone.insert(box_id, sequence).is_none() {
            self.graves.push_back(box_id);
        }
        if self.graves.len() > GONE_MAX
            && let Some(oldest) = self.graves.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: BoxId = BoxId(1);
    const OTHER: BoxId = BoxId(2);

    fn at(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    fn here(box_id: BoxId, sequence: u64) -> Announcement {
        Announcement { box_id, sequence, word: Word::Here(Some(at(7000))) }
    }

    fn gone(box_id: BoxId, sequence: u64) -> Announcement {
        Announcement { box_id, sequence, word: Word::Gone }
    }

    /// Who has heard the other box once.
    fn known() -> Known {
        let mut known = Known::new(ME);
        assert_eq!(known.whereabouts(OTHER), Whereabouts::Unheard);
        assert_eq!(known.hear(here(OTHER, 10)), News::Came(OTHER, Some(at(7000))));
        assert_eq!(known.whereabouts(OTHER), Whereabouts::At(at(7000)));
        known
    }

    #[test]
    fn a_box_is_gone_when_only_our_own_is_heard_for_a_while() {
        let mut known = known();
        for own in 1..=3 {
            assert_eq!(known.hear(here(ME, own)), News::None);
        }
        assert_eq!(known.hear(here(OTHER, 11)), News::None, "just in time");
        for own in 4..=6 {
            assert_eq!(known.hear(here(ME, own)), News::None);
        }
        assert_eq!(known.hear(here(ME, 6)), News::Replayed, "which is no time");
        assert_eq!(known.hear(here(ME, 7)), News::Silent(Silent(1)));
        assert_eq!((known.whereabouts(OTHER), known.len()), (Whereabouts::Nowhere, 0));
    }

    #[test]
    fn a_goodbye_counts_at_once_and_no_old_word_brings_a_box_back() {
        let mut known = known();
        assert_eq!(known.hear(gone(OTHER, 12)), News::Left(OTHER));
        assert_eq!(known.whereabouts(OTHER), Whereabouts::Nowhere);
        for old in [here(OTHER, 10), here(OTHER, 12), gone(OTHER, 12)] {
            assert_eq!(known.hear(old), News::Replayed, "{old:?}");
        }
        assert_eq!(known.hear(here(OTHER, 13)), News::Came(OTHER, Some(at(7000))));
    }

    #[test]
    fn a_box_that_cannot_be_connected_is_nowhere_until_its_next_word() {
        let mut known = known();
        known.fails(OTHER);
        known.fails(BoxId(9));
        assert_eq!(known.whereabouts(OTHER), Whereabouts::Nowhere);
        assert_eq!(known.hear(here(OTHER, 11)), News::None);
        assert_eq!(known.whereabouts(OTHER), Whereabouts::At(at(7000)));
        let moved = Announcement { word: Word::Here(Some(at(8000))), ..here(OTHER, 12) };
        assert_eq!(known.hear(moved), News::Came(OTHER, Some(at(8000))));
        let hidden = Announcement { word: Word::Here(None), ..here(OTHER, 13) };
        assert_eq!(known.hear(hidden), News::Came(OTHER, None));
        assert_eq!(known.whereabouts(OTHER), Whereabouts::Nowhere);
    }

    #[test]
    fn who_was_waited_for_in_vain_is_not_waited_for_again_but_may_come() {
        let mut known = Known::new(ME);
        known.give_up(OTHER);
        assert_eq!(known.whereabouts(OTHER), Whereabouts::Nowhere);
        assert_eq!(known.hear(here(OTHER, 1)), News::Came(OTHER, Some(at(7000))));
        known.give_up(OTHER);
        assert_eq!(known.whereabouts(OTHER), Whereabouts::At(at(7000)), "it came meanwhile");
    }

    #[test]
    fn neither_the_living_nor_the_dead_grow_without_limit() {
        let mut known = Known::new(ME);
        let strangers = || (2..).map(BoxId);
        for box_id in strangers().take(BOXES_MAX) {
            assert!(matches!(known.hear(here(box_id, 1)), News::Came(..)));
        }
        assert_eq!(known.hear(here(BoxId(9_999), 1)), News::TooMany);
        assert_eq!(known.hear(here(BoxId(2), 2)), News::None, "who is known stays");
        for box_id in strangers().take(3 * GONE_MAX) {
            known.hear(gone(box_id, 5));
        }
        assert_eq!(known.len(), 0);
        assert_eq!((known.gone.len(), known.graves.len()), (GONE_MAX, GONE_MAX));
        for box_id in strangers().take(10) {
            known.hear(here(box_id, 6));
            known.hear(gone(box_id, 7));
        }
        assert!(known.gone.len() <= GONE_MAX && known.graves.len() <= GONE_MAX);
    }

    #[test]
    fn a_question_is_answered_whoever_asks() {
        let mut known = known();
        let ask = |box_id| Announcement { box_id, sequence: 0, word: Word::Who };
        assert_eq!([known.hear(ask(OTHER)), known.hear(ask(ME))], [News::Asked; 2]);
    }
}
