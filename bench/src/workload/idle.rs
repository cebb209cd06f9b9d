//! What a client costs that says nothing.

use std::time::Duration;

use super::{IN_FLIGHT, WorkloadError};
use crate::generate::{Arrival, Swarm, Transport};
use crate::measure::{kernel, memory};
use crate::sample::Sample;
use crate::servers::Running;

/// Before memory is looked at: garbage collectors and allocators give something back.
const SETTLE: Duration = Duration::from_secs(3);
/// While the CPU time of silence is counted.
const SILENCE: Duration = Duration::from_secs(3);
/// Clients that came before, so that what a server allocates once is not counted.
const FIRST: usize = 50;

pub(super) fn run(server: &Running, clients: usize, sample: &mut Sample) -> Result<(), WorkloadError> {
    let mut swarm = Swarm::new(server.address())?;
    let arrival =
        |count| Arrival { count, transport: Transport::WebSocket, in_flight: IN_FLIGHT, room: None };
    swarm.connect(&arrival(FIRST))?;
    swarm.rest(Duration::from_millis(500))?;
    let before = (server.memory(), kernel::slab_bytes(), kernel::tcp_buffer_bytes());
    swarm.connect(&arrival(clients))?;
    swarm.rest(SETTLE)?;
    let after = (server.memory(), kernel::slab_bytes(), kernel::tcp_buffer_bytes());
    let cpu = server.cpu();
    swarm.rest(SILENCE)?;
    let cpu = server.cpu().saturating_sub(cpu);

    let kb_each = |before: u64, after: u64| (after as f64 - before as f64) / 1024.0 / clients as f64;
    sample.put("private KB/client", kb_each(before.0.private, after.0.private));
    sample.put("proportional KB/client", kb_each(before.0.proportional, after.0.proportional));
    sample.put("kernel slab KB/client", kb_each(before.1, after.1));
    sample.put("kernel buffers KB/client", kb_each(before.2, after.2));
    sample.put("server private MB", before.0.private as f64 / 1e6);
    if server.peer().is_oxherd() {
        sample.put("supervisor private MB", memory::of(&[server.root()]).private as f64 / 1e6);
    }
    sample.put("cpu us/client/s", cpu.as_secs_f64() * 1e6 / clients as f64 / SILENCE.as_secs_f64());
    sample.put("clients gone", swarm.gone() as f64);
    Ok(())
}
