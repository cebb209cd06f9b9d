//! What boxes say to each other over Redis: messages of one fixed form, each with a MAC of the cluster's secret. Pure.
//!
//! ```text
//!   form (4 bytes) . kind . contract (4) . box (8) . sequence (8) . family . port (2) . address (16) . MAC (32)
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use oxherd_contract::VERSION;
use oxherd_contract::ids::BoxId;
use thiserror::Error;

use crate::route::tag::Secrets;

/// The channel that all boxes hear. Node's adapter listens to what begins with its key, `socket.io`.
pub(super) const CHANNEL: &str = "oxherd:boxes";

/// What this MAC is for, so that the same secret in another use never makes the same one.
const PURPOSE: &[u8] = b"oxherd box announcement\0";

/// Another form of message begins otherwise, and is not for this version.
const FORM: &[u8; 4] = b"oxb1";

const BODY_BYTES: usize = 44;
const MAC_BYTES: usize = 32;

/// Bytes of every message.
const MESSAGE_BYTES: usize = BODY_BYTES + MAC_BYTES;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub box_id: BoxId,
    /// Grows with each message of a box, whatever worker says it: an old one that somebody repeats is known by it.
    pub sequence: u64,
    pub word: Word,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The box lives; `None`: it cannot be reached by others.
    Here(Option<SocketAddr>),
    /// The box ends, nobody is left.
    Gone,
    /// A worker that knows nobody yet asks all boxes to say that they are here.
    Who,
}

/// Why a message says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Unheard {
    #[error("another form or version")]
    Foreign,
    #[error("not made with the cluster's secret")]
    BrokenMac,
}

impl Announcement {
    pub fn encode(&self, secrets: &Secrets) -> Vec<u8> {
        let (kind, address) = match self.word {
            Word::Here(address) => (0, address),
            Word::Gone => (1, None),
            Word::Who => (2, None),
        };
        let mut message = Vec::with_capacity(MESSAGE_BYTES);
        message.extend_from_slice(FORM);
        message.push(kind);
        message.extend_from_slice(&VERSION.to_be_bytes());
        message.extend_from_slice(&self.box_id.0.to_be_bytes());
        message.extend_from_slice(&self.sequence.to_be_bytes());
        let (family, ip, port) = match address {
            None => (0, Ipv6Addr::UNSPECIFIED, 0),
            Some(SocketAddr::V4(address)) => (4, address.ip().to_ipv6_mapped(), address.port()),
            Some(SocketAddr::V6(address)) => (6, *address.ip(), address.port()),
        };
        message.push(family);
        message.extend_from_slice(&port.to_be_bytes());
        message.extend_from_slice(&ip.octets());
        let mac = secrets.mac(PURPOSE, &message);
        message.extend_from_slice(&mac);
        message
    }

    pub fn decode(message: &[u8], secrets: &Secrets) -> Result<Announcement, Unheard> {
        let (body, mac) = message.split_at_checked(BODY_BYTES).ok_or(Unheard::Foreign)?;
        let rest = body.strip_prefix(FORM).filter(|_| mac.len() == MAC_BYTES).ok_or(Unheard::Foreign)?;
        if !secrets.verifies(PURPOSE, body, mac) {
            return Err(Unheard::BrokenMac);
        }
        let number = |at: usize, bytes: usize| {
            rest[at..at + bytes].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        // A binary speaks its own version of the contract and its neighbours'.
        if number(1, 4).abs_diff(u64::from(VERSION)) > 1 {
            return Err(Unheard::Foreign);
        }
        let port = number(22, 2) as u16;
        let ip = Ipv6Addr::from(rest[24..].iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte)));
        let address = match rest[21] {
            0 => None,
            4 => {
                Some(SocketAddr::new(IpAddr::V4(ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED)), port))
            }
            _ => Some(SocketAddr::new(IpAddr::V6(ip), port)),
        };
        let word = match rest[0] {
            0 => Word::Here(address),
            1 => Word::Gone,
            2 => Word::Who,
            _ => return Err(Unheard::Foreign),
        };
        Ok(Announcement { box_id: BoxId(number(5, 8)), sequence: number(13, 8), word })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oxherd_contract::secret::Secret;

    use super::*;

    fn secrets(text: &str) -> Arc<Secrets> {
        Secrets::new(&[Secret::new(text)])
    }

    fn said(word: Word) -> Announcement {
        Announcement { box_id: BoxId(0x0102_0304_0506_0708), sequence: u64::MAX - 1, word }
    }

    #[test]
    fn what_was_said_is_heard() {
        let secrets = secrets("a secret of many bytes");
        let addresses = [Some("10.1.2.3:7000"), Some("[2001:db8::1]:65535"), None];
        let here = addresses.map(|address| Word::Here(address.map(|address| address.parse().unwrap())));
        for word in here.into_iter().chain([Word::Gone, Word::Who]) {
            let message = said(word).encode(&secrets);
            assert_eq!(message.len(), MESSAGE_BYTES);
            assert_eq!(Announcement::decode(&message, &secrets), Ok(said(word)));
        }
    }

    #[test]
    fn no_bit_of_it_may_differ() {
        let secrets = secrets("a secret of many bytes");
        let message = said(Word::Here(Some(([10, 0, 0, 1], 7000).into()))).encode(&secrets);
        for bit in 0..message.len() * 8 {
            let mut changed = message.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Announcement::decode(&changed, &secrets).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn strangers_and_other_versions_are_told_apart() {
        let secrets = secrets("a secret of many bytes");
        let strangers = said(Word::Gone).encode(&self::secrets("another secret of many bytes"));
        assert_eq!(Announcement::decode(&strangers, &secrets), Err(Unheard::BrokenMac));
        let message = said(Word::Gone).encode(&secrets);
        for length in (0..MESSAGE_BYTES).chain([MESSAGE_BYTES + 1]) {
            let cut: Vec<u8> = message.iter().copied().chain([0]).take(length).collect();
            assert_eq!(Announcement::decode(&cut, &secrets), Err(Unheard::Foreign), "{length} bytes");
        }
        let mut other = message[..BODY_BYTES].to_vec();
        other[5..9].copy_from_slice(&(VERSION + 2).to_be_bytes());
        let mac = secrets.mac(PURPOSE, &other);
        other.extend_from_slice(&mac);
        assert_eq!(Announcement::decode(&other, &secrets), Err(Unheard::Foreign));
    }

    #[test]
    fn nothing_that_redis_may_carry_stops_it() {
        let secrets = secrets("a secret of many bytes");
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) as u8
            };
            let length = usize::from(next()) % (2 * MESSAGE_BYTES);
            let mut noise: Vec<u8> = (0..length).map(|_| next()).collect();
            if noise.len() >= FORM.len() && next() % 2 == 0 {
                noise[..FORM.len()].copy_from_slice(FORM);
            }
            assert!(Announcement::decode(&noise, &secrets).is_err());
        }
    }
}
