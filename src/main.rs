//! The plain binary: the stock server on every core.

use std::process::ExitCode;

fn main() -> ExitCode {
    oxherd::Server::from_env().run(oxherd::stock::application)
}
