//! Which local sockets an operation means. socketioxide's own rules, and Node's on top: a socket's id is a room.
//!
//! socketioxide puts no socket into a room of its id, so ids among `rooms` and `except` are resolved here. Most
//! operations name none: they go to the local adapter as they are.

use std::{collections::HashSet, str::FromStr};

use socketioxide_core::{
    Sid,
    adapter::{BroadcastFlags, BroadcastOptions, CoreLocalAdapter, Room, SocketEmitter},
};

/// What is left to do locally.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "the large one is what nearly every operation has")]
pub(crate) enum Targets {
    /// The local adapter understands these as they are.
    Options(BroadcastOptions),
    /// These, one by one.
    Sockets(Vec<Sid>),
}

impl Targets {
    /// One set of options for each call to the local adapter.
    pub(crate) fn each(self, volatile: bool) -> impl Iterator<Item = BroadcastOptions> {
        let (options, sockets) = match self {
            Self::Options(options) => (Some(options), Vec::new()),
            Self::Sockets(sockets) => (None, sockets),
        };
        let one = move |sid| {
            let mut opts = BroadcastOptions::new(sid);
            if volatile {
                opts.add_flag(BroadcastFlags::Volatile);
            }
            opts
        };
        options.into_iter().chain(sockets.into_iter().map(one))
    }
}

/// Resolves ids among rooms and exceptions, and sockets that are not here.
pub(crate) fn targets<E: SocketEmitter>(local: &CoreLocalAdapter<E>, mut opts: BroadcastOptions) -> Targets {
    let broadcast = opts.has_flag(BroadcastFlags::Broadcast);
    if opts.rooms.is_empty() && !broadcast {
        // A single socket, maybe another server's. The local adapter would not look, and keep rooms for a ghost.
        return Targets::Sockets(opts.sid.into_iter().filter(|sid| is_here(local, *sid)).collect());
    }
    let wanted = ids(local, &opts.rooms);
    let unwanted = ids(local, &opts.except);
    match (&wanted[..], &unwanted[..]) {
        ([], []) => Targets::Options(opts),
        // The local adapter can leave out one socket by itself.
        ([], [sid]) if !broadcast || opts.sid.is_none() || opts.sid == Some(*sid) => {
            opts.sid = Some(*sid);
            opts.add_flag(BroadcastFlags::Broadcast);
            Targets::Options(opts)
        }
        _ => {
            let mut sockets: HashSet<Sid> = local.sockets(opts.clone()).into_iter().chain(wanted).collect();
            let mut excepted: HashSet<Sid> = unwanted.into_iter().collect();
            excepted.extend(opts.sid.filter(|_| broadcast));
            if !opts.except.is_empty() {
                excepted.extend(local.sockets(within(opts.except)));
            }
            sockets.retain(|sid| !excepted.contains(sid));
            Targets::Sockets(sockets.into_iter().collect())
        }
    }
}

/// The ids of all sockets that are meant.
pub(crate) fn sockets<E: SocketEmitter>(local: &CoreLocalAdapter<E>, opts: BroadcastOptions) -> Vec<Sid> {
    match targets(local, opts) {
        Targets::Options(opts) => local.sockets(opts),
        Targets::Sockets(sockets) => sockets,
    }
}

/// Whether a broadcast to `room` would reach anybody here.
pub(crate) fn has_room<E: SocketEmitter>(local: &CoreLocalAdapter<E>, room: &str) -> bool {
    let rooms = [Room::Owned(room.to_owned())];
    !local.sockets(within(rooms)).is_empty() || id(local, room).is_some()
}

pub(crate) fn is_here<E: SocketEmitter>(local: &CoreLocalAdapter<E>, sid: Sid) -> bool {
    !local.fetch_sockets(BroadcastOptions::new(sid)).is_empty()
}

fn within(rooms: impl IntoIterator<Item = Room>) -> BroadcastOptions {
    let mut opts = BroadcastOptions::default();
    opts.rooms.extend(rooms);
    opts
}

