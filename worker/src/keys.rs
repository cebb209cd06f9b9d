//! What may change while this worker lives, in the hands of everything that uses it.

use oxherd_contract::edge::Keys;

use crate::tls::{CertificateError, Tls};

/// All places where a change of keys has to arrive. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct KeyRing {
    pub tls: Tls,
}

impl KeyRing {
    /// Uses these from now on: all of them, or none.
    pub fn change(&self, keys: &Keys) -> Result<(), CertificateError> {
        keys.certificates.as_deref().map_or(Ok(()), |certificates| self.tls.change(certificates))
    }
}
