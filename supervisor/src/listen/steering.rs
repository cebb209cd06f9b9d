//! Steering: the classic BPF program of a SO_REUSEPORT group, which maps a connection to a slot.
//!
//! The program sees the SYN of each new connection. It hashes the client's address (and port, if connections are
//! to go their own ways) and answers with a slot: same client, same slot, in every worker's life, since the number
//! of slots never changes. Stickiness never *depends* on it; it is the fast path.
//!
//! A reverse proxy has one address for all its clients, which would all meet in one slot: with `affinity = "auto"` the
//! connections of those in `trusted_proxies`, and of this machine itself, go their own ways.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};
use oxherd_contract::edge::TrustedProxies;
use oxherd_contract::listen::Affinity;
use socket2::Socket;

/// How connections of one listener find their slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steering {
    /// By a hash of the client's address.
    SourceIp,
    /// By a hash of the client's address and port.
    Connection,
    /// As `Connection` from this machine and from trusted proxies, as `SourceIp` from everybody else.
    Auto,
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
            Steering::Auto => "auto",
            Steering::Kernel => "kernel",
            Steering::Single => "single",
        }
    }
}

/// Attaches the program to the group that this socket belongs to. Any member will do: the program is the group's.
pub(super) fn attach(member: &Socket, affinity: Affinity, slots: u16, proxies: &TrustedProxies) -> Steering {
    let steering = match affinity {
        Affinity::Auto => Steering::Auto,
        Affinity::SourceIp => Steering::SourceIp,
        Affinity::Connection => Steering::Connection,
    };
    let networks: Vec<IpNet> = this_machine().into_iter().chain(proxies.0.iter().copied()).collect();
    match install(member, program(steering, slots, &networks)) {
        Ok(()) => steering,
        Err(errno) => {
            tracing::warn!(%errno, "the kernel refused the steering program, its own hash spreads connections");
            Steering::Kernel
        }
    }
}

fn install(member: &Socket, mut program: Vec<libc::sock_filter>) -> nix::Result<()> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    setsockopt(member, AttachReusePortCbpf, &program)
}

/// Whoever connects from here has no address of its own to be told by, and is probably a proxy (RFC 1122 §3.2.1.3,
/// RFC 4291 §2.5.3).
fn this_machine() -> [IpNet; 2] {
    let (v4, v6) =
        (Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8), Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128));
    [v4.trunc().into(), v6.into()]
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
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN_A: u32 = libc::BPF_RET | libc::BPF_A;

/// IPv4 (RFC 791 §3.1): source address at 12. The port follows a header without options; with options some other
/// two bytes are hashed, which spreads as well.
const IPV4_FIELDS: (&[u32], u32) = (&[12], 20);
/// IPv6 (RFC 8200 §3): source address at 8…23, the port after a header without extensions.
const IPV6_FIELDS: (&[u32], u32) = (&[8, 12, 16, 20], 40);

fn program(steering: Steering, slots: u16, networks: &[IpNet]) -> Vec<libc::sock_filter> {
    let family = |fields, networks: Vec<Vec<(u32, u32)>>| match steering {
        Steering::Auto => {
            by_network(&networks, hash(fields, true, slots), hash(fields, false, slots), fields.0[0])
        }
        _ => hash(fields, steering == Steering::Connection, slots),
    };
    let v4 = family(IPV4_FIELDS, networks.iter().filter_map(v4_words).collect());
    let v6 = family(IPV6_FIELDS, networks.iter().filter_map(v6_words).collect());
    let mut program = vec![op(LOAD_BYTE, NETWORK), op(SHIFT_RIGHT, 4)];
    // On a dual-stack socket an IPv4 client still sends IPv4 packets: the version nibble decides. A conditional jump
    // reaches 255 instructions, JUMP any number.
    program.push(libc::sock_filter { jt: 1, jf: 0, ..op(IF_EQUAL, 6) });
    program.extend([op(JUMP, 1), op(JUMP, v4.len() as u32)]);
    program.extend(v4);
    program.extend(v6);
    program
}

