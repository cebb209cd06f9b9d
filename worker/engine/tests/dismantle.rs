//! A server that wraps its sockets: the engine takes the socket out, and what must live as long goes with it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use engineioxide::{
    control::{BareSocket, Control, Dismantled, Options},
    service::EngineIoService,
};
use hyper::{server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use support::{echo::Echo, raw::WebSocket, wait_until};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// Bytes that passed a wrapper, either way.
static PASSED: AtomicUsize = AtomicUsize::new(0);
/// Places that are taken.
static PLACES: AtomicUsize = AtomicUsize::new(0);

struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        PLACES.fetch_sub(1, SeqCst);
    }
}

struct Wrapper {
    stream: TcpStream,
    place: Place,
}

impl AsyncRead for Wrapper {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        PASSED.fetch_add(buf.filled().len() - before, SeqCst);
        read
    }
}

impl AsyncWrite for Wrapper {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = written {
            PASSED.fetch_add(bytes, SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn dismantle(upgraded: Upgraded) -> Result<Dismantled, Upgraded> {
    let parts = upgraded.downcast::<TokioIo<Wrapper>>()?;
    let Wrapper { stream, place } = parts.io.into_inner();
    Ok(Dismantled { socket: BareSocket::Tcp(stream), early: parts.read_buf, guard: Box::new(place) })
}

async fn serve(listener: TcpListener, service: EngineIoService<Echo>, control: Control) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        PLACES.fetch_add(1, SeqCst);
        let io = TokioIo::new(Wrapper { stream, place: Place });
        let (service, control) = (service.clone(), control.clone());
        let service = service_fn(move |mut request| {
            control.attach(&mut request);
            hyper::service::Service::call(&service, request)
        });
        tokio::spawn(http1::Builder::new().serve_connection(io, service).with_upgrades());
    }
}

#[test]
fn a_wrapped_socket_is_taken_out_and_its_guard_lives_as_long_as_the_connection() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let control = Control::new(Options { dismantle: Some(dismantle), ..Options::default() });
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(serve(listener, EngineIoService::new(Arc::new(Echo::default())), control.clone()));

    let mut client = WebSocket::open(addr);
    let by_hyper = PASSED.load(SeqCst);
    client.text("4hello");
    client.expect_text("4hello");
    assert_eq!(PASSED.load(SeqCst), by_hyper, "the wrapper sees none of it");
    assert_eq!(PLACES.load(SeqCst), 1);
    let now = control.counters().snapshot();
    assert_eq!((now.direct_bytes_in, now.direct_bytes_out), (now.bytes_in, now.bytes_out));
    assert_eq!(now.bytes_in, 2 + 4 + 6);
    drop(client);
    wait_until("the guard is dropped with the connection", || PLACES.load(SeqCst) == 0);
}
