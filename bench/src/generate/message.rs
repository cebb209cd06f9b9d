//! The numbered message: what a sender puts into `data`, and how a receiver finds it again in whatever JSON the server
//! makes of it. Pure.
//!
//! `data` is the string `@PHASE:SENDER:NUMBER:xxxx…`.

use std::io::Write;
use std::sync::LazyLock;

use memchr::memmem::Finder;

static MARK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"@"));

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Which part of the run it belongs to; what comes late from an earlier one is told apart by it.
    pub phase: u32,
    /// The client that sent it.
    pub sender: u32,
    /// Counts what this sender sent in this phase, from 0.
    pub number: u64,
}

/// Appends the Socket.IO event that asks the server to send `label` and the padding to everyone in the room.
pub fn put_event(label: Label, room: &str, padding: &str, out: &mut Vec<u8>) {
    let Label { phase, sender, number } = label;
    let event =
        format_args!(r#"42["message",{{"room":"{room}","data":"@{phase}:{sender}:{number}:{padding}"}}]"#);
    let _ = out.write_fmt(event); // a Vec takes everything
}

/// The label in an event `message`.
pub fn label(packet: &[u8]) -> Option<Label> {
    let at = MARK.find(packet)? + MARK.needle().len();
    let mut rest = &packet[at..];
    let mut number = || {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let (value, len) = digits.fold((0u64, 0), |(value, len), digit| {
            (value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')), len + 1)
        });
        rest = rest.get(len..)?.strip_prefix(b":")?;
        (1..=19).contains(&len).then_some(value)
    };
    Some(Label { phase: number()?.try_into().ok()?, sender: number()?.try_into().ok()?, number: number()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_survives_the_server() {
        let sent = Label { phase: 3, sender: 999, number: 12_345_678_901 };
        let mut event = Vec::new();
        put_event(sent, "room 7", "xx", &mut event);
        assert_eq!(label(&event), Some(sent));
        let text = String::from_utf8(event).unwrap();
        assert_eq!(text, r#"42["message",{"room":"room 7","data":"@3:999:12345678901:xx"}]"#);
        let echoed = br#"42["message",{"id":"a-0-1","room":"room 7","at":1,"data":"@3:999:12345678901:xx"}]"#;
        assert_eq!(label(echoed), Some(sent));
    }

    #[test]
    fn what_is_no_label_is_none() {
        for packet in ["", "\"@", "\"@1:2", "\"@1:2:3", "\"@:2:3:", "\"@1:x:3:", "\"@1:99999999999:3:"] {
            assert_eq!(label(packet.as_bytes()), None, "{packet}");
        }
    }
}
