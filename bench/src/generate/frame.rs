//! WebSocket framing of a client (RFC 6455 §5.2): masked frames out, unmasked frames in. Pure.

use thiserror::Error;

/// A server's frame at most; larger ones are no part of any workload.
const PAYLOAD_MAX: u64 = 16 << 20;

/// Any mask will do: servers must undo it whatever it is.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A whole text message.
    Text,
    /// A whole binary message.
    Binary,
    /// The peer ends the connection.
    Close,
    /// To be answered by a pong.
    Ping,
    /// An answer to a ping.
    Pong,
}

/// The server sent what this client does not take.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// No server of the benchmark fragments its messages.
    #[error("a fragmented message")]
    Fragmented,
    /// RFC 6455 §5.1: a server must not mask.
    #[error("a masked frame")]
    Masked,
    /// Unknown opcode or reserved bits.
    #[error("a frame of an unknown kind")]
    Unknown,
    /// Longer than any workload has.
    #[error("a frame that is too long")]
    TooLong,
}

/// A frame's payload, and what follows the frame.
pub type Split<'a> = (Opcode, &'a [u8], &'a [u8]);

/// The first frame of `bytes`; `None` if it is not complete yet.
pub fn split(bytes: &[u8]) -> Result<Option<Split<'_>>, FrameError> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(FrameError::Unknown);
    }
    if first & 0x80 == 0 || first & 0x0f == 0 {
        return Err(FrameError::Fragmented);
    }
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let opcode = match first & 0x0f {
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(FrameError::Unknown),
    };
    let (len, rest) = match second {
        126 => match rest.split_first_chunk() {
            Some((len, rest)) => (u16::from_be_bytes(*len).into(), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len), rest),
            None => return Ok(None),
        },
        len => (len.into(), rest),
    };
    if len > PAYLOAD_MAX {
        return Err(FrameError::TooLong);
    }
    Ok(rest.split_at_checked(len as usize).map(|(payload, rest)| (opcode, payload, rest)))
}

/// Appends a masked frame.
pub fn put(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    put_head(opcode, payload.len(), 0x80, out);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Appends a frame as a server writes it.
pub fn put_unmasked(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    put_head(opcode, payload.len(), 0, out);
    out.extend_from_slice(payload);
}

fn put_head(opcode: Opcode, len: usize, mask_bit: u8, out: &mut Vec<u8>) {
    let code = match opcode {
        Opcode::Text => 1,
        Opcode::Binary => 2,
        Opcode::Close => 8,
        Opcode::Ping => 9,
        Opcode::Pong => 10,
    };
    out.push(0x80 | code);
    match len {
        0..=125 => out.push(mask_bit | len as u8),
        126..=0xffff => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The first frame of a client and what follows it, unmasked in place; `None` if it is not complete yet. For servers.
pub fn split_masked(bytes: &mut [u8]) -> Option<(u8, &mut [u8], usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (len, head) = match second & 0x7f {
        126 => (u16::from_be_bytes(*rest.first_chunk()?).into(), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        len => (len.into(), 2),
    };
    let whole = usize::checked_add(head + 4, len)?;
    let frame = bytes.get_mut(head..whole)?;
    let (mask, payload) = frame.split_first_chunk_mut::<4>()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some((first & 0x0f, payload, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_frame_is_read_back_at_every_length() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; len];
            let mut bytes = Vec::new();
            put_unmasked(Opcode::Text, &payload, &mut bytes);
            for cut in [0, 1, 2, bytes.len() - 1] {
                let (part, _) = bytes.split_at(cut.min(bytes.len() - 1));
                assert_eq!(split(part), Ok(None), "{cut} of {len}");
            }
            bytes.extend(b"next");
            assert_eq!(split(&bytes), Ok(Some((Opcode::Text, &payload[..], &b"next"[..]))));
        }
    }

    #[test]
    fn what_a_client_sends_is_masked_and_a_server_undoes_it() {
        for len in [0, 125, 126, 65_536] {
            let payload = vec![b'x'; len];
            let mut bytes = Vec::new();
            put(Opcode::Text, &payload, &mut bytes);
            let end = bytes.len();
            bytes.push(1);
            assert!(split_masked(&mut bytes[..end - 1]).is_none());
            let (opcode, read, whole) = split_masked(&mut bytes).unwrap();
            assert_eq!((opcode, &*read, whole), (1, &payload[..], end));
        }
    }

    #[test]
    fn what_no_server_may_send_is_an_error() {
        assert_eq!(split(&[0x01, 0]), Err(FrameError::Fragmented));
        assert_eq!(split(&[0x80, 0]), Err(FrameError::Fragmented));
        assert_eq!(split(&[0xc1, 0]), Err(FrameError::Unknown));
        assert_eq!(split(&[0x83, 0]), Err(FrameError::Unknown));
        assert_eq!(split(&[0x81, 0x80]), Err(FrameError::Masked));
        assert_eq!(split(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]), Err(FrameError::TooLong));
    }
}
