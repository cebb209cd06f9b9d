//! The engine's control: what the settings, the connections and the scoreboard have to do with the sessions.

use std::num::NonZeroUsize;

use engineioxide::control::{Control, Options};
use oxherd_contract::settings::SharedSettings;

use crate::connection;

/// The control of all Socket.IO servers of this worker.
pub(crate) fn control(settings: &SharedSettings) -> Control {
    let sessions_max = NonZeroUsize::new(settings.http.connections_max as usize);
    let settings = &settings.engine;
    Control::new(Options {
        sessions_max,
        dismantle: Some(connection::dismantle),
        slow_budget: NonZeroUsize::new(settings.slow_budget_bytes as usize),
        slow_after: Some(settings.slow_after),
        flush_window: settings.flush_window,
        ..Options::default()
    })
}
