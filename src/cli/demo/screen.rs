//! Text for people: wrapped to the terminal's width, coloured only where somebody sees colours.

use std::io::{self, IsTerminal as _, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Lines are never longer than this, however wide the terminal is: nobody reads them.
const WIDEST: usize = 100;
const NARROWEST: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Quiet,
    Good,
    Bad,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Strong => "1",
            Self::Quiet => "2",
            Self::Good => "32;1",
            Self::Bad => "31;1",
        }
    }
}

/// Where the demonstration writes.
#[derive(Debug)]
pub(super) struct Screen<W> {
    out: W,
    colour: bool,
    width: usize,
}

impl Screen<io::Stdout> {
    pub(super) fn of_terminal() -> Self {
        let out = io::stdout();
        let colour = out.is_terminal();
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Self::new(out, colour, width)
    }
}

impl<W: Write> Screen<W> {
    pub(super) fn new(out: W, colour: bool, width: usize) -> Self {
        Self { out, colour, width: width.clamp(NARROWEST, WIDEST) }
    }

    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        if self.colour && tone != Tone::Plain {
            format!("\x1b[{}m{text}\x1b[0m", tone.code())
        } else {
            text.to_owned()
        }
    }

    pub(super) fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A heading with a line to the right edge.
    pub(super) fn heading(&mut self, title: &str) -> io::Result<()> {
        let line = "─".repeat(self.width.saturating_sub(title.width() + 4));
        let (left, right) = (self.paint(Tone::Quiet, "──"), self.paint(Tone::Quiet, &line));
        let title = self.paint(Tone::Strong, title);
        writeln!(self.out, "\n{left} {title} {right}")?;
        self.out.flush()
    }

    /// A paragraph, each line of it behind `indent` columns.
    pub(super) fn paragraph(&mut self, indent: usize, tone: Tone, text: &str) -> io::Result<()> {
        for line in wrap(text, self.width.saturating_sub(indent)) {
            writeln!(self.out, "{:indent$}{}", "", self.paint(tone, &line))?;
        }
        self.out.flush()
    }

    /// A label in a column of its own, and what belongs to it behind it.
    pub(super) fn item(&mut self, label: &str, column: usize, tone: Tone, text: &str) -> io::Result<()> {
        let mut shown = self.paint(Tone::Quiet, label);
        let padding = column.saturating_sub(label.width() + 2);
        for line in wrap(text, self.width.saturating_sub(column)) {
            writeln!(self.out, "  {shown}{:padding$}{}", "", self.paint(tone, &line))?;
            // The label stands beside the first line only.
            shown = " ".repeat(label.width());
        }
        self.out.flush()
    }

    /// A letter or a ticket with a bar at its left.
    pub(super) fn framed(&mut self, text: &str) -> io::Result<()> {
        let bar = self.paint(Tone::Quiet, "│");
        for paragraph in text.trim_end().lines() {
            for line in wrap(paragraph, self.width.saturating_sub(4)) {
                writeln!(self.out, "  {bar} {line}")?;
            }
        }
        self.out.flush()
    }
}

/// Breaks a text into lines of at most `width` columns: at spaces, or anywhere between characters that take two columns,
/// as Chinese does.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    let (mut line, mut columns) = (String::new(), 0);
    for piece in pieces(text) {
        let wide = piece.width();
        if columns + wide > width && columns > 0 {
            lines.push(line.trim_end().to_owned());
            line.clear();
            columns = 0;
        }
        if columns == 0 && piece == " " && !lines.is_empty() {
            continue;
        }
        if wide <= width {
            line.push_str(piece);
            columns += wide;
            continue;
        }
        // A word that fits into no line is cut.
        for character in piece.chars() {
            let wide = character.width().unwrap_or(0);
            if columns + wide > width {
                lines.push(std::mem::take(&mut line));
                columns = 0;
            }
            line.push(character);
            columns += wide;
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// Words, spaces, and single wide characters.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, character) in text.char_indices() {
        let end = at + character.len_utf8();
        if character == ' ' || character.width() == Some(2) {
            pieces.extend(text.get(start..at).filter(|word| !word.is_empty()));
            pieces.extend(text.get(at..end));
            start = end;
        }
    }
    pieces.extend(text.get(start..).filter(|word| !word.is_empty()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_wrapped_at_spaces_and_between_wide_characters() {
        let cases: [(&str, usize, &[&str]); 6] = [
            ("one two three", 8, &["one two", "three"]),
            ("", 10, &[""]),
            ("支付渠道出现问题", 8, &["支付渠道", "出现问题"]),
            ("订单 o12-3 支付失败", 12, &["订单 o12-3", "支付失败"]),
            ("abcdefghijkl", 8, &["abcdefgh", "ijkl"]),
            ("  indented", 20, &["  indented"]),
        ];
        for (text, width, expected) in cases {
            assert_eq!(wrap(text, width), expected, "{text:?} in {width}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_colours_are_for_terminals_only() {
        for (colour, width) in [(false, 60), (true, 60), (false, 400)] {
            let mut screen = Screen::new(Vec::new(), colour, width);
            let text = "All of this is one paragraph, 中文也在里面, and it goes on for a while. ".repeat(5);
            screen.heading("a heading").expect("writes");
            screen.paragraph(4, Tone::Good, &text).expect("writes");
            screen.item("label", 14, Tone::Bad, &text).expect("writes");
            screen.framed(&text).expect("writes");
            let written = String::from_utf8(screen.out).expect("text");
            assert_eq!(written.contains('\x1b'), colour);
            if !colour {
                let widest = written.lines().map(|line| line.width()).max();
                assert!(widest.is_some_and(|widest| widest <= width.min(WIDEST)), "{widest:?} of {width}");
            }
        }
    }
}
