//! Dates as the clients see them: the text of JavaScript's `Date.prototype.toISOString`.

/// ECMA-262 §21.4.1.1: no Date is farther than this from 1970.
const MS_MAX: i64 = 8_640_000_000_000_000;

const DAY_MS: i64 = 86_400_000;

/// `2023-11-14T22:13:20.123Z`; years outside 0…9999 take a sign and six digits. `None` beyond what a Date can hold,
/// which JSON renders as null.
pub(crate) fn iso(unix_ms: i64) -> Option<String> {
    if unix_ms.unsigned_abs() > MS_MAX.unsigned_abs() {
        return None;
    }
    let (year, month, day) = civil(unix_ms.div_euclid(DAY_MS));
    let ms = unix_ms.rem_euclid(DAY_MS);
    let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let year = if (0..=9999).contains(&year) { format!("{year:04}") } else { format!("{year:+07}") };
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"))
}

/// The payload of a msgpack timestamp (extension type −1) in milliseconds.
pub(crate) fn timestamp_ms(data: &[u8]) -> Option<i64> {
    let (seconds, nanos) = match *data {
        [a, b, c, d] => (i64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [a, b, c, d, e, f, g, h] => {
            let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            ((both & 0x3_ffff_ffff) as i64, both >> 34)
        }
        [n0, n1, n2, n3, a, b, c, d, e, f, g, h] => {
            (i64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from(u32::from_be_bytes([n0, n1, n2, n3])))
        }
        _ => return None,
    };
    seconds.checked_mul(1000)?.checked_add((nanos / 1_000_000) as i64)
}

/// Year, month and day of a day counted from 1970-01-01 in the proleptic Gregorian calendar: counts in 400-year eras
/// that begin on 1 March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_javascript_prints_them() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
            (MS_MAX, "+275760-09-13T00:00:00.000Z"),
        ];
        for (ms, text) in table {
            assert_eq!(iso(ms).as_deref(), Some(text));
        }
        assert_eq!(iso(MS_MAX + 1), None);
        assert_eq!(iso(i64::MIN + 1), None);
    }

    #[test]
    fn all_three_timestamp_forms_are_understood() {
        assert_eq!(timestamp_ms(&[0, 0, 0, 1]), Some(1000));
        assert_eq!(timestamp_ms(&[0x1d, 0x53, 0x53, 0, 0x65, 0x53, 0xf1, 0]), Some(1_700_000_000_123));
        assert_eq!(timestamp_ms(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Some(-1000));
        assert_eq!(timestamp_ms(&[1]), None);
        assert_eq!(timestamp_ms(&[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
