//! What a client says about its connection: protocol, password, liveness, the end.

use super::{Allowed, Call, Flow, Goodbye, Spec};
use crate::broker::Kind;
use crate::client::Answers;
use crate::hold;
use crate::reply::Protocol;
use crate::scan::number;

/// The version of Redis whose behaviour this is; clients choose what they ask for by it.
pub(super) const REDIS_VERSION: &str = "7.0.15";

/// Databases that `SELECT` knows. Publish and subscribe are the same in all of them.
const DATABASES: i64 = 16;

const FAST: &[&str] = &["fast"];
const GREETING: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"];

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("ping", -1, Allowed::Subscribed, ping).flags(FAST),
    Spec::new("hello", -1, Allowed::Unauthenticated, hello).flags(GREETING),
    Spec::new("auth", -2, Allowed::Unauthenticated, auth).flags(GREETING),
    Spec::new("select", 2, Allowed::Usually, select).flags(&["loading", "stale", "fast"]),
    Spec::new("reset", 1, Allowed::Always, reset).flags(GREETING),
    Spec::new("quit", -1, Allowed::Always, quit).flags(GREETING),
];

fn ping(call: &mut Call<'_>) -> Flow {
    if call.args.len() > 2 {
        return call.error("wrong number of arguments for 'ping' command");
    }
    let payload = call.args.get(1);
    let subscribed = call.client.session.borrow().subscriptions() > 0;
    call.reply(|reply| match payload {
        _ if subscribed && call.client.protocol.get() == Protocol::Resp2 => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(payload.map_or(b"", |payload| payload));
        }
        None => reply.simple("PONG"),
        Some(payload) => reply.bulk(payload),
    })
}

fn hello(call: &mut Call<'_>) -> Flow {
    let protocol = match call.args.get(1).map(|version| number(version)) {
        None => call.client.protocol.get(),
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return call.reply(|reply| reply.error("NOPROTO unsupported protocol version")),
        Some(None) => return call.error("Protocol version is not an integer or out of range"),
    };
    let mut credentials = None;
    let mut name = None;
    let mut at = 2;
    while at < call.args.len() {
        if call.is(at, "auth") && at + 2 < call.args.len() {
            credentials = Some((&call.args[at + 1], &call.args[at + 2]));
            at += 3;
        } else if call.is(at, "setname") && at + 1 < call.args.len() {
            if !hold::is_valid(&call.args[at + 1]) {
                return call.error(super::client::BAD_NAME);
            }
            name = Some(&call.args[at + 1]);
            at += 2;
        } else {
            let option = super::printable(&call.args[at], 128);
            return call.error(&format!("Syntax error in HELLO option '{option}'"));
        }
    }
    if let Some((user, password)) = credentials
        && !admit(call, user, password)
    {
        return Flow::Next;
    }
    if !call.client.authenticated.get() {
        return call.reply(|reply| {
            reply.error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
                 <pass> option can be used to authenticate the client and select the RESP protocol version at \
                 the same time",
            );
        });
    }
    if let Some(name) = name {
        call.client.session.borrow_mut().name = String::from_utf8_lossy(name).into_owned();
    }
    call.client.protocol.set(protocol);
    call.reply(|reply| {
        reply.map(7);
        reply.bulk(b"server");
        reply.bulk(b"redis");
        reply.bulk(b"version");
        reply.bulk(REDIS_VERSION.as_bytes());
        reply.bulk(b"proto");
        reply.integer(protocol.number());
        reply.bulk(b"id");
        reply.integer(call.client.id.0 as i64);
        reply.bulk(b"mode");
        reply.bulk(b"standalone");
        reply.bulk(b"role");
        reply.bulk(b"master");
        reply.bulk(b"modules");
        reply.array(0);
    })
}

fn auth(call: &mut Call<'_>) -> Flow {
    let (user, password) = match call.args {
        [_, password] => {
            if call.broker.settings.password.is_none() {
                return call.error(
                    "AUTH <password> called without any password configured for the default user. Are you sure your \
                     configuration is correct?",
                );
            }
            (&b"default"[..], password)
        }
        [_, user, password] => (&**user, password),
        _ => return call.error("syntax error"),
    };
    if admit(call, user, password) { call.reply(|reply| reply.ok()) } else { Flow::Next }
}

/// Checks a password and tells the client if it is wrong. Without one configured, the default user has any.
fn admit(call: &Call<'_>, user: &[u8], password: &[u8]) -> bool {
    let right = call.broker.settings.password.as_ref().is_none_or(|secret| secret.is(password));
    if right && user == b"default" {
        call.client.authenticated.set(true);
        return true;
    }
    call.broker.counters.auth_failed.add(1);
    call.reply(|reply| reply.error("WRONGPASS invalid username-password pair or user is disabled."));
    false
}

fn select(call: &mut Call<'_>) -> Flow {
    match number(&call.args[1]).map(i32::try_from) {
        Some(Ok(index)) if (0..DATABASES).contains(&i64::from(index)) => call.reply(|reply| reply.ok()),
        Some(Ok(_)) => call.error("DB index is out of range"),
        Some(Err(_)) => call.error("value is out of range, value must between -2147483648 and 2147483647"),
        None => call.error("value is not an integer or out of range"),
    }
}

fn reset(call: &mut Call<'_>) -> Flow {
    call.broker.unsubscribe_all(call.client, Kind::Channel);
    call.broker.unsubscribe_all(call.client, Kind::Pattern);
    let client = call.client;
    client.protocol.set(Protocol::Resp2);
    client.answers.set(Answers::On);
    client.authenticated.set(client.is_trusted(&call.broker.settings));
    client.session.borrow_mut().name.clear();
    call.reply(|reply| reply.simple("RESET"))
}

fn quit(call: &mut Call<'_>) -> Flow {
    call.reply(|reply| reply.ok());
    Flow::Close(Goodbye::Quit)
}
