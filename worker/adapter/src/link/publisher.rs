//! The task that publishes: takes batches from the outbox, writes them in order, and settles each message once, as
//! confirmed, dropped or unknown.

use std::{pin::pin, sync::Arc};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use redis::{Pipeline, RedisResult, Value, aio::ConnectionLike};
use tokio::time::Instant;

use super::{
    Link,
    backoff::Backoff,
    connect::{self, Commands, WRITES_MAX},
    outbox::Item,
};

/// A batch that was written, and what Redis says to each of its commands.
type Replies = (Vec<Item>, RedisResult<Vec<Value>>);

/// Connects, publishes, and connects again, until the task is dropped.
pub(super) async fn run(link: Arc<Link>) {
    let mut backoff = Backoff::default();
    let mut connected_before = false;
    let mut said = false;
    loop {
        let lost = match connect::commands(&link.config).await {
            Ok(commands) => {
                backoff.connected();
                if std::mem::replace(&mut connected_before, true) {
                    link.counters.reconnects.inc();
                }
                if std::mem::take(&mut said) {
                    tracing::info!("publishing to redis again");
                }
                link.set(|state| state.publishing = true);
                let lost = publish(&link, commands).await;
                link.set(|state| state.publishing = false);
                lost
            }
            Err(error) => Some(error),
        };
        // An outage is one line, however many attempts it takes.
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(
                error = lost.map(tracing::field::display),
                "cannot publish to redis, trying again"
            );
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Publishes until the connection is lost. Whatever is then without a reply is unknown: Redis may have it.
async fn publish(link: &Link, mut commands: Commands) -> Option<redis::RedisError> {
    let mut state = link.state.subscribe();
    let mut writes: FuturesOrdered<BoxFuture<'static, Replies>> = FuturesOrdered::new();
    // One timer for good, instead of one that is set and taken back for each message.
    let mut idle = pin!(tokio::time::sleep(link.config.heartbeat));
    let mut last_reply = Instant::now();
    let lost = loop {
        let may_write = writes.len() < WRITES_MAX && state.borrow_and_update().subscribed;
        tokio::select! {
            biased;
            Some((batch, replies)) = writes.next() => {
                last_reply = Instant::now();
                if let Some(error) = settle(link, batch, replies) {
                    break Some(error);
                }
            }
            () = commands.lost.notified() => break None,
            batch = link.outbox.take(), if may_write => writes.push_back(write(&commands, batch).await),
            _ = state.changed(), if !may_write => {}
            () = &mut idle, if writes.is_empty() => {
                if last_reply.elapsed() >= link.config.heartbeat {
                    if let Err(error) = redis::cmd("PING").exec_async(&mut commands.connection).await {
                        break Some(error);
                    }
                    last_reply = Instant::now();
                }
                idle.as_mut().reset(last_reply + link.config.heartbeat);
            }
        }
    };
    // The connection is closed before the rest is looked at; replies that it had read are still good.
    drop(commands);
    while let Some((batch, replies)) = writes.next().await {
        settle(link, batch, replies);
    }
    lost
}

/// Hands a batch to the connection, now, so that the order of batches is the order of these calls.
async fn write(commands: &Commands, batch: Vec<Item>) -> BoxFuture<'static, Replies> {
    let mut pipeline = Pipeline::with_capacity(batch.len());
    for item in &batch {
        match item {
            Item::Publish { channel, payload } => pipeline.cmd("PUBLISH").arg(channel).arg(payload),
            Item::Count { channel, .. } => pipeline.cmd("PUBSUB").arg("NUMSUB").arg(channel),
        };
    }
    let mut connection = commands.connection.clone();
    let replies = async move {
        let replies = connection.req_packed_commands(&pipeline, 0, batch.len()).await;
        (batch, replies)
    };
    // Unconstrained: tokio's budget must not put off the first poll, which is what hands the batch over.
    let mut replies: BoxFuture<'static, Replies> = Box::pin(tokio::task::unconstrained(replies));
    let early = std::future::poll_fn(|cx| {
        let early = replies.as_mut().poll(cx);
        std::task::Poll::Ready(early)
    });
    match early.await {
        std::task::Poll::Ready(replies) => Box::pin(std::future::ready(replies)),
        std::task::Poll::Pending => replies,
    }
}

/// Accounts for a batch; returns why the connection is to be given up, if it is.
fn settle(link: &Link, batch: Vec<Item>, replies: RedisResult<Vec<Value>>) -> Option<redis::RedisError> {
    let items = batch.len();
    let lost = match replies {
        Ok(replies) => {
            batch.into_iter().zip(replies).for_each(|(item, reply)| settle_one(link, item, reply));
            None
        }
        Err(error) => {
            let published = batch.iter().filter(|item| matches!(item, Item::Publish { .. })).count();
            link.counters.unknown.add(published as u64);
            Some(error)
        }
    };
    link.outbox.settle(items);
    lost
}

fn settle_one(link: &Link, item: Item, reply: Value) {
    match (item, reply) {
        (Item::Publish { .. }, Value::ServerError(error)) => {
            link.counters.dropped.inc();
            tracing::debug!(?error, "redis refused a message");
        }
        (Item::Publish { .. }, _) => link.counters.confirmed.inc(),
        // Redis answers `[channel, count]`, a proxy with RESP3 maybe `{channel: count}`.
        (Item::Count { answer, .. }, Value::Array(reply)) => {
            if let [_, Value::Int(count)] = reply[..] {
                let _ = answer.send(usize::try_from(count).unwrap_or(0));
            }
        }
        (Item::Count { answer, .. }, Value::Map(reply)) => {
            if let [(_, Value::Int(count))] = reply[..] {
                let _ = answer.send(usize::try_from(count).unwrap_or(0));
            }
        }
        // The answer's end is dropped: whoever asked learns that there is none.
        (Item::Count { .. }, _) => {}
    }
}
