//! The names of the channels of one namespace, and what may be read from a name without opening the message.

use std::borrow::Cow;

/// Every channel name that one server uses for one namespace. With key `K`, namespace `N` (its slash included) and
/// server id `U`:
///
/// | what | channel | kind |
/// |---|---|---|
/// | broadcasts | `K#N#`, `K#N#ROOM#` | PSUBSCRIBE `K#N#*` |
/// | requests | `K-request#N#` | SUBSCRIBE, which is what peers count |
/// | answers for all | `K-response#N#` | SUBSCRIBE |
/// | answers for this server | `K-response#N#U#` | SUBSCRIBE |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Channels {
    /// `K#N#`
    pub broadcast: String,
    /// `K#N#*` with everything that Redis' globs would interpret escaped: other namespaces' messages never match.
    pub pattern: String,
    pub request: String,
    pub response: String,
    pub own_response: String,
}

impl Channels {
    pub(crate) fn new(key: &str, namespace: &str, uid: &str) -> Self {
        let broadcast = format!("{key}#{namespace}#");
        let response = format!("{key}-response#{namespace}#");
        Self {
            pattern: escape(&broadcast) + "*",
            request: format!("{key}-request#{namespace}#"),
            own_response: format!("{response}{uid}#"),
            broadcast,
            response,
        }
    }

    /// Where a broadcast to `rooms` goes: a single room has its own channel, so that others need not open it.
    pub(crate) fn broadcast_to<R: AsRef<str>>(&self, rooms: &[R]) -> Cow<'_, str> {
        match rooms {
            [room] => format!("{}{}#", self.broadcast, room.as_ref()).into(),
            _ => Cow::Borrowed(&self.broadcast),
        }
    }

    /// Where an answer to the server `uid` goes if it alone shall hear it.
    pub(crate) fn response_to(&self, uid: &str) -> String {
        format!("{}{uid}#", self.response)
    }

    /// The room that a broadcast's channel names, `Some("")` for the namespace itself. Like Node, cuts the last
    /// character whatever it is. `None` if the channel belongs to another namespace.
    pub(crate) fn room<'c>(&self, channel: &'c str) -> Option<&'c str> {
        let room = channel.strip_prefix(&self.broadcast)?;
        let mut characters = room.chars();
        characters.next_back();
        Some(characters.as_str())
    }
}

/// Takes their meaning from the characters of a Redis glob.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_node() {
        let channels = Channels::new("socket.io", "/chat", "AbC123");
        assert_eq!(channels.pattern, "socket.io#/chat#*");
        assert_eq!(channels.request, "socket.io-request#/chat#");
        assert_eq!(channels.response, "socket.io-response#/chat#");
        assert_eq!(channels.own_response, "socket.io-response#/chat#AbC123#");
        assert_eq!(channels.response_to("x"), "socket.io-response#/chat#x#");
        assert_eq!(channels.broadcast_to::<&str>(&[]), "socket.io#/chat#");
        assert_eq!(channels.broadcast_to(&["r"]), "socket.io#/chat#r#");
        assert_eq!(channels.broadcast_to(&["r", "s"]), "socket.io#/chat#");
    }

    #[test]
    fn a_pattern_matches_its_own_namespace_only() {
        assert_eq!(Channels::new("k", "/a*[b]?", "u").pattern, r"k#/a\*\[b]\?#*");
    }

    #[test]
    fn the_room_is_cut_out_of_the_channel() {
        let channels = Channels::new("k", "/", "u");
        let table = [
            ("k#/#", Some("")),
            ("k#/#room#", Some("room")),
            ("k#/#a#b#", Some("a#b")),
            ("k#/#no hash", Some("no has")),
            ("k#/#é", Some("")),
            ("k#/chat#", None),
            ("other", None),
        ];
        for (channel, room) in table {
            assert_eq!(channels.room(channel), room, "{channel}");
        }
    }
}
