//! The lines of a file of recorded events, read in memory-bounded chunks and unpacked meanwhile.

mod archive;

use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, anyhow, bail};

use archive::Packing;

/// A record longer than this is handed on cut short; the decoder then refuses it as too large.
const LINE_BOUND: usize = 16 << 20;

const CHUNK: usize = 1 << 18;

/// The lines of one file or of standard input, with a look ahead.
pub(super) struct Lines {
    /// The file, as errors name it.
    name: String,
    packing: Packing,
    reader: Box<dyn Read>,
    /// How far the file is read, and how long it is; [`None`] where nobody knows that.
    length: Option<(Rc<Cell<u64>>, u64)>,
    /// The lines that were moved to, and the bytes read, unpacked.
    lines: u64,
    bytes: u64,
    buffer: Vec<u8>,
    /// The current line.
    start: usize,
    end: usize,
    /// Where the unread part begins and ends.
    next: usize,
    filled: usize,
    exhausted: bool,
}

impl Lines {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Self::new("standard input", Box::new(io::stdin().lock()), None);
        }
        let said = || format!("cannot read the events in {}", path.display());
        let file = std::fs::File::open(path).with_context(said)?;
        let about = file.metadata().with_context(said)?;
        if about.is_dir() {
            bail!("{}: it is a folder, expected a file of JSON lines", said());
        }
        let length = about.is_file().then_some(about.len());
        Self::new(&path.display().to_string(), Box::new(file), length)
    }

    /// The lines of `reader`; `length`: how many bytes it holds, packed as they are.
    pub(super) fn new(name: &str, reader: Box<dyn Read>, length: Option<u64>) -> anyhow::Result<Self> {
        let read = Rc::new(Cell::new(0));
        let counted = Box::new(Counted { reader, read: Rc::clone(&read) });
        let opened =
            archive::unpacked(counted).with_context(|| format!("cannot read the events in {name}"))?;
        let (reader, packing) = opened;
        Ok(Self {
            name: name.to_owned(),
            packing,
            reader,
            length: length.map(|length| (read, length)),
            lines: 0,
            bytes: 0,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            next: 0,
            filled: 0,
            exhausted: false,
        })
    }

    /// How many bytes of the file were read, and how many there are; [`None`] where nobody knows that.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        self.length.as_ref().map(|(read, length)| (read.get(), *length))
    }

    /// Moves to the next line that is not blank; false at the end.
    pub(super) fn advance(&mut self) -> anyhow::Result<bool> {
        loop {
            let Some(end) = self.line_end(self.next)? else { return Ok(false) };
            (self.start, self.end) = (self.next, end);
            self.next = (end + 1).min(self.filled);
            if self.buffer[self.start..self.end].iter().any(|byte| !byte.is_ascii_whitespace()) {
                self.lines += 1;
                return Ok(true);
            }
        }
    }

    pub(super) fn current(&self) -> &[u8] {
        let line = &self.buffer[self.start..self.end];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Shows the lines after the current one to `look`, until it has seen enough or there are no more.
    pub(super) fn look_ahead(&mut self, mut look: impl FnMut(&[u8]) -> bool) -> anyhow::Result<()> {
        let mut from = self.next;
        while from < self.filled || !self.exhausted {
            let before = self.start;
            let Some(end) = self.line_end(from)? else { break };
            // Reading on may have moved what is kept to the front of the buffer.
            let moved = before - self.start;
            from -= moved.min(from);
            let end = end.min(self.filled);
            if !look(&self.buffer[from..end]) {
                break;
            }
            from = (end + 1).min(self.filled);
        }
        Ok(())
    }

    /// Where the line that begins at `from` ends; [`None`] at the end of the input. May move the buffer's content, but
    /// keeps the current line.
    fn line_end(&mut self, from: usize) -> anyhow::Result<Option<usize>> {
        let mut from = from;
        let mut searched = from;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[searched..self.filled]) {
                return Ok(Some(searched + found));
            }
            if self.exhausted || self.filled - from >= LINE_BOUND {
                return Ok((from < self.filled).then_some(self.filled));
            }
            searched = self.filled;
            let moved = self.fill()?;
            from -= moved;
            searched -= moved;
        }
    }

    /// Reads more; returns by how much the content moved to the front.
    fn fill(&mut self) -> anyhow::Result<usize> {
        let moved = self.start;
        if moved > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= moved;
            self.start = 0;
            self.end -= moved;
            self.next -= moved;
        }
        if self.filled + CHUNK / 4 > self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = loop {
            match self.reader.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(&error)),
                Ok(read) => break read,
            }
        };
        self.exhausted = read == 0;
        self.filled += read;
        self.bytes += read as u64;
        Ok(moved)
    }

    /// What is said of a file that can't be read on.
    fn broken(&self, error: &io::Error) -> anyhow::Error {
        let Self { name, lines, bytes, .. } = self;
        let Some(archive) = self.packing.archive() else {
            return anyhow!("cannot read on in {name} after {lines} lines ({bytes} bytes): {error}");
        };
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "ends in the middle of",
            _ => "cannot be unpacked further as",
        };
        anyhow!("{name} {what} a {archive} archive, after {lines} lines ({bytes} bytes unpacked): {error}")
    }
}

