//! From what was typed to the checked configuration: every key is read once, with its range. Pure.
//! A bad value is complained about and its default stands in, so that the rest can be checked too.

use std::ops::RangeInclusive;
use std::time::Duration;

use oxherd_contract::edge::{CorsSettings, TrustedProxies};
use oxherd_contract::listen::Address;
use oxherd_contract::secret::Secret;
use oxherd_contract::settings::{ClusterSettings, EngineSettings, HttpSettings, LogFormat, LogSettings};
use oxherd_supervisor::plan::{BusPlan, Listen, Timing};
use tracing_subscriber::EnvFilter;

use super::checked::Config;
use super::complaint::Complaints;
use super::edge::{TlsFiles, cors_conflict, origins, pem_files, trusted_proxies};
use super::key::Key;
use super::listen::{affinity, listeners};
use super::typed::{Low, Value};
use super::value::{addresses, auto_or, duration, line, number, one_or_list, path, truth};

/// Workers of a box at most: the scoreboard has rows for these and as many that are about to end.
pub(crate) const WORKERS_MAX: u16 = 256;

/// Slots of a listener at most: a program of the kernel counts them, and each is an open file.
pub(crate) const SLOTS_MAX: u16 = 1024;

/// `HOST_NAME_MAX` of `sysconf(3)`.
const HOST_BYTES_MAX: usize = 64;

/// Bytes of a password or key at most.
const SECRET_BYTES_MAX: usize = 512;

/// The range of `max_payload`: less would refuse a socket's handshake with its auth; more in one piece belongs elsewhere.
const PAYLOAD_BYTES: RangeInclusive<u32> = 1_000..=100_000_000;

/// The range of `slow.budget`: less would close a client for one burst.
const BUDGET_BYTES: RangeInclusive<u32> = 16_384..=1_073_741_824;

/// Bytes of a cluster's secret at least: what is shorter can be guessed from one session id.
const CLUSTER_SECRET_BYTES_MIN: usize = 16;

/// Secrets of a cluster at most: two are needed while they change.
const CLUSTER_SECRETS_MAX: usize = 8;

/// Bytes of a log filter at most.
const FILTER_BYTES_MAX: usize = 1024;

/// Checks everything that was typed.
pub(crate) fn check(low: &Low, complaints: &mut Complaints) -> Config {
    let default = Config::default();
    let mut read = Reader { low, complaints };
    let choice = read.key(Key::Affinity, default.listen[0].affinity, affinity);
    let ms = Duration::from_millis;
    let s = Duration::from_secs;
    let trusted_proxies = read.key(Key::TrustedProxies, default.trusted_proxies, trusted_proxies);
    let tls = TlsFiles {
        certificates: read.key(Key::TlsCertificate, default.tls.certificates, pem_files),
        keys: read.key(Key::TlsKeys, default.tls.keys, pem_files),
    };
    let listen = match low.get(Key::Listen) {
        Some(typed) => listeners(typed, choice, read.complaints),
        None => default.listen.into_iter().map(|listen| Listen { affinity: choice, ..listen }).collect(),
    };
    read.layers_need(&listen, &tls, &trusted_proxies);
    let redis = read.redis(default.redis);
    let secrets = read.key(Key::ClusterSecrets, default.cluster.secrets, cluster_secrets);
    Config {
        host: read.key(Key::Host, default.host, |value| line(HOST_BYTES_MAX)(value).map(Some)),
        listen,
        slots: read.key(Key::Slots, default.slots, auto_or(number(1..=SLOTS_MAX))),
        workers: read.key(Key::Workers, default.workers, auto_or(number(1..=WORKERS_MAX))),
        control: read.key(Key::Control, default.control, |value| path(value).map(Some)),
        client_bundle: read.key(Key::ClientBundle, default.client_bundle, |value| path(value).map(Some)),
        api_key: read.key(Key::ApiSecret, default.api_key, secret),
        timing: Timing {
            boot: read.key(Key::BootTimeout, default.timing.boot, duration(ms(100)..=s(3600))),
            hang: read.key(Key::HangTimeout, default.timing.hang, duration(ms(500)..=s(3600))),
            stop: read.key(Key::StopTimeout, default.timing.stop, duration(ms(100)..=s(3600))),
            give_up: read.key(Key::GiveUpAfter, default.timing.give_up, duration(s(1)..=s(86_400))),
        },
        boxes: read.boxes(redis.url.is_some(), &secrets),
        redis,
        bus: read.bus(default.bus),
        orphan_grace: read.key(Key::OrphanGrace, default.orphan_grace, duration(ms(100)..=s(60))),
        http: HttpSettings {
            connections_max: read.key(
                Key::HttpConnectionsMax,
                default.http.connections_max,
                number(1..=10_000_000),
            ),
            half_open_max: read.key(Key::HttpHalfOpenMax, default.http.half_open_max, number(1..=10_000_000)),
            header_timeout: read.key(
                Key::HttpHeaderTimeout,
                default.http.header_timeout,
                duration(ms(100)..=s(300)),
            ),
            keep_alive: read.key(Key::HttpKeepAlive, default.http.keep_alive, duration(s(1)..=s(3600))),
            write_timeout: read.key(
                Key::HttpWriteTimeout,
                default.http.write_timeout,
                duration(ms(100)..=s(3600)),
            ),
            peek_timeout: read.key(Key::HttpPeekTimeout, default.http.peek_timeout, duration(ms(10)..=s(60))),
        },
        cluster: ClusterSettings { secrets },
        trusted_proxies,
        tls,
        cors: read.cors(default.cors),
        engine: EngineSettings {
            payload_bytes_max: read.key(
                Key::MaxPayload,
                default.engine.payload_bytes_max,
                number(PAYLOAD_BYTES),
            ),
            slow_budget_bytes: read.key(
                Key::SlowBudget,
                default.engine.slow_budget_bytes,
                number(BUDGET_BYTES),
            ),
            slow_after: read.key(Key::SlowAfter, default.engine.slow_after, duration(ms(100)..=s(3600))),
            flush_window: read.key(
                Key::FlushWindow,
                default.engine.flush_window,
                duration(Duration::ZERO..=s(1)),
            ),
        },
        log: LogSettings {
            format: read.key(Key::LogFormat, default.log.format, log_format),
            filter: read.key(Key::LogFilter, default.log.filter, log_filter),
        },
    }
}

