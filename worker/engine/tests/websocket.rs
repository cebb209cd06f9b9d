//! RFC 6455 from the client's side: the mandatory cases of a server, as the public suite (Autobahn, which does not
//! install any more) sorts them. The server echoes: text that begins with `4`, binary as it is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use engineioxide::config::EngineIoConfig;
use support::{
    raw::{BINARY, CLOSE, Frame, PING, PONG, Pending, TEXT, WebSocket, frame},
    server::{Server, Setup},
};

const FIN: u8 = 0x80;
const MAX: usize = 100_000;

fn server() -> Server {
    let config = EngineIoConfig::builder().max_payload(MAX as u64).build();
    Setup { config, ..Setup::default() }.start()
}

/// What the server answers to these bytes: the code of its close frame.
fn code_after(server: &Server, bytes: &[u8]) -> u16 {
    let mut socket = WebSocket::open(server.addr);
    socket.raw(bytes);
    loop {
        let frame = socket.frame();
        if frame.opcode == CLOSE {
            assert_eq!(socket.try_frame(), None, "nothing follows a close frame");
            return u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        }
    }
}

#[test]
fn framing_1_messages_of_all_lengths_come_back() {
    let server = server();
    let mut socket = WebSocket::open(server.addr);
    for len in [0, 1, 124, 125, 126, 127, 128, 4095, 4096, 65_534, 65_535, 65_536, MAX - 1] {
        let text = format!("4{}", "*".repeat(len));
        socket.text(&text);
        assert_eq!(socket.frame(), Frame { opcode: TEXT, payload: text.into() }, "text of {len}");
        let data = vec![0xFE; len];
        socket.send(BINARY, &data);
        assert_eq!(socket.frame(), Frame { opcode: BINARY, payload: data }, "binary of {len}");
    }
}

#[test]
fn framing_1_a_message_may_arrive_in_single_octets() {
    let server = server();
    let mut socket = WebSocket::open(server.addr);
    for byte in frame(
        FIN | TEXT,
        "4κόσμε and more than 125 octets, so that the length has its long form too: \
                                   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            .as_bytes(),
    ) {
        socket.raw(&[byte]);
    }
    assert!(socket.frame().text().starts_with("4κόσμε"));
}

#[test]
fn pings_2_are_answered_in_order_with_their_payload_and_pongs_are_not() {
    let server = server();
    let mut socket = WebSocket::open(server.addr);
    for payload in [&b""[..], b"hello", &[0, 0xFF, 0xFE], &[0xFE; 125]] {
        socket.send(PING, payload);
        assert_eq!(socket.frame(), Frame { opcode: PONG, payload: payload.to_vec() });
    }
    socket.send(PONG, b"unsolicited");
    let burst: Vec<u8> = (0..10).flat_map(|n| frame(FIN | PING, &[n])).collect();
    socket.raw(&burst);
    for n in 0..10 {
        assert_eq!(socket.frame(), Frame { opcode: PONG, payload: vec![n] });
    }
    assert_eq!(code_after(&server, &frame(FIN | PING, &[0xFE; 126])), 1002);
}

#[test]
fn reserved_3_4_bits_and_opcodes_are_protocol_errors() {
    let server = server();
    for first in [0x40, 0x20, 0x10, 0x70, 0x30].map(|bits| FIN | bits | TEXT) {
        assert_eq!(code_after(&server, &frame(first, b"4x")), 1002, "{first:#x}");
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(code_after(&server, &frame(FIN | opcode, b"")), 1002, "{opcode}");
    }
    let mut unmasked = frame(FIN | TEXT, b"");
    unmasked[1] &= 0x7F;
    unmasked.truncate(2);
    assert_eq!(code_after(&server, &unmasked), 1002);
}

#[test]
fn what_came_before_a_breach_is_heard() {
    let server = server();
    let mut socket = WebSocket::open(server.addr);
    socket.text("4before");
    socket.expect_text("4before");
    socket.send_frame(FIN | 0x40 | TEXT, b"4x");
    socket.expect_close(1002);
    support::wait_until("the message was handed over", || {
        server.echo.messages.load(std::sync::atomic::Ordering::SeqCst) == 1
    });
}

#[test]
fn fragments_5_make_one_message_with_control_frames_between_them() {
    let server = server();
    let mut socket = WebSocket::open(server.addr);
    socket.send_frame(TEXT, b"4frag");
    socket.send(PING, b"between");
    socket.send_frame(0, b"");
    socket.send_frame(0, b"men");
    assert_eq!(socket.frame(), Frame { opcode: PONG, payload: b"between".to_vec() });
    assert!(socket.is_silent(Duration::from_millis(50)), "the message is not complete");
    socket.send_frame(FIN, b"ted");
    socket.expect_text("4fragmented");
    socket.send_frame(BINARY, &[1]);
    socket.send_frame(FIN, &[2]);
    assert_eq!(socket.frame(), Frame { opcode: BINARY, payload: vec![1, 2] });
}

#[test]
fn fragments_5_in_a_wrong_order_are_protocol_errors() {
    let server = server();
    let sequences: [&[Vec<u8>]; 6] = [
        &[frame(PING, b"fragmented ping")],
        &[frame(PONG, b"fragmented pong")],
        &[frame(FIN, b"a continuation of nothing")],
        &[frame(0, b"a continuation of nothing")],
        &[frame(TEXT, b"4a"), frame(FIN | TEXT, b"4a new message inside")],
        &[frame(TEXT, b"4a"), frame(FIN, b"b"), frame(0, b"after the end")],
    ];
    for sequence in sequences {
        assert_eq!(code_after(&server, &sequence.concat()), 1002, "{sequence:?}");
    }
}

