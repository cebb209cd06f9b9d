//! The server's side of handshakes, with certificates that can be swapped while it runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use oxherd_contract::edge::Certificate;
use rustls::crypto::ring::Ticketer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::certificate::{CertificateError, CheckedCertificate, provider};

/// All that may be spoken inside.
const HTTP_1_1: &[u8] = b"http/1.1";

/// TLS for all listeners of a worker. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl Tls {
    /// Without a certificate so far: until [`Tls::change`] every handshake fails.
    pub fn new() -> Result<Self, Error> {
        let certificates = Arc::new(Certificates::default());
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        // A client that comes back skips half of the handshake. What it needs for that it keeps itself, in a ticket:
        // sessions that nobody resumes cost no memory here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), certificates })
    }

    /// Uses these for handshakes from now on, or none of them if one is bad.
    pub fn change(&self, certificates: &[Certificate]) -> Result<(), CertificateError> {
        let checked: Result<Vec<_>, _> = certificates.iter().map(CheckedCertificate::new).collect();
        *self.certificates.0.write().unwrap_or_else(PoisonError::into_inner) = checked?;
        Ok(())
    }

    /// For one handshake.
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

/// What there is to choose from, in the order of the configuration.
#[derive(Default)]
struct Certificates(RwLock<Vec<CheckedCertificate>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let usable =
            |one: &CheckedCertificate| one.certified.key.choose_scheme(hello.signature_schemes()).is_some();
        choose(&certificates, hello.server_name(), usable).map(|chosen| chosen.certified.clone())
    }
}

/// The first that is for this name and usable; else the first that is usable: a client that asks for another name, or
/// for none, is told who is here.
fn choose<'c>(
    certificates: &'c [CheckedCertificate],
    name: Option<&str>,
    usable: impl Fn(&CheckedCertificate) -> bool,
) -> Option<&'c CheckedCertificate> {
    let is_for =
        |one: &&CheckedCertificate| name.is_some_and(|name| one.names.iter().any(|of| matches(of, name)));
    let mut candidates = certificates.iter().filter(|one| usable(one));
    candidates.clone().find(is_for).or_else(|| candidates.next())
}

/// Whether a name in a certificate, in lower case, covers a host (RFC 6125 §6.4.3).
fn matches(pattern: &str, host: &str) -> bool {
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) => rest.eq_ignore_ascii_case(domain),
        (Some(_), None) => false,
        (None, _) => pattern.eq_ignore_ascii_case(host),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::tests::made_for;
    use super::*;

    #[test]
    fn a_handshake_gets_the_certificate_of_its_name_or_the_first() {
        let made = [&["a.example"][..], &["*.b.example", "b.example"], &["c.b.example"]].map(made_for);
        let certificates: Vec<_> = made.iter().map(|one| CheckedCertificate::new(one).unwrap()).collect();
        for (name, expected) in [
            (Some("a.example"), 0),
            (Some("B.EXAMPLE"), 1),
            (Some("x.b.example"), 1),
            (Some("c.b.example"), 1), // the first of two
            (Some("x.y.b.example"), 0),
            (Some("localhost"), 0),
            (None, 0),
        ] {
            let chosen = choose(&certificates, name, |_| true).unwrap();
            assert_eq!(chosen.names(), certificates[expected].names(), "{name:?}");
        }
        let second_only = |one: &CheckedCertificate| one.names.len() == 2;
        assert_eq!(choose(&certificates, Some("a.example"), second_only).unwrap().names.len(), 2);
        assert!(choose(&[], None, |_| true).is_none());
    }

    #[test]
    fn one_bad_certificate_leaves_all_as_they_were() {
        let tls = Tls::new().unwrap();
        tls.change(&[made_for(&["a.example"])]).unwrap();
        let mut bad = made_for(&["b.example"]);
        bad.chain.clear();
        assert!(tls.change(&[made_for(&["c.example"]), bad]).is_err());
        let now = tls.certificates.0.read().unwrap();
        assert_eq!(now[0].names, ["a.example"]);
    }
}
