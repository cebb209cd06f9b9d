//! What clients may say: from any value to a meaning, or the words of the refusal. Pure.

use rmpv::Value;
use thiserror::Error;

/// Bytes of a room's name at most.
const ROOM_BYTES_MAX: usize = 256;

/// Rooms of one socket at most.
pub(crate) const ROOMS_PER_SOCKET_MAX: usize = 128;

/// Why an event has no effect; its text is the `error` of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("a room must be a string of 1 to {ROOM_BYTES_MAX} bytes")]
    Room,
    #[error("a socket can be in {ROOMS_PER_SOCKET_MAX} rooms at most")]
    TooManyRooms,
    #[error("a message must be an object {{room, data}}")]
    Message,
    #[error("unknown event: there are join, leave and message")]
    Event,
    #[error("the message could not be sent")]
    Send,
}

/// The argument of `join` and `leave`.
pub(crate) fn room(argument: Value) -> Result<String, Refusal> {
    match argument {
        Value::String(text) => {
            text.into_str().filter(|text| (1..=ROOM_BYTES_MAX).contains(&text.len())).ok_or(Refusal::Room)
        }
        _ => Err(Refusal::Room),
    }
}

/// The argument of `message`: its room and its data, which may be anything. Other fields are ignored.
pub(crate) fn message(argument: Value) -> Result<(String, Value), Refusal> {
    let Value::Map(fields) = argument else { return Err(Refusal::Message) };
    let (mut to, mut data) = (None, None);
    for (name, value) in fields {
        match name.as_str() {
            Some("room") => to = Some(room(value)?),
            Some("data") => data = Some(value),
            _ => {}
        }
    }
    to.zip(data).ok_or(Refusal::Message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, Value)]) -> Value {
        Value::Map(fields.iter().map(|(name, value)| (Value::from(*name), value.clone())).collect())
    }

    #[test]
    fn a_room_is_a_short_string() {
        assert_eq!(room("lobby".into()), Ok("lobby".to_owned()));
        assert_eq!(room("ö".repeat(ROOM_BYTES_MAX / 2).into()), Ok("ö".repeat(128)));
        let bad = [
            "".into(),
            "x".repeat(ROOM_BYTES_MAX + 1).into(),
            Value::Nil,
            1.into(),
            Value::Array(vec!["a".into()]),
        ];
        for argument in bad {
            assert_eq!(room(argument), Err(Refusal::Room));
        }
    }

    #[test]
    fn a_message_has_a_room_and_any_data() {
        for data in [Value::Nil, 1.5.into(), Value::Binary(vec![0, 255]), map(&[("text", "hi".into())])] {
            let argument = map(&[("data", data.clone()), ("room", "lobby".into()), ("more", 1.into())]);
            assert_eq!(message(argument), Ok(("lobby".to_owned(), data)));
        }
        for (argument, refusal) in [
            (Value::Nil, Refusal::Message),
            ("lobby".into(), Refusal::Message),
            (Value::Array(vec!["lobby".into(), 1.into()]), Refusal::Message),
            (map(&[("room", "lobby".into())]), Refusal::Message),
            (map(&[("data", 1.into())]), Refusal::Message),
            (map(&[("room", 7.into()), ("data", 1.into())]), Refusal::Room),
        ] {
            assert_eq!(message(argument), Err(refusal));
        }
    }
}
