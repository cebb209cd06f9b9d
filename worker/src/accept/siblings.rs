//! The two sockets by which the siblings reach this worker: one takes connections over, one serves forwarded requests.

use std::io;

use oxherd_contract::siblings::http_socket;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::time::sleep;

use super::{Door, SHORTAGE_PAUSE};
use crate::route::handoff::{listen, take_over};
use crate::route::is_of_this_user;

/// Why the siblings cannot reach this worker.
#[derive(Debug, Error)]
pub(crate) enum SiblingsError {
    #[error("cannot make the socket on which siblings hand connections over")]
    Handoff(#[source] io::Error),
    #[error("cannot make the socket on which siblings forward requests")]
    Http(#[source] io::Error),
}

/// Makes both sockets and serves on them for the life of the process, through drains too: sessions that are still here
/// must be reached.
pub(crate) fn open_to_siblings(door: &Door) -> Result<(), SiblingsError> {
    let (directory, me) = (door.routing.directory(), door.routing.worker());
    let handoffs = listen(directory, me).map_err(SiblingsError::Handoff)?;
    let http = UnixListener::bind(http_socket(directory, me)).map_err(SiblingsError::Http)?;
    let taking = door.clone();
    tokio::spawn(take_over(handoffs, move |handoff, connection| taking.take_over(handoff, connection)));
    tokio::spawn(admit(http, door.clone()));
    Ok(())
}

async fn admit(listener: UnixListener, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, _unnamed)) if is_of_this_user(&stream) => door.admit_sibling(stream),
            Ok(_stranger) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a sibling");
                sleep(SHORTAGE_PAUSE).await;
            }
        }
    }
}
