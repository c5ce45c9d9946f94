//! The one pass that most records take: texts are borrowed from the record, everything else is read from its own text.
//!
//! It knows all of JSON but escapes and line ends; a record with any, or with whatever else an event seldom has, is
//! [`Unusual`] and takes the careful pass. That keeps it short, and twice as fast as a general reader. It must never take for
//! an event what the careful pass would refuse; properties compare the two.

use std::borrow::Cow;

use super::draft::Draft;
use super::value::{Scalar, TimeFormat};
use super::{MAX_DEPTH, Slot};

/// The record is none of the usual ones; reading it with care will tell why.
#[derive(Debug)]
pub(super) struct Unusual;

pub(super) fn read<'a>(json: &'a str, extra: &[String], draft: &mut Draft<'_, 'a>) -> Result<(), Unusual> {
    // Only what is space to JSON: a form feed is not.
    let json = json.trim_end_matches([' ', '\t', '\n', '\r']);
    if has_escapes(json) {
        return Err(Unusual);
    }
    let mut scanner = Scanner { json, at: 0 };
    scanner.space();
    scanner.object(|scanner, key| {
        let slot = Slot::of_key(key, extra);
        match slot {
            Slot::SpecVersion => Err(Unusual),
            Slot::Geo => scanner.geo(draft),
            _ => scanner.fill(slot, draft),
        }
    })?;
    scanner.space();
    if scanner.at < json.len() || draft.is_refused() { Err(Unusual) } else { Ok(()) }
}

struct Scanner<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Unusual> {
        if self.take(byte) { Ok(()) } else { Err(Unusual) }
    }

    /// Other kinds of space are control characters, so they are not here.
    #[inline]
    fn space(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    #[inline]
    fn since(&self, start: usize) -> Result<&'a str, Unusual> {
        self.json.get(start..self.at).ok_or(Unusual)
    }

    /// Reads an object from its brace on; `member` must read the value of each key.
    #[inline]
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a [u8]) -> Result<(), Unusual>,
    ) -> Result<(), Unusual> {
        self.expect(b'{')?;
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.expect(b'"')?;
            let start = self.at;
            self.pass_text()?;
            let key = self.json.as_bytes().get(start..self.at - 1).ok_or(Unusual)?;
            self.space();
            self.expect(b':')?;
            self.space();
            member(self, key)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Unusual),
            }
            self.space();
        }
    }

    fn geo(&mut self, draft: &mut Draft<'_, 'a>) -> Result<(), Unusual> {
        if self.peek() == Some(b'n') {
            return self.word("null");
        }
        self.object(|scanner, key| scanner.fill(Slot::of_geo_key(key), draft))
    }

    fn fill(&mut self, slot: Slot, draft: &mut Draft<'_, 'a>) -> Result<(), Unusual> {
        if matches!(slot, Slot::Unknown | Slot::Data) {
            return self.skip(MAX_DEPTH - 2);
        }
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.pass_text()?;
                let text = self.json.get(start + 1..self.at - 1).ok_or(Unusual)?;
                match slot {
                    Slot::Text(_) | Slot::Type => draft.set_text(slot, Cow::Borrowed(text)),
                    _ => draft.set_value(slot, Scalar::Text(text), TimeFormat::Any),
                }
                Ok(())
            }
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                match slot {
                    Slot::Type => return Err(Unusual),
                    // Identifiers are numbers on some platforms; their digits are the text.
                    Slot::Text(_) => draft.set_text(slot, Cow::Borrowed(number)),
                    _ => draft.set_value(slot, Scalar::Number(number), TimeFormat::Any),
                }
                Ok(())
            }
            _ => Err(Unusual),
        }
    }

    /// Passes over a text without escapes and over the quote at its end; the one at its start has been.
    #[inline]
    fn pass_text(&mut self) -> Result<(), Unusual> {
        let rest = self.json.as_bytes().get(self.at..).ok_or(Unusual)?;
        self.at += before_quote(rest).ok_or(Unusual)? + 1;
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Unusual> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'-') {
                self.take(b'+');
            }
            self.digits()?;
        }
        self.since(start)
    }

    fn digits(&mut self) -> Result<(), Unusual> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Unusual) }
    }

    fn word(&mut self, word: &str) -> Result<(), Unusual> {
        let start = self.at;
        self.at += word.len();
        if self.since(start)? == word { Ok(()) } else { Err(Unusual) }
    }

    /// Passes over a value of any type that nests no deeper than `levels`.
    fn skip(&mut self, levels: usize) -> Result<(), Unusual> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.pass_text()
            }
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'{') if levels > 0 => self.object(|scanner, _| scanner.skip(levels - 1)),
            Some(b'[') if levels > 0 => self.skip_list(levels - 1),
            _ => self.number().map(drop),
        }
    }

    fn skip_list(&mut self, levels: usize) -> Result<(), Unusual> {
        self.expect(b'[')?;
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.skip(levels)?;
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }
}

/// The bytes before the first quote, looked for in eight bytes at a time.
#[inline]
fn before_quote(rest: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, tail) = rest.as_chunks::<8>();
    for (number, bytes) in words.iter().enumerate() {
        // The lowest byte that is marked is a quote for certain; bytes above it need not be.
        let word = u64::from_le_bytes(*bytes) ^ (ONES * 0x22);
        let marks = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if marks != 0 {
            return Some(number * 8 + (marks.trailing_zeros() / 8) as usize);
        }
    }
    Some(words.len() * 8 + tail.iter().position(|byte| *byte == b'"')?)
}

/// Whether a record holds an escape or a control character, line ends included. Without a way out in the middle the
/// compiler compares many bytes at once.
fn has_escapes(json: &str) -> bool {
    json.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'\\'))
}
