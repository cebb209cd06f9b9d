//! The fleet's rules, told as sequences of events.

use super::*;

const fn ms(ms: u64) -> Moment {
    Duration::from_millis(ms)
}

const POLICY: Policy =
    Policy { workers: 2, slots: 4, stop: ms(5_000), drain: ms(3_000), give_up: ms(60_000), seed: 1 };

const W1: WorkerId = WorkerId(1);
const W2: WorkerId = WorkerId(2);
const W3: WorkerId = WorkerId(3);
const T: Ticket = Ticket(9);

fn exited(worker: WorkerId) -> Event {
    Event::Exited { worker, cause: "killed by SIGKILL".into() }
}

fn restart(index: u16) -> Event {
    Event::Restart { index: WorkerIndex(index), ticket: T }
}

fn slots(ids: &[u16]) -> Vec<SlotId> {
    ids.iter().copied().map(SlotId).collect()
}

fn spawned(worker: u64, index: u16) -> Action {
    Action::Spawn { worker: WorkerId(worker), index: WorkerIndex(index), generation: Generation(1) }
}

/// Two Ready workers since 0 s.
fn serving() -> Fleet {
    let mut fleet = Fleet::new(POLICY, ms(0));
    assert_eq!(fleet.handle(ms(0), Event::Tick), [spawned(1, 0), spawned(2, 1)]);
    fleet.handle(ms(0), Event::Ready(W1));
    fleet.handle(ms(0), Event::Ready(W2));
    assert_eq!((fleet.slots_of(W1), fleet.slots_of(W2)), (slots(&[0, 2]), slots(&[1, 3])));
    fleet
}

#[test]
fn a_worker_gets_its_slots_when_it_is_ready_and_not_before() {
    let mut fleet = Fleet::new(POLICY, ms(0));
    fleet.handle(ms(0), Event::Tick);
    assert!(fleet.slots_of(W1).is_empty());
    let all = Action::Accept { worker: W2, slots: slots(&[0, 1, 2, 3]) };
    assert_eq!(fleet.handle(ms(10), Event::Ready(W2)), [all], "the first one takes all");
    assert_eq!(
        fleet.handle(ms(20), Event::Ready(W1)),
        [
            Action::Accept { worker: W1, slots: slots(&[0, 2]) },
            Action::Release { worker: W2, slots: slots(&[0, 2]) }
        ]
    );
}

#[test]
fn a_proven_worker_that_dies_is_replaced_at_once_and_its_slots_are_adopted_first() {
    let mut fleet = serving();
    assert_eq!(
        fleet.handle(ms(1_000), exited(W1)),
        [Action::Accept { worker: W2, slots: slots(&[0, 2]) }, spawned(3, 0)]
    );
    assert_eq!(
        fleet.handle(ms(1_200), Event::Ready(W3)),
        [
            Action::Accept { worker: W3, slots: slots(&[0, 2]) },
            Action::Release { worker: W2, slots: slots(&[0, 2]) }
        ]
    );
    assert_eq!(fleet.seats()[0].restarts.crash, 1);
}

#[test]
fn a_worker_that_dies_within_a_second_of_ready_waits_for_its_next_attempt() {
    let mut fleet = serving();
    let actions = fleet.handle(ms(999), exited(W1));
    assert_eq!(actions, [Action::Accept { worker: W2, slots: slots(&[0, 2]) }]);
    let retry = fleet.next_deadline().unwrap();
    assert!(retry >= ms(1_099) && retry <= ms(1_199), "{retry:?}");
    assert_eq!(fleet.handle(retry - ms(1), Event::Tick), []);
    assert_eq!(fleet.handle(retry, Event::Tick), [spawned(3, 0)]);
}

#[test]
fn a_hung_worker_loses_its_slots_and_its_seat_before_it_is_dead() {
    let mut fleet = serving();
    assert_eq!(
        fleet.handle(ms(20_000), Event::Unresponsive(W1)),
        [Action::Abort(W1), Action::Accept { worker: W2, slots: slots(&[0, 2]) }, spawned(3, 0)]
    );
    assert_eq!(fleet.handle(ms(20_999), Event::Tick), []);
    assert_eq!(fleet.handle(ms(21_000), Event::Tick), [Action::Kill(W1)]);
    assert_eq!(fleet.handle(ms(21_001), exited(W1)), []);
    let death = fleet.seats()[0].last_death.clone().unwrap();
    assert_eq!((death.worker, death.cause.as_str()), (W1, "killed by SIGKILL: it hung"));
    assert_eq!(fleet.seats()[0].restarts.hang, 1);
}

