//! The other boxes, as far as their announcements tell. Pure: time is counted in the words of our own box, but for how
//! long a connection that failed counts.
//!
//! Our own announcements come back by the same way. A box is silent when our own box was heard some times since its last
//! word: so nobody is silent because Redis is away, or because nobody here listens. It may be alive all the same, without
//! its way to Redis: it is gone only if it said so, or if nobody is at its address any more.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use oxherd_contract::ids::BoxId;

use super::announcement::{Announcement, Word};

/// Boxes of a cluster at most, this one not counted.
const BOXES_MAX: usize = 256;

/// Boxes that say nothing any more and are still known, so that an old message of theirs is known to be old.
const QUIET_MAX: usize = 1024;

/// Words of our own box, one a second, without one of another until that is silent.
const SILENCES_MAX: u8 = 3;

/// For so long a box is not tried again to which a connection failed.
const FAILURE_COUNTS: Duration = Duration::from_secs(1);

/// All boxes that were ever heard, up to a limit.
#[derive(Debug)]
pub(super) struct Known {
    me: BoxId,
    talking: HashMap<BoxId, Talking>,
    /// With the last sequence; without a place if it is gone.
    quiet: HashMap<BoxId, (u64, Option<Place>)>,
    /// In the order in which they fell silent.
    quiet_since: VecDeque<BoxId>,
    /// The highest sequence of our own box: an old message of it must not make others look silent.
    own_sequence: u64,
}

#[derive(Debug)]
struct Talking {
    sequence: u64,
    place: Place,
    /// Since its last word.
    silences: u8,
}

/// Where a box says it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    address: Option<SocketAddr>,
    /// How the last connection failed, and when.
    failure: Option<(Whereabouts, Instant)>,
}

impl Place {
    fn whereabouts(&self, now: Instant) -> Whereabouts {
        let fresh =
            |(_, when): &(Whereabouts, Instant)| now.saturating_duration_since(*when) < FAILURE_COUNTS;
        let failure = self.failure.filter(fresh).map(|(whereabouts, _)| whereabouts);
        failure.unwrap_or_else(|| self.address.map_or(Whereabouts::Unreachable, Whereabouts::At))
    }
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
    /// It may be alive, and cannot be reached.
    Unreachable,
    /// With all its sessions.
    Gone,
    /// It was never heard.
    Unheard,
}

impl Known {
    pub fn new(me: BoxId) -> Self {
        let quiet_since = VecDeque::new();
        Known { me, talking: HashMap::new(), quiet: HashMap::new(), quiet_since, own_sequence: 0 }
    }

    pub fn hear(&mut self, announcement: Announcement) -> News {
        let Announcement { box_id, sequence, word } = announcement;
        match word {
            Word::Who => News::Asked, // any worker asks, so their order means nothing
            _ if box_id == self.me => self.hear_own(sequence),
            _ if self.is_old(box_id, sequence) => News::Replayed,
            Word::Here(address) => self.hear_talking(box_id, sequence, address),
            Word::Gone => {
                let was_there = self.talking.remove(&box_id).is_some();
                self.falls_silent(box_id, sequence, None);
                if was_there { News::Left(box_id) } else { News::None }
            }
        }
    }

    /// Where a box is.
    pub fn whereabouts(&self, box_id: BoxId, now: Instant) -> Whereabouts {
        match (self.talking.get(&box_id), self.quiet.get(&box_id)) {
            (Some(Talking { place, .. }), _) | (None, Some((_, Some(place)))) => place.whereabouts(now),
            (None, Some((_, None))) => Whereabouts::Gone,
            (None, None) => Whereabouts::Unheard,
        }
    }

    /// A connection to it failed, by which it is `Unreachable` or `Gone` for a while, or until it says something.
    pub fn fails(&mut self, box_id: BoxId, address: SocketAddr, whereabouts: Whereabouts, now: Instant) {
        let talking = self.talking.get_mut(&box_id).map(|talking| &mut talking.place);
        let place = talking.or_else(|| self.quiet.get_mut(&box_id).and_then(|(_, place)| place.as_mut()));
        if let Some(place) = place.filter(|place| place.address == Some(address)) {
            place.failure = Some((whereabouts, now));
        }
    }

    /// It was waited for and did not say a word: if it ever lived, it is gone.
    pub fn give_up(&mut self, box_id: BoxId) {
        if !self.talking.contains_key(&box_id) && !self.quiet.contains_key(&box_id) {
            self.falls_silent(box_id, 0, None);
        }
    }

    /// How many others talk.
    pub fn len(&self) -> usize {
        self.talking.len()
    }

