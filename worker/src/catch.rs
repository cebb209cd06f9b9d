//! Turns a panic inside a future into a value. The panic hook has logged and counted it by then.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// A future's panic, with its message.
#[derive(Debug)]
pub(crate) struct Panicked(pub String);

/// Drives `future`; if it panics it is dropped and never polled again.
pub(crate) async fn catching<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        // Unwind safety: after a panic nothing of the future is used again but its destructor.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(Panicked(message(payload.as_ref()).to_owned()))),
        }
    })
    .await
}

/// What `panic!` was given; other payloads have no text.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
