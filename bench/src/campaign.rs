//! Which workloads, against which servers, in which order: rounds in which all servers take turns, so that what the
//! machine does meanwhile hits all of them.

use std::time::Duration;

use crate::cores::Cores;
use crate::generate::Transport;
use crate::sample::Sample;
use crate::servers::{self, Peer, Programs};
use crate::workload::{Pace, Workload};

/// A plan.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// What is done.
    pub workloads: Vec<Workload>,
    /// To whom.
    pub servers: Vec<Peer>,
    /// How often.
    pub rounds: usize,
    /// For how long each time.
    pub pace: Pace,
}

/// Descriptors that the runner and a server need beside those of the clients.
const SPARE_DESCRIPTORS: u64 = 500;

impl Campaign {
    /// What fits into ten minutes.
    pub fn short() -> Self {
        Campaign {
            workloads: vec![
                Workload::FanOut { clients: 1000, per_second: 100.0, transport: Transport::WebSocket },
                Workload::Hop { receivers: 1, per_second: 10_000.0 },
                Workload::Storm { clients: 2000, transport: Transport::WebSocket },
                Workload::Idle { clients: 1000 },
            ],
            servers: Peer::ALL
                .into_iter()
                .filter(|peer| !matches!(peer, Peer::Stock(2) | Peer::Paced(_)))
                .collect(),
            rounds: 3,
            pace: Pace { warm_up: Duration::from_millis(1500), measure: Duration::from_secs(4) },
        }
    }

    /// Everything.
    pub fn full() -> Self {
        let fan_out = |clients, per_second, transport| Workload::FanOut { clients, per_second, transport };
        let storm = |clients, transport| Workload::Storm { clients, transport };
        Campaign {
            workloads: vec![
                fan_out(1000, 100.0, Transport::WebSocket),
                fan_out(5000, 20.0, Transport::WebSocket),
                Workload::Saturation { clients: 1000 },
                Workload::Saturation { clients: 5000 },
                Workload::Rooms { clients: 1000, per_second: 5000.0 },
                Workload::Hop { receivers: 1, per_second: 10_000.0 },
                Workload::Hop { receivers: 8, per_second: 5_000.0 },
                Workload::Hop { receivers: 32, per_second: 2_000.0 },
                storm(2000, Transport::WebSocket),
                storm(2000, Transport::Polling),
                storm(2000, Transport::Upgrade),
                fan_out(500, 20.0, Transport::Polling),
                Workload::Idle { clients: 1000 },
                Workload::Idle { clients: 5000 },
                Workload::Idle { clients: 20_000 },
            ],
            servers: Peer::ALL.to_vec(),
            rounds: 5,
            pace: Pace { warm_up: Duration::from_secs(2), measure: Duration::from_secs(6) },
        }
    }

    /// No more clients than descriptors allow; a server has as many as we.
    pub fn limit_to(&mut self, descriptors: u64) {
        let most = usize::try_from(descriptors.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX);
        for workload in &mut self.workloads {
            if let Workload::Idle { clients } = workload {
                *clients = most.min(*clients);
            }
        }
    }

    /// Runs it; `tell` gets each sample, or what prevented it, as it comes, so that whoever is interrupted has the rest.
    pub fn run(&self, programs: &Programs, cores: &Cores, mut tell: impl FnMut(Result<Sample, String>)) {
        for round in 1..=self.rounds {
            for workload in &self.workloads {
                // Each round begins with another server.
                let shift = (round - 1) % self.servers.len().max(1);
                let (late, early) = self.servers.split_at(shift);
                for peer in early.iter().chain(late).filter(|peer| workload.suits(**peer)) {
                    tell(self.once(programs, cores, *workload, *peer, round));
                }
            }
        }
    }

    fn once(
        &self,
        programs: &Programs,
        cores: &Cores,
        workload: Workload,
        peer: Peer,
        round: usize,
    ) -> Result<Sample, String> {
        let dealt = |result: Result<(), nix::Error>| result.map_err(|error| format!("cores: {error}"));
        dealt(cores.start_servers())?;
        let server = servers::start(peer, programs).map_err(|error| format!("{peer}: {error}"))?;
        dealt(cores.generate())?;
        workload.run(&server, self.pace, round).map_err(|error| format!("{peer}, {workload}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_no_more_clients_than_descriptors() {
        let mut campaign = Campaign::full();
        campaign.limit_to(8_000);
        let idle = |workload: &Workload| match workload {
            Workload::Idle { clients } => Some(*clients),
            _ => None,
        };
        let counts: Vec<usize> = campaign.workloads.iter().filter_map(idle).collect();
        assert_eq!(counts, [1000, 5000, 7500]);
    }

    #[test]
    fn every_workload_of_the_plans_suits_somebody_and_has_a_name_of_its_own() {
        let full = Campaign::full();
        let names: std::collections::BTreeSet<String> =
            full.workloads.iter().map(Workload::to_string).collect();
        assert_eq!(names.len(), full.workloads.len());
        for workload in full.workloads.iter().chain(&Campaign::short().workloads) {
            assert!(full.servers.iter().any(|peer| workload.suits(*peer)), "{workload}");
        }
    }
}
