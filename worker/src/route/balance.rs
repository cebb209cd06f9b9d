//! Who gets a connection that starts a session: its own worker, unless that carries more than its share. Pure.

use oxherd_contract::ids::WorkerId;

/// A worker may carry a sixteenth more than its share…
const SLACK_DIVISOR: u64 = 16;

/// …and this many sessions more in any case: to move one costs a little at each of its connections.
const SLACK_SESSIONS_MIN: u64 = 4;

/// What a worker carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub worker: WorkerId,
    pub sessions: u64,
}

/// The less loaded of two random siblings, if this worker, which carries `own`, has more than its share.
///
/// Two random ones and not the least loaded of all: many workers that see the same numbers at the same time would
/// all choose the same one.
pub(crate) fn relief(own: u64, siblings: &[Load], random: u64) -> Option<WorkerId> {
    let workers = siblings.len() as u64 + 1;
    let share = (siblings.iter().map(|load| load.sessions).sum::<u64>() + own) / workers;
    if own < share + SLACK_SESSIONS_MIN.max(share / SLACK_DIVISOR) {
        return None;
    }
    let pick = |random: u64| siblings.get((random % (workers - 1).max(1)) as usize);
    let (one, other) = (pick(random & 0xFFFF_FFFF)?, pick(random >> 32)?);
    let lighter = if one.sessions <= other.sessions { one } else { other };
    (lighter.sessions < own).then_some(lighter.worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(sessions: &[u64]) -> Vec<Load> {
        (1..)
            .zip(sessions)
            .map(|(worker, sessions)| Load { worker: WorkerId(worker), sessions: *sessions })
            .collect()
    }

    #[test]
    fn who_has_no_more_than_its_share_keeps_what_comes() {
        for (own, siblings) in
            [(0, vec![]), (1000, vec![]), (0, vec![0, 0]), (4, vec![4, 0, 4]), (105, vec![100; 3])]
        {
            assert_eq!(relief(own, &loads(&siblings), u64::MAX), None, "{own} {siblings:?}");
        }
    }

    #[test]
    fn who_has_more_gives_to_the_lighter_of_two() {
        let siblings = loads(&[10, 20]);
        assert_eq!(relief(100, &siblings, 1 << 32), Some(WorkerId(1)));
        assert_eq!(relief(100, &siblings, 1), Some(WorkerId(1)));
        assert_eq!(relief(100, &siblings, 1 << 32 | 1), Some(WorkerId(2)), "twice the same");
        assert_eq!(relief(100, &loads(&[0]), 7), Some(WorkerId(1)));
    }

    #[test]
    fn a_thousand_clients_of_one_address_end_within_a_tenth_of_even() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        for workers in [2, 3, 4, 8] {
            let mut sessions = vec![0; workers];
            for _ in 0..1000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let siblings = loads(&sessions[1..]);
                let to = relief(sessions[0], &siblings, seed ^ seed >> 29).map_or(0, |worker| worker.0);
                sessions[to as usize] += 1;
            }
            let even = 1000 / workers as u64;
            let near = |count: &u64| count.abs_diff(even) <= even / 10;
            assert!(sessions.iter().all(near), "{sessions:?}");
        }
    }
}
