//! Handlers for events that other servers send to servers (`serverSideEmit`).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use futures_util::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use socketioxide_core::parser::is_de_tuple;

/// Takes the arguments, returns what the sender gets if it asked for something.
type Handler = Arc<dyn Fn(Vec<Json>) -> BoxFuture<'static, Option<Json>> + Send + Sync>;

/// The handlers of one namespace, one for each event.
#[derive(Default)]
pub(crate) struct Handlers(RwLock<HashMap<String, Handler>>);

impl Handlers {
    pub(crate) fn on<T, R, F, Fut>(&self, event: &str, handler: F)
    where
        T: DeserializeOwned + Send + 'static,
        R: Serialize,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        let name = event.to_owned();
        let handler: Handler = Arc::new(move |args| match arguments::<T>(args) {
            Ok(args) => {
                let result = handler(args);
                async move { serde_json::to_value(result.await).ok() }.boxed()
            }
            Err(error) => {
                tracing::warn!(event = name, %error, "arguments of a server-side event do not fit its handler");
                std::future::ready(None).boxed()
            }
        });
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(event.to_owned(), handler);
    }

    /// What the event's handler returns; at once `None` if there is no handler.
    pub(crate) fn call(&self, event: &str, args: Vec<Json>) -> Option<BoxFuture<'static, Option<Json>>> {
        let handler = self.0.read().unwrap_or_else(PoisonError::into_inner).get(event).cloned()?;
        Some(handler(args))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handlers")
    }
}

/// By socketioxide's rule: a tuple takes all arguments, anything else the first.
fn arguments<T: DeserializeOwned>(args: Vec<Json>) -> serde_json::Result<T> {
    if is_de_tuple::<T>() {
        serde_json::from_value(Json::Array(args))
    } else {
        serde_json::from_value(args.into_iter().next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn arguments_and_results_are_typed() {
        let handlers = Handlers::default();
        handlers.on("sum", async |(a, b): (i32, i32)| a + b);
        handlers.on("greet", async |name: String| format!("hello {name}"));
        handlers.on("nothing", async |(): ()| {});
        let call = |event: &str, args: Json| {
            let Json::Array(args) = args else { panic!("not a list") };
            handlers.call(event, args)
        };
        assert_eq!(call("sum", json!([1, 2])).unwrap().await, Some(json!(3)));
        assert_eq!(call("greet", json!(["bob", "ignored"])).unwrap().await, Some(json!("hello bob")));
        assert_eq!(call("nothing", json!([])).unwrap().await, Some(Json::Null));
        assert_eq!(call("sum", json!(["x"])).unwrap().await, None);
        assert!(call("unknown", json!([])).is_none());
    }
}
