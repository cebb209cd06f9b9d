//! Complaints about a configuration: all are collected, and shown together.

use std::fmt;

use super::key::Key;
use super::typed::{Origin, Typed, Value};

/// The longest value that a complaint repeats.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// One thing that is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Complaint {
    origin: Origin,
    /// As it would be named in the file, such as `listen[1].mode`; empty when the file itself is meant.
    key: String,
    /// What was typed, if it may be shown.
    value: Option<String>,
    /// What is wrong or would be right.
    why: String,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Complaints(Vec<Complaint>);

impl Complaints {
    /// About the value of a key.
    pub(crate) fn value(&mut self, key: Key, typed: &Typed, why: impl Into<String>) {
        self.within(key.name().to_owned(), (!key.is_secret()).then_some(&typed.value), &typed.origin, why);
    }

    /// About a part of a key's value, which has a name of its own.
    pub(crate) fn within(
        &mut self,
        key: String,
        value: Option<&Value>,
        origin: &Origin,
        why: impl Into<String>,
    ) {
        let value = value.map(|value| shortened(value.to_string()));
        self.0.push(Complaint { origin: origin.clone(), key, value, why: why.into() });
    }

    /// About something that has no value, or one that must not be shown: nobody knows whether what stands
    /// behind an unknown key is a secret.
    pub(crate) fn place(&mut self, origin: Origin, key: impl Into<String>, why: impl Into<String>) {
        self.0.push(Complaint { origin, key: key.into(), value: None, why: why.into() });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one about this key or a part of its value.
    pub(crate) fn names(&self, key: Key) -> bool {
        self.0.iter().any(|complaint| {
            complaint
                .key
                .strip_prefix(key.name())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        })
    }

    /// Those about these keys only.
    pub(crate) fn about(self, keys: &[Key]) -> Complaints {
        let concerns = |complaint: &Complaint| {
            let alone = Complaints(vec![complaint.clone()]);
            keys.iter().any(|key| alone.names(*key))
        };
        Complaints(self.0.into_iter().filter(concerns).collect())
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        match (&self.value, self.key.as_str()) {
            (_, "") => {}
            (Some(value), key) => write!(f, "{key} = {value}: ")?,
            (None, key) => write!(f, "{key}: ")?,
        }
        f.write_str(&self.why)
    }
}

/// One a line.
impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|complaint| write!(f, "\n  {complaint}"))
    }
}

impl std::error::Error for Complaints {}

fn shortened(text: String) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
