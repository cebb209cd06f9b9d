//! What was typed: values as they came, each with the place it came from. Nothing is checked yet.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::key::Key;

/// One value and where it was typed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value before anybody asked what it means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// All that flags and the environment can say.
    Text(String),
    Integer(i64),
    Truth(bool),
    List(Vec<Typed>),
    Table(Vec<(String, Typed)>),
    /// What no key takes, by the name of its type and as it was written.
    Other(&'static str, String),
}

/// Where a value was typed; shown first in a complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `--workers`
    Flag(&'static str),
    /// `OXHERD_WORKERS`
    Environment(String),
    /// A line of a file, counted from 1.
    Line(Arc<PathBuf>, usize),
    /// A file as a whole.
    File(Arc<PathBuf>),
    /// Nowhere: it is a default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => f.write_str(name),
            Origin::Environment(name) => f.write_str(name),
            Origin::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// As it could stand in the file, for complaints.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => number.fmt(f),
            Value::Truth(truth) => truth.fmt(f),
            Value::Other(_, text) => f.write_str(text),
            Value::List(_) => f.write_str("[…]"),
            Value::Table(_) => f.write_str("{…}"),
        }
    }
}

impl Value {
    /// The texts of a flag that may be given more than once.
    pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a String>, flag: &'static str) -> Value {
        let typed = |text: &String| Typed { value: Value::Text(text.clone()), origin: Origin::Flag(flag) };
        Value::List(texts.into_iter().map(typed).collect())
    }

    /// What kind of thing it is, with its article.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Truth(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(kind, _) => kind,
        }
    }
}

/// All that was typed; of each key what the highest layer said. May hold a secret, so it cannot be printed.
#[derive(Clone, Default)]
pub(crate) struct Low(BTreeMap<Key, Typed>);

impl Low {
    /// Says something in a layer above all that was said so far.
    pub(crate) fn say(&mut self, key: Key, value: Value, origin: Origin) {
        self.0.insert(key, Typed { value, origin });
    }

    /// What was said about one key, without all the rest.
    pub(crate) fn only(&self, key: Key) -> Low {
        Low(self.0.get_key_value(&key).map(|(key, typed)| (*key, typed.clone())).into_iter().collect())
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Typed> {
        self.0.get(&key)
    }
}
