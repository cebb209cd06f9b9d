//! Random values in both directions through the msgpack libraries that Node servers use, notepack.io and
//! @msgpack/msgpack.

use std::{
    collections::VecDeque,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use socketioxide_core::Value;

use super::{encode, transcode};

const ROUNDS: usize = 2_000;

/// A small generator with a seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 6] = ["", "a", "é", "😀", "\u{0}", "\"\\\n\u{7f}"];
        // Now and then one with a longer head.
        let long = "x".repeat([0, 0, 0, 40, 0, 0, 0, 300][self.below(8) as usize]);
        (0..self.below(4)).map(|_| PARTS[self.below(6) as usize]).chain([long.as_str()]).collect()
    }

    /// Few, and now and then more than the shortest head can count.
    fn members(&mut self) -> u64 {
        if self.below(20) == 0 { 17 } else { self.below(4) }
    }

    fn number(&mut self) -> Json {
        match self.below(7) {
            0 => json!(self.below(128)),
            1 => json!(-(self.below(200) as i64)),
            2 => json!(self.below(1 << 16)),
            3 => json!(self.below(1 << 33)),
            4 => json!(-(self.below(1 << 40) as i64)),
            5 => json!(self.below(1 << 53)),
            _ => json!(self.below(1 << 20) as f64 / 7.0),
        }
    }

    /// As socketioxide's parser makes it: placeholders in the text, the bytes beside it.
    fn value(&mut self, depth: u32, bins: &mut VecDeque<Bytes>) -> Json {
        match self.below(if depth > 0 { 9 } else { 6 }) {
            0 => Json::Null,
            1 => json!(self.below(2) == 0),
            2 | 3 => self.number(),
            4 => json!(self.text()),
            5 => {
                bins.push_back(self.text().into());
                json!({ "_placeholder": true, "num": bins.len() - 1 })
            }
            6 => (0..self.members()).map(|_| self.value(depth - 1, bins)).collect(),
            _ => {
                let members = self.members();
                let member = |at: u64| (self.text() + &at.to_string(), self.value(depth - 1, bins));
                Json::Object((0..members).map(member).collect::<Map<_, _>>())
            }
        }
    }
}

/// The placeholders replaced by what Node prints of a Buffer.
fn with_buffers(value: Json, bins: &VecDeque<Bytes>) -> Json {
    match value {
        Json::Object(map) if map.contains_key("_placeholder") => {
            json!({ "type": "Buffer", "data": bins[map["num"].as_u64().unwrap() as usize].to_vec() })
        }
        Json::Object(map) => map.into_iter().map(|(key, value)| (key, with_buffers(value, bins))).collect(),
        Json::Array(list) => list.into_iter().map(|value| with_buffers(value, bins)).collect(),
        other => other,
    }
}

/// JavaScript prints 2.0 as 2: numbers are compared as such.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &Json) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn random_values_survive_nodes_own_libraries_in_both_directions() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = here.join("../../tests/node/package.json");
    assert!(package.with_file_name("node_modules").is_dir(), "run `npm ci` in tests/node");
    let mut node = Command::new("node")
        .arg(here.join("tests/dialects.mjs"))
        .arg(package)
        .arg(ROUNDS.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed");

    let mut random = Random(0x5eed);
    let (mut lines, mut expected) = (String::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut bins = VecDeque::new();
        let value = random.value(3, &mut bins);
        let mut out = Vec::new();
        let text = value.to_string().into();
        encode::value(&mut out, &Value::Str(text, (!bins.is_empty()).then(|| bins.clone()))).unwrap();
        lines += &(hex(&out) + "\n");
        expected.push(with_buffers(value, &bins));
    }
    let mut stdin = node.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = node.wait_with_output().unwrap();
    writing.join().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut answers = output.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());

    for (at, expected) in expected.iter().enumerate() {
        let decoded = answers.next().unwrap();
        assert!(same(&decoded[0], expected), "notepack, value {at}: {expected}");
        assert!(same(&decoded[1], expected), "@msgpack, value {at}: {expected}");
    }
    for at in 0..ROUNDS {
        let theirs = answers.next().unwrap();
        for library in ["notepack", "msgpack"] {
            let decoded = serde_json::from_str(&transcode::json(&unhex(&theirs[library])).unwrap()).unwrap();
            assert!(same(&decoded, &theirs["value"]), "{library}, value {at}: {decoded} {}", theirs["value"]);
        }
    }
    assert!(answers.next().is_none());
}
