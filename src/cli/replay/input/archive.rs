//! Whether a file of events is packed, by its first bytes: gzip and zstd are unpacked while they are read, of what else is
//! known it is said what it is.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// As many first bytes as it takes to know them all.
const LONGEST_MARK: usize = 6;
const BUFFER: usize = 1 << 17;

/// How the bytes of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    pub(super) const fn archive(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The content of a file, unpacked as it is read. Several archives one after the other are read as one.
pub(super) fn unpacked(mut reader: Box<dyn Read>) -> io::Result<(Box<dyn Read>, Packing)> {
    let mut first = Vec::with_capacity(LONGEST_MARK);
    reader.by_ref().take(LONGEST_MARK as u64).read_to_end(&mut first)?;
    let packing = packing(&first)?;
    let whole = Cursor::new(first).chain(reader);
    let reader: Box<dyn Read> = match packing {
        Packing::None => Box::new(whole),
        Packing::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, whole))),
        Packing::Zstd => {
            Box::new(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(BUFFER, whole))?)
        }
    };
    Ok((reader, packing))
}

fn packing(first: &[u8]) -> io::Result<Packing> {
    let foreign = match first {
        [0x1f, 0x8b, ..] => return Ok(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => return Ok(Packing::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "an xz archive",
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => "a bzip2 archive",
        [0x04, 0x22, 0x4d, 0x18, ..] => "an lz4 archive",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [b'7', b'z', 0xbc, 0xaf, ..] => "a 7z archive",
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        [b'O', b'b', b'j', 1, ..] => "an Avro file",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16 text",
        _ => return Ok(Packing::None),
    };
    let expected = format!("it is {foreign}; expected JSON lines in UTF-8, as they are or in gzip or zstd");
    Err(io::Error::new(io::ErrorKind::InvalidData, expected))
}
