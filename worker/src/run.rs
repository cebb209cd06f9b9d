//! The life of the process, from its first line to its exit status.

use std::backtrace::Backtrace;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use oxherd_contract::Role;
use oxherd_contract::causes::with_causes;
use oxherd_contract::child;
use oxherd_contract::link::{ChildLink, LinkError};
use oxherd_contract::message::ToSupervisor;
use oxherd_contract::scoreboard::State;
use oxherd_contract::settings::WorkerSettings;
use tracing::Span;

use crate::accept::{Door, Slots, open_to_siblings};
use crate::birth::{self, Birth, BirthError};
use crate::boot::boot;
use crate::boxes::{Boxes, Me};
use crate::cluster;
use crate::connection::{Connections, Greeter, Limits, Protocol};
use crate::drain::{Leaving, drain, take_last_gifts};
use crate::keys::KeyRing;
use crate::orders::{Order, Orders};
use crate::route::tag::{Owner, Secrets, Tagger};
use crate::route::{Gate, Routing};
use crate::tls::Tls;
use crate::worker::{BoxError, Worker};
use crate::{engine, panics, row};

/// What the supervisor is told of a failure at most; escaped in JSON it still fits into one message of the link.
const REASON_BYTES_MAX: usize = 8 * 1024;

/// Lives the whole life of a worker process and returns its exit status.
///
/// Call it as the first thing of a process that a supervisor started: it takes the link at descriptor 3, waits for
/// the settings, starts logging, builds the application, proves that it answers, then serves until it is told to
/// leave. A worker that cannot start says so to the supervisor and exits with status 1; one that left in peace exits
/// with 0, whatever it had to end at the deadline.
pub fn run<F, Fut>(start_logging: impl FnOnce(&WorkerSettings), application: F) -> ExitCode
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<axum::Router, BoxError>>,
{
    child::take_name(Role::Worker);
    let (link, birth) = match be_born() {
        Ok(born) => born,
        Err(error) => {
            eprintln!("oxherd worker: {}", with_causes(&error)); // there is no log yet, perhaps no supervisor
            return ExitCode::FAILURE;
        }
    };
    start_logging(&birth.settings);
    let identity = &birth.settings.identity;
    let (worker, index, generation) = (identity.worker.0, identity.index.0, identity.generation.0);
    // Entered for good on the only thread that runs tasks: every line of theirs is inside it. Of the highest level,
    // so that no filter for levels takes it away from a line that is let through.
    let span = tracing::error_span!("worker", role = "worker", index, worker, generation).entered();
    panics::install(birth.row);
    match live(link, birth, span.clone(), application) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = with_causes(error.as_ref()), "cannot start");
            ExitCode::FAILURE
        }
    }
}

/// Everything before the log.
fn be_born() -> Result<(ChildLink, Birth), BirthError> {
    child::ignore_signals().map_err(BirthError::Signals)?;
    let link = ChildLink::inherited().map_err(BirthError::Link)?;
    match birth::hear(&link) {
        Ok(birth) => Ok((link, birth)),
        Err(error) => {
            let _: Result<(), LinkError> = link.send(&failure(&error), &[]); // the exit status tells it too
            Err(error)
        }
    }
}

fn live<F, Fut>(link: ChildLink, birth: Birth, span: Span, application: F) -> Result<(), BoxError>
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<axum::Router, BoxError>>,
{
    let last_words = move |backtrace: &Backtrace| {
        span.in_scope(|| tracing::error!(%backtrace, "aborted by another process: this is where it was"));
    };
    child::start_guard(&link, birth.settings.shared.orphan_grace, last_words).map_err(BirthError::Guard)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BirthError::Runtime)?;
    let outcome = runtime.block_on(serve(link, birth, application));
    runtime.shutdown_background(); // a blocking call of the application must not hold the exit
    outcome
}