#[test]
fn a_worker_that_says_it_cannot_start_is_replaced_after_a_wait_with_its_reason_kept() {
    let mut fleet = Fleet::new(POLICY, ms(0));
    fleet.handle(ms(0), Event::Tick);
    fleet.handle(ms(5), Event::BootFailed { worker: W1, reason: "no database".into() });
    assert_eq!(fleet.handle(ms(6), Event::Ready(W1)), [], "it cannot take that back");
    assert_eq!(fleet.handle(ms(1_005), Event::Tick), [Action::Kill(W1)], "nor linger");
    assert_eq!(fleet.handle(ms(1_006), exited(W1)), []);
    assert_eq!(fleet.seats()[0].last_death.clone().unwrap().cause, "killed by SIGKILL: no database");
    assert_eq!(fleet.seats()[0].restarts.boot, 1);
}

#[test]
fn a_restart_moves_the_slots_before_the_old_worker_drains() {
    let mut fleet = serving();
    assert_eq!(fleet.handle(ms(5_000), restart(0)), [spawned(3, 0)]);
    let actions = fleet.handle(ms(5_100), Event::Ready(W3));
    assert!(matches!(&actions[0], Action::Answer { ticket: T, outcome: Ok(_) }), "{actions:?}");
    assert_eq!(
        actions[1..],
        [
            Action::Accept { worker: W3, slots: slots(&[0, 2]) },
            Action::Drain { worker: W1, within: POLICY.drain }
        ]
    );
    assert_eq!(fleet.handle(ms(8_100), Event::Tick), [Action::Kill(W1)], "draining has an end");
    assert_eq!(fleet.handle(ms(8_101), exited(W1)), []);
    assert_eq!(fleet.seats()[0].restarts.request, 1);
}

#[test]
fn a_restart_that_fails_leaves_the_old_worker_alone_and_says_why() {
    let mut fleet = serving();
    fleet.handle(ms(5_000), restart(0));
    let actions = fleet.handle(ms(5_100), exited(W3));
    let [Action::Answer { ticket: T, outcome: Err(reason) }] = &actions[..] else { panic!("{actions:?}") };
    assert!(reason.contains("killed by SIGKILL"), "{reason}");
    assert_eq!(fleet.slots_of(W1), slots(&[0, 2]));
    assert_eq!(fleet.handle(ms(5_200), Event::Tick), []);
}

#[test]
fn restarts_happen_one_after_the_other() {
    let mut fleet = serving();
    assert_eq!(fleet.handle(ms(5_000), restart(0)), [spawned(3, 0)]);
    assert_eq!(fleet.handle(ms(5_001), restart(1)), []);
    assert!(fleet.handle(ms(5_100), Event::Ready(W3)).contains(&spawned(4, 1)));
}

#[test]
fn a_restart_of_an_empty_seat_is_its_next_attempt_without_the_wait() {
    let mut fleet = serving();
    fleet.handle(ms(10), exited(W1));
    assert_eq!(fleet.handle(ms(20), restart(0)), [spawned(3, 0)]);
    assert!(matches!(fleet.handle(ms(30), Event::Ready(W3))[0], Action::Answer { outcome: Ok(_), .. }));
}

#[test]
fn an_occupant_that_dies_during_its_replacement_leaves_the_seat_to_the_successor() {
    let mut fleet = serving();
    fleet.handle(ms(5_000), restart(0));
    let adopted = Action::Accept { worker: W2, slots: slots(&[0, 2]) };
    assert_eq!(fleet.handle(ms(5_050), exited(W1)), [adopted], "nobody else is started");
    let actions = fleet.handle(ms(5_100), Event::Ready(W3));
    assert!(matches!(actions[0], Action::Answer { outcome: Ok(_), .. }), "{actions:?}");
    assert_eq!(fleet.slots_of(W3), slots(&[0, 2]));
}

#[test]
fn a_restart_of_what_does_not_exist_is_refused() {
    let mut fleet = serving();
    let refused = fleet.handle(ms(5_000), restart(2));
    assert!(matches!(&refused[..], [Action::Answer { outcome: Err(_), .. }]));
}

#[test]
fn a_worker_that_drains_on_its_own_is_replaced_meanwhile() {
    let mut fleet = serving();
    assert_eq!(
        fleet.handle(ms(500), Event::Draining(W1)),
        [Action::Accept { worker: W2, slots: slots(&[0, 2]) }, spawned(3, 0)]
    );
    assert_eq!(fleet.handle(ms(900), exited(W1)), []);
}

