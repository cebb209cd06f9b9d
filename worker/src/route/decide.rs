//! Whose a request is: from its method, path and query to a route. Pure.

use engineioxide::control::SidParam;
use oxherd_contract::ids::{BoxId, WorkerId};
use thiserror::Error;

use super::tag::{Flaw, Owner, Secrets};
use crate::http::is_at_one_of;

/// Where a request is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Here. That includes all that is refused: the engine does that, inside the application's CORS layer.
    Ours,
    /// By another worker of this box.
    Sibling(WorkerId),
    /// By a worker of another box.
    Box { box_id: BoxId, worker: WorkerId },
}

/// What a request says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing: it is not the engine's, or it is none of a session's requests, such as a preflight.
    Nothing,
    /// It starts one.
    NewSession,
    /// It belongs to one that lives there.
    Session(Owner),
    /// It names one, in a way in which no server of the cluster ever did.
    Refused(Refusal),
}

/// Why the engine here refuses a request whose session may be alive elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("repeated")]
    Repeated,
    #[error(transparent)]
    Flaw(#[from] Flaw),
    #[error("dead worker")]
    DeadWorker,
    #[error("foreign box")]
    ForeignBox,
}

/// Who there is to route to.
pub(crate) trait Peers {
    fn is_alive(&self, worker: WorkerId) -> bool;
    /// Only one that is surely gone is not.
    fn may_be_alive(&self, box_id: BoxId) -> bool;
}

impl Claim {
    /// Reads a request. `engine_paths` start with a slash and end without one.
    pub fn of(method: &str, path: &str, query: &str, engine_paths: &[String], secrets: &Secrets) -> Claim {
        if !matches!(method, "GET" | "POST") || !is_at_one_of(path, engine_paths) {
            return Claim::Nothing;
        }
        match SidParam::of(query) {
            SidParam::Absent if method == "GET" => Claim::NewSession,
            SidParam::Absent => Claim::Nothing,
            SidParam::Repeated => Claim::Refused(Refusal::Repeated),
            SidParam::Once(id) => match secrets.owner(&id) {
                Ok(owner) => Claim::Session(owner),
                Err(flaw) => Claim::Refused(flaw.into()),
            },
        }
    }

