//! What proxies say about a client: `X-Forwarded-For` and `X-Forwarded-Proto`, read as far as the chain of trusted
//! proxies reaches and no further. Pure.
//!
//! ```text
//!   X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.2        from 10.0.0.1
//!                    forged   the client   trusted ◀────── trusted
//! ```
//!
//! Everybody may write anything to the left of what the first trusted proxy added, so it is read from the right. From
//! a peer that is not trusted all such headers are removed: no handler, and no library in it, is fooled by them.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use oxherd_contract::edge::TrustedProxies;

use crate::connection::{Peer, Scheme, Source};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Claims about a client, which only a proxy may make.
const CLAIMS: [HeaderName; 6] = [
    HeaderName::from_static("forwarded"),
    FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    FORWARDED_PROTO,
    HeaderName::from_static("x-real-ip"),
];

/// Proxies in one chain at most; what is beyond is not looked at.
const HOPS_MAX: usize = 32;

/// Whom a request with these headers came from; claims of somebody untrusted are taken out of them.
pub(crate) fn peer(source: &Source, proxies: &TrustedProxies, headers: &mut HeaderMap) -> Peer {
    let Source { mut address, mut scheme, trusted } = *source;
    if !trusted {
        CLAIMS.iter().for_each(|name| drop(headers.remove(name)));
        return Peer { address, scheme, forwarded: false };
    }
    let mut hops = 0;
    for hop in from_the_right(headers, &FORWARDED_FOR).take(HOPS_MAX) {
        let Some(known) = hop.and_then(hop_address) else { break }; // `unknown`, or nonsense: no more is known
        address = Some(known);
        hops += 1;
        if !proxies.contains(known.ip()) {
            break;
        }
    }
    // A proxy either appends, as to the addresses, or replaces what was there.
    for claim in from_the_right(headers, &FORWARDED_PROTO).take(hops.max(1)) {
        scheme = claim.and_then(Scheme::named).unwrap_or(scheme);
    }
    Peer { address, scheme, forwarded: false }
}

/// The items of a list header that may be there more than once, the last first; `None` for one that is no text.
fn from_the_right<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Option<&'h str>> + use<'h> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(|item| {
        let text = str::from_utf8(item).ok()?;
        Some(text.trim())
    })
}

/// `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:5`.
fn hop_address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0));
    let address = alone.or_else(|_| text.parse::<SocketAddr>()).ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies(["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap()).into())
    }

    fn seen(from: &str, lines: &[(&'static str, &str)]) -> (Peer, HeaderMap) {
        let mut headers: HeaderMap = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let address = (from != "unix").then(|| SocketAddr::new(from.parse().unwrap(), 9));
        let source = Source::new(address, &proxies());
        (peer(&source, &proxies(), &mut headers), headers)
    }

    #[test]
    fn a_client_is_the_first_from_the_right_who_is_no_trusted_proxy() {
        for (from, lines, expected) in [
            ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9:0"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9:0"),
            ("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9:0"),
            ("10.0.0.1", &["6.6.6.6", "203.0.113.9,10.0.0.2"], "203.0.113.9:0"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9:4711"),
            ("10.0.0.1", &["[2001:db9::1]:7, [2001:db8::1]"], "[2001:db9::1]:7"),
            ("2001:db8::7", &["::ffff:203.0.113.9"], "203.0.113.9:0"),
            ("unix", &["203.0.113.9"], "203.0.113.9:0"),
            // All are ours: the one who began.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3:0"),
            // Nothing, nonsense, or one that does not tell: the last who is known.
            ("10.0.0.1", &[], "10.0.0.1:9"),
            ("10.0.0.1", &[""], "10.0.0.1:9"),
            ("10.0.0.1", &["6.6.6.6, unknown"], "10.0.0.1:9"),
            ("10.0.0.1", &["6.6.6.6, nonsense, 10.0.0.2"], "10.0.0.2:0"),
            // Whoever is not trusted is the client, whatever he says.
            ("11.0.0.1", &["203.0.113.9"], "11.0.0.1:9"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            let (peer, _) = seen(from, &lines);
            assert_eq!(peer.address, Some(expected.parse().unwrap()), "{from} {lines:?}");
        }
        assert_eq!(seen("unix", &[]).0.address, None);
    }

    #[test]
    fn the_scheme_is_what_the_client_spoke_to_the_first_trusted_proxy() {
        let two_hops = ("x-forwarded-for", "203.0.113.9, 10.0.0.2");
        let one_hop = ("x-forwarded-for", "203.0.113.9");
        let proto = |value| ("x-forwarded-proto", value);
        for (lines, expected) in [
            (&[one_hop, proto("https")][..], Scheme::Https),
            (&[one_hop, proto("wss")], Scheme::Https),
            (&[one_hop, proto("https, http")], Scheme::Http), // the first is forged
            (&[two_hops, proto("https, http")], Scheme::Https), // appended by each
            (&[two_hops, proto("https")], Scheme::Https),     // replaced by the last
            (&[proto("https")], Scheme::Https),
            (&[one_hop, proto("gopher")], Scheme::Http),
            (&[one_hop], Scheme::Http),
        ] {
            assert_eq!(seen("10.0.0.1", lines).0.scheme, expected, "{lines:?}");
        }
        assert_eq!(seen("11.0.0.1", &[proto("https")]).0.scheme, Scheme::Http);
    }

    #[test]
    fn what_a_stranger_claims_reaches_no_handler_and_what_a_proxy_says_does() {
        let lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "h"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
            ("host", "stays"),
        ];
        assert_eq!(seen("11.0.0.1", &lines).1.keys().collect::<Vec<_>>(), ["host"]);
        assert_eq!(seen("10.0.0.1", &lines).1.len(), lines.len());
    }

    #[test]
    fn a_very_long_chain_ends_somewhere() {
        let long = ["10.0.0.2"; 1000].join(",");
        let (peer, _) = seen("10.0.0.1", &[("x-forwarded-for", &format!("203.0.113.9,{long}"))]);
        assert_eq!(peer.address.unwrap().ip().to_string(), "10.0.0.2");
    }
}
