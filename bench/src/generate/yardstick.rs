//! How fast the machine is while a run goes on: the CPU time of one small message sent and received over a loopback
//! connection, measured on the generator's thread all through the run.
//!
//! A virtual machine shares its cores with strangers; the same work took up to 1.7 times as long in one minute as in the
//! next, for the generator as for the server. What a delivery costs in yardsticks stays the same.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::measure::cpu;

/// A measurement takes about a hundredth of the generator's core.
const EVERY: Duration = Duration::from_millis(5);
const MESSAGES: u32 = 8;
/// As long as what a fan-out delivers.
const BYTES: usize = 220;

/// A connection to itself.
#[derive(Debug)]
pub(super) struct Yardstick {
    near: TcpStream,
    far: TcpStream,
    last: Instant,
    spent: Duration,
    messages: u32,
}

impl Yardstick {
    pub(super) fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        near.set_nodelay(true)?;
        Ok(Yardstick { near, far, last: Instant::now(), spent: Duration::ZERO, messages: 0 })
    }

    /// Measures, if it is time.
    pub(super) fn look(&mut self) -> io::Result<()> {
        if self.last.elapsed() >= EVERY {
            let before = cpu::of_this_thread();
            for _ in 0..MESSAGES {
                let mut message = [0; BYTES];
                self.near.write_all(&message)?;
                self.far.read_exact(&mut message)?;
            }
            self.spent += cpu::of_this_thread().saturating_sub(before);
            self.messages += MESSAGES;
            self.last = Instant::now();
        }
        Ok(())
    }

    /// The CPU time of one message, on average since the last time it was asked for.
    pub(super) fn take(&mut self) -> Duration {
        let spent = std::mem::take(&mut self.spent);
        spent / std::mem::take(&mut self.messages).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_some_time_and_is_counted_once() {
        let mut yardstick = Yardstick::new().unwrap();
        assert_eq!(yardstick.take(), Duration::ZERO);
        while yardstick.messages < 2 * MESSAGES {
            yardstick.look().unwrap();
        }
        let (spent, each) = (yardstick.spent, yardstick.take());
        assert!(each > Duration::ZERO && each * 2 * MESSAGES <= spent);
        assert_eq!(yardstick.take(), Duration::ZERO);
    }
}
