//! What one client has sent and nobody has executed yet: bytes in, commands out.

use std::borrow::Cow;

use bytes::{Buf, BytesMut};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

use crate::inline;
use crate::scan::{FrameLimits, ProtocolError, Scan, Whole};

/// An emptied buffer with more room than this is given back, in bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// The arguments of one command, its name first. Borrowed from the input unless the line had to be unquoted.
pub(crate) type Args<'a> = Vec<Cow<'a, [u8]>>;

#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: BytesMut,
    scan: Scan,
}

impl Input {
    /// Appends what was read.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What the buffer occupies, in bytes.
    pub(crate) fn occupied_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next whole command and its length, by which [`Input::consume`] takes it off. Empty lines and arrays come as
    /// commands of no arguments.
    pub(crate) fn next(&mut self, limits: &FrameLimits) -> Result<Option<(Args<'_>, usize)>, ProtocolError> {
        Ok(match self.scan.resume(&self.buffer, limits)? {
            None => None,
            Some(Whole::Nothing(len)) => Some((Vec::new(), len)),
            Some(Whole::Line(len)) => {
                let words = inline::words(&self.buffer[..len])?;
                Some((words.into_iter().map(Cow::Owned).collect(), len))
            }
            Some(Whole::Array(len)) => Some((decode(&self.buffer[..len])?, len)),
        })
    }

    /// Takes a command off.
    pub(crate) fn consume(&mut self, len: usize) {
        self.buffer.advance(len);
        self.scan = Scan::default();
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = BytesMut::new();
        }
    }
}

fn decode(frame: &[u8]) -> Result<Args<'_>, ProtocolError> {
    // The scan has accepted the frame; a decoder that disagrees costs the client, not the broker.
    let disagreed = || ProtocolError::from("undecodable request");
    match decode_range(frame) {
        Ok(Some((RangeFrame::Array(parts), len))) if len == frame.len() => parts
            .into_iter()
            .map(|part| match part {
                RangeFrame::BulkString((start, end)) => Ok(Cow::Borrowed(&frame[start..end])),
                _ => Err(disagreed()),
            })
            .collect(),
        _ => Err(disagreed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits =
        FrameLimits { args_max: 100, bulk_bytes_max: 1 << 20, frame_bytes_max: 1 << 20, authenticated: true };

    #[test]
    fn pipelined_commands_come_out_one_by_one() {
        let mut input = Input::default();
        input.extend(b"*2\r\n$4\r\nPING\r\n$1\r\nx\r\n*0\r\nPING 'a b'\r\n*1\r\n");
        let mut found = Vec::new();
        while let Some((args, len)) = input.next(&LIMITS).unwrap() {
            found.push(args.iter().map(|arg| arg.to_vec()).collect::<Vec<_>>());
            input.consume(len);
        }
        let expected: Vec<Vec<&[u8]>> = vec![vec![b"PING", b"x"], vec![], vec![b"PING", b"a b"]];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_large_command_does_not_keep_its_buffer() {
        let mut input = Input::default();
        let payload = vec![b'x'; 500_000];
        input.extend(b"*1\r\n$500000\r\n");
        input.extend(&payload);
        assert_eq!(input.next(&LIMITS), Ok(None));
        input.extend(b"\r\n");
        let (args, len) = input.next(&LIMITS).unwrap().unwrap();
        assert_eq!(args[0].len(), 500_000);
        input.consume(len);
        assert!(input.occupied_bytes() <= KEPT_BYTES);
    }
}
