//! Memory of processes, from `/proc/PID/smaps_rollup`.

use std::fs;
use std::ops::AddAssign;

/// Bytes of one or more processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Pages that no other process has: what would come back if it ended.
    pub private: u64,
    /// Private pages and its share of the shared ones.
    pub proportional: u64,
}

impl AddAssign for Memory {
    fn add_assign(&mut self, other: Memory) {
        self.private += other.private;
        self.proportional += other.proportional;
    }
}

/// Of all these processes together.
pub fn of(processes: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for process in processes {
        // One that has just ended has none.
        sum += fs::read_to_string(format!("/proc/{process}/smaps_rollup"))
            .map_or(Memory::default(), |text| parse(&text));
    }
    sum
}

fn parse(smaps: &str) -> Memory {
    let field = |name: &str| {
        let line = smaps.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    let private = field("Private_Clean") + field("Private_Dirty") + field("Private_Hugetlb");
    Memory { private, proportional: field("Pss") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_is_clean_and_dirty() {
        let text = "55 ---p 0 0:0 0 [rollup]\nRss: 900 kB\nPss:     320 kB\nPss_Dirty:  1 kB\n\
            Private_Clean:  100 kB\nPrivate_Dirty:  20 kB\nPrivate_Hugetlb: 0 kB\n";
        assert_eq!(parse(text), Memory { private: 120 * 1024, proportional: 320 * 1024 });
    }

    #[test]
    fn this_process_has_some() {
        let memory = of(&[std::process::id()]);
        assert!(memory.private > 0 && memory.proportional >= memory.private / 2);
    }
}
