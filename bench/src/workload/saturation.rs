//! A fan-out whose rate rises until the server is behind; the last rate that it bore is its saturation.

use std::time::Duration;

use super::{Crowd, Pace, WorkloadError, fan_out};
use crate::generate::{Measured, Outcome, Transport};
use crate::sample::Sample;
use crate::servers::Running;

/// The first rate, in deliveries a second.
const FIRST: f64 = 40_000.0;
/// From one rate to the next.
const RISE: f64 = 1.25;
/// Where it ends at the latest: beyond it the generator proves nothing.
const LAST: f64 = 2_500_000.0;
/// What a server that bears a rate may leave behind at the end of it.
const BACKLOG_MAX: Duration = Duration::from_millis(300);

pub(super) fn run(
    server: &Running,
    pace: Pace,
    clients: usize,
    sample: &mut Sample,
) -> Result<(), WorkloadError> {
    let crowd = Crowd { clients, transport: Transport::WebSocket, room: &|_| 0 };
    let (mut swarm, _) = crowd.connect(server)?;
    let senders = fan_out::senders(clients);
    let talk = |deliveries: f64| fan_out::Talk {
        senders: &senders,
        per_second: deliveries / clients as f64,
        measured: Measured::Everybody,
    };
    fan_out::bear(&mut swarm, crowd.room, &talk(FIRST), pace.warm_up)?;
    let duration = pace.measure.min(Duration::from_secs(3));
    let (mut rate, mut best) = (FIRST, None);
    while rate < LAST {
        let before = server.cpu();
        let outcome = fan_out::bear(&mut swarm, crowd.room, &talk(rate), duration)?;
        let cpu = server.cpu().saturating_sub(before);
        let bears = bears(&outcome, duration);
        if bears || best.is_none() {
            best = Some((outcome, cpu));
        }
        if !bears {
            break;
        }
        rate *= RISE;
    }
    if let Some((outcome, cpu)) = best {
        fan_out::put(&outcome, cpu, &swarm, sample);
    }
    Ok(())
}

fn bears(outcome: &Outcome, duration: Duration) -> bool {
    outcome.faults.is_none() && outcome.took <= duration + BACKLOG_MAX
}
