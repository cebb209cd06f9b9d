//! What a group of sessions shares: the runtime they live in, the task that writes for them, the task that keeps time.
//!
//! A runtime has one shard per worker thread and control; a session is put into one when it is opened. So there is no
//! task, channel or timer per session beyond the task that reads its WebSocket.

mod flush;
mod timers;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use engineioxide_core::Sid;
use tokio::{runtime::Handle, task::AbortHandle};

use self::{flush::FlushList, timers::Timers};
use crate::{
    config::EngineIoConfig,
    control::{Conduct, Control, Counters},
    session::{Owner, Session},
};

/// See the module.
pub(crate) struct Shard {
    control: Control,
    config: Arc<EngineIoConfig>,
    runtime: Handle,
    uncounted: Counters,
    started: Instant,
    flush: Arc<FlushList>,
    timers: Arc<Timers>,
    tasks: Vec<AbortHandle>,
}

/// Time since a shard began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    fn at(started: Instant, now: Instant) -> Self {
        let micros = now.saturating_duration_since(started).as_micros();
        Self(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Shard {
    /// Starts the shard's tasks in `runtime`.
    pub(crate) fn start(
        control: Control,
        config: Arc<EngineIoConfig>,
        runtime: Handle,
        owner: Weak<dyn Owner>,
    ) -> Arc<Self> {
        let mut shard = Self::idle(control, config, runtime);
        let flush = flush::run(shard.flush.clone(), shard.control.options().flush_window);
        let timers = timers::run(shard.timers.clone(), shard.started, owner);
        shard.tasks =
            vec![shard.runtime.spawn(flush).abort_handle(), shard.runtime.spawn(timers).abort_handle()];
        Arc::new(shard)
    }

    /// A shard without tasks.
    pub(crate) fn idle(control: Control, config: Arc<EngineIoConfig>, runtime: Handle) -> Self {
        Self {
            control,
            config,
            runtime,
            uncounted: Counters::default(),
            started: Instant::now(),
            flush: Arc::default(),
            timers: Arc::default(),
            tasks: Vec::new(),
        }
    }

    /// Whether its runtime still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.tasks.iter().all(|task| !task.is_finished())
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Where the server's own probes are counted: nowhere.
    pub(crate) fn uncounted(&self) -> &Counters {
        &self.uncounted
    }

    pub(crate) fn slow_budget(&self) -> Option<NonZeroUsize> {
        self.control.options().slow_budget
    }

    /// Emits that may wait for one session.
    pub(crate) fn emits_max(&self) -> usize {
        if self.slow_budget().is_some() { usize::MAX } else { self.config.max_buffer_size }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::at(self.started, Instant::now())
    }

    /// Has the session written in the next round.
    pub(crate) fn mark(&self, session: Arc<Session>) {
        self.flush.push(session);
    }

    /// Has the session pinged for the first time.
    pub(crate) fn begin_beat(&self, sid: Sid) {
        match self.control.options().conduct {
            // From a task even so: what is emitted before it runs comes first, and tests rely on that.
            Conduct::Stock => self.timers.ping_first(self.now(), sid),
            Conduct::Node => self.schedule_ping(sid),
        }
    }

    pub(crate) fn schedule_ping(&self, sid: Sid) {
        self.timers.ping(self.now().after(self.config.ping_interval), sid);
    }

    pub(crate) fn expect_pong(&self, sid: Sid, seq: u32) {
        self.timers.pong(self.now().after(self.config.ping_timeout), sid, seq);
    }

    /// Looks after `slow_after` whether the session has moved on from `moves`; false if nobody cares.
    pub(crate) fn watch(&self, sid: Sid, moves: u32) -> bool {
        let Some(after) = self.control.options().slow_after else { return false };
        self.timers.stall(self.now().after(after), sid, moves);
        true
    }

    /// Forgets a closed session after the linger time.
    pub(crate) fn keep_farewell(&self, sid: Sid) {
        self.timers.farewell(self.now().after(self.control.options().close_linger), sid);
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
