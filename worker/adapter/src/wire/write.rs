//! Writes msgpack in the minimal forms that notepack writes, so that our bytes equal Node's.

/// Where a container's head stands whose number of members is not known yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open(usize);

pub(crate) fn nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

pub(crate) fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

pub(crate) fn uint(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
    match number {
        0.. => uint(out, number as u64),
        -0x20..=-1 => out.push(number as u8),
        -0x80..=-0x21 => out.extend_from_slice(&[0xd0, number as u8]),
        -0x8000..=-0x81 => {
            out.push(0xd1);
            out.extend_from_slice(&(number as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend_from_slice(&(number as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// A JavaScript number: whole ones are integers on the wire, as JavaScript knows no difference.
pub(crate) fn float(out: &mut Vec<u8>, number: f64) {
    const EXACT: f64 = (1u64 << 53) as f64;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        int(out, number as i64);
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

pub(crate) fn str(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        len @ 0..=0x1f => out.push(0xa0 | len as u8),
        len @ 0x20..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len @ 0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xdb);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        len @ 0..=0xff => out.extend_from_slice(&[0xc4, len as u8]),
        len @ 0x100..=0xffff => {
            out.push(0xc5);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xc6);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

pub(crate) fn array(out: &mut Vec<u8>, len: usize) {
    let open = open(out);
    close_array(out, open, len);
}

pub(crate) fn map(out: &mut Vec<u8>, len: usize) {
    let open = open(out);
    close_map(out, open, len);
}

/// Begins a container whose length is known when its members are written: almost all have less than 16 members and
/// their head is one byte; the others move their members once.
pub(crate) fn open(out: &mut Vec<u8>) -> Open {
    out.push(0);
    Open(out.len() - 1)
}

pub(crate) fn close_array(out: &mut Vec<u8>, open: Open, len: usize) {
    close(out, open, len, 0x90, 0xdc);
}

pub(crate) fn close_map(out: &mut Vec<u8>, open: Open, len: usize) {
    close(out, open, len, 0x80, 0xde);
}

/// What was written since `open`.
pub(crate) fn since(out: &[u8], open: Open) -> &[u8] {
    &out[open.0 + 1..]
}

/// Forgets everything since `open`, the head included.
pub(crate) fn undo(out: &mut Vec<u8>, open: Open) {
    out.truncate(open.0);
}

fn close(out: &mut Vec<u8>, Open(at): Open, len: usize, fix: u8, wide: u8) {
    match len {
        0..=0x0f => out[at] = fix | len as u8,
        0x10..=0xffff => {
            let [high, low] = (len as u16).to_be_bytes();
            out.splice(at..=at, [wide, high, low]);
        }
        _ => {
            let [a, b, c, d] = (len as u32).to_be_bytes();
            out.splice(at..=at, [wide + 1, a, b, c, d]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::msgpack::{Reader, Token};
    use super::*;

    #[test]
    fn integers_take_their_smallest_form_and_read_back() {
        let lengths =
            [(0, 1), (127, 1), (128, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5), (1 << 32, 9)];
        for (number, length) in lengths {
            let mut out = Vec::new();
            uint(&mut out, number);
            assert_eq!(out.len(), length, "{number}");
            assert_eq!(Reader::new(&out).token().unwrap(), Token::UInt(number));
        }
        for number in [-1, -32, -33, -128, -129, -32_768, -32_769, i64::from(i32::MIN), i64::MIN] {
            let mut out = Vec::new();
            int(&mut out, number);
            assert_eq!(Reader::new(&out).token().unwrap(), Token::Int(number));
        }
    }

    #[test]
    fn a_container_of_sixteen_gets_the_longer_head() {
        for len in [0usize, 15, 16, 70_000] {
            let mut out = vec![0xc0];
            let open = open(&mut out);
            (0..len).for_each(|_| nil(&mut out));
            close_array(&mut out, open, len);
            let mut reader = Reader::within(&out, 1..out.len());
            assert_eq!(reader.span().unwrap(), 1..out.len(), "{len}");
            reader.finish().unwrap();
        }
    }

    #[test]
    fn whole_floats_are_integers_as_in_javascript() {
        let mut out = Vec::new();
        float(&mut out, 3.0);
        float(&mut out, -0.0);
        assert_eq!(out, [3, 0]);
        out.clear();
        float(&mut out, 1e300);
        assert_eq!(out[0], 0xcb);
    }
}
