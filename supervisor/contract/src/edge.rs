//! The edge: what lies between a client and HTTP. Which proxies are believed, what a listener expects before HTTP,
//! which pages of other origins may come, and the certificates.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::ids::ListenerId;
use crate::secret::Secret;

/// Networks in one list of trusted proxies at most: the steering program has a test for each.
pub const TRUSTED_PROXIES_MAX: usize = 64;

/// Certificates at most: one for each name that has its own.
pub const CERTIFICATES_MAX: usize = 16;

/// Bytes of all certificates and keys together at most, as JSON: they are one message of the link.
pub const CERTIFICATES_BYTES_MAX: usize = 48 * 1024;

/// What a worker must know of the edge at birth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeSettings {
    /// Of each listener, in the order of their ids.
    pub listeners: Vec<Layers>,
    /// Whose word about a client is believed.
    pub trusted_proxies: TrustedProxies,
    /// Which pages of other origins may talk to this server.
    pub cors: CorsSettings,
}

impl EdgeSettings {
    /// What a listener expects before HTTP.
    pub fn layers(&self, listener: ListenerId) -> Layers {
        self.listeners.get(usize::from(listener.0)).copied().unwrap_or_default()
    }
}

/// What stands between the transport and HTTP on a listener, the outer first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// A PROXY protocol header opens every connection.
    pub proxy_protocol: bool,
    /// HTTP is inside TLS.
    pub tls: bool,
}

/// Networks of reverse proxies, IPv4 ones never in their IPv6-mapped form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Whether a proxy at this address is believed. An IPv4 client of a dual-stack socket counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Which pages of other origins may read answers (the Fetch standard's CORS protocol).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsSettings {
    /// Who.
    pub origins: Origins,
    /// Whether they may send cookies along.
    pub credentials: bool,
}

/// Origins besides the server's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origins {
    /// Every one.
    Any,
    /// These, each as a browser writes it: `https://example.com`, without a default port or a slash.
    Listed(Vec<String>),
}

impl Default for Origins {
    fn default() -> Self {
        Origins::Listed(Vec::new())
    }
}

/// What may change while a worker lives; `None` stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keys {
    /// Names the change in the answer.
    pub number: u64,
    /// For TLS handshakes from now on.
    pub certificates: Option<Vec<Certificate>>,
    /// For session tags: the first signs, all verify.
    pub secrets: Option<Vec<Secret>>,
}

/// A certificate with its key, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Where it came from, for the log.
    pub name: String,
    /// The server's certificate, then those that lead to a root.
    pub chain: String,
    /// The private key.
    pub key: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_trusted_by_its_network_in_either_form_of_its_address() {
        let trusted = TrustedProxies(["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap()).into());
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.1", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(trusted.contains(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!TrustedProxies::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn keys_do_not_print() {
        let certificate =
            Certificate { name: "c".to_owned(), chain: String::new(), key: Secret::new("hunter2") };
        let keys = Keys { number: 1, certificates: Some(vec![certificate]), secrets: None };
        assert!(!format!("{keys:?}").contains("hunter2"));
    }
}
