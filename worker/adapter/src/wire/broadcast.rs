//! A broadcast: msgpack `[uid, {type: 2, data: [event, …], nsp}, {rooms, except, flags}]`.

use std::ops::Range;

use bytes::Bytes;
use socketioxide_core::Value;

use super::{
    Malformed, encode,
    msgpack::{Reader, Token, text},
    selection::Selection,
    write,
};

/// Socket.IO's packet types of an event: 2, and from old emitters 5 with the binary values inline. Only 2 is written:
/// a Node server sends 5 to its clients as it is, and they disconnect.
const EVENT: u64 = 2;
const BINARY_EVENT: u64 = 5;

/// Names that a client takes for its own lifecycle; an emitter's mistake, or worse.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Writes the broadcasts of one server in one namespace: what is the same in all of them is written once.
#[derive(Debug)]
pub(crate) struct Encoder {
    head: Vec<u8>,
    packet_head: Vec<u8>,
    packet_tail: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(uid: &str, namespace: &str) -> Self {
        let mut head = Vec::new();
        write::array(&mut head, 3);
        write::str(&mut head, uid);
        let mut packet_head = Vec::new();
        write::map(&mut packet_head, 3);
        write::str(&mut packet_head, "type");
        write::uint(&mut packet_head, EVENT);
        write::str(&mut packet_head, "data");
        let mut packet_tail = Vec::new();
        write::str(&mut packet_tail, "nsp");
        write::str(&mut packet_tail, namespace);
        Self { head, packet_head, packet_tail }
    }

    /// The whole message for an event's `[name, …]`.
    pub(crate) fn encode(&self, event: &Value, selection: &Selection) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::with_capacity(160 + size(event));
        out.extend_from_slice(&self.head);
        self.packet(&mut out, event)?;
        selection.write(&mut out);
        Ok(out)
    }

    /// Appends the packet alone, as a broadcast with acknowledgements has it.
    pub(crate) fn packet(&self, out: &mut Vec<u8>, event: &Value) -> Result<(), Malformed> {
        out.extend_from_slice(&self.packet_head);
        encode::value(out, event)?;
        out.extend_from_slice(&self.packet_tail);
        Ok(())
    }
}

/// A broadcast that somebody else made for this namespace.
#[derive(Debug, PartialEq)]
pub(crate) struct Broadcast {
    /// Where `[event, …]` lies in the message.
    pub event: Range<usize>,
    pub selection: Selection,
}

/// Reads a broadcast. `None` if it is the server's own, or for another namespace.
pub(crate) fn decode(message: &Bytes, uid: &str, namespace: &str) -> Result<Option<Broadcast>, Malformed> {
    let mut reader = Reader::new(message);
    let Token::Array(len @ 3..) = reader.token()? else {
        return Err(Malformed::Shape("a broadcast is not an array of three"));
    };
    let sender = reader.span()?;
    if Reader::within(message, sender).token()?.scalar().as_deref() == Some(uid) {
        return Ok(None);
    }
    let packet = packet(&mut reader)?;
    let selection = Selection::read(&mut reader)?;
    for _ in 3..len {
        reader.skip()?;
    }
    reader.finish()?;
    Ok((packet.namespace == namespace).then_some(Broadcast { event: packet.event, selection }))
}

/// A packet inside a message.
#[derive(Debug, PartialEq)]
pub(crate) struct Packet {
    pub event: Range<usize>,
    pub namespace: String,
}

