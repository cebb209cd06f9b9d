//! Where a command ends, decided before anything of it is decoded or allocated.
//!
//! The RESP decoder knows no limits: it recurses as deep as a frame is nested, starts over at each partial read, and
//! waits for as many bytes as a header claims. So it only ever sees what has passed here: a whole command of the one
//! shape that Redis accepts, an array of bulk strings, within the limits. A scan remembers where it stopped, so a
//! large command is not read again with each of its pieces. Error texts are Redis'.

use std::borrow::Cow;

/// What a client may send: less before it has authenticated, as in Redis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    pub args_max: usize,
    pub bulk_bytes_max: usize,
    pub frame_bytes_max: usize,
    pub authenticated: bool,
}

impl FrameLimits {
    /// For clients that have not said who they are. The numbers are those of Redis' `networking.c`.
    pub(crate) const STRANGER: Self =
        Self { args_max: 10, bulk_bytes_max: 16 * 1024, frame_bytes_max: 64 * 1024, authenticated: false };
}

/// A line may have this many bytes: an inline command, as in Redis.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// A header (`*3`, `$5`) longer than this cannot be a number that we take.
const HEADER_BYTES_MAX: usize = 32;

/// Not the Redis protocol, or over a limit. The client is told and closed.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("Protocol error: {0}")]
pub(crate) struct ProtocolError(pub Cow<'static, str>);

impl From<&'static str> for ProtocolError {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

/// A whole command at the head of the input, with its length in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whole {
    /// An array of bulk strings.
    Array(usize),
    /// A line of words.
    Line(usize),
    /// An array of none, which Redis passes over in silence.
    Nothing(usize),
}

/// The scan of one command.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Everything before it is done with. May lie beyond the input while a bulk string is coming in.
    at: usize,
    /// Bulk strings still to come, once the array's header was read.
    left: Option<usize>,
}

impl Scan {
    /// Goes on with `input`, which begins with this command. `None`: more is needed.
    pub(crate) fn resume(
        &mut self,
        input: &[u8],
        limits: &FrameLimits,
    ) -> Result<Option<Whole>, ProtocolError> {
        let mut left = match (self.left, input.first()) {
            (_, None) => return Ok(None),
            (Some(left), _) => left,
            (None, Some(b'*')) => {
                let Some((count, end)) = header(input, 0, "mbulk")? else { return Ok(None) };
                match count {
                    None => return Err("invalid multibulk length".into()),
                    Some(..=0) => return Ok(Some(Whole::Nothing(end))),
                    Some(count) => {
                        self.at = end;
                        args(count, limits)?
                    }
                }
            }
            (None, Some(_)) => return line(input, &mut self.at, limits),
        };
        while left > 0 {
            self.left = Some(left);
            let Some(&kind) = input.get(self.at) else { return Ok(None) };
            if kind != b'$' {
                let kind = if kind.is_ascii_graphic() { char::from(kind) } else { ' ' };
                return Err(ProtocolError(format!("expected '$', got '{kind}'").into()));
            }
            let Some((len, start)) = header(input, self.at, "bulk")? else { return Ok(None) };
            let end = start + bulk(len, limits)?;
            if end + 2 > limits.frame_bytes_max {
                return Err("too big request".into());
            }
            if input.len() < end + 2 {
                return Ok(None);
            }
            if &input[end..end + 2] != b"\r\n" {
                return Err("expected CRLF after a bulk string".into());
            }
            self.at = end + 2;
            left -= 1;
        }
        self.left = Some(0);
        Ok(Some(Whole::Array(self.at)))
    }
}

fn args(count: i64, limits: &FrameLimits) -> Result<usize, ProtocolError> {
    match usize::try_from(count) {
        Ok(count) if count <= limits.args_max => Ok(count),
        _ if limits.authenticated || count > i64::from(i32::MAX) => Err("invalid multibulk length".into()),
        _ => Err("unauthenticated multibulk length".into()),
    }
}

fn bulk(len: Option<i64>, limits: &FrameLimits) -> Result<usize, ProtocolError> {
    match len.map(usize::try_from) {
        Some(Ok(len)) if len <= limits.bulk_bytes_max => Ok(len),
        Some(Ok(_)) if !limits.authenticated => Err("unauthenticated bulk length".into()),
        _ => Err("invalid bulk length".into()),
    }
}

/// A header's number (`None` if it is none) and where what follows begins.
type Header = (Option<i64>, usize);

