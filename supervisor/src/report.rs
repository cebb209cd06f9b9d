//! Makes the status out of what the fleet, the children and the scoreboard say. Reads memory only, so it answers
//! at once however the workers are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use oxherd_contract::ids::WorkerId;
use oxherd_contract::scoreboard::{Row, State};
use oxherd_contract::secret::Secret;

use crate::bus_sockets::BusSockets;
use crate::child::ChildId;
use crate::control::status::{BusStatus, LastDeath, RedisStatus, Status, SupervisorStatus, WorkerStatus};
use crate::fleet::{Life, Member, Moment, Occupancy, Seat};
use crate::keeper::BusState;
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(crate) fn status(&self) -> Status {
        let now = self.now();
        let supervisor = SupervisorStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            box_id: self.box_id,
            host: self.plan.host.clone(),
            uptime_ms: millis(now),
            generation: self.fleet.generation(),
            workers_wanted: self.plan.workers,
            open_files_max: self.open_files_max,
            stopping: self.fleet.is_stopping(),
        };
        let seats = self.fleet.seats();
        let members = self.fleet.members().map(|(worker, member)| {
            let seat = &seats[usize::from(member.index.0)];
            self.member_status(now, seat, worker, member)
        });
        let vacant = seats.iter().filter_map(|seat| match seat.occupancy {
            Occupancy::Vacant { until } => Some(self.vacant_status(now, seat, until)),
            Occupancy::Held(_) => None,
        });
        let mut workers: Vec<WorkerStatus> = members.chain(vacant).collect();
        workers.sort_by_key(|worker| (worker.index, worker.id));
        let (listeners, bus) = (self.listeners.status(), self.bus_status(now));
        Status { supervisor, listeners, bus, redis: self.redis_status(&workers), workers }
    }

    fn redis_status(&self, workers: &[WorkerStatus]) -> Option<RedisStatus> {
        let redis = self.plan.shared.redis.as_ref()?;
        let serving = || workers.iter().filter(|worker| worker.state == "ready");
        let joined = serving().filter(|worker| worker.joined).count() as u16;
        let state = match (joined, serving().count() as u16) {
            (0, _) => "disconnected",
            (some, all) if some < all => "partial",
            _ => "connected",
        };
        let rows = || self.scoreboard.rows().filter(|row| row.state() == State::Ready);
        let boxes = rows().map(|row| row.boxes.load(Relaxed)).max().unwrap_or(0);
        let box_noise = rows().map(|row| row.box_noise.load(Relaxed)).sum();
        Some(RedisStatus { place: redis.place.clone(), state: state.to_owned(), joined, boxes, box_noise })
    }

    /// Where messages for this box's clients can be published, as a URL.
    pub(crate) fn broker(&self) -> Secret {
        match &self.plan.shared.redis {
            Some(redis) => redis.url.clone(),
            None => Secret::new(format!("unix://{}", self.control.beside("bus").display())),
        }
    }

    fn bus_status(&self, now: Moment) -> BusStatus {
        let child = self.children.get(&ChildId::Bus);
        let sockets = self.bus_sockets.as_ref();
        let row = child.and_then(|child| self.scoreboard.row(child.row));
        let count = |cell: fn(&Row) -> &AtomicU64| row.map_or(0, |row| cell(row).load(Relaxed));
        let (state, uptime) = match self.keeper.state {
            BusState::Off => ("off", Moment::ZERO),
            BusState::Vacant { until } => ("backoff", until.saturating_sub(now)),
            BusState::Starting { born } => ("starting", now.saturating_sub(born)),
            BusState::Ready { born, .. } => ("ready", now.saturating_sub(born)),
            BusState::Dying { born, .. } => ("dying", now.saturating_sub(born)),
        };
        BusStatus {
            state: state.to_owned(),
            pid: child.map(|child| child.pid),
            path: sockets.map_or_else(String::new, |sockets| sockets.path().display().to_string()),
            listen: sockets.into_iter().flat_map(BusSockets::addresses).map(|at| at.to_string()).collect(),
            uptime_ms: millis(uptime),
            clients: count(|row| &row.connections),
            published: count(|row| &row.requests),
            bytes_in: count(|row| &row.bytes_in),
            bytes_out: count(|row| &row.bytes_out),
            evicted: count(|row| &row.evicted),
            restarts: self.keeper.restarts,
            last_death: self.keeper.last_death.as_ref().map(|(life, cause, at)| LastDeath {
                id: WorkerId(life.0),
                cause: cause.clone(),
                ago_ms: millis(now.saturating_sub(*at)),
            }),
        }
    }

    fn member_status(&self, now: Moment, seat: &Seat, worker: WorkerId, member: &Member) -> WorkerStatus {
        let child = self.children.get(&ChildId::Worker(worker));
        let state = match member.life {
            Life::Starting => "starting",
            Life::Ready { .. } => "ready",
            Life::Draining { .. } => "draining",
            Life::Dying { .. } => "dying",
        };
        WorkerStatus {
            state: state.to_owned(),
            id: Some(worker),
            pid: child.map(|child| child.pid),
            generation: member.generation,
            slots: self.fleet.slots_of(worker),
            uptime_ms: millis(now.saturating_sub(member.born)),
            ..self.seat_status(now, seat, child.and_then(|child| self.scoreboard.row(child.row)))
        }
    }

    fn vacant_status(&self, now: Moment, seat: &Seat, until: Moment) -> WorkerStatus {
        WorkerStatus { uptime_ms: millis(until.saturating_sub(now)), ..self.seat_status(now, seat, None) }
    }

    /// What a place and the row of its worker tell; without a row all counts are zero.
    fn seat_status(&self, now: Moment, seat: &Seat, row: Option<&Row>) -> WorkerStatus {
        let count = |cell: fn(&Row) -> &AtomicU64| row.map_or(0, |row| cell(row).load(Relaxed));
        WorkerStatus {
            index: seat.index,
            state: "backoff".to_owned(),
            id: None,
            pid: None,
            generation: self.fleet.generation(),
            slots: Vec::new(),
            uptime_ms: 0,
            connections: count(|row| &row.connections),
            sessions: count(|row| &row.sessions),
            requests: count(|row| &row.requests),
            bytes_in: count(|row| &row.bytes_in),
            bytes_out: count(|row| &row.bytes_out),
            accepted: count(|row| &row.accepted),
            evicted: count(|row| &row.evicted),
            panics: count(|row| &row.panics),
            bus_lost: count(|row| &row.bus_lost),
            sessions_polling: count(|row| &row.sessions_polling),
            sessions_websocket: count(|row| &row.sessions_websocket),
            queued_bytes: count(|row| &row.queued_bytes),
            slow_over_budget: count(|row| &row.slow_over_budget),
            slow_stalled: count(|row| &row.slow_stalled),
            sessions_refused: count(|row| &row.sessions_refused),
            handed_off: count(|row| &row.handed_off),
            handed_in: count(|row| &row.handed_in),
            forwarded: count(|row| &row.forwarded),
            forwarded_in: count(|row| &row.forwarded_in),
            refused: count(|row| &row.refused),
            joined: count(|row| &row.joined) != 0,
            restarts: seat.restarts,
            last_death: seat.last_death.as_ref().map(|death| LastDeath {
                id: death.worker,
                cause: death.cause.clone(),
                ago_ms: millis(now.saturating_sub(death.at)),
            }),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
