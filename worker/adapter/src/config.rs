//! What can be chosen, with its default and unit, checked where it is set. Nothing behind this file meets a bad value.

use std::{fmt, time::Duration};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Why a [`Config`] cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address of the Redis is not understood.
    #[error("redis address: {0}")]
    Url(#[source] redis::RedisError),
    /// A connection's name as `CLIENT SETNAME` takes it: printable ASCII without spaces.
    #[error("client name {0:?} has characters other than '!' to '~'")]
    ClientName(String),
    /// The adapter's tasks need a runtime to live in.
    #[error("called outside of a tokio runtime")]
    NoRuntime,
}

/// The settings of an adapter. All servers and emitters of one cluster share the [`key`](Config::key) and the Redis.
///
/// ```
/// # fn main() -> Result<(), oxherd_adapter::ConfigError> {
/// use std::time::Duration;
/// let config = oxherd_adapter::Config::new("redis://:secret@127.0.0.1:6379")?
///     .key("my-app")
///     .request_timeout(Duration::from_secs(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) redis: ConnectionInfo,
    pub(crate) client_name: Option<String>,
    pub(crate) key: String,
    pub(crate) answers: Answers,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) reply_timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) buffer_messages_max: usize,
    pub(crate) buffer_bytes_max: usize,
    pub(crate) message_bytes_max: usize,
    pub(crate) requests_max: usize,
    pub(crate) namespaces_max: usize,
}

/// Where answers to other servers' requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// To the channel that all servers read, as Node does by default: understood by every version.
    Common,
    /// To the asking server's own channel (Node's `publishOnSpecificResponseChannel`), where it names itself: N−1
    /// deliveries less for each answer. Servers before `@socket.io/redis-adapter` 7.1 do not hear it.
    Specific,
}

impl Config {
    /// The settings for the Redis at `url`: `redis://[[user]:password@]host[:port]`, `unix:///path` or
    /// `redis+unix:///path?pass=…`; with the feature `tls` also `rediss://…`.
    pub fn new(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        Ok(Self {
            redis: url.as_ref().into_connection_info().map_err(ConfigError::Url)?,
            client_name: None,
            key: "socket.io".to_owned(),
            answers: Answers::Common,
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            reply_timeout: Duration::from_secs(2),
            heartbeat: Duration::from_secs(5),
            buffer_messages_max: 10_000,
            buffer_bytes_max: 64 << 20,
            message_bytes_max: 64 << 20,
            requests_max: 10_000,
            namespaces_max: 10_000,
        })
    }

    /// Where it connects, without credentials: `HOST:PORT` or a path.
    pub fn place(&self) -> String {
        match self.redis.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }
                if host.contains(':') =>
            {
                format!("[{host}]:{port}")
            }
            other => other.to_string(),
        }
    }

    /// The name of both connections in `CLIENT LIST`. Default: none.
    pub fn client_name(mut self, name: impl Into<String>) -> Result<Self, ConfigError> {
        let name = name.into();
        if !name.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            return Err(ConfigError::ClientName(name));
        }
        self.client_name = Some(name);
        Ok(self)
    }

    /// The prefix of all channels, Node's `key`. Default: `socket.io`.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Where answers go. Default: [`Answers::Common`].
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// How long a question to the other servers waits for the last answer, Node's `requestsTimeout`. Default: 5 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long one attempt to connect may take. Default: 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a written command may stay without a reply before the connection counts as dead and what was written
    /// as unknown. Default: 2 s.
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.reply_timeout = timeout;
        self
    }

    /// How often an idle connection is tried. Default: 5 s.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// How much may wait for Redis, in messages and bytes; what comes on top is dropped and counted. Default: 10,000
    /// messages, 64 MiB.
    pub fn buffer_max(mut self, messages: usize, bytes: usize) -> Self {
        (self.buffer_messages_max, self.buffer_bytes_max) = (messages, bytes);
        self
    }

    /// The longest message from Redis that is read; longer ones are dropped and counted. Default: 64 MiB.
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// How many questions may be open at a time in a namespace, in either direction. Default: 10,000.
    pub fn requests_max(mut self, requests: usize) -> Self {
        self.requests_max = requests;
        self
    }

    /// How many namespaces are subscribed to; sockets in more than these hear only their own server. Default: 10,000.
    pub fn namespaces_max(mut self, namespaces: usize) -> Self {
        self.namespaces_max = namespaces;
        self
    }
}

/// Without the credentials.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("redis", &self.redis.addr())
            .field("client_name", &self.client_name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_kinds_are_understood() {
        for url in
            ["redis://127.0.0.1:1", "redis://:p@[::1]:1/0", "unix:///tmp/s", "redis+unix:///tmp/s?pass=p"]
        {
            assert!(Config::new(url).is_ok(), "{url}");
        }
        assert!(matches!(Config::new("http://x"), Err(ConfigError::Url(_))));
    }

    #[test]
    fn a_password_is_never_printed() {
        let config = Config::new("redis://:hunter2@127.0.0.1:1").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn client_names_are_what_redis_accepts() {
        let config = Config::new("redis://127.0.0.1:1").unwrap();
        assert!(config.clone().client_name("worker-7").is_ok());
        assert!(config.client_name("two words").is_err());
    }
}
