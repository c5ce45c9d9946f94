//! The binary form of state in checkpoints: variable-length integers and length-prefixed text.
//!
//! Written by hand because it is on the path of every checkpoint (a million changed subjects at once), and because a
//! format that a derive produces changes silently with the type.

use rust_decimal::Decimal;

use crate::core::event::Symbol;
use crate::core::time::{Span, Time};

/// A checkpoint's record that does not decode: a format of another version, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored state does not decode")]
pub struct CorruptState;

/// Takes the changed keys of a checkpoint: key and encoded value, [`None`] for what is gone.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>);

/// In the first byte of a decimal, above its scale: whether it is below zero, and whether its digits take more than 64 bits.
const NEGATIVE: u8 = 1 << 5;
const WIDE: u8 = 1 << 6;

/// Appends values to a buffer.
#[derive(Debug)]
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Zigzag, so that small negative numbers stay short.
    pub fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    pub fn float(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn symbol(&mut self, value: Symbol) {
        self.0.extend_from_slice(&value.0.to_le_bytes());
    }

    pub fn time(&mut self, value: Time) {
        self.signed(value.as_millis());
    }

    pub fn span(&mut self, value: Span) {
        self.signed(value.as_millis());
    }

    /// With its scale; amounts of money take three to six bytes.
    pub fn decimal(&mut self, value: Decimal) {
        let digits = value.mantissa().unsigned_abs();
        let high = (digits >> 64) as u32;
        let sign = if value.is_sign_negative() { NEGATIVE } else { 0 };
        self.byte(value.scale() as u8 | sign | if high > 0 { WIDE } else { 0 });
        self.unsigned(digits as u64);
        if high > 0 {
            self.unsigned(u64::from(high));
        }
    }

    pub fn bool(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    pub fn text(&mut self, value: &str) {
        self.slice(value.as_bytes());
    }

    /// Their number, then the bytes.
    pub fn slice(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Takes values from the front of a buffer.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], CorruptState> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(CorruptState)?;
        self.0 = tail;
        Ok(head)
    }

    pub fn byte(&mut self) -> Result<u8, CorruptState> {
        let (head, tail) = self.0.split_first().ok_or(CorruptState)?;
        self.0 = tail;
        Ok(*head)
    }

    pub fn unsigned(&mut self) -> Result<u64, CorruptState> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CorruptState)
    }

    /// A count of things that follow, each at least one byte long, so that a damaged count cannot ask for the moon.
    pub fn count(&mut self) -> Result<usize, CorruptState> {
        let count = usize::try_from(self.unsigned()?).map_err(|_| CorruptState)?;
        if count > self.0.len() { Err(CorruptState) } else { Ok(count) }
    }

    pub fn unsigned32(&mut self) -> Result<u32, CorruptState> {
        u32::try_from(self.unsigned()?).map_err(|_| CorruptState)
    }

    pub fn signed(&mut self) -> Result<i64, CorruptState> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn float(&mut self) -> Result<f64, CorruptState> {
        Ok(f64::from_le_bytes(self.bytes()?))
    }

    pub fn symbol(&mut self) -> Result<Symbol, CorruptState> {
        Ok(Symbol(u64::from_le_bytes(self.bytes()?)))
    }

    pub fn time(&mut self) -> Result<Time, CorruptState> {
        self.signed().map(Time::from_millis)
    }

    pub fn span(&mut self) -> Result<Span, CorruptState> {
        self.signed().map(Span::from_millis)
    }

    pub fn decimal(&mut self) -> Result<Decimal, CorruptState> {
        let head = self.byte()?;
        let scale = u32::from(head & !(NEGATIVE | WIDE));
        if scale > Decimal::MAX_SCALE {
            return Err(CorruptState);
        }
        let low = self.unsigned()?;
        let high = if head & WIDE == 0 { 0 } else { self.unsigned32()? };
        Ok(Decimal::from_parts(low as u32, (low >> 32) as u32, high, head & NEGATIVE != 0, scale))
    }

    pub fn bool(&mut self) -> Result<bool, CorruptState> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CorruptState),
        }
    }

    pub fn text(&mut self) -> Result<&'a str, CorruptState> {
        std::str::from_utf8(self.slice()?).map_err(|_| CorruptState)
    }

    /// Bytes after their number.
    pub fn slice(&mut self) -> Result<&'a [u8], CorruptState> {
        let length = self.count()?;
        self.take(length)
    }

    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CorruptState>,
    ) -> Result<Option<T>, CorruptState> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Exactly `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], CorruptState> {
        self.take(N)?.try_into().map_err(|_| CorruptState)
    }

    pub fn end(&self) -> Result<(), CorruptState> {
        if self.0.is_empty() { Ok(()) } else { Err(CorruptState) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::seeded;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(seeded(ProptestConfig::default()))]

        #[test]
        fn what_was_written_is_read_back(number: u64, signed: i64, float: f64, text: String, flag: Option<bool>) {
            let mut bytes = Vec::new();
            let mut writer = Writer(&mut bytes);
            writer.unsigned(number);
            writer.signed(signed);
            writer.float(float);
            writer.text(&text);
            writer.option(flag, Writer::bool);
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.unsigned(), Ok(number));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.float().unwrap().to_bits(), float.to_bits());
            prop_assert_eq!(reader.text(), Ok(text.as_str()));
            prop_assert_eq!(reader.option(Reader::bool), Ok(flag));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn decimals_are_read_back_digit_by_digit(
            parts: (u32, u32, u32),
            small: u32,
            negative: bool,
            scale in 0..=Decimal::MAX_SCALE,
        ) {
            let (low, middle, high) = parts;
            for value in [
                Decimal::from_parts(low, middle, high, negative, scale),
                Decimal::from_parts(low, middle, 0, negative, scale),
                Decimal::from_parts(small, 0, 0, negative, scale),
                Decimal::from_parts(0, 0, 0, negative, scale),
            ] {
                let mut bytes = Vec::new();
                Writer(&mut bytes).decimal(value);
                let mut reader = Reader(&bytes);
                let read = reader.decimal().unwrap();
                prop_assert_eq!(read.serialize(), value.serialize());
                prop_assert_eq!(reader.end(), Ok(()));
            }
        }

        #[test]
        fn damaged_bytes_are_an_error_and_never_a_panic(bytes: Vec<u8>) {
            let mut reader = Reader(&bytes);
            while reader.unsigned().is_ok()
                && reader.text().is_ok()
                && reader.decimal().is_ok()
                && reader.bool().is_ok()
            {}
        }
    }
}
