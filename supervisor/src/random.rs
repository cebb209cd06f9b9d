//! Random numbers from the kernel: few and seldom, so that no generator of our own is needed.

use std::fs::File;
use std::io::{self, Read};

use oxherd_contract::secret::Secret;

/// Bytes of a secret that nobody chose.
const SECRET_BYTES: usize = 32;

/// Two numbers of 64 bits.
pub(crate) fn numbers() -> io::Result<[u64; 2]> {
    let bytes = bytes::<16>()?;
    let (first, second) = bytes.split_at(8);
    Ok([first, second].map(|half| half.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))))
}

/// A secret that nobody can guess, as hex digits.
pub(crate) fn secret() -> io::Result<Secret> {
    let bytes = bytes::<SECRET_BYTES>()?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_the_same() {
        let [one, other] = [secret().unwrap(), secret().unwrap()];
        assert_eq!(one.reveal().len(), SECRET_BYTES * 2);
        assert_ne!(one, other);
        assert_ne!(numbers().unwrap(), numbers().unwrap());
    }
}
