//! The engine's control: what the settings, the connections and the scoreboard have to do with the sessions.

use std::num::NonZeroUsize;

use engineioxide::control::{Control, Options};
use oxherd_contract::settings::EngineSettings;

use crate::connection;

/// The control of all Socket.IO servers of this worker.
pub(crate) fn control(settings: &EngineSettings) -> Control {
    Control::new(Options {
        dismantle: Some(connection::dismantle),
        slow_budget: NonZeroUsize::new(settings.slow_budget_bytes as usize),
        slow_after: Some(settings.slow_after),
        flush_window: settings.flush_window,
        ..Options::default()
    })
}
