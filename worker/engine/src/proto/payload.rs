//! The body of a polling request or answer: packets as text, binary ones in base64, joined by U+001E.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engineioxide_core::{Packet, PacketParseError, ProtocolVersion, Str};

const SEPARATOR: char = '\x1e';

/// The packets of a `POST`, each of which shares the body's memory.
pub(crate) fn decode(
    body: Vec<u8>,
) -> Result<impl Iterator<Item = Result<Packet, PacketParseError>>, PacketParseError> {
    let body = Str::from(String::from_utf8(body)?);
    let mut start = 0;
    Ok(std::iter::from_fn(move || {
        if start >= body.len() {
            return None;
        }
        let end = body[start..].find(SEPARATOR).map_or(body.len(), |len| start + len);
        let packet = Packet::parse(ProtocolVersion::V4, body.slice(start..end));
        start = end + 1;
        Some(packet)
    }))
}

/// The body of a poll's answer, filled packet by packet.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    text: String,
}

impl Payload {
    /// A packet that consists of its type and text.
    pub(crate) fn push_text(&mut self, kind: char, text: &str) {
        self.separate();
        self.text.push(kind);
        self.text.push_str(text);
    }

    /// A binary packet.
    pub(crate) fn push_binary(&mut self, data: &[u8]) {
        self.separate();
        self.text.push('b');
        STANDARD.encode_string(data, &mut self.text);
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn separate(&mut self) {
        if !self.text.is_empty() {
            self.text.push(SEPARATOR);
        }
    }
}

/// How long a binary packet of `len` bytes is in a payload, its `b` included.
pub(crate) const fn binary_len(len: usize) -> usize {
    1 + len.div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut payload = Payload::default();
        payload.push_text('4', "hello€");
        payload.push_binary(&[1, 2, 3, 4]);
        payload.push_text('2', "");
        assert_eq!(payload.len(), "4hello€\x1ebAQIDBA==\x1e2".len());
        let packets: Vec<_> = decode(payload.into_text().into_bytes()).unwrap().map(Result::unwrap).collect();
        let binary = Packet::Binary(vec![1, 2, 3, 4].into());
        assert_eq!(packets, [Packet::Message("hello€".into()), binary, Packet::Ping]);
    }

    #[test]
    fn any_packets_survive_and_any_bytes_are_packets_or_errors() {
        for seed in 0..2000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut payload = Payload::default();
            let mut want = Vec::new();
            for _ in 0..rng.random_range(1..6) {
                let len = rng.random_range(0..9);
                if rng.random() {
                    let text: String =
                        (0..len).map(|_| ['4', 'b', '=', 'é'][rng.random_range(0..4)]).collect();
                    payload.push_text('4', &text);
                    want.push(Packet::Message(text.into()));
                } else {
                    let data: Vec<u8> = (0..len).map(|_| rng.random()).collect();
                    payload.push_binary(&data);
                    want.push(Packet::Binary(data.into()));
                }
            }
            let mut body = payload.into_text().into_bytes();
            let packets: Result<Vec<_>, _> = decode(body.clone()).unwrap().collect();
            assert_eq!(packets.unwrap(), want, "seed {seed}");
            for _ in 0..3 {
                let at = rng.random_range(0..body.len());
                body[at] = [0x1E, b'b', b'=', b'2', 0xC3, 0xFF][rng.random_range(0..6)];
            }
            let separators = body.iter().filter(|byte| **byte == 0x1E).count();
            if let Ok(packets) = decode(body) {
                assert!(packets.count() <= separators + 1, "seed {seed}");
            }
        }
    }

    #[test]
    fn an_empty_body_holds_nothing_and_a_packet_without_a_type_is_an_error() {
        assert_eq!(decode(Vec::new()).unwrap().count(), 0);
        assert_eq!(decode(b"3\x1e".to_vec()).unwrap().count(), 1);
        let packets: Vec<_> = decode(b"\x1e3".to_vec()).unwrap().collect();
        assert!(matches!(packets[0], Err(PacketParseError::InvalidPacketType(None))));
        assert!(decode(vec![b'4', 0xFF]).is_err());
    }

    #[test]
    fn the_length_of_a_binary_packet_is_known_before_it_is_encoded() {
        for len in 0..20 {
            let mut payload = Payload::default();
            payload.push_binary(&vec![7; len]);
            assert_eq!(payload.len(), binary_len(len));
        }
    }
}
