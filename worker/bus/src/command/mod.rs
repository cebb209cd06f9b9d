//! The commands: one table, looked up and checked in the order in which Redis does it, so that errors are the same.
//!
//! A command that is not here does not exist, as for a Redis without it. Each file holds the commands of one topic.

mod client;
mod pubsub;
mod server;
mod session;

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use crate::broker::Broker;
use crate::client::{Answers, Client};
use crate::reply::{Protocol, Reply};

/// What the connection does after a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flow {
    /// The next command.
    Next,
    /// This command again, when publishes are no longer held.
    Hold,
    /// Nothing more: send what is queued and close.
    Close(Goodbye),
}

/// Why a command ends its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Goodbye {
    Quit,
    /// An HTTP request: a browser was made to talk to us.
    CrossProtocol,
    /// Too many commands without a password.
    Stranger,
}

/// When a command may run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Allowed {
    /// Once authenticated, and in RESP2 only without subscriptions.
    Usually,
    /// Also with subscriptions in RESP2.
    Subscribed,
    /// Also before authentication.
    Unauthenticated,
    Always,
}

struct Spec {
    /// A subcommand's name contains its container's: `client|id`.
    name: &'static str,
    /// Arguments, the names included; negative: at least so many.
    arity: isize,
    allowed: Allowed,
    flags: &'static [&'static str],
    subcommands: &'static [Spec],
    run: fn(&mut Call<'_>) -> Flow,
}

impl Spec {
    const fn new(name: &'static str, arity: isize, allowed: Allowed, run: fn(&mut Call<'_>) -> Flow) -> Self {
        Self { name, arity, allowed, flags: &["loading", "stale"], subcommands: &[], run }
    }

    /// With Redis' flags where they say more than that the command is always there.
    const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    const fn subcommands(mut self, subcommands: &'static [Spec]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// The name within its container.
    fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, short)| short)
    }

    fn takes(&self, args: usize) -> bool {
        if self.arity < 0 { args >= self.arity.unsigned_abs() } else { args == self.arity.unsigned_abs() }
    }
}

/// Every command; the frequent ones first, since the search is a walk.
fn table() -> impl Iterator<Item = &'static Spec> {
    pubsub::COMMANDS.iter().chain(session::COMMANDS).chain(client::COMMANDS).chain(server::COMMANDS)
}

/// One command being executed.
struct Call<'a> {
    broker: &'a mut Broker,
    client: &'a Rc<Client>,
    args: &'a [Cow<'a, [u8]>],
}

