//! The task that subscribes: connects, subscribes to everything that is wanted, follows changes, and begins again when
//! the connection is lost.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use redis::{Msg, PushInfo, PushKind, RedisError, RedisResult, Value, aio::PubSubStream};

use super::{
    Link, Receive,
    backoff::Backoff,
    connect::{self, Listener},
    subscriptions::{Change, Subscription},
};

/// Namespaces in one command: a restart with thousands of them is some round trips, not thousands.
const SUBSCRIBE_CHUNK: usize = 100;

/// Listens, and connects again, until the task is dropped.
pub(super) async fn run(link: Arc<Link>, receiver: Arc<dyn Receive>) {
    let mut backoff = Backoff::default();
    let mut connected_before = false;
    let mut said = false;
    loop {
        let push = Arc::clone(&receiver);
        let lost = match connect::listener(&link.config, move |info| pushed(&*push, info)).await {
            Ok(listener) => {
                if std::mem::replace(&mut connected_before, true) {
                    link.counters.reconnects.inc();
                }
                let mut session = Session { link: &link, listener: Some(listener), receiver: &receiver };
                let lost = session.run(&mut said, &mut backoff).await;
                link.set(|state| (state.subscribed, state.complete) = (false, false));
                link.subscriptions.lost();
                lost
            }
            Err(error) => error,
        };
        // An outage is one line, however many attempts it takes.
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(error = %lost, "cannot listen to redis, trying again");
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// One connection's life.
struct Session<'l> {
    link: &'l Link,
    /// Taken apart by [`run`](Self::run).
    listener: Option<Listener>,
    receiver: &'l Arc<dyn Receive>,
}

impl Session<'_> {
    async fn run(&mut self, said: &mut bool, backoff: &mut Backoff) -> RedisError {
        let (mut commands, stream) = match self.listener.take() {
            Some(Listener::Resp3(commands)) => (Sink::Resp3(commands), None),
            Some(Listener::Resp2(sink, stream)) => (Sink::Resp2(sink), Some(stream)),
            None => return closed(),
        };
        // With RESP2 the messages come out of a queue, and must be taken out while commands wait for their reply.
        let mut reading = pin!(read(self.receiver, stream).fuse());
        let mut subscribing = pin!(self.subscribe(&mut commands, said, backoff).fuse());
        tokio::select! {
            biased;
            lost = &mut reading => lost,
            lost = &mut subscribing => lost,
        }
    }

    /// Subscribes to everything, then follows what changes.
    async fn subscribe(&self, commands: &mut Sink, said: &mut bool, backoff: &mut Backoff) -> RedisError {
        let link = self.link;
        for chunk in link.subscriptions.all().chunks(SUBSCRIBE_CHUNK) {
            if let Err(error) = self.add(commands, chunk).await {
                return error;
            }
        }
        link.set(|state| state.subscribed = true);
        backoff.connected();
        if std::mem::take(said) {
            tracing::info!("listening to redis again");
        }
        loop {
            link.update_complete();
            let done = tokio::select! {
                () = commands.lost() => return closed(),
                change = link.subscriptions.next() => match change {
                    Change::Add(subscription) => self.add(commands, &[subscription]).await,
                    Change::Remove(subscription) => commands.remove(&subscription).await,
                },
                () = tokio::time::sleep(link.config.heartbeat) => self.in_time(commands.ping()).await,
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    /// Subscribes; a refusal is not a broken connection.
    async fn add(&self, commands: &mut Sink, subscriptions: &[Arc<Subscription>]) -> RedisResult<()> {
        match self.in_time(commands.add(subscriptions)).await {
            Ok(()) => subscriptions.iter().for_each(|subscription| subscription.set_confirmed(true)),
            Err(error) if error.is_unrecoverable_error() || error.is_io_error() => return Err(error),
            Err(error) => tracing::error!(%error, "redis refused a subscription"),
        }
        Ok(())
    }

    async fn in_time(&self, done: impl Future<Output = RedisResult<()>>) -> RedisResult<()> {
        tokio::time::timeout(self.link.config.reply_timeout, done).await.map_err(std::io::Error::from)?
    }
}

enum Sink {
    Resp3(connect::Commands),
    Resp2(redis::aio::PubSubSink),
}

impl Sink {
    /// What is counted comes last: other servers count this one from then on, and wait for its answers.
    async fn add(&mut self, subscriptions: &[Arc<Subscription>]) -> RedisResult<()> {
        let all = |names: fn(&Subscription) -> &Vec<String>| -> Vec<String> {
            subscriptions.iter().flat_map(|subscription| names(subscription)).cloned().collect()
        };
        self.psubscribe(all(|one| &one.patterns)).await?;
        self.subscribe(all(|one| &one.channels)).await?;
        self.subscribe(all(|one| &one.counted)).await
    }

    async fn psubscribe(&mut self, patterns: Vec<String>) -> RedisResult<()> {
        match self {
            _ if patterns.is_empty() => Ok(()), // which Redis would refuse
            Self::Resp3(commands) => commands.connection.psubscribe(patterns).await,
            Self::Resp2(sink) => sink.psubscribe(patterns).await,
        }
    }

    async fn subscribe(&mut self, channels: Vec<String>) -> RedisResult<()> {
        match self {
            _ if channels.is_empty() => Ok(()),
            Self::Resp3(commands) => commands.connection.subscribe(channels).await,
            Self::Resp2(sink) => sink.subscribe(channels).await,
        }
    }

    /// What is counted goes first: nobody waits for answers that do not come any more.
    async fn remove(&mut self, subscription: &Subscription) -> RedisResult<()> {
        subscription.set_confirmed(false);
        let channels: Vec<_> = subscription.counted.iter().chain(&subscription.channels).collect();
        match self {
            Self::Resp3(commands) => commands.connection.unsubscribe(channels).await?,
            Self::Resp2(sink) => sink.unsubscribe(channels).await?,
        }
        match self {
            _ if subscription.patterns.is_empty() => Ok(()),
            Self::Resp3(commands) => commands.connection.punsubscribe(&subscription.patterns).await,
            Self::Resp2(sink) => sink.punsubscribe(&subscription.patterns).await,
        }
    }

    async fn ping(&mut self) -> RedisResult<()> {
        match self {
            Self::Resp3(commands) => redis::cmd("PING").exec_async(&mut commands.connection).await,
            Self::Resp2(sink) => sink.ping::<Value>().await.map(drop),
        }
    }

    async fn lost(&self) {
        match self {
            Self::Resp3(commands) => commands.lost.notified().await,
            // The end of the stream of messages tells.
            Self::Resp2(_) => std::future::pending().await,
        }
    }
}

/// Reads RESP2's stream to its end; with RESP3 there is none, and no end.
async fn read(receiver: &Arc<dyn Receive>, stream: Option<PubSubStream>) -> RedisError {
    let Some(mut stream) = stream else { return std::future::pending().await };
    while let Some(message) = stream.next().await {
        received(&**receiver, message);
    }
    closed()
}

fn received(receiver: &dyn Receive, message: Msg) {
    let pattern: Option<Vec<u8>> = message.from_pattern().then(|| message.get_pattern().ok()).flatten();
    let payload = Bytes::copy_from_slice(message.get_payload_bytes());
    receiver.receive(pattern.as_deref(), message.get_channel_name().as_bytes(), payload);
}

/// Called by the task that reads a RESP3 connection, which reads on only when this returns.
fn pushed(receiver: &dyn Receive, info: PushInfo) {
    let mut data = info.data.into_iter().map(|value| match value {
        Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    });
    let (pattern, channel, payload) = match info.kind {
        PushKind::Message => (None, data.next(), data.next()),
        PushKind::PMessage => (data.next(), data.next(), data.next()),
        _ => return,
    };
    if let (Some(channel), Some(payload)) = (channel, payload) {
        receiver.receive(pattern.as_deref(), &channel, payload.into());
    }
    // A busy channel must not keep the runtime's other tasks waiting: each message costs a unit of the task's budget,
    // and with none left the next read from the socket yields. Reading goes on by itself, so nobody needs waking.
    if let Poll::Ready(unit) = tokio::task::coop::poll_proceed(&mut Context::from_waker(Waker::noop())) {
        unit.made_progress();
    }
}

fn closed() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()
}