/// A reader whose bytes are counted.
struct Counted {
    reader: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn lines(text: &str) -> Lines {
        packed(text.to_owned().into_bytes())
    }

    fn packed(bytes: Vec<u8>) -> Lines {
        Lines::new("day.jsonl", Box::new(io::Cursor::new(bytes)), None).unwrap()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        zstd::stream::encode_all(text.as_bytes(), 1).unwrap()
    }

    fn numbered(lines: usize) -> String {
        (0..lines).map(|number| format!("line {number}\n")).collect()
    }

    fn all(mut lines: Lines) -> Vec<String> {
        let mut seen = Vec::new();
        while lines.advance().unwrap() {
            seen.push(String::from_utf8_lossy(lines.current()).into_owned());
        }
        seen
    }

    #[test]
    fn blank_lines_and_carriage_returns_are_not_part_of_records_and_the_last_line_may_be_open() {
        assert_eq!(all(lines("a\r\n\n  \nb\nc")), ["a", "b", "c"]);
        assert_eq!(all(lines("")), Vec::<String>::new());
    }

    #[test]
    fn looking_ahead_does_not_move_the_current_line_even_across_chunks() {
        let mut lines = lines(&numbered(60_000));
        for number in 0..60_000 {
            assert!(lines.advance().unwrap());
            if number % 7_000 == 0 {
                let mut ahead = Vec::new();
                lines
                    .look_ahead(|line| {
                        ahead.push(String::from_utf8_lossy(line).into_owned());
                        ahead.len() < 30_000
                    })
                    .unwrap();
                assert_eq!(ahead.len(), (60_000 - number - 1).min(30_000));
                assert_eq!(ahead.first().map(String::as_str), Some(&*format!("line {}", number + 1)));
                assert!(
                    ahead
                        .iter()
                        .enumerate()
                        .all(|(place, line)| { *line == format!("line {}", number + 1 + place) })
                );
            }
            assert_eq!(lines.current(), format!("line {number}").as_bytes());
        }
        assert!(!lines.advance().unwrap());
    }

    #[test]
    fn what_is_packed_is_told_by_its_first_bytes_and_archives_that_follow_each_other_are_one() {
        let whole = numbered(30_000);
        let (head, tail) = whole.split_at(whole.len() / 3);
        for pack in [gzip, zstd] {
            assert_eq!(all(packed(pack(&whole))).len(), 30_000);
            let rejoined = all(packed([pack(head), pack(tail)].concat()));
            assert_eq!(rejoined, whole.lines().collect::<Vec<_>>());
            assert_eq!(all(packed(pack(""))), Vec::<String>::new());
        }
    }

    #[test]
    fn a_broken_archive_says_which_file_and_how_much_of_it_was_read() {
        let whole = numbered(200_000);
        for (pack, archive) in [(gzip as fn(&str) -> Vec<u8>, "gzip"), (zstd, "zstd")] {
            let bytes = pack(&whole);
            let cut = bytes[..bytes.len() / 2].to_vec();
            let mut spoilt = bytes.clone();
            let half = spoilt.len() / 2;
            spoilt[half..half + 64].fill(0xaa);
            let junk = [bytes.clone(), b"and then some text".to_vec()].concat();
            for (bytes, words) in [
                (cut, "ends in the middle of"),
                (spoilt, "cannot be unpacked further"),
                (junk, "cannot be unpacked further"),
            ] {
                let mut lines = packed(bytes);
                let error = loop {
                    match lines.advance() {
                        Ok(true) => {}
                        Ok(false) => panic!("{archive}: {words} was not noticed"),
                        Err(error) => break error.to_string(),
                    }
                };
                assert!(error.starts_with(&format!("day.jsonl {words}")), "{error}");
                assert!(error.contains(&format!("a {archive} archive, after ")), "{error}");
                let read: u64 =
                    error.split("after ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
                assert!(read > 1_000 && read == lines.lines, "{error}");
            }
        }
    }

    #[test]
    fn what_cannot_be_unpacked_is_called_by_its_name() {
        for (bytes, name) in [
            (b"\xfd7zXZ\0\0\0".as_slice(), "an xz archive"),
            (b"BZh91AY", "a bzip2 archive"),
            (b"PK\x03\x04....", "a zip archive"),
            (b"PAR1....", "a Parquet file"),
            (b"\xff\xfe{\0", "UTF-16"),
        ] {
            let opened = Lines::new("day", Box::new(io::Cursor::new(bytes.to_vec())), None);
            let error = format!("{:#}", opened.err().unwrap());
            assert!(
                error.starts_with("cannot read the events in day: it is") && error.contains(name),
                "{error}"
            );
        }
    }
}