    fn is_old(&self, box_id: BoxId, sequence: u64) -> bool {
        let last = self.talking.get(&box_id).map(|talking| talking.sequence);
        last.or_else(|| self.quiet.get(&box_id).map(|(last, _)| *last)).is_some_and(|last| sequence <= last)
    }

    fn hear_own(&mut self, sequence: u64) -> News {
        if sequence <= self.own_sequence {
            return News::Replayed;
        }
        self.own_sequence = sequence;
        self.talking.values_mut().for_each(|talking| talking.silences += 1);
        let silent: Vec<_> = self.talking.extract_if(|_, talking| talking.silences > SILENCES_MAX).collect();
        for (box_id, talking) in &silent {
            self.falls_silent(*box_id, talking.sequence, Some(talking.place));
        }
        if silent.is_empty() { News::None } else { News::Silent(Silent(silent.len())) }
    }

    fn hear_talking(&mut self, box_id: BoxId, sequence: u64, address: Option<SocketAddr>) -> News {
        let known = self.talking.get(&box_id).map(|talking| talking.place.address);
        if known.is_none() && self.talking.len() >= BOXES_MAX {
            return News::TooMany;
        }
        if self.quiet.remove(&box_id).is_some() {
            self.quiet_since.retain(|quiet| *quiet != box_id);
        }
        let place = Place { address, failure: None };
        self.talking.insert(box_id, Talking { sequence, place, silences: 0 });
        if known == Some(address) {
            return News::None;
        }
        self.takes_the_place_of_others(box_id, address);
        News::Came(box_id, address)
    }

    /// Who was at this address before is gone: a box that starts again has a new id.
    fn takes_the_place_of_others(&mut self, box_id: BoxId, address: Option<SocketAddr>) {
        let was_here = |place: &Place| address.is_some() && place.address == address;
        let gone: Vec<_> = self
            .talking
            .extract_if(|other, talking| *other != box_id && was_here(&talking.place))
            .map(|(other, talking)| (other, talking.sequence))
            .collect();
        gone.into_iter().for_each(|(other, sequence)| self.falls_silent(other, sequence, None));
        self.quiet.values_mut().for_each(|(_, place)| *place = place.filter(|place| !was_here(place)));
    }

