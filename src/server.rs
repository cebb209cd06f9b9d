//! [`Server`]: the one statement of `main`, in every role that this executable plays.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use axum::Router;
use oxherd_contract::causes::with_causes;
use oxherd_contract::{CHILD_ARGUMENT, Role};
use oxherd_supervisor::control::client::ClientError;
use oxherd_supervisor::{ControlError, ListenError, SupervisorError};
use oxherd_worker::{BoxError, Worker};
use thiserror::Error;

use crate::command::emit::{self, EmitError};
use crate::command::{Command, CommandLine, check, client};
use crate::config::{self, Complaints, Environment, Flags};
use crate::exit::Exit;
use crate::logging::{self, Speaker};

/// An oxherd box around an application, or a command to a running one: the arguments decide.
///
/// ```text
///   run ─┬─ a supervisor started us ──▶ worker: runs the application until it is told to leave
///        ├─ no command ───────────────▶ supervisor: starts workers, until it is told to stop
///        └─ status, stop, … ──────────▶ asks the supervisor, prints its answer
/// ```
pub struct Server {
    /// The program's name first.
    arguments: Vec<OsString>,
    environment: Environment,
}

/// Why a process ends with a failure.
#[derive(Debug, Error)]
enum ServerError {
    #[error(
        "`Server::run` must be the first statement of a `main` that is not async: it makes processes, each with a \
         runtime of its own, and cannot run inside one"
    )]
    InsideRuntime,
    #[error("the configuration is bad:{0}")]
    Configuration(Complaints),
    #[error(transparent)]
    Supervisor(SupervisorError),
    #[error(transparent)]
    Client(ClientError),
    #[error(transparent)]
    Emit(EmitError),
}

impl Server {
    /// Takes this process's arguments and environment.
    pub fn from_env() -> Self {
        Server { arguments: std::env::args_os().collect(), environment: Environment::of_this_process() }
    }

    /// Plays this process's role to its end. Must be the first statement of a `main` that is not async, because
    /// `main` runs in every role.
    ///
    /// `application` runs once in every worker process, inside that worker's single-threaded runtime, and returns
    /// what the worker serves. If it fails, the worker does not become READY and the reason is in the log and the
    /// status.
    ///
    /// The exit status is one of [`Exit`](crate::Exit).
    pub fn run<F, Fut>(self, application: F) -> ExitCode
    where
        F: FnOnce(Worker) -> Fut,
        Fut: Future<Output = Result<Router, BoxError>>,
    {
        if tokio::runtime::Handle::try_current().is_ok() {
            return self.failed(&ServerError::InsideRuntime);
        }
        if self.arguments.get(1).is_some_and(|argument| argument == CHILD_ARGUMENT) {
            return match self.arguments.get(2).and_then(|name| Role::of(name.to_str()?)) {
                Some(Role::Bus) => {
                    oxherd_bus::process::run(|settings| logging::start(settings, &Speaker::Bus))
                }
                Some(Role::Worker) | None => oxherd_worker::run(
                    |settings| logging::start(&settings.shared.log, &Speaker::from(&settings.identity)),
                    application,
                ),
            };
        }
        let line = match CommandLine::read(&self.arguments) {
            Ok(line) => line,
            Err(usage) => {
                // Help and version come this way too, with status 0.
                let _ = usage.print();
                return if usage.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
            }
        };
        match self.command(line.command.as_ref(), &line.flags()) {
            Ok(()) => Exit::Done.into(),
            Err(error) => self.failed(&error),
        }
    }

    fn command(&self, command: Option<&Command>, flags: &Flags) -> Result<(), ServerError> {
        match command {
            None => self.serve(flags),
            Some(Command::Check) => {
                check::check(flags, &self.environment).map_err(ServerError::Configuration)
            }
            Some(Command::Emit(arguments)) => {
                let control =
                    config::control_path(flags, &self.environment).map_err(ServerError::Configuration)?;
                emit::emit(arguments, &control).map_err(ServerError::Emit)
            }
            Some(Command::Ask(question)) => {
                let control =
                    config::control_path(flags, &self.environment).map_err(ServerError::Configuration)?;
                client::put(question, &control).map_err(ServerError::Client)
            }
        }
    }

    fn serve(&self, flags: &Flags) -> Result<(), ServerError> {
        let loaded = config::load(flags, &self.environment).map_err(ServerError::Configuration)?;
        logging::start(loaded.plan.log(), &Speaker::Supervisor);
        let _process = logging::supervisor().entered();
        let file = loaded.file.as_ref().map(|path| tracing::field::display(path.display()));
        tracing::info!(file, workers = loaded.plan.workers, slots = loaded.plan.slots, "configured");
        loaded
            .warnings
            .iter()
            .for_each(|warning| tracing::warn!(warning, "the configuration should be better"));
        let rereader = config::rereader(flags.clone(), self.environment.clone(), &loaded);
        oxherd_supervisor::run(loaded.plan, rereader).map_err(ServerError::Supervisor)
    }

    /// Says once what went wrong and what to do about it: in the log if there is one, whose lines may have to be JSON.
    fn failed(&self, error: &ServerError) -> ExitCode {
        let text = with_causes(error);
        if let ServerError::Supervisor(_) = error {
            logging::supervisor().in_scope(|| tracing::error!(error = text, "the box failed"));
        } else {
            let program = self.arguments.first().map(Path::new).and_then(Path::file_name);
            let line = format!("{}: {text}\n", program.unwrap_or("oxherd".as_ref()).display());
            let _ = io::stderr().write_all(line.as_bytes());
        }
        error.exit().into()
    }
}

impl ServerError {
    /// The one place where failures become exit statuses.
    fn exit(&self) -> Exit {
        match self {
            ServerError::Configuration(_) => Exit::BadConfiguration,
            ServerError::Supervisor(SupervisorError::GaveUp(_)) => Exit::GaveUp,
            ServerError::Supervisor(
                SupervisorError::Listen(ListenError::InUse { .. })
                | SupervisorError::Control(ControlError::InUse { .. }),
            ) => Exit::AddressInUse,
            ServerError::Supervisor(_)
            | ServerError::InsideRuntime
            | ServerError::Client(_)
            | ServerError::Emit(_) => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_status_that_the_table_promises() {
        let in_use = ListenError::InUse {
            address: oxherd_contract::listen::Address::Tcp(([127, 0, 0, 1], 1).into()),
            holder: "somebody".to_owned(),
        };
        for (error, exit) in [
            (ServerError::InsideRuntime, Exit::Failed),
            (ServerError::Configuration(Complaints::default()), Exit::BadConfiguration),
            (ServerError::Supervisor(SupervisorError::GaveUp("of five".to_owned())), Exit::GaveUp),
            (ServerError::Supervisor(SupervisorError::Listen(in_use)), Exit::AddressInUse),
            (
                ServerError::Supervisor(SupervisorError::Control(ControlError::InUse { path: "c".into() })),
                Exit::AddressInUse,
            ),
        ] {
            assert_eq!(error.exit(), exit, "{error}");
        }
    }

    #[test]
    fn inside_a_runtime_nothing_is_started() {
        let server =
            Server { arguments: vec!["herd".into(), "--help".into()], environment: Environment::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let code = runtime.block_on(async { server.run(crate::stock::application) });
        assert_eq!(
            format!("{code:?}"),
            format!("{:?}", ExitCode::from(Exit::Failed)),
            "help would have been 0"
        );
    }
}
