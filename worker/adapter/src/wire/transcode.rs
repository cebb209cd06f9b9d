//! Turns msgpack into what socketioxide's parsers hold, in one pass and without a tree of values: JSON text with the
//! binary values beside it for the common parser, plain msgpack for the msgpack parser.
//!
//! A client sees what a Node server would show it: socket.io-parser renders decoded values by the rules of JSON, so a
//! Date is its ISO text and NaN is null.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use socketioxide_core::{Str, Value};

use super::{
    ATTACHMENTS_MAX, DEPTH_MAX, Malformed, date,
    msgpack::{Ext, Reader, Token, text},
    write,
};

/// What a namespace's parser keeps in a [`Value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// JSON text with placeholders, and the attachments beside it.
    Json,
    /// msgpack, binary values inline.
    MsgPack,
}

/// The value that lies at `span` of `message`, in the form that `dialect` wants. Binary values share `message`.
pub(crate) fn value(message: &Bytes, span: Range<usize>, dialect: Dialect) -> Result<Value, Malformed> {
    let mut reader = Reader::within(message, span);
    Ok(match dialect {
        Dialect::Json => {
            // JSON has quotes and commas where msgpack has a byte.
            let out = String::with_capacity(reader.left() * 5 / 4 + 16);
            let mut sink = Json { out, bins: VecDeque::new(), message };
            walk(&mut reader, &mut sink, 0)?;
            Value::Str(Str::from(sink.out), (!sink.bins.is_empty()).then_some(sink.bins))
        }
        Dialect::MsgPack => {
            let mut out = Vec::new();
            normal(&mut reader, &mut out)?;
            Value::Bytes(out.into())
        }
    })
}

/// Copies one value in the forms that every Node decoder reads: text keys, valid UTF-8, no extension types.
pub(crate) fn normal(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let bytes = reader.bytes();
    walk(reader, &mut Normal { out, bytes }, 0)
}

/// One whole message as JSON text, its binary values as `Buffer.prototype.toJSON` writes them.
pub(crate) fn json(message: &[u8]) -> Result<String, Malformed> {
    let mut reader = Reader::new(message);
    let mut sink = Plain { out: String::new(), message };
    walk(&mut reader, &mut sink, 0)?;
    reader.finish()?;
    Ok(sink.out)
}

/// Appends `text` as a JSON string.
pub(crate) fn json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    while let Some(ahead) = text.as_bytes()[from..].iter().position(special) {
        let at = from + ahead;
        out.push_str(&text[from..at]);
        from = at + 1;
        match text.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(HEX[usize::from(control >> 4)].into());
                out.push(HEX[usize::from(control & 15)].into());
            }
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

/// Receives a value in document order. Keys arrive between `map` and their value; `index` counts the members before.
trait Sink {
    fn nil(&mut self);
    fn bool(&mut self, value: bool);
    fn uint(&mut self, number: u64);
    fn int(&mut self, number: i64);
    fn float(&mut self, number: f64);
    fn text(&mut self, text: &str);
    fn bin(&mut self, span: Range<usize>) -> Result<(), Malformed>;
    fn array(&mut self, len: usize);
    fn item(&mut self, index: usize);
    fn end_array(&mut self);
    fn map(&mut self, len: usize);
    fn key(&mut self, index: usize, key: &str);
    fn end_map(&mut self);
}

fn walk(reader: &mut Reader<'_>, sink: &mut impl Sink, depth: usize) -> Result<(), Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed::Deep);
    }
    match reader.token()? {
        Token::Nil => sink.nil(),
        Token::Bool(value) => sink.bool(value),
        Token::UInt(number) => sink.uint(number),
        Token::Int(number) => sink.int(number),
        Token::Float(number) => sink.float(number),
        Token::Str(bytes) => sink.text(&text(bytes)),
        Token::Bin(span) => sink.bin(span)?,
        Token::Ext(ext) => extension(reader.bytes(), ext, sink)?,
        Token::Array(len) => {
            sink.array(len);
            for index in 0..len {
                sink.item(index);
                walk(reader, sink, depth + 1)?;
            }
            sink.end_array();
        }
        Token::Map(len) => {
            sink.map(len);
            for index in 0..len {
                let key = reader.token()?;
                sink.key(index, &key.scalar().ok_or(Malformed::Shape("a key is not text"))?);
                walk(reader, sink, depth + 1)?;
            }
            sink.end_map();
        }
    }
    Ok(())
}

