//! Becoming READY, and saying why not.

use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

use oxherd_contract::message::ToSupervisor;
use oxherd_contract::scoreboard::State;

use crate::support::{PATIENCE, Process, Start, wait_until};

crate::trials![
    a_worker_says_ready_after_its_own_handshake_and_leaves_no_session,
    an_application_that_answers_below_500_is_ready,
    an_application_that_answers_500_is_not_ready,
    an_application_that_does_not_answer_is_not_ready,
    an_error_of_the_application_is_told_with_its_causes,
    a_panic_of_the_application_is_told,
    a_supervisor_of_another_contract_is_refused,
    a_drain_ends_a_worker_that_is_still_starting,
    a_process_without_a_supervisor_says_so,
    a_worker_ignores_the_signals_that_are_for_its_supervisor,
];

fn a_worker_says_ready_after_its_own_handshake_and_leaves_no_session() {
    let process = Start::default().ready();
    let row = process.row();
    assert_eq!((row.state(), row.worker.load(Relaxed)), (State::Ready, process.worker.0));
    assert_eq!((row.sessions.load(Relaxed), row.requests.load(Relaxed)), (0, 0));
    let beats = row.beats.load(Relaxed);
    wait_until("the runtime beats", || row.beats.load(Relaxed) > beats + 1);
}

fn an_application_that_answers_below_500_is_ready() {
    Start::application("404").ready();
}

fn an_application_that_answers_500_is_not_ready() {
    let reason = reason_of_failure(Start::application("500").process());
    assert!(reason.contains("does not serve: ") && reason.contains("503"), "{reason}");
}

fn an_application_that_does_not_answer_is_not_ready() {
    let reason = reason_of_failure(Start::application("silent").process());
    assert!(reason.contains("not answered within 10 s"), "{reason}");
}

fn an_error_of_the_application_is_told_with_its_causes() {
    let reason = reason_of_failure(Start::application("error").process());
    let causes = "could not be built: cannot reach the database: an error occurred when formatting";
    assert!(reason.contains(causes), "{reason}");
}

fn a_panic_of_the_application_is_told() {
    let process = Start::application("panic").process();
    let reason = reason_of_failure(process);
    assert!(reason.contains("panicked while it was built: no database"), "{reason}");
}

fn a_supervisor_of_another_contract_is_refused() {
    let mut process = Start { contract: 99, ..Start::default() }.process();
    let said = process.hears();
    let ToSupervisor::BootFailed { reason } = said else { panic!("{said:?}") };
    assert!(reason.contains("version 99"), "{reason}");
    assert_eq!(process.ends_within(PATIENCE).code(), Some(1));
    assert!(process.log().contains(&reason), "{}", process.log());
}

fn a_drain_ends_a_worker_that_is_still_starting() {
    let mut process = Start::application("silent").process();
    wait_until("it starts", || process.row().state() == State::Starting);
    process.drain(PATIENCE);
    process.leaves();
}

fn a_process_without_a_supervisor_says_so() {
    let mut program = Command::new(std::env::current_exe().unwrap());
    let output = program.arg(oxherd_contract::CHILD_ARGUMENT).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("was not started by a supervisor"), "{error}");
}

fn a_worker_ignores_the_signals_that_are_for_its_supervisor() {
    use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    let mut process = Start::default().ready();
    for signal in [SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGWINCH] {
        process.signal(signal);
    }
    let beats = process.row().beats.load(Relaxed);
    wait_until("the runtime beats", || process.row().beats.load(Relaxed) > beats + 1);
    process.signal(SIGTERM);
    process.leaves();
    assert_eq!(process.row().state(), State::Free);
}

/// What a worker says that exits with status 1.
fn reason_of_failure(mut process: Process) -> String {
    let said = process.hears();
    let ToSupervisor::BootFailed { reason } = said else { panic!("{said:?}") };
    assert_eq!(process.ends_within(PATIENCE).code(), Some(1));
    let log = process.log();
    let line = log.lines().find(|line| line.contains("cannot start")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(r#""role":"worker""#) && line.contains(r#""generation":1"#), "{line}");
    reason
}
