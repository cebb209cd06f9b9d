//! The checked configuration and the built-in defaults. Still without this machine: `None` is what
//! [`super::plan`] finds out (`config.toml` says of each key what that is).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use oxherd_contract::edge::{CorsSettings, Layers, TrustedProxies};
use oxherd_contract::listen::{Address, Affinity};
use oxherd_contract::secret::Secret;
use oxherd_contract::settings::{ClusterSettings, EngineSettings, HttpSettings, LogFormat, LogSettings};
use oxherd_supervisor::plan::{BusPlan, Listen, Timing};

use super::edge::TlsFiles;

/// All keys, each with a valid value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// The box's name; the machine's by default.
    pub(crate) host: Option<String>,
    /// At least one.
    pub(crate) listen: Vec<Listen>,
    /// Slots of each TCP listener; by default enough for the workers.
    pub(crate) slots: Option<u16>,
    /// By default as many as this process may use cores.
    pub(crate) workers: Option<u16>,
    /// By default where the runtime directory is.
    pub(crate) control: Option<PathBuf>,
    /// The official client's bundle; none by default.
    pub(crate) client_bundle: Option<PathBuf>,
    /// What a backend must present to publish; without it nobody may.
    pub(crate) api_key: Option<Secret>,
    pub(crate) timing: Timing,
    pub(crate) redis: RedisConfig,
    pub(crate) boxes: BoxesConfig,
    pub(crate) bus: BusPlan,
    pub(crate) orphan_grace: Duration,
    pub(crate) http: HttpSettings,
    /// None by default: nobody is believed.
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) tls: TlsFiles,
    pub(crate) cors: CorsSettings,
    pub(crate) engine: EngineSettings,
    pub(crate) cluster: ClusterSettings,
    pub(crate) log: LogSettings,
}

/// The Redis in place of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisConfig {
    /// With its place, without user and password, for people; none by default.
    pub(crate) url: Option<(Secret, String)>,
    /// How long READY waits for it.
    pub(crate) boot_wait: Duration,
}

/// How other boxes reach this one; not at all by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BoxesConfig {
    /// As they are told.
    pub(crate) advertise: Option<SocketAddr>,
    /// Where it really listens.
    pub(crate) listen: Option<SocketAddr>,
}

/// Permission bits of a Unix socket whose listener has no `mode`: its owner alone.
pub(crate) const UNIX_MODE: u32 = 0o600;

impl Default for Config {
    fn default() -> Self {
        let address = Address::Tcp(([127, 0, 0, 1], 3000).into());
        Config {
            host: None,
            listen: vec![Listen {
                address,
                affinity: Affinity::Auto,
                mode: UNIX_MODE,
                layers: Layers::default(),
            }],
            slots: None,
            workers: None,
            control: None,
            client_bundle: None,
            api_key: None,
            timing: Timing {
                boot: Duration::from_secs(30),
                hang: Duration::from_secs(10),
                stop: Duration::from_secs(30),
                give_up: Duration::from_secs(60),
            },
            redis: RedisConfig { url: None, boot_wait: Duration::from_secs(5) },
            boxes: BoxesConfig::default(),
            bus: BusPlan::default(),
            orphan_grace: Duration::from_secs(5),
            http: HttpSettings {
                connections_max: 65_536,
                half_open_max: 4_096,
                header_timeout: Duration::from_secs(10),
                keep_alive: Duration::from_secs(75),
                write_timeout: Duration::from_secs(30),
                peek_timeout: Duration::from_secs(1),
            },
            trusted_proxies: TrustedProxies::default(),
            tls: TlsFiles::default(),
            cors: CorsSettings::default(),
            cluster: ClusterSettings::default(),
            engine: EngineSettings {
                payload_bytes_max: 1_000_000,
                slow_budget_bytes: 1 << 20,
                slow_after: Duration::from_secs(30),
                flush_window: Duration::ZERO,
            },
            log: LogSettings { format: LogFormat::Text, filter: "info".to_owned() },
        }
    }
}
