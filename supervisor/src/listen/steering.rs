//! Steering: the classic BPF program of a SO_REUSEPORT group, which maps a connection to a slot.
//!
//! The program sees the SYN of each new connection. It hashes the client's address (and port, if connections are
//! to go their own ways) and answers with a slot: same client, same slot, in every worker's life, since the number
//! of slots never changes. Stickiness never *depends* on it; it is the fast path.

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};
use oxherd_contract::listen::Affinity;
use socket2::Socket;

/// How connections of one listener find their slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steering {
    /// By a hash of the client's address.
    SourceIp,
    /// By a hash of the client's address and port.
    Connection,
    /// By the kernel's own hash of the connection, because it refused our program.
    Kernel,
    /// There is but one slot.
    Single,
}

impl Steering {
    pub(super) fn name(self) -> &'static str {
        match self {
            Steering::SourceIp => "source-ip",
            Steering::Connection => "connection",
            Steering::Kernel => "kernel",
            Steering::Single => "single",
        }
    }
}

/// Attaches the program to the group that this socket belongs to. Any member will do: the program is the group's.
pub(super) fn attach(member: &Socket, affinity: Affinity, slots: u16) -> Steering {
    let steering = match affinity {
        // A listener that is not told otherwise keeps all connections of a client together: with long-polling one
        // session has several.
        Affinity::Auto | Affinity::SourceIp => Steering::SourceIp,
        Affinity::Connection => Steering::Connection,
    };
    let mut program = program(steering, slots);
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    match setsockopt(member, AttachReusePortCbpf, &program) {
        Ok(()) => steering,
        Err(errno) => {
            tracing::warn!(%errno, "the kernel refused the steering program, its own hash spreads connections");
            Steering::Kernel
        }
    }
}

/// Loads relative to the network header (`SKF_NET_OFF` of linux/filter.h), whatever the packet's data pointer.
const NETWORK: u32 = -0x10_0000_i32 as u32;
/// 2³² divided by the golden ratio: a multiplicative hash needs it odd and without a pattern (Knuth, vol. 3, 6.4).
const GOLDEN: u32 = 0x9E37_79B1;

const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const MULTIPLY: u32 = libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K;
const SHIFT_RIGHT: u32 = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
const XOR_X: u32 = libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X;
const TO_X: u32 = libc::BPF_MISC | libc::BPF_TAX;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN_A: u32 = libc::BPF_RET | libc::BPF_A;

/// IPv4 (RFC 791 §3.1): source address at 12. The port follows a header without options; with options some other
/// two bytes are hashed, which spreads as well.
const IPV4_FIELDS: (&[u32], u32) = (&[12], 20);
/// IPv6 (RFC 8200 §3): source address at 8…23, the port after a header without extensions.
const IPV6_FIELDS: (&[u32], u32) = (&[8, 12, 16, 20], 40);

fn program(steering: Steering, slots: u16) -> Vec<libc::sock_filter> {
    let with_port = steering == Steering::Connection;
    let (v4, v6) = (hash(IPV4_FIELDS, with_port, slots), hash(IPV6_FIELDS, with_port, slots));
    let mut program = vec![op(LOAD_BYTE, NETWORK), op(SHIFT_RIGHT, 4)];
    // On a dual-stack socket an IPv4 client still sends IPv4 packets: the version nibble decides.
    program.push(libc::sock_filter { jt: v4.len() as u8, jf: 0, ..op(IF_EQUAL, 6) });
    program.extend(v4);
    program.extend(v6);
    program
}

/// hash = (…((word₁ · G) ^ word₂) · G …) · G; its upper half, scaled to the number of slots, is the answer.
fn hash((words, port): (&[u32], u32), with_port: bool, slots: u16) -> Vec<libc::sock_filter> {
    let mut program = vec![op(LOAD_WORD, NETWORK.wrapping_add(words[0])), op(MULTIPLY, GOLDEN)];
    let rest = words[1..].iter().map(|offset| (LOAD_WORD, *offset));
    for (load, offset) in rest.chain(with_port.then_some((LOAD_HALF, port))) {
        program.extend([
            op(TO_X, 0),
            op(load, NETWORK.wrapping_add(offset)),
            op(XOR_X, 0),
            op(MULTIPLY, GOLDEN),
        ]);
    }
    program.extend([op(SHIFT_RIGHT, 16), op(MULTIPLY, slots.into()), op(SHIFT_RIGHT, 16), op(RETURN_A, 0)]);
    program
}

fn op(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use oxherd_contract::edge::Layers;
    use oxherd_contract::listen::Address;
    use socket2::{Domain, Type};
    use std::os::fd::AsFd;

    use super::super::group;
    use super::*;
    use crate::plan::Listen;

    const SLOTS: u16 = 8;

    fn open(address: &str, affinity: Affinity) -> (group::Group, SocketAddr) {
        let listen =
            Listen { address: address.parse().unwrap(), affinity, mode: 0o600, layers: Layers::default() };
        let group = group::open(&listen, SLOTS, Duration::ZERO).unwrap();
        let Address::Tcp(bound) = group.address else { unreachable!() };
        (group, bound)
    }

    /// The slot that a connection from this address arrives in.
    fn slot_of(group: &group::Group, server: SocketAddr, client: SocketAddr) -> usize {
        use std::io::Write;
        let socket = Socket::new(Domain::for_address(client), Type::STREAM, None).unwrap();
        socket.bind(&client.into()).unwrap();
        socket.connect(&server.into()).unwrap();
        (&socket).write_all(b"x").unwrap(); // TCP_DEFER_ACCEPT holds back a silent connection
        let mut waited: Vec<_> =
            group.sockets.iter().map(|slot| PollFd::new(slot.as_fd(), PollFlags::POLLIN)).collect();
        assert_eq!(poll(&mut waited, PollTimeout::from(5000u16)).unwrap(), 1);
        let slot = waited.iter().position(|slot| slot.any() == Some(true)).unwrap();
        Socket::from(group.sockets[slot].try_clone().unwrap()).accept().unwrap();
        slot
    }

    fn loopback(last: u8) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 77, last), 0).into()
    }

    #[test]
    fn every_connection_of_a_client_arrives_in_the_same_slot_and_clients_spread() {
        for (listen, to_v4) in [("127.0.0.1:0", false), ("[::]:0", true)] {
            let (group, bound) = open(listen, Affinity::Auto);
            assert_eq!(group.steering, Steering::SourceIp);
            let server = if to_v4 { (Ipv4Addr::LOCALHOST, bound.port()).into() } else { bound };
            let mut used = HashSet::new();
            for client in (1..64).map(loopback) {
                let slot = slot_of(&group, server, client);
                assert_eq!(slot_of(&group, server, client), slot, "{client} on {listen}");
                used.insert(slot);
            }
            assert_eq!(used.len(), usize::from(SLOTS), "{listen}");
        }
    }

    #[test]
    fn an_ipv6_client_stays_in_its_slot() {
        let (group, bound) = open("[::1]:0", Affinity::SourceIp);
        let client: SocketAddr = "[::1]:0".parse().unwrap();
        let slots: HashSet<_> = (0..20).map(|_| slot_of(&group, bound, client)).collect();
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn connections_go_their_own_ways_when_told_to() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let (group, bound) = open(listen, Affinity::Connection);
            let client = SocketAddr::new(bound.ip(), 0);
            let slots: HashSet<_> = (0..100).map(|_| slot_of(&group, bound, client)).collect();
            assert_eq!(slots.len(), usize::from(SLOTS), "{listen}");
        }
    }
}
