//! Logs: events to stderr, as text for people or JSON for machines.
//!
//! A line is formatted whole and then written by one write(2), so lines of several processes on one stderr do not
//! mix. Who speaks is on each line: a span that each process enters first and never leaves.

use std::io::{self, IsTerminal};

use oxherd_contract::settings::{LogFormat, LogSettings};
use tracing::{Metadata, Span};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging in this process; the first caller decides.
pub(crate) fn start(settings: &LogSettings) {
    // The configuration has checked it.
    let events = EnvFilter::builder().parse_lossy(&settings.filter);
    let filter = events.or(filter_fn(says_who_speaks));
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Text => to_stderr.with_ansi(io::stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => {
            to_stderr.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
        }
    };
    // An application may have a subscriber of its own by now; then the logs are its business.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// Who a supervisor is on its lines.
pub(crate) fn supervisor() -> Span {
    tracing::error_span!("process", role = "supervisor")
}

/// Role, worker and generation must be on a line whatever the filter says about levels and parts.
fn says_who_speaks(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("oxherd")
}
