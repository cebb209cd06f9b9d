//! Messages to many: one room, many rooms, or a receiver on another worker.

use super::{Crowd, PADDING, Pace, WorkloadError};
use crate::generate::{Load, Measured, Outcome, Swarm, Transport};
use crate::sample::Sample;
use crate::servers::Running;
use std::time::Duration;

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
    let (mut swarm, _) = crowd.connect(server)?;
    bear(&mut swarm, crowd, talk, pace.warm_up)?;
    let before = server.cpu();
    let outcome = bear(&mut swarm, crowd, talk, pace.measure)?;
    let cpu = server.cpu().saturating_sub(before);
    put(&outcome, cpu, &swarm, sample);
    Ok(())
}

/// One sender on one worker, the receivers on another; a crowd is connected to find them.
pub(super) fn hop(
    server: &Running,
    pace: Pace,
    receivers: usize,
    per_second: f64,
    sample: &mut Sample,
) -> Result<(), WorkloadError> {
    // Enough for any steering to put some on each worker.
    let candidates = Crowd { clients: 4 * receivers + 32, transport: Transport::WebSocket, room: &|_| 1 };
    let (swarm, _) = candidates.connect(server)?;
    let workers: Vec<Option<u16>> = swarm.workers().collect();
    drop(swarm);
    let elsewhere = |client: &usize| workers[*client] != workers[0];
    let (many, others): (Vec<usize>, Vec<usize>) = (1..workers.len()).partition(elsewhere);
    let single = many.is_empty();
    let chosen = if single { others } else { many };
    if chosen.len() < receivers {
        return Err(WorkloadError::OneWorker);
    }
    let room = |client: usize| usize::from(client != 0 && !chosen[..receivers].contains(&client));
    let crowd = Crowd { room: &room, ..candidates };
    let measured = if single { Measured::Everybody } else { Measured::OtherWorkers };
    run(server, pace, &crowd, &Talk { senders: &[0], per_second, measured }, sample)
}

pub(super) fn bear(
    swarm: &mut Swarm,
    crowd: &Crowd<'_>,
    talk: &Talk<'_>,
    duration: Duration,
) -> Result<Outcome, WorkloadError> {
    let Talk { senders, per_second, measured } = *talk;
    Ok(swarm.bear(&Load { senders, room: crowd.room, per_second, duration, padding: PADDING, measured })?)
}

pub(super) fn put(outcome: &Outcome, cpu: Duration, swarm: &Swarm, sample: &mut Sample) {
    let delivered = outcome.delivered.max(1) as f64;
    sample.put("cpu us/delivery", cpu.as_secs_f64() * 1e6 / delivered);
    sample.put("deliveries/s", delivered / outcome.took.as_secs_f64().max(1e-9));
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
