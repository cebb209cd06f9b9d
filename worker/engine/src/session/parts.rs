//! The request that opened a session, small until somebody looks at it.
//!
//! Header values and the URI of a request as it comes are views into hyper's read buffer (8 KB), which would live as
//! long as the session. One compact copy replaces them; `http::request::Parts` is built at the first use.

use std::{fmt, ops::Deref, sync::OnceLock};

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    request::{Builder, Parts},
};

/// Dereferences to [`http::request::Parts`].
///
/// The extensions are kept as they come: what pins memory in there is up to who puts it in (see
/// [`Control::attach`](crate::control::Control::attach) for axum's `Router`).
pub struct RequestParts {
    method: Method,
    version: Version,
    uri: Box<str>,
    /// For each header: length of the name (u16), length of the value (u32), name, value.
    headers: Box<[u8]>,
    /// None if there are none: the usual case.
    extensions: Option<Box<Extensions>>,
    full: OnceLock<Box<Parts>>,
}

impl RequestParts {
    pub(crate) fn new(parts: Parts) -> Self {
        let len = |(name, value): (&HeaderName, &HeaderValue)| 6 + name.as_str().len() + value.len();
        let mut headers = Vec::with_capacity(parts.headers.iter().map(len).sum());
        for (name, value) in &parts.headers {
            // hyper bounds both far below: the header block is at most some 400 KB.
            let name = name.as_str().as_bytes();
            headers.extend_from_slice(&(name.len() as u16).to_le_bytes());
            headers.extend_from_slice(&(value.len() as u32).to_le_bytes());
            headers.extend_from_slice(name);
            headers.extend_from_slice(value.as_bytes());
        }
        let extensions = (!parts.extensions.is_empty()).then(|| Box::new(parts.extensions));
        Self {
            method: parts.method,
            version: parts.version,
            uri: parts.uri.to_string().into(),
            headers: headers.into(),
            extensions,
            full: OnceLock::new(),
        }
    }

    fn build(&self) -> Parts {
        // Text that was a URI is one; the fallback keeps a doubt about that from becoming a panic.
        let uri: Uri = self.uri.parse().unwrap_or_default();
        let request = Builder::new().method(self.method.clone()).version(self.version).uri(uri).body(());
        let mut parts = request.unwrap_or_default().into_parts().0;
        parts.headers = self.read_headers();
        if let Some(extensions) = &self.extensions {
            parts.extensions = Extensions::clone(extensions);
        }
        parts
    }

    fn read_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut rest = &self.headers[..];
        while let Some((name, value, tail)) = split_header(rest) {
            rest = tail;
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        headers
    }
}

fn split_header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name_len, rest) = bytes.split_first_chunk()?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*name_len).into())?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
    Some((name, value, rest))
}

impl Deref for RequestParts {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        self.full.get_or_init(|| Box::new(self.build()))
    }
}

impl fmt::Debug for RequestParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Parts::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_request_comes_back_as_it_was() {
        let request = Request::builder()
            .method("GET")
            .version(Version::HTTP_10)
            .uri("http://host:80/socket.io/?EIO=4&transport=polling&x=%20")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-odd", HeaderValue::from_bytes(b"\xe9t\xe9").unwrap())
            .extension(7u8);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let compact = RequestParts::new(parts.clone());
        assert_eq!(compact.method, parts.method);
        assert_eq!(compact.version, parts.version);
        assert_eq!(Parts::clone(&compact).uri, parts.uri);
        assert_eq!(compact.deref().headers, parts.headers);
        assert_eq!(compact.deref().extensions.get::<u8>(), Some(&7));
    }

    #[test]
    fn a_request_line_without_a_host_stays_one() {
        let (parts, ()) = Request::get("/engine.io/?EIO=4").body(()).unwrap().into_parts();
        assert_eq!(RequestParts::new(parts).deref().uri, "/engine.io/?EIO=4");
    }
}
