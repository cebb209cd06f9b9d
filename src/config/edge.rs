//! The keys of the edge: trusted proxies, certificates by their paths, pages of other origins. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};
use oxherd_contract::edge::{CERTIFICATES_MAX, CorsSettings, Origins, TRUSTED_PROXIES_MAX, TrustedProxies};

use super::typed::Value;
use super::value::{one_or_list, path};

/// Origins in one list at most: every request of a page is compared with them.
const ORIGINS_MAX: usize = 64;

/// Bits of the prefix `::ffff:0:0/96`, under which IPv6 writes IPv4 addresses (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX_BITS: u8 = 96;

/// Where certificates and their keys are: one key for each certificate, at the same place in its list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificates: Vec<PathBuf>,
    pub(crate) keys: Vec<PathBuf>,
}

/// Networks or addresses.
pub(crate) fn trusted_proxies(value: &Value) -> Result<TrustedProxies, String> {
    let network = |value: &Value| {
        let text = if let Value::Text(text) = value { text } else { "" };
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse::<IpNet>().or_else(|_| alone()).map_err(|_| {
            format!("expected an address or ADDRESS/BITS, or a list of {TRUSTED_PROXIES_MAX} of them at most")
        })?;
        Ok(unmapped(network.trunc()))
    };
    one_or_list(TRUSTED_PROXIES_MAX, network)(value).map(TrustedProxies)
}

/// IPv4 networks in their own form.
fn unmapped(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_PREFIX_BITS)),
        IpNet::V4(_) => None,
    };
    let v4 = mapped.and_then(|(address, bits): (Ipv4Addr, u8)| Ipv4Net::new(address, bits).ok());
    v4.map_or(network, IpNet::V4)
}

/// The paths of certificates, or of keys.
pub(crate) fn pem_files(value: &Value) -> Result<Vec<PathBuf>, String> {
    one_or_list(CERTIFICATES_MAX, path)(value)
}

/// `"*"`, or origins as browsers write them.
pub(crate) fn origins(value: &Value) -> Result<Origins, String> {
    if matches!(value, Value::Text(text) if text == "*") {
        return Ok(Origins::Any);
    }
    let listed = one_or_list(ORIGINS_MAX, origin)(value)?;
    // From the environment even one comes as a list.
    Ok(if listed.iter().any(|one| one == "*") { Origins::Any } else { Origins::Listed(listed) })
}

/// A browser sends scheme, host in lower case and a port that is not the scheme's own, and compares nothing else
/// (RFC 6454 §6.2); anything else would never match.
fn origin(value: &Value) -> Result<String, String> {
    let text = if let Value::Text(text) = value { text.as_str() } else { "" };
    let good = text.split_once("://").is_some_and(|(scheme, host)| {
        let own_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => "/",
        };
        let known = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase() && !"/?#@*,".contains(c);
        !scheme.is_empty() && !host.is_empty() && host.chars().all(known) && !host.ends_with(own_port)
    });
    if good || text == "*" {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected \"*\", an origin such as \"https://example.com\" (lower case, no default port, no slash at the \
         end), or a list of {ORIGINS_MAX} of them at most"
    ))
}

/// What cannot be true together.
pub(crate) fn cors_conflict(cors: &CorsSettings) -> Option<&'static str> {
    (cors.credentials && cors.origins == Origins::Any)
        .then_some("with credentials browsers refuse \"*\": name the origins in cors.origins")
}

#[cfg(test)]
mod tests {
    use super::super::typed::{Origin, Typed};
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn list(texts: &[&str]) -> Value {
        Value::List(texts.iter().map(|one| Typed { value: text(one), origin: Origin::Default }).collect())
    }

    #[test]
    fn a_trusted_proxy_is_an_address_or_a_network() {
        let read = |value: &Value| {
            trusted_proxies(value).map(|proxies| proxies.0.iter().map(IpNet::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read(&text("127.0.0.1")).unwrap(), ["127.0.0.1/32"]);
        assert_eq!(read(&list(&["10.1.2.3/8", "2001:db8::1"])).unwrap(), ["10.0.0.0/8", "2001:db8::1/128"]);
        assert_eq!(read(&text("::ffff:10.0.0.0/104")).unwrap(), ["10.0.0.0/8"]);
        assert_eq!(read(&text("::/0")).unwrap(), ["::/0"]);
        assert_eq!(read(&list(&[])).unwrap(), [""; 0]);
        for bad in [text("nginx"), text("10.0.0.0/33"), text(""), list(&["10.0.0.1", "x"]), Value::Integer(1)]
        {
            assert!(read(&bad).unwrap_err().starts_with("expected an address"), "{bad}");
        }
        assert_eq!(read(&list(&["::1"; 65])).unwrap_err(), "expected 64 at most");
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        assert_eq!(origins(&text("*")), Ok(Origins::Any));
        assert_eq!(origins(&list(&["*"])), Ok(Origins::Any));
        assert_eq!(origins(&list(&[])), Ok(Origins::default()));
        for good in
            ["https://example.com", "http://localhost:8080", "capacitor://localhost", "https://[::1]:1"]
        {
            assert_eq!(origins(&text(good)), Ok(Origins::Listed(vec![good.to_owned()])));
        }
        for bad in [
            "example.com",
            "https://",
            "https://example.com/",
            "https://Example.com",
            "https://example.com:443",
            "http://example.com:80",
            "https://*.example.com",
            "null",
        ] {
            assert!(origins(&text(bad)).unwrap_err().starts_with("expected \"*\", an origin"), "{bad}");
        }
    }
}
