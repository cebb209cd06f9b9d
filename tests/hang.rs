//! A worker that hangs is replaced, one that only cannot run is not. Issue 2, "It is done when" 4.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use oxherd_supervisor::control::status::Status;
use support::http::{client, clients_of, emit, request};
use support::process::{BusyLoops, Scheduling, schedule, seconds_waited, stop};
use support::{Herd, HerdBuilder, signal_pid, soak_seconds};

#[test]
fn starved_workers_live_and_hung_ones_are_replaced() {
    let config = "affinity = \"source-ip\"\nhang_timeout = \"2s\"";
    let mut herd = HerdBuilder::faulty().config(config).start(2);
    let workers = herd.pids();
    starve(&herd, &workers, soak_seconds(60));
    herd.until_ready(2);
    assert_eq!(herd.pids(), workers, "nobody was killed\n{}", herd.log());

    // Only now is it proven that the watch was awake.
    let address = herd.address();
    emit(clients_of(workers[0], address, 1)[0], address, "spin");
    let status = until_replaced(&mut herd, &workers[..1]);
    assert_eq!(status.workers[0].restarts.hang, 1);
    let cause = &status.workers[0].last_death.as_ref().unwrap().cause;
    assert!(cause.contains("SIGABRT") && cause.contains("it hung"), "{cause}");

    signal_pid(workers[1], Signal::SIGSTOP);
    let status = until_replaced(&mut herd, &workers[1..]);
    assert_eq!(status.workers[1].restarts.hang, 1);
    // A stopped process takes no SIGABRT: what ends it is the SIGKILL after it.
    let cause = &status.workers[1].last_death.as_ref().unwrap().cause;
    assert!(cause.contains("SIGKILL") && cause.contains("it hung"), "{cause}");
}

/// Leaves the workers what 4 busy loops on each core do not want, for this long, and asks them for answers.
fn starve(herd: &Herd, workers: &[u32], duration: Duration) {
    workers.iter().for_each(|worker| schedule(*worker, Scheduling::Idle));
    let waited = || workers.iter().map(|worker| seconds_waited(*worker)).sum::<f64>();
    let (before, start, address) = (waited(), Instant::now(), herd.address());
    let loops = BusyLoops::start(4 * std::thread::available_parallelism().unwrap().get());
    scope(|threads| {
        // Somebody always wants an answer that takes 20 ms of computing: at this price many seconds without a beat.
        for number in 0..8 {
            threads.spawn(move || {
                while start.elapsed() < duration {
                    // It may take longer than anybody's patience.
                    let _ = request(client(number), address, "GET", "/compute?ms=20", "");
                }
            });
        }
        while start.elapsed() < duration {
            let status = herd.status();
            assert!(
                status.workers.iter().all(|worker| worker.restarts.hang == 0),
                "{status:?}\n{}",
                herd.log()
            );
            sleep(Duration::from_millis(250)); // the campaign's own pace
        }
        drop(loops);
    });
    workers.iter().for_each(|worker| schedule(*worker, Scheduling::Normal));
    let waited = waited() - before;
    let share = waited / (duration.as_secs_f64() * workers.len() as f64);
    eprintln!("the workers waited {waited:.1} s for a core, {:.0} % of the time", share * 100.0);
    assert!(share > 0.5, "they were not starved: {share}");
}

#[test]
fn a_box_that_was_stopped_as_a_whole_goes_on_with_all_its_workers() {
    const HANG_TIMEOUT: Duration = Duration::from_secs(1);
    let mut herd = HerdBuilder::faulty().config("hang_timeout = \"1s\"").start(2);
    let workers = herd.pids();
    let tree = || [herd.pid()].into_iter().chain(workers.iter().copied());
    tree().for_each(stop);
    sleep(HANG_TIMEOUT * 3); // nothing can tell a stopped box that time has passed
    tree().for_each(|pid| signal_pid(pid, Signal::SIGCONT));
    let resumed = herd.status().supervisor.uptime_ms;
    let watched = HANG_TIMEOUT.as_millis() as u64 * 3;
    herd.until("time goes on", |status| status.supervisor.uptime_ms > resumed + watched);
    let status = herd.until_ready(2);
    assert_eq!(herd.pids(), workers, "{}", herd.log());
    assert!(status.workers.iter().all(|worker| worker.restarts.hang == 0));
}

#[test]
fn the_status_is_there_at_once_while_workers_hang() {
    const GOAL: Duration = Duration::from_millis(10);
    let herd = HerdBuilder::faulty().config("affinity = \"source-ip\"\nhang_timeout = \"1m\"").start(2);
    let (workers, address) = (herd.pids(), herd.address());
    let _spins = herd.begin(clients_of(workers[0], address, 1)[0], "/spin");
    stop(workers[1]);
    let ask = || {
        let start = Instant::now();
        assert_eq!(herd.status().workers.len(), 2);
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..200).map(|_| ask()).collect();
    times.sort_unstable();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!("status: median {median:?}, longest {longest:?}");
    assert!(median < GOAL && longest < GOAL * 100, "median {median:?}, longest {longest:?}");
    workers.iter().for_each(|worker| signal_pid(*worker, Signal::SIGKILL)); // they would not leave in peace
}

/// Waits until none of these is left and everybody is READY.
fn until_replaced(herd: &mut Herd, old: &[u32]) -> Status {
    herd.until("they are gone", |status| {
        status.workers.iter().all(|worker| worker.pid.is_none_or(|pid| !old.contains(&pid)))
    });
    herd.until_ready(2)
}
