//! A map from prefixes to values that finds every prefix of a text without trying each: what makes `prefix*` patterns
//! cheap, and those are what each worker subscribes to.
//!
//! Strings that begin with P lie together in byte order, from P on. So when the greatest key up to the text is no
//! prefix of it, every prefix that is left is one of what the two have in common, and the search goes on there.

use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Debug)]
pub(crate) struct PrefixMap<V>(BTreeMap<Box<[u8]>, V>);

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> PrefixMap<V> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get_mut(&mut self, prefix: &[u8]) -> Option<&mut V> {
        self.0.get_mut(prefix)
    }

    pub(crate) fn insert(&mut self, prefix: &[u8], value: V) {
        self.0.insert(prefix.into(), value);
    }

    pub(crate) fn remove(&mut self, prefix: &[u8]) {
        self.0.remove(prefix);
    }

    /// Calls `found` with the value of each key that `text` begins with, the longest first.
    pub(crate) fn each_prefix_of(&self, text: &[u8], mut found: impl FnMut(&V)) {
        let mut up_to = Bound::Included(text);
        while let Some((key, value)) = self.0.range::<[u8], _>((Bound::Unbounded, up_to)).next_back() {
            let common = key.iter().zip(text).take_while(|(a, b)| a == b).count();
            up_to = if common == key.len() {
                found(value);
                Bound::Excluded(&text[..common])
            } else {
                Bound::Included(&text[..common])
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: &[&str], text: &str) -> Vec<String> {
        let mut map = PrefixMap::default();
        for key in keys {
            map.insert(key.as_bytes(), (*key).to_owned());
        }
        let mut all = Vec::new();
        map.each_prefix_of(text.as_bytes(), |key| all.push(key.clone()));
        all
    }

    #[test]
    fn finds_every_prefix_and_nothing_else() {
        assert_eq!(found(&["", "a", "ab", "abd", "b"], "abc"), ["ab", "a", ""]);
        assert_eq!(found(&["abc", "abcd"], "abc"), ["abc"]);
        assert_eq!(found(&["socket.io#/#", "socket.io#/a#"], "socket.io#/#r#"), ["socket.io#/#"]);
        assert!(found(&["x", "abz"], "abc").is_empty());
        assert!(found(&[], "abc").is_empty());
    }

    #[test]
    fn agrees_with_trying_each() {
        // All words over {a, b} up to length 4 against all sets of three of them.
        let words: Vec<String> = (0..5)
            .flat_map(|len| {
                (0..1 << len).map(move |bits| {
                    (0..len).map(|i| if bits >> i & 1 == 1 { 'b' } else { 'a' }).collect::<String>()
                })
            })
            .collect();
        for (i, a) in words.iter().enumerate() {
            for b in &words[i..] {
                for text in &words {
                    let mut expected: Vec<&String> =
                        [a, b].into_iter().filter(|k| text.starts_with(k.as_str())).collect();
                    expected.dedup();
                    expected.sort_by_key(|k| std::cmp::Reverse(k.len()));
                    assert_eq!(found(&[a, b], text).iter().collect::<Vec<_>>(), expected, "{a} {b} {text}");
                }
            }
        }
    }
}
