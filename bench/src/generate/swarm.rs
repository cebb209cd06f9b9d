//! All clients on one epoll: connecting them, and moving their bytes. What they are made to say is [`load`](super::load).

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use thiserror::Error;

use super::client::{Client, ClientError, Line, Stage, Transport};
use super::message::Label;
use super::yardstick::Yardstick;
use crate::histogram::Latencies;

/// Events of one look at epoll.
const EVENTS_MAX: usize = 1024;
/// Bytes of one read; with edge-triggered events a shorter read means that there is no more.
const READ_BYTES_MAX: usize = 256 * 1024;
/// The events' mark of the timer; clients use twice their number, and one more for their second line.
const TIMER: u64 = u64::MAX;
/// Where clients wait and none of them gets through for so long, they are given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a crowd: with fewer there is nothing to measure.
const READY_PERCENT_MIN: usize = 50;
/// A look at the clock, where nothing is due.
const LOOK: Duration = Duration::from_millis(100);

/// The generator cannot go on.
#[derive(Debug, Error)]
pub enum SwarmError {
    /// The kernel refuses.
    #[error("epoll or a timer fails")]
    Kernel(#[from] nix::Error),
    /// A client could not even begin.
    #[error("a client cannot connect")]
    Connect(#[source] io::Error),
    /// The yardstick's connection.
    #[error("the yardstick fails")]
    Yardstick(#[source] io::Error),
    /// Too few got through.
    #[error("{ready} of {count} clients connected")]
    Stuck {
        /// Clients that did.
        ready: usize,
        /// Clients that should have.
        count: usize,
    },
}

/// A crowd that is to connect.
pub struct Arrival<'a> {
    /// How many.
    pub count: usize,
    /// How each of them connects.
    pub transport: Transport,
    /// How many of them may be on their way at one time.
    pub in_flight: usize,
    /// The room that the client of this number joins.
    pub room: Option<&'a dyn Fn(usize) -> String>,
}

/// What became of an [`Arrival`].
#[derive(Debug)]
pub struct Arrived {
    /// From the first attempt to the last success.
    pub took: Duration,
    /// Of each client, from its attempt until it was ready.
    pub latencies: Latencies,
    /// Clients that the server did not take.
    pub failed: usize,
    /// What one small message over loopback took of a core meanwhile.
    pub yardstick: Duration,
}

/// The clients of one server.
#[derive(Debug)]
pub struct Swarm {
    server: SocketAddr,
    epoll: Epoll,
    timer: TimerFd,
    events: Box<[EpollEvent]>,
    buffer: Box<[u8]>,
    pub(super) clients: Vec<Client>,
    /// Clients that became ready or gone since somebody looked.
    changed: VecDeque<usize>,
    pub(super) phase: u32,
    gone: usize,
    pub(super) yardstick: Yardstick,
}

impl Swarm {
    /// No client yet.
    pub fn new(server: SocketAddr) -> Result<Self, SwarmError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TIMER))?;
        Ok(Swarm {
            server,
            epoll,
            timer,
            events: vec![EpollEvent::empty(); EVENTS_MAX].into(),
            buffer: vec![0; READ_BYTES_MAX].into(),
            clients: Vec::new(),
            changed: VecDeque::new(),
            phase: 0,
            gone: 0,
            yardstick: Yardstick::new().map_err(SwarmError::Yardstick)?,
        })
    }

    /// The worker that holds each client's session, if the server says.
    pub fn workers(&self) -> impl Iterator<Item = Option<u16>> + '_ {
        self.clients.iter().map(Client::worker)
    }

    /// Clients whose connection ended.
    pub fn gone(&self) -> usize {
        self.gone
    }

    /// Connects more clients, until all of them are ready or none gets through any more; who does not is given up.
    pub fn connect(&mut self, arrival: &Arrival<'_>) -> Result<Arrived, SwarmError> {
        let first = self.clients.len();
        let end = first + arrival.count;
        let begun = Instant::now();
        let mut last = begun;
        let mut since = Vec::with_capacity(arrival.count);
        let (took, yardstick) = (Duration::ZERO, self.yardstick.take());
        let mut arrived = Arrived { took, latencies: Latencies::new(), failed: 0, yardstick };
        let mut ready = 0;
        self.changed.clear();
        while ready + arrived.failed < arrival.count {
            while self.clients.len() < end && since.len() - ready - arrived.failed < arrival.in_flight {
                let number = self.clients.len();
                since.push(Instant::now());
                self.open(arrival.transport, arrival.room.map(|room| room(number - first)))?;
            }
            self.turn(LOOK, &mut Deaf)?;
            while let Some(number) = self.changed.pop_front() {
                // Of an earlier crowd: one that is lost meanwhile.
                let Some(nth) = number.checked_sub(first) else { continue };
                last = Instant::now();
                if self.clients[number].stage() == Stage::Ready {
                    arrived.latencies.record(last - since[nth]);
                    ready += 1;
                } else {
                    arrived.failed += 1;
                }
            }
            if last.elapsed() > PATIENCE {
                self.give_up_waiting();
            }
        }
        if ready * 100 < arrival.count * READY_PERCENT_MIN {
            return Err(SwarmError::Stuck { ready, count: arrival.count });
        }
        arrived.took = last - begun;
        arrived.yardstick = self.yardstick.take();
        Ok(arrived)
    }

    /// Lets these clients join a room.
    pub fn join(&mut self, members: &[usize], room: &str) -> Result<(), SwarmError> {
        for number in members {
            if self.clients[*number].join(room).is_err() {
                self.lose(*number);
            }
        }
        let begun = Instant::now();
        let is_waiting = |swarm: &Self| members.iter().any(|n| swarm.clients[*n].stage() == Stage::Opening);
        while is_waiting(self) {
            self.turn(LOOK, &mut Deaf)?;
            if begun.elapsed() > PATIENCE {
                self.give_up_waiting();
            }
        }
        Ok(())
    }

    fn give_up_waiting(&mut self) {
        for number in 0..self.clients.len() {
            if self.clients[number].stage() == Stage::Opening {
                self.lose(number);
            }
        }
    }

    /// Lets the clients live for a while: they answer pings.
    pub fn rest(&mut self, duration: Duration) -> Result<(), SwarmError> {
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(left, &mut Deaf)?;
        }
        Ok(())
    }

    fn open(&mut self, transport: Transport, room: Option<String>) -> Result<(), SwarmError> {
        let number = self.clients.len();
        let mut client =
            Client::open(transport, address_of(number), self.server, room).map_err(SwarmError::Connect)?;
        if let Some(socket) = client.socket(Line::First) {
            watch(&self.epoll, socket.stream(), number as u64 * 2)?;
        }
        self.clients.push(client);
        Ok(())
    }

    /// Wakes the next [`turn`](Self::turn) after this time at the latest, to a precision that epoll's own has not.
    pub(super) fn alarm(&self, after: Duration) -> Result<(), SwarmError> {
        // Zero would disarm it.
        let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
        Ok(self.timer.set(Expiration::OneShot(after), TimerSetTimeFlags::empty())?)
    }

    /// Waits for events for so long at most, and lets clients react to them.
    pub(super) fn turn(&mut self, wait: Duration, ear: &mut impl Ear) -> Result<(), SwarmError> {
        let wait = EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX);
        let mut events = std::mem::take(&mut self.events);
        let count = match self.epoll.wait(&mut events, wait) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.speak(ear);
        for event in &events[..count] {
            if event.data() == TIMER {
                let _ = self.timer.wait(); // fails only if it was set anew
            } else {
                self.react(event, ear)?;
            }
            // A schedule does not wait for a thousand clients.
            self.speak(ear);
        }
        self.events = events;
        self.yardstick.look().map_err(SwarmError::Yardstick)
    }

    fn speak(&mut self, ear: &mut impl Ear) {
        while let Some((number, packet)) = ear.due() {
            if self.clients[number].send(packet).is_err() {
                self.lose(number);
            }
        }
    }

    fn react(&mut self, event: &EpollEvent, ear: &mut impl Ear) -> Result<(), SwarmError> {
        let number = (event.data() / 2) as usize;
        let line = if event.data().is_multiple_of(2) { Line::First } else { Line::Second };
        let client = &mut self.clients[number];
        let before = client.stage();
        let done =
            drive(client, line, event.events(), &mut self.buffer, &mut |label| ear.hear(number, label));
        if let Some(socket) = client.take_dialed() {
            watch(&self.epoll, socket.stream(), number as u64 * 2 + 1)?;
        }
        if done.is_err() {
            self.lose(number);
        } else if self.clients[number].stage() != before {
            self.changed.push_back(number);
        }
        Ok(())
    }

    fn lose(&mut self, number: usize) {
        if self.clients[number].stage() != Stage::Gone {
            self.clients[number].close();
            self.gone += 1;
            self.changed.push_back(number);
        }
    }
}

