//! What may change while this worker lives, in the hands of everything that uses it.

use std::sync::Arc;

use oxherd_contract::edge::Keys;

use crate::route::tag::Secrets;
use crate::tls::{CertificateError, Tls};

/// All places where a change of keys has to arrive. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeyRing {
    pub tls: Tls,
    pub secrets: Arc<Secrets>,
}

impl KeyRing {
    /// Uses these from now on: all of them, or none.
    pub fn change(&self, keys: &Keys) -> Result<(), CertificateError> {
        if let Some(certificates) = &keys.certificates {
            self.tls.change(certificates)?;
        }
        if let Some(secrets) = &keys.secrets {
            self.secrets.replace(secrets);
        }
        Ok(())
    }
}
