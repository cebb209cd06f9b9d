//! The supervisor's end of the control socket: connections, lines in, lines out. Never blocks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use thiserror::Error;

use super::{Outcome, Request};
use crate::fleet::Moment;
use crate::listen::{remove_unused, unix_socket};

/// Connections at the same time.
const CLIENTS_MAX: usize = 32;
/// Bytes of one request.
const REQUEST_BYTES_MAX: usize = 4096;
/// How long a connection may take to send its request, or to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Another supervisor answers there.
    #[error("another oxherd answers at {}: stop it, or choose another --control", path.display())]
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// Somebody else could replace the socket.
    #[error("{} must be a directory that belongs to this user and that nobody else can write to", path.display())]
    UnsafeDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot make the control socket {}", path.display())]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// The listening socket and its connections.
#[derive(Debug)]
pub(crate) struct ControlServer {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// Given up for a moment when the process has no descriptor left: a connection that cannot be taken would stay
    /// in the queue and wake the loop for ever.
    spare: Option<File>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    state: ClientState,
}

#[derive(Debug)]
enum ClientState {
    /// Its line is not complete.
    Asking { input: Vec<u8>, until: Moment },
    /// Its answer takes as long as it takes.
    Waiting,
    /// Its answer is on the way.
    Hearing { output: Vec<u8>, sent: usize, until: Moment },
}

/// What became of a connection that had something to say.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Nothing yet.
    Nothing,
    /// A whole request.
    Asked(Request),
    /// It is not a request: the sentence to answer with.
    Nonsense(String),
}

impl ControlServer {
    /// Opens the socket, mode 0600, over one that nobody listens on any more.
    pub(crate) fn open(path: PathBuf) -> Result<ControlServer, ControlError> {
        if let Some(directory) = path.parent() {
            private_directory(directory, &path)?;
        }
        let failed = |cause| ControlError::Io { path: path.clone(), cause };
        if !remove_unused(&path).map_err(failed)? {
            return Err(ControlError::InUse { path });
        }
        let listener = unix_socket(&path, 0o600).map_err(failed)?.into();
        let spare = spare();
        Ok(ControlServer { listener, path, clients: BTreeMap::new(), next_client: 0, spare })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The place of something else of this box, in the same private directory. It keeps the socket's whole name: of two
    /// boxes with `ox.1` and `ox.2` each has its own.
    pub(crate) fn beside(&self, what: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".");
        path.push(what);
        path.into()
    }

    /// Takes the next waiting connection of somebody who may administer the box: this user, or root.
    pub(crate) fn accept(&mut self, now: Moment) -> Option<(u64, &UnixStream)> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock && self.spare.take().is_some() {
                    let refused = self.listener.accept().is_ok();
                    tracing::warn!(%error, refused, "control connection refused");
                }
                self.spare = self.spare.take().or_else(spare);
                return None;
            }
        };
        let peer = getsockopt(&stream, PeerCredentials).ok()?;
        let allowed = peer.uid() == geteuid().as_raw() || peer.uid() == 0;
        if !allowed || self.clients.len() >= CLIENTS_MAX || stream.set_nonblocking(true).is_err() {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), allowed, "control connection refused");
            return None;
        }
        let number = self.next_client;
        self.next_client += 1;
        let state = ClientState::Asking { input: Vec::new(), until: now + PATIENCE };
        let client = self.clients.entry(number).or_insert(Client { stream, state });
        Some((number, &client.stream))
    }

    /// Reads what a connection has to say; one that ended is forgotten.
    pub(crate) fn hear(&mut self, number: u64) -> Heard {
        let Some(client) = self.clients.get_mut(&number) else { return Heard::Nothing };
        let mut chunk = [0; 1024];
        let read = match client.stream.read(&mut chunk) {
            Ok(0) => None,
            Ok(read) => Some(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Nothing,
            Err(_) => None,
        };
        let (Some(read), ClientState::Asking { input, .. }) = (read, &mut client.state) else {
            if read.is_none() {
                self.clients.remove(&number);
            }
            return Heard::Nothing; // what follows a request is ignored
        };
        input.extend_from_slice(read);
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return match input.len() > REQUEST_BYTES_MAX {
                true => self.understood(number, Err("the request is too long".to_owned())),
                false => Heard::Nothing,
            };
        };
        let request =
            serde_json::from_slice(&input[..end]).map_err(|error| format!("this is no request: {error}"));
        self.understood(number, request)
    }

    fn understood(&mut self, number: u64, request: Result<Request, String>) -> Heard {
        if let Some(client) = self.clients.get_mut(&number) {
            client.state = ClientState::Waiting;
        }
        request.map_or_else(Heard::Nonsense, Heard::Asked)
    }

    /// Answers a connection and ends it. Its stream is returned while the answer is not all out.
    pub(crate) fn answer(&mut self, now: Moment, number: u64, outcome: &Outcome) -> Option<&UnixStream> {
        let client = self.clients.get_mut(&number)?;
        let mut output = serde_json::to_vec(outcome).unwrap_or_default();
        output.push(b'\n');
        client.state = ClientState::Hearing { output, sent: 0, until: now + PATIENCE };
        self.flush(number)
    }

    /// Goes on with an answer that did not go out at once.
    pub(crate) fn flush(&mut self, number: u64) -> Option<&UnixStream> {
        let client = self.clients.get_mut(&number)?;
        let ClientState::Hearing { output, sent, .. } = &mut client.state else { return None };
        while *sent < output.len() {
            match client.stream.write(&output[*sent..]) {
                Ok(written) if written > 0 => *sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.clients.get(&number).map(|client| &client.stream);
                }
                _ => break, // it does not want its answer
            }
        }
        self.clients.remove(&number);
        None
    }

    /// Forgets connections that take too long.
    pub(crate) fn expire(&mut self, now: Moment) {
        self.clients.retain(|_, client| match client.state {
            ClientState::Asking { until, .. } | ClientState::Hearing { until, .. } => now < until,
            ClientState::Waiting => true,
        });
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // a leftover is no harm: the next supervisor removes it
    }
}

/// A descriptor that is of no other use.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Makes the socket's directory if it is missing, and refuses one where somebody else could put his own socket:
/// one that others may write to, unless it is sticky.
fn private_directory(directory: &Path, path: &Path) -> Result<(), ControlError> {
    let failed = |cause| ControlError::Io { path: path.to_owned(), cause };
    if directory.as_os_str().is_empty() {
        return Ok(()); // the working directory: the operator's choice
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let found = fs::metadata(directory).map_err(failed)?;
    let owned = found.uid() == geteuid().as_raw() || found.uid() == 0;
    let (others_write, sticky) = (found.mode() & 0o022 != 0, found.mode() & 0o1000 != 0);
    match owned && (!others_write || sticky) {
        true => Ok(()),
        false => Err(ControlError::UnsafeDirectory { path: directory.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_whose_control_sockets_differ_in_the_extension_only_share_nothing() {
        let directory = std::env::temp_dir().join(format!("oxherd-control-{}", std::process::id()));
        let both = ["ox.1", "ox.2"].map(|name| ControlServer::open(directory.join(name)).unwrap());
        assert_ne!(both[0].beside("bus"), both[1].beside("bus"));
        drop(both);
        fs::remove_dir(&directory).unwrap();
    }
}
