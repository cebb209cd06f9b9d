//! The other boxes of the cluster: who they are, and the way to them.
//!
//! ```text
//!   Redis ══▶ announcement ──▶ known: where is a box? ──▶ connector ══▶ the other box' listener
//!         ◀══ announcement ◀── turn: who speaks for this box?               │ challenge, both ways
//!                                                                  door ◀══╯ then HTTP/1.1, forwarded requests
//! ```
//!
//! Every worker hears the announcements; one speaks for the box. A session's tag names its box, so an id with a good
//! MAC that names a box which nobody has heard yet is worth a short wait, once.

mod announcement;
mod answer;
mod challenge;
mod connect;
mod greet;
mod known;
mod turn;

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use oxherd_adapter::Cluster;
use oxherd_contract::ids::{BoxId, WorkerId};
use oxherd_contract::scoreboard::{Row, Scoreboard, State};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, sleep_until, timeout_at};

use self::announcement::{Announcement, CHANNEL, Unheard, Word};
use self::answer::GREETINGS_MAX;
pub(crate) use self::challenge::Verdict;
pub(crate) use self::connect::{Carries, ConnectError};
use self::known::{Known, News, Silent, Whereabouts};
use self::turn::Turn;
use crate::route::tag::{Owner, Secrets};
use crate::seldom::Seldom;

/// How long a box that nobody has heard yet is waited for. A box that lives answers a question within milliseconds.
const UNHEARD_WAIT: Duration = Duration::from_millis(1500);

/// How often a worker that is not connected to Redis, or has no rank, looks whether that has changed.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// Who this worker is among the boxes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Me {
    pub owner: Owner,
    /// Where other boxes can reach this one.
    pub advertise: Option<SocketAddr>,
}

/// What this worker knows of the other boxes.
pub(crate) struct Boxes {
    me: Me,
    secrets: Arc<Secrets>,
    cluster: Cluster,
    board: &'static Scoreboard,
    row: &'static Row,
    known: Mutex<Known>,
    turn: Mutex<Turn>,
    /// One permit for each connection that may be in its challenge.
    greetings: Arc<Semaphore>,
    /// Another box has another secret.
    differing: Seldom,
    /// A box was heard.
    heard: Notify,
    /// The turn has changed.
    turned: Notify,
}

impl Boxes {
    /// Begins to listen.
    pub fn start(
        me: Me,
        secrets: Arc<Secrets>,
        cluster: Cluster,
        board: &'static Scoreboard,
        row: &'static Row,
    ) -> Arc<Self> {
        let boxes = Arc::new(Boxes {
            me,
            secrets,
            cluster,
            board,
            row,
            known: Mutex::new(Known::new(me.owner.box_id)),
            turn: Mutex::new(Turn::new()),
            greetings: Arc::new(Semaphore::new(GREETINGS_MAX)),
            differing: Seldom::default(),
            heard: Notify::new(),
            turned: Notify::new(),
        });
        let ear = Arc::downgrade(&boxes);
        boxes.cluster.listen(CHANNEL, move |message| {
            if let Some(boxes) = ear.upgrade() {
                boxes.hear(&message);
            }
        });
        boxes
    }

    /// Speaks for the box when it is this worker's turn, for ever.
    pub async fn take_part(&self) {
        let mut joined = false;
        loop {
            if !self.cluster.is_ready() {
                joined = false;
                sleep(LOOK_PERIOD).await;
                continue;
            }
            if !std::mem::replace(&mut joined, true) {
                self.say(Word::Who);
            }
            let Some(rank) = self.rank() else {
                sleep(LOOK_PERIOD).await;
                continue;
            };
            let now = Instant::now();
            let due = self.turn().due(rank, now);
            if due > now {
                tokio::select! {
                    () = sleep_until(due.into()) => {}
                    () = self.turned.notified() => {}
                }
                continue;
            }
            self.turn().spoken(now);
            self.say(Word::Here(self.me.advertise));
        }
    }

