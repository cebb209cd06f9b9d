//! Debian's reverse proxies in front of a box, with the snippets that README.md shows (tests/proxies).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::tls::Certificate;
use super::{Scratch, eventually, signal_pid};

/// What a whole configuration needs around the snippet for HAProxy…
const HAPROXY: &str =
    "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\nSNIPPET";

/// …and for nginx, which else writes where the system's one does.
const NGINX: &str = "daemon off;\nworker_processes 1;\npid DIRECTORY/nginx.pid;\nerror_log DIRECTORY/error.log warn;\n\
    events { worker_connections 4096; }\nhttp {\naccess_log off;\nclient_body_temp_path DIRECTORY/body;\n\
    proxy_temp_path DIRECTORY/proxy;\nfastcgi_temp_path DIRECTORY/fastcgi;\nuwsgi_temp_path DIRECTORY/uwsgi;\n\
    scgi_temp_path DIRECTORY/scgi;\nSNIPPET\n}\n";

/// A running proxy, stopped when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    scratch: Scratch,
    process: Child,
}

impl Proxy {
    pub fn haproxy(upstream: SocketAddr) -> Proxy {
        let address = free_address();
        let places = [("0.0.0.0:80", address.to_string()), ("127.0.0.1:3000", upstream.to_string())];
        Proxy::start(address, ("haproxy.cfg", HAPROXY), &places, &["haproxy", "-db", "-f"])
    }

    pub fn nginx(upstream: &str) -> Proxy {
        Proxy::any_nginx(upstream, "")
    }

    pub fn nginx_with_tls(upstream: &str, certificate: &Certificate) -> Proxy {
        let Certificate { chain, key } = certificate;
        let tls = format!(" ssl; ssl_certificate {}; ssl_certificate_key {}", chain.display(), key.display());
        Proxy::any_nginx(upstream, &tls)
    }

    fn any_nginx(upstream: &str, tls: &str) -> Proxy {
        let address = free_address();
        let places =
            [("listen 80;", format!("listen {address}{tls};")), ("127.0.0.1:3000", upstream.to_owned())];
        Proxy::start(address, ("nginx.conf", NGINX), &places, &["nginx", "-e", "stderr", "-c"])
    }

    /// Fills the snippet's places in and starts the proxy in the foreground.
    fn start(
        address: SocketAddr,
        (snippet, frame): (&str, &str),
        places: &[(&str, String)],
        program: &[&str],
    ) -> Proxy {
        let scratch = Scratch::new();
        let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxies").join(snippet);
        let mut text = fs::read_to_string(shown).unwrap();
        for (place, value) in places {
            assert!(text.contains(place), "{snippet} has no {place}");
            text = text.replace(place, value);
        }
        let config = scratch.path().join(snippet);
        let text = frame.replace("SNIPPET", &text).replace("DIRECTORY", scratch.path().to_str().unwrap());
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(&config).stdin(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}: install it", program[0]));
        let proxy = Proxy { address, scratch, process };
        eventually("the proxy listens", || TcpStream::connect(address).ok());
        proxy
    }

    /// What nginx complained about.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.scratch.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        signal_pid(self.process.id(), Signal::SIGTERM);
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- errors of the proxy ----\n{}", self.errors());
        }
    }
}

/// Where this process' proxies listen: nobody else does there.
pub fn ip() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 3, high, low)
}

/// A proxy cannot be asked for a free port: this one is free now.
fn free_address() -> SocketAddr {
    TcpListener::bind((ip(), 0)).unwrap().local_addr().unwrap()
}
