//! The session tag: which box and worker own a session, and a MAC that nobody else can make.
//!
//! ```text
//!   sid      = <16 characters of the engine> . <tag>
//!   tag      = format character, then base64url of box (8 bytes), worker (8 bytes), MAC (11 bytes)
//!   MAC      = the first 88 bits of HMAC-SHA256 over purpose, format, sid, box, worker
//! ```
//!
//! socketioxide's `socket.id` is the engine's id and so is known to others; with the tag, knowing it is not enough to
//! touch the session. The whole tag is one word of a fixed length that needs no escape in a URL or in JSON, and each
//! owner has one spelling.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use engineioxide::control::SessionTagger;
use engineioxide::socket::Sid;
use hmac::{Hmac, KeyInit, Mac};
use oxherd_contract::ids::{BoxId, WorkerId};
use oxherd_contract::secret::Secret;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// What a tag begins with. Another form of tag has another character.
const FORMAT: u8 = b'a';

/// What this MAC is for, so that the same secret in another use never makes the same one.
const PURPOSE: &[u8] = b"oxherd session tag\0";

const OWNER_BYTES: usize = 16;
const MAC_BYTES: usize = 11;
const PAYLOAD_BYTES: usize = OWNER_BYTES + MAC_BYTES;

/// Without the format character. Whole groups of three bytes: base64 then has no spare bits, so no second spelling.
const PAYLOAD_CHARACTERS: usize = PAYLOAD_BYTES / 3 * 4;
const _: () = assert!(PAYLOAD_BYTES.is_multiple_of(3));

/// Where a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub box_id: BoxId,
    pub worker: WorkerId,
}

/// Why a session id names no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Flaw {
    #[error("bare")]
    Bare,
    #[error("not a session id")]
    NotASid,
    #[error("not a tag")]
    NotATag,
    #[error("broken mac")]
    BrokenMac,
}

/// The keys of the tags: the first signs, all verify. One value, shared by all who make or check tags.
pub(crate) struct Secrets(RwLock<Vec<Hmac<Sha256>>>);

impl Secrets {
    pub fn new(secrets: &[Secret]) -> Arc<Self> {
        Arc::new(Secrets(RwLock::new(keyed(secrets))))
    }

    /// Puts others in their place, for the sessions that are open too: while they change, the list has both.
    pub fn replace(&self, secrets: &[Secret]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keyed(secrets);
    }

    /// A whole MAC over a message of another kind than tags. `purpose` ends with a NUL, and no other use of the secrets has
    /// it.
    pub fn mac(&self, purpose: &[u8], message: &[u8]) -> [u8; 32] {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.first().map_or([0; 32], |key| whole_mac(key, purpose, message))
    }

    /// Whether one of the secrets made this MAC.
    pub fn verifies(&self, purpose: &[u8], message: &[u8], mac: &[u8]) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().any(|key| whole_mac(key, purpose, message).ct_eq(mac).into())
    }

    /// The tag of a session. Empty, so that the session is nobody's, if there is no secret.
    fn sign(&self, sid: Sid, owner: Owner) -> String {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(key) = keys.first() else { return String::new() };
        let mut payload = [0; PAYLOAD_BYTES];
        payload[..OWNER_BYTES].copy_from_slice(&owner.bytes());
        payload[OWNER_BYTES..].copy_from_slice(&mac(key, sid, owner));
        let mut tag = String::with_capacity(1 + PAYLOAD_CHARACTERS);
        tag.push(char::from(FORMAT));
        BASE64_URL_SAFE_NO_PAD.encode_string(payload, &mut tag);
        tag
    }

    /// Who owns the session of an id with its tag, as a client shows it.
    pub fn owner(&self, id: &str) -> Result<Owner, Flaw> {
        let (sid, tag) = id.split_once('.').ok_or(Flaw::Bare)?;
        self.verify(sid.parse().map_err(|_| Flaw::NotASid)?, tag)
    }

    fn verify(&self, sid: Sid, tag: &str) -> Result<Owner, Flaw> {
        let (format, text) = tag.as_bytes().split_first().ok_or(Flaw::NotATag)?;
        let mut payload = [0; PAYLOAD_BYTES];
        if *format != FORMAT
            || text.len() != PAYLOAD_CHARACTERS
            || BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut payload).ok() != Some(PAYLOAD_BYTES)
        {
            return Err(Flaw::NotATag);
        }
        let owner = Owner::of(&payload);
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = keys.iter().any(|key| mac(key, sid, owner).ct_eq(&payload[OWNER_BYTES..]).into());
        known.then_some(owner).ok_or(Flaw::BrokenMac)
    }
}

impl Owner {
    fn bytes(self) -> [u8; OWNER_BYTES] {
        (u128::from(self.box_id.0) << 64 | u128::from(self.worker.0)).to_be_bytes()
    }

    fn of(payload: &[u8; PAYLOAD_BYTES]) -> Owner {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (box_id, worker) = payload[..OWNER_BYTES].split_at(8);
        Owner { box_id: BoxId(number(box_id)), worker: WorkerId(number(worker)) }
    }
}

