//! `POST /api/emit`: a backend publishes to clients, whatever worker they are on.
//!
//! ```text
//!   Authorization: Bearer KEY
//!   {"namespace": "/", "rooms": ["a"], "except": [], "event": "news", "args": [1, {"two": 2}]}
//!   ──▶ 200 {"ok": true}; 401 or 403, 400, 408 and 413 with {"ok": false, "error": "…"}
//! ```
//!
//! All but `event` may be left out; without rooms everybody in the namespace is meant.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use oxherd_contract::secret::Secret;
use oxherd_worker::Cluster;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use crate::emission::Emission;

/// One message at most, as on the other ways in.
const BODY_BYTES_MAX: usize = 1_000_000;

/// For a body to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Api {
    cluster: Cluster,
    key: Option<Secret>,
}

/// What to say and to whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    #[serde(default = "root")]
    namespace: String,
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    event: String,
    #[serde(default)]
    args: Vec<Value>,
}

fn root() -> String {
    "/".to_owned()
}

type Answer = (StatusCode, Json<Value>);

pub(crate) fn routes(cluster: Cluster, key: Option<Secret>) -> Router {
    let emit = post(emit).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new().route("/api/emit", emit).with_state(Api { cluster, key })
}

async fn emit(State(api): State<Api>, request: Request) -> Answer {
    let Some(key) = &api.key else {
        return refused(StatusCode::FORBIDDEN, "set api.key to let backends publish");
    };
    if !bearer(request.headers()).is_some_and(|guess| bool::from(guess.ct_eq(key.reveal().as_bytes()))) {
        return refused(
            StatusCode::UNAUTHORIZED,
            "expected `Authorization: Bearer` with the value of api.key",
        );
    }
    match timeout(BODY_WITHIN, Json::from_request(request, &())).await {
        Err(_late) => refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Ok(Err(rejection)) => refused(rejection.status(), &rejection.body_text()),
        Ok(Ok(Json(Message { namespace, rooms, except, event, args }))) => {
            let emission = Emission { namespace, rooms, except, event, args };
            match emission.check().and_then(|()| emission.send(&api.cluster)) {
                Ok(()) => (StatusCode::OK, Json(json!({ "ok": true }))),
                Err(why) => refused(StatusCode::BAD_REQUEST, &why),
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key) // RFC 9110 §11.1
}

fn refused(status: StatusCode, error: &str) -> Answer {
    (status, Json(json!({ "ok": false, "error": error })))
}
