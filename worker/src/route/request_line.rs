//! The first line of a request, as far as it has come. Pure.
//!
//! It is read from peeked bytes to find out whose a connection is. Whatever is no plain HTTP/1 request line is
//! nobody's in particular: the worker that has the connection lets its HTTP answer.

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestLine<'a> {
    /// It may still become a request line.
    Incomplete,
    /// Method, path and query are known.
    Known { method: &'a str, path: &'a str, query: &'a str },
    /// Nothing that a session could be in.
    Alien,
}

/// Methods that are worth waiting for the rest of the line: those that a session's requests have.
const METHODS: [&str; 2] = ["GET", "POST"];

impl<'a> RequestLine<'a> {
    /// Reads what has come so far.
    pub fn of(bytes: &'a [u8]) -> Self {
        // RFC 9112 §2.2: a server should ignore an empty line before the request line.
        let bytes = match bytes.iter().position(|byte| !b"\r\n".contains(byte)) {
            Some(start) => &bytes[start..],
            None => return RequestLine::Incomplete,
        };
        let Some((method, rest)) = METHODS.iter().find_map(|method| after_method(bytes, method)) else {
            let may_become_one = METHODS.iter().any(|method| method.as_bytes().starts_with(bytes));
            return if may_become_one { RequestLine::Incomplete } else { RequestLine::Alien };
        };
        match rest.iter().position(|byte| !byte.is_ascii_graphic()) {
            None => RequestLine::Incomplete,
            Some(end) if rest[end] == b' ' => {
                let target = std::str::from_utf8(&rest[..end]).unwrap_or_default(); // graphic ASCII is UTF-8
                let (path, query) = split(target);
                RequestLine::Known { method, path, query }
            }
            Some(_) => RequestLine::Alien,
        }
    }
}

fn after_method<'a>(bytes: &'a [u8], method: &'static str) -> Option<(&'static str, &'a [u8])> {
    Some((method, bytes.strip_prefix(method.as_bytes())?.strip_prefix(b" ")?))
}

/// Path and query of a target in origin form, or in absolute form, which proxies are sent (RFC 9112 §3.2).
fn split(target: &str) -> (&str, &str) {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("", |path| &rest[path..]),
        _ => target,
    };
    let target = target.split('#').next().unwrap_or_default();
    target.split_once('?').unwrap_or((target, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known<'a>(method: &'a str, path: &'a str, query: &'a str) -> RequestLine<'a> {
        RequestLine::Known { method, path, query }
    }

    #[test]
    fn a_line_is_known_as_soon_as_its_target_has_ended() {
        let line = "GET /socket.io/?EIO=4&sid=a HTTP/1.1\r\nHost: x\r\n\r\n";
        let target_end = "GET /socket.io/?EIO=4&sid=a ".len();
        for length in 0..line.len() {
            let expected = match length >= target_end {
                true => known("GET", "/socket.io/", "EIO=4&sid=a"),
                false => RequestLine::Incomplete,
            };
            assert_eq!(RequestLine::of(&line.as_bytes()[..length]), expected, "{}", &line[..length]);
        }
    }

    #[test]
    fn every_form_of_target_has_its_path_and_query() {
        for (line, path, query) in [
            ("GET / HTTP/1.1", "/", ""),
            ("GET /a?b?c HTTP/1.1", "/a", "b?c"),
            ("GET /a?b#c HTTP/1.1", "/a", "b"),
            ("GET http://host:80/a?b HTTP/1.1", "/a", "b"),
            ("GET https://host HTTP/1.1", "", ""),
            ("GET /x?u=http://h/y HTTP/1.0", "/x", "u=http://h/y"),
            ("\r\n\r\nGET /a HTTP/1.1", "/a", ""),
            ("GET  HTTP/1.1", "", ""),
        ] {
            assert_eq!(RequestLine::of(line.as_bytes()), known("GET", path, query), "{line}");
        }
        assert_eq!(RequestLine::of(b"POST /a?b HTTP"), known("POST", "/a", "b"));
    }

    #[test]
    fn what_no_session_begins_with_is_alien_at_once() {
        let hello = [0x16, 3, 1, 2, 0, 1];
        for bytes in [
            &b"OPTIONS /socket.io/ HTTP/1.1"[..],
            b"O",
            b"get / HTTP/1.1",
            b"GETS",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /a\r\n",
            b"GET /a\tb HTTP/1.1",
            b"GET /\xff HTTP/1.1",
            b" GET / HTTP/1.1",
            &hello,
        ] {
            assert_eq!(RequestLine::of(bytes), RequestLine::Alien, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
