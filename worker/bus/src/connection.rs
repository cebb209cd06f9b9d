//! One client's task: the only place that reads from and writes to its socket. It decides nothing about commands.
//!
//! ```text
//!   turn: execute what is buffered ─▶ flush: one vectored write ─▶ wait: socket, wake-up, deadline, end of hold
//!     ▲                                                              │
//!     └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! Whoever publishes only queues and wakes; a subscriber's own task writes all that has come together by then.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::client::{Client, Cut};
use crate::command::{self, Flow, Goodbye};
use crate::input::Input;
use crate::scan::ProtocolError;
use crate::serve::Shared;
use crate::stream::Stream;

/// Steps of work of one turn before the other tasks may run.
const TURN_WORK_MAX: u64 = 16 * 1024;

/// Buffers of one vectored write. An array of them is filled for each write, most of which are of one buffer.
const SLICES_MAX: usize = 64;

/// How long a connection that is to be closed may take to read its last replies.
const LINGER: Duration = Duration::from_secs(2);

pub(crate) struct Connection {
    shared: Rc<Shared>,
    stream: Stream,
    client: Rc<Client>,
    input: Input,
    /// Bytes of input that the broker has on its account for us.
    accounted_bytes: usize,
    auth_deadline: Instant,
    /// Whether a publish of ours waits for the end of the hold.
    held: bool,
}

/// How a turn ended.
enum Turn {
    /// Everything that was buffered ran.
    Idle,
    /// There is more to run, after the others had their turn.
    More,
    /// A publish has to wait.
    Held,
    Close(End),
}

/// Why a connection ended.
enum End {
    /// The client hung up.
    Eof,
    Lost(io::Error),
    Command(Goodbye),
    Protocol(ProtocolError),
    Slow(Cut),
    AuthDeadline,
    InputFull,
    Shutdown,
}

impl Connection {
    pub(crate) fn new(shared: Rc<Shared>, stream: Stream, client: Rc<Client>) -> Self {
        let auth_deadline = client.since + shared.broker.borrow().settings.auth_deadline;
        Self {
            shared,
            stream,
            client,
            input: Input::default(),
            accounted_bytes: 0,
            auth_deadline,
            held: false,
        }
    }

    /// Serves the client to its end.
    pub(crate) async fn run(mut self) {
        let end = self.serve().await;
        // Before the last replies leave: nothing new may be queued behind them.
        self.shared.broker.borrow_mut().leave(&self.client);
        if matches!(end, End::Command(_) | End::Protocol(_)) {
            self.drain().await;
        }
        self.report(&end);
    }

    async fn serve(&mut self) -> End {
        let mut open = self.shared.open.subscribe();
        loop {
            let delivered = self.shared.counters.delivered.get();
            let turn = self.turn();
            if self.shared.counters.delivered.get() != delivered {
                // Who was woken writes first: what a reply confirms is out of this process, should it die now.
                tokio::task::yield_now().await;
            }
            if let Some(cut) = self.client.cut.get() {
                return End::Slow(cut);
            }
            if let Err(error) = self.flush() {
                return End::Lost(error);
            }
            self.held = matches!(turn, Turn::Held);
            match turn {
                Turn::Close(end) => return end,
                Turn::More if self.shared.shutdown.is_cancelled() => return End::Shutdown,
                Turn::More => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Turn::Idle | Turn::Held => {}
            }
            let deadline = self.deadline();
            tokio::select! {
                read = self.stream.read(&self.shared.buffer, &mut self.input), if !self.held => match read {
                    Ok(0) => return End::Eof,
                    Ok(len) => self.shared.counters.bytes_in.add(len as u64),
                    Err(error) => return End::Lost(error),
                },
                // The next flush writes.
                room = self.stream.room() => if let Err(error) = room {
                    return End::Lost(error);
                },
                () = self.client.wake.notified() => {}
                _ = open.wait_for(|open| *open), if self.held => {}
                () = until(deadline) => {
                    if let Some(end) = self.expired(Instant::now()) {
                        return end;
                    }
                }
                () = self.shared.shutdown.cancelled() => {
                    let _ = self.flush();
                    return End::Shutdown;
                }
            }
        }
    }

