//! `/healthz` and `/readyz`: any worker answers for the whole box, from the scoreboard.

use axum::http::{StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use oxherd_contract::scoreboard::{Row, State};
use oxherd_worker::Worker;
use serde::Serialize;

/// The body of both answers.
#[derive(Debug, PartialEq, Serialize)]
struct Health {
    ok: bool,
    host: String,
    workers: Workers,
}

/// How many workers of the box are in which state.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Workers {
    starting: u16,
    ready: u16,
    draining: u16,
}

/// `/healthz`: 200 as long as anybody answers. `/readyz`: 200 while the box has a READY worker, else 503.
pub(crate) fn routes(worker: Worker) -> Router {
    let look = move || Health::new(worker.identity().host.clone(), count(worker.scoreboard().rows()));
    let look_too = look.clone();
    Router::new()
        .route("/healthz", get(async move || answer(StatusCode::OK, Health { ok: true, ..look() })))
        .route(
            "/readyz",
            get(async move || {
                let health = look_too();
                answer(if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, health)
            }),
        )
}

impl Health {
    fn new(host: String, workers: Workers) -> Self {
        Health { ok: workers.ready > 0, host, workers }
    }
}

fn count<'a>(rows: impl Iterator<Item = &'a Row>) -> Workers {
    let mut workers = Workers::default();
    for row in rows {
        match row.state() {
            State::Free | State::Bus => {}
            State::Starting => workers.starting += 1,
            State::Ready => workers.ready += 1,
            State::Draining => workers.draining += 1,
        }
    }
    workers
}

fn answer(
    status: StatusCode,
    health: Health,
) -> (StatusCode, [(header::HeaderName, &'static str); 1], Json<Health>) {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(health))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_ready_while_one_of_its_workers_is() {
        let rows: [Row; 4] = Default::default();
        rows[1].set_state(State::Starting);
        rows[2].set_state(State::Draining);
        let health = Health::new("ox".to_owned(), count(rows.iter()));
        assert_eq!((health.ok, health.workers), (false, Workers { starting: 1, ready: 0, draining: 1 }));
        rows[0].set_state(State::Ready);
        assert!(Health::new("ox".to_owned(), count(rows.iter())).ok);
    }
}
