//! The text of one JSON value into what a field holds: instants, decimals, coordinates, plain text.
//!
//! Decimals never pass through a float. Each reader has a path for what platforms usually write and falls back on a
//! complete one.

use std::borrow::Cow;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::core::time::Time;

/// Numbers below this are seconds since 1970, all others milliseconds: it is the last second of the year 9999, and as
/// milliseconds a day in January 1978.
const FIRST_MILLISECOND: i64 = 253_402_300_800;

/// How a platform writes instants, where it is not left to be seen from the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339, or seconds or milliseconds since 1970 by their size.
    #[default]
    Any,
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl TimeFormat {
    pub const ALL: [Self; 5] =
        [Self::Any, Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }
}

/// The inside of a raw JSON string, with its escapes resolved; [`None`] where the value is not a string.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.as_bytes().contains(&b'\\') {
        return sonic_rs::from_str::<String>(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

/// A value that is not null and has no parts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'t> {
    /// The inside of a string, its escapes resolved.
    Text(&'t str),
    /// A number as it is written.
    Number(&'t str),
}

pub(super) fn time(value: Scalar<'_>, format: TimeFormat) -> Option<Time> {
    match value {
        Scalar::Text(text) => time_text(text, format),
        Scalar::Number(number) => epoch(number, format),
    }
}

/// An instant from a text, however it is written.
pub(super) fn time_text(text: &str, format: TimeFormat) -> Option<Time> {
    if let Some(time) = rfc3339(text.as_bytes()) {
        return Some(time);
    }
    if let Some(time) = epoch(text, format) {
        return Some(time);
    }
    let timestamp = text.trim().parse::<jiff::Timestamp>().ok()?;
    Some(Time::from_millis(timestamp.as_millisecond()))
}

/// Digits since 1970, with or without a fraction.
fn epoch(text: &str, format: TimeFormat) -> Option<Time> {
    if let (Ok(whole), TimeFormat::Any) = (text.parse::<i64>(), format) {
        let millis = if whole.abs() < FIRST_MILLISECOND { whole.checked_mul(1_000)? } else { whole };
        return Some(Time::from_millis(millis));
    }
    let value = decimal_text(text)?;
    let scale = match format {
        TimeFormat::Any if value.abs() < Decimal::from(FIRST_MILLISECOND) => Decimal::ONE_THOUSAND,
        TimeFormat::Seconds => Decimal::ONE_THOUSAND,
        TimeFormat::Any | TimeFormat::Milliseconds => Decimal::ONE,
        TimeFormat::Microseconds => Decimal::new(1, 3),
        TimeFormat::Nanoseconds => Decimal::new(1, 6),
    };
    let millis = value.checked_mul(scale)?.floor();
    i64::try_from(millis).ok().map(Time::from_millis)
}

/// `2026-10-01T08:12:30Z`, with a fraction of any length and any offset; [`None`] for every other form, right or wrong.
pub(super) fn rfc3339(text: &[u8]) -> Option<Time> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't' | b' ', _, _, b':', _, _, b':', _, _] = head else {
        return None;
    };
    let two = |at: usize| -> Option<i64> {
        let tens = head.get(at)?.wrapping_sub(b'0');
        let ones = head.get(at + 1)?.wrapping_sub(b'0');
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    let year = two(0)? * 100 + two(2)?;
    let (month, day) = (two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let (millis, rest) = fraction(rest)?;
    let offset = offset_minutes(rest)?;
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset;
    Some(Time::from_millis((minutes * 60 + second) * 1_000 + millis))
}

/// Milliseconds of a fraction such as `.123456`, and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else {
        return Some((0, rest));
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at_checked(length)?;
    let digit = |at: usize| digits.get(at).map_or(0, |byte| i64::from(byte - b'0'));
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), rest))
}

fn offset_minutes(rest: &[u8]) -> Option<i64> {
    match rest {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digits = [h1, h2, m1, m2];
            if !digits.iter().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let [h1, h2, m1, m2] = digits.map(|byte| i64::from(byte - b'0'));
            let (hours, minutes) = (h1 * 10 + h2, m1 * 10 + m2);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            Some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, by counting years from March so that a leap day comes last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month_from_march * 153 + 2) / 5 + day - 1 - 719_468
}

pub(super) fn decimal(value: Scalar<'_>) -> Option<Decimal> {
    match value {
        Scalar::Text(text) => decimal_text(text.trim_ascii()),
        Scalar::Number(number) => decimal_text(number),
    }
}

fn decimal_text(text: &str) -> Option<Decimal> {
    if let Some(value) = short_decimal(text.as_bytes()) {
        return Some(value);
    }
    if text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) {
        return None; // the library's separators are not ours
    }
    if text.contains(['e', 'E']) {
        return Decimal::from_scientific(text).ok();
    }
    Decimal::from_str(text).ok()
}

/// Up to 18 digits with an optional sign and point, which is what nearly every amount is.
fn short_decimal(text: &[u8]) -> Option<Decimal> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut mantissa = 0_i64;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?,
            b'.' if point.is_none() && at > 0 && at + 1 < digits.len() => point = Some(at),
            _ => return None,
        }
    }
    let scale = point.map_or(0, |at| digits.len() - at - 1);
    let mantissa = if negative { -mantissa } else { mantissa };
    Some(Decimal::new(mantissa, u32::try_from(scale).ok()?))
}

