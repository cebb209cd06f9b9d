//! One published message on its way to many subscribers: encoded once for each form in which it is wanted, then shared.

use bytes::{Bytes, BytesMut};

use crate::reply::{Protocol, Reply};

/// Room for the headers and the kind of a message, in bytes.
const HEADERS_BYTES: usize = 64;

/// The frames of one message for the subscribers of a channel, or of one pattern.
pub(crate) struct Frames<'a> {
    pattern: Option<&'a [u8]>,
    channel: &'a [u8],
    payload: &'a [u8],
    resp2: Option<Bytes>,
    resp3: Option<Bytes>,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(pattern: Option<&'a [u8]>, channel: &'a [u8], payload: &'a [u8]) -> Self {
        Self { pattern, channel, payload, resp2: None, resp3: None }
    }

    /// The frame for a subscriber that speaks `protocol`; encoded when it is first wanted.
    ///
    /// The payload is copied here, once, rather than kept as a slice of the publisher's input: that would keep all of
    /// the input's buffer for as long as the slowest subscriber takes.
    pub(crate) fn get(&mut self, protocol: Protocol) -> &Bytes {
        let frame = match protocol {
            Protocol::Resp2 => &mut self.resp2,
            Protocol::Resp3 => &mut self.resp3,
        };
        frame.get_or_insert_with(|| encode(protocol, self.pattern, self.channel, self.payload))
    }
}

fn encode(protocol: Protocol, pattern: Option<&[u8]>, channel: &[u8], payload: &[u8]) -> Bytes {
    let len = pattern.map_or(0, <[u8]>::len) + channel.len() + payload.len();
    let mut buffer = BytesMut::with_capacity(len + HEADERS_BYTES);
    let mut reply = Reply::new(&mut buffer, protocol);
    match pattern {
        None => {
            reply.push(3);
            reply.bulk(b"message");
        }
        Some(pattern) => {
            reply.push(4);
            reply.bulk(b"pmessage");
            reply.bulk(pattern);
        }
    }
    reply.bulk(channel);
    reply.bulk(payload);
    buffer.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_encoded_once_and_shared() {
        let mut frames = Frames::new(Some(b"a*"), b"ab", b"hi");
        let first = frames.get(Protocol::Resp3).clone();
        assert_eq!(&first[..], b">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$2\r\nhi\r\n");
        assert_eq!(frames.get(Protocol::Resp3).as_ptr(), first.as_ptr());
        assert_eq!(frames.get(Protocol::Resp2)[0], b'*');
    }
}