pub(super) struct Reader<'a> {
    pub(super) low: &'a Low,
    pub(super) complaints: &'a mut Complaints,
}

impl Reader<'_> {
    pub(super) fn key<T>(&mut self, key: Key, default: T, parse: impl Fn(&Value) -> Result<T, String>) -> T {
        let Some(typed) = self.low.get(key) else { return default };
        match parse(&typed.value) {
            Ok(good) => good,
            Err(why) => {
                self.complaints.value(key, typed, why);
                default
            }
        }
    }

    /// Beyond this machine a bus without a password would let everybody publish to every user.
    fn bus(&mut self, default: BusPlan) -> BusPlan {
        let bus = BusPlan {
            listen: self.key(Key::BusListen, default.listen, addresses),
            password: self.key(Key::BusPassword, default.password, secret),
        };
        let open = bus.password.is_none() && bus.listen.iter().any(|address| !address.ip().is_loopback());
        if open && let Some(typed) = self.low.get(Key::BusListen) {
            self.complaints.value(
                Key::BusListen,
                typed,
                "beyond the loopback address bus.password is needed",
            );
        }
        bus
    }

    /// What a listener expects must be possible.
    fn layers_need(&mut self, listen: &[Listen], tls: &TlsFiles, proxies: &TrustedProxies) {
        let Some(typed) = self.low.get(Key::Listen) else { return };
        if listen.iter().any(|one| one.layers.tls) && tls.certificates.is_empty() {
            let why = "a listener with tls needs tls.certificate and tls.key";
            self.complaints.value(Key::Listen, typed, why);
        }
        let over_tcp = |one: &Listen| one.layers.proxy_protocol && matches!(one.address, Address::Tcp(_));
        if listen.iter().any(over_tcp) && proxies.0.is_empty() {
            let why =
                "a listener with proxy_protocol takes connections from trusted_proxies only: name them there";
            self.complaints.value(Key::Listen, typed, why);
        }
    }

    fn cors(&mut self, default: CorsSettings) -> CorsSettings {
        let cors = CorsSettings {
            origins: self.key(Key::CorsOrigins, default.origins, origins),
            credentials: self.key(Key::CorsCredentials, default.credentials, truth),
        };
        if let (Some(why), Some(typed)) = (cors_conflict(&cors), self.low.get(Key::CorsCredentials)) {
            self.complaints.value(Key::CorsCredentials, typed, why);
        }
        cors
    }
}

fn secret(value: &Value) -> Result<Option<Secret>, String> {
    line(SECRET_BYTES_MAX)(value).map(|text| Some(Secret::new(text)))
}

/// One secret, or a list of them.
fn cluster_secrets(value: &Value) -> Result<Vec<Secret>, String> {
    let expected = || {
        format!(
            "expected a secret of {CLUSTER_SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes on one line, or a list of \
             {CLUSTER_SECRETS_MAX} of them at most"
        )
    };
    let long_enough = |value: &Value| {
        let text = line(SECRET_BYTES_MAX)(value).ok().filter(|text| text.len() >= CLUSTER_SECRET_BYTES_MIN);
        text.map(Secret::new).ok_or_else(expected)
    };
    one_or_list(CLUSTER_SECRETS_MAX, long_enough)(value).map_err(|_| expected())
}

fn log_format(value: &Value) -> Result<LogFormat, String> {
    match value {
        Value::Text(text) if text == "text" => Ok(LogFormat::Text),
        Value::Text(text) if text == "json" => Ok(LogFormat::Json),
        _ => Err("expected \"text\" or \"json\"".to_owned()),
    }
}

fn log_filter(value: &Value) -> Result<String, String> {
    let text = line(FILTER_BYTES_MAX)(value)?;
    match EnvFilter::builder().parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("expected levels such as \"info,oxherd=debug\": {error}")),
    }
}
