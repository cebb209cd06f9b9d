//! One WebSocket frame (RFC 6455 §5.2): its header in both directions, and the mask.

use super::close::CloseCode;

/// The longest header that a server writes: two bytes and a 64-bit length.
pub(crate) const HEADER_MAX: usize = 10;
/// The longest payload of a control frame (§5.5).
pub(crate) const CONTROL_MAX: usize = 125;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Control frames are short, whole, and may stand between the fragments of a message.
    pub(crate) fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

/// The header of a frame that a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub fin: bool,
    pub opcode: Opcode,
    pub mask: [u8; 4],
    /// Bytes of payload that follow.
    pub len: u64,
}

impl Header {
    /// The header at the front of `bytes` and its length; `None` while it is incomplete.
    ///
    /// Refuses what a server must refuse: an unmasked frame (§5.1), reserved bits and opcodes (§5.2),
    /// a control frame that is fragmented or long (§5.5), a length with the top bit set.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, CloseCode> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::from_bits(first & 0x0F).ok_or(CloseCode::PROTOCOL_ERROR)?;
        let fin = first & 0x80 != 0;
        let short = second & 0x7F;
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        if opcode.is_control() && (!fin || usize::from(short) > CONTROL_MAX) {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        let (len, rest) = match short {
            126 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(None),
            },
            len => (u64::from(len), rest),
        };
        if len >> 63 != 0 {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some((Self { fin, opcode, mask: *mask, len }, bytes.len() - rest.len())))
    }
}

/// Appends the header of an unfragmented, unmasked frame: what a server sends.
pub(crate) fn put_header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    out.push(0x80 | opcode.bits());
    match len {
        0..=125 => out.push(len as u8),
        126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// How many bytes [`put_header`] writes for a payload of `len` bytes.
pub(crate) const fn header_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => HEADER_MAX,
    }
}

/// Masks or unmasks `bytes`, the first of which stands at `position` of the frame's payload (§5.3).
pub(crate) fn apply_mask(bytes: &mut [u8], mask: [u8; 4], position: u64) {
    let mut key = mask;
    key.rotate_left((position % 4) as usize);
    let wide = u64::from(u32::from_ne_bytes(key));
    let wide = wide | wide << 32;
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Some(word) = chunk.first_chunk_mut::<8>() {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_at_every_length_and_only_when_complete() {
        for len in [0u64, 1, 125, 126, 0xFFFF, 0x1_0000, 1 << 40] {
            let mut bytes = Vec::new();
            put_header(&mut bytes, Opcode::Binary, len as usize);
            assert_eq!(bytes.len(), header_len(len as usize));
            bytes[1] |= 0x80;
            bytes.extend_from_slice(&[1, 2, 3, 4]);
            let want = Header { fin: true, opcode: Opcode::Binary, mask: [1, 2, 3, 4], len };
            assert_eq!(Header::parse(&bytes), Ok(Some((want, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..cut]), Ok(None), "{len} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_a_server_must_refuse_is_a_protocol_error() {
        let table: [(&str, [u8; 2]); 8] = [
            ("not masked", [0x81, 0x05]),
            ("first reserved bit", [0xC1, 0x85]),
            ("third reserved bit", [0x91, 0x85]),
            ("reserved data opcode", [0x83, 0x80]),
            ("reserved control opcode", [0x8B, 0x80]),
            ("fragmented ping", [0x09, 0x80]),
            ("long ping", [0x89, 0xFE]),
            ("long close", [0x88, 0xFF]),
        ];
        for (what, bytes) in table {
            assert_eq!(Header::parse(&bytes), Err(CloseCode::PROTOCOL_ERROR), "{what}");
        }
        let negative = [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(Header::parse(&negative), Err(CloseCode::PROTOCOL_ERROR));
    }

    #[test]
    fn the_mask_is_the_same_however_the_payload_is_cut() {
        let plain: Vec<u8> = (0..100).collect();
        let mask = [0xA1, 0x02, 0xF3, 0x44];
        let whole: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
        for cut in 0..plain.len() {
            let mut bytes = plain.clone();
            let (head, tail) = bytes.split_at_mut(cut);
            apply_mask(head, mask, 0);
            apply_mask(tail, mask, cut as u64);
            assert_eq!(bytes, whole, "cut at {cut}");
        }
    }
}
