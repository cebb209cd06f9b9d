//! `CLIENT`: what a connection is called and who else is here.

use super::{Allowed, Call, Flow, Spec, help};
use crate::client::{Answers, Client};
use crate::hold;
use crate::reply::Protocol;
use crate::scan::number;

pub(super) const BAD_NAME: &str = "Client names cannot contain spaces, newlines or special characters.";

const PLAIN: &[&str] = &["noscript", "loading", "stale"];

pub(super) const COMMANDS: &[Spec] =
    &[Spec::new("client", -2, Allowed::Usually, |_| Flow::Next).flags(&[]).subcommands(CLIENT)];

const CLIENT: &[Spec] = &[
    Spec::new("client|getname", 2, Allowed::Usually, getname).flags(PLAIN),
    Spec::new("client|help", 2, Allowed::Usually, |call| help(call, "CLIENT", CLIENT)),
    Spec::new("client|id", 2, Allowed::Usually, id).flags(PLAIN),
    Spec::new("client|info", 2, Allowed::Usually, info).flags(PLAIN),
    Spec::new("client|list", -2, Allowed::Usually, list).flags(&["admin", "noscript", "loading", "stale"]),
    Spec::new("client|no-evict", 3, Allowed::Usually, on_or_off).flags(PLAIN),
    Spec::new("client|no-touch", 3, Allowed::Usually, on_or_off).flags(PLAIN),
    Spec::new("client|reply", 3, Allowed::Usually, reply_mode).flags(PLAIN),
    Spec::new("client|setinfo", 4, Allowed::Usually, setinfo).flags(PLAIN),
    Spec::new("client|setname", 3, Allowed::Usually, setname).flags(PLAIN),
];

fn getname(call: &mut Call<'_>) -> Flow {
    let session = call.client.session.borrow();
    call.reply(
        |reply| if session.name.is_empty() { reply.null() } else { reply.bulk(session.name.as_bytes()) },
    )
}

fn setname(call: &mut Call<'_>) -> Flow {
    match valid(&call.args[2]) {
        Some(name) => call.client.session.borrow_mut().name = name,
        None => return call.error(BAD_NAME),
    }
    call.reply(|reply| reply.ok())
}

/// Since Redis 7.2; libraries send it at connect.
fn setinfo(call: &mut Call<'_>) -> Flow {
    let option = super::printable(&call.args[2], 128);
    let Some(value) = valid(&call.args[3]) else {
        return call.error(&format!("{option} cannot contain spaces, newlines or special characters."));
    };
    if call.is(2, "lib-name") {
        call.client.session.borrow_mut().library = value;
    } else if call.is(2, "lib-ver") {
        call.client.session.borrow_mut().library_version = value;
    } else {
        return call.error(&format!("Unrecognized option '{option}'"));
    }
    call.reply(|reply| reply.ok())
}

fn valid(text: &[u8]) -> Option<String> {
    hold::is_valid(text).then(|| String::from_utf8_lossy(text).into_owned())
}

fn id(call: &mut Call<'_>) -> Flow {
    call.reply(|reply| reply.integer(call.client.id.0 as i64))
}

/// No client is ever evicted and there are no keys to touch: accepted, without effect.
fn on_or_off(call: &mut Call<'_>) -> Flow {
    if call.is(2, "on") || call.is(2, "off") {
        call.reply(|reply| reply.ok())
    } else {
        call.error("syntax error")
    }
}

fn reply_mode(call: &mut Call<'_>) -> Flow {
    if call.is(2, "on") {
        call.client.answers.set(Answers::On);
        call.reply(|reply| reply.ok())
    } else if call.is(2, "off") {
        call.client.answers.set(Answers::Off);
        Flow::Next
    } else if call.is(2, "skip") {
        if call.client.answers.get() != Answers::Off {
            call.client.answers.set(Answers::SkipNext);
        }
        Flow::Next
    } else {
        call.error("syntax error")
    }
}

fn info(call: &mut Call<'_>) -> Flow {
    let line = describe(call, call.client);
    call.reply(|reply| reply.text(&line))
}

fn list(call: &mut Call<'_>) -> Flow {
    let wanted: Box<dyn Fn(&Client) -> bool> = if call.args.len() == 2 {
        Box::new(|_| true)
    } else if call.args.len() == 4 && call.is(2, "type") {
        if call.is(3, "pubsub") {
            Box::new(is_subscriber)
        } else if call.is(3, "normal") {
            Box::new(|client| !is_subscriber(client))
        } else if call.is(3, "master") || call.is(3, "replica") || call.is(3, "slave") {
            Box::new(|_| false)
        } else {
            let kind = super::printable(&call.args[3], 128);
            return call.error(&format!("Unknown client type '{kind}'"));
        }
    } else if call.args.len() > 3 && call.is(2, "id") {
        let Some(ids) = call.args[3..].iter().map(|id| number(id)).collect::<Option<Vec<_>>>() else {
            return call.error("Invalid client ID");
        };
        Box::new(move |client| ids.contains(&(client.id.0 as i64)))
    } else {
        return call.error("syntax error");
    };
    call.broker.work += call.broker.clients.len() as u64;
    let clients = call.broker.clients.values();
    let lines: String =
        clients.filter(|client| wanted(client)).map(|client| describe(call, client)).collect();
    call.reply(|reply| reply.text(&lines))
}

fn is_subscriber(client: &Client) -> bool {
    client.session.borrow().subscriptions() > 0
}

/// One line of `CLIENT LIST`, with Redis' fields in Redis' order; what has no meaning here is 0.
fn describe(call: &Call<'_>, client: &Client) -> String {
    let session = client.session.borrow();
    let outbox = client.outbox.borrow();
    let now = call.now();
    let flags = match (is_subscriber(client), client.origin == crate::client::Origin::Unix) {
        (true, true) => "PU",
        (true, false) => "P",
        (false, true) => "U",
        (false, false) => "N",
    };
    format!(
        "id={id} addr={addr} laddr=oxherd:0 fd=0 name={name} age={age} idle={idle} flags={flags} db=0 sub={sub} \
         psub={psub} ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={oll} \
         omem={omem} tot-mem={omem} events=r cmd={cmd} user=default redir=-1 resp={resp} lib-name={lib} \
         lib-ver={lib_ver}\n",
        id = client.id.0,
        addr = client.origin,
        name = session.name,
        age = now.saturating_duration_since(client.since).as_secs(),
        idle = now.saturating_duration_since(session.last_at).as_secs(),
        sub = session.channels.len(),
        psub = session.patterns.len(),
        oll = outbox.queued_frames(),
        omem = outbox.owed_bytes(),
        cmd = session.last_command,
        resp = if client.protocol.get() == Protocol::Resp3 { 3 } else { 2 },
        lib = session.library,
        lib_ver = session.library_version,
    )
}
