//! How far a replay has come, on standard error: a bar where somebody watches, else a line now and then.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::edge::clock::Stopwatch;

/// Events between two looks at the clock.
const LOOK_EVERY: u64 = 4_096;
const DRAWN_EVERY: Duration = Duration::from_millis(200);
/// Short enough to see that it goes on, long enough not to fill a log.
const SAID_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    /// [`None`]: nobody watches.
    bar: Option<ProgressBar>,
    began: Stopwatch,
    last: Stopwatch,
    said: bool,
}

/// A writer beside the bar, which steps aside while it writes.
pub(super) struct Beside<W> {
    bar: Option<ProgressBar>,
    out: W,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{msg}"));
            bar
        });
        Self { bar, began: Stopwatch::start(), last: Stopwatch::start(), said: false }
    }

    pub(super) fn beside<W: Write>(&self, out: W) -> Beside<W> {
        Beside { bar: self.bar.clone(), out }
    }

    /// `done`: what is behind and what there is in all, where that is known.
    pub(super) fn tick(&mut self, events: u64, done: impl FnOnce() -> Option<(u64, u64)>) {
        if !events.is_multiple_of(LOOK_EVERY) {
            return;
        }
        let pause = if self.bar.is_some() { DRAWN_EVERY } else { SAID_EVERY };
        if self.last.elapsed() < pause {
            return;
        }
        self.last.lap();
        let (rate, done) = (self.rate(events), done().filter(|(_, all)| *all > 0));
        match (&self.bar, done) {
            (Some(bar), done) => {
                if let Some((read, all)) = done {
                    if bar.length().is_none() {
                        bar.set_style(style("{bar:30} {percent:>3} %  {msg}, {eta} left"));
                    }
                    bar.set_length(all);
                    bar.set_position(read);
                }
                bar.set_message(rate);
                bar.tick();
            }
            (None, Some((read, all))) => {
                say(&format!("{:>3.0} %  {rate}", 100.0 * read as f64 / all as f64));
            }
            (None, None) => say(&rate),
        }
        self.said = true;
    }

    /// Whoever watched, or was told on the way, is told how it went.
    pub(super) fn finish(&self, events: u64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.said || self.bar.is_some() {
            let seconds = self.began.elapsed().as_secs_f64();
            say(&format!("{} in {seconds:.1} s", self.rate(events)));
        }
    }

    fn rate(&self, events: u64) -> String {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        format!("{events} events, {:.0} events/s", events as f64 / seconds)
    }
}

impl<W: Write> Write for Beside<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.write(bytes)),
            None => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A reader that is gone does not stop the replay.
pub(super) fn say(line: &str) {
    drop(writeln!(io::stderr().lock(), "replay: {line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_of_the_bar_are_valid() {
        for template in ["{msg}", "{bar:30} {percent:>3} %  {msg}, {eta} left"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
