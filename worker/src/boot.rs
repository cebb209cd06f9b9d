//! From the application's code to an application that answers: built, then probed (the READY gate).

use engineioxide::control::Control;
use thiserror::Error;

use crate::catch::{Panicked, catching};
use crate::http::{App, Probe, ProbeError};
use crate::worker::{BoxError, Worker};

/// Why a worker does not become READY.
#[derive(Debug, Error)]
pub(crate) enum BootError {
    #[error("the application could not be built")]
    Application(#[source] BoxError),
    #[error("the application panicked while it was built: {0}")]
    Panicked(String),
    #[error("the application does not serve")]
    Probe(#[source] ProbeError),
}

/// Builds the application and asks it for a handshake.
pub(crate) async fn boot<F, Fut>(worker: Worker, engine: Control, application: F) -> Result<App, BootError>
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<axum::Router, BoxError>>,
{
    let built = catching(async { application(worker.clone()).await }).await;
    let router = match built {
        Ok(result) => result.map_err(BootError::Application)?,
        Err(Panicked(message)) => return Err(BootError::Panicked(message)),
    };
    let app = App::new(router, engine_paths(&worker), engine);
    Probe(&app).handshake().await.map_err(BootError::Probe)?;
    Ok(app)
}

fn engine_paths(worker: &Worker) -> Box<[String]> {
    let path_of = |io: &socketioxide::SocketIo<crate::Adapter>| {
        io.config().engine_config.req_path.trim_end_matches('/').to_owned()
    };
    worker.servers().iter().map(path_of).collect()
}
