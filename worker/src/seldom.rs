//! What lasts, or comes and goes, is said to the operator once in a while and not each time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same thing is said again after this.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When one thing was last said.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is to be said now; then it counts as said.
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
    fn what_lasts_is_said_once_in_a_while() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let at = |seconds| seldom.is_news(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61)], [true, false, false, true, false]);
    }
}