fn ids<E: SocketEmitter>(local: &CoreLocalAdapter<E>, rooms: &[Room]) -> Vec<Sid> {
    rooms.iter().filter_map(|room| id(local, room)).collect()
}

/// The local socket whose id `room` is. Ids have 16 characters of base64, which few room names have.
fn id<E: SocketEmitter>(local: &CoreLocalAdapter<E>, room: &str) -> Option<Sid> {
    Sid::from_str(room).ok().filter(|sid| is_here(local, *sid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{self, Stub};

    fn three() -> (CoreLocalAdapter<Stub>, [Sid; 3]) {
        let sids = [Sid::new(), Sid::new(), Sid::new()];
        let local = stub::local("/", sids);
        local.add_all(sids[0], "r");
        local.add_all(sids[1], "r");
        (local, sids)
    }

    fn all(rooms: &[&str], except: &[&str]) -> BroadcastOptions {
        let owned =
            |names: &[&str]| names.iter().map(|name| Room::Owned((*name).to_owned())).collect::<Vec<_>>();
        let mut opts = within(owned(rooms));
        opts.except.extend(owned(except));
        opts.add_flag(BroadcastFlags::Broadcast);
        opts
    }

    fn set(sids: impl IntoIterator<Item = Sid>) -> HashSet<Sid> {
        sids.into_iter().collect()
    }

    #[test]
    fn ids_are_rooms_and_exceptions() {
        let (local, sids) = three();
        let [a, b, c] = sids;
        let [ta, tb, tc] = [a.to_string(), b.to_string(), c.to_string()];
        let table = [
            (all(&[], &[]), set(sids)),
            (all(&["r"], &[]), set([a, b])),
            (all(&[&tc], &[]), set([c])),
            (all(&["r", &tc], &[]), set(sids)),
            (all(&["r", &ta], &[]), set([a, b])),
            (all(&["r"], &[&ta]), set([b])),
            (all(&[], &[&ta]), set([b, c])),
            (all(&[], &[&ta, &tb]), set([c])),
            (all(&["r", &tc], &[&ta, "none"]), set([b, c])),
            (all(&[&ta, &tc], &["r"]), set([c])),
            (all(&["AAAAAAAAAAAAAAAA"], &[]), set([])),
        ];
        for (opts, expected) in table {
            assert_eq!(set(sockets(&local, opts.clone())), expected, "{opts:?}");
        }
        assert!(has_room(&local, "r") && has_room(&local, &tc) && !has_room(&local, "none"));
    }

    #[test]
    fn what_names_no_id_goes_to_the_local_adapter_as_it_is() {
        let (local, [a, ..]) = three();
        let opts = all(&["r"], &["x"]);
        assert_eq!(targets(&local, opts.clone()), Targets::Options(opts));
        assert!(matches!(targets(&local, all(&["r"], &[a.as_str()])), Targets::Options(_)));
    }

    #[test]
    fn a_sender_is_left_out_only_of_a_broadcast() {
        let (local, [a, b, c]) = three();
        let mut opts = within([Room::Owned(c.to_string()), "r".into()]);
        opts.sid = Some(a);
        assert_eq!(set(sockets(&local, opts.clone())), set([a, b, c]));
        opts.add_flag(BroadcastFlags::Broadcast);
        assert_eq!(set(sockets(&local, opts.clone())), set([b, c]));
        opts.except.push(Room::Owned(b.to_string()));
        assert_eq!(set(sockets(&local, opts)), set([c]));
    }

    #[test]
    fn a_socket_of_another_server_is_nobody() {
        let (local, _) = three();
        assert_eq!(targets(&local, BroadcastOptions::new(Sid::new())), Targets::Sockets(vec![]));
        assert_eq!(targets(&local, BroadcastOptions::default()), Targets::Sockets(vec![]));
    }
}
