//! Whom an operation addresses: `opts` on the wire, [`BroadcastOptions`] in socketioxide.
//!
//! Readers are tolerant, since emitters in other languages write `""`, `[]` or nothing where Node writes an empty
//! list; but what cannot be understood is an error and never "everybody".

use std::time::Duration;

use serde_json::Value as Json;
use socketioxide_core::adapter::{BroadcastFlags, BroadcastOptions, Room};

use super::{
    Malformed,
    msgpack::{Reader, Token},
    write,
};

/// The sockets in any of `rooms` (all if there is none), less those in any of `except`. A socket's id is a room.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Selection {
    pub rooms: Vec<Room>,
    pub except: Vec<Room>,
    pub flags: Flags,
}

/// The flags that matter to a receiver; others are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// May be dropped for clients that are not ready.
    pub volatile: bool,
    /// How long the sender waits for acknowledgements, in whole milliseconds on the wire.
    pub timeout: Option<Duration>,
}

impl Selection {
    /// What `opts` address beyond this server; `None` if that is nobody.
    pub(crate) fn from_options(opts: &BroadcastOptions) -> Option<Self> {
        let flags = Flags { volatile: opts.has_flag(BroadcastFlags::Volatile), timeout: None };
        let sid = opts.sid.map(|sid| Room::Owned(sid.to_string()));
        let broadcast = opts.has_flag(BroadcastFlags::Broadcast);
        if opts.rooms.is_empty() && !broadcast {
            return sid.map(|sid| Self { rooms: vec![sid], except: Vec::new(), flags });
        }
        let mut except: Vec<Room> = sid.filter(|_| broadcast).into_iter().collect();
        except.extend(opts.except.iter().cloned());
        Some(Self { rooms: opts.rooms.to_vec(), except, flags })
    }

    pub(crate) fn into_options(self) -> BroadcastOptions {
        let mut opts = BroadcastOptions::default();
        opts.rooms.extend(self.rooms);
        opts.except.extend(self.except);
        opts.add_flag(BroadcastFlags::Broadcast);
        if self.flags.volatile {
            opts.add_flag(BroadcastFlags::Volatile);
        }
        opts
    }

    /// Reads `opts` from msgpack. Nil is an error, as a message without `opts` is: it addresses nobody knows whom.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut selection = Self::default();
        match reader.token()? {
            Token::Map(len) => {
                for _ in 0..len {
                    match reader.token()?.scalar().as_deref() {
                        Some("rooms") => selection.rooms = read_rooms(reader)?,
                        Some("except") => selection.except = read_rooms(reader)?,
                        Some("flags") => selection.flags = read_flags(reader)?,
                        _ => reader.skip()?,
                    }
                }
            }
            // An empty map of PHP, an empty default of Python.
            Token::Array(0) | Token::Str([]) => {}
            _ => return Err(Malformed::Shape("opts are not a map")),
        }
        Ok(selection)
    }

    /// Reads `opts` from JSON, by the same rules.
    pub(crate) fn from_json(opts: &Json) -> Result<Self, Malformed> {
        match opts {
            Json::Object(opts) => Ok(Self {
                rooms: rooms_from_json(opts.get("rooms"))?,
                except: rooms_from_json(opts.get("except"))?,
                flags: Flags::default(),
            }),
            Json::Array(items) if items.is_empty() => Ok(Self::default()),
            _ => Err(Malformed::Shape("opts are not a map")),
        }
    }

    /// Appends `{rooms, except, flags}`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write::map(out, 3);
        for (key, rooms) in [("rooms", &self.rooms), ("except", &self.except)] {
            write::str(out, key);
            write::array(out, rooms.len());
            rooms.iter().for_each(|room| write::str(out, room));
        }
        write::str(out, "flags");
        write::map(out, usize::from(self.flags.volatile) + usize::from(self.flags.timeout.is_some()));
        if self.flags.volatile {
            write::str(out, "volatile");
            write::bool(out, true);
        }
        if let Some(timeout) = self.flags.timeout {
            write::str(out, "timeout");
            write::uint(out, timeout.as_millis().try_into().unwrap_or(u64::MAX));
        }
    }
}

/// A list of rooms from JSON; a lone text is one room, as a request's `rooms` may be.
pub(crate) fn rooms_from_json(rooms: Option<&Json>) -> Result<Vec<Room>, Malformed> {
    let list = match rooms {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::String(room)) if room.is_empty() => return Ok(Vec::new()),
        Some(Json::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    list.iter()
        .map(|room| scalar(room).map(Room::Owned).ok_or(Malformed::Shape("a room is not text")))
        .collect()
}

/// The text of an id or a room in JSON.
pub(crate) fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Array(_) | Json::Object(_) => None,
        other => Some(other.to_string()),
    }
}

