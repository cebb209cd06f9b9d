//! TLS in the worker: 1.2 and 1.3, HTTP/1.1 inside.
//!
//! ```text
//!   PEM (over the link) ──▶ certificate: checked ──▶ names ──▶ acceptor: each handshake picks by the client's name
//!                                                      ▲
//!                                    reload swaps them ┘ while connections live on with what they have
//! ```
//!
//! A worker reads no file: whoever has the files uses [`CheckedCertificate`] to find out whether they are good.

mod acceptor;
mod certificate;

pub(crate) use acceptor::Tls;
pub use certificate::{CertificateError, CheckedCertificate, Validity};
