//! Certificates of a test's own, and a client that trusts exactly one of them.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{PATIENCE, Scratch};

/// A self-signed certificate in files.
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Makes it, or takes the place of one that has these files.
    pub fn make(scratch: &Scratch, file: &str, host: &str) -> Certificate {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let at = |extension| scratch.path().join(file).with_extension(extension);
        let certificate = Certificate { chain: at("pem"), key: at("key") };
        fs::write(&certificate.chain, made.cert.pem()).unwrap();
        fs::write(&certificate.key, made.signing_key.serialize_pem()).unwrap();
        private(&certificate.key);
        certificate
    }

    /// Lines of the config file for a listener with it.
    pub fn config(&self) -> String {
        format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n[tls]\ncertificate = {:?}\nkey = {:?}\n",
            self.chain, self.key
        )
    }

    /// A client's side of TLS that believes this certificate and no other.
    pub fn trust(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.chain).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled(); // a resumed session shows no certificate
        Arc::new(config)
    }
}

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Connects and completes the handshake.
pub fn connect(trust: &Arc<ClientConfig>, host: &str, to: SocketAddr) -> std::io::Result<TlsStream> {
    let mut tcp = TcpStream::connect(to)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut tls = ClientConnection::new(trust.clone(), host.to_owned().try_into().unwrap()).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

pub fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