    /// Where to, as seen by the worker `me`; for what will be refused here, why.
    pub fn route(self, me: Owner, peers: &impl Peers) -> Result<Route, Refusal> {
        match self {
            Claim::Nothing | Claim::NewSession => Ok(Route::Ours),
            Claim::Refused(refusal) => Err(refusal),
            Claim::Session(owner) if owner == me => Ok(Route::Ours),
            Claim::Session(Owner { box_id, worker }) if box_id == me.box_id => {
                peers.is_alive(worker).then_some(Route::Sibling(worker)).ok_or(Refusal::DeadWorker)
            }
            Claim::Session(Owner { box_id, worker }) => {
                peers.may_be_alive(box_id).then_some(Route::Box { box_id, worker }).ok_or(Refusal::ForeignBox)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engineioxide::control::SessionTagger;
    use engineioxide::socket::Sid;
    use oxherd_contract::secret::Secret;

    use super::super::request_line::RequestLine;
    use super::super::tag::Tagger;
    use super::*;

    const ME: Owner = owner(1, 1);

    /// Workers 1 and 2 live here, box 2 is known.
    struct Cluster;
    impl Peers for Cluster {
        fn is_alive(&self, worker: WorkerId) -> bool {
            worker.0 <= 2
        }
        fn may_be_alive(&self, box_id: BoxId) -> bool {
            box_id.0 == 2
        }
    }

    const fn owner(box_id: u64, worker: u64) -> Owner {
        Owner { box_id: BoxId(box_id), worker: WorkerId(worker) }
    }

    fn secrets() -> Arc<Secrets> {
        Secrets::new(&[Secret::new("a secret of many bytes")])
    }

    fn id(me: Owner) -> String {
        let sid = Sid::new();
        format!("{sid}.{}", Tagger { secrets: secrets(), me }.tag(sid))
    }

    fn claim(method: &str, path: &str, query: &str) -> Claim {
        Claim::of(method, path, query, &["/socket.io".to_owned(), "/other".to_owned()], &secrets())
    }

    fn route(query: &str) -> Result<Route, Refusal> {
        claim("GET", "/socket.io/", query).route(ME, &Cluster)
    }

    #[test]
    fn a_session_is_served_where_it_lives() {
        assert_eq!(route(&format!("EIO=4&sid={}", id(ME))), Ok(Route::Ours));
        let of_sibling = id(owner(1, 2));
        assert_eq!(route(&format!("sid={of_sibling}&transport=x")), Ok(Route::Sibling(WorkerId(2))));
        let encoded =
            format!("s%69d=%{:02X}{}", of_sibling.as_bytes()[0], &of_sibling[1..].replace('.', "%2e"));
        assert_eq!(route(&encoded), Ok(Route::Sibling(WorkerId(2))));
        let elsewhere = Route::Box { box_id: BoxId(2), worker: WorkerId(9) };
        assert_eq!(route(&format!("sid={}", id(owner(2, 9)))), Ok(elsewhere));
    }

    #[test]
    fn what_leads_nowhere_is_refused_here_and_it_is_known_why() {
        let of_sibling = id(owner(1, 2));
        let (sid, tag) = of_sibling.split_once('.').unwrap();
        for (query, refusal) in [
            (format!("sid={sid}"), Refusal::Flaw(Flaw::Bare)),
            ("sid=".to_owned(), Refusal::Flaw(Flaw::Bare)),
            ("sid".to_owned(), Refusal::Flaw(Flaw::Bare)),
            (format!("sid={}.{tag}", Sid::new()), Refusal::Flaw(Flaw::BrokenMac)),
            (format!("sid={of_sibling}."), Refusal::Flaw(Flaw::NotATag)),
            (format!("sid={of_sibling}&sid={of_sibling}"), Refusal::Repeated),
            (format!("sid={of_sibling}&%73id="), Refusal::Repeated),
            (format!("sid={}", id(owner(1, 3))), Refusal::DeadWorker),
            (format!("sid={}", id(owner(3, 1))), Refusal::ForeignBox),
        ] {
            assert_eq!(route(&query), Err(refusal), "{query}");
        }
    }

    /// `%41` is `A`, wherever it stands.
    fn decoded(bytes: &[u8]) -> String {
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (mut at, mut text) = (0, String::new());
        while let Some(byte) = bytes.get(at) {
            match (*byte, digit(at + 1), digit(at + 2)) {
                (b'%', Some(high), Some(low)) => {
                    text.push(char::from((high * 16 + low) as u8));
                    at += 3;
                }
                _ => {
                    text.push(char::from(*byte));
                    at += 1;
                }
            }
        }
        text
    }

    #[test]
    fn no_walk_through_broken_request_lines_forges_a_session() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize % below
        };
        let (secrets, paths) = (secrets(), ["/socket.io".to_owned()]);
        let ids = [owner(1, 2), owner(2, 9)].map(|owner| (owner, id(owner)));
        let mut found = 0;
        for _ in 0..100_000 {
            let (_, id) = &ids[random(2)];
            let mut line = format!("GET /socket.io/?EIO=4&sid={id}&transport=polling HTTP/1.1").into_bytes();
            for _ in 0..random(4) {
                if line.is_empty() {
                    break;
                }
                let at = random(line.len());
                match random(6) {
                    0 => line[at] = random(256) as u8,
                    1 => drop(line.remove(at)),
                    2 => line.insert(at, b"&=%.?sid"[random(8)]),
                    3 => {
                        line =
                            [&line[..at], format!("%{:02x}", line[at]).as_bytes(), &line[at + 1..]].concat()
                    }
                    4 => line = [&line[..at], format!("&sid={id}").as_bytes(), &line[at..]].concat(),
                    _ => line.truncate(at.max(1)),
                }
            }
            let RequestLine::Known { method, path, query } = RequestLine::of(&line) else { continue };
            let Claim::Session(owner) = Claim::of(method, path, query, &paths, &secrets) else { continue };
            let whose = ids.iter().find(|(one, _)| *one == owner).unwrap();
            assert!(decoded(&line).contains(&whose.1), "{}", line.escape_ascii());
            found += 1;
        }
        assert!(found > 10_000, "the walk met too few sessions: {found}");
    }

    #[test]
    fn only_a_get_of_the_engine_without_a_session_starts_one() {
        assert_eq!(claim("GET", "/socket.io/", "EIO=4&transport=polling"), Claim::NewSession);
        assert_eq!(claim("GET", "/other", ""), Claim::NewSession);
        for (method, path) in [
            ("POST", "/socket.io/"),
            ("OPTIONS", "/socket.io/"),
            ("GET", "/"),
            ("GET", ""),
            ("GET", "/socket.iona/"),
        ] {
            assert_eq!(claim(method, path, "EIO=4"), Claim::Nothing, "{method} {path}");
        }
        let of_sibling = id(owner(1, 2));
        for (method, path) in [("OPTIONS", "/socket.io/"), ("PUT", "/socket.io/"), ("GET", "/elsewhere")] {
            assert_eq!(claim(method, path, &format!("sid={of_sibling}")), Claim::Nothing, "{method} {path}");
        }
    }
}
