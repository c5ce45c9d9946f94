//! Recorded events as lines in order of arrival: one file at a time in memory-bounded chunks, several merged so that the
//! one whose newest event is oldest is read first.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A record longer than this is handed on cut short; the decoder then refuses it as too large.
const LINE_BOUND: usize = 16 << 20;

const CHUNK: usize = 1 << 18;

/// The lines of one file or of standard input, with a look ahead.
pub(super) struct Lines {
    reader: Box<dyn Read>,
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
        let reader: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            let said = || format!("cannot read the events in {}", path.display());
            let file = std::fs::File::open(path).with_context(said)?;
            if file.metadata().is_ok_and(|file| file.is_dir()) {
                bail!("{}: it is a folder, expected a file of JSON lines", said());
            }
            Box::new(file)
        };
        Ok(Self::new(reader))
    }

    pub(super) fn new(reader: Box<dyn Read>) -> Self {
        Self { reader, buffer: vec![0; CHUNK], start: 0, end: 0, next: 0, filled: 0, exhausted: false }
    }

    /// Moves to the next line that is not blank; false at the end.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        loop {
            let Some(end) = self.line_end(self.next)? else { return Ok(false) };
            (self.start, self.end) = (self.next, end);
            self.next = (end + 1).min(self.filled);
            if self.buffer[self.start..self.end].iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(true);
            }
        }
    }

    pub(super) fn current(&self) -> &[u8] {
        let line = &self.buffer[self.start..self.end];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Shows the lines after the current one to `look`, until it has seen enough or there are no more.
    pub(super) fn look_ahead(&mut self, mut look: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
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
    fn line_end(&mut self, from: usize) -> io::Result<Option<usize>> {
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
    fn fill(&mut self) -> io::Result<usize> {
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
                other => break other?,
            }
        };
        self.exhausted = read == 0;
        self.filled += read;
        Ok(moved)
    }
}

/// The files of one replay.
pub(super) fn open_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Lines>> {
    paths.iter().map(|path| Lines::open(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        Lines::new(Box::new(io::Cursor::new(text.to_owned().into_bytes())))
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
        let text: String = (0..60_000).map(|number| format!("line {number}\n")).collect();
        let mut lines = lines(&text);
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
}
