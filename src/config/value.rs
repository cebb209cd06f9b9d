//! Values: from what was typed to what it means, or to the words that say what it may be. Pure.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use oxherd_contract::secret::Secret;
use oxherd_worker::ClusterConfig;

use super::typed::Value;

/// A whole number in a range.
pub(crate) fn number<T: Copy + Display + PartialOrd + TryFrom<i64>>(
    range: RangeInclusive<T>,
) -> impl Fn(&Value) -> Result<T, String> {
    move |value| {
        let number = match value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("expected a number from {} to {}", range.start(), range.end()))
    }
}

/// `auto`, or else what `inner` takes.
pub(crate) fn auto_or<T>(
    inner: impl Fn(&Value) -> Result<T, String>,
) -> impl Fn(&Value) -> Result<Option<T>, String> {
    move |value| match value {
        Value::Text(text) if text == "auto" => Ok(None),
        _ => inner(value).map(Some).map_err(|why| format!("{why}, or \"auto\"")),
    }
}

/// A duration with its unit, in a range.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Result<Duration, String> {
    move |value| {
        let text = if let Value::Text(text) = value { text } else { "" };
        parse_duration(text).filter(|duration| range.contains(duration)).ok_or_else(|| {
            let (least, most) = (written(*range.start()), written(*range.end()));
            format!("expected a duration with its unit (ms, s, m, h), from \"{least}\" to \"{most}\"")
        })
    }
}

/// Text of 1 to `most` bytes on one line.
pub(crate) fn line(most: usize) -> impl Fn(&Value) -> Result<String, String> {
    move |value| match value {
        Value::Text(text) if (1..=most).contains(&text.len()) && !text.contains(char::is_control) => {
            Ok(text.clone())
        }
        _ => Err(format!("expected a string of 1 to {most} bytes on one line")),
    }
}

/// `true` or `false`.
pub(crate) fn truth(value: &Value) -> Result<bool, String> {
    match value {
        Value::Truth(truth) => Ok(*truth),
        Value::Text(text) => text.parse().map_err(|_| "expected true or false".to_owned()),
        _ => Err("expected true or false".to_owned()),
    }
}

/// A list of up to `most`, or one alone.
pub(crate) fn one_or_list<T>(
    most: usize,
    one: impl Fn(&Value) -> Result<T, String>,
) -> impl Fn(&Value) -> Result<Vec<T>, String> {
    move |value| match value {
        Value::List(items) if items.len() > most => Err(format!("expected {most} at most")),
        Value::List(items) => items.iter().map(|item| one(&item.value)).collect(),
        value => one(value).map(|one| vec![one]),
    }
}

/// A path; a relative one is taken from the working directory later.
pub(crate) fn path(value: &Value) -> Result<PathBuf, String> {
    match value {
        Value::Text(text) if !text.is_empty() && !text.contains('\0') => Ok(PathBuf::from(text)),
        _ => Err("expected a path".to_owned()),
    }
}

/// `IP:PORT`.
pub(crate) fn address(value: &Value) -> Result<SocketAddr, String> {
    match value {
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| "expected IP:PORT or [IPV6]:PORT".to_owned())
}

/// `IP:PORT`, or a list of them.
pub(crate) fn addresses(value: &Value) -> Result<Vec<SocketAddr>, String> {
    one_or_list(ADDRESSES_MAX, address)(value)
        .map_err(|_| format!("expected IP:PORT or [IPV6]:PORT, or a list of {ADDRESSES_MAX} of them at most"))
}

/// Addresses in one list at most.
const ADDRESSES_MAX: usize = 8;

/// Permission bits: `0o660` or `"0660"`.
pub(crate) fn mode(value: &Value) -> Result<u32, String> {
    let bits = match value {
        Value::Integer(bits) => u32::try_from(*bits).ok(),
        Value::Text(text) => u32::from_str_radix(text, 8).ok(),
        _ => None,
    };
    bits.filter(|bits| *bits <= 0o777)
        .ok_or_else(|| "expected permission bits from \"0000\" to \"0777\"".to_owned())
}

/// The URL of a Redis and its place without user and password; what is understood is the adapter's to say.
pub(crate) fn redis_url(value: &Value) -> Result<(Secret, String), String> {
    let text = line(URL_BYTES_MAX)(value).unwrap_or_default();
    let known = ["redis://", "rediss://", "unix://"].iter().any(|scheme| text.starts_with(scheme));
    match ClusterConfig::new(&text) {
        Ok(config) if known => Ok((Secret::new(text), config.place())),
        _ => Err(REDIS_URL_FORM.to_owned()), // the cause might repeat a part of the URL
    }
}