#[test]
fn utf8_6_is_checked_across_fragments_and_found_early() {
    let server = server();
    let mut socket = WebSocket::open(server.addr);
    for valid in ["4κόσμε", "4\u{0}", "4\u{7FF}", "4\u{800}", "4\u{FFFF}", "4\u{10000}", "4\u{10FFFF}"] {
        socket.text(valid);
        socket.expect_text(valid);
        let (front, back) = valid.as_bytes().split_at(valid.len() - 1);
        socket.send_frame(TEXT, front);
        socket.send_frame(FIN, back);
        socket.expect_text(valid);
    }
    let invalid: [&[u8]; 10] = [
        b"4\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"4\x80",
        b"4\xbf",
        b"4\xc0\xaf",
        b"4\xe0\x80\xaf",
        b"4\xf4\x90\x80\x80",
        b"4\xf8\x88\x80\x80\x80",
        b"4\xed\xbf\xbf",
        b"4\xfe",
        b"4\xe2\x82",
    ];
    for text in invalid {
        assert_eq!(code_after(&server, &frame(FIN | TEXT, text)), 1007, "{text:?}");
    }
    let early = frame(TEXT, b"4\xce\xba\xf4\x90\x80\x80");
    assert_eq!(code_after(&server, &early), 1007, "found before the message is complete");
    let half = &frame(FIN | TEXT, &[b"4\xff".as_slice(), &[b'a'; 200]].concat())[..20];
    assert_eq!(code_after(&server, half), 1007, "found before the frame is complete");
}

#[test]
fn closing_7_frames_are_answered_with_their_code_or_refused() {
    let server = server();
    let close = |body: &[u8]| code_after(&server, &frame(FIN | CLOSE, body));
    assert_eq!(close(b""), 1000);
    for code in [1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        assert_eq!(close(&code.to_be_bytes()), code);
    }
    assert_eq!(close(&[&1000u16.to_be_bytes()[..], "bye κόσμε".as_bytes()].concat()), 1000);
    assert_eq!(close(&[&1000u16.to_be_bytes()[..], &[b'*'; 123]].concat()), 1000);
    for code in [0u16, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535] {
        assert_eq!(close(&code.to_be_bytes()), 1002, "{code}");
    }
    assert_eq!(close(b"\x03"), 1002, "half a code");
    assert_eq!(close(b"\x03\xe8\xce\xba\xe1\xbd\xff"), 1007, "a reason that is not UTF-8");
    assert_eq!(close(&[&1000u16.to_be_bytes()[..], &[b'*'; 124]].concat()), 1002, "too long");
}

#[test]
fn closing_7_what_follows_a_close_frame_is_not_heard() {
    let server = server();
    let mut bytes = frame(FIN | CLOSE, b"\x03\xe8");
    bytes.extend(frame(FIN | TEXT, b"4after"));
    bytes.extend(frame(FIN | PING, b"after"));
    assert_eq!(code_after(&server, &bytes), 1000);
    assert_eq!(server.echo.messages.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[test]
fn limits_9_large_messages_pass_and_too_large_ones_are_refused_at_the_header() {
    let server = server();
    let mut socket = WebSocket::open(server.addr);
    for chunk in [64, 1000, 33_333] {
        let data: Vec<u8> = (0..MAX).map(|n| n as u8).collect();
        let bytes: Vec<u8> = frame(FIN | BINARY, &data);
        for part in bytes.chunks(chunk * 16) {
            socket.raw(part);
        }
        assert_eq!(socket.frame().payload, data);
        let mut first = BINARY;
        let parts: Vec<_> = data.chunks(chunk).collect();
        for (n, part) in parts.iter().enumerate() {
            socket.send_frame(first | if n + 1 == parts.len() { FIN } else { 0 }, part);
            first = 0;
        }
        assert_eq!(socket.frame().payload, data);
    }
    let header = &frame(FIN | BINARY, &vec![0; MAX + 1])[..14];
    assert_eq!(code_after(&server, header), 1009);
    let mut fragments = frame(BINARY, &vec![0; MAX]);
    fragments.extend(&frame(FIN, &[0])[..6]);
    assert_eq!(code_after(&server, &fragments), 1009);
    let absurd = [FIN | BINARY, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
    assert_eq!(code_after(&server, &absurd), 1009);
}

#[test]
fn handshakes_that_are_none_are_refused_before_a_session_exists() {
    let server = server();
    let head =
        "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\n";
    let version = "Upgrade: websocket\r\nSec-WebSocket-Version: ";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let refused = |rest: String| Pending::send_raw(server.addr, &format!("{head}{rest}")).answer();
    assert_eq!(refused(format!("Sec-WebSocket-Version: 13\r\n{key}")).status, 400);
    assert_eq!(refused(format!("{version}13\r\n\r\n")).status, 400);
    assert_eq!(refused(format!("{version}13\r\nSec-WebSocket-Key: short\r\n\r\n")).status, 400);
    let old = refused(format!("{version}8\r\n{key}"));
    assert_eq!(old.status, 426);
    assert!(old.head.contains("sec-websocket-version: 13"), "{}", old.head);
    assert_eq!(server.control.counters().snapshot().sessions_opened, 0);
}

#[test]
fn frames_may_come_with_the_handshake() {
    let server = server();
    let mut socket = WebSocket::open(server.addr);
    socket.text("4warm");
    socket.expect_text("4warm");
    let mut bytes = b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    bytes.extend(frame(FIN | TEXT, b"4early"));
    bytes.extend(&frame(FIN | TEXT, b"4cut")[..5]);
    let mut early = WebSocket::raw_after_handshake(server.addr, &bytes);
    early.raw(&frame(FIN | TEXT, b"4cut")[5..]);
    assert!(early.frame().text().starts_with("0{"));
    early.expect_text("4early");
    early.expect_text("4cut");
}
