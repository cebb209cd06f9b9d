//! A certificate with its key: from PEM to what a handshake needs, or to why it cannot be used. Pure.

use std::sync::Arc;
use std::time::Duration;

use oxherd_contract::edge::Certificate;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage};

/// The beginning of a PEM block that only a passphrase opens (RFC 5958 §3).
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// A certificate that can be used, with its key.
#[derive(Clone, Debug)]
pub struct CheckedCertificate {
    /// What it is for, in lower case; a wildcard stands for the first label.
    pub(super) names: Vec<String>,
    pub(super) certified: Arc<CertifiedKey>,
}

/// Whether clients accept a certificate at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// For this long.
    Good(Duration),
    /// It ended this long ago.
    Expired(Duration),
    /// It begins in this time.
    NotYet(Duration),
}

/// Why a certificate or its key cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The certificate's file holds something else.
    #[error("there is no certificate in it: expected PEM with `BEGIN CERTIFICATE`")]
    NoCertificate,
    /// The certificate's file is damaged.
    #[error("it is no PEM file: {0}")]
    ChainPem(pem::Error),
    /// The certificate itself is damaged.
    #[error("its first certificate cannot be read: {0}")]
    Malformed(webpki::Error),
    /// The key's file holds something else.
    #[error("there is no key in it: expected PEM with `BEGIN PRIVATE KEY`")]
    NoKey,
    /// The key is encrypted.
    #[error("the key is encrypted: decrypt it with `openssl pkey`, there is nobody to type a passphrase")]
    EncryptedKey,
    /// The key's file is damaged.
    #[error("it is no PEM file: {0}")]
    KeyPem(pem::Error),
    /// The key is of a kind that TLS cannot use here.
    #[error("the key cannot be used: {0}")]
    UnusableKey(TlsError),
    /// They do not belong together.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl CertificateError {
    /// Whether it is the key, not the certificate, that is at fault.
    pub fn is_about_key(&self) -> bool {
        use CertificateError::*;
        match self {
            NoCertificate | ChainPem(_) | Malformed(_) => false,
            NoKey | EncryptedKey | KeyPem(_) | UnusableKey(_) | Mismatch => true,
        }
    }
}

impl CheckedCertificate {
    /// Reads it. The time does not matter: an expired certificate is better than no server.
    pub fn new(certificate: &Certificate) -> Result<Self, CertificateError> {
        let chain = chain(&certificate.chain)?;
        let names = {
            let first = chain.first().ok_or(CertificateError::NoCertificate)?;
            let first = EndEntityCert::try_from(first).map_err(CertificateError::Malformed)?;
            first.valid_dns_names().map(str::to_ascii_lowercase).collect()
        };
        let certified = CertifiedKey::from_der(chain, key(certificate.key.reveal())?, &provider());
        let certified = certified.map_err(|error| match error {
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch,
            other => CertificateError::UnusableKey(other),
        })?;
        Ok(CheckedCertificate { names, certified: Arc::new(certified) })
    }

    /// The host names that it is for.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is valid at this time since 1970. Said for an operator; no handshake depends on it.
    pub fn validity(&self, now: Duration) -> Validity {
        let not_before = |at| match self.verified_at(at) {
            Some(webpki::Error::CertNotValidYet { not_before, .. }) => Some(seconds(not_before)),
            _ => None,
        };
        let not_after = |at| match self.verified_at(at) {
            Some(webpki::Error::CertExpired { not_after, .. }) => Some(seconds(not_after)),
            _ => None,
        };
        match (not_before(now), not_after(now)) {
            (Some(begin), _) => Validity::NotYet(begin.saturating_sub(now)),
            (_, Some(end)) => Validity::Expired(now.saturating_sub(end)),
            _ => Validity::Good(not_after(END_OF_TIME).map_or(Duration::MAX, |end| end.saturating_sub(now))),
        }
    }

