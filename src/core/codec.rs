//! The binary form of state in checkpoints: variable-length integers and length-prefixed text.
//!
//! Written by hand because it is on the path of every checkpoint (a million changed subjects at once), and because a
//! format that a derive produces changes silently with the type.

use crate::core::event::Symbol;
use crate::core::time::{Span, Time};

/// A checkpoint's record that does not decode: a format of another version, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored state does not decode")]
pub struct CorruptState;

/// Takes the changed keys of a checkpoint: key and encoded value, [`None`] for what is gone.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>);

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

    pub fn bool(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    pub fn text(&mut self, value: &str) {
        self.unsigned(value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
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

    pub fn bool(&mut self) -> Result<bool, CorruptState> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CorruptState),
        }
    }

    pub fn text(&mut self) -> Result<&'a str, CorruptState> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CorruptState)
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
        fn damaged_bytes_are_an_error_and_never_a_panic(bytes: Vec<u8>) {
            let mut reader = Reader(&bytes);
            while reader.unsigned().is_ok() && reader.text().is_ok() && reader.bool().is_ok() {}
        }
    }
}
