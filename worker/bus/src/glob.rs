//! Redis' glob rules for patterns (`stringmatchlen` of its `util.c`), without its recursion.
//!
//! `*` any run, `?` any byte, `[a-z]`, `[^a]`, `\x` literally x. The corners are Redis' too: a class that is not closed
//! ends with the pattern, `]` right after `[` closes an empty class, a range may be written backwards, a `\` at the very
//! end is itself, an empty text matches the empty pattern only. Bytes compare unsigned. Each element but `*` takes exactly one byte, so going back to the *last* star
//! is enough, and a match costs at most pattern × text steps.

/// Whether `text` as a whole matches `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to resume when an element fails: the pattern after the last star, and the text that the star leaves to it.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, t));
            continue;
        }
        if let Some(&byte) = text.get(t) {
            if let Some(len) = element(&pattern[p..], byte) {
                (p, t) = (p + len, t + 1);
                continue;
            }
        } else {
            // A text at its end can only match a pattern at its end; a longer star would not help.
            return p == pattern.len();
        }
        let Some((after_star, taken)) = retry else { return false };
        (p, t) = (after_star, taken + 1);
        retry = Some((after_star, taken + 1));
    }
}

/// The length of the element at the head of `pattern` if it accepts `byte`.
fn element(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref class @ ..] => class_len(class, byte).map(|len| len + 1),
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
    }
}

/// The length of a class (what follows its `[`, the `]` included) if it accepts `byte`.
fn class_len(class: &[u8], byte: u8) -> Option<usize> {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match class[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [a, b'-', b, ..] => {
                found |= (a.min(b)..=a.max(b)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn patterns_match_as_in_redis() {
        // Each row was tried on Redis 7.0; `tests/same_as_redis.rs` compares random ones.
        let rows: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", false),
            ("**", "a", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("a*b", "axxb", true),
            ("a*b", "axxbc", false),
            ("*ab", "aab", true),
            ("a*b*c", "a1b2b3c", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("?", "", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[b-a]llo", "hallo", true),
            ("h[a-", "ha", true),
            ("h[a-", "h-", true),
            ("h[a", "ha", true),
            ("h[", "h", false),
            ("h[", "h[", false),
            ("h[^", "hx", true),
            ("h[]]", "h]", false),
            ("h[^]x", "hax", true),
            ("[\\]]", "]", true),
            ("[a\\-z]", "-", true),
            ("[a\\-z]", "m", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("*[0-9]", "a1b2", true),
            ("socket.io#/#*", "socket.io#/#room#", true),
            ("socket.io#/#*", "socket.io#/chat#", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), *expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = "a*".repeat(200) + "b";
        let text = "a".repeat(8000);
        let start = Instant::now();
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
