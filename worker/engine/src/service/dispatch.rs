//! From a request below the engine's path to its answer.

use std::sync::Arc;

use engineioxide_core::TransportType;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION,
        UPGRADE,
    },
};
use http_body::Body;
use hyper::upgrade::OnUpgrade;

use super::{ResponseBody, ResponseFuture};
use crate::{
    control::{Conduct, Control, OpenFollows, Refusal},
    engine::EngineIo,
    handler::EngineIoHandler,
    proto::{
        handshake::{self, HandshakeError},
        query::{self, Target},
        refused::Refused,
    },
    transport::{
        polling,
        upgrading::{self, Purpose},
    },
};

/// Answers the request.
pub(super) fn dispatch<H, ReqBody, ResBody, F>(
    engine: &Arc<EngineIo<H>>,
    request: Request<ReqBody>,
) -> ResponseFuture<F, ResBody>
where
    H: EngineIoHandler,
    ReqBody: Body + Send + Unpin + 'static,
    ReqBody::Data: Send,
    ResBody: Send + 'static,
{
    let control = engine.control_of(request.extensions());
    let conduct = control.options().conduct;
    if let Some(refusal) = request.extensions().get::<Refusal>() {
        return ResponseFuture::ready(refuse(&Refused::Admission(refusal.clone()), conduct));
    }
    let tagger = control.options().tagger.as_deref();
    let target = query::parse(request.method(), request.uri().query(), &engine.config, tagger);
    let engine = engine.clone();
    match target {
        Ok(Target::New(TransportType::Polling)) => {
            ResponseFuture::ready(answer(open(&engine, &control, request), conduct))
        }
        Ok(Target::Poll(sid)) => {
            ResponseFuture::own(async move { answer(polling::poll(engine, sid).await, conduct) })
        }
        Ok(Target::Post(sid)) => {
            let (parts, body) = request.into_parts();
            ResponseFuture::own(async move {
                let posted = polling::post(engine, sid, parts.headers, body).await;
                answer(posted.map(|()| "ok".to_owned()), conduct)
            })
        }
        Ok(Target::New(TransportType::Websocket)) => {
            ResponseFuture::ready(switch(&engine, request, conduct, |request| {
                control.admit(&request).map_err(Refused::Admission)?;
                Ok(Purpose::Open(control, Box::new(request)))
            }))
        }
        Ok(Target::Upgrade(sid)) => {
            ResponseFuture::ready(switch(&engine, request, conduct, |_| Purpose::take_over(&engine, sid)))
        }
        Err(refused) => ResponseFuture::ready(refuse(&refused, conduct)),
    }
}

/// Opens a session on polling.
fn open<H: EngineIoHandler, B>(
    engine: &Arc<EngineIo<H>>,
    control: &Control,
    request: Request<B>,
) -> Result<String, Refused> {
    let (parts, _) = request.into_parts();
    control.admit(&parts).map_err(Refused::Admission)?;
    Ok(engine.open_polling(control, parts))
}

/// Answers 101 and leaves the connection to a task, if `purpose` finds one.
fn switch<H: EngineIoHandler, B, ResBody>(
    engine: &Arc<EngineIo<H>>,
    request: Request<B>,
    conduct: Conduct,
    purpose: impl FnOnce(http::request::Parts) -> Result<Purpose, Refused>,
) -> Response<ResponseBody<ResBody>> {
    let (mut parts, _) = request.into_parts();
    let accepted = handshake::accept(&parts.method, parts.version, &parts.headers);
    let upgrade = parts.extensions.remove::<OnUpgrade>().ok_or(HandshakeError::NotAnUpgrade);
    let switched = accepted.and_then(|accept| Ok((accept, upgrade?)));
    match switched.map_err(Refused::from).and_then(|(accept, upgrade)| Ok((accept, upgrade, purpose(parts)?)))
    {
        Ok((accept, upgrade, purpose)) => {
            let mut response = Response::new(ResponseBody::empty());
            if matches!(purpose, Purpose::Open(..)) && !engine.config.is_bare() {
                response.extensions_mut().insert(OpenFollows);
            }
            upgrading::spawn(engine.clone(), upgrade, purpose);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            response
        }
        Err(refused) => refuse(&refused, conduct),
    }
}

fn answer<B>(text: Result<String, Refused>, conduct: Conduct) -> Response<ResponseBody<B>> {
    match text {
        Ok(text) => {
            let mut response = Response::new(ResponseBody::own(text));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(refused) => refuse(&refused, conduct),
    }
}

fn refuse<B>(refused: &Refused, conduct: Conduct) -> Response<ResponseBody<B>> {
    let (status, body, retry_after) = refused.answer(conduct);
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    if let Some(body) = body {
        *response.body_mut() = ResponseBody::own(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(delay) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(delay.as_secs()));
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
