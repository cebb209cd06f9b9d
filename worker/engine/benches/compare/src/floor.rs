//! The floor: one bare `send(2)` of a ready frame for each recipient, and nothing else.

use std::{
    io::{self, BufRead, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{cpu_us, memory_kb, now_ns, padding};

pub fn run() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let clients = Arc::new(Mutex::new(Vec::<TcpStream>::new()));
    let own = clients.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            own.lock().unwrap().push(shake_hands(stream.unwrap()).unwrap());
        }
    });
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<u64> = line.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
        let mut spent = cpu_us();
        if let [rate, seconds, bytes] = words[..] {
            let before = spent;
            broadcast(&mut clients.lock().unwrap(), rate, seconds, bytes as usize);
            spent = cpu_us() - before;
        }
        println!("{spent} {} floor", memory_kb());
    }
    Ok(())
}

/// The load generator does not look at the accept key.
fn shake_hands(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let mut request = [0; 1024];
    let _ = stream.read(&mut request)?;
    stream.write_all(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
    stream.write_all(b"\x81\x020{\x81\x0340{")?;
    Ok(stream)
}

fn broadcast(clients: &mut [TcpStream], rate: u64, seconds: u64, bytes: usize) {
    let padding = padding(bytes);
    let begun = Instant::now();
    for n in 0..rate * seconds {
        let due = Duration::from_nanos(n * 1_000_000_000 / rate);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let text = format!("42[\"m\",{},\"{padding}\"]", now_ns());
        let mut frame = vec![0x81];
        match text.len() {
            len @ 0..=125 => frame.push(len as u8),
            len @ 126..=0xFFFF => {
                frame.push(126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend(text.as_bytes());
        for client in &mut *clients {
            let _ = client.write_all(&frame);
        }
    }
}