    /// Says that the box ends, if this worker is its last.
    pub fn leave(&self) {
        let alive = |row: &&Row| matches!(row.state(), State::Starting | State::Ready | State::Draining);
        let others =
            self.board.rows().filter(alive).any(|row| row.worker.load(Relaxed) != self.me.owner.worker.0);
        if !others {
            self.say(Word::Gone);
        }
    }

    /// Whether a box may be alive.
    pub fn may_be_alive(&self, box_id: BoxId) -> bool {
        self.known().whereabouts(box_id, Instant::now()) != Whereabouts::Gone
    }

    /// Where a box is; one that was never heard is asked for and waited for.
    pub async fn address(&self, box_id: BoxId) -> Result<SocketAddr, ConnectError> {
        let deadline = tokio::time::Instant::now() + UNHEARD_WAIT;
        let mut asked = false;
        loop {
            let heard = self.heard.notified();
            match self.known().whereabouts(box_id, Instant::now()) {
                Whereabouts::At(address) => return Ok(address),
                Whereabouts::Gone => return Err(ConnectError::Gone),
                Whereabouts::Unreachable => return Err(ConnectError::Unreachable),
                Whereabouts::Unheard if !self.cluster.is_ready() => return Err(ConnectError::Unreachable),
                Whereabouts::Unheard => {}
            }
            if !std::mem::replace(&mut asked, true) {
                self.say(Word::Who);
            }
            if timeout_at(deadline, heard).await.is_err() && self.cluster.is_ready() {
                self.known().give_up(box_id);
                return Err(ConnectError::Gone);
            }
        }
    }

    fn hear(&self, message: &[u8]) {
        let announcement = match Announcement::decode(message, &self.secrets) {
            Ok(announcement) => announcement,
            Err(unheard) => {
                self.row.box_noise.fetch_add(1, Relaxed);
                tracing::debug!(%unheard, "ignored an announcement");
                if unheard == Unheard::BrokenMac
                    && self.rank() == Some(0)
                    && self.differing.is_news(Instant::now())
                {
                    tracing::error!(
                        "a box on this redis has another cluster.secrets: neither serves sessions of the other"
                    );
                }
                return;
            }
        };
        if announcement.box_id == self.me.owner.box_id && announcement.word != Word::Who {
            self.turn().spoken(Instant::now());
        }
        let news = {
            let mut known = self.known();
            let news = known.hear(announcement);
            self.row.boxes.store(known.len() as u64, Relaxed);
            news
        };
        match news {
            News::None => {}
            News::Asked => {
                self.turn().asked(Instant::now());
                self.turned.notify_one();
            }
            News::Came(box_id, address) => {
                self.heard.notify_waiters();
                self.tell(|| tracing::info!(%box_id, ?address, "another box is there"));
            }
            News::Left(box_id) => self.tell(|| tracing::info!(%box_id, "another box said goodbye")),
            News::Silent(Silent(boxes)) => self.tell(|| tracing::warn!(boxes, "other boxes fell silent")),
            News::Replayed | News::TooMany => {
                self.row.box_noise.fetch_add(1, Relaxed);
                tracing::debug!(?news, "ignored an announcement");
            }
        }
    }

    /// What all workers of the box hear, one of them tells.
    fn tell(&self, log: impl FnOnce()) {
        if self.rank() == Some(0) {
            log();
        }
    }

    fn say(&self, word: Word) {
        let announcement = Announcement { box_id: self.me.owner.box_id, sequence: sequence(), word };
        self.cluster.publish(CHANNEL, announcement.encode(&self.secrets));
    }

    fn rank(&self) -> Option<u32> {
        let workers = self.board.rows().map(|row| (row.state(), WorkerId(row.worker.load(Relaxed))));
        turn::rank(self.me.owner.worker, workers)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Grows over all processes of the box: they share one kernel, whose clock this is. Nobody else compares it.
fn sequence() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    now.as_nanos() as u64
}
