//! The keys: one list of all that can be configured, with each key's name in the file and in the environment.
//! What a key's value may be is said where it is read ([`super::check`]).

/// Everything that can be configured, in the order in which complaints are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Host,
    Listen,
    Affinity,
    Slots,
    Workers,
    Control,
    ClientBundle,
    BootTimeout,
    HangTimeout,
    StopTimeout,
    GiveUpAfter,
    OrphanGrace,
    MaxPayload,
    HttpConnectionsMax,
    HttpHalfOpenMax,
    HttpHeaderTimeout,
    HttpKeepAlive,
    HttpWriteTimeout,
    HttpPeekTimeout,
    ClusterSecrets,
    ClusterAdvertise,
    ClusterListen,
    TrustedProxies,
    TlsCertificate,
    TlsKeys,
    CorsOrigins,
    CorsCredentials,
    SlowBudget,
    SlowAfter,
    FlushWindow,
    LogFormat,
    LogFilter,
    RedisUrl,
    RedisBootWait,
    BusListen,
    BusPassword,
    ApiSecret,
}

/// What the name of every environment variable of oxherd begins with.
pub(crate) const ENVIRONMENT_PREFIX: &str = "OXHERD_";

impl Key {
    pub(crate) const ALL: [Key; 37] = [
        Key::Host,
        Key::Listen,
        Key::Affinity,
        Key::Slots,
        Key::Workers,
        Key::Control,
        Key::ClientBundle,
        Key::BootTimeout,
        Key::HangTimeout,
        Key::StopTimeout,
        Key::GiveUpAfter,
        Key::OrphanGrace,
        Key::MaxPayload,
        Key::HttpConnectionsMax,
        Key::HttpHalfOpenMax,
        Key::HttpHeaderTimeout,
        Key::HttpKeepAlive,
        Key::HttpWriteTimeout,
        Key::HttpPeekTimeout,
        Key::ClusterSecrets,
        Key::ClusterAdvertise,
        Key::ClusterListen,
        Key::TrustedProxies,
        Key::TlsCertificate,
        Key::TlsKeys,
        Key::CorsOrigins,
        Key::CorsCredentials,
        Key::SlowBudget,
        Key::SlowAfter,
        Key::FlushWindow,
        Key::LogFormat,
        Key::LogFilter,
        Key::RedisUrl,
        Key::RedisBootWait,
        Key::BusListen,
        Key::BusPassword,
        Key::ApiSecret,
    ];

    /// Its name in the file; a dot stands between a table and the key in it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Key::Host => "host",
            Key::Listen => "listen",
            Key::Affinity => "affinity",
            Key::Slots => "slots",
            Key::Workers => "workers",
            Key::Control => "control",
            Key::ClientBundle => "client_bundle",
            Key::BootTimeout => "boot_timeout",
            Key::HangTimeout => "hang_timeout",
            Key::StopTimeout => "stop_timeout",
            Key::GiveUpAfter => "give_up_after",
            Key::OrphanGrace => "orphan_grace",
            Key::MaxPayload => "max_payload",
            Key::HttpConnectionsMax => "http.connections_max",
            Key::HttpHalfOpenMax => "http.half_open_max",
            Key::HttpHeaderTimeout => "http.header_timeout",
            Key::HttpKeepAlive => "http.keep_alive",
            Key::HttpWriteTimeout => "http.write_timeout",
            Key::HttpPeekTimeout => "http.peek_timeout",
            Key::ClusterSecrets => "cluster.secrets",
            Key::ClusterAdvertise => "cluster.advertise",
            Key::ClusterListen => "cluster.listen",
            Key::TrustedProxies => "trusted_proxies",
            Key::TlsCertificate => "tls.certificate",
            Key::TlsKeys => "tls.key",
            Key::CorsOrigins => "cors.origins",
            Key::CorsCredentials => "cors.credentials",
            Key::SlowBudget => "slow.budget",
            Key::SlowAfter => "slow.after",
            Key::FlushWindow => "flush.window",
            Key::LogFormat => "log.format",
            Key::LogFilter => "log.filter",
            Key::RedisUrl => "redis.url",
            Key::RedisBootWait => "redis.boot_wait",
            Key::BusListen => "bus.listen",
            Key::BusPassword => "bus.password",
            Key::ApiSecret => "api.key",
        }
    }

    /// Its name in the environment: `OXHERD_HTTP_HEADER_TIMEOUT`.
    pub(crate) fn variable(self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name().replace('.', "_").to_uppercase())
    }

    /// The key of this name in the file.
    pub(crate) fn named(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether its value may be a list: several in one variable are separated by commas.
    pub(crate) fn is_list(self) -> bool {
        matches!(
            self,
            Key::Listen
                | Key::TrustedProxies
                | Key::TlsCertificate
                | Key::TlsKeys
                | Key::CorsOrigins
                | Key::ClusterSecrets
        )
    }

    /// Whether a running box can be given another value.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Key::TlsCertificate | Key::TlsKeys | Key::ClusterSecrets)
    }

    /// Whether its value may contain a secret, and so is never shown.
    pub(crate) fn is_secret(self) -> bool {
        matches!(self, Key::ClusterSecrets | Key::RedisUrl | Key::BusPassword | Key::ApiSecret)
    }

    /// The names of what may stand in a table of the file, `""` being the top: keys and tables.
    pub(crate) fn names_in(table: &str) -> Vec<&'static str> {
        let mut names: Vec<_> = Key::ALL
            .into_iter()
            .filter_map(|key| match key.name().split_once('.') {
                Some((of, name)) if of == table => Some(name),
                Some((of, _)) if table.is_empty() => Some(of),
                None if table.is_empty() => Some(key.name()),
                _ => None,
            })
            .collect();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_name_and_has_a_variable_of_its_own() {
        let mut variables: Vec<_> = Key::ALL.into_iter().map(Key::variable).collect();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), Key::ALL.len());
        assert!(Key::ALL.into_iter().all(|key| Key::named(key.name()) == Some(key)));
        assert_eq!(Key::HttpHeaderTimeout.variable(), "OXHERD_HTTP_HEADER_TIMEOUT");
    }

    #[test]
    fn a_table_knows_what_may_stand_in_it() {
        assert_eq!(Key::names_in("log"), ["format", "filter"]);
        assert!(Key::names_in("").contains(&"http") && Key::names_in("").contains(&"listen"));
        assert!(Key::names_in("listen").is_empty());
    }
}
