//! The future of an answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::body::ResponseBody;

type Answer<B> = Response<ResponseBody<B>>;

pin_project! {
    /// See the module.
    pub struct ResponseFuture<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<F, B> {
        Ready { answer: Option<Answer<B>> },
        Own { answer: Pin<Box<dyn Future<Output = Answer<B>> + Send>> },
        Inner { #[pin] future: F },
    }
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) fn ready(answer: Answer<B>) -> Self {
        Self { kind: Kind::Ready { answer: Some(answer) } }
    }

    pub(super) fn own(answer: impl Future<Output = Answer<B>> + Send + 'static) -> Self {
        Self { kind: Kind::Own { answer: Box::pin(answer) } }
    }

    pub(super) fn inner(future: F) -> Self {
        Self { kind: Kind::Inner { future } }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Answer<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Inner { future } => {
                Poll::Ready(ready!(future.poll(cx)).map(|answer| answer.map(ResponseBody::inner)))
            }
            KindProjection::Own { answer } => answer.as_mut().poll(cx).map(Ok),
            // Polled again after it was ready, it would be a broken caller's; an empty answer is no worse than a panic.
            KindProjection::Ready { answer } => Poll::Ready(Ok(answer.take().unwrap_or_default())),
        }
    }
}
