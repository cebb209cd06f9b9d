//! The engine's control: what the settings, the connections and the scoreboard have to do with the sessions.

use std::num::NonZeroUsize;
use std::sync::Arc;

use engineioxide::control::{Control, Options, SessionTagger};
use oxherd_contract::settings::SharedSettings;

use crate::connection;

/// The control of all Socket.IO servers of this worker, whose sessions get their tags from `tagger`.
pub(crate) fn control(settings: &SharedSettings, tagger: Arc<dyn SessionTagger>) -> Control {
    let sessions_max = NonZeroUsize::new(settings.http.connections_max as usize);
    let settings = &settings.engine;
    Control::new(Options {
        sessions_max,
        dismantle: Some(connection::dismantle),
        tagger: Some(tagger),
        slow_budget: NonZeroUsize::new(settings.slow_budget_bytes as usize),
        slow_after: Some(settings.slow_after),
        flush_window: settings.flush_window,
        ..Options::default()
    })
}
