//! Opens connections: RESP3 where the server has it, RESP2 where not.

use std::sync::Arc;

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use tokio::sync::Notify;

use crate::config::Config;

/// Writes in flight at a time. The queue inside the connection is longer, so handing one over never waits.
pub(super) const WRITES_MAX: usize = 8;

/// A connection that may be used for commands.
pub(super) struct Commands {
    pub connection: MultiplexedConnection,
    /// Fires when the server hangs up; with RESP2 only a command's failure tells.
    pub lost: Arc<Notify>,
}

/// A connection for subscriptions.
pub(super) enum Listener {
    /// Messages go to the push handler in the task that reads the connection: what is not handled is not read.
    Resp3(Commands),
    /// Messages go through the client crate's queue.
    Resp2(PubSubSink, PubSubStream),
}

/// Opens a connection to publish on.
pub(super) async fn commands(config: &Config) -> RedisResult<Commands> {
    match resp3(config, |_| {}).await {
        Err(error) if lacks_resp3(&error) => {
            let client = client(config, ProtocolVersion::RESP2)?;
            let connection = client.get_multiplexed_async_connection_with_config(&timeouts(config)).await?;
            name(config, Commands { connection, lost: Arc::default() }).await
        }
        other => other,
    }
}

/// Opens a connection to subscribe on.
pub(super) async fn listener(
    config: &Config,
    push: impl Fn(PushInfo) + Send + Sync + 'static,
) -> RedisResult<Listener> {
    match resp3(config, push).await {
        Err(error) if lacks_resp3(&error) => {
            // A connection that is subscribed cannot be named with RESP2, and the crate gives no way before.
            let client = client(config, ProtocolVersion::RESP2)?;
            let pubsub = tokio::time::timeout(config.connect_timeout, client.get_async_pubsub());
            let (sink, stream) = pubsub.await.map_err(std::io::Error::from)??.split();
            Ok(Listener::Resp2(sink, stream))
        }
        other => other.map(Listener::Resp3),
    }
}

/// The crate knows the words of Redis 5; since 7.0 another kind of quotes is around the command's name.
fn lacks_resp3(error: &RedisError) -> bool {
    let unknown = |detail: &str| detail.starts_with("unknown command") && detail.contains("HELLO");
    error.kind() == ErrorKind::RESP3NotSupported || error.detail().is_some_and(unknown)
}

async fn resp3(config: &Config, push: impl Fn(PushInfo) + Send + Sync + 'static) -> RedisResult<Commands> {
    let client = client(config, ProtocolVersion::RESP3)?;
    let lost = Arc::new(Notify::new());
    let on_lost = Arc::clone(&lost);
    let handler = move |info: PushInfo| -> Result<(), std::convert::Infallible> {
        match info.kind {
            PushKind::Disconnection => on_lost.notify_one(),
            _ => push(info),
        }
        Ok(())
    };
    let connection = client
        .get_multiplexed_async_connection_with_config(&timeouts(config).set_push_sender(handler))
        .await?;
    name(config, Commands { connection, lost }).await
}

async fn name(config: &Config, mut commands: Commands) -> RedisResult<Commands> {
    if let Some(name) = &config.client_name {
        redis::cmd("CLIENT").arg("SETNAME").arg(name).exec_async(&mut commands.connection).await?;
    }
    Ok(commands)
}

fn client(config: &Config, protocol: ProtocolVersion) -> RedisResult<Client> {
    let info = config.redis.clone();
    let settings = info.redis_settings().clone().set_protocol(protocol);
    // One small write after another: Nagle's algorithm would hold each back until the one before is acknowledged.
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    Client::open(info.set_redis_settings(settings).set_tcp_settings(tcp))
}

fn timeouts(config: &Config) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(config.reply_timeout))
        .set_pipeline_buffer_size(4 * WRITES_MAX)
}
