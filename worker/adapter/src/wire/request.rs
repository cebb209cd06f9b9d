//! Requests on `K-request#NSP#`: JSON objects, but for a broadcast with acknowledgements, which is msgpack.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value as Json;
use socketioxide_core::{Value, adapter::Room};

use super::{
    Malformed,
    broadcast::{self, Encoder},
    encode,
    msgpack::{Reader, Token},
    selection::{Selection, rooms_from_json, scalar},
    transcode, write,
};

/// `RequestType` of the adapter; the answers' types 8 and 9 are in `response.rs`.
mod kind {
    pub(super) const SOCKETS: u64 = 0;
    pub(super) const ALL_ROOMS: u64 = 1;
    pub(super) const JOIN: u64 = 2;
    pub(super) const LEAVE: u64 = 3;
    pub(super) const DISCONNECT: u64 = 4;
    pub(super) const FETCH: u64 = 5;
    pub(super) const SERVER_SIDE_EMIT: u64 = 6;
    pub(super) const BROADCAST: u64 = 7;
}

/// What another server or an emitter asks.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    /// The server that asks; emitters leave it out or write `emitter`.
    pub uid: Option<String>,
    /// Echoed in the answer; absent where none is wanted.
    pub id: Option<String>,
    pub kind: Kind,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    /// The ids in any of the rooms; all if there is none.
    Sockets {
        rooms: Vec<Room>,
    },
    AllRooms,
    Join {
        who: Who,
        rooms: Vec<Room>,
    },
    Leave {
        who: Who,
        rooms: Vec<Room>,
    },
    Disconnect {
        who: Who,
        close: bool,
    },
    Fetch {
        selection: Selection,
    },
    /// An event for the servers themselves: its name, then the arguments.
    ServerSideEmit {
        data: Vec<Json>,
    },
    /// An event whose `[name, …]` lies at `event` of `message`.
    Broadcast {
        message: Bytes,
        event: Range<usize>,
        namespace: String,
        selection: Selection,
    },
}

/// Whom a request addresses.
#[derive(Debug, PartialEq)]
pub(crate) enum Who {
    Selection(Selection),
    /// One socket, as servers before 6.1 asked; only its owner acts, and answers.
    Socket(String),
}

/// Reads a request; JSON or msgpack by the first byte, for every type.
pub(crate) fn decode(message: &Bytes) -> Result<Request, Malformed> {
    if message.first() == Some(&b'{') {
        return from_json(parse_json(message)?);
    }
    let mut reader = Reader::new(message);
    let Token::Map(len) = reader.token()? else {
        return Err(Malformed::Shape("a request is not a map"));
    };
    for _ in 0..len {
        let key = reader.token()?.scalar().map(|key| key.into_owned());
        if key.as_deref() == Some("type") && reader.peek()? == Token::UInt(kind::BROADCAST) {
            return decode_broadcast(message.clone());
        }
        reader.skip()?;
    }
    from_json(parse_json(transcode::json(message)?.as_bytes())?)
}

/// JSON as Node reads it: bytes that are not UTF-8 and surrogates without a partner become U+FFFD.
pub(crate) fn parse_json(bytes: &[u8]) -> Result<Json, Malformed> {
    let text = String::from_utf8_lossy(bytes);
    serde_json::from_str(&text).or_else(|error| match pair_surrogates(&text) {
        Some(repaired) => Ok(serde_json::from_str(&repaired)?),
        None => Err(error.into()),
    })
}

/// Everything but a broadcast, as Node orders the fields.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outgoing<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(rename = "type")]
    kind: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    opts: Option<Opts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [Room]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [Json]>,
}

#[derive(Debug, Serialize)]
struct Opts<'a> {
    rooms: &'a [Room],
    except: &'a [Room],
}

impl<'a> Outgoing<'a> {
    pub(crate) fn sockets(uid: &'a str, id: &'a str, rooms: &'a [Room]) -> Self {
        Self { uid, request_id: Some(id), kind: kind::SOCKETS, rooms: Some(rooms), ..Self::default() }
    }

    pub(crate) fn all_rooms(uid: &'a str, id: &'a str) -> Self {
        Self { uid, request_id: Some(id), kind: kind::ALL_ROOMS, ..Self::default() }
    }

    pub(crate) fn join(uid: &'a str, who: &'a Selection, rooms: &'a [Room]) -> Self {
        Self { uid, kind: kind::JOIN, opts: Some(Opts::from(who)), rooms: Some(rooms), ..Self::default() }
    }

    pub(crate) fn leave(uid: &'a str, who: &'a Selection, rooms: &'a [Room]) -> Self {
        Self { kind: kind::LEAVE, ..Self::join(uid, who, rooms) }
    }

