//! The bus as a child of a supervisor: the life of the process, from its first line to its exit status.

use std::backtrace::Backtrace;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use oxherd_contract::causes::with_causes;
use oxherd_contract::child;
use oxherd_contract::ids::WorkerId;
use oxherd_contract::link::{ChildLink, LinkError};
use oxherd_contract::message::{ToChild, ToSupervisor};
use oxherd_contract::scoreboard::{Row, Scoreboard, ScoreboardError, State};
use oxherd_contract::settings::{BusSettings as Told, LogSettings};
use oxherd_contract::{Role, VERSION};
use thiserror::Error;
use tokio::io::Interest;
use tokio::sync::watch;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::sys::watch as watch_socket;
use crate::{BadClientName, Bus, BusError, BusOptions, BusSettings, ClientName, Counters, Hold, Listeners};
use crate::{Password, SettingsError};

/// How long a supervisor may take to say what this process is to do.
const SETTINGS_WITHIN: Duration = Duration::from_secs(10);

/// Descriptors that clients leave to everything else.
const RESERVE_DESCRIPTORS: u64 = 32;

/// How often the runtime shows that it turns, and writes its numbers down.
const BEAT_PERIOD: Duration = Duration::from_millis(200);

/// How long a bus that takes over holds publishes for workers that do not come back.
const HOLD_AT_MOST: Duration = Duration::from_millis(150);

/// How often it looks whether a worker that it waits for has died as well.
const HOLD_LOOK: Duration = Duration::from_millis(20);

