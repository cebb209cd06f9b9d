//! The command line's end of the control socket. Blocking: a command has nothing else to do.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::{Answer, Outcome, Request};

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no oxherd answers at {}: is it running, and with the same --control or --listen?", path.display())]
    NotRunning {
        /// Where it was looked for.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The connection ended or timed out before the answer.
    #[error("oxherd did not answer")]
    NoAnswer(#[source] io::Error),
    /// The supervisor refused or failed; its own words.
    #[error("{0}")]
    Refused(String),
}

/// Asks the supervisor at `path` and waits for its answer, at most `patience`.
pub fn ask(path: &Path, request: &Request, patience: Duration) -> Result<Answer, ClientError> {
    let stream = UnixStream::connect(path)
        .map_err(|cause| ClientError::NotRunning { path: path.to_owned(), cause })?;
    let line = exchange(&stream, request, patience).map_err(ClientError::NoAnswer)?;
    let outcome: Outcome =
        serde_json::from_str(&line).map_err(|error| ClientError::NoAnswer(error.into()))?;
    outcome.map_err(ClientError::Refused)
}

fn exchange(mut stream: &UnixStream, request: &Request, patience: Duration) -> io::Result<String> {
    stream.set_read_timeout(Some(patience))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}
