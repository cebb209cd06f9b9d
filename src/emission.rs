//! One event for clients, said by no client: by `POST /api/emit` and by `oxherd emit`.

use oxherd_worker::Cluster;
use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde_json::Value;

/// Bytes of the name of a namespace, a room or an event at most.
const NAME_BYTES_MAX: usize = 256;

/// Rooms in one message at most, those to leave out included.
const ROOMS_MAX: usize = 128;

/// What to say and to whom; without rooms, to everybody in the namespace.
pub(crate) struct Emission {
    pub(crate) namespace: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) except: Vec<String>,
    pub(crate) event: String,
    pub(crate) args: Vec<Value>,
}

impl Emission {
    /// Whether it makes sense, or why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Emission { namespace, rooms, except, event, .. } = self;
        let names = [namespace, event].into_iter().chain(rooms).chain(except);
        if !namespace.starts_with('/') {
            return Err("a namespace begins with a slash".to_owned());
        }
        if names.into_iter().any(|name| !(1..=NAME_BYTES_MAX).contains(&name.len())) {
            return Err(format!("namespace, event and rooms have 1 to {NAME_BYTES_MAX} bytes"));
        }
        if rooms.len() + except.len() > ROOMS_MAX {
            return Err(format!("{ROOMS_MAX} rooms at most, those to leave out included"));
        }
        Ok(())
    }

    /// Gives it to the cluster, which has it on its way when this returns.
    pub(crate) fn send(&self, cluster: &Cluster) -> Result<(), String> {
        let target = cluster.of(self.namespace.as_str());
        let target = self.rooms.iter().fold(target, |target, room| target.to(room.as_str()));
        let target = self.except.iter().fold(target, |target, room| target.except(room.as_str()));
        target.emit(&self.event, &Arguments(&self.args)).map_err(|error| error.to_string())
    }
}

/// The arguments of an event: a tuple, since a sequence would be one argument.
struct Arguments<'a>(&'a [Value]);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|argument| tuple.serialize_element(argument))?;
        tuple.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emission(namespace: &str, rooms: usize, event: &str) -> Emission {
        let rooms = (0..rooms).map(|room| room.to_string()).collect();
        Emission {
            namespace: namespace.into(),
            rooms,
            except: vec!["x".into()],
            event: event.into(),
            args: vec![],
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        assert_eq!(emission("/", 127, "news").check(), Ok(()));
        for (bad, why) in [
            (emission("chat", 0, "news"), "slash"),
            (emission("/", 0, ""), "1 to 256 bytes"),
            (emission(&format!("/{}", "n".repeat(256)), 0, "news"), "1 to 256 bytes"),
            (emission("/", 128, "news"), "128 rooms at most"),
        ] {
            assert!(bad.check().unwrap_err().contains(why), "{why}");
        }
    }
}
