//! One client: a Socket.IO session over WebSocket, over polling, or over polling and then WebSocket. It reacts to bytes;
//! the [`Swarm`](super::Swarm) moves them.
//!
//! ```text
//!   websocket:  101 ── open ── connected ── joined
//!   polling:    open ── connected ── joined                        GETs on the first socket, POSTs on the second
//!   upgrade:    open ── connected ── 101 ── probed ── joined       the second socket becomes the WebSocket
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use thiserror::Error;

use super::frame::{self, FrameError, Opcode};
use super::http::{self, HttpError};
use super::message::Label;
use super::packet::{self, Heard};
use super::socket::Socket;

/// How a client gets its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket from the start.
    WebSocket,
    /// HTTP long-polling for good.
    Polling,
    /// Polling first, as the official client does by default.
    Upgrade,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not there yet.
    Opening,
    /// Connected, and member of its room if it has one.
    Ready,
    /// Its connection ended.
    Gone,
}

/// Which of a client's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The first: WebSocket or polls.
    First,
    /// The second: posts, or the WebSocket of an upgrade.
    Second,
}

/// Why a client gave up.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The server broke WebSocket.
    #[error("the server sent no proper frame")]
    Frame(#[from] FrameError),
    /// The server broke HTTP.
    #[error("the server sent no proper response")]
    Http(#[from] HttpError),
    /// The server refused.
    #[error("the server answered {0}")]
    Status(u16),
    /// The server ended the session.
    #[error("the server ended the session")]
    Ended,
}

/// What a line carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http,
    WebSocket,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    from: Ipv4Addr,
    to: SocketAddr,
    stage: Stage,
    first: Option<Socket>,
    second: Option<Socket>,
    speaks: [Speaks; 2],
    sid: String,
    room: Option<String>,
    worker: Option<u16>,
    /// Packets for the next POST.
    outbox: Vec<u8>,
    /// A POST is under way.
    posting: bool,
    /// The namespace is connected.
    connected: bool,
    /// The second line is new.
    dialed: bool,
}

impl Client {
    /// A client that connects from `from`; `room` is the room that it joins.
    pub fn open(
        transport: Transport,
        from: Ipv4Addr,
        to: SocketAddr,
        room: Option<String>,
    ) -> io::Result<Self> {
        let mut first = Socket::connect(from, to)?;
        first.send(&match transport {
            Transport::WebSocket => http::upgrade(""),
            Transport::Polling | Transport::Upgrade => http::poll(""),
        })?;
        Ok(Client {
            transport,
            from,
            to,
            stage: Stage::Opening,
            first: Some(first),
            second: None,
            speaks: [Speaks::Http; 2],
            sid: String::new(),
            room,
            worker: None,
            outbox: Vec::new(),
            posting: false,
            connected: false,
            dialed: false,
        })
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The worker that holds its session, if the server said.
    pub fn worker(&self) -> Option<u16> {
        self.worker
    }

    /// One of its sockets.
    pub fn socket(&mut self, line: Line) -> Option<&mut Socket> {
        match line {
            Line::First => self.first.as_mut(),
            Line::Second => self.second.as_mut(),
        }
    }

    /// The second line if it is new since the last time: to be registered.
    pub fn take_dialed(&mut self) -> Option<&Socket> {
        if std::mem::take(&mut self.dialed) { self.second.as_ref() } else { None }
    }

    /// Sends one packet.
    pub fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let line = match self.speaks {
            [Speaks::WebSocket, _] => Line::First,
            [_, Speaks::WebSocket] => Line::Second,
            _ => {
                if !self.outbox.is_empty() {
                    self.outbox.push(packet::SEPARATOR);
                }
                self.outbox.extend_from_slice(packet);
                return self.post();
            }
        };
        let mut bytes = Vec::with_capacity(packet.len() + 14);
        frame::put(Opcode::Text, packet, &mut bytes);
        self.write(line, &bytes)
    }

    /// Joins a room; it is ready again when the server says so.
    pub fn join(&mut self, room: &str) -> io::Result<()> {
        self.stage = Stage::Opening;
        self.send(&packet::join(room))
    }

    /// Gives up.
    pub fn close(&mut self) {
        (self.first, self.second, self.stage) = (None, None, Stage::Gone);
    }

    /// A line ended. A server may close the one for posts when it likes.
    pub fn ended(&mut self, line: Line) -> Result<(), ClientError> {
        if line == Line::Second && self.speaks[1] == Speaks::Http && !self.posting {
            self.second = None;
            return Ok(());
        }
        Err(ClientError::Ended)
    }

    /// Bytes came on a line; `hear` gets each numbered message.
    pub fn receive(
        &mut self,
        line: Line,
        bytes: &[u8],
        hear: &mut impl FnMut(Label),
    ) -> Result<(), ClientError> {
        let before = self.socket(line).map(Socket::take_unread).unwrap_or_default();
        if before.is_empty() {
            return self.understand(line, bytes, hear);
        }
        self.understand(line, &[&before, bytes].concat(), hear)
    }

