//! Long-polling: `GET` waits for packets, `POST` brings them.

use std::sync::Arc;

use bytes::Buf;
use engineioxide_core::{PacketParseError, Sid};
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::Body;
use http_body_util::BodyExt;

use super::TURN_PACKETS_MAX;
use crate::{
    engine::EngineIo,
    handler::EngineIoHandler,
    proto::{payload, refused::Refused},
    session::{Manner, Poll},
    socket::DisconnectReason,
};

/// Answers a poll as soon as there is something to say.
pub(crate) async fn poll<H: EngineIoHandler>(engine: Arc<EngineIo<H>>, sid: Sid) -> Result<String, Refused> {
    let session = engine.get(sid).ok_or(Refused::UnknownSession)?.session.clone();
    let max = engine.payload_max();
    if let Some(farewell) = session.take_farewell(max) {
        engine.remove(sid);
        return Ok(farewell);
    }
    let claim = session.claim_poll()?;
    match std::future::poll_fn(|cx| claim.poll(cx, max)).await {
        Poll::Payload(payload) => Ok(payload),
        Poll::Noop => Ok("6".into()),
    }
}

/// Takes packets from a client.
pub(crate) async fn post<H, B>(
    engine: Arc<EngineIo<H>>,
    sid: Sid,
    headers: HeaderMap,
    body: B,
) -> Result<(), Refused>
where
    H: EngineIoHandler,
    B: Body + Unpin,
{
    let socket = engine.get(sid).ok_or(Refused::UnknownSession)?;
    let session = &socket.session;
    let _claim = session.claim_post()?;
    let body = tokio::select! {
        body = collect(&headers, body, engine.payload_max()) => body,
        // A body that never ends must not outlive its session.
        () = session.closed() => return Err(Refused::UnknownSession),
    };
    let body = body.inspect_err(|_| session.close(DisconnectReason::PacketParsingError, Manner::NORMAL))?;
    session.counters().bytes_in.add(body.len() as u64);
    let unreadable = |_: PacketParseError| {
        session.close(DisconnectReason::PacketParsingError, Manner::NORMAL);
        Refused::BadPacket
    };
    for (handled, packet) in (1..).zip(payload::decode(body).map_err(unreadable)?) {
        if !engine.receive(&socket, packet.map_err(unreadable)?) {
            break;
        }
        if handled % TURN_PACKETS_MAX == 0 {
            tokio::task::yield_now().await;
            if !session.is_open() {
                break;
            }
        }
    }
    Ok(())
}

/// The whole body, unless it is, or says that it will be, longer than `max` bytes.
async fn collect<B: Body + Unpin>(headers: &HeaderMap, mut body: B, max: usize) -> Result<Vec<u8>, Refused> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|len| len > max) {
        return Err(Refused::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Refused::BadPacket) };
        let Ok(mut data) = frame.into_data() else { continue };
        if bytes.len() + data.remaining() > max {
            return Err(Refused::TooLarge);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            let len = chunk.len();
            bytes.extend_from_slice(chunk);
            data.advance(len);
        }
    }
    Ok(bytes)
}