/// Each secret with its first block hashed already: that is half of the work of a short message.
fn keyed(secrets: &[Secret]) -> Vec<Hmac<Sha256>> {
    let key = |secret: &Secret| Hmac::new_from_slice(secret.reveal().as_bytes()).ok(); // takes every length
    secrets.iter().filter_map(key).collect()
}

/// Every part has a fixed length, so no two messages are the same bytes.
fn mac(key: &Hmac<Sha256>, sid: Sid, owner: Owner) -> [u8; MAC_BYTES] {
    let mut mac = key.clone();
    mac.update(PURPOSE);
    mac.update(&[FORMAT]);
    mac.update(sid.as_str().as_bytes());
    mac.update(&owner.bytes());
    let whole = mac.finalize().into_bytes();
    std::array::from_fn(|at| whole[at])
}

fn whole_mac(key: &Hmac<Sha256>, purpose: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = key.clone();
    mac.update(purpose);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Tags the sessions of one worker and knows them again.
pub(crate) struct Tagger {
    pub secrets: Arc<Secrets>,
    pub me: Owner,
}

impl SessionTagger for Tagger {
    fn tag(&self, sid: Sid) -> String {
        self.secrets.sign(sid, self.me)
    }

    fn check(&self, sid: Sid, tag: &str) -> bool {
        self.secrets.verify(sid, tag) == Ok(self.me)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "AAAAAAAAAAAAA-_s";

    fn owner(box_id: u64, worker: u64) -> Owner {
        Owner { box_id: BoxId(box_id), worker: WorkerId(worker) }
    }

    fn secrets(texts: &[&str]) -> Arc<Secrets> {
        Secrets::new(&texts.iter().map(|text| Secret::new(*text)).collect::<Vec<_>>())
    }

    fn tagger(texts: &[&str], me: Owner) -> Tagger {
        Tagger { secrets: secrets(texts), me }
    }

    #[test]
    fn a_tag_names_its_owner_to_all_who_have_the_secret() {
        for me in [owner(0, 0), owner(7, 3), owner(u64::MAX, u64::MAX)] {
            let tagger = tagger(&["one secret of many bytes"], me);
            let sid = Sid::new();
            let tag = tagger.tag(sid);
            assert_eq!(tag.len(), 1 + PAYLOAD_CHARACTERS);
            assert!(tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{tag}");
            assert!(tagger.check(sid, &tag));
            assert_eq!(secrets(&["one secret of many bytes"]).owner(&format!("{sid}.{tag}")), Ok(me));
        }
    }

    #[test]
    fn no_character_of_it_may_differ() {
        let tagger = tagger(&["one secret of many bytes"], owner(1, 2));
        let sid: Sid = SID.parse().unwrap();
        let id = format!("{sid}.{}", tagger.tag(sid));
        for at in 0..id.len() {
            for other in b"Ab0-_.=%" {
                let mut changed = id.clone().into_bytes();
                if changed[at] == *other {
                    continue;
                }
                changed[at] = *other;
                let changed = String::from_utf8(changed).unwrap();
                assert!(tagger.secrets.owner(&changed).is_err(), "{changed}");
            }
        }
        for more in ["A", "=", ".", " "] {
            assert!(tagger.secrets.owner(&format!("{id}{more}")).is_err());
        }
        assert!(!tagger.check(Sid::ZERO, &tagger.tag(sid)), "of another session");
    }

    #[test]
    fn each_flaw_is_told_apart() {
        let tagger = tagger(&["one secret of many bytes"], owner(1, 2));
        let tag = tagger.tag(SID.parse().unwrap());
        for (id, flaw) in [
            (String::new(), Flaw::Bare),
            (SID.to_owned(), Flaw::Bare),
            (format!("short.{tag}"), Flaw::NotASid),
            (format!("{SID}."), Flaw::NotATag),
            (format!("{SID}.b{}", &tag[1..]), Flaw::NotATag),
            (format!("{SID}.{tag}A"), Flaw::NotATag),
            (format!("{SID}.a{}", "A".repeat(PAYLOAD_CHARACTERS)), Flaw::BrokenMac),
        ] {
            assert_eq!(tagger.secrets.owner(&id), Err(flaw), "{id}");
        }
        assert_eq!(
            secrets(&["another secret of many bytes"]).owner(&format!("{SID}.{tag}")),
            Err(Flaw::BrokenMac)
        );
    }

    #[test]
    fn the_first_secret_signs_and_all_verify_from_the_moment_they_are_there() {
        let (old, new) = ("the old secret", "the new secret");
        let tagger = tagger(&[old], owner(1, 2));
        let sid = Sid::new();
        let before = tagger.tag(sid);
        tagger.secrets.replace(&[Secret::new(new), Secret::new(old)]);
        let after = tagger.tag(sid);
        assert_ne!(before, after);
        assert!(tagger.check(sid, &before) && tagger.check(sid, &after));
        tagger.secrets.replace(&[Secret::new(new)]);
        assert!(!tagger.check(sid, &before) && tagger.check(sid, &after));
    }

    #[test]
    fn another_workers_session_is_not_ours() {
        let [mine, theirs] = [owner(1, 2), owner(1, 3)].map(|me| tagger(&["one secret of many bytes"], me));
        let sid = Sid::new();
        assert!(!mine.check(sid, &theirs.tag(sid)));
    }
}
