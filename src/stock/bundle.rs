//! The official JavaScript client at the path where Node's server has it, if the configuration names a file.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

/// Where clients look for it.
pub(crate) const PATH: &str = "/socket.io/socket.io.js";

/// Bytes of a bundle at most: the official one has 150 KB unminified.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why the bundle cannot be served.
#[derive(Debug, Error)]
pub(crate) enum BundleError {
    #[error("cannot read client_bundle {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("client_bundle {} has more than {BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
}

/// The bundle, or its absence, as an answer.
#[derive(Clone)]
pub(crate) struct Bundle(Option<Bytes>);

/// Reads the bundle once, before the worker is READY.
pub(crate) fn load(path: Option<&Path>) -> Result<Bundle, BundleError> {
    let Some(path) = path else { return Ok(Bundle(None)) };
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut content))
        .map_err(|cause| BundleError::Read { path: path.to_owned(), cause })?;
    if content.len() as u64 > BYTES_MAX {
        return Err(BundleError::TooLarge { path: path.to_owned() });
    }
    Ok(Bundle(Some(content.into())))
}

impl IntoResponse for Bundle {
    fn into_response(self) -> Response {
        let headers =
            |kind| [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        match self.0 {
            Some(content) => (headers("text/javascript; charset=utf-8"), content).into_response(),
            None => {
                let why = "oxherd ships no client: name a copy of the official one by client_bundle in config.toml\n";
                (StatusCode::NOT_FOUND, headers("text/plain; charset=utf-8"), why).into_response()
            }
        }
    }
}
