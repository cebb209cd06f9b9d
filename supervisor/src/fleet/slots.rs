//! Who accepts on which slot. Every slot has a home seat; while that seat serves nobody, a sibling adopts the slot.

use std::collections::BTreeMap;

use oxherd_contract::ids::{SlotId, WorkerId};

use super::Action;

/// Who accepts on each slot, by slot id.
#[derive(Debug)]
pub(super) struct SlotTable {
    acceptors: Vec<Option<WorkerId>>,
}

impl SlotTable {
    pub(super) fn new(slots: u16) -> SlotTable {
        SlotTable { acceptors: vec![None; usize::from(slots)] }
    }

    /// The slots that this worker accepts on.
    pub(super) fn of(&self, worker: WorkerId) -> Vec<SlotId> {
        let held = |(_, acceptor): &(SlotId, &Option<WorkerId>)| **acceptor == Some(worker);
        (0..).map(SlotId).zip(&self.acceptors).filter(held).map(|(slot, _)| slot).collect()
    }

    /// Gives every slot to its home seat's worker, or leaves it with who has it, or has it adopted by the worker
    /// with the fewest. `seats` names the Ready worker of each seat. Who gets a slot hears of it before who loses it:
    /// two may accept on one listener, but never nobody.
    pub(super) fn assign(&mut self, seats: &[Option<WorkerId>], actions: &mut Vec<Action>) {
        let serves = |worker: &WorkerId| seats.contains(&Some(*worker));
        let mut load: BTreeMap<WorkerId, usize> = seats.iter().flatten().map(|worker| (*worker, 0)).collect();
        let mut wanted: Vec<Option<WorkerId>> = (self.acceptors.iter().enumerate())
            .map(|(slot, acceptor)| seats[slot % seats.len()].or(acceptor.filter(serves)))
            .collect();
        for worker in wanted.iter().flatten() {
            *load.entry(*worker).or_default() += 1;
        }
        for orphan in wanted.iter_mut().filter(|wanted| wanted.is_none()) {
            let Some((worker, slots)) = load.iter_mut().min_by_key(|(_, slots)| **slots) else { break };
            *orphan = Some(*worker);
            *slots += 1;
        }

        let mut accept: BTreeMap<WorkerId, Vec<SlotId>> = BTreeMap::new();
        let mut release: BTreeMap<WorkerId, Vec<SlotId>> = BTreeMap::new();
        for (slot, (before, after)) in (0..).map(SlotId).zip(self.acceptors.iter().zip(&wanted)) {
            if before == after {
                continue;
            }
            if let Some(worker) = after {
                accept.entry(*worker).or_default().push(slot);
            }
            if let Some(worker) = before.filter(serves) {
                release.entry(worker).or_default().push(slot);
            }
        }
        actions.extend(accept.into_iter().map(|(worker, slots)| Action::Accept { worker, slots }));
        actions.extend(release.into_iter().map(|(worker, slots)| Action::Release { worker, slots }));
        self.acceptors = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: WorkerId = WorkerId(1);
    const B: WorkerId = WorkerId(2);
    const C: WorkerId = WorkerId(3);

    fn slots(ids: &[u16]) -> Vec<SlotId> {
        ids.iter().copied().map(SlotId).collect()
    }

    fn assign(table: &mut SlotTable, seats: &[Option<WorkerId>]) -> Vec<Action> {
        let mut actions = Vec::new();
        table.assign(seats, &mut actions);
        actions
    }

    #[test]
    fn slots_go_home_and_are_adopted_while_home_is_empty() {
        let mut table = SlotTable::new(6);
        assert_eq!(assign(&mut table, &[None, None, None]), []);
        let all = Action::Accept { worker: A, slots: slots(&[0, 1, 2, 3, 4, 5]) };
        assert_eq!(assign(&mut table, &[Some(A), None, None]), [all]);
        let (accept, release) = (slots(&[1, 4]), slots(&[1, 4]));
        assert_eq!(
            assign(&mut table, &[Some(A), Some(B), None]),
            [Action::Accept { worker: B, slots: accept }, Action::Release { worker: A, slots: release }]
        );
        assert_eq!(assign(&mut table, &[Some(A), Some(B), None]), [], "nothing moves without a reason");
        let adopted = Action::Accept { worker: B, slots: slots(&[0, 2, 3, 5]) };
        assert_eq!(assign(&mut table, &[None, Some(B), None]), [adopted], "the dead are told nothing");
        assign(&mut table, &[Some(C), Some(B), None]);
        assert_eq!(table.of(C), slots(&[0, 3]));
        assert_eq!(table.of(B), slots(&[1, 2, 4, 5]));
    }

    #[test]
    fn orphans_spread_over_those_who_have_fewest() {
        let mut table = SlotTable::new(9);
        assign(&mut table, &[Some(A), Some(B), Some(C)]);
        assign(&mut table, &[Some(A), Some(B), None]);
        assert_eq!((table.of(A).len(), table.of(B).len()), (5, 4));
    }
}
