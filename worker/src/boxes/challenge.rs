//! How two boxes prove to each other, at the start of a connection, that both have the cluster's secret. Pure.
//!
//! ```text
//!   asking box                                    answering box
//!     hello: form, boxes, worker, nonce  ──▶
//!                                        ◀──  nonce, MAC over (answering, hello, nonce)
//!     MAC over (asking, hello, nonce)    ──▶
//!                                        ◀──  verdict
//!     HTTP/1.1 …
//! ```
//!
//! No secret is sent. Each side's MAC covers both nonces and names its side, so none can be used again, and the hello
//! names both boxes, so none can be used elsewhere. What follows is neither signed nor encrypted: the network between
//! the boxes is taken to be private.

use oxherd_contract::ids::{BoxId, WorkerId};

use crate::route::tag::Secrets;

/// Another form of challenge begins otherwise.
const FORM: &[u8; 8] = b"oxherd1\n";

pub(super) const NONCE_BYTES: usize = 32;
pub(super) const PROOF_BYTES: usize = 32;
pub(super) const HELLO_BYTES: usize = FORM.len() + 3 * 8 + NONCE_BYTES;

/// Fresh random bytes.
pub(super) type Nonce = [u8; NONCE_BYTES];

/// A side's proof.
pub(super) type Proof = [u8; PROOF_BYTES];

/// Instead of its proof, the asking side says that it does not believe the other's. No MAC is ever this but by a chance
/// of one in 2^256.
pub(super) const DISBELIEF: Proof = [0; PROOF_BYTES];

/// What the asking side wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub from: BoxId,
    pub to: BoxId,
    /// The worker that is to serve the connection.
    pub worker: WorkerId,
    pub nonce: Nonce,
}

/// Who proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Asking,
    Answering,
}

/// The answering side's last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    /// HTTP may begin.
    Welcome = 0,
    /// There is no such worker any more.
    NoSuchWorker = 1,
    /// The proof is wrong.
    WrongSecret = 2,
}

impl Hello {
    pub fn encode(&self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        let (form, rest) = bytes.split_at_mut(FORM.len());
        form.copy_from_slice(FORM);
        for (at, number) in [self.from.0, self.to.0, self.worker.0].into_iter().enumerate() {
            rest[at * 8..][..8].copy_from_slice(&number.to_be_bytes());
        }
        rest[24..].copy_from_slice(&self.nonce);
        bytes
    }

    /// `None` if it is none.
    pub fn decode(bytes: &[u8; HELLO_BYTES]) -> Option<Hello> {
        let rest = bytes.strip_prefix(FORM)?;
        let number = |at: usize| rest[at * 8..][..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&rest[24..]);
        Some(Hello { from: BoxId(number(0)), to: BoxId(number(1)), worker: WorkerId(number(2)), nonce })
    }
}

impl Side {
    /// Proves that this side has the secret.
    pub fn prove(self, secrets: &Secrets, hello: &Hello, nonce: &Nonce) -> Proof {
        secrets.mac(self.purpose(), &message(hello, nonce))
    }

    /// Whether the other side, which is this one, has proved it.
    pub fn believes(self, secrets: &Secrets, hello: &Hello, nonce: &Nonce, proof: &Proof) -> bool {
        secrets.verifies(self.purpose(), &message(hello, nonce), proof)
    }

    fn purpose(self) -> &'static [u8] {
        match self {
            Side::Asking => b"oxherd box challenge, asking side\0",
            Side::Answering => b"oxherd box challenge, answering side\0",
        }
    }
}

impl Verdict {
    pub fn of(byte: u8) -> Option<Verdict> {
        [Verdict::Welcome, Verdict::NoSuchWorker, Verdict::WrongSecret]
            .into_iter()
            .find(|verdict| *verdict as u8 == byte)
    }
}

/// Both parts have a fixed length, so no two messages are the same bytes.
fn message(hello: &Hello, nonce: &Nonce) -> Vec<u8> {
    [&hello.encode()[..], nonce].concat()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oxherd_contract::secret::Secret;

    use super::*;

    const HELLO: Hello = Hello { from: BoxId(1), to: BoxId(2), worker: WorkerId(3), nonce: [4; NONCE_BYTES] };
    const NONCE: Nonce = [5; NONCE_BYTES];

    fn secrets(texts: &[&str]) -> Arc<Secrets> {
        Secrets::new(&texts.iter().map(|text| Secret::new(*text)).collect::<Vec<_>>())
    }

    #[test]
    fn a_hello_is_read_as_it_was_written() {
        assert_eq!(Hello::decode(&HELLO.encode()), Some(HELLO));
        let mut http = [b' '; HELLO_BYTES];
        http[..5].copy_from_slice(b"GET /");
        assert_eq!(Hello::decode(&http), None);
        assert_eq!(Verdict::of(1), Some(Verdict::NoSuchWorker));
        assert_eq!(Verdict::of(3), None);
    }

    #[test]
    fn a_proof_is_good_for_its_side_its_hello_its_nonce_and_its_secret_only() {
        let ours = secrets(&["a secret of many bytes"]);
        let proof = Side::Answering.prove(&ours, &HELLO, &NONCE);
        assert!(Side::Answering.believes(&ours, &HELLO, &NONCE, &proof));
        assert!(!Side::Asking.believes(&ours, &HELLO, &NONCE, &proof), "reflected");
        assert!(!Side::Answering.believes(&ours, &HELLO, &[6; NONCE_BYTES], &proof), "replayed");
        for other in [
            Hello { from: BoxId(9), ..HELLO },
            Hello { to: BoxId(9), ..HELLO },
            Hello { worker: WorkerId(9), ..HELLO },
            Hello { nonce: NONCE, ..HELLO },
        ] {
            assert!(!Side::Answering.believes(&ours, &other, &NONCE, &proof), "{other:?}");
        }
        let theirs = secrets(&["another secret of many bytes"]);
        assert!(!Side::Answering.believes(&theirs, &HELLO, &NONCE, &proof));
        assert!(!Side::Answering.believes(&ours, &HELLO, &NONCE, &DISBELIEF));
        let rotating = secrets(&["another secret of many bytes", "a secret of many bytes"]);
        assert!(Side::Answering.believes(&rotating, &HELLO, &NONCE, &proof));
    }
}
