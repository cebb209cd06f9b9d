//! Messages cut into frames and reads of every shape, from a seed.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const LIMITS: Limits = Limits { frame_max: 1000, message_max: 2000 };

fn client_frame(fin: bool, opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put_header(&mut bytes, Opcode::Binary, payload.len());
    bytes[0] = u8::from(fin) << 7 | opcode;
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&mask);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    frame::apply_mask(&mut bytes[start..], mask, 0);
    bytes
}

/// Feeds `bytes` in reads of the given sizes, over and over.
fn decode(bytes: &[u8], reads: impl IntoIterator<Item = usize>) -> Result<Vec<Event>, CloseCode> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    for read in reads {
        let (chunk, tail) = rest.split_at_mut(read.min(rest.len()));
        rest = tail;
        let mut chunk = chunk;
        while let Some(event) = decoder.next(&mut chunk, LIMITS)? {
            events.push(event);
        }
        if rest.is_empty() {
            break;
        }
    }
    assert!(decoder.partial.is_none(), "an idle decoder keeps no memory");
    Ok(events)
}

#[test]
fn messages_survive_every_cut_into_frames_and_reads() {
    for seed in 0..500 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bytes = Vec::new();
        let mut want = Vec::new();
        for _ in 0..rng.random_range(1..6) {
            let text: String = (0..rng.random_range(0..300)).map(|_| rng.random::<char>()).collect();
            let text: String = text.chars().take(400).collect();
            let mut payload = text.as_bytes();
            let mut opcode = if rng.random() { 1 } else { 2 };
            let is_text = opcode == 1;
            loop {
                let len = rng.random_range(0..=payload.len().min(1000));
                let fin = len == payload.len();
                bytes.extend(client_frame(fin, opcode, &payload[..len], rng.random()));
                payload = &payload[len..];
                opcode = 0;
                if fin {
                    break;
                }
                if rng.random_ratio(1, 4) {
                    let ping: Vec<u8> = (0..rng.random_range(0..126)).map(|_| rng.random()).collect();
                    bytes.extend(client_frame(true, 9, &ping, rng.random()));
                    want.push(Event::Ping(ping.into()));
                }
            }
            want.push(if is_text { Event::Text(text.into()) } else { Event::Binary(text.into()) });
        }
        let reads = std::iter::repeat_with(|| rng.random_range(1..200));
        assert_eq!(decode(&bytes, reads), Ok(want), "seed {seed}");
    }
}

#[test]
fn noise_is_an_error_or_waits_for_more_and_never_panics() {
    'seeds: for seed in 0..20_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bytes: Vec<u8> = (0..rng.random_range(1..400)).map(|_| rng.random()).collect();
        // Half of the time a plausible beginning, or nearly all would end at the first byte.
        if rng.random() {
            let opcode = [0x81, 0x82, 0x01, 0x89, 0x88][rng.random_range(0..5)];
            bytes.splice(0..0, [opcode, 0x80 | rng.random_range(0..20u8)]);
        }
        let mut decoder = Decoder::default();
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let (mut chunk, tail) = rest.split_at_mut(rng.random_range(1..=rest.len()));
            rest = tail;
            loop {
                match decoder.next(&mut chunk, LIMITS) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => continue 'seeds,
                }
            }
        }
    }
}

#[test]
fn fragments_out_of_order_are_protocol_errors() {
    let mask = [0; 4];
    let lone = client_frame(true, 0, b"x", mask);
    assert_eq!(decode(&lone, [100]), Err(CloseCode::PROTOCOL_ERROR));
    let mut nested = client_frame(false, 1, b"x", mask);
    nested.extend(client_frame(true, 1, b"y", mask));
    assert_eq!(decode(&nested, [100]), Err(CloseCode::PROTOCOL_ERROR));
}

#[test]
fn too_much_is_refused_before_it_is_read() {
    let mask = [0; 4];
    let large = &client_frame(true, 2, &[0; 1001], mask)[..8];
    assert_eq!(decode(large, [100]), Err(CloseCode::TOO_BIG));
    let mut fragments = client_frame(false, 2, &[0; 1000], mask);
    fragments.extend(client_frame(false, 0, &[0; 1000], mask));
    fragments.extend(&client_frame(true, 0, &[0; 1], mask)[..6]);
    assert_eq!(decode(&fragments, [5000]), Err(CloseCode::TOO_BIG));
}

#[test]
fn text_that_is_not_utf8_is_found_at_the_bad_byte() {
    let mask = [0; 4];
    assert_eq!(decode(&client_frame(true, 1, b"\xff", mask), [100]), Err(CloseCode::INVALID_PAYLOAD));
    let bad_start = client_frame(false, 1, b"abc\xc0", mask);
    assert_eq!(decode(&bad_start, [100]), Err(CloseCode::INVALID_PAYLOAD));
    let mut cut = client_frame(false, 1, b"\xe2\x82", mask);
    cut.extend(client_frame(true, 0, b"", mask));
    assert_eq!(decode(&cut, [100]), Err(CloseCode::INVALID_PAYLOAD), "the message ends inside a character");
}
