//! Replies in RESP2 or RESP3, written straight into a buffer in the order in which Redis writes them.
//!
//! Scalars are the codec crate's. It writes an aggregate only from a finished tree, whose maps have no order, while
//! Redis' clients have come to know an order; so the one line that opens an aggregate is written here.

use bytes::BytesMut;
use redis_protocol::resp2::{encode::extend_encode_borrowed as encode2, types::BorrowedFrame as Scalar};
use redis_protocol::resp3::encode::complete::extend_encode_borrowed as encode3;
use redis_protocol::resp3::types::{BorrowedFrame as Scalar3, VerbatimStringFormat};

/// The version of the protocol that a client speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Protocol {
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Writes one reply; what opens an aggregate must be followed by its elements.
pub(crate) struct Reply<'a> {
    buffer: &'a mut BytesMut,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    pub(crate) fn new(buffer: &'a mut BytesMut, protocol: Protocol) -> Self {
        Self { buffer, protocol }
    }

    pub(crate) fn ok(&mut self) {
        self.simple("OK");
    }

    pub(crate) fn simple(&mut self, text: &str) {
        self.scalar(&Scalar::SimpleString(text.as_bytes()));
    }

    /// `text` with its code (`ERR …`); one line whatever the client put into it.
    pub(crate) fn error(&mut self, text: &str) {
        let line = text.trim_matches(['\r', '\n']).replace(['\r', '\n'], " ");
        self.scalar(&Scalar::Error(&line));
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.scalar(&Scalar::Integer(value));
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.scalar(&Scalar::BulkString(bytes));
    }

    pub(crate) fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.scalar(&Scalar::Null),
            Protocol::Resp3 => self.scalar3(&Scalar3::Null),
        }
    }

    /// A text to be shown as it is: a bulk string in RESP2.
    pub(crate) fn text(&mut self, text: &str) {
        let data = text.as_bytes();
        match self.protocol {
            Protocol::Resp2 => self.bulk(data),
            Protocol::Resp3 => {
                let format = VerbatimStringFormat::Text;
                self.scalar3(&Scalar3::VerbatimString { data, format, attributes: None });
            }
        }
    }

    pub(crate) fn array(&mut self, len: usize) {
        self.open('*', len);
    }

    /// A map of `len` pairs: in RESP2 an array of keys and values.
    pub(crate) fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.open('*', 2 * len),
            Protocol::Resp3 => self.open('%', len),
        }
    }

    /// Something that no command asked for: in RESP2 an array.
    pub(crate) fn push(&mut self, len: usize) {
        self.open(if self.protocol == Protocol::Resp2 { '*' } else { '>' }, len);
    }

    /// A set: in RESP2 an array.
    pub(crate) fn set(&mut self, len: usize) {
        self.open(if self.protocol == Protocol::Resp2 { '*' } else { '~' }, len);
    }

    fn open(&mut self, kind: char, len: usize) {
        self.buffer.extend_from_slice(format!("{kind}{len}\r\n").as_bytes());
    }

    fn scalar(&mut self, scalar: &Scalar<'_>) {
        // Its only error is a buffer without room, and it makes room first.
        let written = encode2(self.buffer, scalar, false);
        debug_assert!(written.is_ok(), "{written:?}");
    }

    fn scalar3(&mut self, scalar: &Scalar3<'_>) {
        let written = encode3(self.buffer, scalar, false);
        debug_assert!(written.is_ok(), "{written:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut buffer = BytesMut::new();
        write(&mut Reply::new(&mut buffer, protocol));
        String::from_utf8(buffer.to_vec()).unwrap()
    }

    #[test]
    fn both_protocols_are_written_as_redis_writes_them() {
        let all = |reply: &mut Reply<'_>| {
            reply.push(2);
            reply.map(1);
            reply.bulk(b"a");
            reply.null();
            reply.set(1);
            reply.text("hi");
        };
        assert_eq!(written(Protocol::Resp2, all), "*2\r\n*2\r\n$1\r\na\r\n$-1\r\n*1\r\n$2\r\nhi\r\n");
        assert_eq!(written(Protocol::Resp3, all), ">2\r\n%1\r\n$1\r\na\r\n_\r\n~1\r\n=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn an_error_stays_on_its_line() {
        assert_eq!(written(Protocol::Resp2, |reply| reply.error("ERR a\r\nb\n")), "-ERR a  b\r\n");
    }
}
