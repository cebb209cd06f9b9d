//! Client connections: one [`io::Io`] each around the transport, one [`Connection`] each as the handle by which the
//! rest of the worker sees and ends it, one [`Connections`] for them all.

mod greet;
mod handle;
mod io;
mod limits;
mod open;
mod peer;
pub(crate) mod proxy;
mod serve;
mod stream;
mod table;

pub(crate) use greet::{Greeter, greet};
pub(crate) use handle::{Connection, Origin, Phase};
pub(crate) use io::{Io, dismantle};
pub(crate) use limits::Limits;
pub(crate) use open::Connections;
pub(crate) use peer::Source;
pub use peer::{Peer, Scheme};
pub(crate) use serve::{Protocol, serve};
pub(crate) use stream::{Socket, Stream};