    /// Executes what has come in, up to a share of work.
    fn turn(&mut self) -> Turn {
        let mut broker = self.shared.broker.borrow_mut();
        broker.now = Instant::now();
        let enough = broker.work + TURN_WORK_MAX;
        let turn = loop {
            if broker.work >= enough {
                break Turn::More;
            }
            match self.input.next(&self.client.frame_limits(&broker.settings)) {
                Ok(None) => break Turn::Idle,
                Ok(Some((args, len))) => {
                    let flow = command::execute(&mut broker, &self.client, &args);
                    match flow {
                        Flow::Hold => {
                            broker.counters.held.add(u64::from(!self.held));
                            break Turn::Held;
                        }
                        Flow::Close(goodbye) => break Turn::Close(End::Command(goodbye)),
                        Flow::Next => {
                            drop(args);
                            self.input.consume(len);
                        }
                    }
                }
                Err(error) => {
                    self.client.reply(broker.now, |reply| reply.error(&format!("ERR {error}")));
                    break Turn::Close(End::Protocol(error));
                }
            }
            if self.client.cut.get().is_some() {
                break Turn::Idle;
            }
        };
        let occupied = self.input.occupied_bytes();
        let fits = broker.account_input(self.accounted_bytes, occupied);
        let grew = occupied > self.accounted_bytes;
        self.accounted_bytes = occupied;
        drop(broker);
        self.shared.settle();
        if grew && !fits { Turn::Close(End::InputFull) } else { turn }
    }

    /// Writes until all is sent or the socket takes no more.
    fn flush(&mut self) -> io::Result<()> {
        let mut outbox = self.client.outbox.borrow_mut();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = outbox.slices(&mut slices);
            let sent = self.stream.write(&slices[..filled])?;
            if sent == 0 {
                return Ok(());
            }
            outbox.consume(sent);
            self.shared.counters.writes.add(1);
            self.shared.counters.bytes_out.add(sent as u64);
        }
        self.stream.is_done();
        Ok(())
    }

    /// Gives the client a moment to take its last replies.
    async fn drain(&mut self) {
        let shutdown = self.shared.shutdown.clone();
        let sent = async {
            while self.flush().is_ok() && !self.client.outbox.borrow().is_empty() {
                if self.stream.room().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(LINGER, sent) => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// When the client has to have done something: authenticated, or read.
    fn deadline(&self) -> Option<Instant> {
        let auth = (!self.client.authenticated.get()).then_some(self.auth_deadline);
        [auth, self.client.outbox.borrow().soft_deadline()].into_iter().flatten().min()
    }

    fn expired(&self, now: Instant) -> Option<End> {
        if !self.client.authenticated.get() && now >= self.auth_deadline {
            return Some(End::AuthDeadline);
        }
        self.client.judge(&mut self.client.outbox.borrow_mut(), now);
        None
    }

    /// Counts and logs the end; a slow client is named, since somebody has to look after it.
    fn report(&self, end: &End) {
        let (client, counters) = (self.client.id.0, &self.shared.counters);
        let origin = &self.client.origin;
        let session = self.client.session.borrow();
        let name = session.name.as_str();
        match end {
            End::Eof | End::Shutdown | End::Command(Goodbye::Quit) => {
                tracing::debug!(client, name, %origin, "bus client left");
            }
            End::Lost(error) => tracing::debug!(client, name, %origin, %error, "bus client lost"),
            End::Slow(cut) => {
                counters.cut_slow.add(1);
                let (owed_bytes, limit) = (cut.owed_bytes, cut.excess);
                tracing::warn!(client, name, %origin, owed_bytes, ?limit, "bus client cut: it does not read");
            }
            End::Protocol(reason) => {
                counters.cut_protocol.add(1);
                tracing::info!(client, name, %origin, %reason, "bus client cut");
            }
            End::Command(Goodbye::CrossProtocol) => {
                counters.cut_protocol.add(1);
                tracing::warn!(client, name, %origin, "bus client cut: it speaks HTTP, maybe a browser that is abused");
            }
            End::InputFull => {
                counters.cut_protocol.add(1);
                tracing::warn!(client, name, %origin, "bus client cut: too much unfinished input");
            }
            End::AuthDeadline | End::Command(Goodbye::Stranger) => {
                counters.cut_auth.add(1);
                tracing::info!(client, name, %origin, "bus client cut: not authenticated");
            }
        }
    }
}

impl Drop for Connection {
    /// Also when the task panicked or was dropped: nobody else would take the client off the table.
    fn drop(&mut self) {
        let mut broker = self.shared.broker.borrow_mut();
        broker.leave(&self.client);
        broker.account_input(self.accounted_bytes, 0);
    }
}

/// Waits for `deadline`, or for ever.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
