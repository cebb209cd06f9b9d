//! The command line: what was asked for. One file for each command that does something.

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod emit;
mod table;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flags, Key, Value};

use emit::EmitArguments;

/// Runs a Socket.IO application on every core. Without a command: serve.
///
/// Flags go over the environment (OXHERD_…), which goes over the file, which goes over the defaults. config.toml of the
/// distribution has all keys.
#[derive(Parser)]
#[command(name = "oxherd", version, after_help = crate::exit::HELP)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    flags: FlagArguments,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What can be done instead of serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check the configuration and start nothing
    Check,
    /// Publish an event to clients of the box, whatever worker they are on
    Emit(EmitArguments),
    #[command(flatten)]
    Ask(Question),
}

/// What a running box can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// Show the box and its workers
    Status {
        /// As one JSON object, whose fields stay as they are
        #[arg(long)]
        json: bool,
    },
    /// Read the configuration again and apply what changed, or refuse all of it
    Reload,
    /// Drain and stop the box, and wait for its end
    Stop,
    /// Replace one worker or the bus, and wait until the new one serves
    Restart {
        /// A worker's index, as `status` shows it, or "bus"
        #[arg(value_name = "WORKER|bus")]
        child: Child,
    },
}

/// What can be replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Child {
    /// The worker of this index.
    Worker(u16),
    Bus,
}

impl FromStr for Child {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "bus" => Ok(Child::Bus),
            index => index.parse().map(Child::Worker).map_err(|_| "expected a worker's index, or bus"),
        }
    }
}

// Values stay text here: one place checks those of all sources, and complains about all at once.
#[derive(Args)]
struct FlagArguments {
    /// Read this file [default: $OXHERD_CONFIG, else /etc/oxherd/config.toml if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen on IP:PORT, [IPV6]:PORT or unix:/PATH; may be given more than once [default: 127.0.0.1:3000]
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Workers [default: as many as there are cores to use]
    #[arg(long, global = true, value_name = "COUNT|auto")]
    workers: Option<String>,
    /// The Redis that connects this box with others; a password is safer in $OXHERD_REDIS_URL
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,
    /// The control socket [default: in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/oxherd or /tmp/oxherd-UID]
    #[arg(long, global = true, value_name = "PATH")]
    control: Option<String>,
    /// How connections find their worker: auto, source-ip or connection
    #[arg(long, global = true, value_name = "WAY")]
    affinity: Option<String>,
    /// Slots of each listener [default: 4 per core, at least 8]
    #[arg(long, global = true, value_name = "COUNT|auto")]
    slots: Option<String>,
    /// The box's name [default: the machine's]
    #[arg(long, global = true, value_name = "NAME")]
    host: Option<String>,
    /// text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Which events are logged, such as info,oxherd=debug
    #[arg(long, global = true, value_name = "FILTER")]
    log_filter: Option<String>,
}

impl CommandLine {
    /// Reads the arguments, the program's name first. The error is clap's, which prints help and version too.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        CommandLine::try_parse_from(arguments)
    }

    /// The flags as the configuration takes them.
    pub(crate) fn flags(&self) -> Flags {
        let FlagArguments {
            config,
            listen,
            workers,
            redis,
            control,
            affinity,
            slots,
            host,
            log_format,
            log_filter,
        } = &self.flags;
        let single = [
            (Key::Workers, workers, "--workers"),
            (Key::RedisUrl, redis, "--redis"),
            (Key::Control, control, "--control"),
            (Key::Affinity, affinity, "--affinity"),
            (Key::Slots, slots, "--slots"),
            (Key::Host, host, "--host"),
            (Key::LogFormat, log_format, "--log-format"),
            (Key::LogFilter, log_filter, "--log-filter"),
        ];
        let typed = |(key, text, flag): (Key, &Option<String>, &'static str)| {
            text.as_ref().map(|text| (key, Value::Text(text.clone()), flag))
        };
        let addresses =
            (!listen.is_empty()).then(|| (Key::Listen, Value::texts(listen, "--listen"), "--listen"));
        Flags { file: config.clone(), keys: single.into_iter().filter_map(typed).chain(addresses).collect() }
    }
}

/// Prints an answer. Whoever closed the pipe has read enough.
fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<CommandLine, clap::Error> {
        let arguments: Vec<_> = std::iter::once(&"herd").chain(arguments).map(OsString::from).collect();
        CommandLine::read(&arguments)
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_flag_may_stand_before_or_after_the_command() {
        for arguments in [["--control", "c.sock", "status"], ["status", "--control", "c.sock"]] {
            let line = read(&arguments).unwrap();
            assert!(matches!(line.command, Some(Command::Ask(Question::Status { json: false }))));
            let flags = line.flags();
            assert_eq!(flags.keys, [(Key::Control, Value::Text("c.sock".to_owned()), "--control")]);
        }
    }

    #[test]
    fn every_listen_counts() {
        let flags = read(&["--listen", "127.0.0.1:1", "--listen", "[::]:2"]).unwrap().flags();
        let Value::List(items) = &flags.keys[0].1 else { panic!("no list") };
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn help_speaks_of_the_program_that_was_called() {
        let help = read(&["--help"]).err().unwrap().to_string();
        assert!(help.contains("Usage: herd ") && help.contains("78"), "{help}");
        assert!(read(&["restart", "one"]).is_err() && read(&["upgrade"]).is_err());
    }
}
