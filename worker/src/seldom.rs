//! What would fill the log if it were said each time: how often it may be said.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What lasts, or comes and goes, is said again after this.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When the operator last heard of one thing.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// For a thing that nobody has heard of.
    pub const fn new() -> Self {
        Seldom(Mutex::new(None))
    }

    /// Whether it is to be said now.
    pub fn is_news(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = last.is_none_or(|last| now.duration_since(last) >= SAY_AGAIN_AFTER);
        if is_news {
            *last = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_once_in_a_while() {
        let (thing, start) = (Seldom::new(), Instant::now());
        let at = |seconds| thing.is_news(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61)], [true, false, false, true, false]);
    }
}
