//! Reads msgpack token by token, from a slice and without copying. Tolerant where Node's writers need it (any integer
//! width, any text), strict about lengths: a claimed length is compared with what is left before anything uses it.

use std::{borrow::Cow, ops::Range};

use super::Malformed;

/// One msgpack value, or the head of a container whose members follow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    Nil,
    Bool(bool),
    /// A negative integer; others are [`Token::UInt`] whatever their encoding.
    Int(i64),
    UInt(u64),
    Float(f64),
    /// Bytes that should be UTF-8: notepack writes lone surrogates as they are, see [`text`].
    Str(&'a [u8]),
    /// Where the bytes lie in the message, so that a caller who owns it can share them.
    Bin(Range<usize>),
    Array(usize),
    Map(usize),
    Ext(Ext),
}

/// An extension value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ext {
    pub kind: i8,
    /// Written with one of the fixed-length forms. notepack 2 tells a Date from an ArrayBuffer by this alone.
    pub fixed: bool,
    pub data: Range<usize>,
}

/// A cursor over one message.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A reader of the part `span` of the same message; positions stay those of the message.
    pub(crate) fn within(bytes: &'a [u8], span: Range<usize>) -> Self {
        Self { bytes: bytes.get(..span.end).unwrap_or(bytes), at: span.start }
    }

    /// The whole message that is read.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Reads the next token.
    pub(crate) fn token(&mut self) -> Result<Token<'a>, Malformed> {
        let marker = self.be(1)? as u8;
        Ok(match marker {
            0x00..=0x7f => Token::UInt(marker.into()),
            0x80..=0x8f => self.map((marker & 0x0f).into())?,
            0x90..=0x9f => self.array((marker & 0x0f).into())?,
            0xa0..=0xbf => self.str((marker & 0x1f).into())?,
            0xc0 => Token::Nil,
            0xc1 => return Err(Malformed::Reserved),
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => {
                let len = self.be(1 << (marker - 0xc4))?;
                Token::Bin(self.range(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.be(1 << (marker - 0xc7))?;
                self.ext(len, false)?
            }
            0xca => Token::Float(f32::from_bits(self.be(4)? as u32).into()),
            0xcb => Token::Float(f64::from_bits(self.be(8)?)),
            0xcc..=0xcf => Token::UInt(self.be(1 << (marker - 0xcc))?),
            0xd0 => signed((self.be(1)? as i8).into()),
            0xd1 => signed((self.be(2)? as i16).into()),
            0xd2 => signed((self.be(4)? as i32).into()),
            0xd3 => signed(self.be(8)? as i64),
            0xd4..=0xd8 => self.ext(1 << (marker - 0xd4), true)?,
            0xd9..=0xdb => {
                let len = self.be(1 << (marker - 0xd9))?;
                self.str(len)?
            }
            0xdc | 0xdd => {
                let len = self.be(2 << (marker - 0xdc))?;
                self.array(len)?
            }
            0xde | 0xdf => {
                let len = self.be(2 << (marker - 0xde))?;
                self.map(len)?
            }
            0xe0..=0xff => Token::Int((marker as i8).into()),
        })
    }

    /// The token that follows, without moving.
    pub(crate) fn peek(&self) -> Result<Token<'a>, Malformed> {
        self.clone().token()
    }

    /// Steps over one whole value and returns where it lies.
    pub(crate) fn span(&mut self) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        let mut left = 1usize;
        while left > 0 {
            left -= 1;
            // A container's members take at least a byte each, so the sum stays below the message's length.
            match self.token()? {
                Token::Array(len) => left += len,
                Token::Map(len) => left += 2 * len,
                _ => {}
            }
        }
        Ok(start..self.at)
    }

    /// Steps over one whole value.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        self.span().map(|_| ())
    }

    /// Errors unless everything was read.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    /// How many bytes are not read yet.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A big-endian number of `len` ≤ 8 bytes.
    fn be(&mut self, len: usize) -> Result<u64, Malformed> {
        let range = self.range(len as u64)?;
        Ok(self.bytes[range].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn range(&mut self, len: u64) -> Result<Range<usize>, Malformed> {
        let len = self.fits(len)?;
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }

    fn fits(&self, len: u64) -> Result<usize, Malformed> {
        usize::try_from(len).ok().filter(|len| *len <= self.left()).ok_or(Malformed::Truncated)
    }

    fn str(&mut self, len: u64) -> Result<Token<'a>, Malformed> {
        let range = self.range(len)?;
        Ok(Token::Str(&self.bytes[range]))
    }

    fn array(&mut self, len: u64) -> Result<Token<'a>, Malformed> {
        Ok(Token::Array(self.fits(len)?))
    }

    fn map(&mut self, len: u64) -> Result<Token<'a>, Malformed> {
        self.fits(len.saturating_mul(2))?;
        Ok(Token::Map(self.fits(len)?))
    }

    fn ext(&mut self, len: u64, fixed: bool) -> Result<Token<'a>, Malformed> {
        let kind = self.be(1)? as i8;
        Ok(Token::Ext(Ext { kind, fixed, data: self.range(len)? }))
    }
}

/// Text as Node's `Buffer.toString()` makes it: what is not UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl Token<'_> {
    /// What a JavaScript object key, a room or an id becomes when it is not text: `42` and `"42"` are one room to us.
    pub(crate) fn scalar(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Token::Str(bytes) => text(bytes),
            Token::UInt(number) => number.to_string().into(),
            Token::Int(number) => number.to_string().into(),
            Token::Float(number) => number.to_string().into(),
            Token::Bool(value) => value.to_string().into(),
            Token::Nil => "null".into(),
            Token::Bin(_) | Token::Array(_) | Token::Map(_) | Token::Ext(_) => return None,
        })
    }
}

fn signed(number: i64) -> Token<'static> {
    u64::try_from(number).map_or(Token::Int(number), Token::UInt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Token<'_>, Malformed> {
        Reader::new(bytes).token()
    }

    #[test]
    fn every_integer_width_gives_the_same_number() {
        for bytes in [&[7u8][..], &[0xcc, 7], &[0xcd, 0, 7], &[0xd0, 7], &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7]] {
            assert_eq!(one(bytes).unwrap(), Token::UInt(7), "{bytes:02x?}");
        }
        assert_eq!(one(&[0xff]).unwrap(), Token::Int(-1));
        assert_eq!(one(&[0xd2, 0xff, 0xff, 0xff, 0xff]).unwrap(), Token::Int(-1));
    }

    #[test]
    fn a_length_behind_the_end_is_an_error_before_it_is_used() {
        for bytes in [
            &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
            &[0xdf, 0, 0, 0, 1, 1],
            &[0xc6, 0xff, 0xff, 0xff, 0xff],
            &[0xa5, 1],
        ] {
            assert!(matches!(one(bytes), Err(Malformed::Truncated)), "{bytes:02x?}");
        }
        assert!(matches!(one(&[]), Err(Malformed::Truncated)));
        assert!(matches!(one(&[0xc1]), Err(Malformed::Reserved)));
    }

    #[test]
    fn a_span_covers_nested_containers() {
        let bytes = [0x92, 0x81, 0xa1, b'k', 0x91, 0xc0, 0x05, 0x06];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.span().unwrap(), 0..7);
        assert!(matches!(reader.finish(), Err(Malformed::Trailing)));
        assert_eq!(reader.token().unwrap(), Token::UInt(6));
        reader.finish().unwrap();
    }
}
