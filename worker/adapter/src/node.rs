//! A namespace's local sockets without their type: what the rest of the crate, which knows no `SocketEmitter`, may do
//! with them.

use std::{fmt, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use socketioxide_core::{
    Sid, Value,
    adapter::{BroadcastFlags, BroadcastOptions, CoreLocalAdapter, Room, SocketEmitter, errors::SocketError},
    packet::Packet,
};

use crate::{select, wire::transcode::Dialect};

/// Ids among the rooms of `opts` are resolved in every operation.
pub(crate) trait Node: Send + Sync {
    /// What the namespace's parser keeps in a [`Value`].
    fn dialect(&self) -> Dialect;

    /// Whether a broadcast to `room` would reach anybody.
    fn has_room(&self, room: &str) -> bool;

    /// Sends an event's `[name, …]`.
    fn broadcast(&self, event: Value, opts: BroadcastOptions) -> Result<(), Vec<SocketError>>;

    /// Sends an event to so many sockets, and yields what those answer who do in time.
    fn broadcast_with_ack(
        &self,
        event: Value,
        opts: BroadcastOptions,
        timeout: Option<Duration>,
    ) -> (BoxStream<'static, Value>, u32);

    fn join(&self, opts: BroadcastOptions, rooms: &[Room]);

    fn leave(&self, opts: BroadcastOptions, rooms: &[Room]);

    fn disconnect(&self, opts: BroadcastOptions) -> Result<(), Vec<SocketError>>;

    fn sockets(&self, opts: BroadcastOptions) -> Vec<Sid>;

    fn rooms_of(&self, sid: Sid) -> Vec<Room>;

    /// Every room that has a member.
    fn rooms(&self) -> Vec<Room>;
}

impl<E: SocketEmitter> Node for crate::ClassicAdapter<E> {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn has_room(&self, room: &str) -> bool {
        select::has_room(&self.local, room)
    }

    fn broadcast(&self, event: Value, opts: BroadcastOptions) -> Result<(), Vec<SocketError>> {
        broadcast(&self.local, Packet::event(self.local.path().clone(), event), opts)
    }

    fn broadcast_with_ack(
        &self,
        event: Value,
        opts: BroadcastOptions,
        timeout: Option<Duration>,
    ) -> (BoxStream<'static, Value>, u32) {
        let packet = Packet::event(self.local.path().clone(), event);
        let (streams, counts): (Vec<_>, Vec<_>) = select::targets(&self.local, opts)
            .each(false)
            .map(|opts| self.local.broadcast_with_ack(packet.clone(), opts, timeout))
            .unzip();
        let streams = streams.into_iter().map(Box::pin);
        let acks = futures_util::stream::select_all(streams).filter_map(async |(_, ack)| ack.ok());
        (acks.boxed(), counts.into_iter().sum())
    }

    fn join(&self, opts: BroadcastOptions, rooms: &[Room]) {
        for opts in select::targets(&self.local, opts).each(false) {
            self.local.add_sockets(opts, rooms.to_vec());
        }
    }

    fn leave(&self, opts: BroadcastOptions, rooms: &[Room]) {
        for opts in select::targets(&self.local, opts).each(false) {
            self.local.del_sockets(opts, rooms.to_vec());
        }
    }

    fn disconnect(&self, opts: BroadcastOptions) -> Result<(), Vec<SocketError>> {
        collect(select::targets(&self.local, opts).each(false).map(|opts| self.local.disconnect_socket(opts)))
    }

    fn sockets(&self, opts: BroadcastOptions) -> Vec<Sid> {
        select::sockets(&self.local, opts)
    }

    fn rooms_of(&self, sid: Sid) -> Vec<Room> {
        self.local.socket_rooms(sid).into_iter().collect()
    }

    fn rooms(&self) -> Vec<Room> {
        let mut everybody = BroadcastOptions::default();
        everybody.add_flag(BroadcastFlags::Broadcast);
        self.local.rooms(everybody).into_iter().collect()
    }
}

impl fmt::Debug for dyn Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

/// Delivers a packet to the local sockets that `opts` mean.
pub(crate) fn broadcast<E: SocketEmitter>(
    local: &CoreLocalAdapter<E>,
    packet: Packet,
    opts: BroadcastOptions,
) -> Result<(), Vec<SocketError>> {
    let volatile = opts.has_flag(BroadcastFlags::Volatile);
    match select::targets(local, opts) {
        select::Targets::Options(opts) => local.broadcast(packet, opts),
        targets => collect(targets.each(volatile).map(|opts| local.broadcast(packet.clone(), opts))),
    }
}

fn collect(results: impl Iterator<Item = Result<(), Vec<SocketError>>>) -> Result<(), Vec<SocketError>> {
    let errors: Vec<_> = results.filter_map(Result::err).flatten().collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