/// Bytes of a URL at most.
const URL_BYTES_MAX: usize = 2048;

const REDIS_URL_FORM: &str = "expected redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, or unix:///PATH[?db=N&pass=…]";

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
}

/// As [`parse_duration`] reads it, in the largest unit that is exact.
pub(crate) fn written(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    [("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .into_iter()
        .find(|(_, unit)| milliseconds > 0 && milliseconds.is_multiple_of(*unit))
        .map_or_else(|| format!("{milliseconds}ms"), |(name, unit)| format!("{}{name}", milliseconds / unit))
}

#[cfg(test)]
mod tests {
    use super::super::typed::{Origin, Typed};
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_number_is_taken_from_a_file_or_a_flag_within_its_range() {
        let workers = auto_or(number(1..=64_u16));
        assert_eq!(workers(&Value::Integer(64)), Ok(Some(64)));
        assert_eq!(workers(&text("3")), Ok(Some(3)));
        assert_eq!(workers(&text("auto")), Ok(None));
        for bad in [
            Value::Integer(0),
            Value::Integer(65),
            Value::Integer(-1),
            Value::Integer(1 << 40),
            text("two"),
            text(""),
        ] {
            assert_eq!(workers(&bad).unwrap_err(), "expected a number from 1 to 64, or \"auto\"");
        }
    }

    #[test]
    fn a_duration_has_a_unit_and_a_range() {
        let short = duration(Duration::from_millis(100)..=Duration::from_secs(60));
        for (typed, milliseconds) in [("100ms", 100), ("10s", 10_000), ("1m", 60_000)] {
            assert_eq!(short(&text(typed)), Ok(Duration::from_millis(milliseconds)));
            assert_eq!(written(Duration::from_millis(milliseconds)), typed);
        }
        for bad in ["", "10", "s", "1.5s", "-1s", "1 s", "99ms", "61s", "1d", "99999999999999999999h"] {
            let why = short(&text(bad)).unwrap_err();
            assert!(why.ends_with("from \"100ms\" to \"1m\""), "{bad}: {why}");
        }
        assert!(short(&Value::Integer(10)).is_err());
    }

    #[test]
    fn an_address_has_a_port_and_may_be_one_of_several() {
        let list = |texts: &[&str]| {
            let typed = |one: &&str| Typed { value: text(one), origin: Origin::Default };
            Value::List(texts.iter().map(typed).collect())
        };
        assert_eq!(addresses(&text("[::1]:6379")).unwrap().len(), 1);
        assert_eq!(addresses(&list(&["127.0.0.1:0", "10.0.0.1:6379"])).unwrap().len(), 2);
        assert_eq!(addresses(&list(&[])).unwrap(), []);
        for bad in [text("localhost:6379"), text("127.0.0.1"), list(&["127.0.0.1:0", "x"]), list(&["h:1"; 9])]
        {
            assert!(addresses(&bad).unwrap_err().starts_with("expected IP:PORT"), "{bad}");
        }
    }

    #[test]
    fn permission_bits_are_octal() {
        assert_eq!(mode(&text("0660")), Ok(0o660));
        assert_eq!(mode(&Value::Integer(0o600)), Ok(0o600));
        assert!(mode(&text("0999")).is_err() && mode(&Value::Integer(660)).is_err());
    }

    #[test]
    fn a_redis_url_is_known_by_its_form_and_its_place_has_no_secret() {
        for (good, place) in [
            ("redis://h", "h:6379"),
            ("redis://h:6379/0", "h:6379"),
            ("rediss://u:hunter2@h", "h:6379"),
            ("redis://:hunter2%40@[::1]:1/15", "[::1]:1"),
            ("unix:///run/redis.sock?pass=hunter2", "/run/redis.sock"),
        ] {
            assert_eq!(redis_url(&text(good)).map(|(_, place)| place), Ok(place.to_owned()), "{good}");
        }
        for bad in ["", "h:6379", "http://h", "redis://h:x", "redis://h/x", "redis://h\n"] {
            assert!(redis_url(&text(bad)).is_err(), "{bad}");
        }
    }
}