#[test]
fn a_stop_drains_who_serves_kills_who_does_not_and_ends_when_all_are_gone() {
    let mut fleet = serving();
    fleet.handle(ms(2_000), exited(W1));
    assert_eq!(
        fleet.handle(ms(2_100), Event::Stop),
        [Action::CloseListeners, Action::Drain { worker: W2, within: POLICY.stop }, Action::Kill(W3)]
    );
    assert_eq!(fleet.handle(ms(2_200), exited(W3)), [], "nobody is replaced");
    assert_eq!(fleet.handle(ms(2_300), exited(W2)), [Action::Finish(None)]);
}

#[test]
fn a_second_stop_does_not_wait() {
    let mut fleet = serving();
    fleet.handle(ms(2_000), Event::Stop);
    assert_eq!(fleet.handle(ms(2_001), Event::StopNow), [Action::Kill(W1), Action::Kill(W2)]);
}

#[test]
fn a_stop_has_a_deadline() {
    let mut fleet = serving();
    fleet.handle(ms(2_000), Event::Stop);
    assert_eq!(fleet.next_deadline(), Some(ms(7_000)));
    assert_eq!(fleet.handle(ms(7_000), Event::Tick), [Action::Kill(W1), Action::Kill(W2)]);
}

#[test]
fn who_waits_for_a_restart_hears_of_the_stop() {
    let mut fleet = serving();
    fleet.handle(ms(2_000), restart(0));
    fleet.handle(ms(2_000), restart(1));
    let actions = fleet.handle(ms(2_001), Event::Stop);
    let answers = actions.iter().filter(|action| matches!(action, Action::Answer { outcome: Err(_), .. }));
    assert_eq!(answers.count(), 2);
}

/// Lets every start fail at once until the fleet stops trying or `until`.
fn fail_all(fleet: &mut Fleet, from: Moment, until: Moment) -> (u32, Option<(Moment, String)>) {
    let (mut now, mut spawns) = (from, 0);
    let mut actions = fleet.handle(now, Event::Tick);
    while now < until {
        let mut next = Vec::new();
        for action in actions.drain(..) {
            match action {
                Action::Spawn { worker, .. } => {
                    spawns += 1;
                    next.extend(
                        fleet.handle(now, Event::Exited { worker, cause: "exited with status 3".into() }),
                    );
                }
                Action::Finish(reason) => return (spawns, reason.map(|reason| (now, reason))),
                _ => {}
            }
        }
        if next.is_empty() {
            now = fleet.next_deadline().unwrap().max(now + ms(1));
            next = fleet.handle(now, Event::Tick);
        }
        actions = next;
    }
    (spawns, None)
}

#[test]
fn a_box_whose_every_start_fails_gives_up_after_a_minute_with_the_reason() {
    let mut fleet = Fleet::new(POLICY, ms(0));
    let (spawns, ended) = fail_all(&mut fleet, ms(0), ms(120_000));
    let (at, reason) = ended.unwrap();
    assert_eq!(at, ms(60_000));
    assert!(reason.contains("exited with status 3"), "{reason}");
    assert!((10..60).contains(&spawns), "{spawns}");
}

#[test]
fn one_sick_worker_never_stops_the_others() {
    let mut fleet = Fleet::new(POLICY, ms(0));
    fleet.handle(ms(0), Event::Tick);
    fleet.handle(ms(0), Event::Ready(W2));
    let mut sick = W1;
    let mut now = ms(0);
    while now < ms(600_000) {
        let mut actions = fleet.handle(now, exited(sick));
        while !actions.iter().any(|action| matches!(action, Action::Spawn { .. })) {
            now = fleet.next_deadline().unwrap();
            actions = fleet.handle(now, Event::Tick);
        }
        let [Action::Spawn { worker, .. }] = actions[..] else { panic!("{actions:?}") };
        sick = worker;
    }
    assert!(sick < WorkerId(80), "{sick} starts in ten minutes");
    assert_eq!(fleet.slots_of(W2), slots(&[0, 1, 2, 3]));
}

#[test]
fn a_supervisor_that_was_stopped_does_not_give_up_for_that() {
    let mut fleet = Fleet::new(POLICY, ms(0));
    fail_all(&mut fleet, ms(0), ms(50_000));
    assert!(!fleet.handle(ms(500_000), Event::Late).iter().any(|action| matches!(action, Action::Finish(_))));
    assert!(!fleet.is_stopping());
}
