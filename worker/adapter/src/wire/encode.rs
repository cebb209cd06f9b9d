//! Turns what socketioxide's parsers hold into msgpack for Node, in one pass: JSON text is read by serde_json and
//! written as it is read, placeholders become the binary values they stand for.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use socketioxide_core::Value;

use super::{
    Malformed,
    msgpack::{Reader, Token},
    transcode, write,
};

/// Appends `value`: an event's `[name, …]`.
pub(crate) fn value(out: &mut Vec<u8>, value: &Value) -> Result<(), Malformed> {
    match value {
        Value::Str(text, bins) => json(out, text, bins.as_ref()),
        Value::Bytes(bytes) => transcode::normal(&mut Reader::new(bytes), out),
    }
}

/// Appends the first member of `value`, an acknowledgement's `[…]`: only that travels. False, and nothing appended, if
/// there is none.
pub(crate) fn first(out: &mut Vec<u8>, value: &Value) -> Result<bool, Malformed> {
    match value {
        Value::Str(text, bins) => {
            let mut reader = serde_json::Deserializer::from_str(text);
            let no_bins = VecDeque::new();
            let seed = Transcode { out, bins: bins.as_ref().unwrap_or(&no_bins) };
            Ok(reader.deserialize_seq(First(seed))?)
        }
        Value::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            match reader.token()? {
                Token::Array(0) => Ok(false),
                Token::Array(_) => transcode::normal(&mut reader, out).map(|()| true),
                _ => Err(Malformed::Shape("an acknowledgement is not an array")),
            }
        }
    }
}

fn json(out: &mut Vec<u8>, text: &str, bins: Option<&VecDeque<Bytes>>) -> Result<(), Malformed> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let no_bins = VecDeque::new();
    Transcode { out, bins: bins.unwrap_or(&no_bins) }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(())
}

/// Reads a value and writes it.
struct Transcode<'o> {
    out: &'o mut Vec<u8>,
    bins: &'o VecDeque<Bytes>,
}

impl Transcode<'_> {
    fn again(&mut self) -> Transcode<'_> {
        Transcode { out: self.out, bins: self.bins }
    }

    /// The binary value that the map written since `open` stands for.
    fn placeholder(&self, open: write::Open) -> Option<Bytes> {
        const MARK: &[u8] = b"\xac_placeholder\xc3";
        const NUM: &[u8] = b"\xa3num";
        let members = write::since(self.out, open);
        let num = match members.strip_prefix(MARK).and_then(|rest| rest.strip_prefix(NUM)) {
            Some(num) => num,
            None => members.strip_prefix(NUM)?.strip_suffix(MARK)?,
        };
        match Reader::new(num).token() {
            Ok(Token::UInt(num)) => self.bins.get(usize::try_from(num).ok()?).cloned(),
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Transcode<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Transcode<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        write::nil(self.out);
        Ok(())
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        write::bool(self.out, value);
        Ok(())
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        write::uint(self.out, number);
        Ok(())
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        write::int(self.out, number);
        Ok(())
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        write::float(self.out, number);
        Ok(())
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        write::str(self.out, text);
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let open = write::open(self.out);
        let mut len = 0;
        while members.next_element_seed(self.again())?.is_some() {
            len += 1;
        }
        write::close_array(self.out, open, len);
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let open = write::open(self.out);
        let mut len = 0;
        while members.next_key_seed(Key(self.out))?.is_some() {
            // With serde_json's feature `arbitrary_precision`, which any crate of an application may turn on, a number
            // arrives as a map with this one key.
            if len == 0 && write::since(self.out, open) == b"\xbe$serde_json::private::Number" {
                write::undo(self.out, open);
                return number(self.out, &members.next_value::<String>()?);
            }
            members.next_value_seed(self.again())?;
            len += 1;
        }
        if len == 2
            && !self.bins.is_empty()
            && let Some(bytes) = self.placeholder(open)
        {
            write::undo(self.out, open);
            write::bin(self.out, &bytes);
        } else {
            write::close_map(self.out, open, len);
        }
        Ok(())
    }
}

/// Writes a map's key.
struct Key<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        write::str(self.0, key);
        Ok(())
    }
}

/// Writes the first member of an array and steps over the others.
struct First<'o>(Transcode<'o>);

impl<'de> Visitor<'de> for First<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let any = members.next_element_seed(self.0)?.is_some();
        while members.next_element::<IgnoredAny>()?.is_some() {}
        Ok(any)
    }
}

fn number<E: Error>(out: &mut Vec<u8>, text: &str) -> Result<(), E> {
    if let Ok(number) = text.parse() {
        write::uint(out, number);
    } else if let Ok(number) = text.parse() {
        write::int(out, number);
    } else {
        write::float(out, text.parse().map_err(E::custom)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &'static str, bins: &[&'static [u8]]) -> Vec<u8> {
        let bins: VecDeque<_> = bins.iter().map(|bin| Bytes::from_static(bin)).collect();
        let mut out = Vec::new();
        value(&mut out, &Value::Str(text.into(), (!bins.is_empty()).then_some(bins))).unwrap();
        out
    }

    #[test]
    fn json_text_reads_back_from_msgpack() {
        for text in [
            r#"["ev",null,true,false,0,-1,1.5,"é\"\n",{"a":{"b":[]}},[[1],2]]"#,
            r#"["ev",18446744073709551615,-9223372036854775808]"#,
            r#"["ev",[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]]"#,
        ] {
            assert_eq!(transcode::json(&encode(text, &[])).unwrap(), text);
        }
    }

    #[test]
    fn placeholders_become_the_bytes_they_stand_for_in_either_key_order() {
        let text = r#"["b",{"_placeholder":true,"num":1},{"num":0,"_placeholder":true}]"#;
        assert_eq!(encode(text, &[&[1], &[2, 3]]), [0x93, 0xa1, b'b', 0xc4, 2, 2, 3, 0xc4, 1, 1]);
    }

    #[test]
    fn a_placeholder_without_its_bytes_stays_a_map() {
        let text = r#"["b",{"_placeholder":true,"num":7}]"#;
        assert_eq!(transcode::json(&encode(text, &[&[1]])).unwrap(), text);
        assert_eq!(transcode::json(&encode(text, &[])).unwrap(), text);
    }

    #[test]
    fn only_the_first_argument_of_an_acknowledgement_travels() {
        for (text, expected) in
            [("[]", None), ("[null]", Some(&[0xc0][..])), (r#"["a",2]"#, Some(&[0xa1, b'a']))]
        {
            let mut out = Vec::new();
            let any = first(&mut out, &Value::Str(text.into(), None)).unwrap();
            assert_eq!(any.then_some(&out[..]), expected, "{text}");
        }
        let mut out = Vec::new();
        assert!(first(&mut out, &Value::Str("{}".into(), None)).is_err());
        assert!(!first(&mut out, &Value::Bytes(Bytes::from_static(&[0x90]))).unwrap());
    }
}
