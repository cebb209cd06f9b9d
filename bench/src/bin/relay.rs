//! The floor between processes: two floors, and this process, which copies what one says to the other.
//!
//! `relay PORT` says "ready" when both of them listen; it ends with them.

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::thread;

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).ok_or("relay PORT")?;
    let floor = std::env::current_exe()?.with_file_name("floor");
    let front = |index: &str| -> io::Result<(Child, UnixStream)> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let child =
            Command::new(&floor).args([&port, "front", index]).stdin(OwnedFd::from(theirs)).spawn()?;
        ours.read_exact(&mut [0])?;
        Ok((child, ours))
    };
    let ((mut first, first_stream), (mut second, second_stream)) = (front("0")?, front("1")?);
    println!("ready");
    let (to_second, to_first) = (second_stream.try_clone()?, first_stream.try_clone()?);
    let forth = thread::spawn(|| copy(first_stream, to_second));
    copy(second_stream, to_first)?;
    forth.join().map_err(|_| "a thread failed")??;
    first.wait()?;
    second.wait()?;
    Ok(())
}

/// One read, one write.
fn copy(mut from: UnixStream, mut to: UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return to.shutdown(std::net::Shutdown::Write),
            len => to.write_all(&buffer[..len])?,
        }
    }
}
