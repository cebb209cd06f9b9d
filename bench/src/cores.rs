//! Who runs where: the generator on the last core, servers on all others.
//!
//! Left to the scheduler, the same server on two cores was now beside the generator, now on its core: then a message
//! stays in one core's cache, but both wait for each other, and its CPU time is another by a third. On two cores a
//! server of several processes has one core for all of them: what is compared is the work of a delivery.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread; what it starts inherits its cores (`sched_setaffinity(2)`).
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The cores of this process, dealt.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    servers: CpuSet,
    generator: CpuSet,
}

impl Cores {
    /// Deals the cores that this process may use; where there is only one, all share it.
    pub fn deal() -> Result<Self, nix::Error> {
        let all = sched_getaffinity(THIS_THREAD)?;
        let is_ours = |core: &usize| all.is_set(*core).unwrap_or(false);
        let last = (0..CpuSet::count()).rfind(is_ours).unwrap_or(0);
        let (mut servers, mut generator) = (all, CpuSet::new());
        generator.set(last)?;
        if (0..last).any(|core| is_ours(&core)) {
            servers.unset(last)?;
        }
        Ok(Cores { servers, generator })
    }

    /// What this thread starts from now on is a server.
    pub fn start_servers(&self) -> Result<(), nix::Error> {
        sched_setaffinity(THIS_THREAD, &self.servers)
    }

    /// This thread is the generator from now on.
    pub fn generate(&self) -> Result<(), nix::Error> {
        sched_setaffinity(THIS_THREAD, &self.generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_generator_share_no_core_if_there_are_two() {
        let before = sched_getaffinity(THIS_THREAD).unwrap();
        let cores = Cores::deal().unwrap();
        let of = |set: &CpuSet| -> Vec<usize> {
            (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap()).collect()
        };
        assert_eq!(of(&cores.generator).len(), 1);
        let shared = of(&cores.servers).iter().any(|core| of(&cores.generator).contains(core));
        assert_eq!(shared, of(&before).len() == 1);

        cores.start_servers().unwrap();
        assert_eq!(sched_getaffinity(THIS_THREAD).unwrap(), cores.servers);
        cores.generate().unwrap();
        assert_eq!(sched_getaffinity(THIS_THREAD).unwrap(), cores.generator);
        sched_setaffinity(THIS_THREAD, &before).unwrap();
    }
}
