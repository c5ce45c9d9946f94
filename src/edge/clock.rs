//! The only reader of clocks. Everything else is given the time.

#![expect(clippy::disallowed_methods, reason = "this is the place where clocks are read")]

use std::time::{Duration, Instant, SystemTime};

use crate::core::time::Time;

/// The wall clock, for what people and other systems compare with theirs. It may jump.
pub fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX / 4))
}

/// Monotonic time since a moment; it never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The time since the start or the last lap, and a new start.
    pub fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}
