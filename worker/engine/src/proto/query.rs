//! The query of an Engine.IO request: transport, protocol version, session id with its tag.

use std::borrow::Cow;

use engineioxide_core::{Sid, TransportType};
use http::Method;

use super::refused::Refused;
use crate::{config::EngineIoConfig, control::SessionTagger};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// A new session on this transport.
    New(TransportType),
    /// `GET`: the next packets of a session.
    Poll(Sid),
    /// `POST`: packets for a session.
    Post(Sid),
    /// A polling session asks to go on over a WebSocket.
    Upgrade(Sid),
}

/// Reads a query in the order in which Node checks it, so a client that is wrong twice gets the same answer.
///
/// A session id stands in exactly one `sid` parameter, decoded before it is compared, and is checked whole:
/// routers in front of the engine read it too, and whoever reads a second or an encoded one differently could be
/// made to send a client to somebody else's session.
pub(crate) fn parse(
    method: &Method,
    query: Option<&str>,
    config: &EngineIoConfig,
    tagger: Option<&dyn SessionTagger>,
) -> Result<Target, Refused> {
    let params = Params::read(query.unwrap_or_default());
    let transport = params.transport.and_then(|name| name.parse().ok()).ok_or(Refused::TransportUnknown)?;
    if !config.allowed_transport(transport) {
        return Err(Refused::BadRequest);
    }
    let sid = match params.sid {
        SidParam::Absent => None,
        SidParam::Once(sid) => Some(parse_sid(&sid, tagger).ok_or(Refused::UnknownSession)?),
        SidParam::Repeated => return Err(Refused::BadRequest),
    };
    match (sid, transport, method) {
        (None, _, method) if method != Method::GET => Err(Refused::BadMethod),
        // Version 3 differs in every part (payloads, who pings) and left Node's default in 2020.
        (None, ..) if params.protocol.as_deref() != Some("4") => Err(Refused::UnsupportedProtocol),
        (None, transport, _) => Ok(Target::New(transport)),
        (Some(sid), TransportType::Polling, &Method::GET) => Ok(Target::Poll(sid)),
        (Some(sid), TransportType::Polling, &Method::POST) => Ok(Target::Post(sid)),
        (Some(sid), TransportType::Websocket, &Method::GET) => Ok(Target::Upgrade(sid)),
        (Some(_), ..) => Err(Refused::BadMethod),
    }
}

/// `<sid>` without a tagger, `<sid>.<tag>` with one.
fn parse_sid(text: &str, tagger: Option<&dyn SessionTagger>) -> Option<Sid> {
    let Some(tagger) = tagger else { return text.parse().ok() };
    let (sid, tag) = text.split_once('.')?;
    let sid = sid.parse().ok()?;
    tagger.check(sid, tag).then_some(sid)
}

/// The `sid` parameter of a query as the engine reads it, for routers in front of it: whoever read it in another way
/// could send a client to somebody else's session.
///
/// ```
/// use engineioxide::control::SidParam;
///
/// assert_eq!(SidParam::of("EIO=4&transport=polling"), SidParam::Absent);
/// assert_eq!(SidParam::of("transport=polling&s%69d=a%2Eb"), SidParam::Once("a.b".into()));
/// assert_eq!(SidParam::of("sid=a&sid=a"), SidParam::Repeated);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SidParam<'a> {
    /// There is none: the request wants a new session.
    Absent,
    /// Its decoded value.
    Once(Cow<'a, str>),
    /// It is there more than once, which is refused.
    Repeated,
}

impl<'a> SidParam<'a> {
    /// The one of this query, which is the part of a URI behind the `?`.
    pub fn of(query: &'a str) -> Self {
        let mut sid = Self::Absent;
        parameters(query).filter(|(name, _)| name == "sid").for_each(|(_, value)| sid.see(value));
        sid
    }

    fn see(&mut self, value: &'a str) {
        *self = match self {
            Self::Absent => Self::Once(percent_decode(value)),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

struct Params<'a> {
    transport: Option<Cow<'a, str>>,
    protocol: Option<Cow<'a, str>>,
    sid: SidParam<'a>,
}

impl<'a> Params<'a> {
    fn read(query: &'a str) -> Self {
        let mut params = Params { transport: None, protocol: None, sid: SidParam::Absent };
        for (name, value) in parameters(query) {
            match &*name {
                "transport" => _ = params.transport.get_or_insert_with(|| percent_decode(value)),
                "EIO" => _ = params.protocol.get_or_insert_with(|| percent_decode(value)),
                "sid" => params.sid.see(value),
                _ => {}
            }
        }
        params
    }
}

/// Names, decoded, and values, as they stand.
fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (percent_decode(name), value))
}

