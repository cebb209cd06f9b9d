//! Reading the configuration again for a running box: what it says now, and which keys ask for what a running box
//! cannot do.

use oxherd_supervisor::{Reread, Rereader};

use super::check::check;
use super::complaint::Complaints;
use super::environment::Environment;
use super::key::Key;
use super::typed::Low;
use super::{Flags, Loaded, load};

/// For the supervisor, which itself knows no configuration: reads it again from where `first` came from.
pub(crate) fn rereader(flags: Flags, environment: Environment, first: &Loaded) -> Rereader {
    let (file, low) = (first.file.clone(), first.low.clone());
    let is_one_of_many = first.plan.shared.boxes.is_some();
    Box::new(move || {
        // A pipe, as from a shell's `<(…)`, gives its text once, and then would keep the supervisor waiting.
        if let Some(path) = file.as_ref().filter(|path| path.exists() && !path.is_file()) {
            return Err(format!("\n  {}: it is no regular file, so it cannot be read again", path.display()));
        }
        let now = load(&flags, &environment).map_err(|complaints| complaints.to_string())?;
        let mut needs_restart = needs_restart(&low, &now.low);
        // Secrets change live, but the first one makes a box on a Redis one of many, and none makes it alone.
        if needs_restart.is_empty() && is_one_of_many != now.plan.shared.boxes.is_some() {
            needs_restart.push(Key::ClusterSecrets.name());
        }
        Ok(Reread { plan: now.plan, needs_restart, warnings: now.warnings })
    })
}

/// The names of the keys that mean something else now and cannot be applied live.
fn needs_restart(before: &Low, now: &Low) -> Vec<&'static str> {
    let keys = Key::ALL.into_iter().filter(|key| !key.is_live());
    keys.filter(|key| alone(before, *key) != alone(now, *key)).map(Key::name).collect()
}

/// The configuration as if this key were all that was typed: whatever a key means, two of these are equal exactly if
/// it means the same. A complaint about what is missing beside it is none here.
fn alone(low: &Low, key: Key) -> super::checked::Config {
    check(&low.only(key), &mut Complaints::default())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::super::file;
    use super::*;

    fn low(text: &str) -> Low {
        let (mut low, mut complaints) = (Low::default(), Complaints::default());
        file::read(&Arc::new(PathBuf::from("c.toml")), text, &mut low, &mut complaints);
        assert!(complaints.is_empty(), "{complaints}");
        low
    }

    #[test]
    fn a_key_needs_a_restart_when_it_means_something_else() {
        let before = "slots = 8\nhost = \"a\"\n[http]\nheader_timeout = \"60s\"\n[tls]\ncertificate = \"a\"\nkey = \"b\"\n";
        for (now, expected) in [
            (before.to_owned(), &[][..]),
            // Written otherwise, in another order, or as the default is.
            (before.replace("\"60s\"", "\"1m\""), &[]),
            (format!("workers = \"auto\"\n{before}"), &[]),
            (before.replace("slots = 8\nhost = \"a\"\n", "host = \"a\"\nslots = 8\n"), &[]),
            // Live.
            (before.replace("certificate = \"a\"", "certificate = [\"a\", \"c\"]"), &[]),
            (before.replace("slots = 8", "slots = 9"), &["slots"]),
            (before.replace("\"60s\"", "\"61s\""), &["http.header_timeout"]),
            (before.replace("host = \"a\"\n", ""), &["host"]),
            // Also keys that mean nothing without another one.
            (format!("{before}[redis]\nboot_wait = \"1s\"\n"), &["redis.boot_wait"]),
            (format!("{before}[cluster]\nadvertise = \"10.0.0.1:7000\"\n"), &["cluster.advertise"]),
            (
                format!("listen = \"127.0.0.1:1\"\naffinity = \"connection\"\n{before}"),
                &["listen", "affinity"],
            ),
        ] {
            assert_eq!(needs_restart(&low(before), &low(&now)), expected, "{now}");
        }
    }
}
