//! Load on a [`Swarm`]: senders on an open-loop schedule, receivers whose receipts are checked.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::client::Stage;
use super::message::{self, Label};
use super::schedule::Schedule;
use super::swarm::{Ear, Swarm, SwarmError};
use crate::check::{Faults, Receipts};
use crate::histogram::Latencies;
use crate::measure::cpu;

/// How long a server may take for what is on its way after the last message was due.
const DRAIN: Duration = Duration::from_secs(5);
/// A look at the clock, where nothing is due.
const LOOK: Duration = Duration::from_millis(100);

/// Whose latency counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Of every delivery.
    Everybody,
    /// Of those to a client on another worker than the sender's.
    OtherWorkers,
}

/// What to put on the clients.
pub struct Load<'a> {
    /// The clients that send, in turns.
    pub senders: &'a [usize],
    /// The room of each client.
    pub room: &'a dyn Fn(usize) -> usize,
    /// Messages a second, of all senders together.
    pub per_second: f64,
    /// For how long.
    pub duration: Duration,
    /// Bytes of padding in each message.
    pub padding: usize,
    /// Whose latency counts.
    pub measured: Measured,
}

/// What became of a [`Load`].
#[derive(Debug)]
pub struct Outcome {
    /// Messages sent.
    pub sent: u64,
    /// Deliveries, of different messages.
    pub delivered: u64,
    /// What went wrong.
    pub faults: Faults,
    /// From the first due time to the last delivery.
    pub took: Duration,
    /// From the due time of a message to the time at which a client turns to it.
    pub latencies: Latencies,
    /// How late messages were sent.
    pub lateness: Latencies,
    /// The generator's own CPU time.
    pub own_cpu: Duration,
    /// What one small message over loopback took of a core meanwhile.
    pub yardstick: Duration,
}

/// The name of a room.
pub fn room_name(room: usize) -> String {
    format!("room-{room}")
}

impl Swarm {
    /// Runs a load to its end: until all is delivered, or the server had its time.
    pub fn bear(&mut self, load: &Load<'_>) -> Result<Outcome, SwarmError> {
        self.phase += 1;
        let cpu_before = cpu::of_this_thread();
        self.yardstick.take();
        let mut run = Run::new(load, self);
        loop {
            let now = run.begun.elapsed();
            match run.schedule.next_due() {
                Some(due) => self.alarm(due.saturating_sub(now))?,
                None if run.delivered >= run.expected || now > load.duration + DRAIN => break,
                None => {}
            }
            self.turn(LOOK, &mut run)?;
        }
        let own_cpu = cpu::of_this_thread().saturating_sub(cpu_before);
        Ok(run.finish(own_cpu, self.yardstick.take()))
    }
}

struct Run<'a> {
    load: &'a Load<'a>,
    phase: u32,
    /// Clients that were there at the begin: who is lost later loses messages.
    present: Vec<bool>,
    begun: Instant,
    /// Since `begun`, at the last look.
    now: Duration,
    schedule: Schedule,
    room_names: Vec<String>,
    padding: String,
    packet: Vec<u8>,
    workers: Vec<Option<u16>>,
    /// Turn of each sender, by client.
    turns: Vec<Option<u32>>,
    receipts: Vec<Receipts>,
    delivered: u64,
    expected: u64,
    last: Duration,
    latencies: Latencies,
    lateness: Latencies,
}

impl<'a> Run<'a> {
    fn new(load: &'a Load<'a>, swarm: &Swarm) -> Self {
        let clients = swarm.clients.len();
        let schedule = Schedule::new(load.per_second, load.duration);
        let present: Vec<bool> = swarm.clients.iter().map(|client| client.stage() == Stage::Ready).collect();
        let mut members: HashMap<usize, u64> = HashMap::new();
        for client in (0..clients).filter(|client| present[*client]) {
            *members.entry((load.room)(client)).or_default() += 1;
        }
        let mut turns = vec![None; clients];
        let mut expected = 0;
        for (turn, sender) in load.senders.iter().enumerate() {
            turns[*sender] = Some(turn as u32);
            expected += sent_by(&schedule, turn, load.senders.len())
                * members.get(&(load.room)(*sender)).copied().unwrap_or(0);
        }
        Run {
            load,
            phase: swarm.phase,
            present,
            begun: Instant::now(),
            now: Duration::ZERO,
            schedule,
            room_names: load.senders.iter().map(|sender| room_name((load.room)(*sender))).collect(),
            padding: "x".repeat(load.padding),
            packet: Vec::new(),
            workers: swarm.workers().collect(),
            turns,
            receipts: (0..clients).map(|_| Receipts::default()).collect(),
            delivered: 0,
            expected,
            last: Duration::ZERO,
            latencies: Latencies::new(),
            lateness: Latencies::new(),
        }
    }

    fn counts(&self, sender: usize, receiver: usize) -> bool {
        match self.load.measured {
            Measured::Everybody => true,
            Measured::OtherWorkers => self.workers[sender] != self.workers[receiver],
        }
    }

    fn finish(self, own_cpu: Duration, yardstick: Duration) -> Outcome {
        let senders = self.load.senders;
        let mut by_room: HashMap<usize, Vec<(u32, u64)>> = HashMap::new();
        for (turn, sender) in senders.iter().enumerate() {
            let sent = sent_by(&self.schedule, turn, senders.len());
            by_room.entry((self.load.room)(*sender)).or_default().push((*sender as u32, sent));
        }
        let mut faults = Faults::default();
        let there = self.receipts.into_iter().enumerate().filter(|(client, _)| self.present[*client]);
        for (client, receipts) in there {
            let due = by_room.get(&(self.load.room)(client)).map(Vec::as_slice).unwrap_or_default();
            faults += receipts.finish(due.iter().copied());
        }
        Outcome {
            sent: self.schedule.taken(),
            delivered: self.delivered,
            faults,
            took: self.last,
            latencies: self.latencies,
            lateness: self.lateness,
            own_cpu,
            yardstick,
        }
    }
}

impl Ear for Run<'_> {
    fn hear(&mut self, number: usize, label: Label) {
        if label.phase != self.phase {
            return; // late from an earlier load, where it was lost
        }
        if !self.receipts[number].received(label.sender, label.number) {
            return;
        }
        self.delivered += 1;
        self.last = self.now;
        let sender = label.sender as usize;
        if let Some(turn) = self.turns.get(sender).copied().flatten()
            && self.counts(sender, number)
        {
            let n = label.number * self.load.senders.len() as u64 + u64::from(turn);
            self.latencies.record(self.now.saturating_sub(self.schedule.due(n)));
        }
    }

    fn due(&mut self) -> Option<(usize, &[u8])> {
        self.now = self.begun.elapsed();
        let n = self.schedule.take(self.now)?;
        self.lateness.record(self.now.saturating_sub(self.schedule.due(n)));
        let senders = self.load.senders.len() as u64;
        let (turn, number) = ((n % senders) as usize, n / senders);
        let sender = self.load.senders[turn];
        let label = Label { phase: self.phase, sender: sender as u32, number };
        self.packet.clear();
        message::put_event(label, &self.room_names[turn], &self.padding, &mut self.packet);
        Some((sender, &self.packet))
    }
}

/// How many of a schedule's messages the sender whose turn this is sends.
fn sent_by(schedule: &Schedule, turn: usize, senders: usize) -> u64 {
    (schedule.count() + (senders - 1 - turn) as u64) / senders as u64
}
