//! Names who holds an address, for the error that an operator reads. Best effort: `/proc` shows other users'
//! descriptors to root only.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

const NOBODY_KNOWN: &str = "a process that is not visible to this user";
/// `st` of a listening socket in `/proc/net/tcp` (TCP_LISTEN of include/net/tcp_states.h).
const LISTENING: &str = "0A";

/// The processes that listen on a TCP address, `pid 12 (nginx)`, several with commas.
pub(super) fn of_tcp(address: SocketAddr) -> String {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    name(&lines.filter_map(|line| listening_inode(line, address)).collect::<Vec<_>>())
}

/// The processes that have a Unix socket bound to this path.
pub(super) fn of_unix(path: &Path) -> String {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let holds = |line: &&str| line.split_whitespace().nth(7).is_some_and(|held| Path::new(held) == path);
    let inodes =
        table.lines().filter(holds).filter_map(|line| line.split_whitespace().nth(6).map(str::to_owned));
    name(&inodes.collect::<Vec<_>>())
}

/// The inode in a line of `/proc/net/tcp` or `tcp6`, if it listens where `address` wants to.
fn listening_inode(line: &str, address: SocketAddr) -> Option<String> {
    let mut fields = line.split_whitespace();
    let (local, state, inode) = (fields.nth(1)?, fields.nth(1)?, fields.nth(5)?);
    let (ip, port) = local.split_once(':')?;
    let clashes =
        |held: IpAddr| held.is_unspecified() || address.ip().is_unspecified() || held == address.ip();
    (state == LISTENING && u16::from_str_radix(port, 16) == Ok(address.port()) && clashes(hex_ip(ip)?))
        .then(|| inode.to_owned())
}

/// An address as the kernel prints it: 32-bit words in the machine's byte order.
fn hex_ip(text: &str) -> Option<IpAddr> {
    let words = (0..text.len()).step_by(8).map(|at| u32::from_str_radix(text.get(at..at + 8)?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|v4| Ipv4Addr::from(v4).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).to_canonical()),
        _ => None,
    }
}

fn name(inodes: &[String]) -> String {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holders: Vec<String> = pids
        .filter(|pid| {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let mut targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
            targets.any(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
        })
        .map(|pid| {
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("pid {pid} ({})", command.trim_end())
        })
        .collect();
    if holders.is_empty() { NOBODY_KNOWN.to_owned() } else { holders.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listening_process_is_named() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let holder = of_tcp(listener.local_addr().unwrap());
            assert!(holder.contains(&format!("pid {} (", std::process::id())), "{address}: {holder}");
        }
    }

    #[test]
    fn a_table_line_is_read_as_the_kernel_writes_it() {
        let line = "   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0";
        assert_eq!(listening_inode(line, "127.0.0.1:3000".parse().unwrap()), Some("4242".into()));
        assert_eq!(listening_inode(line, "0.0.0.0:3000".parse().unwrap()), Some("4242".into()));
        assert_eq!(listening_inode(line, "127.0.0.1:3001".parse().unwrap()), None);
        assert_eq!(listening_inode(line, "127.0.0.2:3000".parse().unwrap()), None);
        assert_eq!(listening_inode("nonsense", "127.0.0.1:3000".parse().unwrap()), None);
    }
}
