//! Publish and subscribe.

use super::{Allowed, Call, Flow, Spec, help};
use crate::broker::Kind;
use crate::glob;
use crate::table::Name;

const SUBSCRIBING: &[&str] = &["pubsub", "noscript", "loading", "stale"];
const PUBLISHING: &[&str] = &["pubsub", "loading", "stale", "fast"];
const ASKING: &[&str] = &["pubsub", "loading", "stale"];

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("publish", 3, Allowed::Usually, publish).flags(PUBLISHING),
    Spec::new("subscribe", -2, Allowed::Subscribed, |call| subscribe(call, Kind::Channel)).flags(SUBSCRIBING),
    Spec::new("unsubscribe", -1, Allowed::Subscribed, |call| unsubscribe(call, Kind::Channel))
        .flags(SUBSCRIBING),
    Spec::new("psubscribe", -2, Allowed::Subscribed, |call| subscribe(call, Kind::Pattern))
        .flags(SUBSCRIBING),
    Spec::new("punsubscribe", -1, Allowed::Subscribed, |call| unsubscribe(call, Kind::Pattern))
        .flags(SUBSCRIBING),
    Spec::new("pubsub", -2, Allowed::Usually, |_| Flow::Next).flags(&[]).subcommands(PUBSUB),
];

const PUBSUB: &[Spec] = &[
    Spec::new("pubsub|channels", -2, Allowed::Usually, channels).flags(ASKING),
    Spec::new("pubsub|help", 2, Allowed::Usually, |call| help(call, "PUBSUB", PUBSUB)),
    Spec::new("pubsub|numpat", 2, Allowed::Usually, numpat).flags(ASKING),
    Spec::new("pubsub|numsub", -2, Allowed::Usually, numsub).flags(ASKING),
    // Shard channels exist in a Redis Cluster; as in a Redis without their subscribers, there are none.
    Spec::new("pubsub|shardchannels", -2, Allowed::Usually, shardchannels).flags(ASKING),
    Spec::new("pubsub|shardnumsub", -2, Allowed::Usually, |call| counts(call, |_, _| 0)).flags(ASKING),
];

fn publish(call: &mut Call<'_>) -> Flow {
    if call.broker.gate.is_holding() {
        return Flow::Hold;
    }
    let (channel, payload) = (&call.args[1], &call.args[2]);
    if channel.len() > call.broker.settings.name_bytes_max {
        return too_long(call, "channel");
    }
    let receivers = call.broker.publish(channel, payload);
    call.reply(|reply| reply.integer(receivers as i64))
}

fn subscribe(call: &mut Call<'_>, kind: Kind) -> Flow {
    for name in &call.args[1..] {
        match call.broker.subscribe(call.client, kind, name) {
            Ok(()) => confirm(call, kind, "subscribe", Some(name)),
            Err(error) => return call.reply(|reply| reply.error(&error.to_string())),
        }
    }
    Flow::Next
}

fn unsubscribe(call: &mut Call<'_>, kind: Kind) -> Flow {
    let all: Vec<Name>;
    let names: Vec<&[u8]> = if call.args.len() > 1 {
        call.args[1..].iter().map(|name| &**name).collect()
    } else {
        all = call.broker.names(call.client, kind);
        all.iter().map(|name| &**name).collect()
    };
    for name in &names {
        call.broker.unsubscribe(call.client, kind, name);
        confirm(call, kind, "unsubscribe", Some(name));
    }
    if names.is_empty() {
        confirm(call, kind, "unsubscribe", None);
    }
    Flow::Next
}

/// Tells a client about one of its subscriptions, with how many it has now.
fn confirm(call: &Call<'_>, kind: Kind, verb: &str, name: Option<&[u8]>) {
    let count = call.client.session.borrow().subscriptions();
    let verb = if kind == Kind::Pattern { format!("p{verb}") } else { verb.to_owned() };
    call.reply(|reply| {
        reply.push(3);
        reply.bulk(verb.as_bytes());
        match name {
            Some(name) => reply.bulk(name),
            None => reply.null(),
        }
        reply.integer(count as i64);
    });
}

fn channels(call: &mut Call<'_>) -> Flow {
    if call.args.len() > 3 {
        return syntax(call, "CHANNELS");
    }
    let pattern = call.args.get(2);
    call.broker.work += call.broker.table.channels() as u64;
    if pattern.is_some_and(|pattern| pattern.len() > call.broker.settings.name_bytes_max) {
        return too_long(call, "pattern");
    }
    let matching = |name: &&Name| pattern.is_none_or(|pattern| glob::matches(pattern, name));
    let names: Vec<&Name> = call.broker.table.channel_names().filter(matching).collect();
    call.reply(|reply| {
        reply.array(names.len());
        names.iter().for_each(|name| reply.bulk(name));
    })
}

fn shardchannels(call: &mut Call<'_>) -> Flow {
    if call.args.len() > 3 { syntax(call, "SHARDCHANNELS") } else { call.reply(|reply| reply.array(0)) }
}

fn numsub(call: &mut Call<'_>) -> Flow {
    counts(call, |call, channel| call.broker.table.members_of(channel))
}

/// Answers with each channel asked for and its count.
fn counts(call: &Call<'_>, count: impl Fn(&Call<'_>, &[u8]) -> usize) -> Flow {
    let channels = &call.args[2..];
    call.reply(|reply| {
        reply.array(2 * channels.len());
        for channel in channels {
            reply.bulk(channel);
            reply.integer(count(call, channel) as i64);
        }
    })
}

fn numpat(call: &mut Call<'_>) -> Flow {
    call.reply(|reply| reply.integer(call.broker.table.patterns() as i64))
}

fn too_long(call: &Call<'_>, what: &str) -> Flow {
    call.broker.counters.refused_limit.add(1);
    call.error(&format!("{what} is longer than {} bytes", call.broker.settings.name_bytes_max))
}

fn syntax(call: &Call<'_>, subcommand: &str) -> Flow {
    call.error(&format!(
        "unknown subcommand or wrong number of arguments for '{subcommand}'. Try PUBSUB HELP."
    ))
}