    fn falls_silent(&mut self, box_id: BoxId, sequence: u64, place: Option<Place>) {
        if self.quiet.insert(box_id, (sequence, place)).is_none() {
            self.quiet_since.push_back(box_id);
        }
        if self.quiet_since.len() > QUIET_MAX
            && let Some(oldest) = self.quiet_since.pop_front()
        {
            self.quiet.remove(&oldest);
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

    fn hidden(box_id: BoxId, sequence: u64) -> Announcement {
        Announcement { word: Word::Here(None), ..here(box_id, sequence) }
    }

    fn gone(box_id: BoxId, sequence: u64) -> Announcement {
        Announcement { box_id, sequence, word: Word::Gone }
    }

    /// Who has heard the other box once.
    fn known() -> Known {
        let mut known = Known::new(ME);
        assert_eq!(known.whereabouts(OTHER, Instant::now()), Whereabouts::Unheard);
        assert_eq!(known.hear(here(OTHER, 10)), News::Came(OTHER, Some(at(7000))));
        assert_eq!(known.whereabouts(OTHER, Instant::now()), Whereabouts::At(at(7000)));
        known
    }

    #[test]
    fn a_box_is_silent_when_only_our_own_is_heard_for_a_while_and_still_at_its_address() {
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
        assert_eq!((known.whereabouts(OTHER, Instant::now()), known.len()), (Whereabouts::At(at(7000)), 0));
        known.fails(OTHER, at(7000), Whereabouts::Unreachable, Instant::now());
        assert_eq!(known.whereabouts(OTHER, Instant::now()), Whereabouts::Unreachable);
        assert_eq!(known.hear(here(OTHER, 12)), News::Came(OTHER, Some(at(7000))));
        assert_eq!((known.whereabouts(OTHER, Instant::now()), known.len()), (Whereabouts::At(at(7000)), 1));
    }

    #[test]
    fn a_goodbye_counts_at_once_and_no_old_word_brings_a_box_back() {
        let mut known = known();
        assert_eq!(known.hear(gone(OTHER, 12)), News::Left(OTHER));
        assert_eq!(known.whereabouts(OTHER, Instant::now()), Whereabouts::Gone);
        for old in [here(OTHER, 10), here(OTHER, 12), gone(OTHER, 12)] {
            assert_eq!(known.hear(old), News::Replayed, "{old:?}");
        }
        assert_eq!(known.hear(here(OTHER, 13)), News::Came(OTHER, Some(at(7000))));
    }

    #[test]
    fn a_box_that_cannot_be_connected_is_not_tried_again_for_a_while_or_until_its_next_word() {
        let mut known = known();
        let now = Instant::now();
        for (sequence, failure) in [(11, Whereabouts::Unreachable), (12, Whereabouts::Gone)] {
            known.fails(OTHER, at(6999), failure, now);
            known.fails(BoxId(9), at(7000), failure, now);
            assert_eq!(known.whereabouts(OTHER, now), Whereabouts::At(at(7000)), "that was another place");
            known.fails(OTHER, at(7000), failure, now);
            assert_eq!(known.whereabouts(OTHER, now), failure);
            assert_eq!(known.whereabouts(OTHER, now + FAILURE_COUNTS), Whereabouts::At(at(7000)));
            assert_eq!(known.hear(here(OTHER, sequence)), News::None);
            assert_eq!(known.whereabouts(OTHER, now), Whereabouts::At(at(7000)));
        }
        let moved = Announcement { word: Word::Here(Some(at(8000))), ..here(OTHER, 13) };
        assert_eq!(known.hear(moved), News::Came(OTHER, Some(at(8000))));
        assert_eq!(known.hear(hidden(OTHER, 14)), News::Came(OTHER, None));
        assert_eq!(known.whereabouts(OTHER, Instant::now()), Whereabouts::Unreachable);
    }

    #[test]
    fn who_was_waited_for_in_vain_is_not_waited_for_again_but_may_come() {
        let mut known = Known::new(ME);
        known.give_up(OTHER);
        assert_eq!(known.whereabouts(OTHER, Instant::now()), Whereabouts::Gone);
        assert_eq!(known.hear(here(OTHER, 1)), News::Came(OTHER, Some(at(7000))));
        known.give_up(OTHER);
        assert_eq!(known.whereabouts(OTHER, Instant::now()), Whereabouts::At(at(7000)), "it came meanwhile");
    }

    #[test]
    fn a_box_that_starts_again_at_the_same_address_takes_the_place_of_what_it_was() {
        for was_silent in [false, true] {
            let mut known = known();
            for own in (1..=4).filter(|_| was_silent) {
                known.hear(here(ME, own));
            }
            assert_eq!(known.len(), usize::from(!was_silent));
            assert_eq!(known.hear(here(BoxId(3), 1)), News::Came(BoxId(3), Some(at(7000))));
            assert_eq!((known.whereabouts(OTHER, Instant::now()), known.len()), (Whereabouts::Gone, 1));
            assert_eq!(known.hear(here(OTHER, 10)), News::Replayed);
        }
    }

    #[test]
    fn a_box_that_comes_and_goes_is_not_forgotten() {
        let mut known = known();
        let mut own = 0;
        for round in 0..=QUIET_MAX as u64 {
            for _ in 0..4 {
                own += 1;
                known.hear(here(ME, own));
            }
            assert_eq!(known.whereabouts(OTHER, Instant::now()), Whereabouts::At(at(7000)), "{round}");
            assert_eq!((known.len(), known.quiet_since.len()), (0, 1));
            known.hear(here(OTHER, 11 + round));
        }
    }

    #[test]
    fn neither_who_talks_nor_who_is_quiet_grows_without_limit() {
        let mut known = Known::new(ME);
        let strangers = || (2..).map(BoxId);
        for box_id in strangers().take(BOXES_MAX) {
            assert!(matches!(known.hear(hidden(box_id, 1)), News::Came(..)));
        }
        assert_eq!(known.hear(hidden(BoxId(9_999), 1)), News::TooMany);
        assert_eq!(known.hear(hidden(BoxId(2), 2)), News::None, "who is known stays");
        for box_id in strangers().take(3 * QUIET_MAX) {
            known.hear(gone(box_id, 5));
        }
        assert_eq!(known.len(), 0);
        assert_eq!((known.quiet.len(), known.quiet_since.len()), (QUIET_MAX, QUIET_MAX));
        for box_id in strangers().take(10) {
            known.hear(hidden(box_id, 6));
            known.hear(gone(box_id, 7));
        }
        assert!(known.quiet.len() <= QUIET_MAX && known.quiet_since.len() <= QUIET_MAX);
    }

    #[test]
    fn a_question_is_answered_whoever_asks() {
        let mut known = known();
        let ask = |box_id| Announcement { box_id, sequence: 0, word: Word::Who };
        assert_eq!([known.hear(ask(OTHER)), known.hear(ask(ME))], [News::Asked; 2]);
    }
}