    pub(crate) fn disconnect(uid: &'a str, who: &'a Selection, close: bool) -> Self {
        Self {
            uid,
            kind: kind::DISCONNECT,
            opts: Some(Opts::from(who)),
            close: Some(close),
            ..Self::default()
        }
    }

    pub(crate) fn fetch(uid: &'a str, id: &'a str, who: &'a Selection) -> Self {
        Self { uid, request_id: Some(id), kind: kind::FETCH, opts: Some(Opts::from(who)), ..Self::default() }
    }

    /// With an `id`, every server that hears it answers.
    pub(crate) fn server_side_emit(uid: &'a str, id: Option<&'a str>, data: &'a [Json]) -> Self {
        Self { uid, request_id: id, kind: kind::SERVER_SIDE_EMIT, data: Some(data), ..Self::default() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Maps with text keys into memory: nothing in it can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl<'a> From<&'a Selection> for Opts<'a> {
    fn from(selection: &'a Selection) -> Self {
        Self { rooms: &selection.rooms, except: &selection.except }
    }
}

/// A broadcast whose receivers are asked for an acknowledgement.
pub(crate) fn encode_broadcast(
    encoder: &Encoder,
    uid: &str,
    id: &str,
    event: &Value,
    selection: &Selection,
) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(256);
    write::map(&mut out, 5);
    for (key, text) in [("uid", uid), ("requestId", id)] {
        write::str(&mut out, key);
        write::str(&mut out, text);
    }
    write::str(&mut out, "type");
    write::uint(&mut out, kind::BROADCAST);
    write::str(&mut out, "packet");
    encoder.packet(&mut out, event)?;
    write::str(&mut out, "opts");
    selection.write(&mut out);
    Ok(out)
}

fn decode_broadcast(message: Bytes) -> Result<Request, Malformed> {
    let mut reader = Reader::new(&message);
    let Token::Map(len) = reader.token()? else {
        return Err(Malformed::Shape("a request is not a map"));
    };
    let (mut uid, mut id, mut packet, mut selection) = (None, None, None, None);
    for _ in 0..len {
        match reader.token()?.scalar().as_deref() {
            Some("uid") => uid = read_id(&mut reader)?,
            Some("requestId") => id = read_id(&mut reader)?,
            Some("packet") => packet = Some(broadcast::packet(&mut reader)?),
            Some("opts") => selection = Some(Selection::read(&mut reader)?),
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    let packet = packet.ok_or(Malformed::Shape("a broadcast without a packet"))?;
    let selection = selection.ok_or(Malformed::Shape("a broadcast without opts"))?;
    let (event, namespace) = (packet.event, packet.namespace);
    Ok(Request { uid, id, kind: Kind::Broadcast { message: message.clone(), event, namespace, selection } })
}

fn read_id(reader: &mut Reader<'_>) -> Result<Option<String>, Malformed> {
    let id = match reader.peek()? {
        Token::Nil => None,
        token => token.scalar().map(|id| id.into_owned()),
    };
    reader.skip()?;
    Ok(id)
}

fn from_json(mut json: Json) -> Result<Request, Malformed> {
    let field = |name: &str| json.get(name).filter(|value| !value.is_null());
    let uid = field("uid").and_then(scalar);
    let id = field("requestId").and_then(scalar);
    let who = || match field("opts") {
        Some(opts) => Selection::from_json(opts).map(Who::Selection),
        None => {
            field("sid").and_then(scalar).map(Who::Socket).ok_or(Malformed::Shape("a request for nobody"))
        }
    };
    // The legacy forms name one room.
    let rooms = || rooms_from_json(field("rooms").or_else(|| field("room")));
    let kind = match field("type").and_then(Json::as_u64) {
        Some(kind::SOCKETS) => Kind::Sockets { rooms: rooms()? },
        Some(kind::ALL_ROOMS) => Kind::AllRooms,
        Some(kind::JOIN) => Kind::Join { who: who()?, rooms: rooms()? },
        Some(kind::LEAVE) => Kind::Leave { who: who()?, rooms: rooms()? },
        Some(kind::DISCONNECT) => {
            Kind::Disconnect { who: who()?, close: field("close").and_then(Json::as_bool) == Some(true) }
        }
        Some(kind::FETCH) => {
            let opts = field("opts").ok_or(Malformed::Shape("a fetch without opts"))?;
            Kind::Fetch { selection: Selection::from_json(opts)? }
        }
        Some(kind::SERVER_SIDE_EMIT) => match json.get_mut("data").map(Json::take) {
            Some(Json::Array(data)) if data.first().is_some_and(|event| scalar(event).is_some()) => {
                Kind::ServerSideEmit { data }
            }
            _ => return Err(Malformed::Shape("a server-side event without a name")),
        },
        Some(kind::BROADCAST) => {
            let mut message = Vec::new();
            encode::value(&mut message, &Value::Str(json.to_string().into(), None))?;
            return decode_broadcast(message.into());
        }
        _ => return Err(Malformed::Shape("an unknown request type")),
    };
    Ok(Request { uid, id, kind })
}

/// The same JSON text with every `\ud800`…`\udfff` that has no partner replaced; `None` if there is none.
fn pair_surrogates(text: &str) -> Option<String> {
    let unit = |rest: &str| {
        let digits = rest.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut out, mut rest, mut found) = (String::with_capacity(text.len()), text, false);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match unit(rest) {
            Some(0xd800..=0xdbff) if matches!(rest.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                found = true;
                out.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
            // Any other escape: the backslash and the character after it.
            None => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out.push_str(rest);
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &'static str) -> Result<Request, Malformed> {
        decode(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn requests_read_back_from_what_node_would_be_sent() {
        let who = Selection { rooms: vec!["a".into()], except: vec!["b".into()], ..Selection::default() };
        let rooms = [Room::Borrowed("x")];
        let read = |out: Outgoing<'_>| decode(&out.encode().into()).unwrap();
        let join = read(Outgoing::join("u", &who, &rooms));
        assert_eq!(join.kind, Kind::Join { who: Who::Selection(who.clone()), rooms: rooms.to_vec() });
        assert_eq!((join.uid.as_deref(), join.id), (Some("u"), None));
        let close = read(Outgoing::disconnect("u", &who, true));
        assert_eq!(close.kind, Kind::Disconnect { who: Who::Selection(who.clone()), close: true });
        let fetch = read(Outgoing::fetch("u", "i", &who));
        assert_eq!((fetch.id.as_deref(), fetch.kind), (Some("i"), Kind::Fetch { selection: who.clone() }));
        assert_eq!(read(Outgoing::all_rooms("u", "i")).kind, Kind::AllRooms);
        assert_eq!(read(Outgoing::sockets("u", "i", &rooms)).kind, Kind::Sockets { rooms: rooms.to_vec() });
        let data = [Json::from("ev"), Json::from(1)];
        assert_eq!(
            read(Outgoing::server_side_emit("u", None, &data)).kind,
            Kind::ServerSideEmit { data: data.to_vec() }
        );
    }

    #[test]
    fn a_request_may_come_as_msgpack_and_a_broadcast_as_json() {
        let mut message = Vec::new();
        encode::value(&mut message, &Value::Str(r#"{"type":1,"requestId":"i"}"#.into(), None)).unwrap();
        assert_eq!(decode(&message.into()).unwrap().kind, Kind::AllRooms);
        let text =
            r#"{"type":7,"requestId":"i","uid":"u","packet":{"type":2,"data":["e"]},"opts":{"rooms":["r"]}}"#;
        let Kind::Broadcast { message, event, namespace, selection } = request(text).unwrap().kind else {
            panic!("not a broadcast")
        };
        assert_eq!((&message[event], namespace.as_str()), (&b"\x91\xa1e"[..], "/"));
        assert_eq!(selection.rooms, ["r"]);
    }

    #[test]
    fn legacy_forms_name_one_socket_and_one_room() {
        let join = request(r#"{"uid":"u","requestId":"i","type":2,"sid":"S","room":"r"}"#).unwrap();
        assert_eq!(join.kind, Kind::Join { who: Who::Socket("S".into()), rooms: vec!["r".into()] });
        let leave = request(r#"{"type":4,"sid":"S"}"#).unwrap();
        assert_eq!(leave.kind, Kind::Disconnect { who: Who::Socket("S".into()), close: false });
    }

    #[test]
    fn odd_requests_are_errors() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "null",
            r#"{"type":99}"#,
            r#"{"type":"2"}"#,
            r#"{"type":5,"requestId":"i"}"#,
            r#"{"type":6,"data":[]}"#,
            r#"{"type":6,"data":{}}"#,
            r#"{"type":6}"#,
            r#"{"type":7,"requestId":"i"}"#,
            r#"{"type":2}"#,
            r#"{"type":2,"opts":3,"rooms":[]}"#,
            r#"{"type":2,"opts":{"rooms":[{}]},"rooms":["r"]}"#,
        ] {
            assert!(request(text).is_err(), "{text}");
        }
    }

    #[test]
    fn surrogates_without_a_partner_do_not_lose_the_message() {
        let text = r#"["\ud83d\ude00","\ud800","\\ud800","a\udc00\n"]"#;
        assert_eq!(
            parse_json(text.as_bytes()).unwrap(),
            serde_json::json!(["😀", "\u{fffd}", "\\ud800", "a\u{fffd}\n"])
        );
        assert!(parse_json(b"[\"\\ud8\"]").is_err());
    }
}
