//! The configuration: from what was typed to the supervisor's plan.
//!
//! ```text
//!   flags ───────┐ highest
//!   environment ─┤            ┌───────┐ check ┌────────┐ plan ┌──────┐
//!   file ────────┴──────────▶ │  Low  │ ────▶ │ Config │ ───▶ │ Plan │
//!                    lowest   └───────┘       └────────┘      └──────┘
//!                             as it came,      every key       and what this
//!                             with its place   valid           machine adds
//! ```
//!
//! Every step complains about all that it finds, and the complaints come together at the end: after it nothing
//! is optional or unchecked. Called by the commands; nothing here starts anything.

mod boxes;
mod certificates;
mod check;
mod checked;
mod complaint;
mod edge;
mod environment;
mod file;
mod key;
mod listen;
mod machine;
mod plan;
mod reread;
#[cfg(test)]
mod tests;
mod typed;
mod value;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxherd_supervisor::plan::Plan;

use check::check;
pub use complaint::Complaints;
use environment::CONFIG_VARIABLE;
pub(crate) use environment::Environment;
pub(crate) use key::Key;
use machine::Machine;
pub(crate) use reread::rereader;
pub(crate) use typed::Value;
use typed::{Low, Origin};

/// The file that is read if none is named and this one exists.
const USUAL_FILE: &str = "/etc/oxherd/config.toml";

/// Bytes of a configuration file at most.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the command line says about the configuration. May hold a secret, so it cannot be printed.
#[derive(Clone, Default)]
pub(crate) struct Flags {
    /// `--config`
    pub(crate) file: Option<PathBuf>,
    /// Every flag that stands for a key, under the name it was typed with.
    pub(crate) keys: Vec<(Key, Value, &'static str)>,
}

/// A good configuration, and the file it was read from.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) plan: Plan,
    pub(crate) file: Option<PathBuf>,
    /// What is allowed and should not stay so.
    pub(crate) warnings: Vec<String>,
    /// As it was typed.
    low: Low,
}

/// Everything that a supervisor needs, or everything that is wrong.
pub(crate) fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, Complaints> {
    let mut complaints = Complaints::default();
    let (low, file) = typed(flags, environment, &mut complaints);
    let config = check(&low, &mut complaints);
    let (plan, mut warnings) = plan::plan(config, &Machine::this(environment), &low, &mut complaints);
    warnings.extend(boxes::warning(&plan).map(str::to_owned));
    if complaints.is_empty() { Ok(Loaded { plan, file, warnings, low }) } else { Err(complaints) }
}

/// Where the supervisor of this configuration can be asked. Only what decides that has to be right: one can ask a
/// box how it is while its file is being edited.
pub(crate) fn control_path(flags: &Flags, environment: &Environment) -> Result<PathBuf, Complaints> {
    let mut complaints = Complaints::default();
    let (low, _) = typed(flags, environment, &mut complaints);
    let config = check(&low, &mut complaints);
    let complaints =
        complaints.about(if config.control.is_some() { &[] } else { &[Key::Control, Key::Listen] });
    if !complaints.is_empty() {
        return Err(complaints);
    }
    Ok(plan::control(&config, &Machine::this(environment)).resolve(plan::first_port(&config)))
}

/// All layers, the lowest first.
fn typed(flags: &Flags, environment: &Environment, complaints: &mut Complaints) -> (Low, Option<PathBuf>) {
    let mut low = Low::default();
    let named = flags.file.clone().or_else(|| environment.path(CONFIG_VARIABLE));
    let file = named.or_else(|| Some(PathBuf::from(USUAL_FILE)).filter(|path| path.exists()));
    if let Some(path) = file.clone().map(Arc::new) {
        match text(&path) {
            Ok(text) => file::read(&path, &text, &mut low, complaints),
            Err(error) => complaints.place(Origin::File(path), "", format!("cannot read it: {error}")),
        }
    }
    environment.read(&mut low, complaints);
    for (key, value, flag) in &flags.keys {
        low.say(*key, value.clone(), Origin::Flag(flag));
    }
    (low, file)
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