/// A coordinate or distance; its precision is that of a map, so a float will do.
pub(super) fn coordinate(value: Scalar<'_>) -> Option<f64> {
    let (Scalar::Text(text) | Scalar::Number(text)) = value;
    text.trim_ascii().parse::<f64>().ok().filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use crate::core::tests::seeded;
    use proptest::prelude::*;

    use super::*;

    fn scalar(raw: &str) -> Scalar<'_> {
        match raw.strip_prefix('"') {
            Some(text) => Scalar::Text(text.trim_end_matches('"')),
            None => Scalar::Number(raw),
        }
    }

    fn millis(raw: &str) -> Option<i64> {
        time(scalar(raw), TimeFormat::Any).map(Time::as_millis)
    }

    #[test]
    fn instants_are_read_in_every_form_that_platforms_write() {
        for (raw, expected) in [
            (r#""2026-10-01T08:12:30Z""#, 1_790_842_350_000),
            (r#""2026-10-01T08:12:30.123Z""#, 1_790_842_350_123),
            (r#""2026-10-01t08:12:30.1z""#, 1_790_842_350_100),
            (r#""2026-10-01T16:12:30.123456789+08:00""#, 1_790_842_350_123),
            (r#""2026-10-01 16:12:30+08:00""#, 1_790_842_350_000),
            (r#""2026-10-01T03:42:30-04:30""#, 1_790_842_350_000),
            (r#""2026-10-01T16:12:30+0800""#, 1_790_842_350_000),
            (r#""2026-10-01T16:12+08:00""#, 1_790_842_320_000),
            (r#""2024-02-29T00:00:00Z""#, 1_709_164_800_000),
            (r#""2016-12-31T23:59:60Z""#, 1_483_228_799_000),
            ("1790842350", 1_790_842_350_000),
            ("1790842350123", 1_790_842_350_123),
            ("1790842350.1239", 1_790_842_350_123),
            ("1.790842350e9", 1_790_842_350_000),
            (r#""1790842350""#, 1_790_842_350_000),
            (r#""1790842350123""#, 1_790_842_350_123),
            ("0", 0),
            ("-1", -1_000),
        ] {
            assert_eq!(millis(raw), Some(expected), "{raw}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for raw in [
            r#""""#,
            r#""yesterday""#,
            r#""2026-13-01T00:00:00Z""#,
            r#""2026-02-29T00:00:00Z""#,
            r#""2026-10-01T24:00:00Z""#,
            r#""2026-10-01T08:12:30""#,
            r#""2026-10-01""#,
            r#""2026-10-01T08:12:30.Z""#,
            "1e400",
            "99999999999999999999999999999999999999",
            "true",
            "[]",
        ] {
            assert_eq!(millis(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_stated_unit_overrides_the_guess_by_size() {
        for (raw, format, expected) in [
            ("1790842350", TimeFormat::Seconds, 1_790_842_350_000),
            ("86400000", TimeFormat::Milliseconds, 86_400_000),
            ("1790842350123456", TimeFormat::Microseconds, 1_790_842_350_123),
            ("1790842350123456789", TimeFormat::Nanoseconds, 1_790_842_350_123),
        ] {
            assert_eq!(time(scalar(raw), format), Some(Time::from_millis(expected)), "{raw}");
        }
    }

    #[test]
    fn decimals_keep_every_digit() {
        for (raw, expected) in [
            ("0.1", "0.1"),
            ("99.90", "99.90"),
            (r#""99.90""#, "99.90"),
            ("-3", "-3"),
            ("100", "100"),
            ("1e3", "1000"),
            ("12345678901234567890.12", "12345678901234567890.12"),
            (r#""0.0000000000000000000001""#, "0.0000000000000000000001"),
        ] {
            assert_eq!(
                decimal(scalar(raw)).map(|value| value.to_string()).as_deref(),
                Some(expected),
                "{raw}"
            );
        }
        for raw in
            [r#""""#, r#""1,5""#, r#""1_000""#, r#""12 CNY""#, r#"".""#, "1e400", "true", "null", r#""NaN""#]
        {
            assert_eq!(decimal(scalar(raw)), None, "{raw}");
        }
    }

    proptest! {
        #![proptest_config(seeded(ProptestConfig::default()))]

        #[test]
        fn the_short_way_reads_instants_as_the_library_does(
            millis in 946_684_800_000_i64..4_102_444_800_000, offset in -14 * 60..14 * 60_i32
        ) {
            let timestamp = jiff::Timestamp::from_millisecond(millis).expect("in range");
            let zone = jiff::tz::Offset::from_seconds(offset * 60).expect("in range");
            let text = timestamp.display_with_offset(zone).to_string();
            prop_assert_eq!(rfc3339(text.as_bytes()), Some(Time::from_millis(millis)), "{}", text);
        }

        #[test]
        fn the_short_way_reads_decimals_as_the_library_does(text in "-?[0-9]{1,12}(\\.[0-9]{1,8})?") {
            if let Some(short) = short_decimal(text.as_bytes()) {
                prop_assert_eq!(short.to_string(), Decimal::from_str(&text).expect("a decimal").to_string());
            } else {
                prop_assert!(text.trim_start_matches('-').len() > 19);
            }
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in ".{0,40}") {
            for value in [Scalar::Text(&text), Scalar::Number(&text)] {
                time(value, TimeFormat::Any);
                time(value, TimeFormat::Nanoseconds);
                decimal(value);
                coordinate(value);
            }
        }
    }
}