async fn serve<F, Fut>(link: ChildLink, birth: Birth, application: F) -> Result<(), BoxError>
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<axum::Router, BoxError>>,
{
    let Birth { settings, scoreboard, row } = birth;
    let shared = settings.shared.clone();
    let secrets = Secrets::new(&shared.cluster.secrets);
    let keys = KeyRing { tls: Tls::new()?, secrets: secrets.clone() };
    let mut orders = Orders::new(link, shared.orphan_grace, keys.clone())?;
    let cluster = cluster::start(&settings)?;
    let me = Owner { box_id: settings.identity.box_id, worker: settings.identity.worker };
    let siblings = settings.siblings.clone();
    let engine = engine::control(&shared, Arc::new(Tagger { secrets: secrets.clone(), me }));
    tokio::spawn(row::beat(row, cluster.clone(), engine.clone()));
    let worker = Worker::new(settings, scoreboard, row, cluster.clone());
    let booted = tokio::select! {
        booted = boot(worker.clone(), engine.clone(), application) => booted,
        _within = orders.leave() => return Ok(()), // nobody is connected yet
    };
    let app = match booted {
        Ok(app) => Arc::new(app),
        Err(error) => {
            orders.tell(&failure(&error)).await;
            return Err(error.into());
        }
    };

    let connections = Connections::new(row, Limits::effective(&shared.http));
    tokio::spawn({
        let connections = connections.clone();
        async move { connections.sweep(shared.http.write_timeout).await }
    });
    let boxes = shared.boxes.map(|settings| {
        let me = Me { owner: me, advertise: settings.advertise };
        Boxes::start(me, secrets.clone(), cluster.clone(), scoreboard, row)
    });
    let paths = app.engine_paths().into();
    let routing = Routing::new(me, secrets, paths, scoreboard, siblings, boxes.clone(), connections.clone());
    let routing = Arc::new(routing);
    tokio::spawn({
        let routing = routing.clone();
        async move { routing.watch().await }
    });
    let edge = Arc::new(shared.edge);
    let gate = Gate {
        app: app.clone(),
        connections: connections.clone(),
        routing: routing.clone(),
        edge: edge.clone(),
    };
    let door = Door {
        connections: connections.clone(),
        protocol: Protocol::new(&shared.http),
        gate: Arc::new(gate),
        routing,
        peek_timeout: shared.http.peek_timeout,
        greeter: Greeter { edge, tls: keys.tls, within: shared.http.header_timeout },
    };
    if let Err(error) = open_to_siblings(&door) {
        orders.tell(&failure(&error)).await;
        return Err(error.into());
    }
    let mut slots = Slots::new(door);
    tokio::select! {
        () = cluster::joined(&cluster, shared.redis.as_ref()) => {}
        _within = orders.leave() => return Ok(()), // nobody is connected yet
    }
    row.set_state(State::Ready);
    if let Some(boxes) = boxes.clone() {
        tokio::spawn(async move { boxes.take_part().await });
    }
    orders.tell(&ToSupervisor::Ready).await;
    let within = loop {
        match orders.next().await {
            Order::Accept(more) => slots.accept(more),
            Order::Release(these) => slots.release(&these),
            Order::Leave(within) => break within,
        }
    };

    row.set_state(State::Draining);
    slots.close_to_clients();
    let leaving = Leaving { connections: &connections, engine: &engine, servers: worker.servers() };
    drain(&leaving, &mut orders, within).await;
    row::note_sessions(row, &engine);
    drop(slots);
    if let Some(boxes) = boxes {
        boxes.leave();
    }
    row.set_state(State::Free);
    take_last_gifts(&connections).await;
    cluster::leave(&cluster).await;
    Ok(())
}

/// Cut to what fits into a message, at the end, where the deepest causes are.
fn failure(error: &dyn Error) -> ToSupervisor {
    let mut reason = with_causes(error);
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    ToSupervisor::BootFailed { reason }
}