    /// What webpki objects to at this time. It looks at the dates before it looks for an issuer, and of issuers it is
    /// told none.
    fn verified_at(&self, time: Duration) -> Option<webpki::Error> {
        let first = EndEntityCert::try_from(self.certified.cert.first()?).ok()?;
        let (time, usage) = (UnixTime::since_unix_epoch(time), KeyUsage::server_auth());
        first.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[], &[], time, usage, None, None).err()
    }
}

/// Later than any certificate: the year 9999 is the last that one can name (RFC 5280 §4.1.2.5).
const END_OF_TIME: Duration = Duration::from_secs(300_000_000_000);

/// The cryptography of all handshakes.
pub(super) fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(CertificateError::NoCertificate),
        other => other.map_err(CertificateError::ChainPem),
    }
}

fn key(text: &str) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound if text.contains(ENCRYPTED) => CertificateError::EncryptedKey,
        pem::Error::NoItemsFound => CertificateError::NoKey,
        other => CertificateError::KeyPem(other),
    })
}

fn seconds(time: UnixTime) -> Duration {
    Duration::from_secs(time.as_secs())
}

#[cfg(test)]
pub(super) mod tests {
    use oxherd_contract::secret::Secret;

    use super::*;

    /// A self-signed certificate for these names.
    pub(in crate::tls) fn made_for(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Certificate {
            name: "made".to_owned(),
            chain: made.cert.pem(),
            key: Secret::new(made.signing_key.serialize_pem()),
        }
    }

    fn years(from: i32, to: i32) -> Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["ox.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(to, 1, 1);
        let chain = parameters.self_signed(&key).unwrap().pem();
        Certificate { name: "dated".to_owned(), chain, key: Secret::new(key.serialize_pem()) }
    }

    #[test]
    fn a_good_certificate_is_known_by_its_names() {
        let checked = CheckedCertificate::new(&made_for(&["Ox.Example", "*.herd.example"])).unwrap();
        assert_eq!(checked.names(), ["ox.example", "*.herd.example"]);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason_and_the_file_that_it_is_in() {
        let good = made_for(&["a.example"]);
        let with = |chain: &str, key: &str| Certificate {
            name: String::new(),
            chain: chain.to_owned(),
            key: Secret::new(key),
        };
        let key = good.key.reveal();
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (certificate, reason, about_key) in [
            (with("", key), "no certificate", false),
            (with(key, key), "no certificate", false),
            (with("-----BEGIN CERTIFICATE-----\n????", key), "no PEM file", false),
            (with(nonsense, key), "cannot be read", false),
            (with(&good.chain, ""), "no key", true),
            (with(&good.chain, &good.chain), "no key", true),
            (
                with(&good.chain, &format!("{ENCRYPTED}\nAAAA\n{}", ENCRYPTED.replace("BEGIN", "END"))),
                "encrypted",
                true,
            ),
            (with(&good.chain, made_for(&["a.example"]).key.reveal()), "does not belong", true),
            (
                with(&good.chain, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                "cannot be used",
                true,
            ),
        ] {
            let error = CheckedCertificate::new(&certificate).unwrap_err();
            assert!(error.to_string().contains(reason), "{reason}: {error}");
            assert_eq!(error.is_about_key(), about_key, "{error}");
        }
    }

    #[test]
    fn the_time_of_a_certificate_is_told() {
        const DAY: Duration = Duration::from_secs(86_400);
        let dated = CheckedCertificate::new(&years(2020, 2021)).unwrap();
        let new_year_2020 = DAY * 18_262;
        for (now, expected) in [
            (new_year_2020 - DAY, Validity::NotYet(DAY)),
            (new_year_2020 + DAY, Validity::Good(DAY * 365)), // 2020 had 366 days
            (new_year_2020 + DAY * 367, Validity::Expired(DAY)),
        ] {
            assert_eq!(dated.validity(now), expected);
        }
    }
}
