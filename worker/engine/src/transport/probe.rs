//! A WebSocket that wants to take a polling session over: `2probe`, `3probe`, `5`.
//!
//! The session's queue is still polling's, so the few bytes to say here have a buffer of their own.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::io::Writer;
use crate::{
    control::{CloseCode, Conduct},
    proto::{
        frame::{self, Opcode},
        message::Event,
    },
    session::{Manner, ProbeClaim},
    socket::DisconnectReason,
};

/// Bytes that may wait here: `3probe`, a close frame and some pongs.
const OUT_MAX: usize = 1024;

/// See the module.
pub(super) struct Probe {
    writer: Writer,
    claim: ProbeClaim,
    deadline: Pin<Box<Sleep>>,
    out: Vec<u8>,
    probed: bool,
    abandoned: bool,
}

/// What a message led to.
pub(super) enum Step {
    GoOn,
    Complete,
    Abandon,
}

impl Probe {
    pub(super) fn new(writer: Writer, claim: ProbeClaim, timeout: Duration) -> Self {
        let deadline = Box::pin(sleep(timeout));
        Self { writer, claim, deadline, out: Vec::new(), probed: false, abandoned: false }
    }

    /// Called whenever the task runs: false if it is over.
    pub(super) fn tend(&mut self, cx: &mut Context<'_>) -> bool {
        // Once the client has its answer it stops polling and says "5"; a close before that would leave it without
        // any transport.
        if !self.claim.tend(cx) && !self.probed {
            self.abandon(cx, CloseCode::GOING_AWAY);
        }
        if self.deadline.as_mut().poll(cx).is_ready() {
            self.expire();
            return false;
        }
        self.write(cx.waker()).is_ok() && !(self.abandoned && self.out.is_empty())
    }

    pub(super) fn handle(&mut self, cx: &mut Context<'_>, event: Event) -> Step {
        match event {
            Event::Text(text) if !self.probed && text == "2probe" => {
                self.probed = true;
                self.claim.grant();
                self.say(cx, Opcode::Text, b"3probe");
                Step::GoOn
            }
            Event::Text(text) if self.probed && text == "5" && self.claim.session.is_open() => Step::Complete,
            Event::Text(text) if self.probed && text == "5" => {
                self.abandon(cx, CloseCode::GOING_AWAY);
                Step::Abandon
            }
            Event::Ping(data) => {
                self.say(cx, Opcode::Pong, &data);
                Step::GoOn
            }
            Event::Pong => Step::GoOn,
            Event::Text(_) | Event::Binary(_) => {
                self.abandon(cx, CloseCode::PROTOCOL_ERROR);
                Step::Abandon
            }
            Event::Close(_) => {
                self.abandon(cx, CloseCode::NORMAL);
                Step::Abandon
            }
        }
    }

    /// Gives the upgrade up. The session goes on with polling, as if nobody had tried.
    pub(super) fn abandon(&mut self, cx: &mut Context<'_>, code: CloseCode) {
        if !self.abandoned {
            self.abandoned = true;
            self.say(cx, Opcode::Close, &code.get().to_be_bytes());
        }
    }

    /// Hands the writing half to the session; false if that has begun to close.
    pub(super) fn complete(self) -> bool {
        self.claim.complete(self.writer)
    }

    fn expire(&self) {
        let session = &self.claim.session;
        if session.shard.control().options().conduct == Conduct::Stock {
            session.close(DisconnectReason::TransportError, Manner::NORMAL);
        }
    }

    fn say(&mut self, cx: &mut Context<'_>, opcode: Opcode, payload: &[u8]) {
        if self.out.len() < OUT_MAX {
            frame::put_header(&mut self.out, opcode, payload.len());
            self.out.extend_from_slice(payload);
            // An error shows itself to the reader too.
            let _ = self.write(cx.waker());
        }
    }

    fn write(&mut self, waker: &Waker) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.writer.write(&[IoSlice::new(&self.out)], Some(waker)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.writer.count(written, self.claim.session.counters());
                    self.out.drain(..written);
                }
                // So few bytes never fill a fresh socket; if they do, the deadline ends it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        match self.writer.flush(Some(waker)) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}