/// notepack 3 writes Dates as timestamps; notepack 2 wrote Date, undefined and ArrayBuffer as three forms of type 0.
fn extension(message: &[u8], ext: Ext, sink: &mut impl Sink) -> Result<(), Malformed> {
    let data = &message[ext.data.clone()];
    let date = match (ext.kind, ext.fixed, data) {
        (-1, ..) => date::timestamp_ms(data),
        (0, true, [a, b, c, d, e, f, g, h]) => Some(i64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (0, false, _) => return sink.bin(ext.data),
        _ => None,
    };
    match date.and_then(date::iso) {
        Some(iso) => sink.text(&iso),
        None => sink.nil(),
    }
    Ok(())
}

/// JSON text for socket.io-parser's placeholder scheme.
struct Json<'m> {
    out: String,
    bins: VecDeque<Bytes>,
    message: &'m Bytes,
}

/// JSON text as `JSON.stringify` would write it.
struct Plain<'m> {
    out: String,
    message: &'m [u8],
}

struct Normal<'o, 'm> {
    out: &'o mut Vec<u8>,
    bytes: &'m [u8],
}

/// What both kinds of JSON text share.
macro_rules! json_sink {
    () => {
        fn nil(&mut self) {
            self.out.push_str("null");
        }
        fn bool(&mut self, value: bool) {
            self.out.push_str(if value { "true" } else { "false" });
        }
        fn uint(&mut self, number: u64) {
            push(&mut self.out, format_args!("{number}"));
        }
        fn int(&mut self, number: i64) {
            push(&mut self.out, format_args!("{number}"));
        }
        fn float(&mut self, number: f64) {
            json_float(&mut self.out, number);
        }
        fn text(&mut self, text: &str) {
            json_string(&mut self.out, text);
        }
        fn array(&mut self, _len: usize) {
            self.out.push('[');
        }
        fn item(&mut self, index: usize) {
            if index > 0 {
                self.out.push(',');
            }
        }
        fn end_array(&mut self) {
            self.out.push(']');
        }
        fn map(&mut self, _len: usize) {
            self.out.push('{');
        }
        fn key(&mut self, index: usize, key: &str) {
            self.item(index);
            json_string(&mut self.out, key);
            self.out.push(':');
        }
        fn end_map(&mut self) {
            self.out.push('}');
        }
    };
}

impl Sink for Json<'_> {
    json_sink!();

    fn bin(&mut self, span: Range<usize>) -> Result<(), Malformed> {
        let num = self.bins.len();
        if num == ATTACHMENTS_MAX {
            return Err(Malformed::Attachments);
        }
        push(&mut self.out, format_args!("{{\"_placeholder\":true,\"num\":{num}}}"));
        self.bins.push_back(self.message.slice(span));
        Ok(())
    }
}

impl Sink for Plain<'_> {
    json_sink!();

    fn bin(&mut self, span: Range<usize>) -> Result<(), Malformed> {
        self.out.push_str("{\"type\":\"Buffer\",\"data\":[");
        for (index, byte) in self.message[span].iter().enumerate() {
            self.item(index);
            push(&mut self.out, format_args!("{byte}"));
        }
        self.out.push_str("]}");
        Ok(())
    }
}

impl Sink for Normal<'_, '_> {
    fn nil(&mut self) {
        write::nil(self.out);
    }
    fn bool(&mut self, value: bool) {
        write::bool(self.out, value);
    }
    fn uint(&mut self, number: u64) {
        write::uint(self.out, number);
    }
    fn int(&mut self, number: i64) {
        write::int(self.out, number);
    }
    fn float(&mut self, number: f64) {
        write::float(self.out, number);
    }
    fn text(&mut self, text: &str) {
        write::str(self.out, text);
    }
    fn bin(&mut self, span: Range<usize>) -> Result<(), Malformed> {
        write::bin(self.out, &self.bytes[span]);
        Ok(())
    }
    fn array(&mut self, len: usize) {
        write::array(self.out, len);
    }
    fn item(&mut self, _index: usize) {}
    fn end_array(&mut self) {}
    fn map(&mut self, len: usize) {
        write::map(self.out, len);
    }
    fn key(&mut self, _index: usize, key: &str) {
        write::str(self.out, key);
    }
    fn end_map(&mut self) {}
}

