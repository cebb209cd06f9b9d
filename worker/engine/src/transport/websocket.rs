//! The task of a WebSocket connection: reads it, and sees its session to the end.
//!
//! ```text
//!     Probing ──"2probe", "5"──▶ Open ──the session closes──▶ Ending ──▶ done
//!        │                     (new sessions begin here)         what is left is written, the handler is told,
//!        └── abandoned ─────────────────────────────────────▶    the peer's last bytes are read and thrown away
//! ```
//!
//! The future is kept small: there is one per client for as long as it stays.

use std::{
    cell::Cell,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use engineioxide_core::{Packet, ProtocolVersion};
use tokio::time::{Sleep, sleep};

use super::{
    TURN_PACKETS_MAX,
    io::{Reader, Writer},
    probe::{Probe, Step},
};
use crate::{
    control::CloseCode,
    engine::EngineIo,
    handler::EngineIoHandler,
    proto::{
        close,
        message::{Decoder, Event},
    },
    session::{Ending, Manner, ProbeClaim, Progress, item::Item},
    socket::{DisconnectReason, Socket},
};

/// The least size of a thread's read buffer.
const READ_MIN: usize = 4096;

thread_local! {
    /// One read buffer for all connections of a thread. Taken out while it is in use: a handler may get here again.
    static READ_BUFFER: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// See the module.
pub(crate) struct Connection<H: EngineIoHandler> {
    engine: Arc<EngineIo<H>>,
    socket: Arc<Socket<H::Data>>,
    reader: Reader,
    decoder: Decoder,
    stage: Stage,
}

enum Stage {
    /// Bytes that came with the handshake come first.
    Early(Box<Early>),
    Probing(Box<Probe>),
    Open,
    Ending(Box<End>),
    /// The session, if it goes on, is somebody else's.
    Done,
}

struct Early {
    bytes: Vec<u8>,
    then: Stage,
}

/// The end of a session on its transport.
struct End {
    /// Taken when the handler is told.
    ending: Option<Ending>,
    deadline: Pin<Box<Sleep>>,
}

impl<H: EngineIoHandler> Connection<H> {
    /// A session of its own.
    pub(super) fn open(
        engine: Arc<EngineIo<H>>,
        socket: Arc<Socket<H::Data>>,
        reader: Reader,
        early: Vec<u8>,
    ) -> Self {
        Self::new(engine, socket, reader, early, Stage::Open)
    }

    /// The successor of polling, if the client completes the upgrade within `timeout`.
    pub(super) fn probing(
        engine: Arc<EngineIo<H>>,
        socket: Arc<Socket<H::Data>>,
        reader: Reader,
        early: Vec<u8>,
        writer: Writer,
        claim: ProbeClaim,
        timeout: Duration,
    ) -> Self {
        let probe = Probe::new(writer, claim, timeout);
        Self::new(engine, socket, reader, early, Stage::Probing(Box::new(probe)))
    }

    fn new(
        engine: Arc<EngineIo<H>>,
        socket: Arc<Socket<H::Data>>,
        reader: Reader,
        early: Vec<u8>,
        stage: Stage,
    ) -> Self {
        let stage = match early.is_empty() {
            true => stage,
            false => Stage::Early(Box::new(Early { bytes: early, then: stage })),
        };
        Self { engine, socket, reader, decoder: Decoder::default(), stage }
    }

    /// Runs while the session is open; ready when it closes.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut handled = 0;
        loop {
            match self.socket.session.tend(cx) {
                Progress::Open => {}
                Progress::Failed => self.socket.session.lose(),
                Progress::Closing { ending, .. } => {
                    let deadline = Box::pin(sleep(self.linger()));
                    self.stage = Stage::Ending(Box::new(End { ending: Some(ending), deadline }));
                    return Poll::Ready(());
                }
                Progress::Closed => {
                    self.stage = Stage::Done;
                    return Poll::Ready(());
                }
            }
            if handled >= TURN_PACKETS_MAX {
                // `wake_by_ref` would come back before the I/O driver is asked; `yield_now` does not.
                return pin!(tokio::task::yield_now()).poll(cx);
            }
            match ready!(self.poll_receive(cx)) {
                Ok(events) => handled += events,
                Err(()) => self.socket.session.lose(),
            }
        }
    }

    /// Reads once and handles what came; the number of events, or an error at the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ()>> {
        let size = self.engine.config.ws_read_buffer_size.max(READ_MIN);
        let mut buffer =
            READ_BUFFER.take().filter(|buffer| buffer.len() == size).unwrap_or_else(|| vec![0; size]);
        let read = self.reader.poll_read(cx, &mut buffer);
        let received = read.map(|read| match read {
            Ok(len @ 1..) => Ok(self.receive(cx, &mut buffer[..len])),
            Ok(0) | Err(_) => Err(()),
        });
        READ_BUFFER.set(Some(buffer));
        received
    }

    fn receive(&mut self, cx: &mut Context<'_>, mut bytes: &mut [u8]) -> usize {
        self.reader.count(bytes.len(), self.socket.session.counters());
        let limits = self.engine.limits();
        let mut handled = 0;
        loop {
            let go_on = match self.decoder.next(&mut bytes, limits) {
                Ok(Some(event)) => self.handle(cx, event),
                Ok(None) => return handled,
                Err(code) => self.breach(cx, code),
            };
            handled += 1;
            if !go_on {
                return handled;
            }
        }
    }

    /// False if nothing may follow.
    fn handle(&mut self, cx: &mut Context<'_>, event: Event) -> bool {
        if let Stage::Probing(probe) = &mut self.stage {
            return match probe.handle(cx, event) {
                Step::GoOn => true,
                Step::Abandon => false,
                Step::Complete => self.take_over(),
            };
        }
        let session = &self.socket.session;
        match event {
            Event::Text(text) if self.engine.config.is_bare() => {
                return self.engine.receive(&self.socket, Packet::Message(text));
            }
            Event::Text(text) => match Packet::parse(ProtocolVersion::V4, text) {
                Ok(packet) => return self.engine.receive(&self.socket, packet),
                Err(_) => session.close(DisconnectReason::PacketParsingError, Manner::NORMAL),
            },
            Event::Binary(data) => return self.engine.receive(&self.socket, Packet::Binary(data)),
            Event::Ping(data) => {
                session.send(Item::WsPong(data));
                return true;
            }
            Event::Pong => return true,
            Event::Close(body) => match close::answer_to(&body) {
                Ok(code) => session.close(DisconnectReason::TransportClose, Manner::Answer(code)),
                Err(code) => session.close(DisconnectReason::TransportError, Manner::Answer(code)),
            },
        }
        false
    }

    /// The peer broke the WebSocket protocol.
    fn breach(&mut self, cx: &mut Context<'_>, code: CloseCode) -> bool {
        match &mut self.stage {
            Stage::Probing(probe) => probe.abandon(cx, code),
            _ => self.socket.session.close(DisconnectReason::TransportError, Manner::Answer(code)),
        }
        false
    }

    /// The upgrade is complete.
    fn take_over(&mut self) -> bool {
        let Stage::Probing(probe) = std::mem::replace(&mut self.stage, Stage::Done) else { return false };
        let taken = probe.complete();
        if taken {
            self.stage = Stage::Open;
        }
        taken
    }

    /// Waits for the upgrade; ready when it is complete or abandoned.
    fn poll_probing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Stage::Probing(probe) = &mut self.stage {
            if !probe.tend(cx) || ready!(self.poll_receive(cx)).is_err() {
                self.stage = Stage::Done;
            }
        }
        Poll::Ready(())
    }

    /// Says what is left to say, tells the handler, and reads until the peer closes too.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Stage::Ending(end) = &mut self.stage else { return Poll::Ready(()) };
        let late = end.deadline.as_mut().poll(cx).is_ready();
        if let Some(ending) = &end.ending {
            let said = matches!(
                self.socket.session.tend(cx),
                Progress::Closing { said: true, .. } | Progress::Closed | Progress::Failed
            );
            if !said && !late {
                return Poll::Pending;
            }
            let Ending { reason, manner } = ending.clone();
            end.ending = None;
            self.engine.finish(&self.socket, reason);
            if matches!(manner, Manner::Silent | Manner::Reset) {
                return Poll::Ready(());
            }
        }
        if late {
            return Poll::Ready(());
        }
        // Closing with unread bytes would be a reset, which can overtake the close frame.
        if ready!(self.reader.poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        let mut rest = [0; 1024];
        while let Ok(1..) = ready!(self.reader.poll_read(cx, &mut rest)) {}
        Poll::Ready(())
    }

    fn linger(&self) -> Duration {
        self.socket.session.shard.control().options().close_linger
    }
}

impl<H: EngineIoHandler> Future for Connection<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Early(early) => {
                    let mut bytes = std::mem::take(&mut early.bytes);
                    this.stage = std::mem::replace(&mut early.then, Stage::Done);
                    this.receive(cx, &mut bytes);
                }
                Stage::Probing(_) => ready!(this.poll_probing(cx)),
                Stage::Open => ready!(this.poll_open(cx)),
                Stage::Ending(_) => {
                    ready!(this.poll_ending(cx));
                    this.stage = Stage::Done;
                }
                Stage::Done => return Poll::Ready(()),
            }
        }
    }
}

impl<H: EngineIoHandler> Drop for Connection<H> {
    fn drop(&mut self) {
        let is_ours = match &self.stage {
            Stage::Early(early) => matches!(early.then, Stage::Open),
            Stage::Open | Stage::Ending(_) => true,
            Stage::Probing(_) | Stage::Done => false,
        };
        if is_ours {
            self.engine.abandon(&self.socket.session);
        }
    }
}
