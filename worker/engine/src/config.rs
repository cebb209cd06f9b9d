//! The engine's settings as socketioxide's builder fills them: the fields and defaults of engineioxide 0.17.9.
//!
//! What this engine can do beyond them is in [`control::Options`](crate::control::Options).

use std::{borrow::Cow, time::Duration};

use engineioxide_core::TransportType;

/// Settings of an engine.
#[derive(Debug, Clone)]
pub struct EngineIoConfig {
    /// Requests to this path and below it are the engine's.
    pub req_path: Cow<'static, str>,
    /// Time from a pong to the next ping.
    pub ping_interval: Duration,
    /// Time that a client has to answer a ping.
    pub ping_timeout: Duration,
    /// Time that a client has to complete an upgrade to a WebSocket.
    pub upgrade_timeout: Duration,
    /// Emits that may wait for a client before further ones are refused. With a
    /// [byte budget](crate::control::Options::slow_budget) the budget takes its place.
    pub max_buffer_size: usize,
    /// Bytes of payload that a client may send in one request or message, on every transport.
    pub max_payload: u64,
    /// Bytes that a thread reads at once from a WebSocket (one buffer serves all its connections). At least 4 KB.
    pub ws_read_buffer_size: usize,
    /// Bytes of one WebSocket message, if less than `max_payload`.
    pub ws_max_message_size: usize,
    /// Bytes of one WebSocket frame, if less than `max_payload`.
    pub ws_max_frame_size: usize,
    /// The transports that clients may use: a sum of [`TransportType`] values.
    pub transports: u8,
    /// Text frames are messages as they stand, without an open packet and packet types: what suites that test the
    /// WebSocket protocol alone speak.
    #[doc(hidden)]
    #[cfg(feature = "__test_harness")]
    pub bare_websocket: bool,
}

impl Default for EngineIoConfig {
    fn default() -> Self {
        Self {
            req_path: "/engine.io".into(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_buffer_size: 128,
            max_payload: 100_000,
            ws_read_buffer_size: 4096,
            ws_max_message_size: 64 << 20,
            ws_max_frame_size: 16 << 20,
            transports: TransportType::Polling as u8 | TransportType::Websocket as u8,
            #[cfg(feature = "__test_harness")]
            bare_websocket: false,
        }
    }
}

impl EngineIoConfig {
    /// A builder with the defaults.
    pub fn builder() -> EngineIoConfigBuilder {
        EngineIoConfigBuilder::new()
    }

    /// Whether clients may use this transport.
    #[inline]
    pub fn allowed_transport(&self, transport: TransportType) -> bool {
        self.transports & transport as u8 == transport as u8
    }

    pub(crate) fn is_bare(&self) -> bool {
        #[cfg(feature = "__test_harness")]
        return self.bare_websocket;
        #[cfg(not(feature = "__test_harness"))]
        false
    }
}

/// Builds an [`EngineIoConfig`]; its methods are named after the fields.
///
/// ```
/// use engineioxide::config::EngineIoConfig;
///
/// let config = EngineIoConfig::builder().req_path("/live").max_payload(1_000_000).build();
/// assert_eq!(config.max_buffer_size, 128);
/// ```
#[derive(Debug, Default)]
pub struct EngineIoConfigBuilder {
    config: EngineIoConfig,
}

impl EngineIoConfigBuilder {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// See [`EngineIoConfig::req_path`].
    pub fn req_path(mut self, req_path: impl Into<Cow<'static, str>>) -> Self {
        self.config.req_path = req_path.into();
        self
    }

    /// See [`EngineIoConfig::transports`].
    ///
    /// # Panics
    /// With no transport, or more than there are.
    pub fn transports<const N: usize>(mut self, transports: [TransportType; N]) -> Self {
        assert!(N > 0 && N <= 2);
        self.config.transports = transports.into_iter().fold(0, |sum, transport| sum | transport as u8);
        self
    }

    /// The settings.
    pub fn build(self) -> EngineIoConfig {
        self.config
    }
}

macro_rules! setters {
    ($($field:ident: $ty:ty),* $(,)?) => {
        impl EngineIoConfigBuilder {
            $(
                #[doc = concat!("See [`EngineIoConfig::", stringify!($field), "`].")]
                pub fn $field(mut self, $field: $ty) -> Self {
                    self.config.$field = $field;
                    self
                }
            )*
        }
    };
}

setters! {
    ping_interval: Duration,
    ping_timeout: Duration,
    upgrade_timeout: Duration,
    max_buffer_size: usize,
    max_payload: u64,
    ws_read_buffer_size: usize,
    ws_max_message_size: usize,
    ws_max_frame_size: usize,
}