fn header(input: &[u8], at: usize, what: &str) -> Result<Option<Header>, ProtocolError> {
    let line = &input[at + 1..input.len().min(at + 1 + HEADER_BYTES_MAX)];
    match line.iter().position(|&byte| byte == b'\r') {
        // Redis takes any byte for the newline; the decoder behind this scan does not.
        Some(end) => match line.get(end + 1) {
            Some(b'\n') => Ok(Some((number(&line[..end]), at + end + 3))),
            Some(_) => Err("expected CRLF after a length".into()),
            None if line.len() < HEADER_BYTES_MAX => Ok(None),
            None => Err(ProtocolError(format!("too big {what} count string").into())),
        },
        None if line.len() < HEADER_BYTES_MAX => Ok(None),
        None => Err(ProtocolError(format!("too big {what} count string").into())),
    }
}

fn line(input: &[u8], seen: &mut usize, limits: &FrameLimits) -> Result<Option<Whole>, ProtocolError> {
    match input[*seen..].iter().position(|&byte| byte == b'\n') {
        Some(end) if *seen + end < INLINE_BYTES_MAX.min(limits.frame_bytes_max) => {
            Ok(Some(Whole::Line(*seen + end + 1)))
        }
        None if input.len() < INLINE_BYTES_MAX.min(limits.frame_bytes_max) => {
            *seen = input.len();
            Ok(None)
        }
        _ => Err("too big inline request".into()),
    }
}

/// A decimal number in its only form: no plus sign, no leading zeros, no `-0` (Redis' `string2ll`).
pub(crate) fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = text == b"0" || matches!(digits.first(), Some(b'1'..=b'9'));
    if !canonical || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits =
        FrameLimits { args_max: 3, bulk_bytes_max: 20, frame_bytes_max: 64, authenticated: true };

    /// Scans `input` byte by byte.
    fn scan(input: &[u8], limits: &FrameLimits) -> Result<Option<Whole>, String> {
        let mut scan = Scan::default();
        for end in 1..input.len() {
            match scan.resume(&input[..end], limits) {
                Ok(None) => {}
                other => return other.map_err(|error| error.0.into_owned()),
            }
        }
        scan.resume(input, limits).map_err(|error| error.0.into_owned())
    }

    #[test]
    fn a_command_ends_where_it_ends_however_it_is_cut() {
        for (input, whole) in [
            ("*1\r\n$4\r\nPING\r\n", Some(Whole::Array(14))),
            ("*2\r\n$0\r\n\r\n$1\r\n\r\r\n", Some(Whole::Array(17))),
            ("*0\r\n", Some(Whole::Nothing(4))),
            ("*-1\r\n", Some(Whole::Nothing(5))),
            ("PING\r\n", Some(Whole::Line(6))),
            ("\n", Some(Whole::Line(1))),
            ("*1\r\n$4\r\nPING\r", None),
            ("*1\r\n", None),
            ("*1\r", None),
            ("PING", None),
        ] {
            assert_eq!(scan(input.as_bytes(), &LIMITS), Ok(whole), "{input:?}");
        }
    }

    #[test]
    fn what_is_wrong_or_too_large_is_refused_before_its_bytes_are_there() {
        for (input, text) in [
            ("*4\r\n", "invalid multibulk length"),
            ("*x\r\n", "invalid multibulk length"),
            ("*+1\r\n", "invalid multibulk length"),
            ("*9223372036854775807\r\n", "invalid multibulk length"),
            ("*99999999999999999999\r\n", "invalid multibulk length"),
            ("*1\r\n*1\r\n", "expected '$', got '*'"),
            ("*1\r\n\r\n", "expected '$', got ' '"),
            ("*1\r\n$-1\r\n", "invalid bulk length"),
            ("*1\r\n$21\r\n", "invalid bulk length"),
            ("*1\r\n$01\r\n", "invalid bulk length"),
            ("*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
            ("*1\r\n$1\r\nxyz", "expected CRLF after a bulk string"),
            ("*1\rx", "expected CRLF after a length"),
        ] {
            assert_eq!(scan(input.as_bytes(), &LIMITS), Err(text.to_owned()), "{input:?}");
        }
        let many = "*3\r\n$20\r\n01234567890123456789\r\n$20\r\n01234567890123456789\r\n$20\r\n";
        assert_eq!(scan(many.as_bytes(), &LIMITS), Err("too big request".to_owned()));
        assert_eq!(scan(&[b'*'; 40], &LIMITS), Err("too big mbulk count string".to_owned()));
        assert_eq!(scan(&[b'x'; 70], &LIMITS), Err("too big inline request".to_owned()));
    }

    #[test]
    fn a_stranger_gets_less() {
        let refused = |input: &str| scan(input.as_bytes(), &FrameLimits::STRANGER).unwrap_err();
        assert_eq!(refused("*11\r\n"), "unauthenticated multibulk length");
        assert_eq!(refused("*1\r\n$16385\r\n"), "unauthenticated bulk length");
    }
}
