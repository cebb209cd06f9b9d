//! The cluster's secrets.

use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use oxherd_contract::secret::Secret;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The first signs, all verify.
pub(crate) struct Secrets(RwLock<Vec<Hmac<Sha256>>>);

impl Secrets {
    pub fn new(secrets: &[Secret]) -> Arc<Self> {
        let key = |secret: &Secret| Hmac::new_from_slice(secret.reveal().as_bytes()).ok();
        Arc::new(Secrets(RwLock::new(secrets.iter().filter_map(key).collect())))
    }

    /// A whole MAC over a message; `purpose` ends with a NUL and no other use of a secret has it.
    pub fn mac(&self, purpose: &[u8], message: &[u8]) -> [u8; 32] {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.first().map_or([0; 32], |key| whole_mac(key, purpose, message))
    }

    /// Whether one of the secrets made this MAC.
    pub fn verifies(&self, purpose: &[u8], message: &[u8], mac: &[u8]) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().any(|key| whole_mac(key, purpose, message).ct_eq(mac).into())
    }
}

fn whole_mac(key: &Hmac<Sha256>, purpose: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = key.clone();
    mac.update(purpose);
    mac.update(message);
    mac.finalize().into_bytes().into()
}