/// Why a process is no bus.
#[derive(Debug, Error)]
enum ProcessError {
    #[error("cannot ignore a signal")]
    Signals(#[source] std::io::Error),
    #[error("cannot hear the supervisor")]
    Link(#[from] LinkError),
    #[error("the supervisor's first message was not a bus' settings with a scoreboard and a socket")]
    Unexpected,
    #[error("the supervisor speaks version {0} of the contract, this bus version {VERSION}")]
    Contract(u32),
    #[error(transparent)]
    Scoreboard(#[from] ScoreboardError),
    #[error("the scoreboard has no row for the bus")]
    NoRow,
    #[error("cannot start {what}")]
    Start {
        what: &'static str,
        #[source]
        cause: std::io::Error,
    },
    #[error("the settings are bad")]
    Settings(#[from] SettingsError),
    #[error("a worker's name is bad")]
    Name(#[from] BadClientName),
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Lives the whole life of the bus process: it serves until its supervisor is gone or kills it. A bus that cannot
/// start exits with status 1 and has said why to the supervisor, or to stderr when there is none.
pub fn run(start_logging: impl FnOnce(&LogSettings)) -> ExitCode {
    child::take_name(Role::Bus);
    let link = match child::ignore_signals()
        .map_err(ProcessError::Signals)
        .and_then(|()| Ok(ChildLink::inherited()?))
    {
        Ok(link) => link,
        Err(error) => {
            eprintln!("oxherd bus: {}", with_causes(&error)); // there is no log and no supervisor
            return ExitCode::FAILURE;
        }
    };
    match live(&link, start_logging) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _: Result<(), LinkError> =
                link.send(&ToSupervisor::BootFailed { reason: with_causes(&error) }, &[]);
            ExitCode::FAILURE
        }
    }
}

fn live(link: &ChildLink, start_logging: impl FnOnce(&LogSettings)) -> Result<(), ProcessError> {
    let (message, descriptors) = link.receive_first(SETTINGS_WITHIN)?;
    let ToChild::Bus(told) = message else { return Err(ProcessError::Unexpected) };
    if told.contract != VERSION {
        return Err(ProcessError::Contract(told.contract));
    }
    start_logging(&told.log);
    let span = tracing::error_span!("bus", role = "bus").entered();
    let outside = span.clone();
    let last_words = move |backtrace: &Backtrace| {
        outside.in_scope(|| tracing::error!(%backtrace, "aborted by another process: this is where it was"));
    };
    child::start_guard(link, told.orphan_grace, last_words)
        .map_err(|cause| ProcessError::Start { what: "the guard", cause })?;

    let mut descriptors = descriptors.into_iter();
    let (Some(scoreboard), Some(unix)) = (descriptors.next(), descriptors.next()) else {
        return Err(ProcessError::Unexpected);
    };
    let scoreboard = Arc::new(Scoreboard::open(scoreboard)?);
    let listeners = Listeners { unix: vec![unix.into()], tcp: descriptors.map(OwnedFd::into).collect() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| ProcessError::Start { what: "the runtime", cause })?;
    runtime.block_on(serve(link, &told, scoreboard, listeners))
}

async fn serve(
    link: &ChildLink,
    told: &Told,
    scoreboard: Arc<Scoreboard>,
    listeners: Listeners,
) -> Result<(), ProcessError> {
    let password = told.password.as_ref().map(|secret| Password::new(secret.reveal())).transpose()?;
    let settings = BusSettings::try_from(BusOptions { password, ..affordable() })?;
    let mut bus = Bus::new(settings);
    let row = scoreboard.row(told.row).ok_or(ProcessError::NoRow)?;
    row.set_state(State::Bus);
    let (expected, watched) = watch::channel(ready_workers(&scoreboard)?);
    if told.takes_over {
        bus = bus.hold(Hold { expected: watched, at_most: HOLD_AT_MOST });
    }
    let (counters, shutdown) = (bus.counters(), CancellationToken::new());
    link.send(&ToSupervisor::Ready, &[])?; // who connects from here on waits in the queue at worst
    tokio::select! {
        served = bus.serve(listeners, shutdown) => Ok(served?),
        () = beat(row, &counters) => Ok(()),
        () = keep_expected(&scoreboard, &expected, told.takes_over) => Ok(()),
        () = hang_up(link) => Ok(()),
    }
}

/// The defaults, or fewer clients if the kernel gives this process fewer descriptors.
fn affordable() -> BusOptions {
    let options = BusOptions::default();
    let affordable = child::open_files_max().saturating_sub(RESERVE_DESCRIPTORS).max(1);
    let clients_max = options.clients_max.min(usize::try_from(affordable).unwrap_or(usize::MAX));
    BusOptions { clients_max, tcp_clients_max: options.tcp_clients_max.min(clients_max * 3 / 4), ..options }
}

/// The names of the workers that serve now: whom a bus that takes over has to wait for.
fn ready_workers(scoreboard: &Scoreboard) -> Result<BTreeSet<ClientName>, BadClientName> {
    let ready = scoreboard.rows().filter(|row| row.state() == State::Ready);
    ready.map(|row| ClientName::new(WorkerId(row.worker.load(Relaxed)).client_name())).collect()
}

/// Stops waiting for a worker that dies meanwhile. Never ends.
async fn keep_expected(
    scoreboard: &Scoreboard,
    expected: &watch::Sender<BTreeSet<ClientName>>,
    takes_over: bool,
) {
    let mut looks = HOLD_AT_MOST.as_millis().div_ceil(HOLD_LOOK.as_millis());
    let mut period = interval(HOLD_LOOK);
    while takes_over && looks > 0 {
        period.tick().await;
        looks -= 1;
        if let Ok(ready) = ready_workers(scoreboard) {
            expected.send_modify(|names| names.retain(|name| ready.contains(name)));
        }
    }
    std::future::pending().await
}

/// Writes the numbers into the row: a bus' clients stand for connections, its publishes for requests. Never ends.
async fn beat(row: &Row, counters: &Counters) {
    let mut period = interval(BEAT_PERIOD);
    loop {
        period.tick().await;
        row.connections.store(counters.clients.get(), Relaxed);
        row.accepted.store(counters.accepted.get(), Relaxed);
        row.requests.store(counters.published.get(), Relaxed);
        row.bytes_in.store(counters.bytes_in.get(), Relaxed);
        row.bytes_out.store(counters.bytes_out.get(), Relaxed);
        let evicted = counters.cut_slow.get() + counters.cut_protocol.get() + counters.cut_auth.get();
        row.evicted.store(evicted, Relaxed);
        row.beats.fetch_add(1, Relaxed);
    }
}

/// Ends when the supervisor is gone: a bus is of no use without its workers.
async fn hang_up(link: &ChildLink) {
    let watched =
        link.as_fd().try_clone_to_owned().and_then(|copy| watch_socket(copy.into(), Interest::READABLE));
    let Ok(watched) = watched else { return };
    loop {
        match link.receive() {
            Ok(Some(_)) => tracing::error!("the supervisor said something out of place"),
            Ok(None) => match watched.readable().await {
                Ok(mut readable) => readable.clear_ready(),
                Err(_) => return,
            },
            Err(error) => return tracing::error!(%error, "the supervisor is gone"),
        }
    }
}
