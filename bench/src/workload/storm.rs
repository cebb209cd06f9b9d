//! Many clients at once: what a deploy or a network's recovery does to a server.

use super::WorkloadError;
use crate::generate::{Arrival, Swarm, Transport};
use crate::measure::cpu;
use crate::sample::Sample;
use crate::servers::Running;

/// Clients on their way at one time.
const IN_FLIGHT: usize = 200;

pub(super) fn run(
    server: &Running,
    clients: usize,
    transport: Transport,
    sample: &mut Sample,
) -> Result<(), WorkloadError> {
    let mut swarm = Swarm::new(server.address())?;
    // A first few, for Node's compiler and everybody's caches.
    swarm.connect(&Arrival { count: clients / 4, transport, in_flight: IN_FLIGHT, room: None })?;
    let (own, before) = (cpu::of_this_thread(), server.cpu());
    let arrived = swarm.connect(&Arrival { count: clients, transport, in_flight: IN_FLIGHT, room: None })?;
    let cpu = server.cpu().saturating_sub(before);
    let own = cpu::of_this_thread().saturating_sub(own);
    let (seconds, connected) = (arrived.took.as_secs_f64(), clients - arrived.failed);
    sample.put_cost(["cpu us/connect", "cost/connect"], cpu, connected as u64, arrived.yardstick);
    sample.put("connects/s", connected as f64 / seconds);
    for (name, share) in [("p50 ms", 0.5), ("p99 ms", 0.99)] {
        sample.put(name, arrived.latencies.quantile(share).as_secs_f64() * 1e3);
    }
    sample.put("max ms", arrived.latencies.max().as_secs_f64() * 1e3);
    sample.put("failed", arrived.failed as f64);
    // Clients wait for each other here, so there is no schedule to be late for.
    sample.judge_generator(own.as_secs_f64() / seconds, 0.0);
    Ok(())
}
