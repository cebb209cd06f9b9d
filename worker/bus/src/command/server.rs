//! What the broker says about itself: `INFO` and `COMMAND`.

use std::fmt::Write;

use super::session::REDIS_VERSION;
use super::{Allowed, Call, Flow, Spec, help, table};
use crate::reply::Reply;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("info", -1, Allowed::Usually, info),
    Spec::new("command", -1, Allowed::Usually, command).subcommands(COMMAND),
];

const COMMAND: &[Spec] = &[
    Spec::new("command|count", 2, Allowed::Usually, count),
    Spec::new("command|docs", -2, Allowed::Usually, docs),
    Spec::new("command|help", 2, Allowed::Usually, |call| help(call, "COMMAND", COMMAND)),
    Spec::new("command|info", -2, Allowed::Usually, command_info),
    Spec::new("command|list", -2, Allowed::Usually, list),
];

/// A section of `INFO`: its name and what appends its lines.
type Section = (&'static str, fn(&Call<'_>, &mut String));

const SECTIONS: &[Section] = &[
    ("Server", server),
    ("Clients", clients),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
];

fn info(call: &mut Call<'_>) -> Flow {
    let everything =
        call.args.len() == 1 || ["all", "default", "everything"].iter().any(|all| call.is(1, all));
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if everything || (1..call.args.len()).any(|arg| call.is(arg, name)) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            text.push_str(&format!("{gap}# {name}\r\n"));
            write(call, &mut text);
        }
    }
    call.reply(|reply| reply.text(&text))
}

/// One line of `INFO`.
fn field(text: &mut String, key: &str, value: impl std::fmt::Display) {
    // Writing to a String does not fail.
    let _ = write!(text, "{key}:{value}\r\n");
}

fn server(call: &Call<'_>, text: &mut String) {
    field(text, "redis_version", REDIS_VERSION);
    field(text, "redis_mode", "standalone");
    field(text, "oxherd_bus_version", env!("CARGO_PKG_VERSION"));
    field(text, "process_id", std::process::id());
    field(text, "uptime_in_seconds", call.now().saturating_duration_since(call.broker.started).as_secs());
}

fn clients(call: &Call<'_>, text: &mut String) {
    field(text, "connected_clients", call.broker.clients.len());
    field(text, "maxclients", call.broker.settings.clients_max);
}

/// Client libraries wait for `loading:0` before they call themselves ready.
fn persistence(_: &Call<'_>, text: &mut String) {
    field(text, "loading", 0);
}

fn stats(call: &Call<'_>, text: &mut String) {
    let counters = &call.broker.counters;
    field(text, "total_connections_received", counters.accepted.get());
    field(text, "total_commands_processed", counters.commands.get());
    field(text, "total_net_input_bytes", counters.bytes_in.get());
    field(text, "total_net_output_bytes", counters.bytes_out.get());
    field(text, "rejected_connections", counters.refused_full.get());
    field(text, "pubsub_channels", call.broker.table.channels());
    field(text, "pubsub_patterns", call.broker.table.patterns());
    field(text, "client_output_buffer_limit_disconnections", counters.cut_slow.get());
    field(text, "oxherd_published", counters.published.get());
    field(text, "oxherd_delivered", counters.delivered.get());
    field(text, "oxherd_holding", counters.holding.get());
}

fn replication(_: &Call<'_>, text: &mut String) {
    field(text, "role", "master");
    field(text, "connected_slaves", 0);
}

fn command(call: &mut Call<'_>) -> Flow {
    call.reply(|reply| {
        reply.array(table().count());
        table().for_each(|spec| entry(reply, spec));
    })
}

fn command_info(call: &mut Call<'_>) -> Flow {
    let names = &call.args[2..];
    if names.is_empty() {
        return command(call);
    }
    call.reply(|reply| {
        reply.array(names.len());
        for name in names {
            match table().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name)) {
                Some(spec) => entry(reply, spec),
                None => reply.null(),
            }
        }
    })
}

/// One entry in the shape of Redis 7: categories, tips, key specifications and subcommands are left empty.
fn entry(reply: &mut Reply<'_>, spec: &Spec) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(spec.arity as i64);
    reply.set(spec.flags.len());
    spec.flags.iter().for_each(|flag| reply.simple(flag));
    (0..3).for_each(|_| reply.integer(0));
    reply.set(0);
    (0..3).for_each(|_| reply.array(0));
}

fn count(call: &mut Call<'_>) -> Flow {
    call.reply(|reply| reply.integer(table().count() as i64))
}

/// No documentation: `redis-cli` asks for it and does without.
fn docs(call: &mut Call<'_>) -> Flow {
    call.reply(|reply| reply.map(0))
}

fn list(call: &mut Call<'_>) -> Flow {
    if call.args.len() > 2 {
        return call.error("syntax error");
    }
    call.reply(|reply| {
        reply.array(table().count());
        table().for_each(|spec| reply.bulk(spec.name.as_bytes()));
    })
}
