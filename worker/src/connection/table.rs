//! Which connections there are, and which of them goes when one too many comes: one to an owner that carries nothing,
//! else the oldest half-open one. Pure: it ends nobody itself.

use std::collections::{BTreeMap, BTreeSet};

use super::handle::ConnectionId;
use super::limits::Limits;

/// All connections of a worker, with the half-open ones in order of age.
#[derive(Debug)]
pub(crate) struct Table<C> {
    limits: Limits,
    all: BTreeMap<ConnectionId, C>,
    half_open: BTreeSet<ConnectionId>,
    /// To owners, and idle.
    spare: BTreeSet<ConnectionId>,
    /// Rooms of connections that are being made.
    reserved: usize,
    /// Those of `all` that were told to go and are not gone yet.
    leaving: BTreeSet<ConnectionId>,
}

/// What to do with a connection that has just come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission<C> {
    /// There is room.
    Welcome,
    /// It takes the place of this one, which must be ended.
    InPlaceOf(C),
    /// All are served and none may be ended for it.
    Refused,
}

impl<C: Clone> Table<C> {
    pub fn new(limits: Limits) -> Self {
        Table {
            limits,
            all: BTreeMap::new(),
            half_open: BTreeSet::new(),
            spare: BTreeSet::new(),
            reserved: 0,
            leaving: BTreeSet::new(),
        }
    }

    /// Decides on one more connection; unless refused, [`Table::insert`] must follow.
    pub fn admit(&mut self) -> Admission<C> {
        let evicted = if self.is_full() {
            self.evict()
        } else if self.half_open.len() >= self.limits.half_open_max {
            self.evict_half_open()
        } else {
            return Admission::Welcome;
        };
        evicted.map_or(Admission::Refused, Admission::InPlaceOf)
    }

    /// Decides on a connection that is to be made; unless refused, it has its room until [`Table::release`].
    pub fn reserve(&mut self) -> Admission<C> {
        let admission = if self.is_full() {
            self.evict().map_or(Admission::Refused, Admission::InPlaceOf)
        } else {
            Admission::Welcome
        };
        self.reserved += usize::from(!matches!(admission, Admission::Refused));
        admission
    }

    /// Gives reserved room back.
    pub fn release(&mut self) {
        self.reserved -= 1;
    }

    /// Takes the connection that is missed least, which must be ended.
    pub fn evict(&mut self) -> Option<C> {
        match self.spare.pop_first() {
            Some(oldest) => self.leave(oldest),
            None => self.evict_half_open(),
        }
    }

    fn evict_half_open(&mut self) -> Option<C> {
        let oldest = self.half_open.pop_first()?;
        self.leave(oldest)
    }

    fn leave(&mut self, id: ConnectionId) -> Option<C> {
        self.leaving.insert(id);
        self.all.get(&id).cloned()
    }

    fn is_full(&self) -> bool {
        self.all.len() + self.reserved - self.leaving.len() >= self.limits.connections_max
    }

    /// It carries nothing, and may go for another.
    pub fn spare(&mut self, id: ConnectionId) {
        if self.all.contains_key(&id) && !self.leaving.contains(&id) {
            self.spare.insert(id);
        }
    }

    /// It is to carry something again; false if it went meanwhile.
    pub fn take(&mut self, id: ConnectionId) -> bool {
        self.spare.remove(&id);
        self.all.contains_key(&id) && !self.leaving.contains(&id)
    }

    /// A new connection, half-open.
    pub fn insert(&mut self, id: ConnectionId, connection: C) {
        self.all.insert(id, connection);
        self.half_open.insert(id);
    }

    /// It delivered its first request head.
    pub fn head_arrived(&mut self, id: ConnectionId) {
        self.half_open.remove(&id);
    }

    /// It is gone.
    pub fn remove(&mut self, id: ConnectionId) {
        self.all.remove(&id);
        self.half_open.remove(&id);
        self.spare.remove(&id);
        self.leaving.remove(&id);
    }

    pub fn iter(&self) -> impl Iterator<Item = &C> {
        self.all.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(connections_max: usize, half_open_max: usize) -> Table<u64> {
        Table::new(Limits { connections_max, half_open_max })
    }

    fn arrive(table: &mut Table<u64>, id: u64) -> Admission<u64> {
        let admission = table.admit();
        if admission != Admission::Refused {
            table.insert(ConnectionId(id), id);
        }
        admission
    }

    #[test]
    fn the_oldest_half_open_connection_goes_first() {
        let mut table = table(10, 2);
        assert_eq!(arrive(&mut table, 1), Admission::Welcome);
        assert_eq!(arrive(&mut table, 2), Admission::Welcome);
        assert_eq!(arrive(&mut table, 3), Admission::InPlaceOf(1));
        table.head_arrived(ConnectionId(2));
        assert_eq!(arrive(&mut table, 4), Admission::Welcome);
        assert_eq!(arrive(&mut table, 5), Admission::InPlaceOf(3));
    }

    #[test]
    fn nobody_who_is_served_goes_for_a_newcomer() {
        let mut table = table(2, 2);
        for id in 1..=2 {
            arrive(&mut table, id);
            table.head_arrived(ConnectionId(id));
        }
        assert_eq!(arrive(&mut table, 3), Admission::Refused);
        table.remove(ConnectionId(1));
        assert_eq!(arrive(&mut table, 4), Admission::Welcome);
        assert_eq!(arrive(&mut table, 5), Admission::InPlaceOf(4));
    }

    #[test]
    fn an_idle_one_to_an_owner_goes_for_another_unless_it_is_taken_first() {
        let mut table = table(2, 2);
        for id in [1, 2] {
            arrive(&mut table, id);
            table.head_arrived(ConnectionId(id));
        }
        assert_eq!(table.reserve(), Admission::Refused);
        table.spare(ConnectionId(1));
        table.spare(ConnectionId(2));
        assert!(table.take(ConnectionId(1)));
        assert_eq!(table.reserve(), Admission::InPlaceOf(2));
        assert_eq!(arrive(&mut table, 3), Admission::Refused, "the room is reserved");
        table.release();
        assert_eq!(arrive(&mut table, 3), Admission::Welcome);
        assert!(!table.take(ConnectionId(2)), "it has gone");
        table.spare(ConnectionId(2));
        table.head_arrived(ConnectionId(3));
        assert_eq!(arrive(&mut table, 4), Admission::Refused);
    }

    #[test]
    fn one_that_was_told_to_go_is_not_told_again_and_takes_no_room() {
        let mut table = table(1, 5);
        arrive(&mut table, 1);
        assert_eq!(arrive(&mut table, 2), Admission::InPlaceOf(1));
        assert_eq!(arrive(&mut table, 3), Admission::InPlaceOf(2));
        table.remove(ConnectionId(1));
        table.remove(ConnectionId(2));
        assert_eq!(table.iter().collect::<Vec<_>>(), [&3]);
        assert_eq!(table.evict(), Some(3));
        assert_eq!(table.evict(), None);
        table.remove(ConnectionId(3));
        assert_eq!(table.iter().count(), 0);
    }
}
