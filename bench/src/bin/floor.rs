//! The floor: what nobody can be below who writes one frame to each recipient. One thread; a message costs one frame
//! made and one bare `send(2)` for each member of the room, and nothing else.
//!
//! `floor PORT [drop|double|reorder]` serves the events of oxherd's stock server, WebSocket only. With a fault it treats
//! the tenth message of a room wrongly for its first member: that is how the checker is checked.

use std::collections::HashMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use bench::generate::frame::{self, Opcode};
use memchr::memmem;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

const FAULTY_MESSAGE: u64 = 10;

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Drop,
    Double,
    Reorder,
}

struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    is_open: bool,
}

#[derive(Default)]
struct Room {
    members: Vec<u64>,
    messages: u64,
    /// What is to be overtaken.
    held: Vec<u8>,
}

struct Floor {
    clients: HashMap<u64, Client>,
    rooms: HashMap<String, Room>,
    fault: Option<Fault>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or("floor PORT [drop|double|reorder]")?.parse()?;
    let fault = match arguments.next().as_deref() {
        None => None,
        Some("drop") => Some(Fault::Drop),
        Some("double") => Some(Fault::Double),
        Some("reorder") => Some(Fault::Reorder),
        Some(other) => return Err(format!("no such fault: {other}").into()),
    };
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    println!("{}", listener.local_addr()?);
    let mut floor = Floor { clients: HashMap::new(), rooms: HashMap::new(), fault };
    let mut events = [EpollEvent::empty(); 256];
    let mut last = 0;
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            if event.data() != 0 {
                floor.read(event.data());
                continue;
            }
            while let Ok((stream, _)) = listener.accept() {
                last += 1;
                stream.set_nodelay(true)?;
                epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, last))?;
                floor.clients.insert(last, Client { stream, unread: Vec::new(), is_open: false });
            }
        }
    }
}

impl Floor {
    /// One read, since epoll tells again if there is more; the socket itself is a blocking one, for the writes.
    fn read(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut buffer = [0; 16 * 1024];
        let len = match client.stream.read(&mut buffer) {
            Ok(len) if len > 0 => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            _ => return self.forget(id),
        };
        client.unread.extend_from_slice(&buffer[..len]);
        let mut unread = std::mem::take(&mut client.unread);
        let mut at = 0;
        if !client.is_open {
            let Some(end) = memmem::find(&unread, b"\r\n\r\n") else { return client.unread = unread };
            client.is_open = true;
            at = end + 4;
            self.greet(id);
        }
        while let Some((opcode, payload, len)) = frame::split_masked(&mut unread[at..]) {
            if opcode == 8 {
                return self.forget(id);
            }
            self.hear(id, payload);
            at += len;
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.unread.extend_from_slice(&unread[at..]);
        }
    }

    /// The client of the benchmark does not look at the accept key.
    fn greet(&mut self, id: u64) {
        let mut bytes =
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec();
        frame::put_unmasked(
            Opcode::Text,
            br#"0{"sid":"floor","upgrades":[],"pingInterval":25000}"#,
            &mut bytes,
        );
        self.write(id, &bytes);
    }

    fn hear(&mut self, id: u64, packet: &[u8]) {
        let mut bytes = Vec::new();
        if packet == b"40" {
            frame::put_unmasked(Opcode::Text, br#"40{"sid":"floor"}"#, &mut bytes);
            let welcome = br#"42["welcome",{"id":"floor","host":"floor","worker":0,"generation":0}]"#;
            frame::put_unmasked(Opcode::Text, welcome, &mut bytes);
            self.write(id, &bytes);
        } else if let Some(room) = between(packet, r#"420["join",""#, r#"""#) {
            self.rooms.entry(room.to_owned()).or_default().members.push(id);
            let done = format!(r#"430[{{"ok":true,"room":"{room}"}}]"#);
            frame::put_unmasked(Opcode::Text, done.as_bytes(), &mut bytes);
            self.write(id, &bytes);
        } else if let Some(room) = between(packet, r#"42["message",{"room":""#, r#"","data":"#)
            && let Some(data) = between(packet, r#""data":"#, "}]")
        {
            self.deliver(room, data);
        }
    }

    fn deliver(&mut self, name: &str, data: &str) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.messages += 1;
        let text = format!(
            r#"42["message",{{"id":"0000000000000000-0-{}","room":"{name}","from":"0123456789abcdef","at":1700000000000,"data":{data}}}]"#,
            room.messages
        );
        let mut frame = Vec::new();
        frame::put_unmasked(Opcode::Text, text.as_bytes(), &mut frame);
        for (at, id) in room.members.iter().enumerate() {
            let Some(client) = self.clients.get_mut(id) else { continue };
            let since = room.messages.checked_sub(FAULTY_MESSAGE).filter(|_| at == 0);
            // A write fails only to who is gone, who is forgotten at the next read.
            let _ = match (self.fault, since) {
                (Some(Fault::Drop), Some(0)) => Ok(()),
                (Some(Fault::Double), Some(0)) => client.stream.write_all(&frame.repeat(2)),
                (Some(Fault::Reorder), Some(0)) => {
                    room.held.clone_from(&frame);
                    Ok(())
                }
                (Some(Fault::Reorder), Some(1)) => {
                    client.stream.write_all(&[frame.as_slice(), &room.held].concat())
                }
                _ => client.stream.write_all(&frame),
            };
        }
    }

    fn write(&mut self, id: u64, bytes: &[u8]) {
        if let Some(client) = self.clients.get_mut(&id) {
            let _ = client.stream.write_all(bytes); // as above
        }
    }

    fn forget(&mut self, id: u64) {
        self.clients.remove(&id);
        self.rooms.values_mut().for_each(|room| room.members.retain(|member| *member != id));
    }
}

fn between<'a>(packet: &'a [u8], begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = str::from_utf8(packet).ok()?.split_once(begin)?;
    rest.split_once(end).map(|(found, _)| found)
}
