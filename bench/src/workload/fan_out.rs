//! Messages to many: one room, many rooms, or a receiver on another worker.

use std::time::Duration;

use super::{Crowd, IN_FLIGHT, PADDING, Pace, WorkloadError};
use crate::generate::load::room_name;
use crate::generate::{Arrival, Load, Measured, Outcome, Swarm, Transport};
use crate::sample::Sample;
use crate::servers::Running;

/// For what servers say on their own to arrive.
const SETTLE: Duration = Duration::from_millis(300);

/// Who says how much.
pub(super) struct Talk<'a> {
    pub senders: &'a [usize],
    pub per_second: f64,
    pub measured: Measured,
}

/// Four of all clients, far from each other.
pub(super) fn senders(clients: usize) -> Vec<usize> {
    (0..4).map(|turn| turn * clients / 4).collect()
}

pub(super) fn run(
    server: &Running,
    pace: Pace,
    crowd: &Crowd<'_>,
    talk: &Talk<'_>,
    sample: &mut Sample,
) -> Result<(), WorkloadError> {
    let (mut swarm, arrived) = crowd.connect(server)?;
    sample.put("failed", arrived.failed as f64);
    measure(&mut swarm, server, pace, crowd.room, talk, sample)
}

fn measure(
    swarm: &mut Swarm,
    server: &Running,
    pace: Pace,
    room: &dyn Fn(usize) -> usize,
    talk: &Talk<'_>,
    sample: &mut Sample,
) -> Result<(), WorkloadError> {
    bear(swarm, room, talk, pace.warm_up)?;
    let before = server.cpu();
    let outcome = bear(swarm, room, talk, pace.measure)?;
    let cpu = server.cpu().saturating_sub(before);
    put(&outcome, cpu, swarm, sample);
    Ok(())
}

/// One sender on one worker, the receivers on another, as far as the server has more than one.
pub(super) fn hop(
    server: &Running,
    pace: Pace,
    receivers: usize,
    per_second: f64,
    sample: &mut Sample,
) -> Result<(), WorkloadError> {
    let mut swarm = Swarm::new(server.address())?;
    // Enough for any steering to put some on each worker.
    let count = 4 * receivers + 32;
    swarm.connect(&Arrival { count, transport: Transport::WebSocket, in_flight: IN_FLIGHT, room: None })?;
    swarm.rest(SETTLE)?; // the greeting tells the worker
    let workers: Vec<Option<u16>> = swarm.workers().collect();
    let (mut chosen, same): (Vec<usize>, Vec<usize>) =
        (1..count).partition(|client| workers[*client] != workers[0]);
    let measured = if chosen.is_empty() { Measured::Everybody } else { Measured::OtherWorkers };
    if chosen.is_empty() {
        chosen = same;
    }
    if chosen.len() < receivers {
        return Err(WorkloadError::OneWorker);
    }
    chosen.truncate(receivers);
    chosen.push(0);
    swarm.join(&chosen, &room_name(0))?;
    let room = |client: usize| usize::from(!chosen.contains(&client));
    measure(&mut swarm, server, pace, &room, &Talk { senders: &[0], per_second, measured }, sample)
}

pub(super) fn bear(
    swarm: &mut Swarm,
    room: &dyn Fn(usize) -> usize,
    talk: &Talk<'_>,
    duration: Duration,
) -> Result<Outcome, WorkloadError> {
    let Talk { senders, per_second, measured } = *talk;
    Ok(swarm.bear(&Load { senders, room, per_second, duration, padding: PADDING, measured })?)
}

pub(super) fn put(outcome: &Outcome, cpu: Duration, swarm: &Swarm, sample: &mut Sample) {
    let names = ["cpu us/delivery", "cost/delivery"];
    sample.put_cost(names, cpu, outcome.delivered, outcome.yardstick);
    sample.put("deliveries/s", outcome.delivered as f64 / outcome.took.as_secs_f64().max(1e-9));
    for (name, share) in [("p50 ms", 0.5), ("p99 ms", 0.99), ("p99.9 ms", 0.999)] {
        sample.put(name, outcome.latencies.quantile(share).as_secs_f64() * 1e3);
    }
    sample.put("max ms", outcome.latencies.max().as_secs_f64() * 1e3);
    sample.put("lost", outcome.faults.lost as f64);
    sample.put("doubled", outcome.faults.doubled as f64);
    sample.put("reordered", outcome.faults.reordered as f64);
    sample.put("strange", outcome.faults.strange as f64);
    sample.put("clients gone", swarm.gone() as f64);
    let share = outcome.own_cpu.as_secs_f64() / outcome.took.as_secs_f64().max(1e-9);
    sample.judge_generator(share, outcome.lateness.quantile(0.99).as_secs_f64() * 1e3);
}