    fn understand(
        &mut self,
        line: Line,
        mut bytes: &[u8],
        hear: &mut impl FnMut(Label),
    ) -> Result<(), ClientError> {
        loop {
            bytes = match self.speaks[line as usize] {
                Speaks::WebSocket => match frame::split(bytes)? {
                    Some((opcode, payload, rest)) => {
                        self.frame(line, opcode, payload, hear)?;
                        rest
                    }
                    None => break,
                },
                Speaks::Http => match http::split(bytes)? {
                    Some((response, rest)) => {
                        self.response(line, &response, hear)?;
                        rest
                    }
                    None => break,
                },
            };
        }
        if let Some(socket) = self.socket(line).filter(|_| !bytes.is_empty()) {
            socket.keep_unread(bytes);
        }
        Ok(())
    }

    fn frame(
        &mut self,
        line: Line,
        opcode: Opcode,
        payload: &[u8],
        hear: &mut impl FnMut(Label),
    ) -> Result<(), ClientError> {
        match opcode {
            Opcode::Text => self.packet(payload, hear),
            Opcode::Binary | Opcode::Pong => Ok(()),
            Opcode::Close => Err(ClientError::Ended),
            Opcode::Ping => {
                let mut pong = Vec::new();
                frame::put(Opcode::Pong, payload, &mut pong);
                Ok(self.write(line, &pong)?)
            }
        }
    }

    fn response(
        &mut self,
        line: Line,
        response: &http::Response<'_>,
        hear: &mut impl FnMut(Label),
    ) -> Result<(), ClientError> {
        match (response.status, line) {
            (101, _) => {
                self.speaks[line as usize] = Speaks::WebSocket;
                if line == Line::Second {
                    self.send(packet::PROBE)?;
                }
            }
            (200, Line::First) => {
                for packet in response.body.split(|byte| *byte == packet::SEPARATOR) {
                    self.packet(packet, hear)?;
                }
                if self.may_upgrade() {
                    return Ok(self.upgrade()?);
                }
                let poll = http::poll(&self.sid);
                self.write(Line::First, &poll)?;
            }
            (200, Line::Second) => {
                self.posting = false;
                if self.may_upgrade() {
                    return Ok(self.upgrade()?);
                }
                self.post()?;
            }
            (status, _) => return Err(ClientError::Status(status)),
        }
        Ok(())
    }

    fn packet(&mut self, packet: &[u8], hear: &mut impl FnMut(Label)) -> Result<(), ClientError> {
        match packet::hear(packet) {
            Heard::Message(label) => hear(label),
            Heard::Ping => self.send(packet::PONG)?,
            Heard::Open(sid) => {
                sid.clone_into(&mut self.sid);
                self.send(packet::CONNECT)?;
            }
            Heard::Connected => {
                self.connected = true;
                if self.transport != Transport::Upgrade {
                    self.settle()?;
                }
            }
            Heard::Probed => {
                self.send(packet::UPGRADE)?;
                self.first = None;
                self.settle()?;
            }
            Heard::Welcome(worker) => self.worker = Some(worker),
            Heard::Joined => self.stage = Stage::Ready,
            Heard::End => return Err(ClientError::Ended),
            Heard::Other => {}
        }
        Ok(())
    }

    /// The next step is the upgrade; no further poll is sent then.
    fn may_upgrade(&self) -> bool {
        self.connected && self.transport == Transport::Upgrade
    }

    /// Begins the upgrade unless a POST is under way still.
    fn upgrade(&mut self) -> io::Result<()> {
        if self.posting { Ok(()) } else { self.dial(&http::upgrade(&self.sid)) }
    }

    /// The transport is what it will be: joins the room.
    fn settle(&mut self) -> io::Result<()> {
        match &self.room {
            Some(room) => self.send(&packet::join(&room.clone())),
            None => {
                self.stage = Stage::Ready;
                Ok(())
            }
        }
    }

    fn post(&mut self) -> io::Result<()> {
        if self.posting || self.outbox.is_empty() {
            return Ok(());
        }
        self.posting = true;
        let request = http::post(&self.sid, &std::mem::take(&mut self.outbox));
        match &mut self.second {
            Some(socket) => socket.send(&request),
            None => self.dial(&request),
        }
    }

    /// Opens the second line anew, and says this on it.
    fn dial(&mut self, request: &[u8]) -> io::Result<()> {
        let mut socket = Socket::connect(self.from, self.to)?;
        socket.send(request)?;
        self.second = Some(socket);
        self.dialed = true;
        Ok(())
    }

    fn write(&mut self, line: Line, bytes: &[u8]) -> io::Result<()> {
        match self.socket(line) {
            Some(socket) => socket.send(bytes),
            None => Ok(()),
        }
    }
}