/// As `JSON.stringify`: no NaN, no infinity, no fraction where there is none, so that typed readers accept integers.
fn json_float(out: &mut String, number: f64) {
    const WHOLE: f64 = 1e15;
    if !number.is_finite() {
        out.push_str("null");
    } else if number.fract() == 0.0 && number.abs() < WHOLE {
        push(out, format_args!("{}", number as i64));
    } else {
        push(out, format_args!("{number:?}"));
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = std::fmt::Write::write_fmt(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(message: &[u8]) -> (String, Vec<Bytes>) {
        let message = Bytes::copy_from_slice(message);
        match value(&message, 0..message.len(), Dialect::Json).unwrap() {
            Value::Str(text, bins) => (text.to_string(), bins.unwrap_or_default().into()),
            Value::Bytes(_) => panic!("JSON was asked for"),
        }
    }

    #[test]
    fn values_render_as_json_stringify_does() {
        let table: &[(&[u8], &str)] = &[
            (&[0xc0], "null"),
            (&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], "null"),
            (&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "1.5"),
            (&[0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0], "2"),
            (&[0xca, 0x3f, 0xc0, 0, 0], "1.5"),
            (&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "18446744073709551615"),
            (&[0xa4, b'"', b'\\', b'\n', 1], r#""\"\\\n\u0001""#),
            (&[0xa3, 0xed, 0xa0, 0x80], "\"\u{fffd}\u{fffd}\u{fffd}\""),
            (&[0x82, 0x01, 0xc2, 0xa1, b'k', 0x92, 0x05, 0xff], r#"{"1":false,"k":[5,-1]}"#),
            (&[0xd7, 0xff, 0x1d, 0x53, 0x53, 0, 0x65, 0x53, 0xf1, 0], r#""2023-11-14T22:13:20.123Z""#),
            (&[0xd7, 0, 0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0x7b], r#""2023-11-14T22:13:20.123Z""#),
            (&[0xd4, 0, 0], "null"),
            (&[0xd4, 5, 1], "null"),
        ];
        for (message, expected) in table {
            assert_eq!(render(message).0, *expected, "{message:02x?}");
        }
    }

    #[test]
    fn binary_values_become_placeholders_that_share_the_message() {
        let (text, bins) = render(&[0x92, 0xc4, 1, 9, 0xc7, 2, 0, 7, 8]);
        assert_eq!(text, r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
        assert_eq!(bins, [Bytes::from_static(&[9]), Bytes::from_static(&[7, 8])]);
    }

    #[test]
    fn nesting_and_attachments_have_a_limit() {
        let mut deep = vec![0x91; DEPTH_MAX + 2];
        deep.push(0xc0);
        assert!(matches!(json(&deep), Err(Malformed::Deep)));
        let mut wide = vec![0xdc, 0x27, 0x11];
        (0..=ATTACHMENTS_MAX).for_each(|_| wide.extend_from_slice(&[0xc4, 0]));
        let wide = Bytes::from(wide);
        assert!(matches!(value(&wide, 0..wide.len(), Dialect::Json), Err(Malformed::Attachments)));
    }

    #[test]
    fn the_normal_form_has_text_keys_and_no_extensions() {
        let message = [0x81, 0x01, 0x92, 0xd7, 0xff, 0x1d, 0x53, 0x53, 0, 0x65, 0x53, 0xf1, 0, 0xcd, 0, 1];
        let mut out = Vec::new();
        normal(&mut Reader::new(&message), &mut out).unwrap();
        assert_eq!(json(&out).unwrap(), r#"{"1":["2023-11-14T22:13:20.123Z",1]}"#);
    }

    #[test]
    fn whole_messages_render_buffers_as_node_does() {
        assert_eq!(json(&[0xc4, 2, 1, 255]).unwrap(), r#"{"type":"Buffer","data":[1,255]}"#);
        assert!(matches!(json(&[0xc0, 0xc0]), Err(Malformed::Trailing)));
    }
}
