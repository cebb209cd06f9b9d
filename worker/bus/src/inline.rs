//! Inline commands: a line of words, as typed into telnet (`sdssplitargs` of Redis). Pure.

use crate::scan::ProtocolError;

/// Splits a line into its words.
///
/// `"…"` knows `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` and takes any other escaped byte as it is; `'…'` knows `\'` only.
/// After a closing quote comes a space or the end. A zero byte ends the line (Redis waits for ever behind one).
pub(crate) fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut words = Vec::new();
    let end = line.iter().position(|&byte| byte == 0).unwrap_or(line.len());
    let mut rest = &line[..end];
    loop {
        rest = &rest[rest.iter().take_while(|byte| is_space(**byte)).count()..];
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = word(rest).ok_or(ProtocolError::from("unbalanced quotes in request"))?;
        words.push(word);
        rest = after;
    }
}

fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match *rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Some((word, rest)),
            [b'"', ref quoted @ ..] => return quote(quoted, b'"', word),
            [b'\'', ref quoted @ ..] => return quote(quoted, b'\'', word),
            [byte, ref after @ ..] => {
                word.push(byte);
                rest = after;
            }
        }
    }
}

fn quote(mut rest: &[u8], mark: u8, mut word: Vec<u8>) -> Option<(Vec<u8>, &[u8])> {
    loop {
        let (byte, after) = match *rest {
            [] => return None,
            [b'\\', b'x', high, low, ref after @ ..]
                if mark == b'"' && hex(high).is_some() && hex(low).is_some() =>
            {
                (hex(high)? << 4 | hex(low)?, after)
            }
            [b'\\', escaped, ref after @ ..] if mark == b'"' => (unescape(escaped), after),
            [b'\\', b'\'', ref after @ ..] if mark == b'\'' => (b'\'', after),
            [byte, ref after @ ..] if byte == mark => {
                let closed = after.first().is_none_or(|&next| is_space(next));
                return closed.then_some((word, after));
            }
            [byte, ref after @ ..] => (byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_as_in_redis() {
        let rows: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  PING \r", &["PING"]),
            ("PUBLISH a b", &["PUBLISH", "a", "b"]),
            (r#"a "b c" 'd e' "#, &["a", "b c", "d e"]),
            (r#""\x41\n\q\"" '\'\n'"#, &["A\nq\"", r"'\n"]),
            (r#""" x"y""#, &["", "xy"]),
            (r#""\xzz""#, &["xzz"]),
            ("a\0b c", &["a"]),
            ("\0", &[]),
            ("\x0b a\x0bb", &["a\x0bb"]),
        ];
        for (line, expected) in rows {
            let found = words(line.as_bytes()).unwrap();
            assert_eq!(
                found,
                expected.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>(),
                "{line}"
            );
        }
    }

    #[test]
    fn quotes_must_be_closed_and_followed_by_a_space() {
        for line in [r#""a"#, "'a", r#""a"b"#, "'a'b", r#""a\"#, "\"a\0\""] {
            assert!(words(line.as_bytes()).is_err(), "{line}");
        }
    }
}