fn read_rooms(reader: &mut Reader<'_>) -> Result<Vec<Room>, Malformed> {
    let first = reader.token()?;
    let room = |token: &Token<'_>| {
        let text = token.scalar().ok_or(Malformed::Shape("a room is not text"))?;
        Ok(Room::Owned(text.into_owned()))
    };
    match first {
        Token::Nil | Token::Str([]) => Ok(Vec::new()),
        Token::Array(len) => (0..len).map(|_| room(&reader.token()?)).collect(),
        one => Ok(vec![room(&one)?]),
    }
}

fn read_flags(reader: &mut Reader<'_>) -> Result<Flags, Malformed> {
    let mut flags = Flags::default();
    let Token::Map(len) = reader.peek()? else {
        reader.skip()?;
        return Ok(flags);
    };
    reader.token()?;
    for _ in 0..len {
        let key = reader.token()?.scalar().map(|key| key.into_owned());
        match (key.as_deref(), reader.peek()?) {
            (Some("volatile"), Token::Bool(volatile)) => flags.volatile = volatile,
            (Some("timeout"), Token::UInt(ms)) => flags.timeout = Some(Duration::from_millis(ms)),
            (Some("timeout"), Token::Float(ms)) => {
                flags.timeout = Duration::try_from_secs_f64(ms / 1000.0).ok();
            }
            _ => {}
        }
        reader.skip()?;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use socketioxide_core::Sid;

    use super::*;

    fn rooms(names: &[&'static str]) -> Vec<Room> {
        names.iter().map(|name| Room::Borrowed(name)).collect()
    }

    #[test]
    fn what_is_written_reads_back() {
        let selection = Selection {
            rooms: rooms(&["a", "b"]),
            except: rooms(&["c"]),
            flags: Flags { volatile: true, timeout: Some(Duration::from_millis(1500)) },
        };
        let mut out = Vec::new();
        selection.write(&mut out);
        assert_eq!(Selection::read(&mut Reader::new(&out)).unwrap(), selection);
    }

    #[test]
    fn empty_forms_of_other_emitters_are_empty_lists() {
        let table: &[&[u8]] = &[
            b"\x80",
            b"\x90",
            b"\xa0",
            b"\x82\xa5rooms\xa0\xa5flags\xa0",
            b"\x83\xa5rooms\xc0\xa6except\xc0\xa5flags\xc0",
            b"\x83\xa5rooms\x90\xa6except\x90\xa5flags\x90",
        ];
        for opts in table {
            assert_eq!(Selection::read(&mut Reader::new(opts)).unwrap(), Selection::default(), "{opts:02x?}");
        }
    }

    #[test]
    fn odd_rooms_never_mean_everybody() {
        assert!(Selection::read(&mut Reader::new(b"\xc0")).is_err());
        assert!(Selection::read(&mut Reader::new(b"\x81\xa5rooms\x81\xa1a\xa1b")).is_err());
        assert!(Selection::read(&mut Reader::new(b"\x81\xa5rooms\x91\x80")).is_err());
        let numeric = Selection::read(&mut Reader::new(b"\x81\xa5rooms\x93\x2a\xc0\xa1r")).unwrap();
        assert_eq!(numeric.rooms, rooms(&["42", "null", "r"]));
        let lone = Selection::read(&mut Reader::new(b"\x81\xa5rooms\xa3abc")).unwrap();
        assert_eq!(lone.rooms, rooms(&["abc"]));
        assert!(Selection::from_json(&serde_json::json!({ "rooms": [{}] })).is_err());
        assert!(Selection::from_json(&Json::Null).is_err());
    }

    #[test]
    fn socketioxide_options_translate_to_rooms_and_exceptions() {
        let sid = Sid::new();
        let id = Room::Owned(sid.to_string());
        assert_eq!(Selection::from_options(&BroadcastOptions::default()), None);
        let alone = Selection::from_options(&BroadcastOptions::new(sid)).unwrap();
        assert_eq!((alone.rooms, alone.except), (vec![id.clone()], vec![]));
        let mut opts = BroadcastOptions::new(sid);
        opts.rooms.push("r".into());
        let within = Selection::from_options(&opts).unwrap();
        assert_eq!((within.rooms, within.except), (rooms(&["r"]), vec![]));
        opts.add_flag(BroadcastFlags::Broadcast);
        opts.except.push("x".into());
        let to = Selection::from_options(&opts).unwrap();
        assert_eq!((to.rooms, to.except), (rooms(&["r"]), vec![id, "x".into()]));
    }
}
