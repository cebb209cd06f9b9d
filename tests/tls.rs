//! TLS in the workers: versions, names, bad certificates, and certificates that change while everybody stays.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;

use nix::sys::signal::Signal;
use support::http::{After, receive, send};
use support::tls::{Certificate, connect};
use support::{Herd, HerdBuilder, PATIENCE, Scratch, SetAtEnd, eventually};

const HOST: &str = "ox.example";

fn herd(certificate: &Certificate) -> HerdBuilder {
    HerdBuilder::faulty().arguments(&["--affinity", "connection"]).config(&certificate.config())
}

/// What `openssl s_client` says of a handshake.
fn s_client(herd: &Herd, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &herd.address().to_string()]).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("openssl is missing: install it");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn tls_1_2_and_1_3_are_spoken_with_http_1_1_inside_and_nothing_older() {
    let scratch = Scratch::new();
    let certificate = Certificate::make(&scratch, "ox", HOST);
    let herd = herd(&certificate).start(2);
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = s_client(&herd, &[version, "-alpn", "h2,http/1.1", "-servername", HOST]);
        assert!(said.contains(name) && said.contains("ALPN protocol: http/1.1"), "{said}");
    }
    let said = s_client(&herd, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(!said.contains("ALPN protocol") && said.contains("Cipher is (NONE)"), "{said}");
    assert!(s_client(&herd, &["-alpn", "h2"]).contains("alert"), "nothing else is spoken inside");

    let port = herd.address().port();
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--http1.1", "--cacert"])
        .arg(&certificate.chain)
        .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1"), &format!("https://{HOST}:{port}/peer")])
        .output()
        .expect("curl is missing: install it");
    let seen: serde_json::Value = serde_json::from_slice(&curl.stdout).unwrap();
    assert_eq!(seen["scheme"], "Https");
    // Whoever speaks HTTP in the clear is refused and counted, as whoever says nothing that TLS knows.
    let mut plain = TcpStream::connect(herd.address()).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let _ = plain.read_to_end(&mut Vec::new());
    herd.until("it is counted", |status| {
        status.workers.iter().map(|worker| worker.refused).sum::<u64>() >= 3
    });
}

#[test]
fn half_a_handshake_has_the_time_of_a_request_head() {
    let scratch = Scratch::new();
    let certificate = Certificate::make(&scratch, "ox", HOST);
    let herd = herd(&certificate).config("[http]\nheader_timeout = \"300ms\"").start(1);
    let mut stream = TcpStream::connect(herd.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[0x16, 3, 1, 2, 0]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    herd.until("it is counted", |status| status.workers[0].evicted == 1);
}

#[test]
fn every_name_has_its_certificate() {
    let scratch = Scratch::new();
    let [a, b] = ["a.example", "b.example"].map(|host| Certificate::make(&scratch, &host[..1], host));
    let config = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n[tls]\ncertificate = [{:?}, {:?}]\nkey = [{:?}, {:?}]",
        a.chain, b.chain, a.key, b.key
    );
    let herd = HerdBuilder::faulty().config(&config).start(1);
    for (certificate, host) in [(&a, "a.example"), (&b, "b.example")] {
        let mut stream = connect(&certificate.trust(), host, herd.address()).unwrap();
        send(&mut stream, "GET", "/who", "", After::Close).unwrap();
        assert_eq!(receive(&mut stream).unwrap().0, 200);
    }
    assert!(connect(&b.trust(), "a.example", herd.address()).is_err());
}

/// `check` of a certificate: status and what it says.
fn check(certificate: &Certificate) -> (Option<i32>, String) {
    let path = certificate.chain.with_extension("toml");
    fs::write(&path, certificate.config()).unwrap();
    let output = Command::new(support::binary()).arg("check").arg("--config").arg(&path).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn a_bad_certificate_is_found_by_check_with_its_file_and_the_reason() {
    let scratch = Scratch::new();
    let good = Certificate::make(&scratch, "good", HOST);
    let other = Certificate::make(&scratch, "other", HOST);
    assert_eq!(check(&good).0, Some(0));
    let nonsense = scratch.path().join("nonsense.pem");
    fs::write(&nonsense, "no PEM").unwrap();
    let missing = scratch.path().join("missing.pem");
    let of =
        |chain: &std::path::Path, key: &std::path::Path| Certificate { chain: chain.into(), key: key.into() };
    for (certificate, key, at_fault, reason) in [
        (of(&missing, &good.key), "tls.certificate", &missing, "No such file"),
        (of(&nonsense, &good.key), "tls.certificate", &nonsense, "no certificate"),
        (of(&good.chain, &nonsense), "tls.key", &nonsense, "no key"),
        (of(&good.chain, &other.key), "tls.key", &other.key, "does not belong"),
    ] {
        let (status, said) = check(&certificate);
        assert_eq!(status, Some(78), "{said}");
        let named = said.contains(key) && said.contains(&at_fault.display().to_string());
        assert!(named && said.contains(reason), "{reason}: {said}");
    }
    fs::set_permissions(&good.key, fs::Permissions::from_mode(0o644)).unwrap();
    let (status, said) = check(&good);
    assert!(status == Some(0) && said.contains("can be read by everybody"), "{said}");
}

#[test]
fn a_new_certificate_is_used_at_once_and_drops_nobody() {
    let scratch = Scratch::new();
    let old = Certificate::make(&scratch, "ox", HOST);
    let old_trust = old.trust();
    let herd = herd(&old).start(2);
    let to = herd.address();
    let (over, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let _end = SetAtEnd(&over);
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let mut stream = connect(&old_trust, HOST, to).unwrap();
                let (over, asked) = (&over, &asked);
                scope.spawn(move || {
                    while !over.load(Relaxed) {
                        send(&mut stream, "GET", "/who", "", After::Keep).unwrap();
                        assert_eq!(receive(&mut stream).unwrap().0, 200);
                        asked.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            let new = Certificate::make(&scratch, "ox", HOST);
            let output = herd.command(&["reload"]);
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            for _ in 0..8 {
                connect(&new.trust(), HOST, to).expect("the new one is used by every worker");
                assert!(connect(&old_trust, HOST, to).is_err(), "the old one by none");
            }
            let before = asked.load(Relaxed);
            eventually("the clients go on", || (asked.load(Relaxed) > before + 100).then_some(()));
        }
        over.store(true, Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    // A worker that is born later has the new one too.
    let new = Certificate::make(&scratch, "ox", HOST);
    herd.signal(Signal::SIGHUP);
    eventually("the signal reloads", || connect(&new.trust(), HOST, to).is_ok().then_some(()));
    assert_eq!(herd.command(&["restart", "0"]).status.code(), Some(0));
    for _ in 0..16 {
        connect(&new.trust(), HOST, to).unwrap();
    }
}