impl Call<'_> {
    fn now(&self) -> Instant {
        self.broker.now
    }

    fn reply(&self, write: impl FnOnce(&mut Reply<'_>)) -> Flow {
        self.client.reply(self.now(), write);
        Flow::Next
    }

    /// Answers with an error of the general kind.
    fn error(&self, text: &str) -> Flow {
        self.reply(|reply| reply.error(&format!("ERR {text}")))
    }

    fn is(&self, arg: usize, word: &str) -> bool {
        self.args.get(arg).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// Executes one command of `client`; `args` may be empty, which is nothing to do.
pub(crate) fn execute(broker: &mut Broker, client: &Rc<Client>, args: &[Cow<'_, [u8]>]) -> Flow {
    broker.work += 1 + args.len() as u64;
    let Some(name) = args.first() else { return Flow::Next };
    // Words of an HTTP request (Redis does the same): never let a web page publish.
    if [&b"post"[..], b"host:"].iter().any(|word| name.eq_ignore_ascii_case(word)) {
        return Flow::Close(Goodbye::CrossProtocol);
    }
    if !client.authenticated.get() {
        client.stranger_commands.set(client.stranger_commands.get() + 1);
        if client.stranger_commands.get() > broker.settings.auth_commands_max {
            return Flow::Close(Goodbye::Stranger);
        }
    }
    let flow = dispatch(&mut Call { broker, client, args });
    if flow != Flow::Hold {
        broker.counters.commands.add(1);
        client.answers.set(match client.answers.get() {
            Answers::SkipNext => Answers::Skip,
            Answers::Skip => Answers::On,
            answers => answers,
        });
    }
    flow
}

fn dispatch(call: &mut Call<'_>) -> Flow {
    let named = |spec: &&Spec, arg: &[u8]| spec.short_name().as_bytes().eq_ignore_ascii_case(arg);
    let Some(mut spec) = table().find(|spec| named(spec, &call.args[0])) else {
        return call.error(&unknown(call.args));
    };
    if let (Some(arg), false) = (call.args.get(1), spec.subcommands.is_empty()) {
        match spec.subcommands.iter().find(|sub| named(sub, arg)) {
            Some(sub) => spec = sub,
            None => {
                let container = spec.name.to_ascii_uppercase();
                let arg = printable(arg, 128);
                return call.error(&format!("unknown subcommand '{arg}'. Try {container} HELP."));
            }
        }
    }
    // Redis lets QUIT pass whatever its arguments.
    if !spec.takes(call.args.len()) {
        return call.error(&format!("wrong number of arguments for '{}' command", spec.name));
    }
    let allowed = spec.allowed;
    if !call.client.authenticated.get() && !matches!(allowed, Allowed::Unauthenticated | Allowed::Always) {
        return call.reply(|reply| reply.error("NOAUTH Authentication required."));
    }
    let subscribed = call.client.session.borrow().subscriptions() > 0;
    if subscribed
        && call.client.protocol.get() == Protocol::Resp2
        && !matches!(allowed, Allowed::Subscribed | Allowed::Always)
    {
        return call.error(&format!(
            "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            spec.name
        ));
    }
    {
        let mut session = call.client.session.borrow_mut();
        session.last_command = spec.name;
        session.last_at = call.broker.now;
    }
    (spec.run)(call)
}

/// Redis' words for a command that it does not have, with the head of its arguments.
fn unknown(args: &[Cow<'_, [u8]>]) -> String {
    const ARGS_BYTES_SHOWN: usize = 128;
    let mut shown = String::new();
    for arg in &args[1..] {
        if shown.len() >= ARGS_BYTES_SHOWN {
            break;
        }
        shown.push_str(&format!("'{}' ", printable(arg, ARGS_BYTES_SHOWN - shown.len())));
    }
    format!("unknown command '{}', with args beginning with: {shown}", printable(&args[0], 128))
}

/// The head of an argument as C prints it: up to a zero byte.
fn printable(arg: &[u8], bytes_max: usize) -> Cow<'_, str> {
    let end = arg.iter().position(|&byte| byte == 0).unwrap_or(arg.len());
    String::from_utf8_lossy(&arg[..end.min(bytes_max)])
}

/// Answers `… HELP` of a container with the subcommands that it has.
fn help(call: &Call<'_>, container: &str, subcommands: &[Spec]) -> Flow {
    call.reply(|reply| {
        reply.array(subcommands.len() + 1);
        reply.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        for spec in subcommands {
            reply.simple(&spec.short_name().to_ascii_uppercase());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_unique() {
        let mut names: Vec<_> = table()
            .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
            .map(|spec| spec.name)
            .collect();
        assert!(names.iter().all(|name| name.to_ascii_lowercase() == *name));
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn arity_counts_names_too() {
        let spec = |arity| Spec::new("x", arity, Allowed::Usually, |_| Flow::Next);
        assert!(spec(2).takes(2) && !spec(2).takes(3));
        assert!(spec(-2).takes(2) && spec(-2).takes(9) && !spec(-2).takes(1));
    }

    #[test]
    fn an_unknown_command_shows_the_head_of_its_arguments() {
        let long = "y".repeat(200);
        let args: Vec<Cow<'_, [u8]>> =
            ["foo\0bar", "a", &long, "z"].map(|arg| Cow::Borrowed(arg.as_bytes())).into();
        let shown = unknown(&args);
        assert!(shown.starts_with("unknown command 'foo', with args beginning with: 'a' 'yyy"));
        assert!(shown.ends_with("y' ") && !shown.contains('z'));
    }
}
