//! The floor: what nobody can be below who writes one frame to each recipient. One thread; a message costs one frame
//! made and one bare `send(2)` for each member of the room, and nothing else.
//!
//! `floor PORT [drop|double|reorder]` serves the events of oxherd's stock server, WebSocket only. With a fault it treats
//! the tenth message of a room wrongly for its first member: that is how the checker is checked.
//!
//! `floor PORT front INDEX` shares the port with others of its kind, and gives each frame to the `relay` too, which is
//! its standard input.

use std::collections::HashMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use bench::generate::frame::{self, Opcode};
use memchr::memmem;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

/// The events' marks of the listener and of the relay; clients have the numbers between.
const LISTENER: u64 = 0;
const RELAY: u64 = u64::MAX;
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
    index: u16,
    relay: Option<Relay>,
}

/// The way to the other fronts. A record is the length of a room's name, that of a frame, both as u32, and the two.
struct Relay {
    stream: UnixStream,
    unread: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    const USAGE: &str = "floor PORT [drop|double|reorder|front INDEX]";
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or(USAGE)?.parse()?;
    let mut floor =
        Floor { clients: HashMap::new(), rooms: HashMap::new(), fault: None, index: 0, relay: None };
    match arguments.next().as_deref() {
        None => {}
        Some("drop") => floor.fault = Some(Fault::Drop),
        Some("double") => floor.fault = Some(Fault::Double),
        Some("reorder") => floor.fault = Some(Fault::Reorder),
        Some("front") => {
            floor.index = arguments.next().ok_or(USAGE)?.parse()?;
            let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
            floor.relay = Some(Relay { stream, unread: Vec::new() });
        }
        Some(_) => return Err(USAGE.into()),
    }
    let listener = listen(port, floor.relay.is_some())?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    match &mut floor.relay {
        Some(relay) => {
            epoll.add(&relay.stream, EpollEvent::new(EpollFlags::EPOLLIN, RELAY))?;
            relay.stream.write_all(b"!")?; // it listens
        }
        None => println!("{}", listener.local_addr()?),
    }
    let mut events = [EpollEvent::empty(); 256];
    let mut last = 0;
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            match event.data() {
                LISTENER => {}
                RELAY if !floor.read_relay()? => return Ok(()),
                RELAY => continue,
                client => {
                    floor.read(client);
                    continue;
                }
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

fn listen(port: u16, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(4096)?;
    Ok(socket.into())
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
            let index = self.index;
            let welcome =
                format!(r#"42["welcome",{{"id":"floor","host":"floor","worker":{index},"generation":0}}]"#);
            frame::put_unmasked(Opcode::Text, welcome.as_bytes(), &mut bytes);
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
        let room = self.rooms.entry(name.to_owned()).or_default();
        room.messages += 1;
        let text = format!(
            r#"42["message",{{"id":"0000000000000000-0-{}","room":"{name}","from":"0123456789abcdef","at":1700000000000,"data":{data}}}]"#,
            room.messages
        );
        let mut frame = Vec::new();
        frame::put_unmasked(Opcode::Text, text.as_bytes(), &mut frame);
        if let Some(relay) = &mut self.relay {
            let lengths = [name.len() as u32, frame.len() as u32].map(u32::to_le_bytes).concat();
            let _ = relay.stream.write_all(&[&lengths, name.as_bytes(), &frame].concat()); // its end is read
        }
        self.send(name, &frame);
    }

    /// What the other fronts say; false at the end.
    fn read_relay(&mut self) -> std::io::Result<bool> {
        let Some(relay) = &mut self.relay else { return Ok(false) };
        let mut buffer = [0; 64 * 1024];
        let len = relay.stream.read(&mut buffer)?;
        relay.unread.extend_from_slice(&buffer[..len]);
        let unread = std::mem::take(&mut relay.unread);
        let mut rest = unread.as_slice();
        while let Some((name, frame, after)) = record(rest) {
            self.send(name, frame);
            rest = after;
        }
        if let Some(relay) = &mut self.relay {
            relay.unread = rest.to_vec();
        }
        Ok(len > 0)
    }

    fn send(&mut self, name: &str, frame: &[u8]) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        for (at, id) in room.members.iter().enumerate() {
            let Some(client) = self.clients.get_mut(id) else { continue };
            let since = room.messages.checked_sub(FAULTY_MESSAGE).filter(|_| at == 0);
            // A write fails only to who is gone, who is forgotten at the next read.
            let _ = match (self.fault, since) {
                (Some(Fault::Drop), Some(0)) => Ok(()),
                (Some(Fault::Double), Some(0)) => client.stream.write_all(&frame.repeat(2)),
                (Some(Fault::Reorder), Some(0)) => {
                    room.held = frame.to_vec();
                    Ok(())
                }
                (Some(Fault::Reorder), Some(1)) => client.stream.write_all(&[frame, &room.held].concat()),
                _ => client.stream.write_all(frame),
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

/// The first record of `bytes`, as name and frame, and what follows it.
fn record(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (name_len, rest) = bytes.split_first_chunk()?;
    let (frame_len, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*name_len) as usize)?;
    let (frame, rest) = rest.split_at_checked(u32::from_le_bytes(*frame_len) as usize)?;
    Some((str::from_utf8(name).ok()?, frame, rest))
}

fn between<'a>(packet: &'a [u8], begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = str::from_utf8(packet).ok()?.split_once(begin)?;
    rest.split_once(end).map(|(found, _)| found)
}
