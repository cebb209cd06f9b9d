//! Commands to a running box: one question over its control socket, one answer, one exit status.

use std::path::Path;
use std::time::Duration;

use oxherd_supervisor::control::client::{ClientError, ask};
use oxherd_supervisor::control::{Answer, Request};

use super::{Child, Question, print, table};

/// For a box that only has to look: it answers within milliseconds, also while a worker hangs.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// For a box that has to do something: its own time-outs end that, each an hour at most.
const WORK_PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// Asks the box at `control` and prints what it says.
pub(crate) fn put(question: &Question, control: &Path) -> Result<(), ClientError> {
    let (request, patience, json) = match question {
        Question::Status { json } => (Request::Status, LOOK_PATIENCE, *json),
        Question::Reload => (Request::Reload, WORK_PATIENCE, false),
        Question::Stop => (Request::Stop, WORK_PATIENCE, false),
        Question::Restart { child: Child::Worker(index) } => {
            (Request::Restart { index: *index }, WORK_PATIENCE, false)
        }
        Question::Restart { child: Child::Bus } => (Request::RestartBus, WORK_PATIENCE, false),
    };
    match ask(control, &request, patience)? {
        Answer::Status(status) if json => {
            print(
                &serde_json::to_string_pretty(&status)
                    .map_err(|error| ClientError::NoAnswer(error.into()))?,
            );
        }
        Answer::Status(status) => print(&table::render(&status)),
        Answer::Done(text) => print(&text),
        Answer::Broker(_) => {} // to nothing that is asked here
    }
    Ok(())
}
