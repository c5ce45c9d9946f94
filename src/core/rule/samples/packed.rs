//! Times, counts and decimals in sixteen bytes, since a busy subject has many of them.
//!
//! A decimal is its sign, its scale and the bits of its digits. Where it has more digits than there is room for (no amount
//! of money has), the last ones behind the point are rounded away, and what is larger still is the largest there is.

use rust_decimal::Decimal;

use super::series::{OPEN, Sample};
use crate::core::time::Time;

/// Bits of a decimal's sign and scale.
const FORM: u32 = 6;
const SCALE: u64 = 0b1_1111;
/// Bits of a sample's value beside the lower 64.
const HIGH: u32 = 13;
const OPEN_BIT: u64 = 1 << (HIGH + FORM);
const TIME_SHIFT: u32 = HIGH + FORM + 1;

/// A sample. Times are told apart from 1970 to 2527.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// From above: milliseconds, whether it is open, sign, scale and the upper bits of the value.
    stamp: u64,
    low: u64,
}

impl Packed {
    pub fn time(&self) -> Time {
        Time::from_millis((self.stamp >> TIME_SHIFT).cast_signed())
    }

    pub fn value(&self) -> Decimal {
        if self.stamp & OPEN_BIT != 0 { OPEN } else { unpack(self.stamp & (OPEN_BIT - 1), self.low, HIGH) }
    }

    pub fn sample(&self) -> Sample {
        Sample { time: self.time(), value: self.value() }
    }
}

impl From<Sample> for Packed {
    fn from(sample: Sample) -> Self {
        let millis = sample.time.as_millis().clamp(0, (1 << (64 - TIME_SHIFT)) - 1).cast_unsigned();
        let (form, low) = if sample.value == OPEN { (OPEN_BIT, 0) } else { pack(sample.value, HIGH) };
        Self { stamp: millis << TIME_SHIFT | form, low }
    }
}

/// The sign, the scale and the upper bits of a decimal, and the lower 64.
fn pack(value: Decimal, high: u32) -> (u64, u64) {
    let (mut digits, mut scale) = (value.mantissa().unsigned_abs(), value.scale());
    let bound = 1_u128 << (64 + high);
    while digits >= bound && scale > 0 {
        digits = (digits + 5) / 10;
        scale -= 1;
    }
    let digits = digits.min(bound - 1);
    let sign = u64::from(value.is_sign_negative());
    ((sign << 5 | u64::from(scale)) << high | (digits >> 64) as u64, digits as u64)
}

fn unpack(form: u64, low: u64, high: u32) -> Decimal {
    let digits = (u128::from(form & ((1 << high) - 1)) << 64 | u128::from(low)).cast_signed();
    let negative = form >> (high + 5) & 1 == 1;
    let scale = (form >> high & SCALE) as u32;
    Decimal::try_from_i128_with_scale(if negative { -digits } else { digits }, scale).unwrap_or_default()
}

/// Bits of a bucket's value beside the lower 64, or of where in the bucket its value lies.
const TEN: u32 = 10;
const COUNT_SHIFT: u32 = FORM + TEN;
const OFFSET_SHIFT: u32 = COUNT_SHIFT + 32;
/// How far buckets of one subject may lie apart.
pub const FURTHEST: i64 = u16::MAX as i64;

/// The samples of one stretch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// From above: how far its number is from the lowest one, how many samples it has, sign, scale, and ten bits more.
    head: u64,
    low: u64,
}

impl Bucket {
    pub fn new(offset: i64) -> Self {
        Self { head: offset.clamp(0, FURTHEST).cast_unsigned() << OFFSET_SHIFT, low: 0 }
    }

    /// Its bits, as a checkpoint holds them.
    pub fn parts(&self) -> (u64, u64) {
        (self.head, self.low)
    }

    pub fn from_parts(offset: i64, (head, low): (u64, u64)) -> Self {
        Self { head: Self::new(offset).head | head & ((1 << OFFSET_SHIFT) - 1), low }
    }

    pub fn offset(&self) -> i64 {
        (self.head >> OFFSET_SHIFT).cast_signed()
    }

    #[must_use]
    pub fn moved(&self, by: i64) -> Self {
        let offset = (self.offset() + by).clamp(0, FURTHEST).cast_unsigned();
        Self { head: self.head & ((1 << OFFSET_SHIFT) - 1) | offset << OFFSET_SHIFT, low: self.low }
    }

    pub fn count(&self) -> u32 {
        (self.head >> COUNT_SHIFT) as u32
    }

    pub fn set_count(&mut self, count: u32) {
        let mask = u64::from(u32::MAX) << COUNT_SHIFT;
        self.head = self.head & !mask | u64::from(count) << COUNT_SHIFT;
    }

    /// Its value, where no place in the bucket belongs to it.
    pub fn value(&self) -> Decimal {
        unpack(self.head & ((1 << COUNT_SHIFT) - 1), self.low, TEN)
    }

    pub fn set_value(&mut self, value: Decimal) {
        let (form, low) = pack(value, TEN);
        self.head = self.head & !((1 << COUNT_SHIFT) - 1) | form;
        self.low = low;
    }

    /// Its value, and where in the bucket it lies, in 1024ths.
    pub fn placed(&self) -> (u16, Decimal) {
        let form = self.head & ((1 << COUNT_SHIFT) - 1);
        ((form & ((1 << TEN) - 1)) as u16, unpack(form >> TEN, self.low, 0))
    }

    pub fn set_placed(&mut self, place: u16, value: Decimal) {
        let (form, low) = pack(value, 0);
        let place = u64::from(place) & ((1 << TEN) - 1);
        self.head = self.head & !((1 << COUNT_SHIFT) - 1) | form << TEN | place;
        self.low = low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_digit_by_digit() {
        for text in [
            "0",
            "5.00",
            "-3.25",
            "18446744073709551615",
            "-99999999999999999999.99",
            "0.0000000000000000000000000001",
        ] {
            let value: Decimal = text.parse().unwrap();
            let time = Time::from_millis(1_790_000_000_123);
            let packed = Packed::from(Sample { time, value });
            assert_eq!((packed.time(), packed.value().to_string()), (time, text.to_owned()));
            let mut bucket = Bucket::new(7);
            bucket.set_count(u32::MAX);
            bucket.set_value(value);
            assert_eq!((bucket.offset(), bucket.count(), bucket.value()), (7, u32::MAX, value));
        }
        let open = Packed::from(Sample { time: Time::from_millis(5), value: OPEN });
        assert_eq!((open.time(), open.value()), (Time::from_millis(5), OPEN));
        let mut bucket = Bucket::new(FURTHEST);
        bucket.set_count(3);
        bucket.set_placed(1_023, Decimal::new(-125, 2));
        bucket = bucket.moved(-35);
        assert_eq!((bucket.offset(), bucket.count()), (FURTHEST - 35, 3));
        assert_eq!(bucket.placed(), (1_023, Decimal::new(-125, 2)));
    }

    #[test]
    fn what_has_too_many_digits_is_rounded_behind_the_point() {
        let time = Time::from_millis(0);
        let through = |text: &str| {
            let packed = Packed::from(Sample { time, value: text.parse().unwrap() });
            packed.value().to_string()
        };
        assert_eq!(
            through("1234567890123456789012345.678"),
            "151115727451828646838271",
            "the largest there is"
        );
        assert_eq!(through("12345678901234567890123.456789"), "12345678901234567890123.5");
        assert_eq!(through("1.2345678901234567890123456789"), "1.23456789012345678901235");
    }
}
