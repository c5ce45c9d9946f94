//! How far a replay has come: events per second on standard error, when somebody watches.

use std::io::{self, IsTerminal as _, Write as _};

use crate::edge::clock::Stopwatch;

pub(super) struct Progress {
    watched: bool,
    began: Stopwatch,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { watched: io::stderr().is_terminal(), began: Stopwatch::start() }
    }

    pub(super) fn tick(&self, events: u64) {
        if self.watched && events.is_multiple_of(500_000) {
            self.write(events, "\r");
        }
    }

    pub(super) fn finish(&self, events: u64) {
        if self.watched {
            self.write(events, "\n");
        }
    }

    fn write(&self, events: u64, end: &str) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let rate = events as f64 / seconds;
        let line = format!("{events} events, {rate:.0} events/s{end}");
        // A terminal that is gone does not stop the replay.
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }
}
