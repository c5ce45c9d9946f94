//! The stored form of this module's state: what the codec of the core lacks, and a version byte in front of every value.

use compact_str::CompactString;

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::effect::Subject;

/// The first byte of every stored value. A change of the form changes it, and older state is refused rather than misread.
const VERSION: u8 = 2;

/// Starts a value in a buffer that is used again and again.
pub fn start(buffer: &mut Vec<u8>) -> Writer<'_> {
    buffer.clear();
    buffer.push(VERSION);
    Writer(buffer)
}

pub fn open(value: &[u8]) -> Result<Reader<'_>, CorruptState> {
    match value.split_first() {
        Some((&VERSION, rest)) => Ok(Reader(rest)),
        _ => Err(CorruptState),
    }
}

/// Reads a number that fits the type that it was written from.
pub fn number<T: TryFrom<i64>>(reader: &mut Reader<'_>) -> Result<T, CorruptState> {
    T::try_from(reader.signed()?).map_err(|_| CorruptState)
}

pub fn write_subject(writer: &mut Writer<'_>, subject: &Subject) {
    writer.unsigned(subject.0.len() as u64);
    for (name, value) in &subject.0 {
        writer.text(name);
        writer.text(value);
    }
}

pub fn read_subject(reader: &mut Reader<'_>) -> Result<Subject, CorruptState> {
    let mut fields = Vec::new();
    for _ in 0..reader.count()? {
        fields.push((CompactString::from(reader.text()?), CompactString::from(reader.text()?)));
    }
    Ok(Subject(fields))
}

/// A key of the stored state: what kind of thing, and which one.
pub fn key(tag: u8, number: u64) -> [u8; 9] {
    let mut key = [tag; 9];
    if let Some(rest) = key.get_mut(1..) {
        rest.copy_from_slice(&number.to_be_bytes());
    }
    key
}

pub fn parse_key(key: &[u8]) -> Result<(u8, u64), CorruptState> {
    let (tag, number) = key.split_first().ok_or(CorruptState)?;
    let number: [u8; 8] = number.try_into().map_err(|_| CorruptState)?;
    Ok((*tag, u64::from_be_bytes(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut buffer = Vec::new();
        let subject = Subject(vec![("channel".into(), "支付宝".into()), ("region".into(), "".into())]);
        let mut writer = start(&mut buffer);
        write_subject(&mut writer, &subject);
        writer.slice(&[0, 255]);
        writer.signed(-1);
        let mut reader = open(&buffer).unwrap();
        assert_eq!(read_subject(&mut reader), Ok(subject));
        assert_eq!(reader.slice(), Ok(&[0, 255][..]));
        assert_eq!(number::<u8>(&mut reader), Err(CorruptState), "-1 is no u8");
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn damage_and_other_versions_are_refused() {
        let mut buffer = Vec::new();
        start(&mut buffer).slice(b"abc");
        assert_eq!(open(&buffer[..3]).unwrap().slice(), Err(CorruptState), "cut off");
        buffer[0] = VERSION + 1;
        assert!(open(&buffer).is_err());
        assert!(open(&[]).is_err());
        assert_eq!(parse_key(&key(3, 9)), Ok((3, 9)));
        assert_eq!(parse_key(&[3]), Err(CorruptState));
    }
}
