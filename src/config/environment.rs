//! The environment: `OXHERD_*` variables to what was typed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::complaint::Complaints;
use super::key::{ENVIRONMENT_PREFIX, Key};
use super::typed::{Low, Origin, Typed, Value};

/// The variable that names the file, and so is no key in it.
pub(crate) const CONFIG_VARIABLE: &str = "OXHERD_CONFIG";

/// A copy of the process's environment, which cannot be printed. An empty variable counts as absent, as it does for systemd and shells.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// This process's own.
    pub(crate) fn of_this_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The path in a variable.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(name).map(PathBuf::from)
    }

    /// The first absolute path in a list that is separated by colons (`systemd.exec(5)`, `RuntimeDirectory=`).
    pub(crate) fn directory(&self, name: &str) -> Option<PathBuf> {
        let value = self.0.get(name)?;
        std::env::split_paths(value).find(|path| path.is_absolute())
    }

    /// Puts the `OXHERD_*` variables over what was typed so far.
    pub(crate) fn read(&self, low: &mut Low, complaints: &mut Complaints) {
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX));
        for (name, value) in ours.filter(|(name, _)| *name != CONFIG_VARIABLE) {
            let origin = Origin::Environment(name.clone());
            let key = Key::ALL.into_iter().find(|key| key.variable() == *name);
            match (key, value.to_str()) {
                (None, _) => complaints.place(origin, "", "no such key: see config.toml for all of them"),
                (Some(key), None) => complaints.place(origin, key.name(), "expected UTF-8"),
                (Some(key), Some(text)) if key.is_list() => low.say(key, list(text, &origin), origin),
                (Some(key), Some(text)) => low.say(key, Value::Text(text.to_owned()), origin),
            }
        }
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        let named = variables.into_iter().filter(|(_, value)| !value.is_empty());
        Environment(named.filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect())
    }
}

fn list(text: &str, origin: &Origin) -> Value {
    let item = |item: &str| Typed { value: Value::Text(item.trim().to_owned()), origin: origin.clone() };
    Value::List(text.split(',').map(item).collect())
}
