//! Ending all sessions of a control, spread over time so that the reconnects are no storm.

use std::{num::NonZeroUsize, sync::atomic::Ordering, time::Duration};

use rand::RngExt;

use super::{CloseCode, Control};

/// How fast sessions are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Sessions ended at once.
    pub sessions: NonZeroUsize,
    /// Time to the next ones, each time varied by up to half of it in both directions.
    pub every: Duration,
}

impl Pace {
    fn jittered(self) -> Duration {
        self.every.mul_f64(rand::rng().random_range(0.5..1.5))
    }
}

impl Control {
    /// Ends every session, and resolves when the last one is gone; how many were ended is returned.
    ///
    /// New sessions are refused from the first poll on (503). `pace` is asked before each step, so it may follow a
    /// share that is handed out while sessions leave. Dropping the future stops the ending; the refusing stays.
    ///
    /// ```
    /// use std::{num::NonZeroUsize, time::Duration};
    /// use engineioxide::control::{CloseCode, Control, Pace};
    ///
    /// async fn drain(control: &Control) -> usize {
    ///     let pace = Pace { sessions: NonZeroUsize::MIN, every: Duration::from_millis(2) };
    ///     control.shutdown(CloseCode::SERVICE_RESTART, || pace).await
    /// }
    /// ```
    pub async fn shutdown(&self, code: CloseCode, mut pace: impl FnMut() -> Pace) -> usize {
        self.inner.leaving.store(true, Ordering::Release);
        let mut ended = 0;
        loop {
            let sessions = self.sessions();
            if sessions.is_empty() {
                break;
            }
            let mut remaining = &sessions[..];
            while !remaining.is_empty() {
                let pace = pace();
                let (now, later) = remaining.split_at(pace.sessions.get().min(remaining.len()));
                now.iter().for_each(|session| session.end(code));
                ended += now.len();
                remaining = later;
                if !remaining.is_empty() {
                    tokio::time::sleep(pace.jittered()).await;
                }
            }
            for session in sessions {
                session.closed().await;
            }
        }
        ended
    }
}
