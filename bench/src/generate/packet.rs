//! What a packet of a Socket.IO server (protocol 5 over Engine.IO 4) means to a client of the benchmark. Pure.

use super::message::{self, Label};

/// Between the packets of one polling body.
pub const SEPARATOR: u8 = 0x1e;

/// Opens the default namespace.
pub const CONNECT: &[u8] = b"40";
/// Answers a ping.
pub const PONG: &[u8] = b"3";
/// Asks whether a WebSocket works, in an upgrade.
pub const PROBE: &[u8] = b"2probe";
/// Completes an upgrade.
pub const UPGRADE: &[u8] = b"5";

/// The meaning of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The session is open; its id.
    Open(&'a str),
    /// The namespace is connected.
    Connected,
    /// The server's greeting; the index of the worker that holds the session.
    Welcome(u16),
    /// `join` was acknowledged.
    Joined,
    /// A numbered message.
    Message(Label),
    /// To be answered by [`PONG`].
    Ping,
    /// The probe was answered: the WebSocket works.
    Probed,
    /// The server ends the session or refuses it.
    End,
    /// Nothing that matters.
    Other,
}

/// Asks to be a member of a room.
pub fn join(room: &str) -> Vec<u8> {
    format!(r#"420["join","{room}"]"#).into_bytes()
}

/// Tells what a packet means.
pub fn hear(packet: &[u8]) -> Heard<'_> {
    if packet.starts_with(b"42[\"m") {
        return message::label(packet).map_or(Heard::Other, Heard::Message);
    }
    match packet {
        b"2" => Heard::Ping,
        b"3probe" => Heard::Probed,
        [b'0', b'{', ..] => after(packet, "\"sid\":\"")
            .and_then(|rest| rest.split('"').next())
            .map_or(Heard::End, Heard::Open),
        [b'4', b'0', ..] => Heard::Connected,
        [b'4', b'3', b'0', ..] => Heard::Joined,
        [b'1', ..] | [b'4', b'1' | b'4', ..] => Heard::End,
        _ if packet.starts_with(b"42[\"welcome\"") => {
            let digits = after(packet, "\"worker\":").and_then(|rest| rest.split([',', '}']).next());
            digits.and_then(|digits| digits.parse().ok()).map_or(Heard::Other, Heard::Welcome)
        }
        _ => Heard::Other,
    }
}

fn after<'a>(packet: &'a [u8], mark: &str) -> Option<&'a str> {
    str::from_utf8(packet).ok()?.split_once(mark).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_mean_what_the_protocol_says() {
        for (packet, meaning) in [
            (r#"0{"sid":"abc","upgrades":[],"pingInterval":25000}"#, Heard::Open("abc")),
            (r#"40{"sid":"xyz"}"#, Heard::Connected),
            (r#"42["welcome",{"id":"xyz","host":"a","worker":1,"generation":0}]"#, Heard::Welcome(1)),
            (r#"430[{"ok":true,"room":"r"}]"#, Heard::Joined),
            (r#"431[{"ok":true}]"#, Heard::Other),
            ("2", Heard::Ping),
            ("3probe", Heard::Probed),
            ("1", Heard::End),
            ("41", Heard::End),
            (r#"44{"message":"no"}"#, Heard::End),
            ("6", Heard::Other),
            ("", Heard::Other),
            (
                r#"42["message",{"room":"r","data":"@1:2:3:x"}]"#,
                Heard::Message(Label { phase: 1, sender: 2, number: 3 }),
            ),
        ] {
            assert_eq!(hear(packet.as_bytes()), meaning, "{packet}");
        }
    }
}
