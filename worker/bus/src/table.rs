//! Who listens to what: channels and patterns, each with its subscribers. Pure; the broker owns the one table.
//!
//! ```text
//!              ┌ channels        name     → members     one hash
//!   publish ──▶├ plain patterns  name     → members     one hash     `news`
//!              ├ prefixes        prefix   → members     a few steps  `socket.io#/#*`
//!              └ wild patterns   pattern  → members     one match each, bounded in bytes
//! ```

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::client::ClientId;
use crate::glob;
use crate::prefix::PrefixMap;

/// A channel's name or a pattern's text, shared by the table and the client's own list.
pub(crate) type Name = Rc<[u8]>;

/// The subscribers of one name in the order of their ids: found by halving, walked without hashing.
#[derive(Debug)]
pub(crate) struct Members<S>(Vec<(ClientId, S)>);

impl<S> Members<S> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &S> {
        self.0.iter().map(|(_, member)| member)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn insert(&mut self, id: ClientId, member: S) {
        if let Err(place) = self.0.binary_search_by_key(&id, |(id, _)| *id) {
            self.0.insert(place, (id, member));
        }
    }

    /// Whether somebody is left.
    fn remove(&mut self, id: ClientId) -> bool {
        if let Ok(place) = self.0.binary_search_by_key(&id, |(id, _)| *id) {
            self.0.remove(place);
        }
        !self.0.is_empty()
    }
}

#[derive(Debug)]
struct Pattern<S> {
    text: Name,
    members: Members<S>,
}

#[derive(Debug)]
pub(crate) struct Table<S> {
    channels: HashMap<Name, Members<S>>,
    plain: HashMap<Name, Pattern<S>>,
    prefixes: PrefixMap<Pattern<S>>,
    wild: BTreeMap<Name, Pattern<S>>,
    wild_bytes: usize,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self {
            channels: HashMap::new(),
            plain: HashMap::new(),
            prefixes: PrefixMap::default(),
            wild: BTreeMap::new(),
            wild_bytes: 0,
        }
    }
}

impl<S> Table<S> {
    pub(crate) fn subscribe(&mut self, channel: &Name, id: ClientId, member: S) {
        match self.channels.get_mut(&**channel) {
            Some(members) => members.insert(id, member),
            None => {
                self.channels.insert(channel.clone(), Members(vec![(id, member)]));
            }
        }
    }

    pub(crate) fn unsubscribe(&mut self, channel: &[u8], id: ClientId) {
        if self.channels.get_mut(channel).is_some_and(|members| !members.remove(id)) {
            self.channels.remove(channel);
        }
    }

    pub(crate) fn psubscribe(&mut self, text: &Name, id: ClientId, member: S) {
        let shape = Shape::of(text);
        let known = match shape {
            Shape::Plain => self.plain.get_mut(&**text),
            Shape::Prefix(prefix) => self.prefixes.get_mut(prefix),
            Shape::Wild => self.wild.get_mut(&**text),
        };
        if let Some(pattern) = known {
            return pattern.members.insert(id, member);
        }
        let pattern = Pattern { text: text.clone(), members: Members(vec![(id, member)]) };
        match shape {
            Shape::Plain => drop(self.plain.insert(text.clone(), pattern)),
            Shape::Prefix(prefix) => self.prefixes.insert(prefix, pattern),
            Shape::Wild => {
                self.wild_bytes += text.len();
                self.wild.insert(text.clone(), pattern);
            }
        }
    }

    pub(crate) fn punsubscribe(&mut self, text: &[u8], id: ClientId) {
        let shape = Shape::of(text);
        let known = match shape {
            Shape::Plain => self.plain.get_mut(text),
            Shape::Prefix(prefix) => self.prefixes.get_mut(prefix),
            Shape::Wild => self.wild.get_mut(text),
        };
        let anybody_left_or_unknown = known.is_none_or(|pattern| pattern.members.remove(id));
        if anybody_left_or_unknown {
            return;
        }
        match shape {
            Shape::Plain => drop(self.plain.remove(text)),
            Shape::Prefix(prefix) => self.prefixes.remove(prefix),
            Shape::Wild => {
                self.wild_bytes -= text.len();
                self.wild.remove(text);
            }
        }
    }