/// Reads `{type, data, nsp}` and checks that a client will understand it.
pub(crate) fn packet(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let Token::Map(len) = reader.token()? else {
        return Err(Malformed::Shape("a packet is not a map"));
    };
    let (mut kind, mut event, mut namespace) = (None, None, None);
    for _ in 0..len {
        match reader.token()?.scalar().as_deref() {
            Some("type") => {
                kind = match reader.peek()? {
                    Token::UInt(kind) => Some(kind),
                    _ => None,
                };
                reader.skip()?;
            }
            Some("data") => event = Some(reader.span()?),
            Some("nsp") => {
                namespace = match reader.peek()? {
                    Token::Str(name) => Some(text(name).into_owned()),
                    // Node reads an absent name as the root; an explicit null is no namespace at all.
                    _ => return Err(Malformed::Shape("a namespace is not text")),
                };
                reader.skip()?;
            }
            _ => reader.skip()?,
        }
    }
    if !matches!(kind, Some(EVENT | BINARY_EVENT)) {
        return Err(Malformed::Shape("a packet is not an event"));
    }
    let event = event.ok_or(Malformed::Shape("an event without data"))?;
    check_event(Reader::within(reader.bytes(), event.clone()))?;
    Ok(Packet { event, namespace: namespace.unwrap_or_else(|| "/".to_owned()) })
}

/// A client takes an event of this name for one of its own.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    RESERVED.iter().any(|reserved| reserved.as_bytes() == name)
}

/// An event is an array that begins with a name; JavaScript allows numbers for names.
fn check_event(mut reader: Reader<'_>) -> Result<(), Malformed> {
    let Token::Array(1..) = reader.token()? else {
        return Err(Malformed::Shape("an event is not an array with a name"));
    };
    match reader.token()? {
        Token::Str(name) if is_reserved(name) => Err(Malformed::Shape("a reserved event name")),
        Token::Str(_) | Token::UInt(_) | Token::Int(_) | Token::Float(_) => Ok(()),
        _ => Err(Malformed::Shape("an event without a name")),
    }
}

fn size(event: &Value) -> usize {
    match event {
        Value::Str(text, bins) => text.len() + bins.iter().flatten().map(|bin| bin.len() + 5).sum::<usize>(),
        Value::Bytes(bytes) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use socketioxide_core::adapter::Room;

    use super::*;

    fn broadcast(bytes: &[u8]) -> Result<Option<Broadcast>, Malformed> {
        decode(&Bytes::copy_from_slice(bytes), "me", "/")
    }

    #[test]
    fn what_is_written_reads_back_for_everybody_but_its_sender() {
        let encoder = Encoder::new("me", "/");
        let selection = Selection { rooms: vec![Room::Borrowed("r")], ..Selection::default() };
        let bytes = Bytes::from(encoder.encode(&Value::Str(r#"["ev",1]"#.into(), None), &selection).unwrap());
        assert_eq!(decode(&bytes, "me", "/").unwrap(), None);
        assert_eq!(decode(&bytes, "other", "/chat").unwrap(), None);
        let read = decode(&bytes, "other", "/").unwrap().unwrap();
        assert_eq!(read.selection, selection);
        assert_eq!(&bytes[read.event], b"\x92\xa2ev\x01");
    }

    #[test]
    fn an_absent_namespace_is_the_root() {
        assert!(broadcast(b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1e\x80").unwrap().is_some());
        assert!(broadcast(b"\x93\xc0\x82\xa4type\x05\xa4data\x91\x07\x80").unwrap().is_some());
    }

    #[test]
    fn what_kills_a_node_peer_is_an_error_here() {
        let table: &[&[u8]] = &[
            b"",
            b"hello",
            b"\xc0",
            b"\x80",
            b"\x92\xa1x\x82\xa4type\x02\xa4data\x91\xa1e",
            b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1e\xc0",
            b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1e\x80\x00",
            b"\x93\xa1x\xc0\x80",
            b"\x93\xa1x\x81\xa4type\x02\x80",
            b"\x93\xa1x\x82\xa4type\x02\xa4data\x90\x80",
            b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xc0\x80",
            b"\x93\xa1x\x82\xa4type\x03\xa4data\x91\xa1e\x80",
            b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xaadisconnect\x80",
            b"\x93\xa1x\x83\xa4type\x02\xa4data\x91\xa1e\xa3nsp\xc0\x80",
        ];
        for bytes in table {
            assert!(broadcast(bytes).is_err(), "{bytes:02x?}");
        }
    }
}
