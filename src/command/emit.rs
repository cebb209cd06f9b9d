//! `oxherd emit`: publishes one event where the box that runs here hears it, on its bus or its Redis.

use std::io;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use oxherd_contract::secret::Secret;
use oxherd_supervisor::control::client::{ClientError, ask};
use oxherd_supervisor::control::{Answer, Request};
use oxherd_worker::{Cluster, ClusterConfig};
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

use crate::emission::Emission;

/// For the box to say where its bus or Redis is, and for that to confirm.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to say and to whom.
#[derive(Debug, Args)]
pub(crate) struct EmitArguments {
    /// To the members of this room; may be given more than once [default: to everybody in the namespace]
    #[arg(long, value_name = "ROOM")]
    room: Vec<String>,
    /// But not to the members of this one; may be given more than once
    #[arg(long, value_name = "ROOM")]
    except: Vec<String>,
    /// The namespace
    #[arg(long, value_name = "NAME", default_value = "/")]
    namespace: String,
    /// The event's name
    event: String,
    /// Its arguments, each of them JSON
    #[arg(value_name = "JSON", value_parser = json)]
    args: Vec<Value>,
}

/// Why nothing was published, or perhaps not.
#[derive(Debug, Error)]
pub(crate) enum EmitError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot emit that: {0}")]
    Emission(String),
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    #[error("bus or Redis did not confirm within {} s: see `oxherd status`", PATIENCE.as_secs())]
    NotConfirmed,
}

/// Publishes, and returns when that is confirmed.
pub(crate) fn emit(arguments: &EmitArguments, control: &Path) -> Result<(), EmitError> {
    let EmitArguments { room, except, namespace, event, args } = arguments;
    let emission = Emission {
        namespace: namespace.clone(),
        rooms: room.clone(),
        except: except.clone(),
        event: event.clone(),
        args: args.clone(),
    };
    emission.check().map_err(EmitError::Emission)?;
    let Answer::Broker(url) = ask(control, &Request::Broker, PATIENCE)? else {
        return Err(EmitError::NotConfirmed);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(EmitError::Runtime)?.block_on(publish(&emission, &url))
}

async fn publish(emission: &Emission, url: &Secret) -> Result<(), EmitError> {
    let config = ClusterConfig::new(url.reveal());
    let cluster = config.and_then(Cluster::start).map_err(|error| EmitError::Emission(error.to_string()))?;
    emission.send(&cluster).map_err(EmitError::Emission)?;
    let settled = timeout(PATIENCE, cluster.settled()).await;
    match settled.is_ok() && cluster.stats().confirmed > 0 {
        true => Ok(()),
        false => Err(EmitError::NotConfirmed),
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("not JSON ({error}); a string needs quotes inside the shell's"))
}
