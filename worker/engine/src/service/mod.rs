//! The engine as a tower and hyper service: requests below its path are its own, all others go to the inner service.

mod body;
mod dispatch;
mod future;
#[cfg(feature = "__test_harness")]
mod harness;

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use engineioxide_core::TransportType;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Empty;
use hyper::service::Service as HyperSvc;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service as TowerSvc;

pub use self::{body::ResponseBody, future::ResponseFuture};
use crate::{
    config::EngineIoConfig,
    engine::EngineIo,
    handler::EngineIoHandler,
    proto::{
        query::{self, Target},
        refused::Refused,
    },
    transport::{
        io,
        upgrading::{self, Purpose},
    },
};

/// An engine and the service behind it. Clones share the engine.
pub struct EngineIoService<H: EngineIoHandler, S = NotFoundService> {
    inner: S,
    engine: Arc<EngineIo<H>>,
}

/// A request that the engine refuses.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RequestError(#[from] Refused);

impl<H: EngineIoHandler> EngineIoService<H, NotFoundService> {
    /// With the default settings, answering 404 to all other requests.
    pub fn new(handler: Arc<H>) -> Self {
        Self::with_config(handler, EngineIoConfig::default())
    }

    /// With these settings, answering 404 to all other requests.
    pub fn with_config(handler: Arc<H>, config: EngineIoConfig) -> Self {
        Self::with_config_inner(NotFoundService, handler, config)
    }
}

impl<S: Clone, H: EngineIoHandler> EngineIoService<H, S> {
    /// With the default settings, in front of `inner`.
    pub fn with_inner(inner: S, handler: Arc<H>) -> Self {
        Self::with_config_inner(inner, handler, EngineIoConfig::default())
    }

    /// With these settings, in front of `inner`.
    pub fn with_config_inner(inner: S, handler: Arc<H>, config: EngineIoConfig) -> Self {
        Self { inner, engine: Arc::new(EngineIo::new(handler, config)) }
    }

    /// A service that makes clones of this one: one for each connection.
    pub fn into_make_service(self) -> MakeEngineIoService<H, S> {
        MakeEngineIoService::new(self)
    }
}

impl<H: EngineIoHandler, S> EngineIoService<H, S> {
    fn is_ours(&self, path: &str) -> bool {
        let own = &*self.engine.config.req_path;
        path.strip_prefix(own)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || own.ends_with('/'))
    }

    /// A byte stream that speaks WebSocket already, with the request that it began with.
    fn adopt<St>(&self, stream: St, request: Request<()>) -> Result<(), RequestError>
    where
        St: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let control = self.engine.control_of(request.extensions());
        let tagger = control.options().tagger.as_deref();
        let query = request.uri().query();
        let purpose = match query::parse(request.method(), query, &self.engine.config, tagger)? {
            Target::New(TransportType::Websocket) => Purpose::Open(control, Box::new(request.into_parts().0)),
            Target::Upgrade(sid) => Purpose::take_over(&self.engine, sid)?,
            _ => return Err(Refused::BadRequest.into()),
        };
        let (reader, writer) = io::split(stream);
        let connection = upgrading::begin(self.engine.clone(), reader, writer, Vec::new(), purpose);
        if let Some(connection) = connection {
            tokio::spawn(connection);
        }
        Ok(())
    }
}

impl<S: Clone, H: EngineIoHandler> Clone for EngineIoService<H, S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), engine: self.engine.clone() }
    }
}

impl<H: EngineIoHandler, S> fmt::Debug for EngineIoService<H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineIoService").finish_non_exhaustive()
    }
}

impl<H, ReqBody, ResBody, S> TowerSvc<Request<ReqBody>> for EngineIoService<H, S>
where
    H: EngineIoHandler,
    ReqBody: Body + Send + Unpin + 'static,
    ReqBody::Data: Send,
    ResBody: Body + Send + 'static,
    S: TowerSvc<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, req: Request<ReqBody>) -> Self::Future {
        if self.is_ours(req.uri().path()) {
            dispatch::dispatch(&self.engine, req)
        } else {
            ResponseFuture::inner(self.inner.call(req))
        }
    }
}

impl<H, ReqBody, ResBody, S> HyperSvc<Request<ReqBody>> for EngineIoService<H, S>
where
    H: EngineIoHandler,
    ReqBody: Body + Send + Unpin + 'static,
    ReqBody::Data: Send,
    ResBody: Body + Send + 'static,
    S: HyperSvc<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn call(&self, req: Request<ReqBody>) -> Self::Future {
        if self.is_ours(req.uri().path()) {
            dispatch::dispatch(&self.engine, req)
        } else {
            ResponseFuture::inner(self.inner.call(req))
        }
    }
}

impl<St, H, S> TowerSvc<(St, Request<()>)> for EngineIoService<H, S>
where
    H: EngineIoHandler,
    St: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Response = ();
    type Error = RequestError;
    type Future = Ready<Result<(), RequestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (stream, request): (St, Request<()>)) -> Self::Future {
        ready(self.adopt(stream, request))
    }
}

impl<St, H, S> HyperSvc<(St, Request<()>)> for EngineIoService<H, S>
where
    H: EngineIoHandler,
    St: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Response = ();
    type Error = RequestError;
    type Future = Ready<Result<(), RequestError>>;

    fn call(&self, (stream, request): (St, Request<()>)) -> Self::Future {
        ready(self.adopt(stream, request))
    }
}

/// Makes an [`EngineIoService`] for each connection.
#[derive(Debug)]
pub struct MakeEngineIoService<H: EngineIoHandler, S> {
    service: EngineIoService<H, S>,
}

impl<H: EngineIoHandler, S> MakeEngineIoService<H, S> {
    /// Of clones of `service`.
    pub fn new(service: EngineIoService<H, S>) -> Self {
        Self { service }
    }
}

impl<H: EngineIoHandler, S: Clone, T> TowerSvc<T> for MakeEngineIoService<H, S> {
    type Response = EngineIoService<H, S>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: T) -> Self::Future {
        ready(Ok(self.service.clone()))
    }
}

/// Answers 404.
#[derive(Debug, Clone)]
pub struct NotFoundService;

impl NotFoundService {
    fn answer() -> Response<ResponseBody<Empty<Bytes>>> {
        let mut response = Response::new(ResponseBody::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }
}

impl<ReqBody> TowerSvc<Request<ReqBody>> for NotFoundService {
    type Response = Response<ResponseBody<Empty<Bytes>>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<ReqBody>) -> Self::Future {
        ready(Ok(Self::answer()))
    }
}

impl<ReqBody> HyperSvc<Request<ReqBody>> for NotFoundService {
    type Response = Response<ResponseBody<Empty<Bytes>>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, _: Request<ReqBody>) -> Self::Future {
        ready(Ok(Self::answer()))
    }
}
