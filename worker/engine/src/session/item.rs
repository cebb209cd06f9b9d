//! One entry of a session's outgoing queue and its two encodings: WebSocket frames and polling payload.

use std::collections::VecDeque;

use bytes::Bytes;
use engineioxide_core::Str;

use crate::proto::{
    close::CloseCode,
    frame::{self, Opcode},
    payload::{Payload, binary_len},
};

/// What one emit, or the engine itself, puts into the queue. An item goes out whole before the next one begins.
#[derive(Debug)]
pub(crate) enum Item {
    /// The open packet, its type character included.
    Open(Box<str>),
    Text(Str),
    Binary(Bytes),
    /// A message and its attachments.
    Group(Box<Group>),
    Ping,
    /// Engine.IO's close packet.
    Close,
    /// Answer to a WebSocket ping.
    WsPong(Bytes),
    /// WebSocket close frame: nothing may follow it.
    WsClose(CloseCode),
}

/// A message with the binary attachments that must follow it directly.
#[derive(Debug)]
pub(crate) struct Group {
    pub head: Head,
    pub attachments: VecDeque<Bytes>,
}

/// The first packet of a group.
#[derive(Debug)]
pub(crate) enum Head {
    Text(Str),
    Binary(Bytes),
}

/// One packet of an item.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packet<'a> {
    /// Type character and text.
    Text(Option<char>, &'a str),
    Binary(&'a [u8]),
    /// A frame that exists on WebSockets only.
    Control(Opcode, &'a [u8]),
    CloseFrame(CloseCode),
}

impl Item {
    /// The item's packets in order.
    pub(crate) fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        const NO_ATTACHMENTS: VecDeque<Bytes> = VecDeque::new();
        const NONE: &VecDeque<Bytes> = &NO_ATTACHMENTS;
        let (first, attachments) = match self {
            Self::Open(text) => (Packet::Text(None, text), NONE),
            Self::Text(text) => (Packet::Text(Some('4'), text), NONE),
            Self::Binary(data) => (Packet::Binary(data), NONE),
            Self::Ping => (Packet::Text(Some('2'), ""), NONE),
            Self::Close => (Packet::Text(Some('1'), ""), NONE),
            Self::WsPong(data) => (Packet::Control(Opcode::Pong, data), NONE),
            Self::WsClose(code) => (Packet::CloseFrame(*code), NONE),
            Self::Group(group) => match &group.head {
                Head::Text(text) => (Packet::Text(Some('4'), text), &group.attachments),
                Head::Binary(data) => (Packet::Binary(data), &group.attachments),
            },
        };
        std::iter::once(first).chain(attachments.iter().map(|data| Packet::Binary(data)))
    }

    /// Bytes on a WebSocket, headers included.
    pub(crate) fn wire_len(&self) -> usize {
        self.packets().map(|packet| packet.wire_len()).sum()
    }

    /// Bytes in a polling payload, the separators between its own packets included.
    pub(crate) fn payload_len(&self) -> usize {
        self.packets()
            .filter_map(|packet| packet.payload_len())
            .map(|len| len + 1)
            .sum::<usize>()
            .saturating_sub(1)
    }

    pub(crate) fn write_payload(&self, payload: &mut Payload) {
        for packet in self.packets() {
            match packet {
                Packet::Text(Some(kind), text) => payload.push_text(kind, text),
                Packet::Binary(data) => payload.push_binary(data),
                // The open packet of a polling session is the answer of its handshake.
                Packet::Text(None, _) | Packet::Control(..) | Packet::CloseFrame(_) => {}
            }
        }
    }

    /// Whether the application emitted it: these count against the limits of the queue.
    pub(crate) fn is_emitted(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_) | Self::Group(_))
    }
}

impl<'a> Packet<'a> {
    fn body_len(&self) -> usize {
        match self {
            Self::Text(kind, text) => usize::from(kind.is_some()) + text.len(),
            Self::Binary(data) | Self::Control(_, data) => data.len(),
            Self::CloseFrame(_) => 2,
        }
    }

    fn wire_len(&self) -> usize {
        let body = self.body_len();
        frame::header_len(body) + body
    }

    fn payload_len(&self) -> Option<usize> {
        match self {
            Self::Text(Some(_), text) => Some(1 + text.len()),
            Self::Binary(data) => Some(binary_len(data.len())),
            Self::Text(None, _) | Self::Control(..) | Self::CloseFrame(_) => None,
        }
    }

    /// The front of the packet's frame into `out`; what is left of its payload is returned.
    pub(crate) fn put_front(self, out: &mut Vec<u8>) -> &'a [u8] {
        let len = self.body_len();
        match self {
            Self::Text(kind, text) => {
                frame::put_header(out, Opcode::Text, len);
                // All type characters are ASCII.
                out.extend(kind.map(|kind| kind as u8));
                text.as_bytes()
            }
            Self::Binary(data) => {
                frame::put_header(out, Opcode::Binary, len);
                data
            }
            Self::Control(opcode, data) => {
                frame::put_header(out, opcode, len);
                data
            }
            Self::CloseFrame(code) => {
                frame::put_header(out, Opcode::Close, len);
                out.extend_from_slice(&code.get().to_be_bytes());
                &[]
            }
        }
    }
}
