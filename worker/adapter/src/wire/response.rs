//! Answers on `K-response#NSP#` and `K-response#NSP#UID#`: JSON objects, but for a client's acknowledgement, which may
//! be binary and is msgpack.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use socketioxide_core::{Str, Value, adapter::Room};

use super::{
    Malformed, encode,
    msgpack::{Reader, Token},
    request::parse_json,
    selection::scalar,
    transcode::{self, Dialect},
    write,
};

const SERVER_SIDE_EMIT: u64 = 6;
const CLIENT_COUNT: u64 = 8;
const ACK: u64 = 9;

/// An answer, and the request that it belongs to.
#[derive(Debug, PartialEq)]
pub(crate) struct Response {
    pub id: String,
    pub body: Body,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Body {
    /// So many clients were asked for an acknowledgement.
    ClientCount(u64),
    /// One client's acknowledgement.
    Ack(Argument),
    /// Anything else: which fields it must have depends on what was asked.
    Fields(Map<String, Json>),
}

/// The argument of an acknowledgement, not rendered yet.
#[derive(Debug, PartialEq)]
pub(crate) enum Argument {
    Missing,
    /// It lies there in the message.
    At(Range<usize>),
    Json(Json),
}

/// Reads an answer.
pub(crate) fn decode(message: &Bytes) -> Result<Response, Malformed> {
    if message.first() == Some(&b'{') {
        return from_json(parse_json(message)?);
    }
    let mut reader = Reader::new(message);
    let Token::Map(len) = reader.token()? else {
        return Err(Malformed::Shape("an answer is not a map"));
    };
    let (mut kind, mut id, mut packet) = (None, None, Argument::Missing);
    for _ in 0..len {
        let key = reader.token()?.scalar().map(|key| key.into_owned());
        let value = reader.peek()?;
        let span = reader.span()?;
        match key.as_deref() {
            Some("type") => kind = Some(value),
            Some("requestId") => id = value.scalar().map(|id| id.into_owned()),
            Some("packet") => packet = Argument::At(span),
            _ => {}
        }
    }
    reader.finish()?;
    if kind == Some(Token::UInt(ACK)) {
        let id = id.ok_or(Malformed::Shape("an answer to nothing"))?;
        return Ok(Response { id, body: Body::Ack(packet) });
    }
    from_json(parse_json(transcode::json(message)?.as_bytes())?)
}

impl Argument {
    /// The acknowledgement as socketioxide's parsers hold it: an array of one, or empty.
    pub(crate) fn into_value(self, message: &Bytes, dialect: Dialect) -> Result<Value, Malformed> {
        let mut list = Vec::new();
        match self {
            Self::Missing => write::array(&mut list, 0),
            Self::At(span) => {
                write::array(&mut list, 1);
                list.extend_from_slice(message.get(span).unwrap_or_default());
            }
            Self::Json(json) => {
                let text = Str::from(Json::Array(vec![json]).to_string());
                encode::value(&mut list, &Value::Str(text, None))?;
            }
        }
        let list = Bytes::from(list);
        let all = 0..list.len();
        transcode::value(&list, all, dialect)
    }
}

/// Everything but an acknowledgement, as Node orders the fields.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outgoing<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<u64>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [Room]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_count: Option<u32>,
}

impl<'a> Outgoing<'a> {
    /// The answer to a legacy request for one socket.
    pub(crate) fn done(id: &'a str) -> Self {
        Self { request_id: id, ..Self::default() }
    }

    /// Ids, or descriptions of sockets.
    pub(crate) fn sockets(id: &'a str, sockets: Vec<Json>) -> Self {
        Self { request_id: id, sockets: Some(Json::Array(sockets)), ..Self::default() }
    }

    pub(crate) fn rooms(id: &'a str, rooms: &'a [Room]) -> Self {
        Self { request_id: id, rooms: Some(rooms), ..Self::default() }
    }

    /// What a server-side event's handler returned; `None` is JavaScript's undefined.
    pub(crate) fn server_side(id: &'a str, data: Option<Json>) -> Self {
        Self { kind: Some(SERVER_SIDE_EMIT), request_id: id, data, ..Self::default() }
    }

    pub(crate) fn client_count(id: &'a str, clients: u32) -> Self {
        Self { kind: Some(CLIENT_COUNT), request_id: id, client_count: Some(clients), ..Self::default() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Maps with text keys into memory: nothing in it can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// One client's acknowledgement, `[argument, …]`, of which only the first travels.
pub(crate) fn encode_ack(id: &str, ack: &Value) -> Result<Vec<u8>, Malformed> {
    let mut argument = Vec::new();
    let any = encode::first(&mut argument, ack)?;
    let mut out = Vec::with_capacity(48 + argument.len());
    write::map(&mut out, 2 + usize::from(any));
    write::str(&mut out, "type");
    write::uint(&mut out, ACK);
    write::str(&mut out, "requestId");
    write::str(&mut out, id);
    if any {
        write::str(&mut out, "packet");
        out.extend_from_slice(&argument);
    }
    Ok(out)
}

fn from_json(json: Json) -> Result<Response, Malformed> {
    let Json::Object(mut fields) = json else {
        return Err(Malformed::Shape("an answer is not a map"));
    };
    let id = fields.get("requestId").and_then(scalar).ok_or(Malformed::Shape("an answer to nothing"))?;
    let body = match fields.get("type").and_then(Json::as_u64) {
        Some(CLIENT_COUNT) => Body::ClientCount(
            fields
                .get("clientCount")
                .and_then(Json::as_u64)
                .ok_or(Malformed::Shape("a count without a number"))?,
        ),
        Some(ACK) => Body::Ack(fields.remove("packet").map_or(Argument::Missing, Argument::Json)),
        _ => Body::Fields(fields),
    };
    Ok(Response { id, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(value: &'static str) -> (Bytes, Response) {
        let message = Bytes::from(encode_ack("i", &Value::Str(value.into(), None)).unwrap());
        let response = decode(&message).unwrap();
        (message, response)
    }

    #[test]
    fn an_acknowledgement_arrives_as_its_first_argument() {
        for (sent, received) in [(r#"["a",1]"#, r#"["a"]"#), ("[]", "[]"), ("[null]", "[null]")] {
            let (message, Response { body, .. }) = ack(sent);
            let Body::Ack(argument) = body else { panic!("not an acknowledgement") };
            let value = argument.into_value(&message, Dialect::Json).unwrap();
            assert_eq!(value, Value::Str(received.into(), None));
        }
    }

    #[test]
    fn counts_and_fields_read_back() {
        let count = Bytes::from(Outgoing::client_count("i", 3).encode());
        assert_eq!(decode(&count).unwrap().body, Body::ClientCount(3));
        let rooms = Bytes::from(Outgoing::rooms("i", &["r".into()]).encode());
        let Body::Fields(fields) = decode(&rooms).unwrap().body else { panic!("not fields") };
        assert_eq!(fields["rooms"], serde_json::json!(["r"]));
        assert_eq!(Outgoing::done("i").encode(), br#"{"requestId":"i"}"#);
    }

    #[test]
    fn odd_answers_are_errors() {
        for bytes in
            [&b""[..], b"\xc0", b"{}", b"{", b"\x80", b"\x81\xa4type\x09", br#"{"type":8,"requestId":"i"}"#]
        {
            assert!(decode(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:02x?}");
        }
    }
}