/// Decodes `%41` to `A`. What is not such a pair stays as it is; what is not UTF-8 becomes U+FFFD: neither can
/// then equal a name or an id, which is all that is asked of it.
fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let decoded = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(decoded.unwrap_or(first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "AAAAAAAAAAAAA-_s";

    struct Tag;
    impl SessionTagger for Tag {
        fn tag(&self, _: Sid) -> String {
            "good".into()
        }
        fn check(&self, _: Sid, tag: &str) -> bool {
            tag == "good"
        }
    }

    fn get(query: &str) -> Result<Target, Refused> {
        parse(&Method::GET, Some(query), &EngineIoConfig::default(), None)
    }

    #[test]
    fn each_request_is_told_what_it_is_for() {
        let sid: Sid = SID.parse().unwrap();
        let target = |method, query: &str| parse(&method, Some(query), &EngineIoConfig::default(), None);
        let polling = format!("EIO=4&transport=polling&t=abc&sid={SID}");
        let websocket = format!("sid={SID}&EIO=4&transport=websocket");
        assert_eq!(get("EIO=4&transport=polling"), Ok(Target::New(TransportType::Polling)));
        assert_eq!(get("transport=websocket&EIO=4"), Ok(Target::New(TransportType::Websocket)));
        assert_eq!(target(Method::GET, &polling), Ok(Target::Poll(sid)));
        assert_eq!(target(Method::POST, &polling), Ok(Target::Post(sid)));
        assert_eq!(target(Method::GET, &websocket), Ok(Target::Upgrade(sid)));
    }

    #[test]
    fn each_mistake_has_the_answer_that_node_gives() {
        let target = |method, query| parse(&method, query, &EngineIoConfig::default(), None);
        assert_eq!(target(Method::GET, None), Err(Refused::TransportUnknown));
        assert_eq!(get("EIO=4&transport=grpc"), Err(Refused::TransportUnknown));
        assert_eq!(get("EIO=3&transport=polling"), Err(Refused::UnsupportedProtocol));
        assert_eq!(get("transport=polling"), Err(Refused::UnsupportedProtocol));
        assert_eq!(target(Method::POST, Some("EIO=4&transport=polling")), Err(Refused::BadMethod));
        let with_sid = format!("EIO=4&transport=polling&sid={SID}");
        assert_eq!(target(Method::PUT, Some(&with_sid)), Err(Refused::BadMethod));
        let only_websocket = EngineIoConfig::builder().transports([TransportType::Websocket]).build();
        let refused = parse(&Method::GET, Some("EIO=4&transport=polling"), &only_websocket, None);
        assert_eq!(refused, Err(Refused::BadRequest));
    }

    #[test]
    fn a_sid_that_cannot_be_parsed_is_an_unknown_session_and_not_a_new_one() {
        for sid in ["", "garbage", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA!", "%ff", "%zz", "é"] {
            let refused = get(&format!("EIO=4&transport=polling&sid={sid}"));
            assert_eq!(refused, Err(Refused::UnknownSession), "{sid}");
        }
    }

    #[test]
    fn a_sid_is_decoded_and_stands_once() {
        let sid: Sid = SID.parse().unwrap();
        assert_eq!(get("transport=polling&sid=%41AAAAAAAAAAAA%2d_s"), Ok(Target::Poll(sid)));
        assert_eq!(get(&format!("transport=polling&s%69d={SID}")), Ok(Target::Poll(sid)));
        for twice in ["sid", "s%69d"] {
            let refused = get(&format!("transport=polling&sid={SID}&{twice}={SID}"));
            assert_eq!(refused, Err(Refused::BadRequest));
        }
    }

    #[test]
    fn a_tag_is_checked_whole() {
        let tagged = |sid: &str| {
            let query = format!("EIO=4&transport=polling&sid={sid}");
            parse(&Method::GET, Some(&query), &EngineIoConfig::default(), Some(&Tag))
        };
        assert!(tagged(&format!("{SID}.good")).is_ok());
        assert!(tagged(&format!("{SID}%2Egood")).is_ok());
        for sid in ["", ".", ".bad", ".good.", ".goo", ".good.more"] {
            assert_eq!(tagged(&format!("{SID}{sid}")), Err(Refused::UnknownSession), "{sid}");
        }
        assert_eq!(get(&format!("transport=polling&sid={SID}.good")), Err(Refused::UnknownSession));
    }
}
