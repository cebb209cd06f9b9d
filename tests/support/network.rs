//! Several machines in one: a namespace in the middle, and hosts around it, each a namespace with a link of its own.
//!
//! ```text
//!   host 0 (10.77.0.2) ═══ (10.77.0.1)  middle  (10.77.1.1) ═══ host 1 (10.77.1.2)
//! ```

use std::net::{IpAddr, Ipv4Addr};

use super::namespace::{Namespace, ip};

/// Gone when dropped, by a panic too. Needs root.
pub struct Network {
    pub middle: Namespace,
    pub hosts: Vec<Namespace>,
}

impl Network {
    pub fn new(hosts: u8) -> Network {
        let middle = Namespace::new();
        middle.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        let hosts = (0..hosts).map(|number| linked(&middle, number)).collect();
        Network { middle, hosts }
    }

    /// A host's address, from everywhere.
    pub fn address(number: u8) -> IpAddr {
        Ipv4Addr::new(10, 77, number, 2).into()
    }

    /// The middle's address, as the first host sees it; the others reach it too.
    pub fn middle_address() -> IpAddr {
        Ipv4Addr::new(10, 77, 0, 1).into()
    }

    /// Cuts a host off: what is sent to it is lost.
    pub fn cut(&self, number: u8) {
        ip(&["-n", self.middle.name(), "link", "set", &link(number), "down"]);
    }
}

/// One more host around the middle.
fn linked(middle: &Namespace, number: u8) -> Namespace {
    let host = Namespace::new();
    let (link, other_end) = (link(number), ["netns", host.name()]);
    let pair = ["-n", middle.name(), "link", "add", &link, "type", "veth", "peer", "name", "uplink"];
    ip(&[&pair[..], &other_end].concat());
    ip(&["-n", middle.name(), "addr", "add", &format!("10.77.{number}.1/24"), "dev", &link]);
    ip(&["-n", middle.name(), "link", "set", &link, "up"]);
    ip(&["-n", host.name(), "addr", "add", &format!("10.77.{number}.2/24"), "dev", "uplink"]);
    ip(&["-n", host.name(), "link", "set", "uplink", "up"]);
    ip(&["-n", host.name(), "route", "add", "default", "via", &format!("10.77.{number}.1")]);
    host
}

fn link(number: u8) -> String {
    format!("host{number}")
}