    /// Calls `found` once for the channel's own subscribers and once for each pattern that matches it, in Redis' order:
    /// the channel first.
    pub(crate) fn receivers(&self, channel: &[u8], mut found: impl FnMut(Option<&Name>, &Members<S>)) {
        if let Some(members) = self.channels.get(channel) {
            found(None, members);
        }
        let mut matched = |pattern: &Pattern<S>| found(Some(&pattern.text), &pattern.members);
        if let Some(pattern) = self.plain.get(channel) {
            matched(pattern);
        }
        // In Redis even `*` does not match the empty name.
        if channel.is_empty() {
            return;
        }
        self.prefixes.each_prefix_of(channel, &mut matched);
        self.wild.values().filter(|pattern| glob::matches(&pattern.text, channel)).for_each(matched);
    }

    /// Bytes that the wild patterns have together once `text` is one of them.
    pub(crate) fn wild_bytes_with(&self, text: &[u8]) -> usize {
        let is_new = matches!(Shape::of(text), Shape::Wild) && !self.wild.contains_key(text);
        self.wild_bytes + if is_new { text.len() } else { 0 }
    }

    pub(crate) fn members_of(&self, channel: &[u8]) -> usize {
        self.channels.get(channel).map_or(0, Members::len)
    }

    pub(crate) fn channel_names(&self) -> impl Iterator<Item = &Name> {
        self.channels.keys()
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Patterns that each publish is matched with one by one.
    pub(crate) fn wild(&self) -> usize {
        self.wild.len()
    }

    /// Distinct patterns, whatever the number of their subscribers.
    pub(crate) fn patterns(&self) -> usize {
        self.plain.len() + self.prefixes.len() + self.wild.len()
    }
}

/// How a pattern is looked up.
enum Shape<'a> {
    Plain,
    /// Without its one star.
    Prefix(&'a [u8]),
    Wild,
}

impl<'a> Shape<'a> {
    fn of(text: &'a [u8]) -> Self {
        match text.iter().position(|byte| b"*?[\\".contains(byte)) {
            None => Self::Plain,
            Some(at) if text[at] == b'*' && at + 1 == text.len() => Self::Prefix(&text[..at]),
            Some(_) => Self::Wild,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.as_bytes().into()
    }

    fn receivers(table: &Table<u64>, channel: &str) -> Vec<(String, Vec<u64>)> {
        let mut all = Vec::new();
        table.receivers(channel.as_bytes(), |pattern, members| {
            let text = pattern.map_or("-".to_owned(), |text| String::from_utf8_lossy(text).into_owned());
            all.push((text, members.iter().copied().collect()));
        });
        all
    }

    #[test]
    fn every_shape_of_pattern_is_found_once_per_publish() {
        let mut table = Table::default();
        table.subscribe(&name("news"), ClientId(2), 2);
        table.subscribe(&name("news"), ClientId(1), 1);
        table.subscribe(&name("news"), ClientId(1), 1);
        for pattern in ["news", "ne*", "*", "n?ws", "ne**", "x*", "y", "[x]"] {
            table.psubscribe(&name(pattern), ClientId(7), 7);
        }
        let expected: Vec<(String, Vec<u64>)> = [("-", vec![1, 2])]
            .into_iter()
            .chain(["news", "ne*", "*", "n?ws", "ne**"].map(|pattern| (pattern, vec![7])))
            .map(|(text, members)| (text.to_owned(), members))
            .collect();
        let mut found = receivers(&table, "news");
        assert_eq!(found.remove(0), expected[0]);
        found.sort();
        let mut rest = expected[1..].to_vec();
        rest.sort();
        assert_eq!(found, rest);
        assert_eq!(table.patterns(), 8);
        assert_eq!(table.members_of(b"news"), 2);
    }

    #[test]
    fn leaving_leaves_nothing_behind() {
        let mut table = Table::default();
        table.subscribe(&name("a"), ClientId(1), 1);
        table.unsubscribe(b"a", ClientId(2));
        assert_eq!(table.channels(), 1);
        table.unsubscribe(b"a", ClientId(1));
        assert_eq!(table.channels(), 0);
        for pattern in ["p", "p*", "*p"] {
            table.psubscribe(&name(pattern), ClientId(1), 1);
            table.psubscribe(&name(pattern), ClientId(2), 2);
            table.punsubscribe(pattern.as_bytes(), ClientId(1));
            assert_eq!(table.patterns(), 1);
            table.punsubscribe(pattern.as_bytes(), ClientId(2));
            assert_eq!(table.patterns(), 0);
        }
        assert_eq!(table.wild_bytes_with(b"plain"), 0);
        assert_eq!(table.wild_bytes_with(b"?"), 1);
    }
}
