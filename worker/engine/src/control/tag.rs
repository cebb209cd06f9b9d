//! Session tags: what a cluster appends to session ids so that its routers find the owner.

use engineioxide_core::Sid;

/// Makes and checks the tag of a session id. The client gets and repeats `<sid>.<tag>`.
///
/// The engine writes the tag into the open packet and accepts a request for a session only if its tag passes. It reads
/// exactly one `sid` parameter, percent-decoded, and hands over everything after the first dot. A tag consists of
/// characters that need no escape in a URL or in JSON.
///
/// ```
/// use engineioxide::{control::SessionTagger, socket::Sid};
///
/// /// Says which worker a session lives in. A real one adds a keyed hash and compares it in constant time.
/// struct WorkerTag(u16);
///
/// impl SessionTagger for WorkerTag {
///     fn tag(&self, _: Sid) -> String {
///         format!("w{}", self.0)
///     }
///     fn check(&self, sid: Sid, tag: &str) -> bool {
///         tag == self.tag(sid)
///     }
/// }
/// # let tagger = WorkerTag(3);
/// # assert!(tagger.check(Sid::ZERO, "w3") && !tagger.check(Sid::ZERO, "w4"));
/// ```
pub trait SessionTagger: Send + Sync + 'static {
    /// The tag of a new session.
    fn tag(&self, sid: Sid) -> String;

    /// Whether a client that shows this tag may use the session.
    fn check(&self, sid: Sid, tag: &str) -> bool;
}
