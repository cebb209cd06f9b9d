//! Logs: events to stderr, as text for people or JSON for machines.
//!
//! A line is formatted whole and then written by one write(2), so lines of several processes on one stderr do not
//! mix. Who speaks is on each line: in text by a span that each process enters first and never leaves, in JSON by
//! fields at the top of the object, where a machine looks for them.

use std::fmt;
use std::io::{self, IsTerminal};

use oxherd_contract::settings::{Identity, LogFormat, LogSettings};
use serde::Serialize;
use tracing::{Event, Metadata, Span, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Json, JsonFields, Writer};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;

use crate::stderr::Stderr;

/// What is said behind the number of lines that nobody read.
const LINES_LOST: &str = " log lines lost: nobody read stderr";

/// Which process of the box logs.
#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(crate) enum Speaker {
    Supervisor,
    Bus,
    Worker { index: u16, worker: u64, generation: u32 },
}

impl From<&Identity> for Speaker {
    fn from(identity: &Identity) -> Self {
        let (index, worker, generation) = (identity.index.0, identity.worker.0, identity.generation.0);
        Speaker::Worker { index, worker, generation }
    }
}

/// Starts logging in this process; the first caller decides.
pub(crate) fn start(settings: &LogSettings, speaker: &Speaker) {
    // The configuration has checked it.
    let events = EnvFilter::builder().parse_lossy(&settings.filter);
    let to_stderr = tracing_subscriber::fmt::layer();
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Text => {
            let filter = events.or(filter_fn(says_who_speaks));
            let writer = Stderr::new("", LINES_LOST);
            to_stderr.with_writer(writer).with_ansi(io::stderr().is_terminal()).with_filter(filter).boxed()
        }
        LogFormat::Json => {
            let filter = events.and(filter_fn(|metadata| !says_who_speaks(metadata)));
            let format = JsonLines::of(speaker);
            let after = format!(",\"message\":\"{}\",{}", LINES_LOST.trim_start(), format.end);
            let writer = Stderr::new("{\"level\":\"WARN\",\"lines\":", after);
            let lines = to_stderr.with_writer(writer).fmt_fields(JsonFields::new()).event_format(format);
            lines.with_filter(filter).boxed()
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

/// One JSON object a line; an application's own spans are in its list `spans`.
struct JsonLines {
    format: Format<Json>,
    /// The speaker's fields and the object's end: `"role":"bus"}`.
    end: String,
}

impl JsonLines {
    fn of(speaker: &Speaker) -> Self {
        let object = serde_json::to_string(speaker).unwrap_or_default(); // no such enum fails
        let end = object.trim_start_matches('{').to_owned();
        JsonLines { format: Format::default().json().flatten_event(true).with_current_span(false), end }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let fields = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?; // never empty: a time and a level
        writeln!(writer, "{fields},{}", self.end)
    }
}