/// Who listens to the numbered messages and says when to send some.
pub(super) trait Ear {
    /// Client `number` got a message.
    fn hear(&mut self, number: usize, label: Label);
    /// The next packet that is due, and the client to send it. Called before a client reads.
    fn due(&mut self) -> Option<(usize, &[u8])>;
}

/// Sends nothing and hears nothing.
struct Deaf;

impl Ear for Deaf {
    fn hear(&mut self, _: usize, _: Label) {}
    fn due(&mut self) -> Option<(usize, &[u8])> {
        None
    }
}

/// Writes and reads as far as the kernel lets it.
fn drive(
    client: &mut Client,
    line: Line,
    flags: EpollFlags,
    buffer: &mut [u8],
    hear: &mut impl FnMut(Label),
) -> Result<(), ClientError> {
    // An event may be left over from a line that was closed since.
    let Some(socket) = client.socket(line) else { return Ok(()) };
    if flags.contains(EpollFlags::EPOLLOUT) {
        socket.flush()?;
    }
    let ends = flags.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
    if !ends && !flags.contains(EpollFlags::EPOLLIN) {
        return Ok(());
    }
    while let Some(socket) = client.socket(line) {
        match socket.read(buffer)? {
            None => return Ok(()),
            Some(0) => return client.ended(line),
            Some(len) => {
                client.receive(line, &buffer[..len], hear)?;
                // Less than asked for: there is no more (`epoll(7)`), except for the end itself.
                if len < buffer.len() && !ends {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn watch(epoll: &Epoll, socket: impl AsFd, mark: u64) -> Result<(), SwarmError> {
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    Ok(epoll.add(socket, EpollEvent::new(flags, mark))?)
}

/// Each client has an address of its own in 127.0.0.0/8, in no order that a hash could like.
fn address_of(number: usize) -> Ipv4Addr {
    let mixed = (number as u32 + 1).wrapping_mul(0x9e37_79b1) >> 8;
    Ipv4Addr::from(0x7f00_0000 | mixed)
}