/// The first part if the source address is in one of the networks, else the second. A network is the words of the
/// address that matter, each as mask and value, in order.
fn by_network(
    networks: &[Vec<(u32, u32)>],
    inside: Vec<libc::sock_filter>,
    outside: Vec<libc::sock_filter>,
    source: u32,
) -> Vec<libc::sock_filter> {
    let mut program = Vec::new();
    for words in networks {
        // Load, mask, compare; a word that differs goes on behind this network's last instruction.
        let after = |word: usize| (3 * (words.len() - word - 1) + 1) as u8;
        for (number, (mask, value)) in words.iter().enumerate() {
            let offset = source + 4 * number as u32;
            program.extend([op(LOAD_WORD, NETWORK.wrapping_add(offset)), op(AND, *mask)]);
            program.push(libc::sock_filter { jt: 0, jf: after(number), ..op(IF_EQUAL, *value) });
        }
        program.push(op(JUMP, 0)); // its target is known below
    }
    program.push(op(JUMP, inside.len() as u32)); // in none of them
    let inside_begins = program.len();
    for (at, step) in program.iter_mut().enumerate().take(inside_begins - 1) {
        if u32::from(step.code) == JUMP {
            step.k = (inside_begins - at - 1) as u32;
        }
    }
    program.extend(inside);
    program.extend(outside);
    program
}

fn v4_words(network: &IpNet) -> Option<Vec<(u32, u32)>> {
    let IpNet::V4(v4) = network else { return None };
    Some(vec![(v4.netmask().to_bits(), v4.network().to_bits())])
}

/// Without the words that the network leaves open.
fn v6_words(network: &IpNet) -> Option<Vec<(u32, u32)>> {
    let IpNet::V6(v6) = network else { return None };
    let word = |bits: u128, number: u32| (bits >> (96 - 32 * number)) as u32;
    let (mask, value) = (v6.netmask().to_bits(), v6.network().to_bits());
    Some((0..u32::from(v6.prefix_len()).div_ceil(32)).map(|at| (word(mask, at), word(value, at))).collect())
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
        let group = group::open(&listen, SLOTS, Duration::ZERO, &TrustedProxies::default()).unwrap();
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
            let (group, bound) = open(listen, Affinity::SourceIp);
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
    fn connections_of_a_proxy_go_their_own_ways_and_those_of_clients_stay_together() {
        // As many as there may be: the test is the last that the program makes, behind long jumps.
        let many: Vec<String> = (0..62).map(|third| format!("10.{third}.0.0/17")).collect();
        let v6: Vec<String> = (0..62).map(|word| format!("2001:db8:{word:x}:1::/66")).collect();
        for (listen, client, filler, network, inside) in [
            ("127.0.0.1:0", "127.0.77.1:0", &many, "127.0.77.0/31", true),
            ("[::]:0", "127.0.77.1:0", &many, "127.0.77.0/24", true),
            ("127.0.0.1:0", "127.0.77.1:0", &many, "127.0.77.2/31", false),
            ("127.0.0.1:0", "127.0.77.1:0", &many, "0.0.0.0/0", true),
            ("[::1]:0", "[::1]:0", &v6, "::1/128", true),
            ("[::1]:0", "[::1]:0", &v6, "::2/127", false),
            ("[::1]:0", "[::1]:0", &v6, "::/65", true),
            ("[::1]:0", "[::1]:0", &v6, "::/0", true),
        ] {
            let networks: Vec<&str> =
                filler.iter().map(String::as_str).chain(["2001:db8::1/128", network]).collect();
            let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
            let (group, bound) = open(listen, Affinity::SourceIp);
            install(&group.sockets[0].try_clone().unwrap().into(), program(Steering::Auto, SLOTS, &networks))
                .unwrap();
            let client: SocketAddr = client.parse().unwrap();
            let server = if client.is_ipv4() { (Ipv4Addr::LOCALHOST, bound.port()).into() } else { bound };
            let slots: HashSet<_> = (0..60).map(|_| slot_of(&group, server, client)).collect();
            let expected = if inside { usize::from(SLOTS) } else { 1 };
            assert_eq!(slots.len(), expected, "{client} on {listen}, {network}");
        }
    }

    #[test]
    fn connections_go_their_own_ways_when_told_to_and_from_this_machine() {
        for (listen, affinity) in [
            ("127.0.0.1:0", Affinity::Connection),
            ("[::1]:0", Affinity::Connection),
            ("127.0.0.1:0", Affinity::Auto),
            ("[::1]:0", Affinity::Auto),
        ] {
            let (group, bound) = open(listen, affinity);
            let client = SocketAddr::new(bound.ip(), 0);
            let slots: HashSet<_> = (0..100).map(|_| slot_of(&group, bound, client)).collect();
            assert_eq!(slots.len(), usize::from(SLOTS), "{listen}");
        }
    }
}
